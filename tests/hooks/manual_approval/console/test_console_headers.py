from collections.abc import Mapping

import pytest

from hooks.manual_approval.console.security_headers import is_same_origin, security_headers

URL = "https://approvals.example.com"
LOCAL = "http://127.0.0.1:8080"

EVERYWHERE = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "Permissions-Policy": "accelerometer=(), autoplay=(), camera=(), display-capture=(), encrypted-media=(), "
    "fullscreen=(), geolocation=(), gyroscope=(), magnetometer=(), microphone=(), midi=(), payment=(), "
    "publickey-credentials-get=(), screen-wake-lock=(), usb=(), xr-spatial-tracking=()",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
BY_TLS = {"Strict-Transport-Security": "max-age=31536000"}


def test_a_page_is_kept_nowhere_and_runs_nothing() -> None:
    assert security_headers(URL) == {**EVERYWHERE, **BY_TLS, "Cache-Control": "no-store"}


def test_a_file_that_is_addressed_by_its_content_may_be_kept() -> None:
    assert security_headers(URL, static=True) == {
        **EVERYWHERE,
        **BY_TLS,
        "Cache-Control": "public, max-age=31536000, immutable",
    }


def test_a_console_on_this_machine_does_not_promise_tls() -> None:
    assert security_headers(LOCAL) == {**EVERYWHERE, "Cache-Control": "no-store"}


@pytest.mark.parametrize(
    ("headers", "accepted"),
    [
        ({"origin": URL}, True),
        ({"Origin": URL}, True),
        ({"origin": URL, "sec-fetch-site": "same-origin"}, True),
        ({"sec-fetch-site": "same-origin"}, True),
        ({}, False),
        ({"origin": ""}, False),
        ({"origin": "null"}, False),
        ({"origin": "null", "sec-fetch-site": "same-origin"}, False),
        ({"origin": "https://evil.example.com", "sec-fetch-site": "same-origin"}, False),
        ({"origin": "https://approvals.example.com.evil.example"}, False),
        ({"origin": "https://approvals.example.com:8443"}, False),
        ({"origin": "https://approvals.example.com/"}, False),
        ({"origin": "http://approvals.example.com"}, False),
        ({"origin": "HTTPS://APPROVALS.EXAMPLE.COM"}, False),
        ({"origin": f"{URL},https://evil.example.com"}, False),
        ({"origin": f"{URL}, {URL}"}, False),
        ({"origin": "https://evil.example.com", "Origin": URL}, False),
        ({"referer": f"{URL}/"}, False),
        ({"sec-fetch-site": "same-site"}, False),
        ({"sec-fetch-site": "cross-site"}, False),
        ({"sec-fetch-site": "none"}, False),
        ({"sec-fetch-site": "same-origin, same-origin"}, False),
    ],
)
def test_a_post_is_taken_from_a_page_of_the_console_only(headers: Mapping[str, str], accepted: bool) -> None:
    assert is_same_origin(headers, URL) is accepted


def test_another_port_of_this_machine_is_another_origin() -> None:
    assert is_same_origin({"origin": LOCAL}, LOCAL)
    assert not is_same_origin({"origin": "http://127.0.0.1:8081"}, LOCAL)
    assert not is_same_origin({"origin": "http://localhost:8080"}, LOCAL)

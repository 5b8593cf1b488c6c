"""The headers of every answer, and what the headers of a POST have to say.

Nothing runs in the pages but what a browser does by itself: no script, no frame, nothing from elsewhere.

Sources: https://www.w3.org/TR/CSP3/, https://cheatsheetseries.owasp.org/cheatsheets/HTTP_Headers_Cheat_Sheet.html
"""

from collections.abc import Mapping

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)

# Only features that some browser would grant a page of its own accord.
PERMISSIONS_POLICY = (
    "accelerometer=(), autoplay=(), camera=(), display-capture=(), encrypted-media=(), fullscreen=(), "
    "geolocation=(), gyroscope=(), magnetometer=(), microphone=(), midi=(), payment=(), "
    "publickey-credentials-get=(), screen-wake-lock=(), usb=(), xr-spatial-tracking=()"
)

YEAR_SECONDS = 365 * 24 * 60 * 60


def security_headers(url: str, *, static: bool = False) -> dict[str, str]:
    """Return the headers that an answer has besides its content's own.

    Parameters
    ----------
    url
        The console's own.
    static
        Of a file that is the same for everybody, and whose address has its content's hash in it.
    """
    headers = {
        "Content-Security-Policy": CONTENT_SECURITY_POLICY,
        "Permissions-Policy": PERMISSIONS_POLICY,
        "X-Content-Type-Options": "nosniff",
        # With no-referrer a browser would say "Origin: null" of our own forms.
        "Referrer-Policy": "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Cache-Control": f"public, max-age={YEAR_SECONDS}, immutable" if static else "no-store",
    }
    if url.startswith("https:"):
        headers["Strict-Transport-Security"] = f"max-age={YEAR_SECONDS}"
    return headers


def is_same_origin(headers: Mapping[str, str], url: str) -> bool:
    """Tell whether a browser says that a request came from a page of ours.

    All browsers send Origin with a POST; one that a proxy has dropped is made up for by Sec-Fetch-Site, which
    no page can set either. A request with neither is refused.
    Source: https://fetch.spec.whatwg.org/#origin-header, https://www.w3.org/TR/fetch-metadata/
    """

    def all_of(wanted: str) -> list[str]:
        return [value for name, value in headers.items() if name.lower() == wanted]

    if origins := all_of("origin"):
        return origins == [url]
    return all_of("sec-fetch-site") == ["same-origin"]

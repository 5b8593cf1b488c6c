"""Where a registry may lead: addresses read strictly, and hosts held against a list."""

import ipaddress
from urllib.parse import urlsplit

import pytest
import requests
from hypothesis import example, given
from hypothesis import strategies as st
from urllib3.util import parse_url

from hooks.image_trust.registry.destination import Destinations, Origin, Url, parse
from shared.errors import Misconfigured

BASE = Origin("https", "registry.example", 443)
ALLOWED = Destinations(
    "a blob", frozenset({"registry.example", "cdn.example", "storage.example:8443"}), "blobHosts"
)
HERE = Destinations("a blob", frozenset({"127.0.0.1:5000", "localhost", "[::1]:5000"}), "x", True)


@pytest.mark.parametrize(
    ("text", "origin", "target"),
    [
        ("https://cdn.example/x?y=z", "https://cdn.example", "/x?y=z"),
        ("https://cdn.example", "https://cdn.example", "/"),
        ("https://cdn.example:443/x", "https://cdn.example", "/x"),
        ("https://CDN.Example/X", "https://cdn.example", "/X"),
        ("https://storage.example:8443/x", "https://storage.example:8443", "/x"),
        ("https://cdn.example/a@b:c//d/../e?f=g@h:i//j", "https://cdn.example", "/a@b:c//d/../e?f=g@h:i//j"),
        ("/v2/x/blobs/y", "https://registry.example", "/v2/x/blobs/y"),
        ("/", "https://registry.example", "/"),
    ],
)
def test_what_is_allowed_is_read(text: str, origin: str, target: str) -> None:
    url = ALLOWED.resolve(text, BASE)
    assert (str(url.origin), url.target, str(url)) == (origin, target, origin + target)


REFUSED = [
    # Not by TLS, or to another port than is listed.
    "http://cdn.example/x",
    "HTTPS://cdn.example/x",
    "https://cdn.example:8443/x",
    "https://storage.example/x",
    # Somebody else, whoever reads it how.
    "https://evil.example/x",
    "https://cdn.example.evil.example/x",
    "https://evilcdn.example/x",
    "https://sub.cdn.example/x",
    "https://cdn.example./x",
    "https://.cdn.example/x",
    "https://cdn..example/x",
    "https://user@cdn.example/x",
    "https://user:pass@cdn.example/x",
    "https://cdn.example@evil.example/x",
    "https://evil.example\\@cdn.example/x",
    "https://evil.example/\\@cdn.example/x",
    "https://cdn.example\\.evil.example/x",
    "https://cdn.example#@evil.example/x",
    "https://cdn.example?@evil.example/x",
    "https://cdn.example%2eevil.example/x",
    "https://cdn.example%00/x",
    "https://cdn\u3002example/x",
    "https://\uff43dn.example/x",
    "https:\\\\cdn.example\\x",
    "https:/cdn.example/x",
    "https:cdn.example/x",
    "https:///cdn.example/x",
    "//cdn.example/x",
    "///cdn.example/x",
    "/\\cdn.example/x",
    "\\/cdn.example/x",
    "cdn.example/x",
    "x",
    "",
    " https://cdn.example/x",
    "https://cdn.example/x ",
    "https://cdn.example/a b",
    "https://cdn.example/a\tb",
    "https://cdn.example/a\r\nX: y",
    "ht\ntps://cdn.example/x",
    "https://cdn.exa\tmple/x",
    "https://cdn.example/é",
    "https://cdn.example/#fragment",
    "https://cdn.example:/x",
    "https://cdn.example:0/x",
    "https://cdn.example:65536/x",
    "https://cdn.example:443443/x",
    "https://cdn.example:\uff14\uff14\uff13/x",
    "https://cdn.example/" + "x" * 8192,
    "ftp://cdn.example/x",
    "file:///etc/passwd",
    "data:text/plain,x",
    "javascript:alert(1)",
    "gopher://cdn.example/x",
    "unix:///run/docker.sock",
]


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_not_allowed_is_refused(text: str) -> None:
    with pytest.raises(Misconfigured):
        ALLOWED.resolve(text, BASE)


ADDRESSES = [
    "127.0.0.1",
    "169.254.169.254",
    "169.254.170.2",
    "10.0.0.1",
    "[::1]",
    "[::ffff:169.254.169.254]",
    "[fd00:ec2::254]",
    "127.1",
    "0",
    "0x7f.1",
    "0x7f000001",
    "0177.0.0.1",
    "2130706433",
    "2852039166",
    "0xa9fea9fe",
    "0xA9.0xFE.0xA9.0xFE",
    "169.254.43518",
    "example.1",
    "example.0x7f",
]


@pytest.mark.parametrize("host", ADDRESSES)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_an_address_is_refused_even_where_it_is_listed(host: str, scheme: str) -> None:
    listed = Destinations("a blob", frozenset({host, f"{host}:443", f"{host}:80"}), "blobHosts")
    with pytest.raises(Misconfigured):
        listed.resolve(f"{scheme}://{host}/latest/meta-data/", BASE)


@pytest.mark.parametrize("host", ["localhost", "registry.localhost", "LOCALHOST"])
def test_this_machine_is_refused_even_where_it_is_listed(host: str) -> None:
    listed = Destinations("a blob", frozenset({host}), "blobHosts")
    with pytest.raises(Misconfigured):
        listed.resolve(f"https://{host}/x", BASE)


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        ("http://127.0.0.1:5000/x", True),
        ("http://localhost/x", True),
        ("http://[::1]:5000/x", True),
        ("http://127.0.0.1:5001/x", False),
        ("http://127.0.0.2:5000/x", False),
        ("http://0.0.0.0:5000/x", False),
        ("http://127.1:5000/x", False),
        ("http://2130706433:5000/x", False),
        ("http://[::ffff:127.0.0.1]:5000/x", False),
        ("http://169.254.169.254/x", False),
        ("http://cdn.example/x", False),
        ("https://cdn.example/x", False),
    ],
)
def test_in_the_clear_only_this_machine_is_asked_and_only_where_listed(text: str, allowed: bool) -> None:
    if allowed:
        assert str(HERE.resolve(text, BASE)) == text
    else:
        with pytest.raises(Misconfigured):
            HERE.resolve(text, BASE)


def test_a_message_has_the_host_and_never_the_rest() -> None:
    for text in ("https://evil.example/x?sig=s3cret", "http://cdn.example/s3cret", "https://a b/s3cret"):
        with pytest.raises(Misconfigured) as raised:
            ALLOWED.resolve(text, BASE)
        assert "s3cret" not in str(raised.value)
    assert "s3cret" not in repr(Url(BASE, "/x?sig=s3cret"))


hosts = st.sampled_from(
    ["cdn.example", "registry.example", "evil.example", "127.0.0.1", "[::1]", "localhost"]
)
pieces = st.sampled_from(
    ["http", ":", "//", "/", "\\", "@", "#", "?", "%", ".", ":443", ":80", "\t", " ", "x", "["]
)
odd = st.lists(hosts | pieces, max_size=8).map("".join)
addresses = odd | st.builds("https://{}{}".format, hosts, odd) | st.builds("https://{}{}".format, odd, hosts)


@given(addresses | st.text(max_size=40))
@example("https://cdn.example/x")
def test_what_is_read_is_what_every_other_parser_reads(text: str) -> None:
    url = parse(text)
    if url is None:
        return
    split, other = urlsplit(text), parse_url(text)
    assert (split.scheme, split.hostname, split.port or url.origin.port) == (
        url.origin.scheme,
        url.origin.host.strip("[]"),
        url.origin.port,
    )
    assert (other.scheme, (other.host or "").lower(), other.port or url.origin.port, other.auth) == (
        url.origin.scheme,
        url.origin.host,
        url.origin.port,
        None,
    )
    sent = requests.Request("GET", text).prepare().url
    assert sent is not None
    again = parse(sent)
    assert again is not None
    assert again.origin == url.origin


@given(addresses | st.text(max_size=40))
def test_whatever_stands_there_leads_nowhere_but_to_what_is_listed(text: str) -> None:
    try:
        url = ALLOWED.resolve(text, BASE)
    except Misconfigured:
        return
    assert str(url.origin) in {"https://cdn.example", "https://registry.example"}
    assert str(url).isascii()
    assert str(url).isprintable()


@given(st.ip_addresses(v=4), st.sampled_from(["d", "x", "o", "dotted"]))
def test_no_notation_of_an_address_is_a_name(address: ipaddress.IPv4Address, notation: str) -> None:
    host = str(address) if notation == "dotted" else f"{int(address):#{notation}}".replace("0o", "0")
    if notation == "d":
        host = str(int(address))
    origin = Origin.parse("https", host)
    assert origin is None or origin.is_address

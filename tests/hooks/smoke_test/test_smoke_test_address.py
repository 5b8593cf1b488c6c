"""Whom the function may connect to."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hooks.smoke_test.address import Origin, check_address, check_allowed
from shared.errors import Misconfigured

SHOP = Origin("https", "test.shop.example", 443)


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://test.shop.example", SHOP),
        ("http://test.shop.example", Origin("http", "test.shop.example", 80)),
        ("http://10.0.3.7:9000", Origin("http", "10.0.3.7", 9000)),
        ("https://[fd12::7]:8443", Origin("https", "fd12::7", 8443)),
    ],
)
def test_a_url_is_scheme_host_and_port(url: str, origin: Origin) -> None:
    assert Origin.parse(url) == origin
    assert str(origin) == url


@pytest.mark.parametrize(
    "url",
    [
        *("https://shop.example/path", "https://shop.example:0", "https://shop.example:65536"),
        *("ftp://shop.example", "https://user@shop.example", "https://shop.example\\@evil.example"),
        *("https://shop.example#@evil.example", "https:///", "", "https://shop.example\n", "//shop.example"),
    ],
)
def test_what_could_be_read_in_two_ways_is_not_read(url: str) -> None:
    with pytest.raises(Misconfigured, match=r"^url: expected such as https://"):
        Origin.parse(url)


@pytest.mark.parametrize(
    ("pattern", "url", "allowed"),
    [
        ("test.shop.example", "https://test.shop.example", True),
        ("test.shop.example", "http://test.shop.example", True),
        ("test.shop.example", "https://test.shop.example:8443", False),
        ("test.shop.example:8443", "https://test.shop.example:8443", True),
        ("test.shop.example:8443", "https://test.shop.example", False),
        ("test.shop.example", "https://shop.example", False),
        ("shop.example", "https://test.shop.example", False),
        ("*.shop.example", "https://test.shop.example", True),
        ("*.shop.example", "https://a.b.shop.example", True),
        ("*.shop.example", "https://shop.example", False),
        ("*.shop.example", "https://evilshop.example", False),
        ("*.shop.example:9000", "http://test.shop.example:9000", True),
        ("[fd12::7]:80", "http://[fd12::7]", True),
        ("*", "https://test.shop.example", False),
    ],
)
def test_only_hosts_on_the_policy_s_list_are_asked(pattern: str, url: str, *, allowed: bool) -> None:
    origin = Origin.parse(url)
    if allowed:
        check_allowed(origin, ["other.example", pattern])
    else:
        with pytest.raises(Misconfigured, match="is not among the policy's allowedHosts"):
            check_allowed(origin, ["other.example", pattern])


def test_a_refusal_says_what_to_set() -> None:
    with pytest.raises(Misconfigured) as raised:
        check_allowed(SHOP, [])

    assert str(raised.value) == (
        "url: https://test.shop.example is not among the policy's allowedHosts: none; if it should be, "
        "whoever deploys the hook adds test.shop.example:443 to them, in HOOK_POLICY"
    )


NEVER = (
    *("169.254.169.254", "169.254.170.2", "169.254.100.1", "fe80::1", "fe80::1%eth0"),
    *("127.0.0.1", "127.8.9.1", "::1", "0.0.0.0", "::", "0.1.2.3"),
    *("224.0.0.1", "239.1.1.1", "ff02::1", "255.255.255.255", "240.0.0.1", "192.0.2.7", "198.18.0.1"),
    # Amazon's own, in what is private otherwise.
    *("fd00:ec2::254", "fd00:ec2::23", "fd00:ec2::253"),
    # The same in the clothes of IPv6.
    *(
        "::ffff:169.254.169.254",
        "::ffff:127.0.0.1",
        "64:ff9b::a9fe:a9fe",
        "2002:a9fe:a9fe::1",
        "64:ff9b::7f00:1",
    ),
)


@pytest.mark.parametrize("address", NEVER)
def test_whatever_dns_says_no_metadata_and_nothing_of_the_function_s_is_asked(address: str) -> None:
    with pytest.raises(Misconfigured, match="which is never asked"):
        check_address(SHOP, address)


@pytest.mark.parametrize(
    "address",
    ["10.0.3.7", "172.31.4.4", "192.168.1.1", "100.64.3.3", "fd12::7", "52.94.236.248", "2600:1f18::1"],
)
def test_public_addresses_and_those_of_private_networks_are_asked(address: str) -> None:
    check_address(SHOP, address)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1"])
def test_the_function_is_asked_where_the_policy_names_it(host: str) -> None:
    origin = Origin("http", host, 8080)

    check_address(origin, "127.0.0.1")
    check_address(origin, "::1")
    with pytest.raises(Misconfigured):
        check_address(origin, "169.254.169.254")


# As resolvers read addresses, and ipaddress does not.
@pytest.mark.parametrize(
    "host", ["127.1", "2130706433", "0x7f000001", "017700000001", "localhost.shop.example"]
)
def test_an_address_in_another_notation_names_nobody(host: str) -> None:
    with pytest.raises(Misconfigured):
        check_address(Origin("http", host, 8080), "127.0.0.1")


@given(st.ip_addresses(v=4))
def test_an_address_means_the_same_in_ipv6(address: ipaddress.IPv4Address) -> None:
    mapped = str(ipaddress.IPv6Address(f"::ffff:{address}"))

    assert _asked(str(address)) == _asked(mapped)


@given(st.ip_addresses(network="169.254.0.0/16") | st.ip_addresses(network="fe80::/10"))
def test_no_link_local_address_is_asked(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    assert not _asked(str(address))


def _asked(address: str) -> bool:
    try:
        check_address(SHOP, address)
    except Misconfigured:
        return False
    return True

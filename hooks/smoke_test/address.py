"""Whom the function may connect to: the hosts that the policy names, and never what is beside the function.

``hookDetails`` is written by whoever can update a service, and DNS by whoever owns a name. So a host has to
be on the organisation's list, and then the very address that is connected to is looked at as well::

    url ─▶ Origin ─▶ on the policy's list? ─▶ resolved, once ─▶ each address: public, or of a private network?
                     else Misconfigured                         else Misconfigured

Link-local addresses (metadata and credentials of EC2 and ECS), multicast and whatever else is of no network
are never asked. The function itself is asked where the policy names it: as ``localhost``, or by its address.
"""

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass

from shared.errors import Misconfigured, shown

# Names in any notation: what a resolver takes for an address is looked at as an address.
HOST = r"([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?|\[[0-9a-f:.]{2,45}\])"

DEFAULT_PORTS = {"http": 80, "https": 443}

_URL = re.compile(rf"(?P<scheme>https?)://(?P<host>{HOST})(:(?P<port>[0-9]{{1,5}}))?")
_PATTERN = re.compile(rf"(?P<any>\*\.)?(?P<host>{HOST})(:(?P<port>[0-9]{{1,5}}))?")

# https://www.rfc-editor.org/rfc/rfc1918, rfc6598 (VPCs may have it) and rfc4193.
_PRIVATE = tuple(
    map(
        ipaddress.ip_network,
        ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7"),
    )
)
# Amazon's own in there: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/configuring-instance-metadata-service.html
_SERVICES = ipaddress.ip_network("fd00:ec2::/32")
# https://www.rfc-editor.org/rfc/rfc6052#section-2.1: an IPv4 address in its last 32 bits.
_TRANSLATED = ipaddress.ip_network("64:ff9b::/96")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class Origin:
    """Scheme, host and port of a URL."""

    scheme: str
    host: str
    """Without the brackets of an IPv6 address."""
    port: int

    @classmethod
    def parse(cls, url: str) -> "Origin":
        """Read a URL without a path; raises ``Misconfigured``."""
        found = _URL.fullmatch(url)
        port = int((found and found["port"]) or DEFAULT_PORTS.get(url.partition(":")[0], 0))
        if found is None or not 0 < port < 65536:
            raise Misconfigured(f"url: expected such as https://test.shop.example:8443, got {shown(url)}")
        return cls(found["scheme"], found["host"].strip("[]"), port)

    @property
    def is_the_function(self) -> bool:
        """Whether it says so itself, and not DNS."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == DEFAULT_PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{host}{port}"


def check_allowed(origin: Origin, patterns: Sequence[str]) -> None:
    """Hold an origin against the policy's ``allowedHosts``; raises ``Misconfigured``."""
    if not any(_allows(pattern, origin) for pattern in patterns):
        raise Misconfigured(
            f"url: {origin} is not among the policy's allowedHosts: {', '.join(patterns) or 'none'}; if it "
            f"should be, whoever deploys the hook adds {origin.host}:{origin.port} to them, in HOOK_POLICY"
        )


def check_address(origin: Origin, text: str) -> None:
    """Refuse an address that *origin* was resolved to, if nobody is to be asked there; raises as above."""
    address = _innermost(ipaddress.ip_address(text.partition("%")[0]))
    if address.is_loopback and origin.is_the_function:
        return
    if not (address.is_global and not address.is_multicast) and not _is_private(address):
        raise Misconfigured(
            f"url: {origin.host} is at {address}, which is never asked: neither public nor in a private "
            "network"
        )


def _allows(pattern: str, origin: Origin) -> bool:
    found = _PATTERN.fullmatch(pattern)
    if found is None:
        return False
    host = found["host"].strip("[]")
    fits = origin.host.endswith(f".{host}") if found["any"] else origin.host == host
    ports = {int(found["port"])} if found["port"] else set(DEFAULT_PORTS.values())
    return fits and origin.port in ports


def _is_private(address: Address) -> bool:
    return any(address in network for network in _PRIVATE) and address not in _SERVICES


def _innermost(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 address stands for, where it does."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address in _TRANSLATED:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        return inner or address
    return address

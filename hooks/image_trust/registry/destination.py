"""Where a registry may lead us: URLs read strictly, and the hosts that are allowed.

A registry names two kinds of addresses: where tokens come from, and where its blobs are. Whoever owns it can
name any, such as a metadata service's, so each is held against a list. Parsers differ about odd URLs (a
backslash, a user before the host, a tab); only what all of them read alike is read here::

    https://host[:port]/path[?query]        host: labels of letters, digits and hyphens; never an address

An IP address is refused even where it is on the list, in all forms that a resolver takes for one: ``127.1``,
``2130706433``, ``0x7f000001``, ``[::1]``.
Source: https://url.spec.whatwg.org/#ends-in-a-number-checker
"""

import ipaddress
import re
from dataclasses import dataclass, field

from shared.errors import Misconfigured, shown

MAX_URL_LENGTH = 8192
"""Pre-signed URLs have about 2000 characters."""

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HOST = re.compile(
    rf"(?P<host>{_LABEL}(?:\.{_LABEL}){{0,30}}|\[[0-9a-f:]{{2,39}}\])(?::(?P<port>[0-9]{{1,5}}))?"
)
_URL = re.compile(
    r"(?P<scheme>https?)://(?P<authority>[^/?#@\\]{1,300})(?P<target>/[^\x00-\x20\x7f-\U0010ffff#\\]*)?"
)
_TARGET = re.compile(r"/(?!/)[^\x00-\x20\x7f-\U0010ffff#\\]*")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")

_PORTS = {"https": 443, "http": 80}


@dataclass(frozen=True, slots=True)
class Origin:
    """Whom a request goes to."""

    scheme: str
    host: str
    port: int

    @classmethod
    def parse(cls, scheme: str, authority: str) -> "Origin | None":
        """Read ``host[:port]``; ``None`` for what is none."""
        found = _HOST.fullmatch(authority.lower())
        if found is None:
            return None
        port = int(found["port"]) if found["port"] else _PORTS[scheme]
        return cls(scheme, found["host"], port) if 0 < port < 65536 else None

    @property
    def is_address(self) -> bool:
        """Whether the host is an IP address in any notation."""
        return self.host.startswith("[") or _NUMBER.fullmatch(self.host.rpartition(".")[2]) is not None

    @property
    def is_loopback(self) -> bool:
        """Whether it is this machine, by a name or address that nobody else can give a meaning."""
        if self.host == "localhost" or self.host.endswith(".localhost"):
            return True
        try:
            return ipaddress.ip_address(self.host.strip("[]")).is_loopback
        except ValueError:
            return False

    def __str__(self) -> str:
        return f"{self.scheme}://{self.host}" + (f":{self.port}" if self.port != _PORTS[self.scheme] else "")


@dataclass(frozen=True, slots=True)
class Url:
    """An address that may be asked."""

    origin: Origin
    target: str = field(repr=False)
    """Path and query; a query may be a signature, and is shown nowhere."""

    def __str__(self) -> str:
        return f"{self.origin}{self.target}"


def parse(text: str, base: Origin | None = None) -> Url | None:
    """Read an address: absolute, or as a path on *base*; ``None`` for what can't be read, or not strictly."""
    if len(text) > MAX_URL_LENGTH:
        return None
    if base and _TARGET.fullmatch(text):
        return Url(base, text)
    found = _URL.fullmatch(text)
    origin = Origin.parse(found["scheme"], found["authority"]) if found else None
    return Url(origin, found["target"] or "/") if found and origin else None


@dataclass(frozen=True, slots=True)
class Destinations:
    """The hosts that one kind of address may be at."""

    what: str
    """The kind, for messages: ``a blob``."""
    hosts: frozenset[str]
    """``host`` or ``host:port``."""
    setting: str
    """Where a host can be added, for messages."""
    plain_loopback: bool = False
    """Whether this machine may be asked, and without TLS: for tests and the command line."""

    def resolve(self, text: str, base: Origin) -> Url:
        """Read an address that *base* named, absolute or as a path on *base* itself.

        Raises
        ------
        Misconfigured
            Where it can't be read, or leads elsewhere. The message has the host at most.
        """
        url = parse(text, base)
        if url is None:
            raise Misconfigured(f"{base} names an address for {self.what} that can't be read")
        self.check(url.origin)
        return url

    def check(self, origin: Origin) -> None:
        """Refuse an origin that is not allowed; raises as :meth:`resolve`."""
        where = f"{self.what} would be at {shown(str(origin))}"
        is_here = self.plain_loopback and origin.is_loopback
        if not is_here and (origin.scheme != "https" or origin.is_address or origin.is_loopback):
            raise Misconfigured(f"{where}; only hosts that have a name are asked, and by https")
        if origin not in {Origin.parse(origin.scheme, host) for host in self.hosts}:
            raise Misconfigured(
                f"{where}, which is not allowed; if it is right, add the host to {self.setting}"
            )

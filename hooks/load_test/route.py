"""Where requests go, and which of them reach green: read from the revision, never from whoever asks.

::

    Service Connect    http://DNSNAME:PORT of the client alias     header of its test traffic rule
    load balancer      http(s)://its name:port of the listener     header of the test listener's rule

A namespace comes first, where a service has both: the generator is in it.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hooks.load_test.settings import Header
from shared.errors import Misconfigured, shown
from shared.revision import ClientAlias, Listener

# Where a rule asks for the header and not for its value, any value will do.
ANY_VALUE = "green"


@dataclass(frozen=True, slots=True)
class Route:
    """How both revisions are reached."""

    url: str
    """Scheme, host and port; without a path."""
    header: Header
    """Of requests to green; those to blue go without it."""


def by_namespace(aliases: Sequence[ClientAlias], port_name: str | None, header: Header | None) -> Route:
    """Find the way through Service Connect.

    Raises
    ------
    Misconfigured
        When no port is called *port_name*, or several could be meant, or the alias has no name to ask for.
    """
    names = sorted({alias.port_name for alias in aliases})
    if port_name is None and len(names) > 1:
        raise Misconfigured(
            f"portName: the service has several ports: {', '.join(names)}; name the one to load"
        )
    found = [alias for alias in aliases if port_name in {None, alias.port_name}]
    if not found:
        raise Misconfigured(f"portName: no Service Connect port is called {port_name!r}; there are: {names}")
    alias = found[0]
    if alias.dns_name is None:
        raise Misconfigured(
            f"the client alias of port {alias.port_name} has no dnsName, and the service's namespace no name "
            "either but its ARN at most; give the alias a dnsName"
        )
    own = header or _made(alias.test_header.name, alias.test_header.value or ANY_VALUE, "test traffic rule")
    return Route(f"http://{alias.dns_name}:{alias.port}", own)


def by_listener(listener: Listener, header: Header | None) -> Route:
    """Find the way through a load balancer.

    Raises
    ------
    Misconfigured
        When the listener takes something else than HTTP, or its rule tells green by something else than one
        header, so that requests to blue would need another way.
    """
    if listener.protocol not in {"HTTP", "HTTPS"}:
        raise Misconfigured(f"the test listener takes {listener.protocol}, and the load is HTTP")
    url = f"{listener.protocol.lower()}://{listener.host}:{listener.port}"
    return Route(url, header or _header(listener.conditions))


def _header(conditions: Sequence[Mapping[str, Any]]) -> Header:
    found = [one.get("HttpHeaderConfig") or {} for one in conditions if one.get("Field") == "http-header"]
    if not found:
        fields = ", ".join(sorted({str(one.get("Field")) for one in conditions})) or "nothing"
        raise Misconfigured(
            f"the test listener's rule asks for {fields}, not for a header, so that blue can't be reached "
            "beside green; add a condition on a header to it, or set header"
        )
    others = {str(one.get("Field")) for one in conditions} - {"http-header", "path-pattern"}
    if others or len(found) > 1:
        also = ", ".join(sorted(others)) or "a second header"
        raise Misconfigured(
            f"the test listener's rule asks for {also} besides its header, which requests of the load would "
            "not have; let the header do, or set header"
        )
    values = [str(value) for value in found[0].get("Values") or ()]
    # In a rule * stands for any characters and ? for one.
    plain = [value for value in values if not re.search(r"[*?]", value)]
    value = plain[0] if plain else values[0].replace("*", "").replace("?", "0") if values else ANY_VALUE
    return _made(str(found[0].get("HttpHeaderName", "")), value or ANY_VALUE, "test listener's rule")


def _made(name: str, value: str, where: str) -> Header:
    try:
        return Header(name=name, value=value)
    except ValueError as error:
        raise Misconfigured(
            f"the {where} asks for a header that can't be sent: {shown(name)}: {shown(value)}"
        ) from error

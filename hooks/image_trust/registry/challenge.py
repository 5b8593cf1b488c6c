"""What a registry answers with 401: by which scheme, and where, it wants to be persuaded.

::

    WWW-Authenticate: Bearer realm="https://auth.docker.io/token",service="registry.docker.io",
                             scope="repository:library/nginx:pull"

Sources: https://www.rfc-editor.org/rfc/rfc9110#section-11.6.1 (one header may have several challenges) and
https://github.com/distribution/distribution/blob/v2.8.2/docs/spec/auth/token.md
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shared.errors import Misconfigured

MAX_LENGTH = 4096
_MAX_PARAMETERS = 16

_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_SEPARATOR = re.compile(r"[ \t,]*")
_SCHEME = re.compile(_WORD)
_PARAMETER = re.compile(
    rf'(?P<name>{_WORD})[ \t]*=[ \t]*(?:(?P<token>{_WORD})|"(?P<quoted>(?:[ \t!#-\[\]-~]|\\[ \t!-~])*)")'
    r"[ \t]*(?=,|$)"
)
_TOKEN68 = re.compile(r"[A-Za-z0-9._~+/-]+=*[ \t]*(?=,|$)")


@dataclass(frozen=True, slots=True)
class Challenge:
    """One way to be let in."""

    scheme: str
    """In lower case: ``bearer``, ``basic``."""
    parameters: Mapping[str, str]
    """By name in lower case."""


def parse(header: str) -> tuple[Challenge, ...]:
    """Read a ``WWW-Authenticate`` header.

    Raises
    ------
    Misconfigured
        For anything that the grammar does not have, a parameter that stands there twice among it.
    """
    if len(header) > MAX_LENGTH:
        raise Misconfigured(f"WWW-Authenticate has {len(header)} characters")
    found: list[Challenge] = []
    at = _skip(header, 0)
    while at < len(header):
        scheme = _SCHEME.match(header, at)
        if scheme is None:
            raise _unreadable()
        at = scheme.end()
        parameters: dict[str, str] = {}
        if at < len(header) and header[at] not in " \t,":
            raise _unreadable()
        if opaque := _TOKEN68.match(header, _spaces(header, at)):
            # Kerberos and its like: no parameters, but a text of their own.
            at = opaque.end()
        else:
            at = _read_parameters(header, at, parameters)
        found.append(Challenge(scheme[0].lower(), parameters))
        at = _skip(header, at)
    return tuple(found)


def _read_parameters(header: str, at: int, parameters: dict[str, str]) -> int:
    while parameter := _PARAMETER.match(header, _skip(header, at)):
        name = parameter["name"].lower()
        if name in parameters or len(parameters) == _MAX_PARAMETERS:
            raise _unreadable()
        quoted = parameter["quoted"]
        parameters[name] = parameter["token"] if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
        at = parameter.end()
    return at


def choose(challenges: Sequence[Challenge]) -> Challenge:
    """Return the one to meet: the one for a token, else the one for a password.

    Raises
    ------
    Misconfigured
        Where there is neither, or more than one of a kind: whoever picks the other talks to somebody else.
    """
    for scheme in ("bearer", "basic"):
        those = [challenge for challenge in challenges if challenge.scheme == scheme]
        if len(those) == 1:
            return those[0]
        if those:
            raise Misconfigured(f"WWW-Authenticate has {len(those)} challenges of the scheme {scheme}")
    raise Misconfigured("WWW-Authenticate has no challenge of the schemes bearer and basic")


def _skip(header: str, at: int) -> int:
    found = _SEPARATOR.match(header, at)
    return found.end() if found else at


def _spaces(header: str, at: int) -> int:
    while header[at : at + 1] in {" ", "\t"}:
        at += 1
    return at


def _unreadable() -> Misconfigured:
    return Misconfigured("WWW-Authenticate can't be read as RFC 9110 has it")

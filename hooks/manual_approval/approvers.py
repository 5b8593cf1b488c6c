"""Who answered, and whether that counts.

AWS records the caller of each parameter version in ``LastModifiedUser``: a user
(``arn:aws:iam::ACCOUNT:user/alice``), a role's session
(``arn:aws:sts::ACCOUNT:assumed-role/ROLE/SESSION``) or a federated user
(``arn:aws:sts::ACCOUNT:federated-user/NAME``). Session and name are the caller's own choice.
Source: https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_ParameterHistory.html

Whoever decides in the console is a person that an OpenID provider has vouched for::

    oidc:https://login.example.com#alice              issuer, and subject in it
    oidc-group:https://login.example.com#releases     a group that the issuer says she is in

The console writes these into the version's text. They are believed where AWS says that the console's own
role wrote the version, and nowhere else. An issuer's URL has no fragment, so the first ``#`` ends it.
Source: https://openid.net/specs/openid-connect-discovery-1_0.html#ProviderMetadata
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

PERSON_SCHEME = "oidc:"
GROUP_SCHEME = "oidc-group:"

_ROLE = re.compile(r"arn:(?P<partition>[^:]+):iam::(?P<account>[^:]*):role/(?:.*/)?(?P<name>[^/]+)")
_ROLE_OF_SESSIONS = re.compile(r"arn:[^:]+:sts::[^:]*:assumed-role/[^/]+")
_SESSION = re.compile(r"(?P<role>arn:[^:]+:sts::\d+:(?:assumed-role/[^/]+|federated-user))/(?P<name>[^/]+)")
_USER = re.compile(r"arn:[^:]+:iam::\d+:user/(?:[^\s:]*/)?(?P<name>[^\s:/]+)")
# The path of a user may hold colons, and then all that another ARN consists of: as nobody's name has one,
# whoever has such a path would only be taken for somebody else.
# https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateUser.html
_IDENTITY = re.compile(r"arn:[^:]+:(?:iam|sts)::\d+:[^\s:]+")
_PERSON = re.compile(rf"{PERSON_SCHEME}[^#\s]+#(?P<subject>[^\x00-\x1f\x7f]+)")
_GROUP = re.compile(rf"{GROUP_SCHEME}[^#\s]+#[^\x00-\x1f\x7f]+")


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who has signed in to the console, as it wrote down."""

    identity: str
    """``oidc:ISSUER#SUBJECT``."""
    groups: tuple[str, ...] = ()
    """``oidc-group:ISSUER#GROUP``."""
    name: str = ""
    """For people to read; nothing is decided by it."""

    @property
    def is_well_formed(self) -> bool:
        """Whether these are names of a person and of groups, and not of something else, such as a role."""
        # What can't be seen could make two names look like one.
        return (
            _PERSON.fullmatch(self.identity) is not None
            and all(map(_GROUP.fullmatch, self.groups))
            and all(name.isprintable() for name in (self.identity, *self.groups))
        )


def matches(identity: str, pattern: str) -> bool:
    """Tell whether *identity* matches a pattern with ``*`` and ``?``.

    A role stands for all its sessions. Their ARNs have lost the role's path, so a pattern with a path
    is read without it. An exclusion must not miss a role because of how it is written.

    In the pattern of a person or group neither ``*`` nor ``?`` reaches from the issuer into what follows.
    """
    return _expression(pattern).fullmatch(identity) is not None


@lru_cache(maxsize=1024)
def _expression(pattern: str) -> re.Pattern[str]:
    if role := _ROLE.fullmatch(pattern):
        pattern = f"arn:{role['partition']}:sts::{role['account']}:assumed-role/{role['name']}"
    if _ROLE_OF_SESSIONS.fullmatch(pattern):
        pattern += "/*"
    if pattern.startswith((PERSON_SCHEME, GROUP_SCHEME)):
        issuer, mark, name = pattern.partition("#")
        return re.compile(_translated(issuer, "[^#]") + mark + _translated(name, "."), re.DOTALL)
    return re.compile(_translated(pattern, "."), re.DOTALL)


def _translated(pattern: str, wild: str) -> str:
    """Write it as a regular expression that takes no longer than the product of both lengths.

    Each literal between two stars is sought once, where it comes first, and stays found: the group is atomic.
    """
    first, *others = (
        "".join(wild if character == "?" else re.escape(character) for character in literal)
        for literal in pattern.split("*")
    )
    if not others:
        return first
    *middle, last = others
    return first + "".join(f"(?>{wild}*?{literal})" for literal in middle if literal) + f"{wild}*{last}"


def matches_any(identity: str, patterns: Iterable[str]) -> bool:
    return any(matches(identity, pattern) for pattern in patterns)


def same_role(one: str, other: str) -> bool:
    """Tell whether two identities are the same user, or of the same role; either may be the role itself."""
    return _principal(one) == _principal(other)


def _principal(identity: str) -> str:
    if role := _ROLE.fullmatch(identity):
        return f"arn:{role['partition']}:sts::{role['account']}:assumed-role/{role['name']}"
    session = _SESSION.fullmatch(identity)
    return session["role"] if session else identity


@dataclass(frozen=True, slots=True)
class Voice:
    """Whoever answered, as far as they may be believed."""

    identity: str
    """What is shown of them: an ARN, or a person of the console."""
    names: tuple[str, ...]
    """All that patterns may match."""
    one: str
    """Equal for what counts as one person, however an issuer or a session spells them."""


@dataclass(frozen=True, slots=True)
class Electorate:
    """Who may decide."""

    allowed: tuple[tuple[str, ...], ...]
    """Lists of patterns; a match is needed in each."""
    excluded: tuple[str, ...]
    personal_sessions: tuple[str, ...]
    console: str = ""
    """ARN of the console's role; empty where there is no console."""

    def objection(self, caller: str, person: Person | None = None) -> str | None:
        """Return why an answer does not count, or ``None`` when it does.

        Parameters
        ----------
        caller
            ARN of whoever wrote the version, as AWS recorded it.
        person
            Whom the version's text names.
        """
        if not _IDENTITY.fullmatch(caller):
            return "AWS recorded no identity"
        if self.is_console(caller) and not (person and person.is_well_formed):
            return "the console names no person"
        names = self.voice(caller, person).names
        # In any spelling: issuers differ on whether names are lower case, and an exclusion must not miss.
        excluded = [pattern.casefold() for pattern in self.excluded]
        if any(matches_any(name.casefold(), excluded) for name in names):
            return "excluded by excludedApprovers"
        if not all(any(matches_any(name, patterns) for name in names) for patterns in self.allowed):
            return "not among allowedApprovers"
        return None

    def voice(self, caller: str, person: Person | None = None) -> Voice:
        """Return what counts as one voice: a user, a person, or a whole role.

        A person is one by the subject of the console's sign-in, or by the name of a user or of a personal
        session. Somebody with two roles (two permission sets, say) has one name, and one voice; so has
        somebody who is called the same in the console, in any spelling.
        """
        if self.is_console(caller) and person and (named := _PERSON.fullmatch(person.identity)):
            return Voice(
                person.identity, (person.identity, *person.groups, caller), named["subject"].casefold()
            )
        session = _SESSION.fullmatch(caller)
        personal = session if session and matches_any(caller, self.personal_sessions) else None
        if own_name := personal or _USER.fullmatch(caller):
            return Voice(caller, (caller,), own_name["name"].casefold())
        return Voice(caller, (caller,), _principal(caller))

    def is_console(self, caller: str) -> bool:
        """Tell whether it was the console's own role that wrote."""
        return bool(self.console) and same_role(caller, self.console)

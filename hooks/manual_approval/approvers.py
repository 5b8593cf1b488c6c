"""Who answered, as AWS recorded it, and whether that counts.

``LastModifiedUser`` of a parameter version is the ARN of the caller: of a user
(``arn:aws:iam::ACCOUNT:user/alice``), of a role's session
(``arn:aws:sts::ACCOUNT:assumed-role/ROLE/SESSION``) or of a federated user
(``arn:aws:sts::ACCOUNT:federated-user/NAME``). Session and name are the caller's own choice.
Source: https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_ParameterHistory.html
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

_ROLE = re.compile(r"arn:(?P<partition>[^:]+):iam::(?P<account>[^:]*):role/(?:.*/)?(?P<name>[^/]+)")
_ROLE_OF_SESSIONS = re.compile(r"arn:[^:]+:sts::[^:]*:assumed-role/[^/]+")
_SESSION = re.compile(r"(?P<role>arn:[^:]+:sts::\d+:(?:assumed-role/[^/]+|federated-user))/(?P<name>[^/]+)")
_IDENTITY = re.compile(r"arn:[^:]+:(?:iam|sts)::\d+:\S+")


def matches(identity: str, pattern: str) -> bool:
    """Tell whether *identity* matches an ARN pattern with ``*`` and ``?``.

    A role stands for all its sessions. Their ARNs have lost the role's path, so a pattern with a path
    is read without it. An exclusion must not miss a role because of how it is written.
    """
    if role := _ROLE.fullmatch(pattern):
        pattern = f"arn:{role['partition']}:sts::{role['account']}:assumed-role/{role['name']}"
    if _ROLE_OF_SESSIONS.fullmatch(pattern):
        pattern += "/*"
    expression = "".join({"*": ".*", "?": "."}.get(character, re.escape(character)) for character in pattern)
    return re.fullmatch(expression, identity) is not None


def matches_any(identity: str, patterns: Iterable[str]) -> bool:
    return any(matches(identity, pattern) for pattern in patterns)


def same_role(one: str, other: str) -> bool:
    """Tell whether two identities are the same user, or sessions of the same role."""
    return _principal(one) == _principal(other)


def _principal(identity: str) -> str:
    session = _SESSION.fullmatch(identity)
    return session["role"] if session else identity


@dataclass(frozen=True, slots=True)
class Electorate:
    """Who may decide."""

    allowed: tuple[tuple[str, ...], ...]
    """Lists of patterns; a match is needed in each."""
    excluded: tuple[str, ...]
    personal_sessions: tuple[str, ...]

    def objection(self, identity: str) -> str | None:
        """Return why *identity* may not decide, or ``None`` when it may."""
        if not _IDENTITY.fullmatch(identity):
            return "AWS recorded no identity"
        if matches_any(identity, self.excluded):
            return "excluded by excludedApprovers"
        if not all(matches_any(identity, patterns) for patterns in self.allowed):
            return "not among allowedApprovers"
        return None

    def voter(self, identity: str) -> str:
        """Return what counts as one voice: a user, a person by the name of the session, or a whole role.

        Somebody with two roles (two permission sets, say) has one name, and one voice.
        """
        session = _SESSION.fullmatch(identity)
        if session and matches_any(identity, self.personal_sessions):
            return session["name"]
        return _principal(identity)

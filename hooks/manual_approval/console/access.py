"""Who may see what in the console, and who may decide: the organisation's policy, in ``CONSOLE_ACCESS``.

::

    {
        "rules": [
            {"groups": ["release-managers"], "services": ["shop/*"], "may": "decide"},
            {"people": ["alice"], "services": ["shop/checkout"], "may": "decide"},
            {"groups": ["*"], "services": ["*/*"], "may": "view"},
        ]
    }

A rule names groups as the issuer calls them, people by what ``CONSOLE_IDENTITY_CLAIM`` says, or both; ``*``
among the groups is whoever is signed in. A service is ``cluster/service`` with ``*`` and ``?``, neither of
which crosses the slash. Whoever may decide may view. What no rule grants is refused: without rules nobody
sees anything.

The hook has the last word on who may decide. Here is said who may try.
"""

import fnmatch
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    field_validator,
    model_validator,
)

from hooks.manual_approval.approvers import GROUP_SCHEME, PERSON_SCHEME, Person

EVERYBODY = "*"

MAX_NAME_CHARACTERS = 256

# Names in ECS have no other characters (CreateCluster, CreateService).
_SERVICE_NAME = re.compile(r"[A-Za-z0-9_-]{1,255}")
_PATTERN = re.compile(r"[A-Za-z0-9_*?-]{1,255}/[A-Za-z0-9_*?-]{1,255}")


def _is_pattern(text: str) -> str:
    if not _PATTERN.fullmatch(text):
        raise ValueError("expected CLUSTER/SERVICE, with * and ? on either side of the slash")
    return text


Pattern = Annotated[str, AfterValidator(_is_pattern)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=MAX_NAME_CHARACTERS)]


class AccessRule(BaseModel):
    """What some people may do with some services."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    groups: Annotated[tuple[Name, ...], Field(strict=False, max_length=50)] = ()
    people: Annotated[tuple[Name, ...], Field(strict=False, max_length=50)] = ()
    services: Annotated[tuple[Pattern, ...], Field(strict=False, max_length=50)]
    may: Literal["decide", "view"]

    @field_validator("groups", "people")
    @classmethod
    def _are_names(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if not all(is_name(name) for name in names):
            raise ValueError("a name has no control characters, and no spaces around it")
        return names

    @model_validator(mode="after")
    def _grants_something(self) -> Self:
        if not self.groups and not self.people:
            raise ValueError("a rule needs groups or people")
        if not self.services:
            raise ValueError("a rule needs services")
        if EVERYBODY in self.people:
            raise ValueError('"*" belongs in groups, where it is whoever is signed in')
        return self

    def is_for(self, subject: str, groups: Iterable[str]) -> bool:
        """Tell whether it grants anything to a person."""
        named = set(self.groups)
        return EVERYBODY in named or subject in self.people or not named.isdisjoint(groups)

    def covers(self, cluster: str, service: str) -> bool:
        """Tell whether a service is among those it is about."""
        # Matched apart from each other, and of names without one, so that no star reaches over a slash.
        return all(map(_SERVICE_NAME.fullmatch, (cluster, service))) and any(
            fnmatch.fnmatchcase(cluster, wanted_cluster) and fnmatch.fnmatchcase(service, wanted_service)
            for wanted_cluster, _, wanted_service in (pattern.partition("/") for pattern in self.services)
        )


class AccessPolicy(BaseModel):
    """All rules; each only grants."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    rules: Annotated[tuple[AccessRule, ...], Field(strict=False, max_length=50)] = ()

    def groups_named(self, groups: Iterable[str]) -> tuple[str, ...]:
        """Return those of somebody's groups that any rule names, in the order of the rules."""
        theirs = set(groups) - {EVERYBODY}
        named = dict.fromkeys(group for rule in self.rules for group in rule.groups)
        return tuple(group for group in named if group in theirs)


def is_name(text: str) -> bool:
    """Tell whether a text may name a person or group: nothing in it is invisible or steers a terminal.

    What Unicode counts as control, format or surrogate is out, and every space but the plain one.
    """
    return 0 < len(text) <= MAX_NAME_CHARACTERS and text.isprintable() and text == text.strip()


@dataclass(frozen=True, slots=True)
class Access:
    """What one signed-in person may do."""

    policy: AccessPolicy
    issuer: str
    subject: str
    groups: tuple[str, ...]
    """As the issuer calls them."""

    def may_view(self, cluster: str, service: str) -> bool:
        return any(self._rules(cluster, service))

    def may_decide(self, cluster: str, service: str) -> bool:
        """Tell whether they may answer requests of a service, and stop its deployments."""
        return any(rule.may == "decide" for rule in self._rules(cluster, service))

    def person(self, cluster: str, service: str, name: str) -> Person:
        """Return them as a request's rules may name them.

        With all of their groups that the policy names, for an exclusion must not miss one. What lets them
        decide here comes first: an answer has not room for all.
        """
        deciding = {
            group for rule in self._rules(cluster, service) if rule.may == "decide" for group in rule.groups
        }
        named = self.policy.groups_named(self.groups)
        ordered = sorted(named, key=lambda group: group not in deciding)
        return Person(self.identity, tuple(f"{GROUP_SCHEME}{self.issuer}#{g}" for g in ordered), name)

    @property
    def identity(self) -> str:
        """``oidc:ISSUER#SUBJECT``."""
        return f"{PERSON_SCHEME}{self.issuer}#{self.subject}"

    def _rules(self, cluster: str, service: str) -> Iterator[AccessRule]:
        return (
            rule
            for rule in self.policy.rules
            if rule.is_for(self.subject, self.groups) and rule.covers(cluster, service)
        )

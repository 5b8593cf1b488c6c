"""The IAM policy language, as far as least-privilege policies of functions use it.

::

    explicit Deny  >  Allow  >  no statement (implicit deny)

What is not understood (a condition operator or key, a policy variable, an element) never allows
anything: it is a refusal that says what it was.

Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
"""

import functools
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

JsonObject = dict[str, Any]

_ELEMENTS = {"Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Condition"}

KNOWN_KEYS = frozenset(
    {
        "aws:principalaccount",
        "aws:principalarn",
        "aws:requestedregion",
        "aws:securetransport",
        "cloudwatch:namespace",
        "ecs:cluster",
        "ecs:service",
        "s3:prefix",
    }
)
"""Condition keys that :class:`Request` may carry. A key outside this set is not understood."""


class UnsupportedPolicyError(Exception):
    """A policy uses something that is not evaluated here."""


@dataclass(frozen=True, slots=True)
class Request:
    """One action on one resource, with the context that conditions may look at."""

    action: str
    resource: str
    context: Mapping[str, str]
    """Values by condition key in lower case."""


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement; its patterns in the order of the document."""

    name: str
    """Its ``Sid``, or its place in the document."""
    effect: Literal["Allow", "Deny"]
    actions: tuple[str, ...]
    not_actions: tuple[str, ...]
    resources: tuple[str, ...]
    not_resources: tuple[str, ...]
    condition: tuple[tuple[str, str, tuple[str, ...]], ...]
    """(operator, key in lower case, values)."""

    def applies(self, request: Request) -> bool:
        """Tell whether action, resource and condition match; raises :class:`UnsupportedPolicyError`."""
        return (
            self._names_action(request.action)
            and self._names_resource(request.resource)
            and all(self._holds(*condition, request) for condition in self.condition)
        )

    def _names_action(self, action: str) -> bool:
        if self.not_actions:
            return not any(action_matches(pattern, action) for pattern in self.not_actions)
        return any(action_matches(pattern, action) for pattern in self.actions)

    def _names_resource(self, resource: str) -> bool:
        if self.not_resources:
            return not any(matches(pattern, resource) for pattern in self.not_resources)
        return any(matches(pattern, resource) for pattern in self.resources)

    def _holds(self, operator: str, key: str, values: tuple[str, ...], request: Request) -> bool:
        if key not in KNOWN_KEYS:
            raise UnsupportedPolicyError(f"condition key {key!r} of statement {self.name} is not supported")
        positive = operator.replace("Not", "", 1)
        if positive not in _OPERATORS:
            raise UnsupportedPolicyError(
                f"condition operator {operator!r} of statement {self.name} is not supported"
            )
        actual = request.context.get(key)
        found = actual is not None and any(_OPERATORS[positive](value, actual) for value in values)
        return found if positive == operator else not found


def action_matches(pattern: str, action: str) -> bool:
    """Match an action, in which case does not count."""
    return matches(pattern.lower(), action.lower())


def matches(pattern: str, value: str) -> bool:
    """Match with IAM's wildcards: ``*`` for any characters, ``?`` for one."""
    return pattern in ("*", value) or _wildcards(pattern).fullmatch(value) is not None


@functools.lru_cache(maxsize=4096)
def _wildcards(pattern: str) -> re.Pattern[str]:
    if "${" in pattern:
        raise UnsupportedPolicyError(f"the policy variable in {pattern!r} is not supported")
    return re.compile(re.escape(pattern).replace(r"\*", ".*").replace(r"\?", "."), re.DOTALL)


_OPERATORS: Mapping[str, Callable[[str, str], bool]] = {
    "ArnEquals": matches,
    "ArnLike": matches,
    "Bool": lambda value, actual: value.lower() == actual.lower(),
    "StringEquals": lambda value, actual: value == actual,
    "StringEqualsIgnoreCase": lambda value, actual: value.lower() == actual.lower(),
    "StringLike": matches,
}


@functools.lru_cache(maxsize=512)
def parse(document: str) -> tuple[Statement, ...]:
    """Read a policy document; raises :class:`UnsupportedPolicyError` for what it does not understand."""
    try:
        policy = json.loads(document)
    except ValueError as error:
        raise UnsupportedPolicyError(f"a policy that is not JSON: {error}") from error
    statements = policy.get("Statement", []) if isinstance(policy, Mapping) else []
    return tuple(_statement(item, index) for index, item in enumerate(_listed(statements)))


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _strings(statement: Mapping[str, Any], element: str) -> tuple[str, ...]:
    return tuple(str(item) for item in _listed(statement.get(element, [])))


def _statement(statement: Mapping[str, Any], index: int) -> Statement:
    name = str(statement.get("Sid") or f"#{index + 1}")
    if unknown := sorted(set(statement) - _ELEMENTS):
        raise UnsupportedPolicyError(f"the element {unknown[0]!r} of statement {name} is not supported")
    effect = statement.get("Effect")
    if effect not in ("Allow", "Deny"):
        raise UnsupportedPolicyError(f"the effect {effect!r} of statement {name} is neither Allow nor Deny")
    return Statement(
        name=name,
        effect=effect,
        actions=_strings(statement, "Action"),
        not_actions=_strings(statement, "NotAction"),
        resources=_strings(statement, "Resource"),
        not_resources=_strings(statement, "NotResource"),
        condition=tuple(
            (operator, key.lower(), tuple(str(value) for value in _listed(values)))
            for operator, keys in statement.get("Condition", {}).items()
            for key, values in keys.items()
        ),
    )


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a request is allowed, and the words AWS adds when it is not."""

    allowed: bool
    because: str = ""


def evaluate(documents: Iterable[str], request: Request) -> Verdict:
    """Decide one request by the identity's policies."""
    allowed = False
    try:
        for statement in _all(documents):
            if not statement.applies(request):
                continue
            if statement.effect == "Deny":
                return Verdict(allowed=False, because="with an explicit deny in an identity-based policy")
            allowed = True
    except UnsupportedPolicyError as error:
        return Verdict(allowed=False, because=f"because {error} in a rehearsal")
    if allowed:
        return Verdict(allowed=True)
    return Verdict(
        allowed=False, because=f"because no identity-based policy allows the {request.action} action"
    )


def _all(documents: Iterable[str]) -> Iterator[Statement]:
    for document in documents:
        yield from parse(document)


def unused_grants(document: JsonObject | str, requests: Iterable[tuple[str, str]]) -> list[str]:
    """List what a policy allows and no request needed: statements, and single actions and resources of them.

    *requests* are the (action, resource) pairs that were called.
    """
    called = list(requests)
    unused: list[str] = []
    for statement in parse(document if isinstance(document, str) else json.dumps(document)):
        if statement.effect == "Deny":
            continue
        inside = [
            (action, resource)
            for action, resource in called
            if statement._names_action(action) and statement._names_resource(resource)  # noqa: SLF001
        ]
        if not inside:
            unused.append(f"statement {statement.name}")
            continue
        unused += [
            f"statement {statement.name}: Action {pattern}"
            for pattern in statement.actions
            if not any(action_matches(pattern, action) for action, _ in inside)
        ]
        unused += [
            f"statement {statement.name}: Resource {pattern}"
            for pattern in statement.resources
            if not any(matches(pattern, resource) for _, resource in inside)
        ]
    return unused

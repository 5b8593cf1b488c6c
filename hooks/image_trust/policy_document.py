"""A policy document, read: YAML or JSON in, a policy that can be used out.

::

    bytes ─▶ size ─▶ SHA-256, where one is pinned ─▶ YAML or JSON ─▶ models ─▶ lint ─▶ Loaded

A document that begins with ``{`` is JSON, any other YAML. What :mod:`hooks.image_trust.lint` calls an error
is one here: the policy would not do what whoever wrote it thinks it does.
"""

import difflib
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from hooks.image_trust import strict_json, strict_yaml
from hooks.image_trust.finding import Rejected
from hooks.image_trust.lint import Level, lint
from hooks.image_trust.policy import Policy
from shared.errors import Misconfigured, shown

MAX_POLICY_BYTES = 256 * 1024
"""A policy of a hundred rules has about 40 KiB."""
MAX_SAID = 10
"""How many of its faults an error names."""

_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Loaded:
    """A policy, and which document it was."""

    policy: Policy
    sha256: str
    """Of the document's bytes, in hexadecimal."""


class Unusable(Misconfigured):
    """A document that is no policy to judge by."""

    def __init__(self, source: str, faults: Sequence[str]) -> None:
        more = len(faults) - MAX_SAID
        said = "; ".join(faults[:MAX_SAID]) + (f"; and {more} more" if more > 0 else "")
        super().__init__(f"{source}: {said}")
        self.faults = tuple(faults)
        """What is wrong with it, a sentence each."""


def load_policy(content: bytes, *, sha256: str | None, source: str = "the policy") -> Loaded:
    """Read a policy that is to be judged by.

    Parameters
    ----------
    sha256
        What the document's SHA-256 has to be; ``None`` takes any.
    source
        Where it is from, for messages.

    Raises
    ------
    Unusable
    """
    found = hashlib.sha256(content).hexdigest()
    if sha256 is not None and found != sha256:
        expected = sha256 if _SHA256.fullmatch(sha256) else f"none: {shown(sha256)} is no SHA-256"
        raise Unusable(source, [f"its SHA-256 is {found}, expected {expected}"])
    return Loaded(_usable(content, source), found)


@lru_cache(maxsize=8)  # the same document, in every invocation of a warm function
def _usable(content: bytes, source: str) -> Policy:
    policy = read_policy(content, source=source)
    if errors := [note.sentence for note in lint(policy) if note.level is Level.ERROR]:
        raise Unusable(source, errors)
    return policy


def read_policy(content: bytes, *, source: str = "the policy") -> Policy:
    """Read a policy, whatever :func:`hooks.image_trust.lint.lint` says of it.

    Raises
    ------
    Unusable
    """
    is_json = content.lstrip(b" \t\r\n").startswith(b"{")
    try:
        document = (strict_json if is_json else strict_yaml).loads(
            content, "the document", limit_bytes=MAX_POLICY_BYTES
        )
    except Rejected as error:
        raise Unusable(source, [str(error)]) from error
    if not isinstance(document, Mapping):
        raise Unusable(source, [f"expected a policy, with version, name and rules, got {shown(document)}"])
    try:
        # By way of JSON, in which strict takes no text for a number and yet an array for a tuple.
        return Policy.model_validate_json(json.dumps(document), strict=True)
    except ValidationError as error:
        raise Unusable(source, list(_sentences(error))) from error


# --- What pydantic found, in sentences --------------------------------------------------------------


def _sentences(error: ValidationError) -> Iterator[str]:
    found = error.errors(include_url=False, include_context=False)
    places = [one["loc"] for one in found]
    seen: set[tuple[str, object]] = set()
    for one in found:
        place = one["loc"]
        if one["type"] == "too_short" and any(
            len(other) > len(place) and other[: len(place)] == place for other in places
        ):
            continue  # only because what is wrong further down was left out
        where, kinds = _walk(place)
        # Of a value that may be of several types, pydantic says one for each.
        what = (where, place[-1] if one["type"] == "extra_forbidden" else None)
        if what not in seen:
            seen.add(what)
            yield (f"{where}: " if where else "") + _sentence(kinds, one)


def _sentence(kinds: Sequence[type[BaseModel]], found: Any) -> str:
    if found["type"] == "extra_forbidden":
        # The key itself leads nowhere: the models are those that it stands in.
        keys = [info.alias or name for kind in kinds for name, info in kind.model_fields.items()]
        key = found["loc"][-1]
        near = difflib.get_close_matches(str(key), keys, n=1)
        hint = f", did you mean {near[0]!r}?" if near else f"; valid: {', '.join(keys)}"
        return f"unknown key {shown(key)}{hint}"
    message = str(found["msg"]).removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    if found["type"] == "value_error":
        return message
    if found["type"] == "missing":
        return "is missing"
    hint = ""
    match found["type"], found["input"]:
        # What YAML makes of what somebody wrote.
        case "string_type", int() | float():
            hint = "; write it in quotation marks"
        case "bool_type", str():
            hint = "; write true or false"
    return f"{message}, got {shown(found['input'])}{hint}"


def _walk(place: Sequence[int | str]) -> tuple[str, list[type[BaseModel]]]:
    """Return where a place is, ``rules[0].require.cosign``, and the models there or around it."""
    written = ""
    kinds: list[Any] = [Policy]
    for number, part in enumerate(place):
        below = [one for kind in kinds for one in _below(kind, part)]
        is_unknown_key = not below and number == len(place) - 1 and any(map(_is_model, kinds))
        if not below and not is_unknown_key:
            break  # the name of a type that a value may be of
        if not is_unknown_key:
            kinds = below
            written += f"[{part}]" if isinstance(part, int) else f".{part}" if written else str(part)
    return written, [kind for kind in kinds if _is_model(kind)]


def _below(kind: Any, part: int | str) -> Iterator[Any]:
    """Yield the types that *part* can lead to."""
    if _is_model(kind):
        for name, info in kind.model_fields.items():
            if part in {info.alias, name}:
                yield from _kinds(info.annotation)
    elif get_origin(kind) is tuple and isinstance(part, int):
        yield from _kinds(get_args(kind)[0])
    elif get_origin(kind) is dict and isinstance(part, str):
        yield from _kinds(get_args(kind)[1])


def _kinds(annotation: Any) -> Iterator[Any]:
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _kinds(get_args(annotation)[0])
    elif origin in {Union, UnionType}:
        for one in get_args(annotation):
            yield from _kinds(one)
    else:
        yield annotation


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)

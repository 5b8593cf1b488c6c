"""What is kept of a request when its deployment has ended: one parameter, by day.

::

    {prefix}-history/2026-03-02/{cluster}/{service}/{deployment id}[/step-from-{percent} | /{hook id}]

    {
        "schema": 1,
        "deployment": "arn:aws:ecs:...",
        "part": "",
        "stage": "POST_TEST_TRAFFIC_SHIFT",
        "outcome": "rejected",
        "deploymentStatus": "ROLLBACK_SUCCESSFUL",
        "askedAt": "2026-03-02T08:01:06Z",
        "endedAt": "2026-03-02T08:40:10Z",
        "required": 2,
        "answers": [{"what": "rejected", "who": "arn:...", "name": "", "at": "...", "comment": "500s"}],
        "images": ["shop/checkout:42@sha256:0123456789ab"],
    }

So the requests that are looked through for what is pending are those of deployments under way, however
many there were before. The sweeper writes it; whoever may answer requests may not.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from hooks.manual_approval.decision import Vote
from hooks.manual_approval.proceeding import Proceeding
from hooks.manual_approval.request import (
    MAX_COMMENT_CHARACTERS,
    MAX_NAME_CHARACTERS,
    MAX_VALUE_BYTES,
    Version,
    parameter_name,
)
from shared.clock import parse_timestamp, timestamp
from shared.errors import Misconfigured, shown
from shared.lifecycle import ServiceDeploymentArn

SCHEMA_VERSION = 1

OUTCOMES = frozenset({"approved", "rejected", "expired", "undecided"})
ANSWERS = frozenset({"approved", "rejected", "extended"})

# A parameter has a hundred versions, and the first of them asks.
MAX_ANSWERS = 99
MAX_IMAGES = 100
MAX_REQUIRED = 10

MAX_IDENTITY_CHARACTERS = 2048
MAX_IMAGE_CHARACTERS = 256

# What a part, a stage and a status may look like: a word of Parameter Store's.
_WORD = re.compile(r"[A-Za-z0-9_.-]{0,255}")


@dataclass(frozen=True, slots=True)
class PastAnswer:
    """An answer that counted."""

    what: str
    """``approved``, ``rejected`` or ``extended``."""
    who: str
    name: str
    at: datetime
    comment: str


@dataclass(frozen=True, slots=True)
class Entry:
    """A request that is over."""

    deployment: ServiceDeploymentArn
    part: str
    stage: str
    outcome: str
    """``approved``, ``rejected``, ``expired``, or ``undecided`` where the deployment ended first."""
    deployment_status: str
    """How the deployment ended: ``SUCCESSFUL``, ``ROLLBACK_SUCCESSFUL``, ...; empty where ECS forgot it."""
    asked_at: datetime
    ended_at: datetime
    """When the deployment ended; where ECS forgot it, when the request last changed."""
    required: int
    """0 where it is not known."""
    answers: tuple[PastAnswer, ...]
    images: tuple[str, ...]
    """What green ran, as the request has it."""


def archive_path(prefix: str, day: str) -> str:
    """Return the path of a day, ``2026-03-02``."""
    return f"{prefix.rstrip('/')}-history/{day}"


def archive_name(prefix: str, entry: Entry) -> str:
    """Return the parameter's name. Equal for all attempts to archive a request: by the day that it ended."""
    day = timestamp(entry.ended_at).partition("T")[0]
    return parameter_name(archive_path(prefix, day), entry.deployment, entry.part)


def entry_of(proceeding: Proceeding, status: str, ended_at: datetime) -> Entry:
    """Sum a request up.

    Parameters
    ----------
    proceeding
        As of the moment at which the deployment took no more answers.
    status
        Of the deployment.
    ended_at
        When it ended.
    """
    finding, rules = proceeding.finding, proceeding.rules
    answers: list[PastAnswer] = []
    if finding is not None:
        verdict = "rejected" if finding.outcome == "rejected" else "approved"
        answers += [_answer(verdict, vote) for vote in finding.votes]
        answers += [_answer("extended", vote) for vote in finding.extensions]
    return Entry(
        deployment=proceeding.deployment,
        part=proceeding.part,
        stage=_word_or_nothing(proceeding.statement.stage),
        outcome=_outcome(proceeding),
        deployment_status=_word_or_nothing(status),
        asked_at=proceeding.asked.at,
        ended_at=ended_at,
        required=rules.required if rules else 0,
        answers=tuple(sorted(answers, key=lambda answer: answer.at)[:MAX_ANSWERS]),
        images=_images(proceeding.asked.text),
    )


def entry_of_remains(
    deployment: ServiceDeploymentArn, part: str, history: Sequence[Version], status: str, ended_at: datetime
) -> Entry:
    """Note that something stood there: no request of the hook's own, or one that has lost its beginning."""
    return Entry(
        deployment=deployment,
        part=part,
        stage="",
        outcome="undecided",
        deployment_status=_word_or_nothing(status),
        asked_at=history[0].at if history else ended_at,
        ended_at=ended_at,
        required=0,
        answers=(),
        images=(),
    )


def _outcome(proceeding: Proceeding) -> str:
    # What the hook itself says it came to is what it told ECS.
    said = (proceeding.closed.outcome if proceeding.closed else "", proceeding.outcome)
    return next((outcome for outcome in said if outcome in OUTCOMES), "undecided")


def _answer(what: str, vote: Vote) -> PastAnswer:
    return PastAnswer(
        what,
        vote.by[:MAX_IDENTITY_CHARACTERS],
        vote.name[:MAX_NAME_CHARACTERS],
        vote.at,
        vote.comment[:MAX_COMMENT_CHARACTERS],
    )


def _images(request: str) -> tuple[str, ...]:
    listed = json.loads(request).get("images")
    images = [image for image in listed if isinstance(image, dict)] if isinstance(listed, list) else []
    green = [image.get("green") for image in images]
    texts = [_speakable(text[:MAX_IMAGE_CHARACTERS]) for text in green if isinstance(text, str)]
    return tuple(texts[:MAX_IMAGES])


def _word_or_nothing(text: str) -> str:
    return text if _WORD.fullmatch(text) else ""


def write_entry(entry: Entry) -> str:
    """Write it in at most 4096 bytes; comments are cut first, then images, names and answers are left out."""
    return next(
        text for kept in _variants(entry) if len((text := _written(kept)).encode()) <= MAX_VALUE_BYTES
    )


def _variants(entry: Entry) -> Iterator[Entry]:
    """Yield the entry with ever less in it; what the last has left is short by itself."""
    answers, images = entry.answers, entry.images
    for most in (MAX_COMMENT_CHARACTERS, 200, 100, 50, 20, 0):
        answers = tuple(replace(answer, comment=answer.comment[:most]) for answer in entry.answers)
        yield replace(entry, answers=answers)
    for kept in range(len(images) - 1, -1, -1):
        yield replace(entry, answers=answers, images=images[:kept])
    answers = tuple(replace(answer, name="") for answer in answers)
    # The latest decided.
    for first in range(len(answers) + 1):
        yield replace(entry, answers=answers[first:], images=())


def _written(entry: Entry) -> str:
    document = {
        "schema": SCHEMA_VERSION,
        "deployment": str(entry.deployment),
        "part": entry.part,
        "stage": entry.stage,
        "outcome": entry.outcome,
        "deploymentStatus": entry.deployment_status,
        "askedAt": timestamp(entry.asked_at),
        "endedAt": timestamp(entry.ended_at),
        "required": entry.required,
        "answers": [
            {
                "what": answer.what,
                "who": answer.who,
                "name": answer.name,
                "at": timestamp(answer.at),
                "comment": answer.comment,
            }
            for answer in entry.answers
        ],
        "images": list(entry.images),
    }
    return json.dumps(document, indent=1, ensure_ascii=False)


def read_entry(text: str) -> Entry:
    """Read it; raises ``ValueError`` for anything else."""
    if len(text) > MAX_VALUE_BYTES:
        raise ValueError(f"entry: longer than {MAX_VALUE_BYTES} characters")
    found = _Reader(json.loads(text, object_pairs_hook=_each_key_once), "entry")
    if found.number("schema", SCHEMA_VERSION) != SCHEMA_VERSION:
        raise ValueError(f"entry: expected schema {SCHEMA_VERSION}")
    return Entry(
        deployment=found.read("deployment", ServiceDeploymentArn.parse),
        part=found.word("part"),
        stage=found.word("stage"),
        outcome=found.one_of("outcome", OUTCOMES),
        deployment_status=found.word("deploymentStatus"),
        asked_at=found.read("askedAt", _moment),
        ended_at=found.read("endedAt", _moment),
        required=found.number("required", MAX_REQUIRED),
        answers=tuple(map(_read_answer, found.items("answers", MAX_ANSWERS))),
        images=tuple(_text(image, MAX_IMAGE_CHARACTERS) for image in found.items("images", MAX_IMAGES)),
    )


def _read_answer(document: Any) -> PastAnswer:
    found = _Reader(document, "answer")
    return PastAnswer(
        what=found.one_of("what", ANSWERS),
        who=found.read("who", lambda value: _text(value, MAX_IDENTITY_CHARACTERS)),
        name=found.read("name", lambda value: _text(value, MAX_NAME_CHARACTERS)),
        at=found.read("at", _moment),
        comment=found.read("comment", lambda value: _text(value, MAX_COMMENT_CHARACTERS)),
    )


class _Reader:
    """An object of an entry; each of its methods reads one key, and raises ``ValueError`` naming it."""

    def __init__(self, document: Any, where: str) -> None:
        if not isinstance(document, Mapping):
            raise ValueError(f"{where}: expected an object, got {shown(document)}")  # noqa: TRY004 - wrong data, not a wrong call
        self._document, self._where = document, where

    def read[ValueT](self, key: str, as_: Callable[[Any], ValueT]) -> ValueT:
        try:
            return as_(self._document[key])
        except KeyError as error:
            raise ValueError(f"{self._where}: {key} is missing") from error
        except (ValueError, Misconfigured) as error:
            raise ValueError(f"{self._where}: {key}: {error}") from error

    def word(self, key: str) -> str:
        return self.read(key, _word)

    def one_of(self, key: str, known: frozenset[str]) -> str:
        word = self.word(key)
        if word not in known:
            raise ValueError(f"{self._where}: {key}: expected one of {sorted(known)}, got {shown(word)}")
        return word

    def number(self, key: str, most: int) -> int:
        value = self.read(key, lambda value: value)
        if type(value) is not int or not 0 <= value <= most:
            raise ValueError(f"{self._where}: {key}: expected 0 to {most}, got {shown(value)}")
        return value

    def items(self, key: str, most: int) -> Sequence[Any]:
        value = self.read(key, lambda value: value)
        if not isinstance(value, list) or len(value) > most:
            raise ValueError(f"{self._where}: {key}: expected at most {most} items, got {shown(value)}")
        return value


def _word(value: Any) -> str:
    if not isinstance(value, str) or not _WORD.fullmatch(value):
        raise ValueError(f"expected letters, digits and .-_, got {shown(value)}")
    return value


def _text(value: Any, most: int) -> str:
    if not isinstance(value, str) or len(value) > most:
        raise ValueError(f"expected at most {most} characters, got {shown(value)}")
    return _speakable(value)


def _speakable(text: str) -> str:
    # Half a surrogate pair, which JSON can spell, is nothing that a parameter or a page could hold.
    return text.encode("utf-8", "replace").decode()


def _moment(value: Any) -> datetime:
    if not isinstance(value, str):
        raise ValueError(f"expected a time, got {shown(value)}")  # noqa: TRY004 - wrong data, not a wrong call
    return parse_timestamp(value)


def _each_key_once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) < len(pairs):
        raise ValueError("entry: a key stands there twice")
    return document

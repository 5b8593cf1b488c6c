"""The approval parameter: its name, and what its versions say.

One parameter is one request, and its history is the whole proceeding::

    {prefix}/{cluster}/{service}/{deployment id}[/step-from-{percent} | /{id of a PAUSE hook}]

    version 1  {"schema": 1, "state": "pending", "ask": ..., "rules": ...}          the hook
    version 2  {... the same ..., "announced": {"what": "request", "on": [...]}}    the hook: people were told
    version 3  approved                                                             a person
    version 4  {"state": "extended", "expiresAt": "2026-03-03T08:01:06Z"}           another
    version 5  {"state": "rejected", "comment": "...", "by": {"identity": ...}}     the console, for a person
    version 6  {"schema": 1, "state": "closed", "outcome": "rejected", ...}         the hook

Only AWS's own record of a version (number, time, caller) is trusted; its text is a request to be
read or an answer to be counted, and nothing else. Whom the console names is believed of the console alone.
"""

import enum
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from hooks.manual_approval.approvers import Person
from hooks.manual_approval.rules import Rules
from shared.clock import parse_timestamp, timestamp
from shared.lifecycle import LifecycleEvent, ServiceDeploymentArn
from shared.revision import Revision

SCHEMA_VERSION = 1

# Standard parameters: https://docs.aws.amazon.com/general/latest/gr/ssm.html
MAX_VALUE_BYTES = 4096

MAX_COMMENT_CHARACTERS = 500
MAX_NAME_CHARACTERS = 100

# What a mark adds to a request: it is written into a copy of its text.
MARK_BYTES = 160

# Of the groups somebody is in, as many as leave room for a comment. The console writes only those that
# let them decide.
MAX_GROUPS = 10


def parameter_name(prefix: str, deployment: ServiceDeploymentArn, part: str = "") -> str:
    """Return where the request of a deployment stands.

    Parameters
    ----------
    part
        What a deployment may be asked for more than once by: a step, or the id of a PAUSE hook.
    """
    name = f"{prefix.rstrip('/')}/{deployment.cluster}/{deployment.service}/{deployment.id}"
    return f"{name}/{part}" if part else name


_PART = re.compile(r"(step-from-(unknown|\d{1,3}(\.\d)?)|ecs-pause-[A-Za-z0-9_-]{1,200})?")


def is_part(text: str) -> bool:
    """Tell whether this can be a part of a parameter's name, or none."""
    return _PART.fullmatch(text) is not None


def part_of(event: LifecycleEvent) -> str:
    """Name the step, where a stage recurs."""
    return f"step-from-{event.step or 'unknown'}" if event.stage is not None and event.stage.recurs else ""


class Kind(enum.StrEnum):
    """What a version's text is."""

    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXTENDED = "extended"
    CLOSED = "closed"
    NOT_UNDERSTOOD = "not understood"


ANSWERS = frozenset({Kind.APPROVED, Kind.REJECTED, Kind.EXTENDED})


class Occasion(enum.StrEnum):
    """What people are told of a request, each once."""

    REQUEST = "request"
    HALF_TIME = "half-time"
    LAST_CALL = "last-call"


@dataclass(frozen=True, slots=True)
class Version:
    """One version of the parameter, as GetParameterHistory returns it."""

    number: int
    at: datetime
    by: str
    """ARN of the caller, as AWS recorded it."""
    text: str


@dataclass(frozen=True, slots=True)
class Telling:
    """A mark of the hook's own: that it is about to tell people something, or has."""

    what: str
    done: bool
    nonce: str = ""
    """Of whoever is about to."""
    channels: tuple[str, ...] = ()
    """Where it was told."""


@dataclass(frozen=True, slots=True)
class Statement:
    """A version's text, read."""

    kind: Kind
    comment: str = ""
    deployment: str = ""
    """ARN of the deployment that a request, or an answer of the console, is about."""
    stage: str = ""
    person: Person | None = None
    """Whom the console answers for."""
    answers: int | None = None
    """Number of the version that is answered; the console says it."""
    expires_at: datetime | None = None
    """When the request expires, as it says; what an extension asks for; which expiry a closing settles."""
    pause: str = ""
    """Id of the PAUSE hook that a request is about."""
    outcome: str = ""
    """What a closed request came to."""
    telling: Telling | None = None


def read(text: str) -> Statement:
    """Read a version's text. Never raises: what makes no sense is ``NOT_UNDERSTOOD``.

    A person may type the bare word, or JSON with ``state`` (or ``decision``) and ``comment``, in any
    case, or edit the ``state`` of the request itself.
    """
    word = text.strip().strip('"').casefold()
    if word in {Kind.APPROVED, Kind.REJECTED}:
        return Statement(Kind(word))
    try:
        document = json.loads(text, object_pairs_hook=_each_key_once)
        return _statement(document) if isinstance(document, dict) else Statement(Kind.NOT_UNDERSTOOD)
    # Of what is nested as deeply as a parameter has room for, both reading and showing may give up.
    except (ValueError, RecursionError):
        return Statement(Kind.NOT_UNDERSTOOD)


def _statement(document: Mapping[str, Any]) -> Statement:
    words = {
        str(document[key]).strip().casefold() for key in document if key.casefold() in {"state", "decision"}
    }
    if len(words) != 1 or (word := words.pop()) not in {kind.value for kind in Kind} - {Kind.NOT_UNDERSTOOD}:
        return Statement(Kind.NOT_UNDERSTOOD)
    comment = next((value for key, value in document.items() if key.casefold() == "comment"), "")
    # Whatever says what it answers must say it so that it can be held against the request.
    answers = document.get("answers")
    if "answers" in document and type(answers) is not int:
        return Statement(Kind.NOT_UNDERSTOOD)
    statement = Statement(
        Kind(word),
        _speakable(str(comment)[:MAX_COMMENT_CHARACTERS]),
        deployment=_text(document, "deployment"),
        stage=_text(document, "stage"),
        person=_person(document.get("by")),
        answers=answers,
        expires_at=_moment(document.get("expiresAt")),
        pause=_text(document, "pause"),
        outcome=_text(document, "outcome"),
        telling=_telling(document),
    )
    if statement.kind is Kind.EXTENDED and statement.expires_at is None:
        return Statement(Kind.NOT_UNDERSTOOD)
    return statement


def _text(document: Mapping[str, Any], key: str) -> str:
    value = document.get(key)
    return _speakable(value) if isinstance(value, str) else ""


def _moment(value: Any) -> datetime | None:
    try:
        return parse_timestamp(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _person(by: Any) -> Person | None:
    if not isinstance(by, dict):
        return None
    identity, groups = by.get("identity"), by.get("groups", [])
    # Whoever can't be named whole is not named: a group that were left out might be one that is excluded.
    if not isinstance(identity, str) or not isinstance(groups, list) or len(groups) > MAX_GROUPS:
        return None
    if not all(isinstance(name, str) and _speakable(name) == name for name in (identity, *groups)):
        return None
    return Person(identity, tuple(groups), _speakable(str(by.get("name", ""))[:MAX_NAME_CHARACTERS]))


def _telling(document: Mapping[str, Any]) -> Telling | None:
    for key, done in (("announced", True), ("announcing", False)):
        told = document.get(key)
        if isinstance(told, dict) and isinstance(told.get("on", []), list):
            channels = tuple(_speakable(str(channel)) for channel in told.get("on", []))
            return Telling(_text(told, "what"), done, _text(told, "nonce"), channels)
    return None


def _each_key_once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    # Readers of JSON differ on which of two equal keys holds; an answer must not depend on it.
    document = dict(pairs)
    if len(document) < len(pairs):
        raise ValueError("a key stands there twice")
    return document


def _speakable(text: str) -> str:
    """Replace halves of surrogate pairs, which JSON can spell and no log, record or message can hold."""
    return text.encode("utf-8", "replace").decode()


def is_request_for(version: Version, deployment: ServiceDeploymentArn, pause: str = "") -> bool:
    """Tell whether the text is this deployment's request; who wrote it is for the caller to check."""
    statement = read(version.text)
    return (
        statement.kind is Kind.PENDING
        and statement.deployment == str(deployment)
        and statement.pause == pause
    )


def rules_in(text: str) -> Any:
    """Return the rules as they stand in a request's text, for ``read_rules``; ``None`` without any."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return document.get("rules") if isinstance(document, dict) else None


def write_request(
    name: str,
    event: LifecycleEvent,
    *,
    green: Revision,
    blue: Revision | None,
    rules: Rules,
    now: datetime,
) -> str:
    """Write the request that a person reads, in at most 4096 bytes whatever the service looks like."""
    document: dict[str, Any] = {
        **_opening(_question(event), event.deployment, event.stage_name, rules, now),
        "howToAnswer": f"aws ssm put-parameter --overwrite --name {name} --value APPROVED   "
        "(or REJECTED, or "
        '{"state": "REJECTED", "comment": "why"})',
    }
    if event.step:
        document["greenPercent"] = event.step
    if green.test_header:
        value = f": {green.test_header.value}" if green.test_header.value else ""
        document["testRequests"] = f"send the header {green.test_header.name}{value} to reach green"
    return _fitting(document, rules, _images(green, blue))


def write_pause_request(
    deployment: ServiceDeploymentArn, hook_id: str, stage: str, *, rules: Rules, now: datetime
) -> str:
    """Write the request for a PAUSE hook that waits; ECS says no more of it."""
    ask = (
        f"May {deployment.service} in {deployment.cluster} go on with this deployment? It pauses at {stage}."
    )
    document = {**_opening(ask, deployment, stage, rules, now), "pause": hook_id}
    return _fitting(document, rules, [])


def _opening(
    ask: str, deployment: ServiceDeploymentArn, stage: str, rules: Rules, now: datetime
) -> dict[str, Any]:
    return {
        "schema": SCHEMA_VERSION,
        "state": Kind.PENDING,
        "ask": ask,
        "deployment": str(deployment),
        "stage": stage,
        "approvalsNeeded": rules.required,
        "requestedAt": timestamp(now),
        "expiresAt": timestamp(now + rules.expires_after),
    }


def _fitting(document: dict[str, Any], rules: Rules, images: list[dict[str, str]]) -> str:
    """Leave out what there is no room for.

    Further images, then the test header, then who may decide, then all images: without the first no console
    can count answers, and without the second nobody knows what is asked. What is left always fits: ARN and
    names have limits of their own, of 255 characters each.
    """
    unaided = {key: value for key, value in document.items() if key != "testRequests"}
    least = min(len(images), 1)
    text = ""
    for further, fewest in (({"rules": rules.document()}, least), ({}, 0)):
        for told in (document, unaided):
            for kept in range(len(images), fewest - 1, -1):
                listed: dict[str, Any] = {"images": images[:kept]} if images else {}
                if kept < len(images):
                    listed["moreImages"] = len(images) - kept
                text = _readable({**told, **listed, **further})
                if len(text.encode()) <= MAX_VALUE_BYTES - MARK_BYTES:
                    return text
    return text


def write_mark(request: str, telling: Telling, expires_at: datetime | None = None) -> str:
    """Write the request again, with a mark in it that people are told something, or were.

    Whoever reads the parameter's present value still sees what is asked, and until when by now.
    """
    mark: dict[str, Any] = {"what": telling.what}
    if telling.done:
        mark["on"] = list(telling.channels)
    else:
        mark["nonce"] = telling.nonce
    document = {**json.loads(request), "announced" if telling.done else "announcing": mark}
    if expires_at is not None and "expiresAt" in document:
        document["expiresAt"] = timestamp(expires_at)
    return _readable(document)


def write_answer(
    kind: Kind,
    *,
    comment: str,
    deployment: ServiceDeploymentArn,
    answers: int,
    person: Person | None = None,
    expires_at: datetime | None = None,
    stage: str = "",
) -> str:
    """Write an answer to one very request, for a person whom the console has signed in, or for the caller.

    Of an extension *expires_at* is what it asks for; in other answers it, and *stage*, are what the request
    says, for whoever sees only the latest version.

    The comment is cut where names leave it no room; raises ``ValueError`` where there is none for them.
    """
    document: dict[str, Any] = {
        "schema": SCHEMA_VERSION,
        "state": kind,
        "comment": _speakable(comment[:MAX_COMMENT_CHARACTERS]),
        "deployment": str(deployment),
        "answers": answers,
    }
    if stage:
        document["stage"] = stage
    if expires_at is not None:
        document["expiresAt"] = timestamp(expires_at)
    if person is not None:
        document["by"] = {
            "identity": person.identity,
            "groups": list(person.groups),
            "name": _speakable(person.name[:MAX_NAME_CHARACTERS]),
        }
    while len(text := _readable(document).encode()) > MAX_VALUE_BYTES and document["comment"]:
        document["comment"] = document["comment"][:-50]
    if len(text) > MAX_VALUE_BYTES or (person is not None and len(person.groups) > MAX_GROUPS):
        raise ValueError("the names of the person and their groups are too long for a parameter")
    return text.decode()


def write_closing(
    outcome: str, *, by: Sequence[str], comment: str, now: datetime, expires_at: datetime | None = None
) -> str:
    """Write the last version: what came of the request. It can't be read as an answer.

    Parameters
    ----------
    expires_at
        The expiry that is settled, where it is one: should somebody have extended the request before this
        version came, it is not that one.
    """
    document: dict[str, Any] = {
        "schema": SCHEMA_VERSION,
        "state": Kind.CLOSED,
        "outcome": outcome,
        "closedAt": timestamp(now),
        "by": list(by)[:10],
        "comment": comment[:MAX_COMMENT_CHARACTERS],
    }
    if expires_at is not None:
        document["expiresAt"] = timestamp(expires_at)
    while len(text := _readable(document).encode()) > MAX_VALUE_BYTES:
        # The record and the version that is being closed hold all of it.
        document["comment"] = document["comment"][:-50]
        if not document["comment"]:
            document["by"] = document["by"][:-1]
    return text.decode()


def _question(event: LifecycleEvent) -> str:
    step = f", the step after {event.step} %" if event.step else ""
    return f"May {event.service.service} in {event.service.cluster} go on with this deployment{step}?"


def _images(green: Revision, blue: Revision | None) -> list[dict[str, str]]:
    before = {image.container: image for image in blue.images} if blue else {}
    listed = []
    for image in green.images:
        old = before.get(image.container)
        entry = {"container": image.container, "green": _short(image.reference, image.digest)}
        if old and (old.reference, old.digest) == (image.reference, image.digest):
            entry["blue"] = "the same"
        elif old:
            entry["blue"] = _short(old.reference, old.digest)
        listed.append(entry)
    # The changed ones first: they are what is asked about, and the last of the list is cut first.
    return sorted(listed, key=lambda entry: entry.get("blue") == "the same")


def _short(reference: str, digest: str | None) -> str:
    """Shorten a reference to what tells two releases apart: repository, tag, start of the digest."""
    name, _, pinned = reference.partition("@")
    digest = digest or pinned
    return f"{name[-120:]}@{digest[:19]}" if digest else name[-120:]


def _readable(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=1, ensure_ascii=False)

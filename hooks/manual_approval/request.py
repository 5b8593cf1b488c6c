"""The approval parameter: its name, and what its versions say.

One parameter is one request, and its history is the whole proceeding::

    {prefix}/{cluster}/{service}/{deployment id}[/step-from-{percent}]

    version 1  {"schema": 1, "state": "pending", "ask": ..., "howToAnswer": ...}   the hook
    version 2  approved                                                            a person
    version 3  {"state": "REJECTED", "comment": "checkout is broken"}              another
    version 4  {"schema": 1, "state": "closed", "outcome": "rejected", ...}        the hook

Only AWS's own record of a version (number, time, caller) is trusted; its text is a request to be
read or an answer to be counted, and nothing else.
"""

import enum
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from shared.clock import timestamp
from shared.lifecycle import LifecycleEvent
from shared.revision import Revision

SCHEMA_VERSION = 1

# Standard parameters: https://docs.aws.amazon.com/general/latest/gr/ssm.html
MAX_VALUE_BYTES = 4096

MAX_COMMENT_CHARACTERS = 500


def parameter_name(prefix: str, event: LifecycleEvent) -> str:
    """Return where the request of this deployment (and step, where a stage recurs) stands."""
    name = f"{prefix.rstrip('/')}/{event.service.cluster}/{event.service.service}/{event.deployment.id}"
    if event.stage is not None and event.stage.recurs:
        return f"{name}/step-from-{event.step or 'unknown'}"
    return name


class Kind(enum.StrEnum):
    """What a version's text is."""

    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"
    CLOSED = "closed"
    NOT_UNDERSTOOD = "not understood"


@dataclass(frozen=True, slots=True)
class Version:
    """One version of the parameter, as GetParameterHistory returns it."""

    number: int
    at: datetime
    by: str
    """ARN of the caller, as AWS recorded it."""
    text: str


@dataclass(frozen=True, slots=True)
class Statement:
    """A version's text, read."""

    kind: Kind
    comment: str = ""
    deployment: str = ""
    """ARN of the deployment a request is about."""
    stage: str = ""


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
    except (ValueError, RecursionError):
        return Statement(Kind.NOT_UNDERSTOOD)
    if not isinstance(document, dict):
        return Statement(Kind.NOT_UNDERSTOOD)
    words = {
        str(document[key]).strip().casefold() for key in document if key.casefold() in {"state", "decision"}
    }
    if len(words) != 1 or (word := words.pop()) not in {kind.value for kind in Kind} - {Kind.NOT_UNDERSTOOD}:
        return Statement(Kind.NOT_UNDERSTOOD)
    comment = next((value for key, value in document.items() if key.casefold() == "comment"), "")
    return Statement(
        Kind(word),
        _speakable(str(comment)[:MAX_COMMENT_CHARACTERS]),
        deployment=str(document.get("deployment", "")),
        stage=str(document.get("stage", "")),
    )


def _each_key_once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    # Readers of JSON differ on which of two equal keys holds; an answer must not depend on it.
    document = dict(pairs)
    if len(document) < len(pairs):
        raise ValueError("a key stands there twice")
    return document


def _speakable(text: str) -> str:
    """Replace halves of surrogate pairs, which JSON can spell and no log, record or message can hold."""
    return text.encode("utf-8", "replace").decode()


def is_request_for(version: Version, event: LifecycleEvent) -> bool:
    """Tell whether the text is this deployment's request; who wrote it is for the caller to check."""
    statement = read(version.text)
    return statement.kind is Kind.PENDING and statement.deployment == str(event.deployment)


def write_request(
    name: str,
    event: LifecycleEvent,
    *,
    green: Revision,
    blue: Revision | None,
    required: int,
    now: datetime,
    expires_at: datetime,
) -> str:
    """Write the request that a person reads, in at most 4096 bytes whatever the service looks like."""
    images = _images(green, blue)
    document: dict[str, Any] = {
        "schema": SCHEMA_VERSION,
        "state": Kind.PENDING,
        "ask": _question(event),
        "deployment": str(event.deployment),
        "stage": event.stage_name,
        "approvalsNeeded": required,
        "requestedAt": timestamp(now),
        "expiresAt": timestamp(expires_at),
        "howToAnswer": f"aws ssm put-parameter --overwrite --name {name} --value APPROVED   "
        "(or REJECTED, or "
        '{"state": "REJECTED", "comment": "why"})',
        "images": images,
    }
    if event.step:
        document["greenPercent"] = event.step
    if green.test_header:
        value = f": {green.test_header.value}" if green.test_header.value else ""
        document["testRequests"] = f"send the header {green.test_header.name}{value} to reach green"
    while len(text := _readable(document).encode()) > MAX_VALUE_BYTES and images:
        images.pop()
        document["moreImages"] = document.get("moreImages", 0) + 1
    # ARN and names have limits of their own (255 characters each), the test header has none.
    if len(text) > MAX_VALUE_BYTES:
        del document["testRequests"]
        text = _readable(document).encode()
    return text.decode()


def write_closing(outcome: str, *, by: Sequence[str], comment: str, now: datetime) -> str:
    """Write the last version: what came of the request. It can't be read as an answer."""
    document: dict[str, Any] = {
        "schema": SCHEMA_VERSION,
        "state": Kind.CLOSED,
        "outcome": outcome,
        "closedAt": timestamp(now),
        "by": list(by)[:10],
        "comment": comment[:MAX_COMMENT_CHARACTERS],
    }
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

"""What the other hooks found in this deployment: their decision records, from S3.

::

    records/{cluster}/{service}/{deployment id}/{at}-{hook}-{stage}[-{step}]-{digest}.json

One listing, and one object for the latest record of each hook, stage and step. Every hook writes into the
bucket, so a record may hold any JSON: what does not fit is said, and left out.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from hooks.manual_approval.console.views import Evidence
from shared.clients import client
from shared.clock import parse_timestamp
from shared.errors import HookError, shown, translated
from shared.lifecycle import ServiceDeploymentArn

OWN_HOOK = "manual_approval"

# ListObjectsV2 gives a thousand at most; a deployment has some dozens.
LISTED = 1000
MAX_RECORDS = 12
MAX_RECORD_BYTES = 256 * 1024
RECORDS_AT_ONCE = 6

MAX_REASON_CHARACTERS = 2000
# Of as many as a page may have; shared.exhibits draws fewer of one record.
MAX_EXHIBITS = 20

_KEY = re.compile(
    r"(?P<at>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)-(?P<hook>[A-Za-z0-9_]+)-(?P<where>.+)-[0-9a-f]{8}\.json"
)
_ANSWERS = frozenset({"proceed", "refuse", "wait"})


@dataclass(frozen=True, slots=True)
class Records:
    """What was found, and in sentences what was not."""

    evidence: tuple[Evidence, ...]
    """In the order of time."""
    problems: tuple[str, ...] = ()


class _Unreadable(ValueError):
    """No decision record of this deployment; the text says why."""


@dataclass(frozen=True, slots=True)
class _Object:
    key: str
    size: int


def read_records(deployment: ServiceDeploymentArn, bucket: str) -> Records:
    """Read the latest record of each hook, stage and step but the approval's own; never raises ``HookError``.

    Parameters
    ----------
    bucket
        Empty where none is configured.
    """
    if not bucket:
        return Records(
            (), ("Findings of other hooks are not kept: set the stack's parameter RecordBucket to see them.",)
        )
    folder = f"records/{deployment.cluster}/{deployment.service}/{deployment.id}/"
    s3 = client("s3")
    try:
        with translated("s3:ListBucket", f"{bucket}/{folder}"):
            listed = s3.list_objects_v2(Bucket=bucket, Prefix=folder, MaxKeys=LISTED)
    except HookError as error:
        return Records((), (f"Findings of other hooks could not be listed: {error}",))
    latest = _latest(_Object(str(one["Key"]), int(one["Size"])) for one in listed.get("Contents", []))
    problems = []
    if listed.get("IsTruncated"):
        # By name, so in order of time: what is missing are the latest.
        problems.append(f"There are more than {LISTED} records of this deployment; the latest are not shown.")
    if len(latest) > MAX_RECORDS:
        problems.append(f"{len(latest) - MAX_RECORDS} older findings are not shown.")
        latest = latest[-MAX_RECORDS:]

    def read(found: _Object) -> Evidence | str:
        try:
            return evidence_in(_fetched(s3, bucket, found), deployment)
        except (HookError, _Unreadable) as error:
            return f"The record {shown(found.key.removeprefix(folder))} could not be read: {error}"

    with ThreadPoolExecutor(RECORDS_AT_ONCE) as pool:
        results = list(pool.map(read, latest))
    evidence = [result for result in results if isinstance(result, Evidence) and result.hook != OWN_HOOK]
    problems += [result for result in results if isinstance(result, str)]
    return Records(tuple(sorted(evidence, key=lambda one: one.at)), tuple(problems))


def _latest(objects: Iterable[_Object]) -> list[_Object]:
    """Return the latest of each hook, stage and step, in order of time, without keys of anything else."""
    latest: dict[tuple[str, str], _Object] = {}
    for found in sorted(objects, key=lambda one: one.key):
        parts = _KEY.fullmatch(found.key.rpartition("/")[2])
        if parts is not None and parts["hook"] != OWN_HOOK:
            latest[parts["hook"], parts["where"]] = found
    return sorted(latest.values(), key=lambda one: one.key)


def _fetched(s3: "S3Client", bucket: str, found: _Object) -> bytes:
    if found.size > MAX_RECORD_BYTES:
        raise _Unreadable(f"it has {found.size} bytes, and at most {MAX_RECORD_BYTES} are read")
    with translated("s3:GetObject", f"{bucket}/{found.key}"):
        body = s3.get_object(Bucket=bucket, Key=found.key)["Body"]
        # It may have been written anew since it was listed.
        return body.read(MAX_RECORD_BYTES)


def evidence_in(text: bytes, deployment: ServiceDeploymentArn) -> Evidence:
    """Read a decision record; raises ``ValueError`` for anything else, and for another deployment's."""
    try:
        record = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _Unreadable("it is no JSON") from error
    verdict = record.get("verdict") if isinstance(record, Mapping) else None
    if not isinstance(record, Mapping) or not isinstance(verdict, Mapping):
        raise _Unreadable("it is no decision record")
    if record.get("deployment") != str(deployment):
        raise _Unreadable("it is about another deployment")
    answer, would_refuse = verdict.get("answer"), record.get("wouldRefuse") is True
    if not isinstance(answer, str) or answer not in _ANSWERS:
        raise _Unreadable(f"it answers {shown(answer)}")
    reason = _text(verdict, "reason")[:MAX_REASON_CHARACTERS]
    return Evidence(
        hook=_text(record, "hook"),
        stage=_text(record, "stage"),
        step=_text(record, "step"),
        at=_moment(record.get("at")),
        # What was observed was let pass, and the reason is why it would not have been.
        answer="proceed" if would_refuse else answer,
        reason="observe mode" if would_refuse else reason,
        would_refuse=reason if would_refuse else "",
        charts=_objects(record.get("charts")),
        tables=_objects(record.get("tables")),
    )


def _text(document: Mapping[str, Any], key: str) -> str:
    value = document.get(key, "")
    if not isinstance(value, str):
        raise _Unreadable(f"its {key} is no text")
    # Halves of surrogate pairs, which JSON can spell, fit into no page.
    return value.encode("utf-8", "replace").decode()


def _moment(value: Any) -> datetime:
    try:
        return parse_timestamp(value)
    except (TypeError, ValueError) as error:
        raise _Unreadable(f"it was written at {shown(value)}") from error


def _objects(found: Any) -> tuple[dict[str, Any], ...]:
    listed: Sequence[Any] = found if isinstance(found, list) else ()
    return tuple(one for one in listed if isinstance(one, dict))[:MAX_EXHIBITS]


TYPE_CHECKING = False
if TYPE_CHECKING:  # the stubs are not in the artifact, and typing's own constant costs an import there
    from mypy_boto3_s3 import S3Client

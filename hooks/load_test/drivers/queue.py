"""Jobs over SQS, results through S3.

::

    runs/RUN/control.json     the hook's: since when the run is asked for, its lease, why it has to stop
    runs/RUN/progress.json    the generator's, every two seconds
    runs/RUN/result.json      the generator's, once

The function may write ``control`` and nothing else, the generator everything but that: neither can speak for
the other. The queue is FIFO, so that a run that is asked for twice is delivered once, and the runs of one
service one after the other.
"""

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError

from hooks.load_test.decision import Attempt
from hooks.load_test.measurement import MAX_BYTES, Measurement, UnreadableError
from shared.clients import client
from shared.clock import parse_timestamp, timestamp
from shared.errors import Misconfigured, code_of, translated

QUEUE_VARIABLE, BUCKET_VARIABLE = "LOAD_QUEUE_URL", "LOAD_BUCKET"

CONTROL_VERSION = 1
MAX_CONTROL_BYTES = 64 * 1024

# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html: of each, 128
# alphanumeric characters and punctuation.
_MAX_ID_CHARACTERS = 128


class QueueDriver:
    """The default: nothing listens, and nobody needs a way into the network."""

    def __init__(self, queue_url: str, bucket: str) -> None:
        self._queue_url = queue_url
        self._bucket = bucket

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "QueueDriver":
        """Make the driver that the function's environment describes."""
        url, bucket = environment.get(QUEUE_VARIABLE, ""), environment.get(BUCKET_VARIABLE, "")
        if not re.fullmatch(r"https?://\S+\.fifo", url) or not bucket:
            raise Misconfigured(
                f"the function's environment variables {QUEUE_VARIABLE} and {BUCKET_VARIABLE} must name the "
                "generator's FIFO queue and its bucket"
            )
        return cls(url, bucket)

    def health(self) -> None:
        """Do nothing: whether somebody takes jobs off a queue shows when somebody does."""

    def start(self, job: Mapping[str, Any], now: datetime, lease: timedelta) -> None:
        run = str(job["run"])
        control = {"askedAt": timestamp(now), "stop": "", **self._control(run)}
        if control["stop"]:
            return
        # First the lease, without which a generator lets the job be.
        self._write(run, {**control, "leaseUntil": timestamp(now + lease)})
        with translated("sqs:SendMessage", self._queue_url):
            client("sqs").send_message(
                QueueUrl=self._queue_url,
                MessageBody=json.dumps(job, separators=(",", ":")),
                MessageGroupId=str(job["service"])[-_MAX_ID_CHARACTERS:],
                MessageDeduplicationId=run[-_MAX_ID_CHARACTERS:],
            )

    def poll(self, runs: Sequence[str], now: datetime) -> tuple[Attempt, ...]:
        prefix = f"runs/{runs[0].rpartition('-')[0]}-"
        with translated("s3:ListBucket", f"{self._bucket}/{prefix}"):
            # Four files of five attempts at most.
            listed = client("s3").list_objects_v2(Bucket=self._bucket, Prefix=prefix, MaxKeys=100)
        there = {str(one.get("Key")) for one in listed.get("Contents", [])}
        return tuple(self._attempt(run, there, now) for run in runs if _key(run, "control") in there)

    def keep(self, run: str, now: datetime, lease: timedelta) -> None:
        control = self._control(run)
        # What was stopped meanwhile stays so; between this and the write is no more than the lease at stake.
        if not control.get("stop"):
            self._write(run, {**control, "leaseUntil": timestamp(now + lease)})

    def stop(self, run: str, reason: str, now: datetime) -> None:
        control = self._control(run)
        if not control.get("stop"):
            self._write(run, {**control, "leaseUntil": timestamp(now), "stop": reason[:1000]})

    def _attempt(self, run: str, there: set[str], now: datetime) -> Attempt:
        control = self._control(run)
        measured, unreadable = None, ""
        for name in ("result", "progress"):
            if _key(run, name) not in there:
                continue
            text = self._read(run, name, MAX_BYTES + 1)
            if text is None:
                continue
            try:
                measured = Measurement.read(text, run)
            except UnreadableError as error:
                unreadable = f"{name}.json: {error}"
            break
        try:
            asked_at = parse_timestamp(str(control.get("askedAt")))
        except ValueError:
            asked_at = now
        return Attempt(
            run=run,
            asked_at=asked_at,
            stopped=str(control.get("stop") or ""),
            measured=measured,
            unreadable=unreadable,
        )

    def _control(self, run: str) -> dict[str, Any]:
        text = self._read(run, "control", MAX_CONTROL_BYTES)
        try:
            found = json.loads(text or b"{}")
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    def _read(self, run: str, name: str, most: int) -> bytes | None:
        with translated("s3:GetObject", f"{self._bucket}/{_key(run, name)}"):
            try:
                return client("s3").get_object(Bucket=self._bucket, Key=_key(run, name))["Body"].read(most)
            except ClientError as error:
                if code_of(error) == "NoSuchKey":
                    return None
                raise

    def _write(self, run: str, control: Mapping[str, Any]) -> None:
        document = {**control, "version": CONTROL_VERSION}
        with translated("s3:PutObject", f"{self._bucket}/{_key(run, 'control')}"):
            client("s3").put_object(
                Bucket=self._bucket,
                Key=_key(run, "control"),
                Body=json.dumps(document, separators=(",", ":")).encode(),
                ContentType="application/json",
            )


def _key(run: str, name: str) -> str:
    return f"runs/{run}/{name}.json"

"""The decision record: one JSON document per invocation that decided or changed something.

It holds everything the verdict was computed from, so that ``rehearse replay RECORD`` computes it
again, byte for byte. It is always logged, and kept in S3 when the function has a ``RECORD_BUCKET``.

Where numbers over time decided, it has charts of them, for reports and consoles to draw::

    {
        "charts": [
            {
                "title": "p99 latency",
                "unit": "ms",
                "series": [{"name": "green", "points": [["2026-03-02T09:00:00+00:00", 190], ...]}],
                "thresholds": [{"name": "1.2 x blue", "value": 226}],
            }
        ]
    }

A chart with ``"across": "percentile"`` has percents in place of times: it shows a distribution.

Where there is more to a verdict than its reason, it may be laid out in tables, for the same readers::

    {
        "tables": [
            {
                "title": "Containers",
                "columns": ["container", "verdict", "why"],
                "rows": [["web", "deny", "no signature is attached"], ...],
            }
        ]
    }
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from shared.clients import client
from shared.errors import translated
from shared.response import Proceed, Refuse, Result, Wait

SCHEMA_VERSION = 1
LOG_KEY = "decision_record"
BUCKET_VARIABLE = "RECORD_BUCKET"


def canonical(document: Any) -> str:
    """Write JSON in the one form that is compared and digested: sorted keys, no white space."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def digest(document: Any) -> str:
    """Return the SHA-256 of the canonical form, as ``sha256:...``."""
    return "sha256:" + hashlib.sha256(canonical(document).encode()).hexdigest()


def verdict(result: Result) -> dict[str, Any]:
    """Write what the hook decided."""
    match result:
        case Proceed(reason):
            return {"answer": "proceed", "reason": reason}
        case Refuse(reason):
            return {"answer": "refuse", "reason": reason}
        case Wait(reason, after):
            return {"answer": "wait", "reason": reason, "afterSeconds": after}


def object_key(record: Mapping[str, Any]) -> str:
    """Return where a record stands in the bucket: by service and deployment, in order of time."""
    cluster, service, deployment = str(record["deployment"]).split("/")[1:4]
    step = "-".join(filter(None, (record["stage"], record["step"])))
    name = f"{record['at']}-{record['hook']}-{step}-{digest(record)[7:15]}.json"
    return f"records/{cluster}/{service}/{deployment}/{name}"


def keep(record: Mapping[str, Any], bucket: str) -> None:
    """Put the record into *bucket*; the digest in its name makes a repeated call write the same object."""
    key = object_key(record)
    with translated("s3:PutObject", f"{bucket}/{key}"):
        client("s3").put_object(
            Bucket=bucket, Key=key, Body=canonical(record).encode(), ContentType="application/json"
        )

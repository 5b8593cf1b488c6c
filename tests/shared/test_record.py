import json
from typing import Any

import pytest

from rehearsal.aws.cloud import Cloud
from shared import record
from shared.errors import Misconfigured, Transient
from shared.response import Proceed, Refuse, Result, Wait
from tests.shared.checkout import DEPLOYMENT, POST_TEST, PRE_PRODUCTION

BUCKET = "decision-records"
DOCUMENT: dict[str, Any] = {
    "hook": "greeting",
    "at": "2026-03-05T12:00:00Z",
    "deployment": str(DEPLOYMENT),
    "stage": POST_TEST,
    "step": "",
    "comment": "für später",
}
FOLDER = "records/shop/checkout/qR7sT2uV9wX4yZ1aB6cD3"


def test_equal_documents_have_one_text_and_one_digest() -> None:
    assert record.canonical({"b": [1, None], "a": "ü"}) == '{"a":"ü","b":[1,null]}'
    assert record.digest({"b": 1, "a": 2}) == record.digest({"a": 2, "b": 1})
    assert record.digest(None) == "sha256:74234e98afe7498fb5daf1f36ac2d78acc339464f950703b8c019892f982b90b"


@pytest.mark.parametrize(
    ("result", "written"),
    [
        (Proceed("yes"), {"answer": "proceed", "reason": "yes"}),
        (Refuse("no"), {"answer": "refuse", "reason": "no"}),
        (Wait("soon", 7.5, {"left": "out"}), {"answer": "wait", "reason": "soon", "afterSeconds": 7.5}),
    ],
)
def test_a_verdict_is_written_without_its_state(result: Result, written: dict[str, Any]) -> None:
    assert record.verdict(result) == written


def test_records_stand_by_deployment_in_order_of_time() -> None:
    name = record.digest(DOCUMENT)[7:15]
    step = {**DOCUMENT, "stage": PRE_PRODUCTION, "step": "12.5"}

    assert record.object_key(DOCUMENT) == f"{FOLDER}/2026-03-05T12:00:00Z-greeting-{POST_TEST}-{name}.json"
    assert record.object_key(step).startswith(
        f"{FOLDER}/2026-03-05T12:00:00Z-greeting-PRE_PRODUCTION_TRAFFIC_SHIFT-12.5-"
    )


def test_a_record_is_kept_once_however_often_it_is_kept(cloud: Cloud) -> None:
    s3 = cloud.client("s3", user="admin")
    s3.create_bucket(Bucket=BUCKET)

    with cloud.acting_as("hook"):
        record.keep(DOCUMENT, BUCKET)
        record.keep(dict(reversed(DOCUMENT.items())), BUCKET)

    [kept] = s3.list_objects_v2(Bucket=BUCKET)["Contents"]
    found = s3.get_object(Bucket=BUCKET, Key=kept["Key"])
    assert kept["Key"] == record.object_key(DOCUMENT)
    assert found["ContentType"] == "application/json"
    assert json.loads(found["Body"].read()) == DOCUMENT


def test_a_bucket_that_fails_says_how(cloud: Cloud) -> None:
    key = record.object_key(DOCUMENT)
    with cloud.acting_as("hook"):
        with pytest.raises(Misconfigured) as missing:
            record.keep(DOCUMENT, "no-such-bucket")
        cloud.faults.add(action="s3:PutObject", error="SlowDown", status=503)
        with pytest.raises(Transient) as slow:
            record.keep(DOCUMENT, BUCKET)

    assert str(missing.value).startswith(f"s3:PutObject on no-such-bucket/{key}: NoSuchBucket: ")
    assert str(slow.value) == f"s3:PutObject on {BUCKET}/{key}: SlowDown"

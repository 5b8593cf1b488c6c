"""What the other hooks found, out of a bucket that holds anything."""

import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hooks.manual_approval.console import records
from hooks.manual_approval.console.records import MAX_RECORD_BYTES, Records, evidence_in, read_records
from hooks.manual_approval.console.views import Evidence
from rehearsal.aws.identities import ALLOW_ALL
from shared.clock import timestamp
from shared.record import object_key
from tests.hooks.manual_approval.console.under_way import Account, counting, looking
from tests.shared.checkout import DEPLOYMENT, POST_TEST, PRE_PRODUCTION, START

BUCKET = "release-evidence"
FOLDER = "records/shop/checkout/qR7sT2uV9wX4yZ1aB6cD3"
CHART = {"title": "p99 latency", "series": []}
TABLE = {"title": "Containers", "columns": ["container"], "rows": [["web"]]}


def record(hook: str = "load_test", at: datetime = START, **changes: Any) -> dict[str, Any]:
    return {
        "schema": 1,
        "hook": hook,
        "at": timestamp(at),
        "deployment": str(DEPLOYMENT),
        "stage": POST_TEST,
        "step": "",
        "verdict": {"answer": "proceed", "reason": "green holds the load"},
        "wouldRefuse": False,
        **changes,
    }


def evidence(hook: str = "load_test", at: datetime = START, **changes: Any) -> Evidence:
    made: dict[str, Any] = {
        "hook": hook,
        "stage": POST_TEST,
        "step": "",
        "at": at,
        "answer": "proceed",
        "reason": "green holds the load",
        "would_refuse": "",
        "charts": (),
        "tables": (),
    }
    return Evidence(**{**made, **changes})


class Bucket:
    def __init__(self, account: Account) -> None:
        self.account = account
        self._s3 = account.cloud.client("s3", user="admin", policies=[ALLOW_ALL])
        self._s3.create_bucket(Bucket=BUCKET)

    def keep(self, *kept: dict[str, Any]) -> None:
        for one in kept:
            self.put(object_key(one), json.dumps(one))

    def put(self, key: str, text: str | bytes) -> None:
        self._s3.put_object(Bucket=BUCKET, Key=key, Body=text)


@pytest.fixture
def bucket() -> Iterator[Bucket]:
    with looking() as account:
        yield Bucket(account)


def test_the_latest_of_each_hook_stage_and_step_is_shown_in_order_of_time(bucket: Bucket) -> None:
    minute = timedelta(minutes=1)
    step = {"stage": PRE_PRODUCTION, "step": "12.5"}
    bucket.keep(
        record("load_test", START),
        record("load_test", START + minute, charts=[CHART, "no chart"], tables=[TABLE, 7]),
        record("image_trust", START - minute),
        record("canary_comparison", START + 2 * minute, **step),
        record("canary_comparison", START + 3 * minute, **{**step, "step": "25"}),
    )

    assert read_records(DEPLOYMENT, BUCKET) == Records(
        (
            evidence("image_trust", START - minute),
            evidence("load_test", START + minute, charts=(CHART,), tables=(TABLE,)),
            evidence("canary_comparison", START + 2 * minute, stage=PRE_PRODUCTION, step="12.5"),
            evidence("canary_comparison", START + 3 * minute, stage=PRE_PRODUCTION, step="25"),
        )
    )


def test_a_refusal_that_was_only_observed_is_told_as_such() -> None:
    refusal = {"answer": "refuse", "reason": "slower"}

    assert evidence_in(json.dumps(record(verdict=refusal)).encode(), DEPLOYMENT) == evidence(
        answer="refuse", reason="slower"
    )
    assert evidence_in(
        json.dumps(record(verdict=refusal, wouldRefuse=True)).encode(), DEPLOYMENT
    ) == evidence(reason="observe mode", would_refuse="slower")


def test_the_approval_s_own_records_are_no_evidence(bucket: Bucket) -> None:
    bucket.keep(record("manual_approval"))
    # Nor where it is said to be another's.
    bucket.put(f"{FOLDER}/2026-03-05T12:00:00Z-other-X-01234567.json", json.dumps(record("manual_approval")))

    assert read_records(DEPLOYMENT, BUCKET) == Records(())


def test_without_a_bucket_it_says_how_to_get_one() -> None:
    assert read_records(DEPLOYMENT, "") == Records(
        (), ("Findings of other hooks are not kept: set the stack's parameter RecordBucket to see them.",)
    )


def test_what_is_in_the_bucket_and_no_record_is_left_alone(bucket: Bucket) -> None:
    for key in ("notes.txt", "2026-03-05-load_test-X-01234567.json", "2026-03-05T12:00:00Z-load_test.json"):
        bucket.put(f"{FOLDER}/{key}", "hello")
    bucket.put(f"{FOLDER}4/2026-03-05T12:00:00Z-load_test-X-01234567.json", "of another deployment")

    with counting(bucket.account.cloud) as calls:
        assert read_records(DEPLOYMENT, BUCKET) == Records(())
    assert calls == ["s3:ListBucket"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"{", "it is no JSON"),
        (b"\xff\xfe\xfd", "it is no JSON"),
        (b"[" * 100_000, "it is no JSON"),
        (b"[]", "it is no decision record"),
        (b'{"verdict": "proceed"}', "it is no decision record"),
        (
            json.dumps(record(deployment=str(DEPLOYMENT).replace("shop", "other"))).encode(),
            "it is about another deployment",
        ),
        (json.dumps(record(verdict={"answer": ["proceed"]})).encode(), "it answers an array of 1"),
        (json.dumps(record(verdict={"answer": "maybe"})).encode(), "it answers 'maybe'"),
        (json.dumps(record(verdict={"answer": "wait", "reason": 1})).encode(), "its reason is no text"),
        (json.dumps({**record(), "hook": {}}).encode(), "its hook is no text"),
        (json.dumps({**record(), "at": "yesterday"}).encode(), "it was written at 'yesterday'"),
        (json.dumps({**record(), "at": 7}).encode(), "it was written at 7"),
    ],
)
def test_a_record_that_can_t_be_read_is_said(bucket: Bucket, text: bytes, said: str) -> None:
    name = "2026-03-05T12:00:00Z-load_test-POST_TEST_TRAFFIC_SHIFT-01234567.json"
    bucket.put(f"{FOLDER}/{name}", text)
    bucket.keep(record("image_trust"))

    assert read_records(DEPLOYMENT, BUCKET) == Records(
        (evidence("image_trust"),), (f"The record '{name}' could not be read: {said}",)
    )


def test_a_huge_record_is_not_fetched(bucket: Bucket) -> None:
    name = "2026-03-05T12:00:00Z-load_test-X-01234567.json"
    bucket.put(f"{FOLDER}/{name}", b" " * (MAX_RECORD_BYTES + 1))

    with counting(bucket.account.cloud) as calls:
        assert read_records(DEPLOYMENT, BUCKET) == Records(
            (), (f"The record '{name}' could not be read: it has 262145 bytes, and at most 262144 are read",)
        )
    assert calls == ["s3:ListBucket"]


def test_of_many_findings_the_latest_twelve_are_fetched(bucket: Bucket) -> None:
    steps = range(1, 16)
    bucket.keep(*(record("canary", START + timedelta(minutes=step), step=str(step)) for step in steps))

    with counting(bucket.account.cloud) as calls:
        found = read_records(DEPLOYMENT, BUCKET)

    assert [one.step for one in found.evidence] == [str(step) for step in range(4, 16)]
    assert found.problems == ("3 older findings are not shown.",)
    assert Counter(calls) == {"s3:ListBucket": 1, "s3:GetObject": 12}


def test_where_the_listing_ends_before_the_latest_that_is_said(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "LISTED", 2)
    bucket.keep(*(record("load_test", START + timedelta(minutes=number)) for number in range(3)))

    assert read_records(DEPLOYMENT, BUCKET) == Records(
        (evidence("load_test", START + timedelta(minutes=1)),),
        ("There are more than 2 records of this deployment; the latest are not shown.",),
    )


def test_a_bucket_that_can_t_be_listed_is_said(bucket: Bucket) -> None:
    bucket.account.cloud.faults.add(action="s3:ListBucket", error="AccessDenied", status=403)

    assert read_records(DEPLOYMENT, BUCKET) == Records(
        (),
        (
            "Findings of other hooks could not be listed: the function's role may not s3:ListBucket on "
            f"{BUCKET}/{FOLDER}/; add it to the role's policy",
        ),
    )


def test_one_record_that_can_t_be_fetched_does_not_cost_the_others(bucket: Bucket) -> None:
    bucket.keep(record("load_test"), record("image_trust"))
    bucket.account.cloud.faults.add(action="s3:GetObject", error="SlowDown", status=503, times=1)

    found = read_records(DEPLOYMENT, BUCKET)

    assert len(found.evidence) == 1
    assert [problem.rpartition(": ")[2] for problem in found.problems] == ["SlowDown"]


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(
    st.dictionaries(
        st.sampled_from(["hook", "at", "stage", "step", "verdict", "wouldRefuse", "charts", "tables"]), _json
    )
)
def test_whatever_stands_in_a_record_it_is_read_or_refused(changes: dict[str, Any]) -> None:
    text = json.dumps({**record(), **changes}).encode()
    try:
        found = evidence_in(text, DEPLOYMENT)
    except ValueError:
        return
    assert found.at.tzinfo is UTC
    assert found.answer in {"proceed", "refuse", "wait"}
    (found.hook + found.stage + found.step + found.reason + found.would_refuse).encode()

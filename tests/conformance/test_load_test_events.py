"""The load test hook and golden events, without a deployment around them.

Apart from the hook on the stage machine: each event has an AWS of its region and account, and there is one
AWS at a time.
"""

import json
from pathlib import Path

import boto3
import pytest

from hooks.load_test.handler import handler
from rehearsal import load_channel
from shared.errors import Misconfigured
from shared.lifecycle import Direction, LifecycleEvent, Stage
from tests.conformance.cases import golden_events, in_its_account
from tests.shared.checkout import Context, assert_valid


@pytest.mark.parametrize("path", golden_events())
def test_every_golden_event_gets_a_valid_answer_and_a_rollback_is_never_refused(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = json.loads(path.read_text())
    monkeypatch.setenv("HOOK_POLICY", "{}")
    for name, value in load_channel.variables().items():
        monkeypatch.setenv(name, value)
    try:
        call = LifecycleEvent.parse(event)
    except Misconfigured:
        # Without a deployment there is nothing that AWS could be asked.
        assert handler(event, Context()) == {"hookStatus": "FAILED"}
        return
    with in_its_account(event):
        boto3.client("s3", region_name="us-east-1").create_bucket(
            Bucket=load_channel.variables()["LOAD_BUCKET"]
        )
        replies = [handler(event, Context()) for _ in range(2)]

    assert replies[0] == replies[1]
    assert_valid(replies[0])
    if call.direction is Direction.ROLLBACK:
        assert replies[0] == {"hookStatus": "SUCCEEDED"}
    elif call.stage is not Stage.POST_TEST_TRAFFIC_SHIFT:
        assert replies[0] == {"hookStatus": "FAILED"}

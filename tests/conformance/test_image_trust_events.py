"""The image trust hook and golden events, without a deployment around them.

Apart from the hook on the stage machine: each event has an AWS of its region and account, and there is one
AWS at a time.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from hooks.image_trust.handler import handler
from rehearsal.aws.cloud import Cloud
from shared.errors import Misconfigured
from shared.lifecycle import Direction, LifecycleEvent, Stage
from tests.conformance.cases import golden_events, in_its_account
from tests.shared.checkout import START, Context, assert_valid

ADMITS_AT = {Stage.PRE_SCALE_UP, Stage.POST_SCALE_UP}
PARAMETER, BINDINGS = "/ecs-image-trust/policy", "/ecs-image-trust/bindings"

# Of what ECS is in the middle of, the digests are recorded, so that no registry is asked.
ADMITS: dict[str, Any] = {"pinned": {"digests": [f"sha256:{number:064d}" for number in (41, 42, 43)]}}
REFUSES: dict[str, Any] = {"pinned": {"digests": [f"sha256:{0:064d}"]}}


@pytest.mark.parametrize("path", golden_events())
@pytest.mark.parametrize("require", [ADMITS, REFUSES, None], ids=["admits", "refuses", "no policy"])
def test_every_golden_event_gets_a_valid_answer_and_a_rollback_is_never_refused(
    path: Path, require: dict[str, Any] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = json.loads(path.read_text())
    monkeypatch.setenv("HOOK_POLICY", "{}")
    monkeypatch.setenv("IMAGE_POLICY", f"ssm:{PARAMETER}")
    monkeypatch.setenv("IMAGE_BINDINGS", BINDINGS)
    try:
        call = LifecycleEvent.parse(event)
    except Misconfigured:
        # Without a deployment there is nothing that could be judged.
        assert handler(event, Context()) == {"hookStatus": "FAILED"}
        return
    with in_its_account(event) as cloud:
        if require is not None:
            publish(cloud, require)
        replies = [handler(event, Context()) for _ in range(2)]

    assert replies[0] == replies[1]
    assert_valid(replies[0])
    status = replies[0]["hookStatus"]
    if call.direction is Direction.ROLLBACK:
        assert status == "SUCCEEDED"
    elif call.hook_details or require is not ADMITS or call.stage not in ADMITS_AT:
        # The details of these events are of no hook here.
        assert status == "FAILED"
    else:
        assert status == "SUCCEEDED"


def publish(cloud: Cloud, require: dict[str, Any]) -> None:
    rule = {"name": "all", "match": {"images": ["docker.io/**"]}, "require": require}
    policy = {"version": 1, "name": "test", "references": {"requireDigest": False}, "rules": [rule]}
    cloud.parameters.write_earlier(PARAMETER, json.dumps(policy), START)

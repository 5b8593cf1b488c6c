"""The recording hook: what it answers follows from event and script alone, and everything is written down."""

import ast
import itertools
import json
import sys
from pathlib import Path
from typing import Any

import boto3
import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples.contract_probe.evidence import Call, Recording
from examples.contract_probe.recorder import recording_hook
from examples.contract_probe.recorder.recording_hook import (
    MAX_CALLS,
    MAX_SCRIPT_BYTES,
    Bucket,
    Raised,
    Recorder,
    reply_to,
    turns_back,
)
from examples.contract_probe.rehearsed import Memory
from rehearsal.aws.cloud import Cloud
from rehearsal.aws.identities import ALLOW_ALL
from rehearsal.resource_names import Place
from rehearsal.template import Template
from shared.lifecycle import Stage
from tests.rehearsal.aws.sample_deployments import (
    ACCOUNT,
    BLUE,
    GREEN,
    REGION,
    SERVICE,
    add_deployment,
    deployment_arn,
)
from tests.rehearsal.aws.test_elbv2 import PREFIX, PRODUCTION, TEST, behind, rule

TEMPLATE = Path("examples/contract_probe/template.yaml")
ARN = str(deployment_arn("one"))
RECORDINGS = f"recordings/{deployment_arn('one').id}/first"
POLLED = {"name": "polled", "replies": {"first": {"PRODUCTION_TRAFFIC_SHIFT": {"polls": 2, "delay": 20}}}}


def event(
    stage: Stage | str = Stage.PRODUCTION_TRAFFIC_SHIFT, *, green: float = 100, **more: Any
) -> dict[str, Any]:
    shift = {str(BLUE): 100 - green, str(GREEN): green}
    return {
        "executionId": "f4fcae0f-9bec-41c6-ba87-0eaa0cef8af5",
        "lifecycleStage": str(stage),
        "resourceArn": ARN,
        "executionDetails": {
            "serviceArn": str(SERVICE),
            "targetServiceRevisionArn": str(GREEN),
            "testTrafficWeights": shift if stage == Stage.TEST_TRAFFIC_SHIFT else {},
            "productionTrafficWeights": shift if stage == Stage.PRODUCTION_TRAFFIC_SHIFT else {},
        },
        **more,
    }


def recorder(store: Memory, hook: str = "first") -> Recorder:
    return Recorder(hook, store, lambda _deployment, _revision: {"problems": []})


def asked(store: Memory, script: dict[str, Any]) -> Recorder:
    store.write("scripts/web.json", json.dumps(script).encode())
    return recorder(store)


def replies(script: dict[str, Any], *, keeps: str = "shallow", most: int = 9) -> list[dict[str, Any] | None]:
    """Poll a hook as ECS does, until its last word."""
    details: dict[str, Any] = {"configured": True}
    said: list[dict[str, Any] | None] = []
    for _ in range(most):
        reply = reply_to(event(hookDetails=details), script, "first")
        said.append(reply.body)
        if reply.is_final or reply.body is None:
            break
        returned = reply.body["hookDetails"]
        details = returned if keeps == "replace" else {**details, **returned}
    return said


@pytest.mark.parametrize("keeps", ["shallow", "replace"])
def test_it_polls_as_often_as_the_script_says(keeps: str) -> None:
    here = f"{deployment_arn('one').id} PRODUCTION_TRAFFIC_SHIFT - 100"

    def waiting(attempt: int) -> dict[str, Any]:
        details = {"probe": {"here": here, "attempt": attempt}, "nested": {"returned": True}}
        return {"hookStatus": "IN_PROGRESS", "callBackDelay": 20, "hookDetails": details}

    assert replies(POLLED, keeps=keeps) == [waiting(1), waiting(2), {"hookStatus": "SUCCEEDED"}]


@pytest.mark.parametrize(
    "details",
    [
        {"probe": {"here": "another stage", "attempt": 2}},
        {"probe": {"attempt": 2}},
        {"probe": 2},
        "text",
        None,
    ],
)
def test_what_other_stages_returned_does_not_count(details: Any) -> None:
    assert reply_to(event(hookDetails=details), POLLED, "first").attempt == 1


def test_a_way_back_is_answered_by_its_own_entry() -> None:
    script = {"replies": {"first": {"PRODUCTION_TRAFFIC_SHIFT": {"then": "FAILED"}}}}

    assert reply_to(event(green=100), script, "first").body == {"hookStatus": "FAILED"}
    assert reply_to(event(green=0), script, "first").body == {"hookStatus": "SUCCEEDED"}


@pytest.mark.parametrize(
    ("seen", "back"),
    [
        (event(green=0), True),
        (event(Stage.TEST_TRAFFIC_SHIFT, green=0), True),
        (event(green=10), False),
        (event(Stage.PRE_PRODUCTION_TRAFFIC_SHIFT, green=0), False),
        ({**event(), "executionDetails": None}, False),
        ({**event(), "executionDetails": {"productionTrafficWeights": [1]}}, False),
        ({}, False),
    ],
)
def test_a_way_back_is_told_by_the_stages_weights(seen: dict[str, Any], back: bool) -> None:
    assert turns_back(seen) is back


@given(
    st.dictionaries(
        st.sampled_from(["executionId", "lifecycleStage", "resourceArn", "executionDetails", "hookDetails"]),
        st.recursive(
            st.none()
            | st.booleans()
            | st.floats()
            | st.text()
            | st.sampled_from(["PRODUCTION_TRAFFIC_SHIFT", ARN]),
            lambda inner: (
                st.lists(inner)
                | st.dictionaries(
                    st.sampled_from(["probe", "targetServiceRevisionArn", "productionTrafficWeights"]), inner
                )
            ),
            max_leaves=8,
        ),
    )
)
def test_whatever_ecs_may_send_is_recorded_and_answered_twice_alike(strange: dict[str, Any]) -> None:
    store = Memory()
    hook = asked(store, POLLED)

    first = hook(strange, request_id="one", at=1.0)

    assert hook(strange, request_id="two", at=1.0) == first
    written = [Recording.model_validate_json(body) for body in store.below("recordings/")]
    assert [recording.event for recording in written] == [json.dumps(strange)] * 2


def test_a_call_is_written_down_with_what_was_seen_and_said() -> None:
    store = Memory()
    details = {"weights": 100.0, "null": None}

    asked(store, {"name": "plain"})(event(hookDetails=details), request_id="8476a536", at=1772442000.25)

    key = f"{RECORDINGS}/PRODUCTION_TRAFFIC_SHIFT/1772442000.250000-8476a536.json"
    assert json.loads(store.objects[key]) == {
        "version": 1,
        "hook": "first",
        "requestId": "8476a536",
        "at": 1772442000.25,
        "script": "plain",
        "attempt": 1,
        "event": json.dumps(event(hookDetails=details)),
        "seen": {"problems": []},
        "reply": {"hookStatus": "SUCCEEDED"},
    }
    assert '"weights": 100.0, "null": null' in json.loads(store.objects[key])["event"]


def test_a_function_error_is_recorded_before_it_is_raised() -> None:
    store = Memory()
    hook = asked(store, {"name": "raised", "replies": {"first": {"PRE_SCALE_UP": {"then": "RAISE"}}}})

    with pytest.raises(Raised, match="as the script 'raised' says"):
        hook(event(Stage.PRE_SCALE_UP), request_id="one", at=1.0)

    assert [json.loads(body)["reply"] for body in store.below("recordings/")] == [None]


def test_a_deployment_keeps_the_script_that_it_began_with() -> None:
    store = Memory()
    hook = asked(store, POLLED)
    before = hook(event(), request_id="one", at=1.0)
    store.write("scripts/web.json", b'{"name": "newer"}')

    assert before["hookStatus"] == "IN_PROGRESS"
    assert hook(event(), request_id="two", at=2.0) == before
    newer = {**event(), "resourceArn": str(deployment_arn("two"))}
    assert hook(newer, request_id="three", at=3.0) == {"hookStatus": "SUCCEEDED"}


def test_a_service_without_a_script_is_let_pass() -> None:
    assert recorder(Memory())(event(), request_id="one", at=1.0) == {"hookStatus": "SUCCEEDED"}


def test_polling_ends_even_if_hook_details_never_come_back() -> None:
    hook = asked(Memory(), POLLED)

    said = [hook(event(), request_id=str(n), at=float(n))["hookStatus"] for n in range(MAX_CALLS + 2)]

    assert [(status, len(list(times))) for status, times in itertools.groupby(said)] == [
        ("IN_PROGRESS", MAX_CALLS),
        ("SUCCEEDED", 2),
    ]


@pytest.mark.parametrize(
    ("script", "error"),
    [(b"[]", "holds list; expected an object"), (b"1" * (MAX_SCRIPT_BYTES + 1), "more than the 65536")],
)
def test_a_script_that_is_none_is_refused(script: bytes, error: str) -> None:
    store = Memory()
    store.write("scripts/web.json", script)

    with pytest.raises((TypeError, ValueError), match=error):
        recorder(store)(event(), request_id="one", at=1.0)


def test_it_imports_what_lambdas_runtime_has() -> None:
    tree = ast.parse(Path(recording_hook.__file__).read_text())
    imported = {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    imported |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}

    assert {name.partition(".")[0] for name in imported} - sys.stdlib_module_names == {"boto3"}


class Context:
    aws_request_id = "8476a536"


@pytest.fixture
def cloud() -> Any:
    with Cloud(region=REGION, seed=1) as cloud:
        yield cloud
        assert cloud.defects == []


def deployed() -> tuple[str, dict[str, Any]]:
    """Return the bucket that the template gives to the recorder, and what it may do in a cluster `shop`."""
    template = Template.read(TEMPLATE, place=Place(region=REGION, account=ACCOUNT))
    function = next(one for one in template.functions() if one.logical_id == "FirstRecorder")
    [cluster] = template.resources("AWS::ECS::Cluster")
    statements = json.dumps(function.statements).replace(f"/{cluster.ref}/", "/shop/")
    return str(function.environment["BUCKET"]), {"Version": "2012-10-17", "Statement": json.loads(statements)}


@pytest.mark.parametrize(
    "production", [rule(PRODUCTION), f"{PREFIX}:listener/net/shop/50dc6c495c0c9188/f2f7dc8e"]
)
def test_in_lambda_it_reads_ecs_and_writes_to_its_bucket_with_the_templates_permissions(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, production: str
) -> None:
    behind(cloud, production, rule(TEST))
    bucket, policy = deployed()
    admin = cloud.client("s3", user="admin", policies=[ALLOW_ALL])
    admin.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
    admin.put_object(Bucket=bucket, Key="scripts/web.json", Body=json.dumps(POLLED).encode())
    monkeypatch.setenv("BUCKET", bucket)
    monkeypatch.setenv("HOOK", "first")
    monkeypatch.setattr(recording_hook, "_recorder", None)

    with cloud.enforcing_iam(), cloud.acting_as("recorder", policies=[policy]):
        first = recording_hook.handler(event(), Context())
        again = recording_hook.handler(event(), Context())

    assert first == again
    assert first["hookStatus"] == "IN_PROGRESS"
    keys = [found["Key"] for found in admin.list_objects_v2(Bucket=bucket)["Contents"]]
    assert [key.rpartition("/")[0] for key in keys] == [
        "pins",
        f"{RECORDINGS}/PRODUCTION_TRAFFIC_SHIFT",
        f"{RECORDINGS}/PRODUCTION_TRAFFIC_SHIFT",
        "scripts",
    ]
    recording = Recording.model_validate_json(admin.get_object(Bucket=bucket, Key=keys[1])["Body"].read())
    assert recording.seen.problems == ()
    assert recording.seen.deployment
    assert recording.seen.deployment["serviceDeploymentArn"] == ARN
    assert recording.seen.revision
    assert recording.seen.revision["serviceRevisionArn"] == str(GREEN)
    assert Call("polled", recording, json.loads(recording.event), 1).listened == 10.0


def test_what_it_may_not_see_is_part_of_the_recording(cloud: Cloud) -> None:
    add_deployment(cloud)
    allowed = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
    policy = {"Version": "2012-10-17", "Statement": [allowed]}

    with cloud.enforcing_iam(), cloud.acting_as("recorder", policies=[policy]):
        apis = recording_hook.Apis(boto3.client("ecs"), boto3.client("elbv2"))
        seen = apis(ARN, str(GREEN))

    assert (seen["deployment"], seen["revision"]) == (None, None)
    assert [problem.partition(":")[0] for problem in seen["problems"]] == [
        "DescribeServiceDeployments",
        "DescribeServiceRevisions",
    ]


def test_of_hooks_that_call_at_once_the_first_pins_the_script_for_all(cloud: Cloud) -> None:
    s3 = cloud.client("s3", user="admin", policies=[ALLOW_ALL])
    s3.create_bucket(Bucket="probe", CreateBucketConfiguration={"LocationConstraint": REGION})
    bucket = Bucket("probe", s3)

    assert bucket.claim("pins/one.json", b"first") == b"first"
    assert bucket.claim("pins/one.json", b"second") == b"first"
    assert bucket.read("pins/one.json") == b"first"
    assert bucket.read("pins/two.json") is None
    assert bucket.count("pins/", 5) == 1

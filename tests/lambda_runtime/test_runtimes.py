"""The two runtimes that a rehearsal can use instead of its own process."""

import json
import struct
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from rehearsal.aws.identities import ALLOW_ALL
from rehearsal.functions import deployed
from rehearsal.lambda_functions import Function
from rehearsal.runtime.rie import Rie, RuntimeEnvironment, RuntimeEnvironmentError
from rehearsal.runtime.sam_local import SamLocal, container_variables, credentials
from rehearsal.runtime.sam_template import local_template
from rehearsal.template import Template
from rehearsal.timing import ClockFile

from .conftest import FUNCTION, Aws

SERVICE = "arn:aws:ecs:us-east-1:123456789012:{kind}/shop/checkout"
GREEN = SERVICE.format(kind="service-revision") + "/9313423515462893900"
BLUE = SERVICE.format(kind="service-revision") + "/1920498462936580504"
EVENT: dict[str, Any] = {
    "executionId": "f4fcae0f-9bec-41c6-ba87-0eaa0cef8af5",
    "lifecycleStage": "POST_TEST_TRAFFIC_SHIFT",
    "resourceArn": SERVICE.format(kind="service-deployment") + "/EZe5RNVLH6PPzHXINuP28",
    "executionDetails": {
        "serviceArn": SERVICE.format(kind="service"),
        "targetServiceRevisionArn": GREEN,
        "testTrafficWeights": {GREEN: 100, BLUE: 0},
        "productionTrafficWeights": {GREEN: 0, BLUE: 100},
    },
    "hookDetails": {},
}

# 2026-03-02T09:00:00Z
MARCH = 1772442000.0


def handler_in(folder: Path, source: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "app.py").write_text(source)
    return folder


def requested_at(lines: list[str]) -> str:
    records = [json.loads(line)["decision_record"] for line in lines if '"decision_record"' in line]
    return str(records[0]["at"])


@pytest.mark.runtime
def test_a_function_under_the_emulator_lives_in_virtual_time(
    build: Path, aws: Aws, functions: Mapping[str, Function], python: Path, tmp_path: Path
) -> None:
    clock = ClockFile(tmp_path / "clock")
    clock.write(MARCH)
    aws.deploy(EVENT)
    function = functions[FUNCTION]
    runtime = Rie(build, clock_file=clock.path, python=python)
    try:
        invocation = runtime.invoke(function, EVENT, aws.environment(function))
        clock.write(MARCH + 3600)
        later = runtime.invoke(
            function, {**EVENT, "lifecycleStage": "PRE_SCALE_UP"}, aws.environment(function)
        )
    finally:
        runtime.close()
        clock.close()
    assert invocation.reply["hookStatus"] == "IN_PROGRESS", invocation
    assert requested_at(invocation.log_lines) == "2026-03-02T09:00:00Z"
    assert requested_at(later.log_lines) == "2026-03-02T10:00:00Z"


@pytest.mark.runtime
def test_a_warm_environment_is_used_again_and_replaced_when_its_variables_change(
    tmp_path: Path, python: Path
) -> None:
    source = "import os\nCOUNT = []\ndef handler(event, context):\n    COUNT.append(1)\n"
    source += "    return [os.environ['COLOUR'], len(COUNT), context.function_name]\n"
    handler_in(tmp_path / FUNCTION, source)

    class App:
        logical_id = FUNCTION
        name = "app"
        arn = "arn:aws:lambda:us-east-1:123456789012:function:app"
        handler = "app.handler"
        timeout_seconds = 3
        memory_mb = 128
        layers = ()

    runtime = Rie(tmp_path, python=python)
    try:
        replies = [
            runtime.invoke(App(), {}, {"COLOUR": colour}).reply for colour in ("blue", "blue", "green")
        ]
    finally:
        runtime.close()
    assert replies == [["blue", 1, "app"], ["blue", 2, "app"], ["green", 1, "app"]]


@pytest.mark.runtime
def test_the_functions_own_code_is_found_before_its_layers_and_of_these_the_later_ones(
    tmp_path: Path, python: Path
) -> None:
    source = "import one, two, three\ndef handler(event, context):\n"
    source += "    return [one.PLACE, two.PLACE, three.PLACE]\n"
    artifact = handler_in(tmp_path / "function", source)
    layers = [tmp_path / "first", tmp_path / "second"]
    for folder, modules in (
        (artifact, ["one"]),
        (layers[0], ["one", "two", "three"]),
        (layers[1], ["one", "two"]),
    ):
        place = folder if folder is artifact else folder / "python"
        place.mkdir(parents=True, exist_ok=True)
        for name in modules:
            (place / f"{name}.py").write_text(f"PLACE = {folder.name!r}\n")
    with RuntimeEnvironment(artifact, "app.handler", python, {}, layers=layers) as environment:
        response = environment.invoke({})
    assert (response.reply, response.error) == (["function", "second", "first"], None)


@pytest.mark.runtime
@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("raise ValueError('no')", "ValueError: no"),
        ("import time; time.sleep(30)", "Task timed out after 1.00 seconds"),
        ("import os; os._exit(3)", "Runtime.ExitError"),
    ],
)
def test_a_function_that_fails_is_reported_as_lambda_does(
    tmp_path: Path, python: Path, body: str, error: str
) -> None:
    artifact = handler_in(tmp_path / "app", f"def handler(event, context):\n    {body}\n")
    with RuntimeEnvironment(artifact, "app.handler", python, {}, timeout_seconds=1) as environment:
        response = environment.invoke({})
    assert response.reply is None
    assert error in str(response.error)


@pytest.mark.runtime
def test_only_the_first_invocation_is_cold(tmp_path: Path, python: Path) -> None:
    artifact = handler_in(
        tmp_path / "app", "def handler(event, context):\n    print('seen')\n    return event\n"
    )
    with RuntimeEnvironment(artifact, "app.handler", python, {}) as environment:
        first, second = environment.invoke({"n": 1}), environment.invoke({"n": 2})
    assert (first.reply, first.log, first.error) == ({"n": 1}, ["seen"], None)
    assert (second.reply, second.log, second.error) == ({"n": 2}, ["seen"], None)
    assert first.init_ms is not None
    assert second.init_ms is None


@pytest.mark.runtime
def test_nothing_of_an_environment_outlives_it(tmp_path: Path, python: Path) -> None:
    source = "import os, subprocess\ndef handler(event, context):\n"
    source += "    return [os.getpid(), subprocess.Popen(['sleep', '300']).pid]\n"
    artifact = handler_in(tmp_path / "app", source)
    with RuntimeEnvironment(artifact, "app.handler", python, {}) as environment:
        pids = environment.invoke({}).reply
    # Ended processes may stay as zombies until their new parent looks.
    states = [Path(f"/proc/{pid}/stat") for pid in pids]

    def all_ended() -> bool:
        return all(
            not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z" for state in states
        )

    # A process that was killed ends when the machine gets to it.
    given_up = time.monotonic() + 30
    while not all_ended():
        assert time.monotonic() < given_up


@pytest.mark.runtime
def test_a_missing_artifact_is_named(tmp_path: Path, python: Path) -> None:
    with (
        pytest.raises(RuntimeEnvironmentError, match=r"no artifact at .*nowhere; `sam build` makes it"),
        RuntimeEnvironment(tmp_path / "nowhere", "app.handler", python, {}),
    ):
        pass
    with (
        pytest.raises(RuntimeEnvironmentError, match=r"no artifact at .*nowhere; `sam build` makes it"),
        RuntimeEnvironment(tmp_path, "app.handler", python, {}, layers=[tmp_path / "nowhere"]),
    ):
        pass


@pytest.mark.docker
@pytest.mark.usefixtures("_containers")
def test_sam_local_keeps_a_function_warm(build: Path, aws: Aws, functions: Mapping[str, Function]) -> None:
    aws.deploy(EVENT)
    function = functions[FUNCTION]
    runtime = SamLocal(build)
    try:
        asked = runtime.invoke(function, EVENT, aws.environment(function))
        ssm = aws.cloud.client("ssm", user="alice", policies=[ALLOW_ALL])
        for request in ssm.get_parameters_by_path(Path="/ecs-approvals", Recursive=True)["Parameters"]:
            ssm.put_parameter(Name=request["Name"], Value="approved", Overwrite=True)
        answered = runtime.invoke(function, EVENT, aws.environment(function))
    finally:
        runtime.close()
    assert (asked.error, asked.reply["hookStatus"]) == (None, "IN_PROGRESS")
    assert (answered.error, answered.reply) == (None, {"hookStatus": "SUCCEEDED"})


@pytest.mark.parametrize("processor", ["Arm64", "X8664"])
@pytest.mark.parametrize(("keyless", "kinds"), [("false", ["Libraries"]), ("true", ["Libraries", "Keyless"])])
def test_a_function_has_the_layers_that_its_stack_attaches(
    processor: str, keyless: str, kinds: list[str]
) -> None:
    architecture = {"Arm64": "arm64", "X8664": "x86_64"}[processor]
    function = deployed((("Architecture", architecture), ("ImageTrustKeyless", keyless)))[
        "ImageTrustFunction"
    ]

    assert function.layers == [f"ImageTrust{kind}{processor}Layer" for kind in kinds]
    assert deployed()[FUNCTION].layers == []


def test_sam_local_is_told_layers_outright_and_paths_from_anywhere(tmp_path: Path) -> None:
    built = tmp_path / "template.yaml"
    built.write_text(
        """
        AWSTemplateFormatVersion: 2010-09-09
        Parameters: {Architecture: {Type: String, Default: arm64}}
        Conditions: {OnArm64: !Equals [!Ref Architecture, arm64]}
        Resources:
          A: {Type: "AWS::Serverless::LayerVersion", Properties: {ContentUri: A}}
          B: {Type: "AWS::Serverless::LayerVersion", Properties: {ContentUri: B}}
          F:
            Type: AWS::Serverless::Function
            Properties: {CodeUri: F, Layers: [!If [OnArm64, !Ref A, !Ref B]]}
          G: {Type: "AWS::Serverless::Function", Properties: {CodeUri: "s3://bucket/g"}}
        """
    )
    functions = Template.read(built, parameters={"Architecture": "x86_64"}).functions()
    told = json.loads(local_template(built, {one.logical_id: one.layers for one in functions}))

    assert {name: one["Properties"] for name, one in told["Resources"].items()} == {
        "A": {"ContentUri": str(tmp_path / "A")},
        "B": {"ContentUri": str(tmp_path / "B")},
        "F": {"CodeUri": str(tmp_path / "F"), "Layers": [{"Ref": "B"}]},
        "G": {"CodeUri": "s3://bucket/g"},
    }
    assert told["AWSTemplateFormatVersion"] == "2010-09-09"


def test_an_endpoint_on_this_machine_is_passed_on_under_the_name_that_containers_know() -> None:
    given = {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:5000",
        "RECORD_BUCKET": "127.0.0.1",
        "AWS_ACCESS_KEY_ID": "A",
    }
    assert container_variables(given) == {
        "AWS_ENDPOINT_URL": "http://host.docker.internal:5000",
        "RECORD_BUCKET": "127.0.0.1",
    }


def test_a_function_never_runs_with_the_credentials_of_the_person_at_the_keyboard() -> None:
    assert credentials({})["AWS_ACCESS_KEY_ID"] == "test"
    assert credentials({"AWS_ACCESS_KEY_ID": "A", "AWS_REGION": "eu-west-1"}) == {
        "AWS_ACCESS_KEY_ID": "A",
        "AWS_REGION": "eu-west-1",
        "AWS_DEFAULT_REGION": "eu-west-1",
    }


def test_the_clock_file_is_eight_bytes_little_endian(tmp_path: Path) -> None:
    from rehearsal.runtime.virtual_clock import VirtualTime

    file = tmp_path / "clock"
    file.write_bytes(struct.pack("<d", MARCH))
    assert VirtualTime(file).time() == MARCH

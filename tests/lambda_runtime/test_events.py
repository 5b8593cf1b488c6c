"""Every sample event, sent to the built artifact in the real Lambda runtime."""

import json
import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from rehearsal.lambda_functions import Function
from rehearsal.runtime import Invocation
from rehearsal.runtime.lambda_python import ROOT
from rehearsal.runtime.rie import Rie
from rehearsal.runtime.sam_local import (
    GRACE_SECONDS,
    HOST,
    architecture,
    container_variables,
    credentials,
    find_sam,
)

from .conftest import EVENTS, FUNCTION, Aws, read_event

# An event does not say what a person did. In these situations the request was made by an earlier call,
# and then answered.
ANSWERS = {"approved": "APPROVED", "rejected": "REJECTED"}

Invoke = Callable[[Path], Invocation]

events = pytest.mark.parametrize("path", sorted(EVENTS.glob("*.json")), ids=lambda path: path.stem)


def expected(path: Path) -> Mapping[str, Any]:
    reply: Mapping[str, Any] = read_event(path.parent / "expected" / path.name)
    return reply


def reply_to(path: Path, aws: Aws, invoke: Invoke) -> Invocation:
    """Bring about the event's situation, and send it."""
    aws.deploy(read_event(path))
    if path.stem in ANSWERS:
        asked = invoke(path)
        assert asked.reply["hookStatus"] == "IN_PROGRESS", asked
        aws.answer_requests(ANSWERS[path.stem])
    return invoke(path)


def compare(invocation: Invocation, path: Path) -> None:
    assert invocation.error is None, invocation
    assert {key: invocation.reply.get(key) for key in expected(path)} == expected(path), invocation.log_lines


def test_there_is_an_event_for_every_situation_that_is_answered() -> None:
    assert ANSWERS.keys() <= {path.stem for path in EVENTS.glob("*.json")}


@pytest.mark.runtime
@events
def test_the_emulator_gets_the_expected_reply(
    path: Path, build: Path, aws: Aws, functions: Mapping[str, Function], python: Path
) -> None:
    function = functions[FUNCTION]
    runtime = Rie(build, python=python)
    try:
        compare(
            reply_to(
                path, aws, lambda path: runtime.invoke(function, read_event(path), aws.environment(function))
            ),
            path,
        )
    finally:
        runtime.close()


@pytest.mark.docker
@pytest.mark.usefixtures("_containers")
@events
def test_sam_local_invoke_gets_the_expected_reply(
    path: Path, build: Path, aws: Aws, functions: Mapping[str, Function], tmp_path: Path
) -> None:
    environment = aws.environment(functions[FUNCTION])
    variables = tmp_path / "variables.json"
    variables.write_text(json.dumps({"Parameters": container_variables(environment)}))

    def invoke(path: Path) -> Invocation:
        result = subprocess.run(
            [
                *(find_sam(), "local", "invoke", FUNCTION, "--event", str(path)),
                *(
                    "--template",
                    str(build / "template.yaml"),
                    "--env-vars",
                    str(variables),
                    "--skip-pull-image",
                ),
                *("--parameter-overrides", f"Architecture={architecture()}"),
                *("--add-host", f"{HOST}:host-gateway"),
            ],
            cwd=ROOT,
            env={**os.environ, "SAM_CLI_TELEMETRY": "0", **credentials(environment)},
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
            timeout=GRACE_SECONDS + functions[FUNCTION].timeout_seconds,
        )
        assert result.returncode == 0, result.stderr
        return Invocation(reply=json.loads(result.stdout), log_lines=result.stderr.splitlines())

    compare(reply_to(path, aws, invoke), path)

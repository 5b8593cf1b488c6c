"""Every sample event, sent to the built artifact in the real Lambda runtime."""

import json
import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from rehearsal.functions import deployed, hooks
from rehearsal.lambda_functions import Function
from rehearsal.runtime import Invocation, architecture
from rehearsal.runtime.lambda_python import ROOT
from rehearsal.runtime.rie import Rie
from rehearsal.runtime.sam_local import (
    GRACE_SECONDS,
    HOST,
    account_endpoint,
    container_variables,
    credentials,
    find_sam,
)
from rehearsal.runtime.sam_template import local_template

from .conftest import EVENTS, Aws, read_event
from .situations import SITUATIONS, VARIABLES

# The function of each hook, by its folder of events, and one that EventBridge calls.
FUNCTIONS = {
    **{name: function.logical_id for name, function in hooks(deployed()).items()},
    "approval_pause": "ApprovalPauseFunction",
}

PATHS = sorted(EVENTS.glob("*/*.json"))
every_event = pytest.mark.parametrize("path", PATHS, ids=lambda path: f"{path.parent.name}-{path.stem}")

# A container takes seconds to start, and the emulator beside it has had each event. Elsewhere than in CI
# one event of each hook goes through SAM.
FIRST = {path.parent: path for path in reversed(PATHS)}.values()
every_event_if_thorough = pytest.mark.parametrize(
    "path",
    [path if path in FIRST else pytest.param(path, marks=pytest.mark.thorough) for path in PATHS],
    ids=lambda path: f"{path.parent.name}-{path.stem}",
)


def invoked(path: Path, aws: Aws, send: Callable[[], Invocation]) -> Invocation:
    """Bring about the event's situation, and send it."""
    event = read_event(path)
    aws.deploy(event)
    SITUATIONS[path.parent.name](path.stem, event, aws, send)
    return send()


def variables_of(path: Path, aws: Aws, function: Function) -> dict[str, str]:
    return {**aws.environment(function), **VARIABLES.get(path.parent.name, {})}


def compare(invocation: Invocation, path: Path) -> None:
    expected: Mapping[str, Any] = read_event(path.parent / "expected" / path.name)
    assert invocation.error is None, invocation
    assert {key: invocation.reply.get(key) for key in expected} == expected, invocation.log_lines


def test_every_hook_has_events_and_every_event_an_expected_reply() -> None:
    folders = {folder.name: folder for folder in EVENTS.iterdir() if folder.is_dir()}

    assert folders.keys() == SITUATIONS.keys() == FUNCTIONS.keys()
    for folder in folders.values():
        events = {path.name for path in folder.glob("*.json")}
        assert events == {path.name for path in folder.glob("expected/*.json")} != set()


@pytest.mark.runtime
@every_event
def test_the_emulator_gets_the_expected_reply(
    path: Path, build: Path, aws: Aws, functions: Mapping[str, Function], python: Path
) -> None:
    function = functions[FUNCTIONS[path.parent.name]]
    event, environment = read_event(path), variables_of(path, aws, function)
    runtime = Rie(build, python=python)
    try:
        compare(invoked(path, aws, lambda: runtime.invoke(function, event, environment)), path)
    finally:
        runtime.close()


@pytest.mark.docker
@pytest.mark.usefixtures("_containers")
@every_event_if_thorough
def test_sam_local_invoke_gets_the_expected_reply(
    path: Path, build: Path, aws: Aws, functions: Mapping[str, Function], tmp_path: Path
) -> None:
    function = functions[FUNCTIONS[path.parent.name]]
    environment = variables_of(path, aws, function)
    template = tmp_path / "template.json"
    template.write_text(local_template(build / "template.yaml", {function.logical_id: function.layers}))
    variables = tmp_path / "variables.json"
    variables.write_text(json.dumps({"Parameters": container_variables(environment)}))

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [
                *(find_sam(), "local", "invoke", function.logical_id, "--event", str(path)),
                *("--template", str(template), "--env-vars", str(variables)),
                *("--skip-pull-image", "--add-host", f"{HOST}:host-gateway"),
                *("--parameter-overrides", f"Architecture={architecture()}"),
            ],
            cwd=ROOT,
            env={
                **os.environ,
                "SAM_CLI_TELEMETRY": "0",
                **credentials(environment),
                **account_endpoint(environment),
            },
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
            timeout=GRACE_SECONDS + function.timeout_seconds,
        )

    def send() -> Invocation:
        result = run()
        if result.returncode == 0 and not result.stdout.strip():
            # SAM ended well without a reply, once, on a machine with more to do than cores.
            result = run()
        assert result.returncode == 0, result.stderr
        assert result.stdout.strip(), result.stderr
        return Invocation(reply=json.loads(result.stdout), log_lines=result.stderr.splitlines())

    compare(invoked(path, aws, send), path)

"""The smoke test hook's artifact in the real Lambda runtime, with a green that answers on a real socket."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from rehearsal.lambda_functions import Function
from rehearsal.runtime.rie import Rie
from tests.hooks.smoke_test.answering import answering

from .conftest import EVENTS, Aws, read_event


@pytest.mark.runtime
@pytest.mark.parametrize(("status", "reply"), [(200, "SUCCEEDED"), (404, "FAILED")])
def test_a_green_is_asked_and_judged(
    build: Path, aws: Aws, functions: Mapping[str, Function], python: Path, status: int, reply: str
) -> None:
    function = functions["SmokeTestFunction"]
    event = read_event(EVENTS / "smoke_test" / "unanswered.json")
    aws.deploy(event)
    green = aws.cloud.control_plane.revisions[event["executionDetails"]["targetServiceRevisionArn"]]
    marker = green.task_definition.rpartition("/")[2]
    page = f"HTTP/1.1 {status} Said\r\nx-revision: {marker}\r\nContent-Length: 2\r\n\r\nok".encode()
    runtime = Rie(build, python=python)
    try:
        with answering(page) as server:
            event["hookDetails"]["url"] = f"http://localhost:{server.port}"
            policy = {"HOOK_POLICY": json.dumps({"allowedHosts": [f"localhost:{server.port}"]})}
            invocation = runtime.invoke(function, event, {**aws.environment(function), **policy})
    finally:
        runtime.close()

    assert (invocation.error, invocation.reply) == (None, {"hookStatus": reply}), invocation.log_lines
    assert server.requests[0].startswith(b"GET /frontend/health HTTP/1.1\r\nHost: localhost:")

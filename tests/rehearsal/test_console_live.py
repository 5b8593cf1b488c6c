"""What is decided in an open console, over HTTP, and how it moves the deployments behind it.

All in one module, for there is one rehearsed account to a process.
"""

from collections.abc import Iterator

import pytest

from rehearsal import machine
from rehearsal.console.demo import RunningConsole, open_console
from tests.rehearsal.console_visits import APPROVAL, approve, request_path, scene, signed_in


@pytest.fixture(scope="module")
def running() -> Iterator[RunningConsole]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("SHIFT_SECONDS", "STOP_SECONDS", "START_SECONDS"):
            patch.setattr(machine, name, 0.05)
        shown = [
            scene("checkout", {**APPROVAL, "policy": {"requiredApprovals": 2}}),
            scene("search", APPROVAL),
            scene("streaming", {"hook": "pause", "stages": ["POST_TEST_TRAFFIC_SHIFT"]}),
        ]
        with open_console(shown=shown) as running:
            yield running


def test_two_people_approve_and_the_deployment_goes_on(running: RunningConsole) -> None:
    path = request_path(running, "shop/checkout")
    first = running.deployment("shop/checkout")

    said = [approve(signed_in(running, person, path)) for person in ("alice", "bob")]

    assert said == ["Your approval is recorded."] * 2
    running.wait_for(lambda: first.status == "SUCCESSFUL")


def test_a_pause_hook_is_decided_at_once(running: RunningConsole) -> None:
    deployment = running.deployment("shop/streaming")
    [run] = deployment.hook_runs

    said = approve(signed_in(running, "alice", request_path(running, "shop/streaming", f"/{run.hook_id}")))

    assert said == "Your approval is recorded."
    running.wait_for(lambda: deployment.status == "SUCCESSFUL")


def test_a_deployment_is_stopped_and_the_next_release_begins(running: RunningConsole) -> None:
    stopped = running.deployment("shop/search")

    page = signed_in(running, "alice", request_path(running, "shop/search"))
    page.submit("/stop", {"comment": "the wrong branch"}, press=("answer", "stop"))

    running.wait_for(lambda: running.deployment("shop/search") is not stopped)
    assert stopped.status == "ROLLBACK_SUCCESSFUL"
    revisions = running.rehearsal.cloud.control_plane.revisions
    image = revisions[str(running.deployment("shop/search").target.arn)].container_images[0].image
    assert image == "shop/search:3"


def test_a_defect_behind_the_console_is_raised_where_somebody_waits(running: RunningConsole) -> None:
    with pytest.raises(TimeoutError, match="not so after 0 s"):
        running.wait_for(lambda: False, 0)
    with pytest.raises(ZeroDivisionError):
        running._in_turn(lambda: 1 // 0)

"""Deployment hours, rehearsed: canaries that begin on a Monday at nine."""

import pytest

from examples.own_hook.handler import handler
from shared.lifecycle import Stage
from tests.rehearsal.scripted_deployment import By, ScriptedDeployment, canary, scripted
from tests.shared.checkout import Context

HOURS = {"timeZone": "Europe/Berlin", "closesAt": 16}


@pytest.mark.parametrize(
    ("bake_minutes", "answers", "end"),
    [
        (60, ["SUCCEEDED", "SUCCEEDED"], "SUCCESSFUL"),
        (6 * 60, ["SUCCEEDED", "FAILED"], "ROLLBACK_SUCCESSFUL"),
    ],
    ids=["over by noon", "into the evening"],
)
def test_a_step_is_taken_in_deployment_hours_or_not_at_all(
    bake_minutes: int, answers: list[str], end: str
) -> None:
    calls_the_hook = By(lambda event: handler(event, Context()))
    hook = scripted("deployment_hours", calls_the_hook, Stage.PRE_PRODUCTION_TRAFFIC_SHIFT, details=HOURS)
    run = ScriptedDeployment(hook, strategy=canary(10, bake=bake_minutes))
    with run.env.travelling():
        run.run()

    assert [call.answer for call in run.hook_calls] == answers
    assert run.end[0] == end

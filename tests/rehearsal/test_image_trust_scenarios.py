"""The scenarios of the image trust hook: over HTTP as in process, and after others as by themselves."""

from collections.abc import Iterator
from typing import Any

import pytest

from rehearsal.aws.server import Server
from rehearsal.outcome import HookCalled, Outcome
from rehearsal.scenario import Scenario, built_in
from rehearsal.world import Rehearsal

from .conftest import Tour

SCENARIOS = {
    name: scenario
    for name, scenario in ((name, Scenario.read(file)) for name, file in built_in().items())
    if {entry.hook for entry in scenario.hooks} == {"image_trust"}
}


@pytest.fixture(scope="module")
def over_http() -> Iterator[Rehearsal]:
    """A rehearsal whose functions reach AWS as those in processes of their own do."""
    with Rehearsal() as rehearsal, Server(rehearsal.cloud) as server:
        rehearsal.endpoint_url = server.url
        yield rehearsal


def calls(outcome: Outcome) -> list[HookCalled]:
    return [call for call in outcome.calls if call.hook == "image_trust"]


@pytest.mark.parametrize("name", SCENARIOS)
def test_over_http_everything_is_as_it_is_in_process(over_http: Rehearsal, tour: Tour, name: str) -> None:
    outcome = over_http.run(SCENARIOS[name])

    assert outcome.as_expected
    assert outcome.model_dump_json() == tour.outcomes[name].model_dump_json()


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_hook_knows_nothing_from_an_earlier_run(rehearsal: Rehearsal, tour: Tour, name: str) -> None:
    rehearsal.run(SCENARIOS[name])

    assert rehearsal.run(SCENARIOS[name]).model_dump_json() == tour.outcomes[name].model_dump_json()


def test_a_run_in_which_an_image_comes_late_is_no_other_after_one_in_which_it_was_there(
    rehearsal: Rehearsal,
) -> None:
    def run(pushed: str | None) -> Outcome:
        unsigned = SCENARIOS["unsigned"]
        registry = unsigned.actors[0]["registry"]
        image: dict[str, Any] = {"signed": [{"by": "release"}], "pushed": pushed}
        registry = {**registry, "images": {**registry["images"], "shop/checkout:42": image}}
        changed = unsigned.model_copy(update={"actors": ({"registry": registry},)})
        return rehearsal.run(changed)

    missing, there, again = run("10m"), run(None), run("10m")

    assert [call.answer for call in calls(missing)] == ["FAILED"]
    assert [call.answer for call in calls(there)] == ["SUCCEEDED", "SUCCEEDED"]
    assert again.model_dump_json() == missing.model_dump_json()


def test_the_hook_finds_itself_among_the_deployments_hooks(tour: Tour) -> None:
    for name in SCENARIOS:
        for call in calls(tour.outcomes[name]):
            if call.record:
                assert call.record["inputs"].get("warnings", []) == [], name

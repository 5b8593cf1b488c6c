"""Several who answer at once, to the end: what ECS did, what the hook said, and what the history has.

The turns are drawn by a seed; a deployment is played through for each.
"""

import random
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

from hooks.manual_approval.request import read
from tests.browser.scenes import PATIENT, paused, waiting
from tests.browser.standstill import Standstill, standstill
from tests.browser.turns import play

TURNS = 24
ROUNDS = 12

UNTIL_ASKED = 120
UNTIL_ENDED = 120


@pytest.fixture(scope="module")
def still() -> Iterator[Standstill]:
    with standstill(waiting("hooked", **PATIENT), paused("paused")) as still:
        yield still


def answering(still: Standstill, who: str, service: str, part: str, what: str) -> Callable[[], Any]:
    path = f"{still.path(service, part)}/answer"
    form = {"csrf": still.csrf(who, path), "seen": "1", "answer": what, "comment": f"{what}, says {who}"}
    return lambda: still.post(who, path, form)


def stopping(still: Standstill, who: str, service: str) -> Callable[[], Any]:
    path = still.stop_path(service)
    form = {"csrf": still.csrf(who, path)}
    return lambda: still.post(who, path, form)


class Ending(NamedTuple):
    """How a deployment ended: by ECS, and by the history."""

    status: str
    outcome: str
    words: str


def schedule(seed: int) -> list[int]:
    return random.Random(seed).choices((0, 1), k=TURNS)


def past(still: Standstill, service: str) -> tuple[str, str]:
    """Return what the history has of the latest deployment of a service: the outcome, and the ending."""
    page = still.get("carol", "/history").text
    deployment = str(still.deployment(service).arn)
    entry = next(entry for entry in page.split('<li>\n<p class="when">') if deployment in entry)
    chip = re.search(r'<span class="chip [a-z]+">(.*?)</span>', entry)
    ended = re.search(r"Deployment (.*?)\.</span>", entry)
    assert chip
    assert ended
    return chip[1], ended[1]


def begin(still: Standstill, service: str) -> None:
    """Have a deployment of the service wait for a decision."""
    if still.deployment(service).status.ended:
        still.worlds[service].deploy()
        still.pass_time(UNTIL_ASKED)


def end(still: Standstill, service: str) -> Ending:
    """Let everything take its course; tell what came of it."""
    still.pass_time(UNTIL_ENDED)
    still.worlds[service].invoke_sweeper()
    return Ending(still.deployment(service).status, *past(still, service))


@pytest.mark.parametrize("service", ["hooked", "paused"])
def test_of_an_approval_and_a_rejection_one_comes_true_everywhere(still: Standstill, service: str) -> None:
    endings = {
        "approved": Ending("SUCCESSFUL", "Approved", "finished"),
        "rejected": Ending("ROLLBACK_SUCCESSFUL", "Rejected", "rolled back"),
    }
    came = set()
    for seed in range(ROUNDS):
        begin(still, service)
        part = still.pause(service) if service == "paused" else ""
        works = [
            answering(still, "alice", service, part, "approve"),
            answering(still, "bob", service, part, "reject"),
        ]
        sent = play(works, schedule(seed), still.rehearsal.cloud.faults)
        assert {one.status for one in sent} <= {303, 409}
        first = read(still.versions(service, part)[2]).kind.value
        assert end(still, service) == endings[first]
        came.add(first)
    # Else the schedules would not be worth much.
    assert came == set(endings)


def test_whoever_stops_a_deployment_has_it_stopped_whatever_is_answered_meanwhile(still: Standstill) -> None:
    came = set()
    for seed in range(ROUNDS):
        begin(still, "hooked")
        works = [answering(still, "alice", "hooked", "", "approve"), stopping(still, "bob", "hooked")]
        approval, stop = play(works, schedule(seed), still.rehearsal.cloud.faults)
        assert stop.status == 303
        outcome = "Approved" if approval.status == 303 else "Not decided"
        assert end(still, "hooked") == Ending("ROLLBACK_SUCCESSFUL", outcome, "rolled back")
        came.add(approval.status)
    assert came == {303, 409}

"""What the probe finds in the rehearsal is what the rehearsal's switches were set to."""

import functools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from examples.contract_probe.evidence import Evidence
from examples.contract_probe.inference import SWITCHES, as_switches, infer
from examples.contract_probe.plan import PLAN
from rehearsal.switches import Switches, each_alone, values
from tests.examples.contract_probe.probed import probe


def recoverable(switches: Switches) -> dict[str, str]:
    """Return what has to be found: everything but what leaves no trace."""
    expected = switches.model_dump()
    if switches.duplicate_delivery == "off":
        del expected["duplicate_delivery"]  # that something can't happen is never seen
    if switches.shift_and_hook == "hook-first":
        del expected["bake_and_hook"]  # a bake can't overlap with a hook that comes before the weights move
    return expected


def drawn(seed: int) -> Switches:
    rng = random.Random(seed)
    return Switches.model_validate({name: rng.choice(values(name)) for name in Switches.model_fields})


@pytest.mark.parametrize(
    "switches",
    list(each_alone()),
    ids=lambda switches: str(switches.model_dump(exclude_defaults=True) or "default"),
)
def test_each_value_of_each_switch_is_recovered(switches: Switches) -> None:
    assert as_switches(infer(probe(switches))) == recoverable(switches)


@pytest.mark.parametrize("seed", range(5))
def test_switches_drawn_at_random_are_recovered_all_at_once(seed: int) -> None:
    assert as_switches(infer(probe(drawn(seed), seed=seed))) == recoverable(drawn(seed))


@pytest.mark.thorough
@pytest.mark.parametrize("block", range(5, 105, 25))
def test_any_switches_are_recovered_all_at_once(block: int) -> None:
    for seed in range(block, block + 25):
        assert as_switches(infer(probe(drawn(seed), seed=seed))) == recoverable(drawn(seed)), seed


@functools.cache
def kept(seed: int) -> str:
    return probe(drawn(seed), seed=seed).model_dump_json(by_alias=True)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 3),
    until=st.floats(0, 1),
    without=st.sets(st.sampled_from([step.name for step in PLAN]), max_size=4),
)
def test_of_a_part_of_what_was_seen_nothing_wrong_is_concluded(
    seed: int, until: float, without: set[str]
) -> None:
    evidence = Evidence.model_validate_json(kept(seed))
    begun = min(recording.at for recording in evidence.recordings)
    ended = max(recording.at for recording in evidence.recordings)
    now = begun + until * (ended - begun)
    evidence.recordings = [recording for recording in evidence.recordings if recording.at <= now]
    for name, deployment in list(evidence.deployments.items()):
        deployment.snapshots = [snapshot for snapshot in deployment.snapshots if snapshot.at <= now]
        if name in without:
            del evidence.deployments[name]

    concluded = as_switches(infer(evidence))

    true = drawn(seed).model_dump()
    assert {name: value for name, value in concluded.items() if value != true[name]} == {}


def test_the_probe_knows_every_switch_of_the_rehearsal_and_a_deployment_that_settles_it() -> None:
    assert tuple(Switches.model_fields) == SWITCHES
    assert {name for step in PLAN for name in step.settles} == set(SWITCHES)

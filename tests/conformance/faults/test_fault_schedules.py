"""Whole deployments while AWS fails now and then, at random.

A schedule is a handful of the ``trouble``, ``crash`` and ``lag`` of scenarios. One that fails is made as
short as it can be and printed as the ``actors`` of one, to be played by ``rehearse``.
"""

import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from rehearsal.world import Rehearsal
from tests.conformance.faults.faulted_runs import Subject, Watch, play
from tests.conformance.faults.subjects import HOOKS, NEVER
from tests.conformance.faults.verdicts import assert_sound

CALLS = (
    "*",
    "ssm:*",
    "ssm:Get*",
    "ssm:PutParameter",
    "ecs:*",
    "ecs:DescribeServiceDeployments",
    "ecs:DescribeServiceRevisions",
    "cloudwatch:*",
    "ecr:*",
    "elasticloadbalancing:*",
    "s3:*",
    "signer:*",
    "sns:Publish",
    "sqs:*",
)


def seconds(least: int, most: int) -> st.SearchStrategy[str]:
    return st.integers(least, most).map("{}s".format)


troubles = st.fixed_dictionaries(
    {
        "call": st.sampled_from([call for call in CALLS if call != "*"]),
        "how": st.sampled_from(["throttled", "failing", "denied", "unanswered", "garbled"]),
        "after": seconds(0, 240),
        "lasts": seconds(1, 240),
    }
).map(lambda keys: {"trouble": keys})
crashes = st.fixed_dictionaries(
    {
        "call": st.sampled_from(["ssm:*", "ssm:PutParameter", "ecs:*", "sqs:*", "s3:*", "ecr:*"]),
        "moment": st.sampled_from(["before", "after"]),
        "skip": st.integers(0, 8),
        "after": seconds(0, 240),
    }
).map(lambda keys: {"crash": keys})
# Workers are told to expect reads this far behind (readLagSeconds).
lags = st.fixed_dictionaries(
    {"seconds": seconds(1, 3), "after": seconds(0, 240), "lasts": seconds(1, 240)}
).map(lambda keys: {"lag": keys})
schedules = st.builds(
    lambda weather, crash: [*weather, *crash],
    st.lists(st.one_of(troubles, troubles, lags), min_size=1, max_size=4),
    # Each ends one run of a schedule at most, and there are more runs than that.
    st.lists(crashes, max_size=2),
)

TO_SUCCEED = [subject for subjects in HOOKS.values() for subject in subjects]


@pytest.fixture(scope="module")
def rehearsal() -> Iterator[Rehearsal]:
    with Rehearsal(runtime=Watch()) as rehearsal:
        yield rehearsal


def hold(rehearsal: Rehearsal, subject: Subject, schedule: list[dict[str, Any]]) -> None:
    """Play a deployment with a schedule, and hold what must always hold against it."""
    note(f"{subject.name}, with these actors:\n{yaml.safe_dump(schedule, sort_keys=False)}")
    actors = [*subject.parts.get("actors", ()), *schedule]
    played = play(rehearsal, dataclasses.replace(subject, parts={**subject.parts, "actors": actors}))
    assert_sound(played)
    if subject in NEVER:
        assert played.last.status != "SUCCESSFUL"


@given(st.sampled_from([*TO_SUCCEED, *NEVER]), schedules)
@settings(max_examples=20, suppress_health_check=[HealthCheck.too_slow])
def test_whatever_fails_when_every_deployment_ends_well(
    rehearsal: Rehearsal, subject: Subject, schedule: list[dict[str, Any]]
) -> None:
    hold(rehearsal, subject, schedule)


@pytest.mark.thorough
@pytest.mark.parametrize("subject", [*TO_SUCCEED, *NEVER], ids=lambda subject: subject.name)
@given(schedule=schedules)
@settings(max_examples=5, suppress_health_check=[HealthCheck.too_slow])
def test_many_a_schedule_ends_well(
    rehearsal: Rehearsal, subject: Subject, schedule: list[dict[str, Any]]
) -> None:
    hold(rehearsal, subject, schedule)

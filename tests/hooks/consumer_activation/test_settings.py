import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hooks.consumer_activation.settings import ConsumerPolicy, ConsumerSettings
from shared.errors import Misconfigured
from shared.settings import POLICY_VARIABLE, Resolved, resolve

DEFAULTS = {
    "mode": "enforce",
    "giveUpAfterMinutes": 1380,
    "onTrouble": "refuse",
    "queue": None,
    "drainBy": None,
    "drainSeconds": 30,
    "drainTimeoutSeconds": 900,
    "onDrainTimeout": "refuse",
    "handBackDrainSeconds": 60,
    "leaseSeconds": 15,
    "readSeconds": 5,
    "readLagSeconds": 3,
    "lookSeconds": 5,
    "monitorMinutes": 5,
    "maxDeadLetters": 0,
    "maxOldestMessageSeconds": 300,
    "maxOldestMessageFactor": 2.0,
    "stalledMinutes": 3,
}


def resolved(details: dict[str, Any], policy: dict[str, Any]) -> Resolved[ConsumerSettings, ConsumerPolicy]:
    return resolve(ConsumerSettings, ConsumerPolicy, details, {POLICY_VARIABLE: json.dumps(policy)})


def test_the_defaults_refuse_wherever_there_is_doubt() -> None:
    assert ConsumerSettings().model_dump(mode="json", by_alias=True) == DEFAULTS
    assert ConsumerPolicy().allowed_queues == ("*",)


@pytest.mark.parametrize(
    ("key", "policy", "service", "holds"),
    [
        # Longer is stricter: whatever is waited for, is waited for at least as long as the policy says.
        ("drainSeconds", 60, 10, 60),
        ("drainSeconds", 60, 90, 90),
        ("drainTimeoutSeconds", 1800, 60, 1800),
        ("drainTimeoutSeconds", 1800, 3600, 3600),
        ("handBackDrainSeconds", 120, 5, 120),
        ("handBackDrainSeconds", 120, 300, 300),
        ("leaseSeconds", 30, 20, 30),
        ("leaseSeconds", 30, 40, 40),
        ("readLagSeconds", 5, 0, 5),
        ("readLagSeconds", 5, 10, 10),
        ("monitorMinutes", 10, 0, 10),
        ("monitorMinutes", 10, 30, 30),
        # Less is stricter: what is tolerated.
        ("maxDeadLetters", 2, 9, 2),
        ("maxDeadLetters", 2, 0, 0),
        ("maxOldestMessageSeconds", 600, 900, 600),
        ("maxOldestMessageSeconds", 600, 60, 60),
        ("maxOldestMessageFactor", 3.0, 9.0, 3.0),
        ("maxOldestMessageFactor", 3.0, 1.5, 1.5),
        ("stalledMinutes", 5, 60, 5),
        ("stalledMinutes", 5, 1, 1),
        # Words.
        ("onDrainTimeout", "refuse", "activate", "refuse"),
        ("onDrainTimeout", "activate", "refuse", "refuse"),
        ("mode", "enforce", "observe", "enforce"),
        ("onTrouble", "refuse", "proceed", "refuse"),
        ("giveUpAfterMinutes", 60, 600, 60),
        # What costs requests, and nothing else, is the policy's where it says so.
        ("readSeconds", 6, 2, 6),
        ("readSeconds", 6, 7, 6),
        ("lookSeconds", 20, 5, 20),
        ("lookSeconds", 20, 60, 20),
        # What to look at is the service's own affair, within allowedQueues.
        ("queue", "orders", "mail", "mail"),
        ("drainBy", "time", "protection", "protection"),
    ],
)
def test_a_service_can_t_go_below_the_organisation_s_policy(
    key: str, policy: Any, service: Any, holds: Any
) -> None:
    found = resolved({key: service}, {key: policy})

    assert found.settings.model_dump(mode="json", by_alias=True) == {**DEFAULTS, key: holds}
    assert found.policy.model_dump(mode="json", by_alias=True)[key] == policy


def test_a_policy_that_demands_anything_demands_that_hand_overs_are_enforced() -> None:
    open_ended = {"mode": "observe", "onTrouble": "proceed", "onDrainTimeout": "activate"}

    found = resolved(open_ended, {"monitorMinutes": 10})

    assert found.settings.model_dump(mode="json", by_alias=True) == {**DEFAULTS, "monitorMinutes": 10}
    assert sorted(found.tightened) == ["mode", "onDrainTimeout", "onTrouble"]
    assert resolved(open_ended, {}).settings.model_dump(mode="json", by_alias=True) == {
        **DEFAULTS,
        **open_ended,
    }


def test_only_the_organisation_says_which_queues_may_be_read() -> None:
    assert resolved({}, {"allowedQueues": ["orders-*"]}).policy.allowed_queues == ("orders-*",)
    with pytest.raises(Misconfigured, match="hookDetails: unknown key 'allowedQueues'"):
        resolved({"allowedQueues": ["*"]}, {})


@pytest.mark.parametrize(
    ("details", "drains_by"),
    [
        ({}, "time"),
        ({"queue": "orders"}, "queue"),
        ({"queue": "orders", "drainBy": "protection"}, "protection"),
        ({"queue": "orders", "drainBy": "time"}, "time"),
        ({"drainBy": "protection"}, "protection"),
    ],
)
def test_work_is_looked_for_in_the_queue_where_one_is_named(details: dict[str, Any], drains_by: str) -> None:
    assert resolved(details, {}).settings.drains_by == drains_by


@pytest.mark.parametrize(
    ("details", "said"),
    [
        (
            {"leaseSeconds": 9},
            "value error, leaseSeconds (9) must be at least twice readSeconds (5), or one failed read stops "
            "a worker",
        ),
        (
            {"readSeconds": 8},
            "value error, leaseSeconds (15) must be at least twice readSeconds (8), or one failed read stops "
            "a worker",
        ),
        ({"drainBy": "queue"}, "value error, drainBy is queue, but no queue is named"),
        ({"drainBy": "hope"}, "drainBy: input should be 'queue', 'protection' or 'time', got 'hope'"),
        ({"queue": ""}, "queue: string should match pattern"),
        ({"queue": "https://sqs.us-east-1.amazonaws.com/1/orders"}, "queue: string should match pattern"),
        ({"queue": "orders.fifo.fifo"}, "queue: string should match pattern"),
        ({"queue": "x" * 81}, "queue: string should match pattern"),
        ({"queue": "x" * 76 + ".fifo"}, "queue: string should match pattern"),
        ({"onDrainTimeout": "wait"}, "onDrainTimeout: input should be 'refuse' or 'activate', got 'wait'"),
        ({"leaseSeconds": 1}, "leaseSeconds: input should be greater than or equal to 2, got 1"),
        ({"leaseSeconds": 3601}, "leaseSeconds: input should be less than or equal to 3600, got 3601"),
        ({"readSeconds": 0}, "readSeconds: input should be greater than or equal to 1, got 0"),
        ({"readLagSeconds": -1}, "readLagSeconds: input should be greater than or equal to 0, got -1"),
        ({"readLagSeconds": 301}, "readLagSeconds: input should be less than or equal to 300, got 301"),
        ({"monitorMinutes": 121}, "monitorMinutes: input should be less than or equal to 120, got 121"),
        (
            {"maxOldestMessageFactor": 0.5},
            "maxOldestMessageFactor: input should be greater than or equal to 1",
        ),
        ({"stalledMinutes": 0}, "stalledMinutes: input should be greater than or equal to 1, got 0"),
        ({"drainSeconds": 1.5}, "drainSeconds: input should be a valid integer"),
        ({"leaseSecond": 15}, "unknown key 'leaseSecond', did you mean 'leaseSeconds'?"),
    ],
)
def test_a_setting_out_of_its_range_is_named(details: dict[str, Any], said: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        resolved(details, {})
    assert str(caught.value).startswith(f"hookDetails: {said}")


def test_a_policy_may_name_the_queue_that_drain_by_needs() -> None:
    with pytest.raises(
        Misconfigured, match="HOOK_POLICY: value error, drainBy is queue, but no queue is named"
    ):
        resolved({}, {"drainBy": "queue"})
    found = resolved({}, {"drainBy": "queue", "queue": "orders"}).settings
    assert (found.queue, found.drains_by) == ("orders", "queue")


def test_a_lease_and_its_reads_that_only_together_do_not_fit_are_refused_too() -> None:
    with pytest.raises(Misconfigured) as caught:
        resolved({"leaseSeconds": 12}, {"readSeconds": 7})
    assert str(caught.value).startswith(
        "settings: value error, leaseSeconds (12) must be at least twice readSeconds (7)"
    )


@pytest.mark.parametrize("pattern", ["", "orders/*", "x" * 81])
def test_a_pattern_that_can_match_no_queue_is_refused(pattern: str) -> None:
    with pytest.raises(Misconfigured, match=r"^HOOK_POLICY: allowedQueues\.0: string should match pattern"):
        resolved({}, {"allowedQueues": [pattern]})


@given(st.from_regex(r"[A-Za-z0-9_-]{1,75}(\.fifo)?|[A-Za-z0-9_-]{76,80}", fullmatch=True))
def test_every_name_that_sqs_allows_is_a_queue(name: str) -> None:
    assert resolved({"queue": name}, {}).settings.queue == name

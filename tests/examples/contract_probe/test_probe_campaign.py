"""Carrying the plan out: one deployment of a service at a time, and taken up again wherever it ended."""

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from examples.contract_probe.campaign import Campaign
from examples.contract_probe.evidence import Evidence
from examples.contract_probe.plan import PLAN, Step
from examples.contract_probe.rehearsed import RehearsedAccount
from shared.lifecycle import Stage
from tests.examples.contract_probe.probed import POLL_SECONDS, default_evidence

STEPS = {step.name: step for step in PLAN}


class Watched(RehearsedAccount):
    """An account that notes what is asked for, and can be interrupted."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.made: list[str] = []
        self.before: Callable[[str], None] = lambda _: None
        self.loses: set[str] = set()
        """Steps whose first deployment ECS never makes."""
        self.seconds_lost = 1

    def deploy(self, step: Step) -> None:
        self.asked.append(step.name)
        self.before("deploy")
        if step.name in self.loses:
            self.loses.remove(step.name)
            super().sleep(self.seconds_lost)
            return
        super().deploy(step)
        self.made.append(step.name)
        self.before("deployed")

    def sleep(self, seconds: float) -> None:
        self.before("sleep")
        super().sleep(seconds)

    def newest(self, service: str, since: float) -> list[str]:
        self.before("newest")
        return super().newest(service, since)


def steps(*names: str) -> Sequence[Step]:
    return [STEPS[name] for name in names]


def test_deployments_of_a_service_come_one_after_the_other_but_for_the_superseding_one() -> None:
    spans = {
        name: (seen.requested_at, seen.ended_at or 0.0)
        for name, seen in default_evidence().deployments.items()
    }
    by_service: dict[str, list[str]] = {}
    for step in PLAN:
        by_service.setdefault(step.service, []).append(step.name)

    overlapping = {
        (one, two)
        for names in by_service.values()
        for one, two in pairwise(names)
        if spans[two][0] < spans[one][1]
    }

    assert overlapping == {("superseded", "superseding")}


def test_a_superseding_deployment_waits_for_its_stage() -> None:
    account = Watched()
    evidence = Campaign(account, Evidence(), plan=steps("superseded", "superseding")).run()

    calls = account.recordings(str(evidence.deployments["superseded"].arn))
    first = min(call.at for call in calls if f'"{Stage.PRODUCTION_TRAFFIC_SHIFT}"' in call.event)
    assert first <= evidence.deployments["superseding"].requested_at <= first + 10
    assert evidence.deployments["superseded"].status == "STOPPED"
    assert evidence.deployments["superseding"].status == "SUCCESSFUL"


@settings(max_examples=12, deadline=None)
@given(interrupted_at=st.sets(st.integers(1, 60), max_size=6))
def test_interrupted_and_taken_up_again_it_makes_each_deployment_once(interrupted_at: set[int]) -> None:
    account, kept, calls = Watched(), ["{}"], 0
    plan = steps("polled", "superseded", "superseding", "raised", "throttled")

    def before(_what: str) -> None:
        nonlocal calls
        calls += 1
        if calls in interrupted_at:
            raise KeyboardInterrupt

    account.before = before
    while True:
        campaign = Campaign(
            account,
            Evidence.model_validate_json(kept[-1]),
            plan=plan,
            keep=lambda seen: kept.append(seen.model_dump_json(by_alias=True)),
            poll_seconds=POLL_SECONDS,
        )
        try:
            evidence = campaign.run()
        except KeyboardInterrupt:
            continue
        break

    assert {name: seen.status for name, seen in evidence.deployments.items()} == {
        "polled": "SUCCESSFUL",
        "superseded": "STOPPED",
        "superseding": "SUCCESSFUL",
        "raised": "ROLLBACK_SUCCESSFUL",
        "throttled": "ROLLBACK_SUCCESSFUL",
    }
    # What nobody was in time for is made once more.
    assert {name: times for name, times in Counter(account.made).items() if times > 1}.keys() <= {
        "superseded"
    }
    assert {seen.arn for seen in evidence.deployments.values()} <= set(account.plane.deployments)
    assert len(account.plane.deployments) == len(account.made)


def test_a_deployment_asked_for_just_before_an_interruption_is_adopted() -> None:
    account, kept = Watched(), ["{}"]
    plan = steps("polled")

    def once(what: str) -> None:
        if what == "deployed":
            account.before = lambda _: None
            raise KeyboardInterrupt

    account.before = once
    keep = lambda seen: kept.append(seen.model_dump_json(by_alias=True))  # noqa: E731
    try:
        Campaign(account, Evidence(), plan=plan, keep=keep).run()
    except KeyboardInterrupt:
        evidence = Campaign(account, Evidence.model_validate_json(kept[-1]), plan=plan, keep=keep).run()

    assert account.asked == ["polled"]
    assert evidence.deployments["polled"].status == "SUCCESSFUL"


def test_a_deployment_that_ended_before_it_was_superseded_is_made_once_more() -> None:
    account, said = Watched(), []
    account.loses = {"superseding"}
    account.seconds_lost = 900

    evidence = Campaign(
        account,
        Evidence(),
        plan=steps("superseded", "superseding"),
        saw=lambda step, what: said.append((step, what)),
    ).run()

    assert ("superseded", "ended before it was superseded; once more") in said
    assert account.made == ["superseded", "superseded", "superseding"]
    assert evidence.deployments["superseded"].status == "STOPPED"


def test_a_deployment_that_never_starts_is_asked_for_again() -> None:
    account, said = Watched(), []
    account.loses = {"polled"}

    evidence = Campaign(
        account, Evidence(), plan=steps("polled"), saw=lambda step, what: said.append((step, what))
    ).run()

    assert account.asked == ["polled", "polled"]
    assert ("polled", "did not start; asking again") in said
    assert evidence.deployments["polled"].status == "SUCCESSFUL"


def test_snapshots_are_kept_when_something_has_changed() -> None:
    for deployment in default_evidence().deployments.values():
        shown = [snapshot.deployment for snapshot in deployment.snapshots]
        assert all(one != two for one, two in pairwise(shown))


def test_evidence_is_the_same_after_it_was_written_and_read() -> None:
    evidence = default_evidence()

    assert Evidence.model_validate_json(evidence.model_dump_json(by_alias=True)) == evidence

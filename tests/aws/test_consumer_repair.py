"""The repair of who may consume, under exactly the permissions that the template gives it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest

from hooks.consumer_activation import repair
from hooks.consumer_activation.handler import rules_of
from hooks.consumer_activation.parameter_store import parameter_name, service_of
from hooks.consumer_activation.protocol import Aim, Purpose
from hooks.consumer_activation.repair import Ended, aim_of, is_held, rules_for
from hooks.consumer_activation.settings import ConsumerSettings
from hooks.consumer_activation.state import NotUnderstoodError, State, is_void, parse
from rehearsal.aws.call import AwsError, Call
from rehearsal.aws.policy import unused_grants
from rehearsal.model import RevisionSummary, Rollback, Status
from shared.lifecycle import ServiceArn, ServiceDeploymentArn, ServiceRevisionArn
from tests.aws.conftest import Account
from tests.shared.checkout import BLUE, DEPLOYMENT, GREEN, REGION, SERVICE, START, deploy

FUNCTION = "ConsumerRepairFunction"
PREFIX = "/ecs-consumers"
PARAMETER = f"{PREFIX}/shop/checkout/consumers"
OLDER = ServiceRevisionArn("aws", REGION, BLUE.account, "shop", "checkout", "1000000000000000001")
STRANGER = "9999999999999999999"

NOTHING = {"repaired": 0, "left": 0, "undecided": 0, "failed": 0}
REPAIRED, LEFT = {**NOTHING, "repaired": 1}, {**NOTHING, "left": 1}
UNDECIDED, FAILED = {**NOTHING, "undecided": 1}, {**NOTHING, "failed": 1}

NAMES = {BLUE.id: "blue", GREEN.id: "green", OLDER.id: "older", None: None}
UNDER_WAY = [status for status in Status if not status.ended]

# A hook wrote so, in the middle of a hand-over from blue to green, and of one back.
RELEASED = State(version=1, epoch=7, active=None, draining=BLUE.id, deployment=DEPLOYMENT.id)
GIVEN_UP = replace(RELEASED, draining=GREEN.id)
BLUES = State(version=1, epoch=7, active=BLUE.id, deployment=DEPLOYMENT.id)
GREENS = replace(BLUES, active=GREEN.id)
GARBAGE = "let green consume"


def source(
    arn: ServiceRevisionArn = BLUE, *, tasks: int = 2, production: float | None = 100.0
) -> RevisionSummary:
    return RevisionSummary(
        arn=arn, requested_task_count=tasks, running_task_count=tasks, production_weight=production
    )


@dataclass
class Repair:
    """The function on its schedule, and the parameter of ``checkout``."""

    account: Account

    def run(self, **variables: str) -> Any:
        """Let the schedule's five minutes pass, and run."""
        self.account.pass_time(minutes=5)
        return self.now(**variables)

    def now(self, **variables: str) -> Any:
        invocation = self.account.invoke(FUNCTION, {"source": "aws.scheduler"}, **variables)
        assert invocation.error is None, invocation.error
        self.lines = [json.loads(line) for line in invocation.log_lines]
        return invocation.reply

    @property
    def said(self) -> list[tuple[str, str]]:
        """Level and text of each line of the last run's log, but for the one that sums up."""
        return [(line["level"], line["message"]) for line in self.lines[:-1]]

    def write(self, value: State | str, name: str = PARAMETER) -> None:
        self.account.write(value if isinstance(value, str) else value.write(), name=name)

    def states(self, name: str = PARAMETER) -> list[State | None]:
        """Return what holds or once held; ``None`` for what is not understood."""
        found: list[State | None] = []
        for number, text in enumerate(self.account.history(name), start=1):
            try:
                found += [] if is_void(text, number) else [parse(text)]
            except NotUnderstoodError:
                found.append(None)
        return found

    def history(self) -> list[tuple[str | None, str | None] | None]:
        """Return who was active and who drained, version by version."""
        return [
            state and (NAMES.get(state.active, "stranger"), NAMES[state.draining]) for state in self.states()
        ]

    def ended(self, status: Status, **changes: Any) -> None:
        deploy(self.account.cloud, **{"status": status, "sources": [source()], **changes})


@pytest.fixture
def checkout(account: Account) -> Repair:
    return Repair(account)


def rollback(to: ServiceRevisionArn | None) -> Rollback:
    return Rollback(reason="hooks failed", started_at=START, service_revision_arn=to)


def rolled_back(to: ServiceRevisionArn | None = BLUE, **changes: Any) -> dict[str, Any]:
    return {"status": Status.ROLLBACK_SUCCESSFUL, "rollback": rollback(to), **changes}


SUCCESSFUL, STOPPED = {"status": Status.SUCCESSFUL}, {"status": Status.STOPPED}
ROLLBACK_FAILED = {"status": Status.ROLLBACK_FAILED, "rollback": rollback(BLUE)}


# Who gets the queue


@pytest.mark.parametrize(
    ("deployment", "found", "counts", "history"),
    [
        # Whoever drained last takes back at once, everybody else once the leases are over.
        (SUCCESSFUL, RELEASED, [REPAIRED, LEFT], [("green", None)]),
        (SUCCESSFUL, BLUES, [REPAIRED, REPAIRED, LEFT], [(None, "blue"), ("green", None)]),
        (SUCCESSFUL, GARBAGE, [REPAIRED, REPAIRED, LEFT], [(None, None), ("green", None)]),
        (SUCCESSFUL, GREENS, [LEFT], []),
        (rolled_back(), RELEASED, [REPAIRED, LEFT], [("blue", None)]),
        (rolled_back(), GIVEN_UP, [REPAIRED, LEFT], [("blue", None)]),
        (rolled_back(), GREENS, [REPAIRED, REPAIRED, LEFT], [(None, "green"), ("blue", None)]),
        (rolled_back(), BLUES, [LEFT], []),
        (rolled_back(OLDER), BLUES, [REPAIRED, REPAIRED], [(None, "blue"), ("older", None)]),
        # Where ECS does not say to whom it went back, traffic does.
        (
            rolled_back(None, sources=[source(production=5.0), source(OLDER, production=95.0)]),
            RELEASED,
            [REPAIRED],
            [("older", None)],
        ),
        (STOPPED, RELEASED, [REPAIRED, LEFT], [("blue", None)]),
        (STOPPED, GARBAGE, [REPAIRED, REPAIRED, LEFT], [(None, None), ("blue", None)]),
        (STOPPED, BLUES, [LEFT], []),
        (STOPPED, GREENS, [LEFT], []),
        (
            {**STOPPED, "sources": [source(production=5.0), source(OLDER, production=95.0)]},
            RELEASED,
            [REPAIRED],
            [("older", None)],
        ),
        # Blue's tasks have been ended already, or there never was a blue.
        ({**STOPPED, "sources": [source(tasks=0)]}, RELEASED, [REPAIRED], [("green", None)]),
        ({**STOPPED, "sources": []}, GARBAGE, [REPAIRED, REPAIRED], [(None, None), ("green", None)]),
        (ROLLBACK_FAILED, RELEASED, [REPAIRED, LEFT], [("blue", None)]),
        (ROLLBACK_FAILED, GREENS, [LEFT], []),
    ],
)
def test_the_revision_that_serves_gets_the_queue(
    checkout: Repair,
    deployment: Mapping[str, Any],
    found: State | str,
    counts: Sequence[Mapping[str, int]],
    history: Sequence[tuple[str | None, str | None]],
) -> None:
    checkout.ended(**deployment)
    checkout.write(found)

    assert [checkout.run() for _ in counts] == counts
    assert checkout.history()[1:] == history


def test_a_repair_is_written_as_the_hook_writes_and_said_in_one_line(checkout: Repair) -> None:
    checkout.ended(**rolled_back())
    checkout.write(GREENS)

    assert checkout.run() == REPAIRED
    first = START + timedelta(minutes=5)
    released = State(
        version=2,
        epoch=int(first.timestamp()),
        active=None,
        draining=GREEN.id,
        since=first,
        released=first,
        deployment=DEPLOYMENT.id,
    )
    because = f"Deployment {DEPLOYMENT.id} is ROLLBACK_SUCCESSFUL, and left it otherwise"
    assert checkout.said == [
        (
            "WARNING",
            f"{PARAMETER}: epoch {released.epoch}: {GREEN.id} is to stop; a later run lets {BLUE.id} "
            f"consume. {because}",
        )
    ]

    assert checkout.run() == REPAIRED
    second = first + timedelta(minutes=5)
    taken = replace(
        released, version=3, epoch=int(second.timestamp()), active=BLUE.id, draining=None, since=second
    )
    assert checkout.states() == [GREENS, released, taken]
    assert checkout.said == [
        (
            "WARNING",
            f"{PARAMETER}: epoch {taken.epoch}: {BLUE.id} may consume (whoever was active was told to stop "
            f"300 s ago). {because}",
        )
    ]
    assert checkout.run() == LEFT
    assert checkout.said == []


def test_the_newest_deployment_tells_who_serves(checkout: Repair) -> None:
    checkout.ended(Status.SUCCESSFUL)
    later = replace(DEPLOYMENT, id="zZ9yY8xX7wW6vV5uU4tT3")
    checkout.ended(
        **rolled_back(GREEN),
        arn=later,
        created_at=START,
        sources=[source(GREEN)],
        target=RevisionSummary(arn=OLDER),
    )
    # In whichever order they are listed.
    deployments = checkout.account.cloud.control_plane.deployments
    deployments[str(DEPLOYMENT)] = deployments.pop(str(DEPLOYMENT))
    checkout.write(RELEASED)

    assert checkout.run() == REPAIRED
    repaired = checkout.states()[-1]
    assert repaired is not None
    assert (repaired.active, repaired.deployment) == (GREEN.id, later.id)


# The workers' pace


PACE = {"lease_seconds": 60, "read_seconds": 20, "read_lag_seconds": 10}


def pace(state: State | None) -> Mapping[str, int]:
    assert state is not None
    return {key: getattr(state, key) for key in PACE}


@pytest.mark.parametrize(
    ("versions", "kept"),
    [
        ([replace(BLUES, **PACE)], PACE),
        # Nobody understands what stands there, but tasks may hold leases from before.
        ([replace(BLUES, **PACE), GARBAGE], PACE),
        ([replace(BLUES, **PACE), *[GARBAGE] * 10], PACE),
        ([GARBAGE], {"lease_seconds": 15, "read_seconds": 5, "read_lag_seconds": 3}),
    ],
    ids=["state", "garbage", "much garbage", "garbage from the beginning"],
)
def test_workers_keep_their_pace(
    checkout: Repair, versions: Sequence[State | str], kept: Mapping[str, int]
) -> None:
    checkout.ended(Status.SUCCESSFUL)
    for version in versions:
        checkout.write(version)

    assert [checkout.run(), checkout.run()] == [REPAIRED, REPAIRED]
    assert [pace(state) for state in checkout.states()[-2:]] == [kept, kept]


def test_a_lease_longer_than_five_minutes_is_waited_out(checkout: Repair) -> None:
    checkout.ended(Status.SUCCESSFUL)
    checkout.write(replace(RELEASED, lease_seconds=600))

    assert [checkout.run() for _ in range(4)] == [LEFT, LEFT, REPAIRED, LEFT]
    assert checkout.history()[1:] == [("green", None)]


# What is left alone


@pytest.mark.parametrize("found", [RELEASED, BLUES, GARBAGE], ids=["released", "blue's", "garbage"])
def test_what_is_younger_than_two_minutes_is_somebody_else_s(checkout: Repair, found: State | str) -> None:
    checkout.ended(Status.SUCCESSFUL)
    checkout.write(found)
    checkout.account.pass_time(seconds=119)
    assert checkout.now() == LEFT

    checkout.account.pass_time(seconds=1)
    assert checkout.now() == REPAIRED


@pytest.mark.parametrize("status", UNDER_WAY)
@pytest.mark.parametrize("found", [RELEASED, BLUES, GARBAGE], ids=["released", "blue's", "garbage"])
def test_a_deployment_that_is_under_way_is_its_own_hook_s(
    checkout: Repair, status: Status, found: State | str
) -> None:
    checkout.ended(Status.SUCCESSFUL)
    checkout.ended(status, arn=replace(DEPLOYMENT, id="zZ9yY8xX7wW6vV5uU4tT3"), created_at=START)
    checkout.write(found)

    assert (checkout.run(), checkout.said) == (LEFT, [])
    assert len(checkout.states()) == 1


@pytest.mark.parametrize(
    "held",
    [
        # As `python -m activation_gate set --active none` writes, and as an edit in the console looks.
        replace(RELEASED, deployment=None),
        replace(RELEASED, version=None),
    ],
    ids=["command", "console"],
)
def test_a_service_that_is_held_by_hand_stays_so(checkout: Repair, held: State) -> None:
    checkout.ended(Status.SUCCESSFUL)
    checkout.write(held)

    assert checkout.run() == LEFT
    assert checkout.said == [
        ("INFO", f"{PARAMETER}: nobody consumes, and it is left so: that was set by hand")
    ]
    assert checkout.states() == [held]


@pytest.mark.parametrize("gone", ["service", "cluster"])
@pytest.mark.parametrize("found", [RELEASED, GREENS, GARBAGE], ids=["released", "green's", "garbage"])
def test_a_service_that_ecs_knows_no_more_is_only_named(
    checkout: Repair, gone: str, found: State | str
) -> None:
    name = f"{PREFIX}/shop/former/consumers" if gone == "service" else f"{PREFIX}/former/checkout/consumers"
    checkout.write(found, name)

    assert checkout.run() == LEFT
    assert checkout.said == [
        ("WARNING", f"{name}: ECS knows no such service; delete the parameter if it is gone")
    ]
    assert len(checkout.account.history(name)) == 1


def forget_deployments(checkout: Repair) -> None:
    """Let the service go on for more than 90 days, after which ECS keeps no deployment of it."""
    ecs = checkout.account.cloud.client("ecs", user="admin")
    ecs.create_cluster(clusterName="shop")
    container = {"name": "app", "image": "shop/app:1.4", "memory": 256}
    ecs.register_task_definition(family="checkout", containerDefinitions=[container])
    ecs.create_service(cluster="shop", serviceName="checkout", taskDefinition="checkout", desiredCount=0)
    checkout.account.cloud.control_plane.deployments.clear()


@pytest.mark.parametrize(
    ("found", "counts", "said"),
    [
        (BLUES, LEFT, []),
        *(
            (
                found,
                UNDECIDED,
                [
                    (
                        "ERROR",
                        f"{PARAMETER}: nobody consumes, and ECS has no deployment that tells who should; "
                        "set it by hand",
                    )
                ],
            )
            for found in (RELEASED, GARBAGE)
        ),
    ],
    ids=["blue's", "released", "garbage"],
)
def test_without_a_deployment_nobody_can_tell_who_serves(
    checkout: Repair, found: State | str, counts: Mapping[str, int], said: list[tuple[str, str]]
) -> None:
    forget_deployments(checkout)
    checkout.write(found)

    assert (checkout.run(), checkout.said) == (counts, said)
    assert len(checkout.states()) == 1


@pytest.mark.parametrize(
    ("deployment", "found", "said"),
    [
        *(
            (
                deployment,
                replace(BLUES, active=STRANGER),
                f"{STRANGER} is active, but no revision of deployment {DEPLOYMENT.id}, which is "
                f"{deployment['status']}; if it has no tasks, set one by hand that has",
            )
            for deployment in (STOPPED, ROLLBACK_FAILED)
        ),
        *(
            (
                rolled_back(None, sources=[]),
                found,
                f"deployment {DEPLOYMENT.id} was rolled back to no revision, so none serves; deploy again",
            )
            for found in (RELEASED, GREENS, GARBAGE)
        ),
    ],
)
def test_what_is_not_certain_is_for_a_person_to_decide(
    checkout: Repair, deployment: Mapping[str, Any], found: State | str, said: str
) -> None:
    checkout.ended(**deployment)
    checkout.write(found)

    assert (checkout.run(), checkout.said) == (UNDECIDED, [("ERROR", f"{PARAMETER}: {said}")])
    assert len(checkout.states()) == 1


def test_what_is_not_named_as_the_hook_names_it_is_not_ours(checkout: Repair) -> None:
    names = [
        f"{PREFIX}/consumers",
        f"{PREFIX}/shop/consumers",
        f"{PREFIX}/shop/checkout/notes",
        f"{PREFIX}/shop/checkout/consumers/old",
        f"{PREFIX}/shop/check.out/consumers",
        f"{PREFIX}-of-others/shop/checkout/consumers",
    ]
    checkout.ended(Status.SUCCESSFUL)
    for name in names:
        checkout.write(GARBAGE, name)

    assert checkout.run() == NOTHING
    assert [checkout.account.history(name) for name in names] == [[GARBAGE]] * len(names)
    assert checkout.account.made_by(FUNCTION) == {
        ("ssm:GetParametersByPath", f"arn:aws:ssm:{REGION}:{BLUE.account}:parameter{PREFIX}")
    }


# Many services, and trouble


def others(checkout: Repair, number: int) -> list[str]:
    """Deploy services beside ``checkout`` whose queues were left to nobody; returns their parameters."""
    names = []
    for name in (f"other-{index:02}" for index in range(number)):
        service = ServiceArn("aws", REGION, SERVICE.account, "shop", name)
        arns = [
            ServiceRevisionArn("aws", REGION, SERVICE.account, "shop", name, arn.id) for arn in (BLUE, GREEN)
        ]
        checkout.ended(
            Status.SUCCESSFUL,
            arn=ServiceDeploymentArn("aws", REGION, SERVICE.account, "shop", name, DEPLOYMENT.id),
            service=service,
            sources=[source(arns[0])],
            target=source(arns[1]),
        )
        names.append(parameter_name(PREFIX, service))
        checkout.write(RELEASED, names[-1])
    return names


def throttle(checkout: Repair, action: str, *, unless: str = "nobody's") -> None:
    """Let a call of the function fail, but for what has to do with one service."""

    def make(call: Call, _identity: str) -> BaseException | None:
        concerned = str(call.parameters)
        return None if unless in concerned else AwsError("ThrottlingException", "Rate exceeded")

    checkout.account.cloud.faults.add(action=action, make=make, identity=f"*/{FUNCTION}")


def test_one_run_goes_through_all_services(checkout: Repair) -> None:
    names = others(checkout, 25)

    assert checkout.run() == {**NOTHING, "repaired": 25}
    for name in names:
        repaired = checkout.states(name)[-1]
        assert repaired is not None
        assert repaired.active == GREEN.id


def test_more_services_than_a_run_can_go_through_fail_it_once_it_has_seen_to_the_first(
    checkout: Repair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repair, "MAX_PAGES", 2)
    names = others(checkout, 25)
    checkout.account.pass_time(minutes=5)

    assert checkout.account.invoke(FUNCTION, {}).error == f"Misconfigured: {PREFIX}: more than 20 parameters"
    assert [len(checkout.states(name)) for name in names] == [2] * 20 + [1] * 5


@pytest.mark.parametrize("action", ["ssm:GetParameter", "ssm:PutParameter", "ecs:ListServiceDeployments"])
def test_one_service_s_failure_does_not_stop_the_others(checkout: Repair, action: str) -> None:
    names = others(checkout, 3)
    throttle(checkout, action, unless="other-01")

    assert checkout.run() == {**NOTHING, "repaired": 1, "failed": 2}
    assert [len(checkout.states(name)) for name in names] == [1, 2, 1]
    failed = [text for level, text in checkout.said if level == "ERROR"]
    about = names if action.startswith("ssm") else ["shop/other-00", "", "shop/other-02"]
    assert failed == [
        f"{names[index]}: not repaired: {action} on {about[index]}: ThrottlingException" for index in (0, 2)
    ]


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("ssm:GetParametersByPath", PREFIX),
        ("ssm:GetParameter", PARAMETER),
        ("ssm:PutParameter", PARAMETER),
        ("ecs:ListServiceDeployments", "shop/checkout"),
        ("ecs:DescribeServiceDeployments", str(DEPLOYMENT)),
    ],
)
def test_a_run_in_which_every_service_fails_fails_so_that_its_alarm_rings(
    checkout: Repair, action: str, resource: str
) -> None:
    checkout.ended(**rolled_back())
    checkout.write(RELEASED)
    checkout.account.pass_time(minutes=5)
    checkout.account.cloud.faults.add(action=action, error="AccessDeniedException", identity=f"*/{FUNCTION}")

    assert checkout.account.invoke(FUNCTION, {}).error == (
        f"Misconfigured: the function's role may not {action} on {resource}; add it to the role's policy"
    )


@pytest.mark.parametrize("prefix", ["", "consumers"])
def test_a_run_needs_a_path(checkout: Repair, prefix: str) -> None:
    assert checkout.account.invoke(FUNCTION, {}, CONSUMER_PARAMETER_PREFIX=prefix).error == (
        "Misconfigured: the function's environment variable CONSUMER_PARAMETER_PREFIX must name a path, "
        "such as /consumers"
    )


def test_whoever_writes_at_the_same_moment_makes_the_repair_void(checkout: Repair) -> None:
    checkout.ended(Status.SUCCESSFUL)
    checkout.write(BLUES)
    hook_s = replace(GREENS, version=2)

    def write_first(_call: Call, _identity: str) -> None:
        checkout.write(hook_s)

    checkout.account.cloud.faults.add(action="ssm:PutParameter", make=write_first, identity=f"*/{FUNCTION}")

    assert checkout.run() == LEFT
    assert checkout.said == [("INFO", f"{PARAMETER}: not repaired: somebody else wrote at the same moment")]
    assert len(checkout.account.history(PARAMETER)) == 3
    assert checkout.states() == [BLUES, hook_s]
    assert checkout.run() == LEFT


def test_a_parameter_that_is_deleted_in_the_middle_is_not_made_anew(checkout: Repair) -> None:
    checkout.ended(Status.SUCCESSFUL)
    checkout.write(RELEASED)

    def delete_first(_call: Call, _identity: str) -> None:
        checkout.account.cloud.client("ssm", user="admin").delete_parameters(Names=[PARAMETER])

    checkout.account.cloud.faults.add(action="ssm:GetParameter", make=delete_first, identity=f"*/{FUNCTION}")

    assert checkout.run() == LEFT
    ssm = checkout.account.cloud.client("ssm", user="admin")
    assert ssm.describe_parameters()["Parameters"] == []


def test_the_template_allows_every_call_that_is_made_and_none_that_is_not(checkout: Repair) -> None:
    checkout.ended(**rolled_back())
    checkout.write(GREENS)
    assert [checkout.run(), checkout.run()] == [REPAIRED, REPAIRED]

    account = checkout.account
    assert [call for call in account.calls if not call.allowed] == []
    unused = unused_grants(account.policy(FUNCTION), account.made_by(FUNCTION))
    # As for the sweeper: Lambda's own runtime writes the logs, and of the two forms of a path's ARN that
    # Parameter Store's documentation shows the second allows nothing that the first does not.
    spare = (
        "WriteLogs",
        f"FindConsumers: Resource arn:aws:ssm:{REGION}:{BLUE.account}:parameter{PREFIX}/*",
    )
    assert [grant for grant in unused if not any(known in grant for known in spare)] == []


# The parts that decide


def aim(active: str, *, deployment: str = "D", serving: Sequence[str] = ()) -> Aim:
    return Aim(
        purpose=Purpose.REPAIR,
        active=active,
        deployment=deployment,
        serving=frozenset(serving),
        blue=active,
    )


def state(active: str | None) -> State:
    return State(version=1, epoch=1, active=active, deployment="D")


DESCRIBED: dict[str, Any] = {
    "id": "D",
    "target": "G",
    "blue": "B",
    "serving": ("B", "C"),
    "sources": frozenset("ABC"),
}


@pytest.mark.parametrize(
    ("ended", "found", "wanted"),
    [
        (Ended(id="D", status="SUCCESSFUL", target="G"), None, aim("G")),
        (Ended(id="D", status="SUCCESSFUL", target="G"), state("X"), aim("G")),
        (Ended(status="ROLLBACK_SUCCESSFUL", **DESCRIBED), state("C"), aim("B")),
        (Ended(status="ROLLBACK_SUCCESSFUL", **DESCRIBED), None, aim("B")),
        *(
            (Ended(status=status, **DESCRIBED), found, aim("B", serving="ACG"))
            for status in ("STOPPED", "ROLLBACK_FAILED")
            for found in (None, state(None), state("A"), state("G"))
        ),
        (Ended(status="STOPPED", **{**DESCRIBED, "serving": ()}), None, aim("G", serving="ABC")),
        (Ended(id="D", status="STOPPED", target="G"), None, aim("G")),
    ],
)
def test_who_is_to_be_active_follows_from_how_the_deployment_ended(
    ended: Ended, found: State | None, wanted: Aim
) -> None:
    assert aim_of(ended, found) == wanted


@pytest.mark.parametrize(
    ("version", "active", "deployment", "held"),
    [
        (1, None, "D", False),
        (1, None, None, True),
        (None, None, "D", True),
        (None, None, None, True),
        (1, "B", "D", False),
        (None, "B", None, False),
    ],
)
def test_only_nobody_set_by_hand_is_a_hold(
    version: int | None, active: str | None, deployment: str | None, *, held: bool
) -> None:
    assert is_held(State(version=version, epoch=1, active=active, deployment=deployment)) is held


def test_garbage_is_no_hold() -> None:
    assert not is_held(None)


@pytest.mark.parametrize(
    ("found", "rules"),
    [
        (None, rules_of(ConsumerSettings())),
        (replace(BLUES, **PACE), replace(rules_of(ConsumerSettings()), **PACE)),
    ],
    ids=["nothing", "a state"],
)
def test_rules_are_the_defaults_at_the_workers_pace(found: State | None, rules: Any) -> None:
    assert rules_for(found) == rules
    assert (rules.looks, rules.monitor_seconds, rules.observe) == (1, 0, False)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("/c/shop/checkout/consumers", ("shop", "checkout")),
        ("/c/consumers/consumers/consumers", ("consumers", "consumers")),
        ("/c/shop/checkout/consumers/", None),
        ("/c/shop/checkout/consumer", None),
        ("/c/shop/a/b/consumers", None),
        ("/c/shop//consumers", None),
        ("/c/sh.op/checkout/consumers", None),
        ("/cc/shop/checkout/consumers", None),
        ("c/shop/checkout/consumers", None),
        (f"/c/shop/{'x' * 255}/consumers", ("shop", "x" * 255)),
        (f"/c/shop/{'x' * 256}/consumers", None),
    ],
)
def test_a_name_tells_cluster_and_service_if_it_is_one_of_ours(
    name: str, found: tuple[str, str] | None
) -> None:
    assert service_of("/c", name) == found


def test_a_dot_in_the_prefix_is_only_a_dot() -> None:
    assert service_of("/v1.0", "/v1.0/shop/checkout/consumers") == ("shop", "checkout")
    assert service_of("/v1.0", "/v1x0/shop/checkout/consumers") is None


def test_every_name_that_the_hook_writes_is_read_back() -> None:
    assert service_of(PREFIX, parameter_name(PREFIX, SERVICE)) == (SERVICE.cluster, SERVICE.service)

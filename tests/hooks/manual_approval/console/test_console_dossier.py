"""What one request's page is given, whole or in part."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from hooks.manual_approval.console.choices import choices
from hooks.manual_approval.console.dossier import answers_in, by_listener, is_waiting, read_dossier
from hooks.manual_approval.console.views import (
    Answer,
    Choices,
    Difference,
    Dossier,
    ImageChange,
)
from hooks.manual_approval.console.views import TestAccess as Access
from hooks.manual_approval.proceeding import Proceeding
from hooks.manual_approval.request import Kind, write_answer, write_closing
from rehearsal.aws.cloud import ACCOUNT
from rehearsal.model import HookStatus, RevisionSummary, Status, service_connect_configuration
from shared.errors import HookError
from shared.revision import Listener
from tests.hooks.manual_approval.console.under_way import (
    ALICE,
    BOB,
    CONSOLE,
    CONSOLE_ROLE,
    FUNCTION,
    PREFIX,
    Account,
    active,
    counting,
    looking,
    rules,
)
from tests.shared.checkout import BLUE, DEPLOYMENT, GREEN, HEX, POST_TEST, REGION, START, deploy

NAME = f"{PREFIX}/shop/checkout/{DEPLOYMENT.id}"
PAUSE = "ecs-pause-0a1b2c"
NO_BUCKET = "Findings of other hooks are not kept: set the stack's parameter RecordBucket to see them."
LATER = START + timedelta(hours=20)
BALANCER = f"arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}"
RULE = f"{BALANCER}:listener-rule/app/shop/50dc6c495c0c9188/f2f7dc8efc522ab2/9683b2d02a6cabee"
NETWORK_LISTENER = f"{BALANCER}:listener/net/shop/50dc6c495c0c9188/f2f7dc8efc522ab2"


@pytest.fixture
def account() -> Iterator[Account]:
    with looking() as account:
        yield account


def definition(account: Account, revision: int, **container: Any) -> str:
    """Register a task definition; return its ARN."""
    arn = f"arn:aws:ecs:{REGION}:{ACCOUNT}:task-definition/checkout:{revision}"
    account.cloud.control_plane.task_definitions[arn] = {
        "taskDefinitionArn": arn,
        "family": "checkout",
        "revision": revision,
        "status": "ACTIVE",
        "containerDefinitions": [{"name": "app", "image": "shop/app", "essential": True, **container}],
    }
    return arn


def under_way(account: Account, **changes: Any) -> None:
    """Have the deployment of blue and green, each with a task definition of its own."""
    deploy(account.cloud, **{"hook_runs": [active(expires_at=LATER)], **changes})
    revisions = account.cloud.control_plane.revisions
    revisions[str(BLUE)].task_definition = definition(account, 7, user="app")
    revisions[str(GREEN)].task_definition = definition(account, 8, user="root")


def dossier_of(proceeding: Proceeding, *, function: str = FUNCTION, bucket: str = "") -> Dossier:
    return read_dossier(proceeding, function=function, bucket=bucket)


def answered(account: Account, kind: Kind, *, person: Any = ALICE, comment: str = "", **more: Any) -> None:
    """Answer as the console does, for somebody."""
    text = write_answer(kind, comment=comment, deployment=DEPLOYMENT, answers=1, person=person, **more)
    account.write(NAME, text, role="approval-console", session="console")


def test_all_there_is_to_know_takes_few_calls(account: Account) -> None:
    under_way(account)
    revision = account.cloud.control_plane.revisions[str(GREEN)]
    revision.service_connect = service_connect_configuration("http", "shop", "checkout", 8080)
    account.ask()
    proceeding = account.proceeding()

    with counting(account.cloud) as calls:
        dossier = dossier_of(proceeding)

    digest = f"sha256:{HEX}"
    assert dossier == Dossier(
        proceeding=proceeding,
        deployment_status="IN_PROGRESS",
        lifecycle_stage=POST_TEST,
        strategy="BLUE_GREEN",
        is_waiting=True,
        ecs_deadline=LATER,
        images=(
            ImageChange("app", "shop/app:1.4", digest, "shop/app:1.5", digest),
            ImageChange("proxy", "shop/proxy:2", digest, "shop/proxy:2", digest),
        ),
        differences=(Difference("app", "user", "app", "root"),),
        evidence=(),
        test_access=(Access("checkout:8080", (("x-release", "green"),), inside=True),),
        answers=(),
        problems=(NO_BUCKET,),
    )
    assert Counter(calls) == {
        "ecs:DescribeServiceDeployments": 1,
        "ecs:DescribeServiceRevisions": 1,
        "ecs:DescribeTaskDefinition": 2,
    }


def test_a_first_deployment_has_nothing_to_be_compared_with(account: Account) -> None:
    under_way(account, sources=[])
    account.ask()

    dossier = dossier_of(account.proceeding())

    assert (dossier.is_first, dossier.differences, dossier.problems) == (True, (), (NO_BUCKET,))
    assert [image.blue for image in dossier.images] == ["", ""]


def test_two_revisions_of_one_task_definition_need_no_look_at_it(account: Account) -> None:
    deploy(account.cloud)
    account.ask()
    proceeding = account.proceeding()

    with counting(account.cloud) as calls:
        assert dossier_of(proceeding).differences == ()
    assert "ecs:DescribeTaskDefinition" not in calls


def test_differences_that_are_not_shown_are_counted(account: Account) -> None:
    under_way(account)
    many = [{"name": f"VARIABLE_{number}", "value": "x"} for number in range(210)]
    revision = account.cloud.control_plane.revisions[str(GREEN)]
    revision.task_definition = definition(account, 8, user="app", environment=many)
    account.ask()

    dossier = dossier_of(account.proceeding())

    assert len(dossier.differences) == 200
    assert dossier.problems == ("The task definitions differ in 10 more things than are shown.", NO_BUCKET)


@pytest.mark.parametrize(
    ("action", "said", "lost"),
    [
        (
            "ecs:DescribeServiceDeployments",
            "The deployment could not be read: ecs:DescribeServiceDeployments on "
            f"{DEPLOYMENT}: ThrottlingException",
            {"status", "images", "differences", "access"},
        ),
        (
            "ecs:DescribeServiceRevisions",
            f"What is to run could not be read: ecs:DescribeServiceRevisions on {GREEN}: ThrottlingException",
            {"images", "differences", "access"},
        ),
        (
            "ecs:DescribeTaskDefinition",
            "In what the task definitions differ could not be read: ecs:DescribeTaskDefinition on "
            f"arn:aws:ecs:{REGION}:{ACCOUNT}:task-definition/checkout:7: ThrottlingException",
            {"differences"},
        ),
        (
            "elasticloadbalancing:DescribeListeners",
            "How test traffic comes in could not be read: elasticloadbalancing:DescribeListeners on "
            f"{RULE.replace('-rule', '').rpartition('/')[0]}: ThrottlingException",
            {"access"},
        ),
    ],
)
def test_what_can_t_be_read_is_said_and_costs_nothing_else(
    account: Account, action: str, said: str, lost: set[str]
) -> None:
    under_way(account)
    revision = account.cloud.control_plane.revisions[str(GREEN)]
    revision.load_balancers = [behind(RULE)]
    account.ask()
    answered(account, Kind.APPROVED)
    proceeding = account.proceeding()
    account.cloud.faults.add(action=action, error="ThrottlingException")

    dossier = dossier_of(proceeding)

    parts = {
        "status": dossier.deployment_status,
        "images": dossier.images,
        "differences": dossier.differences,
        "access": dossier.test_access,
    }
    assert {name for name, part in parts.items() if not part} == lost
    assert dossier.problems == (said, NO_BUCKET)
    assert len(dossier.answers) == 1


def test_where_ecs_has_forgotten_blue_green_is_shown(account: Account) -> None:
    under_way(account)
    del account.cloud.control_plane.revisions[str(BLUE)]
    account.ask()

    dossier = dossier_of(account.proceeding())

    assert [image.green for image in dossier.images] == ["shop/app:1.5", "shop/proxy:2"]
    assert dossier.differences == ()
    assert dossier.problems == (
        f"What ran before could not be read: ecs:DescribeServiceRevisions does not know {BLUE} (yet)",
        NO_BUCKET,
    )


@pytest.mark.parametrize("status", list(Status))
def test_ecs_waits_only_while_the_deployment_is_in_progress(account: Account, status: Status) -> None:
    under_way(account, status=status)
    account.ask()

    assert is_waiting(account.proceeding()) == (status is Status.IN_PROGRESS)
    assert dossier_of(account.proceeding()).is_waiting == (status is Status.IN_PROGRESS)


@pytest.mark.parametrize(
    ("hook", "status", "waiting", "deadline"),
    [
        (PAUSE, HookStatus.AWAITING_ACTION, True, LATER),
        (PAUSE, HookStatus.IN_PROGRESS, False, None),
        ("ecs-pause-other", HookStatus.AWAITING_ACTION, False, None),
        ("", HookStatus.IN_PROGRESS, False, None),
    ],
)
def test_of_a_pause_hook_ecs_says_whether_it_awaits_an_action(
    account: Account, hook: str, status: HookStatus, *, waiting: bool, deadline: Any
) -> None:
    under_way(account, hook_runs=[active(hook, expires_at=LATER, status=status)])
    account.ask(part=PAUSE)

    dossier = dossier_of(account.proceeding(PAUSE))

    assert (dossier.is_waiting, dossier.ecs_deadline) == (waiting, deadline)


@pytest.mark.parametrize(
    ("function", "deadline"),
    [
        (FUNCTION, LATER),
        (f"{FUNCTION}:7", LATER),
        (f"{FUNCTION}-of-others", None),
        ("", None),
    ],
)
def test_the_deadline_is_that_of_the_approval_function(
    account: Account, function: str, deadline: Any
) -> None:
    under_way(account)
    account.ask()

    dossier = dossier_of(account.proceeding(), function=function)

    assert (dossier.is_waiting, dossier.ecs_deadline) == (True, deadline)


def test_whether_ecs_waits_can_t_be_told_where_it_does_not_answer(account: Account) -> None:
    account.ask()

    with pytest.raises(HookError, match="does not know"):
        is_waiting(account.proceeding())


def behind(*rules: str) -> dict[str, Any]:
    group = f"{BALANCER}:targetgroup/checkout"
    return {
        "targetGroupArn": f"{group}-a/6d0ecf831eec9f09",
        "containerName": "app",
        "containerPort": 8080,
        "advancedConfiguration": {
            "alternateTargetGroupArn": f"{group}-b/73e2d6bc24d8a067",
            "productionListenerRule": RULE.replace("9683", "0000"),
            "testListenerRule": rules[0],
        },
    }


@pytest.mark.parametrize(
    ("rule", "access"),
    [
        (
            RULE,
            Access(
                "http://shop-123456789.us-east-1.elb.amazonaws.com:8080/*",
                (("x-release", "green"),),
                inside=False,
            ),
        ),
        (
            NETWORK_LISTENER,
            Access("tcp://shop-123456789.elb.us-east-1.amazonaws.com:8080", (), inside=False),
        ),
    ],
)
def test_behind_a_load_balancer_green_is_reached_by_its_test_listener(
    account: Account, rule: str, access: Access
) -> None:
    under_way(account)
    # Two target groups may share a rule.
    account.cloud.control_plane.revisions[str(GREEN)].load_balancers = [behind(rule), behind(rule)]
    account.ask()

    dossier = dossier_of(account.proceeding())

    assert (dossier.test_access, dossier.problems) == ((access,), (NO_BUCKET,))


def test_an_alias_without_a_name_is_said(account: Account) -> None:
    under_way(account)
    account.cloud.control_plane.revisions[str(GREEN)].service_connect = {
        "enabled": True,
        "namespace": "arn:aws:servicediscovery:us-east-1:123456789012:namespace/ns-1",
        "services": [{"portName": "http", "clientAliases": [{"port": 80}]}],
    }
    account.ask()

    dossier = dossier_of(account.proceeding())

    assert dossier.test_access == ()
    assert dossier.problems == (
        "Under which name the namespace has these ports is not known: http.",
        NO_BUCKET,
    )


def header(name: str, *values: str) -> dict[str, Any]:
    return {"Field": "http-header", "HttpHeaderConfig": {"HttpHeaderName": name, "Values": list(values)}}


@pytest.mark.parametrize(
    ("conditions", "access", "missing"),
    [
        ([], Access("https://shop.example.com:443", (), inside=False), ""),
        (
            [header("x-release", "green", "test"), header("x-any", "*")],
            Access("https://shop.example.com:443", (("x-release", "green"), ("x-any", "")), inside=False),
            "",
        ),
        (
            [
                {"Field": "host-header", "HostHeaderConfig": {"Values": ["test.example.com"]}},
                {"Field": "path-pattern", "Values": ["/shop/*"]},
            ],
            Access("https://shop.example.com:443/shop/*", (("Host", "test.example.com"),), inside=False),
            "",
        ),
        (
            [
                {"Field": "source-ip", "SourceIpConfig": {"Values": ["10.0.0.0/8"]}},
                {"Field": "http-header", "HttpHeaderConfig": {"HttpHeaderName": "x", "RegexValues": ["^g"]}},
            ],
            Access("https://shop.example.com:443", (), inside=False),
            "http-header, source-ip",
        ),
    ],
)
def test_a_rule_s_conditions_say_what_to_send(
    conditions: list[dict[str, Any]], access: Access, missing: str
) -> None:
    assert by_listener(Listener("HTTPS", 443, "shop.example.com", conditions)) == (access, missing)


def test_what_a_request_can_t_be_given_is_said(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    under_way(account)
    account.cloud.control_plane.revisions[str(GREEN)].load_balancers = [behind(RULE)]
    account.ask()
    found = Listener("HTTP", 80, "shop.example.com", [{"Field": "source-ip"}])
    monkeypatch.setattr("hooks.manual_approval.console.dossier.entrance_of", lambda _arn: found)

    dossier = dossier_of(account.proceeding())

    assert dossier.problems == (
        "The test listener's rule also asks for source-ip, which is not shown.",
        NO_BUCKET,
    )


def test_every_answer_is_told_and_why_it_does_not_count(account: Account) -> None:
    people = f"arn:aws:sts::{ACCOUNT}:assumed-role/approver"
    account.write(NAME, "APPROVED")
    account.ask(rules=rules(required=2, excluded=(f"{people}/carol",)))
    account.write(NAME, "LGTM")
    account.write(
        NAME, '{"state": "approved", "by": {"identity": "oidc:https://x.example#bob", "name": "Bob"}}'
    )
    account.write(NAME, "APPROVED", session="carol")
    account.write(NAME, "approved", role="approval-hook", session="approval")
    text = write_answer(
        Kind.REJECTED, comment="500s", deployment=DEPLOYMENT, answers=2, person=BOB, expires_at=None
    )
    account.write(NAME, text, role="approval-console", session="console")
    account.write(NAME, "APPROVED")
    proceeding = account.proceeding()

    def told(number: int, what: str, who: str, objection: str = "", **more: str) -> Answer:
        return Answer(
            number=number,
            at=START,
            what=what,
            who=who,
            name=more.get("name", ""),
            comment=more.get("comment", ""),
            objection=objection,
        )

    assert answers_in(proceeding) == (
        told(1, "approved", f"{people}/alice", "stood there before the request"),
        told(3, "not understood", f"{people}/alice", "not understood; write APPROVED or REJECTED"),
        # Whoever is not the console speaks for nobody else.
        told(4, "approved", f"{people}/alice"),
        told(5, "approved", f"{people}/carol", "excluded by excludedApprovers"),
        told(
            6,
            "approved",
            f"arn:aws:sts::{ACCOUNT}:assumed-role/approval-hook/approval",
            "it is the hook's own role",
        ),
        told(7, "rejected", BOB.identity, name="Bob", comment="500s"),
        told(8, "approved", f"{people}/alice", "came when it was rejected already"),
    )


def test_whoever_names_themselves_by_their_own_arn_gets_no_other_name(account: Account) -> None:
    account.ask()
    alice = f"arn:aws:sts::{ACCOUNT}:assumed-role/approver/alice"
    account.write(NAME, json.dumps({"state": "approved", "by": {"identity": alice, "name": "The Boss"}}))

    assert [(one.who, one.name) for one in answers_in(account.proceeding())] == [(alice, "")]


def test_without_rules_nobody_can_tell_what_counts(account: Account) -> None:
    account.ask()
    account.write(NAME, "APPROVED")
    proceeding = replace(account.proceeding(), rules=None, finding=None)

    assert [(one.who.rpartition("/")[2], one.objection) for one in answers_in(proceeding)] == [
        ("alice", "whether it counts can't be told here")
    ]


def chosen(
    account: Account, part: str = "", *, person: Any = ALICE, may_decide: bool = True, **changes: Any
) -> Choices:
    """Return what somebody may do, with the dossier changed."""
    proceeding = replace(account.proceeding(part), **changes.pop("proceeding", {}))
    dossier = replace(dossier_of(proceeding), **changes)
    return choices(dossier, person, CONSOLE, may_decide=may_decide, now=account.now)


HOURS = [START + timedelta(hours=hours) for hours in range(30)]


def test_whoever_may_decide_may_put_it_off_and_stop_it(account: Account) -> None:
    under_way(account)
    account.ask()

    # It expires after 4 hours, and ECS ends it after 20.
    latest = HOURS[20] - timedelta(minutes=1)
    assert chosen(account) == Choices(
        why_not="", has_approved=False, extend_to=(HOURS[5], HOURS[8], HOURS[12], latest), may_stop=True
    )


@pytest.mark.parametrize(
    ("limits", "deadline", "later"),
    [
        ({"extendable_to": timedelta(hours=10)}, HOURS[20], (HOURS[5], HOURS[8], HOURS[10])),
        ({"extendable_to": timedelta(hours=10)}, None, (HOURS[5], HOURS[8], HOURS[10])),
        ({}, HOURS[5], (HOURS[5] - timedelta(minutes=1),)),
        ({}, HOURS[4] + timedelta(seconds=90), ()),
        ({}, HOURS[3], ()),
        ({"extendable_to": timedelta(hours=4)}, HOURS[20], ()),
        ({"extendable_to": timedelta(hours=4, seconds=59)}, HOURS[20], ()),
        ({"extendable_to": timedelta(hours=4, seconds=60)}, HOURS[20], (HOURS[4] + timedelta(minutes=1),)),
    ],
)
def test_it_is_put_off_no_further_than_hook_and_ecs_allow(
    account: Account, limits: dict[str, Any], deadline: Any, later: tuple[Any, ...]
) -> None:
    under_way(account)
    account.ask(rules=rules(**limits))

    found = chosen(account, ecs_deadline=deadline)

    assert (found.why_not, found.extend_to) == ("", later)


def test_each_choice_is_one_that_would_count(account: Account) -> None:
    under_way(account)
    account.ask()
    proceeding = account.proceeding()

    for moment in chosen(account).extend_to:
        assert proceeding.objection_to_extension(moment) is None


def test_it_is_put_off_from_where_it_was_put_off_to(account: Account) -> None:
    under_way(account)
    account.ask()
    answered(account, Kind.EXTENDED, person=BOB, expires_at=HOURS[8])

    assert chosen(account).extend_to == (HOURS[9], HOURS[12], HOURS[16], HOURS[20] - timedelta(minutes=1))


def test_a_pause_hook_is_not_put_off(account: Account) -> None:
    under_way(account, hook_runs=[active(PAUSE, expires_at=LATER)])
    account.ask(part=PAUSE)

    assert chosen(account, PAUSE) == Choices("", has_approved=False, extend_to=(), may_stop=True)


def test_whoever_has_approved_may_still_reject_or_put_it_off(account: Account) -> None:
    under_way(account)
    account.ask(rules=rules(required=2))
    answered(account, Kind.APPROVED, person=ALICE)

    mine, bobs = chosen(account), chosen(account, person=BOB)

    assert (mine.why_not, mine.has_approved, len(mine.extend_to)) == ("", True, 4)
    assert (bobs.why_not, bobs.has_approved) == ("", False)


NO_CONSOLE = (
    "The approval hook does not know this console, so it would not believe whom it names: the hook's "
    "APPROVAL_CONSOLE_ROLE has to be this console's role when it asks."
)


@pytest.mark.parametrize(
    ("asked_by", "changes", "why_not"),
    [
        ({}, {"may_decide": False}, "You may look at this service's requests, and not decide them."),
        (
            {"excluded": (ALICE.identity,)},
            {},
            "You are among those whom this service's rules exclude from deciding.",
        ),
        (
            {"allowed": (("*",), (BOB.identity,))},
            {},
            "You are not among those whom this service's rules let decide.",
        ),
        ({"console": ""}, {}, NO_CONSOLE),
        ({"console": CONSOLE_ROLE.replace("console", "other")}, {}, NO_CONSOLE),
        (
            {},
            {"person": replace(ALICE, identity="alice")},
            "Your answer would not count: the console names no person.",
        ),
        (
            {},
            {"is_waiting": False, "deployment_status": "ROLLBACK_IN_PROGRESS"},
            "The deployment waits no longer: it is ROLLBACK_IN_PROGRESS.",
        ),
        (
            {},
            {"is_waiting": False, "deployment_status": ""},
            "Whether the deployment still waits is not known, for ECS could not be asked. Try again.",
        ),
        (
            {},
            {"is_waiting": False},
            "ECS no longer waits for this: somebody has continued it, or its time is up.",
        ),
        (
            {},
            {"proceeding": {"rules": None, "finding": None}},
            "Who may decide is too long a list to stand in the request, so it can't be decided here: "
            "answer it with the AWS CLI.",
        ),
        ({"expires_after": timedelta(0)}, {}, "It has expired before enough people decided."),
    ],
)
def test_whoever_may_not_decide_is_told_why(
    account: Account, asked_by: dict[str, Any], changes: dict[str, Any], why_not: str
) -> None:
    under_way(account)
    account.ask(rules=rules(**asked_by))

    found = chosen(account, **changes)

    assert (found.why_not, found.extend_to) == (why_not, ())


@pytest.mark.parametrize(
    ("kind", "why_not"),
    [
        (Kind.APPROVED, "It is approved; no further answer changes that."),
        (Kind.REJECTED, "It is rejected; no further answer changes that."),
    ],
)
def test_what_is_decided_is_not_decided_again(account: Account, kind: Kind, why_not: str) -> None:
    under_way(account)
    account.ask()
    answered(account, kind, person=BOB)

    assert chosen(account).why_not == why_not


def test_what_the_hook_has_closed_is_over(account: Account) -> None:
    under_way(account)
    account.ask()
    text = write_closing("deployment ended: STOPPED", by=(), comment="", now=START)
    account.write(NAME, text, role="approval-hook", session="approval")

    assert chosen(account).why_not == "It is closed: deployment ended: STOPPED."


@pytest.mark.parametrize(
    ("status", "may_decide", "may_stop"),
    [
        ("IN_PROGRESS", True, True),
        ("IN_PROGRESS", False, False),
        ("PENDING", True, False),
        ("ROLLBACK_REQUESTED", True, False),
        ("SUCCESSFUL", True, False),
        ("", True, False),
    ],
)
def test_only_what_is_in_progress_can_be_stopped(
    account: Account, status: str, *, may_decide: bool, may_stop: bool
) -> None:
    under_way(account)
    # Also where it was decided, or somebody is excluded from deciding: turning back is safe.
    account.ask(rules=rules(excluded=(ALICE.identity,)))

    found = chosen(account, deployment_status=status, may_decide=may_decide)

    assert found.may_stop == may_stop


def test_the_sources_of_a_deployment_say_what_blue_is(account: Account) -> None:
    older = replace(BLUE, id="1")
    under_way(
        account,
        sources=[
            RevisionSummary(arn=older, production_weight=0.0),
            RevisionSummary(arn=BLUE, production_weight=100.0),
        ],
    )
    account.ask()

    assert [image.blue for image in dossier_of(account.proceeding()).images] == [
        "shop/app:1.4",
        "shop/proxy:2",
    ]

"""What ``approvals`` shows, to somebody who may do what its page says that takes, and nothing else."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from hooks.manual_approval.archive import PastAnswer
from rehearsal.aws.cloud import ACCOUNT
from rehearsal.model import Status
from tests.hooks.manual_approval.approvals_desk import (
    ALICE,
    BOB,
    CONSOLE_URL,
    ENTRY,
    LATER,
    NAME,
    PAUSE,
    PAUSED,
    Desk,
    answered,
    evidence,
    in_full,
    opened,
    paused,
)
from tests.hooks.manual_approval.console.under_way import PREFIX, active, rules
from tests.shared.checkout import DEPLOYMENT, GREEN, HEX, POST_TEST, REGION, START, deploy

HOSTILE = "fine\x7f\x1b[2J\x1b]0;owned\x07 [bold red]x[/] \u202edevorppa\x9b31m\n✔ Approved  bob"


@pytest.fixture
def desk() -> Iterator[Desk]:
    with opened() as desk:
        deploy(desk.cloud, hook_runs=[active(expires_at=LATER)])
        yield desk


# ------------------------------------------------------------------------------------------- list


def test_the_list_fits_into_eighty_columns_and_names_what_can_be_answered(desk: Desk) -> None:
    desk.account.ask()
    web = desk.account.deployed("web", id_="qR7sT2uVZZZZZZZZZZZZZ")
    desk.account.ask(web, part="step-from-10", rules=rules(expires_after=timedelta(minutes=20)))
    over = desk.account.deployed("mail", id_="aaaabbbbccccddddeeeef", status=Status.STOPPED)
    desk.account.ask(over)

    assert (
        desk.run("list", columns=80).out
        == """\
request    service        asks at                 green runs              left
qR7sT2uVZ  shop/web       post test traffic       shop/web:42             20 min
                          shift, after 10 %
qR7sT2uV9  shop/checkout  post test traffic       shop/app:1.5,           4 h
                          shift                   shop/proxy:2
1 decided or ended, and not yet in the history: --all
"""
    )
    assert desk.run("list", "--all").out.splitlines()[-1].split() == [
        *("aaaabbbb", "shop/mail", "post", "test", "traffic", "shift", "shop/mail:42", "stopped"),
    ]  # fmt: skip
    assert desk.denied == []


def test_the_list_as_json_is_what_the_page_says(desk: Desk) -> None:
    desk.account.ask()

    ran = desk.run("list", "--json")

    assert (ran.code, ran.json) == (
        0,
        {
            "requests": [
                {
                    "request": f"shop/checkout/{DEPLOYMENT.id}",
                    "cluster": "shop",
                    "service": "checkout",
                    "deployment": str(DEPLOYMENT),
                    "part": "",
                    "stage": POST_TEST,
                    "step": "",
                    "isPause": False,
                    "images": ["shop/app:1.5", "shop/proxy:2"],
                    "requestedAt": "2026-03-05T12:00:00Z",
                    "expiresAt": "2026-03-05T16:00:00Z",
                    "state": "pending",
                    "deploymentStatus": "IN_PROGRESS",
                    "url": f"{CONSOLE_URL}/requests/shop/checkout/{DEPLOYMENT.id}",
                }
            ],
            "leftOut": False,
            "problems": [],
        },
    )


def test_nothing_to_list_is_said(desk: Desk) -> None:
    assert desk.run("list").out == f"nothing waits for a decision in {REGION}\n"


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_a_list_that_may_not_be_read_is_no_empty_list(desk: Desk, options: tuple[str, ...]) -> None:
    desk.cloud.faults.add(action="ssm:GetParametersByPath", error="AccessDeniedException")
    desk.account.ask()

    ran = desk.run("list", *options)

    problem = (
        f"Not all requests could be listed: you may not ssm:GetParametersByPath on {PREFIX}; "
        "no policy of yours allows it"
    )
    assert ran.code == 2
    assert problem in (ran.json["problems"] if options else ran.err.splitlines())


# ------------------------------------------------------------------------------------------- show


def test_a_request_is_shown_in_full(desk: Desk) -> None:
    in_full(desk)

    assert (
        desk.run("show", "checkout", columns=80).out
        == f"""\
shop/checkout  Go on towards production traffic?
Green gets test traffic only; all production traffic is on blue.

deployment  {DEPLOYMENT.id}, blue/green, in progress
stage       POST_TEST_TRAFFIC_SHIFT
state       waiting, asked 12:00 UTC, 4 h left, until 16:00 UTC
ECS waits   until 6 Mar, 08:00 UTC

images
  app    blue   shop/app:1.4 sha256:0123456789ab…
         green  shop/app:1.5 sha256:0123456789ab…
  proxy  same   shop/proxy:2 sha256:0123456789ab…

task definition
  where  what               blue         green
  task   cpu                448          512
  app    environment LEVEL  (not shown)  (not shown)

other hooks
  ! Would refuse  Image trust at POST_TEST_TRAFFIC_SHIFT
    shop/proxy:2 is not signed
  ✔ Passed  Load test at POST_TEST_TRAFFIC_SHIFT
    green holds 200 requests a second
    latency: From 5 Mar, 11:50:00 UTC to 5 Mar, 11:55:00 UTC. green: from 12 ms
    to 15 ms, lowest 12 ms, highest 15 ms; never above limit (20 ms).
    checks
    check   verdict
    errors  pass

test access
  checkout:8080
    with x-release: green
    from within the Service Connect namespace

answers
  ✔ Approved  carol (IAM user), 12:00 UTC
    tried the cart
  · Approved  bob (IAM user), 12:00 UTC
    does not count: the rules exclude them.
  · Not understood  carol (IAM user), 12:00 UTC

decision
  1 of 2 approvals. It takes one more, by somebody else.
  Anybody may decide who can write to the request, or whom the console lets
  decide.
  These may not: bob (IAM user).
  Two different people have to approve.
  One rejection rejects it, whoever has approved before.
  you are alice (IAM user)
    {ALICE}

{CONSOLE_URL}/requests/shop/checkout/{DEPLOYMENT.id}
"""
    )
    assert desk.denied == []


def test_a_request_as_json_is_what_the_page_says(desk: Desk) -> None:
    in_full(desk)
    carol = f"arn:aws:iam::{ACCOUNT}:user/carol"
    digest = f"sha256:{HEX}"
    said = {"who": carol, "name": "", "at": "2026-03-05T12:00:00Z", "comment": "tried the cart"}

    shown = desk.run("show", NAME, "--json").json

    assert shown == {
        "request": f"shop/checkout/{DEPLOYMENT.id}",
        "cluster": "shop",
        "service": "checkout",
        "deployment": str(DEPLOYMENT),
        "part": "",
        "stage": POST_TEST,
        "step": "",
        "isPause": False,
        "version": 1,
        "requestedAt": "2026-03-05T12:00:00Z",
        "expiresAt": "2026-03-05T16:00:00Z",
        "extendableTo": "2026-03-06T11:59:00Z",
        "outcome": "pending",
        "required": 2,
        "missing": 1,
        "by": [said],
        "parameter": NAME,
        "rules": rules(required=2, excluded=(BOB,)).document(),
        "answers": [
            {"version": 2, "what": "approved", **said, "counts": True, "objection": ""},
            {
                "version": 3,
                "what": "approved",
                **said,
                "who": BOB,
                "comment": "",
                "counts": False,
                "objection": "excluded by excludedApprovers",
            },
            {
                "version": 4,
                "what": "not understood",
                **said,
                "comment": "",
                "counts": False,
                "objection": "not understood; write APPROVED or REJECTED",
            },
        ],
        "deploymentStatus": "IN_PROGRESS",
        "lifecycleStage": POST_TEST,
        "strategy": "BLUE_GREEN",
        "isFirst": False,
        "isWaiting": True,
        "ecsDeadline": "2026-03-06T08:00:00Z",
        "images": [
            {
                "container": "app",
                "blue": "shop/app:1.4",
                "blueDigest": digest,
                "green": "shop/app:1.5",
                "greenDigest": digest,
            },
            {
                "container": "proxy",
                "blue": "shop/proxy:2",
                "blueDigest": digest,
                "green": "shop/proxy:2",
                "greenDigest": digest,
            },
        ],
        "differences": [
            {"where": "task", "what": "cpu", "blue": "448", "green": "512"},
            {"where": "app", "what": "environment LEVEL", "blue": "(not shown)", "green": "(not shown)"},
        ],
        "evidence": [
            {
                "hook": "image_trust",
                "stage": POST_TEST,
                "step": "",
                "at": "2026-03-05T11:58:00Z",
                "answer": "proceed",
                "reason": "observe mode",
                "wouldRefuse": "shop/proxy:2 is not signed",
            },
            {
                "hook": "load_test",
                "stage": POST_TEST,
                "step": "",
                "at": "2026-03-05T11:58:00Z",
                "answer": "proceed",
                "reason": "green holds 200 requests a second",
                "wouldRefuse": "",
            },
        ],
        "testAccess": [
            {
                "address": "checkout:8080",
                "headers": [{"name": "x-release", "value": "green"}],
                "inside": True,
            }
        ],
        "you": {"identity": ALICE, "mayDecide": True, "objection": "", "hasApproved": False},
        "problems": [],
    }


@pytest.mark.parametrize(
    "name",
    [
        "checkout",
        "shop/checkout",
        "qR7",
        DEPLOYMENT.id,
        f"shop/{DEPLOYMENT.id}",
        f"shop/checkout/{DEPLOYMENT.id}",
        NAME,
        str(DEPLOYMENT),
        f"{CONSOLE_URL}/requests/shop/checkout/{DEPLOYMENT.id}",
        f"{CONSOLE_URL}/requests/shop/checkout/{DEPLOYMENT.id}?done=approve#answers",
    ],
)
def test_a_request_goes_by_many_names(desk: Desk, name: str) -> None:
    desk.account.ask()

    assert desk.run("show", name, "--json").json["parameter"] == NAME


@pytest.mark.parametrize("name", [f"checkout/{PAUSE}", "qR7/ecs-pause-0a", PAUSE, PAUSED, "shop/checkout"])
def test_a_pause_hook_is_named_behind_its_deployment(desk: Desk, name: str) -> None:
    paused(desk)

    assert desk.run("show", name, "--json").json["parameter"] == PAUSED


def test_what_could_mean_several_is_listed_and_not_guessed(desk: Desk) -> None:
    desk.account.ask()
    desk.account.ask(desk.account.deployed(cluster="media", id_="Zz9sT2uV9wX4yZ1aB6cD3"))

    ran = desk.run("approve", "checkout", "--yes")

    assert (ran.code, ran.out) == (2, "")
    assert [" ".join(line.split()) for line in ran.err.splitlines()] == [
        "approvals: 'checkout' could be each of these 2 pending requests; name one:",
        "request service asks at green runs left",
        "Zz9sT2uV media/checkout post test traffic shift media/checkout:42 4 h",
        "qR7sT2uV shop/checkout post test traffic shift shop/app:1.5, shop/proxy:2 4 h",
    ]
    assert answered(desk) == []


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("mail", "no request is called 'mail'; what is over is in `approvals history`"),
        ("shop", "no request is called 'shop'; what is over is in `approvals history`"),
        ("", "'' names no request: expected SERVICE, CLUSTER/SERVICE or a deployment's id"),
        ("a//b", "'a//b' names no request: expected SERVICE, CLUSTER/SERVICE or a deployment's id"),
        ("a/b/c/d/e", "'a/b/c/d/e' names no request: expected SERVICE, CLUSTER/SERVICE or a deployment's id"),
        ("/other/shop/x/1", "'/other/shop/x/1' is not below /ecs-approvals; see --prefix"),
        (f"{PREFIX}/shop", f"'{PREFIX}/shop' names no request: expected CLUSTER/SERVICE/ID, and at most one "
         "part more"),
        (f"{PREFIX}/a b/c/d", f"'{PREFIX}/a b/c/d': expected the ARN of an ECS service deployment, got "
         f"'arn:aws:ecs:{REGION}:{ACCOUNT}:service-deployment/a b/c/d'"),
        (f"{PREFIX}/shop/checkout/x", f"nobody has asked for {PREFIX}/shop/checkout/x; what is over is in "
         "`approvals history`"),
        ("https://other.example.com/requests/a/b/c", "'https://other.example.com/requests/a/b/c' is at "
         f"another console: that of {REGION} in account {ACCOUNT} is {CONSOLE_URL}"),
        (f"{CONSOLE_URL}/history/2026-03-02", f"'{CONSOLE_URL}/history/2026-03-02' is no page of a request: "
         "expected .../requests/CLUSTER/SERVICE/ID"),
        ("arn:aws:ecs:eu-west-1:1:service-deployment/a/b/c", "'arn:aws:ecs:eu-west-1:1:service-deployment/"
         f"a/b/c' is not in {REGION} of account {ACCOUNT}: see --region and --profile"),
        ("arn:aws:ecs:x:1:service/a/b", "'arn:aws:ecs:x:1:service/a/b': expected the ARN of an ECS service "
         "deployment, got 'arn:aws:ecs:x:1:service/a/b'"),
    ],
)  # fmt: skip
def test_a_name_of_nothing_is_said_to_be_one(desk: Desk, name: str, complaint: str) -> None:
    desk.account.ask()

    ran = desk.run("show", name)

    assert (ran.code, ran.out, ran.err) == (2, "", f"approvals: {complaint}\n")


def test_what_somebody_else_wrote_is_no_request(desk: Desk) -> None:
    desk.account.ask()
    text = desk.texts(NAME)[0]
    desk.deletes(NAME)
    desk.writes(NAME, text)

    ran = desk.run("approve", "checkout", "--yes")

    assert (ran.code, ran.err) == (
        2,
        f"approvals: nobody has asked for {NAME}; what is over is in `approvals history`\n",
    )
    assert desk.texts(NAME) == [text]


# ----------------------------------------------------------------------------------------- history


def test_past_decisions_are_listed_by_day(desk: Desk) -> None:
    yesterday = replace(ENTRY, part="", outcome="undecided", answers=(), ended_at=START - timedelta(days=1))
    desk.archives(ENTRY, yesterday)

    assert (
        desk.run("history", "--days", "2", columns=80).out
        == f"""\
Thursday, 5 Mar 2026 (UTC)
ended  service                asked at           outcome      by
11:00  shop/checkout          post test traffic  rejected     rejected by bob
       {DEPLOYMENT.id}  shift, after 10 %  rolled back  (IAM user): the
                                                              cart is empty

Wednesday, 4 Mar 2026 (UTC)
ended  service                asked at                 outcome      by
12:00  shop/checkout          post test traffic shift  not decided  nobody
       {DEPLOYMENT.id}                           rolled back
"""
    )
    assert desk.run("history", "--day", "2026-03-03").out == (
        "Tuesday, 3 Mar 2026 (UTC)\nnothing was decided\n"
    )
    assert desk.denied == []


def test_past_decisions_as_json_are_what_the_page_says(desk: Desk) -> None:
    desk.archives(ENTRY)

    assert desk.run("history", "--json").json == {
        "days": [
            {
                "day": "2026-03-05",
                "entries": [
                    {
                        "request": f"shop/checkout/{DEPLOYMENT.id}/step-from-10",
                        "cluster": "shop",
                        "service": "checkout",
                        "deployment": str(DEPLOYMENT),
                        "part": "step-from-10",
                        "stage": POST_TEST,
                        "outcome": "rejected",
                        "deploymentStatus": "ROLLBACK_SUCCESSFUL",
                        "requestedAt": "2026-03-05T10:00:00Z",
                        "endedAt": "2026-03-05T11:00:00Z",
                        "required": 1,
                        "answers": [
                            {
                                "what": "rejected",
                                "who": BOB,
                                "name": "",
                                "at": "2026-03-05T11:00:00Z",
                                "comment": "the cart is empty",
                            }
                        ],
                        "images": ["shop/app:1.5"],
                    }
                ],
                "leftOut": False,
                "problems": [],
            }
        ]
    }


# ------------------------------------------------------------------------- what others have written


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_a_comment_writes_nothing_but_itself(desk: Desk, options: tuple[str, ...]) -> None:
    desk.account.ask(rules=rules(required=2))
    desk.writes(NAME, json.dumps({"state": "approved", "comment": HOSTILE}))
    desk.archives(replace(ENTRY, answers=(PastAnswer("rejected", BOB, HOSTILE[:50], START, HOSTILE),)))
    desk.cloud.control_plane.revisions[str(GREEN)].container_images[
        0
    ].image = "shop/app:\x1b[2J[blink]1\u202e"
    evidence(desk, "load_test", verdict={"answer": "refuse", "reason": HOSTILE})

    for arguments in (("list",), ("show", "checkout"), ("history",), ("watch", "checkout")):
        ran = desk.run(*arguments, *options)
        text = ran.out + ran.err
        assert {character for character in text if not character.isprintable()} <= {"\n"}, arguments
        if options:
            assert text.isascii()
    shown = desk.run("show", "checkout", columns=120)
    assert "\n    fine··[2J·]0;owned· [bold red]x[/] ·devorppa·31m ✔ Approved bob\n" in shown.out
    assert "shop/app:·[2J[blink]1·" in shown.out


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ('{"state": "closed", "outcome": "approved"}', "decided"),
        ("APPROVED", "?"),
    ],
)
def test_what_is_settled_is_told_from_what_waits(desk: Desk, answer: str, says: str) -> None:
    # Of an answer that does not say until when it is waited, the list knows no more than that it is there.
    desk.account.ask()
    desk.account.write(NAME, answer, role="approval-hook")

    assert desk.run("list", "--all").out.splitlines()[1].split()[-1] == says


def test_what_is_new_and_what_is_left_out_is_said(desk: Desk) -> None:
    in_full(desk)
    desk.cloud.control_plane.revisions[str(GREEN)].container_images.pop(0)
    green = desk.cloud.control_plane.revisions[str(GREEN)].task_definition
    desk.cloud.control_plane.task_definitions[green]["containerDefinitions"] = []
    rows = [["x", "pass"]] * 101
    evidence(
        desk,
        "load_test",
        verdict={"answer": "wait", "reason": "measuring"},
        tables=[{"title": "checks", "columns": ["check", "verdict"], "rows": rows}],
    )

    shown = desk.run("show", "checkout").out

    assert "  app    blue   shop/app:1.4 sha256:0123456789ab…\n         green  none\n" in shown
    assert "  · Still at work  Load test at POST_TEST_TRAFFIC_SHIFT\n    measuring\n" in shown
    assert "    and 1 more\n" in shown


def test_where_ecs_can_t_be_asked_the_rest_is_shown(desk: Desk) -> None:
    desk.account.ask()
    desk.cloud.faults.add(action="ecs:DescribeServiceDeployments", error="AccessDeniedException")

    ran = desk.run("show", NAME)

    assert ran.code == 0
    assert f"deployment  {DEPLOYMENT.id}, could not be asked about" in ran.out.splitlines()
    assert (
        f"  The deployment could not be read: you may not ecs:DescribeServiceDeployments on {DEPLOYMENT}; "
        "no policy of yours allows it"
    ) in ran.out.splitlines()

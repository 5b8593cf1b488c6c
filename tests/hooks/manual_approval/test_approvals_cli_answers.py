"""What ``approvals`` writes: answers to the very request that was shown, and what came of them."""

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError

from rehearsal.aws.identities import ALLOW_ALL
from rehearsal.model import Status
from tests.hooks.manual_approval.approvals_desk import (
    ALICE,
    BOB,
    CONSOLE_URL,
    LATER,
    NAME,
    PAUSE,
    PAUSED,
    Desk,
    answered,
    evidence,
    opened,
    paused,
    policies,
    written,
)
from tests.hooks.manual_approval.console.under_way import active, rules
from tests.shared.checkout import DEPLOYMENT, POST_TEST, deploy

TWO = rules(required=2)


@pytest.fixture
def desk() -> Iterator[Desk]:
    with opened() as desk:
        deploy(desk.cloud, hook_runs=[active(expires_at=LATER)])
        yield desk


# ---------------------------------------------------------------------------- approve and reject


def test_an_approval_is_shown_asked_for_and_written(desk: Desk) -> None:
    desk.account.ask()
    evidence(desk, "image_trust", verdict={"answer": "refuse", "reason": "not signed"})

    ran = desk.run("approve", "checkout", "--comment", "tried it", typed="y\n", columns=80)

    assert (ran.code, ran.err) == (0, "approve shop/checkout? [y/N]")
    assert (
        ran.out
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

other hooks
  ✘ Refused  Image trust at POST_TEST_TRAFFIC_SHIFT
    not signed

decision
  It takes one approval.
  you are alice (IAM user)
    {ALICE}

{CONSOLE_URL}/requests/shop/checkout/{DEPLOYMENT.id}

✔ approved; the deployment goes on when the hook next looks
"""
    )
    assert answered(desk) == [written("approved", comment="tried it")]
    assert desk.denied == []


@pytest.mark.parametrize("typed", ["n\n", "\n", "", "yeah\n"])
@pytest.mark.parametrize("command", ["approve", "reject"])
def test_nothing_but_yes_is_yes(desk: Desk, command: str, typed: str) -> None:
    desk.account.ask()

    ran = desk.run(command, "checkout", "--comment", "x", typed=typed)

    assert (ran.code, ran.err) == (1, f"{command} shop/checkout? [y/N] approvals: nothing was answered\n")
    assert answered(desk) == []


@pytest.mark.parametrize("command", ["approve", "reject", "stop"])
def test_a_pipe_has_to_say_yes_beforehand(desk: Desk, command: str) -> None:
    desk.account.ask()
    stopped: list[str] = []
    desk.cloud.control_plane.on_stop = lambda _, kind: stopped.append(kind)

    ran = desk.run(command, "checkout")

    complaint = "there is nobody to ask: standard input is no terminal, so say --yes"
    assert (ran.code, ran.err) == (2, f"approvals: {complaint}\n")
    assert (answered(desk), stopped) == ([], [])


def test_what_an_answer_came_to_is_told_as_json(desk: Desk) -> None:
    desk.account.ask(rules=TWO)

    ran = desk.run("approve", "checkout", "--yes", "--json")

    assert (ran.code, ran.json) == (
        0,
        {
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
            "by": [{"who": ALICE, "name": "", "at": "2026-03-05T12:00:00Z", "comment": ""}],
            "answer": "approved",
            "counted": True,
            "you": ALICE,
            "message": "approved by you; it takes one more, by others",
        },
    )
    assert "Go on towards production traffic?" in ran.err


def test_two_approvals_take_two_people_and_the_same_one_is_told_so(desk: Desk) -> None:
    desk.account.ask(rules=TWO)

    first = desk.run("approve", "checkout", "--yes")
    again = desk.run("approve", "checkout", "--yes")
    desk.may("bob", ALLOW_ALL)
    second = desk.run("approve", "checkout", "--yes", who="bob")

    assert (first.code, first.out.splitlines()[-1]) == (0, "✔ approved by you; it takes one more, by others")
    assert (again.code, again.err) == (
        1,
        "approvals: you have approved it already; it takes somebody else now\n",
    )
    assert (second.code, second.out.splitlines()[-1]) == (
        0,
        "✔ approved; the deployment goes on when the hook next looks",
    )
    assert [one["state"] for one in answered(desk)] == ["approved", "approved"]


@pytest.mark.parametrize(
    ("electorate", "why"),
    [
        ({"excluded": (ALICE,)}, "excluded by excludedApprovers"),
        ({"allowed": (("*",), (BOB,))}, "not among allowedApprovers"),
    ],
)
def test_whoever_may_not_decide_is_told_before_being_asked(
    desk: Desk, electorate: dict[str, Any], why: str
) -> None:
    desk.account.ask(rules=rules(**electorate))

    ran = desk.run("approve", "checkout", typed="y\n")

    assert (ran.code, ran.err) == (1, f"approvals: it would not count: {why}\n")
    assert f"  you may not decide: {why}" in [line[2:] for line in ran.out.splitlines()]
    assert answered(desk) == []


def test_the_console_s_own_role_can_t_answer_for_somebody_here(desk: Desk) -> None:
    desk.account.ask(rules=rules(console=ALICE))

    ran = desk.run("approve", "checkout", "--yes")

    assert (ran.code, ran.err) == (1, "approvals: it would not count: the console names no person\n")


def test_a_rejection_asks_why(desk: Desk) -> None:
    desk.account.ask()

    ran = desk.run("reject", "checkout", typed=f"{'x' * 501}\nthe cart is empty\ny\n")

    assert (ran.code, ran.err) == (
        0,
        "why? at most 500 characters, it has 501\nwhy? reject shop/checkout? [y/N]",
    )
    assert ran.out.splitlines()[-1] == "✔ rejected; ECS rolls the deployment back when the hook next looks"
    assert answered(desk) == [written("rejected", comment="the cart is empty")]


def test_a_comment_that_would_be_cut_is_refused(desk: Desk) -> None:
    desk.account.ask()

    ran = desk.run("approve", "checkout", "--yes", "--comment", "x" * 501)

    assert (ran.code, ran.err) == (2, "approvals: --comment: expected at most 500 characters, got 501\n")
    assert answered(desk) == []


# ------------------------------------------------------------- what happens between look and answer


def test_an_answer_never_reaches_a_request_that_was_asked_anew(desk: Desk) -> None:
    desk.account.ask()

    def asked_anew() -> None:
        desk.deletes(NAME)
        desk.passes(seconds=5)
        desk.account.ask()

    ran = desk.run("approve", "checkout", typed="y\n", before_typing=asked_anew)

    assert (ran.code, ran.err) == (
        1,
        "approve shop/checkout? [y/N] approvals: it was asked anew meanwhile; look at it again before you "
        "decide\n",
    )
    assert answered(desk) == []


@pytest.mark.parametrize(
    ("status", "hooks"), [(Status.ROLLBACK_IN_PROGRESS, []), (Status.SUCCESSFUL, []), (Status.STOPPED, [])]
)
def test_a_deployment_that_has_moved_on_takes_no_answer(desk: Desk, status: Status, hooks: list[Any]) -> None:
    desk.account.ask()

    ran = desk.run(
        "approve", "checkout", typed="y\n", before_typing=lambda: deploy(desk.cloud, status=status)
    )

    assert (ran.code, ran.err) == (
        1,
        "approve shop/checkout? [y/N] approvals: the deployment has moved on, and nobody waits for an answer "
        "any more\n",
    )
    assert answered(desk) == []


def test_without_ecs_s_word_that_it_waits_nothing_is_answered(desk: Desk) -> None:
    desk.account.ask()
    desk.cloud.faults.add(action="ecs:DescribeServiceDeployments", error="AccessDeniedException")

    ran = desk.run("approve", NAME, "--yes")

    assert (ran.code, ran.err) == (
        2,
        f"approvals: you may not ecs:DescribeServiceDeployments on {DEPLOYMENT}; "
        "no policy of yours allows it\n",
    )
    assert answered(desk) == []


@pytest.mark.parametrize(
    ("command", "text", "code", "says"),
    [
        ("approve", "REJECTED", 1, "rejected by bob (IAM user)"),
        ("approve", "APPROVED", 1, "approved by bob (IAM user)"),
        ("reject", "APPROVED", 1, "approved by bob (IAM user)"),
    ],
)
def test_what_is_decided_while_somebody_thinks_is_told_and_nothing_is_written(
    desk: Desk, command: str, text: str, code: int, says: str
) -> None:
    desk.account.ask()

    def bob() -> None:
        desk.writes(NAME, text)

    ran = desk.run(command, "checkout", "--comment", "x", typed="y\n", before_typing=bob)

    assert (ran.code, ran.err) == (code, f"{command} shop/checkout? [y/N] approvals: it is {text.lower()}\n")
    assert len(desk.texts(NAME)) == 2
    assert desk.run(command, NAME, "--yes").err == f"approvals: {says}\n"


@pytest.mark.parametrize(
    ("command", "text", "code", "says"),
    [
        ("approve", "APPROVED", 0, "✔ your answer came too late: approved by bob (IAM user)"),
        ("approve", "REJECTED", 3, "✘ your answer came too late: rejected by bob (IAM user)"),
        ("reject", "REJECTED", 0, "✔ your answer came too late: rejected by bob (IAM user)"),
        ("reject", "APPROVED", 1, "✘ your answer came too late: approved by bob (IAM user); `approvals stop` "
         "still rolls it back"),
    ],
)  # fmt: skip
def test_of_two_answers_at_once_the_first_that_aws_numbered_holds(
    desk: Desk, command: str, text: str, code: int, says: str
) -> None:
    desk.account.ask()

    def bob_is_faster(*_: object) -> None:
        desk.cloud.faults.clear()
        desk.writes(NAME, text)

    desk.cloud.faults.add(action="ssm:PutParameter", make=bob_is_faster)
    ran = desk.run(command, "checkout", "--yes")

    assert (ran.code, ran.out.splitlines()[-1]) == (code, says)
    assert len(desk.texts(NAME)) == 3


def test_an_answer_that_came_after_the_expiry_is_told_as_that(desk: Desk) -> None:
    desk.account.ask()

    def hook_is_faster(*_: object) -> None:
        desk.cloud.faults.clear()
        closing = '{"schema": 1, "state": "closed", "outcome": "expired", "closedAt": "2026-03-05T16:00:00Z"}'
        desk.passes(hours=4)
        desk.account.write(NAME, closing, role="approval-hook")

    desk.cloud.faults.add(action="ssm:PutParameter", make=hook_is_faster)
    ran = desk.run("approve", "checkout", "--yes")

    assert (ran.code, ran.out.splitlines()[-1]) == (
        4,
        "✘ your answer came too late: expired, and nobody had decided",
    )


def test_an_answer_whose_reply_is_lost_is_found(desk: Desk) -> None:
    desk.account.ask()
    desk.meanwhile = [lambda: None]
    lost = ReadTimeoutError(endpoint_url="https://ssm")
    desk.cloud.faults.add(action="ssm:PutParameter", after=True, times=1, make=lambda *_: lost)

    ran = desk.run("approve", "checkout", "--yes")

    assert (ran.code, ran.out.splitlines()[-1]) == (
        0,
        "✔ approved; the deployment goes on when the hook next looks",
    )
    assert len(answered(desk)) == 1


def test_an_answer_that_was_not_written_is_no_answer(desk: Desk) -> None:
    desk.account.ask()
    desk.meanwhile = [lambda: None] * 5
    desk.cloud.faults.add(action="ssm:PutParameter", error="ThrottlingException")

    ran = desk.run("approve", "checkout", "--yes")

    assert (ran.code, ran.err) == (2, f"approvals: ssm:PutParameter on {NAME}: ThrottlingException\n")
    assert answered(desk) == []


@pytest.mark.parametrize("who", ["alice", "bob"])
def test_another_answer_is_not_taken_for_one_that_was_not_written(desk: Desk, who: str) -> None:
    desk.account.ask()
    extension = json.dumps({"state": "extended", "expiresAt": "2026-03-05T16:30:00Z"})
    earlier, meanwhile = (extension, "x") if who == "alice" else ("x", extension)
    desk.account.write(NAME, earlier, role="approval-hook")
    desk.run("extend", "checkout", "--until", "2026-03-05T16:10Z")
    desk.meanwhile = [lambda: desk.writes(NAME, meanwhile, who="bob"), *[lambda: None] * 4]
    desk.cloud.faults.add(action="ssm:PutParameter", error="ThrottlingException", identity=ALICE)

    ran = desk.run("extend", "checkout", "--until", "2026-03-05T17:00Z")

    assert (ran.code, ran.err) == (2, f"approvals: ssm:PutParameter on {NAME}: ThrottlingException\n")


def test_whoever_may_look_and_not_write_is_told_which_action_is_missing(desk: Desk) -> None:
    desk.account.ask()
    desk.may("alice", policies()["To look"])

    ran = desk.run("approve", "checkout", "--yes")

    assert (ran.code, ran.err) == (
        2,
        f"approvals: you may not ssm:PutParameter on {NAME}; no policy of yours allows it\n",
    )


# ------------------------------------------------------------------------------------------- PAUSE


@pytest.mark.parametrize(
    ("command", "action", "says"),
    [
        ("approve", "CONTINUE", "✔ approved; the deployment goes on"),
        ("reject", "ROLLBACK", "✔ rejected; the deployment is rolled back"),
    ],
)
def test_what_is_decided_on_a_pause_hook_is_carried_out(
    desk: Desk, command: str, action: str, says: str
) -> None:
    told = paused(desk)
    desk.may("alice", *policies().values(), ALLOW_ALL)

    ran = desk.run(command, "checkout", "--yes")

    assert (ran.code, ran.out.splitlines()[-1], told) == (0, says, [f"{PAUSE} {action}"])


def test_where_ecs_may_not_be_told_the_sweeper_does_it(desk: Desk) -> None:
    told = paused(desk)

    ran = desk.run("approve", "checkout", "--yes")

    assert (ran.code, told) == (0, [])
    assert ran.out.splitlines()[-1] == (
        "✔ approved; the sweeper tells ECS within 5 minutes, for this command could not: you may not "
        f"ecs:ContinueServiceDeployment on {DEPLOYMENT}; no policy of yours allows it"
    )


def test_half_a_quorum_continues_no_pause_hook(desk: Desk) -> None:
    told = paused(desk)
    desk.deletes(PAUSED)
    desk.account.ask(part=PAUSE, rules=TWO)
    desk.may("alice", *policies().values(), ALLOW_ALL)

    ran = desk.run("approve", "checkout", "--yes")

    assert (ran.out.splitlines()[-1], told) == ("✔ approved by you; it takes one more, by others", [])


def test_a_pause_hook_that_somebody_continued_by_hand_takes_no_answer(desk: Desk) -> None:
    paused(desk)
    deploy(desk.cloud)

    ran = desk.run("approve", PAUSED, "--yes")

    assert (ran.code, len(desk.texts(PAUSED))) == (1, 1)


# ---------------------------------------------------------------------------------- extend and stop


@pytest.mark.parametrize(
    ("how", "until"),
    [
        (("--by", "2h"), "2026-03-05T18:00:00Z"),
        (("--by", "1h30m"), "2026-03-05T17:30:00Z"),
        (("--until", "2026-03-05T23:00+01:00"), "2026-03-05T22:00:00Z"),
    ],
)
def test_an_expiry_is_put_off(desk: Desk, how: tuple[str, str], until: str) -> None:
    desk.account.ask()

    ran = desk.run("extend", "checkout", *how, "--comment", "lunch", "--json")

    assert (ran.code, ran.json["expiresAt"], ran.json["outcome"]) == (0, until, "pending")
    assert answered(desk) == [written("extended", comment="lunch", expiresAt=until)]


def test_how_long_it_was_put_off_is_told(desk: Desk) -> None:
    desk.account.ask()

    assert desk.run("extend", "checkout", "--by", "1h").out == "✔ put off; it expires at 17:00 UTC\n"


@pytest.mark.parametrize(
    ("how", "why"),
    [
        (("--by", "1d"), "ECS itself ends the wait at 2026-03-06T08:00:00Z"),
        (("--until", "2026-03-05T15:00Z"), "it can be put off to a time after 2026-03-05T16:00:00Z, and to "
         "2026-03-06T11:59:00Z at the latest"),
    ],
)  # fmt: skip
def test_an_expiry_is_not_put_off_to_where_it_would_come_to_nothing(
    desk: Desk, how: tuple[str, str], why: str
) -> None:
    desk.account.ask()

    ran = desk.run("extend", "checkout", *how)

    assert (ran.code, ran.err) == (1, f"approvals: {why}\n")
    assert answered(desk) == []


def test_a_pause_hook_s_time_is_ecs_s(desk: Desk) -> None:
    paused(desk)
    desk.deletes(PAUSED)
    desk.account.ask(part=PAUSE, rules=rules(extendable_to=timedelta(hours=4)))

    ran = desk.run("extend", "checkout", "--by", "1h")

    assert (ran.code, ran.err) == (1, "approvals: it can't be put off any further\n")


def test_whoever_may_not_decide_may_not_put_off(desk: Desk) -> None:
    desk.account.ask(rules=rules(excluded=(ALICE,)))

    ran = desk.run("extend", "checkout", "--by", "1h")

    assert (ran.code, ran.err) == (1, "approvals: it would not count: excluded by excludedApprovers\n")


def test_an_extension_that_a_rejection_overtook_is_told_as_that(desk: Desk) -> None:
    desk.account.ask()

    def bob_is_faster(*_: object) -> None:
        desk.cloud.faults.clear()
        desk.writes(NAME, "REJECTED")

    desk.cloud.faults.add(action="ssm:PutParameter", make=bob_is_faster)
    ran = desk.run("extend", "checkout", "--by", "1h")

    assert (ran.code, ran.out) == (3, "✘ your answer came too late: rejected by bob (IAM user)\n")


@pytest.fixture
def stopped(desk: Desk) -> list[str]:
    """Return what ECS is told to stop, and how."""
    told: list[str] = []

    def stop(deployment: Any, kind: str) -> None:
        told.append(f"{deployment.arn} {kind}")
        deployment.status = Status.ROLLBACK_REQUESTED

    desk.cloud.control_plane.on_stop = stop
    return told


@pytest.mark.parametrize("options", [("--yes",), ()])
def test_a_deployment_is_stopped_and_rolled_back(
    desk: Desk, stopped: list[str], options: tuple[str, ...]
) -> None:
    desk.account.ask()

    ran = desk.run("stop", "checkout", *options, typed="checkout\n")

    assert (ran.code, stopped) == (0, [f"{DEPLOYMENT} ROLLBACK"])
    assert (
        ran.out
        == f"""\
service     shop/checkout
deployment  {DEPLOYMENT.id}, in progress
stage       POST_TEST_TRAFFIC_SHIFT
you are     {ALICE}

ECS was told to stop it; the deployment is about to be rolled back
"""
    )
    assert ran.err == ("" if options else "to stop it and roll it back, type the service's name, checkout:")


def test_a_deployment_that_waits_for_nobody_is_stopped_by_its_arn(desk: Desk, stopped: list[str]) -> None:
    ran = desk.run("stop", str(DEPLOYMENT), "--yes", "--json")

    assert (ran.code, stopped) == (0, [f"{DEPLOYMENT} ROLLBACK"])
    assert ran.json == {
        "request": f"shop/checkout/{DEPLOYMENT.id}",
        "cluster": "shop",
        "service": "checkout",
        "deployment": str(DEPLOYMENT),
        "part": "",
        "stopped": True,
        "deploymentStatus": "ROLLBACK_REQUESTED",
    }


@pytest.mark.parametrize("typed", ["y\n", "\n", "Checkout\n"])
def test_nothing_but_the_service_s_name_stops_it(desk: Desk, stopped: list[str], typed: str) -> None:
    desk.account.ask()

    ran = desk.run("stop", "checkout", typed=typed)

    assert (ran.code, stopped) == (1, [])
    assert ran.err.endswith(" approvals: nothing was stopped\n")


@pytest.mark.parametrize("status", [Status.SUCCESSFUL, Status.ROLLBACK_IN_PROGRESS])
def test_what_has_ended_or_turns_back_is_not_stopped(desk: Desk, stopped: list[str], status: Status) -> None:
    deploy(desk.cloud, status=status)

    ran = desk.run("stop", str(DEPLOYMENT), "--yes")

    assert (ran.code, stopped) == (1, [])
    assert ran.err.startswith("approvals: there is nothing to stop: the deployment is ")


def test_a_deployment_that_ends_while_somebody_thinks_is_not_stopped(desk: Desk, stopped: list[str]) -> None:
    def ends() -> None:
        deploy(desk.cloud, status=Status.SUCCESSFUL)

    ran = desk.run("stop", str(DEPLOYMENT), typed="checkout\n", before_typing=ends)

    assert (ran.code, stopped) == (1, [])
    assert ran.err.endswith(" approvals: there was nothing to stop any more: the deployment has ended\n")


def test_a_pause_hook_that_ecs_was_told_of_already_is_told_once(desk: Desk) -> None:
    paused(desk)
    desk.may("alice", *policies().values(), ALLOW_ALL)

    def sweeper_is_faster(*_: object) -> None:
        desk.cloud.faults.clear()
        deploy(desk.cloud)

    desk.cloud.faults.add(action="ecs:ContinueServiceDeployment", make=sweeper_is_faster)
    ran = desk.run("approve", "checkout", "--yes")

    assert (ran.code, ran.out.splitlines()[-1]) == (0, "✔ approved; ECS had been told already")


def test_a_request_whose_rules_are_too_long_is_shown_and_not_answered(desk: Desk) -> None:
    desk.account.ask()
    document = json.loads(desk.texts(NAME)[0])
    del document["rules"]
    desk.deletes(NAME)
    desk.account.write(NAME, json.dumps(document), role="approval-hook")

    ran = desk.run("approve", "checkout", "--yes")

    assert (ran.code, ran.err) == (
        1,
        "approvals: who may decide is too long a list to be in the request; answer with the AWS CLI\n",
    )
    assert "state       unknown, asked 12:00 UTC" in ran.out.splitlines()
    assert "  who may decide is too long a list to stand in the request" in ran.out.splitlines()
    assert len(desk.texts(NAME)) == 1

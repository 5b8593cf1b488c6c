"""``approvals watch``: what changes is told, each thing once, and how it ends is the exit code."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from hooks.manual_approval.archive import Entry, PastAnswer
from rehearsal.model import Status
from tests.hooks.manual_approval.approvals_desk import BOB, Desk, opened
from tests.hooks.manual_approval.console.under_way import PREFIX, rules
from tests.shared.checkout import DEPLOYMENT, POST_TEST, START, deploy

NAME = f"{PREFIX}/shop/checkout/{DEPLOYMENT.id}"
ID = f"shop/checkout/{DEPLOYMENT.id}"
ENTRY = Entry(
    deployment=DEPLOYMENT,
    part="",
    stage=POST_TEST,
    outcome="rejected",
    deployment_status="ROLLBACK_SUCCESSFUL",
    asked_at=START,
    ended_at=START,
    required=1,
    answers=(PastAnswer("rejected", BOB, "", START, "the cart is empty"),),
    images=(),
)


@pytest.fixture
def desk() -> Iterator[Desk]:
    with opened() as desk:
        deploy(desk.cloud)
        yield desk


def nothing() -> None:
    """Let an interval pass."""


# ------------------------------------------------------------------------------------------- all


def test_what_is_pending_asked_put_off_and_decided_is_told_once(desk: Desk) -> None:
    desk.account.ask()
    web = desk.account.deployed("web", id_="Zz9wX4yZ1aB6cD3eF5gH7")

    def decided() -> None:
        desk.writes(NAME, '{"state": "rejected", "comment": "the cart is empty"}')
        desk.account.write(NAME, '{"state": "closed", "outcome": "rejected"}', role="approval-hook")

    desk.meanwhile = [
        lambda: desk.account.ask(web),
        lambda: desk.run("extend", "checkout", "--by", "1h"),
        nothing,
        decided,
        lambda: deploy(desk.cloud, status=Status.ROLLBACK_SUCCESSFUL),
        lambda: desk.deletes(NAME),
        nothing,
    ]

    ran = desk.run("watch")

    assert (ran.code, ran.err) == (130, "")
    assert (
        ran.out
        == f"""\
12:00:00 {ID}: waits for a decision, until 16:00 UTC
12:00:10 shop/web/{web.id}: asks for a decision, until 16:00 UTC
12:00:20 {ID}: was put off, until 17:00 UTC
12:00:40 {ID}: rejected by bob (IAM user)
"""
    )


def test_changes_as_json_are_lines(desk: Desk) -> None:
    desk.account.ask()
    desk.meanwhile = [
        lambda: desk.writes(NAME, "APPROVED"),
        lambda: deploy(desk.cloud, status=Status.SUCCESSFUL),
    ]

    ran = desk.run("watch", "--json", "--interval", "30")

    said = {
        "request": ID,
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
        "url": f"https://approvals.example.com/requests/{ID}",
    }
    by = {"who": BOB, "name": "", "at": "2026-03-05T12:00:30Z", "comment": ""}
    # The bare word is no request any more, so of what stands there now nothing is known but its name.
    over = {"state": "ended", "deploymentStatus": "SUCCESSFUL"}
    assert (ran.code, ran.err) == (130, "")
    assert [ran.events[0], {**ran.events[-1], **over}] == [
        {"at": "2026-03-05T12:00:00Z", "change": "pending", **said, "by": []},
        {**ran.events[-1], "at": "2026-03-05T12:01:00Z", "change": "approved", **over, "by": [by]},
    ]
    assert len(ran.events) == 2


def test_a_deployment_that_ends_undecided_is_told(desk: Desk) -> None:
    desk.account.ask()
    desk.meanwhile = [lambda: deploy(desk.cloud, status=Status.STOPPED)]

    assert desk.run("watch").out.splitlines()[1:] == [
        f"12:00:10 {ID}: the deployment ended before anybody decided"
    ]


@pytest.mark.parametrize(
    ("entries", "sentence"),
    [
        ((ENTRY,), "rejected by bob (IAM user)"),
        ((replace(ENTRY, answers=()),), "rejected"),
        ((replace(ENTRY, outcome="undecided"),), "the deployment ended before anybody decided"),
        ((replace(ENTRY, part="step-from-10"),), "the deployment ended before anybody decided"),
        ((), "the deployment ended before anybody decided"),
    ],
)
def test_what_is_gone_is_looked_up_in_the_history(
    desk: Desk, entries: tuple[Entry, ...], sentence: str
) -> None:
    desk.account.ask()

    def swept() -> None:
        desk.deletes(NAME)
        desk.archives(*entries)

    desk.meanwhile = [swept, nothing]

    assert desk.run("watch").out.splitlines()[1:] == [f"12:00:10 {ID}: {sentence}"]


def test_what_can_t_be_seen_for_a_while_is_not_gone(desk: Desk) -> None:
    desk.account.ask()

    def throttled() -> None:
        desk.cloud.faults.add(action="ssm:GetParametersByPath", error="ThrottlingException")

    desk.meanwhile = [throttled, desk.cloud.faults.clear, nothing]

    ran = desk.run("watch")

    assert ran.out.splitlines() == [f"12:00:00 {ID}: waits for a decision, until 16:00 UTC"]
    assert ran.err == (
        "approvals: Not all requests could be listed: "
        f"ssm:GetParametersByPath on {PREFIX}: ThrottlingException\n"
    )


def test_how_it_ended_may_be_more_than_can_be_read(desk: Desk) -> None:
    desk.account.ask()

    def over() -> None:
        deploy(desk.cloud, status=Status.STOPPED)
        desk.cloud.faults.add(action="ssm:GetParameterHistory", error="AccessDeniedException")

    desk.meanwhile = [over]

    assert desk.run("watch").out.splitlines()[1:] == [
        f"12:00:10 {ID}: over; how, could not be read: you may not ssm:GetParameterHistory on {NAME}; "
        "no policy of yours allows it"
    ]


def test_on_a_terminal_the_list_stays_at_the_foot(desk: Desk) -> None:
    desk.account.ask()
    web = desk.account.deployed("web", id_="Zz9wX4yZ1aB6cD3eF5gH7")
    desk.meanwhile = [nothing, lambda: desk.account.ask(web), nothing]

    ran = desk.run("watch", "--interval", "2", columns=80)

    assert ran.code == 130
    assert f"12:00:02 shop/web/{web.id}: asks for a decision, until 16:00 UTC\n" in ran.out
    assert ran.out.count("waits for a decision") == 0
    assert "12:00:01 UTC, Ctrl-C ends it" in ran.out
    # Nothing is left of the list when it has ended.
    assert ran.out.endswith("\x1b[2K")


def test_an_empty_list_is_said_and_so_is_what_fails(desk: Desk) -> None:
    desk.cloud.faults.add(action="ssm:GetParametersByPath", error="AccessDeniedException")

    ran = desk.run("watch", columns=80)

    assert "nothing waits for a decision\nNot all requests could be listed: you may not ssm:Get" in ran.out


# ------------------------------------------------------------------------------------------- one


@pytest.mark.parametrize(
    ("decides", "code", "sentence"),
    [
        (lambda desk: desk.writes(NAME, "APPROVED"), 0, "approved by bob (IAM user)"),
        (lambda desk: desk.writes(NAME, "REJECTED"), 3, "rejected by bob (IAM user)"),
        (lambda desk: desk.passes(hours=4), 4, "expired, and nobody had decided"),
        (
            lambda desk: deploy(desk.cloud, status=Status.STOPPED),
            5,
            "the deployment ended before anybody decided",
        ),
        (lambda desk: desk.deletes(NAME), 5, "the deployment ended before anybody decided"),
    ],
)
@pytest.mark.parametrize("options", [(), ("--json",)])
def test_how_a_request_ends_is_the_exit_code(
    desk: Desk, options: tuple[str, ...], decides: Callable[[Desk], Any], code: int, sentence: str
) -> None:
    desk.account.ask()
    desk.meanwhile = [nothing, lambda: decides(desk), nothing]

    ran = desk.run("watch", "checkout", *options)

    assert (ran.code, ran.err) == (code, "")
    if options:
        outcomes = {0: "approved", 3: "rejected", 4: "expired", 5: "undecided"}
        assert (ran.events[0]["change"], ran.events[-1]["change"]) == ("pending", outcomes[code])
        assert ran.events[-1]["outcome"] == outcomes[code]
        assert ran.events[-1]["request"] == ID
    else:
        first, *_, last = ran.out.splitlines()
        assert first == f"12:00:00 {ID}: It takes one approval."
        assert last.partition(f" {ID}: ")[2] == sentence


def test_each_answer_on_the_way_is_told(desk: Desk) -> None:
    desk.account.ask(rules=rules(required=2, excluded=(BOB,)))

    desk.meanwhile = [
        lambda: desk.writes(NAME, "APPROVED"),
        lambda: desk.writes(NAME, '{"state": "approved", "comment": "tried it"}', who="carol"),
        lambda: desk.run("extend", "checkout", "--by", "1h"),
        lambda: desk.run("approve", "checkout", "--yes"),
    ]

    assert (
        desk.run("watch", "checkout").out
        == f"""\
12:00:00 {ID}: It takes two approvals, by different people.
12:00:10 {ID}: approved by bob (IAM user) (does not count: the rules exclude them.)
12:00:20 {ID}: approved by carol (IAM user): tried it
12:00:30 {ID}: extended by alice (IAM user)
12:00:40 {ID}: approved by alice (IAM user)
12:00:40 {ID}: approved by carol (IAM user), alice (IAM user)
"""
    )


def test_each_answer_on_the_way_is_a_line_of_json(desk: Desk) -> None:
    desk.account.ask(rules=rules(required=2, excluded=(BOB,)))
    desk.meanwhile = [
        lambda: desk.writes(NAME, "APPROVED"),
        lambda: desk.writes(NAME, "APPROVED", who="carol"),
        lambda: desk.writes(NAME, "REJECTED", who="carol"),
    ]

    ran = desk.run("watch", "checkout", "--json")

    assert [
        (one["at"][11:19], one["change"], one["outcome"], one["missing"], len(one["by"]), one.get("given"))
        for one in ran.events
    ] == [
        ("12:00:00", "pending", "pending", 2, 0, None),
        ("12:00:10", "not counted", "pending", 2, 0, {
            "who": BOB, "name": "", "at": "2026-03-05T12:00:10Z", "comment": "",
            "objection": "excluded by excludedApprovers",
        }),
        ("12:00:20", "approval", "pending", 1, 1, {
            "who": BOB.replace("bob", "carol"), "name": "", "at": "2026-03-05T12:00:20Z", "comment": "",
            "objection": "",
        }),
        ("12:00:30", "rejection", "rejected", 0, 1, {
            "who": BOB.replace("bob", "carol"), "name": "", "at": "2026-03-05T12:00:30Z", "comment": "",
            "objection": "",
        }),
        ("12:00:30", "rejected", "rejected", 0, 1, None),
    ]  # fmt: skip


def test_a_request_that_is_decided_already_ends_at_once(desk: Desk) -> None:
    desk.account.ask()
    desk.writes(NAME, "APPROVED")

    ran = desk.run("watch", NAME, "--json")

    assert (ran.code, [one["change"] for one in ran.events]) == (0, ["found", "approved"])


def test_an_answer_that_was_in_time_and_is_seen_late_still_counts(desk: Desk) -> None:
    desk.account.ask()

    def in_time() -> None:
        desk.clock.move_to(START + timedelta(hours=3))
        desk.writes(NAME, "APPROVED")
        desk.clock.move_to(START + timedelta(hours=5))

    # A look that does not see it yet, at a moment at which it has expired.
    desk.meanwhile = [lambda: desk.passes(hours=4), in_time]

    assert desk.run("watch", "checkout").code == 0


def test_a_request_whose_rules_are_too_long_ends_with_what_the_hook_says(desk: Desk) -> None:
    name = desk.account.ask()
    document = json.loads(desk.texts(name)[0])
    del document["rules"]
    desk.deletes(name)
    desk.account.write(name, json.dumps(document), role="approval-hook")

    def closed() -> None:
        desk.account.write(name, '{"state": "closed", "outcome": "rejected"}', role="approval-hook")

    desk.meanwhile = [nothing, closed]

    ran = desk.run("watch", "checkout")

    assert (ran.code, ran.out.splitlines()) == (
        3,
        [
            f"12:00:00 {ID}: who may decide is too long a list to stand in the request",
            f"12:00:20 {ID}: rejected",
        ],
    )


def test_what_fails_on_the_way_is_told_once_and_looked_at_again(desk: Desk) -> None:
    desk.account.ask()

    def fails() -> None:
        desk.cloud.faults.add(action="ssm:GetParameterHistory", error="ThrottlingException", times=2)
        desk.cloud.faults.add(action="ecs:DescribeServiceDeployments", error="AccessDeniedException")

    desk.meanwhile = [fails, nothing, nothing, nothing, lambda: desk.writes(NAME, "APPROVED")]

    ran = desk.run("watch", NAME)

    assert (ran.code, ran.err.splitlines()) == (
        0,
        [
            f"approvals: ssm:GetParameterHistory on {NAME}: ThrottlingException",
            f"approvals: you may not ecs:DescribeServiceDeployments on {DEPLOYMENT}; "
            "no policy of yours allows it",
        ],
    )


def test_a_request_that_is_yet_to_be_made_is_waited_for(desk: Desk) -> None:
    desk.meanwhile = [nothing, desk.account.ask, lambda: desk.writes(NAME, "APPROVED")]

    assert desk.run("watch", "checkout", "--appears-within", "1m").code == 0


@pytest.mark.parametrize("name", ["checkout", NAME])
def test_a_request_that_is_never_made_is_not_waited_for_longer(desk: Desk, name: str) -> None:
    desk.meanwhile = [nothing] * 100

    ran = desk.run("watch", name, "--appears-within", "1m")

    assert (ran.code, ran.out, len(desk.meanwhile)) == (2, "", 94)


def test_what_means_several_is_not_waited_for(desk: Desk) -> None:
    desk.account.ask()
    desk.account.ask(desk.account.deployed(cluster="media", id_="Zz9sT2uV9wX4yZ1aB6cD3"))

    ran = desk.run("watch", "checkout", "--appears-within", "1m")

    assert (ran.code, "name one:" in ran.err) == (2, True)

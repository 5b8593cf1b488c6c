"""docs/approvals-command.md: what stands there is what is seen, to the letter."""

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta

import pytest

from hooks.manual_approval.cli.arguments import parser
from hooks.manual_approval.cli.codes import EXPLAINED
from rehearsal.model import ServiceDeployment, Status
from tests.hooks.manual_approval.approvals_desk import (
    ENTRY,
    LATER,
    NAME,
    PAGE,
    PAUSE,
    Desk,
    evidence,
    in_full,
    opened,
)
from tests.hooks.manual_approval.console.under_way import active, rules
from tests.shared.checkout import DEPLOYMENT, deploy

SAMPLES = dict(
    re.findall(r"^```\n\$ approvals ([^\n]+)\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
)


def words(command: str) -> list[str]:
    """Take a command apart as a shell does."""
    return [quoted or word for quoted, word in re.findall(r'"([^"]*)"|(\S+)', command)]


def load_tested(desk: Desk) -> None:
    evidence(desk, "load_test", verdict={"answer": "proceed", "reason": "green holds 200 requests a second"})


def half_approved(desk: Desk) -> None:
    load_tested(desk)
    desk.account.ask(rules=rules(required=2, excluded=("arn:aws:iam::123456789012:role/deploy",)))
    desk.passes(minutes=10)
    desk.writes(NAME, '{"state": "approved", "comment": "tried the cart"}')


def several(desk: Desk) -> None:
    desk.account.ask()
    web = desk.account.deployed("web", id_="Zz9wX4yZ1aB6cD3eF5gH7")
    desk.account.ask(web, part="step-from-10", rules=rules(expires_after=timedelta(hours=21)))
    mail = desk.account.deployed(
        "mail", "media", "b2C3d4E5f6G7h8J9k1L2m", hook_runs=[active(PAUSE, expires_at=LATER)]
    )
    desk.account.ask(mail, part=PAUSE)


def asked(desk: Desk) -> None:
    load_tested(desk)
    desk.account.ask()


def stoppable(desk: Desk) -> None:
    def stop(deployment: ServiceDeployment, _: str) -> None:
        deployment.status = Status.ROLLBACK_REQUESTED

    desk.cloud.control_plane.on_stop = stop
    desk.account.ask()


def changing(desk: Desk) -> None:
    desk.account.ask()
    web = desk.account.deployed("web", id_="Zz9wX4yZ1aB6cD3eF5gH7")
    desk.meanwhile = [
        lambda: desk.account.ask(web),
        lambda: None,
        lambda: desk.run("extend", "checkout", "--by", "1h"),
        lambda: desk.writes(NAME, '{"state": "rejected", "comment": "the cart is empty"}'),
        lambda: deploy(desk.cloud, status=Status.ROLLBACK_SUCCESSFUL),
    ]


def being_decided(desk: Desk) -> None:
    desk.account.ask(rules=rules(required=2))
    desk.meanwhile = [
        lambda: desk.writes(NAME, '{"state": "approved", "comment": "tried the cart"}'),
        lambda: None,
        lambda: desk.writes(NAME, "APPROVED", who="carol"),
    ]


def past(desk: Desk) -> None:
    desk.archives(ENTRY)


SCENES: Mapping[str, tuple[Callable[[Desk], None], str]] = {
    "list": (several, ""),
    "show": (half_approved, ""),
    "approve": (half_approved, "y\n"),
    "reject": (asked, ""),
    "extend": (asked, ""),
    "stop": (stoppable, "checkout\n"),
    "watch": (changing, ""),
    "watch checkout": (being_decided, ""),
    "history": (past, ""),
}
"""What there is when a command is run, by its beginning, and what is typed then."""


@pytest.mark.parametrize("command", SAMPLES)
def test_what_the_page_shows_is_what_is_seen(command: str) -> None:
    scene, typed = next(
        SCENES[beginning] for beginning in sorted(SCENES, reverse=True) if command.startswith(beginning)
    )
    with opened() as desk:
        deploy(desk.cloud, hook_runs=[active(expires_at=LATER)])
        scene(desk)

        ran = desk.run(
            *words(command),
            typed=typed,
            columns=None if command.startswith("watch") else 80,
            together=True,
        )

    assert ran.out == SAMPLES[command]


def keys(document: object) -> Iterator[str]:
    """Yield every key of a document, but for those of the rules, which are the hook's."""
    if isinstance(document, list):
        for one in document:
            yield from keys(one)
    elif isinstance(document, dict):
        for key, value in document.items():
            yield key
            yield from () if key == "rules" else keys(value)


def test_the_page_names_every_key_of_json() -> None:
    with opened() as desk:
        deploy(desk.cloud, hook_runs=[active(expires_at=LATER)])
        in_full(desk)
        desk.archives(ENTRY)
        desk.meanwhile = [lambda: desk.writes(NAME, "APPROVED", who="carol")]
        watched = desk.run("watch", "checkout", "--json").events
        commands = (
            ("list",), ("show", "checkout"), ("history",), ("approve", "checkout", "--yes"),
            ("stop", str(DEPLOYMENT), "--yes"),
        )  # fmt: skip
        documents = [desk.run(*command, "--json").json for command in commands]
        listed = desk.run("watch", "--json").events
    page = PAGE.read_text()

    assert sorted({key for key in keys([*documents, watched, listed]) if f"`{key}`" not in page}) == []


def test_the_page_shows_every_command_and_the_exit_codes_of_the_help() -> None:
    codes = dict(re.findall(r"^\| (\d+) \| (.+?) \|$", PAGE.read_text(), re.MULTILINE))

    assert sorted({command.split()[0] for command in SAMPLES}) == sorted(
        ["list", "show", "approve", "reject", "extend", "stop", "watch", "history"]
    )
    assert all(parser().parse_args(words(command)).run for command in SAMPLES)
    assert codes.keys() == set(re.findall(r"^  (\d+) ", EXPLAINED, re.MULTILINE))

"""Writes every page of the console in every state into a folder, for looking at; tests take the same states.

::

    python -m tests.hooks.manual_approval.console.preview FOLDER

Links to style and icon lead into the folder, so that the pages can be opened as files.
"""

import json
import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from hooks.manual_approval.approvers import Electorate, Person
from hooks.manual_approval.archive import Entry, PastAnswer
from hooks.manual_approval.console import pages
from hooks.manual_approval.console.dossier import answers_in
from hooks.manual_approval.console.views import (
    Choices,
    Difference,
    Dossier,
    Evidence,
    History,
    ImageChange,
    Overview,
    TestAccess,
    Viewer,
    Waiting,
)
from hooks.manual_approval.proceeding import Askers, proceeding_of
from hooks.manual_approval.request import (
    Kind,
    Telling,
    Version,
    parameter_name,
    write_answer,
    write_closing,
    write_mark,
)
from hooks.manual_approval.rules import Rules
from shared.clock import timestamp
from shared.lifecycle import ServiceDeploymentArn

NOW = datetime(2026, 3, 5, 14, 10, tzinfo=UTC)
ASKED = NOW - timedelta(hours=1, minutes=58)
ACCOUNT = "123456789012"
DEPLOYMENT = ServiceDeploymentArn("aws", "eu-west-1", ACCOUNT, "shop", "checkout", "qR7sT2uV9wX4yZ1aB6cD3")
PAUSE = "ecs-pause-e7tK9G_WRJqNF_EOMjztDXfKenlJuEUVjsNStf4WLKw"
ISSUER = "https://login.example.com"
HOOK = f"arn:aws:sts::{ACCOUNT}:assumed-role/approval-hook/checkout"
PAUSE_HOOK = f"arn:aws:sts::{ACCOUNT}:assumed-role/approval-pause/pause"
CONSOLE = f"arn:aws:sts::{ACCOUNT}:assumed-role/approval-console/web"
ASKERS = Askers(HOOK, PAUSE_HOOK)
ALICE = Person(f"{ISSUER}#alice".replace("https", "oidc:https", 1), (), "Alice")
BOB = f"arn:aws:sts::{ACCOUNT}:assumed-role/AWSReservedSSO_ReleaseManager_0123456789abcdef/bob"
CAROL = f"arn:aws:iam::{ACCOUNT}:user/people/carol"
BLUE_DIGEST = "sha256:30a2f1c7" + "0" * 56
GREEN_DIGEST = "sha256:4b0ea2bbb1a1" + "7" * 52

VIEWER = Viewer("Alice", ALICE.identity, lambda path: f"token-of-{len(path)}")
MAY = Choices("", has_approved=False, extend_to=(), may_stop=False)


def rules(required: int = 2, **changes: Any) -> Rules:
    electorate = Electorate(
        allowed=(
            (
                f"arn:aws:iam::{ACCOUNT}:role/release-manager",
                "arn:*:sts::*:assumed-role/AWSReservedSSO_ReleaseManager_*",
                f"oidc-group:{ISSUER}#releases",
            ),
            ("*",),
        ),
        excluded=(f"arn:aws:iam::{ACCOUNT}:role/deploy",),
        personal_sessions=("arn:*:sts::*:assumed-role/AWSReservedSSO_*",),
        console=CONSOLE,
    )
    made = Rules(
        required, electorate, timedelta(hours=5, minutes=10), timedelta(hours=23, minutes=59), "refuse"
    )
    return replace(made, **changes)


def request_text(stage: str, ruled: Rules | None, pause: str = "", deployment: Any = DEPLOYMENT) -> str:
    document: dict[str, Any] = {
        "schema": 1,
        "state": "pending",
        "deployment": str(deployment),
        "stage": stage,
    }
    if ruled is not None:
        document["rules"] = ruled.document()
    if pause:
        document["pause"] = pause
    return json.dumps(document)


def answered(
    kind: Kind, comment: str = "", person: Person | None = None, until: datetime | None = None
) -> str:
    return write_answer(
        kind, comment=comment, deployment=DEPLOYMENT, answers=1, person=person, expires_at=until
    )


def dossier(
    *answers: tuple[timedelta, str, str],
    stage: str = "POST_TEST_TRAFFIC_SHIFT",
    part: str = "",
    ruled: Rules | None = None,
    without_rules: bool = False,
    now: datetime = NOW,
    **changes: Any,
) -> Dossier:
    """Make a request and its answers.

    Parameters
    ----------
    answers
        When after the request, by whom, and the text.
    """
    ruled = None if without_rules else ruled or rules()
    asker = ASKERS.of(part)
    pause = part if part.startswith("ecs-pause-") else ""
    text = request_text(stage, ruled, pause)
    mark = Telling("request", done=True, channels=("topic", "webhook"))
    history = [
        Version(1, ASKED, asker, text),
        Version(2, ASKED + timedelta(seconds=4), asker, write_mark(text, mark)),
    ]
    history += [
        Version(3 + index, ASKED + after, by, said) for index, (after, by, said) in enumerate(answers)
    ]
    name = parameter_name("/ecs-approvals", DEPLOYMENT, part)
    proceeding = proceeding_of(name, DEPLOYMENT, part, history, ASKERS, now)
    made = Dossier(
        proceeding=proceeding,
        deployment_status="IN_PROGRESS",
        lifecycle_stage=stage,
        strategy="BLUE_GREEN",
        is_waiting=True,
        ecs_deadline=ASKED + timedelta(hours=24),
        images=(
            ImageChange(
                "app",
                f"{ACCOUNT}.dkr.ecr.eu-west-1.amazonaws.com/shop/checkout:41",
                BLUE_DIGEST,
                f"{ACCOUNT}.dkr.ecr.eu-west-1.amazonaws.com/shop/checkout:42",
                GREEN_DIGEST,
            ),
            ImageChange(
                "proxy", "public.ecr.aws/envoy:v1.33", BLUE_DIGEST, "public.ecr.aws/envoy:v1.33", BLUE_DIGEST
            ),
        ),
        differences=(
            Difference("app", "environment LOG_LEVEL", "(not shown)", "(not shown)"),
            Difference("app", "environment NEW_BASKET", "", "(not shown)"),
            Difference("app", "secret DB_PASSWORD", "parameter /shop/db", "secret shop/db-AbCdEf"),
            Difference("app", "memory", "512", "1024"),
            Difference("task", "cpu", "256", "512"),
        ),
        evidence=EVIDENCE,
        test_access=(
            TestAccess(
                "http://internal-shop.example.com:80/checkout/*", (("X-BG-Test", "on"),), inside=False
            ),
            TestAccess("checkout.shop:8080", (("x-test-traffic", ""),), inside=True),
        ),
        answers=answers_in(proceeding),
        problems=(),
    )
    return replace(made, **changes)


# --------------------------------------------------------------------------------------------- evidence


def _series(name: str, level: float, swing: float, count: int = 30) -> dict[str, Any]:
    points = [
        [
            timestamp(ASKED - timedelta(minutes=count - index)),
            round(level + swing * math.sin(index * 1.3) + swing * math.cos(index * 0.7), 1),
        ]
        for index in range(count)
    ]
    return {"name": name, "points": points}


def _percentiles(name: str, base: float) -> dict[str, Any]:
    percents = (0, 10, 25, 50, 75, 90, 95, 99, 99.9, 99.99)
    return {
        "name": name,
        "points": [[percent, round(base * (1 - math.log10(1 - percent / 100)), 1)] for percent in percents],
    }


EVIDENCE = (
    Evidence(
        "image_trust",
        "PRE_SCALE_UP",
        "",
        ASKED - timedelta(minutes=55),
        "proceed",
        "2 images are signed by github.com/example/shop, and were admitted by rule shop",
        "",
        (),
        (
            {
                "title": "Containers",
                "columns": ["container", "image", "rule", "verdict", "why"],
                "rows": [
                    ["app", "shop/checkout:42", "shop", "pass", "signed by the release workflow"],
                    ["proxy", "envoy:v1.33", "vendors", "exempt", "exempted until 2026-04-01"],
                ],
            },
        ),
    ),
    Evidence(
        "load_test",
        "POST_TEST_TRAFFIC_SHIFT",
        "",
        ASKED + timedelta(minutes=31),
        "proceed",
        "green holds 120 requests a second for 20 minutes: p99 226 ms at most, 0.02 % errors",
        "",
        (
            {
                "title": "p99 latency",
                "unit": "ms",
                "series": [_series("green", 190, 14), _series("blue", 176, 12)],
                "thresholds": [{"name": "1.2 x blue", "value": 226}],
            },
            {
                "title": "latency by percentile",
                "unit": "ms",
                "across": "percentile",
                "series": [_percentiles("green", 62), _percentiles("blue", 58)],
            },
        ),
        (),
    ),
    Evidence(
        "canary_comparison",
        "PRODUCTION_TRAFFIC_SHIFT",
        "10",
        ASKED + timedelta(minutes=40),
        "proceed",
        "two of three metrics are as good as blue's",
        "errors: green 1.4 %, blue 0.3 %",
        (
            {
                "title": "errors",
                "unit": "%",
                "series": [_series("green", 1.2, 0.3), _series("blue", 0.4, 0.1), _series("cart", 0.7, 0.1)],
                "thresholds": [{"name": "limit", "value": 1}],
            },
        ),
        (),
    ),
)

# ------------------------------------------------------------------------------------------------ states

HOUR = timedelta(hours=1)
CONSOLE_APPROVES = (
    timedelta(minutes=52),
    CONSOLE,
    answered(
        Kind.APPROVED,
        "Basket and payment tried with the test header.\nLooks right.",
        replace(ALICE, groups=(f"oidc-group:{ISSUER}#releases",)),
    ),
)
BOB_APPROVES = (timedelta(minutes=70), BOB, answered(Kind.APPROVED))
BOB_REJECTS = (
    timedelta(minutes=70),
    BOB,
    answered(Kind.REJECTED, "The cart loses items when two tabs are open."),
)
CAROL_APPROVES = (timedelta(minutes=12), CAROL, "APPROVED")
BOB_EXTENDS = (timedelta(minutes=60), BOB, answered(Kind.EXTENDED, until=ASKED + 9 * HOUR))
NONSENSE = (timedelta(minutes=20), CAROL, "yes please")
CLOSED = (timedelta(minutes=72), HOOK, write_closing("approved", by=[BOB], comment="", now=NOW))
LATER = (NOW + 5 * HOUR, NOW + 8 * HOUR, ASKED + timedelta(hours=23, minutes=59))

REQUESTS: Mapping[str, Callable[[], tuple[Dossier, Choices, dict[str, str]]]] = {
    "pending": lambda: (
        dossier(CAROL_APPROVES, NONSENSE, BOB_APPROVES),
        replace(MAY, extend_to=LATER, may_stop=True),
        {},
    ),
    "fresh": lambda: (dossier(ruled=rules(1), evidence=()), replace(MAY, extend_to=LATER, may_stop=True), {}),
    "approved-by-me": lambda: (
        dossier(CONSOLE_APPROVES),
        replace(MAY, has_approved=True, may_stop=True),
        {"notice": "Your approval is recorded."},
    ),
    "may-not": lambda: (
        dossier(BOB_APPROVES),
        replace(MAY, why_not="You are not among those whom this service's rules let decide."),
        {},
    ),
    "stale": lambda: (
        dossier(BOB_APPROVES),
        MAY,
        {
            "problem": "Nothing was changed: it was asked anew since this page was opened. "
            "Read it again before you decide.",
            "comment": "Looks right to me.",
        },
    ),
    "soon": lambda: (
        dossier(
            ruled=rules(1, expires_after=timedelta(hours=2, minutes=20)),
            stage="PRE_PRODUCTION_TRAFFIC_SHIFT",
            part="step-from-10",
            strategy="CANARY",
        ),
        replace(MAY, extend_to=LATER[:1]),
        {},
    ),
    "approved": lambda: (
        dossier(CONSOLE_APPROVES, BOB_APPROVES),
        replace(MAY, why_not="It is approved; no further answer changes that."),
        {},
    ),
    "approved-closed": lambda: (
        dossier(
            CONSOLE_APPROVES, BOB_EXTENDS, BOB_APPROVES, CLOSED, is_waiting=False, lifecycle_stage="BAKE_TIME"
        ),
        replace(MAY, why_not="It is approved; no further answer changes that.", may_stop=True),
        {},
    ),
    "rejected": lambda: (
        dossier(CONSOLE_APPROVES, BOB_REJECTS, is_waiting=False, deployment_status="ROLLBACK_IN_PROGRESS"),
        replace(MAY, why_not="It is rejected; no further answer changes that."),
        {},
    ),
    "expired": lambda: (
        dossier(CONSOLE_APPROVES, ruled=rules(expires_after=timedelta(minutes=90))),
        replace(MAY, why_not="It has expired before enough people decided."),
        {},
    ),
    "ended": lambda: (
        dossier(BOB_APPROVES, is_waiting=False, deployment_status="ROLLBACK_SUCCESSFUL", lifecycle_stage=""),
        replace(MAY, why_not="The deployment waits no longer: it is ROLLBACK_SUCCESSFUL."),
        {},
    ),
    "turning-back": lambda: (
        dossier(is_waiting=False, deployment_status="ROLLBACK_IN_PROGRESS"),
        replace(MAY, why_not="The deployment waits no longer."),
        {"notice": "ECS is told to stop this deployment and roll it back."},
    ),
    "past": lambda: (dossier(is_waiting=False), replace(MAY, why_not="ECS no longer waits for this."), {}),
    "not-known": lambda: (
        dossier(
            is_waiting=False,
            deployment_status="",
            lifecycle_stage="",
            strategy="",
            images=(),
            differences=(),
            evidence=(),
            test_access=(),
            ecs_deadline=None,
            problems=(
                "ecs:DescribeServiceDeployments on shop: ThrottlingException",
                "Findings of other hooks could not be listed: AccessDenied",
            ),
        ),
        replace(MAY, why_not="Whether the deployment still waits is not known. Try again."),
        {},
    ),
    "without-rules": lambda: (
        dossier(BOB_APPROVES, without_rules=True),
        replace(MAY, why_not="Who may decide is too long a list to stand in the request."),
        {},
    ),
    "first": lambda: (
        dossier(
            is_first=True,
            differences=(),
            images=(ImageChange("app", "", "", "shop/checkout:1", ""),),
            test_access=(),
        ),
        MAY,
        {},
    ),
    "pause": lambda: (
        dossier(part=PAUSE, stage="POST_PRODUCTION_TRAFFIC_SHIFT", ruled=rules(1)),
        replace(MAY, may_stop=True),
        {},
    ),
    "pause-elsewhere": lambda: (
        dossier(part=PAUSE, stage="POST_SCALE_UP", is_waiting=False),
        replace(MAY, why_not="ECS no longer waits for this."),
        {},
    ),
    "fails-open": lambda: (dossier(ruled=rules(3, on_expiry="proceed")), MAY, {}),
}

_SERVICES = (
    "checkout",
    "catalog",
    "notifications",
    "streaming",
    "search",
    "payments-and-refunds",
    "recommendations",
)
_STAGES = (
    ("POST_TEST_TRAFFIC_SHIFT", ""),
    ("PRE_PRODUCTION_TRAFFIC_SHIFT", "10"),
    ("PRE_PRODUCTION_TRAFFIC_SHIFT", "0"),
    ("POST_SCALE_UP", ""),
)


def waiting(index: int, **changes: Any) -> Waiting:
    """Return one line of the list, each a little different."""
    service = _SERVICES[index % len(_SERVICES)]
    deployment = replace(
        DEPLOYMENT,
        service=service,
        cluster="shop" if index % 3 else "media-production",
        id=f"qR7sT2uV9wX4yZ1aB6c{index:02}",
    )
    stage, step = _STAGES[index % len(_STAGES)]
    is_pause = stage == "POST_SCALE_UP"
    part = PAUSE if is_pause else f"step-from-{step}" if step else ""
    images = (f"shop/{service}:{40 + index}@4b0ea2bbb1a1", "envoy:v1.33", "fluent-bit:3.2")[: 1 + index % 3]
    made = Waiting(
        deployment=deployment,
        part=part,
        path=pages.request_path(deployment, part),
        stage=stage,
        step=step,
        is_pause=is_pause,
        images=images,
        asked_at=ASKED,
        expires_at=NOW + timedelta(minutes=25 + 47 * index),
        state="pending",
        deployment_status="IN_PROGRESS",
    )
    return replace(made, **changes)


def overview(count: int, **changes: Any) -> Overview:
    return replace(
        Overview(tuple(waiting(index) for index in range(count)), (), left_out=False, problems=()), **changes
    )


def entry(index: int, **changes: Any) -> Entry:
    """Return one past request, each a little different."""
    outcome, status = (
        ("approved", "SUCCESSFUL"),
        ("rejected", "ROLLBACK_SUCCESSFUL"),
        ("expired", "ROLLBACK_SUCCESSFUL"),
        ("undecided", ""),
    )[index % 4]
    at = NOW - timedelta(hours=2 + index)
    said = {
        "approved": (
            PastAnswer("approved", ALICE.identity, ALICE.name, at, "Tried with the test header."),
            PastAnswer("extended", CAROL, "", at, ""),
            PastAnswer("approved", BOB, "", at, ""),
        ),
        "rejected": (PastAnswer("rejected", BOB, "", at, "The cart loses items when two tabs are open."),),
    }.get(outcome, ())
    line = waiting(index)
    made = Entry(
        deployment=line.deployment,
        part=line.part,
        stage=line.stage,
        outcome=outcome,
        deployment_status=status,
        asked_at=at - timedelta(hours=1),
        ended_at=at + timedelta(minutes=20),
        required=2,
        answers=said,
        images=line.images,
    )
    return replace(made, **changes)


def history(count: int, **changes: Any) -> History:
    made = History(
        day=NOW.date(),
        entries=tuple(entry(index) for index in range(count)),
        earlier=date(2026, 3, 3),
        later=None,
        left_out=False,
    )
    return replace(made, **changes)


def all_pages() -> dict[str, str]:
    """Return every page in every state, by a name for it."""
    drawn = {
        "pending": pages.overview_page(overview(7), VIEWER, NOW),
        "pending-100": pages.overview_page(overview(100, left_out=True), VIEWER, NOW),
        "pending-none": pages.overview_page(overview(0), VIEWER, NOW),
        "pending-unread": pages.overview_page(
            overview(0, problems=("ssm:GetParametersByPath on /ecs-approvals: AccessDenied",)), VIEWER, NOW
        ),
        "pending-others": pages.overview_page(
            overview(
                2,
                others=(
                    waiting(2, state="decided"),
                    waiting(3, state="ended", deployment_status="ROLLBACK_SUCCESSFUL"),
                    waiting(4, state="ended", deployment_status="", images=()),
                ),
                problems=("ssm:GetParametersByPath on /ecs-approvals: ThrottlingException",),
            ),
            VIEWER,
            NOW,
        ),
        "history": pages.history_page(history(6), VIEWER, NOW),
        "history-none": pages.history_page(
            history(0, day=date(2026, 3, 3), earlier=None, later=date(2026, 3, 5), left_out=True), VIEWER, NOW
        ),
        "sign-in": pages.signed_out_page("/requests/shop/checkout/qR7sT2uV9wX4yZ1aB6cD3"),
        "signed-out": pages.signed_out_page("/"),
    }
    for name, make in REQUESTS.items():
        made, choices, said = make()
        drawn[f"request-{name}"] = pages.request_page(made, choices, VIEWER, NOW, **said)
    for status, title, text in ERRORS:
        drawn[f"error-{status}"] = pages.error_page(status, title, text, VIEWER)
    drawn["error-signed-out"] = pages.error_page(
        403, "You are not signed in", "The sign-in took too long.", None
    )
    return drawn


ERRORS = (
    (403, "Not yours to decide", "You may see this service, and not decide."),
    (404, "Nothing here", "There is no such page or request, or it is not yours to see."),
    (409, "Nothing to stop", "The deployment has ended already."),
    (429, "Too many requests", "This console answers a few requests a second."),
    (503, "Try again", "AWS does not answer right now. Try again in a moment."),
)


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "style.css").write_text(pages.STYLE, "utf-8")
    (folder / "icon.svg").write_text(pages.ICON, "utf-8")
    for name, text in all_pages().items():
        local = text.replace(pages.STYLE_URL, "style.css").replace(pages.ICON_URL, "icon.svg")
        (folder / f"{name}.html").write_text(local, "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

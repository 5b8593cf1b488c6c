"""What the list shows, out of how many calls."""

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from hooks.manual_approval.console.overview import read_overview
from hooks.manual_approval.console.views import Overview, Waiting
from hooks.manual_approval.proceeding import Askers
from hooks.manual_approval.request import parameter_name
from rehearsal.model import HookStatus, Status
from shared.errors import HookError
from tests.hooks.manual_approval.console.under_way import (
    ASKERS,
    PREFIX,
    RULES,
    Account,
    active,
    counting,
    looking,
)
from tests.shared.checkout import DEPLOYMENT, POST_TEST, START

PAUSE = "ecs-pause-0a1b2c"
EXPIRY = START + RULES.expires_after
WAITING = Waiting(
    deployment=DEPLOYMENT,
    part="",
    path="/requests/shop/checkout/qR7sT2uV9wX4yZ1aB6cD3",
    stage=POST_TEST,
    step="",
    is_pause=False,
    images=("shop/checkout:42",),
    asked_at=START,
    expires_at=EXPIRY,
    state="pending",
    deployment_status="IN_PROGRESS",
)


@pytest.fixture
def account() -> Iterator[Account]:
    with looking() as account:
        yield account


def listed(account: Account, **changes: Any) -> Overview:
    return read_overview(
        **{"prefix": PREFIX, "askers": ASKERS, "now": account.now, "may_view": lambda *_: True, **changes}
    )


def states(overview: Overview) -> list[tuple[str, str]]:
    lines = (*overview.waiting, *overview.others)
    return [(f"{line.deployment.service}/{line.part}".rstrip("/"), line.state) for line in lines]


def test_a_request_is_told_by_what_ecs_says_of_its_deployment(account: Account) -> None:
    account.ask(account.deployed())

    assert listed(account) == Overview(waiting=(WAITING,), others=(), left_out=False, problems=())


def test_a_hundred_requests_take_twenty_one_calls(account: Account) -> None:
    for number in range(100):
        account.ask(account.deployed(f"service-{number:03}"))
    listed(account)  # once for the identity, which is kept

    with counting(account.cloud) as calls:
        overview = listed(account)

    assert Counter(calls) == {
        # The tenth page is full, so there is an eleventh to ask for.
        "ssm:GetParametersByPath": 11,
        "ecs:DescribeServiceDeployments": 5,
        "ecs:DescribeServiceRevisions": 5,
    }
    assert len(overview.waiting) == 100
    assert all(line.images == (f"shop/{line.deployment.service}:42",) for line in overview.waiting)


def test_several_requests_of_a_deployment_look_it_up_once(account: Account) -> None:
    arn = account.deployed()
    for part in ("", "step-from-0", "step-from-12.5"):
        account.ask(arn, part)

    with counting(account.cloud) as calls:
        overview = listed(account)

    assert Counter(calls)["ecs:DescribeServiceDeployments"] == 1
    assert [(line.part, line.step) for line in overview.waiting] == [
        ("", ""),
        ("step-from-0", "0"),
        ("step-from-12.5", "12.5"),
    ]
    assert overview.waiting[2].path == f"{WAITING.path}/step-from-12.5"


def test_those_that_expire_first_come_first(account: Account) -> None:
    soon = account.deployed("soon", hook_runs=[active(PAUSE, expires_at=START + timedelta(minutes=3))])
    account.ask(account.deployed("later"))
    account.ask(soon, PAUSE)
    # An answer stands there now, which does not say when the request expires.
    account.write(account.ask(account.deployed("answered")), "APPROVED")

    overview = listed(account)

    assert states(overview) == [(f"soon/{PAUSE}", "pending"), ("later", "pending"), ("answered", "pending")]
    assert [line.expires_at for line in overview.waiting] == [START + timedelta(minutes=3), EXPIRY, None]
    # Where the text does not say it, ECS says the stage.
    assert overview.waiting[2].stage == POST_TEST


@pytest.mark.parametrize(
    ("text", "state"),
    [
        ('{"state": "closed", "outcome": "approved"}', "decided"),
        ('{"state": "pending", "expiresAt": "2026-03-05T12:00:00Z"}', "decided"),
        ('{"state": "pending", "expiresAt": "2026-03-05T12:00:01Z"}', "pending"),
        ('{"state": "extended", "expiresAt": "2026-03-05T11:00:00Z"}', "decided"),
        ('{"state": "rejected"}', "pending"),
        ("REJECTED", "pending"),
        ('{"state": "pending", "expiresAt": 7, "requestedAt": {}}', "pending"),
        ("[1]", "pending"),
        ("LGTM", "pending"),
        ("[" * 4000, "pending"),
    ],
)
def test_whatever_stands_in_a_text_it_is_shown_and_decides_nothing_else(
    account: Account, text: str, state: str
) -> None:
    account.write(account.ask(account.deployed()), text)

    assert states(listed(account)) == [("checkout", state)]


@pytest.mark.parametrize("status", [status for status in Status if status is not Status.IN_PROGRESS])
def test_a_request_ends_with_its_deployment(account: Account, status: Status) -> None:
    account.ask(account.deployed(status=status))

    assert [(line.state, line.deployment_status) for line in listed(account).others] == [("ended", status)]


def test_a_deployment_that_ecs_does_not_know_is_over(account: Account) -> None:
    account.ask()

    assert [(line.state, line.deployment_status) for line in listed(account).others] == [("ended", "")]


@pytest.mark.parametrize(
    ("hook", "status", "state"),
    [
        (PAUSE, HookStatus.AWAITING_ACTION, "pending"),
        ("ecs-pause-other", HookStatus.AWAITING_ACTION, "decided"),
        (PAUSE, HookStatus.IN_PROGRESS, "decided"),
    ],
)
def test_of_a_pause_hook_ecs_says_whether_it_waits(
    account: Account, hook: str, status: HookStatus, state: str
) -> None:
    run = active(hook, expires_at=START + timedelta(days=13), status=status)
    account.ask(account.deployed(hook_runs=[run]), PAUSE)

    assert states(listed(account)) == [(f"checkout/{PAUSE}", state)]


def test_where_nobody_asks_for_pause_hooks_nothing_under_their_names_is_a_request(account: Account) -> None:
    run = active(PAUSE, expires_at=START + timedelta(days=13))
    account.ask(account.deployed(hook_runs=[run]), PAUSE)

    assert states(listed(account, askers=Askers(ASKERS.hook))) == []


def test_what_somebody_may_not_see_is_not_even_looked_up(account: Account) -> None:
    account.ask(account.deployed("checkout"))
    account.ask(account.deployed("payroll", "finance"))

    with account.cloud.recording() as calls:
        overview = listed(
            account, may_view=lambda cluster, service: (cluster, service) == ("shop", "checkout")
        )

    assert states(overview) == [("checkout", "pending")]
    assert not [call for call in calls if "payroll" in call.resource]


def test_names_that_are_no_requests_are_ignored(account: Account) -> None:
    account.ask(account.deployed())
    for name in (
        "notes",
        "shop/checkout",
        "shop/checkout/qR7sT2uV9wX4yZ1aB6cD3/step-from-",
        "shop/checkout/qR7sT2uV9wX4yZ1aB6cD3/ecs-lambda-1",
        "shop/checkout/qR7sT2uV9wX4yZ1aB6cD3/step-from-10/further",
        "shop/check.out/qR7sT2uV9wX4yZ1aB6cD3",
    ):
        account.write(f"{PREFIX}/{name}", '{"state": "pending"}')
    account.write(f"{PREFIX}-history/2026-03-02/shop/checkout/x", '{"state": "pending"}')
    account.write("/ecs-approvals-of-others/shop/checkout/qR7sT2uV9wX4yZ1aB6cD3", '{"state": "pending"}')

    assert states(listed(account)) == [("checkout", "pending")]


def test_more_than_fifty_pages_are_not_read(account: Account) -> None:
    for number in range(501):
        account.cloud.parameters.write_earlier(
            f"{PREFIX}/shop/service-{number}/qR7sT2uV9wX4yZ1aB6cD3", "APPROVED", START
        )

    with counting(account.cloud) as calls:
        overview = listed(account)

    assert overview.left_out
    assert len(overview.others) == 500
    assert Counter(calls)["ssm:GetParametersByPath"] == 50
    assert Counter(calls)["ecs:DescribeServiceDeployments"] == 25


def test_what_fits_on_fifty_pages_is_all_there(account: Account) -> None:
    for number in range(499):
        account.cloud.parameters.write_earlier(
            f"{PREFIX}/shop/service-{number}/qR7sT2uV9wX4yZ1aB6cD3", "APPROVED", START
        )

    overview = listed(account)

    assert (len(overview.others), overview.left_out) == (499, False)


def test_what_is_throttled_is_said_and_the_rest_is_shown(account: Account) -> None:
    for number in range(40):
        account.ask(account.deployed(f"service-{number:02}"))
    account.cloud.faults.add(action="ecs:DescribeServiceDeployments", error="ThrottlingException", times=1)

    overview = listed(account)

    # Nobody knows whether those still wait, so they are not hidden among what is over.
    assert len(overview.waiting) == 40
    assert sorted(Counter(line.deployment_status for line in overview.waiting).items()) == [
        ("", 20),
        ("IN_PROGRESS", 20),
    ]
    assert overview.problems == (
        "Some of these may be over, for ECS did not say: ecs:DescribeServiceDeployments on 20 deployments: "
        "ThrottlingException",
    )


def test_of_requests_that_ecs_could_not_be_asked_about_the_closed_ones_are_over_all_the_same(
    account: Account,
) -> None:
    account.write(account.ask(account.deployed()), '{"state": "closed", "outcome": "approved"}')
    account.ask(account.deployed("payments"), PAUSE)
    account.cloud.faults.add(action="ecs:DescribeServiceDeployments", error="AccessDeniedException")

    overview = listed(account)

    assert states(overview) == [(f"payments/{PAUSE}", "pending"), ("checkout", "decided")]
    assert overview.problems == (
        "Some of these may be over, for ECS did not say: the function's role may not "
        "ecs:DescribeServiceDeployments on 2 deployments; add it to the role's policy",
    )


def test_without_images_a_request_is_shown_all_the_same(account: Account) -> None:
    account.ask(account.deployed())
    account.cloud.faults.add(action="ecs:DescribeServiceRevisions", error="ServerException", status=500)

    overview = listed(account)

    assert [(line.state, line.images) for line in overview.waiting] == [("pending", ())]
    assert overview.problems == (
        "What some of these run could not be read: ecs:DescribeServiceRevisions on one deployment: "
        "ServerException",
    )


def test_a_page_that_fails_leaves_those_before_it(account: Account) -> None:
    for number in range(15):
        account.ask(account.deployed(f"service-{number:02}"))
    pages: list[str] = []

    def second_page_fails(call: Any, _identity: str) -> Exception | None:
        from rehearsal.aws.call import AwsError

        pages.append(call.operation)
        return AwsError("ThrottlingException", "Rate exceeded") if len(pages) == 2 else None

    account.cloud.faults.add(action="ssm:GetParametersByPath", make=second_page_fails)

    overview = listed(account)

    assert len(overview.waiting) == 10
    assert overview.left_out
    assert overview.problems == (
        "Not all requests could be listed: ssm:GetParametersByPath on /ecs-approvals: ThrottlingException",
    )


def test_without_an_identity_there_is_no_list(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> str:
        raise HookError("sts is down")

    monkeypatch.setattr("hooks.manual_approval.console.listing.own_identity", fails)

    with pytest.raises(HookError, match="sts is down"):
        listed(account)


@pytest.mark.parametrize(
    ("image", "shown"),
    [
        ("123456789012.dkr.ecr.us-east-1.amazonaws.com/shop/checkout:42", "shop/checkout:42"),
        (
            f"123456789012.dkr.ecr.us-east-1.amazonaws.com/shop/checkout:42@sha256:{'0123456789abcdef' * 4}",
            "shop/checkout:42@sha256:0123456789ab",
        ),
        # Another account's registry, or another Region's, is not what is to be expected.
        (
            "210987654321.dkr.ecr.us-east-1.amazonaws.com/shop/checkout:42",
            "210987654321.dkr.ecr.us-east-1.amazonaws.com/shop/checkout:42",
        ),
        ("ghcr.io/shop/checkout:42", "ghcr.io/shop/checkout:42"),
        ("evil.example/123456789012.dkr.ecr.us-east-1.amazonaws.com/x:1",) * 2,
        (f"{'x' * 200}/checkout:42", f"…{'x' * 87}/checkout:42"),
    ],
)
def test_an_image_is_shortened_to_what_tells_releases_apart(account: Account, image: str, shown: str) -> None:
    arn = account.deployed()
    revision = next(iter(account.cloud.control_plane.revisions.values()))
    revision.container_images[0].image = image
    account.ask(arn)

    assert listed(account).waiting[0].images == (shown,)


def test_the_text_of_a_request_says_when_it_was_asked(account: Account) -> None:
    account.deployed()
    account.write(
        parameter_name(PREFIX, DEPLOYMENT),
        '{"state": "pending", "requestedAt": "2026-03-05T09:30:00+02:00", "stage": "POST_SCALE_UP"}',
    )

    line = listed(account).waiting[0]

    assert (line.asked_at, line.expires_at, line.stage) == (
        START - timedelta(hours=4.5),
        None,
        "POST_SCALE_UP",
    )

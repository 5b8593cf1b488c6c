"""How requests are named: whatever is listed can be named as it is listed, and nothing is guessed."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hooks.manual_approval.cli.account import Account
from hooks.manual_approval.cli.naming import Named, Unnamed, find, short_names
from hooks.manual_approval.console.views import Overview, Waiting
from hooks.manual_approval.proceeding import Askers
from shared.lifecycle import ServiceDeploymentArn

ACCOUNT = Account(
    prefix="/ecs-approvals",
    identity="arn:aws:iam::123456789012:user/alice",
    region="us-east-1",
    askers=Askers("arn:aws:iam::123456789012:role/hook"),
)


def waiting(cluster: str, service: str, id_: str, part: str = "", state: str = "pending") -> Waiting:
    deployment = ServiceDeploymentArn("aws", "us-east-1", "123456789012", cluster, service, id_)
    is_pause = part.startswith("ecs-pause-")
    return Waiting(deployment, part, "", "", "", is_pause, (), None, None, state, "IN_PROGRESS")


def overview(requests: Sequence[Waiting], *, left_out: bool = False) -> Overview:
    return Overview(
        waiting=tuple(request for request in requests if request.state == "pending"),
        others=tuple(request for request in requests if request.state != "pending"),
        left_out=left_out,
        problems=(),
    )


def found(name: str, requests: Sequence[Waiting], *, left_out: bool = False) -> str:
    try:
        return str(find(name, overview(requests, left_out=left_out), ACCOUNT))
    except Unnamed as error:
        return f"{len(error.candidates)} of them"


REQUESTS = (
    waiting("shop", "checkout", "aaaa1111"),
    waiting("shop", "checkout", "bbbb2222", "step-from-0", "decided"),
    waiting("shop", "checkout", "bbbb2222", "step-from-10", "decided"),
    waiting("shop", "web", "aaab3333", "step-from-1"),
    waiting("shop", "web", "aaab3333", "step-from-10"),
    waiting("shop", "web", "aaab3333", "ecs-pause-e7tK"),
    waiting("media", "web", "cccc4444"),
    waiting("media", "mail", "dddd5555", "", "ended"),
    waiting("media", "aaaa", "eeee6666"),
    waiting("media", "both", "ffff7777"),
    waiting("media", "both", "ffff7777", "ecs-pause-1"),
)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        # Of what is pending and what is decided, what is pending is meant.
        ("checkout", "shop/checkout/aaaa1111"),
        ("shop/checkout", "shop/checkout/aaaa1111"),
        ("mail", "media/mail/dddd5555"),
        ("dddd", "media/mail/dddd5555"),
        ("bbbb2222", "2 of them"),
        ("bbbb2222/step-from-0", "shop/checkout/bbbb2222/step-from-0"),
        # A service that is called like the start of a deployment's id.
        ("aaaa", "2 of them"),
        ("aaaa1", "shop/checkout/aaaa1111"),
        ("media/aaaa", "media/aaaa/eeee6666"),
        ("aaaa/eeee", "media/aaaa/eeee6666"),
        # A step is not the start of another; the id of a PAUSE hook may be cut short.
        ("web", "4 of them"),
        ("shop/web", "3 of them"),
        ("web/step-from-1", "shop/web/aaab3333/step-from-1"),
        ("aaab/step-from-10", "shop/web/aaab3333/step-from-10"),
        ("web/ecs-pause-e", "shop/web/aaab3333/ecs-pause-e7tK"),
        ("ecs-pause-e7tK", "shop/web/aaab3333/ecs-pause-e7tK"),
        ("step-from-", "0 of them"),
        ("shop/web/aaab3333/step-from-1", "shop/web/aaab3333/step-from-1"),
        ("shop/web/aaab3333/step-from-1/", "shop/web/aaab3333/step-from-1"),
        # All of a name is that one, with nothing behind it.
        ("both", "2 of them"),
        ("media/both/ffff", "2 of them"),
        ("media/both/ffff7777", "media/both/ffff7777"),
        ("arn:aws:ecs:us-east-1:123456789012:service-deployment/media/both/ffff7777", "media/both/ffff7777"),
        ("arn:aws:ecs:us-east-1:123456789012:service-deployment/shop/web/aaab3333", "3 of them"),
        # A cluster alone is nobody, and the order is fixed.
        ("shop", "0 of them"),
        ("checkout/shop", "0 of them"),
        ("web/media", "0 of them"),
        ("Checkout", "0 of them"),
    ],
)
def test_what_a_name_means(name: str, meant: str) -> None:
    assert found(name, REQUESTS) == meant


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("checkout", "1 of them"),
        ("shop/checkout", "1 of them"),
        ("shop/checkout/aaaa", "shop/checkout/aaaa1111"),
    ],
)
def test_where_not_all_are_listed_a_name_may_mean_one_that_is_not(name: str, meant: str) -> None:
    assert found(name, REQUESTS, left_out=True) == meant


def test_what_is_not_listed_can_be_named_by_its_parameter() -> None:
    with pytest.raises(Unnamed, match=r"name its parameter, /ecs-approvals/CLUSTER/SERVICE/DEPLOYMENT$"):
        find("mailer", overview(REQUESTS, left_out=True), ACCOUNT)


# ECS's own ids are all of one length, and random.
_ids = st.text("ab", min_size=4, max_size=4).map(lambda text: f"qR7sT2{text}")
_parts = st.sampled_from(
    ["", "step-from-1", "step-from-10", "step-from-12.5", "ecs-pause-aaaaaaaab", "ecs-pause-aaaaaaaac"]
)
_requests = st.lists(
    st.builds(waiting, st.sampled_from(["shop", "media"]), st.sampled_from(["web", "mail"]), _ids, _parts),
    min_size=1,
    max_size=6,
    unique_by=lambda request: (request.deployment.id, request.part),
)


@given(requests=_requests)
def test_whatever_is_listed_is_meant_by_the_name_in_the_list(requests: list[Waiting]) -> None:
    for name, request in zip(short_names(requests), requests, strict=True):
        # A deployment is of one service.
        others = [one for one in requests if one.deployment.id == request.deployment.id]
        if all(one.deployment == request.deployment for one in others):
            named = Named(request.deployment, request.part)
            assert find(name, overview(requests), ACCOUNT) == named
            assert find(str(named), overview(requests, left_out=True), ACCOUNT) == named

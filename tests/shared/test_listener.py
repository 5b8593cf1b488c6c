"""What leads test traffic to green, as Elastic Load Balancing tells it."""

from collections.abc import Iterator

import pytest

from rehearsal.aws.cloud import ACCOUNT, Cloud
from shared.errors import Misconfigured
from shared.listener import entrance_of, listener_of
from shared.revision import Listener
from tests.shared.checkout import GREEN, REGION, deploy

HEAD = f"arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}"
RULE = f"{HEAD}:listener-rule/app/shop/50dc6c495c0c9188/f2f7dc8efc522ab2/9683b2d02a6cabee"
NETWORK_LISTENER = f"{HEAD}:listener/net/shop/50dc6c495c0c9188/f2f7dc8efc522ab2"
OF_RULE = Listener(
    "HTTP",
    8080,
    "shop-123456789.us-east-1.elb.amazonaws.com",
    [
        {"Field": "path-pattern", "Values": ["/*"], "PathPatternConfig": {"Values": ["/*"]}},
        {"Field": "http-header", "HttpHeaderConfig": {"HttpHeaderName": "x-release", "Values": ["green"]}},
    ],
)


@pytest.fixture(autouse=True)
def hook(cloud: Cloud) -> Iterator[None]:
    deploy(cloud)
    cloud.control_plane.revisions[str(GREEN)].load_balancers = [
        {
            "targetGroupArn": f"{HEAD}:targetgroup/a/6d0ecf831eec9f09",
            "advancedConfiguration": {
                "alternateTargetGroupArn": f"{HEAD}:targetgroup/b/73e2d6bc24d8a067",
                "testListenerRule": entrance,
            },
        }
        for entrance in (RULE, NETWORK_LISTENER)
    ]
    with cloud.acting_as("listener-hook"):
        yield


def test_a_rule_is_told_with_its_listener_and_its_load_balancer() -> None:
    assert listener_of(RULE) == OF_RULE
    assert entrance_of(RULE) == OF_RULE


def test_a_network_load_balancer_s_listener_has_no_conditions() -> None:
    assert entrance_of(NETWORK_LISTENER) == Listener(
        "TCP", 8080, "shop-123456789.elb.us-east-1.amazonaws.com", ()
    )


def test_where_requests_have_to_be_told_apart_a_rule_is_needed() -> None:
    with pytest.raises(Misconfigured) as caught:
        listener_of(NETWORK_LISTENER)
    assert str(caught.value) == (
        f"{NETWORK_LISTENER} is no listener rule; behind a network load balancer nothing tells requests to "
        "green and to blue apart"
    )


@pytest.mark.parametrize("arn", ["", "rule", f"{HEAD}:listener/app/shop/50dc/f2f7", f"{RULE}/further"])
def test_what_is_neither_is_named(arn: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        entrance_of(arn)
    assert str(caught.value).endswith("is neither a listener rule nor a network load balancer's listener")

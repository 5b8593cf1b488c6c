"""Elastic Load Balancing, as far as hooks ask it: what leads test traffic to green, and where that comes in.

::

    arn:...:listener-rule/app/NAME/BALANCER/LISTENER/RULE    of an application load balancer
    arn:...:listener/net/NAME/BALANCER/LISTENER              of a network load balancer, which has no rules

The ARN of a rule goes on from its listener's, and that from its load balancer's.

Source: https://docs.aws.amazon.com/service-authorization/latest/reference/list_awselasticloadbalancingv2.html
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from shared.clients import client
from shared.errors import Misconfigured, shown, translated
from shared.revision import Listener

_RULE = re.compile(
    r"(?P<head>arn:[^:]+:elasticloadbalancing:[^:]*:[^:]*):listener-rule/app/"
    r"(?P<name>[^/]+)/(?P<balancer>[^/]+)/(?P<listener>[^/]+)/[^/]+"
)
_NETWORK_LISTENER = re.compile(
    r"(?P<head>arn:[^:]+:elasticloadbalancing:[^:]*:[^:]*):listener/net/"
    r"(?P<name>[^/]+)/(?P<balancer>[^/]+)/[^/]+"
)


def listener_of(rule_arn: str) -> Listener:
    """Describe a rule, its listener and its load balancer."""
    found = _RULE.fullmatch(rule_arn)
    if found is None:
        raise Misconfigured(
            f"{rule_arn} is no listener rule; behind a network load balancer nothing tells requests to green "
            "and to blue apart"
        )
    with translated("elasticloadbalancing:DescribeRules", rule_arn):
        rule = client("elbv2").describe_rules(RuleArns=[rule_arn])["Rules"][0]
    return _listener(
        f"{found['head']}:listener/app/{found['name']}/{found['balancer']}/{found['listener']}",
        f"{found['head']}:loadbalancer/app/{found['name']}/{found['balancer']}",
        rule.get("Conditions", []),
    )


def entrance_of(arn: str) -> Listener:
    """Describe what ECS calls a ``testListenerRule``: a rule, or a network load balancer's listener."""
    if _RULE.fullmatch(arn):
        return listener_of(arn)
    found = _NETWORK_LISTENER.fullmatch(arn)
    if found is None:
        raise Misconfigured(f"{shown(arn)} is neither a listener rule nor a network load balancer's listener")
    balancer = f"{found['head']}:loadbalancer/net/{found['name']}/{found['balancer']}"
    return _listener(arn, balancer, ())


def _listener(listener: str, balancer: str, conditions: Sequence[Mapping[str, Any]]) -> Listener:
    with translated("elasticloadbalancing:DescribeListeners", listener):
        described = client("elbv2").describe_listeners(ListenerArns=[listener])["Listeners"][0]
    with translated("elasticloadbalancing:DescribeLoadBalancers", balancer):
        found = client("elbv2").describe_load_balancers(LoadBalancerArns=[balancer])
    host = found["LoadBalancers"][0]["DNSName"]
    return Listener(described["Protocol"], described["Port"], host, conditions)

"""Elastic Load Balancing, as far as the load test uses it: the rule that leads test traffic to green."""

import re

from hooks.load_test.route import Listener
from shared.clients import client
from shared.errors import Misconfigured, translated

# The ARN of a rule goes on from its listener's, and that from its load balancer's.
# https://docs.aws.amazon.com/service-authorization/latest/reference/list_awselasticloadbalancingv2.html
_RULE = re.compile(
    r"(?P<head>arn:[^:]+:elasticloadbalancing:[^:]*:[^:]*):listener-rule/app/"
    r"(?P<name>[^/]+)/(?P<balancer>[^/]+)/(?P<listener>[^/]+)/[^/]+"
)


def listener_of(rule_arn: str) -> Listener:
    """Describe a rule, its listener and its load balancer."""
    found = _RULE.fullmatch(rule_arn)
    if found is None:
        raise Misconfigured(
            f"{rule_arn} is no listener rule; behind a network load balancer nothing tells requests to green "
            "and to blue apart"
        )
    balancer = f"{found['head']}:loadbalancer/app/{found['name']}/{found['balancer']}"
    listener = f"{found['head']}:listener/app/{found['name']}/{found['balancer']}/{found['listener']}"
    elbv2 = client("elbv2")
    with translated("elasticloadbalancing:DescribeRules", rule_arn):
        rule = elbv2.describe_rules(RuleArns=[rule_arn])["Rules"][0]
    with translated("elasticloadbalancing:DescribeListeners", listener):
        described = elbv2.describe_listeners(ListenerArns=[listener])["Listeners"][0]
    with translated("elasticloadbalancing:DescribeLoadBalancers", balancer):
        host = elbv2.describe_load_balancers(LoadBalancerArns=[balancer])["LoadBalancers"][0]["DNSName"]
    return Listener(described["Protocol"], described["Port"], host, rule.get("Conditions", []))

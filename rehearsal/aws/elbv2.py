"""The load balancers in front of rehearsed services, whose ARNs only their revisions tell.

::

    DescribeRules          arn:...:listener-rule/app/shop/50dc6c495c0c9188/f2f7dc8efc522ab2/9683b2d02a6cabee
    DescribeListeners      arn:...:listener     /app/shop/50dc6c495c0c9188/f2f7dc8efc522ab2
    DescribeLoadBalancers  arn:...:loadbalancer /app/shop/50dc6c495c0c9188

A revision names a listener's rule for production traffic and one for test traffic, and for a network load
balancer listeners in their place. Those of other load balancers are moto's. Answers are checked against
botocore's model.

Sources: https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/ (one page per operation),
https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_AdvancedConfiguration.html
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from rehearsal.aws.call import AwsError, Call, JsonObject
from rehearsal.aws.ecs import EcsDeployments
from rehearsal.aws.shapes import check_shape
from rehearsal.model import ServiceRevision

PRODUCTION_PORT = 80
TEST_PORT = 8080


@dataclass(frozen=True, slots=True)
class _Entrance:
    """A listener's rule, or a listener, that a revision names."""

    arn: str
    is_test: bool
    revision: ServiceRevision

    @property
    def is_rule(self) -> bool:
        return ":listener-rule/" in self.arn

    @property
    def listener(self) -> str:
        """ARN of the listener."""
        if not self.is_rule:
            return self.arn
        return self.arn.replace(":listener-rule/", ":listener/").rpartition("/")[0]

    @property
    def balancer(self) -> str:
        """ARN of the load balancer."""
        return self.listener.replace(":listener/", ":loadbalancer/").rpartition("/")[0]

    @property
    def kind(self) -> str:
        return "network" if ":loadbalancer/net/" in self.balancer else "application"


class LoadBalancers:
    """The operations over the load balancers that a control plane's revisions name."""

    def __init__(self, deployments: EcsDeployments) -> None:
        self._deployments = deployments

    @property
    def operations(self) -> Mapping[str, Callable[[Call], JsonObject | None]]:
        """What is answered here, by operation."""
        return {
            "DescribeRules": self.rules,
            "DescribeListeners": self.listeners,
            "DescribeLoadBalancers": self.balancers,
        }

    def answer(self, call: Call) -> JsonObject | None:
        """Answer a call, and make sure that the API could have said so; ``None`` leaves it to moto."""
        result = self.operations[call.operation](call)
        if result is not None:
            check_shape(call.service, call.operation, result)
        return result

    def rules(self, call: Call) -> JsonObject | None:
        """Describe rules by ARN."""
        known = {one.arn: one for one in self._entrances() if one.is_rule}
        found = _asked(call, "RuleArns", known, "Rule", "rules")
        return None if found is None else {"Rules": [self._rule(one) for one in found]}

    def listeners(self, call: Call) -> JsonObject | None:
        """Describe listeners by ARN."""
        known = {one.listener: one for one in self._entrances()}
        found = _asked(call, "ListenerArns", known, "Listener", "listeners")
        return None if found is None else {"Listeners": [self._listener(one) for one in found]}

    def balancers(self, call: Call) -> JsonObject | None:
        """Describe load balancers by ARN."""
        known = {one.balancer: one for one in self._entrances()}
        found = _asked(call, "LoadBalancerArns", known, "LoadBalancer", "load balancers")
        return None if found is None else {"LoadBalancers": [_balancer(one, call.region) for one in found]}

    def _entrances(self) -> Iterator[_Entrance]:
        for revision in self._deployments.control_plane.revisions.values():
            configured = [one.get("advancedConfiguration", {}) for one in revision.load_balancers]
            for names in (*(revision.resolved_load_balancers or []), *configured):
                for key, is_test in (("productionListenerRule", False), ("testListenerRule", True)):
                    if key in names:
                        yield _Entrance(names[key], is_test, revision)

    def _rule(self, rule: _Entrance) -> JsonObject:
        name, value = rule.revision.test_header
        conditions: list[JsonObject] = [
            {"Field": "path-pattern", "Values": ["/*"], "PathPatternConfig": {"Values": ["/*"]}}
        ]
        if rule.is_test:
            header = {"HttpHeaderName": name, "Values": [value]}
            conditions.append({"Field": "http-header", "HttpHeaderConfig": header})
        return {
            "RuleArn": rule.arn,
            "Priority": "10",
            "Conditions": conditions,
            "Actions": [self._forward(rule)],
            "IsDefault": False,
        }

    def _listener(self, one: _Entrance) -> JsonObject:
        nothing = {"StatusCode": "404", "ContentType": "text/plain"}
        fixed = {"Type": "fixed-response", "Order": 1, "FixedResponseConfig": nothing}
        return {
            "ListenerArn": one.listener,
            "LoadBalancerArn": one.balancer,
            "Port": TEST_PORT if one.is_test else PRODUCTION_PORT,
            "Protocol": "HTTP" if one.kind == "application" else "TCP",
            "DefaultActions": [fixed if one.is_rule else self._forward(one)],
        }

    def _forward(self, one: _Entrance) -> JsonObject:
        """Return where traffic goes: to the target groups of blue and green, by the weights of now."""
        plane = self._deployments.control_plane
        groups = {
            group: 0
            for balancer in one.revision.load_balancers
            for group in (
                balancer["targetGroupArn"],
                balancer["advancedConfiguration"]["alternateTargetGroupArn"],
            )
        }
        deployment = next(iter(plane.deployments_of(one.revision.arn.service_arn)), None)
        for summary in (deployment.target, *deployment.sources) if deployment else ():
            revision = plane.revisions.get(str(summary.arn))
            weight = summary.test_weight if one.is_test else summary.production_weight
            for resolved in (revision and revision.resolved_load_balancers) or ():
                groups[resolved["targetGroupArn"]] = round(weight or 0)
        targets = [{"TargetGroupArn": group, "Weight": weight} for group, weight in groups.items()]
        return {"Type": "forward", "Order": 1, "ForwardConfig": {"TargetGroups": targets}}


def _balancer(one: _Entrance, region: str) -> JsonObject:
    name = one.balancer.split("/")[-2]
    domain = f"{region}.elb" if one.kind == "application" else f"elb.{region}"
    return {
        "LoadBalancerArn": one.balancer,
        "DNSName": f"{name}-123456789.{domain}.amazonaws.com",
        "LoadBalancerName": name,
        "Scheme": "internal",
        "State": {"Code": "active"},
        "Type": one.kind,
        "IpAddressType": "ipv4",
    }


def _asked(
    call: Call, key: str, known: Mapping[str, _Entrance], error: str, what: str
) -> list[_Entrance] | None:
    """Return what a call names; ``None`` where none of it is of a rehearsed service."""
    names = [value for name, value in call.parameters.items() if name.startswith(f"{key}.member.")]
    found = [known[name] for name in names if name in known]
    if not found:
        return None
    if len(found) < len(names):
        raise AwsError(f"{error}NotFound", f"One or more {what} not found")
    return found

"""What ``Ref`` and ``Fn::GetAtt`` of a resource give before it exists: made up, but well formed.

A resource is called by its name property, or ``STACK-LOGICALID`` as CloudFormation would (less the
random ending, so that equal templates give equal names).

Source: the "Return values" of each resource type,
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-template-resource-type-ref.html
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from rehearsal.intrinsics import Unresolved, as_text

# The longest name of the types below that is of use to us (SSM parameters, 1011, are cut).
MAX_NAME = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the stack would be deployed."""

    region: str = "us-east-1"
    account: str = "123456789012"
    partition: str = "aws"
    stack_name: str = "rehearsal"

    @property
    def url_suffix(self) -> str:
        return "amazonaws.com.cn" if self.partition == "aws-cn" else "amazonaws.com"


NAME_PROPERTIES: Mapping[str, str] = {
    "AWS::CloudWatch::Alarm": "AlarmName",
    "AWS::DynamoDB::Table": "TableName",
    "AWS::ECS::Cluster": "ClusterName",
    "AWS::ECS::Service": "ServiceName",
    "AWS::ECS::TaskDefinition": "Family",
    "AWS::ECR::Repository": "RepositoryName",
    "AWS::ElasticLoadBalancingV2::LoadBalancer": "Name",
    "AWS::ElasticLoadBalancingV2::TargetGroup": "Name",
    "AWS::IAM::Role": "RoleName",
    "AWS::Lambda::Function": "FunctionName",
    "AWS::Logs::LogGroup": "LogGroupName",
    "AWS::S3::Bucket": "BucketName",
    "AWS::SNS::Topic": "TopicName",
    "AWS::SQS::Queue": "QueueName",
    "AWS::SSM::Parameter": "Name",
    "AWS::SecretsManager::Secret": "Name",
    "AWS::Serverless::Function": "FunctionName",
    "AWS::ServiceDiscovery::PrivateDnsNamespace": "Name",
    "AWS::ServiceDiscovery::HttpNamespace": "Name",
}

_ARNS: Mapping[str, str] = {
    "AWS::CloudWatch::Alarm": "arn:{partition}:cloudwatch:{region}:{account}:alarm:{name}",
    "AWS::DynamoDB::Table": "arn:{partition}:dynamodb:{region}:{account}:table/{name}",
    "AWS::ECR::Repository": "arn:{partition}:ecr:{region}:{account}:repository/{name}",
    "AWS::ECS::Cluster": "arn:{partition}:ecs:{region}:{account}:cluster/{name}",
    "AWS::ECS::Service": "arn:{partition}:ecs:{region}:{account}:service/{cluster}/{name}",
    "AWS::ECS::TaskDefinition": "arn:{partition}:ecs:{region}:{account}:task-definition/{name}:1",
    "AWS::ElasticLoadBalancingV2::LoadBalancer": (
        "arn:{partition}:elasticloadbalancing:{region}:{account}:loadbalancer/{flavour}/{name}/{id}"
    ),
    "AWS::ElasticLoadBalancingV2::Listener": "{load_balancer_as_listener}/{id}",
    "AWS::ElasticLoadBalancingV2::ListenerRule": "{listener_as_rule}/{id}",
    "AWS::ElasticLoadBalancingV2::TargetGroup": (
        "arn:{partition}:elasticloadbalancing:{region}:{account}:targetgroup/{name}/{id}"
    ),
    "AWS::IAM::Role": "arn:{partition}:iam::{account}:role{path}{name}",
    "AWS::KMS::Key": "arn:{partition}:kms:{region}:{account}:key/{uuid}",
    "AWS::Lambda::Alias": "{function}:{alias}",
    "AWS::Lambda::Function": "arn:{partition}:lambda:{region}:{account}:function:{name}",
    "AWS::Lambda::Version": "{function}:1",
    "AWS::Logs::LogGroup": "arn:{partition}:logs:{region}:{account}:log-group:{name}:*",
    "AWS::S3::Bucket": "arn:{partition}:s3:::{name}",
    "AWS::SNS::Topic": "arn:{partition}:sns:{region}:{account}:{name}",
    "AWS::SQS::Queue": "arn:{partition}:sqs:{region}:{account}:{name}",
    "AWS::SSM::Parameter": "arn:{partition}:ssm:{region}:{account}:parameter{slash}{name}",
    # Six characters that AWS makes up end it.
    "AWS::SecretsManager::Secret": "arn:{partition}:secretsmanager:{region}:{account}:secret:{name}-{id:.6}",
    "AWS::Serverless::Function": "arn:{partition}:lambda:{region}:{account}:function:{name}",
}

# Types whose Ref is not the name.
_REFS: Mapping[str, str] = {
    "AWS::EC2::SecurityGroup": "sg-{id}",
    "AWS::EC2::Subnet": "subnet-{id}",
    "AWS::EC2::VPC": "vpc-{id}",
    "AWS::KMS::Key": "{uuid}",
    "AWS::ServiceDiscovery::HttpNamespace": "ns-{id}",
    "AWS::ServiceDiscovery::PrivateDnsNamespace": "ns-{id}",
    "AWS::SQS::Queue": "https://sqs.{region}.{suffix}/{account}/{name}",
}
_REF_IS_ARN = frozenset(
    {
        "AWS::ECS::Service",
        "AWS::ECS::TaskDefinition",
        "AWS::ElasticLoadBalancingV2::Listener",
        "AWS::ElasticLoadBalancingV2::ListenerRule",
        "AWS::ElasticLoadBalancingV2::LoadBalancer",
        "AWS::ElasticLoadBalancingV2::TargetGroup",
        "AWS::Lambda::Alias",
        "AWS::Lambda::Version",
        "AWS::SNS::Topic",
        "AWS::SecretsManager::Secret",
    }
)
_ARN_ATTRIBUTES = frozenset(
    {
        "Arn",
        "ListenerArn",
        "LoadBalancerArn",
        "RuleArn",
        "ServiceArn",
        "TargetGroupArn",
        "TaskDefinitionArn",
        "TopicArn",
    }
)
_ATTRIBUTES: Mapping[tuple[str, str], str] = {
    ("AWS::EC2::SecurityGroup", "GroupId"): "sg-{id}",
    ("AWS::EC2::Subnet", "SubnetId"): "subnet-{id}",
    ("AWS::EC2::VPC", "VpcId"): "vpc-{id}",
    ("AWS::ElasticLoadBalancingV2::LoadBalancer", "DNSName"): "{name}-{id}.{region}.elb.{suffix}",
    ("AWS::ElasticLoadBalancingV2::LoadBalancer", "LoadBalancerFullName"): "{flavour}/{name}/{id}",
    ("AWS::ElasticLoadBalancingV2::LoadBalancer", "LoadBalancerName"): "{name}",
    ("AWS::ElasticLoadBalancingV2::TargetGroup", "TargetGroupFullName"): "targetgroup/{name}/{id}",
    ("AWS::ElasticLoadBalancingV2::TargetGroup", "TargetGroupName"): "{name}",
    ("AWS::ECS::Service", "Name"): "{name}",
    ("AWS::IAM::Role", "RoleId"): "AROA{id}",
    ("AWS::KMS::Key", "KeyId"): "{uuid}",
    ("AWS::Lambda::Url", "FunctionUrl"): "https://{id}.lambda-url.{region}.on.aws/",
    ("AWS::S3::Bucket", "DomainName"): "{name}.s3.{suffix}",
    ("AWS::S3::Bucket", "RegionalDomainName"): "{name}.s3.{region}.{suffix}",
    ("AWS::SNS::Topic", "TopicName"): "{name}",
    ("AWS::SQS::Queue", "QueueName"): "{name}",
    ("AWS::SQS::Queue", "QueueUrl"): "https://sqs.{region}.{suffix}/{account}/{name}",
    ("AWS::ServiceDiscovery::HttpNamespace", "Id"): "ns-{id}",
    ("AWS::ServiceDiscovery::PrivateDnsNamespace", "Id"): "ns-{id}",
}


@dataclass(frozen=True, slots=True)
class NamedResource:
    """A resource of a template, as far as its names need it."""

    type: str
    logical_id: str
    place: Place
    given: Callable[[str], object]
    """Gives a resolved property, or ``None``."""

    @property
    def name(self) -> str:
        """The name it would have."""
        own = as_text(self.given(NAME_PROPERTIES[self.type])) if self.type in NAME_PROPERTIES else None
        name = own or f"{self.place.stack_name}-{self.logical_id}{self._ending}"
        # Bucket names are lower case; CloudFormation lowers what it makes up.
        return (name if own or self.type != "AWS::S3::Bucket" else name.lower())[:MAX_NAME]

    @property
    def _ending(self) -> str:
        """What a name that CloudFormation makes up must end with."""
        # https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/FIFO-queue-message-identifiers.html
        is_fifo = self.type == "AWS::SQS::Queue" and as_text(self.given("FifoQueue")) == "true"
        return ".fifo" if is_fifo else ""

    @property
    def arn(self) -> str:
        """The ARN it would have."""
        form = _ARNS.get(self.type, "arn:{partition}:{service}:{region}:{account}:{name}")
        return form.format_map(self._facts())

    def ref(self) -> object:
        """Return what ``Ref`` gives."""
        if self.type in _REF_IS_ARN:
            return self.arn
        return _REFS.get(self.type, "{name}").format_map(self._facts())

    def attribute(self, attribute: str) -> object:
        """Return what ``Fn::GetAtt`` gives."""
        if self.type.startswith(("Custom::", "AWS::CloudFormation::CustomResource")):
            return Unresolved(f"{self.logical_id}.{attribute} is told by a custom resource", self.logical_id)
        if (self.type, attribute) == ("AWS::SSM::Parameter", "Value"):
            return self.given("Value")
        if attribute in _ARN_ATTRIBUTES:
            return self.arn
        return _ATTRIBUTES.get((self.type, attribute), f"{{name}}-{attribute}").format_map(self._facts())

    def _facts(self) -> Mapping[str, str]:
        digest = hashlib.sha256(f"{self.place.stack_name}/{self.logical_id}".encode()).hexdigest()
        facts = {
            "partition": self.place.partition,
            "region": self.place.region,
            "account": self.place.account,
            "suffix": self.place.url_suffix,
            "service": self.type.split("::")[1].lower() if self.type.count("::") == 2 else "custom",
            "name": self.name,
            "id": digest[:16],
            "uuid": f"{digest[:8]}-{digest[8:12]}-{digest[12:16]}-{digest[16:20]}-{digest[20:32]}",
        }
        if more := _MORE_FACTS.get(self.type):
            facts.update(more(self, facts))
        return facts

    def text(self, name: str, default: str) -> str:
        """Return a property that is a text, or *default*."""
        value = self.given(name)
        return value if isinstance(value, str) and value else default


def _of_load_balancer(resource: NamedResource, _: Mapping[str, str]) -> dict[str, str]:
    kind = resource.text("Type", "application")
    return {"flavour": {"network": "net", "gateway": "gwy"}.get(kind, "app")}


def _elb(facts: Mapping[str, str], rest: str) -> str:
    return "arn:{partition}:elasticloadbalancing:{region}:{account}:".format_map(facts) + rest


def _of_listener(resource: NamedResource, facts: Mapping[str, str]) -> dict[str, str]:
    unknown = _elb(facts, "loadbalancer/app/unknown/0123456789abcdef")
    above = resource.text("LoadBalancerArn", unknown)
    return {"load_balancer_as_listener": above.replace(":loadbalancer/", ":listener/", 1)}


def _of_rule(resource: NamedResource, facts: Mapping[str, str]) -> dict[str, str]:
    unknown = _elb(facts, "listener/app/unknown/0123456789abcdef/0123456789abcdef")
    above = resource.text("ListenerArn", unknown)
    return {"listener_as_rule": above.replace(":listener/", ":listener-rule/", 1)}


def _of_version(resource: NamedResource, facts: Mapping[str, str]) -> dict[str, str]:
    function = resource.text("FunctionName", "unknown")
    if not function.startswith("arn:"):
        function = "arn:{partition}:lambda:{region}:{account}:function:".format_map(facts) + function
    return {"function": function, "alias": resource.text("Name", resource.logical_id)}


_MORE_FACTS: Mapping[str, Callable[[NamedResource, Mapping[str, str]], dict[str, str]]] = {
    "AWS::ElasticLoadBalancingV2::LoadBalancer": _of_load_balancer,
    "AWS::ElasticLoadBalancingV2::Listener": _of_listener,
    "AWS::ElasticLoadBalancingV2::ListenerRule": _of_rule,
    "AWS::Lambda::Alias": _of_version,
    "AWS::Lambda::Version": _of_version,
    "AWS::ECS::Service": lambda resource, _: {
        "cluster": resource.text("Cluster", "default").rsplit("/", 1)[-1]
    },
    "AWS::IAM::Role": lambda resource, _: {"path": resource.text("Path", "/")},
    "AWS::SSM::Parameter": lambda _, facts: {"slash": "" if facts["name"].startswith("/") else "/"},
}

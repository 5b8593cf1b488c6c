"""Whatever a file holds, a check ends with findings or with one line that says why it can't be read."""

import io
import itertools
import json
import string
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rehearsal.check import run
from rehearsal.document import DocumentError
from rehearsal.from_template import read
from rehearsal.template import Template
from rehearsal.template_services import NotInTemplateError
from shared.lifecycle import Stage
from tests.rehearsal.check.stand_ins import KNOWN

A_FEW_SECONDS = settings(
    deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


def words(text: str) -> list[str]:
    return text.split()


# Words that rules look for, so that generated templates get past the first branch.
WORDS = st.sampled_from(
    [
        *map(str, Stage),
        '{"requiredApprovals": 0}',
        "{{resolve:ssm:x}}",
        *words("""
    PAUSE AWS_LAMBDA ROLLING BLUE_GREEN LINEAR CANARY CONTINUE ROLLBACK true A B C A.Arn AWS::NoValue
    AWS::Region ${A} ${B.Arn}-${!x} arn:aws:lambda:us-east-1:123456789012:function:manual-approval:live *
    arn:aws:elasticloadbalancing:us-east-1:1:listener/net/a/b/c ecs.amazonaws.com sts:AssumeRole
    """),
    ]
)
KEYS = st.sampled_from(
    words("""
    Ref Fn::GetAtt Fn::Sub Fn::Join Fn::Select Fn::Split Fn::If Fn::FindInMap Fn::ImportValue Fn::ToJsonString
    Fn::Base64 Fn::Nope Condition Strategy LifecycleHooks HookTargetArn RoleArn LifecycleStages TargetType
    TimeoutConfiguration TimeoutInMinutes Action HookDetails CanaryConfiguration CanaryPercent
    LinearConfiguration StepPercent StepBakeTimeInMinutes BakeTimeInMinutes Alarms Rollback
    DeploymentConfiguration LoadBalancers
    TargetGroupArn AdvancedConfiguration AlternateTargetGroupArn ProductionListenerRule TestListenerRule
    ServiceConnectConfiguration Enabled Role Type AssumeRolePolicyDocument Statement Principal Service Effect
    Resource Actions ForwardConfig TargetGroups Weight Protocol LoadBalancerArn ListenerArn Handler InlineCode
    CodeUri Policies PolicyDocument ManagedPolicyArns Environment Variables Timeout Name FunctionName
    DeploymentController DeploymentCircuitBreaker Enable
    """)
)
TYPES = st.sampled_from(
    words("""
    AWS::ECS::Service AWS::IAM::Role AWS::IAM::Policy AWS::Lambda::Function AWS::Lambda::Alias Custom::Thing x
    AWS::Serverless::Function AWS::ElasticLoadBalancingV2::ListenerRule AWS::ElasticLoadBalancingV2::Listener
    AWS::ElasticLoadBalancingV2::TargetGroup AWS::ElasticLoadBalancingV2::LoadBalancer AWS::SSM::Parameter
    AWS::CloudFormation::Stack
    """)
)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | WORDS | st.text(max_size=20)


def nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(inner, max_size=4) | st.dictionaries(KEYS | st.text(max_size=5), inner, max_size=5)


VALUES = st.recursive(LEAVES, nested, max_leaves=25)
PROPERTIES = st.dictionaries(KEYS, VALUES, max_size=6)
RESOURCES = st.dictionaries(
    st.sampled_from(["A", "B", "C", "D", "Fn::ForEach::x"]),
    st.fixed_dictionaries({"Type": TYPES}, optional={"Properties": PROPERTIES, "Condition": WORDS}),
    max_size=5,
)
SERVICE = st.fixed_dictionaries(
    {"DeploymentConfiguration": st.dictionaries(KEYS, VALUES, max_size=5)},
    optional={"LoadBalancers": st.lists(st.dictionaries(KEYS, VALUES, max_size=4), max_size=3)},
)
TEMPLATES = st.fixed_dictionaries(
    {
        "Resources": st.builds(
            lambda others, service: {**others, "S": {"Type": "AWS::ECS::Service", "Properties": service}},
            RESOURCES,
            SERVICE,
        )
    },
    optional={
        "Parameters": st.dictionaries(st.sampled_from("AXY"), VALUES, max_size=2),
        "Conditions": st.dictionaries(WORDS, VALUES, max_size=3),
        "Mappings": VALUES,
        "Globals": st.fixed_dictionaries({"Function": VALUES}),
        "Outputs": VALUES,
    },
)


def checked(tmp_path: Path, text: str) -> int:
    """Check *text* and return the exit code; what is printed is one line when it can't be read."""
    file = tmp_path / "template.yaml"
    file.write_text(text, encoding="utf-8", errors="replace")
    out = io.StringIO()
    code = run([str(file)], parameters={}, json_output=False, strict=True, stdout=out, known=KNOWN)
    assert code in {0, 1, 2}
    assert code != 2 or out.getvalue().count("\n") == 1
    return code


@A_FEW_SECONDS
@given(value=VALUES, write=st.sampled_from([json.dumps, yaml.safe_dump]))
def test_any_value_is_read_or_refused(tmp_path_factory: Any, value: Any, write: Callable[[Any], str]) -> None:
    checked(tmp_path_factory.getbasetemp(), write(value))


@A_FEW_SECONDS
@given(template=TEMPLATES)
def test_any_template_is_checked(tmp_path_factory: Any, template: Any) -> None:
    checked(tmp_path_factory.getbasetemp(), json.dumps(template))


OF_A_SERVICE = st.sampled_from(
    words("ServiceName Cluster DesiredCount TaskDefinition LoadBalancers ServiceConnectConfiguration")
)
NUMBER = itertools.count()


@A_FEW_SECONDS
@given(template=TEMPLATES, more=st.dictionaries(OF_A_SERVICE, VALUES, max_size=4), hook=PROPERTIES)
def test_any_service_is_read_as_a_scenario_or_refused(
    tmp_path_factory: Any, template: Any, more: dict[str, Any], hook: dict[str, Any]
) -> None:
    properties = template["Resources"]["S"]["Properties"]
    properties.update(more)
    hooks = properties["DeploymentConfiguration"].setdefault("LifecycleHooks", [hook])
    # Files that follow each other too quickly have one time of change, and are taken for the same.
    file = tmp_path_factory.getbasetemp() / f"service-{next(NUMBER)}.json"
    file.write_text(json.dumps(template), encoding="utf-8")
    try:
        reading = read(file, "S")
    except (DocumentError, NotInTemplateError) as error:
        assert "\n" not in str(error)
    else:
        assert len(reading.hooks) <= len(hooks or ())
    finally:
        file.unlink()


@A_FEW_SECONDS
@given(text=st.text(max_size=60) | st.text(alphabet="!&*<>[]{}:-?|\n \tab0x_.'\"#%@,", max_size=60))
def test_any_text_is_read_or_refused(tmp_path_factory: Any, text: str) -> None:
    checked(tmp_path_factory.getbasetemp(), text)


@A_FEW_SECONDS
@given(
    tag=st.sampled_from(words("!!int !!float !!timestamp !!bool !!binary !!null !!set !!python/x !x")),
    scalar=st.text(alphabet=string.ascii_letters + string.digits + "-:._", max_size=12),
)
def test_any_tagged_scalar_is_read_or_refused(tmp_path_factory: Any, tag: str, scalar: str) -> None:
    file = tmp_path_factory.getbasetemp() / "tagged.yaml"
    file.write_text(f"Resources: {{A: {{Type: T, Properties: {{x: {tag} {scalar}}}}}}}", encoding="utf-8")
    try:
        Template.read(file).resources()
    except DocumentError as error:
        assert "\n" not in str(error)

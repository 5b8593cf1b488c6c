"""Templates as data: intrinsic functions, made-up names, functions and services."""

import itertools
import re
from pathlib import Path
from typing import Any

import pytest

from rehearsal.document import Document, DocumentError
from rehearsal.template import Place, Template, Unresolved

ACCOUNT = "us-east-1:123456789012"
ELB = f"arn:aws:elasticloadbalancing:{ACCOUNT}"


def template(text: str, **parameters: str) -> Template:
    return Template(Document.parse(text, "template.yaml"), parameters=parameters)


def resolved(value: str, rest: str = "Resources: {}") -> Any:
    """Resolve *value*, written as YAML, in a template that also holds *rest*."""
    one = template(f"{rest}\nOutputs:\n  It:\n    Value: {value}\n")
    return one.resolve(one.document.data["Outputs"]["It"]["Value"], ("Outputs", "It", "Value"))


REST = """\
Parameters:
  Name: {Type: String, Default: web}
  Count: {Type: Number, Default: 3}
  List: {Type: CommaDelimitedList, Default: "a, b"}
  Image: {Type: "AWS::SSM::Parameter::Value<String>", Default: /image}
  Needed: {Type: String}
Mappings:
  Sizes: {us-east-1: {small: 1, all: [1, 2]}}
Conditions:
  Ready: !Equals [!Ref Name, web]
  Never: !Not [!Condition Ready]
  Both: !And [!Condition Ready, !Condition Never]
  Either: !Or [!Condition Ready, !Condition Open]
  Open: !Equals [!Ref Needed, x]
  Circle: !Not [!Condition Circle]
  Numbers: !Equals [!Ref Count, "3"]
Resources:
  Gone: {Type: AWS::SNS::Topic, Condition: Never}
  Made: {Type: Custom::Thing}
  Parameter: {Type: AWS::SSM::Parameter, Properties: {Name: /a/b, Value: !Ref Name}}
"""


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("!Ref Name", "web"),
        ("!Ref Count", "3"),
        ("!Ref List", ["a", "b"]),
        ("!Ref AWS::Region", "us-east-1"),
        ("!Ref AWS::AccountId", "123456789012"),
        ("!Sub '${AWS::Partition} ${AWS::StackName} ${AWS::URLSuffix}'", "aws rehearsal amazonaws.com"),
        ("!Sub ['${Name}-${X}-${!Y}-${Parameter.Value}', {X: !Ref Count}]", "web-3-${Y}-web"),
        ("!Join [':', [a, !Ref Count, true]]", "a:3:true"),
        ("!Join ['-', !Ref List]", "a-b"),
        ("!Select [1, !Split ['/', a/b/c]]", "b"),
        ("!Select ['0', !Ref List]", "a"),
        ("!FindInMap [Sizes, !Ref AWS::Region, small]", "1"),
        ("!FindInMap [Sizes, us-east-1, all]", ["1", "2"]),
        ("!If [Ready, 1, 2]", 1),
        ("!If [Never, 1, 2]", 2),
        ("!If [Both, 1, 2]", 2),
        ("!If [Either, 1, 2]", 1),
        ("!If [Numbers, 1, 2]", 1),
        ("[1, !If [Never, 2, !Ref AWS::NoValue], 3]", [1, 3]),
        ("{a: !Ref AWS::NoValue, b: {Condition: x}}", {"b": {"Condition": "x"}}),
        ("!Base64 web", "d2Vi"),
        ("!GetAZs ''", ["us-east-1a", "us-east-1b", "us-east-1c"]),
        ("{'Fn::ToJsonString': {a: !Ref Count, b: [true]}}", '{"a":"3","b":[true]}'),
        ("{'Fn::Length': !Ref List}", 2),
        ("2012-10-17", "2012-10-17"),
    ],
)
def test_functions_are_resolved(value: str, expected: object) -> None:
    assert resolved(value, REST) == expected


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("!ImportValue hooks-Arn", "'hooks-Arn' is exported by another stack"),
        ("!Sub 'x-${Needed}'", "the parameter Needed has no default and was given no value"),
        ("!Join ['', [!Ref Image]]", "the parameter Image is read from Parameter Store ('/image')"),
        ("!Ref Nobody", "there is no parameter or resource 'Nobody'"),
        ("!GetAtt Gone.TopicName", "Gone is left out by its condition"),
        ("!GetAtt Made.Answer", "Made.Answer is told by a custom resource"),
        ("!Cidr [a, b]", "Fn::Cidr is not a function this rehearsal knows"),
        ("!If [Open, 1, 2]", "the parameter Needed has no default and was given no value"),
        ("!If [Circle, 1, 2]", "the condition Circle depends on itself"),
        ("!If [Nothing, 1, 2]", "there is no condition 'Nothing'"),
        ("!FindInMap [Sizes, eu-west-1, small]", "Mappings has no Sizes.eu-west-1.small"),
        ("!Select [7, [a]]", "Fn::Select is not written as CloudFormation reads it: an array of 2"),
        ("!Join a", "Fn::Join is not written as CloudFormation reads it: 'a'"),
        ("!Sub '${List}'", "Fn::Sub is not written as CloudFormation reads it: '${List}'"),
        (
            "'{{resolve:ssm:/a}}'",
            "the dynamic reference '{{resolve:ssm:/a}}' is read when the stack is deployed",
        ),
    ],
)
def test_what_can_not_be_told_carries_its_reason(value: str, reason: str) -> None:
    found = resolved(value, REST)

    assert isinstance(found, Unresolved)
    assert found.reason == reason


def test_an_unresolved_part_spoils_the_text_it_is_in_but_not_the_object() -> None:
    found = resolved("{a: !ImportValue x, b: !Ref Name}", REST)

    assert found == {"a": Unresolved("'x' is exported by another stack", "x"), "b": "web"}


RESOURCES = """\
Resources:
  Alb: {Type: AWS::ElasticLoadBalancingV2::LoadBalancer}
  Nlb: {Type: AWS::ElasticLoadBalancingV2::LoadBalancer, Properties: {Type: network, Name: edge}}
  Listener: {Type: AWS::ElasticLoadBalancingV2::Listener, Properties: {LoadBalancerArn: !Ref Nlb}}
  Http: {Type: AWS::ElasticLoadBalancingV2::Listener, Properties: {LoadBalancerArn: !Ref Alb}}
  Rule: {Type: AWS::ElasticLoadBalancingV2::ListenerRule, Properties: {ListenerArn: !Ref Http}}
  Group: {Type: AWS::ElasticLoadBalancingV2::TargetGroup}
  Cluster: {Type: AWS::ECS::Cluster}
  Service: {Type: AWS::ECS::Service, Properties: {Cluster: !GetAtt Cluster.Arn, ServiceName: web}}
  Tasks: {Type: AWS::ECS::TaskDefinition, Properties: {Family: web}}
  Function: {Type: AWS::Serverless::Function, Properties: {AutoPublishAlias: live}}
  Plain: {Type: AWS::Lambda::Function, Properties: {FunctionName: plain}}
  Alias: {Type: AWS::Lambda::Alias, Properties: {FunctionName: !Ref Plain, Name: blue}}
  Role: {Type: AWS::IAM::Role, Properties: {Path: /ecs/, RoleName: hooks}}
  Topic: {Type: AWS::SNS::Topic}
  Bucket: {Type: AWS::S3::Bucket}
  Queue: {Type: AWS::SQS::Queue}
  Fifo: {Type: AWS::SQS::Queue, Properties: {FifoQueue: true}}
  Parameter: {Type: AWS::SSM::Parameter, Properties: {Name: /a/b}}
  Logs: {Type: AWS::Logs::LogGroup}
  Other: {Type: AWS::Events::Rule}
"""
HEX = "[0-9a-f]{16}"


@pytest.mark.parametrize(
    ("value", "pattern"),
    [
        ("!Ref Alb", f"{ELB}:loadbalancer/app/rehearsal-Alb/{HEX}"),
        ("!GetAtt Alb.LoadBalancerFullName", f"app/rehearsal-Alb/{HEX}"),
        ("!Ref Listener", f"{ELB}:listener/net/edge/{HEX}/{HEX}"),
        ("!GetAtt Rule.RuleArn", f"{ELB}:listener-rule/app/rehearsal-Alb/{HEX}/{HEX}/{HEX}"),
        ("!Ref Group", f"{ELB}:targetgroup/rehearsal-Group/{HEX}"),
        ("!Ref Cluster", "rehearsal-Cluster"),
        ("!Ref Service", f"arn:aws:ecs:{ACCOUNT}:service/rehearsal-Cluster/web"),
        ("!GetAtt Service.Name", "web"),
        ("!Ref Tasks", f"arn:aws:ecs:{ACCOUNT}:task-definition/web:1"),
        ("!GetAtt Function.Arn", f"arn:aws:lambda:{ACCOUNT}:function:rehearsal-Function"),
        ("!Ref Function.Alias", f"arn:aws:lambda:{ACCOUNT}:function:rehearsal-Function:live"),
        ("!Sub '${Function.Version}'", f"arn:aws:lambda:{ACCOUNT}:function:rehearsal-Function:1"),
        ("!GetAtt FunctionRole.Arn", "arn:aws:iam::123456789012:role/rehearsal-FunctionRole"),
        ("!GetAtt FunctionUrl.FunctionUrl", rf"https://{HEX}\.lambda-url\.us-east-1\.on\.aws/"),
        ("!Ref Alias", f"arn:aws:lambda:{ACCOUNT}:function:plain:blue"),
        ("!GetAtt Role.Arn", "arn:aws:iam::123456789012:role/ecs/hooks"),
        ("!Ref Role", "hooks"),
        ("!Ref Topic", f"arn:aws:sns:{ACCOUNT}:rehearsal-Topic"),
        ("!Ref Bucket", "rehearsal-bucket"),
        ("!Ref Queue", "https://sqs.us-east-1.amazonaws.com/123456789012/rehearsal-Queue"),
        ("!GetAtt Queue.Arn", f"arn:aws:sqs:{ACCOUNT}:rehearsal-Queue"),
        ("!GetAtt Fifo.QueueName", r"rehearsal-Fifo\.fifo"),
        ("!GetAtt Parameter.Arn", f"arn:aws:ssm:{ACCOUNT}:parameter/a/b"),
        ("!GetAtt Logs.Arn", rf"arn:aws:logs:{ACCOUNT}:log-group:rehearsal-Logs:\*"),
        ("!GetAtt Other.Arn", f"arn:aws:events:{ACCOUNT}:rehearsal-Other"),
    ],
)
def test_resources_have_well_formed_names_before_they_exist(value: str, pattern: str) -> None:
    assert re.fullmatch(pattern, resolved(value, RESOURCES))


def test_a_reference_leads_back_to_its_resource() -> None:
    one = template(RESOURCES)
    alias = one.resolve({"Ref": "Alias"})

    assert [
        found.logical_id if found else None
        for found in (
            one.find(alias),
            one.find(alias, "AWS::Lambda::Function"),
            one.find("hooks"),
            one.find(None),
        )
    ] == ["Alias", "Plain", "Role", None]


def test_the_place_of_the_deployment_shows_in_arns(tmp_path: Path) -> None:
    file = tmp_path / "t.yaml"
    file.write_text("Resources: {T: {Type: AWS::SNS::Topic}}", encoding="utf-8")
    place = Place(region="cn-north-1", account="999999999999", partition="aws-cn", stack_name="shop")

    one = Template.read(file, place=place)

    assert one.resolve({"Ref": "T"}) == "arn:aws-cn:sns:cn-north-1:999999999999:shop-T"
    assert one.resolve({"Ref": "AWS::URLSuffix"}) == "amazonaws.com.cn"


FUNCTIONS = """\
Parameters: {Topic: {Type: String, Default: ""}}
Conditions: {HasTopic: !Not [!Equals [!Ref Topic, ""]]}
Globals:
  Function:
    Timeout: 60
    Handler: app.handler
    Environment: {Variables: {LEVEL: INFO, MODE: enforce}}
    Policies: [AWSLambdaBasicExecutionRole]
Resources:
  Serverless:
    Type: AWS::Serverless::Function
    Properties:
      MemorySize: 512
      Handler: hooks.manual_approval.handler.handler
      Environment: {Variables: {MODE: observe, N: 3, ON: true, ROLE: !ImportValue x}}
      Policies:
        - SQSPollerPolicy: {QueueName: q}
        - Version: 2012-10-17
          Statement:
            - Effect: Allow
              Action: ssm:GetParameter
              Resource: !Sub arn:aws:ssm:${AWS::Region}::parameter/a
            - !If [HasTopic, {Effect: Allow, Action: "sns:Publish", Resource: !Ref Topic}, !Ref AWS::NoValue]
        - Statement: {Effect: Deny, Action: "s3:*", Resource: "*"}
  Plain:
    Type: AWS::Lambda::Function
    Properties: {Role: !GetAtt Role.Arn, Code: {ZipFile: "def handler(): ..."}}
  Role:
    Type: AWS::IAM::Role
    Properties:
      ManagedPolicyArns: [!Ref Managed, "arn:aws:iam::aws:policy/ReadOnlyAccess"]
      Policies: [{PolicyName: a, PolicyDocument: {Statement: [{Sid: Own}]}}]
  Managed: {Type: AWS::IAM::ManagedPolicy, Properties: {PolicyDocument: {Statement: {Sid: Managed}}}}
  Attached:
    Type: AWS::IAM::Policy
    Properties: {Roles: [!Ref Role], PolicyDocument: {Statement: [{Sid: Attached}]}}
"""


def test_a_sam_function_has_globals_environment_and_statements() -> None:
    serverless = template(FUNCTIONS, Topic="arn:topic").functions()[0]

    assert (serverless.logical_id, serverless.handler, serverless.timeout_seconds, serverless.memory_mb) == (
        "Serverless",
        "hooks.manual_approval.handler.handler",
        60,
        512,
    )
    assert serverless.environment == {
        "LEVEL": "INFO",
        "MODE": "observe",
        "N": "3",
        "ON": "true",
        "ROLE": Unresolved("'x' is exported by another stack", "x"),
    }
    assert serverless.statements == [
        {"Effect": "Allow", "Action": "ssm:GetParameter", "Resource": "arn:aws:ssm:us-east-1::parameter/a"},
        {"Effect": "Allow", "Action": "sns:Publish", "Resource": "arn:topic"},
        {"Effect": "Deny", "Action": "s3:*", "Resource": "*"},
    ]
    assert serverless.managed_policies == ["AWSLambdaBasicExecutionRole"]
    assert serverless.policy_templates == [{"SQSPollerPolicy": {"QueueName": "q"}}]


def test_a_condition_that_is_false_takes_its_statement_away() -> None:
    actions = [statement["Action"] for statement in template(FUNCTIONS).functions()[0].statements]

    assert actions == ["ssm:GetParameter", "s3:*"]


def test_a_plain_function_has_the_statements_of_its_role() -> None:
    plain = template(FUNCTIONS).functions()[1]

    assert [statement["Sid"] for statement in plain.statements] == ["Own", "Managed", "Attached"]
    assert (plain.timeout_seconds, plain.memory_mb, plain.code) == (3, 128, "def handler(): ...")


def test_services_know_the_lines_of_what_functions_made_of_them() -> None:
    one = template(
        "Conditions: {Ready: !Equals [a, a], Never: !Not [!Condition Ready]}\n"
        "Resources:\n"
        "  Dropped: {Type: AWS::ECS::Service, Condition: Never}\n"
        "  S:\n"
        "    Type: AWS::ECS::Service\n"
        "    Condition: Ready\n"
        "    Properties:\n"
        "      Hooks:\n"
        "        - !If [Never, x, !Ref AWS::NoValue]\n"
        "        - !If\n"
        "          - Ready\n"
        "          - Arn: !Sub a-${AWS::Region}\n"
        "          - y\n"
    )

    (service,) = one.services()

    assert service.properties == {"Hooks": [{"Arn": "a-us-east-1"}]}
    assert [service.line("Hooks", 0, "Arn"), service.line("Hooks"), service.line("None"), service.line()] == [
        12,
        8,
        7,
        7,
    ]


def test_an_attribute_that_no_resource_has_is_named() -> None:
    one = template("Resources: {Queue: {Type: AWS::SQS::Queue}}")

    assert (
        str(one.resolve({"Fn::GetAtt": ["Queue", '{"Arn": 1}']})) == "<Queue has no attribute '{\"Arn\": 1}'>"
    )


def test_values_pass_through_nested_templates(tmp_path: Path) -> None:
    (tmp_path / "inner.yaml").write_text(
        "Parameters: {Name: {Type: String}}\n"
        "Resources: {S: {Type: AWS::ECS::Service, Properties: {ServiceName: !Ref Name}}}\n"
        "Outputs: {Arn: {Value: !Ref S}}\n",
        encoding="utf-8",
    )
    (tmp_path / "outer.yaml").write_text(
        "Resources:\n"
        "  One:\n"
        "    Type: AWS::CloudFormation::Stack\n"
        "    Properties: {TemplateURL: inner.yaml, Parameters: {Name: a}}\n"
        "  Two:\n"
        "    Type: AWS::CloudFormation::Stack\n"
        "    Properties: {TemplateURL: inner.yaml, Parameters: {Name: !GetAtt One.Outputs.Arn}}\n"
        "  Far: {Type: AWS::CloudFormation::Stack, Properties: {TemplateURL: 'https://s3/x.yaml'}}\n",
        encoding="utf-8",
    )

    outer = Template.read(tmp_path / "outer.yaml")

    arn = f"arn:aws:ecs:{ACCOUNT}:service/default/a"
    assert [service.properties["ServiceName"] for service in outer.services()] == ["a", arn]
    found = outer.find(arn)
    assert found is not None
    assert found.template.place.stack_name == "rehearsal-One"
    assert list(outer.not_read) == [("Far", "a nested stack whose template is not a local file")]
    assert isinstance(outer.resolve({"Fn::GetAtt": ["Far", "Outputs.X"]}), Unresolved)


def test_templates_that_include_themselves_come_to_an_end(tmp_path: Path) -> None:
    file = tmp_path / "loop.yaml"
    stacks = "".join(
        f"  {name}: {{Type: AWS::CloudFormation::Stack, Properties: {{TemplateURL: loop.yaml}}}}\n"
        for name in ("A", "B", "C")
    )
    file.write_text(f"Resources:\n{stacks}", encoding="utf-8")

    assert len(Template.read(file).tree()) <= 50


def test_stacks_that_need_each_other_come_to_an_end(tmp_path: Path) -> None:
    (tmp_path / "in.yaml").write_text(
        "Parameters: {P: {Type: String}}\nResources: {}\nOutputs: {O: {Value: !Ref P}}\n", encoding="utf-8"
    )
    pairs = itertools.pairwise("ABCDEFGHIA")
    stacks = "".join(
        f"  {one}:\n    Type: AWS::CloudFormation::Stack\n"
        f"    Properties: {{TemplateURL: in.yaml, Parameters: {{P: !GetAtt {other}.Outputs.O}}}}\n"
        for one, other in pairs
    )
    (tmp_path / "out.yaml").write_text(f"Resources:\n{stacks}", encoding="utf-8")

    one = Template.read(tmp_path / "out.yaml")

    assert isinstance(one.resolve({"Fn::GetAtt": ["A", "Outputs.O"]}), Unresolved)


def test_names_that_need_each_other_come_to_an_end() -> None:
    circle = "".join(
        f"  {one}: {{Type: AWS::SNS::Topic, Properties: {{TopicName: !Sub 'x${{{other}.TopicName}}'}}}}\n"
        for one, other in itertools.pairwise("ABCA")
    )
    chain = "".join(
        f"  T{n}: {{Type: AWS::SNS::Topic, Properties: {{TopicName: !Sub '${{T{n + 1}.TopicName}}x'}}}}\n"
        for n in range(200)
    )
    one = template(f"Resources:\n{circle}{chain}  T200: {{Type: AWS::SNS::Topic}}\n")

    assert len(one.resources()) == 204


def test_texts_can_not_be_multiplied_without_end() -> None:
    big = "x" * 4000
    many = "${P}" * 10_000
    one = template(f"Parameters: {{P: {{Type: String, Default: {big}}}}}\nResources: {{}}\n")

    assert isinstance(one.resolve({"Fn::Sub": many}), Unresolved)


def test_values_can_not_be_nested_without_end() -> None:
    value: Any = "x"
    for _ in range(200):
        value = [value]

    assert "nested more than 64 deep" in str(template("Resources: {}").resolve(value))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Resources: {}\nParameters: {P: {Default: " + "x" * 4097 + "}}", "longer than 4096 characters"),
        ("Resources: {}\nParameters: {P: {AllowedValues: [a]}}", "expected one of a, got 'z'"),
        ("Resources: {}\nMappings: []\nOutputs: 3", "Outputs: expected a map, got 3"),
    ],
)
def test_a_template_that_makes_no_sense_is_refused_with_the_place(text: str, message: str) -> None:
    given = {} if "Default" in text else {"P": "z"}

    with pytest.raises(DocumentError, match=re.escape(message)):
        template(text, **given)


def test_the_projects_own_template_resolves() -> None:
    root = Path(__file__).parents[2] / "template.yaml"

    functions = {function.logical_id: function for function in Template.read(root).functions()}

    approval = functions["ManualApprovalFunction"]
    assert approval.handler == "hooks.manual_approval.handler.handler"
    assert approval.statements
    assert not [value for value in approval.environment.values() if isinstance(value, Unresolved)]

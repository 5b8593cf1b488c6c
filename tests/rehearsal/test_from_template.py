"""A template's service as the parts of a scenario, and what is said where a template does not tell."""

import json
from pathlib import Path
from typing import Any

import pytest

from rehearsal.document import DocumentError
from rehearsal.from_template import QueueSettings, Reading, read, service_names
from rehearsal.scenario import HookEntry, Scenario, Service, TestHeader
from rehearsal.strategy import Strategy
from rehearsal.template_services import NotInTemplateError
from shared.lifecycle import Stage

UNICORN_WATCH = Path(__file__).parents[2] / "examples" / "unicorn_watch" / "template.yaml"

TASKS = """\
  Tasks:
    Type: AWS::ECS::TaskDefinition
    Properties:
      Family: checkout
      RuntimePlatform: {CpuArchitecture: ARM64}
      ContainerDefinitions:
        - {Name: app, Image: "123456789012.dkr.ecr.us-east-1.amazonaws.com/shop/checkout@sha256:0a"}
        - {Name: proxy, Image: "public.ecr.aws/envoy/envoy:v1.31"}
"""
FUNCTION = "arn:aws:lambda:us-east-1:123456789012:function"
ROLE = "arn:aws:iam::123456789012:role/hooks"


def template(
    folder: Path, deployment: str = "{Strategy: BLUE_GREEN}", *, more: str = "", resources: str = TASKS
) -> str:
    """Write a template of one service; returns its path."""
    file = folder / "template.yaml"
    file.write_text(
        f"Resources:\n  Service:\n    Type: AWS::ECS::Service\n    Properties:\n      ServiceName: checkout\n"
        f"      Cluster: shop\n      TaskDefinition: !Ref Tasks\n{more}"
        + (f"      DeploymentConfiguration: {deployment}\n" if deployment else "")
        + resources
    )
    return str(file)


def hook(**keys: Any) -> str:
    """Return the deployment of a service with one hook, as YAML's flow."""
    entry = {
        "HookTargetArn": f"{FUNCTION}:shop-ManualApprovalFunction",
        "RoleArn": ROLE,
        "LifecycleStages": ["POST_TEST_TRAFFIC_SHIFT"],
        **keys,
    }
    return json.dumps({"Strategy": "BLUE_GREEN", "LifecycleHooks": [entry]})


def assumed(reading: Reading) -> list[tuple[int, str]]:
    return [(note.where.line, note.text) for note in reading.notes if note.kind == "assumed"]


def test_everything_a_scenario_needs_is_read(tmp_path: Path) -> None:
    reading = read(
        template(
            tmp_path,
            """
        Strategy: CANARY
        BakeTimeInMinutes: 20
        CanaryConfiguration: {CanaryPercent: 12.5, CanaryBakeTimeInMinutes: 3}
        Alarms: {AlarmNames: [!Ref Errors, shop-latency], Enable: true, Rollback: true}
        LifecycleHooks:
          - HookTargetArn: !GetAtt ManualApprovalFunction.Arn
            RoleArn: arn:aws:iam::123456789012:role/hooks
            LifecycleStages: [PRE_PRODUCTION_TRAFFIC_SHIFT]
            HookDetails: '{"expiresAfterMinutes": 60}'
            TimeoutConfiguration: {TimeoutInMinutes: 90, Action: CONTINUE}
          - TargetType: PAUSE
            LifecycleStages: [POST_SCALE_UP]
            TimeoutConfiguration: {TimeoutInMinutes: 20160}
          - HookTargetArn: arn:aws:lambda:us-east-1:123456789012:function:warm-caches:live
            RoleArn: arn:aws:iam::123456789012:role/hooks
            LifecycleStages: [POST_SCALE_UP, POST_TEST_TRAFFIC_SHIFT]
            HookDetails: {cache: all}""",
            more="""\
      DesiredCount: 3
      LoadBalancers:
        - ContainerName: app
          TargetGroupArn: !Ref Group
      ServiceConnectConfiguration:
        Enabled: true
        Services:
          - PortName: http
            ClientAliases:
              - {Port: 80, DnsName: shop, TestTrafficRules: {Header: {Name: X-Try, Value: {Exact: "1"}}}}
""",
            resources=TASKS
            + """\
  Group: {Type: "AWS::ElasticLoadBalancingV2::TargetGroup", Properties: {Protocol: HTTP}}
  Errors: {Type: "AWS::CloudWatch::Alarm"}
  Orders:
    Type: AWS::SQS::Queue
    Properties:
      QueueName: orders
      VisibilityTimeout: 90
      RedrivePolicy: {deadLetterTargetArn: x, maxReceiveCount: 4}
  ManualApprovalFunction:
    Type: AWS::Serverless::Function
    Properties:
      Handler: hooks.manual_approval.handler.handler
      Environment: {Variables: {HOOK_POLICY: '{"requiredApprovals": 2}'}}
""",
        ),
        None,
    )

    assert reading.service == Service(
        name="checkout",
        cluster="shop",
        exposure="alb+service-connect",
        tasks=3,
        architecture="ARM64",
        images={
            "app": ("shop/checkout:41", "shop/checkout:42"),
            "proxy": ("envoy/envoy:v1.31", "envoy/envoy:v1.31"),
        },
        testHeader=TestHeader(name="X-Try", value="1"),
        address="shop:80",
    )
    assert reading.strategy == Strategy(
        type="CANARY", bakeTimeInMinutes=20, canaryPercent=12.5, canaryBakeTimeInMinutes=3
    )
    assert reading.alarms == ("rehearsal-Errors", "shop-latency")
    assert reading.hooks == (
        HookEntry(
            hook="manual_approval",
            stages=(Stage.PRE_PRODUCTION_TRAFFIC_SHIFT,),
            hookDetails='{"expiresAfterMinutes": 60}',
            policy={"requiredApprovals": 2},
            timeoutInMinutes=90,
            action="CONTINUE",
        ),
        HookEntry(hook="pause", stages=(Stage.POST_SCALE_UP,), timeoutInMinutes=20160),
        HookEntry(
            hook="scripted",
            name="warm-caches",
            stages=(Stage.POST_SCALE_UP, Stage.POST_TEST_TRAFFIC_SHIFT),
            replies=({"hookStatus": "SUCCEEDED"},),
        ),
    )
    assert reading.queues == {"orders": QueueSettings(visibility_seconds=90, dead_letter_after=4)}
    assert assumed(reading) == [
        (32, "warm-caches is none of this project's hooks; it always answers SUCCEEDED here")
    ]


LISTENER = """\
  Group: {Type: "AWS::ElasticLoadBalancingV2::TargetGroup", Properties: {Protocol: PROTOCOL}}
  Rule:
    Type: AWS::ElasticLoadBalancingV2::ListenerRule
    Properties:
      ListenerArn: arn:aws:elasticloadbalancing:us-east-1:123456789012:listener/app/shop/0a/0b
      Conditions:
        - {Field: path-pattern, PathPatternConfig: {Values: ["/*"]}}
        - {Field: http-header, HttpHeaderConfig: {HttpHeaderName: X-Try, Values: [green, test]}}
"""
BALANCED = """\
      LoadBalancers:
        - TargetGroupArn: !Ref Group
          AdvancedConfiguration: {TestListenerRule: !Ref Rule}
"""


@pytest.mark.parametrize(
    ("protocol", "more", "exposure", "header"),
    [
        ("HTTP", BALANCED, "alb", TestHeader(name="X-Try", value="green")),
        ("TCP", BALANCED, "nlb", TestHeader(name="X-Try", value="green")),
        ("HTTP", "", "headless", None),
        # A client of Service Connect offers nothing.
        ("HTTP", "      ServiceConnectConfiguration: {Enabled: true}\n", "headless", None),
        (
            "HTTP",
            "      ServiceConnectConfiguration: {Enabled: true, Services: [{PortName: http}]}\n",
            "service-connect",
            None,
        ),
        (
            "HTTP",
            "      ServiceConnectConfiguration: {Enabled: false, Services: [{PortName: http}]}\n",
            "headless",
            None,
        ),
    ],
)
def test_the_exposure_is_read(
    tmp_path: Path, protocol: str, more: str, exposure: str, header: TestHeader | None
) -> None:
    resources = TASKS + LISTENER.replace("PROTOCOL", protocol)

    service = read(template(tmp_path, more=more, resources=resources), "checkout").service

    assert (service.exposure, service.test_header) == (exposure, header)


@pytest.mark.parametrize("rules", ["{Header: x}", "{Header: {Name: X-Try}}", "[]", "!ImportValue rules"])
def test_a_header_that_can_not_be_told_is_none(tmp_path: Path, rules: str) -> None:
    alias = f"{{Port: 80, DnsName: shop, TestTrafficRules: {rules}}}"
    offered = f"{{Enabled: true, Services: [{{PortName: http, ClientAliases: [{alias}]}}]}}"
    more = f"      ServiceConnectConfiguration: {offered}\n"

    service = read(template(tmp_path, more=more), None).service

    assert (service.exposure, service.test_header, service.address) == ("service-connect", None, "shop:80")


@pytest.mark.parametrize(
    ("deployment", "strategy"),
    [
        ("{Strategy: BLUE_GREEN}", Strategy(type="BLUE_GREEN", bakeTimeInMinutes=15)),
        ("{Strategy: ROLLING, MaximumPercent: 200}", Strategy(type="ROLLING")),
        (
            "{Strategy: LINEAR, LinearConfiguration: {StepPercent: '20.5', StepBakeTimeInMinutes: 0}}",
            Strategy(type="LINEAR", stepPercent=20.5, stepBakeTimeInMinutes=0),
        ),
        ("{Strategy: LINEAR}", Strategy(type="LINEAR")),
    ],
)
def test_the_strategy_is_read_with_the_defaults_of_ecs(
    tmp_path: Path, deployment: str, strategy: Strategy
) -> None:
    offered = "      ServiceConnectConfiguration: {Enabled: true, Services: [{PortName: http}]}\n"

    assert read(template(tmp_path, deployment, more=offered), None).strategy == strategy


@pytest.mark.parametrize(
    ("details", "read_as"),
    [
        (None, None),
        ('{"requiredApprovals": 2}', '{"requiredApprovals": 2}'),
        ({"requiredApprovals": 2}, {"requiredApprovals": 2}),
        # What is wrong in them is for the hook to say, as it will when it is deployed.
        ("{broken", "{broken"),
        ({"requiredApprovals": {"Fn::ImportValue": "count"}, "onExpiry": "refuse"}, {"onExpiry": "refuse"}),
        ({"Fn::ImportValue": "details"}, None),
    ],
)
def test_the_settings_of_a_hook_are_what_the_template_says(
    tmp_path: Path, details: object, read_as: object
) -> None:
    more = {} if details is None else {"HookDetails": details}

    (entry,) = read(template(tmp_path, hook(**more)), None).hooks

    assert (entry.hook, entry.hook_details) == ("manual_approval", read_as)


def test_a_scenario_may_replace_settings_one_by_one(tmp_path: Path) -> None:
    file = template(tmp_path, hook(HookDetails='{"expiresAfterMinutes": 60, "requiredApprovals": 2}'))

    (entry,) = read(file, None, hook_details={"manual_approval": {"expiresAfterMinutes": 5}}).hooks

    assert entry.hook_details == {"expiresAfterMinutes": 5, "requiredApprovals": 2}


@pytest.mark.parametrize(
    ("deployment", "more", "line", "words"),
    [
        ("", "", 4, "no DeploymentConfiguration: ECS deploys by ROLLING and calls no hook"),
        (
            "{Strategy: BLUE_GREEN, BakeTimeInMinutes: !ImportValue bake}",
            "",
            8,
            "BakeTimeInMinutes can't be told ('bake' is exported by another stack); ECS's default here",
        ),
        (
            "{Strategy: BLUE_GREEN, Alarms: {AlarmNames: [!ImportValue errors], Enable: true}}",
            "",
            8,
            "an alarm's name can't be told ('errors' is exported by another stack); errors here",
        ),
        (
            "{Strategy: BLUE_GREEN, LifecycleHooks: !ImportValue hooks}",
            "",
            8,
            "LifecycleHooks can't be told ('hooks' is exported by another stack); none here",
        ),
        (
            hook(LifecycleStages={"Fn::ImportValue": "stages"}),
            "",
            8,
            "hook 1 is left out: LifecycleStages can't be told ('stages' is exported by another stack)",
        ),
        (
            hook(HookTargetArn={"Fn::ImportValue": "shop-warm-caches"}),
            "",
            8,
            "shop-warm-caches is none of this project's hooks; it always answers SUCCEEDED here",
        ),
        (
            hook(HookTargetArn={"Fn::Teleport": "x"}),
            "",
            8,
            "hook-1 is none of this project's hooks; it always answers SUCCEEDED here",
        ),
        (
            "{Strategy: BLUE_GREEN}",
            "      DesiredCount: !ImportValue count\n",
            8,
            "DesiredCount can't be told ('count' is exported by another stack); 2 here",
        ),
        ("{Strategy: BLUE_GREEN}", "      DesiredCount: 0\n", 8, "0 tasks; 1 here"),
    ],
)
def test_what_can_not_be_told_is_assumed_and_said(
    tmp_path: Path, deployment: str, more: str, line: int, words: str
) -> None:
    assert (line, words) in assumed(read(template(tmp_path, deployment, more=more), None))


def test_a_hook_of_this_project_is_known_by_the_name_of_what_leads_to_it(tmp_path: Path) -> None:
    (entry,) = read(
        template(tmp_path, hook(HookTargetArn={"Fn::ImportValue": "hooks-ManualApprovalFunctionArn"})), None
    ).hooks

    assert entry.hook == "manual_approval"


@pytest.mark.parametrize(
    ("deployment", "more", "message"),
    [
        (
            "!ImportValue deployment",
            "",
            "8: Service DeploymentConfiguration: it can't be told how it deploys: "
            "'deployment' is exported by another stack",
        ),
        (
            "{Strategy: CANARY}",
            "",
            "8: Service DeploymentConfiguration.Strategy: "
            "CANARY needs a load balancer or Service Connect, and the service has neither",
        ),
        (
            "{Strategy: GREEN_BLUE}",
            "",
            "8: Service DeploymentConfiguration.Strategy: "
            "input should be 'BLUE_GREEN', 'CANARY', 'LINEAR' or 'ROLLING', got GREEN_BLUE",
        ),
        (
            "{Strategy: BLUE_GREEN, BakeTimeInMinutes: 2000}",
            "",
            "8: Service DeploymentConfiguration.BakeTimeInMinutes: "
            "input should be less than or equal to 1440, got 2000",
        ),
        (
            "{Strategy: BLUE_GREEN, BakeTimeInMinutes: soon}",
            "",
            "8: Service DeploymentConfiguration.BakeTimeInMinutes: expected a number, got 'soon'",
        ),
        (
            hook(LifecycleStages=["POST_TEST_TRAFIC_SHIFT"]),
            "",
            "8: Service hook 1 LifecycleStages.0: there is no hook stage 'POST_TEST_TRAFIC_SHIFT'",
        ),
        (
            hook(TimeoutConfiguration={"TimeoutInMinutes": 2000}),
            "",
            "8: Service hook 1: a Lambda hook's time-out is at most 1440 minutes",
        ),
        (
            hook(TimeoutConfiguration={"TimeoutInMinutes": 0}),
            "",
            "8: Service hook 1 TimeoutConfiguration.TimeoutInMinutes: "
            "input should be greater than or equal to 1, got 0",
        ),
        (hook(TargetType="SNS"), "", "8: Service hook 1 TargetType: expected AWS_LAMBDA or PAUSE, got 'SNS'"),
        (
            hook(TargetType="PAUSE", LifecycleStages=["TEST_TRAFFIC_SHIFT"]),
            "",
            "8: Service hook 1: a PAUSE hook can't be at TEST_TRAFFIC_SHIFT or PRODUCTION_TRAFFIC_SHIFT",
        ),
        (hook(HookDetails=5), "", "8: Service hook 1 HookDetails: expected a JSON object, got 5"),
        (
            "{Strategy: BLUE_GREEN}",
            "      DesiredCount: many\n",
            "8: Service DesiredCount: expected a number of tasks, got 'many'",
        ),
    ],
)
def test_what_ecs_would_reject_is_one_line_with_the_place(
    tmp_path: Path, deployment: str, more: str, message: str
) -> None:
    file = template(tmp_path, deployment, more=more)

    with pytest.raises(DocumentError) as caught:
        read(file, None)

    assert str(caught.value) == f"{file}:{message}"


# Which service


@pytest.mark.parametrize("name", ["ui", "Ui", "Ui.Service"])
def test_a_service_has_its_name_its_logical_id_and_its_stacks(name: str) -> None:
    assert read(UNICORN_WATCH, name).service.name == "ui"


def test_all_services_of_the_example_are_found() -> None:
    names = ["catalog", "load-generator", "notifications", "streaming", "ui"]

    assert service_names(UNICORN_WATCH) == names
    exposures = {name: read(UNICORN_WATCH, name).service.exposure for name in names}
    assert exposures == {
        "catalog": "alb+service-connect",
        "load-generator": "headless",
        "notifications": "headless",
        "streaming": "nlb",
        "ui": "alb",
    }


def test_the_whole_projects_template_has_them_too() -> None:
    root = UNICORN_WATCH.parents[2] / "template.yaml"
    catalog = read(root, "Catalog", parameters={"IncludeUnicornWatch": "true"})

    assert (catalog.service.name, [one.hook for one in catalog.hooks]) == (
        "catalog",
        ["image_trust", "load_test", "canary_comparison"],
    )


@pytest.mark.parametrize(
    ("name", "parameters", "key", "words"),
    [
        (None, {}, "service", "there are 5 services, name one of catalog, load-generator, notifications, "),
        ("catalgo", {}, "service", "no service is called 'catalgo'; did you mean catalog?"),
        ("basket", {}, "service", "no service is called 'basket'; there is catalog, load-generator, "),
        (
            "Service",
            {},
            "service",
            "'Service' is any of catalog, load-generator, notifications, streaming, ui",
        ),
        ("ui", {"CatalogStrateg": "LINEAR"}, "parameters", "no parameter 'CatalogStrateg', did you mean "),
    ],
)
def test_what_is_not_in_the_template_is_answered_with_what_is(
    name: str | None, parameters: dict[str, str], key: str, words: str
) -> None:
    with pytest.raises(NotInTemplateError) as caught:
        read(UNICORN_WATCH, name, parameters=parameters)

    assert caught.value.key == key
    assert str(caught.value).startswith(words)


NESTS = "Resources:\n  Inner:\n    Type: AWS::CloudFormation::Stack\n    Properties: {TemplateURL: %s}\n"


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("none.yaml", "can't be read: the nested template 'none.yaml' is not a file here"),
        ("outer.yaml", "can't be read: the template 'outer.yaml' nests itself, without end"),
        (
            "broken.yaml",
            "can't be read: FOLDER/broken.yaml:1: Resources: expected a template with a map of Resources",
        ),
        (
            "https://s3.example.com/inner.yaml",
            "is not looked into: a nested stack whose template is not a local file",
        ),
    ],
)
def test_a_nested_stack_that_can_not_be_read_is_named(tmp_path: Path, location: str, reason: str) -> None:
    (tmp_path / "broken.yaml").write_text("[]\n")
    outer = tmp_path / "outer.yaml"
    outer.write_text(NESTS % location)
    reason = reason.replace("FOLDER", str(tmp_path))

    with pytest.raises(NotInTemplateError) as caught:
        read(outer, "ui")

    assert str(caught.value) == f"there is no AWS::ECS::Service; Inner {reason} ({outer}:2)"


def test_two_templates_that_nest_each_other_come_to_an_end(tmp_path: Path) -> None:
    template(tmp_path, resources=TASKS + (NESTS % "other.yaml").removeprefix("Resources:\n"))
    (tmp_path / "other.yaml").write_text(NESTS % "template.yaml")

    reading = read(tmp_path / "template.yaml", None)

    other = tmp_path / "other.yaml"
    assert [note.text for note in reading.notes if str(other) in note.where.file] == [
        "Inner can't be read: the template 'template.yaml' nests itself, without end"
    ]


def test_what_the_cdk_writes_is_read(tmp_path: Path) -> None:
    nested = template(tmp_path, hook(HookTargetArn={"Ref": "Hook"}))
    Path(nested).rename(tmp_path / "shop.nested.template.json")
    stack = {
        "Resources": {
            "ShopNestedStack96DF3A08": {
                "Type": "AWS::CloudFormation::Stack",
                "Properties": {
                    "TemplateURL": {
                        "Fn::Join": [
                            "",
                            [
                                "https://s3.us-east-1.",
                                {"Ref": "AWS::URLSuffix"},
                                "/cdk-hnb659fds-assets-123456789012-us-east-1/0a.json",
                            ],
                        ]
                    },
                },
                "Metadata": {
                    "aws:cdk:path": "App/Shop",
                    "aws:asset:path": "shop.nested.template.json",
                    "aws:asset:property": "TemplateURL",
                },
            },
            "CDKMetadata": {"Type": "AWS::CDK::Metadata", "Properties": {"Analytics": "v2:deflate64:"}},
        },
        "Parameters": {
            "BootstrapVersion": {
                "Type": "AWS::SSM::Parameter::Value<String>",
                "Default": "/cdk-bootstrap/hnb659fds/version",
            }
        },
    }
    file = tmp_path / "App.template.json"
    file.write_text(json.dumps(stack))

    assert read(file, "checkout").hooks[0].stages == (Stage.POST_TEST_TRAFFIC_SHIFT,)


# In a scenario


SCENARIO = "template: {file: template.yaml}\nexpect: {status: SUCCESSFUL}\n"


def scenario(folder: Path, text: str = SCENARIO) -> Scenario:
    file = folder / "scenario.yaml"
    file.write_text(text)
    return Scenario.read(file)


def test_a_scenario_has_what_its_template_has(tmp_path: Path) -> None:
    template(tmp_path, hook())

    read_from = scenario(tmp_path)

    reading = read(tmp_path / "template.yaml", "checkout")
    assert (read_from.service, read_from.strategy, read_from.alarms, read_from.hooks) == (
        reading.service,
        reading.strategy,
        reading.alarms,
        reading.hooks,
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (SCENARIO + "hooks: []\n", "3: hooks: the template says what hooks is; leave this or template out"),
        (
            SCENARIO + "service: {name: ui}\n",
            "3: service: the template says what service is; leave this or template out",
        ),
        (
            SCENARIO.replace("}\n", ", service: basket}\n", 1),
            "1: template.service: no service is called 'basket'; there is checkout",
        ),
        (
            SCENARIO.replace("}\n", ", parameters: {Stage: prod}}\n", 1),
            "1: template.parameters: no parameter 'Stage'; there is none",
        ),
        (
            SCENARIO.replace("}\n", ", hookDetails: {manual_aproval: {}}}\n", 1),
            "1: template.hookDetails: no such hook here: manual_aproval, did you mean 'manual_approval'?",
        ),
        (
            SCENARIO.replace("}\n", ", servis: checkout}\n", 1),
            "1: template.servis: unknown key, did you mean 'service'?",
        ),
        (
            SCENARIO.replace("{status: SUCCESSFUL}", "{status: SUCCESSFUL, answers: {pause: FAILED}}"),
            "2: expect.answers.pause: no such hook here",
        ),
    ],
)
def test_a_wrong_scenario_of_a_template_is_one_line_with_the_place(
    tmp_path: Path, text: str, message: str
) -> None:
    template(tmp_path, hook())

    with pytest.raises(DocumentError) as caught:
        scenario(tmp_path, text)

    assert str(caught.value) == f"{tmp_path / 'scenario.yaml'}:{message}"


def test_the_scenario_of_the_documentation_is_one(tmp_path: Path) -> None:
    page = (UNICORN_WATCH.parents[2] / "docs" / "rehearsal.md").read_text()
    (block,) = [one for one in page.split("```")[1::2] if one.startswith("yaml\n") and "\ntemplate:" in one]
    text = block.removeprefix("yaml\n").replace(
        "../../examples/unicorn_watch/template.yaml", str(UNICORN_WATCH)
    )

    read_from = scenario(tmp_path, text.replace("[...]", "[]"))

    assert read_from.strategy.steps == (25.0, 50.0, 75.0, 100.0)
    (load_test,) = [hook for hook in read_from.hooks if hook.hook == "load_test"]
    assert isinstance(load_test.hook_details, dict)
    assert load_test.hook_details["load"] == [{"seconds": 90, "at": 40}]
    assert load_test.hook_details["onFirstDeployment"] == "skip"

"""One service in four languages: each is valid by itself, and all attach the same hooks in the same way.

::

    cloudformation.yaml ──┐
    cdk/app.py ── synth ──┤
    terraform/main.tf ────┼──▶ a request to CreateService ──▶ botocore's model, rehearse check, WANTED
    cli/*.json ───────────┘

References (a resource, a parameter, an output of the hooks' stack) become the name of what they refer to.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from botocore.model import ListShape, Shape, StructureShape
from botocore.validate import ParamValidator

from rehearsal.aws.call import operation_model
from rehearsal.check.command import check
from rehearsal.check.hooks import known_hooks
from rehearsal.cli import main
from rehearsal.document import Document
from rehearsal.template import Template
from tests.conftest import MakeOnce
from tests.docs import aws_commands

ROOT = Path(__file__).parents[2]
ATTACH = ROOT / "examples" / "attach"
PAGE = ROOT / "docs" / "attaching.md"
CFN_LINT = Path(sys.executable).parent / "cfn-lint"

OUTPUTS = {
    "HookInvocationRoleArn",
    "ImageTrustFunctionArn",
    "ManualApprovalFunctionArn",
    "CanaryComparisonFunctionArn",
}

WANTED: dict[str, Any] = {
    "strategy": "CANARY",
    "canaryConfiguration": {"canaryPercent": 10, "canaryBakeTimeInMinutes": 10},
    "bakeTimeInMinutes": 30,
    "alarms": {"alarmNames": ["checkout-5xx"], "enable": True, "rollback": True},
    "lifecycleHooks": [
        {
            "hookTargetArn": "ImageTrustFunctionArn",
            "roleArn": "HookInvocationRoleArn",
            "lifecycleStages": ["PRE_SCALE_UP", "POST_SCALE_UP"],
            "timeoutConfiguration": {"timeoutInMinutes": 60, "action": "ROLLBACK"},
        },
        {
            "hookTargetArn": "ManualApprovalFunctionArn",
            "roleArn": "HookInvocationRoleArn",
            "lifecycleStages": ["POST_TEST_TRAFFIC_SHIFT"],
            "hookDetails": {"requiredApprovals": 2, "expiresAfterMinutes": 480},
            "timeoutConfiguration": {"timeoutInMinutes": 500, "action": "ROLLBACK"},
        },
        {
            "hookTargetArn": "CanaryComparisonFunctionArn",
            "roleArn": "HookInvocationRoleArn",
            "lifecycleStages": ["PRODUCTION_TRAFFIC_SHIFT"],
            "hookDetails": {"holdMinutes": 15},
            "timeoutConfiguration": {"timeoutInMinutes": 60, "action": "ROLLBACK"},
        },
    ],
}
LOAD_BALANCERS = [
    {
        "containerName": "app",
        "containerPort": 8080,
        "targetGroupArn": "group a",
        "advancedConfiguration": {
            "alternateTargetGroupArn": "group b",
            "productionListenerRule": "production rule",
            "testListenerRule": "test rule",
            "roleArn": "load balancer role",
        },
    }
]
WEIGHTS = {"group a": 1, "group b": 0}
RULES = {
    "test rule": {"priority": 10, "path": ["/checkout/*"], "X-BG-Test": ["green"], "weights": WEIGHTS},
    "production rule": {"priority": 20, "path": ["/checkout/*"], "weights": WEIGHTS},
}
# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeploymentConfiguration.html
DEFAULTS = {"maximumPercent": 200, "minimumHealthyPercent": 100}


def without_time_outs(configuration: Mapping[str, Any]) -> dict[str, Any]:
    hooks = [
        {key: value for key, value in hook.items() if key != "timeoutConfiguration"}
        for hook in configuration["lifecycleHooks"]
    ]
    return {**configuration, "lifecycleHooks": hooks}


# ------------------------------------------------------------------------------------------------ validity


def outside_enums(value: Any, shape: Shape, where: str = "") -> Iterator[str]:
    """Yield values that the API does not list; botocore leaves that to AWS."""
    if isinstance(shape, StructureShape) and not shape.is_document_type:
        for key, item in value.items():
            yield from outside_enums(item, shape.members[key], f"{where}.{key}")
    elif isinstance(shape, ListShape):
        for item in value:
            yield from outside_enums(item, shape.member, where)
    elif value not in shape.metadata.get("enum", [value]):
        yield f"{where}: {value}"


def problems_of_request(operation: str, request: dict[str, Any]) -> list[str]:
    """Say what the ECS API's model has against a request."""
    shape = operation_model("ecs", operation).input_shape
    assert shape is not None
    report = ParamValidator().validate(request, shape)
    return [report.generate_report()] if report.has_errors() else [*outside_enums(request, shape)]


def problems_of_template(template: Template) -> list[str]:
    """Say what `rehearse check` finds, beside what only the account knows."""
    return [
        f"{finding.rule}: {finding.message}"
        for finding in check(template, known_hooks())
        if finding.rule != "not-checked"
    ]


def as_cloudformation(value: Any) -> Any:
    """Spell a part of a request as CloudFormation does, with hook details as the text that it asks for."""
    if isinstance(value, list):
        return [as_cloudformation(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key[0].upper() + key[1:]: json.dumps(item) if key == "hookDetails" else as_cloudformation(item)
        for key, item in value.items()
    }


def as_request(value: Any) -> Any:
    """Spell CloudFormation's properties as the API does."""
    if isinstance(value, list):
        return [as_request(item) for item in value]
    if not isinstance(value, dict):
        return value
    spelt = {key[0].lower() + key[1:]: as_request(item) for key, item in value.items()}
    if "hookDetails" in spelt:
        spelt["hookDetails"] = json.loads(spelt["hookDetails"])
    return spelt


def check_as_template(configuration: dict[str, Any]) -> list[str]:
    """Let `rehearse check` read a deployment configuration that was not written for CloudFormation."""
    arns = {name: f"arn:aws:lambda:eu-west-1:123456789012:function:{name}" for name in OUTPUTS}
    arns["HookInvocationRoleArn"] = "arn:aws:iam::123456789012:role/invocation"
    hooks = [
        {**hook, "hookTargetArn": arns[hook["hookTargetArn"]], "roleArn": arns[hook["roleArn"]]}
        for hook in configuration["lifecycleHooks"]
    ]
    arn = "arn:aws:elasticloadbalancing:eu-west-1:123456789012"
    rule = f"{arn}:listener-rule/app/shop/50dc6c495c0c9188/f2f7dc8efc522ab2"
    service = {
        "DeploymentConfiguration": as_cloudformation({**configuration, "lifecycleHooks": hooks}),
        "LoadBalancers": [
            {
                "ContainerName": "app",
                "ContainerPort": 8080,
                "TargetGroupArn": f"{arn}:targetgroup/a/73e2d6bc24d8a067",
                "AdvancedConfiguration": {
                    "AlternateTargetGroupArn": f"{arn}:targetgroup/b/1b2c3d4e5f6a7b8c",
                    "ProductionListenerRule": f"{rule}/9683b2d02a6cabee",
                    "TestListenerRule": f"{rule}/1291d13826f405c3",
                    "RoleArn": "arn:aws:iam::123456789012:role/load-balancer",
                },
            }
        ],
    }
    text = json.dumps({"Resources": {"Service": {"Type": "AWS::ECS::Service", "Properties": service}}})
    return problems_of_template(Template(Document.parse(text, "made.json")))


# ----------------------------------------------------------------------------------------- CloudFormation


class Stack:
    """The service in a template, with names in place of references."""

    def __init__(self, template: dict[str, Any], names: Mapping[str, str]) -> None:
        resources = template["Resources"]
        self._names = names

        def of(kind: str) -> dict[str, Any]:
            return {key: value["Properties"] for key, value in resources.items() if value["Type"] == kind}

        (service,) = of("AWS::ECS::Service").values()
        self.service = as_request(self._named(service))
        self.rules = {
            self._names[key]: self._rule(rule)
            for key, rule in of("AWS::ElasticLoadBalancingV2::ListenerRule").items()
        }
        roles = of("AWS::IAM::Role")
        self.load_balancer_role = next(roles[key] for key in roles if names.get(key) == "load balancer role")

    @property
    def deployment_configuration(self) -> dict[str, Any]:
        given: dict[str, Any] = self.service["deploymentConfiguration"]
        return {key: value for key, value in given.items() if DEFAULTS.get(key) != value}

    def _named(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._named(item) for item in value]
        if isinstance(value, str):
            return self._names.get(value, value)
        if not isinstance(value, dict):
            return value
        if len(value) == 1 and "Ref" in value:
            return self._names.get(value["Ref"], value["Ref"])
        if len(value) == 1 and "Fn::GetAtt" in value:
            resource = value["Fn::GetAtt"]
            return self._names[resource[0] if isinstance(resource, list) else resource.split(".")[0]]
        return {key: self._named(item) for key, item in value.items()}

    def _rule(self, rule: dict[str, Any]) -> dict[str, Any]:
        (action,) = self._named(rule["Actions"])
        assert action["Type"] == "forward"
        found = {
            "priority": rule["Priority"],
            "weights": {
                group["TargetGroupArn"]: group["Weight"] for group in action["ForwardConfig"]["TargetGroups"]
            },
        }
        for condition in rule["Conditions"]:
            if condition["Field"] == "path-pattern":
                found["path"] = condition["PathPatternConfig"]["Values"]
            else:
                header = condition["HttpHeaderConfig"]
                found[header["HttpHeaderName"]] = header["Values"]
        return found


CLOUDFORMATION = ATTACH / "cloudformation.yaml"
CLOUDFORMATION_NAMES = {
    "TargetGroupA": "group a",
    "TargetGroupB": "group b",
    "TestRule": "test rule",
    "ProductionRule": "production rule",
    "LoadBalancerRole": "load balancer role",
    "ErrorsAlarm": "checkout-5xx",
}


def cloudformation() -> Stack:
    return Stack(Document.read(CLOUDFORMATION).data, CLOUDFORMATION_NAMES)


def lint(file: Path, *options: str) -> tuple[int, str]:
    done = subprocess.run([CFN_LINT, file, *options], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout


def test_the_cloudformation_template_is_clean_for_cfn_lint() -> None:
    assert lint(CLOUDFORMATION) == (0, "")


def test_the_cloudformation_template_is_clean_for_rehearse_check() -> None:
    assert problems_of_template(Template.read(CLOUDFORMATION)) == []


def test_cloudformation_asks_for_what_the_hooks_stack_puts_out() -> None:
    parameters = Document.read(CLOUDFORMATION).data["Parameters"]
    there = Document.read(ROOT / "template.yaml").data["Outputs"]

    named = {name for name, given in parameters.items() if "Output " in given.get("Description", "")}

    assert named == OUTPUTS
    assert named <= set(there)


def test_cloudformation_attaches_the_hooks() -> None:
    stack = cloudformation()

    assert stack.deployment_configuration == WANTED
    assert stack.service["loadBalancers"] == LOAD_BALANCERS
    assert stack.rules == RULES


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("green", "ends"), [("healthy", "SUCCESSFUL"), ("slow-in-production", "ROLLBACK_SUCCESSFUL")]
)
def test_a_deployment_of_the_template_goes_as_the_page_says(
    capsys: pytest.CaptureFixture[str], green: str, ends: str
) -> None:
    code = main([str(CLOUDFORMATION), "--service", "checkout", "--green", green])

    assert (code, f"status   {ends}" in capsys.readouterr().out) == (0, True)


# ---------------------------------------------------------------------------------------------------- CDK

CDK = ATTACH / "cdk"


def synthesise(folder: Path) -> None:
    """Run the app as `cdk synth` does: with cdk.json's context, in an environment of its own."""
    context = json.loads((CDK / "cdk.json").read_text(encoding="utf-8"))["context"]
    uv = ROOT / ".uv" / "bin" / "uv"
    subprocess.run(
        [
            *(str(uv) if uv.exists() else "uv", "run", "--quiet", "--no-project", "--isolated"),
            *("--python", sys.executable, "--with-requirements", "requirements.txt", "python", "app.py"),
        ],
        cwd=CDK,
        env={
            **{name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"},
            "CDK_CONTEXT_JSON": json.dumps(context),
            "CDK_OUTDIR": str(folder),
            "PYTHONDONTWRITEBYTECODE": "1",
            # Debian's node is older than what the CDK likes, and does.
            "JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION": "1",
        },
        check=True,
        capture_output=True,
    )


@pytest.fixture
def synthesised(make_once: MakeOnce) -> Path:
    return make_once("attach-cdk", synthesise) / "checkout.template.json"


def cdk_names(resources: Mapping[str, Any]) -> dict[str, str]:
    """Name what the construct library has named with a hash, and the context's ARNs after the outputs."""
    prefixes = {
        "TargetGroupA": "group a",
        "TargetGroupB": "group b",
        "TestRule": "test rule",
        "ProductionRule": "production rule",
        "ServiceAlternateTargetRole": "load balancer role",
    }
    context = json.loads((CDK / "cdk.json").read_text(encoding="utf-8"))["context"]
    names = {value: key[0].upper() + key[1:] for key, value in context.items() if isinstance(value, str)}
    for resource in resources:
        name = re.sub(r"[0-9A-F]{8}$", "", resource)
        if name in prefixes:
            names[resource] = prefixes[name]
    return {given: name for given, name in names.items() if name in {*prefixes.values(), *OUTPUTS}}


@pytest.mark.thorough
def test_the_cdk_app_attaches_the_hooks(synthesised: Path) -> None:
    template = json.loads(synthesised.read_text(encoding="utf-8"))
    stack = Stack(template, cdk_names(template["Resources"]))

    assert stack.deployment_configuration == WANTED
    assert stack.service["loadBalancers"] == LOAD_BALANCERS
    assert stack.rules == RULES
    assert "AmazonECSInfrastructureRolePolicyForLoadBalancers" in json.dumps(stack.load_balancer_role)


@pytest.mark.thorough
def test_the_cdk_template_is_clean_for_cfn_lint(synthesised: Path) -> None:
    # The construct library says in DependsOn what a Ref says already.
    assert lint(synthesised, "--ignore-checks", "W3005") == (0, "")


@pytest.mark.thorough
def test_the_cdk_template_is_clean_for_rehearse_check(synthesised: Path) -> None:
    assert problems_of_template(Template.read(synthesised)) == []


# ---------------------------------------------------------------------------------------------- Terraform

TERRAFORM = ATTACH / "terraform" / "main.tf"

# Arguments and blocks of the provider's schema, of what is used here. Read on 2026-11-24 from
# https://registry.terraform.io/providers/hashicorp/aws/latest/docs/resources/ecs_service and its like.
PROVIDER: Mapping[str, Any] = {
    "aws_ecs_service": {
        "name": str, "cluster": str, "task_definition": str, "launch_type": str, "desired_count": int,
        "depends_on": list,
        "network_configuration": {"subnets": str, "security_groups": str},
        "load_balancer": {
            "container_name": str, "container_port": int, "target_group_arn": str,
            "advanced_configuration": {
                "alternate_target_group_arn": str, "production_listener_rule": str, "test_listener_rule": str,
                "role_arn": str,
            },
        },
        "alarms": {"alarm_names": list, "enable": bool, "rollback": bool},
        "deployment_configuration": {
            "strategy": str, "bake_time_in_minutes": int,
            "canary_configuration": {"canary_percent": int, "canary_bake_time_in_minutes": int},
            "lifecycle_hook": {
                "hook_target_arn": str, "role_arn": str, "lifecycle_stages": list, "hook_details": str,
            },
        },
    },
    "aws_lb_target_group": {
        "name": str, "vpc_id": str, "target_type": str, "protocol": str, "port": int,
        "health_check": {"path": str},
    },
    "aws_lb_listener_rule": {
        "listener_arn": str, "priority": int,
        "condition": {
            "path_pattern": {"values": list}, "http_header": {"http_header_name": str, "values": list},
        },
        "action": {"type": str, "forward": {"target_group": {"arn": str, "weight": int}}},
        "lifecycle": {"ignore_changes": list},
    },
    "aws_iam_role": {"name_prefix": str, "assume_role_policy": str},
    "aws_iam_role_policy_attachment": {"role": str, "policy_arn": str},
}  # fmt: skip
TERRAFORM_NAMES = {
    "${aws_lb_target_group.a.arn}": "group a",
    "${aws_lb_target_group.b.arn}": "group b",
    "${aws_lb_listener_rule.test.arn}": "test rule",
    "${aws_lb_listener_rule.production.arn}": "production rule",
    "${aws_iam_role.load_balancer.arn}": "load balancer role",
    "${var.alarm_name}": "checkout-5xx",
    "${var.task_definition_arn}": "checkout",
    "${var.subnet_ids}": ["subnets"],
    "${var.security_group_ids}": ["security groups"],
    **{f'${{local.hooks["{name}"]}}': name for name in OUTPUTS},
}
# Blocks that the API has several of.
PLURAL = {"lifecycle_hook": "lifecycleHooks", "load_balancer": "loadBalancers"}


def plain(value: Any) -> Any:
    """Take the parser's marks off: quotes around texts, and remarks."""
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {plain(key): plain(item) for key, item in value.items() if not key.startswith("__")}
    if isinstance(value, str) and value.startswith('"'):
        return json.loads(value)
    return value


@pytest.fixture(scope="module")
def terraform() -> dict[str, Any]:
    hcl2 = pytest.importorskip("hcl2")
    with TERRAFORM.open(encoding="utf-8") as file:
        read: dict[str, Any] = plain(hcl2.load(file))
    return read


def resources(configuration: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        f"{kind}.{name}": body
        for resource in configuration["resource"]
        for kind, named in resource.items()
        for name, body in named.items()
    }


def outside_schema(body: Mapping[str, Any], schema: Mapping[str, Any], where: str) -> Iterator[str]:
    for key, value in body.items():
        wanted = schema.get(key)
        if wanted is None:
            yield f"{where}.{key} is unknown to the provider"
        elif isinstance(wanted, dict):
            for block in value:
                yield from outside_schema(block, wanted, f"{where}.{key}")
        elif type(value) is not wanted:
            yield f"{where}.{key}: {value!r} is no {wanted.__name__}"


def hcl_object(text: str) -> dict[str, int]:
    """Read ``${jsonencode({a = 1, b = 2})}``, of numbers."""
    match = re.fullmatch(r"\$\{jsonencode\(\{(.*)\}\)\}", text)
    assert match
    return {key: int(value) for key, value in re.findall(r"(\w+) = (\d+)", match[1])}


def as_api(block: Any, name: str = "") -> Any:
    """Spell a block as the API does; of a block that the API has once, the parser gives a list of one."""
    if isinstance(block, str):
        return hcl_object(block) if name == "hook_details" else TERRAFORM_NAMES.get(block, block)
    if isinstance(block, list) and block and isinstance(block[0], dict):
        several = [as_api(item) for item in block]
        if name in PLURAL:
            return several
        (one,) = several
        return one
    if isinstance(block, list):
        return [as_api(item) for item in block]
    if not isinstance(block, dict):
        return block
    return {
        PLURAL.get(key, re.sub(r"_(\w)", lambda match: match[1].upper(), key)): as_api(value, key)
        for key, value in block.items()
    }


def terraform_request(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """Make the request to CreateService that the provider makes of its resource."""
    service = as_api(resources(configuration)["aws_ecs_service.checkout"])
    del service["dependsOn"]
    service["serviceName"] = service.pop("name")
    service["networkConfiguration"] = {"awsvpcConfiguration": service["networkConfiguration"]}
    # https://registry.terraform.io/providers/hashicorp/aws/latest/docs/resources/ecs_service#alarms
    service["deploymentConfiguration"]["alarms"] = service.pop("alarms")
    made: dict[str, Any] = service
    return made


def test_terraform_uses_what_the_provider_has(terraform: dict[str, Any]) -> None:
    found = [
        problem
        for name, body in resources(terraform).items()
        for problem in outside_schema(body, PROVIDER[name.split(".")[0]], name)
    ]

    assert found == []


def test_every_reference_of_terraform_leads_somewhere(terraform: dict[str, Any]) -> None:
    text = TERRAFORM.read_text(encoding="utf-8")
    there = {
        *resources(terraform),
        *(f"var.{name}" for one in terraform["variable"] for name in one),
        *(
            f"data.{kind}.{name}"
            for one in terraform["data"]
            for kind, named in one.items()
            for name in named
        ),
        *(f"local.{name}" for one in terraform["locals"] for name in one),
    }

    referred = set(re.findall(r"\b((?:data\.)?aws_\w+\.\w+|var\.\w+|local\.\w+)", re.sub(r"#.*", "", text)))

    assert referred - there == set()
    assert {name for name in there if name.startswith("var.")} - referred == set()


def test_what_terraform_creates_is_a_valid_service(terraform: dict[str, Any]) -> None:
    request = terraform_request(terraform)
    # CloudFormation's 33 hours, which three time-outs of a day would not fit into, are not Terraform's.
    found = [
        problem
        for problem in check_as_template(request["deploymentConfiguration"])
        if not problem.startswith("total-hook-time-unsure: ")
    ]

    assert (problems_of_request("CreateService", request), found) == ([], [])


def test_terraform_attaches_the_hooks_with_ecs_own_time_outs(terraform: dict[str, Any]) -> None:
    request = terraform_request(terraform)

    assert request["deploymentConfiguration"] == without_time_outs(WANTED)
    assert request["loadBalancers"] == LOAD_BALANCERS


def terraform_rule(rule: Mapping[str, Any]) -> dict[str, Any]:
    (action,) = rule["action"]
    (forward,) = action["forward"]
    found = {
        "priority": rule["priority"],
        "weights": {TERRAFORM_NAMES[one["arn"]]: one["weight"] for one in forward["target_group"]},
    }
    for condition in rule["condition"]:
        for pattern in condition.get("path_pattern", ()):
            found["path"] = pattern["values"]
        for header in condition.get("http_header", ()):
            found[header["http_header_name"]] = header["values"]
    return found


def test_terraform_leaves_the_weights_to_ecs(terraform: dict[str, Any]) -> None:
    rules = {
        name: body for name, body in resources(terraform).items() if name.startswith("aws_lb_listener_rule.")
    }

    assert {
        TERRAFORM_NAMES[f"${{{name}.arn}}"]: terraform_rule(rule) for name, rule in rules.items()
    } == RULES
    assert [rule["lifecycle"] for rule in rules.values()] == [[{"ignore_changes": ["action"]}]] * 2


# -------------------------------------------------------------------------------------------- the AWS CLI

CLI = ATTACH / "cli"

AWS = """\
#!{python}
import json, pathlib, re, sys
with open({log!r}, "a") as log:
    print(json.dumps(sys.argv[1:]), file=log)
if sys.argv[1] == "cloudformation":
    name = re.search("OutputKey=='(.*?)'", sys.argv[-3])[1]
    print({outputs!r}.get(name, "None"))
else:
    pathlib.Path({sent!r}).write_text(pathlib.Path(sys.argv[-1].removeprefix("file://")).read_text())
"""
ARNS = {
    "HookInvocationRoleArn": "arn:aws:iam::123456789012:role/ecs-lifecycle-hooks-HookInvocationRole-1ABC",
    **{
        f"{name}FunctionArn": f"arn:aws:lambda:eu-west-1:123456789012:function:hooks-{name}-2DEF"
        for name in ("ImageTrust", "ManualApproval", "CanaryComparison")
    },
}


def run_attach(
    folder: Path, outputs: Mapping[str, str]
) -> tuple[subprocess.CompletedProcess[str], list[Any]]:
    """Run the script with an `aws` that writes down what it is asked."""
    program, log = folder / "aws", folder / "log"
    program.write_text(
        AWS.format(python=sys.executable, log=str(log), sent=str(folder / "sent"), outputs=dict(outputs)),
        encoding="utf-8",
    )
    program.chmod(0o755)
    done = subprocess.run(
        ["sh", CLI / "attach.sh"],
        env={"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}", "TMPDIR": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    return done, [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]


def test_the_script_attaches_the_hooks(tmp_path: Path) -> None:
    done, called = run_attach(tmp_path, ARNS)
    sent = json.loads((tmp_path / "sent").read_text(encoding="utf-8"))
    request = {"cluster": "shop", "service": "checkout", "deploymentConfiguration": sent}

    assert (done.returncode, done.stderr) == (0, "")
    assert called[-1][:-1] == [
        *("ecs", "update-service", "--cluster", "shop", "--service", "checkout", "--deployment-configuration")
    ]
    assert [problem for words in called for problem in aws_commands.problems(words, partial=False)] == []
    assert problems_of_request("UpdateService", request) == []
    named = json.dumps(sent)
    for name, arn in ARNS.items():
        named = named.replace(f'"{arn}"', f'"{name}"')
    assert json.loads(named) == WANTED
    assert check_as_template(json.loads(named)) == []
    # The file that it has filled in is gone.
    assert sorted(path.name for path in tmp_path.iterdir()) == ["aws", "log", "sent"]


def test_the_script_attaches_nothing_where_an_output_is_missing(tmp_path: Path) -> None:
    done, called = run_attach(
        tmp_path, {name: arn for name, arn in ARNS.items() if name != "ManualApprovalFunctionArn"}
    )

    assert done.returncode == 1
    assert done.stderr == "the stack ecs-lifecycle-hooks has no output ManualApprovalFunctionArn\n"
    assert [words[0] for words in called] == ["cloudformation"] * 3


def test_the_load_balancers_of_the_cli_are_valid() -> None:
    balancers = json.loads((CLI / "load-balancers.json").read_text(encoding="utf-8"))
    request = {"cluster": "shop", "service": "checkout", "loadBalancers": balancers}

    assert problems_of_request("UpdateService", request) == []
    (named,) = balancers
    assert named["advancedConfiguration"].keys() == LOAD_BALANCERS[0]["advancedConfiguration"].keys()  # type: ignore[attr-defined]


# ------------------------------------------------------------------------------------------------ the page


def quoted() -> list[tuple[str, str]]:
    """Return the page's blocks that are parts of files, by language."""
    text = PAGE.read_text(encoding="utf-8")
    return [
        (language, block)
        for language, block in re.findall(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
        if language in FILES
    ]


FILES: Mapping[str, Path] = {
    "yaml": CLOUDFORMATION,
    "python": CDK / "app.py",
    "hcl": TERRAFORM,
    "json": CLI / "deployment-configuration.json",
}


def test_the_page_quotes_every_file() -> None:
    assert {language for language, _ in quoted()} == set(FILES)


@pytest.mark.parametrize("language", FILES)
def test_what_the_page_quotes_stands_in_the_file(language: str) -> None:
    lines = [line.strip() for line in FILES[language].read_text(encoding="utf-8").splitlines()]
    there = "\n".join(lines)

    missing = [
        block
        for kind, block in quoted()
        if kind == language and "\n".join(line.strip() for line in block.rstrip().splitlines()) not in there
    ]

    assert missing == []

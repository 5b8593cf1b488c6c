"""The adapter: what was written for CodeDeploy answers ECS, and nothing it says reaches CodeDeploy."""

import importlib
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from types import ModuleType
from typing import Any

import boto3
import pytest
import yaml
from botocore import handlers
from hypothesis import given
from hypothesis import strategies as st

from rehearsal.polling import Invocation
from rehearsal.template import Template
from shared.lifecycle import Stage
from shared.response import Proceed, Refuse
from tests.rehearsal.scripted_deployment import ScriptedDeployment, scripted

EXAMPLE = Path(__file__).parents[2] / "examples" / "from_codedeploy"
EVENT = json.loads((EXAMPLE / "events" / "post_test_traffic_shift.json").read_text(encoding="utf-8"))
DEPLOYMENT = "EZe5RNVLH6PPzHXINuP28"
EXECUTION = f"{DEPLOYMENT}/POST_TEST_TRAFFIC_SHIFT"

REPORT = """
def report(client, event, status):
    client.put_lifecycle_event_hook_execution_status(
        deploymentId=event["DeploymentId"],
        lifecycleEventHookExecutionId=event["LifecycleEventHookExecutionId"],
        status=status,
    )
"""


class Context:
    """Lambda's context, as far as the functions here look at it."""

    aws_request_id = "8f507cfc-xmpl-4697-b07a-ac58fc914c95"

    def __init__(self, milliseconds: int = 60_000) -> None:
        self._milliseconds = milliseconds

    def get_remaining_time_in_millis(self) -> int:
        return self._milliseconds


class Sent(AssertionError):
    """A request left for AWS."""


def refuse_to_send(request: Any, **_: object) -> None:
    raise Sent(request.url)


@pytest.fixture(autouse=True)
def adapter(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[ModuleType]:
    """Import the adapter anew, as a cold start does, in an AWS that nobody can reach."""
    monkeypatch.setattr(
        handlers, "BUILTIN_HANDLERS", [*handlers.BUILTIN_HANDLERS, ("before-send", refuse_to_send)]
    )
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "nothing")
    monkeypatch.syspath_prepend(str(EXAMPLE))
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    yield importlib.import_module("codedeploy_adapter")
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith((str(EXAMPLE), str(tmp_path))):
            del sys.modules[name]


Adapted = Callable[..., dict[str, Any]]


@pytest.fixture
def adapted(adapter: ModuleType, tmp_path: Path) -> Callable[[str], Adapted]:
    """Adapt a function of this source."""

    def adapt(source: str) -> Adapted:
        (tmp_path / "old.py").write_text(f"import boto3\n{REPORT}\n{source}", encoding="utf-8")
        made: Adapted = adapter.adapt("old.handler")
        return made

    return adapt


def reason(caplog: pytest.LogCaptureFixture) -> str:
    """Return what the log says of the answer."""
    return next(message for message in caplog.messages if message.startswith(("proceeds: ", "refused: ")))


REPORTING = """
codedeploy = boto3.client("codedeploy")
def handler(event, context):
    {}
"""


@pytest.mark.parametrize(
    ("body", "answer", "says"),
    [
        (
            "report(codedeploy, event, 'Succeeded')",
            "SUCCEEDED",
            "proceeds: old.handler reported Succeeded",
        ),
        ("report(codedeploy, event, 'Failed')", "FAILED", "refused: old.handler reported 'Failed'"),
        ("report(codedeploy, event, 'Skipped')", "FAILED", "refused: old.handler reported 'Skipped'"),
        ("report(codedeploy, event, 'succeeded')", "FAILED", "refused: old.handler reported 'succeeded'"),
        (
            "codedeploy.put_lifecycle_event_hook_execution_status()",
            "FAILED",
            "refused: old.handler reported on another call: DeploymentId '' and "
            f"LifecycleEventHookExecutionId '', expected '{DEPLOYMENT}' and '{EXECUTION}'",
        ),
        (
            "report(codedeploy, event | {'DeploymentId': 'd-ABCDEF123'}, 'Succeeded')",
            "FAILED",
            "refused: old.handler reported on another call: DeploymentId 'd-ABCDEF123' and "
            f"LifecycleEventHookExecutionId '{EXECUTION}', expected '{DEPLOYMENT}' and '{EXECUTION}'",
        ),
        (
            "return {'hookStatus': 'SUCCEEDED'}",
            "FAILED",
            "refused: old.handler returned and had not called PutLifecycleEventHookExecutionStatus. If "
            "somebody else was to do so later: ECS can't hear that, and the adapter's README.md says what to "
            "do",
        ),
        ("raise ValueError('no cart')", "FAILED", "refused: old.handler raised ValueError: 'no cart'"),
        ("raise SystemExit(0)", "FAILED", "refused: old.handler raised SystemExit: '0'"),
        (
            "report(codedeploy, event, 'Succeeded'); raise KeyError('after')",
            "FAILED",
            """refused: old.handler raised KeyError: "'after'\"""",
        ),
        (
            "report(codedeploy, event, 'Succeeded'); report(codedeploy, event, 'Succeeded')",
            "SUCCEEDED",
            "proceeds: old.handler reported Succeeded",
        ),
        (
            "report(codedeploy, event, 'Succeeded'); report(codedeploy, event, 'Failed')",
            "FAILED",
            "refused: old.handler reported 'Failed'",
        ),
        (
            "report(codedeploy, event, 'Failed'); report(codedeploy, event, 'Succeeded')",
            "FAILED",
            "refused: old.handler reported 'Failed'",
        ),
        (
            "[report(codedeploy, event, f'status {number}') for number in range(1000)]",
            "FAILED",
            "refused: old.handler reported 'status 0'",
        ),
    ],
)
def test_ecs_hears_what_the_function_reported(
    adapted: Callable[[str], Adapted], caplog: pytest.LogCaptureFixture, body: str, answer: str, says: str
) -> None:
    handler = adapted(REPORTING.format(body))

    assert handler(EVENT, Context()) == {"hookStatus": answer}
    assert reason(caplog) == says


@pytest.mark.parametrize(
    "source",
    [
        "codedeploy = boto3.client('codedeploy')\ndef handler(event, context): report(codedeploy, event, {})",
        "def handler(event, context): report(boto3.client('codedeploy'), event, {})",
        "def handler(event, context): report(boto3.Session().client('codedeploy'), event, {})",
        "def handler(event, context):\n"
        "    report(boto3.session.Session(region_name='eu-west-1').client('codedeploy'), event, {})",
        "import botocore.session\ndef handler(event, context): "
        "report(botocore.session.get_session().create_client('codedeploy'), event, {})",
        "import threading\ndef handler(event, context):\n"
        "    thread = threading.Thread(target=report, args=(boto3.client('codedeploy'), event, {}))\n"
        "    thread.start(); thread.join()",
    ],
    ids=["at import", "default session", "session", "session of a region", "botocore", "in a thread"],
)
def test_a_report_is_caught_whatever_client_sends_it(adapted: Callable[[str], Adapted], source: str) -> None:
    handler = adapted(source.replace("{}", "'Succeeded'"))

    assert handler(EVENT, Context()) == {"hookStatus": "SUCCEEDED"}


def test_other_calls_of_codedeploy_are_not_caught(
    adapted: Callable[[str], Adapted], caplog: pytest.LogCaptureFixture
) -> None:
    handler = adapted(REPORTING.format("codedeploy.get_deployment(deploymentId=event['DeploymentId'])"))

    assert handler(EVENT, Context()) == {"hookStatus": "FAILED"}
    assert reason(caplog) == (
        "refused: old.handler raised Sent: 'https://codedeploy.us-east-1.amazonaws.com/'"
    )


def test_a_client_made_before_the_adapter_came_is_no_way_to_pass(
    adapter: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    early = boto3.Session().client("codedeploy")
    (tmp_path / "old.py").write_text(
        f"import clients\n{REPORT}\ndef handler(event, context): report(clients.early, event, 'Succeeded')",
        encoding="utf-8",
    )
    clients = ModuleType("clients")
    clients.early = early  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "clients", clients)

    assert adapter.adapt("old.handler")(EVENT, Context()) == {"hookStatus": "FAILED"}


def test_the_answer_to_a_report_is_what_codedeploy_would_have_said(
    adapted: Callable[[str], Adapted],
) -> None:
    handler = adapted(
        REPORTING.format(
            "answer = codedeploy.put_lifecycle_event_hook_execution_status(status='Succeeded',"
            " deploymentId=event['DeploymentId'],"
            " lifecycleEventHookExecutionId=event['LifecycleEventHookExecutionId'])\n"
            "    assert answer['lifecycleEventHookExecutionId'] == event['LifecycleEventHookExecutionId']\n"
            "    assert answer['ResponseMetadata']['HTTPStatusCode'] == 200"
        )
    )

    assert handler(EVENT, Context()) == {"hookStatus": "SUCCEEDED"}


def test_the_function_is_given_the_event_and_the_context_that_it_knows(
    adapted: Callable[[str], Adapted],
) -> None:
    handler = adapted(
        "calls = []\n"
        "def handler(event, context):\n"
        "    calls.append((event, context.aws_request_id, context.get_remaining_time_in_millis()))"
    )

    handler({**EVENT, "hookDetails": {"mode": "enforce"}}, Context())

    assert sys.modules["old"].calls == [
        (
            {"DeploymentId": DEPLOYMENT, "LifecycleEventHookExecutionId": EXECUTION},
            Context.aws_request_id,
            60_000,
        )
    ]


def test_a_function_that_is_out_of_time_is_refused_and_not_called_again(
    adapted: Callable[[str], Adapted], caplog: pytest.LogCaptureFixture
) -> None:
    handler = adapted("def handler(event, context):\n    while True:\n        pass")

    # What the answer and its evidence need is kept back: a twentieth of a second is left.
    assert handler(EVENT, Context(milliseconds=5050)) == {"hookStatus": "FAILED"}
    assert reason(caplog) == (
        "refused: old.handler was interrupted: the time-out of the Lambda function was near"
    )


def test_a_report_after_the_call_says_nothing_about_the_next(
    adapted: Callable[[str], Adapted], caplog: pytest.LogCaptureFixture
) -> None:
    handler = adapted(
        "kept = []\ncodedeploy = boto3.client('codedeploy')\ndef handler(event, context): kept.append(event)"
    )
    handler(EVENT, Context())
    old = sys.modules["old"]

    old.report(old.codedeploy, old.kept[0], "Succeeded")

    assert caplog.messages[-1] == "dropped a report of 'Succeeded' that came outside of any call"
    assert handler(EVENT, Context()) == {"hookStatus": "FAILED"}


def test_observe_reports_what_it_would_have_refused(adapted: Callable[[str], Adapted]) -> None:
    handler = adapted(REPORTING.format("report(codedeploy, event, 'Failed')"))

    assert handler({**EVENT, "hookDetails": {"mode": "observe"}}, Context()) == {"hookStatus": "SUCCEEDED"}


RUNS = st.builds(
    lambda reports, error: (reports, error),
    st.lists(
        st.tuples(
            st.sampled_from([DEPLOYMENT, "", "d-ABCDEF123"]),
            st.sampled_from([EXECUTION, ""]),
            st.sampled_from(["Succeeded", "Failed", "Pending", "SUCCEEDED", ""]),
        ),
        max_size=4,
    ),
    st.sampled_from(["", "", "ValueError: 'no cart'"]),
)


@given(run=RUNS)
def test_only_success_and_nothing_else_is_success(run: tuple[list[tuple[str, str, str]], str]) -> None:
    module = sys.modules["codedeploy_adapter"]
    reports, error = run
    inputs = asdict(module.Run(DEPLOYMENT, EXECUTION, [module.Report(*report) for report in reports], error))

    # As a decision record has it: the verdict follows from what can be written down.
    result = module.replay({"function": "old.handler", "run": json.loads(json.dumps(inputs))})

    all_well = not error and set(reports) == {(DEPLOYMENT, EXECUTION, "Succeeded")}
    assert isinstance(result, Proceed if all_well else Refuse)


class Green(BaseHTTPRequestHandler):
    """Answers with the status that is in the path."""

    def do_GET(self) -> None:
        self.send_response(int(self.path[1:]))
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def green() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Green) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(("status", "answer"), [(200, "SUCCEEDED"), (503, "FAILED")])
def test_the_example_validates_green(
    monkeypatch: pytest.MonkeyPatch, green: str, status: int, answer: str
) -> None:
    monkeypatch.setenv("TEST_URL", f"{green}/{status}")

    handler = importlib.import_module("adapted_hook").handler

    assert handler(EVENT, Context()) == {"hookStatus": answer}


@pytest.mark.parametrize(
    ("status", "end", "calls"),
    [
        ("Succeeded", "SUCCESSFUL", 1),
        ("Failed", "ROLLBACK_SUCCESSFUL", 1),
    ],
)
def test_a_rehearsed_deployment_goes_where_the_function_says(
    adapted: Callable[[str], Adapted], status: str, end: str, calls: int
) -> None:
    handler = adapted(
        f"calls = []\ncodedeploy = boto3.client('codedeploy')\n"
        f"def handler(event, context): calls.append(event); report(codedeploy, event, {status!r})"
    )
    # At a stage that ECS calls again on its way back.
    hook = scripted(
        "validate", lambda event: Invocation(reply=handler(event, Context())), Stage.PRODUCTION_TRAFFIC_SHIFT
    )

    run = ScriptedDeployment(hook).run()

    assert run.end[0] == end
    assert len(sys.modules["old"].calls) == calls


def test_the_role_allows_nothing_of_codedeploy() -> None:
    template = Template.read(EXAMPLE / "template.yaml")
    (function,) = template.functions()

    actions = [
        action
        for statement in function.statements
        for action in ([statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"])
    ]

    assert actions == ["logs:CreateLogStream", "logs:PutLogEvents", "ecs:DescribeServiceDeployments"]


def test_the_template_is_clean_for_cfn_lint() -> None:
    done = subprocess.run(
        [Path(sys.executable).parent / "cfn-lint", EXAMPLE / "template.yaml"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout) == (0, "")


def test_the_output_is_ready_to_paste() -> None:
    template = yaml.load((EXAMPLE / "template.yaml").read_text(encoding="utf-8"), Loader=_Loader)

    hooks = json.loads(template["Outputs"]["ValidateCheckoutLifecycleHooks"]["Value"])

    assert hooks == {
        "LifecycleHooks": [
            {
                "HookTargetArn": "${ValidateCheckoutFunction.Arn}",
                "RoleArn": "${HookInvocationRole.Arn}",
                "LifecycleStages": ["POST_TEST_TRAFFIC_SHIFT"],
                "TimeoutConfiguration": {"TimeoutInMinutes": 10, "Action": "ROLLBACK"},
            }
        ]
    }


class _Loader(yaml.SafeLoader):
    """Reads CloudFormation's tags as their arguments."""


_Loader.add_multi_constructor(
    "!",
    lambda loader, _tag, node: (
        loader.construct_scalar(node)
        if isinstance(node, yaml.ScalarNode)
        else loader.construct_sequence(node)
    ),
)

ANSWER = """
import adapted_hook, json
class Context:
    def get_remaining_time_in_millis(self):
        return 60000
print("ANSWER", json.dumps(adapted_hook.handler(json.load(open({event!r})), Context())))
"""


@pytest.mark.thorough
def test_what_make_builds_answers_ecs(tmp_path: Path, green: str) -> None:
    """Beside boto3, which in Lambda comes with the runtime, the artifact has all it needs."""
    uv = EXAMPLE.parents[1] / ".uv" / "bin" / "uv"
    subprocess.run(
        [
            *("make", "-C", str(EXAMPLE), "build-ValidateCheckoutFunction"),
            *(f"ARTIFACTS_DIR={tmp_path}", f"MACHINE={platform.machine()}"),
            *([f"UV={uv}"] if uv.exists() else []),
        ],
        check=True,
        capture_output=True,
    )
    runtime = tmp_path / "runtime"
    runtime.mkdir()
    for package in ("boto3", "botocore", "s3transfer", "urllib3", "dateutil", "six"):
        module = importlib.import_module(package)
        file = Path(str(module.__file__))
        part = file.parent if file.name == "__init__.py" else file
        (runtime / part.name).symlink_to(part)

    done = subprocess.run(
        [
            sys.executable,
            "-S",
            "-c",
            ANSWER.format(event=str(EXAMPLE / "events/post_test_traffic_shift.json")),
        ],
        cwd=tmp_path,
        env={
            "PYTHONPATH": os.pathsep.join((str(tmp_path), str(runtime))),
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "TEST_URL": f"{green}/200",
        },
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stdout.splitlines()[-1:] == ['ANSWER {"hookStatus": "SUCCEEDED"}'], done.stderr

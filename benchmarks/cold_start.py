"""Cold start of the approval hook: from the first event to its reply, the environment's start included.

    python -m benchmarks.cold_start [--rounds 9] [--build .aws-sam/build]

Compared, under the Lambda Runtime Interface Emulator, with the same canned AWS behind all:

::

    bare             import boto3; ssm = boto3.client("ssm"); one get_parameter a call; plain `sam build`
    bare, compiled   the same artifact with byte code
    hook, poll       the built approval artifact, when its request exists and nobody has answered
    hook, first      the same, when it makes the request: reads ECS, writes the parameter

Each round starts every contestant once, in a fresh environment, so that what else the machine does hits
all of them. Medians; the peer in one run is the measure, not the milliseconds.
"""

# every command line is put together here, none by a caller
# a command line prints

import argparse
import contextlib
import http.server
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import tomllib
import zipfile
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from rehearsal.runtime.lambda_python import ROOT, find_uv, lambda_python
from rehearsal.runtime.rie import Response, RuntimeEnvironment
from rehearsal.runtime.sam_local import find_sam
from rehearsal.template import Template

FUNCTION = "ManualApprovalFunction"
AT_MOST_OF_BARE = 0.6
AT_MOST_OF_COMPILED = 1.4
AT_MOST_ZIPPED_MB = 8.0

BARE_TEMPLATE = """\
Transform: AWS::Serverless-2016-10-31
Resources:
  Bare:
    Type: AWS::Serverless::Function
    Properties: {CodeUri: app, Handler: app.handler, Runtime: python3.13}
"""
BARE_HANDLER = """\
import boto3

ssm = boto3.client("ssm")


def handler(event, context):
    return {"version": ssm.get_parameter(Name="/approvals/shop/checkout")["Parameter"]["Version"]}
"""

ARN = "arn:aws:ecs:us-east-1:123456789012"
SERVICE = f"{ARN}:service/shop/checkout"
DEPLOYMENT = f"{ARN}:service-deployment/shop/checkout/EZe5RNVLH6PPzHXINuP28"
GREEN = f"{ARN}:service-revision/shop/checkout/9313423515462893900"
BLUE = f"{ARN}:service-revision/shop/checkout/1920498462936580504"


def event(hook_details: Mapping[str, Any]) -> dict[str, Any]:
    """Return the call of ECS at POST_TEST_TRAFFIC_SHIFT."""
    return {
        "executionId": "f4fcae0f-9bec-41c6-ba87-0eaa0cef8af5",
        "lifecycleStage": "POST_TEST_TRAFFIC_SHIFT",
        "resourceArn": DEPLOYMENT,
        "executionDetails": {
            "serviceArn": SERVICE,
            "targetServiceRevisionArn": GREEN,
            "testTrafficWeights": {GREEN: 100, BLUE: 0},
            "productionTrafficWeights": {GREEN: 0, BLUE: 100},
        },
        "hookDetails": hook_details,
    }


class CannedAws(http.server.BaseHTTPRequestHandler):
    """Answers at once, so that what is measured is the function."""

    protocol_version = "HTTP/1.1"
    # Head and body in one packet; else each answer on a kept connection waits 40 ms for its client's nod.
    wbufsize = -1

    def do_POST(self) -> None:
        """Answer any service's call; JSON protocols name it in a header, the query protocol in the body."""
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        operation = self.headers.get("X-Amz-Target", "Sts.GetCallerIdentity").rpartition(".")[2]
        status, answer = _ANSWERS[operation]
        body = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header(
            "Content-Type", "text/xml" if isinstance(answer, str) else "application/x-amz-json-1.1"
        )
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def _revision(arn: str, tag: str) -> dict[str, Any]:
    return {
        "serviceRevisionArn": arn,
        "serviceArn": SERVICE,
        "clusterArn": f"{ARN}:cluster/shop",
        "taskDefinition": f"{ARN}:task-definition/checkout:{tag}",
        "containerImages": [
            {"containerName": "app", "image": f"shop/checkout:{tag}", "imageDigest": f"sha256:{tag}"}
        ],
        "createdAt": 1772442000.0,
    }


_ANSWERS: Mapping[str, tuple[int, Any]] = {
    "GetParameter": (200, {"Parameter": {"Name": "/approvals/shop/checkout", "Value": "-", "Version": 1}}),
    "GetParameterHistory": (400, {"__type": "ParameterNotFound", "message": "not there"}),
    "PutParameter": (200, {"Version": 1, "Tier": "Standard"}),
    "DescribeServiceDeployments": (
        200,
        {
            "serviceDeployments": [
                {
                    "serviceDeploymentArn": DEPLOYMENT,
                    "serviceArn": SERVICE,
                    "status": "IN_PROGRESS",
                    "createdAt": 1772442000.0,
                    "startedAt": 1772442000.0,
                    "targetServiceRevision": {"arn": GREEN},
                    "sourceServiceRevisions": [{"arn": BLUE}],
                }
            ],
            "failures": [],
        },
    ),
    "DescribeServiceRevisions": (
        200,
        {"serviceRevisions": [_revision(GREEN, "8"), _revision(BLUE, "7")], "failures": []},
    ),
    "GetCallerIdentity": (
        200,
        (
            '<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>'
            "<Arn>arn:aws:sts::123456789012:assumed-role/manual-approval/function</Arn><UserId>A</UserId>"
            "<Account>123456789012</Account></GetCallerIdentityResult></GetCallerIdentityResponse>"
        ),
    ),
}


@contextlib.contextmanager
def canned_aws() -> Iterator[str]:
    """Serve :class:`CannedAws`; yields the endpoint's URL."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), CannedAws)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def build_bare(work: Path) -> Path:
    """Build the bare handler as anybody would, at the versions that the hook has."""
    locked = {
        package["name"]: package["version"]
        for package in tomllib.loads((ROOT / "uv.lock").read_text())["package"]
    }
    (work / "app").mkdir()
    (work / "template.yaml").write_text(BARE_TEMPLATE)
    (work / "app" / "app.py").write_text(BARE_HANDLER)
    (work / "app" / "requirements.txt").write_text(
        f"boto3=={locked['boto3']}\nbotocore=={locked['botocore']}\n"
    )
    # Plain `sam build` takes the first Python on PATH that has pip; uv's environments have none.
    _run([find_uv(), "venv", "--quiet", "--seed", "--python", sys.executable, "pip"], work)
    _run([find_sam(), "build"], work, PATH=f"{work / 'pip' / 'bin'}{os.pathsep}{os.environ['PATH']}")
    return work / ".aws-sam" / "build" / "Bare"


def compiled(artifact: Path, target: Path) -> Path:
    """Copy an artifact and give it byte code."""
    shutil.copytree(artifact, target)
    _run(
        [sys.executable, "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", str(target)],
        target,
    )
    return target


def zipped_mb(artifact: Path) -> float:
    """Return the size of an artifact as `sam deploy` sends it, in millions of bytes."""
    with tempfile.TemporaryFile() as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted(artifact.rglob("*")):
                archive.write(path, path.relative_to(artifact))
        return file.tell() / 1e6


def _run(command: list[str], folder: Path, **variables: str) -> None:
    environment = {**os.environ, "SAM_CLI_TELEMETRY": "0", **variables}
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if result.returncode:
        sys.exit(f"{' '.join(command[:3])} failed:\n{result.stdout}{result.stderr}")


def first_reply(artifact: Path, handler: str, python: Path, env: Mapping[str, str], sent: object) -> Response:
    """Start an environment, invoke it once, and end it."""
    with RuntimeEnvironment(artifact, handler, python, env) as environment:
        response = environment.invoke(sent)
    if response.error is not None or response.reply.get("hookStatus") == "FAILED":
        sys.exit(f"{handler} did not do what is measured: {response.error or response.log}")
    return response


def measure(build: Path, work: Path, rounds: int) -> dict[str, list[Response]]:
    """Run all contestants, interleaved."""
    python = lambda_python()
    bare = build_bare(work)
    function = next(
        one for one in Template.read(build / "template.yaml").functions() if one.logical_id == FUNCTION
    )
    variables = {name: value for name, value in function.environment.items() if isinstance(value, str)}
    now = datetime.now(UTC)
    state = {
        "version": 1,
        "of": "EZe5RNVLH6PPzHXINuP28/POST_TEST_TRAFFIC_SHIFT/",
        "since": f"{now - timedelta(minutes=1):%Y-%m-%dT%H:%M:%SZ}",
        "troubles": 0,
        "data": {
            "version": 1,
            "askedAt": f"{now - timedelta(minutes=1):%Y-%m-%dT%H:%M:%SZ}",
            "expiresAt": f"{now + timedelta(hours=20):%Y-%m-%dT%H:%M:%SZ}",
            "quietUntil": f"{now + timedelta(hours=9):%Y-%m-%dT%H:%M:%SZ}",
        },
    }
    poll, first = event({"_lifecycleHookState": state}), event({})
    hook = build / FUNCTION
    with canned_aws() as endpoint:
        env = {**variables, "AWS_ENDPOINT_URL": endpoint}
        contestants = {
            "bare": (bare, "app.handler", {"AWS_ENDPOINT_URL": endpoint}, {}),
            "bare, compiled": (
                compiled(bare, work / "compiled"),
                "app.handler",
                {"AWS_ENDPOINT_URL": endpoint},
                {},
            ),
            "hook, poll": (hook, function.handler, env, poll),
            "hook, first": (hook, function.handler, env, first),
        }
        results: dict[str, list[Response]] = {name: [] for name in contestants}
        for _ in range(rounds + 1):
            for name, (artifact, handler, variables, sent) in contestants.items():
                results[name].append(first_reply(artifact, handler, python, variables, sent))
    # The first round reads everything from disk; the rest compares code.
    return {name: responses[1:] for name, responses in results.items()}


def main() -> int:
    """Measure and print; exits 1 when a target is missed."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.cold_start",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rounds", type=int, default=9, help="at least 7; default: %(default)s")
    parser.add_argument(
        "--build", type=Path, default=ROOT / ".aws-sam" / "build", help="default: %(default)s"
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="cold-start-") as work:
        results = measure(arguments.build, Path(work), arguments.rounds)
    median = {
        name: statistics.median(one.elapsed_ms for one in responses) for name, responses in results.items()
    }
    print(f"{'':16}{'init':>8}{'to reply':>10}{'(min-max)':>14}{'/ bare':>9}{'/ compiled':>12}")
    for name, responses in results.items():
        init = statistics.median(one.init_ms or 0 for one in responses)
        low, high = (function(one.elapsed_ms for one in responses) for function in (min, max))
        print(
            f"{name:16}{init:8.0f}{median[name]:10.0f}{f'({low:.0f}-{high:.0f})':>14}"
            f"{median[name] / median['bare']:9.2f}{median[name] / median['bare, compiled']:12.2f}"
        )
    size = zipped_mb(arguments.build / FUNCTION)
    print(f"\nartifact, zipped: {size:.2f} MB (at most {AT_MOST_ZIPPED_MB:.0f})")
    slowest = max(median["hook, poll"], median["hook, first"])
    met = (
        slowest <= AT_MOST_OF_BARE * median["bare"]
        and slowest <= AT_MOST_OF_COMPILED * median["bare, compiled"]
        and size <= AT_MOST_ZIPPED_MB
    )
    targets = f"≤ {AT_MOST_OF_BARE} of bare, ≤ {AT_MOST_OF_COMPILED} of bare compiled"
    print(f"targets ({targets}): {'met' if met else 'missed'}")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())

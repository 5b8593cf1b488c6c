"""The approver's console: its cold start, and the list of a hundred requests.

    python -m benchmarks.console [--rounds 9] [--build .aws-sam/build]

*Cold start* as in :mod:`benchmarks.cold_start`: from the first event to its reply under the Runtime Interface
Emulator, each contestant in a fresh environment in turn, medians:

::

    bare      import boto3; ssm = boto3.client("ssm"); one get_parameter a call; plain `sam build`
    sign in   the built console and its layer: somebody who is not signed in opens it
    list      the same, and somebody who is: one request waits

*The list*: a hundred requests of as many services wait, somebody who may see all of them loads the page again
and again in one warm environment. Behind it is the rehearsal's AWS on this machine, which answers a call in a
few milliseconds, and counts it.
"""

import argparse
import contextlib
import os
import statistics
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

from benchmarks.cold_start import build_bare, canned_aws, zipped_mb
from hooks.manual_approval.approvers import Electorate
from hooks.manual_approval.console.cookies import Session, session_cookie
from hooks.manual_approval.console.settings import ConsoleSettings
from hooks.manual_approval.request import parameter_name, write_request
from hooks.manual_approval.rules import Rules
from rehearsal import functions
from rehearsal.aws.call import Call
from rehearsal.aws.cloud import ACCOUNT, Cloud
from rehearsal.aws.identities import ALLOW_ALL
from rehearsal.aws.server import Server
from rehearsal.lambda_functions import Function
from rehearsal.runtime import architecture
from rehearsal.runtime.lambda_python import ROOT, lambda_python
from rehearsal.runtime.rie import Response, RuntimeEnvironment
from rehearsal.serving import know
from rehearsal.template import Template
from shared.lifecycle import LifecycleEvent
from shared.revision import Image, Revision

FUNCTION = "ApprovalConsoleFunction"
LAYER = {"arm64": "ApprovalConsoleLibrariesArm64Layer", "x86_64": "ApprovalConsoleLibrariesX8664Layer"}
REGION = "us-east-1"
PREFIX = "/ecs-approvals"
URL = "https://approvals.example.com"
MANY = 100

AT_MOST_OF_BARE = 0.8
AT_MOST_MS = 300
AT_MOST_BYTES = 100_000
AT_MOST_CALLS = 30

RULES = Rules(
    required=2,
    electorate=Electorate(
        allowed=(("oidc-group:https://login.example.com#release-managers",), ("*",)),
        excluded=(f"arn:aws:iam::{ACCOUNT}:role/deploy",),
        personal_sessions=("arn:*:sts::*:assumed-role/AWSReservedSSO_*",),
    ),
    expires_after=timedelta(hours=23),
    extendable_to=timedelta(minutes=1439),
    on_expiry="refuse",
)


@dataclass(frozen=True, slots=True)
class Console:
    """The built console, and somebody who is signed in."""

    function: Function
    build: Path
    env: Mapping[str, str]
    cookie: str
    python: Path

    def environment(self) -> RuntimeEnvironment:
        return RuntimeEnvironment(
            self.build / FUNCTION,
            self.function.handler,
            self.python,
            self.env,
            layers=[self.build / LAYER[architecture()]],
        )

    def get(self, path: str, *, signed_in: bool = True) -> dict[str, Any]:
        """Make the event of opening a page."""
        return {
            "version": "2.0",
            "routeKey": "$default",
            "rawPath": path,
            "rawQueryString": "",
            "headers": {"host": URL.removeprefix("https://"), "accept": "text/html"},
            "cookies": [self.cookie] if signed_in else [],
            "requestContext": {
                "accountId": ACCOUNT,
                "apiId": "api",
                "domainName": URL.removeprefix("https://"),
                "http": {"method": "GET", "path": path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1"},
                "requestId": "id",
                "routeKey": "$default",
                "stage": "$default",
            },
            "isBase64Encoded": False,
        }


@contextlib.contextmanager
def console(build: Path, waiting: int, *, python: Path) -> Iterator[tuple[Console, Cloud]]:
    """Have an AWS in which so many requests wait."""
    parameters = {
        "Architecture": architecture(),
        "IncludeApprovalConsole": "true",
        "ApprovalConsoleUrl": URL,
        "ApprovalConsoleIssuer": "https://login.example.com",
        "ApprovalConsoleClientId": "approvals",
        "ApprovalConsoleAccess": '{"rules": [{"groups": ["*"], "services": ["shop/*"], "may": "decide"}]}',
    }
    found = Template.read(build / "template.yaml", parameters=parameters).functions()
    function = next(one for one in found if one.logical_id == FUNCTION)
    with Cloud(region=REGION) as cloud, Server(cloud) as server:
        ask(cloud, waiting)
        secrets = cloud.client("secretsmanager", user="admin", policies=[ALLOW_ALL])
        arn = secrets.create_secret(Name="cookies", SecretString="k" * 64)["ARN"]
        env = {
            **functions.environment(function),
            **cloud.credentials("ApprovalConsoleFunctionRole", FUNCTION, [ALLOW_ALL]),
            "AWS_REGION": REGION,
            "AWS_ENDPOINT_URL": server.url,
            "APPROVAL_HOOK_ROLE": f"arn:aws:iam::{ACCOUNT}:role/Hook",
            "CONSOLE_COOKIE_SECRET_ARN": arn,
        }
        yield Console(function, build, env, signed_in(env), python), cloud


def ask(cloud: Cloud, waiting: int) -> None:
    """Write the requests as the hook does, each of a deployment of its own."""
    ssm = cloud.client("ssm", role="Hook", session="hook", policies=[ALLOW_ALL])
    now = datetime.now(UTC)
    for number in range(waiting):
        home = f"arn:aws:ecs:{REGION}:{ACCOUNT}"
        name = f"shop/service-{number:03}"
        payload = {
            "executionId": "id",
            "lifecycleStage": "POST_TEST_TRAFFIC_SHIFT",
            "resourceArn": f"{home}:service-deployment/{name}/qR7sT2uV9wX4yZ1aB6c{number:03}",
            "executionDetails": {
                "serviceArn": f"{home}:service/{name}",
                "targetServiceRevisionArn": f"{home}:service-revision/{name}/{4000 + number}",
                "testTrafficWeights": {},
                "productionTrafficWeights": {},
            },
        }
        know(cloud.control_plane, payload)
        event = LifecycleEvent.parse(payload)
        parameter = parameter_name(PREFIX, event.deployment)
        revision = Revision(event.target, "", (Image("app", f"{name}:42", f"sha256:{number:064}"),), (), None)
        text = write_request(parameter, event, green=revision, blue=None, rules=RULES, now=now)
        ssm.put_parameter(Name=parameter, Value=text, Type="String")


def signed_in(env: Mapping[str, str]) -> str:
    """Sign somebody in, as the console would after an OpenID provider has vouched for them."""
    now = datetime.now(UTC)
    with patch.dict(os.environ, env):
        settings = ConsoleSettings.read(env)
        session = Session(settings.issuer, "alice", "Alice", (), "id", now + timedelta(hours=1))
        return session_cookie(settings, session, now).partition(";")[0]


def cold_starts(build: Path, work: Path, rounds: int) -> dict[str, list[Response]]:
    """Run all contestants, interleaved."""
    python, bare = lambda_python(), build_bare(work)
    results: dict[str, list[Response]] = {"bare": [], "sign in": [], "list": []}
    with canned_aws() as endpoint, console(build, 1, python=python) as (page, _):
        for _ in range(rounds + 1):
            with RuntimeEnvironment(
                bare, "app.handler", python, {"AWS_ENDPOINT_URL": endpoint}
            ) as environment:
                results["bare"].append(environment.invoke({}))
            for name, event, status in (
                ("sign in", page.get("/", signed_in=False), 403),
                ("list", page.get("/"), 200),
            ):
                with page.environment() as environment:
                    results[name].append(checked(environment.invoke(event), status))
    # The first round reads everything from disk; the rest compares code.
    return {name: responses[1:] for name, responses in results.items()}


def checked(response: Response, status: int) -> Response:
    if response.error is not None or response.reply["statusCode"] != status:
        sys.exit(f"the console did not do what is measured: {response.error or response.log}")
    return response


def many(build: Path, rounds: int) -> tuple[list[float], int, Counter[str]]:
    """Load the list of many: milliseconds of each time, bytes, and calls by name."""
    with console(build, MANY, python=lambda_python()) as (page, cloud), page.environment() as environment:
        checked(environment.invoke(page.get("/")), 200)
        calls: Counter[str] = Counter()
        admit = cloud.door.admit

        def counted(call: Call) -> Any:
            calls[call.operation] += 1
            return admit(call)

        with patch.object(cloud.door, "admit", counted):
            body = checked(environment.invoke(page.get("/")), 200).reply["body"]
        if body.count('href="/requests/') < MANY:
            sys.exit("the list does not have them all")
        times = [checked(environment.invoke(page.get("/")), 200).elapsed_ms for _ in range(rounds)]
        return times, len(body.encode()), calls


def main() -> int:
    """Measure and print; exits 1 when a target is missed."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.console",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rounds", type=int, default=9, help="at least 7; default: %(default)s")
    parser.add_argument(
        "--build", type=Path, default=ROOT / ".aws-sam" / "build", help="default: %(default)s"
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="console-") as work:
        results = cold_starts(arguments.build, Path(work), arguments.rounds)
    median = {name: statistics.median(one.elapsed_ms for one in found) for name, found in results.items()}
    print("| | init, ms | to the reply, ms | (min-max) | / bare |\n|---|---|---|---|---|")
    for name, found in results.items():
        init = statistics.median(one.init_ms or 0 for one in found)
        low, high = (choose(one.elapsed_ms for one in found) for choose in (min, max))
        ratio = median[name] / median["bare"]
        print(f"| {name} | {init:.0f} | {median[name]:.0f} | {low:.0f}-{high:.0f} | {ratio:.2f} |")
    sizes = [zipped_mb(arguments.build / part) for part in (FUNCTION, LAYER[architecture()])]
    print(f"\nartifact and layer, zipped: {sizes[0]:.1f} and {sizes[1]:.1f} MB")
    times, length, calls = many(arguments.build, max(arguments.rounds, 20))
    total = calls.total()
    print(f"\nthe list of {MANY}: {statistics.median(times):.0f} ms ({min(times):.0f}-{max(times):.0f}) warm")
    print(f"{length:,} bytes; {total} calls: {', '.join(f'{n} {name}' for name, n in calls.most_common())}")
    met = (
        max(median["sign in"], median["list"]) <= AT_MOST_OF_BARE * median["bare"]
        and statistics.median(times) <= AT_MOST_MS
        and length <= AT_MOST_BYTES
        and total <= AT_MOST_CALLS
    )
    print(
        f"\ntargets (cold start at most {AT_MOST_OF_BARE:g} of bare; {AT_MOST_MS} ms, {AT_MOST_BYTES:,} bytes"
        f", {AT_MOST_CALLS} calls): {'met' if met else 'missed'}"
    )
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())

"""The hook, its Locust driver and a real Locust with the generator's locustfile, against real servers."""

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from rehearsal import functions
from rehearsal.aws.cloud import Cloud
from rehearsal.aws.identities import ALLOW_ALL
from rehearsal.lambda_functions import Function
from rehearsal.loopback import Behaviour, Loopback
from rehearsal.runtime.in_process import InProcess
from tests.shared.checkout import BLUE, GREEN, POST_TEST, REGION, assert_valid, deploy, event

FUNCTION = "LoadTestFunction"
SECONDS = 60
HEADER = ("x-release", "green")
DETAILS: dict[str, Any] = {
    "load": [{"seconds": 7, "at": 40}],
    "graceSeconds": 1,
    "blueShare": 0.5,
    "pollSeconds": 1,
    "minimumSamples": 50,
    "rules": ["errors < 1%", "p(90) <= 1.5 x blue + 100ms"],
}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Locust:
    """A master with two workers, as a team would run them."""

    def __init__(self, token: str, targets: str, folder: Path) -> None:
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self._log = folder / "locust.log"
        self._environment = {
            **os.environ,
            "LOAD_TOKEN": token,
            "LOAD_TARGETS": targets,
            "LOAD_WORKERS": "2",
            "LOAD_MASTER_PORT": str(free_port()),
            "LOAD_HEALTH_FILE": str(folder / "alive"),
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "load_generator", "serve"]
        command += ["--host", "127.0.0.1", "--port", str(self._port)]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command, env=self._environment, stdout=log, stderr=log, process_group=0
            )

    def kill(self) -> None:
        """End the master and its workers at once."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._process = None


@dataclass
class Account:
    """An account in the middle of a deployment, whose hook asks a Locust over HTTP."""

    cloud: Cloud
    function: Function
    locust: Locust

    def ask(self, details: Any) -> tuple[dict[str, Any], str]:
        """Call the hook once; return its reply, and what it logged."""
        policy = {"Version": "2012-10-17", "Statement": self.function.statements}
        credentials = self.cloud.credentials(f"{FUNCTION}Role", FUNCTION, [policy])
        environment = {**functions.environment(self.function), **credentials}
        invocation = InProcess().invoke(self.function, event(POST_TEST, details=details), environment)
        assert invocation.error is None
        assert_valid(invocation.reply)
        return invocation.reply, "\n".join(invocation.log_lines)

    def walk(self, details: Any, until_it_says: str = "") -> tuple[dict[str, Any], str]:
        """Call the hook until it has decided, or says something, at the pace that it asks for."""
        until = time.monotonic() + SECONDS
        while True:
            reply, log = self.ask(details)
            if reply["hookStatus"] != "IN_PROGRESS" or (until_it_says and until_it_says in log):
                return reply, log
            assert time.monotonic() < until, log
            details = reply["hookDetails"]
            time.sleep(min(reply["callBackDelay"], 2))  # ECS's own pause, cut short


@pytest.fixture
def account(tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Return what opens an account, given how green behaves and which token the hook has."""

    @contextmanager
    def opened(green: Behaviour, *, knows: bool = True) -> Iterator[Account]:
        token = secrets.token_urlsafe(24)
        with (
            Loopback(header=HEADER, blue=Behaviour(), green=green) as loopback,
            Cloud(region=REGION) as cloud,
        ):
            port = int(loopback.url.rpartition(":")[2])
            locust = Locust(token, f"127.0.0.1:{port}", tmp_path)
            with cloud.enforcing_iam(), ExitStack() as ending:
                locust.start()
                ending.callback(locust.kill)
                deploy(cloud)
                _connect(cloud, port)
                cloud.identity(user="admin", policies=[ALLOW_ALL])
                kept = cloud.client("secretsmanager", user="admin").create_secret(
                    Name="locust", SecretString=json.dumps({"token": token if knows else "x" * 32})
                )
                parameters = (
                    ("LocustUrl", locust.url),
                    ("LocustTokenSecretArn", kept["ARN"]),
                    ("LoadTestSubnetIds", "subnet-0a1b2c3d"),
                    ("LoadTestSecurityGroupIds", "sg-0a1b2c3d"),
                )
                function = functions.deployed(parameters)[FUNCTION]
                yield Account(cloud, function, locust)
                assert cloud.defects == []

    return opened


def _connect(cloud: Cloud, port: int) -> None:
    alias = {
        "port": port,
        "dnsName": "127.0.0.1",
        "testTrafficRules": {"header": {"name": HEADER[0], "value": {"exact": HEADER[1]}}},
    }
    for number, arn in ((41, BLUE), (42, GREEN)):
        revision = cloud.control_plane.revisions[str(arn)]
        revision.task_definition = f"arn:aws:ecs:{REGION}:123456789012:task-definition/catalog:{number}"
        revision.service_connect = {
            "enabled": True,
            "namespace": "shop",
            "services": [{"portName": "http", "clientAliases": [alias]}],
        }


@pytest.mark.thorough
def test_a_good_green_passes_and_a_failing_one_does_not(account: Callable[..., Any]) -> None:
    with account(Behaviour()) as shop:
        assert shop.walk(DETAILS)[0] == {"hookStatus": "SUCCEEDED"}
    with account(Behaviour(errors=0.2)) as shop:
        reply, log = shop.walk(DETAILS)
        assert reply == {"hookStatus": "FAILED"}
        assert "green fails the load test: errors < 1%" in log


@pytest.mark.thorough
def test_a_master_that_is_replaced_in_the_middle_is_asked_anew(account: Callable[..., Any]) -> None:
    with account(Behaviour()) as shop:
        reply, log = shop.walk(DETAILS, "s of the load; green")
        assert reply["hookStatus"] == "IN_PROGRESS", log
        shop.locust.kill()
        shop.locust.start()

        assert shop.walk(reply["hookDetails"])[0] == {"hookStatus": "SUCCEEDED"}


def test_without_the_token_nothing_is_begun_and_none_is_shown(account: Callable[..., Any]) -> None:
    with account(Behaviour(), knows=False) as shop:
        reply, log = shop.walk(DETAILS)

        assert reply == {"hookStatus": "FAILED"}
        assert "does not take the token in arn:aws:secretsmanager:" in log
        assert "xxxxxxxx" not in log

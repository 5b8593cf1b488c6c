"""Artifacts as `sam build` makes them, and an AWS behind them that knows each event's deployment."""

import functools
import json
import os
import platform
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from rehearsal.aws.cloud import Cloud
from rehearsal.aws.server import Server
from rehearsal.functions import deployed, environment
from rehearsal.lambda_functions import Function
from rehearsal.runtime.lambda_python import ROOT, find_uv, lambda_python
from rehearsal.runtime.sam_local import SamLocalError, find_sam, prepare
from rehearsal.serving import know
from tests.conftest import MakeOnce

FUNCTION = "ManualApprovalFunction"
EVENTS = ROOT / "events"
REGION = "us-east-1"


@functools.cache
def missing(marker: str) -> str:
    """Say what a marker's tests need and this machine lacks; empty when nothing."""
    if platform.system() != "Linux":
        return "the Runtime Interface Emulator runs on Linux"
    if marker == "docker" and not _engine_answers() and os.geteuid() != 0:
        return "no Docker engine answers, and only root can start one"
    return ""


def _engine_answers() -> bool:
    docker = shutil.which("docker")
    try:
        return (
            docker is not None
            and subprocess.run([docker, "version"], capture_output=True, check=False, timeout=20).returncode
            == 0
        )
    except subprocess.TimeoutExpired:
        return False


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in ("runtime", "docker"):
        if item.get_closest_marker(marker) and (reason := missing(marker)):
            pytest.skip(reason)


@pytest.fixture(scope="session")
def build(make_once: MakeOnce) -> Path:
    """The folder that `sam build` made."""
    return make_once("aws-sam-build", _sam_build)


def _sam_build(folder: Path) -> None:
    result = subprocess.run(
        [find_sam(), "build", "--build-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "SAM_CLI_TELEMETRY": "0", "UV": find_uv()},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.fixture(scope="session")
def artifact(build: Path) -> Path:
    return build / FUNCTION


@pytest.fixture(scope="session")
def functions() -> Mapping[str, Function]:
    return deployed()


@pytest.fixture(scope="session")
def python() -> Path:
    """The interpreter that stands for Lambda's."""
    return lambda_python()


@pytest.fixture(scope="session")
def _containers() -> None:
    try:
        prepare()
    except SamLocalError as error:
        pytest.skip(f"sam local can't run here: {error}")


class Aws:
    """An account with IAM enforced, and the functions of the template in it."""

    def __init__(self, cloud: Cloud, url: str) -> None:
        self.cloud = cloud
        self.url = url

    def environment(self, function: Function) -> dict[str, str]:
        """Return what Lambda would give the function: its variables, and its role's credentials."""
        policy = {"Version": "2012-10-17", "Statement": list(function.statements)}
        credentials = self.cloud.credentials(f"{function.logical_id}Role", function.logical_id, [policy])
        return {**environment(function), **credentials, "AWS_ENDPOINT_URL": self.url}

    def deploy(self, event: object) -> None:
        """Have ECS in the middle of the deployment that *event* is about, if it is about one."""
        know(self.cloud.control_plane, event)


@pytest.fixture
def aws() -> Iterator[Aws]:
    with Cloud(region=REGION) as cloud, Server(cloud) as server, cloud.enforcing_iam():
        yield Aws(cloud, server.url)


def read_event(path: Path) -> Any:
    return json.loads(path.read_text())

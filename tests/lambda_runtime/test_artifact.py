"""What is in an artifact, and what is not."""

import ast
import filecmp
import json
import os
import struct
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import botocore
import botocore.session
import pytest
import yaml
from botocore.loaders import Loader

from artifact.aws_data import trimmed_endpoints, trimmed_model
from artifact.build import MACHINES, BuildError
from artifact.build import build as build_artifact
from artifact.declaration import Function, TemplateError, functions
from rehearsal.runtime.lambda_python import ROOT, find_uv

from .conftest import FUNCTION

MAX_ZIPPED_BYTES = 8_000_000
BOTOCORE_DATA = Path(botocore.__file__).parent / "data"

# https://refspecs.linuxfoundation.org/elf/gabi4+/ch4.eheader.html: e_machine, at offset 18.
ELF_MACHINES = {"x86_64": 62, "aarch64": 183}

DECLARED = functions(ROOT / "template.yaml")
ALL = pytest.mark.parametrize("declared", DECLARED.values(), ids=list(DECLARED))

# Permissions that no operation is called like.
NAMED_OTHERWISE = {"s3:ListBucket": {"ListObjectsV2"}, "s3:GetObject": {"GetObject", "HeadObject"}}

pytestmark = pytest.mark.runtime


def files(folder: Path) -> Iterator[str]:
    return (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@ALL
def test_an_artifact_holds_its_own_hook_and_no_counterpart(build: Path, declared: Function) -> None:
    folder = build / declared.name
    hooks = {path.name for path in (folder / "hooks").iterdir() if path.name != "__pycache__"}
    assert hooks == {"__init__.py", declared.module[1]}
    parts = {part for path in folder.joinpath("hooks").rglob("*") for part in path.parts}
    assert parts.isdisjoint({"console", "worker", "generator"} - set(declared.module))
    sources = {path.name for path in (ROOT / "shared").glob("*.py")}
    assert {path.name for path in (folder / "shared").glob("*.py")} == sources


@ALL
def test_an_artifact_holds_the_locked_runtime_dependencies_and_nothing_else(
    build: Path, declared: Function
) -> None:
    top = {path.name.removesuffix(".pyc") for path in (build / declared.name).iterdir()}
    names = {package["name"]: package for package in tomllib.loads((ROOT / "uv.lock").read_text())["package"]}
    wanted, found = ["ecs-lifecycle-hooks"], set()
    while wanted:
        for dependency in names[wanted.pop()].get("dependencies", []):
            if dependency["name"] not in found:
                found.add(dependency["name"])
                wanted.append(dependency["name"])
    modules = {name.replace("-", "_").replace("python_dateutil", "dateutil") for name in found}
    assert top == modules | {"hooks", "shared"}


@ALL
def test_an_artifact_has_the_models_of_what_its_role_allows_and_no_others(
    build: Path, declared: Function
) -> None:
    data = build / declared.name / "botocore" / "data"
    found = {
        model.parent.parent.name: frozenset(json.loads(model.read_text())["operations"])
        for model in data.glob("*/*/service-2.json")
    }
    # Said here without the code under test: the statements as they stand in the template.
    allowed: dict[str, set[str]] = {"sts": {"GetCallerIdentity"}}
    for action in granted(declared.name):
        service, permission = action.split(":")
        # Lambda's own, which no code of ours calls.
        if service not in {"logs", "ec2"}:
            service = "elbv2" if service == "elasticloadbalancing" else service
            allowed.setdefault(service, set()).update(NAMED_OTHERWISE.get(action, {permission}))
    assert found == allowed
    assert {path.name for path in data.iterdir() if path.is_dir()} == allowed.keys()


def granted(function: str) -> set[str]:
    """Find the actions in the lines of the function's role."""
    text = (ROOT / "template.yaml").read_text()
    resource = text.split(f"\n  {function}:\n")[1].split("\n\n")[0]
    role = resource.split("Role: !GetAtt ")[1].split(".")[0]
    block = text.split(f"\n  {role}:\n")[1].split("\n\n")[0]
    lines = [line.split("Action: ")[1] for line in block.splitlines() if "Action: " in line]
    actions = {action.strip(" []") for line in lines for action in line.split(",")}
    return actions - {"sts:AssumeRole"}


@ALL
def test_an_artifact_runs_on_either_processor(build: Path, declared: Function) -> None:
    """Each module is there for both, under the name that only Pythons on its processor look for."""
    modules: dict[str, set[str]] = {}
    for path in (build / declared.name).rglob("*.so*"):
        name, _, rest = path.name.partition(".cpython-313-")
        machine = rest.removesuffix("-linux-gnu.so")
        with path.open("rb") as file:
            assert struct.unpack("<H", file.read(20)[18:])[0] == ELF_MACHINES[machine], path
        modules.setdefault(str(path.with_name(name)), set()).add(machine)
    assert modules
    assert all(machines == set(MACHINES) for machines in modules.values()), modules


@ALL
def test_an_artifact_is_at_most_8_mb_zipped(build: Path, declared: Function) -> None:
    folder = build / declared.name
    with tempfile.TemporaryFile() as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in files(folder):
                archive.write(folder / name, name)
        assert file.tell() <= MAX_ZIPPED_BYTES


@ALL
def test_an_artifact_can_be_read_by_anybody_and_names_no_folder_of_the_machine(
    build: Path, declared: Function
) -> None:
    folder = build / declared.name
    for path in folder.rglob("*"):
        assert path.stat().st_mode & 0o777 == (0o755 if path.is_dir() else 0o644), path
    for path in folder.rglob("*.pyc"):
        assert str(folder).encode() not in path.read_bytes(), path


def test_two_builds_hold_the_same_bytes(artifact: Path, tmp_path: Path) -> None:
    again = tmp_path / "somewhere" / "else"
    build_artifact(DECLARED[FUNCTION], again, uv=find_uv())
    names = sorted(files(artifact))
    assert names == sorted(files(again))
    assert filecmp.cmpfiles(artifact, again, names, shallow=False) == (names, [], [])


def test_an_artifact_imports_nothing_that_is_not_in_it(artifact: Path, python: Path) -> None:
    """What our own code imports is in the artifact or in Python; Lambda's boto3 fills no gap."""
    own = [path for folder in ("hooks", "shared") for path in (artifact / folder).rglob("*.py")]
    imported = {
        name.split(".")[0]
        for path in own
        for node in ast.walk(ast.parse(path.read_text()))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    ours = {path.name.removesuffix(".pyc") for path in artifact.iterdir()}
    # Types of the stubs, under TYPE_CHECKING.
    stubs = {name for name in imported if name.startswith("mypy_boto3_")}
    assert imported - stubs <= ours | sys.stdlib_module_names
    # And in fact: -S leaves out the interpreter's own packages.
    code = (
        "import sys, importlib\n"
        f"sys.path.insert(0, {str(artifact)!r})\n"
        + "".join(f"importlib.import_module({module(path, artifact)!r})\n" for path in own)
        + "from shared.clients import client\n"
        + "".join(f"client({service!r})\n" for service in DECLARED[FUNCTION].operations)
    )
    environment = {
        "AWS_DEFAULT_REGION": "us-east-1",
        "PATH": os.environ["PATH"],
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    environment |= {"APPROVAL_PARAMETER_PREFIX": "/ecs-approvals"}
    result = subprocess.run(
        [python, "-S", "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr


def module(path: Path, base: Path) -> str:
    return ".".join(path.relative_to(base).with_suffix("").parts).removesuffix(".__init__")


def endpoints(python: Path | str, path: Path | None) -> Any:
    """Run resolve_endpoints.py with the botocore in *path*, or the whole one of this Python."""
    environment = {"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"}
    options = [] if path is None else ["-S"]
    if path is not None:
        environment["PYTHONPATH"] = str(path)
    script = Path(__file__).with_name("resolve_endpoints.py")
    command = [str(python), *options, str(script), *sorted(DECLARED[FUNCTION].operations)]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def test_every_region_and_partition_resolves_as_with_all_of_botocores_data(
    artifact: Path, python: Path
) -> None:
    trimmed, full = endpoints(python, artifact), endpoints(sys.executable, None)
    assert len(full) > 5 * 40 * 3  # services, regions, options
    assert full["ssm cn-north-1 {}"][0] == "https://ssm.cn-north-1.amazonaws.com.cn"
    assert trimmed == full


def test_a_trimmed_model_serialises_and_parses_as_the_whole_one() -> None:
    """Every shape that an operation can reach is there, and unchanged but for the documentation."""
    loader = Loader()
    for service, names in DECLARED[FUNCTION].operations.items():
        full = loader.load_service_model(service, "service-2")
        trimmed = trimmed_model(full, service, names)
        assert trimmed["metadata"] == full["metadata"]
        assert trimmed["shapes"].keys() == reachable(full, names), service
        for name, shape in trimmed["shapes"].items():
            assert bare(shape) == bare(full["shapes"][name]), name
        for name in names:
            assert bare(trimmed["operations"][name]) == bare(full["operations"][name])
        assert "documentation" not in trimmed


def reachable(model: Mapping[str, Any], names: frozenset[str]) -> set[str]:
    """Follow every "shape" anywhere: another way than the code under test goes."""
    found: set[str] = set()

    def walk(node: Any) -> None:
        if isinstance(node, dict):
            name = node.get("shape")
            if isinstance(name, str) and name not in found:
                found.add(name)
                walk(model["shapes"][name])
            for value in node.values():
                walk(value)
        elif isinstance(node, list):
            for value in node:
                walk(value)

    walk([model["operations"][name] for name in names])
    return found


def bare(node: Any) -> Any:
    """Take strings called "documentation" away, but not a member of that name, which is an object."""
    if isinstance(node, dict):
        dropped = {"documentation", "documentationUrl"}
        return {
            key: bare(value) for key, value in node.items() if not (key in dropped and isinstance(value, str))
        }
    return [bare(value) for value in node] if isinstance(node, list) else node


def test_a_member_called_documentation_is_kept() -> None:
    structure = {
        "type": "structure",
        "documentation": "what it is",
        "members": {"documentation": {"shape": "Text", "documentation": "its page"}},
    }
    model = {
        "metadata": {"endpointPrefix": "demo"},
        "documentation": "a service",
        "operations": {"Get": {"name": "Get", "input": {"shape": "In"}, "documentation": "gets"}, "Put": {}},
        "shapes": {"In": structure, "Text": {"type": "string"}, "Unused": {"type": "string"}},
    }
    assert trimmed_model(model, "demo", frozenset({"Get"})) == {
        "metadata": {"endpointPrefix": "demo"},
        "operations": {"Get": {"name": "Get", "input": {"shape": "In"}}},
        "shapes": {
            "In": {"type": "structure", "members": {"documentation": {"shape": "Text"}}},
            "Text": {"type": "string"},
        },
    }


def test_endpoints_keep_every_partition_and_region() -> None:
    full = json.loads((BOTOCORE_DATA / "endpoints.json").read_text())
    trimmed = trimmed_endpoints(full, frozenset({"ssm"}))
    for before, after in zip(full["partitions"], trimmed["partitions"], strict=True):
        assert after["services"].keys() <= {"ssm"}
        assert {**after, "services": None} == {**before, "services": None}


@pytest.mark.parametrize("value", ["", None])
def test_an_empty_endpoint_variable_is_unset_to_boto3(
    monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    """The template declares it empty, so that `sam local --env-vars` can set it."""
    if value is None:
        monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    else:
        monkeypatch.setenv("AWS_ENDPOINT_URL", value)
    made = botocore.session.Session()
    urls = {
        service: made.create_client(service, "eu-west-1").meta.endpoint_url
        for service in DECLARED[FUNCTION].operations
    }
    assert urls == {
        "ecs": "https://ecs.eu-west-1.amazonaws.com",
        "s3": "https://s3.eu-west-1.amazonaws.com",
        "sns": "https://sns.eu-west-1.amazonaws.com",
        "ssm": "https://ssm.eu-west-1.amazonaws.com",
        "sts": "https://sts.eu-west-1.amazonaws.com",
    }


@pytest.mark.parametrize(
    ("role", "problem"),
    [
        ("arn:aws:iam::123456789012:role/any", "expected Role: !GetAtt ROLE.Arn"),
        (
            {"Fn::GetAtt": "R.Arn"},
            "expected the name of one permission, such as ssm:GetParameter, got 'ssm:*'",
        ),
    ],
)
def test_a_role_that_does_not_say_what_is_called_is_refused(
    tmp_path: Path, role: object, problem: str
) -> None:
    template = tmp_path / "template.yaml"
    statement = {"Effect": "Allow", "Action": "ssm:*", "Resource": "*"}
    policies = [{"PolicyName": "p", "PolicyDocument": {"Statement": [statement]}}]
    template.write_text(
        yaml.safe_dump(
            {
                "Resources": {
                    "F": {
                        "Type": "AWS::Serverless::Function",
                        "Properties": {"Handler": "hooks.one.handler.handler", "Role": role},
                    },
                    "R": {"Type": "AWS::IAM::Role", "Properties": {"Policies": policies}},
                }
            }
        )
    )
    with pytest.raises(TemplateError, match="F: ") as raised:
        functions(template)
    assert problem in str(raised.value)


def test_a_folder_that_is_not_empty_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("keep me")
    with pytest.raises(BuildError, match="is not empty"):
        build_artifact(DECLARED[FUNCTION], tmp_path)
    assert sorted(files(tmp_path)) == ["precious"]

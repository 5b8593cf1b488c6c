"""What is in an artifact, and what is not."""

import ast
import filecmp
import json
import marshal
import os
import struct
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import botocore
import botocore.session
import cryptography
import pytest
import yaml
from botocore.loaders import Loader

from artifact.aws_data import trimmed_endpoints, trimmed_model
from artifact.build import BuildError, build_layer
from artifact.build import build as build_artifact
from artifact.declaration import Function, Layer, TemplateError, functions, layers
from artifact.elf import without_symbols
from rehearsal.runtime import architecture
from rehearsal.runtime.lambda_python import ROOT, find_uv
from rehearsal.template import Template

from .conftest import FUNCTION

MAX_ZIPPED_BYTES = 8_000_000
# With the layers of one processor; sam deploy sends each on its own.
MAX_ZIPPED_BYTES_OF_IMAGE_TRUST = 10_000_000
MAX_ZIPPED_BYTES_OF_CONSOLE = 12_000_000
MAX_ZIPPED_BYTES_WITH_KEYLESS = 17_000_000
BOTOCORE_DATA = Path(botocore.__file__).parent / "data"

# https://refspecs.linuxfoundation.org/elf/gabi4+/ch4.eheader.html: e_machine, at offset 18.
ELF_MACHINES = {"x86_64": 62, "aarch64": 183}

DECLARED = functions(ROOT / "template.yaml")
ALL = pytest.mark.parametrize("declared", DECLARED.values(), ids=list(DECLARED))
IMAGE_TRUST = "ImageTrustFunction"
CONSOLE = "ApprovalConsoleFunction"
LIBRARIES = {IMAGE_TRUST: "ImageTrustLibraries{}Layer", CONSOLE: "ApprovalConsoleLibraries{}Layer"}
WITHOUT_LAYERS = pytest.mark.parametrize("name", sorted(DECLARED.keys() - LIBRARIES.keys()))
WITH_LAYERS = pytest.mark.parametrize("name", sorted(LIBRARIES))
LAYERS = layers(ROOT / "template.yaml")
EVERY_LAYER = pytest.mark.parametrize("layer", LAYERS.values(), ids=list(LAYERS))
PROCESSORS = {"Arm64": "aarch64", "X8664": "x86_64"}
EVERY_PROCESSOR = pytest.mark.parametrize("processor", PROCESSORS)
HERE = {"arm64": "Arm64", "x86_64": "X8664"}[architecture()]

# Distributions whose modules are called otherwise, and those of which nothing is ever imported.
MODULES = {
    "cffi": "_cffi_backend",
    "pyjwt": "jwt",
    "python-dateutil": "dateutil",
    "pyyaml": "yaml",
    "sigstore-rekor-types": "rekor_types",
}
NEVER_IMPORTED = {
    *("dnspython", "email-validator", "markdown-it-py", "mdurl", "pycparser", "pygments", "rich"),
}
COMPILED = {"_cffi_backend", "cbor2", "cryptography", "markupsafe", "pydantic_core", "rfc3161_client"}

# Permissions that no operation is called like.
NAMED_OTHERWISE = {
    "ecr:BatchGetImage": {"BatchGetImage", "ListImageReferrers"},
    "s3:ListBucket": {"ListObjectsV2"},
    "s3:GetObject": {"GetObject", "HeadObject"},
    "s3:GetObjectVersion": {"GetObject", "HeadObject"},
}

pytestmark = pytest.mark.runtime


def files(folder: Path) -> Iterator[str]:
    return (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@ALL
def test_an_artifact_holds_its_own_hook_and_no_counterpart(build: Path, declared: Function) -> None:
    folder = build / declared.name
    hooks = {path.name for path in (folder / "hooks").iterdir() if path.name != "__pycache__"}
    assert hooks == {"__init__.py", declared.module[1]}
    parts = {part for path in folder.joinpath("hooks").rglob("*") for part in path.parts}
    assert parts.isdisjoint({"cli.py", "console", "worker", "generator"} - set(declared.module))
    sources = {path.name for path in (ROOT / "shared").glob("*.py")}
    assert {path.name for path in (folder / "shared").glob("*.py")} == sources


@ALL
def test_an_artifact_holds_the_locked_runtime_dependencies_and_nothing_else(
    build: Path, declared: Function
) -> None:
    in_layers = COMPILED if declared.layers else set()
    expected = locked(declared.extra) - in_layers
    assert modules_in(build / declared.name) == expected | {"hooks", "shared"}


@EVERY_PROCESSOR
def test_the_layers_hold_what_their_function_does_not(build: Path, processor: str) -> None:
    for name, layer in LIBRARIES.items():
        libraries = build / layer.format(processor) / "python"
        assert modules_in(libraries) == locked(DECLARED[name].extra) & COMPILED
    own, with_keyless = locked("image-trust"), locked("image-trust-keyless")
    assert modules_in(build / f"ImageTrustKeyless{processor}Layer" / "python") == with_keyless - own


def locked(extra: str) -> set[str]:
    """Return the modules of the runtime dependencies, and of an extra where there is one, in uv.lock."""
    names = {package["name"]: package for package in tomllib.loads((ROOT / "uv.lock").read_text())["package"]}
    found = {one["name"] for one in names["ecs-lifecycle-hooks"]["optional-dependencies"].get(extra, [])}
    wanted = ["ecs-lifecycle-hooks", *found]
    while wanted:
        for dependency in names[wanted.pop()].get("dependencies", []):
            if dependency["name"] not in found:
                found.add(dependency["name"])
                wanted.append(dependency["name"])
    return {MODULES.get(name, name.replace("-", "_")) for name in found - NEVER_IMPORTED}


def modules_in(folder: Path) -> set[str]:
    return {path.name.partition(".")[0] for path in folder.iterdir()}


@ALL
def test_an_artifact_holds_nothing_that_is_never_imported(build: Path, declared: Function) -> None:
    for name in (declared.name, *declared.layers):
        folder = build / name
        assert not (folder / "pydantic" / "v1").exists()
        parts = {part for path in folder.rglob("*") for part in path.relative_to(folder).parts}
        unused = {"tests", "test_data", "bin", "_yaml"} | ({"event_handler"} if name != CONSOLE else set())
        assert parts.isdisjoint(unused), name
        assert not [part for part in parts if part.endswith((".dist-info", ".py.typed", ".pyi"))], name


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
        # Lambda's own, and ECR's, which no code of ours calls.
        if service not in {"ec2", "inspector2", "logs"}:
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


@WITHOUT_LAYERS
def test_an_artifact_runs_on_either_processor(build: Path, name: str) -> None:
    """Each module is there for both, under the name that only Pythons on its processor look for."""
    modules = compiled_modules(build / name)
    assert modules
    assert all(machines == set(ELF_MACHINES) for machines in modules.values()), modules


@WITH_LAYERS
def test_a_function_with_layers_has_nothing_that_depends_on_the_processor(build: Path, name: str) -> None:
    assert compiled_modules(build / name) == {}


@ALL
def test_an_artifact_trusts_one_bundle_of_authorities(build: Path, declared: Function, python: Path) -> None:
    [bundle] = (build / declared.name).rglob("cacert.pem")
    code = "from botocore.httpsession import get_cert_path\nprint(get_cert_path(True))"
    result = run_with(python, [build / declared.name], code)
    assert (result.stdout.strip(), result.stderr) == (str(bundle), "")


@EVERY_LAYER
def test_a_layer_is_for_the_processor_that_it_says(build: Path, layer: Layer) -> None:
    modules = compiled_modules(build / layer.name)
    assert modules
    assert set().union(*modules.values()) == {layer.machine}
    assert layer.machine == PROCESSORS[next(one for one in PROCESSORS if layer.name.endswith(f"{one}Layer"))]


def compiled_modules(folder: Path) -> dict[str, set[str]]:
    """Return the machines for which each module is there, by its name less theirs."""
    modules: dict[str, set[str]] = {}
    for path in folder.rglob("*.so*"):
        name, _, rest = path.name.partition(".cpython-313-")
        machine = rest.removesuffix("-linux-gnu.so")
        with path.open("rb") as file:
            assert struct.unpack("<H", file.read(20)[18:])[0] == ELF_MACHINES[machine], path
        modules.setdefault(str(path.with_name(name)), set()).add(machine)
    return modules


@WITHOUT_LAYERS
def test_an_artifact_is_at_most_8_mb_zipped(build: Path, name: str) -> None:
    assert zipped_bytes(build / name) <= MAX_ZIPPED_BYTES


@EVERY_PROCESSOR
def test_the_console_is_at_most_12_mb_zipped(build: Path, processor: str) -> None:
    layer = build / LIBRARIES[CONSOLE].format(processor)
    assert zipped_bytes(build / CONSOLE) + zipped_bytes(layer) <= MAX_ZIPPED_BYTES_OF_CONSOLE


@EVERY_PROCESSOR
def test_image_trust_is_at_most_10_mb_zipped_and_17_with_keyless_rules(build: Path, processor: str) -> None:
    without = zipped_bytes(build / IMAGE_TRUST) + zipped_bytes(build / f"ImageTrustLibraries{processor}Layer")
    assert without <= MAX_ZIPPED_BYTES_OF_IMAGE_TRUST
    keyless = zipped_bytes(build / f"ImageTrustKeyless{processor}Layer")
    assert without + keyless <= MAX_ZIPPED_BYTES_WITH_KEYLESS


def zipped_bytes(folder: Path) -> int:
    with tempfile.TemporaryFile() as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in files(folder):
                archive.write(folder / name, name)
        return file.tell()


@ALL
def test_an_artifact_can_be_read_by_anybody_and_names_no_folder_of_the_machine(
    build: Path, declared: Function
) -> None:
    for folder in (build / name for name in (declared.name, *declared.layers)):
        for path in folder.rglob("*"):
            assert path.stat().st_mode & 0o777 == (0o755 if path.is_dir() else 0o644), path
        for path in folder.rglob("*.pyc"):
            assert str(folder).encode() not in path.read_bytes(), path


def test_a_traceback_names_files_as_they_are_called_in_lambda(build: Path) -> None:
    layer = build / f"ImageTrustLibraries{HERE}Layer" / "python"
    for pyc, source in (
        (build / IMAGE_TRUST / "urllib3" / "__init__.pyc", "/var/task/urllib3/__init__.py"),
        (layer / "cryptography" / "__init__.pyc", "/opt/python/cryptography/__init__.py"),
    ):
        assert marshal.loads(pyc.read_bytes()[16:]).co_filename == source


@pytest.mark.thorough
def test_two_builds_hold_the_same_bytes(artifact: Path, tmp_path: Path) -> None:
    again = tmp_path / "somewhere" / "else"
    build_artifact(DECLARED[FUNCTION], again, uv=find_uv())
    names = sorted(files(artifact))
    assert names == sorted(files(again))
    assert filecmp.cmpfiles(artifact, again, names, shallow=False) == (names, [], [])


@pytest.mark.thorough
@pytest.mark.parametrize("kind", ["Libraries", "Keyless"])
def test_two_builds_of_a_layer_hold_the_same_bytes(build: Path, kind: str, tmp_path: Path) -> None:
    name = f"ImageTrust{kind}{HERE}Layer"
    build_layer(LAYERS[name], tmp_path / "again", uv=find_uv())
    names = sorted(files(build / name))
    assert names == sorted(files(tmp_path / "again"))
    assert filecmp.cmpfiles(build / name, tmp_path / "again", names, shallow=False) == (names, [], [])


def test_what_the_loader_reads_of_a_module_is_as_in_its_wheel() -> None:
    """Every segment, and all tables in them; only sections that are in no segment lose their content."""
    wheel = Path(next(iter(cryptography.__path__)), "hazmat", "bindings", "_rust.abi3.so").read_bytes()
    module = without_symbols(wheel)
    assert len(module) == len(wheel)
    table, size, count = struct.unpack_from("<32xQ14xHH", wheel)
    loaded = 0
    for number in range(count):
        offset, length = struct.unpack_from("<8xQ16xQ", wheel, table + number * size)
        assert module[offset : offset + length] == wheel[offset : offset + length]
        loaded += length
    assert loaded > 5_000_000
    assert module.count(b"\0") > wheel.count(b"\0") + 500_000
    assert without_symbols(module) == module
    assert without_symbols(b"a script") == b"a script"


@pytest.mark.parametrize(
    ("name", "attached"),
    [
        (FUNCTION, []),
        (IMAGE_TRUST, ["ImageTrustLibraries", "ImageTrustKeyless"]),
        (CONSOLE, ["ApprovalConsoleLibraries"]),
    ],
    ids=["alone", "with its layers", "console"],
)
def test_an_artifact_imports_nothing_that_is_not_in_it(
    build: Path, name: str, attached: list[str], python: Path
) -> None:
    """What our own code imports is in the artifact, its layers or Python; Lambda's boto3 fills no gap."""
    artifact = build / name
    path = [artifact, *(build / f"{kind}{HERE}Layer" / "python" for kind in attached)]
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
    ours = set[str]().union(*map(modules_in, path))
    # Types of the stubs, under TYPE_CHECKING.
    stubs = {name for name in imported if name.startswith("mypy_boto3_") or name == "_typeshed"}
    assert imported - stubs <= ours | sys.stdlib_module_names
    # And in fact: -S leaves out the interpreter's own packages.
    result = run_with(
        python,
        path,
        "".join(f"importlib.import_module({module(file, artifact)!r})\n" for file in own)
        + "from shared.clients import client\n"
        + "".join(f"client({service!r})\n" for service in DECLARED[name].operations),
    )
    assert result.returncode == 0, result.stderr


VECTORS = ROOT / "tests" / "hooks" / "image_trust" / "vectors"


def verify_vectors(python: Path, path: Sequence[Path], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run verify_vectors.py with what is in *path*, once the handler is imported."""
    script = Path(__file__).with_name("verify_vectors.py")
    code = f"import runpy, hooks.image_trust.handler\nsys.argv = {['', str(VECTORS), *arguments]!r}\n"
    return run_with(python, path, code + f"runpy.run_path({str(script)!r}, run_name='__main__')\n")


def test_signatures_by_keys_are_verified_without_the_layer_for_keyless_rules(
    build: Path, python: Path
) -> None:
    path = [build / IMAGE_TRUST, build / f"ImageTrustLibraries{HERE}Layer" / "python"]
    result = verify_vectors(python, path)
    assert result.returncode == 0, result.stderr
    kinds = ("p256", "p384", "p521", "rsa", "ed25519")
    assert json.loads(result.stdout) == {
        **dict.fromkeys(kinds, "accept"),
        **dict.fromkeys((f"{kind}, other key" for kind in kinds), "wrong-signature"),
    }
    lacks = verify_vectors(python, path, "keyless")
    assert lacks.stderr.splitlines()[-1] == "ModuleNotFoundError: No module named 'sigstore'"


def test_keyless_signatures_are_verified_with_both_layers_and_nothing_else(build: Path, python: Path) -> None:
    layers = (build / f"ImageTrust{kind}{HERE}Layer" / "python" for kind in ("Libraries", "Keyless"))
    result = verify_vectors(python, [build / IMAGE_TRUST, *layers], "keyless")
    assert result.returncode == 0, result.stderr
    made = json.loads((VECTORS / "sigstore.json").read_text())["cases"]
    expected = {f"{one['kind']}: {one['name']}": one["expected"] for one in made if not one.get("logged")}
    assert set(expected.values()) > {"accept"}
    assert json.loads(result.stdout) == expected


def run_with(python: Path, path: Sequence[Path], code: str) -> subprocess.CompletedProcess[str]:
    """Run code in an interpreter that has nothing but the standard library and what is in *path*."""
    environment = {
        "AWS_DEFAULT_REGION": "us-east-1",
        "PATH": os.environ["PATH"],
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    environment |= {"APPROVAL_PARAMETER_PREFIX": "/ecs-approvals"}
    preamble = f"import sys, importlib\nsys.path[:0] = {list(map(str, path))!r}\n"
    return subprocess.run(
        [python, "-S", "-c", preamble + code], env=environment, capture_output=True, text=True, check=False
    )


def module(path: Path, base: Path) -> str:
    return ".".join(path.relative_to(base).with_suffix("").parts).removesuffix(".__init__")


def endpoints(name: str, python: Path | str, path: Path | None) -> Any:
    """Run resolve_endpoints.py with the botocore in *path*, or the whole one of this Python."""
    environment = {"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"}
    options = [] if path is None else ["-S"]
    if path is not None:
        environment["PYTHONPATH"] = str(path)
    script = Path(__file__).with_name("resolve_endpoints.py")
    command = [str(python), *options, str(script), *sorted(DECLARED[name].operations)]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


@pytest.mark.parametrize("name", [FUNCTION, IMAGE_TRUST])
def test_every_region_and_partition_resolves_as_with_all_of_botocores_data(
    build: Path, name: str, python: Path
) -> None:
    trimmed, full = endpoints(name, python, build / name), endpoints(name, sys.executable, None)
    assert len(full) > 5 * 40 * 3  # services, regions, options
    assert full["ssm cn-north-1 {}"][0] == "https://ssm.cn-north-1.amazonaws.com.cn"
    assert trimmed == full


@pytest.mark.parametrize("name", [FUNCTION, IMAGE_TRUST])
def test_a_trimmed_model_serialises_and_parses_as_the_whole_one(name: str) -> None:
    """Every shape that an operation can reach is there, and unchanged but for the documentation."""
    loader = Loader()
    for service, names in DECLARED[name].operations.items():
        full = loader.load_service_model(service, "service-2")
        trimmed = trimmed_model(full, service, names)
        assert trimmed["metadata"] == full["metadata"]
        assert trimmed["shapes"].keys() == reachable(full, names), service
        for shape, content in trimmed["shapes"].items():
            assert bare(content) == bare(full["shapes"][shape]), shape
        for operation in names:
            assert bare(trimmed["operations"][operation]) == bare(full["operations"][operation])
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
        "secretsmanager": "https://secretsmanager.eu-west-1.amazonaws.com",
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


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"Layers": []}, "L: expected one function with it among its Layers, got 0"),
        ({"CompatibleArchitectures": ["arm64", "x86_64"]}, "L: expected CompatibleArchitectures: [arm64] or"),
        (
            {"Extra": None},
            "L: expected Metadata with Extra, an optional dependency of pyproject.toml, got None",
        ),
    ],
)
def test_a_layer_that_does_not_say_what_it_is_for_is_refused(
    tmp_path: Path, changes: dict[str, Any], problem: str
) -> None:
    given = {"Layers": [{"Ref": "L"}], "CompatibleArchitectures": ["arm64"], "Extra": "one", **changes}
    function = {"Handler": "hooks.one.handler.handler", "Role": {"Fn::GetAtt": "R.Arn"}}
    layer = {"CompatibleArchitectures": given["CompatibleArchitectures"]}
    resources = {
        "F": {"Type": "AWS::Serverless::Function", "Properties": {**function, "Layers": given["Layers"]}},
        "L": {
            "Type": "AWS::Serverless::LayerVersion",
            "Metadata": {"Extra": given["Extra"]},
            "Properties": layer,
        },
        "R": {"Type": "AWS::IAM::Role", "Properties": {}},
    }
    template = tmp_path / "template.yaml"
    template.write_text(yaml.safe_dump({"Resources": resources}))
    with pytest.raises(TemplateError) as raised:
        layers(template)
    assert str(raised.value).startswith(problem)


def test_a_folder_that_is_not_empty_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("keep me")
    with pytest.raises(BuildError, match="is not empty"):
        build_artifact(DECLARED[FUNCTION], tmp_path)
    with pytest.raises(BuildError, match="is not empty"):
        build_layer(LAYERS[f"ImageTrustKeyless{HERE}Layer"], tmp_path)
    assert sorted(files(tmp_path)) == ["precious"]


def test_the_reference_system_is_built_together_with_the_hooks(build: Path) -> None:
    source, nested = ROOT / "examples" / "unicorn_watch", build / "UnicornWatch"
    built = {"template.yaml": source / "template.yaml"} | {
        f"{''.join(part.title() for part in file.parent.name.split('_'))}/template.yaml": file
        for file in source.glob("*/template.yaml")
    }

    assert {str(file.relative_to(nested)) for file in nested.rglob("template.yaml")} == set(built)
    for name, file in built.items():
        found, given = (Template.read(one) for one in (nested / name, file))
        assert {one.logical_id: one.type for one in found.resources()} == {
            one.logical_id: one.type for one in given.resources()
        }
    root = Template.read(build / "template.yaml", parameters={"IncludeUnicornWatch": "true"})
    [stack] = root.resources("AWS::CloudFormation::Stack")
    assert stack.properties["TemplateURL"] == "UnicornWatch/template.yaml"

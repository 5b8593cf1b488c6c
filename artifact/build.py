"""Build the artifact of one Lambda function, or of a layer: what `sam build` zips or mounts.

::

    hooks/__init__.py  hooks/NAME/  shared/    as in the repository, so import paths are those of the tests
    botocore/  pydantic/  ...                  the versions of uv.lock, for arm64 and x86_64 at once
    botocore/data/                             only the operations that the function's role allows

One artifact runs on either processor. `sam build` does not tell a makefile which one a function is for,
and `sam deploy` may be given another than `sam build` was; a wheel for the wrong one would be found out
by the first deployment, which then rolls back. Compiled modules carry the processor in their names, so
both stand side by side and Python loads the right one. The price is the size of these modules, once.

Where that price is too high, for cryptography alone it would be five megabytes, the template gives the
function layers, and of these the deployed stack attaches the ones that it needs. A package can't be in two
places, so a distribution goes whole to one of them:

::

    the function's artifact            own code, and distributions without compiled modules
    a layer for the function's extra   python/: distributions with compiled modules, for its processor
    a layer for an extra on top        python/: all that this extra adds, for its processor

Two builds of the same commit by the same Python hold the same bytes. Needs uv and network access to the
package index, or a filled uv cache.
"""

# every command line is put together here, none by a caller
# a command line prints

import argparse
import csv
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from botocore.exceptions import DataNotFoundError

from artifact import aws_data, elf
from artifact.declaration import MACHINES, Function, Layer, TemplateError, functions, layers

ROOT = Path(__file__).parent.parent

# Lambda's python3.13 runs on Amazon Linux 2023, which has glibc 2.34.
# https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtimes.html and
# https://docs.aws.amazon.com/linux/al2023/ug/glibc-gcc-and-binutils.html
GLIBC = "2_34"
PYTHON = "3.13"

# Where Lambda puts a function's artifact, and a layer; tracebacks name files as they are called there.
TASK_ROOT = "/var/task"
LAYER_ROOT = "/opt/python"
LAYER_FOLDER = "python"

# What runs elsewhere than in the hook's function stands in these folders and modules of a hook.
COUNTERPARTS = frozenset({"cli", "console", "generator", "worker"})

UNUSED_FOLDERS = frozenset({"__pycache__", "tests", "test_data", "bin"})
UNUSED_SUFFIXES = frozenset({".pyi", ".pyc", ".typed", ".md", ".rst"})
UNUSED_PACKAGE_PARTS = (
    # Only read where the system has no time zones; Amazon Linux has.
    "dateutil/zoneinfo/dateutil-zoneinfo.tar.gz",
    # What nobody uses of Powertools: they would be a quarter of the artifact.
    *(
        f"aws_lambda_powertools/utilities/{part}/"
        for part in (
            *("auth_alpha", "batch", "circuit_breaker", "data_masking", "feature_flags"),
            *("idempotency", "kafka", "parameters", "parser", "streaming", "validation"),
        )
    ),
    # Recurring dates, and browsers.
    *("dateutil/easter.py", "dateutil/rrule.py", "urllib3/contrib/emscripten/"),
    # For types that have no schema but version 1's validators, of which there is none here; a type checker's.
    *("pydantic/v1/", "pydantic/mypy.py"),
    # They compile bindings; of cffi, cryptography loads the compiled backend alone.
    *("cffi/", "pycparser/"),
    # Accelerators of what is there in Python as well: YAML is read by the safe loader in Python, and requests
    # guesses an encoding only where it is asked for text.
    *("yaml/_yaml.", "_yaml/", "charset_normalizer/cd.cpython", "charset_normalizer/md.cpython"),
    # Sigstore's command line, and what reads addresses of whoever signs; verifying imports neither.
    *("sigstore/_cli.py", "rich/", "pygments/", "markdown_it/", "mdurl/", "dns/", "email_validator/"),
)

# Used by whoever answers HTTP, and by no hook.
HTTP_PACKAGE_PARTS = (
    "aws_lambda_powertools/event_handler/",
    "aws_lambda_powertools/utilities/data_classes/",
)
ANSWERS_HTTP = frozenset({"console"})


class BuildError(Exception):
    """The artifact can't be built; the text says why."""


@dataclass(frozen=True, slots=True)
class Distribution:
    """One installed distribution, without what is never used of it."""

    name: str
    files: tuple[Path, ...]

    @property
    def is_compiled(self) -> bool:
        """Whether it has modules for one processor."""
        return any(".so" in path.suffixes for path in self.files)


def build(function: Function, target: Path, *, uv: str = "uv", root: Path = ROOT) -> None:
    """Fill the empty folder *target* with the artifact of *function*."""
    _make_empty(target)
    _copy_sources(function, root, target)
    with tempfile.TemporaryDirectory(prefix="artifact-") as work:
        for machine in MACHINES.values():
            packages = Path(work, machine)
            for distribution in _installed(packages, machine, function.extra, uv, root):
                if not (function.layers and distribution.is_compiled):
                    _copy(_used_by(function, distribution, packages), packages, target, machine)
    aws_data.trim(target / "botocore" / "data", function.operations)
    if (target / "certifi").exists():
        # botocore then takes its authorities, and leaves its own aside.
        (target / "botocore" / "cacert.pem").unlink()
    _compile(target, TASK_ROOT)
    _let_everybody_read(target)


def build_layer(layer: Layer, target: Path, *, uv: str = "uv", root: Path = ROOT) -> None:
    """Fill the empty folder *target* with the artifact of *layer*."""
    _make_empty(target)
    folder = target / LAYER_FOLDER
    with tempfile.TemporaryDirectory(prefix="artifact-") as work:
        packages = Path(work, "packages")
        held = _installed(packages, layer.machine, layer.extra, uv, root)
        if layer.adds_to_its_function:
            below = {
                one.name
                for one in _installed(Path(work, "below"), layer.machine, layer.function.extra, uv, root)
            }
            held = [distribution for distribution in held if distribution.name not in below]
        else:
            held = [distribution for distribution in held if distribution.is_compiled]
        for distribution in held:
            _copy(distribution.files, packages, folder, layer.machine)
    _compile(folder, LAYER_ROOT)
    _let_everybody_read(target)


def _make_empty(target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    if any(target.iterdir()):
        raise BuildError(f"{target} is not empty")


def _let_everybody_read(target: Path) -> None:
    """Lambda runs as another user than the one who builds, whose umask may leave it nothing to read."""
    for path in target.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)


def _copy_sources(function: Function, root: Path, target: Path) -> None:
    hook = root.joinpath(*function.module[:2])
    if function.module[0] != "hooks" or not hook.is_dir():
        raise BuildError(
            f"{function.name}: expected a handler in a package of hooks/, got {function.handler}"
        )
    needed = {part for part in function.module[2:] if part in COUNTERPARTS}
    _copy([root / "hooks" / "__init__.py"], root, target)
    _copy(
        (
            path
            for path in hook.rglob("*")
            if not (COUNTERPARTS - needed).intersection(path.relative_to(hook).with_suffix("").parts)
        ),
        root,
        target,
    )
    _copy((root / "shared").rglob("*"), root, target)


def _installed(packages: Path, machine: str, extra: str, uv: str, root: Path) -> list[Distribution]:
    """Install the runtime dependencies, and those of *extra*, for *machine*, as locked."""
    # Ours: uv would take an active environment's Python into account, and warn about it.
    environment = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    requirements = packages.with_suffix(".txt")
    extras = tomllib.loads((root / "pyproject.toml").read_text())["project"].get("optional-dependencies", {})
    for command in (
        [
            *(uv, "export", "--quiet", "--frozen", "--no-dev", "--no-emit-project"),
            *(("--extra", extra) if extra in extras else ()),
            *("--output-file", str(requirements)),
        ],
        [
            *(uv, "pip", "install", "--quiet", "--target", str(packages)),
            *("--requirements", str(requirements)),
            *("--python-platform", f"{machine}-manylinux_{GLIBC}", "--python-version", PYTHON),
            *("--no-deps", "--only-binary", ":all:", "--require-hashes"),
            # By default uv links files to its cache, where what we change would change for everybody.
            *("--link-mode", "copy"),
        ],
    ):
        try:
            subprocess.run(command, cwd=root, env=environment, check=True, capture_output=True, text=True)
        except FileNotFoundError as error:
            raise BuildError(f"found no uv at {uv!r}; give it with --uv") from error
        except subprocess.CalledProcessError as error:
            raise BuildError(f"{' '.join(command[:3])} failed: {error.stderr.strip()}") from error
    return [_distribution(packages, record) for record in sorted(packages.glob("*.dist-info/RECORD"))]


def _distribution(packages: Path, record: Path) -> Distribution:
    # https://packaging.python.org/en/latest/specifications/recording-installed-packages/#the-record-file
    with record.open(newline="") as rows:
        listed = [row[0] for row in csv.reader(rows) if row]
    used = (name for name in listed if not name.startswith((record.parent.name, "..", *UNUSED_PACKAGE_PARTS)))
    return Distribution(record.parent.name.partition("-")[0], tuple(packages / name for name in sorted(used)))


def _used_by(function: Function, distribution: Distribution, packages: Path) -> Iterable[Path]:
    if ANSWERS_HTTP.intersection(function.module):
        return distribution.files
    return [
        path
        for path in distribution.files
        if not path.relative_to(packages).as_posix().startswith(HTTP_PACKAGE_PARTS)
    ]


def _copy(paths: Iterable[Path], base: Path, target: Path, machine: str = "") -> None:
    for path in paths:
        relative = path.relative_to(base)
        unused = UNUSED_FOLDERS.intersection(relative.parts[:-1]) or path.suffix in UNUSED_SUFFIXES
        if unused or not path.is_file() or path.name.startswith("."):
            continue
        copy = target / relative.with_name(_native_name(path.name, machine))
        content = elf.without_symbols(path.read_bytes())
        if copy.exists() and copy.read_bytes() != content:
            raise BuildError(f"{relative} is another file on {machine}, under the same name")
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(content)


def _native_name(name: str, machine: str) -> str:
    """Return the file name under which only Pythons on *machine* look for an extension module.

    The stable ABI's ``x.abi3.so`` leaves the machine out; Python finds such a module just as well by its
    full name.
    """
    return re.sub(r"\.abi3\.so$", f".cpython-{PYTHON.replace('.', '')}-{machine}-linux-gnu.so", name)


def _compile(target: Path, place: str) -> None:
    """Write byte code: Lambda mounts artifacts read-only, at *place*, so Python can't."""
    own = [path for path in (target / "hooks", target / "shared") if path.exists()]
    if own:
        _compileall([], own, place)
    libraries = sorted(path for path in target.iterdir() if path not in own)
    _compileall(["-b"], libraries, place)
    # Libraries go without their sources: two megabytes less to fetch at a cold start. A traceback still
    # names their files and lines; for our own code it shows the lines as well.
    for library in libraries:
        for source in [library] if library.suffix == ".py" else list(library.rglob("*.py")):
            source.unlink()


def _compileall(options: list[str], paths: list[Path], place: str) -> None:
    subprocess.run(
        [
            *(sys.executable, "-m", "compileall", "-q", "-s", str(paths[0].parent), "-p", place, *options),
            # Never compared with the source, whose time changes when it is unzipped.
            *("--invalidation-mode", "unchecked-hash", *map(str, paths)),
        ],
        # The order of sets in byte code follows from the seed.
        env={"PYTHONHASHSEED": "0"},
        check=True,
        stdout=subprocess.DEVNULL,
    )


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m artifact.build",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "name", help="logical id of a function or layer in the template, such as ManualApprovalFunction"
    )
    parser.add_argument(
        "--to", required=True, type=Path, metavar="DIR", help="an empty folder; made if missing"
    )
    parser.add_argument("--template", type=Path, default=ROOT / "template.yaml", help="default: %(default)s")
    parser.add_argument("--uv", default="uv", help="default: the one on PATH")
    arguments = parser.parse_args()
    if f"{sys.version_info.major}.{sys.version_info.minor}" != PYTHON:
        parser.error(f"byte code must be written by Python {PYTHON}; this is {sys.version.split()[0]}")
    try:
        found = {**functions(arguments.template), **layers(arguments.template)}
        match found.get(arguments.name):
            case Function() as function:
                build(function, arguments.to.resolve(), uv=arguments.uv)
            case Layer() as layer:
                build_layer(layer, arguments.to.resolve(), uv=arguments.uv)
            case None:
                parser.error(
                    f"neither function nor layer {arguments.name!r} in {arguments.template}; "
                    f"there are: {', '.join(found)}"
                )
    except (BuildError, TemplateError, DataNotFoundError, OSError) as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

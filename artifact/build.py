"""Build the artifact of one Lambda function: what `sam build` zips or mounts.

::

    hooks/__init__.py  hooks/NAME/  shared/    as in the repository, so import paths are those of the tests
    botocore/  pydantic/  ...                  the versions of uv.lock, for arm64 and x86_64 at once
    botocore/data/                             only the operations that the function's role allows

One artifact runs on either processor. `sam build` does not tell a makefile which one a function is for,
and `sam deploy` may be given another than `sam build` was; a wheel for the wrong one would be found out
by the first deployment, which then rolls back. Compiled modules carry the processor in their names, so
both stand side by side and Python loads the right one. The price is the size of these modules, once.

Two builds of the same commit by the same Python hold the same bytes. Needs uv and network access to the
package index, or a filled uv cache.
"""

# every command line is put together here, none by a caller
# a command line prints

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from botocore.exceptions import DataNotFoundError

from artifact import aws_data
from artifact.declaration import Function, TemplateError, functions

ROOT = Path(__file__).parent.parent

# Lambda's python3.13 runs on Amazon Linux 2023, which has glibc 2.34.
# https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtimes.html and
# https://docs.aws.amazon.com/linux/al2023/ug/glibc-gcc-and-binutils.html
GLIBC = "2_34"
MACHINES = ("aarch64", "x86_64")
PYTHON = "3.13"
TASK_ROOT = "/var/task"
"""Where Lambda puts an artifact; tracebacks name files as they are called there."""

# What runs elsewhere than in the hook's function stands in these folders of a hook.
COUNTERPARTS = frozenset({"console", "generator", "worker"})

UNUSED_FOLDERS = frozenset({"__pycache__", "tests", "bin"})
UNUSED_SUFFIXES = frozenset({".pyi", ".pyc", ".typed", ".md", ".rst"})
UNUSED_PACKAGE_PARTS = (
    # Only read where the system has no time zones; Amazon Linux has.
    "dateutil/zoneinfo/dateutil-zoneinfo.tar.gz",
    # A page that shows an API's description; no function here serves one.
    "aws_lambda_powertools/event_handler/openapi/swagger_ui/",
    # What no hook uses of Powertools: they would be a sixth of the artifact.
    *(
        f"aws_lambda_powertools/utilities/{part}/"
        for part in (
            *("auth_alpha", "batch", "circuit_breaker", "data_masking", "feature_flags"),
            *("idempotency", "kafka", "parser", "streaming", "validation"),
        )
    ),
)


class BuildError(Exception):
    """The artifact can't be built; the text says why."""


def build(function: Function, target: Path, *, uv: str = "uv", root: Path = ROOT) -> None:
    """Fill the empty folder *target* with the artifact of *function*."""
    target.mkdir(parents=True, exist_ok=True)
    if any(target.iterdir()):
        raise BuildError(f"{target} is not empty")
    _copy_sources(function, root, target)
    with tempfile.TemporaryDirectory(prefix="artifact-") as work:
        for machine in MACHINES:
            packages = Path(work, machine)
            _install(packages, machine, uv, root)
            _merge(packages, target, machine)
    aws_data.trim(target / "botocore" / "data", function.operations)
    _compile(target)
    # Lambda runs as another user than the one who builds, whose umask may leave it nothing to read.
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
            if not (COUNTERPARTS - needed).intersection(path.relative_to(hook).parts[:-1])
        ),
        root,
        target,
    )
    _copy((root / "shared").rglob("*"), root, target)


def _install(packages: Path, machine: str, uv: str, root: Path) -> None:
    """Install the runtime dependencies for *machine*, as locked."""
    # Ours: uv would take an active environment's Python into account, and warn about it.
    environment = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    requirements = packages.with_suffix(".txt")
    for command in (
        [
            uv,
            "export",
            "--quiet",
            "--frozen",
            "--no-dev",
            "--no-emit-project",
            "--output-file",
            str(requirements),
        ],
        [
            *(
                uv,
                "pip",
                "install",
                "--quiet",
                "--target",
                str(packages),
                "--requirements",
                str(requirements),
            ),
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


def _merge(packages: Path, target: Path, machine: str) -> None:
    """Copy what is used of *packages*, beside what is there for another machine."""
    _copy(
        (
            path
            for path in packages.rglob("*")
            if not any(part.endswith(".dist-info") for part in path.relative_to(packages).parts)
            and not path.relative_to(packages).as_posix().startswith(UNUSED_PACKAGE_PARTS)
        ),
        packages,
        target,
        machine,
    )


def _copy(paths: Iterable[Path], base: Path, target: Path, machine: str = "") -> None:
    for path in paths:
        relative = path.relative_to(base)
        unused = UNUSED_FOLDERS.intersection(relative.parts[:-1]) or path.suffix in UNUSED_SUFFIXES
        if unused or not path.is_file() or path.name.startswith("."):
            continue
        copy = target / relative.with_name(_native_name(path.name, machine))
        content = path.read_bytes()
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


def _compile(target: Path) -> None:
    """Write byte code: Lambda mounts artifacts read-only, so Python can't."""
    own = [target / "hooks", target / "shared"]
    _compileall([], own)
    libraries = sorted(path for path in target.iterdir() if path not in own)
    _compileall(["-b"], libraries)
    # Libraries go without their sources: two megabytes less to fetch at a cold start. A traceback still
    # names their files and lines; for our own code it shows the lines as well.
    for library in libraries:
        for source in [library] if library.is_file() else list(library.rglob("*.py")):
            source.unlink()


def _compileall(options: list[str], paths: list[Path]) -> None:
    subprocess.run(
        [
            *(
                sys.executable,
                "-m",
                "compileall",
                "-q",
                "-s",
                str(paths[0].parent),
                "-p",
                TASK_ROOT,
                *options,
            ),
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
    parser.add_argument("function", help="logical id in the template, such as ManualApprovalFunction")
    parser.add_argument(
        "--to", required=True, type=Path, metavar="DIR", help="an empty folder; made if missing"
    )
    parser.add_argument("--template", type=Path, default=ROOT / "template.yaml", help="default: %(default)s")
    parser.add_argument("--uv", default="uv", help="default: the one on PATH")
    arguments = parser.parse_args()
    if f"{sys.version_info.major}.{sys.version_info.minor}" != PYTHON:
        parser.error(f"byte code must be written by Python {PYTHON}; this is {sys.version.split()[0]}")
    try:
        found = functions(arguments.template)
        if arguments.function not in found:
            parser.error(
                f"no function {arguments.function!r} in {arguments.template}; there are: {', '.join(found)}"
            )
        build(found[arguments.function], arguments.to.resolve(), uv=arguments.uv)
    except (BuildError, TemplateError, DataNotFoundError, OSError) as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

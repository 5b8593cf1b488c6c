"""The Python that runs artifacts under the emulator: this one, with what Lambda's image has, and no more.

Any other package in it would hide a dependency that an artifact lacks. It is made once per uv.lock, in
the project's cache folder.
"""

# every command line is put together here, none by a caller

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".cache"

# The runtime interface client, and boto3: https://docs.aws.amazon.com/lambda/latest/dg/lambda-python.html
PACKAGES = ("awslambdaric", "boto3")


class LambdaPythonError(Exception):
    """The environment can't be made; the text says why."""


def lambda_python(cache: Path = CACHE) -> Path:
    """Return the interpreter, and make its environment first where that is not there yet."""
    # Not two versions of one package in one lock file: this project has no forks in it.
    locked = tomllib.loads((ROOT / "uv.lock").read_text())["package"]
    pins = "".join(f"{package['name']}=={package['version']}\n" for package in locked if "version" in package)
    # The paths stand for the interpreter's version, which the environment is bound to.
    key = hashlib.sha256(f"{sys.base_prefix}\n{sys.version}\n{pins}".encode()).hexdigest()[:16]
    environment = cache / f"lambda-python-{key}"
    if not environment.exists():
        _make(environment, pins)
    return environment / "bin" / "python"


def find_uv() -> str:
    """Return uv: the one that runs us, the project's own, or the one on PATH."""
    own = ROOT / ".uv" / "bin" / "uv"
    found = os.environ.get("UV") or (str(own) if own.is_file() else shutil.which("uv"))
    if not found:
        raise LambdaPythonError("found no uv; `make test` gets it, or put it on PATH")
    return found


def _make(environment: Path, pins: str) -> None:
    environment.parent.mkdir(parents=True, exist_ok=True)
    uv = find_uv()
    with tempfile.TemporaryDirectory(prefix="lambda-python-", dir=environment.parent) as work:
        constraints = Path(work, "constraints.txt")
        constraints.write_text(pins)
        new = Path(work, "environment")
        for command in (
            [uv, "venv", "--quiet", "--python", sys.executable, str(new)],
            [
                *(uv, "pip", "install", "--quiet", "--python", str(new), "--constraints", str(constraints)),
                # Lambda's own packages come with their byte code, and nothing is written at run time.
                *("--compile-bytecode", *PACKAGES),
            ],
        ):
            result = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False)
            if result.returncode:
                raise LambdaPythonError(f"{' '.join(command[1:3])} failed: {result.stderr.strip()}")
        try:
            new.rename(environment)
        except OSError:
            # Another process was faster; its environment is as good.
            if not environment.exists():
                raise

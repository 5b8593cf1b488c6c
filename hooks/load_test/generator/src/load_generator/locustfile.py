"""What Locust is started with, as master and as worker: ``locust -f locustfile.py --master``.

Locust executes this file by its path. Everything in it stands in modules of the package, which it finds
because the package is installed. ``load-generator serve`` and ``load-generator worker`` give the right
arguments.
"""

import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from locust import events
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment
from locust.runners import MasterRunner, WorkerRunner
from locust.web import WebUI

from load_generator.engine import FOLDER, PATIENCE, WORKERS
from load_generator.job import Job, JobRefused, Limits
from load_generator.master import Master, write
from load_generator.snapshot import Problem, Snapshot, State
from load_generator.user import OpenLoopUser, Worker
from load_generator.web import install

__all__ = ["OpenLoopUser"]


@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator]
def add_arguments(parser: LocustArgumentParser) -> None:
    """Declare what the master hands to its workers."""
    parser.add_argument("--load-job", default="", help="The run, as JSON text")


@events.init.add_listener  # type: ignore[untyped-decorator]
def on_init(environment: Environment, runner: Any, web_ui: WebUI | None, **_: object) -> None:
    """Take up the part that this process has."""
    limits = Limits.from_environment(os.environ)
    if isinstance(runner, WorkerRunner):
        Worker(environment, runner, limits)
    elif not isinstance(runner, MasterRunner):
        sys.exit("load-generator needs a master and workers: load-generator serve, or locust --processes")
    elif web_ui is not None:
        install(web_ui, Master(environment, runner, limits), os.environ.get("LOAD_TOKEN", ""))
    else:
        _run_once(environment, runner, limits)


def _run_once(environment: Environment, runner: MasterRunner, limits: Limits) -> None:
    """Have this process run the one job of its folder."""
    folder = Path(os.environ[FOLDER])
    master = Master(
        environment,
        runner,
        limits,
        folder=folder,
        workers=int(os.environ[WORKERS]),
        patience_seconds=float(os.environ[PATIENCE]),
    )
    job = Job.read((folder / "job.json").read_bytes())
    try:
        master.accept(job)
    except JobRefused as error:
        refused = Snapshot(
            run=job.run, state=State.ENDED, at=datetime.now(UTC), problem=Problem.REFUSED, reason=str(error)
        )
        write(folder / "snapshot.json", refused.write())
        sys.exit(0)

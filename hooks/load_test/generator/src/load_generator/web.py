"""Locust's web interface for machines: behind a token, and with what the agent would write of a run.

::

    POST /swarm                  user_count, spawn_rate, load_job      Locust's own, let through once
    POST /stop                                                         Locust's own
    GET  /load/health            version, workers, state, run
    GET  /load/runs/RUN          the snapshot
    POST /load/runs/RUN/lease    {"seconds": 90}     without one for 90 s the run is stopped
    POST /load/runs/RUN/stop     {"reason": "..."}
    GET  /healthz                for whoever restarts tasks; the only one that needs no token

Locust answers any start with "success": with no worker, when the number of users is changed in the middle of
a run, while the numbers of the last one still stand. So a start is looked at here first.
"""

import hmac
import importlib.metadata
import math
import sys
from collections.abc import Mapping
from typing import Any

import locust
from flask import Flask, Response, jsonify, request
from locust.web import WebUI

from load_generator.job import Job, JobRefused
from load_generator.master import Busy, Master
from load_generator.snapshot import Problem

MIN_TOKEN = 16
MAX_LEASE_SECONDS = 3600.0

# A job and what a form adds to it.
_MAX_BODY = 1024 * 1024

_OPEN = "/healthz"


def install(web_ui: WebUI, master: Master, token: str) -> None:
    """Put the token before every route, and the routes of runs beside Locust's."""
    app = web_ui.app
    assert app is not None
    if len(token) < MIN_TOKEN:
        sys.exit(
            f"LOAD_TOKEN: a web interface without a token of at least {MIN_TOKEN} characters is not started"
        )
    app.debug = False
    app.config["MAX_CONTENT_LENGTH"] = app.config["MAX_FORM_MEMORY_SIZE"] = _MAX_BODY
    # First in the list is last in turn: after Locust's own, which lets every page of the web ask.
    app.after_request_funcs.setdefault(None, []).insert(0, _without_cors)
    app.before_request(lambda: _unauthorised(token))
    app.before_request(lambda: _start(master))
    app.after_request(lambda response: _started(master, response))
    _add_routes(app, master)


def _without_cors(response: Response) -> Response:
    for name in [name for name, _ in response.headers if name.lower().startswith("access-control-")]:
        del response.headers[name]
    return response


def _unauthorised(token: str) -> Response | None:
    """Return the refusal, or nothing for whoever has the token."""
    if request.path == _OPEN:
        return None
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), token.encode()):
        return None
    refusal = _say(401, "the token of LOAD_TOKEN is missing or wrong: Authorization: Bearer TOKEN")
    refusal.headers["www-authenticate"] = "Bearer"
    return refusal


def _start(master: Master) -> Response | None:
    """Take on the job of a start before Locust sees it; nothing is returned where Locust is to go on."""
    if request.endpoint != "locust.swarm" or request.method != "POST":
        return None
    try:
        job = Job.read(request.form.get("load_job", ""))
        if (run := master.run) is not None and run.job.run == job.run:
            return _say(200, f"the run {job.run} is known already", run=job.run)
        _check_form(request.form)
        master.accept(job, lease=True)
    except Busy as error:
        return _say(409, str(error))
    except JobRefused as error:
        return _say(422, str(error), problem=Problem.REFUSED)
    return None


def _check_form(form: Mapping[str, str]) -> None:
    """Raise :class:`JobRefused` for what would have Locust do something else than the job."""
    try:
        users, rate = int(form.get("user_count", "")), float(form.get("spawn_rate", ""))
    except ValueError:
        raise JobRefused("user_count and spawn_rate have to be numbers") from None
    if not 0 < users <= rate < math.inf:
        raise JobRefused("spawn_rate has to be user_count at least, for all workers begin at once")
    if strange := sorted(form.keys() - {"user_count", "spawn_rate", "load_job"}):
        raise JobRefused(
            f"{', '.join(strange)}: nothing but user_count, spawn_rate and load_job is asked for"
        )


def _started(master: Master, response: Response) -> Response:
    """Let go of a job that Locust has not started after all."""
    if request.endpoint == "locust.swarm" and response.status_code == 200:
        document = response.get_json(silent=True)
        if not (isinstance(document, dict) and document.get("success")):
            master.withdraw()
    return response


def _add_routes(app: Flask, master: Master) -> None:
    @app.get(_OPEN)
    def alive() -> Response:
        return _say(200, "ok")

    @app.get("/load/health")
    def health() -> Response:
        run = master.run
        return jsonify(
            version=importlib.metadata.version("load-generator"),
            locust=locust.__version__,
            workers=master.worker_count,
            ready=master.is_ready,
            state=None if run is None else run.state.value,
            run=None if run is None else run.job.run,
        )

    @app.get("/load/runs/<run>")
    def look(run: str) -> Response:
        snapshot = master.snapshot()
        if snapshot is None or snapshot.run != run:
            return _unknown(run)
        return jsonify(snapshot.write())

    @app.post("/load/runs/<run>/lease")
    def lease(run: str) -> Response:
        if not _is_known(master, run):
            return _unknown(run)
        seconds = _asked().get("seconds")
        if not isinstance(seconds, int | float) or not 0 < seconds <= MAX_LEASE_SECONDS:
            return _say(400, f"seconds: expected a number up to {MAX_LEASE_SECONDS:g}")
        master.renew(seconds)
        return _say(200, f"the lease ends in {seconds:g} s", run=run)

    @app.post("/load/runs/<run>/stop")
    def stop(run: str) -> Response:
        if not _is_known(master, run):
            return _unknown(run)
        master.stop(Problem.STOPPED, str(_asked().get("reason") or "stopped over HTTP")[:500])
        return _say(200, "the run ends", run=run)


def _asked() -> dict[str, Any]:
    document = request.get_json(silent=True)
    return document if isinstance(document, dict) else {}


def _is_known(master: Master, run: str) -> bool:
    return master.run is not None and master.run.job.run == run


def _unknown(run: str) -> Response:
    return _say(404, f"no run {run[:160]} is known here")


def _say(status: int, message: str, **more: str) -> Response:
    response = jsonify(success=status < 400, message=message, **more)
    response.status_code = status
    return response

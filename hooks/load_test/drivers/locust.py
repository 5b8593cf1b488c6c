"""Locust over HTTP, for teams that already run one in the namespace.

What is spoken is Locust's own ``POST /swarm`` and the routes that the generator's locustfile
adds to it (``/load/...``): a run by name, its snapshot, its lease. Locust itself keeps none of these apart,
answers ``POST /swarm`` with success where it has no workers, and still shows the numbers of the run before.

A run is ended through ``/load/runs/RUN/stop``: Locust's own ``/stop`` takes GET up to 2.46 and POST from 2.47
on, and would end whatever runs.

Source: Locust 2.46 and 2.47 as they behave, and ``generator/src/load_generator/web.py``.
"""

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any
from urllib.parse import urlencode

import urllib3
from botocore.httpsession import get_cert_path

from hooks.load_test.decision import Attempt
from hooks.load_test.measurement import MAX_BYTES, Measurement, UnreadableError
from shared.clients import client
from shared.errors import Misconfigured, Transient, shown, translated

URL_VARIABLE, SECRET_VARIABLE = "LOCUST_URL", "LOCUST_TOKEN_SECRET_ARN"

CONNECT_SECONDS, READ_SECONDS = 2.0, 5.0
MAX_TOKEN_CHARACTERS = 4096

# The token goes with every request, so nothing but this very machine is spoken to in the clear.
_MASTER = re.compile(r"(https://[A-Za-z0-9.-]{1,253}|http://127\.0\.0\.1)(:[0-9]{1,5})?(/[A-Za-z0-9._~/-]*)?")


class LocustDriver:
    """A Locust master behind an internal load balancer."""

    def __init__(self, url: str, secret: str, http: urllib3.PoolManager | None = None) -> None:
        self._url = url.rstrip("/")
        self._secret = secret
        self._http = http or urllib3.PoolManager(
            timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS),
            retries=False,
            ca_certs=get_cert_path(True),
        )

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "LocustDriver":
        """Make the driver that the function's environment describes."""
        url, secret = environment.get(URL_VARIABLE, ""), environment.get(SECRET_VARIABLE, "")
        if not _MASTER.fullmatch(url) or not secret:
            raise Misconfigured(
                f"the function's environment variables {URL_VARIABLE} and {SECRET_VARIABLE} must name the "
                "Locust master, by https, and the secret with its token"
            )
        return cls(url, secret)

    def health(self) -> None:
        self._workers()

    def start(self, job: Mapping[str, Any], now: datetime, lease: timedelta) -> None:
        workers = self._workers()
        fields = {
            "user_count": workers,
            "spawn_rate": workers,
            "load_job": json.dumps(job, separators=(",", ":")),
        }
        answer = self._json("POST", "/swarm", form=fields)
        # Always 200; whether it has begun stands inside.
        if answer.get("success") is not True:
            raise Transient(f"Locust does not start: {shown(answer.get('message'))}")
        self.keep(str(job["run"]), now, lease)

    def poll(self, runs: Sequence[str], now: datetime) -> tuple[Attempt, ...]:
        found = []
        for run in runs:
            status, text = self._request("GET", f"/load/runs/{run}")
            if status == 404:
                continue
            try:
                measured = Measurement.read(self._checked(status, text, f"/load/runs/{run}"), run)
            except UnreadableError as error:
                found.append(Attempt(run=run, asked_at=now, unreadable=str(error)))
            else:
                found.append(Attempt(run=run, asked_at=measured.began, measured=measured))
        return tuple(found)

    def keep(self, run: str, now: datetime, lease: timedelta) -> None:
        path = f"/load/runs/{run}/lease"
        status, text = self._request("POST", path, {"seconds": round(lease.total_seconds())})
        if status == 404:
            raise Transient(f"{self._url}{path}: Locust knows the run no more; has its master been replaced?")
        self._checked(status, text, path)

    def stop(self, run: str, reason: str, now: datetime) -> None:
        status, text = self._request("POST", f"/load/runs/{run}/stop", {"reason": reason[:500]})
        if status == 404:
            # Another run's master, or none of ours: what is not there need not be ended.
            return
        self._checked(status, text, f"/load/runs/{run}/stop")

    def _workers(self) -> int:
        """Return how many workers would send; none is nobody to send anything."""
        workers = self._json("GET", "/load/health").get("workers")
        if not isinstance(workers, int) or workers < 1:
            raise Transient("Locust has no workers yet")
        return workers

    def _json(self, method: str, path: str, form: Mapping[str, Any] | None = None) -> dict[str, Any]:
        text = self._checked(*self._request(method, path, form=form), path)
        try:
            found = json.loads(text)
        except (ValueError, RecursionError) as error:
            # A log-in page of Locust's own, say, which is answered with 200.
            raise Misconfigured(f"{self._url}{path} does not answer in JSON: {_shown(text)}") from error
        if not isinstance(found, dict):
            raise Misconfigured(f"{self._url}{path}: expected an object, got {shown(found)}")
        return found

    def _checked(self, status: int, text: bytes, path: str) -> bytes:
        where = f"{self._url}{path}"
        if status in {401, 403}:
            raise Misconfigured(f"{where} does not take the token in {self._secret}: {status}")
        if status in {409, 423, 429} or status >= 500:
            raise Transient(f"{where}: {status} {_shown(text)}")
        if not 200 <= status < 300:
            hint = "; is it a Locust with the load generator's locustfile?" if status == 404 else ""
            raise Misconfigured(f"{where}: {status} {_shown(text)}{hint}")
        return text

    def _request(
        self,
        method: str,
        path: str,
        document: Mapping[str, Any] | None = None,
        *,
        form: Mapping[str, Any] | None = None,
    ) -> tuple[int, bytes]:
        headers = {"Authorization": f"Bearer {self._token}", "Accept": "application/json"}
        body = None
        if document is not None:
            body = json.dumps(document)
            headers["Content-Type"] = "application/json"
        elif form is not None:
            # Locust's own routes read nothing else.
            body = urlencode(form)
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        try:
            # Followed, a redirect would carry the token to wherever it leads.
            answer = self._http.request(
                method,
                f"{self._url}{path}",
                body=body,
                headers=headers,
                redirect=False,
                preload_content=False,
            )
            try:
                # Where debugging is on, a page of errors shows the request and what stands in it.
                return answer.status, answer.read(MAX_BYTES + 1).replace(self._token.encode(), b"***")
            finally:
                answer.close()
        except urllib3.exceptions.HTTPError as error:
            raise Transient(f"{self._url}{path}: {type(error).__name__}") from error

    @cached_property
    def _token(self) -> str:
        with translated("secretsmanager:GetSecretValue", self._secret):
            text = client("secretsmanager").get_secret_value(SecretId=self._secret).get("SecretString", "")
        if text.startswith("{"):
            try:
                text = json.loads(text)["token"]
            except (ValueError, KeyError, RecursionError):
                text = ""
        # What can't stand in a header would be found out by the first request, with its text in the error.
        if not isinstance(text, str) or not re.fullmatch(rf"[\x21-\x7e]{{1,{MAX_TOKEN_CHARACTERS}}}", text):
            raise Misconfigured(f'{self._secret}: expected the token, or {{"token": "..."}}')
        return text


def _shown(text: bytes) -> str:
    return shown(text[:120].decode(errors="replace"))

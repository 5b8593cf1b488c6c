"""Proves, before any load, that the test route leads to green and production's to blue.

A few requests of each arm, one after the other. With a marker the answers have to say so: each arm's always
the same, the one that the hook names where it names one, and green's another than blue's. Without, it is only
seen that somebody answers. Error statuses prove as well as others who answered; judging them is the test's.
"""

import http.client
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from load_generator.job import Job, Request
from load_generator.snapshot import Problem

TRIES = 5
"""Requests of each arm. With production's weights changing one alone proves little."""

# A route that was just made needs some seconds until every proxy knows it.
RETRY_SECONDS = 10.0
_PAUSE_SECONDS = 0.5

_MAX_BODY = 64 * 1024


class Failed(Exception):
    """The run must not begin."""

    def __init__(self, problem: Problem, reason: str) -> None:
        super().__init__(reason)
        self.problem = problem
        self.seen: dict[str, str | None] = {}
        """By arm, what had been proved until then."""


def ask_over_http(job: Job, arm: str, methods: frozenset[str]) -> tuple[int, str | None]:
    """Send one request of an arm, and return the answer's status and marker.

    Raises
    ------
    OSError, http.client.HTTPException
        When there is no answer.
    """
    parts = urlsplit(job.target)
    opened: type[http.client.HTTPConnection] = (
        http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    )
    assert parts.hostname
    kind = _harmless(job, methods)
    connection = opened(parts.hostname, parts.port, timeout=job.timeout_seconds)
    try:
        headers = {"accept": "*/*", "user-agent": "load-generator", "connection": "close"}
        headers |= {**kind.headers, **job.arm(arm).headers}
        connection.request(kind.method, kind.path, headers=headers)
        answer = connection.getresponse()
        answer.read(_MAX_BODY)
        return answer.status, answer.getheader(job.marker) if job.marker else None
    finally:
        connection.close()


def _harmless(job: Job, methods: frozenset[str]) -> Request:
    """Return what is asked for: of the job's own requests one that changes nothing, if there is one."""
    for kind in job.requests:
        if kind.method in {"GET", "HEAD"}:
            return kind
    return Request(method="HEAD" if "HEAD" in methods else "GET")


@dataclass(frozen=True, slots=True)
class Preflight:
    """The proof. Time comes in, for tests without waiting, and so do answers, for rehearsals."""

    job: Job
    methods: frozenset[str]
    """What the operator allows."""
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    ask: Callable[[Job, str, frozenset[str]], tuple[int, str | None]] = ask_over_http
    """Sends one request of the arm that is named."""

    def prove(self) -> dict[str, str | None]:
        """Return what each arm's marker said; raises :class:`Failed`."""
        until = self.clock() + RETRY_SECONDS
        seen: dict[str, str | None] = {}
        # Blue first: where it answers, and green does not, it is not the way that is at fault.
        for arm in sorted(self.job.shares):
            try:
                seen[arm] = self._prove_arm(arm, until)
            except Failed as failed:
                failed.seen = seen
                raise
        if self.job.marker is not None and len(seen) > 1 and seen["green"] == seen["blue"]:
            raise Failed(
                Problem.UNPROVEN,
                f"{self.job.marker} of both arms' answers is {seen['green']!r}: the header of the test route "
                "leads nowhere else, or both name themselves alike. Look at the listener's "
                "or Service Connect's test traffic rule, and at what the service answers with",
            )
        return seen

    def _prove_arm(self, arm: str, until: float) -> str | None:
        wanted = self.job.arm(arm).marker
        header = self.job.marker
        first: str | None = None
        for _ in range(TRIES):
            status, value = self._ask(arm, until)
            if header is None:
                continue
            if value is None:
                raise Failed(
                    Problem.UNPROVEN,
                    f"{arm}'s answers have no {header} header, so nothing says which revision they are "
                    f"from (the status was {status}). Have the service answer with it, or set no marker in "
                    "the hook's settings",
                )
            if wanted is not None and value != wanted:
                raise Failed(
                    Problem.UNPROVEN,
                    f"{header} of {arm}'s answers is {value!r} and should be {wanted!r}: requests for "
                    f"{arm} reach another revision. Look at the test traffic rule and the header it asks for",
                )
            if first is not None and value != first:
                raise Failed(
                    Problem.UNPROVEN,
                    f"{header} of {arm}'s answers is {first!r} and {value!r} by turns: requests for {arm} "
                    "reach more than one revision. Has production traffic been shifted already?",
                )
            first = value
        return first

    def _ask(self, arm: str, until: float) -> tuple[int, str | None]:
        """Return one answer's status and marker; asked again while nobody answers, or only a proxy."""
        while True:
            is_last = self.clock() + _PAUSE_SECONDS >= until
            try:
                status, value = self.ask(self.job, arm, self.methods)
                if is_last or status < 500 or value is not None or self.job.marker is None:
                    return status, value
            except (OSError, http.client.HTTPException) as error:
                if is_last:
                    raise Failed(
                        Problem.UNREACHABLE,
                        f"{arm} does not answer at {self.job.target}: {type(error).__name__} {error}".strip(),
                    ) from error
            self.sleep(_PAUSE_SECONDS)

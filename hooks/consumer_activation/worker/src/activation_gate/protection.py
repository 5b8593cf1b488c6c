"""Task scale-in protection: ECS does not stop a task that says it is at work.

The agent's endpoint in the task needs no credentials of ours; it calls UpdateTaskProtection with the task
role (``ecs:UpdateTaskProtection``), which is throttled per account. So protection is asked for when work
begins, renewed at half its time, and given back once there has been none for a while: not per message.

https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-scale-in-protection-endpoint.html

While a deployment replaces the task's revision, ECS may refuse with ``DEPLOYMENT_BLOCKED``. Work goes on then
without protection: a task that is stopped gets SIGTERM, finishes what it can, and the queue delivers the rest
again.
"""

import http.client
import json
import logging
import math
import os
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any

from activation_gate.clock import monotonic_seconds

AGENT_VARIABLE = "ECS_AGENT_URI"

DEFAULT_EXPIRES_MINUTES = 10
MAX_EXPIRES_MINUTES = 2880

# The agent itself gives up on ECS's API after a few seconds.
AGENT_TIMEOUT_SECONDS = 5
MAX_ANSWER_BYTES = 64 * 1024

ASK_AGAIN_SECONDS = 60
"""After a refusal. A deployment takes minutes, and UpdateTaskProtection is throttled."""

IDLE_SECONDS = 30
"""Protection outlives the last message by this much, so that a trickle of messages does not toggle it."""

logger = logging.getLogger(__name__)


class TaskProtection:
    """Protection of the task this process runs in; without an agent to ask, it does nothing.

    ``keep`` is all there is to call, as often as one likes and from any thread.

    >>> protection = TaskProtection(environment={})
    >>> protection.keep(busy=True)
    >>> protection.held
    False
    """

    def __init__(
        self,
        *,
        expires_minutes: int = DEFAULT_EXPIRES_MINUTES,
        idle_seconds: float = IDLE_SECONDS,
        environment: Mapping[str, str] = os.environ,
        monotonic: Callable[[], float] = monotonic_seconds,
    ) -> None:
        if not 1 <= expires_minutes <= MAX_EXPIRES_MINUTES:
            raise ValueError(
                f"expires_minutes is {expires_minutes}; expected 1 to {MAX_EXPIRES_MINUTES} (48 hours)"
            )
        self._minutes = expires_minutes
        self._idle_seconds = idle_seconds
        self._monotonic = monotonic
        self._expires = -math.inf
        self._ask_at = -math.inf
        self._busy_at = -math.inf
        self._refused: str | None = None
        self._asking = threading.RLock()
        agent = environment.get(AGENT_VARIABLE, "")
        self._endpoint = f"{agent}/task-protection/v1/state" if agent.startswith("http://") else None
        if self._endpoint is None:
            logger.info(f"no task scale-in protection: {AGENT_VARIABLE} is {agent or 'not set'}")

    @property
    def held(self) -> bool:
        """Whether the task is protected now."""
        return self._monotonic() < self._expires

    def keep(self, *, busy: bool) -> None:
        """Ask for, renew or give back protection, as is due. Never raises; a refusal is logged once."""
        if self._endpoint is None:
            return
        with self._asking:
            now = self._monotonic()
            if busy:
                self._busy_at = now
                renew_at = self._expires - self._minutes * 60 / 2
                if now >= max(renew_at, self._ask_at):
                    self._protect(now)
            elif self.held and now >= self._busy_at + self._idle_seconds:
                self.release()

    def release(self) -> None:
        """Give protection back now."""
        with self._asking:
            if self._endpoint is None or not self.held:
                return
            # Asked once: where it fails, protection expires by itself.
            self._expires = -math.inf
            if reason := _refusal(self._put({"ProtectionEnabled": False})):
                logger.warning(f"task scale-in protection could not be given back, and will expire: {reason}")

    def _protect(self, now: float) -> None:
        reason = _refusal(self._put({"ProtectionEnabled": True, "ExpiresInMinutes": self._minutes}))
        if reason is None:
            # From before the request: never later than ECS counts.
            self._expires = now + self._minutes * 60
            if self._refused is not None:
                logger.info("the task is protected from scale-in again")
            self._refused = None
            return
        self._ask_at = now + ASK_AGAIN_SECONDS
        if "TASK_NOT_VALID" in reason:
            logger.warning(f"no task scale-in protection, this is not a task of a service: {reason}")
            self._endpoint = None
        elif reason != self._refused:
            logger.warning(f"working without task scale-in protection for now: {reason}")
        self._refused = reason

    def _put(self, wanted: Mapping[str, Any]) -> Any:
        """Return the agent's answer, or text that says why there is none."""
        request = urllib.request.Request(  # noqa: S310 - __init__ lets only http:// pass
            self._endpoint or "",
            data=json.dumps(wanted).encode(),
            headers={"Content-Type": "application/json"},
            method="PUT",
        )
        # No proxy that the environment names: the agent is on a link-local address.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=AGENT_TIMEOUT_SECONDS) as response:
                return json.loads(response.read(MAX_ANSWER_BYTES))
        except urllib.error.HTTPError as error:
            with error:  # refusals come as 4xx or 5xx, and the reason stands in the body
                try:
                    return json.loads(error.read(MAX_ANSWER_BYTES))
                except (OSError, ValueError, http.client.HTTPException):
                    return f"HTTP status {error.code}"
        except (OSError, ValueError, http.client.HTTPException) as error:
            return repr(error)


def _refusal(answer: Any) -> str | None:
    """Return why *answer* is not a yes, or ``None`` if it is one."""
    if isinstance(answer, str):
        return answer
    if isinstance(answer, dict):
        match answer:
            case {"failure": {"Reason": reason, **details}}:
                return f"{reason} {details.get('Detail') or ''}".strip()
            case {"error": {"Code": code, **details}}:
                return f"{code} {details.get('Message') or ''}".strip()
            case {"protection": dict()}:
                return None
    return f"the agent's answer was not understood: {json.dumps(answer)[:200]}"

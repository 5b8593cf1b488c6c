"""The decorator that every handler wears: it makes a function of one call into a Lambda handler.

::

    ECS event ─▶ parse ─▶ settings under policy ─▶ handler(call) ─▶ Proceed | Wait | Refuse
                                                        │
       reply ◀─ encode ◀─ rollback and observe rules ◀──┘      + log, metrics, decision record

Whatever happens in there, a valid reply leaves within the time budget: ECS takes an exception, a
time-out or a malformed answer for "roll back", without saying why.

>>> @lifecycle_hook("greeting", stages={Stage.POST_SCALE_UP}, settings=Settings, policy=Settings)
... def handler(call):
...     return Proceed("green is up")
"""

import contextlib
import hashlib
import json
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Protocol

from aws_lambda_powertools import Logger
from aws_lambda_powertools.metrics import Metrics, MetricUnit

from shared import clock, cold_start, record
from shared.deployment import Deployment
from shared.errors import HookError, Misconfigured, Transient, shown
from shared.lifecycle import Direction, LifecycleEvent, Stage
from shared.notification import notify
from shared.response import STATE_KEY, Proceed, Refuse, Result, Wait, encode
from shared.settings import Settings, resolve

METRICS_NAMESPACE = "EcsLifecycleHooks"
STATE_VERSION = 1

# Kept back from the function's own time-out for encoding, logging and the way out, and before that for
# record and notification: a bucket that hangs must not cost the answer.
RESERVE_SECONDS = 1.0
EVIDENCE_SECONDS = 4.0

# Python ignores what is raised in a finalizer or a callback of the collector, so one alarm may be lost.
ALARM_AGAIN_SECONDS = 0.25

# Back-off while AWS fails: 10, 20, 40, ... at most every two minutes, so that a deployment that
# waits for AWS adds next to nothing to what AWS has to bear, and is still seen to recover.
FIRST_RETRY_SECONDS = 10.0
MAX_RETRY_SECONDS = 120.0

# ECS ends a stage after 24 hours, on its own terms; a hook in trouble says its verdict before that.
STAGE_PATIENCE = timedelta(hours=23)

# A rollback is not held up for longer than this by a hook that can't restore what it changed.
ROLLBACK_PATIENCE = timedelta(minutes=15)

logger = Logger(service="ecs-lifecycle-hooks", log_uncaught_exceptions=False)
metrics = Metrics(namespace=METRICS_NAMESPACE, service="ecs-lifecycle-hooks")


class LambdaContext(Protocol):
    """What is used of Lambda's context object."""

    def get_remaining_time_in_millis(self) -> int: ...


class _OutOfTime(BaseException):
    """The time budget is used up. Not an ``Exception``, so that no retry loop on the way swallows it."""


class _DirectionUnknown(Transient):
    """A refusal may be one of a rollback, and so is put off as long as a rollback is held up at most."""


@dataclass(slots=True)
class Evidence:
    """What goes into the decision record beside the verdict."""

    inputs: dict[str, Any] = field(default_factory=dict)
    """Everything the pure decision was given; the record can be replayed from it."""
    changes: list[str] = field(default_factory=list)
    """What the hook changed in this invocation; a poll that changed nothing leaves no record."""
    blue: str | None = None
    charts: list[dict[str, Any]] = field(default_factory=list)
    """Pictures of the inputs, in the shape that ``shared.record`` describes."""
    tables: list[dict[str, Any]] = field(default_factory=list)
    """The findings for people to read, in the shape that ``shared.record`` describes."""


@dataclass(slots=True, kw_only=True)
class Call[SettingsT: Settings, PolicyT: Settings]:
    """One invocation, as a handler sees it."""

    event: LifecycleEvent
    settings: SettingsT
    policy: PolicyT
    state: Mapping[str, Any]
    """What the last ``Wait`` of this very deployment, stage and step left; empty when in doubt."""
    earlier: Mapping[str, Any]
    """What the last ``Wait`` of an earlier step of this deployment and stage left, should ECS carry it."""
    now: datetime
    since: datetime
    """When ECS first called for this stage and step, as far as is known."""
    deployment: Deployment
    environment: Mapping[str, str]
    evidence: Evidence = field(default_factory=Evidence)


class Hook[SettingsT: Settings, PolicyT: Settings]:
    """A Lambda handler. Made by :func:`lifecycle_hook`."""

    def __init__(
        self,
        name: str,
        *,
        stages: frozenset[Stage],
        settings: type[SettingsT],
        policy: type[PolicyT],
        decide: Callable[[Call[SettingsT, PolicyT]], Result],
        restore: Callable[[Call[SettingsT, PolicyT]], Result],
        replay: Callable[[Mapping[str, Any]], Result] | None,
    ) -> None:
        self.name = name
        self.stages = stages
        """Where the hook can do its work; elsewhere it refuses, unless the call is a rollback."""
        self.settings = settings
        self.policy = policy
        self._decide = decide
        self._restore = restore
        self._replay = replay

    def __call__(self, event: object, context: LambdaContext) -> dict[str, Any]:
        """Answer ECS. Never raises."""
        try:
            return self._invoke(event, context)
        # The last line of defence, for what happens outside the guarded part: logging itself may fail.
        except (Exception, SystemExit, _OutOfTime):
            with contextlib.suppress(Exception):
                logger.exception("refused: a defect in the hook")
            return encode(Refuse("a defect in the hook"), {}, {})

    def replay(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Compute a record's verdict again from the record alone.

        Raises
        ------
        Misconfigured
            When the record is another hook's, of another schema version, or was decided before the
            hook had gathered any inputs.
        """
        if document.get("schema") != record.SCHEMA_VERSION or document.get("hook") != self.name:
            raise Misconfigured(f"not a {self.name} record of schema {record.SCHEMA_VERSION}")
        if self._replay is None or not document.get("inputs"):
            raise Misconfigured("the verdict was not computed from inputs; its reason says why")
        return record.verdict(self._replay(document["inputs"]))

    def _invoke(self, payload: object, context: LambdaContext) -> dict[str, Any]:
        logger.clear_state()
        logger.append_keys(hook=self.name)
        try:
            event = LifecycleEvent.parse(payload)
        except Misconfigured as error:
            logger.error(f"refused: {error}")
            self._count("Refused", "unreadable event")
            return encode(Refuse(str(error)), {}, {})
        logger.set_correlation_id(str(event.deployment))
        logger.append_keys(stage=event.stage_name, step=event.step, direction=event.direction.value)
        rolling_back = event.direction is Direction.ROLLBACK
        state = _State.read(event, clock.now(), rolling_back=rolling_back)
        call: Call[SettingsT, PolicyT] | None = None
        observing = False
        result: Result
        try:
            with _time_budget(context, EVIDENCE_SECONDS + RESERVE_SECONDS):
                if not rolling_back and self._may_be_rollback(event):
                    rolling_back = True
                    state = _State.read(event, state.now, rolling_back=True)
                call = self._call(event, state, rolling_back=rolling_back)
                observing = call.settings.mode == "observe"
                result = self._judge(call, rolling_back=rolling_back)
                state.troubles = 0
        except (Transient, _OutOfTime) as error:
            result = self._trouble(error, state, call, rolling_back=rolling_back)
        except HookError as error:
            result = Refuse(str(error))
            self._count(
                "Misconfigured" if isinstance(error, Misconfigured) else "Untrusted", event.service.service
            )
        # SystemExit is not a way to answer ECS either.
        except (Exception, SystemExit) as error:
            logger.exception("a defect in the hook")
            result = Refuse(f"a defect in the hook: {type(error).__name__}: {shown(str(error))}")
        if rolling_back and isinstance(result, Refuse):
            result = Proceed(f"a rollback is never refused, although: {result.reason}")
        decided = result
        if observing and isinstance(result, Refuse):
            result = Proceed(f"observe mode: would have refused: {result.reason}")
        self._say(event, decided, result)
        if not isinstance(result, Wait) or (call and call.evidence.changes):
            self._keep(event, call, decided, result, context)
        data = result.state if isinstance(result, Wait) else {}
        return encode(result, event.hook_details, state.write(data))

    def _call(
        self, event: LifecycleEvent, state: "_State", *, rolling_back: bool
    ) -> Call[SettingsT, PolicyT]:
        try:
            resolved = resolve(self.settings, self.policy, event.hook_details, os.environ)
        except Misconfigured as error:
            if not rolling_back:
                raise
            # What was changed must be restored, whatever became of the settings since.
            logger.error(f"rolls back by the defaults: {error}")
            resolved = resolve(self.settings, self.policy, {}, {})
        if resolved.tightened:
            logger.warning(
                f"the organisation's policy overrules hookDetails: {', '.join(resolved.tightened)}"
            )
        return Call(
            event=event,
            settings=resolved.settings,
            policy=resolved.policy,
            state=state.data,
            earlier=state.earlier,
            now=state.now,
            since=state.since,
            deployment=Deployment(event),
            environment=os.environ,
        )

    def _judge(self, call: Call[SettingsT, PolicyT], *, rolling_back: bool) -> Result:
        event = call.event
        if rolling_back:
            return _checked(self._restore(call))
        if event.stage is None:
            raise Misconfigured(
                f"lifecycleStage: {shown(event.stage_name)} is unknown to this version of the hook"
            )
        if event.stage not in self.stages:
            stages = ", ".join(stage for stage in Stage if stage in self.stages)
            raise Misconfigured(f"{self.name} has no use at {event.stage}; attach it at one of: {stages}")
        if event.direction is Direction.UNEXPECTED:
            raise Misconfigured(f"weights of {event.stage} that are no shift: {_readable(event.weights)}")
        return _checked(self._decide(call))

    def _may_be_rollback(self, event: LifecycleEvent) -> bool:
        """Look the direction up where an empty map hides it; the API is asked only then."""
        if event.direction is not Direction.NO_WEIGHTS:
            return False
        try:
            return Deployment(event).is_rolling_back
        except Misconfigured as error:
            raise _DirectionUnknown(f"whether this is a rollback can't be told: {error}") from error

    def _trouble(
        self,
        error: Transient | _OutOfTime,
        state: "_State",
        call: Call[SettingsT, PolicyT] | None,
        *,
        rolling_back: bool,
    ) -> Result:
        reason = str(error) if isinstance(error, Transient) else "out of time in this invocation"
        patience = timedelta(minutes=call.settings.give_up_after_minutes) if call else STAGE_PATIENCE
        if rolling_back or isinstance(error, _DirectionUnknown):
            patience = ROLLBACK_PATIENCE
        troubled = state.now - state.troubled_since
        if troubled >= patience or state.now - state.since >= STAGE_PATIENCE:
            reason = f"gave up after {troubled} of it: {reason}"
            if call and call.settings.on_trouble == "proceed" and not rolling_back:
                logger.warning("fails open, because onTrouble says so")
                return Proceed(f"onTrouble is proceed: {reason}")
            return Refuse(reason)
        self._count("Transient", "")
        if call:
            # It was not computed from them.
            call.evidence.inputs = {}
            call.evidence.charts, call.evidence.tables = [], []
        delay = min(FIRST_RETRY_SECONDS * 2 ** min(state.troubles, 10), MAX_RETRY_SECONDS)
        state.troubles += 1
        return Wait(reason, delay * _spread(str(state.of)), state=state.data)

    def _say(self, event: LifecycleEvent, decided: Result, result: Result) -> None:
        """Log and count the answer."""
        would_refuse = isinstance(decided, Refuse) and not isinstance(result, Refuse)
        match result:
            case Proceed(reason):
                (logger.warning if would_refuse else logger.info)(f"proceeds: {reason}")
                self._count("WouldHaveRefused" if would_refuse else "Proceeded", event.service.service)
            case Wait(reason, after):
                logger.info(f"waits {after:.0f} s: {reason}")
            case Refuse(reason):
                logger.error(f"refused: {reason}")
                self._count("Refused", event.service.service)

    def _keep(
        self,
        event: LifecycleEvent,
        call: Call[SettingsT, PolicyT] | None,
        decided: Result,
        result: Result,
        context: LambdaContext,
    ) -> None:
        """Record and notify. Nothing here may change the answer."""
        try:
            document = self._record(event, call, decided, result)
            logger.info("decision record", extra={record.LOG_KEY: document})
            with _time_budget(context, RESERVE_SECONDS):
                with self._harmless("keeping the decision record"):
                    if bucket := os.environ.get(record.BUCKET_VARIABLE):
                        record.keep(document, bucket)
                if isinstance(result, Refuse):
                    with self._harmless("notifying of the refusal"):
                        self._notify(event, result)
        except (Exception, SystemExit, _OutOfTime):
            logger.exception("the answer stands, but not all evidence of it was kept")

    def _notify(self, event: LifecycleEvent, refusal: Refuse) -> None:
        where = f"{event.service.service} in {event.service.cluster}"
        notify(
            f"Refused: {where} ({self.name})",
            f"{self.name} refused deployment {event.deployment.id} of {where} at {event.stage_name}: "
            f"{refusal.reason}\n\nECS rolls the deployment back.\n",
            os.environ,
        )

    def _record(
        self, event: LifecycleEvent, call: Call[SettingsT, PolicyT] | None, decided: Result, result: Result
    ) -> dict[str, Any]:
        settings = call.settings.model_dump(mode="json", by_alias=True) if call else None
        evidence = call.evidence if call else Evidence()
        return {
            "schema": record.SCHEMA_VERSION,
            "hook": self.name,
            "at": clock.timestamp(call.now if call else clock.now()),
            "deployment": str(event.deployment),
            "service": str(event.service),
            "stage": event.stage_name,
            "step": event.step,
            "direction": event.direction.value,
            "revisions": {"green": str(event.target), "blue": evidence.blue},
            "settings": settings,
            "settingsDigest": record.digest(settings),
            "inputs": evidence.inputs,
            "changes": evidence.changes,
            **({"charts": evidence.charts} if evidence.charts else {}),
            **({"tables": evidence.tables} if evidence.tables else {}),
            "verdict": record.verdict(decided),
            "wouldRefuse": isinstance(decided, Refuse) and not isinstance(result, Refuse),
            "reply": encode(result, {}, {})["hookStatus"],
            "next": _NEXT[type(result)],
        }

    @contextlib.contextmanager
    def _harmless(self, what: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # noqa: BLE001  # a defect in here costs evidence, not the answer
            logger.error(f"{what} failed: {error}")
            self._count("EvidenceLost", what)

    def _count(self, name: str, service: str) -> None:
        metrics.add_dimension("hook", self.name)
        if service:
            metrics.add_metadata("ecsService", service)
        metrics.add_metric(name, MetricUnit.Count, 1)
        metrics.flush_metrics()


def _checked(result: object) -> Result:
    # A forgotten return must not pass for an answer.
    if not isinstance(result, Result):
        raise TypeError(f"expected Proceed, Wait or Refuse, got {shown(result)}")
    return result


_NEXT: Mapping[type, str] = {
    Proceed: "ECS goes on to the next stage",
    Wait: "ECS asks again after the delay",
    Refuse: "ECS rolls the deployment back",
}


def lifecycle_hook[SettingsT: Settings, PolicyT: Settings](
    name: str,
    *,
    stages: set[Stage],
    settings: type[SettingsT],
    policy: type[PolicyT],
    restore: Callable[[Call[SettingsT, PolicyT]], Result] | None = None,
    replay: Callable[[Mapping[str, Any]], Result] | None = None,
) -> Callable[[Callable[[Call[SettingsT, PolicyT]], Result]], Hook[SettingsT, PolicyT]]:
    """Make a Lambda handler of a function from :class:`Call` to result.

    Parameters
    ----------
    name
        The hook's package, in logs, metrics and records.
    stages
        Where it may be attached.
    settings, policy
        The models of ``hookDetails`` and of the organisation's policy.
    restore
        What to do on a rollback call; by default nothing. It may ``Wait``, but is never let refuse.
    replay
        The pure decision, from a record's ``inputs``.
    """

    def decorate(decide: Callable[[Call[SettingsT, PolicyT]], Result]) -> Hook[SettingsT, PolicyT]:
        cold_start.imported()
        return Hook(
            name,
            stages=frozenset(stages),
            settings=settings,
            policy=policy,
            decide=decide,
            restore=restore or (lambda _: Proceed("rollback: this hook has changed nothing")),
            replay=replay,
        )

    return decorate


@dataclass(slots=True)
class _State:
    """What we keep in hookDetails between the polls of one stage and step.

    It can be lost, repeated, or written by whoever updates the service: it may make a hook stricter
    or slower, and must never make it pass. The one exception is what ``onTrouble: proceed`` asks for:
    who lets a hook fail open after a time lets the keeper of that time open it.
    """

    of: str
    now: datetime
    since: datetime
    """When this hook was first called at this stage and step."""
    troubles: int
    """How many calls in a row AWS has failed."""
    troubled_since: datetime
    data: Mapping[str, Any]
    earlier: Mapping[str, Any]
    """``data`` of an earlier step."""

    @classmethod
    def read(cls, event: LifecycleEvent, now: datetime, *, rolling_back: bool) -> "_State":
        # A rollback call may be shown what a forward call of the same stage has left; it isn't its own.
        back = ("rollback",) if rolling_back else ()
        stage = f"{event.deployment.id}/{event.stage_name}"
        of = "/".join((stage, event.step, *back))
        fresh = cls(of, now, now, 0, now, {}, {})
        found = event.hook_details.get(STATE_KEY)
        if not isinstance(found, Mapping) or found.get("version") != STATE_VERSION:
            return fresh
        if found.get("of") != of:
            left, owner = found.get("data"), str(found.get("of")).split("/")
            of_a_step = len(owner) == 3 and "/".join(owner[:2]) == stage and not back
            return replace(fresh, earlier=left) if of_a_step and isinstance(left, Mapping) else fresh
        troubles, data = found.get("troubles"), found.get("data")
        try:
            since = clock.parse_timestamp(str(found.get("since")))
            troubled_since = clock.parse_timestamp(str(found["troubledSince"])) if troubles else now
        except (KeyError, ValueError):
            return fresh
        # ECS may turn integers into floats; a count that is neither is not ours.
        if (
            isinstance(troubles, bool)
            or not isinstance(troubles, int | float)
            or not isinstance(data, Mapping)
        ):
            return fresh
        if not 0 <= troubles < 1_000_000 or since > now or troubled_since > now:
            return fresh
        return cls(of, now, since, int(troubles), troubled_since, data, {})

    def write(self, data: Mapping[str, Any]) -> dict[str, Any]:
        written = {
            "version": STATE_VERSION,
            "of": self.of,
            "since": clock.timestamp(self.since),
            "troubles": self.troubles,
            "data": dict(data),
        }
        return (
            {**written, "troubledSince": clock.timestamp(self.troubled_since)} if self.troubles else written
        )


@contextlib.contextmanager
def _time_budget(context: LambdaContext, reserve_seconds: float) -> Iterator[None]:
    """Interrupt the block *reserve_seconds* before Lambda would end the function, wherever it hangs."""
    seconds = context.get_remaining_time_in_millis() / 1000 - reserve_seconds
    if seconds <= 0:
        raise _OutOfTime
    # Signals reach the main thread only; that is where Lambda runs handlers.
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(*_: object) -> None:
        raise _OutOfTime

    previous = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds, ALARM_AGAIN_SECONDS)
        yield
    finally:
        with contextlib.suppress(_OutOfTime):  # should it ring right here
            signal.setitimer(signal.ITIMER_REAL, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


def _spread(key: str) -> float:
    """Return 0.75 to 1.25, fixed for a key: five hundred deployments that failed at once come back apart."""
    return 0.75 + hashlib.sha256(key.encode()).digest()[0] / 255 / 2


def _readable(weights: Mapping[Any, float]) -> str:
    return json.dumps({str(revision): weight for revision, weight in weights.items()})

"""Scenarios: what is deployed, with which hooks, who acts, and how it has to end.

::

    description: A person rejects, and ECS rolls back.
    service: {name: checkout, cluster: shop, exposure: alb}
    strategy: {type: BLUE_GREEN, bakeTimeInMinutes: 10}
    hooks:
      - hook: manual_approval
        stages: [POST_TEST_TRAFFIC_SHIFT]
        hookDetails: {expiresAfterMinutes: 60}
    actors:
      - approver: {name: alice, answer: REJECTED, after: 10m}
    expect:
      status: ROLLBACK_SUCCESSFUL

or, in place of service, strategy, alarms and hooks, the template that has them::

    template: {file: ../service.yaml, service: checkout}

Every key is checked; one that is unknown is named with its file, line and nearest valid key.
"""

import difflib
import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from rehearsal import functions
from rehearsal.document import Document, DocumentError, Path_
from rehearsal.durations import Duration
from rehearsal.intrinsics import as_text
from rehearsal.machine import Exposure
from rehearsal.model import LifecycleHook, Status
from rehearsal.strategy import Strategy
from rehearsal.switches import Switches
from shared.lifecycle import Stage

BUILT_IN = Path(__file__).parent / "scenarios"

# Unicorn Watch (examples/unicorn_watch): all services, through pass and refusal, as they are best watched.
TOUR = (
    "ui-approved",
    "ui-rejected",
    "ui-unsigned",
    "catalog-canary",
    "catalog-overloaded",
    "catalog-slower",
    "catalog-linear",
    "notifications-handed-over",
    "notifications-poisoned",
    "streaming-admitted",
    "streaming-unsigned",
)

# The others, one hook at a time; any other comes after these.
_OTHERS = (
    "approved",
    "rejected",
    "expired",
    "stale-approval",
    "two-people",
    "alarm-while-waiting",
    "canary",
    "linear",
    "first-deployment",
    "first-deployment-rejected",
    "superseded",
    "throttled",
    "stopped-by-hand",
    "pause-hook",
    "pause-quorum",
    "pause-rejected",
    "approved-in-console",
    "rejected-in-console",
    "extended-then-approved",
    "deployer-excluded",
    "pause-in-console",
    "stopped-in-console",
    "loaded",
    "slow-under-load",
    "failing-under-load",
    "generator-lost",
    "no-generator",
    "blue-suffers",
    "misrouted",
    "handed-over",
    "poisoned",
    "stalled",
    "handed-back",
    "throttled-hand-over",
    "crashed",
    "left-behind",
    "superseded-hand-over",
    "edited-by-hand",
    "split-weights",
    "compared",
    "worse",
    "broken",
    "slower",
    "bad-hour",
    "second-call",
    "service-connect",
    "quiet",
    "no-metrics",
    "signed",
    "unsigned",
    "tag-moved",
    "being-signed",
    "registry-throttled",
    "exemption-ends",
)

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,255}$")]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel)


class TestHeader(_Part):
    """What makes a request test traffic; the case of the name does not count."""

    __test__ = False  # what its name would make of it

    name: str = Field(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,40}$")
    value: str = Field(pattern=r"^[A-Za-z0-9._:/=;, -]{1,128}$")


class Service(_Part):
    """The service that is deployed."""

    name: Name = "checkout"
    cluster: Name = "shop"
    exposure: Exposure = Field("alb", description="how traffic reaches it; headless: not at all")
    first_deployment: bool = Field(False, description="whether nothing ran before")
    leftovers: bool = Field(False, description="whether earlier deployments left a second active revision")
    tasks: int = Field(2, ge=1, le=100, description="how many tasks each revision has")
    architecture: Literal["X86_64", "ARM64"] | None = Field(
        None, description="the runtimePlatform of its task definitions; without it they say nothing"
    )
    scale_up: Duration = Field(60.0, description="until green is healthy")
    clean_up: Duration = Field(60.0, description="until blue is gone")
    scale_up_fails: bool = Field(False, description="whether green never is, and the circuit breaker trips")
    images: dict[str, tuple[str, str]] = Field(
        default={
            "app": ("shop/checkout:41", "shop/checkout:42"),
            "proxy": ("vendor/proxy:1.9", "vendor/proxy:1.9"),
        },
        description="by container: what blue and what green runs",
    )
    test_header: TestHeader | None = Field(
        None, description="by which listener rules and Service Connect know test traffic; x-release: green"
    )
    address: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9._-]{1,127}:[0-9]{1,5}$",
        description="its alias in Service Connect, as HOST:PORT; by default NAME:8080",
    )


class HookEntry(_Part):
    """An entry of the service's ``lifecycleHooks``."""

    hook: str = Field(description="a hook of this project by its package, pause, or scripted")
    name: str | None = Field(
        None, pattern=r"^[A-Za-z0-9_-]{1,64}$", description="scripted: what reports and `expect` call it"
    )
    stages: tuple[Stage, ...] = Field(min_length=1)
    hook_details: dict[str, Any] | str | None = None
    policy: dict[str, Any] = Field(default={}, description="the organisation's policy of the function")
    timeout_in_minutes: int = Field(1440, ge=1, le=20160)
    action: Literal["ROLLBACK", "CONTINUE"] = "ROLLBACK"
    replies: tuple[Any, ...] = Field(
        (),
        description="scripted: what it answers call by call, the last for ever; "
        "{raise: text}, {throttle: text}, {noRole: true}",
    )

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Self:
        if (self.hook == "scripted") != bool(self.replies):
            raise ValueError("replies belong to a scripted hook, which needs at least one")
        if self.name is not None and self.hook != "scripted":
            raise ValueError("a name belongs to a scripted hook; others have their own")
        barred = {Stage.TEST_TRAFFIC_SHIFT, Stage.PRODUCTION_TRAFFIC_SHIFT}
        if self.hook == "pause" and barred & set(self.stages):
            raise ValueError("a PAUSE hook can't be at TEST_TRAFFIC_SHIFT or PRODUCTION_TRAFFIC_SHIFT")
        if self.hook != "pause" and self.timeout_in_minutes > 1440:
            raise ValueError("a Lambda hook's time-out is at most 1440 minutes")
        return self

    @property
    def called(self) -> str:
        """What reports call it, as long as there is one of it."""
        return self.name or self.hook


class Expectation(_Part):
    """How the scenario has to end; what is left out may be anything."""

    status: Status
    reason: str | None = Field(None, description="words that statusReason contains")
    answers: dict[str, str] = Field(default={}, description="by hook: its last answer")
    because: dict[str, str] = Field(
        default={}, description="by hook: words its last verdict's reason contains"
    )
    calls_at_most: dict[str, int] = Field(default={}, description="by hook: how often it may be called")
    calls_at_least: dict[str, int] = Field(default={}, description="by hook: how often it must be called")
    lasts_at_least: Duration | None = None
    lasts_at_most: Duration | None = None
    consumes: str | None = Field(
        None,
        pattern=r"^(blue|green(-[2-9])?|nobody)$",
        description="which revision takes messages off the queue a minute after the end, or the last repair",
    )
    overlap_at_most: Duration | None = Field(
        None, description="how long two revisions may be at the queue at once"
    )
    gap_at_most: Duration | None = Field(None, description="how long nobody may be at the queue")
    lost: int | None = Field(None, ge=0, description="messages that nobody handled and no queue has")
    handled_twice: int | None = Field(None, ge=0, description="messages that were handled more than once")
    dead_letters: int | None = Field(None, ge=0, description="messages in the dead-letter queue then")
    later: dict[Annotated[str, Field(pattern=r"^[2-9]$")], Status] = Field(
        default={}, description='by number ("2", "3", ...): how later deployments end'
    )


class TemplateSource(_Part):
    """The CloudFormation template that a scenario's service is read from."""

    file: str = Field(min_length=1, description="relative to the scenario file")
    service: str | None = Field(
        None, description="by its name, logical id or nested stack; not needed where there is one"
    )
    parameters: dict[str, str | int | float | bool] = Field(
        default={}, description="go before the template's defaults"
    )
    hook_details: dict[str, dict[str, Any]] = Field(
        default={}, description="by hook: keys that replace the template's, for shorter times"
    )
    policies: dict[str, dict[str, Any]] = Field(
        default={}, description="by hook: keys of the organisation's policy, before those of a function here"
    )

    def beside(self, scenario_file: str | Path) -> str:
        """Return the path of the template, as short as it can be written from here."""
        path = os.path.normpath(Path(scenario_file).parent / self.file)
        near = os.path.relpath(path)
        return path if near.startswith(os.pardir) else near


# What a scenario says itself or has a template say.
_OF_THE_TEMPLATE = ("service", "strategy", "alarms", "hooks")


class Scenario(_Part):
    """One rehearsal."""

    name: str = ""
    description: str = ""
    template: TemplateSource | None = Field(
        None, description="where service, strategy, alarms and hooks are read from"
    )
    service: Service = Service()
    strategy: Strategy = Strategy()
    alarms: tuple[str, ...] = Field((), description="CloudWatch alarms that roll the deployment back")
    hooks: tuple[HookEntry, ...] = ()
    actors: tuple[dict[str, Any], ...] = Field(
        (), description="each {kind: {...}}; see `rehearse list actors`"
    )
    switches: Switches = Switches()
    expect: Expectation

    @model_validator(mode="after")
    def _can_be_deployed(self) -> Self:
        if self.service.exposure == "headless" and self.strategy.type in {"CANARY", "LINEAR"}:
            raise ValueError(
                f"{self.strategy.type} needs a load balancer or Service Connect; headless has none"
            )
        for kind, entries in (("pause", self._entries(pause=True)), ("Lambda", self._entries(pause=False))):
            if len(entries) > 10:
                raise ValueError(f"{len(entries)} {kind} hooks; ECS allows 10")
        return self

    @property
    def has_aftermath(self) -> bool:
        """Whether someone acts after the deployment has ended."""
        return any("sweeper" in entry for entry in self.actors)

    @property
    def loads(self) -> bool:
        """Whether there is a queue for runs of a load test."""
        return any(hook.hook == "load_test" for hook in self.hooks) or any(
            "generator" in entry for entry in self.actors
        )

    @property
    def real_actor(self) -> str | None:
        """The first actor that is a process of its own, and can't be told a virtual time."""
        from rehearsal.actors import actor_of  # noqa: PLC0415  # actors know scenarios' durations

        return next((kind for entry in self.actors for kind in entry if actor_of(entry).is_real), None)

    def _entries(self, *, pause: bool) -> list[HookEntry]:
        return [entry for entry in self.hooks if (entry.hook == "pause") == pause]

    @classmethod
    def read(cls, file: str | Path) -> Self:
        """Read a scenario file; raises :class:`DocumentError` with file, line and key."""
        document = Document.read(file)
        if not isinstance(document.data, dict):
            raise document.error((), "expected a scenario: an object with at least 'expect'")
        try:
            scenario = cls.model_validate({"name": Path(file).stem, **document.data})
        except ValidationError as error:
            raise _pointed(document, cls, error) from error
        if scenario.template is not None:
            scenario = _with_template(scenario, scenario.template, document)
        _check_hooks(scenario, document)
        _check_actors(scenario, document)
        return scenario

    def lifecycle_hooks(self, account: str, region: str) -> tuple[LifecycleHook, ...]:
        """Return the hooks as ECS has them; the second of the same name is ``name-2``."""
        seen: Counter[str] = Counter()
        hooks = []
        for entry in self.hooks:
            seen[entry.called] += 1
            name = entry.called if seen[entry.called] == 1 else f"{entry.called}-{seen[entry.called]}"
            pause = entry.hook == "pause"
            hooks.append(
                LifecycleHook(
                    name=name,
                    stages=entry.stages,
                    target_type="PAUSE" if pause else "AWS_LAMBDA",
                    target_arn=None if pause else f"arn:aws:lambda:{region}:{account}:function:{name}",
                    role_arn=None if pause else f"arn:aws:iam::{account}:role/hook-invocation",
                    details=entry.hook_details,
                    timeout_minutes=entry.timeout_in_minutes,
                    timeout_action=entry.action,
                )
            )
        return tuple(hooks)


def _with_template[ScenarioT: Scenario](
    scenario: ScenarioT, source: TemplateSource, document: Document
) -> ScenarioT:
    """Return a scenario with all that its template says."""
    # What a template is read with imports much, and knows what a scenario consists of.
    from rehearsal.from_template import read  # noqa: PLC0415
    from rehearsal.template_services import NotInTemplateError  # noqa: PLC0415  # as above

    for key in _OF_THE_TEMPLATE:
        if key in document.data:
            raise document.error((key,), f"the template says what {key} is; leave this or template out")
    file = source.beside(document.file)
    try:
        reading = read(
            file,
            source.service,
            parameters={name: as_text(value) or "" for name, value in source.parameters.items()},
            hook_details=source.hook_details,
            policies=source.policies,
        )
    except NotInTemplateError as error:
        raise document.error(("template", error.key), str(error)) from error
    parts = {name: getattr(reading, name) for name in _OF_THE_TEMPLATE}
    found = source.model_copy(update={"file": file, "service": reading.name})
    return scenario.model_copy(update={**parts, "template": found})


def built_in() -> dict[str, Path]:
    """Return all scenarios that come along, by name, those of the tour first."""
    files = {file.stem: file for file in sorted(BUILT_IN.glob("*.yaml"))}
    return {name: files[name] for name in sorted(files, key=lambda name: (*TOUR, *_OTHERS, name).index(name))}


def tour() -> dict[str, Path]:
    """Return the scenarios of the tour by name."""
    files = built_in()
    return {name: files[name] for name in TOUR}


def find(name: str) -> Path:
    """Return the file of a built-in scenario or the path as given; raises :class:`DocumentError`."""
    if Path(name).suffix in {".yaml", ".yml", ".json", ".template"} or "/" in name:
        return Path(name)
    known = built_in()
    if name not in known:
        raise DocumentError(f"{name}: no such scenario{nearest(name, known)}")
    return known[name]


def _check_hooks(scenario: Scenario, document: Document) -> None:
    known = ("pause", "scripted", *functions.hooks(functions.deployed()))
    for index, entry in enumerate(scenario.hooks):
        if entry.hook not in known:
            message = f"unknown hook {entry.hook!r}{nearest(entry.hook, known)}"
            raise document.error(("hooks", index, "hook"), message)
    attached = [hook.name for hook in scenario.lifecycle_hooks("", "")]
    for key in ("answers", "because", "calls_at_most", "calls_at_least"):
        for name in getattr(scenario.expect, key):
            if name not in attached:
                where = ("expect", to_camel(key), name)
                raise document.error(where, f"no such hook here{nearest(name, attached)}")


def _check_actors(scenario: Scenario, document: Document) -> None:
    from rehearsal.actors import actor_of, kinds  # noqa: PLC0415  # actors know scenarios' durations

    for index, entry in enumerate(scenario.actors):
        try:
            actor_of(entry)
        except ValidationError as error:
            kind = next(iter(entry))
            raise _pointed(document, kinds()[kind], error, ("actors", index, kind)) from error
        except ValueError as error:
            raise document.error(("actors", index), str(error)) from error
    _check_registry(scenario, document)
    _check_queues(scenario, document)
    _check_traffic(scenario, document)


def _check_registry(scenario: Scenario, document: Document) -> None:
    """Refuse a second registry: images are looked up in one."""
    registries = [index for index, entry in enumerate(scenario.actors) if "registry" in entry]
    if len(registries) > 1:
        raise document.error(("actors", registries[1]), "one registry actor is enough for all images")


def _check_traffic(scenario: Scenario, document: Document) -> None:
    """Refuse traffic to a service that has none to share."""
    from rehearsal.actors import actor_of  # noqa: PLC0415  # as above
    from rehearsal.actors.traffic import Traffic  # noqa: PLC0415

    for index, entry in enumerate(scenario.actors):
        found = actor_of(entry)
        if isinstance(found, Traffic) and (problem := found.problem(scenario)):
            raise document.error(("actors", index, "traffic"), problem)


def _check_queues(scenario: Scenario, document: Document) -> None:
    """Refuse workers at a queue that nobody makes, and words about workers where there are none."""
    from rehearsal.actors import actor_of  # noqa: PLC0415  # as above
    from rehearsal.actors.queue import Queue  # noqa: PLC0415
    from rehearsal.actors.workers import Workers  # noqa: PLC0415

    actors = [actor_of(entry) for entry in scenario.actors]
    queues = [actor.name for actor in actors if isinstance(actor, Queue)]
    workers = [(index, actor.queue) for index, actor in enumerate(actors) if isinstance(actor, Workers)]
    for index, queue in workers:
        if queue not in queues:
            raise document.error(
                ("actors", index, "workers"), f"no queue actor is called {queue!r}{nearest(queue, queues)}"
            )
    if len(workers) > 1:
        raise document.error(("actors", workers[1][0]), "one workers actor is enough for all tasks")
    for key in ("consumes", "overlap_at_most", "gap_at_most", "lost", "handled_twice", "dead_letters"):
        if getattr(scenario.expect, key) is not None and not workers:
            raise document.error(("expect", to_camel(key)), "there is no workers actor here")


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the end of a sentence that names what was meant; nothing where nothing is near."""
    near = difflib.get_close_matches(name, sorted(known), n=1)
    return f", did you mean {near[0]!r}?" if near else ""


def _pointed(
    document: Document, model: type[BaseModel], error: ValidationError, above: Path_ = ()
) -> DocumentError:
    """Say in one line what is wrong in *document*; *model* is of what stands at *above*."""
    errors = error.errors(include_url=False, include_context=False)
    # A key that is missing may be the one that is misspelt.
    found = next((one for one in errors if one["type"] == "extra_forbidden"), errors[0])
    inner: Path_ = tuple(part for part in found["loc"] if isinstance(part, str | int))
    path: Path_ = (*above, *inner)
    # Our own errors begin as they should; pydantic's are sentences.
    message = found["msg"].removeprefix("Value error, ")
    if message == found["msg"]:
        message = message[:1].lower() + message[1:]
    if found["type"] == "extra_forbidden":
        message = "unknown key" + nearest(str(path[-1]), _keys(model, inner[:-1]))
    elif "input" in found and not isinstance(found["input"], dict | list):
        message += f", got {found['input']!r}"
    if found["type"] != "missing":
        # pydantic also names the branch of a union it was on, which the file knows nothing of.
        while path not in document.lines:
            path = path[:-1]
    return document.error(path, message)


def _keys(model: type[BaseModel], path: Path_) -> list[str]:
    """Return the valid keys of the object at *path* of a model."""
    for part in path:
        if isinstance(part, int):
            continue
        info = next((info for name, info in model.model_fields.items() if part == (info.alias or name)), None)
        if info is None:
            return []
        candidates = [info.annotation, *getattr(info.annotation, "__args__", ())]
        below = next(
            (one for one in candidates if isinstance(one, type) and issubclass(one, BaseModel)), None
        )
        if below is None:
            return []
        model = below
    return [info.alias or name for name, info in model.model_fields.items()]

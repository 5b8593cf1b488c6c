"""A service of a CloudFormation template as the parts of a scenario: service, strategy, alarms, hooks.

::

    TEMPLATE ─▶ Stack, ServiceView ─▶ Reading ─▶ Scenario
               (rehearsal.check)         └── notes: what was read where, and what was assumed instead of
                                             what can't be told before the stack is deployed

What ECS would reject is an error that names its line. What only the account knows (a parameter without a
value, another stack's export) is assumed, and said. Hooks of this project run as they are; somebody else's
Lambda function is played by one that always succeeds.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from rehearsal import functions
from rehearsal.check.findings import Where
from rehearsal.check.hooks import recognised
from rehearsal.check.view import DEPLOYMENT, HookView, ServiceView, number, where
from rehearsal.document import Document, DocumentError
from rehearsal.intrinsics import Unresolved, as_text
from rehearsal.lambda_functions import as_list, dicts_in
from rehearsal.machine import Exposure
from rehearsal.scenario import HookEntry, Service, TestHeader
from rehearsal.strategy import Strategy
from rehearsal.template import Resource, Template
from rehearsal.template_services import (
    Asked,
    Candidate,
    Note,
    NotInTemplateError,
    chosen,
    hint,
    services_of,
    stack_of,
    unread,
    written,
)
from shared.errors import JsonObject, shown

# What blue and green are called where nothing says so: as their task definitions' revisions.
_BLUE_TAG, _GREEN_TAG = "41", "42"

_NAME = re.compile(r"[A-Za-z0-9_-]{1,255}")
_REPOSITORY = re.compile(r"[a-z0-9]+(?:[._-]+[a-z0-9]+)*(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*")
_PRIVATE_REGISTRY = re.compile(r"\d{12}\.dkr[.-]ecr\.")
_MAX_TASKS = 100

_SUCCEEDS = ({"hookStatus": "SUCCEEDED"},)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a template says of one service."""

    name: str
    """What the service can be asked for by."""
    where: Where
    service: Service
    strategy: Strategy
    alarms: tuple[str, ...]
    hooks: tuple[HookEntry, ...]
    queues: Mapping[str, "QueueSettings"]
    """Of the queues in the template, by name."""
    notes: tuple[Note, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueSettings:
    """What the template says of a queue."""

    visibility_seconds: int = 30
    """https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-sqs-queue.html"""
    dead_letter_after: int | None = None
    """Receives after which a message is a dead letter."""


def read(
    file: str | Path,
    service: str | None,
    *,
    parameters: Mapping[str, str] | None = None,
    hook_details: Mapping[str, Mapping[str, Any]] | None = None,
    policies: Mapping[str, Mapping[str, Any]] | None = None,
) -> Reading:
    """Read a service out of a template, by its name, its logical id, or its nested stack's.

    *hook_details* and *policies* are keys that replace those of the template, by hook.

    Raises
    ------
    NotInTemplateError
        When the template has no such service, or several and *service* is ``None``; or no such parameter
        or hook.
    DocumentError
        When the template can't be read, or says what ECS would reject.

    """
    stack = stack_of(str(file), tuple(sorted((parameters or {}).items())))
    return _Reader(chosen(stack, service), hook_details or {}, policies or {}).reading()


def is_template(file: str | Path) -> bool:
    """Tell whether a file is a template; raises :class:`DocumentError` when it can't be read."""
    data = Document.read(file).data
    return isinstance(data, dict) and "Resources" in data and "expect" not in data


def service_names(file: str | Path, parameters: Mapping[str, str] | None = None) -> list[str]:
    """Return the names of a template's services, those in nested local templates included."""
    stack = stack_of(str(file), tuple(sorted((parameters or {}).items())))
    return sorted(one.name for one in services_of(stack))


# What it says


@dataclass
class _Reader:
    """Reads one service, and takes notes."""

    candidate: Candidate
    hook_details: Mapping[str, Mapping[str, Any]]
    policies: Mapping[str, Mapping[str, Any]]
    notes: list[Note] = field(default_factory=list)

    @property
    def view(self) -> ServiceView:
        return self.candidate.view

    def reading(self) -> Reading:
        strategy = self._strategy()
        service = self._service(strategy)
        alarms, hooks = self._alarms(), self._hooks()
        if service.exposure == "headless" and strategy.type in {"CANARY", "LINEAR"}:
            message = f"{strategy.type} needs a load balancer or Service Connect, and the service has neither"
            raise self._error((DEPLOYMENT, "Strategy"), message)
        self.notes += unread(self.view.stack)
        return Reading(
            name=self.candidate.name,
            where=self.view.at(),
            service=service,
            strategy=strategy,
            alarms=alarms,
            hooks=hooks,
            queues=dict(_queues(self.view.stack.template)),
            notes=tuple(self.notes),
        )

    # ------------------------------------------------------------------ the service

    def _service(self, strategy: Strategy) -> Service:
        exposure = self._exposure(strategy)
        header, address = self._entrance()
        family = self._task_definition()
        name = self._named(self.candidate.own_name, self.candidate.path.replace(".", "-"), ("ServiceName",))
        cluster = self._named(self._cluster(), "default", ("Cluster",))
        made = self._model(
            Service,
            {
                "name": name,
                "cluster": cluster,
                "exposure": exposure,
                "tasks": self._tasks(),
                "architecture": self._architecture(family),
                "images": self._images(family, f"{cluster}/{name}"),
                "testHeader": header,
                "address": address,
            },
            (),
        )
        behind = f", reached at {made.address}" if made.address and "service-connect" in exposure else ""
        test = f", test traffic by {header.name}: {header.value}" if header else ""
        path = ("LoadBalancers",) if self.view.load_balancers else ("ServiceConnectConfiguration",)
        self._read(path, f"{exposure}{behind}{test}")
        return made

    def _named(self, given: str | None, otherwise: str, path: tuple[str, ...]) -> str:
        if given is not None and _NAME.fullmatch(given):
            return given
        fallback = re.sub(r"[^A-Za-z0-9_-]", "-", otherwise)[:255]
        value = self.view.properties.get(path[0])
        if isinstance(value, Unresolved):
            self._assume(path, f"{path[0]} can't be told ({value.reason}); called {fallback} here")
        elif given is not None:
            raise self._error(path, f"{shown(given)} is no name that ECS takes")
        return fallback

    def _cluster(self) -> str | None:
        given = self.view.properties.get("Cluster", "default")
        return given.rpartition("/")[2] if isinstance(given, str) else None

    def _exposure(self, strategy: Strategy) -> Exposure:
        view = self.view
        configured = view.properties.get("LoadBalancers")
        if isinstance(configured, Unresolved):
            self._assume(("LoadBalancers",), f"LoadBalancers can't be told ({configured.reason}); none here")
        kinds = [balancer.kind for balancer in view.load_balancers]
        if view.load_balancers and None in kinds and "network" not in kinds:
            self._assume(
                ("LoadBalancers",),
                "nothing says which load balancer it is; an Application Load Balancer here",
            )
        connect = bool(self._connected())
        given = view.properties.get("ServiceConnectConfiguration")
        if isinstance(given, Unresolved):
            self._assume(("ServiceConnectConfiguration",), f"Service Connect can't be told ({given.reason})")
        if "network" in kinds:
            if connect:
                self._assume(
                    ("ServiceConnectConfiguration",),
                    "nothing is rehearsed of Service Connect beside a Network Load Balancer",
                )
            return "nlb"
        if not kinds and "VpcLatticeConfigurations" in view.properties and strategy.type != "ROLLING":
            self._assume(("VpcLatticeConfigurations",), "VPC Lattice is not rehearsed; headless here")
        if kinds:
            return "alb+service-connect" if connect else "alb"
        return "service-connect" if connect else "headless"

    def _connected(self) -> list[JsonObject]:
        """Return the services that Service Connect offers; a client offers none."""
        if not self.view.service_connect:
            return []
        return dicts_in(self.view.properties["ServiceConnectConfiguration"].get("Services"))

    def _entrance(self) -> tuple[TestHeader | None, str | None]:
        """Return what makes a request test traffic, and where Service Connect's alias is."""
        for offered in self._connected():
            for alias in dicts_in(offered.get("ClientAliases")):
                host = alias.get("DnsName") or offered.get("DiscoveryName") or offered.get("PortName")
                port = as_text(alias.get("Port"))
                address = f"{host}:{port}" if isinstance(host, str) and port else None
                rules = alias.get("TestTrafficRules")
                header = rules.get("Header") if isinstance(rules, dict) else None
                value = header.get("Value") if isinstance(header, dict) else None
                exact = value.get("Exact") if isinstance(value, dict) else None
                return _header(header.get("Name") if isinstance(header, dict) else None, exact), address
        for balancer in self.view.load_balancers:
            arn = (balancer.advanced or {}).get("TestListenerRule")
            rule = self.view.stack.template.find(arn, "AWS::ElasticLoadBalancingV2::ListenerRule")
            for condition in dicts_in(rule.properties.get("Conditions")) if rule else ():
                config = condition.get("HttpHeaderConfig")
                if isinstance(config, dict):
                    values = as_list(config.get("Values"))
                    return _header(config.get("HttpHeaderName"), values[0] if values else None), None
        return None, None

    def _tasks(self) -> int:
        given = self.view.properties.get("DesiredCount")
        count = number(given)
        if isinstance(given, Unresolved):
            self._assume(("DesiredCount",), f"DesiredCount can't be told ({given.reason}); 2 here")
            return 2
        if given is None:
            return 1  # CloudFormation's default, of a service that replaces none
        if count is None or count < 0 or count % 1:
            raise self._error(("DesiredCount",), f"expected a number of tasks, got {shown(given)}")
        if not 1 <= count <= _MAX_TASKS:
            self._assume(("DesiredCount",), f"{count} tasks; {min(max(int(count), 1), _MAX_TASKS)} here")
        return min(max(int(count), 1), _MAX_TASKS)

    # ------------------------------------------------------------------ its task definition

    def _task_definition(self) -> Resource | None:
        given = self.view.properties.get("TaskDefinition")
        found = self.view.stack.template.find(given, "AWS::ECS::TaskDefinition")
        if found is None:
            reason = f" ({given.reason})" if isinstance(given, Unresolved) else ""
            self._assume(("TaskDefinition",), f"its task definition is not here{reason}; one container, app")
        return found

    def _architecture(self, family: Resource | None) -> str | None:
        platform = family.properties.get("RuntimePlatform") if family else None
        given = platform.get("CpuArchitecture") if isinstance(platform, dict) else None
        return given if given in ("X86_64", "ARM64") else None

    def _images(self, family: Resource | None, repository: str) -> dict[str, tuple[str, str]]:
        """Return what blue and green run, by container: repositories and tags of the rehearsal's registry.

        An image of somebody else's registry is the same in both.
        """
        images: dict[str, tuple[str, str]] = {}
        read = []
        for index, container in enumerate(
            dicts_in(family.properties.get("ContainerDefinitions")) if family else ()
        ):
            name = container.get("Name")
            name = name if isinstance(name, str) and name else f"container-{index + 1}"
            given = container.get("Image")
            if isinstance(given, str) and given:
                images[name] = _pair(given)
                read.append(f"{name} {images[name][1]}")
                continue
            own = _repository(repository if not images else f"{repository}-{name}")
            images[name] = (f"{own}:{_BLUE_TAG}", f"{own}:{_GREEN_TAG}")
            reason = given.reason if isinstance(given, Unresolved) else "it is empty"
            if family:
                place = where(family, "ContainerDefinitions", index, "Image")
                text = (
                    f"the image of {name} can't be told ({reason}); {images[name][1]} here, after {_BLUE_TAG}"
                )
                self.notes.append(Note(place, text, "assumed"))
        if read and family:
            self.notes.append(Note(where(family), f"images {', '.join(read)}"))
        if not images:
            own = _repository(repository)
            images["app"] = (f"{own}:{_BLUE_TAG}", f"{own}:{_GREEN_TAG}")
        return images

    # ------------------------------------------------------------------ its deployment

    def _strategy(self) -> Strategy:
        view, deployment = self.view, self.view.deployment
        given = view.properties.get(DEPLOYMENT)
        if isinstance(given, Unresolved):
            raise self._error((DEPLOYMENT,), f"it can't be told how it deploys: {given.reason}")
        if given is None:
            self._assume((), "no DeploymentConfiguration: ECS deploys by ROLLING and calls no hook")
        kind = deployment.get("Strategy", "ROLLING")
        if isinstance(kind, Unresolved):
            raise self._error((DEPLOYMENT, "Strategy"), f"it can't be told how it deploys: {kind.reason}")
        numbers = {"type": kind}
        if kind != "ROLLING":
            numbers |= self._numbers((DEPLOYMENT,), deployment, ("BakeTimeInMinutes",))
        own = {"CANARY": "CanaryConfiguration", "LINEAR": "LinearConfiguration"}.get(str(kind))
        keys = {
            "CanaryConfiguration": ("CanaryPercent", "CanaryBakeTimeInMinutes"),
            "LinearConfiguration": ("StepPercent", "StepBakeTimeInMinutes"),
        }
        if own:
            settings = deployment.get(own)
            if isinstance(settings, Unresolved):
                self._assume(
                    (DEPLOYMENT, own), f"{own} can't be told ({settings.reason}); ECS's defaults here"
                )
            elif isinstance(settings, dict):
                numbers |= self._numbers((DEPLOYMENT, own), settings, keys[own])
        strategy = self._model(Strategy, numbers, (DEPLOYMENT, *([own] if own else [])))
        if given is not None:
            self._read((DEPLOYMENT, "Strategy"), _described(strategy))
        return strategy

    def _numbers(
        self, path: tuple[str, ...], given: Mapping[str, object], keys: Iterable[str]
    ) -> dict[str, object]:
        """Return the numbers by the strategy's own keys; what can't be told is left to ECS's default."""
        found: dict[str, object] = {}
        for key in keys:
            if isinstance(value := given.get(key), Unresolved):
                self._assume((*path, key), f"{key} can't be told ({value.reason}); ECS's default here")
            elif key in given:
                exact = number(value)
                if exact is None:
                    raise self._error((*path, key), f"expected a number, got {shown(value)}")
                found[key[0].lower() + key[1:]] = float(exact) if key.endswith("Percent") else exact
        return found

    def _alarms(self) -> tuple[str, ...]:
        given = self.view.deployment.get("Alarms")
        path = (DEPLOYMENT, "Alarms")
        if isinstance(given, Unresolved):
            self._assume(path, f"Alarms can't be told ({given.reason}); none here")
        if not isinstance(given, dict):
            return ()
        if as_text(given.get("Enable")) == "false" or as_text(given.get("Rollback")) == "false":
            self._assume((*path,), "its alarms are not enabled, or do not roll back; none here")
            return ()
        names: list[str] = []
        for index, name in enumerate(as_list(given.get("AlarmNames"))):
            if isinstance(name, Unresolved):
                names.append(name.name or f"alarm-{index + 1}")
                self._assume(
                    (*path, "AlarmNames"), f"an alarm's name can't be told ({name.reason}); {names[-1]} here"
                )
            elif isinstance(name, str):
                names.append(name)
        if names:
            self._read(path, f"alarms {', '.join(names)}")
        return tuple(names)

    # ------------------------------------------------------------------ its hooks

    def _hooks(self) -> tuple[HookEntry, ...]:
        given = self.view.deployment.get("LifecycleHooks")
        if isinstance(given, Unresolved):
            self._assume(
                (DEPLOYMENT, "LifecycleHooks"), f"LifecycleHooks can't be told ({given.reason}); none here"
            )
        known = {name: name for name in functions.hooks(functions.deployed())}
        entries = [entry for hook in self.view.hooks if (entry := self._hook(hook, known)) is not None]
        if entries and self.view.strategy == "ROLLING":
            self._assume(
                (DEPLOYMENT, "LifecycleHooks"),
                "with ROLLING only PRE_SCALE_UP is known to call hooks, and no more than that is rehearsed",
            )
        attached = [entry.hook for entry in entries]
        replacing: list[tuple[Asked, Mapping[str, object]]] = [
            ("hookDetails", self.hook_details),
            ("policies", self.policies),
        ]
        for key, replaced in replacing:
            for name in replaced:
                if name not in attached:
                    message = f"no such hook here: {name}{hint(name, attached)}"
                    raise NotInTemplateError(key, self.view.at(DEPLOYMENT), message)
        return tuple(entries)

    def _hook(self, hook: HookView, known: Mapping[str, str]) -> HookEntry | None:
        if not (hook.is_lambda or hook.is_pause):
            if isinstance(hook.target_type, Unresolved):
                self._leave_out(hook, "TargetType", hook.target_type.reason)
                return None
            raise self._error(
                (*hook.path, "TargetType"), f"expected AWS_LAMBDA or PAUSE, got {shown(hook.target_type)}"
            )
        stages = hook.entry.get("LifecycleStages")
        if isinstance(stages, Unresolved):
            self._leave_out(hook, "LifecycleStages", stages.reason)
            return None
        valid = dict(hook.stages)
        for index, stage in enumerate(as_list(stages)):
            if isinstance(stage, Unresolved):
                self._leave_out(hook, "LifecycleStages", stage.reason)
                return None
            if index not in valid:
                raise self._error(
                    (*hook.path, "LifecycleStages", index), f"there is no hook stage {shown(stage)}"
                )
        ours = recognised(hook.target, hook.function, known) if hook.is_lambda else None
        name = "pause" if hook.is_pause else ours or "scripted"
        made = self._model(
            HookEntry,
            {
                "hook": name,
                "stages": [stage for _, stage in hook.stages],
                **self._time_limit(hook),
                **({"hookDetails": self._details(hook, name)} if ours else {}),
                **(
                    {"policy": {**self._policy(hook), **self.policies.get(name, {})}}
                    if ours or hook.is_pause
                    else {}
                ),
                **({} if ours or hook.is_pause else {"replies": _SUCCEEDS, "name": _function_name(hook)}),
            },
            hook.path,
        )
        at = ", ".join(made.stages)
        self._read(
            hook.path,
            f"{made.called} at {at}; after {made.timeout_in_minutes} min ECS does {made.action}",
        )
        if made.hook == "scripted":
            self._assume(
                (*hook.path, "HookTargetArn"),
                f"{made.called} is none of this project's hooks; it always answers SUCCEEDED here",
            )
        return made

    def _leave_out(self, hook: HookView, key: str, reason: str) -> None:
        self._assume((*hook.path, key), f"hook {hook.index + 1} is left out: {key} can't be told ({reason})")

    def _time_limit(self, hook: HookView) -> JsonObject:
        found: JsonObject = {}
        path = (*hook.path, "TimeoutConfiguration")
        if isinstance(limits := hook.entry.get("TimeoutConfiguration"), Unresolved):
            self._assume(path, f"TimeoutConfiguration can't be told ({limits.reason}); ECS's defaults here")
        for key, name in (("TimeoutInMinutes", "timeoutInMinutes"), ("Action", "action")):
            value = hook.timeout.get(key)
            if isinstance(value, Unresolved):
                self._assume((*path, key), f"{key} can't be told ({value.reason}); ECS's default here")
            elif value is not None:
                exact = number(value) if key == "TimeoutInMinutes" else None
                found[name] = value if exact is None else exact
        return found

    def _details(self, hook: HookView, name: str) -> JsonObject | str | None:
        """Return ``HookDetails`` as the template has them: an object, or text that holds one."""
        details, path = hook.details, (*hook.path, "HookDetails")
        replaced = self.hook_details.get(name)
        if isinstance(details, dict):
            details = self._told(details, path)
        elif isinstance(details, Unresolved):
            if not replaced:
                self._assume(path, f"HookDetails can't be told ({details.reason}); the hook's defaults here")
            details = None
        elif details is not None and not isinstance(details, str):
            raise self._error(path, f"expected a JSON object, got {shown(details)}")
        if not replaced:
            return details
        if isinstance(details, str):
            try:
                details = json.loads(details) if details.strip() else {}
            except (ValueError, RecursionError) as error:
                raise self._error(path, f"is a text that is not JSON: {shown(details)}") from error
        if not isinstance(details, dict | None):
            raise self._error(path, f"expected a JSON object, got {shown(details)}")
        return {**(details or {}), **replaced}

    def _told(self, details: JsonObject, path: tuple[str | int, ...]) -> JsonObject:
        """Leave out the keys that can't be told."""
        told = {}
        for key, value in details.items():
            if (unresolved := _first_unresolved(value)) is None:
                told[key] = value
            else:
                self._assume((*path, key), f"{key} can't be told ({unresolved.reason}); left out here")
        return told

    def _policy(self, hook: HookView) -> JsonObject:
        """Return the organisation's policy, where the function is in this template and has one."""
        function = hook.function
        text = function.environment.get("HOOK_POLICY") if function else None
        if function is None or not text:
            return {}
        if isinstance(text, Unresolved):
            place = where(function.resource)
            words = (
                f"{function.logical_id}'s HOOK_POLICY can't be told ({text.reason}); the hook's default here"
            )
            self.notes.append(Note(place, words, "assumed"))
            return {}
        try:
            policy = json.loads(text)
        except (ValueError, RecursionError):
            policy = None
        if not isinstance(policy, dict):
            raise DocumentError(
                f"{written(where(function.resource))}: {function.logical_id}: HOOK_POLICY: "
                f"expected a JSON object, got {shown(text)}"
            )
        if policy:
            self.notes.append(Note(where(function.resource), f"policy of {function.logical_id}"))
        return policy

    # ------------------------------------------------------------------ notes and errors

    def _read(self, path: tuple[str | int, ...], text: str) -> None:
        self.notes.append(Note(self.view.at(*path), text))

    def _assume(self, path: tuple[str | int, ...], text: str) -> None:
        self.notes.append(Note(self.view.at(*path), text, "assumed"))

    def _error(self, path: tuple[str | int, ...], message: str) -> DocumentError:
        return DocumentError(f"{written(self.view.at(*path))}: {self.view.called(*path)}: {message}")

    def _model[ModelT: BaseModel](
        self, model: type[ModelT], values: Mapping[str, object], path: tuple[str | int, ...]
    ) -> ModelT:
        try:
            return model.model_validate({key: value for key, value in values.items() if value is not None})
        except ValidationError as error:
            found = error.errors(include_url=False, include_context=False)[0]
            key = str(found["loc"][0]) if found["loc"] else ""
            name = "Strategy" if key == "type" else f"{key[:1].upper()}{key[1:]}"
            places = ((*path, name), (*path, "TimeoutConfiguration", name), path)
            message = found["msg"].removeprefix("Value error, ")
            got = f", got {found['input']}" if not isinstance(found["input"], dict | list) else ""
            place = next(one for one in places if one == path or self._stands(one))
            raise self._error(place, f"{message[:1].lower()}{message[1:]}{got}") from error

    def _stands(self, path: tuple[str | int, ...]) -> bool:
        value: Any = self.view.properties
        for part in path:
            try:
                value = value[part]
            except (KeyError, IndexError, TypeError):
                return False
        return True


def _described(strategy: Strategy) -> str:
    match strategy.type:
        case "CANARY":
            first = f"{strategy.canary_percent:g} % for {strategy.canary_bake_time_in_minutes} min, then all"
        case "LINEAR":
            first = f"{strategy.step_percent:g} % more every {strategy.step_bake_time_in_minutes} min"
        case "ROLLING":
            return "ROLLING"
        case _:
            first = "all at once"
    return f"{strategy.type}: {first}; bakes {strategy.bake_time_in_minutes} min"


def _header(name: object, value: object) -> TestHeader | None:
    if not isinstance(name, str) or not isinstance(value, str):
        return None
    try:
        return TestHeader(name=name, value=value)
    except ValidationError:
        return None  # one that matches several values, or none that a request could have


def _pair(reference: str) -> tuple[str, str]:
    """Return what blue and green run of an image: its repository without a registry, under two tags."""
    name = reference.partition("@")[0]
    first, slash, rest = name.partition("/")
    has_host = bool(slash) and ("." in first or ":" in first or first == "localhost")
    path, _, tag = (rest if has_host else name).partition(":")
    repository = _repository(path)
    if has_host and not _PRIVATE_REGISTRY.match(first):
        kept = tag if re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", tag) else "latest"
        return f"{repository}:{kept}", f"{repository}:{kept}"
    return f"{repository}:{_BLUE_TAG}", f"{repository}:{_GREEN_TAG}"


def _repository(path: str) -> str:
    """Return a name that ECR takes, as near as possible to what is given."""
    lowered = re.sub(r"[^a-z0-9._/-]+", "-", path.lower())[:200]
    parts = [part for part in (one.strip("._-") for one in lowered.split("/")) if part]
    name = "/".join(parts) or "app"
    return name if _REPOSITORY.fullmatch(name) and len(name) > 1 else "app"


def _function_name(hook: HookView) -> str:
    """Return what people call somebody else's function."""
    target = hook.target
    if hook.function is not None:
        name = hook.function.logical_id
    elif isinstance(target, Unresolved):
        name = target.name
    else:
        name = str(target).partition(":function:")[2].partition(":")[0] if isinstance(target, str) else ""
    name = re.sub(r"[^A-Za-z0-9_-]", "-", name)[:64]
    return name or f"hook-{hook.index + 1}"


def _first_unresolved(value: object) -> Unresolved | None:
    if isinstance(value, Unresolved):
        return value
    below = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return next((found for one in below if (found := _first_unresolved(one)) is not None), None)


def _queues(template: Template) -> Iterator[tuple[str, QueueSettings]]:
    for one in template.tree():
        for queue in one.resources("AWS::SQS::Queue"):
            redrive = queue.properties.get("RedrivePolicy")
            receives = number(redrive.get("maxReceiveCount")) if isinstance(redrive, dict) else None
            visibility = number(queue.properties.get("VisibilityTimeout"))
            yield (
                queue.arn.rpartition(":")[2],
                QueueSettings(
                    visibility_seconds=30 if visibility is None else int(visibility),
                    dead_letter_after=None if receives is None else int(receives),
                ),
            )

"""The console and deployments that stand where somebody has to decide, on a clock that moves when told to.

::

    with standstill(waiting("checkout"), waiting("cart", required=2)) as still:
        alice = still.visit("alice")                a browser without script or socket, signed in
        still.send("GET", "/", cookies=...)         any request at all, as API Gateway passes it on
        still.poll("checkout")                      ECS calls the hook
        before = still.state()                      all that a request could have changed

Console and hooks run by their Lambda entry points, in an AWS that holds them to their roles.
"""

import contextlib
import copy
import os
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from unittest import mock
from urllib.parse import urlencode

from moto.ssm.models import ssm_backends

from hooks.manual_approval.console.cookies import Session, csrf_token, session_of
from hooks.manual_approval.console.settings import ConsoleSettings
from rehearsal import functions
from rehearsal.aws.cloud import ACCOUNT
from rehearsal.aws.door import RecordedCall
from rehearsal.console import gateway
from rehearsal.console.browser import Browser, Page
from rehearsal.console.provider import DevelopmentProvider, Identity
from rehearsal.console.site import FUNCTION, ISSUER, URL, ConsoleSite
from rehearsal.console.web import Request, Response
from rehearsal.console.wire import wired
from rehearsal.consumers import quiet_library
from rehearsal.model import HookRun, ServiceDeployment
from rehearsal.runtime import Invocation
from rehearsal.runtime.in_process import cool
from rehearsal.scenario import Scenario
from rehearsal.switches import Switches
from rehearsal.timing import VirtualEnvironment
from rehearsal.world import REGION, Rehearsal, World
from shared import clock
from tests.browser.scenes import ACCESS, PEOPLE

HOST = URL.removeprefix("https://")
FORM = "application/x-www-form-urlencoded"
SESSION = "__Host-approvals"

# Until green runs and takes test traffic: then the hook asks.
ASKED_AFTER_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Sent:
    """A request to the console, what came back, and what AWS was asked for it."""

    response: Response
    calls: Sequence[RecordedCall]
    log: Sequence[str]

    @property
    def status(self) -> int:
        return self.response.status

    @property
    def text(self) -> str:
        return self.response.body.decode()

    @property
    def writes(self) -> set[str]:
        """What it did in AWS beyond reading."""
        reads = ("Get", "List", "Describe", "BatchGet")
        actions = {call.action for call in self.calls}
        return {action for action in actions if not action.partition(":")[2].startswith(reads)}


class Standstill:
    """What tests see and act on."""

    def __init__(self, rehearsal: Rehearsal, env: VirtualEnvironment, site: ConsoleSite) -> None:
        self.rehearsal = rehearsal
        self.env = env
        self.site = site
        self.worlds: dict[str, World] = {}
        """By service."""
        self._events: dict[str, dict[str, Any]] = {}
        self._cookies: dict[str, str] = {}

    def add(self, scenario: Scenario) -> None:
        """Begin the deployment of a service."""
        name = scenario.service.name
        world = World(
            self.rehearsal,
            scenario,
            self.env,
            switches=Switches(),
            rng=random.Random(name),
            saw=lambda _happening: None,
            console=self.site,
        )
        for hook, target in list(world._targets.items()):
            world._targets[hook] = self._noting(name, target)
        self.worlds[name] = world
        world.deploy()
        self._dispatch()

    def _noting(self, service: str, target: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def noted(event: dict[str, Any]) -> Any:
            # The first has none of the state that the hook keeps with ECS, so each look is at everything.
            self._events.setdefault(service, copy.deepcopy(event))
            return target(event)

        return noted

    def _dispatch(self) -> None:
        """Have ECS pass on what it is asked to the world that has the deployment."""
        plane = self.rehearsal.cloud.control_plane

        def on_stop(deployment: ServiceDeployment, stop_type: str) -> None:
            self.worlds[deployment.service.service].stop(deployment, stop_type)

        def on_continue(deployment: ServiceDeployment, run: HookRun, action: str) -> None:
            self.worlds[deployment.service.service].continue_pause(deployment, run, action)

        plane.on_stop, plane.on_continue = on_stop, on_continue

    def pass_time(self, seconds: float) -> None:
        """Let everything happen that is due by then."""
        self.env.run(until=self.env.timeout(seconds))

    def move_clock(self, span: timedelta) -> None:
        """Let time pass without anything happening: ECS is late."""
        assert self.env._traveller is not None
        self.env._traveller.shift(span)

    def put_clock_back(self) -> None:
        """Undo every :meth:`move_clock`."""
        self.env._tell()

    def deployment(self, service: str) -> ServiceDeployment:
        return self.worlds[service].machine.deployment

    def poll(self, service: str) -> Invocation:
        """Call the hook once more; its answer is not told to ECS."""
        world = self.worlds[service]
        hook = world.hooks[0].name
        invocation = world._targets[hook](copy.deepcopy(self._events[service]))
        assert invocation.error is None, invocation.error
        return Invocation(reply=invocation.reply)

    # ------------------------------------------------------------------------------------- addresses

    def path(self, service: str, part: str = "") -> str:
        arn = self.deployment(service).arn
        return f"/requests/{arn.cluster}/{arn.service}/{arn.id}{f'/{part}' if part else ''}"

    def stop_path(self, service: str) -> str:
        arn = self.deployment(service).arn
        return f"/deployments/{arn.cluster}/{arn.service}/{arn.id}/stop"

    def pause(self, service: str) -> str:
        """Return the id of the PAUSE hook that waits."""
        return next(run.hook_id for run in self.deployment(service).hook_runs)

    def parameter(self, service: str, part: str = "") -> str:
        return f"{self._any_world.approval_prefix}{self.path(service, part).removeprefix('/requests')}"

    # --------------------------------------------------------------------------------------- visitors

    def visit(self, subject: str) -> Page:
        """Sign somebody in; return the list, as they see it then."""
        browser = self.site.browser_in(self._any_world, subject)
        page = browser.open(self.site.url).follow("/sign-in")
        return page.submit("/authorize", {}, press=("person", subject))

    def browser(self, subject: str) -> Browser:
        return self.visit(subject)._browser

    def cookie(self, subject: str) -> str:
        """Return the value of somebody's session cookie; they sign in once."""
        if subject not in self._cookies:
            kept = self.browser(subject)._cookies
            self._cookies[subject] = next(cookie.value for cookie in kept.values() if cookie.name == SESSION)
        return self._cookies[subject]

    def session(self, subject: str) -> Session:
        cookie = f"{SESSION}={self.cookie(subject)}"
        with self.as_console():
            session = session_of(self.settings(), [cookie], clock.now())
        assert session is not None
        return session

    def csrf(self, subject: str, path: str) -> str:
        """Return the token of somebody's form, as if the page that has it had been opened."""
        session = self.session(subject)
        with self.as_console():
            return csrf_token(self.settings(), session, path, clock.now())

    def settings(self) -> ConsoleSettings:
        return ConsoleSettings.read(functions.environment(self._any_world._functions[FUNCTION]))

    @contextlib.contextmanager
    def as_console(self) -> Iterator[None]:
        """Read in the block what the console may read: the secret of its cookies is remembered by then."""
        with mock.patch.dict(os.environ, self._any_world._credentials[FUNCTION]):
            yield

    # --------------------------------------------------------------------------------------- requests

    def send(
        self,
        method: str,
        target: str,
        *,
        cookies: str = "",
        headers: Mapping[str, str] | Sequence[tuple[str, str]] = (),
        body: bytes = b"",
    ) -> Sent:
        """Send any request at all."""
        given = tuple(headers.items() if isinstance(headers, Mapping) else headers)
        names = {name.lower() for name, _ in given}
        own = (
            *((("Host", HOST),) if "host" not in names else ()),
            *((("Cookie", cookies),) if cookies else ()),
        )
        log: list[str] = []

        def invoke(event: Mapping[str, Any]) -> Invocation:
            invocation = self._any_world.invoke_console(event)
            log.extend(invocation.log_lines)
            return invocation

        with self.rehearsal.cloud.recording() as calls:
            request = Request(method=method, target=target, headers=(*own, *given), body=body)
            response = gateway.answer(invoke, request)
        return Sent(response, list(calls), log)

    def get(self, subject: str, target: str, *, method: str = "GET") -> Sent:
        """Open a page as somebody who is signed in; empty for nobody."""
        return self.send(method, target, cookies=f"{SESSION}={self.cookie(subject)}" if subject else "")

    def post(
        self,
        subject: str,
        path: str,
        fields: Mapping[str, str] | Sequence[tuple[str, str]],
        **headers: str,
    ) -> Sent:
        """Send a form as somebody's browser would."""
        sent = {
            "Origin": URL,
            "Content-Type": FORM,
            **{name.replace("_", "-"): v for name, v in headers.items()},
        }
        return self.send(
            "POST",
            path,
            cookies=f"{SESSION}={self.cookie(subject)}" if subject else "",
            headers={name: value for name, value in sent.items() if value},
            body=urlencode(fields).encode(),
        )

    def answer(self, subject: str, service: str, what: str, *, part: str = "", **fields: str) -> Sent:
        """Answer a request by the form of its page."""
        path = f"{self.path(service, part)}/answer"
        return self.post(
            subject, path, {"csrf": self.csrf(subject, path), "seen": "1", "answer": what, **fields}
        )

    # ------------------------------------------------------------------------------------------ state

    def state(self) -> Mapping[str, Any]:
        """Return all that a request could have changed: parameters with their versions, deployments, mail."""
        parameters = ssm_backends[ACCOUNT][REGION]._parameters
        return {
            "parameters": {
                name: [(one.version, one.value, one.last_modified_date) for one in parameters[name]]
                for name in list(parameters)
            },
            "deployments": copy.deepcopy(dict(self.rehearsal.cloud.control_plane.deployments)),
        }

    def versions(self, service: str, part: str = "") -> list[str]:
        """Return the texts of a request's parameter."""
        return [one.value for one in ssm_backends[ACCOUNT][REGION]._parameters[self.parameter(service, part)]]

    @property
    def _any_world(self) -> World:
        return next(iter(self.worlds.values()))


@contextlib.contextmanager
def standstill(
    *scenarios: Scenario,
    access: Mapping[str, object] = ACCESS,
    people: Sequence[Identity] = PEOPLE,
    parameters: Mapping[str, str] | None = None,
) -> Iterator[Standstill]:
    """Bring deployments to where they wait for a decision."""
    with Rehearsal() as rehearsal, contextlib.ExitStack() as closing:
        env = VirtualEnvironment()
        with env.travelling(), quiet_library():
            rehearsal.cloud.reset(seed=0, switches=Switches())
            cool()
            provider = DevelopmentProvider(issuer=ISSUER, people=people)
            closing.enter_context(wired({ISSUER: provider.answer}))
            site = ConsoleSite(
                provider=provider,
                access=access,
                # Some tests let hours go by.
                parameters={"ApprovalConsoleSessionMinutes": "720", **(parameters or {})},
            )
            still = Standstill(rehearsal, env, site)
            for scenario in scenarios:
                still.add(scenario)
            still.pass_time(ASKED_AFTER_SECONDS)
            yield still
            assert rehearsal.cloud.defects == []

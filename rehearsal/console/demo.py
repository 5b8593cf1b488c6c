"""`rehearse console`: the approvers' console on this machine, with deployments under way to decide on.

::

    yesterday ──────────── played on the virtual clock ────────────▶ now ── in real time ──▶
      releases that were let through, or not         some wait for a decision; whoever decides in the browser
                                                     moves them, and after a while there are new ones

Each service is a scenario of its own, all in one account and on one clock. The hooks and the console run by
their Lambda entry points, and what the console shows as evidence is what those hooks wrote in these very
deployments.
"""

import contextlib
import dataclasses
import random
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

from rich.console import Console

from rehearsal.console.gateway import Gateway
from rehearsal.console.landing import LandingEnvironment
from rehearsal.console.provider import DevelopmentProvider
from rehearsal.console.site import CLIENT_ID, NOTHING_MORE, ConsoleSite
from rehearsal.console.ticker import Ticker
from rehearsal.consumers import quiet_library
from rehearsal.document import DocumentError
from rehearsal.model import HookRun, JsonObject, RevisionSummary, ServiceDeployment
from rehearsal.outcome import Happening
from rehearsal.runtime import Invocation
from rehearsal.runtime.in_process import cool
from rehearsal.runtimes import BUILD
from rehearsal.scenario import Scenario
from rehearsal.switches import Switches
from rehearsal.timing import Process
from rehearsal.world import Rehearsal, World

SCENARIOS = Path(__file__).parent / "demo"

# As the template schedules it.
SWEEP_SECONDS = 300.0
# Of the past only what somebody can still see matters, and a day of sweeps takes seconds.
PAST_SWEEP_SECONDS = 1800.0

INVOCATION_SECONDS = 60
START_SECONDS = 120
END_SECONDS = 30
_LOOK_SECONDS = 0.05

RuntimeName = Literal["in-process", "rie"]
Saw = Callable[[str, datetime, Happening], None]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A service, and when it is deployed."""

    scenario: Scenario
    began: tuple[timedelta, ...]
    """How long ago each of its deployments began, the earliest first."""
    again_after: timedelta | None = timedelta(minutes=2)
    """From the end of the last one to the next; ``None`` for no other."""

    @property
    def name(self) -> str:
        return f"{self.scenario.service.cluster}/{self.scenario.service.name}"


def scenes(further: int = 0) -> list[Scene]:
    """Return what the demonstration shows.

    Parameters
    ----------
    further
        How many deployments more there are to wait for a decision, each of a service of its own.
    """

    def scene(name: str, *began: timedelta) -> Scene:
        return Scene(scenario=Scenario.read(SCENARIOS / f"{name}.yaml"), began=began)

    one_more = Scenario.read(SCENARIOS / "further.yaml")
    return [
        scene("search", timedelta(hours=27), timedelta(minutes=12)),
        scene("checkout", timedelta(hours=25), timedelta(minutes=21)),
        scene("basket", timedelta(hours=23), timedelta(hours=5), timedelta(minutes=22)),
        scene("catalog", timedelta(minutes=56)),
        scene("streaming", timedelta(minutes=55)),
        scene("notifications", timedelta(minutes=4)),
        *(
            Scene(
                scenario=one_more.model_copy(
                    update={"service": one_more.service.model_copy(update={"name": f"service-{number:03}"})}
                ),
                began=(timedelta(minutes=5 + number / 10),),
            )
            for number in range(1, further + 1)
        ),
    ]


class RunningConsole:
    """A console that is open, and what goes on behind it."""

    def __init__(self, site: ConsoleSite, saw: Saw, told: "Told") -> None:
        self.site = site
        self.worlds: dict[str, World] = {}
        """By cluster and service: ``shop/checkout``."""
        self.rehearsal = Rehearsal(clock="real")
        self._saw = saw
        self._told = told
        self._landed = threading.Event()
        self._defect: BaseException | None = None
        self._thread: threading.Thread | None = None
        self._end: Callable[[], None] = lambda: None
        self._env: LandingEnvironment | None = None

    @property
    def url(self) -> str:
        return self.site.url

    @property
    def issuer(self) -> str:
        return self.site.issuer

    def invoke(self, event: JsonObject) -> Invocation:
        """Call the console, in its turn: one thing happens at a time in a rehearsal."""
        invocation = self._in_turn(lambda: self._any_world.invoke_console(event))
        self._told(invocation)
        return invocation

    def sweep(self) -> None:
        """Call the sweeper, as its schedule does every five minutes."""
        self._in_turn(self._any_world.invoke_sweeper)

    def deployment(self, service: str) -> ServiceDeployment:
        """Return the latest deployment of a service: ``shop/checkout``."""
        return self.worlds[service].machine.deployment

    def wait_for(self, condition: Callable[[], bool], seconds: float = 30) -> None:
        """Wait until a condition holds; raises ``TimeoutError``."""
        ends = time.monotonic() + seconds
        while not condition():
            self.check()
            if time.monotonic() > ends:
                raise TimeoutError(f"not so after {seconds:g} s")
            time.sleep(_LOOK_SECONDS)

    def wait(self) -> None:
        """Wait until it ends, which it does not by itself but for a defect; that is raised."""
        if self._thread is not None:
            self._thread.join()
        self.check()

    def check(self) -> None:
        """Raise what went wrong behind the console, if something did."""
        if self._defect is not None:
            raise self._defect

    def start(self, shown: Sequence[Scene], seed: int, runtime: RuntimeName) -> None:
        """Play the past, and go on from there in a thread of its own."""
        self._thread = threading.Thread(
            target=self._run, args=(shown, seed, runtime), name="rehearsal", daemon=True
        )
        self._thread.start()
        while not self._landed.wait(_LOOK_SECONDS):
            if not self._thread.is_alive():
                break
        self.check()

    def stop(self) -> None:
        """End the rehearsal."""
        self._end()
        if self._thread is not None:
            self._thread.join(END_SECONDS)

    def _run(self, shown: Sequence[Scene], seed: int, runtime: RuntimeName) -> None:
        try:
            with self.rehearsal, contextlib.ExitStack() as closing:
                self._live(shown, seed, runtime, closing)
        except BaseException as error:  # noqa: BLE001  # raised where somebody waits
            self._defect = error

    def _live(
        self, shown: Sequence[Scene], seed: int, runtime: RuntimeName, closing: contextlib.ExitStack
    ) -> None:
        past = max((began for scene in shown for began in scene.began), default=timedelta())
        env = self._env = LandingEnvironment(past + timedelta(minutes=1))
        over = env.event()

        def end() -> None:
            if not over.triggered:
                over.succeed()

        self._end = lambda: env.post(end)
        with env.travelling(), quiet_library():
            self.rehearsal.cloud.reset(seed=seed, switches=Switches())
            cool()
            for scene in shown:
                env.process(self._play(env, scene, seed, closing))
            env.process(self._sweeps(env))
            env.run(until=env.timeout(env.past) | over)
            if runtime == "rie" and not over.triggered:
                self._move_to_artifacts(closing)
            self._landed.set()
            if not over.triggered:
                env.run(until=over)
        if self.rehearsal.cloud.defects:
            raise self.rehearsal.cloud.defects[0]

    def _move_to_artifacts(self, closing: contextlib.ExitStack) -> None:
        """Run functions as built from now on: in Lambda's runtime a day of calls would take minutes."""
        # Only here: a web server and the runtime are more to load than most need.
        from rehearsal.aws.server import Server  # noqa: PLC0415
        from rehearsal.runtime.rie import Rie  # noqa: PLC0415

        self.rehearsal.endpoint_url = closing.enter_context(Server(self.rehearsal.cloud)).url
        self.rehearsal.runtime = Rie(BUILD)

    def _play(
        self, env: LandingEnvironment, scene: Scene, seed: int, closing: contextlib.ExitStack
    ) -> Process:
        yield env.timeout(env.past - scene.began[0].total_seconds())
        world = closing.enter_context(self._world(env, scene, seed))
        self.worlds[scene.name] = world
        self._dispatch()
        for number, began in enumerate(scene.began):
            yield env.timeout(max(env.past - began.total_seconds() - env.now, 0))
            yield from self._release(world)
            if not number:
                for acting in world.actors:
                    env.process(acting.run(world))
        while scene.again_after is not None:
            yield world.machine.ended
            yield env.timeout(scene.again_after.total_seconds())
            yield from self._release(world)

    def _world(self, env: LandingEnvironment, scene: Scene, seed: int) -> World:
        scenario = scene.scenario
        if self.site.provider is None:
            # Nobody here can sign in at somebody else's provider.
            actors = tuple(entry for entry in scenario.actors if "console" not in entry)
            scenario = scenario.model_copy(update={"actors": actors})
        return World(
            self.rehearsal,
            scenario,
            env,
            switches=Switches(),
            rng=random.Random(f"{seed} {scene.name}"),  # noqa: S311  # not for secrets
            saw=lambda happening: self._see(env, scene.name, happening),
            console=self.site,
        )

    def _release(self, world: World) -> Process:
        """Deploy the next release, once the one before is through."""
        if world.machines:
            if world.machine.process.is_alive:
                yield world.machine.ended
            # Which runs on is settled at the same moment.
            yield world.env.timeout(0.001)
            scenario = world.deployed.scenario
            images = {
                name: (blue, green if blue == green else _next(world, green))
                for name, (blue, green) in scenario.service.images.items()
            }
            service = scenario.service.model_copy(update={"images": images})
            world.deployed.scenario = scenario.model_copy(update={"service": service})
        world.deploy()
        dress(world)

    def _sweeps(self, env: LandingEnvironment) -> Process:
        while True:
            yield env.timeout(PAST_SWEEP_SECONDS if env.now < env.past - SWEEP_SECONDS else SWEEP_SECONDS)
            if self.worlds:
                self._any_world.invoke_sweeper()

    def _dispatch(self) -> None:
        """Have ECS pass on what it is asked to whichever world has the deployment."""
        plane = self.rehearsal.cloud.control_plane

        def world_of(deployment: ServiceDeployment) -> World:
            return self.worlds[f"{deployment.service.cluster}/{deployment.service.service}"]

        def on_stop(deployment: ServiceDeployment, stop_type: str) -> None:
            world_of(deployment).stop(deployment, stop_type)

        def on_continue(deployment: ServiceDeployment, run: HookRun, action: str) -> None:
            world_of(deployment).continue_pause(deployment, run, action)

        plane.on_stop, plane.on_continue = on_stop, on_continue

    def _see(self, env: LandingEnvironment, service: str, happening: Happening) -> None:
        if self._landed.is_set():
            self._saw(service, env.epoch + timedelta(seconds=happening.at), happening)

    @property
    def _any_world(self) -> World:
        return next(iter(self.worlds.values()))

    def _in_turn[ResultT](self, work: Callable[[], ResultT]) -> ResultT:
        """Have something done by the thread of the rehearsal."""
        result: Future[ResultT] = Future()

        def do() -> None:
            try:
                result.set_result(work())
            except BaseException as error:  # noqa: BLE001  # raised where it was asked for
                result.set_exception(error)

        self.check()
        assert self._env is not None
        self._env.post(do)
        return result.result(INVOCATION_SECONDS)


Told = Callable[[Invocation], None]
"""Is told what came of each invocation of the console."""


@contextlib.contextmanager
def open_console(
    *,
    port: int = 0,
    provider_port: int = 0,
    issuer: str = "",
    client_id: str = CLIENT_ID,
    parameters: Mapping[str, str] = NOTHING_MORE,
    shown: Sequence[Scene] | None = None,
    seed: int = 0,
    runtime: RuntimeName = "in-process",
    saw: Saw = lambda *_: None,
    told: Told = lambda _: None,
) -> Iterator[RunningConsole]:
    """Open the console, and have deployments under way until the block ends.

    ::

        with open_console() as running:
            open_in_browser(running.url)
            running.wait_for(lambda: running.deployment("shop/checkout").status.ended)

    Parameters
    ----------
    port, provider_port
        0 lets the system choose.
    issuer
        An OpenID provider of one's own, which has to know ``client_id`` and the redirect URI
        ``http://127.0.0.1:PORT/signed-in``; by default a development provider.
    parameters
        Of the stack: ``{"ApprovalConsoleGroupsClaim": "roles"}``.
    shown
        By default :func:`scenes`.

    Raises
    ------
    DocumentError
        When a port is taken, or there are no artifacts for the runtime.
    """
    if runtime == "rie" and not (BUILD / "template.yaml").is_file():
        raise DocumentError("--lambda rie: there are no artifacts yet; make them with `make build`")
    with contextlib.ExitStack() as opened:
        running: RunningConsole | None = None

        def invoke(event: JsonObject) -> Invocation:
            assert running is not None
            return running.invoke(event)

        with _naming("port", port):
            gateway = Gateway(invoke, port=port)
        opened.callback(gateway.close)
        with _naming("provider-port", provider_port):
            provider = None if issuer else opened.enter_context(DevelopmentProvider(port=provider_port))
        site = ConsoleSite(
            url=gateway.url, provider=provider, issuer=issuer, client_id=client_id, parameters=parameters
        )
        running = RunningConsole(site, saw, told)
        opened.callback(running.stop)
        running.start(scenes() if shown is None else shown, seed, runtime)
        with gateway:
            yield running
        running.stop()
        running.check()


@contextlib.contextmanager
def _naming(option: str, port: int) -> Iterator[None]:
    """Say which port can't be had."""
    try:
        yield
    except (OSError, OverflowError) as error:
        raise DocumentError(f"--{option} {port}: {getattr(error, 'strerror', None) or error}") from error


def demonstrate(
    *,
    port: int,
    provider_port: int,
    issuer: str,
    client_id: str,
    groups_claim: str,
    further: int,
    seed: int,
    runtime: RuntimeName,
) -> int:
    """Open the console until it is interrupted, and write what goes on; returns the exit code."""
    # This very file: while a function runs in this process, its log takes the place of standard output.
    ticker = Ticker(Console(file=sys.stdout))
    ticker.say("Yesterday's deployments are played, and those that wait now …")
    with open_console(
        port=port,
        provider_port=provider_port,
        issuer=issuer,
        client_id=client_id,
        parameters={"ApprovalConsoleGroupsClaim": groups_claim},
        shown=scenes(further),
        seed=seed,
        runtime=runtime,
        saw=ticker.saw,
        told=lambda invocation: ticker.logged(invocation.log_lines, invocation.error),
    ) as running:
        ticker.say()
        ticker.say(f"The console: {running.url}/")
        if running.site.provider:
            people = running.site.provider.people.values()
            ticker.say("You can be " + ", ".join(f"{one.name} ({one.about})" for one in people) + ".")
        else:
            ticker.say(f"It signs people in at {running.issuer}")
        ticker.say("Ctrl-C ends it.")
        ticker.say()
        # Ctrl-C is the only way out, and not a failure.
        with contextlib.suppress(KeyboardInterrupt):
            running.wait()
    return 0


_NUMBER = re.compile(r"\d+$")


def _next(world: World, image: str) -> str:
    """Return the release after an image's, as far as its registry has one."""
    number = _NUMBER.search(image)
    later = f"{image[: number.start()]}{int(number[0]) + 1}" if number else image
    # What is in a registry has another name there.
    has_registry, is_there = (world.images.reference(name) != name for name in (image, later))
    return later if is_there or not has_registry else image


def dress(world: World) -> None:
    """Give the task definitions of a deployment what a service has beyond images, and its releases change."""
    plane, deployment = world.cloud.control_plane, world.machine.deployment

    def number(summary: RevisionSummary) -> int:
        return int(plane.revisions[str(summary.arn)].task_definition.rpartition(":")[2])

    for summary in (*deployment.sources, deployment.target):
        definition = plane.task_definitions[plane.revisions[str(summary.arn)].task_definition]
        further = _of_release(world.service.service, number(summary))
        definition |= {"cpu": "512", "memory": "1024", "networkMode": "awsvpc"}
        definition["containerDefinitions"] = [
            container if container["name"] == "proxy" else {**container, **further}
            for container in definition["containerDefinitions"]
        ]


def _of_release(service: str, release: int) -> JsonObject:
    """Return what a release of a service is configured with; every other one asks for more memory."""
    secret = f"arn:aws:secretsmanager:us-east-1:123456789012:secret:{service}-database-a1b2c3"
    return {
        "memory": 768 if release % 2 else 640,
        "portMappings": [{"containerPort": 8080, "protocol": "tcp"}],
        "environment": [
            {"name": "RELEASE", "value": str(release)},
            {"name": "LOG_LEVEL", "value": "info" if release % 2 else "debug"},
            *([{"name": "NEW_PRICES", "value": "on"}] if release % 3 == 0 else []),
        ],
        "secrets": [{"name": "DB_PASSWORD", "valueFrom": secret}],
    }

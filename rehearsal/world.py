"""One run of one scenario: the service, the hooks, the actors and ECS, on one clock.

::

    Rehearsal ── the AWS account and the Lambda runtime, kept over many runs
        └── World ── one scenario: machine, actors, listeners, what happened
"""

import contextlib
import dataclasses
import json
import random
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self
from unittest.mock import patch

from moto.sns.models import sns_backends

from rehearsal import ecs_events, functions, load_channel
from rehearsal.aws.cloud import ACCOUNT, Cloud
from rehearsal.aws.faults import Make
from rehearsal.aws.identities import ALLOW_ALL
from rehearsal.consumers import Ledger, Line, quiet_library
from rehearsal.document import DocumentError
from rehearsal.expectations import check
from rehearsal.images import Images
from rehearsal.lambda_functions import Function
from rehearsal.machine import Plan, StageMachine
from rehearsal.model import HookRun, HookStatus, JsonObject, LifecycleHook, ServiceDeployment
from rehearsal.outcome import ActorSpoke, Consumption, Happening, HookCalled, Outcome, PauseChanged
from rehearsal.polling import Invocation, Target
from rehearsal.runtime import Invocation as Answer
from rehearsal.runtime import Runtime
from rehearsal.runtime.in_process import InProcess, cool
from rehearsal.scenario import HookEntry, Scenario
from rehearsal.service import DeployedService
from rehearsal.switches import Switches
from rehearsal.timing import ClockFile, Environment, Process, RealEnvironment, VirtualEnvironment
from shared import clock
from shared.lifecycle import ServiceRevisionArn

if TYPE_CHECKING:
    from rehearsal.actors import Actor
    from rehearsal.console.site import ConsoleSite

REGION = "us-east-1"
TOPIC = "hook-notifications"

# A rehearsal ends after this much virtual time at the latest. ECS allows a deployment 30 days, without
# saying what happens then; a linear one of 3 % with bakes of 24 hours would take 33.
LONGEST = timedelta(days=60).total_seconds()

# What follows from the end of a deployment at the same moment has happened after this.
SETTLING_SECONDS = 0.001

# Workers go on for so long before it is summed up what they did.
CONSUMERS_SETTLE_SECONDS = 60.0

# A run of a load test that nobody asks about any more ends by its lease, and has not begun after its time.
LOAD_SETTLES_SECONDS = 1800.0

# Actors that outlive the deployment get this much longer to finish what they do.
AFTERMATH = timedelta(days=2).total_seconds()

# Whoever plays along by hand: the role, and the session's name.
PERSON = ("approver", "you")

# Whose calls fail where nobody else is named: the role and session of a function are named after it.
HOOKS = "*Function*"

# What people in a rehearsal may do. Who may approve is the hook's decision, not IAM's alone.
_PERSON = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Action": [
                "ssm:DeleteParameter",
                "ssm:GetParameter",
                "ssm:GetParametersByPath",
                "ssm:PutParameter",
            ],
            "Resource": "*",
        },
        {
            "Effect": "Allow",
            "Action": ["ecs:StopServiceDeployment", "ecs:ContinueServiceDeployment"],
            "Resource": "*",
        },
    ],
}


class Rehearsal:
    """What runs share: one AWS account and one Lambda runtime."""

    def __init__(
        self,
        *,
        runtime: Runtime | None = None,
        clock: Literal["virtual", "real"] = "virtual",
        enforce_iam: bool = True,
    ) -> None:
        self.cloud = Cloud(region=REGION)
        self.runtime = runtime or InProcess()
        self.clock = clock
        self._enforce_iam = enforce_iam
        self.endpoint_url = ""
        """Set where functions run in processes of their own and reach AWS over HTTP."""
        self.clock_file: ClockFile | None = None
        self._open = contextlib.ExitStack()

    def __enter__(self) -> Self:
        self._open.enter_context(self.cloud)
        if self._enforce_iam:
            self._open.enter_context(self.cloud.enforcing_iam())
        self._open.callback(lambda: self.runtime.close())  # noqa: PLW0108  # the one it has then
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def share_clock(self) -> ClockFile:
        """Make the file through which functions in other processes see virtual time."""
        folder = self._open.enter_context(tempfile.TemporaryDirectory(prefix="rehearsal-"))
        self.clock_file = ClockFile(Path(folder) / "clock")
        self._open.callback(self.clock_file.close)
        return self.clock_file

    def run(
        self,
        scenario: Scenario,
        *,
        seed: int = 0,
        switches: Mapping[str, str] | None = None,
        saw: Callable[[Happening], None] = lambda _: None,
    ) -> Outcome:
        """Run a scenario to its end. Equal arguments give equal outcomes, on the virtual clock."""
        if self.clock == "virtual" and (kind := scenario.real_actor):
            raise DocumentError(
                f"{scenario.name}: the {kind} actor's processes are real, and so must the clock be: "
                "--clock real"
            )
        chosen = Switches.model_validate(
            {**scenario.switches.model_dump(exclude_defaults=True), **(switches or {})}
        )
        env: Environment = VirtualEnvironment() if self.clock == "virtual" else RealEnvironment()
        with (
            env.travelling(self.clock_file),
            quiet_library(),
            _seeded_nonces(seed),
        ):
            self.cloud.reset(seed=seed, switches=chosen)
            cool()
            rng = random.Random(seed)  # noqa: S311  # not for secrets
            world = World(self, scenario, env, switches=chosen, rng=rng, saw=saw)
            with world:
                return world.play(seed)


class World:
    """A scenario being run; what actors see and act on."""

    def __init__(
        self,
        rehearsal: Rehearsal,
        scenario: Scenario,
        env: Environment,
        *,
        switches: Switches,
        rng: random.Random,
        saw: Callable[[Happening], None],
        console: "ConsoleSite | None" = None,
    ) -> None:
        self.env = env
        self.console = console
        """Where approvers decide; an actor that does makes one where there is none."""
        self.cloud = rehearsal.cloud
        self.scenario = scenario
        self.switches = switches
        self.rng = rng
        self.closing = contextlib.ExitStack()
        """What is to be done in any case when the run is over."""
        self.is_over = False
        """Whether the last deployment has ended."""
        self.listeners: list[Callable[[Happening], None]] = []
        self.mail_readers: list[Callable[[str], None]] = []
        """Told each message on the notification topic, as its subscribers are."""
        self._mails_read = 0
        self.happenings: list[Happening] = []
        self._saw = saw
        self._rehearsal = rehearsal
        self.cloud.identity(role=PERSON[0], session=PERSON[1], policies=[_PERSON])
        admin = self.cloud.client("sns", user="admin")
        self.cloud.identity(user="admin", policies=[ALLOW_ALL])
        topic = admin.create_topic(Name=TOPIC)["TopicArn"]
        self._topic = topic
        self.template_parameters: dict[str, str] = {"NotificationTopicArn": topic}
        """What the hooks are deployed with."""
        self.images = Images()
        """Where the service's images are."""
        self.actors = self._actors()
        for acting in self.actors:
            acting.prepare(self)
        if self.console:
            self.template_parameters |= self.console.template_parameters()
        self._functions = functions.deployed(tuple(self.template_parameters.items()))
        if self.console:
            self.console.make_resources(self.cloud, self._functions)
        if scenario.loads:
            load_channel.make(self.cloud)
        self._credentials: dict[str, dict[str, str]] = {}
        self.deployed = DeployedService(
            scenario,
            self.cloud.control_plane,
            account=ACCOUNT,
            region=REGION,
            switches=switches,
            rng=rng,
            clock=self.now,
            images=self.images,
        )
        self.deployed.settle(self.now())
        self.cloud.control_plane.on_stop = self.stop
        self.cloud.control_plane.on_continue = self.continue_pause
        self.hooks = tuple(
            self._attached(hook, entry)
            for hook, entry in zip(scenario.lifecycle_hooks(ACCOUNT, REGION), scenario.hooks, strict=True)
        )
        self._targets: dict[str, Target] = {
            hook.name: self._target(entry)
            for hook, entry in zip(self.hooks, scenario.hooks, strict=True)
            if entry.hook != "pause"
        }
        self._policies = {
            hook.name: _policy(entry) for hook, entry in zip(self.hooks, scenario.hooks, strict=True)
        }
        """By hook name: the organisation's policy, as an environment variable."""
        self.machines: list[StageMachine] = []
        self.lines: dict[str, Line] = {}
        """Queues by name."""
        self.ledger: Ledger | None = None
        """What the service's tasks did at their queue, where it has one."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with _uninterrupted() if isinstance(self.env, RealEnvironment) else contextlib.nullcontext():
            self.closing.close()

    def serve_aws(self) -> str:
        """Return where processes of their own reach this AWS, until the run is over."""
        if self._rehearsal.endpoint_url:
            return self._rehearsal.endpoint_url
        # Only here: few need a web server. Hooks in this process have a shorter way.
        from rehearsal.aws.server import Server  # noqa: PLC0415

        return self.closing.enter_context(Server(self.cloud)).url

    @property
    def is_in_process(self) -> bool:
        """Whether functions run in this very process, and not where they reach AWS over HTTP."""
        return not self._rehearsal.endpoint_url

    @property
    def machine(self) -> StageMachine:
        """The machine of the latest deployment."""
        return self.machines[-1]

    @property
    def service(self) -> Any:
        """The service's ARN."""
        return self.deployed.arn

    @property
    def approval_prefix(self) -> str:
        """The path under which the approval hook writes its requests."""
        return functions.environment(self._functions["ManualApprovalFunction"])["APPROVAL_PARAMETER_PREFIX"]

    def now(self) -> datetime:
        return self.env.epoch + timedelta(seconds=self.env.now)

    @property
    def consumer_parameter(self) -> str:
        """The name of the parameter in which the activation hook says which revision consumes."""
        function = self._functions.get("ConsumerActivationFunction")
        variables = functions.environment(function) if function else {}
        prefix = variables.get("CONSUMER_PARAMETER_PREFIX", "/ecs-consumers")
        return f"{prefix}/{self.service.cluster}/{self.service.service}/consumers"

    def colour(self, revision: ServiceRevisionArn) -> str:
        """Return what people call a revision: blue, green, and green-2 of the second deployment."""
        for number, machine in enumerate(self.machines, start=1):
            if machine.deployment.target.arn == revision:
                return "green" if number == 1 else f"green-{number}"
        return "blue"

    def revision_id(self, colour: str) -> str | None:
        """Return the id of the revision that people call so, ``None`` if there is none."""
        arns = [revision.arn for revision in self.cloud.control_plane.revisions.values()]
        # Of several revisions that earlier deployments left, the one that serves is the latest.
        return next((arn.id for arn in reversed(arns) if self.colour(arn) == colour), None)

    def client(self, service: str, *, role: str, session: str) -> Any:
        """Return a boto3 client with a person's own credentials."""
        self.cloud.identity(role=role, session=session, policies=[_PERSON])
        return self.cloud.client(service, role=role, session=session)

    def client_of(self, service: str, role: str, session: str, statements: Sequence[JsonObject]) -> Any:
        """Return a boto3 client of whoever may do what the statements allow, and nothing else."""
        policy = {"Version": "2012-10-17", "Statement": list(statements)}
        self.cloud.identity(role=role, session=session, policies=[policy])
        return self.cloud.client(service, role=role, session=session)

    def spoke(self, who: str, text: str) -> None:
        """Let an actor say what it did."""
        self._see(ActorSpoke(at=self.env.now, actor=who, text=text))

    def add_fault(
        self, action: str, make: Make, *, identity: str = HOOKS, times: int | None = None, after: bool = False
    ) -> Callable[[], None]:
        """Let calls fail, of the hooks or of others, until the function returned is called."""
        fault = self.cloud.faults.add(action=action, make=make, identity=identity, times=times, after=after)
        return lambda: self.cloud.faults.remove(fault)

    def supersede(self) -> Process:
        """Start a newer deployment of the service, as UpdateService does while one is under way."""
        # Of two that come at once, the later one supersedes the earlier.
        while self.machine.process.is_alive:
            # A hook that fails meanwhile ends it sooner than the stop takes effect.
            yield self.machine.supersede() | self.machine.ended
        self.deploy()

    def stop(self, deployment: ServiceDeployment, stop_type: str) -> None:
        """Do what StopServiceDeployment asks."""
        self.env.post(lambda: self._machine_of(deployment).request_stop(stop_type))

    def continue_pause(self, deployment: ServiceDeployment, run: HookRun, action: str) -> None:
        """Do what ContinueServiceDeployment asks."""
        self.env.post(lambda: self._machine_of(deployment).continue_hook(run, action))

    def invoke_console(self, event: Mapping[str, Any]) -> Answer:
        """Call the approvers' console as API Gateway does."""
        return self._invoke(self._functions["ApprovalConsoleFunction"], event, {})

    def invoke_sweeper(self) -> Any:
        """Call the approval hook's sweeper as its schedule does."""
        function = self._functions["ManualApprovalSweepFunction"]
        reply = self._invoke(function, {"source": "aws.scheduler"}, {}).reply
        self._deliver_mail()
        return reply

    def invoke_repair(self) -> Any:
        """Call the repair of consumer activation as its schedule does."""
        function = self._functions["ConsumerRepairFunction"]
        return self._invoke(function, {"source": "aws.scheduler"}, {}).reply

    def play(self, seed: int) -> Outcome:
        self.deploy()
        duration = 0.0
        actors = [self.env.process(acting.run(self)) for acting in self.actors]
        limit = self.env.timeout(LONGEST)
        # A newer deployment starts at the moment the one it supersedes has ended, and is waited for too.
        while self.machine.process.is_alive and not limit.processed:
            self.env.run(until=self.machine.ended | limit)
            duration = self.env.now
            self.env.run(until=self.env.timeout(SETTLING_SECONDS))
        self.is_over = True
        # What is repaired counts, and so does that no load goes on. Messages come in meanwhile, so that
        # nobody else is waited for.
        for kind, longest in (("repairer", AFTERMATH), ("generator", LOAD_SETTLES_SECONDS)):
            acting = [run for run, entry in zip(actors, self.scenario.actors, strict=True) if kind in entry]
            if acting:
                self.env.run(until=self.env.all_of(acting) | self.env.timeout(longest))
        consumption = None
        if self.ledger:
            # A hook may have handed over with its last answer; workers have to hear of it.
            self.env.run(until=self.env.timeout(CONSUMERS_SETTLE_SECONDS))
            consumption = self.ledger.report(self.env.now)
            self.spoke("workers", consumption.summary)
        # An actor may still wait for something that will never come, so its end is not waited for.
        if any(actor.is_alive for actor in actors) and self.scenario.has_aftermath:
            self.env.run(until=self.env.any_of([self.env.all_of(actors), self.env.timeout(AFTERMATH)]))
        if self.cloud.defects:
            raise self.cloud.defects[0]
        return self._outcome(seed, duration, consumption)

    def _actors(self) -> "list[Actor]":
        from rehearsal.actors import actor_of  # noqa: PLC0415  # actors know the world

        return [actor_of(entry) for entry in self.scenario.actors]

    def _outcome(self, seed: int, duration: float, consumption: Consumption | None) -> Outcome:
        first = self.machines[0].deployment
        chosen = self.switches.model_dump()
        default = Switches().model_dump()
        return Outcome(
            scenario=self.scenario.name,
            description=self.scenario.description,
            seed=seed,
            switches={name: value for name, value in chosen.items() if value != default[name]},
            started_at=self.env.epoch,
            duration_seconds=duration,
            service=f"{self.service.service} in {self.service.cluster}",
            strategy=self.scenario.strategy.type,
            exposure=self.scenario.service.exposure,
            happenings=self.happenings,
            status=first.status,
            status_reason=first.status_reason,
            checks=check(
                self.scenario.expect,
                [machine.deployment for machine in self.machines],
                self.happenings,
                duration,
                consumption,
            ),
            consumption=consumption,
        )

    def deploy(self) -> None:
        """Start a deployment of the service; no other may be under way."""
        plan = self.deployed.deploy(self.now(), self.hooks)
        machine = StageMachine(
            self.env, plan, targets=self._targets, switches=self.switches, rng=self.rng, saw=self._see
        )
        self.machines.append(machine)
        self.env.process(self._note_end(machine, plan))

    def _note_end(self, machine: StageMachine, plan: Plan) -> Process:
        status = yield machine.ended
        self.deployed.ended(plan, status)

    def _see(self, happening: Happening) -> None:
        self.happenings.append(happening)
        self._saw(happening)
        for listener in list(self.listeners):
            listener(happening)
        if isinstance(happening, HookCalled):
            self._deliver_mail()
        if isinstance(happening, PauseChanged) and happening.status == HookStatus.AWAITING_ACTION:
            self.env.process(self._ask_for_pause(happening))

    def _ask_for_pause(self, happening: PauseChanged) -> Process:
        """Let EventBridge tell the function that asks for PAUSE hooks, which it does at least once."""
        deployment = next(
            machine.deployment
            for machine in self.machines
            if machine.deployment.arn.id == happening.deployment
        )
        run = next(run for run in deployment.hook_runs if run.hook_id == happening.hook_id)
        event = ecs_events.hook_state_change(deployment, run, self.now())
        function, policy = self._functions["ApprovalPauseFunction"], self._policies[run.hook.name]
        yield self.env.timeout(ecs_events.DELIVERY_SECONDS)
        for seconds in ecs_events.LAMBDA_ATTEMPTS_AFTER_SECONDS:
            yield self.env.timeout(seconds)
            answer = self._invoke(function, event, policy)
            if self.switches.duplicate_delivery == "on":
                self._invoke(function, event, policy)
            self._deliver_mail()
            if answer.error is None:
                break
            self.spoke("pause function", f"fails: {answer.error}")

    def _deliver_mail(self) -> None:
        sent = sns_backends[ACCOUNT][REGION].topics[self._topic].sent_notifications
        # The topic is the account's, and tells of other worlds' services as well.
        ours = f"{self.service.cluster}/{self.service.service}/"
        for message in (message for _, message, *_ in sent[self._mails_read :] if ours in str(message)):
            for read in list(self.mail_readers):
                read(str(message))
        self._mails_read = len(sent)

    def _machine_of(self, deployment: ServiceDeployment) -> StageMachine:
        return next(machine for machine in self.machines if machine.deployment is deployment)

    def _attached(self, hook: LifecycleHook, entry: HookEntry) -> LifecycleHook:
        """Return an entry of ``lifecycleHooks`` with the name that the function was deployed under."""
        function = functions.hooks(self._functions).get(entry.hook)
        return hook if function is None else dataclasses.replace(hook, target_arn=function.arn)

    def _target(self, entry: HookEntry) -> Target:
        if entry.hook == "scripted":
            return _Scripted(entry.replies)
        function = functions.hooks(self._functions)[entry.hook]
        policy = _policy(entry)
        return lambda event: self._read(self._invoke(function, event, policy))

    def _invoke(self, function: Function, event: Mapping[str, Any], extra: Mapping[str, str]) -> Answer:
        credentials = self._credentials.get(function.logical_id)
        if credentials is None:
            document = {"Version": "2012-10-17", "Statement": list(function.statements)}
            # By the role's own name: some functions believe what others wrote by their roles.
            role = function.resource.properties.get("Role")
            name = role.rpartition("/")[2] if isinstance(role, str) else f"{function.logical_id}Role"
            credentials = self.cloud.credentials(name, function.logical_id, [document])
            self._credentials[function.logical_id] = credentials
        variables = {**functions.environment(function), "AWS_LAMBDA_FUNCTION_NAME": function.name}
        environment = {**variables, **credentials, **extra}
        if self._rehearsal.endpoint_url:
            environment["AWS_ENDPOINT_URL"] = self._rehearsal.endpoint_url
            # Some operations have a host of their own, which is no name before an address: `data-127.0.0.1`.
            environment["AWS_DISABLE_HOST_PREFIX_INJECTION"] = "true"
        return self._rehearsal.runtime.invoke(function, event, environment)

    @staticmethod
    def _read(invocation: Answer) -> Invocation:
        record = None
        for line in invocation.log_lines:
            if '"decision_record"' in line:
                with contextlib.suppress(ValueError):
                    record = json.loads(line).get("decision_record", record)
        return Invocation(reply=invocation.reply, error=invocation.error, record=record)


def _policy(entry: HookEntry) -> dict[str, str]:
    return {"HOOK_POLICY": json.dumps(entry.policy)} if entry.policy else {}


@contextlib.contextmanager
def _seeded_nonces(seed: int) -> Iterator[None]:
    """Let what hooks in this process draw at random be the same in each run, as all else is."""
    rng = random.Random(seed)  # noqa: S311  # not for secrets
    with patch.object(clock, "nonce", lambda: f"{rng.getrandbits(64):016x}"):
        yield


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """Let Ctrl-C wait: pressed twice it would leave processes behind that nobody knows of."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


class _Scripted:
    """A hook that answers what the scenario says, call by call."""

    def __init__(self, replies: tuple[Any, ...]) -> None:
        self._replies: Iterator[Any] = iter(replies)
        self._last: Any = None

    def __call__(self, _event: dict[str, Any], /) -> Invocation:
        self._last = reply = next(self._replies, self._last)
        if isinstance(reply, dict) and "raise" in reply:
            return Invocation(error=str(reply["raise"]))
        if isinstance(reply, dict) and "throttle" in reply:
            return Invocation(refused_by_lambda=str(reply["throttle"]))
        if isinstance(reply, dict) and "noRole" in reply:
            return Invocation(role_not_assumed=True)
        return Invocation(reply=reply)

"""The service under deployment: its revisions, images, target groups and Service Connect, in ECS's shapes."""

import hashlib
import random
import string
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta

from rehearsal.images import Images
from rehearsal.machine import Plan
from rehearsal.model import (
    TEST_HEADER,
    ContainerImage,
    ControlPlane,
    JsonObject,
    LifecycleHook,
    RevisionSummary,
    ServiceDeployment,
    ServiceRevision,
    Status,
    Task,
    service_connect_configuration,
)
from rehearsal.scenario import Scenario
from rehearsal.switches import Switches
from shared.lifecycle import ServiceArn, ServiceDeploymentArn, ServiceRevisionArn

# As a task definition names it, and as images do.
_ARCHITECTURES = {"X86_64": "amd64", "ARM64": "arm64"}

# What ECS's agent calls the image that it brings along; its log on an instance says so.
_SERVICE_CONNECT_AGENT = "ecs-service-connect-agent:interface-v1"


class DeployedService:
    """One service of a scenario, deployed one or more times."""

    def __init__(
        self,
        scenario: Scenario,
        plane: ControlPlane,
        *,
        account: str,
        region: str,
        switches: Switches,
        rng: random.Random,
        clock: Callable[[], datetime],
        images: Images | None = None,
    ) -> None:
        self.scenario = scenario
        self.plane = plane
        self.switches = switches
        self.rng = rng
        self.clock = clock
        self.images = images or Images()
        self.arn = ServiceArn("aws", region, account, scenario.service.cluster, scenario.service.name)
        host, _, port = (scenario.service.address or f"{scenario.service.name}:8080").rpartition(":")
        self.address = (host, int(port))
        """Host and port of its Service Connect alias."""
        told = scenario.service.test_header
        self.test_header = (told.name, told.value) if told else TEST_HEADER
        """What leads test traffic to green: a header's name and value."""
        self._task_definitions = 40
        self.active: list[ServiceRevision] = []
        """Revisions with tasks, the serving one last."""
        self.task_listeners: list[Callable[[Task], None]] = []
        """Told each task that has started to run, and again when its revision is scaled in."""
        self._tasks_made: Counter[str] = Counter()
        self._scaled_in: set[str] = set()
        plane.desired_counts[self.arn] = scenario.service.tasks

    def settle(self, now: datetime) -> None:
        """Put the revisions in place that ran before the scenario begins."""
        service = self.scenario.service
        if service.first_deployment:
            return
        for _ in range(2 if service.leftovers else 1):
            revision = self._revision(0, now - timedelta(days=14))
            self._start(revision)
            self.active.append(revision)
            for _ in range(service.tasks):
                self._task(revision, revision.created_at).started_at = revision.created_at

    def deploy(self, now: datetime, hooks: tuple[LifecycleHook, ...]) -> Plan:
        """Make the next deployment; the machine carries it out."""
        scenario = self.scenario
        green = self._revision(1, now)
        deployment = ServiceDeployment(
            arn=ServiceDeploymentArn(
                self.arn.partition, self.arn.region, self.arn.account, self.arn.cluster, self.arn.service,
                "".join(self.rng.choices(string.ascii_letters + string.digits, k=21)),
            ),
            service=self.arn,
            configuration=self._configuration(hooks),
            sources=[self._summary(one, serving=one is self.active[-1]) for one in self.active],
            target=self._summary(green, serving=False),
            created_at=now,
            alarms={"status": "MONITORING", "alarmNames": list(scenario.alarms), "triggeredAlarmNames": []}
            if scenario.alarms
            else None,
        )  # fmt: skip
        deployment.target.running_task_count = 0
        self.plane.deployments[str(deployment.arn)] = deployment
        return Plan(
            deployment=deployment,
            strategy=scenario.strategy,
            hooks=hooks,
            exposure=scenario.service.exposure,
            scale_up_seconds=scenario.service.scale_up,
            clean_up_seconds=scenario.service.clean_up,
            scale_up_fails=scenario.service.scale_up_fails,
            leftovers=len(self.active) > 1,
            resolve=lambda _: self._start(green),
            scaled=self._scaled,
        )

    def answer_at(self, host: str, port: int) -> None:
        """Have all revisions reached there, through Service Connect."""
        self.address = (host, port)
        for revision in self.plane.revisions.values():
            if revision.arn.belongs_to(self.arn):
                revision.service_connect = self._service_connect()

    def ended(self, plan: Plan, status: Status) -> None:
        """Take note of which revisions run on after a deployment has ended."""
        target = plan.deployment.target
        green = self.plane.revisions[str(target.arn)]
        if status is Status.STOPPED and not target.running_task_count:
            # Superseded before they ran: nobody would ever start or stop these tasks.
            target.requested_task_count = target.pending_task_count = 0
            self._scaled(target)
        if status is Status.SUCCESSFUL:
            self.active = [green]
        elif status is Status.ROLLBACK_FAILED and not self.active:
            pass  # a first deployment that is tried again is a first deployment again
        elif target.running_task_count:
            # Superseded, or not rolled back: its tasks are left to the next deployment's RECONCILE_SERVICE.
            serves = (target.production_weight or 0.0) > 50
            self.active.insert(len(self.active) if serves else 0, green)

    def exited(self, task: Task) -> None:
        """Note that a task has ended by itself."""
        task.exited_at, task.stop_reason = self.clock(), "Essential container in task exited"

    def replace(self, task: Task) -> None:
        """Start another task for one that has ended by itself, unless its revision was scaled in."""
        if str(task.revision) not in self._scaled_in:
            self._run(self._task(self.plane.revisions[str(task.revision)], self.clock()))

    def _scaled(self, summary: RevisionSummary) -> None:
        """Let the tasks of a revision be as many, and as far, as its counts say."""
        wanted = [
            task
            for task in self.plane.tasks_of(summary.arn)
            if task.unwanted_since is None and task.exited_at is None
        ]
        if not summary.requested_task_count:
            self._scaled_in.add(str(summary.arn))
            for task in wanted:
                task.unwanted_since = self.clock()
                task.stop_reason = f"Scaling activity initiated by (deployment {task.started_by})"
                self._tell(task)
            return
        revision = self.plane.revisions[str(summary.arn)]
        missing = summary.requested_task_count - len(wanted)
        wanted += [self._task(revision, self.clock()) for _ in range(missing)]
        for task in wanted[: summary.running_task_count]:
            if task.started_at is None:
                self._run(task)

    def _run(self, task: Task) -> None:
        task.started_at = self.clock()
        self._tell(task)

    def _tell(self, task: Task) -> None:
        for listener in list(self.task_listeners):
            listener(task)

    def _task(self, revision: ServiceRevision, now: datetime) -> Task:
        arn = self.arn
        self._tasks_made[revision.arn.id] += 1
        # Computed and not drawn, so that a run's other ids do not depend on how many tasks there were.
        name = f"{revision.arn.id}/{self._tasks_made[revision.arn.id]}"
        identifier = hashlib.sha256(name.encode()).hexdigest()[:32]
        task = Task(
            arn=f"arn:{arn.partition}:ecs:{arn.region}:{arn.account}:task/{arn.cluster}/{identifier}",
            service=arn,
            revision=revision.arn,
            task_definition=revision.task_definition,
            containers=tuple(container.container_name for container in revision.container_images),
            created_at=now,
        )
        self.plane.tasks[task.arn] = task
        return task

    def _summary(self, revision: ServiceRevision, *, serving: bool) -> RevisionSummary:
        tasks = self.scenario.service.tasks
        if self.scenario.strategy.type == "ROLLING":
            return RevisionSummary(arn=revision.arn, requested_task_count=tasks, running_task_count=tasks)
        weight = 100.0 if serving else 0.0
        return RevisionSummary(
            arn=revision.arn,
            requested_task_count=tasks,
            running_task_count=tasks,
            test_weight=weight,
            production_weight=weight,
        )

    def _revision(self, which: int, now: datetime) -> ServiceRevision:
        service = self.scenario.service
        arn = self.arn
        identifier = str(self.rng.randrange(10**18, 10**19))
        images = {container: self.images.reference(pair[which]) for container, pair in service.images.items()}
        revision = ServiceRevision(
            arn=ServiceRevisionArn(
                arn.partition, arn.region, arn.account, arn.cluster, arn.service, identifier
            ),
            created_at=now,
            task_definition=self._task_definition(images),
            container_images=[
                ContainerImage(
                    container_name=container,
                    image=image,
                    image_digest=self._digest(image)
                    if self.switches.digests_at_pre_scale_up == "present"
                    else None,
                )
                for container, image in images.items()
            ],
            load_balancers=self._load_balancers(),
            service_connect=self._service_connect(),
            test_header=self.test_header,
        )
        self.plane.revisions[str(revision.arn)] = revision
        return revision

    def _task_definition(self, images: dict[str, str]) -> str:
        """Register the next revision of the service's task definition; returns its ARN."""
        self._task_definitions += 1
        family, number = self.arn.service, self._task_definitions
        arn = f"arn:aws:ecs:{self.arn.region}:{self.arn.account}:task-definition/{family}:{number}"
        self.plane.task_definitions[arn] = {
            "taskDefinitionArn": arn,
            "family": family,
            "revision": number,
            "status": "ACTIVE",
            "containerDefinitions": [
                {"name": container, "image": image, "memory": 256, "essential": True}
                for container, image in images.items()
            ],
            **(
                {"runtimePlatform": {"cpuArchitecture": architecture, "operatingSystemFamily": "LINUX"}}
                if (architecture := self.scenario.service.architecture)
                else {}
            ),
        }
        return arn

    def _digest(self, image: str) -> str | None:
        """Return the digest that ECS records of an image, once tasks start from it."""
        if self.switches.recorded_digest == "index":
            return self.images.digest(image)
        architecture = self.scenario.service.architecture or "X86_64"
        return self.images.digest(image, architecture=_ARCHITECTURES[architecture])

    def _inject(self, revision: ServiceRevision) -> None:
        """List the container that Service Connect adds to each task, if ECS does."""
        if revision.service_connect is None or self.switches.injected_containers == "unlisted":
            return
        name = f"ecs-service-connect-{revision.arn.id[:5]}"
        if all(image.container_name != name for image in revision.container_images):
            revision.container_images.append(
                ContainerImage(container_name=name, image=_SERVICE_CONNECT_AGENT)
            )

    def _start(self, revision: ServiceRevision) -> None:
        """Tasks start: tags become digests, and the revision gets the target group that is free."""
        for image in revision.container_images:
            image.image_digest = self._digest(image.image)
        self._inject(revision)
        balancers = revision.load_balancers
        serving = self.active[-1].resolved_load_balancers if self.active else None
        taken = {balancer["targetGroupArn"] for balancer in serving or []}
        revision.resolved_load_balancers = [
            {
                "targetGroupArn": balancer["advancedConfiguration"]["alternateTargetGroupArn"]
                if balancer["targetGroupArn"] in taken
                else balancer["targetGroupArn"],
                "productionListenerRule": balancer["advancedConfiguration"]["productionListenerRule"],
            }
            for balancer in balancers
            if "advancedConfiguration" in balancer
        ]

    def _configuration(self, hooks: tuple[LifecycleHook, ...]) -> JsonObject:
        configuration = self.scenario.strategy.describe()
        if hooks:
            configuration["lifecycleHooks"] = [_described(hook) for hook in hooks]
        if self.scenario.alarms:
            configuration["alarms"] = {
                "alarmNames": list(self.scenario.alarms),
                "enable": True,
                "rollback": True,
            }
        return configuration

    def _load_balancers(self) -> list[JsonObject]:
        exposure, arn = self.scenario.service.exposure, self.arn
        if exposure in {"headless", "service-connect"}:
            return []
        prefix = f"arn:aws:elasticloadbalancing:{arn.region}:{arn.account}"
        kind = "net" if exposure == "nlb" else "app"
        # An application load balancer takes listener rules, a network load balancer listeners.
        target = "listener" if exposure == "nlb" else "listener-rule"
        rule = "" if exposure == "nlb" else "/9683b2d02a6cabee"
        base = f"{prefix}:{target}/{kind}/{arn.cluster}/50dc6c495c0c9188"
        group = f"{prefix}:targetgroup/{arn.service}"
        return [
            {
                "targetGroupArn": f"{group}-a/6d0ecf831eec9f09",
                "containerName": next(iter(self.scenario.service.images)),
                "containerPort": 8080,
                "advancedConfiguration": {
                    "alternateTargetGroupArn": f"{group}-b/73e2d6bc24d8a067",
                    "productionListenerRule": f"{base}/f2f7dc8efc522ab2{rule}",
                    "testListenerRule": f"{base}/0467ef3c8400ae65{rule}",
                    "roleArn": f"arn:aws:iam::{arn.account}:role/ecs-infrastructure",
                },
            }
        ]

    def _service_connect(self) -> JsonObject | None:
        if self.scenario.service.exposure not in {"service-connect", "alb+service-connect"}:
            return None
        return {
            **service_connect_configuration("http", self.arn.cluster, *self.address, header=self.test_header),
            "logConfiguration": {
                "logDriver": "awslogs",
                "options": {
                    "awslogs-group": f"/ecs/{self.arn.cluster}/service-connect",
                    "awslogs-region": self.arn.region,
                    "awslogs-stream-prefix": self.arn.service,
                },
            },
            "accessLogConfiguration": {"format": "JSON", "includeQueryParameters": "DISABLED"},
        }


def _described(hook: LifecycleHook) -> JsonObject:
    described: JsonObject = {
        "targetType": hook.target_type,
        "lifecycleStages": [stage.value for stage in hook.stages],
        "timeoutConfiguration": {"timeoutInMinutes": hook.timeout_minutes, "action": hook.timeout_action},
    }
    if hook.target_type == "AWS_LAMBDA":
        described |= {"hookTargetArn": hook.target_arn, "roleArn": hook.role_arn}
    if hook.details is not None:
        described["hookDetails"] = hook.details
    return described

"""All there is to know about one request, gathered for its page.

::

    the request's history    read before, as a proceeding: what is asked, by which rules, who has answered
    ecs                      the deployment; green and blue; their task definitions
    elasticloadbalancing     how green is reached before production traffic comes to it
    s3                       what the other hooks found

A part that can't be read is a sentence among the problems, and the rest is there all the same.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from hooks.manual_approval.approvers import same_role
from hooks.manual_approval.console.comparison import changed_images, differences
from hooks.manual_approval.console.records import read_records
from hooks.manual_approval.console.views import Answer, Difference, Dossier, TestAccess
from hooks.manual_approval.proceeding import Proceeding
from hooks.manual_approval.request import ANSWERS, Kind, Version, read
from shared.deployment import Deployment
from shared.errors import HookError
from shared.listener import entrance_of
from shared.revision import ClientAlias, Listener, Revision

# A service may have five target groups, each with a rule of its own.
# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/register-multiple-targetgroups.html
MAX_LISTENERS = 5

# What a rule can ask for that a request can be given. Of several conditions on one thing all have to hold, of
# the values of one any.
# https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_RuleCondition.html
_CONFIGURATIONS = {
    "host-header": "HostHeaderConfig",
    "http-header": "HttpHeaderConfig",
    "path-pattern": "PathPatternConfig",
}


class _Problems(list[str]):
    """What could not be read, in sentences."""

    @contextmanager
    def of(self, what: str) -> Iterator[None]:
        """Note what goes wrong in the block, and go on behind it."""
        try:
            yield
        except HookError as error:
            self.append(f"{what} could not be read: {error}")


@dataclass(slots=True)
class _State:
    """What ECS says of the deployment."""

    status: str = ""
    lifecycle_stage: str = ""
    strategy: str = ""
    is_waiting: bool = False
    deadline: datetime | None = None
    is_first: bool = False


@dataclass(slots=True)
class _Sides:
    """Green, and what ran before."""

    green: Revision | None = None
    blue: Revision | None = None


def read_dossier(proceeding: Proceeding, *, function: str, bucket: str) -> Dossier:
    """Gather what there is about a request.

    Parameters
    ----------
    function
        ARN of the approval hook's function; without it, ECS's deadline for it is not known.
    bucket
        Where decision records are kept; empty where they are not.
    """
    problems = _Problems()
    deployment = Deployment(proceeding.deployment)
    state, sides = _State(), _Sides()
    with problems.of("The deployment"):
        state = _state(deployment, proceeding, function)
    if state.status:
        sides = _sides(deployment, problems)
    records = read_records(proceeding.deployment, bucket)
    return Dossier(
        proceeding=proceeding,
        deployment_status=state.status,
        lifecycle_stage=state.lifecycle_stage,
        strategy=state.strategy,
        is_waiting=state.is_waiting,
        ecs_deadline=state.deadline,
        images=changed_images(sides.blue, sides.green) if sides.green else (),
        differences=_differences(deployment, sides, problems),
        evidence=records.evidence,
        test_access=_test_access(sides.green, problems),
        answers=answers_in(proceeding),
        problems=(*problems, *records.problems),
        is_first=state.is_first,
    )


def is_waiting(proceeding: Proceeding) -> bool:
    """Tell whether ECS still waits for this; raises ``HookError`` when it can't be asked."""
    return _state(Deployment(proceeding.deployment), proceeding, "").is_waiting


def _state(deployment: Deployment, proceeding: Proceeding, function: str) -> _State:
    hook = _active_hook(deployment.active_hooks, proceeding, function)
    expires_at = hook.get("expiresAt") if hook else None
    # That a function's hook is not among the active ones proves nothing: how ECS lists it is not documented.
    expected = hook is not None or not proceeding.is_pause
    return _State(
        status=deployment.status,
        lifecycle_stage=deployment.lifecycle_stage,
        strategy=deployment.strategy,
        is_waiting=deployment.status == "IN_PROGRESS" and expected,
        deadline=expires_at.astimezone(UTC) if isinstance(expires_at, datetime) else None,
        is_first=deployment.is_first,
    )


def _active_hook(
    hooks: Sequence[Mapping[str, Any]], proceeding: Proceeding, function: str
) -> Mapping[str, Any] | None:
    """Return the hook that ECS waits for on account of this request."""
    for hook in hooks:
        if proceeding.is_pause:
            if hook.get("hookId") == proceeding.part and hook.get("status") == "AWAITING_ACTION":
                return hook
        elif function and _same_function(str(hook.get("targetArn", "")), function):
            return hook
    return None


def _same_function(one: str, other: str) -> bool:
    # Either may name a version or an alias: arn:PARTITION:lambda:REGION:ACCOUNT:function:NAME[:QUALIFIER]
    return one.split(":")[:7] == other.split(":")[:7]


def _sides(deployment: Deployment, problems: _Problems) -> _Sides:
    sides = _Sides()
    with problems.of("What is to run"):
        sides.green = deployment.green
    # Both are described in one call: where that failed, it would only fail again.
    if sides.green is not None:
        with problems.of("What ran before"):
            sides.blue = deployment.blue
    return sides


def _differences(deployment: Deployment, sides: _Sides, problems: _Problems) -> tuple[Difference, ...]:
    green, blue = sides.green, sides.blue
    if green is None or blue is None or green.task_definition_arn == blue.task_definition_arn:
        return ()
    with problems.of("In what the task definitions differ"):
        found, more = differences(deployment.task_definition(blue), deployment.task_definition(green))
        if more:
            problems.append(f"The task definitions differ in {more} more things than are shown.")
        return found
    return ()


def _test_access(green: Revision | None, problems: _Problems) -> tuple[TestAccess, ...]:
    if green is None:
        return ()
    found = [_by_alias(alias) for alias in green.aliases if alias.dns_name]
    if len(found) < len(green.aliases):
        ports = ", ".join(alias.port_name for alias in green.aliases if not alias.dns_name)
        problems.append(f"Under which name the namespace has these ports is not known: {ports}.")
    for arn in dict.fromkeys(green.test_listener_rules[:MAX_LISTENERS]):
        with problems.of("How test traffic comes in"):
            access, missing = by_listener(entrance_of(arn))
            found.append(access)
            if missing:
                problems.append(f"The test listener's rule also asks for {missing}, which is not shown.")
    return tuple(found)


def _by_alias(alias: ClientAlias) -> TestAccess:
    header = alias.test_header
    return TestAccess(f"{alias.dns_name}:{alias.port}", ((header.name, header.value or ""),), inside=True)


def by_listener(listener: Listener) -> tuple[TestAccess, str]:
    """Return what to send to a test listener, and what else its rule asks for."""
    paths: list[str] = []
    headers: list[tuple[str, str]] = []
    others: list[str] = []
    for condition in listener.conditions:
        field = str(condition.get("Field"))
        configuration = condition.get(_CONFIGURATIONS.get(field, "")) or {}
        # Rules from before there were configurations have their values beside the field.
        values = [str(value) for value in configuration.get("Values") or condition.get("Values") or ()]
        if field not in _CONFIGURATIONS or not values:
            others.append(field)
        elif field == "path-pattern":
            paths.append(values[0])
        else:
            name = "Host" if field == "host-header" else str(configuration.get("HttpHeaderName", ""))
            # In a rule * stands for any characters.
            headers.append((name, "" if "*" in values else values[0]))
    scheme = listener.protocol.lower()
    address = f"{scheme}://{listener.host}:{listener.port}{paths[0] if paths else ''}"
    return TestAccess(address, tuple(headers), inside=False), ", ".join(sorted(others))


def answers_in(proceeding: Proceeding) -> tuple[Answer, ...]:
    """Return every version that was meant as an answer, and why it does not count where it does not."""
    finding, rules = proceeding.finding, proceeding.rules
    heard = {one.number: one.objection for one in finding.heard} if finding else {}
    answers = []
    for version in proceeding.history:
        statement = read(version.text)
        own = same_role(version.by, proceeding.asker)
        if statement.kind in ANSWERS or (statement.kind is Kind.NOT_UNDERSTOOD and not own):
            # Whom a version names is believed of the console alone.
            person = statement.person if rules and rules.electorate.is_console(version.by) else None
            who = rules.electorate.voice(version.by, person).identity if rules else version.by
            answers.append(
                Answer(
                    number=version.number,
                    at=version.at,
                    what=statement.kind.value,
                    who=who,
                    name=person.name if person and person.identity == who else "",
                    comment=statement.comment,
                    objection=_objection(version, proceeding, heard),
                )
            )
    return tuple(answers)


def _objection(version: Version, proceeding: Proceeding, heard: Mapping[int, str]) -> str:
    if version.number < proceeding.asked.number:
        return "stood there before the request"
    if version.number in heard:
        return heard[version.number].removeprefix("does not count, ")
    if proceeding.finding is None:
        return "whether it counts can't be told here"
    return f"came when it was {proceeding.outcome} already"

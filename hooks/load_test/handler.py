"""The load test hook: whether green holds the load, next to blue.

::

    where requests go ─▶ what to ask for ─▶ how it stands ─▶ decide ─▶ start, keep or stop ─▶ answer
       (route)              (plan)           (drivers)      (decision,      (drivers)
                                                             verdict)

At POST_TEST_TRAFFIC_SHIFT green has all test traffic and blue all of production's: both can be reached, and
told apart by a header. The load itself comes from a generator in the Service Connect namespace.
"""

from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any

from hooks.load_test.charts import charts
from hooks.load_test.decision import Attempt, Step, Terms, decide
from hooks.load_test.drivers import Driver, lease_of
from hooks.load_test.measurement import Measurement
from hooks.load_test.plan import Plan, check_allowed, terms_of
from hooks.load_test.route import Route, by_listener, by_namespace
from hooks.load_test.rules import parse
from hooks.load_test.settings import MAX_ATTEMPTS, LoadTestPolicy, LoadTestSettings
from hooks.load_test.verdict import Standards
from shared.errors import HookError, Misconfigured
from shared.hook import Call, lifecycle_hook, logger
from shared.lifecycle import Stage
from shared.response import Proceed, Result

DRIVER_VARIABLE = "LOAD_DRIVER"

LoadTestCall = Call[LoadTestSettings, LoadTestPolicy]


def replay(inputs: Mapping[str, Any]) -> Result:
    """Decide again what a record says was decided."""
    terms = inputs["terms"]
    return decide(
        [
            Attempt(
                **{
                    **attempt,
                    "asked_at": datetime.fromisoformat(attempt["asked_at"]),
                    "measured": attempt["measured"] and Measurement.restore(attempt["measured"]),
                }
            )
            for attempt in inputs["attempts"]
        ],
        Terms(
            **{
                **terms,
                "rules": tuple(replace(parse(rule["text"]), **rule) for rule in terms["rules"]),
                "standards": Standards(**terms["standards"]),
            }
        ),
        datetime.fromisoformat(inputs["now"]),
        datetime.fromisoformat(inputs["since"]),
    ).result


def driver_of(environment: Mapping[str, str]) -> Driver:
    """Make the driver that the function's environment names."""
    # Only whoever uses one pays for loading it.
    match environment.get(DRIVER_VARIABLE) or "queue":
        case "queue":
            from hooks.load_test.drivers.queue import QueueDriver  # noqa: PLC0415

            return QueueDriver.of(environment)
        case "locust":
            from hooks.load_test.drivers.locust import LocustDriver  # noqa: PLC0415

            return LocustDriver.of(environment)
        case other:
            raise Misconfigured(f"{DRIVER_VARIABLE}: expected queue or locust, got {other!r}")


def restore(call: LoadTestCall) -> Result:
    """End what was started: nobody needs its outcome any more."""
    # As many as there may ever be: the settings may have been others when they were started.
    runs = [f"{name_of(call)}-{number}" for number in range(1, MAX_ATTEMPTS + 1)]
    ended: list[str] = []
    try:
        driver = driver_of(call.environment)
        for attempt in driver.poll(runs, call.now):
            if not attempt.stopped and not (attempt.measured and attempt.measured.is_over):
                driver.stop(attempt.run, "the deployment is rolled back", call.now)
                call.evidence.changes.append(f"ended {attempt.run}")
                ended.append(attempt.run)
    except HookError as error:
        # Not worth holding up a rollback: a lease ends by itself, and sooner than a wait for it would.
        return Proceed(f"rollback: runs end with their leases, because of {error}")
    return Proceed(f"rollback: {', '.join(ended) or 'no run'} had to be ended")


@lifecycle_hook(
    "load_test",
    stages={Stage.POST_TEST_TRAFFIC_SHIFT},
    settings=LoadTestSettings,
    policy=LoadTestPolicy,
    restore=restore,
    replay=replay,
)
def handler(call: LoadTestCall) -> Result:
    """Answer one call of ECS."""
    if call.deployment.status.startswith(("ROLLBACK", "STOP")):
        # It comes late; this stage has no weights that would tell.
        return restore(call)
    if call.settings.on_first_deployment == "skip" and call.deployment.is_first:
        return Proceed("first deployment of the service, and onFirstDeployment is skip")
    plan = _plan(call)
    driver = driver_of(call.environment)
    terms = terms_of(call.settings, has_blue=plan.blue is not None)
    runs = [plan.run(number) for number in range(1, terms.attempts + 1)]
    attempts = driver.poll(runs, call.now)
    step = decide(attempts, terms, call.now, call.since)
    _note(call, plan, attempts, terms, step)
    _carry_out(call, driver, plan, attempts, step)
    return step.result


def name_of(call: LoadTestCall) -> str:
    """Return what a deployment's runs are called, before their number."""
    return f"{call.event.deployment.id}-{call.event.target.id}"


def _plan(call: LoadTestCall) -> Plan:
    event, deployment, settings = call.event, call.deployment, call.settings
    route = _route(call)
    check_allowed(settings, call.policy, route)
    return Plan(
        name=name_of(call),
        service=f"{event.service.cluster}/{event.service.service}",
        settings=settings,
        route=route,
        green=deployment.green,
        blue=deployment.blue,
    )


def _route(call: LoadTestCall) -> Route:
    green, settings = call.deployment.green, call.settings
    if green.aliases:
        return by_namespace(green.aliases, settings.port_name, settings.header)
    if green.test_listener_rules:
        from shared.listener import listener_of  # noqa: PLC0415  # few need it

        return by_listener(listener_of(green.test_listener_rules[0]), settings.header)
    raise Misconfigured(
        "nothing leads test traffic to green: the service has neither a Service Connect alias nor a test "
        "listener rule"
    )


def _note(call: LoadTestCall, plan: Plan, attempts: tuple[Attempt, ...], terms: Terms, step: Step) -> None:
    """Put into the record what was decided on, and its pictures."""
    call.evidence.blue = str(plan.blue.arn) if plan.blue else None
    call.evidence.inputs = {
        "attempts": [
            {
                "run": attempt.run,
                "asked_at": attempt.asked_at.isoformat(),
                "stopped": attempt.stopped,
                "measured": attempt.measured and attempt.measured.write(),
                "unreadable": attempt.unreadable,
            }
            for attempt in attempts
        ],
        "terms": {
            **asdict(terms),
            # The sentence says the rest of it.
            "rules": [
                {
                    "text": rule.text,
                    "abort": rule.abort,
                    "after_seconds": rule.after_seconds,
                    "minimum_samples": rule.minimum_samples,
                    "observe": rule.observe,
                }
                for rule in terms.rules
            ],
        },
        "now": call.now.isoformat(),
        "since": call.since.isoformat(),
    }
    latest = attempts[-1].measured if attempts else None
    if latest is not None and latest.arms:
        call.evidence.charts = charts(latest, terms.rules)
    for finding in step.judgement.findings if step.judgement else ():
        logger.info(finding.text, extra={"outcome": finding.outcome.value})


def _carry_out(
    call: LoadTestCall, driver: Driver, plan: Plan, attempts: tuple[Attempt, ...], step: Step
) -> None:
    lease = lease_of(call.settings.poll_seconds)
    latest = attempts[-1].run if attempts else ""
    if step.start:
        # Not their count: a driver may know of the latest only.
        number = attempts[-1].number + 1 if attempts else 1
        driver.health()
        # Before the one it takes the place of is ended: whoever comes in between finds the new one.
        driver.start(plan.job(number, call.now), call.now, lease)
        call.evidence.changes.append(f"asked for {plan.run(number)}")
    if step.ask_again:
        driver.start(plan.job(attempts[-1].number, attempts[-1].asked_at), call.now, lease)
    if step.stop and latest:
        try:
            driver.stop(latest, step.stop, call.now)
        except HookError as error:
            # Its lease ends it; the verdict stands.
            logger.warning(f"{latest} could not be ended: {error}")
        call.evidence.changes.append(f"ended {latest}")
    if step.keep and latest:
        driver.keep(latest, call.now, lease)

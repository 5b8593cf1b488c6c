"""Whether a scenario ended as it expected."""

from collections.abc import Sequence

from rehearsal.model import ServiceDeployment
from rehearsal.outcome import Check, Consumption, Happening, HookCalled
from rehearsal.scenario import Expectation


def check(
    expect: Expectation,
    deployments: Sequence[ServiceDeployment],
    happenings: Sequence[Happening],
    duration: float,
    consumption: Consumption | None = None,
) -> list[Check]:
    """Hold what happened against what was expected; one check for each thing said."""
    first = deployments[0]
    calls = [happening for happening in happenings if isinstance(happening, HookCalled)]
    checks = [Check(text=f"status is {expect.status}", held=first.status == expect.status, seen=first.status)]
    if expect.reason is not None:
        seen = first.status_reason or ""
        checks.append(Check(text=f"the reason says {expect.reason!r}", held=expect.reason in seen, seen=seen))
    for hook, answer in expect.answers.items():
        last = next((call.answer for call in reversed(calls) if call.hook == hook), "never called")
        checks.append(Check(text=f"{hook} ends with {answer}", held=last == answer, seen=last))
    for hook, words in expect.because.items():
        reasons = [call.record["verdict"]["reason"] for call in calls if call.hook == hook and call.record]
        seen = reasons[-1] if reasons else "nothing recorded"
        checks.append(Check(text=f"{hook} says {words!r}", held=words in seen, seen=seen))
    for hook, most in expect.calls_at_most.items():
        count = sum(call.hook == hook for call in calls)
        checks.append(
            Check(text=f"{hook} is called at most {most} times", held=count <= most, seen=str(count))
        )
    for hook, least in expect.calls_at_least.items():
        count = sum(call.hook == hook for call in calls)
        checks.append(
            Check(text=f"{hook} is called at least {least} times", held=count >= least, seen=str(count))
        )
    for number, status in expect.later.items():
        index = int(number) - 1
        seen = deployments[index].status if 0 <= index < len(deployments) else "no such deployment"
        checks.append(Check(text=f"deployment {number} ends {status}", held=seen == status, seen=seen))
    if expect.lasts_at_least is not None:
        held = duration >= expect.lasts_at_least
        checks.append(
            Check(text=f"lasts {expect.lasts_at_least:g} s or longer", held=held, seen=f"{duration:g} s")
        )
    if expect.lasts_at_most is not None:
        held = duration <= expect.lasts_at_most
        checks.append(
            Check(text=f"lasts {expect.lasts_at_most:g} s or less", held=held, seen=f"{duration:g} s")
        )
    return checks + (_consumption(expect, consumption) if consumption else [])


def _consumption(expect: Expectation, seen: Consumption) -> list[Check]:
    checks = []
    if expect.consumes is not None:
        consumers = " and ".join(seen.receiving) or "nobody"
        checks.append(
            Check(text=f"{expect.consumes} consumes", held=consumers == expect.consumes, seen=consumers)
        )
    for text, most, seconds in (
        ("two revisions are at the queue", expect.overlap_at_most, seen.overlap_seconds),
        ("nobody is at the queue", expect.gap_at_most, seen.longest_gap_seconds),
    ):
        if most is not None:
            checks.append(
                Check(text=f"{text} for {most:g} s or less", held=seconds <= most, seen=f"{seconds:g} s")
            )
    for text, expected, count in (
        ("messages are lost", expect.lost, len(seen.lost)),
        ("messages are handled twice", expect.handled_twice, seen.handled_twice),
        ("messages are dead letters", expect.dead_letters, seen.dead_letters),
    ):
        if expected is not None:
            checks.append(Check(text=f"{expected} {text}", held=count == expected, seen=str(count)))
    return checks

"""AWS's sample for queue workers, as a simulation: what its constants and its order of writes lead to.

``ecs-bluegreen-sqs-processing`` of github.com/aws-samples/sample-amazon-ecs-blue-green-deployment-patterns
(commit 8d5b8d3). At PRODUCTION_TRAFFIC_SHIFT its hook writes green's parameter ``active``, then blue's
``notactive``, and answers SUCCEEDED. A worker reads its parameter, receives up to 10 messages, handles
them one after the other (60 s each, the sample's placeholder), and reads again; one that is not active
sleeps 10 s first.
"""

import random
from collections import deque
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any

import simpy

MESSAGES_PER_RECEIVE = 10
RECEIVE_WAIT_SECONDS = 5.0
READ_INTERVAL_SECONDS = 10.0

# Between the two writes of one invocation: a call to Parameter Store.
WRITE_SECONDS = 0.05

Process = Generator[simpy.Event, Any]


@dataclass
class HandOver:
    """One hand-over from blue to green."""

    active: dict[str, bool] = field(default_factory=lambda: {"blue": True, "green": False})
    waiting: deque[float] = field(default_factory=deque)
    working: dict[str, list[tuple[float, float]]] = field(default_factory=lambda: {"blue": [], "green": []})
    """When each revision had messages in hand, from receive to the last one's end."""


def overlap_seconds(
    seed: int, *, tasks: int, messages_per_minute: float, handling_seconds: float, shift_at: float
) -> float:
    """Return for how long blue still worked after green had begun to."""
    env, rng, run = simpy.Environment(), random.Random(seed), HandOver()  # noqa: S311  # not for secrets
    env.process(_arrivals(env, rng, run, messages_per_minute))
    for revision in ("blue", "green"):
        for _ in range(tasks):
            env.process(_worker(env, rng, run, revision, handling_seconds))
    env.process(_shift(env, run, shift_at))
    env.run(until=shift_at + 2 * MESSAGES_PER_RECEIVE * handling_seconds + READ_INTERVAL_SECONDS)
    began = min((start for start, _ in run.working["green"]), default=env.now)
    return max(
        (min(end, env.now) - max(start, began) for start, end in run.working["blue"] if end > began),
        default=0.0,
    )


def _arrivals(env: simpy.Environment, rng: random.Random, run: HandOver, per_minute: float) -> Process:
    while True:
        yield env.timeout(rng.expovariate(per_minute / 60))
        run.waiting.append(env.now)


def _worker(
    env: simpy.Environment, rng: random.Random, run: HandOver, revision: str, handling_seconds: float
) -> Process:
    yield env.timeout(rng.uniform(0, READ_INTERVAL_SECONDS))
    while True:
        if not run.active[revision]:
            yield env.timeout(READ_INTERVAL_SECONDS)
            continue
        waited = 0.0
        while not run.waiting and waited < RECEIVE_WAIT_SECONDS:
            yield env.timeout(0.5)
            waited += 0.5
        batch = [run.waiting.popleft() for _ in range(min(len(run.waiting), MESSAGES_PER_RECEIVE))]
        if batch:
            end = env.now + len(batch) * handling_seconds
            run.working[revision].append((env.now, end))
            yield env.timeout(end - env.now)


def _shift(env: simpy.Environment, run: HandOver, at: float) -> Process:
    yield env.timeout(at)
    run.active["green"] = True
    yield env.timeout(WRITE_SECONDS)
    run.active["blue"] = False

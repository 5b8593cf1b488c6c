"""`rehearse serve`: the rehearsal's AWS over HTTP, and a deployment on the real clock to play along with."""

import signal
import sys
import threading
from types import FrameType

from rehearsal.aws.server import Server
from rehearsal.report.timeline import Timeline
from rehearsal.scenario import Scenario, find
from rehearsal.world import Rehearsal

# Any credentials do: there is nothing to protect, and IAM is enforced for the functions only.
CREDENTIALS = "AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test AWS_DEFAULT_REGION=us-east-1"


def serve(scenario: str | None, host: str, port: int) -> int:
    """Serve until interrupted; with a scenario, run it meanwhile, actors included."""
    chosen = Scenario.read(find(scenario)) if scenario else None
    with Rehearsal(clock="real") as rehearsal, Server(rehearsal.cloud, host, port) as server:
        print(f"AWS_ENDPOINT_URL={server.url} {CREDENTIALS}", flush=True)
        if chosen is None:
            _until_interrupted()
            return 0
        with Timeline() as timeline:
            timeline.scenario_started(
                chosen.name,
                chosen.description,
                f"{chosen.service.name} in {chosen.service.cluster}",
                chosen.strategy.type,
                chosen.service.exposure,
                0,
                chosen.switches.model_dump(exclude_defaults=True),
            )
            outcome = rehearsal.run(chosen, saw=timeline.saw)
            timeline.scenario_ended(outcome)
        return 0 if outcome.as_expected else 1


def _until_interrupted() -> None:
    ended = threading.Event()

    def end(_signal: int, _frame: FrameType | None) -> None:
        ended.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    ended.wait()
    print("ended", file=sys.stderr)

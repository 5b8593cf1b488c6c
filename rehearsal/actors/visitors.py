"""Production traffic that is real: requests that come in at the load balancer's listener."""

import json
from collections import Counter
from typing import Any

from pydantic import Field

from rehearsal.actors import Actor, actor
from rehearsal.actors.servers import Servers
from rehearsal.document import DocumentError
from rehearsal.loopback import MARKER, visits
from rehearsal.loopback.part import Part
from rehearsal.timing import Process
from rehearsal.world import World

_LOOK_SECONDS = 0.1


@actor("visitors")
class Visitors(Actor):
    """Visits the servers actor's application while the deployment goes on; on the real clock only."""

    requests_per_second: float = Field(50.0, gt=0, le=1000)
    paths: tuple[str, ...] = Field(("/",), min_length=1, max_length=20, description="in turn")

    @property
    def is_real(self) -> bool:
        return True

    def run(self, world: World) -> Process:
        servers = next((one for one in world.actors if isinstance(one, Servers) and one.app), None)
        if servers is None:
            raise DocumentError(f"{world.scenario.name}: there is no servers actor with app to visit")
        while (port := servers.entrance) is None:
            yield world.env.timeout(_LOOK_SECONDS)
        part = world.closing.enter_context(Part("the visitors", visits.__file__))
        part.start(
            {
                "to": port,
                "rate": self.requests_per_second,
                "paths": self.paths,
                "marker": MARKER,
            }
        )
        world.spoke("visitors", f"{self.requests_per_second:g} requests a second come in")
        yield world.machine.ended
        part.tell({})
        world.spoke("visitors", told(json.loads(part.read_log().splitlines()[-1])))


def told(count: dict[str, Any]) -> str:
    """Say what came of all requests: who answered, and what did not go well."""
    by_revision: Counter[str] = Counter()
    errors: Counter[str] = Counter()
    for answer, number in count["answers"].items():
        revision, status = answer.rsplit(" ", 1)
        by_revision[revision] += number
        errors[revision] += number if int(status) >= 500 else 0
    each = ", ".join(
        f"{number:,} answered by {revision}" + (f" ({errors[revision]:,} errors)" if errors[revision] else "")
        for revision, number in sorted(by_revision.items())
    )
    return f"{count['sent']:,} requests: {each or 'none answered'}, {count['lost']:,} lost"

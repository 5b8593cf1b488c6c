"""What every hook is held against: each value of each switch, alone, and each golden event."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import time_machine

from rehearsal.aws.cloud import Cloud
from rehearsal.runtime.lambda_python import ROOT
from rehearsal.serving import know
from rehearsal.switches import each_alone
from shared.lifecycle import LifecycleEvent
from tests.shared.checkout import START

VARIANTS = [switches.model_dump(exclude_defaults=True) for switches in each_alone()]

every_switch = pytest.mark.parametrize(
    "switches",
    VARIANTS,
    ids=[" ".join(f"{name}={value}" for name, value in one.items()) or "defaults" for one in VARIANTS],
)


def golden_events() -> list[Any]:
    """Return the files of our own events, and of those published ones that are beside this clone."""
    own = sorted((Path(__file__).parent / "events").glob("*.json"))
    published = sorted((ROOT.parent / "shared" / "data" / "events").glob("*.json"))
    found = [path for path in (*own, *published) if path.name != "expected.json"]
    cases = [pytest.param(path, id=f"{path.parent.parent.name}-{path.stem}") for path in found]
    if not published:
        cases.append(pytest.param(None, marks=pytest.mark.skip("no ../shared/data/events beside this clone")))
    return cases


@contextmanager
def in_its_account(event: object) -> Iterator[Cloud]:
    """Be a hook in the account and region of an event, in the middle of the deployment that it is about."""
    service = LifecycleEvent.parse(event).service
    with (
        Cloud(region=service.region, account=service.account) as cloud,
        # Clients are kept by who they are for, and each is for one region and account.
        cloud.acting_as(f"hook-{service.region}-{service.account}"),
        time_machine.travel(START, tick=False),
    ):
        know(cloud.control_plane, event)
        yield cloud
        assert cloud.defects == []

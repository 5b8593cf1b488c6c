"""The servers that are loaded and the master that is asked: one each, as tests leave them whole."""

from collections.abc import Iterator

import pytest

from rehearsal.loopback import Behaviour, Loopback
from tests.hooks.load_test.generator.surroundings import Served, until


@pytest.fixture(scope="package")
def shared_loopback() -> Iterator[Loopback]:
    with Loopback() as loopback:
        yield loopback


@pytest.fixture
def loopback(shared_loopback: Loopback) -> Iterator[Loopback]:
    """Blue and green, which behave; whatever a test has them do ends with it."""
    yield shared_loopback
    for colour in ("blue", "green"):
        shared_loopback.behave(colour, Behaviour())
    shared_loopback.weigh(0)


@pytest.fixture(scope="package")
def shared_served() -> Iterator[Served]:
    served = Served.start(workers=2)
    yield served
    served.end()


@pytest.fixture
def served(shared_served: Served) -> Served:
    """A master with two workers, ready for a run."""
    until(lambda: shared_served.is_ready() or None)
    return shared_served

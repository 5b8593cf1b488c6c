"""One rehearsal for a module's tests: starting it takes longer than most runs."""

from collections.abc import Iterator

import pytest

from rehearsal.world import Rehearsal


@pytest.fixture(scope="module")
def rehearsal() -> Iterator[Rehearsal]:
    with Rehearsal() as rehearsal:
        yield rehearsal

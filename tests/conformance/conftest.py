"""One AWS account and one in-process runtime for all runs of a module."""

from collections.abc import Iterator

import pytest

from rehearsal.world import Rehearsal


@pytest.fixture(scope="module")
def rehearsal() -> Iterator[Rehearsal]:
    with Rehearsal() as rehearsal:
        yield rehearsal

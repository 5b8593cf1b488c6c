"""What takes longer to start than most tests take: one rehearsal for a module, one tour for all."""

import contextlib
import io
import pickle
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from rehearsal import cli
from rehearsal.outcome import Outcome
from rehearsal.world import Rehearsal
from tests.conftest import MakeOnce


@pytest.fixture(scope="module")
def rehearsal() -> Iterator[Rehearsal]:
    with Rehearsal() as rehearsal:
        yield rehearsal


class Tour(NamedTuple):
    """`rehearse --all`, run once."""

    code: int
    printed: str
    outcomes: Mapping[str, Outcome]
    """By scenario, as they were in memory: nothing has been through JSON."""


@pytest.fixture(scope="session")
def tour(make_once: MakeOnce) -> Tour:
    return Tour(*pickle.loads(make_once("tour.pickle", _take_the_tour).read_bytes()))


def _take_the_tour(file: Path) -> None:
    outcomes: list[Outcome] = []
    take = cli._tour

    def watched(*arguments: Any) -> list[Outcome]:
        outcomes.extend(take(*arguments))
        return outcomes

    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()) as printed:
        patch.setattr(cli, "_tour", watched)
        code = cli.main(["--all"])
    # A tuple: not every worker knows this module by the same name.
    by_scenario = {outcome.scenario: outcome for outcome in outcomes}
    file.write_bytes(pickle.dumps((code, printed.getvalue(), by_scenario)))

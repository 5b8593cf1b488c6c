"""What comes of each AWS call that a hook makes, when it goes wrong in each of ten ways.

The golden files beside this one say it for people to read, a file of each hook. Calls are recorded, not
listed: a new one is a row that is missing there. They are written anew by::

    python tests/conformance/faults/write_tables.py

Beside what the files say, every run is held against what holds of all hooks (``verdicts.assert_sound``) and
of this one (``Subject.left``), so that a file that says something worse can't be written without a test that
fails.
"""

from collections.abc import Iterator, Sequence
from functools import cache

import pytest

from rehearsal.world import Rehearsal
from tests.conformance.faults.fault_kinds import KINDS, Kind
from tests.conformance.faults.faulted_runs import Played, Site, Subject, Watch, every_site, play
from tests.conformance.faults.subjects import HOOKS, NEVER
from tests.conformance.faults.verdict_tables import file_of, read, render
from tests.conformance.faults.verdicts import assert_sound, cell

tables = cache(read)

of_each_hook = pytest.mark.parametrize(
    ("hook", "subject"),
    [
        pytest.param(hook, subject, id=f"{hook}: {subject.name}")
        for hook, all_of_it in HOOKS.items()
        for subject in all_of_it
    ],
)
never = pytest.mark.parametrize("subject", [pytest.param(subject, id=subject.name) for subject in NEVER])
every_kind = pytest.mark.parametrize("kind", [pytest.param(kind, id=kind.name) for kind in KINDS])


@pytest.fixture(scope="module")
def rehearsal() -> Iterator[Rehearsal]:
    with Rehearsal(runtime=Watch()) as rehearsal:
        yield rehearsal


def some(sites: Sequence[Site], every: int) -> Iterator[tuple[Site, Kind]]:
    """Yield each so-manieth call with one kind of fault; all kinds come in turn."""
    for number, site in enumerate(sites[::every]):
        yield site, KINDS[number % len(KINDS)]


def assert_as_written(
    rehearsal: Rehearsal, hook: str, subject: Subject, site: Site, kind: Kind, without: Played
) -> None:
    played = play(rehearsal, subject, site, kind)
    assert_sound(played, site, kind)
    assert (site, kind.name, cell(played, without)) == (
        site,
        kind.name,
        tables(hook)[subject.name][site][kind.name],
    )


@of_each_hook
def test_every_call_that_is_made_has_a_row(rehearsal: Rehearsal, hook: str, subject: Subject) -> None:
    played, sites = every_site(rehearsal, subject)

    assert_sound(played)
    assert list(tables(hook)[subject.name]) == sites


@of_each_hook
def test_a_call_that_goes_wrong_comes_to_what_is_written(
    rehearsal: Rehearsal, hook: str, subject: Subject
) -> None:
    without, sites = every_site(rehearsal, subject)
    for site, kind in some(sites, every=2):
        assert_as_written(rehearsal, hook, subject, site, kind, without)


@pytest.mark.thorough
@of_each_hook
@every_kind
def test_every_call_that_goes_wrong_comes_to_what_is_written(
    rehearsal: Rehearsal, hook: str, subject: Subject, kind: Kind
) -> None:
    without, sites = every_site(rehearsal, subject)
    for site in sites:
        assert_as_written(rehearsal, hook, subject, site, kind, without)


def assert_turned_back(rehearsal: Rehearsal, subject: Subject, site: Site, kind: Kind) -> None:
    played = play(rehearsal, subject, site, kind)
    assert_sound(played, site, kind)
    assert played.last.status == "ROLLBACK_SUCCESSFUL", f"{site}, {kind.name}"


@never
def test_no_fault_lets_pass_what_is_not_to_pass(rehearsal: Rehearsal, subject: Subject) -> None:
    _, sites = every_site(rehearsal, subject)
    for site, kind in some(sites, every=4):
        assert_turned_back(rehearsal, subject, site, kind)


@pytest.mark.thorough
@never
@every_kind
def test_none_of_all_faults_lets_pass_what_is_not_to_pass(
    rehearsal: Rehearsal, subject: Subject, kind: Kind
) -> None:
    _, sites = every_site(rehearsal, subject)
    for site in sites[::3]:
        assert_turned_back(rehearsal, subject, site, kind)


@pytest.mark.parametrize("hook", HOOKS)
def test_a_file_is_as_it_would_be_written(hook: str) -> None:
    text = render(hook, tables(hook))

    assert text == file_of(hook).read_text(encoding="utf-8")

"""The timeline that a rehearsal writes while it runs, in a terminal or as plain text.

::

    approved  checkout · BLUE_GREEN · application-load-balancer · seed 7
      A person approves after ten minutes.
      0:00:00 │ PRE_SCALE_UP · SCALE_UP · POST_SCALE_UP
      0:01:30 │ TEST_TRAFFIC_SHIFT            ██████████ green 100 %
      0:01:30 │ POST_TEST_TRAFFIC_SHIFT
      0:11:30 ◆ approver  user/ana writes APPROVED
      0:11:35 ● manual_approval  asked 24×  → SUCCEEDED after 10 m 05 s
      0:11:35 │ PRODUCTION_TRAFFIC_SHIFT      ██████████ green 100 %
      0:27:05 ■ SUCCESSFUL
      ✓ as expected  ends as SUCCESSFUL

A :class:`Timeline` is told what happens and owns how it is shown: ``terminal`` draws the above with
rich, ``plain`` writes a line per happening for logs and pipes.
"""

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console

from rehearsal.outcome import Happening, Outcome
from rehearsal.report.plain import PlainTimeline
from rehearsal.report.terminal import TerminalTimeline
from rehearsal.report.wording import switched


class Writer(Protocol):
    """One way of showing a rehearsal as it goes."""

    def scenario_started(self, name: str, description: str, strategy: str, setting: Sequence[str]) -> None:
        """Open a scenario; *setting* is its service, strategy, exposure, seed and switches."""

    def saw(self, happening: Happening) -> None:
        """Show one thing that happened."""

    def scenario_ended(self, outcome: Outcome) -> None:
        """Close the scenario with its verdict."""

    def tour_ended(self, outcomes: Sequence[Outcome]) -> None:
        """Sum up."""

    def repeat_started(self, total: int) -> None:
        """Begin many runs that are counted, not shown."""

    def repeat_advanced(self, outcome: Outcome) -> None:
        """Count one run."""

    def repeat_ended(self) -> None:
        """Show what the runs had in common."""

    def close(self) -> None:
        """Give the terminal back, also after an exception."""


class Timeline:
    """Shows rehearsals on *console*: drawn in a terminal, plain text otherwise.

    Use it as a context manager, so that the terminal's cursor comes back whatever happens::

        with Timeline(Console()) as timeline:
            timeline.scenario_started(name, description, service, strategy, exposure, seed, switches)
            timeline.saw(happening)
            timeline.scenario_ended(outcome)
            timeline.tour_ended(outcomes)
    """

    def __init__(self, console: Console | None = None) -> None:
        console = console or Console()
        self._writer: Writer = TerminalTimeline(console) if console.is_terminal else PlainTimeline(console)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def scenario_started(  # noqa: PLR0917 -- an outcome's fields in its order, as the command line has them
        self,
        name: str,
        description: str,
        service: str,
        strategy: str,
        exposure: str,
        seed: int,
        switches: Mapping[str, str],
    ) -> None:
        """Open a scenario; *switches* are those that differ from the defaults."""
        setting = [service, strategy, exposure, f"seed {seed}", *switched(switches)]
        self._writer.scenario_started(name, description, strategy, [part for part in setting if part])

    def saw(self, happening: Happening) -> None:
        """Show one thing that happened."""
        self._writer.saw(happening)

    def scenario_ended(self, outcome: Outcome) -> None:
        """Close the scenario with its verdict and its checks."""
        self._writer.scenario_ended(outcome)

    def show(self, outcome: Outcome) -> None:
        """Show a scenario that has already run."""
        self.scenario_started(
            outcome.scenario,
            outcome.description,
            outcome.service,
            outcome.strategy,
            outcome.exposure,
            outcome.seed,
            outcome.switches,
        )
        for happening in outcome.happenings:
            self.saw(happening)
        self.scenario_ended(outcome)

    def tour_ended(self, outcomes: Sequence[Outcome]) -> None:
        """Sum up several scenarios in a table."""
        self._writer.tour_ended(outcomes)

    def repeat_started(self, total: int) -> None:
        """Begin *total* runs of which only the sum is shown (``--repeat``, ``--switches all``)."""
        self._writer.repeat_started(total)

    def repeat_advanced(self, outcome: Outcome) -> None:
        """Count one of the runs; the outcome is not kept."""
        self._writer.repeat_advanced(outcome)

    def repeat_ended(self) -> None:
        """Show what the runs had in common, and which seeds did not end as expected."""
        self._writer.repeat_ended()

    def close(self) -> None:
        """Give the terminal back."""
        self._writer.close()

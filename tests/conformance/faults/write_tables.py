"""Write the golden files of the fault matrix anew: ``python tests/conformance/faults/write_tables.py``.

With names of hooks, only theirs. It takes two minutes or three; what changed, ``git diff`` shows.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))

from rehearsal.world import Rehearsal
from tests.conformance.faults.fault_kinds import KINDS
from tests.conformance.faults.faulted_runs import Site, Subject, Watch, every_site, play
from tests.conformance.faults.subjects import HOOKS
from tests.conformance.faults.verdict_tables import Row, file_of, render
from tests.conformance.faults.verdicts import cell


def rows(rehearsal: Rehearsal, subject: Subject) -> dict[Site, Row]:
    """Let each call of a deployment go wrong in each way."""
    without, sites = every_site(rehearsal, subject)
    return {
        site: {kind.name: cell(play(rehearsal, subject, site, kind), without) for kind in KINDS}
        for site in sites
    }


def main() -> None:
    """Write the files."""
    wanted = sys.argv[1:] or list(HOOKS)
    with Rehearsal(runtime=Watch()) as rehearsal:
        for hook in wanted:
            tables = {subject.name: rows(rehearsal, subject) for subject in HOOKS[hook]}
            file_of(hook).write_text(render(hook, tables), encoding="utf-8")
            print(f"{file_of(hook)}: {sum(map(len, tables.values()))} calls")  # noqa: T201  # a command


if __name__ == "__main__":
    main()

import gc
import importlib
import os
import subprocess
import sys

import pytest

from shared import cold_start

PROBE = """
import gc
from shared import cold_start
cold_start.importing()
during = gc.isenabled()
cold_start.imported()
print(during, gc.isenabled(), gc.get_freeze_count() > 0)
"""

LATE = """
import gc
from shared import cold_start
try:
    with cold_start.importing_late():
        during = gc.isenabled()
        import nothing_of_that_name
except ImportError:
    print(during, gc.isenabled(), gc.get_freeze_count() > 0)
"""


@pytest.mark.parametrize("program", [PROBE, LATE], ids=["at first", "late"])
@pytest.mark.parametrize(
    ("variables", "seen"),
    [({"AWS_LAMBDA_FUNCTION_NAME": "hook"}, "False True True"), ({}, "True True False")],
)
def test_only_in_lambda_is_nothing_collected_while_a_hook_is_imported(
    variables: dict[str, str], seen: str, program: str
) -> None:
    outside = {name: value for name, value in os.environ.items() if name != "AWS_LAMBDA_FUNCTION_NAME"}
    probe = subprocess.run(
        [sys.executable, "-c", program],
        env={**outside, **variables},
        capture_output=True,
        text=True,
        check=True,
    )

    assert probe.stdout.strip() == seen


def test_here_collection_goes_on() -> None:
    assert gc.isenabled()


def test_what_a_late_import_goes_without_is_back_afterwards() -> None:
    import json

    with cold_start.importing_late(without="json"), pytest.raises(ImportError):
        importlib.import_module("json")
    with cold_start.importing_late(without="nothing_of_that_name"):
        pass

    assert sys.modules["json"] is json
    assert "nothing_of_that_name" not in sys.modules

import gc
import os
import subprocess
import sys

import pytest

PROBE = """
import gc
from shared import cold_start
cold_start.importing()
during = gc.isenabled()
cold_start.imported()
print(during, gc.isenabled(), gc.get_freeze_count() > 0)
"""


@pytest.mark.parametrize(
    ("variables", "seen"),
    [({"AWS_LAMBDA_FUNCTION_NAME": "hook"}, "False True True"), ({}, "True True False")],
)
def test_only_in_lambda_is_nothing_collected_while_a_hook_is_imported(
    variables: dict[str, str], seen: str
) -> None:
    outside = {name: value for name, value in os.environ.items() if name != "AWS_LAMBDA_FUNCTION_NAME"}
    probe = subprocess.run(
        [sys.executable, "-c", PROBE],
        env={**outside, **variables},
        capture_output=True,
        text=True,
        check=True,
    )

    assert probe.stdout.strip() == seen


def test_here_collection_goes_on() -> None:
    assert gc.isenabled()

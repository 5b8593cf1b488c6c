"""Whole deployments with the built artifacts in the real Lambda runtime, on virtual time."""

from pathlib import Path

import pytest

from rehearsal import runtimes
from rehearsal.document import DocumentError
from rehearsal.scenario import Scenario, find


@pytest.mark.runtime
@pytest.mark.parametrize("name", ["approved", "linear", "signed", "being-signed"])
def test_a_deployment_ends_the_same_in_the_real_runtime(
    name: str, build: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtimes, "BUILD", build)
    scenario = Scenario.read(find(name))

    with runtimes.open_rehearsal("in-process", "virtual") as here:
        expected = here.run(scenario)
    with runtimes.open_rehearsal("rie", "virtual") as rehearsal:
        outcome = rehearsal.run(scenario)

    assert outcome.as_expected
    assert outcome == expected


def test_without_artifacts_it_says_how_to_make_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtimes, "BUILD", tmp_path)

    with (
        pytest.raises(DocumentError, match="there are no artifacts yet; make them with `make build`"),
        runtimes.open_rehearsal("rie", "virtual"),
    ):
        pass

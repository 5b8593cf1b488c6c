"""What an import gives, held against the settings that the hook would read it with."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hooks.canary_comparison.settings import CanarySettings
from rehearsal.imports import translated


@dataclass(frozen=True)
class Import:
    settings: Any
    notes: list[str]
    """``KEY: TEXT``, without file and line."""


Importer = Callable[..., Import]


@pytest.fixture
def imported(tmp_path: Path) -> Importer:
    def read(text: str, arguments: Mapping[str, str] | None = None) -> Import:
        file = tmp_path / "file.yaml"
        file.write_text(text)
        settings, notes = translated(str(file), arguments or {})
        if settings is not None:
            CanarySettings.model_validate(settings)
        return Import(settings, [f"{note.key}: {note.text}" for note in notes])

    return read

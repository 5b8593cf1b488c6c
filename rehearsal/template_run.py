"""``rehearse TEMPLATE --service NAME``: what is run, and what is said about it before.

::

    catalog in unicorn-watch, as examples/unicorn_watch/catalog/template.yaml:186 has it
      read     CANARY: 10 % for 10 min, then all; bakes 15 min     .../catalog/template.yaml:222
      assumed  the image of app can't be told (...)                .../catalog/template.yaml:110
      around   a registry with ...
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import yaml
from rich.console import Console
from rich.text import Text

from rehearsal.default_actors import HEALTHY, MANNERS, fitting, parts, replaced, scenario_of
from rehearsal.document import DocumentError
from rehearsal.from_template import Reading, read
from rehearsal.scenario import Scenario, nearest
from rehearsal.template_services import NotInTemplateError

ALL = "all"
_STYLES = {"read": "green", "assumed": "yellow", "around": "cyan"}


def scenarios_of_template(
    file: Path,
    service: str | None,
    *,
    parameters: Mapping[str, str],
    green: Sequence[str],
    save: Path | None,
) -> list[Scenario]:
    """Read a service and print how it was understood; returns a scenario for each way that green is.

    With *save*, the scenario is written to a file.

    Raises
    ------
    DocumentError
        When there is no such service, or nothing about it can tell a green like that.

    """
    try:
        reading = read(file, service, parameters=parameters)
    except NotInTemplateError as error:
        option = {"service": "--service", "parameters": "--parameter"}[error.key]
        raise DocumentError(f"{error.where.file}:{error.where.line}: {option}: {error}") from error
    manners = _manners(reading, green)
    scenarios = [scenario_of(reading, manner) for manner in manners]
    played = [part.words for manner in manners for part in parts(reading, manner)]
    _introduce(reading, list(dict.fromkeys(played)))
    if save:
        if len(scenarios) > 1:
            raise DocumentError(f"{save}: a file has one scenario; name one --green")
        _write(scenarios[0], reading, file, parameters, save)
    return scenarios


def _manners(reading: Reading, asked: Iterable[str]) -> list[str]:
    possible = fitting(reading)
    manners: list[str] = []
    for manner in asked:
        if manner == ALL:
            manners += possible
        elif manner in possible:
            manners.append(manner)
        elif manner in MANNERS:
            raise DocumentError(
                f"--green {manner}: nothing about {reading.name} can tell; it can be {', '.join(possible)}"
            )
        else:
            hint = nearest(manner, possible) or f"; it can be {', '.join((*possible, ALL))}"
            raise DocumentError(f"--green {manner}: there is no such way{hint}")
    return list(dict.fromkeys(manners)) or [HEALTHY]


def _introduce(reading: Reading, played: Iterable[str]) -> None:
    console = Console(soft_wrap=True, highlight=False)
    service = reading.service
    place = f"{reading.where.file}:{reading.where.line}"
    console.print(Text(f"{service.name} in {service.cluster}, as {place} has it", style="bold"))
    for kind in ("read", "assumed"):
        for note in reading.notes:
            if note.kind == kind:
                _line(console, kind, note.text, f"{note.where.file}:{note.where.line}")
    for words in played:
        _line(console, "around", words)
    console.print()


def _line(console: Console, kind: str, text: str, place: str = "") -> None:
    line = Text(f"  {kind:<8} ", style=_STYLES[kind])
    line.append(text, style="default")
    if place:
        line.append(f"  {place}", style="bright_black")
    console.print(line)


def _write(
    scenario: Scenario, reading: Reading, template: Path, parameters: Mapping[str, str], file: Path
) -> None:
    """Write a scenario that says the same, and can be changed."""
    source = {
        "file": os.path.relpath(template, file.parent),
        "service": reading.name,
        **({"parameters": dict(parameters)} if parameters else {}),
        **replaced(reading),
    }
    expected = scenario.expect.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    document = {
        "description": scenario.description,
        "template": source,
        "actors": list(scenario.actors),
        "expect": expected,
    }
    try:
        file.write_text(yaml.safe_dump(document, sort_keys=False, width=110), encoding="utf-8")
    except OSError as error:
        raise DocumentError(f"{file}: {error.strerror}") from error

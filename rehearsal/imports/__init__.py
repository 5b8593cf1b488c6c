"""``rehearse import``: other systems' canary configurations as settings of the canary comparison hook.

Nothing is dropped without a word: a key is translated, or there is a note on it, with its line.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from pydantic import BaseModel, ValidationError

from rehearsal.check.hooks import known_hooks
from rehearsal.document import MAX_BYTES, Document, DocumentError
from rehearsal.imports import argo_analysis, kayenta_config
from rehearsal.imports.reading import Imported, Note

EXIT_TRANSLATED, EXIT_NOTHING_TRANSLATED = 0, 1

HOOK = "canary_comparison"

_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9 _.:/%-]+")
MAX_NAME_LENGTH = 64


def run(
    file: str,
    *,
    arguments: Mapping[str, str],
    json_output: bool,
    output: Path | None,
    stdout: TextIO,
    stderr: TextIO,
) -> int:
    """Translate a file and print the settings, with notes on what does not carry over.

    Returns
    -------
    int
        The exit code: 0, or 1 when nothing could be translated.

    Raises
    ------
    DocumentError
        The file can't be read, or is nothing that can be imported.

    """
    settings, notes = translated(file, arguments)
    document: dict[str, Any] | None = settings
    if json_output:
        listed = [
            {"file": note.file, "line": note.line, "key": note.key, "note": note.text} for note in notes
        ]
        document = {"settings": settings, "notes": listed}
    if document is not None:
        text = json.dumps(document, indent=2) + "\n"
        if output is None:
            stdout.write(text)
        else:
            _write(output, text)
    if not json_output:
        stderr.writelines(f"{note}\n" for note in notes)
        if settings is None:
            stderr.write(f"{file}: nothing could be translated\n")
    return EXIT_NOTHING_TRANSLATED if settings is None else EXIT_TRANSLATED


def translated(file: str, arguments: Mapping[str, str]) -> tuple[dict[str, Any] | None, list[Note]]:
    """Return the settings, ``None`` where there is no metric in them, and the notes in order of lines."""
    documents = _documents(file)
    first = documents[0].data if documents else None
    if any(argo_analysis.is_argo(document.data) for document in documents):
        imported = argo_analysis.read(documents, arguments)
    elif len(documents) == 1 and kayenta_config.is_kayenta(first):
        if arguments:
            raise DocumentError("--arg: a canary config has no arguments")
        imported = kayenta_config.read(documents[0])
    else:
        raise DocumentError(f"{file}: neither a Kayenta canary config nor an Argo AnalysisTemplate")
    return _settings(imported), sorted(dict.fromkeys(imported.notes))


def _documents(file: str) -> list[Document]:
    """Read a file that may hold several documents, each with its lines as they are in the file."""
    text = _text(file)
    documents = []
    chunk: list[str] = []
    start = 0
    lines = text.splitlines(keepends=True)
    for number, line in enumerate([*lines, "---\n"]):
        # At the start of a line these end a document wherever they stand, in block text too.
        if re.match(r"---(\s|$)", line):
            parsed = Document.parse("\n" * start + "".join(chunk), file)
            if parsed.data is not None:
                documents.append(parsed)
            chunk, start = [], number + 1
        else:
            chunk.append(line)
    return documents


def _text(file: str) -> str:
    path = Path(file)
    try:
        if path.exists() and not path.is_file():
            raise DocumentError(f"{file}: not a file")
        if path.stat().st_size > MAX_BYTES:
            raise DocumentError(f"{file}: larger than {MAX_BYTES} bytes")
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise DocumentError(f"{file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DocumentError(f"{file}: not UTF-8 text") from error


def _settings(imported: Imported) -> dict[str, Any] | None:
    """Name the metrics, leave out what the hook itself would refuse, and note both."""
    metrics: list[dict[str, Any]] = []
    for metric, part in imported.metrics:
        named = {**metric, "name": _name(metric["name"], [other["name"] for other in metrics])}
        same = next(
            (
                other["name"]
                for other in metrics
                if {**other, "name": "", "weight": 0} == {**named, "name": "", "weight": 0}
            ),
            None,
        )
        if same is not None:
            part.note("", f"left out: it is the same as {same!r} here")
            continue
        if refused := _refused({**imported.settings, "metrics": [{**named, "observe": False}]}):
            part.note("", f"not translated: {refused}")
            continue
        if named["name"] != metric["name"]:
            part.note("name", f"it is called {named['name']!r} here")
        metrics.append(named)
    if not metrics:
        return None
    settings = {"metrics": metrics, **imported.settings}
    if refused := _refused(settings):
        imported.metrics[0][1].note("", f"the settings would be refused: {refused}")
        return None
    return settings


def _name(given: str, taken: list[str]) -> str:
    name = " ".join(_NOT_IN_A_NAME.sub(" ", given).split())
    if not re.match(r"[A-Za-z]", name):
        name = f"metric {name}".strip()
    found, number = name[:MAX_NAME_LENGTH], 1
    while found in taken:
        number += 1
        found = f"{name[: MAX_NAME_LENGTH - 4]} {number}"
    return found


def _model() -> type[BaseModel] | None:
    hook = known_hooks().get(HOOK)
    return None if hook is None else hook.settings


def _refused(settings: Mapping[str, Any]) -> str:
    """Return why the hook would refuse settings; nothing where it would not."""
    model = _model()
    if model is None:
        return ""
    try:
        model.model_validate(settings)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(step) for step in first["loc"] if isinstance(step, str))
        return f"{where}{': ' if where else ''}{first['msg'].removeprefix('Value error, ')}"
    return ""


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise DocumentError(f"{file}: {error.strerror}") from error

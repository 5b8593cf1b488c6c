"""Computing a decision record's verdict again, from the record alone."""

import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from rehearsal import functions
from rehearsal.document import DocumentError
from shared.errors import Misconfigured
from shared.record import LOG_KEY, SCHEMA_VERSION, canonical

# A record holds at most a parameter's hundred versions of 4 KB; a file may hold a rehearsal's thousands.
MAX_BYTES = 64_000_000


def replay(file: Path, out: TextIO) -> bool:
    """Replay every record in *file*, say how each came out, and tell whether all came out the same.

    Raises
    ------
    DocumentError
        When the file is unreadable or holds no decision record.
    """
    records = list(_records(_read(file)))
    if not records:
        raise DocumentError(f"{file}: no decision record in it")
    same = True
    for record in records:
        name = f"{record.get('hook')} {record.get('at')} {record.get('stage')}"
        recorded = canonical(record.get("verdict"))
        hook = _hook(str(record.get("hook")))
        if hook is None or record["schema"] != SCHEMA_VERSION:
            raise DocumentError(
                f"{file}: {name}: not a record of this version's hooks, of schema {SCHEMA_VERSION}"
            )
        try:
            verdict = hook.replay(record)
        except Misconfigured as error:
            # Nothing to compute: the request was just made, or the settings were unreadable.
            print(f"—  {name}: {record.get('verdict', {}).get('answer')}; {error}", file=out)
            continue
        except (
            *(ArithmeticError, AssertionError, AttributeError, LookupError),
            *(StopIteration, TypeError, ValueError),
        ) as error:
            raise DocumentError(
                f"{file}: {name}: not a whole record: {type(error).__name__}: {error}"
            ) from error
        again, told = canonical(verdict), _told(verdict, record)
        if again == recorded and record.get("reply") == told:
            print(f"✓  {name}: {recorded}", file=out)
        else:
            same = False
            indent = " " * (len(name) + 5)
            print(f"✗  {name}: recorded {recorded}, told ECS {record.get('reply')}", file=out)
            print(f"{indent}computed {again}, which is {told}", file=out)
    return same


def _told(verdict: dict[str, Any], record: dict[str, Any]) -> str:
    """Return what ECS must have been told; observe mode turns a refusal round."""
    answers = {"proceed": "SUCCEEDED", "wait": "IN_PROGRESS", "refuse": "FAILED"}
    refused = verdict["answer"] == "refuse"
    return "SUCCEEDED" if refused and record.get("wouldRefuse") else answers[verdict["answer"]]


def _hook(name: str) -> Any:
    known = functions.hooks(functions.deployed())
    if name not in known:
        return None
    module, attribute = known[name].handler.rsplit(".", 1)
    return getattr(importlib.import_module(module), attribute)


def _read(file: Path) -> list[Any]:
    """Read one JSON document, or one on each line with other lines between them, as logs have it."""
    try:
        if file.stat().st_size > MAX_BYTES:
            raise DocumentError(f"{file}: larger than {MAX_BYTES} bytes")
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise DocumentError(f"{file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DocumentError(f"{file}: not UTF-8 text") from error
    try:
        return [json.loads(text)]
    except (ValueError, RecursionError):
        return [document for line in text.splitlines() if (document := _document(line)) is not None]


def _document(line: str) -> Any:
    start = line.find("{")
    try:
        return json.loads(line[start:]) if start >= 0 else None
    except (ValueError, RecursionError):
        return None


def _records(value: Any) -> Iterator[dict[str, Any]]:
    """Yield the records in a document, however deep: a record, a log line, outcomes of rehearsals."""
    remaining = [value]
    while remaining:
        match remaining.pop(0):
            case {"schema": int(), "hook": str(), "verdict": dict()} as record:
                yield record
            case {"decision_record": dict() as record}:
                remaining.append(record)
            case dict() as document:
                remaining.extend(inner for inner in document.values() if isinstance(inner, dict | list))
            case list() as documents:
                remaining.extend(documents)


assert LOG_KEY == "decision_record"  # the pattern above spells it out

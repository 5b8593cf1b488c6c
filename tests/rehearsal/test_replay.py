"""A verdict follows from its record alone, byte for byte."""

import contextlib
import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from rehearsal.document import DocumentError
from rehearsal.outcome import Outcome
from rehearsal.replay import replay

from .conftest import Tour

Record = dict[str, Any]


@pytest.fixture(scope="module")
def records(tour: Tour) -> list[Record]:
    return [call.record for outcome in tour.outcomes.values() for call in outcome.calls if call.record]


@pytest.fixture
def decided(records: list[Record]) -> Record:
    """Return the record of an approval, to be tampered with."""
    record = next(
        record
        for record in records
        if record["hook"] == "manual_approval"
        and record["inputs"]
        and record["verdict"]["answer"] == "proceed"
    )
    copied: Record = json.loads(json.dumps(record))
    return copied


def replayed(file: Path) -> tuple[bool, list[str]]:
    out = io.StringIO()
    same = replay(file, out)
    return same, out.getvalue().splitlines()


def test_every_record_of_the_tour_replays_to_the_byte(tour: Tour, tmp_path: Path) -> None:
    file = tmp_path / "tour.json"
    file.write_bytes(TypeAdapter(list[Outcome]).dump_json(list(tour.outcomes.values()), indent=1))

    same, lines = replayed(file)

    assert same
    assert {line[0] for line in lines} == {"✓", "—"}
    assert sum(line[0] == "✓" for line in lines) >= 12


def test_a_record_alone_replays_as_s3_keeps_it(records: list[Record], tmp_path: Path) -> None:
    file = tmp_path / "record.json"
    for record in records:
        file.write_text(json.dumps(record))
        same, (line,) = replayed(file)

        assert same
        assert line[0] == ("✓" if record["inputs"] else "—")
        assert record["stage"] in line


def test_log_lines_are_searched_for_records(decided: Record, tmp_path: Path) -> None:
    file = tmp_path / "log.txt"
    entry = json.dumps({"level": "INFO", "message": "decision record", "decision_record": decided})
    file.write_text(f"START RequestId: 1\n{entry}\n2026-03-02T09:00:00Z {entry}\n{{not JSON\nEND\n")

    same, lines = replayed(file)

    assert same
    assert [line[0] for line in lines] == ["✓", "✓"]


TAMPERINGS: Mapping[str, Callable[[Record], object]] = {
    "another answer": lambda record: record["verdict"].update(answer="refuse"),
    "another reason": lambda record: record["verdict"].update(reason="approved by somebody else"),
    "one more key": lambda record: record["verdict"].update(note="x"),
    "no verdict to speak of": lambda record: record["verdict"].clear(),
    "another vote": lambda record: record["inputs"]["history"][-1].update(text="REJECTED"),
    "another voter": lambda record: record["inputs"]["history"][-1].update(
        by="arn:aws:sts::1:assumed-role/x/y"
    ),
    "more required": lambda record: record["inputs"]["rules"].update(requiredApprovals=9),
}


@pytest.mark.parametrize("tamper", TAMPERINGS.values(), ids=TAMPERINGS)
def test_a_record_that_was_tampered_with_is_found(
    decided: Record, tmp_path: Path, tamper: Callable[[Record], object]
) -> None:
    file = tmp_path / "record.json"
    tamper(decided)
    file.write_text(json.dumps(decided))

    same, (line, computed) = replayed(file)

    assert not same
    assert line.startswith("✗  manual_approval ")
    assert "recorded" in line
    assert "computed" in computed


def test_one_bad_record_among_good_ones_is_enough(
    records: list[Record], decided: Record, tmp_path: Path
) -> None:
    file = tmp_path / "records.json"
    decided["verdict"]["answer"] = "refuse"
    file.write_text(json.dumps([*records, decided]))

    same, lines = replayed(file)

    assert not same
    assert [line[0] for line in lines].count("✗") == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no decision record in it"),
        (b"{}", "no decision record in it"),
        (b"[[[1]]]", "no decision record in it"),
        (b"null", "no decision record in it"),
        (b"not JSON at all\n{neither\n", "no decision record in it"),
        (b"[" * 100_000, "no decision record in it"),
        (b"\xff\xfe\x00", "not UTF-8 text"),
        (b'{"schema": 1, "hook": "nobody", "verdict": {}}', "not a record of this version's hooks"),
        (b'{"schema": 99, "hook": "manual_approval", "verdict": {}}', "not a record of this version's hooks"),
        (
            b'{"schema": 1, "hook": "manual_approval", "verdict": {}, "inputs": {"a": 1}}',
            "not a whole record",
        ),
        (b'{"schema": 1, "hook": "manual_approval", "verdict": {}, "inputs": [1]}', "not a whole record"),
    ],
    ids=lambda value: repr(value)[:50],
)
def test_what_holds_no_record_is_refused_in_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "record.json"
    file.write_bytes(content)

    with pytest.raises(DocumentError, match=message) as caught:
        replayed(file)
    assert str(caught.value).startswith(f"{file}: ")
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match="No such file or directory"):
        replayed(tmp_path / "none.json")
    with pytest.raises(DocumentError, match="Is a directory"):
        replayed(tmp_path)


def paths(value: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [above, *(path for key, item in inner for path in paths(item, (*above, key)))]


WRONG = [None, True, -1, 1e300, 10**30, "", "x", "9999-12-31T23:59:59+00:00", [], {}, [[]], {"a": 1}]


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 10**6), st.sampled_from(WRONG))
def test_whatever_stands_in_a_record_it_is_replayed_or_refused(
    records: list[Record], tmp_path_factory: pytest.TempPathFactory, which: int, where: int, wrong: Any
) -> None:
    decided = [one for one in records if one["inputs"]]
    record = json.loads(json.dumps(decided[which % len(decided)]))
    places = [path for path in paths(record["inputs"]) if path]
    *above, last = places[where % len(places)]
    holder = record["inputs"]
    for key in above:
        holder = holder[key]
    holder[last] = wrong
    file = tmp_path_factory.mktemp("record") / "record.json"
    file.write_text(json.dumps(record))

    with contextlib.suppress(DocumentError):
        replay(file, io.StringIO())

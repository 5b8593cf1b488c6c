"""The HTML report: complete, self-contained, safe, and sensible to machines that read it aloud."""

import html.parser
import json
import math
import re
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from rehearsal.outcome import Check, Happening, HookCalled, Outcome
from rehearsal.report.decisions import charts, rows, tables
from rehearsal.report.lanes import diagram
from rehearsal.report.page import MAX_IN_DETAIL, page, write_page
from rehearsal.report.timeline import Timeline
from shared.exhibits import Table, y_marks
from tests.rehearsal.report import samples
from tests.rehearsal.report.test_report_timeline import drawn, plain

VOID = {"meta", "link", "br", "hr", "img", "input", "col"}


class Reader(html.parser.HTMLParser):
    """Reads a page, insisting that every element is closed where it should be."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def tour() -> Reader:
    return Reader(page(samples.tour()))


def test_it_asks_the_network_for_nothing() -> None:
    text = page(samples.tour())
    reader = Reader(text)

    assert not {"script", "link", "img", "iframe", "object", "embed", "form"} & {
        tag for tag, _ in reader.elements
    }
    for tag, attributes in reader.elements:
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, name)
            if name in {"src", "href", "xlink:href", "srcset", "data", "action"}:
                assert (value or "").startswith("#"), (tag, name, value)
    assert "url(" not in text
    assert "@import" not in text
    assert {
        "http-equiv": "Content-Security-Policy",
        "content": "default-src 'none'; style-src 'unsafe-inline'",
    } in (reader.all("meta"))


def test_hostile_text_is_text() -> None:
    text = page([samples.rejected()])

    assert "<script" not in text
    assert "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;" in text
    assert "{{ 7*7 }}" in text
    assert "\x1b" not in text
    assert "\u202e" not in text


def test_it_reads_well_aloud(tour: Reader) -> None:
    assert tour.all("html") == [{"lang": "en"}]
    assert len(tour.all("h1")) == 1
    assert len(tour.all("main")) == 1
    assert tour.all("title")
    ids = [attributes["id"] for _, attributes in tour.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for attributes in tour.all("svg"):
        if attributes.get("role") == "img":
            named = attributes.get("aria-label") or attributes.get("aria-labelledby")
            assert named
            if "aria-labelledby" in attributes:
                assert set((attributes["aria-labelledby"] or "").split()) <= set(ids)
    for attributes in tour.all("th"):
        assert attributes.get("scope") in {"col", "row", "rowgroup"}
    for attributes in tour.all("a"):
        assert (attributes["href"] or "").removeprefix("#") in ids


def test_every_scenario_is_listed_and_told(tour: Reader) -> None:
    text = " ".join(tour.text)
    for outcome in samples.tour():
        assert text.count(outcome.scenario) >= 2
    assert len(tour.all("article")) == len(samples.tour())
    assert "green's p99 latency is 1.42 times blue's, at most 1.20 is allowed" in text
    assert "answered after 16 m 02 s" in text
    assert "nothing expected" in text


def test_a_page_of_nothing_is_a_page() -> None:
    assert "As expected" in page([])


def test_a_thousand_runs_are_listed_and_the_surprising_ones_told() -> None:
    runs = [samples.empty() for _ in range(MAX_IN_DETAIL + 5)] + [samples.canary_refused()]
    reader = Reader(page(runs))

    assert len(reader.all("article")) == MAX_IN_DETAIL
    assert {"id": f"scenario-{len(runs)}", "class": "card", "aria-labelledby": f"scenario-{len(runs)}-h"} in (
        reader.all("article")
    )


def test_the_file_is_the_same_each_time(tmp_path: Path) -> None:
    write_page(samples.tour(), tmp_path / "new" / "report.html")

    assert (tmp_path / "new" / "report.html").read_text(encoding="utf-8") == page(samples.tour())


def test_a_day_and_half_a_minute_both_get_a_readable_axis() -> None:
    script = samples.Script()
    script.stage("PRE_SCALE_UP")
    script.wait(30)
    half_a_minute = page([script.outcome("short", "", "BLUE_GREEN", "SUCCESSFUL")])

    def labels(text: str) -> list[str]:
        return re.findall(r'<text class="axis"[^>]*>([^<]*)</text>', text)

    assert labels(half_a_minute) == [
        *("0", "5 s", "10 s", "15 s", "20 s", "25 s", "30 s"),
        *("0", "10 s", "20 s", "30 s"),
    ]
    assert labels(page([samples.linear()])) == [
        *("0", "3 h", "6 h", "9 h", "12 h", "15 h", "18 h", "21 h", "24 h", "27 h"),
        *("0", "12 h", "24 h"),
    ]


def test_what_happens_after_the_end_does_not_squeeze_the_deployment() -> None:
    script = samples.Script()
    script.stage("PRE_SCALE_UP")
    script.wait(600)
    script.status("SUCCESSFUL")
    outcome = script.outcome("swept", "", "BLUE_GREEN", "SUCCESSFUL")
    script.wait(86_400)
    script.actor("sweeper", "removes 1 request")
    swept = outcome.model_copy(update={"happenings": script.happenings})

    assert [(lane.label, [mark.x for mark in lane.marks]) for lane in diagram(swept).lanes] == [
        ("status", [100.0]),
        ("stages", []),
        ("sweeper", [100.0]),
    ]


def test_a_rollback_before_any_shift_shows_that_blue_kept_production() -> None:
    script = samples.Script()
    script.status("ROLLBACK_IN_PROGRESS")
    script.wait(30)
    script.status("ROLLBACK_SUCCESSFUL")
    lanes = diagram(script.outcome("early", "", "BLUE_GREEN", "ROLLBACK_SUCCESSFUL")).lanes

    (production,) = [lane for lane in lanes if lane.kind == "production"]
    assert [(one.x, one.width, one.kind, one.level) for one in production.segments] == [
        (0.0, 100.0, "blue", 100.0)
    ]


STARTED = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    "times",
    [
        [0, 60, 120],
        [STARTED.timestamp(), STARTED.timestamp() + 60, STARTED.timestamp() + 120],
        ["2026-11-23T09:00:00Z", "2026-11-23T09:01:00+00:00", "2026-11-23T09:02:00"],
    ],
    ids=["seconds", "epoch", "iso-8601"],
)
def test_a_chart_reads_time_however_it_is_written(times: list[Any]) -> None:
    points = [[at, value] for at, value in zip(times, (1.0, 2.0, 4.0), strict=True)]
    (chart,) = charts(
        {"charts": [{"title": "t", "unit": "ms", "series": [{"name": "green", "points": points}]}]}, STARTED
    )

    assert [line.points for line in chart.lines] == [[(0.0, 75.0), (50.0, 50.0), (100.0, 0.0)]]
    assert chart.summary == "t: green from 1 ms to 4 ms"


def test_a_chart_across_percentiles_gives_each_nine_the_same_room() -> None:
    points = [[99, 90], [0, 10], [90, 40], [95, 60], [99.9, 110], [100, 5000], ["99", 1], [-1, 1]]
    (chart,) = charts(
        {"charts": [{"across": "percentile", "unit": "ms", "series": [{"name": "green", "points": points}]}]},
        STARTED,
    )

    assert [(round(x, 1), y) for x, y in chart.lines[0].points] == [
        (0.0, 93.333),
        (33.3, 73.333),
        (43.4, 60.0),
        (66.7, 40.0),
        (100.0, 26.667),
    ]
    assert [(round(x, 1), label) for x, label in chart.x_ticks] == [
        (0.0, "0 %"),
        (10.0, "50 %"),
        (33.3, "90 %"),
        (66.7, "99 %"),
        (100.0, "99.9 %"),
    ]
    assert chart.lines[0].told == "95 % within 60 ms"


@pytest.mark.parametrize(
    ("across", "points", "told"),
    [
        ("percentile", [[50, 10], [90, 40]], "at most 40 ms"),
        ("percentile", [[95, 40], [99, 50]], "95 % within 40 ms"),
        (None, [[0, 10], [95, 40]], "last 40 ms"),
    ],
)
def test_a_line_is_told_by_its_last_value_or_the_percentile_that_is_spoken_of(
    across: str | None, points: list[list[float]], told: str
) -> None:
    drawn = {"across": across, "unit": "ms", "series": [{"name": "green", "points": points}]}
    (chart,) = charts({"charts": [drawn]}, STARTED)

    assert [line.told for line in chart.lines] == [told]


@pytest.mark.parametrize(
    "found",
    [
        None,
        "x",
        [{"across": "percentile", "series": [{"points": [[100, 1], [-1, 1], [True, 1], ["x", 1]]}]}],
        [None],
        [{"series": "x"}],
        [{"series": [{"points": [[1], [1, "x"], ["x", 1], [True, None], [1, math.nan], [1, 10**400]]}]}],
    ],
)
def test_what_is_no_chart_is_left_alone(found: Any) -> None:
    assert charts({"charts": found}, STARTED) == []


def test_a_table_is_drawn_with_the_tones_of_its_words() -> None:
    record = {
        "tables": [
            {
                "title": "Containers",
                "columns": ["container", "verdict"],
                "rows": [["web", "deny"], ["log", "pass"], ["too", "many", "cells"], "no row"],
            }
        ]
    }

    assert tables(record) == [
        Table(
            "Containers",
            ["container", "verdict"],
            [[("web", ""), ("deny", "bad")], [("log", ""), ("pass", "good")]],
            left_out=2,
        )
    ]


@pytest.mark.parametrize(
    "found",
    [
        None,
        "x",
        [None],
        [{}],
        [{"columns": [], "rows": []}],
        [{"columns": ["a"]}],
        [{"columns": 9 * ["a"], "rows": []}],
    ],
)
def test_what_is_no_table_is_left_alone(found: Any) -> None:
    assert tables({"tables": found}) == []


def test_nested_numbers_are_rows_below_their_heading() -> None:
    record = {
        "hook": "said above",
        "verdict": {"answer": "proceed", "reason": "said above"},
        "limits": {"p99Ms": 200, "p99_ms": 201, "deep": {"a": [1, 2.5]}},
        "seen": [{"a": 1, "b": None}, {"text": "long " * 40}],
        "inputs": {},
        "ok": True,
    }

    assert [(row.depth, row.key, row.value) for row in rows(record)] == [
        (0, "inputs", "none"),
        (0, "limits", None),
        (1, "p99 ms", "200"),
        (1, "p99 ms", "201"),
        (1, "deep", None),
        (2, "a", "1, 2.5"),
        (0, "seen", None),
        (1, "1", "a 1 · b none"),
        (1, "2", None),
        (2, "text", ("long " * 40).strip()),
        (0, "ok", "yes"),
    ]


def test_a_list_that_goes_on_and_on_is_one_row() -> None:
    record = {"histogram": {"count": 20, "counts": [[bucket, 1] for bucket in range(20)]}, "few": [[1, 2]]}

    assert [(row.depth, row.key, row.value) for row in rows(record)] == [
        (0, "histogram", None),
        (1, "count", "20"),
        (1, "counts", None),
        (2, "…", "20 entries in the raw record"),
        (0, "few", None),
        (1, "1", "1, 2"),
    ]


@given(st.floats(-1e15, 1e15), st.floats(-1e15, 1e15))
def test_an_axis_holds_its_values(one: float, other: float) -> None:
    low, high = sorted((one, other))
    marks = y_marks(low, high)

    assert 2 <= len(marks) <= 8
    assert all(before < after for before, after in pairwise(marks))
    tolerance = max(abs(low), abs(high)) * 1e-9
    assert marks[0] <= low + tolerance
    assert marks[-1] >= high - tolerance


# Anything goes: the report is what one looks at when everything else went wrong.
_text = st.text(max_size=30) | st.just(samples.HOSTILE)
_at = st.floats()
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_text, inner, max_size=3),
    max_leaves=8,
)
_points = st.lists(st.lists(st.floats() | st.integers() | _text, max_size=3), max_size=4)
_series = st.fixed_dictionaries({"name": _json, "points": _points})
_chart = st.fixed_dictionaries(
    {"series": st.lists(_series, max_size=2)},
    optional={
        "across": st.just("percentile") | _json,
        "title": _json,
        "unit": _json,
        "thresholds": st.lists(
            st.fixed_dictionaries({"name": _json, "value": st.floats() | _json}), max_size=2
        ),
    },
)
_record = (
    st.none()
    | st.dictionaries(_text, _json, max_size=3)
    | st.fixed_dictionaries({"charts": st.lists(_chart)})
    | st.fixed_dictionaries({"tables": st.lists(_json, max_size=3)})
)
_stage = (
    st.sampled_from(["PRE_SCALE_UP", "PRODUCTION_TRAFFIC_SHIFT", "TEST_TRAFFIC_SHIFT", "BAKE_TIME"]) | _text
)
_step = st.none() | st.floats(0, 100) | st.floats()
_deployment = st.sampled_from(["a", "b"]) | _text
_happening = st.one_of(
    st.fixed_dictionaries(
        {
            "kind": st.just("stage"),
            "at": _at,
            "deployment": _deployment,
            "stage": _stage,
            "step": _step,
            "rollback": st.booleans(),
        }
    ),
    st.fixed_dictionaries(
        {
            "kind": st.just("call"),
            "at": _at,
            "deployment": _deployment,
            "hook": _text,
            "stage": _stage,
            "step": _step,
            "rollback": st.booleans(),
            "attempt": st.integers(),
            "event": st.dictionaries(_text, _json, max_size=2),
            "reply": _json,
            "error": st.none() | _text,
            "answer": st.sampled_from(["SUCCEEDED", "FAILED", "IN_PROGRESS", "INVALID"]),
            "callback_seconds": st.none() | st.integers(),
            "record": _record,
        }
    ),
    st.fixed_dictionaries(
        {
            "kind": st.just("pause"),
            "at": _at,
            "deployment": _deployment,
            "hook_id": _text,
            "stage": _stage,
            "step": _step,
            "status": st.sampled_from(["AWAITING_ACTION", "SUCCEEDED", "TIMED_OUT"]) | _text,
        }
    ),
    st.fixed_dictionaries(
        {
            "kind": st.just("weights"),
            "at": _at,
            "deployment": _deployment,
            "route": st.sampled_from(["test", "production"]),
            "green": st.floats(),
            "blue": st.floats(),
        }
    ),
    st.fixed_dictionaries(
        {
            "kind": st.just("status"),
            "at": _at,
            "deployment": _deployment,
            "status": st.sampled_from(
                ["PENDING", "IN_PROGRESS", "STOPPED", "ROLLBACK_IN_PROGRESS", "SUCCESSFUL"]
            )
            | _text,
            "reason": st.none() | _text,
        }
    ),
    st.fixed_dictionaries({"kind": st.just("actor"), "at": _at, "actor": _text, "text": _text}),
)
_adapter: TypeAdapter[Happening] = TypeAdapter(Happening)
_outcome = st.builds(
    Outcome,
    scenario=_text,
    description=_text,
    seed=st.integers(),
    switches=st.dictionaries(_text, _text, max_size=2),
    started_at=st.datetimes(timezones=st.just(UTC)),
    duration_seconds=_at,
    service=_text,
    strategy=st.sampled_from(["BLUE_GREEN", "CANARY", "LINEAR", "ROLLING"]) | _text,
    exposure=_text,
    happenings=st.lists(_happening.map(_adapter.validate_python), max_size=8),
    status=_text,
    status_reason=st.none() | _text,
    checks=st.lists(st.builds(Check, text=_text, held=st.booleans(), seen=_text), max_size=3),
)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(_outcome, max_size=3))
def test_any_outcome_renders(outcomes: list[Outcome]) -> None:
    text = page(outcomes)

    text.encode("utf-8")
    assert not Reader(text).all("script")
    assert "\x1b" not in text
    assert "\x1b" not in plain(*outcomes)
    assert "\x1b" not in "".join(drawn(*outcomes))


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(_outcome, min_size=1, max_size=3))
def test_any_outcome_can_be_repeated(outcomes: list[Outcome]) -> None:
    def repeat(timeline: Timeline, outcome: Outcome) -> None:
        timeline.repeat_started(1)
        timeline.repeat_advanced(outcome)
        timeline.repeat_ended()

    assert plain(*outcomes, show=repeat)


def test_a_surrogate_in_a_record_does_not_stop_the_report() -> None:
    script = samples.Script()
    record = json.loads('{"verdict": {"reason": "\\ud800"}, "numbers": {"\\ud800": "\\ud800"}}')
    script.call("image_trust", "PRE_SCALE_UP", "FAILED", record=record)
    outcome = script.outcome("surrogate", "", "BLUE_GREEN", "ROLLBACK_SUCCESSFUL")

    assert isinstance(outcome.happenings[0], HookCalled)
    page([outcome]).encode("utf-8")
    plain(outcome).encode("utf-8")

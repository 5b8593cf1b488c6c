"""What a generator writes is what the hook reads, and nothing else is read at all."""

import json
import math
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from load_generator.histogram import BUCKETS, MAX_MICROSECONDS, Histogram, bucket_of
from load_generator.histogram import highest_of as generators_highest_of
from load_generator.snapshot import MAX_ERROR_KINDS, ArmCounts, Counts, Snapshot
from load_generator.snapshot import Problem as Told
from load_generator.snapshot import State as Stands

from hooks.load_test import measurement
from hooks.load_test.measurement import (
    MAX_BUCKET,
    MAX_BYTES,
    Measurement,
    Problem,
    State,
    UnreadableError,
    highest_of,
    lowest_of,
)
from tests.hooks.load_test.runs import RUN, arm, histogram, measured, snapshot, steady, written
from tests.shared.checkout import START

PERCENTS = (0.5, 1, 25, 50, 75, 90, 95, 99, 99.9, 99.99)

# ------------------------------------------------------------------------------------ histograms


def test_both_sides_have_the_same_buckets() -> None:
    assert [highest_of(bucket) for bucket in range(BUCKETS)] == [
        generators_highest_of(bucket) for bucket in range(BUCKETS)
    ]
    assert BUCKETS <= MAX_BUCKET + 1


def test_every_value_lies_within_its_bucket_and_every_bucket_begins_after_the_one_before() -> None:
    for value in (*range(3000), *(1 << bits for bits in range(32)), MAX_MICROSECONDS):
        assert lowest_of(bucket_of(value)) <= value <= highest_of(bucket_of(value))
    assert all(lowest_of(bucket) == highest_of(bucket - 1) + 1 for bucket in range(1, BUCKETS))
    assert lowest_of(0) == 0


LATENCIES = (
    st.floats(0, 4000) | st.floats(0, 0.5) | st.sampled_from([-1.0, 0.0, 0.000255, 0.000256, 3600, 7200])
)


def read(histogram: Histogram) -> measurement.Histogram:
    return measurement.Histogram.model_validate(json.loads(json.dumps(histogram.write())))


@settings(deadline=None)
@given(st.lists(LATENCIES, max_size=60))
def test_a_histogram_is_read_as_it_was_counted(latencies: list[float]) -> None:
    made = histogram(latencies)
    found = read(made)

    assert (found.count, found.sum_microseconds, found.max_microseconds) == (
        made.count,
        made.total,
        made.highest,
    )
    assert found.counts == tuple((bucket, count) for bucket, count in enumerate(made.counts) if count)
    if latencies:
        assert [found.quantile(percent / 100) for percent in PERCENTS] == [
            made.percentile(percent) for percent in PERCENTS
        ]
        assert found.mean == made.total / made.count / 1_000_000
    again = Histogram.read(json.loads(found.model_dump_json(by_alias=True)))
    assert again.write() == made.write()


@settings(deadline=None)
@given(st.lists(st.floats(0, 100), min_size=1, max_size=60), st.sampled_from(PERCENTS))
def test_a_quantile_is_the_smallest_value_that_so_many_do_not_exceed(
    latencies: list[float], percent: float
) -> None:
    found = read(histogram(latencies)).quantile(percent / 100)
    sorted_latencies = sorted(latencies)
    rank = max(math.ceil(round(percent * len(latencies) / 100, 6)), 1)

    exact = int(sorted_latencies[rank - 1] * 1_000_000)
    assert exact <= round(found * 1_000_000) <= exact * 129 / 128 + 1


def test_a_share_that_binary_fractions_miss_by_a_little_is_not_the_next_rank() -> None:
    made = histogram([0.0001] * 999 + [1.0])

    assert 99.9 / 100 * 1000 > 999
    assert read(made).quantile(99.9 / 100) == made.percentile(99.9) == 0.0001


def test_ranks_begin_with_the_smallest_and_end_in_infinity() -> None:
    found = read(histogram([0.0001, 0.0001, 0.0002]))

    assert [found.at_rank(rank) for rank in (1, 2, 3, 4)] == [0.0001, 0.0001, 0.0002, math.inf]
    assert read(histogram([])).at_rank(1) == math.inf


@pytest.mark.parametrize(
    ("latencies", "mean", "deviation"),
    [
        ([], 0, 0),
        ([0.1], 0.1, 0),
        ([0.0001] * 4, 0.0001, 0),
        ([0.0001, 0.0002, 0.0002, 0.0001], 0.00015, 0.00005774),
    ],
)
def test_mean_and_deviation_are_those_of_the_latencies(
    latencies: list[float], mean: float, deviation: float
) -> None:
    found = read(histogram(latencies))

    assert found.mean == pytest.approx(mean)
    assert found.deviation == pytest.approx(deviation, rel=1e-3)


# ------------------------------------------------------------------------------------ whole runs

WHOLE = st.integers(0, 10**9)
ARMS = st.builds(
    arm,
    latencies=st.lists(st.floats(0, 100), max_size=20),
    errors=st.dictionaries(st.text(max_size=100), st.integers(1, 10**6), max_size=MAX_ERROR_KINDS),
    held=WHOLE,
    misrouted=WHOLE,
    in_flight=WHOLE,
)
POINTS = st.fixed_dictionaries(
    {
        "second": st.integers(0, 10**6),
        "green": st.fixed_dictionaries(
            {"sent": WHOLE, "errors": WHOLE, "p95Milliseconds": st.none() | st.floats(0, 10**6)}
        ),
    }
)
ENDS = st.sampled_from(Stands).flatmap(
    lambda state: st.tuples(
        st.just(state),
        st.just(Told.NONE)
        if state is Stands.FINISHED
        else st.sampled_from([one for one in Told if one is not Told.NONE or state is not Stands.ENDED]),
    )
)


@st.composite
def snapshots(draw: st.DrawFn) -> Snapshot:
    arms = {name: draw(ARMS) for name in draw(st.sampled_from([(), ("green",), ("green", "blue")]))}
    state, problem = draw(ENDS)
    return Snapshot(
        run=RUN,
        state=state,
        problem=problem,
        reason=draw(st.text(max_size=1500)),
        at=draw(st.datetimes(datetime(2020, 1, 2), datetime(2199, 12, 31), timezones=st.just(UTC))),
        elapsed_seconds=draw(st.floats(0, 86_400)),
        due_seconds=draw(st.floats(0, 86_400)),
        workers=(draw(WHOLE), draw(WHOLE), draw(WHOLE)),
        preflight={name: draw(st.none() | st.text(max_size=100)) for name in arms},
        counts=Counts(
            arms,
            histogram(draw(st.lists(st.floats(0, 10), max_size=5))),
            {f"GET /{number}": [number + 1, number] for number in range(draw(st.integers(0, 100)))},
        ),
        due={name: draw(st.floats(0, 10**9)) for name in arms},
        timeline=draw(st.lists(POINTS, max_size=5)),
    )


@settings(max_examples=50, deadline=None)
@given(snapshots())
def test_a_run_is_read_with_the_numbers_that_the_generator_wrote(run: Snapshot) -> None:
    text = written(run)
    found = Measurement.read(text, RUN)

    assert found == Measurement.read(text.encode(), RUN)
    assert found == Measurement.restore(json.loads(json.dumps(found.write())))
    assert (found.state.value, found.problem.value, found.reason) == (
        run.state,
        run.problem,
        run.reason[:1000],
    )
    assert found.at == run.at.replace(microsecond=0)
    assert found.elapsed_seconds == round(run.elapsed_seconds, 3)
    assert found.due_seconds == round(run.due_seconds, 3)
    assert (found.workers.expected, found.workers.reporting, found.workers.lost) == run.workers
    assert found.preflight == run.preflight
    assert found.requests == {name: tuple(pair) for name, pair in run.counts.requests.items()}
    assert found.lag.count == run.counts.lag.count
    assert len(found.timeline) == len(run.timeline)
    for name, counts in run.counts.arms.items():
        one = found.arms[name]  # type: ignore[index]
        assert one.due == round(run.due[name])
        assert one.failed == counts.errors.total()
        assert one.latency.counts == read(counts.latency).counts
        names = ("sent", "held", "answered", "in_flight", "misrouted", "bytes", "errors")
        assert [getattr(one, key) for key in names] == [getattr(counts, key) for key in names]
    assert found.is_over is run.state.is_final
    # And back: what the hook has read is the generator's own document, to the last digit.
    document = json.loads(text)
    for name in ("requests", "lag", "preflight", "workers", "run", "state", "problem", "reason", "at"):
        assert json.loads(json.dumps(found.write()))[name] == document[name]


def test_both_sides_have_the_same_states_and_problems() -> None:
    assert [state.value for state in State] == [state.value for state in Stands]
    assert [problem.value for problem in Problem] == [problem.value for problem in Told]


def test_however_many_workers_there_are_their_errors_are_of_few_kinds() -> None:
    together = ArmCounts()
    for worker in range(10):
        together.add(
            ArmCounts(errors=Counter({f"{worker}/{kind}": 1 for kind in range(MAX_ERROR_KINDS + 1)}))
        )

    assert together.errors.total() == 10 * (MAX_ERROR_KINDS + 1)
    assert len(together.errors) == MAX_ERROR_KINDS + 1


def test_a_run_began_when_its_first_request_was_due() -> None:
    run = measured(arm([0.1]), elapsed_seconds=61.25)

    assert run.began == START - timedelta(seconds=61.25)
    assert (run.green, run.blue) == (run.arms["green"], None)


def test_the_largest_run_that_a_generator_may_tell_of_is_read() -> None:
    everywhere = histogram(generators_highest_of(bucket) / 1_000_000 + 1e-7 for bucket in range(BUCKETS))
    counts = ArmCounts(sent=everywhere.count, answered=everywhere.count, latency=everywhere)
    point = {"sent": 10**6, "errors": 10**6, "p95Milliseconds": 123456.7}
    run = snapshot(
        counts,
        counts,
        timeline=[{"second": second, "green": point, "blue": point} for second in range(300)],
        counts=Counts(
            {"green": counts, "blue": counts},
            everywhere,
            {f"GET /{'x' * 2000}{number}": [10**9, 10**9] for number in range(100)},
        ),
    )

    assert Measurement.read(written(run), RUN).green is not None


def test_what_a_newer_generator_adds_does_no_harm() -> None:
    document = snapshot(arm(steady(200))).write()
    document["engine"] = {"name": "locust", "deep": [[[[{}]]]], "rate": float("nan")}
    document["arms"]["green"]["retries"] = -1
    document["lag"]["unit"] = "µs"

    assert Measurement.read(json.dumps(document), RUN) == measured(arm(steady(200)))


# ------------------------------------------------------------------------------------ what is not read

GOOD = written(snapshot(arm(steady(200), {"status 503": 2}, held=1), arm(steady(40))))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not JSON: ''"),
        ("<html><body>Locust auth exception</body></html>", "not JSON: '<html><body>Locust auth exception"),
        (GOOD[:-1], "not JSON: "),
        (GOOD + "{}", "not JSON: "),
        (b"\xff\xfe\xfa not UTF-8", "not JSON: "),
        (b"{\xc3\x28}", "not JSON: "),
        ("[" * 100_000, "not JSON: "),
        ('{"a":' * 100_000, "not JSON: "),
        ('{"version": ' + "9" * 5000 + "}", "not JSON: "),
        ("null", "it: "),
        ("[]", "it: "),
        ('"progress"', "it: "),
        ("{}", "version: field required"),
        (" " * (MAX_BYTES + 1), f"more than {MAX_BYTES} bytes"),
        (b"x" * (MAX_BYTES + 1), f"more than {MAX_BYTES} bytes"),
    ],
)
def test_what_is_no_measurement_is_not_read(text: str | bytes, said: str) -> None:
    with pytest.raises(UnreadableError) as caught:
        Measurement.read(text, RUN)
    assert str(caught.value).startswith(said)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("version", 2, "version: input should be 1"),
        ("version", "1", "version: input should be 1"),
        ("run", "another-2", "it is about run 'another-2'"),
        ("run", 5, "run: input should be a valid string"),
        ("run", "x" * 201, "run: string should have at most 200"),
        ("state", "done", "state: input should be 'preflight'"),
        ("problem", None, "problem: input should be"),
        ("problem", "lost", "it: value error, it is finished with the problem 'lost'"),
        ("state", "ended", "it: value error, it is ended with the problem ''"),
        ("reason", "x" * 2001, "reason: string should have at most 2000"),
        ("at", "yesterday", "at: "),
        ("at", "2026-03-05T12:00:00", "at: input should have timezone info"),
        ("at", "0001-01-01T00:00:00+23:59", "at: input should be greater than or equal to"),
        ("at", "9999-12-31T23:59:59-23:59", "at: input should be less than"),
        ("at", 0, "at: input should be greater than or equal to"),
        ("at", 1e300, "at: "),
        ("elapsedSeconds", float("nan"), "elapsedSeconds: input should be a finite number"),
        ("elapsedSeconds", float("inf"), "elapsedSeconds: input should be"),
        ("elapsedSeconds", -1, "elapsedSeconds: input should be greater than or equal to 0"),
        ("elapsedSeconds", "300", "elapsedSeconds: input should be a valid number"),
        ("elapsedSeconds", True, "elapsedSeconds: input should be a valid number"),
        ("dueSeconds", 1e9, "dueSeconds: input should be less than or equal to"),
        ("workers.lost", -1, "workers.lost: input should be greater than or equal to 0"),
        ("workers.expected", 2.0, "workers.expected: input should be a valid integer"),
        ("workers", [2, 2, 0], "workers: "),
        ("preflight", {"red": "checkout:7"}, "preflight.red"),
        ("arms", {}, None),
        ("arms.red", {}, "arms.red"),
        ("arms.green", None, "arms.green: "),
        ("arms.green.due", float("nan"), "arms.green.due: "),
        ("arms.green.due", 10**13, "arms.green.due: input should be less than or equal to"),
        ("arms.green.due", 203.0, "arms.green.due: input should be a valid integer"),
        ("arms.green.due", True, "arms.green.due: input should be a valid integer"),
        ("arms.green.due", "203", "arms.green.due: input should be a valid integer"),
        ("arms.green.sent", 201, "arms.green: value error, 201 sent, but they do not add up"),
        ("arms.green.sent", -202, "arms.green.sent: "),
        ("arms.green.inFlight", 1, "arms.green: value error, 202 sent, but they do not add up"),
        ("arms.green.misrouted", 1, "arms.green: value error, 202 sent, but they do not add up"),
        ("arms.green.answered", 201, "arms.green: value error, 201 answers, but 2 errors and 200 latencies"),
        ("arms.green.errors", {"status 503": 1}, "arms.green: value error, 202 answers, but 1 errors"),
        ("arms.green.errors", {"status 503": 3, "x": -1}, "arms.green.errors.x: "),
        ("arms.green.errors", {"x" * 101: 2}, "arms.green.errors."),
        (
            "arms.green.errors",
            {str(n): 0 for n in range(51)},
            "arms.green.errors: dictionary should have at most",
        ),
        (
            "arms.green.latency.count",
            199,
            "arms.green.latency: value error, its buckets hold 200, its count says 199",
        ),
        ("arms.green.latency.maxMicroseconds", 0, "arms.green.latency: value error, its highest is 0"),
        ("arms.green.latency.sumMicroseconds", 0, "arms.green.latency: value error, its buckets make"),
        ("arms.green.latency.sumMicroseconds", 10**12, "arms.green.latency: value error, its buckets make"),
        ("arms.green.latency.sumMicroseconds", 10**400, "arms.green.latency.sumMicroseconds: "),
        (
            "arms.green.latency.counts",
            [[5, 100], [4, 100]],
            "arms.green.latency: value error, buckets are not in order",
        ),
        (
            "arms.green.latency.counts",
            [[5, 100], [5, 100]],
            "arms.green.latency: value error, buckets are not in order",
        ),
        ("arms.green.latency.counts", [[5, 201], [6, -1]], "arms.green.latency.counts.1.1: "),
        ("arms.green.latency.counts", [[5, 200.0]], "arms.green.latency.counts.0.1: "),
        ("arms.green.latency.counts", [[-1, 200]], "arms.green.latency.counts.0.0: "),
        ("arms.green.latency.counts", [[MAX_BUCKET + 1, 200]], "arms.green.latency.counts.0.0: "),
        ("arms.green.latency.counts", [[5]], "arms.green.latency.counts.0.1: field required"),
        ("arms.green.latency.counts", [[5, 200, 0]], "arms.green.latency.counts.0: "),
        ("arms.green.latency.counts", [], "arms.green.latency: value error, its buckets hold 0"),
        (
            "arms.green.latency.counts",
            [[0, 0]] * (MAX_BUCKET + 2),
            "arms.green.latency.counts: tuple should have at",
        ),
        ("arms.green.latency.counts", {"5": 200}, "arms.green.latency.counts: "),
        ("lag", None, "lag: "),
        ("requests", {"GET /": [1]}, "requests.GET /.1: field required"),
        ("requests", {str(n): [0, 0] for n in range(201)}, "requests: dictionary should have at most"),
        ("timeline", [{"second": float("nan"), "green": {"sent": 1, "errors": 0}}], "timeline.0.second: "),
        ("timeline", [{"second": 1, "green": {"sent": -1, "errors": 0}}], "timeline.0.green.sent: "),
        (
            "timeline",
            [{"second": 1, "green": {"sent": 1, "errors": 0}}] * 1001,
            "timeline: tuple should have at most",
        ),
    ],
)
def test_one_number_that_can_t_be_makes_all_of_it_unreadable(path: str, value: Any, said: str | None) -> None:
    document = json.loads(GOOD)
    *way, last = path.split(".")
    part = document
    for key in way:
        part = part[key]
    part[last] = value
    text = json.dumps(document)

    if said is None:
        assert Measurement.read(text, RUN).green is None
        return
    with pytest.raises(UnreadableError) as caught:
        Measurement.read(text, RUN)
    assert str(caught.value).startswith(said)


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just(10**30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


def leaves(document: Any, way: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the way to everything in a document."""
    keys = (
        document if isinstance(document, dict) else range(len(document)) if isinstance(document, list) else ()
    )
    return [way, *(found for key in keys for found in leaves(document[key], (*way, key)))]


SMALL = json.dumps(
    snapshot(
        arm([0.1, 0.2], {"timeout": 1}),
        arm([0.1]),
        timeline=[{"second": 10, "green": {"sent": 3, "errors": 1, "p95Milliseconds": 3.5}}],
        lag=[0.001],
    ).write()
)
WAYS = leaves(json.loads(SMALL))


def mutated(way: tuple[Any, ...], change: Callable[[Any], Any]) -> Any:
    document = json.loads(SMALL)
    if not way:
        return change(document)
    part = document
    for key in way[:-1]:
        part = part[key]
    part[way[-1]] = change(part[way[-1]])
    return document


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(WAYS), JSON)
def test_whatever_stands_anywhere_in_it_a_run_is_read_or_not(way: tuple[Any, ...], value: Any) -> None:
    text = json.dumps(mutated(way, lambda _: value))
    try:
        found = Measurement.read(text, RUN)
    except UnreadableError as error:
        assert len(str(error)) < 2000
    else:
        # And what was read can be worked with.
        assert found.began.tzinfo is not None
        assert Measurement.restore(json.loads(json.dumps(found.write(), allow_nan=False))) == found
        for one in found.arms.values():
            assert one.answered == one.failed + one.latency.count
            assert math.isfinite(one.latency.mean + one.latency.deviation)


@settings(deadline=None)
@given(st.binary(max_size=200) | st.text(max_size=200))
def test_any_bytes_are_read_or_not(text: bytes | str) -> None:
    with pytest.raises(UnreadableError):
        Measurement.read(text, RUN)


@settings(deadline=None)
@given(st.integers(0, len(GOOD) - 1), st.integers(0, 255))
def test_a_byte_that_was_lost_on_the_way_is_read_or_not(place: int, byte: int) -> None:
    damaged = bytearray(GOOD.encode())
    damaged[place] = byte
    for text in (bytes(damaged), bytes(damaged[:place]), bytes(damaged[:place] + damaged[place + 1 :])):
        try:
            Measurement.read(text, RUN)
        except UnreadableError as error:
            assert str(error)

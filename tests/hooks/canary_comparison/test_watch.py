from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hooks.canary_comparison.observation import MINUTE
from hooks.canary_comparison.watch import (
    LONGEST,
    SNAPSHOT_LAG,
    Nothing,
    NotYet,
    Phase,
    Situation,
    Watch,
    plan,
)
from hooks.canary_comparison.window import Window
from shared.lifecycle import WEIGHT_TOLERANCE_PERCENT, Stage

SINCE = datetime(2026, 3, 5, 12, 0, 20, tzinfo=UTC)
STARTED = SINCE - timedelta(hours=2)
HOLD, LEAST = 10 * MINUTE, 5 * MINUTE
BAKE = 3 * MINUTE

CANARY = Situation(
    stage=Stage.PRODUCTION_TRAFFIC_SHIFT,
    strategy="CANARY",
    percents=(5.0, 100.0),
    bake=BAKE,
    weight=5.0,
    served=5.0,
    started=STARTED,
    since=SINCE,
    now=SINCE,
    remembered=None,
)
LINEAR = replace(CANARY, strategy="LINEAR", percents=(25.0, 50.0, 75.0, 100.0), weight=25.0, served=25.0)
BEFORE = Stage.PRE_PRODUCTION_TRAFFIC_SHIFT


def note(minutes: int) -> str:
    return (
        "what earlier steps remembered is not known here: by the deployment's configuration both have served "
        f"for the last {minutes} minutes"
    )


def watched(
    phase: Phase, start: timedelta, end: timedelta, worked_out: str = "", *, step: timedelta | None = None
) -> Watch:
    """Return a watch whose window is from *start* before the step's first call until *end* after it.

    The share that green has now, it got *step* before that call; after a hold that has just begun, at it.
    """
    begun = None if phase is Phase.LOOK_BACK else SINCE - (step or timedelta(0))
    return Watch(phase=phase, window=Window(SINCE - start, SINCE + end), note=worked_out, step=begun)


NONE = timedelta(0)

# ------------------------------------------------------------------------------------ nothing to compare


@pytest.mark.parametrize(
    ("situation", "answer"),
    [
        (
            replace(CANARY, strategy="BLUE_GREEN"),
            Nothing("with BLUE_GREEN, blue and green never share production traffic"),
        ),
        (
            replace(CANARY, strategy="ROLLING"),
            Nothing("with ROLLING, blue and green never share production traffic"),
        ),
        (
            replace(CANARY, percents=(100.0,), weight=100.0, served=100.0),
            Nothing("the only step moves all traffic, so blue and green never share it"),
        ),
        (
            replace(CANARY, percents=()),
            Nothing("the only step moves all traffic, so blue and green never share it"),
        ),
        # Before the first step, and while everything goes back to blue.
        (
            replace(CANARY, stage=BEFORE, weight=0.0, served=0.0),
            Nothing("green has no production traffic yet"),
        ),
        (replace(CANARY, weight=0.009, served=None), Nothing("green has no production traffic yet")),
        (replace(CANARY, weight=0.0, served=5.0), Nothing("green has no production traffic yet")),
    ],
)
def test_there_may_be_nothing_to_compare(situation: Situation, answer: Nothing) -> None:
    assert plan(situation, HOLD, LEAST) == answer


NOT_MOVED = NotYet("ECS has not said yet that this step's traffic has moved")


@pytest.mark.parametrize(
    ("after", "answer"),
    [
        (NONE, NOT_MOVED),
        (SNAPSHOT_LAG - timedelta(seconds=1), NOT_MOVED),
        (
            SNAPSHOT_LAG,
            Nothing(
                "ECS waits for this hook before it moves any traffic to green; the next call can compare"
            ),
        ),
    ],
)
def test_that_ecs_says_green_serves_nothing_may_be_old_news(
    after: timedelta, answer: Nothing | NotYet
) -> None:
    """Either the snapshot lags behind the shift, or ECS only shifts once the hook has answered."""
    assert plan(replace(CANARY, served=0.0, now=SINCE + after), HOLD, LEAST) == answer


def test_where_ecs_does_not_say_what_green_serves_it_is_what_the_event_says() -> None:
    assert plan(replace(CANARY, served=None), HOLD, LEAST) == plan(CANARY, HOLD, LEAST)


# ------------------------------------------------------------------------------------ canary


@pytest.mark.parametrize(
    ("situation", "answer"),
    [
        # The shift comes before the hook: watch the canary, and look back once all is moved.
        (CANARY, watched(Phase.HOLD, NONE, HOLD)),
        (
            replace(CANARY, weight=100.0, served=100.0),
            watched(Phase.LOOK_BACK, LEAST, NONE, note(5)),
        ),
        # At PRE_PRODUCTION_TRAFFIC_SHIFT the event has the weights of before, in which green has baked.
        (
            replace(CANARY, stage=BEFORE),
            watched(Phase.LAST_HOLD, BAKE, HOLD - BAKE, note(3), step=BAKE),
        ),
    ],
)
def test_a_canary_is_watched_beside_blue(situation: Situation, answer: Watch) -> None:
    assert plan(situation, HOLD, LEAST) == answer


def test_the_bake_counts_as_watched_where_it_is_over() -> None:
    situation = replace(CANARY, stage=BEFORE, bake=30 * MINUTE)

    assert plan(situation, HOLD, LEAST) == watched(
        Phase.LAST_HOLD, 30 * MINUTE, NONE, note(30), step=30 * MINUTE
    )


def test_a_bake_that_is_longer_than_what_is_watched_at_least_is_what_there_is_to_look_back_at() -> None:
    situation = replace(CANARY, weight=100.0, served=100.0, bake=30 * MINUTE)

    assert plan(situation, HOLD, LEAST) == watched(Phase.LOOK_BACK, 30 * MINUTE, NONE, note(30))


@pytest.mark.parametrize(
    ("bake", "answer"),
    [
        (BAKE, watched(Phase.LOOK_BACK, BAKE, NONE, note(3))),
        # Without a bake there is not one minute to look back at.
        (NONE, watched(Phase.LOOK_BACK, NONE, NONE)),
    ],
)
def test_without_a_hold_only_the_bake_is_looked_back_at(bake: timedelta, answer: Watch) -> None:
    assert plan(replace(CANARY, weight=100.0, served=100.0, bake=bake), NONE, LEAST) == answer


def test_without_a_hold_a_step_ends_where_it_begins() -> None:
    assert plan(CANARY, NONE, NONE) == watched(Phase.HOLD, NONE, NONE)
    assert plan(replace(CANARY, stage=BEFORE), NONE, NONE) == watched(
        Phase.LAST_HOLD, BAKE, NONE, note(3), step=BAKE
    )


# ------------------------------------------------------------------------------------ linear


@pytest.mark.parametrize(
    ("weight", "served", "answer"),
    [
        # Shift first: a step is held from its own shift on, and earlier ones had LEAST each.
        (25.0, 25.0, watched(Phase.HOLD, NONE, HOLD)),
        (50.0, 50.0, watched(Phase.HOLD, LEAST, HOLD, note(5))),
        (75.0, 75.0, watched(Phase.HOLD, 2 * LEAST, HOLD, note(10))),
        (100.0, 100.0, watched(Phase.LOOK_BACK, 3 * LEAST, NONE, note(15))),
        # ECS writes weights as doubles.
        (50.000001, 49.999999, watched(Phase.HOLD, LEAST, HOLD, note(5))),
    ],
)
def test_a_linear_deployment_is_watched_step_by_step(weight: float, served: float, answer: Watch) -> None:
    assert plan(replace(LINEAR, weight=weight, served=served), HOLD, LEAST) == answer


@pytest.mark.parametrize(
    ("situation", "answer"),
    [
        (
            replace(CANARY, weight=100.0, served=5.0),
            watched(Phase.LAST_HOLD, BAKE, HOLD - BAKE, note(3), step=BAKE),
        ),
        # At the second of four steps, what green served is what the first one gave it.
        (
            replace(LINEAR, weight=50.0, served=25.0),
            watched(Phase.HOLD, BAKE, HOLD - BAKE, note(3), step=BAKE),
        ),
        (
            replace(LINEAR, weight=75.0, served=50.0),
            watched(Phase.HOLD, BAKE + LEAST, HOLD - BAKE, note(8), step=BAKE),
        ),
        (
            replace(LINEAR, weight=100.0, served=75.0),
            watched(Phase.LAST_HOLD, BAKE + 2 * LEAST, HOLD - BAKE, note(13), step=BAKE),
        ),
        (
            replace(LINEAR, weight=99.0, served=80.0),
            watched(Phase.LAST_HOLD, BAKE + 2 * LEAST, HOLD - BAKE, note(13), step=BAKE),
        ),
    ],
)
def test_where_the_hook_comes_before_the_shift_the_step_before_has_only_baked(
    situation: Situation, answer: Watch
) -> None:
    """At its hook green served nothing yet, so nothing was held; that of each later step was.

    But for two minutes ECS may only not have said yet that the traffic of this step has moved.
    """
    for early in (NONE, MINUTE, SNAPSHOT_LAG - timedelta(microseconds=1)):
        assert plan(replace(situation, now=SINCE + early), HOLD, LEAST) == NOT_MOVED
    for late in (SNAPSHOT_LAG, HOLD):
        assert plan(replace(situation, now=SINCE + late), HOLD, LEAST) == answer


@pytest.mark.parametrize(
    ("weight", "answer"),
    [
        (50.0, watched(Phase.HOLD, LEAST, HOLD, note(5))),
        (75.0, watched(Phase.HOLD, 2 * LEAST, HOLD, note(10))),
        (100.0, watched(Phase.LOOK_BACK, 3 * LEAST, NONE, note(15))),
    ],
)
def test_a_snapshot_that_catches_up_is_believed_at_once(weight: float, answer: Watch) -> None:
    """And the step is watched from its first call on, as if the snapshot had never been old."""
    stale = replace(LINEAR, weight=weight, served=weight - 25)
    caught_up = replace(stale, served=weight, now=SINCE + timedelta(seconds=30))

    assert plan(stale, HOLD, LEAST) == NOT_MOVED
    assert plan(caught_up, HOLD, LEAST) == answer


@pytest.mark.parametrize("weight", [25.0, 50.0, 75.0, 100.0])
@pytest.mark.parametrize("served", [None, 0.0, 25.0, 60.0, 100.0])
def test_before_a_shift_the_event_is_believed_whatever_the_snapshot_says(
    weight: float, served: float | None
) -> None:
    """What green has there it got a bake ago: what says otherwise is older, or of the shift to come."""
    situation = replace(LINEAR, stage=BEFORE, weight=weight, served=weight)

    assert plan(replace(situation, served=served), HOLD, LEAST) == plan(situation, HOLD, LEAST)


@pytest.mark.parametrize(
    ("served", "phase"), [(5.0, Phase.HOLD), (25.0, Phase.HOLD), (50.0, Phase.HOLD), (75.0, Phase.LAST_HOLD)]
)
def test_where_the_hook_comes_before_the_shift_the_rest_of_the_hold_is_left(
    served: float, phase: Phase
) -> None:
    found = plan(replace(LINEAR, weight=served + 25, served=served, now=SINCE + SNAPSHOT_LAG), HOLD, LEAST)

    assert isinstance(found, Watch)
    assert (found.phase, found.window.end) == (phase, SINCE + HOLD - BAKE)


@pytest.mark.parametrize(
    ("weight", "answer"),
    [
        (25.0, watched(Phase.HOLD, BAKE, HOLD - BAKE, note(3), step=BAKE)),
        (50.0, watched(Phase.HOLD, 2 * BAKE, HOLD - BAKE, note(6), step=BAKE)),
        (75.0, watched(Phase.LAST_HOLD, 3 * BAKE, HOLD - BAKE, note(9), step=BAKE)),
        (100.0, watched(Phase.LOOK_BACK, 4 * BAKE, NONE, note(12))),
    ],
)
def test_before_each_shift_the_steps_so_far_have_baked(weight: float, answer: Watch) -> None:
    """Whether hooks of that stage have held earlier steps is not known: no more than the bakes is."""
    assert plan(replace(LINEAR, stage=BEFORE, weight=weight, served=weight), HOLD, LEAST) == answer


@pytest.mark.parametrize(
    ("weight", "served", "answer"),
    [
        (10.0, 10.0, watched(Phase.HOLD, NONE, HOLD)),
        (30.0, 30.0, watched(Phase.HOLD, NONE, HOLD)),
        (60.0, 60.0, watched(Phase.HOLD, LEAST, HOLD, note(5))),
    ],
)
def test_a_share_that_is_no_step_s_counts_as_the_last_one_that_it_has_reached(
    weight: float, served: float, answer: Watch
) -> None:
    assert plan(replace(LINEAR, weight=weight, served=served), HOLD, LEAST) == answer


def test_many_steps_reach_no_further_back_than_the_deployment_and_six_hours() -> None:
    hundred = replace(
        LINEAR,
        percents=tuple(float(percent) for percent in range(1, 101)),
        bake=10 * MINUTE,
        weight=90.0,
        served=90.0,
    )

    assert plan(hundred, HOLD, LEAST) == watched(Phase.HOLD, timedelta(hours=2), HOLD, note(120))
    older = replace(hundred, started=SINCE - timedelta(days=2))
    assert timedelta(hours=6) == LONGEST
    assert plan(older, HOLD, LEAST) == watched(Phase.HOLD, LONGEST, HOLD, note(360))
    at_the_end = replace(older, weight=100.0, served=100.0)
    assert plan(at_the_end, HOLD, LEAST) == watched(Phase.LOOK_BACK, LONGEST, NONE, note(360))


# ------------------------------------------------------------------------------------ what is remembered


@pytest.mark.parametrize(
    "situation",
    [CANARY, replace(CANARY, weight=100.0, served=100.0), replace(LINEAR, weight=75.0, served=75.0)],
)
def test_what_an_earlier_step_remembered_is_believed(situation: Situation) -> None:
    remembered = SINCE - 42 * MINUTE

    found = plan(replace(situation, remembered=remembered), HOLD, LEAST)

    assert isinstance(found, Watch)
    assert (found.window.start, found.note) == (remembered, "")


@pytest.mark.parametrize("remembered", [STARTED, SINCE])
def test_the_deployment_s_own_time_is_believed_to_its_ends(remembered: datetime) -> None:
    found = plan(replace(CANARY, weight=100.0, served=100.0, remembered=remembered), HOLD, LEAST)

    assert isinstance(found, Watch)
    assert (found.window.start, found.note) == (remembered, "")


@pytest.mark.parametrize(
    ("remembered", "started"),
    [
        (STARTED - timedelta(seconds=1), STARTED),  # another deployment's
        (SINCE + timedelta(seconds=1), STARTED),  # not yet
        (SINCE - LONGEST - timedelta(seconds=1), SINCE - timedelta(days=1)),  # another hour of the day
    ],
)
def test_what_can_t_be_of_this_deployment_is_not(remembered: datetime, started: datetime) -> None:
    situation = replace(CANARY, weight=100.0, served=100.0, started=started)

    assert plan(replace(situation, remembered=remembered), HOLD, LEAST) == plan(situation, HOLD, LEAST)


# ------------------------------------------------------------------------------------ whatever is said

SHARES = st.one_of(st.none(), st.floats(0, 100), st.sampled_from([0.0, 25.0, 50.0, 75.0, 100.0]))


@given(
    stage=st.sampled_from([BEFORE, Stage.PRODUCTION_TRAFFIC_SHIFT]),
    percents=st.lists(st.floats(0.1, 100), min_size=2, max_size=30).map(
        lambda found: (*sorted(found), 100.0)
    ),
    bake=st.integers(0, 1440),
    weight=st.floats(0, 100),
    served=SHARES,
    age=st.integers(0, 3000),
    remembered=st.one_of(st.none(), st.integers(-100, 4000)),
    hold=st.integers(0, 720),
    seconds=st.integers(0, 300),
)
def test_a_window_never_begins_before_the_deployment_nor_after_the_step(
    stage: Stage,
    percents: tuple[float, ...],
    bake: int,
    weight: float,
    served: float | None,
    age: int,
    remembered: int | None,
    hold: int,
    seconds: int,
) -> None:
    situation = Situation(
        stage=stage,
        strategy="LINEAR",
        percents=percents,
        bake=bake * MINUTE,
        weight=weight,
        served=served,
        started=SINCE - age * MINUTE,
        since=SINCE,
        now=SINCE + timedelta(seconds=seconds),
        remembered=None if remembered is None else SINCE - remembered * MINUTE,
    )

    found = plan(situation, hold * MINUTE, LEAST)

    if isinstance(found, Watch):
        assert max(situation.started, SINCE - LONGEST) <= found.window.start <= SINCE
        assert SINCE <= found.window.end <= SINCE + hold * MINUTE
        assert (found.phase is Phase.LOOK_BACK) <= (found.window.end == SINCE)
        assert found.step is None or found.window.start <= found.step <= SINCE
    says_less = served is not None and served < weight - WEIGHT_TOLERANCE_PERCENT
    waits = stage is Stage.PRODUCTION_TRAFFIC_SHIFT and says_less and seconds < 120
    assert isinstance(found, NotYet) == (waits and weight > WEIGHT_TOLERANCE_PERCENT)


# ------------------------------------------------------------------------------------ whole minutes


@pytest.mark.parametrize(
    ("start", "end", "now", "lag", "found"),
    [
        ("12:00:00", "12:03:00", "13:00:00", 0, ["12:00", "12:01", "12:02"]),
        # A minute that only partly lies in the window is not in it.
        ("12:00:01", "12:03:00", "13:00:00", 0, ["12:01", "12:02"]),
        ("12:00:00", "12:02:59", "13:00:00", 0, ["12:00", "12:01"]),
        ("12:00:01", "12:01:59", "13:00:00", 0, []),
        # What is not complete yet is not either.
        ("12:00:00", "12:10:00", "12:02:59", 60, ["12:00"]),
        ("12:00:00", "12:10:00", "12:03:00", 60, ["12:00", "12:01"]),
        ("12:00:00", "12:10:00", "12:03:00", 59, ["12:00", "12:01"]),
        ("12:00:00", "12:10:00", "12:00:59", 0, []),
        ("12:00:00", "12:10:00", "11:00:00", 0, []),
        ("12:00:00", "12:00:00", "13:00:00", 0, []),
        ("12:10:00", "12:00:00", "13:00:00", 0, []),
    ],
)
def test_only_whole_and_complete_minutes_are_compared(
    start: str, end: str, now: str, lag: int, found: list[str]
) -> None:
    def at(time: str) -> datetime:
        return datetime.fromisoformat(f"2026-03-05T{time}+00:00")

    minutes = Window(at(start), at(end)).closed_minutes(at(now), timedelta(seconds=lag))

    assert [f"{minute:%H:%M}" for minute in minutes] == found


def test_a_share_is_never_older_than_what_is_watched() -> None:
    """Where something remembered is younger than the bake, say."""
    situation = replace(CANARY, stage=BEFORE, remembered=SINCE - MINUTE)

    assert plan(situation, HOLD, LEAST) == watched(Phase.LAST_HOLD, MINUTE, HOLD - BAKE, step=MINUTE)


# ------------------------------------------------------------------------------------ what counts


@pytest.mark.parametrize(
    ("phase", "now", "end"),
    [
        (Phase.HOLD, SINCE, SINCE + HOLD),
        (Phase.HOLD, SINCE + 2 * HOLD, SINCE + 2 * HOLD),
        (Phase.LAST_HOLD, SINCE + 2 * HOLD, SINCE + 2 * HOLD),
        (Phase.LOOK_BACK, SINCE + 2 * HOLD, SINCE + HOLD),
    ],
)
def test_what_is_seen_after_the_hold_s_end_counts_while_both_serve(
    phase: Phase, now: datetime, end: datetime
) -> None:
    watch = Watch(phase=phase, window=Window(SINCE, SINCE + HOLD))

    assert watch.seen(now) == Window(SINCE, end)

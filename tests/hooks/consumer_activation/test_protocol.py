"""The decision as a table: where a hand-over stands, who wants what, what was seen; and what follows."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hooks.consumer_activation.protocol import (
    BLIND_SECONDS,
    Aim,
    Health,
    Phase,
    Purpose,
    Rules,
    Standing,
    Step,
    Work,
    decide,
    phase,
    reversed_aim,
)
from hooks.consumer_activation.state import State
from shared.response import Proceed, Refuse, Wait

NOW = datetime(2026, 3, 5, 12, 0, tzinfo=UTC)
UNIX = int(NOW.timestamp())
LONG_AGO = NOW - timedelta(hours=5)
BLUE, GREEN, OTHER = "1000", "2000", "3000"

RULES = Rules(
    lease_seconds=15,
    read_seconds=5,
    read_lag_seconds=3,
    look_seconds=5,
    looks=2,
    drain_timeout_seconds=900,
    on_drain_timeout="refuse",
    hand_back_drain_seconds=60,
    monitor_seconds=300,
    on_trouble="refuse",
    observe=False,
)
QUIET = 18 * 1.01

SHIFT = Aim(purpose=Purpose.SHIFT, active=GREEN, deployment="D2", blue=BLUE)
FIRST = Aim(purpose=Purpose.SHIFT, active=GREEN, deployment="D2")
BACK = Aim(purpose=Purpose.HAND_BACK, active=BLUE, deployment="D2", blue=BLUE, reason="green is bad")
ROLL_BACK = Aim(purpose=Purpose.ROLL_BACK, active=BLUE, deployment="D2", blue=BLUE, reason="rolled back")
REPAIR = Aim(
    purpose=Purpose.REPAIR, active=BLUE, deployment="D2", blue=BLUE, serving=frozenset({BLUE, OTHER})
)
AIMS = [SHIFT, FIRST, BACK, ROLL_BACK, REPAIR]

HELD_BY_BLUE = State(
    version=4, epoch=70, active=BLUE, since=LONG_AGO, deployment="D1", read_lag_seconds=3, dead_letters=9
)
RELEASED = State(
    version=5,
    epoch=UNIX - 100,
    active=None,
    draining=BLUE,
    since=NOW - timedelta(seconds=100),
    released=NOW - timedelta(seconds=100),
    deployment="D2",
    dead_letters=2,
)
TAKEN = State(
    version=6,
    epoch=UNIX - 50,
    active=GREEN,
    since=NOW - timedelta(seconds=50),
    released=NOW - timedelta(seconds=100),
    deployment="D2",
    dead_letters=2,
)


def standing(
    state: State | None, age: float = 100.0, *, number: int | None = None, remark: str = ""
) -> Standing:
    return Standing(number if number is not None else (state and state.version) or 0, state, age, remark)


def decided(at: Standing, aim: Aim, rules: Rules = RULES, **seen: Any) -> Step:
    return decide(at, aim, rules, NOW, **seen)


# ------------------------------------------------------------------------------------ phases


@pytest.mark.parametrize(
    ("at", "aim", "expected"),
    [
        # No parameter: a first deployment may begin, everybody else can't know who consumes.
        (standing(None), FIRST, Phase.FREE),
        (standing(None), SHIFT, Phase.HELD),
        (standing(None), REPAIR, Phase.HELD),
        (standing(None, number=3, remark="garbage"), FIRST, Phase.HELD),
        (standing(None, number=3, remark="garbage"), ROLL_BACK, Phase.HELD),
        # Somebody is active.
        (standing(HELD_BY_BLUE), SHIFT, Phase.HELD),
        (standing(HELD_BY_BLUE), ROLL_BACK, Phase.SETTLED),
        (standing(HELD_BY_BLUE), REPAIR, Phase.SETTLED),
        (standing(TAKEN), SHIFT, Phase.SETTLED),
        (standing(TAKEN), BACK, Phase.HELD),
        (standing(TAKEN), REPAIR, Phase.HELD),
        (standing(replace(TAKEN, active=OTHER)), REPAIR, Phase.SETTLED),
        (standing(replace(TAKEN, active=OTHER)), ROLL_BACK, Phase.HELD),
        # Nobody is: whoever drains may have it back at once, others wait.
        (standing(RELEASED, 0.0), ROLL_BACK, Phase.FREE),
        (standing(RELEASED, 0.0), SHIFT, Phase.LEASED),
        (standing(replace(RELEASED, draining=None), 0.0), ROLL_BACK, Phase.LEASED),
        (standing(RELEASED, QUIET - 5.01), SHIFT, Phase.LEASED),
        (standing(RELEASED, QUIET - 5), SHIFT, Phase.DRAINING),
        (standing(RELEASED, 100), SHIFT, Phase.DRAINING),
    ],
)
def test_the_phase_follows_from_who_is_active_and_who_should_be(
    at: Standing, aim: Aim, expected: Phase
) -> None:
    assert phase(at, aim, RULES) is expected


def test_a_single_look_waits_for_all_leases() -> None:
    one_look = replace(RULES, looks=1)

    assert phase(standing(RELEASED, QUIET - 0.01), SHIFT, one_look) is Phase.LEASED
    assert phase(standing(RELEASED, QUIET), SHIFT, one_look) is Phase.DRAINING


# ------------------------------------------------------------------------------------ release


def released(**changes: Any) -> State:
    """Return what is written to let nobody be active, over HELD_BY_BLUE."""
    expected = State(
        version=5,
        epoch=UNIX,
        active=None,
        draining=BLUE,
        since=NOW,
        released=NOW,
        deployment="D2",
        lease_seconds=15,
        read_seconds=5,
        read_lag_seconds=3,
    )
    return replace(expected, **changes)


def test_a_shift_first_lets_nobody_be_active_and_keeps_what_was_dead_before() -> None:
    assert decided(standing(HELD_BY_BLUE), SHIFT, dead_letters=12) == Step(
        Wait(f"for the leases of {BLUE} to run out", QUIET - 5),
        released(dead_letters=12),
        f"epoch {UNIX}: {BLUE} is to stop",
    )


@pytest.mark.parametrize(
    ("before", "rules", "lease", "lag"),
    [
        (replace(HELD_BY_BLUE, lease_seconds=60, read_lag_seconds=9), RULES, 60, 9),
        (HELD_BY_BLUE, replace(RULES, lease_seconds=60, read_lag_seconds=9), 60, 9),
        (replace(HELD_BY_BLUE, lease_seconds=60), replace(RULES, read_lag_seconds=9), 60, 9),
    ],
)
def test_leases_of_before_are_waited_for_as_long_as_they_last(
    before: State, rules: Rules, lease: int, lag: int
) -> None:
    assert decided(standing(before), SHIFT, rules) == Step(
        Wait(f"for the leases of {BLUE} to run out", (lease + lag) * 1.01 - 5),
        released(lease_seconds=lease, read_lag_seconds=lag),
        f"epoch {UNIX}: {BLUE} is to stop",
    )


@pytest.mark.parametrize(
    ("at", "version", "whom"),
    [
        (standing(None), 1, "nobody is known to be active"),
        (standing(None, number=8, remark="version 8: not JSON"), 9, "version 8: not JSON"),
    ],
)
def test_where_nobody_knows_who_is_active_all_leases_are_waited_for(
    at: Standing, version: int, whom: str
) -> None:
    assert decided(at, SHIFT, dead_letters=0) == Step(
        Wait("for the leases of whoever was active to run out", QUIET - 5),
        released(version=version, draining=None, dead_letters=0),
        f"epoch {UNIX}: {whom}",
    )


@pytest.mark.parametrize(
    ("aim", "hand_back"), [(ROLL_BACK, "rolled back"), (BACK, "green is bad"), (REPAIR, None)]
)
def test_green_is_released_by_whoever_wants_blue_back(aim: Aim, hand_back: str | None) -> None:
    suffix = f" ({hand_back})" if hand_back else ""

    assert decided(standing(TAKEN), aim) == Step(
        Wait(f"for the leases of {GREEN} to run out{suffix}", QUIET - 5),
        released(version=7, draining=GREEN, hand_back=hand_back),
        f"epoch {UNIX}: {GREEN} is to stop",
    )


def test_a_void_version_on_top_is_written_over() -> None:
    assert decided(standing(HELD_BY_BLUE, number=9), SHIFT).write == released(version=10)


# ------------------------------------------------------------------------------------ wait


@pytest.mark.parametrize(
    ("age", "delay"), [(0.0, QUIET - 5), (10.0, QUIET - 15), (QUIET - 5.5, 1.0)], ids=["new", "old", "nearly"]
)
def test_leases_are_waited_for_and_nothing_is_written(age: float, delay: float) -> None:
    assert decided(standing(RELEASED, age), SHIFT) == Step(
        Wait(f"for the leases of {BLUE} to run out", pytest.approx(delay))
    )


def test_a_first_look_that_finds_nothing_still_waits_for_the_leases() -> None:
    assert decided(standing(RELEASED, QUIET - 4), SHIFT, work=Work(2, "none in flight")) == Step(
        Wait("for leases to run out; none in flight", pytest.approx(4))
    )


@pytest.mark.parametrize(
    ("drained_for", "work", "delay"),
    [
        (1.0, Work(0, "3 in flight"), 5.0),  # as often as lookSeconds says
        (100.0, Work(0, "3 in flight"), (100 + QUIET) / 10),  # then less often
        (500.0, Work(0, "3 in flight"), 30.0),  # and never less than this
        (500.0, Work(1, "3 in flight"), 5.0),  # idle once: the second look comes soon
        (500.0, Work(0, "it is given 510 s", 10.0), 10.0),  # the end is known
        (898.0, Work(0, "3 in flight"), 2.0),  # not beyond the time-out
        (899.5, Work(0, "3 in flight"), 1.0),
    ],
)
def test_work_is_waited_for(drained_for: float, work: Work, delay: float) -> None:
    assert decided(standing(RELEASED, QUIET + drained_for), SHIFT, work=work) == Step(
        Wait(f"for the work of {BLUE}: {work.detail}", pytest.approx(delay))
    )


def test_work_of_nobody_known_is_waited_for_as_well() -> None:
    at = standing(replace(RELEASED, draining=None), QUIET + 1)

    assert decided(at, SHIFT, work=Work(0, "3 in flight")) == Step(
        Wait("for the work of whoever was active: 3 in flight", 5.0)
    )


# ------------------------------------------------------------------------------------ take


def taken(**changes: Any) -> State:
    """Return what is written to let green be active, over RELEASED."""
    expected = State(
        version=6,
        epoch=UNIX,
        active=GREEN,
        since=NOW,
        released=NOW - timedelta(seconds=100),
        deployment="D2",
        lease_seconds=15,
        read_seconds=5,
        read_lag_seconds=3,
        dead_letters=2,
    )
    return replace(expected, **changes)


def test_green_takes_over_once_blue_is_done_and_is_watched() -> None:
    assert decided(standing(RELEASED, QUIET), SHIFT, work=Work(2, "none in flight")) == Step(
        Wait(f"and watch {GREEN}, just activated: none in flight", 30.0),
        taken(),
        f"epoch {UNIX}: {GREEN} may consume (none in flight)",
    )


def test_what_is_not_watched_is_done_at_once() -> None:
    unwatched = replace(RULES, monitor_seconds=0, looks=1)

    assert decided(standing(RELEASED, QUIET), SHIFT, unwatched, work=Work(1, "none in flight")) == Step(
        Proceed(f"{GREEN} is active: none in flight"),
        taken(),
        f"epoch {UNIX}: {GREEN} may consume (none in flight)",
    )


def test_a_shorter_lease_holds_once_the_longer_one_was_waited_for() -> None:
    longer = replace(RELEASED, lease_seconds=60, read_lag_seconds=9)
    step = decided(standing(longer, 70.0), SHIFT, work=Work(2, "none in flight"))

    assert step.write == taken()


def test_a_first_deployment_is_active_at_once() -> None:
    assert decided(standing(None), FIRST, dead_letters=7) == Step(
        Wait(f"and watch {GREEN}, just activated: nobody else was active since", 30.0),
        taken(version=1, released=None, dead_letters=7),
        f"epoch {UNIX}: {GREEN} may consume (nobody else was active since)",
    )


@pytest.mark.parametrize(
    ("aim", "result", "hand_back"),
    [
        (ROLL_BACK, Proceed(f"{BLUE} is active; rolled back"), "rolled back"),
        (BACK, Refuse("green is bad"), "green is bad"),
        (REPAIR, Proceed(f"{BLUE} is active"), None),
    ],
)
def test_whoever_drains_takes_back_at_once(aim: Aim, result: Proceed | Refuse, hand_back: str | None) -> None:
    assert decided(standing(RELEASED, 0.0), aim) == Step(
        result,
        taken(active=BLUE, hand_back=hand_back),
        f"epoch {UNIX}: {BLUE} may consume (nobody else was active since)",
    )


def test_a_lease_that_was_not_waited_for_is_not_shortened() -> None:
    # Else the next hand-over would wait for less than what is still alive.
    longer = replace(RELEASED, lease_seconds=60, read_lag_seconds=9)

    assert decided(standing(longer, 0.0), REPAIR).write == taken(
        active=BLUE, lease_seconds=60, read_lag_seconds=9
    )


# ------------------------------------------------------------------------------------ work without end

NOT_DONE = Work(0, "3 in flight")
LATE = f"{BLUE} was not done after 900 s: 3 in flight"


def test_work_that_does_not_end_gives_the_queue_back_to_blue() -> None:
    assert decided(standing(RELEASED, QUIET + 900), SHIFT, work=NOT_DONE) == Step(
        Refuse(LATE), taken(active=BLUE, hand_back=LATE), f"epoch {UNIX}: {BLUE} may consume ({LATE})"
    )


@pytest.mark.parametrize("rules", [replace(RULES, on_drain_timeout="activate"), replace(RULES, observe=True)])
def test_work_that_does_not_end_may_go_on_beside_green_where_a_setting_says_so(rules: Rules) -> None:
    assert decided(standing(RELEASED, QUIET + 900), SHIFT, rules, work=NOT_DONE) == Step(
        Wait(f"and watch {GREEN}, just activated: {LATE}", 30.0),
        taken(),
        f"epoch {UNIX}: {GREEN} may consume ({LATE})",
    )


def test_without_a_blue_there_is_nobody_to_give_back_to() -> None:
    assert decided(standing(RELEASED, QUIET + 900), FIRST, work=NOT_DONE) == Step(Refuse(LATE))


@pytest.mark.parametrize("aim", [ROLL_BACK, BACK, REPAIR])
def test_blue_does_not_wait_for_green_longer_than_it_is_told_to(aim: Aim) -> None:
    drains = replace(RELEASED, draining=GREEN)
    late = f"{GREEN} was not done after 60 s: 3 in flight"

    waits = decided(standing(drains, QUIET + 59), aim, work=NOT_DONE)
    takes = decided(standing(drains, QUIET + 60), aim, work=NOT_DONE)

    assert waits == Step(Wait(f"for the work of {GREEN}: 3 in flight", pytest.approx(1.0)))
    assert takes.write == taken(active=BLUE, hand_back=aim.reason or None)
    assert takes.change == f"epoch {UNIX}: {BLUE} may consume ({late})"


# ------------------------------------------------------------------------------------ settled

GOOD, BAD, UNKNOWN = Health("good", "fine"), Health("bad", "2 dead letters"), Health("unknown", "throttled")


def since(seconds: float) -> Standing:
    """Return green as active for so long."""
    return standing(replace(TAKEN, since=NOW - timedelta(seconds=seconds)))


@pytest.mark.parametrize(
    ("at", "health", "result"),
    [
        (since(0), GOOD, Wait(f"and watch {GREEN}: fine", 30.0)),
        (since(290), GOOD, Wait(f"and watch {GREEN}: fine", 10.0)),
        (since(298), GOOD, Wait(f"and watch {GREEN}: fine", 5)),
        (since(300), GOOD, Proceed(f"{GREEN} consumes: fine")),
        (since(300), None, Proceed(f"{GREEN} is active, and is not watched")),
        # Not to see is not to know, for a while.
        (since(10), UNKNOWN, Wait(f"and watch {GREEN}: throttled", 30.0)),
        (since(300), UNKNOWN, Wait(f"and watch {GREEN}: throttled", 5)),
        (since(300 + BLIND_SECONDS), UNKNOWN, Wait(f"and watch {GREEN}: throttled", 5)),
        # A person's edit has no time: the version's own age counts.
        (standing(replace(TAKEN, since=None), 299), GOOD, Wait(f"and watch {GREEN}: fine", 5)),
        (standing(replace(TAKEN, since=None), 300), GOOD, Proceed(f"{GREEN} consumes: fine")),
    ],
)
def test_green_is_watched_for_as_long_as_it_takes(
    at: Standing, health: Health | None, result: Proceed | Wait
) -> None:
    assert decided(at, SHIFT, health=health) == Step(result)


@pytest.mark.parametrize(
    ("at", "health", "said"),
    [
        (since(1), BAD, "2 dead letters"),
        (since(301), BAD, "2 dead letters"),
        (since(301 + BLIND_SECONDS), UNKNOWN, "throttled"),
    ],
)
def test_a_bad_green_is_released_with_the_reason_kept(at: Standing, health: Health, said: str) -> None:
    reason = f"{GREEN}: {said}"

    assert decided(at, SHIFT, health=health) == Step(
        Wait(f"for the leases of {GREEN} to run out ({reason})", QUIET - 5),
        released(version=7, draining=GREEN, hand_back=reason),
        f"epoch {UNIX}: {GREEN} is to stop",
    )


def test_trouble_that_lasts_opens_where_a_setting_says_so() -> None:
    opens = replace(RULES, on_trouble="proceed")

    assert decided(since(301 + BLIND_SECONDS), SHIFT, opens, health=UNKNOWN) == Step(
        Proceed(f"{GREEN} consumes: throttled")
    )


@pytest.mark.parametrize(("aim", "rules"), [(FIRST, RULES), (SHIFT, replace(RULES, observe=True))])
def test_a_bad_green_keeps_the_queue_where_nobody_may_take_it(aim: Aim, rules: Rules) -> None:
    assert decided(since(1), aim, rules, health=BAD) == Step(Refuse(f"{GREEN}: 2 dead letters"))


@pytest.mark.parametrize(
    ("state", "aim", "result"),
    [
        (HELD_BY_BLUE, REPAIR, Proceed(f"{BLUE} is active since epoch 70")),
        (replace(HELD_BY_BLUE, active=OTHER), REPAIR, Proceed(f"{OTHER} is active since epoch 70")),
        (HELD_BY_BLUE, BACK, Refuse("green is bad")),
        (
            replace(HELD_BY_BLUE, hand_back="green is bad"),
            REPAIR,
            Proceed(f"{BLUE} is active since epoch 70 (green is bad)"),
        ),
        (
            replace(HELD_BY_BLUE, deployment="D2", hand_back="green is bad"),
            ROLL_BACK,
            Proceed(f"{BLUE} is active since epoch 70 (green is bad); rolled back"),
        ),
    ],
)
def test_what_is_as_it_should_be_stays_so(state: State, aim: Aim, result: Proceed | Refuse) -> None:
    assert decided(standing(state), aim) == Step(result)


def test_a_rollback_that_finds_blue_active_makes_writes_on_their_way_void() -> None:
    step = decided(standing(HELD_BY_BLUE), ROLL_BACK)

    assert step == Step(
        Proceed(f"{BLUE} is active since epoch 70; rolled back"),
        replace(HELD_BY_BLUE, version=5, epoch=UNIX, deployment="D2", hand_back="rolled back"),
        f"epoch {UNIX}: {BLUE} stays active",
    )
    # Once: the next call finds it written.
    again = decided(standing(step.write), ROLL_BACK)
    assert again == Step(Proceed(f"{BLUE} is active since epoch {UNIX}; rolled back"))


# ------------------------------------------------------------------------------------ reversed


def test_a_shift_is_reversed_towards_blue() -> None:
    assert reversed_aim(SHIFT, "green is bad") == BACK
    assert reversed_aim(FIRST, "green is bad") is None
    assert reversed_aim(SHIFT, "x" * 600) == replace(BACK, reason="x" * 500)


# ------------------------------------------------------------------------------------ whatever it is

ID = st.sampled_from([None, BLUE, GREEN, OTHER])
STATES = st.builds(
    State,
    version=st.none() | st.integers(1, 9),
    epoch=st.integers(0, UNIX + 5),
    active=ID,
    draining=ID,
    since=st.none() | st.integers(-9, 9000).map(lambda seconds: NOW - timedelta(seconds=seconds)),
    released=st.none() | st.just(LONG_AGO),
    deployment=st.sampled_from([None, "D1", "D2"]),
    lease_seconds=st.integers(1, 120),
    read_lag_seconds=st.integers(0, 9),
    hand_back=st.sampled_from([None, "green is bad"]),
    dead_letters=st.sampled_from([None, 0, 4]),
)
STANDINGS = st.builds(
    Standing, st.integers(0, 9), st.none() | STATES, st.floats(0, 3000), st.sampled_from(["", "garbage"])
)
ALL_RULES = st.builds(
    replace,
    st.just(RULES),
    lease_seconds=st.integers(2, 60),
    on_drain_timeout=st.sampled_from(["refuse", "activate"]),
    on_trouble=st.sampled_from(["refuse", "proceed"]),
    monitor_seconds=st.sampled_from([0, 300]),
    observe=st.booleans(),
)


@given(
    STANDINGS,
    st.sampled_from(AIMS),
    ALL_RULES,
    st.integers(0, 2),
    st.sampled_from([None, GOOD, BAD, UNKNOWN]),
)
def test_whatever_stands_there_the_next_step_is_safe(
    at: Standing, aim: Aim, rules: Rules, idle: int, health: Health | None
) -> None:
    step = decided(at, aim, rules, work=Work(idle, "seen"), health=health)
    state, write = at.state, step.write

    if isinstance(step.result, Wait):
        assert 1 <= step.result.after_seconds <= 300
    if aim.purpose in {Purpose.ROLL_BACK, Purpose.REPAIR}:
        assert not isinstance(step.result, Refuse)
    assert (write is None) == (step.change == "")
    if write is None:
        return
    assert (write.version, write.deployment) == (at.number + 1, "D2")
    assert write.epoch >= UNIX
    assert state is None or write.epoch > state.epoch
    if write.active is not None and state is not None and state.active is None:
        # Nobody is let in before the leases of all others have run out.
        assert write.active == state.draining or at.age_seconds >= state.quiet_seconds
    if state is not None and state.active is not None:
        # Nobody is let in beside another.
        assert write.active in {None, state.active}
    if state is not None and (write.active is None or at.age_seconds < state.quiet_seconds):
        assert write.lease_seconds >= state.lease_seconds
        assert write.read_lag_seconds >= state.read_lag_seconds

"""What is due of a request, and to whom it falls, over histories that are written out."""

import itertools
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hooks.manual_approval.reminders import MAX_CLAIMS, Due, Look, Reminders
from hooks.manual_approval.request import MARK_BYTES, Occasion, Telling, Version, write_mark

ASKED_AT = datetime(2026, 3, 5, 12, 0, tzinfo=UTC)
HOOK = "arn:aws:sts::123456789012:assumed-role/hook/function"
HOOK_AGAIN = "arn:aws:sts::123456789012:assumed-role/hook/another"
SWEEPER = "arn:aws:sts::123456789012:assumed-role/sweeper/function"
ALICE = "arn:aws:iam::123456789012:user/alice"
REQUEST_TEXT = json.dumps({"state": "pending", "deployment": "..."})

# Two hours, so half of it is 60 minutes and nine tenths are 108.
EXPIRES = 120
LAST = "last-call 2026-03-05T14:00:00Z"


def at(minutes: float) -> datetime:
    return ASKED_AT + timedelta(minutes=minutes)


ASKED = Version(1, ASKED_AT, HOOK, REQUEST_TEXT)

Mark = tuple[float, Telling, str]


def claim(minutes: float, what: str = "request", *, nonce: str = "n", by: str = HOOK) -> Mark:
    return minutes, Telling(what, done=False, nonce=nonce), by


def told(minutes: float, what: str = "request", *on: str, by: str = HOOK) -> Mark:
    return minutes, Telling(what, done=True, channels=on or ("sns", "webhook")), by


def history(*marks: Mark) -> list[Version]:
    written = [
        Version(number, at(minutes), by, write_mark(REQUEST_TEXT, telling))
        for number, (minutes, telling, by) in enumerate(marks, start=2)
    ]
    return [ASKED, *written]


def reminders(expires: float = EXPIRES, channels: tuple[str, ...] = ("sns", "webhook")) -> Reminders:
    return Reminders(asked=ASKED, expires_at=at(expires), tellers=(HOOK,), channels=channels)


def request(*channels: str, exhausted: bool = False) -> Due:
    return Due(Occasion.REQUEST, "request", channels or ("sns", "webhook"), exhausted)


HALF = Due(Occasion.HALF_TIME, "half-time", ("sns", "webhook"))


def last(what: str = LAST, *channels: str) -> Due:
    return Due(Occasion.LAST_CALL, what, channels or ("sns", "webhook"))


# What was written, when one looks, and what is due: an occasion, or the minute until which nothing is.
LOOKS: dict[str, tuple[list[Mark], float, Due | float]] = {
    "its writer is announcing the request": ([], 1, 2),
    "its writer was not heard of again": ([], 2, request()),
    "the request was announced": ([told(0)], 5, 60),
    "marks of another session of the role count": ([told(0, by=HOOK_AGAIN)], 5, 60),
    "marks of another role don't": ([told(0, by=SWEEPER), told(0, by=ALICE)], 2, request()),
    "one channel is missing, and has to wait": ([told(0, "request", "sns")], 1, 2),
    "one channel is missing": ([told(0, "request", "sns")], 2, request("webhook")),
    "the channels were told one by one": ([told(0, "request", "sns"), told(3, "request", "webhook")], 5, 60),
    "a channel can't be told": ([told(0, "request", "sns", "webhook failed")], 5, 60),
    "someone is announcing it instead": ([claim(2)], 5, 6),
    "neither was heard of": ([claim(2)], 6, request()),
    "a third has": ([claim(2), claim(6)], 13, 14),
    "a claim that came too early changes nothing": ([claim(1), claim(1.9)], 2, request()),
    "nobody was heard of": ([claim(m) for m in (2, 6, 14, 30)], 61, HALF),
    "not even the fifth": (
        [*(claim(m) for m in (2, 6, 14, 30)), told(60, "half-time")],
        62,
        request(exhausted=True),
    ),
    "it was given up": (
        [
            *(claim(m) for m in (2, 6, 14, 30)),
            told(60, "half-time"),
            told(62, "request", "sns failed", "webhook failed"),
        ],
        63,
        108,
    ),
    "a sixth claim does not hold": (
        [*(claim(m) for m in (2, 6, 14, 30)), told(60, "half-time"), claim(62)],
        63,
        request(exhausted=True),
    ),
    "half of the time is over": ([told(0)], 60, HALF),
    "half of the time is almost over": ([told(0)], 59.9, 60),
    "the request comes before half-time": ([], 60, request()),
    "half-time while the request is being announced": ([claim(59)], 60, HALF),
    "someone reminds at half-time": ([told(0), claim(60, "half-time")], 61, 62),
    "people were reminded": ([told(0), told(60, "half-time")], 61, 108),
    "the last call": ([told(0), told(60, "half-time")], 108, last()),
    "half-time was missed": ([told(0)], 108, last()),
    "someone calls": ([told(0), claim(108, LAST)], 109, 110),
    "all was said": ([told(0), told(108, LAST)], 110, 120),
    "a claim that lapses no earlier than the request expires": ([told(0), claim(118, LAST)], 119, 120),
    "a claim on half-time that lapses after the last call": ([told(0), claim(107, "half-time")], 107.5, 108),
    "it has expired": ([], 120, 120),
    "a mark of something else": ([told(0), told(1, "birthday")], 5, 60),
    "a claim of nobody": ([claim(2, nonce="")], 3, request()),
}


@pytest.mark.parametrize(("marks", "minute", "expected"), LOOKS.values(), ids=LOOKS)
def test_what_is_due(marks: list[Mark], minute: float, expected: Due | float) -> None:
    look = reminders().look(history(*marks), at(minute))

    due = expected if isinstance(expected, Due) else None
    assert look == Look(due, at(minute) if isinstance(expected, Due) else at(expected))


def test_without_a_channel_there_is_nothing_to_tell() -> None:
    looks = [reminders(channels=()).look(history(), at(minute)) for minute in (0, 60, 110)]

    assert looks == [Look(None, at(EXPIRES))] * 3


def test_an_extension_moves_the_last_call_which_is_then_due_anew() -> None:
    called = history(told(0), told(60, "half-time"), told(108, LAST))
    extended = reminders(expires=180)

    assert extended.look(called, at(110)) == Look(None, at(162))
    assert extended.look(called, at(162)).due == last("last-call 2026-03-05T15:00:00Z")


def test_an_extension_moves_half_time_unless_people_were_reminded() -> None:
    assert reminders(expires=180).look(history(told(0)), at(70)) == Look(None, at(90))
    assert reminders(expires=180).look(history(told(0), told(60, "half-time")), at(90)) == Look(None, at(162))


def test_a_claim_that_was_lost_does_not_bring_half_time_forward_when_an_extension_has_moved_it() -> None:
    assert reminders(expires=180).look(history(told(0), claim(60, "half-time")), at(70)) == Look(None, at(90))


def test_nobody_is_reminded_at_half_time_after_a_last_call() -> None:
    called = history(told(0), told(108, LAST))

    assert reminders(expires=240).look(called, at(120)) == Look(None, at(216))


def test_marks_before_the_request_are_of_another() -> None:
    earlier = Version(
        1, at(-60), HOOK, write_mark(REQUEST_TEXT, Telling("request", done=True, channels=("sns",)))
    )
    asked = Version(2, ASKED_AT, HOOK, REQUEST_TEXT)
    rules = Reminders(asked=asked, expires_at=at(EXPIRES), tellers=(HOOK,), channels=("sns",))

    assert rules.look([earlier, asked], at(2)).due == request("sns")


def test_another_teller_s_marks_count_where_it_is_named() -> None:
    rules = Reminders(
        asked=ASKED, expires_at=at(EXPIRES), tellers=(HOOK, SWEEPER), channels=("sns", "webhook")
    )

    assert rules.look(history(told(0, by=SWEEPER)), at(2)) == Look(None, at(60))


# ---------------------------------------------------------------------------------- whose it is

HOLDERS: dict[str, tuple[list[Mark], str, str, tuple[str, ...]]] = {
    "the request is its writer's": ([], "request", "", ("sns", "webhook")),
    "until someone takes it over": ([claim(2)], "request", "", ()),
    "who has it then": ([claim(2)], "request", "n", ("sns", "webhook")),
    "but for what was told": ([claim(2), told(2, "request", "sns")], "request", "n", ("webhook",)),
    "even after that": ([claim(2), told(2)], "request", "n", ()),
    "too early a claim is none": ([claim(1)], "request", "n", ()),
    "the first of two": ([claim(60, "half-time", nonce="a"), claim(60, "half-time")], "half-time", "n", ()),
    "the first of two has it": (
        [claim(60, "half-time"), claim(60, "half-time", nonce="b")],
        "half-time",
        "n",
        ("sns", "webhook"),
    ),
    "the claim of another occasion": ([claim(60, "half-time")], LAST, "n", ()),
    "a claim that someone else wrote": ([claim(60, "half-time", by=ALICE)], "half-time", "n", ()),
    "a claim whose call was repeated": (
        [claim(60, "half-time"), claim(60.1, "half-time")],
        "half-time",
        "n",
        ("sns", "webhook"),
    ),
}


@pytest.mark.parametrize(("marks", "what", "nonce", "expected"), HOLDERS.values(), ids=HOLDERS)
def test_whose_an_occasion_is(marks: list[Mark], what: str, nonce: str, expected: tuple[str, ...]) -> None:
    assert reminders().left_to(nonce, what, history(*marks)) == expected


def test_whoever_wrote_the_request_announces_it_at_once() -> None:
    assert reminders().of_the_writer(history()) == request()
    assert reminders().of_the_writer(history(claim(2))) is None


@settings(deadline=None)
@given(
    seconds=st.lists(st.integers(0, 4000), min_size=1, max_size=10).map(sorted),
    order=st.randoms(use_true_random=False),
)
def test_of_claims_that_overlap_one_holds_whatever_order_they_are_read_in(
    seconds: list[int], order: Any
) -> None:
    """Whoever looks at the end finds the holder that a plain account of the lapses names."""
    rules = reminders(expires=600)
    versions = history(*(claim(second / 60, "half-time", nonce=str(n)) for n, second in enumerate(seconds)))
    held: list[int] = []
    until = 0
    for number, second in enumerate(seconds):
        if second >= until and len(held) < MAX_CLAIMS:
            until = second + 120 * 2 ** len(held)
            held.append(number)

    order.shuffle(versions)
    holds = [n for n, _ in enumerate(seconds) if rules.left_to(str(n), "half-time", versions)]
    assert holds == [held[-1]]


@settings(deadline=None)
@given(
    marks=st.lists(
        st.tuples(
            st.floats(0, 130),
            st.sampled_from(["request", "half-time", LAST]),
            st.sampled_from([None, "a", "b"]),
            st.sampled_from([HOOK, ALICE]),
        ),
        max_size=12,
    ),
    minute=st.floats(0, 130),
)
def test_nothing_changes_before_the_moment_that_a_look_names(marks: list[Any], minute: float) -> None:
    ordered = sorted(marks, key=lambda mark: mark[0])
    versions = history(
        *(
            (m, Telling(what, nonce is None, nonce or "", ("sns", "webhook")), by)
            for m, what, nonce, by in ordered
        )
    )
    look = reminders().look(versions, at(minute))

    assert at(minute) <= look.quiet_until <= at(EXPIRES) or at(minute) > at(EXPIRES)
    assert (look.due is not None) == (look.quiet_until == at(minute) < at(EXPIRES))
    # Every quarter of the quiet time, and its very end.
    quiet = look.quiet_until - at(minute)
    for quarter in range(1, 4):
        assert (
            look.due is not None or reminders().look(versions, at(minute) + quiet * quarter / 4).due is None
        )
    if look.due is None and look.quiet_until < at(EXPIRES):
        assert reminders().look(versions, look.quiet_until).due is not None


def test_a_mark_never_takes_more_room_than_a_request_leaves() -> None:
    marks = [
        Telling(what, done, nonce="f" * 16, channels=("sns failed", "webhook failed"))
        for what, done in itertools.product(("request", "half-time", LAST), (True, False))
    ]
    longest = max(len(write_mark(REQUEST_TEXT, mark)) for mark in marks)

    assert longest - len(json.dumps(json.loads(REQUEST_TEXT), indent=1)) <= MARK_BYTES

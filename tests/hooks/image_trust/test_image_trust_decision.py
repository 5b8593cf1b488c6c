"""What is decided on a deployment from how its containers stand."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hooks.image_trust.decision import MAX_NAMED, Standing, Terms, decide
from shared.response import Proceed, Refuse, Result, Wait

NOW = datetime(2026, 3, 5, 12, 0, tzinfo=UTC)
TERMS = Terms(policy="production", wait_minutes=30, poll_seconds=15, on_trouble="refuse", self_check="report")
PROCEEDING, CHECKING = replace(TERMS, on_trouble="proceed"), replace(TERMS, self_check="refuse")


def one(verdict: str, name: str = "web", *, observed: bool = False) -> Standing:
    return Standing(container=name, verdict=verdict, observed=observed, text=f"is {verdict}")


def decided(*standings: Standing, terms: Terms = TERMS, waited: float = 0, warn: bool = False) -> Result:
    warnings = ["the hook is not attached at POST_SCALE_UP"] if warn else []
    return decide(standings, warnings, terms, NOW, NOW - timedelta(minutes=waited))


WEB, LOG = one("pass"), one("pass", "log")
DENIED, OPEN, EXEMPT = one("deny", "log"), one("indeterminate", "log"), one("exempt", "log")


@pytest.mark.parametrize(
    ("standings", "result"),
    [
        ([WEB], Proceed("policy 'production' admits 1 container")),
        ([WEB, LOG], Proceed("policy 'production' admits 2 containers")),
        ([WEB, EXEMPT], Proceed("policy 'production' admits 2 containers, by exemption: log")),
        ([WEB, DENIED], Refuse("log: is deny")),
        ([EXEMPT, one("deny", "a"), one("deny", "b")], Refuse("a: is deny; b: is deny")),
        ([WEB, OPEN], Wait("log: is indeterminate", 15)),
        # A refusal is not waited with.
        ([one("indeterminate"), DENIED], Refuse("log: is deny")),
        # What is only observed decides nothing, and is said.
        (
            [WEB, replace(DENIED, observed=True)],
            Proceed(
                "policy 'production' admits 2 containers; only observed, and would have been refused: "
                "log: is deny"
            ),
        ),
        (
            [replace(OPEN, observed=True)],
            Proceed(
                "policy 'production' admits 1 container; only observed, and would have been refused: "
                "log: is indeterminate"
            ),
        ),
        ([one("pass", observed=True)], Proceed("policy 'production' admits 1 container")),
        ([replace(DENIED, observed=True), OPEN], Wait("log: is indeterminate", 15)),
        ([], Refuse("no container was judged")),
    ],
)
def test_what_is_decided(standings: list[Standing], result: Result) -> None:
    assert decided(*standings) == result


@pytest.mark.parametrize(
    ("terms", "waited", "result"),
    [
        (TERMS, 29.9, Wait("log: is indeterminate", 15)),
        (TERMS, 30, Refuse("still not known after 0:30:00: log: is indeterminate")),
        (
            PROCEEDING,
            30,
            Proceed("onTrouble is proceed: still not known after 0:30:00: log: is indeterminate"),
        ),
        (PROCEEDING, 0, Wait("log: is indeterminate", 15)),
        (
            replace(TERMS, wait_minutes=0),
            0,
            Refuse("still not known after 0:00:00: log: is indeterminate"),
        ),
    ],
)
def test_what_is_not_known_is_waited_for_only_so_long(terms: Terms, waited: float, result: Result) -> None:
    assert decided(WEB, OPEN, terms=terms, waited=waited) == result


def test_a_refusal_is_one_whatever_trouble_is_let_through() -> None:
    assert decided(DENIED, OPEN, terms=PROCEEDING, waited=60) == Refuse("log: is deny")


@pytest.mark.parametrize(
    ("standing", "terms", "result"),
    [
        (WEB, TERMS, Proceed("policy 'production' admits 1 container")),
        (
            WEB,
            CHECKING,
            Refuse("the service could be deployed past this hook: the hook is not attached at POST_SCALE_UP"),
        ),
        (
            OPEN,
            CHECKING,
            Refuse("the service could be deployed past this hook: the hook is not attached at POST_SCALE_UP"),
        ),
        (DENIED, CHECKING, Refuse("log: is deny")),
    ],
)
def test_what_fails_open_is_refused_where_that_is_asked_for(
    standing: Standing, terms: Terms, result: Result
) -> None:
    assert decided(standing, terms=terms, warn=True) == result


def test_a_reason_names_a_few_and_counts_the_rest() -> None:
    many = [one("deny", f"c{number}") for number in range(MAX_NAMED + 2)]

    assert decided(*many) == Refuse("c0: is deny; c1: is deny; c2: is deny; and 2 more")
    assert decided(*many[:MAX_NAMED]) == Refuse("c0: is deny; c1: is deny; c2: is deny")


STANDINGS = st.lists(
    st.builds(
        one,
        st.sampled_from(["pass", "deny", "indeterminate", "exempt", "", "PASS", "none"]),
        observed=st.booleans(),
    ),
    max_size=5,
)


@given(STANDINGS, st.booleans(), st.sampled_from([TERMS, PROCEEDING, CHECKING]), st.floats(0, 100))
def test_it_goes_on_only_if_every_enforced_container_passes_or_is_exempt(
    standings: list[Standing], warn: bool, terms: Terms, waited: float
) -> None:
    result = decided(*standings, terms=terms, waited=waited, warn=warn)
    enforced = {standing.verdict for standing in standings if not standing.observed}
    lets_through = terms.on_trouble == "proceed" and waited >= 30 and "deny" not in enforced
    is_open = bool(standings) and (enforced <= {"pass", "exempt"} or lets_through)

    assert isinstance(result, Proceed) == (is_open and not (warn and terms.self_check == "refuse"))

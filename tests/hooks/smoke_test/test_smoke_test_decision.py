"""What is decided about answers, without any."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hooks.smoke_test.decision import Answer, Expected, Finding, Standing, Terms, decide, judge
from shared.response import Proceed, Refuse, Wait

TERMS = Terms(marker=("x-revision", "shop:7"), max_milliseconds=500, attempts=3, wait_seconds=10)
HEALTH = Expected(method="GET", path="/health", status=200, text="ok", headers={"Content-Type": "json"})
FROM_GREEN = {"x-revision": "shop:7", "content-type": "application/json"}
GOOD = Answer(status=200, milliseconds=12, headers=FROM_GREEN, has_text=True)

PASS, PENDING, WRONG = Standing.AS_EXPECTED, Standing.PENDING, Standing.WRONG


@pytest.mark.parametrize(
    ("answer", "finding"),
    [
        (GOOD, Finding(PASS, "GET /health: 200 in 12 ms")),
        (replace(GOOD, status=404), Finding(WRONG, "GET /health: 404 in 12 ms, expected 200")),
        # Green says it itself, whatever its status is.
        (replace(GOOD, status=503), Finding(WRONG, "GET /health: 503 in 12 ms, expected 200")),
        (
            replace(GOOD, has_text=False),
            Finding(WRONG, "GET /health: 200 in 12 ms, without 'ok' in its body"),
        ),
        (
            replace(GOOD, headers={**FROM_GREEN, "content-type": "text/html"}),
            Finding(WRONG, "GET /health: 200 in 12 ms, Content-Type is 'text/html', expected 'json' in it"),
        ),
        (
            replace(GOOD, milliseconds=501),
            Finding(PENDING, "GET /health: 200 in 501 ms, more than 500"),
        ),
        (
            Answer(failure="no answer: Connection refused", headers={}),
            Finding(PENDING, "GET /health: no answer: Connection refused"),
        ),
        (
            replace(GOOD, headers={**FROM_GREEN, "x-revision": "shop:6"}),
            Finding(
                PENDING,
                "GET /health: 200 in 12 ms, not from green: x-revision is 'shop:6', expected 'shop:7'",
            ),
        ),
        (
            replace(GOOD, status=503, headers={}),
            Finding(
                PENDING, "GET /health: 503 in 12 ms, not from green: x-revision is None, expected 'shop:7'"
            ),
        ),
    ],
    ids=[
        *("good", "not there", "unavailable", "another text", "another type"),
        *("slow", "no answer", "blue's", "the balancer's"),
    ],
)
def test_an_answer_is_held_against_what_was_expected(answer: Answer, finding: Finding) -> None:
    assert judge(HEALTH, answer, TERMS) == finding


@pytest.mark.parametrize(
    ("status", "standing"), [(500, WRONG), (502, PENDING), (503, PENDING), (504, PENDING)]
)
def test_without_proof_a_gateway_s_error_is_not_taken_for_green_s(status: int, standing: Standing) -> None:
    answer = replace(GOOD, status=status, headers={})

    assert judge(HEALTH, answer, replace(TERMS, marker=None)).standing is standing


AS_IT_SHOULD = Finding(PASS, "a: 200")
NOT_YET = Finding(PENDING, "b: no answer")
NOT_SO = Finding(WRONG, "c: 404")


@pytest.mark.parametrize(
    ("findings", "attempt", "result"),
    [
        ([AS_IT_SHOULD, AS_IT_SHOULD], 1, Proceed("green answers as it should: a: 200; a: 200")),
        (
            [AS_IT_SHOULD, NOT_YET],
            2,
            Wait("and ask again, attempt 2 of 3: b: no answer", 10, state={"attempts": 2}),
        ),
        (
            [AS_IT_SHOULD, NOT_YET],
            3,
            Refuse("green does not answer as it should in 3 attempts: b: no answer"),
        ),
        ([NOT_YET, NOT_SO], 1, Refuse("green fails the smoke test: c: 404")),
    ],
    ids=["all as expected", "not yet", "never", "wrong"],
)
def test_what_is_found_is_what_ecs_is_told(
    findings: list[Finding], attempt: int, result: Proceed | Wait | Refuse
) -> None:
    assert decide(findings, TERMS, attempt) == result


@given(
    st.lists(st.sampled_from([AS_IT_SHOULD, NOT_YET, NOT_SO]), min_size=1, max_size=20),
    st.integers(1, 100),
)
def test_nothing_passes_but_what_is_all_as_expected(findings: list[Finding], attempt: int) -> None:
    result = decide(findings, TERMS, attempt)

    assert isinstance(result, Proceed) == (set(findings) == {AS_IT_SHOULD})
    assert not isinstance(result, Wait) or attempt < TERMS.attempts


@given(
    st.integers(0, 1000),
    st.integers(0, 100_000),
    st.dictionaries(st.sampled_from(["x-revision", "content-type"]), st.text(max_size=10)),
    st.booleans(),
)
def test_no_answer_without_green_s_marker_passes(
    status: int, milliseconds: int, headers: dict[str, str], has_text: bool
) -> None:
    answer = Answer(status=status, milliseconds=milliseconds, headers=headers, has_text=has_text)

    assert judge(HEALTH, answer, TERMS).standing is not PASS or headers.get("x-revision") == "shop:7"

"""What becomes of a requirement whose parts stand one way or another."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hooks.image_trust.evidence import (
    AttachedTo,
    Attachments,
    Evidence,
    FactsOf,
    ImageAt,
    KeyOf,
    Kind,
    RevocationOf,
    RootOf,
    SigningOf,
    Want,
)
from hooks.image_trust.finding import (
    MAX_TEXT_CHARACTERS,
    Digest,
    Finding,
    Outcome,
    Problem,
    Rejected,
    Signed,
    Unsettled,
    combine,
)
from hooks.image_trust.reference import Reference
from shared.errors import HookError, Misconfigured, Transient, Untrusted

DIGEST = Digest("sha256:" + "a" * 64)
AT = datetime(2026, 3, 5, 12, 0, tzinfo=UTC)
HERE = Reference("ghcr.io", "shop/web")

PASS, WAIT, WRONG, NO = (
    Outcome.PASS,
    Outcome.UNVERIFIABLE,
    Outcome.MISCONFIGURED,
    Outcome.UNTRUSTED,
)


def part(outcome: Outcome, number: int = 0) -> Finding:
    return Finding(check=f"c{number}", outcome=outcome, code=f"{outcome}-{number}", text=f"t{number}")


@st.composite
def parts_and_needed(draw: st.DrawFn) -> tuple[list[Finding], int]:
    outcomes = draw(st.lists(st.sampled_from(Outcome), min_size=1, max_size=6))
    needed = draw(st.integers(1, len(outcomes)))
    return [part(outcome, number) for number, outcome in enumerate(outcomes)], needed


def best_that_can_come_true(outcomes: list[Outcome], needed: int) -> Outcome:
    """Say the same by a different road: the outcome of the needed-th best part."""
    order = [PASS, WAIT, WRONG, NO]
    return sorted(outcomes, key=order.index)[needed - 1]


@given(parts_and_needed())
def test_a_requirement_stands_as_the_best_parts_that_it_needs_do(case: tuple[list[Finding], int]) -> None:
    parts, needed = case
    found = combine("atLeast", needed, parts)

    assert found.outcome is best_that_can_come_true([one.outcome for one in parts], needed)
    assert found.parts == tuple(parts)
    assert found.check == "atLeast"


@given(parts_and_needed(), st.randoms())
def test_the_order_of_parts_changes_nothing_about_the_outcome(
    case: tuple[list[Finding], int], random: object
) -> None:
    parts, needed = case
    shuffled = list(parts)
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # hypothesis's own Random

    assert combine("", needed, parts).outcome is combine("", needed, shuffled).outcome


@given(parts_and_needed())
def test_it_is_explained_by_the_first_part_that_stands_as_it_does(case: tuple[list[Finding], int]) -> None:
    parts, needed = case
    found = combine("x", needed, parts)
    if found.outcome is PASS:
        return
    telling = next(one for one in parts if one.outcome is found.outcome)

    assert found.code == telling.code
    assert found.text.endswith(telling.text)


@given(parts_and_needed())
def test_it_passes_only_by_parts_that_pass(case: tuple[list[Finding], int]) -> None:
    parts, needed = case
    passes = sum(one.outcome is PASS for one in parts) >= needed

    assert (combine("", needed, parts).outcome is PASS) == passes


@pytest.mark.parametrize(
    ("needed", "parts", "outcome", "code", "text"),
    [
        # allOf
        (2, [PASS, PASS], PASS, "ok", "2 of 2 hold, 2 needed"),
        (2, [PASS, WAIT], WAIT, "unverifiable-1", "t1"),
        (2, [WAIT, NO], NO, "untrusted-1", "t1"),
        (2, [WAIT, WRONG], WRONG, "misconfigured-1", "t1"),
        (2, [WRONG, NO], NO, "untrusted-1", "t1"),
        # anyOf
        (1, [NO, PASS], PASS, "ok", "1 of 2 hold, 1 needed"),
        (1, [NO, WAIT], WAIT, "unverifiable-1", "0 of 1 needed hold; t1"),
        (1, [WRONG, WAIT], WAIT, "unverifiable-1", "0 of 1 needed hold; t1"),
        (1, [NO, WRONG], WRONG, "misconfigured-1", "0 of 1 needed hold; t1"),
        (1, [WRONG, PASS], PASS, "ok", "1 of 2 hold, 1 needed"),
        # atLeast
        (2, [PASS, NO, WAIT], WAIT, "unverifiable-2", "1 of 2 needed hold; t2"),
        (2, [PASS, NO, NO], NO, "untrusted-1", "1 of 2 needed hold; t1"),
    ],
)
def test_what_comes_of_parts(
    needed: int, parts: list[Outcome], outcome: Outcome, code: str, text: str
) -> None:
    findings = tuple(part(one, number) for number, one in enumerate(parts))

    assert combine("of", needed, findings) == Finding(
        check="of", outcome=outcome, code=code, text=text, parts=findings
    )


def test_a_finding_is_written_with_what_it_has() -> None:
    leaf = Finding(check="cosign", outcome=NO, code="no-signature", text="none", evidence={"candidates": []})
    tree = combine("anyOf", 1, [leaf])

    assert tree.write() == {
        "check": "anyOf",
        "outcome": "untrusted",
        "code": "no-signature",
        "text": "none",
        "parts": [
            {
                "check": "cosign",
                "outcome": "untrusted",
                "code": "no-signature",
                "text": "none",
                "evidence": {"candidates": []},
            }
        ],
    }


@pytest.mark.parametrize(
    ("signed", "written"),
    [
        (Signed(signer="key release", digest=DIGEST), {"signer": "key release", "digest": DIGEST}),
        (
            Signed(
                signer="CN=ci",
                digest=DIGEST,
                signed_at=AT,
                certificate="ab" * 32,
                log_index=0,
                claims={"not": "said"},
                warnings=("expired",),
            ),
            {
                "signer": "CN=ci",
                "digest": DIGEST,
                "signedAt": "2026-03-05T12:00:00+00:00",
                "certificate": "ab" * 32,
                "logIndex": 0,
                "warnings": ["expired"],
            },
        ),
    ],
)
def test_a_signature_is_written_with_what_is_proven_of_it(signed: Signed, written: dict[str, object]) -> None:
    assert signed.write() == written


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        (Transient("throttled"), Problem(WAIT, "unavailable", "throttled")),
        (Misconfigured("no permission"), Problem(WRONG, "misconfigured", "no permission")),
        (Rejected("no-image", "not there"), Problem(NO, "no-image", "not there")),
        (Untrusted("no"), Problem(NO, "refused", "no")),
    ],
)
def test_an_error_makes_of_a_fact_what_its_kind_says(error: HookError, problem: Problem) -> None:
    assert Problem.of(error) == problem


@pytest.mark.parametrize("error", [Transient, Misconfigured, Untrusted])
def test_no_reason_is_longer_than_a_person_reads(error: type[HookError]) -> None:
    long = "x" * 10_000

    assert len(Problem.of(error(long)).text) == MAX_TEXT_CHARACTERS
    assert str(Rejected("long", long)) == "x" * (MAX_TEXT_CHARACTERS - 1) + "…"
    assert str(Rejected("fits", "x" * MAX_TEXT_CHARACTERS)) == "x" * MAX_TEXT_CHARACTERS


def test_what_is_unsettled_says_why() -> None:
    assert str(Unsettled(None)) == "is being fetched"
    assert str(Unsettled(Problem(WAIT, "unavailable", "throttled"))) == "throttled"


WANTS: list[tuple[str, Want]] = [
    ("images", ImageAt(HERE)),
    ("keys", KeyOf("arn:aws:kms:eu-west-1:111122223333:key/1")),
    ("roots", RootOf("public")),
    ("revocations", RevocationOf("arn:profile", "arn:job", AT, ("ab",))),
    ("signing", SigningOf(HERE, DIGEST)),
    ("facts", FactsOf(HERE, DIGEST, scan=True)),
]


@pytest.mark.parametrize(("table", "want"), WANTS)
def test_a_fact_that_is_lacking_is_a_problem_of_that_fact_alone(table: str, want: Want) -> None:
    evidence, expected = Evidence(), Evidence()
    problem = Problem(WAIT, "unavailable", "throttled")
    evidence.lack(want, problem)
    setattr(expected, table, {want: problem})

    assert evidence == expected


def test_attachments_that_are_lacking_are_none_with_a_problem() -> None:
    evidence, want = Evidence(), AttachedTo(HERE, DIGEST, frozenset({Kind.BUNDLE}))
    problem = Problem(WAIT, "unavailable", "throttled")
    evidence.lack(want, problem)

    assert evidence == Evidence(attached={want: Attachments((), (problem,))})

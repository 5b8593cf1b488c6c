"""What ECR says about an image, held against what a rule asks."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from hooks.image_trust.ecr_facts import check_age, check_scan, check_tags_are_immutable
from hooks.image_trust.evidence import EcrFacts, Scan
from hooks.image_trust.finding import Outcome, Problem, Rejected, Unsettled
from hooks.image_trust.policy import ScanLimit

NOW = datetime(2026, 3, 5, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


def facts(**changes: Any) -> EcrFacts:
    return EcrFacts(
        **{"tag_mutability": "IMMUTABLE", "exclusions": (), "pushed_at": NOW, "scan": None, **changes}
    )


def scan(**changes: Any) -> EcrFacts:
    return facts(scan=Scan(**{"status": "COMPLETE", "at": NOW, "counts": {}, **changes}))


def refused(check: Any, *arguments: Any) -> tuple[str, str]:
    with pytest.raises(Rejected) as caught:
        check(*arguments)
    return caught.value.code, str(caught.value)


# ------------------------------------------------------------------------------------ tags

IMMUTABLE_BUT, MUTABLE_BUT = "IMMUTABLE_WITH_EXCLUSION", "MUTABLE_WITH_EXCLUSION"


@pytest.mark.parametrize(
    ("mutability", "exclusions", "tag", "said"),
    [
        ("IMMUTABLE", (), "v1", "its tags can't be moved"),
        ("IMMUTABLE", (), None, "its tags can't be moved"),
        (IMMUTABLE_BUT, ("dev-*",), "v1", "its tag can't be moved"),
        (IMMUTABLE_BUT, ("dev-*",), "my-dev-1", "its tag can't be moved"),
        (IMMUTABLE_BUT, ("v.",), "v1", "its tag can't be moved"),
        (IMMUTABLE_BUT, ("v1",), "v10", "its tag can't be moved"),
        (IMMUTABLE_BUT, ("dev-*",), None, "tags can't be moved, with exceptions"),
        (MUTABLE_BUT, ("release-*",), "release-1", "its tag can't be moved"),
        (MUTABLE_BUT, ("x", "*-*-final"), "release-1-final", "its tag can't be moved"),
    ],
)
def test_a_tag_that_can_t_be_moved(mutability: str, exclusions: tuple[str, ...], tag: Any, said: str) -> None:
    assert check_tags_are_immutable(facts(tag_mutability=mutability, exclusions=exclusions), tag) == said


@pytest.mark.parametrize(
    ("mutability", "exclusions", "tag"),
    [
        ("MUTABLE", (), "v1"),
        ("MUTABLE", (), None),
        ("MUTABLE", ("v1",), "v1"),
        (IMMUTABLE_BUT, ("dev-*",), "dev-"),
        (IMMUTABLE_BUT, ("*",), "v1"),
        (IMMUTABLE_BUT, ("v1", "v2"), "v2"),
        (MUTABLE_BUT, ("release-*",), "v1"),
        (MUTABLE_BUT, ("release-*",), "my-release-1"),
        (MUTABLE_BUT, ("release-*",), None),
        (MUTABLE_BUT, (), "v1"),
        ("", (), "v1"),
        ("IMMUTABLE_ON_SUNDAYS", (), "v1"),
    ],
)
def test_a_tag_that_can_be_moved_or_may_be(mutability: str, exclusions: tuple[str, ...], tag: Any) -> None:
    found = facts(tag_mutability=mutability, exclusions=exclusions)
    code, text = refused(check_tags_are_immutable, found, tag)

    assert code == "mutable-tags"
    assert mutability in text
    assert (f"for tag {tag!r}" in text) == bool(exclusions and tag)


# ------------------------------------------------------------------------------------ age


@pytest.mark.parametrize(
    ("pushed", "longest", "said"),
    [
        (NOW - 30 * 24 * HOUR, 30, "pushed 30.0 days ago"),
        (NOW - 12 * HOUR, 0.5, "pushed 0.5 days ago"),
        (NOW + HOUR, 1, "pushed -0.0 days ago"),
        (datetime(1970, 1, 1, tzinfo=UTC), 1e300, "pushed 20517.5 days ago"),
    ],
)
def test_an_image_that_is_young_enough(pushed: datetime, longest: float, said: str) -> None:
    assert check_age(facts(pushed_at=pushed), longest, NOW) == said


@pytest.mark.parametrize(
    ("pushed", "longest", "refusal"),
    [
        (
            NOW - 30 * 24 * HOUR - timedelta(seconds=1),
            30,
            ("image-too-old", "it was pushed 30.0 days ago, 30 allowed"),
        ),
        (NOW - 13 * HOUR, 0.5, ("image-too-old", "it was pushed 0.5 days ago, 0.5 allowed")),
        (None, 30, ("unknown-age", "ECR does not say when it was pushed")),
    ],
)
def test_an_image_that_is_too_old_or_of_no_known_age(
    pushed: datetime | None, longest: float, refusal: tuple[str, str]
) -> None:
    assert refused(check_age, facts(pushed_at=pushed), longest, NOW) == refusal


# ------------------------------------------------------------------------------------ scans

LIMIT = ScanLimit(block={"CRITICAL": 0, "HIGH": 2})


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (scan(), "scanned: no findings"),
        (scan(at=NOW - 24 * HOUR), "scanned: no findings"),
        (scan(counts={"HIGH": 2, "CRITICAL": 0, "LOW": 70}), "scanned: 0 CRITICAL, 2 HIGH, 70 LOW"),
        # Looked at again whenever there is something new.
        (scan(status="ACTIVE", at=NOW - 1000 * HOUR), "scanned: no findings"),
        (scan(status="ACTIVE", at=None), "scanned: no findings"),
    ],
)
def test_a_scan_that_found_no_more_than_is_allowed(found: EcrFacts, said: str) -> None:
    assert check_scan(found, LIMIT, NOW) == said


@pytest.mark.parametrize(
    ("found", "refusal"),
    [
        (facts(), ("not-scanned", "it has not been scanned; switch on scanning on push, or scan it")),
        (scan(status="FAILED"), ("scan-failed", "its scan is FAILED: ECR does not say why")),
        (
            scan(status="UNSUPPORTED_IMAGE", description="no such system"),
            ("scan-failed", "its scan is UNSUPPORTED_IMAGE: no such system"),
        ),
        (scan(status="SCAN_ELIGIBILITY_EXPIRED"), None),
        (scan(status=""), None),
        (scan(status="complete"), None),
        (scan(at=None), ("scan-too-old", "ECR does not say when it was scanned")),
        (
            scan(at=NOW - 24 * HOUR - timedelta(seconds=1)),
            ("scan-too-old", "its last scan, of 2026-03-04 11:59 UTC, is over 24 hours old"),
        ),
        (
            scan(counts={"CRITICAL": 1}),
            ("vulnerable", "its scan has 1 findings CRITICAL, 0 allowed"),
        ),
        (scan(counts={"HIGH": 3}), ("vulnerable", "its scan has 3 findings HIGH, 2 allowed")),
        (
            scan(status="ACTIVE", counts={"HIGH": 3}),
            ("vulnerable", "its scan has 3 findings HIGH, 2 allowed"),
        ),
    ],
)
def test_a_scan_that_does_not_do(found: EcrFacts, refusal: tuple[str, str] | None) -> None:
    seen = refused(check_scan, found, LIMIT, NOW)

    assert seen == refusal or (refusal is None and seen[0] == "scan-failed")


@pytest.mark.parametrize("status", ["IN_PROGRESS", "PENDING"])
def test_a_scan_under_way_is_not_known_yet(status: str) -> None:
    with pytest.raises(Unsettled) as caught:
        check_scan(scan(status=status, at=None, counts={"CRITICAL": 9}), LIMIT, NOW)

    assert caught.value.problem == Problem(Outcome.UNVERIFIABLE, "scan-in-progress", "it is being scanned")

"""Judge what ECR says about an image and its repository.

Sources: https://docs.aws.amazon.com/AmazonECR/latest/userguide/image-tag-mutability.html and
https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_ImageScanStatus.html.
"""

import re
from datetime import datetime, timedelta

from hooks.image_trust.evidence import EcrFacts
from hooks.image_trust.finding import Outcome, Problem, Rejected, Unsettled
from hooks.image_trust.policy import ScanLimit

_UNDER_WAY = frozenset({"IN_PROGRESS", "PENDING"})
# Inspector looks at such an image again whenever it learns of a vulnerability: its findings are never old.
_CONTINUOUS = "ACTIVE"


def check_tags_are_immutable(facts: EcrFacts, tag: str | None) -> str:
    """Return what holds, where the tag by which the image was named can't be moved.

    Raises
    ------
    Rejected
        ``mutable-tags``.
    """
    is_excluded = tag is not None and any(_covers(wildcard, tag) for wildcard in facts.exclusions)
    match facts.tag_mutability:
        case "IMMUTABLE":
            return "its tags can't be moved"
        case "IMMUTABLE_WITH_EXCLUSION" if not is_excluded:
            return "its tag can't be moved" if tag else "tags can't be moved, with exceptions"
        case "MUTABLE_WITH_EXCLUSION" if is_excluded:
            return "its tag can't be moved"
    raise Rejected(
        "mutable-tags",
        f"the repository is {facts.tag_mutability}{f' for tag {tag!r}' if facts.exclusions and tag else ''}; "
        "the rule requires that tags can't be moved",
    )


def check_age(facts: EcrFacts, longest_days: float, now: datetime) -> str:
    """Return how old the image is.

    Raises
    ------
    Rejected
        ``image-too-old``, ``unknown-age``.
    """
    if facts.pushed_at is None:
        raise Rejected("unknown-age", "ECR does not say when it was pushed")
    days = (now - facts.pushed_at) / timedelta(days=1)
    if days > longest_days:
        raise Rejected("image-too-old", f"it was pushed {days:.1f} days ago, {longest_days:g} allowed")
    return f"pushed {days:.1f} days ago"


def check_scan(facts: EcrFacts, limit: ScanLimit, now: datetime) -> str:
    """Return what the last scan found.

    Raises
    ------
    Rejected
        ``not-scanned``, ``scan-failed``, ``scan-too-old``, ``vulnerable``.
    Unsettled
        ``scan-in-progress``.
    """
    scan = facts.scan
    if scan is None:
        raise Rejected("not-scanned", "it has not been scanned; switch on scanning on push, or scan it")
    if scan.status in _UNDER_WAY:
        raise Unsettled(Problem(Outcome.UNVERIFIABLE, "scan-in-progress", "it is being scanned"))
    if scan.status not in {"COMPLETE", _CONTINUOUS}:
        raise Rejected(
            "scan-failed", f"its scan is {scan.status}: {scan.description or 'ECR does not say why'}"
        )
    if scan.status != _CONTINUOUS:
        if scan.at is None:
            raise Rejected("scan-too-old", "ECR does not say when it was scanned")
        age = now - scan.at
        if age > timedelta(hours=limit.max_age_hours):
            raise Rejected(
                "scan-too-old",
                f"its last scan, of {scan.at:%Y-%m-%d %H:%M} UTC, is over {limit.max_age_hours:g} hours old",
            )
    for severity, allowed in limit.block.items():
        found = scan.counts.get(severity, 0)
        if found > allowed:
            raise Rejected("vulnerable", f"its scan has {found} findings {severity}, {allowed} allowed")
    counted = ", ".join(f"{count} {severity}" for severity, count in sorted(scan.counts.items()))
    return f"scanned: {counted or 'no findings'}"


def _covers(wildcard: str, tag: str) -> bool:
    """Match as ECR's exclusion filters do, in which ``*`` is any text.

    Source: https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_ImageTagMutabilityExclusionFilter.html
    """
    return re.fullmatch(".*".join(map(re.escape, wildcard.split("*"))), tag) is not None

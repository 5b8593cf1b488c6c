"""Lay out findings for people, in the shape that ``shared.record`` describes."""

from collections.abc import Iterator, Sequence
from typing import Any

from hooks.image_trust.finding import Finding
from hooks.image_trust.judging import Judged

# A tree of any size may be required of any number of containers; the record has the whole of it.
MAX_ROWS = 60
INDENT = "\u2002\u2002"


def tables(judged: Sequence[Judged]) -> list[dict[str, Any]]:
    """Return a row per container, and one per requirement of its rule."""
    proven = [row for one in judged for row in _requirements(one.container, one.finding, 0)]
    return [
        {
            "title": "Containers",
            "columns": ["container", "image", "rule", "verdict", "why"],
            "rows": [
                [one.container, _short(one.image), one.rule or "none", one.verdict.value, _why(one)]
                for one in judged[:MAX_ROWS]
            ],
        },
        {
            "title": "What was required",
            "columns": ["container", "requirement", "outcome", "found"],
            "rows": proven[:MAX_ROWS],
        },
    ]


def _requirements(container: str, finding: Finding, depth: int) -> Iterator[list[str]]:
    yield [container, INDENT * depth + finding.check, finding.outcome.value, finding.text]
    for part in finding.parts:
        yield from _requirements(container, part, depth + 1)


def _why(one: Judged) -> str:
    observed = ("only observed",) if one.observed else ()
    return "; ".join((one.finding.text, *one.notes, *observed))


def _short(image: str) -> str:
    """Return an image without most of its digest, which the record has."""
    name, at, digest = image.partition("@sha256:")
    return f"{name}@{digest[:12]}…" if at else name

"""Globs, and which of two is the more specific.

``*`` is any text without a slash, ``**`` any text at all; everything else is itself. A glob covers the whole
text::

    shop/*     shop/web                 not shop/web/v2
    shop/**    shop/web, shop/web/v2

Images' globs are read a little differently; see :mod:`hooks.image_trust.image_glob`.
"""

import re
from collections.abc import Iterator, Sequence
from enum import Enum
from functools import lru_cache

MAX_TEXT_LENGTH = 4096
"""What is longer is covered by no glob: texts come from attestations, which anybody may have written."""

_TOKEN = re.compile(r"\*\*+|\*|[^*]+")


class Star(Enum):
    """A wildcard: any text without these characters, also none."""

    ANY = ""
    SEGMENT = "/"
    LABEL = "/."
    """Within a host's name."""


Token = str | Star
"""An element of a glob; a text is never empty."""


@lru_cache(maxsize=4096)
def tokens(glob: str, star: Star = Star.SEGMENT) -> tuple[Token, ...]:
    """Read a glob; *star* is what ``*`` stands for in it."""
    return tuple(
        part if part[0] != "*" else star if part == "*" else Star.ANY for part in _TOKEN.findall(glob)
    )


def matches(glob: str, text: str) -> bool:
    """Return whether *glob* covers *text*."""
    return covers(tokens(glob), text)


def specificity(glob: str) -> tuple[int, int, int]:
    """Return a sort key: the larger, the more specific.

    More literal characters are more specific; of equally many, fewer ``**``; then fewer ``*``. So a glob that
    covers less than another, and nothing else, is always the more specific of the two.
    """
    return weight(tokens(glob))


def overlap(one: str, other: str) -> bool:
    """Return whether some text is covered by both globs."""
    return common(tokens(one), tokens(other)) is not None


def covers(glob: Sequence[Token], text: str) -> bool:
    """Return whether the glob made of these tokens covers *text*.

    By the set of positions that are reached: nothing is tried twice, so that it takes time in proportion to
    the tokens times the text at most.
    """
    if len(text) > MAX_TEXT_LENGTH:
        return False
    reached = {0}
    for token in glob:
        if isinstance(token, Star):
            reached = _spread(reached, text, token)
        else:
            reached = {start + len(token) for start in reached if text.startswith(token, start)}
        if not reached:
            return False
    return len(text) in reached


def _spread(reached: set[int], text: str, star: Star) -> set[int]:
    if star is Star.ANY:
        return set(range(min(reached), len(text) + 1))
    ends: set[int] = set()
    for start in sorted(reached):
        end = start
        while end not in ends:  # what follows those, follows already
            ends.add(end)
            if end == len(text) or text[end] in star.value:
                break
            end += 1
    return ends


def weight(glob: Sequence[Token]) -> tuple[int, int, int]:
    """Return the specificity of the glob made of these tokens."""
    literal = sum(len(token) for token in glob if isinstance(token, str))
    across = sum(token is Star.ANY for token in glob)
    return literal, -across, across - sum(isinstance(token, Star) for token in glob)


def common(one: Sequence[Token], other: Sequence[Token]) -> str | None:
    """Return a text that both globs cover; ``None`` where there is none."""
    return None if differ(one, other) else _search(_elements(one), _elements(other))


def differ(one: Sequence[Token], other: Sequence[Token]) -> bool:
    """Return whether two globs differ in a whole segment before their first ``**``, or behind their last.

    Then no text is covered by both, and it is quickly told: most globs of a policy are told apart so.
    """
    return not all(map(_meet, _ends(tuple(one)), _ends(tuple(other))))


type _Elements = tuple[Token, ...]
"""Single characters and stars."""


def _elements(glob: Sequence[Token]) -> _Elements:
    return tuple(element for token in glob for element in ((token,) if isinstance(token, Star) else token))


@lru_cache(maxsize=4096)
def _ends(glob: tuple[Token, ...]) -> tuple[tuple[_Elements, ...], tuple[_Elements, ...]]:
    elements = _elements(glob)
    return _segments(elements), _segments(elements[::-1])


def _segments(elements: _Elements) -> tuple[_Elements, ...]:
    """Return what stands between slashes, as long as it is certain which segment it is."""
    found: list[list[Token]] = [[]]
    for element in elements:
        if element is Star.ANY:
            return tuple(map(tuple, found[:-1]))
        if element == "/":
            found.append([])
        else:
            found[-1].append(element)
    return tuple(map(tuple, found))


def _meet(one: Sequence[_Elements], other: Sequence[_Elements]) -> bool:
    return all(left == right or _overlap(left, right) for left, right in zip(one, other, strict=False))


@lru_cache(maxsize=16_384)
def _overlap(one: _Elements, other: _Elements) -> bool:
    return _search(one, other) is not None


def _search(left: _Elements, right: _Elements) -> str | None:
    """Look for a text that leads through both, breadth first: each pair of positions is seen once."""
    came: dict[tuple[int, int], tuple[tuple[int, int], str] | None] = {(0, 0): None}
    todo = [(0, 0)]
    for here in todo:
        if here == (len(left), len(right)):
            return _spelled(came, here)
        for there, character in _steps(left, right, *here):
            if there not in came:
                came[there] = (here, character)
                todo.append(there)
    return None


def _steps(left: _Elements, right: _Elements, i: int, j: int) -> Iterator[tuple[tuple[int, int], str]]:
    """Yield what follows a pair of positions, with the character that it takes."""
    one = left[i] if i < len(left) else None
    other = right[j] if j < len(right) else None
    if isinstance(one, Star):
        yield (i + 1, j), ""
        if isinstance(other, str) and other not in one.value:
            yield (i, j + 1), other
    if isinstance(other, Star):
        yield (i, j + 1), ""
        if isinstance(one, str) and one not in other.value:
            yield (i + 1, j), one
    if isinstance(one, str) and one == other:
        yield (i + 1, j + 1), one


def _spelled(came: dict[tuple[int, int], tuple[tuple[int, int], str] | None], end: tuple[int, int]) -> str:
    characters: list[str] = []
    before = came[end]
    while before is not None:
        position, character = before
        characters.append(character)
        before = came[position]
    return "".join(reversed(characters))

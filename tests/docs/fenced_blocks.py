"""The pages of the documentation, taken apart: blocks of code, commands in a sentence, links, headings.

::

    ```sh          ─▶ Block("sh", what stands between the fences, its first line)
    `make test`    ─▶ Span("make test", its line)
    [a](b.md#c)    ─▶ Span("b.md#c", its line)
    ## What it is  ─▶ the anchor "what-it-is", as GitHub makes it
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).parents[2]

_FENCE = re.compile(r"^(?P<indent> *)(?P<fence>`{3,})(?P<language>[^`]*)$")
_CODE = re.compile(r"`([^`]+)`")
_LINK = re.compile(r"\]\(([^()\s]+(?:\([^()\s]*\)[^()\s]*)?)\)")
_HEADING = re.compile(r"^#{1,6} (.+)$")


@dataclass(frozen=True, slots=True)
class Block:
    """What stands between two fences."""

    language: str
    text: str
    line: int


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of a sentence."""

    text: str
    line: int


@dataclass(frozen=True)
class Page:
    """A page, by its path from the project's folder."""

    name: str
    text: str

    @classmethod
    def read(cls, name: str) -> "Page":
        return cls(name, (ROOT / name).read_text(encoding="utf-8"))

    @property
    def folder(self) -> Path:
        return (ROOT / self.name).parent

    @cached_property
    def _parts(self) -> tuple[list[Block], str]:
        """Return the blocks, and the text with empty lines in their place."""
        blocks: list[Block] = []
        rest: list[str] = []
        opened: re.Match[str] | None = None
        begun = 0
        lines: list[str] = []
        for number, line in enumerate(self.text.splitlines(), start=1):
            fence = _FENCE.match(line)
            if opened is None and fence:
                opened, begun, lines = fence, number + 1, []
            elif opened and fence and not fence["language"] and len(fence["fence"]) >= len(opened["fence"]):
                indent = len(opened["indent"])
                text = "".join(f"{one[indent:]}\n" for one in lines)
                blocks.append(Block(opened["language"].strip(), text, begun))
                opened = None
            elif opened:
                lines.append(line)
            rest.append("" if opened or fence else line)
        if opened:
            raise ValueError(f"{self.name}:{begun}: a block that has no end")
        return blocks, "\n".join(rest)

    @property
    def blocks(self) -> list[Block]:
        return self._parts[0]

    @property
    def prose(self) -> str:
        """What is in no block, with every line where it was."""
        return self._parts[1]

    def code(self) -> Iterator[Span]:
        """Yield what a sentence sets as code."""
        return self._spans(_CODE, self.prose)

    def links(self) -> Iterator[Span]:
        """Yield where links and pictures lead."""
        return self._spans(_LINK, _CODE.sub(lambda found: re.sub(r"[^\n]", "x", found[0]), self.prose))

    @cached_property
    def anchors(self) -> frozenset[str]:
        """Return the places of a page that a link can lead to.

        Source: https://docs.github.com/en/get-started/writing-on-github/getting-started-with-writing-and-formatting-on-github/basic-writing-and-formatting-syntax#section-links
        """
        found: set[str] = set()
        for line in self.prose.splitlines():
            if heading := _HEADING.match(line):
                plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading[1]).strip().lower()
                slug = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
                again = sum(1 for one in found if re.fullmatch(rf"{re.escape(slug)}(-\d+)?", one))
                found.add(f"{slug}-{again}" if again else slug)
        return frozenset(found)

    @staticmethod
    def _spans(pattern: re.Pattern[str], text: str) -> Iterator[Span]:
        for found in pattern.finditer(text):
            yield Span(" ".join(found[1].split()), text.count("\n", 0, found.start()) + 1)


def pages() -> list[str]:
    """Return the names of all pages."""
    patterns = ("README.md", "docs/*.md", "*/README.md", "*/*/README.md", "*/*/*/README.md")
    folders = {"docs", "examples", "events", "hooks", "benchmarks"}
    found = {path.relative_to(ROOT) for pattern in patterns for path in ROOT.glob(pattern)}
    return sorted(
        str(path)
        for path in found
        if (len(path.parts) == 1 or path.parts[0] in folders) and "node_modules" not in path.parts
    )

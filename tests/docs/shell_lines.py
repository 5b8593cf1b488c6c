"""The commands in a block of shell, as far as pages write shell.

::

    a && b | c &        three commands
    x=$(a) b > file     what is substituted is a command; where output goes is none of its words
    a \\                 one command on two lines; # begins a remark
    for x in y; do a    the words of the language itself are left out

Source: https://pubs.opengroup.org/onlinepubs/9799919799/utilities/V3_chap02.html
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

SUBSTITUTED = "SUBSTITUTED"
"""Stands in a word for what a command in it would print."""

_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
_LEFT_OUT = frozenset(
    {"if", "then", "elif", "else", "while", "until", "do", "!", "{", "}", "fi", "done", "time"}
)
_REDIRECT = re.compile(r"\d?(>>?|<)(&\d)?")
_REDIRECT_OF_OUTPUT = re.compile(r"(>>?|<)(&\d)?")
_HERE = re.compile(r"<<-?\s*(['\"]?)(\w+)\1")


class UnreadableError(Exception):
    """The block is no shell that pages write."""


@dataclass(slots=True)
class Command:
    """The words of a command, without the variables set before it."""

    line: int
    words: list[str] = field(default_factory=list)


def commands(text: str, first_line: int = 1) -> Iterator[Command]:
    """Yield the commands of a block; raises :class:`UnreadableError`."""
    found = _Reader(_without_documents(text), first_line).read()
    for command in found:
        while command.words and (command.words[0] in _LEFT_OUT or _ASSIGNMENT.match(command.words[0])):
            del command.words[0]
        if command.words and command.words[0] not in {"for", "case", "esac"}:
            yield command


def _without_documents(text: str) -> str:
    """Empty the lines of here-documents, so that line numbers stay."""
    lines: list[str] = []
    end: str | None = None
    for line in text.splitlines():
        if end is not None:
            end = None if line.strip() == end else end
            lines.append("")
            continue
        if here := _HERE.search(line):
            end = here[2]
            line = line.replace(here[0], "")  # noqa: PLW2901 - the rest of the line is a command like others
        lines.append(line)
    if end is not None:
        raise UnreadableError(f"the document that {end} ends has no end")
    return "".join(f"{line}\n" for line in lines)


class _Reader:
    """Reads from the left to the right, once."""

    def __init__(self, text: str, line: int) -> None:
        self._text, self._at, self._line = text, 0, line
        self._found: list[Command] = []
        self._command = Command(line)
        self._word: str | None = None
        self._redirects = False

    def read(self) -> list[Command]:
        while self._at < len(self._text):
            self._step()
        self._end_command()
        return self._found

    def _step(self) -> None:
        rest = self._text[self._at :]
        char = rest[0]
        if rest.startswith("\\\n"):
            self._skip(2)
        elif char == "\\" and len(rest) > 1:
            self._add(rest[1], 2)
        elif char in "'\"":
            self._quoted(char)
        elif rest.startswith("$("):
            self._substituted()
        elif char == "#" and self._word is None:
            self._skip(len(rest.partition("\n")[0]))
        elif char in " \t":
            self._end_word()
            self._skip(1)
        elif redirect := (_REDIRECT if self._word is None else _REDIRECT_OF_OUTPUT).match(rest):
            self._end_word()
            self._redirects = redirect[2] is None
            self._skip(len(redirect[0]))
        elif char in "\n;|&()":
            self._end_command()
            self._skip(1)
        else:
            self._add(char, 1)

    def _quoted(self, quote: str) -> None:
        begun = self._line
        self._add("", 1)
        while self._at < len(self._text):
            rest = self._text[self._at :]
            if rest[0] == quote:
                self._skip(1)
                return
            if quote == '"' and rest.startswith("$("):
                self._substituted()
            elif quote == '"' and rest[0] == "\\" and rest[1:2] in {'"', "\\", "$", "`", "\n"}:
                self._add("" if rest[1] == "\n" else rest[1], 2)
            else:
                self._add(rest[0], 1)
        raise UnreadableError(f"line {begun}: {quote} has no end")

    def _substituted(self) -> None:
        depth, end = 0, self._at + 1
        for end in range(self._at + 1, len(self._text)):
            depth += {"(": 1, ")": -1}.get(self._text[end], 0)
            if depth == 0:
                break
        else:
            raise UnreadableError(f"line {self._line}: $( has no end")
        self._found += _Reader(self._text[self._at + 2 : end], self._line).read()
        self._add(SUBSTITUTED, end + 1 - self._at)

    def _add(self, text: str, length: int) -> None:
        if not self._command.words and self._word is None:
            self._command.line = self._line
        self._word = (self._word or "") + text
        self._skip(length)

    def _skip(self, length: int) -> None:
        self._line += self._text.count("\n", self._at, self._at + length)
        self._at += length

    def _end_word(self) -> None:
        if self._word is not None and not self._redirects:
            self._command.words.append(self._word)
        if self._word is not None:
            self._word, self._redirects = None, False

    def _end_command(self) -> None:
        self._end_word()
        if self._command.words:
            self._found.append(self._command)
        self._command = Command(self._line)

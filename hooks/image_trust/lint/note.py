"""One thing to be said about a policy."""

from dataclasses import dataclass
from enum import StrEnum

from hooks.image_trust.policy import Rule


class Level(StrEnum):
    """What a note is worth."""

    ERROR = "error"
    """The policy is not used."""
    WARNING = "warning"
    """It is, and somebody should have meant it."""


@dataclass(frozen=True, slots=True)
class Note:
    """One thing to be said about a policy."""

    level: Level
    rule: str | None
    """Which rule, where it is about one."""
    text: str

    @property
    def sentence(self) -> str:
        return f"rule {self.rule!r}: {self.text}" if self.rule else self.text


def error(rule: Rule | None, text: str) -> Note:
    return Note(Level.ERROR, rule.name if rule else None, text)


def warning(rule: Rule | None, text: str) -> Note:
    return Note(Level.WARNING, rule.name if rule else None, text)

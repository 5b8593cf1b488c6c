"""What verification says: of one candidate, of one requirement, of one container.

::

    Rejected          a signature, manifest, reference, ... does not hold: code and sentence
    Signed            a signature that holds: who made it, over what, when
    Problem           a fact that could not be had, and what that makes of whoever needed it
    Unsettled         what is judged has to wait for a fact, or could not have it
    Finding           one requirement of a rule, judged; a tree, as the rule is one

    Outcome           PASS > UNVERIFIABLE > MISCONFIGURED > UNTRUSTED
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NewType, Self

from shared.errors import HookError, JsonObject, Misconfigured, Transient, Untrusted

Digest = NewType("Digest", str)
"""``sha256:`` and 64 lower-case hexadecimal digits; made by :func:`hooks.image_trust.reference.digest`."""


MAX_TEXT_CHARACTERS = 1000
"""Of a reason: who presents something can make what is wrong with it as long as he likes."""


class Outcome(StrEnum):
    """How a requirement stands."""

    PASS = "pass"  # noqa: S105  # a verdict
    UNVERIFIABLE = "unverifiable"
    """Not known now, and asking again may help: throttled, signing still under way."""
    MISCONFIGURED = "misconfigured"
    """Not known, and asking again can't help: no permission, no such repository, an unusable key."""
    UNTRUSTED = "untrusted"
    """Judged and found wanting."""


class Rejected(Untrusted):
    """What was presented does not hold.

    Parameters
    ----------
    code
        What is wrong, for programs: lower-case words with hyphens, such as ``wrong-key``. Stable.
    text
        The same as one sentence for a person.
    """

    def __init__(self, code: str, text: str) -> None:
        super().__init__(_cut(text))
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """A signature that holds."""

    signer: str
    """Who: ``key release``, a certificate's subject, an identity, a signing profile's ARN."""
    digest: Digest
    """What was signed."""
    signed_at: datetime | None = None
    """Only where it is proven: by a time-stamp, a transparency log, a signing authority."""
    certificate: str | None = None
    """SHA-256 of the leaf certificate's DER, in hexadecimal."""
    log_index: int | None = None
    """In the transparency log."""
    claims: Mapping[str, str] = field(default_factory=dict)
    """Annotations under the signature."""
    warnings: tuple[str, ...] = ()
    """What the level of verification only logs."""

    def write(self) -> JsonObject:
        """Return what a record says of it."""
        return {
            "signer": self.signer,
            "digest": self.digest,
            **({"signedAt": self.signed_at.isoformat()} if self.signed_at else {}),
            **({"certificate": self.certificate} if self.certificate else {}),
            **({"logIndex": self.log_index} if self.log_index is not None else {}),
            **({"warnings": list(self.warnings)} if self.warnings else {}),
        }


@dataclass(frozen=True, slots=True)
class Problem:
    """Why something could not be had."""

    outcome: Outcome
    """Never ``PASS``."""
    code: str
    text: str

    @classmethod
    def of(cls, error: HookError) -> Self:
        """Return what an error makes of whoever needed what it was about."""
        match error:
            case Transient():
                return cls(Outcome.UNVERIFIABLE, "unavailable", _cut(str(error)))
            case Misconfigured():
                return cls(Outcome.MISCONFIGURED, "misconfigured", _cut(str(error)))
            case Rejected(code=code):
                return cls(Outcome.UNTRUSTED, code, str(error))
        return cls(Outcome.UNTRUSTED, "refused", _cut(str(error)))


class Unsettled(Exception):
    """A verdict has to wait for a fact that is being fetched, or is about one that could not be had."""

    def __init__(self, problem: Problem | None) -> None:
        super().__init__(problem.text if problem else "is being fetched")
        self.problem = problem
        """``None`` while it is being fetched."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One requirement, judged."""

    check: str
    """The requirement's key in the policy: ``cosign``, ``allOf``, ..."""
    outcome: Outcome
    code: str
    """Why, for programs; ``ok`` when it passed."""
    text: str
    evidence: JsonObject = field(default_factory=dict)
    """What it was judged by; JSON."""
    parts: tuple["Finding", ...] = ()
    """Of ``allOf``, ``anyOf`` and ``atLeast``: how each of their requirements stands."""

    def write(self) -> JsonObject:
        """Return it as JSON, with all its parts."""
        return {
            "check": self.check,
            "outcome": self.outcome.value,
            "code": self.code,
            "text": self.text,
            **({"evidence": self.evidence} if self.evidence else {}),
            **({"parts": [part.write() for part in self.parts]} if self.parts else {}),
        }


def combine(check: str, needed: int, parts: Sequence[Finding]) -> Finding:
    """Judge a requirement that holds where *needed* of its *parts* hold.

    What can still turn out well is waited for, but never instead of saying that it can't: with too few
    parts that hold or may yet hold, the verdict is there already.
    """
    count = {outcome: sum(part.outcome is outcome for part in parts) for outcome in Outcome}
    passed = count[Outcome.PASS]
    hopeful = passed + count[Outcome.UNVERIFIABLE]
    if passed >= needed:
        outcome = Outcome.PASS
    elif hopeful >= needed:
        outcome = Outcome.UNVERIFIABLE
    elif hopeful + count[Outcome.MISCONFIGURED] >= needed:
        outcome = Outcome.MISCONFIGURED
    else:
        outcome = Outcome.UNTRUSTED
    if outcome is Outcome.PASS:
        code, text = "ok", f"{passed} of {len(parts)} hold, {needed} needed"
    else:
        # One that explains the outcome; the others stand beside it in the record.
        telling = next(part for part in parts if part.outcome is outcome)
        code = telling.code
        text = telling.text if needed == len(parts) else f"{passed} of {needed} needed hold; {telling.text}"
    return Finding(check=check, outcome=outcome, code=code, text=text, parts=tuple(parts))


def _cut(text: str) -> str:
    return text if len(text) <= MAX_TEXT_CHARACTERS else f"{text[: MAX_TEXT_CHARACTERS - 1]}…"

"""From what was answered to what ECS is told.

::

    every answer is green's, and as expected ───────────────▶ go on
    green itself answers something else ────────────────────▶ refuse
    no answer, not green's, a gateway's error, or too slow ─┬▶ ask all of it again after waitSeconds
                                                            └▶ refuse, after so many attempts

Test traffic has only just been led to green when the hook is called: what may pass with time is given some.
What green itself says wrongly, a second answer does not mend.
"""

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shared.errors import shown
from shared.response import Proceed, Refuse, Result, Wait

# https://www.rfc-editor.org/rfc/rfc9110#section-15.6.3 and following: of whoever is in between.
GATEWAY_ERRORS = frozenset({502, 503, 504})


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """One request, and what is expected of its answer."""

    method: str
    path: str
    status: int
    text: str
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came, as far as it decides."""

    failure: str = ""
    """Why nothing came; empty when something did."""
    status: int = 0
    milliseconds: int = 0
    headers: Mapping[str, str]
    """Those that count, by their names in lower case."""
    has_text: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """The settings, as far as they decide."""

    marker: tuple[str, str] | None
    """The header of green's answers, and its value; ``None`` where nothing has to prove them green's."""
    max_milliseconds: int
    attempts: int
    wait_seconds: int


class Standing(enum.StrEnum):
    """How one check stands; the words are the ones that consoles colour."""

    AS_EXPECTED = "pass"
    PENDING = "indeterminate"
    WRONG = "deny"


@dataclass(frozen=True, slots=True)
class Finding:
    """What became of one check."""

    standing: Standing
    text: str


def judge(expected: Expected, answer: Answer, terms: Terms) -> Finding:
    """Hold one answer against what was expected of it."""
    asked = f"{expected.method} {expected.path}"
    if answer.failure:
        return Finding(Standing.PENDING, f"{asked}: {answer.failure}")
    said = f"{asked}: {answer.status} in {answer.milliseconds} ms"
    if terms.marker is not None:
        name, value = terms.marker
        found = answer.headers.get(name.lower())
        if found != value:
            return Finding(
                Standing.PENDING, f"{said}, not from green: {name} is {shown(found)}, expected {value!r}"
            )
    elif answer.status in GATEWAY_ERRORS:
        return Finding(Standing.PENDING, said)
    if wrong := _wrong(expected, answer):
        return Finding(Standing.WRONG, f"{said}, {wrong}")
    if answer.milliseconds > terms.max_milliseconds:
        return Finding(Standing.PENDING, f"{said}, more than {terms.max_milliseconds}")
    return Finding(Standing.AS_EXPECTED, said)


def decide(findings: Sequence[Finding], terms: Terms, attempt: int) -> Result:
    """Answer one call, the *attempt*-th from 1."""
    failed = [finding.text for finding in findings if finding.standing is Standing.WRONG]
    pending = [finding.text for finding in findings if finding.standing is Standing.PENDING]
    if failed:
        return Refuse(f"green fails the smoke test: {'; '.join(failed)}")
    if not pending:
        return Proceed(f"green answers as it should: {'; '.join(finding.text for finding in findings)}")
    if attempt < terms.attempts:
        return Wait(
            f"and ask again, attempt {attempt} of {terms.attempts}: {'; '.join(pending)}",
            terms.wait_seconds,
            state={"attempts": attempt},
        )
    return Refuse(f"green does not answer as it should in {attempt} attempts: {'; '.join(pending)}")


def _wrong(expected: Expected, answer: Answer) -> str:
    """Say what of an answer of green's is not as expected; empty when all is."""
    if answer.status != expected.status:
        return f"expected {expected.status}"
    if expected.text and not answer.has_text:
        return f"without {shown(expected.text)} in its body"
    for name, text in expected.headers.items():
        found = answer.headers.get(name.lower(), "")
        if text not in found:
            return f"{name} is {shown(found)}, expected {text!r} in it"
    return ""

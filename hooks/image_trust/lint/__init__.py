"""What is wrong with a policy as a whole, beyond what its models can say.

An *error* makes the document unusable: the hook refuses every deployment under it, because it would not do
what whoever wrote it thinks it does. A *warning* is for its author: it does what it says, and somebody should
have meant it.

::

    error    precedence  two rules equally specific for some image; a rule, or a glob, that covers nothing
             trust       keys, trust stores and identities that can't be read, or are of the wrong type
             counting    "n of m" that one signature fulfils twice
             reach       evidence asked of a registry that the policy does not name; what can't hold there
             openness    a rule that anybody can fulfil: any account's ECR, any repository of Docker Hub,
                         any workflow
    warning  habits      what only observes, only logs, is skipped, has no end, is past it, or is never used

A rule that only observes decides nothing, so that what it lets through is a warning.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

from hooks.image_trust.lint import counting, habits, openness, precedence, reach, trust
from hooks.image_trust.lint.note import Level, Note
from hooks.image_trust.policy import Policy

__all__ = ["Level", "Note", "lint"]


def lint(policy: Policy, *, now: datetime | None = None) -> tuple[Note, ...]:
    """Say what is wrong with a policy: errors first, then in the order of its rules. Pure.

    Parameters
    ----------
    now
        Adds what is past its end; ``None`` says nothing of times. No error depends on it.
    """
    order = {rule.name: number for number, rule in enumerate(policy.rules)}
    notes = dict.fromkeys(_notes(policy, now))
    return tuple(
        sorted(notes, key=lambda note: (note.level is not Level.ERROR, order.get(note.rule or "", -1)))
    )


def _notes(policy: Policy, now: datetime | None) -> Iterator[Note]:
    yield from trust.notes(policy)
    yield from precedence.notes(policy)
    for rule in policy.rules:
        yield from counting.notes(policy, rule)
        yield from reach.notes(policy, rule)
        observes = rule.mode == "observe" or policy.mode == "observe"
        for note in openness.notes(policy, rule):
            yield replace(note, level=Level.WARNING) if observes else note
    yield from habits.notes(policy, now)

"""``rehearse check TEMPLATE``: what ECS or CloudFormation would reject in a template, and what would bite.

::

    TEMPLATE ─▶ Template ─▶ Stack, ServiceView ─▶ rules ─▶ findings ─▶ text, rich or JSON
                (values)     (typed)              (pure)

A rule is a small function from a view to places and sentences. What can't be known before the stack is
deployed (another stack's export, a parameter without a value) is named in one line and left out;
everything else is checked.
"""

from rehearsal.check.command import check, run
from rehearsal.check.findings import Finding, Rule, Severity
from rehearsal.check.rules import RULES

__all__ = ["RULES", "Finding", "Rule", "Severity", "check", "run"]

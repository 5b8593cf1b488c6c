"""``rehearse check``: read the files, apply the rules, print what they found."""

from collections.abc import Mapping, Sequence
from typing import TextIO

from rehearsal.check import rendering
from rehearsal.check.findings import Finding, Severity
from rehearsal.check.hooks import KnownHook, known_hooks
from rehearsal.check.rules import SERVICE_RULES, STACK_RULES
from rehearsal.check.view import Stack
from rehearsal.document import DocumentError
from rehearsal.template import Template
from shared.errors import shown

EXIT_CLEAN = 0
EXIT_FINDINGS = 1
EXIT_UNREADABLE = 2


def check(template: Template, known: Mapping[str, KnownHook]) -> list[Finding]:
    """Return the findings in a template and those nested in it, by file and line.

    >>> from rehearsal.template import Template
    >>> check(Template.read("template.yaml"), known_hooks())  # doctest: +SKIP
    [Finding(where=Where(file='template.yaml', line=12), severity=<Severity.ERROR: 'error'>, ...)]
    """
    stack = Stack(template, known)
    found = [finding for rule in STACK_RULES for finding in rule.findings(stack)]
    found += [
        finding for service in stack.services for rule in SERVICE_RULES for finding in rule.findings(service)
    ]
    # A role or listener rule that two services share is one finding less the service's name.
    return sorted(dict.fromkeys(found), key=lambda one: (one.where, one.rule, one.message))


def run(
    files: Sequence[str],
    *,
    parameters: Mapping[str, str],
    json_output: bool,
    strict: bool,
    stdout: TextIO,
    known: Mapping[str, KnownHook] | None = None,
) -> int:
    """Check templates and print the findings.

    Each of *parameters* must exist in at least one template; *strict* makes warnings count like errors;
    *known* are the hooks to recognise, this project's own by default.

    Returns
    -------
    int
        The exit code: 0 clean, 1 with findings that count, 2 when a file can't be read.

    """
    try:
        templates = [Template.read(file, parameters=parameters) for file in files]
        _check_names(templates, parameters)
        hooks = known_hooks() if known is None else known
        found = [finding for template in templates for finding in check(template, hooks)]
    except DocumentError as error:
        rendering.write_unreadable(str(error), stdout, json_output=json_output)
        return EXIT_UNREADABLE
    if json_output:
        rendering.write_json(found, stdout)
    elif stdout.isatty():
        rendering.write_rich(found, files, stdout)
    else:
        rendering.write_text(found, files, stdout)
    counted = {Severity.ERROR, Severity.WARNING} if strict else {Severity.ERROR}
    return EXIT_FINDINGS if any(finding.severity in counted for finding in found) else EXIT_CLEAN


def _check_names(templates: Sequence[Template], parameters: Mapping[str, object]) -> None:
    declared = frozenset[str]().union(*(template.parameter_names for template in templates))
    for name in parameters:
        if name not in declared and templates:
            document = templates[0].document
            raise document.error(
                ("Parameters",),
                f"no parameter {shown(name)}; declared: {', '.join(sorted(declared)) or 'none'}",
            )

"""Rules on a template as a whole, and on what in it could not be checked."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from rehearsal.check.findings import (
    CLOUDFORMATION_SERVICE,
    INTRINSICS,
    LAMBDA_HOOKS,
    Problem,
    Severity,
    Where,
    rule,
)
from rehearsal.check.view import Stack, where
from rehearsal.document import DocumentError
from rehearsal.lambda_functions import Function

# Bounds on looking through a function's source: a CodeUri may well be a whole repository.
MAX_SOURCE_FILES = 300
MAX_SOURCE_BYTES = 500_000
_SOURCES = frozenset({".py", ".js", ".mjs", ".cjs", ".ts", ".java", ".kt", ".go", ".rb", ".cs", ".rs"})
_SKIPPED_FOLDERS = frozenset({"node_modules", "tests", "test", "__pycache__", "venv", "dist", "build"})

# As a quoted key, or as a bare one before its value; a comment about it is no use of it.
_OLD_DELAY = re.compile(r"""["']callBackDelaySeconds["']|\bcallBackDelaySeconds\s*[:=]""")


@rule("no-services", Severity.INFO, CLOUDFORMATION_SERVICE)
def no_services(stack: Stack) -> Iterator[Problem]:
    """Mention a template without a service, which may be a network's or a function's."""
    if not stack.services:
        document = stack.template.document
        yield (
            Where(stack.template.file, document.line(("Resources",))),
            "no AWS::ECS::Service, so there are no hooks to check",
        )


@rule("no-deployment-configuration", Severity.INFO, CLOUDFORMATION_SERVICE)
def no_deployment_configuration(stack: Stack) -> Iterator[Problem]:
    """Mention services without DeploymentConfiguration."""
    for service in stack.services:
        if service.properties.get("DeploymentConfiguration") is None:
            yield (
                service.at(),
                f"{service.name}: no DeploymentConfiguration, so it deploys by ROLLING and has no hooks",
            )


@rule("old-delay-key", Severity.ERROR, f"{LAMBDA_HOOKS}")
def old_delay_key(stack: Stack) -> Iterator[Problem]:
    """Find functions that answer with the older spelling of callBackDelay."""
    for function in stack.functions:
        if function.handler.startswith("hooks."):
            continue  # ours have one encoder, with tests of its own
        if found := _old_spelling(function):
            yield (
                where(function.resource),
                (
                    f"{function.logical_id}: {found} answers with callBackDelaySeconds, which ECS ignores "
                    "and asks again "
                    "after 30 seconds; the key is callBackDelay"
                ),
            )


def _old_spelling(function: Function) -> str | None:
    if isinstance(function.code, str):
        return "its inline code" if _uses_old_key(function.code) else None
    for file in _sources(function.code) if function.code else ():
        try:
            if file.stat().st_size <= MAX_SOURCE_BYTES and _uses_old_key(
                file.read_text("utf-8", errors="replace")
            ):
                return file.name
        except OSError:
            continue
    return None


def _uses_old_key(text: str) -> bool:
    lines = (line for line in text.splitlines() if not line.lstrip().startswith(("#", "//", "*")))
    return any(_OLD_DELAY.search(line) for line in lines)


def _sources(code: Path) -> Iterator[Path]:
    if code.is_file():
        if code.suffix in _SOURCES:
            yield code
        return
    seen = 0
    for folder, folders, files in os.walk(code):
        folders[:] = sorted(
            name for name in folders if name not in _SKIPPED_FOLDERS and not name.startswith(".")
        )
        for name in sorted(files):
            if Path(name).suffix in _SOURCES and (file := Path(folder, name)).is_file():
                seen += 1
                if seen > MAX_SOURCE_FILES:
                    return
                yield file


@rule("nested-template", Severity.ERROR, CLOUDFORMATION_SERVICE)
def nested_template(stack: Stack) -> Iterator[Problem]:
    """Require that a nested stack's local template can be read."""
    for template in stack.template.tree():
        for logical_id, nested in template.nested.items():
            if isinstance(nested, DocumentError):
                place = Where(template.file, template.document.line(("Resources", logical_id)))
                reason = str(nested).removeprefix(f"{place.file}:{place.line}: Resources.{logical_id}: ")
                yield place, f"{logical_id}: {reason}"


@rule("not-checked", Severity.INFO, INTRINSICS)
def not_checked(stack: Stack) -> Iterator[Problem]:
    """Name what is only known in the account, and was left out."""
    for template in stack.template.tree():
        for logical_id, reason in template.not_read:
            place = Where(template.file, template.document.line(("Resources", logical_id)))
            yield place, f"{logical_id}: not looked into: {reason}"
    yield from _unresolved(stack)
    for service in stack.services:
        for hook in service.hooks:
            elsewhere = isinstance(hook.target, str) and ":function:" in hook.target and hook.function is None
            if hook.is_lambda and elsewhere:
                what = "code" if hook.ours else "settings and code"
                yield (
                    hook.at("HookTargetArn"),
                    f"{hook.label}: the function is not in this template, so its {what} could not be checked",
                )


def _unresolved(stack: Stack) -> Iterator[Problem]:
    """Yield what can't be told; what hangs on one parameter without a value, together."""
    found: dict[str, list[tuple[Where, str]]] = {}
    for service in stack.services:
        for path, unresolved in service.unresolved():
            place, message = service.at(*path), f"{service.called(*path)} could not be checked: "
            declared = stack.template.parameter_names & {unresolved.name}
            key = unresolved.name if declared else f"{place}{message}"
            found.setdefault(key, []).append((place, message + unresolved.reason))
    for name, problems in found.items():
        if len(problems) == 1:
            yield problems[0]
            continue
        file = stack.template.file
        places = sorted({place for place, _ in problems})
        needed = ", ".join(f"{_near(place.file, file)}{place.line}" for place in places)
        yield (
            Where(file, stack.template.document.line(("Parameters", name))),
            (
                f"the parameter {name} has no value, so nothing could be checked that needs it: {needed}; "
                "give it one with --parameter"
            ),
        )


def _near(file: str, template: str) -> str:
    """Return how a line of a file is called in a sentence about a template."""
    return "line " if file == template else f"{os.path.relpath(file, Path(template).parent)}:"

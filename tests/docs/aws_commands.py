"""Whether the AWS CLI would understand a command, by the models it is made from.

::

    aws SERVICE OPERATION --option value ...     an operation of the service's API
    aws SERVICE wait WAITER --option value ...   its waiters

The CLI derives operations and options from botocore's models; what it adds by hand is in ``_OWN``.
Source: https://docs.aws.amazon.com/cli/latest/reference/
"""

import json
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from functools import cache

import botocore.session
import jmespath  # type: ignore[import-untyped]
from botocore import xform_name
from botocore.exceptions import UnknownServiceError
from botocore.loaders import Loader
from botocore.model import ListShape, MapShape, ServiceModel, Shape, StringShape, StructureShape
from botocore.validate import ParamValidator
from jmespath.exceptions import JMESPathError  # type: ignore[import-untyped]

# https://docs.aws.amazon.com/cli/latest/userguide/cli-configure-options.html
_GLOBAL = frozenset({
    "--color", "--debug", "--endpoint-url", "--no-cli-pager", "--no-paginate", "--output", "--profile",
    "--query", "--region",
})  # fmt: skip
_GLOBAL_FLAGS = frozenset({"--debug", "--no-cli-pager", "--no-paginate"})
_PAGING = frozenset({"--max-items", "--page-size", "--starting-token"})
_INSTEAD = frozenset({"--cli-input-json", "--cli-input-yaml", "--generate-cli-skeleton"})

# What is no operation of an API, with its options; True where one has to be given.
_OWN: Mapping[tuple[str, str], Mapping[str, bool]] = {
    ("cloudformation", "deploy"): {
        "--template-file": True, "--stack-name": True, "--parameter-overrides": False,
        "--capabilities": False, "--s3-bucket": False, "--tags": False, "--role-arn": False,
        "--no-execute-changeset": False,
        "--no-fail-on-empty-changeset": False, "--disable-rollback": False,
    },
    ("cloudformation", "package"): {
        "--template-file": True, "--s3-bucket": True, "--output-template-file": False, "--s3-prefix": False,
    },
    ("ecr", "get-login-password"): {},
    ("logs", "tail"): {"--since": False, "--follow": False, "--filter-pattern": False, "--format": False},
    ("s3", "cp"): {"--recursive": False},
    ("s3", "ls"): {"--recursive": False},
    ("s3", "mb"): {},
    ("s3", "rm"): {"--recursive": False},
    ("s3", "sync"): {"--delete": False},
}  # fmt: skip
_OWN_ARGUMENTS = {
    ("logs", "tail"): 1,
    ("s3", "cp"): 2,
    ("s3", "ls"): 1,
    ("s3", "mb"): 1,
    ("s3", "rm"): 1,
    ("s3", "sync"): 2,
}

_PLACEHOLDER = re.compile(r"[A-Z][A-Z0-9_-]*|.*\.\.\..*|.*\$.*|SUBSTITUTED")
"""Stands for a value of the reader's. Words that AWS has in capitals itself are held against its list."""

Options = Mapping[str, Sequence[str]]


def problems(words: Sequence[str], *, partial: bool) -> Iterator[str]:
    """Yield what the CLI would not understand; *partial* commands may leave out what is required."""
    if len(words) < 2:
        yield from () if partial else ("what is called is missing",)
        return
    service, operation, *given = words
    options, arguments = _taken_apart(given)
    yield from _global_problems(options)
    own = _OWN.get((service, operation))
    if own is not None:
        yield from _own_problems((service, operation), options, arguments, partial=partial)
    elif not _model(service):
        yield f"there is no service {service}"
    elif operation == "wait":
        yield from _waiter_problems(service, arguments, options, partial=partial)
    else:
        yield from _operation_problems(service, operation, arguments, options, partial=partial)


def _taken_apart(words: Sequence[str]) -> tuple[dict[str, list[str]], list[str]]:
    options: dict[str, list[str]] = {}
    arguments: list[str] = []
    current: list[str] = arguments
    for word in words:
        if word.startswith("--"):
            name, equals, value = word.partition("=")
            current = options.setdefault(name, [])
            if equals:
                current.append(value)
        elif current is not arguments and (not word.startswith("-") or len(word) == 1):
            current.append(word)
        else:
            arguments.append(word)
    return options, arguments


def _global_problems(options: Options) -> Iterator[str]:
    for name in sorted(options.keys() & _GLOBAL):
        if (name in _GLOBAL_FLAGS) != (len(options[name]) == 0):
            yield f"{name} {'takes no value' if name in _GLOBAL_FLAGS else 'takes a value'}"
    for text in options.get("--query", ()):
        try:
            # Of `words` without quotes, which AWS's own pages write, the library warns.
            with warnings.catch_warnings(action="ignore"):
                jmespath.compile(text)
        except JMESPathError as error:
            yield f"--query {text!r}: {str(error).splitlines()[0]}"


def _own_problems(
    command: tuple[str, str], options: Options, arguments: Sequence[str], *, partial: bool
) -> Iterator[str]:
    own = _OWN[command]
    for name in sorted(options.keys() - own.keys() - _GLOBAL):
        yield f"{' '.join(command)} has no option {name}"
    missing = [name for name, required in own.items() if required and name not in options]
    if not partial and missing:
        yield f"{' '.join(command)} needs {', '.join(missing)}"
    if not partial and len(arguments) != _OWN_ARGUMENTS.get(command, 0):
        yield f"{' '.join(command)} takes {_OWN_ARGUMENTS.get(command, 0)} arguments, not {arguments}"


@cache
def _session() -> botocore.session.Session:
    return botocore.session.get_session()


@cache
def _model(service: str) -> ServiceModel | None:
    try:
        return _session().get_service_model(service)
    except UnknownServiceError:
        return None


def _operations(model: ServiceModel) -> dict[str, str]:
    return {xform_name(name, "-"): name for name in model.operation_names}


def _waiter_problems(
    service: str, arguments: Sequence[str], options: Options, *, partial: bool
) -> Iterator[str]:
    loader: Loader = _session().get_component("data_loader")
    waiters = loader.load_service_model(service, "waiters-2")["waiters"]
    known = {xform_name(name, "-"): waiter["operation"] for name, waiter in waiters.items()}
    if not arguments or arguments[0] not in known:
        yield f"{service} has no waiter {' '.join(arguments)}"
    else:
        operation = xform_name(known[arguments[0]], "-")
        yield from _operation_problems(service, operation, arguments[1:], options, partial=partial)


def _operation_problems(
    service: str, operation: str, arguments: Sequence[str], options: Options, *, partial: bool
) -> Iterator[str]:
    model = _model(service)
    assert model is not None
    api_name = _operations(model).get(operation)
    if api_name is None:
        yield f"{service} has no operation {operation}"
        return
    described = model.operation_model(api_name)
    shape = described.input_shape
    members = (
        {f"--{xform_name(name, '-')}": (name, member) for name, member in shape.members.items()}
        if shape
        else {}
    )
    flags = {f"--no-{name[2:]}" for name, (_, member) in members.items() if member.type_name == "boolean"}
    allowed = (
        members.keys()
        | flags
        | _GLOBAL
        | _INSTEAD
        | (_PAGING if _session_can_page(service, api_name) else set())
    )
    for name in sorted(options.keys() - allowed):
        yield f"{service} {operation} has no option {name}"
    for name in sorted(options.keys() & members.keys()):
        yield from (f"{name}: {problem}" for problem in _value_problems(members[name][1], options[name]))
    needed = {name for name, (member, _) in members.items() if shape and member in shape.required_members}
    missing = sorted(
        needed - options.keys() - {f"--{xform_name(one, '-')}" for one in described.idempotent_members}
    )
    if missing and not partial and not options.keys() & _INSTEAD:
        yield f"{service} {operation} needs {', '.join(missing)}"
    # What an operation streams goes to a file, which is named last.
    if len(arguments) != int(described.has_streaming_output) and not partial:
        yield f"{service} {operation}: what is {' '.join(arguments) or 'not there, the file for its output'}?"


def _session_can_page(service: str, operation: str) -> bool:
    loader: Loader = _session().get_component("data_loader")
    try:
        return operation in loader.load_service_model(service, "paginators-1")["pagination"]
    except UnknownServiceError:
        return False


def _value_problems(shape: Shape, values: Sequence[str]) -> Iterator[str]:
    if shape.type_name == "boolean":
        if values:
            yield f"takes no value, not {values}"
        return
    if not values:
        yield "has no value"
        return
    several = isinstance(shape, ListShape | MapShape | StructureShape)
    if len(values) > 1 and not several:
        yield f"takes one value, not {list(values)}"
    for value in values:
        listed = isinstance(shape, StringShape) and shape.enum and value.isupper()
        if value.startswith(("file://", "fileb://")) or (_PLACEHOLDER.fullmatch(value) and not listed):
            continue
        if several and value[:1] in {"{", "["}:
            yield from _json_problems(shape, value)
        elif isinstance(shape, StructureShape) or (
            isinstance(shape, ListShape) and isinstance(shape.member, StructureShape)
        ):
            yield from _shorthand_problems(shape.member if isinstance(shape, ListShape) else shape, value)
        else:
            yield from _plain_problems(shape.member if isinstance(shape, ListShape) else shape, value)


def _json_problems(shape: Shape, text: str) -> Iterator[str]:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        yield f"no JSON: {error}"
        return
    if isinstance(shape, ListShape) and not isinstance(value, list):
        value = [value]
    report = ParamValidator().validate({"it": value}, _Holder(shape))
    if report.has_errors():
        yield " ".join(report.generate_report().split())


class _Holder(StructureShape):
    """A structure with one member, so that a part of a request can be validated alone."""

    def __init__(self, member: Shape) -> None:
        super().__init__("Holder", {"type": "structure", "members": {}})
        # What botocore would compute from the model, once.
        self.__dict__["members"] = {"it": member}


def _shorthand_problems(shape: Shape, text: str) -> Iterator[str]:
    """Yield keys that a structure does not have; what is inside brackets is left to the CLI."""
    assert isinstance(shape, StructureShape)
    outer, depth = "", 0
    for char in text:
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(char, 0)
        outer += char if depth == 0 else ""
    if depth:
        yield f"{text!r} has a bracket too many or too few"
    keys = re.findall(r"(?:^|,)([A-Za-z]\w*)=", outer)
    if not keys:
        yield f"{text!r} names no key of {', '.join(shape.members)}"
    for key in keys:
        if key not in shape.members:
            yield f"{key} is none of {', '.join(shape.members)}"


def _plain_problems(shape: Shape, value: str) -> Iterator[str]:
    if isinstance(shape, StringShape) and shape.enum and value not in shape.enum:
        yield f"{value} is none of {', '.join(shape.enum)}"
    if shape.type_name in {"integer", "long"} and not re.fullmatch(r"-?\d+", value):
        yield f"{value} is no number"

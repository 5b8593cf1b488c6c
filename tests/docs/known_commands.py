"""Whether a command on a page would be understood: by the program's own parser, model or files.

Each program that pages may name is in ``_PROGRAMS``; another one is a problem, until somebody says here how
to know that a command of it is right.
"""

import argparse
import ast
import contextlib
import importlib
import importlib.util
import re
import shlex
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from unittest import mock

import click

from rehearsal.document import DocumentError
from rehearsal.scenario import find
from rehearsal.template import Template
from tests.docs import aws_commands
from tests.docs.fenced_blocks import ROOT
from tests.docs.shell_lines import SUBSTITUTED

READERS_OWN = frozenset({
    "analysis.yaml", "canary.json", "env.json", "hook-details.json", "job.json", "my-service.yaml",
    "policy.yaml", "quick.yaml", "record.json", "trusted_root.json",
})  # fmt: skip
"""Files that pages speak of and readers have; any other one has to be there."""

# Programs of which nothing but their being known is checked.
_TAKEN_AS_THEY_ARE = frozenset(
    {"cat", "curl", "echo", "export", "git", "jq", "mkdir", "sleep", "test", "true"}
)

_PLACEHOLDER = re.compile(rf"\$|{SUBSTITUTED}|^[A-Z_]+(\.[a-z]+)?$|^[/~]")
_ELLIPSIS = frozenset({"...", "…"})
_ASSIGNMENT = re.compile(r"([A-Za-z][A-Za-z0-9]*)=")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a command stands: relative files are looked for there, and in the project's folder."""

    folder: Path
    partial: bool = False
    """Whether it is only spoken of, so that what it needs may be missing."""
    entered: bool = False
    """Whether a command before it has gone there."""

    @property
    def folders(self) -> tuple[Path, ...]:
        """Where relative names lead: readers stand in the project's folder until they go elsewhere."""
        return (self.folder,) if self.entered else (self.folder, ROOT)

    @property
    def template(self) -> Path:
        """What SAM works on: a template of the folder, where a page has gone there, or the project's."""
        own = self.folder / "template.yaml"
        return own if self.entered and own.is_file() else ROOT / "template.yaml"

    def after(self, words: Sequence[str]) -> "Place":
        """Return where the next command stands."""
        if words[0] != "cd" or len(words) != 2:
            return self
        found = [base / words[1] for base in self.folders if (base / words[1]).is_dir()]
        return replace(self, folder=found[0].resolve(), entered=True) if found else self

    def file_problems(self, name: str) -> Iterator[str]:
        """Yield that a file is nowhere."""
        if name in READERS_OWN or name == "-" or _PLACEHOLDER.search(name):
            return
        # What is built is not there.
        if name.startswith(".aws-sam/"):
            return
        if not any((folder / name).exists() for folder in self.folders):
            yield f"there is no {name}"


def problems(words: Sequence[str], place: Place) -> Iterator[str]:
    """Yield what is wrong with a command."""
    program, *rest = words
    if _ELLIPSIS & set(rest):
        rest, place = [word for word in rest if word not in _ELLIPSIS], replace(place, partial=True)
    check = _PROGRAMS.get(program)
    if check is None and program not in _TAKEN_AS_THEY_ARE:
        yield f"{program} is no command that this test knows; teach it {Path(__file__).name}"
        return
    found = [*check(rest, place)] if check else []
    yield from (f"{program}: {problem}" for problem in found)
    yield from _path_problems(rest, place)


def _path_problems(words: Sequence[str], place: Place) -> Iterator[str]:
    """Yield paths into the project that lead nowhere."""
    for word in words:
        path = word.removeprefix("file://").removeprefix("fileb://")
        top = path.split("/", 1)[0]
        if (
            "/" in path
            and re.fullmatch(r"[\w./-]+", path)
            and top
            and not top.startswith(".")
            and any((folder / top).is_dir() for folder in place.folders)
        ):
            yield from place.file_problems(path)


# ------------------------------------------------------------------------------------ programs of our own


class _Parsed(BaseException):
    """A program's parser has understood its arguments; the program does not go on."""

    def __init__(self, options: argparse.Namespace) -> None:
        super().__init__()
        self.options = options


class _Misunderstood(BaseException):
    """A program's parser has not."""


@contextlib.contextmanager
def _stopped_after_parsing() -> Iterator[None]:
    parse = argparse.ArgumentParser.parse_args

    def parse_args(parser: argparse.ArgumentParser, arguments: Sequence[str] | None = None) -> None:
        raise _Parsed(parse(parser, arguments))

    def error(_: argparse.ArgumentParser, message: str) -> None:
        raise _Misunderstood(message)

    with (
        mock.patch.object(argparse.ArgumentParser, "parse_args", parse_args),
        mock.patch.object(argparse.ArgumentParser, "error", error),
    ):
        yield


_INCOMPLETE = re.compile(r"required|expected (one|at least one) argument|invalid \w+ value: '[A-Z.=]+'")


def _parsed(module: str) -> Callable[[Sequence[str], Place], Iterator[str]]:
    """Return a check by the parser that a module's ``main`` asks first."""

    def check(words: Sequence[str], place: Place) -> Iterator[str]:
        main = importlib.import_module(module).main
        try:
            with _stopped_after_parsing():
                main(list(words))
        except _Parsed as done:
            yield from _named_files(done.options, place)
        except _Misunderstood as error:
            if not (place.partial and _INCOMPLETE.search(str(error))):
                yield str(error)
        else:
            yield "did not ask its parser"

    return check


def _named_files(options: argparse.Namespace, place: Place) -> Iterator[str]:
    """Yield scenarios and files that are not there; where something is written does not matter."""
    given = vars(options)
    for name in given.get("scenarios") or ([given["scenario"]] if given.get("scenario") else []):
        try:
            if name not in READERS_OWN and not (place.folder / name).is_file() and not name.isupper():
                find(name)
        except DocumentError as error:
            yield str(error)
    for key in ("event", "records", "metrics", "settings", "policy", "file", "templates", "job"):
        value = given.get(key)
        for name in value if isinstance(value, list) else [value] if value else []:
            yield from place.file_problems(str(name))


# --------------------------------------------------------------------------------------------- make and uv


@cache
def _make_targets() -> frozenset[str]:
    text = "\n".join((ROOT / name).read_text() for name in ("Makefile", "artifact/build.mk"))
    return frozenset(re.findall(r"^([a-z][a-z-]*)\s*:(?!=)", text, re.MULTILINE))


_MAKE_PASSES = {
    "rehearse": ["rehearse"],
    "console": ["rehearse", "console"],
    "load-demo": ["rehearse"],
    "benchmark": ["python", "-m", "benchmarks"],
}
"""What targets give ``ARGS`` to, where it is something that can be checked."""


def _make(words: Sequence[str], place: Place) -> Iterator[str]:
    targets = [word for word in words if "=" not in word and not word.startswith("-")]
    for target in targets:
        if target not in _make_targets():
            yield f"there is no target {target}"
    for word in words:
        if word.startswith("ARGS=") and targets and targets[0] in _MAKE_PASSES:
            yield from problems([*_MAKE_PASSES[targets[0]], *shlex.split(word.removeprefix("ARGS="))], place)


def _uv(words: Sequence[str], place: Place) -> Iterator[str]:
    if words[:1] != ["run"]:
        if words[:1] not in (["sync"], ["lock"], ["pip"], ["build"]):
            yield f"what is {' '.join(words)}?"
        return
    rest = list(words[1:])
    while rest and rest[0].startswith("-"):
        rest.pop(0)
    if rest:
        yield from problems(rest, place)
    elif not place.partial:
        yield "runs nothing"


def _python(words: Sequence[str], place: Place) -> Iterator[str]:
    match list(words):
        case ["-m", module, *rest] if module in _MODULES:
            yield from _MODULES[module](rest, place)
        case ["-m", module, *rest]:
            yield from _module_problems(module, rest)
        case ["-c", program, *_]:
            try:
                ast.parse(program)
            except SyntaxError as error:
                yield f"-c: {error}"
        case [file, *_] if not file.startswith("-"):
            yield from place.file_problems(file)
        case _:
            yield f"what is {' '.join(words)}?"


def _module_problems(module: str, options: Sequence[str]) -> Iterator[str]:
    """Yield that a module is none of the project's, or never mentions an option."""
    spec = importlib.util.find_spec(module)
    folders = [Path(folder) for folder in (spec.submodule_search_locations or ())] if spec else []
    if any((folder / "__main__.py").is_file() for folder in folders):
        text = "".join(file.read_text() for folder in folders for file in sorted(folder.glob("*.py")))
    elif spec and spec.origin and not folders:
        text = Path(spec.origin).read_text()
    else:
        yield f"there is no module {module}"
        return
    for option in options:
        if option.startswith("--") and f'"{option.partition("=")[0]}"' not in text:
            yield f"{module} has no option {option}"


def _pip(words: Sequence[str], _: Place) -> Iterator[str]:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for word in words:
        if found := re.fullmatch(r"ecs-lifecycle-hooks\[(.+)\]", word):
            for name in found[1].split(","):
                if name not in extras:
                    yield f"there is no extra {name}"


# ------------------------------------------------------------------------------------------------- others


def _sam(words: Sequence[str], place: Place) -> Iterator[str]:
    from samcli.cli.main import cli

    command: click.Command = cli
    context = click.Context(cli, obj=object())
    rest = list(words)
    path = "sam"
    while isinstance(command, click.Group) and rest:
        name = rest.pop(0)
        below = command.get_command(context, name)
        if below is None:
            yield f"{path} has no command {name}"
            return
        command, path = below, f"{path} {name}"
        context = click.Context(command, parent=context, obj=object())
    try:
        values, arguments, _ = command.make_parser(context).parse_args(rest)
    except click.UsageError as error:
        if not place.partial:
            yield error.format_message()
        return
    yield from _sam_values(path, values, arguments, place)


def _sam_values(
    path: str, values: Mapping[str, object], arguments: Sequence[str], place: Place
) -> Iterator[str]:
    for option in ("event", "template_file", "template"):
        if isinstance(file := values.get(option), str):
            yield from place.file_problems(file)
    template = _template(place.template)
    if path == "sam local invoke":
        known = {function.logical_id for function in template.functions()}
        function = values.get("function_logical_id") or next(iter(arguments), None)
        if function is None:
            # SAM takes the only one.
            yield from () if place.partial or len(known) == 1 else ("names no function",)
        elif function not in known:
            yield f"template.yaml has no function {function}"
    overrides = values.get("parameter_overrides")
    if path == "sam deploy" and overrides:
        texts = [*_flat(overrides), *arguments]
        yield from _parameter_problems(texts, template, all_of_them=False)


def _flat(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _flat(one)


@cache
def _template(file: Path) -> Template:
    return Template.read(file)


def _parameter_problems(texts: Sequence[str], template: Template, *, all_of_them: bool) -> Iterator[str]:
    given = [found[1] for text in texts if (found := _ASSIGNMENT.match(text))]
    name = Path(template.file).name
    for one in given:
        if one not in template.parameter_names:
            yield f"{name} has no parameter {one}"
    if all_of_them:
        declared = template.document.data["Parameters"]
        for one in sorted(template.parameter_names - set(given)):
            if "Default" not in declared[one]:
                yield f"{name} needs a value of parameter {one}"


def _aws(words: Sequence[str], place: Place) -> Iterator[str]:
    yield from aws_commands.problems(words, partial=place.partial)
    if "--logical-resource-id" in words[:-1]:
        name = words[words.index("--logical-resource-id") + 1]
        if name not in _template(place.template).document.data["Resources"]:
            yield f"template.yaml has no resource {name}"
    if list(words[:2]) == ["cloudformation", "deploy"] and "--template-file" in words:
        name = words[words.index("--template-file") + 1]
        file = next((folder / name for folder in (place.folder, ROOT) if (folder / name).is_file()), None)
        if file:
            overrides = [word for word in words if _ASSIGNMENT.match(word)]
            yield from _parameter_problems(overrides, _template(file), all_of_them=not place.partial)


def _docker(words: Sequence[str], place: Place) -> Iterator[str]:
    if words[:1] and words[0] not in {"build", "images", "inspect", "login", "pull", "push", "run", "tag"}:
        yield f"what is {words[0]}?"
    for option, value in pairwise(words):
        if option in {"--file", "-f"}:
            yield from place.file_problems(value)


def _with_subcommands(*known: str) -> Callable[[Sequence[str], Place], Iterator[str]]:
    def check(words: Sequence[str], _: Place) -> Iterator[str]:
        named = next((word for word in words if not word.startswith("-")), None)
        if named is not None and named not in known:
            yield f"what is {named}?"

    return check


def _cd(words: Sequence[str], place: Place) -> Iterator[str]:
    yield from (problem for word in words for problem in place.file_problems(word))


_MODULES: Mapping[str, Callable[[Sequence[str], Place], Iterator[str]]] = {
    "activation_gate": _parsed("activation_gate.__main__"),
    "load_generator": _parsed("load_generator.__main__"),
    "rehearsal": _parsed("rehearsal.cli"),
}
_PROGRAMS: Mapping[str, Callable[[Sequence[str], Place], Iterator[str]]] = {
    "activation-gate": _parsed("activation_gate.__main__"),
    "approvals": _parsed("hooks.manual_approval.cli"),
    "aws": _aws,
    "cd": _cd,
    "cdk": _with_subcommands("bootstrap", "deploy", "diff", "ls", "synth"),
    "cfn-lint": lambda words, place: (
        p for w in words if not w.startswith("-") for p in place.file_problems(w)
    ),
    "docker": _docker,
    "imagetrust": _parsed("hooks.image_trust.cli"),
    "load-generator": _parsed("load_generator.__main__"),
    "make": _make,
    "pip": _pip,
    "pytest": lambda words, place: (
        p for w in words if not w.startswith("-") for p in place.file_problems(w.split("::")[0])
    ),
    "python": _python,
    "python3": _python,
    "rehearse": _parsed("rehearsal.cli"),
    "sam": _sam,
    "terraform": _with_subcommands("apply", "import", "init", "plan", "show", "state", "validate"),
    "uv": _uv,
}
MENTIONED = frozenset(_PROGRAMS) - {"cd", "cdk", "terraform", "docker", "python3"}
"""Programs whose commands are checked within sentences as well."""

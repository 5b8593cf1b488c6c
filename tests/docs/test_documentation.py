"""Every command, every snippet and every link of the documentation holds.

What a page's snippets do, where they are more than read, is held by that hook's own tests; here is what can
be known of each of them. A kind of block or a command that is not known here fails: nothing is passed over.
"""

import ast
import importlib
import json
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path, PurePosixPath

import pytest

from rehearsal.check.command import check
from rehearsal.check.findings import Severity
from rehearsal.document import Document, DocumentError
from rehearsal.template import Template
from tests.docs.fenced_blocks import ROOT, Block, Page, pages
from tests.docs.known_commands import MENTIONED, Place, problems
from tests.docs.shell_lines import UnreadableError, commands

PAGES = pages()
_NAMED = re.compile(r"\b(output|parameter)s?\s((?:`[A-Z]\w+`(?:,\s|\sand\s|,\sand\s)?)+)")


def named(page: Page, section: str) -> set[str]:
    """Return the parameters or outputs that a page can mean: of the stack, its example, what it links."""
    files = {ROOT / "template.yaml"}
    files |= set() if page.folder == ROOT else {*page.folder.rglob("template.yaml")}
    files |= {page.folder / link.text for link in page.links() if link.text.endswith("template.yaml")}
    return {name for file in files for name in _template(file).get(section, {})}


@cache
def _template(file: Path) -> Mapping[str, Mapping[str, object]]:
    data: Mapping[str, Mapping[str, object]] = Document.read(file).data
    return data


def _shell(block: Block, page: Page) -> Iterator[tuple[int, str]]:
    try:
        place = Place(page.folder)
        for command in commands(block.text, block.line):
            for problem in problems(command.words, place):
                yield command.line, problem
            place = place.after(command.words)
    except UnreadableError as error:
        yield block.line, str(error)


def _transcript(block: Block, page: Page) -> Iterator[tuple[int, str]]:
    """Check what is typed in a block without a language, which is a picture or what a terminal shows."""
    for number, line in enumerate(block.text.splitlines(), start=block.line):
        typed = line.removeprefix("$ ")
        first = re.sub(r"^([A-Z_]+=\S+ )+", "", typed).split(" ", 1)[0]
        if typed != line or first in MENTIONED:
            yield from _shell(Block("sh", typed, number), page)


def _yaml(block: Block, page: Page) -> Iterator[tuple[int, str]]:
    for text in re.split(r"^---$", block.text, flags=re.MULTILINE):
        try:
            document = Document.parse(text, page.name)
        except DocumentError as error:
            yield block.line, str(error)
            continue
        for name in re.findall(r"# output (\w+)", text):
            if name not in named(page, "Outputs"):
                yield block.line, f"no template has an output {name}"
        if isinstance(document.data, dict) and "DeploymentConfiguration" in document.data:
            yield from ((block.line, problem) for problem in _deployment_problems(text))


SERVICE = """\
Resources:
  Service:
    Type: AWS::ECS::Service
    Properties:
      Cluster: shop
      ServiceConnectConfiguration: {Enabled: true, Services: [{PortName: http}]}
"""


def _deployment_problems(text: str) -> Iterator[str]:
    """Yield what ``rehearse check`` says of a service with the snippet; ``...`` is left to the reader."""
    whole = SERVICE + "".join(f"      {line}\n" for line in text.replace("...", "theirs").splitlines())
    template = Template(Document.parse(whole, "snippet"))
    for finding in check(template, {}):
        if finding.severity is Severity.ERROR:
            yield f"rehearse check: {finding.message}"


def _json(block: Block, _: Page) -> Iterator[tuple[int, str]]:
    try:
        json.loads(block.text)
    except json.JSONDecodeError as error:
        yield block.line + error.lineno - 1, error.msg


def _python(block: Block, _: Page) -> Iterator[tuple[int, str]]:
    try:
        tree = ast.parse(block.text)
    except SyntaxError as error:
        yield block.line + (error.lineno or 1) - 1, error.msg
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in OURS:
            there = vars(importlib.import_module(node.module))
            for name in node.names:
                if name.name not in there:
                    yield block.line + node.lineno - 1, f"{node.module} has no {name.name}"


OURS = {"activation_gate", "hooks", "load_generator", "rehearsal", "shared"}


def _toml(block: Block, _: Page) -> Iterator[tuple[int, str]]:
    try:
        tomllib.loads(block.text)
    except tomllib.TOMLDecodeError as error:
        yield block.line, str(error)


def _hcl(block: Block, _: Page) -> Iterator[tuple[int, str]]:
    """Check what can be without Terraform: that what is opened is closed."""
    opened: list[str] = []
    plain = re.sub(r'"(\\.|[^"\\\n])*"|#.*', "", block.text)
    for char in plain:
        if char in "{[(":
            opened.append({"{": "}", "[": "]", "(": ")"}[char])
        elif char in "}])" and (not opened or opened.pop() != char):
            yield block.line, f"{char} closes nothing"
            return
    if opened:
        yield block.line, f"{opened[-1]} is missing"


def _nothing(_: Block, __: Page) -> Iterator[tuple[int, str]]:
    yield from ()


CHECKS: Mapping[str, Callable[[Block, Page], Iterator[tuple[int, str]]]] = {
    "": _transcript,
    "hcl": _hcl,
    "json": _json,
    "python": _python,
    "sh": _shell,
    "text": _nothing,
    "toml": _toml,
    "yaml": _yaml,
}


def block_problems(page: Page) -> Iterator[str]:
    for block in page.blocks:
        known = CHECKS.get(block.language)
        if known is None:
            yield f"{page.name}:{block.line}: no test knows blocks of {block.language!r}"
            continue
        for line, problem in known(block, page):
            yield f"{page.name}:{line}: {problem}"


def mention_problems(page: Page) -> Iterator[str]:
    """Yield what is wrong with commands within sentences, which may leave out what they need."""
    for span in page.code():
        if " " not in span.text or span.text.split(" ", 1)[0] not in MENTIONED:
            continue
        try:
            found = [
                problem
                for one in commands(span.text)
                for problem in problems(one.words, Place(page.folder, partial=True))
            ]
        except UnreadableError as error:
            found = [str(error)]
        yield from (f"{page.name}:{span.line}: `{span.text}`: {problem}" for problem in found)


def name_problems(page: Page) -> Iterator[str]:
    """Yield parameters and outputs of the template that a sentence names and that are not there."""
    for found in _NAMED.finditer(page.prose):
        line = page.prose.count("\n", 0, found.start()) + 1
        section = "Outputs" if found[1] == "output" else "Parameters"
        there = named(page, section)
        for name in re.findall(r"`(\w+)`", found[2]):
            if name not in there:
                yield f"{page.name}:{line}: no template has a {found[1]} {name}"


def link_problems(page: Page) -> Iterator[str]:
    for span in page.links():
        path, _, anchor = span.text.partition("#")
        if re.match(r"[a-z]+:", path):
            if not path.startswith("https://"):
                yield f"{page.name}:{span.line}: {span.text} is not https"
            continue
        target = page.folder / path if path else ROOT / page.name
        if path and not target.exists():
            yield f"{page.name}:{span.line}: {span.text} leads nowhere"
        elif anchor and PurePosixPath(target).suffix == ".md":
            there = page if not path else Page.read(str(target.resolve().relative_to(ROOT)))
            if anchor not in there.anchors:
                yield f"{page.name}:{span.line}: {span.text}: there is no such heading"


def test_the_pages_are_found() -> None:
    assert {"README.md", "docs/rehearsal.md", "events/README.md", "benchmarks/README.md"} <= set(PAGES)
    assert "hooks/consumer_activation/worker/README.md" in PAGES
    assert {f"docs/{file.name}" for file in (ROOT / "docs").glob("*.md")} <= set(PAGES)


@pytest.mark.parametrize("name", PAGES)
def test_every_block_of_a_page_holds(name: str) -> None:
    assert [*block_problems(Page.read(name))] == []


@pytest.mark.parametrize("name", PAGES)
def test_every_command_that_a_page_speaks_of_is_one(name: str) -> None:
    assert [*mention_problems(Page.read(name))] == []


@pytest.mark.parametrize("name", PAGES)
def test_every_parameter_and_output_that_a_page_names_is_the_template_s(name: str) -> None:
    assert [*name_problems(Page.read(name))] == []


@pytest.mark.parametrize("name", PAGES)
def test_every_link_of_a_page_leads_somewhere(name: str) -> None:
    assert [*link_problems(Page.read(name))] == []

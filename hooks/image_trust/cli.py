"""The command line: ``imagetrust``.

::

    imagetrust check IMAGE... --policy FILE         would the hook admit these images? its engine, from here
    imagetrust policy lint FILE                     what is wrong with a policy
    imagetrust policy explain IMAGE --policy FILE   which rule decides on an image, and what it wants
    imagetrust policy schema                        the JSON Schema of policies, for editors
    imagetrust policy digest FILE                   the SHA-256 to pin

It is what the function does, without ECS: same rules, same verification, same registries, with the AWS
credentials that are there. Whatever comes from a registry is shown with its control characters written out.
"""

import argparse
import contextlib
import hashlib
import json
import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from typing import Any

try:
    from rich.console import Console, Group, RenderableType
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text
    from rich.tree import Tree
except ImportError:
    sys.stderr.write("imagetrust: needs rich: pip install 'ecs-lifecycle-hooks[command-line]'\n")
    raise SystemExit(2) from None

from hooks.image_trust.containers import Container
from hooks.image_trust.finding import Finding, Outcome, Rejected
from hooks.image_trust.judging import Circumstances, Judged, Verdict, judge
from hooks.image_trust.lint import Level, Note, lint
from hooks.image_trust.manifest import Platform
from hooks.image_trust.policy import Exemption, Policy, Requirement
from hooks.image_trust.policy_document import Unusable, load_policy, read_policy
from hooks.image_trust.policy_source import read_source
from hooks.image_trust.reference import Reference
from hooks.image_trust.selection import Matching, matching
from hooks.image_trust.sources import Sources
from shared import clock
from shared.errors import HookError, Misconfigured

TRUSTED, REFUSED, UNKNOWN = 0, 1, 2

# Wide enough that nothing wraps on its way to grep.
PIPED_COLUMNS = 240

EXAMPLES = """\
examples:
  imagetrust check ghcr.io/example/shop:1.4 --policy policy.yaml        would the hook admit it?
  imagetrust policy explain ghcr.io/example/shop --policy policy.yaml   which rule decides, and what it wants
  imagetrust policy lint policy.yaml                                    is the policy as it should be?

Each command has --help, with more of them. docs/image-policy.md says how to write a policy."""

EXIT_CODES = "Exit code 0: trusted; 1: refused; 2: can't be said, or can't be read."

CHECK_EXAMPLES = f"""\
examples:
  imagetrust check 111122223333.dkr.ecr.eu-west-1.amazonaws.com/shop/web@sha256:3f5a… --policy policy.yaml
  imagetrust check ghcr.io/example/shop:1.4 --policy s3://policies/production.yaml --platform linux/arm64
  imagetrust check localhost:5000/web:dev --policy policy.yaml --insecure-registry localhost:5000 --json

A policy is a path, or as in the function ssm:/name, s3://bucket/key?versionId=… or package:file. AWS is asked
with the credentials and the Region that the AWS CLI would use.

What a rule only observes is judged and shown, and does not count.
{EXIT_CODES}"""

EXPLAIN_EXAMPLES = """\
examples:
  imagetrust policy explain nginx --policy policy.yaml
  imagetrust policy explain public.ecr.aws/datadog/agent:7 --policy policy.yaml --container datadog-agent

Nothing is asked of any registry. Exit code 0: a rule decides; 1: none does, which is a refusal;
2: unreadable."""

LINT_EXAMPLES = """\
examples:
  imagetrust policy lint policy.yaml
  imagetrust policy lint policy.yaml --strict      in a pipeline: no warnings either

Errors are what the function refuses a policy for. Exit code 0: none; 1: some (with --strict: any note);
2: unreadable."""

DIGEST_EXAMPLES = """\
examples:
  imagetrust policy digest policy.yaml             for the function's IMAGE_POLICY_SHA256
  imagetrust policy digest trusted_root.json       for the policy's trust.roots"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code (0 trusted, 1 refused, 2 can't be said)."""
    options = _parser().parse_args(sys.argv[1:] if arguments is None else arguments)
    try:
        code: int = options.run(options)
        sys.stdout.flush()
    except HookError as error:
        _errors().print(Text.assemble(("imagetrust: ", "bold"), _plain(str(error))))
        return UNKNOWN
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader has seen enough, as with `| head`. Python would complain once more while exiting.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return UNKNOWN
    except Exception:  # noqa: BLE001  # a defect must not end in the code that means "refused"
        traceback.print_exc()
        return UNKNOWN
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="imagetrust",
        description="Say whether container images are trusted, as the image trust hook does.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_check(commands)
    policy = commands.add_parser(
        "policy", help="lint, explain, schema, digest", description="Work on a policy document."
    )
    _add_policy_commands(policy.add_subparsers(required=True, metavar="COMMAND"))
    return parser


def _add_check(commands: Any) -> None:
    check = _command(commands, "check", _check, "say whether the hook would admit images", CHECK_EXAMPLES)
    check.add_argument("images", nargs="+", metavar="IMAGE", help="as in a task definition")
    _add_policy_option(check)
    _add_circumstances(check)
    check.add_argument(
        "--platform",
        type=_platform,
        metavar="OS/ARCH",
        help="of an image for several platforms, the one that the task runs, such as linux/arm64; "
        "default: all of them",
    )
    check.add_argument("--json", action="store_true", help="print what the decision record would hold")
    check.add_argument(
        "--insecure-registry",
        action="append",
        default=[],
        metavar="HOST",
        help="a registry on this machine that speaks http, such as localhost:5000; may be repeated",
    )


def _add_policy_commands(commands: Any) -> None:
    lint_ = _command(commands, "lint", _lint, "say what is wrong with a policy", LINT_EXAMPLES)
    lint_.add_argument("policy", metavar="FILE")
    lint_.add_argument("--strict", action="store_true", help="let warnings fail as well")
    lint_.add_argument("--json", action="store_true", help="print notes as JSON")
    explain = _command(
        commands, "explain", _explain, "say which rule decides on an image, and why", EXPLAIN_EXAMPLES
    )
    explain.add_argument("image", metavar="IMAGE", help="as in a task definition")
    _add_policy_option(explain)
    _add_circumstances(explain)
    schema = _command(commands, "schema", _schema, "print the JSON Schema of policies", "")
    schema.add_argument("--to", metavar="FILE", help="write it there")
    digest = _command(commands, "digest", _digest, "print the SHA-256 to pin", DIGEST_EXAMPLES)
    digest.add_argument("file", metavar="FILE")


def _command(commands: Any, name: str, run: Any, what: str, examples: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=what,
        description=f"{what[:1].upper()}{what[1:]}.",
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    return parser


def _add_policy_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--policy", required=True, metavar="FILE", help="the policy document")


def _add_circumstances(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--container", default="app", metavar="NAME", help="what the container is called; default: app"
    )
    parser.add_argument(
        "--service",
        default="",
        metavar="CLUSTER/SERVICE",
        help="what the service is called; without, rules for certain services are not for it",
    )


def _platform(text: str) -> Platform:
    os_, slash, architecture = text.partition("/")
    if not os_ or not slash or not architecture or "/" in architecture:
        raise argparse.ArgumentTypeError(f"expected OS/ARCH such as linux/arm64, got {text!r}")
    return Platform(os_, architecture)


# --- check ------------------------------------------------------------------------------------------


def _check(options: argparse.Namespace) -> int:
    loaded = load_policy(_read(options.policy), sha256=None, source=options.policy)
    circumstances = Circumstances(policy=loaded.policy, service=options.service, now=clock.now())
    containers = [
        Container(name=options.container, image=image, platform=options.platform) for image in options.images
    ]
    sources = Sources(loaded.policy, insecure=frozenset(options.insecure_registry), files=True)
    with _waiting():
        judged = judge(containers, circumstances, sources.fetch)
    code = _exit_code(judged)
    if options.json:
        _write_json(
            {
                "policy": {"name": loaded.policy.name, "sha256": loaded.sha256},
                "images": [one.write() for one in judged],
                "verdict": {TRUSTED: "trusted", REFUSED: "refused", UNKNOWN: "unknown"}[code],
            }
        )
        return code
    for one in judged:
        _print(_judged(one), "")
    _print(_summary(judged, loaded.policy))
    return code


def _exit_code(judged: Sequence[Judged]) -> int:
    """Return the worst of those that count: a refusal is one, whatever is not known besides."""
    stands = {_standing(one) for one in judged if not one.observed}
    return REFUSED if "refused" in stands else UNKNOWN if "unknown" in stands else TRUSTED


def _standing(judged: Judged) -> str:
    match judged.verdict:
        case Verdict.PASS:
            return "trusted"
        case Verdict.EXEMPT:
            return "exempt"
        case Verdict.DENY if judged.finding.outcome is not Outcome.MISCONFIGURED:
            return "refused"
    return "unknown"


_STYLES = {"trusted": "green", "exempt": "yellow", "refused": "red", "unknown": "yellow"}
_MARKS = {"trusted": "✔", "exempt": "!", "refused": "✘", "unknown": "?"}
_SAID = {"trusted": "trusted", "exempt": "exempt", "refused": "refused", "unknown": "undecided"}
_OUTCOMES = {
    Outcome.PASS: "trusted",
    Outcome.UNTRUSTED: "refused",
    Outcome.UNVERIFIABLE: "unknown",
    Outcome.MISCONFIGURED: "unknown",
}


def _judged(judged: Judged) -> RenderableType:
    standing = _standing(judged)
    style = f"bold {_STYLES[standing]}"
    said = Text.assemble((_SAID[standing], style))
    if judged.exemption:
        said.append(f" from rule {judged.rule!r} by exemption {judged.exemption!r}")
    elif judged.rule:
        said.append(f" by rule {judged.rule!r}")
    if judged.observed:
        said.append("; only observed, so the hook lets it through", style="yellow")
    lines: list[RenderableType] = [said, *(Text(_plain(note), style="dim") for note in judged.notes)]
    lines.append(_findings(judged.finding))
    return Group(
        Text.assemble((f"{_MARKS[standing]} ", style), (_plain(judged.image), "bold")),
        *(Padding(line, (0, 0, 0, 2), expand=False) for line in lines),
    )


def _findings(finding: Finding) -> Tree:
    tree = Tree(_finding(finding, decides=True), guide_style="dim")
    _grow(tree, finding, decides=finding.outcome is not Outcome.PASS)
    return tree


def _grow(tree: Tree, finding: Finding, *, decides: bool) -> None:
    for part in finding.parts:
        _grow(tree.add(_finding(part, decides=decides)), part, decides=decides)
    for one in finding.evidence.get("candidates", ()):
        if (text := str(one.get("text", ""))) not in finding.text:
            tree.add(Text(_plain(text), style="dim"))


def _finding(finding: Finding, *, decides: bool) -> Text:
    """Write one line; what does not hold, and need not, is dim."""
    standing = _OUTCOMES[finding.outcome]
    holds = finding.outcome is Outcome.PASS
    mark = (f"{_MARKS[standing]} ", _STYLES[standing] if holds or decides else "dim")
    text = finding.text
    if finding.parts:
        # Why, is said by those below.
        text = text.partition(";")[0] if finding.check == "atLeast" else ""
    style = "" if (holds or decides) and not finding.parts else "dim"
    code = [] if holds or finding.parts else [(f"  {finding.code}", "dim")]
    return Text.assemble(mark, (finding.check, f"bold {style}".strip()), (f" {_plain(text)}", style), *code)


def _summary(judged: Sequence[Judged], policy: Policy) -> Text:
    stands = [_standing(one) for one in judged]
    text = Text(f"policy {policy.name!r}: ")
    for number, standing in enumerate(standing for standing in _SAID if standing in stands):
        text.append(", " if number else "")
        text.append(f"{stands.count(standing)} {_SAID[standing]}", style=f"bold {_STYLES[standing]}")
    return text


# --- policy lint ------------------------------------------------------------------------------------


def _lint(options: argparse.Namespace) -> int:
    content = _read(options.policy)
    try:
        notes = lint(read_policy(content, source=options.policy), now=clock.now())
    except Unusable as error:
        # It can be read, and is no policy: that is what lint is asked about.
        notes = tuple(Note(Level.ERROR, None, fault) for fault in error.faults)
    errors = [note for note in notes if note.level is Level.ERROR]
    if options.json:
        _write_json([{"level": note.level.value, "rule": note.rule, "text": note.text} for note in notes])
    else:
        _print(_notes(notes, options.policy))
    return REFUSED if errors or (notes and options.strict) else TRUSTED


def _notes(notes: Sequence[Note], source: str) -> RenderableType:
    errors = sum(note.level is Level.ERROR for note in notes)
    warnings = len(notes) - errors
    if not notes:
        return Text.assemble(("✔ ", "bold green"), _plain(source), ": nothing to say")
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for note in notes:
        is_error = note.level is Level.ERROR
        table.add_row(
            Text(note.level.value, style="bold red" if is_error else "yellow"), Text(_plain(note.sentence))
        )
    said = [_counted(errors, "error")] if errors else []
    said += [_counted(warnings, "warning")] if warnings else []
    end = "; the function refuses every deployment under it" if errors else ""
    return Group(table, Text(), Text(f"{_plain(source)}: {' and '.join(said)}{end}"))


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


# --- policy explain ---------------------------------------------------------------------------------


def _explain(options: argparse.Namespace) -> int:
    policy = read_policy(_read(options.policy), source=options.policy)
    try:
        reference = Reference.parse(options.image)
    except Rejected as error:
        raise Misconfigured(str(error)) from error
    found = matching(policy, reference, options.container, options.service)
    _print(_image(reference, options), "")
    if not found:
        _print(_no(f"no rule of policy {policy.name!r} is for it: ", "refused"))
        return REFUSED
    tied = len(found) > 1 and found[0].weight == found[1].weight
    _print(_matching(found, tied=tied), "")
    if tied:
        _print(_no("two rules are equally specific: the policy ", "can't be used"))
        return REFUSED
    _print(_wanted(policy, found[0], reference))
    return TRUSTED


def _no(why: str, what: str) -> Text:
    return Text.assemble(("✘ ", "bold red"), why, (what, "bold red"))


def _image(reference: Reference, options: argparse.Namespace) -> RenderableType:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row("image", Text(str(reference), style="bold"))
    if reference.canonical != reference.registry:
        table.add_row("registry", Text(f"also called {reference.canonical}, and covered as such"))
    if ecr := reference.ecr:
        table.add_row("ECR", Text(f"account {ecr.account}, Region {ecr.region}"))
    table.add_row("container", Text(_plain(options.container)))
    table.add_row("service", Text(_plain(options.service) or "not said"))
    return table


def _matching(found: Sequence[Matching], *, tied: bool) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="dim")
    for name in ("", "rule", "by its image", "container", "service", "specificity"):
        table.add_column(name, overflow="fold", no_wrap=name in {"", "specificity"})
    for number, one in enumerate(found):
        decides = number == 0 or (tied and one.weight == found[0].weight)
        style = "bold" if decides else "dim"
        literal, across, within = one.weight[0]
        table.add_row(
            Text("▶" if decides else "", style="green"),
            *(
                Text(_plain(text), style=style)
                for text in (one.rule.name, one.image, one.container, one.service)
            ),
            Text(f"{literal} literal, {-across} **, {-within} *", style=style),
        )
    return table


def _wanted(policy: Policy, decides: Matching, reference: Reference) -> RenderableType:
    rule = decides.rule
    tree = Tree(Text.assemble("rule ", (repr(rule.name), "bold"), " wants proven"), guide_style="dim")
    if reference.digest is None and policy.references.require_digest:
        tree.add(Text("a digest: this one is named by a tag, and refused for it", style="red"))
    if reference.digest in policy.references.deny_digests:
        tree.add(Text("nothing: the policy bans this digest", style="red"))
    _want(tree, rule.require)
    if rule.multi_arch != "either":
        tree.add(Text(f"of an image for several platforms, the {rule.multi_arch} has to be signed"))
    lines: list[RenderableType] = [tree]
    if "observe" in {policy.mode, rule.mode}:
        lines.append(Text("only observed: judged and recorded, and never refused", style="yellow"))
    exemptions = (one for one in policy.exemptions if one.rule == rule.name)
    return Group(*lines, *(_exemption(one, reference) for one in exemptions))


def _want(tree: Tree, requirement: Requirement) -> None:
    name, said = requirement.said
    if requirement.parts:
        count = f" {requirement.needed} of {len(requirement.parts)}" if requirement.at_least else ""
        branch = tree.add(Text(f"{name}{count}", style="bold"))
        for part in requirement.parts:
            _want(branch, part)
        return
    assert not isinstance(said, tuple)  # those have parts
    _details(tree, name, said.model_dump(mode="json", by_alias=True, exclude_unset=True))


def _details(tree: Tree, name: str, said: object) -> None:
    """Put what is said below its name, or beside it where that is short."""
    if isinstance(said, list) and (len(said) > 1 or any(isinstance(one, dict) for one in said)):
        branch = tree.add(Text(name, style="bold"))
        for one in said:
            branch.add(Text(_plain(_clause(one) if isinstance(one, dict) else _written(one))))
    elif not isinstance(said, dict):
        tree.add(Text.assemble((name, "bold"), f" {_plain(_written(said))}"))
    elif len(said) == 1 and not isinstance(value := next(iter(said.values())), dict | list):
        tree.add(Text.assemble((name, "bold"), f" {next(iter(said))} {_plain(_written(value))}"))
    else:
        branch = tree.add(Text(name, style="bold"))
        for key, value in said.items():
            _details(branch, key, value)


def _clause(clause: dict[str, Any]) -> str:
    path, (operator, value) = clause["path"], next(pair for pair in clause.items() if pair[0] != "path")
    return f"{path} {operator} {_written(value)}"


def _written(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(_written, value))
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _exemption(exemption: Exemption, reference: Reference) -> Text:
    now = clock.now()
    if now >= exemption.expires:
        said, style = f"expired at {exemption.expires:%Y-%m-%d %H:%M %Z}", "dim"
    elif now < exemption.approved:
        said, style = f"holds from {exemption.approved:%Y-%m-%d %H:%M %Z} on", "dim"
    else:
        said, style = f"until {exemption.expires:%Y-%m-%d %H:%M %Z}", "yellow"
    if reference.digest and reference.digest not in exemption.digests:
        said, style = f"for other digests, {said}", "dim"
    return Text(
        _plain(f"exemption {exemption.name!r} {said}: {exemption.reason} ({exemption.approved_by})"),
        style=style,
    )


# --- policy schema, policy digest -------------------------------------------------------------------


def schema() -> str:
    """Return the JSON Schema of policy documents, as docs/schema has it."""
    found = Policy.model_json_schema(by_alias=True)
    # pydantic's titles are the keys once more, misspelt.
    for model in (found, *found.get("$defs", {}).values()):
        for described in model.get("properties", {}).values():
            described.pop("title", None)
    document = {"$schema": "https://json-schema.org/draft/2020-12/schema", **found}
    return json.dumps(document, indent=2) + "\n"


def _schema(options: argparse.Namespace) -> int:
    if options.to is None:
        sys.stdout.write(schema())
        return TRUSTED
    try:
        with open(options.to, "w", encoding="utf-8") as file:  # noqa: PTH123  # a name from the command line
            file.write(schema())
    except OSError as error:
        raise Misconfigured(f"{options.to} can't be written: {error.strerror}") from error
    return TRUSTED


def _digest(options: argparse.Namespace) -> int:
    sys.stdout.write(f"{hashlib.sha256(_read(options.file)).hexdigest()}\n")
    return TRUSTED


# --- The terminal -----------------------------------------------------------------------------------


def _read(source: str) -> bytes:
    return read_source(source, files=True)


def _write_json(document: object) -> None:
    sys.stdout.write(json.dumps(document, indent=2) + "\n")


def _print(*lines: RenderableType) -> None:
    console = Console(highlight=False)
    if console.is_terminal:
        for line in lines:
            console.print(line)
        return
    console = Console(highlight=False, width=PIPED_COLUMNS)
    with console.capture() as captured:
        for line in lines:
            console.print(line)
    # Without the blanks with which each line is filled up.
    sys.stdout.write("".join(f"{line.rstrip()}\n" for line in captured.get().splitlines()))


def _errors() -> Console:
    return Console(stderr=True, highlight=False, soft_wrap=True)


@contextlib.contextmanager
def _waiting() -> Iterator[None]:
    """Show on a terminal that registries are asked; nothing of it is left, or goes into a pipe."""
    console = _errors()
    with console.status("asking registries") if console.is_terminal else contextlib.nullcontext():
        yield


def _plain(text: str) -> str:
    """Write out what a terminal would obey: texts are from registries, and from whoever can write there."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )

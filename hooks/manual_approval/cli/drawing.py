"""What the terminal shows of requests: in the console's words, laid out for 80 columns and more."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from hooks.manual_approval.archive import Entry
from hooks.manual_approval.cli.account import Account, reworded
from hooks.manual_approval.cli.naming import Named, short_names
from hooks.manual_approval.cli.terminal import grid, listing, plain
from hooks.manual_approval.console import wording
from hooks.manual_approval.console.charts import drawings, tables
from hooks.manual_approval.console.views import Answer, Dossier, Evidence, TestAccess, Waiting
from hooks.manual_approval.proceeding import Proceeding
from hooks.manual_approval.request import Kind
from hooks.manual_approval.rules import Rules
from shared.exhibits import Table as Exhibit

TONES = {"good": "green", "bad": "red", "back": "yellow", "plain": ""}
MARKS = {"good": "✔", "bad": "✘", "back": "!", "plain": "·"}


def requests(waiting: Sequence[Waiting], now: datetime) -> Table:
    """Draw a list of requests, with the shortest name by which each can be answered."""
    table = listing("request", "service", "asks at", "green runs", "left", fixed=("request", "left"))
    for name, request in zip(short_names(waiting), waiting, strict=True):
        deployment = request.deployment
        table.add_row(
            Text(name, style="bold"),
            f"{deployment.cluster}/{deployment.service}",
            plain(_asks_at(request)),
            Text(plain(", ".join(request.images)) or "?"),
            _left(request, now),
        )
    return table


def _asks_at(request: Waiting) -> str:
    step = f", after {request.step} %" if request.step else ""
    return f"{_words(request.stage)}{step}{', PAUSE hook' if request.is_pause else ''}"


def _words(stage: str) -> str:
    """Write a stage so that a narrow column breaks it between words."""
    return stage.replace("_", " ").lower() or "?"


def _left(request: Waiting, now: datetime) -> Text:
    if request.state == "pending":
        if request.expires_at is None:
            return Text("?")
        left = request.expires_at - now
        return Text(wording.span(left), style="bold red" if left.total_seconds() < 3600 else "")
    if request.state == "decided":
        return Text("decided", style="dim")
    return Text(plain(wording.status(request.deployment_status)), style="dim")


# --- one request --------------------------------------------------------------------------------------


def dossier(found: Dossier, account: Account, now: datetime, *, in_full: bool) -> RenderableType:
    """Draw one request.

    Parameters
    ----------
    in_full
        Whether to draw all there is, or what has to be known to answer.
    """
    parts: list[RenderableType] = [
        _head(found.proceeding),
        Text(),
        _facts(found, now),
        *_section("images", _images(found)),
        *_section("task definition", _differences(found, in_full=in_full)),
        *_section("other hooks", [_evidence(one, in_full=in_full) for one in found.evidence]),
    ]
    if in_full:
        parts += _section("test access", [_test_access(one) for one in found.test_access])
    parts += _section("answers", [_answer(one, now) for one in found.answers])
    parts += _section("decision", _decision(found, account, in_full=in_full))
    parts += _section("not known", [Text(plain(reworded(one)), style="yellow") for one in found.problems])
    if account.console_url:
        named = Named(found.proceeding.deployment, found.proceeding.part)
        # By itself, so that a narrow terminal does not break it.
        parts += [Text(), Text(f"{account.console_url}/requests/{named}", style="dim", overflow="fold")]
    return Group(*parts)


def _head(proceeding: Proceeding) -> Text:
    step = wording.step_of(proceeding.part)
    stage = proceeding.statement.stage
    deployment = proceeding.deployment
    question, situation = wording.question(stage, step), wording.situation(stage, step)
    return Text.assemble(
        (f"{deployment.cluster}/{deployment.service}", "bold"),
        (f"  {question}\n", "bold"),
        (situation, "dim"),
    )


def _facts(found: Dossier, now: datetime) -> Table:
    proceeding = found.proceeding
    deployment = proceeding.deployment
    table = grid()
    status = (
        wording.status(found.deployment_status) if found.deployment_status else "could not be asked about"
    )
    strategy = f", {wording.strategy(found.strategy)}" if found.strategy else ""
    table.add_row("deployment", Text(plain(f"{deployment.id}{strategy}, {status}")))
    table.add_row("stage", Text(plain(_stage(proceeding))))
    table.add_row("state", _state(proceeding, now))
    if found.ecs_deadline is not None:
        table.add_row("ECS waits", Text(f"until {wording.clock(found.ecs_deadline, now)}"))
    return table


def _stage(proceeding: Proceeding) -> str:
    stage, step = proceeding.statement.stage, wording.step_of(proceeding.part)
    if proceeding.is_pause:
        return f"{stage}, PAUSE hook {proceeding.part}"
    return f"{stage}, after {step} %" if step else stage


def _state(proceeding: Proceeding, now: datetime) -> Text:
    said, tone = wording.outcome(proceeding.outcome)
    asked = f", asked {wording.clock(proceeding.asked.at, now)}"
    text = Text.assemble((said.lower(), f"bold {TONES[tone]}".strip()), asked)
    if proceeding.finding is None:
        return text
    expires_at = proceeding.finding.expires_at
    if proceeding.outcome == "pending":
        text.append(f", {wording.time_left(expires_at, now)}, until {wording.clock(expires_at, now)}")
    return text


def _section(name: str, lines: Sequence[RenderableType]) -> Iterator[RenderableType]:
    if lines:
        yield Text(f"\n{name}", style="dim")
        yield from (Padding(line, (0, 0, 0, 2), expand=False) for line in lines)


def _images(found: Dossier) -> Sequence[RenderableType]:
    if not found.images:
        return ()
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for image in found.images:
        name = Text(plain(image.container))
        if image.is_same:
            table.add_row(name, "same", _image(image.green, image.green_digest))
            continue
        table.add_row(name, "blue", _image(image.blue, image.blue_digest))
        table.add_row("", "green", _image(image.green, image.green_digest, style="bold"))
    note = [Text("nothing ran before", style="dim")] if found.is_first else []
    return [table, *note]


def _image(reference: str, digest: str, style: str = "") -> Text:
    if not reference:
        return Text("none", style="dim")
    text = Text(plain(reference), style=style)
    if digest and digest not in reference:
        text.append(f" {plain(wording.short_digest(digest))}", style="dim")
    return text


def _differences(found: Dossier, *, in_full: bool) -> Sequence[RenderableType]:
    if not found.differences:
        return ()
    if not in_full:
        count = len(found.differences)
        return [
            Text(f"differs in {count} {'thing' if count == 1 else 'things'}; `approvals show` lists them")
        ]
    table = listing("where", "what", "blue", "green")
    for one in found.differences:
        table.add_row(*(Text(plain(text) or "none") for text in (one.where, one.what, one.blue, one.green)))
    return [table]


def _evidence(one: Evidence, *, in_full: bool) -> RenderableType:
    said, tone = wording.verdict(one.answer, one.would_refuse)
    step = f", {one.step} %" if one.step else ""
    reason = one.would_refuse or one.reason
    text = Text.assemble(
        (f"{MARKS[tone]} {said}", TONES[tone]),
        f"  {plain(wording.hook(one.hook))}",
        (f" at {plain(one.stage)}{plain(step)}", "dim"),
    )
    if not in_full:
        return _with(text, Text(plain(reason)) if tone != "good" else "")
    charts = [Text(plain(f"{one.title}: {one.told}"), style="dim") for one in drawings(one.charts)]
    return _with(text, Text(plain(reason)), *charts, *(_exhibit(table) for table in tables(one.tables)))


def _with(line: Text, *details: RenderableType) -> RenderableType:
    """Put details below a line; empty ones are left out."""
    return Group(line, *(Padding(detail, (0, 0, 0, 2), expand=False) for detail in details if detail))


def _exhibit(exhibit: Exhibit) -> RenderableType:
    table = listing(*map(plain, exhibit.columns))
    for row in exhibit.rows:
        table.add_row(*(Text(plain(cell), style=TONES.get(tone, "")) for cell, tone in row))
    lines: list[RenderableType] = [Text(plain(exhibit.title), style="dim"), table]
    if exhibit.left_out:
        lines.append(Text(f"and {exhibit.left_out} more", style="dim"))
    return Group(*lines)


def _test_access(access: TestAccess) -> RenderableType:
    headers = [Text(f"with {plain(name)}: {plain(value) or 'any value'}") for name, value in access.headers]
    inside = Text("from within the Service Connect namespace", style="dim") if access.inside else ""
    return _with(Text(plain(access.address)), *headers, inside)


def _answer(answer: Answer, now: datetime) -> RenderableType:
    said, tone = wording.outcome(answer.what)
    counts = not answer.objection
    text = Text.assemble(
        (f"{MARKS[tone]} {said}" if counts else f"· {said}", TONES[tone] if counts else "dim"),
        f"  {plain(str(wording.who(answer.who, answer.name)))}",
        (f", {wording.clock(answer.at, now)}", "dim"),
    )
    objection = Text(f"does not count: {plain(wording.objection(answer.objection))}", style="yellow")
    is_objected_to = not counts and answer.what != Kind.NOT_UNDERSTOOD
    return _with(text, Text(plain(answer.comment)), objection if is_objected_to else "")


def _decision(found: Dossier, account: Account, *, in_full: bool) -> Sequence[RenderableType]:
    proceeding = found.proceeding
    lines: list[RenderableType] = [missing(proceeding, account)]
    if in_full and proceeding.rules:
        lines += [Text(plain(sentence), style="dim") for sentence in _rules(proceeding.rules)]
    objection = proceeding.objection(account.identity)
    you = Text.assemble("you are ", (plain(str(wording.who(account.identity))), "bold"))
    is_objected_to = proceeding.outcome == "pending" and objection
    why_not = Text(f"you may not decide: {plain(objection or '')}", style="yellow")
    return [
        *lines,
        _with(you, Text(plain(account.identity), style="dim"), why_not if is_objected_to else ""),
    ]


def _rules(rules: Rules) -> Sequence[str]:
    # These are the console's sentences, and this is not it.
    return [sentence.replace("this console", "the console") for sentence in wording.who_may_decide(rules)]


def missing(proceeding: Proceeding, account: Account) -> Text:
    """Say what a request still lacks."""
    rules, finding = proceeding.rules, proceeding.finding
    if rules is None or finding is None:
        return Text("who may decide is too long a list to stand in the request", style="yellow")
    if proceeding.outcome != "pending":
        return Text(outcome(proceeding))
    by_you = proceeding.has_approved(account.identity)
    return Text(wording.missing(len(finding.votes), rules.required, by_viewer=by_you))


def outcome(proceeding: Proceeding) -> str:
    """Say what a request came to, and by whom."""
    finding = proceeding.finding
    if finding is None:
        return "what it came to can't be told here"
    who = ", ".join(plain(str(wording.who(vote.by, vote.name))) for vote in finding.votes)
    match finding.outcome:
        case "approved" | "rejected":
            return f"{finding.outcome} by {who}"
        case "expired":
            return f"expired with too few approvals, by {who}" if who else "expired, and nobody had decided"
    return "pending"


# --- past decisions -----------------------------------------------------------------------------------


def entries(found: Sequence[Entry]) -> Table:
    """Draw past decisions."""
    table = listing("ended", "service", "asked at", "outcome", "by", fixed=("ended", "service"))
    for entry in found:
        said, tone = wording.outcome(entry.outcome)
        deployment = entry.deployment
        step = wording.step_of(entry.part)
        table.add_row(
            Text(f"{entry.ended_at:%H:%M}"),
            Text.assemble(
                f"{deployment.cluster}/{deployment.service}", (f"\n{deployment.id}", "dim"), overflow="fold"
            ),
            Text(plain(f"{_words(entry.stage)}{f', after {step} %' if step else ''}")),
            Text.assemble(
                (said.lower(), TONES[tone]), (f"\n{plain(wording.status(entry.deployment_status))}", "dim")
            ),
            _by(entry),
        )
    return table


def _by(entry: Entry) -> Text:
    lines = []
    for answer in entry.answers:
        comment = f": {plain(answer.comment)}" if answer.comment else ""
        lines.append(f"{answer.what} by {plain(str(wording.who(answer.who, answer.name)))}{comment}")
    return Text("\n".join(lines) or "nobody")

"""The command ``watch``: all that is pending, as it changes; or one request, until it is decided."""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from hooks.manual_approval.archive import Entry
from hooks.manual_approval.cli import documents, drawing
from hooks.manual_approval.cli.account import Account, complaint, reworded
from hooks.manual_approval.cli.changes import Change, Watched
from hooks.manual_approval.cli.codes import BY_OUTCOME, Code
from hooks.manual_approval.cli.looking import everything, meant, overview
from hooks.manual_approval.cli.naming import Named, Unnamed
from hooks.manual_approval.cli.terminal import complained, console, plain, printed, write_json
from hooks.manual_approval.console import wording
from hooks.manual_approval.console.dossier import answers_in, is_waiting
from hooks.manual_approval.console.history import read_history
from hooks.manual_approval.console.views import Answer, Overview
from hooks.manual_approval.proceeding import NotAsked, Proceeding, read_proceeding
from shared import clock
from shared.errors import HookError, Transient

ONE_DAY = timedelta(days=1)

# How many looks in a row have to find it expired: an answer may have been in time, and not be seen yet.
LOOKS_AT_AN_EXPIRY = 2


def watch(options: argparse.Namespace, account: Account) -> Code:
    """Watch one request to its end, or all until interrupted."""
    if options.request is None:
        return _watch_all(options, account)
    watched = _Watch(options, account, _awaited(options, account))
    while (code := watched.look(clock.now())) is None:
        clock.sleep(options.interval)
    return code


# --- all of them --------------------------------------------------------------------------------------


def _watch_all(options: argparse.Namespace, account: Account) -> Code:
    watched = Watched()
    with _screen(options) as live:
        while True:
            now = clock.now()
            try:
                found = overview(account, now)
                for change in watched.take(found):
                    _tell_change(change, account, now, options, live)
            except Transient as error:
                complained(complaint(error))
            else:
                _show(found, now, live)
            _rest(options.interval, found if live else None, live)


@contextmanager
def _screen(options: argparse.Namespace) -> Iterator[Live | None]:
    """Keep the table at the foot of a terminal; in a pipe, and for JSON, there is none."""
    screen = console()
    if options.json or not screen.is_terminal:
        yield None
        return
    with Live(console=screen, auto_refresh=False, transient=True) as live:
        yield live


def _show(found: Overview, now: datetime, live: Live | None) -> None:
    if live is None:
        for problem in found.problems:
            complained(reworded(problem))
        return
    lines = [Text(plain(reworded(problem)), style="yellow") for problem in found.problems]
    body = drawing.requests(found.waiting, now) if found.waiting else Text("nothing waits for a decision")
    live.update(Group(body, *lines, Text(f"{now:%H:%M:%S} UTC, Ctrl-C ends it", style="dim")), refresh=True)


def _rest(seconds: int, found: Overview | None, live: Live | None) -> None:
    """Wait for the next look, while the time that is left runs down."""
    if live is None or found is None:
        clock.sleep(seconds)
        return
    for _ in range(seconds):
        clock.sleep(1)
        _show(found, clock.now(), live)


def _tell_change(
    change: Change, account: Account, now: datetime, options: argparse.Namespace, live: Live | None
) -> None:
    request = change.request
    named = Named(request.deployment, request.part)
    end = _end(named, account, now) if change.what == "over" else None
    what = end.outcome if end else change.what
    if options.json:
        document = {**documents.waiting(request, account), "by": end.by if end else []}
        write_json({"at": documents.moment(now), "change": what, **document}, on_one_line=True)
        return
    if what == "pending" and live:
        return  # the table has it
    sentence = end.sentence if end else _NEWS[what]
    if request.expires_at and not end:
        sentence += f", until {wording.clock(request.expires_at, now)}"
    _line(now, named, sentence, live.console if live else None)


_NEWS = {"pending": "waits for a decision", "asked": "asks for a decision", "extended": "was put off"}


def _line(now: datetime, named: Named, sentence: str, screen: Console | None = None) -> None:
    text = Text.assemble((f"{now:%H:%M:%S}", "dim"), f" {named}: {plain(sentence)}")
    if screen:
        screen.print(text)
    else:
        printed(text)


@dataclass(frozen=True, slots=True)
class _End:
    """How a request ended."""

    outcome: str
    """``approved``, ``rejected``, ``expired``, or ``undecided``."""
    sentence: str
    by: Sequence[documents.JsonObject]


def _end(named: Named, account: Account, now: datetime) -> _End:
    """Find out how a request ended that is pending no longer; as far as that can be read."""
    try:
        found = read_proceeding(account.prefix, named.deployment, named.part, account.askers, now)
        if _outcome(found) in BY_OUTCOME:
            return _end_of(found)
    except NotAsked:
        if entry := _archived(named, account, now):
            return _end_of_entry(entry)
    except HookError as error:
        return _End("undecided", f"over; how, could not be read: {complaint(error)}", [])
    return _End("undecided", "the deployment ended before anybody decided", [])


def _outcome(found: Proceeding) -> str:
    """Return what a request came to; where its rules are not known, what the hook itself says."""
    return found.closed.outcome if found.finding is None and found.closed else found.outcome


def _end_of(found: Proceeding) -> _End:
    sentence = drawing.outcome(found) if found.finding else _outcome(found)
    return _End(_outcome(found), sentence, documents.votes(found))


def _end_of_entry(entry: Entry) -> _End:
    if entry.outcome == "undecided":
        return _End(entry.outcome, "the deployment ended before anybody decided", [])
    deciding = [one for one in entry.answers if one.what == entry.outcome]
    who = ", ".join(str(wording.who(one.who, one.name)) for one in deciding)
    by = [documents.vote(one.who, one.name, one.at, one.comment) for one in deciding]
    return _End(entry.outcome, f"{entry.outcome} by {who}" if who else entry.outcome, by)


def _archived(named: Named, account: Account, now: datetime) -> Entry | None:
    """Look for a request among those that ended today, or shortly before midnight."""
    for day in (now.date(), (now - ONE_DAY).date()):
        for entry in read_history(account.prefix, day, everything, now).entries:
            if (entry.deployment, entry.part) == (named.deployment, named.part):
                return entry
    return None


# --- one of them --------------------------------------------------------------------------------------


def _awaited(options: argparse.Namespace, account: Account) -> Named:
    """Return the request that is meant, which may be yet to be made."""
    until = clock.now() + (options.appears_within or timedelta())
    while True:
        now = clock.now()
        try:
            named = meant(options.request, account, now)
            read_proceeding(account.prefix, named.deployment, named.part, account.askers, now)
        except (Unnamed, NotAsked) as error:
            # Several will not become one by waiting.
            if now >= until or (isinstance(error, Unnamed) and error.is_ambiguous):
                raise
            clock.sleep(options.interval)
        else:
            return named


class _Watch:
    """One request, being watched."""

    def __init__(self, options: argparse.Namespace, account: Account, named: Named) -> None:
        self._json = options.json
        self._account = account
        self._named = named
        self._seen: set[int] | None = None
        """Numbers of the answers that were told."""
        self._expiries = 0
        """In how many looks in a row it had expired."""
        self._complaints: set[str] = set()

    def look(self, now: datetime) -> Code | None:
        """Tell what is new; return how it ended, once it has."""
        try:
            found = self._read(now)
        except NotAsked:
            return self._told_end(_end(self._named, self._account, now), None, now)
        except Transient as error:
            self._complain(error)
            return None
        answers = {answer.number: answer for answer in answers_in(found)}
        if self._seen is None:
            self._tell_state(found, now)
        else:
            for number in sorted(answers.keys() - self._seen):
                self._tell_answer(answers[number], found, now)
        self._seen = set(answers)
        self._expiries = self._expiries + 1 if found.outcome == "expired" else 0
        if self._is_over(found):
            return self._told_end(_end_of(found), found, now)
        if found.outcome != "expired" and not self._goes_on(found):
            # It may have been decided since it was read.
            return self._told_end(_end(self._named, self._account, now), found, now)
        return None

    def _read(self, now: datetime) -> Proceeding:
        account, named = self._account, self._named
        return read_proceeding(account.prefix, named.deployment, named.part, account.askers, now)

    def _is_over(self, found: Proceeding) -> bool:
        if found.outcome == "expired" and found.finding and not found.finding.settled:
            return self._expiries >= LOOKS_AT_AN_EXPIRY
        return _outcome(found) in BY_OUTCOME

    def _goes_on(self, found: Proceeding) -> bool:
        """Tell whether the deployment still waits; where that can't be read, the request alone says it."""
        try:
            return is_waiting(found)
        except HookError as error:
            self._complain(error)
            return True

    def _complain(self, error: HookError) -> None:
        """Say what goes wrong, once: it will go wrong at every look."""
        if (text := complaint(error)) not in self._complaints:
            self._complaints.add(text)
            complained(text)

    def _tell_state(self, found: Proceeding, now: datetime) -> None:
        if self._json:
            _event("pending" if found.outcome == "pending" else "found", found, now)
        else:
            _line(now, self._named, drawing.missing(found, self._account).plain)

    def _tell_answer(self, answer: Answer, found: Proceeding, now: datetime) -> None:
        if self._json:
            what = "not counted" if answer.objection else _ANSWERS.get(answer.what, answer.what)
            given = documents.vote(answer.who, answer.name, answer.at, answer.comment)
            _event(what, found, now, {"given": {**given, "objection": answer.objection}})
            return
        who = wording.who(answer.who, answer.name)
        comment = f": {answer.comment}" if answer.comment else ""
        objection = f" (does not count: {wording.objection(answer.objection)})" if answer.objection else ""
        _line(now, self._named, f"{answer.what} by {who}{comment}{objection}")

    def _told_end(self, end: _End, found: Proceeding | None, now: datetime) -> Code:
        if self._json:
            deployment, part = self._named.deployment, self._named.part
            known = documents.decided(found) if found else documents.request_named(deployment, part)
            document = {**known, "outcome": end.outcome, "by": end.by}
            write_json({"at": documents.moment(now), "change": end.outcome, **document}, on_one_line=True)
        else:
            _line(now, self._named, end.sentence)
        return BY_OUTCOME[end.outcome]


# What a single answer is, beside what the request comes to.
_ANSWERS = {"approved": "approval", "rejected": "rejection"}


def _event(what: str, found: Proceeding, now: datetime, further: Mapping[str, object] | None = None) -> None:
    document = {"at": documents.moment(now), "change": what, **documents.decided(found), **(further or {})}
    write_json(document, on_one_line=True)

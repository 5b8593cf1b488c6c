"""CloudWatch Logs Insights, of which moto has only the beginning.

::

    query    = command { "|" command }
    command  = filter CONDITION | fields EXPRESSION [as NAME], ... | parse FIELD /REGEX/
             | stats AGGREGATE [as NAME], ... [by EXPRESSION [as NAME], ...]
             | sort NAME [asc|desc] | limit NUMBER

What is not understood is a ``MalformedQueryException``, as AWS answers it: a query that only works here
would be worse than none. A comparison that is added up is among that, for AWS does not say what it is.

Log events are moto's, put by PutLogEvents, and beside them :class:`Lines`: one line of which there were
many in a minute, so that an hour of traffic is not a hundred thousand objects. For a query there is no
difference.

Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CWL_QuerySyntax.html and
https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_StartQuery.html
"""

import functools
import itertools
import json
import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

from moto.logs.models import LogsBackend, logs_backends
from moto.moto_api._internal import mock_random

from rehearsal.aws.call import AwsError, Call, JsonObject

MAX_QUERY_LENGTH = 10_000
MAX_LIMIT = 10_000
MINUTE_MS = 60_000

Value = float | str | bool | None
Fields = dict[str, Value]
Evaluate = Callable[[Fields], Value]


class LogRow(NamedTuple):
    """An event on its way through a query, and of how many like it it stands for."""

    at: float
    """Milliseconds since 1970."""
    fields: Fields
    times: float


@dataclass(frozen=True, slots=True)
class Lines:
    """Log events of one stream that are alike."""

    at: int
    """Milliseconds since 1970."""
    stream: str
    message: str
    count: int = 1


@dataclass(slots=True)
class _Minute:
    """The lines of a minute, and what queries have made of them so far."""

    lines: list[Lines] = field(default_factory=list)
    made: dict[str, list[LogRow]] = field(default_factory=dict)
    """What the commands for each event left of them, by query: a hook asks the same at each look."""


@dataclass(slots=True)
class _Query:
    results: list[list[JsonObject]]
    statistics: JsonObject
    looks_left: int
    outcome: str


@dataclass(frozen=True, slots=True)
class _Answer:
    """What a query found in so many lines."""

    size: int
    results: list[list[JsonObject]]
    statistics: JsonObject


@dataclass(slots=True)
class _Kept:
    """What is kept beside moto's own in its backend, so that both are forgotten together."""

    minutes: defaultdict[str, defaultdict[int, _Minute]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(_Minute))
    )
    queries: dict[str, _Query] = field(default_factory=dict)
    answers: dict[tuple[str, tuple[str, ...], int, int], _Answer] = field(default_factory=dict)


class LogQueries:
    """The operations on queries."""

    def __init__(self) -> None:
        self.runs_for_looks = 0
        """How often GetQueryResults answers ``Running`` before a query has ended."""
        self.outcome = "Complete"
        """How queries end that are started from now on."""

    @property
    def operations(self) -> Mapping[str, Callable[[Call], JsonObject]]:
        """What is answered here, by operation."""
        return {"StartQuery": self.start, "GetQueryResults": self.results, "StopQuery": self.stop}

    def answer(self, call: Call) -> JsonObject:
        """Answer a call."""
        return self.operations[call.operation](call)

    def reset(self) -> None:
        """Let queries be done at once again."""
        self.runs_for_looks, self.outcome = 0, "Complete"

    def start(self, call: Call) -> JsonObject:
        """Run a query; its results are there when they are asked for."""
        parameters, backend = call.parameters, _backend(call)
        groups = _groups(parameters, backend)
        start, end, limit = (parameters.get(name) for name in ("startTime", "endTime", "limit"))
        if not isinstance(start, int) or not isinstance(end, int) or start > end:
            raise _invalid("startTime and endTime must be seconds since 1970, in this order.")
        if limit is not None and not (isinstance(limit, int) and 1 <= limit <= MAX_LIMIT):
            raise _invalid(f"limit must be between 1 and {MAX_LIMIT} in a rehearsal.")
        if parameters.get("queryLanguage", "CWLI") != "CWLI":
            raise _invalid("queries of a rehearsal are in CWLI.")
        text = str(parameters.get("queryString", ""))
        if len(text) > MAX_QUERY_LENGTH:
            raise _invalid(f"queryString must have at most {MAX_QUERY_LENGTH} characters.")
        plan = _parsed(text)
        # Both ends are inclusive, to the second.
        first, last = start * 1000, end * 1000
        minutes = [(group, minute) for group in groups for minute in _minutes(backend, group, first, last)]
        kept, asked = _kept(backend), (text, tuple(groups), start, end)
        # Lines are only ever added, so that as many are the same.
        size = sum([len(minute.lines) for _, minute in minutes])
        if asked not in kept.answers or kept.answers[asked].size != size:
            rows = [row for group, minute in minutes for row in plan.left(text, group, minute)]
            rows = [row for row in rows if first <= row.at <= last]
            statistics = {
                "recordsMatched": sum([row.times for row in rows]),
                "recordsScanned": float(
                    sum([lines.count for _, minute in minutes for lines in minute.lines])
                ),
                "bytesScanned": 0.0,
            }
            kept.answers[asked] = _Answer(size, plan.results(rows), statistics)
        answer, identifier = kept.answers[asked], str(mock_random.uuid4())
        kept.queries[identifier] = _Query(
            answer.results[: limit or MAX_LIMIT], answer.statistics, self.runs_for_looks, self.outcome
        )
        return {"queryId": identifier}

    def results(self, call: Call) -> JsonObject:
        """Tell how far a query is, and its results once it has ended."""
        query = _known(call)
        if query.looks_left > 0:
            query.looks_left -= 1
            return {"status": "Running", "results": [], "statistics": query.statistics}
        complete = query.outcome == "Complete"
        return {
            "status": query.outcome,
            "results": query.results if complete else [],
            "statistics": query.statistics,
            "queryLanguage": "CWLI",
        }

    def stop(self, call: Call) -> JsonObject:
        """Cancel a query that runs."""
        query = _known(call)
        if query.looks_left <= 0:
            raise _invalid("The specified query has already ended.")
        query.looks_left, query.outcome = 0, "Cancelled"
        return {"success": True}


def put_lines(backend: LogsBackend, group: str, lines: Iterable[Lines]) -> None:
    """Keep lines of a log group, which is created if there is none, and so are their streams."""
    if group not in backend.groups:
        backend.create_log_group(group, {})
    minutes, streams = _kept(backend).minutes[group], backend.groups[group].streams
    for some in lines:
        if some.stream not in streams:
            backend.create_log_stream(group, some.stream)
        minute = minutes[some.at // MINUTE_MS]
        minute.lines.append(some)
        minute.made.clear()


def _backend(call: Call) -> LogsBackend:
    backend: LogsBackend = logs_backends[call.account][call.region]
    return backend


def _kept(backend: LogsBackend) -> _Kept:
    kept: _Kept = backend.__dict__.setdefault("rehearsal_logs", _Kept())
    return kept


def _known(call: Call) -> _Query:
    identifier = call.parameters.get("queryId")
    queries = _kept(_backend(call)).queries
    if identifier not in queries:
        raise AwsError("ResourceNotFoundException", "The specified query does not exist.")
    return queries[identifier]


def _groups(parameters: JsonObject, backend: LogsBackend) -> list[str]:
    names = [name for name in ("logGroupName", "logGroupNames", "logGroupIdentifiers") if name in parameters]
    if len(names) != 1:
        raise _invalid("Exactly one of logGroupName, logGroupNames and logGroupIdentifiers must be given.")
    chosen = parameters[names[0]]
    groups = [str(name) for name in (chosen if isinstance(chosen, list) else [chosen])]
    if names == ["logGroupIdentifiers"]:
        groups = [name.partition(":log-group:")[2] or name for name in groups]
    for group in groups:
        if group not in backend.groups:
            raise AwsError("ResourceNotFoundException", f"Log group '{group}' does not exist.")
    return groups


def _minutes(backend: LogsBackend, group: str, first: int, last: int) -> Iterator[_Minute]:
    events: defaultdict[int, _Minute] = defaultdict(_Minute)
    for stream in backend.groups[group].streams.values():
        for event in stream.events:
            events[event.timestamp // MINUTE_MS].lines.append(
                Lines(event.timestamp, stream.log_stream_name, event.message)
            )
    for minutes in (_kept(backend).minutes[group], events):
        for number in sorted(minutes):
            if first // MINUTE_MS <= number <= last // MINUTE_MS:
                yield minutes[number]


def _invalid(message: str) -> AwsError:
    return AwsError("InvalidParameterException", message)


def _malformed(message: str) -> AwsError:
    return AwsError("MalformedQueryException", message)


# ---------------------------------------------------------------------- fields of an event


@functools.lru_cache(maxsize=65_536)
def _discovered(message: str) -> Mapping[str, Value]:
    """Return the fields that Logs Insights finds in a JSON event by itself; none in another."""
    if not message.startswith("{"):
        return {}
    try:
        event = json.loads(message)
    except ValueError:
        return {}
    return dict(_flat(event, ""))


def _flat(event: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Value]]:
    for key, value in event.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        elif isinstance(value, bool | int | float):
            yield f"{prefix}{key}", float(value)
        elif isinstance(value, str):
            yield f"{prefix}{key}", value


def _numeric(value: Value) -> float | None:
    """Return a number, of a text that is one as well; ``None`` for what is none."""
    if value is None or isinstance(value, bool):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _written(value: Value) -> str:
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value)
    return str(value)


def _moment(milliseconds: float) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]


# ---------------------------------------------------------------------- a query that was understood

Step = Callable[[Iterable[LogRow]], Iterable[LogRow]]


@dataclass(slots=True)
class _Plan:
    """The commands of a query, those for each event apart from those over all."""

    names: set[str] = field(default_factory=set)
    """Of all fields that the query mentions; the others of an event need not be carried along."""
    for_each: list[Step] = field(default_factory=list)
    over_all: list[Step] = field(default_factory=list)
    shown: list[str] = field(default_factory=list)
    aggregated: bool = False
    sorted: bool = False

    def left(self, text: str, group: str, minute: _Minute) -> list[LogRow]:
        """Return what the commands for each event leave of a minute's; *text* is the query's."""
        if text not in minute.made:
            minute.made[text] = list(self._applied(group, minute.lines))
        return minute.made[text]

    def _applied(self, group: str, lines: Iterable[Lines]) -> Iterable[LogRow]:
        found = self.names - {"@timestamp", "@message", "@logStream", "@log"}
        rows: Iterable[LogRow] = (
            LogRow(
                some.at,
                {
                    "@timestamp": float(some.at),
                    "@message": some.message,
                    "@logStream": some.stream,
                    "@log": group,
                    **{name: value for name, value in _discovered(some.message).items() if name in found},
                },
                some.count,
            )
            for some in lines
        )
        for step in self.for_each:
            rows = step(rows)
        return rows

    def results(self, rows: Iterable[LogRow]) -> list[list[JsonObject]]:
        """Take all events through the rest, and write them down as the API does."""
        for step in self.over_all:
            rows = step(rows)
        if not self.aggregated:
            if not self.sorted:
                rows = sorted(rows, key=lambda row: -row.at)
            rows = (row for some in rows for row in itertools.repeat(some, int(some.times)))
        shown = self.shown or ["@timestamp", "@message"]
        return [
            [
                {"field": name, "value": self._shown(name, value)}
                for name in shown
                if (value := row.fields.get(name)) is not None
            ]
            for row in itertools.islice(rows, MAX_LIMIT)
        ]

    @staticmethod
    def _shown(name: str, value: Value) -> str:
        if isinstance(value, float) and (name == "@timestamp" or name.startswith("bin(")):
            return _moment(value)
        return _written(value)


# ---------------------------------------------------------------------- reading a query


@dataclass(frozen=True, slots=True)
class _Expression:
    text: str
    evaluate: Evaluate
    is_condition: bool = False


_SPACE = re.compile(r"(?:\s|#[^\n]*)+")
_NAME = re.compile(r"@?[A-Za-z_][A-Za-z0-9_.]*|`[^`]+`")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_TEXT = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"")
_REGEX = re.compile(r"/((?:[^/\\\n]|\\.)+)/")
_COMPARISON = re.compile(r"<=|>=|!=|=|<|>")
_PERIOD = re.compile(r"(\d+)(s|m|h)")
_PERIOD_MS = {"s": 1000, "m": 60_000, "h": 3_600_000}

_FUNCTIONS: Mapping[str, tuple[int, int, Callable[..., float]]] = {
    "abs": (1, 1, abs),
    "ceil": (1, 1, math.ceil),
    "floor": (1, 1, math.floor),
    "greatest": (1, 100, max),
    "least": (1, 100, min),
}


class _Reader:
    """A recursive descent over the text of a query."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.place = 0
        self.plan = _Plan()

    def read(self) -> _Plan:
        commands: Mapping[str, Callable[[], None]] = {
            "filter": self._filter,
            "fields": self._fields,
            "parse": self._parse,
            "stats": self._stats,
            "sort": self._sort,
            "limit": self._limit,
        }
        while True:
            word = self._name().lower()
            if word not in commands:
                raise self._unexpected(word)
            commands[word]()
            if not self._takes("|"):
                break
        if self.place < len(self.text):
            raise self._unexpected(self.text[self.place : self.place + 20])
        return self.plan

    # ------------------------------------------------------------------ characters and words

    def _skip(self) -> None:
        if space := _SPACE.match(self.text, self.place):
            self.place = space.end()

    def _match(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        self._skip()
        found = pattern.match(self.text, self.place)
        if found:
            self.place = found.end()
            self._skip()
        return found

    def _takes(self, mark: str) -> bool:
        self._skip()
        if not self.text.startswith(mark, self.place):
            return False
        self.place += len(mark)
        self._skip()
        return True

    def _needs(self, mark: str) -> None:
        if not self._takes(mark):
            raise self._unexpected(self.text[self.place : self.place + 20] or "the end")

    def _word(self, *words: str) -> str | None:
        """Take one of the words, if it is next."""
        before = self.place
        found = self._match(_NAME)
        if found and found[0].lower() in words:
            return found[0].lower()
        self.place = before
        return None

    def _name(self) -> str:
        found = self._match(_NAME)
        if found is None:
            raise self._unexpected(self.text[self.place : self.place + 20] or "the end")
        name = found[0].strip("`")
        self.plan.names.add(name)
        return name

    def _unexpected(self, what: str) -> AwsError:
        return _malformed(f"unexpected {what!r} at character {self.place} of the query")

    def _regex(self) -> re.Pattern[str]:
        found = self._match(_REGEX)
        if found is None:
            raise self._unexpected(self.text[self.place : self.place + 20])
        try:
            regex = re.compile(re.sub(r"\(\?<(?![=!])", "(?P<", found[1]))
        except re.error as error:
            raise _malformed(f"the regular expression {found[0]}: {error}") from error
        if not all(name.isalnum() for name in regex.groupindex):
            raise _malformed(f"the regular expression {found[0]}: names of groups are letters and digits")
        return regex

    # ------------------------------------------------------------------ commands

    def _step(self, step: Step) -> None:
        after = self.plan.over_all
        (after if self.plan.aggregated or after else self.plan.for_each).append(step)

    def _filter(self) -> None:
        condition = self._condition()
        evaluate = condition.evaluate
        self._step(lambda rows: (row for row in rows if evaluate(row.fields)))

    def _fields(self) -> None:
        new: list[tuple[str, Evaluate]] = []
        for expression, name in self._named():
            if expression.is_condition:
                raise _malformed(f"what {expression.text} is as a field is not documented")
            self.plan.shown.append(name)
            if name != expression.text or not _NAME.fullmatch(expression.text):
                new.append((name, expression.evaluate))

        def extended(rows: Iterable[LogRow]) -> Iterator[LogRow]:
            for row in rows:
                fields = row.fields
                yield row._replace(fields=fields | {name: made(fields) for name, made in new})

        if new:
            self._step(extended)

    def _parse(self) -> None:
        source, regex = self._name(), self._regex()
        if not regex.groupindex:
            raise _malformed("parse needs groups with names")

        def parsed(rows: Iterable[LogRow]) -> Iterator[LogRow]:
            for row in rows:
                text = row.fields.get(source)
                found = regex.search(text) if isinstance(text, str) else None
                yield row._replace(fields=row.fields | found.groupdict()) if found else row

        self._step(parsed)

    def _stats(self) -> None:
        if self.plan.aggregated:
            raise _malformed("a second stats is not understood in a rehearsal")
        aggregates = [self._aggregate()]
        while self._takes(","):
            aggregates.append(self._aggregate())
        by = self._named() if self._word("by") else []
        names = [name for _, name in by] + [name for name, _ in aggregates]
        if len(set(names)) != len(names):
            raise _malformed("two columns have one name")

        def aggregated(rows: Iterable[LogRow]) -> Iterator[LogRow]:
            groups: dict[tuple[Value, ...], list[LogRow]] = defaultdict(list)
            keys = [expression.evaluate for expression, _ in by]
            for row in rows:
                groups[tuple(key(row.fields) for key in keys)].append(row)
            for key, members in groups.items() if groups or by else [((), [])]:
                fields: Fields = dict(zip((name for _, name in by), key, strict=True))
                yield LogRow(0, fields | {name: made(members) for name, made in aggregates}, 1)

        self.plan.over_all.append(aggregated)
        self.plan.shown = names
        self.plan.aggregated = True

    def _aggregate(self) -> tuple[str, Callable[[Sequence[LogRow]], Value]]:
        start = self.place
        function = self._name().lower()
        self._needs("(")
        if function == "count":
            made = self._count()
        elif function in {"sum", "min", "max", "pct"}:
            made = self._number_of(function)
        else:
            raise _malformed(f"the function {function} is not understood in a rehearsal")
        text = self.text[start : self.place].strip()
        return self._name() if self._word("as") else text, made

    def _count(self) -> Callable[[Sequence[LogRow]], Value]:
        if self._takes("*"):
            self._needs(")")
            return lambda rows: float(sum([row.times for row in rows]))
        name = self._name()
        self._needs(")")
        return lambda rows: float(sum([row.times for row in rows if row.fields.get(name) is not None]))

    def _number_of(self, function: str) -> Callable[[Sequence[LogRow]], Value]:
        expression = self._arithmetic()
        if expression.is_condition:
            raise _malformed(f"what {function} of {expression.text} is, is not documented")
        percent = 0.0
        if function == "pct":
            self._needs(",")
            found = self._match(_NUMBER)
            if found is None:
                raise self._unexpected("no percentage")
            percent = float(found[0])
        self._needs(")")
        evaluate = expression.evaluate

        def made(rows: Sequence[LogRow]) -> Value:
            values = [
                (number, row.times) for row in rows if (number := _numeric(evaluate(row.fields))) is not None
            ]
            if not values:
                return None
            if function == "sum":
                return float(sum([value * count for value, count in values]))
            if function == "pct":
                return _percentile(values, percent)
            return (min if function == "min" else max)(value for value, _ in values)

        return made

    def _sort(self) -> None:
        name = self._name()
        descending = self._word("asc", "desc") != "asc"

        def order(row: LogRow) -> tuple[float, str]:
            value = row.fields.get(name)
            number = _numeric(value)
            return (-math.inf if number is None else number, _written(value))

        self.plan.over_all.append(lambda rows: sorted(rows, key=order, reverse=descending))
        self.plan.sorted = True

    def _limit(self) -> None:
        found = self._match(_NUMBER)
        if found is None or not found[0].isdecimal() or not 1 <= int(found[0]) <= MAX_LIMIT:
            raise _malformed(f"limit must be between 1 and {MAX_LIMIT} in a rehearsal")
        if not self.plan.aggregated:
            raise _malformed("limit without stats is not understood in a rehearsal")
        number = int(found[0])
        self.plan.over_all.append(lambda rows: itertools.islice(rows, number))

    # ------------------------------------------------------------------ expressions

    def _named(self) -> list[tuple[_Expression, str]]:
        named = []
        while True:
            expression = self._condition()
            named.append((expression, self._name() if self._word("as") else expression.text.strip("`")))
            if not self._takes(","):
                return named

    def _condition(self) -> _Expression:
        left = self._conjunction()
        while self._word("or"):
            left = self._joined(left, self._conjunction(), any)
        return left

    def _conjunction(self) -> _Expression:
        left = self._negation()
        while self._word("and"):
            left = self._joined(left, self._negation(), all)
        return left

    def _joined(
        self, left: _Expression, right: _Expression, how: Callable[[Iterable[object]], bool]
    ) -> _Expression:
        if not (left.is_condition and right.is_condition):
            raise _malformed("and, or and not take conditions")
        one, other = left.evaluate, right.evaluate
        text = f"{left.text} {right.text}"
        return _Expression(text, lambda fields: how(part(fields) for part in (one, other)), is_condition=True)

    def _negation(self) -> _Expression:
        if not self._word("not"):
            return self._comparison()
        inner = self._negation()
        if not inner.is_condition:
            raise _malformed("and, or and not take conditions")
        evaluate = inner.evaluate
        return _Expression(f"not {inner.text}", lambda fields: not evaluate(fields), is_condition=True)

    def _comparison(self) -> _Expression:
        left = self._arithmetic()
        before = self.place
        opposite = bool(self._word("not"))
        if self._word("like"):
            regex, one = self._regex(), left.evaluate

            def alike(fields: Fields) -> Value:
                value = one(fields)
                return value is not None and bool(regex.search(_written(value))) is not opposite

            return _Expression(left.text, alike, is_condition=True)
        self.place = before
        found = self._match(_COMPARISON)
        if found is None:
            return left
        right = self._arithmetic()
        if left.is_condition or right.is_condition:
            raise _malformed("conditions can't be compared")
        compare, one, other = _COMPARE[found[0]], left.evaluate, right.evaluate

        def compared(fields: Fields) -> Value:
            values = one(fields), other(fields)
            if None in values:
                return False
            numbers = _numeric(values[0]), _numeric(values[1])
            if None in numbers:
                return compare(_written(values[0]), _written(values[1]))
            return compare(*numbers)

        return _Expression(left.text, compared, is_condition=True)

    def _arithmetic(self) -> _Expression:
        return self._operated("+-", lambda: self._operated("*/", self._primary))

    def _operated(self, marks: str, part: Callable[[], _Expression]) -> _Expression:
        start = self.place
        left = part()
        while (mark := next((mark for mark in marks if self._takes(mark)), None)) is not None:
            right = part()
            text = self.text[start : self.place].strip()
            left = self._calculated(text, _ARITHMETIC[mark], [left, right])
        return left

    @staticmethod
    def _calculated(text: str, how: Callable[..., float | None], parts: Sequence[_Expression]) -> _Expression:
        if any(part.is_condition for part in parts):
            raise _malformed(f"what {text} is with a condition in it is not documented")
        evaluates = [part.evaluate for part in parts]

        def calculated(fields: Fields) -> Value:
            numbers = []
            for evaluate in evaluates:
                number = _numeric(evaluate(fields))
                if number is None:
                    return None
                numbers.append(number)
            value = how(*numbers)
            return None if value is None else float(value)

        return _Expression(text, calculated)

    def _primary(self) -> _Expression:
        start = self.place
        if self._takes("("):
            inner = self._condition()
            self._needs(")")
            return _Expression(self.text[start : self.place].strip(), inner.evaluate, inner.is_condition)
        if number := self._match(_NUMBER):
            value = float(number[0])
            return _Expression(number[0], lambda _: value)
        if text := self._match(_TEXT):
            content = re.sub(r"\\(.)", r"\1", text[0][1:-1])
            return _Expression(text[0], lambda _: content)
        name = self._name()
        if not self._takes("("):
            return _Expression(name, lambda fields: fields.get(name))
        return self._called(name.lower(), start)

    def _called(self, function: str, start: int) -> _Expression:
        if function == "bin":
            period = self._match(_PERIOD)
            if period is None or not int(period[1]):
                raise self._unexpected(self.text[self.place : self.place + 20])
            self._needs(")")
            milliseconds = int(period[1]) * _PERIOD_MS[period[2]]

            def binned(fields: Fields) -> Value:
                at = _numeric(fields.get("@timestamp"))
                return None if at is None else at // milliseconds * milliseconds

            return _Expression(f"bin({period[0]})", binned)
        if function == "ispresent":
            name = self._name()
            self._needs(")")
            return _Expression(
                f"ispresent({name})", lambda fields: fields.get(name) is not None, is_condition=True
            )
        if function not in _FUNCTIONS:
            raise _malformed(f"the function {function} is not understood in a rehearsal")
        parts = [self._arithmetic()]
        while self._takes(","):
            parts.append(self._arithmetic())
        self._needs(")")
        least, most, how = _FUNCTIONS[function]
        if not least <= len(parts) <= most:
            raise _malformed(f"the function {function} does not take {len(parts)} arguments")
        # min and max of one number would want to iterate over it.
        calculate = how if most == 1 else lambda *numbers: how(numbers)
        return self._calculated(self.text[start : self.place].strip(), calculate, parts)


_COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": lambda one, other: bool(one == other),
    "!=": lambda one, other: bool(one != other),
    "<": lambda one, other: bool(one < other),
    "<=": lambda one, other: bool(one <= other),
    ">": lambda one, other: bool(one > other),
    ">=": lambda one, other: bool(one >= other),
}
_ARITHMETIC: Mapping[str, Callable[[float, float], float | None]] = {
    "+": lambda one, other: one + other,
    "-": lambda one, other: one - other,
    "*": lambda one, other: one * other,
    "/": lambda one, other: one / other if other else None,
}


def _percentile(values: Iterable[tuple[float, float]], percent: float) -> float:
    """Return the smallest value that so many percent of the values do not exceed; AWS's is approximate."""
    ordered = sorted(values)
    wanted = percent / 100 * sum([count for _, count in ordered])
    seen = 0.0
    for value, count in ordered:
        seen += count
        if seen >= wanted:
            return value
    return ordered[-1][0]


@functools.lru_cache(maxsize=64)
def _parsed(text: str) -> _Plan:
    return _Reader(text).read()

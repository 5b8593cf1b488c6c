"""From one revision's CloudWatch queries, which is what others have, to a comparison of two.

::

    errors / requests, both Sum, by target group     ─▶ {"source": "alb", "measure": "errors"}
    errors / requests, both Sum, by revision         ─▶ a proportion, once for green and once for blue
    latency p99, by revision                         ─▶ a gauge, once for green and once for blue
    requests, Sum                                    ─▶ nothing: green has less traffic than blue
    latency p99, by service                          ─▶ nothing: green and blue are the same there
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from rehearsal.imports.reading import Untranslatable

Direction = Literal["increase", "decrease"]

REVISION = "{revision}"
"""Stands in a dimension's value for the revision, until green and blue are put in."""

ALB = "AWS/ApplicationELB"
TARGET_GROUP = "TargetGroup"

# These grow with traffic, of which a canary has little: green would always look better.
_OF_TRAFFIC = frozenset({"Sum", "SampleCount"})
_PERCENTILE = re.compile(r"p(\d{1,2}(?:\.\d{1,10})?)")
_IDENTIFIER = re.compile(r"\"[^\"]*\"|'[^']*'|\b[a-z]\w*\b(?!\s*\()")
_FILLED_WITH_ZERO = re.compile(r"FILL\(([a-z]\w*),0\)")
_PERCENT = re.compile(r"(?<![\w.])100\*|\*100(?![\w.])")
_SHARE = re.compile(r"(?P<rest>(?:1|100)-)?\(?(?P<part>[a-z]\w*)\)?/(?P<all>[a-z]\w*)\)?")


@dataclass(frozen=True, slots=True)
class Stat:
    """A ``MetricStat``."""

    namespace: str
    metric: str
    statistic: str
    dimensions: tuple[tuple[str, str], ...] = ()
    unit: str | None = None

    @property
    def is_by_target_group(self) -> bool:
        return self.namespace == ALB and any(name == TARGET_GROUP for name, _ in self.dimensions)


@dataclass(frozen=True, slots=True)
class Expression:
    """Metric math over other queries."""

    text: str

    def uses(self) -> Iterator[str]:
        """Yield the ids in it."""
        for found in _IDENTIFIER.finditer(self.text):
            if found[0][0] not in "\"'":
                yield found[0]

    def renamed(self, prefix: str, ids: frozenset[str]) -> str:
        """Return the text with *prefix* before each of *ids*; functions and quoted text stay."""
        return _IDENTIFIER.sub(lambda found: prefix + found[0] if found[0] in ids else found[0], self.text)


Queries = Mapping[str, Stat | Expression]


@dataclass(frozen=True, slots=True)
class Translated:
    """A metric in this hook's settings, but for its name and limits."""

    metric: dict[str, Any]
    remarks: tuple[str, ...] = ()
    """What reads differently than before."""


def translate(
    queries: Queries,
    result: str,
    direction: Direction,
    revision_in: Callable[[str], str],
) -> Translated:
    """Turn queries of one revision into a metric that compares two.

    Parameters
    ----------
    queries
        By id.
    result
        The id whose values are judged.
    direction
        Which way is worse.
    revision_in
        Puts :data:`REVISION` where a dimension's value names the revision, or raises
        :class:`Untranslatable`.

    Raises
    ------
    Untranslatable
        It can't be said here; the text says why.

    """
    needed = _needed(queries, result)
    share = _share(needed, result)
    stats = {name: query for name, query in needed.items() if isinstance(query, Stat)}
    if stats and all(stat.is_by_target_group for stat in stats.values()):
        return _of_target_groups(needed, result, share, direction)
    resolved: dict[str, Stat | Expression] = {}
    for name, query in needed.items():
        resolved[name] = _by_revision(name, query, revision_in) if isinstance(query, Stat) else query
    if share:
        return _proportion(resolved, share, direction)
    return _gauge(resolved, result, direction)


@dataclass(frozen=True, slots=True)
class _Share:
    """Of all events, those that one query counts, or the rest of them."""

    part: str
    all: str
    is_rest: bool

    def bad_is_rest(self, direction: Direction) -> bool:
        # A share that must not fall counts the good ones.
        return self.is_rest != (direction == "decrease")


def _needed(queries: Queries, result: str) -> dict[str, Stat | Expression]:
    """Return the query asked for and all that it is made of."""
    needed: dict[str, Stat | Expression] = {}
    waiting = [result]
    while waiting:
        name = waiting.pop()
        if name in needed:
            continue
        if name not in queries:
            raise Untranslatable(f"there is no query {name!r}")
        query = needed[name] = queries[name]
        if isinstance(query, Expression):
            waiting += query.uses()
    return {name: query for name, query in queries.items() if name in needed}


def _share(queries: Queries, result: str) -> _Share | None:
    query = queries[result]
    if not isinstance(query, Expression):
        return None
    # An absent count is 0 here wherever the total is there, so that filling it changes nothing.
    text = _PERCENT.sub("", _FILLED_WITH_ZERO.sub(r"\1", re.sub(r"\s", "", query.text)))
    found = _SHARE.fullmatch(text) or _SHARE.fullmatch(text.removeprefix("(").removesuffix(")"))
    if not found or text.count("(") != text.count(")") or found["part"] == found["all"]:
        return None
    for name in (found["part"], found["all"]):
        counted = queries[name]
        if isinstance(counted, Stat) and counted.statistic not in _OF_TRAFFIC:
            return None
    return _Share(found["part"], found["all"], bool(found["rest"]))


def _of_target_groups(
    queries: Queries, result: str, share: _Share | None, direction: Direction
) -> Translated:
    # Target groups alternate between blue and green, so the one named is only right every other time.
    remark = "the target groups of green and blue are read from ECS, not from the query"
    if share:
        parts = (queries[share.part], queries[share.all])
        part, whole = (query.metric if isinstance(query, Stat) else "" for query in parts)
        match (part, whole, share.bad_is_rest(direction)):
            case ("HTTPCode_Target_5XX_Count", "RequestCount", False):
                return Translated({"source": "alb", "measure": "errors"}, (remark,))
            case ("TargetConnectionErrorCount", "RequestCount", False):
                return Translated({"source": "alb", "measure": "connectionErrors"}, (remark,))
            case ("HTTPCode_Target_2XX_Count", "RequestCount", True):
                return Translated(
                    {"source": "alb", "measure": "errors"},
                    (remark, "only 5xx answers count as bad here; before, 3xx and 4xx did as well"),
                )
    query = queries[result]
    if isinstance(query, Stat) and direction == "increase":
        share_remark = "it is judged as a share of requests here, as green has less traffic than blue"
        percentile = _PERCENTILE.fullmatch(query.statistic)
        match query.metric:
            case "HTTPCode_Target_5XX_Count" if query.statistic == "Sum":
                return Translated({"source": "alb", "measure": "errors"}, (remark, share_remark))
            case "TargetConnectionErrorCount" if query.statistic == "Sum":
                return Translated({"source": "alb", "measure": "connectionErrors"}, (remark, share_remark))
            case "TargetResponseTime" if percentile and 0 < float(percentile[1]) < 100:
                return Translated(
                    {"source": "alb", "measure": "latency", "percentile": float(percentile[1])}, (remark,)
                )
    raise Untranslatable(
        "of target groups there are errors, connectionErrors, slow and latency (a percentile) with source "
        "alb; this is none of them"
    )


def _by_revision(name: str, stat: Stat, revision_in: Callable[[str], str]) -> Stat:
    dimensions = tuple((key, revision_in(value)) for key, value in stat.dimensions)
    if not any(REVISION in value for _, value in dimensions):
        raise Untranslatable(
            f"no dimension of query {name!r} names the revision, so green and blue can't be told apart; "
            "publish the metric with one, or use a preset"
        )
    return Stat(stat.namespace, stat.metric, stat.statistic, dimensions, stat.unit)


def _proportion(queries: Queries, share: _Share, direction: Direction) -> Translated:
    needed = {**_needed(queries, share.part), **_needed(queries, share.all)}
    bad = share.part
    if share.bad_is_rest(direction):
        bad = next(name for name in ("bad", "rest", "bad_events") if name not in needed)
        needed[bad] = Expression(f"{share.all} - {share.part}")
    remark = (
        f"{bad} is taken for the bad events among {share.all}"
        if bad == share.part
        else f"{share.part} is taken for the good events among {share.all}, and the rest for bad ones"
    )
    return Translated(
        {"source": "cloudWatch", "kind": "proportion", **_for_both(needed, {"bad": bad, "total": share.all})},
        (remark, _published_by(queries)),
    )


def _gauge(queries: Queries, result: str, direction: Direction) -> Translated:
    of_traffic = [
        name for name, query in queries.items() if isinstance(query, Stat) and query.statistic in _OF_TRAFFIC
    ]
    query = queries[result]
    if of_traffic and not (isinstance(query, Expression) and "/" in query.text):
        raise Untranslatable(
            f"{of_traffic[0]} is a {_statistic(queries[of_traffic[0]])}, which grows with traffic, and green "
            "has less of it than blue: compare a share, with kind proportion"
        )
    return Translated(
        {
            "source": "cloudWatch",
            "kind": "gauge",
            "direction": direction,
            **_for_both(queries, {"value": result}),
        },
        (_published_by(queries),),
    )


def _statistic(query: Stat | Expression) -> str:
    return query.statistic if isinstance(query, Stat) else ""


def _published_by(queries: Queries) -> str:
    names = sorted(
        {
            name
            for query in queries.values()
            if isinstance(query, Stat)
            for name, value in query.dimensions
            if REVISION in value
        }
    )
    return f"the service must publish {' and '.join(names)} with its ECS service revision's id"


def _for_both(queries: Queries, roles: Mapping[str, str]) -> dict[str, Any]:
    ids = frozenset(queries)
    return {
        "queries": [
            _written(f"{colour}_{name}", query, colour, ids)
            for colour in ("green", "blue")
            for name, query in queries.items()
        ],
        **{
            colour: {role: f"{colour}_{name}" for role, name in roles.items()} for colour in ("green", "blue")
        },
    }


def _written(name: str, query: Stat | Expression, colour: str, ids: frozenset[str]) -> dict[str, Any]:
    if isinstance(query, Expression):
        return {"Id": name, "Expression": query.renamed(f"{colour}_", ids)}
    return {
        "Id": name,
        "MetricStat": {
            "Metric": {
                "Namespace": query.namespace,
                "MetricName": query.metric,
                "Dimensions": [
                    {"Name": key, "Value": value.replace(REVISION, f"{{{colour}}}")}
                    for key, value in query.dimensions
                ],
            },
            "Stat": query.statistic,
            "Period": 60,
            **({"Unit": query.unit} if query.unit else {}),
        },
    }

"""From Argo Rollouts' AnalysisTemplates to this hook's settings.

Argo compares each measurement with a fixed limit and knows no blue: what carries over is what is measured,
which way is worse and for how long, not the limit. Only the CloudWatch provider can. Sources of the format:
https://argoproj.github.io/argo-rollouts/features/analysis/ and
https://argoproj.github.io/argo-rollouts/analysis/cloudwatch/.
"""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from rehearsal.document import Document, DocumentError
from rehearsal.durations import seconds
from rehearsal.imports.cloudwatch_queries import (
    REVISION,
    Direction,
    Expression,
    Queries,
    Stat,
    translate,
)
from rehearsal.imports.reading import Imported, Part, Untranslatable, lower_first
from rehearsal.imports.stats import read_stat
from shared.errors import shown

KINDS = ("AnalysisTemplate", "ClusterAnalysisTemplate")


class _Limit(NamedTuple):
    setting: str
    most: int
    """Minutes, as the hook's settings allow."""


HOLD = _Limit("holdMinutes", 720)
WARM_UP = _Limit("warmUpMinutes", 60)

_ARGUMENT = re.compile(r"\{\{\s*(?:inputs\.)?args\.([\w.-]+)\s*\}\}")
_NUMBER = r"(?:-?\d+(?:\.\d+)?(?:[eE]-?\d+)?|\{\{[^{}]*\}\})"
# A comparison of the result with a limit, whichever stands first: `result[0] <= 0.01`, `{# < 5}`.
_COMPARED = re.compile(
    rf"(?:result[\w.\[\]]*|\#|asFloat\([^()]*\)|asInt\([^()]*\))\s*(?P<after>[<>]=?)\s*{_NUMBER}"
    rf"|{_NUMBER}\s*(?P<before>[<>]=?)\s*(?:result|\#|asFloat|asInt)"
)
# How people call what names the new pods, and what names the old ones.
_OF_BLUE = re.compile(r"stable|baseline|control|blue|primary|previous", re.IGNORECASE)
_OF_REVISION = re.compile(r"hash|revision|version|latest|canary|green|preview|image|tag", re.IGNORECASE)


def is_argo(data: Any) -> bool:
    """Tell whether it is a template of an analysis."""
    return isinstance(data, Mapping) and data.get("kind") in KINDS


def read(documents: Sequence[Document], arguments: Mapping[str, str]) -> Imported:
    """Translate templates, joined as Argo joins those that a Rollout names.

    *arguments* are values of ``{{args.NAME}}``, stronger than those in the templates.
    """
    imported = Imported()
    known: set[str] = set()
    for document in documents:
        top = Part(document, (), imported.notes)
        if not is_argo(document.data):
            top.note("", f"not read: {shown(document.data.get('kind'))} is no AnalysisTemplate")
            continue
        known |= _template(top, arguments, imported)
    for name in arguments:
        if name not in known:
            raise DocumentError(f"--arg {name}: the templates have no such argument")
    return imported


def _template(top: Part, arguments: Mapping[str, str], imported: Imported) -> set[str]:
    """Return the names of its arguments."""
    top.raw("kind")
    top.raw("apiVersion")
    top.leave("not carried over: it is for people and for Kubernetes", "metadata")
    spec = top.part("spec")
    if spec is None:
        raise top.error("spec", "is missing")
    values, names = _arguments(spec, arguments)
    spec.leave("not carried over: import that template as well", "templates")
    spec.leave("not carried over: decision records are kept as the hook is deployed", "measurementRetention")
    dry = _dry_run(spec)
    for metric in spec.parts("metrics"):
        one = _metric(metric, values, imported)
        if one is None:
            continue
        if any(re.search(pattern, str(metric.data.get("name", ""))) for pattern in dry):
            one["observe"] = True
        imported.metrics.append((one, metric))
    spec.done()
    top.done()
    return names


def _arguments(spec: Part, given: Mapping[str, str]) -> tuple[dict[str, str], set[str]]:
    values: dict[str, str] = {}
    names: set[str] = set()
    for argument in spec.parts("args"):
        name = argument.text("name") or ""
        names.add(name)
        if (value := argument.raw("value")) is not None:
            values[name] = str(value)
        argument.leave(
            "not carried over: green's and blue's service revisions stand for it"
            if _names_revision(name)
            else "not carried over: give its value with --arg if a query needs it",
            "valueFrom",
        )
        argument.done()
    return {**values, **given}, names


def _names_revision(argument: str) -> bool:
    return bool(_OF_REVISION.search(argument) or _OF_BLUE.search(argument))


def _dry_run(spec: Part) -> list[str]:
    patterns = []
    for dry in spec.parts("dryRun"):
        pattern = dry.text("metricName") or ""
        try:
            re.compile(pattern)
        except re.error as error:
            raise dry.error("metricName", f"not a regular expression: {error}") from None
        patterns.append(pattern)
        dry.done()
    return patterns


def _metric(metric: Part, values: Mapping[str, str], imported: Imported) -> dict[str, Any] | None:
    name = metric.text("name") or "metric"
    provider = metric.part("provider")
    try:
        direction = _direction(metric)
        queries, result = _queries(provider)
        translated = translate(queries, result, direction, lambda value: _revision_in(value, values))
    except Untranslatable as error:
        # Its other keys go with it.
        metric.note("", f"not translated: {error}")
        return None
    for remark in translated.remarks:
        metric.note("provider", remark)
    _time(metric, imported)
    metric.leave(
        "not carried over: how many minutes it takes follows from falseAlarmRate",
        *("failureLimit", "inconclusiveLimit", "consecutiveSuccessLimit"),
    )
    metric.leave(
        "not carried over: what CloudWatch does not answer is waited for, up to unknownMinutes",
        "consecutiveErrorLimit",
    )
    metric.done()
    return {"name": name, **translated.metric}


def _direction(metric: Part) -> Direction:
    """Tell from the conditions which way is worse."""
    found: set[Direction] = set()
    for key, is_good in (("successCondition", True), ("failureCondition", False)):
        condition = metric.text(key)
        if condition is None:
            continue
        for match in _COMPARED.finditer(condition):
            is_below = match["after"].startswith("<") if match["after"] else match["before"].startswith(">")
            found.add("increase" if is_below == is_good else "decrease")
    if len(found) != 1:
        raise Untranslatable(
            "which way is worse can't be told from its conditions; a comparison such as result <= 0.01 tells"
        )
    for key in ("successCondition", "failureCondition"):
        if condition := metric.text(key):
            metric.note(
                key, f"the limit of {shown(condition)} is not carried over: green is compared with blue"
            )
    return found.pop()


def _time(metric: Part, imported: Imported) -> None:
    """Watch as long as the longest metric is measured."""
    spans = {}
    for key in ("interval", "initialDelay"):
        if (text := metric.raw(key)) is not None:
            try:
                spans[key] = seconds(text)
            except ValueError as error:
                raise metric.error(key, f"{error}, not {shown(text)}") from None
    delay = spans.get("initialDelay", 0.0)
    if "initialDelay" in spans:
        _longest(metric, "initialDelay", delay, WARM_UP, imported)
    count = metric.number("count")
    if count is not None and "interval" in spans:
        span = delay + spans["interval"] * max(count - 1, 0)
        _longest(metric, "count", span, HOLD, imported)
    elif "interval" in spans:
        metric.note("interval", "not carried over: every minute is judged, as long as holdMinutes says")
    elif count is not None:
        metric.note("count", "not carried over: every minute is judged, as long as holdMinutes says")


def _longest(metric: Part, key: str, span: float, limit: _Limit, imported: Imported) -> None:
    minutes = max(math.ceil(span / 60), imported.settings.get(limit.setting, 0))
    kept = imported.settings[limit.setting] = min(minutes, limit.most)
    cut = f"; {limit.setting} is {limit.most} at most" if minutes > limit.most else ""
    metric.note(key, f"{limit.setting} is {kept}, of each step and for all metrics{cut}")


# ------------------------------------------------------------------------------------ queries


def _queries(provider: Part | None) -> tuple[Queries, str]:
    """Return the queries by id, and the id of the one whose values are the result."""
    if provider is None:
        raise Untranslatable("it has no provider")
    cloudwatch = provider.part("cloudWatch")
    if cloudwatch is None:
        kinds = ", ".join(sorted(provider.data)) or "nothing"
        advice = (
            "import its canary config" if kinds == "kayenta" else "publish the metric there, or use a preset"
        )
        raise Untranslatable(f"a query of {kinds} can't be asked of CloudWatch; {advice}")
    cloudwatch.leave("not carried over: every minute is judged, from the start of the step on", "interval")
    queries: dict[str, Stat | Expression] = {}
    returned = []
    for number, data in enumerate(_written(cloudwatch)):
        if not isinstance(data, Mapping) or not isinstance(data.get("id"), str):
            raise Untranslatable(f"metricDataQueries[{number}] has no Id")
        query = dict(data)
        name = query.pop("id")
        if name in queries:
            raise Untranslatable(f"two queries are called {name!r}")
        # https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_MetricDataQuery.html
        if query.pop("returnData", True):
            returned.append(name)
        queries[name] = _query(name, query, cloudwatch)
    cloudwatch.done()
    provider.done()
    if not returned:
        raise Untranslatable("none of its queries returns data")
    if len(returned) > 1:
        cloudwatch.note(
            "metricDataQueries",
            f"only {returned[0]} is judged; {', '.join(returned[1:])} would be metrics of their own",
        )
    return queries, returned[0]


def _written(cloudwatch: Part) -> list[Any]:
    """Return the queries, which older versions of Argo want as text."""
    written = cloudwatch.raw("metricDataQueries")
    if isinstance(written, str):
        try:
            written = Document.parse(written, cloudwatch.document.file).data
        except DocumentError:
            raise Untranslatable("its metricDataQueries are not JSON") from None
    if not isinstance(written, list) or not written:
        raise Untranslatable("it has no metricDataQueries")
    return [lower_first(query) for query in written]


def _query(name: str, query: dict[str, Any], cloudwatch: Part) -> Stat | Expression:
    expression, stat = query.pop("expression", None), query.pop("metricStat", None)
    for left in query:
        cloudwatch.note("metricDataQueries", f"{name}: {left[:1].upper()}{left[1:]} is not carried over")
    if isinstance(expression, str) and stat is None:
        return Expression(expression)
    if stat is not None and expression is None:
        return read_stat(stat, cloudwatch, "metricDataQueries")
    raise Untranslatable(f"query {name!r} must have one of MetricStat and Expression")


def _revision_in(value: str, values: Mapping[str, str]) -> str:
    def put(found: re.Match[str]) -> str:
        name = found[1]
        if _OF_BLUE.search(name):
            raise Untranslatable(
                f"{found[0]} names the old revision, so it compares two itself; write it out with {{green}} "
                "and {blue} instead"
            )
        # What names a revision is another one each time, whatever a template takes for an example.
        if _names_revision(name):
            return REVISION
        if name not in values:
            raise Untranslatable(f"{found[0]} has no value here; give it with --arg {name}=VALUE")
        return values[name]

    return _ARGUMENT.sub(put, value)

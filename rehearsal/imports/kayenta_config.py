"""From a Kayenta canary config to this hook's settings, judged by the judge that Kayenta has.

Read are the config itself, and the body of a request to ``/canary`` or ``/standalone_canary_analysis``, which
holds one under ``canaryConfig`` and the thresholds under ``executionRequest``. Source of the format:
https://github.com/spinnaker/kayenta/blob/master/docs/canary-config.md. Kayenta itself reads no CloudWatch;
builds that do take a ``MetricStat`` as the query's template
(https://github.com/armory/docs, kayenta-canary-cloudwatch.md), in which Kayenta's ``${scope}`` names the
canary or the baseline.
"""

import math
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from rehearsal.document import Document, DocumentError
from rehearsal.imports.cloudwatch_queries import REVISION, Direction, Stat, translate
from rehearsal.imports.reading import Imported, Part, Untranslatable, lower_first
from rehearsal.imports.stats import read_stat
from shared.errors import shown

JUDGE = "NetflixACAJudge-v1.0"

# Limits of this hook's settings.
MAX_HOLD_MINUTES = 720
MAX_WARM_UP_MINUTES = 60
MAX_TOLERATED_RATIO = 100

_SCOPE = re.compile(r"\$\{\s*scope\s*\}")
_VARIABLE = re.compile(r"\$\{[^}]*\}")
_ISO_MINUTES = re.compile(r"PT(?:(\d+)H)?(?:(\d+)M)?")


def is_kayenta(data: Any) -> bool:
    """Tell whether it looks like a config, or a request that holds one."""
    return isinstance(data, Mapping) and (
        "canaryConfig" in data or ("metrics" in data and ("judge" in data or "classifier" in data))
    )


def read(document: Document) -> Imported:
    """Translate a config; raises :class:`~rehearsal.document.DocumentError` where it is none."""
    imported = Imported()
    top = Part(document, (), imported.notes)
    config = top.part("canaryConfig") if top.has("canaryConfig") else top
    assert config is not None
    if config.has("canaryConfigId") and not config.has("metrics"):
        raise config.error(
            "canaryConfigId", "the config itself is elsewhere; import that, as Kayenta stores it"
        )
    imported.settings["judge"] = "kayenta"
    judge = config.part("judge")
    if judge is not None:
        if (name := judge.text("name")) not in {JUDGE, None}:
            judge.note("name", f"{shown(name)} is not known here; the judge is {JUDGE}")
        if judge.raw("judgeConfigurations"):
            judge.note("judgeConfigurations", f"not carried over: {JUDGE} has none")
        judge.done()
    weights = _classifier(config, imported)
    _request(top, imported)
    _thresholds(top, imported)
    _metrics(config, weights, imported)
    config.leave(
        "not carried over: it is for people and for Spinnaker",
        *("id", "name", "description", "applications", "configVersion", "owner"),
        *("createdTimestamp", "createdTimestampIso", "updatedTimestamp", "updatedTimestampIso"),
    )
    config.done()
    if top is not config:
        top.done()
    return imported


# ------------------------------------------------------------------------------------ the run


def _classifier(config: Part, imported: Imported) -> dict[str, float]:
    """Return the groups' weights."""
    classifier = config.part("classifier")
    if classifier is None:
        return {}
    weights: dict[str, float] = {}
    if (given := classifier.part("groupWeights")) is not None:
        weights = {group: given.number(group) or 0.0 for group in given.data}
        if weights:
            classifier.note(
                "groupWeights", "there are no groups here: the weight of each is split among its metrics"
            )
    _scores(classifier.part("scoreThresholds"), imported)
    classifier.done()
    return weights


def _request(top: Part, imported: Imported) -> None:
    request = top.part("executionRequest")
    if request is None:
        return
    _scores(request.part("thresholds"), imported)
    hold = request.number("lifetimeDurationMins")
    if (text := request.text("lifetimeDuration")) is not None:
        found = _ISO_MINUTES.fullmatch(text)
        if not found:
            raise request.error("lifetimeDuration", f"expected a duration such as PT1H30M, not {shown(text)}")
        hold = int(found[1] or 0) * 60 + int(found[2] or 0)
    if hold is not None:
        imported.settings["holdMinutes"] = min(math.ceil(max(hold, 0)), MAX_HOLD_MINUTES)
        key = "lifetimeDurationMins" if request.has("lifetimeDurationMins") else "lifetimeDuration"
        at_most = f", and at most {MAX_HOLD_MINUTES} minutes" if hold > MAX_HOLD_MINUTES else ""
        request.note(key, f"holdMinutes holds each step of the deployment so long{at_most}")
    if (begin := request.number("beginAfterMins")) is not None:
        imported.settings["warmUpMinutes"] = min(math.ceil(max(begin, 0)), MAX_WARM_UP_MINUTES)
    request.leave("not carried over: the run is judged once, at the end of each step", "analysisIntervalMins")
    request.leave("not carried over: all minutes of the step are judged", "lookbackMins")
    request.leave("not carried over: green and blue are those of the deployment", "scopes")
    request.done()


def _thresholds(top: Part, imported: Imported) -> None:
    _scores(top.part("scoreThresholds"), imported)
    if "kayentaPassScore" not in imported.settings:
        top.note(
            "",
            "the thresholds are in the pipeline's stage, not here: 95 to pass and 75 for marginal are taken",
        )


def _scores(given: Part | None, imported: Imported) -> None:
    if given is None:
        return
    for key, setting in (("pass", "kayentaPassScore"), ("marginal", "kayentaMarginalScore")):
        if (score := given.number(key)) is not None:
            imported.settings[setting] = score
    given.done()


# ------------------------------------------------------------------------------------ metrics


def _metrics(config: Part, weights: Mapping[str, float], imported: Imported) -> None:
    metrics = config.parts("metrics")
    sizes = Counter(group for metric in metrics for group in metric.texts("groups"))
    templates = config.part("templates")
    for metric in metrics:
        try:
            stat = _query(metric, templates)
        except Untranslatable as error:
            # Its other keys go with it.
            metric.note("", f"not translated: {error}")
            continue
        made = _metric(metric, stat)
        _weigh(made, metric, weights, sizes)
        imported.metrics += [(one, metric) for one in made]
    if templates is not None:
        templates.done()


def _query(metric: Part, templates: Part | None) -> Stat:
    query = metric.part("query")
    if query is None:
        raise Untranslatable("it has no query")
    kind = query.text("type") or query.text("serviceType") or "unknown"
    if kind.lower() != "cloudwatch":
        raise Untranslatable(
            f"a query of {kind} can't be asked of CloudWatch; publish the metric there, or use a preset"
        )
    query.raw("serviceType")
    template: Any = query.raw("metricStat") or query.raw("customInlineTemplate")
    if template is None and (named := query.text("customFilterTemplate")) is not None:
        template = None if templates is None else templates.raw(named)
        if template is None:
            raise Untranslatable(f"there is no template {named!r}")
    if template is None:
        raise Untranslatable("it has no MetricStat in customInlineTemplate")
    key = next(
        key for key in ("metricStat", "customInlineTemplate", "customFilterTemplate") if query.has(key)
    )
    if isinstance(template, str):
        try:
            template = Document.parse(template, query.document.file).data
        except DocumentError:
            raise Untranslatable("its template is not JSON") from None
    query.done()
    return read_stat(lower_first(template), query, key)


def _metric(metric: Part, stat: Stat) -> list[dict[str, Any]]:
    """Return it, twice where both directions are worse, or nothing where it can't be said."""
    name = metric.text("name") or "metric"
    if (scope := metric.text("scopeName")) not in {None, "default"}:
        metric.note(
            "scopeName", f"not carried over: {shown(scope)} is no scope here, all are the deployment's"
        )
    analysis = metric.part("analysisConfigurations")
    canary = analysis.part("canary") if analysis is not None else None
    made: list[dict[str, Any]] = []
    for way in _directions(canary):
        try:
            translated = translate({"value": stat}, "value", way, _revision_in)
        except Untranslatable as error:
            metric.note("", f"not translated, where a{'n' * (way == 'increase')} {way} is worse: {error}")
            continue
        if not made:
            for remark in translated.remarks:
                metric.note("query", remark)
        made.append({"name": f"{name} {way}" if made else name, **translated.metric, "critical": False})
    if len(made) > 1:
        metric.note("", "either way is worse, so it is two metrics here, one for each")
    if canary is not None:
        _analysis(canary, made)
    if analysis is not None:
        analysis.done()
    metric.done()
    return made


def _directions(canary: Part | None) -> tuple[Direction, ...]:
    direction = (canary.text("direction") if canary is not None else None) or "either"
    match direction:
        case "increase" | "decrease":
            return (direction,)
        case "either":
            return ("increase", "decrease")
    assert canary is not None
    raise canary.error("direction", f"expected increase, decrease or either, not {shown(direction)}")


def _revision_in(value: str) -> str:
    replaced = _SCOPE.sub(REVISION, value)
    if unknown := _VARIABLE.search(replaced):
        raise Untranslatable(f"nobody says what {unknown[0]} is; write it out")
    return replaced


def _analysis(canary: Part, made: list[dict[str, Any]]) -> None:
    is_critical, is_muted = canary.flag("critical"), canary.flag("muted")
    for one in made:
        one["critical"] = is_critical
        if is_muted:
            one["observe"] = True
    if made and not canary.flag("mustHaveData"):
        canary.note(
            "mustHaveData",
            "is not set, so that Kayenta leaves the metric out of the score when it has no data; here it is "
            "waited for and then refused, unless onUnknown is ignore",
        )
    if (canary.text("nanStrategy") or "remove") == "replace":
        canary.note(
            "nanStrategy",
            "not carried over: a count that is absent is 0 only where the total is there, a gauge never",
        )
    outliers = canary.part("outliers")
    if outliers is not None:
        if (outliers.text("strategy") or "keep") == "remove":
            outliers.note("strategy", "not carried over: ranks give one wild minute the weight of one")
        outliers.raw("outlierFactor")
        outliers.done()
    if made:
        _effect(canary, made)
    canary.done()


def _effect(canary: Part, made: list[dict[str, Any]]) -> None:
    effect = canary.part("effectSize")
    if effect is None:
        canary.note(
            "", "without effectSize any steady difference counts in Kayenta; here toleratedRatio is 1.25"
        )
        return
    effect.leave("not carried over: a critical metric is critical from toleratedRatio on", "criticalIncrease")
    effect.leave("not carried over: a critical metric is critical from toleratedRatio on", "criticalDecrease")
    measure = effect.text("measure") or "meanRatio"
    increase, decrease = effect.number("allowedIncrease"), effect.number("allowedDecrease")
    if measure != "meanRatio":
        effect.note(
            "measure", f"not carried over: {shown(measure)} has no limit here, toleratedRatio is 1.25"
        )
        made = []
    for one in made:
        key, ratio = "allowedIncrease", increase
        if one.get("direction") == "decrease":
            key, ratio = "allowedDecrease", 1 / decrease if decrease else None
        if ratio is None:
            effect.note("", f"no {key}, so that toleratedRatio is 1.25")
        elif ratio <= 1:
            effect.note(
                key, "none is none in Kayenta; here toleratedRatio is 1.25, as two hosts are never alike"
            )
        else:
            one["toleratedRatio"] = round(min(ratio, MAX_TOLERATED_RATIO), 4)
            if ratio > MAX_TOLERATED_RATIO:
                effect.note(key, f"toleratedRatio is {MAX_TOLERATED_RATIO} at most")
    effect.done()


def _weigh(
    made: list[dict[str, Any]], metric: Part, weights: Mapping[str, float], sizes: Mapping[str, int]
) -> None:
    groups = [group for group in metric.texts("groups") if group in weights]
    if not groups or not made:
        return
    weight = sum(weights[group] / sizes[group] for group in groups) / len(made)
    if weight <= 0:
        metric.note("groups", "its groups have no weight, so that it only observes")
    for one in made:
        if weight > 0:
            one["weight"] = round(min(weight, 100.0), 4)
        else:
            one["observe"] = True

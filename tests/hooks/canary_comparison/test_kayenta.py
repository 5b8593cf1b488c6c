import itertools
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hooks.canary_comparison import kayenta
from hooks.canary_comparison.kayenta import (
    KayentaMetric,
    KayentaResult,
    KayentaVerdict,
    Label,
    classify,
    judge,
)
from hooks.canary_comparison.ranks import mann_whitney

# Third-party test data, which is not copied in here: README.md beside it says what it is.
PUBLISHED = Path(__file__).parents[4] / "shared" / "data" / "canary" / "kayenta_cases.json"


def published(section: str, **wanted: object) -> list[Any]:
    """Return the cases of a section that are about what the judge uses, or one that skips."""
    if not PUBLISHED.exists():
        return [pytest.param({}, marks=pytest.mark.skip("no ../shared/data/canary beside this clone"))]
    cases = json.loads(PUBLISHED.read_text())[section]
    return [
        pytest.param(case, id=case["name"])
        for case in cases
        if all(case[key] == value for key, value in wanted.items())
    ]


NAN, INF = math.nan, math.inf
ONE_TO_FIVE = [1.0, 2.0, 3.0, 4.0, 5.0]


def metric(experiment: list[float], control: list[float], **changes: Any) -> KayentaMetric:
    return replace(KayentaMetric(name="latency", experiment=experiment, control=control), **changes)


# ------------------------------------------------------------------------------------ as published


@pytest.mark.parametrize("case", published("classifier_cases", classifier="mann_whitney"))
def test_a_metric_is_labelled_as_published(case: dict[str, Any]) -> None:
    decrease, increase = case["effect_size_thresholds"]
    critical_decrease, critical_increase = case["critical_thresholds"]
    found = classify(
        KayentaMetric(
            name="metric",
            experiment=case["experiment"],
            control=case["control"],
            direction=case["direction"],
            critical=case["is_critical"],
            must_have_data=case["is_data_required"],
            effect_size=case["effect_size_measure"],
            allowed_increase=increase,
            allowed_decrease=decrease,
            critical_increase=critical_increase,
            critical_decrease=critical_decrease,
            nan_strategy=case["nan_strategy"],
        ),
        tolerance=case["tolerance"],
        confidence=case["confidence_level"],
    )
    expected = case["expected"]

    assert found.label == expected["classification"]
    assert found.critical == expected.get("critical", found.critical)
    if expected.get("deviation_is_nan"):
        assert found.ratio is None


SCORED: dict[str, dict[str, Any]] = {
    "Pass": {"experiment": [1.0], "control": [1.0]},
    "High": {"experiment": [10.0] * 5, "control": [1.0] * 5},
    "Low": {"experiment": [1.0] * 5, "control": [10.0] * 5},
    "Nodata": {"experiment": [], "control": [1.0]},
    "NodataFailMetric": {"experiment": [], "control": [1.0], "must_have_data": True},
}


@pytest.mark.parametrize("case", published("scorer_cases"))
def test_a_run_is_scored_as_published(case: dict[str, Any]) -> None:
    metrics = [
        KayentaMetric(
            name=given_metric["name"],
            groups=tuple(given_metric["groups"]),
            critical=given_metric["critical"],
            **SCORED[given_metric["classification"]],
        )
        for given_metric in case["metrics"]
    ]

    verdict = judge(metrics, 95, 75, case["group_weights"])

    assert [result.label for result in verdict.results] == [
        given_metric["classification"] for given_metric in case["metrics"]
    ]
    assert verdict.score == case["expected"]["summary_score"]
    if "group_scores_sorted" in case["expected"]:
        assert sorted(verdict.group_scores.values()) == case["expected"]["group_scores_sorted"]


@pytest.mark.parametrize("case", published("detector_cases", detector="iqr"))
def test_outliers_are_those_published(case: dict[str, Any]) -> None:
    found = kayenta.outliers(case["data"], case["factor"], reduced_sensitivity=case["reduce_sensitivity"])

    assert found == case["expected"]


@pytest.mark.parametrize("case", published("statistic_cases", kind="percentile_R7"))
def test_percentiles_are_those_published(case: dict[str, Any]) -> None:
    assert kayenta.percentile(case["data"], case["p"]) == pytest.approx(case["expected"], abs=case["tol"])


@pytest.mark.parametrize("case", published("statistic_cases", kind="meanRatio"))
def test_mean_ratios_are_those_published(case: dict[str, Any]) -> None:
    found = kayenta.mean_ratio(case["experiment"], case["control"])

    assert found == pytest.approx(case["expected"], abs=case["tol"])


@pytest.mark.parametrize("case", published("mann_whitney_cases", kind="wilcoxon_diff"))
def test_the_statistic_of_shifted_samples_is_that_published(case: dict[str, Any]) -> None:
    shifted = [value - case["mu"] for value in case["x"]]

    assert mann_whitney(shifted, case["y"]).z == pytest.approx(case["expected"], abs=case["tol"])


@pytest.mark.parametrize("case", published("mann_whitney_cases", kind="ci_estimate"))
def test_the_interval_of_the_shift_is_that_published(case: dict[str, Any]) -> None:
    low, estimate, high = kayenta.shift(case["x"], case["y"], case["confidence_level"])

    expected = case["expected"]
    assert (low, high) == pytest.approx((expected["ci_low"], expected["ci_high"]), abs=case["tol_ci"])
    assert estimate == pytest.approx(expected["estimate"], abs=case["tol_estimate"])


def test_reduced_sensitivity_never_takes_what_is_between_the_1st_and_99th_percentile() -> None:
    # Nothing is between the quartiles, so that anything else would be beyond them; 2 in 100 are common.
    values = [1.0] * 98 + [2.0, 2.0]

    assert kayenta.outliers(values) == [False] * 100
    assert kayenta.outliers(values, reduced_sensitivity=False) == [False] * 98 + [True] * 2
    assert kayenta.outliers([*values, 9.0]) == [False] * 100 + [True]


@pytest.mark.parametrize(("value", "is_out"), [(3.9, False), (4.1, True), (-2.9, False), (-3.1, True)])
def test_an_outlier_is_three_times_what_is_between_the_quartiles_beyond_them(
    value: float, is_out: bool
) -> None:
    assert kayenta.outliers([0.0] * 100 + [1.0] * 100 + [value])[-1] is is_out


def test_green_passes_while_the_bound_is_within_a_quarter_of_the_estimate() -> None:
    blue = [0.0] * 30

    assert kayenta.shift([1.0] * 13 + [4.0] * 17, blue, kayenta.CONFIDENCE)[:2] == (1.0, 4.0)
    assert classify(metric([1.0] * 13 + [4.0] * 17, blue)).label is Label.PASS
    assert classify(metric([1.1] * 13 + [4.0] * 17, blue)).label is Label.HIGH


def test_the_confidence_is_98_percent() -> None:
    # One of six minutes of blue is as high as green: 98 % allow that it always is, 95 % do not.
    blue = [0.0, 0.0, 0.0, 0.0, 0.0, 10.0]

    assert kayenta.shift([10.0] * 6, blue, 0.95) == (10.0, 10.0, 10.0)
    assert kayenta.shift([10.0] * 6, blue, 0.98) == (0.0, 10.0, 10.0)
    assert classify(metric([10.0] * 6, blue)).label is Label.PASS


# ------------------------------------------------------------------------------------ as users reported

SEVEN_OF_TEN = [100.0] * 7 + [1.0] * 3
EIGHT_OF_TEN = [100.0] * 8 + [1.0] * 2
GOES_UP_ONCE = [10.0, 10.1, 10.2, 10.3, 10.4, 10.5, 10.6, 17.0, 17.1, 17.2, 17.3, 17.4, 17.5, 17.6, 17.7]
UP_AND_DOWN = [1.0, 100, 4, 101, 5, 102, 6, 103, 7, 104, 8, 105, 9, 106, 17]


@pytest.mark.parametrize(
    ("experiment", "control", "changes", "label"),
    [
        # https://github.com/spinnaker/spinnaker/issues/6278: not before the eighth of ten
        (SEVEN_OF_TEN, [1.0] * 10, {"allowed_increase": 1.05}, Label.PASS),
        (EIGHT_OF_TEN, [1.0] * 10, {"allowed_increase": 1.05}, Label.HIGH),
        # https://github.com/spinnaker/kayenta/issues/426: errors where there are usually none
        ([0.0, 1.0, 2.0, 1.0, 0.0, 0.0], [0.0] * 6, {}, Label.PASS),
        # https://github.com/spinnaker/kayenta/issues/780, case 1: another shape is not another place
        (GOES_UP_ONCE, UP_AND_DOWN, {}, Label.PASS),
        # https://github.com/spinnaker/kayenta/issues/799: replaced or not, errors against none are High
        ([1.0, 4.0, 2.0, 3.0, 1.0], [0.0] * 5, {"nan_strategy": "replace"}, Label.HIGH),
        ([1.0, 4.0, 2.0, 3.0, 1.0], [NAN] * 5, {"nan_strategy": "replace"}, Label.HIGH),
        ([1.0, 4.0, 2.0, 3.0, 1.0], [NAN] * 5, {}, Label.NO_DATA),
    ],
)
def test_what_users_reported_of_kayenta_is_so_here(
    experiment: list[float], control: list[float], changes: dict[str, Any], label: Label
) -> None:
    assert classify(metric(experiment, control, **changes)).label is label


# ------------------------------------------------------------------------------------ one metric

HIGHER = [10.0, 11.0, 12.0, 13.0, 14.0, 15.0, 16.0, 17.0]
LOWER = [1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7]


@pytest.mark.parametrize(
    ("given_metric", "expected"),
    [
        (
            metric(ONE_TO_FIVE, ONE_TO_FIVE[::-1]),
            KayentaResult("latency", Label.PASS, "green and blue have the same values", ratio=1.0),
        ),
        (
            metric([2.0, 2.0], [2.0, 2.0, 2.0]),
            KayentaResult("latency", Label.PASS, "green is within what is tolerated", ratio=1.0),
        ),
        (
            metric(HIGHER, LOWER),
            KayentaResult("latency", Label.HIGH, "green is above blue: 10 times its mean", ratio=10.0),
        ),
        (
            metric(HIGHER, LOWER, direction="decrease"),
            KayentaResult("latency", Label.PASS, "green is within what is tolerated", ratio=10.0),
        ),
        (
            metric(HIGHER, LOWER, allowed_increase=11.0),
            KayentaResult("latency", Label.PASS, "green is within what is tolerated", ratio=10.0),
        ),
        (
            metric(HIGHER, LOWER, critical=True, critical_increase=11.0),
            KayentaResult("latency", Label.HIGH, "green is above blue: 10 times its mean", ratio=10.0),
        ),
        (
            metric(HIGHER, LOWER, critical=True),
            KayentaResult(
                "latency", Label.HIGH, "green is above blue: 10 times its mean", critical=True, ratio=10.0
            ),
        ),
        (
            metric(HIGHER, LOWER, effect_size="cles"),
            KayentaResult(
                "latency",
                Label.HIGH,
                "green is above blue: a value of green is the higher one in 100% of pairs",
                ratio=10.0,
            ),
        ),
        (
            metric(LOWER, HIGHER, critical=True),
            KayentaResult(
                "latency", Label.LOW, "green is below blue: 0.1 times its mean", critical=True, ratio=0.1
            ),
        ),
        (
            metric(LOWER, HIGHER, direction="increase"),
            KayentaResult("latency", Label.PASS, "green is within what is tolerated", ratio=0.1),
        ),
        (
            metric(LOWER, HIGHER, allowed_decrease=0.05),
            KayentaResult("latency", Label.PASS, "green is within what is tolerated", ratio=0.1),
        ),
        # Of 0 there is no ratio; that counts as exceeded.
        (
            metric([0.0] * 5, HIGHER, critical=True, allowed_decrease=0.1),
            KayentaResult("latency", Label.LOW, "green is below blue, and one of them is 0", critical=True),
        ),
        # One wild minute on each side, taken away: then both are constant and differ, without any dice.
        (
            metric([2.0] * 200 + [1e9], [1.0] * 200 + [1e9], outliers="remove"),
            KayentaResult("latency", Label.HIGH, "green is above blue: 2 times its mean", ratio=2.0),
        ),
        # Minutes without a value.
        (
            metric([NAN, *HIGHER, NAN], [NAN, *LOWER]),
            KayentaResult("latency", Label.HIGH, "green is above blue: 10 times its mean", ratio=10.0),
        ),
        (
            metric([NAN, NAN], LOWER),
            KayentaResult("latency", Label.NO_DATA, "green has no values", known=False),
        ),
        (
            metric([], [], critical=True, must_have_data=True),
            KayentaResult(
                "latency", Label.NO_DATA, "green and blue have no values", critical=True, known=False
            ),
        ),
        (
            metric(LOWER, [], must_have_data=True),
            KayentaResult("latency", Label.NO_DATA_FAIL, "blue has no values and must", known=False),
        ),
        (
            metric(LOWER, [], nan_strategy="replace"),
            KayentaResult("latency", Label.PASS, "blue has no values, taken for none to count", known=False),
        ),
    ],
)
def test_a_metric_is_labelled_with_its_reason(given_metric: KayentaMetric, expected: KayentaResult) -> None:
    found = classify(given_metric)

    ratio = None if expected.ratio is None else pytest.approx(expected.ratio)
    assert found == replace(expected, ratio=ratio)


def test_an_infinite_value_is_refused() -> None:
    with pytest.raises(ValueError, match="latency: a value is infinite"):
        judge([metric([1.0, INF], [1.0])], 95, 75)


@pytest.mark.parametrize("unit", [1e-12, 1e-6, 1e-3, 1.0, 1e6, 1e12])
def test_the_unit_does_not_matter(unit: float) -> None:
    blue = [100.0 + minute % 7 for minute in range(30)]
    green = [value * 1.5 for value in blue]

    found = classify(metric([value * unit for value in green], [value * unit for value in blue]))

    assert found.label is Label.HIGH


VALUES = st.lists(st.one_of(st.floats(0, 1e6), st.sampled_from([0.0, 1.0, 2.0])), min_size=1, max_size=30)


@given(VALUES, VALUES, st.sampled_from([0.9, 0.98]))
def test_the_bounds_are_where_the_test_changes_its_mind(
    experiment: list[float], control: list[float], confidence: float
) -> None:
    low, estimate, high = kayenta.shift(experiment, control, confidence)
    differences = sorted({one - other for one, other in itertools.product(experiment, control)})

    assert differences[0] <= low <= estimate <= high <= differences[-1]
    assert {low, high} <= set(differences)


@given(VALUES, VALUES)
def test_swapping_the_sides_swaps_high_and_low(experiment: list[float], control: list[float]) -> None:
    swapped = {Label.HIGH: Label.LOW, Label.LOW: Label.HIGH, Label.PASS: Label.PASS}

    one, other = classify(metric(experiment, control)), classify(metric(control, experiment))

    assert other.label is swapped[one.label]


@given(VALUES, VALUES)
def test_the_same_values_are_judged_the_same_each_time(experiment: list[float], control: list[float]) -> None:
    metrics = [metric(experiment, control), metric(control[:1], experiment[:1])]

    assert judge(metrics, 95, 75) == judge(metrics, 95, 75)


# ------------------------------------------------------------------------------------ a run


def named(name: str, kind: str, **changes: Any) -> KayentaMetric:
    return KayentaMetric(name=name, **SCORED[kind], **changes)


@pytest.mark.parametrize(
    ("metrics", "weights", "expected"),
    [
        ([named("a", "Pass")], {}, (100.0, "Pass", "no metric is worse")),
        ([named("a", "Pass"), named("b", "High")], {}, (50.0, "Fail", "b is High")),
        (
            [named(name, "Pass") for name in "abcd"] + [named("e", "Low")],
            {},
            (80.0, "Marginal", "e is Low"),
        ),
        (
            [named("a", "Pass", groups=("latency",)), named("b", "High", groups=("errors",))],
            {"latency": 96.0, "errors": 4.0},
            (96.0, "Pass", "b is High"),
        ),
        (
            [named("a", "Pass", groups=("latency",)), named("b", "High", groups=("errors",))],
            {"latency": 80.0},
            (80.0, "Marginal", "b is High"),
        ),
        # In two groups it counts in both.
        (
            [named("a", "Pass", groups=("x",)), named("b", "High", groups=("x", "y"))],
            {"x": 50.0, "y": 50.0},
            (25.0, "Fail", "b is High"),
        ),
        (
            [named("a", "Pass"), named("b", "High", critical=True)],
            {},
            (0.0, "Fail", "b, which is critical, is High"),
        ),
        # Muted it counts for nothing.
        (
            [named("a", "Pass"), named("b", "High", critical=True, muted=True)],
            {},
            (100.0, "Pass", "no metric is worse"),
        ),
        # Without data it counts for nothing either, up to half of all.
        (
            [named("a", "Pass"), named("b", "Pass"), named("c", "Nodata")],
            {},
            (100.0, "Pass", "no metric is worse"),
        ),
        (
            [
                named("a", "Pass", groups=("x",)),
                named("b", "High", groups=("x",)),
                named("c", "Nodata", groups=("y",)),
            ],
            {"x": 50.0, "y": 50.0},
            (75.0, "Marginal", "b is High"),
        ),
        ([named("a", "Pass"), named("b", "Nodata")], {}, (0.0, "Fail", "1 of 2 metrics have no data")),
        (
            [named("a", "Pass"), named("b", "NodataFailMetric")],
            {},
            (50.0, "Fail", "b is NodataFailMetric"),
        ),
        (
            [named("a", "Pass"), named("b", "Nodata", critical=True), named("c", "Pass")],
            {},
            (0.0, "Fail", "b, which is critical, is Nodata"),
        ),
    ],
)
def test_a_run_is_scored_by_its_metrics(
    metrics: list[KayentaMetric], weights: dict[str, float], expected: tuple[float, str, str]
) -> None:
    verdict = judge(metrics, 95, 75, weights)

    assert (verdict.score, verdict.classification, verdict.reason) == expected


NOTHING_KNOWN = (0.0, "NoData", "no metric has values of both green and blue")


@pytest.mark.parametrize(
    ("metrics", "expected"),
    [
        ([], NOTHING_KNOWN),
        ([named("a", "Pass", muted=True)], NOTHING_KNOWN),
        ([named("a", "Nodata")], NOTHING_KNOWN),
        ([named("a", "Nodata", critical=True)], NOTHING_KNOWN),
        ([named("a", "Nodata", nan_strategy="replace")], NOTHING_KNOWN),
        ([metric([NAN] * 5, [NAN] * 5, nan_strategy="replace")], NOTHING_KNOWN),
        ([metric([], [], nan_strategy="replace")], NOTHING_KNOWN),
        # Where there is reason to fail, it fails.
        ([named("a", "NodataFailMetric")], (0.0, "Fail", "a is NodataFailMetric")),
        (
            [metric([1.0, 4.0, 2.0, 3.0, 1.0], [NAN] * 5, nan_strategy="replace")],
            (0.0, "Fail", "latency is High"),
        ),
        # One metric that is known is enough for the others to be none.
        (
            [named("a", "Pass"), metric([NAN] * 5, [NAN] * 5, nan_strategy="replace")],
            (100.0, "Pass", "no metric is worse"),
        ),
    ],
)
def test_a_run_of_which_nothing_is_known_never_passes(
    metrics: list[KayentaMetric], expected: tuple[float, str, str]
) -> None:
    verdict = judge(metrics, 0, 0) if expected is NOTHING_KNOWN else judge(metrics, 95, 75)

    assert (verdict.score, verdict.classification, verdict.reason) == expected


@pytest.mark.parametrize(
    ("pass_score", "marginal_score", "classification"),
    [(66.67, 50, "Pass"), (66.68, 66.67, "Marginal"), (95, 66.68, "Fail")],
)
def test_a_score_at_a_threshold_has_reached_it(
    pass_score: float, marginal_score: float, classification: str
) -> None:
    metrics = [named("a", "Pass"), named("b", "Pass"), named("c", "High")]

    verdict = judge(metrics, pass_score, marginal_score)

    assert verdict == KayentaVerdict(
        66.67,
        classification,  # type: ignore[arg-type]
        "c is High",
        tuple(classify(one) for one in metrics),
        {"metrics": pytest.approx(200 / 3)},
    )

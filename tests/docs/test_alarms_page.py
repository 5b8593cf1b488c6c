"""The alarm that docs/alarms.md recommends: CloudFormation takes it, and it rings when it should."""

from collections.abc import Mapping

import cfnlint.api  # type: ignore[import-untyped]
import pytest
from cfnlint.config import ManualArgs  # type: ignore[import-untyped]

from rehearsal.aws.metric_math import Scope, Series, evaluate
from rehearsal.document import Document
from tests.docs.fenced_blocks import Page

PAGE = Page.read("docs/alarms.md")
TEMPLATE = next(
    block.text for block in PAGE.blocks if block.language == "yaml" and "Resources:" in block.text
)
ALARMS = Document.parse(TEMPLATE, "docs/alarms.md").data["Resources"]
ERRORS = ALARMS["Errors"]["Properties"]

MINUTES = range(0, 600, 60)


def test_cfn_lint_has_nothing_to_say() -> None:
    found = cfnlint.api.lint(TEMPLATE, config=ManualArgs(regions=["us-east-1"]))

    assert [str(one) for one in found] == []


def test_cloudformation_takes_no_aliases() -> None:
    # https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/template-formats.html
    assert "&" not in TEMPLATE
    assert "*" not in TEMPLATE.replace("100 * FILL", "")


def test_the_service_on_the_page_names_these_alarms() -> None:
    names = {resource["Properties"]["AlarmName"] for resource in ALARMS.values()}
    [service] = [Document.parse(block.text, "").data for block in PAGE.blocks if "AlarmNames" in block.text]

    assert set(service["DeploymentConfiguration"]["Alarms"]["AlarmNames"]) == names


def values(**measured: Mapping[int, float]) -> Series:
    """Evaluate the alarm's expression; a metric that is not given has no data points."""
    metrics = {
        query["Id"]: measured.get(query["Id"], {}) for query in ERRORS["Metrics"] if "MetricStat" in query
    }
    [expression] = [query["Expression"] for query in ERRORS["Metrics"] if "Expression" in query]

    return evaluate(expression, Scope(metrics.__getitem__, metrics, list(MINUTES)))


def rings(series: Series) -> bool:
    """Say whether M of some N minutes in a row are above the threshold."""
    above = [series.get(minute, 0) > ERRORS["Threshold"] for minute in MINUTES]
    width, needed = ERRORS["EvaluationPeriods"], ERRORS["DatapointsToAlarm"]
    return any(sum(above[start : start + width]) >= needed for start in range(len(above) - width + 1))


def always(value: float) -> dict[int, float]:
    return dict.fromkeys(MINUTES, value)


@pytest.mark.parametrize(
    ("measured", "expected"),
    [
        pytest.param({"requests_a": always(900), "requests_b": always(100)}, False, id="both are healthy"),
        pytest.param(
            {"requests_a": always(900), "requests_b": always(100), "errors_b": always(10)},
            True,
            id="a tenth of a canary's answers fail, which is 1 % of all",
        ),
        pytest.param(
            {"requests_a": always(100), "requests_b": always(900), "errors_a": always(10)},
            True,
            id="the same with the colours the other way round",
        ),
        pytest.param({"requests_a": always(900), "errors_a": always(90)}, True, id="the other group is idle"),
        pytest.param({"requests_a": always(900)}, False, id="one group is idle and the other one healthy"),
        pytest.param({}, False, id="nobody asks for anything"),
        pytest.param({"requests_a": always(10), "errors_a": always(10)}, False, id="too few to say anything"),
        pytest.param(
            {"requests_a": always(900), "errors_a": {120: 900}}, False, id="a single minute, however bad"
        ),
        pytest.param(
            {"requests_a": always(900), "errors_a": {120: 90, 300: 90}},
            True,
            id="two bad minutes out of five",
        ),
    ],
)
def test_it_rings_for_one_bad_revision_and_for_nothing_else(
    measured: dict[str, dict[int, float]], expected: bool
) -> None:
    assert rings(values(**measured)) is expected


def test_the_newest_minute_which_is_not_there_yet_can_t_silence_it() -> None:
    late = MINUTES[-1]
    series = values(
        requests_a={minute: 900.0 for minute in MINUTES if minute != late},
        errors_a={minute: 90.0 for minute in MINUTES if minute != late},
    )

    assert series[late] == 0
    assert ERRORS["DatapointsToAlarm"] < ERRORS["EvaluationPeriods"]
    assert rings(series)

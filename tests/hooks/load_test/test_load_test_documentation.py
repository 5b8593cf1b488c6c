"""What the pages say of the load test is what it does."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from load_generator.job import Limits

from hooks.load_test.plan import check_allowed
from hooks.load_test.route import Route
from hooks.load_test.settings import Header, LoadTestPolicy, LoadTestSettings
from rehearsal import load_channel
from rehearsal.runtime.lambda_python import ROOT
from shared.settings import resolve

PAGE = (ROOT / "docs" / "load-test.md").read_text()
GENERATOR = (ROOT / "hooks" / "load_test" / "generator" / "README.md").read_text()
EXAMPLE = ROOT / "examples" / "unicorn_watch" / "load_generator" / "template.yaml"
ROUTE = Route("http://catalog:8080", Header(name="x-release", value="green"))


def blocks(page: str, language: str) -> list[str]:
    """Return a page's blocks of code in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", page, re.DOTALL | re.MULTILINE)


def rows(page: str, heading: str) -> dict[str, list[str]]:
    """Return the table under a heading: the other cells by the name in the first."""
    text = page.split(f"\n{heading}\n", 1)[1].split("\n## ", 1)[0]
    found = re.findall(r"^\| `([A-Za-z_]+)`[^|]*\|(.*)\|$", text, re.MULTILINE)
    return {name: [cell.strip() for cell in cells.split("|")] for name, cells in found}


def test_every_key_is_on_the_page_and_nothing_else() -> None:
    keys = {info.alias for info in LoadTestPolicy.model_fields.values()}

    assert rows(PAGE, "## Settings").keys() == keys


def test_the_policy_s_own_keys_are_marked_as_such() -> None:
    own = LoadTestPolicy.model_fields.keys() - LoadTestSettings.model_fields.keys()
    marked = {name for name, cells in rows(PAGE, "## Settings").items() if cells[1] == "policy only"}

    assert marked == {LoadTestPolicy.model_fields[name].alias for name in own}


@pytest.mark.parametrize("name", rows(PAGE, "## Settings"))
def test_a_default_is_the_model_s(name: str) -> None:
    [default] = [info.default for info in LoadTestPolicy.model_fields.values() if info.alias == name]
    said = rows(PAGE, "## Settings")[name][0]

    if isinstance(default, str | int | float):
        assert said.strip("`") == f"{default}"


@pytest.mark.parametrize("block", [*blocks(PAGE, "json"), *re.findall(r"HookDetails: '(.*)'", PAGE)])
def test_settings_on_the_page_can_be_used(block: str) -> None:
    found = resolve(LoadTestSettings, LoadTestPolicy, json.loads(block), {})

    # One block shows more load than is allowed where nobody says otherwise.
    generous = found.policy.model_copy(update={"max_requests_per_second": 200.0})
    check_allowed(found.settings, generous, ROUTE)


def test_the_generator_s_policy_is_the_template_s() -> None:
    [block] = blocks(GENERATOR, "json")
    named = load_channel.variables()
    queue = named["LOAD_QUEUE_URL"].rpartition("/")[2]
    text = block.replace("BUCKET", named["LOAD_BUCKET"]).replace(
        "REGION:ACCOUNT:QUEUE", f"us-east-1:123456789012:{queue}"
    )

    def granted(statements: Any) -> set[tuple[str, str]]:
        return {
            (action, resource)
            for statement in statements
            for action in _list(statement["Action"])
            for resource in _list(statement["Resource"])
        }

    assert granted(json.loads(text)["Statement"]) == granted(load_channel.generator_policy())


def test_the_generator_s_defaults_are_as_its_page_says() -> None:
    said, default = rows(GENERATOR, "## Settings"), Limits()
    numbers = {
        "LOAD_MAX_RATE": default.max_rate,
        "LOAD_MAX_BLUE_RATE": default.max_blue_rate,
        "LOAD_MAX_SECONDS": default.max_seconds,
        "LOAD_MAX_IN_FLIGHT": default.max_in_flight,
    }

    assert {name: float(said[name][0]) for name in numbers} == numbers


def test_the_example_gives_the_generator_variables_that_it_knows() -> None:
    class Loader(yaml.SafeLoader):
        """Reads CloudFormation's short forms as what they are about."""

    Loader.add_multi_constructor(
        "!",
        lambda loader, _, node: loader.construct_scalar(node) if isinstance(node, yaml.ScalarNode) else None,
    )
    template = yaml.load(Path(EXAMPLE).read_text(), Loader)  # plain values only
    [container] = template["Resources"]["TaskDefinition"]["Properties"]["ContainerDefinitions"]
    given = {variable["Name"] for variable in container["Environment"]}

    assert given <= set(re.findall(r"`(LOAD_[A-Z_]+)`", GENERATOR))


def _list(value: Any) -> list[str]:
    return value if isinstance(value, list) else [value]

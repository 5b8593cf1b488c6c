import json
from pathlib import Path

import pytest

from rehearsal.schemas import FOLDER, schemas, text, write

DOCS = FOLDER.parent


def test_the_schemas_in_the_docs_are_those_of_the_models() -> None:
    # Beside them is the policy document's, which `imagetrust policy schema` writes.
    kinds = ("hook_details", "policy")
    written = {file.name: file.read_text() for kind in kinds for file in FOLDER.glob(f"*.{kind}.json")}

    # `rehearse schema` writes them anew.
    assert written == {name: text(schema) for name, schema in schemas().items()}


def test_they_can_be_written_elsewhere(tmp_path: Path) -> None:
    files = write(tmp_path / "new")

    assert [file.name for file in files] == list(schemas())
    assert all(json.loads(file.read_text())["additionalProperties"] is False for file in files)


@pytest.mark.parametrize(
    ("schema", "page"),
    [
        ("canary_comparison.hook_details.json", "canary-comparison.md"),
        ("canary_comparison.policy.json", "canary-comparison.md"),
        ("manual_approval.hook_details.json", "manual-approval.md"),
        ("manual_approval.policy.json", "manual-approval.md"),
        ("consumer_activation.hook_details.json", "consumer-activation.md"),
        ("consumer_activation.policy.json", "consumer-activation.md"),
    ],
)
def test_every_setting_and_its_default_are_on_the_hook_s_page(schema: str, page: str) -> None:
    rows = {}
    for line in (DOCS / page).read_text().splitlines():
        if line.startswith("| `"):
            key, default, *_ = (cell.strip().strip("`") for cell in line.strip("|").split("|"))
            rows[key] = default
    properties = schemas()[schema]["properties"]

    assert properties.keys() <= rows.keys()
    # One default is too long for a table.
    told = {key: rows[key] for key in properties if key != "personalSessions"}
    assert told == {
        key: described["default"]
        if isinstance(described["default"], str)
        else json.dumps(described["default"])
        for key, described in properties.items()
        if key != "personalSessions"
    }

"""Policies that we show are policies that can be used, and the page about them is about all there is."""

import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from hooks.image_trust import policy as models
from hooks.image_trust import strict_yaml
from hooks.image_trust.lint import Level, lint
from hooks.image_trust.policy import Policy
from hooks.image_trust.policy_document import load_policy, read_policy
from hooks.image_trust.sources import Sources
from rehearsal.runtime.lambda_python import ROOT

PAGE = (ROOT / "docs" / "image-policy.md").read_text()
EXAMPLES = sorted((ROOT / "examples" / "image_policies").glob("*.yaml"))
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)

# What the examples do on purpose.
MEANT = {
    "our_account.yaml": [
        "rule 'our own': 111122223333.dkr.ecr.*.amazonaws.com/shop/** lets in all that may be pushed "
        "there, with "
        "nothing proven"
    ],
    "mixed.yaml": ["rule 'log router': only observes: it refuses nothing"],
}


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.name)
def test_an_example_can_be_used_and_there_is_nothing_to_say_but_what_is_meant(file: Path) -> None:
    found = load_policy(file.read_bytes(), sha256=None, source=file.name).policy

    assert [note.sentence for note in lint(found, now=NOW)] == MEANT.get(file.name, [])


def test_the_examples_are_listed() -> None:
    listed = re.findall(r"^\| \[(\S+)\]\(\1\)", (EXAMPLES[0].parent / "README.md").read_text(), re.MULTILINE)

    assert sorted(listed) == [file.name for file in EXAMPLES]
    assert {
        "aws_signer.yaml",
        "cosign_kms.yaml",
        "github_actions.yaml",
        "mixed.yaml",
        "our_account.yaml",
    } == set(listed)


def test_an_example_s_root_is_only_taken_as_it_is_pinned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = read_policy((EXAMPLES[0].parent / "github_actions.yaml").read_bytes())
    root = found.trust.roots["sigstore"]
    made = tmp_path / "trusted_root.json"
    made.write_text('{"mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1"}')
    elsewhere = root.model_copy(update={"source": str(made)})
    trust = found.trust.model_copy(update={"roots": {"sigstore": elsewhere}})
    sources = Sources(found.model_copy(update={"trust": trust}), files=True)

    with pytest.raises(Exception, match=f"has the SHA-256 .*, expected {root.sha256}"):
        sources._root("sigstore")


# --- The page ---------------------------------------------------------------------------------------


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


FRAGMENTS: list[dict[str, Any]] = [
    strict_yaml.loads(block.encode(), "the block", limit_bytes=10_000) for block in blocks("yaml")
]
[TRUST] = [block["trust"] for block in FRAGMENTS if "trust" in block and "rules" not in block]


def completed(fragment: Mapping[str, Any]) -> Policy:
    """Return a policy around what the page shows of one."""
    require = fragment.get("require", {"cosign": {"key": "release"}})
    images = ["111122223333.dkr.ecr.eu-west-1.amazonaws.com/shop/web"]
    document = {
        "version": 1,
        "name": "page",
        "trust": TRUST,
        "rules": [{"name": "shown", "match": {"images": images}, "require": require}],
        **{key: value for key, value in fragment.items() if key != "require"},
    }
    return read_policy(json.dumps(document).encode(), source="docs/image-policy.md")


@pytest.mark.parametrize("fragment", FRAGMENTS, ids=lambda fragment: next(iter(fragment)))
def test_what_the_page_shows_can_be_used(fragment: dict[str, Any]) -> None:
    assert [note.sentence for note in lint(completed(fragment), now=NOW) if note.level is Level.ERROR] == []


def test_the_page_shows_every_requirement() -> None:
    shown = {
        requirement.said[0]
        for fragment in FRAGMENTS
        for rule in completed(fragment).rules
        for requirement in (rule.require, *rule.require.leaves, *rule.require.parts)
    }

    assert shown == {info.alias for info in models.Requirement.model_fields.values()}


MODELS = [
    found
    for found in vars(models).values()
    if isinstance(found, type) and issubclass(found, models.Part) and found is not models.Part
]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_key_is_on_the_page(model: type[BaseModel]) -> None:
    named = set(re.findall(r"`([A-Za-z0-9]+)(?::[^`]*)?`", PAGE))
    for block in blocks("yaml"):
        named |= set(re.findall(r"\b([A-Za-z0-9]+):", block))

    assert {info.alias or name for name, info in model.model_fields.items()} <= named


def words(model: type[BaseModel]) -> Iterator[str]:
    """Yield the words that a model's keys can be."""
    for info in model.model_fields.values():
        yield from re.findall(r"Literal\[([^\]]*)\]", str(info.annotation))


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_word_that_can_be_chosen_is_on_the_page(model: type[BaseModel]) -> None:
    missing = [
        word
        for words_ in words(model)
        for word in re.findall(r"'([^']+)'", words_)
        if not re.search(rf"\b{re.escape(word)}\b", PAGE)
    ]

    assert missing == []


def test_defaults_on_the_page_are_the_models() -> None:
    fields = {
        "containers": models.Match.model_fields["containers"].default,
        "services": models.Match.model_fields["services"].default,
    }
    rows = dict(re.findall(r"^\| `(containers|services)` \|[^|]*\| `(.*?)` \|$", PAGE, re.MULTILINE))

    assert {name: json.loads(default) for name, default in rows.items()} == {
        name: list(default) for name, default in fields.items()
    }
    assert models.Policy.model_fields["max_exemption_days"].default == 30
    assert "30 unless" in PAGE
    assert models.References.model_fields["require_digest"].default is True
    assert models.Rule.model_fields["multi_arch"].default == "either"
    injected = models.Policy.model_fields["injected"].default
    assert [block["injected"] for block in FRAGMENTS if "injected" in block] == [list(injected)]


def test_places_on_the_page_are_there() -> None:
    headings = {
        re.sub(r"[^a-z -]", "", text.lower()).replace(" ", "-")
        for text in re.findall(r"^#+ (.*)$", PAGE, re.MULTILINE)
    }
    for target in re.findall(r"\]\(([^)]+)\)", PAGE):
        if target.startswith("#"):
            assert target[1:] in headings
        elif not target.startswith("https://"):
            assert (ROOT / "docs" / target.partition("#")[0]).exists(), target

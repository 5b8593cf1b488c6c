"""The reference system's images: what its policy admits, and how its README has them built."""

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import cache

import pytest

from hooks.image_trust.containers import Container
from hooks.image_trust.evidence import EcrFacts, Evidence, FactsOf, Want
from hooks.image_trust.finding import Outcome
from hooks.image_trust.judging import Circumstances, Fetch, Judged, Verdict, judge
from hooks.image_trust.policy import Policy
from hooks.image_trust.policy_document import load_policy
from rehearsal.runtime.lambda_python import ROOT
from tests.examples.unicorn_watch_stack import FOLDER

README = (FOLDER / "README.md").read_text()

HOST = "111122223333.dkr.ecr.us-east-1.amazonaws.com"
DIGEST = "sha256:" + "a1" * 32
REPOSITORIES = re.findall(r"aws ecr create-repository --repository-name (\S+)", README)


@cache
def policy() -> Policy:
    return load_policy((FOLDER / "image_policy.yaml").read_bytes(), sha256=None).policy


def answering(tags: str) -> Fetch:
    """Return an ECR in which repositories have this ``imageTagMutability``, and nothing else is known."""

    def fetch(wants: Iterable[Want], evidence: Evidence) -> None:
        for want in wants:
            assert isinstance(want, FactsOf), want
            evidence.facts[want] = EcrFacts(tag_mutability=tags, exclusions=(), pushed_at=None, scan=None)

    return fetch


def judged(image: str, tags: str = "IMMUTABLE") -> Judged:
    circumstances = Circumstances(
        policy=policy(), service="unicorn-watch/ui", now=datetime(2026, 3, 5, tzinfo=UTC)
    )
    [one] = judge([Container(name="app", image=image)], circumstances, answering(tags))
    return one


# --- image_policy.yaml --------------------------------------------------------------------------------


def test_the_policy_is_one_rule_and_what_it_requires_is_this() -> None:
    [rule] = policy().rules

    assert rule.model_dump(by_alias=True, exclude_unset=True, mode="json") == {
        "name": "our own",
        "match": {"images": ["111122223333.dkr.ecr.*.amazonaws.com/unicorn-watch/**"]},
        "require": {
            "allOf": [
                {"registry": {"accounts": ["111122223333"]}},
                {"ecr": {"tagImmutability": "required"}},
            ]
        },
    }
    assert policy().model_fields_set == {"version", "name", "rules"}
    assert (rule.mode, policy().mode, policy().references.require_digest) == ("enforce", "enforce", True)


@pytest.mark.parametrize("repository", REPOSITORIES)
def test_what_the_readme_pushes_is_admitted(repository: str) -> None:
    [registry] = re.findall(r"export REGISTRY=(\S+)", README)

    found = judged(f"{registry}/{repository}@{DIGEST}")

    assert registry == HOST
    assert (found.rule, found.verdict, found.finding.outcome) == ("our own", Verdict.PASS, Outcome.PASS)


@pytest.mark.parametrize(
    ("image", "tags", "rule"),
    [
        (f"444455556666.dkr.ecr.us-east-1.amazonaws.com/unicorn-watch/app@{DIGEST}", "IMMUTABLE", None),
        (f"{HOST}/elsewhere/app@{DIGEST}", "IMMUTABLE", None),
        (f"public.ecr.aws/unicorn-watch/app@{DIGEST}", "IMMUTABLE", None),
        (f"{HOST}/unicorn-watch/app@{DIGEST}", "MUTABLE", "our own"),
        (f"{HOST}/unicorn-watch/app:1.0.0", "IMMUTABLE", "our own"),
    ],
)
def test_what_is_from_elsewhere_or_can_be_moved_is_refused(image: str, tags: str, rule: str | None) -> None:
    found = judged(image, tags)

    assert (found.rule, found.verdict, found.observed) == (rule, Verdict.DENY, False)


def test_the_readme_makes_both_repositories_with_tags_that_can_t_be_moved() -> None:
    made = re.findall(
        r"aws ecr create-repository --repository-name (\S+) --image-tag-mutability (\w+)", README
    )

    assert made == [("unicorn-watch/app", "IMMUTABLE"), ("unicorn-watch/load-generator", "IMMUTABLE")]


# --- README.md ----------------------------------------------------------------------------------------


def builds() -> list[tuple[str, str]]:
    """Return the README's builds: the Dockerfile, and the command."""
    commands = re.findall(r"^\s*docker build (?:.*\\\n)*.*$", README, re.MULTILINE)
    return [(re.findall(r"--file (\S+)", command)[0], command) for command in commands]


def arguments(dockerfile: str) -> set[str]:
    """Return the arguments that reach a Dockerfile's last stage, and leave something there."""
    stage = re.split(r"^FROM .*$", (ROOT / dockerfile).read_text(), flags=re.MULTILINE)[-1]
    taken = set(re.findall(r"^ARG ([A-Z_]+)", stage, re.MULTILINE))
    return {name for name in taken if re.search(rf"^ENV (?:.* )?{name}=\${name}\b", stage, re.MULTILINE)}


def test_every_build_is_for_the_processor_that_tasks_run_on() -> None:
    assert [(file, re.findall(r"--platform (\S+)", command)) for file, command in builds()] == [
        ("examples/unicorn_watch/app/Dockerfile", ["linux/arm64"]),
        ("hooks/load_test/generator/Dockerfile", ["linux/arm64"]),
        ("examples/unicorn_watch/app/Dockerfile", ["linux/arm64"]),
    ]


def test_every_build_argument_is_one_that_the_dockerfile_takes_and_the_application_sees() -> None:
    told = {
        (file, name) for file, command in builds() for name in re.findall(r"--build-arg ([^=\s]+)=", command)
    }
    # And what its table adds to the last of them.
    last = builds()[-1][0]
    told |= {(last, name) for name in re.findall(r"--build-arg ([^=\s`]+)=", README)}

    assert {name for _, name in told} == {"VERSION", "MISBEHAVE", "MISBEHAVE_PATH"}
    assert [(file, name) for file, name in sorted(told) if name not in arguments(file)] == []

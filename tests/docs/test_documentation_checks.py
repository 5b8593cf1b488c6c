"""What keeps the documentation true finds what is not: commands, blocks, links and shell that are wrong."""

from collections.abc import Iterator

import pytest

from tests.docs.fenced_blocks import ROOT, Page
from tests.docs.known_commands import Place, problems
from tests.docs.shell_lines import UnreadableError, commands
from tests.docs.test_documentation import block_problems, link_problems, mention_problems, name_problems

HERE = Place(ROOT / "docs")


def said(text: str, place: Place = HERE) -> list[str]:
    return [problem for command in commands(text) for problem in problems(command.words, place)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("make rehearse", []),
        ("make rehears", ["make: there is no target rehears"]),
        ('make rehearse ARGS="canari"', ["canari"]),
        ('make rehearse ARGS="canary --htlm report.html"', ["unrecognized arguments: --htlm report.html"]),
        ("uv run rehearse list switches", []),
        ("uv run rehearse list switch", ["invalid choice"]),
        (
            "rehearse serve --event events/manual_approval/gone.json",
            ["there is no events/manual_approval/gone.json"] * 2,
        ),
        ("uv run approvals reject", ["required"]),
        ("imagetrust policy digest", ["required: FILE"]),
        ("python -m activation_gate set --active none", []),
        ("python -m activation_gate set", ["required: --active"]),
        ("python -m benchmarks.nothing", ["there is no module benchmarks.nothing"]),
        ("python -m benchmarks.canary_statistics --run 1000", ["has no option --run"]),
        ("sam local invoke ManualApprovalFunction -e events/manual_approval/pending.json", []),
        ("sam local invoke ManualApprovalFunktion", ["template.yaml has no function ManualApprovalFunktion"]),
        ("sam local invok X", ["sam local has no command invok"]),
        ("sam deploy --guidet", ["No such option"]),
        (
            "sam deploy --parameter-overrides RecordBuckett=x",
            ["template.yaml has no parameter RecordBuckett"],
        ),
        ("aws ssm get-parameter --name /a --query Parameter.Value", []),
        ("aws ssm get-parameter --query 'Parameter.[Value'", ["--query", "needs --name"]),
        ("aws ssm get-paramater --name /a", ["ssm has no operation get-paramater"]),
        ("aws smm get-parameter --name /a", ["there is no service smm"]),
        ("aws ssm put-parameter --name /a --value b --overwrites", ["has no option --overwrites"]),
        ("aws ssm put-parameter --name /a --value b --type Text", ["--type: Text is none of String"]),
        ("aws ssm put-parameter --name /a", ["needs --value"]),
        ("aws ecs stop-service-deployment --service-deployment-arn ARN --stop-type ROLLBACK", []),
        (
            "aws ecs stop-service-deployment --service-deployment-arn ARN --stop-type BACK",
            ["BACK is none of"],
        ),
        ("aws ecs wait services-stable --cluster shop --services web", []),
        ("aws ecs wait services-stabel --cluster shop", ["ecs has no waiter services-stabel"]),
        ("aws ecs describe-services web --cluster shop", ["needs --services", "what is web?"]),
        ('aws elbv2 modify-rule --rule-arn R --actions \'[{"Typ": "forward"}]\'', ["Typ"]),
        ("aws elbv2 modify-rule --rule-arn R --actions '[{]'", ["no JSON"]),
        (
            "aws ecs update-service --service web --deployment-configuration strategi=CANARY",
            ["strategi is none of"],
        ),
        (
            "aws cloudformation deploy --template-file docs/none.yaml --stack-name x",
            ["there is no docs/none.yaml"],
        ),
        (
            "aws cloudformation describe-stack-resource --stack-name x --logical-resource-id LoadTestLogs",
            ["template.yaml has no resource LoadTestLogs"],
        ),
        ("docker biuld .", ["what is biuld?"]),
        ("docker build --file Dockerfil .", ["there is no Dockerfil"]),
        ("pip install 'ecs-lifecycle-hooks[comand-line]'", ["there is no extra comand-line"]),
        ("python -m examples.contract_probe plan", []),
        ("kubectl get pods", ["kubectl is no command that this test knows"]),
        ("cat hooks/image_trust/gone.py", ["there is no hooks/image_trust/gone.py"]),
    ],
)
def test_a_command_that_would_not_be_understood_is_found(text: str, expected: list[str]) -> None:
    found = said(text)

    assert len(found) == len(expected), found
    assert [part for part, problem in zip(expected, found, strict=True) if part not in problem] == []


def test_a_command_that_is_only_spoken_of_may_leave_out_what_it_needs() -> None:
    spoken = Place(ROOT / "docs", partial=True)

    assert said("aws ssm put-parameter --value b", spoken) == []
    assert said("sam local invoke", spoken) == []
    assert said("approvals reject", spoken) == []
    assert said("aws ssm put-paramater", spoken) != []


def test_dots_stand_for_what_is_left_out() -> None:
    assert said("python -m activation_gate set ...") == []
    assert said("python -m activation_gate sett ...") != []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a b # c\nd", [["a", "b"], ["d"]]),
        ("a \\\n  --b 'c d' \"e # f\"", [["a", "--b", "c d", "e # f"]]),
        ("a && b || c; d | e &", [["a"], ["b"], ["c"], ["d"], ["e"]]),
        ("X=1 Y=$(a b) c > d 2>&1", [["a", "b"], ["c"]]),
        ('a "$(b $(c))"', [["c"], ["b", "SUBSTITUTED"], ["a", "SUBSTITUTED"]]),
        ("for x in 1 2; do a $x; done", [["a", "$x"]]),
        ("while ! a; do sleep 5; done", [["a"], ["sleep", "5"]]),
        ("cat > f <<'E'\nnot a command\nE\nb", [["cat"], ["b"]]),
        ("oidc:https://login#alice", [["oidc:https://login#alice"]]),
        ('a \'{"b": "c"}\' d\\ e', [["a", '{"b": "c"}', "d e"]]),
    ],
)
def test_shell_is_read_as_a_shell_does(text: str, expected: list[list[str]]) -> None:
    assert [command.words for command in commands(text)] == expected


def test_what_follows_cd_is_looked_for_there() -> None:
    made_up = "```sh\ncd examples/own_hook\nsam build\nsam local invoke -e events/{}.json\n```"

    assert [*found(made_up.format("canary_step"))] == []
    assert "there is no events/gone.json" in next(found(made_up.format("gone")))


def test_a_command_knows_its_line() -> None:
    assert [command.line for command in commands("a\n\nb \\\n c\nd", first_line=10)] == [10, 12, 14]


@pytest.mark.parametrize("text", ["a 'b", 'a "b', "a $(b", "cat <<E\nb"])
def test_shell_that_does_not_end_is_not_understood(text: str) -> None:
    with pytest.raises(UnreadableError):
        [*commands(text)]


def page(text: str) -> Page:
    return Page("docs/made-up.md", text)


def found(text: str) -> Iterator[str]:
    made_up = page(text)
    yield from block_problems(made_up)
    yield from mention_problems(made_up)
    yield from link_problems(made_up)
    yield from name_problems(made_up)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("# A\n\n[b](#a) ![c](tour.svg) [d](rehearsal.md#a-scenario)", []),
        ("[b](#c)", ["docs/made-up.md:1: #c: there is no such heading"]),
        ("\n[b](gone.md)", ["docs/made-up.md:2: gone.md leads nowhere"]),
        ("[b](rehearsal.md#gone)", ["docs/made-up.md:1: rehearsal.md#gone: there is no such heading"]),
        ("[b](http://example.com)", ["docs/made-up.md:1: http://example.com is not https"]),
        ("`[b](gone.md)`", []),
        ("a `make rehears` b", ["`make rehears`: make: there is no target rehears"]),
        (
            "the parameters `RecordBucket` and\n`Gone`, outputs `HookInvocationRoleArn`",
            ["no template has a parameter Gone"],
        ),
        ("```yml\na: 1\n```", ["docs/made-up.md:2: no test knows blocks of 'yml'"]),
        ("```json\n{\n  1}\n```", ["docs/made-up.md:3: "]),
        ("```yaml\na: [\n```", ["docs/made-up.md:2: "]),
        ("```yaml\na: !GetAtt b.c\n---\nd: 1\n```", []),
        ("```yaml\na: b # output Gone\n```", ["no template has an output Gone"]),
        (
            "```yaml\nDeploymentConfiguration: {Strategy: CANARI}\n```",
            ["docs/made-up.md:2: rehearse check: "],
        ),
        ("```python\nfrom activation_gate import Gate\n```", ["activation_gate has no Gate"]),
        ("```python\nx = = 1\n```", ["docs/made-up.md:2: "]),
        ("```toml\na = \n```", ["docs/made-up.md:2: "]),
        ('```hcl\na {\n  b = "}"\n```', ["docs/made-up.md:2: } is missing"]),
        ("```hcl\na { b = [1] } ]\n```", ["docs/made-up.md:2: ] closes nothing"]),
        ("```\n─▶ a picture\n```", []),
        ("```\n$ approvals lst\nwhat it shows\n```", ["docs/made-up.md:2: approvals: "]),
        ("```\nrehearse lis\n```", ["docs/made-up.md:2: rehearse: "]),
        ("   ```sh\n   make rehears\n   ```", ["docs/made-up.md:2: make: there is no target rehears"]),
    ],
)
def test_a_page_that_is_wrong_is_found_with_its_place(text: str, expected: list[str]) -> None:
    problems_ = [*found(text)]

    assert len(problems_) == len(expected), problems_
    assert [part for part, problem in zip(expected, problems_, strict=True) if part not in problem] == []


def test_a_block_without_end_is_no_page() -> None:
    with pytest.raises(ValueError, match="a block that has no end"):
        [*found("```sh\nmake test\n")]


def test_headings_are_found_as_github_makes_them() -> None:
    text = "# CloudFormation's 33 hours\n## `a` and [b](c.md)\n## Twice\n## Twice\n```\n# no heading\n```\n"

    assert page(text).anchors == {"cloudformations-33-hours", "a-and-b", "twice", "twice-1"}

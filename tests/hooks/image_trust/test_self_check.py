"""What in a service's own configuration would let an image past the hook."""

from typing import Any

import pytest

from hooks.image_trust.containers import Container
from hooks.image_trust.self_check import fails_open

NAME = "hooks-ImageTrust"
ARN = f"arn:aws:lambda:eu-west-1:123456789012:function:{NAME}"
BOTH = ["PRE_SCALE_UP", "POST_SCALE_UP"]
WEB = Container(name="web", image="shop/web:3")


def hook(stages: Any = BOTH, arn: str | None = ARN, action: str | None = None) -> dict[str, Any]:
    return {
        **({"hookTargetArn": arn} if arn is not None else {}),
        "lifecycleStages": stages,
        **({"timeoutConfiguration": {"timeoutInMinutes": 60, "action": action}} if action else {}),
    }


PAUSE = {"targetType": "PAUSE", "lifecycleStages": ["POST_SCALE_UP"]}
BEFORE = "the hook is not attached at PRE_SCALE_UP: images run before they are judged"
AFTER = "the hook is not attached at POST_SCALE_UP: nothing compares what ECS started with what was admitted"
UNLISTED = (f"the deployment lists no hook of function {NAME!r}",)


@pytest.mark.parametrize(
    ("hooks", "said"),
    [
        ([hook()], ()),
        ([hook(action="ROLLBACK")], ()),
        ([hook(BOTH[:1]), hook(BOTH[1:])], ()),
        ([hook(arn=f"{ARN}:live")], ()),
        ([hook(arn=f"{ARN}:7"), PAUSE], ()),
        ([hook(BOTH[:1])], (AFTER,)),
        ([hook(BOTH[1:])], (BEFORE,)),
        ([hook([])], (BEFORE, AFTER)),
        ([hook(None)], (BEFORE, AFTER)),
        # What another function, or a person, does there is not this hook's work.
        ([hook(BOTH[:1]), hook(BOTH[1:], f"{ARN}-other")], (AFTER,)),
        ([hook(BOTH[:1]), PAUSE], (AFTER,)),
        (
            [hook(action="CONTINUE")],
            (
                "timeoutConfiguration.action is CONTINUE at PRE_SCALE_UP, POST_SCALE_UP: "
                "a time-out admits the image",
            ),
        ),
        (
            [hook(BOTH[:1]), hook(BOTH[1:], action="CONTINUE")],
            ("timeoutConfiguration.action is CONTINUE at POST_SCALE_UP: a time-out admits the image",),
        ),
        ([hook(), hook(arn=f"{ARN}-other", action="CONTINUE")], ()),
        ([], UNLISTED),
        ([PAUSE], UNLISTED),
        ([hook(arn=f"{ARN}-other")], UNLISTED),
        ([hook(arn="nonsense")], UNLISTED),
        ([hook(arn=f"{ARN}:live:more")], UNLISTED),
    ],
)
def test_what_lets_images_past(hooks: list[dict[str, Any]], said: tuple[str, ...]) -> None:
    assert fails_open(hooks, NAME, [WEB]) == said


def test_a_function_without_a_name_has_no_hooks() -> None:
    assert fails_open([PAUSE, hook(arn="")], "", [WEB]) == ("the deployment lists no hook of function ''",)


@pytest.mark.parametrize(
    ("container", "said"),
    [
        (WEB, ()),
        (
            Container(name="web", image="shop/web:3", is_consistent=False),
            ("versionConsistency of 'web' is disabled: its tag may lead each task elsewhere",),
        ),
        (Container(name="web", image="shop/web@sha256:" + "a" * 64, is_consistent=False), ()),
    ],
)
def test_without_version_consistency_a_tag_says_nothing(container: Container, said: tuple[str, ...]) -> None:
    assert fails_open([hook()], NAME, [container]) == said

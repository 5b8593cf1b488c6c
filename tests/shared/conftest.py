"""What a hook's tests need around them: AWS, and the function's log."""

import contextlib
import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from rehearsal.aws.cloud import Cloud
from tests.shared.checkout import REGION


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    with Cloud(region=REGION, seed=1) as cloud:
        yield cloud
        assert cloud.defects == []


class Log:
    """The lines a function has logged."""

    def __init__(self) -> None:
        self.stream = io.StringIO()

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.stream.getvalue().splitlines()]

    def messages(self, level: str) -> list[str]:
        return [line["message"] for line in self.lines if line["level"] == level]

    @property
    def records(self) -> list[dict[str, Any]]:
        return [line["decision_record"] for line in self.lines if "decision_record" in line]


@pytest.fixture
def log() -> Iterator[Log]:
    found = Log()
    with contextlib.ExitStack() as stack:
        for handler in logging.getLogger("ecs-lifecycle-hooks").handlers:
            if isinstance(handler, logging.StreamHandler) and (before := handler.setStream(found.stream)):
                stack.callback(handler.setStream, before)
        yield found

"""One proceeding under everything that may happen to it, against a plain account of who said what.

The oracle counts for itself: it goes through the parameter's history with a table of what each person
and each text is worth, and shares no code with the hook.
"""

import json
import logging
import os
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime, timedelta
from typing import Any
from unittest import mock

import pytest
import time_machine
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from hooks.manual_approval.handler import handler
from rehearsal.aws.cloud import ACCOUNT, Cloud
from rehearsal.aws.identities import ALLOW_ALL
from rehearsal.functions import deployed, environment
from shared.clock import timestamp
from shared.response import STATE_KEY
from tests.shared.checkout import DEPLOYMENT, POST_TEST, REGION, START, Context, assert_valid, deploy, event

FUNCTION = deployed()["ManualApprovalFunction"]
POLICY = {"Version": "2012-10-17", "Statement": FUNCTION.statements}
ROLE = "ManualApprovalFunctionRole"
NAME = f"/ecs-approvals/shop/checkout/{DEPLOYMENT.id}"
OTHER_NAME = f"{NAME}x"
EXPIRES = timedelta(minutes=60)

# Who writes: credentials, whether their answers count, and whose voice it is.
PEOPLE: dict[str, tuple[dict[str, str], bool, str]] = {
    "alice": ({"user": "alice"}, True, "alice"),
    "bob": ({"user": "bob"}, True, "bob"),
    "release/1": ({"role": "release", "session": "carol"}, True, "release"),
    "release/2": ({"role": "release", "session": "dan"}, True, "release"),
    "sso/eve": ({"role": "AWSReservedSSO_Ops_1", "session": "eve"}, True, "eve"),
    "sso/eve again": ({"role": "AWSReservedSSO_Admin_2", "session": "eve"}, True, "eve"),
    "pipeline": ({"role": "pipeline", "session": "run"}, False, "pipeline"),
    "stranger": ({"user": "mallory"}, False, "mallory"),
}
ALLOWED = [
    "arn:aws:iam::*:user/alice",
    "arn:aws:iam::*:user/bob",
    "arn:aws:sts::*",
    "arn:aws:iam::*:role/pipeline",
]
EXCLUDED = ["arn:aws:iam::123456789012:role/ci/pipeline"]

# What is written, and what it means.
TEXTS: dict[str, str] = {
    "APPROVED": "yes",
    "approved ": "yes",
    '{"state": "Approved", "comment": "fine"}': "yes",
    "REJECTED": "no",
    '{"decision": "rejected"}': "no",
    "LGTM": "",
    "": "",
    '{"state": "APPROVED", "decision": "REJECTED"}': "",
    '{"state": "closed", "outcome": "approved"}': "",
}


@pytest.fixture(scope="module", autouse=True)
def standing() -> Iterator[None]:
    log = logging.getLogger("ecs-lifecycle-hooks")
    level, log.level = log.level, logging.CRITICAL
    with Cloud(region=REGION) as cloud, cloud.enforcing_iam():
        Proceeding.cloud = cloud
        yield
        assert cloud.defects == []
    log.setLevel(level)


class Proceeding(RuleBasedStateMachine):
    """A deployment that waits for approval, as ECS, people and AWS treat it."""

    cloud: Cloud

    @initialize(
        required=st.sampled_from([2, 1, 2, 3]),
        asked=st.sampled_from([True, True, False]),
        on_expiry=st.sampled_from(["refuse", "refuse", "proceed"]),
        merge=st.booleans(),
    )
    def start(self, required: int, asked: bool, on_expiry: str, merge: bool) -> None:
        self.clock = self.stack.enter_context(time_machine.travel(START, tick=False))
        self.cloud.reset()
        deploy(self.cloud)
        self.config = {
            "requiredApprovals": required,
            "allowedApprovers": ALLOWED,
            "excludedApprovers": EXCLUDED,
            "expiresAfterMinutes": EXPIRES.total_seconds() / 60,
            "onExpiry": on_expiry,
        }
        self.merge = merge
        self.details: dict[str, Any] = dict(self.config)
        self.earlier: list[dict[str, Any]] = [dict(self.config)]
        self.settled = ""
        self.throttled_until = START
        if asked:
            self.ecs_polls(1)

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()

    def teardown(self) -> None:
        self.stack.close()

    # ------------------------------------------------------------------ ECS

    @rule(times=st.integers(1, 2))
    def ecs_polls(self, times: int) -> None:
        sent = self.details
        for _ in range(times):
            reply = self.answer(sent)
        if reply["hookStatus"] == "IN_PROGRESS":
            echoed = reply["hookDetails"]
            self.details = {**self.details, **echoed} if self.merge else echoed
            self.earlier.append(self.details)
            self.clock.shift(reply["callBackDelay"])

    @rule()
    def ecs_forgets_what_we_said(self) -> None:
        self.answer(self.config)

    @rule(data=st.data())
    def an_earlier_call_arrives_late(self, data: st.DataObject) -> None:
        self.answer(data.draw(st.sampled_from(self.earlier)))

    @rule(
        version=st.integers(0, 6) | st.sampled_from(["2", None, True]),
        asked=st.sampled_from([timedelta(0), -EXPIRES]),
        expires=st.sampled_from([timedelta(hours=9), timedelta(0), None]),
        announced=st.sampled_from([True, False, None]),
        of=st.sampled_from([f"{DEPLOYMENT.id}/{POST_TEST}/", f"{DEPLOYMENT.id}x/{POST_TEST}/"]),
    )
    def somebody_forges_our_state(
        self, version: Any, asked: timedelta, expires: timedelta | None, announced: Any, of: str
    ) -> None:
        data = {
            "version": version,
            "askedAt": timestamp(START + asked),
            "expiresAt": None if expires is None else timestamp(START + expires),
            "announced": announced,
        }
        forged = {"version": 1, "of": of, "since": timestamp(START), "troubles": 0, "data": data}
        self.answer({**self.config, STATE_KEY: forged}, forged=True)

    # ------------------------------------------------------------------ people

    @rule(who=st.sampled_from(sorted(PEOPLE)), text=st.sampled_from(sorted(TEXTS)))
    def somebody_writes(self, who: str, text: str) -> None:
        self.write(who, text)

    @rule(who=st.sampled_from(["alice", "bob"]), look=st.booleans())
    def a_user_approves(self, who: str, look: bool) -> None:
        self.write(who, "APPROVED")
        self.look(look)

    @rule(
        sessions=st.sampled_from([("sso/eve", "sso/eve again"), ("release/1", "release/2"), ("release/1",)]),
        look=st.booleans(),
    )
    def sessions_of_one_voice_approve(self, sessions: tuple[str, ...], look: bool) -> None:
        for who in sessions:
            self.write(who, "approved ")
        self.look(look)

    @rule(
        who=st.sampled_from(["pipeline", "stranger"]),
        text=st.sampled_from(["APPROVED", "REJECTED"]),
        look=st.booleans(),
    )
    def an_outsider_answers(self, who: str, text: str, look: bool) -> None:
        self.write(who, text)
        self.look(look)

    @precondition(lambda self: not self.history())
    @rule(who=st.sampled_from(["stranger", "alice"]))
    def somebody_plants_a_request_and_its_approvals(self, who: str) -> None:
        self.write(who, json.dumps({"state": "pending", "deployment": str(DEPLOYMENT)}))
        for voter in ("alice", "bob", "release/1"):
            self.write(voter, "APPROVED")

    @rule(who=st.sampled_from(["alice", "bob"]), text=st.sampled_from(["APPROVED", "REJECTED"]))
    def an_answer_comes_at_the_very_expiry(self, who: str, text: str) -> None:
        asked = self.asked_at()
        if asked and self.now <= asked + EXPIRES:
            self.clock.move_to(asked + EXPIRES, tick=False)
            self.write(who, text)
            self.answer(self.config)

    @rule(
        who=st.sampled_from(["alice", "stranger"]), state=st.sampled_from(["pending", "approved", "rejected"])
    )
    def somebody_edits_what_stands_there(self, who: str, state: str) -> None:
        history = self.history()
        document = json.loads(history[0]["Value"]) if history and history[0]["Value"].startswith("{") else {}
        document["deployment"] = str(DEPLOYMENT)
        self.write(who, json.dumps({**document, "state": state}))

    @rule(who=st.sampled_from(["alice", "bob"]))
    def somebody_approves_another_deployment(self, who: str) -> None:
        self.write(who, "APPROVED", OTHER_NAME)

    @precondition(lambda self: self.history())
    @rule()
    def somebody_deletes_the_parameter(self) -> None:
        self.person("alice").delete_parameter(Name=NAME)
        self.settled = ""

    # ------------------------------------------------------------------ AWS and time

    @rule(minutes=st.integers(1, 20), action=st.sampled_from(["ssm:*", "ssm:Put*", "ssm:Get*", "ecs:*"]))
    def aws_throttles_us(self, minutes: int, action: str) -> None:
        self.throttled_until = max(self.throttled_until, self.now + timedelta(minutes=minutes))
        self.cloud.faults.add(
            action=action,
            error="ThrottlingException",
            identity=f"*{ROLE}*",
            until=self.now + timedelta(minutes=minutes),
        )

    @rule(after=st.sampled_from([timedelta(seconds=5), timedelta(minutes=7), timedelta(minutes=35)]))
    def time_passes(self, after: timedelta) -> None:
        self.clock.shift(after)

    # ------------------------------------------------------------------ what must be true

    def answer(self, details: dict[str, Any], *, forged: bool = False) -> dict[str, Any]:
        """Call the hook and hold its answer against the history it had before it."""
        before = self.history()
        with (
            mock.patch.dict(os.environ, {**environment(FUNCTION), "AWS_MAX_ATTEMPTS": "1"}),
            self.cloud.acting_as(ROLE, FUNCTION.logical_id, [POLICY]),
        ):
            payload = json.loads(json.dumps(event(details=details)))
            reply: dict[str, Any] = json.loads(json.dumps(handler(payload, Context())))
        assert_valid(reply)
        status = reply["hookStatus"]
        due = self.due(before)
        troubled = self.now < self.throttled_until
        if status == "IN_PROGRESS":
            # Slower than it should be is all that trouble and forgery may make it.
            assert due == "IN_PROGRESS" or troubled or forged
            assert {key: reply["hookDetails"][key] for key in self.config} == self.config
        else:
            assert status == due
            assert self.settled in ("", status)
            self.settled = status
        return reply

    def due(self, history: list[dict[str, Any]]) -> str:
        """Say what the history amounts to, by counting."""
        asked = next((found for found in history if self.is_ours(found)), None)
        if asked is None:
            return "IN_PROGRESS"
        deadline = asked["LastModifiedDate"] + EXPIRES
        voices: set[str] = set()
        for found in history[history.index(asked) + 1 :]:
            who = self.writer(found)
            if who is None or not PEOPLE[who][1] or found["LastModifiedDate"] >= deadline:
                continue
            meaning = self.meaning(found["Value"])
            if meaning == "no":
                return "FAILED"
            if meaning == "yes":
                voices.add(PEOPLE[who][2])
            if len(voices) >= self.config["requiredApprovals"]:
                return "SUCCEEDED"
        if self.now < deadline:
            return "IN_PROGRESS"
        return "SUCCEEDED" if self.config["onExpiry"] == "proceed" else "FAILED"

    # ------------------------------------------------------------------ looking and doing

    @property
    def now(self) -> datetime:
        return datetime.now(START.tzinfo)

    def person(self, who: str) -> Any:
        return self.cloud.client("ssm", policies=[ALLOW_ALL], **PEOPLE[who][0])

    def look(self, now: bool) -> None:
        if now:
            self.answer(self.config)

    def write(self, who: str, text: str, name: str = NAME) -> None:
        self.person(who).put_parameter(Name=name, Value=text or " ", Type="String", Overwrite=True)

    def history(self) -> list[dict[str, Any]]:
        ssm = self.person("stranger")
        try:
            found: list[dict[str, Any]] = ssm.get_parameter_history(Name=NAME)["Parameters"]
        except ssm.exceptions.ParameterNotFound:
            return []
        return found

    def asked_at(self) -> datetime | None:
        return next((found["LastModifiedDate"] for found in self.history() if self.is_ours(found)), None)

    @staticmethod
    def is_ours(found: dict[str, Any]) -> bool:
        return f":assumed-role/{ROLE}/" in found["LastModifiedUser"] and '"pending"' in found["Value"]

    @staticmethod
    def writer(found: dict[str, Any]) -> str | None:
        """Tell which of the people wrote a version; ``None`` for the hook."""
        arn = found["LastModifiedUser"]
        for who, (credentials, _, _) in PEOPLE.items():
            names = credentials.values()
            if arn == f"arn:aws:iam::{ACCOUNT}:user/{credentials.get('user')}" or arn.endswith(
                ":assumed-role/" + "/".join(names)
            ):
                return who
        return None

    @staticmethod
    def meaning(text: str) -> str:
        if text in TEXTS:
            return TEXTS[text]
        state = json.loads(text)["state"] if text.startswith("{") else ""
        return {"approved": "yes", "rejected": "no"}.get(state, "")


Proceeding.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
TestProceeding = Proceeding.TestCase

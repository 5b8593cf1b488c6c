"""One proceeding under everything that may happen to it, against a plain account of who said what.

The oracle counts for itself: it goes through the parameter's history with a table of what each person
and each text is worth, and shares no code with the hook. What the console's page says of the same history
is held against what the hook said to ECS.
"""

import json
import logging
import os
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest import mock

import pytest
import time_machine
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from hooks.manual_approval.approvers import Person
from hooks.manual_approval.handler import handler
from hooks.manual_approval.proceeding import (
    Askers,
    NotAsked,
    NotPossible,
    answer,
    proceeding_of,
    read_proceeding,
)
from hooks.manual_approval.request import Kind, Version
from rehearsal.aws.cloud import ACCOUNT, Cloud
from rehearsal.aws.identities import ALLOW_ALL
from rehearsal.functions import deployed, environment
from shared.clock import timestamp
from shared.response import STATE_KEY
from tests.shared.checkout import DEPLOYMENT, POST_TEST, REGION, START, Context, assert_valid, deploy, event

FUNCTION = deployed()["ManualApprovalFunction"]
POLICY = {"Version": "2012-10-17", "Statement": FUNCTION.statements}
ROLE = "ManualApprovalFunctionRole"
CONSOLE = "ApprovalConsoleRole"
ASKERS = Askers(f"arn:aws:iam::{ACCOUNT}:role/{ROLE}")
NAME = f"/ecs-approvals/shop/checkout/{DEPLOYMENT.id}"
OTHER_NAME = f"{NAME}x"
EXPIRES = timedelta(minutes=60)
EXTENDABLE = timedelta(minutes=100)

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
EXCLUDED = [
    "arn:aws:iam::123456789012:role/ci/pipeline",
    "oidc:https://login.example.com#mallory",
    "oidc-group:*#contractors",
]

# Whom the console says it writes for: groups, whether that counts, and whose voice it is.
SIGNED_IN: dict[str, tuple[tuple[str, ...], bool, str]] = {
    "carol": ((), True, "carol"),
    "Alice": ((), True, "alice"),
    "Eve": (("releases",), True, "eve"),
    "mallory": (("releases",), False, "mallory"),
    "bob": (("contractors",), False, "bob"),
}

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
    '{"state": "closed", "outcome": "expired"}': "",
    '{"state": "APPROVED", "answers": 1, "by": {"identity": "oidc:https://x.example.com#carol"}}': "yes to 1",
    '{"state": "REJECTED", "answers": 2}': "no to 2",
    '{"state": "APPROVED", "answers": true}': "",
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
        self.config: dict[str, Any] = {
            "requiredApprovals": required,
            "allowedApprovers": ALLOWED,
            "excludedApprovers": EXCLUDED,
            "expiresAfterMinutes": EXPIRES.total_seconds() / 60,
            "extendableToMinutes": EXTENDABLE.total_seconds() / 60,
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

    @rule(
        who=st.sampled_from(sorted(SIGNED_IN)),
        state=st.sampled_from(["APPROVED", "APPROVED", "rejected"]),
        by=st.sampled_from(["console", "console", "console", "alice", "stranger"]),
        look=st.booleans(),
    )
    def the_console_or_somebody_like_it_answers_for(self, who: str, state: str, by: str, look: bool) -> None:
        groups = [f"oidc-group:https://login.example.com#{group}" for group in SIGNED_IN[who][0]]
        person = {"identity": f"oidc:https://login.example.com#{who}", "groups": groups}
        self.write(by, json.dumps({"state": state, "by": person}))
        self.look(look)

    @rule(
        who=st.sampled_from(sorted(SIGNED_IN)),
        kind=st.sampled_from([Kind.APPROVED, Kind.APPROVED, Kind.REJECTED, Kind.EXTENDED]),
        minutes=st.integers(50, 110),
    )
    def somebody_decides_on_the_page(self, who: str, kind: Kind, minutes: int) -> None:
        stood = self.history()
        groups = tuple(f"oidc-group:https://login.example.com#{group}" for group in SIGNED_IN[who][0])
        person = Person(f"oidc:https://login.example.com#{who}", groups)
        expires_at = (self.asked_at() or START) + timedelta(minutes=minutes)
        with self.cloud.acting_as(CONSOLE, "function", [ALLOW_ALL]) as caller:
            try:
                found = read_proceeding("/ecs-approvals", DEPLOYMENT, "", ASKERS, self.now)
                after = answer(
                    found,
                    kind,
                    comment="",
                    caller=caller,
                    askers=ASKERS,
                    prefix="/ecs-approvals",
                    now=self.now,
                    person=person,
                    expires_at=expires_at,
                )
            except (NotAsked, NotPossible):
                # Nobody is told that it came to nothing after it was written.
                assert self.history() == stood
                return
        assert SIGNED_IN[who][1]
        assert after.finding is not None
        assert after.finding.heard[-1].objection == ""
        assert {"approved": "SUCCEEDED", "rejected": "FAILED", "pending": "IN_PROGRESS"}[after.outcome] == (
            self.due(self.history())
        )

    @rule(
        who=st.sampled_from([*sorted(PEOPLE), "alice", "bob"]),
        minutes=st.sampled_from([30, 61, 80, 100, 101, 10**9]),
    )
    def somebody_extends(self, who: str, minutes: int) -> None:
        until = (self.asked_at() or START) + timedelta(minutes=min(minutes, 10**9 // 250))
        self.write(who, json.dumps({"state": "extended", "expiresAt": timestamp(until)}))

    @precondition(lambda self: not self.history())
    @rule(who=st.sampled_from(["stranger", "alice"]))
    def somebody_plants_a_request_and_its_approvals(self, who: str) -> None:
        self.write(who, json.dumps({"state": "pending", "deployment": str(DEPLOYMENT)}))
        for voter in ("alice", "bob", "release/1"):
            self.write(voter, "APPROVED")

    @rule(
        who=st.sampled_from(["alice", "bob"]),
        text=st.sampled_from(["APPROVED", "REJECTED", "extended"]),
        early=st.sampled_from([timedelta(0), timedelta(milliseconds=1)]),
        meanwhile=st.booleans(),
    )
    def an_answer_comes_at_the_very_expiry(
        self, who: str, text: str, early: timedelta, meanwhile: bool
    ) -> None:
        """Write just before the hook looks, or between its look and what it writes of the expiry."""
        expiry = self.expiry(self.history())
        if expiry is None or self.now > expiry - early:
            return
        if text == "extended":
            text = json.dumps({"state": text, "expiresAt": timestamp(expiry + timedelta(minutes=9))})

        def write() -> None:
            self.clock.move_to(expiry - early, tick=False)
            self.write(who, text)
            self.clock.move_to(expiry, tick=False)

        if not meanwhile:
            write()
            self.answer(self.config)
            return
        written: list[str] = []

        def write_first(call: Any, _identity: str) -> None:
            if not written and '"expired"' in call.parameters["Value"]:
                written.append(text)
                write()

        self.clock.move_to(expiry, tick=False)
        fault = self.cloud.faults.add(action="ssm:PutParameter", identity=f"*{ROLE}*", make=write_first)
        self.answer(self.config)
        self.cloud.faults.remove(fault)

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

    @rule(
        after=st.booleans(),
        error=st.sampled_from(["InternalServerError", "ThrottlingException", "TooManyUpdates"]),
        expired=st.booleans(),
    )
    def we_end_before_or_after_what_we_write(self, after: bool, error: str, expired: bool) -> None:
        expiry = self.expiry(self.history())
        if expired and expiry and self.now < expiry:
            self.clock.move_to(expiry, tick=False)
        fault = self.cloud.faults.add(
            action="ssm:PutParameter", error=error, identity=f"*{ROLE}*", times=1, after=after
        )
        until, self.throttled_until = self.throttled_until, self.now + timedelta(seconds=1)
        self.answer(self.config)
        self.throttled_until = until
        self.cloud.faults.remove(fault)

    @rule(after=st.sampled_from([timedelta(seconds=5), timedelta(minutes=7), timedelta(minutes=35)]))
    def time_passes(self, after: timedelta) -> None:
        self.clock.shift(after)

    # ------------------------------------------------------------------ what must be true

    def answer(self, details: dict[str, Any], *, forged: bool = False) -> dict[str, Any]:
        """Call the hook and hold its answer against the history."""
        variables = {
            **environment(FUNCTION),
            "AWS_MAX_ATTEMPTS": "1",
            "APPROVAL_CONSOLE_ROLE": f"arn:aws:iam::{ACCOUNT}:role/apps/{CONSOLE}",
        }
        with (
            mock.patch.dict(os.environ, variables),
            self.cloud.acting_as(ROLE, FUNCTION.logical_id, [POLICY]),
        ):
            payload = json.loads(json.dumps(event(details=details)))
            reply: dict[str, Any] = json.loads(json.dumps(handler(payload, Context())))
        assert_valid(reply)
        status = reply["hookStatus"]
        # What the hook adds to it decides nothing but that it expired.
        history = self.history()
        due = self.due(history)
        troubled = self.now < self.throttled_until
        if status == "IN_PROGRESS":
            # Slower than it should be is all that trouble and forgery may make it.
            assert due == "IN_PROGRESS" or troubled or forged
            assert {key: reply["hookDetails"][key] for key in self.config} == self.config
        else:
            assert status == due
            assert self.settled in ("", status)
            self.settled = status
        self.check_page(history, due)
        return reply

    def check_page(self, history: list[dict[str, Any]], due: str) -> None:
        """Hold what the console would show against what ECS is told."""
        versions = [
            Version(
                found["Version"],
                found["LastModifiedDate"].astimezone(UTC),
                found["LastModifiedUser"],
                found["Value"],
            )
            for found in history
        ]
        try:
            page = proceeding_of(NAME, DEPLOYMENT, "", versions, ASKERS, self.now)
        except NotAsked:
            assert self.asked_at() is None
            return
        expired = "SUCCEEDED" if self.config["onExpiry"] == "proceed" else "FAILED"
        assert (
            due
            == {
                "pending": "IN_PROGRESS",
                "approved": "SUCCEEDED",
                "rejected": "FAILED",
                "expired": expired,
            }[page.outcome]
        )

    def due(self, history: list[dict[str, Any]]) -> str:
        """Say what the history amounts to, by counting."""
        asked = next((found for found in history if self.is_ours(found)), None)
        if asked is None:
            return "IN_PROGRESS"
        deadline = asked["LastModifiedDate"] + EXPIRES
        expired = "SUCCEEDED" if self.config["onExpiry"] == "proceed" else "FAILED"
        voices: set[str] = set()
        for found in history[history.index(asked) + 1 :]:
            if self.is_expiry(found, deadline):
                return expired
            voice = self.voice(found)
            if not voice or found["LastModifiedDate"] >= deadline:
                continue
            meaning, _, number = self.meaning(found["Value"]).partition(" to ")
            if number and int(number) != asked["Version"]:
                continue
            if meaning == "no":
                return "FAILED"
            if meaning == "yes":
                voices.add(voice)
            if meaning.startswith("until "):
                until = datetime.fromisoformat(meaning.removeprefix("until "))
                deadline = max(deadline, min(until, asked["LastModifiedDate"] + EXTENDABLE))
            if len(voices) >= self.config["requiredApprovals"]:
                return "SUCCEEDED"
        return "IN_PROGRESS" if self.now < deadline else expired

    def expiry(self, history: list[dict[str, Any]]) -> datetime | None:
        """Return when the request expires, with all that was put off; ``None`` where none is pending."""
        if self.due(history) != "IN_PROGRESS":
            return None
        asked = next((found for found in history if self.is_ours(found)), None)
        if asked is None:
            return None
        deadline: datetime = asked["LastModifiedDate"] + EXPIRES
        for found in history[history.index(asked) + 1 :]:
            meaning = self.meaning(found["Value"])
            if meaning.startswith("until ") and self.voice(found) and found["LastModifiedDate"] < deadline:
                until = datetime.fromisoformat(meaning.removeprefix("until "))
                deadline = max(deadline, min(until, asked["LastModifiedDate"] + EXTENDABLE))
        return deadline

    # ------------------------------------------------------------------ looking and doing

    @property
    def now(self) -> datetime:
        return datetime.now(START.tzinfo)

    def person(self, who: str) -> Any:
        console = {"role": CONSOLE, "session": "function"}
        return self.cloud.client(
            "ssm", policies=[ALLOW_ALL], **(console if who == "console" else PEOPLE[who][0])
        )

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
    def is_expiry(found: dict[str, Any], deadline: datetime) -> bool:
        """Tell whether the hook has written that it expired then."""
        if f":assumed-role/{ROLE}/" not in found["LastModifiedUser"] or '"closed"' not in found["Value"]:
            return False
        document = json.loads(found["Value"])
        return document["outcome"] == "expired" and str(document["expiresAt"]) >= timestamp(deadline)

    def voice(self, found: dict[str, Any]) -> str:
        """Tell whose voice a version is; empty where it does not count."""
        if f":assumed-role/{CONSOLE}/" in found["LastModifiedUser"]:
            name = json.loads(found["Value"])["by"]["identity"].partition("#")[2]
            _, counts, voice = SIGNED_IN[name]
        else:
            who = self.writer(found)
            if who is None:
                return ""
            _, counts, voice = PEOPLE[who]
        return voice if counts else ""

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
        document = json.loads(text) if text.startswith("{") else {"state": ""}
        state = document["state"].casefold()
        if state == "extended":
            return f"until {document['expiresAt']}"
        number = f" to {document['answers']}" if "answers" in document else ""
        return {"approved": f"yes{number}", "rejected": f"no{number}"}.get(state, "")


Proceeding.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
TestProceeding = Proceeding.TestCase

"""Who is told what, and how often: one look at a time, then many side by side that crash anywhere."""

import itertools
import json
import logging
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from unittest import mock

import pytest
import time_machine
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from moto.sns.models import sns_backends

from hooks.manual_approval import telling, webhook
from hooks.manual_approval.announcement import Message, Subject
from hooks.manual_approval.parameter_store import ParameterStore
from hooks.manual_approval.reminders import MAX_CLAIMS
from hooks.manual_approval.request import Version
from hooks.manual_approval.telling import Told, tell_what_is_due
from rehearsal.aws.cloud import ACCOUNT, Cloud
from rehearsal.aws.identities import ALLOW_ALL
from shared.errors import HookError, Misconfigured, Transient
from tests.shared.checkout import DEPLOYMENT, POST_TEST, REGION, START

NAME = f"/ecs-approvals/shop/checkout/{DEPLOYMENT.id}"
SUBJECT = Subject(DEPLOYMENT, POST_TEST)
HOOK = f"arn:aws:sts::{ACCOUNT}:assumed-role/hook/function"
SWEEPER = f"arn:aws:sts::{ACCOUNT}:assumed-role/sweeper/function"
ALICE = f"arn:aws:iam::{ACCOUNT}:user/alice"
SECRET = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:webhook-AbCdEf"
ENVIRONMENT = {"NOTIFICATION_TOPIC_ARN": "arn:...:releases", "APPROVAL_WEBHOOK_SECRET_ARN": SECRET}
REQUEST = {"state": "pending", "deployment": str(DEPLOYMENT)}

# Two hours, so half of it is 60 minutes and nine tenths are 108.
EXPIRES_AT = START + timedelta(hours=2)
LAST = "last-call 2026-03-05T14:00:00Z"


def at(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


def key(text: str) -> str:
    """Tell what a message is about, as a person does."""
    until = re.findall(r"until (\S+Z)\.", text)[0]
    return f"last-call {until}" if "Nine tenths" in text else "half-time" if "Half of" in text else "request"


class Store(ParameterStore):
    """A parameter in memory, that is told the time."""

    def __init__(self) -> None:
        super().__init__(NAME)
        self.now = START
        self.by = HOOK
        self.versions: list[Version] = []
        self.before_append: Callable[[], object] = lambda: None
        self.seen: Callable[[list[Version]], list[Version]] = lambda versions: versions

    def write(self, text: str, by: str = ALICE) -> int:
        self.versions.append(Version(len(self.versions) + 1, self.now, by, text))
        return len(self.versions)

    def append(self, value: str) -> int:
        self.before_append()
        return self.write(value, self.by)

    def history(self) -> Sequence[Version]:
        """Show them, but as :class:`ParameterStore` does not one without those before it."""
        versions = self.seen(list(self.versions))
        if any(later.number != earlier.number + 1 for earlier, later in itertools.pairwise(versions)):
            raise Transient("not all versions yet")
        return versions

    @property
    def marks(self) -> list[Any]:
        """What was added to the request, version by version; the text itself where somebody else wrote."""
        found: list[Any] = []
        for version in self.versions[1:]:
            if version.by == ALICE:
                found.append(version.text)
                continue
            added = {name: value for name, value in json.loads(version.text).items() if name not in REQUEST}
            if "announcing" in added:
                assert re.fullmatch("[0-9a-f]{16}", added["announcing"].pop("nonce"))
            found.append(added)
        return found


def announcing(what: str = "request") -> dict[str, Any]:
    return {"announcing": {"what": what}}


def announced(what: str = "request", *on: str) -> dict[str, Any]:
    return {"announced": {"what": what, "on": list(on or ("sns", "webhook"))}}


@dataclass
class Channels:
    """A topic and a webhook: what they were sent, and how they fail."""

    sent: list[tuple[str, str]] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    fail: dict[str, Exception] = field(default_factory=dict)

    def notify(self, _subject: str, text: str, environment: Any) -> bool:
        assert environment["NOTIFICATION_TOPIC_ARN"] == ENVIRONMENT["NOTIFICATION_TOPIC_ARN"]
        self._send("sns", text)
        return True

    def post(self, message: Message, announcement: str, secret: str, _now: datetime) -> None:
        assert secret == SECRET
        self._send("webhook", message.text)
        self.links.append(message.link)
        self.ids.append(announcement)

    def _send(self, channel: str, text: str) -> None:
        if channel in self.fail:
            raise self.fail[channel]
        self.sent.append((key(text), channel))


@pytest.fixture
def channels(monkeypatch: pytest.MonkeyPatch) -> Channels:
    made = Channels()
    monkeypatch.setattr(telling, "notify", made.notify)
    monkeypatch.setattr(webhook, "send", made.post)
    return made


@pytest.fixture
def store() -> Store:
    """A request that was written at the start."""
    made = Store()
    made.write(json.dumps(REQUEST), HOOK)
    return made


@pytest.fixture
def said() -> Iterator[list[tuple[str, str]]]:
    """What was logged, from warnings on."""
    lines: list[tuple[str, str]] = []

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append((record.levelname, record.getMessage().removeprefix(f"{NAME}: ")))

    handler = Lines(logging.WARNING)
    log = logging.getLogger("ecs-lifecycle-hooks")
    log.addHandler(handler)
    yield lines
    log.removeHandler(handler)


def look(store: Store, minutes: float = 0, **changes: Any) -> Told:
    store.now = at(minutes)
    arguments: dict[str, Any] = {
        "hook": HOOK,
        "subject": SUBJECT,
        "expires_at": EXPIRES_AT,
        "required": 1,
        "environment": ENVIRONMENT,
        "now": store.now,
    }
    return tell_what_is_due(store, list(store.versions), store.versions[0], **{**arguments, **changes})


BOTH = [("request", "sns"), ("request", "webhook")]


# ---------------------------------------------------------------------------------- the request


def test_whoever_wrote_the_request_announces_it_without_another_claim(
    store: Store, channels: Channels
) -> None:
    told = look(store, wrote_it=True)

    assert told == Told(at(60), 2, ("announced the request",))
    assert channels.sent == BOTH
    assert store.marks == [announced()]


def test_others_leave_that_to_the_writer_for_a_while(store: Store, channels: Channels) -> None:
    assert look(store, 0.5) == Told(at(2), 1)
    assert channels.sent == []
    assert store.marks == []


def test_a_request_whose_writer_never_knew_of_it_is_announced_by_a_later_look(
    store: Store, channels: Channels
) -> None:
    told = look(store, 2)

    assert told == Told(at(60), 3, ("announced the request",))
    assert channels.sent == BOTH
    assert store.marks == [announcing(), announced()]


def test_a_writer_that_comes_too_late_leaves_it_to_whoever_took_over(
    store: Store, channels: Channels
) -> None:
    look(store, 2)

    assert look(store, 2, wrote_it=True) == Told(at(60), 3)
    assert channels.sent == BOTH


def test_an_announcement_has_the_link_and_an_id_that_no_other_has(store: Store, channels: Channels) -> None:
    environment = {**ENVIRONMENT, "APPROVAL_CONSOLE_URL": "https://approvals.example.com"}
    look(store, wrote_it=True, environment=environment)
    look(store, 60)

    request = f"https://approvals.example.com/requests/shop/checkout/{DEPLOYMENT.id}"
    assert channels.links == [request, ""]
    assert channels.ids == [
        webhook.identifier(NAME, store.versions[0], what) for what in ("request", "half-time")
    ]


def test_without_channels_nothing_is_written(store: Store, channels: Channels) -> None:
    assert look(store, wrote_it=True, environment={}) == Told(EXPIRES_AT, 1)
    assert look(store, 60, environment={"NOTIFICATION_TOPIC_ARN": ""}) == Told(EXPIRES_AT, 1)
    assert (channels.sent, store.marks) == ([], [])


def test_with_a_topic_alone_that_is_everywhere(store: Store, channels: Channels) -> None:
    environment = {"NOTIFICATION_TOPIC_ARN": ENVIRONMENT["NOTIFICATION_TOPIC_ARN"]}
    told = look(store, wrote_it=True, environment=environment)

    assert told == Told(at(60), 2, ("announced the request",))
    assert store.marks == [announced("request", "sns")]


# ---------------------------------------------------------------------------------- reminders


def test_each_is_told_once_and_an_extension_moves_the_last_call(store: Store, channels: Channels) -> None:
    told = [look(store, wrote_it=True)]
    told += [look(store, minutes) for minutes in (30, 60, 61, 108, 110)]
    told += [look(store, minutes, expires_at=EXPIRES_AT + timedelta(hours=1)) for minutes in (111, 162, 170)]

    assert told == [
        Told(at(60), 2, ("announced the request",)),
        Told(at(60), 2),
        Told(at(108), 4, ("reminded of the request at half time",)),
        Told(at(108), 4),
        Told(at(120), 6, ("gave the last call for the request",)),
        Told(at(120), 6),
        Told(at(162), 6),
        Told(at(180), 8, ("gave the last call for the request",)),
        Told(at(180), 8),
    ]
    moved = "last-call 2026-03-05T15:00:00Z"
    assert [what for what, channel in channels.sent if channel == "sns"] == [
        "request",
        "half-time",
        LAST,
        moved,
    ]


def test_a_look_tells_one_thing_and_comes_back_for_the_next(store: Store, channels: Channels) -> None:
    first, second = look(store, 60), look(store, 60)

    assert (first.quiet_until, second.quiet_until) == (at(60), at(108))
    assert [what for what, channel in channels.sent if channel == "sns"] == ["request", "half-time"]


def test_of_two_looks_the_first_to_claim_reminds(store: Store, channels: Channels) -> None:
    look(store, wrote_it=True)
    store.before_append = once(lambda: store.write(claim_of_another("half-time"), HOOK))

    told = look(store, 60)

    assert told == Told(at(62), None)
    assert channels.sent == BOTH
    assert store.marks == [announced(), announcing("half-time"), announcing("half-time")]


def once(happens: Callable[[], object]) -> Callable[[], None]:
    """Let something happen the first time only."""
    left = [happens]

    def happening() -> None:
        if left:
            left.pop()()

    return happening


def claim_of_another(what: str) -> str:
    return json.dumps({**REQUEST, "announcing": {"what": what, "nonce": "0" * 16}})


def test_a_history_that_does_not_show_the_claim_yet_says_nothing(store: Store, channels: Channels) -> None:
    look(store, wrote_it=True)
    store.seen = lambda versions: versions[:-1]

    assert look(store, 60) == Told(at(60), None)
    assert channels.sent == BOTH


def test_a_parameter_that_is_deleted_meanwhile_is_looked_at_anew(store: Store, channels: Channels) -> None:
    asked, history = store.versions[0], list(store.versions)
    store.versions.clear()

    told = tell_what_is_due(
        store,
        history,
        asked,
        hook=HOOK,
        subject=SUBJECT,
        expires_at=EXPIRES_AT,
        required=1,
        environment=ENVIRONMENT,
        now=at(2),
    )

    assert told == Told(at(2), None)
    assert channels.sent == []


def test_an_answer_that_comes_while_people_are_told_is_looked_for(store: Store, channels: Channels) -> None:
    store.before_append = once(lambda: store.write("APPROVED"))

    assert look(store, wrote_it=True) == Told(at(60), None, ("announced the request",))
    assert store.marks == ["APPROVED", announced()]


def test_whoever_reads_the_parameter_still_sees_what_is_asked(store: Store, channels: Channels) -> None:
    look(store, 2)

    assert [{name: json.loads(one.text).get(name) for name in REQUEST} for one in store.versions] == [
        REQUEST
    ] * 3


# ---------------------------------------------------------------------------------- what fails


def test_a_webhook_that_is_busy_is_tried_again_without_a_second_mail(
    store: Store, channels: Channels, said: list[tuple[str, str]]
) -> None:
    channels.fail["webhook"] = Transient("the webhook answers 429")
    told = [look(store, wrote_it=True), look(store, 1)]
    del channels.fail["webhook"]
    told.append(look(store, 2))

    assert told == [
        Told(at(2), 2, ("announced the request on sns",)),
        Told(at(2), 2),
        Told(at(60), 4, ("announced the request on webhook",)),
    ]
    assert channels.sent == BOTH
    assert store.marks == [announced("request", "sns"), announcing(), announced("request", "webhook")]
    warning = "request not told on webhook, to be tried again: the webhook answers 429"
    assert said == [("WARNING", warning)]


def test_a_channel_that_has_to_be_mended_is_told_of_in_the_log_and_not_tried_again(
    store: Store, channels: Channels, said: list[tuple[str, str]]
) -> None:
    channels.fail["sns"] = Misconfigured("the function's role may not sns:Publish on it")
    told = [look(store, wrote_it=True), look(store, 5)]

    assert told == [Told(at(60), 2, ("announced the request on webhook",)), Told(at(60), 2)]
    assert store.marks == [announced("request", "webhook", "sns failed")]
    error = "request can't be told on sns: the function's role may not sns:Publish on it"
    assert said == [("ERROR", error)]


def test_where_every_channel_has_to_be_mended_that_is_marked_as_well(
    store: Store, channels: Channels
) -> None:
    channels.fail = {"sns": Misconfigured("mend it"), "webhook": Misconfigured("mend that")}

    assert look(store, wrote_it=True) == Told(at(60), 2)
    assert store.marks == [announced("request", "sns failed", "webhook failed")]


def test_what_no_channel_took_is_not_marked_and_tried_again(store: Store, channels: Channels) -> None:
    channels.fail = {"sns": Transient("throttled"), "webhook": Transient("timed out")}

    assert look(store, wrote_it=True) == Told(at(2), 1)
    assert store.marks == []


def test_a_mark_that_can_t_be_written_does_not_undo_what_was_told(
    store: Store, channels: Channels, said: list[tuple[str, str]]
) -> None:
    store.before_append = once(raising(Transient("ssm:PutParameter: ThrottlingException")))

    assert look(store, wrote_it=True) == Told(at(2), None, ("announced the request",))
    assert channels.sent == BOTH
    warning = "request was told and could not be marked so: ssm:PutParameter: ThrottlingException"
    assert said == [("WARNING", warning)]


def raising(error: Exception) -> Callable[[], None]:
    def happening() -> None:
        raise error

    return happening


def test_a_claim_that_can_t_be_written_is_the_caller_s_trouble(store: Store, channels: Channels) -> None:
    store.before_append = raising(Transient("throttled"))

    with pytest.raises(Transient):
        look(store, 2)
    assert channels.sent == []


def test_what_could_not_be_told_five_times_is_given_up_once(
    store: Store, channels: Channels, said: list[tuple[str, str]]
) -> None:
    channels.fail["webhook"] = Transient("timed out")
    told = [look(store, wrote_it=True)]
    told += [look(store, minutes) for minutes in (2, 6, 14, 30, 60, 62, 63)]

    request = [mark for mark in store.marks if "half-time" not in str(mark)]
    assert request == [
        announced("request", "sns"),
        *[announcing()] * (MAX_CLAIMS - 1),
        announced("request", "webhook failed"),
    ]
    assert [one.quiet_until for one in told] == [at(m) for m in (2, 6, 14, 30, 60, 62, 62, 67)]
    error = "request could not be told on webhook in 5 attempts"
    assert [line for line in said if line[0] == "ERROR"] == [("ERROR", error)]


def test_the_last_versions_of_a_parameter_are_for_answers(
    store: Store, channels: Channels, said: list[tuple[str, str]]
) -> None:
    while len(store.versions) < 80:
        store.write("hello")

    assert look(store, 60) == Told(EXPIRES_AT, 80)
    assert len(store.versions) == 80
    error = (
        "has 80 versions, and a parameter keeps 100; the rest is for answers, and nobody is told of request"
    )
    assert said == [("ERROR", error)]


def test_whose_marks_do_not_count_tells_nobody(store: Store, channels: Channels) -> None:
    store.by = SWEEPER

    with pytest.raises(Misconfigured, match=f"{SWEEPER} wrote a mark, and only those of {HOOK} count"):
        look(store, 2)
    assert channels.sent == []


def test_a_sweeper_that_is_named_takes_over(store: Store, channels: Channels) -> None:
    look(store, wrote_it=True, tellers=(SWEEPER,))
    store.by = SWEEPER

    assert look(store, 60, tellers=(SWEEPER,)).changes == ("reminded of the request at half time",)
    assert look(store, 61, tellers=(SWEEPER,)) == Told(at(108), 4)


# ---------------------------------------------------------------------------------- in an account


class Inbox(BaseHTTPRequestHandler):
    """A receiver of webhooks."""

    received: list[tuple[str, Any]]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.received.append((self.headers["webhook-id"], body["text"]))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def inbox() -> Iterator[tuple[str, list[tuple[str, Any]]]]:
    received: list[tuple[str, Any]] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Inbox,), {"received": received}))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/hook", received
    server.shutdown()
    thread.join()
    server.server_close()


def test_in_an_account_mail_and_webhook_get_each_message_once(
    inbox: tuple[str, list[tuple[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, received = inbox
    monkeypatch.setattr(webhook, "_kept", {})
    with time_machine.travel(START, tick=False) as clock, Cloud(region=REGION, seed=1) as cloud:
        cloud.identity(user="admin", policies=[ALLOW_ALL])
        topic = cloud.client("sns", user="admin").create_topic(Name="releases")["TopicArn"]
        value = json.dumps({"url": url, "signingSecret": "whsec_" + "A" * 32})
        secret = cloud.client("secretsmanager", user="admin").create_secret(Name="hook", SecretString=value)
        environment = {"NOTIFICATION_TOPIC_ARN": topic, "APPROVAL_WEBHOOK_SECRET_ARN": secret["ARN"]}
        store = ParameterStore(NAME)
        changes: list[str] = []
        with cloud.acting_as("hook", "function", [ALLOW_ALL]) as hook:
            assert store.create(json.dumps(REQUEST))
            for minutes in (0, 1, 60, 61, 108, 119):
                clock.move_to(at(minutes), tick=False)
                history = store.history()
                told = tell_what_is_due(
                    store,
                    history,
                    history[0],
                    hook=hook,
                    subject=SUBJECT,
                    expires_at=EXPIRES_AT,
                    required=1,
                    environment=environment,
                    now=at(minutes),
                    wrote_it=minutes == 0,
                )
                changes += told.changes
                assert told.version == store.latest_version()
            asked = store.history()[0]
        mails = [mail for _, mail, *_ in sns_backends[ACCOUNT][REGION].topics[topic].sent_notifications]
        assert cloud.defects == []

    assert changes == [
        "announced the request",
        "reminded of the request at half time",
        "gave the last call for the request",
    ]
    occasions = ["request", "half-time", LAST]
    assert [key(mail) for mail in mails] == occasions
    assert [(one, key(text)) for one, text in received] == [
        (webhook.identifier(NAME, asked, what), what) for what in occasions
    ]


# ---------------------------------------------------------------------------------- side by side


class Crashed(BaseException):
    """What Lambda does to a function: no ``except`` of ours sees it."""


class Call:
    """A look in a thread of its own, that stops before everything it does outside, until it is let go on."""

    here = threading.local()

    def __init__(self, run: Callable[[], object], started: datetime) -> None:
        self.started = started
        self.unmarked: set[tuple[str, str]] = set()
        self.over = False
        self._crash = False
        self._go, self._stopped = threading.Semaphore(0), threading.Semaphore(0)
        self._defect: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(run,), daemon=True)
        self._thread.start()
        self._wait()

    def _run(self, run: Callable[[], object]) -> None:
        self.here.call = self
        try:
            run()
        except (Crashed, HookError):
            pass
        except BaseException as error:  # noqa: BLE001  # raised again where the test runs
            self._defect = error
        self.over = True
        self._stopped.release()

    def stop(self) -> None:
        """Wait, in the call's own thread."""
        self._stopped.release()
        self._go.acquire()
        if self._crash:
            raise Crashed

    def go_on(self, *, crash: bool = False) -> None:
        self._crash = crash
        self._go.release()
        self._wait()

    def _wait(self) -> None:
        self._stopped.acquire()
        if self._defect is not None:
            raise self._defect


class Telling(RuleBasedStateMachine):
    """A request, its store and channels, and calls that look at it in whatever order."""

    HALF, LAST = timedelta(hours=12), timedelta(hours=21, minutes=36)

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        self.stack.enter_context(mock.patch.object(telling, "logger"))
        self.stack.enter_context(mock.patch.object(telling, "notify", self.notify))
        self.stack.enter_context(mock.patch.object(webhook, "send", self.post))
        self.store = Store()
        self.store.append = self.append  # type: ignore[method-assign]
        self.store.seen = self.seen
        self.calls: list[Call] = []
        self.expires_at = START + timedelta(hours=24)
        self.hidden: set[int] = set()
        self.faults: list[str] = []
        self.sent: Counter[tuple[str, str]] = Counter()
        self.may_be_again: Counter[tuple[str, str]] = Counter()
        self.broken: set[tuple[str, str]] = set()

    # ------------------------------------------------------------------ what happens

    @initialize(announces=st.booleans())
    def somebody_asks(self, announces: bool) -> None:
        self.store.write(json.dumps(REQUEST), HOOK)
        if announces:
            self.start(wrote_it=True)

    @precondition(lambda self: len(self.calls) < 5)
    @rule(skew=st.integers(-2, 2))
    def a_call_begins(self, skew: int) -> None:
        self.start(skew=skew)

    @precondition(lambda self: self.calls)
    @rule(which=st.integers(0, 4), steps=st.integers(1, 6))
    def a_call_goes_on(self, which: int, steps: int) -> None:
        call = self.calls[which % len(self.calls)]
        for _ in range(steps):
            if not call.over:
                call.go_on()
        self.bury()

    @precondition(lambda self: not self.calls)
    @rule(order=st.lists(st.integers(0, 2), min_size=6, max_size=24))
    def three_calls_run_side_by_side(self, order: list[int]) -> None:
        for _ in range(3):
            self.start()
        started = list(self.calls)
        for which in order:
            if not started[which].over:
                started[which].go_on()
        self.bury()

    @precondition(lambda self: self.calls)
    @rule(which=st.integers(0, 4))
    def a_call_crashes(self, which: int) -> None:
        self.calls[which % len(self.calls)].go_on(crash=True)
        self.bury()

    # Until what lapses then can still be claimed again in time.
    @precondition(lambda self: self.store.now < START + self.LAST + timedelta(minutes=60))
    @rule(seconds=st.sampled_from([1, 20, 59, 90, 121, 240]))
    def time_passes(self, seconds: int) -> None:
        self.pass_until(self.store.now + timedelta(seconds=seconds))

    @rule(to=st.sampled_from([HALF, LAST]))
    def an_occasion_comes(self, to: timedelta) -> None:
        self.pass_until(max(self.store.now, START + to))

    @rule(how=st.sampled_from(["new ones", "one", "none"]), which=st.integers(0, 3))
    def reads_lag(self, how: str, which: int) -> None:
        numbers = [version.number for version in self.store.versions[1:]]
        self.hidden = {
            "new ones": set(numbers[len(numbers) - which :]),
            "one": {numbers[-1 - which]} if which < len(numbers) else set(),
            "none": set[int](),
        }[how]

    @rule(fault=st.sampled_from(["twice", "not written", "written", "busy", "busy but sent", "broken"]))
    def something_is_about_to_fail(self, fault: str) -> None:
        self.faults.append(fault)

    @precondition(lambda self: self.expires_at < START + timedelta(hours=48))
    @rule()
    def somebody_extends_it(self) -> None:
        self.store.write(json.dumps({"state": "extended", "expiresAt": "2026-03-07T12:00:00Z"}))
        self.expires_at += timedelta(hours=24)

    @precondition(lambda self: len(self.store.versions) < 40)
    @rule()
    def somebody_writes_something(self) -> None:
        self.store.write("hello")

    # ------------------------------------------------------------------ what must be true

    @invariant()
    def nothing_is_sent_again_but_what_went_out_unmarked(self) -> None:
        pending = Counter(sent for call in self.calls for sent in call.unmarked)
        for what, times in self.sent.items():
            assert times <= 1 + self.may_be_again[what], (what, self.store.marks)
            # A call that is under way may have sent what is not marked yet, and no other has meanwhile.
            assert pending[what] <= 1

    def teardown(self) -> None:
        try:
            while self.calls:
                self.a_call_crashes(0)
            if self.store.versions:
                self.calmly_to_the_end()
                self.nothing_is_sent_again_but_what_went_out_unmarked()
                self.all_was_told()
        finally:
            self.stack.close()

    def calmly_to_the_end(self) -> None:
        """Look whenever there may be something, and let nothing fail."""
        self.hidden, self.faults = set(), []
        self.calm_since = quiet_until = self.store.now
        while quiet_until < self.expires_at:
            self.pass_until(quiet_until)
            told: list[Told] = []
            self.start(into=told)
            while self.calls:
                self.a_call_goes_on(0, 1)
            assert told[0].quiet_until <= self.expires_at
            # Each look does something, or is quiet from then on.
            assert told[0].quiet_until > quiet_until or told[0].changes or told[0].version
            quiet_until = told[0].quiet_until

    def all_was_told(self) -> None:
        """Whatever came to pass, unless five calls that had it to themselves have died of it."""
        holders: dict[str, list[datetime]] = {"request": [START]}
        for version in self.store.versions:
            if '"announcing"' in version.text:
                held = holders.setdefault(json.loads(version.text)["announcing"]["what"], [])
                lapse = timedelta(minutes=2 ** len(held)) if held else timedelta(0)
                if not held or version.at >= held[-1] + lapse:
                    held.append(version.at)
        called = f"last-call {self.expires_at:%Y-%m-%dT%H:%M:%SZ}"
        expected = ["request", called]
        last = START + (self.expires_at - START) * 0.9
        if self.calm_since < last - timedelta(minutes=65) and not {*holders} - {
            "request",
            "half-time",
            called,
        }:
            expected.append("half-time")
        for what in expected:
            for channel in ("sns", "webhook"):
                told = self.sent[what, channel] >= 1 or (what, channel) in self.broken
                assert told or len(holders[what]) >= MAX_CLAIMS, (what, channel, self.store.marks)

    # ------------------------------------------------------------------ what calls do

    def start(self, *, wrote_it: bool = False, skew: int = 0, into: list[Told] | None = None) -> None:
        expires_at, now = self.expires_at, self.store.now + timedelta(seconds=skew)

        def run() -> None:
            told = tell_what_is_due(
                self.store,
                self.store.history(),
                self.store.versions[0],
                hook=HOOK,
                subject=SUBJECT,
                expires_at=expires_at,
                required=1,
                environment=ENVIRONMENT,
                now=now,
                wrote_it=wrote_it,
            )
            if into is not None:
                into.append(told)

        self.calls.append(Call(run, self.store.now))
        self.bury()

    def pass_until(self, moment: datetime) -> None:
        """Let time pass. A function is ended after a minute, whatever it is doing."""
        for call in self.calls:
            if moment - call.started >= timedelta(minutes=1):
                call.go_on(crash=True)
        self.bury()
        self.store.now = moment

    def bury(self) -> None:
        for call in [call for call in self.calls if call.over]:
            self.calls.remove(call)
            self.may_be_again.update(call.unmarked)

    def fails(self, *faults: str) -> str:
        for fault in self.faults:
            if fault in faults:
                self.faults.remove(fault)
                return fault
        return ""

    def append(self, value: str) -> int:
        call: Call = Call.here.call
        call.stop()
        fault = self.fails("twice", "not written", "written")
        if fault == "not written":
            raise Transient("throttled")
        number = self.store.write(value, HOOK)
        if told := json.loads(value).get("announced"):
            call.unmarked -= {(told["what"], channel) for channel in told["on"]}
        if fault == "written":
            raise Transient("the answer was lost")
        # botocore tries again when the answer is lost.
        return self.store.write(value, HOOK) if fault == "twice" else number

    def seen(self, versions: list[Version]) -> list[Version]:
        Call.here.call.stop()
        return [version for version in versions if version.number not in self.hidden]

    def notify(self, _subject: str, text: str, _environment: object) -> None:
        self.deliver(key(text), "sns")

    def post(self, message: Message, *_: object) -> None:
        self.deliver(key(message.text), "webhook")

    def deliver(self, what: str, channel: str) -> None:
        call: Call = Call.here.call
        call.stop()
        fault = self.fails("busy", "busy but sent", "broken")
        if fault == "broken":
            self.broken.add((what, channel))
            raise Misconfigured("mend it")
        if fault != "busy":
            self.sent[what, channel] += 1
            call.unmarked.add((what, channel))
        if fault:
            raise Transient("it timed out")


def test_of_two_calls_that_run_to_their_end_one_tells_in_whatever_order_they_take_turns() -> None:
    # Each stops six times: to read, claim, read again, send on two channels and mark. One of them begins.
    for turns in itertools.combinations(range(1, 12), 6):
        state = Telling()
        state.store.write(json.dumps(REQUEST), HOOK)
        state.store.write(json.dumps({**REQUEST, **announced()}), HOOK)
        state.store.now = START + state.HALF
        try:
            for _ in range(2):
                state.start()
            one, other = state.calls
            for turn in range(12):
                call = one if turn in turns else other
                if not call.over:
                    call.go_on()
            assert state.sent == {("half-time", "sns"): 1, ("half-time", "webhook"): 1}, turns
        finally:
            state.stack.close()


Telling.TestCase.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
TestTelling = Telling.TestCase

"""Telling people of a request, each thing once: that it was made, half of its time, the last tenth of it.

Nobody but the history knows what was told, for Lambda may run a hook twice, side by side, or not to its end::

    the request, by whoever wrote it ─────────────────────────────────────▶ send ──▶ mark {"announced": ...}
    all else: mark {"announcing": ...} ──▶ read again: does the claim hold? send ──▶ mark {"announced": ...}

Each channel is told once. Where a call ends between sending and marking, another tells it again: a person who
hears of a request twice is better than one who never does. ``reminders`` has the rules.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from hooks.manual_approval.announcement import Message, Subject, compose
from hooks.manual_approval.parameter_store import ParameterStore
from hooks.manual_approval.reminders import FAILED, MAX_CLAIMS, MAX_VERSIONS_BEFORE_A_CLAIM, Due, Reminders
from hooks.manual_approval.request import Occasion, Telling, Version, write_mark
from shared import clock
from shared.errors import HookError, Misconfigured, Transient
from shared.hook import logger
from shared.notification import TOPIC_VARIABLE, notify

CONSOLE_URL_VARIABLE = "APPROVAL_CONSOLE_URL"
WEBHOOK_VARIABLE = "APPROVAL_WEBHOOK_SECRET_ARN"

TOPIC, WEBHOOK = "sns", "webhook"
"""Channels, as marks name them."""

_SAID = {
    Occasion.REQUEST: "announced the request",
    Occasion.HALF_TIME: "reminded of the request at half time",
    Occasion.LAST_CALL: "gave the last call for the request",
}


@dataclass(frozen=True, slots=True)
class Told:
    """What was told by one look at a request."""

    quiet_until: datetime
    """When there may be more to tell."""
    version: int | None = None
    """The latest version, where all up to it have been read; ``None`` where there may be another."""
    changes: tuple[str, ...] = ()
    """Sentences for the decision record: ``announced the request``."""


def tell_what_is_due(
    store: ParameterStore,
    history: Sequence[Version],
    asked: Version,
    *,
    hook: str,
    subject: Subject,
    expires_at: datetime,
    required: int,
    environment: Mapping[str, str],
    now: datetime,
    wrote_it: bool = False,
    tellers: Sequence[str] = (),
) -> Told:
    """Tell the one thing that is due, if any.

    Parameters
    ----------
    history
        What the caller has decided on.
    hook
        Whoever asked, by a session or its role.
    wrote_it
        Whether this very call has written *asked*: it announces it, and others leave that to it for a while.
    tellers
        Whoever else tells people, and whose marks count therefore, such as the sweeper. The caller is
        *hook*, or one of them.

    Raises
    ------
    HookError
        When Parameter Store fails. A channel that fails is logged.
    """
    reminders = Reminders(
        asked=asked, expires_at=expires_at, tellers=(hook, *tellers), channels=_channels(environment)
    )
    look = reminders.look(history, now)
    mine = reminders.of_the_writer(history) if wrote_it else None
    due = mine or look.due
    log = _Log(store, asked, expires_at, list(history), max(version.number for version in history))
    if due is None:
        return Told(look.quiet_until, log.read_to)
    if due.exhausted:
        return _give_up(log, reminders, due, now)
    if not mine:
        if log.latest >= MAX_VERSIONS_BEFORE_A_CLAIM:
            logger.error(
                f"{store.name}: has {log.latest} versions, and a parameter keeps 100; "
                f"the rest is for answers, and nobody is told of {due.what}"
            )
            return Told(expires_at, log.read_to)
        claimed = _claimed(log, reminders, due)
        if claimed is None:
            return Told(now)
        due = claimed
    message = compose(
        due.occasion,
        subject,
        store.name,
        asked.number,
        required=required,
        expires_at=expires_at,
        console_url=environment.get(CONSOLE_URL_VARIABLE, ""),
    )
    sent = _send(message, due, log, environment=environment, now=now)
    changes = (_sentence(due, sent, reminders.channels),) if sent.reached else ()
    if sent.reached or sent.failed:
        _mark(log, due, sent)
    return Told(reminders.look(log.history, now).quiet_until, log.read_to, changes)


def _channels(environment: Mapping[str, str]) -> tuple[str, ...]:
    variables = ((TOPIC, TOPIC_VARIABLE), (WEBHOOK, WEBHOOK_VARIABLE))
    return tuple(channel for channel, variable in variables if environment.get(variable))


@dataclass(slots=True)
class _Log:
    """The history as this call knows it."""

    store: ParameterStore
    asked: Version
    expires_at: datetime
    history: list[Version]
    read_to: int | None
    """Up to where the caller's history and what was written since hold every version."""

    @property
    def latest(self) -> int:
        return max(version.number for version in self.history)

    def append(self, telling: Telling) -> int:
        number = self.store.append(write_mark(self.asked.text, telling, self.expires_at))
        self.read_to = number if self.read_to is not None and number == self.read_to + 1 else None
        return number

    def add(self, telling: Telling) -> None:
        """Write a mark, and know of it without reading again."""
        text = write_mark(self.asked.text, telling, self.expires_at)
        self.history.append(Version(self.append(telling), self.asked.at, self.asked.by, text))


def _claimed(log: _Log, reminders: Reminders, due: Due) -> Due | None:
    """Claim an occasion; return what is left of it for this call, ``None`` where that can't be known yet."""
    nonce = clock.nonce()
    number = log.append(Telling(due.what, done=False, nonce=nonce))
    again = log.store.history()
    numbers = [version.number for version in again]
    # Parameter Store is consistent eventually. A history has no gaps; whoever doesn't see its own claim in it
    # doesn't see either whether another came first. A number below the request's says that it was deleted.
    if number not in numbers or number <= log.asked.number:
        return None
    claim = again[numbers.index(number)]
    if not reminders.counts(claim):
        raise Misconfigured(
            f"{log.store.name}: {claim.by} wrote a mark, and only those of {', '.join(reminders.tellers)} "
            "count; it must not be this function that tells people"
        )
    log.history = list(again)
    return Due(due.occasion, due.what, reminders.left_to(nonce, due.what, again))


@dataclass(slots=True)
class _Sent:
    reached: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    """What nobody will reach until somebody mends it."""


def _send(message: Message, due: Due, log: _Log, *, environment: Mapping[str, str], now: datetime) -> _Sent:
    """Tell each channel. One that fails does not keep another from being told."""
    name = log.store.name
    senders: Mapping[str, Callable[[], object]] = {
        TOPIC: lambda: notify(message.subject, message.text, environment),
        WEBHOOK: lambda: _post(message, due, log, environment[WEBHOOK_VARIABLE], now),
    }
    sent = _Sent()
    for channel in due.channels:
        try:
            senders[channel]()
        except Transient as error:
            logger.warning(f"{name}: {due.what} not told on {channel}, to be tried again: {error}")
        except HookError as error:
            logger.error(f"{name}: {due.what} can't be told on {channel}: {error}")
            sent.failed.append(channel)
        else:
            sent.reached.append(channel)
    return sent


def _post(message: Message, due: Due, log: _Log, secret: str, now: datetime) -> None:
    from hooks.manual_approval import webhook  # noqa: PLC0415  # most stacks have none

    announcement = webhook.identifier(log.store.name, log.asked, due.what)
    webhook.send(message, announcement, secret, now)


def _mark(log: _Log, due: Due, sent: _Sent) -> None:
    """Write down who was told. Where that fails, people will be told again."""
    channels = (*sent.reached, *(f"{channel}{FAILED}" for channel in sent.failed))
    try:
        log.add(Telling(due.what, done=True, channels=channels))
    except HookError as error:
        log.read_to = None
        logger.warning(f"{log.store.name}: {due.what} was told and could not be marked so: {error}")


def _give_up(log: _Log, reminders: Reminders, due: Due, now: datetime) -> Told:
    """Say once, in the log and in the history, that a channel could not be told."""
    channels = ", ".join(due.channels)
    logger.error(f"{log.store.name}: {due.what} could not be told on {channels} in {MAX_CLAIMS} attempts")
    log.add(Telling(due.what, done=True, channels=tuple(f"{channel}{FAILED}" for channel in due.channels)))
    return Told(reminders.look(log.history, now).quiet_until, log.read_to)


def _sentence(due: Due, sent: _Sent, channels: Sequence[str]) -> str:
    everywhere = tuple(sent.reached) == tuple(channels)
    return _SAID[due.occasion] if everywhere else f"{_SAID[due.occasion]} on {', '.join(sent.reached)}"

"""How the pages say things: times, who somebody is, what a stage asks, who may decide.

Pure, and plain text: what comes in may have been written by anybody, and is escaped where it is drawn.
All times are UTC, so that two people who talk about a request read the same.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from urllib.parse import urlsplit

from hooks.manual_approval.approvers import GROUP_SCHEME, PERSON_SCHEME
from hooks.manual_approval.rules import Rules
from shared.lifecycle import Stage

# A clock reading without a date means one within half a day, before or after.
_NEAR = timedelta(hours=12)

# strftime's names follow the process's locale.
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

# ------------------------------------------------------------------------------------------------- time


def span(length: timedelta) -> str:
    """Return a length of time in its two largest units: ``3 h 12 min``, ``2 days 4 h``."""
    minutes = max(int(length.total_seconds()) // 60, 0)
    if minutes < 1:
        return "less than a minute"
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return _two(f"{days} day{'s' if days > 1 else ''}", f"{hours} h" if hours else "")
    if hours:
        return _two(f"{hours} h", f"{minutes} min" if minutes else "")
    return f"{minutes} min"


def _two(one: str, other: str) -> str:
    return f"{one} {other}".rstrip()


def time_left(until: datetime, now: datetime) -> str:
    """Return ``3 h 12 min left``, or since when there is none."""
    if until > now:
        return f"{span(until - now)} left"
    return f"expired {span(now - until)} ago"


def clock(moment: datetime, now: datetime) -> str:
    """Return ``14:05 UTC``, with the date unless it is within half a day: ``4 Mar, 14:05 UTC``."""
    moment = moment.astimezone(UTC)
    reading = f"{moment:%H:%M} UTC"
    return reading if abs(moment - now) < _NEAR else f"{short_day(moment.date(), now)}, {reading}"


def short_day(day: date, now: datetime) -> str:
    """Return ``4 Mar``, with the year unless it is this one."""
    year = "" if day.year == now.year else f" {day.year}"
    return f"{day.day} {_MONTHS[day.month - 1]}{year}"


def long_day(day: date) -> str:
    """Return ``Monday, 2 Mar 2026``."""
    return f"{_WEEKDAYS[day.weekday()]}, {day.day} {_MONTHS[day.month - 1]} {day.year}"


# -------------------------------------------------------------------------------------------------- who


@dataclass(frozen=True, slots=True)
class Who:
    """Somebody, as people speak of them."""

    name: str
    detail: str
    """Where the name is from: ``role release-manager``, ``login.example.com``; may be empty."""
    full: str
    """The identity itself."""

    def __str__(self) -> str:
        return f"{self.name} ({self.detail})" if self.detail else self.name


_ARN = re.compile(
    r"arn:(?P<partition>[^:]*):(?P<service>iam|sts)::(?P<account>[^:]*):(?P<resource>.+)", re.DOTALL
)
# Identity Center names its roles so; the end is random.
# https://docs.aws.amazon.com/singlesignon/latest/userguide/referencingpermissionsets.html
_PERMISSION_SET = re.compile(r"AWSReservedSSO_(?P<name>.+?)(?:_[0-9a-f]{16})?")
_OIDC = re.compile(rf"(?P<scheme>{PERSON_SCHEME}|{GROUP_SCHEME})(?P<issuer>[^#]*)#(?P<name>.+)", re.DOTALL)


def who(identity: str, name: str = "") -> Who:
    """Say who an ARN, or a person of the console, is.

    Parameters
    ----------
    name
        What the console wrote down beside the identity. It proves nothing: the identity is always told.
    """
    if person := _OIDC.fullmatch(identity):
        subject, host = person["name"], _host(person["issuer"])
        if person["scheme"] == GROUP_SCHEME:
            return Who(f"group {subject}", host, identity)
        return (
            Who(name, f"{subject} at {host}", identity)
            if name and name != subject
            else Who(subject, host, identity)
        )
    if arn := _ARN.fullmatch(identity):
        return _principal(identity, arn["account"], *arn["resource"].split("/"))
    return Who(identity or "unknown", "", identity)


def _principal(identity: str, account: str, kind: str, *names: str) -> Who:
    match kind, names:
        case "assumed-role", (role, session) if session:
            return Who(session, _role(role), identity)
        case "assumed-role" | "role", (*_, role) if role:
            return Who(_role(role), "", identity)
        case "user", (*_, name) if name:
            return Who(name, "IAM user", identity)
        case "federated-user", (name,) if name:
            return Who(name, "federated user", identity)
        case "root", ():
            return Who("root", f"of account {account}", identity)
        case _:
            return Who(identity, "", identity)


def _role(name: str) -> str:
    if permission_set := _PERMISSION_SET.fullmatch(name):
        return f"permission set {permission_set['name']}"
    return f"role {name}"


def _host(issuer: str) -> str:
    try:
        split = urlsplit(issuer)
    except ValueError:
        return issuer
    # Two issuers of one host are not the same.
    return (split.netloc + split.path).rstrip("/") or issuer


_WILD = re.compile(r"[*?]")
_ANY_ROLE_SESSION = re.compile(r"arn:[^:]*:sts::[^:]*:assumed-role/(?P<role>[^/]+)(?:/\*)?")


def pattern(text: str) -> str:
    """Say whom a pattern of the rules means, where that is plain; else return it as it is."""
    if text == "*":
        return "anybody"
    if (sessions := _ANY_ROLE_SESSION.fullmatch(text)) and not _WILD.search(
        sessions["role"].removesuffix("_*").removesuffix("*")
    ):
        role = sessions["role"]
        if set_name := re.fullmatch(r"AWSReservedSSO_(?P<name>[^*?]+)_\*", role):
            return f"permission set {set_name['name']}"
        if role == "AWSReservedSSO_*":
            return "any permission set of IAM Identity Center"
        return f"role {role}" if not role.endswith("*") else f"roles that begin with {role[:-1]}"
    if _WILD.search(text):
        return text
    named = who(text)
    return named.name if named.name.startswith(("role ", "permission set ")) else str(named)


# ------------------------------------------------------------------------------------------------ rules


def patterns(listed: tuple[str, ...]) -> str:
    """Say whom a list of patterns means: ``role release, or group leads (login.example.com)``."""
    return ", or ".join(dict.fromkeys(pattern(one) for one in listed)) or "nobody"


def who_may_decide(rules: Rules) -> list[str]:
    """Return the rules in sentences."""
    told = []
    narrowing = [listed for listed in rules.electorate.allowed if "*" not in listed]
    if not narrowing:
        told.append("Anybody may decide who can write to the request, or whom this console lets decide.")
    elif len(narrowing) == 1:
        told.append(f"These may decide: {patterns(narrowing[0])}.")
    else:
        lists = "; and also ".join(patterns(listed) for listed in narrowing)
        told.append(f"Whoever decides has to be in each of these lists: {lists}.")
    if rules.electorate.excluded:
        told.append(f"These may not: {patterns(rules.electorate.excluded)}.")
    if rules.required == 1:
        told.append("One approval is enough.")
    else:
        told.append(f"{_NUMBERS[rules.required]} different people have to approve.")
    told.append("One rejection rejects it, whoever has approved before.")
    if rules.on_expiry == "proceed":
        told.append("If nobody decides in time, the deployment goes on.")
    return told


_NUMBERS = ("No", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine", "Ten")


def missing(approved: int, required: int, *, by_viewer: bool) -> str:
    """Say what is still missing: ``1 of 2 approvals; one more, by somebody else``."""
    lacking = required - approved
    if required == 1:
        return "It takes one approval."
    if approved == 0:
        return f"It takes {_NUMBERS[required].lower()} approvals, by different people."
    more = f"{_NUMBERS[lacking].lower()} more"
    others = "somebody else" if lacking == 1 else "others"
    yours = ", one of them yours" if by_viewer and approved > 1 else ", yours" if by_viewer else ""
    return f"{approved} of {required} approvals{yours}. It takes {more}, by {others}."


# ------------------------------------------------------------------------------------ stages and outcomes


_QUESTIONS: Mapping[str, str] = {
    Stage.RECONCILE_SERVICE: "Begin the deployment?",
    Stage.PRE_SCALE_UP: "Start green's tasks?",
    Stage.POST_SCALE_UP: "Go on, now that green's tasks run?",
    Stage.TEST_TRAFFIC_SHIFT: "Send test traffic to green?",
    Stage.POST_TEST_TRAFFIC_SHIFT: "Go on towards production traffic?",
    Stage.PRE_PRODUCTION_TRAFFIC_SHIFT: "Move production traffic to green?",
    Stage.PRODUCTION_TRAFFIC_SHIFT: "Move production traffic to green?",
    Stage.POST_PRODUCTION_TRAFFIC_SHIFT: "Finish, and let blue go?",
}
_NOW: Mapping[str, str] = {
    Stage.RECONCILE_SERVICE: "Nothing of green runs yet.",
    Stage.PRE_SCALE_UP: "Nothing of green runs yet.",
    Stage.POST_SCALE_UP: "Green runs and gets no traffic.",
    Stage.TEST_TRAFFIC_SHIFT: "Green runs; test traffic is about to reach it.",
    Stage.POST_TEST_TRAFFIC_SHIFT: "Green gets test traffic only; all production traffic is on blue.",
    Stage.PRE_PRODUCTION_TRAFFIC_SHIFT: "Production traffic is about to move to green.",
    Stage.PRODUCTION_TRAFFIC_SHIFT: "Production traffic is moving to green.",
    Stage.POST_PRODUCTION_TRAFFIC_SHIFT: "All production traffic is on green; blue still runs.",
}


def question(stage: str, step: str) -> str:
    """Say what a request asks.

    Parameters
    ----------
    step
        Percent of production traffic on green so far; empty where the stage does not recur.
    """
    if step in {"", "0"}:
        return _QUESTIONS.get(stage, "Go on with the deployment?")
    return f"Take green beyond {step} % of production traffic?"


def situation(stage: str, step: str) -> str:
    """Say where traffic is meanwhile; empty for a stage that is not known."""
    if step in {"", "0"}:
        return _NOW.get(stage, "")
    return f"{step} % of production traffic is on green."


def step_of(part: str) -> str:
    """Return ``10`` of ``step-from-10``, and nothing of other parts."""
    step = part.removeprefix("step-from-")
    return step if step != part and re.fullmatch(r"\d{1,3}(\.\d)?", step) else ""


_STATUSES = {
    "PENDING": "about to start",
    "IN_PROGRESS": "in progress",
    "SUCCESSFUL": "finished",
    "STOPPED": "stopped",
    "STOP_REQUESTED": "being stopped",
    "ROLLBACK_REQUESTED": "about to be rolled back",
    "ROLLBACK_IN_PROGRESS": "being rolled back",
    "ROLLBACK_SUCCESSFUL": "rolled back",
    "ROLLBACK_FAILED": "not rolled back, that failed",
}
UNDER_WAY = frozenset({"PENDING", "IN_PROGRESS"})
TURNING_BACK = frozenset({"STOP_REQUESTED", "ROLLBACK_REQUESTED", "ROLLBACK_IN_PROGRESS"})


def status(name: str) -> str:
    """Say how a deployment is, after ``the deployment is``."""
    return _STATUSES.get(name, name.replace("_", " ").lower() or "not known to ECS any more")


_OUTCOMES = {
    "approved": ("Approved", "good"),
    "rejected": ("Rejected", "bad"),
    "expired": ("Expired", "back"),
    "undecided": ("Not decided", "plain"),
    "pending": ("Waiting", "plain"),
    "extended": ("Extended", "plain"),
}


def outcome(name: str) -> tuple[str, str]:
    """Return an outcome in words, and its tone: ``good``, ``bad``, ``back`` or ``plain``."""
    return _OUTCOMES.get(name, (name[:1].upper() + name[1:], "plain"))


_STRATEGIES = {"BLUE_GREEN": "blue/green", "CANARY": "canary", "LINEAR": "linear", "ROLLING": "rolling"}


def strategy(name: str) -> str:
    """Return ``blue/green`` of ``BLUE_GREEN``."""
    return _STRATEGIES.get(name, name)


_OBJECTIONS = {
    "excluded by excludedApprovers": "the rules exclude them.",
    "not among allowedApprovers": "they are not among those who may decide.",
}


def objection(text: str) -> str:
    """Say why an answer does not count, after ``Does not count:``."""
    return _OBJECTIONS.get(text.removeprefix("does not count, "), text)


_VERDICTS = {"proceed": ("Passed", "good"), "refuse": ("Refused", "bad"), "wait": ("Still at work", "plain")}


def verdict(answer: str, would_refuse: str) -> tuple[str, str]:
    """Return another hook's answer in words, and its tone."""
    if would_refuse:
        return "Would refuse", "back"
    return _VERDICTS.get(answer, (answer, "plain"))


def hook(name: str) -> str:
    """Return ``Load test`` of ``load_test``."""
    words = name.replace("_", " ").replace("-", " ")
    return words[:1].upper() + words[1:]


def image(reference: str) -> tuple[str, str]:
    """Split ``registry.example.com/shop/checkout:42`` into registry, which may be empty, and the rest.

    As container runtimes do: the first component is a host if it has a point or a port, or is localhost.
    """
    host, slash, rest = reference.partition("/")
    is_host = bool(slash) and ("." in host or ":" in host or host == "localhost")
    return (host, rest) if is_host else ("", reference)


def short_digest(digest: str) -> str:
    """Return enough of ``sha256:...`` to tell two apart."""
    return f"{digest[:19]}…" if len(digest) > 20 else digest

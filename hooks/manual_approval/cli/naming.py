"""How a request is named on the command line.

::

    checkout                                          a service
    shop/checkout                                     cluster and service
    qR7sT2                                            a deployment's id, or the start of it
    shop/checkout/qR7sT2uV9wX4yZ1aB6cD3/step-from-10  all of it; with a step, or the id of a PAUSE hook
    /ecs-approvals/shop/checkout/qR7sT2uV9wX4yZ1aB6cD3[/...]                      the parameter
    arn:aws:ecs:...:service-deployment/shop/checkout/qR7sT2uV9wX4yZ1aB6cD3        the deployment
    https://approvals.example.com/requests/shop/checkout/qR7sT2uV9wX4yZ1aB6cD3    the console's page

Parts may be left out as long as one request is meant. Which one is never guessed: if several could be meant,
they are listed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from urllib.parse import unquote, urlsplit

from hooks.manual_approval.cli.account import Account
from hooks.manual_approval.console.views import Overview, Waiting
from hooks.manual_approval.proceeding import PAUSE_PREFIX
from shared.errors import HookError, Misconfigured, shown
from shared.lifecycle import ServiceDeploymentArn

# Of a deployment's id, as much as is shown, where that is enough to tell deployments apart.
SHORT_ID_CHARACTERS = 8


class Unnamed(HookError):
    """No request is meant, or more than one."""

    def __init__(self, message: str, candidates: Sequence[Waiting] = ()) -> None:
        super().__init__(message)
        self.candidates = candidates

    @property
    def is_ambiguous(self) -> bool:
        return bool(self.candidates)


@dataclass(frozen=True, slots=True)
class Named:
    """A request by its full name."""

    deployment: ServiceDeploymentArn
    part: str
    """``""``, ``step-from-10``, or the id of a PAUSE hook."""

    def __str__(self) -> str:
        deployment = self.deployment
        name = f"{deployment.cluster}/{deployment.service}/{deployment.id}"
        return f"{name}/{self.part}" if self.part else name


def named_in_full(text: str, account: Account) -> Named | None:
    """Read a parameter's name or the console's URL, which leave nothing open; ``None`` for other names."""
    if text.startswith("https://"):
        path = text.partition("?")[0].partition("#")[0].rstrip("/")
        if account.console_url and not path.startswith(f"{account.console_url}/"):
            raise Unnamed(
                f"{shown(text)} is at another console: that of {account.region} in account "
                f"{account.number} is {account.console_url}"
            )
        head, requests, rest = urlsplit(path).path.partition("/requests/")
        if head or not requests:
            raise Unnamed(f"{shown(text)} is no page of a request: expected .../requests/CLUSTER/SERVICE/ID")
        return _split([unquote(part) for part in rest.split("/")], text, account)
    if text.startswith("/"):
        if not text.startswith(f"{account.prefix}/"):
            raise Unnamed(f"{shown(text)} is not below {account.prefix}; see --prefix")
        return _split(text.removeprefix(f"{account.prefix}/").rstrip("/").split("/"), text, account)
    return None


def _split(parts: Sequence[str], text: str, account: Account) -> Named:
    if len(parts) not in {3, 4}:
        raise Unnamed(
            f"{shown(text)} names no request: expected CLUSTER/SERVICE/ID, and at most one part more"
        )
    arn = f"arn:{account.partition}:ecs:{account.region}:{account.number}:service-deployment/"
    try:
        deployment = ServiceDeploymentArn.parse(arn + "/".join(parts[:3]), shown(text))
    except Misconfigured as error:
        raise Unnamed(str(error)) from error
    return Named(deployment, parts[3] if len(parts) == 4 else "")


def find(text: str, overview: Overview, account: Account) -> Named:
    """Find the one request that is meant: a pending one if there is any, else one that is decided.

    Raises
    ------
    Unnamed
        When it is none, or several.
    """
    steps = _steps(text, account)
    # Whoever says all of a name means no step or PAUSE hook of that deployment.
    if whole := [request for request in (*overview.waiting, *overview.others) if _full(request) == steps]:
        return Named(whole[0].deployment, whole[0].part)
    pending = [request for request in overview.waiting if _means(steps, request)]
    found = pending or [request for request in overview.others if _means(steps, request)]
    if len(found) > 1:
        kind = "pending requests" if pending else "requests"
        raise Unnamed(f"{shown(text)} could be each of these {len(found)} {kind}; name one:", found)
    if not found:
        hint = "; what is over is in `approvals history`"
        if overview.left_out:
            hint = (
                "; there are more than can be listed, so name its parameter, "
                f"{account.prefix}/CLUSTER/SERVICE/DEPLOYMENT"
            )
        raise Unnamed(f"no request is called {shown(text)}{hint}")
    if overview.left_out and len(steps) < 3:
        raise Unnamed(
            f"{shown(text)} could be others as well, for there are more than can be listed; name its "
            f"parameter, {account.prefix}/CLUSTER/SERVICE/DEPLOYMENT:",
            found,
        )
    return Named(found[0].deployment, found[0].part)


def _full(request: Waiting) -> Sequence[str]:
    deployment = request.deployment
    return (deployment.cluster, deployment.service, deployment.id, *filter(None, (request.part,)))


def _steps(text: str, account: Account) -> Sequence[str]:
    if text.startswith("arn:"):
        try:
            deployment = ServiceDeploymentArn.parse(text, shown(text))
        except Misconfigured as error:
            raise Unnamed(str(error)) from error
        if (deployment.region, deployment.account) != (account.region, account.number):
            raise Unnamed(
                f"{shown(text)} is not in {account.region} of account {account.number}: see --region and "
                "--profile"
            )
        return (deployment.cluster, deployment.service, deployment.id)
    steps = tuple(text.rstrip("/").split("/"))
    if not all(steps) or len(steps) > 4:
        raise Unnamed(
            f"{shown(text)} names no request: expected SERVICE, CLUSTER/SERVICE or a deployment's id"
        )
    return steps


def _means(steps: Sequence[str], request: Waiting) -> bool:
    """Tell whether these are some of cluster, service, deployment and part; not the cluster alone."""
    deployment = request.deployment
    # Ids may be cut short: both are random. Of steps, one may be the start of another.
    fields = (
        lambda step: step == deployment.cluster,
        lambda step: step == deployment.service,
        deployment.id.startswith,
        lambda step: step == request.part or (request.is_pause and request.part.startswith(step)),
    )
    return any(
        all(fields[field](step) for field, step in zip(chosen, steps, strict=True))
        for chosen in combinations(range(4), len(steps))
        if chosen != (0,)
    )


def short_names(requests: Sequence[Waiting]) -> list[str]:
    """Return a short name of each that tells it from the others: the start of its id, and of its part."""
    ids = {request.deployment.id for request in requests}
    parts = {id_: {one.part for one in requests if one.deployment.id == id_} for id_ in ids}
    names = []
    for request in requests:
        id_, part = request.deployment.id, request.part
        name = _short(id_, ids, SHORT_ID_CHARACTERS)
        if len(parts[id_]) > 1 and not part:
            name = "/".join(_full(request))
        elif part and len(parts[id_]) > 1:
            shortest = len(PAUSE_PREFIX) + SHORT_ID_CHARACTERS if request.is_pause else len(part)
            name += f"/{_short(part, parts[id_], shortest)}"
        names.append(name)
    return names


def _short(text: str, texts: set[str], shortest: int) -> str:
    for length in range(shortest, len(text)):
        if not any(other != text and other.startswith(text[:length]) for other in texts):
            return text[:length]
    return text

"""Parameters under a path, ten a page: no more of them than a page of ours may cost.

::

    {prefix}/{cluster}/{service}/{deployment id}[/step-from-{percent} | /{id of a PAUSE hook}]

GetParametersByPath says what a parameter's latest version is, and not who wrote it. So what is found here is
only shown; whoever opens a request reads its history.

Source: https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_GetParametersByPath.html
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

from hooks.manual_approval.parameter_store import own_identity
from hooks.manual_approval.request import is_part
from shared.clients import client
from shared.errors import HookError, Misconfigured, translated
from shared.lifecycle import ServiceDeploymentArn

PARAMETERS_PER_PAGE = 10
MAX_PAGES = 50


@dataclass(frozen=True, slots=True)
class Listed:
    """A parameter as it is now."""

    steps: tuple[str, ...]
    """Of its name, below the path."""
    text: str


class Listing:
    """The parameters under a path; to be gone through once.

    What goes wrong on the way ends it, and is said in ``problem``.
    """

    def __init__(self, path: str) -> None:
        self._path = path.rstrip("/")
        self.left_out = False
        """Whether there may be more than were listed."""
        self.problem = ""

    def __iter__(self) -> Iterator[Listed]:
        try:
            with translated("ssm:GetParametersByPath", self._path):
                yield from self._parameters()
        except HookError as error:
            self.left_out = True
            self.problem = str(error)

    def _parameters(self) -> Iterator[Listed]:
        pages = (
            client("ssm")
            .get_paginator("get_parameters_by_path")
            .paginate(Path=self._path, Recursive=True, PaginationConfig={"PageSize": PARAMETERS_PER_PAGE})
        )
        for number, page in enumerate(pages, start=1):
            for found in page["Parameters"]:
                steps = found["Name"].removeprefix(self._path).strip("/").split("/")
                yield Listed(tuple(steps), found["Value"])
            if number == MAX_PAGES:
                self.left_out = bool(page.get("NextToken"))
                return


@dataclass(frozen=True, slots=True)
class Home:
    """Where this function is: parameters' names lack it, and deployments' ARNs have it."""

    partition: str
    region: str
    account: str

    @classmethod
    def here(cls) -> Self:
        """Read it from the identity this runs as."""
        _, partition, _, _, account, *_ = own_identity().split(":")
        return cls(partition, client("ssm").meta.region_name, account)

    def request(self, steps: tuple[str, ...]) -> tuple[ServiceDeploymentArn, str] | None:
        """Read which deployment and part of it a name is about; ``None`` where it is of something else."""
        part = steps[3] if len(steps) == 4 else ""
        if len(steps) not in {3, 4} or not is_part(part):
            return None
        arn = (
            f"arn:{self.partition}:ecs:{self.region}:{self.account}:service-deployment/{'/'.join(steps[:3])}"
        )
        try:
            return ServiceDeploymentArn.parse(arn), part
        except Misconfigured:
            return None

"""Parameter Store, as far as approvals use it."""

import os
from collections.abc import Iterator, Sequence
from datetime import UTC
from functools import cache
from itertools import pairwise

from botocore.exceptions import ClientError

from hooks.manual_approval.request import Version
from shared.clients import client
from shared.errors import Misconfigured, Transient, code_of, translated

# A parameter keeps 100 versions (https://docs.aws.amazon.com/general/latest/gr/ssm.html), 50 a page.
HISTORY_PAGE = 50
HISTORY_PAGES = 4


class ParameterStore:
    """The parameter of one request."""

    def __init__(self, name: str) -> None:
        self.name = name

    def latest_version(self) -> int | None:
        """Return the number of the latest version, or ``None`` when there is no parameter.

        One cheap call for the common poll: GetParameter has many times the rate of GetParameterHistory.
        """
        with translated("ssm:GetParameter", self.name):
            try:
                return client("ssm").get_parameter(Name=self.name)["Parameter"]["Version"]
            except ClientError as error:
                if code_of(error) == "ParameterNotFound":
                    return None
                raise

    def history(self) -> Sequence[Version]:
        """Return all versions, oldest first; none when there is no parameter.

        What was written just now may be missing. What is between two others may not be: it might be what
        settled the matter, and each version's number is one more than that of the one before.
        Source: https://docs.aws.amazon.com/systems-manager/latest/userguide/sysman-paramstore-versions.html
        """
        with translated("ssm:GetParameterHistory", self.name):
            try:
                versions = sorted(self._pages(), key=lambda version: version.number)
            except ClientError as error:
                if code_of(error) == "ParameterNotFound":
                    return []
                raise
        if any(later.number != earlier.number + 1 for earlier, later in pairwise(versions)):
            raise Transient(f"{self.name}: Parameter Store does not show all versions yet")
        return versions

    def _pages(self) -> Iterator[Version]:
        pages = (
            client("ssm")
            .get_paginator("get_parameter_history")
            .paginate(Name=self.name, PaginationConfig={"PageSize": HISTORY_PAGE})
        )
        for number, page in enumerate(pages):
            if number == HISTORY_PAGES:
                raise Misconfigured(f"{self.name}: more versions than Parameter Store keeps")
            for found in page["Parameters"]:
                yield Version(
                    number=found["Version"],
                    at=found["LastModifiedDate"].astimezone(UTC),
                    by=found.get("LastModifiedUser", ""),
                    text=found.get("Value", ""),
                )

    def create(self, value: str) -> bool:
        """Write the first version; tell whether it was this call that did."""
        with translated("ssm:PutParameter", self.name):
            try:
                client("ssm").put_parameter(Name=self.name, Value=value, Type="String", Overwrite=False)
            except ClientError as error:
                if code_of(error) == "ParameterAlreadyExists":
                    return False
                raise
            return True

    def append(self, value: str) -> int:
        """Write another version; return its number."""
        with translated("ssm:PutParameter", self.name):
            written = client("ssm").put_parameter(Name=self.name, Value=value, Type="String", Overwrite=True)
            return written["Version"]


def own_identity() -> str:
    """Return the ARN of the session this function runs as; it needs no permission."""
    return _identity(os.environ.get("AWS_ACCESS_KEY_ID", ""))


@cache
def _identity(_access_key: str) -> str:
    with translated("sts:GetCallerIdentity", "itself"):
        return client("sts").get_caller_identity()["Arn"]

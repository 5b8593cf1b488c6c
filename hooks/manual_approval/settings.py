"""What the approval hook is told, by the service (``hookDetails``) and by the organisation (policy)."""

import re
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from shared.settings import Settings, Stricter, first_of, sooner, union

# An ARN, or a person or group of the console, so that a pattern which could never match anybody is refused
# rather than silently useless.
Pattern = Annotated[str, Field(pattern=r"^(\*|arn:.+|oidc(-group)?:.+#.+)$", max_length=256)]

_ROLE_WITH_PATH = re.compile(r"arn:[^:]+:iam::[^:]*:role/(?P<path>.+)/(?P<name>[^/]+)")


def _told_apart(patterns: tuple[str, ...]) -> tuple[str, ...]:
    """Refuse a path before a name that stands for several: what AWS records of a session has lost the path.

    Read without it, ``role/ops/*`` would be every role there is.
    """
    for pattern in patterns:
        role = _ROLE_WITH_PATH.fullmatch(pattern)
        if role and set(role["path"]) - set("*?/") and set(role["name"]) & set("*?"):
            raise ValueError(
                f"{pattern!r}: the path of a role is not known of its sessions; name the role, "
                "or leave the path out"
            )
    return patterns


def narrowed(_policy: tuple[str, ...], service: tuple[str, ...]) -> tuple[str, ...]:
    """Keep the service's list: the decision asks for a match in the policy's list as well."""
    return service


class ApprovalSettings(Settings):
    """Keys of ``hookDetails``."""

    required_approvals: Annotated[int, Stricter(max)] = Field(
        1, ge=1, le=10, description="how many different people must approve"
    )
    allowed_approvers: Annotated[tuple[Pattern, ...], Stricter(narrowed)] = Field(
        ("*",),
        min_length=1,
        max_length=50,
        description="ARN patterns of those who may decide (* and ?), or oidc:ISSUER#SUBJECT and "
        "oidc-group:ISSUER#GROUP of the console",
    )
    excluded_approvers: Annotated[tuple[Pattern, ...], Stricter(union)] = Field(
        (), max_length=50, description="patterns of those who may not, for example the deploy role"
    )
    expires_after_minutes: Annotated[int, sooner("on_expiry")] = Field(
        1380, ge=1, le=1439, description="how long to wait for a decision; ECS itself ends a stage after 1440"
    )
    extendable_to_minutes: Annotated[int, Stricter(min)] = Field(
        1439, ge=1, le=1439, description="how long it may become where somebody who may decide extends it"
    )
    on_expiry: Annotated[Literal["refuse", "proceed"], first_of("refuse", "proceed")] = Field(
        "refuse", description="the verdict when nobody decided in time; proceed fails open"
    )
    on_first_deployment: Annotated[Literal["ask", "skip"], first_of("ask", "skip")] = Field(
        "ask", description="whether to ask when no revision of the service ran before"
    )
    poll_first_seconds: Annotated[int, Stricter(max)] = Field(
        5, ge=1, le=300, description="delay before the first look for a decision"
    )
    poll_growth: float = Field(
        1.5, ge=1, le=10, description="factor by which the delay grows from look to look"
    )
    poll_seconds: Annotated[int, Stricter(max)] = Field(
        30, ge=1, le=3600, description="longest delay while the request is fresh"
    )
    poll_late_seconds: Annotated[int, Stricter(max)] = Field(
        180, ge=1, le=3600, description="delay once the request is no longer fresh"
    )
    poll_late_after_minutes: int = Field(60, ge=0, le=1440, description="how long a request counts as fresh")

    @field_validator("allowed_approvers")
    @classmethod
    def _name_roles(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        return _told_apart(patterns)

    @model_validator(mode="after")
    def _delays_grow(self) -> Self:
        if not self.poll_first_seconds <= self.poll_seconds <= self.poll_late_seconds:
            raise ValueError("pollFirstSeconds, pollSeconds and pollLateSeconds must not fall in this order")
        return self


class ApprovalPolicy(ApprovalSettings):
    """Keys of ``HOOK_POLICY``: those above as limits, and some that are the organisation's alone."""

    # Whoever may assume a role chooses the session's name, unless something pins it to the person:
    # IAM Identity Center does, and so can a condition on sts:RoleSessionName.
    personal_sessions: tuple[Pattern, ...] = Field(
        ("arn:*:sts::*:assumed-role/AWSReservedSSO_*",),
        max_length=50,
        description="roles whose session name identifies one person; sessions of other roles count as one",
    )

    @field_validator("personal_sessions")
    @classmethod
    def _name_roles_of_sessions(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        return _told_apart(patterns)

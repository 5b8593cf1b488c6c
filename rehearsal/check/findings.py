"""What a check says, and what makes it say so."""

import enum
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

# AWS's pages that rules cite most, https://docs.aws.amazon.com/AmazonECS/latest/developerguide/...
_GUIDE = "https://docs.aws.amazon.com/AmazonECS/latest/developerguide/"
LAMBDA_HOOKS = f"{_GUIDE}lambda-lifecycle-hooks.html"
HOOKS_OVERVIEW = f"{_GUIDE}deployment-lifecycle-hooks.html"
PAUSE_HOOKS = f"{_GUIDE}pause-lifecycle-hooks.html"
LINEAR = f"{_GUIDE}deployment-type-linear.html"
CANARY = f"{_GUIDE}canary-deployment.html"
TROUBLESHOOTING = f"{_GUIDE}troubleshooting-blue-green.html"
HOOK_PERMISSIONS = f"{_GUIDE}blue-green-permissions.html"
REQUIRED_RESOURCES = f"{_GUIDE}blue-green-deployment-implementation.html"
API_DEPLOYMENT = "https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeploymentConfiguration.html"
# What AWS's pages leave open, and what was seen instead.
CONTRACT = "docs/ecs-contract.md"
INTRINSICS = (
    "https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/intrinsic-function-reference.html"
)
CLOUDFORMATION_SERVICE = (
    "https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-ecs-service.html"
)


class Severity(enum.StrEnum):
    """How bad it is."""

    ERROR = "error"
    """It would be rejected, or is unsafe."""
    WARNING = "warning"
    """It would be accepted, and bite."""
    INFO = "info"
    """Worth knowing: among other things, what could not be checked."""


@dataclass(frozen=True, slots=True, order=True)
class Where:
    """A line of a file."""

    file: str
    line: int


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, in one sentence."""

    where: Where
    severity: Severity
    message: str
    rule: str
    source: str

    def __str__(self) -> str:
        return f"{self.where.file}:{self.where.line}: {self.severity}: {self.message}  [{self.rule}]"


Problem = tuple[Where, str]


@dataclass(frozen=True, slots=True)
class Rule[ViewT]:
    """A function that looks at a view for one kind of problem."""

    id: str
    severity: Severity
    source: str
    """The page, or the section of the contract, that says so."""
    look: Callable[[ViewT], Iterable[Problem]]

    @property
    def description(self) -> str:
        """The rule in a sentence."""
        return (self.look.__doc__ or "").split("\n", 1)[0]

    def findings(self, view: ViewT) -> Iterator[Finding]:
        """Apply the rule."""
        for where, message in self.look(view):
            yield Finding(where, self.severity, message, self.id, self.source)


def rule[ViewT](
    name: str,
    severity: Severity,
    source: str,
) -> Callable[[Callable[[ViewT], Iterable[Problem]]], Rule[ViewT]]:
    """Make a rule of a function; *name* becomes its id."""

    def decorate(look: Callable[[ViewT], Iterable[Problem]]) -> Rule[ViewT]:
        return Rule(name, severity, source, look)

    return decorate

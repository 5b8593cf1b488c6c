"""The console of a rehearsed stack: what it is deployed with, and where people sign in.

::

    https://approvals.example.com   the console, behind API Gateway
    https://login.example.org       a development provider

In a rehearsal on the virtual clock neither has a socket, so that runs are equal to the byte. A function that
runs in a process of its own has to reach the provider, which then listens on the loopback interface.
"""

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Self

from moto.secretsmanager.models import secretsmanager_backends

from rehearsal import functions
from rehearsal.aws.cloud import Cloud
from rehearsal.aws.identities import ALLOW_ALL
from rehearsal.console import gateway
from rehearsal.console.browser import Browser
from rehearsal.console.provider import Client, DevelopmentProvider, Identity
from rehearsal.console.web import Answer
from rehearsal.console.wire import wired
from rehearsal.lambda_functions import Function
from rehearsal.world import World
from shared.errors import JsonObject

URL = "https://approvals.example.com"
# Another site than the console's, as a provider mostly is: cookies have to do without its being the same.
ISSUER = "https://login.example.org"

CLIENT_ID = "approvals"
RECORD_BUCKET = "decision-records"

RELEASE_MANAGERS = "release-managers"

# Who may see and decide what, unless told otherwise.
ACCESS: JsonObject = {
    "rules": [
        {"groups": [RELEASE_MANAGERS], "services": ["*/*"], "may": "decide"},
        {"groups": ["*"], "services": ["*/*"], "may": "view"},
    ]
}

FUNCTION = "ApprovalConsoleFunction"
SETUP_PARAMETER = "ApprovalSetupParameter"

NOTHING_MORE: Mapping[str, str] = MappingProxyType({})

# Of a rehearsal, whose cookies nobody has to fear for.
_COOKIE_SECRET = "rehearsal-" * 7


class ConsoleSite:
    """The console as deployed, for one account.

    Parameters
    ----------
    provider
        Where people sign in; without one, at an *issuer* that is somebody else's.
    access
        Who may see and decide what: the stack's ``ApprovalConsoleAccess``.
    parameters
        Of the stack, beyond those.
    """

    def __init__(
        self,
        *,
        url: str = URL,
        provider: DevelopmentProvider | None = None,
        issuer: str = "",
        client_id: str = CLIENT_ID,
        access: Mapping[str, object] = ACCESS,
        parameters: Mapping[str, str] = NOTHING_MORE,
    ) -> None:
        self.url = url
        self.provider = provider
        self.issuer = provider.issuer if provider else issuer
        self._client_id = client_id
        self._access = access
        self._parameters = parameters
        self._is_made = False
        if provider:
            provider.client = Client(client_id, self.callback)

    @classmethod
    def for_actors(cls, world: World) -> Self:
        """Make one that nobody but actors visits, until the run is over."""
        if world.is_in_process:
            provider = DevelopmentProvider(issuer=ISSUER)
            world.closing.enter_context(wired({ISSUER: provider.answer}))
        else:
            provider = world.closing.enter_context(DevelopmentProvider())
        return cls(provider=provider)

    @property
    def callback(self) -> str:
        """The redirect URI to register with the issuer."""
        return f"{self.url}/signed-in"

    def template_parameters(self) -> dict[str, str]:
        """Return what the stack is deployed with."""
        return {
            "IncludeApprovalConsole": "true",
            "ApprovalConsoleUrl": self.url,
            "ApprovalConsoleIssuer": self.issuer,
            "ApprovalConsoleClientId": self._client_id,
            "ApprovalConsoleAccess": json.dumps(self._access),
            "RecordBucket": RECORD_BUCKET,
            **self._parameters,
        }

    def make_resources(self, cloud: Cloud, deployed: Mapping[str, Function]) -> None:
        """Make what the functions find in the account: of the stack, and the bucket it is told of."""
        if self._is_made:
            return
        self._is_made = True
        function = deployed[FUNCTION]
        cloud.identity(user="admin", policies=[ALLOW_ALL])
        cloud.client("s3", user="admin").create_bucket(Bucket=RECORD_BUCKET)
        arn = functions.environment(function)["CONSOLE_COOKIE_SECRET_ARN"]
        # What follows the name's last hyphen is made up by AWS: by moto, and by the template's reader.
        name = arn.rpartition(":")[2].rpartition("-")[0]
        cloud.client("secretsmanager", user="admin").create_secret(Name=name, SecretString=_COOKIE_SECRET)
        secretsmanager_backends[cloud.account][cloud.region].secrets[name].arn = arn
        for parameter in function.resource.template.resources("AWS::SSM::Parameter"):
            value = parameter.properties.get("Value")
            if parameter.logical_id == SETUP_PARAMETER and isinstance(value, str):
                cloud.client("ssm", user="admin").put_parameter(
                    Name=str(parameter.ref), Value=value, Type="String"
                )

    def admit(self, person: Identity) -> None:
        """Let somebody sign in, where the provider is a rehearsal's."""
        if self.provider is None:
            raise RuntimeError(f"{self.issuer} is not a rehearsal's: who can sign in there is its own matter")
        known = self.provider.people.get(person.subject)
        if known is None or known.groups != person.groups:
            self.provider.people[person.subject] = person

    def browser_in(self, world: World, agent: str) -> Browser:
        """Return somebody's browser, for an actor."""
        sites: dict[str, Answer] = {self.url: lambda request: gateway.answer(world.invoke_console, request)}
        if self.provider:
            sites[self.issuer] = self.provider.answer
        return Browser(sites, agent=agent)

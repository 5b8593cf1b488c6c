"""The AWS of a rehearsal: moto, what it lacks, and the levers that a scenario pulls.

::

    with Cloud(region="eu-west-1", seed=1) as cloud:
        cloud.control_plane              what ECS holds; the stage machine writes it
        cloud.client("ssm", user="alice")
        cloud.credentials("ManualApprovalFunctionRole")
        with cloud.enforcing_iam(), cloud.recording() as calls: ...
        cloud.faults.add(action="ssm:*", error="ThrottlingException", times=3)
        cloud.reset(seed=2)              a new account, at once

moto's state belongs to the process, so there is one cloud at a time.
"""

import functools
import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import datetime
from typing import Any, Self
from unittest import mock

import boto3
import botocore.loaders
import botocore.session
import botocore.useragent
import moto.core.responses
import moto.sqs.models
import urllib3
from botocore.config import Config
from moto import mock_aws
from moto.cloudwatch.models import cloudwatch_backends
from moto.core.base_backend import BackendDict, BaseBackend
from moto.core.model_instances import reset_model_data
from moto.core.models import botocore_stubber
from moto.moto_api._internal import mock_random

from rehearsal.aws.call import JsonObject
from rehearsal.aws.cloudwatch import Metrics, Sample, record
from rehearsal.aws.door import Door, InProcess, RecordedCall, Urllib3
from rehearsal.aws.ecr import Registries
from rehearsal.aws.ecs import EcsDeployments
from rehearsal.aws.ecs_tasks import EcsTasks
from rehearsal.aws.elbv2 import LoadBalancers
from rehearsal.aws.faults import Faults
from rehearsal.aws.identities import Credentials, Identities
from rehearsal.aws.kms import PublicKeys
from rehearsal.aws.logs import LogQueries
from rehearsal.aws.signer import Revocations
from rehearsal.aws.sqs import Queues
from rehearsal.aws.ssm import ParameterStore
from rehearsal.model import ControlPlane
from rehearsal.switches import Switches

# moto's own default, and AWS's in its documentation.
ACCOUNT = "123456789012"

# ECS's own name for its session of the hook role; Lambda's for a function's is the function's name.
DEFAULT_SESSION = "rehearsal"

# Called with the same few arguments on every request: a quarter of a round trip in process, together.
_PURE_AND_SLOW = (
    (botocore.useragent, "sanitize_user_agent_string_component"),
    (moto.core.responses, "method_names_from_class"),
    (moto.sqs.models, "camelcase_to_underscores"),
)


class Cloud:
    """One AWS account in one region, in this process."""

    def __init__(
        self,
        *,
        region: str = "us-east-1",
        account: str = ACCOUNT,
        switches: Switches | None = None,
        seed: int = 0,
    ) -> None:
        self.region = region
        self.account = account
        self._ecs = EcsDeployments(switches=switches or Switches())
        self._identities = Identities(account, region)
        lock = threading.RLock()
        self.parameters = ParameterStore(self._identities)
        """Its lever: ``cloud.parameters.read_lag``."""
        self.log_queries = LogQueries()
        """Its levers: ``cloud.log_queries.runs_for_looks`` and ``.outcome``."""
        self.registries = Registries(account, region)
        """ECR: what is pushed, signed and scanned there."""
        self.revocations = Revocations()
        """What AWS Signer has revoked."""
        self.public_keys = PublicKeys(account, region)
        """Keys in KMS beside moto's."""
        tasks, metrics, queues = EcsTasks(self._ecs), Metrics(), Queues(lock)
        balancers = LoadBalancers(self._ecs)
        self.door = Door(
            account,
            self._identities,
            {
                **{f"cloudwatch:{name}": metrics.answer for name in metrics.operations},
                **{f"ecr:{name}": self.registries.answer for name in self.registries.operations},
                **{f"ecs:{name}": self._ecs.answer for name in self._ecs.operations},
                **{f"ecs:{name}": tasks.answer for name in tasks.operations},
                **{f"elasticloadbalancing:{name}": balancers.answer for name in balancers.operations},
                **{f"kms:{name}": self.public_keys.answer for name in self.public_keys.operations},
                **{f"logs:{name}": self.log_queries.answer for name in self.log_queries.operations},
                **{f"signer:{name}": self.revocations.answer for name in self.revocations.operations},
                **{f"sqs:{name}": queues.answer for name in queues.operations},
                **{f"ssm:{name}": self.parameters.answer for name in self.parameters.operations},
            },
            lock,
            self.registries.download,
        )
        self._seed = seed
        self._running = ExitStack()

    @property
    def control_plane(self) -> ControlPlane:
        """What ECS holds; another one after each :meth:`reset`."""
        return self._ecs.control_plane

    @property
    def faults(self) -> Faults:
        """How this AWS fails."""
        return self.door.faults

    def publish_metrics(
        self,
        namespace: str,
        dimensions: Mapping[str, str],
        values: Mapping[str, tuple[float, str]],
        at: datetime,
    ) -> None:
        """Let an AWS service tell CloudWatch values and units by metric, of the time that began at *at*."""
        backend = cloudwatch_backends[self.account][self.region]
        for name, (value, unit) in values.items():
            record(backend, namespace, name, dimensions, Sample.of(value, unit, at.timestamp()))

    @property
    def defects(self) -> list[Exception]:
        """Errors of the rehearsal's own operations since the last reset; none in a run to be trusted."""
        return self.door.defects

    def __enter__(self) -> Self:
        with ExitStack() as starting:
            starting.enter_context(mock_aws())
            starting.enter_context(
                mock.patch.object(botocore_stubber, "process_request", InProcess(self.door, botocore_stubber))
            )
            layers = Urllib3(self.door)
            starting.enter_context(
                mock.patch.object(
                    urllib3.PoolManager,
                    "urlopen",
                    # A function: only one is given the pool that it is called on.
                    lambda *arguments, **keywords: layers.urlopen(*arguments, **keywords),  # noqa: PLW0108
                )
            )
            for module, name in _PURE_AND_SLOW:
                remembered = functools.lru_cache(maxsize=4096)(getattr(module, name))
                starting.enter_context(mock.patch.object(module, name, remembered))
            starting.enter_context(
                mock.patch.dict(
                    os.environ,
                    {
                        "AWS_REGION": self.region,
                        "AWS_DEFAULT_REGION": self.region,
                        "MOTO_ACCOUNT_ID": self.account,
                    },
                )
            )
            starting.callback(self._clear)
            self.reset(seed=self._seed)
            self._running = starting.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()

    def reset(self, *, seed: int = 0, switches: Switches | None = None) -> None:
        """Make it a new account: no resources, no roles, no faults, and ids from *seed*.

        Clients and credentials made before stay usable once their role or user is named again.
        """
        self._clear()
        self._ecs.control_plane = ControlPlane()
        if switches is not None:
            self._ecs.switches = switches
        mock_random.seed(seed)

    def _clear(self) -> None:
        self.door.forget()
        self.parameters.read_lag = None
        self.log_queries.reset()
        self.registries.reset()
        self.revocations.revoked.clear()
        self.public_keys.reset()
        # As moto's own reset, but without building each backend anew only to drop it: a backend comes
        # back when it is first asked for.
        in_use: list[BackendDict[Any]] = BackendDict._instances  # type: ignore[misc]  # noqa: SLF001 - no other list
        for service in in_use:
            for account in service.values():
                for backend in account.values():
                    if type(backend).reset is not BaseBackend.reset:
                        backend.reset()  # S3 closes its files here
                account.clear()
        # moto keeps every object it ever made, for its dashboard; over a thousand runs that is a leak.
        reset_model_data()

    def role(self, name: str, policies: Iterable[JsonObject] | None = None) -> str:
        """Create a role, or give an existing one other inline policies; return its ARN."""
        return self._identities.role(name, policies)

    def identity(
        self,
        *,
        role: str | None = None,
        session: str = DEFAULT_SESSION,
        user: str | None = None,
        policies: Iterable[JsonObject] | None = None,
    ) -> Credentials:
        """Return the credentials of a role's session, or of an IAM user; either is created when missing.

        *policies* are inline documents; ``None`` leaves those it has. Without any, an enforced call is
        denied.
        """
        if (role is None) == (user is None):
            raise ValueError("an identity is either a role's session or a user")
        if role is not None:
            return self._identities.session(role, session, policies)
        return self._identities.user(str(user), policies)

    def session(
        self,
        *,
        role: str | None = None,
        session: str = DEFAULT_SESSION,
        user: str | None = None,
        policies: Iterable[JsonObject] | None = None,
    ) -> boto3.Session:
        """Return the boto3 session of an identity (see :meth:`identity`)."""
        return _session(self.identity(role=role, session=session, user=user, policies=policies), self.region)

    def client(
        self,
        service: str,
        *,
        role: str | None = None,
        session: str = DEFAULT_SESSION,
        user: str | None = None,
        policies: Iterable[JsonObject] | None = None,
    ) -> Any:
        """Return an identity's client (see :meth:`identity`), made once per process; it does not retry."""
        identity = self.identity(role=role, session=session, user=user, policies=policies)
        return _client(service, identity, self.region)

    def credentials(
        self, role: str, session: str = DEFAULT_SESSION, policies: Iterable[JsonObject] | None = None
    ) -> dict[str, str]:
        """Return the environment variables that Lambda gives to a function with that role."""
        identity = self.identity(role=role, session=session, policies=policies)
        return {
            "AWS_ACCESS_KEY_ID": identity.access_key,
            "AWS_SECRET_ACCESS_KEY": identity.secret_key,
            "AWS_SESSION_TOKEN": identity.token or "",
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
        }

    @contextmanager
    def acting_as(
        self, role: str, session: str = DEFAULT_SESSION, policies: Iterable[JsonObject] | None = None
    ) -> Iterator[str]:
        """Let code in the block that signs with the environment's credentials be that role; yield its ARN."""
        identity = self.identity(role=role, session=session, policies=policies)
        with (
            mock.patch.dict(os.environ, self.credentials(role, session)),
            mock.patch.object(boto3, "DEFAULT_SESSION", _session(identity, self.region)),
        ):
            yield identity.arn

    @contextmanager
    def enforcing_iam(self) -> Iterator[None]:
        """Check every call in the block against the caller's policies, by action, resource and condition."""
        with self.door.enforcing():
            yield

    @contextmanager
    def recording(self) -> Iterator[list[RecordedCall]]:
        """Collect (identity, action, resource) of every call in the block."""
        with self.door.recording() as calls:
            yield calls


@functools.cache
def _loader() -> botocore.loaders.Loader:
    # Reading a service's model takes longer than many runs; all sessions share what was read.
    loader: botocore.loaders.Loader = botocore.session.Session().get_component("data_loader")
    return loader


@functools.lru_cache(maxsize=256)
def _session(identity: Credentials, region: str) -> boto3.Session:
    base = botocore.session.Session()
    base.register_component("data_loader", _loader())
    return boto3.Session(
        aws_access_key_id=identity.access_key,
        aws_secret_access_key=identity.secret_key,
        aws_session_token=identity.token,
        region_name=region,
        botocore_session=base,
    )


@functools.lru_cache(maxsize=256)
def _client(service: Any, identity: Credentials, region: str) -> Any:
    # A retry sleeps, and the time a rehearsal sleeps through is real. botocore's own user agent is put
    # together for each request, twice.
    config = Config(retries={"total_max_attempts": 1}, user_agent="rehearsal")
    return _session(identity, region).client(service, config=config)

"""AWS clients whose time-outs suit a worker.

Each client has a session of its own: boto3's default session must not be used from several threads at once.
"""

from typing import TYPE_CHECKING, Any, Literal, overload

import boto3
from botocore.config import Config

if TYPE_CHECKING:
    from mypy_boto3_ecs import ECSClient
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_ssm import SSMClient


@overload
def client_of(
    service: Literal["ssm"], *, connect_timeout: float, read_timeout: float, max_attempts: int
) -> "SSMClient": ...
@overload
def client_of(
    service: Literal["sqs"],
    *,
    connect_timeout: float,
    read_timeout: float,
    max_attempts: int,
    connections: int,
) -> "SQSClient": ...
@overload
def client_of(
    service: Literal["ecs"], *, connect_timeout: float, read_timeout: float, max_attempts: int
) -> "ECSClient": ...
def client_of(
    service: Any, *, connect_timeout: float, read_timeout: float, max_attempts: int, connections: int = 2
) -> Any:
    """Return a client of *service* for the region and the credentials of the environment."""
    return boto3.session.Session().client(
        service,
        config=Config(
            connect_timeout=connect_timeout,
            read_timeout=read_timeout,
            retries={"mode": "standard", "total_max_attempts": max_attempts},
            max_pool_connections=connections,
            tcp_keepalive=True,
            user_agent_extra="activation-gate",
        ),
    )

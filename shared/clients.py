"""One AWS client per service, kept while the execution environment is warm.

Time-outs are short and retries few: a hook that can't reach AWS says IN_PROGRESS and is asked again,
which is cheaper than waiting inside an invocation.
"""

import functools
import json
import os
from collections.abc import Mapping
from typing import Any, Literal, overload

import botocore.session
from botocore.config import Config
from botocore.parsers import ResponseParserError

CONNECT_TIMEOUT_SECONDS = 2
READ_TIMEOUT_SECONDS = 5
DEFAULT_MAX_ATTEMPTS = 3


@overload
def client(service: Literal["cloudwatch"]) -> "CloudWatchClient": ...
@overload
def client(service: Literal["ecr"], region: str | None = None) -> "ECRClient": ...
@overload
def client(service: Literal["ecs"]) -> "ECSClient": ...
@overload
def client(service: Literal["elbv2"]) -> "ElasticLoadBalancingv2Client": ...
@overload
def client(service: Literal["kms"], region: str | None = None) -> "KMSClient": ...
@overload
def client(service: Literal["logs"]) -> "CloudWatchLogsClient": ...
@overload
def client(service: Literal["secretsmanager"], region: str | None = None) -> "SecretsManagerClient": ...
@overload
def client(service: Literal["signer"], region: str | None = None) -> "SignerClient": ...
@overload
def client(service: Literal["ssm"], region: str | None = None) -> "SSMClient": ...
@overload
def client(service: Literal["sns"]) -> "SNSClient": ...
@overload
def client(service: Literal["sqs"]) -> "SQSClient": ...
@overload
def client(service: Literal["sts"]) -> "STSClient": ...
@overload
def client(service: Literal["s3"], region: str | None = None) -> "S3Client": ...
def client(service: Any, region: str | None = None) -> Any:
    """Return the client of *service* for the credentials in the environment.

    Parameters
    ----------
    region
        Where the resource is; by default where the function is.
    """
    # In Lambda the key never changes while an environment lives. Where several functions share a
    # process, as in a rehearsal, it keeps one function from using another's permissions.
    return _client(
        service, region, os.environ.get("AWS_ACCESS_KEY_ID", ""), os.environ.get("AWS_ENDPOINT_URL", "")
    )


@functools.lru_cache(maxsize=32)
def _client(service: str, region: str | None, access_key: str, _endpoint: str) -> Any:
    # botocore's own: boto3 adds resources and transfers, which no hook uses and every cold start loads.
    made = _session(access_key).create_client(
        service,
        region_name=region,
        config=Config(
            connect_timeout=CONNECT_TIMEOUT_SECONDS,
            read_timeout=READ_TIMEOUT_SECONDS,
            retries={
                "mode": "standard",
                "total_max_attempts": int(os.environ.get("AWS_MAX_ATTEMPTS") or DEFAULT_MAX_ATTEMPTS),
            },
            user_agent_extra="ecs-lifecycle-hooks",
        ),
    )
    made.meta.events.register("after-call", _check_readable)
    return made


def _check_readable(*, http_response: Any, parsed: Mapping[str, Any], model: Any, **_: Any) -> None:
    """Raise ``ResponseParserError`` for JSON that breaks off: to botocore it is an answer without members.

    Answers in XML it checks itself.
    """
    if http_response.status_code >= 300 or parsed.keys() - {"ResponseMetadata"} or not model.output_shape:
        return
    if "json" in model.service_model.resolved_protocol:
        try:
            json.loads(http_response.content or b"{}")
        except ValueError as error:
            raise ResponseParserError(f"{model.name}: no JSON: {error}") from error


@functools.lru_cache(maxsize=8)
def _session(_access_key: str) -> botocore.session.Session:
    # One for all clients: each session reads the endpoints of all regions anew.
    return botocore.session.Session()


TYPE_CHECKING = False
if TYPE_CHECKING:  # the stubs are not in the artifact, and typing's own constant costs an import there
    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_ecr import ECRClient
    from mypy_boto3_ecs import ECSClient
    from mypy_boto3_elbv2 import ElasticLoadBalancingv2Client
    from mypy_boto3_kms import KMSClient
    from mypy_boto3_logs import CloudWatchLogsClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_signer import SignerClient
    from mypy_boto3_sns import SNSClient
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_ssm import SSMClient
    from mypy_boto3_sts import STSClient

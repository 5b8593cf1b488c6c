"""One call of an AWS API as it arrives, and what is sent back.

::

    request ──Call.read──▶ Call ── service, operation, parameters, access key, region
    Answer / AwsError  ──▶ status, headers, body in the protocol the client spoke

Only what a signed request of botocore looks like is read: the service and region come from the
credential scope of its signature, so that the same code serves requests in process (addressed to
``ssm.eu-west-1.amazonaws.com``) and over HTTP (addressed to ``127.0.0.1:PORT``).
"""

import base64
import dataclasses
import functools
import gzip
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol
from urllib.parse import parse_qs, parse_qsl, unquote, urlsplit
from xml.sax.saxutils import escape

import botocore.loaders
from botocore.model import ListShape, MapShape, Shape, StructureShape
from moto.core.model import OperationModel, ServiceModel
from moto.core.serialize import QuerySerializer, SerializationContext
from moto.moto_api._internal import mock_random

JsonObject = dict[str, Any]


class Headers(Protocol):
    """What requests of botocore and of werkzeug have in common: names in any case."""

    def get(self, name: str, /) -> Any:
        """Return a header, or ``None``."""


Response = tuple[int, dict[str, str], str | bytes]
"""Status, headers, body: what moto's handlers return as well."""

# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
_SCOPE = re.compile(r"Credential=(?P<key>[^/\s,]+)/\d{8}/(?P<region>[^/]+)/(?P<service>[^/]+)/aws4_request")
# IAM names CloudWatch after its product, its signature after its former one.
_SERVICES = {"monitoring": "cloudwatch"}
# botocore's name of what answers here under that signature; the load balancers before it are moto's.
_MODELS = {"elasticloadbalancing": "elbv2"}
# Of the services that put an operation into method and path, what answers here. Everything else of theirs is
# moto's. https://docs.aws.amazon.com/signer/latest/api/API_GetRevocationStatus.html
_REST_OPERATIONS = {("signer", "GET", "/revocations"): "GetRevocationStatus"}
_S3_HOST = re.compile(r"^(?:(?P<bucket>[a-z0-9][a-z0-9.-]+)\.)?s3[.-]")


class AwsError(Exception):
    """An error that an AWS API answers with; it travels to the client, it is no defect."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status


@dataclass(frozen=True)
class Call:
    """A request, read as far as the gates in front of moto need it."""

    service: str
    """As in IAM actions: ``ssm``, ``ecs``, ``cloudwatch``."""
    operation: str
    """``GetParameter``; for S3 the operation that the method and path amount to."""
    access_key: str
    region: str
    account: str
    protocol: str
    """``json``, ``query``, ``rest`` (JSON, with the parameters in the address) or ``s3``."""
    _body: bytes = field(repr=False)
    url: str = field(repr=False)
    """As the client had it."""
    _query_mode: bool = field(default=False, repr=False)

    @property
    def action(self) -> str:
        """The IAM action, which is not always the operation's name."""
        return f"{self.service}:{_ACTIONS.get(self.service, {}).get(self.operation, self.operation)}"

    @functools.cached_property
    def parameters(self) -> JsonObject:
        """The request's parameters in wire form (times are numbers, query lists are numbered keys)."""
        if self.protocol == "json":
            try:
                parameters = json.loads(self._body or b"{}")
            except ValueError as error:
                raise AwsError("SerializationException", "the request is not JSON") from error
            return parameters if isinstance(parameters, dict) else {}
        if self.protocol == "s3":
            return _s3_parameters(self.url)
        if self.protocol == "rest":
            return _rest_parameters(self)
        return dict(parse_qsl(self._body.decode(errors="replace"), keep_blank_values=True))

    @classmethod
    def read(cls, method: str, url: str, headers: Headers, body: object, account: str) -> "Call | None":
        """Read a request; ``None`` for one without a signing header, or of an unknown protocol."""
        scope = _SCOPE.search(_text(headers.get("Authorization")))
        if scope is None:
            return None
        key, region, service = scope["key"], scope["region"], scope["service"]
        service = _SERVICES.get(service, service)
        payload = (
            body.encode() if isinstance(body, str) else body if isinstance(body, bytes | bytearray) else b""
        )
        if _text(headers.get("Content-Encoding")) == "gzip":
            # botocore packs what is large, such as many metrics in one PutMetricData.
            payload = gzip.decompress(payload)
        if target := _text(headers.get("X-Amz-Target")):
            protocol, operation = "json", target.rpartition(".")[2]
        elif service == "s3":
            # An object's body may be a stream, and is no parameter.
            protocol, operation, payload = "s3", _s3_operation(method, url), b""
        elif rest := _REST_OPERATIONS.get((service, method, urlsplit(url).path)):
            protocol, operation, payload = "rest", rest, b""
        elif b"Action=" in payload:
            protocol, operation = "query", ""
        else:
            return None
        call = cls(
            service=service,
            operation=operation,
            access_key=key,
            region=region,
            account=account,
            protocol=protocol,
            _body=bytes(payload),
            url=url,
            _query_mode=bool(headers.get("x-amzn-query-mode")),
        )
        if protocol == "query":
            call = dataclasses.replace(call, operation=call.parameters.get("Action", ""))
        return call

    @classmethod
    def of_object(cls, url: str, access_key: str, account: str) -> "Call":
        """Make the call that a pre-signed address of an object in S3 stands for."""
        region = parse_qs(urlsplit(url).query).get("X-Amz-Credential", [""])[0].split("/")[2:3]
        return cls(
            service="s3",
            operation="GetObject",
            access_key=access_key,
            region=region[0] if region else "us-east-1",
            account=account,
            protocol="s3",
            _body=b"",
            url=url,
        )

    def answer(self, result: Mapping[str, Any]) -> Response:
        """Encode a result in the protocol the client spoke, as AWS would: unset members left out."""
        model = operation_model(self.service, self.operation)
        shape = model.output_shape
        if self.protocol == "query":
            headers = _headers("text/xml")
            context = SerializationContext(headers["x-amzn-requestid"])
            return 200, headers, QuerySerializer(model, context).serialize(result)["body"]
        body = json.dumps(_shown(result, shape) if shape is not None else {})
        return 200, _headers("application/x-amz-json-1.1"), body

    def refuse(self, error: AwsError) -> Response:
        """Encode an error in the protocol the client spoke."""
        if self.protocol == "rest":
            headers = {**_headers("application/json"), "x-amzn-errortype": error.code}
            return error.status, headers, json.dumps({"message": error.message})
        if self.protocol == "json":
            headers = _headers("application/x-amz-json-1.1")
            # Services that once spoke the query protocol keep its error codes for clients that ask.
            if self._query_mode:
                headers["x-amzn-query-error"] = (
                    f"{error.code};{'Sender' if error.status < 500 else 'Receiver'}"
                )
            return error.status, headers, json.dumps({"__type": error.code, "message": error.message})
        headers = _headers("text/xml")
        code, message = escape(error.code), escape(error.message)
        if self.protocol == "s3":
            body = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
        else:
            body = (
                f"<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>"
                f"<RequestId>{headers['x-amzn-requestid']}</RequestId></ErrorResponse>"
            )
        return error.status, headers, body


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value or "")


def _headers(content_type: str) -> dict[str, str]:
    # moto's generator is seeded with the run, so equal runs have equal request ids in their logs.
    return {"Content-Type": content_type, "x-amzn-requestid": str(mock_random.uuid4())}


@functools.cache
def service_model(service: str) -> ServiceModel:
    """Return botocore's model of a service, which is named as in IAM actions."""
    name = _MODELS.get(service, service)
    return ServiceModel(botocore.loaders.Loader().load_service_model(name, "service-2"), name)


@functools.cache
def operation_model(service: str, operation: str) -> OperationModel:
    """Return botocore's model of an operation."""
    model: OperationModel = service_model(service).operation_model(operation)
    return model


def _shown(value: Any, shape: Shape) -> Any:
    """Reduce *value* to what *shape* has, in the JSON protocol's types."""
    match shape:
        case StructureShape() if shape.is_document_type:
            return value
        case StructureShape():
            members = shape.members
            return {
                key: _shown(item, members[key])
                for key, item in value.items()
                if item is not None and key in members
            }
        case ListShape():
            return [_shown(item, shape.member) for item in value]
        case MapShape():
            return {key: _shown(item, shape.value) for key, item in value.items()}
    if shape.type_name == "blob":
        return base64.b64encode(value).decode()
    return epoch(value) if shape.type_name == "timestamp" else value


def epoch(moment: datetime | float) -> float:
    """Return seconds since 1970 with AWS's millisecond precision; a time without zone is UTC, as in moto."""
    if isinstance(moment, datetime):
        moment = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    return round(moment, 3)


# https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazons3.html: several
# operations share an action.
_S3_ACTIONS = {
    "HeadObject": "GetObject",
    "HeadBucket": "ListBucket",
    "ListObjects": "ListBucket",
    "ListObjectsV2": "ListBucket",
    "ListBuckets": "ListAllMyBuckets",
}
# https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonsqs.html: a batch takes the
# permission of its parts.
_SQS_ACTIONS = {
    "ChangeMessageVisibilityBatch": "ChangeMessageVisibility",
    "DeleteMessageBatch": "DeleteMessage",
    "SendMessageBatch": "SendMessage",
}
# https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_ListImageReferrers.html
_ECR_ACTIONS = {"ListImageReferrers": "BatchGetImage"}
_ACTIONS = {"ecr": _ECR_ACTIONS, "s3": _S3_ACTIONS, "sqs": _SQS_ACTIONS}
_S3_OBJECT = {"GET": "GetObject", "HEAD": "HeadObject", "PUT": "PutObject", "DELETE": "DeleteObject"}
# https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html
_S3_LISTING = {
    "continuation-token",
    "delimiter",
    "encoding-type",
    "fetch-owner",
    "list-type",
    "max-keys",
    "prefix",
    "start-after",
    "x-id",
}
_S3_BUCKET = {"GET": "ListObjectsV2", "HEAD": "HeadBucket", "PUT": "CreateBucket", "DELETE": "DeleteBucket"}


def _rest_parameters(call: Call) -> JsonObject:
    """Read what an operation's model puts into the query; times stay texts."""
    shape = operation_model(call.service, call.operation).input_shape
    asked = parse_qsl(urlsplit(call.url).query, keep_blank_values=True)
    found: JsonObject = {}
    for name, member in shape.members.items() if shape else ():
        values = [value for key, value in asked if key == member.serialization.get("name", name)]
        if values:
            found[name] = values if isinstance(member, ListShape) else values[0]
    return found


def _s3_parameters(url: str) -> JsonObject:
    parts = urlsplit(url)
    path = unquote(parts.path).lstrip("/")
    host = _S3_HOST.match(parts.netloc)
    if host and host["bucket"]:
        bucket, key = host["bucket"], path
    else:
        bucket, _, key = path.partition("/")
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    return {"Bucket": bucket, "Key": key, **({"Prefix": query["prefix"]} if "prefix" in query else {})}


def _s3_operation(method: str, url: str) -> str:
    where = _s3_parameters(url)
    query = {key.lower() for key, _ in parse_qsl(urlsplit(url).query, keep_blank_values=True)}
    if not where["Bucket"]:
        return "ListBuckets"
    table, plain = (_S3_OBJECT, {"x-id", "versionid"}) if where["Key"] else (_S3_BUCKET, _S3_LISTING)
    extra = query - plain
    # `?tagging`, `?policy`, `?acl` and their like are operations of their own, with actions of their own.
    suffix = "".join(word.capitalize() for word in sorted(extra)) if extra else ""
    return table.get(method, method.capitalize()) + suffix

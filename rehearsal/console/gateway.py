"""API Gateway's HTTP API in front of one Lambda function, on the loopback interface.

::

    HTTP request ─▶ event, payload format 2.0 ─▶ invoke ─▶ reply ─▶ HTTP response

    with Gateway(invoke, port=8765) as gateway:
        gateway.url                  http://127.0.0.1:8765, known before anything is served

How requests and replies are translated:
https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html. What
it leaves open is as others have seen it of the service: the path arrives decoded
(https://github.com/middleapi/standard-server/pull/93), and a form's body in base64
(https://github.com/ministackorg/ministack/pull/766). Not here: throttling, and the 30 seconds after which
API Gateway gives up.
"""

import base64
import binascii
import json
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Self
from urllib.parse import parse_qsl, unquote

from rehearsal.aws.call import JsonObject
from rehearsal.aws.cloud import ACCOUNT
from rehearsal.console.web import LoopbackServer, Request, Response
from rehearsal.runtime import Invocation

Invoke = Callable[[JsonObject], Invocation]

# https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html
MAX_HEAD_BYTES = 10_240
MAX_PAYLOAD_BYTES = 10 * 1024 * 1024

# Request and response of a synchronous invocation:
# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
MAX_INVOCATION_BYTES = 6 * 1024 * 1024

_TEXT_TYPES = {"application/javascript", "application/json", "application/xml"}
# Of one connection, not of what it carries.
_HOP_BY_HOP = {
    "connection",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
}
_STAGE = "$default"


class Gateway:
    """An HTTP API with one route, ``$default``, which leads to *invoke*."""

    def __init__(self, invoke: Invoke, *, port: int = 0) -> None:
        self._invoke = invoke
        self._server = LoopbackServer(self.answer, port=port, max_body_bytes=MAX_PAYLOAD_BYTES)
        self.url = self._server.url

    def __enter__(self) -> Self:
        self._server.__enter__()
        return self

    def __exit__(self, *details: object) -> None:
        self._server.__exit__(*details)

    def close(self) -> None:
        """Give the port back, of one that never served as well."""
        self._server.close()

    def answer(self, request: Request) -> Response:
        """Answer a request as API Gateway does."""
        return answer(self._invoke, request)


def answer(invoke: Invoke, request: Request) -> Response:
    """Answer a request by invoking the function."""
    head = len(f"{request.method} {request.target} HTTP/1.1") + sum(
        len(value) for _, value in request.headers
    )
    if head > MAX_HEAD_BYTES:
        return _problem(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
    event = event_of(request, request_id=str(uuid.uuid4()), at=time.time())
    if len(request.body) > MAX_PAYLOAD_BYTES or len(json.dumps(event)) > MAX_INVOCATION_BYTES:
        return _problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    invocation = invoke(event)
    if invocation.error is not None:
        return _problem(HTTPStatus.INTERNAL_SERVER_ERROR)
    return response_of(invocation.reply)


def event_of(request: Request, *, request_id: str, at: float) -> JsonObject:
    """Write a request as the event that Lambda gets; what is not there is left out.

    Parameters
    ----------
    at
        When it came, in seconds since 1970.
    """
    headers = _headers(request)
    path = unquote(request.path)
    host = headers.get("host", "")
    event: JsonObject = {
        "version": "2.0",
        "routeKey": _STAGE,
        "rawPath": path,
        "rawQueryString": request.query,
        "cookies": _cookies(request),
        "headers": headers,
        "queryStringParameters": _joined(parse_qsl(request.query, keep_blank_values=True)),
        "requestContext": {
            "accountId": ACCOUNT,
            "apiId": "console",
            "domainName": host,
            "domainPrefix": host.partition(".")[0],
            "http": {
                "method": request.method,
                "path": path,
                "protocol": "HTTP/1.1",
                "sourceIp": request.source_ip,
                "userAgent": headers.get("user-agent", ""),
            },
            "requestId": request_id,
            "routeKey": _STAGE,
            "stage": _STAGE,
            "time": datetime.fromtimestamp(at, UTC).strftime("%d/%b/%Y:%H:%M:%S +0000"),
            "timeEpoch": int(at * 1000),
        },
        "body": _body(request),
        "isBase64Encoded": bool(request.body) and not _is_text(request),
    }
    return {key: value for key, value in event.items() if key in _ALWAYS or value}


_ALWAYS = {"rawQueryString", "headers", "isBase64Encoded"}


def _headers(request: Request) -> dict[str, str]:
    own = {"cookie", "x-forwarded-for", "x-forwarded-port", "x-forwarded-proto", *_HOP_BY_HOP}
    sent = _joined((name.lower(), value) for name, value in request.headers if name.lower() not in own)
    forwarded = [value for value in (request.header("x-forwarded-for"), request.source_ip) if value]
    return {
        **sent,
        "x-forwarded-for": ", ".join(forwarded),
        "x-forwarded-port": sent.get("host", "").partition(":")[2] or "80",
        "x-forwarded-proto": "http",
    }


def _joined(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Put the values of each name together, with commas between them."""
    values: dict[str, list[str]] = {}
    for name, value in pairs:
        values.setdefault(name, []).append(value)
    return {name: ",".join(several) for name, several in values.items()}


def _cookies(request: Request) -> list[str]:
    sent = ";".join(value for name, value in request.headers if name.lower() == "cookie")
    return [cookie for part in sent.split(";") if (cookie := part.strip())]


def _is_text(request: Request) -> bool:
    kind = request.header("content-type").partition(";")[0].strip().lower()
    return kind.startswith("text/") or kind in _TEXT_TYPES


def _body(request: Request) -> str:
    if _is_text(request):
        return request.body.decode(errors="replace")
    return base64.b64encode(request.body).decode()


def response_of(reply: Any) -> Response:
    """Read a function's reply: in format 2.0, or anything else, which is then a JSON body."""
    if not isinstance(reply, dict) or "statusCode" not in reply:
        body = reply if isinstance(reply, str) else json.dumps(reply)
        return Response(status=200, headers=(("content-type", "application/json"),), body=body.encode())
    headers, cookies, body = reply.get("headers") or {}, reply.get("cookies") or [], reply.get("body") or ""
    if (
        not str(reply["statusCode"]).isdecimal()
        or not 100 <= int(reply["statusCode"]) <= 599
        or not isinstance(headers, Mapping)
        or not isinstance(cookies, list)
        or not isinstance(body, str)
        or len(json.dumps(reply)) > MAX_INVOCATION_BYTES
    ):
        return _problem(HTTPStatus.INTERNAL_SERVER_ERROR)
    sent = [(str(name).lower(), _written(value)) for name, value in headers.items()]
    sent = [(name, value) for name, value in sent if name not in {"content-length", *_HOP_BY_HOP}]
    if "content-type" not in dict(sent):
        sent.append(("content-type", "text/plain; charset=utf-8"))
    sent += [("set-cookie", _written(cookie)) for cookie in cookies]
    try:
        payload = base64.b64decode(body, validate=True) if reply.get("isBase64Encoded") else body.encode()
    except binascii.Error:
        return _problem(HTTPStatus.INTERNAL_SERVER_ERROR)
    # A line break in a header would begin another one.
    if not all(text.isascii() and text.isprintable() for pair in sent for text in pair):
        return _problem(HTTPStatus.INTERNAL_SERVER_ERROR)
    return Response(status=int(reply["statusCode"]), headers=tuple(sent), body=payload)


def _written(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _problem(status: HTTPStatus) -> Response:
    body = json.dumps({"message": status.phrase}).encode()
    return Response(status=status, headers=(("content-type", "application/json"),), body=body)

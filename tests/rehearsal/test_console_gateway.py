"""What API Gateway makes of a request, and of a function's reply."""

import base64
import http.client
import json
from typing import Any

import pytest

from rehearsal.console.gateway import MAX_HEAD_BYTES, Gateway, answer, event_of, response_of
from rehearsal.console.web import Request, Response
from rehearsal.runtime import Invocation

# The example of format 2.0, as far as it is of requests that nobody has authorised: the rest is of API
# Gateway's own authorisers, of path parameters and of stage variables, which this API has none of.
# https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
DOCUMENTED = json.loads("""
{
  "version": "2.0",
  "routeKey": "$default",
  "rawPath": "/my/path",
  "rawQueryString": "parameter1=value1&parameter1=value2&parameter2=value",
  "cookies": ["cookie1", "cookie2"],
  "headers": {"header1": "value1", "header2": "value1,value2"},
  "queryStringParameters": {"parameter1": "value1,value2", "parameter2": "value"},
  "requestContext": {
    "accountId": "123456789012",
    "apiId": "api-id",
    "domainName": "id.execute-api.us-east-1.amazonaws.com",
    "domainPrefix": "id",
    "http": {
      "method": "POST",
      "path": "/my/path",
      "protocol": "HTTP/1.1",
      "sourceIp": "192.0.2.1",
      "userAgent": "agent"
    },
    "requestId": "id",
    "routeKey": "$default",
    "stage": "$default",
    "time": "12/Mar/2020:19:03:58 +0000",
    "timeEpoch": 1584039838000
  },
  "body": "Hello from Lambda",
  "isBase64Encoded": false
}
""")
# The example's own timeEpoch, 1583348638390, is another moment than its time.

HOST = "id.execute-api.us-east-1.amazonaws.com"
PAGE = {"statusCode": 200, "headers": {"Content-Type": "text/html"}, "body": "<p>hello"}


def request(target: str = "/", *headers: tuple[str, str], **more: Any) -> Request:
    return Request(**{"method": "GET", "target": target, "headers": (("Host", HOST), *headers), **more})


def event(sent: Request) -> dict[str, Any]:
    return event_of(sent, request_id="id", at=1584039838.0)


def test_the_event_is_the_documented_one() -> None:
    sent = request(
        f"/my/path?{DOCUMENTED['rawQueryString']}",
        ("Header1", "value1"),
        ("header2", "value1"),
        ("HEADER2", "value2"),
        ("Cookie", "cookie1; cookie2"),
        ("User-Agent", "agent"),
        ("Content-Type", "text/plain"),
        method="POST",
        body=b"Hello from Lambda",
        source_ip="192.0.2.1",
    )

    made = event(sent)

    # What every request brings along, and the example leaves out.
    further = {
        "host": HOST,
        "user-agent": "agent",
        "content-type": "text/plain",
        "x-forwarded-for": "192.0.2.1",
        "x-forwarded-port": "80",
        "x-forwarded-proto": "http",
    }
    assert made == {
        **DOCUMENTED,
        "headers": {**DOCUMENTED["headers"], **further},
        "requestContext": {**DOCUMENTED["requestContext"], "apiId": "console"},
    }


def test_what_a_request_does_not_have_is_not_in_the_event() -> None:
    made = event(request())

    assert {"cookies", "queryStringParameters", "body"}.isdisjoint(made)
    assert (made["rawQueryString"], made["isBase64Encoded"]) == ("", False)


@pytest.mark.parametrize(
    ("kind", "body", "expected"),
    [
        ("text/plain; charset=utf-8", "é".encode(), ("é", False)),
        ("application/json", b"{}", ("{}", False)),
        ("application/x-www-form-urlencoded", b"a=1", ("YT0x", True)),
        ("", b"a=1", ("YT0x", True)),
        ("application/octet-stream", b"\xff", ("/w==", True)),
    ],
)
def test_a_body_is_text_for_a_few_types_only(kind: str, body: bytes, expected: tuple[str, bool]) -> None:
    headers = (("Content-Type", kind),) if kind else ()

    made = event(request("/", *headers, method="POST", body=body))

    assert (made["body"], made["isBase64Encoded"]) == expected


def test_the_path_is_decoded_and_the_query_is_not() -> None:
    made = event(request("/requests/a%2Fb%20c?to=%2Fx%20y&to=z+1&empty="))

    assert made["rawPath"] == made["requestContext"]["http"]["path"] == "/requests/a/b c"
    assert made["rawQueryString"] == "to=%2Fx%20y&to=z+1&empty="
    assert made["queryStringParameters"] == {"to": "/x y,z 1", "empty": ""}


def test_whom_a_browser_claims_to_stand_for_does_not_hide_who_it_is() -> None:
    sent = request("/", ("X-Forwarded-For", "203.0.113.9"), ("X-Forwarded-Proto", "https"))

    headers = event(sent)["headers"]

    assert (headers["x-forwarded-for"], headers["x-forwarded-proto"]) == ("203.0.113.9, 127.0.0.1", "http")


def test_each_cookie_becomes_a_header() -> None:
    reply = {**PAGE, "cookies": ["a=1; Path=/", "b=2; HttpOnly"]}

    assert response_of(reply) == Response(
        status=200,
        headers=(
            ("content-type", "text/html"),
            ("set-cookie", "a=1; Path=/"),
            ("set-cookie", "b=2; HttpOnly"),
        ),
        body=b"<p>hello",
    )


@pytest.mark.parametrize(
    ("reply", "status", "kind", "body"),
    [
        ({"hello": 1}, 200, "application/json", b'{"hello": 1}'),
        ("hello", 200, "application/json", b"hello"),
        ({"statusCode": 204}, 204, "text/plain; charset=utf-8", b""),
        ({"statusCode": "404", "body": "no"}, 404, "text/plain; charset=utf-8", b"no"),
        (
            {"statusCode": 200, "body": base64.b64encode(b"\xff").decode(), "isBase64Encoded": True},
            200,
            "text/plain; charset=utf-8",
            b"\xff",
        ),
    ],
)
def test_a_reply_may_leave_things_out(reply: Any, status: int, kind: str, body: bytes) -> None:
    assert response_of(reply) == Response(status=status, headers=(("content-type", kind),), body=body)


@pytest.mark.parametrize(
    "reply",
    [
        {"statusCode": "two hundred"},
        {"statusCode": 42},
        {"statusCode": 200, "body": {"an": "object"}},
        {"statusCode": 200, "headers": ["a list"]},
        {"statusCode": 200, "cookies": "a=1"},
        {"statusCode": 200, "body": "!", "isBase64Encoded": True},
        {"statusCode": 200, "headers": {"Location": "/x\r\nSet-Cookie: a=1"}},
        {"statusCode": 200, "cookies": ["a=1\nSet-Cookie: b=2"]},
        {"statusCode": 200, "body": "x" * (6 * 1024 * 1024 + 1)},
    ],
)
def test_a_reply_that_is_none_is_an_error(reply: Any) -> None:
    response = response_of(reply)

    assert (response.status, response.body) == (500, b'{"message": "Internal Server Error"}')


def test_a_function_that_fails_is_an_error() -> None:
    response = answer(lambda _: Invocation(error="Runtime.ExitError"), request())

    assert (response.status, response.body) == (500, b'{"message": "Internal Server Error"}')


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (request("/", ("Cookie", "a=" + "x" * MAX_HEAD_BYTES)), 431),
        (request("/" + "x" * MAX_HEAD_BYTES), 431),
        (request(method="POST", body=b"x" * (6 * 1024 * 1024)), 413),
    ],
)
def test_too_much_never_reaches_the_function(sent: Request, status: int) -> None:
    def invoke(_: dict[str, Any]) -> Invocation:
        raise AssertionError("invoked")

    assert answer(invoke, sent).status == status


def test_it_serves_what_the_function_replies_and_knows_its_address_before() -> None:
    events: list[dict[str, Any]] = []

    def invoke(made: dict[str, Any]) -> Invocation:
        events.append(made)
        return Invocation(reply={**PAGE, "cookies": ["a=1", "b=2"]})

    gateway = Gateway(invoke)
    address = gateway.url.removeprefix("http://")
    with gateway:
        connection = http.client.HTTPConnection(address)
        connection.request("POST", "//two%20slashes?x=%2F", b"a=1", {"Cookie": "c=3", "X-Two": "1"})
        response = connection.getresponse()
        got = (response.status, response.read(), response.headers.get_all("set-cookie"))
        connection.close()

    assert got == (200, b"<p>hello", ["a=1", "b=2"])
    [made] = events
    assert (made["rawPath"], made["rawQueryString"], made["body"]) == ("//two slashes", "x=%2F", "YT0x")
    assert (made["cookies"], made["headers"]["host"]) == (["c=3"], address)


@pytest.mark.parametrize(
    ("head", "status"),
    [
        ("GET / HTTP/1.1\r\nHost: rebound.example.com\r\n\r\n", 421),
        ("GET http://elsewhere/ HTTP/1.1\r\nHost: {host}\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n", 411),
        ("POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: many\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 99999999\r\n\r\n", 413),
        ("BREW / HTTP/1.1\r\nHost: {host}\r\n\r\n", 501),
    ],
)
def test_what_is_no_request_of_its_own_never_reaches_the_function(head: str, status: int) -> None:
    def invoke(_: dict[str, Any]) -> Invocation:
        raise AssertionError("invoked")

    with Gateway(invoke) as gateway:
        host = gateway.url.removeprefix("http://")
        connection = http.client.HTTPConnection(host)
        connection.connect()
        connection.sock.sendall(head.replace("{host}", host).encode())
        received = connection.sock.makefile("rb").readline()
        connection.close()

    assert int(received.split()[1]) == status

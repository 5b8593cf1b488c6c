"""What a tag leads to, asked of a registry without credentials."""

import hashlib
import json
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from examples.contract_probe import registry
from examples.contract_probe.evidence import Image
from examples.contract_probe.registry import digests

REFERENCE = "public.ecr.aws/docker/library/busybox:stable"
MANIFESTS = "https://public.ecr.aws/v2/docker/library/busybox/manifests/stable"
TOKENS = "https://public.ecr.aws/token/"
INDEX = json.dumps(
    {
        "schemaVersion": 2,
        "manifests": [
            {"digest": "sha256:a", "platform": {"os": "linux", "architecture": "amd64"}},
            {"digest": "sha256:b", "platform": {"os": "linux", "architecture": "arm64", "variant": "v8"}},
            {"digest": "sha256:c", "platform": {"os": "unknown", "architecture": "unknown"}},
            {"digest": "sha256:d"},
        ],
    }
).encode()
FOUND = Image(
    reference=REFERENCE,
    index=f"sha256:{hashlib.sha256(INDEX).hexdigest()}",
    platforms={"amd64": "sha256:a", "arm64/v8": "sha256:b"},
)


class Registry:
    """A registry that wants a token, as public ones do even where anybody gets one."""

    def __init__(self, index: bytes = INDEX, realm: str = TOKENS, token: Any = "token") -> None:
        self.index, self.realm, self.token = index, realm, token
        self.asked: list[str] = []

    def __call__(self, address: str, headers: Mapping[str, str]) -> tuple[int, Mapping[str, str], bytes]:
        self.asked.append(address)
        if address == MANIFESTS and headers.get("Authorization") == "Bearer token":
            return 200, {}, self.index
        if address == MANIFESTS:
            challenge = f'Bearer realm="{self.realm}",service="public.ecr.aws",scope="aws"'
            return 401, {"Www-Authenticate": challenge}, b""
        return 200, {}, json.dumps({"token": self.token}).encode()


def test_an_index_has_a_digest_and_one_for_each_platform() -> None:
    public = Registry()

    assert digests(REFERENCE, public) == FOUND
    assert public.asked == [MANIFESTS, f"{TOKENS}?service=public.ecr.aws&scope=aws", MANIFESTS]


def test_no_token_is_asked_for_where_none_is_wanted() -> None:
    assert digests(REFERENCE, lambda _address, _headers: (200, {}, INDEX)) == FOUND


@pytest.mark.parametrize(
    "unreadable",
    [
        Registry(index=b"{}"),
        Registry(index=b"[]"),
        Registry(index=b"no JSON"),
        Registry(index=b'{"manifests": [1, {"platform": 2}]}'),
        Registry(realm="https://elsewhere.example/token"),
        Registry(realm="http://public.ecr.aws/token"),
        Registry(token=None),
        Registry(token="a\nHost: elsewhere"),
        lambda _address, _headers: (404, {}, b""),
    ],
)
def test_what_can_not_be_read_is_not_known(unreadable: Any) -> None:
    assert digests(REFERENCE, unreadable) is None


def test_a_registry_that_does_not_answer_is_not_known() -> None:
    def silent(_address: str, _headers: Mapping[str, str]) -> tuple[int, Mapping[str, str], bytes]:
        raise TimeoutError

    assert digests(REFERENCE, silent) is None


class Answering(BaseHTTPRequestHandler):
    """A server that has one thing, and shows what it was asked with."""

    def do_GET(self) -> None:
        found = self.path == "/there"
        self.send_response(200 if found else 404)
        self.send_header("Seen", self.headers["Accept"])
        self.end_headers()
        self.wfile.write(b"body" if found else b"not this")

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


def test_answers_of_any_status_are_read() -> None:
    with HTTPServer(("127.0.0.1", 0), Answering) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        where = f"http://127.0.0.1:{server.server_port}"
        there, missing = (registry._get(f"{where}/{path}", {"Accept": "it"}) for path in ("there", "missing"))
        server.shutdown()
        thread.join()

    assert (there[0], there[1]["Seen"], there[2]) == (200, "it", b"body")
    assert (missing[0], missing[2]) == (404, b"")


@pytest.mark.parametrize(
    "reference", ["busybox", "busybox:stable", "r.example/i@sha256:1", "http://r.example/i:t"]
)
def test_other_references_are_not_asked_about(reference: str) -> None:
    public = Registry()

    assert digests(reference, public) is None
    assert public.asked == []

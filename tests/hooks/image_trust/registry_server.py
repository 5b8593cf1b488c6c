"""A registry in this process: the OCI distribution API, and everything that can go wrong with it.

::

    with RegistryServer() as server:
        server.put_manifest("shop/web", b"...", tag="1.0")
        server.fault(r"/blobs/", Endless())
        OciRegistry(server.host, insecure=True)...
        server.asked                        what was asked for, in order

Real tools can push to it: blobs whole, in pieces (``PATCH``) or chunked. It speaks HTTP/1.1, with a thread
for each connection.

Source: https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md
"""

import base64
import hashlib
import json
import re
import ssl
import threading
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"

_NAME = r"(?P<name>[a-z0-9]+(?:[._/-]+[a-z0-9]+)*)"
_ROUTES = {
    "manifest": re.compile(rf"/v2/{_NAME}/manifests/(?P<reference>[^/]+)"),
    "upload": re.compile(rf"/v2/{_NAME}/blobs/uploads/(?P<reference>[^/]*)"),
    "blob": re.compile(rf"/v2/{_NAME}/blobs/(?P<reference>sha256:[^/]+)"),
    "referrers": re.compile(rf"/v2/{_NAME}/referrers/(?P<reference>[^/]+)"),
}


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@dataclass(frozen=True)
class Asked:
    """A request."""

    method: str
    path: str
    headers: Mapping[str, str]
    connection: int
    """The port it came from."""

    @property
    def line(self) -> str:
        return f"{self.method} {self.path}"


class Fault:
    """What happens in place of an answer."""

    def answer(self, handler: "Handler") -> None:
        raise NotImplementedError


@dataclass
class Status(Fault):
    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    def answer(self, handler: "Handler") -> None:
        handler.reply(self.status, self.body, self.headers)


@dataclass
class Body(Fault):
    """Another content than is asked for."""

    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)

    def answer(self, handler: "Handler") -> None:
        handler.reply(200, self.body, self.headers)


def redirect(to: str, status: int = 307) -> Status:
    return Status(status, {"Location": to})


@dataclass
class Raw(Fault):
    """Whatever bytes, and the end of the connection."""

    content: bytes

    def answer(self, handler: "Handler") -> None:
        handler.wfile.write(self.content)
        handler.close_connection = True


@dataclass
class Announced(Fault):
    """A Content-Length that is not the body's."""

    length: int | str
    body: bytes

    def answer(self, handler: "Handler") -> None:
        handler.wfile.write(f"HTTP/1.1 200 OK\r\nContent-Length: {self.length}\r\n\r\n".encode() + self.body)
        handler.close_connection = True


@dataclass
class Endless(Fault):
    """The same piece again and again, after some head, with a pause in between."""

    head: bytes = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
    piece: bytes = b"x" * 65536
    pause_seconds: float = 0.0

    def answer(self, handler: "Handler") -> None:
        handler.wfile.write(self.head)
        handler.wfile.flush()
        # Ends when the reader has gone, or the server.
        while not handler.registry.closing.wait(self.pause_seconds):
            handler.wfile.write(self.piece)
            handler.wfile.flush()


def packed(size: int) -> Body:
    """Return a few KiB that unpack to *size* bytes."""
    packer = zlib.compressobj(9, wbits=31)
    content = b"".join(packer.compress(bytes(65536)) for _ in range(size // 65536)) + packer.flush()
    return Body(content, {"Content-Encoding": "gzip"})


class RegistryServer:
    """A registry on a free port of 127.0.0.1, while its block runs."""

    def __init__(
        self,
        *,
        referrers: bool = True,
        page_size: int = 1000,
        tls: ssl.SSLContext | None = None,
        listed_as: str | None = None,
    ) -> None:
        """Take how the registry is.

        Parameters
        ----------
        referrers
            Whether it has the referrers API.
        tls
            For https, with its certificate.
        listed_as
            An ``artifactType`` to say of every referrer, whatever it is.
        """
        self.referrers = referrers
        self.page_size = page_size
        self.listed_as = listed_as
        self.manifests: dict[tuple[str, str], tuple[bytes, str]] = {}
        self.tags: dict[tuple[str, str], str] = {}
        self.blobs: dict[tuple[str, str], bytes] = {}
        self.uploads: dict[str, bytearray] = {}
        self.asked: list[Asked] = []
        self.closing = threading.Event()
        self.token: str | None = None
        """Wanted of everybody who asks, where it is set; had at ``/token``."""
        self.password: tuple[str, str] | None = None
        """Wanted at ``/token``; without a token, of everybody."""
        self.challenge: str | None = None
        """In place of the right one."""
        self._faults: list[tuple[re.Pattern[str], Fault, list[int]]] = []
        registry = self

        class Bound(Handler):
            pass

        Bound.registry = registry
        self._server = _Server(("127.0.0.1", 0), Bound)
        if tls:
            self._server.socket = tls.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self.port = int(self._server.server_address[1])
        self.host = f"127.0.0.1:{self.port}"
        self.url = f"{'https' if tls else 'http'}://{self.host}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Be gone."""
        if not self.closing.is_set():
            self.closing.set()
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()

    def fault(self, path: str, fault: Fault, *, times: int = 1_000_000) -> None:
        """Answer requests for a path so, as often as that; the expression is searched for."""
        self._faults.append((re.compile(path), fault, [times]))

    def fault_for(self, path: str) -> Fault | None:
        for pattern, fault, left in self._faults:
            if left[0] and pattern.search(path):
                left[0] -= 1
                return fault
        return None

    @property
    def lines(self) -> list[str]:
        return [asked.line for asked in self.asked]

    def put_blob(self, name: str, content: bytes) -> str:
        digest = digest_of(content)
        self.blobs[name, digest] = content
        return digest

    def put_manifest(self, name: str, content: bytes, *, tag: str = "", media_type: str = "") -> str:
        digest = digest_of(content)
        self.manifests[name, digest] = (content, media_type or _media_type(content))
        if tag:
            self.tags[name, tag] = digest
        return digest

    def listing(self, name: str, subject: str) -> list[dict[str, Any]]:
        """Return descriptors of what refers to *subject*."""
        found = []
        for (owner, digest), (content, media_type) in self.manifests.items():
            document = _document(content)
            if owner == name and (document.get("subject") or {}).get("digest") == subject:
                kind = document.get("artifactType") or (document.get("config") or {}).get("mediaType")
                found.append(
                    {
                        "mediaType": media_type,
                        "digest": digest,
                        "size": len(content),
                        "artifactType": self.listed_as or kind,
                        "annotations": document.get("annotations") or {},
                    }
                )
        return found


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # what serves an endless body ends by itself

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of readers that went away: that is what they are tested for."""


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    registry: RegistryServer
    protocol_version = "HTTP/1.1"
    # Headers and body in one segment: else Nagle's algorithm waits 40 ms for an acknowledgement in between.
    wbufsize = -1
    disable_nagle_algorithm = True

    def log_message(self, *_: object) -> None:
        pass

    def reply(self, status: int, body: bytes = b"", headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if "Content-Length" not in (headers or {}):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _serve(self) -> None:
        body = self._body()
        headers, connection = dict(self.headers.items()), self.client_address[1]
        self.registry.asked.append(Asked(self.command, self.path, headers, connection))
        if fault := self.registry.fault_for(self.path):
            fault.answer(self)
            return
        path = urlsplit(self.path).path
        if path == "/token":
            self._token()
        elif not self._is_let_in(path):
            pass
        elif path == "/v2/":
            self.reply(200, b"{}")
        else:
            for kind, route in _ROUTES.items():
                if found := route.fullmatch(path):
                    serve: Callable[[str, str, bytes], None] = getattr(self, f"_{kind}")
                    serve(found["name"], found["reference"], body)
                    return
            self.reply(404)

    do_GET = _serve  # noqa: N815  # the library's names
    do_HEAD = _serve  # noqa: N815
    do_PUT = _serve  # noqa: N815
    do_POST = _serve  # noqa: N815
    do_PATCH = _serve  # noqa: N815

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", "0")))
        content = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            content += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return content

    # --- Being let in -----------------------------------------------------------------------------

    def _is_let_in(self, path: str) -> bool:
        registry, given = self.registry, self.headers.get("Authorization", "")
        if registry.token is not None:
            name = path.removeprefix("/v2/").rpartition("/")[0].rpartition("/")[0]
            wanted, asks = (
                f"Bearer {registry.token}",
                (f'Bearer realm="{registry.url}/token",service="fixture",scope="repository:{name}:pull"'),
            )
        elif registry.password is not None:
            wanted, asks = _basic(registry.password), 'Basic realm="fixture"'
        else:
            return True
        if given == wanted:
            return True
        self.reply(
            401, b"{}", {"WWW-Authenticate": asks if registry.challenge is None else registry.challenge}
        )
        return False

    def _token(self) -> None:
        registry = self.registry
        if registry.password and self.headers.get("Authorization") != _basic(registry.password):
            self.reply(401)
        else:
            self.reply(200, json.dumps({"token": registry.token}).encode())

    # --- The API ----------------------------------------------------------------------------------

    def _manifest(self, name: str, reference: str, body: bytes) -> None:
        registry = self.registry
        if self.command == "PUT":
            tag = "" if reference.startswith("sha256:") else reference
            media_type = self.headers.get("Content-Type", "")
            digest = registry.put_manifest(name, body, tag=tag, media_type=media_type)
            headers = {"Docker-Content-Digest": digest, "Location": f"/v2/{name}/manifests/{digest}"}
            subject = (_document(body).get("subject") or {}).get("digest")
            if registry.referrers and subject:
                headers["OCI-Subject"] = subject
            self.reply(201, b"", headers)
            return
        found = registry.manifests.get((name, registry.tags.get((name, reference), reference)))
        if found is None:
            self.reply(404, b'{"errors":[{"code":"MANIFEST_UNKNOWN"}]}')
        else:
            content, media_type = found
            self.reply(
                200, content, {"Content-Type": media_type, "Docker-Content-Digest": digest_of(content)}
            )

    def _blob(self, name: str, reference: str, _body: bytes) -> None:
        content = self.registry.blobs.get((name, reference))
        if content is None:
            self.reply(404, b'{"errors":[{"code":"BLOB_UNKNOWN"}]}')
        else:
            self.reply(
                200,
                content,
                {"Content-Type": "application/octet-stream", "Docker-Content-Digest": reference},
            )

    def _upload(self, name: str, reference: str, body: bytes) -> None:
        registry, query = self.registry, parse_qs(urlsplit(self.path).query)
        if self.command == "POST":
            reference = uuid4().hex
            registry.uploads[reference] = bytearray()
        if reference not in registry.uploads:
            self.reply(404)
            return
        registry.uploads[reference] += body
        where = f"/v2/{name}/blobs/uploads/{reference}"
        if "digest" not in query:
            end = max(len(registry.uploads[reference]) - 1, 0)
            self.reply(202, b"", {"Location": where, "Range": f"0-{end}", "Docker-Upload-UUID": reference})
            return
        content = bytes(registry.uploads.pop(reference))
        if digest_of(content) != query["digest"][0]:
            self.reply(400, b'{"errors":[{"code":"DIGEST_INVALID"}]}')
            return
        digest = registry.put_blob(name, content)
        self.reply(201, b"", {"Location": f"/v2/{name}/blobs/{digest}", "Docker-Content-Digest": digest})

    def _referrers(self, name: str, reference: str, _body: bytes) -> None:
        registry = self.registry
        if not registry.referrers:
            self.reply(404, b"404 page not found\n")
            return
        listed = registry.listing(name, reference)
        start = int(parse_qs(urlsplit(self.path).query).get("last", ["0"])[0])
        page = listed[start : start + registry.page_size]
        headers = {"Content-Type": INDEX}
        if start + registry.page_size < len(listed):
            after = start + registry.page_size
            headers["Link"] = f'</v2/{name}/referrers/{reference}?last={after}>; rel="next"'
        document = {"schemaVersion": 2, "mediaType": INDEX, "manifests": page}
        self.reply(200, json.dumps(document).encode(), headers)


def _basic(password: tuple[str, str]) -> str:
    return f"Basic {base64.b64encode(':'.join(password).encode()).decode()}"


def _document(content: bytes) -> dict[str, Any]:
    try:
        document = json.loads(content)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _media_type(content: bytes) -> str:
    document = _document(content)
    return str(document.get("mediaType") or (INDEX if "manifests" in document else MANIFEST))

"""Registries other than ECR: a fixture that fails in every way, and a real one."""

import json
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from hooks.image_trust.evidence import Attached, Attachments, Kind
from hooks.image_trust.finding import Digest, Outcome, Problem, Rejected
from hooks.image_trust.manifest import Descriptor, Manifest, Platform, digest_of
from hooks.image_trust.reference import Reference
from hooks.image_trust.registry.content import ContentCache
from hooks.image_trust.registry.oci import OciRegistry
from hooks.image_trust.registry.transfer import Limits
from shared.errors import HookError, Misconfigured, Transient
from tests.hooks.image_trust import docker_registry
from tests.hooks.image_trust import oci_artifacts as oci
from tests.hooks.image_trust.registry_server import (
    Announced,
    Body,
    Endless,
    Fault,
    Raw,
    RegistryServer,
    Status,
    packed,
    redirect,
)

NAME = "shop/web"
ALL = frozenset(Kind)
PASSWORD = ("robot", "pass:wörd")
QUICK = Limits(connect_seconds=1.0, read_seconds=0.3, answer_seconds=0.6)
HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.fixture
def server() -> Iterator[RegistryServer]:
    with RegistryServer() as server:
        yield server


@dataclass(frozen=True)
class Kept:
    """A repository of the fixture, filled without HTTP."""

    server: RegistryServer
    name: str = NAME

    def blob(self, content: bytes) -> None:
        self.server.put_blob(self.name, content)

    def manifest(self, content: bytes, tag: str = "") -> None:
        self.server.put_manifest(self.name, content, tag=tag)


def registry(server: RegistryServer, **settings: Any) -> OciRegistry:
    settings = {"insecure": True, "content": ContentCache(), "limits": QUICK, **settings}
    return OciRegistry(server.host, **settings)


def at(server: RegistryServer, digest: str | None = None, *, tag: str | None = None) -> Reference:
    return Reference(server.host, NAME, tag, Digest(digest) if digest else None)


# --- Against a fixture with and without referrers API, and a real registry ---------------------------


@pytest.fixture(scope="session")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if not docker_registry.is_installed():
        pytest.skip("docker-registry is not installed (Debian's package docker-registry)")
    with docker_registry.running(tmp_path_factory.mktemp("docker-registry")) as host:
        yield host


@pytest.fixture(params=["referrers API", "no referrers API", "docker-registry"])
def where(request: pytest.FixtureRequest) -> Iterator[tuple[oci.HttpRepository, OciRegistry, bool]]:
    """A repository to push to, what reads it, and whether tools write the fallback tag there."""
    # One of its own for each test: the real registry serves them all.
    name = f"shop/{abs(hash(request.node.nodeid))}"
    if request.param == "docker-registry":
        host = request.getfixturevalue("real")
        yield oci.HttpRepository(f"http://{host}", name), OciRegistry(host, insecure=True), True
        return
    has_api = request.param == "referrers API"
    with RegistryServer(referrers=has_api) as server:
        yield oci.HttpRepository(server.url, name), registry(server), not has_api


Where = tuple[oci.HttpRepository, OciRegistry, bool]


def test_an_image_is_read_by_tag_and_by_digest(where: Where) -> None:
    repository, reads, _ = where
    digest = oci.push_image(repository, b"an image", tag="1.0")
    content = oci.manifest(layers=[oci.descriptor("application/vnd.oci.image.layer.v1.tar", b"an image")])
    expected = Manifest(
        digest=digest,
        media_type=oci.MANIFEST,
        size=len(content),
        artifact_type=oci.CONFIG,
        layers=(
            Descriptor(
                media_type="application/vnd.oci.image.layer.v1.tar",
                digest=digest_of(b"an image"),
                size=8,
            ),
        ),
    )
    assert reads.image(Reference(reads.host, repository.name, "1.0")) == expected
    assert reads.image(Reference(reads.host, repository.name, None, digest)) == expected
    # What is named by both is the digest, as for the runtime.
    assert reads.image(Reference(reads.host, repository.name, "moved", digest)) == expected


def test_what_is_not_there_is_no_image(where: Where) -> None:
    repository, reads, _ = where
    oci.push_image(repository)
    for reference in (
        Reference(reads.host, repository.name, "2.0"),
        Reference(reads.host, repository.name, None, digest_of(b"nothing")),
        Reference(reads.host, "shop/nowhere", "1.0"),
    ):
        with pytest.raises(Rejected) as raised:
            reads.image(reference)
        assert raised.value.code == "no-image"


def test_signatures_are_found_on_an_index_and_on_an_image_of_it(where: Where) -> None:
    repository, reads, needs_tag = where
    images = {machine: oci.push_image(repository, machine.encode()) for machine in ("amd64", "arm64")}
    index = oci.push_index(repository, images, tag="1.0")
    manifest = oci.push_cosign(repository, images["arm64"], [b"payload"])
    bundle = oci.push_referrer(repository, index, b"a bundle", fallback=needs_tag)
    bare = Reference(reads.host, repository.name)

    read = reads.image(Reference(reads.host, repository.name, "1.0"))
    assert (read.digest, read.is_index) == (index, True)
    assert [(entry.digest, entry.platform) for entry in read.runnable] == [
        (images["amd64"], Platform("linux", "amd64")),
        (images["arm64"], Platform("linux", "arm64")),
    ]
    assert reads.attachments(bare, images["amd64"], ALL) == Attachments()
    assert reads.attachments(bare, images["arm64"], ALL) == Attachments(
        (
            Attached(
                kind=Kind.COSIGN_SIGNATURE,
                subject=images["arm64"],
                manifest=manifest,
                media_type=oci.SIMPLE_SIGNING,
                content=b"payload",
                annotations={oci.SIGNATURE: "signature 0"},
            ),
        )
    )
    assert reads.attachments(bare, index, ALL) == Attachments(
        (
            Attached(
                kind=Kind.BUNDLE,
                subject=index,
                manifest=bundle,
                media_type=oci.BUNDLE,
                content=b"a bundle",
                annotations={"kept": "yes"},
            ),
        )
    )


def test_all_kinds_are_found(where: Where) -> None:
    repository, reads, needs_tag = where
    image = oci.push_image(repository)
    oci.push_cosign(repository, image, [b"alice", b"bob"])
    oci.push_cosign(repository, image, [b"statement"], suffix=".att")
    # Listed as GHCR lists it.
    oci.push_referrer(repository, image, b"bundle", fallback=needs_tag, listed_as=oci.EMPTY)
    bare = Reference(reads.host, repository.name)
    found = reads.attachments(bare, image, ALL)
    assert ([(one.kind, one.content) for one in found.found], found.problems) == (
        [
            (Kind.COSIGN_SIGNATURE, b"alice"),
            (Kind.COSIGN_SIGNATURE, b"bob"),
            (Kind.COSIGN_ATTESTATION, b"statement"),
            (Kind.BUNDLE, b"bundle"),
        ],
        (),
    )
    other = oci.push_image(repository, b"other")
    oci.push_referrer(
        repository, other, b"{}", artifact_type=oci.NOTATION, layer_type=oci.JWS, fallback=needs_tag
    )
    signed = reads.attachments(bare, other, frozenset({Kind.NOTATION}))
    assert [(one.kind, one.content) for one in signed.found] == [(Kind.NOTATION, b"{}")]


def test_a_tool_may_push_in_pieces(server: RegistryServer) -> None:
    uploads = f"{server.url}/v2/{NAME}/blobs/uploads/"
    begun = server.url + requests.post(uploads, timeout=5).headers["Location"]
    for piece in (b"one ", b"two "):
        done = requests.patch(begun, data=piece, timeout=5)
        assert done.status_code == 202
    # Without a length, as skopeo and docker do: chunked.
    assert requests.patch(begun, data=iter([b"thr", b"ee"]), timeout=5).headers["Range"] == "0-12"
    wrong = requests.put(f"{begun}?digest={digest_of(b'other')}", timeout=5)
    assert wrong.status_code == 400
    begun = server.url + requests.post(uploads, timeout=5).headers["Location"]
    requests.patch(begun, data=iter([b"one two ", b"three"]), timeout=5)
    content = b"one two three"
    assert requests.put(f"{begun}?digest={digest_of(content)}", timeout=5).status_code == 201
    assert server.blobs == {(NAME, digest_of(content)): content}


# --- Lists -------------------------------------------------------------------------------------------


def test_a_list_goes_on_over_pages() -> None:
    with RegistryServer(page_size=3) as server:
        image = oci.push_image(Kept(server))
        for number in range(8):
            oci.push_referrer(Kept(server), image, b"bundle %d" % number)
        found = registry(server).attachments(at(server), image, ALL)
        assert ([one.content for one in found.found], found.problems) == (
            [b"bundle %d" % number for number in range(8)],
            (),
        )


def test_a_list_without_end_is_ended() -> None:
    with RegistryServer(page_size=1) as server:
        image = oci.push_image(Kept(server))
        for number in range(6):
            oci.push_referrer(Kept(server), image, b"bundle %d" % number)
        found = registry(server).attachments(at(server), image, ALL)
        assert [one.content for one in found.found] == [b"bundle %d" % number for number in range(4)]
        text = f"the referrers of {server.host}/{NAME}@{image} go on after 4; the others were not read"
        assert found.problems == (Problem(Outcome.MISCONFIGURED, "too-many-candidates", text),)


@pytest.mark.parametrize(
    "link",
    [
        '<http://169.254.169.254/v2/shop/web/referrers/x>; rel="next"',
        '<//evil.example/x>; rel="next"',
        '</v2/shop/other/referrers/x>; rel="next"',
        '</token>; rel="next"',
        '<>; rel="next"',
        '<?last=1>; rel="last"',
        "nonsense",
        "<" * 5000,
    ],
)
def test_a_list_goes_on_nowhere_else(server: RegistryServer, link: str) -> None:
    image = oci.push_image(Kept(server))
    bundle = oci.push_referrer(Kept(server), image, b"bundle")
    listed = {"manifests": server.listing(NAME, image)}
    server.fault("/referrers/", Body(json.dumps(listed).encode(), {"Link": link}))
    found = registry(server).attachments(at(server), image, ALL)
    assert [one.manifest for one in found.found] == [bundle]
    assert [(problem.outcome, problem.code) for problem in found.problems] == [
        (Outcome.MISCONFIGURED, "misconfigured")
    ]
    assert len([line for line in server.lines if "referrers" in line]) == 1


@pytest.mark.parametrize("status", [400, 404, 405, 406, 501])
def test_without_a_referrers_api_there_is_the_tag(server: RegistryServer, status: int) -> None:
    image = oci.push_image(Kept(server))
    oci.push_referrer(Kept(server), image, b"bundle", fallback=True)
    server.fault("/referrers/", Status(status))
    found = registry(server).attachments(at(server), image, ALL)
    assert ([one.content for one in found.found], found.problems) == ([b"bundle"], ())


@pytest.mark.parametrize(
    ("status", "outcome"),
    [(403, Outcome.MISCONFIGURED), (429, Outcome.UNVERIFIABLE), (500, Outcome.UNVERIFIABLE)],
)
def test_a_list_that_cannot_be_had_is_said_beside_what_is_found(
    server: RegistryServer, status: int, outcome: Outcome
) -> None:
    image = oci.push_image(Kept(server))
    oci.push_cosign(Kept(server), image, [b"payload"])
    oci.push_referrer(Kept(server), image, b"bundle", fallback=True)
    server.fault("/referrers/", Status(status))
    found = registry(server).attachments(at(server), image, ALL)
    assert [one.content for one in found.found] == [b"payload", b"bundle"]
    assert [problem.outcome for problem in found.problems] == [outcome]


@pytest.mark.parametrize("suffix", ["", ".sig", ".att"])
def test_a_tag_that_cannot_be_read_is_not_a_tag_that_is_not_there(
    server: RegistryServer, suffix: str
) -> None:
    image = oci.push_image(Kept(server))
    server.fault(f"/manifests/{oci.cosign_tag(image, suffix)}$", Status(503))
    found = registry(server).attachments(at(server), image, ALL)
    assert [(problem.outcome, problem.code) for problem in found.problems] == [
        (Outcome.UNVERIFIABLE, "unavailable")
    ]


def test_candidates_that_fail_hide_no_other(server: RegistryServer) -> None:
    image = oci.push_image(Kept(server))
    gone, broken, _good = (
        oci.push_referrer(Kept(server), image, content) for content in (b"gone", b"broken", b"good")
    )
    oci.push_cosign(Kept(server), image, [b"missing", b"there"])
    server.fault(f"/manifests/{gone}", Status(404))
    server.fault(f"/manifests/{broken}", Status(503))
    del server.blobs[NAME, digest_of(b"missing")]
    found = registry(server).attachments(at(server), image, ALL)
    assert [one.content for one in found.found] == [b"there", b"good"]
    assert [(problem.outcome, problem.code) for problem in found.problems] == [
        (Outcome.UNTRUSTED, "no-blob"),
        (Outcome.UNTRUSTED, "no-image"),
        (Outcome.UNVERIFIABLE, "unavailable"),
    ]


# --- What can go wrong with one answer ---------------------------------------------------------------

BREAKS: list[tuple[str, Fault, type[HookError], str]] = [
    ("401 without a challenge", Status(401), Misconfigured, "no challenge"),
    ("403", Status(403), Misconfigured, "403"),
    ("404", Status(404), Rejected, "no-image"),
    ("408", Status(408), Transient, "408"),
    ("418", Status(418), Misconfigured, "418"),
    ("429", Status(429), Transient, "429"),
    ("500", Status(500), Transient, "500"),
    ("503", Status(503), Transient, "503"),
    ("204", Status(204), Misconfigured, "204"),
    ("206", Status(206, body=b"{}"), Misconfigured, "206"),
    ("a redirect", redirect("/v2/"), Misconfigured, "for blobs only"),
    ("a redirect with a body", Status(301, {"Location": "/"}, b"x" * 99), Misconfigured, "for blobs only"),
    ("duplicate keys", Body(b'{"schemaVersion": 2, "schemaVersion": 2}'), Rejected, "malformed-json"),
    ("no JSON", Body(b"<html>"), Rejected, "malformed-json"),
    ("no UTF-8", Body(b"\xff\xfe"), Rejected, "malformed-json"),
    ("nothing", Body(b""), Rejected, "malformed-json"),
    ("a bomb", packed(256 * 1024 * 1024), Misconfigured, "packed as 'gzip'"),
    ("an unknown packing", Body(b"{}", {"Content-Encoding": "x-none"}), Misconfigured, "packed"),
    ("five megabytes", Body(b" " * 5_000_000), Rejected, "too-large"),
    ("five megabytes, announced", Announced(5_000_000, b"{}"), Rejected, "too-large"),
    ("a length of many digits", Announced("9" * 400, b"{}"), Rejected, "too-large"),
    ("less than announced", Announced(1000, b"{}"), Transient, "ProtocolError"),
    ("more than announced", Announced(1, b"{}"), Rejected, "malformed-json"),
    ("a negative length", Announced(-1, b"{}"), Rejected, "unsupported-manifest"),
    ("without end", Endless(), Rejected, "too-large"),
    ("chunks without end", Endless(CHUNKED, b"ffff\r\n%b\r\n" % (b"x" * 0xFFFF)), Rejected, "too-large"),
    ("crumbs without end", Endless(CHUNKED, b"1\r\nx\r\n"), Transient, "ReadTimeoutError"),
    ("a chunk of nonsense", Raw(CHUNKED + b"zz\r\n"), Transient, "ProtocolError"),
    ("a chunk's length without end", Endless(CHUNKED, b"1" * 9999), Transient, "ProtocolError"),
    ("slow, byte by byte", Endless(HEAD + b"\r\n", b" ", 0.02), Transient, "ReadTimeoutError"),
    ("silent", Endless(HEAD + b"\r\n", b"", 0.02), Transient, "ReadTimeoutError"),
    ("slow headers", Endless(HEAD, b"X", 0.02), Transient, "ReadTimeout"),
    ("an endless header", Endless(HEAD, b"X" * 9999), Transient, "ConnectionError"),
    ("endless headers", Endless(HEAD, b"X: y\r\n"), Transient, "ConnectionError"),
    ("endless 100 Continue", Endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), Transient, "ReadTimeout"),
    ("malformed headers", Raw(HEAD + b"No colon here\r\n\r\n{}"), Transient, "ConnectionError"),
    ("no HTTP", Raw(b"SSH-2.0-OpenSSH_9.2\r\n"), Transient, "ConnectionError"),
    ("no answer", Raw(b""), Transient, "ConnectionError"),
    ("an error page without end", Endless(b"HTTP/1.1 500 X\r\nConnection: close\r\n\r\n"), Transient, "500"),
    ("a slow error page", Endless(b"HTTP/1.1 403 X\r\n\r\n", b" ", 0.02), Transient, "ReadTimeoutError"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("fault", "error", "says"), [case[1:] for case in BREAKS], ids=[case[0] for case in BREAKS]
)
def test_every_answer_that_is_none_is_told_apart(
    server: RegistryServer, fault: Fault, error: type[HookError], says: str
) -> None:
    oci.push_image(Kept(server), tag="1.0")
    server.fault("/manifests/", fault)
    with pytest.raises(HookError) as raised:
        registry(server).image(at(server, tag="1.0"))
    assert type(raised.value) is error
    code = raised.value.code if isinstance(raised.value, Rejected) else str(raised.value)
    assert says in code


@pytest.mark.parametrize("content", [oci.manifest(), b"no JSON", b""])
def test_another_manifest_than_asked_for_is_refused(server: RegistryServer, content: bytes) -> None:
    image = oci.push_image(Kept(server))
    server.fault("/manifests/", Body(content, {"Docker-Content-Digest": image}))
    with pytest.raises(Rejected) as raised:
        registry(server).image(at(server, image))
    assert raised.value.code == "digest-mismatch"
    found = registry(server).attachments(at(server), digest_of(b"another"), ALL)
    assert found.found == ()


def test_one_that_is_not_there_is_waited_for() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{closed.getsockname()[1]}"
        reads = OciRegistry(host, insecure=True, limits=QUICK, content=ContentCache())
        with pytest.raises(Transient, match="ConnectionError"):
            reads.image(Reference(host, NAME, "1.0"))


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (Body(b"another payload"), "too-large"),
        (Body(b"PAYLOAD"), "digest-mismatch"),
        (Body(b""), "digest-mismatch"),
        (Endless(), "too-large"),
        (Status(404), "no-blob"),
        (Status(403), "misconfigured"),
        (Status(429), "unavailable"),
        (Endless(HEAD + b"\r\n", b"", 0.02), "unavailable"),
    ],
    ids=["larger", "other", "empty", "endless", "404", "403", "429", "silent"],
)
def test_a_blob_that_is_not_what_was_promised_is_a_problem(
    server: RegistryServer, fault: Fault, code: str
) -> None:
    image = oci.push_image(Kept(server))
    oci.push_cosign(Kept(server), image, [b"payload"])
    oci.push_referrer(Kept(server), image, b"good")
    server.fault(f"/blobs/{digest_of(b'payload')}", fault)
    found = registry(server).attachments(at(server), image, ALL)
    assert [one.content for one in found.found] == [b"good"]
    assert [problem.code for problem in found.problems] == [code]


def test_a_connection_is_used_again_after_an_error(server: RegistryServer) -> None:
    reads = registry(server)
    image = oci.push_image(Kept(server), tag="1.0")
    for _ in range(3):
        with pytest.raises(Rejected):
            reads.image(at(server, tag="2.0"))
        assert reads.image(at(server, tag="1.0")).digest == image
    assert len({asked.connection for asked in server.asked}) == 1


# --- Being let in ------------------------------------------------------------------------------------


def authorizations(server: RegistryServer) -> list[tuple[str, str | None]]:
    return [(asked.path.partition("?")[0], asked.headers.get("Authorization")) for asked in server.asked]


BASIC = "Basic cm9ib3Q6cGFzczp3w7ZyZA=="


def test_a_token_is_had_without_password_and_used_for_the_repository(server: RegistryServer) -> None:
    server.token = "t0ken"
    image = oci.push_image(Kept(server), tag="1.0")
    reads = registry(server)
    assert reads.image(at(server, tag="1.0")).digest == image
    reads.image(at(server, tag="1.0"))
    manifest = f"/v2/{NAME}/manifests/1.0"
    assert authorizations(server) == [
        (manifest, None),
        ("/token", None),
        (manifest, "Bearer t0ken"),
        (manifest, "Bearer t0ken"),
    ]
    assert server.asked[1].path == "/token?scope=repository%3Ashop%2Fweb%3Apull&service=fixture"


def test_a_password_goes_to_where_tokens_come_from_only(server: RegistryServer) -> None:
    server.token, server.password = "t0ken", PASSWORD
    image = oci.push_image(Kept(server))
    oci.push_referrer(Kept(server), image, b"bundle")
    reads = registry(server, credentials=PASSWORD)
    assert [one.content for one in reads.attachments(at(server), image, ALL).found] == [b"bundle"]
    assert {(path == "/token", given) for path, given in authorizations(server)} == {
        (False, None),
        (True, BASIC),
        (False, "Bearer t0ken"),
    }
    assert len([path for path, _ in authorizations(server) if path == "/token"]) == 1


def test_a_wrong_password_is_said_and_not_shown(server: RegistryServer) -> None:
    server.token, server.password = "t0ken", ("robot", "another")
    oci.push_image(Kept(server), tag="1.0")
    with pytest.raises(Misconfigured, match="401; does registries") as raised:
        registry(server, credentials=PASSWORD).image(at(server, tag="1.0"))
    assert PASSWORD[1] not in str(raised.value)
    assert len(server.asked) == 2


def test_a_registry_may_want_the_password_itself(server: RegistryServer) -> None:
    server.password = PASSWORD
    image = oci.push_image(Kept(server), tag="1.0")
    assert registry(server, credentials=PASSWORD).image(at(server, tag="1.0")).digest == image
    assert [given for _, given in authorizations(server)] == [None, BASIC]
    with pytest.raises(Misconfigured, match="wants a password for shop/web; credentials of registries"):
        registry(server).image(at(server, tag="1.0"))


def test_a_token_that_has_expired_is_replaced_once(server: RegistryServer) -> None:
    server.token = "first"
    oci.push_image(Kept(server), tag="1.0")
    reads = registry(server)
    reads.image(at(server, tag="1.0"))
    server.token = "second"
    server.asked.clear()
    reads.image(at(server, tag="1.0"))
    assert [given for _, given in authorizations(server)] == ["Bearer first", None, "Bearer second"]
    server.fault("/token", Body(b'{"token": "wrong"}'))
    server.token = "third"
    server.asked.clear()
    with pytest.raises(Misconfigured, match="401"):
        reads.image(at(server, tag="1.0"))
    assert len(server.asked) == 3


def test_a_token_of_one_repository_is_not_used_for_another(server: RegistryServer) -> None:
    server.token = "t0ken"
    reads = registry(server)
    for name in (NAME, "shop/other"):
        oci.push_image(Kept(server, name), tag="1.0")
        reads.image(Reference(server.host, name, "1.0"))
    assert [given for _, given in authorizations(server)] == [None, None, "Bearer t0ken"] * 2


@pytest.mark.parametrize(
    "challenge",
    [
        'Bearer realm="http://169.254.169.254/latest/meta-data/"',
        'Bearer realm="https://169.254.169.254/token"',
        'Bearer realm="https://evil.example/token"',
        'Bearer realm="http://localhost:1/token"',
        'Bearer realm="//evil.example/token"',
        'Bearer realm="https://HOST@evil.example/token"',
        'Bearer realm="https://evil.example\\\\@HOST/token"',
        'Bearer realm="file:///etc/passwd"',
        'Bearer realm=""',
        "Bearer",
        'Bearer realm="URL/token", Bearer realm="URL/other"',
        'Bearer realm="URL/token",realm="URL/other"',
        'Bearer realm="URL/token" service="x"',
        'Bearer realm="URL/token',
        'Bearer realm="URL/token",scope="repository:shop/secret:pull"',
        'Bearer realm="URL/token",scope="registry:catalog:*"',
        'Bearer realm="URL/token",scope="\x01"',
        "Digest realm=x",
        "",
        "x" * 5000,
    ],
)
def test_whoever_asks_for_the_password_elsewhere_does_not_get_it(
    server: RegistryServer, challenge: str
) -> None:
    oci.push_image(Kept(server), tag="1.0")
    server.token = "t0ken"
    server.challenge = challenge.replace("HOST", server.host).replace("URL", server.url)
    with pytest.raises(Misconfigured):
        registry(server, credentials=PASSWORD).image(at(server, tag="1.0"))
    assert authorizations(server) == [(f"/v2/{NAME}/manifests/1.0", None)]


def test_a_token_never_asked_for_may_write(server: RegistryServer) -> None:
    oci.push_image(Kept(server), tag="1.0")
    server.token = "t0ken"
    server.challenge = f'Bearer realm="{server.url}/token",scope="repository:{NAME}:pull,push,delete"'
    registry(server).image(at(server, tag="1.0"))
    assert server.asked[1].path == "/token?scope=repository%3Ashop%2Fweb%3Apull"


def test_a_scope_for_all_of_a_registry_is_taken_as_it_is(server: RegistryServer) -> None:
    oci.push_image(Kept(server), tag="1.0")
    server.token = "t0ken"
    server.challenge = f'Bearer realm="{server.url}/token/?x=y",service="public",scope="aws"'
    server.fault("/token/", Body(b'{"access_token": "t0ken"}'))
    registry(server).image(at(server, tag="1.0"))
    assert server.asked[1].path == "/token/?x=y&scope=aws&service=public"


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Body(b"{}"), Misconfigured),
        (Body(b'{"token": 7}'), Misconfigured),
        (Body(b'{"token": ""}'), Misconfigured),
        (Body(b'{"token": "two\\r\\nX-Lines: yes"}'), Misconfigured),
        (Body(b'{"token": "t\xc3\xb6ken"}'), Misconfigured),
        (Body(b'{"token": "%s"}' % (b"x" * 40_000)), Misconfigured),
        (Body(b"[]"), Misconfigured),
        (Body(b"<html>"), Rejected),
        (Body(b" " * 100_000), Rejected),
        (Endless(), Rejected),
        (Status(403), Misconfigured),
        (Status(404), Misconfigured),
        (Status(503), Transient),
        (redirect("https://evil.example/token"), Misconfigured),
    ],
)
def test_what_is_no_token_is_not_used(server: RegistryServer, fault: Fault, error: type[HookError]) -> None:
    oci.push_image(Kept(server), tag="1.0")
    server.token = "t0ken"
    server.fault("/token", fault)
    with pytest.raises(error):
        registry(server, credentials=PASSWORD).image(at(server, tag="1.0"))
    assert len(server.asked) == 2


def test_tokens_may_come_from_a_host_that_is_named(server: RegistryServer) -> None:
    with RegistryServer() as tokens:
        server.token = tokens.token = "t0ken"
        server.challenge = f'Bearer realm="{tokens.url}/token",service="fixture"'
        image = oci.push_image(Kept(server), tag="1.0")
        with pytest.raises(Misconfigured, match=f"{tokens.host}', which is not allowed.*tokenHosts of"):
            registry(server).image(at(server, tag="1.0"))
        reads = registry(server, token_hosts=[tokens.host], credentials=PASSWORD)
        assert reads.image(at(server, tag="1.0")).digest == image
        assert authorizations(tokens) == [("/token", BASIC)]


# --- Redirects ---------------------------------------------------------------------------------------


@contextmanager
def redirecting(server: RegistryServer, status: int = 307) -> Iterator[tuple[RegistryServer, Digest]]:
    """Have the payload of a signature be somewhere else; yield that, and the image."""
    image = oci.push_image(Kept(server))
    oci.push_cosign(Kept(server), image, [b"payload"])
    with RegistryServer() as storage:
        storage.fault("/bucket/", Body(b"payload"))
        server.fault("/blobs/", redirect(f"{storage.url}/bucket/object", status))
        yield storage, image


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_blob_may_be_where_the_policy_says_and_gets_no_token(server: RegistryServer, status: int) -> None:
    server.token = "t0ken"
    with redirecting(server, status) as (storage, image):
        reads = registry(server, blob_hosts=[storage.host], credentials=PASSWORD)
        found = reads.attachments(at(server), image, ALL)
        assert ([one.content for one in found.found], found.problems) == ([b"payload"], ())
        assert [given for _, given in authorizations(storage)] == [None]


def test_a_blob_that_is_elsewhere_is_not_read_there(server: RegistryServer) -> None:
    with redirecting(server) as (storage, image):
        found = registry(server).attachments(at(server), image, ALL)
        assert (found.found, storage.asked) == ((), [])
        text = (
            f"a blob would be at 'http://{storage.host}', which is not allowed; if it is right, add the host "
            f"to blobHosts of registries.{server.host} in the policy"
        )
        assert found.problems == (Problem(Outcome.MISCONFIGURED, "misconfigured", text),)


@pytest.mark.parametrize(
    "to",
    [
        "http://169.254.169.254/latest/meta-data/iam/security-credentials/",
        "https://169.254.169.254/",
        "http://[fd00:ec2::254]/latest/meta-data/",
        "http://[::1]:9001/2018-06-01/runtime/invocation/next",
        "http://127.0.0.1:9001/2018-06-01/runtime/invocation/next",
        "http://localhost:9001/",
        "http://127.1:9001/",
        "http://2130706433/",
        "http://0x7f000001/",
        "http://0177.0.0.1/",
        "https://2852039166/",
        "https://evil.example/",
        "//evil.example/x",
        "///evil.example/x",
        "/\\evil.example/x",
        "\\\\evil.example\\x",
        "https:/evil.example/",
        "https:evil.example",
        "https://HOST@evil.example/",
        "https://evil.example\\@HOST/",
        "https://evil.example#@HOST/",
        "https://evil.example?@HOST/",
        "http://HOST.evil.example/",
        "http://HOST:80/",
        "javascript:alert(1)",
        "file:///etc/passwd",
        "ftp://HOST/x",
        "",
        "http://",
        "relative/path",
        "http://HOST/with space",
        "http://HOST/" + "x" * 9000,
    ],
)
def test_a_blob_is_never_read_from_where_it_must_not_be(server: RegistryServer, to: str) -> None:
    image = oci.push_image(Kept(server))
    oci.push_cosign(Kept(server), image, [b"payload"])
    server.fault("/blobs/", redirect(to.replace("HOST", server.host)), times=1)
    reads = registry(server, blob_hosts=["169.254.169.254", "evil.example.", "localhost"])
    found = reads.attachments(at(server), image, frozenset({Kind.COSIGN_SIGNATURE}))
    assert (found.found, [problem.outcome for problem in found.problems]) == ((), [Outcome.MISCONFIGURED])
    assert len([line for line in server.lines if "/blobs/" in line]) == 1
    assert not [line for line in server.lines if line.split()[1].startswith(("/with", "/x"))]


def test_a_registry_may_redirect_within_itself(server: RegistryServer) -> None:
    # As Google's registries do.
    server.token = "t0ken"
    image = oci.push_image(Kept(server))
    oci.push_cosign(Kept(server), image, [b"payload"])
    server.fault("/blobs/", redirect("/artifacts-downloads/x?token=s3cret"))
    server.fault("/artifacts-downloads/", Body(b"payload"))
    found = registry(server).attachments(at(server), image, ALL)
    assert [one.content for one in found.found] == [b"payload"]
    assert authorizations(server)[-1] == ("/artifacts-downloads/x", None)


def test_redirects_have_an_end(server: RegistryServer) -> None:
    image = oci.push_image(Kept(server))
    oci.push_cosign(Kept(server), image, [b"payload"])
    server.fault("/blobs/", redirect("/elsewhere"))
    server.fault("/elsewhere", redirect("/elsewhere"))
    found = registry(server).attachments(at(server), image, frozenset({Kind.COSIGN_SIGNATURE}))
    assert [problem.text for problem in found.problems] == [
        f"the cosign-signature {digest_of(b'payload')}: more than 3 redirects"
    ]
    assert len([line for line in server.lines if line == "GET /elsewhere"]) == 3


def test_a_redirect_may_not_cost_anything_to_refuse(server: RegistryServer) -> None:
    # requests' own Session reads such a body to its end, and unpacks it, before it lets one look.
    image = oci.push_image(Kept(server))
    oci.push_cosign(Kept(server), image, [b"payload"])
    server.fault("/blobs/", Endless(b"HTTP/1.1 307 X\r\nLocation: https://evil.example/\r\n\r\n"))
    found = registry(server).attachments(at(server), image, frozenset({Kind.COSIGN_SIGNATURE}))
    assert [problem.text.partition(",")[0] for problem in found.problems] == [
        "a blob would be at 'https://evil.example'"
    ]


def test_the_host_of_a_blob_is_not_persuaded(server: RegistryServer) -> None:
    with RegistryServer() as storage:
        storage.fault("/away", Status(401, {"WWW-Authenticate": f'Bearer realm="{server.url}/token"'}))
        image = oci.push_image(Kept(server))
        oci.push_cosign(Kept(server), image, [b"payload"])
        server.fault("/blobs/", redirect(f"{storage.url}/away"))
        reads = registry(server, blob_hosts=[storage.host], credentials=PASSWORD)
        found = reads.attachments(at(server), image, frozenset({Kind.COSIGN_SIGNATURE}))
        assert [problem.outcome for problem in found.problems] == [Outcome.MISCONFIGURED]
        assert "GET /token" not in {line.partition("?")[0] for line in server.lines}


@pytest.mark.parametrize(
    "fault",
    [Status(403), Status(500), Raw(b""), Raw(HEAD + b"malformed\r\n\r\n"), Endless(HEAD, b"", 0.02), None],
    ids=["403", "500", "none", "malformed", "silent", "away"],
)
def test_a_signed_address_is_in_no_message(
    server: RegistryServer, caplog: pytest.LogCaptureFixture, fault: Fault | None
) -> None:
    with caplog.at_level("INFO"), RegistryServer() as storage:
        image = oci.push_image(Kept(server))
        oci.push_cosign(Kept(server), image, [b"payload"])
        server.fault("/blobs/", redirect(f"{storage.url}/bucket/object?X-Amz-Signature=s3cret"))
        if fault:
            storage.fault("/bucket/", fault)
        else:
            storage.close()
        reads = registry(server, blob_hosts=[storage.host])
        found = reads.attachments(at(server), image, frozenset({Kind.COSIGN_SIGNATURE}))
    assert [asked.path.endswith("s3cret") for asked in storage.asked] == ([True] if fault else [])
    assert len(found.problems) == 1
    assert "s3cret" not in repr(found.problems) + caplog.text


def test_an_address_that_requests_reads_otherwise_is_not_asked(
    server: RegistryServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with RegistryServer() as other:
        monkeypatch.setattr(
            requests.PreparedRequest,
            "prepare_url",
            lambda self, *_: setattr(self, "url", f"{other.url}/v2/{NAME}/manifests/1.0"),
        )
        with pytest.raises(Misconfigured, match="can be read in two ways"):
            registry(server).image(at(server, tag="1.0"))
        assert other.asked == server.asked == []


# --- Whom it asks ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254",
        "10.0.0.5:5000",
        "[::1]:5000",
        "127.0.0.1",
        "localhost:5000",
        "registry.localhost",
        "0x7f.1",
        "2130706433",
        "127.1",
        "evil_host",
        "registry:99999",
        "registry:0",
        "-registry.example",
        "",
    ],
)
def test_a_registry_has_a_name(host: str) -> None:
    with pytest.raises(Misconfigured):
        OciRegistry(host)


@pytest.mark.parametrize("host", ["registry.example.com", "10.0.0.5:5000", "169.254.169.254", "ghcr.io"])
def test_only_this_machine_is_asked_in_the_clear(host: str) -> None:
    with pytest.raises(Misconfigured):
        OciRegistry(host, insecure=True)


@pytest.mark.parametrize(
    ("host", "asked", "tokens", "blobs"),
    [
        (
            "docker.io",
            "registry-1.docker.io",
            "auth.docker.io",
            [
                "production.cloudflare.docker.com",
                "production.cloudfront.docker.com",
                "docker-images-prod.6aa30f8b08e16409b46e0173d6de2f56.r2.cloudflarestorage.com",
            ],
        ),
        ("ghcr.io", "ghcr.io", "ghcr.io", ["pkg-containers.githubusercontent.com"]),
        ("quay.io", "quay.io", "quay.io", ["cdn.quay.io", "cdn01.quay.io", "cdn06.quay.io"]),
        ("public.ecr.aws", "public.ecr.aws", "public.ecr.aws", ["d5l0dvt14r5h8.cloudfront.net"]),
        ("ecr-public.aws.com", "ecr-public.aws.com", "ecr-public.aws.com", ["d2glxqk2uabbnd.cloudfront.net"]),
        ("us-docker.pkg.dev", "us-docker.pkg.dev", "us-docker.pkg.dev", []),
    ],
)
def test_public_registries_lead_where_they_say(host: str, asked: str, tokens: str, blobs: list[str]) -> None:
    its = OciRegistry(host)._client
    assert str(its.origin) == f"https://{asked}"
    its._tokens.resolve(f"https://{tokens}/token", its.origin)
    for blob in (*blobs, asked):
        its._blobs.resolve(f"https://{blob}/x?y=z", its.origin)
        with pytest.raises(Misconfigured):
            its._blobs.resolve(f"http://{blob}/x", its.origin)
        if blob != asked:
            with pytest.raises(Misconfigured):
                its._tokens.resolve(f"https://{blob}/token", its.origin)
    with pytest.raises(Misconfigured, match="add the host to blobHosts of registries"):
        its._blobs.resolve("https://d111111abcdef8.cloudfront.net/x", its.origin)


def test_what_is_in_another_registry_is_not_asked_for(server: RegistryServer) -> None:
    reads = registry(server)
    other = Reference("ghcr.io", NAME, "1.0")
    with pytest.raises(Misconfigured, match=r"ghcr\.io/shop/web is not in the registry"):
        reads.image(other)
    with pytest.raises(Misconfigured, match=r"ghcr\.io/shop/web is not in the registry"):
        reads.attachments(other, digest_of(b""), ALL)
    assert server.asked == []


def test_nothing_is_taken_from_the_environment(
    server: RegistryServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login robot password s3cret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.setenv(name, str(tmp_path / "none.pem"))
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    image = oci.push_image(Kept(server), tag="1.0")
    assert registry(server).image(at(server, tag="1.0")).digest == image
    assert authorizations(server) == [(f"/v2/{NAME}/manifests/1.0", None)]


def test_what_is_asked_for_is_said_plainly(server: RegistryServer) -> None:
    oci.push_image(Kept(server), tag="1.0")
    server.fault("/v2/", Status(200, {"Set-Cookie": "a=b"}, oci.manifest()))
    reads = registry(server)
    reads.image(at(server, tag="1.0"))
    reads.image(at(server, tag="1.0"))
    for asked in server.asked:
        assert {name.lower(): value for name, value in asked.headers.items()} == {
            "host": server.host,
            "accept": "application/vnd.docker.distribution.manifest.list.v2+json, "
            "application/vnd.docker.distribution.manifest.v2+json, "
            "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json",
            "accept-encoding": "identity",
            "user-agent": "ecs-lifecycle-hooks",
        }


# --- By TLS ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Certificates:
    """A certificate of ``registry.example``, and who vouches for it."""

    ca_file: str
    context: ssl.SSLContext


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "registry.example")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("registry.example")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    (folder / "ca.pem").write_bytes(pem)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "both.pem").write_bytes(pem + private)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "both.pem")
    return Certificates(str(folder / "ca.pem"), context)


@pytest.fixture
def named(monkeypatch: pytest.MonkeyPatch) -> Callable[[RegistryServer, str], str]:
    """Give a server a name; return its host with that."""
    known: dict[str, str] = {}
    resolve = socket.getaddrinfo

    def resolved(host: Any, *rest: Any) -> Any:
        return resolve(known.get(host, host), *rest)

    def give(server: RegistryServer, name: str) -> str:
        known[name] = "127.0.0.1"
        return f"{name}:{server.port}"

    monkeypatch.setattr(socket, "getaddrinfo", resolved)
    return give


Named = Callable[[RegistryServer, str], str]


def test_a_registry_is_read_by_tls(certificates: Certificates, named: Named) -> None:
    with RegistryServer(tls=certificates.context) as server:
        host = named(server, "registry.example")
        image = oci.push_image(Kept(server), tag="1.0")
        oci.push_referrer(Kept(server), image, b"bundle")
        reads = OciRegistry(host, ca_file=certificates.ca_file, content=ContentCache())
        assert reads.image(Reference(host, NAME, "1.0")).digest == image
        found = reads.attachments(Reference(host, NAME), image, ALL)
        assert [one.content for one in found.found] == [b"bundle"]


@pytest.mark.parametrize(
    ("name", "trusts"), [("registry.example", False), ("other.example", True)], ids=["issuer", "name"]
)
def test_a_certificate_that_is_not_trusted_is_nothing_to_wait_for(
    certificates: Certificates, named: Named, name: str, trusts: bool
) -> None:
    with RegistryServer(tls=certificates.context) as server:
        host = named(server, name)
        reads = OciRegistry(
            host, ca_file=certificates.ca_file if trusts else None, limits=QUICK, content=ContentCache()
        )
        with pytest.raises(Misconfigured, match=f"the certificate of https://{host} is not valid or not"):
            reads.image(Reference(host, NAME, "1.0"))
        assert server.asked == []


def test_certificates_that_are_not_there_are_said(named: Named, server: RegistryServer) -> None:
    host = named(server, "registry.example")
    reads = OciRegistry(host, ca_file="/nowhere/ca.pem", limits=QUICK, content=ContentCache())
    with pytest.raises(Misconfigured, match=f"at https://{host}: OSError"):
        reads.image(Reference(host, NAME, "1.0"))


def test_tls_is_not_left_again(certificates: Certificates, named: Named, server: RegistryServer) -> None:
    with RegistryServer(tls=certificates.context) as secure:
        host, plain = named(secure, "registry.example"), named(server, "storage.example")
        image = oci.push_image(Kept(secure))
        oci.push_cosign(Kept(secure), image, [b"payload"])
        secure.fault("/blobs/", redirect(f"http://{plain}/x"))
        secure.fault("/referrers/", Status(404))
        reads = OciRegistry(host, ca_file=certificates.ca_file, blob_hosts=[plain], content=ContentCache())
        found = reads.attachments(Reference(host, NAME), image, ALL)
        assert [problem.text for problem in found.problems] == [
            f"a blob would be at 'http://{plain}'; only hosts that have a name are asked, and by https"
        ]
        assert server.asked == []


# --- What is kept ------------------------------------------------------------------------------------


def test_content_is_read_once_and_tags_each_time(server: RegistryServer) -> None:
    image = oci.push_image(Kept(server), tag="1.0")
    oci.push_cosign(Kept(server), image, [b"payload"])
    oci.push_referrer(Kept(server), image, b"bundle")
    kept = ContentCache()
    for _ in range(2):
        reads = registry(server, content=kept)
        assert reads.image(at(server, image)).digest == image
        assert reads.image(at(server, tag="1.0")).digest == image
        assert len(reads.attachments(at(server), image, ALL).found) == 2
    counted = {line: server.lines.count(line) for line in server.lines}
    once = [line for line in counted if "sha256:" in line and "/referrers/" not in line]
    assert {counted[line] for line in once} == {1}
    assert {counted[line] for line in counted if line not in once} == {2}


def test_content_of_one_repository_is_not_anothers(server: RegistryServer) -> None:
    image = oci.push_image(Kept(server))
    reads = registry(server)
    reads.image(at(server, image))
    with pytest.raises(Rejected, match="there is no"):
        reads.image(Reference(server.host, "shop/other", None, image))


def test_what_is_kept_has_a_limit() -> None:
    kept = ContentCache(max_bytes=100)
    first = kept.put("a", b"1" * 25)
    second = kept.put("a", b"2" * 25)
    assert kept.get("a", kept.put("a", b"large" * 20)) is None
    kept.put("a", b"3" * 25)
    assert kept.get("a", first) == b"1" * 25
    kept.put("a", b"4" * 25)
    kept.put("a", b"4" * 25)
    kept.put("a", b"5" * 25)
    assert (kept.get("a", second), kept.get("a", first)) == (None, b"1" * 25)
    kept.clear()
    assert kept.get("a", first) is None

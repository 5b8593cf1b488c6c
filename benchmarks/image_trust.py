"""The image trust hook: its cold start, what a signature costs, and how often it asks a registry.

    python -m benchmarks.image_trust [--rounds 9] [--build .aws-sam/build]

*Cold start* as in :mod:`benchmarks.cold_start`: from the first event to its reply under the Runtime Interface
Emulator, each contestant in a fresh environment in turn, canned answers behind all, medians:

::

    bare         import boto3; ssm = boto3.client("ssm"); one get_parameter a call; plain `sam build`
    by key       the built hook and the layer of its libraries; an image by digest, signed by cosign's key
    by identity  the same and the layer for keyless rules; a Sigstore bundle, its root in Parameter Store

*A signature*: verifying one that holds, once everything is loaded, median of many. Most are the checked-in
vectors of ``tests/hooks/image_trust/vectors``.

*Calls*: one invocation about ten containers, each with an image of its own, counted where IAM is asked.
"""

import argparse
import base64
import contextlib
import http.server
import json
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import time_machine

from benchmarks.cold_start import build_bare, event, zipped_mb
from hooks.image_trust.evidence import Attached, Kind
from hooks.image_trust.finding import Digest
from hooks.image_trust.formats import aws_signer, bundle, cosign, keyless, notation
from hooks.image_trust.formats.keys import load_public_key
from hooks.image_trust.policy import AwsSigner, Keyless, Notation, Store
from rehearsal import functions
from rehearsal.aws.cloud import ACCOUNT, Cloud
from rehearsal.aws.identities import ALLOW_ALL
from rehearsal.lambda_functions import Function
from rehearsal.model import ContainerImage
from rehearsal.runtime import architecture
from rehearsal.runtime.in_process import InProcess, cool
from rehearsal.runtime.lambda_python import ROOT, lambda_python
from rehearsal.runtime.rie import Response, RuntimeEnvironment
from rehearsal.signing import BUNDLE, Artifact, Key, Profile, SigningService, digest_of, image
from rehearsal.template import Template
from tests.hooks.image_trust.vectors.make_notation import NOW
from tests.hooks.image_trust.vectors.make_sigstore import IDENTITY, Sigstore, statement
from tests.shared import checkout

FUNCTION = "ImageTrustFunction"
REGION = "us-east-1"
HOST = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com"
VECTORS = ROOT / "tests" / "hooks" / "image_trust" / "vectors"

AT_MOST_OF_BARE = {"by key": 0.7, "by identity": 1.0}
AT_MOST_ZIPPED_MB = {"by key": 10.0, "by identity": 17.0}

TIMES = 200
CONTAINERS = 10

EMPTY = b"{}"


# --- Cold start ------------------------------------------------------------------------------------


@dataclass(kw_only=True)
class Canned:
    """What AWS answers about one deployment of one image, at once."""

    image: Artifact
    hanging: Artifact
    require: Mapping[str, Any]
    trust: Mapping[str, Any]
    parameters: Mapping[str, str] = field(default_factory=dict)

    @property
    def reference(self) -> str:
        return f"{HOST}/shop/checkout@{self.image.digest}"

    def answer(self, operation: str, asked: Mapping[str, Any], here: str) -> Mapping[str, Any]:
        """Answer a call of any JSON protocol."""
        answers: Mapping[str, Callable[[], Mapping[str, Any]]] = {
            "DescribeServiceDeployments": lambda: {
                "serviceDeployments": [self._deployment()],
                "failures": [],
            },
            "DescribeServiceRevisions": lambda: {
                "serviceRevisions": [self._revision(arn) for arn in asked["serviceRevisionArns"]],
                "failures": [],
            },
            "DescribeTaskDefinition": lambda: {
                "taskDefinition": {"containerDefinitions": [{"name": "app", "image": self.reference}]}
            },
            "GetParameter": lambda: {"Parameter": {"Value": self._parameter(asked["Name"]), "Version": 1}},
            "BatchGetImage": lambda: self._images(asked["imageIds"]),
            "ListImageReferrers": lambda: {"referrers": self._referrers()},
            "GetDownloadUrlForLayer": lambda: {
                "downloadUrl": f"{here}/blobs/{asked['layerDigest']}",
                "layerDigest": asked["layerDigest"],
            },
        }
        return answers[operation]()

    def _referrers(self) -> list[Mapping[str, Any]]:
        if self.hanging.tag:
            return []
        hanging = self.hanging
        return [{"digest": hanging.digest, "mediaType": hanging.media_type, "size": len(hanging.manifest)}]

    def _deployment(self) -> Mapping[str, Any]:
        return {
            "serviceDeploymentArn": event({})["resourceArn"],
            "serviceArn": event({})["executionDetails"]["serviceArn"],
            "status": "IN_PROGRESS",
            "createdAt": 1772442000.0,
            "startedAt": 1772442000.0,
            "targetServiceRevision": {"arn": event({})["executionDetails"]["targetServiceRevisionArn"]},
            "sourceServiceRevisions": [],
        }

    def _revision(self, arn: str) -> Mapping[str, Any]:
        return {
            "serviceRevisionArn": arn,
            "serviceArn": event({})["executionDetails"]["serviceArn"],
            "taskDefinition": f"arn:aws:ecs:{REGION}:{ACCOUNT}:task-definition/checkout:8",
            "containerImages": [{"containerName": "app", "image": self.reference}],
            "createdAt": 1772442000.0,
        }

    def _parameter(self, name: str) -> str:
        policy = {
            "version": 1,
            "name": "production",
            "trust": self.trust,
            "rules": [
                {"name": "ours", "match": {"images": [f"{HOST}/shop/**"]}, "require": self.require},
            ],
        }
        return self.parameters.get(name) or json.dumps(policy)

    def _images(self, asked: list[Mapping[str, str]]) -> Mapping[str, Any]:
        known = {one.digest: one for one in (self.image, self.hanging)}
        known |= {str(self.hanging.tag): self.hanging}
        images, failures = [], []
        for one in asked:
            found = known.get(one.get("imageDigest") or one.get("imageTag", ""))
            if found is None:
                failures.append({"imageId": one, "failureCode": "ImageNotFound"})
                continue
            text = {"imageManifest": found.manifest.decode(), "imageManifestMediaType": found.media_type}
            images.append({"imageId": {**one, "imageDigest": found.digest}, **text})
        return {"images": images, "failures": failures}


def by_key() -> Canned:
    """Return an image that has a signature by a key under its tag."""
    key, built = Key("release"), image("checkout 8")
    return Canned(
        image=built,
        hanging=key.sign_under_tag(built),
        require={"cosign": {"key": "release"}},
        trust={"keys": {"release": {"pem": key.pem}}},
    )


def by_identity() -> Canned:
    """Return an image that has a Sigstore bundle attached, of a Sigstore that is made for this."""
    sigstore, built = Sigstore(), image("checkout 8")
    content = json.dumps(sigstore.bundle(payload=statement(built.digest))).encode()
    root = json.dumps(sigstore.trusted_root())
    source = "ssm:/ecs-image-trust/roots/own"
    return Canned(
        image=built,
        hanging=attached_by_subject(content, built),
        require={"keyless": IDENTITY},
        trust={
            "roots": {"own": {"source": source, "sha256": digest_of(root.encode()).removeprefix("sha256:")}}
        },
        parameters={source.removeprefix("ssm:"): root},
    )


def attached_by_subject(content: bytes, subject: Artifact) -> Artifact:
    """Put a bundle into the manifest with which it hangs on its subject."""
    blobs = {digest_of(one): one for one in (EMPTY, content)}
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "artifactType": BUNDLE,
        "config": {
            "mediaType": "application/vnd.oci.empty.v1+json",
            "digest": digest_of(EMPTY),
            "size": len(EMPTY),
        },
        "layers": [{"mediaType": BUNDLE, "digest": digest_of(content), "size": len(content)}],
        "subject": subject.descriptor,
    }
    return Artifact(
        manifest=json.dumps(manifest).encode(), media_type=str(manifest["mediaType"]), blobs=blobs
    )


@contextlib.contextmanager
def serving(canned: Canned) -> Iterator[str]:
    """Serve canned answers; yields the endpoint's URL."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Head and body in one packet; else each answer on a kept connection waits 40 ms for its client's nod.
        wbufsize = -1

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            operation = self.headers.get("X-Amz-Target", "").rpartition(".")[2]
            here = f"http://{self.headers['Host']}"
            answer = canned.answer(operation, json.loads(body), here)
            self._send(json.dumps(answer).encode(), "application/x-amz-json-1.1")

        def do_GET(self) -> None:
            digest = self.path.partition("?")[0].removeprefix("/blobs/")
            self._send(canned.hanging.blobs[digest], "application/octet-stream")

        def _send(self, content: bytes, kind: str) -> None:
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def deployed(build: Path, *, with_keyless: bool) -> Function:
    """Return the built function as it is deployed for this machine's processor."""
    parameters = {"Architecture": architecture(), "ImageTrustKeyless": "true" if with_keyless else "false"}
    found = Template.read(build / "template.yaml", parameters=parameters).functions()
    return next(one for one in found if one.logical_id == FUNCTION)


def cold_starts(build: Path, work: Path, rounds: int) -> dict[str, list[Response]]:
    """Run all contestants, interleaved."""
    python, bare = lambda_python(), build_bare(work)
    call = {**event({}), "lifecycleStage": "PRE_SCALE_UP"}
    with contextlib.ExitStack() as stack:
        contestants: dict[str, Contestant] = {}
        for name, canned in (("by key", by_key()), ("by identity", by_identity())):
            endpoint = {"AWS_ENDPOINT_URL": stack.enter_context(serving(canned))}
            contestants.setdefault("bare", Contestant(artifact=bare, handler="app.handler", env=endpoint))
            function = deployed(build, with_keyless=name == "by identity")
            contestants[name] = Contestant(
                artifact=build / FUNCTION,
                handler=function.handler,
                env={**functions.environment(function), **endpoint},
                sent=call,
                layers=tuple(build / layer for layer in function.layers),
            )
        results: dict[str, list[Response]] = {name: [] for name in contestants}
        for _ in range(rounds + 1):
            for name, contestant in contestants.items():
                results[name].append(contestant.start(python))
    # The first round reads everything from disk; the rest compares code.
    return {name: responses[1:] for name, responses in results.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Contestant:
    """Something whose cold start is measured."""

    artifact: Path
    handler: str
    env: Mapping[str, str]
    sent: Mapping[str, Any] = field(default_factory=dict)
    layers: tuple[Path, ...] = ()

    def start(self, python: Path) -> Response:
        """Start an environment, invoke it once, and end it."""
        with RuntimeEnvironment(
            self.artifact, self.handler, python, self.env, layers=self.layers
        ) as environment:
            response = environment.invoke(self.sent)
        if response.error is not None or response.reply.get("hookStatus", "SUCCEEDED") != "SUCCEEDED":
            sys.exit(f"{self.handler} did not do what is measured: {response.error or response.log}")
        return response


# --- Signatures ------------------------------------------------------------------------------------


def signatures() -> Iterator[tuple[str, Callable[[], object]]]:
    """Yield what is verified and how, format by format."""
    made = json.loads((VECTORS / "cosign.json").read_text())
    digest = Digest(digest_of(made["manifest"].encode()))
    for name, title in (("p256", "ECDSA P-256"), ("rsa", "RSA"), ("ed25519", "Ed25519")):
        key = load_public_key(made["keys"][name].encode())
        classic = made["classic"][name]
        one = _attached(
            Kind.COSIGN_SIGNATURE,
            classic["payload"].encode(),
            digest,
            {cosign.SIGNATURE_ANNOTATION: classic["signature"]},
        )
        yield (
            f"cosign, by a key ({title})",
            partial(cosign.verify_signature, one, digest, key, signer="", annotations={}),
        )
    key = load_public_key(made["keys"]["p256"].encode())
    one = _attached(Kind.BUNDLE, made["bundles"]["p256"]["sign"].encode(), digest)
    yield "bundle, by a key", partial(bundle.verify_signature, one, digest, key, signer="", annotations={})
    one = _attached(Kind.BUNDLE, made["bundles"]["p256"]["attest"].encode(), digest)
    yield "attestation in a bundle, by a key", partial(bundle.verify_attestation, one, digest, key, signer="")
    yield from _notations()
    yield from _identities()


def _notations() -> Iterator[tuple[str, Callable[[], object]]]:
    made = json.loads((VECTORS / "notation.json").read_text())
    stores = {name: Store.model_validate(one) for name, one in made["stores"].items()}
    for title, case in (
        ("Notation, JWS", "ES256, chain of 1, notary.x509, application/jose+json"),
        ("Notation, COSE", "ES256, chain of 1, notary.x509, application/cose"),
        ("Notation, JWS with a time-stamp", "time-stamp: while the certificate was valid"),
        ("AWS Signer, without asking what is revoked", "AWS Signer: by the profile"),
    ):
        found = made["cases"][case]
        digest = Digest(found["digest"])
        content = found["content"].encode()
        if found["mediaType"] == "application/cose":
            content = base64.b64decode(content)
        one = _attached(Kind.NOTATION, content, digest, media_type=found["mediaType"])
        if found["kind"] == "awsSigner":
            signer = AwsSigner.model_validate(found["requirement"])
            store = stores[signer.store] if signer.store else None
            yield title, partial(aws_signer.verify, one, digest, store, signer, NOW)
        else:
            requirement = Notation.model_validate(found["requirement"])
            yield title, partial(notation.verify, one, digest, stores, requirement, NOW)


def _identities() -> Iterator[tuple[str, Callable[[], object]]]:
    sigstore = Sigstore()
    root = keyless.load_root(json.dumps(sigstore.trusted_root()).encode())
    digest, who = Digest(image("measured").digest), Keyless.model_validate(IDENTITY)
    document = json.dumps(sigstore.bundle(payload=statement(digest))).encode()
    one = _attached(Kind.BUNDLE, document, digest)
    yield (
        "bundle, by an identity (here and by sigstore-python)",
        partial(keyless.verify_signature, one, digest, root, who),
    )


def _attached(
    kind: Kind,
    content: bytes,
    subject: Digest,
    annotations: Mapping[str, str] | None = None,
    media_type: str = "application/octet-stream",
) -> Attached:
    return Attached(
        kind=kind,
        subject=subject,
        manifest=subject,
        media_type=media_type,
        content=content,
        annotations=annotations or {},
    )


def milliseconds(verify: Callable[[], object]) -> float:
    """Return how long verifying takes, in the median."""
    verify()
    taken = []
    for _ in range(TIMES):
        started = time.perf_counter()
        verify()
        taken.append(time.perf_counter() - started)
    return statistics.median(taken) * 1000


# --- Calls -----------------------------------------------------------------------------------------


def calls(how: str) -> Counter[str]:
    """Count what one invocation about ten containers asks AWS, by IAM's name for it.

    Parameters
    ----------
    how
        How their images are signed: ``under a tag``, ``by a bundle`` or ``by AWS Signer``.
    """
    key, signer, profile = Key("release"), SigningService(), Profile("ci", ACCOUNT, REGION)
    before = checkout.START - timedelta(days=1)
    with (
        time_machine.travel(checkout.START, tick=False),
        Cloud(region=REGION, seed=1) as cloud,
        cloud.recording() as recorded,
    ):
        cool()
        checkout.deploy(cloud)
        repository = cloud.registries.repository("shop/checkout")
        containers = []
        for number in range(CONTAINERS):
            built = image(f"container {number}")
            made = {
                "under a tag": key.sign_under_tag,
                "by a bundle": key.bundle,
                "by AWS Signer": lambda built: signer.sign(built, profile, before),
            }[how](built)
            for one in (built, made):
                repository.push(one.manifest, one.media_type, tag=one.tag, blobs=one.blobs, at=before)
            containers.append({"name": f"c{number}", "image": f"{repository.uri}@{built.digest}"})
        green = cloud.control_plane.revisions[str(checkout.GREEN)]
        green.container_images = [
            ContainerImage(container_name=one["name"], image=one["image"]) for one in containers
        ]
        cloud.control_plane.task_definitions[green.task_definition] = {"containerDefinitions": containers}
        signed = {"awsSigner": {"profiles": [profile.arn], "store": "ours"}}
        store = {"type": "signingAuthority", "fingerprints": [signer.fingerprint]}
        policy = {
            "version": 1,
            "name": "production",
            "trust": {"keys": {"release": {"pem": key.pem}}, "stores": {"ours": store}},
            "rules": [
                {
                    "name": "ours",
                    "match": {"images": [f"{HOST}/shop/**"]},
                    "require": signed if how == "by AWS Signer" else {"cosign": {"key": "release"}},
                }
            ],
        }
        cloud.parameters.write_earlier("/ecs-image-trust/policy", json.dumps(policy), before)
        function = functions.deployed()[FUNCTION]
        credentials = cloud.credentials(f"{FUNCTION}Role", FUNCTION, [ALLOW_ALL])
        invocation = InProcess().invoke(
            function, checkout.event("PRE_SCALE_UP"), {**functions.environment(function), **credentials}
        )
    if invocation.reply != {"hookStatus": "SUCCEEDED"}:
        sys.exit(f"{how}: {invocation}")
    return Counter(call.action for call in recorded if FUNCTION in call.identity)


# --- All of it -------------------------------------------------------------------------------------


def main() -> int:
    """Measure and print; exits 1 when a target is missed."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.image_trust",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rounds", type=int, default=9, help="at least 7; default: %(default)s")
    parser.add_argument(
        "--build", type=Path, default=ROOT / ".aws-sam" / "build", help="default: %(default)s"
    )
    arguments = parser.parse_args()
    if not (arguments.build / FUNCTION).is_dir():
        parser.error(f"no artifact in {arguments.build}; make it with `make build`")
    with tempfile.TemporaryDirectory(prefix="image-trust-") as work:
        results = cold_starts(arguments.build, Path(work), arguments.rounds)
    met = _print_cold_starts(results, arguments.build)
    print("\n| a signature | ms |\n|---|---|")
    for name, verify in signatures():
        print(f"| {name} | {milliseconds(verify):.2f} |")
    print(f"\n| {CONTAINERS} containers, signed | calls an image | of these |\n|---|---|---|")
    for how in ("under a tag", "by a bundle", "by AWS Signer"):
        counted = calls(how)
        asked = {
            name: count for name, count in counted.items() if name.partition(":")[0] in {"ecr", "signer"}
        }
        shown = ", ".join(f"{count / CONTAINERS:g} {name}" for name, count in sorted(asked.items()))
        print(f"| {how} | {sum(asked.values()) / CONTAINERS:g} | {shown} |")
    return 0 if met else 1


def _print_cold_starts(results: Mapping[str, list[Response]], build: Path) -> bool:
    median = {name: statistics.median(one.elapsed_ms for one in found) for name, found in results.items()}
    print("| | init, ms | to the reply, ms | (min-max) | / bare | zipped, MB |\n|---|---|---|---|---|---|")
    met = True
    for name, found in results.items():
        init = statistics.median(one.init_ms or 0 for one in found)
        low, high = (choose(one.elapsed_ms for one in found) for choose in (min, max))
        size = ""
        if name in AT_MOST_OF_BARE:
            layers = deployed(build, with_keyless=name == "by identity").layers
            megabytes = sum(zipped_mb(build / part) for part in (FUNCTION, *layers))
            size = f"{megabytes:.2f}"
            met &= megabytes <= AT_MOST_ZIPPED_MB[name]
            met &= median[name] <= AT_MOST_OF_BARE[name] * median["bare"]
        ratio = median[name] / median["bare"]
        print(f"| {name} | {init:.0f} | {median[name]:.0f} | {low:.0f}-{high:.0f} | {ratio:.2f} | {size} |")
    wanted = "; ".join(
        f"{name} at most {AT_MOST_OF_BARE[name]:g} of bare and {AT_MOST_ZIPPED_MB[name]:g} MB"
        for name in AT_MOST_OF_BARE
    )
    print(f"\ntargets ({wanted}): {'met' if met else 'missed'}")
    return met


if __name__ == "__main__":
    sys.exit(main())

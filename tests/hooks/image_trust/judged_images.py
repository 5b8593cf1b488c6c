"""Images, what hangs on them, and a registry that has them; verifiers that believe what a candidate says.

A candidate's content is JSON: who made it (``by``), over what (``of``), what it states (``type``, ``says``),
and what a verifier does about it (``raises``). The verifiers keep the parameters of the real ones.
"""

import functools
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from unittest.mock import create_autospec

import pytest

from hooks.image_trust.containers import Container
from hooks.image_trust.evidence import (
    Attached,
    AttachedTo,
    Attachments,
    EcrFacts,
    Evidence,
    FactsOf,
    ImageAt,
    KeyOf,
    Kind,
    RevocationOf,
    RootOf,
    SigningOf,
    SigningStatus,
    Want,
)
from hooks.image_trust.finding import Digest, Outcome, Problem, Rejected, Signed, Unsettled
from hooks.image_trust.judging import Circumstances, Judged, judge
from hooks.image_trust.manifest import Descriptor, Manifest, Platform
from hooks.image_trust.policy import Policy
from hooks.image_trust.reference import Reference
from shared.errors import Misconfigured, Transient

NOW = datetime(2026, 3, 5, 12, 0, tzinfo=UTC)
HOST = "111122223333.dkr.ecr.eu-west-1.amazonaws.com"
REPOSITORY = f"{HOST}/shop/web"
HERE = Reference(HOST, "shop/web")
ELSEWHERE = "ghcr.io/shop/web"

KMS = "arn:aws:kms:eu-west-1:111122223333:key/1"
PROFILE = "arn:aws:signer:eu-west-1:111122223333:/signing-profiles/ci"
IDENTITY = "https://github.com/shop/web/.github/workflows/release.yml@refs/heads/main"

INDEX = "application/vnd.oci.image.index.v1+json"
IMAGE = "application/vnd.oci.image.manifest.v1+json"

AMD64, ARM64 = Platform("linux", "amd64"), Platform("linux", "arm64")

THROTTLED = Problem(Outcome.UNVERIFIABLE, "unavailable", "throttled")
FORBIDDEN = Problem(Outcome.MISCONFIGURED, "misconfigured", "no permission")
MISSING = Problem(Outcome.UNTRUSTED, "no-image", "not there")

TRUST = {
    "keys": {
        "release": {"pem": "release"},
        "other": {"pem": "other"},
        "managed": {"kms": KMS},
        "ended": {"pem": "ended", "validUntil": "2026-03-01T00:00:00Z"},
    },
    "roots": {
        "public": {"source": "package:root.json", "sha256": "a" * 64},
        "old": {
            "source": "package:root.json",
            "sha256": "a" * 64,
            "fetched": "2026-01-01T00:00:00Z",
            "maxAgeDays": 30,
        },
    },
    "stores": {
        "company": {"type": "ca", "fingerprints": ["b" * 64]},
        "signer": {"type": "signingAuthority", "fingerprints": ["b" * 64]},
    },
}


def d(name: str) -> Digest:
    """Return the digest that *name* stands for."""
    return Digest("sha256:" + name.encode().hex().rjust(64, "0"))


def policy(require: Mapping[str, Any] | None = None, **changes: Any) -> Policy:
    """Return a policy of one rule, for everything."""
    rule = {
        "name": "our own",
        "match": {"images": changes.pop("images", ["**"])},
        "require": require or {"registry": {}},
        **changes.pop("rule", {}),
    }
    document = {
        "version": 1,
        "name": "production",
        "references": {"requireDigest": False},
        "trust": TRUST,
        "rules": [rule, *changes.pop("rules", [])],
        **changes,
    }
    return Policy.model_validate_json(json.dumps(document), strict=True)


def manifest(name: str, *, size: int = 500) -> Manifest:
    """Return an image of one platform."""
    return Manifest(digest=d(name), media_type=IMAGE, size=size)


def index(name: str, **images: Platform | None) -> Manifest:
    """Return an index of images by name."""
    entries = tuple(
        Descriptor(media_type=IMAGE, digest=d(one), size=500, platform=platform)
        for one, platform in images.items()
    )
    return Manifest(digest=d(name), media_type=INDEX, size=500, manifests=entries, is_index=True)


def candidate(subject: str, kind: Kind = Kind.COSIGN_SIGNATURE, **says: Any) -> Attached:
    """Return a signature, or an attestation, that hangs on an image."""
    return Attached(
        kind=kind,
        subject=d(subject),
        manifest=d("m"),
        media_type="application/json",
        content=json.dumps(says).encode(),
    )


@dataclass
class World:
    """What a registry, and whoever else is asked, would answer."""

    manifests: dict[str, Manifest] = field(default_factory=dict)
    """By what a reference ends in: a digest or a tag."""
    hanging: dict[Digest, Attachments] = field(default_factory=dict)
    keys: dict[str, bytes | Problem] = field(default_factory=lambda: {KMS: b"managed"})
    roots: dict[str, bytes | Problem] = field(default_factory=lambda: {"public": b"root", "old": b"root"})
    revoked: dict[str, tuple[str, ...] | Problem] = field(default_factory=dict)
    """By the job's ARN."""
    signing: dict[Digest, tuple[SigningStatus, ...] | Problem] = field(default_factory=dict)
    facts: dict[tuple[Digest, bool], EcrFacts | Problem] = field(default_factory=dict)
    problems: dict[Want, Problem] = field(default_factory=dict)
    rounds: list[frozenset[Want]] = field(default_factory=list)
    """What was wanted at once, in order."""

    def add(self, *manifests: Manifest, **tags: str) -> "World":
        """Put manifests there, and tags that lead to some of them."""
        self.manifests |= {one.digest: one for one in manifests}
        self.manifests |= {tag: self.manifests[d(name)] for tag, name in tags.items()}
        return self

    def hang(self, *attached: Attached) -> "World":
        """Hang something on images."""
        for one in attached:
            before = self.hanging.get(one.subject, Attachments())
            self.hanging[one.subject] = replace(before, found=(*before.found, one))
        return self

    def lack(self, subject: str, problem: Problem) -> "World":
        """Let something that hangs on an image be unreadable."""
        before = self.hanging.get(d(subject), Attachments())
        self.hanging[d(subject)] = replace(before, problems=(*before.problems, problem))
        return self

    def fetch(self, wants: Iterable[Want], evidence: Evidence) -> None:
        """Answer what is wanted, as ``Sources`` does."""
        wanted = list(wants)
        self.rounds.append(frozenset(wanted))
        for want in wanted:
            if problem := self.problems.get(want):
                evidence.lack(want, problem)
            else:
                self._answer(want, evidence)

    def _answer(self, want: Want, evidence: Evidence) -> None:
        match want:
            case ImageAt(reference):
                found = self.manifests.get(reference.digest or reference.tag or "")
                evidence.images[want] = MISSING if found is None else found
            case AttachedTo(_, subject, _):
                # All kinds: what was not asked for must not count either.
                evidence.attached[want] = self.hanging.get(subject, Attachments())
            case KeyOf(arn):
                evidence.keys[want] = self.keys[arn]
            case RootOf(name):
                evidence.roots[want] = self.roots[name]
            case RevocationOf():
                evidence.revocations[want] = self.revoked.get(want.job_arn, ())
            case SigningOf(_, digest):
                evidence.signing[want] = self.signing.get(digest, ())
            case FactsOf(_, digest, scan):
                evidence.facts[want] = self.facts.get((digest, scan), MISSING)

    def judge(
        self,
        image: str,
        by: Policy,
        *,
        recorded: Digest | None = None,
        platform: Platform | None = None,
        is_consistent: bool = True,
        container: str = "web",
        **circumstances: Any,
    ) -> Judged:
        """Judge one container."""
        one = Container(
            name=container,
            image=image,
            recorded=recorded,
            platform=platform,
            is_consistent=is_consistent,
        )
        terms = {"policy": by, "service": "shop/checkout", "now": NOW, **circumstances}
        (judged,) = judge([one], Circumstances(**terms), self.fetch)
        return judged


# --- Verifiers --------------------------------------------------------------------------------------

_RAISES: Mapping[str, Callable[[], Exception]] = {
    "crash": lambda: AttributeError("nothing there"),
    "recursion": RecursionError,
    "transient": lambda: Transient("throttled"),
    "misconfigured": lambda: Misconfigured("built without it"),
    "import": lambda: ModuleNotFoundError("No module named 'sigstore'", name="sigstore"),
    "unsettled": lambda: Unsettled(THROTTLED),
}


def _opened(attached: Attached, digest: Digest, by: Iterable[object]) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(attached.content)
    if raises := said.get("raises"):
        error = _RAISES[raises]()
        raise error
    if said["by"] not in by:
        raise Rejected("wrong-signature", f"it was signed by {said['by']}")
    if said.get("of", digest) != digest:
        raise Rejected("signed-other-digest", "it is the signature of another image")
    return said


def _signed(said: Mapping[str, Any], digest: Digest, signer: str) -> Signed:
    at = said.get("at")
    return Signed(
        signer=signer,
        # A verifier that forgets to compare, for once.
        digest=Digest(said.get("lies", digest)),
        signed_at=datetime.fromisoformat(at) if at else None,
    )


def _statement(said: Mapping[str, Any]) -> Any:
    from hooks.image_trust.formats.statement import Statement, Subject

    subject = Subject(digests={"sha256": "0" * 64})
    return Statement(predicate_type=said["type"], predicate=said.get("says", {}), subjects=(subject,))


def _load_key(content: bytes) -> str:
    if content == b"bad":
        raise Rejected("malformed-key", "no key")
    return content.decode()


def _by_key(
    attached: Attached, digest: Digest, key: object, *, signer: str, annotations: Mapping[str, str]
) -> Signed:
    said = _opened(attached, digest, [key])
    if not annotations.items() <= said.get("annotations", {}).items():
        raise Rejected("missing-annotation", "an annotation is missing")
    return _signed({**said, "at": None}, digest, signer)


def _attested_by_key(attached: Attached, digest: Digest, key: object, *, signer: str) -> tuple[Signed, Any]:
    said = _opened(attached, digest, [key])
    return _signed({**said, "at": None}, digest, signer), _statement(said)


def _by_identity(attached: Attached, digest: Digest, root: object, identity: Any) -> Signed:
    assert root == "root"
    return _signed(_opened(attached, digest, [identity.identity]), digest, identity.identity)


def _attested_by_identity(
    attached: Attached, digest: Digest, root: object, identity: Any
) -> tuple[Signed, Any]:
    assert root == "root"
    said = _opened(attached, digest, [identity.identity])
    return _signed(said, digest, identity.identity), _statement(said)


def _by_notation(attached: Attached, digest: Digest, stores: Any, leaf: Any, now: datetime) -> Signed:
    assert (set(stores), now) == (set(leaf.stores), NOW)
    said = _opened(attached, digest, leaf.identities)
    return _signed(said, digest, said["by"])


def _by_signer(
    attached: Attached, digest: Digest, store: Any, leaf: Any, now: datetime
) -> tuple[Signed, RevocationOf]:
    assert ((store is None), now) == ((leaf.store is None), NOW)
    said = _opened(attached, digest, leaf.profiles)
    signed = replace(_signed(said, digest, said["by"]), signed_at=NOW)
    return signed, RevocationOf(f"{said['by']}/v1", said.get("job", "job"), NOW, ("h",))


def _logged(attached: Attached, key: object, root: bytes) -> tuple[datetime, int]:
    assert root == b"root"
    said = json.loads(attached.content)
    if "logged" not in said:
        raise Rejected("no-entry", "it is in no log")
    return datetime.fromisoformat(said["logged"]), 7


def _read_root(content: bytes) -> str:
    if content == b"bad":
        raise Rejected("malformed-root", "no root")
    if content == b"none":
        raise ModuleNotFoundError("No module named 'sigstore'", name="sigstore")
    return content.decode()


def _checked_root(content: bytes) -> str:
    return "" if content == b"none" else _read_root(content)


def trusting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put verifiers in the place of the real ones, that believe what a candidate says."""
    for module, name, fake in _fakes():
        monkeypatch.setattr(module, name, fake)


@functools.cache
def _fakes() -> tuple[tuple[Any, str, Any], ...]:
    from hooks.image_trust.formats import (
        aws_signer,
        bundle,
        cosign,
        keyless,
        keys,
        notation,
        transparency,
        trusted_root,
    )

    fakes = (
        (keys, "load_public_key", _load_key),
        (cosign, "verify_signature", _by_key),
        (cosign, "verify_attestation", _attested_by_key),
        (bundle, "verify_signature", _by_key),
        (bundle, "verify_attestation", _attested_by_key),
        (keyless, "load_root", _read_root),
        (keyless, "verify_signature", _by_identity),
        (keyless, "verify_attestation", _attested_by_identity),
        (notation, "verify", _by_notation),
        (aws_signer, "verify", _by_signer),
        (transparency, "verify_logged", _logged),
        (trusted_root, "read", _checked_root),
    )
    return tuple(
        (module, name, create_autospec(getattr(module, name), side_effect=fake))
        for module, name, fake in fakes
    )

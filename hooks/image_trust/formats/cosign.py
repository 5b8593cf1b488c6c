"""What cosign up to version 2 attaches under the tags ``sha256-HEX.sig`` and ``sha256-HEX.att``.

::

    layer of .sig     the payload; its signature, over these very bytes, in an annotation of the layer
        {"critical": {"type": "cosign container image signature",
                      "identity": {"docker-reference": "registry/repository"},
                      "image": {"docker-manifest-digest": "sha256:..."}},
         "optional": {"annotation": "value", ...} or null}

    layer of .att     a DSSE envelope with an in-toto statement

The payload is the *simple signing* of https://github.com/containers/image/blob/main/docs/containers-signature.5.md,
which demands that it is read strictly, and only after its signature was verified. ``docker-reference`` is not
compared, as cosign doesn't: a signature holds for the same image in every repository, and it is the rules of
the policy that say which repositories there are. Signatures by certificate are in the same layers, see
:mod:`hooks.image_trust.formats.keyless`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from hooks.image_trust import strict_base64, strict_json
from hooks.image_trust.evidence import Attached
from hooks.image_trust.finding import Digest, Rejected, Signed
from hooks.image_trust.formats.keys import PublicKey, check_signature
from hooks.image_trust.formats.statement import (
    MAX_ENVELOPE_BYTES,
    Envelope,
    Statement,
    open_envelope,
    parse_envelope,
)
from hooks.image_trust.reference import digest as parse_digest
from shared.errors import shown

SIGNATURE_ANNOTATION = "dev.cosignproject.cosign/signature"
PAYLOAD_TYPE = "cosign container image signature"

MAX_PAYLOAD_BYTES = 64 * 1024
"""cosign writes about 250 bytes, and the annotations that it was given on its command line."""


@dataclass(frozen=True, slots=True)
class Payload:
    """What a signature of cosign is over."""

    digest: Digest
    docker_reference: str
    """Where the image was when it was signed, as the signer says."""
    annotations: Mapping[str, str] = field(default_factory=dict)
    """Those whose value is text."""


def verify_signature(
    attached: Attached, digest: Digest, key: PublicKey, *, signer: str, annotations: Mapping[str, str]
) -> Signed:
    """Verify a layer of ``.sig``: by the key, over the image, with these annotations.

    Parameters
    ----------
    digest
        What must have been signed.
    signer
        Whose key it is, for the record.
    annotations
        That must be under the signature, beside whatever others.

    Raises
    ------
    Rejected
        ``wrong-signature``, ``no-signature``, and what :func:`check_payload` raises.
    """
    # Before anything is hashed.
    if len(attached.content) > MAX_PAYLOAD_BYTES:
        raise Rejected(
            "too-large",
            f"a payload of {len(attached.content)} bytes, at most {MAX_PAYLOAD_BYTES} are read",
        )
    check_signature(key, signature_of(attached), attached.content)
    payload = check_payload(attached.content, digest, annotations)
    return Signed(signer=signer, digest=digest, claims=payload.annotations)


def verify_attestation(
    attached: Attached, digest: Digest, key: PublicKey, *, signer: str
) -> tuple[Signed, Statement]:
    """Verify a layer of ``.att``: a statement about the image, signed by the key.

    What it states is for the caller to judge, its predicate's type first.

    Raises
    ------
    Rejected
        ``wrong-signature``, ``signed-other-digest``, and what reading the envelope raises.
    """
    statement = open_envelope(envelope_of(attached), key)
    statement.about(digest)
    return Signed(signer=signer, digest=digest), statement


def signature_of(attached: Attached) -> bytes:
    """Return the signature of a layer of ``.sig``; over what and by whom is not verified.

    Raises
    ------
    Rejected
        ``no-signature``, ``malformed-base64``.
    """
    found = attached.annotations.get(SIGNATURE_ANNOTATION)
    if found is None:
        raise Rejected("no-signature", f"the layer has no annotation {SIGNATURE_ANNOTATION}")
    return strict_base64.decode(found, "the signature")


def envelope_of(attached: Attached) -> Envelope:
    """Return the envelope in a layer of ``.att``; nothing of it is verified.

    Raises
    ------
    Rejected
        ``malformed-envelope``, ``too-large``, ``malformed-json``, ``malformed-base64``.
    """
    return parse_envelope(
        strict_json.loads(attached.content, "the DSSE envelope", limit_bytes=MAX_ENVELOPE_BYTES)
    )


def check_payload(content: bytes, digest: Digest, annotations: Mapping[str, str]) -> Payload:
    """Read a payload whose signature was verified, and return it only if it is about the image.

    Raises
    ------
    Rejected
        ``wrong-type``, ``signed-other-digest``, ``missing-annotation``, ``malformed-payload``, ``too-large``,
        ``malformed-json``.
    """
    payload = parse_payload(content)
    if payload.digest != digest:
        raise Rejected("signed-other-digest", f"it is the signature of {payload.digest}, not of {digest}")
    check_annotations(payload.annotations, annotations)
    return payload


def check_annotations(signed: Mapping[str, object], wanted: Mapping[str, str]) -> None:
    """Return only if all that are wanted were signed.

    Raises
    ------
    Rejected
        ``missing-annotation``.
    """
    for name, value in wanted.items():
        if signed.get(name) != value:
            seen = f"has {shown(signed[name])}" if name in signed else "has none"
            raise Rejected(
                "missing-annotation", f"expected the signed annotation {name!r} to be {value!r}, it {seen}"
            )


def parse_payload(content: bytes) -> Payload:
    """Read a payload; only what its signature was verified over is anybody's word.

    Raises
    ------
    Rejected
        ``wrong-type``, ``malformed-payload``, ``too-large``, ``malformed-json``.
    """
    document = strict_json.loads(content, "the payload", limit_bytes=MAX_PAYLOAD_BYTES)
    # The format has consumers refuse what they don't know, except within optional.
    top = _object(document, "the payload", ("critical",), ("optional",))
    critical = _object(top["critical"], "critical", ("type", "identity", "image"))
    if critical["type"] != PAYLOAD_TYPE:
        raise Rejected(
            "wrong-type", f"expected critical.type to be {PAYLOAD_TYPE!r}, got {shown(critical['type'])}"
        )
    identity = _object(critical["identity"], "critical.identity", ("docker-reference",))
    image = _object(critical["image"], "critical.image", ("docker-manifest-digest",))
    reference, optional = identity["docker-reference"], top.get("optional")
    if not isinstance(reference, str) or not isinstance(optional, Mapping | None):
        raise Rejected(
            "malformed-payload",
            "expected docker-reference to be text and optional an object, "
            f"got {shown(reference)} and {shown(optional)}",
        )
    return Payload(
        parse_digest(image["docker-manifest-digest"]),
        reference,
        {name: value for name, value in (optional or {}).items() if isinstance(value, str)},
    )


def _object(
    value: object, what: str, needed: tuple[str, ...], known: tuple[str, ...] = ()
) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        raise Rejected("malformed-payload", f"expected {what} to be an object, got {shown(value)}")
    if missing := [name for name in needed if name not in value]:
        raise Rejected("malformed-payload", f"{what} lacks {missing[0]}")
    if unknown := [name for name in value if name not in (*needed, *known)]:
        raise Rejected("malformed-payload", f"{what} has {shown(unknown[0])}, which is not understood")
    return value

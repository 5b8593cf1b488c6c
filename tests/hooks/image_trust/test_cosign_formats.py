import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, padding, rsa, utils, x448, x25519
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hooks.image_trust import strict_base64
from hooks.image_trust.evidence import Attached, Kind
from hooks.image_trust.finding import Digest, Rejected, Signed
from hooks.image_trust.formats import cosign
from hooks.image_trust.formats.cosign import MAX_PAYLOAD_BYTES, SIGNATURE_ANNOTATION, Payload
from hooks.image_trust.formats.keys import (
    MAX_KEY_BYTES,
    Algorithm,
    PublicKey,
    as_public_key,
    check_signature,
    check_signature_of_digest,
    load_public_key,
)
from hooks.image_trust.formats.statement import Statement, Subject
from hooks.image_trust.manifest import parse_manifest
from tests.hooks.image_trust.vectors.make_cosign import (
    ANNOTATIONS,
    DIGEST,
    FILE,
    KEYS,
    KINDS,
    PREDICATE,
    PREDICATE_TYPE,
    b64,
    compact,
    der,
    envelope,
    payload,
    sign,
    statement,
    written,
)

VECTORS = json.loads(FILE.read_text())
TRUST = Path(__file__).parents[3].parent / "shared" / "data" / "trust"
IMAGE = Digest(DIGEST)
OTHER = Digest(f"sha256:{'0' * 64}")
KEY = {name: load_public_key(text.encode()) for name, text in VECTORS["keys"].items()}


def code_of(call: Callable[[], object]) -> str:
    with pytest.raises(Rejected) as caught:
        call()
    # Untrusted text is cut: no message is longer than a person reads.
    assert len(str(caught.value)) < 600
    return caught.value.code


def attached(
    content: bytes, annotations: Mapping[str, str] | None = None, kind: Kind = Kind.COSIGN_SIGNATURE
) -> Attached:
    return Attached(
        kind=kind,
        subject=IMAGE,
        manifest=OTHER,
        media_type="application/vnd.dev.cosign.simplesigning.v1+json",
        content=content,
        annotations=annotations or {},
    )


def classic(content: bytes, name: str = "p256", **annotations: str) -> Attached:
    """A layer of .sig, signed by one of the keys."""
    return attached(content, {SIGNATURE_ANNOTATION: b64(sign(name, content)), **annotations})


def verified(
    one: Attached, key: str = "p256", annotations: Mapping[str, str] | None = None, digest: Digest = IMAGE
) -> Signed:
    return cosign.verify_signature(one, digest, KEY[key], signer=f"key {key}", annotations=annotations or {})


def test_the_vectors_are_what_their_generator_makes() -> None:
    assert FILE.read_text() == written()


# --- Keys ------------------------------------------------------------------------------------------

ALGORITHMS = {
    "p256": Algorithm.ECDSA_P256_SHA256,
    "p384": Algorithm.ECDSA_P384_SHA384,
    "p521": Algorithm.ECDSA_P521_SHA512,
    "rsa": Algorithm.RSA_PKCS1_SHA256,
    "ed25519": Algorithm.ED25519,
}


@pytest.mark.parametrize("name", KINDS)
def test_a_key_is_read_from_pem_and_from_der(name: str) -> None:
    from_pem, from_der = load_public_key(VECTORS["keys"][name].encode()), load_public_key(der(name))
    assert from_pem == from_der
    assert from_pem == as_public_key(KEYS[name].public_key())
    assert (from_pem.algorithm, from_pem.der) == (ALGORITHMS[name], der(name))
    assert from_pem.fingerprint == hashlib.sha256(der(name)).hexdigest()


def test_how_pem_is_broken_into_lines_does_not_matter() -> None:
    pem = VECTORS["keys"]["rsa"]
    body = "".join(pem.split("-----")[2].split())
    for written_otherwise in (
        f"\n\n{pem}\n\n",
        pem.replace("\n", "\r\n"),
        f"-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----",
    ):
        assert load_public_key(written_otherwise.encode()) == KEY["rsa"]


def spki(key: Any) -> bytes:
    return bytes(
        key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    )


def rsa_of(bits: int, exponent: int = 65537) -> bytes:
    """A key of so many bits that nobody can sign with."""
    return spki(rsa.RSAPublicNumbers(exponent, 2 ** (bits - 1) + 1).public_key())


@pytest.mark.parametrize("bits", [2048, 3072, 8192])
def test_rsa_keys_of_2048_to_8192_bits_are_supported(bits: int) -> None:
    assert load_public_key(rsa_of(bits)).algorithm is Algorithm.RSA_PKCS1_SHA256


PEM = VECTORS["keys"]["p256"]
PKCS1 = KEYS["rsa"].public_key()
assert isinstance(PKCS1, rsa.RSAPublicKey)


def unsupported() -> Iterator[tuple[str, bytes]]:
    yield "nothing", b""
    yield "text", b"release"
    yield "a shorter RSA key", rsa_of(2047)
    yield "a longer RSA key", rsa_of(8193)
    yield "RSA with a long exponent", rsa_of(2048, 2**32 + 1)
    for curve in (ec.SECP256K1(), ec.SECP224R1(), ec.BrainpoolP256R1()):
        yield curve.name, spki(ec.derive_private_key(7, curve).public_key())
    yield "X25519", spki(x25519.X25519PrivateKey.generate().public_key())
    yield "X448", spki(x448.X448PrivateKey.generate().public_key())
    yield (
        "DSA",
        spki(dsa.DSAPublicNumbers(3, dsa.DSAParameterNumbers(2**2047 + 1, 2**255 + 1, 4)).public_key()),
    )
    private = KEYS["p256"]
    yield (
        "a private key",
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
    )
    # One key, one encoding.
    yield "PKCS #1 in PEM", PKCS1.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.PKCS1)
    yield "PKCS #1 in DER", PKCS1.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.PKCS1)
    yield (
        "RSASSA-PSS only",
        der("rsa").replace(
            bytes.fromhex("06092a864886f70d0101010500"), bytes.fromhex("06092a864886f70d01010a0500")
        ),
    )
    point = KEYS["p256"].public_key()
    assert isinstance(point, ec.EllipticCurvePublicKey)
    compressed = point.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.CompressedPoint)
    head = bytes.fromhex("3039301306072a8648ce3d020106082a8648ce3d030107032200")
    yield "a compressed point", head + compressed
    yield "bytes behind DER", der("p256") + b"\0"
    yield "half of DER", der("p256")[:-1]
    yield "a point beside the curve", der("p256")[:-1] + bytes([der("p256")[-1] ^ 1])
    # One block, and nothing beside it.
    yield "text before PEM", f"# release\n{PEM}".encode()
    yield "text behind PEM", f"{PEM}# release\n".encode()
    yield "two keys", (PEM + VECTORS["keys"]["other"]).encode()
    yield "no end", PEM.replace("-----END PUBLIC KEY-----", "").encode()
    yield "another label", PEM.replace("PUBLIC", "EC PUBLIC").encode()
    yield "no base64", PEM.replace("M", "=", 1).encode()
    yield "too much", b"\n" * MAX_KEY_BYTES + PEM.encode()
    yield "no text", b"\xff\xfe" * 20


@pytest.mark.parametrize("content", [pytest.param(content, id=what) for what, content in unsupported()])
def test_any_other_key_is_unsupported(content: bytes) -> None:
    assert code_of(lambda: load_public_key(content)) == "unsupported-key"


def test_the_length_of_a_key_is_told_before_it_is_read() -> None:
    with pytest.raises(Rejected, match=f"a public key of {10**6} bytes; at most {MAX_KEY_BYTES} are read"):
        load_public_key(b"\x30" * 10**6)


def test_what_is_mistaken_for_a_public_key_is_never_shown() -> None:
    private = KEYS["p256"].private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with pytest.raises(Rejected) as caught:
        load_public_key(private)
    assert str(caught.value) == (
        "expected one PEM block 'PUBLIC KEY' and nothing beside it, got a PEM block 'PRIVATE KEY'"
    )


@settings(deadline=None)
@given(st.binary(max_size=300))
@example(b"\x30\x80")
@example(b"-----BEGIN PUBLIC KEY-----\n\n-----END PUBLIC KEY-----")
def test_no_bytes_raise_anything_but_a_rejection_as_a_key(content: bytes) -> None:
    for wrapped in (content, b"\x30" + content, der("p256")[:30] + content):
        try:
            load_public_key(wrapped)
        except Rejected as error:
            assert error.code == "unsupported-key"


# --- Signatures ------------------------------------------------------------------------------------

MESSAGE = b"what was signed"


@pytest.mark.parametrize("name", KINDS)
def test_a_signature_holds_for_its_key_and_its_message_only(name: str) -> None:
    signature = sign(name, MESSAGE)
    check_signature(KEY[name], signature, MESSAGE)
    refused = [
        code_of(lambda: check_signature(KEY[name], signature, MESSAGE + b"!")),
        code_of(lambda: check_signature(KEY[name], signature[:-1] + bytes([signature[-1] ^ 1]), MESSAGE)),
        code_of(lambda: check_signature(KEY[name], signature[:-1], MESSAGE)),
        code_of(lambda: check_signature(KEY[name], signature + b"\0", MESSAGE)),
        code_of(lambda: check_signature(KEY[name], b"", MESSAGE)),
        *(
            code_of(lambda key=key: check_signature(KEY[key], signature, MESSAGE))
            for key in KEY
            if key != name
        ),
    ]
    assert set(refused) == {"wrong-signature"}


def private(name: str) -> Any:
    return KEYS[name]


SHA256, SHA384, SHA512 = hashes.SHA256(), hashes.SHA384(), hashes.SHA512()
PSS = padding.PSS(padding.MGF1(SHA256), padding.PSS.DIGEST_LENGTH)


@pytest.mark.parametrize(
    ("what", "name", "signature"),
    [
        *(
            (f"{name} with {hashed.name}", name, sign(name, MESSAGE, hashed))
            for name, own in (("p256", SHA256), ("p384", SHA384), ("p521", SHA512), ("rsa", SHA256))
            for hashed in (SHA256, SHA384, SHA512, hashes.SHA1())
            if hashed is not own and not (name == "rsa" and hashed.name == "sha1")
        ),
        ("RSASSA-PSS", "rsa", private("rsa").sign(MESSAGE, PSS, SHA256)),
        (
            "r and s side by side",
            "p256",
            b"".join(number.to_bytes(32) for number in utils.decode_dss_signature(sign("p256", MESSAGE))),
        ),
        ("Ed25519 over a hash", "ed25519", sign("ed25519", hashlib.sha512(MESSAGE).digest())),
    ],
)
def test_each_key_signs_in_one_way_only(what: str, name: str, signature: bytes) -> None:
    assert code_of(lambda: check_signature(KEY[name], signature, MESSAGE)) == "wrong-signature", what


@pytest.mark.parametrize("name", ["p256", "rsa"])
def test_the_digest_is_enough_for_a_signature_over_sha256(name: str) -> None:
    signature = sign(name, MESSAGE)
    digest = Digest(f"sha256:{hashlib.sha256(MESSAGE).hexdigest()}")
    check_signature_of_digest(KEY[name], signature, digest)
    assert code_of(lambda: check_signature_of_digest(KEY[name], signature, OTHER)) == "wrong-signature"
    assert code_of(lambda: check_signature_of_digest(KEY["other"], signature, digest)) == "wrong-signature"


@pytest.mark.parametrize("name", ["p384", "p521", "ed25519"])
def test_the_digest_is_not_enough_for_other_signatures(name: str) -> None:
    digest = Digest(f"sha256:{hashlib.sha256(MESSAGE).hexdigest()}")
    # Also where somebody signed the digest itself, to have it taken for the message.
    for signature in (sign(name, MESSAGE), sign(name, hashlib.sha256(MESSAGE).digest())):
        refused = code_of(lambda signature=signature: check_signature_of_digest(KEY[name], signature, digest))
        assert refused == "needs-artifact"


@pytest.mark.parametrize("handle", [None, object(), 1])
def test_a_verification_that_breaks_down_is_no_verification(handle: Any) -> None:
    broken = PublicKey(Algorithm.ECDSA_P256_SHA256, b"", handle)
    assert code_of(lambda: check_signature(broken, sign("p256", MESSAGE), MESSAGE)) == "wrong-signature"


def test_a_key_never_verifies_in_another_keys_way() -> None:
    mixed = PublicKey(Algorithm.ED25519, der("p256"), KEY["p256"].handle)
    assert code_of(lambda: check_signature(mixed, sign("p256", MESSAGE), MESSAGE)) == "wrong-signature"
    mixed = PublicKey(Algorithm.ECDSA_P256_SHA256, der("ed25519"), KEY["ed25519"].handle)
    assert code_of(lambda: check_signature(mixed, sign("ed25519", MESSAGE), MESSAGE)) == "wrong-signature"


# --- Base64 ----------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.binary(max_size=40))
def test_base64_reads_what_was_written(content: bytes) -> None:
    text = b64(content)
    assert strict_base64.decode(text, "it") == content
    assert strict_base64.decode(text.translate(str.maketrans("+/", "-_")), "it", url_safe=True) == content


@pytest.mark.parametrize(
    "text",
    [
        None, 1, b"AA==", ["AA=="], {"AA==": 1},
        "AA", "AA=", "AA===", "A", "=", "AB==", "AAB=", "AA==AA==", " AA==", "AA==\n", "A\nA==", "AA==!",
        "-_-_", "é===", "\ud800AA=", "+_+_",
    ],
)  # fmt: skip
def test_base64_has_one_spelling(text: object) -> None:
    assert code_of(lambda: strict_base64.decode(text, "it")) == "malformed-base64"


def test_the_other_alphabet_is_read_only_where_it_may_be_and_never_mixed() -> None:
    assert strict_base64.decode("-_-_", "it", url_safe=True) == b"\xfb\xff\xbf"
    assert code_of(lambda: strict_base64.decode("+_+_", "it", url_safe=True)) == "malformed-base64"


# --- Signatures under .sig -------------------------------------------------------------------------


@pytest.mark.parametrize("name", KINDS)
def test_a_signature_of_the_image_holds_for_every_kind_of_key(name: str) -> None:
    vector = VECTORS["classic"][name]
    one = attached(vector["payload"].encode(), {SIGNATURE_ANNOTATION: vector["signature"]})
    assert verified(one, name) == Signed(signer=f"key {name}", digest=IMAGE, claims=ANNOTATIONS)
    assert verified(one, name, ANNOTATIONS) == Signed(signer=f"key {name}", digest=IMAGE, claims=ANNOTATIONS)
    assert code_of(lambda: verified(one, "other")) == "wrong-signature"
    assert code_of(lambda: verified(one, name, digest=OTHER)) == "signed-other-digest"


@pytest.mark.parametrize("optional", [None, {}])
def test_a_payload_needs_no_annotations(optional: object) -> None:
    assert verified(classic(compact(payload(optional=optional)))) == Signed(signer="key p256", digest=IMAGE)


def test_optional_may_be_left_out() -> None:
    document = payload()
    del document["optional"]
    assert verified(classic(compact(document))) == Signed(signer="key p256", digest=IMAGE)


@pytest.mark.parametrize(
    ("signed", "wanted"),
    [
        ({}, {"stage": "production"}),
        ({"stage": "test"}, {"stage": "production"}),
        ({"stage": "production"}, {"stage": "production", "team": "shop"}),
        ({"stage": "production "}, {"stage": "production"}),
        ({"Stage": "production"}, {"stage": "production"}),
        # Not text: a policy's annotations are.
        ({"stage": True}, {"stage": "True"}),
        ({"stage": 1}, {"stage": "1"}),
        ({"stage": None}, {"stage": ""}),
        ({"stage": ["production"]}, {"stage": "production"}),
    ],
)
def test_an_annotation_that_was_not_signed_is_missing(signed: dict[str, Any], wanted: dict[str, str]) -> None:
    one = classic(compact(payload(optional=signed)))
    assert code_of(lambda: verified(one, annotations=wanted)) == "missing-annotation"


def test_the_manifests_annotations_are_nobodys_word() -> None:
    one = classic(compact(payload(optional={})), stage="production")
    assert code_of(lambda: verified(one, annotations={"stage": "production"})) == "missing-annotation"
    assert verified(one).claims == {}


def test_claims_are_the_annotations_that_are_text() -> None:
    one = classic(compact(payload(optional={"a": "b", "timestamp": 1483228800, "deep": {"a": "b"}})))
    assert verified(one, annotations={"a": "b"}).claims == {"a": "b"}


def altered(change: Callable[[dict[str, Any]], object]) -> bytes:
    document = payload()
    change(document)
    return compact(document)


CRITICAL = compact(payload()["critical"]).decode()


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "malformed-json"),
        (b"null", "malformed-payload"),
        (b"[]", "malformed-payload"),
        (b"{}", "malformed-payload"),
        (b'"text"', "malformed-payload"),
        (b"\xff", "malformed-json"),
        (b"\xef\xbb\xbf" + compact(payload()), "malformed-json"),
        (compact(payload()) + b"{}", "malformed-json"),
        (compact(payload()).replace(b"{", b"{,", 1), "malformed-json"),
        (b'{"critical":' + b"[" * 60_000, "malformed-json"),
        (altered(lambda it: it["critical"].update(type="atomic container signature")), "wrong-type"),
        (altered(lambda it: it["critical"].update(type=None)), "wrong-type"),
        (altered(lambda it: it["critical"].update(type=["cosign container image signature"])), "wrong-type"),
        (altered(lambda it: it["critical"].pop("type")), "malformed-payload"),
        (altered(lambda it: it["critical"].pop("image")), "malformed-payload"),
        (altered(lambda it: it["critical"].pop("identity")), "malformed-payload"),
        (altered(lambda it: it["critical"].update(image=DIGEST)), "malformed-payload"),
        (altered(lambda it: it["critical"].update(image={})), "malformed-payload"),
        (altered(lambda it: it["critical"].update(identity={})), "malformed-payload"),
        (altered(lambda it: it["critical"].update(identity={"docker-reference": 1})), "malformed-payload"),
        (altered(lambda it: it.update(critical=[])), "malformed-payload"),
        (altered(lambda it: it.update(optional=[])), "malformed-payload"),
        (altered(lambda it: it.update(optional="stage=production")), "malformed-payload"),
        # What is critical has to be understood.
        (altered(lambda it: it["critical"].update(expires="2020-01-01")), "malformed-payload"),
        (altered(lambda it: it["critical"]["image"].update(platform="linux")), "malformed-payload"),
        (altered(lambda it: it["critical"]["identity"].update(tag="v1")), "malformed-payload"),
        (altered(lambda it: it.update(Critical=it["critical"])), "malformed-payload"),
        *(
            (compact(payload(digest)), "malformed-digest")
            for digest in ("", None, 1, DIGEST.upper(), DIGEST[7:], DIGEST + "\n", "sha512:" + "0" * 128)
        ),
        # One document, one meaning: Go takes the last of two keys, and others the first.
        (f'{{"critical":{CRITICAL},"critical":{CRITICAL}}}'.encode(), "malformed-json"),
        (
            compact(payload(OTHER)).replace(
                b'"image":', f'"image":{{"docker-manifest-digest":"{DIGEST}"}},"image":'.encode()
            ),
            "malformed-json",
        ),
        (compact(payload()).replace(b'"stage"', b'"stage":"test","stage"'), "malformed-json"),
        (compact(payload(optional={"a": 1})).replace(b'"a":1', b'"a":NaN'), "malformed-json"),
    ],
)
def test_a_payload_that_is_none_is_refused_whoever_signed_it(content: bytes, code: str) -> None:
    assert code_of(lambda: verified(classic(content))) == code


def test_a_signature_is_verified_before_its_payload_is_read() -> None:
    unsigned = attached(b"{", {SIGNATURE_ANNOTATION: b64(sign("p256", b"["))})
    assert code_of(lambda: verified(unsigned)) == "wrong-signature"


def test_the_raw_bytes_are_what_is_signed() -> None:
    spaced = json.dumps(payload()).encode()
    assert verified(classic(spaced)).claims == ANNOTATIONS
    one = attached(spaced, {SIGNATURE_ANNOTATION: b64(sign("p256", compact(payload())))})
    assert code_of(lambda: verified(one)) == "wrong-signature"


@pytest.mark.parametrize(
    ("annotations", "code"),
    [
        ({}, "no-signature"),
        ({"dev.cosignproject.cosign/Signature": b64(sign("p256", compact(payload())))}, "no-signature"),
        ({SIGNATURE_ANNOTATION: ""}, "wrong-signature"),
        ({SIGNATURE_ANNOTATION: "?"}, "malformed-base64"),
        ({SIGNATURE_ANNOTATION: b64(sign("p256", compact(payload()))) + "\n"}, "malformed-base64"),
        ({SIGNATURE_ANNOTATION: b64(sign("p256", compact(payload()))).rstrip("=")}, "malformed-base64"),
        ({SIGNATURE_ANNOTATION: b64(sign("p256", compact(payload())).hex().encode())}, "wrong-signature"),
    ],
)
def test_a_layer_without_its_signature_is_refused(annotations: dict[str, str], code: str) -> None:
    assert code_of(lambda: verified(attached(compact(payload()), annotations))) == code


def test_a_payload_is_no_longer_than_any_of_cosigns() -> None:
    room = MAX_PAYLOAD_BYTES - len(compact(payload(optional={"a": ""})))
    assert verified(classic(compact(payload(optional={"a": "x" * room})))).digest == IMAGE
    longer = classic(compact(payload(optional={"a": "x" * (room + 1)})))
    assert code_of(lambda: verified(longer)) == "too-large"
    # GHSA-95pr-fxf5-86gv: before it costs anything, and so before it is known whose it is.
    assert code_of(lambda: verified(longer, "other")) == "too-large"


def test_what_was_signed_can_be_read_for_others() -> None:
    assert cosign.parse_payload(compact(payload())) == Payload(
        IMAGE, "111122223333.dkr.ecr.eu-west-1.amazonaws.com/shop/web", ANNOTATIONS
    )
    assert code_of(lambda: cosign.parse_payload(b" " * (MAX_PAYLOAD_BYTES + 1))) == "too-large"


def flips(content: bytes) -> Iterator[bytes]:
    for position in range(len(content) * 8):
        flipped = bytearray(content)
        flipped[position // 8] ^= 1 << position % 8
        yield bytes(flipped)


def test_no_flipped_bit_of_a_signature_is_accepted() -> None:
    content, signature = compact(payload()), b64(sign("p256", compact(payload())))
    tried = [
        *(attached(flipped, {SIGNATURE_ANNOTATION: signature}) for flipped in flips(content)),
        *(
            attached(content, {SIGNATURE_ANNOTATION: flipped.decode("latin-1")})
            for flipped in flips(signature.encode())
        ),
    ]
    assert len(tried) == 8 * (len(content) + len(signature))
    # Not one: there is a single spelling of every part.
    codes = {code_of(lambda one=one: verified(one)) for one in tried}
    assert codes == {"wrong-signature", "malformed-base64"}


@settings(deadline=None)
@given(st.binary(max_size=200))
@example(b'{"critical":{"type":"cosign container image signature","identity":{},"image":{}}}')
def test_no_bytes_raise_anything_but_a_rejection_as_a_payload(content: bytes) -> None:
    with pytest.raises(Rejected):
        verified(classic(content))


# --- Attestations under .att -----------------------------------------------------------------------


def attested(one: Attached, key: str = "p256", digest: Digest = IMAGE) -> tuple[Signed, Statement]:
    return cosign.verify_attestation(one, digest, KEY[key], signer=f"key {key}")


STATEMENT = Statement(
    predicate_type=PREDICATE_TYPE,
    predicate=PREDICATE,
    subjects=(Subject(name="web", digests={"sha256": DIGEST[7:]}),),
)


@pytest.mark.parametrize("name", KINDS)
def test_an_attestation_of_the_image_holds_for_every_kind_of_key(name: str) -> None:
    one = attached(VECTORS["attestation"][name].encode(), kind=Kind.COSIGN_ATTESTATION)
    assert attested(one, name) == (Signed(signer=f"key {name}", digest=IMAGE), STATEMENT)
    assert code_of(lambda: attested(one, "other")) == "wrong-signature"
    assert code_of(lambda: attested(one, name, OTHER)) == "signed-other-digest"


def test_an_attestation_is_no_signature_and_a_signature_no_attestation() -> None:
    content = compact(envelope("p256", compact(statement())))
    both = attached(content, {SIGNATURE_ANNOTATION: b64(sign("p256", content))})
    assert code_of(lambda: verified(both)) == "malformed-payload"
    assert code_of(lambda: attested(classic(compact(payload())))) == "malformed-envelope"
    signed_payload = attached(compact(envelope("p256", compact(payload()))))
    assert code_of(lambda: attested(signed_payload)) == "malformed-statement"


def test_a_flipped_bit_of_an_attestation_changes_its_hint_or_is_refused() -> None:
    content = compact(envelope("p256", compact(statement()), keyid="key"))
    before, after = content.split(b'"keyid":"key"')
    accepted = 0
    for flipped in flips(content):
        try:
            meaning = attested(attached(flipped))
        except Rejected:
            continue
        accepted += 1
        assert meaning == (Signed(signer="key p256", digest=IMAGE), STATEMENT)
        # The key's hint, which is unsigned, or its name, so that there is none: nothing else.
        assert flipped.startswith(before)
        assert flipped.endswith(after)
    assert accepted


# --- Real images -----------------------------------------------------------------------------------

CONNAISSEUR = TRUST / "connaisseur-cosign"


def key_cases() -> list[Any]:
    if not CONNAISSEUR.exists():
        reason = "../shared/data/trust/connaisseur-cosign is not there"
        return [pytest.param({}, marks=pytest.mark.skip(reason=reason), id="connaisseur-cosign")]
    return [
        pytest.param(case, id=case["name"])
        for case in json.loads((CONNAISSEUR / "cases.json").read_text())["cases"]
        if "trust_roots" in case
    ]


def layers_of(image: dict[str, Any]) -> list[Attached]:
    """What hangs on an image, every digest recomputed."""
    if image["signature_manifest"] is None:
        return []
    content = (CONNAISSEUR / image["signature_manifest"]["path"]).read_bytes()
    manifest = parse_manifest(content, Digest(image["signature_manifest"]["digest"]))
    blobs = {one["digest"]: (CONNAISSEUR / one["path"]).read_bytes() for one in image["payloads"]}
    for digest, blob in blobs.items():
        assert digest == f"sha256:{hashlib.sha256(blob).hexdigest()}"
    return [
        Attached(
            kind=Kind.COSIGN_SIGNATURE,
            subject=Digest(image["digest"]),
            manifest=manifest.digest,
            media_type=layer.media_type,
            content=blobs[layer.digest],
            annotations=layer.annotations,
        )
        for layer in manifest.layers
    ]


@pytest.mark.parametrize("case", key_cases())
def test_real_images_signed_with_keys_have_the_outcome_that_connaisseur_gives_them(
    case: dict[str, Any],
) -> None:
    known = json.loads((CONNAISSEUR / "cases.json").read_text())
    image = next(one for one in known["images"] if one["tag"] == case["image"])
    digest = Digest(image["digest"])
    signers: set[str] = set()
    codes: set[str] = set()
    for name in case["trust_roots"]:
        key = load_public_key((CONNAISSEUR / known["keys"][name]).read_bytes())
        for one in layers_of(image):
            try:
                signed = cosign.verify_signature(one, digest, key, signer=name, annotations={})
            except Rejected as error:
                codes.add(error.code)
            else:
                assert signed.digest == digest
                signers.add(signed.signer)
    needed = set(case.get("required", case["trust_roots"]))
    assert ("accept" if needed <= signers else "reject") == case["expected"]
    assert codes <= {"wrong-signature"}

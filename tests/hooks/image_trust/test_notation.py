import base64
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cbor2
import pytest

from hooks.image_trust.evidence import Attached, Kind
from hooks.image_trust.finding import Digest, Rejected, Signed
from hooks.image_trust.formats import aws_signer, envelope, notation
from hooks.image_trust.formats.chain import Certificate
from hooks.image_trust.policy import AwsSigner, Notation, Store
from tests.hooks.image_trust.vectors.make_notation import (
    AUTHORITY,
    COSE,
    DAY,
    DIGEST,
    FILE,
    JWS,
    NOTARY,
    NOW,
    ROOT,
    SIGNED,
    SIGNER,
    Envelope,
    Token,
    b64,
    b64url,
    compact,
    payload,
    tlv,
)

OWN = json.loads(FILE.read_text())
STORES = {name: Store.model_validate(store) for name, store in OWN["stores"].items()}
IMAGE = Digest(DIGEST)
OURS = Notation(stores=("ours",), identities=("*",))

NOTATION_GO = Path(__file__).parents[3].parent / "shared" / "data" / "trust" / "notation-go"
needs_notation_go = pytest.mark.skipif(
    not NOTATION_GO.exists(), reason="shared/data/trust/notation-go, the vectors of notation-go, is not there"
)
THEIRS: Mapping[str, Any] = (
    json.loads((NOTATION_GO / "cases.json").read_text()) if NOTATION_GO.exists() else {"envelopes": []}
)
# The vectors' own advice: some of their certificates expire in 2033.
THEN = datetime(2026, 11, 1, tzinfo=UTC)


def attached(content: bytes, media_type: str = JWS) -> Attached:
    return Attached(kind=Kind.NOTATION, subject=IMAGE, manifest=IMAGE, media_type=media_type, content=content)


def verify(
    content: bytes, media_type: str = JWS, *, requirement: Notation = OURS, now: datetime = NOW
) -> Signed:
    return notation.verify(attached(content, media_type), IMAGE, STORES, requirement, now)


def code_of(call: Callable[[], object]) -> str:
    with pytest.raises(Rejected) as caught:
        call()
    # Untrusted text is cut: no message is longer than a person reads.
    assert len(str(caught.value)) < 700
    return caught.value.code


# --- Own vectors -----------------------------------------------------------------------------------


def content_of(case: Mapping[str, Any]) -> bytes:
    text: str = case["content"]
    return text.encode() if case["mediaType"] == JWS else base64.b64decode(text)


@pytest.mark.parametrize("name", OWN["cases"])
def test_each_vector_comes_out_as_it_was_made_to(name: str) -> None:
    case = OWN["cases"][name]
    presented = attached(content_of(case), case["mediaType"])

    def judge() -> Signed:
        if case["kind"] == "awsSigner":
            signer = AwsSigner.model_validate(case["requirement"])
            store = STORES[signer.store] if signer.store else None
            return aws_signer.verify(presented, IMAGE, store, signer, NOW)[0]
        requirement = Notation.model_validate(case["requirement"])
        return notation.verify(presented, IMAGE, STORES, requirement, NOW)

    if case["expected"] == "ok":
        signed = judge()
        at = signed.signed_at.isoformat() if signed.signed_at else None
        assert (signed.digest, len(signed.warnings), at) == (IMAGE, case["warnings"], case.get("signedAt"))
    else:
        assert code_of(judge) == case["expected"]


def test_what_holds_says_who_signed_what_and_when() -> None:
    made = Envelope(content=payload(annotations={"stage": "production"}))
    leaf = Certificate.load(SIGNER.der)
    expected = Signed(
        signer="C=US, ST=WA, O=Example\\, Inc., CN=release",
        digest=IMAGE,
        certificate=leaf.sha256,
        claims={"stage": "production"},
    )
    assert verify(made.jws()) == expected
    assert verify(made.cose(), COSE) == expected
    authority = Notation(stores=("authority",), identities=("*",))
    told = replace(expected, signed_at=SIGNED)
    assert verify(replace(made, scheme=AUTHORITY).jws(), requirement=authority) == told
    stamped = Notation(stores=("ours", "stamps"), identities=("*",))
    proven = replace(expected, signed_at=Token().at)
    assert verify(replace(made, token=Token()).jws(), requirement=stamped) == proven


# --- Levels ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "strict", "permissive", "audit"),
    [
        ({}, (), (), ()),
        ({"stores": ("another",)}, "untrusted-root", "untrusted-root", ("authenticity: untrusted-root",)),
        (
            {"identities": ("x509.subject: C=US, ST=WA, O=Other",)},
            "wrong-identity", "wrong-identity", ("authenticity: wrong-identity",),
        ),
        ({"expiry": NOW}, "expired", ("expiry: expired",), ("expiry: expired",)),
        (
            {"now": NOW + 4000 * DAY},
            "certificate-expired",
            ("authentic time-stamp: certificate-expired",),
            ("authentic time-stamp: certificate-expired",),
        ),
        (
            {"stores": ("ours", "stamps")},
            "no-timestamp",
            ("authentic time-stamp: no-timestamp",),
            ("authentic time-stamp: no-timestamp",),
        ),
        ({"digest": f"sha256:{64 * '0'}"}, *3 * ["signed-other-digest"]),
        ({"algorithm": "ES384"}, *3 * ["wrong-algorithm"]),
        ({"signed": {"a.b": 1}, "critical": ["a.b"]}, *3 * ["unknown-critical-attribute"]),
        ({"stores": ("nowhere",)}, *3 * ["bad-trust-store"]),
        ({"identities": ("C=US",)}, *3 * ["bad-identity"]),
    ],
    ids=lambda value: ", ".join(value) if isinstance(value, dict) else "",
)  # fmt: skip
def test_a_level_enforces_what_the_specification_says_and_logs_the_rest(
    wrong: dict[str, Any], strict: object, permissive: object, audit: object
) -> None:
    now = wrong.pop("now", NOW)
    rules = {label: wrong.pop(label) for label in ("stores", "identities") if label in wrong}
    digest = wrong.pop("digest", DIGEST)
    content = Envelope(content=payload(digest), **wrong).jws()
    for level, expected in (("strict", strict), ("permissive", permissive), ("audit", audit)):
        requirement = OURS.model_copy(update=rules | {"level": level})

        def judge(requirement: Notation = requirement) -> Signed:
            return verify(content, requirement=requirement, now=now)

        if isinstance(expected, tuple):
            signed = judge()
            said = tuple(": ".join(warning.split(": ")[:2]) for warning in signed.warnings)
            assert (said, signed.signed_at) == (expected, None)
        else:
            assert code_of(judge) == expected


def test_whom_nobody_trusts_is_not_named_as_signer_nor_believed_about_the_time() -> None:
    requirement = Notation(stores=("another",), identities=("*",), level="audit")
    signed = verify(Envelope(scheme=AUTHORITY).jws(), requirement=requirement)
    assert (signed.signer, signed.signed_at) == (
        "nobody trusted, who says C=US, ST=WA, O=Example\\, Inc., CN=release",
        None,
    )


# --- What an envelope may be -----------------------------------------------------------------------


def jws_with(**members: Any) -> bytes:
    return compact(Envelope().jws_parts() | members)


def header_with(**labels: Any) -> bytes:
    """Make a JWS of a header that is validly signed, whatever it says."""
    made = Envelope()
    header = {label: value for label, value in (made.jws_header() | labels).items() if value is not ...}
    return compact(made.jws_parts(header))


PARTS = Envelope().jws_parts()


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "malformed-json"),
        (b"\xff", "malformed-json"),
        (b"[]", "malformed-envelope"),
        (b"null", "malformed-envelope"),
        (b"[" * 100_000, "malformed-json"),
        (b'{"payload":' * 20_000, "malformed-json"),
        (b"1" * 5000, "malformed-json"),
        (b" " * (envelope.MAX_ENVELOPE_BYTES + 1), "too-large"),
        (compact(PARTS)[:-1] + b',"payload":"aa"}', "malformed-json"),
        (compact(PARTS)[:-1] + b',"signatures":[]}', "malformed-envelope"),
        (compact({label: PARTS[label] for label in ("payload", "protected", "signature")}),
            "malformed-envelope"),
        (compact({"payload": PARTS["payload"], "signatures": [PARTS]}), "malformed-envelope"),
        (jws_with(payload=""), "malformed-envelope"),
        (jws_with(payload=7), "malformed-envelope"),
        (jws_with(payload=PARTS["payload"] + "="), "malformed-envelope"),
        (jws_with(payload=PARTS["payload"] + "\n"), "malformed-envelope"),
        (jws_with(payload="a"), "malformed-envelope"),
        (jws_with(payload="\ud800"), "malformed-json"),
        (jws_with(payload=b64url(payload(f"sha256:{64 * '0'}"))), "wrong-signature"),
        (jws_with(protected=b64url(b"[]")), "malformed-envelope"),
        (jws_with(protected=b64url(b"{}")), "unsupported-algorithm"),
        (jws_with(protected=b64url(b'{"alg":"ES256","alg":"ES256"}')), "malformed-json"),
        (jws_with(protected=b64url(b"[" * 10_000)), "malformed-json"),
        (jws_with(protected=b64url(b" " * 40_000)), "too-large"),
        (jws_with(signature=""), "malformed-envelope"),
        (jws_with(signature=b64url(bytes(64))), "wrong-signature"),
        (jws_with(signature=b64url(bytes(63))), "wrong-signature"),
        (jws_with(signature=b64url(bytes(10_000))), "wrong-signature"),
        (jws_with(header=None), "malformed-envelope"),
        (jws_with(header={}), "malformed-envelope"),
        (jws_with(header={"x5c": []}), "malformed-envelope"),
        (jws_with(header={"x5c": [""]}), "malformed-envelope"),
        (jws_with(header={"x5c": [7]}), "malformed-base64"),
        (jws_with(header={"x5c": ["%"]}), "malformed-base64"),
        (jws_with(header={"x5c": "AAAA"}), "malformed-envelope"),
        (jws_with(header={"x5c": [b64(b"0")]}), "malformed-certificate"),
        (jws_with(header={"x5c": [b64(b"0\x80" * 1000)]}), "malformed-certificate"),
        (jws_with(header={"x5c": [b64(bytes(20_000))]}), "malformed-envelope"),
        (jws_with(header={"x5c": [b64(SIGNER.der)] * 9}), "malformed-envelope"),
        (jws_with(header={"x5c": [b64(SIGNER.der + b"0")]}), "malformed-certificate"),
        (jws_with(header=PARTS["header"] | {"alg": "ES256"}), "malformed-envelope"),
        (jws_with(header=PARTS["header"] | {"crit": []}), "malformed-envelope"),
        (jws_with(header=PARTS["header"] | {"b64": False}), "malformed-envelope"),
        (jws_with(header=PARTS["header"] | {NOTARY + "signingScheme": AUTHORITY}), "malformed-envelope"),
        (jws_with(header=PARTS["header"] | {NOTARY + "timestampSignature": ""}), "malformed-envelope"),
        (jws_with(header=PARTS["header"] | {NOTARY + "timestampSignature": 7}), "malformed-base64"),
        (jws_with(header=PARTS["header"] | {NOTARY + "timestampSignature": b64(bytes(70_000))}),
            "malformed-envelope"),
        *((header_with(alg=one), "unsupported-algorithm") for one in (
            "none", "None", "", "HS256", "RS256", "ES256K", "EdDSA", "es256", None, ["ES256"], ...,
        )),
        *((header_with(cty=one), "malformed-envelope") for one in (None, 7, [], ...)),
        (header_with(cty="application/json"), "wrong-content-type"),
        *((header_with(crit=one), "malformed-envelope") for one in (
            ..., None, "io.cncf.notary.signingScheme", [], [[]], [None], [True], [1],
            [NOTARY + "signingScheme", "alg"], [NOTARY + "signingScheme", "crit"],
            [NOTARY + "signingScheme"] * 2, ["a"], [NOTARY + "signingScheme", "a"],
            [NOTARY + "signingTime"], [str(n) for n in range(40)],
        )),
        (header_with(b64=False, crit=[NOTARY + "signingScheme", "b64"]), "unknown-critical-attribute"),
        (header_with(**{NOTARY + "signingScheme": ...}), "malformed-envelope"),
        (header_with(**{NOTARY + "signingTime": ...}), "malformed-envelope"),
        *((header_with(**{NOTARY + "signingTime": one}), "malformed-envelope") for one in (
            None, 1664712000, "", "2026-10-02", "2026-10-02T12:00:00", "2026-10-02 12:00:00Z",
            "2026-02-30T12:00:00Z", "2026-10-02T12:00:60Z", "0000-10-02T12:00:00Z", "20261002T120000Z",
            "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-10-02T12:00:00Z\n",
            "2026-10-02T12:00:00+99:00", "२०२६-10-02T12:00:00Z", [], {},
        )),
        (header_with(**{NOTARY + "expiry": "2036-01-01T00:00:00Z"}), "malformed-envelope"),
    ],
    ids=str,
)  # fmt: skip
def test_a_jws_that_is_none_is_refused_by_name(content: bytes, code: str) -> None:
    assert code_of(lambda: verify(content)) == code


@pytest.mark.parametrize(
    "labels",
    [
        {NOTARY + "signingTime": "2026-10-02T12:00:00.123456789Z"},
        {NOTARY + "signingTime": "2026-10-02T12:00:00-08:00"},
        {"kid": "ours", "typ": "JOSE"},
        {"org.example.build": {"id": [7]}},
        {"crit": [NOTARY + "signingTime", NOTARY + "signingScheme"]},
    ],
    ids=str,
)
def test_a_jws_may_say_more_than_it_has_to(labels: dict[str, Any]) -> None:
    assert verify(header_with(**labels)).digest == IMAGE


@pytest.mark.parametrize(
    "header", [{NOTARY + "signingAgent": 7}, {NOTARY + "SigningAgent": "n/1"}, {"kid": "x"}]
)
def test_what_is_not_signed_and_proves_nothing_changes_nothing(header: dict[str, Any]) -> None:
    assert verify(jws_with(header=PARTS["header"] | header)) == verify(compact(PARTS))
    assert verify(json.dumps(PARTS, indent=4).encode()) == verify(compact(PARTS))


def cose_with(place: int, value: Any, tag: int = 18) -> bytes:
    parts = Envelope().cose_parts()
    parts[place] = value
    return cbor2.dumps(cbor2.CBORTag(tag, parts))


def cose_header_with(labels: dict[Any, Any]) -> bytes:
    """Make a COSE of a header that is validly signed, whatever it says."""
    header = Envelope().cose_header() | labels
    return cose_of(cbor2.dumps({label: value for label, value in header.items() if value is not ...}))


def cose_of(protected: bytes) -> bytes:
    return cbor2.dumps(cbor2.CBORTag(18, Envelope().cose_parts(protected)))


UNSIGNED = Envelope().cose_parts()[1]
HEADER = cbor2.dumps(Envelope().cose_header())
BOMB = b"\x9b" + b"\x00\x00\x00\x07\xff\xff\xff\xff"  # an array of 34 billion items


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "malformed-envelope"),
        (b"\xd2", "malformed-envelope"),
        (b"\xd2\x84", "malformed-envelope"),
        (Envelope().cose()[1:], "malformed-envelope"),
        (b"\xd2" + Envelope().cose(), "malformed-envelope"),
        (Envelope().cose() + b"\x00", "malformed-envelope"),
        (Envelope().cose()[:-1], "malformed-envelope"),
        (cose_with(0, b"", tag=98), "malformed-envelope"),
        (b"\xd2" + BOMB, "malformed-envelope"),
        (b"\xd2\x84" + BOMB, "malformed-envelope"),
        (b"\xd2\x5b" + b"\xff" * 8, "malformed-envelope"),
        (b"\xd2\xbb" + b"\xff" * 8, "malformed-envelope"),
        (b"\xd2" + b"\x81" * 100_000 + b"\x00", "malformed-envelope"),
        (b"\xd2\x84\x41\x00\xa1\x01\x99\x27\x10" + bytes(10_000) + b"\x41\x00" * 2, "malformed-envelope"),
        (b"\xd2\x9f\xff", "malformed-envelope"),
        (b"\xd2\x84\x5f\x41\x00\xff\xa0\x40\x40", "malformed-envelope"),
        (b"\xd2\x84\xff", "malformed-envelope"),
        (b"\xd2\x84\x1c", "malformed-envelope"),
        (b"\xd2\xa0", "malformed-envelope"),
        (b"\xd2\x83\x40\xa0\x40", "malformed-envelope"),
        (b"\xd2\x84\x40\xa0\x40\x40", "malformed-envelope"),
        (b"\xd2" + b"\x80" * (envelope.MAX_ENVELOPE_BYTES + 1), "too-large"),
        (cose_with(0, b""), "malformed-envelope"),
        (cose_with(0, {}), "malformed-envelope"),
        (cose_with(0, b"\x80"), "malformed-envelope"),
        (cose_with(0, HEADER + b"\x00"), "malformed-envelope"),
        (cose_with(0, bytes(40_000)), "too-large"),
        (cose_with(1, None), "malformed-envelope"),
        (cose_with(1, []), "malformed-envelope"),
        (cose_with(1, {}), "malformed-envelope"),
        (cose_with(1, {33: []}), "malformed-envelope"),
        (cose_with(1, {33: SIGNER.der}), "malformed-envelope"),
        (cose_with(1, {33: ["leaf"]}), "malformed-envelope"),
        (cose_with(1, {33: [b""]}), "malformed-envelope"),
        (cose_with(1, {33: [b"0"]}), "malformed-certificate"),
        (cose_with(1, {33.0: [SIGNER.der, ROOT.der]}), "malformed-envelope"),
        (cose_with(1, UNSIGNED | {1: -7}), "malformed-envelope"),
        (cose_with(1, UNSIGNED | {2: []}), "malformed-envelope"),
        (cose_with(1, UNSIGNED | {NOTARY + "signingScheme": AUTHORITY}), "malformed-envelope"),
        (cose_with(1, UNSIGNED | {b"a": 1}), "malformed-envelope"),
        (cose_with(1, UNSIGNED | {None: 1}), "malformed-envelope"),
        (cose_with(1, UNSIGNED | {NOTARY + "timestampSignature": "a"}), "malformed-envelope"),
        (cose_with(1, UNSIGNED | {NOTARY + "timestampSignature": b""}), "malformed-envelope"),
        (cose_with(1, UNSIGNED | {"a": cbor2.CBORTag(1, 0)}), "malformed-envelope"),
        (cose_with(1, UNSIGNED | {"a": cbor2.CBORTag(35, "(a+)+$")}), "malformed-envelope"),
        (cose_with(1, UNSIGNED | {"a": cbor2.CBORTag(4, [2**40, 1])}), "malformed-envelope"),
        (cose_with(1, UNSIGNED | {"a": cbor2.CBORTag(29, 0)}), "malformed-envelope"),
        (cose_with(1, UNSIGNED | {"a": 2**70}), "malformed-envelope"),
        (cose_with(2, None), "malformed-envelope"),
        (cose_with(2, b""), "malformed-envelope"),
        (cose_with(2, "text"), "malformed-envelope"),
        (cose_with(2, payload(f"sha256:{64 * '0'}")), "wrong-signature"),
        (cose_with(3, b""), "malformed-envelope"),
        (cose_with(3, bytes(64)), "wrong-signature"),
        (cose_with(3, bytes(65)), "wrong-signature"),
        (cose_of(b"\xa2\x01\x26\x01\x26"), "malformed-envelope"),
        (cose_of(b"\xa2\x01\x26\x18\x01\x26"), "malformed-envelope"),
        (cose_of(b"\xa1\xf5\x26"), "malformed-envelope"),
        (cose_of(b"\xa1\xfb\x3f\xf0\x00\x00\x00\x00\x00\x00\x26"), "malformed-envelope"),
        (cose_of(b"\xa1\x80\x26"), "malformed-envelope"),
        (cose_of(b"\xa1\xa0\x26"), "malformed-envelope"),
        (cose_of(b"\xa1\x01\x61\xff"), "malformed-envelope"),
        (cose_of(b"\xa1\x01\xc1\xc1\x00"), "malformed-envelope"),
        (cose_of(b"\xa1\x01\xc1\x1b" + b"\xff" * 8), "malformed-envelope"),
        (cose_of(b"\xa1\x01\xc1\xfb\x7f\xf8" + bytes(6)), "malformed-envelope"),
        (cose_of(b"\xa1\xc1\x00\x26"), "malformed-envelope"),
        (cose_of(b"\xa0"), "unsupported-algorithm"),
        *((cose_header_with({1: one}), "unsupported-algorithm")
            for one in (..., None, True, 5, -8, -47, -257, "ES256", -7.0, [-7])),
        *((cose_header_with({2: one}), "malformed-envelope") for one in (
            ..., None, [], "a", [[]], [True], [1], [8], [NOTARY + "signingScheme", 1],
            [NOTARY + "signingScheme", 99], [NOTARY + "signingTime"],
        )),
        (cose_header_with({2: [NOTARY + "signingScheme", 99], 99: 1}), "unknown-critical-attribute"),
        *((cose_header_with({3: one}), "malformed-envelope") for one in (..., 7, b"text")),
        *((cose_header_with({NOTARY + "signingTime": one}), "malformed-envelope") for one in (
            ..., None, 1664712000, "2026-10-02T12:00:00Z", cbor2.CBORTag(0, "2026-10-02T12:00:00Z"),
        )),
        (cose_header_with({33: [SIGNER.der, ROOT.der]}), "malformed-envelope"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.hex()[:40],
)  # fmt: skip
def test_a_cose_that_is_none_is_refused_by_name(content: bytes, code: str) -> None:
    assert code_of(lambda: verify(content, COSE)) == code


def map_with(content: bytes, label: object, value: object) -> bytes:
    """Add one more pair to the CBOR of a small map, whether its label is there or not."""
    assert 0xA0 <= content[0] < 0xB7
    return bytes([content[0] + 1]) + content[1:] + cbor2.dumps(label) + cbor2.dumps(value)


def test_a_cose_that_says_something_twice_is_refused() -> None:
    assert verify(cose_of(map_with(HEADER, "org.example", 1)), COSE) == verify(Envelope().cose(), COSE)
    for label, value in ((1, -7), (NOTARY + "signingScheme", "notary.x509"), (3, "text/plain")):
        content = cose_of(map_with(HEADER, label, value))
        assert code_of(lambda content=content: verify(content, COSE)) == "malformed-envelope"
    protected, header, signed, signature = Envelope().cose_parts()
    once, twice = (
        b"\xd2\x84" + b"".join([cbor2.dumps(protected), one, cbor2.dumps(signed), cbor2.dumps(signature)])
        for one in (cbor2.dumps(header), map_with(cbor2.dumps(header), 33, [ROOT.der]))
    )
    assert verify(once, COSE) == verify(Envelope().cose(), COSE)
    assert code_of(lambda: verify(twice, COSE)) == "malformed-envelope"


def test_base64_of_another_spelling_is_refused() -> None:
    signature: str = PARTS["signature"]
    spare = chr(ord(signature[-1]) + 1)
    assert base64.urlsafe_b64decode(f"{signature[:-1]}{spare}==") == base64.urlsafe_b64decode(
        f"{signature}=="
    )
    assert code_of(lambda: verify(jws_with(signature=signature[:-1] + spare))) == "malformed-envelope"


def test_a_cose_may_have_its_chain_under_the_signature() -> None:
    made = Envelope()
    protected = cbor2.dumps(made.cose_header() | {33: [SIGNER.der, ROOT.der]})
    parts = made.cose_parts(protected)
    del parts[1][33]
    assert verify(cbor2.dumps(cbor2.CBORTag(18, parts)), COSE) == verify(made.cose(), COSE)


@pytest.mark.parametrize(
    "media_type", ["", "application/json", "application/cose; charset=utf-8", "\ud800" * 999]
)
def test_an_envelope_of_another_type_is_refused(media_type: str) -> None:
    assert code_of(lambda: verify(Envelope().jws(), media_type)) == "unknown-envelope"


def test_one_format_is_not_read_as_the_other() -> None:
    assert code_of(lambda: verify(Envelope().jws(), COSE)) == "malformed-envelope"
    assert code_of(lambda: verify(Envelope().cose(), JWS)) == "malformed-json"


def test_a_signature_in_der_is_no_signature() -> None:
    r, s = (tlv(0x02, b"\0" + b"\x7f" * 32) for _ in range(2))
    assert code_of(lambda: verify(jws_with(signature=b64url(tlv(0x30, r, s))))) == "wrong-signature"


# --- Every bit -------------------------------------------------------------------------------------


def flips(content: bytes) -> Iterator[bytes]:
    for bit in range(8 * len(content)):
        changed = bytearray(content)
        changed[bit // 8] ^= 1 << bit % 8
        yield bytes(changed)


def what_counts(content: bytes, media_type: str) -> object:
    """Return what must be the same for the signature to hold."""
    if media_type == JWS:
        found = json.loads(content)
        return found["payload"], found["protected"], found["signature"], found["header"]["x5c"]
    protected, header, signed, signature = cbor2.loads(content).value
    return signed, protected, signature, list(header[33])


@pytest.mark.thorough
@pytest.mark.parametrize(("media_type", "accepted"), [(JWS, 246), (COSE, 253)], ids=["jws", "cose"])
def test_no_bit_of_what_counts_can_be_changed(media_type: str, accepted: int) -> None:
    content = Envelope().jws() if media_type == JWS else Envelope().cose()
    expected, counts = verify(content, media_type), what_counts(content, media_type)
    held = 0
    for changed in flips(content):
        try:
            signed = verify(changed, media_type)
        except Rejected:
            continue
        held += 1
        assert (signed, what_counts(changed, media_type)) == (expected, counts)
    # Those of io.cncf.notary.signingAgent, which nobody signs.
    assert held == accepted


# --- The vectors of notation-go --------------------------------------------------------------------


def named_stores(names: list[str]) -> dict[str, Store]:
    found = {}
    for name in names:
        kind, directory = name.split(":")
        folder = NOTATION_GO / "verifier" / "testdata" / "truststore" / "x509" / kind / directory
        found[name.replace(":", " ")] = Store.model_validate(
            {"type": kind, "certificates": [as_pem(path.read_bytes()) for path in sorted(folder.iterdir())]}
        )
    return found


def as_pem(content: bytes) -> str:
    if b"-----BEGIN" in content:
        return content.decode()
    return f"-----BEGIN CERTIFICATE-----\n{base64.encodebytes(content).decode()}-----END CERTIFICATE-----\n"


def judge_theirs(case: Mapping[str, Any], **rules: Any) -> Signed:
    stores = named_stores(rules.pop("stores", case["trust_stores"]))
    # Revocation is left out of what is expected of them; their time-stamper's certificates name servers.
    requirement = Notation.model_validate(
        {"stores": [*stores], "identities": ["*"], "revocation": "skip"} | rules
    )
    content = (NOTATION_GO / case["path"]).read_bytes()
    digest = Digest(case["target_digest"])
    return notation.verify(attached(content, case["media_type"]), digest, stores, requirement, THEN)


@needs_notation_go
@pytest.mark.parametrize("case", THEIRS["envelopes"], ids=lambda case: str(case["name"]))
def test_an_envelope_of_notation_go_comes_out_as_it_says(case: Mapping[str, Any]) -> None:
    if case["strict"] == "accept":
        assert judge_theirs(case).digest == case["target_digest"]
    else:
        code_of(lambda: judge_theirs(case))


LOGGED = {"authenticity": "authenticity", "expiry": "expiry", "authentic_timestamp": "authentic time-stamp"}


@needs_notation_go
@pytest.mark.parametrize("case", THEIRS["envelopes"], ids=lambda case: str(case["name"]))
def test_each_step_of_an_envelope_of_notation_go_comes_out_as_it_says(case: Mapping[str, Any]) -> None:
    content = attached((NOTATION_GO / case["path"]).read_bytes(), case["media_type"])
    opened = notation.open_envelope(content, Digest(case["target_digest"]))
    assert (opened.envelope.scheme, case["steps"]["integrity"]) == (case["signing_scheme"], "ok")
    if opened.envelope.plugin is None:
        # Whatever fails is only logged.
        signed = judge_theirs(case, level="audit")
        failed = {warning.split(":")[0] for warning in signed.warnings} - {"revocation"}
        steps = {LOGGED[step]: said for step, said in case["steps"].items() if step in LOGGED}
        assert {step: "fail" if step in failed else "ok" for step in steps} == steps
    else:
        assert code_of(lambda: judge_theirs(case, level="audit")) == "unknown-plugin"


@needs_notation_go
@pytest.mark.parametrize("verify_timestamp", ["always", "afterCertExpiry"])
def test_a_time_stamp_of_notation_go_holds_only_by_its_own_authority(verify_timestamp: str) -> None:
    stamped = next(case for case in THEIRS["envelopes"] if case["name"] == "coseWithTimestamp.sig")
    rules = {"verifyTimestamp": verify_timestamp}
    proven = datetime(2024, 6, 18, 6, 27, 16, tzinfo=UTC) if verify_timestamp == "always" else None
    assert judge_theirs(stamped, **rules).signed_at == proven
    mismatch = ["ca:valid-trust-store", "tsa:test-mismatch"]
    if verify_timestamp == "always":
        assert code_of(lambda: judge_theirs(stamped, stores=mismatch, **rules)) == "untrusted-timestamp"
    assert code_of(lambda: judge_theirs(stamped, revocation="required")) == "revocation-not-checked"


@needs_notation_go
def test_an_expired_certificate_of_notation_go_needs_its_time_stamp() -> None:
    stamped = next(case for case in THEIRS["envelopes"] if case["name"] == "coseExpiredWithTimestamp.sig")
    signed = judge_theirs(stamped, stores=["ca:valid-trust-store"], level="audit")
    assert [warning.split(": ")[:2] for warning in signed.warnings] == [
        ["authenticity", "untrusted-root"],
        ["authentic time-stamp", "certificate-expired"],
    ]

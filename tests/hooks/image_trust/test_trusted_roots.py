import json
from collections.abc import Callable
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from hooks.image_trust.finding import Rejected
from hooks.image_trust.formats import keyless, trusted_root
from hooks.image_trust.formats.keys import Algorithm
from hooks.image_trust.formats.trusted_root import MAX_BYTES, MAX_ENTRIES, Period, times_of
from tests.hooks.image_trust.vectors.make_sigstore import NOW, Sigstore, b64, sign, spki

TRUST = Path(__file__).parents[3].parent / "shared" / "data" / "trust"
OURS = Sigstore()


def compact(document: object) -> bytes:
    return json.dumps(document).encode()


def code_of(call: Callable[[], object]) -> str:
    with pytest.raises(Rejected) as caught:
        call()
    assert len(str(caught.value)) < 600
    return caught.value.code


def changed(change: Callable[[dict[str, Any]], object]) -> bytes:
    document = deepcopy(OURS.trusted_root())
    change(document)
    return compact(document)


# --- What is in it ---------------------------------------------------------------------------------


def test_a_trusted_root_is_read_whole() -> None:
    content = compact(
        OURS.trusted_root(tlogs={"start": "2025-01-01T00:00:00Z", "end": "2026-06-30T23:59:59.5Z"})
    )
    root = trusted_root.read(content)
    assert root.document == content
    assert [(log.id, log.checkpoint_id, log.key.algorithm) for log in root.logs] == [
        (OURS.rekor.id, OURS.rekor.id, Algorithm.ECDSA_P256_SHA256),
        (OURS.tiles.id, OURS.tiles.id, Algorithm.ED25519),
    ]
    assert {log.period for log in root.logs} == {
        Period(datetime(2025, 1, 1, tzinfo=UTC), datetime(2026, 6, 30, 23, 59, 59, 500_000, tzinfo=UTC))
    }
    assert [log.key.der for log in root.certificate_logs] == [spki(OURS.certificate_log)]
    assert [authority.chain for authority in root.authorities] == [
        (OURS.intermediate.certificate, OURS.root.certificate)
    ]
    assert [authority.chain for authority in root.time_stampers] == [
        (OURS.stamper.certificate, OURS.stamper_root.certificate)
    ]
    assert root.authorities[0].period == Period(datetime(2025, 1, 1, tzinfo=UTC), None)


def test_a_checkpoint_may_have_an_id_of_its_own() -> None:
    def change(document: dict[str, Any]) -> None:
        document["tlogs"][0]["checkpointKeyId"] = {"keyId": b64(b"another")}
        document["tlogs"][1]["checkpointKeyId"] = None  # JSON of protocol buffers may say so

    root = trusted_root.read(changed(change))
    assert [log.checkpoint_id for log in root.logs] == [b"another", OURS.tiles.id]


@pytest.mark.parametrize(
    ("start", "end", "at", "covered"),
    [
        (None, None, NOW, True),
        (NOW, NOW, NOW, True),
        (None, NOW, NOW + timedelta(microseconds=1), False),
        (NOW, None, NOW - timedelta(microseconds=1), False),
        (NOW, NOW + timedelta(days=1), NOW + timedelta(hours=1), True),
    ],
)
def test_a_period_includes_its_start_and_its_end(
    start: datetime | None, end: datetime | None, at: datetime, covered: bool
) -> None:
    assert Period(start, end).covers(at) is covered


def rsa_log(document: dict[str, Any], details: str, encoding: PublicFormat) -> None:
    key = rsa.generate_private_key(65537, 2048).public_key()
    document["ctlogs"][0]["publicKey"] |= {
        "keyDetails": details,
        "rawBytes": b64(key.public_bytes(Encoding.DER, encoding)),
    }


@pytest.mark.parametrize(
    ("details", "encoding"),
    [
        ("PKIX_RSA_PKCS1V15_2048_SHA256", PublicFormat.SubjectPublicKeyInfo),
        ("PKCS1_RSA_PKCS1V5", PublicFormat.PKCS1),
    ],
)
def test_logs_may_sign_with_rsa(details: str, encoding: PublicFormat) -> None:
    root = trusted_root.read(changed(lambda document: rsa_log(document, details, encoding)))
    assert [log.key.algorithm for log in root.certificate_logs] == [Algorithm.RSA_PKCS1_SHA256]


@pytest.mark.parametrize(
    "change",
    [
        lambda document: document["tlogs"][0]["publicKey"].update(keyDetails="ML_DSA_65", rawBytes="AAAA"),
        lambda document: document["tlogs"][0].update(hashAlgorithm="SHA2_512"),
    ],
    ids=["key", "hash"],
)
def test_a_log_of_an_unknown_kind_is_left_out(change: Callable[[dict[str, Any]], None]) -> None:
    root = trusted_root.read(changed(change))
    assert [log.id for log in root.logs] == [OURS.tiles.id]


# --- What is refused -------------------------------------------------------------------------------


def set_at(path: str, value: object) -> Callable[[dict[str, Any]], None]:
    def change(document: dict[str, Any]) -> None:
        *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]
        owner: Any = document
        for part in parents:
            owner = owner[part]
        owner[last] = value

    return change


CERTIFICATE = "certificateAuthorities.0.certChain.certificates"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("mediaType", "application/vnd.dev.sigstore.trustedroot+json;version=9"),
        ("mediaType", None),
        ("mediaType", 1),
        ("tlogs", {}),
        ("tlogs", [1]),
        ("tlogs.0.publicKey", None),
        ("tlogs.0.publicKey.rawBytes", "not base64!"),
        ("tlogs.0.publicKey.rawBytes", b64(b"no key")),
        ("tlogs.0.publicKey.rawBytes", None),
        ("tlogs.0.publicKey.keyDetails", "PKIX_ED25519"),
        ("tlogs.0.publicKey.keyDetails", "PKIX_ECDSA_P384_SHA_384"),
        ("tlogs.0.publicKey.keyDetails", None),
        ("tlogs.0.publicKey.validFor", "for ever"),
        ("tlogs.0.publicKey.validFor.start", "2025-01-01"),
        ("tlogs.0.publicKey.validFor.start", "2025-01-01T00:00:00"),
        ("tlogs.0.publicKey.validFor.start", "2025-13-01T00:00:00Z"),
        ("tlogs.0.publicKey.validFor.start", 1),
        ("tlogs.0.logId", None),
        ("tlogs.0.logId.keyId", None),
        ("tlogs.0.checkpointKeyId", "wNI9"),
        ("tlogs.0.hashAlgorithm", None),
        ("certificateAuthorities.0.certChain", None),
        (CERTIFICATE, []),
        (f"{CERTIFICATE}.0.rawBytes", b64(b"no certificate")),
        (f"{CERTIFICATE}.0.rawBytes", None),
        ("timestampAuthorities.0.validFor.end", "soon"),
        ("certificateAuthorities.0.validFor", 1),
    ],
)
def test_a_root_that_is_not_understood_is_refused(path: str, value: object) -> None:
    content = changed(set_at(path, value))
    assert code_of(lambda: trusted_root.read(content)) == "malformed-root"
    assert code_of(lambda: keyless.load_root(content)) == "malformed-root"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"null",
        b"{}",
        b"{" * 100,
        b'{"mediaType": "a", "mediaType": "b"}',
        b"\xff",
        b" " * (MAX_BYTES + 1),
        changed(lambda document: document.update(tlogs=document["tlogs"] * MAX_ENTRIES)),
    ],
    ids=["empty", "array", "null", "object", "deep", "twice", "no text", "large", "entries"],
)
def test_what_is_no_root_is_refused(content: bytes) -> None:
    assert code_of(lambda: trusted_root.read(content)) == "malformed-root"


def test_a_key_of_another_size_than_its_details_is_refused() -> None:
    larger = ec.generate_private_key(ec.SECP384R1())
    content = changed(set_at("tlogs.0.publicKey.rawBytes", b64(spki(larger))))
    assert code_of(lambda: trusted_root.read(content)) == "malformed-root"


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_else(content: bytes) -> None:
    assert code_of(lambda: trusted_root.read(content)) == "malformed-root"


@settings(deadline=None)
@given(st.integers(0, 7), st.data())
def test_no_flipped_bit_raises_anything_else(bit: int, data: st.DataObject) -> None:
    content = bytearray(compact(OURS.trusted_root()))
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << bit
    try:
        trusted_root.read(bytes(content))
    except Rejected as error:
        assert error.code == "malformed-root"


@pytest.mark.parametrize(
    "change",
    [
        lambda document: document.update(tlogs=[]),
        lambda document: document.update(certificateAuthorities=[]),
        lambda document: document["tlogs"][0].update(surplus=True),
    ],
    ids=["no logs", "no authorities", "unknown field"],
)
def test_a_root_that_sigstore_can_not_use_is_refused_when_it_is_loaded(
    change: Callable[[dict[str, Any]], None],
) -> None:
    assert code_of(lambda: keyless.load_root(changed(change))) == "malformed-root"


@pytest.mark.skipif(not TRUST.exists(), reason="../shared/data/trust is not there")
def test_sigstores_own_root_is_read() -> None:
    content = (TRUST / "sigstore-conformance" / "trusted_root.public-good.json").read_bytes()
    root = keyless.load_root(content)
    assert (len(root.logs), len(root.certificate_logs)) == (2, 2)
    assert [len(authority.chain) for authority in root.authorities] == [1, 2]
    assert [len(authority.chain) for authority in root.time_stampers] == [2]


# --- Signatures of logs ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "key", [OURS.rekor.key, OURS.tiles.key, ed25519.Ed25519PrivateKey.generate()], ids=["1", "2", "unknown"]
)
def test_a_signature_is_by_the_log_whose_key_made_it(key: Any) -> None:
    logs = trusted_root.read(compact(OURS.trusted_root())).logs
    signature = sign(key, b"message")
    known = {log.key.der: log for log in logs}
    if spki(key) in known:
        assert trusted_root.signer(logs, signature, b"message") is known[spki(key)]
    else:
        assert code_of(lambda: trusted_root.signer(logs, signature, b"message")) == "wrong-signature"
    assert code_of(lambda: trusted_root.signer(logs, signature, b"another")) == "wrong-signature"
    assert code_of(lambda: trusted_root.signer([], signature, b"message")) == "wrong-signature"


# --- Time-stamps -----------------------------------------------------------------------------------


@pytest.mark.parametrize("embed", [True, False], ids=["with certificate", "without certificate"])
def test_a_time_stamp_tells_when_a_signature_was_there(embed: bool) -> None:
    root = trusted_root.read(compact(OURS.trusted_root()))
    assert times_of([OURS.stamp(b"signature", NOW, embed=embed)], b"signature", root) == (NOW,)


def test_each_time_stamp_is_held_against_each_authority() -> None:
    theirs = Sigstore()
    document = OURS.trusted_root()
    document["timestampAuthorities"] += theirs.trusted_root()["timestampAuthorities"]
    later = NOW + timedelta(minutes=1)
    responses = [theirs.stamp(b"signature", later), b"junk", OURS.stamp(b"signature", NOW)]
    assert times_of(responses, b"signature", trusted_root.read(compact(document))) == (later, NOW)


@pytest.mark.parametrize(
    ("at", "counts"),
    [
        (NOW - timedelta(seconds=1), False),
        (NOW, True),
        (NOW + timedelta(hours=1), True),
        (NOW + timedelta(hours=1, seconds=1), False),
    ],
)
def test_a_time_stamp_counts_in_its_authoritys_period(at: datetime, counts: bool) -> None:
    period = {"start": f"{NOW:%Y-%m-%dT%H:%M:%SZ}", "end": f"{NOW + timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}"}
    root = trusted_root.read(compact(OURS.trusted_root(timestampAuthorities=period)))
    assert times_of([OURS.stamp(b"signature", at)], b"signature", root) == ((at,) if counts else ())


def test_a_time_stamp_of_something_else_or_by_somebody_else_proves_nothing() -> None:
    root = trusted_root.read(compact(OURS.trusted_root()))
    responses = [
        OURS.stamp(b"another", NOW),
        Sigstore().stamp(b"signature", NOW),
        OURS.stamp(b"signature", NOW)[:-1],
        OURS.stamp(b"signature", NOW) + bytes(trusted_root.MAX_RESPONSE_BYTES),
        b"",
    ]
    assert times_of(responses, b"signature", root) == ()


def test_a_time_stamp_while_its_certificate_was_not_valid_proves_nothing() -> None:
    root = trusted_root.read(compact(OURS.trusted_root(timestampAuthorities={})))
    response = OURS.stamp(b"signature", NOW - timedelta(days=800))
    assert times_of([response], b"signature", root) == ()


def test_an_authority_without_its_root_proves_nothing() -> None:
    content = changed(lambda document: document["timestampAuthorities"][0]["certChain"]["certificates"].pop())
    assert times_of([OURS.stamp(b"signature", NOW)], b"signature", trusted_root.read(content)) == ()


def test_no_more_time_stamps_are_read_than_there_may_be() -> None:
    root = trusted_root.read(compact(OURS.trusted_root()))
    responses = [OURS.stamp(b"signature", NOW)] * (trusted_root.MAX_RESPONSES + 5)
    assert len(times_of(responses, b"signature", root)) == trusted_root.MAX_RESPONSES


def test_without_what_reads_time_stamps_they_are_not_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "rfc3161_client", None)
    root = trusted_root.read(compact(OURS.trusted_root()))
    assert code_of(lambda: times_of([b"one"], b"signature", root)) == "unsupported"
    assert times_of([], b"signature", root) == ()


# --- Libraries -------------------------------------------------------------------------------------


class PanicException(BaseException):
    """As pyo3's is called."""


@pytest.mark.parametrize(
    ("raised", "seen"),
    [
        (AttributeError("x"), ValueError),
        (RecursionError("x"), ValueError),
        (PanicException("x"), ValueError),
        (Rejected("a-code", "x"), Rejected),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ],
)
def test_whatever_a_library_raises_is_one_error(raised: BaseException, seen: type[BaseException]) -> None:
    with pytest.raises(seen), trusted_root.contained("it"):
        raise raised

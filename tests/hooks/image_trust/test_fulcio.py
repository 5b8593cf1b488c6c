import json
import warnings
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given, settings
from hypothesis import strategies as st

from hooks.image_trust.finding import Rejected
from hooks.image_trust.formats import fulcio, trusted_root
from hooks.image_trust.formats.fulcio import Identity
from hooks.image_trust.formats.trusted_root import TrustedRoot
from hooks.image_trust.policy import Keyless
from tests.hooks.image_trust.vectors.make_sigstore import (
    CLAIMS,
    FULCIO,
    IDENTITY,
    ISSUER,
    NOW,
    WORKFLOW,
    Certified,
    Leaf,
    Sigstore,
    b64,
    make_authority,
    new_key,
    oid,
    usage,
    utf8,
)

OURS = Sigstore()


def root_of(document: dict[str, Any] | None = None, **periods: Mapping[str, str]) -> TrustedRoot:
    return trusted_root.read(json.dumps(document or OURS.trusted_root(**periods)).encode())


def code_of(call: Callable[[], object]) -> str:
    with pytest.raises(Rejected) as caught:
        call()
    assert len(str(caught.value)) < 600
    return caught.value.code


def wanted(**rules: str) -> Keyless:
    return Keyless.model_validate({**IDENTITY, **rules})


def verify(
    leaf: Certified, root: TrustedRoot | None = None, *times: datetime, presented: tuple[Certified, ...] = ()
) -> str:
    loaded = fulcio.load(leaf.der)
    try:
        fulcio.verify(loaded, [one.certificate for one in presented], root or root_of(), times or (NOW,))
    except Rejected as error:
        return error.code
    return "ok"


# --- Genuine ---------------------------------------------------------------------------------------

SECOND = timedelta(seconds=1)


def test_a_certificate_of_the_roots_authority_holds() -> None:
    assert verify(OURS.certify(Leaf())) == "ok"


@pytest.mark.parametrize(
    ("at", "outcome"),
    [
        (NOW - 5 * SECOND, "ok"),
        (NOW - 6 * SECOND, "untrusted-certificate"),
        (NOW + timedelta(minutes=10), "ok"),
        (NOW + timedelta(minutes=10) + SECOND, "untrusted-certificate"),
    ],
)
def test_a_certificate_is_judged_at_the_proven_time(at: datetime, outcome: str) -> None:
    assert verify(OURS.certify(Leaf()), None, at) == outcome


def test_all_that_is_proven_of_the_time_has_to_be_within_its_validity() -> None:
    leaf = OURS.certify(Leaf())
    assert verify(leaf, None, NOW, NOW + SECOND) == "ok"
    assert verify(leaf, None, NOW, NOW + timedelta(hours=1)) == "untrusted-certificate"
    assert verify(leaf, None, NOW + timedelta(hours=1), NOW) == "untrusted-certificate"


def test_without_a_proven_time_nothing_holds() -> None:
    leaf = fulcio.load(OURS.certify(Leaf()).der)
    assert code_of(lambda: fulcio.verify(leaf, [], root_of(), [])) == "unproven-time"


@pytest.mark.parametrize(
    ("leaf", "outcome"),
    [
        (Leaf(usage=usage("key_agreement")), "wrong-usage"),
        (Leaf(usage=usage("digital_signature", "key_cert_sign")), "wrong-usage"),
        (Leaf(purposes=()), "wrong-usage"),
        (Leaf(purposes=(ExtendedKeyUsageOID.SERVER_AUTH,)), "wrong-usage"),
        (Leaf(purposes=(ExtendedKeyUsageOID.TIME_STAMPING,)), "wrong-usage"),
        (Leaf(purposes=(ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,)), "wrong-usage"),
        (Leaf(authority=True), "wrong-usage"),
        (Leaf(scts=0), "no-sct"),
        (Leaf(names=()), "untrusted-certificate"),
        (Leaf(scts=3), "ok"),
    ],
    ids=[
        "no signatures", "signs certificates", "no purpose", "servers", "time", "anything", "authority",
        "no SCT", "nobody", "several SCTs",
    ],
)  # fmt: skip
def test_a_certificate_is_a_leaf_that_signs_code(leaf: Leaf, outcome: str) -> None:
    assert verify(OURS.certify(leaf)) == outcome


def test_a_certificate_without_key_usage_says_nothing_of_what_it_is_for() -> None:
    key = new_key()
    builder = x509.CertificateBuilder().subject_name(x509.Name([])).issuer_name(x509.Name([]))
    builder = builder.public_key(key.public_key()).serial_number(1)
    builder = builder.not_valid_before(NOW).not_valid_after(NOW)
    plain = Certified(key, builder.sign(key, x509.base.hashes.SHA256()))
    assert verify(plain) == "wrong-usage"


def test_nobody_else_can_issue_one() -> None:
    theirs = Sigstore()
    leaf = theirs.certify(Leaf())
    assert verify(leaf) == "untrusted-certificate"
    assert verify(leaf, presented=(theirs.intermediate, theirs.root)) == "untrusted-certificate"


def test_a_leaf_can_not_issue_one() -> None:
    leaf = OURS.certify(Leaf())
    below = OURS.certify(Leaf(), issuer=leaf)
    assert verify(below, presented=(leaf,)) == "untrusted-certificate"


def test_an_authority_counts_in_its_period() -> None:
    for period, outcome in (
        ({"start": "2026-01-15T12:00:00Z"}, "ok"),
        ({"start": "2026-01-15T12:00:01Z"}, "untrusted-certificate"),
        ({"start": "2025-01-01T00:00:00Z", "end": "2026-01-15T12:00:00Z"}, "ok"),
        ({"start": "2025-01-01T00:00:00Z", "end": "2026-01-15T11:59:59Z"}, "untrusted-certificate"),
    ):
        assert verify(OURS.certify(Leaf()), root_of(certificateAuthorities=period)) == outcome


@pytest.mark.parametrize(
    ("issuer", "outcome"),
    [
        (lambda: make_authority("another", OURS.root), "ok"),
        (lambda: make_authority("another", OURS.root, purpose=None), "ok"),
        (
            lambda: make_authority("another", OURS.root, purpose=ExtendedKeyUsageOID.TIME_STAMPING),
            "untrusted-certificate",
        ),
        (lambda: make_authority("another", OURS.root, end=NOW - SECOND), "untrusted-certificate"),
        (lambda: make_authority("another", Sigstore().root), "untrusted-certificate"),
    ],
    ids=["of the root", "without purpose", "for time-stamps", "expired", "of another root"],
)
def test_who_issues_under_the_root_has_to_be_allowed_to(
    issuer: Callable[[], Certified], outcome: str
) -> None:
    between = issuer()
    leaf = OURS.certify(Leaf(), issuer=between)
    assert verify(leaf) == "untrusted-certificate"
    assert verify(leaf, presented=(between,)) == outcome


def test_the_roots_own_intermediates_are_enough() -> None:
    document = OURS.trusted_root()
    del document["certificateAuthorities"][0]["certChain"]["certificates"][0]
    leaf = OURS.certify(Leaf())
    assert verify(leaf, root_of(document)) == "untrusted-certificate"
    assert verify(leaf, root_of(document), presented=(OURS.intermediate,)) == "ok"


def test_what_is_presented_is_limited() -> None:
    document = OURS.trusted_root()
    del document["certificateAuthorities"][0]["certChain"]["certificates"][0]
    crowd = (make_authority("other"),) * fulcio.MAX_CHAIN
    assert verify(OURS.certify(Leaf()), root_of(document), presented=(*crowd, OURS.intermediate)) != "ok"


# --- Certificate transparency ----------------------------------------------------------------------


def test_only_a_certificate_log_of_the_root_counts() -> None:
    document = OURS.trusted_root()
    document["ctlogs"] = Sigstore().trusted_root()["ctlogs"]
    assert verify(OURS.certify(Leaf()), root_of(document)) == "no-sct"


def test_a_log_is_not_taken_at_its_name() -> None:
    document = OURS.trusted_root()
    document["ctlogs"][0]["publicKey"] = Sigstore().trusted_root()["ctlogs"][0]["publicKey"]
    assert verify(OURS.certify(Leaf()), root_of(document)) == "no-sct"


def test_a_log_is_known_by_its_id() -> None:
    document = OURS.trusted_root()
    document["ctlogs"][0]["logId"]["keyId"] = b64(bytes(32))
    assert verify(OURS.certify(Leaf()), root_of(document)) == "no-sct"


def test_a_certificate_log_counts_in_its_period() -> None:
    leaf = OURS.certify(Leaf())  # logged at its start, 11:59:55
    for period, outcome in (
        ({"start": "2026-01-15T11:59:55Z", "end": "2026-01-15T11:59:55Z"}, "ok"),
        ({"start": "2026-01-15T11:59:56Z"}, "no-sct"),
        ({"start": "2025-01-01T00:00:00Z", "end": "2026-01-15T11:59:54Z"}, "no-sct"),
    ):
        assert verify(leaf, root_of(ctlogs=period)) == outcome


@pytest.mark.parametrize("milliseconds", [0, 1, 7, 499, 579, 999])
def test_a_logs_time_is_exact_to_the_millisecond(milliseconds: int) -> None:
    class Late(Sigstore):
        def _sct(self, precertificate: bytes, issuer: Certified, at: datetime) -> bytes:
            return super()._sct(precertificate, issuer, at + timedelta(milliseconds=milliseconds))

    late = Late()
    assert verify(late.certify(Leaf()), root_of(late.trusted_root())) == "ok"


def test_a_log_signs_with_sha_256() -> None:
    class Otherwise(Sigstore):
        def _sct(self, precertificate: bytes, issuer: Certified, at: datetime) -> bytes:
            return (
                super()._sct(precertificate, issuer, at).replace(b"\x00\x00\x04\x03", b"\x00\x00\x06\x03", 1)
            )

    other = Otherwise()
    assert verify(other.certify(Leaf()), root_of(other.trusted_root())) == "no-sct"


def test_a_log_has_signed_for_one_issuer() -> None:
    class Elsewhere(Sigstore):
        def _sct(self, precertificate: bytes, issuer: Certified, at: datetime) -> bytes:
            del issuer
            return super()._sct(precertificate, self.root, at)

    other = Elsewhere()
    assert verify(other.certify(Leaf()), root_of(other.trusted_root())) == "no-sct"


# --- Reading ---------------------------------------------------------------------------------------


def negative(der: bytes) -> bytes:
    """Give a certificate a serial number that is not positive, which the library reads and warns of."""
    version, serial = bytes.fromhex("a003020102"), 2
    at = der.index(version) + len(version) + serial
    return der[:at] + bytes([der[at] | 0x80]) + der[at + 1 :]


@pytest.mark.parametrize(
    "der",
    [
        b"",
        b"no certificate",
        OURS.certify(Leaf()).der[:-1],
        OURS.certify(Leaf()).der + b"\0",
        bytes(fulcio.MAX_CERTIFICATE_BYTES + 1),
        # Two extensions of one kind: what another reader would take for its value is anybody's guess.
        OURS.certify(Leaf(raw={f"{FULCIO}.9": utf8("https://evil.example")})).der.replace(
            oid(f"{FULCIO}.9"), oid(f"{FULCIO}.8")
        ),
        negative(OURS.certify(Leaf()).der),
    ],
    ids=["empty", "text", "cut", "longer", "large", "twice", "negative"],
)
def test_what_is_no_certificate_is_refused_without_a_warning(der: bytes) -> None:
    with warnings.catch_warnings(action="error"):
        assert code_of(lambda: fulcio.load(der)) == "malformed-certificate"


@pytest.mark.parametrize(
    "text",
    ["", "no PEM", "é", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "x" * 200_000],
    ids=["empty", "text", "other text", "junk", "large"],
)
def test_what_is_no_pem_is_refused(text: str) -> None:
    assert code_of(lambda: fulcio.load_pem(text)) == "malformed-certificate"


def test_certificates_in_pem_are_read_in_their_order() -> None:
    found = fulcio.load_pem(OURS.intermediate.pem + "\n" + OURS.root.pem)
    assert [one.public_bytes(Encoding.DER) for one in found] == [OURS.intermediate.der, OURS.root.der]


@settings(deadline=None)
@given(st.binary(max_size=100))
def test_no_bytes_raise_anything_else(content: bytes) -> None:
    assert code_of(lambda: fulcio.load(content)) == "malformed-certificate"
    assert code_of(lambda: fulcio.load_pem(content.decode("latin-1"))) == "malformed-certificate"


@settings(deadline=None)
@given(st.integers(0, 7), st.data())
def test_no_flipped_bit_passes(bit: int, data: st.DataObject) -> None:
    content = bytearray(LEAF.der)
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << bit
    try:
        flipped = fulcio.load(bytes(content))
        fulcio.match(flipped, wanted())
        fulcio.verify(flipped, [], root_of(), [NOW])
    except Rejected:
        return
    pytest.fail("a certificate with a flipped bit holds")


LEAF = OURS.certify(Leaf())


# --- Whom it names ---------------------------------------------------------------------------------


def named(**fields: Any) -> Identity:
    return fulcio.identity(fulcio.load(OURS.certify(Leaf(**fields)).der))


def test_a_workflow_is_named_whole() -> None:
    assert named() == Identity(
        issuer=ISSUER,
        names=(WORKFLOW,),
        source_repository="https://github.com/shop/web",
        source_ref="refs/heads/main",
        runner_environment="github-hosted",
    )


MAIL = (x509.RFC822Name("alice@example.com"),)
V1, V2 = f"{FULCIO}.1", f"{FULCIO}.8"


@pytest.mark.parametrize(
    ("fields", "issuer"),
    [
        ({"raw": {V1: b"https://a.example"}, "claims": {}}, "https://a.example"),
        ({"raw": {}, "claims": {V2: "https://a.example"}}, "https://a.example"),
        ({"raw": {V1: b"https://a.example"}, "claims": {V2: "https://a.example"}}, "https://a.example"),
    ],
    ids=["older", "newer", "both"],
)
def test_the_issuer_is_read_in_its_older_and_its_newer_form(fields: dict[str, Any], issuer: str) -> None:
    assert named(names=MAIL, **fields) == Identity(
        issuer=issuer,
        names=("alice@example.com",),
        source_repository=None,
        source_ref=None,
        runner_environment=None,
    )


@pytest.mark.parametrize(
    "raw",
    [
        {},
        {V1: b"https://a.example", V2: utf8("https://b.example")},
        {V1: b"\xff"},
        {V1: b"", V2: utf8("https://b.example")},
        {V2: b"https://a.example"},
        {V2: utf8("https://a.example") + b"\0"},
        {V2: b"\x13" + utf8("https://a.example")[1:]},
        {V2: b"\x0c\x81\x03abc"},
        {V2: b"\x0c\x80abc\0\0"},
        {V2: b"\x0c\x02\xff\xff"},
        {V2: b""},
        {V2: utf8("x" * 3000)},
        {V1: b"x" * 3000},
        {V1: ISSUER.encode(), f"{FULCIO}.12": b"https://github.com/shop/web"},
    ],
    ids=[
        "none", "two", "no text", "empty", "bare", "longer", "PrintableString", "long length", "no length",
        "no UTF-8", "nothing", "large", "large, older", "bare repository",
    ],
)  # fmt: skip
def test_a_name_that_can_be_read_in_two_ways_is_refused(raw: dict[str, bytes]) -> None:
    assert code_of(lambda: named(raw=raw, claims={})) == "malformed-certificate"


OTHER_NAME = x509.ObjectIdentifier(f"{FULCIO}.7")


@pytest.mark.parametrize(
    ("names", "seen"),
    [
        (MAIL, ("alice@example.com",)),
        ((x509.OtherName(OTHER_NAME, utf8("alice!example.com")),), ("alice!example.com",)),
        ((x509.OtherName(x509.ObjectIdentifier("1.2.3.4"), utf8("alice!example.com")),), ()),
        ((x509.DNSName("example.com"), *MAIL), ("alice@example.com",)),
        ((x509.UniformResourceIdentifier(WORKFLOW), *MAIL), (WORKFLOW, "alice@example.com")),
    ],
    ids=["mail", "user name", "other kind", "host", "two"],
)
def test_names_of_the_kinds_that_fulcio_certifies_count(
    names: tuple[x509.GeneralName, ...], seen: tuple[str, ...]
) -> None:
    assert named(names=names).names == seen


@pytest.mark.parametrize(
    "names",
    [
        (x509.OtherName(OTHER_NAME, b"\x13\x01a"),),
        (x509.RFC822Name(f"{'a' * 3000}@example.com"),),
        MAIL * (fulcio.MAX_NAMES + 1),
    ],
    ids=["no text", "large", "many"],
)
def test_names_that_are_malformed_are_refused(names: tuple[x509.GeneralName, ...]) -> None:
    assert code_of(lambda: named(names=names)) == "malformed-certificate"


def test_user_names_hold_as_well() -> None:
    leaf = OURS.certify(Leaf(names=(x509.OtherName(OTHER_NAME, utf8("alice!example.com")),)))
    assert verify(leaf) == "ok"
    assert fulcio.match(fulcio.load(leaf.der), wanted(identity="alice!example.com"))


# --- Whom the policy wants -------------------------------------------------------------------------


def rules(**rules: str) -> Keyless:
    return Keyless.model_validate({"root": "own", **rules})


def test_a_signer_is_written_with_the_issuer() -> None:
    assert fulcio.match(fulcio.load(LEAF.der), wanted()) == f"{WORKFLOW} ({ISSUER})"


ANY_ISSUER = {"issuerPattern": "**"}
ANYBODY = {"identityPattern": "**"}


@pytest.mark.parametrize(
    ("rule", "outcome"),
    [
        ({"issuer": ISSUER, "identity": WORKFLOW}, "ok"),
        ({**ANY_ISSUER, **ANYBODY}, "ok"),
        # The issuer, exactly or by a glob of the whole.
        ({"issuer": ISSUER + "/", **ANYBODY}, "wrong-issuer"),
        ({"issuer": ISSUER[:-1], **ANYBODY}, "wrong-issuer"),
        ({"issuer": ISSUER.upper(), **ANYBODY}, "wrong-issuer"),
        ({"issuer": "*", **ANYBODY}, "wrong-issuer"),
        ({"issuerPattern": "https://token.actions.*", **ANYBODY}, "ok"),
        ({"issuerPattern": "token.actions.*", **ANYBODY}, "wrong-issuer"),
        ({"issuerPattern": "https://token.actions", **ANYBODY}, "wrong-issuer"),
        # The subject.
        ({**ANY_ISSUER, "identity": WORKFLOW.replace("main", "ma")}, "wrong-identity"),
        ({**ANY_ISSUER, "identity": "**"}, "wrong-identity"),
        (
            {
                **ANY_ISSUER,
                "identityPattern": "https://github.com/shop/*/.github/workflows/*@refs/heads/main",
            },
            "ok",
        ),
        ({**ANY_ISSUER, "identityPattern": "https://github.com/shop/*"}, "wrong-identity"),
        ({**ANY_ISSUER, "identityPattern": "github.com/shop/**"}, "wrong-identity"),
        ({**ANY_ISSUER, "identityPattern": "https://github.com/shop/**@refs/heads/mai"}, "wrong-identity"),
        # What a workflow was.
        ({**ANY_ISSUER, **ANYBODY, "sourceRepository": "https://github.com/shop/web"}, "ok"),
        ({**ANY_ISSUER, **ANYBODY, "sourceRepository": "https://github.com/shop/we"}, "wrong-source"),
        ({**ANY_ISSUER, **ANYBODY, "sourceRepository": "https://github.com/shop/**"}, "wrong-source"),
        ({**ANY_ISSUER, **ANYBODY, "sourceRef": "refs/heads/main"}, "ok"),
        ({**ANY_ISSUER, **ANYBODY, "sourceRef": "refs/heads/*"}, "ok"),
        ({**ANY_ISSUER, **ANYBODY, "sourceRef": "refs/tags/*"}, "wrong-source"),
        ({**ANY_ISSUER, **ANYBODY, "sourceRef": "refs/heads/ma"}, "wrong-source"),
        ({**ANY_ISSUER, **ANYBODY, "runnerEnvironment": "github-hosted"}, "ok"),
        ({**ANY_ISSUER, **ANYBODY, "runnerEnvironment": "self-hosted"}, "wrong-source"),
        ({**ANY_ISSUER, **ANYBODY, "runnerEnvironment": "*"}, "wrong-source"),
    ],
)
def test_an_identity_is_whom_the_policy_wants(rule: dict[str, str], outcome: str) -> None:
    leaf = fulcio.load(LEAF.der)
    if outcome == "ok":
        assert fulcio.match(leaf, rules(**rule))
    else:
        assert code_of(lambda: fulcio.match(leaf, rules(**rule))) == outcome


@pytest.mark.parametrize(
    ("rule", "value"),
    [
        ({"sourceRepository": "https://github.com/shop/web"}, f"{FULCIO}.12"),
        ({"sourceRef": "**"}, f"{FULCIO}.14"),
        ({"runnerEnvironment": "github-hosted"}, f"{FULCIO}.11"),
    ],
)
def test_what_is_not_certified_is_not_wanted_whatever_the_glob(rule: dict[str, str], value: str) -> None:
    claims = {key: text for key, text in CLAIMS.items() if key != value}
    leaf = fulcio.load(OURS.certify(Leaf(claims=claims)).der)
    assert fulcio.match(leaf, wanted())
    assert code_of(lambda: fulcio.match(leaf, wanted(**rule))) == "wrong-source"


def test_one_of_several_names_is_enough() -> None:
    leaf = fulcio.load(OURS.certify(Leaf(names=(*MAIL, x509.UniformResourceIdentifier(WORKFLOW)))).der)
    assert fulcio.match(leaf, wanted()) == f"{WORKFLOW} ({ISSUER})"
    assert fulcio.match(leaf, wanted(identity="alice@example.com")) == f"alice@example.com ({ISSUER})"


def test_nobody_is_nobody() -> None:
    leaf = fulcio.load(OURS.certify(Leaf(names=())).der)
    assert code_of(lambda: fulcio.match(leaf, rules(**ANY_ISSUER, **ANYBODY))) == "wrong-identity"


@settings(deadline=None)
@given(st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=20))
def test_only_the_identity_itself_is_it_exactly(text: str) -> None:
    if text != WORKFLOW:
        leaf = fulcio.load(LEAF.der)
        assert code_of(lambda: fulcio.match(leaf, wanted(identity=text))) == "wrong-identity"
        assert code_of(lambda: fulcio.match(leaf, wanted(identity=WORKFLOW + text))) == "wrong-identity"
        assert code_of(lambda: fulcio.match(leaf, wanted(issuer=text))) == "wrong-issuer"

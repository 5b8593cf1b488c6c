import hashlib
import json
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from hooks.image_trust.finding import Rejected
from hooks.image_trust.formats.chain import (
    MAX_CERTIFICATE_BYTES,
    Anchors,
    Certificate,
    Chain,
    Identity,
    check_identity,
    load_store,
    parse_identities,
    parse_subject,
    write_subject,
)
from hooks.image_trust.policy import Store
from tests.hooks.image_trust.test_notation import NOTATION_GO, as_pem, needs_notation_go
from tests.hooks.image_trust.vectors.make_notation import (
    ALONE,
    CA,
    DAY,
    END,
    MIDDLE,
    ROOT,
    SIGNED,
    SIGNER,
    START,
    TSA,
    TSA_ROOT,
    Issued,
    Wanted,
    ec_key,
    issue,
    subject_of,
    with_serial,
)


def code_of(call: Callable[[], object]) -> str:
    with pytest.raises(Rejected) as caught:
        call()
    assert len(str(caught.value)) < 700
    return caught.value.code


def load(*issued: Issued) -> list[Certificate]:
    return [Certificate.load(one.der) for one in issued]


# --- Certificates ----------------------------------------------------------------------------------


def test_a_certificate_is_read_as_it_is() -> None:
    leaf = Certificate.load(SIGNER.der)
    assert replace(leaf, parsed=ROOT.certificate) == Certificate(
        der=SIGNER.der,
        to_be_signed=SIGNER.certificate.tbs_certificate_bytes,
        key=SIGNER.key.public_key(),  # type: ignore[arg-type]  # of an elliptic curve
        subject=(("2.5.4.6", "US"), ("2.5.4.8", "WA"), ("2.5.4.10", "Example, Inc."), ("2.5.4.3", "release")),
        not_before=START,
        not_after=END,
        is_authority=None,
        path_length=None,
        key_usage=frozenset({"digital_signature"}),
        extended_key_usage=frozenset({x509.ExtendedKeyUsageOID.CODE_SIGNING}),
        critical=frozenset({x509.KeyUsage.oid}),
        names_revocation=False,
        parsed=ROOT.certificate,
    )
    assert leaf.sha256 == hashlib.sha256(SIGNER.der).hexdigest()
    assert leaf.name == "C=US, ST=WA, O=Example\\, Inc., CN=release"


def test_an_authority_is_read_as_it_is() -> None:
    middle = Certificate.load(MIDDLE.der)
    assert (middle.is_authority, middle.path_length, middle.key_usage) == (
        True,
        0,
        frozenset({"key_cert_sign", "crl_sign"}),
    )
    assert middle.critical == {x509.KeyUsage.oid, x509.BasicConstraints.oid}


TWICE = SIGNER.der.replace(bytes.fromhex("0603551d25"), bytes.fromhex("0603551d0f"))


@pytest.mark.parametrize(
    ("der", "code"),
    [
        (b"", "malformed-certificate"),
        (b"0", "malformed-certificate"),
        (b"0\x80\x00\x00", "malformed-certificate"),
        (b"\x30\x84\xff\xff\xff\xff", "malformed-certificate"),
        (b"0\x82\x10\x00" * 1000, "malformed-certificate"),
        (b"\x30\x80" * 8000, "malformed-certificate"),
        (bytes(MAX_CERTIFICATE_BYTES + 1), "malformed-certificate"),
        (SIGNER.der[:-1], "malformed-certificate"),
        (SIGNER.der + b"\x00", "malformed-certificate"),
        (SIGNER.pem.encode(), "malformed-certificate"),
        # An extension that stands twice; a version, a name and a point that are none.
        (TWICE, "malformed-certificate"),
        (SIGNER.der.replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x07"), "malformed-certificate"),
        (SIGNER.der.replace(b"\x0c\x07release", b"\x0c\x07relea\xff\xff"), "malformed-certificate"),
        (SIGNER.der.replace(b"\x00\x04", b"\x00\x05", 1), "malformed-certificate"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.hex()[:30],
)
def test_what_is_no_certificate_is_refused_by_name(der: bytes, code: str) -> None:
    assert code_of(lambda: Certificate.load(der)) == code


@pytest.mark.parametrize(
    "key",
    [ec.generate_private_key(ec.SECP256K1()), ec.generate_private_key(ec.SECP224R1())],
    ids=lambda key: str(key.curve.name),
)
def test_a_key_that_the_specification_does_not_have_is_refused(key: ec.EllipticCurvePrivateKey) -> None:
    assert code_of(lambda: Certificate.load(issue(Wanted(), key, ROOT).der)) == "unsuitable-certificate"


def test_authorities_may_have_keys_that_no_leaf_may_have_but_not_of_any_size() -> None:
    key = rsa.generate_private_key(65537, 2560)
    root = issue(CA, key)
    leaf = issue(Wanted(), ec_key("signer"), root)
    assert Chain.for_signing_code(load(leaf, root)).root.name == Certificate.load(root.der).name
    assert code_of(lambda: Certificate.load(issue(CA, key).der).algorithm) == "unsuitable-certificate"
    # 16384 bits cost a thousand times as much as 2048, and nobody has them.
    numbers = rsa.RSAPublicNumbers(65537, (1 << 16383) + 1)
    enormous = x509.CertificateBuilder(
        ROOT.certificate.issuer, ROOT.certificate.subject, numbers.public_key(), 5, START, END
    ).sign(ec_key("root"), hashes_of(ROOT))
    der = enormous.public_bytes(x509_encoding())
    assert code_of(lambda: Certificate.load(der)) == "unsuitable-certificate"


def hashes_of(issued: Issued) -> Any:
    return issued.certificate.signature_hash_algorithm


def x509_encoding() -> Any:
    from cryptography.hazmat.primitives.serialization import Encoding

    return Encoding.DER


@pytest.mark.parametrize("serial", [-5, -1, 0])
def test_a_serial_number_that_is_not_positive_warns_nobody(serial: int) -> None:
    odd = with_serial(SIGNER, ROOT, serial)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        chain = Chain.for_signing_code(load(odd, ROOT))
        chain.check_valid(SIGNED, SIGNED, "now")
    assert (chain.leaf.name, said) == (Certificate.load(SIGNER.der).name, [])


def test_a_country_of_three_letters_warns_nobody() -> None:
    der = issue(replace(Wanted(), subject=[(NameOID.COMMON_NAME, "USA")]), ec_key("signer"), ROOT).der
    # From a common name to a country; builders write no such thing.
    abroad = der.replace(bytes.fromhex("0603550403"), bytes.fromhex("0603550406")).replace(
        bytes.fromhex("0c03") + b"USA", bytes.fromhex("1303") + b"USA"
    )
    assert Certificate.load(abroad).subject == (("2.5.4.6", "USA"),)


# --- Chains ----------------------------------------------------------------------------------------


def test_a_chain_knows_its_ends() -> None:
    below = issue(Wanted(), ec_key("signer"), MIDDLE)
    certificates = load(below, MIDDLE, ROOT)
    chain = Chain.for_signing_code(certificates)
    assert (chain.leaf, chain.root, chain.revocable) == (certificates[0], certificates[2], ())


@pytest.mark.parametrize("count", [0, 9])
def test_a_chain_is_neither_empty_nor_endless(count: int) -> None:
    assert code_of(lambda: Chain.for_signing_code(load(SIGNER) * count)) == "broken-chain"


def test_who_signs_code_stamps_no_time_and_the_other_way_round() -> None:
    stamps = issue(TSA, ec_key("stamps"), ROOT)
    assert Chain.for_stamping_time(load(stamps, ROOT)).leaf == Certificate.load(stamps.der)
    assert code_of(lambda: Chain.for_signing_code(load(stamps, ROOT))) == "unsuitable-certificate"
    assert code_of(lambda: Chain.for_stamping_time(load(SIGNER, ROOT))) == "unsuitable-certificate"


def test_all_certificates_have_to_be_valid_all_the_time() -> None:
    short = issue(replace(Wanted(), start=SIGNED, end=SIGNED + DAY), ec_key("signer"), ROOT)
    chain = Chain.for_signing_code(load(short, ROOT))
    chain.check_valid(SIGNED, SIGNED + DAY, "then")
    assert not chain.has_expired(SIGNED + DAY)
    second = DAY / 86400
    assert chain.has_expired(SIGNED + DAY + second)
    too_early = "certificate-not-yet-valid"
    assert code_of(lambda: chain.check_valid(SIGNED - second, SIGNED, "then")) == too_early
    assert code_of(lambda: chain.check_valid(SIGNED, SIGNED + DAY + second, "then")) == "certificate-expired"


# --- Trust stores ----------------------------------------------------------------------------------


def store(kind: str, *pems: str, **more: Any) -> Store:
    return Store.model_validate({"type": kind, "certificates": pems, **more})


def test_a_store_trusts_the_certificates_and_fingerprints_in_it() -> None:
    stranger = "ab" * 32
    found = load_store(store("ca", ROOT.pem + TSA_ROOT.pem, ALONE.pem, fingerprints=[stranger]))
    certificates = tuple(load(ROOT, TSA_ROOT, ALONE))
    fingerprints = frozenset({one.sha256 for one in certificates} | {stranger})
    assert found == Anchors(certificates, fingerprints, self_signed=True)
    assert [found.trusts(one) for one in load(ROOT, MIDDLE)] == [True, False]


def test_stores_of_a_type_trust_together() -> None:
    one, other = load_store(store("ca", ROOT.pem)), load_store(store("ca", ALONE.pem))
    assert one | other == load_store(store("ca", ROOT.pem, ALONE.pem))


@pytest.mark.parametrize(
    ("kind", "text", "said"),
    [
        ("ca", "", "certificates[1] of a trust store: a certificate can't be read"),
        ("ca", "root", "can't be read"),
        ("ca", ROOT.pem[:-40], "can't be read"),
        ("ca", "-----BEGIN CERTIFICATE-----\n\n-----END CERTIFICATE-----\n", "can't be read"),
        ("ca", ROOT.pem + SIGNER.pem, "it is not self-issued"),
        ("ca", MIDDLE.pem, "it is not self-issued"),
        ("ca", issue(replace(Wanted(), usage=("key_agreement",)), ec_key("a")).pem, "no digital signature"),
        ("ca", issue(replace(CA, usage=("crl_sign",)), ec_key("a")).pem, "no certificate signing"),
        ("ca", issue(replace(CA, constraint_critical=False), ec_key("a")).pem, "certificate authority's"),
        ("signingAuthority", ALONE.pem, "certificate authority's"),
        ("tsa", ALONE.pem, "certificate authority's"),
        ("tsa", issue(TSA, ec_key("stamps")).pem, "certificate authority's"),
        ("tsa", SIGNER.pem, "it is not self-issued"),
    ],
)
def test_a_store_with_what_is_no_root_is_refused(kind: str, text: str, said: str) -> None:
    with pytest.raises(Rejected) as caught:
        load_store(store(kind, ROOT.pem, text))
    assert caught.value.code == "bad-trust-store"
    assert said in str(caught.value)


THEIR_STORES = (
    json.loads((NOTATION_GO / "cases.json").read_text())["trust_stores"] if NOTATION_GO.exists() else []
)


@needs_notation_go
@pytest.mark.parametrize("case", THEIR_STORES, ids=lambda case: f"{case['type']}:{case['name']}")
def test_a_store_of_notation_go_comes_out_as_it_says(case: dict[str, str]) -> None:
    files: list[Path] = sorted((NOTATION_GO / case["path"]).iterdir())
    given_store = store(case["type"], *(as_pem(path.read_bytes()) for path in files))
    if case["expected"] == "loads":
        expected = {hashlib.sha256(der_of(path)).hexdigest() for path in files}
        assert load_store(given_store).fingerprints == expected
    else:
        assert code_of(lambda: load_store(given_store)) == "bad-trust-store"


def der_of(path: Path) -> bytes:
    return x509.load_pem_x509_certificate(as_pem(path.read_bytes()).encode()).public_bytes(x509_encoding())


# --- Identities ------------------------------------------------------------------------------------

C, ST, L, O, CN = "2.5.4.6", "2.5.4.8", "2.5.4.7", "2.5.4.10", "2.5.4.3"  # noqa: E741  # their names


@pytest.mark.parametrize(
    ("text", "attributes"),
    [
        ("C=US, ST=WA, O=example", {C: "US", ST: "WA", O: "example"}),
        ("C=US,S=WA,O=example", {C: "US", ST: "WA", O: "example"}),
        ("  c = US , st=WA , o =  two  words  ", {C: "US", ST: "WA", O: "two  words"}),
        (r"O=Example\, Inc., C=US, ST=WA", {O: "Example, Inc.", C: "US", ST: "WA"}),
        (r"O=\ a \+\;\<\>\"\\\#\=\ ,C=US,ST=WA", {O: ' a +;<>"\\#= ', C: "US", ST: "WA"}),
        (r"O=a=b#c,C=US,ST=WA", {O: "a=b#c", C: "US", ST: "WA"}),
        (r"O=Lu\C4\8Di\c4\87,C=US,ST=WA", {O: "Lučić", C: "US", ST: "WA"}),
        ("O=Lučić,C=US,ST=WA,CN=", {O: "Lučić", C: "US", ST: "WA", CN: ""}),
        (r"O=ends in a comma\,,C=US,ST=WA", {O: "ends in a comma,", C: "US", ST: "WA"}),
        (r"C=US,ST=WA,O=a\,", {C: "US", ST: "WA", O: "a,"}),
        (
            "C=US, ST=WA, L=Seattle, STREET=1 Main St, POSTALCODE=98101, O=a, OU=b, CN=c, SERIALNUMBER=7, "
            "DC=example, UID=d",
            {
                C: "US", ST: "WA", L: "Seattle", "2.5.4.9": "1 Main St", "2.5.4.17": "98101", O: "a",
                "2.5.4.11": "b", CN: "c", "2.5.4.5": "7", "0.9.2342.19200300.100.1.25": "example",
                "0.9.2342.19200300.100.1.1": "d",
            },
        ),
    ],
)  # fmt: skip
def test_a_distinguished_name_is_read_as_rfc_4514_has_it(text: str, attributes: dict[str, str]) -> None:
    assert parse_subject(text) == Identity(attributes)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        ",",
        "C=US",
        "C=US, ST=WA",
        "C=US, O=example",
        "ST=WA, O=example",
        "C=, ST=WA, O=example",
        "C=US, ST=WA, O=example,",
        "C=US,, ST=WA, O=example",
        "C=US; ST=WA; O=example",
        "C=US, ST=WA, O=example, O=example",
        "C=US, ST=WA, S=WA, O=example",
        "C=US, ST=WA, O=example + CN=release",
        'C=US, ST=WA, O="example"',
        "C=US, ST=WA, O=<example>",
        "C=US, ST=WA, O=#0c07657861",
        "C=US, ST=WA, O= #0c07657861",
        "C=US, ST=WA, O=example, 2.5.4.3=release",
        "C=US, ST=WA, O=example, E=a@example.com",
        "C=US, ST=WA, O=example, CN",
        "C=US, ST=WA, O=example, =release",
        "C=US, ST=WA, O=exam\\ple",
        "C=US, ST=WA, O=example\\",
        "C=US, ST=WA, O=example\\4",
        "C=US, ST=WA, O=\\ff",
        "C=US, ST=WA, O=\\ed\\a0\\80",
        "C=US, ST=WA, O=exa\x00mple",
        "C=US, ST=WA, O=exa\nmple",
        "C=US, ST=WA, O=example\n",
        "C=US, ST=WA, O=exa\ud800mple",
        "CN=" + "a" * 100_000,
        "C=US, ST=WA, O=" + " " * 1000 + "<",
        "," * 1000,
        "\\" * 1000,
    ],
    ids=lambda text: repr(text[:40]),
)
def test_what_is_no_distinguished_name_is_refused_by_name(text: str) -> None:
    assert code_of(lambda: parse_subject(text)) == "bad-identity"


types = st.sampled_from([C, ST, L, O, CN, "2.5.4.11", "2.5.4.9", "2.5.4.17", "2.5.4.5"])
values = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
subjects = st.dictionaries(types, values, max_size=9).map(
    lambda some: {C: "US", ST: "WA", O: "example"} | {kind: text or "-" for kind, text in some.items()}
)


@given(subjects)
def test_every_subject_is_read_as_it_was_written(subject: dict[str, str]) -> None:
    assert parse_subject(write_subject([*subject.items()])) == Identity(subject)


@given(st.text(max_size=60) | st.text('CSTO=,\\+ "#<>;ab4', max_size=60))
def test_whatever_is_read_as_a_name_is_refused_by_name_or_is_one(text: str) -> None:
    try:
        identity = parse_subject(text)
    except Rejected as error:
        assert error.code == "bad-identity"
    else:
        assert all(identity.attributes[kind] for kind in (C, ST, O))


@given(subjects, subjects)
def test_an_identity_covers_a_subject_that_has_all_of_it(wanted: dict[str, str], has: dict[str, str]) -> None:
    leaf = replace(Certificate.load(SIGNER.der), subject=tuple(has.items()))
    expected = all(has.get(kind) == text for kind, text in wanted.items())
    assert Identity(wanted).covers(leaf) is expected


@given(subjects, types, values)
def test_an_attribute_that_stands_twice_is_not_covered(has: dict[str, str], kind: str, text: str) -> None:
    leaf = replace(Certificate.load(SIGNER.der), subject=(*has.items(), (kind, text)))
    assert Identity(has).covers(leaf) is (kind not in has)


NAMED = "x509.subject: C=US, ST=WA, O=Example\\, Inc."


@pytest.mark.parametrize(
    "texts",
    [
        (),
        ("*", NAMED),
        ("*", "*"),
        ("",),
        ("x509.subject",),
        ("x509.subject:",),
        ("X509.SUBJECT: C=US, ST=WA, O=a",),
        (" " + NAMED,),
        ("C=US, ST=WA, O=a",),
        ("**",),
        ("arn:aws:signer:eu-west-1:111122223333:/signing-profiles/shop",),
        # One covers all that the other does.
        (NAMED, NAMED),
        (NAMED, f"{NAMED}, CN=release"),
        (f"{NAMED}, CN=release", NAMED),
    ],
)
def test_identities_that_mean_nothing_or_the_same_are_refused(texts: tuple[str, ...]) -> None:
    leaf = Certificate.load(SIGNER.der)
    code = "bad-identity" if texts else "wrong-identity"
    assert code_of(lambda: check_identity(leaf, parse_identities(texts))) == code


def test_any_of_several_identities_will_do() -> None:
    leaf = Certificate.load(SIGNER.der)
    identities = parse_identities((f"{NAMED}, CN=other", f"{NAMED}, CN=release"))
    check_identity(leaf, identities)
    assert code_of(lambda: check_identity(leaf, identities[:1])) == "wrong-identity"
    check_identity(leaf, parse_identities(("*",)))


def test_a_certificate_without_a_subject_is_named_by_its_fingerprint() -> None:
    leaf = replace(Certificate.load(SIGNER.der), subject=())
    assert leaf.name == f"a certificate without a subject, SHA-256 {leaf.sha256}"
    assert code_of(lambda: check_identity(leaf, parse_identities((NAMED,)))) == "wrong-identity"


def test_what_a_subject_says_does_not_forge_a_line_of_the_log() -> None:
    wanted = replace(Wanted(), subject=subject_of("release\nsigned by root\u2028\x7f"))
    leaf = Certificate.load(issue(wanted, ec_key("signer"), ROOT).der)
    assert "\n" not in leaf.name
    assert str(leaf).isprintable()

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from hooks.image_trust.evidence import Attached, Kind, RevocationOf
from hooks.image_trust.finding import Digest, Rejected, Signed
from hooks.image_trust.formats import aws_signer
from hooks.image_trust.formats.aws_signer import JOB as JOB_LABEL
from hooks.image_trust.formats.aws_signer import PROFILE_VERSION as PROFILE_LABEL
from hooks.image_trust.formats.aws_signer import certificate_hashes, match_profile
from hooks.image_trust.formats.chain import Certificate
from hooks.image_trust.policy import AWS_SIGNER_ROOT, AwsSigner, Store
from tests.hooks.image_trust.vectors.make_notation import (
    AUTHORITY,
    AWS_MIDDLE,
    AWS_ROOT,
    AWS_SIGNER,
    DAY,
    DIGEST,
    JOB,
    JWS,
    NOTARY,
    NOW,
    PLUGIN,
    PROFILE,
    PROFILE_VERSION,
    SIGNED,
    Envelope,
    payload,
)

IMAGE = Digest(DIGEST)
ATTRIBUTES = {NOTARY + "verificationPlugin": PLUGIN, PROFILE_LABEL: PROFILE_VERSION, JOB_LABEL: JOB}
MADE = Envelope(
    chain=(AWS_SIGNER, AWS_MIDDLE, AWS_ROOT), scheme=AUTHORITY, signed=ATTRIBUTES, critical=[*ATTRIBUTES]
)
STORE = Store(type="signingAuthority", certificates=(AWS_ROOT.pem,))
REQUIREMENT = AwsSigner(profiles=(PROFILE,))


def attached(content: bytes) -> Attached:
    return Attached(kind=Kind.NOTATION, subject=IMAGE, manifest=IMAGE, media_type=JWS, content=content)


def verify(made: Envelope = MADE, store: Store | None = STORE) -> tuple[Signed, RevocationOf]:
    return aws_signer.verify(attached(made.jws()), IMAGE, store, REQUIREMENT, NOW)


def code_of(call: Callable[[], object]) -> str:
    with pytest.raises(Rejected) as caught:
        call()
    assert len(str(caught.value)) < 700
    return caught.value.code


def hashed(*parts: x509.Certificate) -> str:
    return "".join(hashlib.sha384(part.tbs_certificate_bytes).hexdigest() for part in parts)


def test_what_holds_says_which_profile_signed_and_what_to_ask_of_aws() -> None:
    leaf, middle, root = (one.certificate for one in (AWS_SIGNER, AWS_MIDDLE, AWS_ROOT))
    assert verify(replace(MADE, content=payload(annotations={"stage": "production"}))) == (
        Signed(
            signer=PROFILE_VERSION,
            digest=IMAGE,
            signed_at=SIGNED,
            certificate=hashlib.sha256(AWS_SIGNER.der).hexdigest(),
            claims={"stage": "production"},
        ),
        RevocationOf(
            profile_version_arn=PROFILE_VERSION,
            job_arn=JOB,
            signed_at=SIGNED,
            certificate_hashes=(hashed(leaf, middle), hashed(middle, root), hashed(root, root)),
        ),
    )


def test_a_leaf_of_days_counts_at_the_time_that_aws_tells() -> None:
    assert AWS_SIGNER.certificate.not_valid_after_utc < NOW
    assert verify()[0].signed_at == SIGNED
    assert code_of(lambda: verify(replace(MADE, at=SIGNED + 4 * DAY))) == "certificate-expired"


def test_without_a_store_only_the_root_of_aws_is_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    assert code_of(lambda: verify(store=None)) == "untrusted-root"
    # The root itself is known by its fingerprint only; with this chain's in its place, this chain holds.
    monkeypatch.setattr(aws_signer, "AWS_SIGNER_ROOT", Certificate.load(AWS_ROOT.der).sha256)
    assert verify(store=None) == verify()


def test_the_root_of_aws_is_the_one_that_is_publicly_known() -> None:
    assert AWS_SIGNER_ROOT == "90a87d0543c3f094dbff9589b6649affe2f3d6e0f308799be2258461c686473f"


@pytest.mark.parametrize("kind", ["ca", "tsa"])
def test_only_a_store_of_signing_authorities_will_do(kind: str) -> None:
    store = Store.model_validate({"type": kind, "certificates": [AWS_ROOT.pem]})
    assert code_of(lambda: verify(store=store)) == "bad-trust-store"


@pytest.mark.parametrize("content", [b"", b"{}", b"[" * 10_000, MADE.cose(), MADE.jws()[:-1]])
def test_what_is_no_envelope_is_refused_by_name(content: bytes) -> None:
    presented = attached(content)
    code = code_of(lambda: aws_signer.verify(presented, IMAGE, STORE, REQUIREMENT, NOW))
    assert code in {"malformed-json", "malformed-envelope"}


# --- Profiles --------------------------------------------------------------------------------------

parts = st.text("abcXYZ019_", min_size=2, max_size=8)


@given(parts, parts)
def test_a_profile_stands_for_all_its_versions_in_any_case(name: str, version: str) -> None:
    profile = f"arn:aws:signer:eu-west-1:111122223333:/signing-profiles/{name}"
    for written in (profile, profile.upper(), profile.swapcase(), f"{profile}/{version}".upper()):
        assert match_profile(f"{profile}/{version}", [written]) == written


@given(parts, parts, parts, parts)
def test_another_profile_or_version_is_not_matched(name: str, version: str, other: str, later: str) -> None:
    profile = "arn:aws:signer:eu-west-1:111122223333:/signing-profiles/"
    signed = f"{profile}{name}/{version}"
    for trusted, matches in (
        (f"{profile}{other}", other.lower() == name.lower()),
        (f"{profile}{name}/{later}", later.lower() == version.lower()),
        (f"{profile}{other}/{version}", other.lower() == name.lower()),
    ):
        if matches:
            assert match_profile(signed, [trusted]) == trusted
        else:
            assert code_of(lambda trusted=trusted: match_profile(signed, [trusted])) == "wrong-profile"


@given(st.text(max_size=80) | st.text("arn:aws:signer/signing-profiles*", max_size=80))
def test_whatever_else_is_trusted_matches_nothing(text: str) -> None:
    assert code_of(lambda: match_profile(PROFILE_VERSION, [text])) in {"wrong-profile", "wildcard-profile"}


@pytest.mark.parametrize(
    "trusted",
    [
        PROFILE + "/",
        PROFILE_VERSION + "/",
        PROFILE_VERSION + "/more",
        PROFILE[:-1],
        PROFILE + "x",
        PROFILE.rpartition("/")[0],
        PROFILE.replace(":aws:", ":aws-cn:"),
        PROFILE.replace("eu-west-1", "eu-west-2"),
        PROFILE.replace("eu-west-1", ""),
        PROFILE.replace("111122223333", "111122223334"),
        PROFILE.replace("signer", "s3"),
        PROFILE.replace("/signing-profiles", "signing-profiles"),
        PROFILE.replace("/signing-profiles", "/signing-jobs"),
        PROFILE + "\n",
        " " + PROFILE,
        # Kelvin's sign, whose small letter is k; the long s, whose capital is S.
        PROFILE_VERSION.replace("k", "\u212a"),
        PROFILE.replace("shop", "\u017fhop"),
        JOB,
        "",
    ],
)
def test_an_arn_that_is_nearly_the_profile_s_is_not_it(trusted: str) -> None:
    assert code_of(lambda: match_profile(PROFILE_VERSION, [trusted])) == "wrong-profile"


@pytest.mark.parametrize(
    "trusted",
    [["*"], ["*", PROFILE], [PROFILE, "*"], [PROFILE.replace("shop_ci", "*")], [PROFILE + "/*"], ["**"]],
    ids=str,
)
def test_a_wildcard_names_nobody(trusted: list[str]) -> None:
    assert code_of(lambda: match_profile(PROFILE_VERSION, trusted)) == "wildcard-profile"


def test_an_arn_with_a_star_is_no_reason_against_another_that_matches() -> None:
    assert match_profile(PROFILE_VERSION, [PROFILE + "*", PROFILE]) == PROFILE


# --- The vectors of AWS's plugin -------------------------------------------------------------------

FILE = Path(__file__).parents[3].parent / "shared" / "data" / "trust" / "aws-signer" / "vectors.json"
needs_vectors = pytest.mark.skipif(
    not FILE.exists(), reason="shared/data/trust/aws-signer, the vectors of AWS Signer's plugin, is not there"
)
THEIRS: Mapping[str, Any] = (
    json.loads(FILE.read_text())
    if FILE.exists()
    else {"certificates": [], "certificate_hashes": [], "trusted_identities": []}
)


def certificate_of(case: Mapping[str, Any]) -> Certificate:
    parsed = x509.load_pem_x509_certificate(case["pem"].encode())
    return Certificate.load(parsed.public_bytes(Encoding.DER))


@needs_vectors
@pytest.mark.parametrize("case", THEIRS["certificates"], ids=lambda case: str(case["name"]))
def test_a_certificate_is_hashed_as_the_plugin_does(case: Mapping[str, Any]) -> None:
    assert certificate_hashes([certificate_of(case)]) == (case["tbs_sha384_hex"] * 2,)


@needs_vectors
@pytest.mark.parametrize("case", THEIRS["certificate_hashes"], ids=lambda case: str(case["name"]))
def test_a_chain_is_hashed_as_the_plugin_does(case: Mapping[str, Any]) -> None:
    certificates = {one["name"]: certificate_of(one) for one in THEIRS["certificates"]}
    chain = [certificates[name] for name in case["chain"]]
    assert certificate_hashes(chain) == tuple(case["expected"])


@needs_vectors
@pytest.mark.parametrize("case", THEIRS["trusted_identities"], ids=lambda case: str(case["name"]))
def test_an_identity_matches_as_the_plugin_has_it(case: Mapping[str, Any]) -> None:
    signed = THEIRS["signature_identity"]
    if case["expected"] == "match":
        assert match_profile(signed, case["identities"]) == case["matched_identity"]
    else:
        assert code_of(lambda: match_profile(signed, case["identities"])) == "wrong-profile"

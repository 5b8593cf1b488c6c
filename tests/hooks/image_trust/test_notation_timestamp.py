import json
import sys
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hooks.image_trust.finding import Rejected
from hooks.image_trust.formats import timestamp
from hooks.image_trust.formats.chain import Anchors, Certificate, Chain, load_store
from hooks.image_trust.formats.timestamp import MAX_TOKEN_BYTES, Stamp
from hooks.image_trust.policy import Store
from tests.hooks.image_trust.test_notation import NOTATION_GO, named_stores, needs_notation_go
from tests.hooks.image_trust.vectors.make_notation import (
    DATA,
    TSA,
    TSA_MIDDLE,
    TSA_ROOT,
    TST_INFO,
    Issued,
    Token,
    accuracy,
    ec_key,
    integer,
    issue,
    new_key,
    oid,
    stamper,
    tlv,
    with_serial,
)

MESSAGE = b"the signature"
ANCHORS = load_store(Store(type="tsa", certificates=(TSA_ROOT.pem,)))
NOBODY = Anchors((), frozenset())
TOKEN = Token().over(MESSAGE)


def code_of(call: Callable[[], object]) -> str:
    with pytest.raises(Rejected) as caught:
        call()
    assert len(str(caught.value)) < 700
    return caught.value.code


def chain_of(*issued: Issued) -> Chain:
    return Chain(tuple(Certificate.load(one.der) for one in issued))


def test_a_time_stamp_says_when_how_accurately_and_by_whom() -> None:
    made = Token(accuracy=accuracy(1, 500, 7))
    expected = Stamp(
        at=made.at,
        accuracy=timedelta(seconds=1, milliseconds=500, microseconds=7),
        chain=chain_of(stamper(), TSA_MIDDLE, TSA_ROOT),
    )
    stamp = timestamp.verify(made.over(MESSAGE), MESSAGE, ANCHORS)
    assert stamp == expected
    assert (stamp.earliest, stamp.latest) == (made.at - expected.accuracy, made.at + expected.accuracy)
    assert timestamp.verify(TOKEN, MESSAGE, ANCHORS).accuracy == timedelta(0)


def test_a_time_stamp_is_of_its_bytes_only() -> None:
    for other in (b"", b"the signature!", b"the signaturf"):
        assert code_of(lambda other=other: timestamp.verify(TOKEN, other, ANCHORS)) == "wrong-timestamp"


def test_an_authority_that_is_its_own_root_is_not_trusted_by_a_fingerprint_either() -> None:
    alone = issue(TSA, ec_key("stamps"))
    made = Token(authority=alone, certificates=[alone])
    pinned = load_store(Store(type="tsa", fingerprints=(Certificate.load(alone.der).sha256,)))
    assert code_of(lambda: timestamp.verify(made.over(MESSAGE), MESSAGE, pinned)) == "untrusted-root"


def test_an_authority_may_have_a_key_of_rsa() -> None:
    authority = issue(TSA, new_key("stamps", "PS256"), TSA_MIDDLE)
    made = Token(authority=authority)
    assert timestamp.verify(made.over(MESSAGE), MESSAGE, ANCHORS).at == made.at
    sha1 = replace(made, digest_hash="sha1").over(MESSAGE)
    assert code_of(lambda: timestamp.verify(sha1, MESSAGE, ANCHORS)) == "malformed-timestamp"


def test_the_way_to_a_root_may_branch_but_not_go_round_in_circles() -> None:
    # Two authorities certify each other; only one of them is known.
    cross = issue(replace(TSA_WANTED, name="tsa root", serial=7), ec_key("tsa root"), TSA_MIDDLE)
    round_about = Token(certificates=[stamper(), TSA_MIDDLE, cross])
    assert timestamp.verify(round_about.over(MESSAGE), MESSAGE, ANCHORS).chain.root == ANCHORS.certificates[0]
    assert (
        code_of(lambda: timestamp.verify(round_about.over(MESSAGE), MESSAGE, NOBODY)) == "untrusted-timestamp"
    )


TSA_WANTED = replace(
    TSA, authority=True, usage=("key_cert_sign", "crl_sign"), extended=(), extended_critical=False
)


def test_a_chain_longer_than_any_is_not_followed() -> None:
    above, chain = TSA_ROOT, [TSA_ROOT]
    for number in range(12):
        wanted = replace(TSA_WANTED, name=f"authority {number}", serial=number + 2)
        above = issue(wanted, ec_key(f"authority {number}"), above)
        chain.append(above)
    leaf = stamper(issuer=above)
    made = Token(authority=leaf, certificates=[leaf, *chain[1:]])
    assert code_of(lambda: timestamp.verify(made.over(MESSAGE), MESSAGE, ANCHORS)) == "untrusted-timestamp"


# --- Garbage ---------------------------------------------------------------------------------------


def signed_data(*parts: bytes) -> bytes:
    return tlv(0x30, oid("1.2.840.113549.1.7.2"), tlv(0xA0, tlv(0x30, *parts)))


HEAD = (integer(3), tlv(0x31), tlv(0x30, oid(TST_INFO), tlv(0xA0, tlv(0x04, b"0"))))


@pytest.mark.parametrize(
    "token",
    [
        b"",
        b"0",
        b"\x30\x00",
        b"\x31\x00",
        b"\x30\x80\x00\x00",
        b"\x30\x84\xff\xff\xff\xff",
        b"\x30\x88" + b"\xff" * 8,
        b"\x30\xff",
        b"\x3f\x81\x00",
        b"\x30\x82\xff\xff" * 10_000,
        b"\x30\x80" * 30_000,
        bytes(MAX_TOKEN_BYTES + 1),
        TOKEN + b"\x00",
        TOKEN[:-1],
        TOKEN[1:],
        tlv(0x30, tlv(0x30, integer(0)), TOKEN),
        tlv(0x30, oid(DATA), tlv(0xA0, tlv(0x04, b"text"))),
        tlv(0x30, oid(DATA)),
        tlv(0x30, tlv(0x02) * 100),
        signed_data(),
        signed_data(integer(3)),
        signed_data(*HEAD),
        signed_data(*HEAD, tlv(0x31)),
        signed_data(*HEAD, tlv(0x31, tlv(0x30))),
        signed_data(*HEAD, tlv(0x31, tlv(0x30), tlv(0x30))),
        signed_data(*HEAD, tlv(0xA0, *[tlv(0x30)] * 17), tlv(0x31, tlv(0x30))),
        signed_data(*HEAD, tlv(0xA0, tlv(0x04)), tlv(0x31, tlv(0x30))),
        signed_data(*HEAD[:2], tlv(0x30, oid(DATA), tlv(0xA0, tlv(0x04, b"0"))), tlv(0x31, tlv(0x30))),
        signed_data(*HEAD[:2], tlv(0x30, oid(TST_INFO)), tlv(0x31, tlv(0x30))),
    ],
    ids=lambda token: token.hex()[:40],
)
def test_what_is_no_time_stamp_is_refused_by_name(token: bytes) -> None:
    assert code_of(lambda: timestamp.verify(token, MESSAGE, ANCHORS)) == "malformed-timestamp"


@given(st.binary(max_size=200) | st.lists(st.sampled_from([*TOKEN]), max_size=60).map(bytes))
def test_whatever_is_no_time_stamp_is_refused(token: bytes) -> None:
    code_of(lambda: timestamp.verify(token, MESSAGE, ANCHORS))


@given(st.integers(0, len(TOKEN) - 1), st.binary(max_size=6), st.integers(0, 40))
def test_a_time_stamp_in_pieces_is_refused(place: int, inserted: bytes, cut: int) -> None:
    token = TOKEN[:place] + inserted + TOKEN[place + cut :]
    try:
        stamp = timestamp.verify(token, MESSAGE, ANCHORS)
    except Rejected:
        assert token != TOKEN
    else:
        assert stamp == timestamp.verify(TOKEN, MESSAGE, ANCHORS)


@pytest.mark.thorough
def test_no_bit_of_a_time_stamp_can_be_changed() -> None:
    # Each third, and so every place within an octet; all of them take ten seconds, with the same outcome.
    for bit in range(0, 8 * len(TOKEN), 3):
        changed = bytearray(TOKEN)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(Rejected):
            timestamp.verify(bytes(changed), MESSAGE, ANCHORS)


def test_an_odd_serial_number_of_an_authority_warns_nobody() -> None:
    odd = with_serial(stamper(), TSA_MIDDLE, -5)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        timestamp.verify(Token(authority=odd).over(MESSAGE), MESSAGE, ANCHORS)
    assert said == []


def test_without_the_library_a_time_stamp_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rfc3161_client", None)
    assert code_of(lambda: timestamp.verify(TOKEN, MESSAGE, ANCHORS)) == "timestamp-not-verified"


class PanicException(BaseException):
    """What Rust's panics are called."""


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        (PanicException("called unwrap on nothing"), "malformed-timestamp"),
        (RuntimeError("anything"), "wrong-timestamp"),
    ],
    ids=["panic", "error"],
)
def test_whatever_the_library_raises_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, raised: BaseException, code: str
) -> None:
    def fail(token: bytes) -> None:
        raise raised

    monkeypatch.setattr("rfc3161_client.decode_timestamp_response", fail)
    assert code_of(lambda: timestamp.verify(TOKEN, MESSAGE, ANCHORS)) == code


def test_the_end_of_the_process_is_no_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(token: bytes) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("rfc3161_client.decode_timestamp_response", stop)
    with pytest.raises(KeyboardInterrupt):
        timestamp.verify(TOKEN, MESSAGE, ANCHORS)


# --- The vectors of notation-go --------------------------------------------------------------------

CASES: Mapping[str, Any] = (
    json.loads((NOTATION_GO / "cases.json").read_text()) if NOTATION_GO.exists() else {"tokens": []}
)


@needs_notation_go
@pytest.mark.parametrize("case", CASES["tokens"], ids=lambda case: str(case["name"]))
def test_a_token_of_notation_go_comes_out_as_it_says(case: Mapping[str, Any]) -> None:
    (store,) = named_stores(["tsa:test-timestamp"]).values()
    token = (NOTATION_GO / case["path"]).read_bytes()
    assert case["expected"] == "reject"
    code = code_of(lambda: timestamp.verify(token, b"notation", load_store(store)))
    assert code in {"malformed-timestamp", "wrong-timestamp"}


@needs_notation_go
def test_the_time_stamp_of_an_authority_that_is_widely_known_holds() -> None:
    from hooks.image_trust.formats import envelope

    content = (NOTATION_GO / "verifier/testdata/timestamp/sigEnv/coseWithTimestamp.sig").read_bytes()
    opened = envelope.parse(content, envelope.COSE)
    (store,) = named_stores(["tsa:test-timestamp"]).values()
    assert opened.timestamp is not None
    stamp = timestamp.verify(opened.timestamp, opened.signature, load_store(store))
    assert (stamp.at, stamp.accuracy, stamp.chain.leaf.name) == (
        datetime(2024, 6, 18, 6, 27, 16, tzinfo=UTC),
        timedelta(seconds=1),
        "C=BE, O=GlobalSign nv-sa, CN=Globalsign TSA for Advanced - G4 - 202311",
    )
    assert len(stamp.chain.revocable) == 2

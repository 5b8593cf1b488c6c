import json
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hooks.image_trust import strict_json
from hooks.image_trust.finding import Digest, Rejected
from hooks.image_trust.formats import statement as statements
from hooks.image_trust.formats.keys import as_public_key, load_public_key
from hooks.image_trust.formats.statement import (
    MAX_ENVELOPE_BYTES,
    MAX_SIGNATURES,
    MAX_SUBJECT_DIGESTS,
    MAX_SUBJECTS,
    Envelope,
    EnvelopeSignature,
    Statement,
    Subject,
    check_clauses,
    open_envelope,
    pae,
    parse_envelope,
    parse_statement,
)
from hooks.image_trust.path import EVERY, MAX_PATH_LENGTH, MAX_STEPS, MISSING, Path, parse_path
from hooks.image_trust.policy import Clause
from shared.errors import Misconfigured
from tests.hooks.image_trust.vectors.make_cosign import (
    DIGEST,
    FILE,
    PREDICATE,
    PREDICATE_TYPE,
    b64,
    compact,
    envelope,
    sign,
    statement,
)

VECTORS = json.loads(FILE.read_text())
KEY = {name: load_public_key(text.encode()) for name, text in VECTORS["keys"].items()}
IMAGE = Digest(DIGEST)
NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def code_of(call: Callable[[], object]) -> str:
    with pytest.raises(Rejected) as caught:
        call()
    # Untrusted text is cut: no message is longer than a person reads.
    assert len(str(caught.value)) < 600
    return caught.value.code


# --- JSON ------------------------------------------------------------------------------------------


def read(text: str | bytes) -> object:
    return strict_json.loads(text, "it", limit_bytes=10**7)


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "nul", "[1,]", "{'a':1}", "// a\n1", "01", "+1", "1.", ".5", "NaN", "Infinity", "-Infinity",
        '"\t"', '"\\x41"', "1 2", "\ufeff1", b"\xff", b"\xed\xa0\x80", b'"\xc0\xaf"',
        '{"a":1,"a":1}', '{"a":1,"\\u0061":2}', '[{"a":{"b":1,"b":2}}]',
        # A number that is none, once it is read.
        "1e999", "-1e999", "9" * 21, "-" + "9" * 20,
        # Half a character.
        '"\\ud800"', '"\\udc00\\ud800"', '{"\\ud800":1}', '["\\ud83dx"]',
        "[" * 65 + "]" * 65, '{"a":' * 65 + "1" + "}" * 65, "[" * 100_000,
        # Brackets within strings are no structure, and hide none.
        '["' + "]" * 100 + '",' + "[" * 70 + "]" * 71,
        '["\\"' + "]" * 100 + '",' + "[" * 70 + "]" * 71,
    ],
)  # fmt: skip
def test_json_with_no_meaning_or_two_is_refused(text: str | bytes) -> None:
    assert code_of(lambda: read(text)) == "malformed-json"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("[" * 64 + "]" * 64, None),
        ('["' + "[" * 100 + '"]', ["[" * 100]),
        ('["\\"' + "[" * 100 + '"]', ['"' + "[" * 100]),
        ('"\\ud83d\\ude00"', "😀"),
        ('"\\\\ud800"', "\\ud800"),
        ("9" * 20, 10**20 - 1),
        ("1e3", 1000.0),
        (b'{"a":{"b":1},"c":{"b":1}}', {"a": {"b": 1}, "c": {"b": 1}}),
    ],
)
def test_json_with_one_meaning_is_read(text: str | bytes, value: object) -> None:
    assert value is None or read(text) == value
    assert read(text) is not None


@pytest.mark.parametrize(
    "text",
    [
        "{" + ",".join(f'"{number}":0' for number in range(300_000)) + ',"299999":0}',
        '"' * 2_000_000,
        '"\\"' * 1_000_000,
        "[" + "[]," * 500_000 + "[]]",
        '{"%s":1,"%s":1}' % (("a" * 2_000_000,) * 2),
    ],
    ids=["keys", "quotes", "escapes", "arrays", "a long key"],
)
def test_json_costs_no_more_than_its_length(text: str) -> None:
    began = time.process_time()
    try:
        read(text)
    except Rejected as error:
        assert len(str(error)) < 300
    # About half a second each; by the square of its length it would be minutes.
    assert time.process_time() - began < 10


# --- The envelope ----------------------------------------------------------------------------------


def test_the_encoding_is_that_of_the_specifications_example() -> None:
    # https://github.com/secure-systems-lab/dsse/blob/v1.0.2/protocol.md#test-vectors
    assert pae("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )
    assert pae("", b"") == b"DSSEv1 0  0 "
    # Bytes are counted, not characters.
    assert pae("ü", b"\0") == b"DSSEv1 2 \xc3\xbc 1 \0"


@settings(deadline=None)
@given(st.text(max_size=8), st.binary(max_size=8), st.text(max_size=8), st.binary(max_size=8))
@example("a 1 b", b"c", "a", b"b 1 c")
def test_no_two_envelopes_are_signed_alike(kind: str, content: bytes, other_kind: str, other: bytes) -> None:
    assert (pae(kind, content) == pae(other_kind, other)) == ((kind, content) == (other_kind, other))


def opened(document: Mapping[str, Any], name: str = "p256") -> Statement:
    return open_envelope(parse_envelope(document), KEY[name])


STATEMENT = Statement(
    predicate_type=PREDICATE_TYPE,
    predicate=PREDICATE,
    subjects=(Subject(name="web", digests={"sha256": DIGEST[7:]}),),
)
SIGNED = envelope("p256", compact(statement()), keyid="k")


def test_an_envelope_is_read_as_it_is() -> None:
    assert parse_envelope(SIGNED) == Envelope(
        "application/vnd.in-toto+json",
        compact(statement()),
        (EnvelopeSignature(sign("p256", pae("application/vnd.in-toto+json", compact(statement()))), "k"),),
    )
    assert opened(SIGNED) == STATEMENT


def test_what_an_envelope_has_beyond_its_own_fields_is_ignored_as_dsse_demands() -> None:
    extended = {**SIGNED, "extra": 1, "signatures": [{**SIGNED["signatures"][0], "cert": "…", "keyid": None}]}
    assert opened(extended) == STATEMENT


def test_either_alphabet_of_base64_is_read_as_dsse_demands() -> None:
    name = "~" * 100  # what makes a difference between the two
    document = envelope("p256", compact(statement(subjects=[{"name": name, "digest": {"sha256": "0"}}])))
    url_safe = str.maketrans("+/", "-_")
    [signature] = document["signatures"]
    translated = {
        **document,
        "payload": document["payload"].translate(url_safe),
        "signatures": [{"sig": signature["sig"].translate(url_safe)}],
    }
    assert translated["payload"] != document["payload"]
    assert opened(translated) == opened(document)


WRONG, RIGHT = envelope("other", compact(statement()))["signatures"][0], SIGNED["signatures"][0]


@pytest.mark.parametrize(
    ("signatures", "holds"),
    [
        ([RIGHT], True),
        ([WRONG, RIGHT], True),
        ([RIGHT, WRONG], True),
        ([{"sig": ""}, RIGHT], True),
        ([*[WRONG] * (MAX_SIGNATURES - 1), RIGHT], True),
        ([WRONG], False),
        ([WRONG, WRONG], False),
        ([{"sig": ""}], False),
        ([{**WRONG, "keyid": "k"}], False),
    ],
)
def test_one_signature_by_the_key_is_enough(signatures: list[Any], holds: bool) -> None:
    document = {**SIGNED, "signatures": signatures}
    if holds:
        assert opened(document) == STATEMENT
    else:
        assert code_of(lambda: opened(document)) == "wrong-signature"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"signatures": []}, "malformed-envelope"),
        ({"signatures": None}, "malformed-envelope"),
        ({"signatures": RIGHT}, "malformed-envelope"),
        ({"signatures": [None]}, "malformed-envelope"),
        ({"signatures": [RIGHT["sig"]]}, "malformed-envelope"),
        ({"signatures": [*[WRONG] * MAX_SIGNATURES, RIGHT]}, "malformed-envelope"),
        ({"signatures": [{**RIGHT, "keyid": 1}]}, "malformed-envelope"),
        ({"signatures": [{**RIGHT, "keyid": []}]}, "malformed-envelope"),
        ({"signatures": [{"keyid": "k"}]}, "malformed-base64"),
        ({"signatures": [{"sig": 1}]}, "malformed-base64"),
        ({"signatures": [{"sig": "?"}, RIGHT]}, "malformed-base64"),
        ({"payload": None}, "malformed-base64"),
        ({"payload": {}}, "malformed-base64"),
        ({"payload": SIGNED["payload"][:-1] + "?"}, "malformed-base64"),
        ({"payloadType": None}, "malformed-envelope"),
        ({"payloadType": ["application/vnd.in-toto+json"]}, "malformed-envelope"),
        # Signed as well, and therefore not to be changed.
        ({"payloadType": ""}, "wrong-signature"),
        ({"payloadType": "application/vnd.in-toto+JSON"}, "wrong-signature"),
        ({"payload": b64(compact(statement(PREDICATE_TYPE + "1")))}, "wrong-signature"),
    ],
)
def test_an_envelope_that_is_none_is_refused(changes: dict[str, Any], code: str) -> None:
    assert code_of(lambda: opened({**SIGNED, **changes})) == code


@pytest.mark.parametrize("document", [None, [], "text", 1, True, {}])
def test_what_is_no_object_is_no_envelope(document: Any) -> None:
    assert code_of(lambda: opened(document)) == "malformed-envelope"


@pytest.mark.parametrize(
    "kind",
    ["", "application/json", "application/vnd.in-toto", "application/vnd.in-toto+json ", "x" * 10_000],
)
def test_another_type_of_payload_is_refused_whoever_signed_it(kind: str) -> None:
    document = envelope("p256", compact(statement()), kind)
    assert code_of(lambda: opened(document)) == "wrong-payload-type"


def test_a_signature_over_the_payload_alone_is_none() -> None:
    document = {**SIGNED, "signatures": [{"sig": b64(sign("p256", compact(statement())))}]}
    assert code_of(lambda: opened(document)) == "wrong-signature"


def test_a_payload_is_not_read_before_its_signature_holds() -> None:
    assert code_of(lambda: opened({**SIGNED, "payload": b64(b"{")})) == "wrong-signature"


EXAMPLE_SIGNATURE = "A3JqsQGtVsJ2O2xqrI5IcnXip5GToJ3F+FnZ+O88SjtR6rDAajabZKciJTfUiHqJPcIAriEGAHTVeCUjW2JIZA=="


def test_the_specifications_example_is_by_a_key_of_ours_but_not_in_der() -> None:
    # The same source. cosign takes r and s side by side as well; nobody whose images are verified makes them.
    numbers = ec.EllipticCurvePublicNumbers(
        46950820868899156662930047687818585632848591499744589407958293238635476079160,
        5640078356564379163099075877009565129882514886557779369047442380624545832820,
        ec.SECP256R1(),
    )
    key = as_public_key(numbers.public_key())
    example_envelope = parse_envelope(
        {
            "payload": "aGVsbG8gd29ybGQ=",
            "payloadType": "http://example.com/HelloWorld",
            "signatures": [{"sig": EXAMPLE_SIGNATURE}],
        }
    )
    assert code_of(lambda: open_envelope(example_envelope, key)) == "wrong-signature"
    r, s = (int.from_bytes(example_envelope.signatures[0].content[at : at + 32]) for at in (0, 32))
    in_der = Envelope(
        example_envelope.payload_type,
        example_envelope.payload,
        (EnvelopeSignature(encode_dss_signature(r, s)),),
    )
    # It is signed, and for another purpose.
    assert code_of(lambda: open_envelope(in_der, key)) == "wrong-payload-type"


# --- The statement ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["https://in-toto.io/Statement/v1", "https://in-toto.io/Statement/v0.1"])
def test_a_statement_is_read_as_it_is(kind: str) -> None:
    assert parse_statement(compact(statement(kind=kind))) == STATEMENT


@pytest.mark.parametrize(
    ("predicate", "read_as"),
    [({}, {}), (None, {}), ("SPDXVersion: SPDX-2.3\n", "SPDXVersion: SPDX-2.3\n"), (PREDICATE, PREDICATE)],
)
def test_a_predicate_is_an_object_text_or_nothing(predicate: Any, read_as: object) -> None:
    assert parse_statement(compact(statement(predicate=predicate))).predicate == read_as


def test_a_predicate_may_be_left_out() -> None:
    document = statement()
    del document["predicate"]
    assert parse_statement(compact(document)).predicate == {}


SUBJECT: dict[str, Any] = {"name": "web", "digest": {"sha256": DIGEST[7:]}}


@pytest.mark.parametrize(
    "changes",
    [
        {"_type": None}, {"_type": 1}, {"_type": ["https://in-toto.io/Statement/v1"]},
        {"_type": "https://in-toto.io/Statement/v2"}, {"_type": "https://in-toto.io/statement/v1"},
        {"predicateType": None}, {"predicateType": ""}, {"predicateType": 1},
        {"predicateType": [PREDICATE_TYPE]},
        {"predicate": []}, {"predicate": 1}, {"predicate": True},
        {"subject": None}, {"subject": []}, {"subject": {}}, {"subject": SUBJECT}, {"subject": [None]},
        {"subject": [DIGEST]}, {"subject": [SUBJECT, []]},
        {"subject": [SUBJECT] * (MAX_SUBJECTS + 1)},
        {"subject": [{}]}, {"subject": [{"digest": None}]}, {"subject": [{"digest": {}}]},
        {"subject": [{"digest": []}]}, {"subject": [{"digest": DIGEST}]},
        {"subject": [{"digest": {"sha256": None}}]}, {"subject": [{"digest": {"sha256": [DIGEST[7:]]}}]},
        {"subject": [{"digest": {"sha256": DIGEST[7:], "sha1": 1}}]},
        {"subject": [{"digest": {**SUBJECT["digest"], **{str(n): "" for n in range(MAX_SUBJECT_DIGESTS)}}}]},
        {"subject": [{**SUBJECT, "name": 1}]}, {"subject": [{**SUBJECT, "name": []}]},
        {"subject": [{**SUBJECT, "annotations": []}]}, {"subject": [{**SUBJECT, "annotations": "a=b"}]},
    ],
)  # fmt: skip
def test_a_statement_that_is_none_is_refused(changes: dict[str, Any]) -> None:
    assert code_of(lambda: parse_statement(compact({**statement(), **changes}))) == "malformed-statement"


@pytest.mark.parametrize("document", [None, [], "text", 1, True, {}])
def test_what_is_no_object_is_no_statement(document: Any) -> None:
    assert code_of(lambda: parse_statement(compact(document))) == "malformed-statement"


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"\xff", compact(statement())[:-1],
        # A statement about two things, depending on who reads it.
        compact(statement()).replace(b'"subject":', b'"subject":[],"subject":'),
        compact(statement()).replace(b'"sha256":', b'"sha256":"0","sha256":'),
        compact(statement()).replace(b'"predicateType":', b'"predicateType":"x","predicateType":'),
        compact(statement()).replace(b'"id":', b'"id":"x","id":'),
    ],
)  # fmt: skip
def test_a_statement_with_no_meaning_or_two_is_refused(content: bytes) -> None:
    assert code_of(lambda: parse_statement(content)) == "malformed-json"


def test_a_statement_may_be_about_many_subjects_with_many_digests() -> None:
    digests = {**{f"sha{n}": "0" for n in range(MAX_SUBJECT_DIGESTS - 1)}, "sha256": DIGEST[7:]}
    subjects = [{"digest": {"sha256": "0" * 64}}] * (MAX_SUBJECTS - 1) + [{"digest": digests}]
    assert len(digests) == MAX_SUBJECT_DIGESTS
    assert parse_statement(compact(statement(subjects=subjects))).about(IMAGE) == Subject(digests=digests)


def test_a_statement_is_no_longer_than_a_function_can_hold() -> None:
    # GHSA-95pr-fxf5-86gv, GHSA-88jx-383q-w4qc
    longer = compact(statement())
    longer += b" " * (MAX_ENVELOPE_BYTES + 1 - len(longer))
    assert parse_statement(longer[:-1]) == STATEMENT
    assert code_of(lambda: parse_statement(longer)) == "too-large"


@pytest.mark.parametrize(
    "digests",
    [
        {"sha256": "0" * 64},
        {"sha256": DIGEST[7:].upper()},
        {"sha256": DIGEST},
        {"sha256": DIGEST[7:-1]},
        {"sha512": DIGEST[7:]},
        {"SHA256": DIGEST[7:]},
        {"sha1": "0" * 40, "gitCommit": DIGEST[7:]},
    ],
)
def test_a_statement_about_something_else_is_not_about_the_image(digests: dict[str, str]) -> None:
    parsed = parse_statement(compact(statement(subjects=[{"name": DIGEST[7:], "digest": digests}])))
    assert code_of(lambda: parsed.about(IMAGE)) == "signed-other-digest"


def test_the_first_subject_that_is_the_image_is_meant() -> None:
    subjects = [
        {"digest": {"sha256": "0" * 64}},
        {"name": "first", "digest": {"sha256": DIGEST[7:]}},
        {"name": "second", "digest": {"sha256": DIGEST[7:]}},
    ]
    assert parse_statement(compact(statement(subjects=subjects))).about(IMAGE).name == "first"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(-9, 9) | st.text("ab1", max_size=3),
    lambda children: (
        st.lists(children, max_size=3) | st.dictionaries(st.text("ab1", max_size=2), children, max_size=3)
    ),
    max_leaves=10,
)


@settings(deadline=None)
@given(
    JSON,
    st.sampled_from(
        ["_type", "subject", "predicateType", "predicate", "payload", "payloadType", "signatures"]
    ),
)
def test_no_document_raises_anything_but_a_rejection(value: Any, name: str) -> None:
    for call in (
        lambda: parse_statement(compact({**statement(), name: value})),
        lambda: parse_statement(compact(statement(subjects=[{**SUBJECT, name: value, "digest": value}]))),
        lambda: opened({**SIGNED, name: value}),
        lambda: opened({**SIGNED, "signatures": [value, {"sig": value, "keyid": value}]}),
    ):
        try:
            call()
        except Rejected as error:
            assert error.code


# --- Paths -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("a", ("a",)),
        ("runDetails.builder.id", ("runDetails", "builder", "id")),
        ("materials[0].uri", ("materials", 0, "uri")),
        ("materials[10][999999]", ("materials", 10, 999999)),
        ("components[*].name", ("components", EVERY, "name")),
        ("[*]", (EVERY,)),
        ("[0]", (0,)),
        ('annotations["a.b"]', ("annotations", "a.b")),
        ('["https://example.com/a[0]"].b', ("https://example.com/a[0]", "b")),
        ('a["*"]', ("a", "*")),
        ('a["0"]', ("a", "0")),
        ("a.0", ("a", "0")),
        ('a[""]', ("a", "")),
        (r'a["\"\\"]', ("a", '"\\')),
        ('a["ü"]', ("a", "ü")),
        ("$schema.@id.a-b_c", ("$schema", "@id", "a-b_c")),
        ("a" + "[0]" * (MAX_STEPS - 1), ("a",) + (0,) * (MAX_STEPS - 1)),
    ],
)
def test_a_path_is_read_as_it_is_written(text: str, steps: tuple[object, ...]) -> None:
    assert parse_path(text) == Path(text, steps)  # type: ignore[arg-type]
    assert str(parse_path(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "", ".", ".a", "a.", "a..b", "a b", " a", "a ", "a\n", "*", "a.*", "a.[0]", "[0]a", "a[0]b", '["a"]b',
        "[", "[]", "a[", "a]", "a[]", "a[0", "a[ 0]", "a[-1]", "a[01]", "a[1.0]", "a[1000000]", "a[x]",
        "a[**]",
        "a[0:1]", "a['b']", 'a["b]', 'a["b"', 'a["b"b"]', 'a["\\n"]', 'a["\\"]', 'a["\n"]', 'a["\x00"]',
        "$.a[?(@.b)]", "a/b", "ü", "a[٣]",
        "a" + "[0]" * MAX_STEPS, "a" * (MAX_PATH_LENGTH + 1),
    ],
)  # fmt: skip
def test_what_is_no_path_is_said_to_be_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"^(the|a) path "):
        parse_path(text)


def test_a_path_says_from_where_on_it_is_not_understood() -> None:
    with pytest.raises(ValueError, match="character 7") as caught:
        parse_path("a[0].b[x]")
    assert str(caught.value) == (
        "the path 'a[0].b[x]' is not understood from character 7 on; paths are like "
        'runDetails.builder.id, materials[0].uri, components[*].name, annotations["a.b"]'
    )


NAMES = st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=6)
STEPS = st.lists(NAMES | st.integers(0, 999_999) | st.just(EVERY), min_size=1, max_size=8)


def spelled(step: object) -> str:
    if isinstance(step, str):
        escaped = step.replace("\\", "\\\\").replace('"', '\\"')
        return f'["{escaped}"]'
    return "[*]" if step is EVERY else f"[{step}]"


@settings(deadline=None)
@given(STEPS)
def test_every_key_of_json_without_control_characters_can_be_spelled(steps: list[object]) -> None:
    assert parse_path("".join(map(spelled, steps))).steps == tuple(steps)


@settings(deadline=None)
@given(st.text('ab.[]*"\\01 ', max_size=12))
def test_no_text_raises_anything_but_a_value_error_as_a_path(text: str) -> None:
    try:
        path = parse_path(text)
    except ValueError:
        return
    # What was read is all there is: spelled anew it is read the same.
    assert parse_path("".join(map(spelled, path.steps))).steps == path.steps


DOCUMENT = {
    "a": {"b": 1, "": 2, "a.b": 3},
    "list": [{"n": 1, "tags": ["x", "y"]}, {"n": 2, "tags": []}, {"tags": "z"}, 4],
    "none": None,
    "empty": [],
    "text": "abc",
    "0": "zero",
}


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("a.b", [1]),
        ('a[""]', [2]),
        ('a["a.b"]', [3]),
        ("none", [None]),
        ("list[0].n", [1]),
        ("list[3]", [4]),
        ("list[*].n", [1, 2, MISSING, MISSING]),
        ("list[*].tags[*]", ["x", "y", MISSING, MISSING]),
        ("list[0].tags[*]", ["x", "y"]),
        ("list[1].tags[*]", []),
        ("empty[*]", []),
        ("empty[*].a[*].b", []),
        ("empty", [[]]),
        ("missing", [MISSING]),
        ("missing[*]", [MISSING]),
        ("missing[*].a[0]", [MISSING]),
        ("none[*]", [MISSING]),
        ("none.a", [MISSING]),
        ("list[4]", [MISSING]),
        ("empty[0]", [MISSING]),
        # Neither do letters make an array of a text, nor keys one of an object, nor digits an index of a key.
        ("text[0]", [MISSING]),
        ("text[*]", [MISSING]),
        ("a[*]", [MISSING]),
        ("a[0]", [MISSING]),
        ("list.0", [MISSING]),
        ("0", ["zero"]),
        ("[0]", [MISSING]),
    ],
)
def test_a_path_leads_to_its_values(text: str, values: list[object]) -> None:
    assert parse_path(text).select(DOCUMENT) == values


def places(document: object, prefix: tuple[object, ...] = ()) -> list[tuple[tuple[object, ...], object]]:
    """Every value of a document, with the steps to it."""
    found = [(prefix, document)] if prefix else []
    inner: Any = document.items() if isinstance(document, dict) else ()
    for step, value in inner if not isinstance(document, list) else enumerate(document):
        found += places(value, (*prefix, step))
    return found


@settings(deadline=None)
@given(JSON)
def test_every_value_of_a_document_has_its_path(document: object) -> None:
    for steps, value in places(document):
        assert parse_path("".join(map(spelled, steps))).select(document) == [value]


# --- Clauses ---------------------------------------------------------------------------------------


def clause(path: str = "v", **said: Any) -> Clause:
    return Clause.model_validate({"path": path, **said})


def stating(predicate: object) -> Statement:
    return Statement(predicate_type="t", predicate=predicate, subjects=())


def holds(predicate: object, one: Clause) -> bool:
    try:
        check_clauses(stating(predicate), [one], NOW)
    except Rejected as error:
        assert error.code == "clause-not-met"
        assert len(str(error)) < 1000
        return False
    return True


HOUR = timedelta(hours=1)


def at(when: datetime) -> str:
    return when.isoformat().replace("+00:00", "Z")


@pytest.mark.parametrize(
    ("said", "met", "not_met"),
    [
        ({"equals": "a"}, ["a"], ["", "A", "a ", "aa", 1, True, None, [], ["a"], {}, {"a": "a"}]),
        ({"equals": ""}, [""], ["a", 0, False, None, [], {}]),
        ({"equals": 1}, [1, 1.0], [True, "1", 2, 1.5, None, [1]]),
        ({"equals": 0}, [0, 0.0, -0.0], [False, "", None, [], {}]),
        ({"equals": 1.5}, [1.5], [1, "1.5", 1.6]),
        ({"equals": True}, [True], [1, 1.0, "true", "True", False, None, [True]]),
        ({"equals": False}, [False], [0, 0.0, "", None, True, [], {}]),
        ({"equals": "1"}, ["1"], [1, True]),
        ({"oneOf": ["a", 1, False]}, ["a", 1, 1.0, False], ["b", True, 0, "1", None, ["a"], []]),
        ({"noneOf": ["a", 1, False]}, ["b", True, 0, "1", None, ""], ["a", 1, 1.0, False, ["b"], {}, []]),
        ({"matches": "https://example.com/*"}, ["https://example.com/a"], [
            "https://example.com/a/b", "https://example.com", "http://example.com/a", 1, None, True, ["a"],
            "https://example.com/" + "a" * 10_000,
        ]),
        ({"matches": "**"}, ["", "a/b"], [1, None, True, [], {}]),
        ({"atLeast": 2}, [2, 2.0, 3, 10**19], [1, 1.9, -3, "3", True, None, [3]]),
        ({"atLeast": 0}, [0, 1], [-1, False, True, "0", None, []]),
        ({"atMost": 2}, [2, 2.0, 1, -(10**18)], [2.1, 3, "1", False, None, [1], {}]),
        ({"exists": True}, [None, False, 0, "", [], {}, "a"], []),
        ({"exists": False}, [], [None, False, 0, "", [], {}, "a"]),
        ({"withinHours": 2}, [
            at(NOW), at(NOW - HOUR), at(NOW - 2 * HOUR), at(NOW - HOUR).lower(),
            "2026-11-24T12:30:00+00:30", "2026-11-24T03:00:00-09:00", "2026-11-24T11:59:59.999999999Z",
        ], [
            at(NOW + timedelta(seconds=1)), at(NOW - 2 * HOUR - timedelta(microseconds=1)),
            "2026-11-24T11:00:00", "2026-11-24", "20261124T110000Z", "2026-11-24 11:00:00Z",
            "2026-W48-2T11:00:00Z",
            "2026-11-24T11:00Z", "2026-11-24T11:00:00 Z", "2026-11-24T11:00:00Z\n", "2026-11-31T11:00:00Z",
            "2026-11-24T11:00:60Z", "2026-11-24T25:00:00Z", "2026-11-24T11:00:00+99:00",
            "2026-11-24T11:00:00+0000", "2026-11-24T11:00:00+00:00:00", "2026-11-24T11:00:00+00:00.5",
            "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "٢026-11-24T11:00:00Z",
            "", "now", 1795518000, 1795518000.0, True, None, [at(NOW)], {},
        ]),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)  # fmt: skip
def test_a_clause_is_true_of_some_values_and_no_others(
    said: dict[str, Any], met: list[object], not_met: list[object]
) -> None:
    one = clause(**said)
    assert [value for value in met if not holds({"v": value}, one)] == []
    assert [value for value in not_met if holds({"v": value}, one)] == []


ALL_SAID: list[dict[str, Any]] = [
    {"equals": "a"}, {"oneOf": ["a"]}, {"matches": "**"}, {"atLeast": 0}, {"atMost": 0}, {"withinHours": 1},
    {"exists": True},
]  # fmt: skip
OF_NOTHING: list[dict[str, Any]] = [{"noneOf": ["a"]}, {"exists": False}]


@pytest.mark.parametrize(
    ("said", "true"), [*((it, False) for it in ALL_SAID), *((it, True) for it in OF_NOTHING)]
)
def test_only_none_of_and_exists_false_are_true_of_nothing(said: dict[str, Any], true: bool) -> None:
    for path, predicate in (
        ("v", {}),
        ("v", "SPDXVersion: SPDX-2.3"),
        ("v.w", {"v": "a"}),
        ("v[0]", {"v": []}),
        ("v[*]", {"v": []}),
        ("v[*]", {"v": "a"}),
        ("v[*].w", {"v": {}}),
        ("v[*].w", {"v": [{}]}),
        ("v[*].w[*]", {"v": [{"w": []}]}),
    ):
        assert holds(predicate, clause(path, **said)) == true, (path, predicate)


@pytest.mark.parametrize(
    ("said", "value"),
    [
        ({"equals": "a"}, "a"),
        ({"oneOf": ["a"]}, "a"),
        ({"matches": "**"}, "a"),
        ({"atLeast": 0}, 0),
        ({"atMost": 0}, 0),
        ({"withinHours": 1}, at(NOW)),
        ({"exists": True}, "a"),
    ],
)
def test_a_value_that_some_leave_out_is_not_true_of_all(said: dict[str, Any], value: object) -> None:
    one = clause("v[*].w", **said)
    assert holds({"v": [{"w": value}, {"w": value}]}, one)
    for left_out in ({}, {"W": value}, [], None, "w"):
        assert not holds({"v": [{"w": value}, left_out]}, one)
        assert not holds({"v": [left_out, {"w": value}]}, one)


def test_every_value_has_to_satisfy_a_clause() -> None:
    for said, good, bad in (
        ({"equals": "a"}, "a", "b"),
        ({"noneOf": ["CRITICAL"]}, "LOW", "CRITICAL"),
        ({"exists": True}, 1, ...),
        ({"atMost": 3}, 3, 4),
    ):
        for values in ([good, good, bad], [bad, good], [good, bad, good]):
            rows = [{} if value is ... else {"w": value} for value in values]
            assert not holds({"v": rows}, clause("v[*].w", **said))
    assert not holds({"v": [{}, {"w": None}]}, clause("v[*].w", exists=False))


def test_what_is_banned_is_found_only_where_the_path_leads_and_an_array_is_no_way_around() -> None:
    banned = {"noneOf": ["CRITICAL"]}
    assert not holds({"v": ["CRITICAL"]}, clause("v[*]", **banned))
    assert not holds({"v": ["CRITICAL"]}, clause("v", **banned))
    assert not holds({"v": {"severity": "CRITICAL"}}, clause("v", **banned))


@pytest.mark.parametrize(
    ("said", "predicate", "text"),
    [
        ({"equals": "a"}, {"v": "b"}, "v is 'b', expected 'a'"),
        ({"equals": True}, {"v": 1}, "v is 1, expected True"),
        ({"equals": 1}, {"v": "1"}, "v is '1', expected 1"),
        ({"oneOf": ["a", 1]}, {"v": None}, "v is None, expected one of 'a', 1"),
        ({"noneOf": ["a"]}, {"v": "a"}, "v is 'a', expected none of 'a'"),
        ({"matches": "a*"}, {"v": "b"}, "v is 'b', expected text that matches 'a*'"),
        ({"atLeast": 2}, {"v": 1}, "v is 1, expected a number, at least 2.0"),
        ({"atMost": 2}, {"v": 3}, "v is 3, expected a number, at most 2.0"),
        ({"exists": True}, {}, "v is missing, expected something there"),
        ({"exists": False}, {"v": {"a": 1}}, "v is an object of 1, expected nothing there"),
        (
            {"withinHours": 2},
            {"v": "2026-11-24T12:00:01Z"},
            "v is '2026-11-24T12:00:01Z', "
            "expected a time of the last 2 hours before 2026-11-24T12:00:00+00:00",
        ),
    ],
)
def test_a_clause_that_is_not_met_is_named_with_what_was_seen_and_expected(
    said: dict[str, Any], predicate: object, text: str
) -> None:
    with pytest.raises(Rejected) as caught:
        check_clauses(stating(predicate), [clause(**said)], NOW)
    assert (caught.value.code, str(caught.value)) == ("clause-not-met", text)


def test_an_empty_selection_is_named_as_one() -> None:
    with pytest.raises(Rejected) as caught:
        check_clauses(stating({"v": []}), [clause("v[*].w", equals="a")], NOW)
    assert str(caught.value) == "v[*].w leads to nothing, expected 'a'"


def test_a_long_value_is_cut_in_what_is_said_of_it() -> None:
    with pytest.raises(Rejected) as caught:
        check_clauses(stating({"v": "x\n" * 10_000}), [clause(equals="a")], NOW)
    assert len(str(caught.value)) < 200
    assert "\n" not in str(caught.value)


def test_all_clauses_have_to_be_met_and_none_is_met_by_none() -> None:
    both = [clause(equals="a"), clause("w", equals="b")]
    check_clauses(stating({"v": "a", "w": "b"}), both, NOW)
    check_clauses(stating({}), [], NOW)
    for predicate in ({"v": "a"}, {"w": "b"}, {"v": "a", "w": "a"}, {"v": "b", "w": "b"}):
        assert (
            code_of(lambda predicate=predicate: check_clauses(stating(predicate), both, NOW))
            == "clause-not-met"
        )


@pytest.mark.parametrize("hours", [1e-300, 1e300])
def test_no_number_of_hours_breaks_a_clause(hours: float) -> None:
    assert holds({"v": at(NOW)}, clause(withinHours=hours))
    assert holds({"v": at(NOW - HOUR)}, clause(withinHours=hours)) == (hours > 1)
    assert not holds({"v": at(NOW + HOUR)}, clause(withinHours=hours))


def test_a_clause_that_slipped_past_the_policys_own_checks_is_no_clause() -> None:
    for broken in (Clause.model_construct(path="v"), Clause.model_construct(path="v..w", exists=False)):
        with pytest.raises(Misconfigured):
            check_clauses(stating({}), [broken], NOW)


SCALARS = (
    st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from([0.0, 1.0, -0.5, "", "a", "1", "true"])
)
WANTED = st.booleans() | st.integers(-2, 2) | st.sampled_from([0.5, "", "a", "1", "true"])


def alike(value: object, wanted: object) -> bool:
    """Equality of JSON, by its own text: what is written alike is equal, and so are equal numbers."""
    if type(value) in (int, float) and type(wanted) in (int, float):
        return value == wanted
    return json.dumps(value) == json.dumps(wanted)


@settings(deadline=None)
@given(
    st.lists(st.fixed_dictionaries({}, optional={"w": SCALARS}), max_size=4),
    st.lists(WANTED, min_size=1, max_size=3),
)
@example([{"w": True}], [1])
@example([{"w": 1}], [True])
@example([{"w": 0}], [False])
def test_clauses_are_what_their_words_say(rows: list[dict[str, Any]], wanted: list[Any]) -> None:
    predicate = {"v": rows}
    present = [row["w"] for row in rows if "w" in row]
    complete = bool(rows) and len(present) == len(rows)
    among = [any(alike(value, one) for one in wanted) for value in present]
    assert holds(predicate, clause("v[*].w", oneOf=wanted)) == (complete and all(among))
    assert holds(predicate, clause("v[*].w", noneOf=wanted)) == (not any(among))
    assert holds(predicate, clause("v[*].w", equals=wanted[0])) == (
        complete and all(alike(value, wanted[0]) for value in present)
    )
    assert holds(predicate, clause("v[*].w", exists=True)) == complete
    assert holds(predicate, clause("v[*].w", exists=False)) == (not present)
    numbers = complete and all(type(value) in (int, float) for value in present)
    assert holds(predicate, clause("v[*].w", atLeast=0.5)) == (numbers and min(present) >= 0.5)
    assert holds(predicate, clause("v[*].w", atMost=0.5)) == (numbers and max(present) <= 0.5)


@settings(deadline=None)
@given(JSON, st.sampled_from([*ALL_SAID, *OF_NOTHING]), STEPS)
def test_no_predicate_raises_anything_but_a_rejection(
    predicate: object, said: dict[str, Any], steps: list[object]
) -> None:
    holds(predicate, clause("".join(map(spelled, steps)), **said))
    for place, _ in places(predicate):
        holds(predicate, clause("".join(map(spelled, place)), **said))


def test_clauses_say_every_thing_that_a_policy_lets_them_say() -> None:
    # A field that is added to a clause is not ignored.
    assert {*Clause.model_fields} == {"path", *statements._DEMANDS}

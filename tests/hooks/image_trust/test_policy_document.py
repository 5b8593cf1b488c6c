import hashlib
import json
import re
import subprocess
import sys
import time
from datetime import UTC, datetime
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from hooks.image_trust import strict_yaml
from hooks.image_trust.policy import Policy
from hooks.image_trust.policy_document import MAX_POLICY_BYTES, Loaded, Unusable, load_policy, read_policy

A = f"sha256:{'a' * 64}"
DOCUMENT: dict[str, Any] = {
    "version": 1,
    "name": "production",
    "references": {"requireDigest": False},
    "rules": [
        {
            "name": "our own",
            "match": {"images": ["ghcr.io/example/shop"]},
            "require": {"pinned": {"digests": [A]}},
        }
    ],
    "exemptions": [
        {
            "name": "INC-1",
            "rule": "our own",
            "digests": [A],
            "reason": "an incident",
            "approvedBy": "security",
            "approved": "2026-11-20T09:00:00Z",
            "expires": "2026-12-01T10:00:00+01:00",
        }
    ],
}
YAML = """\
# A comment.
version: 1
name: production
references: {requireDigest: false}
rules:
  - name: our own
    match:
      images:
        - ghcr.io/example/shop
    require:
      pinned:
        digests: ["%s"]
exemptions:
  - {name: INC-1, rule: our own, digests: [%s], reason: an incident, approvedBy: "security",
     approved: 2026-11-20T09:00:00Z, expires: 2026-12-01T10:00:00+01:00}
""" % (A, A)  # noqa: UP031  # braces are YAML's here


def as_json(**changes: Any) -> bytes:
    return json.dumps({**DOCUMENT, **changes}).encode()


def faults(content: bytes | str) -> tuple[str, ...]:
    with pytest.raises(Unusable) as error:
        load_policy(content if isinstance(content, bytes) else content.encode(), sha256=None)
    return error.value.faults


# --- Two notations ----------------------------------------------------------------------------------


def test_yaml_and_json_say_the_same() -> None:
    from_yaml, from_json = (load_policy(content, sha256=None) for content in (YAML.encode(), as_json()))

    assert from_yaml.policy == from_json.policy == Policy.model_validate(DOCUMENT)
    assert from_yaml.policy.exemptions[0].expires == datetime(2026, 12, 1, 9, tzinfo=UTC)


def test_a_document_is_known_by_its_bytes() -> None:
    found = hashlib.sha256(YAML.encode()).hexdigest()

    assert load_policy(YAML.encode(), sha256=None).sha256 == found
    assert load_policy(YAML.encode(), sha256=found) == Loaded(read_policy(YAML.encode()), found)
    # A warm function reads it once.
    assert load_policy(YAML.encode(), sha256=found).policy is load_policy(YAML.encode(), sha256=None).policy


def test_another_document_than_the_pinned_one_is_refused_before_it_is_read() -> None:
    pinned = hashlib.sha256(YAML.encode()).hexdigest()
    other = b"]" + YAML.encode()

    with pytest.raises(Unusable) as error:
        load_policy(other, sha256=pinned, source="ssm:/policy")

    found = hashlib.sha256(other).hexdigest()
    assert str(error.value) == f"ssm:/policy: its SHA-256 is {found}, expected {pinned}"


@pytest.mark.parametrize(
    "pin", ["", "sha256:" + "a" * 64, "A" * 64, hashlib.sha256(YAML.encode()).hexdigest().upper()]
)
def test_a_pin_that_is_no_sha_256_pins_to_nothing(pin: str) -> None:
    with pytest.raises(Unusable, match="is no SHA-256"):
        load_policy(YAML.encode(), sha256=pin)


def test_json_does_not_load_pyyaml() -> None:
    program = (
        "import sys; from hooks.image_trust.policy_document import read_policy; "
        "json, yaml = sys.stdin.buffer.read().split(b'\\0'); "
        "read_policy(json); assert 'yaml' not in sys.modules; "
        "read_policy(yaml); assert 'yaml' in sys.modules"
    )
    subprocess.run(
        [sys.executable, "-c", program], input=as_json() + b"\0" + YAML.encode(), check=True, timeout=60
    )


# --- What is not read -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "the document can't be read: it is empty"),
        ("# nothing\n", "the document can't be read: it is empty"),
        ("[]", "expected a policy, with version, name and rules, got []"),
        ("policy", "expected a policy, with version, name and rules, got 'policy'"),
        ("---\n...\n", "expected a policy, with version, name and rules, got None"),
        ("a: &x 1", "the document can't be read: line 1: an anchor or an alias is not read, write it out"),
        (
            "a: 1\nb: *x",
            "the document can't be read: line 2: an anchor or an alias is not read, write it out",
        ),
        ("a: &x [*x]", "the document can't be read: line 1: an anchor or an alias is not read, write it out"),
        ("a: !!python/object/apply:os.system [id]", "the document can't be read: line 1: a tag is not read"),
        ("a: !!str 1", "the document can't be read: line 1: a tag is not read"),
        ("a: ! 1", "the document can't be read: line 1: a tag is not read"),
        ("a: 1\n---\na: 2", "the document can't be read: line 2: a second document is not read"),
        ("%YAML 1.1\n---\na: 1", "the document can't be read: line 1: a directive is not read"),
        ("%TAG ! tag:x\n---\na: 1", "the document can't be read: line 1: a directive is not read"),
        ("a: 1\nb:\n  c: 1\n  c: 2", "the document can't be read: line 4: the key 'c' stands there twice"),
        ("1: a", "the document can't be read: line 1: expected a key, which is a text, got 1"),
        ("true: a", "the document can't be read: line 1: expected a key, which is a text, got True"),
        ("null: a", "the document can't be read: line 1: expected a key, which is a text, got None"),
        (
            "? [a]\n: b",
            "the document can't be read: line 1: expected a key, which is a text, got an array of 1",
        ),
        ("- " * 65 + "a", "the document can't be read: line 1: it nests deeper than 64 levels"),
        ("[" * 65, "the document can't be read: line 1: it nests deeper than 64 levels"),
        ('a: "\\ud800"', "the document can't be read: line 1: half a character is no text"),
        ("a: 1e999", "the document can't be read: line 1: 1e999 is no number that can be held"),
        ("a: " + "1" * 21, "the document can't be read: line 1: an integer of more than 20 digits"),
        ("a: [", "the document is not YAML in line 1: expected the node content, but found '<stream end>'"),
        (
            "a:\n\tb: 1",
            "the document is not YAML in line 2: found character '\\t' that cannot start any token",
        ),
        ('{"a": 1, "a": 2}', "the document is not JSON: the key 'a' stands there twice"),
        ('{"a": NaN}', "the document is not JSON: NaN is not JSON"),
        (
            "{a: 1}",
            "the document is not JSON: Expecting property name enclosed in double quotes: "
            "line 1 column 2 (char 1)",
        ),
        ("[" * 66 + "]" * 66, "the document can't be read: line 1: it nests deeper than 64 levels"),
        ('{"a":' * 65 + "1" + "}" * 65, "the document nests deeper than 64 levels"),
    ],
)
def test_what_could_be_read_in_two_ways_or_without_end_is_not_read(content: str, said: str) -> None:
    assert faults(content) == (said,)


@pytest.mark.parametrize(
    "content", [b"a: \xff", b"\xff\xfea\x00", b"a: \x00", b'a: "\\UFFFFFFFF"', b'{"a": "\xff"}']
)
def test_what_is_no_text_is_not_read(content: bytes) -> None:
    [said] = faults(content)

    assert said.startswith(
        ("the document is not YAML", "the document is not JSON", "the document can't be read")
    )


def test_a_billion_laughs_are_refused_at_the_first() -> None:
    laughs = "a: &a [x,x]\n" + "".join(
        f"{chr(98 + n)}: &{chr(98 + n)} [*{chr(97 + n)},*{chr(97 + n)}]\n" for n in range(20)
    )

    assert faults(laughs) == (
        "the document can't be read: line 1: an anchor or an alias is not read, write it out",
    )


def test_a_document_has_a_size() -> None:
    longest = YAML.encode() + b"#" * (MAX_POLICY_BYTES - len(YAML.encode()))

    assert load_policy(longest, sha256=None).policy.name == "production"
    assert faults(longest + b"#") == (
        f"the document has {MAX_POLICY_BYTES + 1} bytes, at most {MAX_POLICY_BYTES} are read",
    )


def test_no_document_takes_long() -> None:
    begun = time.process_time()
    for piece in (
        b"[",
        b"{a: ",
        b"- ",
        b"? ",
        b"a:\n ",
        b'"',
        b"'",
        b"|\n",
        b"&a ",
        b": ",
        b"%",
        b"a: b: ",
        b"\n\t",
    ):
        with pytest.raises(Unusable):
            load_policy(piece * (MAX_POLICY_BYTES // len(piece)), sha256=None)

    assert time.process_time() - begun < 8


# --- Against PyYAML's own safe loader ---------------------------------------------------------------

# 1e5 is a number in JSON and in YAML 1.2, and a text in YAML 1.1, which PyYAML writes.
_TEXTS = st.text(st.characters(exclude_categories=["C"]), max_size=12).filter(
    lambda text: not re.fullmatch(r"-?[0-9]+[eE][+-]?[0-9]+", text)
)
_SCALARS = st.one_of(
    st.sampled_from(
        ["yes", "no", "on", "010", "0x1f", "1_000", "12:30", "~", "null", "2026-01-01", "<<", "="]
    ),
    _TEXTS,
    st.integers(-(10**15), 10**15),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
    st.none(),
)
_DOCUMENTS = st.recursive(
    _SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(_TEXTS, inner, max_size=4)),
    max_leaves=12,
)


@settings(max_examples=200)
@given(_DOCUMENTS)
def test_json_is_yaml_and_means_the_same(document: Any) -> None:
    # A character outside the basic plane, escaped as JSON does, is two halves in YAML.
    written = json.dumps(document, ensure_ascii=False)

    assert strict_yaml.loads(written.encode(), "it", limit_bytes=10**6) == json.loads(written)


@settings(max_examples=200)
@given(_DOCUMENTS, st.booleans())
def test_whatever_a_yaml_writer_writes_with_quotation_marks_is_read_back(document: Any, flow: bool) -> None:
    written = yaml.safe_dump(document, default_flow_style=flow, allow_unicode=True)

    assert strict_yaml.loads(written.encode(), "it", limit_bytes=10**6) == document


@given(st.binary(max_size=80))
def test_nothing_but_a_refusal_leaves_whatever_comes_in(content: bytes) -> None:
    with pytest.raises(Unusable):
        load_policy(content, sha256=None)


@given(
    st.lists(
        st.sampled_from(
            [
                "a",
                ":",
                " ",
                "\n",
                "-",
                "[",
                "]",
                "{",
                "}",
                ",",
                "?",
                "!",
                "&",
                "*",
                "#",
                "|",
                ">",
                "%",
                "'",
                '"',
                "\\",
                "U",
                "F",
                "\t",
                "...",
            ]
        ),
        max_size=40,
    ).map("".join)
)
def test_nothing_but_a_refusal_leaves_whatever_yaml_comes_in(content: str) -> None:
    with pytest.raises(Unusable):
        load_policy(content.encode(), sha256=None)


# --- What the models refuse, in sentences ------------------------------------------------------------


VALID_UNTIL = (
    "trust.keys.release.validUntil: expected a time such as 2026-12-01T00:00:00Z, with its zone, got"
)
ONE_OF = (
    "a requirement is exactly one of allOf, anyOf, atLeast, registry, pinned, cosign, keyless, notation, "
    "awsSigner, "
    "attestation, ecr"
)
PROFILE = "arn:aws:signer:eu-west-1:111122223333:/signing-profiles"
ECR = "111122223333.dkr.ecr.eu-west-1.amazonaws.com"


def ending(valid_until: object) -> bytes:
    return as_json(trust={"keys": {"release": {"pem": "x", "validUntil": valid_until}}})


def with_rule(**changes: Any) -> bytes:
    return as_json(rules=[{**DOCUMENT["rules"][0], **changes}])


def requiring(**requirement: Any) -> bytes:
    return with_rule(require=requirement)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (as_json(ruels=[]), "unknown key 'ruels', did you mean 'rules'?"),
        (
            as_json(references={"requiredDigest": True}),
            "references: unknown key 'requiredDigest', did you mean 'requireDigest'?",
        ),
        (as_json(references={"x": 1}), "references: unknown key 'x'; valid: requireDigest, denyDigests"),
        (
            as_json(references={"requireDigest": "yes"}),
            "references.requireDigest: input should be a valid boolean, got 'yes'; write true or false",
        ),
        (
            as_json(references={"requireDigest": 1}),
            "references.requireDigest: input should be a valid boolean, got 1",
        ),
        (as_json(version=2), "version: input should be 1, got 2"),
        (as_json(name=7), "name: input should be a valid string, got 7; write it in quotation marks"),
        (json.dumps({"version": 1, "name": "p"}).encode(), "rules: is missing"),
        (as_json(rules=[]), "rules: tuple should have at least 1 item after validation, not 0, got []"),
        (as_json(trust=None), "trust: input should be an object, got None"),
        (as_json(trust={"keys": {"release": {}}}), "trust.keys.release: a key has either pem or kms"),
        (
            ending("20261201T000000Z"),
            f"{VALID_UNTIL} '20261201T000000Z'",
        ),
        (
            ending("2026-W49-2T00:00:00Z"),
            f"{VALID_UNTIL} '2026-W49-2T00:00:00Z'",
        ),
        (
            as_json(trust={"keys": {"release": {"kms": "arn:aws:s3:::x"}}}),
            "trust.keys.release.kms: string should match pattern "
            "'^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:(key|alias)/[A-Za-z0-9/_-]{1,250}$', got "
            "'arn:aws:s3:::x'",
        ),
        (ending("2026-01-01"), f"{VALID_UNTIL} '2026-01-01'"),
        (ending("1700000000"), f"{VALID_UNTIL} '1700000000'"),
        (ending(1700000000), f"{VALID_UNTIL} 1700000000"),
        (ending("2026-13-01T00:00:00Z"), f"{VALID_UNTIL} '2026-13-01T00:00:00Z'"),
        (ending("2026-12-01T00:00:00"), f"{VALID_UNTIL} '2026-12-01T00:00:00'"),
        (
            as_json(trust={"stores": {"s": {"type": "ca"}}}),
            "trust.stores.s: a store without certificates and fingerprints trusts nobody",
        ),
        (
            as_json(trust={"roots": {"r": {"source": "ssm:/r", "sha256": "a" * 64, "maxAgeDays": 5}}}),
            "trust.roots.r: maxAgeDays counts from fetched, which is missing",
        ),
        (
            as_json(registries={"GHCR.io": {}}),
            "registries.GHCR.io: string should match pattern "
            "'^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?(:[0-9]{1,5})?$', got 'GHCR.io'",
        ),
        (
            as_json(registries={"index.docker.io": {}}),
            "registries.index.docker.io: the registry index.docker.io goes by the name docker.io here",
        ),
        (
            as_json(registries={ECR: {}}),
            f"registries.{ECR}: a registry of ECR needs no entry, it is asked by the AWS API",
        ),
        (
            with_rule(match={"images": ["nginx"]}),
            "rules[0].match.images[0]: 'nginx' covers no image, because it names no registry; of Docker "
            "Hub's it would "
            "be docker.io/library/nginx",
        ),
        (
            with_rule(match={"images": ["a.b/c"], "contianers": ["x"]}),
            "rules[0].match: unknown key 'contianers', did you mean 'containers'?",
        ),
        (
            with_rule(multiArch="both"),
            "rules[0].multiArch: input should be 'either', 'index' or 'platform', got 'both'",
        ),
        (requiring(), f"rules[0].require: {ONE_OF}"),
        (requiring(registry={}, ecr={"tagImmutability": "required"}), f"rules[0].require: {ONE_OF}"),
        (
            requiring(allOf=[{"anyOf": [{"cosgin": {"key": "k"}}]}]),
            "rules[0].require.allOf[0].anyOf[0]: unknown key 'cosgin', did you mean 'cosign'?",
        ),
        (
            requiring(allOf=[]),
            "rules[0].require.allOf: tuple should have at least 1 item after validation, not 0, got []",
        ),
        (
            requiring(atLeast={"n": 2, "of": [{"registry": {}}]}),
            "rules[0].require.atLeast: 2 of 1 can never hold",
        ),
        (
            requiring(atLeast={"n": 0, "of": [{"registry": {}}]}),
            "rules[0].require.atLeast.n: input should be greater than or equal to 1, got 0",
        ),
        (
            requiring(atLeast={"n": True, "of": [{"registry": {}}]}),
            "rules[0].require.atLeast.n: input should be a valid integer, got True",
        ),
        (requiring(cosign={"key": "k"}), "rule 'our own': trust.keys has no 'k'"),
        (
            requiring(keyless={"root": "r", "issuer": "i"}),
            "rules[0].require.keyless: either identity or identityPattern is needed: anyone can have some "
            "identity",
        ),
        (
            requiring(keyless={"root": "r", "identity": "i"}),
            "rules[0].require.keyless: either issuer or issuerPattern is needed: anyone may run an issuer "
            "of identities",
        ),
        (
            requiring(ecr={}),
            "rules[0].require.ecr: ecr has at least one of tagImmutability, scan, maxImageAgeDays",
        ),
        (
            requiring(ecr={"scan": {"block": {"SEVERE": 0}}}),
            "rules[0].require.ecr.scan.block.SEVERE: input should be 'CRITICAL', 'HIGH', 'MEDIUM', 'LOW', "
            "'INFORMATIONAL' or 'UNDEFINED', got 'SEVERE'",
        ),
        (
            requiring(registry={"accounts": [111122223333]}),
            "rules[0].require.registry.accounts[0]: input should be a valid string, got 111122223333; "
            "write it in "
            "quotation marks",
        ),
        (
            requiring(registry={"regions": ["eu-west"]}),
            "rules[0].require.registry.regions[0]: string should match pattern "
            "'^[a-z]{2,4}(-[a-z]{1,16}){1,3}-[0-9]{1,2}$', got 'eu-west'",
        ),
        (
            requiring(awsSigner={"profiles": [f"{PROFILE}/*"]}),
            "rules[0].require.awsSigner.profiles[0]: string should match pattern "
            "'^arn:aws[a-z-]*:signer:[a-z0-9-]+:"
            "[0-9]{12}:/signing-profiles/[A-Za-z0-9_]{2,64}(/[A-Za-z0-9]{10})?$', "
            "got '" + PROFILE + "/*'",
        ),
        (
            requiring(attestation={"predicateType": "p", "signedBy": {}}),
            "rules[0].require.attestation.signedBy: signedBy has either cosign or keyless",
        ),
    ],
)
def test_a_fault_is_said_with_its_place_and_what_was_meant(content: bytes, said: str) -> None:
    assert faults(content) == (said,)


CLAUSES = "rules[0].require.attestation.where[0]"
ONE_SAID = (
    "a clause has, beside its path, exactly one of equals, oneOf, noneOf, matches, atLeast, atMost, "
    "withinHours, "
    "exists"
)


@pytest.mark.parametrize(
    ("clause", "said"),
    [
        ({"path": "a"}, f"{CLAUSES}: {ONE_SAID}"),
        ({"path": "a", "equals": 1, "exists": True}, f"{CLAUSES}: {ONE_SAID}"),
        ({"path": "a", "equals": None}, f"{CLAUSES}: {ONE_SAID}"),
        (
            {"path": "a[", "equals": 1},
            f"{CLAUSES}.path: the path 'a[' is not understood from character 2 on; paths are "
            'like runDetails.builder.id, materials[0].uri, components[*].name, annotations["a.b"]',
        ),
        (
            {"path": "a", "equals": [1]},
            f"{CLAUSES}.equals: input should be a valid string, got an array of 1",
        ),
        (
            {"path": "a", "oneOf": [[1]]},
            f"{CLAUSES}.oneOf[0]: input should be a valid string, got an array of 1",
        ),
        ({"path": "a", "atMost": "9"}, f"{CLAUSES}.atMost: input should be a valid number, got '9'"),
    ],
)
def test_a_clause_says_one_thing(clause: dict[str, Any], said: str) -> None:
    signed = {"cosign": {"key": "k"}}
    content = requiring(attestation={"predicateType": "p", "signedBy": signed, "where": [clause]})

    assert faults(content) == (said,)


def test_values_of_clauses_keep_their_type() -> None:
    values = ["1", 1, 1.0, True, "true"]
    clauses = [{"path": "a", "equals": value} for value in values] + [{"path": "a", "oneOf": values}]
    content = as_json(
        trust={"keys": {"k": {"kms": "arn:aws:kms:eu-west-1:111122223333:key/a"}}},
        rules=[
            {
                **DOCUMENT["rules"][0],
                "require": {
                    "attestation": {
                        "predicateType": "p",
                        "signedBy": {"cosign": {"key": "k"}},
                        "where": clauses,
                    }
                },
            }
        ],
    )
    attestation = read_policy(content).rules[0].require.attestation
    assert attestation is not None
    *alone, together = attestation.where

    # 1 == 1.0 == True, but their texts are not the same.
    assert [repr(clause.equals) for clause in alone] == [repr(value) for value in values]
    assert repr(together.one_of) == repr(tuple(values))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"expires": "2026-12-20T09:00:01Z"},
            "exemption 'INC-1' lasts from 2026-11-20T09:00:00Z to 2026-12-20T09:00:01Z; it may last 30 "
            "days at most",
        ),
        (
            {"expires": "2026-11-20T09:00:00Z"},
            "exemption 'INC-1' lasts from 2026-11-20T09:00:00Z to 2026-11-20T09:00:00Z; it may last 30 "
            "days at most",
        ),
        (
            {"expires": "2026-11-19T09:00:00Z"},
            "exemption 'INC-1' lasts from 2026-11-20T09:00:00Z to 2026-11-19T09:00:00Z; it may last 30 "
            "days at most",
        ),
        ({"rule": "another"}, "exemption 'INC-1': there is no rule 'another'"),
        (
            {"digests": []},
            "exemptions[0].digests: tuple should have at least 1 item after validation, not 0, got []",
        ),
        (
            {"digests": ["sha256:abc"]},
            "exemptions[0].digests[0]: string should match pattern '^sha256:[0-9a-f]{64}$', got 'sha256:abc'",
        ),
        ({"reason": ""}, "exemptions[0].reason: string should have at least 1 character, got ''"),
    ],
)
def test_an_exemption_has_an_end_digests_and_somebody_who_answers_for_it(
    changes: dict[str, Any], said: str
) -> None:
    assert faults(as_json(exemptions=[{**DOCUMENT["exemptions"][0], **changes}])) == (said,)


@pytest.mark.parametrize("key", ["expires", "approved", "approvedBy", "reason", "digests", "rule", "name"])
def test_an_exemption_leaves_nothing_out(key: str) -> None:
    exemption = {name: value for name, value in DOCUMENT["exemptions"][0].items() if name != key}

    assert faults(as_json(exemptions=[exemption])) == (f"exemptions[0].{key}: is missing",)


def test_names_of_rules_and_of_exemptions_are_their_own() -> None:
    rule, exemption = DOCUMENT["rules"][0], DOCUMENT["exemptions"][0]

    assert faults(as_json(rules=[rule, rule])) == ("several rules are called 'our own'",)
    assert faults(as_json(exemptions=[exemption, exemption])) == ("several exemptions are called 'INC-1'",)


def test_all_faults_are_said_and_an_error_names_ten_of_them() -> None:
    content = as_json(rules=[{"name": "r", "match": {"images": ["a.b/c"]}, "require": {"x": 1}}] * 12)

    with pytest.raises(Unusable) as error:
        load_policy(content, sha256=None, source="package:policy.json")

    assert len(error.value.faults) == 12
    assert str(error.value).startswith(
        "package:policy.json: rules[0].require: unknown key 'x'; valid: allOf, "
    )
    assert str(error.value).endswith("; and 2 more")


def test_what_lint_calls_an_error_is_one_when_the_policy_is_loaded() -> None:
    rule = DOCUMENT["rules"][0]
    content = as_json(rules=[rule, {**rule, "name": "the same"}])

    assert read_policy(content).rules[1].name == "the same"
    assert faults(content) == (
        "rule 'our own': as specific as rule 'the same', so that neither decides on images "
        "ghcr.io/example/shop",
    )


def test_what_lint_warns_of_is_loaded() -> None:
    assert load_policy(with_rule(mode="observe"), sha256=None).policy.rules[0].mode == "observe"

"""What hangs on an image, collected from registries that are made up: what counts, and what has an end."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hooks.image_trust.evidence import Attached, Attachments, Kind
from hooks.image_trust.finding import Digest, Outcome, Problem, Rejected
from hooks.image_trust.manifest import digest_of
from hooks.image_trust.registry import attachments
from hooks.image_trust.registry.attachments import Entry, Found, collect
from shared.errors import HookError, Misconfigured, Transient
from tests.hooks.image_trust import oci_artifacts as oci

SUBJECT = digest_of(b"an image")
OTHER = digest_of(b"another image")
ALL = frozenset(Kind)
REFERRED = frozenset({Kind.BUNDLE, Kind.NOTATION})


@dataclass
class Shelf:
    """A repository in memory; what is put under a digest need not have it."""

    tagged: dict[str, bytes | Problem] = field(default_factory=dict)
    listed: list[Entry] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    contents: dict[str, bytes | HookError] = field(default_factory=dict)
    read: list[str] = field(default_factory=list)

    def blob(self, digest: Digest, limit_bytes: int, what: str) -> bytes:
        self.read.append(digest)
        found = self.contents[digest]
        if isinstance(found, HookError):
            raise found
        if len(found) > limit_bytes:
            raise Rejected("too-large", what)
        return found

    def look_up(
        self, subject: Digest, tags: Sequence[str], kinds: frozenset[Kind], *, referrers: bool
    ) -> Found:
        assert subject == SUBJECT
        assert referrers is bool(kinds & REFERRED)
        return Found(
            tagged={tag: content for tag, content in self.tagged.items() if tag in tags},
            referrers=tuple(self.listed) if referrers else (),
            problems=tuple(self.problems),
        )

    def manifests(self, entries: Sequence[Entry]) -> Iterator[tuple[Digest, bytes | Problem]]:
        for entry in entries:
            self.read.append(entry.digest)
            found = self.contents[entry.digest]
            yield entry.digest, Problem.of(found) if isinstance(found, HookError) else found

    # --- Putting things there

    def keep(self, content: bytes) -> Digest:
        self.contents[digest_of(content)] = content
        return digest_of(content)

    def refer(self, content: bytes, said: str = oci.BUNDLE, **more: str) -> Digest:
        """Hang something on the image, and list it; return its manifest's digest."""
        self.keep(content)
        kinds = {"artifact_type": said, "layer_type": said, **more}
        digest = self.keep(oci.referrer(SUBJECT, content, **kinds))
        self.listed.append(Entry(digest, said))
        return digest

    def sign(self, *contents: bytes, suffix: str = ".sig", media_type: str = oci.SIMPLE_SIGNING) -> Digest:
        for content in contents:
            self.keep(content)
        layers = [
            oci.descriptor(media_type, content, annotations={oci.SIGNATURE: "c2ln"}) for content in contents
        ]
        made = oci.manifest(layers=layers)
        self.tagged[oci.cosign_tag(SUBJECT, suffix)] = made
        return digest_of(made)


def bundle(manifest: Digest, content: bytes) -> Attached:
    return Attached(
        kind=Kind.BUNDLE,
        subject=SUBJECT,
        manifest=manifest,
        media_type=oci.BUNDLE,
        content=content,
        annotations={"kept": "yes"},
    )


def contents(found: Attachments) -> list[bytes]:
    return [one.content for one in found.found]


def codes(found: Attachments) -> list[tuple[Outcome, str]]:
    return [(problem.outcome, problem.code) for problem in found.problems]


def test_all_kinds_are_found_where_tools_put_them() -> None:
    shelf = Shelf()
    signatures = shelf.sign(b"payload 1", b"payload 2")
    attestation = shelf.sign(b"statement", suffix=".att", media_type=oci.DSSE)
    a_bundle = shelf.refer(b"bundle")
    notation = shelf.refer(b"envelope", oci.NOTATION, layer_type=oci.JWS)

    def attached(kind: Kind, manifest: Digest, media_type: str, content: bytes, **said: str) -> Attached:
        return Attached(
            kind=kind,
            subject=SUBJECT,
            manifest=manifest,
            media_type=media_type,
            content=content,
            annotations=said,
        )

    signed = {oci.SIGNATURE: "c2ln"}
    assert collect(shelf, SUBJECT, ALL) == Attachments(
        (
            attached(Kind.COSIGN_SIGNATURE, signatures, oci.SIMPLE_SIGNING, b"payload 1", **signed),
            attached(Kind.COSIGN_SIGNATURE, signatures, oci.SIMPLE_SIGNING, b"payload 2", **signed),
            attached(Kind.COSIGN_ATTESTATION, attestation, oci.DSSE, b"statement", **signed),
            bundle(a_bundle, b"bundle"),
            attached(Kind.NOTATION, notation, oci.JWS, b"envelope", kept="yes"),
        )
    )


@pytest.mark.parametrize("kind", Kind)
def test_only_what_is_wanted_is_read(kind: Kind) -> None:
    shelf = Shelf()
    shelf.sign(b"cosign-signature")
    shelf.sign(b"cosign-attestation", suffix=".att", media_type=oci.DSSE)
    shelf.refer(b"bundle")
    shelf.refer(b"notation", oci.NOTATION, layer_type=oci.JWS)
    found = collect(shelf, SUBJECT, frozenset({kind}))
    assert [(one.kind, one.content) for one in found.found] == [(kind, kind.value.encode())]
    blobs = {digest_of(other.value.encode()) for other in Kind if other is not kind}
    assert blobs.isdisjoint(shelf.read)


@pytest.mark.parametrize(
    ("kinds", "tags"),
    [
        ({Kind.COSIGN_SIGNATURE}, {".sig"}),
        ({Kind.COSIGN_ATTESTATION}, {".att"}),
        ({Kind.BUNDLE}, {""}),
        ({Kind.NOTATION}, {""}),
        (set(Kind), {".sig", ".att", ""}),
    ],
)
def test_only_the_tags_of_what_is_wanted_are_looked_up(kinds: set[Kind], tags: set[str]) -> None:
    assert set(attachments.attachment_tags(SUBJECT, kinds)) == {oci.cosign_tag(SUBJECT, tag) for tag in tags}


def test_both_lists_are_united_by_digest() -> None:
    shelf = Shelf()
    digests = [shelf.refer(content) for content in (b"one", b"two", b"three")]
    one, two, three = shelf.listed
    shelf.listed = [two, three]
    entries = [
        {"mediaType": oci.MANIFEST, "digest": entry.digest, "size": 1, "artifactType": oci.BUNDLE}
        for entry in (one, two)
    ]
    shelf.tagged[oci.cosign_tag(SUBJECT)] = oci.index(entries)
    found = collect(shelf, SUBJECT, REFERRED)
    assert found == Attachments(tuple(map(bundle, digests, (b"one", b"two", b"three"))))


@pytest.mark.parametrize("said", ["", oci.EMPTY, "application/spdx+json", oci.NOTATION, "\x00"])
def test_what_a_list_says_of_an_entry_is_not_believed(said: str) -> None:
    shelf = Shelf()
    digest = shelf.refer(b"bundle")
    shelf.listed = [Entry(digest, said)]
    assert collect(shelf, SUBJECT, REFERRED) == Attachments((bundle(digest, b"bundle"),))


def test_a_signature_among_many_other_artifacts_is_found() -> None:
    shelf = Shelf()
    for number in range(200):
        shelf.refer(b"sbom %d" % number, "application/spdx+json")
    wanted = shelf.refer(b"bundle")
    untyped = shelf.refer(b"untyped bundle")
    shelf.listed[-1] = Entry(untyped, oci.EMPTY)
    found = collect(shelf, SUBJECT, frozenset({Kind.BUNDLE}))
    assert found.found == (bundle(wanted, b"bundle"), bundle(untyped, b"untyped bundle"))
    assert len(shelf.read) == 50 + 2
    assert found.problems == (
        Problem(
            Outcome.MISCONFIGURED,
            "too-many-candidates",
            f"202 artifacts refer to {SUBJECT}; 50 of them were read",
        ),
    )


def test_artifacts_of_other_kinds_are_no_problem() -> None:
    shelf = Shelf()
    shelf.refer(b"an SBOM", "application/spdx+json")
    index = oci.index([])
    shelf.listed.append(Entry(shelf.keep(index)))
    assert collect(shelf, SUBJECT, ALL) == Attachments()


def subjects_of_others() -> Mapping[str, bytes]:
    return {
        "another": oci.referrer(OTHER, b"stolen"),
        "none": oci.referrer(None, b"stolen"),
    }


@pytest.mark.parametrize("whose", subjects_of_others())
def test_what_refers_to_something_else_is_a_problem_and_not_read(whose: str) -> None:
    shelf = Shelf()
    stolen = shelf.keep(b"stolen")
    shelf.listed.append(Entry(shelf.keep(subjects_of_others()[whose]), oci.BUNDLE))
    mine = shelf.refer(b"mine")
    found = collect(shelf, SUBJECT, REFERRED)
    assert found.found == (bundle(mine, b"mine"),)
    assert codes(found) == [(Outcome.UNTRUSTED, "other-subject")]
    assert stolen not in shelf.read


def spoiled(shelf: Shelf) -> Mapping[str, tuple[Outcome, str]]:
    """Hang what can't be read on the image, in every way there is; return what becomes of each."""
    shelf.listed += [
        Entry(shelf.keep(b"no JSON"), oci.BUNDLE),
        Entry(shelf.keep(b'{"schemaVersion": 2, "layers": [], "layers": []}'), oci.BUNDLE),
        Entry(shelf.keep(b'{"schemaVersion": 1}'), oci.BUNDLE),
    ]
    wrong = digest_of(b"wrong")
    shelf.contents[wrong] = oci.referrer(SUBJECT, b"bundle")
    away, denied = digest_of(b"away"), digest_of(b"denied")
    shelf.contents |= {away: Transient("later"), denied: Misconfigured("never")}
    shelf.listed += [Entry(wrong), Entry(away), Entry(denied)]
    lied = shelf.refer(b"lied")
    shelf.contents[digest_of(b"lied")] = b"LIED"
    two = oci.manifest(
        config=(oci.EMPTY, b"{}"),
        artifactType=oci.NOTATION,
        subject=oci.descriptor(oci.MANIFEST, b"an image"),
        layers=[oci.descriptor(oci.JWS, b"1"), oci.descriptor(oci.JWS, b"2")],
    )
    shelf.listed.append(Entry(shelf.keep(two)))
    assert lied
    return {
        "no JSON": (Outcome.UNTRUSTED, "malformed-json"),
        "duplicate keys": (Outcome.UNTRUSTED, "malformed-json"),
        "schema 1": (Outcome.UNTRUSTED, "unsupported-manifest"),
        "other manifest": (Outcome.UNTRUSTED, "digest-mismatch"),
        "away": (Outcome.UNVERIFIABLE, "unavailable"),
        "denied": (Outcome.MISCONFIGURED, "misconfigured"),
        "other blob": (Outcome.UNTRUSTED, "digest-mismatch"),
        "two envelopes": (Outcome.UNTRUSTED, "malformed-artifact"),
    }


def test_a_candidate_that_cannot_be_read_is_a_problem_and_hides_no_other() -> None:
    shelf = Shelf()
    first = shelf.refer(b"first")
    expected = spoiled(shelf)
    last = shelf.refer(b"last")
    found = collect(shelf, SUBJECT, REFERRED)
    assert found.found == (bundle(first, b"first"), bundle(last, b"last"))
    assert sorted(codes(found)) == sorted(expected.values())


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"no JSON", "malformed-json"),
        (b"[]", "malformed-index"),
        (b'{"manifests": {}}', "malformed-index"),
        (oci.manifest(), "malformed-index"),
        (b'{"manifests": [], "manifests": []}', "malformed-json"),
        (b"[" * 100_000, "malformed-json"),
        (Problem(Outcome.UNTRUSTED, "too-large", "5 MiB"), "too-large"),
    ],
)
@pytest.mark.parametrize("suffix", ["", ".sig", ".att"])
def test_a_tag_that_leads_to_nonsense_hides_nothing(content: bytes | Problem, code: str, suffix: str) -> None:
    shelf = Shelf(tagged={oci.cosign_tag(SUBJECT, suffix): content})
    good = shelf.refer(b"good")
    found = collect(shelf, SUBJECT, ALL)
    assert found.found == (bundle(good, b"good"),)
    if suffix and code == "malformed-index":
        # An empty manifest is one without signatures; the others are no manifests.
        assert {problem.code for problem in found.problems} <= {"malformed-manifest", "unsupported-manifest"}
    else:
        assert [problem.code for problem in found.problems] == [code]


def test_an_entry_that_cannot_be_read_hides_no_other() -> None:
    shelf = Shelf()
    good = shelf.refer(b"good")
    shelf.listed.clear()
    entries = ["nonsense", {}, {"digest": f"sha512:{'0' * 128}"}, {"digest": good, "artifactType": 7}]
    document = {"schemaVersion": 2, "mediaType": oci.INDEX, "manifests": entries}
    shelf.tagged[oci.cosign_tag(SUBJECT)] = json.dumps(document).encode()
    found = collect(shelf, SUBJECT, REFERRED)
    assert found.found == (bundle(good, b"good"),)
    assert [problem.code for problem in found.problems] == [
        "malformed-index",
        "malformed-digest",
        "malformed-digest",
    ]


def test_of_thousands_of_entries_some_are_read() -> None:
    good = Shelf()
    digest = good.refer(b"good")
    entries = [{"digest": digest_of(b"%d" % number), "artifactType": "x"} for number in range(5000)]
    entries[999] = {"digest": digest, "artifactType": oci.BUNDLE}
    listed, problems = attachments.listing(json.dumps({"manifests": entries}).encode(), "the list")
    assert len(listed) == 1000
    assert attachments.in_order(listed, REFERRED)[0] == Entry(digest, oci.BUNDLE)
    assert problems == (
        Problem(
            Outcome.MISCONFIGURED,
            "too-many-candidates",
            "the list has 5000 entries; the first 1000 of them were read",
        ),
    )


def test_of_too_many_signatures_under_one_tag_the_last_are_read() -> None:
    shelf = Shelf()
    payloads = [b"payload %d" % number for number in range(60)]
    manifest = shelf.sign(*payloads)
    found = collect(shelf, SUBJECT, ALL)
    assert contents(found) == payloads[10:]
    text = f"{manifest} holds 60 signatures; the last 50 of them were read"
    assert found.problems == (Problem(Outcome.MISCONFIGURED, "too-many-layers", text),)


@pytest.mark.parametrize("kind", Kind)
def test_a_blob_is_as_large_as_its_kind_may_be(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attachments, "MAX_BLOB_BYTES", dict.fromkeys(Kind, 1_000_000) | {kind: 100})
    for size, expected in ((100, []), (101, [(Outcome.UNTRUSTED, "too-large")])):
        shelf, content = Shelf(), b"x" * size
        match kind:
            case Kind.COSIGN_SIGNATURE:
                shelf.sign(content)
            case Kind.COSIGN_ATTESTATION:
                shelf.sign(content, suffix=".att", media_type=oci.DSSE)
            case Kind.BUNDLE:
                shelf.refer(content)
            case Kind.NOTATION:
                shelf.refer(content, oci.NOTATION, layer_type=oci.JWS)
        found = collect(shelf, SUBJECT, ALL)
        assert (contents(found), codes(found)) == ([] if expected else [content], expected)
        assert (digest_of(content) in shelf.read) is not bool(expected)


def test_a_blob_that_is_larger_than_its_manifest_says_is_not_read() -> None:
    shelf = Shelf()
    large = shelf.keep(b"x" * 1000)
    made = oci.manifest(
        config=(oci.EMPTY, b"{}"),
        subject=oci.descriptor(oci.MANIFEST, b"an image"),
        layers=[{"mediaType": oci.BUNDLE, "digest": large, "size": 10}],
    )
    shelf.listed.append(Entry(shelf.keep(made)))
    assert codes(collect(shelf, SUBJECT, ALL)) == [(Outcome.UNTRUSTED, "too-large")]


def test_all_blobs_together_have_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attachments, "MAX_TOTAL_BYTES", 250)
    shelf = Shelf()
    shelf.sign(b"1" * 100, b"2" * 100, b"3" * 100, b"4" * 50)
    found = collect(shelf, SUBJECT, ALL)
    assert contents(found) == [b"1" * 100, b"2" * 100, b"4" * 50]
    assert codes(found) == [(Outcome.MISCONFIGURED, "misconfigured")]


@pytest.mark.parametrize(("there", "cut"), [(100, False), (101, True)])
def test_so_many_blobs_are_read_and_no_more(there: int, cut: bool) -> None:
    shelf = Shelf()
    shelf.sign(*(b"payload %d" % number for number in range(50)))
    shelf.sign(*(b"statement %d" % number for number in range(40)), suffix=".att", media_type=oci.DSSE)
    for number in range(there - 90):
        shelf.refer(b"bundle %d" % number)
    found = collect(shelf, SUBJECT, ALL)
    assert len(found.found) == 100
    assert codes(found) == ([(Outcome.MISCONFIGURED, "too-many-candidates")] if cut else [])


def test_collecting_ends_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter(range(0, 1000, 10))
    monkeypatch.setattr(attachments.time, "monotonic", lambda: float(next(now)))
    shelf = Shelf()
    for number in range(10):
        shelf.refer(b"bundle %d" % number)
    found = collect(shelf, SUBJECT, ALL)
    assert contents(found) == [b"bundle 0"]
    assert codes(found) == [(Outcome.UNVERIFIABLE, "out-of-time")]


def test_a_registry_that_fails_as_a_whole_is_one_problem() -> None:
    class Down(Shelf):
        def look_up(self, *_: object, **__: object) -> Found:
            raise Transient("down")

    assert collect(Down(), SUBJECT, ALL) == Attachments(
        problems=(Problem(Outcome.UNVERIFIABLE, "unavailable", "down"),)
    )


def test_what_a_registry_could_not_list_is_said() -> None:
    shelf = Shelf(problems=[Problem(Outcome.UNVERIFIABLE, "unavailable", "the list")])
    good = shelf.refer(b"good")
    assert collect(shelf, SUBJECT, ALL) == Attachments((bundle(good, b"good"),), tuple(shelf.problems))


@given(
    manifest=st.binary(max_size=200) | st.builds(json.dumps, st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
            st.sampled_from(["manifests", "layers", "digest", "subject", "schemaVersion", "size", "x"]),
            inner, max_size=4,
        ),
        max_leaves=8,
    )).map(str.encode),
    suffix=st.sampled_from(["", ".sig", ".att"]),
)  # fmt: skip
def test_no_bytes_break_the_collecting(manifest: bytes, suffix: str) -> None:
    shelf = Shelf(tagged={oci.cosign_tag(SUBJECT, suffix): manifest})
    shelf.listed.append(Entry(shelf.keep(manifest), oci.BUNDLE))
    shelf.contents = {**shelf.contents}
    for entry in attachments.listing(manifest, "a list")[0]:
        shelf.contents.setdefault(entry.digest, manifest)
    good = shelf.refer(b"good")
    found = collect(shelf, SUBJECT, ALL)
    assert found.found == (bundle(good, b"good"),)

"""Files whose every value knows its line."""

from pathlib import Path

import pytest

from rehearsal.document import MAX_BYTES, Document, DocumentError

TEXT = """\
name: web
hooks:
  - arn: !GetAtt Function.Arn
    stages: [A, B]
  - !If
    - Ready
    - !Sub "${A}-x"
    - !Ref AWS::NoValue
map: !FindInMap {a: b}
"""


@pytest.fixture
def document() -> Document:
    return Document.parse(TEXT, "f.yaml")


def test_short_tags_are_read_as_their_long_forms(document: Document) -> None:
    assert document.data == {
        "name": "web",
        "hooks": [
            {"arn": {"Fn::GetAtt": ["Function", "Arn"]}, "stages": ["A", "B"]},
            {"Fn::If": ["Ready", {"Fn::Sub": "${A}-x"}, {"Ref": "AWS::NoValue"}]},
        ],
        "map": {"Fn::FindInMap": {"a": "b"}},
    }


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ((), 1),
        (("name",), 1),
        (("hooks", 0, "arn"), 3),
        (("hooks", 0, "stages", 1), 4),
        (("hooks", 1, "Fn::If", 1), 7),
        (("map", "Fn::FindInMap", "a"), 9),
        (("hooks", 0, "role"), 3),
        (("hooks", 7, "arn"), 2),
        (("nothing", "there"), 1),
    ],
)
def test_every_value_knows_its_line_and_a_missing_one_that_of_its_parent(
    document: Document, path: tuple[str | int, ...], line: int
) -> None:
    assert document.line(path) == line


def test_an_error_names_file_line_and_key(document: Document) -> None:
    assert str(document.error(("hooks", 0, "arn"), "no")) == "f.yaml:3: hooks.0.arn: no"
    assert str(document.error((), "no")) == "f.yaml:1: no"


def test_json_is_read_too() -> None:
    document = Document.parse('{\n "a": [1,\n 2.5, null, true]}', "f.json")

    assert (document.data, document.line(("a", 1))) == ({"a": [1, 2.5, None, True]}, 3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "f:1: expected the node content, but found '<stream end>'"),
        ("a: 1\nb: 2\na: 3", "f:3: a: stands twice"),
        ("a: 1\n? [b]\n: 2", "f:2: a key that is not a word"),
        ("a: *b", "f:1: found undefined alias 'b'"),
        ("a: &b [*b]", "f: not readable as YAML: RecursionError"),
        ("a: \x00", "f: not readable as YAML: ReaderError"),
    ],
)
def test_what_is_no_document_is_refused_in_one_line(text: str, message: str) -> None:
    with pytest.raises(DocumentError) as caught:
        Document.parse(text, "f")

    assert str(caught.value) == message


def test_aliases_can_not_make_a_small_file_explode() -> None:
    levels = "\n".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 8))

    with pytest.raises(DocumentError, match="more than 200000 values"):
        Document.parse(f"a0: &a0 x\n{levels}", "f")


def test_files_that_are_missing_too_large_or_no_text_are_refused(tmp_path: Path) -> None:
    large, binary = tmp_path / "large.yaml", tmp_path / "binary.yaml"
    large.write_text(" " * (MAX_BYTES + 1), encoding="utf-8")
    binary.write_bytes(b"\xff\xfe\x00")

    for file, message in (
        (tmp_path / "missing.yaml", "No such file or directory"),
        (large, f"larger than {MAX_BYTES} bytes"),
        (binary, "not UTF-8 text"),
    ):
        with pytest.raises(DocumentError) as caught:
            Document.read(file)
        assert str(caught.value) == f"{file}: {message}"

"""What registries answer with 401, and what others answer in their place."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hooks.image_trust.registry.challenge import Challenge, choose, parse
from shared.errors import Misconfigured


def bearer(**parameters: str) -> Challenge:
    return Challenge("bearer", parameters)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        # As registries say it.
        (
            'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",'
            'scope="repository:library/nginx:pull"',
            [
                bearer(
                    realm="https://auth.docker.io/token",
                    service="registry.docker.io",
                    scope="repository:library/nginx:pull",
                )
            ],
        ),
        (
            'Bearer realm="https://ghcr.io/token",service="ghcr.io",scope="repository:user/image:pull"',
            [bearer(realm="https://ghcr.io/token", service="ghcr.io", scope="repository:user/image:pull")],
        ),
        (
            'Bearer realm="https://public.ecr.aws/token/",service="public.ecr.aws",scope="aws"',
            [bearer(realm="https://public.ecr.aws/token/", service="public.ecr.aws", scope="aws")],
        ),
        ('Basic realm="Registry Realm"', [Challenge("basic", {"realm": "Registry Realm"})]),
        # Nexus has both, in two lines, which arrive as one.
        (
            'BASIC realm="Sonatype Nexus", BEARER realm="https://nexus.example/v2/token"',
            [
                Challenge("basic", {"realm": "Sonatype Nexus"}),
                bearer(realm="https://nexus.example/v2/token"),
            ],
        ),
        # As the grammar has it.
        ("", []),
        (" , ,", []),
        ("Basic", [Challenge("basic", {})]),
        ("Basic, Bearer", [Challenge("basic", {}), bearer()]),
        ("bearer REALM = x , scope= y", [bearer(realm="x", scope="y")]),
        (r'Bearer realm="a \"quoted\" \\ text, x=y"', [bearer(realm=r'a "quoted" \ text, x=y')]),
        ('Bearer realm=""', [bearer(realm="")]),
        ("Negotiate YWJj==, Bearer realm=x", [Challenge("negotiate", {}), bearer(realm="x")]),
        ("Bearer realm=x,, Basic realm=y", [bearer(realm="x"), Challenge("basic", {"realm": "y"})]),
    ],
)  # fmt: skip
def test_what_the_grammar_has_is_read(header: str, expected: list[Challenge]) -> None:
    assert parse(header) == tuple(expected)


@pytest.mark.parametrize(
    "header",
    [
        'Bearer realm="x" service="y"',
        'Bearer realm="x',
        'Bearer realm=x"',
        'Bearer realm="x"y',
        'Bearer realm="x",realm="y"',
        'Bearer realm="x",Realm="y"',
        'Bearer realm="x\x00"',
        'Bearer realm="x\r\nEvil: y"',
        'Bearer realm="ö"',
        "Bearer realm=a b",
        "Bearer realm==x",
        "Bearer=x",
        'realm="x"',
        '"Bearer" realm="x"',
        "(Bearer)",
        "Bearer (x)",
        "Bearer realm=x;scope=y",
        "Bearer " + ",".join(f"p{number}=x" for number in range(17)),
        "Bearer realm=" + "x" * 5000,
    ],
)
def test_anything_else_is_refused(header: str) -> None:
    with pytest.raises(Misconfigured):
        parse(header)


@pytest.mark.parametrize(
    ("schemes", "chosen"),
    [
        (["bearer"], "bearer"),
        (["basic"], "basic"),
        (["basic", "bearer"], "bearer"),
        (["negotiate", "basic"], "basic"),
        (["bearer", "bearer"], None),
        (["basic", "basic"], None),
        (["bearer", "bearer", "basic"], None),
        (["negotiate"], None),
        ([], None),
    ],
)
def test_one_challenge_is_met_or_none(schemes: list[str], chosen: str | None) -> None:
    challenges = [Challenge(scheme, {"number": str(number)}) for number, scheme in enumerate(schemes)]
    if chosen is None:
        with pytest.raises(Misconfigured):
            choose(challenges)
    else:
        assert choose(challenges) == challenges[schemes.index(chosen)]


words = st.text(st.sampled_from("abcXYZ019!#$%&'*+.^_`|~-"), min_size=1, max_size=8)
texts = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=12)


def quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


@given(
    st.lists(
        st.tuples(words, st.dictionaries(words.map(str.lower), texts, min_size=1, max_size=4)), max_size=3
    )
)
def test_what_is_written_is_read_again(challenges: list[tuple[str, dict[str, str]]]) -> None:
    header = ", ".join(
        f"{scheme} {', '.join(f'{name}={quoted(value)}' for name, value in parameters.items())}"
        for scheme, parameters in challenges
    )
    assert parse(header) == tuple(Challenge(scheme.lower(), found) for scheme, found in challenges)


@given(
    st.text(max_size=100)
    | st.lists(
        st.sampled_from(["Bearer", "Basic", "realm", "=", '"', ",", " ", "\t", "\\", "x", "\x00", "ö", "=="]),
        max_size=20,
    ).map("".join)
)
def test_no_text_does_anything_but_be_read_or_refused(header: str) -> None:
    try:
        found = parse(header)
    except Misconfigured:
        return
    for challenge in found:
        assert challenge.scheme == challenge.scheme.lower()
        for name, value in challenge.parameters.items():
            assert name == name.lower()
            assert (name + value).isascii()
            assert "\r" not in value
            assert "\n" not in value

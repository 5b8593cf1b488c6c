import time
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hooks.image_trust.finding import Digest, Rejected
from hooks.image_trust.reference import EcrRepository, Reference, canonical_host, digest

A = Digest(f"sha256:{'a' * 64}")


def reference(registry: str, repository: str, tag: str | None = None, pinned: str | None = None) -> Reference:
    return Reference(registry, repository, tag, Digest(pinned) if pinned else None)


# What https://github.com/distribution/reference/blob/v0.6.0/reference_test.go and normalize_test.go expect,
# but for the capitals of hosts, which compare without regard to case.
@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("debian", reference("docker.io", "library/debian", "latest")),
        ("docker/docker", reference("docker.io", "docker/docker", "latest")),
        ("docker.io/debian", reference("docker.io", "library/debian", "latest")),
        ("index.docker.io/debian", reference("docker.io", "library/debian", "latest")),
        ("index.docker.io/docker/docker:1", reference("docker.io", "docker/docker", "1")),
        ("registry-1.docker.io/docker/docker", reference("docker.io", "docker/docker", "latest")),
        ("DOCKER.IO/debian", reference("docker.io", "library/debian", "latest")),
        ("docker.io:443/debian", reference("docker.io", "library/debian", "latest")),
        # No slash, no host.
        ("test.com:5000", reference("docker.io", "library/test.com", "5000")),
        ("192.168.0.1:80", reference("docker.io", "library/192.168.0.1", "80")),
        ("foo_bar.com:8080", reference("docker.io", "library/foo_bar.com", "8080")),
        ("test_com", reference("docker.io", "library/test_com", "latest")),
        ("lowercase:Uppercase", reference("docker.io", "library/lowercase", "Uppercase")),
        # A first part with a dot, a port, or localhost is a host.
        ("localhost/library/debian", reference("localhost", "library/debian", "latest")),
        ("localhost/debian", reference("localhost", "debian", "latest")),
        ("test:5000/repo", reference("test:5000", "repo", "latest")),
        (f"test:5000/repo:tag@{A}", reference("test:5000", "repo", "tag", A)),
        (f"test:5000/repo@{A}", reference("test:5000", "repo", None, A)),
        ("sub-dom1.foo.com/bar/baz/quux:t", reference("sub-dom1.foo.com", "bar/baz/quux", "t")),
        ("b.gcr.io/test.example.com/my-app:test.example.com",
         reference("b.gcr.io", "test.example.com/my-app", "test.example.com")),
        ("xn--n3h.com/myimage:xn--n3h.com", reference("xn--n3h.com", "myimage", "xn--n3h.com")),
        ("foo/foo_bar.com:8080", reference("docker.io", "foo/foo_bar.com", "8080")),
        ("192.168.1.1:5000/repo:5050", reference("192.168.1.1:5000", "repo", "5050")),
        ("Ghcr.IO/Example".lower(), reference("ghcr.io", "example", "latest")),
        ("GHCR.io/example", reference("ghcr.io", "example", "latest")),
        ("ghcr.io:443/example", reference("ghcr.io", "example", "latest")),
        # Without a dot, what is left would be read as a part of the path.
        ("registry:443/example", reference("registry:443", "example", "latest")),
        ("[2001:db8::1]/repo", reference("[2001:db8::1]", "repo", "latest")),
        ("[::1]:5000/repo", reference("[::1]:5000", "repo", "latest")),
        ("[FC00::1]:5000/docker/docker", reference("[fc00::1]:5000", "docker/docker", "latest")),
        ("docker---rules/dock__er/d.o-c_k",
         reference("docker.io", "docker---rules/dock__er/d.o-c_k", "latest")),
        ("docker.io/" + "1a" * 32, reference("docker.io", "library/" + "1a" * 32, "latest")),
        ("example.com/" + "a" * 255 + ":tag", reference("example.com", "a" * 255, "tag")),
        ("repo:" + "t" * 128, reference("docker.io", "library/repo", "t" * 128)),
    ],
)  # fmt: skip
def test_a_reference_is_completed_as_a_runtime_does(text: str, found: Reference) -> None:
    assert Reference.parse(text) == found


@pytest.mark.parametrize(
    "text",
    [
        "", ":justtag", f"@{A}", "/", "a/", "/a", "a//b", "https://github.com/docker/docker", "Uppercase:tag",
        "docker/Docker", "test:5000/Uppercase/lowercase:tag", "-docker", "-docker/docker", "docker-/docker",
        "____/____", "_docker/_docker", "dock..er/docker", "dock_.er/docker", "dock-.er/docker", "docker/",
        "docker.io/docker///docker", "aa/asdf$$^/aa", "[fc00::1]", "[fc00::1]:5000", "[2001:db8::1]:tag",
        "fc00::1:5000/debian", "[fe80::1%eth0]:5000/debian", "[2001:db8:3:4::192.0.2.33]:5000/debian",
        "[fd00123123123]/repo", "-ab.com/x", "ab-.com/x", "a..b/x", "a.b./x", ".a.b/x", "test.com:http/x",
        "a.b:0/x", "a.b:65536/x", "a.b:750050/x", "1a" * 32, "domain/" + "a" * 256, "a" * 256,
        "a.b/" + "a" * 256,
        "library/" + "a/" * 124 + "a", "x" * 1025, "repo:" + "t" * 129, "repo:.tag", "repo:", "a:b:c",
        "a b", "a\n", "a\x00", "ä", "repo@", "repo:tag@",
        # Docker takes these for hosts, by their capitals; in lower case they are none.
        "Docker/docker", "LOCALDOMAIN/library/debian", "Uppercase/lowercase:tag",
        # An underscore is in no host, and what has a dot is no part of a path that comes first.
        "foo_bar.com/x",
        None, 7, b"nginx", ["nginx"],
    ],
)  # fmt: skip
def test_what_is_no_reference_is_refused(text: Any) -> None:
    with pytest.raises(Rejected) as refused:
        Reference.parse(text)

    assert refused.value.code in {"malformed-reference", "malformed-digest"}


@pytest.mark.parametrize(
    "text",
    [
        "sha256:" + "a" * 63,
        "sha256:" + "A" * 64,
        "sha256:" + "a" * 65,
        "sha512:" + "a" * 128,
        f"{A}\n",
        f"{A}@{A}",
        "",
    ],
)
def test_a_digest_is_sha256_in_lower_case_and_nothing_else(text: str) -> None:
    for refused in (lambda: digest(text), lambda: Reference.parse(f"repo@{text}")):
        with pytest.raises(Rejected) as error:
            refused()
        assert error.value.code == "malformed-digest"


ECR = [
    # https://docs.aws.amazon.com/general/latest/gr/ecr.html
    ("111122223333.dkr.ecr.eu-west-1.amazonaws.com", ("eu-west-1", "amazonaws.com", False, False)),
    ("111122223333.dkr.ecr-fips.us-east-1.amazonaws.com", ("us-east-1", "amazonaws.com", True, False)),
    ("111122223333.dkr-ecr.ap-southeast-4.on.aws", ("ap-southeast-4", "amazonaws.com", False, True)),
    ("111122223333.dkr-ecr-fips.us-west-2.on.aws", ("us-west-2", "amazonaws.com", True, True)),
    ("111122223333.dkr.ecr.us-gov-west-1.amazonaws.com", ("us-gov-west-1", "amazonaws.com", False, False)),
    ("111122223333.dkr-ecr-fips.us-gov-east-1.on.aws", ("us-gov-east-1", "amazonaws.com", True, True)),
    ("111122223333.dkr.ecr.mx-central-1.amazonaws.com", ("mx-central-1", "amazonaws.com", False, False)),
    ("111122223333.dkr.ecr.cn-north-1.amazonaws.com.cn", ("cn-north-1", "amazonaws.com.cn", False, False)),
    ("111122223333.dkr-ecr.cn-northwest-1.on.amazonwebservices.com.cn",
     ("cn-northwest-1", "amazonaws.com.cn", False, True)),
    ("111122223333.dkr.ecr.us-iso-east-1.c2s.ic.gov", ("us-iso-east-1", "c2s.ic.gov", False, False)),
    ("111122223333.dkr.ecr.us-isob-east-1.sc2s.sgov.gov", ("us-isob-east-1", "sc2s.sgov.gov", False, False)),
    ("111122223333.dkr.ecr.us-isof-south-1.csp.hci.ic.gov",
     ("us-isof-south-1", "csp.hci.ic.gov", False, False)),
    ("111122223333.dkr.ecr.eu-isoe-west-1.cloud.adc-e.uk",
     ("eu-isoe-west-1", "cloud.adc-e.uk", False, False)),
    ("111122223333.dkr.ecr.eusc-de-east-1.amazonaws.eu", ("eusc-de-east-1", "amazonaws.eu", False, False)),
]  # fmt: skip


@pytest.mark.parametrize(("host", "found"), ECR)
def test_every_host_of_ecr_is_known(host: str, found: tuple[str, str, bool, bool]) -> None:
    assert Reference.parse(f"{host}/shop/web").ecr == EcrRepository("111122223333", *found)


@pytest.mark.parametrize(
    "host",
    [
        "11112222333.dkr.ecr.eu-west-1.amazonaws.com", "1111222233334.dkr.ecr.eu-west-1.amazonaws.com",
        "x111122223333.dkr.ecr.eu-west-1.amazonaws.com", "a.111122223333.dkr.ecr.eu-west-1.amazonaws.com",
        "111122223333.dkr.ecr.eu-west-1.amazonaws.com.evil.example",
        "111122223333.dkr.ecr.eu-west-1.evil.example",
        "111122223333.dkr.ecr.amazonaws.com", "111122223333.dkr.ecr.x.s3.amazonaws.com",
        "111122223333.dkr.ecr.evil.amazonaws.com", "111122223333.ecr.eu-west-1.amazonaws.com",
        # Each Region has the domain of its partition, and dual-stack hosts one of their own.
        "111122223333.dkr.ecr.cn-north-1.amazonaws.com", "111122223333.dkr.ecr.eu-west-1.amazonaws.com.cn",
        "111122223333.dkr-ecr.eu-west-1.amazonaws.com", "111122223333.dkr.ecr.eu-west-1.on.aws",
        "111122223333.dkr.ecr.eu-west-1.c2s.ic.gov", "111122223333.dkr.ecr.us-iso-east-1.amazonaws.com",
        "111122223333.dkr-ecr.us-iso-east-1.on.aws", "111122223333.dkr.ecr.eu-west-1.amazonaws.eu",
        "111122223333.dkr.ecr.eu-west-1.amazonaws.com:5000", "public.ecr.aws", "docker.io",
    ],
)  # fmt: skip
def test_what_only_looks_like_ecr_is_not(host: str) -> None:
    assert Reference.parse(f"{host}/shop/web").ecr is None


def test_a_pull_through_cache_is_a_prefix_of_repositories() -> None:
    cached = Reference.parse(f"111122223333.dkr.ecr.eu-west-1.amazonaws.com/docker-hub/library/nginx@{A}")

    assert (cached.repository, cached.ecr and cached.ecr.account) == (
        "docker-hub/library/nginx",
        "111122223333",
    )


@pytest.mark.parametrize(
    ("host", "first"),
    [
        ("docker.io", "docker.io"),
        ("index.docker.io", "docker.io"),
        ("registry-1.docker.io", "docker.io"),
        ("public.ecr.aws", "public.ecr.aws"),
        ("ecr-public.aws.com", "public.ecr.aws"),
        ("ghcr.io:443", "ghcr.io"),
        ("ghcr.io:8443", "ghcr.io:8443"),
        ("localhost:443", "localhost"),
        ("registry:443", "registry:443"),
        ("[::1]:443", "[::1]"),
        ("111122223333.dkr.ecr-fips.us-east-1.amazonaws.com", "111122223333.dkr.ecr.us-east-1.amazonaws.com"),
        ("111122223333.dkr-ecr.us-east-1.on.aws:443", "111122223333.dkr.ecr.us-east-1.amazonaws.com"),
        (
            "111122223333.dkr-ecr.cn-north-1.on.amazonwebservices.com.cn",
            "111122223333.dkr.ecr.cn-north-1.amazonaws.com.cn",
        ),
    ],
)
def test_a_registry_has_one_first_name(host: str, first: str) -> None:
    assert canonical_host(host) == first
    assert canonical_host(first) == first


@pytest.mark.parametrize(
    "text", ["nginx", *(f"{host}/shop/web" for host, _ in ECR), "ecr-public.aws.com/a/b", "a.b/c"]
)
def test_all_names_of_a_registry_lead_to_the_same_names(text: str) -> None:
    reference = Reference.parse(text)
    others = [Reference.parse(name) for name in reference.spellings]

    assert reference.spellings[0] == f"{reference.canonical}/{reference.repository}"
    assert reference.name in reference.spellings
    assert {one.spellings for one in others} == {reference.spellings}


def test_what_a_task_definition_says_is_not_lost() -> None:
    text = f"111122223333.dkr-ecr-fips.us-east-1.on.aws/shop/web:1.0@{A}"

    assert str(Reference.parse(text)) == text
    assert str(Reference.parse(text).bare) == "111122223333.dkr-ecr-fips.us-east-1.on.aws/shop/web"


def test_no_text_takes_long() -> None:
    begun = time.process_time()
    for text in (
        "a-" * 512,
        "a." * 511 + "/x",
        "a" * 1023 + "!",
        "a/" * 511 + "!",
        "[" + ":" * 1000 + "]/x",
        "a-" * 500 + "/",
    ):
        with pytest.raises(Rejected):
            Reference.parse(text)

    assert time.process_time() - begun < 1


_PARTS = st.sampled_from(
    ["a", "b-c", "docker.io", "index.docker.io", "localhost", "ghcr.io", ":443", ":5000", "/", ".", ":", "@",
     A, "A", "_",
     "[::1]", "library", "111122223333.dkr-ecr.eu-west-1.on.aws", "1a" * 32, "sha256", "-", "é"]
)  # fmt: skip


@given(st.lists(_PARTS, max_size=7).map("".join))
def test_whatever_is_read_reads_the_same_again(text: str) -> None:
    try:
        found = Reference.parse(text)
    except Rejected:
        return

    assert Reference.parse(str(found)) == found
    # Whatever else it is called, it is the same image.
    for spelling in found.spellings:
        other = Reference.parse(str(found).replace(found.name, spelling, 1))
        assert replace(other, registry=found.registry) == found


@given(st.one_of(st.text(), st.none(), st.integers(), st.binary()))
def test_nothing_but_a_refusal_leaves(text: object) -> None:
    try:
        Reference.parse(text)
    except Rejected as error:
        assert error.code in {"malformed-reference", "malformed-digest"}

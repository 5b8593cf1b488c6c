"""Which registries are asked: those that the policy names, by whichever of their names."""

from typing import Any

import pytest

from hooks.image_trust.hosts import may_ask, settings_of
from hooks.image_trust.policy import Registry
from hooks.image_trust.reference import Reference
from tests.hooks.image_trust.judged_images import HOST, policy

ACCOUNT = "111122223333"
SECRET = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:registry-AbCdEf"


def asks(images: str | list[str], image: str, registries: dict[str, Any] | None = None) -> bool:
    globs = [images] if isinstance(images, str) else images
    return may_ask(policy(images=globs, registries=registries or {}), Reference.parse(image))


@pytest.mark.parametrize(
    ("glob", "image"),
    [
        ("ghcr.io/shop/*", "ghcr.io/shop/web"),
        ("ghcr.io/shop/*", "ghcr.io/elsewhere/web"),
        ("ghcr.io:443/shop/*", "ghcr.io/shop/web"),
        ("ghcr.io/shop/*", "ghcr.io:443/shop/web"),
        ("registry.example.com:5000/**", "registry.example.com:5000/x"),
        ("docker.io/library/nginx", "nginx"),
        ("docker.io/library/nginx", "registry-1.docker.io/library/nginx"),
        ("index.docker.io/library/nginx", "nginx"),
        ("public.ecr.aws/nginx/*", "ecr-public.aws.com/nginx/nginx"),
        # In ECR the account is what is named.
        (f"{HOST}/shop/**", f"{HOST}/shop/web"),
        (f"{ACCOUNT}.dkr.ecr.*.amazonaws.com/shop/**", f"{HOST}/shop/web"),
        (f"{ACCOUNT}.dkr.ecr.*.amazonaws.com/**", f"{ACCOUNT}.dkr.ecr-fips.us-east-1.amazonaws.com/x"),
        (f"{HOST}/shop/**", f"{ACCOUNT}.dkr-ecr.eu-west-1.on.aws/shop/web"),
    ],
)
def test_a_registry_that_a_rule_spells_out_is_asked(glob: str, image: str) -> None:
    assert asks(glob, image)


@pytest.mark.parametrize(
    ("glob", "image"),
    [
        ("**", "ghcr.io/shop/web"),
        ("**", f"{HOST}/shop/web"),
        ("**/web", "evil.example/web"),
        ("*.example.com/**", "a.example.com/x"),
        ("gh*.io/**", "ghcr.io/x"),
        ("ghcr.io/**", "evil.example/ghcr.io/x"),
        ("ghcr.io/**", "ghcr.io.evil.example/x"),
        ("ghcr.io/**", "ghcr.io:8443/x"),
        ("ghcr.io/**", "nginx"),
        ("registry.example.com:5000/**", "registry.example.com/x"),
        ("*.dkr.ecr.eu-west-1.amazonaws.com/**", f"{HOST}/shop/web"),
        (f"{ACCOUNT}.dkr.ecr.*.amazonaws.com/**", "444455556666.dkr.ecr.eu-west-1.amazonaws.com/x"),
        (f"{ACCOUNT}.dkr.ecr.*.amazonaws.com/**", f"{ACCOUNT}.dkr.ecr.cn-north-1.amazonaws.com.cn/x"),
        (
            f"{ACCOUNT}.dkr.ecr.*.amazonaws.com/**",
            f"{ACCOUNT}.dkr.ecr.eu-west-1.amazonaws.com.evil.example/x",
        ),
        (f"{ACCOUNT}.dkr.ecr.*.amazonaws.com/**", f"{ACCOUNT}.dkr.ecr.evil.amazonaws.com/x"),
        (f"{ACCOUNT}.dkr.ecr.*.amazonaws.com/**", "ghcr.io/x"),
        ("ghcr.io/**", f"{HOST}/x"),
    ],
)
def test_no_other_registry_is_asked(glob: str, image: str) -> None:
    assert not asks(glob, image)


def test_any_rule_may_name_it_and_registries_too() -> None:
    assert asks(["**", "ghcr.io/shop/*"], "ghcr.io/other")
    assert asks("**", "ghcr.io/x", {"ghcr.io": {}})
    assert not asks("**", "quay.io/x", {"ghcr.io": {}})


@pytest.mark.parametrize(
    ("host", "image"),
    [
        ("ghcr.io", "ghcr.io/x"),
        ("ghcr.io", "ghcr.io:443/x"),
        ("docker.io", "nginx"),
        ("docker.io", "registry-1.docker.io/library/nginx"),
        ("public.ecr.aws", "ecr-public.aws.com/x/y"),
        ("registry.example.com:5000", "registry.example.com:5000/x"),
    ],
)
def test_how_a_registry_is_read_is_said_under_any_of_its_names(host: str, image: str) -> None:
    by = policy(registries={"other.example": {}, host: {"credentials": SECRET}})

    assert settings_of(by, Reference.parse(image)) == Registry(credentials=SECRET)
    assert may_ask(by, Reference.parse(image))


@pytest.mark.parametrize("image", ["quay.io/x", "ghcr.io:8443/x", f"{HOST}/x"])
def test_another_registry_gets_nobody_s_credentials(image: str) -> None:
    by = policy(registries={"ghcr.io": {"credentials": SECRET}})

    assert settings_of(by, Reference.parse(image)) is None

"""What tests of the console share: its settings, its secrets, and an OpenID provider."""

from collections.abc import Iterator

import pytest

from hooks.manual_approval.console import provider, secret
from tests.hooks.manual_approval.console import provider_process
from tests.hooks.manual_approval.console.surroundings import CLIENT_SECRET_ARN, COOKIE_SECRET_ARN, Secrets


@pytest.fixture
def secrets_kept(monkeypatch: pytest.MonkeyPatch) -> Iterator[Secrets]:
    """Secrets Manager as a dictionary, in a new execution environment."""
    kept = Secrets(
        {(COOKIE_SECRET_ARN, secret.CURRENT): "k" * 32, (CLIENT_SECRET_ARN, secret.CURRENT): "s3cret:+"}
    )
    monkeypatch.setattr(secret, "_read", kept.read)
    secret.forget()
    provider.forget()
    yield kept
    secret.forget()
    provider.forget()


@pytest.fixture(scope="session")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real OpenID provider, with a public client."""
    if reason := provider_process.missing():
        pytest.skip(reason)
    with provider_process.running(tmp_path_factory.mktemp("openid-provider")) as issuer:
        yield issuer

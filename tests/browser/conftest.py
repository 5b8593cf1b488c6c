"""A real browser, and a real OpenID provider to sign in at."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.browser import chromium as debian
from tests.browser.scenes import PEOPLE
from tests.hooks.manual_approval.console import provider_process

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="module")
def chromium() -> "Iterator[Browser]":
    """Chromium, for no longer than a module: other tests may need an event loop."""
    if reason := debian.missing():
        pytest.skip(reason)
    with debian.started() as browser:
        yield browser


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """npm's oidc-provider, in a process of its own."""
    if reason := provider_process.missing():
        pytest.skip(reason)
    people = [{"id": one.subject, "name": one.name, "groups": list(one.groups)} for one in PEOPLE]
    with provider_process.running(tmp_path_factory.mktemp("provider"), people=people) as issuer:
        yield issuer

"""A real OpenID provider in a process of its own: ``tests/browser/provider.mjs``, run by Node.

It needs ``npm ci`` in its folder. It ends with its block, or with whoever started it.
"""

import html
import json
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import requests

FOLDER = Path(__file__).parents[3] / "browser"

# crypto.hash, with which all oidc-provider 9 are made.
MIN_NODE = (20, 12)

# A redirect URI on loopback holds for all ports.
CLIENT = {"id": "console", "redirectUris": ["http://127.0.0.1/signed-in"]}

PEOPLE: Sequence[Mapping[str, Any]] = (
    {
        "id": "alice",
        "name": "Alice",
        "email": "alice@example.com",
        "email_verified": True,
        "groups": ["release-managers", "shop"],
    },
    {"id": "bob", "name": "Bob", "email": "bob@example.com", "email_verified": False, "groups": ["shop"]},
    {"id": "carol", "name": "Carol"},
)


def missing() -> str | None:
    """Say what keeps it from running here."""
    if shutil.which("node") is None:
        return "no Node on this machine, so no OpenID provider"
    version = subprocess.run(["node", "--version"], check=True, capture_output=True, text=True).stdout.strip()
    if tuple(int(part) for part in version.removeprefix("v").split(".")[:2]) < MIN_NODE:
        return f"no OpenID provider: Node {version} is older than {'.'.join(map(str, MIN_NODE))}"
    if not (FOLDER / "node_modules" / "oidc-provider").is_dir():
        return f"no OpenID provider: run npm ci in {'/'.join(FOLDER.parts[-2:])}"
    return None


@contextmanager
def running(
    folder: Path,
    *,
    clients: Sequence[Mapping[str, Any]] = (CLIENT,),
    people: Sequence[Mapping[str, Any]] = PEOPLE,
    claims_in_id_token: bool = False,
) -> Iterator[str]:
    """Run the provider; yield its issuer.

    Parameters
    ----------
    folder
        For its configuration.
    """
    configuration = folder / "openid-provider.json"
    configuration.write_text(
        json.dumps({"clients": clients, "people": people, "claimsInIdToken": claims_in_id_token})
    )
    process = subprocess.Popen(
        ["node", "provider.mjs", "--port", "0", "--config", str(configuration)],
        cwd=FOLDER,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdin
    assert process.stdout
    assert process.stderr
    # A pipe that nobody reads would stop it after a while.
    complaints: list[str] = []
    reader = threading.Thread(target=complaints.extend, args=[process.stderr], daemon=True)
    reader.start()
    try:
        yield _issuer(process.stdout, complaints, reader)
    finally:
        process.stdin.close()
        process.wait(timeout=10)
        reader.join(timeout=10)
        process.stdout.close()
        process.stderr.close()


def _issuer(output: IO[str], complaints: Sequence[str], reader: threading.Thread) -> str:
    line = output.readline()
    if not line:
        reader.join(timeout=10)
        raise RuntimeError(f"the OpenID provider did not start: {''.join(complaints)[-2000:]}")
    issuer = json.loads(line)["issuer"]
    assert isinstance(issuer, str)
    return issuer


def sign_in_as(person: str, authorization_url: str) -> str:
    """Do what a person does in their browser; return the address that the provider sends them to.

    Parameters
    ----------
    person
        Their id; empty for somebody who changes their mind.
    """
    with requests.Session() as browser:
        form = browser.get(authorization_url, timeout=10)
        form.raise_for_status()
        found = re.search(r'<form method="post" action="([^"]+)"', form.text)
        assert found, form.text
        origin = "/".join(form.url.split("/")[:3])
        answer = browser.post(
            origin + html.unescape(found[1]), data={"person": person}, allow_redirects=False, timeout=10
        )
        # Through the provider's own pages, up to the address of the client's.
        while (address := answer.headers["Location"]).startswith((origin, "/")):
            answer = browser.get(requests.compat.urljoin(origin, address), allow_redirects=False, timeout=10)
    return address

"""What a tag leads to: the digest of an image's index, and of its image for each platform.

The protocol is https://github.com/opencontainers/distribution-spec/blob/main/spec.md, spoken without
credentials, as it can be for public images. Digests are computed of what came, not believed.
"""

import hashlib
import json
import re
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

from examples.contract_probe.evidence import Image

MAX_BYTES = 4 * 1024 * 1024
"""The specification asks registries to take manifests up to this size, and clients can stop there."""

TIMEOUT_SECONDS = 20

_REFERENCE = re.compile(r"(?P<host>[a-z0-9.-]+\.[a-z]+)/(?P<repository>[a-z0-9._/-]+):(?P<tag>[\w.-]{1,128})")
_CHALLENGE = re.compile(r'(?P<key>realm|service|scope)="(?P<value>[^"]*)"')
_INDEXES = (
    "application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.list.v2+json"
)

Fetch = Callable[[str, Mapping[str, str]], tuple[int, Mapping[str, str], bytes]]
"""Get an address with headers: status, headers and body; raises ``OSError`` where nobody answers."""


def digests(reference: str, fetch: Fetch | None = None) -> Image | None:
    """Return what a reference leads to now; ``None`` where it can't be read, or is for one platform only."""
    parts = _REFERENCE.fullmatch(reference)
    if parts is None:
        return None
    get = fetch or _get
    address = f"https://{parts['host']}/v2/{parts['repository']}/manifests/{parts['tag']}"
    headers = {"Accept": _INDEXES}
    try:
        status, answered, body = get(address, headers)
        if status == 401 and (token := _token(parts["host"], answered, get)):
            status, answered, body = get(address, {**headers, "Authorization": f"Bearer {token}"})
        index = json.loads(body) if status == 200 else None
    except (OSError, ValueError):
        return None
    found = _platforms(index)
    return Image(reference=reference, index=_sha256(body), platforms=found) if found else None


def _token(host: str, headers: Mapping[str, str], get: Fetch) -> str | None:
    challenge = next((value for name, value in headers.items() if name.lower() == "www-authenticate"), "")
    parts = {match["key"]: match["value"] for match in _CHALLENGE.finditer(challenge)}
    realm = urlsplit(parts.pop("realm", ""))
    # A registry could send us anywhere otherwise.
    if realm.scheme != "https" or realm.hostname != host:
        return None
    status, _, body = get(f"{realm.geturl()}?{urlencode(parts)}", {})
    answer = json.loads(body) if status == 200 else None
    token = answer.get("token") if isinstance(answer, dict) else None
    return token if isinstance(token, str) and re.fullmatch(r"[\x21-\x7e]+", token) else None


def _platforms(index: Any) -> dict[str, str]:
    manifests = index.get("manifests") if isinstance(index, dict) else None
    found = {}
    for entry in manifests if isinstance(manifests, list) else ():
        platform = entry.get("platform") if isinstance(entry, dict) else None
        # Attestations stand in the index as images for no platform.
        if isinstance(platform, dict) and platform.get("os") == "linux":
            names = [str(platform.get(key)) for key in ("architecture", "variant") if platform.get(key)]
            found["/".join(names)] = str(entry.get("digest"))
    return found


def _sha256(body: bytes) -> str:
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


def _get(address: str, headers: Mapping[str, str]) -> tuple[int, Mapping[str, str], bytes]:
    request = urllib.request.Request(address, headers=dict(headers))  # noqa: S310  # https, see above
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310  # as above
            return answer.status, dict(answer.headers), answer.read(MAX_BYTES)
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers), b""

"""The way to sites that have an address and no socket, for ``requests`` in this very process.

A rehearsal's addresses are the same in every run, whatever ports are free: who signed in somewhere is named
by that address, and so are decisions.
"""

import contextlib
import io
from collections.abc import Iterator, Mapping
from typing import Any
from unittest import mock
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import BaseAdapter, HTTPAdapter

from rehearsal.console.web import Answer, Request, Response

Sites = Mapping[str, Answer]
"""By origin: ``https://login.example.org``."""


def ask(sites: Sites, url: str, request: Request) -> Response:
    """Have the site of a URL answer; raises ``LookupError`` where there is none."""
    return sites[origin_of(url)](request)


def origin_of(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


@contextlib.contextmanager
def wired(sites: Sites) -> Iterator[None]:
    """Have ``requests`` reach these sites in the block; all others as before."""
    adapter_of = requests.Session.get_adapter

    def get_adapter(session: requests.Session, url: str) -> BaseAdapter:
        return _Adapter(sites) if origin_of(url) in sites else adapter_of(session, url)

    with mock.patch.object(requests.Session, "get_adapter", get_adapter):
        yield


class _Adapter(BaseAdapter):
    """Hands a request over, and the response back, as if both had travelled."""

    def __init__(self, sites: Sites) -> None:
        super().__init__()
        self._sites = sites

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        url = str(request.url)
        body: Any = request.body or b""
        parts = urlsplit(url)
        answered = ask(
            self._sites,
            url,
            Request(
                method=str(request.method),
                target=f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}",
                headers=(("Host", parts.netloc), *((str(k), str(v)) for k, v in request.headers.items())),
                body=body.encode() if isinstance(body, str) else bytes(body),
            ),
        )
        raw = urllib3.HTTPResponse(
            io.BytesIO(answered.body),
            headers=urllib3.HTTPHeaderDict(answered.headers),
            status=answered.status,
            preload_content=False,
            request_method=request.method,
        )
        return HTTPAdapter().build_response(request, raw)

    def close(self) -> None:
        """Do nothing: nothing is open."""

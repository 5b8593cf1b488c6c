"""Visits to a console that is open, by a browser that has sockets."""

import contextlib
import http.client
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from rehearsal.console.browser import Browser, Page
from rehearsal.console.demo import RunningConsole, Scene
from rehearsal.console.web import Answer, Request, Response
from rehearsal.scenario import Scenario

NO_TIME = {"scaleUp": "1s", "cleanUp": "0s"}
APPROVAL = {
    "hook": "manual_approval",
    "stages": ["POST_TEST_TRAFFIC_SHIFT"],
    "hookDetails": {"pollFirstSeconds": 1, "pollSeconds": 1, "pollLateSeconds": 1},
}


def scene(service: str, *hooks: dict[str, Any], **more: Any) -> Scene:
    scenario = Scenario.model_validate(
        {
            "service": {
                "name": service,
                **NO_TIME,
                "images": {"app": [f"shop/{service}:1", f"shop/{service}:2"]},
            },
            "strategy": {"bakeTimeInMinutes": 0},
            "hooks": hooks,
            "expect": {"status": "SUCCESSFUL"},
            **more,
        }
    )
    return Scene(scenario=scenario, began=(timedelta(minutes=2),), again_after=timedelta(seconds=0.1))


def over_http(origin: str) -> Answer:
    """Return a site that is asked by a socket."""

    def answer(request: Request) -> Response:
        with contextlib.closing(http.client.HTTPConnection(urlsplit(origin).netloc)) as connection:
            connection.putrequest(request.method, request.target, skip_host=True)
            for name, value in request.headers:
                connection.putheader(name, value)
            connection.endheaders(request.body)
            response = connection.getresponse()
            return Response(
                status=response.status, headers=tuple(response.headers.items()), body=response.read()
            )

    return answer


def signed_in(running: RunningConsole, person: str, path: str = "/") -> Page:
    sites = {origin: over_http(origin) for origin in (running.url, running.issuer)}
    page = Browser(sites).open(f"{running.url}{path}")
    return page.follow("/sign-in").submit("/authorize", {}, press=("person", person))


def request_path(running: RunningConsole, service: str, part: str = "") -> str:
    return f"/requests/{service}/{running.deployment(service).arn.id}{part}"


def approve(page: Page) -> str:
    return page.submit("/answer", {}, press=("answer", "approve")).alert

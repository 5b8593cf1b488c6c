"""Every route of the console against its description, docs/schema/approval_console.openapi.yaml.

Whatever schemathesis makes up for a route, fitting or not, signed out or in, and behind the token of the
form: the answer is one that is described, and never a failure of the console.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hooks.manual_approval.console.handler import app
from hooks.manual_approval.console.security_headers import security_headers
from rehearsal.console import gateway
from rehearsal.console.site import URL
from rehearsal.console.web import Request, Response
from rehearsal.console.wire import wired
from tests.browser.scenes import PATIENT, paused, waiting
from tests.browser.standstill import SESSION, Standstill, standstill

if TYPE_CHECKING:
    from schemathesis import Case
    from schemathesis.specs.openapi.schemas import OpenApiSchema

DOCUMENT = Path("docs/schema/approval_console.openapi.yaml")
METHODS = {"get", "head", "post", "put", "patch", "delete", "options", "trace"}

EXAMPLES = 14
FIELDS = {"answer", "comment", "expires_at", "part"}


def described() -> list[tuple[str, str]]:
    paths = yaml.safe_load(DOCUMENT.read_text("utf-8"))["paths"]
    return [(method.upper(), path) for path, item in paths.items() for method in item if method in METHODS]


def test_the_routes_are_those_that_are_described() -> None:
    routes = [*app._static_routes, *app._dynamic_routes]
    written = {
        (method, route.path.replace("<", "{").replace(">", "}"))
        for route in routes
        for method in ([route.method] if isinstance(route.method, str) else route.method)
    }
    assert written == set(described())


@pytest.fixture(scope="module")
def still() -> Iterator[Standstill]:
    with standstill(waiting("checkout", **PATIENT), paused("streaming")) as still:
        for person in PEOPLE:
            if person:
                still.cookie(person)
        yield still


@pytest.fixture(scope="module")
def schema() -> "OpenApiSchema":
    # Only here: it takes longer to load than most tests to run.
    import schemathesis

    return schemathesis.openapi.from_path(DOCUMENT)


PEOPLE = ("", "carol", "alice")


@pytest.mark.parametrize("person", PEOPLE)
@pytest.mark.parametrize(("method", "path"), described())
def test_every_answer_is_one_that_is_described(
    still: Standstill, schema: "OpenApiSchema", method: str, path: str, person: str
) -> None:
    from schemathesis import GenerationMode
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi import checks

    operation = schema[path][method]
    cases = st.one_of([operation.as_strategy(generation_mode=mode) for mode in GenerationMode])

    @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(case=cases, is_real=st.booleans())
    def send(case: "Case[Any]", *, is_real: bool) -> None:
        if is_real:
            make_real(still, case, person)
        with still.rehearsal.cloud.recording() as calls:
            response = case.call(base_url=URL, **sent_by(still, person))
        case.validate_response(
            response,
            checks=[
                not_a_server_error,
                checks.status_code_conformance,
                checks.content_type_conformance,
                checks.response_headers_conformance,
                has_security_headers,
            ],
        )
        if method == "GET":
            assert all(
                call.action.partition(":")[2].startswith(("Get", "List", "Describe")) for call in calls
            )
        elif response.status_code == 303:
            begin_anew(still)

    def console(request: Request) -> Response:
        return gateway.answer(still.worlds["checkout"].invoke_console, request)

    with wired({URL: console}):
        send()


def has_security_headers(_context: object, response: Any, _case: "Case[Any]") -> None:
    is_static = response.request.path_url.partition("?")[0] in {"/style.css", "/icon.svg"}
    for name, value in security_headers(URL, static=is_static).items():
        assert response.headers[name.lower()] == [value]


def sent_by(still: Standstill, person: str) -> dict[str, Any]:
    headers = {"Origin": URL}
    return {"headers": headers | ({"Cookie": f"{SESSION}={still.cookie(person)}"} if person else {})}


def make_real(still: Standstill, case: "Case[Any]", person: str) -> None:
    """Have a request be about something that is there, with the token that its form has."""
    service = "streaming" if "{part}" in case.operation.path else "checkout"
    arn = still.deployment(service).arn
    if case.path_parameters and "cluster" in case.path_parameters:
        real = {"cluster": arn.cluster, "service": arn.service, "deployment": arn.id}
        part = {"part": still.pause(service)} if service == "streaming" else {}
        case.path_parameters = {**case.path_parameters, **real, **part}
    if person and isinstance(case.body, dict):
        path = case.operation.path.format(**case.path_parameters)
        given = {name: value for name, value in case.body.items() if name in FIELDS}
        case.body = {**given, "seen": "1", "csrf": still.csrf(person, path)}


def begin_anew(still: Standstill) -> None:
    """Have something to decide again."""
    for service in still.worlds:
        still.pass_time(120)
        if still.deployment(service).status.ended:
            still.worlds[service].deploy()
    still.pass_time(120)

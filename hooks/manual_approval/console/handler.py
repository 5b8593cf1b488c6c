"""The console's Lambda: an HTTP API's request in, a page or a redirect out.

::

    GET  /                                                    what waits for a decision
    GET  /history, /history/DAY                               what was decided
    GET  /requests/CLUSTER/SERVICE/DEPLOYMENT[/PART]          one request
    POST /requests/CLUSTER/SERVICE/DEPLOYMENT[/PART]/answer   approve, reject, put off
    POST /deployments/CLUSTER/SERVICE/DEPLOYMENT/stop         stop and roll back
    GET  /sign-in, /signed-in                                 to the OpenID provider, and back
    POST /sign-out
    GET  /style.css, /icon.svg

GET changes nothing. A POST has to come from a form of ours: same origin, and a token of this sign-in and this
form. What somebody may not see is answered as if it were not there.
"""

import contextlib
import os
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from http import HTTPStatus
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.event_handler.api_gateway import APIGatewayHttpResolver, Response

from hooks.manual_approval.approvers import Person
from hooks.manual_approval.console import pages
from hooks.manual_approval.console.access import Access
from hooks.manual_approval.console.choices import choices
from hooks.manual_approval.console.cookies import Session, csrf_holds, csrf_token, session_of, sign_out
from hooks.manual_approval.console.dossier import is_waiting, read_dossier
from hooks.manual_approval.console.history import read_history
from hooks.manual_approval.console.overview import read_overview
from hooks.manual_approval.console.security_headers import is_same_origin, security_headers
from hooks.manual_approval.console.settings import ConsoleSettings
from hooks.manual_approval.console.sign_in import SignInRefused, finish_sign_in, return_path, start_sign_in
from hooks.manual_approval.console.views import Dossier, Viewer
from hooks.manual_approval.continuation import carry_out, stop
from hooks.manual_approval.parameter_store import own_identity
from hooks.manual_approval.proceeding import (
    Askers,
    NotAsked,
    NotPossible,
    Proceeding,
    answer,
    read_proceeding,
)
from hooks.manual_approval.request import MAX_COMMENT_CHARACTERS, Kind, is_part
from shared import clock, cold_start
from shared.errors import HookError, Misconfigured, Transient
from shared.lifecycle import ServiceDeploymentArn

# A form of ours has a few short fields and a comment.
MAX_FORM_BYTES = 16 * 1024
MAX_FORM_FIELDS = 20
FORM_TYPE = "application/x-www-form-urlencoded"

RETRY_SECONDS = 5

ANSWERS = {"approve": Kind.APPROVED, "reject": Kind.REJECTED, "extend": Kind.EXTENDED}

logger = Logger(service="ecs-lifecycle-hooks", log_uncaught_exceptions=False)
app = APIGatewayHttpResolver()


class Refused(Exception):
    """The request is answered with a page that says why, and with this status."""

    def __init__(self, status: HTTPStatus, title: str, text: str, cookies: tuple[str, ...] = ()) -> None:
        super().__init__(text)
        self.status = status
        self.title = title
        self.text = text
        self.cookies = cookies


class SignedOut(Exception):
    """Nobody is signed in."""


@dataclass(frozen=True, slots=True)
class Visit:
    """One request of somebody who is signed in."""

    settings: ConsoleSettings
    session: Session
    now: datetime

    @property
    def access(self) -> Access:
        session = self.session
        return Access(self.settings.access, session.issuer, session.subject, session.groups)

    @property
    def viewer(self) -> Viewer:
        return Viewer(
            self.session.name or self.session.subject,
            self.access.identity,
            lambda path: csrf_token(self.settings, self.session, path, self.now),
        )

    @property
    def askers(self) -> Askers:
        return Askers(self.settings.hook_role, self.settings.pause_role or "")


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Answer one request of the HTTP API (payload format 2.0). Never raises."""
    return app.resolve(event, context)


@app.get("/")
def pending() -> Response[str]:
    visit = _visit()
    overview = read_overview(visit.settings.parameter_prefix, visit.askers, visit.now, visit.access.may_view)
    return _page(pages.overview_page(overview, visit.viewer, visit.now))


@app.get("/history")
def today() -> Response[str]:
    visit = _visit()
    return _history(visit, visit.now.date())


@app.get("/history/<day>")
def history(day: str) -> Response[str]:
    visit = _visit()
    try:
        return _history(visit, date.fromisoformat(day))
    except ValueError:
        raise _not_there() from None


def _history(visit: Visit, day: date) -> Response[str]:
    past = read_history(
        visit.settings.parameter_prefix,
        day,
        visit.access.may_view,
        visit.now,
        retention_days=visit.settings.retention_days,
    )
    return _page(pages.history_page(past, visit.viewer, visit.now))


@app.get("/requests/<cluster>/<service>/<deployment>")
def request(cluster: str, service: str, deployment: str) -> Response[str]:
    return _request(cluster, service, deployment, "")


@app.get("/requests/<cluster>/<service>/<deployment>/<part>")
def request_of_part(cluster: str, service: str, deployment: str, part: str) -> Response[str]:
    return _request(cluster, service, deployment, part)


def _request(cluster: str, service: str, deployment: str, part: str) -> Response[str]:
    visit = _visit()
    proceeding = _proceeding(visit, _arn(cluster, service, deployment), part)
    return _page(_drawn(visit, proceeding, done=_query().get("done", "")))


@app.post("/requests/<cluster>/<service>/<deployment>/answer")
def answer_request(cluster: str, service: str, deployment: str) -> Response[str]:
    return _answer(cluster, service, deployment, "")


@app.post("/requests/<cluster>/<service>/<deployment>/<part>/answer")
def answer_part(cluster: str, service: str, deployment: str, part: str) -> Response[str]:
    return _answer(cluster, service, deployment, part)


def _answer(cluster: str, service: str, deployment: str, part: str) -> Response[str]:
    visit = _visit()
    form = _form(visit)
    arn = _arn(cluster, service, deployment)
    proceeding = _proceeding(visit, arn, part)
    if not visit.access.may_decide(cluster, service):
        raise Refused(
            HTTPStatus.FORBIDDEN, "Not yours to decide", "You may see this service, and not decide."
        )
    try:
        after = _written(visit, proceeding, form)
    except NotPossible as error:
        problem = f"Nothing was changed: {error}"
        body = _drawn(visit, proceeding, problem=problem, comment=form.get("comment", ""))
        return _page(body, status=HTTPStatus.CONFLICT)
    try:
        carry_out(after)
    except HookError as error:
        # The answer stands, and the sweeper carries it out within minutes.
        logger.warning(f"{after.name}: decided, and ECS not told yet: {error}")
    return _redirect(f"{_path(arn, part)}?done={form['answer']}")


def _written(visit: Visit, proceeding: Proceeding, form: Mapping[str, str]) -> Proceeding:
    """Write an answer to the request that was shown, if it can still count; raises NotPossible if not."""
    kind = ANSWERS.get(form.get("answer", ""))
    if kind is None:
        raise Refused(
            HTTPStatus.BAD_REQUEST, "No answer", "The form says neither approve, reject nor extend."
        )
    if form.get("seen") != str(proceeding.asked.number):
        raise NotPossible("it was asked anew since this page was opened. Read it again before you decide.")
    if not is_waiting(proceeding):
        raise NotPossible("the deployment has moved on, and nobody waits for an answer any more.")
    arn = proceeding.deployment
    person = visit.access.person(arn.cluster, arn.service, visit.session.name)
    after = answer(
        proceeding,
        kind,
        comment=_comment(form),
        caller=own_identity(),
        askers=visit.askers,
        prefix=visit.settings.parameter_prefix,
        now=visit.now,
        person=person,
        expires_at=_moment(form.get("expires_at", "")) if kind is Kind.EXTENDED else None,
    )
    logger.info(
        "answered",
        extra={"request": proceeding.name, "answer": kind, "by": person.identity, "outcome": after.outcome},
    )
    return after


@app.post("/deployments/<cluster>/<service>/<deployment>/stop")
def stop_deployment(cluster: str, service: str, deployment: str) -> Response[str]:
    visit = _visit()
    form = _form(visit)
    arn = _arn(cluster, service, deployment)
    if not visit.access.may_view(cluster, service):
        raise _not_there()
    if not visit.access.may_decide(cluster, service):
        raise Refused(HTTPStatus.FORBIDDEN, "Not yours to stop", "You may see this service, and not decide.")
    if not stop(arn):
        raise Refused(HTTPStatus.CONFLICT, "Nothing to stop", "The deployment has ended already.")
    logger.warning(
        "stopped",
        extra={"deployment": str(arn), "by": visit.access.identity, "comment": _comment(form)},
    )
    return _redirect(f"{return_path(_path(arn, form.get('part', '')))}?done=stop")


@app.get("/sign-in")
def sign_in() -> Response[str]:
    going = start_sign_in(_settings(), _query().get("to"), clock.now())
    return _redirect(going.url, going.cookies)


@app.get("/signed-in")
def signed_in() -> Response[str]:
    event = app.current_event
    came = finish_sign_in(_settings(), event.raw_event.get("rawQueryString", ""), _cookies(), clock.now())
    logger.info("signed in", extra={"by": f"{came.session.issuer}#{came.session.subject}"})
    return _redirect(came.to, came.cookies)


@app.post("/sign-out")
def signed_out() -> Response[str]:
    visit = _visit()
    _form(visit)
    return _page(pages.signed_out_page("/"), cookies=sign_out(visit.settings))


@app.get("/style.css")
def style() -> Response[str]:
    return _static("text/css; charset=utf-8", pages.STYLE)


@app.get("/icon.svg")
def icon() -> Response[str]:
    return _static("image/svg+xml", pages.ICON)


@app.not_found
def not_found(_error: Exception) -> Response[str]:
    return _refusal(_not_there())


# Powertools leaves the type of this decorator out.
@app.exception_handler(SignedOut)  # type: ignore[untyped-decorator]
def ask_to_sign_in(_error: SignedOut) -> Response[str]:
    event = app.current_event
    to = event.path if event.http_method == "GET" else "/"
    return _page(pages.signed_out_page(return_path(to)), status=HTTPStatus.FORBIDDEN)


@app.exception_handler(Refused)  # type: ignore[untyped-decorator]
def refuse(refused: Refused) -> Response[str]:
    return _refusal(refused)


@app.exception_handler(SignInRefused)  # type: ignore[untyped-decorator]
def refuse_sign_in(refused: SignInRefused) -> Response[str]:
    logger.warning("sign-in refused", extra={"why": refused.reason})
    return _refusal(Refused(HTTPStatus.FORBIDDEN, "You are not signed in", str(refused), refused.cookies))


@app.exception_handler(HookError)  # type: ignore[untyped-decorator]
def fail(error: HookError) -> Response[str]:
    logger.error(f"not answered: {error}")
    if isinstance(error, Transient):
        text = "AWS or the OpenID provider does not answer right now. Try again in a moment."
        return _refusal(Refused(HTTPStatus.SERVICE_UNAVAILABLE, "Try again", text), retry=True)
    text = "The console is not set up as it has to be. Its log says what to mend."
    return _refusal(Refused(HTTPStatus.INTERNAL_SERVER_ERROR, "This does not work", text))


@app.exception_handler(Exception)  # type: ignore[untyped-decorator]
def break_down(error: Exception) -> Response[str]:
    logger.error("a defect in the console", exc_info=error)
    text = "There is a defect in the console; its log has it. The command line still works."
    return _refusal(Refused(HTTPStatus.INTERNAL_SERVER_ERROR, "This does not work", text))


def _settings() -> ConsoleSettings:
    return ConsoleSettings.read(os.environ)


def _visit() -> Visit:
    settings, now = _settings(), clock.now()
    session = session_of(settings, _cookies(), now)
    if session is None:
        raise SignedOut
    return Visit(settings, session, now)


def _cookies() -> list[str]:
    return list(app.current_event.raw_event.get("cookies") or ())


def _query() -> Mapping[str, str]:
    return app.current_event.query_string_parameters or {}


def _form(visit: Visit) -> dict[str, str]:
    """Return the fields of a form of ours; raises :class:`Refused` for any other."""
    event = app.current_event
    headers = event.headers or {}
    if not is_same_origin(headers, visit.settings.url):
        raise Refused(
            HTTPStatus.FORBIDDEN, "Not from here", "This was sent from another site. Nothing was changed."
        )
    kinds = [value for name, value in headers.items() if name.lower() == "content-type"]
    if len(kinds) != 1 or kinds[0].partition(";")[0].strip().lower() != FORM_TYPE:
        raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Not a form", f"Expected {FORM_TYPE}.")
    try:
        body = event.decoded_body or ""
        if len(body) > MAX_FORM_BYTES:
            raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "Too long", "The form is too long.")
        pairs = urllib.parse.parse_qsl(
            body, keep_blank_values=True, max_num_fields=MAX_FORM_FIELDS, errors="strict"
        )
    except ValueError:
        raise Refused(HTTPStatus.BAD_REQUEST, "Not a form", "The form can't be read.") from None
    form = dict(pairs)
    if len(form) < len(pairs):
        raise Refused(HTTPStatus.BAD_REQUEST, "Not a form", "A field stands there twice.")
    if not csrf_holds(visit.settings, visit.session, event.path, form.get("csrf", ""), visit.now):
        raise Refused(
            HTTPStatus.FORBIDDEN,
            "Open the page again",
            "This form is not of your present sign-in. Nothing was changed; open the page again.",
        )
    return form


def _comment(form: Mapping[str, str]) -> str:
    # Forms have CRLF between lines: https://url.spec.whatwg.org/#concept-urlencoded-serializer
    return "\n".join(form.get("comment", "").splitlines()).strip()[:MAX_COMMENT_CHARACTERS]


def _moment(text: str) -> datetime:
    try:
        moment = clock.parse_timestamp(text)
    except ValueError:
        raise Refused(HTTPStatus.BAD_REQUEST, "No time", "The form does not say until when.") from None
    return moment.astimezone(UTC)


def _arn(cluster: str, service: str, deployment: str) -> ServiceDeploymentArn:
    """Return the deployment of this account and Region with that name."""
    _, partition, _, _, account, *_ = own_identity().split(":")
    region = os.environ["AWS_REGION"]
    text = f"arn:{partition}:ecs:{region}:{account}:service-deployment/{cluster}/{service}/{deployment}"
    try:
        return ServiceDeploymentArn.parse(text)
    except Misconfigured:
        raise _not_there() from None


def _proceeding(visit: Visit, arn: ServiceDeploymentArn, part: str) -> Proceeding:
    if not visit.access.may_view(arn.cluster, arn.service) or not is_part(part):
        raise _not_there()
    try:
        return read_proceeding(visit.settings.parameter_prefix, arn, part, visit.askers, visit.now)
    except NotAsked:
        raise _not_there() from None


def _drawn(
    visit: Visit, proceeding: Proceeding, *, done: str = "", problem: str = "", comment: str = ""
) -> str:
    arn = proceeding.deployment
    dossier = read_dossier(proceeding, function=visit.settings.function, bucket=visit.settings.record_bucket)
    person = visit.access.person(arn.cluster, arn.service, visit.session.name)
    may_decide = visit.access.may_decide(arn.cluster, arn.service)
    chosen = choices(dossier, person, own_identity(), may_decide=may_decide, now=visit.now)
    notice = pages.NOTICES[done] if _is_so(done, dossier, person) else ""
    return pages.request_page(
        dossier, chosen, visit.viewer, visit.now, notice=notice, problem=problem, comment=comment
    )


def _is_so(done: str, dossier: Dossier, person: Person) -> bool:
    """Tell whether the viewer has done what the address says: anybody can make them follow a link."""
    if done == "stop":
        return dossier.deployment_status not in {"", "IN_PROGRESS"}
    return any(
        answer.who == person.identity and answer.what == ANSWERS.get(done) and not answer.objection
        for answer in dossier.answers
    )


def _path(arn: ServiceDeploymentArn, part: str) -> str:
    path = f"/requests/{arn.cluster}/{arn.service}/{arn.id}"
    return f"{path}/{part}" if part else path


def _not_there() -> Refused:
    return Refused(
        HTTPStatus.NOT_FOUND,
        "Nothing here",
        "There is no such page or request, or it is not yours to see. What is over is in the history.",
    )


def _refusal(refused: Refused, *, retry: bool = False) -> Response[str]:
    viewer = None
    with contextlib.suppress(SignedOut, HookError):
        viewer = _visit().viewer
    body = pages.error_page(refused.status, refused.title, refused.text, viewer)
    return _page(body, status=refused.status, cookies=refused.cookies, retry=retry)


def _page(
    body: str, *, status: HTTPStatus = HTTPStatus.OK, cookies: tuple[str, ...] = (), retry: bool = False
) -> Response[str]:
    headers = _headers()
    if retry:
        headers["Retry-After"] = str(RETRY_SECONDS)
    return _response(status, "text/html; charset=utf-8", body, headers, cookies)


def _redirect(to: str, cookies: tuple[str, ...] = ()) -> Response[str]:
    headers = {**_headers(), "Location": to}
    return _response(HTTPStatus.SEE_OTHER, "text/plain; charset=utf-8", "", headers, cookies)


def _static(kind: str, body: str) -> Response[str]:
    return _response(HTTPStatus.OK, kind, body, _headers(static=True), ())


def _headers(*, static: bool = False) -> dict[str, str]:
    try:
        url = _settings().url
    except Misconfigured:
        url = "https:"
    return security_headers(url, static=static)


def _response(
    status: HTTPStatus, kind: str, body: str, headers: dict[str, str], cookies: tuple[str, ...]
) -> Response[str]:
    # Whole values of Set-Cookie: all that Powertools asks of a cookie is its text.
    return Response(status, kind, body, headers, list(cookies))  # type: ignore[arg-type]


cold_start.imported()

"""The door in front of moto that every request of a rehearsal goes through.

::

    request ─▶ faults ─▶ IAM (when enforced) ─▶ an operation of ours ─▶ faults ─▶ answer
                 │            │                        └─ none ─▶ moto ─┘ │
                 └─ fails     └─ denied                                   └─ the answer is lost

The same door stands in process (it takes the place of moto's stub under boto3) and behind the HTTP
endpoint, so both see one AWS.
"""

import io
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus
from typing import Any

import urllib3
from botocore.awsrequest import AWSPreparedRequest
from moto.core.botocore_stubber import BotocoreStubber
from moto.core.exceptions import ServiceException

from rehearsal.aws import policy
from rehearsal.aws.call import AwsError, Call, Headers, JsonObject, Response
from rehearsal.aws.ecr import LAYERS, asker_of
from rehearsal.aws.faults import Faults
from rehearsal.aws.identities import Identities
from rehearsal.aws.resources import context_of, permissions_of

Operation = Callable[[Call], JsonObject | None]


@dataclass(frozen=True, slots=True)
class RecordedCall:
    """One action on one resource by one identity, as IAM saw it."""

    identity: str
    """ARN of the caller."""
    action: str
    resource: str
    allowed: bool


# AWS answers a denied call under a different name in nearly each of its older services.
_DENIALS: Mapping[str, tuple[str, int]] = {
    "cloudwatch": ("AccessDenied", 403),
    "iam": ("AccessDenied", 403),
    "s3": ("AccessDenied", 403),
    "signer": ("AccessDeniedException", 403),
    "sns": ("AuthorizationError", 403),
    "sqs": ("AccessDenied", 403),
    "sts": ("AccessDenied", 403),
}
_UNKNOWN_KEYS: Mapping[str, tuple[str, int]] = {
    "json": ("UnrecognizedClientException", 400),
    "query": ("InvalidClientTokenId", 403),
    "rest": ("UnrecognizedClientException", 403),
    "s3": ("InvalidAccessKeyId", 403),
}
# https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html: never denied.
_ALWAYS_ALLOWED = {"sts:GetCallerIdentity"}


class Door:
    """Lets calls in, or answers them itself."""

    def __init__(
        self,
        account: str,
        identities: Identities,
        operations: Mapping[str, Operation],
        lock: threading.RLock,
        download: Callable[[str], Response | None],
    ) -> None:
        self._account = account
        self._identities = identities
        self._operations = operations
        self._download = download
        self._recordings: list[list[RecordedCall]] = []
        self._enforcing = 0
        self.faults = Faults()
        self.lock = lock
        """Held while an API works: moto is not made for two requests at once."""
        self.defects: list[Exception] = []
        """Errors of the rehearsal itself while it answered; empty after a run that can be trusted."""

    def read(self, method: str, url: str, headers: Headers, body: object) -> Call | None:
        """Read a request; ``None`` for one that only moto can make sense of."""
        return Call.read(method, url, headers, body, self._account)

    def admit(self, call: Call) -> Response | None:
        """Answer a call, or return ``None`` to leave it to moto.

        Raises
        ------
        Exception
            What an injected fault does to the connection, or a defect of the rehearsal.
        """
        try:
            if self.faults:
                self.faults.strike(call, self._identities.caller(call.access_key))
            if self._enforcing or self._recordings:
                self._authorize(call)
            operation = self._operations.get(f"{call.service}:{call.operation}")
            if operation is None:
                return None
            with self.lock:
                result = self._run(operation, call)
            return None if result is None else call.answer(result)
        except AwsError as error:
            return call.refuse(error)

    def download(self, method: str, url: str) -> Response | None:
        """Answer a request for the pre-signed address of an image's layer; ``None`` for any other.

        Whoever has the address may have the layer. It is S3 that answers: faults strike it as an
        ``s3:GetObject`` of whoever asked ECR for the address.
        """
        if method != "GET" or LAYERS not in url:
            return None
        call = Call.of_object(url, asker_of(url), self._account)
        try:
            if self.faults:
                self.faults.strike(call, self._identities.caller(call.access_key))
            with self.lock:
                answer = self._download(url)
            if answer is not None:
                answer = self.dismiss(call, answer)
        except AwsError as error:
            return call.refuse(error)
        return answer

    def dismiss(self, call: Call, answer: Response) -> Response:
        """Return the answer to a call, or another in its place. Raises as :meth:`admit`."""
        if not self.faults:
            return answer
        identity = self._identities.caller(call.access_key)
        try:
            if answer[0] < HTTPStatus.BAD_REQUEST:
                self.faults.strike(call, identity, after=True)
        except AwsError as error:
            return call.refuse(error)
        return self.faults.altered(call, identity, answer)

    def _run(self, operation: Operation, call: Call) -> JsonObject | None:
        try:
            return operation(call)
        except AwsError:
            raise
        except ServiceException as error:
            raise AwsError(error.code, error.message) from error
        except Exception as error:
            self.defects.append(error)
            raise

    @contextmanager
    def enforcing(self) -> Iterator[None]:
        """Check every call in the block against its caller's policies."""
        self._enforcing += 1
        try:
            yield
        finally:
            self._enforcing -= 1

    @contextmanager
    def recording(self) -> Iterator[list[RecordedCall]]:
        """Collect what is called in the block, denied calls included."""
        calls: list[RecordedCall] = []
        self._recordings.append(calls)
        try:
            yield calls
        finally:
            # By identity: two recordings of the same calls are equal lists.
            self._recordings = [kept for kept in self._recordings if kept is not calls]

    def forget(self) -> None:
        """Drop faults and defects."""
        self.faults.clear()
        self.defects.clear()

    def _authorize(self, call: Call) -> None:
        with self.lock:
            identity = self._identities.caller(call.access_key)
            policies = self._identities.policies(call.access_key) if self._enforcing else []
            permissions = permissions_of(call)
        if policies is None:
            code, status = _UNKNOWN_KEYS[call.protocol]
            raise AwsError(code, "The security token included in the request is invalid.", status)
        context = context_of(call, identity)
        for action, resource in permissions:
            verdict = policy.Verdict(allowed=True)
            if self._enforcing and action not in _ALWAYS_ALLOWED:
                verdict = policy.evaluate(policies, policy.Request(action, resource, context))
            for calls in self._recordings:
                calls.append(RecordedCall(identity, action, resource, verdict.allowed))
            if not verdict.allowed:
                code, status = _DENIALS.get(call.service, ("AccessDeniedException", 400))
                raise AwsError(
                    code,
                    f"User: {identity} is not authorized to perform: {action} on resource: {resource} "
                    f"{verdict.because}",
                    status,
                )


class InProcess:
    """The door in the place of moto's stub: requests of boto3 never leave the process."""

    def __init__(self, door: Door, stub: BotocoreStubber) -> None:
        self._door = door
        self._moto = stub.process_request

    def __call__(self, request: AWSPreparedRequest) -> Response | None:
        """Answer a prepared request; ``None`` for one that is not addressed to AWS."""
        url = str(request.url)
        call = None
        if ".amazonaws.com" in url:
            if layer := self._door.download(str(request.method), url):
                return _dated(layer)
            call = self._door.read(str(request.method), url, request.headers, request.body)
        answer = self._door.admit(call) if call else None
        if answer is None:
            with self._door.lock:
                answer = self._moto(request)
        if answer is None:
            return None
        return _dated(self._door.dismiss(call, answer) if call else answer)


class Urllib3:
    """The door in the place of a pool of urllib3, for what hooks fetch without boto3: layers of images.

    Requests of boto3 and of ``requests`` are stubbed by moto; whatever else urllib3 sends goes out.
    """

    def __init__(self, door: Door) -> None:
        self._door = door
        self._urlopen = urllib3.PoolManager.urlopen

    def urlopen(
        self, pool: urllib3.PoolManager, method: str, url: str, *arguments: Any, **keywords: Any
    ) -> urllib3.BaseHTTPResponse:
        """Answer as ``PoolManager.urlopen`` does."""
        try:
            # Whatever is at another address is somebody's server, maybe this AWS's own.
            layer = self._door.download(method, url) if ".amazonaws.com" in url else None
        except Exception as error:
            if any(error is defect for defect in self._door.defects):
                raise
            # What is injected is botocore's, or whatever a fault makes up.
            raise urllib3.exceptions.ProtocolError("Connection aborted.", error) from error
        if layer is None:
            return self._urlopen(pool, method, url, *arguments, **keywords)
        status, headers, body = _dated(layer)
        return urllib3.HTTPResponse(
            io.BytesIO(body.encode() if isinstance(body, str) else body),
            headers={**headers, "Content-Length": str(len(body))},
            status=status,
            preload_content=keywords.get("preload_content", True),
            decode_content=keywords.get("decode_content", True),
            request_method=method,
            request_url=url,
        )


def _dated(answer: Response) -> Response:
    """Say when an answer was given, as AWS does in each; over HTTP the server says it."""
    status, headers, body = answer
    # Through the clock at each call: a rehearsal moves it. moto dates most of its own, in this spelling.
    return status, {"date": formatdate(usegmt=True), **dict(headers)}, body

"""What can go wrong in a hook, in three kinds, and how AWS's errors become one of them.

::

    HookError
    ├── Transient       throttled, 5xx, timed out, not there yet  → wait, then the hook's stated verdict
    ├── Misconfigured   bad settings, no permission, no resource  → refuse at once
    └── Untrusted       judged and found wanting                  → refuse

Everything else that is raised is a defect of ours, and is answered with a refusal as well.
"""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, NoCredentialsError
from botocore.exceptions import ConnectionError as AwsConnectionError
from botocore.parsers import ResponseParserError


class HookError(Exception):
    """Base of all errors that a hook answers on purpose. Its text is one sentence for a person."""


class Transient(HookError):
    """Asking again may help."""


class Misconfigured(HookError):
    """Asking again can't help; the text names the key, the resource or the IAM action to mend."""


class Untrusted(HookError):
    """The hook has judged, and the answer is no."""


# https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html, "which errors are retried",
# and what Parameter Store and Lambda-issued credentials add to it.
_TRANSIENT_CODES = frozenset(
    {
        "BandwidthLimitExceeded",
        "EC2ThrottledException",
        "ExpiredToken",
        "ExpiredTokenException",
        "InternalError",
        "InternalFailure",
        "InternalServerError",
        "LimitExceededException",
        "PriorRequestNotComplete",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "RequestTimeout",
        "RequestTimeoutException",
        "ServerException",
        "ServiceUnavailable",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "ThrottledException",
        "TooManyRequestsException",
        "TooManyUpdates",
        "TransactionInProgressException",
    }
)
_DENIED_CODES = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "AuthorizationError",
        "AuthorizationErrorException",
        "InvalidClientTokenId",
        "UnauthorizedOperation",
        "UnrecognizedClientException",
    }
)


@contextlib.contextmanager
def translated(action: str, resource: object) -> Iterator[None]:
    """Turn botocore's errors in the block into the tree above.

    Parameters
    ----------
    action
        The IAM action of the call, such as ``"ssm:GetParameter"``: it is what a missing permission names.
    resource
        What the call is about, for the message.
    """
    try:
        yield
    except ClientError as error:
        raise _from_client_error(error, action, resource) from error
    except NoCredentialsError as error:
        raise Misconfigured(f"{action} on {resource}: the function has no credentials") from error
    except (AwsConnectionError, HTTPClientError) as error:
        raise Transient(f"{action} on {resource}: {type(error).__name__}") from error
    except ResponseParserError as error:
        raise Transient(f"{action} on {resource}: the answer can't be read") from error
    except BotoCoreError as error:
        raise Misconfigured(f"{action} on {resource}: {error}") from error


def code_of(error: ClientError) -> str:
    """Return the error code AWS sent, such as ``"ParameterNotFound"``."""
    return str(error.response.get("Error", {}).get("Code", ""))


def _from_client_error(error: ClientError, action: str, resource: object) -> HookError:
    code = code_of(error)
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code in _TRANSIENT_CODES or status >= 500 or status == 429:
        return Transient(f"{action} on {resource}: {code or status}")
    if code in _DENIED_CODES:
        return Misconfigured(
            f"the function's role may not {action} on {resource}; add it to the role's policy"
        )
    message = error.response.get("Error", {}).get("Message", "")
    return Misconfigured(f"{action} on {resource}: {code}: {shown(message)}")


def shown(value: object, limit: int = 120) -> str:
    """Show a value that came from outside in a message: one line, quoted, cut to *limit* characters."""
    if isinstance(value, str):
        text = repr(value[:limit])
    elif isinstance(value, Mapping | list | tuple) and value:
        # Its contents may be huge or nested; its kind is what the reader needs.
        text = f"{'an object' if isinstance(value, Mapping) else 'an array'} of {len(value)}"
    elif isinstance(value, int) and value.bit_length() > 1000:
        # repr refuses integers of more than 4300 digits, and nobody reads one of 300.
        text = f"an integer of {value.bit_length()} bits"
    else:
        text = repr(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"


JsonObject = dict[str, Any]
"""A JSON object on its way in or out; never past the edge."""

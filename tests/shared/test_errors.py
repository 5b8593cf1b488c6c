import pytest
from botocore.exceptions import (
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
    NoCredentialsError,
    NoRegionError,
    ParamValidationError,
    ReadTimeoutError,
)
from botocore.parsers import ResponseParserError

from shared.errors import HookError, Misconfigured, Transient, Untrusted, code_of, shown, translated

NAME = "/ecs-approvals/shop/checkout/one"
URL = "https://ssm.us-east-1.amazonaws.com"


def client_error(code: str, status: int = 400, message: str = "as AWS says it") -> ClientError:
    return ClientError(
        {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}},  # type: ignore[typeddict-item]
        "GetParameter",
    )


def kind_of(error: BaseException) -> tuple[type[BaseException], str]:
    with pytest.raises(HookError) as caught, translated("ssm:GetParameter", NAME):
        raise error
    assert caught.value.__cause__ is error
    return caught.type, str(caught.value)


@pytest.mark.parametrize(
    "error",
    [
        client_error("ThrottlingException"),
        client_error("Throttling", 400),
        client_error("TooManyUpdates"),
        client_error("RequestTimeout"),
        client_error("ExpiredTokenException"),
        client_error("InternalServerError", 500),
        client_error("SomethingNew", 503),
        client_error("SomethingNew", 429),
        client_error("", 502),
        EndpointConnectionError(endpoint_url=URL),
        ConnectTimeoutError(endpoint_url=URL),
        ReadTimeoutError(endpoint_url=URL),
        HTTPClientError(error="reset by peer"),
        ResponseParserError("Unable to parse response"),
    ],
    ids=repr,
)
def test_what_may_pass_by_itself_is_transient(error: Exception) -> None:
    kind, text = kind_of(error)

    assert kind is Transient
    assert text.startswith(f"ssm:GetParameter on {NAME}: ")


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (
            client_error(code, status),
            f"the function's role may not ssm:GetParameter on {NAME}; add it to the role's policy",
        )
        for code, status in (
            ("AccessDeniedException", 400),
            ("AccessDenied", 403),
            ("AuthorizationError", 403),
            ("UnauthorizedOperation", 403),
            ("UnrecognizedClientException", 400),
        )
    ]
    + [
        (
            client_error("ValidationException", message="too long"),
            f"ssm:GetParameter on {NAME}: ValidationException: 'too long'",
        ),
        (NoCredentialsError(), f"ssm:GetParameter on {NAME}: the function has no credentials"),
        (NoRegionError(), f"ssm:GetParameter on {NAME}: You must specify a region."),
        (
            ParamValidationError(report="Name: wrong"),
            f"ssm:GetParameter on {NAME}: Parameter validation failed:\nName: wrong",
        ),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_what_a_person_must_mend_names_action_and_resource(error: Exception, text: str) -> None:
    assert kind_of(error) == (Misconfigured, text)


def test_a_denial_answered_with_a_server_error_is_waited_out() -> None:
    assert kind_of(client_error("AccessDeniedException", 503))[0] is Transient


def test_errors_of_ours_and_of_python_pass_untouched() -> None:
    for error in (Untrusted("no"), Transient("later"), KeyError("x"), SystemExit(1)):
        with pytest.raises(type(error)) as caught, translated("ssm:GetParameter", NAME):
            raise error
        assert caught.value is error


def test_the_code_of_an_error_is_aws_own_word() -> None:
    assert code_of(client_error("ParameterNotFound")) == "ParameterNotFound"
    assert code_of(ClientError({}, "GetParameter")) == ""


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "None"),
        (3, "3"),
        ("", "''"),
        ("two\nlines", r"'two\nlines'"),
        ("x" * 500, "'" + "x" * 118 + "…"),
        ({}, "{}"),
        ([], "[]"),
        ({"a": "b" * 999}, "an object of 1"),
        ([1, 2, 3], "an array of 3"),
        (10**200, "1" + "0" * 118 + "…"),
    ],
)
def test_a_foreign_value_is_shown_on_one_line_within_its_limit(value: object, text: str) -> None:
    assert shown(value) == text
    assert len(text) <= 120

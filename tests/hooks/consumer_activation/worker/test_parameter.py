from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from activation_gate import Parameter, ReadError, Reading, State
from activation_gate.parameter import MAX_STEPS_DOWN, reading_client
from botocore.exceptions import ClientError, ReadTimeoutError

from tests.hooks.consumer_activation.worker.surroundings import BLUE, GREEN, NAME, Clock, Ssm

HOUR = timedelta(hours=1)


def parameter(ssm: Ssm, clock: Clock) -> Parameter:
    return Parameter(NAME, client=ssm, monotonic=clock)  # type: ignore[arg-type]  # as far as it is used


def active(revision: str | None, version: int | None = None) -> State:
    return State(epoch=5, active=revision, version=version)


def test_what_was_written_is_read_in_one_call(ssm: Ssm, clock: Clock) -> None:
    ssm.write(active(BLUE, 1))
    ssm.without_date = True
    assert parameter(ssm, clock).read() == Reading(
        began=1000, ended=1000, version=1, state=active(BLUE, 1), age=None, top=1
    )
    assert ssm.asked == [NAME]


def test_the_age_is_told_by_aws_and_never_more_than_it_is(ssm: Ssm, clock: Clock) -> None:
    ssm.write(active(BLUE))
    ssm.written_earlier_by = HOUR
    age = parameter(ssm, clock).read().age
    assert age is not None
    # Up to two seconds less: one for the whole seconds of the Date header, one for what is not documented.
    assert 3598 - 1 < age <= 3600


def test_a_version_younger_than_the_clocks_can_tell_has_no_age_below_zero(ssm: Ssm, clock: Clock) -> None:
    ssm.write(active(BLUE))
    ssm.written_earlier_by = -HOUR
    assert parameter(ssm, clock).read().age == 0


@pytest.mark.parametrize(
    "date", ["soon", "", "Mon, 99 Foo 2026 00:00:00 GMT", "Mon, 02 Mar 2026 09:00:00 -0000"]
)
def test_a_date_that_is_none_gives_no_age(date: str, clock: Clock) -> None:
    class Odd:
        def get_parameter(self, **_: Any) -> Any:
            found = {"Value": active(BLUE).to_json(), "Version": 1, "LastModifiedDate": datetime.now(UTC)}
            return {"Parameter": found, "ResponseMetadata": {"HTTPHeaders": {"date": date}}}

    assert Parameter(NAME, client=Odd(), monotonic=clock).read().age is None  # type: ignore[arg-type]


def test_no_parameter_is_a_reading_too(ssm: Ssm, clock: Clock) -> None:
    assert parameter(ssm, clock).read() == Reading(began=1000, ended=1000, version=None, state=None)


def test_garbage_is_not_stepped_over(ssm: Ssm, clock: Clock) -> None:
    ssm.write(active(BLUE, 1))
    ssm.write("active: me")
    found = parameter(ssm, clock).look()
    assert (found.reading.version, found.reading.state) == (2, None)
    assert found.garbage == "not JSON: Expecting value: line 1 column 1 (char 0)"


def test_a_persons_edit_holds_whatever_version_it_becomes(ssm: Ssm, clock: Clock) -> None:
    ssm.write(active(BLUE, 1))
    ssm.write(active(GREEN))
    assert parameter(ssm, clock).read().state == active(GREEN)


def test_void_versions_are_stepped_over_once(ssm: Ssm, clock: Clock) -> None:
    ssm.write(active(BLUE, 1))
    ssm.write(active(GREEN, 1))
    ssm.write(active(GREEN, 2))
    found = parameter(ssm, clock)
    first = found.look()
    assert (first.reading.version, first.reading.state, first.reading.top) == (1, active(BLUE, 1), 3)
    assert first.void == (3, 2)
    assert ssm.asked == [NAME, f"{NAME}:2", f"{NAME}:1"]
    ssm.asked.clear()
    clock.now = 1005
    again = found.look()
    assert (again.reading.began, again.reading.state, again.void) == (1005, active(BLUE, 1), (3, 2))
    assert ssm.asked == [NAME]


def test_the_age_below_a_void_version_is_that_of_the_version_that_holds(ssm: Ssm, clock: Clock) -> None:
    ssm.write(active(BLUE, 1))
    ssm.write(active(GREEN, 1))
    found = parameter(ssm, clock)
    found.read()
    # The first was written an hour before the void one, which alone is asked for the second time.
    found._below = found._below and type(found._below)(
        found._below.reading, void=found._below.void, modified=datetime.now(UTC) - HOUR
    )
    age = found.read().age
    assert age is not None
    assert 3597 < age <= 3600


def test_a_new_version_on_top_is_looked_at_anew(ssm: Ssm, clock: Clock) -> None:
    ssm.write(active(BLUE, 1))
    ssm.write(active(GREEN, 1))
    found = parameter(ssm, clock)
    found.read()
    ssm.write(active(GREEN, 3))
    assert found.read().state == active(GREEN, 3)
    ssm.write(active(BLUE, 3))
    assert (found.read().version, found.read().top) == (3, 4)


def test_too_many_void_versions_leave_nobody_active(ssm: Ssm, clock: Clock) -> None:
    ssm.write(active(BLUE, 1))
    for _ in range(MAX_STEPS_DOWN + 1):
        ssm.write(active(GREEN, 1))
    found = parameter(ssm, clock).look()
    assert (found.reading.version, found.reading.state) == (None, None)
    assert found.reading.top == MAX_STEPS_DOWN + 2
    assert found.void == tuple(range(MAX_STEPS_DOWN + 2, 1, -1))


def test_when_all_versions_are_void_nobody_is_active(ssm: Ssm, clock: Clock) -> None:
    ssm.write(active(GREEN, 9))
    found = parameter(ssm, clock).look()
    assert (found.reading.version, found.reading.state, found.void) == (None, None, (1,))


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (
            ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "GetParameter"),
            f"may not read {NAME}: give the task role ssm:GetParameter on it",
        ),
        (
            ClientError({"Error": {"Code": "ThrottlingException", "Message": "Rate"}}, "GetParameter"),
            f"GetParameter of {NAME} failed",
        ),
        (ReadTimeoutError(endpoint_url="https://ssm"), f"GetParameter of {NAME} failed: Read timeout"),
    ],
)
def test_a_failed_read_says_what_to_do(ssm: Ssm, clock: Clock, error: Exception, text: str) -> None:
    ssm.fails_with = error
    with pytest.raises(ReadError, match=text):
        parameter(ssm, clock).read()


@pytest.mark.parametrize("deleted_whole", [True, False])
def test_a_version_that_vanishes_on_the_way_down_is_a_failed_read(
    ssm: Ssm, clock: Clock, deleted_whole: bool
) -> None:
    ssm.write(active(BLUE, 1))
    ssm.write(active(GREEN, 1))
    whole = ssm.client.get_parameter

    def vanish(**given: Any) -> Any:
        if ":" in given["Name"]:
            code = "ParameterNotFound" if deleted_whole else "ParameterVersionNotFound"
            raise ClientError({"Error": {"Code": code, "Message": ""}}, "GetParameter")
        return whole(**given)

    ssm.client.get_parameter = vanish
    with pytest.raises(ReadError):
        parameter(ssm, clock).read()


def test_a_read_that_hangs_is_given_up_before_a_lease_of_ordinary_length_ends() -> None:
    config: Any = reading_client().meta.config
    tries = config.retries["total_max_attempts"]
    assert tries * (config.connect_timeout + config.read_timeout) <= 10

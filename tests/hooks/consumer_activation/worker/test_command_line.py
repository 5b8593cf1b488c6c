import json
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from activation_gate import State
from activation_gate.__main__ import main
from botocore.exceptions import ClientError, EndpointConnectionError

from tests.hooks.consumer_activation.worker.surroundings import BLUE, GREEN, NAME, Ssm

NOW = 1772442003.0


def run(ssm: Ssm, *arguments: str, sleep: Callable[[float], None] = lambda _: None) -> int:
    return main(
        [*arguments, "--parameter", NAME],
        client=ssm,  # type: ignore[arg-type]
        sleep=sleep,
        now=lambda: NOW,
    )


def at(version: int, ssm: Ssm) -> Any:
    return json.loads(ssm.client.get_parameter(Name=f"{NAME}:{version}")["Parameter"]["Value"])


def test_show_tells_a_person_who_is_active(ssm: Ssm, capsys: pytest.CaptureFixture[str]) -> None:
    ssm.write(State(epoch=5, active=BLUE, version=1))
    ssm.write(
        State(
            epoch=6,
            active=GREEN,
            draining=BLUE,
            version=2,
            deployment="d-1",
            hand_back="slow",
            dead_letters=3,
        )
    )
    ssm.write(State(epoch=6, active=BLUE, version=2))
    assert run(ssm, "show") == 0
    shown = capsys.readouterr().out
    assert re.sub(r", since .* UTC \(.*\)", ", since WHEN", shown).splitlines() == [
        NAME,
        f"  active      {GREEN}, since WHEN",
        f"  draining    {BLUE}",
        "  epoch       6",
        "  version     2",
        "  deployment  d-1",
        "  lease       15 s, read every 5 s",
        "  read lag    at most 3 s",
        "  hand-back   slow",
        "  dead        3 messages when the hand-over began",
        "  void        3: another write had come before, so they don't count",
    ]


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ([], "  active      nobody: there is no such parameter"),
        (
            ["?"],
            "  active      nobody: version 1 is garbage, not JSON: Expecting value: line 1 column 1 (char 0)",
        ),
        (
            [State(epoch=1, active=BLUE, version=4)],
            "  active      nobody: all versions that were looked at are void",
        ),
    ],
)
def test_show_says_why_nobody_is_active(
    ssm: Ssm, values: list[State | str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for value in values:
        ssm.write(value)
    assert run(ssm, "show") == 1
    assert capsys.readouterr().out.splitlines()[1] == line


def test_a_persons_edit_is_told_from_the_hooks_writes(ssm: Ssm, capsys: pytest.CaptureFixture[str]) -> None:
    ssm.write(State(epoch=5, active=None))
    assert run(ssm, "show") == 1
    shown = capsys.readouterr().out
    assert "  version     1, edited by a person\n  deployment  none: written by hand\n" in shown


def test_watch_prints_each_change_once(ssm: Ssm, capsys: pytest.CaptureFixture[str]) -> None:
    slept: list[float] = []

    def change(seconds: float) -> None:
        slept.append(seconds)
        match len(slept):
            case 2:
                ssm.write(State(epoch=5, active=BLUE, version=1, read_seconds=7))
            case 3:
                ssm.fails_with = EndpointConnectionError(endpoint_url="https://ssm")
            case 4:
                ssm.fails_with = None
                ssm.write(State(epoch=6, active=None, draining=BLUE, version=2))
            case 5:
                ssm.write(State(epoch=6, active=GREEN, version=2))
            case 6:
                raise KeyboardInterrupt

    assert run(ssm, "watch", sleep=change) == 0
    assert [line.split(" ", 1)[1] for line in capsys.readouterr().out.splitlines()] == [
        "nobody is active: no such parameter",
        f"version 1: {BLUE} is active, epoch 5",
        f'GetParameter of {NAME} failed: Could not connect to the endpoint URL: "https://ssm"',
        f"version 2: nobody is active, {BLUE} drains, epoch 6",
        f"version 2: nobody is active, {BLUE} drains, epoch 6 (void: 3)",
    ]
    assert slept == [5, 5, 7, 5, 5, 5]


def test_set_lets_all_leases_end_before_it_names_another_revision(
    ssm: Ssm, capsys: pytest.CaptureFixture[str]
) -> None:
    slept: list[float] = []
    ssm.write(State(epoch=5, active=BLUE, version=1, lease_seconds=20, deployment="d-1", hand_back="slow"))
    assert run(ssm, "set", "--active", GREEN, sleep=slept.append) == 0
    base: dict[str, Any] = {
        "schema": 1,
        "since": "2026-03-02T09:00:03Z",
        "deployment": None,
        "leaseSeconds": 20,
        "readSeconds": 5,
        "readLagSeconds": 3,
        "handBack": None,
        "deadLetters": None,
    }
    assert [at(2, ssm), at(3, ssm)] == [
        base | {"version": 2, "epoch": 6, "active": None, "draining": BLUE, "released": base["since"]},
        base | {"version": 3, "epoch": 7, "active": GREEN, "draining": None, "released": None},
    ]
    assert sum(slept) == pytest.approx(23 * 1.01)
    assert capsys.readouterr().out.splitlines() == [
        f"version 2: nobody is active; {BLUE} finishes what it has",
        "waiting 23 s, until the last lease has ended",
        "  18 s left",
        "  13 s left",
        "  8 s left",
        "  3 s left",
        f"version 3: {GREEN} is active; its workers receive within 5 s or so",
    ]


def test_set_makes_the_parameter_where_there_is_none(ssm: Ssm) -> None:
    assert run(ssm, "set", "--active", GREEN) == 0
    assert [(at(n, ssm)["epoch"], at(n, ssm)["active"]) for n in (1, 2)] == [
        (int(NOW) + 1, None),
        (int(NOW) + 2, GREEN),
    ]


def test_set_none_holds_the_service_and_waits_for_nothing(ssm: Ssm) -> None:
    ssm.write(State(epoch=5, active=BLUE, version=1))

    def no_sleep(_: float) -> None:
        raise AssertionError

    assert run(ssm, "set", "--active", "none", sleep=no_sleep) == 0
    assert (at(2, ssm)["active"], at(2, ssm)["draining"]) == (None, BLUE)
    assert run(ssm, "set", "--active", "none", sleep=no_sleep) == 0
    assert len(ssm.client.get_parameter_history(Name=NAME)["Parameters"]) == 2


def test_set_goes_on_from_a_service_that_is_held(ssm: Ssm) -> None:
    ssm.write(State(epoch=5, active=None, version=1))
    assert run(ssm, "set", "--active", GREEN) == 0
    assert at(2, ssm) | {"since": None} == json.loads(State(epoch=6, active=GREEN, version=2).to_json())


@pytest.mark.parametrize(
    ("below", "lease", "epoch"),
    [([State(epoch=5, active=BLUE, lease_seconds=60), "??"], 60, int(NOW)), (["??"], 15, int(NOW))],
)
def test_set_repairs_garbage_with_the_lease_that_was_before(
    ssm: Ssm, below: list[State | str], lease: int, epoch: int
) -> None:
    for value in [*below, "?"]:
        ssm.write(value)
    slept: list[float] = []
    assert run(ssm, "set", "--active", GREEN, sleep=slept.append) == 0
    written = at(len(below) + 3, ssm)
    assert (written["leaseSeconds"], written["active"], written["epoch"]) == (lease, GREEN, epoch + 2)
    assert sum(slept) == pytest.approx((lease + 3) * 1.01)


@pytest.mark.parametrize("value", [State(epoch=9, active=BLUE), State(epoch=9, active=None), "?"])
def test_set_gives_way_to_somebody_who_wrote_meanwhile(
    ssm: Ssm, value: State | str, capsys: pytest.CaptureFixture[str]
) -> None:
    ssm.write(State(epoch=5, active=BLUE, version=1))

    def interfere(_: float) -> None:
        if len(ssm.client.get_parameter_history(Name=NAME)["Parameters"]) == 2:
            ssm.write(value)

    assert run(ssm, "set", "--active", GREEN, sleep=interfere) == 2
    assert "somebody else wrote version 3 meanwhile" in capsys.readouterr().err


def test_a_write_that_came_too_late_is_said_to_change_nothing(
    ssm: Ssm, capsys: pytest.CaptureFixture[str]
) -> None:
    ssm.write(State(epoch=5, active=BLUE, version=1))
    whole = ssm.client.put_parameter

    def late(**given: Any) -> Any:
        ssm.client.put_parameter = whole
        ssm.write(State(epoch=6, active=GREEN, version=2))
        return whole(**given)

    ssm.client.put_parameter = late
    assert run(ssm, "set", "--active", "none") == 2
    assert "version 2 meanwhile, so version 3 is void and changes nothing" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("ParameterAlreadyExists", "somebody else made the parameter meanwhile; run this again"),
        ("AccessDeniedException", "An error occurred (AccessDeniedException)"),
    ],
)
def test_what_parameter_store_refuses_is_told(
    ssm: Ssm, code: str, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(**_: Any) -> Any:
        raise ClientError({"Error": {"Code": code, "Message": ""}}, "PutParameter")

    ssm.client.put_parameter = refuse
    assert run(ssm, "set", "--active", "none") == 2
    assert text in capsys.readouterr().err


def test_what_is_no_id_is_refused(ssm: Ssm, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(ssm, "set", "--active", "two words") == 2
    assert 'active is "two words", neither an id nor null' in capsys.readouterr().err


def test_setting_what_is_active_changes_nothing(ssm: Ssm, capsys: pytest.CaptureFixture[str]) -> None:
    ssm.write(State(epoch=5, active=BLUE))
    assert run(ssm, "set", "--active", BLUE) == 0
    assert capsys.readouterr().out == f"{BLUE} is active already, since version 1\n"


def test_the_parameter_must_be_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["show"])
    assert "--parameter is missing, and ACTIVATION_PARAMETER is not set" in capsys.readouterr().err


def test_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    shown = capsys.readouterr().out
    assert "How a hand-over by hand goes" in shown
    assert "ssm:PutParameter" in shown


def test_the_age_is_shown_in_days_too(ssm: Ssm, capsys: pytest.CaptureFixture[str]) -> None:
    ssm.write(State(epoch=5, active=BLUE))
    written = ssm.client.get_parameter(Name=NAME)["Parameter"]["LastModifiedDate"].timestamp()
    ssm.written_earlier_by = timedelta(days=3) + timedelta(seconds=written - NOW)
    run(ssm, "show")
    assert "since 2026-02-27 09:00:03 UTC (3 days, 0:00:00)" in capsys.readouterr().out

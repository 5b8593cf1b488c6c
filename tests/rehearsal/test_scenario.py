"""Scenario files: what can be said, and the one line for everything that can't."""

from pathlib import Path

import pytest

from rehearsal.actors import kinds
from rehearsal.document import DocumentError
from rehearsal.model import LifecycleHook, Status
from rehearsal.scenario import Scenario, built_in, find
from rehearsal.switches import Switches, each_alone, values
from shared.lifecycle import Stage

EXPECT = "expect: {status: SUCCESSFUL}\n"

ACTORS = [
    "alarm",
    "approver",
    "console",
    "continue",
    "crash",
    "edit",
    "generator",
    "lag",
    "queue",
    "registry",
    "release",
    "repairer",
    "servers",
    "site",
    "stop",
    "sweeper",
    "traffic",
    "trouble",
    "visitors",
    "workers",
]
NO_DURATION = "expected a duration such as 45s, 10m or 1h30m, of at most 365d"
STATUSES = " or ".join(", ".join(f"'{status}'" for status in Status).rsplit(", ", 1))

# What stands in the file before `expect`, and what is said about it.
MALFORMED = [
    # unknown keys, with the nearest valid one
    ("servce: {}", "1: servce: unknown key, did you mean 'service'?"),
    ("something: {}", "1: something: unknown key"),
    ("service:\n  name: a\n  exposur: alb", "3: service.exposur: unknown key, did you mean 'exposure'?"),
    (
        "service: {first_deployment: true}",
        "1: service.first_deployment: unknown key, did you mean 'firstDeployment'?",
    ),
    (
        "strategy:\n  type: CANARY\n  canaryBakeTime: 5",
        "3: strategy.canaryBakeTime: unknown key, did you mean 'canaryBakeTimeInMinutes'?",
    ),
    (
        "hooks:\n- hook: pause\n  stages: [PRE_SCALE_UP]\n  hookDetail: {}",
        "4: hooks.0.hookDetail: unknown key, did you mean 'hookDetails'?",
    ),
    (
        "hooks:\n- {hook: pause, stages: [PRE_SCALE_UP]}\n- {hook: pause, timeout: 5}",
        "3: hooks.1.timeout: unknown key, did you mean 'timeoutInMinutes'?",
    ),
    ("switches: {merg: replace}", "1: switches.merg: unknown key, did you mean 'merge'?"),
    ("actors:\n- approver: {nam: alice}", "2: actors.0.approver.nam: unknown key, did you mean 'name'?"),
    (
        "actors:\n- approver: {}\n- approver: {too_early: true}",
        "3: actors.1.approver.too_early: unknown key, did you mean 'tooEarly'?",
    ),
    # values of the wrong kind
    ("name: 5", "1: name: input should be a valid string, got 5"),
    ("service:", "1: service: input should be a valid dictionary or instance of Service, got None"),
    ("service: [a]", "1: service: input should be a valid dictionary or instance of Service"),
    (
        "service: {exposure: elb}",
        (
            "1: service.exposure: input should be 'alb', 'nlb', 'service-connect', 'alb+service-connect' or"
            " 'headless', got 'elb'"
        ),
    ),
    (
        "service: {name: two words}",
        "1: service.name: string should match pattern '^[A-Za-z0-9_-]{1,255}$', got 'two words'",
    ),
    (
        "service: {scaleUp: 10 minutes}",
        f"1: service.scaleUp: {NO_DURATION}, got '10 minutes'",
    ),
    (
        "service: {scaleUp: .inf}",
        f"1: service.scaleUp: {NO_DURATION}, got inf",
    ),
    (
        "service: {firstDeployment: maybe}",
        "1: service.firstDeployment: input should be a valid boolean, unable to interpret input, got 'maybe'",
    ),
    ("service:\n  images: {app: [one]}", "2: service.images.app.1: field required"),
    ("service:\n  images: {app: one}", "2: service.images.app: input should be a valid tuple, got 'one'"),
    (
        "strategy: {type: CANARY, canaryPercent: 5.05}",
        "1: strategy.canaryPercent: must be a multiple of 0.1, got 5.05",
    ),
    (
        "strategy: {type: CANARY, canaryPercent: .nan}",
        "1: strategy.canaryPercent: input should be less than or equal to 100, got nan",
    ),
    ("strategy: {stepPercent: 5}", "1: strategy: stepPercent belongs to LINEAR, not to BLUE_GREEN"),
    ("switches: {merge: deep}", "1: switches.merge: input should be 'shallow' or 'replace', got 'deep'"),
    ("alarms: green-5xx", "1: alarms: input should be a valid tuple, got 'green-5xx'"),
    # hooks
    ("hooks: {hook: pause}", "1: hooks: input should be a valid tuple"),
    (
        "hooks:\n- manual_approval",
        "2: hooks.0: input should be a valid dictionary or instance of HookEntry, got 'manual_approval'",
    ),
    ("hooks:\n- stages: [PRE_SCALE_UP]", "2: hooks.0.hook: field required"),
    ("hooks:\n- hook: manual_approval", "2: hooks.0.stages: field required"),
    (
        "hooks:\n- {hook: manual_aproval,\n   stages: [PRE_SCALE_UP]}",
        "2: hooks.0.hook: unknown hook 'manual_aproval', did you mean 'manual_approval'?",
    ),
    ("hooks: [{hook: '', stages: [PRE_SCALE_UP]}]", "1: hooks.0.hook: unknown hook ''"),
    (
        "hooks: [{hook: pause, stages: []}]",
        "1: hooks.0.stages: tuple should have at least 1 item after validation, not 0",
    ),
    (
        "hooks: [{hook: pause, stages: PRE_SCALE_UP}]",
        "1: hooks.0.stages: input should be a valid tuple, got 'PRE_SCALE_UP'",
    ),
    (
        "hooks:\n- hook: pause\n  stages:\n  - PRE_SCALE_UP\n  - SCALE_UP",
        (
            "5: hooks.0.stages.1: input should be 'RECONCILE_SERVICE', 'PRE_SCALE_UP', 'POST_SCALE_UP',"
            " 'TEST_TRAFFIC_SHIFT', 'POST_TEST_TRAFFIC_SHIFT', 'PRE_PRODUCTION_TRAFFIC_SHIFT',"
            " 'PRODUCTION_TRAFFIC_SHIFT' or 'POST_PRODUCTION_TRAFFIC_SHIFT', got 'SCALE_UP'"
        ),
    ),
    (
        "hooks: [{hook: manual_approval, stages: [PRE_SCALE_UP],\n  hookDetails: 5}]",
        "2: hooks.0.hookDetails: input should be a valid dictionary, got 5",
    ),
    (
        "hooks: [{hook: pause, stages: [PRE_SCALE_UP], timeoutInMinutes: 20161}]",
        "1: hooks.0.timeoutInMinutes: input should be less than or equal to 20160, got 20161",
    ),
    (
        "hooks: [{hook: manual_approval, stages: [PRE_SCALE_UP], timeoutInMinutes: 1441}]",
        "1: hooks.0: a Lambda hook's time-out is at most 1440 minutes",
    ),
    (
        "hooks: [{hook: pause, stages: [TEST_TRAFFIC_SHIFT]}]",
        "1: hooks.0: a PAUSE hook can't be at TEST_TRAFFIC_SHIFT or PRODUCTION_TRAFFIC_SHIFT",
    ),
    (
        "hooks: [{hook: scripted, stages: [PRE_SCALE_UP]}]",
        "1: hooks.0: replies belong to a scripted hook, which needs at least one",
    ),
    (
        "hooks: [{hook: pause, stages: [PRE_SCALE_UP], replies: [{}]}]",
        "1: hooks.0: replies belong to a scripted hook, which needs at least one",
    ),
    (
        "hooks:\n" + "- {hook: manual_approval, stages: [PRE_SCALE_UP]}\n" * 11,
        "1: 11 Lambda hooks; ECS allows 10",
    ),
    ("hooks:\n" + "- {hook: pause, stages: [PRE_SCALE_UP]}\n" * 11, "1: 11 pause hooks; ECS allows 10"),
    (
        "service: {exposure: headless}\nstrategy: {type: LINEAR}",
        "1: LINEAR needs a load balancer or Service Connect; headless has none",
    ),
    # actors
    ("actors: [approver]", "1: actors.0: input should be a valid dictionary, got 'approver'"),
    (
        "actors:\n- aprover: {}",
        f"2: actors.0: unknown actor 'aprover'; there are: {', '.join(ACTORS)}",
    ),
    (
        "actors: [{approver: {}, after: 5}]",
        "1: actors.0: expected one kind of actor with its settings, such as approver: {...}",
    ),
    ("actors: [{}]", "1: actors.0: expected one kind of actor with its settings, such as approver: {...}"),
    (
        "actors:\n- approver: alice",
        "2: actors.0.approver: input should be a valid dictionary or instance of Approver, got 'alice'",
    ),
    (
        "actors:\n- trouble:\n    call: ssm:*\n    how: slow",
        (
            "4: actors.0.trouble.how: input should be 'throttled', 'failing', 'denied', 'unanswered', "
            "'garbled', 'partial', 'internal-error' or 'late', got 'slow'"
        ),
    ),
    (
        "service: {exposure: headless}\nactors:\n- traffic:",
        "3: actors.0.traffic: traffic does not reach a headless service",
    ),
    (
        "actors:\n- queue: {name: order}\n- workers: {queue: orders}",
        "3: actors.1.workers: no queue actor is called 'orders', did you mean 'order'?",
    ),
    (
        "actors:\n- queue: {}\n- workers: {}\n- workers: {}",
        "4: actors.2: one workers actor is enough for all tasks",
    ),
    ("actors:\n- trouble: {}", "2: actors.0.trouble.call: field required"),
    (
        "actors: [{approver: {tooEarly: true, onPrevious: true}}]",
        "1: actors.0.approver: tooEarly and onPrevious are two different mistakes; make one of them",
    ),
    # no YAML at all
    ("hooks: [", "3: expected ',' or ']', but got '<stream end>'"),
    ("name: a\nname: b", "2: name: stands twice"),
    ("name: !Ref x", "1: name: input should be a valid string"),
]


def refusal(file: Path) -> str:
    with pytest.raises(DocumentError) as caught:
        Scenario.read(file)
    return str(caught.value).removeprefix(f"{file}:")


@pytest.mark.parametrize(("text", "message"), MALFORMED, ids=[message[:60] for _, message in MALFORMED])
def test_a_malformed_scenario_gets_one_line_with_file_line_and_key(
    tmp_path: Path, text: str, message: str
) -> None:
    file = tmp_path / "s.yaml"
    file.write_text(f"{text}\n{EXPECT}")

    assert refusal(file) == message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "1: expected a scenario: an object with at least 'expect'"),
        ("[]", "1: expected a scenario: an object with at least 'expect'"),
        ("5", "1: expected a scenario: an object with at least 'expect'"),
        ("{}", "1: expect: field required"),
        ("name: a\nexpects: {status: STOPPED}", "2: expects: unknown key, did you mean 'expect'?"),
        ("expect: {}", "1: expect.status: field required"),
        (
            "expect: {status: DONE}",
            f"1: expect.status: input should be {STATUSES}, got 'DONE'",
        ),
        (
            "expect:\n  status: STOPPED\n  later:\n    1: STOPPED",
            "4: expect.later.1: string should match pattern '^[2-9]$', got '1'",
        ),
        (
            "expect:\n  status: STOPPED\n  callsAtMos: {manual_approval: 1}",
            "3: expect.callsAtMos: unknown key, did you mean 'callsAtMost'?",
        ),
        (
            "expect: {status: STOPPED, lastsAtMost: long}",
            (
                "1: expect.lastsAtMost: expected a duration such as 45s, "
                "10m or 1h30m, of at most 365d, got 'long'"
            ),
        ),
    ],
    ids=str,
)
def test_an_expectation_is_read_as_strictly(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "s.yaml"
    file.write_text(text)

    assert refusal(file) == message


def test_an_answer_is_expected_of_hooks_that_are_there(tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    file.write_text(
        "hooks: [{hook: manual_approval, stages: [POST_TEST_TRAFFIC_SHIFT]}]\n"
        "expect:\n  status: SUCCESSFUL\n  answers: {manual_aproval: SUCCEEDED}\n"
    )

    assert (
        refusal(file)
        == "4: expect.answers.manual_aproval: no such hook here, did you mean 'manual_approval'?"
    )


def test_a_scenario_is_called_what_it_says_or_what_its_file_is_called(tmp_path: Path) -> None:
    unnamed, named = tmp_path / "first.yaml", tmp_path / "second.json"
    unnamed.write_text(EXPECT)
    named.write_text('{"name": "mine", "expect": {"status": "STOPPED"}}')

    assert (Scenario.read(unnamed).name, Scenario.read(named).name) == ("first", "mine")


def test_hooks_are_as_ecs_has_them_and_the_second_of_a_name_is_told_apart() -> None:
    scenario = Scenario.model_validate(
        {
            "hooks": [
                {"hook": "scripted", "stages": ["PRE_SCALE_UP"], "replies": [{}], "hookDetails": "{}"},
                {"hook": "scripted", "stages": ["POST_SCALE_UP"], "replies": [{}], "timeoutInMinutes": 5},
                {"hook": "pause", "stages": ["POST_SCALE_UP"], "action": "CONTINUE"},
            ],
            "expect": {"status": "SUCCESSFUL"},
        }
    )

    function, role = "arn:aws:lambda:eu-west-1:1:function:", "arn:aws:iam::1:role/hook-invocation"
    assert scenario.lifecycle_hooks("1", "eu-west-1") == (
        LifecycleHook(
            name="scripted",
            stages=(Stage.PRE_SCALE_UP,),
            target_arn=f"{function}scripted",
            role_arn=role,
            details="{}",
        ),
        LifecycleHook(
            name="scripted-2",
            stages=(Stage.POST_SCALE_UP,),
            target_arn=f"{function}scripted-2",
            role_arn=role,
            timeout_minutes=5,
        ),
        LifecycleHook(
            name="pause", stages=(Stage.POST_SCALE_UP,), target_type="PAUSE", timeout_action="CONTINUE"
        ),
    )


@pytest.mark.parametrize("file", built_in().values(), ids=built_in())
def test_every_built_in_scenario_can_be_read_and_says_what_it_shows(file: Path) -> None:
    scenario = Scenario.read(file)

    assert scenario.name == file.stem
    assert scenario.description.endswith(".")


def test_built_in_scenarios_are_found_by_name_and_files_by_path() -> None:
    assert find("approved") == built_in()["approved"]
    assert find("mine.yaml") == Path("mine.yaml")
    assert find("some/where") == Path("some/where")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("01-aproved", "01-aproved: no such scenario, did you mean 'approved'?"),
        ("xyz", "xyz: no such scenario"),
    ],
)
def test_a_scenario_that_is_not_there_is_named_with_the_nearest(name: str, message: str) -> None:
    with pytest.raises(DocumentError) as caught:
        find(name)

    assert str(caught.value) == message


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match="No such file or directory"):
        Scenario.read(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("consumes", "green"),
        ("overlapAtMost", "0s"),
        ("gapAtMost", "1m"),
        ("lost", "0"),
        ("handledTwice", "0"),
        ("deadLetters", "0"),
    ],
)
def test_nothing_is_expected_of_workers_that_are_not_there(tmp_path: Path, key: str, value: str) -> None:
    file = tmp_path / "s.yaml"
    file.write_text(f"expect:\n  status: SUCCESSFUL\n  {key}: {value}\n")

    assert refusal(file) == f"3: expect.{key}: there is no workers actor here"


def test_there_is_an_actor_for_everyone_the_scenarios_need() -> None:
    assert list(kinds()) == ACTORS


# Switches


def test_each_alone_is_the_defaults_and_then_every_other_value_once() -> None:
    all_of_them = [switches.model_dump(exclude_defaults=True) for switches in each_alone()]

    others = [{name: value} for name in Switches.model_fields for value in values(name)[1:]]
    assert all_of_them == [{}, *others]


def test_the_first_value_of_a_switch_is_its_default() -> None:
    assert Switches().model_dump() == {name: values(name)[0] for name in Switches.model_fields}


@pytest.mark.parametrize("name", Switches.model_fields)
def test_every_switch_says_what_is_unknown(name: str) -> None:
    assert Switches.model_fields[name].description
    assert len(values(name)) >= 2

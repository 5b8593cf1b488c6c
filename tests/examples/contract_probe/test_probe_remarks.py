"""What the probe reports beyond the switches: the contract's open questions, in words of what was seen."""

from examples.contract_probe.evidence import Evidence
from examples.contract_probe.remarks import remarks
from tests.examples.contract_probe.probed import default_evidence, hook_events

FUNCTION = "arn:aws:lambda:us-east-1:123456789012:function"
FAILED = f"Lifecycle hook target {FUNCTION}:first returned FAILED status."
BACK = "ended ROLLBACK_SUCCESSFUL: Service deployment rolled back because"


def test_weights_delays_ids_and_reasons_are_reported_as_they_were_seen() -> None:
    assert remarks(default_evidence()) == [
        "canary: TEST_TRAFFIC_SHIFT came with test {target: 100, source: 0}, production {}",
        "canary: PRE_PRODUCTION_TRAFFIC_SHIFT came with test {}, production {target: 0, source: 100}",
        "canary: PRODUCTION_TRAFFIC_SHIFT came with test {}, production {target: 10, source: 90}",
        "canary: PRE_PRODUCTION_TRAFFIC_SHIFT came with test {}, production {target: 10, source: 90}",
        "canary: PRODUCTION_TRAFFIC_SHIFT came with test {}, production {target: 100, source: 0}",
        "turned-back: TEST_TRAFFIC_SHIFT came with test {target: 100, source: 0}, production {}",
        "turned-back: PRE_PRODUCTION_TRAFFIC_SHIFT came with test {}, production {target: 0, source: 100}",
        "turned-back: PRODUCTION_TRAFFIC_SHIFT came with test {}, production {target: 100, source: 0}",
        "turned-back: PRODUCTION_TRAFFIC_SHIFT came with test {}, production {target: 0, source: 100}",
        "turned-back: TEST_TRAFFIC_SHIFT came with test {target: 0, source: 100}, production {}",
        "superseding: RECONCILE_SERVICE came with test {target: 100, source: 0}, "
        "production {target: 100, source: 0}",
        "callBackDelay 15: the next call came 15.0 to 15.0 s later (15 seen)",
        "callBackDelay 20: the next call came 20.0 to 20.0 s later (1 seen)",
        "callBackDelay 30: the next call came 30.0 to 30.0 s later (24 seen)",
        "hooks had ids that begin with ecs-lambda-",
        f"turned-back {BACK} POST_PRODUCTION_TRAFFIC_SHIFT lifecycle hook(s) failed. {FAILED}",
        f"refused-early {BACK} PRE_SCALE_UP lifecycle hook(s) failed. {FAILED}",
        "superseded ended STOPPED: "
        "[Service deployment stopped because a newer deployment of the service started.]",
        f"sibling {BACK} POST_SCALE_UP lifecycle hook(s) failed. {FAILED}",
        f"raised {BACK} PRE_SCALE_UP lifecycle hook(s) failed. ECS was unable to parse the response from "
        f"{FUNCTION}:first due to HookStatus must not be null",
        f"throttled {BACK} PRE_SCALE_UP lifecycle hook(s) failed. ECS was unable to invoke hook target "
        f"{FUNCTION}:throttled due to Rate Exceeded.",
    ]


def test_late_calls_widen_the_span() -> None:
    evidence = default_evidence()
    [refusal] = [one for one in hook_events(evidence, "sibling") if one.reply == {"hookStatus": "FAILED"}]
    refusal.at += 7.5

    assert "callBackDelay 20: the next call came 27.5 to 27.5 s later (1 seen)" in remarks(evidence)


def test_of_nothing_nothing_is_said() -> None:
    assert remarks(Evidence()) == []

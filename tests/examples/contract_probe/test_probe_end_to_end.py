"""The plan through boto3's calls with the rehearsal behind them: as in an account, with the same findings."""

import io
import json
from collections.abc import Iterator
from functools import partial
from typing import Any

import botocore.session
import pytest
from botocore import xform_name
from botocore.validate import ParamValidator

from examples.contract_probe.account import AwsAccount, Stack
from examples.contract_probe.campaign import Campaign
from examples.contract_probe.evidence import Evidence
from examples.contract_probe.inference import as_switches, infer
from examples.contract_probe.plan import PLAN
from examples.contract_probe.rehearsed import RehearsedAccount
from rehearsal.switches import Switches, values
from tests.examples.contract_probe.probed import POLL_SECONDS
from tests.examples.contract_probe.test_probe_account import OUTPUTS, REGION

STEPS = {step.name: step for step in PLAN}
STRATEGY = {"strategy": "BLUE_GREEN", "bakeTimeInMinutes": 0}


class Client:
    """A client whose calls are held against botocore's model, and then answered by the rehearsal."""

    def __init__(self, service: str, answers: Any) -> None:
        self._model = botocore.session.get_session().get_service_model(service)
        self._operations = {xform_name(name): name for name in self._model.operation_names}
        self._answers = answers

    def __getattr__(self, method: str) -> Any:
        return partial(self._call, method)

    def _call(self, method: str, **parameters: Any) -> Any:
        shape = self._model.operation_model(self._operations[method]).input_shape
        assert shape
        report = ParamValidator().validate(parameters, shape)
        assert not report.has_errors(), report.generate_report()
        return getattr(self._answers, method)(**parameters)

    def get_paginator(self, method: str) -> Any:
        return Paginator(partial(self._call, method))


class Paginator:
    def __init__(self, call: Any) -> None:
        self.paginate = lambda **parameters: iter([call(**parameters)])


class RehearsedApis:
    """The operations that a probe calls."""

    def __init__(self, rehearsed: RehearsedAccount) -> None:
        self.rehearsed = rehearsed

    def describe_services(self, cluster: str, services: list[str]) -> Any:
        assert (cluster, len(services)) == (OUTPUTS["Cluster"], 1)
        return {"services": [{"deploymentConfiguration": STRATEGY}]}

    def update_service(self, service: str, deploymentConfiguration: Any, **_: Any) -> Any:  # noqa: N803
        script = json.loads(self.rehearsed.bucket.objects[f"scripts/{service}.json"])
        step = STEPS[script["name"]]
        stages = [hook["lifecycleStages"] for hook in deploymentConfiguration["lifecycleHooks"]]
        assert stages == [[stage.value for stage in attached] for attached in step.hooks.values()]
        self.rehearsed.deploy(step)
        return {}

    def list_service_deployments(self, service: str, createdAt: Any, **_: Any) -> Any:  # noqa: N803
        found = self.rehearsed.newest(service, createdAt["after"].timestamp())
        deployments = [self.rehearsed.plane.deployments[arn] for arn in reversed(found)]
        return {
            "serviceDeployments": [
                {"serviceDeploymentArn": str(one.arn), "createdAt": one.created_at} for one in deployments
            ]
        }

    def describe_service_deployments(self, serviceDeploymentArns: list[str]) -> Any:  # noqa: N803
        return {"serviceDeployments": list(self.rehearsed.describe(serviceDeploymentArns).values())}

    def put_object(self, Key: str, Body: bytes, **_: Any) -> None:  # noqa: N803
        self.rehearsed.bucket.write(Key, Body)

    def get_object(self, Key: str, **_: Any) -> Any:  # noqa: N803
        return {"Body": io.BytesIO(self.rehearsed.bucket.objects[Key])}

    def list_objects_v2(self, Prefix: str, **_: Any) -> Any:  # noqa: N803
        return {
            "Contents": [
                {"Key": key} for key in sorted(self.rehearsed.bucket.objects) if key.startswith(Prefix)
            ]
        }

    def get_metric_statistics(self, **_: Any) -> Any:
        return {"Datapoints": [{"Sum": float(self.rehearsed.throttles(0, 0) or 0)}]}


def not_the_default() -> Iterator[tuple[str, str]]:
    for name in Switches.model_fields:
        if name != "shift_and_hook":  # its other value hides the bake's
            yield name, values(name)[-1]


@pytest.mark.parametrize("switches", [{}, dict(not_the_default())], ids=["defaults", "all others"])
def test_through_an_accounts_apis_the_same_is_found(switches: dict[str, str]) -> None:
    chosen = Switches.model_validate(switches)
    rehearsed = RehearsedAccount(chosen)
    apis = RehearsedApis(rehearsed)
    account = AwsAccount(
        Stack("probe", REGION, OUTPUTS),
        lambda service: Client(service, apis),
        now=rehearsed.now,
        sleep=rehearsed.sleep,
        digests=lambda _reference: rehearsed.image(),
    )

    evidence = Campaign(account, Evidence(), poll_seconds=POLL_SECONDS).run()

    expected = chosen.model_dump()
    if not switches:
        del expected["duplicate_delivery"]
    assert as_switches(infer(evidence)) == expected
    assert evidence.account == f"stack probe in {REGION}"

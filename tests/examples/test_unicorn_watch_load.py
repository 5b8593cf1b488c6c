"""What the catalog's load test asks for is allowed by the hook's policy and by the generator's limits."""

import json
from fnmatch import fnmatchcase

from hooks.load_test.plan import check_allowed, rates
from hooks.load_test.route import Route, by_namespace
from hooks.load_test.settings import LoadTestPolicy, LoadTestSettings
from rehearsal.lambda_functions import Function
from shared import revision
from tests.examples.unicorn_watch_stack import balancer, found, hook, service, variables


def settings() -> LoadTestSettings:
    return LoadTestSettings.model_validate(json.loads(str(hook(service("catalog"), "load_test").details)))


def function() -> Function:
    attached = hook(service("catalog"), "load_test").function
    assert attached is not None
    return attached


def route() -> Route:
    """Return the way that the hook would find in the service's revision."""
    [offered] = service("catalog").properties["ServiceConnectConfiguration"]["Services"]
    [alias] = offered["ClientAliases"]
    header = alias["TestTrafficRules"]["Header"]
    return by_namespace(
        [
            revision.ClientAlias(
                port_name=offered["PortName"],
                dns_name=alias["DnsName"],
                port=alias["Port"],
                test_header=revision.TestHeader(header["Name"], header["Value"]["Exact"]),
            )
        ],
        settings().port_name,
        settings().header,
    )


def test_the_load_is_within_what_the_hook_s_policy_allows_by_default() -> None:
    policy = LoadTestPolicy.model_validate_json(str(function().environment["HOOK_POLICY"]))

    assert policy == LoadTestPolicy()
    check_allowed(settings(), policy, route())


def test_the_load_is_within_what_the_generator_sends_at_most() -> None:
    load, limits = settings(), variables("load-generator")
    peak = max(max(piece["from"], piece["to"]) for piece in rates(load.load))

    assert peak * (1 + load.blue_share) <= float(limits["LOAD_MAX_RATE"])
    assert peak * load.blue_share <= float(limits["LOAD_MAX_BLUE_RATE"])


def test_the_generator_takes_runs_where_the_hook_leaves_them_and_may_load_the_catalog_alone() -> None:
    environment = function().environment

    assert environment["LOAD_DRIVER"] == "queue"
    assert variables("load-generator") == {
        "LOAD_QUEUE_URL": environment["LOAD_QUEUE_URL"],
        "LOAD_BUCKET": environment["LOAD_BUCKET"],
        "LOAD_TARGETS": route().url.removeprefix("http://"),
        "LOAD_MAX_RATE": "100",
        "LOAD_MAX_BLUE_RATE": "20",
        "LOAD_WORKERS": "2",
    }
    assert route().url == "http://catalog:8080"


def test_it_asks_for_what_the_catalog_answers() -> None:
    production = found(
        balancer("catalog")["ProductionListenerRule"], "AWS::ElasticLoadBalancingV2::ListenerRule"
    )
    [condition] = production.properties["Conditions"]
    [path] = condition["PathPatternConfig"]["Values"]

    assert path == "/catalog/*"
    assert [request.path for request in settings().requests if not fnmatchcase(request.path, path)] == []


def test_green_is_held_against_blue_which_is_loaded_beside_it() -> None:
    load = settings()

    assert (load.mode, load.on_trouble, load.on_inconclusive, load.on_generator_trouble, load.proof) == (
        "enforce",
        "refuse",
        "refuse",
        "refuse",
        "marker",
    )
    assert (load.blue_share, load.attempts) == (0.2, 2)
    # One on how much was sent is always among them.
    assert {rule.text: (rule.limit, rule.ratio, rule.observe) for rule in load.parsed_rules} == {
        "rps >= 95%": (0.95, None, False),
        "errors < 1%": (0.01, None, False),
        "p(95) <= 1.5 x blue + 20ms": (0.02, 1.5, False),
    }

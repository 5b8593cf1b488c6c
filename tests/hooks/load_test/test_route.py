from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from hooks.load_test.route import Route, by_listener, by_namespace
from hooks.load_test.settings import Header
from shared.errors import Misconfigured
from shared.revision import ClientAlias, Listener
from shared.revision import TestHeader as Named

HTTP = ClientAlias("http", "checkout", 8080, Named("x-release", "green"))
GRPC = ClientAlias("grpc", "checkout.shop", 9000, Named("x-amzn-ecs-blue-green-test", None))
OWN = Header(name="x-try", value="1")


@pytest.mark.parametrize(
    ("aliases", "port_name", "header", "route"),
    [
        ((HTTP,), None, None, Route("http://checkout:8080", Header(name="x-release", value="green"))),
        ((HTTP,), "http", OWN, Route("http://checkout:8080", OWN)),
        # Any value will do where none is asked for.
        (
            (HTTP, GRPC),
            "grpc",
            None,
            Route("http://checkout.shop:9000", Header(name="x-amzn-ecs-blue-green-test", value="green")),
        ),
        # Several names of one port are one way.
        (
            (HTTP, ClientAlias("http", "shop", 80, HTTP.test_header)),
            None,
            OWN,
            Route("http://checkout:8080", OWN),
        ),
    ],
)
def test_in_a_namespace_requests_go_to_the_alias(
    aliases: Sequence[ClientAlias], port_name: str | None, header: Header | None, route: Route
) -> None:
    assert by_namespace(aliases, port_name, header) == route


@pytest.mark.parametrize(
    ("aliases", "port_name", "said"),
    [
        ((HTTP, GRPC), None, "portName: the service has several ports: grpc, http; name the one to load"),
        (
            (HTTP, GRPC),
            "web",
            "portName: no Service Connect port is called 'web'; there are: ['grpc', 'http']",
        ),
        (
            (ClientAlias("http", None, 80, HTTP.test_header),),
            None,
            "the client alias of port http has no dnsName, and the service's namespace no name either but "
            "its ARN at most; give the alias a dnsName",
        ),
        (
            (ClientAlias("http", "checkout", 80, Named("x-release", " green\n")),),
            None,
            "the test traffic rule asks for a header that can't be sent: 'x-release': ' green\\n'",
        ),
        (
            (ClientAlias("http", "checkout", 80, Named("Host", "green")),),
            None,
            "the test traffic rule asks for a header that can't be sent: 'Host': 'green'",
        ),
    ],
)
def test_a_way_that_is_not_clear_is_refused(
    aliases: Sequence[ClientAlias], port_name: str | None, said: str
) -> None:
    with pytest.raises(Misconfigured) as caught:
        by_namespace(aliases, port_name, None)
    assert str(caught.value) == said


def http_header(name: str = "x-release", *values: str) -> dict[str, Any]:
    return {"Field": "http-header", "HttpHeaderConfig": {"HttpHeaderName": name, "Values": list(values)}}


PATHS = {"Field": "path-pattern", "PathPatternConfig": {"Values": ["/*"]}}
HOSTS = {"Field": "host-header", "HostHeaderConfig": {"Values": ["test.example.com"]}}


def listener(*conditions: Mapping[str, Any], protocol: str = "HTTP", port: int = 9001) -> Listener:
    return Listener(protocol, port, "internal-shop.elb.amazonaws.com", conditions)


@pytest.mark.parametrize(
    ("conditions", "value"),
    [
        ([http_header("x-release", "green")], "green"),
        ([PATHS, http_header("x-release", "green", "test")], "green"),
        # In a rule * stands for any characters, and ? for one.
        ([http_header("x-release", "gr*n?", "test")], "test"),
        ([http_header("x-release", "gr*n?")], "grn0"),
        ([http_header("x-release", "*")], "green"),
        ([http_header("x-release", "?")], "0"),
        ([http_header("x-release")], "green"),
    ],
)
def test_behind_a_load_balancer_requests_go_by_its_test_listener(
    conditions: list[dict[str, Any]], value: str
) -> None:
    assert by_listener(listener(*conditions), None) == Route(
        "http://internal-shop.elb.amazonaws.com:9001", Header(name="x-release", value=value)
    )


def test_a_header_of_the_settings_needs_no_rule_to_ask_for_it() -> None:
    for conditions in ([], [HOSTS], [http_header("x-a", "1"), http_header("x-b", "2")]):
        assert by_listener(listener(*conditions, protocol="HTTPS", port=443), OWN) == Route(
            "https://internal-shop.elb.amazonaws.com:443", OWN
        )


@pytest.mark.parametrize(
    ("conditions", "said"),
    [
        (
            [],
            "the test listener's rule asks for nothing, not for a header, so that blue can't be reached "
            "beside green; add a condition on a header to it, or set header",
        ),
        (
            [PATHS, HOSTS],
            "the test listener's rule asks for host-header, path-pattern, not for a header, so that blue "
            "can't be reached beside green; add a condition on a header to it, or set header",
        ),
        (
            [HOSTS, http_header("x-release", "green")],
            "the test listener's rule asks for host-header besides its header, which requests of the load "
            "would not have; let the header do, or set header",
        ),
        (
            [http_header("x-release", "green"), http_header("x-tester", "me")],
            "the test listener's rule asks for a second header besides its header, which requests of the "
            "load would not have; let the header do, or set header",
        ),
        (
            [http_header("x-release", "grün")],
            "the test listener's rule asks for a header that can't be sent: 'x-release': 'grün'",
        ),
        (
            [{"Field": "http-header"}],
            "the test listener's rule asks for a header that can't be sent: '': 'green'",
        ),
    ],
)
def test_a_rule_that_the_load_can_t_go_by_is_refused(conditions: list[dict[str, Any]], said: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        by_listener(listener(*conditions), None)
    assert str(caught.value) == said


@pytest.mark.parametrize("protocol", ["TCP", "TLS", "GENEVE"])
def test_what_is_not_http_can_t_be_loaded(protocol: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        by_listener(listener(http_header(), protocol=protocol), OWN)
    assert str(caught.value) == f"the test listener takes {protocol}, and the load is HTTP"

"""All rules, by what they look at."""

from collections.abc import Mapping

from rehearsal.check.findings import Rule
from rehearsal.check.rules import entries, roles, settings, stages, strategy, time_limits, traffic, whole
from rehearsal.check.view import ServiceView, Stack


def _rules_of[ViewT](module: object, _: type[ViewT]) -> list[Rule[ViewT]]:
    return [value for value in vars(module).values() if isinstance(value, Rule)]


SERVICE_RULES: list[Rule[ServiceView]] = [
    rule
    for module in (entries, stages, time_limits, strategy, traffic, roles, settings)
    for rule in _rules_of(module, ServiceView)
]
STACK_RULES: list[Rule[Stack]] = _rules_of(whole, Stack)

RULES: Mapping[str, Rule[ServiceView] | Rule[Stack]] = {
    **{rule.id: rule for rule in SERVICE_RULES},
    **{rule.id: rule for rule in STACK_RULES},
}

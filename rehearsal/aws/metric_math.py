"""CloudWatch's metric math, as far as hooks and alarms use it.

::

    expression := number | id | METRICS() | METRICS("part of an id") | [expression, ...]
                | expression (+ - * / ^ < > <= >= == != AND OR && ||) expression | -expression
                | FILL(series, number | REPEAT) | IF(condition, then[, else])
                | SUM(...) AVG(...) MIN(...) MAX(...) ABS(...) CEIL(...) FLOOR(...)

A series is a value per time stamp. Between two series an operator works where both have a value;
a division by zero leaves no value. SUM, AVG, MIN and MAX make one series of several, and one number
of a single series.

Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/using-metric-math.html
"""

import ast
import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

# https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_MetricDataQuery.html
MAX_CHARACTERS = 2048
# No sensible expression comes near; it bounds the work that one can ask for.
_MAX_NODES = 500

Series = Mapping[int, float]
"""Values by time in seconds since 1970."""
Value = float | Series | tuple[Series, ...]


class InvalidExpressionError(Exception):
    """The expression can't be evaluated; the text says why."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What an expression may refer to."""

    series: Callable[[str], Series]
    """The series of an id; raises :class:`InvalidExpressionError` for an unknown one."""
    metrics: Mapping[str, Series]
    """The series of all queries that are no expressions, for ``METRICS()``."""
    times: Sequence[int]
    """Every time stamp of the range at the expression's period, for ``FILL``."""


def evaluate(expression: str, scope: Scope) -> Series:
    """Evaluate an expression to a series; raises :class:`InvalidExpressionError`."""
    if len(expression) > MAX_CHARACTERS:
        raise InvalidExpressionError(f"it is longer than {MAX_CHARACTERS} characters")
    try:
        tree = ast.parse(_as_python(expression), mode="eval")
        if sum(1 for _ in ast.walk(tree)) > _MAX_NODES:
            raise InvalidExpressionError("it is too complex")
        value = _Evaluation(scope).value(tree.body)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise InvalidExpressionError("it has a syntax error") from error
    if isinstance(value, tuple) and len(value) == 1:
        value = value[0]
    if not isinstance(value, Mapping):
        raise InvalidExpressionError("it must return a single time series")
    return value


_STRINGS = re.compile(r"(\"[^\"]*\"|'[^']*')")
_SPELLINGS = (
    (re.compile(r"\^"), "**"),
    (re.compile(r"&&|\bAND\b"), " and "),
    (re.compile(r"\|\||\bOR\b"), " or "),
)


def _as_python(expression: str) -> str:
    parts = _STRINGS.split(expression.strip())
    for index in range(0, len(parts), 2):
        if "**" in parts[index] or "//" in parts[index]:
            raise InvalidExpressionError("it has a syntax error")
        for pattern, spelling in _SPELLINGS:
            parts[index] = pattern.sub(spelling, parts[index])
    return "".join(parts)


class _Evaluation:
    """One walk over an expression's tree. What has no rule here is refused, never run."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    def value(self, node: ast.expr) -> Value:  # noqa: C901, PLR0911 - the grammar, one line per rule
        match node:
            case ast.Constant(value=bool()):
                pass
            case ast.Constant(value=int() | float() as number):
                return float(number)
            case ast.Name(id=name):
                return self._scope.series(name)
            case ast.List(elts=elements):
                return tuple(series for element in elements for series in _all_series(self.value(element)))
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return _each(operator.neg, self.value(operand))
            case ast.UnaryOp(op=ast.UAdd(), operand=operand):
                return self.value(operand)
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
                return _combined(_ARITHMETIC[type(op)], self.value(left), self.value(right))
            case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in _COMPARISONS:
                return _combined(_COMPARISONS[type(op)], self.value(left), self.value(right))
            case ast.BoolOp(op=op, values=values):
                return self._logic(isinstance(op, ast.And), [self.value(value) for value in values])
            case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if name in _FUNCTIONS:
                return _FUNCTIONS[name](self, arguments)
        raise InvalidExpressionError("it has a function or operator that is not supported")

    @staticmethod
    def _logic(conjunction: bool, values: list[Value]) -> Value:  # noqa: FBT001 - and, or
        result = values[0]
        for value in values[1:]:
            result = _combined(
                (lambda a, b: float(bool(a) and bool(b)))
                if conjunction
                else (lambda a, b: float(bool(a) or bool(b))),
                result,
                value,
            )
        return result

    def metrics(self, arguments: list[ast.expr]) -> Value:
        """METRICS() or METRICS("errors")."""
        match arguments:
            case []:
                return tuple(self._scope.metrics.values())
            case [ast.Constant(value=str(part))]:
                return tuple(series for name, series in self._scope.metrics.items() if part in name)
        raise InvalidExpressionError("METRICS takes no argument or one string")

    def fill(self, arguments: list[ast.expr]) -> Value:
        """FILL(series, number) or FILL(series, REPEAT)."""
        if len(arguments) != 2:
            raise InvalidExpressionError("FILL takes two arguments")
        series = self.value(arguments[0])
        if isinstance(series, float):
            raise InvalidExpressionError("the first argument of FILL must be a time series")
        filler = arguments[1]
        if isinstance(filler, ast.Name) and filler.id == "REPEAT":
            filled = tuple(self._repeated(one) for one in _all_series(series))
        else:
            number = self.value(filler)
            if not isinstance(number, float):
                raise InvalidExpressionError("the second argument of FILL must be a number or REPEAT")
            filled = tuple(
                {time: one.get(time, number) for time in self._scope.times} for one in _all_series(series)
            )
        return filled[0] if isinstance(series, Mapping) else filled

    def _repeated(self, series: Series) -> Series:
        result: dict[int, float] = {}
        last: float | None = None
        for time in self._scope.times:
            last = series.get(time, last)
            if last is not None:
                result[time] = last
        return result

    def choice(self, arguments: list[ast.expr]) -> Value:
        """IF(condition, then, else), or without else: nothing where the condition fails."""
        if len(arguments) not in (2, 3):
            raise InvalidExpressionError("IF takes two or three arguments")
        condition, *branches = (self.value(argument) for argument in arguments)
        if any(isinstance(value, tuple) for value in (condition, *branches)):
            raise InvalidExpressionError("IF takes single time series and numbers")
        then, otherwise = branches[0], branches[1] if len(branches) == 2 else {}
        if isinstance(condition, float):
            return then if condition else otherwise
        assert isinstance(condition, Mapping)  # a tuple was refused above
        result: dict[int, float] = {}
        for time, held in condition.items():
            branch = then if held else otherwise
            value = (
                branch
                if isinstance(branch, float)
                else branch.get(time)
                if isinstance(branch, Mapping)
                else None
            )
            if value is not None:
                result[time] = value
        return result


def _all_series(value: Value) -> tuple[Series, ...]:
    if isinstance(value, tuple):
        return value
    if isinstance(value, float):
        raise InvalidExpressionError("a number stands where a time series must")
    return (value,)


def _each(function: Callable[[float], float], value: Value) -> Value:
    if isinstance(value, float):
        return function(value)
    if isinstance(value, tuple):
        return tuple({time: function(one) for time, one in series.items()} for series in value)
    return {time: function(one) for time, one in value.items()}


def _combined(function: Callable[[float, float], float], left: Value, right: Value) -> Value:
    def apply(a: float, b: float) -> float | None:
        try:
            result = function(a, b)
        except (ZeroDivisionError, OverflowError, ValueError):
            return None
        return result if isinstance(result, int | float) and math.isfinite(result) else None

    if isinstance(left, float) and isinstance(right, float):
        number = apply(left, right)
        if number is None:
            raise InvalidExpressionError("it divides by zero, or is too large")
        return float(number)
    if isinstance(left, tuple) or isinstance(right, tuple):
        lefts, rights = _broadcast(left, right)
        pairs = [_combined(function, one, other) for one, other in zip(lefts, rights, strict=True)]
        return tuple(series for pair in pairs for series in _all_series(pair))
    times = (left if isinstance(left, Mapping) else right) if isinstance(right, float) else right
    assert isinstance(times, Mapping)  # not both are numbers
    result: dict[int, float] = {}
    for time in times:
        a = left if isinstance(left, float) else left.get(time)
        b = right if isinstance(right, float) else right.get(time)
        value = apply(a, b) if a is not None and b is not None else None
        if value is not None:
            result[time] = float(value)
    return result


def _broadcast(left: Value, right: Value) -> tuple[tuple[float | Series, ...], tuple[float | Series, ...]]:
    count = len(left) if isinstance(left, tuple) else len(right) if isinstance(right, tuple) else 1
    lefts = left if isinstance(left, tuple) else (left,) * count
    rights = right if isinstance(right, tuple) else (right,) * count
    if len(lefts) != len(rights):
        raise InvalidExpressionError("it combines arrays of different lengths")
    return lefts, rights


def _aggregate(function: Callable[[list[float]], float]) -> Callable[[_Evaluation, list[ast.expr]], Value]:
    def apply(evaluation: _Evaluation, arguments: list[ast.expr]) -> Value:
        if len(arguments) != 1:
            raise InvalidExpressionError("SUM, AVG, MIN and MAX take one argument")
        value = evaluation.value(arguments[0])
        if isinstance(value, float):
            return value
        if isinstance(value, tuple):
            # Across the metrics, at each time where at least one has a value.
            times = sorted({time for series in value for time in series})
            return {time: function([series[time] for series in value if time in series]) for time in times}
        if not value:
            raise InvalidExpressionError("a time series without values has no sum, average or extreme")
        return function(list(value.values()))

    return apply


def _elementwise(function: Callable[[float], float]) -> Callable[[_Evaluation, list[ast.expr]], Value]:
    def apply(evaluation: _Evaluation, arguments: list[ast.expr]) -> Value:
        if len(arguments) != 1:
            raise InvalidExpressionError("ABS, CEIL and FLOOR take one argument")
        return _each(function, evaluation.value(arguments[0]))

    return apply


_ARITHMETIC: Mapping[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}
_COMPARISONS: Mapping[type[ast.cmpop], Callable[[float, float], float]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
_FUNCTIONS: Mapping[str, Callable[[_Evaluation, list[ast.expr]], Value]] = {
    "ABS": _elementwise(abs),
    "AVG": _aggregate(lambda values: sum(values) / len(values)),
    "CEIL": _elementwise(lambda value: float(math.ceil(value))),
    "FILL": _Evaluation.fill,
    "FLOOR": _elementwise(lambda value: float(math.floor(value))),
    "IF": _Evaluation.choice,
    "MAX": _aggregate(max),
    "METRICS": _Evaluation.metrics,
    "MIN": _aggregate(min),
    "SUM": _aggregate(sum),
}

"""What failover should cost: small expressions over a lab's settings, such as `ttl - loop_wait` or `max(2s, 3 * ttl)`."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from chaoskit.engine.document import Document
from chaoskit.engine.spelling import nearest
from chaoskit.model.errors import InputError, Problem
from chaoskit.model.lab import LabSpec
from chaoskit.model.units import Duration

_LITERAL = re.compile(r"(?<![\w.])(\d+(?:\.\d+)?)\s*(us|µs|ms|s|min|m|h|d)(?!\w)")
_FUNCTIONS: Mapping[str, Callable[..., float]] = {"max": max, "min": min}
_MAX_LENGTH = 500


class ExpressionRefused(Exception):
    """An expression that has no value. `value` is the part that is wrong."""

    def __init__(self, message: str, value: str = "", allowed: Iterable[str] = ()) -> None:
        self.message, self.value, self.allowed = message, value, tuple(allowed)
        super().__init__(message)


@dataclass(frozen=True)
class _Amount:
    """A number with its power of time: 0 a plain number, 1 a duration in seconds."""

    number: float
    power: int

    def __str__(self) -> str:
        return str(Duration(self.number)) if self.power == 1 else f"{self.number:.10g}"


def evaluated_s(expression: str, settings: Mapping[str, Any]) -> float:
    """The duration of an expression in seconds. ExpressionRefused where it is none.

    Names are the lab's settings (durations as written there, such as "20s", or plain numbers), literals carry units, operators
    are + - * / with parentheses, functions max() and min().
    """
    if len(expression) > _MAX_LENGTH:
        raise ExpressionRefused(f"longer than {_MAX_LENGTH} characters")
    units = Duration.UNITS
    # 2s -> (2.0 * _second): Python's grammar then does the rest.
    text = _LITERAL.sub(lambda m: f"({float(m.group(1)) * units[m.group(2)]!r}*_second)", expression.strip())
    try:
        tree = ast.parse(text, mode="eval").body
        amount = _amount(tree, settings)
    except SyntaxError as error:
        raise ExpressionRefused("not an expression; write it as in 'ttl + loop_wait + 2s'", expression) from error
    except (RecursionError, MemoryError, OverflowError, ValueError) as error:
        raise ExpressionRefused(f"cannot be evaluated: {error}", expression) from error
    if amount.power != 1:
        raise ExpressionRefused("gives a plain number, where a duration was expected; write units, such as 2s", expression)
    if amount.number < 0:
        raise ExpressionRefused(f"gives {amount}, and an outage cannot last less than nothing", expression)
    return amount.number


def _amount(node: ast.expr, settings: Mapping[str, Any]) -> _Amount:
    if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)) and not isinstance(node.value, bool):
        return _Amount(float(node.value), 0)
    if isinstance(node, ast.Name):
        return _named(node.id, settings)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
        inner = _amount(node.operand, settings)
        return inner if isinstance(node.op, ast.UAdd) else _Amount(-inner.number, inner.power)
    if isinstance(node, ast.BinOp):
        return _combined(node.op, _amount(node.left, settings), _amount(node.right, settings))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
        if node.func.id not in _FUNCTIONS:
            raise ExpressionRefused(f"there is no function {node.func.id!r}", node.func.id, _FUNCTIONS)
        amounts = [_amount(argument, settings) for argument in node.args]
        if not amounts or len({a.power for a in amounts}) != 1:
            raise ExpressionRefused(f"{node.func.id}() compares durations with durations, or numbers with numbers")
        return _Amount(float(_FUNCTIONS[node.func.id]([a.number for a in amounts])), amounts[0].power)
    raise ExpressionRefused(
        "only settings, numbers, durations, + - * / ( ), max() and min() may stand here", ast.unparse(node)[:60]
    )


def _combined(operator: ast.operator, left: _Amount, right: _Amount) -> _Amount:
    if isinstance(operator, (ast.Add, ast.Sub)):
        if left.power != right.power:
            raise ExpressionRefused(f"cannot add or subtract {left} and {right}: one is a duration, the other a number")
        return _Amount(left.number + right.number if isinstance(operator, ast.Add) else left.number - right.number, left.power)
    if isinstance(operator, ast.Mult):
        return _Amount(left.number * right.number, left.power + right.power)
    if isinstance(operator, ast.Div):
        if right.number == 0:
            raise ExpressionRefused("divides by zero")
        return _Amount(left.number / right.number, left.power - right.power)
    raise ExpressionRefused("only + - * / may stand here")


def _named(name: str, settings: Mapping[str, Any]) -> _Amount:
    if name == "_second":
        return _Amount(1.0, 1)
    if name not in settings:
        raise ExpressionRefused(f"the lab has no setting {name!r}", name, (str(s) for s in settings))
    value = settings[name]
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return _Amount(float(value), 0)
    try:
        return _Amount(float(Duration.parse(value)), 1)
    except ValueError as error:
        raise ExpressionRefused(f"the setting {name!r} is neither a duration nor a number", str(value)[:60]) from error


def detector_period_s(spec: LabSpec, document: Document) -> float | None:
    """Seconds as the lab's `predict` has it; None where it states none. InputError where it cannot be evaluated."""
    expression = spec.predict.detector_period
    if expression is None:
        return None
    try:
        return evaluated_s(expression, spec.settings)
    except ExpressionRefused as error:
        where = ("predict", "detector_period")
        allowed = tuple(error.allowed)
        near = nearest(error.value, allowed)
        problem = document.problem(where, error.message, value=error.value or expression, allowed=allowed, nearest=near)
        raise InputError([problem]) from error


def predicted_rto_s(spec: LabSpec, document: Document) -> tuple[float, float] | None:
    """(low, high) in seconds as the lab's `predict` has it; None where it predicts nothing. InputError with every problem."""
    if spec.predict.rto is None:
        return None
    problems: list[Problem] = []
    found: list[float] = []
    for i, expression in enumerate(spec.predict.rto):
        try:
            found.append(evaluated_s(expression, spec.settings))
        except ExpressionRefused as error:
            problems.append(
                document.problem(
                    ("predict", "rto", i), error.message, value=error.value or expression, allowed=error.allowed,
                    nearest=nearest(error.value, error.allowed),
                )
            )  # fmt: skip
    if len(found) == 2 and found[0] > found[1]:
        message = f"the low end ({Duration(found[0])}) lies above the high end ({Duration(found[1])})"
        problems.append(document.problem(("predict", "rto"), message))
    if problems:
        raise InputError(problems)
    return found[0], found[1]

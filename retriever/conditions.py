"""Conditions on the columns of a table, as people write them: ``Gmag < 17 and (Pwd > 0.75 or not isnan(Plx))``."""

import ast
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retriever.arrays import Array
from retriever.errors import ConfigError, nearest

__all__ = ["columns_in", "rows_where"]

_BINARY: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.Pow: operator.pow, ast.Mod: operator.mod, ast.BitAnd: operator.and_, ast.BitOr: operator.or_,
}  # fmt: skip
_COMPARE: dict[type, Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge, ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}  # fmt: skip
_FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "abs": np.abs, "sqrt": np.sqrt, "log10": np.log10, "sin": np.sin, "cos": np.cos,
    "radians": np.radians,
}  # fmt: skip


def columns_in(expression: str, where: str = "catalog.where") -> list[str]:
    """Names of the columns that an expression uses.

    Parameters
    ----------
    where
        Parameter of the config that has the expression, for messages.

    Examples
    --------
    >>> columns_in("Gmag < 17 and abs(Plx) > 1")
    ['Gmag', 'Plx']
    """
    if not expression.strip():
        return []
    nodes = list(ast.walk(_parsed(expression, where)))
    called = {id(node.func) for node in nodes if isinstance(node, ast.Call)}
    names = [_name_in(node) if id(node) not in called else "" for node in nodes]
    return list(dict.fromkeys(name for name in names if name))


@dataclass(frozen=True, slots=True)
class _Known:
    """Values, and which of them are missing."""

    values: Any
    missing: Any


def _name_in(node: ast.AST) -> str:
    match node:
        case ast.Name(id=name) | ast.Call(func=ast.Name(id="column"), args=[ast.Constant(value=str() as name)]):
            return name
    return ""


def rows_where(
    expression: str, columns: Mapping[str, Array], n: int, where: str = "catalog.where"
) -> NDArray[np.bool_]:
    """Rows that fulfil an expression.

    NaN, nulls, masked values and blank text are missing. As in SQL, a comparison with a missing value is neither true
    nor false, and so is its negation; such rows are not taken. ``isnan(column)`` or ``isnull(column)`` asks for them.
    ``name[0]`` is the first character of a text, and ``column("chi/N")`` a column whose name is no word.

    Raises
    ------
    ConfigError
        When the expression is not a condition on columns.

    Examples
    --------
    >>> rows_where("mag < 17", {"mag": np.array([16.0, 18.0, np.nan])}, 3).tolist()
    [True, False, False]
    >>> rows_where("not mag < 17", {"mag": np.array([16.0, 18.0, np.nan])}, 3).tolist()
    [False, True, False]
    """
    tree = _parsed(expression, where)
    known = {name: _with_missing(columns[name]) for name in columns_in(expression, where) if name in columns}
    with np.errstate(all="ignore"):
        try:
            answer = _value(tree.body, known, f"{where} is {expression!r}")
        except (TypeError, ValueError, np.exceptions.DTypePromotionError) as error:
            raise ConfigError(f"{where} is {expression!r}, which cannot be computed: {error}") from error
    values = np.asarray(answer.values)
    if values.dtype != np.bool_:
        raise ConfigError(f"{where} is {expression!r}, which is no condition; write one as in Gmag < 17")
    return np.array(np.broadcast_to(values & ~np.asarray(answer.missing), n))


def _with_missing(column: Array) -> _Known:
    data, missing = np.ma.getdata(column), np.ma.getmaskarray(column)
    if data.dtype.kind == "S":
        data = np.char.decode(data, "utf-8", "replace")
    if data.dtype.kind == "f":
        missing = missing | np.isnan(data)
    elif data.dtype.kind == "U":
        missing = missing | (np.char.str_len(data) == 0)
    return _Known(data, missing)


def _parsed(expression: str, where: str) -> ast.Expression:
    try:
        return ast.parse(expression.strip(), mode="eval")
    except (SyntaxError, ValueError) as error:
        raise ConfigError(f"{where} is {expression!r}, which is no condition; write one as in Gmag < 17") from error


def _value(node: ast.expr, columns: Mapping[str, _Known], said: str) -> _Known:
    def value(inner: ast.expr) -> _Known:
        return _value(inner, columns, said)

    match node:
        case ast.Constant(value=""):
            raise ConfigError(f"{said}; blank text is missing, ask with isnull(column)")
        case ast.Constant(value=(bool() | int() | float() | str()) as constant):
            return _Known(constant, False)
        case ast.Name(id=name) if name in columns:
            return columns[name]
        case ast.Call(func=ast.Name(id="column"), args=[ast.Constant(value=str() as name)]) if name in columns:
            return columns[name]
        case ast.Subscript(value=ast.Name(id=name), slice=ast.Constant(value=int() as place)) if _is_text(
            columns, name
        ):
            column = columns[name]
            character = np.array([text[place : place + 1] for text in column.values.tolist()], np.str_)
            return _Known(character, column.missing | (np.char.str_len(character) == 0))
        case ast.BoolOp(op=ast.And(), values=parts):
            return _all([value(part) for part in parts])
        case ast.BoolOp(op=ast.Or(), values=parts):
            return _negated(_all([_negated(value(part)) for part in parts]))
        case ast.UnaryOp(op=ast.Not() | ast.Invert(), operand=part):
            return _negated(value(part))
        case ast.UnaryOp(op=ast.USub(), operand=part):
            operand = value(part)
            return _Known(-operand.values, operand.missing)
        case ast.BinOp(left=left, op=sign, right=right) if type(sign) in _BINARY:
            return _applied(_BINARY[type(sign)], value(left), value(right))
        case ast.Compare(left=left, ops=signs, comparators=others) if _is_in(signs):
            one = value(left)
            member = _Known(np.isin(one.values, _listed(others[0], said)), one.missing)
            return _negated(member) if isinstance(signs[0], ast.NotIn) else member
        case ast.Compare(left=left, ops=signs, comparators=others):
            sides = [value(left), *map(value, others)]
            pairs = zip(signs, sides[:-1], sides[1:], strict=True)
            return _all([_applied(_COMPARE[type(sign)], a, b) for sign, a, b in pairs])
        case ast.Call(func=ast.Name(id="isnan" | "isnull"), args=[argument], keywords=[]):
            return _Known(np.asarray(value(argument).missing), False)
        case ast.Call(func=ast.Name(id=name), args=[argument], keywords=[]) if name in _FUNCTIONS:
            operand = value(argument)
            result = _FUNCTIONS[name](operand.values)
            return _Known(result, operand.missing | np.isnan(result))
        case ast.Call(func=ast.Name(id=name)):
            raise ConfigError(f"{said}; there is no {name}(...){nearest(name, (*_FUNCTIONS, 'isnan', 'isnull'))}")
    raise ConfigError(
        f"{said}; it has {ast.unparse(node)!r} but may have columns, numbers, text, comparisons, and, or, not, in"
    )


def _is_text(columns: Mapping[str, _Known], name: str) -> bool:
    return name in columns and columns[name].values.dtype.kind == "U"


def _applied(operation: Callable[[Any, Any], Any], one: _Known, other: _Known) -> _Known:
    return _Known(operation(one.values, other.values), one.missing | np.asarray(other.missing))


def _negated(part: _Known) -> _Known:
    return _Known(~np.asarray(part.values, np.bool_), part.missing)


def _all(parts: list[_Known]) -> _Known:
    """Whether all are true; missing where none is false but one is missing."""
    values = [np.asarray(part.values, np.bool_) for part in parts]
    missing = [np.asarray(part.missing) for part in parts]
    is_false = np.logical_or.reduce(np.broadcast_arrays(*(~v & ~m for v, m in zip(values, missing, strict=True))))
    is_missing = np.logical_or.reduce(np.broadcast_arrays(*missing)) & ~is_false
    return _Known(~is_false & ~is_missing, is_missing)


def _is_in(signs: list[ast.cmpop]) -> bool:
    return len(signs) == 1 and isinstance(signs[0], ast.In | ast.NotIn)


def _listed(node: ast.expr, said: str) -> list[Any]:
    if isinstance(node, ast.List | ast.Tuple) and all(isinstance(item, ast.Constant) for item in node.elts):
        return [item.value for item in node.elts if isinstance(item, ast.Constant)]
    raise ConfigError(f"{said}; write a list of values after in, as in band in ['g', 'r']")

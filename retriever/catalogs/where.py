"""Conditions on the columns of a table, as people write them: ``Gmag < 17 and (Pwd > 0.75 or not isnan(Plx))``."""

import ast
import operator
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retriever.arrays import Array
from retriever.errors import CatalogError, nearest

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
    "abs": np.abs, "sqrt": np.sqrt, "log10": np.log10, "isnan": np.isnan, "sin": np.sin, "cos": np.cos,
    "radians": np.radians,
}  # fmt: skip


def columns_in(expression: str) -> list[str]:
    """Names of the columns that an expression uses.

    Examples
    --------
    >>> columns_in("Gmag < 17 and abs(Plx) > 1")
    ['Gmag', 'Plx']
    """
    if not expression.strip():
        return []
    nodes = list(ast.walk(_parsed(expression)))
    called = {id(node.func) for node in nodes if isinstance(node, ast.Call)}
    return list(dict.fromkeys(node.id for node in nodes if isinstance(node, ast.Name) and id(node) not in called))


def rows_where(expression: str, columns: Mapping[str, Array], n: int) -> NDArray[np.bool_]:
    """Rows that fulfil an expression; rows with a missing value do not.

    Raises
    ------
    CatalogError
        When the expression is not a condition on columns.

    Examples
    --------
    >>> rows_where("mag < 17", {"mag": np.array([16.0, 18.0, np.nan])}, 3).tolist()
    [True, False, False]
    """
    tree = _parsed(expression)
    known = {name: np.ma.getdata(columns[name]) for name in columns_in(expression) if name in columns}
    with np.errstate(all="ignore"):
        try:
            fulfilled = np.broadcast_to(np.asarray(_value(tree.body, known, expression)), n)
        except (TypeError, ValueError, np.exceptions.DTypePromotionError) as error:
            raise CatalogError(f"catalog.where is {expression!r}, which cannot be computed: {error}") from error
    if fulfilled.dtype != np.bool_:
        raise CatalogError(f"catalog.where is {expression!r}, which is no condition; write one as in Gmag < 17")
    missing = [np.ma.getmaskarray(columns[name]) for name in known if np.ma.isMaskedArray(columns[name])]
    return fulfilled & ~np.logical_or.reduce(missing) if missing else fulfilled


def _parsed(expression: str) -> ast.Expression:
    try:
        return ast.parse(expression.strip(), mode="eval")
    except (SyntaxError, ValueError) as error:
        raise CatalogError(
            f"catalog.where is {expression!r}, which is no condition; write one as in Gmag < 17"
        ) from error


def _value(node: ast.expr, columns: Mapping[str, Array], expression: str) -> Any:
    def value(inner: ast.expr) -> Any:
        return _value(inner, columns, expression)

    match node:
        case ast.Constant(value=(bool() | int() | float() | str()) as constant):
            return constant
        case ast.Name(id=name) if name in columns:
            return columns[name]
        case ast.BoolOp(op=ast.And(), values=parts):
            return np.logical_and.reduce(np.broadcast_arrays(*map(value, parts)))
        case ast.BoolOp(op=ast.Or(), values=parts):
            return np.logical_or.reduce(np.broadcast_arrays(*map(value, parts)))
        case ast.UnaryOp(op=ast.Not() | ast.Invert(), operand=part):
            return ~np.asarray(value(part), np.bool_)
        case ast.UnaryOp(op=ast.USub(), operand=part):
            return -value(part)
        case ast.BinOp(left=left, op=sign, right=right) if type(sign) in _BINARY:
            return _BINARY[type(sign)](value(left), value(right))
        case ast.Compare(left=left, ops=signs, comparators=others):
            sides = [value(left), *map(value, others)] if not _is_in(signs) else [value(left)]
            if _is_in(signs):
                is_member = np.isin(sides[0], _listed(others[0], expression))
                return ~is_member if isinstance(signs[0], ast.NotIn) else is_member
            pairs = zip(signs, sides[:-1], sides[1:], strict=True)
            return np.logical_and.reduce([np.asarray(_COMPARE[type(sign)](a, b)) for sign, a, b in pairs])
        case ast.Call(func=ast.Name(id=name), args=[argument], keywords=[]) if name in _FUNCTIONS:
            return _FUNCTIONS[name](value(argument))
        case ast.Call(func=ast.Name(id=name)):
            raise CatalogError(f"catalog.where has {name}(...){nearest(name, _FUNCTIONS)}")
    raise CatalogError(
        f"catalog.where has {ast.unparse(node)!r}; it may have columns, numbers, text, comparisons, and, or, not, in"
    )


def _is_in(signs: list[ast.cmpop]) -> bool:
    return len(signs) == 1 and isinstance(signs[0], ast.In | ast.NotIn)


def _listed(node: ast.expr, expression: str) -> list[Any]:
    if isinstance(node, ast.List | ast.Tuple) and all(isinstance(item, ast.Constant) for item in node.elts):
        return [item.value for item in node.elts if isinstance(item, ast.Constant)]
    raise CatalogError(f"catalog.where is {expression!r}; write a list of values after in, as in band in ['g', 'r']")

"""Code without what changes no result, and its encoding, which is the same on every Python.

`ast.dump` and `ast.unparse` differ between versions of Python; the encoding here names each node and field, and
leaves out positions, empty fields and those that only some versions have.
"""

import ast
import functools
from collections.abc import Container, Mapping, Sequence
from typing import Any

from retriever.fingerprint.imports import Target, absolute_name, dotted
from retriever.fingerprint.syntax import walk
from retriever.identity import digest_bytes

__all__ = ["BareCode", "encode", "is_log_call", "is_type_checking"]

_PLAIN_DECORATORS = frozenset(
    {
        "property",
        "staticmethod",
        "classmethod",
        "functools.cached_property",
        "functools.cache",
        "functools.lru_cache",
        "contextlib.contextmanager",
        "contextlib.asynccontextmanager",
        "abc.abstractmethod",
        "typing.overload",
        "typing.override",
        "typing.final",
    }
)
"""Decorators that look at no annotation."""

_LOGGERS = ("log", "logger", "logging")
_LOG_VERBS = ("debug", "info", "warning", "error", "exception", "critical")
_WITH_EFFECT = (ast.NamedExpr, ast.Yield, ast.YieldFrom, ast.Await)

Function = ast.FunctionDef | ast.AsyncFunctionDef


class BareCode(ast.NodeTransformer):
    """Takes out of a statement, in place, what changes no result.

    Parameters
    ----------
    imported, defined
        Names that the module imports, and those that it binds otherwise.

    Attributes
    ----------
    hints
        Annotations that were taken out: objects of the classes that they name may come in.
    """

    def __init__(self, imported: Mapping[str, Sequence[Target]], defined: Container[str]) -> None:
        self.imported, self.defined = imported, defined
        self.hints: list[ast.expr] = []
        self._keeps_fields = False

    def visit_Pass(self, node: ast.Pass) -> None:
        """Does nothing."""

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        """Docstrings and other constants do nothing; calls of logging change no result."""
        if isinstance(node.value, ast.Constant) or is_log_call(node):
            return None
        return self.generic_visit(node)

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
        """What is for type checkers alone never runs."""
        if is_type_checking(node.test, self.imported, self.defined):
            return [kept for statement in node.orelse for kept in _as_list(self.visit(statement))]
        return self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        """Annotations go, unless a decorator may look at them."""
        return self._visit_function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        """As other functions."""
        return self._visit_function(node)

    def _visit_function(self, node: Function) -> ast.AST:
        if all(self._is_plain(decorator) for decorator in node.decorator_list):
            arguments = node.args
            every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
            for argument in every:
                if argument is not None and argument.annotation is not None:
                    self.hints.append(argument.annotation)
                    argument.annotation = None
            if node.returns is not None:
                self.hints.append(node.returns)
                node.returns = None
        return self._visit_inside(node, keeps_fields=False)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        """Annotations of fields count where a decorator or a base class may make fields of them."""
        return self._visit_inside(node, keeps_fields=bool(node.decorator_list or node.bases or node.keywords))

    def _visit_inside(self, node: ast.AST, keeps_fields: bool) -> ast.AST:
        outside, self._keeps_fields = self._keeps_fields, keeps_fields
        self.generic_visit(node)
        self._keeps_fields = outside
        return node

    def _is_plain(self, decorator: ast.expr) -> bool:
        parts = dotted(decorator)
        if len(parts) == 2 and parts[1] in ("setter", "getter", "deleter"):
            return True
        name = absolute_name(decorator, self.imported, self.defined)
        return name.replace("typing_extensions.", "typing.") in _PLAIN_DECORATORS

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        """An annotated variable is an assignment, or nothing."""
        if self._keeps_fields:
            return self.generic_visit(node)
        self.hints.append(node.annotation)
        if node.value is None:
            return None
        return self.generic_visit(ast.copy_location(ast.Assign(targets=[node.target], value=node.value), node))

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        """The text of an exception is for people."""
        call = node.exc
        if isinstance(call, ast.Call) and (dotted(call.func) or ("",))[-1].lstrip("_")[:1].isupper():
            call.args = [_without_words(argument) for argument in call.args]
        return self.generic_visit(node)

    def visit_Assert(self, node: ast.Assert) -> ast.AST:
        """So is that of an assertion."""
        if node.msg is not None:
            node.msg = _without_words(node.msg)
        return self.generic_visit(node)

    def generic_visit(self, node: ast.AST) -> ast.AST:
        """Statements inside may go; nothing else does."""
        for name in node._fields:
            value = getattr(node, name, None)
            if not isinstance(value, list):
                _join_strings(value)
            elif value and isinstance(value[0], _OF_STATEMENTS):
                value[:] = [kept for item in value for kept in _as_list(self.visit(item))]
            else:
                for item in value:
                    _join_strings(item)
        return node


_OF_STATEMENTS = (ast.stmt, ast.ExceptHandler, ast.match_case)


def _join_strings(expression: object) -> None:
    """Join the constant parts of f-strings, which versions of Python cut differently."""
    for node in walk(expression) if isinstance(expression, ast.AST) else ():
        if isinstance(node, ast.JoinedStr):
            values: list[ast.expr] = []
            for value in node.values:
                last = values[-1] if values else None
                if not isinstance(value, ast.Constant):
                    values.append(value)
                elif isinstance(last, ast.Constant):
                    values[-1] = ast.copy_location(ast.Constant(str(last.value) + str(value.value)), last)
                elif value.value != "":
                    values.append(value)
            node.values = values


def _as_list(kept: ast.AST | list[ast.stmt] | None) -> list[ast.stmt]:
    if kept is None:
        return []
    return kept if isinstance(kept, list) else [kept]  # type: ignore[list-item]


def _without_words(node: ast.expr) -> ast.expr:
    if _is_text(node) and not any(isinstance(part, _WITH_EFFECT) for part in ast.walk(node)):
        return ast.copy_location(ast.Constant(""), node)
    return node


def _is_text(node: ast.expr) -> bool:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _is_text(node.left) and _is_text(node.right)
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def is_log_call(node: ast.stmt) -> bool:
    """Whether a statement only logs.

    Examples
    --------
    >>> is_log_call(ast.parse("log.debug('%d rows', n)").body[0]), is_log_call(ast.parse("print(n)").body[0])
    (True, False)
    """
    if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)):
        return False
    parts = dotted(node.value.func)
    logs = len(parts) == 2 and parts[0] in _LOGGERS and parts[1] in _LOG_VERBS
    return logs and not any(isinstance(part, _WITH_EFFECT) for part in walk(node))


def is_type_checking(test: ast.expr, imported: Mapping[str, Sequence[Target]], defined: Container[str]) -> bool:
    """Whether a condition is ``TYPE_CHECKING`` of `typing`."""
    name = absolute_name(test, imported, defined) if isinstance(test, ast.Name | ast.Attribute) else ""
    return name in ("typing.TYPE_CHECKING", "typing_extensions.TYPE_CHECKING")


_NOT_ENCODED = frozenset({"ctx", "kind", "type_comment"})


def encode(node: ast.AST) -> str:
    """Digest of a statement that is the same on every version of Python.

    Examples
    --------
    >>> encode(ast.parse("x = ( 1_0 )").body[0]) == encode(ast.parse("x = 10  # ten").body[0])
    True
    """
    pieces: list[bytes] = []
    _encode(node, pieces)
    return digest_bytes(b"".join(pieces))


@functools.cache
def _form(kind: Any) -> tuple[bytes, tuple[tuple[str, bytes], ...], bool]:
    """How a kind of node begins, its fields with their encoded names, and whether None is a value in it."""
    fields = tuple((name, f" {name}=".encode()) for name in kind._fields if name not in _NOT_ENCODED)
    return f"({kind.__name__}".encode(), fields, kind in (ast.Constant, ast.MatchSingleton)


def _encode(value: object, pieces: list[bytes]) -> None:
    if isinstance(value, ast.AST):
        kind: Any = type(value)
        opening, fields, constant = _form(kind)
        pieces.append(opening)
        for name, encoded in fields:
            part = getattr(value, name, None)
            if (part is None or part == []) and not constant:
                continue
            pieces.append(encoded)
            _encode(part, pieces)
        pieces.append(b")")
    elif isinstance(value, list):
        pieces.append(b"[")
        for item in value:
            _encode(item, pieces)
        pieces.append(b"]")
    else:
        pieces.append(_encoded_constant(value))


def _encoded_constant(value: object) -> bytes:
    if isinstance(value, str | bytes):
        text = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value
        return (b"s" if isinstance(value, str) else b"b") + b"%d:" % len(text) + text
    if isinstance(value, float):
        return b"f" + value.hex().encode() + b";"
    if isinstance(value, complex):
        return b"j" + value.imag.hex().encode() + b";"
    if isinstance(value, int) and not isinstance(value, bool):
        return b"i%x;" % value
    return b"c" + str(value).encode() + b";"  # None, True, False and Ellipsis

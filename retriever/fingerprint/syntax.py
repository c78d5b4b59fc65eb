"""Nodes of a syntax tree, walked faster than `ast` does: without contexts, operators and other leaves."""

import ast
import functools
from collections.abc import Iterator
from typing import Any

__all__ = ["children", "walk"]

_LEAVES = frozenset({"arg", "attr", "conversion", "ctx", "id", "kind", "op", "ops", "simple", "type_comment"})


@functools.cache
def _fields(kind: Any) -> tuple[str, ...]:
    """Fields of a kind of node that may hold others than contexts and operators."""
    return tuple(name for name in kind._fields if name not in _LEAVES)


def children(node: ast.AST) -> list[ast.AST]:
    """Nodes right below a node, in the order of its fields.

    Examples
    --------
    >>> [type(child).__name__ for child in children(ast.parse("a + f(b)", mode="eval").body)]
    ['Name', 'Call']
    """
    found: list[ast.AST] = []
    kind: Any = type(node)
    for name in _fields(kind):
        value = getattr(node, name, None)
        if isinstance(value, ast.AST):
            found.append(value)
        elif isinstance(value, list):
            found += [item for item in value if isinstance(item, ast.AST)]
    return found


def walk(node: ast.AST) -> Iterator[ast.AST]:
    """A node and all nodes below it, in no particular order."""
    waiting = [node]
    while waiting:
        node = waiting.pop()
        yield node
        waiting += children(node)

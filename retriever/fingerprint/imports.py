"""What import statements bind, and what dotted names mean by them."""

import ast
import importlib.util
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass

__all__ = ["Target", "absolute_name", "dotted", "imported_modules", "targets_of"]


@dataclass(frozen=True, slots=True)
class Target:
    """What an imported name stands for: a module, or an attribute of one."""

    module: str
    attributes: tuple[str, ...] = ()


Import = ast.Import | ast.ImportFrom


def targets_of(node: Import, package: str) -> list[tuple[str, Target]]:
    """Names that an import binds, and what for.

    Examples
    --------
    >>> targets_of(ast.parse("from ..b import c as d").body[0], "a.x")
    [('d', Target(module='a.b', attributes=('c',)))]
    """
    if isinstance(node, ast.ImportFrom):
        base = _base(node, package)
        return [(alias.asname or alias.name, Target(base, (alias.name,))) for alias in node.names if alias.name != "*"]
    return [
        (alias.asname, Target(alias.name)) if alias.asname else (top, Target(top))
        for alias in node.names
        for top in [alias.name.partition(".")[0]]
    ]


def imported_modules(node: Import, package: str) -> list[str]:
    """Modules that an import loads; the last ones of a from-import may be attributes instead."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    base = _base(node, package)
    return [base, *(f"{base}.{alias.name}" for alias in node.names if alias.name != "*")]


def _base(node: ast.ImportFrom, package: str) -> str:
    base = node.module or ""
    if not node.level:
        return base
    try:
        return importlib.util.resolve_name("." * node.level + base, package)
    except ImportError:  # it points above the top-level package: importing it would fail as well
        return base


def dotted(node: ast.AST) -> tuple[str, ...]:
    """Parts of a dotted name; none for any other expression.

    Examples
    --------
    >>> dotted(ast.parse("np.linalg.norm", mode="eval").body)
    ('np', 'linalg', 'norm')
    """
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return (node.id, *reversed(parts)) if isinstance(node, ast.Name) else ()


def absolute_name(node: ast.AST, imported: Mapping[str, Sequence[Target]], defined: Container[str]) -> str:
    """A dotted name with its import spelled out; "" where its meaning is not certain.

    Parameters
    ----------
    node
        An expression; calls and subscripts stand for what is called or subscripted.
    imported, defined
        Names that the module imports, and those that it binds otherwise.

    Examples
    --------
    >>> absolute_name(ast.parse("ft.lru_cache(4)", mode="eval").body, {"ft": [Target("functools")]}, ())
    'functools.lru_cache'
    """
    while isinstance(node, ast.Call | ast.Subscript):
        node = node.func if isinstance(node, ast.Call) else node.value
    parts = dotted(node)
    if not parts or parts[0] in defined:
        return ""
    targets = imported.get(parts[0], ())
    if not targets:
        return ".".join(parts)
    if len(set(targets)) > 1:
        return ""
    return ".".join((targets[0].module, *targets[0].attributes, *parts[1:]))

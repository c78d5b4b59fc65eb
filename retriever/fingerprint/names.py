"""Which names a piece of code loads from outside of itself."""

import ast
from dataclasses import dataclass
from typing import Literal

from retriever.fingerprint.imports import Import, Target, dotted, imported_modules, targets_of
from retriever.fingerprint.syntax import children, walk

__all__ = ["Mark", "Names", "Reference", "bound_names"]

Kind = Literal["code", "annotation"]


@dataclass(frozen=True, slots=True)
class Reference:
    """A name that code loads, with the attributes that follow it.

    Attributes
    ----------
    name
        As it is written.
    attributes
        What follows it, as in ``name.first.second``.
    kind
        "annotation" for one in an annotation that counts.
    target
        What a function imported under that name; None for a name of the module.
    """

    name: str
    attributes: tuple[str, ...]
    kind: Kind = "code"
    target: Target | None = None


@dataclass(frozen=True, slots=True)
class Mark:
    """A method that reads files, or asks for subclasses, of an object that a static look does not know."""

    method: str
    line: int
    name: str = ""
    attributes: tuple[str, ...] = ()


Scope = dict[str, tuple[Target, ...] | None]
"""Local names to what was imported under them; None for names declared global."""

Function = ast.FunctionDef | ast.AsyncFunctionDef
Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp

_MARKED = ("read_text", "read_bytes", "__subclasses__")


class Names(ast.NodeVisitor):
    """Collects references of code, minding scopes: local names hide those of the module.

    Parameters
    ----------
    package
        Where relative imports start.

    Examples
    --------
    >>> names = Names("a")
    >>> names.visit(ast.parse("def f(x, y=Y):\\n    from . import z\\n    return x + np.abs(z.w)"))
    >>> [(ref.name, ref.attributes) for ref in names.references]
    [('Y', ()), ('np', ('abs',)), ('z', ('w',))]
    """

    def __init__(self, package: str) -> None:
        self.package = package
        self.references: dict[Reference, int] = {}
        self.marks: list[Mark] = []
        self.modules: dict[str, None] = {}
        self._scopes: list[Scope] = []
        self._kind: Kind = "code"
        self._in_class = False

    def generic_visit(self, node: ast.AST) -> None:
        """What lies below a node."""
        for child in children(node):
            self.visit(child)

    def _refer(self, name: str, attributes: tuple[str, ...], line: int) -> None:
        for scope in reversed(self._scopes):
            if name in scope:
                targets = scope[name]
                if targets is None:
                    break
                for target in targets:
                    self.references.setdefault(Reference(name, attributes, self._kind, target), line)
                return
        self.references.setdefault(Reference(name, attributes, self._kind), line)

    def visit_Name(self, node: ast.Name) -> None:
        """A loaded name, or one declared global."""
        declared = any(scope.get(node.id, ()) is None for scope in self._scopes)
        if isinstance(node.ctx, ast.Load) or declared:
            self._refer(node.id, (), node.lineno)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        """A dotted name is one reference."""
        parts = dotted(node)
        if node.attr in _MARKED:
            self._mark(node.attr, parts, node.lineno)
        if parts:
            self._refer(parts[0], parts[1:], node.lineno)
        else:
            self.visit(node.value)

    def visit_Call(self, node: ast.Call) -> None:
        """A method named open reads files, most likely."""
        if isinstance(node.func, ast.Attribute) and node.func.attr == "open":
            self._mark("open", dotted(node.func), node.lineno)
        self.generic_visit(node)

    def _mark(self, method: str, parts: tuple[str, ...], line: int) -> None:
        if not parts:
            self.marks.append(Mark(method, line))
            return
        is_local = any(scope.get(parts[0]) == () for scope in self._scopes)
        known = not is_local or parts[0] in ("self", "cls")
        self.marks.append(Mark(method, line, parts[0] if known else "", parts[1:-1]))

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        """Its target is loaded too."""
        if isinstance(node.target, ast.Name):
            self._refer(node.target.id, (), node.lineno)
        self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        """A field of a class."""
        self._visit_annotation(node.annotation)
        if node.value is not None:
            self.visit(node.value)

    def _visit_annotation(self, node: ast.expr | None) -> None:
        if node is None:
            return
        before, self._kind = self._kind, "annotation"
        self.visit(node)
        self._kind = before

    def visit_Constant(self, node: ast.Constant) -> None:
        """An annotation may be a string."""
        if self._kind == "annotation" and isinstance(node.value, str):
            try:
                inside = ast.parse(node.value.strip(), mode="eval")
            except (SyntaxError, ValueError):
                return
            self.visit(inside)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        """A scope of its own; decorators, defaults and annotations are outside of it."""
        self._visit_function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        """As other functions."""
        self._visit_function(node)

    def _visit_function(self, node: Function) -> None:
        for decorator in node.decorator_list:
            self.visit(decorator)
        self._visit_defaults(node.args)
        for argument in _all_arguments(node.args):
            self._visit_annotation(argument.annotation)
        self._visit_annotation(node.returns)
        scope = bound_names(node.body, self.package)
        scope |= {parameter.name: () for parameter in getattr(node, "type_params", [])}
        self._visit_scope(_with_arguments(scope, node.args), list(node.body))

    def visit_Lambda(self, node: ast.Lambda) -> None:
        """As other functions."""
        self._visit_defaults(node.args)
        self._visit_scope(_with_arguments(bound_names([node.body], self.package), node.args), [node.body])

    def _visit_defaults(self, arguments: ast.arguments) -> None:
        for default in [*arguments.defaults, *arguments.kw_defaults]:
            if default is not None:
                self.visit(default)

    def _visit_scope(self, scope: Scope, nodes: list[ast.AST]) -> None:
        in_class, self._in_class = self._in_class, False
        self._scopes.append(scope)
        for node in nodes:
            self.visit(node)
        self._scopes.pop()
        self._in_class = in_class

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        """Names that a class binds are not certain to hide those of the module, so both count."""
        for part in [*node.decorator_list, *node.bases, *node.keywords]:
            self.visit(part)
        in_class, self._in_class = self._in_class, True
        for statement in node.body:
            self.visit(statement)
        self._in_class = in_class

    def _visit_comprehension(self, node: Comprehension) -> None:
        self.visit(node.generators[0].iter)
        scope: Scope = {}
        for generator in node.generators:
            scope |= {name.id: () for name in ast.walk(generator.target) if isinstance(name, ast.Name)}
        inside: list[ast.AST] = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
        for k, generator in enumerate(node.generators):
            inside += [generator.target, *generator.ifs, *([generator.iter] if k else [])]
        self._visit_scope(scope, inside)

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = _visit_comprehension

    def _visit_import(self, node: Import) -> None:
        self.modules |= dict.fromkeys(imported_modules(node, self.package))
        if self._in_class:  # read later as an attribute of the class, in whatever way
            for name, target in targets_of(node, self.package):
                self.references.setdefault(Reference(name, (), "code", target), node.lineno)

    visit_Import = visit_ImportFrom = _visit_import


def _all_arguments(arguments: ast.arguments) -> list[ast.arg]:
    every = [*arguments.posonlyargs, *arguments.args, arguments.vararg, *arguments.kwonlyargs, arguments.kwarg]
    return [argument for argument in every if argument is not None]


def _with_arguments(scope: Scope, arguments: ast.arguments) -> Scope:
    for argument in _all_arguments(arguments):
        scope.setdefault(argument.arg, ())
    return scope


def bound_names(body: list[ast.stmt] | list[ast.expr], package: str) -> Scope:
    """Names that statements bind in their own scope.

    Examples
    --------
    >>> sorted(bound_names(ast.parse("a, *b = c\\nfor d in e: pass\\ndef f(): g = 1").body, ""))
    ['a', 'b', 'd', 'f']
    """
    scope: Scope = {}
    outer: dict[str, bool] = {}
    waiting: list[ast.AST] = list(body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Global | ast.Nonlocal):
            outer |= dict.fromkeys(node.names, isinstance(node, ast.Global))
        elif isinstance(node, ast.Import | ast.ImportFrom):
            for name, target in targets_of(node, package):
                scope[name] = (*(scope.get(name) or ()), target)
        else:
            names, inside = _binding(node)
            for name in names:
                scope.setdefault(name, ())
            waiting += inside
    for name, is_global in outer.items():
        scope.pop(name, None)
        if is_global:
            scope[name] = None
    return scope


def _binding(node: ast.AST) -> tuple[list[str], list[ast.AST]]:
    """Names that a node binds itself, and the nodes of the same scope inside of it."""
    if isinstance(node, Function | ast.ClassDef):
        return [node.name], list(node.decorator_list)
    if isinstance(node, ast.Lambda):
        return [], []
    if isinstance(node, Comprehension):
        walruses = [part.target.id for part in walk(node) if isinstance(part, ast.NamedExpr)]
        return walruses, []
    inside = children(node)
    if isinstance(node, ast.Name):
        return ([] if isinstance(node.ctx, ast.Load) else [node.id]), inside
    name = getattr(node, "name", None) if isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) else None
    if isinstance(node, ast.MatchMapping):
        name = node.rest
    return ([name] if name else []), inside

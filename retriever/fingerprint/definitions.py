"""A module as a table of its top-level definitions, parsed once."""

import ast
import functools
import importlib.util
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from retriever.errors import ConfigError
from retriever.fingerprint.bare_code import BareCode, encode, is_log_call, is_type_checking
from retriever.fingerprint.imports import Target, absolute_name, dotted, imported_modules, targets_of
from retriever.fingerprint.module_files import exists
from retriever.fingerprint.names import Function, Mark, Names, Reference, bound_names

__all__ = ["ModuleTable", "Piece", "Statement", "read_table"]


@dataclass(frozen=True, slots=True)
class Piece:
    """What counts of a statement.

    Attributes
    ----------
    digest
        Of its bare code.
    references, marks, modules
        What it loads, with the lines; methods that a static look cannot follow; modules that functions in it import.
    hints
        Names in annotations that do not count themselves.
    """

    digest: str
    references: dict[Reference, int]
    marks: list[Mark]
    modules: list[str]
    hints: list[Reference]


@dataclass(eq=False)
class Statement:
    """A top-level statement of a module."""

    node: ast.stmt
    table: "ModuleTable" = field(repr=False)

    @cached_property
    def piece(self) -> Piece:
        """What counts of it; the node itself is bared on the way."""
        cleaner = BareCode(self.table.aliases, self.table.bindings)
        bare: ast.AST | list[ast.stmt] | None = cleaner.visit(self.node)
        if not isinstance(bare, ast.AST):
            bare = ast.Module(body=bare or [], type_ignores=[])
        names = Names(self.table.package)
        names.visit(bare)
        hints = Names(self.table.package)
        for annotation in cleaner.hints:
            hints._visit_annotation(annotation)
        return Piece(encode(bare), names.references, names.marks, list(names.modules), list(hints.references))


@dataclass(eq=False)
class ModuleTable:
    """The top level of a module.

    Attributes
    ----------
    name, package, path
        Of the module; `package` is where relative imports start.
    bindings
        Names to the statements that bind them, but for those that are only imported.
    aliases
        Imported names to what they stand for.
    effects
        Statements that count whenever the module is loaded, in order.
    stars
        Modules of which it imports everything.
    modules
        Modules that loading it loads.
    order
        All statements that count, in order.
    has_global
        Whether any function may bind names of the module.
    """

    name: str
    package: str
    path: str
    bindings: dict[str, list[Statement]] = field(default_factory=dict)
    aliases: dict[str, list[Target]] = field(default_factory=dict)
    effects: list[Statement] = field(default_factory=list)
    stars: list[str] = field(default_factory=list)
    modules: dict[str, None] = field(default_factory=dict)
    order: list[Statement] = field(default_factory=list)
    has_global: bool = False

    def class_named(self, name: str) -> ast.ClassDef | None:
        """The class of this name, where that is all that the name can be."""
        statements = self.bindings.get(name, [])
        node = statements[0].node if len(statements) == 1 else None
        return node if isinstance(node, ast.ClassDef) else None

    def is_protocol(self, name: str) -> bool:
        """Whether a name is a class that only says what others must have."""
        node = self.class_named(name)
        names = [absolute_name(base, self.aliases, self.bindings) for base in node.bases] if node else []
        return any(base in ("typing.Protocol", "typing_extensions.Protocol") for base in names)

    def has_version(self, name: str) -> bool:
        """Whether a class says by a string constant `version` which state of what cannot be seen it stands for."""
        node = self.class_named(name)
        for statement in node.body if node else []:
            targets = statement.targets if isinstance(statement, ast.Assign) else []
            if isinstance(statement, ast.AnnAssign):
                targets = [statement.target]
            value = getattr(statement, "value", None)
            is_text = isinstance(value, ast.Constant) and isinstance(value.value, str)
            if is_text and any(isinstance(target, ast.Name) and target.id == "version" for target in targets):
                return True
        return False

    def has_method(self, method: str) -> bool:
        """Whether a class of the module defines a method of this name."""
        return method in self._methods

    @cached_property
    def _methods(self) -> set[str]:
        nodes = [statement.node for statement in self.order]
        inside = [part for node in nodes if isinstance(node, ast.ClassDef) for part in node.body]
        return {part.name for part in inside if isinstance(part, Function)}

    def lazy_target(self, attribute: str) -> Target | None:
        """What a module-level ``__getattr__`` gives for an attribute that a table of the module lists.

        Tables are ``{"name": ".module"}``, ``{"name": (".module", "other_name")}`` and ``{".module": ["name"]}``.
        """
        if "__getattr__" not in self.bindings:
            return None
        for statement in self.order:
            value = getattr(statement.node, "value", None)
            if isinstance(statement.node, ast.Assign | ast.AnnAssign) and isinstance(value, ast.Dict):
                target = self._listed(value, attribute)
                if target:
                    return target
        return None

    def _listed(self, table: ast.Dict, attribute: str) -> Target | None:
        for key, value in zip(table.keys, table.values, strict=True):
            words = _words(value)
            if not isinstance(key, ast.Constant) or not isinstance(key.value, str) or not words:
                continue
            if key.value == attribute:
                return Target(self._absolute(words[0]), (words[1] if len(words) > 1 else attribute,))
            if not isinstance(value, ast.Constant) and attribute in words:
                return Target(self._absolute(key.value), (attribute,))
        return None

    def _absolute(self, module: str) -> str:
        if exists(module.lstrip(".")) and not module.startswith("."):
            return module
        dots = "" if module.startswith(".") else "."
        try:
            return importlib.util.resolve_name(f"{dots}{module}", self.package)
        except ImportError:
            return module

    # ---- building ------------------------------------------------------------------------------------------------

    def add(self, body: list[ast.stmt]) -> None:
        """Take up the statements of the top level, in order."""
        for node in body:
            if isinstance(node, ast.If) and self._never_runs(node.test):
                self.add(node.orelse)
            elif isinstance(node, ast.Import | ast.ImportFrom):
                self._add_import(node, Statement(node, self))
            else:
                self._add_statement(node)

    def _never_runs(self, test: ast.expr) -> bool:
        as_script = isinstance(test, ast.Compare) and isinstance(test.ops[0], ast.Eq) and len(test.ops) == 1
        if as_script and isinstance(test, ast.Compare) and isinstance(test.left, ast.Name):
            other = test.comparators[0]
            return test.left.id == "__name__" and isinstance(other, ast.Constant) and other.value == "__main__"
        return is_type_checking(test, self.aliases, self.bindings)

    def _add_import(self, node: ast.Import | ast.ImportFrom, statement: Statement | None) -> None:
        if isinstance(node, ast.ImportFrom) and node.module == "__future__":
            return
        modules = imported_modules(node, self.package)
        self.modules |= dict.fromkeys(modules)
        if any(alias.name == "*" for alias in node.names):
            self.stars.append(modules[0])
            if statement is not None:
                self.effects.append(statement)
        for name, target in targets_of(node, self.package):
            self.aliases.setdefault(name, []).append(target)
        if statement is not None:
            self.order.append(statement)

    def _add_statement(self, node: ast.stmt) -> None:
        if isinstance(node, ast.AnnAssign) and node.value is None:
            return
        is_definition = isinstance(node, Function | ast.ClassDef)
        names = [node.name] if isinstance(node, Function | ast.ClassDef) else list(bound_names([node], self.package))
        statement = Statement(node, self)
        self.order.append(statement)
        for inside in self._imports_inside(node):
            self._add_import(inside, None)
        for name in names:
            self.bindings.setdefault(name, []).append(statement)
        if is_definition and self.has_global:
            for part in ast.walk(node):
                if isinstance(part, ast.Global):
                    for name in part.names:
                        self.bindings.setdefault(name, []).append(statement)
        if self._has_effect(node):
            self.effects.append(statement)

    def _imports_inside(self, node: ast.stmt) -> list[ast.Import | ast.ImportFrom]:
        """Imports in a compound statement, but for those that never run."""
        imports = []
        for part in self._statements_inside(node):
            if isinstance(part, ast.Import | ast.ImportFrom):
                imports.append(part)
        return imports

    def _statements_inside(self, node: ast.stmt) -> list[ast.stmt]:
        if isinstance(node, Function | ast.ClassDef):
            return []
        inside: list[ast.stmt] = []
        waiting: list[ast.AST] = [node]
        while waiting:
            part = waiting.pop(0)
            children = ast.iter_child_nodes(part)
            if isinstance(part, ast.If) and self._never_runs(part.test):
                children = iter(part.orelse)
            for child in children:
                if isinstance(child, ast.stmt):
                    inside.append(child)
                if isinstance(child, ast.stmt | ast.ExceptHandler | ast.match_case) and not isinstance(
                    child, Function | ast.ClassDef
                ):
                    waiting.append(child)
        return inside

    def _has_effect(self, node: ast.stmt) -> bool:
        """Whether a statement does more than to bind names."""
        if isinstance(node, Function | ast.ClassDef | ast.Pass | ast.Import | ast.ImportFrom | ast.Global):
            return False
        if isinstance(node, ast.Expr):
            calls_all = dotted(node.value.func)[:1] == ("__all__",) if isinstance(node.value, ast.Call) else False
            return not (isinstance(node.value, ast.Constant | ast.NamedExpr) or is_log_call(node) or calls_all)
        if isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign):
            return _assigns_elsewhere(node) or _calls_for_effect(node.value)
        if type(node).__name__ == "TypeAlias":
            return False
        inside = self._statements_inside(node)
        return not inside or any(self._has_effect(part) for part in inside if not _is_compound(part))


def _calls_for_effect(value: ast.expr | None) -> bool:
    """Whether a value comes from a call that is known to change the state of something else."""
    names = dotted(value.func) if isinstance(value, ast.Call) else ()
    return names[-1:] != () and names[-1] in ("seterr", "seterrcall", "seed", "setlocale", "setdefault", "register")


def _is_compound(node: ast.stmt) -> bool:
    return hasattr(node, "body") and not isinstance(node, Function | ast.ClassDef)


def _assigns_elsewhere(node: ast.Assign | ast.AugAssign | ast.AnnAssign) -> bool:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    kinds = ast.Attribute | ast.Subscript
    named_nothing = all(isinstance(target, ast.Name) and target.id == "_" for target in targets)
    return named_nothing or any(isinstance(part, kinds) for target in targets for part in ast.walk(target))


def _words(value: ast.expr) -> list[str]:
    parts = value.elts if isinstance(value, ast.Tuple | ast.List | ast.Set) else [value]
    texts = [part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str)]
    return texts if len(texts) == len(parts) else []


def read_table(name: str, path: Path) -> ModuleTable:
    """The table of a module, parsed anew only when its file changed.

    Raises
    ------
    ConfigError
        When the file is not Python.
    """
    state = path.stat()
    return _read_table(name, str(path), state.st_mtime_ns, state.st_size)


@functools.lru_cache(maxsize=4096)
def _read_table(name: str, path: str, mtime_ns: int, size: int) -> ModuleTable:
    try:
        source = Path(path).read_bytes()
        tree = ast.parse(source)
    except SyntaxError as error:
        raise ConfigError(f"{path}, line {error.lineno}: {error.msg}; mend the syntax") from None
    except ValueError as error:
        raise ConfigError(f"{path} is no Python source ({error}); mend it") from None
    package = name if Path(path).name == "__init__.py" else name.rpartition(".")[0]
    table = ModuleTable(name, package, path, has_global=b"global" in source)
    table.add(tree.body)
    for names in table.order:  # a name that is imported and bound otherwise is defined by all these statements
        if isinstance(names.node, ast.Import | ast.ImportFrom):
            for alias, _ in targets_of(names.node, package):
                if alias in table.bindings:
                    table.bindings[alias].append(names)
    position = {id(statement): k for k, statement in enumerate(table.order)}
    for statements in table.bindings.values():
        statements.sort(key=lambda statement: position[id(statement)])
    return table

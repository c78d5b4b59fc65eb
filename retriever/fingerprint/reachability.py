"""Which definitions a result can reach: a graph of definitions, walked from its roots."""

import ast
import contextlib
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field

from retriever.errors import ConfigError
from retriever.fingerprint.definitions import ModuleTable, Piece, Statement
from retriever.fingerprint.imports import dotted
from retriever.fingerprint.module_files import forget, source_path
from retriever.fingerprint.names import Function, Mark, Reference
from retriever.fingerprint.resolution import Meaning, Modules
from retriever.fingerprint.unseen import is_unseen
from retriever.identity import canonical_hash

__all__ = ["Graph", "graph_of", "keep"]

Place = tuple[str, str]
"""A module and the name of a definition in it; "" for what counts when it is loaded, "*" for all of it."""

LOADING, WHOLE = "", "*"

Content = list[tuple[str, dict[str, list[str]]]]
"""What the hash of a definition is made of: the digest of each statement, and the meanings of the names in it."""


@dataclass
class Node:
    """A definition: its content, the definitions it reaches, and what static analysis cannot follow in it."""

    content: Content = field(default_factory=list)
    reaches: dict[Place, None] = field(default_factory=dict)
    unseen: list[tuple[str, int]] = field(default_factory=list)
    asks_for_subclasses: bool = False


class Graph:
    """Definitions of own modules, each looked at when it is first reached.

    Parameters
    ----------
    packages
        Top-level packages that are own ones even where they are installed.
    """

    def __init__(self, packages: frozenset[str]) -> None:
        self.modules = Modules(packages)
        self._nodes: dict[Place, Node] = {}

    # ---- roots ---------------------------------------------------------------------------------------------------

    def places_of(self, root: str) -> list[Place]:
        """Definitions that a root names: "module:name", or "module" for all of it.

        Raises
        ------
        ConfigError
            When there is no such module with Python source, or no such definition in it.
        """
        module, _, name = root.partition(":")
        self.modules.table(module)
        if not name:
            return [(module, WHOLE)]
        meaning = self.modules.meaning_of(module, (name,))
        if not meaning.definitions or "<" in name or module in meaning.wholes:
            raise ConfigError(
                f"module {module!r} does not define {name!r} by a statement of its top level, so its results could "
                "not be traced; define it there by class or def"
            )
        return sorted(meaning.definitions)

    # ---- walking -------------------------------------------------------------------------------------------------

    def reached(self, roots: Iterable[Place], beyond_versions: bool = True) -> set[Place]:
        """Definitions that can be reached.

        Parameters
        ----------
        beyond_versions
            Whether to go on from a class that declares a `version`, which is left out itself otherwise.
        """
        known: set[Place] = set()
        waiting, asks_for_subclasses = list(roots), False
        while waiting:
            place = waiting.pop()
            if place in known or not (beyond_versions or not self._has_version(place)):
                continue
            known.add(place)
            node = self._node(place)
            waiting += [target for target in node.reaches if target not in known]
            asks_for_subclasses |= node.asks_for_subclasses
            if asks_for_subclasses and set(waiting) <= known:
                waiting = list(set(self._subclasses({module for module, _ in known})) - known)
        return known

    def _has_version(self, place: Place) -> bool:
        return self.modules.table(place[0]).has_version(place[1])

    def refuse_unseen(self, root: str) -> None:
        """Refuse a root that reaches what a static look cannot follow, unless it declares a `version`.

        Raises
        ------
        ConfigError
            Names the definition, the line and the remedy.
        """
        for module, name in sorted(self.reached(self.places_of(root), beyond_versions=False)):
            for what, line in self._node((module, name)).unseen:
                where = f"{module}:{name}" if name else module
                owner = root.partition(":")[2] or "the class"
                raise ConfigError(
                    f"{where}, line {line}, uses {what}, and what comes in by that cannot be seen in the code; pass it "
                    f'in as a parameter, or give {owner} a version (a class: version: ClassVar[str] = "1"; a stage: '
                    'version="1") and count it up with every change of what is not seen'
                )

    # ---- nodes ---------------------------------------------------------------------------------------------------

    def _node(self, place: Place) -> Node:
        if place not in self._nodes:
            module, name = place
            table = self.modules.table(module)
            node = self._nodes[place] = Node()
            if name == LOADING:
                self._fill(node, table, table.effects)
                self._fill_loading(node, table)
            elif name == WHOLE:
                self._fill_whole(node, table)
            else:
                node.reaches[(module, LOADING)] = None
                self._fill(node, table, table.bindings[name])
        return self._nodes[place]

    def _fill(self, node: Node, table: ModuleTable, statements: Iterable[Statement]) -> None:
        for statement in statements:
            piece = statement.piece
            meanings: dict[str, list[str]] = {}
            for reference, line in piece.references.items():
                meaning = self.modules.meaning(table, reference)
                if meaning.words:
                    meanings[".".join((reference.name, *reference.attributes))] = meaning.words
                self._reach(node, table, reference, meaning, line)
            node.content.append((piece.digest, meanings))
            for module in piece.modules:
                self._load(node, module)
            for mark in piece.marks:
                self._judge(node, table, mark)
            self._reach_hints(node, table, piece)

    def _reach(self, node: Node, table: ModuleTable, reference: Reference, meaning: Meaning, line: int) -> None:
        for place in meaning.definitions:
            if reference.kind == "code" or not self.modules.table(place[0]).is_protocol(place[1]):
                node.reaches[place] = None
        outside = set(meaning.outside)
        if reference.target is None and reference.name not in table.bindings and reference.name not in table.aliases:
            outside.add(f"builtins.{reference.name}")
        if outside & {"builtins.globals", "sys.modules"} or any(name.startswith("sys.modules.") for name in outside):
            meaning.wholes.add(table.name)
        for module in meaning.wholes:
            node.reaches[(module, WHOLE)] = None
        for module in meaning.modules:
            self._load(node, module)
        if reference.kind == "code":
            unseen = [name.removeprefix("builtins.") for name in sorted(outside) if is_unseen(name)]
            node.unseen += [(name, line) for name in unseen]
            node.unseen += [(f"{name}, which has no Python source,", line) for name in sorted(meaning.compiled)]
            node.asks_for_subclasses |= "__subclasses__" in reference.attributes

    def _load(self, node: Node, module: str) -> None:
        for name in self.modules.loaded_with(module):
            node.reaches[(name, LOADING)] = None

    def _judge(self, node: Node, table: ModuleTable, mark: Mark) -> None:
        """Add a method of an unknown object that reads files, unless its name is one of an own class."""
        if mark.method == "__subclasses__":
            node.asks_for_subclasses = True
            return
        if mark.name in ("self", "cls") and not mark.attributes and table.has_method(mark.method):
            return
        meaning = self.modules.meaning(table, Reference(mark.name, mark.attributes)) if mark.name else Meaning()
        tables = [self.modules.table(module) for module, _ in meaning.definitions]
        if not meaning.of_module and not any(other.has_method(mark.method) for other in tables):
            node.unseen.append((f"the method {mark.method}", mark.line))

    def _fill_whole(self, node: Node, table: ModuleTable) -> None:
        """All that can be had from a module that is used as a value, though it may be defined elsewhere."""
        node.reaches |= {(table.name, name): None for name in (LOADING, *table.bindings)}
        words = {}
        for name in table.aliases:
            meaning = self.modules.meaning(table, Reference(name, ()))
            words[name] = meaning.words
            node.reaches |= dict.fromkeys(sorted(meaning.definitions))
            node.reaches |= {(module, WHOLE): None for module in sorted(meaning.wholes)}
        if words:
            node.content.append(("", words))

    def _reach_hints(self, node: Node, table: ModuleTable, piece: Piece) -> None:
        """Reach classes that annotations name: their methods can be called, though an annotation is no code."""
        waiting = [(table, reference) for reference in piece.hints]
        known: set[Place] = set()
        while waiting:
            where, reference = waiting.pop()
            for place in self.modules.meaning(where, reference).definitions - known:
                known.add(place)
                other = self.modules.table(place[0])
                if other.class_named(place[1]) is not None:
                    if not other.is_protocol(place[1]):
                        node.reaches[place] = None
                elif not any(isinstance(statement.node, Function) for statement in other.bindings[place[1]]):
                    pieces = [statement.piece for statement in other.bindings[place[1]]]
                    waiting += [(other, inner) for piece in pieces for inner in piece.references]

    # ---- loading -------------------------------------------------------------------------------------------------

    def _fill_loading(self, node: Node, table: ModuleTable) -> None:
        """What loading a module reaches: modules that it loads, and definitions that register themselves."""
        for module in table.modules:
            if self.modules.is_own(module):
                self._load(node, module)
                if module in table.stars and self.modules.loaded_with(module)[-1:] == [module]:
                    node.reaches[(module, WHOLE)] = None
        for name, statements in table.bindings.items():
            if any(self._registers(table, statement.node) for statement in statements):
                node.reaches[(table.name, name)] = None

    def _registers(self, table: ModuleTable, definition: ast.stmt) -> bool:
        """Whether a definition makes itself known elsewhere, by an own decorator or a base class that keeps a list."""
        if not isinstance(definition, Function | ast.ClassDef):
            return False
        for decorator in definition.decorator_list:
            parts = dotted(decorator.func if isinstance(decorator, ast.Call) else decorator)
            if not parts or any("register" in part.lower() for part in parts):
                return True
            meaning = self.modules.meaning(table, Reference(parts[0], parts[1:]))
            if meaning.definitions or meaning.wholes:
                return True
        return isinstance(definition, ast.ClassDef) and any(
            self._keeps_subclasses(place, set()) for place in self._own_bases(table, definition)
        )

    def _own_bases(self, table: ModuleTable, definition: ast.ClassDef) -> set[Place]:
        bases = [dotted(base.value if isinstance(base, ast.Subscript) else base) for base in definition.bases]
        bases += [dotted(keyword.value) for keyword in definition.keywords if keyword.arg == "metaclass"]
        places: set[Place] = set()
        for parts in bases:
            if parts:
                places |= self.modules.meaning(table, Reference(parts[0], parts[1:])).definitions
        return places

    def _keeps_subclasses(self, place: Place, seen: set[Place]) -> bool:
        table = self.modules.table(place[0])
        definition = table.class_named(place[1])
        if definition is None or place in seen:
            return definition is None
        seen.add(place)
        names = {node.name for node in definition.body if isinstance(node, Function)}
        if "__init_subclass__" in names or ("type",) in map(dotted, definition.bases):
            return True
        return any(self._keeps_subclasses(base, seen) for base in self._own_bases(table, definition))

    def _subclasses(self, modules: Iterable[str]) -> list[Place]:
        """Classes with own bases, any of which a call of ``__subclasses__`` may give."""
        return [
            (module, name)
            for module in sorted(modules)
            for table in [self.modules.table(module)]
            for name in table.bindings
            for definition in [table.class_named(name)]
            if definition is not None and self._own_bases(table, definition)
        ]

    # ---- hashes --------------------------------------------------------------------------------------------------

    def hashes(self, places: Iterable[Place]) -> dict[str, str]:
        """Hash of each definition, and of what counts when its module is loaded where there is any."""
        names: dict[str, set[str]] = {}
        for module, name in places:
            names.setdefault(module, set()).add(name)
        hashes = {}
        for module, inside in names.items():
            loading = self._loading_content(module, inside)
            if loading:
                hashes[f"{module}:"] = canonical_hash(loading)
            for name in inside - {LOADING, WHOLE}:
                hashes[f"{module}:{name}"] = canonical_hash(self._node((module, name)).content)
        return dict(sorted(hashes.items()))

    def _loading_content(self, module: str, names: set[str]) -> list[object]:
        """What counts when a module is loaded; the order of statements where it can make a difference."""
        table = self.modules.table(module)
        content: list[object] = [self._node((module, name)).content for name in (LOADING, WHOLE) if name in names]
        content = [part for part in content if part]
        bound = {name: table.bindings[name] for name in names - {LOADING, WHOLE}}
        if table.effects or any(len(statements) > 1 for statements in bound.values()):
            words: dict[int, list[str]] = {id(statement): ["*"] for statement in table.effects}
            for name in sorted(bound):
                for statement in bound[name]:
                    words.setdefault(id(statement), []).append(name)
            content.append([words[id(statement)] for statement in table.order if id(statement) in words])
        return content


State = dict[str, tuple[str, int, int]]

_GRAPHS: dict[frozenset[str], tuple[Graph, tuple[str, ...], State]] = {}


def graph_of(packages: frozenset[str]) -> Graph:
    """The graph of definitions; one that this process has is taken again while none of its files changed."""
    path = tuple(sys.path)
    graph, path_before, state = _GRAPHS.get(packages, (Graph(packages), path, {}))
    if path != path_before:
        forget()
    return graph if path == path_before and state == _state(graph) else Graph(packages)


def keep(graph: Graph) -> None:
    """Keep a graph for the next question."""
    _GRAPHS[graph.modules.packages] = (graph, tuple(sys.path), _state(graph))


def _state(graph: Graph) -> State:
    """Places, times and sizes of the files of a graph."""
    state = {}
    for name in graph.modules.tables:
        path = source_path(name)
        with contextlib.suppress(OSError):
            stat = path.stat() if path is not None else None
            state[name] = (str(path), stat.st_mtime_ns if stat else 0, stat.st_size if stat else 0)
    return state

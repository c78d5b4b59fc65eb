"""What a name of one module stands for in the others."""

from dataclasses import dataclass, field

from retriever.errors import ConfigError
from retriever.fingerprint.definitions import ModuleTable, read_table
from retriever.fingerprint.imports import Target
from retriever.fingerprint.module_files import exists, is_compiled, is_own, source_path
from retriever.fingerprint.names import Reference

__all__ = ["Meaning", "Modules"]

_NO_CODE = frozenset({"__name__", "__file__", "__doc__", "__path__", "__package__", "__spec__"})


@dataclass
class Meaning:
    """What a reference may stand for.

    Attributes
    ----------
    definitions
        Definitions of own modules, as (module, name).
    wholes
        Own modules that are used as values.
    outside
        Full names in packages and the standard library.
    compiled
        Own modules that have no Python source.
    modules
        Own modules that were passed on the way.
    of_module
        Whether the name stands for a module, so that what follows are names in it.
    """

    definitions: set[tuple[str, str]] = field(default_factory=set)
    wholes: set[str] = field(default_factory=set)
    outside: set[str] = field(default_factory=set)
    compiled: set[str] = field(default_factory=set)
    modules: set[str] = field(default_factory=set)
    of_module: bool = False

    @property
    def words(self) -> list[str]:
        """The meaning as sorted text."""
        own = {f"{module}:{name}" for module, name in self.definitions}
        return sorted(own | self.wholes | self.outside | self.compiled)


class Modules:
    """The own modules of one question, each looked up once.

    Parameters
    ----------
    packages
        Top-level packages that are own ones even where they are installed.
    """

    def __init__(self, packages: frozenset[str]) -> None:
        self.packages = packages
        self.tables: dict[str, ModuleTable] = {}

    def is_own(self, name: str) -> bool:
        """Whether a module is retriever's or the user's."""
        return is_own(name, self.packages)

    def table(self, name: str) -> ModuleTable:
        """The table of an own module; an empty one for a folder without ``__init__.py``."""
        if name not in self.tables:
            path = source_path(name)
            if path is None and (is_compiled(name) or not exists(name)):
                raise ConfigError(
                    f"module {name!r} has no Python source, so its results could not be traced; "
                    "define the class in a .py file"
                )
            self.tables[name] = read_table(name, path) if path is not None else ModuleTable(name, name, "")
        return self.tables[name]

    def loaded_with(self, name: str) -> list[str]:
        """Own modules with source that loading a module loads first: itself and the packages it lies in."""
        parts = name.split(".")
        names = [".".join(parts[: k + 1]) for k in range(len(parts))]
        return [part for part in names if self.is_own(part) and not is_compiled(part)]

    def meaning(self, table: ModuleTable, reference: Reference) -> Meaning:
        """What a reference in a module stands for."""
        meaning = Meaning()
        if reference.target is not None:
            self._follow_target(reference.target, reference.attributes, meaning, set())
        else:
            self._follow_name(table, reference.name, reference.attributes, meaning, set())
        return meaning

    def meaning_of(self, module: str, names: tuple[str, ...]) -> Meaning:
        """What attributes of a module stand for."""
        meaning = Meaning()
        self._follow(module, names, meaning, set())
        return meaning

    def _follow_name(
        self, table: ModuleTable, name: str, attributes: tuple[str, ...], meaning: Meaning, seen: set[Target]
    ) -> bool:
        """Add what a name of a module stands for; False where the module does not bind it."""
        if table.name:
            meaning.modules.add(table.name)
        if name in table.bindings:
            meaning.definitions.add((table.name, name))
        for target in table.aliases.get(name, ()):
            self._follow_target(target, attributes, meaning, seen)
        if name in table.bindings or name in table.aliases:
            return True
        known = False
        for star in table.stars:
            if not self.is_own(star):
                meaning.outside.add(".".join((star, name, *attributes)))
            elif not is_compiled(star) and Target(star, (name,)) not in seen:
                seen.add(Target(star, (name,)))
                known = self._follow_name(self.table(star), name, attributes, meaning, seen) or known
        return known

    def _follow_target(self, target: Target, attributes: tuple[str, ...], meaning: Meaning, seen: set[Target]) -> None:
        self._follow(target.module, (*target.attributes, *attributes), meaning, seen)
        meaning.of_module |= not target.attributes or exists(".".join((target.module, *target.attributes)))

    def _follow(self, module: str, attributes: tuple[str, ...], meaning: Meaning, seen: set[Target]) -> None:
        """Add what a dotted name below a module stands for."""
        step = Target(module, attributes)
        if step in seen:
            return
        seen.add(step)
        if not self.is_own(module):
            meaning.outside.add(".".join((module, *attributes)))
        elif is_compiled(module):
            meaning.compiled.add(module)
        elif not attributes:
            meaning.wholes.add(module)
            meaning.modules.add(module)
        else:
            self._follow_attribute(module, attributes, meaning, seen)

    def _follow_attribute(self, module: str, attributes: tuple[str, ...], meaning: Meaning, seen: set[Target]) -> None:
        table = self.table(module)
        name, rest = attributes[0], attributes[1:]
        if self._follow_name(table, name, rest, meaning, seen):
            return
        below = f"{module}.{name}"
        lazy = table.lazy_target(name)
        if exists(below):
            self._follow(below, rest, meaning, seen)
        elif lazy is not None:
            self._follow(lazy.module, (*lazy.attributes, *rest), meaning, seen)
        elif "__getattr__" in table.bindings:
            meaning.definitions.add((module, "__getattr__"))
        elif name not in _NO_CODE and not (table.stars and meaning.outside):
            meaning.wholes.add(module)

"""Where the source of a module lies, found without importing it, so that the answer is the same in every process."""

import functools
import importlib.util
import site
import sys
import sysconfig
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

__all__ = ["exists", "forget", "is_compiled", "is_own", "source_path"]


def source_path(name: str) -> Path | None:
    """Path of a module's Python source; None where it has none.

    Examples
    --------
    >>> source_path("retriever.statistics").name
    'statistics.py'
    """
    spec = _spec(name)
    return Path(spec.origin) if spec and spec.origin and spec.origin.endswith(".py") else None


def exists(name: str) -> bool:
    """Whether a module, or a package without ``__init__.py``, has this name."""
    return _spec(name) is not None


@functools.lru_cache(maxsize=4096)
def is_own(name: str, packages: frozenset[str]) -> bool:
    """Whether a module is retriever's or the user's, and so is hashed.

    Parameters
    ----------
    name
        Dotted name of a module.
    packages
        Top-level packages that are own ones even where they are installed.

    Examples
    --------
    >>> is_own("retriever.statistics", frozenset({"retriever"})), is_own("numpy.linalg", frozenset({"retriever"}))
    (True, False)
    """
    spec = _spec(name)
    if spec is None:
        return False
    places = [spec.origin] if spec.origin else list(spec.submodule_search_locations or ())
    if not places or places[0] in ("built-in", "frozen"):
        return False
    if name.partition(".")[0] in packages:
        return True
    return not any(_is_library(Path(place)) for place in places)


def is_compiled(name: str) -> bool:
    """Whether a module is there, but has no Python source: an extension module, or one in an archive."""
    spec = _spec(name)
    return spec is not None and spec.origin is not None and not spec.origin.endswith(".py")


@functools.lru_cache(maxsize=4096)
def _spec(name: str) -> ModuleSpec | None:
    parent, _, _ = name.rpartition(".")
    if name.split(".")[0] in sys.stdlib_module_names:
        return None
    try:
        if not parent:
            return _with_plain_locations(importlib.util.find_spec(name))
        above = _spec(parent)
        if above is None or above.submodule_search_locations is None:
            return None
        return _with_plain_locations(PathFinder.find_spec(name, above.submodule_search_locations))
    except KeyError:  # a folder without __init__.py, whose parent PathFinder would have to import
        return _folder_below(parent, name)
    except (ImportError, ValueError):
        return None


def _folder_below(parent: str, name: str) -> ModuleSpec | None:
    above = _spec(parent)
    places = above.submodule_search_locations if above is not None else None
    folders = [Path(place) / name.rpartition(".")[2] for place in places or ()]
    spec = ModuleSpec(name, None, is_package=True)
    spec.submodule_search_locations = [str(folder) for folder in folders if folder.is_dir()]
    return spec if spec.submodule_search_locations else None


def _with_plain_locations(spec: ModuleSpec | None) -> ModuleSpec | None:
    """The locations of a folder without ``__init__.py`` as a list, which asks for no module to be imported."""
    if spec is not None and spec.origin is None and spec.submodule_search_locations is not None:
        locations = spec.submodule_search_locations
        plain = ModuleSpec(spec.name, None, is_package=True)
        plain.submodule_search_locations = list(getattr(locations, "_path", locations))
        return plain
    return spec


def _is_library(path: Path) -> bool:
    if "site-packages" in path.parts or "dist-packages" in path.parts:  # of this environment, or one that it extends
        return True
    return any(path.is_relative_to(folder) for folder in _library_folders())


@functools.cache
def _library_folders() -> tuple[Path, ...]:
    folders = {sysconfig.get_path(key) for key in ("stdlib", "platstdlib", "purelib", "platlib")}
    folders |= {*site.getsitepackages(), site.getusersitepackages()}
    return tuple(Path(folder) for folder in folders if folder)


def forget() -> None:
    """Forget where modules lie, as when files were added during this process."""
    _spec.cache_clear()
    is_own.cache_clear()

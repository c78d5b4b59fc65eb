"""Hashes of the code that results are computed with."""

import gc
import hashlib
import os
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from retriever.errors import ConfigError
from retriever.fingerprint.module_files import source_path
from retriever.fingerprint.reachability import Graph, graph_of, keep
from retriever.identity import canonical_hash

__all__ = ["code_of", "definition_of", "files_of", "fingerprint", "refuse_changed", "user_modules"]


def fingerprint(*roots: str) -> str:
    """Hash the code that a result is computed with.

    Parameters
    ----------
    roots
        Definitions as "module:name", or whole modules as "module".

    Returns
    -------
    str
        64 hexadecimal characters.

    Raises
    ------
    ConfigError
        When a root cannot be found in Python source, or reaches what a static look cannot follow.

    Examples
    --------
    >>> len(fingerprint("retriever.statistics:median"))
    64
    """
    return canonical_hash(code_of(*roots))


def code_of(*roots: str, versioned: Collection[str] = ()) -> dict[str, str]:
    """Map each definition reached from `roots` to its hash.

    Parameters
    ----------
    roots
        Definitions as "module:name", or whole modules as "module".
    versioned
        Roots whose version is declared elsewhere, so that they may reach what a static look cannot follow.

    Returns
    -------
    dict
        Keys are "module:name", and "module:" for statements that count whenever the module is loaded.

    Raises
    ------
    ConfigError
        As for `fingerprint`.

    Examples
    --------
    >>> list(code_of("retriever.profiles:occultation"))
    ['retriever.profiles:occultation', 'retriever.profiles:trapezoid']
    """
    graph = _graph(roots)
    with _no_garbage_collection():
        for root in roots:
            if root not in versioned:
                graph.refuse_unseen(root)
        places = graph.reached(place for root in roots for place in graph.places_of(root))
        keep(graph)
        return graph.hashes(places)


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Syntax trees are many objects that all stay: to look for garbage among them takes a quarter of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def definition_of(kind: type | Callable[..., object]) -> str:
    """The root that a class or function is: its module and the top-level definition that it is part of.

    Examples
    --------
    >>> definition_of(Graph.hashes)
    'retriever.fingerprint.reachability:Graph'
    """
    return f"{kind.__module__}:{kind.__qualname__.partition('.')[0]}"


def user_modules(*roots: str) -> dict[str, Path]:
    """Paths of the modules that `roots` reach or load and that are not retriever's own."""
    graph = _graph(roots)
    places = graph.reached(place for root in roots for place in graph.places_of(root))
    names = sorted({module for module, _ in places if module.partition(".")[0] != "retriever"})
    paths = {name: source_path(name) for name in names}
    return {name: path for name, path in paths.items() if path is not None}


def _graph(roots: Iterable[str]) -> Graph:
    tops = {root.partition(":")[0].partition(".")[0] for root in roots}
    return graph_of(frozenset({"retriever", *tops}))


def files_of(modules: Iterable[str]) -> dict[str, str]:
    """Map modules to the hash of their files as they are: equal ones need not be parsed to know that they are equal."""
    digests = {}
    for name in sorted(modules):
        path = source_path(name)
        digests[name] = hashlib.sha256(path.read_bytes()).hexdigest() if path is not None else ""
    return digests


_LOADED: dict[str, tuple[ModuleType, str]] = {}


def refuse_changed(files: Mapping[str, str]) -> None:
    """Refuse to go on with modules that this process loaded before their files changed.

    Parameters
    ----------
    files
        As `files_of` gives them.

    Raises
    ------
    ConfigError
        When the code in memory is older than that on disk, so that results would be booked under the wrong key.
    """
    for name, digest in files.items():
        module = sys.modules.get(name)
        if module is None:
            continue
        known = _LOADED.get(name)
        if known is None or known[0] is not module:
            _LOADED[name] = (module, digest)
        elif known[1] != digest:
            raise ConfigError(f"the code of {name} changed since process {os.getpid()} loaded it; start that anew")

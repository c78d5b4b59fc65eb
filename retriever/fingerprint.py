"""Fingerprints of code: what a product's key knows about the program that made it.

The fingerprint of a class covers the module it is defined in and every module that one reaches through
static imports, as long as they are the user's or retriever's own. Comments, docstrings and blank lines do not
count, so that explaining code better recomputes nothing. Third-party packages are recorded with each run and
not hashed.
"""

import ast
import functools
import hashlib
import importlib.util
import io
import os
import site
import sys
import sysconfig
import tokenize
from collections.abc import Iterable, Mapping
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

from retriever.errors import ConfigError
from retriever.identity import canonical_hash

__all__ = ["bare_source", "code_of", "files_of", "fingerprint", "refuse_changed", "user_modules"]


def fingerprint(*modules: str) -> str:
    """Hash the code that the named modules stand on.

    Parameters
    ----------
    modules
        Dotted names of importable modules.

    Returns
    -------
    str
        64 hexadecimal characters.

    Raises
    ------
    ConfigError
        When a module has no Python source to read.
    """
    return canonical_hash(code_of(*modules))


def code_of(*modules: str) -> dict[str, str]:
    """Map each module reached from `modules` to the hash of its bare source."""
    found: dict[str, str] = {}
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        path = _source_path(name)
        if path is None:
            raise ConfigError(
                f"module {name!r} has no Python source, so its results could not be traced; "
                "define the class in a .py file"
            )
        found[name], imports = _read_module(str(path), name, path.stat().st_mtime_ns)
        waiting.extend(target for target in imports if target not in found and _is_ours(target, modules))
    return found


def files_of(modules: Iterable[str]) -> dict[str, str]:
    """Map modules to the hash of their files as they are: equal ones need not be parsed to know that they are equal."""
    found = {}
    for name in sorted(modules):
        path = _source_path(name)
        found[name] = hashlib.sha256(path.read_bytes()).hexdigest() if path is not None else ""
    return found


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


def user_modules(*modules: str) -> dict[str, Path]:
    """Paths of the modules reached from `modules` that are not retriever's own."""
    paths = {name: _source_path(name) for name in code_of(*modules) if not name.startswith("retriever.")}
    return {name: path for name, path in paths.items() if path is not None}


def bare_source(text: str) -> str:
    """Strip comments, docstrings, blank lines and trailing spaces from Python source.

    Examples
    --------
    >>> bare_source('x = 1  # one\\n\\n"a statement that does nothing"\\n')
    'x = 1'
    """
    # keepends by "\n" alone: str.splitlines also cuts at form feeds, which ast and tokenize do not count
    lines = [line.encode() for line in text.replace("\r\n", "\n").split("\n")]
    spans = [*_docstring_spans(text), *_comment_spans(text, lines)]
    for (first, start), (last, end) in sorted(spans, reverse=True):
        lines[first : last + 1] = [lines[first][:start] + lines[last][end:]]
    return "\n".join(line.rstrip().decode() for line in lines if line.strip())


Span = tuple[tuple[int, int], tuple[int, int]]


def _docstring_spans(text: str) -> list[Span]:
    spans = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            end_line, end_column = node.end_lineno or node.lineno, node.end_col_offset or 0
            spans.append(((node.lineno - 1, node.col_offset), (end_line - 1, end_column)))
    return spans


def _comment_spans(text: str, lines: list[bytes]) -> list[Span]:
    if "#" not in text:
        return []
    spans = []
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start[0] - 1, len(token.line[: token.start[1]].encode())
            spans.append(((row, column), (row, len(lines[row]))))
    return spans


@functools.lru_cache(maxsize=4096)
def _read_module(path: str, name: str, mtime_ns: int) -> tuple[str, tuple[str, ...]]:
    text = Path(path).read_text(encoding="utf-8")
    try:
        return canonical_hash(bare_source(text)), tuple(_static_imports(ast.parse(text), name, path))
    except SyntaxError as error:
        raise ConfigError(f"{path}, line {error.lineno}: {error.msg}; mend the syntax") from None


def _static_imports(tree: ast.AST, module: str, path: str) -> list[str]:
    package = module if Path(path).name == "__init__.py" else module.rpartition(".")[0]
    names: list[str] = []
    for node in _nodes_outside_type_checking(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = importlib.util.resolve_name("." * node.level + base, package)
            names.append(base)
            names += [f"{base}.{alias.name}" for alias in node.names]
    return [name for name in names if name]


def _nodes_outside_type_checking(tree: ast.AST) -> list[ast.AST]:
    nodes: list[ast.AST] = []
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        nodes.append(node)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            waiting.extend(node.orelse)
        else:
            waiting.extend(ast.iter_child_nodes(node))
    return nodes


def _is_ours(name: str, roots: tuple[str, ...]) -> bool:
    path = _source_path(name)
    if path is None or (path.name == "__init__.py" and name.split(".")[0] == "retriever"):
        return False
    if name.split(".")[0] in {"retriever", *(root.split(".")[0] for root in roots)}:
        return True
    return not any(path.is_relative_to(folder) for folder in _library_folders())


@functools.lru_cache(maxsize=4096)
def _source_path(name: str) -> Path | None:
    spec = _spec(name)
    origin = spec.origin if spec else None
    return Path(origin) if origin and origin.endswith(".py") else None


@functools.lru_cache(maxsize=4096)
def _spec(name: str) -> ModuleSpec | None:
    """Find a module without importing anything, so that the answer does not depend on what was imported."""
    parent, _, _ = name.rpartition(".")
    if name.split(".")[0] in sys.stdlib_module_names:
        return None
    try:
        if not parent:
            return importlib.util.find_spec(name)
        above = _spec(parent)
        if above is None or above.submodule_search_locations is None:
            return None
        return PathFinder.find_spec(name, above.submodule_search_locations)
    except (ImportError, ValueError):
        return None


@functools.cache
def _library_folders() -> tuple[Path, ...]:
    folders = {sysconfig.get_path(key) for key in ("stdlib", "platstdlib", "purelib", "platlib")}
    folders |= {*site.getsitepackages(), site.getusersitepackages()}
    return tuple(Path(folder) for folder in folders if folder)

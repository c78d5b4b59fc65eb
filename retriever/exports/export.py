"""Exports of a version: which files a format has, each written whole or not at all."""

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from retriever.api.source import LEVELS
from retriever.errors import ConfigError, StoreError, nearest
from retriever.exports.tables import FORMATS, write_table

if TYPE_CHECKING:
    from retriever.api.version import Version

__all__ = ["ALL_FORMATS", "export"]

ALL_FORMATS = (*FORMATS, "parquet", "prov")
"""Formats: tables in four of them, light curves as nested Parquet, provenance as PROV-JSON."""

_PRIVATE = ("segments", "products")
"""Tables that say where things lie, and are of no use elsewhere unless they are asked for."""


def export(
    version: "Version", target: Path, kind: str, *, tables: Sequence[str] = (), sources: Sequence[str] | None = None,
    level: str = "processed", progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Path]:  # fmt: skip
    """Write a version, or parts of it, in a format of other tools; gives the files.

    Parameters
    ----------
    target
        The file; with several tables a folder, which must not exist.
    kind
        One of `ALL_FORMATS`.
    tables
        Names of tables, for formats of tables; all results where none are named.
    sources
        Names of sources, for light curves; all where none are named.
    level
        Level of light curves.
    progress
        Is told how much of how much is done.

    Raises
    ------
    ConfigError
        When the format does not exist, or the target does.
    StoreError
        When the version lacks a table or file, or the target cannot be written.
    """
    if kind not in ALL_FORMATS:
        raise ConfigError(f"there is no format {kind!r}{nearest(kind, ALL_FORMATS)}")
    if level not in LEVELS or level == "raw":
        raise ConfigError(f"light curves of level {level!r} cannot be exported; choose {', '.join(LEVELS[1:])}")
    if target.exists():
        raise ConfigError(f"{target} is there already; choose another name")
    chosen = list(tables) or [name for name in version.tables if name not in _PRIVATE]
    is_folder = kind in FORMATS and len(chosen) != 1
    temporary = target.with_name(f".{target.name}.tmp")
    try:
        _clear(temporary)
        if is_folder:
            temporary.mkdir(parents=True)
            names = [f"{name}{FORMATS[kind]}" for name in chosen]
            for k, (name, file) in enumerate(zip(chosen, names, strict=True)):
                write_table(name, version.table(name), temporary / file, kind)
                progress(k + 1, len(chosen))
        else:
            names = [""]
            _write_one(version, temporary, kind, chosen[0] if chosen else "", sources, level, progress)
        temporary.replace(target)
    except OSError as error:
        raise StoreError(f"cannot write {target}: {error.strerror or error}; choose another place") from error
    finally:
        _clear(temporary)
    return [target / name if name else target for name in names]


def _write_one(
    version: "Version", path: Path, kind: str, table: str, sources: Sequence[str] | None, level: str,
    progress: Callable[[int, int], None],
) -> None:  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == "parquet":
        from retriever.exports.nested import write_nested

        write_nested(version, path, level=level, names=sources, progress=progress)
    elif kind == "prov":
        from retriever.exports.provenance import provenance

        path.write_text(json.dumps(provenance(version), indent=1) + "\n", encoding="utf-8")
    else:
        write_table(table, version.table(table), path, kind)


def _clear(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    elif path.exists():
        path.unlink()

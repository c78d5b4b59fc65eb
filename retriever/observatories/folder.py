"""Light curves in a folder, in files named after their source."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from retriever.arrays import Array
from retriever.errors import ConfigError, FileFormatError, nearest
from retriever.fits_folder import existing_folder
from retriever.formats import read_table
from retriever.interfaces import NO_RESULT, each
from retriever.observatories.requests import constant, request_text
from retriever.rawtable import RawPhotometry, RawTable
from retriever.source import Source, SourceTable

__all__ = ["FolderObservatory", "alias_column", "file_state", "other_names", "read_files", "states_of"]


@dataclass(frozen=True, kw_only=True)
class FolderObservatory:
    """One file or several a source, of any format that `retriever.formats` reads.

    Parameters
    ----------
    survey
        Name that the raw data is kept by.
    pattern
        Names of the files, with ``{name}`` in the place of the source's name or alias (blanks may be underscores) and
        ``*`` for anything: ``"{name}.csv"``, ``"{name}_*.fits"``.
    key
        Column in which the files name their sources, for tables with rows of many; "" where the files' names do. The
        pattern then needs no ``{name}``.
    folder
        Where the files are. A file that is new, or changed in size or time, makes its source pending.
    """

    survey: str = "FOLDER"
    pattern: str = "{name}.csv"
    key: str = ""
    folder: str | None = field(default=None, metadata=NO_RESULT)

    def __post_init__(self) -> None:
        if not self.key and self.pattern.count("{name}") != 1:
            raise ConfigError(
                f"the pattern of survey {self.survey} is {self.pattern!r}; it must have {{name}} in it once"
            )

    def fetch(self, sources: Sequence[Source]) -> Iterator[RawPhotometry | Exception]:
        """Read each source's files; a source without any has no data."""
        return each(lambda source: self._read(self.request(source)), sources)

    def request(self, source: Source) -> dict[str, object]:
        """Which files are looked for: by name and aliases, pattern, and column."""
        return {"name": source.name, **other_names(source), "pattern": self.pattern, "key": self.key}

    def request_columns(self, sources: SourceTable) -> dict[str, Array]:
        """The requests of a table."""
        n = len(sources)
        fixed = {"pattern": constant(self.pattern, n), "key": constant(self.key, n)}
        return {"name": sources.name, **alias_column(sources), **fixed}

    def states(self, sources: SourceTable) -> list[str]:
        """Names, sizes and times of each source's files."""
        return states_of(sources, self._of, f"{self.folder} has no file like {self.pattern!r}")

    def _read(self, request: Mapping[str, Any]) -> RawPhotometry:
        aliases = request.get("aliases", ())
        paths = self._of(request["name"], aliases)
        if not self.key:
            return read_files(paths, request)
        names = {request["name"], *aliases}
        parts = [part for path in paths for name, part in self._tables[path].items() if name in names]
        return RawPhotometry(tables=tuple(parts), provenance=_provenance(paths, request))

    def _of(self, name: str, aliases: Sequence[str]) -> list[Path]:
        words = {word for label in (name, *aliases) for word in (label, label.replace(" ", "_"))}
        return sorted(path for word in words for path in self._files.get(word, ()))

    @cached_property
    def _files(self) -> dict[str, list[Path]]:
        # the folder is listed and the names are compared, so no name of a source becomes a path
        if self.key:
            named: dict[str, list[Path]] = {}
            for path, parts in self._tables.items():
                for name in parts:
                    named.setdefault(name, []).append(path)
            return named
        folder = existing_folder(self.folder, f"the folder of survey {self.survey}")
        before, after = (re.escape(part).replace(r"\*", ".*") for part in self.pattern.split("{name}"))
        files: dict[str, list[Path]] = {}
        for path in sorted(folder.iterdir()):
            if path.is_file():
                for name in names_in(path.name, re.compile(before), re.compile(after)):
                    files.setdefault(name, []).append(path)
        return files

    @cached_property
    def _tables(self) -> dict[Path, dict[str, RawTable]]:
        """Tables with rows of many sources, cut by source."""
        folder = existing_folder(self.folder, f"the folder of survey {self.survey}")
        wanted = re.compile(re.escape(self.pattern.replace("{name}", "*")).replace(r"\*", ".*"))
        paths = [path for path in sorted(folder.iterdir()) if path.is_file() and wanted.fullmatch(path.name)]
        return {path: by_source(read_table(path), self.key) for path in paths}


def by_source(table: RawTable, key: str) -> dict[str, RawTable]:
    """Cut a table by the column that names the source of each row.

    Raises
    ------
    FileFormatError
        When it has no such column.

    Examples
    --------
    >>> table = RawTable(columns={"star": np.array(["A", "B", "A"]), "mjd": np.array([1.0, 2.0, 3.0])})
    >>> by_source(table, "star")["A"].columns["mjd"].tolist()
    [1.0, 3.0]
    """
    if key not in table.columns:
        raise FileFormatError(f"{table.origin} has no column {key!r}{nearest(key, table.columns)}")
    words = np.array([str(value).strip() for value in np.ma.getdata(table.columns[key]).tolist()])
    parts = {}
    for name in np.unique(words).tolist():
        rows = np.flatnonzero(words == name)
        columns = {column: values[rows] for column, values in table.columns.items() if column != key}
        parts[name] = RawTable(columns=columns, units=table.units, headers=table.headers, origin=table.origin)
    return parts


def names_in(file_name: str, before: re.Pattern[str], after: re.Pattern[str]) -> list[str]:
    """Names of sources that a file may belong to: whole words in its name, between matches of `before` and `after`.

    Examples
    --------
    >>> names_in("irsa_X_1.csv", re.compile(".*"), re.compile("[.]csv"))
    ['irsa_X_1', 'X_1', '1']
    """
    n = len(file_name)

    def is_edge(k: int) -> bool:
        return k in (0, n) or not (file_name[k - 1].isalnum() and file_name[k].isalnum())

    starts = [k for k in range(n) if before.fullmatch(file_name, 0, k) and is_edge(k)]
    ends = [k for k in range(1, n + 1) if after.fullmatch(file_name, k) and is_edge(k)]
    words = [file_name[start:end] for start in starts for end in ends if end > start]
    return [word for word in words if word[0].isalnum() or len(starts) == 1]


def read_files(paths: Sequence[Path], request: Mapping[str, object]) -> RawPhotometry:
    """All tables of a source's files; none when there are no files."""
    return RawPhotometry(tables=tuple(read_table(path) for path in paths), provenance=_provenance(paths, request))


def _provenance(paths: Sequence[Path], request: Mapping[str, object]) -> dict[str, str]:
    names = ", ".join(path.name for path in paths)
    return {"address": "file:", "request": names, "asked": request_text(request)}


def other_names(source: Source) -> dict[str, list[str]]:
    """The part of a request that holds a source's aliases; their order does not count.

    Examples
    --------
    >>> other_names(Source(name="X", ra=0.0, dec=0.0, aliases=("b", "a")))
    {'aliases': ['a', 'b']}
    """
    return {"aliases": sorted(set(source.aliases))} if source.aliases else {}


def alias_column(sources: SourceTable) -> dict[str, Array]:
    """The same for a table."""
    if not any(sources.aliases):
        return {}
    column = np.full(len(sources), None, object)
    for row, aliases in enumerate(sources.aliases):
        if aliases:
            column[row] = sorted(set(aliases))
    return {"aliases": column}


def states_of(sources: SourceTable, files_of: Callable[[str, Sequence[str]], list[Path]], nothing: str) -> list[str]:
    """Names, sizes and times of the files of each source, found by its name and aliases.

    Raises
    ------
    ConfigError
        When no source has any; `nothing` is the beginning of the message.
    """
    aliases = sources.aliases or ((),) * len(sources)
    files = [files_of(name, other) for name, other in zip(sources.name.tolist(), aliases, strict=True)]
    if not any(files):
        raise ConfigError(
            f"{nothing} for any source of the catalog; check paths.lightcurves and the observatory's parameters"
        )
    return [" ".join(map(file_state, paths)) for paths in files]


def file_state(path: Path) -> str:
    """Name, size and modification time of a file, which change with its content."""
    facts = path.stat()
    return f"{path.name}:{facts.st_size}:{facts.st_mtime_ns}"

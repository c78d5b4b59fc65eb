"""Rows of large tables, filtered, in some order, a page at a time.

Tables of versions are Parquet files, so a column of a million rows is read and sorted in a tenth of a second; what was
asked for last is kept in memory.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import numpy as np

from retriever.arrays import Array, Rows
from retriever.errors import ConfigError, StoreError, nearest
from retriever.report.arrow import arrow_array, arrow_text, numpy_array
from retriever.report.verdicts import VERDICT_FILE, VERDICTS, Verdict, latest_verdicts, read_verdicts, verdict_words
from retriever.report.versions import VersionFolder, declared_defaults

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "DETECTION_COLUMNS",
    "PAGE",
    "SOURCE_COLUMNS",
    "Query",
    "detection",
    "history",
    "name_at",
    "order_of",
    "places_of",
    "rows_of",
    "sources_order",
]

PAGE = 50
"""Rows of a page."""

DETECTION_COLUMNS = (
    "source", "observatory", "lightcurve", "finder", "snr", "fap", "time_peak", "n_epochs", "dmag", "width", "period",
)  # fmt: skip
"""Columns of the table of detections, in which it can be sorted."""

SOURCE_COLUMNS = ("name", "ra", "dec", "mag", "detections")

_FOR_VERDICTS = ("source", "observatory", "time_first", "time_last", "period")

Stamp = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Query:
    """What is asked of a table, as an address has it.

    Parameters
    ----------
    sort
        A column.
    up
        Whether the least comes first.
    source
        Part of the name of the source, in small or large letters.
    observatory, finder
        Name of a survey or finder; all where it is empty.
    snr
        Least S/N of either sign.
    verdict
        A verdict, or "none" for detections without one; all where it is empty.
    page
        Number of the page, from 1.
    """

    sort: str = "snr"
    up: bool = False
    source: str = ""
    observatory: str = ""
    finder: str = ""
    snr: float = 0.0
    verdict: str = ""
    page: int = 1

    @classmethod
    def parse(cls, words: Mapping[str, str], sortable: Sequence[str], **default: Any) -> "Query":
        """A query from the words of an address.

        Raises
        ------
        ConfigError
            When a word makes no sense.

        Examples
        --------
        >>> Query.parse({"snr": "7", "page": "2"}, DETECTION_COLUMNS)
        Query(sort='snr', up=False, source='', observatory='', finder='', snr=7.0, verdict='', page=2)
        """
        values: dict[str, Any] = dict(default)
        for spec in fields(cls):
            text = words.get(spec.name, "").strip()
            if not text:
                continue
            try:
                values[spec.name] = text in ("1", "true") if spec.type is bool else spec.type(text)  # type: ignore[operator]
            except ValueError as error:
                raise ConfigError(f"{spec.name}={text[:40]!r} is no number") from error
        query = cls(**values)
        if query.sort not in sortable:
            raise ConfigError(f"there is no column {query.sort[:40]!r}{nearest(query.sort, sortable)}")
        if query.verdict not in ("", "none", *VERDICTS):
            raise ConfigError(f"there is no verdict {query.verdict[:40]!r}{nearest(query.verdict, VERDICTS)}")
        if query.page < 1 or not np.isfinite(query.snr):
            raise ConfigError("pages count from 1, and S/N is a number")
        return query

    def words(self, **other: object) -> str:
        """The query as part of an address, some of it changed; what is as usual is left out.

        Examples
        --------
        >>> Query(snr=7.0).words(page=2)
        'snr=7.0&page=2'
        """
        usual, own = Query(), {spec.name: getattr(self, spec.name) for spec in fields(self)} | other
        kept = {key: int(value) if isinstance(value, bool) else value for key, value in own.items()
                if value != getattr(usual, key)}  # fmt: skip
        return urlencode(kept)

    @property
    def is_filtered(self) -> bool:
        """Whether rows are left out."""
        return bool(self.source or self.observatory or self.finder or self.snr or self.verdict)


def _stamp(path: Path) -> Stamp:
    """What changes when a file is another."""
    try:
        found = path.stat()
    except OSError:
        return (0, 0)
    return (found.st_mtime_ns, found.st_size)


def _stamps(version: VersionFolder, table: str, verdicts: bool) -> tuple[Stamp, Stamp]:
    own = _stamp(version.folder / f"{table}.parquet")
    return own, _stamp(version.folder.parent / VERDICT_FILE) if verdicts else (0, 0)


class _Table:
    """The columns of a table that it is sorted and filtered by; each is read when it is asked for first."""

    def __init__(self, version: VersionFolder, name: str) -> None:
        self._version, self._name = version, name
        self._read: dict[str, pa.ChunkedArray] = {}

    def __getitem__(self, column: str) -> "pa.ChunkedArray":
        if column not in self._read:
            with self._version.open_table(self._name) as file:
                if column in file.schema_arrow.names:
                    self._read[column] = file.read(columns=[column])[column]
                else:
                    self._read[column] = _default(self._name, column, file.metadata.num_rows)
        return self._read[column]

    def numbers(self, column: str) -> Array:
        """A column of numbers."""
        return numpy_array(self[column])

    def take(self, columns: Sequence[str], rows: Rows) -> dict[str, list[Any]]:
        """Values of some rows, read a row group at a time, since whole columns would need far more memory."""
        taken: dict[str, list[Any]] = {column: [None] * len(rows) for column in columns}
        with self._version.open_table(self._name) as file:
            known = [column for column in columns if column in file.schema_arrow.names]
            sizes = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
            ends = np.cumsum(sizes)
            if len(rows) and rows.max() >= file.metadata.num_rows:
                raise StoreError(f"{self._version.name} is being written just now; load the page again")
            group_of = np.searchsorted(ends, rows, side="right")
            for group in np.unique(group_of).tolist():
                places = np.flatnonzero(group_of == group)
                inside = arrow_array(rows[places] - (ends[group] - sizes[group]))
                part = file.read_row_group(group, columns=known)
                for column in known:
                    for place, value in zip(places.tolist(), part[column].take(inside).to_pylist(), strict=True):
                        taken[column][place] = float("nan") if value is None else value
        for column in set(columns) - set(known):
            taken[column] = _default(self._name, column, len(rows)).to_pylist()
        return taken


def _table(version: VersionFolder, name: str) -> _Table:
    """A table as its file is now."""
    return _cached_table(version.folder, _stamp(version.folder / f"{name}.parquet"), name)


@lru_cache(maxsize=8)
def _cached_table(folder: Path, stamp: Stamp, name: str) -> _Table:
    return _Table(VersionFolder(folder), name)


def _default(table: str, column: str, n: int) -> "pa.ChunkedArray":
    """A column that a version written before does not have."""
    import pyarrow as pa

    defaults = declared_defaults(table, [column], {}, n)
    if column not in defaults:
        raise StoreError(f"the table {table} has no column {column}; run the version again")
    values = defaults[column]
    return pa.chunked_array([arrow_array(values.tolist() if values.dtype.kind == "O" else values)])


def _is_text(column: "pa.ChunkedArray") -> bool:
    import pyarrow as pa

    kind = column.type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_dictionary(kind))


# ---- detections ---------------------------------------------------------------------------------------------------


def order_of(version: VersionFolder, query: Query) -> Rows:
    """Rows of the table of detections that a query leaves, in its order.

    Raises
    ------
    StoreError
        When the table is missing or broken.
    """
    stamps = _stamps(version, "detections", bool(query.verdict))
    return _ordered(version.folder, stamps, Query(**{**vars(query), "page": 1}))


@lru_cache(maxsize=16)
def _ordered(folder: Path, stamps: tuple[Stamp, Stamp], query: Query) -> Rows:
    version = VersionFolder(folder)
    table = _table(version, "detections")
    strength = np.abs(table.numbers("snr"))
    keep = np.ones(len(strength), np.bool_)
    if query.snr:
        with np.errstate(invalid="ignore"):
            keep &= strength >= query.snr
    for name, text in (("observatory", query.observatory), ("finder", query.finder)):
        if text:
            keep &= _equals(table[name], text)
    if query.source:
        keep &= _contains(table["source"], query.source)
    if query.verdict:
        wanted = "" if query.verdict == "none" else query.verdict
        keep &= np.array(words_of(version, np.arange(len(keep))), np.str_) == wanted
    rows = np.flatnonzero(keep)
    return rows[_sorted(strength if query.sort == "snr" else table[query.sort], rows, query.up)]


def _equals(texts: "pa.ChunkedArray", text: str) -> Array:
    import pyarrow.compute as pc

    return numpy_array(pc.fill_null(pc.equal(texts, arrow_text(text)), False))


def _contains(texts: "pa.ChunkedArray", part: str) -> Array:
    import pyarrow.compute as pc

    return numpy_array(pc.fill_null(pc.match_substring(texts, part, ignore_case=True), False))


def _sorted(values: "pa.ChunkedArray | Array", rows: Rows, up: bool) -> Rows:
    """Order of the values of some rows; equal ones as they come, NaN at the end."""
    if isinstance(values, np.ndarray):
        numbers = values[rows]
    elif _is_text(values):
        import pyarrow as pa
        import pyarrow.compute as pc

        ranks = pc.rank(pc.cast(values, pa.large_string()).combine_chunks(), tiebreaker="dense")
        numbers = np.asarray(ranks)[rows].astype(np.float64)
    else:
        numbers = numpy_array(values)[rows].astype(np.float64)
    return np.argsort(numbers if up else -numbers, kind="stable").astype(np.int64)


def places_of(version: VersionFolder, source: str) -> list[int]:
    """Rows of the detections of a source in the version's table."""
    return [int(row) for row in np.flatnonzero(_equals(_table(version, "detections")["source"], source))]


def name_at(version: VersionFolder, row: int) -> str:
    """Name of the source in a row of the catalog.

    Raises
    ------
    ConfigError
        When there is no such row.
    """
    names = _table(version, "sources")["name"]
    if row >= len(names):
        raise ConfigError(f"{version.name} has {len(names)} sources, and none of number {row}")
    return str(names[row])


def words_of(version: VersionFolder, rows: Rows) -> list[str]:
    """The last verdict on each of some rows of the table of detections; "" where there is none."""
    verdicts = read_verdicts(version.folder.parent)
    if not verdicts:
        return [""] * len(rows)
    # few verdicts are on few of many sources
    import pyarrow.compute as pc

    table, words = _table(version, "detections"), np.full(len(rows), "", "U8")
    judged = arrow_array(sorted({each.source for each in verdicts}))
    sources = table["source"].take(arrow_array(rows))
    own = np.flatnonzero(numpy_array(pc.is_in(pc.cast(sources, judged.type), value_set=judged)))
    taken = table.take(_FOR_VERDICTS, rows[own])
    words[own] = verdict_words({name: np.array(values) for name, values in taken.items()}, verdicts)
    return words.tolist()


def rows_of(version: VersionFolder, order: Rows, page: int) -> list[dict[str, Any]]:
    """The rows of a page of detections, with `row` and `verdict`."""
    rows = order[(page - 1) * PAGE : page * PAGE]
    taken = _table(version, "detections").take(DETECTION_COLUMNS, rows)
    taken |= {"row": rows.tolist(), "verdict": words_of(version, rows)}
    return [dict(zip(taken, values, strict=True)) for values in zip(*taken.values(), strict=True)]


def detection(version: VersionFolder, row: int) -> dict[str, Any]:
    """One row of the table of detections, with all of its columns.

    Raises
    ------
    ConfigError
        When there is no such row.
    """
    with version.open_table("detections") as file:
        first = 0
        for group in range(file.num_row_groups):
            size = file.metadata.row_group(group).num_rows
            if first <= row < first + size:
                (found,) = file.read_row_group(group).slice(row - first, 1).to_pylist()
                return {key: float("nan") if value is None else value for key, value in found.items()}
            first += size
    raise ConfigError(f"{version.name} has {first} detections, and none of number {row}")


# ---- sources ------------------------------------------------------------------------------------------------------


def sources_order(version: VersionFolder, query: Query) -> Rows:
    """Rows of the catalog that a query leaves, in its order.

    Raises
    ------
    StoreError
        When a table is missing or broken.
    """
    stamps = tuple(_stamp(version.folder / f"{name}.parquet") for name in ("sources", "detections"))
    return _ordered_sources(version.folder, stamps, Query(**{**vars(query), "page": 1}))


@lru_cache(maxsize=16)
def _ordered_sources(folder: Path, stamps: tuple[Stamp, Stamp], query: Query) -> Rows:
    version = VersionFolder(folder)
    table = _table(version, "sources")
    names = table["name"]
    rows = np.flatnonzero(_contains(names, query.source)) if query.source else np.arange(len(names))
    values = _detections_of(folder, stamps) if query.sort == "detections" else table[query.sort]
    return rows[_sorted(values, rows, query.up)]


@lru_cache(maxsize=4)
def _detections_of(folder: Path, stamps: tuple[Stamp, Stamp]) -> Array:
    """Number of detections of each source."""
    import pyarrow as pa
    import pyarrow.compute as pc

    version = VersionFolder(folder)
    names, found = _table(version, "sources")["name"], _table(version, "detections")["source"]
    places = pc.index_in(
        pc.cast(found, pa.large_string()), value_set=pc.cast(names, pa.large_string()).combine_chunks()
    )
    rows = np.asarray(places.drop_null().combine_chunks(), np.int64)
    return np.bincount(rows, minlength=len(names)).astype(np.float64)


def source_rows(version: VersionFolder, rows: Rows) -> list[dict[str, Any]]:
    """Some rows of the catalog, with `row` and the number of detections."""
    stamps = tuple(_stamp(version.folder / f"{name}.parquet") for name in ("sources", "detections"))
    taken = _table(version, "sources").take(SOURCE_COLUMNS[:-1], rows)
    taken |= {
        "detections": _detections_of(version.folder, stamps)[rows].astype(np.int64).tolist(),
        "row": rows.tolist(),
    }
    return [dict(zip(taken, values, strict=True)) for values in zip(*taken.values(), strict=True)]


def history(version: VersionFolder, row: Mapping[str, Any]) -> list[Verdict]:
    """All verdicts on a detection, the last first."""
    columns = {name: np.array([row[name]]) for name in _FOR_VERDICTS}
    verdicts = read_verdicts(version.folder.parent)
    own = [each for each in verdicts if each.source == row["source"]]
    return [each for each in reversed(own) if latest_verdicts(columns, [each])[0] == 0]

"""Light curves of a version in one Parquet file: a row a source, its epochs nested, as nested-pandas and LSDB read."""

import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from retriever.errors import NotMade
from retriever.report.arrow import arrow_array

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from retriever.api.version import Version

__all__ = ["NESTED_COLUMNS", "nested_table", "nested_tables", "warn_of_missing", "write_nested"]

log = logging.getLogger("retriever")

NESTED_COLUMNS = ("time", "bjd", "flux", "flux_err", "mag", "mag_err", "exptime", "flag", "qflag")
"""Columns of epochs; beside them are `band`, `observatory` and `number` of their light curves."""

_AT_ONCE = 2_000_000
"""Epochs that are written at once."""


def write_nested(
    version: "Version", path: Path, *, level: str, names: Sequence[str] | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    missing: Callable[[NotMade], object] | None = None,
) -> int:  # fmt: skip
    """Write the light curves of a version; gives the number of sources.

    The file has the columns of the catalog, and a column `lightcurve`: a struct of lists, one value an epoch, of all
    light curves of the source.

    Parameters
    ----------
    level
        Level of the light curves; see `retriever.api.source.SourceInVersion.lightcurves`.
    names
        Names of the sources; all where none are named.
    missing
        As for `retriever.api.source.SourceInVersion.lightcurves`; such a source has a row without epochs.

    Raises
    ------
    StoreError
        When a file of light curves is missing.
    """
    import pyarrow.parquet as pq

    writer, done, total = None, 0, len(names) if names is not None else len(version.table("sources", ["name"]))
    try:
        for table in nested_tables(version, level, names, missing):
            writer = writer or pq.ParquetWriter(path, table.schema, compression="zstd")
            writer.write_table(table)
            done += table.num_rows
            progress(done, total)
    finally:
        if writer is not None:
            writer.close()
    return done


def nested_tables(
    version: "Version", level: str, names: Sequence[str] | None = None,
    missing: Callable[[NotMade], object] | None = None,
) -> Iterator["pa.Table"]:  # fmt: skip
    """Arrow tables of some sources each, as `write_nested` writes them."""
    sources = version.sources
    rows = np.arange(len(sources))
    if names is not None:
        row_of = {name: row for row, name in enumerate(sources["name"])}
        rows = np.array([row_of[version.source(name).name] for name in names], np.int64)
    for some_rows in _portions(version, sources["name"].to_numpy(), rows):
        yield nested_table(version, some_rows, level, sources, missing)


def nested_table(
    version: "Version", rows: Any, level: str, sources: "pd.DataFrame | None" = None,
    missing: Callable[[NotMade], object] | None = None,
) -> "pa.Table":  # fmt: skip
    """An Arrow table of the sources in some rows of the catalog, with their light curves.

    Parameters
    ----------
    rows
        Rows of the catalog, from 0.
    sources
        The catalog, where it has been read already.
    missing
        As for `write_nested`.
    """
    import pyarrow as pa

    catalog = version.sources if sources is None else sources
    some, units = catalog.iloc[rows], catalog.attrs.get("units", {})
    arrays = {name: arrow_array(_values(some[name])) for name in some.columns.drop("digest", errors="ignore")}
    arrays["lightcurve"] = _epochs(_lightcurves(version, rows, level, missing))
    fields = [
        pa.field(name, array.type, metadata={"unit": units[name]} if name in units else None)
        for name, array in arrays.items()
    ]
    metadata = {"retriever.version": version.name, "retriever.hash": str(version.manifest["hash"]), "level": level}
    return pa.Table.from_arrays(list(arrays.values()), schema=pa.schema(fields, metadata=metadata))


def _portions(version: "Version", names: Any, rows: Any) -> list[Any]:
    """Rows of the catalog in portions of so many epochs as are written at once; one portion where there are none."""
    table = version.table("lightcurves", ["source", "n_epochs"])
    sizes = table.groupby("source")["n_epochs"].sum().reindex(names[rows]).fillna(0).to_numpy()
    portion = np.cumsum(sizes) // _AT_ONCE
    return np.split(rows, np.flatnonzero(np.diff(portion)) + 1)


def warn_of_missing(missing: Sequence[NotMade]) -> None:
    """Say that light curves are left out, and why the first are."""
    if missing:
        log.warning(
            "light curves are left out for %d pair(s) of source and survey; the first: %s", len(missing), missing[0]
        )


def _lightcurves(
    version: "Version", rows: Any, level: str, missing: Callable[[NotMade], object] | None
) -> list[Any]:  # fmt: skip
    """Light curves of some sources, in their order; read in the order in which they lie in files."""
    sources = list(version.each_source(rows.tolist()))
    places = [tuple((product.segment, product.row) for product in source.history) for source in sources]
    found: list[Any] = [()] * len(sources)
    for k in sorted(range(len(sources)), key=places.__getitem__):
        found[k] = sources[k].lightcurves(level, missing=missing)
    return found


def _values(column: Any) -> Any:
    return column.astype(str).tolist() if column.dtype.kind == "O" else column.to_numpy()


def _epochs(of_sources: Sequence[Sequence[Any]]) -> "pa.StructArray":
    """Epochs of all light curves of each source, as a struct of lists."""
    import pyarrow as pa

    curves = [lc for lightcurves in of_sources for lc in lightcurves]
    sizes = [sum(lc.n_epochs for lc in lightcurves) for lightcurves in of_sources]
    offsets = pa.array(np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32))
    columns: dict[str, Any] = {name: [getattr(lc, name) for lc in curves] for name in NESTED_COLUMNS}
    lists = {
        name: arrow_array(np.concatenate(parts) if parts else np.zeros(0, _EMPTY.get(name, np.float64)))
        for name, parts in columns.items()
    }
    numbers = [lc.number for lc in curves]
    lists["number"] = arrow_array(np.repeat(numbers, [lc.n_epochs for lc in curves]).astype(np.int64))
    for name in ("band", "observatory"):
        texts = [getattr(lc, name) for lc in curves for _ in range(lc.n_epochs)]
        lists[name] = arrow_array(texts).cast(pa.string())
    columns_of_lists = [pa.ListArray.from_arrays(offsets, array) for array in lists.values()]
    return pa.StructArray.from_arrays(columns_of_lists, list(lists))


_EMPTY = {"flag": np.int64, "qflag": np.bool_}

"""Tables and light curves of a version as partitioned frames of dask, which clusters work on piece by piece."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from retriever.api.frames import frame_of
from retriever.errors import ConfigError, NotMade
from retriever.report.versions import VersionFolder

if TYPE_CHECKING:
    import pandas as pd
    from dask.dataframe import DataFrame
    from nested_pandas import NestedFrame

    from retriever.api.version import Version

__all__ = ["lightcurves_in_parts", "table_in_parts"]


def table_in_parts(folder: Path, name: str, columns: Sequence[str] | None) -> "DataFrame":
    """A table as a frame of dask; each row group of its Parquet file is a partition.

    Raises
    ------
    ConfigError
        When dask is not installed.
    StoreError
        When the table is missing or broken.
    """
    frames = _dask()
    with VersionFolder(folder).open_table(name) as file:
        n = file.metadata.num_row_groups
        empty = frame_of(name, file.schema_arrow.empty_table(), list(columns) if columns else None)
    words = {"folder": str(folder), "name": name, "columns": tuple(columns) if columns else None}
    return frames.from_map(_row_group, range(max(n, 1)), meta=empty, **words)


def _row_group(group: int, *, folder: str, name: str, columns: tuple[str, ...] | None) -> "pd.DataFrame":
    with VersionFolder(Path(folder)).open_table(name) as file:
        table = file.read_row_group(group) if file.metadata.num_row_groups else file.read()
    return frame_of(name, table, list(columns) if columns else None)


def lightcurves_in_parts(
    version: "Version", data: Path, level: str, names: Sequence[str] | None, sources_per_partition: int
) -> "DataFrame":
    """Light curves as a frame of dask with a row a source; each partition is a `nested_pandas.NestedFrame`.

    Parameters
    ----------
    data
        The data folder, for the workers.
    level, names
        As for `retriever.exports.nested.write_nested`.
    sources_per_partition
        Number of sources of each partition.

    Raises
    ------
    ConfigError
        When dask or nested-pandas is not installed, or the number is not above zero.
    """
    frames = _dask()
    if sources_per_partition < 1:
        raise ConfigError(f"sources_per_partition is {sources_per_partition}; give one or more")
    total = len(version.table("sources", ["name"]))
    rows = np.arange(total) if names is None else np.array([version.source(name).row for name in names], np.int64)
    parts = [rows[k : k + sources_per_partition] for k in range(0, max(rows.size, 1), sources_per_partition)]
    words: dict[str, Any] = {
        "folder": str(version.folder), "data": str(data.absolute()), "level": level, "named": names is not None,
    }  # fmt: skip
    return frames.from_map(_nested, parts, meta=_nested(rows[:0], **words), **words)


def _nested(rows: Any, *, folder: str, data: str, level: str, named: bool) -> "NestedFrame":
    from retriever.api.version import Version
    from retriever.exports.nested import nested_table, warn_of_missing

    try:
        from nested_pandas.nestedframe.io import from_pyarrow
    except ImportError as error:
        raise ConfigError("nested frames need the package nested-pandas: pip install 'retriever[nested]'") from error
    version = Version(VersionFolder(Path(folder)), Path(data))
    missing: list[NotMade] = []
    table = nested_table(version, rows, level, missing=None if named else missing.append)
    warn_of_missing(missing)
    return from_pyarrow(table)


def _dask() -> Any:
    try:
        import dask.dataframe
    except ImportError as error:
        raise ConfigError("partitioned frames need dask: pip install 'retriever[nested]'") from error
    return dask.dataframe

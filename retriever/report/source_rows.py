"""Rows of one source in the tables of a version: only the parts of a file that may hold them are read."""

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from retriever.report.arrow import arrow_array, arrow_text
from retriever.report.versions import VersionFolder
from retriever.schema import Columns
from retriever.source import decoded_aliases

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq


__all__ = ["all_product_rows", "name_of_alias", "place_in_catalog", "product_rows", "rows_of_source"]


def rows_of_source(version: VersionFolder, table: str, source: str) -> "pa.Table":
    """Rows of a source in a table that names its sources in `source`, as an Arrow table.

    Raises
    ------
    StoreError
        When the table is missing or broken.
    """
    import pyarrow as pa

    with version.open_table(table) as file:
        parts = [file.read_row_group(group).filter(same) for group, _, same in _groups_with(file, "source", source)]
        return pa.concat_tables(parts) if parts else file.schema_arrow.empty_table()


def place_in_catalog(version: VersionFolder, name: str) -> tuple[int, int]:
    """Row of a source in its version's catalog, -1 where it is not, and the catalog's length."""
    import pyarrow.compute as pc

    with version.open_table("sources") as file:
        for _, first, same in _groups_with(file, "name", name):
            return first + pc.indices_nonzero(same)[0].as_py(), file.metadata.num_rows
        return -1, file.metadata.num_rows


def name_of_alias(version: VersionFolder, alias: str) -> str | None:
    """Name of the first source of a version that has another name; None where none has."""
    import pyarrow.compute as pc

    with version.open_table("sources") as file:
        for group in range(file.num_row_groups if "aliases" in file.schema_arrow.names else 0):
            table = file.read_row_group(group, columns=["name", "aliases"])
            likely = table.filter(pc.match_substring(table["aliases"], json.dumps(alias)))
            for row in likely.to_pylist():
                if alias in decoded_aliases(row["aliases"]):
                    return str(row["name"])
    return None


def _groups_with(file: "pq.ParquetFile", column: str, text: str) -> Iterator[tuple[int, int, "pa.Array"]]:
    """Row groups that hold a text in a column: number, first row, and which rows.

    One group at a time, because a million names at once take three times as long.
    """
    import pyarrow.compute as pc

    wanted, first = arrow_text(text), 0
    for group in range(file.num_row_groups):
        values = file.read_row_group(group, columns=[column])[column]
        same = pc.equal(values, wanted)
        if pc.any(same).as_py():
            yield group, first, same
        first += len(values)


def product_rows(
    version: VersionFolder, at: int, n: int, observatory: str | None = None, columns: Sequence[str] | None = None
) -> list[dict[str, Any]]:
    """Rows of one source in the tables of products and of their places, stage after stage.

    These tables have all sources in the catalog's order, stage after stage, and after them the products of groups.

    Parameters
    ----------
    at, n
        Row of the source in the catalog, and the catalog's length.
    observatory
        Leaves out the products of others.
    columns
        Columns to read, with `observatory` and `segment` among them; all where none are named.
    """
    sources = _rows_of_sources(version, n)
    rows = _rows_at(version, "products", at, n, sources, columns)
    if rows and "segment" not in rows[0]:
        places = _rows_at(version, "segments", at, n, sources, columns)
        rows = [row | place for row, place in zip(rows, places, strict=True)]
    return [row for row in rows if observatory is None or row["observatory"] in (observatory, "")]


def all_product_rows(version: VersionFolder, n: int) -> Columns:
    """The tables of products and of their places as columns; that of source k in a stage is row k of every n.

    Products of groups, which come after them, are left out.
    """
    end = _rows_of_sources(version, n)
    table = version.table("products", ["observatory", "stage", "outcome", "message"])
    return {name: values[:end] for name, values in {**table, **version.segments}.items()}


def _rows_of_sources(version: VersionFolder, n: int) -> int:
    """Number of products of sources, of all stages."""
    return n * sum(
        len(stages) - len(set(stages) & _stages_of_groups(version))
        for stages in version.manifest["inputs"]["stage_keys"].values()
    )


def _stages_of_groups(version: VersionFolder) -> set[str]:
    return set(version.manifest.get("stages_of_groups", ()))


def _rows_at(
    version: VersionFolder, table: str, at: int, n: int, end: int, columns: Sequence[str] | None
) -> list[dict[str, Any]]:
    """Every n-th row of a table before some end, beginning with one."""
    records: list[dict[str, Any]] = []
    with version.open_table(table) as file:
        wanted = None if columns is None else [name for name in columns if name in file.schema_arrow.names]
        first = 0
        for group in range(file.num_row_groups):
            size = file.metadata.row_group(group).num_rows
            rows = np.arange(first, min(first + size, end))
            inside = rows[rows % n == at] - first
            if inside.size:
                records += file.read_row_group(group, columns=wanted).take(arrow_array(inside)).to_pylist()
            first += size
    return records

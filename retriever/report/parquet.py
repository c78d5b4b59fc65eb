"""Parquet files with units, written whole or not at all."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from retriever.arrays import Array
from retriever.errors import StoreError
from retriever.report.arrow import arrow_array
from retriever.store.files import temporary_path

__all__ = ["write_parquet"]

ROWS_A_GROUP = 1 << 16
"""Rows that must be read to get at one."""


def write_parquet(
    path: Path,
    chunks: Iterator[Mapping[str, Array | list[str]]],
    units: Mapping[str, str],
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write chunks of columns into a Parquet file, whole or not at all."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    temporary = temporary_path(path.parents[1])
    writer = None
    try:
        for columns in chunks:
            arrays = {name: arrow_array(values) for name, values in columns.items()}
            schema = pa.schema(
                [
                    pa.field(name, array.type, metadata={"unit": units[name]} if units.get(name) else None)
                    for name, array in arrays.items()
                ],
                metadata=metadata,
            )
            if writer is None:
                writer = pq.ParquetWriter(temporary, schema)
            writer.write_table(pa.Table.from_arrays(list(arrays.values()), schema=schema), row_group_size=ROWS_A_GROUP)
        if writer is None:
            raise StoreError(f"there is nothing to write into {path}")
        writer.close()
        pa.default_memory_pool().release_unused()  # else it keeps the memory of one table while the next is made
        temporary.replace(path)
    except BaseException:
        if writer is not None:
            writer.close()
        temporary.unlink(missing_ok=True)
        raise

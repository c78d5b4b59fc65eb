"""Values as Arrow has them, made from buffers: `pyarrow.array` and `pyarrow.scalar` import pandas, half a second."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from retriever.arrays import Array

if TYPE_CHECKING:
    import pyarrow as pa


__all__ = ["arrow_array", "arrow_table", "arrow_text"]


def arrow_array(values: Array | list[str]) -> "pa.Array":
    """An array of numbers, truth values or text as an Arrow array."""
    import pyarrow as pa

    if isinstance(values, np.ndarray) and values.dtype.kind in "iufb":
        bits = np.packbits(values, bitorder="little") if values.dtype.kind == "b" else np.ascontiguousarray(values)
        return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), [None, pa.py_buffer(bits)])
    texts = [text.encode() for text in (values if isinstance(values, list) else values.tolist())]
    ends = np.zeros(len(texts) + 1, np.int64)
    np.cumsum([len(text) for text in texts], out=ends[1:])
    buffers = [None, pa.py_buffer(ends), pa.py_buffer(b"".join(texts))]
    return pa.Array.from_buffers(pa.large_string(), len(texts), buffers)


def arrow_table(columns: Mapping[str, Array | list[str]]) -> "pa.Table":
    """Columns as an Arrow table."""
    import pyarrow as pa

    arrays = {name: arrow_array(values) for name, values in columns.items()}
    return pa.Table.from_arrays(list(arrays.values()), names=list(arrays))


def arrow_text(text: str) -> "pa.Scalar":
    """A text to compare columns of an Arrow table with.

    Examples
    --------
    >>> arrow_text("random_000001").as_py()
    'random_000001'
    """
    return arrow_array([text])[0]

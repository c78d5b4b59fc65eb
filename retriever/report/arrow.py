"""Values as Arrow has them, made from buffers: `pyarrow.array` and `pyarrow.scalar` import pandas, half a second."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from retriever.arrays import Array

if TYPE_CHECKING:
    import pyarrow as pa


__all__ = ["arrow_array", "arrow_table", "arrow_text"]


def arrow_array(values: "Array | list[str] | pa.Array") -> "pa.Array":
    """An array of numbers, truth values or text as an Arrow array; one that is one already is given back."""
    import pyarrow as pa

    if isinstance(values, pa.Array):
        return values
    if isinstance(values, np.ndarray) and values.dtype.kind in "iufb":
        bits = np.packbits(values, bitorder="little") if values.dtype.kind == "b" else np.ascontiguousarray(values)
        return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), [None, pa.py_buffer(bits)])
    data, lengths = _utf8(values) if isinstance(values, np.ndarray) else _encoded(values)
    ends = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=ends[1:])
    return pa.Array.from_buffers(pa.large_string(), len(lengths), [None, pa.py_buffer(ends), pa.py_buffer(data)])


def _utf8(texts: Array) -> tuple[bytes, Sequence[int]]:
    """All texts one after the other as UTF-8, and their lengths: at once where all characters are of ASCII."""
    width = texts.dtype.itemsize // 4
    if texts.dtype.kind != "U" or not texts.size or not width:
        return _encoded(texts.tolist())
    characters = np.ascontiguousarray(texts).view(np.uint32).reshape(-1, width)
    filled = characters != 0
    if characters.max() > 127 or (filled[:, 1:] > filled[:, :-1]).any():
        return _encoded(texts.tolist())
    return characters.astype(np.uint8)[filled].tobytes(), filled.sum(axis=1).tolist()


def _encoded(texts: list[str]) -> tuple[bytes, Sequence[int]]:
    encoded = [text.encode() for text in texts]
    return b"".join(encoded), [len(text) for text in encoded]


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

"""Values as Arrow has them, made from buffers: `pyarrow.array` and `pyarrow.scalar` import pandas, half a second."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from retriever.arrays import Array

if TYPE_CHECKING:
    import pyarrow as pa


__all__ = ["arrow_array", "arrow_table", "arrow_text", "numpy_array"]


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


def numpy_array(column: "pa.ChunkedArray") -> Array:
    """A column of numbers, truth values or text as an array; text as an array of objects.

    `ChunkedArray.to_numpy` imports pandas.

    Examples
    --------
    >>> table = arrow_table({"snr": np.array([5.0, 6.0]), "is_bad": np.array([True, False]), "band": ["g", "r"]})
    >>> [numpy_array(table[name]).tolist() for name in table.column_names]
    [[5.0, 6.0], [True, False], ['g', 'r']]
    """
    import pyarrow as pa

    if not len(column):
        return np.zeros(0, object if _is_text(column.type) else column.type.to_pandas_dtype())
    if _is_text(column.type) and len(column) < _FEW:
        return np.array(column.to_pylist(), object)
    if _is_text(column.type):
        encoded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
        whole = pa.concat_arrays(encoded.unify_dictionaries().chunks)
        words = np.array([*whole.dictionary.to_pylist(), None], object)
        missing = arrow_array(np.array([words.size - 1], np.int32))[0]
        return np.asarray(words[_of_buffer(whole.indices.cast(pa.int32()).fill_null(missing))])
    if pa.types.is_boolean(column.type):
        return np.concatenate([_of_bits(chunk) for chunk in column.chunks])
    whole = pa.concat_arrays(column.chunks)
    if whole.null_count:
        whole = whole.cast(pa.float64()).fill_null(arrow_array(np.array([np.nan]))[0])
    return _of_buffer(whole)


_FEW = 20_000
"""Texts up to which a list is faster than `pyarrow.compute`, which takes 0.08 s to import."""


def _of_bits(truths: "pa.BooleanArray") -> Array:
    data = np.unpackbits(np.frombuffer(truths.buffers()[1], np.uint8), bitorder="little")
    return data[truths.offset : truths.offset + len(truths)].astype(np.bool_)


def _of_buffer(numbers: "pa.Array") -> Array:
    data = np.frombuffer(numbers.buffers()[1], numbers.type.to_pandas_dtype())
    return data[numbers.offset : numbers.offset + len(numbers)]


def _is_text(kind: "pa.DataType") -> bool:
    import pyarrow as pa

    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_dictionary(kind))


def arrow_text(text: str) -> "pa.Scalar":
    """A text to compare columns of an Arrow table with.

    Examples
    --------
    >>> arrow_text("random_000001").as_py()
    'random_000001'
    """
    return arrow_array([text])[0]

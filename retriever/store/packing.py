"""The bytes of a segment: an HDF5 file built in memory."""

import functools
import itertools
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

import numpy as np
from h5py import h5a, h5d, h5f, h5g, h5p, h5s, h5t

from retriever.arrays import Array
from retriever.ragged import is_long
from retriever.store.compression import deflated, shuffled
from retriever.store.files import safe_name

__all__ = ["FORMAT", "Table", "escape", "pack", "unescape"]

FORMAT = 2
"""Number of the segment format; a reader refuses a higher one."""

Table = Mapping[str, Array]
"""Columns of one length by name."""


_IMAGES = itertools.count()
"""Images in memory need names of their own where several threads build them."""


def pack(manifest: Mapping[str, object], tables: Mapping[str, Table]) -> bytes:
    """Build a segment in memory.

    Parameters
    ----------
    manifest
        What the segment is and what went into it; plain data.
    tables
        Name to columns. Text may be of bytes or of str; both come back as they were. Tables with a row a source, a
        light curve or an event (those with a column `source` or `name`) are stored as records.

    Returns
    -------
    bytes
        The HDF5 file; the same input gives the same bytes.
    """
    # the low-level calls halve the time of a batch: a segment has dozens of small datasets
    file = h5f.create(f"segment {next(_IMAGES)}".encode(), h5f.ACC_TRUNC, fcpl=_FILE, fapl=_IN_MEMORY)
    try:
        _write_attribute(file, "format", np.array(FORMAT), h5t.NATIVE_INT64)
        text = _for_disk(np.array(json.dumps(manifest, sort_keys=True)))
        _write_attribute(file, "manifest", text, _hdf5_type(text.dtype, is_str=True))
        for name, columns in tables.items():
            if _fits_records(name, columns):
                _write_records(file, escape(name), columns, short=not is_long(name))
                continue
            group = h5g.create(file, escape(name).encode(), gcpl=_GROUP)
            for column, values in columns.items():
                _write_column(group, escape(column), np.ascontiguousarray(values))
        h5f.flush(file)
        image: bytes = file.get_file_image()
    finally:
        file.close()
    return image


MOST_FIELDS = 500
"""HDF5 keeps the description of a record in 64 kB."""

FEW_ROWS = 1000
"""A dataset takes HDF5 longer than so many rows, so that a small table of epochs is one dataset too."""


def _fits_records(name: str, columns: Table) -> bool:
    if not 0 < len(columns) <= MOST_FIELDS or any(values.ndim != 1 for values in columns.values()):
        return False
    if is_long(name):
        sizes = {len(values) for values in columns.values()}
        return name != "headers" and len(sizes) == 1 and sizes.pop() <= FEW_ROWS
    return "source" in columns or "name" in columns


def _timeless(properties: Any) -> Any:
    properties.set_obj_track_times(False)
    return properties


def _in_memory() -> object:
    access = h5p.create(h5p.FILE_ACCESS)
    access.set_fapl_core(1 << 20, False)
    access.set_libver_bounds(h5f.LIBVER_V110, h5f.LIBVER_V110)
    return access


_IN_MEMORY = _in_memory()
_FILE = _timeless(h5p.create(h5p.FILE_CREATE))
_DATASET = _timeless(h5p.create(h5p.DATASET_CREATE))
_GROUP = _timeless(h5p.create(h5p.GROUP_CREATE))
_GROUP.set_link_creation_order(h5p.CRT_ORDER_TRACKED | h5p.CRT_ORDER_INDEXED)
"""Columns come back in the order they were written in."""


@functools.lru_cache(4096)
def escape(name: str) -> str:
    """Name of a table or column as HDF5 takes it: no slash, and not only dots."""
    return safe_name(name).replace("%2E", ".") if name.strip(".") else safe_name(name)


def unescape(name: str) -> str:
    """The inverse of `escape`."""
    return "" if name == "%" else unquote(name)


def _write_attribute(file: object, name: str, value: Array, kind: object) -> None:
    h5a.create(file, name.encode(), kind, h5s.create(h5s.SCALAR)).write(value, mtype=kind)


def _write_records(parent: object, name: str, columns: Table, *, short: bool) -> None:
    fields = [
        (escape(column), _for_disk(_narrow(values) if short else values), values.dtype.kind == "U")
        for column, values in columns.items()
    ]
    layout, kind = _record_type(tuple((field, values.dtype, is_str) for field, values, is_str in fields))
    table = np.empty(fields[0][1].shape[0], layout)
    for field, values, _ in fields:
        table[field] = values
    _write_dataset(parent, name, table, kind, deflated(table) if short else None)


@functools.lru_cache(1024)
def _record_type(fields: tuple[tuple[str, np.dtype[Any], bool], ...]) -> tuple[np.dtype[Any], object]:
    """Type of a record, in memory and in the file, without gaps between its fields."""
    layout = np.dtype([(field, dtype) for field, dtype, _ in fields])
    kind, offset = h5t.create(h5t.COMPOUND, layout.itemsize), 0
    for field, dtype, is_str in fields:
        kind.insert(field.encode(), offset, _hdf5_type(dtype, is_str=is_str))
        offset += dtype.itemsize
    return layout, kind


def _write_dataset(
    parent: Any, name: str, values: Any, kind: Any, stream: bytes | None, *, shuffle: bool = False
) -> None:
    """Write a dataset: contiguous, or as the one chunk that a compressed stream is."""
    space = h5s.create_simple(values.shape)
    if stream is None:
        dataset = h5d.create(parent, name.encode(), kind, space, dcpl=_DATASET)
        if values.size:
            dataset.write(h5s.ALL, h5s.ALL, values, mtype=kind)
        return
    properties = _timeless(h5p.create(h5p.DATASET_CREATE))
    properties.set_chunk(values.shape)
    properties.set_fill_time(h5d.FILL_TIME_NEVER)
    if shuffle:
        properties.set_shuffle()
    properties.set_deflate(1)
    dataset = h5d.create(parent, name.encode(), kind, space, dcpl=properties)
    dataset.write_direct_chunk((0,) * values.ndim, stream)


def _write_column(group: object, name: str, values: Array) -> None:
    stored = _for_disk(values)
    kind = _hdf5_type(stored.dtype, is_str=values.dtype.kind == "U")
    _write_dataset(group, name, stored, kind, deflated(shuffled(stored)), shuffle=True)


def _for_disk(values: Array) -> Array:
    """Values as they are stored: text as bytes of a fixed width."""
    if values.dtype.kind == "U":
        values = _utf8(values)
    return values.astype("S1") if values.dtype.itemsize == 0 else values


@functools.lru_cache(1024)
def _hdf5_type(dtype: np.dtype[Any], *, is_str: bool = False) -> object:
    """Type in the file; the character set of text tells str (UTF-8) from bytes (ASCII)."""
    if dtype.kind != "S":
        return h5t.py_create(dtype, logical=True)
    kind = h5t.C_S1.copy()
    kind.set_size(dtype.itemsize)
    kind.set_strpad(h5t.STR_NULLPAD)
    kind.set_cset(h5t.CSET_UTF8 if is_str else h5t.CSET_ASCII)
    return kind


def _narrow(values: Array) -> Array:
    """Text in a type that is no wider than needed, so that the same text takes the same bytes."""
    width = values.dtype.itemsize // 4
    if values.dtype.kind != "U" or not width:
        return values
    characters = np.ascontiguousarray(values).view(np.uint32).reshape(values.size, width)
    used = np.flatnonzero(characters.any(axis=0))
    return values.astype(f"U{used[-1] + 1 if used.size else 1}")


def _utf8(values: Array) -> Array:
    width = values.dtype.itemsize // 4
    if width == 0 or values.size == 0:
        return np.zeros(values.shape, f"S{max(width, 1)}")
    points = np.ascontiguousarray(values).view(np.uint32).reshape(*values.shape, width)
    if points.max() < 128:
        return np.ascontiguousarray(points.astype(np.uint8)).view(f"S{width}").reshape(values.shape)
    return np.asarray(np.char.encode(values, "utf-8"))

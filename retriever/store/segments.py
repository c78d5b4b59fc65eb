"""Segments: immutable HDF5 files, each the product of one batch of one stage.

A segment holds named tables of equally long columns, and its manifest as JSON in the root attribute ``manifest``. Long
tables, of epochs and raw rows, are groups with a dataset a column; short ones, with a row a source or a
light curve, are one dataset of records. It is built in memory, so that its digest is known and an ordinary write, sync
and rename put it in place whole or not at all; its name carries the digest. Reading one takes five lines::

    import h5py
    with h5py.File(path) as segment:
        print(segment.attrs["manifest"])
        names = segment["sources"]["name"]
        time = segment["epochs"]["time"][()]
"""

import functools
import hashlib
import itertools
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import h5py
import numpy as np
from h5py import h5a, h5d, h5f, h5g, h5p, h5s, h5t

from retriever.arrays import Array
from retriever.errors import SegmentError, StoreError
from retriever.identity import DIGEST_CHARS
from retriever.ragged import is_long
from retriever.store.compression import deflated, shuffled
from retriever.store.files import temporary_path

__all__ = [
    "FORMAT",
    "SegmentFile",
    "Table",
    "UnsyncedFile",
    "digest_in",
    "format_of",
    "pack",
    "read",
    "safe_name",
    "sizes_below",
    "start_writing",
    "write",
]

FORMAT = 2
"""Number of the segment format; a reader refuses a higher one."""

Table = Mapping[str, Array]
"""Columns of one length by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentFile:
    """A segment on disk: path relative to its root, digest of its bytes, size in bytes."""

    path: str
    digest: str
    size: int


def safe_name(text: str) -> str:
    """Escape a name from outside so that it can be one part of a path, and nothing more.

    Examples
    --------
    >>> safe_name("../../etc/x"), safe_name("ZTF"), safe_name("")
    ('%2E%2E%2F%2E%2E%2Fetc%2Fx', 'ZTF', '%')
    """
    return quote(text, safe=" +-_").replace(".", "%2E").replace("~", "%7E") or "%"


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
                _write_records(file, _escape(name), columns, compressed=not is_long(name))
                continue
            group = h5g.create(file, _escape(name).encode(), gcpl=_GROUP)
            for column, values in columns.items():
                _write_column(group, _escape(column), np.ascontiguousarray(values))
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
def _escape(name: str) -> str:
    return safe_name(name).replace("%2E", ".") if name.strip(".") else safe_name(name)


def _unescape(name: str) -> str:
    return "" if name == "%" else unquote(name)


def _write_attribute(file: object, name: str, value: Array, kind: object) -> None:
    h5a.create(file, name.encode(), kind, h5s.create(h5s.SCALAR)).write(value, mtype=kind)


def _write_records(parent: object, name: str, columns: Table, *, compressed: bool) -> None:
    fields = [(_escape(column), _for_disk(values), values.dtype.kind == "U") for column, values in columns.items()]
    layout, kind = _record_type(tuple((field, values.dtype, is_str) for field, values, is_str in fields))
    table = np.empty(fields[0][1].shape[0], layout)
    for field, values, _ in fields:
        table[field] = values
    _write_dataset(parent, name, table, kind, deflated(table) if compressed else None)


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


def _utf8(values: Array) -> Array:
    width = values.dtype.itemsize // 4
    if width == 0 or values.size == 0:
        return np.zeros(values.shape, f"S{max(width, 1)}")
    points = np.ascontiguousarray(values).view(np.uint32).reshape(*values.shape, width)
    if points.max() < 128:
        return np.ascontiguousarray(points.astype(np.uint8)).view(f"S{width}").reshape(values.shape)
    return np.asarray(np.char.encode(values, "utf-8"))


def write(root: Path, folder: str, stem: str, image: bytes) -> SegmentFile:
    """Put a segment in place, whole or not at all; see `start_writing`."""
    return start_writing(root, folder, stem, image).finish()


def start_writing(root: Path, folder: str, stem: str, image: bytes) -> "UnsyncedFile":
    """Write a segment into a temporary file, which is in place once `UnsyncedFile.finish` was called.

    Parameters
    ----------
    root
        The data or the outputs folder.
    folder, stem
        Where to put it below `root`, and how its name begins; it goes on with the digest of the segment.

    Raises
    ------
    StoreError
        When the disk is full or the folder cannot be written; nothing is left behind.
    """
    digest = hashlib.sha256(image).hexdigest()[:DIGEST_CHARS]
    segment = SegmentFile(path=f"{folder}/{stem}_{digest}.h5", digest=digest, size=len(image))
    unsynced = UnsyncedFile(segment=segment, target=root / segment.path, temporary=temporary_path(root))
    with unsynced.removed_if_it_fails():
        unsynced.target.parent.mkdir(parents=True, exist_ok=True)
        unsynced.temporary.write_bytes(image)
    return unsynced


@dataclass(frozen=True, slots=True, kw_only=True)
class UnsyncedFile:
    """A segment in a temporary file, perhaps not on disk yet."""

    segment: SegmentFile
    target: Path
    temporary: Path

    def finish(self) -> SegmentFile:
        """Sync the file and rename it to its place: what takes long, and can be left to a thread.

        Raises
        ------
        StoreError
            When it cannot; nothing is left behind.
        """
        with self.removed_if_it_fails():
            descriptor = os.open(self.temporary, os.O_RDWR)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            # the folder is not synced: a rename that a power cut undoes leaves a missing file, which is made again
            self.temporary.replace(self.target)
        return self.segment

    @contextmanager
    def removed_if_it_fails(self) -> Iterator[None]:
        """Leave nothing behind, and say what is wrong."""
        try:
            yield
        except OSError as error:
            self.temporary.unlink(missing_ok=True)
            raise StoreError(
                f"cannot write {self.target}: {error.strerror or error}; free some space or choose another folder"
            ) from error


def digest_in(name: str) -> str:
    """Digest that a segment's file name carries.

    Examples
    --------
    >>> digest_in("RA012.34-015.02_0123abcd.h5")
    '0123abcd'
    """
    return name.removesuffix(".h5").rpartition("_")[2]


def format_of(path: Path) -> int:
    """Number of a segment's format; 0 where the file is missing or cannot be read."""
    try:
        with h5py.File(path, "r", locking=False) as file:
            return int(file.attrs["format"])
    except (OSError, KeyError, RuntimeError, ValueError):
        return 0


def sizes_below(root: Path, folder: str) -> dict[str, int]:
    """Sizes in bytes of the segments below a folder, by path relative to the root."""
    sizes: dict[str, int] = {}
    try:
        places = [entry.name for entry in os.scandir(root / folder) if entry.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return sizes
    except OSError as error:
        raise StoreError(
            f"cannot look into {root / folder}: {error.strerror}; it must be a folder that you may read"
        ) from error
    for place in places:
        for entry in os.scandir(root / folder / place):
            if entry.name.endswith(".h5") and entry.is_file(follow_symlinks=False):
                sizes[f"{folder}/{place}/{entry.name}"] = entry.stat(follow_symlinks=False).st_size
    return sizes


def read(
    path: Path, tables: Iterable[str] | Callable[[Mapping[str, Any]], Iterable[str]] | None = None
) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Read a segment's manifest and some of its tables (all, where none are named).

    A name that ends in ``*`` stands for all tables that begin so. Tables that do not exist are left out. A function is
    given the manifest and names the tables.

    Raises
    ------
    SegmentError
        When the file is missing, is not what it was when its name was given to it, or is of a newer format.
    """
    try:
        if hashlib.sha256(path.read_bytes()).hexdigest()[:DIGEST_CHARS] != digest_in(path.name):
            raise SegmentError(
                f"segment {path} was altered after it was written; delete it and run again to make it anew"
            )
        with h5py.File(path, "r", locking=False) as file:
            number = int(file.attrs.get("format", -1))
            if not 1 <= number <= FORMAT:
                raise SegmentError(
                    f"{path} has segment format {number}, this retriever reads up to {FORMAT}; update it"
                )
            manifest = json.loads(file.attrs["manifest" if number > 1 else "story"])
            names = tables(manifest) if callable(tables) else tables
            wanted = [name for name in file if names is None or _matches(_unescape(name), names)]
            return manifest, {_unescape(name): _read_table(file[name]) for name in wanted}
    except (OSError, KeyError, RuntimeError, ValueError) as error:
        reason = "is missing" if not path.exists() else f"cannot be read ({error})"
        raise SegmentError(f"segment {path} {reason}; delete it and run again to make it anew") from error


def _matches(name: str, wanted: Iterable[str]) -> bool:
    return any(name == word or (word.endswith("*") and name.startswith(word[:-1])) for word in wanted)


def _read_table(node: Any) -> dict[str, Any]:
    if isinstance(node, h5py.Dataset):
        table, kind = node[()], node.id.get_type()
        return {
            _unescape(name): _from_disk(table[name], kind.get_member_type(k))
            for k, name in enumerate(table.dtype.names)
        }
    return {_unescape(name): _from_disk(node[name][()], node[name].id.get_type()) for name in node}


def _from_disk(values: Array, kind: Any) -> Array:
    values = np.ascontiguousarray(values)
    return _decoded(values) if values.dtype.kind == "S" and kind.get_cset() == h5t.CSET_UTF8 else values


def _decoded(values: Array) -> Array:
    width = values.dtype.itemsize
    raw = np.ascontiguousarray(values).view(np.uint8).reshape(*values.shape, width)
    if values.size and raw.max() < 128:
        return raw.astype(np.uint32).view(f"U{width}").reshape(values.shape)
    return np.asarray(np.char.decode(values, "utf-8"))

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

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from h5py import h5t

from retriever.arrays import Array
from retriever.errors import SegmentError, StoreError
from retriever.identity import DIGEST_CHARS
from retriever.store.files import temporary_path
from retriever.store.packing import FORMAT, unescape

__all__ = [
    "SegmentFile",
    "UnsyncedFile",
    "digest_in",
    "format_of",
    "read",
    "sizes_below",
    "start_writing",
    "write",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentFile:
    """A segment on disk: path relative to its root, digest of its bytes, size in bytes."""

    path: str
    digest: str
    size: int


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
            wanted = [name for name in file if names is None or _matches(unescape(name), names)]
            return manifest, {unescape(name): _read_table(file[name]) for name in wanted}
    except (OSError, KeyError, RuntimeError, ValueError) as error:
        reason = "is missing" if not path.exists() else f"cannot be read ({error})"
        raise SegmentError(f"segment {path} {reason}; delete it and run again to make it anew") from error


def _matches(name: str, wanted: Iterable[str]) -> bool:
    return any(name == word or (word.endswith("*") and name.startswith(word[:-1])) for word in wanted)


def _read_table(node: Any) -> dict[str, Any]:
    if isinstance(node, h5py.Dataset):
        table, kind = node[()], node.id.get_type()
        return {
            unescape(name): _from_disk(table[name], kind.get_member_type(k)) for k, name in enumerate(table.dtype.names)
        }
    return {unescape(name): _from_disk(node[name][()], node[name].id.get_type()) for name in node}


def _from_disk(values: Array, kind: Any) -> Array:
    values = np.ascontiguousarray(values)
    return _decoded(values) if values.dtype.kind == "S" and kind.get_cset() == h5t.CSET_UTF8 else values


def _decoded(values: Array) -> Array:
    width = values.dtype.itemsize
    if not values.size:
        return np.zeros(values.shape, f"U{width}")
    raw = np.ascontiguousarray(values).view(np.uint8).reshape(*values.shape, width)
    if raw.max() < 128:
        return raw.astype(np.uint32).view(f"U{width}").reshape(values.shape)
    return np.asarray(np.char.decode(values, "utf-8"))

"""Lossless compression of columns that costs little: only bytes that can be compressed are.

The top bytes of floats, repeated values and flags compress well and fast; the low bytes of a measurement are noise, on
which a compressor spends most of its time for nothing. A column is cut into its planes of bytes, as HDF5's shuffle
filter does; planes are deflated from the top byte down to the first that does not get smaller, and all below it are
stored. The result is an ordinary zlib stream, which every HDF5 library reads by its shuffle and deflate filters.
"""

import zlib

import numpy as np
from numpy.typing import NDArray

from retriever.arrays import Array

__all__ = ["deflated_planes", "deflated_records"]

LEAST_BYTES = 4096
"""Smaller columns are not worth it."""

LEAST_GAIN = 0.9
"""A plane, or a column, is kept compressed if it takes at most this share of its size."""

_HEADER, _END = b"\x78\x01", b"\x01\x00\x00\xff\xff"
_STORED = 65535
"""Most bytes in a stored block of a deflate stream (RFC 1951)."""


def deflated_planes(values: Array) -> bytes | None:
    """A column's bytes after HDF5's shuffle and deflate filters; None where it gains too little.

    Examples
    --------
    >>> values = np.linspace(58000.0, 58001.0, 1000)
    >>> planes = zlib.decompress(deflated_planes(values))
    >>> planes == values.view(np.uint8).reshape(1000, 8).T.tobytes()
    True
    """
    if values.nbytes < LEAST_BYTES:
        return None
    planes = np.ascontiguousarray(np.ascontiguousarray(values).view(np.uint8).reshape(-1, values.dtype.itemsize).T)
    packed: list[bytes] = []
    rest = planes.shape[0]
    while rest and not _looks_random(planes[rest - 1]):
        piece = _deflated(planes[rest - 1].data)
        if len(piece) > LEAST_GAIN * planes.shape[1]:
            break
        packed.insert(0, piece)
        rest -= 1
    stream = b"".join([_HEADER, *_stored(planes[:rest].tobytes()), *packed, _END, _checksum(planes.data)])
    return stream if len(stream) <= LEAST_GAIN * values.nbytes else None


def deflated_records(table: Array) -> bytes | None:
    """A table's bytes after HDF5's deflate filter; None where it gains too little."""
    if table.nbytes < 4 * LEAST_BYTES:
        return None
    stream = zlib.compress(table.tobytes(), 1)
    return stream if len(stream) <= LEAST_GAIN * table.nbytes else None


def _looks_random(plane: NDArray[np.uint8]) -> bool:
    """Whether two bytes of a plane are equal no more often than by chance, so that trying is not worth it."""
    sample = plane[:: max(plane.size // 2048, 1)]
    counts = np.bincount(sample, minlength=256)
    pairs = sample.size * (sample.size - 1)
    return bool(pairs and (counts * (counts - 1)).sum() < 1.2 / 256 * pairs)


def _deflated(plane: memoryview) -> bytes:
    """Blocks of a deflate stream, ended on a byte so that others can follow."""
    compressor = zlib.compressobj(1, zlib.DEFLATED, -15)
    return compressor.compress(plane) + compressor.flush(zlib.Z_FULL_FLUSH)


def _stored(data: bytes) -> list[bytes]:
    pieces = []
    for start in range(0, len(data), _STORED):
        piece = data[start : start + _STORED]
        size = len(piece).to_bytes(2, "little")
        pieces += [b"\x00", size, bytes(byte ^ 0xFF for byte in size), piece]
    return pieces


def _checksum(data: memoryview) -> bytes:
    return zlib.adler32(data).to_bytes(4, "big")

"""Canonical hashes: equal things have equal hashes, in every process and on every Python.

Values are encoded with a tag for their type, mappings with sorted keys, floats by `float.hex`,
so that no hash depends on key order, `PYTHONHASHSEED` or the way a number prints.
"""

import hashlib
import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "DIGEST_CHARS",
    "Digests",
    "canonical_hash",
    "digest_bytes",
    "digest_each",
    "join_digests",
    "pack_digests",
    "random_stream",
    "unpack_digests",
]

DIGEST_CHARS = 32
"""Length of a digest in hexadecimal characters: 128 bits, safe for billions of products."""

Digests = NDArray[np.bytes_]
"""Digests in hexadecimal characters (dtype S32); empty where there is none."""


def canonical_hash(value: object) -> str:
    """Hash plain data: None, bool, int, float, str, bytes, sequences, sets and mappings of them.

    Parameters
    ----------
    value
        Plain data. 5 and 5.0 differ; −0.0 and 0.0 do not; tuples and lists do not.

    Returns
    -------
    str
        64 hexadecimal characters (SHA-256).

    Raises
    ------
    ValueError
        For NaN, which equals nothing and so can identify nothing.
    TypeError
        For values that are not plain data.

    Examples
    --------
    >>> canonical_hash({"b": 1, "a": [2.0]}) == canonical_hash({"a": (2.0,), "b": 1})
    True
    >>> canonical_hash(5) == canonical_hash(5.0)
    False
    """
    hasher = hashlib.sha256()
    for piece in _encode(value):
        hasher.update(piece)
    return hasher.hexdigest()


def _encode(value: object) -> Iterable[bytes]:
    if value is None:
        yield b"N;"
    elif isinstance(value, bool):
        yield b"T;" if value else b"F;"
    elif isinstance(value, int | np.integer):
        yield b"i%d;" % int(value)
    elif isinstance(value, float | np.floating):
        number = float(value)
        if math.isnan(number):
            raise ValueError("NaN cannot be part of an identity")
        yield b"f" + (number + 0.0).hex().encode() + b";"
    elif isinstance(value, str | bytes):
        text = value.encode() if isinstance(value, str) else value
        yield (b"s" if isinstance(value, str) else b"b") + b"%d:" % len(text) + text
    elif isinstance(value, Mapping):
        yield b"{"
        for key in sorted(value, key=str):
            if not isinstance(key, str):
                raise TypeError(f"mapping keys must be strings, not {type(key).__name__}")
            yield from _encode(key)
            yield from _encode(value[key])
        yield b"}"
    elif isinstance(value, list | tuple):
        yield b"["
        for item in value:
            yield from _encode(item)
        yield b"]"
    elif isinstance(value, set | frozenset):
        yield from _encode(sorted(value))
    else:
        raise TypeError(f"{type(value).__name__} is not plain data and has no canonical hash")


def digest_bytes(*parts: Any) -> str:
    """Digest byte strings or contiguous arrays, in order; the split between them does not count.

    Examples
    --------
    >>> digest_bytes(b"ab") == digest_bytes(b"a", b"b")
    True
    """
    hasher = hashlib.sha256()
    for part in parts:
        hasher.update(part)
    return hasher.hexdigest()[:DIGEST_CHARS]


def digest_each(parts: Iterable[bytes]) -> Digests:
    """Digest each of many byte strings.

    Examples
    --------
    >>> digest_each([b"ab"])[0].decode() == digest_bytes(b"ab")
    True
    """
    return unpack_digests(b"".join([hashlib.sha256(part).digest()[: DIGEST_CHARS // 2] for part in parts]))


def join_digests(first: Digests, second: Digests) -> Digests:
    """Digest pairs of digests; empty where the first is.

    Examples
    --------
    >>> one = digest_each([b"ab"])
    >>> join_digests(one, one)[0].decode() == digest_bytes(one[0] + one[0])
    True
    """
    joined = np.zeros(first.size, f"S{DIGEST_CHARS}")
    known = first != b""
    pairs = np.column_stack([first[known], second[known]]).tobytes()
    width = 2 * DIGEST_CHARS
    joined[known] = digest_each(pairs[start : start + width] for start in range(0, len(pairs), width))
    return joined


def pack_digests(digests: Digests) -> bytes:
    """Digests as bytes, 16 each; zeros where there is none.

    Examples
    --------
    >>> unpack_digests(pack_digests(np.array([b"0f" * 16, b""]))).tolist()
    [b'0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f', b'']
    """
    filled = np.where(digests == b"", np.array(b"0" * DIGEST_CHARS), digests)
    return bytes.fromhex(filled.tobytes().decode())


def unpack_digests(packed: bytes) -> Digests:
    """The inverse of `pack_digests`."""
    digests = np.frombuffer(packed.hex().encode(), f"S{DIGEST_CHARS}")
    none = digests == b"0" * DIGEST_CHARS
    return np.where(none, np.array(b""), digests) if none.any() else digests


def random_stream(seed: int, *words: str | int) -> np.random.Generator:
    """Make the random stream that belongs to a seed and the words that say what it is for.

    The same words give the same numbers whatever was drawn before, in whatever order or process.

    Examples
    --------
    >>> float(random_stream(1, "demo", "X").random()) == float(random_stream(1, "demo", "X").random())
    True
    """
    state = int.from_bytes(hashlib.sha256(repr((seed, *words)).encode()).digest()[:16], "little")
    return np.random.Generator(np.random.PCG64(state))

"""Canonical hashes: equal things have equal hashes, in every process and on every Python.

Values are encoded with a tag for their type, mappings with sorted keys, floats by `float.hex`,
so that no hash depends on key order, `PYTHONHASHSEED` or the way a number prints.
"""

import hashlib
import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

__all__ = ["DIGEST_CHARS", "canonical_hash", "digest_bytes", "random_stream"]

DIGEST_CHARS = 32
"""Length of a digest in hexadecimal characters: 128 bits, safe for billions of products."""


def canonical_hash(value: Any) -> str:
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


def _encode(value: Any) -> Iterable[bytes]:
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

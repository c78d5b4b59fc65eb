"""Products in columns: what a stage made of each source, from the segment's table to the database and to the plan.

The database keeps the products of one batch as one row of packed columns. A catalog of a million sources has millions
of products: as rows of their own they would take minutes to read and to write, as columns they take seconds.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retriever.arrays import Array
from retriever.identity import Digests, pack_digests, unpack_digests
from retriever.outcome import Outcome

__all__ = [
    "NOWHERE",
    "InputIndex",
    "Packed",
    "Products",
    "Stored",
    "latest",
    "made",
    "name_needle",
    "pack_products",
    "without_made",
]

NOWHERE = -1
"""Segment of a product that has no file: a failed or an invalidated one."""

_END = b"\0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """The products of one batch as the database has them; `segment` is None where the batch has no file."""

    segment: int | None
    names: bytes
    inputs: bytes
    digests: bytes
    outcomes: bytes
    n_rows: bytes
    messages: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Products:
    """Products of one stage, one entry for each. Of two with the same input, the later one counts.

    Attributes
    ----------
    inputs, digests
        Digests of each product's input and content, as pairs of integers, which take a quarter of the memory of
        text. Zeros if there is none.
    outcome
        Codes of `Outcome`; an invalidated one is PENDING, one that was never made BLOCKED.
    segment, row
        Where it lies, and its row in the segment's table of sources.
    n_rows
        Rows of the product.
    message
        Sentences, by entry.
    """

    inputs: NDArray[np.uint64]
    digests: NDArray[np.uint64]
    outcome: NDArray[np.int8]
    segment: NDArray[np.int64]
    row: NDArray[np.int64]
    n_rows: NDArray[np.int64]
    message: Mapping[int, str]
    packed_names: Sequence[bytes]

    @classmethod
    def unpack(cls, batches: Iterable[Packed]) -> "Products":
        """Products of batches in their order, the later ones over the earlier."""
        parts = list(batches)
        sizes = [len(part.outcomes) for part in parts]
        message: dict[int, str] = {}
        start = 0
        for part, size in zip(parts, sizes, strict=True):
            if part.messages:
                message |= {start + int(row): text for row, text in json.loads(part.messages).items()}
            start += size
        segments = [NOWHERE if part.segment is None else part.segment for part in parts]
        outcome = np.frombuffer(b"".join([part.outcomes for part in parts]), np.int8)
        starts = np.repeat(np.cumsum(sizes, dtype=np.int64) - np.array(sizes, np.int64), sizes)
        segment = np.repeat(np.array(segments, np.int64), sizes)
        return cls(
            inputs=_pairs(b"".join([part.inputs for part in parts])),
            digests=_pairs(b"".join([part.digests for part in parts])),
            outcome=outcome,
            segment=np.where((outcome == Outcome.DONE) | (outcome == Outcome.EMPTY), segment, NOWHERE),
            row=np.arange(outcome.size) - starts,
            n_rows=np.frombuffer(b"".join([part.n_rows for part in parts]), "<i8"),
            message=message,
            packed_names=[part.names for part in parts],
        )

    def __len__(self) -> int:
        return int(self.outcome.size)

    @property
    def input(self) -> Digests:
        """Digest of the input of each product."""
        return _unpaired(self.inputs)

    @property
    def digest(self) -> Digests:
        """Digest of the content of each product."""
        return _unpaired(self.digests)

    def digest_of(self, entries: NDArray[np.int64]) -> Digests:
        """Digests of the content of some entries."""
        return _unpaired(self.digests[entries])

    def among(self, wanted: Set[str]) -> set[str]:
        """The given names that have a product."""
        present: set[str] = set()
        for packed in self.packed_names:
            present |= wanted & set(packed.decode().split("\0"))
        return present

    def names(self) -> list[str]:
        """Names of the sources."""
        return [name.decode() for packed in self.packed_names for name in packed[1:-1].split(_END)]


def pack_products(sources: Mapping[str, Array], segment: int | None) -> Packed:
    """Pack a segment's table of sources."""
    messages = {str(row): text for row, text in enumerate(_text(sources["message"])) if text}
    return Packed(
        segment=segment,
        names=_END + b"".join(name.encode() + _END for name in _text(sources["name"])),
        inputs=pack_digests(sources["input"]),
        digests=pack_digests(sources["digest"]),
        outcomes=sources["outcome"].astype(np.int8).tobytes(),
        n_rows=sources["n_rows"].astype("<i8").tobytes(),
        messages=json.dumps(messages) if messages else "",
    )


def name_needle(name: str) -> bytes:
    """Bytes that are in the packed names of a batch if and only if the source is in it."""
    return _END + name.encode() + _END


class InputIndex:
    """Inputs of a catalog's sources, to look up which product of each counts.

    The first halves of digests are looked up, then the whole of them compared.
    """

    def __init__(self, inputs: Digests) -> None:
        self._wanted = _pairs(pack_digests(inputs))
        heads = self._wanted[:, 0].astype(np.uint64)
        self._order = np.argsort(heads, kind="stable")
        self._heads = heads[self._order]

    def latest(self, products: Products) -> NDArray[np.int64]:
        """Entry of the product that counts for each input; −1 where there is none."""
        known = np.flatnonzero((products.outcome != Outcome.BLOCKED) & products.inputs.any(axis=1))
        entries = np.full(self._order.size, -1, np.int64)
        if known.size == 0 or entries.size == 0:
            return entries
        at = np.searchsorted(self._heads, products.inputs[known, 0].astype(np.uint64))
        place = self._order[np.minimum(at, self._order.size - 1)]
        same = (self._wanted[place] == products.inputs[known]).all(axis=1)
        # entries are in order, so of two with one input the later one overwrites the earlier
        entries[place[same]] = known[same]
        return entries


def latest(inputs: Digests, products: Products) -> NDArray[np.int64]:
    """Entry of the product that counts for each input; −1 where there is none."""
    return InputIndex(inputs).latest(products)


class Stored(Mapping[str, Products]):
    """Products by stage, unpacked when asked for and not kept: a million sources have gigabytes of them."""

    def __init__(self, packed: Mapping[str, Sequence[Packed]]) -> None:
        self._packed = packed

    def __getitem__(self, stage: str) -> Products:
        return Products.unpack(self._packed[stage])

    def __iter__(self) -> Iterator[str]:
        return iter(self._packed)

    def __len__(self) -> int:
        return len(self._packed)


def _pairs(packed: bytes) -> NDArray[np.uint64]:
    return np.frombuffer(packed, ">u8").reshape(-1, 2)


def _unpaired(pairs: NDArray[np.uint64]) -> Digests:
    """Digests of pairs of integers in any byte order: that of `_pairs` is lost when arrays are concatenated."""
    return unpack_digests(pairs.astype(">u8", copy=False).tobytes())


def made(products: Products) -> set[bytes]:
    """Inputs whose product exists, or was invalidated."""
    counting = products.outcome != Outcome.BLOCKED
    last = dict(zip(products.input[counting].tolist(), products.outcome[counting].tolist(), strict=True))
    return {digest for digest, outcome in last.items() if outcome != Outcome.FAILED}


def without_made(sources: Mapping[str, Array], already: set[bytes]) -> dict[str, Array]:
    """A table of sources without those whose products are there; adds its own to them."""
    inputs = sources["input"].tolist()
    outcome = np.where([digest in already for digest in inputs], Outcome.BLOCKED, sources["outcome"]).astype(np.int8)
    good = (Outcome.DONE, Outcome.EMPTY)
    already |= {digest for digest, code in zip(inputs, outcome.tolist(), strict=True) if code in good}
    return {**sources, "outcome": outcome}


def _text(column: Array) -> list[str]:
    texts: list[str] = column.tolist()
    return texts

"""Raw photometry of many sources in columns, as it lies in a segment."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from retriever.arrays import Array
from retriever.identity import DIGEST_CHARS, Digests
from retriever.ragged import layout_name, pack_ragged, ranges, unpack_ragged
from retriever.rawtable import RawPhotometry, RawTable
from retriever.schema import Columns, Tables

__all__ = ["RawAnswers", "RawBatch", "digest_raw", "pack_columns", "pack_raw", "unpack_raw"]


@dataclass(frozen=True, kw_only=True, eq=False)
class RawBatch:
    """Raw tables that have the same columns, one after the other.

    Attributes
    ----------
    n_sources
        Sources of the batch, also those without a table.
    source
        Row of each table's source.
    offsets
        Where each table begins among the rows, and at the end their number.
    columns
        The rows; masked arrays where the survey marked values as missing.
    """

    n_sources: int
    source: NDArray[np.int64]
    offsets: NDArray[np.int64]
    columns: Mapping[str, Array]

    @classmethod
    def read(cls, tables: Tables, n_sources: int) -> "RawBatch | None":
        """Raw tables of a segment, where all of them have the same columns; else None."""
        index = tables["raw"]
        if index["layout"].size == 0 or (index["layout"] != index["layout"][0]).any():
            return None
        name = layout_name("rows", int(index["layout"][0]))
        rows, masks = tables[name], tables.get(f"{name}.masks", {})
        lengths = index["n_rows"]
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        whole = np.array_equal(index["first"], offsets[:-1]) and all(len(col) == offsets[-1] for col in rows.values())
        chosen = slice(None) if whole else ranges(index["first"], lengths)
        columns: dict[str, Array] = {
            key: np.ma.MaskedArray(values[chosen], mask=masks[key][chosen]) if key in masks else values[chosen]
            for key, values in rows.items()
        }
        return cls(n_sources=n_sources, source=index["source"], offsets=offsets, columns=columns)

    @cached_property
    def source_of_row(self) -> NDArray[np.int64]:
        """Source of each row."""
        return np.repeat(self.source, np.diff(self.offsets))


@dataclass(frozen=True, kw_only=True, eq=False)
class RawAnswers:
    """What an observatory answers for a batch of sources, in columns.

    Attributes
    ----------
    tables
        Tables `raw`, `headers` and `rows*`, as `pack_raw` and `pack_columns` make them.
    provenance
        For each source where and how it was asked, as in `RawPhotometry`.
    failures
        What went wrong, by the row of the source.
    """

    tables: Tables
    provenance: Sequence[Mapping[str, str]]
    failures: Mapping[int, Exception]


def pack_columns(source: NDArray[np.int64], lengths: NDArray[np.int64], rows: Columns, origin: str) -> Tables:
    """Raw tables with the same columns, one a source, as `pack_raw` packs them.

    Parameters
    ----------
    source
        Row of each table's source.
    lengths
        Rows of each table.
    rows
        All rows, one table after the other; no masked ones.
    origin
        Where the tables came from.
    """
    schema = RawTable(columns={name: column[:0] for name, column in rows.items()}).schema()
    text = json.dumps([schema, origin]).encode() if source.size else b""
    n = source.size
    return {
        "raw": {
            "layout": np.zeros(n, np.int32),
            "first": np.cumsum(lengths) - lengths,
            "n_rows": lengths,
            "source": source,
            "text_first": np.zeros(n, np.int64),
            "text_bytes": np.full(n, len(text)),
        },
        "headers": {"text": np.frombuffer(text, np.uint8)},
        **({"rows": rows} if n else {}),
    }


def digest_raw(tables: Tables, n_sources: int) -> Digests:
    """Digest of each source's raw photometry, equal to that of `RawPhotometry.digest`."""
    index, text = tables["raw"], tables["headers"]["text"].tobytes()
    count = np.bincount(index["source"], minlength=n_sources).tolist()
    hashers = [hashlib.sha256(b"%d tables" % k) for k in count]
    views = {layout: _views(tables, layout) for layout in np.unique(index["layout"]).tolist()}
    words: dict[tuple[bytes, int], bytes] = {}
    names = ("source", "layout", "first", "n_rows", "text_first", "text_bytes")
    for source, layout, first, n, start, size in zip(*(index[name].tolist() for name in names), strict=True):
        schema = text[start : start + size]
        if (schema, n) not in words:
            words[schema, n] = _words(schema, n, views[layout])
        update = hashers[source].update
        update(words[schema, n])
        for view, width, _ in views[layout]:
            update(view[first * width : (first + n) * width])
    return np.array([hasher.hexdigest()[:DIGEST_CHARS].encode() for hasher in hashers], f"S{DIGEST_CHARS}")


_View = tuple[memoryview, int, tuple[int, ...] | None]
"""Bytes of a column, bytes of a row, and the shape of a row; None for a mask."""


def _views(tables: Tables, layout: int) -> list[_View]:
    name = layout_name("rows", layout)
    masks = tables.get(f"{name}.masks", {})
    views: list[_View] = []
    for key, column in tables[name].items():
        values = column
        if key in masks:
            views.append((_bytes(masks[key]), int(np.prod(masks[key].shape[1:], dtype=int)), None))
            values = np.where(masks[key], np.zeros((), column.dtype), column)
        shape = tuple(column.shape[1:])
        views.append((_bytes(values), values.dtype.itemsize * int(np.prod(shape, dtype=int)), shape))
    return views


def _bytes(column: Array) -> memoryview:
    return np.ascontiguousarray(column).reshape(-1).view(np.uint8).data if column.size else memoryview(b"")


def _words(text: bytes, n: int, views: Sequence[_View]) -> bytes:
    schema, origin, *headers = json.loads(text)
    shapes = [(n, *shape) for _, _, shape in views if shape is not None]
    words = json.dumps([schema, shapes, *headers, origin]).encode()
    return b"%d:" % len(words) + words


def pack_raw(answers: Sequence[RawPhotometry | None]) -> Tables:
    """Tables `raw` (one row a raw table), `rows*` (the rows themselves) and `headers` (their text)."""
    flat = [(row, table) for row, answer in enumerate(answers) if answer for table in answer.tables]
    tables, index = pack_ragged("rows", [table.columns for _, table in flat])
    texts = [json.dumps([table.schema(), table.origin, *table.headers]).encode() for _, table in flat]
    sizes = np.array([len(text) for text in texts], np.int64)
    index["source"] = np.array([row for row, _ in flat], np.int64)
    index["text_first"], index["text_bytes"] = np.cumsum(sizes) - sizes, sizes
    return {"raw": index, "headers": {"text": np.frombuffer(b"".join(texts), np.uint8)}, **tables}


def unpack_raw(tables: Tables, sources: Sequence[int]) -> list[RawPhotometry]:
    """Raw photometry of some of a segment's sources, just as it was packed."""
    index, text = tables["raw"], tables["headers"]["text"]
    answers = []
    for source in sources:
        rows = np.flatnonzero(index["source"] == source).tolist()
        own = []
        for row, columns in zip(rows, unpack_ragged("rows", tables, index, rows), strict=True):
            first, size = int(index["text_first"][row]), int(index["text_bytes"][row])
            schema, origin, *headers = json.loads(text[first : first + size].tobytes())
            kinds = json.loads(schema)
            own.append(
                RawTable(
                    columns={name: columns[name].astype(kind, copy=False) for name, kind, *_ in kinds},
                    units={name: unit for name, _, _, _, unit in kinds if unit},
                    headers=tuple(headers),
                    origin=origin,
                )
            )
        answers.append(RawPhotometry(tables=tuple(own)))
    return answers

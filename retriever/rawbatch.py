"""Raw photometry of many sources in columns, as it lies in a segment."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from retriever.ragged import layout_name, pack_ragged, ranges, unpack_ragged
from retriever.rawtable import Column, RawPhotometry, RawTable
from retriever.schema import Tables

__all__ = ["RawBatch", "pack_raw", "unpack_raw"]


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
    columns: Mapping[str, Column]

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
        columns: dict[str, Column] = {
            key: np.ma.MaskedArray(values[chosen], mask=masks[key][chosen]) if key in masks else values[chosen]
            for key, values in rows.items()
        }
        return cls(n_sources=n_sources, source=index["source"], offsets=offsets, columns=columns)

    @cached_property
    def source_of_row(self) -> NDArray[np.int64]:
        """Source of each row."""
        return np.repeat(self.source, np.diff(self.offsets))


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
        found = []
        for row, columns in zip(rows, unpack_ragged("rows", tables, index, rows), strict=True):
            first, size = int(index["text_first"][row]), int(index["text_bytes"][row])
            schema, origin, *headers = json.loads(text[first : first + size].tobytes())
            kinds = json.loads(schema)
            found.append(
                RawTable(
                    columns={name: columns[name].astype(kind, copy=False) for name, kind, *_ in kinds},
                    units={name: unit for name, _, _, _, unit in kinds if unit},
                    headers=tuple(headers),
                    origin=origin,
                )
            )
        answers.append(RawPhotometry(tables=tuple(found)))
    return answers

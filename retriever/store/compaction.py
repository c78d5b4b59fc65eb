"""Fewer rows in the table of products: those without a file are rewritten, with the entries that still count."""

from collections.abc import Sequence

import numpy as np
from sqlalchemy import Connection, delete, insert, select

from retriever.outcome import Outcome
from retriever.store import models
from retriever.store.packed import packed, packed_columns, product_row
from retriever.store.products import Packed, Products, pack_products

__all__ = ["compact", "compacted"]

ENTRIES_A_ROW = 10_000
"""Entries that are packed into one row."""


def compact(connection: Connection) -> int:
    """Rewrite the rows of all stages whose products have no file; gives by how many rows the table is shorter.

    Rows of segments stay as they are, so that they can be compared with their files.
    """
    p = models.Product
    known = set(connection.scalars(select(models.Segment.id)))
    removed = 0
    for stage_id in connection.scalars(select(p.stage_id).distinct()).all():
        query = select(p.id, *packed_columns()).where(p.stage_id == stage_id).order_by(p.id)
        rows = connection.execute(query).all()
        has_file = [row.segment_id in known for row in rows]
        old = [row.id for row, kept in zip(rows, has_file, strict=True) if not kept]
        if not old:
            continue
        new = compacted([packed(row) for row in rows], has_file)
        if len(new) >= len(old):
            continue
        for start in range(0, len(old), 500):
            connection.execute(delete(p).where(p.id.in_(old[start : start + 500])))
        if new:
            connection.execute(insert(p), [product_row(stage_id, part) for part in new])
        removed += len(old) - len(new)
    return removed


def compacted(parts: Sequence[Packed], has_file: Sequence[bool]) -> list[Packed]:
    """The packed products that replace the parts without a file; they come after all others.

    Of each input the last entry is kept, if it lies in such a part; of a name that would be lost, its last entry.

    Parameters
    ----------
    parts
        All products of one stage, in their order.
    has_file
        Which of them have a file.
    """
    products = Products.unpack(parts)
    names = np.array(products.names(), np.object_)
    loose = np.repeat(~np.array(has_file, np.bool_), [len(part.outcomes) for part in parts])
    counting = np.flatnonzero((products.outcome != Outcome.BLOCKED) & products.inputs.any(axis=1))
    last_of_input = dict(zip(products.input[counting].tolist(), counting.tolist(), strict=True))
    kept = np.zeros(len(products), np.bool_)
    kept[list(last_of_input.values())] = True
    kept &= loose
    remaining = set(names[~loose | kept].tolist())
    last_of_name = {name: entry for entry, name in enumerate(names.tolist()) if name not in remaining}
    kept[list(last_of_name.values())] = True
    entries = np.flatnonzero(kept)
    return [
        _packed(products, names, entries[start : start + ENTRIES_A_ROW])
        for start in range(0, entries.size, ENTRIES_A_ROW)
    ]


def _packed(products: Products, names: np.ndarray[tuple[int], np.dtype[np.object_]], entries: np.ndarray) -> Packed:
    outcome = products.outcome[entries]
    lost = (outcome == Outcome.DONE) | (outcome == Outcome.EMPTY)  # their file is gone, so they are to be made again
    table = {
        "name": names[entries],
        "input": products.input[entries],
        "digest": products.digest[entries],
        "outcome": np.where(lost, Outcome.PENDING, outcome).astype(np.int8),
        "n_rows": products.n_rows[entries],
        "message": np.array([products.message.get(entry, "") for entry in entries.tolist()], np.object_),
    }
    return pack_products(table, None)

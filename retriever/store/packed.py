"""Rows of the table of products, which keeps those of a batch in packed columns."""

from typing import Any

from sqlalchemy import Connection, Row, select
from sqlalchemy.orm import InstrumentedAttribute

from retriever.store import models
from retriever.store.products import Packed

__all__ = ["packed", "packed_columns", "packed_of", "product_row"]

_PACKED = ("names", "inputs", "digests", "outcomes", "n_rows", "messages")


def product_row(stage_id: int, packed: Packed) -> dict[str, object]:
    """A row of the table of products."""
    return {"stage_id": stage_id, "segment_id": packed.segment, **{name: getattr(packed, name) for name in _PACKED}}


def packed_columns() -> list[InstrumentedAttribute[Any]]:
    """Columns that `packed` takes."""
    return [models.Product.segment_id, *(getattr(models.Product, name) for name in _PACKED)]


def packed(row: Row[Any]) -> Packed:
    """Products of one batch, from a row of `packed_columns`."""
    # PostgreSQL's driver gives memory views
    texts = {name: bytes(getattr(row, name)) for name in _PACKED[:-1]}
    return Packed(segment=row.segment_id, messages=row.messages, **texts)


def packed_of(connection: Connection, stage_id: int) -> list[Packed]:
    """All products of a stage as they are stored."""
    query = select(*packed_columns()).where(models.Product.stage_id == stage_id).order_by(models.Product.id)
    return [packed(row) for row in connection.execute(query)]

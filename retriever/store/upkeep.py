"""Looking after the store: verifying and repairing it, and indexing segments that the database does not know.

Nothing here changes a segment. A product that is invalidated gets a later entry with the outcome PENDING; its digest
stays, so that what was made from it still counts if it comes back the same.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import Connection, Row, delete, insert, select
from sqlalchemy import Table as RowTable

from retriever.errors import StoreError
from retriever.outcome import Outcome
from retriever.schema import Columns, Table
from retriever.store import models, queries
from retriever.store.batch import Batch, StageSpec, segment_batch
from retriever.store.database import Database
from retriever.store.leases import live_holders
from retriever.store.packed import packed_of, product_row
from retriever.store.products import Products, pack_products
from retriever.store.publishing import indexed_columns, publish, stage_ids
from retriever.store.segments import sizes_below

__all__ = [
    "Finding",
    "Roots",
    "delete_segments",
    "no_progress",
    "read_batches",
    "redo",
    "refuse_while_running",
    "register_orphans",
    "repair",
    "segments_on_disk",
    "unknown_segments",
    "verify",
]

Roots = Mapping[str, Path]
"""Folders by what the database calls them: "data" and "outputs"."""

REGISTERED_AT_ONCE = 500
"""So many segments found on disk go into one transaction."""

OnProgress = Callable[[int, int], None]
"""Called with the number of segments or files that are done, and that of all."""

log = logging.getLogger("retriever")


def no_progress(done: int, total: int) -> None:
    """Show nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that is not as it should be: "missing", "altered", "rows differ", "orphan" or "lost rows"."""

    kind: str
    root: str
    path: str
    what: str
    segment_id: int | None = None


def refuse_while_running(database: Database, what: str) -> None:
    """Refuse to go on while a run is at work.

    Raises
    ------
    StoreError
        When one is.
    """
    holders = live_holders(database)
    if holders:
        raise StoreError(f"cannot {what} while {holders[0]} is at work; wait for its end, or stop it")


def segments_on_disk(roots: Roots) -> dict[tuple[str, str], int]:
    """Sizes in bytes of all segments, by root and path."""
    segments: dict[tuple[str, str], int] = {}
    folders = {
        "data": sorted(roots["data"].glob("*/*")),
        "outputs": sorted((roots["outputs"] / ".stages").glob("*/*")),
    }
    for root, places in folders.items():
        for place in places:
            if place.is_dir() and not place.is_symlink():
                sizes = sizes_below(roots[root], str(place.relative_to(roots[root])))
                segments |= {(root, path): size for path, size in sizes.items()}
    return segments


# ---- verify and repair -------------------------------------------------------------------------------------------


def verify(
    database: Database, roots: Roots, stage_ids: Iterable[int] | None = None, *, on_progress: OnProgress = no_progress
) -> Iterator[Finding]:
    """Compare segments with their digests, and the database's rows with the segments; both ways.

    Parameters
    ----------
    stage_ids
        Only these stages; None for all, and for files that the database does not know.
    """
    query = select(models.Segment.__table__).order_by(models.Segment.id)
    if stage_ids is not None:
        query = query.where(models.Segment.stage_id.in_(list(stage_ids)))
    with database.reading() as connection:
        rows = connection.execute(query).all()
    for done, row in enumerate(rows, 1):
        finding = _verify_segment(database, roots[row.root], row)
        on_progress(done, len(rows))
        if finding is not None:
            kind, what = finding
            yield Finding(kind=kind, root=row.root, path=row.path, what=what, segment_id=row.id)
    if stage_ids is None:
        known = {(row.root, row.path) for row in rows}
        for root, path in sorted(segments_on_disk(roots).keys() - known):
            yield Finding(kind="orphan", root=root, path=path, what="the database does not know this file")
        yield from _lost_rows(database, {row.id for row in rows})


def _verify_segment(database: Database, root: Path, row: Row[Any]) -> tuple[str, str] | None:
    try:
        _, batch = segment_batch(row.root, root, row.path)
    except StoreError as error:
        if not (root / row.path).exists():
            return "missing", "the file is not there"
        return "altered", str(error)
    differing = [
        table.name for table in batch.declared if not _rows_agree(database, table, batch.tables.get(table.name), row.id)
    ]
    if not _products_agree(database, batch.tables["sources"], row.id):
        differing.append("products")
    return ("rows differ", f"the database says other things in {', '.join(differing)}") if differing else None


def _rows_agree(database: Database, table: Table, columns: Columns | None, segment_id: int) -> bool:
    chunks = list(queries.rows(database, table, [segment_id]))
    n = 0 if columns is None else len(columns["source"])
    if not chunks or columns is None or n == 0:
        return not chunks and n == 0
    stored, indexed = chunks[0], indexed_columns(table, columns)
    wanted = {"row": np.arange(n), "source_row": indexed["source"], **indexed}
    return all(_equal(values, wanted[key]) for key, values in stored.items() if key in wanted)


def _equal(first: object, second: object) -> bool:
    first, second = np.asarray(first), np.asarray(second)
    if first.shape != second.shape:
        return False
    if first.dtype.kind == "f" or second.dtype.kind == "f":
        return bool(np.array_equal(first.astype(float), second.astype(float), equal_nan=True))
    return bool((first == second).all())


def _products_agree(database: Database, sources: Columns, segment_id: int) -> bool:
    """Whether the database has a segment's products as its file does; those made elsewhere before are not its own."""
    wanted = pack_products(sources, segment_id)
    expected = np.frombuffer(wanted.outcomes, np.int8)
    stored = queries.packed_of_segment(database, segment_id)
    for part in stored:
        outcomes = np.frombuffer(part.outcomes, np.int8)
        same = (part.names, part.inputs, part.digests, part.n_rows) == (
            wanted.names,
            wanted.inputs,
            wanted.digests,
            wanted.n_rows,
        )
        if not same or ((outcomes != expected) & (outcomes != Outcome.BLOCKED)).any():
            return False
    return bool(stored)


def _lost_rows(database: Database, ids: set[int]) -> Iterator[Finding]:
    for table in (models.table_of(models.Product), *database.row_tables()):
        with database.reading() as connection:
            lost = set(connection.scalars(select(table.c.segment_id).distinct())) - ids - {None}
        for number in sorted(lost):
            yield Finding(
                kind="lost rows",
                root="",
                path="",
                what=f"table {table.name} has rows of a segment {number} that does not exist",
                segment_id=number,
            )


def repair(database: Database, roots: Roots, findings: Sequence[Finding]) -> None:
    """Invalidate what is damaged, take over orphans, and read rows that differ from their segments anew."""
    damaged = [finding for finding in findings if finding.segment_id is not None]
    gone = [finding.segment_id for finding in damaged if finding.kind in ("missing", "altered")]
    row_tables = database.row_tables()
    with database.writing() as connection:
        of_segments = models.Product.segment_id.in_(gone)
        for stage_id in connection.scalars(select(models.Product.stage_id).where(of_segments).distinct()).all():
            _invalidate(connection, stage_id, segments=set(gone))
        delete_segments(connection, row_tables, [finding.segment_id for finding in damaged])
    for finding in findings:
        if finding.kind == "altered":
            (roots[finding.root] / finding.path).unlink(missing_ok=True)
    register_orphans(database, unknown_segments(database, segments_on_disk(roots), roots), roots, run="repair")


def redo(database: Database, stage_ids: Sequence[int], sources: Sequence[str]) -> int:
    """Invalidate the products of some sources, and nothing else; gives the number of products."""
    with database.writing() as connection:
        return sum(_invalidate(connection, stage_id, names=set(sources)) for stage_id in stage_ids)


def _invalidate(
    connection: Connection, stage_id: int, *, segments: set[int | None] | None = None, names: set[str] | None = None
) -> int:
    """Invalidate products that count: those of segments, or those of sources; gives their number."""
    products = Products.unpack(packed_of(connection, stage_id))
    counting = np.flatnonzero((products.outcome != Outcome.BLOCKED) & products.inputs.any(axis=1)).tolist()
    inputs, labels = products.input.tolist(), products.names()
    last = {inputs[entry]: entry for entry in counting}
    chosen = [
        entry
        for entry in last.values()
        if products.outcome[entry] != Outcome.PENDING
        and (segments is None or products.segment[entry] in segments)
        and (names is None or labels[entry] in names)
    ]
    if not chosen:
        return 0
    table: Columns = {
        "name": np.array([labels[entry] for entry in chosen], np.str_),
        "input": products.input[chosen],
        "digest": products.digest[chosen],
        "outcome": np.full(len(chosen), Outcome.PENDING, np.int8),
        "n_rows": np.zeros(len(chosen), np.int64),
        "message": np.full(len(chosen), ""),
    }
    connection.execute(insert(models.Product), product_row(stage_id, pack_products(table, None)))
    return len(chosen)


# ---- segments that the database does not know --------------------------------------------------------------------


def unknown_segments(
    database: Database | None, on_disk: Iterable[tuple[str, str]], roots: Roots
) -> list[tuple[str, str]]:
    """Those of some segments (root, path) that the database does not know, oldest first."""
    known = {root: queries.known_paths(database, root) if database else set[str]() for root in roots}
    unknown = [(root, path) for root, path in on_disk if path not in known[root]]
    return sorted(unknown, key=lambda key: ((roots[key[0]] / key[1]).stat().st_mtime_ns, key))


def read_batches(segments: Iterable[tuple[str, str]], roots: Roots) -> tuple[list[tuple[StageSpec, Batch]], list[str]]:
    """Segments as what their publication would have been, and what is wrong with those that cannot be read."""
    batches, troubles = [], []
    for root, path in segments:
        try:
            batches.append(segment_batch(root, roots[root], path))
        except StoreError as error:
            troubles.append(str(error))
    return batches, troubles


def register_orphans(
    database: Database,
    unknown: Sequence[tuple[str, str]],
    roots: Roots,
    run: str,
    *,
    on_progress: OnProgress = no_progress,
) -> int:
    """Make segments count that the database does not know, as after a crash; gives their number."""
    count = 0
    for start in range(0, len(unknown), REGISTERED_AT_ONCE):
        batches, troubles = read_batches(unknown[start : start + REGISTERED_AT_ONCE], roots)
        for trouble in troubles:
            log.warning("%s", trouble)
        stage_ids(database, [spec for spec, _ in batches])
        publish(database, [batch for _, batch in batches], run=run, tokens=None)
        count += len(batches)
        on_progress(min(start + REGISTERED_AT_ONCE, len(unknown)), len(unknown))
    return count


def delete_segments(connection: Connection, row_tables: Sequence[RowTable], ids: Sequence[int | None]) -> None:
    """Delete what the database says of some segments: the products and rows in them, and the segments themselves."""
    for start in range(0, len(ids), 500):
        some = list(ids[start : start + 500])
        for table in (models.table_of(models.Product), *row_tables):
            connection.execute(delete(table).where(table.c.segment_id.in_(some)))
        connection.execute(delete(models.Segment).where(models.Segment.id.in_(some)))

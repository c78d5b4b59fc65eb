"""Looking after the store: does the disk hold what the database says, what may go, and making the database anew.

Nothing here changes a segment. A product that is sent back to pending gets a later entry that says so; its digest
stays, so that what stands on it still counts if it comes back the same.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import Connection, delete, insert, select
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
    "Garbage",
    "collect",
    "find_garbage",
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
"""Is told how many of how many segments or files are done."""

log = logging.getLogger("retriever")


def no_progress(done: int, total: int) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that is not as it should be: "missing", "altered", "rows differ", "orphan" or "lost rows"."""

    kind: str
    root: str
    path: str
    what: str
    segment_id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Garbage:
    """A file that nothing needs: "unused" by any version, "superseded" or an "orphan"."""

    kind: str
    root: str
    path: str
    size: int
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
    found: dict[tuple[str, str], int] = {}
    folders = {
        "data": sorted(roots["data"].glob("*/*")),
        "outputs": sorted((roots["outputs"] / ".stages").glob("*/*")),
    }
    for root, places in folders.items():
        for place in places:
            if place.is_dir() and not place.is_symlink():
                sizes = sizes_below(roots[root], str(place.relative_to(roots[root])))
                found |= {(root, path): size for path, size in sizes.items()}
    return found


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


def _verify_segment(database: Database, root: Path, row: Any) -> tuple[str, str] | None:
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


def _equal(one: Any, other: Any) -> bool:
    one, other = np.asarray(one), np.asarray(other)
    if one.shape != other.shape:
        return False
    if one.dtype.kind == "f" or other.dtype.kind == "f":
        return bool(np.array_equal(one.astype(float), other.astype(float), equal_nan=True))
    return bool((one == other).all())


def _products_agree(database: Database, sources: Mapping[str, Any], segment_id: int) -> bool:
    """Whether products of a segment are as it tells them; those that others had made already are not its own."""
    wanted = pack_products(sources, segment_id)
    told = np.frombuffer(wanted.outcomes, np.int8)
    stored = queries.packed_of_segment(database, segment_id)
    for one in stored:
        outcomes = np.frombuffer(one.outcomes, np.int8)
        same = (one.names, one.inputs, one.digests, one.n_rows) == (
            wanted.names,
            wanted.inputs,
            wanted.digests,
            wanted.n_rows,
        )
        if not same or ((outcomes != told) & (outcomes != Outcome.BLOCKED)).any():
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
    """Send what is damaged back to pending, take over orphans, and read rows that differ from their segments anew."""
    damaged = [one for one in findings if one.segment_id is not None]
    gone = [one.segment_id for one in damaged if one.kind in ("missing", "altered")]
    row_tables = database.row_tables()
    with database.writing() as connection:
        of_segments = models.Product.segment_id.in_(gone)
        for stage_id in connection.scalars(select(models.Product.stage_id).where(of_segments).distinct()).all():
            _send_back(connection, stage_id, segments=set(gone))
        _delete_segments(connection, row_tables, [one.segment_id for one in damaged])
    for one in findings:
        if one.kind == "altered":
            (roots[one.root] / one.path).unlink(missing_ok=True)
    register_orphans(database, unknown_segments(database, segments_on_disk(roots), roots), roots, run="repair")


def redo(database: Database, stage_ids: Sequence[int], sources: Sequence[str]) -> int:
    """Send the products of some sources back to pending; nothing else moves. Gives the number of products."""
    with database.writing() as connection:
        return sum(_send_back(connection, stage_id, names=set(sources)) for stage_id in stage_ids)


def _send_back(
    connection: Connection, stage_id: int, *, segments: set[int | None] | None = None, names: set[str] | None = None
) -> int:
    """Put products that count back to pending: those of segments, or those of sources; gives their number."""
    products = Products.unpack(packed_of(connection, stage_id))
    told = np.flatnonzero((products.outcome != Outcome.BLOCKED) & products.inputs.any(axis=1)).tolist()
    inputs, labels = products.input.tolist(), products.names()
    last = {inputs[entry]: entry for entry in told}
    chosen = [
        entry
        for entry in last.values()
        if products.outcome[entry] != Outcome.PENDING
        and (segments is None or products.segment[entry] in segments)
        and (names is None or labels[entry] in names)
    ]
    if not chosen:
        return 0
    table = {
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
    found, troubles = [], []
    for root, path in segments:
        try:
            found.append(segment_batch(root, roots[root], path))
        except StoreError as error:
            troubles.append(str(error))
    return found, troubles


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
        found, troubles = read_batches(unknown[start : start + REGISTERED_AT_ONCE], roots)
        for trouble in troubles:
            log.warning("%s", trouble)
        stage_ids(database, [spec for spec, _ in found])
        publish(database, [batch for _, batch in found], run=run, tokens=None)
        count += len(found)
        on_progress(min(start + REGISTERED_AT_ONCE, len(unknown)), len(unknown))
    return count


# ---- garbage -----------------------------------------------------------------------------------------------------


def find_garbage(
    database: Database, roots: Roots, *, used_keys: set[str], mentioned: set[str], raw: bool
) -> list[Garbage]:
    """Find files that no version stands on.

    Parameters
    ----------
    used_keys
        Stage keys of all versions there are.
    mentioned
        Segments that versions' tables name, as "root/path".
    raw
        Whether raw data may go too.
    """
    with database.reading() as connection:
        segments = connection.execute(select(models.Segment.__table__)).all()
        stages = {row.id: row.key for row in connection.execute(select(models.Stage.__table__))}
    found = []
    on_disk = segments_on_disk(roots)
    standing: dict[int, set[int]] = {}
    for row in segments:
        if row.root == "data" and not raw:
            continue
        if f"{row.root}/{row.path}" in mentioned:
            continue
        if stages.get(row.stage_id) not in used_keys:
            kind = "unused"
        else:
            if row.stage_id not in standing:
                standing[row.stage_id] = _standing(queries.products(database, row.stage_id))
            if row.id in standing[row.stage_id]:
                continue
            kind = "superseded"
        size = on_disk.get((row.root, row.path), 0)
        found.append(Garbage(kind=kind, root=row.root, path=row.path, size=size, segment_id=row.id))
    known = {(row.root, row.path) for row in segments}
    for (root, path), size in sorted(on_disk.items()):
        if (root, path) not in known and f"{root}/{path}" not in mentioned and (raw or root != "data"):
            found.append(Garbage(kind="orphan", root=root, path=path, size=size))
    return found


def _standing(products: Products) -> set[int]:
    """Segments that hold the latest product of any source."""
    names = products.names()
    made = np.flatnonzero((products.outcome == Outcome.DONE) | (products.outcome == Outcome.EMPTY)).tolist()
    latest = dict(zip(map(names.__getitem__, made), made, strict=True))
    return set(products.segment[list(latest.values())].tolist()) if latest else set()


def collect(
    database: Database, roots: Roots, garbage: Sequence[Garbage], *, on_progress: OnProgress = no_progress
) -> None:
    """Remove garbage: rows first, then files, so that after a crash in between nothing counts that is not there."""
    ids = [one.segment_id for one in garbage if one.segment_id is not None]
    row_tables = database.row_tables()
    with database.writing() as connection:
        _delete_segments(connection, row_tables, ids)
    for done, one in enumerate(garbage, 1):
        on_progress(done, len(garbage))
        path = roots[one.root] / one.path
        path.unlink(missing_ok=True)
        for folder in list(path.parents)[:3]:
            if folder == roots[one.root] or not _is_empty(folder):
                break
            folder.rmdir()


def _is_empty(folder: Path) -> bool:
    return folder.is_dir() and not any(folder.iterdir())


def _delete_segments(connection: Connection, row_tables: Sequence[RowTable], ids: Sequence[int | None]) -> None:
    for start in range(0, len(ids), 500):
        some = list(ids[start : start + 500])
        for table in (models.table_of(models.Product), *row_tables):
            connection.execute(delete(table).where(table.c.segment_id.in_(some)))
        connection.execute(delete(models.Segment).where(models.Segment.id.in_(some)))

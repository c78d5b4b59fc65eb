"""Looking after the store: does the disk hold what the database says, what may go, and making the database anew.

Nothing here changes a segment. A product that is sent back to pending gets a later entry that says so; its digest
stays, so that what stands on it still counts if it comes back the same.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import delete, insert, select

from retriever.errors import StoreError
from retriever.identity import DIGEST_CHARS
from retriever.outcome import Outcome
from retriever.store import models
from retriever.store.batch import segment_batch
from retriever.store.database import INDEX_MODELS, Database, indexed_columns, product_row
from retriever.store.leases import live_holders
from retriever.store.products import Packed, Products, pack_products
from retriever.store.segments import sizes_below

__all__ = [
    "Finding",
    "Garbage",
    "adopt",
    "collect",
    "find_garbage",
    "redo",
    "refuse_while_running",
    "repair",
    "segments_on_disk",
    "verify",
]

Roots = Mapping[str, Path]
"""Folders by what the database calls them: "data" and "outputs"."""

Told = Callable[[str], None]


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


def verify(database: Database, roots: Roots, stage_ids: Iterable[int] | None = None) -> Iterator[Finding]:
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
    for row in rows:
        finding = _verify_segment(database, roots[row.root], row)
        if finding is not None:
            kind, what = finding
            yield Finding(kind=kind, root=row.root, path=row.path, what=what, segment_id=row.id)
    if stage_ids is None:
        known = {(row.root, row.path) for row in rows}
        for root, path in sorted(segments_on_disk(roots).keys() - known):
            yield Finding(kind="orphan", root=root, path=path, what="the database does not know this file")
        yield from _lost_rows(database, {row.id for row in rows})


def _verify_segment(database: Database, root: Path, row: Any) -> tuple[str, str] | None:
    path = root / row.path
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()[:DIGEST_CHARS]
    except FileNotFoundError:
        return "missing", "the file is not there"
    except OSError as error:
        return "altered", f"the file cannot be read ({error.strerror})"
    if digest != row.digest:
        return "altered", "the file is not what was written"
    try:
        _, batch = segment_batch(row.root, root, row.path)
    except StoreError as error:
        return "altered", str(error)
    differing = [name for name in INDEX_MODELS if not _rows_agree(database, name, batch.tables.get(name), row.id)]
    if not _products_agree(database, batch.tables["sources"], row.id):
        differing.append("products")
    return ("rows differ", f"the database says other things in {', '.join(differing)}") if differing else None


def _rows_agree(database: Database, name: str, columns: Mapping[str, Any] | None, segment_id: int) -> bool:
    chunks = list(database.rows(name, [segment_id]))
    n = 0 if columns is None else len(columns["source"])
    if not chunks or columns is None or n == 0:
        return not chunks and n == 0
    stored, told = chunks[0], indexed_columns(name, columns)
    wanted = {"row": np.arange(n), "source_row": told["source"], **told}
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
    stored = database.packed_of_segment(segment_id)
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
    for model in (models.Product, *INDEX_MODELS.values()):
        with database.reading() as connection:
            column = model.__table__.c.segment_id
            lost = set(connection.scalars(select(column).distinct())) - ids - {None}
        for number in sorted(lost):
            yield Finding(
                kind="lost rows",
                root="",
                path="",
                what=f"table {model.__tablename__} has rows of a segment {number} that there is none of",
                segment_id=number,
            )


def repair(database: Database, roots: Roots, findings: Sequence[Finding]) -> None:
    """Send what is damaged back to pending, take over orphans, and read rows that differ from their segments anew."""
    for finding in findings:
        if finding.segment_id is None:
            continue
        with database.writing() as connection:
            if finding.kind in ("missing", "altered"):
                for row in connection.execute(
                    select(models.Product.__table__).where(models.Product.segment_id == finding.segment_id)
                ).all():
                    _send_back(connection, row.stage_id, database.packed_in(connection, row.stage_id), row.segment_id)
            _delete_segments(connection, [finding.segment_id])
        if finding.kind == "altered":
            (roots[finding.root] / finding.path).unlink(missing_ok=True)
    adopt(database, roots, run="repair")


def _send_back(
    connection: Any, stage_id: int, packed: Sequence[Packed], segment_id: int | None, names: set[str] | None = None
) -> int:
    """Put products that count back to pending: those of a segment, or those of some sources; gives their number."""
    products = Products.unpack(packed)
    last = {one: entry for entry, one in enumerate(products.input.tolist()) if one and _told(products, entry)}
    made = (Outcome.DONE, Outcome.EMPTY, Outcome.FAILED)
    labels = products.names()
    chosen = [
        entry
        for entry in last.values()
        if products.outcome[entry] in made
        and (segment_id is None or products.segment[entry] == segment_id)
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


def _told(products: Products, entry: int) -> bool:
    return bool(products.outcome[entry] != Outcome.BLOCKED)


def redo(database: Database, stage_ids: Sequence[int], sources: Sequence[str]) -> int:
    """Send the products of some sources back to pending; nothing else moves. Gives the number of products."""
    count = 0
    with database.writing() as connection:
        for stage_id in stage_ids:
            count += _send_back(connection, stage_id, database.packed_in(connection, stage_id), None, set(sources))
    return count


def adopt(database: Database, roots: Roots, run: str, told: Told = lambda sentence: None) -> int:
    """Index all segments on disk that the database does not know, oldest first; gives their number."""
    known = {root: database.known_paths(root) for root in roots}
    unknown = [(root, path) for root, path in segments_on_disk(roots) if path not in known[root]]
    unknown.sort(key=lambda key: ((roots[key[0]] / key[1]).stat().st_mtime_ns, key))
    count = 0
    for start in range(0, len(unknown), 500):
        specs, batches = [], []
        for root, path in unknown[start : start + 500]:
            try:
                spec, batch = segment_batch(root, roots[root], path)
            except StoreError as error:
                told(str(error))
                continue
            specs.append(spec)
            batches.append(batch)
        database.stage_ids(specs)
        database.publish(batches, run=run, tokens=None)
        count += len(batches)
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
                standing[row.stage_id] = _standing(database.products(row.stage_id))
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


def collect(database: Database, roots: Roots, garbage: Sequence[Garbage]) -> None:
    """Remove garbage: rows first, then files, so that after a crash in between nothing counts that is not there."""
    ids = [one.segment_id for one in garbage if one.segment_id is not None]
    with database.writing() as connection:
        _delete_segments(connection, ids)
    for one in garbage:
        path = roots[one.root] / one.path
        path.unlink(missing_ok=True)
        for folder in list(path.parents)[:3]:
            if folder == roots[one.root] or not _is_empty(folder):
                break
            folder.rmdir()


def _is_empty(folder: Path) -> bool:
    return folder.is_dir() and not any(folder.iterdir())


def _delete_segments(connection: Any, ids: Sequence[int]) -> None:
    for start in range(0, len(ids), 500):
        some = list(ids[start : start + 500])
        for model in (models.Product, *INDEX_MODELS.values()):
            connection.execute(delete(model).where(model.__table__.c.segment_id.in_(some)))
        connection.execute(delete(models.Segment).where(models.Segment.id.in_(some)))

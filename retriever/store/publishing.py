"""Publishes results: stages, segments, products and their rows, in one transaction."""

import functools
import itertools
import json
import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from types import ModuleType
from typing import Any

import numpy as np
from sqlalchemy import Connection, insert, select
from sqlalchemy import Table as RowTable
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import DBAPIError, OperationalError

from retriever.arrays import Array
from retriever.errors import LeaseLost, StoreError
from retriever.graph import GRAPH
from retriever.outcome import Outcome
from retriever.schema import Columns, Table
from retriever.store import models
from retriever.store.batch import Batch, StageSpec
from retriever.store.database import Database
from retriever.store.packed import packed_of, product_row
from retriever.store.products import Products, made, pack_products, without_made

__all__ = ["ROWS_AT_ONCE", "add_sources", "aware", "indexed_columns", "known_stage_ids", "publish", "stage_ids"]

PATIENCE_SECONDS = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
"""Pauses between attempts to publish when a database server is away."""

ROWS_AT_ONCE = 10_000
"""Sources that are written in one statement, so that a catalog of a million takes no more memory than a small one."""

log = logging.getLogger("retriever")


def stage_ids(database: Database, specs: Iterable[StageSpec]) -> dict[str, int]:
    """Ids of stages by key; stages that are not known yet are added."""
    wanted = {spec.key: spec for spec in specs}
    with database.reading() as connection:
        known = _known_stages(connection, list(wanted))
    if len(known) == len(wanted):
        return known
    with database.writing() as connection:
        known = _known_stages(connection, list(wanted))
        rows = [
            {
                "key": spec.key,
                "stage": spec.stage,
                "observatory": spec.observatory,
                "survey": spec.survey,
                "data_type": spec.data_type,
            }
            for key, spec in wanted.items()
            if key not in known
        ]
        if rows:
            connection.execute(insert(models.Stage), rows)
        return _known_stages(connection, list(wanted))


def _known_stages(connection: Connection, keys: list[str]) -> dict[str, int]:
    query = select(models.Stage.key, models.Stage.id).where(models.Stage.key.in_(keys))
    return {row[0]: row[1] for row in connection.execute(query)}


def known_stage_ids(database: Database, keys: Sequence[str]) -> dict[str, int]:
    """Ids of known stages, by key."""
    with database.reading() as connection:
        return _known_stages(connection, list(keys))


def publish(database: Database, batches: Sequence[Batch], *, run: str, tokens: Mapping[str, str] | None) -> None:
    """Publish the products of some batches, all of them or none.

    Parameters
    ----------
    tokens
        The run's leases, stage key to token, each checked in the same transaction; None for segments that were
        found on disk, which fill gaps and replace nothing.

    Raises
    ------
    LeaseLost
        When another run has taken over a stage.
    StoreError
        When the database cannot be written; a server that does not answer is retried for a minute.
    """
    for pause in PATIENCE_SECONDS:
        try:
            return _publish(database, batches, run, tokens)
        except StoreError as error:
            if database.engine.dialect.name == "sqlite" or not isinstance(error.__cause__, DBAPIError):
                raise
            if not (error.__cause__.connection_invalidated or isinstance(error.__cause__, OperationalError)):
                raise
            log.warning("%s; trying again in %.0f s", error, pause)
            time.sleep(pause)
    return _publish(database, batches, run, tokens)


def _publish(database: Database, batches: Sequence[Batch], run: str, tokens: Mapping[str, str] | None) -> None:
    with database.writing() as connection:
        keys = [batch.stage_key for batch in batches]
        if tokens is not None:
            _check_leases(connection, keys, tokens)
        ids = _known_stages(connection, keys)
        if tokens is None:
            batches = _without_known(connection, batches, ids)
        segment_ids = _insert_segments(connection, batches, ids, run)
        rows = []
        for batch in batches:
            sources = batch.tables["sources"]
            segment = segment_ids[batch.file.path] if batch.file else None
            if segment is not None or (sources["outcome"] != Outcome.BLOCKED).any():
                rows.append(product_row(ids[batch.stage_key], pack_products(sources, segment)))
        if rows:
            connection.execute(insert(models.Product), rows)


def _check_leases(connection: Connection, keys: Sequence[str], tokens: Mapping[str, str]) -> None:
    query = select(models.Lease.key, models.Lease.token).where(models.Lease.key.in_(keys))
    held = {row[0]: row[1] for row in connection.execute(query)}
    for key in keys:
        if held.get(key) != tokens.get(key):
            raise LeaseLost(
                f"another run took over stage {key[:12]} while this one was suspended; run again to continue from there"
            )


def _insert_segments(
    connection: Connection, batches: Sequence[Batch], stage_ids: Mapping[str, int], run: str
) -> dict[str, int]:
    """Index the segments that are not known yet; gives the id of each by its path."""
    files = {batch.file.path: (batch.file, batch) for batch in batches if batch.file is not None}
    query = select(models.Segment.path, models.Segment.id).where(models.Segment.path.in_(files))
    ids = {row.path: row.id for row in connection.execute(query)}
    fresh = {path: entry for path, entry in files.items() if path not in ids}
    if not fresh:
        return ids
    now = datetime.now(UTC)
    rows = [
        {
            "stage_id": stage_ids[batch.stage_key],
            "root": batch.root,
            "path": path,
            "digest": file.digest,
            "size": file.size,
            "n_sources": len(batch.tables["sources"]["name"]),
            "run": run,
            "created": _fetched(batch) or now,
        }
        for path, (file, batch) in fresh.items()
    ]
    statement = insert(models.Segment).returning(models.Segment.id, sort_by_parameter_order=True)
    numbers = connection.execute(statement, rows).scalars().all()
    ids |= dict(zip(fresh, numbers, strict=True))
    pieces: dict[str, list[tuple[Table, int, Columns]]] = {}
    for path, (_, batch) in fresh.items():
        for table in batch.declared:
            if table.name in batch.tables and batch.tables[table.name]["source"].size:
                piece = (table, ids[path], batch.tables[table.name])
                pieces.setdefault(models.row_table_name(table), []).append(piece)
    for of_table in pieces.values():
        table = of_table[0][0]
        rows_of = [(segment_id, indexed_columns(table, columns)) for _, segment_id, columns in of_table]
        _insert_rows(connection, _existing(connection, table), rows_of)
    return ids


def add_sources(database: Database, rows: Iterable[dict[str, object]]) -> None:
    """Add sources and their aliases."""
    dialect = _dialect(database.engine.dialect.name)
    statement: Any = dialect.insert(models.Source)
    names = {"aliases": statement.excluded.aliases}
    upsert = statement.on_conflict_do_update(index_elements=["name", "digest"], set_=names)
    remaining = iter(rows)
    with database.writing() as connection:
        while some := list(itertools.islice(remaining, ROWS_AT_ONCE)):
            connection.execute(upsert, some)


def _fetched(batch: Batch) -> datetime | None:
    """When the first of a batch's raw data was fetched."""
    provenance = batch.tables.get("raw_index", {}).get("provenance", np.array([]))
    fetched = [json.loads(text).get("fetched") for text in set(provenance.tolist()) if text]
    moments = [aware(datetime.fromisoformat(text)) for text in fetched if text]
    return min(moments, default=None)


def aware(moment: datetime) -> datetime:
    """A moment with its time zone: SQLite gives those of UTC without one."""
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def indexed_columns(table: Table, columns: Columns) -> dict[str, Array | list[str]]:
    """Columns of a segment's table as the database has them; where an older file lacks one, its default."""
    n = columns["source"].size
    indexed: dict[str, Array | list[str]] = {"source": columns["source"], **table.completed(columns, n)}
    if table.extensible:
        indexed["values"] = _json_rows(columns, n)
    return indexed


def _existing(connection: Connection, table: Table) -> RowTable:
    """The database's table of a declared one, made if a stage of the project has it for the first time."""
    row_table = models.row_table(table)
    if not GRAPH.declares(table):
        row_table.create(connection, checkfirst=True)
    return row_table


def _insert_rows(connection: Connection, table: RowTable, of_segments: Sequence[tuple[int, Mapping[str, Any]]]) -> None:
    """Insert the rows of one table that lie in some segments; with SQLite by its driver, which is twice as fast."""
    own = [column.name for column in table.columns if column.name not in models.ROW_KEYS]
    lists: dict[str, list[object]] = {name: [] for name in (*models.ROW_KEYS, *own)}
    for segment_id, columns in of_segments:
        n = len(columns["source"])
        lists["segment_id"] += [segment_id] * n
        lists["row"] += range(n)
        lists["source_row"] += columns["source"].tolist()
        for name in own:
            lists[name] += columns[name] if isinstance(columns[name], list) else columns[name].tolist()
    if connection.dialect.name == "sqlite":
        statement, order = _sqlite_insert(table)
        connection.exec_driver_sql(statement, list(zip(*(lists[name] for name in order), strict=True)))
    else:
        rows = [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]
        connection.execute(insert(table), rows)


@functools.cache
def _sqlite_insert(table: RowTable) -> tuple[str, list[str]]:
    """The statement, and the columns in the order of its question marks."""
    compiled = insert(table).compile(dialect=sqlite.dialect(paramstyle="qmark"))
    return str(compiled), list(compiled.positiontup or ())


def _dialect(name: str) -> ModuleType:
    """The dialect's insert, which can handle conflicts."""
    if name == "sqlite":
        return sqlite
    from sqlalchemy.dialects import postgresql  # 0.05 s that runs on SQLite need not wait for

    return postgresql


def _without_known(connection: Connection, batches: Sequence[Batch], stage_ids: Mapping[str, int]) -> list[Batch]:
    """Batches without the products that exist already."""
    already: dict[int, set[bytes]] = {}
    remaining = []
    for batch in batches:
        stage_id = stage_ids[batch.stage_key]
        if stage_id not in already:
            already[stage_id] = made(Products.unpack(packed_of(connection, stage_id)))
        sources = without_made(batch.tables["sources"], already[stage_id])
        remaining.append(replace(batch, tables={**batch.tables, "sources": sources}))
    return remaining


def _json_rows(columns: Columns, n: int) -> list[str]:
    names = [name for name in columns if name.startswith("p.")]
    short = [name[2:] for name in names]
    values = [columns[name].tolist() for name in names]
    return (
        [json.dumps(dict(zip(short, row, strict=True))) for row in zip(*values, strict=True)] if names else ["{}"] * n
    )

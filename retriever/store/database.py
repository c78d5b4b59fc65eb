"""The database that indexes segments: opening it, publishing to it, and what runs ask of it."""

import functools
import json
import logging
import time
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import (
    Connection,
    delete,
    insert,
    inspect,
    select,
    update,
)
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError

from retriever.errors import LeaseLost, SchemaError, StoreError
from retriever.outcome import Outcome
from retriever.store import models
from retriever.store.batch import Batch, StageSpec
from retriever.store.connection import drop_everything, open_engine, reason_of
from retriever.store.host import NETWORK_FILE_SYSTEMS, file_system_of
from retriever.store.products import Packed, Products, made, pack_products, without_made

__all__ = [
    "INDEX_MODELS",
    "Database",
    "indexed_columns",
    "packed",
    "packed_columns",
    "packed_of",
    "product_row",
]

INDEX_MODELS: dict[str, Any] = {
    "raw_index": models.RawPhotometry,
    "lightcurves": models.Lightcurve,
    "detections": models.Detection,
    "injections": models.Injection,
    "properties": models.Properties,
}
"""Tables of a segment that the database indexes row by row."""

PATIENCE_SECONDS = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
"""Pauses between attempts to publish when a database server is away."""

log = logging.getLogger("retriever")

_KEYS = ("segment_id", "row", "source_row")


class Database:
    """The database of one outputs folder, opened and with its tables there.

    Parameters
    ----------
    url
        Of SQLAlchemy's form; "" for SQLite in `outputs`.
    outputs
        The outputs folder.

    Raises
    ------
    StoreError
        When the database cannot be opened.
    SchemaError
        When a newer retriever made it.
    """

    def __init__(self, url: str, outputs: Path) -> None:
        self.engine = open_engine(url, outputs)
        self.close = weakref.finalize(self, self.engine.dispose)
        """Close all connections, at the latest when nobody holds this object any more."""
        self.outdated = False
        """Whether an older retriever had made it, so that it is empty now and must be made anew from files."""
        try:
            outputs.mkdir(parents=True, exist_ok=True)
            self._refuse_network(outputs)
            self._open(outputs)
        except OSError as error:
            raise StoreError(
                f"cannot use the outputs folder {outputs}: {error.strerror}; choose another with paths.outputs"
            ) from error
        except SQLAlchemyError as error:
            raise StoreError(f"cannot open the database {self.engine.url!r}: {reason_of(error)}") from error

    @staticmethod
    def exists(url: str, outputs: Path) -> bool:
        """Whether there is a database to open, as far as can be told without making one."""
        return bool(url) or (outputs / "retriever.db").exists()

    def __enter__(self) -> "Database":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self, outputs: Path) -> None:
        with self.writing() as connection:
            if inspect(connection).has_table("meta"):
                number = int(connection.scalar(select(models.Meta.value).where(models.Meta.key == "schema")) or 0)
                if number > models.SCHEMA:
                    raise SchemaError(
                        f"the database {self.engine.url!r} has schema {number}, known up to {models.SCHEMA}; "
                        "update retriever, or choose other outputs with paths.outputs"
                    )
                if number == models.SCHEMA:
                    return
                self.outdated = True
                drop_everything(connection)
            self._create(connection)

    def _refuse_network(self, outputs: Path) -> None:
        """SQLite's locks do not hold on network file systems."""
        kind = file_system_of(outputs) if self.engine.dialect.name == "sqlite" else ""
        if kind in NETWORK_FILE_SYSTEMS:
            raise StoreError(
                f"{outputs} lies on a network file system ({kind}), where SQLite cannot be trusted; use store=postgres "
                "or a folder on a local disk"
            )

    @staticmethod
    def _create(connection: Connection) -> None:
        models.Base.metadata.create_all(connection)
        connection.execute(insert(models.Meta), [{"key": "schema", "value": str(models.SCHEMA)}])

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection that sees one state of the database."""
        try:
            with self.engine.connect().execution_options(reading=True) as connection:
                yield connection
        except SQLAlchemyError as error:
            raise StoreError(
                f"cannot read the database {self.engine.url!r}: {reason_of(error)}; see that it is there"
            ) from error

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that nobody else writes in, committed at the end."""
        try:
            with self.engine.begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise StoreError(
                f"cannot write the database {self.engine.url!r}: {reason_of(error)}; nothing was changed"
            ) from error

    # ---- stages, segments, products -----------------------------------------------------------------------------

    def stage_ids(self, specs: Iterable[StageSpec]) -> dict[str, int]:
        """Ids of stages by key; those not known yet are written down."""
        wanted = {spec.key: spec for spec in specs}
        with self.reading() as connection:
            known = self._known_stages(connection, list(wanted))
        if len(known) == len(wanted):
            return known
        with self.writing() as connection:
            known = self._known_stages(connection, list(wanted))
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
            return self._known_stages(connection, list(wanted))

    @staticmethod
    def _known_stages(connection: Connection, keys: list[str]) -> dict[str, int]:
        query = select(models.Stage.key, models.Stage.id).where(models.Stage.key.in_(keys))
        return {row[0]: row[1] for row in connection.execute(query)}

    def segments(self, stage_ids: Iterable[int]) -> dict[int, tuple[str, str, int, str]]:
        """Root, path, size and digest of the segments of some stages, by id."""
        query = select(
            models.Segment.id,
            models.Segment.root,
            models.Segment.path,
            models.Segment.size,
            models.Segment.digest,
        ).where(models.Segment.stage_id.in_(list(stage_ids)))
        with self.reading() as connection:
            return {
                number: (root, path, size, digest) for number, root, path, size, digest in connection.execute(query)
            }

    def segments_before(self, stage_ids: Iterable[int], moment: datetime) -> list[int]:
        """Ids of the segments of some stages that were made (raw data: fetched) before a moment."""
        query = select(models.Segment.id, models.Segment.created).where(models.Segment.stage_id.in_(list(stage_ids)))
        with self.reading() as connection:
            return [number for number, created in connection.execute(query) if _aware(created) < moment]

    def found_aliases(self, segment_ids: Sequence[int]) -> Iterator[tuple[int, int, list[str]]]:
        """Other names of sources that archives told: segment, row of the source in it, names."""
        model = models.RawPhotometry.__table__
        with self.reading() as connection:
            for start in range(0, len(segment_ids), 500):
                query = select(model.c.segment_id, model.c.source_row, model.c.aliases).where(
                    model.c.segment_id.in_(segment_ids[start : start + 500]), model.c.aliases != "[]"
                )
                for segment, row, aliases in connection.execute(query.order_by(model.c.segment_id, model.c.row)):
                    yield segment, row, json.loads(aliases)

    def products(self, stage_id: int) -> Products:
        """All products of a stage."""
        return Products.unpack(self.packed_products(stage_id))

    def packed_products(self, stage_id: int) -> list[Packed]:
        """All products of a stage as they are stored."""
        with self.reading() as connection:
            return packed_of(connection, stage_id)

    def packed_of_segment(self, segment_id: int) -> list[Packed]:
        """Products of a segment as they are stored."""
        query = select(*packed_columns()).where(models.Product.segment_id == segment_id)
        with self.reading() as connection:
            return [packed(row) for row in connection.execute(query)]

    def known_stage_ids(self, keys: Sequence[str]) -> dict[str, int]:
        """Ids of those stages that are known, by key."""
        with self.reading() as connection:
            return self._known_stages(connection, list(keys))

    def known_paths(self, root: str) -> set[str]:
        """Paths of all segments below a root."""
        with self.reading() as connection:
            return set(connection.scalars(select(models.Segment.path).where(models.Segment.root == root)))

    def publish(self, batches: Sequence[Batch], *, run: str, tokens: Mapping[str, str] | None) -> None:
        """Make the products of some batches count, all of them or none.

        Parameters
        ----------
        tokens
            The run's leases, stage key to token, each checked in the same transaction; None for segments that were
            found on disk, which fill gaps and replace nothing.

        Raises
        ------
        LeaseLost
            When another run has taken a stage over.
        StoreError
            When the database cannot be written; one that is away is waited for, a minute.
        """
        for pause in PATIENCE_SECONDS:
            try:
                return self._publish(batches, run, tokens)
            except StoreError as error:
                if self.engine.dialect.name == "sqlite" or not isinstance(error.__cause__, DBAPIError):
                    raise
                if not (error.__cause__.connection_invalidated or isinstance(error.__cause__, OperationalError)):
                    raise
                log.warning("%s; trying again in %.0f s", error, pause)
                time.sleep(pause)
        return self._publish(batches, run, tokens)

    def _publish(self, batches: Sequence[Batch], run: str, tokens: Mapping[str, str] | None) -> None:
        with self.writing() as connection:
            keys = [batch.stage_key for batch in batches]
            if tokens is not None:
                self._check_leases(connection, keys, tokens)
            stage_ids = self._known_stages(connection, keys)
            if tokens is None:
                batches = _without_known(connection, batches, stage_ids)
            segment_ids = self._insert_segments(connection, batches, stage_ids, run)
            rows = []
            for batch in batches:
                sources = batch.tables["sources"]
                segment = segment_ids[batch.file.path] if batch.file else None
                if segment is not None or (sources["outcome"] != Outcome.BLOCKED).any():
                    rows.append(product_row(stage_ids[batch.stage_key], pack_products(sources, segment)))
            if rows:
                connection.execute(insert(models.Product), rows)

    @staticmethod
    def _check_leases(connection: Connection, keys: Sequence[str], tokens: Mapping[str, str]) -> None:
        query = select(models.Lease.key, models.Lease.token).where(models.Lease.key.in_(keys))
        held = {row[0]: row[1] for row in connection.execute(query)}
        for key in keys:
            if held.get(key) != tokens.get(key):
                raise LeaseLost(
                    f"another run took over stage {key[:12]} while this one stood still; run again to go on from there"
                )

    def _insert_segments(
        self, connection: Connection, batches: Sequence[Batch], stage_ids: Mapping[str, int], run: str
    ) -> dict[str, int]:
        """Index the segments that are not known yet; gives the id of each by its path."""
        files = {batch.file.path: (batch.file, batch) for batch in batches if batch.file is not None}
        query = select(models.Segment.path, models.Segment.id).where(models.Segment.path.in_(files))
        ids = {row.path: row.id for row in connection.execute(query)}
        fresh = {path: found for path, found in files.items() if path not in ids}
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
        for table, model in INDEX_MODELS.items():
            _insert_rows(
                connection,
                model,
                [
                    (ids[path], indexed_columns(table, batch.tables[table]))
                    for path, (_, batch) in fresh.items()
                    if table in batch.tables and len(batch.tables[table]["source"])
                ],
            )
        return ids

    # ---- sources, versions, runs --------------------------------------------------------------------------------

    def add_sources(self, rows: Sequence[dict[str, Any]]) -> None:
        """Write down sources, and what other names they have."""
        dialect = _dialect(self.engine.dialect.name)
        with self.writing() as connection:
            statement: Any = dialect.insert(models.Source)
            told = {"aliases": statement.excluded.aliases}
            connection.execute(
                statement.on_conflict_do_update(index_elements=["name", "digest"], set_=told), list(rows)
            )

    def record_version(
        self,
        name: str,
        version_hash: str,
        project: str,
        story: dict[str, Any],
        stages: Iterable[int],
        created: datetime | None = None,
    ) -> int:
        """Write down a version, made now or at a time of the past, and the stages it stands on; gives its id."""
        with self.writing() as connection:
            row = connection.execute(
                select(models.Version.id, models.Version.hash).where(models.Version.name == name)
            ).first()
            values: dict[str, Any] = {"name": name, "hash": version_hash, "project": project, "story": story}
            if row is None:
                values["created"] = created or datetime.now(UTC)
                number = connection.execute(insert(models.Version).returning(models.Version.id), values).scalar_one()
            else:
                number = row.id
                connection.execute(update(models.Version).where(models.Version.id == number).values(**values))
                connection.execute(delete(models.VersionStage).where(models.VersionStage.version_id == number))
            connection.execute(
                insert(models.VersionStage),
                [{"version_id": number, "stage_id": stage} for stage in sorted(set(stages))],
            )
            return int(number)

    def record_runs(self, version_id: int, runs: Sequence[Mapping[str, Any]]) -> None:
        """Write down runs of the past that are not known: name, started, ended, state, summary."""
        with self.writing() as connection:
            known = set(connection.scalars(select(models.Run.name).where(models.Run.version_id == version_id)))
            rows = [{**run, "version_id": version_id, "host": "", "pid": 0} for run in runs if run["name"] not in known]
            if rows:
                connection.execute(insert(models.Run), rows)

    def start_run(self, name: str, version_id: int, host: str, pid: int, summary: dict[str, Any]) -> None:
        """Write down that a run has begun, with what is known of it so far."""
        row = {
            "name": name,
            "version_id": version_id,
            "started": datetime.now(UTC),
            "ended": None,
            "state": "running",
            "host": host,
            "pid": pid,
            "summary": summary,
        }
        with self.writing() as connection:
            connection.execute(insert(models.Run), row)

    def end_run(self, name: str, state: str, summary: dict[str, Any]) -> None:
        """Write down how a run ended."""
        with self.writing() as connection:
            connection.execute(
                update(models.Run)
                .where(models.Run.name == name)
                .values(ended=datetime.now(UTC), state=state, summary=summary)
            )

    def remove_version(self, name: str) -> None:
        """Forget a version and its runs; its products stay until `retriever gc`."""
        with self.writing() as connection:
            number = connection.scalar(select(models.Version.id).where(models.Version.name == name))
            for model in (models.VersionStage, models.Run):
                connection.execute(delete(model).where(model.__table__.c.version_id == number))
            connection.execute(delete(models.Version).where(models.Version.id == number))

    def clear(self) -> None:
        """Remove all that is in the database; segments and version folders have it all."""
        with self.writing() as connection:
            drop_everything(connection)
            self._create(connection)

    @staticmethod
    def columns(table: str) -> dict[str, type]:
        """Columns of an indexed table that say something of its rows, with their Python types."""
        model = INDEX_MODELS[table].__table__
        return {column.name: column.type.python_type for column in model.columns if column.name not in _KEYS}

    def rows(self, table: str, segment_ids: Sequence[int]) -> Iterator[dict[str, Any]]:
        """Rows of an indexed table in some segments, as arrays by column, a few hundred segments at a time."""
        model = INDEX_MODELS[table].__table__
        kinds = {column.name: column.type.python_type for column in model.columns}
        with self.reading() as connection:
            for start in range(0, len(segment_ids), 500):
                query = select(model).where(model.c.segment_id.in_(segment_ids[start : start + 500]))
                found = connection.execute(query.order_by(model.c.segment_id, model.c.row)).all()
                if found:
                    columns = zip(kinds.items(), zip(*found, strict=True), strict=True)
                    # SQLite keeps NaN as NULL; a float made of None is NaN again
                    yield {
                        name: np.array(values, dtype=object if kind is str else kind)
                        for (name, kind), values in columns
                    }


def _fetched(batch: Batch) -> datetime | None:
    """When the first of a batch's raw data was fetched."""
    told = [json.loads(text).get("fetched") for text in batch.tables.get("raw_index", {}).get("provenance", ()) if text]
    moments = [_aware(datetime.fromisoformat(one)) for one in told if one]
    return min(moments, default=None)


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def indexed_columns(table: str, columns: Mapping[str, Any]) -> Mapping[str, Any]:
    """Columns of a segment's table as the database has them."""
    if table == "raw_index" and "aliases" not in columns:  # a segment of before archives told other names
        return {**columns, "aliases": ["[]"] * len(columns["source"])}
    if table != "properties":
        return columns
    return {"source": columns["source"], "values": _json_rows(columns)}


def _insert_rows(connection: Connection, model: Any, of_segments: Sequence[tuple[int, Mapping[str, Any]]]) -> None:
    """Insert the rows of one table that lie in some segments; with SQLite by its driver, which is twice as fast."""
    if not of_segments:
        return
    table = model.__table__
    own = [column.name for column in table.columns if column.name not in _KEYS]
    lists: dict[str, list[Any]] = {name: [] for name in (*_KEYS, *own)}
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
def _sqlite_insert(table: Any) -> tuple[str, list[str]]:
    """The statement, and the columns in the order of its question marks."""
    compiled = insert(table).compile(dialect=sqlite.dialect(paramstyle="qmark"))
    return str(compiled), list(compiled.positiontup or ())


def _dialect(name: str) -> Any:
    """The dialect whose insert knows what to do on a conflict."""
    if name == "sqlite":
        return sqlite
    from sqlalchemy.dialects import postgresql  # 0.05 s that runs on SQLite need not wait for

    return postgresql


_PACKED = ("names", "inputs", "digests", "outcomes", "n_rows", "messages")


def product_row(stage_id: int, packed: Packed) -> dict[str, Any]:
    """A row of the table of products."""
    return {"stage_id": stage_id, "segment_id": packed.segment, **{name: getattr(packed, name) for name in _PACKED}}


def packed_columns() -> list[Any]:
    """Columns that `packed` takes."""
    return [models.Product.segment_id, *(getattr(models.Product, name) for name in _PACKED)]


def packed(row: Any) -> Packed:
    """Products of one batch, from a row of `packed_columns`."""
    # PostgreSQL's driver gives memory views
    texts = {name: bytes(getattr(row, name)) for name in _PACKED[:-1]}
    return Packed(segment=row.segment_id, messages=row.messages, **texts)


def packed_of(connection: Connection, stage_id: int) -> list[Packed]:
    """All products of a stage as they are stored."""
    query = select(*packed_columns()).where(models.Product.stage_id == stage_id).order_by(models.Product.id)
    return [packed(row) for row in connection.execute(query)]


def _without_known(connection: Connection, batches: Sequence[Batch], stage_ids: Mapping[str, int]) -> list[Batch]:
    """Batches without the products that are there already."""
    already: dict[int, set[bytes]] = {}
    found = []
    for batch in batches:
        stage_id = stage_ids[batch.stage_key]
        if stage_id not in already:
            already[stage_id] = made(Products.unpack(packed_of(connection, stage_id)))
        sources = without_made(batch.tables["sources"], already[stage_id])
        found.append(replace(batch, tables={**batch.tables, "sources": sources}))
    return found


def _json_rows(columns: Mapping[str, Any]) -> list[str]:
    names = [name for name in columns if name.startswith("p.")]
    short = [name[2:] for name in names]
    values = [columns[name].tolist() for name in names]
    return [json.dumps(dict(zip(short, row, strict=True))) for row in zip(*values, strict=True)]

"""Database queries of runs and commands: versions, sources, segments, products and their rows."""

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

import numpy as np
from sqlalchemy import ColumnElement, Text, func, inspect, literal, select
from sqlalchemy.orm import InstrumentedAttribute

from retriever.graph import GRAPH
from retriever.outcome import Outcome
from retriever.schema import Columns, Table
from retriever.stages.download import RAW_INDEX
from retriever.store import models
from retriever.store.database import Database
from retriever.store.packed import packed, packed_columns, packed_of
from retriever.store.products import NOWHERE, Packed, Products, name_needle
from retriever.store.publishing import aware
from retriever.store.segments import digest_in

__all__ = [
    "environments_of",
    "found_aliases",
    "known_paths",
    "last_segments",
    "newest_products",
    "packed_of_segment",
    "packed_products",
    "products",
    "products_of",
    "rows",
    "segments",
    "segments_before",
    "segments_named",
    "source_names",
    "source_rows",
    "sources_in_strip",
    "stage_ids_of",
    "versions",
    "versions_by_run",
]


def versions(database: Database) -> list[dict[str, Any]]:
    """All versions with their last run, oldest first."""
    with database.reading() as connection:
        rows = [dict(row._mapping) for row in connection.execute(select(models.Version.__table__))]
        last: dict[int, dict[str, object]] = {}
        for row in connection.execute(select(models.Run.__table__).order_by(models.Run.started)):
            last[row.version_id] = dict(row._mapping)
    for version in rows:
        version["last_run"] = last.get(version["id"])
    return sorted(rows, key=lambda version: (version["created"], version["id"]))


def stage_ids_of(database: Database, version: str, stage: str | None = None) -> list[int]:
    """Ids of the stages that a version uses; only of the named stage, if one is named."""
    v, vs, s = models.Version, models.VersionStage, models.Stage
    query = select(s.id).join(vs, vs.stage_id == s.id).join(v, v.id == vs.version_id).where(v.name == version)
    if stage is not None:
        query = query.where(s.stage == stage)
    with database.reading() as connection:
        return list(connection.scalars(query.order_by(s.id)))


def versions_by_run(database: Database, project: str) -> list[str]:
    """Names of a project's versions, the one with the latest run first."""
    v, r = models.Version, models.Run
    query = (
        select(v.name)
        .join(r, r.version_id == v.id, isouter=True)
        .where(v.project == project)
        .group_by(v.id, v.name)
        .order_by(func.max(r.started).desc(), v.id.desc())
    )
    with database.reading() as connection:
        return list(connection.scalars(query))


def source_names(database: Database, name: str) -> list[str]:
    """Names of the sources with this name or alias."""
    with database.reading() as connection:
        source = models.Source
        names = set(connection.scalars(select(source.name).where(source.name == name)))
        pattern = json.dumps(name)
        quoted = pattern.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        column = func.lower(source.aliases.cast(Text))
        query = select(source.name, source.aliases).where(column.like(f"%{quoted.lower()}%", escape="\\"))
        names |= {row.name for row in connection.execute(query) if name in row.aliases}
    return sorted(names)


def source_rows(database: Database, name: str) -> list[dict[str, Any]]:
    """Rows of catalogs for a source, by its name or an alias."""
    with database.reading() as connection:
        query = select(models.Source.__table__).where(models.Source.name.in_(source_names(database, name)))
        return [dict(row._mapping) for row in connection.execute(query)]


def sources_in_strip(database: Database, low: float, high: float) -> list[dict[str, Any]]:
    """Sources between two declinations in degrees."""
    query = select(models.Source.__table__).where(models.Source.dec.between(low, high))
    with database.reading() as connection:
        return [dict(row._mapping) for row in connection.execute(query)]


def environments_of(database: Database, stage_ids: Iterable[int]) -> list[dict[str, str]]:
    """The different environments in which products of some stages were made, from runs that are in the database."""
    g, r = models.Segment, models.Run
    with database.reading() as connection:
        made_by = select(g.run).where(g.stage_id.in_(list(stage_ids)))
        summaries = list(connection.scalars(select(r.summary).where(r.name.in_(made_by))))
    environments = {
        json.dumps(summary["environment"], sort_keys=True): summary["environment"]
        for summary in summaries
        if "environment" in summary
    }
    return [environments[key] for key in sorted(environments)]


def segments_named(database: Database, name: str) -> list[dict[str, Any]]:
    """Segments by the name of their file, which contains their digest."""
    query = select(models.Segment.__table__).where(models.Segment.digest == digest_in(name))
    with database.reading() as connection:
        rows = [dict(row._mapping) for row in connection.execute(query)]
    return [row for row in rows if row["path"].endswith(name)]


def products_of(database: Database, name: str) -> list[dict[str, Any]]:
    """Current products of a source, with stage, segment and the versions that use their stage."""
    p, s, g = models.Product, models.Stage, models.Segment
    query = select(p.id, p.stage_id, *packed_columns()).order_by(p.stage_id, p.id)
    with database.reading() as connection:
        held = query.where(_holds(database.engine.dialect.name, p.names, name_needle(name)))
        latest: dict[tuple[int, bytes], dict[str, Any]] = {}
        for row in connection.execute(held):
            for entry in _entries_of(name, Products.unpack([packed(row)])):
                latest[row.stage_id, entry["input"]] = {**entry, "stage_id": row.stage_id}
        stages = {row.id: row for row in connection.execute(select(s.__table__))}
        ids = {entry["segment_id"] for entry in latest.values()}
        segments = {row.id: row for row in connection.execute(select(g.id, g.root, g.path, g.run).where(g.id.in_(ids)))}
        of_stage: dict[int, list[str]] = {}
        pairs = select(models.VersionStage.stage_id, models.Version.name).join(
            models.Version, models.Version.id == models.VersionStage.version_id
        )
        for stage_id, version in connection.execute(pairs):
            of_stage.setdefault(stage_id, []).append(version)
    rows = []
    for entry in latest.values():
        stage, segment = stages[entry["stage_id"]], segments.get(entry["segment_id"])
        rows.append(
            {
                **entry,
                "input": entry["input"].decode(),
                **{key: getattr(stage, key) for key in ("stage", "observatory", "survey", "key")},
                **{key: getattr(segment, key, "") for key in ("root", "path", "run")},
                "versions": sorted(of_stage.get(entry["stage_id"], [])),
            }
        )
    return rows


def _holds(dialect_name: str, column: InstrumentedAttribute[bytes], needle: bytes) -> ColumnElement[bool]:
    """Whether a column of bytes contains other bytes."""
    if dialect_name == "sqlite":
        return func.instr(column, needle) > 0
    return func.position(literal(needle).op("IN")(column)) > 0


def _entries_of(name: str, products: Products) -> Iterator[dict[str, Any]]:
    for entry, held in enumerate(products.names()):
        if held == name and products.outcome[entry] not in (Outcome.BLOCKED, Outcome.PENDING):
            is_stored = products.segment[entry] != NOWHERE
            yield {
                "input": bytes(products.input[entry]),
                "outcome": int(products.outcome[entry]),
                "digest": products.digest[entry].decode(),
                "n_rows": int(products.n_rows[entry]),
                "message": products.message.get(entry, ""),
                "segment_id": int(products.segment[entry]) if is_stored else None,
                "source_row": int(products.row[entry]) if is_stored else None,
            }


def segments(database: Database, stage_ids: Iterable[int]) -> dict[int, tuple[str, str, int, str]]:
    """Root, path, size and digest of the segments of some stages, by id."""
    query = select(
        models.Segment.id,
        models.Segment.root,
        models.Segment.path,
        models.Segment.size,
        models.Segment.digest,
    ).where(models.Segment.stage_id.in_(list(stage_ids)))
    with database.reading() as connection:
        return {number: (root, path, size, digest) for number, root, path, size, digest in connection.execute(query)}


def last_segments(database: Database, project: str) -> dict[tuple[str, str], tuple[str, str]]:
    """Root and path of the last segment that versions of a project use, by observatory and stage."""
    v, vs, s, g = models.Version, models.VersionStage, models.Stage, models.Segment
    last = (
        select(s.observatory, s.stage, func.max(g.id).label("id"))
        .join(vs, vs.stage_id == s.id)
        .join(v, v.id == vs.version_id)
        .join(g, g.stage_id == s.id)
        .where(v.project == project)
        .group_by(s.observatory, s.stage)
        .subquery()
    )
    query = select(last.c.observatory, last.c.stage, g.root, g.path).join(g, g.id == last.c.id)
    with database.reading() as connection:
        return {(row.observatory, row.stage): (row.root, row.path) for row in connection.execute(query)}


def newest_products(database: Database, stage_ids: Sequence[int]) -> dict[int, int]:
    """Id of the last published product row of each stage; stages without products are left out."""
    query = select(models.Product.stage_id, func.max(models.Product.id)).where(models.Product.stage_id.in_(stage_ids))
    with database.reading() as connection:
        return {row[0]: row[1] for row in connection.execute(query.group_by(models.Product.stage_id))}


def segments_before(database: Database, stage_ids: Iterable[int], moment: datetime) -> list[int]:
    """Ids of the segments of some stages that were made (raw data: fetched) before a moment."""
    query = select(models.Segment.id, models.Segment.created).where(models.Segment.stage_id.in_(list(stage_ids)))
    with database.reading() as connection:
        return [number for number, created in connection.execute(query) if aware(created) < moment]


def found_aliases(database: Database, segment_ids: Sequence[int]) -> Iterator[tuple[int, int, list[str]]]:
    """Aliases of sources from archives: segment, row of the source in it, names."""
    model = models.row_table(RAW_INDEX)
    with database.reading() as connection:
        for start in range(0, len(segment_ids), 500):
            query = select(model.c.segment_id, model.c.source_row, model.c.aliases).where(
                model.c.segment_id.in_(segment_ids[start : start + 500]), model.c.aliases != "[]"
            )
            for segment, row, aliases in connection.execute(query.order_by(model.c.segment_id, model.c.row)):
                yield segment, row, json.loads(aliases)


def products(database: Database, stage_id: int) -> Products:
    """All products of a stage."""
    return Products.unpack(packed_products(database, stage_id))


def packed_products(database: Database, stage_id: int) -> list[Packed]:
    """All products of a stage as they are stored."""
    with database.reading() as connection:
        return packed_of(connection, stage_id)


def packed_of_segment(database: Database, segment_id: int) -> list[Packed]:
    """Products of a segment as they are stored."""
    query = select(*packed_columns()).where(models.Product.segment_id == segment_id)
    with database.reading() as connection:
        return [packed(row) for row in connection.execute(query)]


def known_paths(database: Database, root: str) -> set[str]:
    """Paths of all segments below a root."""
    with database.reading() as connection:
        return set(connection.scalars(select(models.Segment.path).where(models.Segment.root == root)))


def rows(database: Database, table: Table, segment_ids: Sequence[int]) -> Iterator[Columns]:
    """Rows of a declared table in some segments, as arrays by column, some dozens of segments at a time."""
    model = models.row_table(table)
    kinds = {column.name: column.type.python_type for column in model.columns}
    with database.reading() as connection:
        if not GRAPH.declares(table) and not inspect(connection).has_table(model.name):
            return
        for start in range(0, len(segment_ids), 50):
            some = segment_ids[start : start + 50]
            query = select(model).where(model.c.segment_id.in_(some))
            records = connection.execute(query.order_by(model.c.segment_id, model.c.row)).all()
            if records:
                columns = zip(kinds.items(), zip(*records, strict=True), strict=True)
                # SQLite stores NaN as NULL; None becomes NaN again in a float array
                yield {
                    name: np.array(values, dtype=object if kind is str else kind) for (name, kind), values in columns
                }

"""The database's tables. They index what the segments hold; losing them loses nothing.

Rows that belong to products are keyed by the segment they lie in and their row there; `source_row` is the row of their
source in that segment, so that ``(segment_id, source_row)`` leads to the product.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    DateTime,
    Float,
    Index,
    Integer,
    LargeBinary,
    String,
    Text,
    false,
    text,
    true,
)
from sqlalchemy import Column as SQLColumn
from sqlalchemy import Table as RowTable
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeEngine

from retriever.graph import GRAPH
from retriever.identity import canonical_hash
from retriever.schema import REQUIRED, Column, Table

__all__ = [
    "ROW_KEYS",
    "SCHEMA",
    "Base",
    "Lease",
    "Product",
    "Run",
    "Segment",
    "Source",
    "Stage",
    "Verdict",
    "Version",
    "VersionStage",
    "row_table",
    "row_table_name",
    "table_of",
]

SCHEMA = 7
"""Number of the schema. A newer database is refused, an older one made anew from segments."""

BigId = BigInteger().with_variant(Integer, "sqlite")


class Base(DeclarativeBase):
    """Base of all tables."""


class Meta(Base):
    """Facts about the database itself, such as the number of its schema."""

    __tablename__ = "meta"
    key: Mapped[str] = mapped_column(String, primary_key=True)
    value: Mapped[str] = mapped_column(String)


class Stage(Base):
    """A stage with its key: products of the same code, parameters and upstream stages."""

    __tablename__ = "stages"
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    key: Mapped[str] = mapped_column(String, unique=True)
    stage: Mapped[str] = mapped_column(String)
    observatory: Mapped[str] = mapped_column(String)
    survey: Mapped[str] = mapped_column(String)
    data_type: Mapped[str] = mapped_column(String)


class Segment(Base):
    """A file that holds the products of one batch of one stage. `root` is "data" or "outputs"."""

    __tablename__ = "segments"
    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    stage_id: Mapped[int] = mapped_column(Integer, index=True)
    root: Mapped[str] = mapped_column(String)
    path: Mapped[str] = mapped_column(String, unique=True)
    digest: Mapped[str] = mapped_column(String, index=True)
    size: Mapped[int] = mapped_column(BigInteger)
    n_sources: Mapped[int] = mapped_column(Integer)
    run: Mapped[str] = mapped_column(String)
    created: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class Product(Base):
    """Products of one batch of one stage in packed columns; see `retriever.store.products`. The higher `id` counts."""

    __tablename__ = "products"
    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    stage_id: Mapped[int] = mapped_column(Integer, index=True)
    segment_id: Mapped[int | None] = mapped_column(BigInteger, index=True)
    names: Mapped[bytes] = mapped_column(LargeBinary)
    inputs: Mapped[bytes] = mapped_column(LargeBinary)
    digests: Mapped[bytes] = mapped_column(LargeBinary)
    outcomes: Mapped[bytes] = mapped_column(LargeBinary)
    n_rows: Mapped[bytes] = mapped_column(LargeBinary)
    messages: Mapped[str] = mapped_column(Text)


class Source(Base):
    """What a catalog said of a source; a changed row of a catalog is a new one here."""

    __tablename__ = "sources"
    name: Mapped[str] = mapped_column(String, primary_key=True)
    digest: Mapped[str] = mapped_column(String, primary_key=True)
    ra: Mapped[float] = mapped_column(Float)
    dec: Mapped[float] = mapped_column(Float)
    epoch: Mapped[float] = mapped_column(Float)
    mag: Mapped[float | None] = mapped_column(Float)
    band: Mapped[str] = mapped_column(String)
    aliases: Mapped[list[str]] = mapped_column(JSON)
    __table_args__ = (Index("sources_by_dec", "dec"), {"sqlite_with_rowid": False})


def table_of(model: type[Base]) -> RowTable:
    """The database's table of a mapped class."""
    return Base.metadata.tables[model.__tablename__]


ROW_KEYS = ("segment_id", "row", "source_row")
"""What leads from a row of a declared table to its segment and its source there."""


def row_table_name(table: Table) -> str:
    """Name of the database's table for a declared table of products.

    That of a project's stage ends with a hash of its columns, so that a change of the declaration leaves the rows of
    earlier versions alone.
    """
    if GRAPH.declares(table):
        return table.name
    return f"{table.name}_{canonical_hash(table.signature)[:8]}"


def row_table(table: Table) -> RowTable:
    """The database's table for a declared table of products; the same object each time."""
    name = row_table_name(table)
    columns = [_row_column(spec) for spec in table.columns]
    if table.extensible:
        columns.append(SQLColumn("values", Text))
    known = Base.metadata.tables.get(name)
    if known is not None:
        return known
    return RowTable(
        name,
        Base.metadata,
        SQLColumn("segment_id", BigInteger, primary_key=True),
        SQLColumn("row", Integer, primary_key=True),
        SQLColumn("source_row", Integer, nullable=False),
        *columns,
        sqlite_with_rowid=False,
    )


_SQL_KINDS: dict[type, type[TypeEngine[Any]]] = {int: BigInteger, float: Float, bool: Boolean, str: Text}


def _row_column(spec: Column) -> SQLColumn[Any]:
    # a float that is NaN is NULL in SQLite
    return SQLColumn(
        spec.name,
        _SQL_KINDS[spec.kind],
        nullable=spec.kind is float,
        server_default=_server_default(spec),
        comment=spec.description or None,
    )


def _server_default(spec: Column) -> Any:
    """A column's default as the database fills it in, for rows of before and for a retriever without the column."""
    if spec.default is REQUIRED or spec.default != spec.default:  # NULL stands for NaN
        return None
    if spec.kind is bool:
        return true() if spec.default else false()
    return str(spec.default) if spec.kind is str else text(repr(spec.kind(spec.default)))


class Version(Base):
    """A frozen config with its code and catalog; `name` is the name of its folder."""

    __tablename__ = "versions"
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    name: Mapped[str] = mapped_column(String, unique=True)
    hash: Mapped[str] = mapped_column(String)
    project: Mapped[str] = mapped_column(String)
    created: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    inputs: Mapped[dict[str, Any]] = mapped_column(JSON)


class VersionStage(Base):
    """Which stages a version consists of."""

    __tablename__ = "version_stages"
    version_id: Mapped[int] = mapped_column(Integer, primary_key=True)
    stage_id: Mapped[int] = mapped_column(Integer, primary_key=True)


class Run(Base):
    """One run of a version: when, where, how it ended."""

    __tablename__ = "runs"
    name: Mapped[str] = mapped_column(String, primary_key=True)
    version_id: Mapped[int] = mapped_column(Integer, index=True)
    started: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    ended: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    state: Mapped[str] = mapped_column(String)
    host: Mapped[str] = mapped_column(String)
    pid: Mapped[int] = mapped_column(Integer)
    summary: Mapped[dict[str, Any]] = mapped_column(JSON)


class Verdict(Base):
    """What somebody said of a detection (`retriever.report.verdicts.Verdict`); the file of verdicts is what counts."""

    __tablename__ = "verdicts"
    id: Mapped[str] = mapped_column(String, primary_key=True)
    at: Mapped[str] = mapped_column(String)
    who: Mapped[str] = mapped_column(String)
    verdict: Mapped[str] = mapped_column(String)
    note: Mapped[str] = mapped_column(Text)
    version: Mapped[str] = mapped_column(String)
    source: Mapped[str] = mapped_column(String, index=True)
    observatory: Mapped[str] = mapped_column(String)
    lightcurve: Mapped[int] = mapped_column(Integer)
    finder: Mapped[str] = mapped_column(String)
    time_first: Mapped[float] = mapped_column(Float)
    time_peak: Mapped[float] = mapped_column(Float)
    time_last: Mapped[float] = mapped_column(Float)
    period: Mapped[float | None] = mapped_column(Float)
    snr: Mapped[float | None] = mapped_column(Float)


class Lease(Base):
    """Who is making the products of a stage now."""

    __tablename__ = "leases"
    key: Mapped[str] = mapped_column(String, primary_key=True)
    token: Mapped[str] = mapped_column(String)
    run: Mapped[str] = mapped_column(String)
    host: Mapped[str] = mapped_column(String)
    boot: Mapped[str] = mapped_column(String)
    pid: Mapped[int] = mapped_column(Integer)
    pid_started: Mapped[int] = mapped_column(BigInteger)
    counter: Mapped[int] = mapped_column(BigInteger)

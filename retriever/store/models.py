"""The database's tables. They index what the segments hold; losing them loses nothing.

Rows that belong to products are keyed by the segment they lie in and their row there; `source_row` is the row of their
source in that segment, so that ``(segment_id, source_row)`` leads to the product.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, Boolean, DateTime, Float, Index, Integer, LargeBinary, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

__all__ = [
    "SCHEMA",
    "Base",
    "Detection",
    "Injection",
    "Lease",
    "Lightcurve",
    "Product",
    "Properties",
    "RawPhotometry",
    "Run",
    "Segment",
    "Source",
    "Stage",
    "Version",
    "VersionStage",
]

SCHEMA = 3
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
    """A stage with its key: what stands on the same code, parameters and upstream stages."""

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


class _Row:
    """Key of a row that belongs to a product."""

    segment_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    row: Mapped[int] = mapped_column(Integer, primary_key=True)
    source_row: Mapped[int] = mapped_column(Integer)


class RawPhotometry(_Row, Base):
    """One survey's answer for one source: how much, and where it came from."""

    __tablename__ = "raw_photometry"
    n_tables: Mapped[int] = mapped_column(Integer)
    n_rows: Mapped[int] = mapped_column(BigInteger)
    provenance: Mapped[str] = mapped_column(Text)
    aliases: Mapped[str] = mapped_column(Text)
    __table_args__ = ({"sqlite_with_rowid": False},)


class Lightcurve(_Row, Base):
    """One light curve: its words and robust moments."""

    __tablename__ = "lightcurves"
    band: Mapped[str] = mapped_column(String)
    series: Mapped[str] = mapped_column(String)
    number: Mapped[int] = mapped_column(Integer)
    of: Mapped[int] = mapped_column(Integer)
    n_epochs: Mapped[int] = mapped_column(Integer)
    n_good: Mapped[int] = mapped_column(Integer)
    time_first: Mapped[float] = mapped_column(Float)
    time_last: Mapped[float] = mapped_column(Float)
    time_scale: Mapped[str] = mapped_column(String)
    time_reference: Mapped[str] = mapped_column(String)
    time_point: Mapped[str] = mapped_column(String)
    cadence: Mapped[float | None] = mapped_column(Float)
    exptime_median: Mapped[float | None] = mapped_column(Float)
    zero_point: Mapped[float | None] = mapped_column(Float)
    flux_unit: Mapped[str] = mapped_column(String)
    flux_median: Mapped[float | None] = mapped_column(Float)
    flux_scatter: Mapped[float | None] = mapped_column(Float)
    mag_median: Mapped[float | None] = mapped_column(Float)
    mag_scatter: Mapped[float | None] = mapped_column(Float)
    __table_args__ = ({"sqlite_with_rowid": False},)


class Detection(_Row, Base):
    """An event found; see `retriever.detection.Detection`."""

    __tablename__ = "detections"
    lightcurve: Mapped[int] = mapped_column(Integer)
    first: Mapped[int] = mapped_column(Integer)
    peak: Mapped[int] = mapped_column(Integer)
    last: Mapped[int] = mapped_column(Integer)
    time_first: Mapped[float] = mapped_column(Float)
    time_peak: Mapped[float] = mapped_column(Float)
    time_last: Mapped[float] = mapped_column(Float)
    snr: Mapped[float | None] = mapped_column(Float)
    dmag: Mapped[float | None] = mapped_column(Float)
    n_epochs: Mapped[int] = mapped_column(Integer)
    finder: Mapped[str] = mapped_column(String)
    __table_args__ = ({"sqlite_with_rowid": False},)


class Injection(_Row, Base):
    """A simulated event; see `retriever.detection.Injection`."""

    __tablename__ = "injections"
    lightcurve: Mapped[int] = mapped_column(Integer)
    shape: Mapped[str] = mapped_column(String)
    time_peak: Mapped[float] = mapped_column(Float)
    width: Mapped[float] = mapped_column(Float)
    amplitude: Mapped[float | None] = mapped_column(Float)
    snr: Mapped[float | None] = mapped_column(Float)
    dmag: Mapped[float | None] = mapped_column(Float)
    n_epochs: Mapped[int] = mapped_column(Integer)
    recovered: Mapped[bool] = mapped_column(Boolean)
    found_snr: Mapped[float | None] = mapped_column(Float)
    blended: Mapped[bool] = mapped_column(Boolean)
    __table_args__ = ({"sqlite_with_rowid": False},)


class Properties(_Row, Base):
    """What the analysis said of one source: as JSON; the segment and the Parquet have its columns."""

    __tablename__ = "properties"
    values: Mapped[str] = mapped_column(Text)
    __table_args__ = ({"sqlite_with_rowid": False},)


class Version(Base):
    """A frozen config with its code and catalog; `name` is the name of its folder."""

    __tablename__ = "versions"
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    name: Mapped[str] = mapped_column(String, unique=True)
    hash: Mapped[str] = mapped_column(String)
    project: Mapped[str] = mapped_column(String)
    created: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    story: Mapped[dict[str, Any]] = mapped_column(JSON)


class VersionStage(Base):
    """Which stages a version stands on."""

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

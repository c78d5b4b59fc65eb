"""Base of all catalogs that are read from a table: the meaning of its columns, and the selection of rows."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from retriever.arrays import Array, Floats
from retriever.conditions import columns_in, rows_where
from retriever.errors import CatalogError, FileFormatError
from retriever.identity import random_stream
from retriever.photometry import MAX_MAGNITUDE
from retriever.rawtable import RawTable
from retriever.source import SourceTable

__all__ = ["CatalogColumns", "Loaded", "Magnitude", "TableCatalog"]


@dataclass(frozen=True, kw_only=True)
class CatalogColumns:
    """Names of a catalog's columns; "" for a missing one.

    Parameters
    ----------
    name
        Column of names, which are unique.
    ra, dec
        Columns of right ascension and declination in degrees.
    pmra, pmdec
        Columns of proper motion in mas/yr, in right ascension with the factor cos(dec).
    parallax
        Column of parallax in mas.
    epoch
        Column of the epoch of the positions, as Julian year.
    aliases
        Columns of other names.
    extra
        Further columns to keep.
    """

    name: str = "name"
    ra: str = "ra"
    dec: str = "dec"
    pmra: str = ""
    pmdec: str = ""
    parallax: str = ""
    epoch: str = ""
    aliases: list[str] = field(default_factory=list)
    extra: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Magnitude:
    """Columns of one magnitude and its error, and the name of its band (or the column that names it)."""

    mag: str = ""
    mag_err: str = ""
    band: str = ""
    band_column: str = ""


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """A table that sources are made from.

    Attributes
    ----------
    table
        With at least the wanted columns.
    where
        What it is, for messages.
    notes
        Sentences for the user: what changed since the table was fetched before.
    reference
        What to cite; "" where it is not known.
    """

    table: RawTable
    where: str
    notes: tuple[str, ...] = ()
    reference: str = ""


@dataclass(frozen=True, kw_only=True)
class TableCatalog(ABC):
    """Sources from a table. Subclasses define `read`, which gives the table.

    Parameters
    ----------
    columns
        Which column is what.
    magnitudes
        Magnitudes by name; the first known one of a source is its magnitude, in their order.
    preferred
        Name of the magnitude to prefer; "" for the first.
    epoch
        Julian year of the positions, where no column gives it.
    frame
        "icrs", "fk5" or "galactic": frame of the positions.
    skip_without_position
        Whether to leave out rows without a position (and count them) rather than refuse the catalog.
    where
        Expression on the table's columns that rows must fulfil, as in ``Gmag < 17 and Pwd > 0.75``; "" for all.
    sample
        Number of rows to take at random; null for all.
    limit
        Number of rows to take at most, the first ones; null for all.
    seed
        Of the sample.
    """

    columns: CatalogColumns = field(default_factory=CatalogColumns)
    magnitudes: dict[str, Magnitude] = field(default_factory=dict)
    preferred: str = ""
    epoch: float = 2000.0
    frame: str = "icrs"
    skip_without_position: bool = False
    where: str = ""
    sample: int | None = None
    limit: int | None = None
    seed: int = 0

    @property
    def condition(self) -> str:
        """Condition on rows, as an expression on the table's columns."""
        return self.where

    @abstractmethod
    def read(self, wanted: Sequence[str]) -> Loaded:
        """Read the wanted columns of the table."""

    def load(self) -> SourceTable:
        """Make the table of sources."""
        if self.frame not in ("icrs", "fk5", "galactic"):
            raise CatalogError(f"catalog.frame is {self.frame!r}; it is icrs, fk5 or galactic")
        for name, number in (("limit", self.limit), ("sample", self.sample)):
            if number is not None and number < 1:
                raise CatalogError(f"catalog.{name} is {number}; it is null or at least 1")
        magnitudes = self._ordered_magnitudes()
        try:
            loaded = self.read([*self._wanted(magnitudes), *columns_in(self.condition)])
        except FileFormatError as error:
            raise CatalogError(f"{error}; map the catalog's columns in catalog.columns") from error
        where, n = loaded.where, loaded.table.n_rows
        chosen = self._chosen(loaded.table.columns, n, where)
        columns = _taken(loaded.table.columns, chosen, n)
        loaded = replace(loaded, table=RawTable(columns={}))  # do not hold a million rows twice
        ra, dec = (_floats(columns[name], name, where) for name in (self.columns.ra, self.columns.dec))
        known = np.isfinite(ra) & np.isfinite(dec)
        if not known.all() and not self.skip_without_position:
            row = int(chosen[np.argmin(known)])
            raise CatalogError(
                f"{where}: {int(np.count_nonzero(~known))} row(s) have no position, the first is row {row}; "
                "mend them, or leave them out with catalog.skip_without_position=true"
            )
        kept = np.flatnonzero(known)
        if kept.size == 0:
            raise CatalogError(f"{where} has no sources; give it at least one row with a name, ra and dec")
        columns = _taken(columns, kept, known.size)
        skipped = int(known.size - kept.size)
        return self._sources(columns, chosen[kept], ra[kept], dec[kept], magnitudes, skipped, loaded)

    def _chosen(self, columns: Mapping[str, Array], n: int, where: str) -> NDArray[np.int64]:
        rows = np.arange(n)
        if self.condition:
            rows = rows[rows_where(self.condition, columns, n)]
            if rows.size == 0:
                raise CatalogError(f"{where} has no row with {self.condition!r}; widen it")
        if self.sample is not None and self.sample < rows.size:
            rows = np.sort(random_stream(self.seed, "catalog").choice(rows, self.sample, replace=False))
        return rows[: self.limit]

    def _sources(
        self,
        table: dict[str, Array],
        rows: NDArray[np.int64],
        ra: Floats,
        dec: Floats,
        magnitudes: list[Magnitude],
        missing: int,
        loaded: Loaded,
    ) -> SourceTable:
        names, where = self.columns, loaded.where
        numbers = {
            key: _floats(table[getattr(names, key)], getattr(names, key), where)
            for key in ("pmra", "pmdec", "parallax", "epoch")
            if getattr(names, key)
        }
        notes = list(loaded.notes)
        numbers["epoch"] = self._epochs(numbers.get("epoch"), ra.size, where, notes)
        if self.frame != "icrs":
            ra, dec = _to_icrs(ra, dec, self.frame)
            if "pmra" in numbers:
                raise CatalogError("catalog.frame: proper motions are taken in ICRS only; leave their columns out")
        ra = np.where(ra == 360.0, 0.0, ra)
        photometry = _preferred(table, magnitudes, ra.size, where, notes)
        extra = {name: np.ma.filled(table[name], _blank(table[name])) for name in names.extra}
        named = _names(table[names.name], names.name, rows, where)
        aliases = [_texts(table[name]).tolist() for name in names.aliases]
        table.clear()
        return SourceTable.from_columns(
            name=named,
            ra=ra,
            dec=dec,
            aliases=[
                tuple(alias for alias in row if alias.casefold() not in _NO_NAME) for row in zip(*aliases, strict=True)
            ],
            extra=extra,
            skipped={"no position": missing} if missing else {},
            notes=tuple(notes),
            reference=loaded.reference,
            **numbers,
            **photometry,
        )

    def _epochs(self, epoch: Floats | None, n: int, where: str, notes: list[str]) -> Floats:
        """Julian years of the positions: of the column, or `epoch` where that says nothing."""
        if epoch is None:
            return np.full(n, self.epoch)
        unknown = np.isnan(epoch)
        if unknown.any():
            count = int(np.count_nonzero(unknown))
            notes.append(
                f"{count} row(s) have no {self.columns.epoch}; that of catalog.epoch, {self.epoch:g}, is taken"
            )
            epoch = np.where(unknown, self.epoch, epoch)
        wrong = ~((epoch >= _YEARS[0]) & (epoch <= _YEARS[1]))
        if wrong.any():
            value = float(epoch[np.argmax(wrong)])
            raise CatalogError(
                f"{where}: column {self.columns.epoch!r} holds {value:.10g}, which is no Julian year such as 2016.0"
                f"{_year_of(value)}; convert the column, or give the year of all rows in catalog.epoch"
            )
        return epoch

    def _ordered_magnitudes(self) -> list[Magnitude]:
        if self.preferred and self.preferred not in self.magnitudes:
            raise CatalogError(
                f"catalog.preferred is {self.preferred!r}, not one of {', '.join(self.magnitudes) or 'none'}"
            )
        order = sorted(self.magnitudes, key=lambda name: name != self.preferred)
        return [self.magnitudes[name] for name in order]

    def _wanted(self, magnitudes: list[Magnitude]) -> list[str]:
        c = self.columns
        wanted = [c.name, c.ra, c.dec, c.pmra, c.pmdec, c.parallax, c.epoch, *c.aliases, *c.extra]
        for magnitude in magnitudes:
            wanted += [magnitude.mag, magnitude.mag_err, magnitude.band_column]
        return [name for name in wanted if name]


_YEARS = (1800.0, 2200.0)
"""Julian years that positions may be of."""

_NO_NAME = frozenset(("", "nan", "none", "null", "--", "<na>"))
"""What stands for a name that is missing, in lower case."""


def _year_of(value: float) -> str:
    """What a number that is no year may be."""
    for word, zero in (("MJD", 51544.5), ("JD", 2451545.0)):
        year = 2000.0 + (value - zero) / 365.25
        if _YEARS[0] <= year <= _YEARS[1]:
            return f" (if it is a {word}, the year is {year:.2f})"
    return ""


def _names(column: Array, name: str, rows: NDArray[np.int64], where: str) -> NDArray[np.str_]:
    if column.dtype.kind == "f":
        data = np.ma.getdata(column)
        if (np.abs(data[np.isfinite(data)]) >= 2.0**53).any():
            raise CatalogError(
                f"{where}: column {name!r} was read as floating-point numbers, which do not hold ids of 16 digits or "
                "more exactly; write them as integers without missing values, or as text"
            )
    texts = _texts(column)
    short = np.flatnonzero(np.char.str_len(texts) <= max(map(len, _NO_NAME)))
    blank = [
        row for row, text in zip(short.tolist(), texts[short].tolist(), strict=True) if text.casefold() in _NO_NAME
    ]
    if blank:
        raise CatalogError(
            f"{where}: {len(blank)} row(s) have no name in column {name!r}, the first is row {int(rows[blank[0]])}; "
            "name every source"
        )
    return texts


def _preferred(
    table: Mapping[str, Array], magnitudes: list[Magnitude], n: int, where: str, notes: list[str]
) -> dict[str, object]:
    mag, mag_err, band = np.full(n, np.nan), np.full(n, np.nan), np.zeros(n, "U1")
    for magnitude in magnitudes:
        if not magnitude.mag:
            continue
        values = _floats(table[magnitude.mag], magnitude.mag, where)
        sentinel = np.abs(values) > MAX_MAGNITUDE
        if sentinel.any():
            count = int(np.count_nonzero(sentinel))
            value = float(values[np.argmax(sentinel)])
            notes.append(f"{count} value(s) of {magnitude.mag}, such as {value:g}, stand for unknown magnitudes")
            values = np.where(sentinel, np.nan, values)
        here = np.isnan(mag) & np.isfinite(values)
        mag[here] = values[here]
        if magnitude.mag_err:
            mag_err[here] = _floats(table[magnitude.mag_err], magnitude.mag_err, where)[here]
        named = _texts(table[magnitude.band_column]) if magnitude.band_column else np.array(magnitude.band)
        band = np.where(here, named, band)
    return {"mag": mag, "mag_err": mag_err, "band": band}


def _floats(column: Array, name: str, where: str) -> Floats:
    if column.dtype.kind not in "biuf":
        raise CatalogError(f"{where}: column {name!r} holds text where numbers are needed; map another column")
    values = np.ma.getdata(column).astype(np.float64)
    if np.ma.isMaskedArray(column):
        values[np.ma.getmaskarray(column)] = np.nan
    return values


def _taken(columns: Mapping[str, Array], rows: NDArray[np.int64], n: int) -> dict[str, Array]:
    """Some of n rows of all columns; all of them without a copy."""
    return dict(columns) if rows.size == n else {key: column[rows] for key, column in columns.items()}


def _texts(column: Array) -> NDArray[np.str_]:
    """Text of each value, "" for what is missing; whole numbers are written as integers."""
    if column.dtype.kind not in "US":
        data, missing = np.ma.getdata(column), np.ma.getmaskarray(column)
        if data.dtype.kind == "f":
            missing = missing | np.isnan(data)
            whole = np.isfinite(data) & (np.floor(data) == data) & (np.abs(data) < 2.0**53)
            values = [int(value) if is_whole else value for value, is_whole in zip(data.tolist(), whole, strict=True)]
        else:
            values = data.tolist()
        if not missing.any():
            return np.array([str(value) for value in values], np.str_)
        return np.array(["" if gone else str(value) for value, gone in zip(values, missing, strict=True)], np.str_)
    filled = np.ma.filled(column, _blank(column)) if np.ma.isMaskedArray(column) else column
    if filled.dtype.kind == "S":
        filled = np.char.decode(filled, "utf-8")
    texts: NDArray[np.str_] = filled
    for first in range(0, texts.size, _TEXTS_AT_ONCE):
        piece = slice(first, first + _TEXTS_AT_ONCE)
        stripped = np.char.strip(texts[piece])
        if (stripped != texts[piece]).any():
            texts = texts.copy() if texts is filled else texts
            texts[piece] = stripped
    return texts


_TEXTS_AT_ONCE = 1 << 16
"""Texts in chunks, so that stripping some does not copy all of a million."""


def _blank(column: Array) -> float | str | bytes:
    blanks: dict[str, float | str | bytes] = {"f": np.nan, "U": "", "S": b"", "b": False}
    return blanks.get(column.dtype.kind, 0)


def _to_icrs(ra: Floats, dec: Floats, frame: str) -> tuple[Floats, Floats]:
    from astropy import units
    from astropy.coordinates import SkyCoord

    position = SkyCoord(ra, dec, unit=units.deg, frame=frame).icrs
    return np.asarray(position.ra.deg), np.asarray(position.dec.deg)

"""A catalog from a table of any common format."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retriever.errors import CatalogError, FileFormatError
from retriever.formats import read_table
from retriever.rawtable import Column
from retriever.source import SourceTable
from retriever.verbs import NO_RESULT

__all__ = ["CatalogColumns", "FileCatalog", "Magnitude"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class CatalogColumns:
    """Names of a catalog's columns; "" for what it does not have. Units as in `retriever.source.Source`."""

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
class FileCatalog:
    """Sources from a file; see `retriever.formats.read_table` for the formats.

    Parameters
    ----------
    path
        The file: looked up where you stand, then in ``catalogs/``, then among retriever's samples.
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
    """

    path: str | None = field(default=None, metadata=NO_RESULT)
    columns: CatalogColumns = field(default_factory=CatalogColumns)
    magnitudes: dict[str, Magnitude] = field(default_factory=dict)
    preferred: str = ""
    epoch: float = 2000.0
    frame: str = "icrs"
    skip_without_position: bool = False

    def load(self) -> SourceTable:
        """Read the table of sources."""
        if self.frame not in ("icrs", "fk5", "galactic"):
            raise CatalogError(f"catalog.frame is {self.frame!r}; it is icrs, fk5 or galactic")
        path = find_catalog(self.path)
        magnitudes = self._ordered_magnitudes()
        try:
            columns = read_table(path, self._wanted(magnitudes)).columns
        except FileFormatError as error:
            raise CatalogError(f"{error}; map the catalog's columns in catalog.columns") from error
        ra, dec = (_floats(columns[name], name, path) for name in (self.columns.ra, self.columns.dec))
        known = np.isfinite(ra) & np.isfinite(dec)
        if not known.all() and not self.skip_without_position:
            row = int(np.argmin(known))
            raise CatalogError(
                f"{path}: {int(np.count_nonzero(~known))} row(s) have no position, the first is row {row}; "
                "mend them, or leave them out with catalog.skip_without_position=true"
            )
        kept = np.flatnonzero(known)
        if kept.size == 0:
            raise CatalogError(f"{path} has no sources; give it at least one row with a name, ra and dec")
        table = {
            key: np.ma.asanyarray(column)[kept] if np.ma.isMaskedArray(column) else column[kept]
            for key, column in columns.items()
        }
        return self._sources(table, ra[kept], dec[kept], magnitudes, int(known.size - kept.size), path)

    def _sources(
        self,
        table: Mapping[str, Column],
        ra: Floats,
        dec: Floats,
        magnitudes: list[Magnitude],
        missing: int,
        path: Path,
    ) -> SourceTable:
        names = self.columns
        numbers = {
            key: _floats(table[getattr(names, key)], getattr(names, key), path)
            for key in ("pmra", "pmdec", "parallax", "epoch")
            if getattr(names, key)
        }
        numbers.setdefault("epoch", np.full(ra.size, self.epoch))
        if self.frame != "icrs":
            ra, dec = _to_icrs(ra, dec, self.frame)
            if "pmra" in numbers:
                raise CatalogError("catalog.frame: proper motions are taken in ICRS only; leave their columns out")
        ra = np.where(ra == 360.0, 0.0, ra)
        aliases = [_texts(table[name]) for name in names.aliases]
        return SourceTable.from_columns(
            name=_texts(table[names.name]),
            ra=ra,
            dec=dec,
            aliases=[tuple(alias for alias in row if alias) for row in zip(*aliases, strict=True)],
            extra={name: np.ma.filled(table[name], _blank(table[name])) for name in names.extra},
            skipped={"no position": missing} if missing else {},
            **numbers,
            **_preferred(table, magnitudes, ra.size, path),
        )

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


def find_catalog(path: str | None) -> Path:
    """A catalog's file: where the user stands, in their ``catalogs/``, or among retriever's samples.

    Raises
    ------
    CatalogError
        When it is nowhere.
    """
    if not path:
        raise CatalogError("catalog.path is not given; name the catalog's file")
    package = Path(__file__).parents[1]
    places = [Path(), Path("catalogs"), package.parent / "catalogs", package / "sample_catalogs"]
    for place in places:
        found = place / Path(path).expanduser()
        if found.is_file():
            return found
    raise CatalogError(f"there is no catalog {path} in {Path.cwd()} nor in catalogs/; check catalog.path")


def _preferred(table: Mapping[str, Column], magnitudes: list[Magnitude], n: int, path: Path) -> dict[str, Any]:
    mag, mag_err, band = np.full(n, np.nan), np.full(n, np.nan), np.zeros(n, "U32")
    for magnitude in magnitudes:
        if not magnitude.mag:
            continue
        values = _floats(table[magnitude.mag], magnitude.mag, path)
        here = np.isnan(mag) & np.isfinite(values)
        mag[here] = values[here]
        if magnitude.mag_err:
            mag_err[here] = _floats(table[magnitude.mag_err], magnitude.mag_err, path)[here]
        band[here] = np.array(_texts(table[magnitude.band_column]))[here] if magnitude.band_column else magnitude.band
    return {"mag": mag, "mag_err": mag_err, "band": band}


def _floats(column: Column, name: str, path: Path) -> Floats:
    if column.dtype.kind not in "biuf":
        raise CatalogError(f"{path}: column {name!r} holds text where numbers are needed; map another column")
    values = np.ma.getdata(column).astype(np.float64)
    if np.ma.isMaskedArray(column):
        values[np.ma.getmaskarray(column)] = np.nan
    return values


def _texts(column: Column) -> list[str]:
    filled = np.ma.filled(column, _blank(column)) if np.ma.isMaskedArray(column) else column
    return [(value.decode() if isinstance(value, bytes) else str(value)).strip() for value in filled.tolist()]


def _blank(column: Column) -> Any:
    return {"f": np.nan, "U": "", "S": b"", "b": False}.get(column.dtype.kind, 0)


def _to_icrs(ra: Floats, dec: Floats, frame: str) -> tuple[Floats, Floats]:
    from astropy import units
    from astropy.coordinates import SkyCoord

    position = SkyCoord(ra, dec, unit=units.deg, frame=frame).icrs
    return np.asarray(position.ra.deg), np.asarray(position.dec.deg)

"""A reducer for any table whose columns the config names."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from retriever.arrays import Array
from retriever.astrometry import julian_year, separation_arcsec
from retriever.conditions import columns_in, rows_where
from retriever.errors import ConfigError, DataError, nearest
from retriever.lightcurve import Reduction, TimeSystem
from retriever.lightcurves import LightcurveBatch
from retriever.photometry import AB_ZERO_POINT_UJY, TIME_OFFSETS, flux_to_mag, mag_to_flux, to_mjd
from retriever.rawbatch import RawBatch
from retriever.rawtable import RawPhotometry, RawTable
from retriever.reducers.series import cut, cut_many, floats, group_rows, integers, joined, without_sentinels, words_of
from retriever.schema import Columns as TableColumns
from retriever.source import Source

__all__ = ["Columns", "StandardReducer"]


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Names of a survey's columns; "" for what it does not have.

    Either a magnitude or a flux is needed, with its error where there is one.

    Parameters
    ----------
    time
        Column of times, as `time_format` says.
    mag, mag_err
        Columns of magnitudes and their errors.
    flux, flux_err
        Columns of fluxes and their errors.
    band
        Column of the band's name.
    flag
        Column of a flag with bits.
    exptime
        Column of the exposure time in seconds.
    ra, dec
        Columns of the place of each epoch in degrees.
    series
        Column that tells series of one band apart, such as cameras.
    extra
        Further columns to keep.
    zero_point
        Magnitude of one unit of flux in these columns; null for the reducer's.
    good
        A condition on the survey's columns, written as in `catalog.where`, that good epochs fulfil; "" for none.
    """

    time: str = "mjd"
    mag: str = "mag"
    mag_err: str = "magerr"
    flux: str = ""
    flux_err: str = ""
    band: str = "filter"
    flag: str = ""
    exptime: str = ""
    ra: str = ""
    dec: str = ""
    series: str = ""
    extra: list[str] = field(default_factory=list)
    zero_point: float | None = None
    good: str = ""


@dataclass(frozen=True, kw_only=True)
class StandardReducer:
    """One light curve for each band and series.

    Parameters
    ----------
    columns
        Which column is what.
    bands
        For tables with columns for each band in one row: name of the band to its columns. `columns` is not used then.
        Rows without a time or a value in a band are no epochs of it.
    band_names
        Names of the bands by what the survey writes, as in ``{"1": g}``; what is not in it stays as it is.
    time_format
        "mjd", "jd", "btjd" (TESS), "bkjd" (Kepler) or "gaia".
    time_scale, time_reference, exposure_point
        What the times mean; see `retriever.lightcurve.TimeSystem`.
    flag_mask
        Bits of the survey's flag that make an epoch bad; −1 for any bit, 0 for none.
    band
        Name of the band where there is no column for it.
    exptime
        Exposure time in seconds where there is no column for it.
    zero_point, flux_unit
        Magnitude of one unit of flux, and its name.
    gap
        Split light curves where nothing was seen for so many days; 0 for never.
    nearest
        Whether, of several rows at one time, the nearest to the source is kept rather than the first.

    Notes
    -----
    Magnitudes beyond 60, such as 99.99 or -999, and errors of zero or less are missing.

    Examples
    --------
    >>> table = RawTable(columns={"mjd": np.array([2.0, 1.0]), "mag": np.array([17.0, 17.5]),
    ...                           "magerr": np.array([0.1, 0.1]), "filter": np.array(["r", "r"])})
    >>> reduction = StandardReducer().reduce(Source(name="X", ra=0.0, dec=0.0), RawPhotometry(tables=(table,)))
    >>> reduction.lightcurves[0].mag.tolist()
    [17.5, 17.0]
    """

    columns: Columns = field(default_factory=Columns)
    bands: dict[str, Columns] = field(default_factory=dict)
    band_names: dict[str, str] = field(default_factory=dict)
    time_format: str = "mjd"
    time_scale: str = "utc"
    time_reference: str = "observer"
    exposure_point: str = "start"
    flag_mask: int = -1
    band: str = ""
    exptime: float | None = None
    zero_point: float = AB_ZERO_POINT_UJY
    flux_unit: str = "uJy"
    gap: float = 0.0
    nearest: bool = False

    def __post_init__(self) -> None:
        if self.time_format not in TIME_OFFSETS:
            raise ConfigError(f"unknown time_format {self.time_format!r}{nearest(self.time_format, TIME_OFFSETS)}")
        if self.exposure_point not in ("start", "middle", "end"):
            raise ConfigError(f"exposure_point is {self.exposure_point!r}; it is start, middle or end")

    def reduce(self, source: Source, raw: RawPhotometry) -> Reduction:
        """Reduce one source."""
        tables = [table for table in raw.tables if table.n_rows]
        bands = self.bands or {self.band: self.columns}
        parts = [self._reduce_table(source, table, names, band) for table in tables for band, names in bands.items()]
        first = np.repeat(np.cumsum([0, *(table.n_rows for table in tables)])[:-1], len(bands)).tolist()
        reduction = joined(parts, first)
        # a row of several bands may be dropped in one of them, which its number does not tell
        return replace(reduction, dropped_rows={}) if self.bands else reduction

    def reduce_many(self, raw: RawBatch) -> tuple[LightcurveBatch, TableColumns] | None:
        """The same as `reduce`, for all sources of a batch at once; not for tables with several bands in one row."""
        if self.bands or self.nearest:
            return None
        names, rows = self.columns, raw.columns
        n = int(raw.offsets[-1])
        zero_point = self.zero_point if names.zero_point is None else names.zero_point
        words, code = words_of(_column(rows, names.band) if names.band else None, n)
        band = np.array([self.band_names.get(word, word) or self.band for word in words.tolist()], np.str_)
        series = words_of(_column(rows, names.series) if names.series else None, n)
        data, noted = self._epochs(rows, n, names, zero_point)
        system = self._time_system()
        return cut_many(
            raw, (band, code), series, data, gap=self.gap, noted=noted,
            words={
                "zero_point": float(zero_point), "flux_unit": self.flux_unit, "time_scale": system.scale,
                "time_reference": system.reference, "time_point": system.point,
            },
        )  # fmt: skip

    def _reduce_table(self, source: Source, table: RawTable, names: Columns, band: str) -> Reduction:
        n, rows, origin = table.n_rows, table.columns, table.origin
        zero_point = self.zero_point if names.zero_point is None else names.zero_point
        data, noted = self._epochs(rows, n, names, zero_point, origin)
        bands = _column(rows, names.band, origin) if names.band and not self.bands else None
        series = _column(rows, names.series, origin) if names.series else None
        return cut(
            [
                ((self.band_names.get(name, name) or band, word), self._ordered(source, data, members))
                for (name, word), members in group_rows(n, bands, series)
            ],
            data,
            gap=self.gap,
            noted=noted,
            zero_point=zero_point,
            flux_unit=self.flux_unit,
            time_system=self._time_system(),
        )

    def _time_system(self) -> TimeSystem:
        return TimeSystem(
            scale=self.time_scale,
            reference=self.time_reference,
            point=self.exposure_point,  # type: ignore[arg-type]
        )

    def _epochs(
        self, rows: Mapping[str, Array], n: int, names: "Columns", zero_point: float, origin: str = ""
    ) -> tuple[dict[str, Array], dict[str, NDArray[np.bool_]]]:
        """Columns of `Lightcurve` from those of raw tables, and what to note of the rows."""

        def numbers(name: str) -> NDArray[np.float64]:
            return floats(_column(rows, name, origin), name)

        exptime = np.nan if self.exptime is None else self.exptime
        data: dict[str, Array] = {"time": to_mjd(numbers(names.time), self.time_format)}
        data["exptime"] = numbers(names.exptime) if names.exptime else np.full(n, exptime, np.float64)
        values = numbers(names.mag or names.flux)
        error = names.mag_err if names.mag else names.flux_err
        errors = numbers(error) if error else np.full(values.size, np.nan)
        values, errors, noted = without_sentinels(values, errors, is_mag=bool(names.mag))
        if names.mag:
            flux, flux_err = mag_to_flux(values, errors, zero_point)
            data |= {"flux": flux, "flux_err": flux_err, "mag": values, "mag_err": errors}
        else:
            mag, mag_err = flux_to_mag(values, errors, zero_point)
            data |= {"flux": values, "flux_err": errors, "mag": mag, "mag_err": mag_err}
        data["flag"] = integers(_column(rows, names.flag, origin), names.flag) if names.flag else np.zeros(n, np.int64)
        data["qflag"] = (data["flag"] & self.flag_mask) != 0
        if names.good:
            for name in columns_in(names.good, _GOOD):
                _column(rows, name, origin)
            data["qflag"] |= ~rows_where(names.good, rows, n, _GOOD)
        for key, name in (("ra", names.ra), ("dec", names.dec)):
            if name:
                data[key] = numbers(name)
        return data | {name: np.ma.getdata(_column(rows, name, origin)) for name in names.extra}, noted

    def _ordered(self, source: Source, data: Mapping[str, Array], rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Rows of a band, of each time that which is kept first."""
        rows = self._measured(data, rows)
        if not self.nearest or "ra" not in data or not rows.size:
            return rows
        time = data["time"][rows]
        known = time[np.isfinite(time)]
        place = source.position(float(julian_year(float(np.median(known))))) if known.size else (source.ra, source.dec)
        distance = separation_arcsec(data["ra"][rows], data["dec"][rows], *place)
        return rows[np.lexsort((np.where(np.isfinite(distance), distance, np.inf), time))]

    def _measured(self, data: Mapping[str, Array], rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Rows of a band: where a row has several bands, those with a value in it."""
        if not self.bands:
            return rows
        measured = np.isfinite(data["time"][rows]) & (np.isfinite(data["flux"][rows]) | np.isfinite(data["mag"][rows]))
        kept: NDArray[np.int64] = rows[measured]
        return kept


_GOOD = "reducers.<name>.columns.good"


def _column(rows: Mapping[str, Array], name: str, origin: str = "") -> Array:
    if name not in rows:
        raise DataError(
            f"{origin or 'the raw table'} has no column {name!r}{nearest(name, rows)}; "
            "name the right one in reducers.<name>.columns"
        )
    return rows[name]

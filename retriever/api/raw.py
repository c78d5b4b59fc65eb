"""Raw tables as light curves to look at: every row that a survey gave, whatever became of it in the reduction.

Surveys name their columns as they like; those of the usual surveys, and names that are common, are known. Nothing is
computed from these light curves.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from retriever.arrays import Array, Floats, Rows
from retriever.errors import DataError
from retriever.lightcurve import Lightcurve, TimeSystem
from retriever.photometry import MAX_MAGNITUDE
from retriever.rawtable import RawTable

__all__ = ["raw_curves"]

_TIMES = ("mjd", "obsmjd", "obstime", "time", "t", "bjd", "hjd", "jd", "timeg")
_MAGNITUDES = ("mag", "magpsf", "m", "w1mpro", "psfmag", "magnitude")
_FLUXES = ("pdcsap_flux", "det_flux", "kspsap_flux", "sap_flux", "corr_flux", "flux", "fcor", "ujy", "psfflux", "fg")
_BANDS = ("filtercode", "filter", "band", "f", "fid", "filterid")
_ERRORS = ("{0}err", "{0}_err", "{0}_error", "e_{0}", "d{0}", "sigma{0}", "{0}sig", "m{0}_sig", "err")

_OWN_CLOCK = TimeSystem(scale="", reference="")

_JD, _MJD = 2_400_000.5, 10_000.0
"""Larger times than the first are JD, and smaller ones than the second count from a moment that a header names."""


def raw_curves(tables: Sequence[RawTable], dropped: Mapping[str, Rows] | None = None) -> list[Lightcurve]:
    """A light curve for each band of the raw tables of a source.

    Parameters
    ----------
    tables
        What the survey gave.
    dropped
        Rows that the reducer dropped, by reason; see `retriever.lightcurve.Reduction`.

    Returns
    -------
    list of Lightcurve
        Each row with a time and a brightness, with the columns `row`, numbered through all tables, and `dropped`, which
        is the reason of a row that was dropped, and "" for others. Rows that were dropped are marked as bad. Magnitudes
        beyond `MAX_MAGNITUDE` are no brightness.

    Raises
    ------
    DataError
        When no table has columns of a time and a brightness by a name that is known.
    """
    reasons = np.full(sum(table.n_rows for table in tables), "", f"U{max(map(len, dropped or {}), default=1)}")
    for reason, rows in (dropped or {}).items():
        reasons[rows] = reason
    found: list[Lightcurve] = []
    first = 0
    for table in tables:
        found += _of_table(table, first, reasons)
        first += table.n_rows
    if tables and not found:
        names = ", ".join(list(tables[0].columns)[:12])
        raise DataError(f"raw tables have no time and brightness by a name that is known (they have {names})")
    return found


def _of_table(table: RawTable, first: int, reasons: Array) -> Iterator[Lightcurve]:
    columns = {name.lower(): column for name, column in table.columns.items() if column.ndim == 1}
    units = {name.lower(): unit for name, unit in table.units.items()}
    time = _first(columns, _TIMES)
    mag, flux = _first(columns, _MAGNITUDES), _first(columns, _FLUXES)
    if time is None or (mag is None and flux is None):
        return
    mjd = _mjd(_floats(columns[time]), table)
    values = {"mag": mag, "flux": flux}
    of_epochs = {key: _floats(columns[name]) if name else np.full(mjd.size, np.nan) for key, name in values.items()}
    of_epochs["mag"][~(np.abs(of_epochs["mag"]) <= MAX_MAGNITUDE)] = np.nan
    errors = {key: _error(columns, name, mjd.size) for key, name in values.items()}
    bands = _first(columns, _BANDS)
    labels = np.asarray(columns[bands]).astype(str) if bands else np.full(mjd.size, "")
    usable = np.isfinite(mjd) & (np.isfinite(of_epochs["mag"]) | np.isfinite(of_epochs["flux"]))
    for number, label in enumerate(sorted(set(labels[usable].tolist())), 1):
        rows = np.flatnonzero(usable & (labels == label))
        rows = rows[np.argsort(mjd[rows], kind="stable")]
        yield Lightcurve.from_columns(
            band=label, time=mjd[rows], flux=of_epochs["flux"][rows], flux_err=errors["flux"][rows],
            mag=of_epochs["mag"][rows], mag_err=errors["mag"][rows], number=number, series=table.origin[-40:],
            flux_unit=units.get(flux or "", "") if mag is None else "uJy", time_system=_OWN_CLOCK,
            qflag=reasons[first + rows] != "", extra={"row": first + rows, "dropped": reasons[first + rows]},
        )  # fmt: skip


def _first(columns: dict[str, Array], names: Sequence[str]) -> str | None:
    return next((name for name in names if name in columns and columns[name].dtype.kind in "iufSU"), None)


def _floats(column: Array) -> Floats:
    try:
        values = np.ma.filled(np.ma.asarray(column).astype(np.float64), np.nan)
    except ValueError:
        return np.full(len(column), np.nan)
    return np.where(np.abs(values) < 1e15, values, np.nan)


def _error(columns: dict[str, Array], name: str | None, n: int) -> Floats:
    known = [form.format(name) for form in _ERRORS if name and form.format(name) in columns]
    return _floats(columns[known[0]]) if known else np.full(n, np.nan)


def _mjd(time: Floats, table: RawTable) -> Floats:
    middle = float(np.nanmedian(time)) if np.isfinite(time).any() else 0.0
    if middle > _JD:
        return time - _JD
    if middle < _MJD:
        reference = sum(float(table.card(key) or 0) for key in ("BJDREFI", "BJDREFF"))
        return time + (reference - _JD if reference else 0.0)
    return time

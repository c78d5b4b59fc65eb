"""Light curves of the Zwicky Transient Facility's public releases."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retriever.arrays import Array, Rows
from retriever.astrometry import julian_year, separation_arcsec
from retriever.conditions import columns_in, rows_where
from retriever.errors import DataError, nearest
from retriever.lightcurve import Reduction, TimeSystem
from retriever.photometry import AB_ZERO_POINT_UJY, mag_to_flux
from retriever.rawtable import RawPhotometry, RawTable
from retriever.reducers.series import cut, floats, group_rows, integers, reduction_of, without_sentinels
from retriever.source import Source
from retriever.statistics import median

__all__ = ["ZTFReducer"]

_NEEDED = ("oid", "mjd", "mag", "magerr", "catflags", "filtercode", "ra", "dec", "exptime")


_GOOD = "reducers.<name>.good"


@dataclass(frozen=True, kw_only=True)
class ZTFReducer:
    """One light curve for each object id (oid): one filter, field and quadrant of the camera.

    Times are UTC at the start of the exposure, magnitudes AB (Masci et al. 2019, PASP 131, 018003).

    Parameters
    ----------
    max_separation
        Leave out object ids whose median position is farther from the source, moved to that time, in arcsec.
    max_mag_difference
        Leave out object ids whose median magnitude differs more from the catalog's; 0 for any, and where the catalog
        has none.
    flag_mask
        Bits of `catflags` that make an epoch bad; 32768 stands for clouds or the moon.
    good
        Condition on the survey's columns that good epochs fulfil, written as in `catalog.where`; "" for none. Cuts on
        `chi` and `sharp` take out blends and bad subtractions; one on ``mag < limitmag`` takes out dips too.
    gap
        Split light curves where nothing was seen for so many days; 0 for never.
    """

    max_separation: float = 2.0
    max_mag_difference: float = 2.0
    flag_mask: int = 32768
    good: str = ""
    gap: float = 0.0

    def reduce(self, source: Source, raw: RawPhotometry) -> Reduction:
        """Reduce one source."""
        tables = [table for table in raw.tables if table.n_rows]
        if not tables:
            return Reduction(lightcurves=())
        columns = {name: _joined([_column(table, name) for table in tables]) for name in _NEEDED}
        data = {name: floats(columns[name], name) for name in ("mjd", "mag", "magerr", "ra", "dec", "exptime")}
        data["mag"], data["magerr"], noted = without_sentinels(data["mag"], data["magerr"], is_mag=True)
        flux, flux_err = mag_to_flux(data["mag"], data["magerr"], AB_ZERO_POINT_UJY)
        flag = integers(columns["catflags"], "catflags")
        is_bad = (flag & self.flag_mask) != 0
        if self.good:
            used = {name: _joined([_column(table, name) for table in tables]) for name in columns_in(self.good, _GOOD)}
            is_bad |= ~rows_where(self.good, used, flag.size, _GOOD)
        others: dict[str, list[Rows]] = {}
        groups = []
        for (code, oid), rows in group_rows(data["mjd"].size, columns["filtercode"], columns["oid"]):
            reason = self._reason_against(source, data, rows)
            if reason:
                others.setdefault(reason, []).append(rows)
            else:
                groups.append(((code.removeprefix("z"), oid), rows))
        reduction = cut(
            groups,
            {
                "time": data["mjd"], "exptime": data["exptime"], "flux": flux, "flux_err": flux_err,
                "mag": data["mag"], "mag_err": data["magerr"], "flag": flag,
                "qflag": is_bad, "ra": data["ra"], "dec": data["dec"],
            },
            gap=self.gap,
            noted=noted,
            zero_point=AB_ZERO_POINT_UJY,
            flux_unit="uJy",
            time_system=TimeSystem(scale="utc", reference="observer", point="start"),
        )  # fmt: skip
        return reduction_of(
            list(reduction.lightcurves), others | {key: [rows] for key, rows in reduction.dropped_rows.items()}
        )

    def _reason_against(self, source: Source, data: dict[str, NDArray[np.float64]], rows: NDArray[np.int64]) -> str:
        """Why an object id is another star, or "" where nothing speaks against it."""
        year = float(julian_year(median(data["mjd"][rows][np.isfinite(data["mjd"][rows])])))
        ra, dec = source.position(year)
        # ra is compared on a circle around the source, so that 359.99 and 0.01 have their median between them
        near = (data["ra"][rows] - ra + 180.0) % 360.0 - 180.0
        middle = (
            ra + median(near[np.isfinite(near)]),
            median(data["dec"][rows][np.isfinite(data["dec"][rows])]),
        )
        if not separation_arcsec(*middle, ra, dec) <= self.max_separation:
            return "too far from the source"
        mags = data["mag"][rows]
        difference = abs(median(mags[np.isfinite(mags)]) - source.mag)
        if self.max_mag_difference > 0 and difference > self.max_mag_difference:
            return "another magnitude than the source"
        return ""


def _joined(columns: list[Array]) -> np.ma.MaskedArray[Any, Any]:
    mask = np.concatenate([np.ma.getmaskarray(column) for column in columns])
    return np.ma.MaskedArray(np.concatenate([np.ma.getdata(column) for column in columns]), mask=mask)


def _column(table: RawTable, name: str) -> Array:
    if name not in table.columns:
        raise DataError(
            f"{table.origin or 'the table'} has no column {name!r}{nearest(name, table.columns)}; is it of ZTF?"
        )
    return table.columns[name]

"""Light curves of TESS and Kepler, of the missions' own pipelines and of others."""

from dataclasses import dataclass, field

import numpy as np

from retriever.arrays import Array
from retriever.errors import ConfigError
from retriever.lightcurve import Reduction, TimeSystem
from retriever.photometry import TESS_ZERO_POINT, flux_to_mag
from retriever.rawtable import RawPhotometry, RawTable
from retriever.reducers.mission_flags import mask_of
from retriever.reducers.pipelines import number_of, pipeline_of
from retriever.reducers.series import cut, floats, joined
from retriever.source import Source

__all__ = ["KEPLER_ZERO_POINT", "TESSReducer"]

KEPLER_ZERO_POINT = 25.10
"""Kepler magnitude of 1 e-/s: Kp = 12 gives 1.74e5 e-/s (Kepler Instrument Handbook, KSCI-19033-002)."""

KEEPING_FLARES = (
    "attitude_tweak", "safe_mode", "coarse_point", "earth_point", "argabrightening", "desaturation", "manual_exclude",
    "bad_calibration",
)  # fmt: skip
"""Flags of TESS that mark bad data, without those that flares may set."""


@dataclass(frozen=True, kw_only=True)
class TESSReducer:
    """One light curve for each file: one sector, quarter or campaign at one cadence.

    Times are BJD_TDB in the middle of the exposure, given as MJD. Files of QLP, eleanor, TASOC, CDIPS, TGLC, EVEREST,
    K2SFF, K2SC and K2VARCAT are known by their columns; see `retriever.reducers.pipelines`. The magnitude in the header
    turns relative flux into magnitudes.

    Parameters
    ----------
    flux
        "pdcsap" (systematics removed; of other pipelines the corrected flux) or "sap" (simple aperture photometry).
    bad_flags
        Flags of the mission's quality column that make an epoch bad, by their names in
        `retriever.reducers.mission_flags`. QLP's files keep the first 12 of them; its own bit of low precision is
        always added. The other pipelines have bits of their own.
    flag_mask
        The bits as one number, instead of `bad_flags`.
    centroids
        Whether to take the centroids on the detector along, as `x` and `y` in pixels.
    gap
        Split light curves where nothing was seen for so many days; 0 for never.
    """

    flux: str = "pdcsap"
    bad_flags: list[str] = field(default_factory=lambda: list(KEEPING_FLARES))
    flag_mask: int | None = None
    centroids: bool = True
    gap: float = 0.0

    def __post_init__(self) -> None:
        if self.flux not in ("pdcsap", "sap"):
            raise ConfigError(f"the reducer's flux is {self.flux!r}; it is pdcsap or sap")
        mask_of(self.bad_flags, kepler=False)

    def reduce(self, source: Source, raw: RawPhotometry) -> Reduction:
        """Reduce one source."""
        first = np.cumsum([0, *(table.n_rows for table in raw.tables)]).tolist()
        used = [
            (table, row)
            for table, row in zip(raw.tables, first[:-1], strict=True)
            if table.n_rows and not table.origin.endswith("[APERTURE]")
        ]
        return joined([self._reduce_file(table) for table, _ in used], [row for _, row in used])

    def _reduce_file(self, table: RawTable) -> Reduction:
        pipeline = pipeline_of(table)
        kepler = pipeline.is_of_kepler or table.card("TELESCOP").upper() == "KEPLER"
        flux, flux_err, unit = pipeline.flux(table, self.flux)
        mask = mask_of(self.bad_flags, kepler) if self.flag_mask is None else self.flag_mask
        flag, is_bad = pipeline.quality(table, mask)
        zero_point = KEPLER_ZERO_POINT if kepler else TESS_ZERO_POINT
        if unit == "relative":
            zero_point = number_of(table, pipeline.mag)
        mag, mag_err = flux_to_mag(flux, flux_err, zero_point)
        time = pipeline.times(table)
        cadence, exposure = pipeline.exposure_seconds(table, time)
        data: dict[str, Array] = {
            "time": time,
            "exptime": np.full(table.n_rows, exposure),
            "flux": flux, "flux_err": flux_err, "mag": mag, "mag_err": mag_err,
            "flag": flag, "qflag": is_bad,
        }  # fmt: skip
        if self.centroids:
            data |= _centroids(table)
        band = "Kepler" if kepler else "TESS"
        return cut(
            [((band, _series(table, cadence, pipeline.name)), np.arange(table.n_rows))],
            data,
            gap=self.gap,
            zero_point=zero_point,
            flux_unit=unit,
            time_system=TimeSystem(scale="tdb", reference="barycenter", point="middle"),
        )


def _centroids(table: RawTable) -> dict[str, Array]:
    for x, y in (("MOM_CENTR1", "MOM_CENTR2"), ("SAP_X", "SAP_Y")):
        if x in table.columns and y in table.columns:
            return {"x": floats(table.columns[x], x), "y": floats(table.columns[y], y)}
    return {}


def _series(table: RawTable, cadence: float, pipeline: str) -> str:
    """What tells this light curve from others of the star, such as "sector 24, 120 s"."""
    for keyword in ("SECTOR", "QUARTER", "CAMPAIGN"):
        if table.card(keyword):
            when = f"{keyword.lower()} {table.card(keyword)}, "
            break
    else:
        when = ""
    return f"{when}{cadence:.0f} s{f', {pipeline}' if pipeline else ''}"

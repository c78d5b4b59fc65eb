"""Light curves of TESS and Kepler, of the missions' own pipeline and of QLP."""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from retriever.arrays import Array, Floats
from retriever.errors import ConfigError, DataError
from retriever.lightcurve import Lightcurve, Reduction, TimeSystem
from retriever.photometry import MJD_OF_JD, TESS_ZERO_POINT, flux_to_mag
from retriever.rawtable import RawPhotometry, RawTable
from retriever.reducers.series import cut, floats, integers, numbered
from retriever.source import Source

__all__ = ["KEPLER_ZERO_POINT", "TESSReducer"]

KEPLER_ZERO_POINT = 25.10
"""Kepler magnitude of 1 e-/s: Kp = 12 gives 1.74e5 e-/s (Kepler Instrument Handbook, KSCI-19033-002)."""

_QLP_LOW_PRECISION = 4096
_SPACECRAFT_BITS = 4095


@dataclass(frozen=True, kw_only=True)
class TESSReducer:
    """One light curve for each file: one sector, quarter or campaign at one cadence.

    Times are BJD_TDB in the middle of the exposure, given as MJD. Files of QLP have relative flux (median 1), which the
    catalog magnitude in their header turns into magnitudes; they are known by their column KSPSAP_FLUX.

    Parameters
    ----------
    flux
        "pdcsap" (systematics removed; for QLP: KSPSAP, detrended) or "sap" (simple aperture photometry).
    flag_mask
        Bits of the quality column that make an epoch bad. In QLP's files the first 12 bits mean the same, and bit 12
        (low precision) is always added.
    centroids
        Whether to take the centroids on the detector along, as `x` and `y` in pixels.
    gap
        Split light curves where nothing was seen for so many days; 0 for never.
    """

    flux: str = "pdcsap"
    flag_mask: int = 16575
    centroids: bool = True
    gap: float = 0.0

    def __post_init__(self) -> None:
        if self.flux not in ("pdcsap", "sap"):
            raise ConfigError(f"the reducer's flux is {self.flux!r}; it is pdcsap or sap")

    def reduce(self, source: Source, raw: RawPhotometry) -> Reduction:
        """Reduce one source."""
        dropped: Counter[str] = Counter()
        lightcurves: list[Lightcurve] = []
        for table in raw.tables:
            if table.n_rows and not table.origin.endswith("[APERTURE]"):
                part = self._reduce_file(table)
                lightcurves += part.lightcurves
                dropped += Counter(part.dropped)
        return Reduction(lightcurves=numbered(lightcurves), dropped=dict(dropped))

    def _reduce_file(self, table: RawTable) -> Reduction:
        qlp = "KSPSAP_FLUX" in table.columns
        kepler = table.card("TELESCOP").upper() == "KEPLER"
        flux, flux_err = self._flux(table, qlp)
        flag = integers(_first(table, "QUALITY", "SAP_QUALITY"), "QUALITY")
        mask = self.flag_mask & _SPACECRAFT_BITS | _QLP_LOW_PRECISION if qlp else self.flag_mask
        zero_point = KEPLER_ZERO_POINT if kepler else TESS_ZERO_POINT
        if qlp:
            zero_point = _number(table, "TESSMAG", float("nan"))
        mag, mag_err = flux_to_mag(flux, flux_err, zero_point)
        step, live = _number(table, "TIMEDEL", float("nan")), _number(table, "DEADC", 1.0)
        data = {
            "time": floats(_first(table, "TIME"), "TIME") + _zero_mjd(table),
            "exptime": np.full(table.n_rows, step * live * 86400.0),
            "flux": flux, "flux_err": flux_err, "mag": mag, "mag_err": mag_err,
            "flag": flag, "qflag": (flag & mask) != 0,
        }  # fmt: skip
        if self.centroids:
            data |= _centroids(table)
        band = "Kepler" if kepler else "TESS"
        return cut(
            [((band, _series(table, step, qlp)), np.arange(table.n_rows))],
            data,
            gap=self.gap,
            zero_point=zero_point,
            flux_unit="relative" if qlp else "e-/s",
            time_system=TimeSystem(scale="tdb", reference="barycenter", point="middle"),
        )

    def _flux(self, table: RawTable, qlp: bool) -> tuple[Floats, Floats]:
        name = "SAP_FLUX" if self.flux == "sap" else "KSPSAP_FLUX" if qlp else "PDCSAP_FLUX"
        # QLP states one error, for its detrended flux
        error = "KSPSAP_FLUX_ERR" if qlp else f"{name}_ERR"
        return floats(_first(table, name), name), floats(_first(table, error), error)


def _first(table: RawTable, *names: str) -> Array:
    for name in names:
        if name in table.columns:
            return table.columns[name]
    raise DataError(f"{table.origin} has no column {names[0]!r}; is it a light curve of TESS or Kepler?")


def _number(table: RawTable, keyword: str, default: float) -> float:
    text = table.card(keyword)
    try:
        return float(text)
    except ValueError:
        return default


def _zero_mjd(table: RawTable) -> float:
    """MJD of the zero of the file's times."""
    whole = _number(table, "BJDREFI", float("nan"))
    if whole != whole:
        raise DataError(f"{table.origin} does not say in BJDREFI what its times count from; fetch it again")
    return whole - MJD_OF_JD + _number(table, "BJDREFF", 0.0)


def _centroids(table: RawTable) -> dict[str, object]:
    for x, y in (("MOM_CENTR1", "MOM_CENTR2"), ("SAP_X", "SAP_Y")):
        if x in table.columns and y in table.columns:
            return {"x": floats(table.columns[x], x), "y": floats(table.columns[y], y)}
    return {}


def _series(table: RawTable, step: float, qlp: bool) -> str:
    """What tells this light curve from others of the star, such as "sector 24, 120 s"."""
    for keyword in ("SECTOR", "QUARTER", "CAMPAIGN"):
        if table.card(keyword):
            when = f"{keyword.lower()} {table.card(keyword)}, "
            break
    else:
        when = ""
    return f"{when}{step * 86400.0:.0f} s{', QLP' if qlp else ''}"

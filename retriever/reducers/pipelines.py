"""How the pipelines that make light curves of TESS and Kepler write their files.

Each pipeline is known by its columns. Names, units and quality bits are those of its documentation, cited at each.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from retriever.arrays import Array, Floats
from retriever.errors import DataError
from retriever.photometry import MJD_OF_JD, mag_to_flux
from retriever.rawtable import RawTable
from retriever.reducers.series import floats, integers

__all__ = ["PIPELINES", "Pipeline", "number_of", "pipeline_of"]

_BTJD, _BKJD = 2457000.0, 2454833.0
_SPACECRAFT = 4095
"""The first 12 bits of the missions' quality flags, which QLP takes over."""


@dataclass(frozen=True, kw_only=True)
class Pipeline:
    """What the columns of a pipeline's files mean.

    Attributes
    ----------
    name
        Of the pipeline; "" for the missions' own.
    marks
        Columns by which a file is known to be of this pipeline.
    detrended, simple
        Column of the flux without, and with, slow changes; of magnitudes where `unit` is "mag".
    detrended_err, simple_err
        Column of its error; "" where there is none.
    error_cards
        Keyword of the header that holds one error for all epochs, by column of flux.
    unit
        "e-/s", "relative" (median near 1), "ppm" (from 1) or "mag".
    simple_unit
        The unit of the simple flux, where it is another.
    time, zero
        Column of time, and the BJD_TDB that it counts from; NaN where the header says it.
    flags
        Columns of quality, and the bits that always make an epoch bad: -1 for any. Text is bad where it is not in
        `good_words`.
    keeps
        Bits of the mission's flags that the first column of `flags` keeps, for which the config has the mask.
    mag
        Keyword of the star's magnitude, which gives relative flux its zero point.
    exposure
        Keyword of the exposure time in seconds, where TIMEDEL does not give the cadence.
    trend
        Column of the star's own slow changes, which the detrended flux lacks and which are added again.
    """

    name: str
    marks: tuple[str, ...]
    detrended: str
    simple: str
    detrended_err: str = ""
    simple_err: str = ""
    error_cards: Mapping[str, str] = field(default_factory=dict)
    unit: str = "relative"
    simple_unit: str = ""
    time: str = "TIME"
    zero: float = float("nan")
    flags: Mapping[str, int] = field(default_factory=dict)
    keeps: int = 0
    good_words: tuple[str, ...] = ("G", "0")
    mag: str = ""
    exposure: str = ""
    trend: str = ""

    @property
    def is_of_kepler(self) -> bool:
        """Whether it made light curves of Kepler or K2 alone."""
        return self.zero == _BKJD

    def times(self, table: RawTable) -> Floats:
        """BJD_TDB of each epoch, as MJD.

        Raises
        ------
        DataError
            When neither the pipeline nor the header says it.
        """
        whole, part = self.zero, 0.0
        if whole != whole:
            whole, part = number_of(table, "BJDREFI"), number_of(table, "BJDREFF", 0.0)
        if whole != whole:
            raise DataError(f"{table.origin} does not say in BJDREFI what its times count from; fetch it again")
        return floats(_column(table, self.time), self.time) + (whole - MJD_OF_JD + part)

    def exposure_seconds(self, table: RawTable, time: Floats) -> tuple[float, float]:
        """Cadence and exposure time in seconds; the cadence is that of the times where the header has none."""
        cadence = 86400.0 * number_of(table, "TIMEDEL")
        if cadence != cadence:
            steps = np.diff(time[np.isfinite(time)])
            cadence = 86400.0 * float(np.median(steps)) if steps.size else cadence
        if self.exposure:
            return cadence, number_of(table, self.exposure)
        return cadence, cadence * number_of(table, "DEADC", 1.0)

    def flux(self, table: RawTable, which: str) -> tuple[Floats, Floats, str]:
        """Flux and its error, in e-/s or relative to the star's, and the unit.

        A detrended flux that is all NaN, as in early releases of TASOC, is replaced by the simple one.
        """
        is_simple = which == "sap" or not np.isfinite(floats(_column(table, self.detrended), self.detrended)).any()
        name, error, unit = self.detrended, self.detrended_err, self.unit
        if is_simple:
            name, error, unit = self.simple, self.simple_err, self.simple_unit or self.unit
        values = floats(_column(table, name), name)
        errors = np.full(values.size, np.nan)
        if error and error in table.columns:
            errors = floats(table.columns[error], error)
        elif name in self.error_cards:
            errors[:] = number_of(table, self.error_cards[name])
        if unit == "mag":
            middle = float(np.nanmedian(values)) if np.isfinite(values).any() else 0.0
            return *mag_to_flux(values, errors, middle), "relative"
        if unit == "ppm":
            return 1.0 + 1e-6 * values, 1e-6 * errors, "relative"
        if self.trend:
            slow = floats(_column(table, self.trend), self.trend)
            values = values + slow - np.nanmedian(slow)
        return values, errors, unit

    def quality(self, table: RawTable, mask: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Quality bits of the first column, and whether any column makes an epoch bad."""
        flag = np.zeros(table.n_rows, np.int64)
        is_bad = np.zeros(table.n_rows, np.bool_)
        for k, (name, bits) in enumerate(self.flags.items()):
            if name not in table.columns:
                continue
            column = table.columns[name]
            if column.dtype.kind in "US":
                words = np.char.strip(np.ma.getdata(column).astype(np.str_))
                own = (~np.isin(words, self.good_words)).astype(np.int64)
            else:
                own = integers(column, name)
            is_bad |= (own & (bits | (mask & self.keeps if k == 0 else 0))) != 0
            if k == 0:
                flag = own
        return flag, is_bad


def number_of(table: RawTable, keyword: str, default: float = float("nan")) -> float:
    """A number of the header; the default where it is missing or none."""
    try:
        return float(table.card(keyword))
    except ValueError:
        return default


def pipeline_of(table: RawTable) -> Pipeline:
    """The pipeline that made a file.

    Raises
    ------
    DataError
        When it is of none that is known.
    """
    for pipeline in PIPELINES:
        if all(name in table.columns for name in pipeline.marks):
            return pipeline
    known = ", ".join(pipeline.name for pipeline in PIPELINES if pipeline.name)
    raise DataError(
        f"{table.origin} has no column {PIPELINES[0].marks[0]!r}, nor is it of {known}; "
        "is it a light curve of TESS or Kepler?"
    )


def _column(table: RawTable, name: str) -> Array:
    if name not in table.columns:
        raise DataError(f"{table.origin} has no column {name!r}; is it a light curve of TESS or Kepler?")
    return table.columns[name]


PIPELINES = (
    # SPOC, and Kepler's and K2's pipeline: Data Products Description Document, EXP-TESS-ARC-ICD-0014; KDMC-10008
    Pipeline(
        name="", marks=("PDCSAP_FLUX", "QUALITY"), detrended="PDCSAP_FLUX", simple="SAP_FLUX", unit="e-/s",
        detrended_err="PDCSAP_FLUX_ERR", simple_err="SAP_FLUX_ERR", flags={"QUALITY": 0}, keeps=-1,
    ),
    Pipeline(
        name="", marks=("PDCSAP_FLUX", "SAP_QUALITY"), detrended="PDCSAP_FLUX", simple="SAP_FLUX", unit="e-/s",
        detrended_err="PDCSAP_FLUX_ERR", simple_err="SAP_FLUX_ERR", flags={"SAP_QUALITY": 0}, keeps=-1,
    ),
    # QLP: Huang et al. 2020, RNAAS 4, 204; from sector 56 on Kunimoto et al. 2022, RNAAS 6, 236. One error is stated,
    # that of the detrended flux. Bit 12, later 30, marks low precision.
    Pipeline(
        name="QLP", marks=("KSPSAP_FLUX",), detrended="KSPSAP_FLUX", simple="SAP_FLUX",
        detrended_err="KSPSAP_FLUX_ERR", simple_err="KSPSAP_FLUX_ERR", mag="TESSMAG",
        flags={"QUALITY": 1 << 12}, keeps=_SPACECRAFT,
    ),
    Pipeline(
        name="QLP", marks=("DET_FLUX",), detrended="DET_FLUX", simple="SAP_FLUX", detrended_err="DET_FLUX_ERR",
        simple_err="DET_FLUX_ERR", mag="TESSMAG", flags={"QUALITY": 1 << 30}, keeps=_SPACECRAFT,
    ),
    # eleanor: Feinstein et al. 2019, PASP 131, 094502. Any bit is bad.
    Pipeline(
        name="eleanor", marks=("CORR_FLUX", "RAW_FLUX"), detrended="CORR_FLUX", simple="RAW_FLUX", unit="e-/s",
        detrended_err="FLUX_ERR", simple_err="FLUX_ERR", zero=_BTJD, flags={"QUALITY": -1}, mag="TMAG",
    ),
    # TASOC: Handberg et al. 2021, AJ 162, 170; Lund et al. 2021, ApJS 257, 53. Corrected flux is in ppm.
    Pipeline(
        name="TASOC", marks=("FLUX_CORR", "PIXEL_QUALITY"), detrended="FLUX_CORR", simple="FLUX_RAW", unit="ppm",
        detrended_err="FLUX_CORR_ERR", simple_err="FLUX_RAW_ERR", simple_unit="e-/s", mag="TESSMAG",
        flags={"QUALITY": 3, "PIXEL_QUALITY": 4335},
    ),
    # CDIPS: Bouma et al. 2019, ApJS 245, 13. Magnitudes in three apertures, of which the second is taken.
    Pipeline(
        name="CDIPS", marks=("TMID_BJD", "IRM2"), detrended="PCA2", simple="IRM2", detrended_err="IRE2",
        simple_err="IRE2", unit="mag", time="TMID_BJD", zero=0.0, flags={"IRQ2": -1}, mag="TESSMAG",
    ),
    # TGLC: Han & Brandt 2023, AJ 165, 71. Errors are in the header.
    Pipeline(
        name="TGLC", marks=("cal_aper_flux", "TGLC_flags"), detrended="cal_aper_flux", simple="aperture_flux",
        simple_unit="e-/s", error_cards={"cal_aper_flux": "CAPE_ERR", "aperture_flux": "APER_ERR"}, time="time",
        zero=_BTJD, flags={"TESS_flags": -1, "TGLC_flags": -1}, mag="TESSMAG", exposure="XPTIME",
    ),
    # EVEREST: Luger et al. 2018, AJ 156, 99. The mask is that of its own tools, and its bits for outliers and gaps.
    Pipeline(
        name="EVEREST", marks=("FRAW", "FRAW_ERR"), detrended="FLUX", simple="FRAW", detrended_err="FRAW_ERR",
        simple_err="FRAW_ERR", unit="e-/s", zero=_BKJD, flags={"QUALITY": 114175 | 1 << 23 | 1 << 24}, mag="KEPMAG",
    ),
    # K2SFF: Vanderburg & Johnson 2014, PASP 126, 948. Thruster firings are marked.
    Pipeline(
        name="K2SFF", marks=("FCOR", "FRAW", "MOVING"), detrended="FCOR", simple="FRAW", time="T", zero=_BKJD,
        flags={"MOVING": -1}, mag="KEPMAG",
    ),
    # K2SC: Aigrain, Parviainen & Pope 2016, MNRAS 459, 2408. Its table has no simple flux. Bit 0
    # of mflags says that the mission's flag is set.
    Pipeline(
        name="K2SC", marks=("trposi", "mflags"), detrended="flux", simple="flux", detrended_err="error",
        simple_err="error", unit="e-/s", time="time", zero=_BKJD, flags={"mflags": 1}, mag="KEPMAG", trend="trtime",
    ),
    # K2VARCAT: Armstrong et al. 2015, A&A 579, A19.
    Pipeline(
        name="K2VARCAT", marks=("DETFLUX", "APTFLUX"), detrended="DETFLUX", simple="APTFLUX",
        detrended_err="DETFLUX_ERR", simple_err="APTFLUX_ERR", zero=_BKJD, mag="KEPMAG",
    ),
)  # fmt: skip

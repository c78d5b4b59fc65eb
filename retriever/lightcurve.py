"""Light curves: one source, one band, one series of epochs, in one uniform form."""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from retriever.arrays import Array, Floats, Rows
from retriever.errors import DataError
from retriever.statistics import robust_moments

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["EPOCH_COLUMNS", "Lightcurve", "Reduction", "TimeSystem"]


Derived = TypeVar("Derived")

EPOCH_COLUMNS = ("time", "exptime", "flux", "flux_err", "mag", "mag_err", "flag", "qflag", "ra", "dec", "bjd_offset")
"""Columns that every light curve has, `ra` and `dec` where the survey gives positions."""

_UNITS = {"time": "d", "exptime": "s", "mag": "mag", "mag_err": "mag", "ra": "deg", "dec": "deg", "bjd_offset": "s"}
"""Units of the epoch columns that are the same for all light curves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeSystem:
    """What the times of a light curve mean.

    Attributes
    ----------
    scale
        Time scale: "utc", "tdb", "tt", ...
    reference
        Where the clock is: "observer", "heliocenter" or "barycenter".
    point
        Which moment of the exposure is meant.
    """

    scale: str = "utc"
    reference: str = "observer"
    point: Literal["start", "middle", "end"] = "start"


@dataclass(frozen=True, kw_only=True, eq=False)
class Lightcurve:
    """Photometry of one source in one band and series. Arrays are read-only and of one length.

    Attributes
    ----------
    band
        Name of the filter.
    series
        What distinguishes light curves of one band: an object id, a sector, a season; "" when nothing does.
    number, of
        This is light curve `number` (from 1) of `of` of its source and survey, ordered by start, then band and series.
    time
        MJD in days; `time_system` says of which clock and which moment.
    exptime
        Exposure time in seconds.
    flux, flux_err
        In `flux_unit`; `zero_point` is the magnitude of one unit.
    mag, mag_err
        Magnitudes; NaN where the flux is not positive.
    flag
        The survey's own quality bits, as they came.
    qflag
        True where the epoch is bad.
    ra, dec
        Measured position in degrees, where the survey gives one.
    bjd_offset
        What to add to `time` to have BJD_TDB in the middle of the exposure, in seconds; None before it is known. See
        `bjd`.
    extra
        Further columns by name, such as centroids in pixels or scores.

    Raises
    ------
    DataError
        When columns differ in length, or times are not finite and in order.

    Examples
    --------
    >>> lc = Lightcurve.from_columns(band="r", time=[1.0, 2.0], flux=[5.0, 6.0], flux_err=[1.0, 1.0],
    ...                              mag=[22.1, 21.9], mag_err=[0.2, 0.2], zero_point=23.9)
    >>> lc.n_epochs, lc.n_good
    (2, 2)
    """

    band: str
    time: Floats
    exptime: Floats
    flux: Floats
    flux_err: Floats
    mag: Floats
    mag_err: Floats
    flag: NDArray[np.int64]
    qflag: NDArray[np.bool_]
    ra: Floats | None = None
    dec: Floats | None = None
    bjd_offset: NDArray[np.float32] | None = None
    extra: Mapping[str, Array] = field(default_factory=dict)
    series: str = ""
    number: int = 1
    of: int = 1
    zero_point: float = 23.9
    flux_unit: str = "uJy"
    time_system: TimeSystem = TimeSystem()

    @classmethod
    def from_columns(
        cls,
        *,
        band: str,
        time: ArrayLike,
        flux: ArrayLike | None,
        flux_err: ArrayLike | None,
        mag: ArrayLike | None,
        mag_err: ArrayLike | None,
        **others: Any,
    ) -> "Lightcurve":
        """Build a light curve from sequences; exposure time, flags and positions may be left out."""
        time = np.asarray(time, np.float64)
        n = time.size
        floats = {"flux": flux, "flux_err": flux_err, "mag": mag, "mag_err": mag_err}
        floats["exptime"] = others.pop("exptime", None)
        columns: dict[str, Any] = {
            key: np.full(n, np.nan) if value is None else np.asarray(value, np.float64) for key, value in floats.items()
        }
        flag, qflag = others.pop("flag", None), others.pop("qflag", None)
        columns["flag"] = np.zeros(n, np.int64) if flag is None else np.asarray(flag, np.int64)
        columns["qflag"] = np.zeros(n, np.bool_) if qflag is None else np.asarray(qflag, np.bool_)
        return cls(band=band, time=time, **columns, **others)

    @classmethod
    def trusted(cls, **fields: Any) -> "Lightcurve":
        """A light curve of columns that were checked before, such as views of a stored batch; all fields are given."""
        new = object.__new__(cls)
        n = fields["time"].size
        own: dict[str, object] = {"ra": None, "dec": None, "bjd_offset": None}
        for name, value in fields.items():
            if name == "extra":
                own[name] = {key: _read_only(column, n, key) for key, column in value.items()}
            elif name in EPOCH_COLUMNS:
                own[name] = _read_only(value, n, name)
            else:
                own[name] = value
        new.__dict__.update(own)
        return new

    def __post_init__(self) -> None:
        n = self.time.size
        for name in EPOCH_COLUMNS:
            column = getattr(self, name)
            if column is not None:
                object.__setattr__(self, name, _read_only(column, n, name))
        object.__setattr__(self, "extra", {key: _read_only(col, n, key) for key, col in self.extra.items()})
        if n and not (
            np.isfinite(self.time[0]) and np.isfinite(self.time[-1]) and (self.time[1:] >= self.time[:-1]).all()
        ):
            raise DataError(f"times of a light curve in band {self.band!r} are not finite and in order; sort them")

    def __repr__(self) -> str:
        name = " ".join(filter(None, (self.band, self.series)))
        dates = f", MJD {self.time[0]:.2f} to {self.time[-1]:.2f}" if self.time.size else ""
        return f"<Lightcurve {self.number} of {self.of}: {name}, {self.time.size} epochs{dates}>"

    @property
    def n_epochs(self) -> int:
        """Number of epochs."""
        return int(self.time.size)

    @property
    def n_good(self) -> int:
        """Number of epochs that are not flagged as bad."""
        return int(self.time.size - np.count_nonzero(self.qflag))

    @property
    def bjd(self) -> Floats:
        """BJD_TDB of the middle of the exposures, as MJD in days; NaN where it is not known."""
        if self.bjd_offset is None:
            return np.full(self.time.size, np.nan)
        return self.time + self.bjd_offset / 86400.0

    @property
    def usable(self) -> NDArray[np.bool_]:
        """Epochs that are good and have a finite flux."""
        return self._derived("usable", lambda: np.isfinite(self.flux) & ~self.qflag)

    @property
    def flux_moments(self) -> tuple[float, float]:
        """Median and robust scatter of the flux of usable epochs."""
        return self._derived("flux_moments", lambda: robust_moments(self.flux[self.usable]))

    @property
    def mag_moments(self) -> tuple[float, float]:
        """Median and robust scatter of the magnitude of usable epochs that have one."""
        return self._derived("mag_moments", lambda: robust_moments(self.mag[self.usable & np.isfinite(self.mag)]))

    def _derived(self, name: str, derive: Callable[[], Derived]) -> Derived:
        """Derive a value once for each combination of the columns that it depends on."""
        known: dict[str, object] = self.__dict__.setdefault("_known", {})
        if name not in known:
            known[name] = derive()
        return cast("Derived", known[name])

    def columns(self) -> dict[str, Array]:
        """All per-epoch columns by name, `extra` included."""
        own = {name: getattr(self, name) for name in EPOCH_COLUMNS if getattr(self, name) is not None}
        return {**own, **self.extra}

    def to_pandas(self) -> "pd.DataFrame":
        """The columns of the epochs as a DataFrame with a row an epoch; the light curve itself stays as it is.

        ``attrs["units"]`` has the units of the columns, and ``attrs`` the band, series, number and zero point.

        Examples
        --------
        >>> lc = Lightcurve.from_columns(band="r", time=[1.0, 2.0], flux=[5.0, 6.0], flux_err=[1.0, 1.0],
        ...                              mag=[22.1, 21.9], mag_err=[0.2, 0.2])
        >>> frame = lc.to_pandas()
        >>> frame.flux.tolist(), frame.attrs["units"]["flux"], frame.attrs["band"]
        ([5.0, 6.0], 'uJy', 'r')
        """
        import pandas as pd

        columns = self.columns()
        frame = pd.DataFrame({name: column.copy() for name, column in columns.items()})
        units = {**_UNITS, "flux": self.flux_unit, "flux_err": self.flux_unit}
        frame.attrs = {name: getattr(self, name) for name in ("band", "series", "number", "zero_point")}
        frame.attrs["units"] = {name: unit for name, unit in units.items() if name in columns}
        return frame

    def replace(self, **changes: Any) -> "Lightcurve":
        """A copy in which some fields differ; columns that stay are not checked again."""
        if "time" in changes:
            return dataclasses.replace(self, **changes)
        new = object.__new__(Lightcurve)
        own = new.__dict__
        own.update(self.__dict__)
        if not changes.keys().isdisjoint(("flux", "mag", "qflag")):
            own.pop("_known", None)
        n = self.time.size
        for name, value in changes.items():
            if name not in own:
                raise TypeError(f"a light curve has no field {name!r}")
            if name == "extra":
                value = {key: _read_only(column, n, key) for key, column in value.items()}
            elif name in EPOCH_COLUMNS and value is not None:
                value = _read_only(value, n, name)
            own[name] = value
        return new


def _read_only(column: Array, n: int, name: str) -> Array:
    if column.shape != (n,):
        raise DataError(f"column {name!r} has shape {column.shape} where the light curve has {n} epochs")
    if column.flags.writeable:
        column = column.view()
        column.flags.writeable = False
    return column


@dataclass(frozen=True, slots=True, kw_only=True)
class Reduction:
    """Light curves of one source from one survey, and what of its raw rows is not in them as it came.

    Attributes
    ----------
    lightcurves
        The light curves.
    dropped
        How many raw rows were dropped, or have numbers that count as missing, by reason.
    dropped_rows
        Which rows these are, numbered from 0 through all raw tables; for plots of raw light curves. A reducer need not
        tell.
    """

    lightcurves: tuple[Lightcurve, ...]
    dropped: Mapping[str, int] = field(default_factory=dict)
    dropped_rows: Mapping[str, Rows] = field(default_factory=dict)

"""Splines with iterative clipping."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retriever.arrays import Floats
from retriever.detrending.trend import Detrender
from retriever.errors import ConfigError
from retriever.statistics import robust_moments

__all__ = ["Spline"]

_ROUNDS = 5


@dataclass(frozen=True, kw_only=True)
class Spline(Detrender):
    """The trend is a cubic spline fitted by least squares, again and again without the epochs far from it.

    The method of Vanderburg & Johnson (2014, PASP 126, 948). See `Detrender` for the other parameters.

    Parameters
    ----------
    knots
        Distance of the knots in days.
    clip
        Distance from the spline, in robust sigmas, beyond which epochs are left out of the next fit.

    Examples
    --------
    >>> from retriever.lightcurve import Lightcurve
    >>> time = np.arange(0.0, 10.0, 0.01)
    >>> flux = 100.0 + np.sin(time)
    >>> lc = Lightcurve.from_columns(band="r", time=time, flux=flux, flux_err=None, mag=None, mag_err=None)
    >>> float(np.ptp(Spline(knots=1.0).detrend(lc).flux).round(2))
    0.0
    """

    knots: float = 1.0
    clip: float = 3.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (self.knots > 0 and self.clip > 0):
            raise ConfigError("detrend.knots and detrend.clip must be above zero")

    def trend_of_piece(self, time: Floats, flux: Floats, use: NDArray[np.bool_]) -> Floats:
        """The spline's values."""
        from scipy.interpolate import make_lsq_spline

        kept = use.copy()
        trend = np.full(time.size, np.median(flux[use]))
        for _ in range(_ROUNDS):
            t, f = time[kept], flux[kept]
            t, first = np.unique(t, return_index=True)
            if t.size < 5:
                return trend
            inner = _knots_with_epochs(t, self.knots)
            ends = np.concatenate([[t[0]] * 4, inner, [t[-1]] * 4])
            fitted = make_lsq_spline(t, f[first], ends, k=3)
            trend = fitted(np.clip(time, t[0], t[-1]))
            center, scatter = robust_moments((flux - trend)[use])
            near = use & (np.abs(flux - trend - center) <= self.clip * scatter) if scatter > 0 else use
            if np.array_equal(near, kept):
                break
            kept = near
        return trend


def _knots_with_epochs(time: Floats, distance: float) -> Floats:
    """Inner knots, even in time, of which each interval between two has at least two epochs."""
    number = int((time[-1] - time[0]) / distance)
    wanted = np.linspace(time[0], time[-1], number + 2)[1:-1]
    kept: list[float] = []
    last = 2
    for knot, at in zip(wanted.tolist(), np.searchsorted(time, wanted).tolist(), strict=True):
        if at - last >= 2 and time.size - at >= 4:
            kept.append(knot)
            last = at
    return np.array(kept)

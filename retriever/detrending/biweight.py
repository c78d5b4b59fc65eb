"""Tukey's biweight in windows of time."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from retriever.arrays import Floats
from retriever.detrending.trend import Detrender
from retriever.detrending.windows import Windows, median_of_windows
from retriever.errors import ConfigError

__all__ = ["Biweight"]

_ITERATIONS = 10
_CLOSE = 1e-4
"""Change of a location, in units of the scatter, at which iteration ends."""


@dataclass(frozen=True, kw_only=True)
class Biweight(Detrender):
    """The trend is the biweight location of the epochs in a window; see `Detrender` for the other parameters.

    Of the sliders that Hippke et al. (2019, AJ 158, 143) compared, this one keeps transits best. Weights are
    (1 - (d / c)²)² for distances d from the location, below c = `cutoff` times the median absolute deviation.

    Parameters
    ----------
    window
        Length of the window in days; Hippke et al. advise three times the longest transit.
    cutoff
        Distance in median absolute deviations beyond which an epoch has no weight.

    Examples
    --------
    >>> from retriever.lightcurve import Lightcurve
    >>> time = np.arange(0.0, 10.0, 0.01)
    >>> flux = 100.0 + 0.01 * np.random.default_rng(1).standard_normal(1000)
    >>> flux[500:520] -= 1.0
    >>> lc = Lightcurve.from_columns(band="r", time=time, flux=flux, flux_err=None, mag=None, mag_err=None)
    >>> float(np.median(Biweight(window=1.0).detrend(lc).flux[500:520]).round(1))
    99.0
    """

    window: float = 1.0
    cutoff: float = 5.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (self.window > 0 and self.cutoff > 0):
            raise ConfigError("detrend.window and detrend.cutoff must be above zero")

    def fitter(self, time: Floats, flux: Floats) -> Callable[[NDArray[np.bool_]], Floats]:
        """Locations around nodes, interpolated."""
        return partial(Windows(time, self.window, self._locations, needs_time=False).trend, flux)

    def _locations(self, _: Floats, flux: Floats, count: NDArray[np.int64]) -> Floats:
        location = median_of_windows(_, flux, count)
        scatter = median_of_windows(_, np.abs(flux - location[:, None]), count)
        reach = np.where(scatter > 0, self.cutoff * scatter, np.inf)
        going = np.arange(count.size)
        for _round in range(_ITERATIONS):
            distance = flux[going] - location[going, None]
            share = distance / reach[going, None]
            weight = np.where(np.abs(share) < 1.0, (1.0 - share * share) ** 2, 0.0)
            with np.errstate(invalid="ignore", divide="ignore"):
                step = np.nansum(weight * distance, axis=1) / weight.sum(axis=1)
            step = np.where(np.isfinite(step), step, 0.0)
            location[going] += step
            going = going[np.abs(step) > _CLOSE * scatter[going]]
            if not going.size:
                break
        return location

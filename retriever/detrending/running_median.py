"""Running median."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retriever.arrays import Floats
from retriever.detrending.trend import Detrender
from retriever.detrending.windows import Windows, median_of_windows
from retriever.errors import ConfigError

__all__ = ["RunningMedian"]


@dataclass(frozen=True, kw_only=True)
class RunningMedian(Detrender):
    """The trend is the median of the epochs in a window of time; see `Detrender` for the other parameters.

    A curved trend is flattened at its extremes. Twicing (Tukey 1977, Exploratory Data Analysis, ch. 16), which adds
    the running median of what the first one left, removes most of that.

    Parameters
    ----------
    window
        Length of the window in days; events longer than a third of it are weakened.
    passes
        1, or 2 for twicing.

    Examples
    --------
    >>> from retriever.lightcurve import Lightcurve
    >>> time = np.arange(0.0, 10.0, 0.01)
    >>> flux = 100.0 + np.sin(time)
    >>> lc = Lightcurve.from_columns(band="r", time=time, flux=flux, flux_err=None, mag=None, mag_err=None)
    >>> float(np.ptp(RunningMedian(window=0.5).detrend(lc).flux[50:-50]).round(3))
    0.016
    """

    window: float = 0.5
    passes: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.window > 0 or self.passes not in (1, 2):
            raise ConfigError("detrend.window must be above zero, and detrend.passes 1 or 2")

    def fitter(self, time: Floats, flux: Floats) -> Callable[[NDArray[np.bool_]], Floats]:
        """Medians around nodes, interpolated."""
        passes = [Windows(time, self.window, median_of_windows, needs_time=False) for _ in range(self.passes)]

        def fit(use: NDArray[np.bool_]) -> Floats:
            trend = np.zeros(time.size)
            for windows in passes:
                trend = trend + windows.trend(flux - trend, use)
            return trend

        return fit

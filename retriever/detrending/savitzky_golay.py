"""Local polynomials, as Savitzky and Golay fit them, for even and uneven sampling."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from retriever.arrays import Floats
from retriever.detrending.trend import Detrender
from retriever.detrending.windows import Windows
from retriever.errors import ConfigError

__all__ = ["SavitzkyGolay"]


@dataclass(frozen=True, kw_only=True)
class SavitzkyGolay(Detrender):
    """The trend is the value of a polynomial fitted by least squares to the epochs in a window.

    On even sampling this is the filter of Savitzky & Golay (1964, Anal. Chem. 36, 1627). It follows curved trends
    better than a median and is led astray by outliers, so the mask is needed. See `Detrender` for the other
    parameters.

    Parameters
    ----------
    window
        Length of the window in days.
    degree
        Degree of the polynomial.

    Examples
    --------
    >>> from retriever.lightcurve import Lightcurve
    >>> time = np.arange(0.0, 10.0, 0.01)
    >>> flux = 100.0 + (time - 5.0) ** 2
    >>> lc = Lightcurve.from_columns(band="r", time=time, flux=flux, flux_err=None, mag=None, mag_err=None)
    >>> float(np.ptp(SavitzkyGolay(window=1.0).detrend(lc).flux).round(2))
    0.0
    """

    window: float = 1.0
    degree: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.window > 0 or not 0 <= self.degree <= 5:
            raise ConfigError("detrend.window must be above zero, and detrend.degree 0 to 5")

    def fitter(self, time: Floats, flux: Floats) -> Callable[[NDArray[np.bool_]], Floats]:
        """Values of local polynomials at nodes, interpolated."""
        return partial(Windows(time, self.window, self._values).trend, flux)

    def _values(self, time: Floats, flux: Floats, count: NDArray[np.int64]) -> Floats:
        inside = np.isfinite(flux)
        x = np.where(inside, time, 0.0) / (0.5 * self.window)
        y = np.where(inside, flux, 0.0)
        level = y.sum(axis=1) / np.maximum(count, 1)
        y = np.where(inside, y - level[:, None], 0.0)
        powers = [np.where(inside, x**k, 0.0) for k in range(2 * self.degree + 1)]
        sums = np.stack([power.sum(axis=1) for power in powers], axis=1)
        order = np.arange(self.degree + 1)
        matrix = sums[:, order[:, None] + order]
        right = np.stack([(powers[k] * y).sum(axis=1) for k in order.tolist()], axis=1)
        # too few epochs for the degree, or all on one side: the mean instead of a wild polynomial
        solvable = (count > self.degree + 1) & (np.linalg.cond(matrix) < 1e10)
        matrix[~solvable] = np.eye(self.degree + 1)
        fitted = np.linalg.solve(matrix, right[..., None])[:, 0, 0]
        return np.where(count > 0, level + np.where(solvable, fitted, 0.0), np.nan)

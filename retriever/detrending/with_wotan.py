"""The trends of wotan."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retriever.arrays import Floats
from retriever.detrending.trend import Detrender
from retriever.errors import ConfigError

__all__ = ["METHODS", "Wotan"]

METHODS = (
    "andrewsinewave", "biweight", "cosine", "hampelfilt", "hodges", "huber_psi", "lowess", "mean", "median", "rspline",
    "tau", "trim_mean", "welsch", "winsorize",
)  # fmt: skip
"""Methods of wotan, by their names there."""


@dataclass(frozen=True, kw_only=True)
class Wotan(Detrender):
    """The trend is that of wotan (Hippke et al. 2019, AJ 158, 143): ``pip install 'retriever[wotan]'``.

    Gaps, candidates and edges are treated as for all detrenders; see `Detrender` for these parameters.

    Parameters
    ----------
    method
        One of `METHODS`, which need a window and no further package.
    window
        Length of the window in days.
    """

    method: str = "welsch"
    window: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.method not in METHODS:
            raise ConfigError(f"detrend.method is {self.method!r}; it is one of {', '.join(METHODS)}")
        _package()
        if not self.window > 0:
            raise ConfigError(f"detrend.window is {self.window:g}; give a length in days above zero")

    def trend_of_piece(self, time: Floats, flux: Floats, use: NDArray[np.bool_]) -> Floats:
        """Trend of the epochs to use, interpolated."""
        t, f = time[use], flux[use]
        # it needs a trend that is positive, near one: the flux over its median, or over more around zero
        center = float(np.median(f))
        unit = max(center, 2.0 * float(np.abs(f - center).max())) or 1.0
        _, trend = _package().flatten(
            t, 1.0 + (f - center) / unit, method=self.method, window_length=self.window, break_tolerance=0,
            edge_cutoff=0, return_trend=True,
        )  # fmt: skip
        known = np.isfinite(trend)
        if not known.any():
            return np.full(time.size, np.median(f))
        return np.asarray(np.interp(time, t[known], center + (trend[known] - 1.0) * unit))


def _package() -> Any:
    try:
        import wotan
    except ImportError as error:
        raise ConfigError("detrend=wotan needs the package wotan; pip install 'retriever[wotan]'") from error
    return wotan

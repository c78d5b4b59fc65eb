"""A rotation as a sum of harmonics."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retriever.arrays import Floats
from retriever.detrending.trend import Detrender
from retriever.errors import ConfigError
from retriever.statistics import robust_moments

__all__ = ["Harmonic"]

_ROUNDS = 5
_CLIP = 4.0

_FEW = 2000
"""Epochs that the period is refined with."""


@dataclass(frozen=True, kw_only=True)
class Harmonic(Detrender):
    """The trend is a straight line and the harmonics of one period, fitted by least squares.

    The period is given, or that of the highest peak of the Lomb-Scargle periodogram (Zechmeister & Kürster 2009, A&A
    496, 577) between two limits. Epochs farther from the fit than four robust sigmas are left out of the next one. See
    `Detrender` for the other parameters; set `gap` so that a piece covers a period.

    Parameters
    ----------
    period
        In days; 0 to look for it.
    shortest, longest
        Limits of the search in days; a longest of 0 is the length of the piece.
    harmonics
        Number of sines: the period's own, that of half of it, and so on.

    Examples
    --------
    >>> from retriever.lightcurve import Lightcurve
    >>> time = np.arange(0.0, 20.0, 0.02)
    >>> flux = 100.0 + np.sin(2 * np.pi * time / 4.87) + 0.3 * np.sin(4 * np.pi * time / 4.87)
    >>> lc = Lightcurve.from_columns(band="r", time=time, flux=flux, flux_err=None, mag=None, mag_err=None)
    >>> bool(np.ptp(Harmonic().detrend(lc).flux) < 0.01)
    True
    """

    period: float = 0.0
    shortest: float = 0.1
    longest: float = 0.0
    harmonics: int = 3
    gap: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.harmonics < 1 or not self.shortest > 0 or self.period < 0:
            raise ConfigError("detrend.harmonics must be 1 or more, shortest above zero, and period zero or more")

    def trend_of_piece(self, time: Floats, flux: Floats, use: NDArray[np.bool_]) -> Floats:
        """The fit's values."""
        kept = use
        trend = np.full(time.size, np.median(flux[use]))
        if np.count_nonzero(use) <= 2 * self.harmonics + 2:
            return trend
        period = self.period or self._period(time[use], flux[use])
        design = self._design(time, period)
        for _ in range(_ROUNDS):
            trend = design @ np.linalg.lstsq(design[kept], flux[kept], rcond=None)[0]
            center, scatter = robust_moments((flux - trend)[use])
            near = use & (np.abs(flux - trend - center) <= _CLIP * scatter) if scatter > 0 else use
            if np.array_equal(near, kept) or np.count_nonzero(near) <= 2 * self.harmonics + 2:
                break
            kept = near
        return np.asarray(trend)

    def _design(self, time: Floats, period: float) -> Floats:
        phase = 2.0 * np.pi * (time - time[0]) / period
        waves = [wave(k * phase) for k in range(1, self.harmonics + 1) for wave in (np.sin, np.cos)]
        return np.column_stack([np.ones(time.size), (time - time[0]) / max(time[-1] - time[0], 1e-9), *waves])

    def _period(self, time: Floats, flux: Floats) -> float:
        """The period of the periodogram's peak, refined to that of the smallest residuals from all harmonics."""
        from astropy.timeseries import LombScargle
        from scipy.optimize import minimize_scalar

        span = time[-1] - time[0]
        longest = self.longest or span
        center, scatter = robust_moments(flux)
        calm = np.clip(flux, center - 5 * scatter, center + 5 * scatter) if scatter > 0 else flux
        frequency = np.arange(1.0 / longest, 1.0 / self.shortest, 0.1 / span)
        if not frequency.size:
            return float(longest)
        best = float(frequency[np.argmax(LombScargle(time, calm).power(frequency))])
        few = np.linspace(0, time.size - 1, min(time.size, _FEW)).astype(np.int64)

        def misfit(trial: float) -> float:
            design = self._design(time[few], 1.0 / trial)
            fitted = design @ np.linalg.lstsq(design, calm[few], rcond=None)[0]
            return float(np.sum((calm[few] - fitted) ** 2))

        limits = (max(best - 0.3 / span, 0.3 * best), best + 0.3 / span)
        return float(1.0 / minimize_scalar(misfit, bounds=limits, method="bounded", options={"xatol": 1e-5 * best}).x)

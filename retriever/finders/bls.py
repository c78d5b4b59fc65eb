"""Finds transiting planets and eclipses: the box least squares periodogram."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from retriever.arrays import Floats
from retriever.detection import Detection
from retriever.errors import ConfigError
from retriever.finders.events import find_in_one
from retriever.finders.transits import Candidate, described, search_each
from retriever.lightcurve import Lightcurve
from retriever.lightcurves import LightcurveBatch
from retriever.noise import check_noise_model
from retriever.schema import Columns
from retriever.statistics import robust_moments, running_medians

__all__ = ["BLSFinder", "period_grid"]

_SOLAR = 0.0756
"""(R / (G M)^(1/3)) (2π)^(2/3) / π of the Sun, in d^(2/3): the duration of a central transit is this times P^(1/3)."""


@dataclass(frozen=True, kw_only=True)
class BLSFinder:
    """The box-shaped dip that repeats most clearly (Kovács, Zucker & Mazeh 2002, A&A 391, 369), one a light curve.

    Periods lie on the grid of Ofir (2014, A&A 561, A138), which is as fine as a transit of the star's density needs,
    and are refined around the best one. Epochs are averaged in bins of a third of the shortest duration first. The
    periodogram is that of astropy. Light curves should be detrended first, in windows three times as long as the
    longest duration (``detrend=biweight``).

    The signal detection efficiency (SDE) of a period is the square root of its likelihood less the running median of
    those of neighbouring periods, in their robust standard deviations, which the harmonics of a strong signal do not
    inflate. The S/N is the depth over its error.

    Parameters
    ----------
    sde_threshold
        Least SDE. Of 150 light curves of white noise as long as a sector, one in a hundred exceeds 8.1.
    snr_threshold
        Least S/N of the depth; of the same light curves, one in a hundred exceeds 5.9 and none 6.2.
    shortest, longest
        Limits of the period in days; a longest of 0 is the length of the light curve over `transits`.
    durations
        Durations that are tried, in days.
    transits
        Fewest transits that must have been observed.
    stellar_density
        Mean density of the stars in units of the Sun's, for which the grid of periods is fine enough.
    oversampling
        How many times finer the grid is than a transit needs at least.
    clip
        Brightenings above so many times the noise, such as flares, are left out; 0 for none.
    noise
        How the noise of an epoch is judged; see `retriever.noise`.

    Examples
    --------
    >>> time, rng = np.arange(0.0, 27.0, 0.02), np.random.default_rng(1)
    >>> flux = 1000.0 - 5.0 * ((time - 0.7) % 3.3 < 0.12) + rng.standard_normal(time.size)
    >>> lc = Lightcurve.from_columns(band="TESS", time=time, flux=flux, flux_err=np.ones(time.size),
    ...                              mag=None, mag_err=None)
    >>> _, (event,) = BLSFinder().find(lc)
    >>> round(event.period, 2), round(event.amplitude), event.sde > 7
    (3.3, -5, True)
    """

    sde_threshold: float = 7.0
    snr_threshold: float = 7.0
    shortest: float = 0.5
    longest: float = 0.0
    durations: tuple[float, ...] = (0.03, 0.05, 0.08, 0.12, 0.18, 0.27)
    transits: int = 2
    stellar_density: float = 1.0
    oversampling: float = 3.0
    clip: float = 4.0
    noise: str = "rescaled"

    def __post_init__(self) -> None:
        check_noise_model(self.noise, "finder.noise")
        if not self.durations or not 0 < min(self.durations) <= max(self.durations) < self.shortest:
            raise ConfigError("finder.durations must be above zero and shorter than finder.shortest")
        if self.transits < 2 or not self.stellar_density > 0 or not self.oversampling >= 1:
            raise ConfigError(
                "finder.transits must be 2 or more, finder.stellar_density above zero, finder.oversampling 1 or more"
            )

    def find(self, lightcurve: Lightcurve) -> tuple[Mapping[str, Any], tuple[Detection, ...]]:
        """Give the score `snr` of every epoch by itself, and the most significant periodic dip."""
        return find_in_one(self, lightcurve)

    def find_many(self, batch: LightcurveBatch) -> tuple[Columns, Columns]:
        """The same as `find`, for all light curves of a batch, one after the other."""
        return search_each(self, batch, self._search)

    def _search(self, time: Floats, flux: Floats, noise: Floats) -> dict[str, Any]:
        """The best period of one light curve; empty where none is significant."""
        from astropy.timeseries import BoxLeastSquares

        span = time[-1] - time[0] if time.size else 0.0
        longest = self.longest or span / self.transits
        if time.size < 10 or longest <= self.shortest:
            return {}
        model = BoxLeastSquares(*_binned(time, flux, noise, min(self.durations) / 3.0))
        periods = period_grid(span, self.shortest, longest, self.stellar_density, self.oversampling)
        result = model.power(periods, self.durations)
        contrast = np.sqrt(np.maximum(result.power, 0.0) * 2.0) * np.where(result.depth > 0, 1.0, 0.0)
        height = contrast - running_medians(contrast, max(periods.size // 20, 25))
        best = int(np.argmax(height))
        center, scatter = robust_moments(height)
        sde = float((height[best] - center) / scatter) if scatter > 0 else 0.0
        if sde < self.sde_threshold:
            return {}
        near = slice(max(best - 1, 0), best + 2)
        fine = np.linspace(periods[near].min(), periods[near].max(), 60)
        refined = model.power(fine, self.durations, oversample=20)
        at = int(np.argmax(np.where(refined.depth > 0, refined.power, -np.inf)))
        period, duration = float(fine[at]), float(refined.duration[at])
        middle = float(refined.transit_time[at])
        duration, middle = _fitted_box(time, flux, noise, period, duration, middle)
        return described(time, flux, noise, Candidate(
            period=period, duration=duration, middle=middle, sde=sde, n_periods=periods.size
        ), snr_threshold=self.snr_threshold, transits=self.transits)  # fmt: skip


def _fitted_box(
    time: Floats, flux: Floats, noise: Floats, period: float, duration: float, middle: float
) -> tuple[float, float]:
    """Duration and middle of the box of highest likelihood near given ones, on all epochs, for a period."""
    from_middle = (time - middle + 0.5 * period) % period - 0.5 * period
    order = np.argsort(from_middle, kind="stable")
    phase, weight = from_middle[order], noise[order] ** -2.0
    sums = np.concatenate([[0.0], np.cumsum(weight * flux[order])])
    weights = np.concatenate([[0.0], np.cumsum(weight)])
    trials = np.meshgrid(duration * np.geomspace(0.5, 1.6, 36), duration * np.linspace(-0.4, 0.4, 33), indexing="ij")
    lengths, shifts = (np.ravel(trial) for trial in trials)
    first, last = (np.searchsorted(phase, shifts + half * lengths) for half in (-0.5, 0.5))
    share = (weights[last] - weights[first]) / weights[-1]
    missing = (sums[-1] * share - (sums[last] - sums[first])) / weights[-1]
    with np.errstate(invalid="ignore", divide="ignore"):
        likelihood = np.where((missing > 0) & (share > 0) & (share < 0.5), missing**2 / (share * (1.0 - share)), -1.0)
    # where no epoch lies between boxes they are equally likely, and their mean is taken
    best = np.flatnonzero(likelihood >= likelihood.max() * (1.0 - 1e-9))
    return float(np.mean(lengths[best])), float(middle + np.mean(shifts[best]))


def period_grid(span: float, shortest: float, longest: float, density: float, oversampling: float) -> Floats:
    """Periods, longest first, between which a transit never shifts by more than a share of its duration (Ofir 2014).

    The frequencies are even in their cube root: f = (A x / 3 + C)³, A = (2π)^(2/3) / π · R / (G M)^(1/3) / (S · OS).

    Parameters
    ----------
    span
        Length of the observation in days.
    shortest, longest
        Limits in days.
    density
        Of the star, in units of the Sun's.
    oversampling
        Steps within one duration over the span.

    Examples
    --------
    >>> grid = period_grid(27.0, 0.5, 13.5, 1.0, 3.0)
    >>> grid.size, grid[0].round(1).item(), grid[-1].round(1).item()
    (2701, 13.5, 0.5)
    """
    low, high = (1.0 / longest) ** (1.0 / 3.0), (1.0 / shortest) ** (1.0 / 3.0)
    step = _SOLAR * density ** (-1.0 / 3.0) / (span * oversampling) / 3.0
    number = max(int(np.ceil((high - low) / step)) + 1, 2)
    return np.asarray(1.0 / np.linspace(low, high, number) ** 3)


def _binned(time: Floats, flux: Floats, noise: Floats, width: float) -> tuple[Floats, Floats, Floats]:
    """Weighted means of the epochs in bins of time: their times, fluxes and errors."""
    cell = np.floor((time - time[0]) / width).astype(np.int64)
    start = np.flatnonzero(np.diff(cell, prepend=-1))
    if start.size == time.size:
        return time, flux, noise
    weight = 1.0 / noise**2
    total = np.add.reduceat(weight, start)
    return (
        np.add.reduceat(weight * time, start) / total,
        np.add.reduceat(weight * flux, start) / total,
        1.0 / np.sqrt(total),
    )

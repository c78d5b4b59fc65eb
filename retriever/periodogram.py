"""The generalized Lomb-Scargle periodogram of one light curve, or of several bands together.

Of several light curves each has a mean and a sinusoid of its own, all with one period (VanderPlas & Ivezić 2015, ApJ
812, 18, their model with no common terms): the power is the share by which the sinusoids lower the chi-square of all.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retriever.arrays import Floats
from retriever.errors import ConfigError

__all__ = ["FEWEST_EPOCHS", "Peak", "Series", "highest_peak", "log_false_alarm_probability", "phases"]

FEWEST_EPOCHS = 10
"""Epochs below which a light curve has no periodogram."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Series:
    """Epochs of one light curve: times in days, flux, and the noise of the flux."""

    time: Floats
    flux: Floats
    noise: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Peak:
    """The highest peak of a periodogram.

    Attributes
    ----------
    frequency
        In cycles a day.
    power
        Share of the chi-square that sinusoids of this frequency explain, from 0 to 1.
    log_fap
        Natural logarithm of the probability that noise alone has a higher peak at any frequency.
    """

    frequency: float
    power: float
    log_fap: float


def highest_peak(
    curves: Sequence[Series], *, shortest: float, longest: float = 0.0, oversampling: float = 5.0
) -> Peak | None:
    """The period that fits light curves best, each with a mean and sinusoid of its own.

    The periodograms are those of astropy, or of nifty-ls where it is installed.

    Parameters
    ----------
    curves
        Those with fewer than `FEWEST_EPOCHS` epochs are left out. Times must be of one clock.
    shortest, longest
        Limits of the period in days; a longest of 0 is the length of all light curves together.
    oversampling
        Frequencies within the width of a peak, which is one over that length.

    Returns
    -------
    Peak or None
        None where there is nothing to search.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> def band(mean, height):
    ...     time = np.sort(rng.uniform(0.0, 100.0, 60))
    ...     flux = mean + height * np.sin(2 * np.pi * time / 0.62) + rng.standard_normal(60)
    ...     return Series(time=time, flux=flux, noise=np.ones(60))
    >>> peak = highest_peak([band(100.0, 1.2), band(200.0, 1.0)], shortest=0.1)
    >>> round(1 / peak.frequency, 2), bool(peak.log_fap < np.log(1e-3))
    (0.62, True)
    """
    from astropy.timeseries import LombScargle

    curves = [curve for curve in curves if curve.time.size >= FEWEST_EPOCHS and curve.time[-1] > curve.time[0]]
    squares = [_chi_square_of_mean(curve) for curve in curves]
    varying = [(curve, square) for curve, square in zip(curves, squares, strict=True) if square > 0]
    if not varying:
        return None
    span = max(curve.time[-1] for curve in curves) - min(curve.time[0] for curve in curves)
    step, low, high = 1.0 / (oversampling * span), 1.0 / (longest or span), 1.0 / shortest
    frequency = np.arange(low, high, step)
    if frequency.size < 2:
        return None
    curves, total = [curve for curve, _ in varying], np.array([square for _, square in varying])
    models = [LombScargle(curve.time, curve.flux, curve.noise) for curve in curves]
    shares = (total / total.sum()).tolist()

    def power(at: Floats, method: str) -> Floats:
        parts = [
            share * model.power(at, method=method, assume_regular_frequency=True)
            for share, model in zip(shares, models, strict=True)
        ]
        return np.asarray(np.sum(parts, axis=0))

    # nothing but the place of the highest is taken of the fast method, whose last bits differ from run to run
    best = float(frequency[np.argmax(power(frequency, _fastest_method()))])
    for reach in _REACHES:
        fine = np.clip(best, low + reach * step, None) + reach * step * np.array([-1.0, 0.0, 1.0])
        best = _vertex(fine, power(fine, "cython"))
    top = min(float(power(np.array([best]), "cython")[0]), 1.0 - 1e-15)
    if not top > 0.0:
        return None
    return Peak(frequency=best, power=top, log_fap=log_false_alarm_probability(top, curves, high))


_REACHES = (1.0, 0.1)
"""Steps of the grid from the best frequency so far at which the next parabola has its points."""


def _vertex(x: Floats, y: Floats) -> float:
    """Where the parabola through three evenly spaced points is highest, at most one step from them."""
    below, middle, above = y.tolist()
    bend = below - 2.0 * middle + above
    if not bend < 0.0:
        return float(x[np.argmax(y)])
    return float(x[1] + np.clip(0.5 * (below - above) / bend, -1.0, 1.0) * (x[1] - x[0]))


def _chi_square_of_mean(curve: Series) -> float:
    weight = curve.noise**-2.0
    return float(np.sum(weight * (curve.flux - np.average(curve.flux, weights=weight)) ** 2))


def _fastest_method() -> str:
    try:
        import nifty_ls  # noqa: F401  it adds its method to astropy's
    except ImportError:
        return "fast"
    return "fastnifty"


def log_false_alarm_probability(power: float, curves: Sequence[Series], highest: float) -> float:
    r"""Natural logarithm of the probability that noise has a higher peak up to a frequency, at most 0.

    That of Baluev (2008, MNRAS 385, 1279) for one light curve, and its like for K of them with N epochs. The power of
    one frequency has a beta distribution of K and b = (N - 3 K) / 2. The rate at which it crosses a level p upward
    follows as Davies (1987, Biometrika 74, 33) has it, from a unit vector on the sphere of N - K dimensions that is
    projected on 2 K of them:

    .. math:: W \frac{\Gamma(K + b)}{\Gamma(K)\,\Gamma(b + 1/2)}\, p^{K - 1/2} (1 - p)^{b - 1/2}

    W is the highest frequency times the effective length of the light curves, of several the root of their mean square.

    Parameters
    ----------
    power
        Of the normalized periodogram, 0 to 1.
    curves
        The light curves it is of.
    highest
        Highest frequency.
    """
    from scipy.special import gammaln, logsumexp

    k, n = len(curves), sum(curve.time.size for curve in curves)
    squares = []
    for curve in curves:
        weight = curve.noise**-2.0
        mean = np.average(curve.time, weights=weight)
        squares.append(4.0 * np.pi * np.average((curve.time - mean) ** 2, weights=weight))
    width = highest * np.sqrt(np.mean(squares))
    b = 0.5 * (n - 3 * k)
    if b <= 0.5:
        return 0.0
    terms = np.arange(k)
    rest, log_power = np.log1p(-power), np.log(power)
    single = b * rest + logsumexp(terms * log_power + gammaln(b + terms) - gammaln(b) - gammaln(terms + 1.0))
    crossings = (
        np.log(width) + (k - 0.5) * log_power + (b - 0.5) * rest + gammaln(k + b) - gammaln(k) - gammaln(b + 0.5)
    )
    both = np.logaddexp(single, crossings)
    if both < -20.0:  # where the exact form would lose its digits
        return float(both)
    return float(np.log(-np.expm1(np.log1p(-np.exp(single)) - np.exp(crossings))))


def phases(time: Floats, period: float, epoch: float | None = None) -> tuple[Floats, NDArray[np.int64]]:
    """Phase (0 to 1) and number of the cycle at some times.

    Examples
    --------
    >>> phase, cycle = phases(np.array([1.0, 2.5, 5.0]), 2.0)
    >>> phase.tolist(), cycle.tolist()
    ([0.0, 0.75, 0.0], [0, 0, 2])
    """
    if not period > 0:
        raise ConfigError(f"a period of {period:g} d; give one above zero")
    if epoch is None:
        epoch = float(time[0]) if time.size else 0.0
    turns = (time - epoch) / period
    cycle = np.floor(turns)
    return turns - cycle, cycle.astype(np.int64)

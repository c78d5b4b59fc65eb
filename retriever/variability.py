"""How variable light curves are: numbers that sum one light curve up, or several of a source together."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from retriever.arrays import Floats
from retriever.statistics import median, robust_moments

__all__ = ["FEWEST_EPOCHS", "MEASURES", "Photometry", "measures", "stetson_j"]

FEWEST_EPOCHS = 5
"""Epochs below which a light curve has no measures."""

MEASURES = {
    "amplitude": "half the range from the 5th to the 95th percentile of the flux, as a share of its median",
    "excess_scatter": "robust scatter beyond the median error, as a share of the flux; negative where it is less",
    "chi2": "chi-square of a constant flux per degree of freedom",
    "von_neumann": "mean square of successive differences over the variance: 2 for noise, less for slow changes",
    "stetson_j": "correlation of neighbouring epochs: 0 for noise, -0.2 where all are single, large for true changes",
    "stetson_k": "mean over root mean square of |deviation|: 0.798 for noise, 0.9 for a sinusoid, less for outliers",
    "skewness": "third standardized moment of the flux, corrected for few epochs; negative for dips",
    "asymmetry": "mean of the lowest and highest tenth less the median, in standard deviations; negative for dips",
}
"""Names of the measures, and what they are."""

_LOW, _HIGH = 5.0, 95.0
"""Percentiles that the amplitude lies between, so that single outliers do not count."""

_WEIGHT_OF_SINGLE = 0.5
"""Weight of an epoch without a neighbour in Stetson's J, where a pair has 1."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Photometry:
    """Usable epochs of one light curve, in the order of time; errors may be NaN."""

    time: Floats
    flux: Floats
    flux_err: Floats

    @cached_property
    def has_errors(self) -> bool:
        """Whether any epoch has an error."""
        return bool((self.flux_err > 0).any())

    @cached_property
    def errors(self) -> Floats:
        """Errors; the median error where one is missing, the scatter where all are."""
        known = self.flux_err > 0
        if not known.any():
            # of a light curve most of whose fluxes are equal the robust scatter is zero
            return np.full(self.flux.size, self.moments[1] or float(np.std(self.flux)))
        return np.where(known, self.flux_err, median(self.flux_err[known]))

    @cached_property
    def typical_error(self) -> float:
        """Median of the errors."""
        return median(self.errors)

    @cached_property
    def moments(self) -> tuple[float, float]:
        """Median and robust scatter of the flux."""
        return robust_moments(self.flux)

    @cached_property
    def deviations(self) -> Floats:
        """Distances from the weighted mean in units of the errors, times sqrt(n / (n - 1)) (Stetson 1996)."""
        n = self.flux.size
        with np.errstate(invalid="ignore", divide="ignore"):
            weight = self.errors**-2.0
            mean = np.sum(weight * self.flux) / np.sum(weight)
            return np.asarray(np.sqrt(n / (n - 1)) * (self.flux - mean) / self.errors)


def measures(curves: Sequence[Photometry], within: float = 0.025) -> dict[str, float]:
    """Measures of variability of one light curve, or of several together.

    Together, each light curve is compared with its own mean, median and typical error; then all epochs count alike.

    Parameters
    ----------
    curves
        Those with fewer than `FEWEST_EPOCHS` epochs are left out.
    within
        Days up to which epochs are neighbours for Stetson's J.

    Returns
    -------
    dict
        A number for each of `MEASURES`. NaN where it is not defined: all of them without epochs, `excess_scatter` and
        `chi2` without errors, shares of the flux where its median is not positive, all but these for a constant flux.

    Notes
    -----
    amplitude: after Richards et al. (2011, ApJ 733, 10), flux percentile ranges. excess_scatter: Vaughan et al. (2003,
    MNRAS 345, 1271), with the robust scatter. von_neumann: von Neumann (1941, Ann. Math. Stat. 12, 367). stetson_j,
    stetson_k: Stetson (1996, PASP 108, 851), in flux. asymmetry: M of Cody et al. (2014, AJ 147, 82), in flux, so that
    its sign is the other one.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> time, noise = np.arange(2000) * 0.01, rng.standard_normal(2000)
    >>> slow = Photometry(time=time, flux=1000 + 5 * np.sin(time) + noise, flux_err=np.ones(2000))
    >>> {name: round(value, 2) for name, value in measures([slow]).items() if name in ("chi2", "von_neumann")}
    {'chi2': 12.97, 'von_neumann': 0.16}
    """
    curves = [curve for curve in curves if curve.flux.size >= FEWEST_EPOCHS]
    found = dict.fromkeys(MEASURES, float("nan"))
    if not curves:
        return found
    with np.errstate(invalid="ignore", divide="ignore"):
        positive = [curve for curve in curves if curve.moments[0] > 0]
        if positive:
            relative = np.concatenate([curve.flux / curve.moments[0] for curve in positive])
            low, high = np.percentile(relative, (_LOW, _HIGH)).tolist()
            found["amplitude"] = 0.5 * (high - low)
        found["excess_scatter"] = _excess_scatter([curve for curve in positive if curve.has_errors])
        known = [curve.deviations for curve in curves if curve.has_errors]
        if known:
            # deviations have a factor of n / (n - 1) in their squares already
            squares = sum(float(np.sum(one**2)) * (1.0 - 1.0 / one.size) for one in known)
            found["chi2"] = squares / sum(one.size - 1 for one in known)
        centered = [(curve.flux - curve.flux.mean()) / curve.typical_error for curve in curves]
        steps = sum(float(np.sum(np.diff(one) ** 2)) for one in centered)
        variance = sum(float(np.sum(one**2)) for one in centered)
        if not variance > 0 or not np.isfinite(variance):
            return found
        found["von_neumann"] = steps / variance
        time = np.concatenate([curve.time for curve in curves])
        deviation = np.concatenate([curve.deviations for curve in curves])
        found["stetson_j"] = stetson_j(time, deviation, within)
        found["stetson_k"] = float(np.mean(np.abs(deviation)) / np.sqrt(np.mean(deviation**2)))
        found["skewness"] = _skewness(np.concatenate(centered))
        found["asymmetry"] = _asymmetry(np.concatenate([(c.flux - c.moments[0]) / c.typical_error for c in curves]))
    return found


def _excess_scatter(curves: Sequence[Photometry]) -> float:
    """Root of the mean excess variance, with its sign."""
    if not curves:
        return float("nan")
    excess = [(c.moments[1] ** 2 - c.typical_error**2) / c.moments[0] ** 2 for c in curves]
    mean = float(np.average(excess, weights=[c.flux.size for c in curves]))
    return float(np.copysign(np.sqrt(abs(mean)), mean))


def stetson_j(time: Floats, deviation: Floats, within: float) -> float:
    """Stetson's J: the mean of sgn(P) sqrt(|P|), P the product of deviations of a pair of epochs.

    Epochs that follow each other by up to `within` days are paired, the first with the second, the third with the
    fourth. One without a partner has P = deviation² - 1 and half the weight.

    Parameters
    ----------
    time
        In days, in any order.
    deviation
        From the mean, in units of the errors.

    Examples
    --------
    >>> stetson_j(np.array([0.0, 0.01, 5.0]), np.array([2.0, 2.0, 1.0]), 0.02)
    1.3333333333333333
    """
    order = np.argsort(time, kind="stable")
    time, deviation = time[order], deviation[order]
    begins = np.flatnonzero(np.diff(time, prepend=-np.inf) > within)
    place = np.arange(time.size) - np.repeat(begins, np.diff(begins, append=time.size))
    is_second = place % 2 == 1
    second = np.flatnonzero(is_second)
    is_alone = ~is_second
    is_alone[second - 1] = False
    products = np.concatenate([deviation[second] * deviation[second - 1], deviation[is_alone] ** 2 - 1.0])
    weights = np.where(np.arange(products.size) < second.size, 1.0, _WEIGHT_OF_SINGLE)
    return float(np.average(np.sign(products) * np.sqrt(np.abs(products)), weights=weights))


def _skewness(centered: Floats) -> float:
    """Adjusted Fisher-Pearson coefficient, of deviations whose mean is zero."""
    n = centered.size
    return float(np.sqrt(n * (n - 1.0)) / (n - 2.0) * np.mean(centered**3) / np.mean(centered**2) ** 1.5)


def _asymmetry(from_median: Floats) -> float:
    """M of Cody et al., of deviations from the median."""
    ordered = np.sort(from_median)
    tenth = max(ordered.size // 10, 1)
    extremes = np.concatenate([ordered[:tenth], ordered[-tenth:]])
    return float(np.mean(extremes) / np.std(ordered))

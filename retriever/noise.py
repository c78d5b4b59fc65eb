"""How far epochs lie from the rest of their light curve, in units of noise, and how often noise does that by itself.

**Noise models.** What the noise of an epoch is taken to be:

- ``rescaled``: its error, times one factor for each light curve that brings the errors to the scatter of the other
  epochs. Errors that are over- or understated by a factor do no harm; their ratios count.
- ``scatter``: the same with equal errors; for errors that say nothing.
- ``errors``: its error as stated; for errors that are known to be right.
- ``jitter``: its error and, in quadrature, the noise that the light curve needs to explain its scatter, zero or more;
  for errors that leave out a source of noise. An epoch takes part in the estimate of its own jitter, so the scores of
  few epochs are too small (their standard deviation is 0.84 for 6 epochs, 0.93 for 20, 0.98 for 1000).

A light curve without any errors is treated as one with equal errors, under ``errors`` too. One with some gets their
median where an error is missing.

**Scores.** An epoch is compared with the *other* usable epochs: with their median, and with the root mean square of the
smallest four fifths of their distances from the median, so that an event of fewer epochs than a fifth does not hide
itself. The ratio T of distance to noise follows Student's law more than the normal one, since the scatter of few
epochs is itself uncertain. `normal_equivalent` turns T into the S/N that has the same probability in normal noise, so
that S/N of different lengths of light curves can be compared, and a threshold means the same false-alarm rate for all.
"""

import math

import numpy as np
from numpy.typing import NDArray

from retriever.arrays import Array, Floats
from retriever.errors import ConfigError
from retriever.statistics import blocks_of_items, partly_sorted, ragged_medians

__all__ = ["MIN_EPOCHS", "NOISE_MODELS", "check_noise_model", "epoch_noise", "false_alarm_probability",
           "joint_significance", "normal_equivalent", "scores_of_epochs"]  # fmt: skip

NOISE_MODELS = ("rescaled", "scatter", "errors", "jitter")

MIN_EPOCHS = 5
"""Fewest usable epochs for which a scatter is derived."""

_ERFC = np.frompyfunc(math.erfc, 1, 1)
"""For the few detections; scipy, which has it for arrays, takes 0.15 s to import in each process."""

_KEPT = 0.8
"""Share of the distances from the median that the scatter is made of, the smallest ones."""

_RMS_OF_KEPT = 0.6616002
"""Root mean square of the smallest four fifths of |x| of a standard normal: sqrt(1 - 2 q φ(q) / 0.8), Φ(q) = 0.9."""

_SMALL = np.array([
    (2.5e-05, 2.738, 0.32366), (1.5e-05, 2.645, 0.30507), (2.97e-04, 3.513, 0.25239), (3.40e-04, 4.415, 0.20800),
    (0.00171, 5.258, 0.17554), (0.00330, 5.945, 0.15163), (0.00518, 5.910, 0.15479), (0.0, 7.168, 0.12819),
    (0.0, 7.622, 0.12636), (0.00839, 8.131, 0.11610), (0.00652, 8.718, 0.10909), (0.00638, 8.967, 0.10573),
    (0.01765, 9.483, 0.09968), (0.01687, 10.310, 0.09158), (0.01959, 10.599, 0.09015), (0.02035, 11.481, 0.08185),
    (0.03120, 11.310, 0.08288), (0.0, 13.504, 0.07129), (0.03336, 12.534, 0.07525), (0.0, 15.164, 0.06333),
    (0.0, 14.997, 0.06564),
])  # fmt: skip
"""For 4, 5, ..., 24 other epochs: A, C and D of `normal_equivalent`."""


def check_noise_model(model: str, where: str) -> None:
    """Refuse a noise model that does not exist.

    Raises
    ------
    ConfigError
        Naming those that do.
    """
    if model not in NOISE_MODELS:
        raise ConfigError(f"{where} is {model!r}; it is one of {', '.join(NOISE_MODELS)}")


def normal_equivalent(ratio: Floats, n_others: Array) -> Floats:
    """S/N in normal noise that is as improbable as a ratio of distance to a scatter that was itself estimated.

    With m other epochs, z² = A T² + C ln(1 + D T²). For up to 24 of them A, C and D are tabled, beyond they are

        A + C D = 1 / (1 + 1.573/m - 16.40/m²),  A = (A + C D) (1.200/m - 12.32/m²),  C = 0.673 m - 1.84.

    All were fitted to the exact law of T for z of 0.25 to 6.5: the probability that a normal deviate exceeds T times
    the scatter, averaged over the scatters of 2×10⁵ to 4×10⁶ simulated light curves. z is right to 0.02, and to 0.05
    above 5.

    Examples
    --------
    >>> normal_equivalent(np.array([5.0, 5.0, 5.0]), np.array([9, 99, 10000])).round(2).tolist()
    [3.07, 4.58, 4.99]
    """
    m = np.asarray(n_others, np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        core = 1.0 / (1.0 + 1.5731 / m - 16.3953 / m**2)
        linear = core * (1.1997 / m - 12.3249 / m**2)
        log_part = 0.6732 * m - 1.8417
        inner = (core - linear) / log_part
    row = np.clip(np.asarray(n_others) - 4, 0, len(_SMALL) - 1).astype(np.int64)
    is_small = m < 4 + len(_SMALL)
    a, c, d = (np.where(is_small, _SMALL[row, k], of_many) for k, of_many in enumerate((linear, log_part, inner)))
    square = ratio * ratio
    return np.asarray(np.copysign(np.sqrt(a * square + c * np.log1p(d * square)), ratio))


def scores_of_epochs(
    flux: Floats, flux_err: Floats, usable: NDArray[np.bool_], offsets: NDArray[np.int64], model: str = "rescaled"
) -> Floats:
    """S/N of each epoch against the other usable epochs of its light curve; standard normal for pure noise.

    Parameters
    ----------
    flux, flux_err
        Of light curves that lie one after the other, in any unit.
    usable
        Epochs that count. The others have scores too, where they have a flux.
    offsets
        Where each light curve begins, and at the end the number of epochs.
    model
        One of `NOISE_MODELS`.

    Returns
    -------
    numpy.ndarray
        NaN where there is no flux, or where nothing says how large the noise is: with fewer than `MIN_EPOCHS` usable
        epochs under the models that need the scatter, and where flux is constant and has no errors.

    Examples
    --------
    >>> flux = np.array([0.0, 1.0, -1.0, 0.5, -0.5, 2.0, 30.0])
    >>> scores_of_epochs(flux, np.ones(7), np.ones(7, bool), np.array([0, 7]), "errors")[-1].round(1).item()
    27.0
    >>> scores_of_epochs(flux, np.ones(7), np.ones(7, bool), np.array([0, 7]))[-1].round(1).item()
    4.1
    """
    errors = _known_errors(flux_err, usable, offsets)
    if model == "scatter":
        errors = np.ones(flux.size)
    elif model == "jitter":
        errors = epoch_noise(flux, flux_err, usable, offsets, model)
    scores = np.full(flux.size, np.nan)
    for block in blocks_of_items(offsets):
        trusts = np.full((block.n_items, 1), model in ("errors", "jitter"))
        if trusts.any():
            trusts &= block.cut(np.isfinite(flux_err) & usable, False).any(axis=1, keepdims=True)
        block.write(scores, _block_scores(block.cut(flux), block.cut(errors), block.cut(usable, False), trusts))
    return scores


def _block_scores(flux: Floats, errors: Floats, usable: NDArray[np.bool_], trusts_errors: NDArray[np.bool_]) -> Floats:
    """Scores of light curves that are the rows of a block."""
    n = usable.sum(axis=1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        below, middle, above = _middle(np.where(usable, flux, np.inf), n)
        is_odd = n % 2 == 1
        whole = np.where(is_odd, middle, 0.5 * (below + middle))
        # the median of the others depends only on which side of it an epoch lies
        others = np.where(
            is_odd,
            np.where(flux < middle, 0.5 * (middle + above), np.where(flux > middle, 0.5 * (below + middle),
                                                                     0.5 * (below + above))),
            np.where(flux <= below, middle, below),
        )  # fmt: skip
        inside = np.where(usable, errors, np.nan)
        harmonic = n / np.nansum(1.0 / inside, axis=1, keepdims=True)
        noise = np.sqrt(errors**2 + _median_variance(n - 1) * harmonic**2)
        ratio = (flux - np.where(usable, others, whole)) / noise
        scale = _scale_of_others((flux - whole) / errors, usable, n)
        scaled = np.where(scale > 0, ratio / scale, ratio)
        scores = np.where(trusts_errors, ratio, normal_equivalent(scaled, n - 1))
    scores[((n < np.where(trusts_errors, 2, MIN_EPOCHS)) | np.isnan(harmonic))[:, 0]] = np.nan
    return scores


def _middle(filled: Floats, n: NDArray[np.int64]) -> tuple[Floats, Floats, Floats]:
    """The value in the middle of the n finite ones of each row, in order, and its neighbours."""
    half = n // 2
    filled = partly_sorted(filled, np.concatenate([half - 1, half, half + 1]))
    last = filled.shape[1] - 1
    return tuple(np.take_along_axis(filled, np.clip(half + k, 0, last), 1) for k in (-1, 0, 1))  # type: ignore[return-value]


def _median_variance(m: NDArray[np.int64]) -> Floats:
    """Variance of the median of m standard normal values, to 2 % (exact for 1, and for many)."""
    return np.asarray(0.5 * np.pi / (m + np.where(m % 2 == 1, 0.571, 1.3)))


def _scale_of_others(distance: Floats, usable: NDArray[np.bool_], n: NDArray[np.int64]) -> Floats:
    """Scatter of the other usable epochs of each row, in units of their errors, for each epoch."""
    square = distance * distance
    share = _KEPT * np.maximum(n - 1, 1)
    whole = share.astype(np.int64)
    part = share - whole
    last_kept, edge, next_to_it = _ordered_at(np.where(usable, square, np.inf), whole - 1, whole, whole + 1)
    smallest = _sum_below(square, usable, last_kept, whole)
    within = usable & (square <= last_kept) & (whole > 0)
    kept = np.where(within, smallest + edge - square, smallest)
    beyond = np.where(usable & (square <= edge), next_to_it, edge)
    return np.asarray(np.sqrt(np.maximum(kept + part * beyond, 0.0) / share) / _RMS_OF_KEPT)


def _ordered_at(filled: Floats, *places: NDArray[np.int64]) -> list[Floats]:
    """The values that sorting would put at some places of each row; changes the rows."""
    ordered = partly_sorted(filled, np.concatenate(places))
    return [np.take_along_axis(ordered, np.clip(place, 0, ordered.shape[1] - 1), 1) for place in places]


def _sum_below(square: Floats, usable: NDArray[np.bool_], largest: Floats, number: NDArray[np.int64]) -> Floats:
    """Sum of the smallest usable values of each row, so many of them, of which the largest is given.

    One value is added after the other, so that padding at the end of a row changes nothing.
    """
    less = usable & (square < largest)
    sums = np.cumsum(np.where(less, square, 0.0), axis=1)[:, -1:]
    equal = number - np.count_nonzero(less, axis=1, keepdims=True)
    return np.where(number > 0, sums + np.where(equal > 0, equal * largest, 0.0), 0.0)


def _known_errors(flux_err: Floats, usable: NDArray[np.bool_], offsets: NDArray[np.int64]) -> Floats:
    """Errors, the light curve's median error where one is missing, 1 where the light curve has none."""
    with np.errstate(invalid="ignore"):
        known = np.isfinite(flux_err) & (flux_err > 0)
    if known.all():
        return flux_err
    typical = ragged_medians(flux_err, offsets, known & usable)
    typical[np.isnan(typical)] = 1.0
    return np.where(known, flux_err, np.repeat(typical, np.diff(offsets)))


def epoch_noise(
    flux: Floats, flux_err: Floats, usable: NDArray[np.bool_], offsets: NDArray[np.int64], model: str = "rescaled"
) -> Floats:
    """Noise of each epoch, in the unit of flux, with one factor or jitter for each light curve; see the module.

    Unlike in `scores_of_epochs` all usable epochs are used, an epoch's own included: for fits to many epochs, on which
    one has little weight.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> flux, errors, usable = 3.0 * rng.standard_normal(1000), np.ones(1000), np.ones(1000, bool)
    >>> [epoch_noise(flux, errors, usable, np.array([0, 1000]), model)[0].round(1).item() for model in NOISE_MODELS]
    [2.9, 2.9, 1.0, 2.9]
    """
    errors = np.ones(flux.size) if model == "scatter" else _known_errors(flux_err, usable, offsets)
    has_errors = np.zeros(offsets.size - 1, np.bool_)
    if model == "errors":
        known = np.concatenate([[0], np.cumsum(np.isfinite(flux_err) & usable)])
        has_errors = known[offsets[1:]] > known[offsets[:-1]]
        if has_errors.all():
            return errors
    noise = np.full(flux.size, np.nan)
    for block in blocks_of_items(offsets):
        f, e, use = block.cut(flux), block.cut(errors), block.cut(usable, False)
        n = use.sum(axis=1, keepdims=True)
        with np.errstate(invalid="ignore", divide="ignore"):
            below, middle, _ = _middle(np.where(use, f, np.inf), n)
            distance = f - np.where(n % 2 == 1, middle, 0.5 * (below + middle))
            if model == "jitter":
                values = np.sqrt(e**2 + _jitter_variance(distance, e, use, n))
            else:
                scale = _scale(distance / e, use, n)
                values = e * np.where(scale > 0, scale, 1.0)
        values[(n == 0)[:, 0]] = np.nan
        block.write(noise, values)
    # light curves without errors have nothing but their scatter
    return np.where(np.repeat(has_errors, np.diff(offsets)), errors, noise)


def _scale(distance: Floats, usable: NDArray[np.bool_], n: NDArray[np.int64]) -> Floats:
    """Scatter of the usable epochs of each row, in units of their errors."""
    square = distance * distance
    share = _KEPT * n
    whole = share.astype(np.int64)
    last_kept, edge = _ordered_at(np.where(usable, square, np.inf), whole - 1, whole)
    smallest = _sum_below(square, usable, last_kept, whole)
    part = np.where(share > whole, (share - whole) * np.where(np.isfinite(edge), edge, 0.0), 0.0)
    # the median takes up one epoch's worth of freedom
    return np.asarray(np.sqrt((smallest + part) / share * (n / np.maximum(n - 1, 1))) / _RMS_OF_KEPT)


def _jitter_variance(distance: Floats, errors: Floats, usable: NDArray[np.bool_], n: NDArray[np.int64]) -> Floats:
    """Variance to add to squared errors so that the scatter in their units is 1; zero where it is less already."""
    low = np.zeros((len(distance), 1))
    high = np.where(usable, distance * distance, 0.0).max(axis=1, keepdims=True)
    for _ in range(50):
        middle = 0.5 * (low + high)
        is_low = _scale(distance / np.sqrt(errors**2 + middle), usable, n) > 1.0
        low, high = np.where(is_low, middle, low), np.where(is_low, high, middle)
    return np.where(_scale(distance / errors, usable, n) > 1.0, low, 0.0)


def false_alarm_probability(snr: Array, n_trials: Array, *, two_sided: bool = True) -> Floats:
    """Probability that noise exceeds an S/N in any of so many independent trials: 1 - (1 - p)ⁿ.

    Parameters
    ----------
    snr
        In units of a standard normal deviate, of either sign.
    n_trials
        Number of independent places that were searched: epochs, times templates.
    two_sided
        Whether brightenings and dips were searched.

    Examples
    --------
    >>> false_alarm_probability(np.array([3.0, 5.0]), 100).round(6).tolist()
    [0.236884, 5.7e-05]
    """
    height = np.abs(snr)
    with np.errstate(invalid="ignore", divide="ignore"):
        beyond = 0.5 * np.asarray(_ERFC(height / np.sqrt(2.0)), np.float64)
        return np.asarray(-np.expm1(np.asarray(n_trials) * np.log1p(-(1 + two_sided) * beyond)))


def joint_significance(snr: Floats, fap_of_strongest: float, n_observed: int) -> tuple[float, float]:
    """S/N and false-alarm probability of an event that several independent light curves have.

    Fisher's method: with the probabilities p of noise, -2 Σ ln p has a chi-square distribution with two degrees of
    freedom for each light curve. The number of trials is that of the most significant detection.

    Parameters
    ----------
    snr
        Of the most significant detection of each light curve that has one, in standard normal deviates.
    fap_of_strongest
        False-alarm probability of the most significant of them.
    n_observed
        Light curves that could have seen the event; for those without a detection p is 1.

    Examples
    --------
    >>> [round(joint_significance(np.array([4.0, -4.0]), 0.01, n)[0], 2) for n in (2, 4)]
    [5.36, 4.54]
    >>> round(joint_significance(np.array([4.0]), 0.01, 1)[0], 6)
    4.0
    """
    from scipy.special import gammaln, log_ndtr, logsumexp, ndtri_exp

    each = np.log(2.0) + log_ndtr(-np.abs(snr))
    half = -float(np.sum(each))
    power = np.arange(n_observed)
    joint = min(-half + float(logsumexp(power * np.log(half) - gammaln(power + 1))), -1e-12)
    if not fap_of_strongest > 0 or (n_observed == 1 and snr.size == 1):
        return -float(ndtri_exp(joint - np.log(2.0))), fap_of_strongest
    n_trials = max(float(np.log1p(-min(fap_of_strongest, 1 - 1e-16)) / np.log1p(-np.exp(np.min(each)))), 1.0)
    fap = float(-np.expm1(n_trials * np.log1p(-np.exp(joint))))
    return -float(ndtri_exp(joint - np.log(2.0))), fap

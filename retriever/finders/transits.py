"""What finders of transits share: from a period of a light curve to a detection."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from retriever.arrays import Floats
from retriever.finders.events import event_columns, no_events
from retriever.lightcurves import LightcurveBatch
from retriever.noise import epoch_noise, false_alarm_probability, scores_of_epochs
from retriever.schema import Columns

__all__ = ["Candidate", "described", "search_each"]

_MIN_IN_TRANSIT = 3


class _Cleans(Protocol):
    """Parameters that say which epochs are searched."""

    @property
    def clip(self) -> float: ...

    @property
    def noise(self) -> str: ...


def search_each(
    finder: _Cleans, batch: LightcurveBatch, search: Callable[[Floats, Floats, Floats], dict[str, Any]]
) -> tuple[Columns, Columns]:
    """Search the light curves of a batch one after the other; gives scores of epochs and events, as `find_many` does.

    Parameters
    ----------
    search
        Takes times, heights above the median and noise of the usable epochs without brightenings, and gives what
        `described` gives.
    """
    columns, usable = batch.columns, batch.usable
    flux, flux_err = columns["flux"], columns["flux_err"]
    noise = epoch_noise(flux, flux_err, usable, batch.offsets, finder.noise)
    rows = []
    for k in range(len(batch)):
        epochs = np.arange(batch.offsets[k], batch.offsets[k + 1])
        height = flux[epochs] - batch.flux_moments[0][k]
        is_calm = ~(height > finder.clip * noise[epochs]) if finder.clip else np.ones(epochs.size, np.bool_)
        kept = usable[epochs] & (noise[epochs] > 0) & is_calm
        epochs, height = epochs[kept], height[kept]
        row = search(columns["time"][epochs], height, noise[epochs])
        if row:
            rows.append({"member": k, **row, **{name: epochs[row[name]] for name in ("first", "peak", "last")}})
    scores = {"snr": scores_of_epochs(flux, flux_err, usable, batch.offsets, finder.noise)}
    if not rows:
        return scores, no_events(batch)
    table = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    where = (table.pop(name) for name in ("member", "first", "peak", "last"))
    return scores, event_columns(batch, *where, **table)


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A period at which a light curve seems to have transits.

    Attributes
    ----------
    period, duration, middle
        In days; `middle` is the time of the middle of any transit.
    sde
        Signal detection efficiency.
    n_periods
        Periods that were tried.
    """

    period: float
    duration: float
    middle: float
    sde: float
    n_periods: int


def described(
    time: Floats, flux: Floats, noise: Floats, candidate: Candidate, *, snr_threshold: float, transits: int
) -> dict[str, Any]:
    """What is said of a period, measured on all epochs; empty where the depth is not significant.

    Parameters
    ----------
    time, flux, noise
        Of the epochs that were searched.
    snr_threshold
        Least S/N of the depth.
    transits
        Fewest transits that must have been observed.
    """
    period, duration, middle = candidate.period, candidate.duration, candidate.middle
    cycle = np.round((time - middle) / period)
    from_middle = time - middle - cycle * period
    inside = np.abs(from_middle) <= 0.5 * duration
    outside = np.abs(from_middle) > duration
    if np.count_nonzero(inside) < _MIN_IN_TRANSIT or not outside.any():
        return {}
    level, level_err = _weighted_mean(flux[outside], noise[outside])
    depth, depth_err = _weighted_mean(level - flux[inside], noise[inside])
    snr = depth / np.hypot(depth_err, level_err)
    observed = np.unique(cycle[inside])
    if snr < snr_threshold or observed.size < transits:
        return {}
    is_odd = cycle % 2 == 1
    odd, odd_err = _weighted_mean(level - flux[inside & is_odd], noise[inside & is_odd])
    even, even_err = _weighted_mean(level - flux[inside & ~is_odd], noise[inside & ~is_odd])
    opposite = np.abs(np.abs(from_middle) - 0.5 * period) <= 0.5 * duration
    second, second_err = _weighted_mean(level - flux[opposite], noise[opposite])
    n_trials = np.array(candidate.n_periods * period / duration)
    misfit = flux - np.where(inside, level - depth, level)
    places = np.flatnonzero(inside)
    of_first = places[cycle[places] == cycle[places[0]]]
    return {
        "first": places[0], "last": places[-1], "peak": of_first[np.argmin(np.abs(from_middle[of_first]))],
        "snr": -snr, "dmag": np.nan, "n_epochs": places.size, "amplitude": -depth, "width": duration,
        "period": period, "sde": candidate.sde, "odd_even": abs(odd - even) / np.hypot(odd_err, even_err),
        "secondary": second / second_err, "chi2": np.sum((misfit / noise) ** 2) / max(time.size - 4, 1),
        "fap": float(false_alarm_probability(np.array(snr), n_trials, two_sided=False)),
    }  # fmt: skip


def _weighted_mean(values: Floats, noise: Floats) -> tuple[float, float]:
    """Mean and its error; NaN for none."""
    if not values.size:
        return float("nan"), float("nan")
    weight = 1.0 / noise**2
    return float(np.sum(weight * values) / np.sum(weight)), float(1.0 / np.sqrt(np.sum(weight)))

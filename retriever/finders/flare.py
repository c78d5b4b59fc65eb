"""Finds flares: several epochs in a row above the quiet star."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retriever.arrays import Array, Floats
from retriever.detection import Detection
from retriever.errors import ConfigError
from retriever.finders.events import event_columns, find_in_one, no_events
from retriever.lightcurve import Lightcurve
from retriever.lightcurves import LightcurveBatch
from retriever.noise import check_noise_model, false_alarm_probability, scores_of_epochs
from retriever.schema import Columns

__all__ = ["FlareFinder"]


@dataclass(frozen=True, kw_only=True)
class FlareFinder:
    """Runs of consecutive epochs above the median, with their energy.

    The criterion of Chang, Byun & Hartman (2015, ApJ 814, 35): at least `consecutive` usable epochs in a row whose S/N
    is at least `snr_threshold`. The flare is the whole run of epochs around them whose S/N is at least `sideband`. Runs
    that are less than `merge` apart are one flare, so that a flare with several peaks is counted once. Light curves
    should be detrended first (``detrend=running_median``).

    The S/N of a flare is that of all its epochs together, Σz / √n; its false-alarm probability is that of such a sum in
    any of as many places as the light curve has epochs. Its equivalent duration (Gershberg 1972, Ap&SS 19, 75) is the
    integral over time of its flux less the median, over the median.

    Parameters
    ----------
    snr_threshold
        Least S/N of each of the consecutive epochs; see `retriever.noise`.
    consecutive
        Fewest epochs in a row above it.
    sideband
        Least S/N of the epochs around them that belong to the flare.
    merge
        Flares that are less than so many days apart are one.
    gap
        Epochs that are farther apart, in days, do not count as neighbours.
    noise
        How the noise of an epoch is judged; see `retriever.noise`.

    Examples
    --------
    >>> time, rng = np.arange(0.0, 1.0, 0.001), np.random.default_rng(1)
    >>> flare = 40.0 * np.exp(-np.maximum(time - 0.5, 0.0) / 0.005) * (time >= 0.5)
    >>> lc = Lightcurve.from_columns(band="TESS", time=time, flux=1000.0 + flare + rng.standard_normal(1000),
    ...                              flux_err=np.ones(1000), mag=None, mag_err=None)
    >>> _, (event,) = FlareFinder().find(lc)
    >>> event.peak, round(event.amplitude), round(event.equivalent_duration)
    (500, 39, 17)
    """

    snr_threshold: float = 3.0
    consecutive: int = 3
    sideband: float = 1.0
    merge: float = 0.02
    gap: float = 0.1
    noise: str = "rescaled"

    def __post_init__(self) -> None:
        check_noise_model(self.noise, "finder.noise")
        if not self.snr_threshold >= self.sideband > 0:
            raise ConfigError("finder.snr_threshold must be at least finder.sideband, and that above zero")
        if self.consecutive < 1 or not self.gap > 0 or not self.merge >= 0:
            raise ConfigError("finder.consecutive must be 1 or more, finder.gap above zero, finder.merge zero or more")

    def find(self, lightcurve: Lightcurve) -> tuple[Mapping[str, Any], tuple[Detection, ...]]:
        """Give the scores `snr` and `dmag` of every epoch, and the flares in order of time."""
        return find_in_one(self, lightcurve)

    def find_many(self, batch: LightcurveBatch) -> tuple[Columns, Columns]:
        """The same as `find`, for all light curves of a batch at once."""
        columns, usable = batch.columns, batch.usable
        snr = scores_of_epochs(columns["flux"], columns["flux_err"], usable, batch.offsets, self.noise)
        dmag = columns["mag"] - batch.spread(batch.mag_moments[0])
        scores = {"snr": snr, "dmag": dmag}
        epochs = np.flatnonzero(usable & np.isfinite(snr))
        member, time = batch.member[epochs], columns["time"][epochs]
        first, last = self._runs(snr[epochs], time, member)
        if not first.size:
            return scores, no_events(batch)
        counts = last - first + 1
        start = np.cumsum(counts) - counts
        of_flares = np.repeat(first - start, counts) + np.arange(counts.sum())
        height = snr[epochs][of_flares]
        top = np.repeat(np.maximum.reduceat(height, start), counts)
        tops = np.flatnonzero(height == top)
        peak = of_flares[tops[np.searchsorted(tops, start)]]
        owner = member[first]
        quiet = batch.flux_moments[0][owner]
        excess = columns["flux"][epochs[of_flares]] - np.repeat(quiet, counts)
        together = np.add.reduceat(height, start) / np.sqrt(counts)
        n_searched = np.bincount(member, minlength=len(batch))[owner]
        with np.errstate(invalid="ignore", divide="ignore"):
            duration = _integrals(excess, time[of_flares], start, counts) * 86400.0 / quiet
        peaks = epochs[peak]
        return scores, event_columns(
            batch, owner, epochs[first], peaks, epochs[last],
            snr=together, dmag=dmag[peaks], n_epochs=counts, amplitude=columns["flux"][peaks] - quiet,
            width=_widths(excess, time[of_flares], start, counts),
            equivalent_duration=np.where(quiet > 0, duration, np.nan),
            fap=false_alarm_probability(together, n_searched, two_sided=False),
        )  # fmt: skip

    def _runs(
        self, snr: Floats, time: Floats, member: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """First and last epoch of each flare, among the usable ones."""
        if not snr.size:
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        is_apart = np.ones(snr.size, np.bool_)
        is_apart[1:] = (np.diff(member) != 0) | (np.diff(time) > self.gap)
        strong_first, strong_last = _true_runs(snr >= self.snr_threshold, is_apart)
        is_long = strong_last - strong_first + 1 >= self.consecutive
        around_first, around_last = _true_runs(snr >= self.sideband, is_apart)
        inside = np.unique(np.searchsorted(around_first, strong_first[is_long], side="right") - 1)
        first, last = around_first[inside], around_last[inside]
        if first.size < 2 or not self.merge:
            return first, last
        is_new = (time[first[1:]] - time[last[:-1]] >= self.merge) | (member[first[1:]] != member[last[:-1]])
        return first[np.concatenate([[True], is_new])], last[np.concatenate([is_new, [True]])]


def _true_runs(mask: NDArray[np.bool_], is_apart: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First and last place of each run of true values; a run ends before a place that is apart from the one before."""
    begins = mask.copy()
    begins[1:] &= ~mask[:-1] | is_apart[1:]
    ends = mask.copy()
    ends[:-1] &= ~mask[1:] | is_apart[1:]
    return np.flatnonzero(begins), np.flatnonzero(ends)


def _integrals(values: Floats, time: Floats, start: NDArray[np.int64], counts: NDArray[np.int64]) -> Floats:
    """Integral over time of the values of each run, by trapezoids; of a single epoch its value times nothing."""
    areas = np.zeros(values.size)
    areas[1:] = 0.5 * (values[1:] + values[:-1]) * np.diff(time)
    areas[start] = 0.0
    return np.asarray(np.add.reduceat(areas, start))


def _widths(values: Floats, time: Floats, start: NDArray[np.int64], counts: NDArray[np.int64]) -> Array:
    """Time for which each run is above half of its highest value, to the steps of sampling."""
    high = np.maximum.reduceat(values, start)
    above = np.flatnonzero(values >= 0.5 * np.repeat(high, counts))
    owner = np.repeat(np.arange(start.size), counts)[above]
    first = np.searchsorted(owner, np.arange(start.size), "left")
    last = np.searchsorted(owner, np.arange(start.size), "right") - 1
    span = time[start + counts - 1] - time[start]
    step = span / np.maximum(counts - 1, 1)
    return np.asarray(time[above[last]] - time[above[first]] + step)

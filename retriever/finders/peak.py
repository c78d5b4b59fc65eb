"""Finds single peaks and dips."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retriever.arrays import Floats
from retriever.detection import Detection
from retriever.errors import ConfigError
from retriever.finders.events import event_columns, find_in_one
from retriever.lightcurve import Lightcurve
from retriever.lightcurves import LightcurveBatch
from retriever.noise import check_noise_model, false_alarm_probability, scores_of_epochs
from retriever.schema import Columns

__all__ = ["PeakFinder", "Runs", "find_runs"]


@dataclass(frozen=True, kw_only=True)
class PeakFinder:
    """Epochs that stand out from the median by more than their noise, and their neighbours.

    The S/N of an epoch says how far its flux is from those of the other usable epochs (good, with a finite flux), as
    the normal deviate of the same probability: see `retriever.noise`. It is the same for pure noise whatever the number
    of epochs. The highest usable epoch at or above the threshold is a peak. Its event is the connected run of usable
    epochs around it whose S/N has its sign and is at least `sideband`; bad epochs in between neither belong to the
    event nor end it. An event masks its own epochs and no others, then the next peak is looked for. Of equal peaks the
    earliest comes first.

    Parameters
    ----------
    snr_threshold
        Least S/N of a peak.
    sideband
        Least S/N of an epoch beside a peak that belongs to the same event.
    direction
        "both", "brightening" or "dip".
    max_events
        Most events in one light curve.
    noise
        How the noise of an epoch is judged: "rescaled", "scatter", "errors" or "jitter"; see `retriever.noise`.
    min_epochs
        Fewest usable epochs of a light curve that is searched.

    Examples
    --------
    >>> flux = np.array([10.0, 10.1, 9.9, 10.0, 15.0, 12.0, 10.0, 9.9, 10.1])
    >>> lc = Lightcurve.from_columns(band="r", time=np.arange(9.0), flux=flux, flux_err=np.full(9, 0.1),
    ...                              mag=np.full(9, 20.0), mag_err=np.full(9, 0.1))
    >>> scores, (event,) = PeakFinder().find(lc)
    >>> event.first, event.peak, event.last, round(event.snr, 1)
    (4, 4, 5, 5.8)
    """

    snr_threshold: float = 5.0
    sideband: float = 2.0
    direction: str = "both"
    max_events: int = 10
    noise: str = "rescaled"
    min_epochs: int = 5

    def __post_init__(self) -> None:
        if self.direction not in ("both", "brightening", "dip"):
            raise ConfigError(f"finder.direction is {self.direction!r}; it is both, brightening or dip")
        if not self.snr_threshold > 0:
            raise ConfigError(f"finder.snr_threshold is {self.snr_threshold:g}; it must be above zero")
        check_noise_model(self.noise, "finder.noise")

    def find(self, lightcurve: Lightcurve) -> tuple[Mapping[str, Any], tuple[Detection, ...]]:
        """Give the scores `snr` and `dmag` of every epoch, and the detections in order of time."""
        return find_in_one(self, lightcurve)

    def find_many(self, batch: LightcurveBatch) -> tuple[Columns, Columns]:
        """The same as `find`, for all light curves of a batch at once; `member` says in which an event was found."""
        columns, usable = batch.columns, batch.usable
        snr = scores_of_epochs(columns["flux"], columns["flux_err"], usable, batch.offsets, self.noise)
        dmag = columns["mag"] - batch.spread(batch.mag_moments[0])
        epochs = np.flatnonzero(usable & np.isfinite(snr) & batch.spread(batch.n_usable >= self.min_epochs))
        sign = -1.0 if self.direction == "dip" else 1.0
        height = np.abs(snr[epochs]) if self.direction == "both" else sign * snr[epochs]
        runs = find_runs(batch.member[epochs], snr[epochs], height, self.snr_threshold, self.sideband, self.max_events)
        first, peak, last = (epochs[place] for place in (runs.first, runs.peak, runs.last))
        n_searched = np.bincount(batch.member[epochs], minlength=len(batch))[runs.member]
        events = event_columns(
            batch, runs.member, first, peak, last,
            snr=snr[peak], dmag=dmag[peak], n_epochs=runs.last - runs.first + 1,
            amplitude=columns["flux"][peak] - batch.flux_moments[0][runs.member],
            fap=false_alarm_probability(snr[peak], n_searched, two_sided=self.direction == "both"),
        )  # fmt: skip
        return {"snr": snr, "dmag": dmag}, events


@dataclass(frozen=True, kw_only=True, eq=False)
class Runs:
    """Events as runs of epochs: the light curve of each, and its first, highest and last epoch, ordered by both."""

    member: NDArray[np.int64]
    first: NDArray[np.int64]
    peak: NDArray[np.int64]
    last: NDArray[np.int64]


def find_runs(
    member: NDArray[np.int64], score: Floats, height: Floats, threshold: float, sideband: float, most: int
) -> Runs:
    """Find peaks with their connected runs in many light curves at once, one of each light curve a round.

    Parameters
    ----------
    member
        Light curve of each epoch, in order.
    score, height
        Signed S/N, and how high an epoch is in the direction that is searched.
    threshold, sideband, most
        See `PeakFinder`.

    Examples
    --------
    >>> score = np.array([0.0, 6.0, 3.0, 0.0, -9.0])
    >>> runs = find_runs(np.array([0, 0, 0, 1, 1]), score, np.abs(score), 5.0, 2.0, 10)
    >>> runs.member.tolist(), runs.first.tolist(), runs.peak.tolist(), runs.last.tolist()
    ([0, 1], [1, 4], [1, 4], [2, 4])
    """
    at = np.arange(score.size)
    free = np.ones(score.size, np.bool_)
    parts: list[tuple[NDArray[np.int64], ...]] = [(np.zeros(0, np.int64),) * 4]
    for _ in range(most):
        if at.size == 0:
            break
        new = np.flatnonzero(np.diff(member[at], prepend=member[at[0]] - 1))
        lengths = np.diff(new, append=at.size)
        masked = np.where(free[at], height[at], -np.inf)
        top = np.maximum.reduceat(masked, new)
        going = top >= threshold
        if not going.any():
            break
        kept = np.repeat(going, lengths)
        at, masked = at[kept], masked[kept]
        lengths, top = lengths[going], top[going]
        start = np.cumsum(lengths) - lengths
        highest = np.flatnonzero(masked == np.repeat(top, lengths))
        peak = highest[np.searchsorted(highest, start)]
        sign = np.where(score[at[peak]] > 0, 1.0, -1.0)
        inside = free[at] & (np.repeat(sign, lengths) * score[at] >= sideband)
        inside[peak] = True
        first, last = _runs_around(inside, peak, start, lengths)
        parts.append((member[at[peak]], at[first], at[peak], at[last]))
        change = np.zeros(at.size + 1, np.int64)
        change[first] += 1
        change[last + 1] -= 1
        free[at[np.cumsum(change[:-1]) > 0]] = False
    columns = [np.concatenate(part) for part in zip(*parts, strict=True)]
    order = np.lexsort((columns[2], columns[0]))
    return Runs(**dict(zip(("member", "first", "peak", "last"), (values[order] for values in columns), strict=True)))


def _runs_around(
    inside: NDArray[np.bool_], peak: NDArray[np.int64], start: NDArray[np.int64], lengths: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First and last epoch of the run of true values around each peak, within its own light curve."""
    place = np.arange(inside.size)
    before = np.maximum.accumulate(np.where(inside, -1, place))
    after = np.minimum.accumulate(np.where(inside, inside.size, place)[::-1])[::-1]
    return np.maximum(before[peak] + 1, start), np.minimum(after[peak] - 1, start + lengths - 1)

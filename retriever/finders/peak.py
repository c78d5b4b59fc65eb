"""Finds single peaks and dips."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retriever.arrays import Floats
from retriever.detection import Detection
from retriever.errors import ConfigError
from retriever.lightcurve import Lightcurve
from retriever.lightcurves import LightcurveBatch
from retriever.schema import Columns
from retriever.statistics import connected_run

__all__ = ["PeakFinder", "Runs", "find_runs"]


@dataclass(frozen=True, kw_only=True)
class PeakFinder:
    """Epochs that stand out from the median by more than their noise, and their neighbours.

    The S/N of an epoch is its flux less the median, over the larger of its error and the light curve's robust
    scatter; median and scatter are those of the usable epochs (good, with a finite flux). The highest usable epoch at
    or above the threshold is a peak. Its event is the connected run of usable epochs around it whose S/N has its sign
    and is at least `sideband`; bad epochs in between neither belong to the event nor end it. An event masks its own
    epochs and no others, then the next peak is looked for. Of equal peaks the earliest comes first.

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

    Examples
    --------
    >>> flux = np.array([10.0, 10.1, 9.9, 10.0, 15.0, 12.0, 10.0, 9.9, 10.1])
    >>> lc = Lightcurve.from_columns(band="r", time=np.arange(9.0), flux=flux, flux_err=np.full(9, 0.1),
    ...                              mag=np.full(9, 20.0), mag_err=np.full(9, 0.1))
    >>> scores, (event,) = PeakFinder().find(lc)
    >>> event.first, event.peak, event.last, round(event.snr, 1)
    (4, 4, 5, 33.7)
    """

    snr_threshold: float = 5.0
    sideband: float = 2.0
    direction: str = "both"
    max_events: int = 10

    def __post_init__(self) -> None:
        if self.direction not in ("both", "brightening", "dip"):
            raise ConfigError(f"finder.direction is {self.direction!r}; it is both, brightening or dip")
        if not self.snr_threshold > 0:
            raise ConfigError(f"finder.snr_threshold is {self.snr_threshold:g}; it must be above zero")

    def find(self, lightcurve: Lightcurve) -> tuple[dict[str, Any], tuple[Detection, ...]]:
        """Give the scores `snr` and `dmag` of every epoch, and the detections in order of time."""
        baseline, scatter = lightcurve.flux_moments
        dmag = lightcurve.mag - lightcurve.mag_moments[0]
        # fmax: an unknown error, or an unknown scatter, leaves the other
        noise = np.fmax(lightcurve.flux_err, scatter)
        unknown = np.full(noise.size, np.nan)
        snr = np.divide(lightcurve.flux - baseline, noise, out=unknown, where=noise > 0)
        return {"snr": snr, "dmag": dmag}, self._events(lightcurve, snr, dmag, lightcurve.usable)

    def find_many(self, batch: LightcurveBatch) -> tuple[Columns, Columns]:
        """The same as `find`, for all light curves of a batch at once; `member` says in which an event was found."""
        baseline, scatter = (batch.spread(values) for values in batch.flux_moments)
        flux = batch.columns["flux"]
        with np.errstate(invalid="ignore"):
            dmag = batch.columns["mag"] - batch.spread(batch.mag_moments[0])
            noise = np.fmax(batch.columns["flux_err"], scatter)
            snr = np.divide(flux - baseline, noise, out=np.full(flux.size, np.nan), where=noise > 0)
        epochs = np.flatnonzero(batch.usable & np.isfinite(snr))
        sign = -1.0 if self.direction == "dip" else 1.0
        height = np.abs(snr[epochs]) if self.direction == "both" else sign * snr[epochs]
        runs = find_runs(batch.member[epochs], snr[epochs], height, self.snr_threshold, self.sideband, self.max_events)
        first, peak, last = (epochs[place] for place in (runs.first, runs.peak, runs.last))
        start, time = batch.offsets[runs.member], batch.columns["time"]
        events: Columns = {
            "member": runs.member,
            "lightcurve": batch.words["number"][runs.member],
            "first": first - start, "peak": peak - start, "last": last - start,
            "time_first": time[first], "time_peak": time[peak], "time_last": time[last],
            "snr": snr[peak], "dmag": dmag[peak],
            "n_epochs": runs.last - runs.first + 1,
            "finder": np.full(peak.size, "", "U1"),
        }  # fmt: skip
        return {"snr": snr, "dmag": dmag}, events

    def _events(
        self, lightcurve: Lightcurve, snr: Floats, dmag: Floats, usable: NDArray[np.bool_]
    ) -> tuple[Detection, ...]:
        epochs = np.flatnonzero(usable & np.isfinite(snr))
        if epochs.size == 0:
            return ()
        score = snr[epochs]
        height = np.abs(score) if self.direction == "both" else score if self.direction == "brightening" else -score
        if height.max() < self.snr_threshold:
            return ()
        free = np.ones(epochs.size, np.bool_)
        events: list[Detection] = []
        while len(events) < self.max_events:
            peak = int(np.argmax(np.where(free, height, -np.inf)))
            if not (free[peak] and height[peak] >= self.snr_threshold):
                break
            sign = 1.0 if score[peak] > 0 else -1.0
            members = free & (sign * score >= self.sideband)
            members[peak] = True
            first, last = connected_run(members, peak)
            free[first : last + 1] = False
            events.append(_detection(lightcurve, snr, dmag, epochs[[first, peak, last]], last - first + 1))
        return tuple(sorted(events, key=lambda event: event.peak))


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


def _detection(
    lightcurve: Lightcurve, snr: Floats, dmag: Floats, indices: NDArray[np.int64], n_epochs: int
) -> Detection:
    first, peak, last = (int(index) for index in indices)
    return Detection(
        lightcurve=lightcurve.number,
        first=first,
        peak=peak,
        last=last,
        time_first=float(lightcurve.time[first]),
        time_peak=float(lightcurve.time[peak]),
        time_last=float(lightcurve.time[last]),
        snr=float(snr[peak]),
        dmag=float(dmag[peak]),
        n_epochs=n_epochs,
    )

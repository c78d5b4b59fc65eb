"""Finds single peaks and dips."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retriever.detection import Detection
from retriever.errors import ConfigError
from retriever.lightcurve import Lightcurve
from retriever.statistics import connected_run

__all__ = ["PeakFinder"]

Floats = NDArray[np.float64]


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

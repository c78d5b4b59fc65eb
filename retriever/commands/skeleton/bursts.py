"""The finder of this folder; ``finder=mine`` names it."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from retriever.arrays import Array
from retriever.detection import Detection
from retriever.lightcurve import Lightcurve

__all__ = ["BurstFinder"]


@dataclass(frozen=True, kw_only=True)
class BurstFinder:
    """Consecutive usable epochs that are all brighter than the median.

    Parameters
    ----------
    threshold
        Least distance of each epoch from the median, in robust standard deviations of the light curve.
    min_epochs
        Fewest epochs of an event.
    """

    threshold: float = 3.0
    min_epochs: int = 2

    def find(self, lightcurve: Lightcurve) -> tuple[Mapping[str, Array], tuple[Detection, ...]]:
        """Give the score `snr` of every epoch, and the events."""
        median, scatter = lightcurve.flux_moments
        if not scatter > 0:
            return {}, ()
        snr = (lightcurve.flux - median) / scatter
        epochs = np.flatnonzero(lightcurve.usable)
        high = snr[epochs] > self.threshold
        events = []
        for run in np.split(epochs, np.flatnonzero(np.diff(high)) + 1):
            peak = run[np.argmax(snr[run])]
            if snr[peak] > self.threshold and run.size >= self.min_epochs:
                events.append(Detection.of(lightcurve, first=run[0], peak=peak, last=run[-1], snr=snr[peak]))
        return {"snr": snr}, tuple(events)

"""Box-shaped events."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from retriever.arrays import Floats
from retriever.simulators.injection import EventSimulator, Shape

__all__ = ["BoxSimulator", "box_profile"]


def box_profile(time: NDArray[np.float64], fwhm: float | NDArray[np.float64]) -> NDArray[np.float64]:
    """Height, between 0 and 1, at times from the middle of the event, in the unit of `fwhm`.

    Examples
    --------
    >>> [round(float(height), 6) for height in box_profile(np.array([-1.0, 0.0, 1.0]), 2.0)]
    [1.0, 1.0, 1.0]
    """
    return np.asarray((np.abs(time) <= 0.5 * fwhm).astype(np.float64))


@dataclass(frozen=True, kw_only=True)
class BoxSimulator(EventSimulator):
    """Box-shaped brightenings and dips; see `EventSimulator` for the parameters."""

    shape: ClassVar[str] = "box"

    def profile(self, time: Floats, shape: Shape) -> Floats:
        """Height at times from the middle in days."""
        return box_profile(time, shape.width)

    def mean_profile(self, time: Floats, exposure: Floats, shape: Shape) -> Floats:
        """Share of each exposure that lies within the event."""
        half = 0.5 * shape.width
        overlap = np.minimum(time + 0.5 * exposure, half) - np.maximum(time - 0.5 * exposure, -half)
        return np.asarray(np.clip(overlap, 0.0, None) / exposure)

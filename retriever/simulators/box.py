"""Box-shaped events."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from retriever.arrays import Floats
from retriever.profiles import box
from retriever.simulators.injection import EventSimulator, Shape

__all__ = ["BoxSimulator"]


@dataclass(frozen=True, kw_only=True)
class BoxSimulator(EventSimulator):
    """Box-shaped brightenings and dips; see `EventSimulator` for the parameters."""

    shape: ClassVar[str] = "box"

    def profile(self, time: Floats, shape: Shape) -> Floats:
        """Height at times from the middle in days."""
        return box(time, shape.width)

    def mean_profile(self, time: Floats, exposure: Floats, shape: Shape) -> Floats:
        """Share of each exposure that lies within the event."""
        half = 0.5 * shape.width
        overlap = np.minimum(time + 0.5 * exposure, half) - np.maximum(time - 0.5 * exposure, -half)
        return np.asarray(np.clip(overlap, 0.0, None) / exposure)

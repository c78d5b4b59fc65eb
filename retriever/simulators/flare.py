"""Stellar flares."""

from dataclasses import dataclass
from typing import ClassVar

from retriever.arrays import Floats
from retriever.profiles import flare
from retriever.simulators.injection import EventSimulator, Shape

__all__ = ["FlareSimulator"]


@dataclass(frozen=True, kw_only=True)
class FlareSimulator(EventSimulator):
    """Flares of the shape that Davenport et al. (2014, ApJ 797, 122) found on GJ 1243; always brightenings.

    In units of the full width at half maximum, the rise is a polynomial from -1 to 0, the decay a sum of two
    exponentials. See `EventSimulator` for the parameters.

    Examples
    --------
    >>> import numpy as np
    >>> simulator = FlareSimulator(direction="brightening")
    >>> shape = Shape(width=np.full(4, 2.0), relative=np.ones(4), period=np.full(4, np.nan))
    >>> simulator.profile(np.array([-2.1, 0.0, 1.0, 20.0]), shape).round(3).tolist()
    [0.0, 1.0, 0.578, 0.019]
    """

    shape: ClassVar[str] = "flare"

    direction: str = "brightening"

    def profile(self, time: Floats, shape: Shape) -> Floats:
        """Height at times from the peak in days."""
        return flare(time, shape.width)

"""Microlensing by a point mass."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from retriever.arrays import Floats
from retriever.simulators.injection import EventSimulator, Shape

__all__ = ["MicrolensingSimulator"]


@dataclass(frozen=True, kw_only=True)
class MicrolensingSimulator(EventSimulator):
    """The brightening of a point source by a point lens (Paczyński 1986, ApJ 304, 1), alike in all bands.

    The magnification is A(u) = (u² + 2) / (u √(u² + 4)). The height is A - 1 at closest approach, which gives the
    impact parameter; the full width at half maximum gives the Einstein time. See `EventSimulator` for the parameters.

    Examples
    --------
    >>> simulator = MicrolensingSimulator()
    >>> shape = Shape(width=np.full(3, 20.0), relative=np.full(3, 0.34), period=np.full(3, np.nan))
    >>> simulator.profile(np.array([0.0, 10.0, -10.0]), shape).round(6).tolist()
    [1.0, 0.5, 0.5]
    """

    shape: ClassVar[str] = "microlensing"

    direction: str = "brightening"

    def profile(self, time: Floats, shape: Shape) -> Floats:
        """Share of the height at times from closest approach in days."""
        height = np.maximum(np.nan_to_num(shape.relative, nan=1.0), 1e-9)
        closest, at_half = _distance(1.0 + height), _distance(1.0 + 0.5 * height)
        einstein_time = 0.5 * shape.width / np.sqrt(at_half**2 - closest**2)
        square = closest**2 + (time / einstein_time) ** 2
        magnification = (square + 2.0) / np.sqrt(square * (square + 4.0))
        return np.asarray((magnification - 1.0) / height)


def _distance(magnification: Floats) -> Floats:
    """Distance from the lens, in Einstein radii, at which a source is magnified so much."""
    return np.asarray(np.sqrt(2.0 * magnification / np.sqrt(magnification**2 - 1.0) - 2.0))

"""Events of a shape of the user's own."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from retriever.arrays import Floats
from retriever.errors import ConfigError
from retriever.simulators.injection import EventSimulator, Shape

__all__ = ["TemplateSimulator"]


@dataclass(frozen=True, kw_only=True)
class TemplateSimulator(EventSimulator):
    """Events whose shape is given by points, between which it is interpolated; see `EventSimulator` for the rest.

    Parameters
    ----------
    times
        Times of the points in units of `width`, ascending; 0 is the time of the event.
    heights
        Heights there, of which the largest should be 1; before the first point and after the last one it is 0.
    """

    shape: ClassVar[str] = "template"

    times: tuple[float, ...] = (-1.0, 0.0, 1.0)
    heights: tuple[float, ...] = (0.0, 1.0, 0.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.times) != len(self.heights) or len(self.times) < 2 or (np.diff(self.times) <= 0).any():
            raise ConfigError("simulator.times must be ascending, with as many simulator.heights, two or more")

    def profile(self, time: Floats, shape: Shape) -> Floats:
        """Height at times from the event in days."""
        return np.asarray(np.interp(time / shape.width, self.times, self.heights, left=0.0, right=0.0))

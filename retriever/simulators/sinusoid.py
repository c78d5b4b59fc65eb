"""Pulsations and rotations."""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from retriever.arrays import Floats
from retriever.simulators.distribution import Distribution
from retriever.simulators.injection import EventSimulator, Shape

__all__ = ["SinusoidSimulator"]


@dataclass(frozen=True, kw_only=True)
class SinusoidSimulator(EventSimulator):
    """A sinusoid over the whole light curve, highest at the event's time.

    The amplitude is that from the mean, and `width` has no effect. See `EventSimulator` for the other parameters.

    Parameters
    ----------
    period
        Distribution of the period in days.
    """

    shape: ClassVar[str] = "sinusoid"
    is_endless: ClassVar[bool] = True

    direction: str = "brightening"
    period: Distribution = field(default_factory=lambda: Distribution(kind="loguniform", low=0.2, high=20.0))

    def draw_period(self, rng: np.random.Generator) -> float:
        """A period in days."""
        return self.period.draw(rng)

    def true_width(self, width: Floats, period: Floats) -> Floats:
        """A third of the period: the cosine is above one half for so long."""
        return period / 3.0

    def profile(self, time: Floats, shape: Shape) -> Floats:
        """Share of the amplitude at times from the maximum in days, -1 to 1."""
        return np.asarray(np.cos(2.0 * np.pi * time / shape.period))

"""Occultations by debris or planets."""

from dataclasses import dataclass
from typing import ClassVar

from retriever.arrays import Floats
from retriever.errors import ConfigError
from retriever.profiles import trapezoid
from retriever.simulators.injection import EventSimulator, Shape

__all__ = ["OccultationSimulator"]


@dataclass(frozen=True, kw_only=True)
class OccultationSimulator(EventSimulator):
    """Trapezoidal events, as when a body crosses the star once; see `EventSimulator` for the other parameters.

    Parameters
    ----------
    ingress
        Length of the fall, and of the rise, as a share of the full width at half maximum; 1 for a triangle.
    """

    shape: ClassVar[str] = "occultation"

    direction: str = "dip"
    ingress: float = 0.3

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.ingress <= 1:
            raise ConfigError(f"simulator.ingress is {self.ingress:g}; give a share above 0 and up to 1")

    def profile(self, time: Floats, shape: Shape) -> Floats:
        """Height at times from the middle in days."""
        return trapezoid(time, shape.width, self.ingress)

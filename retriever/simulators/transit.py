"""Planets that transit."""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from retriever.arrays import Floats
from retriever.errors import ConfigError
from retriever.simulators.distribution import Distribution
from retriever.simulators.injection import EventSimulator, Shape

__all__ = ["TransitSimulator"]


@dataclass(frozen=True, kw_only=True)
class TransitSimulator(EventSimulator):
    """Transits that repeat with a period: trapezoids, or the limb-darkened curves of `batman`.

    With a limb darkening, transits are those of a planet on a circular orbit across the star's center (Mandel & Agol
    2002, ApJ 580, L171), as `batman` (Kreidberg 2015, PASP 127, 1161) computes them. It must be installed
    (``pip install 'retriever[batman]'``). The height is the depth in the middle, `width` the duration between the
    moments when the planet's center is on the limb. See `EventSimulator` for the other parameters.

    Parameters
    ----------
    period
        Distribution of the period in days.
    ingress
        Length of ingress and of egress of a trapezoid, as a share of the duration.
    limb_darkening
        Two quadratic coefficients, as in [0.3, 0.2]; none for trapezoids.
    """

    shape: ClassVar[str] = "transit"

    direction: str = "dip"
    period: Distribution = field(default_factory=lambda: Distribution(kind="loguniform", low=0.6, high=12.0))
    ingress: float = 0.15
    limb_darkening: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.ingress <= 1:
            raise ConfigError(f"simulator.ingress is {self.ingress:g}; give a share above 0 and up to 1")
        if len(self.limb_darkening) not in (0, 2):
            raise ConfigError("simulator.limb_darkening needs two quadratic coefficients, or none")

    def draw_period(self, rng: np.random.Generator) -> float:
        """A period in days."""
        return self.period.draw(rng)

    def profile(self, time: Floats, shape: Shape) -> Floats:
        """Share of the depth at times from the middle of a transit in days."""
        phase = time - np.round(time / shape.period) * shape.period
        if self.limb_darkening:
            return self._limb_darkened(phase, shape)
        to_edge = 0.5 * shape.width * (1.0 + self.ingress) - np.abs(phase)
        return np.asarray(np.clip(to_edge / (self.ingress * shape.width), 0.0, 1.0))

    def _limb_darkened(self, phase: Floats, shape: Shape) -> Floats:
        try:
            import batman
        except ImportError:
            raise ConfigError(
                "limb-darkened transits need batman; install it with pip install 'retriever[batman]', "
                "or leave simulator.limb_darkening empty"
            ) from None
        coefficients = list(self.limb_darkening)
        mean = 1.0 - coefficients[0] / 3.0 - coefficients[1] / 6.0  # brightness of the disk, its center being 1
        ratio = np.sqrt(np.clip(np.abs(np.nan_to_num(shape.relative, nan=0.01)) * mean, 1e-8, 0.25))
        heights = np.zeros(phase.size)
        for radius in np.unique(ratio).tolist():
            mine = ratio == radius
            planet = batman.TransitParams()
            # an orbit so wide that the planet crosses the disk in a straight line: half a duration is one radius
            planet.t0, planet.inc, planet.ecc, planet.w, planet.a = 0.0, 90.0, 0.0, 90.0, 1e3
            planet.per = 2.0 * np.pi * planet.a
            planet.rp, planet.limb_dark, planet.u = radius, "quadratic", coefficients
            places = np.concatenate([[0.0], phase[mine] / (0.5 * shape.width[mine])])
            light = batman.TransitModel(planet, places).light_curve(planet)
            heights[mine] = (1.0 - light[1:]) / (1.0 - light[0])
        return heights

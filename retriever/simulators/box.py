"""Box-shaped events."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from retriever.detection import Simulated
from retriever.lightcurve import Lightcurve
from retriever.simulators.distribution import Distribution
from retriever.simulators.injection import check_event_parameters, inject_events

__all__ = ["BoxSimulator", "box_profile"]


def box_profile(time: NDArray[np.float64], fwhm: float) -> NDArray[np.float64]:
    """Height, between 0 and 1, at times from the middle of the event, in the unit of `fwhm`.

    Examples
    --------
    >>> [round(float(height), 6) for height in box_profile(np.array([-1.0, 0.0, 1.0]), 2.0)]
    [1.0, 1.0, 1.0]
    """
    return np.asarray((np.abs(time) <= 0.5 * fwhm).astype(np.float64))


@dataclass(frozen=True, kw_only=True)
class BoxSimulator:
    """Box-shaped brightenings and dips, a Poisson number a source.

    Parameters
    ----------
    events
        Mean number of events a source.
    width
        Distribution of the full width at half maximum, in days.
    amplitude
        Distribution of the height.
    amplitude_in
        "snr": in units of the light curve's noise; "mag": in magnitudes.
    direction
        "both", "brightening" or "dip".
    keep_lightcurves
        Whether to store the light curves with events in them; they can also be made again from the seed.
    """

    events: float = 1.0
    width: Distribution = field(default_factory=lambda: Distribution(kind="loguniform", low=5.0, high=100.0))
    amplitude: Distribution = field(default_factory=lambda: Distribution(low=3.0, high=20.0))
    amplitude_in: str = "snr"
    direction: str = "both"
    keep_lightcurves: bool = False

    def __post_init__(self) -> None:
        check_event_parameters(self.events, self.direction, self.amplitude_in)

    def inject(self, lightcurves: tuple[Lightcurve, ...], rng: np.random.Generator) -> Simulated:
        """Give those light curves that received events, changed, and the truth."""
        return inject_events(
            lightcurves,
            rng,
            shape="box",
            profile=box_profile,
            events=self.events,
            width=self.width,
            amplitude=self.amplitude,
            amplitude_in=self.amplitude_in,
            direction=self.direction,
        )

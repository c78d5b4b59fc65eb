"""Gaussian events."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from retriever.arrays import Floats
from retriever.simulators.injection import EventSimulator, Shape

__all__ = ["GaussianSimulator", "gaussian_profile"]


def gaussian_profile(time: NDArray[np.float64], fwhm: float | NDArray[np.float64]) -> NDArray[np.float64]:
    """Height, between 0 and 1, at times from the middle of the event, in the unit of `fwhm`.

    Examples
    --------
    >>> [round(float(height), 6) for height in gaussian_profile(np.array([-1.0, 0.0, 1.0]), 2.0)]
    [0.5, 1.0, 0.5]
    """
    return np.asarray(np.exp(-4.0 * np.log(2.0) * (time / fwhm) ** 2))


@dataclass(frozen=True, kw_only=True)
class GaussianSimulator(EventSimulator):
    """Gaussian brightenings and dips; see `EventSimulator` for the parameters."""

    shape: ClassVar[str] = "gaussian"

    def profile(self, time: Floats, shape: Shape) -> Floats:
        """Height at times from the middle in days."""
        return gaussian_profile(time, shape.width)

    def mean_profile(self, time: Floats, exposure: Floats, shape: Shape) -> Floats:
        """Integral over each exposure, by the error function."""
        from scipy.special import erf

        scale = 2.0 * np.sqrt(np.log(2.0)) / shape.width
        ends = erf(scale * (time + 0.5 * exposure)) - erf(scale * (time - 0.5 * exposure))
        return np.asarray(0.5 * np.sqrt(np.pi) * ends / (scale * exposure))

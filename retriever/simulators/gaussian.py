"""Gaussian events."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from retriever.simulators.injection import EventSimulator

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
    """Gaussian brightenings and dips, a Poisson number a source; see `EventSimulator` for the parameters."""

    shape: ClassVar[str] = "gaussian"
    profile = staticmethod(gaussian_profile)

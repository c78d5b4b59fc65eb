"""Gaussian events."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from retriever.arrays import Floats
from retriever.profiles import gaussian
from retriever.simulators.injection import EventSimulator, Shape

__all__ = ["GaussianSimulator"]


@dataclass(frozen=True, kw_only=True)
class GaussianSimulator(EventSimulator):
    """Gaussian brightenings and dips; see `EventSimulator` for the parameters."""

    shape: ClassVar[str] = "gaussian"

    def profile(self, time: Floats, shape: Shape) -> Floats:
        """Height at times from the middle in days."""
        return gaussian(time, shape.width)

    def mean_profile(self, time: Floats, exposure: Floats, shape: Shape) -> Floats:
        """Integral over each exposure, by the error function."""
        from scipy.special import erf

        scale = 2.0 * np.sqrt(np.log(2.0)) / shape.width
        ends = erf(scale * (time + 0.5 * exposure)) - erf(scale * (time - 0.5 * exposure))
        return np.asarray(0.5 * np.sqrt(np.pi) * ends / (scale * exposure))

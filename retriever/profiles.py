"""Shapes of events: height, between 0 and 1, at times from the middle. Pure functions over arrays.

Times and full widths at half maximum are in one unit.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache

import numpy as np

from retriever.arrays import Floats

__all__ = ["PROFILES", "box", "core", "flare", "gaussian", "next_width", "occultation", "trapezoid"]

Profile = Callable[[Floats, Floats], Floats]


def gaussian(time: Floats, fwhm: Floats) -> Floats:
    """A Gaussian.

    Examples
    --------
    >>> gaussian(np.array([-1.0, 0.0, 1.0]), np.array(2.0)).round(6).tolist()
    [0.5, 1.0, 0.5]
    """
    return np.asarray(np.exp(-4.0 * np.log(2.0) * (time / fwhm) ** 2))


def box(time: Floats, fwhm: Floats) -> Floats:
    """A box.

    Examples
    --------
    >>> box(np.array([-1.0, 0.0, 1.1]), np.array(2.0)).tolist()
    [1.0, 1.0, 0.0]
    """
    return np.asarray((np.abs(time) <= 0.5 * fwhm).astype(np.float64))


def trapezoid(time: Floats, fwhm: Floats, ingress: float = 0.5) -> Floats:
    """A trapezoid, whose rise and fall take a share of the full width at half maximum.

    Examples
    --------
    >>> trapezoid(np.array([0.0, 0.75, 1.0, 1.5]), np.array(2.0)).tolist()
    [1.0, 0.75, 0.5, 0.0]
    """
    return np.asarray(np.clip((0.5 * fwhm * (1.0 + ingress) - np.abs(time)) / (ingress * fwhm), 0.0, 1.0))


def occultation(time: Floats, fwhm: Floats) -> Floats:
    """A trapezoid with short ingress and egress, 0.3 of the width each."""
    return trapezoid(time, fwhm, 0.3)


def flare(time: Floats, fwhm: Floats) -> Floats:
    """A stellar flare (Davenport et al. 2014, ApJ 797, 122): a polynomial rise, a decay of two exponentials.

    Examples
    --------
    >>> flare(np.array([-2.1, 0.0, 2.0]), np.array(2.0)).round(3).tolist()
    [0.0, 1.0, 0.371]
    """
    t = time / fwhm
    early = np.clip(t, -1.0, 0.0)
    rise = 1.0 + early * (1.941 + early * (-0.175 + early * (-2.246 + early * -1.125)))
    late = np.maximum(t, 0.0)
    decay = (0.6890 * np.exp(-1.600 * late) + 0.3030 * np.exp(-0.2783 * late)) / 0.992
    return np.asarray(np.where(t < -1.0, 0.0, np.where(t < 0.0, np.maximum(rise, 0.0), decay)))


PROFILES: Mapping[str, tuple[Profile, float, float]] = {
    "gaussian": (gaussian, -1.1, 1.1),
    "box": (box, -0.5, 0.5),
    "flare": (flare, -1.0, 6.0),
    "occultation": (occultation, -0.65, 0.65),
    "trapezoid": (trapezoid, -0.75, 0.75),
}
"""Shapes by name, and where they begin and end in full widths; beyond, a Gaussian has 10⁻⁴ of its S/N."""


@lru_cache
def core(shape: str) -> tuple[float, float]:
    """Where a shape is at least a quarter of its height, from its middle in full widths at half maximum.

    Examples
    --------
    >>> core("box")
    (-0.5, 0.5)
    """
    profile, begin, end = PROFILES[shape]
    time = np.linspace(begin, end, 2001)
    high = time[profile(time, np.array(1.0)) >= 0.25]
    return float(high[0]), float(high[-1])


@lru_cache
def next_width(shape: str, overlap: float) -> float:
    """Ratio of two widths at which events of a shape have a given overlap, the cosine of the angle between them.

    A search with one width finds an event of the other one with this share of its S/N.

    Examples
    --------
    >>> round(next_width("box", 0.9), 3)  # the overlap of boxes is the square root of the ratio
    1.235
    """
    from scipy.optimize import brentq

    profile, begin, end = PROFILES[shape]
    time = np.linspace(20.0 * begin, 20.0 * end, 40_001)
    one = profile(time, np.array(1.0))

    def missing(ratio: float) -> float:
        other = profile(time, np.array(ratio))
        return float(one @ other / np.sqrt((one @ one) * (other @ other)) - overlap)

    return float(brentq(missing, 1.0 + 1e-9, 20.0))

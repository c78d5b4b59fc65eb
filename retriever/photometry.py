"""Magnitudes, fluxes, and the time scales of surveys. Pure functions over arrays.

Pogson's relation ties them: ``mag = zero_point - 2.5 log10(flux)``. Errors are propagated to first order.
"""

import numpy as np
from numpy.typing import ArrayLike

from retriever.arrays import Array, Floats

__all__ = [
    "AB_ZERO_POINT_UJY",
    "MAX_MAGNITUDE",
    "MJD_OF_JD",
    "TESS_ZERO_POINT",
    "TIME_OFFSETS",
    "flux_to_mag",
    "mag_to_flux",
    "to_mjd",
]


AB_ZERO_POINT_UJY = 23.9
"""Magnitude of one microjansky in the AB system (Oke & Gunn 1983, ApJ 266, 713)."""

TESS_ZERO_POINT = 20.44
"""TESS magnitude of 1 e-/s (TESS Instrument Handbook, 2018, v0.1)."""

MJD_OF_JD = 2400000.5
"""Julian Date of the zero of Modified Julian Date."""

TIME_OFFSETS = {
    "mjd": 0.0,
    "jd": -MJD_OF_JD,
    "btjd": 2457000 - MJD_OF_JD,
    "bkjd": 2454833 - MJD_OF_JD,
    "gaia": 2455197.5 - MJD_OF_JD,
}
"""What to add, in days, to times of a format to have them as MJD.

``btjd`` is TESS's BJD_TDB − 2457000, ``bkjd`` Kepler's BJD_TDB − 2454833, ``gaia`` Gaia's BJD_TCB − 2455197.5.
"""

MAX_MAGNITUDE = 60.0
"""Magnitudes beyond this, such as 99.99 or -999, stand for a missing one."""

_POGSON = 2.5 / np.log(10.0)


def mag_to_flux(mag: ArrayLike, mag_err: ArrayLike, zero_point: float) -> tuple[Floats, Floats]:
    """Turn magnitudes into fluxes.

    Parameters
    ----------
    mag, mag_err
        Magnitudes and their errors, of one shape.
    zero_point
        Magnitude of one unit of flux.

    Returns
    -------
    flux, flux_err
        In the unit of flux that `zero_point` defines.

    Examples
    --------
    >>> flux, err = mag_to_flux([23.9], [0.1], 23.9)
    >>> float(flux[0]), round(float(err[0]), 4)
    (1.0, 0.0921)
    """
    flux = np.power(10.0, 0.4 * (zero_point - np.asarray(mag, float)))
    return flux, flux * np.asarray(mag_err, float) / _POGSON


def flux_to_mag(flux: ArrayLike, flux_err: ArrayLike, zero_point: float | Floats) -> tuple[Floats, Floats]:
    """Turn fluxes into magnitudes; a flux of zero or less has none and gives NaN.

    Examples
    --------
    >>> mag, err = flux_to_mag([1.0, -1.0], [0.1, 0.1], 23.9)
    >>> [float(value) for value in mag]
    [23.9, nan]
    """
    flux, flux_err = np.asarray(flux, float), np.asarray(flux_err, float)
    positive = np.where(flux > 0, flux, np.nan)
    return zero_point - 2.5 * np.log10(positive), _POGSON * flux_err / positive


def to_mjd(time: Array, time_format: str) -> Floats:
    """Turn times of a survey's format into MJD, in the time scale they had.

    Examples
    --------
    >>> float(to_mjd(np.array([2400000.5]), "jd")[0])
    0.0
    """
    return np.asarray(time, np.float64) + TIME_OFFSETS[time_format]

"""Positions on the sky: proper motion, offsets, separations. Correct at the poles and across RA 0.

All calculations use unit vectors, because differences of right ascension fail at the poles and across RA 0.
"""

import re
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from retriever.arrays import Floats

__all__ = ["julian_year", "moved", "offsets_arcsec", "place_in", "separation_arcsec"]


Vectors = tuple[Floats, Floats, Floats]
"""Three coordinates of one or many directions."""

ARCSEC_PER_RADIAN = 180 * 3600 / np.pi


def julian_year(mjd: ArrayLike) -> Floats:
    """Julian year of an MJD.

    Examples
    --------
    >>> float(julian_year(51544.5))
    2000.0
    """
    return 2000.0 + (np.asarray(mjd, float) - 51544.5) / 365.25


def place_in(text: str) -> tuple[float, float] | None:
    """Right ascension and declination in degrees from a text of two numbers; None if it is not a position.

    Examples
    --------
    >>> place_in("208.29 -4.8"), place_in("400 10"), place_in("TIC 1")
    ((208.29, -4.8), None, None)
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d*)?)[\s,]+([+-]?\d+(?:\.\d*)?)\s*", text)
    if not match:
        return None
    ra, dec = float(match[1]), float(match[2])
    return (ra, dec) if ra < 360 and abs(dec) <= 90 else None


def moved(ra: ArrayLike, dec: ArrayLike, pmra: ArrayLike, pmdec: ArrayLike, years: ArrayLike) -> tuple[Floats, Floats]:
    """Move positions by their proper motion, along great circles.

    Radial motion and parallax are ignored. Over a century both are far below an arc second for all known stars
    except the very nearest.

    Parameters
    ----------
    ra, dec
        Degrees.
    pmra, pmdec
        mas per Julian year; `pmra` includes the factor cos(dec). NaN counts as no motion.
    years
        Julian years to move, negative for back in time.

    Returns
    -------
    ra, dec
        Degrees, 0 <= ra < 360.

    Examples
    --------
    >>> ra, dec = moved(10.0, 0.0, 1000.0, 0.0, 3600.0)
    >>> round(float(ra), 6), round(abs(float(dec)), 6)
    (11.0, 0.0)
    """
    per_year = 1e-3 / ARCSEC_PER_RADIAN
    east = np.nan_to_num(np.asarray(pmra, float)) * per_year * years
    north = np.nan_to_num(np.asarray(pmdec, float)) * per_year * years
    angle = np.hypot(east, north)
    with np.errstate(invalid="ignore", divide="ignore"):
        sine = np.where(angle > 0, np.sin(angle) / angle, 1.0)
    to_east, to_north, outward = _basis(ra, dec)
    x, y, z = (outward[k] * np.cos(angle) + (to_east[k] * east + to_north[k] * north) * sine for k in range(3))
    return np.degrees(np.arctan2(y, x)) % 360.0, np.degrees(np.arctan2(z, np.hypot(x, y)))


def offsets_arcsec(
    ra: ArrayLike,
    dec: ArrayLike,
    ra0: ArrayLike,
    dec0: ArrayLike,
    spread: Callable[[Floats], Floats] = lambda values: values,
) -> tuple[Floats, Floats]:
    """Offsets to the east and north of a reference position, on the plane tangent to the sky there, in arcsec.

    Parameters
    ----------
    ra, dec, ra0, dec0
        Positions and reference, in degrees.
    spread
        Expands one value for each reference to one value for each position, if several positions share a reference.

    Examples
    --------
    >>> east, north = offsets_arcsec(np.array([0.0005]), np.array([0.0]), 359.9995, 0.0)
    >>> round(float(east[0]), 3)
    3.6
    """
    to_east, to_north, _ = (tuple(spread(part) for part in vector) for vector in _basis(ra0, dec0))
    ra, dec = np.radians(np.asarray(ra, float)), np.radians(np.asarray(dec, float))
    cos_dec = np.cos(dec)
    point = cos_dec * np.cos(ra), cos_dec * np.sin(ra), np.sin(dec)
    east = point[0] * to_east[0] + point[1] * to_east[1]
    north = point[0] * to_north[0] + point[1] * to_north[1] + point[2] * to_north[2]
    return east * ARCSEC_PER_RADIAN, north * ARCSEC_PER_RADIAN


def separation_arcsec(ra: Floats | float, dec: Floats | float, ra0: Floats | float, dec0: Floats | float) -> Floats:
    """Angular separation, in arcsec (haversine formula, exact for small and large angles).

    Examples
    --------
    >>> round(float(separation_arcsec(0.0, 90.0, 180.0, 89.0)), 3)
    3600.0
    """
    ra, dec, ra0, dec0 = (np.radians(np.asarray(angle, float)) for angle in (ra, dec, ra0, dec0))
    half = np.sin(0.5 * (dec - dec0)) ** 2 + np.cos(dec) * np.cos(dec0) * np.sin(0.5 * (ra - ra0)) ** 2
    return np.asarray(2 * np.arcsin(np.sqrt(np.clip(half, 0, 1))) * ARCSEC_PER_RADIAN)


def _basis(ra: ArrayLike, dec: ArrayLike) -> tuple[Vectors, Vectors, Vectors]:
    """Unit vectors to the east, to the north and outward, at positions in degrees."""
    ra, dec = np.radians(np.asarray(ra, float)), np.radians(np.asarray(dec, float))
    sin_ra, cos_ra, sin_dec, cos_dec = np.sin(ra), np.cos(ra), np.sin(dec), np.cos(dec)
    zero = 0.0 * sin_ra
    return (
        (-sin_ra, cos_ra, zero),
        (-sin_dec * cos_ra, -sin_dec * sin_ra, cos_dec),
        (cos_dec * cos_ra, cos_dec * sin_ra, sin_dec),
    )

"""Finding rows of catalogs by place: nearest row, cone, cross-match.

Proper motion is applied. Positions at the poles and across RA 0 are handled.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retriever.arrays import Floats
from retriever.astrometry import moved, separation_arcsec
from retriever.source import SourceTable

__all__ = ["Matches", "cone", "match", "nearest_row", "places_at"]


def places_at(sources: SourceTable, year: float) -> tuple[Floats, Floats]:
    """Right ascension and declination of all sources in degrees at a Julian year.

    Examples
    --------
    >>> table = SourceTable.from_columns(name=["A"], ra=[0.0], dec=[0.0], pmra=[-3600.0], pmdec=[0.0])
    >>> float(places_at(table, 2001.0)[0][0])
    359.999
    """
    return moved(sources.ra, sources.dec, sources.pmra, sources.pmdec, year - sources.epoch)


def cone(
    sources: SourceTable, ra: float, dec: float, radius_arcsec: float, year: float = 2000.0
) -> tuple[NDArray[np.int64], Floats]:
    """Rows within a circle, the nearest first, and their distances.

    Parameters
    ----------
    ra, dec
        Centre in degrees.
    radius_arcsec
        Of the circle.
    year
        Julian year at which places are compared.

    Returns
    -------
    rows, distances
        Row numbers, and arcsec.

    Examples
    --------
    >>> table = SourceTable.from_columns(name=["A", "B"], ra=[359.9999, 10.0], dec=[0.0, 0.0])
    >>> cone(table, 0.0001, 0.0, 1.0)[0].tolist()
    [0]
    """
    distances = separation_arcsec(*places_at(sources, year), ra, dec)
    rows = np.flatnonzero(distances <= radius_arcsec)
    rows = rows[np.argsort(distances[rows], kind="stable")]
    return rows, distances[rows]


def nearest_row(sources: SourceTable, ra: float, dec: float, year: float = 2000.0) -> tuple[int, float]:
    """The row nearest to a place, and its distance in arcsec.

    Examples
    --------
    >>> table = SourceTable.from_columns(name=["A", "B"], ra=[10.0, 190.0], dec=[89.9999, 89.0])
    >>> nearest_row(table, 190.0, 89.9999)[0]
    0
    """
    distances = separation_arcsec(*places_at(sources, year), ra, dec)
    row = int(np.argmin(distances))
    return row, float(distances[row])


@dataclass(frozen=True, kw_only=True, eq=False)
class Matches:
    """Pairs of rows of two catalogs.

    Attributes
    ----------
    first, second
        Row numbers.
    distance
        In arcsec.
    n_shared
        Rows of the first catalog whose nearest row of the second is nearest to more than one of them.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    distance: Floats
    n_shared: int = 0


def match(
    first: SourceTable, second: SourceTable, radius_arcsec: float, year: float = 2000.0, *, mutual: bool = True
) -> Matches:
    """The nearest row of a second catalog for each row of a first one, where there is one within a radius.

    Parameters
    ----------
    first, second
        The catalogs; both are moved to one epoch by their proper motions.
    radius_arcsec
        Largest distance.
    year
        Julian year at which places are compared.
    mutual
        Whether the row of the first catalog must also be the nearest to that of the second.

    Examples
    --------
    >>> a = SourceTable.from_columns(name=["A", "B", "C"], ra=[10.0, 20.0, 20.0002], dec=[0.0, 0.0, 0.0])
    >>> b = SourceTable.from_columns(name=["X"], ra=[20.0001], dec=[0.00001])
    >>> matches = match(a, b, 1.0, mutual=False)
    >>> matches.first.tolist(), matches.second.tolist(), matches.distance.round(2).tolist(), matches.n_shared
    ([1, 2], [0, 0], [0.36, 0.36], 2)
    >>> len(match(a, b, 1.0).first)
    1
    """
    from astropy import units
    from astropy.coordinates import SkyCoord

    places: list[SkyCoord] = [SkyCoord(*places_at(table, year), unit=units.deg) for table in (first, second)]
    index, separation, _ = places[0].match_to_catalog_sky(places[1])
    distance = np.asarray(separation.arcsec)
    near = np.flatnonzero(distance <= radius_arcsec)
    partner = np.asarray(index)[near].astype(np.int64)
    n_shared = int(np.count_nonzero(np.bincount(partner, minlength=len(second))[partner] > 1))
    if mutual:
        back = np.asarray(places[1].match_to_catalog_sky(places[0])[0])
        is_mutual = back[partner] == near
        near, partner = near[is_mutual], partner[is_mutual]
    return Matches(first=near, second=partner, distance=distance[near], n_shared=n_shared)

"""Marks epochs that are not to be trusted."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retriever.astrometry import offsets_arcsec
from retriever.lightcurve import Lightcurve
from retriever.source import Source
from retriever.statistics import robust_moments

__all__ = ["StandardQuality", "position_offset"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class StandardQuality:
    """Bad are epochs that the survey flags, that have no finite flux or error, or whose position is off.

    Parameters
    ----------
    use_flags
        Whether the survey's bad bits (as the reducer's `flag_mask` chose them) make an epoch bad.
    max_offset
        Largest distance from the light curve's median position, in robust sigmas; 0 for any.

    Examples
    --------
    >>> lc = Lightcurve.from_columns(band="r", time=[1.0, 2.0], flux=[1.0, np.nan], flux_err=[0.1, 0.1],
    ...                              mag=[20.0, np.nan], mag_err=[0.1, np.nan])
    >>> StandardQuality().assess(Source(name="X", ra=0.0, dec=0.0), lc).qflag.tolist()
    [False, True]
    """

    use_flags: bool = True
    max_offset: float = 10.0

    def assess(self, source: Source, lightcurve: Lightcurve) -> Lightcurve:
        """Give the light curve with `qflag`, and `offset` (in robust sigmas) where it has positions."""
        bad = ~(np.isfinite(lightcurve.flux) & np.isfinite(lightcurve.flux_err))
        if self.use_flags:
            bad |= lightcurve.qflag
        offset = position_offset(lightcurve, ~bad)
        if offset is not None and self.max_offset > 0:
            bad |= np.greater(offset, self.max_offset)
        # epochs that stay as they were keep the moments that are known of them
        changes: dict[str, Any] = {} if np.array_equal(bad, lightcurve.qflag) else {"qflag": bad}
        if offset is not None:
            changes["extra"] = {**lightcurve.extra, "offset": offset}
        return lightcurve.replace(**changes)


def position_offset(lightcurve: Lightcurve, trusted: NDArray[np.bool_]) -> Floats | None:
    """Distance of each epoch from the median position of the trusted ones, each axis in its own robust sigmas.

    Positions are `ra` and `dec`, else the centroids `x` and `y` in pixels.

    Returns
    -------
    numpy.ndarray or None
        NaN where there is no position, or where positions do not scatter; None when the light curve has none.
    """
    if lightcurve.ra is not None and lightcurve.dec is not None:
        known = trusted & np.isfinite(lightcurve.ra) & np.isfinite(lightcurve.dec)
        if not known.any():
            return np.full(lightcurve.n_epochs, np.nan)
        # a reference within an arc second or so is enough: the medians are taken on the plane around it
        start = int(np.argmax(known))
        x, y = offsets_arcsec(lightcurve.ra, lightcurve.dec, lightcurve.ra[start], lightcurve.dec[start])
    elif "x" in lightcurve.extra and "y" in lightcurve.extra:
        x, y = lightcurve.extra["x"], lightcurve.extra["y"]
        known = trusted & np.isfinite(x) & np.isfinite(y)
        if not known.any():
            return np.full(lightcurve.n_epochs, np.nan)
    else:
        return None
    return np.hypot(_in_sigmas(x, known), _in_sigmas(y, known))


def _in_sigmas(values: Floats, known: NDArray[np.bool_]) -> Floats:
    center, scatter = robust_moments(values[known])
    if not scatter > 0:
        scatter = float(np.abs(values[known] - center).max())  # more than half the values are the same
    return (values - center) / scatter if scatter > 0 else np.where(np.isfinite(values), 0.0, np.nan)

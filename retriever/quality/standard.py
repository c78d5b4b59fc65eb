"""Marks epochs that are not to be trusted."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retriever.arrays import Floats
from retriever.astrometry import offsets_arcsec
from retriever.lightcurve import Lightcurve
from retriever.lightcurves import LightcurveBatch
from retriever.source import Source
from retriever.statistics import ragged_moments, robust_moments

__all__ = ["StandardQuality", "position_offset", "position_offsets"]


@dataclass(frozen=True, kw_only=True)
class StandardQuality:
    """Bad are epochs that the survey flags, that have no finite flux or error, or whose position is off.

    In a light curve whose epochs have no errors at all, a missing error is no fault.

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
        bad = ~np.isfinite(lightcurve.flux)
        has_error = np.isfinite(lightcurve.flux_err)
        if has_error.any():
            bad |= ~has_error
        if self.use_flags:
            bad |= lightcurve.qflag
        offset = position_offset(lightcurve, ~bad)
        if offset is not None and self.max_offset > 0:
            bad |= np.greater(offset, self.max_offset)
        # epochs that stay as they were keep the moments that are known of them
        changes: dict[str, object] = {} if np.array_equal(bad, lightcurve.qflag) else {"qflag": bad}
        if offset is not None:
            changes["extra"] = {**lightcurve.extra, "offset": offset}
        return lightcurve.replace(**changes)

    def assess_many(self, batch: LightcurveBatch) -> LightcurveBatch:
        """The same as `assess`, for all light curves of a batch at once."""
        has_error = np.isfinite(batch.columns["flux_err"])
        bad = ~np.isfinite(batch.columns["flux"])
        bad |= ~has_error & batch.spread(batch.count(has_error) > 0)
        if self.use_flags:
            bad |= batch.columns["qflag"]
        offset = position_offsets(batch, ~bad)
        if offset is not None and self.max_offset > 0:
            with np.errstate(invalid="ignore"):
                bad |= np.greater(offset, self.max_offset)
        changes = {} if np.array_equal(bad, batch.columns["qflag"]) else {"qflag": bad}
        return batch.replace(**changes, **({} if offset is None else {"offset": offset}))


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


def position_offsets(batch: LightcurveBatch, trusted: NDArray[np.bool_]) -> Floats | None:
    """The same as `position_offset`, for all light curves of a batch at once."""
    columns = batch.columns
    if "ra" in columns and "dec" in columns:
        known = trusted & np.isfinite(columns["ra"]) & np.isfinite(columns["dec"])
        start = _first_true(known, batch)
        x, y = offsets_arcsec(columns["ra"], columns["dec"], columns["ra"][start], columns["dec"][start], batch.spread)
    elif "x" in columns and "y" in columns:
        x, y = columns["x"], columns["y"]
        known = trusted & np.isfinite(x) & np.isfinite(y)
    else:
        return None
    offset = np.hypot(_all_in_sigmas(x, known, batch), _all_in_sigmas(y, known, batch))
    offset[batch.spread(batch.count(known) == 0)] = np.nan
    return np.asarray(offset)


def _first_true(mask: NDArray[np.bool_], batch: LightcurveBatch) -> NDArray[np.int64]:
    """First epoch of each light curve for which the mask is true; its first epoch where it never is."""
    place = np.flatnonzero(mask)
    at = np.searchsorted(place, batch.offsets[:-1])
    first = place[np.minimum(at, place.size - 1)] if place.size else batch.offsets[:-1]
    return np.where(first < batch.offsets[1:], np.maximum(first, batch.offsets[:-1]), batch.offsets[:-1])


def _all_in_sigmas(values: Floats, known: NDArray[np.bool_], batch: LightcurveBatch) -> Floats:
    center, scatter = ragged_moments(values, batch.offsets, known)
    with np.errstate(invalid="ignore", divide="ignore"):
        flat = ~(scatter > 0)
        if flat.any():
            distance = np.where(known, np.abs(values - batch.spread(center)), -np.inf)
            widest = np.maximum.reduceat(distance, batch.offsets[:-1]) if values.size else np.zeros(0)
            scatter = np.where(flat, widest, scatter)
        sigmas = (values - batch.spread(center)) / batch.spread(scatter)
        constant = batch.spread(~(scatter > 0))
        if constant.any():
            sigmas = np.where(constant, np.where(np.isfinite(values), 0.0, np.nan), sigmas)
    return np.asarray(sigmas)


def _in_sigmas(values: Floats, known: NDArray[np.bool_]) -> Floats:
    center, scatter = robust_moments(values[known])
    if not scatter > 0:
        scatter = float(np.abs(values[known] - center).max())  # more than half the values are the same
    return (values - center) / scatter if scatter > 0 else np.where(np.isfinite(values), 0.0, np.nan)

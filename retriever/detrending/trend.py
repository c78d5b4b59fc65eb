"""What all detrenders share: pieces between gaps, candidates kept out of the fit, and how a trend is removed."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from retriever.arrays import Floats
from retriever.errors import ConfigError
from retriever.lightcurve import Lightcurve
from retriever.photometry import flux_to_mag
from retriever.statistics import median, robust_moments

__all__ = ["Detrender", "pieces_between_gaps"]

_MASKS = 3
"""Most times that a trend is fitted again without candidates; a strong event bends the first fits."""

_FEWEST = 5
"""Usable epochs of a piece below which its trend is their median."""


@dataclass(frozen=True, kw_only=True)
class Detrender:
    """A trend is fitted to each piece of a light curve between gaps, and removed.

    A detrender of its own inherits this and gives `trend_of_piece`, or `fitter` if later fits can use earlier ones.

    Parameters
    ----------
    gap
        A longer time without usable epochs, in days, begins a new piece; 0 for never.
    edge
        Epochs so near to the beginning or end of a piece, in days, where windows are one-sided, are marked as bad.
    mask
        Distance from the trend, in robust sigmas, beyond which runs of epochs are candidates and left out when the
        trend is fitted again, up to three times; 0 for one fit of all epochs.
    pad
        Days by which the mask is longer than a run, on both sides.
    remove
        "divide": flux over trend, times the median flux; for stars. "subtract": flux less trend, plus the median; for
        difference photometry. A light curve whose trend is not positive everywhere is never divided.
    """

    gap: float = 0.5
    edge: float = 0.0
    mask: float = 4.0
    pad: float = 0.02
    remove: str = "divide"

    def __post_init__(self) -> None:
        if self.remove not in ("divide", "subtract"):
            raise ConfigError(f"detrend.remove is {self.remove!r}; it is divide or subtract")
        for name in ("gap", "edge", "mask", "pad"):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"detrend.{name} is {getattr(self, name):g}; give zero or more")

    def trend_of_piece(self, time: Floats, flux: Floats, use: NDArray[np.bool_]) -> Floats:
        """Trend at all epochs of a piece, fitted to those to use, of which there are at least five.

        Parameters
        ----------
        time
            Times of all epochs of a piece, in days and in order.
        flux
            Fluxes, in any unit.
        use
            Which of them count.
        """
        return self.fitter(time, flux)(use)

    def fitter(self, time: Floats, flux: Floats) -> Callable[[NDArray[np.bool_]], Floats]:
        """A function of the epochs to use that gives the trend; it is called again without candidates."""
        return partial(self.trend_of_piece, time, flux)

    def trend(self, lightcurve: Lightcurve) -> Floats:
        """The trend at all epochs, in the light curve's unit of flux."""
        time, flux, usable = lightcurve.time, lightcurve.flux, lightcurve.usable
        trend = np.full(time.size, np.nan)
        for piece in pieces_between_gaps(time, usable, self.gap):
            t, f, use = time[piece], flux[piece], usable[piece]
            if np.count_nonzero(use) < _FEWEST:
                trend[piece] = median(f[use]) if use.any() else np.nan
                continue
            fit = self.fitter(t, f)
            fitted = fit(use)
            kept = use
            for _ in range(_MASKS if self.mask else 0):
                calm = use & ~_candidates(t, f - fitted, use, self.mask, self.pad)
                if np.array_equal(calm, kept) or np.count_nonzero(calm) < _FEWEST:
                    break
                kept = calm
                fitted = fit(kept)
            trend[piece] = fitted
        return trend

    def detrend(self, lightcurve: Lightcurve) -> Lightcurve:
        """Give the light curve without its trend, around its median flux; errors follow."""
        usable = lightcurve.usable
        if not usable.any():
            return lightcurve
        trend, level = self.trend(lightcurve), median(lightcurve.flux[usable])
        flux, flux_err = lightcurve.flux - trend + level, lightcurve.flux_err
        if self.remove == "divide" and level > 0 and (trend[np.isfinite(trend)] > 0).all():
            with np.errstate(invalid="ignore"):
                flux, flux_err = lightcurve.flux / trend * level, flux_err / trend * level
        mag, mag_err = flux_to_mag(flux, flux_err, lightcurve.zero_point)
        qflag = lightcurve.qflag
        if self.edge:
            qflag = qflag | self._near_edges(lightcurve)
        return lightcurve.replace(flux=flux, flux_err=flux_err, mag=mag, mag_err=mag_err, qflag=qflag)

    def _near_edges(self, lightcurve: Lightcurve) -> NDArray[np.bool_]:
        near = np.zeros(lightcurve.n_epochs, np.bool_)
        for piece in pieces_between_gaps(lightcurve.time, lightcurve.usable, self.gap):
            times = lightcurve.time[piece]
            known = times[lightcurve.usable[piece]]
            if known.size:
                near[piece] = (times < known[0] + self.edge) | (times > known[-1] - self.edge)
        return near


def pieces_between_gaps(time: Floats, usable: NDArray[np.bool_], gap: float) -> Iterator[slice]:
    """Runs of epochs in which no two neighbouring usable ones are farther apart than a gap.

    Examples
    --------
    >>> time = np.array([0.0, 1.0, 2.0, 9.0, 10.0])
    >>> [(piece.start, piece.stop) for piece in pieces_between_gaps(time, np.ones(5, bool), 3.0)]
    [(0, 3), (3, 5)]
    """
    epochs = np.flatnonzero(usable)
    breaks = epochs[1:][np.diff(time[epochs]) > gap] if gap > 0 else epochs[:0]
    bounds = [0, *breaks.tolist(), time.size]
    for first, last in itertools.pairwise(bounds):
        yield slice(first, last)


def _candidates(time: Floats, residual: Floats, use: NDArray[np.bool_], limit: float, pad: float) -> NDArray[np.bool_]:
    """Epochs far from the trend, and those within `pad` days of them."""
    center, scatter = robust_moments(residual[use])
    if not scatter > 0:
        return np.zeros(time.size, np.bool_)
    far = time[use & (np.abs(residual - center) > limit * scatter)]
    if not far.size:
        return np.zeros(time.size, np.bool_)
    after = np.searchsorted(far, time)
    since = time - far[np.maximum(after - 1, 0)]
    until = far[np.minimum(after, far.size - 1)] - time
    return (np.abs(since) <= pad) | (np.abs(until) <= pad)

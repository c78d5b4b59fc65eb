"""Finds transiting planets by the shape of their transits: transit least squares."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from retriever.arrays import Floats
from retriever.detection import Detection
from retriever.errors import ConfigError
from retriever.finders.events import find_in_one
from retriever.finders.transits import Candidate, described, search_each
from retriever.lightcurve import Lightcurve
from retriever.lightcurves import LightcurveBatch
from retriever.noise import check_noise_model
from retriever.schema import Columns

__all__ = ["TransitLeastSquaresFinder"]


@dataclass(frozen=True, kw_only=True)
class TransitLeastSquaresFinder:
    """The limb-darkened transit that repeats most clearly (Hippke & Heller 2019, A&A 623, A39), one a light curve.

    It finds more of the small planets than `BLSFinder` does, and takes several times as long. It needs the package
    transitleastsquares: ``pip install 'retriever[tls]'``. Light curves should be detrended first, in
    windows three times as long as the longest duration (``detrend=biweight``).

    The period, duration and SDE are those of that package; depth, S/N, odd and even transits and the secondary are
    measured on all epochs as `BLSFinder` does.

    Parameters
    ----------
    sde_threshold
        Least SDE. Of light curves of white noise, one in a hundred exceeds 7.0 and one in a thousand 8.3 (table of the
        package).
    snr_threshold
        Least S/N of the depth.
    shortest, longest
        Limits of the period in days; a longest of 0 is the length of the light curve over `transits`.
    transits
        Fewest transits that must have been observed.
    stellar_radius, stellar_mass
        Of the stars, in units of the Sun's.
    limb_darkening
        Coefficients of the quadratic law.
    oversampling
        How many times finer the grid of periods is than a transit needs at least.
    clip
        Brightenings above so many times the noise, such as flares, are left out; 0 for none.
    noise
        How the noise of an epoch is judged; see `retriever.noise`.
    """

    sde_threshold: float = 7.0
    snr_threshold: float = 7.0
    shortest: float = 0.5
    longest: float = 0.0
    transits: int = 2
    stellar_radius: float = 1.0
    stellar_mass: float = 1.0
    limb_darkening: tuple[float, float] = (0.48, 0.19)
    oversampling: int = 3
    clip: float = 4.0
    noise: str = "rescaled"

    def __post_init__(self) -> None:
        check_noise_model(self.noise, "finder.noise")
        if self.transits < 2 or not self.shortest > 0 or self.oversampling < 1:
            raise ConfigError(
                "finder.transits must be 2 or more, finder.shortest above zero, finder.oversampling 1 or more"
            )
        if not (self.stellar_radius > 0 and self.stellar_mass > 0):
            raise ConfigError("finder.stellar_radius and finder.stellar_mass must be above zero")
        _package()

    def find(self, lightcurve: Lightcurve) -> tuple[Mapping[str, Any], tuple[Detection, ...]]:
        """Give the score `snr` of every epoch by itself, and the most significant periodic transit."""
        return find_in_one(self, lightcurve)

    def find_many(self, batch: LightcurveBatch) -> tuple[Columns, Columns]:
        """The same as `find`, for all light curves of a batch, one after the other."""
        return search_each(self, batch, self._search)

    def _search(self, time: Floats, flux: Floats, noise: Floats) -> dict[str, Any]:
        """The best period of one light curve, of heights above its median; empty where none is significant."""
        span = time[-1] - time[0] if time.size else 0.0
        longest = self.longest or span / self.transits
        if time.size < 10 or longest <= self.shortest:
            return {}
        # its flux is relative to a level, here far above all heights, so that difference photometry is searched too
        unit = 100.0 * float(np.abs(flux).max())
        if not unit > 0:
            return {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of grids that it makes coarser or finer by itself
            try:
                found = _package().transitleastsquares(time, 1.0 + flux / unit, noise / unit, verbose=False).power(
                    period_min=self.shortest, period_max=longest, n_transits_min=self.transits,
                    R_star=self.stellar_radius, M_star=self.stellar_mass, u=list(self.limb_darkening),
                    oversampling_factor=self.oversampling, use_threads=1, show_progress_bar=False,
                    transit_depth_min=1e-9,
                )  # fmt: skip
            except ValueError:  # its grid of periods or of durations is empty: no transit has an epoch to itself
                return {}
        if not (found.period > 0 and found.duration > 0) or not self.sde_threshold <= found.SDE:
            return {}
        candidate = Candidate(
            period=float(found.period), duration=float(found.duration), middle=float(found.T0), sde=float(found.SDE),
            n_periods=len(found.periods),
        )  # fmt: skip
        return described(time, flux, noise, candidate, snr_threshold=self.snr_threshold, transits=self.transits)


def _package() -> Any:
    try:
        import transitleastsquares
    except ImportError as error:
        raise ConfigError(
            "finder=transit_least_squares needs the package transitleastsquares; pip install 'retriever[tls]'"
        ) from error
    return transitleastsquares

"""Light curves upside down, and with their epochs in another order."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retriever.arrays import Floats
from retriever.errors import ConfigError
from retriever.lightcurve import Lightcurve
from retriever.photometry import flux_to_mag

__all__ = ["KINDS", "Scrambler", "flipped", "shuffled"]

KINDS = ("flipped", "shuffled")


@dataclass(frozen=True, kw_only=True)
class Scrambler:
    """Makes light curves in which nothing of the wanted kind can be found but false alarms.

    "flipped" light curves are turned upside down around their median: what is found in them with the sign of a wanted
    event is a false alarm, if real events have one sign. "shuffled" ones are block bootstraps (Künsch 1989, Ann. Stat.
    17, 1217): the fluxes of usable epochs outside detections are drawn in blocks and put at the times of all usable
    epochs, which keeps the distribution and the correlation of the noise and destroys events and periods.

    Parameters
    ----------
    share
        Share of the sources whose light curves are scrambled, drawn by name; 0 for none.
    kinds
        "flipped", "shuffled" or both.
    block
        Length of the blocks in days; 0 for single epochs. Blocks should be as long as noise is correlated.
    """

    share: float = 0.1
    kinds: tuple[str, ...] = KINDS
    block: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise ConfigError(f"scrambler.share is {self.share:g}; give a share from 0 to 1")
        if unknown := set(self.kinds) - set(KINDS):
            raise ConfigError(f"scrambler.kinds names {sorted(unknown)[0]!r}; it is {' or '.join(KINDS)}")
        if not self.block >= 0:
            raise ConfigError(f"scrambler.block is {self.block:g}; give zero days or more")

    def scramble(
        self, lightcurve: Lightcurve, kind: str, quiet: NDArray[np.bool_], rng: np.random.Generator
    ) -> Lightcurve:
        """Give a light curve without events.

        Parameters
        ----------
        quiet
            Epochs that belong to no detection.
        """
        if kind == "flipped":
            return flipped(lightcurve)
        return shuffled(lightcurve, quiet, self.block, rng)


def flipped(lightcurve: Lightcurve) -> Lightcurve:
    """A light curve upside down around its median flux."""
    return _with_flux(lightcurve, 2.0 * lightcurve.flux_moments[0] - lightcurve.flux, lightcurve.flux_err)


def shuffled(lightcurve: Lightcurve, quiet: NDArray[np.bool_], block: float, rng: np.random.Generator) -> Lightcurve:
    """A light curve whose usable epochs have fluxes and errors that are drawn, in blocks, from the quiet ones.

    Examples
    --------
    >>> lc = Lightcurve.from_columns(band="r", time=np.arange(6.0), flux=np.arange(6.0), flux_err=np.ones(6), mag=None,
    ...                              mag_err=None)
    >>> mixed = shuffled(lc, np.ones(6, bool), 2.0, np.random.default_rng(1))
    >>> mixed.flux.tolist()
    [2.0, 3.0, 3.0, 4.0, 4.0, 5.0]
    """
    places = np.flatnonzero(lightcurve.usable)
    pool = places[quiet[places]]
    if pool.size < 2:
        return lightcurve
    length = 1
    if block > 0:
        step = float(np.median(np.diff(lightcurve.time[pool])))
        length = int(np.clip(block / step if step > 0 else 1, 1, pool.size))
    starts = rng.integers(pool.size, size=-(-places.size // length))
    drawn = pool[(starts[:, None] + np.arange(length)).ravel()[: places.size] % pool.size]
    flux, flux_err = lightcurve.flux.copy(), lightcurve.flux_err.copy()
    flux[places], flux_err[places] = lightcurve.flux[drawn], lightcurve.flux_err[drawn]
    return _with_flux(lightcurve, flux, flux_err)


def _with_flux(lightcurve: Lightcurve, flux: Floats, flux_err: Floats) -> Lightcurve:
    mag, mag_err = flux_to_mag(flux, flux_err, lightcurve.zero_point)
    return lightcurve.replace(flux=flux, flux_err=flux_err, mag=mag, mag_err=mag_err)

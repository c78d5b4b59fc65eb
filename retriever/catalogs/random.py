"""A random sky to try things out on."""

from dataclasses import dataclass

import numpy as np

from retriever.errors import CatalogError
from retriever.identity import random_stream
from retriever.source import SourceTable

__all__ = ["RandomCatalog"]


@dataclass(frozen=True, kw_only=True)
class RandomCatalog:
    """Sources spread evenly over the sky; the first n are the same for every size.

    Places are rounded to 1e-6 degrees and magnitudes to 1e-4, so that they are the same on every processor.

    Parameters
    ----------
    size
        Number of sources.
    seed
        Seed of the sky.
    mag_min, mag_max
        Magnitudes are drawn evenly between these.
    band
        Name of the band that the magnitudes are in.

    Examples
    --------
    >>> small, large = RandomCatalog(size=3).load(), RandomCatalog(size=9).load()
    >>> bool((small.digests == large.digests[:3]).all())
    True
    """

    size: int = 1000
    seed: int = 0
    mag_min: float = 14.0
    mag_max: float = 19.0
    band: str = "r"

    def load(self) -> SourceTable:
        """Make the table of sources."""
        if self.size < 1:
            raise CatalogError(f"catalog.size is {self.size}; a random catalog needs at least one source")
        ra, sin_dec, depth = (
            random_stream(self.seed, "random catalog", column).random(self.size) for column in ("ra", "dec", "mag")
        )
        return SourceTable.from_columns(
            name=[f"random_{number:06d}" for number in range(self.size)],
            ra=np.round(360.0 * ra, 6) % 360.0,
            dec=np.round(np.degrees(np.arcsin(2.0 * sin_dec - 1.0)), 6),
            mag=np.round(self.mag_min + (self.mag_max - self.mag_min) * depth, 4),
            band=self.band,
        )

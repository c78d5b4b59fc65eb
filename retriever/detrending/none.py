"""No detrending."""

from dataclasses import dataclass

from retriever.lightcurve import Lightcurve

__all__ = ["NoDetrending"]


@dataclass(frozen=True, kw_only=True)
class NoDetrending:
    """Light curves stay as they were reduced; the stage is left out."""

    def detrend(self, lightcurve: Lightcurve) -> Lightcurve:
        """Give the light curve as it is."""
        return lightcurve

"""What searches a light curve. Finders can be used by themselves: ``finders.PeakFinder(snr_threshold=6).find(lc)``."""

from typing import TYPE_CHECKING

__all__ = [
    "BLSFinder",
    "CompositeFinder",
    "FlareFinder",
    "LombScargleFinder",
    "MatchedFilter",
    "PeakFinder",
    "TransitLeastSquaresFinder",
]

if TYPE_CHECKING:
    from retriever.finders.bls import BLSFinder
    from retriever.finders.composite import CompositeFinder
    from retriever.finders.flare import FlareFinder
    from retriever.finders.lomb_scargle import LombScargleFinder
    from retriever.finders.matched_filter import MatchedFilter
    from retriever.finders.peak import PeakFinder
    from retriever.finders.transit_least_squares import TransitLeastSquaresFinder
else:
    _MODULES = {
        "BLSFinder": "bls",
        "CompositeFinder": "composite",
        "FlareFinder": "flare",
        "LombScargleFinder": "lomb_scargle",
        "MatchedFilter": "matched_filter",
        "PeakFinder": "peak",
        "TransitLeastSquaresFinder": "transit_least_squares",
    }

    def __getattr__(name):
        if name not in _MODULES:
            raise AttributeError(f"module 'retriever.finders' has no attribute {name!r}")
        import importlib

        return getattr(importlib.import_module(f"retriever.finders.{_MODULES[name]}"), name)

    def __dir__():
        return __all__

"""The reduce stage: raw photometry in, light curves out."""

from retriever.errors import DataError
from retriever.lightcurve import Lightcurve, Reduction
from retriever.rawtable import RawPhotometry
from retriever.source import Source
from retriever.verbs import Reducer

__all__ = ["reduce"]


def reduce(reducer: Reducer, source: Source, raw: RawPhotometry) -> Reduction:
    """Reduce one source, and check that the reducer kept its word.

    Raises
    ------
    DataError
        When the reducer gave something else than a `Reduction` of non-empty light curves numbered 1 to n.
    """
    reduction = reducer.reduce(source, raw)
    if not isinstance(reduction, Reduction) or not all(isinstance(lc, Lightcurve) for lc in reduction.lightcurves):
        raise DataError(f"{type(reducer).__name__}.reduce gave no Reduction of light curves; mend the reducer")
    lightcurves = reduction.lightcurves
    if [lc.number for lc in lightcurves] != list(range(1, len(lightcurves) + 1)):
        raise DataError(f"{type(reducer).__name__} did not number its light curves 1, 2, ...; number them by start")
    if not all(lc.n_epochs for lc in lightcurves):
        raise DataError(f"{type(reducer).__name__} gave a light curve without epochs; leave such ones out")
    return reduction

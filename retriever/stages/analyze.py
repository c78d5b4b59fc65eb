"""The analyze stage: light curves in; scores, detections and properties out."""

from retriever.detection import Analyzed
from retriever.errors import DataError
from retriever.lightcurve import Lightcurve
from retriever.source import Source
from retriever.verbs import Analysis, Finder, Quality

__all__ = ["analyze"]


def analyze(
    analysis: Analysis, quality: Quality, finder: Finder, source: Source, lightcurves: tuple[Lightcurve, ...]
) -> Analyzed:
    """Search one source, and check that the analysis kept its word.

    Raises
    ------
    DataError
        When the analysis gave other light curves than it got: only `qflag` and further columns may be new.
    """
    result = analysis.analyze(source, lightcurves, quality, finder)
    if not isinstance(result, Analyzed):
        raise DataError(f"{type(analysis).__name__}.analyze gave a {type(result).__name__}, not Analyzed; mend it")
    got = [(lc.number, lc.n_epochs) for lc in result.lightcurves]
    if got != [(lc.number, lc.n_epochs) for lc in lightcurves]:
        raise DataError(
            f"{type(analysis).__name__} gave other light curves than it was given; give each back with its scores"
        )
    return result

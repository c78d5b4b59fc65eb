"""The simulate stage: events are put into processed light curves, and the same search is made of them."""

import dataclasses

import numpy as np

from retriever.detection import Analyzed, Detection, Injection, Simulated
from retriever.identity import random_stream
from retriever.lightcurve import Lightcurve
from retriever.source import Source
from retriever.stages.analyze import analyze
from retriever.verbs import Analysis, Finder, Quality, Simulator

__all__ = ["inject", "simulate"]


def inject(
    simulator: Simulator,
    source: Source,
    observatory: str,
    seed: int,
    reduced: tuple[Lightcurve, ...],
    processed: tuple[Lightcurve, ...],
) -> Simulated:
    """Put events into the light curves of one source; the same ones every time it is asked for.

    Parameters
    ----------
    observatory, seed
        With the source's name they seed the random stream.
    reduced, processed
        The light curves before and after analysis. Noise is judged on the processed ones, so that bad
        epochs do not count; what the search will get has the flags and columns of the reduced ones.
    """
    rng = random_stream(seed, "simulate", observatory, source.name)
    simulated = simulator.inject(processed, rng)
    before = {lc.number: lc for lc in reduced}
    fresh = tuple(
        lc.replace(qflag=before[lc.number].qflag, extra=before[lc.number].extra) for lc in simulated.lightcurves
    )
    return Simulated(lightcurves=fresh, injections=simulated.injections)


def simulate(
    simulator: Simulator,
    analysis: Analysis,
    quality: Quality,
    finder: Finder,
    source: Source,
    observatory: str,
    seed: int,
    reduced: tuple[Lightcurve, ...],
    found: Analyzed,
) -> Simulated:
    """Inject events into one source's light curves, search them, and mark which were recovered.

    An event counts as recovered when a detection overlaps the stretch of one full width at half maximum around its
    middle; as blended when a detection overlapped it before the injection.
    """
    simulated = inject(simulator, source, observatory, seed, reduced, found.lightcurves)
    if not simulated.lightcurves:
        return simulated
    result = analyze(analysis, quality, finder, source, simulated.lightcurves)
    return Simulated(
        lightcurves=result.lightcurves,
        injections=tuple(_judged(truth, result.detections, found.detections) for truth in simulated.injections),
    )


def _judged(truth: Injection, after: tuple[Detection, ...], before: tuple[Detection, ...]) -> Injection:
    hits = [detection.snr for detection in after if _overlap(truth, detection)]
    strongest = float(hits[int(np.argmax(np.abs(hits)))]) if hits else float("nan")
    return dataclasses.replace(
        truth,
        recovered=bool(hits),
        found_snr=strongest,
        blended=any(_overlap(truth, detection) for detection in before),
    )


def _overlap(truth: Injection, detection: Detection) -> bool:
    return (
        truth.lightcurve == detection.lightcurve
        and detection.time_first <= truth.time_peak + 0.5 * truth.width
        and detection.time_last >= truth.time_peak - 0.5 * truth.width
    )

"""The analyze stage: light curves in; scores, detections and properties out."""

import numpy as np

from retriever.arrays import Floats
from retriever.attempt import Failure, attempt
from retriever.batch import Batch, Components, Made
from retriever.detection import DETECTIONS, Analyzed, columns_of_records, pack_properties, property_tables
from retriever.digests import digest_epochs, digest_rows
from retriever.errors import ConfigError, DataError
from retriever.histogram import Histograms
from retriever.interfaces import Analysis, BatchAnalysis, Finder, Quality
from retriever.lifting import AnalyzedBatch
from retriever.lightcurve import Lightcurve
from retriever.lightcurves import LightcurveSet
from retriever.outcome import Outcome
from retriever.ragged import select_items
from retriever.schema import Columns, Tables
from retriever.scores import count_epochs, score_tables, score_tables_of_objects, with_scores
from retriever.source import Source, SourceTable
from retriever.statistics import ragged_medians

__all__ = ["analyze", "barycentric_peaks", "noise_around", "run", "search", "search_all"]


def run(components: Components, batch: Batch) -> Made:
    """Search the light curves of a batch of sources."""
    made = Made.none(len(batch))
    lightcurves = LightcurveSet.read(batch.inputs["lightcurves"])
    result = search(components, batch.sources, lightcurves)
    if result is not None:
        added = _tables_of(result, lightcurves)
    else:
        added = _one_by_one(components, batch.sources, lightcurves, made)
    made.tables = added
    detections = made.tables["detections"]
    detections["bjd_peak"] = barycentric_peaks(lightcurves, detections)
    detections["noise"] = noise_around(lightcurves, detections)
    made.n_rows = np.bincount(detections["source"], minlength=len(batch)).astype(np.int64)
    done = np.flatnonzero(made.outcome == Outcome.DONE)
    events = digest_rows(len(batch), detections)
    texts = digest_rows(len(batch), made.tables["properties"])
    headers = [bytes(a) + bytes(b) for a, b in zip(events.tolist(), texts.tolist(), strict=True)]
    made.digest = digest_epochs(made.tables, "scored", "scores", headers)
    made.digest[made.outcome == Outcome.FAILED] = b""
    if result is None:
        before, after = with_scores(select_items(batch.inputs["lightcurves"], done), select_items(made.tables, done))
    else:
        before, after = lightcurves, result.lightcurves
    made.counts = count_epochs(before, after, components.get("histograms", Histograms()))
    return made


def search(components: Components, sources: SourceTable, lightcurves: LightcurveSet) -> AnalyzedBatch | None:
    """Search a batch by the analysis' batch method; None where it has none, or where a source makes trouble."""
    analysis, quality, finder = (components[group] for group in ("analysis", "quality", "finder"))
    if not isinstance(analysis, BatchAnalysis) or not len(lightcurves):
        return None
    try:
        return analysis.analyze_many(sources, lightcurves, quality, finder)
    except ConfigError:
        raise
    except Exception:  # one after the other then, so that what is wrong stays with its source
        return None


def barycentric_peaks(lightcurves: LightcurveSet, detections: Columns) -> Floats:
    """BJD_TDB of the peak of each detection, as MJD; NaN where its light curve has none."""
    bjd = np.full(detections["source"].size, np.nan)
    # light curves of a source are numbered from 1
    row = np.searchsorted(lightcurves.source, detections["source"]) + detections["lightcurve"] - 1
    for members, batch in zip(lightcurves.members, lightcurves.batches, strict=True):
        if "bjd_offset" not in batch.columns:
            continue
        place = np.full(len(lightcurves), -1)
        place[members] = np.arange(members.size)
        here = np.flatnonzero(place[row] >= 0)
        epoch = batch.offsets[place[row[here]]] + detections["peak"][here]
        bjd[here] = batch.columns["time"][epoch] + batch.columns["bjd_offset"][epoch] / 86400.0
    return bjd


def noise_around(lightcurves: LightcurveSet, detections: Columns) -> Floats:
    """Noise of an epoch of each detection's light curve: robust scatter or median error, whichever is larger."""
    of_batches = [
        np.fmax(batch.flux_moments[1], ragged_medians(errors, batch.offsets, batch.usable & np.isfinite(errors)))
        for batch in lightcurves.batches
        for errors in (batch.columns["flux_err"],)
    ]
    row = np.searchsorted(lightcurves.source, detections["source"]) + detections["lightcurve"] - 1
    return lightcurves.gather(of_batches)[row] if row.size else np.zeros(0)


def search_all(
    components: Components, sources: SourceTable, lightcurves: LightcurveSet
) -> tuple[LightcurveSet, Columns]:
    """Search the light curves of a batch; gives them with their scores, and the detections.

    What is wrong with any source is raised.
    """
    if not len(lightcurves):
        return lightcurves, columns_of_records(DETECTIONS, [])
    result = search(components, sources, lightcurves)
    if result is not None:
        return result.lightcurves, result.detections
    parts = (components["analysis"], components["quality"], components["finder"])
    of_sources = enumerate(lightcurves.objects(len(sources)))
    answers = [analyze(*parts, sources.source(k), own) if own else None for k, own in of_sources]
    return (
        LightcurveSet.of([answer.lightcurves if answer else () for answer in answers]),
        columns_of_records(DETECTIONS, [answer.detections if answer else () for answer in answers]),
    )


def _tables_of(result: AnalyzedBatch, lightcurves: LightcurveSet) -> Tables:
    values = {name: column for name, column in result.properties.items() if name != "source"}
    units = {name: result.units.get(name, "") for name in values}
    return {
        **score_tables(lightcurves, result.lightcurves),
        **property_tables(result.properties["source"], values, units),
        "detections": result.detections,
    }


def _one_by_one(components: Components, sources: SourceTable, lightcurves: LightcurveSet, made: Made) -> Tables:
    of_sources = lightcurves.objects(len(sources))
    parts = (components["analysis"], components["quality"], components["finder"])
    results: list[Analyzed | None] = []
    for k, own in enumerate(of_sources):
        source = sources.source(k)
        answer = attempt(f"analyzing {source.name}", analyze, *parts, source, own)
        if isinstance(answer, Failure):
            made.fail(k, answer)
        results.append(None if isinstance(answer, Failure) else answer)
    before = [own if answer else () for own, answer in zip(of_sources, results, strict=True)]
    return {
        **score_tables_of_objects(before, [answer.lightcurves if answer else () for answer in results]),
        **pack_properties([answer.properties if answer else {} for answer in results]),
        "detections": columns_of_records(DETECTIONS, [answer.detections if answer else () for answer in results]),
    }


def analyze(
    analysis: Analysis, quality: Quality, finder: Finder, source: Source, lightcurves: tuple[Lightcurve, ...]
) -> Analyzed:
    """Search one source, and check that the analysis kept to its interface.

    Raises
    ------
    DataError
        When the analysis gave other light curves than it got: only `qflag` and further columns may be new.
    """
    result = analysis.analyze(source, lightcurves, quality, finder)
    if not isinstance(result, Analyzed):
        raise DataError(f"{type(analysis).__name__}.analyze gave a {type(result).__name__}, not Analyzed; correct it")
    got = [(lc.number, lc.n_epochs) for lc in result.lightcurves]
    if got != [(lc.number, lc.n_epochs) for lc in lightcurves]:
        raise DataError(
            f"{type(analysis).__name__} gave other light curves than it was given; give each back with its scores"
        )
    return result

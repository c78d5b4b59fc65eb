"""The simulate stage: events are put into processed light curves, and the same search is made of them."""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from retriever.attempt import Failure, attempt
from retriever.batch import Batch, Components, Made
from retriever.detection import (
    INJECTIONS,
    Analyzed,
    Detection,
    Injection,
    Simulated,
    columns_of_records,
    records_of_columns,
)
from retriever.digests import digest_rows
from retriever.errors import ConfigError
from retriever.identity import random_stream
from retriever.interfaces import Analysis, BatchSimulator, Finder, Quality, Simulator
from retriever.lightcurve import Lightcurve
from retriever.lightcurves import LightcurveSet, lightcurve_tables
from retriever.ragged import ranges
from retriever.schema import Columns
from retriever.scores import with_scores
from retriever.source import Source
from retriever.stages.analyze import analyze, search

__all__ = ["inject", "run", "simulate"]


def run(components: Components, batch: Batch) -> Made:
    """Inject events into the light curves of a batch of sources, search them, and say which were recovered."""
    made = Made.none(len(batch))
    reduced, processed = with_scores(batch.inputs["lightcurves"], batch.inputs["scores"])
    at_once = _all_at_once(components, batch, reduced, processed)
    lightcurves, injections = at_once or _one_by_one(components, batch, reduced, processed, made)
    made.tables = {"injections": injections}
    if components["simulator"].keep_lightcurves:
        made.tables |= lightcurve_tables(lightcurves, "simulated_lightcurves", "simulated_epochs")
    made.n_rows = np.bincount(injections["source"], minlength=len(batch)).astype(np.int64)
    failed = np.array([bool(message) for message in made.message], np.bool_)
    made.digest = np.where(failed, b"", digest_rows(len(batch), injections))
    return made


def _streams(batch: Batch) -> Iterator[np.random.Generator]:
    for name in batch.items.tolist():
        yield random_stream(batch.seed, "simulate", batch.observatory, name)


# ---- all sources at once -------------------------------------------------------------------------------------------


def _all_at_once(
    components: Components, batch: Batch, reduced: LightcurveSet, processed: LightcurveSet
) -> tuple[LightcurveSet, Columns] | None:
    """By batch methods; None where a component has none, or where something is wrong with any source."""
    simulator: Simulator = components["simulator"]
    if not isinstance(simulator, BatchSimulator):
        return None
    try:
        injected = simulator.inject_many(processed, _streams(batch))
    except ConfigError:
        raise
    except Exception:  # one after the other then, so that what is wrong stays with its source
        return None
    changed = reduced.take(injected.changed)
    fresh = changed.with_batches(
        [before.replace(**new) for before, new in zip(changed.batches, injected.photometry, strict=True)]
    )
    if not len(fresh):
        return fresh, injected.injections
    result = search(components, batch.sources, fresh)
    if result is None:
        return None
    before = batch.inputs["detections"]["detections"]
    return result.lightcurves, judge(injected.injections, result.detections, before)


def judge(truths: Columns, after: Columns, before: Columns) -> Columns:
    """Mark which events were recovered; see `simulate`.

    Parameters
    ----------
    truths
        Injected events, a row each.
    after, before
        Detections with and without them.
    """
    event, detection = _overlaps(truths, after)
    height = np.abs(after["snr"][detection])
    # the strongest of each event, the first of equals; one without a number comes before all
    order = np.lexsort((detection, np.where(np.isnan(height), -np.inf, -height), event))
    strongest = order[np.flatnonzero(np.diff(event[order], prepend=-1))]
    recovered = np.zeros(truths["source"].size, np.bool_)
    found_snr = np.full(truths["source"].size, np.nan)
    recovered[event] = True
    found_snr[event[strongest]] = after["snr"][detection[strongest]]
    blended = np.zeros(truths["source"].size, np.bool_)
    blended[_overlaps(truths, before)[0]] = True
    return {**truths, "recovered": recovered, "found_snr": found_snr, "blended": blended}


def _overlaps(truths: Columns, detections: Columns) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs of an injected event and a detection that overlap in time, in the same light curve."""
    width = 1 + max(
        (int(table["lightcurve"].max()) for table in (truths, detections) if table["source"].size), default=0
    )
    keys, wanted = (table["source"] * width + table["lightcurve"] for table in (detections, truths))
    order = np.argsort(keys, kind="stable")
    first = np.searchsorted(keys[order], wanted, "left")
    count = np.searchsorted(keys[order], wanted, "right") - first
    event, detection = np.repeat(np.arange(wanted.size), count), order[ranges(first, count)]
    half = 0.5 * truths["width"][event]
    overlap = (detections["time_first"][detection] <= truths["time_peak"][event] + half) & (
        detections["time_last"][detection] >= truths["time_peak"][event] - half
    )
    return event[overlap], detection[overlap]


# ---- one source at a time ------------------------------------------------------------------------------------------


def _one_by_one(
    components: Components, batch: Batch, reduced: LightcurveSet, processed: LightcurveSet, made: Made
) -> tuple[LightcurveSet, Columns]:
    before, scored = reduced.objects(len(batch)), processed.objects(len(batch))
    detections = batch.inputs["detections"]["detections"]
    simulator, analysis, quality, finder = (
        components[group] for group in ("simulator", "analysis", "quality", "finder")
    )
    results: list[Simulated] = []
    for k in range(len(batch)):
        source = batch.sources.source(k)
        known = Analyzed(lightcurves=scored[k], detections=records_of_columns(Detection, detections, k))
        answer = attempt(
            f"simulating {source.name}", simulate, simulator, analysis, quality, finder, source,
            batch.observatory, batch.seed, before[k], known,
        )  # fmt: skip
        if isinstance(answer, Failure):
            made.fail(k, answer)
            answer = Simulated(lightcurves=())
        results.append(answer)
    return LightcurveSet.of([result.lightcurves for result in results]), columns_of_records(
        INJECTIONS, [result.injections for result in results]
    )


def inject(
    simulator: Simulator,
    source: Source,
    observatory: str,
    seed: int,
    reduced: tuple[Lightcurve, ...],
    processed: tuple[Lightcurve, ...],
) -> Simulated:
    """Put events into the light curves of one source; the same ones every time.

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
    analyzed: Analyzed,
) -> Simulated:
    """Inject events into one source's light curves, search them, and mark which were recovered.

    An event counts as recovered when a detection overlaps the interval of one full width at half maximum around its
    middle; as blended when a detection overlapped it before the injection.
    """
    simulated = inject(simulator, source, observatory, seed, reduced, analyzed.lightcurves)
    if not simulated.lightcurves:
        return simulated
    result = analyze(analysis, quality, finder, source, simulated.lightcurves)
    return Simulated(
        lightcurves=result.lightcurves,
        injections=tuple(_judged(truth, result.detections, analyzed.detections) for truth in simulated.injections),
    )


def _judged(truth: Injection, after: Sequence[Detection], before: Sequence[Detection]) -> Injection:
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

"""The simulate stage: events are put into light curves, and the same search is made of them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from retriever.arrays import Rows
from retriever.attempt import Failure, attempt
from retriever.batch import Batch, Components, Made, select_batch
from retriever.detection import INJECTIONS, columns_of_records
from retriever.digests import digest_rows
from retriever.errors import ConfigError, DataError
from retriever.identity import random_stream
from retriever.interfaces import BatchSimulator, HasSpan, HasTrials
from retriever.lightcurve import Lightcurve
from retriever.lightcurves import LightcurveSet, lightcurve_tables
from retriever.ragged import ranges
from retriever.schema import Columns
from retriever.scores import with_scores
from retriever.stages.analyze import search_all
from retriever.stages.detrend import detrend_all

__all__ = ["judge", "run", "simulate"]

WIDTH_FACTOR = 3.0
"""Largest ratio of the widths of an event and of a detection of it, where the finder gives one."""

PERIOD_TOLERANCE = 0.01
"""Largest difference of the periods of an event and of a detection of it, as a share."""

_ALIASES = (1.0, 0.5, 2.0)


def run(components: Components, batch: Batch) -> Made:
    """Inject events into the light curves of a batch of sources, search them, and say which were recovered."""
    made = Made.none(len(batch))
    try:
        lightcurves, injections = simulate(components, batch)
    except ConfigError:
        raise
    except Exception:  # one after the other then, so that what is wrong stays with its source
        lightcurves, injections = _one_by_one(components, batch, made)
    made.tables = {"injections": injections}
    if components["simulator"].keep_lightcurves:
        made.tables |= lightcurve_tables(lightcurves, "simulated_lightcurves", "simulated_epochs")
    made.n_rows = np.bincount(injections["source"], minlength=len(batch)).astype(np.int64)
    failed = np.array([bool(message) for message in made.message], np.bool_)
    made.digest = np.where(failed, b"", digest_rows(len(batch), injections))
    return made


def simulate(components: Components, batch: Batch) -> tuple[LightcurveSet, Columns]:
    """Make all trials of a batch of sources.

    Each source has a random stream of its own, seeded by ``project.seed``, the observatory and its name, from which its
    trials are drawn one after the other; where events are the same in all surveys, without the observatory.

    Returns
    -------
    lightcurves
        Those that the first trial changed, as they were searched.
    injections
        The events of all trials, with what the search made of them; see `judge`.
    """
    simulator = components["simulator"]
    trials, level = (simulator.trials, simulator.level) if isinstance(simulator, HasTrials) else (1, "processed")
    before, processed = with_scores(batch.inputs["lightcurves"], batch.inputs["scores"])
    base = LightcurveSet.read(batch.inputs["reduced"]) if level == "reduced" else before
    if level == "reduced" and not _same_epochs(base, processed):
        base = _arranged(base, processed)
    survey = "" if isinstance(simulator, HasSpan) and simulator.span else batch.observatory
    streams = [random_stream(batch.seed, "simulate", survey, name) for name in batch.items.tolist()]
    kept = processed.take(np.zeros(len(processed), np.bool_))
    tables = []
    for trial in range(trials):
        fresh, injections = _injected(components, batch, before, processed, base, streams)
        if level == "reduced":
            fresh, failures = detrend_all(components["detrend"], fresh)
            if failures:
                raise DataError(next(iter(failures.values())).message)
        scored, detections = search_all(components, batch.sources, fresh)
        kept = scored if trial == 0 else kept
        known = batch.inputs["detections"]["detections"]
        tables.append({**judge(injections, detections, known), "trial": np.full(injections["source"].size, trial)})
    if not tables:
        return kept, columns_of_records(INJECTIONS, [])
    joined = {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}
    order = np.argsort(joined["source"], kind="stable")
    return kept, {name: joined[name][order] for name in ("source", *(spec.name for spec in INJECTIONS.columns))}


def _injected(
    components: Components, batch: Batch, before: LightcurveSet, processed: LightcurveSet, base: LightcurveSet,
    streams: Sequence[np.random.Generator],
) -> tuple[LightcurveSet, Columns]:  # fmt: skip
    """Light curves that received events, with the flags they had before the analysis, and the truth."""
    simulator = components["simulator"]
    if isinstance(simulator, BatchSimulator):
        injected = simulator.inject_many(processed, base, streams)
        start = base if base is not before else before
        changed = start.take(injected.changed)
        return changed.with_batches(
            [part.replace(**new) for part, new in zip(changed.batches, injected.photometry, strict=True)]
        ), injected.injections
    objects, untouched = processed.objects(len(batch)), before.objects(len(batch))
    fresh, truths = [], []
    for k in range(len(batch)):
        simulated = simulator.inject(objects[k], streams[k])
        original = {lc.number: lc for lc in untouched[k]}
        # what the search will get has the flags and columns of before the analysis
        fresh.append([
            lc.replace(qflag=original[lc.number].qflag, extra=original[lc.number].extra) for lc in simulated.lightcurves
        ])  # fmt: skip
        truths.append(simulated.injections)
    return LightcurveSet.of(fresh), columns_of_records(INJECTIONS, truths)


def _same_epochs(one: LightcurveSet, other: LightcurveSet) -> bool:
    """Whether two sets have their light curves in the same batches."""
    return len(one.members) == len(other.members) and all(
        np.array_equal(a, b) for a, b in zip(one.members, other.members, strict=True)
    )


def _arranged(lightcurves: LightcurveSet, like: LightcurveSet) -> LightcurveSet:
    """The same light curves in the batches that another set has them in."""
    place = {row: (k, at) for k, rows in enumerate(lightcurves.members) for at, row in enumerate(rows.tolist())}
    batches = []
    for rows in like.members:
        parts = [place[row] for row in rows.tolist()]
        (of,) = {k for k, _ in parts}
        batches.append(lightcurves.batches[of].take(np.array([at for _, at in parts])))
    return LightcurveSet(source=like.source, batches=tuple(batches), members=like.members)


def _one_by_one(components: Components, batch: Batch, made: Made) -> tuple[LightcurveSet, Columns]:
    kept: list[tuple[Lightcurve, ...]] = []
    tables: list[Columns] = []
    for k, name in enumerate(batch.items.tolist()):
        answer = attempt(f"simulating {name}", simulate, components, select_batch(batch, np.array([k])))
        if isinstance(answer, Failure):
            made.fail(k, answer)
            kept.append(())
            continue
        lightcurves, injections = answer
        kept.append(lightcurves.objects(1)[0])
        tables.append({**injections, "source": np.full(injections["source"].size, k)})
    none = columns_of_records(INJECTIONS, [])
    if not tables:
        return LightcurveSet.of(kept), none
    return LightcurveSet.of(kept), {name: np.concatenate([table[name] for table in tables]) for name in none}


def judge(truths: Columns, after: Columns, before: Columns) -> Columns:
    """Mark which events were recovered, and which were blended.

    An event is recovered when a detection in any light curve of its source has its sign, overlaps the interval of one
    full width at half maximum around its middle, longer by half an exposure on both sides, and where it gives a width
    is at most three times as wide or narrow. A detection with a period recovers an event that repeats, if their periods
    agree within a hundredth, or half or double; one without a period recovers it if it overlaps one of its repetitions,
    unless it has no width, as a sinusoid. An event is blended when a detection with its sign overlapped it before the
    injection.

    Parameters
    ----------
    truths
        Injected events, a row each.
    after, before
        Detections with and without them.
    """
    n = truths["source"].size
    event, detection = _agreeing(truths, after)
    height = np.abs(after["snr"][detection])
    # the strongest of each event, the first of equals; one without a number comes before all
    order = np.lexsort((detection, np.where(np.isnan(height), -np.inf, -height), event))
    strongest = order[np.flatnonzero(np.diff(event[order], prepend=-1))]
    recovered = np.zeros(n, np.bool_)
    found_snr = np.full(n, np.nan)
    recovered[event] = True
    found_snr[event[strongest]] = after["snr"][detection[strongest]]
    blended = np.zeros(n, np.bool_)
    blended[_agreeing(truths, before)[0]] = True
    return {**truths, "recovered": recovered, "found_snr": found_snr, "blended": blended}


def _agreeing(truths: Columns, detections: Columns) -> tuple[Rows, Rows]:
    """Pairs of an injected event and a detection of the same source that agree; see `judge`."""
    first = np.searchsorted(detections["source"], truths["source"], "left")
    count = np.searchsorted(detections["source"], truths["source"], "right") - first
    event, detection = np.repeat(np.arange(truths["source"].size), count), ranges(first, count)
    of_event = {name: truths[name][event] for name in ("time_peak", "width", "amplitude", "period", "exptime")}
    found = {name: detections[name][detection] for name in ("time_first", "time_last", "snr", "width", "period")}
    agree = _same_sign(of_event["amplitude"], found["snr"])
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = found["width"] / of_event["width"]
        agree &= ~((ratio > WIDTH_FACTOR) | (ratio < 1.0 / WIDTH_FACTOR))
        repeats, is_periodic = np.isfinite(of_event["period"]), np.isfinite(found["period"])
        middle = of_event["time_peak"]
        cycles = np.round((0.5 * (found["time_first"] + found["time_last"]) - middle) / of_event["period"])
        middle = np.where(repeats & ~is_periodic, middle + np.nan_to_num(cycles) * of_event["period"], middle)
        half = 0.5 * (of_event["width"] + of_event["exptime"] / 86400.0)
        overlap = (found["time_first"] <= middle + half) & (found["time_last"] >= middle - half)
        periods = found["period"] / of_event["period"]
        same_period = np.any([np.abs(periods / alias - 1.0) <= PERIOD_TOLERANCE for alias in _ALIASES], axis=0)
    agree &= np.where(is_periodic, repeats & same_period, overlap)
    return event[agree], detection[agree]


def _same_sign(amplitude: NDArray[np.float64], snr: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether two numbers have one sign; one that is not a number agrees with all."""
    return np.asarray((amplitude * snr > 0) | np.isnan(snr) | np.isnan(amplitude))

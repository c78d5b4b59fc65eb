"""The reduce stage: raw photometry in, light curves out."""

from collections.abc import Sequence

import numpy as np

from retriever.attempt import Failure, attempt
from retriever.barycenter import bjd_offset
from retriever.batch import Batch, Components, Made
from retriever.errors import ConfigError, DataError
from retriever.interfaces import BatchReducer, Reducer
from retriever.lightcurve import Lightcurve, Reduction
from retriever.lightcurves import LightcurveBatch, LightcurveSet
from retriever.rawbatch import RawBatch, unpack_raw
from retriever.rawtable import RawPhotometry
from retriever.schema import Column, Columns, Table
from retriever.source import Source, SourceTable

__all__ = ["DROPPED", "reduce", "run", "with_barycentric_times"]

DROPPED = Table(
    name="dropped",
    columns=(
        Column(name="reason", kind=str, description="why rows were left out, or what in them counts as missing"),
        Column(name="n_rows", kind=int, description="number of rows"),
    ),
    order=("reason",),
)
"""Raw rows that are not in light curves as they came."""


def run(components: Components, batch: Batch) -> Made:
    """Reduce the raw photometry of a batch of sources."""
    reducer: Reducer = components["reducer"]
    lightcurves, dropped, failures = _all_at_once(reducer, batch) or _one_by_one(reducer, batch)
    lightcurves = with_barycentric_times(lightcurves, batch.sources)
    made = Made.from_lightcurves(lightcurves, len(batch), _headers(dropped, len(batch)))
    made.tables["dropped"] = dropped
    for item, failure in failures.items():
        made.fail(item, failure)
    return made


_Reduced = tuple[LightcurveSet, Columns, dict[int, Failure]]
"""Light curves, rows that were dropped, and what went wrong with which source."""


def _all_at_once(reducer: Reducer, batch: Batch) -> _Reduced | None:
    """By the reducer's batch method; None where it has none, or where something is wrong with any source."""
    raw = RawBatch.read(batch.inputs["raw"], len(batch)) if isinstance(reducer, BatchReducer) else None
    if raw is None:
        return None
    assert isinstance(reducer, BatchReducer)
    try:
        reduced = reducer.reduce_many(raw)
    except ConfigError:
        raise
    except Exception:  # one after the other then, so that what is wrong stays with its source
        return None
    if reduced is None:
        return None
    lightcurves, dropped = reduced
    members = (np.arange(len(lightcurves)),) if len(lightcurves) else ()
    whole = LightcurveSet(source=lightcurves.source, batches=(lightcurves,)[: len(members)], members=members)
    return whole, dropped, {}


def _one_by_one(reducer: Reducer, batch: Batch) -> _Reduced:
    answers = unpack_raw(batch.inputs["raw"], range(len(batch)))
    of_sources: list[Sequence[Lightcurve]] = []
    dropped: list[tuple[int, str, int]] = []
    failures: dict[int, Failure] = {}
    for k, raw in enumerate(answers):
        source = batch.sources.source(k)
        answer = attempt(f"reducing {source.name}", reduce, reducer, source, raw)
        if isinstance(answer, Failure):
            failures[k] = answer
            of_sources.append(())
            continue
        of_sources.append(answer.lightcurves)
        dropped += [(k, reason, count) for reason, count in sorted(answer.dropped.items()) if count]
    columns: Columns = {
        "source": np.array([row for row, _, _ in dropped], np.int64),
        "reason": np.array([reason for _, reason, _ in dropped], np.str_),
        "n_rows": np.array([count for _, _, count in dropped], np.int64),
    }
    return LightcurveSet.of(of_sources), columns, failures


def with_barycentric_times(lightcurves: LightcurveSet, sources: SourceTable) -> LightcurveSet:
    """The light curves with `bjd_offset`, for the catalog's place of each source."""
    return lightcurves.with_batches([_with_offsets(batch, sources) for batch in lightcurves.batches])


def _with_offsets(batch: LightcurveBatch, sources: SourceTable) -> LightcurveBatch:
    columns, words = batch.columns, batch.words
    parts = [words[name] for name in ("time_scale", "time_reference", "time_point")]
    offset = np.full(columns["time"].size, np.nan, np.float32)
    for system in sorted(set(zip(*(part.tolist() for part in parts), strict=True))):
        scale, reference, point = system
        alike = np.all([part == word for part, word in zip(parts, system, strict=True)], axis=0)
        epochs = slice(None) if alike.all() else batch.spread(alike)
        rows = batch.source[alike]
        offset[epochs] = bjd_offset(
            columns["time"][epochs], columns["exptime"][epochs], sources.ra[rows], sources.dec[rows],
            batch.lengths[alike], scale=scale, reference=reference, point=point,
        )  # fmt: skip
    return batch.replace(bjd_offset=offset)


def _headers(dropped: Columns, n: int) -> list[bytes]:
    """What is digested beside the epochs of each source."""
    of_source: dict[int, list[tuple[str, int]]] = {}
    rows = zip(*(dropped[name].tolist() for name in ("source", "reason", "n_rows")), strict=True)
    for source, reason, count in rows:
        of_source.setdefault(source, []).append((reason, count))
    return [repr(of_source.get(k, [])).encode() for k in range(n)]


def reduce(reducer: Reducer, source: Source, raw: RawPhotometry) -> Reduction:
    """Reduce one source, and check that the reducer kept to its interface.

    Raises
    ------
    DataError
        When the reducer gave something else than a `Reduction` of non-empty light curves numbered 1 to n.
    """
    reduction = reducer.reduce(source, raw)
    if not isinstance(reduction, Reduction) or not all(isinstance(lc, Lightcurve) for lc in reduction.lightcurves):
        raise DataError(f"{type(reducer).__name__}.reduce gave no Reduction of light curves; correct the reducer")
    lightcurves = reduction.lightcurves
    if [lc.number for lc in lightcurves] != list(range(1, len(lightcurves) + 1)):
        raise DataError(f"{type(reducer).__name__} did not number its light curves 1, 2, ...; number them by start")
    if not all(lc.n_epochs for lc in lightcurves):
        raise DataError(f"{type(reducer).__name__} gave a light curve without epochs; leave such out")
    return reduction

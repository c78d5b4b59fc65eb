"""The reduce stage: raw photometry in, light curves out."""

from collections.abc import Sequence

import numpy as np

from retriever.attempt import Failure, attempt
from retriever.batch import Batch, Components, Made
from retriever.errors import ConfigError, DataError
from retriever.interfaces import BatchReducer, Reducer
from retriever.lightcurve import Lightcurve, Reduction
from retriever.lightcurves import LightcurveSet, lightcurve_tables
from retriever.outcome import Outcome
from retriever.ragged import rows_of
from retriever.rawbatch import RawBatch, unpack_raw
from retriever.rawtable import RawPhotometry
from retriever.schema import Columns
from retriever.source import Source
from retriever.stages.digests import digest_epochs, lightcurve_words

__all__ = ["reduce", "run"]


def run(components: Components, batch: Batch) -> Made:
    """Reduce the raw photometry of a batch of sources."""
    reducer: Reducer = components["reducer"]
    made = Made.none(len(batch))
    reduced = _all_at_once(reducer, batch) or _one_by_one(reducer, batch, made)
    lightcurves, dropped = reduced
    made.tables = {**lightcurve_tables(lightcurves), "dropped": dropped}
    first, count = rows_of(lightcurves.source, np.arange(len(batch)))
    made.outcome[(count == 0) & (made.outcome == Outcome.DONE)] = Outcome.EMPTY
    lengths = np.concatenate([[0], np.cumsum(made.tables["lightcurves"]["n_rows"])])
    made.n_rows[:] = lengths[first + count] - lengths[first]
    headers = _headers(lightcurve_words(made.tables["lightcurves"], len(batch)), dropped)
    made.digest = digest_epochs(made.tables, "lightcurves", "epochs", headers)
    made.digest[made.outcome == Outcome.FAILED] = b""
    return made


def _all_at_once(reducer: Reducer, batch: Batch) -> tuple[LightcurveSet, Columns] | None:
    """By the reducer's batch method; None where it has none, or where something is wrong with any source."""
    raw = RawBatch.read(batch.inputs["raw"], len(batch)) if isinstance(reducer, BatchReducer) else None
    if raw is None:
        return None
    assert isinstance(reducer, BatchReducer)
    try:
        found = reducer.reduce_many(raw)
    except ConfigError:
        raise
    except Exception:  # one after the other then, so that what is wrong stays with its source
        return None
    if found is None:
        return None
    lightcurves, dropped = found
    members = (np.arange(len(lightcurves)),) if len(lightcurves) else ()
    return LightcurveSet(source=lightcurves.source, batches=(lightcurves,)[: len(members)], members=members), dropped


def _one_by_one(reducer: Reducer, batch: Batch, made: Made) -> tuple[LightcurveSet, Columns]:
    answers = unpack_raw(batch.inputs["raw"], range(len(batch)))
    of_sources: list[Sequence[Lightcurve]] = []
    dropped: list[tuple[int, str, int]] = []
    for k, raw in enumerate(answers):
        source = batch.sources.source(k)
        answer = attempt(f"reducing {source.name}", reduce, reducer, source, raw)
        if isinstance(answer, Failure):
            made.fail(k, answer)
            of_sources.append(())
            continue
        of_sources.append(answer.lightcurves)
        dropped += [(k, reason, count) for reason, count in sorted(answer.dropped.items()) if count]
    return LightcurveSet.of(of_sources), {
        "source": np.array([row for row, _, _ in dropped], np.int64),
        "reason": np.array([reason for _, reason, _ in dropped], np.str_),
        "n_rows": np.array([count for _, _, count in dropped], np.int64),
    }


def _headers(words: list[bytes], dropped: Columns) -> list[bytes]:
    """What is digested beside the epochs of each source."""
    of_source: dict[int, list[tuple[str, int]]] = {}
    rows = zip(*(dropped[name].tolist() for name in ("source", "reason", "n_rows")), strict=True)
    for source, reason, count in rows:
        of_source.setdefault(source, []).append((reason, count))
    return [text + repr(of_source.get(k, [])).encode() for k, text in enumerate(words)]


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

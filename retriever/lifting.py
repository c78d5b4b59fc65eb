"""From one to many: components that know one light curve are called for each of a batch, and the results gathered.

The method for one light curve is the definition and all that a component must have. A component may also have a batch
method (``assess_many``, ``find_many``, ...; see `retriever.interfaces`), which gives the same numbers faster.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from retriever.arrays import Array
from retriever.detection import DETECTIONS, columns_of_records
from retriever.errors import DataError
from retriever.interfaces import BatchFinder, BatchQuality, Finder, Quality
from retriever.lightcurve import Lightcurve
from retriever.lightcurves import LightcurveBatch, LightcurveSet
from retriever.schema import Columns
from retriever.source import SourceTable

__all__ = ["AnalyzedBatch", "NotUniform", "assess_batch", "find_in_batch", "gather_events"]


class NotUniform(DataError):
    """A component gave different columns to light curves that had the same; such are taken one at a time."""


@dataclass(frozen=True, kw_only=True, eq=False)
class AnalyzedBatch:
    """The search of a batch of sources.

    Attributes
    ----------
    lightcurves
        The light curves with `qflag` and scores, in the same batches as they were given.
    detections
        A row an event, with the row of its source.
    properties
        A row a source, named by `source`.
    units
        Units of the properties that have one.
    """

    lightcurves: LightcurveSet
    detections: Columns
    properties: Columns
    units: Mapping[str, str]


def assess_batch(quality: Quality, sources: SourceTable, batch: LightcurveBatch) -> LightcurveBatch:
    """Mark bad epochs in all light curves of a batch."""
    if isinstance(quality, BatchQuality):
        return quality.assess_many(batch)
    rows = batch.source.tolist()
    of_row = {row: sources.source(row) for row in sorted(set(rows))}
    checked = [quality.assess(of_row[row], batch.lightcurve(k)) for k, row in enumerate(rows)]
    if any(lc.n_epochs != n for lc, n in zip(checked, batch.lengths.tolist(), strict=True)):
        raise DataError(f"{type(quality).__name__} gave other epochs than it was given")
    fresh = _joined([{"qflag": lc.qflag, **lc.extra} for lc in checked])
    same = {name for name, column in fresh.items() if name in batch.columns and column is batch.columns[name]}
    return batch.replace(**{name: column for name, column in fresh.items() if name not in same})


def find_in_batch(finder: Finder, batch: LightcurveBatch) -> tuple[Columns, Columns]:
    """Scores of all epochs, and events with the `member` of the batch that each was found in."""
    if isinstance(finder, BatchFinder):
        return finder.find_many(batch)
    results = [finder.find(_view(batch, k)) for k in range(len(batch))]
    events = columns_of_records(DETECTIONS, [records for _, records in results])
    return _joined([scores for scores, _ in results]), {"member": events.pop("source"), **events}


def gather_events(lightcurves: LightcurveSet, of_batches: Sequence[Columns]) -> Columns:
    """Events of all batches as one table, in the order of sources and light curves."""
    rows = [members[events["member"]] for members, events in zip(lightcurves.members, of_batches, strict=True)]
    if not rows:
        return columns_of_records(DETECTIONS, [])
    row = np.concatenate(rows)
    order = np.argsort(row, kind="stable")
    columns = {
        spec.name: np.concatenate([events[spec.name] for events in of_batches])[order] for spec in DETECTIONS.columns
    }
    return {"source": lightcurves.source[row[order]], **columns}


def _view(batch: LightcurveBatch, k: int) -> Lightcurve:
    """One light curve, with what the batch knows of it already."""
    lightcurve = batch.lightcurve(k)
    flux, mag = batch.flux_moments, batch.mag_moments
    first, last = int(batch.offsets[k]), int(batch.offsets[k + 1])
    lightcurve.__dict__["_known"] = {
        "usable": batch.usable[first:last],
        "flux_moments": (float(flux[0][k]), float(flux[1][k])),
        "mag_moments": (float(mag[0][k]), float(mag[1][k])),
    }
    return lightcurve


def _joined(items: Sequence[Mapping[str, object]]) -> Columns:
    """Columns of all items one after the other."""
    arrays: list[dict[str, Array]] = [{name: np.asarray(column) for name, column in item.items()} for item in items]
    kinds = {tuple((name, column.dtype, column.shape[1:]) for name, column in item.items()) for item in arrays}
    if len(kinds) > 1:
        raise NotUniform("light curves with the same columns were given different ones")
    return {name: np.concatenate([item[name] for item in arrays]) for name in (arrays[0] if arrays else ())}

"""What finders share: from columns of events to detections, and from a batch method to that for one light curve."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retriever.arrays import Array
from retriever.detection import DETECTIONS, Detection, records_of_columns
from retriever.interfaces import BatchFinder
from retriever.lightcurve import Lightcurve
from retriever.lightcurves import LightcurveBatch, LightcurveSet
from retriever.schema import NUMPY_KINDS, REQUIRED, Columns

__all__ = ["event_columns", "find_in_one", "no_events"]


def event_columns(
    batch: LightcurveBatch,
    member: NDArray[np.int64],
    first: NDArray[np.int64],
    peak: NDArray[np.int64],
    last: NDArray[np.int64],
    **others: Array,
) -> Columns:
    """Columns of events, as `BatchFinder.find_many` gives them, in the order of light curves and peaks.

    Parameters
    ----------
    member
        Light curve of each event.
    first, peak, last
        Its epochs, counted in the batch.
    others
        Further columns of `Detection`; those that are not given have their defaults.
    """
    start, time = batch.offsets[member], batch.columns["time"]
    given: dict[str, Array] = {
        "lightcurve": batch.words["number"][member].astype(np.int64),
        "first": first - start, "peak": peak - start, "last": last - start,
        "time_first": time[first], "time_peak": time[peak], "time_last": time[last],
        **others,
    }  # fmt: skip
    order = np.lexsort((peak, member))
    columns: Columns = {"member": member[order]}
    for spec in DETECTIONS.columns:
        if spec.name in given:
            columns[spec.name] = given[spec.name][order]
        else:
            assert spec.default is not REQUIRED, spec.name
            columns[spec.name] = np.full(member.size, spec.default, NUMPY_KINDS[spec.kind])
    return columns


def no_events(batch: LightcurveBatch) -> Columns:
    """Columns of no event."""
    none = np.zeros(0, np.int64)
    numbers = {spec.name: np.zeros(0, NUMPY_KINDS[spec.kind]) for spec in DETECTIONS.columns}
    return {"member": none, **numbers}


def find_in_one(finder: BatchFinder, lightcurve: Lightcurve) -> tuple[Mapping[str, Any], tuple[Detection, ...]]:
    """`Finder.find` of a finder that is written for batches: the light curve is searched as a batch of one."""
    (batch,) = LightcurveSet.of([(lightcurve,)]).batches
    scores, events = finder.find_many(batch)
    return scores, records_of_columns(Detection, {"source": events["member"], **events}, 0)

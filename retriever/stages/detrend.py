"""The detrend stage: light curves in, light curves without their slow changes out."""

import numpy as np

from retriever.attempt import Failure, attempt
from retriever.batch import Batch, Components, Made
from retriever.detrending.none import NoDetrending
from retriever.errors import DataError
from retriever.interfaces import Detrend
from retriever.lightcurve import Lightcurve
from retriever.lightcurves import LightcurveBatch, LightcurveSet
from retriever.schema import Columns

__all__ = ["detrend", "detrend_all", "is_none", "run"]

_CHANGED = ("flux", "flux_err", "mag", "mag_err", "qflag")
"""Columns that detrending may change."""


def is_none(components: Components) -> bool:
    """Whether nothing is to be done."""
    return isinstance(components["detrend"], NoDetrending)


def run(components: Components, batch: Batch) -> Made:
    """Detrend the light curves of a batch of sources."""
    lightcurves = LightcurveSet.read(batch.inputs["lightcurves"])
    detrended, failures = detrend_all(components["detrend"], lightcurves)
    made = Made.from_lightcurves(detrended, len(batch))
    for item, failure in failures.items():
        made.fail(item, failure)
    return made


def detrend_all(component: Detrend, lightcurves: LightcurveSet) -> tuple[LightcurveSet, dict[int, Failure]]:
    """All light curves without their trends, and what went wrong with which source; its light curves stay."""
    failures: dict[int, Failure] = {}
    batches = [_detrend_batch(component, batch, failures) for batch in lightcurves.batches]
    return lightcurves.with_batches(batches), failures


def _detrend_batch(component: Detrend, batch: LightcurveBatch, failures: dict[int, Failure]) -> LightcurveBatch:
    new: Columns = {name: batch.columns[name].copy() for name in _CHANGED}
    for k, source in enumerate(batch.source.tolist()):
        answer = attempt(f"detrending light curve {k}", detrend, component, batch.lightcurve(k))
        if isinstance(answer, Failure):
            failures.setdefault(source, answer)
            continue
        epochs = slice(batch.offsets[k], batch.offsets[k + 1])
        for name in _CHANGED:
            new[name][epochs] = getattr(answer, name)
    return batch.replace(**new)


def detrend(component: Detrend, lightcurve: Lightcurve) -> Lightcurve:
    """Detrend one light curve, and check that the component kept to its interface.

    Raises
    ------
    DataError
        When it gave something else than the same epochs.
    """
    result = component.detrend(lightcurve)
    if not isinstance(result, Lightcurve) or not np.array_equal(result.time, lightcurve.time):
        raise DataError(f"{type(component).__name__}.detrend gave other epochs than it was given; correct it")
    return result

"""The standard search of one source."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retriever.arrays import Array
from retriever.detection import Analyzed, Detection, Properties
from retriever.interfaces import Finder, Quality
from retriever.lifting import AnalyzedBatch, assess_batch, find_in_batch, gather_events
from retriever.lightcurve import Lightcurve
from retriever.lightcurves import LightcurveBatch, LightcurveSet
from retriever.schema import Columns
from retriever.source import Source, SourceTable

__all__ = ["StandardAnalysis"]


@dataclass(frozen=True, kw_only=True)
class StandardAnalysis:
    """Quality, then the finder, on each light curve by itself; then the source's properties.

    Examples
    --------
    >>> from retriever.finders.peak import PeakFinder
    >>> from retriever.quality.standard import StandardQuality
    >>> lc = Lightcurve.from_columns(band="r", time=[1.0, 2.0], flux=[1.0, 1.2], flux_err=[0.1, 0.1],
    ...                              mag=[20.0, 19.8], mag_err=[0.1, 0.1])
    >>> result = StandardAnalysis().analyze(Source(name="X", ra=0.0, dec=0.0), (lc,), StandardQuality(), PeakFinder())
    >>> result.properties["n_epochs"]
    (2, '')
    """

    def analyze(
        self, source: Source, lightcurves: tuple[Lightcurve, ...], quality: Quality, finder: Finder
    ) -> Analyzed:
        """Search all light curves of one source from one survey."""
        scored: list[Lightcurve] = []
        detections: list[Detection] = []
        for lightcurve in lightcurves:
            checked = quality.assess(source, lightcurve)
            scores, events = finder.find(checked)
            scored.append(checked.replace(extra={**checked.extra, **scores}))
            detections.extend(events)
        return Analyzed(
            lightcurves=tuple(scored),
            detections=tuple(detections),
            properties=_properties(scored, detections),
        )

    def analyze_many(
        self, sources: SourceTable, lightcurves: LightcurveSet, quality: Quality, finder: Finder
    ) -> AnalyzedBatch:
        """The same as `analyze`, for all sources of a batch at once.

        A quality or finder that has no batch method is called for one light curve after the other.

        Raises
        ------
        NotUniform
            When light curves with the same columns are given different ones.
        """
        checked = [assess_batch(quality, sources, batch) for batch in lightcurves.batches]
        of_batches = [find_in_batch(finder, batch) for batch in checked]
        scored = [batch.replace(**scores) for batch, (scores, _) in zip(checked, of_batches, strict=True)]
        processed = lightcurves.with_batches(scored)
        detections = gather_events(lightcurves, [events for _, events in of_batches])
        return AnalyzedBatch(
            lightcurves=processed,
            detections=detections,
            properties=_many_properties(processed, detections),
            units=_UNITS,
        )


def _many_properties(lightcurves: LightcurveSet, detections: Columns) -> Columns:
    """The same as `_properties`, for all sources of a batch at once; the columns in the same order."""
    batches = lightcurves.batches
    source, start = np.unique(lightcurves.source, return_index=True)
    n_good = lightcurves.gather([batch.lengths - batch.count(batch.columns["qflag"]) for batch in batches])
    usable = lightcurves.gather([batch.n_usable for batch in batches])
    main = _first_highest(usable, start)
    tops = [_top(batch) for batch in batches]
    best = _first_highest(lightcurves.gather([height for height, _ in tops]), start)
    return {
        "source": source,
        "n_lightcurves": np.diff(start, append=len(lightcurves)),
        "n_epochs": np.add.reduceat(lightcurves.gather([batch.lengths for batch in batches]), start),
        "n_good": np.add.reduceat(n_good, start),
        "n_detections": np.bincount(detections["source"], minlength=int(source[-1]) + 1)[source],
        "best_snr": lightcurves.gather([snr for _, snr in tops])[best],
        "mag_mean": lightcurves.gather([batch.mag_moments[0] for batch in batches])[main],
        "mag_scatter": lightcurves.gather([batch.mag_moments[1] for batch in batches])[main],
        "mag_band": lightcurves.gather([batch.words["band"] for batch in batches])[main],
        "time_first": np.minimum.reduceat(
            lightcurves.gather([batch.columns["time"][batch.offsets[:-1]] for batch in batches]), start
        ),
        "time_last": np.maximum.reduceat(
            lightcurves.gather([batch.columns["time"][batch.offsets[1:] - 1] for batch in batches]), start
        ),
    }


def _first_highest(values: Array, start: NDArray[np.int64]) -> NDArray[np.int64]:
    """Position of the first highest value of each group."""
    top = np.repeat(np.maximum.reduceat(values, start), np.diff(start, append=values.size))
    highest = np.flatnonzero(values == top)
    return np.asarray(highest[np.searchsorted(highest, start)])


def _top(batch: LightcurveBatch) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Highest |S/N| of the usable epochs of each light curve, −1 where it has none, and that S/N with its sign."""
    snr = batch.columns.get("snr")
    if snr is None:
        return np.full(len(batch), -1.0), np.full(len(batch), np.nan)
    height = np.where(batch.usable & np.isfinite(snr), np.abs(snr), -1.0)
    peak = _first_highest(height, batch.offsets[:-1])
    return height[peak], np.where(height[peak] >= 0, snr[peak], np.nan)


_UNITS = {"mag_mean": "mag", "mag_scatter": "mag", "time_first": "d", "time_last": "d"}
"""Units of the properties that have one."""


def _properties(lightcurves: list[Lightcurve], detections: list[Detection]) -> Properties:
    """Numbers that sum a source up; its magnitude is that of the light curve with most usable epochs."""
    usable = [lc.usable for lc in lightcurves]
    counts = [int(np.count_nonzero(mask)) for mask in usable]
    main = int(np.argmax(counts))
    mag_mean, mag_scatter = lightcurves[main].mag_moments
    best = float("nan")
    for lightcurve, mask in zip(lightcurves, usable, strict=True):
        snr = lightcurve.extra.get("snr")
        if snr is None:
            continue
        height = np.where(mask & np.isfinite(snr), np.abs(snr), -1.0)
        peak = int(np.argmax(height))
        if height[peak] >= 0 and not height[peak] <= abs(best):
            best = float(snr[peak])
    values: dict[str, float | int | str | bool] = {
        "n_lightcurves": len(lightcurves),
        "n_epochs": sum(lc.n_epochs for lc in lightcurves),
        "n_good": sum(lc.n_good for lc in lightcurves),
        "n_detections": len(detections),
        "best_snr": best,
        "mag_mean": mag_mean,
        "mag_scatter": mag_scatter,
        "mag_band": lightcurves[main].band,
        "time_first": min(float(lc.time[0]) for lc in lightcurves),
        "time_last": max(float(lc.time[-1]) for lc in lightcurves),
    }
    return {name: (value, _UNITS.get(name, "")) for name, value in values.items()}

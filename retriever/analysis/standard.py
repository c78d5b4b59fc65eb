"""The standard search of one source."""

from dataclasses import dataclass

import numpy as np

from retriever.detection import Analyzed, Detection, Properties
from retriever.lightcurve import Lightcurve
from retriever.source import Source
from retriever.verbs import Finder, Quality

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
            scores, found = finder.find(checked)
            scored.append(checked.replace(extra={**checked.extra, **scores}))
            detections.extend(found)
        return Analyzed(
            lightcurves=tuple(scored),
            detections=tuple(detections),
            properties=_properties(scored, detections),
        )


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
    return {
        "n_lightcurves": (len(lightcurves), ""),
        "n_epochs": (sum(lc.n_epochs for lc in lightcurves), ""),
        "n_good": (sum(lc.n_good for lc in lightcurves), ""),
        "n_detections": (len(detections), ""),
        "best_snr": (best, ""),
        "mag_mean": (mag_mean, "mag"),
        "mag_scatter": (mag_scatter, "mag"),
        "mag_band": (lightcurves[main].band, ""),
        "time_first": (min(float(lc.time[0]) for lc in lightcurves), "d"),
        "time_last": (max(float(lc.time[-1]) for lc in lightcurves), "d"),
    }

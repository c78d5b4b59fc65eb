"""Finds periodic variables: the generalized Lomb-Scargle periodogram."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from retriever.arrays import Floats
from retriever.detection import Detection
from retriever.errors import ConfigError
from retriever.finders.events import event_columns, find_in_one, no_events
from retriever.lightcurve import Lightcurve
from retriever.lightcurves import LightcurveBatch
from retriever.noise import check_noise_model, epoch_noise, scores_of_epochs
from retriever.periodogram import Series, highest_peak
from retriever.schema import Columns

__all__ = ["LombScargleFinder"]


@dataclass(frozen=True, kw_only=True)
class LombScargleFinder:
    """The sinusoid that fits best, one a light curve (Zechmeister & Kürster 2009, A&A 496, 577).

    The periodogram is that of astropy, or of nifty-ls where it is installed (``pip install 'retriever[nifty]'``). The
    false-alarm probability is the upper limit of Baluev (2008, MNRAS 385, 1279); the S/N is the normal deviate of the
    same probability, 0 from a half on. The time of the peak is that of the usable epoch at which the sinusoid is
    highest.

    Parameters
    ----------
    fap_threshold
        Largest false-alarm probability.
    shortest, longest
        Limits of the period in days; a longest of 0 is the length of the light curve.
    oversampling
        Frequencies within the width of a peak, which is one over the length of the light curve.
    clip
        Epochs farther from the median than so many robust sigmas, such as flares, are left out; 0 for none.
    noise
        How the noise of an epoch is judged; see `retriever.noise`.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> time = np.sort(rng.uniform(0.0, 100.0, 200))
    >>> flux = 1000.0 + 3.0 * np.sin(2 * np.pi * time / 0.62) + rng.standard_normal(200)
    >>> lc = Lightcurve.from_columns(band="r", time=time, flux=flux, flux_err=np.ones(200), mag=None, mag_err=None)
    >>> _, (event,) = LombScargleFinder().find(lc)
    >>> round(event.period, 3), round(event.amplitude), event.fap < 1e-20
    (0.62, 3, True)
    """

    fap_threshold: float = 1e-3
    shortest: float = 0.1
    longest: float = 0.0
    oversampling: float = 5.0
    clip: float = 5.0
    noise: str = "rescaled"

    def __post_init__(self) -> None:
        check_noise_model(self.noise, "finder.noise")
        if not (0 < self.fap_threshold <= 1 and self.shortest > 0 and self.oversampling >= 1):
            raise ConfigError(
                "finder.fap_threshold must be above 0 and up to 1, finder.shortest above zero, "
                "finder.oversampling 1 or more"
            )

    def find(self, lightcurve: Lightcurve) -> tuple[Mapping[str, Any], tuple[Detection, ...]]:
        """Give the score `snr` of every epoch by itself, and the best period if it is significant."""
        return find_in_one(self, lightcurve)

    def find_many(self, batch: LightcurveBatch) -> tuple[Columns, Columns]:
        """The same as `find`, for all light curves of a batch, one after the other."""
        columns, usable = batch.columns, batch.usable
        flux, flux_err = columns["flux"], columns["flux_err"]
        noise = epoch_noise(flux, flux_err, usable, batch.offsets, self.noise)
        center, scatter = batch.flux_moments
        rows = []
        for k in range(len(batch)):
            epochs = np.arange(batch.offsets[k], batch.offsets[k + 1])
            epochs = epochs[usable[epochs] & (noise[epochs] > 0)]
            if self.clip and scatter[k] > 0:
                epochs = epochs[np.abs(flux[epochs] - center[k]) <= self.clip * scatter[k]]
            row = self._search(columns["time"][epochs], flux[epochs], noise[epochs])
            if row:
                place = {"first": epochs[0], "peak": epochs[row.pop("at")], "last": epochs[-1]}
                rows.append({"member": k, **place, **row})
        scores = {"snr": scores_of_epochs(flux, flux_err, usable, batch.offsets, self.noise)}
        if not rows:
            return scores, no_events(batch)
        table = {name: np.array([row[name] for row in rows]) for name in rows[0]}
        where = (table.pop(name) for name in ("member", "first", "peak", "last"))
        return scores, event_columns(batch, *where, **table)

    def _search(self, time: Floats, flux: Floats, noise: Floats) -> dict[str, Any]:
        """The best period of one light curve; empty where it is not significant."""
        from scipy.special import ndtri_exp

        curve = Series(time=time, flux=flux, noise=noise)
        limits = {"shortest": self.shortest, "longest": self.longest, "oversampling": self.oversampling}
        peak = highest_peak([curve], **limits)
        if peak is None or not peak.log_fap <= np.log(self.fap_threshold):
            return {}
        phase = 2.0 * np.pi * peak.frequency * (time - time[0])
        terms = np.stack([np.ones(time.size), np.sin(phase), np.cos(phase)])
        weighted = terms / noise
        solution = np.linalg.solve(weighted @ weighted.T, weighted @ (flux / noise))
        fitted, (_, sine, cosine) = solution @ terms, solution
        return {
            "at": int(np.argmax(fitted)), "snr": max(0.0, float(-ndtri_exp(peak.log_fap))),
            "dmag": np.nan, "n_epochs": time.size, "amplitude": float(np.hypot(sine, cosine)),
            "period": 1.0 / peak.frequency, "fap": np.exp(peak.log_fap),
            "chi2": float(np.sum(((flux - fitted) / noise) ** 2) / max(time.size - 4, 1)),
        }  # fmt: skip

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
from retriever.schema import Columns

__all__ = ["LombScargleFinder", "log_false_alarm_probability"]

_FEWEST = 10
"""Usable epochs below which a light curve has no periodogram."""


@dataclass(frozen=True, kw_only=True)
class LombScargleFinder:
    """The sinusoid that fits best, one a light curve (Zechmeister & Kürster 2009, A&A 496, 577).

    The periodogram is that of astropy, or of nifty-ls where it is installed (``pip install 'retriever[nifty]'``). The
    false-alarm probability is the upper limit of Baluev (2008, MNRAS 385, 1279); the S/N is the normal deviate of the
    same probability. The time of the peak is that of the usable epoch at which the sinusoid is highest.

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
        from astropy.timeseries import LombScargle
        from scipy.special import ndtri_exp

        if time.size < _FEWEST or time[-1] <= time[0]:
            return {}
        span = time[-1] - time[0]
        step, low, high = 1.0 / (self.oversampling * span), 1.0 / (self.longest or span), 1.0 / self.shortest
        frequency = np.arange(low, high, step)
        if frequency.size < 2:
            return {}
        model = LombScargle(time, flux, noise)
        power = model.power(frequency, method=_method(), assume_regular_frequency=True)
        best = int(np.argmax(power))
        fine = frequency[best] + step * np.linspace(-1.0, 1.0, 41)
        refined = model.power(fine, method="cython")
        best_frequency, top = float(fine[np.argmax(refined)]), float(np.clip(refined.max(), 0.0, 1.0 - 1e-15))
        if not top > 0.0:
            return {}
        log_fap = log_false_alarm_probability(top, time, noise, high)
        if not log_fap <= np.log(self.fap_threshold):
            return {}
        _, sine, cosine = model.model_parameters(best_frequency)
        fitted = model.model(time, best_frequency)
        amplitude = float(np.hypot(sine, cosine))
        return {
            "at": int(np.argmax(fitted)), "snr": float(-ndtri_exp(log_fap)) if log_fap < 0 else 0.0, "dmag": np.nan,
            "n_epochs": time.size, "amplitude": amplitude, "period": 1.0 / best_frequency, "fap": np.exp(log_fap),
            "chi2": float(np.sum(((flux - fitted) / noise) ** 2) / max(time.size - 4, 1)),
        }  # fmt: skip


def log_false_alarm_probability(power: float, time: Floats, noise: Floats, highest: float) -> float:
    """Natural logarithm of the probability that noise has a higher peak up to a frequency (Baluev 2008), at most 0.

    Parameters
    ----------
    power
        Of the normalized periodogram, 0 to 1.
    time, noise
        Of the epochs.
    highest
        Highest frequency.
    """
    from scipy.special import gammaln

    n = time.size
    weight = noise**-2.0
    mean = np.average(time, weights=weight)
    width = highest * np.sqrt(4.0 * np.pi * np.average((time - mean) ** 2, weights=weight))
    factor = np.sqrt(2.0 / (n - 1)) * np.exp(gammaln(0.5 * (n - 1)) - gammaln(0.5 * (n - 2)))
    single = 0.5 * (n - 3) * np.log1p(-power)
    tail = np.log(factor * width) + 0.5 * (n - 4) * np.log1p(-power) + 0.5 * np.log(0.5 * (n - 1) * power)
    both = np.logaddexp(single, tail)
    if both < -20.0:  # where the exact form would lose its digits
        return float(both)
    return float(np.log(-np.expm1(np.log1p(-np.exp(single)) - np.exp(tail))))


def _method() -> str:
    try:
        import nifty_ls  # noqa: F401  it adds its method to astropy's
    except ImportError:
        return "fast"
    return "fastnifty"

"""Putting an event of a given profile into a light curve; shared by all simulators."""

from bisect import bisect_right
from collections.abc import Callable
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from retriever.detection import Injection, Simulated
from retriever.errors import ConfigError
from retriever.lightcurve import Lightcurve
from retriever.photometry import flux_to_mag
from retriever.simulators.distribution import Distribution
from retriever.statistics import median

__all__ = ["check_event_parameters", "inject_events"]

Floats = NDArray[np.float64]
Profile = Callable[[Floats, float], Floats]


def check_event_parameters(events: float, direction: str, amplitude_in: str) -> None:
    """Refuse parameters that make no sense."""
    if not events >= 0:
        raise ConfigError(f"simulator.events is {events:g}; give the mean number of events a source, zero or more")
    if direction not in ("both", "brightening", "dip"):
        raise ConfigError(f"simulator.direction is {direction!r}; it is both, brightening or dip")
    if amplitude_in not in ("snr", "mag"):
        raise ConfigError(f"simulator.amplitude_in is {amplitude_in!r}; it is snr or mag")


def inject_events(
    lightcurves: tuple[Lightcurve, ...],
    rng: np.random.Generator,
    *,
    shape: str,
    profile: Profile,
    events: float,
    width: Distribution,
    amplitude: Distribution,
    amplitude_in: str,
    direction: str,
) -> Simulated:
    """Put a Poisson number of events into one source's light curves.

    Each event falls into a light curve chosen with a chance proportional to its usable epochs, at a time drawn evenly
    between that light curve's first and last usable epoch.

    Parameters
    ----------
    profile
        Gives the event's height between 0 and 1 at times from its middle (days), for a full width at half maximum.
    events
        Mean number of events a source.
    width, amplitude
        Distributions of the full width at half maximum (days) and of the height, the latter in units of the noise
        (the larger of robust scatter and median error) or in magnitudes.

    Returns
    -------
    Simulated
        Only the light curves that received events.
    """
    number = int(rng.poisson(events))
    weights = [int(np.count_nonzero(lc.usable)) for lc in lightcurves] if number else []
    if not any(weights):
        return Simulated(lightcurves=())
    upto = list(accumulate(weights))
    change = [np.zeros(lc.n_epochs) for lc in lightcurves]
    truths = []
    for _ in range(number):
        where = bisect_right(upto, int(upto[-1] * rng.random()))
        lightcurve = lightcurves[where]
        fwhm, height = width.draw(rng), amplitude.draw(rng)
        sign = {"both": 1.0 if rng.random() < 0.5 else -1.0, "brightening": 1.0, "dip": -1.0}[direction]
        usable_times = lightcurve.time[lightcurve.usable]
        middle = float(usable_times[0] + (usable_times[-1] - usable_times[0]) * rng.random())
        baseline, noise = _baseline_and_noise(lightcurve)
        flux = sign * height * noise
        if amplitude_in == "mag":
            flux = baseline * (10 ** (0.4 * sign * height) - 1)
        change[where] += flux * profile(lightcurve.time - middle, fwhm)
        truths.append(_truth(lightcurve, shape, middle, fwhm, flux, baseline, noise))
    changed = {truth.lightcurve for truth in truths}
    return Simulated(
        lightcurves=tuple(
            _with_flux(lc, lc.flux + extra)
            for lc, extra in zip(lightcurves, change, strict=True)
            if lc.number in changed
        ),
        injections=tuple(sorted(truths, key=lambda truth: (truth.lightcurve, truth.time_peak))),
    )


def _baseline_and_noise(lightcurve: Lightcurve) -> tuple[float, float]:
    baseline, scatter = lightcurve.flux_moments
    errors = lightcurve.flux_err[lightcurve.usable]
    error = median(errors[np.isfinite(errors)])
    return baseline, float(np.fmax(scatter, error))


def _truth(
    lightcurve: Lightcurve, shape: str, middle: float, fwhm: float, flux: float, baseline: float, noise: float
) -> Injection:
    ratio = (baseline + flux) / baseline if baseline > 0 else float("nan")
    near = np.abs(lightcurve.time - middle) <= 0.5 * fwhm
    return Injection(
        lightcurve=lightcurve.number,
        shape=shape,
        time_peak=middle,
        width=fwhm,
        amplitude=flux,
        snr=flux / noise if noise > 0 else float("nan"),
        dmag=-2.5 * float(np.log10(ratio)) if ratio > 0 else float("nan"),
        n_epochs=int(np.count_nonzero(near & lightcurve.usable)),
    )


def _with_flux(lightcurve: Lightcurve, flux: Floats) -> Lightcurve:
    mag, mag_err = flux_to_mag(flux, lightcurve.flux_err, lightcurve.zero_point)
    return lightcurve.replace(flux=flux, mag=mag, mag_err=mag_err)

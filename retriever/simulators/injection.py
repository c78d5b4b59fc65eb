"""Putting an event of a given profile into a light curve; shared by all simulators."""

from bisect import bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from retriever.arrays import Floats
from retriever.detection import Injection, Simulated
from retriever.errors import ConfigError
from retriever.lightcurve import Lightcurve
from retriever.lightcurves import LightcurveBatch, LightcurveSet
from retriever.photometry import flux_to_mag
from retriever.ragged import ranges
from retriever.schema import Columns
from retriever.simulators.distribution import Distribution
from retriever.statistics import median, ragged_medians

__all__ = ["EventSimulator", "Injected", "inject_events", "inject_events_many"]


Profile = Callable[[Floats, Any], Floats]


@dataclass(frozen=True, kw_only=True)
class EventSimulator:
    """Brightenings and dips of one shape, a Poisson number a source.

    A simulator of a shape of its own inherits this, names its `shape` and gives its `profile`.

    Parameters
    ----------
    events
        Mean number of events a source.
    width
        Distribution of the full width at half maximum, in days.
    amplitude
        Distribution of the height.
    amplitude_in
        "snr": in units of the light curve's noise (the larger of robust scatter and median error); "mag": in
        magnitudes.
    direction
        "both", "brightening" or "dip".
    keep_lightcurves
        Whether to store the light curves with events in them; they can also be regenerated from the seed.
    """

    shape: ClassVar[str]

    events: float = 1.0
    width: Distribution = field(default_factory=lambda: Distribution(kind="loguniform", low=5.0, high=100.0))
    amplitude: Distribution = field(default_factory=lambda: Distribution(low=3.0, high=20.0))
    amplitude_in: str = "snr"
    direction: str = "both"
    keep_lightcurves: bool = False

    def __post_init__(self) -> None:
        if not self.events >= 0:
            raise ConfigError(
                f"simulator.events is {self.events:g}; give the mean number of events a source, zero or more"
            )
        if self.direction not in ("both", "brightening", "dip"):
            raise ConfigError(f"simulator.direction is {self.direction!r}; it is both, brightening or dip")
        if self.amplitude_in not in ("snr", "mag"):
            raise ConfigError(f"simulator.amplitude_in is {self.amplitude_in!r}; it is snr or mag")

    @staticmethod
    def profile(time: Floats, fwhm: Any) -> Floats:
        """Height, between 0 and 1, at times from the middle of the event, in the unit of `fwhm`."""
        raise NotImplementedError

    def inject(self, lightcurves: tuple[Lightcurve, ...], rng: np.random.Generator) -> Simulated:
        """Give those light curves that received events, changed, and the truth."""
        return inject_events(self, lightcurves, rng)

    def inject_many(self, lightcurves: LightcurveSet, streams: Iterable[np.random.Generator]) -> "Injected":
        """The same as `inject`, for all sources of a batch at once, each with its random stream."""
        return inject_events_many(self, lightcurves, streams)


def inject_events(
    simulator: EventSimulator, lightcurves: tuple[Lightcurve, ...], rng: np.random.Generator
) -> Simulated:
    """Put a Poisson number of events into one source's light curves.

    Each event falls into a light curve chosen with a chance proportional to its usable epochs, at a time drawn evenly
    between that light curve's first and last usable epoch.

    Returns
    -------
    Simulated
        Only the light curves that received events.
    """
    number = int(rng.poisson(simulator.events))
    weights = [int(np.count_nonzero(lc.usable)) for lc in lightcurves] if number else []
    if not any(weights):
        return Simulated(lightcurves=())
    upto = list(accumulate(weights))
    change = [np.zeros(lc.n_epochs) for lc in lightcurves]
    truths = []
    for _ in range(number):
        where = bisect_right(upto, int(upto[-1] * rng.random()))
        lightcurve = lightcurves[where]
        fwhm, height = simulator.width.draw(rng), simulator.amplitude.draw(rng)
        sign = {"both": 1.0 if rng.random() < 0.5 else -1.0, "brightening": 1.0, "dip": -1.0}[simulator.direction]
        usable_times = lightcurve.time[lightcurve.usable]
        middle = float(usable_times[0] + (usable_times[-1] - usable_times[0]) * rng.random())
        baseline, noise = _baseline_and_noise(lightcurve)
        flux = sign * height * noise
        if simulator.amplitude_in == "mag":
            flux = baseline * (10 ** (0.4 * sign * height) - 1)
        change[where] += flux * simulator.profile(lightcurve.time - middle, fwhm)
        truths.append(_truth(lightcurve, simulator.shape, middle, fwhm, flux, baseline, noise))
    changed = {truth.lightcurve for truth in truths}
    return Simulated(
        lightcurves=tuple(
            _with_flux(lc, lc.flux + extra)
            for lc, extra in zip(lightcurves, change, strict=True)
            if lc.number in changed
        ),
        injections=tuple(sorted(truths, key=lambda truth: (truth.lightcurve, truth.time_peak))),
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Injected:
    """What injection changed in a batch of sources.

    Attributes
    ----------
    changed
        Light curves that received events.
    photometry
        For each batch of these, its new columns `flux`, `mag` and `mag_err`.
    injections
        The truth: a row an event, with the row of its source, in the order of sources, light curves and times.
    """

    changed: NDArray[np.bool_]
    photometry: tuple[Columns, ...]
    injections: Columns


def inject_events_many(
    simulator: EventSimulator, lightcurves: LightcurveSet, streams: Iterable[np.random.Generator]
) -> Injected:
    """The same as `inject_events`, for all sources of a batch at once.

    Parameters
    ----------
    streams
        The random stream of each source.
    """
    batches = lightcurves.batches
    usable = lightcurves.gather([batch.n_usable for batch in batches]) if batches else np.zeros(0, np.int64)
    drawn = _draw(simulator, lightcurves.source, usable, streams)
    of_batches = [_facts(batch) for batch in batches]
    facts: Columns = {
        name: lightcurves.gather([of_batch[name] for of_batch in of_batches])[drawn.member]
        if drawn.member.size
        else np.zeros(0)
        for name in ("first", "last", "baseline", "noise", "number")
    }
    middle = facts["first"] + (facts["last"] - facts["first"]) * drawn.share
    flux = drawn.sign * drawn.height * facts["noise"]
    if simulator.amplitude_in == "mag":
        growth = np.array([10 ** (0.4 * change) - 1 for change in (drawn.sign * drawn.height).tolist()])
        flux = facts["baseline"] * growth
    changed = np.zeros(len(lightcurves), np.bool_)
    changed[drawn.member] = True
    n_epochs = np.zeros(drawn.member.size, np.int64)
    photometry = []
    for rows, batch in zip(lightcurves.members, batches, strict=True):
        position = np.full(len(lightcurves), -1)
        position[rows] = np.arange(rows.size)
        here = np.flatnonzero(position[drawn.member] >= 0)
        if here.size:
            member = position[drawn.member[here]]
            new, near = _apply(batch, member, middle[here], drawn.fwhm[here], flux[here], simulator.profile)
            photometry.append(new)
            n_epochs[here] = near
    return Injected(
        changed=changed,
        photometry=tuple(photometry),
        injections=_truths(lightcurves.source, drawn, facts, middle, flux, n_epochs, simulator.shape),
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Drawn:
    """What was drawn for each event: light curve, width, height, sign, and when, as a share of the time observed."""

    member: NDArray[np.int64]
    fwhm: Floats
    height: Floats
    sign: Floats
    share: Floats


def _draw(
    simulator: EventSimulator,
    source: NDArray[np.int64],
    usable: NDArray[np.int64],
    streams: Iterable[np.random.Generator],
) -> _Drawn:
    rows: list[tuple[int, float, float, float, float]] = []
    ends, weights = np.cumsum(np.bincount(source)).tolist(), usable.tolist()
    first = 0
    for row, rng in enumerate(streams):
        last = ends[row] if row < len(ends) else first
        number = int(rng.poisson(simulator.events))
        upto = list(accumulate(weights[first:last])) if number else []
        if upto and upto[-1]:
            for _ in range(number):
                where = first + bisect_right(upto, int(upto[-1] * rng.random()))
                fwhm, height = simulator.width.draw(rng), simulator.amplitude.draw(rng)
                coin = 1.0 if rng.random() < 0.5 else -1.0
                sign = {"both": coin, "brightening": 1.0, "dip": -1.0}[simulator.direction]
                rows.append((where, fwhm, height, sign, rng.random()))
        first = last
    table = np.array(rows, np.float64).reshape(-1, 5)
    member = table[:, 0].astype(np.int64)
    return _Drawn(member=member, fwhm=table[:, 1], height=table[:, 2], sign=table[:, 3], share=table[:, 4])


def _facts(batch: LightcurveBatch) -> Columns:
    """What injection must know of each light curve; times are those of the first and last usable epoch."""
    time, errors = batch.columns["time"], batch.columns["flux_err"]
    first, last = batch.usable_bounds
    baseline, scatter = batch.flux_moments
    error = ragged_medians(errors, batch.offsets, batch.usable & np.isfinite(errors))
    return {
        "first": time[first], "last": time[last], "baseline": baseline,
        "noise": np.fmax(scatter, error), "number": batch.words["number"],
    }  # fmt: skip


def _apply(
    batch: LightcurveBatch, member: NDArray[np.int64], middle: Floats, fwhm: Floats, flux: Floats, profile: Profile
) -> tuple[Columns, NDArray[np.int64]]:
    """New photometry of the light curves that have events, and the number of usable epochs within each event."""
    change = np.zeros(batch.columns["flux"].size)
    n_epochs = np.zeros(member.size, np.int64)
    for now in _rounds(member):
        lengths = batch.lengths[member[now]]
        epochs = ranges(batch.offsets[member[now]], lengths)
        distance = batch.columns["time"][epochs] - np.repeat(middle[now], lengths)
        spread = np.repeat(fwhm[now], lengths)
        change[epochs] += np.repeat(flux[now], lengths) * profile(distance, spread)
        near = (np.abs(distance) <= 0.5 * spread) & batch.usable[epochs]
        n_epochs[now] = np.add.reduceat(near, np.cumsum(lengths) - lengths, dtype=np.int64)
    changed = batch.only(("flux", "flux_err")).take(np.unique(member))
    rows = ranges(batch.offsets[np.unique(member)], changed.lengths)
    new = changed.columns["flux"] + change[rows]
    zero_point = changed.spread(changed.words["zero_point"])
    mag, mag_err = flux_to_mag(new, changed.columns["flux_err"], zero_point)
    return {"flux": new, "mag": mag, "mag_err": mag_err}, n_epochs


def _rounds(member: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Events by their place among those of their light curve: the first of each, the second of each, and so on.

    So each round changes a light curve once, and several events in one are added in the order they were drawn.
    """
    order = np.argsort(member, kind="stable")
    place = np.arange(member.size) - np.searchsorted(member[order], member[order])
    return np.split(order[np.argsort(place, kind="stable")], np.cumsum(np.bincount(place))[:-1])


def _truths(
    source: NDArray[np.int64], drawn: _Drawn, facts: Columns, middle: Floats, flux: Floats,
    n_epochs: NDArray[np.int64], shape: str,
) -> Columns:  # fmt: skip
    baseline, noise = facts["baseline"], facts["noise"]
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.where(baseline > 0, (baseline + flux) / baseline, np.nan)
        dmag = np.where(ratio > 0, -2.5 * np.log10(np.where(ratio > 0, ratio, np.nan)), np.nan)
        snr = np.where(noise > 0, flux / noise, np.nan)
    order = np.lexsort((middle, drawn.member))
    n = order.size
    columns: Columns = {
        "source": source[drawn.member], "lightcurve": facts["number"].astype(np.int64),
        "shape": np.full(n, shape), "time_peak": middle, "width": drawn.fwhm,
        "amplitude": flux, "snr": snr, "dmag": dmag, "n_epochs": n_epochs,
    }  # fmt: skip
    columns = {name: values[order] for name, values in columns.items()}
    return {
        **columns,
        "recovered": np.zeros(n, np.bool_),
        "found_snr": np.full(n, np.nan),
        "blended": np.zeros(n, np.bool_),
    }


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

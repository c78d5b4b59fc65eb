"""Putting one event of a given shape into all light curves of a source; shared by all simulators.

**What is changed.** An event adds a share of the source's flux to each of its light curves, the same one in all bands
but for the event's colors. Light curves whose median flux is not positive, as in difference photometry, get the same
flux, converted by their zero points. A dip never takes more than the whole flux.

**Noise.** More light has more photon noise. Of the variance of an epoch, the source's own photons make up a share: in
electrons a second it is flux over exposure time (at most the whole variance), in other units `photon_share`. It grows
and shrinks with the flux: noise is added for a brightening, the deviation from the median is shrunk for a dip, and
errors follow.

**Surveys.** By default each survey gets events of its own. With `span`, the event of a trial is the same in all surveys
of the source: its time, in BJD_TDB, its width, and its share of the flux.

**Exposures.** The shape is averaged over each exposure, so that short events are diluted as they are in the sky.
"""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import accumulate
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from retriever.arrays import Array, Floats, Rows
from retriever.detection import INJECTIONS, Injection, Simulated, records_of_columns
from retriever.errors import ConfigError
from retriever.lightcurve import Lightcurve
from retriever.lightcurves import LightcurveBatch, LightcurveSet
from retriever.photometry import flux_to_mag
from retriever.ragged import ranges
from retriever.schema import Columns
from retriever.simulators.distribution import Distribution
from retriever.statistics import ragged_medians

__all__ = ["LEVELS", "EventSimulator", "Injected", "Shape", "inject_events"]

LEVELS = ("processed", "reduced")

_SHORT_EXPOSURE = 0.02
"""Exposure, as a share of an event's width, below which averaging over it changes nothing."""

_INSTANT = 1e-9
"""Length in days of a light curve of one epoch."""

_NOTHING = 1e-3
"""Change of flux, in units of the noise, below which a light curve other than the drawn one is left as it is."""

_MOST_PARTS = 64
"""Parts of an exposure over which the mean is taken at most: shapes of a thirtieth of it are still resolved."""

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(9)


@dataclass(frozen=True, kw_only=True, eq=False)
class Shape:
    """Parameters of events, one value an event, or repeated for each epoch.

    Attributes
    ----------
    width
        Full width at half maximum in days.
    relative
        Height as a share of the flux; NaN where that is not positive.
    period
        In days; NaN for an event that does not repeat.
    """

    width: Floats
    relative: Floats
    period: Floats

    def repeated(self, counts: NDArray[np.int64]) -> "Shape":
        """One value an epoch."""
        return Shape(
            width=np.repeat(self.width, counts),
            relative=np.repeat(self.relative, counts),
            period=np.repeat(self.period, counts),
        )

    def take(self, rows: NDArray[np.int64]) -> "Shape":
        """Some of the events, or of the epochs."""
        return Shape(width=self.width[rows], relative=self.relative[rows], period=self.period[rows])


@dataclass(frozen=True, kw_only=True)
class EventSimulator:
    """Events of one shape, one in each trial of a source.

    A simulator of a shape of its own inherits this, names its `shape` and gives its `profile`.

    Parameters
    ----------
    trials
        Number of independent trials of each source: its light curves get one event, and are searched.
    width
        Distribution of the full width at half maximum, in days.
    amplitude
        Distribution of the height.
    amplitude_in
        "snr": in units of the noise of a light curve (the larger of robust scatter and median error) that is drawn by
        its length; "mag": in magnitudes; "relative": as a share of the flux. In these two, light curves whose median
        flux is not positive, as in difference photometry, get no events of their own.
    direction
        "both", "brightening" or "dip".
    colors
        Name of a band to the height there as a multiple of the height elsewhere.
    level
        "processed": into light curves as they are searched; "reduced": before they are detrended, so that events which
        detrending removes count as missed.
    photon_share
        Share of the variance of an epoch that the source's own photons make up, where it is not known from the unit.
    span
        First and last time of events, BJD_TDB as MJD; then the event of a trial is the same in all surveys, and needs
        an amplitude that does not depend on their noise. Empty: events of its own for each survey, within its light
        curves.
    keep_lightcurves
        Whether to store the light curves of the first trial; they can also be regenerated from the seed.
    """

    shape: ClassVar[str]
    is_endless: ClassVar[bool] = False
    """Whether the event lasts as long as the light curve; then its width is no property of it."""

    trials: int = 1
    width: Distribution = field(default_factory=lambda: Distribution(kind="loguniform", low=5.0, high=100.0))
    amplitude: Distribution = field(default_factory=lambda: Distribution(low=3.0, high=20.0))
    amplitude_in: str = "snr"
    direction: str = "both"
    colors: dict[str, float] = field(default_factory=dict)
    level: str = "processed"
    photon_share: float = 0.5
    span: tuple[float, ...] = ()
    keep_lightcurves: bool = False

    def __post_init__(self) -> None:
        if self.trials < 0:
            raise ConfigError(f"simulator.trials is {self.trials}; give the number of trials a source, zero or more")
        if self.direction not in ("both", "brightening", "dip"):
            raise ConfigError(f"simulator.direction is {self.direction!r}; it is both, brightening or dip")
        if self.amplitude_in not in ("snr", "mag", "relative"):
            raise ConfigError(f"simulator.amplitude_in is {self.amplitude_in!r}; it is snr, mag or relative")
        if self.level not in LEVELS:
            raise ConfigError(f"simulator.level is {self.level!r}; it is {' or '.join(LEVELS)}")
        if not 0 <= self.photon_share <= 1:
            raise ConfigError(f"simulator.photon_share is {self.photon_share:g}; give a share from 0 to 1")
        if self.span and not (len(self.span) == 2 and self.span[0] < self.span[1]):
            raise ConfigError("simulator.span needs a first and a later last time, as in [58300, 60300], or none")
        if self.span and self.amplitude_in == "snr":
            raise ConfigError("simulator.span needs simulator.amplitude_in=relative or mag: noise differs by survey")

    def profile(self, time: Floats, shape: Shape) -> Floats:
        """Height, between 0 and 1, at times from the middle of the event in days."""
        raise NotImplementedError

    def draw_period(self, rng: np.random.Generator) -> float:
        """Period of an event in days; NaN for one that does not repeat."""
        return float("nan")

    def true_width(self, width: Floats, period: Floats) -> Floats:
        """Full width at half maximum of events, in days, from the drawn width; for shapes that follow another one."""
        return width

    def mean_profile(self, time: Floats, exposure: Floats, shape: Shape) -> Floats:
        """Mean height over exposures of given lengths in days, by Gauss-Legendre quadrature in parts of half a width.

        Parameters
        ----------
        time
            Middles of the exposures from the middle of the event, in days.
        """
        with np.errstate(invalid="ignore", divide="ignore"):
            halves = np.nan_to_num(2.0 * exposure / shape.width, nan=1.0, posinf=_MOST_PARTS)
        parts = np.exp2(np.ceil(np.log2(np.clip(halves, 1.0, _MOST_PARTS)))).astype(np.int64)
        mean = np.zeros(time.size)
        for number in np.unique(parts).tolist():
            mine = np.flatnonzero(parts == number)
            length, own = exposure[mine] / number, shape.take(mine)
            for part in range(number):
                middle = time[mine] + (part + 0.5 - 0.5 * number) * length
                for node, weight in zip(_NODES.tolist(), _WEIGHTS.tolist(), strict=True):
                    mean[mine] += 0.5 * weight / number * self.profile(middle + 0.5 * node * length, own)
        return mean

    def inject(self, lightcurves: tuple[Lightcurve, ...], rng: np.random.Generator) -> Simulated:
        """Give those light curves that the event changed, and the truth; one trial of one source."""
        processed = LightcurveSet.of([lightcurves])
        injected = self.inject_many(processed, processed, [rng])
        changed = processed.take(injected.changed)
        fresh = changed.with_batches(
            [batch.replace(**new) for batch, new in zip(changed.batches, injected.photometry, strict=True)]
        )
        return Simulated(
            lightcurves=fresh.objects(1)[0], injections=records_of_columns(Injection, injected.injections, 0)
        )

    def inject_many(
        self, processed: LightcurveSet, base: LightcurveSet, streams: Iterable[np.random.Generator]
    ) -> "Injected":
        """The same as `inject`, for all sources of a batch at once; see `inject_events`."""
        return inject_events(self, processed, base, streams)


@dataclass(frozen=True, kw_only=True, eq=False)
class Injected:
    """What injection changed in a batch of sources.

    Attributes
    ----------
    changed
        Light curves that an event changed.
    photometry
        For each batch of these, its new columns `flux`, `flux_err`, `mag` and `mag_err`.
    injections
        The truth: a row an event, with the row of its source, in the order of sources.
    """

    changed: NDArray[np.bool_]
    photometry: tuple[Columns, ...]
    injections: Columns


def inject_events(
    simulator: EventSimulator,
    processed: LightcurveSet,
    base: LightcurveSet,
    streams: Iterable[np.random.Generator],
) -> Injected:
    """Put one event into the light curves of each source.

    The event falls at a time drawn evenly between the first and last usable epoch of a light curve that is chosen with
    a chance proportional to that length, or within the simulator's span. Its height is that in this light curve.

    Parameters
    ----------
    processed
        Light curves as they are searched, whose flags say which epochs are usable and whose scatter is the noise.
    base
        The same light curves and epochs, whose flux is changed.
    streams
        The random stream of each source.
    """
    facts = _facts_of(processed, base)
    drawn = _draw(simulator, processed, facts, streams)
    shape = Shape(width=drawn["width"], relative=drawn["relative"], period=drawn["period"])
    event_of = np.full(int(processed.source[-1]) + 1 if len(processed) else 0, -1)
    event_of[drawn["source"]] = np.arange(drawn["source"].size)
    changed = np.zeros(len(processed), np.bool_)
    n_epochs = np.zeros(drawn["source"].size, np.int64)
    total = np.zeros(drawn["source"].size)
    photometry = []
    for rows, batch, below in zip(processed.members, processed.batches, base.batches, strict=True):
        event = event_of[batch.source]
        of_batch = {name: values[rows] for name, values in facts.items()}
        members = np.flatnonzero(event >= 0)
        change = _changes(simulator, batch, below, of_batch, members, event[members], drawn, shape)
        np.add.at(n_epochs, event[members], change.n_epochs)
        np.add.at(total, event[members], change.total)
        is_felt = change.is_felt | (rows[members] == drawn["member"][event[members]])
        if simulator.span:
            _to_survey_time(batch, rows, drawn)
        members, epochs = members[is_felt], change.epochs[np.repeat(is_felt, change.counts)]
        if members.size:
            changed[rows[members]] = True
            felt = change.flux[np.repeat(is_felt, change.counts)]
            seeds = np.column_stack([drawn["seed"][event], below.words["number"]])
            if simulator.span:  # other noise in light curves of other surveys that have one number
                seeds = np.column_stack([seeds, (of_batch["first"] * 86400.0).astype(np.int64)])
            photometry.append(_with_noise(simulator, below, of_batch, members, epochs, felt, seeds))
    table: Columns = {
        **{name: drawn[name] for name in ("source", "lightcurve", "time_peak", "amplitude", "snr", "dmag",
                                          "relative", "period", "bjd_peak", "exptime")},
        "width": np.full(drawn["source"].size, np.nan) if simulator.is_endless else drawn["width"],
        "shape": np.full(drawn["source"].size, simulator.shape), "n_epochs": n_epochs, "total_snr": np.sqrt(total),
    }  # fmt: skip
    return Injected(changed=changed, photometry=tuple(photometry), injections=_completed(table))


def _completed(given: Columns) -> Columns:
    """Columns of the table of injections in their order, with defaults."""
    n = given["source"].size
    return {"source": given["source"], **INJECTIONS.completed(given, n)}


def _facts_of(processed: LightcurveSet, base: LightcurveSet) -> Columns:
    """What is known of each light curve: times of its first and last usable epoch, median flux, noise, zero point."""
    parts = []
    for batch, below in zip(processed.batches, base.batches, strict=True):
        exptime = np.nan_to_num(batch.columns["exptime"])
        time, errors = batch.columns["time"], batch.columns["flux_err"]
        first, last = batch.usable_bounds
        scatter = batch.flux_moments[1]
        error = ragged_medians(errors, batch.offsets, batch.usable & np.isfinite(errors))
        baseline = ragged_medians(below.columns["flux"], batch.offsets, batch.usable)
        parts.append({
            "first": time[first], "last": time[last], "baseline": baseline, "noise": np.fmax(scatter, error),
            "n_usable": batch.n_usable, "number": batch.words["number"], "zero_point": batch.words["zero_point"],
            "band": batch.words["band"],
            "exptime": np.maximum.reduceat(exptime, batch.offsets[:-1]) if exptime.size else np.zeros(0),
        })  # fmt: skip
    names = ("first", "last", "baseline", "noise", "n_usable", "number", "zero_point", "band", "exptime")
    return {name: processed.gather([part[name] for part in parts]) if parts else np.zeros(0) for name in names}


def _colors(simulator: EventSimulator, bands: Array) -> Floats:
    return np.array([simulator.colors.get(band, 1.0) for band in bands.tolist()], np.float64)


def _draw(
    simulator: EventSimulator, lightcurves: LightcurveSet, facts: Columns, streams: Iterable[np.random.Generator]
) -> Columns:
    """Parameters of the event of each source that has usable epochs, and a seed for its photon noise."""
    ends = np.cumsum(np.bincount(lightcurves.source)).tolist()
    # a light curve of one epoch counts a little, so that a source that has no other gets events too
    lengths = (facts["last"] - facts["first"] + _INSTANT) * (facts["n_usable"] > 0)
    weights = (lengths * ((facts["baseline"] > 0) | (simulator.amplitude_in == "snr"))).tolist()
    rows: list[tuple[float, ...]] = []
    seeds: list[int] = []
    first = 0
    for source, rng in enumerate(streams):
        last = ends[source] if source < len(ends) else first
        upto = list(accumulate(weights[first:last]))
        if upto and upto[-1]:
            where = first + min(bisect_right(upto, upto[-1] * rng.random()), len(upto) - 1)
            width, height = simulator.width.draw(rng), simulator.amplitude.draw(rng)
            coin = 1.0 if rng.random() < 0.5 else -1.0
            sign = {"both": coin, "brightening": 1.0, "dip": -1.0}[simulator.direction]
            rows.append((source, where, width, sign * height, rng.random(), simulator.draw_period(rng)))
            seeds.append(int(rng.integers(2**62)))
        first = last
    table = np.array(rows, np.float64).reshape(-1, 6)
    member = table[:, 1].astype(np.int64)
    heights = table[:, 3]
    own = {name: values[member] for name, values in facts.items()}
    own_color = _colors(simulator, own["band"])
    # the height is that in the drawn light curve, or with a span that in a band without a color
    color = np.ones(own_color.size) if simulator.span else np.where(own_color == 0, 1.0, own_color)
    baseline, noise = own["baseline"], own["noise"]
    has_flux = baseline > 0
    if simulator.amplitude_in == "snr":
        amplitude = heights * noise
    elif simulator.amplitude_in == "mag":
        amplitude = baseline * np.array([10 ** (0.4 * change) - 1 for change in heights.tolist()])
    else:
        amplitude = heights * baseline
    with np.errstate(invalid="ignore", divide="ignore"):
        common = np.where(has_flux, amplitude / baseline, np.nan) / color
    common_flux = amplitude / color
    amplitude = amplitude * own_color if simulator.span else amplitude
    amplitude = np.where(has_flux, np.maximum(amplitude, -baseline), amplitude)
    with np.errstate(invalid="ignore", divide="ignore"):
        relative = np.where(has_flux, amplitude / baseline, np.nan)
        dmag = np.where(relative > -1, -2.5 * np.log10(np.where(relative > -1, 1 + relative, np.nan)), np.nan)
        snr = np.where(noise > 0, amplitude / noise, np.nan)
    begin, end = simulator.span or (own["first"], own["last"])
    time = begin + (end - begin) * table[:, 4]
    return {
        "source": table[:, 0].astype(np.int64), "member": member, "lightcurve": own["number"].astype(np.int64),
        "time_peak": time, "bjd_peak": time.copy() if simulator.span else np.full(time.size, np.nan),
        "width": simulator.true_width(table[:, 2], table[:, 5]), "exptime": own["exptime"],
        "amplitude": amplitude, "relative": relative, "snr": snr, "dmag": dmag, "period": table[:, 5],
        "zero_point": own["zero_point"], "common": common, "common_flux": common_flux,
        "seed": np.array(seeds, np.int64),
    }  # fmt: skip


@dataclass(frozen=True, kw_only=True, eq=False)
class _Changes:
    """What events change in the light curves of a batch that have one.

    Attributes
    ----------
    epochs, flux
        Epochs of these light curves, and the change of their flux.
    counts
        Number of epochs of each.
    is_felt
        Whether a light curve is changed by more than nothing.
    n_epochs
        Usable epochs within one full width at half maximum, of all repetitions of an event that repeats.
    total
        Square of the S/N of all usable epochs together.
    """

    epochs: NDArray[np.int64]
    flux: Floats
    counts: NDArray[np.int64]
    is_felt: NDArray[np.bool_]
    n_epochs: NDArray[np.int64]
    total: Floats


def _changes(
    simulator: EventSimulator, batch: LightcurveBatch, below: LightcurveBatch, facts: Columns,
    members: NDArray[np.int64], event: NDArray[np.int64], drawn: Columns, shape: Shape,
) -> _Changes:  # fmt: skip
    counts = batch.lengths[members]
    epochs = ranges(batch.offsets[members], counts)
    columns = batch.columns
    exposure = np.nan_to_num(columns["exptime"][epochs]) / 86400.0
    middle = _middles(batch, members, epochs, is_barycentric=bool(simulator.span))
    distance = middle - np.repeat(drawn["bjd_peak" if simulator.span else "time_peak"][event], counts)
    repeated = shape.take(event).repeated(counts)
    height = simulator.profile(distance, repeated)
    is_long = np.flatnonzero(exposure > _SHORT_EXPOSURE * repeated.width)
    if is_long.size:
        height[is_long] = simulator.mean_profile(distance[is_long], exposure[is_long], repeated.take(is_long))
    baseline = facts["baseline"][members]
    color = _colors(simulator, batch.words["band"][members])
    common = drawn["common"][event]
    same_flux = drawn["common_flux"][event] * 10 ** (0.4 * (facts["zero_point"][members] - drawn["zero_point"][event]))
    has_share = (baseline > 0) & np.isfinite(common)
    amplitude = np.where(has_share, np.maximum(common * color, -1.0) * baseline, same_flux * color)
    flux = np.repeat(amplitude, counts) * height
    usable = batch.usable[epochs]
    start = np.cumsum(counts) - counts
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.where(usable, np.abs(flux) / np.repeat(facts["noise"][members], counts), 0.0)
    with np.errstate(invalid="ignore"):
        turns = np.nan_to_num(np.round(distance / repeated.period))
    of_nearest = np.abs(distance - turns * np.nan_to_num(repeated.period))
    near = (of_nearest <= 0.5 * repeated.width + 0.5 * exposure) & usable
    if not members.size:
        none = np.zeros(0)
        return _Changes(epochs=epochs, flux=none, counts=counts, is_felt=np.zeros(0, np.bool_),
                        n_epochs=counts, total=none)  # fmt: skip
    return _Changes(
        epochs=epochs, flux=flux, counts=counts,
        is_felt=np.maximum.reduceat(np.nan_to_num(share, posinf=1.0), start) > _NOTHING,
        n_epochs=np.add.reduceat(near, start, dtype=np.int64),
        total=np.add.reduceat(np.nan_to_num(share, posinf=0.0) ** 2, start),
    )  # fmt: skip


def _middles(batch: LightcurveBatch, members: Rows, epochs: Rows, *, is_barycentric: bool) -> Floats:
    """Times of the middle of exposures: in the survey's own time, or in BJD_TDB where that is wanted and known."""
    columns = batch.columns
    to_middle = {"start": 0.5, "middle": 0.0, "end": -0.5}
    shift = np.array([to_middle[point] for point in batch.words["time_point"][members].tolist()])
    exposure = np.nan_to_num(columns["exptime"][epochs]) / 86400.0
    own = columns["time"][epochs] + np.repeat(shift, batch.lengths[members]) * exposure
    if not is_barycentric or "bjd_offset" not in columns:
        return np.asarray(own)
    barycentric = columns["time"][epochs] + columns["bjd_offset"][epochs] / 86400.0
    return np.where(np.isfinite(barycentric), barycentric, own)


def _to_survey_time(batch: LightcurveBatch, rows: Rows, drawn: Columns) -> None:
    """Turn the times of events whose height is measured in light curves of a batch from BJD_TDB to its own time."""
    place = np.full(int(max(rows.max(), drawn["member"].max())) + 1, -1)
    place[rows] = np.arange(rows.size)
    here = np.flatnonzero(place[drawn["member"]] >= 0)
    member = place[drawn["member"][here]]
    every = np.arange(len(batch)), np.arange(batch.member.size)
    own, middle = (_middles(batch, *every, is_barycentric=wanted) for wanted in (False, True))
    # of the epoch that comes next, by light curve and time; offsets change by seconds in a day
    apart = middle.max() - middle.min() + 1.0
    after = np.searchsorted(
        middle - middle.min() + apart * batch.member,
        np.clip(drawn["bjd_peak"][here] - middle.min(), 0.0, apart - 1.0) + apart * member,
    )
    epoch = np.clip(after, batch.offsets[member], batch.offsets[member + 1] - 1)
    drawn["time_peak"][here] = drawn["bjd_peak"][here] - (middle[epoch] - own[epoch])


def _with_noise(
    simulator: EventSimulator, below: LightcurveBatch, facts: Columns, members: NDArray[np.int64],
    epochs: NDArray[np.int64], change: Floats, seeds: NDArray[np.int64],
) -> Columns:  # fmt: skip
    """New photometry of light curves that an event changes."""
    counts = below.lengths[members]
    columns = below.columns
    flux, error = columns["flux"][epochs], columns["flux_err"][epochs]
    baseline = np.repeat(facts["baseline"][members], counts)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.full(epochs.size, simulator.photon_share)
        counted = np.repeat(below.words["flux_unit"][members] == "e-/s", counts)
        share[counted] = np.minimum(baseline / (columns["exptime"][epochs] * error**2), 1.0)[counted]
        share = np.where(np.isfinite(share) & (baseline > 0) & np.isfinite(error), share, 0.0)
        growth = 1.0 + share * np.where(baseline > 0, change / baseline, 0.0)  # of the variance
    new_error = np.where(share > 0, error * np.sqrt(np.maximum(growth, 0.0)), error)
    less = growth < 1.0
    deviation = flux - baseline
    new = flux + change
    new[less] = (baseline + change + deviation * np.sqrt(np.maximum(growth, 0.0)))[less]
    noisy = np.flatnonzero((share > 0) & (growth > 1.0))
    if noisy.size:
        amount = np.bincount(np.repeat(np.arange(members.size), counts)[noisy], minlength=members.size).tolist()
        normal = [
            np.random.Generator(np.random.SFC64(words)).standard_normal(n)
            for words, n in zip(seeds[members].tolist(), amount, strict=True)
            if n
        ]
        new[noisy] += np.concatenate(normal) * (error * np.sqrt(np.maximum(growth - 1.0, 0.0)))[noisy]
    mag, mag_err = flux_to_mag(new, new_error, np.repeat(below.words["zero_point"][members], counts))
    return {"flux": new, "flux_err": new_error, "mag": mag, "mag_err": mag_err}

"""Finds events of a known shape: matched filters of many widths."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retriever.arrays import Floats, Rows
from retriever.detection import Detection
from retriever.errors import ConfigError
from retriever.finders.events import event_columns, find_in_one, no_events
from retriever.lightcurve import Lightcurve
from retriever.lightcurves import LightcurveBatch
from retriever.noise import check_noise_model, epoch_noise, false_alarm_probability
from retriever.profiles import PROFILES, core, next_width
from retriever.ragged import ranges
from retriever.schema import Columns
from retriever.statistics import GAUSSIAN_MAD

__all__ = ["MatchedFilter", "template_widths"]

_EVEN = 0.1
"""Largest deviation of steps from multiples of the cadence, in cadences, for which sampling counts as even."""

_FILLED = 0.25
"""Least share of the cells of an even grid that must have an epoch."""

_FEW = 500
"""Epochs at which a fit of width and time is made, at most twice as many."""

_ROUNDING = 1e-6
"""Steps by which an epoch at the very end of a template may lie beyond it."""

_MARGIN = 0.25
"""Widths before and after an event that still belong to it, for its width is known to so much."""

_STEPS = 4
"""Neighbours by which the width of an event may differ from that of its template."""

_AT_ONCE = 16_384
"""Pairs of an epoch and a template that are worked on together, so that they stay in the processor's cache."""

_CENTERS = 5.0
"""Places within a width at which a template is tried on uneven sampling."""


@dataclass(frozen=True, kw_only=True)
class MatchedFilter:
    """Events that look like a template, of widths between two limits (North 1963, Proc. IEEE 51, 1016).

    At a time and for a width, the amplitude A = Σ w d p / Σ w p² fits the template p best to the deviations d of the
    fluxes from their median, with weights w = 1 / noise². Its S/N is A √(Σ w p²). On even sampling the sums are taken
    at every epoch by FFT, with gaps of weight zero; on uneven sampling directly, at a fifth of a width. The S/N of each
    width is divided by its robust scatter over the light curve, if that is above 1, so that correlated noise does not
    count as signal (Pont, Zucker & Queloz 2006, MNRAS 373, 231). The strongest template is an event; it masks all
    that it overlaps, then the next one is looked for.

    Parameters
    ----------
    shape
        "gaussian", "box", "flare", "occultation" or "trapezoid".
    shortest, longest
        Limits of the full width at half maximum of the templates in days; that of an event, which is fitted, may lie
        somewhat beyond.
    overlap
        Least share of the S/N that is left where an event's width lies between two templates.
    snr_threshold
        Least S/N.
    direction
        "both", "brightening" or "dip".
    max_events
        Most events in one light curve.
    correlated
        Whether S/N is divided by its scatter.
    noise
        How the noise of an epoch is judged; see `retriever.noise`.

    Examples
    --------
    >>> time, rng = np.arange(0.0, 10.0, 0.01), np.random.default_rng(1)
    >>> flux = 100.0 + rng.standard_normal(1000) + 3.0 * np.exp(-4 * np.log(2) * ((time - 4.0) / 0.3) ** 2)
    >>> lc = Lightcurve.from_columns(band="r", time=time, flux=flux, flux_err=np.ones(1000), mag=None, mag_err=None)
    >>> _, (event,) = MatchedFilter(shortest=0.05, longest=1.0).find(lc)
    >>> round(event.time_peak, 1), round(event.width, 1), round(event.amplitude), round(event.snr) > 10
    (4.0, 0.3, 3, True)
    """

    shape: str = "gaussian"
    shortest: float = 1.0
    longest: float = 100.0
    overlap: float = 0.95
    snr_threshold: float = 6.0
    direction: str = "both"
    max_events: int = 10
    correlated: bool = True
    noise: str = "rescaled"

    def __post_init__(self) -> None:
        check_noise_model(self.noise, "finder.noise")
        if self.shape not in PROFILES:
            raise ConfigError(f"finder.shape is {self.shape!r}; it is one of {', '.join(PROFILES)}")
        if self.direction not in ("both", "brightening", "dip"):
            raise ConfigError(f"finder.direction is {self.direction!r}; it is both, brightening or dip")
        if not 0 < self.shortest <= self.longest or not 0.5 <= self.overlap < 1 or not self.snr_threshold > 0:
            raise ConfigError(
                "finder.shortest must be above zero and up to finder.longest, finder.overlap 0.5 to 1, "
                "finder.snr_threshold above zero"
            )

    def find(self, lightcurve: Lightcurve) -> tuple[Mapping[str, Any], tuple[Detection, ...]]:
        """Give the score `snr` of every epoch, that of the best template there, and the events in order of time."""
        return find_in_one(self, lightcurve)

    def find_many(self, batch: LightcurveBatch) -> tuple[Columns, Columns]:
        """The same as `find`, for all light curves of a batch, one after the other."""
        columns, usable = batch.columns, batch.usable
        noise = epoch_noise(columns["flux"], columns["flux_err"], usable, batch.offsets, self.noise)
        widths = np.array(template_widths(self.shape, self.shortest, self.longest, self.overlap))
        snr = np.full(columns["flux"].size, np.nan)
        rows: list[dict[str, Any]] = []
        for k in range(len(batch)):
            epochs = np.arange(batch.offsets[k], batch.offsets[k + 1])
            epochs = epochs[usable[epochs] & (noise[epochs] > 0)]
            if epochs.size < 2:
                continue
            time = columns["time"][epochs]
            trial = _Trial(
                time=time, deviation=columns["flux"][epochs] - batch.flux_moments[0][k], weight=noise[epochs] ** -2.0
            )
            best = _best_templates(trial, self.shape, widths, self.direction, self.correlated)
            snr[epochs] = best.snr[best.of_epoch]
            rows += [{"member": k, **row} for row in self._events(trial, best, widths, epochs)]
        if not rows:
            return {"snr": snr}, no_events(batch)
        table = {name: np.array([row[name] for row in rows]) for name in rows[0]}
        where = (table.pop(name) for name in ("member", "first", "peak", "last"))
        return {"snr": snr}, event_columns(batch, *where, **table)

    def _events(self, trial: "_Trial", best: "_Best", widths: Floats, epochs: Rows) -> list[dict[str, Any]]:
        height = _height(best.snr, self.direction).copy()
        events: list[dict[str, Any]] = []
        _, profile_begin, profile_end = PROFILES[self.shape]
        before, after = core(self.shape)
        while len(events) < self.max_events:
            at = int(np.argmax(height))
            if not height[at] >= self.snr_threshold:
                break
            of_template, at_center = float(widths[best.template[at]]), float(best.center[at])
            width, center = _refined(trial, self.shape, of_template, at_center, self.overlap, np.sign(best.snr[at]))
            amplitude, chi2 = _fit(trial, self.shape, width, center)
            inside = np.flatnonzero(np.abs(trial.time - center) <= 0.5 * width)
            nearest = int(np.argmin(np.abs(trial.time - center)))
            first, last = (inside[0], inside[-1]) if inside.size else (nearest, nearest)
            snr = float(best.snr[at])
            events.append({
                "first": epochs[first], "peak": epochs[nearest], "last": epochs[last], "time_peak": center,
                "snr": snr, "dmag": np.nan, "n_epochs": max(inside.size, 1), "amplitude": amplitude, "width": width,
                "chi2": chi2,
                "fap": float(false_alarm_probability(
                    np.array(snr), np.array(trial.time.size * widths.size), two_sided=self.direction == "both"
                )),
            })  # fmt: skip
            begin = min(center, at_center) + (profile_begin - _MARGIN) * width
            end = max(center, at_center) + (profile_end + _MARGIN) * width
            of_others = widths[best.template]
            overlaps = (best.center + before * of_others <= end) & (best.center + after * of_others >= begin)
            height[overlaps] = -np.inf
        return events


@lru_cache(maxsize=64)
def template_widths(shape: str, shortest: float, longest: float, overlap: float) -> tuple[float, ...]:
    """Widths in days from the shortest to the longest, so dense that an event between two keeps a share of its S/N.

    Examples
    --------
    >>> [round(width, 2) for width in template_widths("box", 1.0, 2.0, 0.9)]
    [1.0, 1.41, 2.0]
    """
    # an event half-way between two widths overlaps with both alike
    ratio = next_width(shape, overlap) ** 2
    number = int(np.ceil(np.log(longest / shortest) / np.log(ratio))) + 1 if longest > shortest else 1
    return tuple(np.geomspace(shortest, longest, number).tolist())


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Trial:
    """Times, deviations from the median, and weights of the usable epochs of a light curve."""

    time: Floats
    deviation: Floats
    weight: Floats


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Best:
    """At each place that was tried: its time, the S/N of the best template and which that is; and the place of each
    epoch."""

    center: Floats
    snr: Floats
    template: Rows
    of_epoch: Rows


def _best_templates(trial: _Trial, shape: str, widths: Floats, direction: str, correlated: bool) -> _Best:
    cell = _even_cells(trial.time)
    if cell is None:
        return _best_on_uneven(trial, shape, widths, direction, correlated)
    step = (trial.time[-1] - trial.time[0]) / max(int(cell[-1]), 1)
    # times of cells without an epoch are interpolated, for steps drift by the Earth's motion
    center = np.interp(np.arange(int(cell[-1]) + 1), cell, trial.time)
    grid = _Grid(trial, cell, step, shape, float(widths[-1]))
    typical = float(np.median(trial.weight))
    best, template = np.zeros(center.size), np.zeros(center.size, np.int64)
    top = np.full(center.size, -np.inf)
    for k, width in enumerate(widths.tolist()):
        numerator, denominator = grid.sums(width)
        snr = _snr(numerator, denominator, typical * min(1.0, width / step), correlated)
        height = _height(snr, direction)
        better = height > top
        for values, new in ((best, snr), (template, k), (top, height)):
            np.copyto(values, new, where=better)
    return _Best(center=center, snr=best, template=template, of_epoch=cell)


def _best_on_uneven(trial: _Trial, shape: str, widths: Floats, direction: str, correlated: bool) -> _Best:
    """All templates at all epochs; each is taken at the first epoch of each fifth of its width."""
    profile, begin, end = PROFILES[shape]
    time = trial.time
    group = np.floor((time - time[0]) * (_CENTERS / widths[:, None]))
    is_first = np.ones(group.shape, np.bool_)
    is_first[:, 1:] = group[:, 1:] != group[:, :-1]
    row, chosen = np.nonzero(is_first)
    width, center = widths[row], time[chosen]
    first = np.searchsorted(time, center + begin * width)
    count = np.searchsorted(time, center + end * width, side="right") - first
    numerator, denominator = np.empty(row.size), np.empty(row.size)
    ends, done = np.cumsum(count), 0
    while done < row.size:
        upto = max(int(np.searchsorted(ends, (ends[done - 1] if done else 0) + _AT_ONCE)), done + 1)
        some = slice(done, upto)
        counts = count[some]
        epochs, start = ranges(first[some], counts), np.cumsum(counts) - counts
        heights = profile(time[epochs] - np.repeat(center[some], counts), np.repeat(width[some], counts))
        weighted = heights * trial.weight[epochs]
        numerator[some] = np.add.reduceat(weighted * trial.deviation[epochs], start)
        denominator[some] = np.add.reduceat(weighted * heights, start)
        done = upto
    place = np.cumsum(is_first.ravel()) - 1
    typical = float(np.median(trial.weight))
    snr = _snr(numerator[place].reshape(group.shape), denominator[place].reshape(group.shape), typical, correlated)
    template = np.argmax(_height(snr, direction), axis=0)
    every = np.arange(time.size)
    return _Best(center=time, snr=snr[template, every], template=template, of_epoch=every)


def _height(snr: Floats, direction: str) -> Floats:
    return np.abs(snr) if direction == "both" else snr if direction == "brightening" else -snr


def _snr(numerator: Floats, denominator: Floats, whole: float, correlated: bool) -> Floats:
    """S/N along the last axis, over its scatter there; zero where less than a tenth of a template's weight lies."""
    some = denominator > 0.1 * whole
    snr = np.zeros(numerator.shape)
    np.divide(numerator, np.sqrt(np.where(some, denominator, 1.0)), out=snr, where=some)
    if correlated:
        ordered = np.where(some, np.abs(snr), np.inf)
        middle = np.maximum(np.count_nonzero(some, axis=-1, keepdims=True) - 1, 0) // 2
        if snr.ndim == 1:
            ordered = np.partition(ordered, middle[0])
        else:
            ordered.sort(axis=-1)
        scatter = GAUSSIAN_MAD * np.take_along_axis(ordered, middle, -1)
        snr /= np.where(np.isfinite(scatter), np.maximum(scatter, 1.0), 1.0)
    return snr


def _even_cells(time: Floats) -> Rows | None:
    """Number of the cell of an even grid that each epoch lies in; None where sampling is uneven."""
    steps = np.diff(time)
    cadence = float(np.median(steps))
    if time.size < 50 or not cadence > 0:
        return None
    multiples = np.rint(steps / cadence)
    if (multiples < 1).any() or np.mean(np.abs(steps / cadence - multiples) > _EVEN * multiples) > 0.01:
        return None
    cell = np.concatenate([[0], np.cumsum(multiples.astype(np.int64))])
    return cell if time.size >= _FILLED * (cell[-1] + 1) else None


class _Grid:
    """Sums over templates on even sampling, by FFT."""

    def __init__(self, trial: _Trial, cell: Rows, step: float, shape: str, longest: float) -> None:
        from scipy.fft import next_fast_len, rfft

        self._profile, self._begin, self._end = PROFILES[shape]
        self._n, self._step = int(cell[-1]) + 1, step
        reach = int(np.ceil(max(-self._begin, self._end) * longest / step)) + 1
        self._size = int(next_fast_len(self._n + min(reach, self._n), real=True))
        weight, product = np.zeros(self._n), np.zeros(self._n)
        weight[cell], product[cell] = trial.weight, trial.weight * trial.deviation
        self._weights, self._products = rfft(weight, self._size), rfft(product, self._size)

    def sums(self, width: float) -> tuple[Floats, Floats]:
        """Σ w d p and Σ w p² at each cell."""
        from scipy.fft import irfft, rfft

        before = min(int(-self._begin * width / self._step + _ROUNDING), self._n - 1)
        after = min(int(self._end * width / self._step + _ROUNDING), self._n - 1)
        places = np.arange(-before, after + 1)
        heights = self._profile(np.asarray(places * self._step, np.float64), np.array(width))
        kernel = np.zeros(self._size)
        kernel[places % self._size] = heights
        numerator = irfft(self._products * np.conj(rfft(kernel)), self._size)[: self._n]
        kernel[places % self._size] = heights * heights
        denominator = irfft(self._weights * np.conj(rfft(kernel)), self._size)[: self._n]
        return numerator, denominator


def _refined(
    trial: _Trial, shape: str, width: float, center: float, overlap: float, sign: float
) -> tuple[float, float]:
    """Width and center of the highest S/N of a sign near a template, with the noise of single epochs alone."""
    for _ in range(_STEPS):
        width, center, is_inside = _refined_once(trial, shape, width, center, overlap, sign)
        if is_inside:
            break
    return width, center


def _refined_once(
    trial: _Trial, shape: str, width: float, center: float, overlap: float, sign: float
) -> tuple[float, float, bool]:
    """Width and center of the highest S/N of a sign between a template and its neighbours; whether it lies there."""
    profile, begin, end = PROFILES[shape]
    ratio = next_width(shape, overlap) ** 2
    near = np.flatnonzero(
        (trial.time >= center + (begin - 0.5) * ratio * width) & (trial.time <= center + (end + 0.5) * ratio * width)
    )
    near = near[:: max(near.size // _FEW, 1)]
    relative = np.geomspace(1 / ratio, ratio, 21)
    grid = np.meshgrid(width * relative, width * np.linspace(-0.4, 0.4, 21))
    widths, shifts = (np.asarray(np.ravel(values), np.float64) for values in grid)
    distance = trial.time[near] - center - shifts[:, None]
    heights = profile(distance, widths[:, None])
    weighted = heights * trial.weight[near]
    power = np.sum(weighted * heights, axis=1)
    snr = sign * (weighted @ trial.deviation[near]) / np.sqrt(np.where(power > 0, power, np.inf))
    # where sampling does not tell widths and times apart they are equally likely, and their mean is taken
    best = np.flatnonzero(snr >= snr.max() - 1e-9 * np.abs(snr.max()))
    column = best % relative.size
    is_inside = bool(((column > 0) & (column < relative.size - 1)).any())
    return float(np.mean(widths[best])), float(center + np.mean(shifts[best])), is_inside


def _fit(trial: _Trial, shape: str, width: float, center: float) -> tuple[float, float]:
    """Amplitude of a template at a time, and chi-square per degree of freedom of the epochs within it."""
    profile, begin, end = PROFILES[shape]
    distance = trial.time - center
    inside: NDArray[np.bool_] = (distance >= begin * width) & (distance <= end * width)
    heights = profile(distance[inside], np.array(width))
    weight, deviation = trial.weight[inside], trial.deviation[inside]
    power = float(np.sum(weight * heights**2))
    amplitude = float(np.sum(weight * heights * deviation)) / power if power > 0 else float("nan")
    misfit = float(np.sum(weight * (deviation - amplitude * heights) ** 2))
    return amplitude, misfit / max(int(np.count_nonzero(inside)) - 1, 1)

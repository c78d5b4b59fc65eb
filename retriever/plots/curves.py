"""Plots of light curves: as they are, folded, around an event, and their periodograms."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from retriever.arrays import Floats
from retriever.errors import ConfigError, DataError
from retriever.lightcurve import Lightcurve
from retriever.noise import epoch_noise
from retriever.periodogram import phases
from retriever.plots.style import ACCENT, BAD, MUTED, axes_or_new, band_color, legend, plain_log, time_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["is_calibrated", "plot_event", "plot_folded", "plot_lightcurve", "plot_periodogram"]

Rows = Sequence[Mapping[str, Any]]
"""Rows of a table, such as ``frame.to_dict("records")``."""

_SHOWN_ERRORS = 2000
"""Epochs of a light curve above which error bars are left out, for they would hide the points."""

_INSTRUMENTAL = ("e-/s", "1", "")


def plot_lightcurve(
    lightcurves: Lightcurve | Sequence[Lightcurve],
    ax: "Axes | None" = None,
    *,
    values: str = "auto",
    detections: Rows = (),
    injections: Rows = (),
    reasons: Mapping[str, int] | None = None,
) -> "Axes":
    """Draw light curves of one source, each in the colour of its band; bad epochs are crossed, with the reason.

    Parameters
    ----------
    lightcurves
        One, or several of one clock and unit.
    ax
        Where to draw; new axes where none are given.
    values
        "mag", "flux", or "auto" for magnitudes where the flux is calibrated and positive.
    detections
        Rows of detections in them: the time from first to last epoch is shaded.
    injections
        Rows of injected events: their middles are marked.
    reasons
        What became of raw rows that are not drawn, with numbers, for the legend.

    Raises
    ------
    DataError
        When there is no light curve.
    ConfigError
        When `values` is another word.

    Examples
    --------
    >>> lc = Lightcurve.from_columns(band="r", time=[1.0, 2.0], flux=[5.0, 6.0], flux_err=[1.0, 1.0],
    ...                              mag=[22.1, 21.9], mag_err=[0.2, 0.2])
    >>> from matplotlib.figure import Figure
    >>> plot_lightcurve(lc, Figure().subplots()).get_xlabel()
    'MJD (UTC)'
    """
    curves = [lightcurves] if isinstance(lightcurves, Lightcurve) else list(lightcurves)
    if not curves:
        raise DataError("there is no light curve to plot")
    if values not in ("auto", "mag", "flux"):
        raise ConfigError(f"values is {values!r}; it is auto, mag or flux")
    in_mag = values == "mag" or (values == "auto" and all(is_calibrated(lc) for lc in curves))
    ax = axes_or_new(ax, figsize=(9, 3.5))
    for lc in curves:
        _draw(ax, lc, lc.time, in_mag)
    for row in detections:
        ax.axvspan(*_span(row, curves), color=ACCENT, alpha=0.18, lw=0, label="detection")
    for row in injections:
        ax.axvline(float(row["time_peak"]), color=MUTED, ls=":", lw=1, label="injected")
    for reason, number in (reasons or {}).items():
        ax.plot([], [], " ", label=f"raw rows: {number} {reason}")
    _name_axes(ax, curves, in_mag)
    systems = {(lc.time_system.scale, lc.time_system.reference) for lc in curves}
    ax.set_xlabel(", ".join(sorted(time_label(*system) for system in systems)))
    legend(ax)
    return ax


def plot_event(
    lightcurve: Lightcurve,
    detection: Mapping[str, Any],
    ax: "Axes | None" = None,
    *,
    values: str = "auto",
    reach: float = 5.0,
) -> "Axes":
    """Draw a light curve around a detection.

    Parameters
    ----------
    detection
        Row of the detection.
    reach
        What is shown on both sides: so many times the length of the event, and at least ten epochs.
    """
    ax = plot_lightcurve(lightcurve, ax, values=values, detections=(detection,))
    length = float(detection["time_last"]) - float(detection["time_first"])
    width = float(detection.get("width", np.nan))
    near = max(length, width if np.isfinite(width) else 0.0)
    first, last = int(detection["first"]), int(detection["last"])
    n = lightcurve.n_epochs
    times = lightcurve.time[max(first - 10, 0)], lightcurve.time[min(last + 10, n - 1)]
    low = min(float(detection["time_first"]) - reach * near, times[0])
    high = max(float(detection["time_last"]) + reach * near, times[1])
    ax.set_xlim(low, high)
    _fit_heights(ax, lightcurve, low, high)
    return ax


def plot_folded(
    lightcurve: Lightcurve, period: float, ax: "Axes | None" = None, *, epoch: float | None = None, values: str = "auto"
) -> "Axes":
    """Draw a light curve against phase, twice.

    Parameters
    ----------
    period
        In days.
    epoch
        Time of phase zero, as MJD on the light curve's clock; its first epoch where none is given.

    Raises
    ------
    ConfigError
        When the period is not above zero.
    """
    ax = axes_or_new(ax, figsize=(6, 3.5))
    in_mag = values == "mag" or (values == "auto" and is_calibrated(lightcurve))
    phase, _ = phases(lightcurve.time, period, epoch)
    for turn in (0.0, 1.0):
        _draw(ax, lightcurve, phase + turn, in_mag, only_usable=True)
    _name_axes(ax, [lightcurve], in_mag)
    ax.set_xlabel(f"phase (period {period:.6g} d)")
    ax.set_xlim(0.0, 2.0)
    return ax


def plot_periodogram(
    lightcurve: Lightcurve,
    ax: "Axes | None" = None,
    *,
    shortest: float = 0.1,
    longest: float = 0.0,
    levels: Sequence[float] = (0.1, 0.01, 0.001),
) -> "Axes":
    """Draw the Lomb-Scargle periodogram of the usable epochs, with levels of false-alarm probability.

    Parameters
    ----------
    shortest, longest
        Limits of the period in days; a longest of 0 is the length of the light curve.
    levels
        False-alarm probabilities (Baluev 2008, MNRAS 385, 1279) at which lines are drawn.

    Raises
    ------
    DataError
        When the light curve has too few usable epochs.
    """
    from astropy.timeseries import LombScargle

    noise = _noise(lightcurve)
    use = lightcurve.usable & (noise > 0)
    time = lightcurve.time[use]
    span = float(np.ptp(time)) if time.size else 0.0
    if time.size < 10 or not span > 0:
        raise DataError(f"a periodogram needs ten usable epochs; light curve {lightcurve.number} has {time.size}")
    model = LombScargle(time, lightcurve.flux[use], noise[use])
    frequency = np.arange(1.0 / (longest or span), 1.0 / shortest, 1.0 / (5.0 * span))
    power = model.power(frequency, assume_regular_frequency=True)
    ax = axes_or_new(ax, figsize=(9, 3))
    ax.plot(1.0 / frequency, power, color=band_color(lightcurve.band), lw=0.8)
    heights = model.false_alarm_level(list(levels), method="baluev", maximum_frequency=1.0 / shortest)
    for level, height in zip(levels, np.atleast_1d(heights).tolist(), strict=True):
        ax.axhline(height, color=MUTED, ls="--", lw=0.8)
        ax.annotate(f"{level:g}", (1.0, height), xycoords=("axes fraction", "data"), fontsize="x-small", va="bottom",
                    ha="right", color=MUTED)  # fmt: skip
    plain_log(ax, "x")
    ax.set_xlabel("period (d)")
    ax.set_ylabel("power")
    return ax


# ---- pieces --------------------------------------------------------------------------------------------------------


def _noise(lightcurve: Lightcurve) -> Floats:
    ends = np.array([0, lightcurve.n_epochs], np.int64)
    return epoch_noise(lightcurve.flux, lightcurve.flux_err, lightcurve.usable, ends, "rescaled")


def is_calibrated(lightcurve: Lightcurve) -> bool:
    """Whether magnitudes say more than fluxes: the flux has a zero point, and is positive where it is usable."""
    usable = lightcurve.usable
    return lightcurve.flux_unit not in _INSTRUMENTAL and bool(np.isfinite(lightcurve.mag[usable]).all())


def _draw(ax: "Axes", lc: Lightcurve, x: Floats, in_mag: bool, *, only_usable: bool = False) -> None:
    y, errors = (lc.mag, lc.mag_err) if in_mag else (lc.flux, lc.flux_err)
    color, good = band_color(lc.band), ~lc.qflag
    name = " ".join(filter(None, (lc.band, lc.series)))
    size = 3.0 if lc.n_epochs <= _SHOWN_ERRORS else 1.2
    shown_errors = np.where(np.isfinite(errors), errors, 0.0)[good] if lc.n_epochs <= _SHOWN_ERRORS else None
    ax.errorbar(x[good], y[good], shown_errors, fmt=".", ms=size, color=color, elinewidth=0.5, alpha=0.9, label=name,
                rasterized=lc.n_epochs > _SHOWN_ERRORS)  # fmt: skip
    if only_usable:
        return
    for label, bad in _bad_epochs(lc).items():
        if bad.any():
            ax.plot(x[bad], y[bad], "x", ms=4, color=BAD, alpha=0.6, label=label)


def _bad_epochs(lc: Lightcurve) -> dict[str, np.ndarray[Any, np.dtype[np.bool_]]]:
    """Bad epochs by what is known of why."""
    if "dropped" in lc.extra:
        reasons = lc.extra["dropped"]
        return {reason: reasons == reason for reason in np.unique(reasons[lc.qflag]).tolist()}
    flagged = lc.flag != 0
    return {"bad: flagged by the survey": lc.qflag & flagged, "bad: by its values": lc.qflag & ~flagged}


def _name_axes(ax: "Axes", curves: Sequence[Lightcurve], in_mag: bool) -> None:
    if in_mag:
        ax.set_ylabel("magnitude")
        ax.yaxis.set_inverted(True)
        return
    units = sorted({lc.flux_unit for lc in curves} - {"1", ""})
    ax.set_ylabel(f"flux ({', '.join(units)})" if units else "flux")


def _span(row: Mapping[str, Any], curves: Sequence[Lightcurve]) -> tuple[float, float]:
    """First and last time of a detection, widened by half a cadence so that one epoch can be seen."""
    first, last = float(row["time_first"]), float(row["time_last"])
    lengths = [np.ptp(lc.time) for lc in curves if lc.n_epochs]
    least = 0.002 * max(lengths, default=0.0)
    return (first, last) if last - first > least else (0.5 * (first + last - least), 0.5 * (first + last + least))


def _fit_heights(ax: "Axes", lc: Lightcurve, low: float, high: float) -> None:
    """Let the vertical axis hold the good epochs between two times."""
    in_mag = ax.get_ylabel() == "magnitude"
    values = (lc.mag if in_mag else lc.flux)[lc.usable & (lc.time >= low) & (lc.time <= high)]
    values = values[np.isfinite(values)]
    if values.size:
        margin = 0.08 * float(np.ptp(values)) or 0.1
        bottom, top = float(values.min()) - margin, float(values.max()) + margin
        ax.set_ylim((top, bottom) if in_mag else (bottom, top))

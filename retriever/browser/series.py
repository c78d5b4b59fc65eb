"""Light curves as a page draws them: plain numbers, one chart a survey."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from retriever.api.lightcurve import VersionLightcurve
from retriever.arrays import Array, Floats
from retriever.plots.curves import is_calibrated
from retriever.plots.style import band_color, time_label

__all__ = ["charts"]

_MOST = 150_000
"""Epochs of a chart; of longer ones every so manieth is shown, and all of detections."""

_DIGITS = 7


def charts(lightcurves: Iterable[VersionLightcurve], detections: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A chart for each survey.

    Parameters
    ----------
    lightcurves
        Of one source.
    detections
        Rows of its detections, with `row`.

    Returns
    -------
    list of dict
        `name`, `time` (what the axis is called), `groups` (name and colour of each light curve), `spans` (detections,
        with the address of each), `every` (1 unless epochs are left out), `magnitudes` (whether they say more than
        fluxes), `unit` of flux, and columns with one value an epoch: `x`, `group`, `usable`, and `mag`, `flux` and
        `relative` with the errors of each. What is not finite is None. `dropped` counts the rows of raw
        light curves that were dropped, by reason.
    """
    of_surveys: dict[str, list[VersionLightcurve]] = {}
    for lightcurve in lightcurves:
        of_surveys.setdefault(lightcurve.observatory, []).append(lightcurve)
    return [
        _chart(name, curves, [row for row in detections if row["observatory"] == name])
        for name, curves in of_surveys.items()
    ]


def _chart(name: str, curves: Sequence[VersionLightcurve], detections: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    systems = {time_label(lc.time_system.scale, lc.time_system.reference) for lc in curves}
    relative = [_relative(lc) for lc in curves]
    columns = {
        "x": [lc.time for lc in curves],
        "mag": [lc.mag for lc in curves],
        "mag_err": [lc.mag_err for lc in curves],
        "flux": [lc.flux for lc in curves],
        "flux_err": [lc.flux_err for lc in curves],
        "relative": [values for values, _ in relative],
        "relative_err": [errors for _, errors in relative],
        "group": [np.full(lc.n_epochs, k) for k, lc in enumerate(curves)],
        "usable": [~lc.qflag for lc in curves],
    }
    joined = {key: np.concatenate(parts) for key, parts in columns.items()}
    shown, every = _shown(joined["x"], detections)
    order = shown[np.argsort(joined["x"][shown], kind="stable")]
    units = {lc.flux_unit for lc in curves}
    return {
        "name": name,
        "time": ", ".join(sorted(systems)),
        "groups": [
            {"name": " ".join(filter(None, (lc.band, lc.series))) or str(lc.number), "color": band_color(lc.band)}
            for lc in curves
        ],
        "spans": [
            {"from": row["time_first"], "to": row["time_last"], "row": row["row"], "period": _none(row["period"]),
             "peak": row["time_peak"]}
            for row in detections
        ],
        "every": every,
        "magnitudes": all(map(is_calibrated, curves)),
        "unit": units.pop() if len(units) == 1 else "",
        "dropped": _dropped(curves),
        **{key: _plain(values[order]) for key, values in joined.items()},
    }  # fmt: skip


def _dropped(curves: Sequence[VersionLightcurve]) -> dict[str, int]:
    reasons = [lc.extra["dropped"][lc.qflag] for lc in curves if "dropped" in lc.extra]
    return dict(sorted(Counter(np.concatenate(reasons).tolist()).items())) if reasons else {}


def _relative(lightcurve: VersionLightcurve) -> tuple[Floats, Floats]:
    """Flux and error in shares of the median."""
    usable = lightcurve.flux[lightcurve.usable]
    median = float(np.median(usable)) if usable.size else float("nan")
    scale = median if median > 0 else float("nan")
    return lightcurve.flux / scale, lightcurve.flux_err / scale


def _shown(time: Floats, detections: Sequence[Mapping[str, Any]]) -> tuple[Array, int]:
    every = -(-time.size // _MOST) if time.size else 1
    keep = np.arange(time.size) % max(every, 1) == 0
    if every > 1:
        for row in detections:
            keep |= (time >= row["time_first"]) & (time <= row["time_last"])
    return np.flatnonzero(keep), every


def _plain(values: Array) -> list[Any]:
    if values.dtype.kind != "f":
        return values.astype(np.int64).tolist()  # type: ignore[no-any-return]
    finite = np.isfinite(values)
    largest = float(np.abs(values[finite]).max(initial=0.0))
    digits = _DIGITS if largest == 0 else _DIGITS - 1 - int(np.floor(np.log10(largest)))
    rounded = np.round(values, max(digits, _DIGITS if largest > 1e4 else 0, 0)).astype(object)
    rounded[~finite] = None
    return list(rounded)


def _none(value: Any) -> Any:
    return value if value == value else None

"""Events of a source: detections of bands, surveys and finders that overlap in time, with a joint significance."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retriever.arrays import Array, Floats, Rows
from retriever.attempt import attempt
from retriever.batch import Batch, Components, Made
from retriever.errors import ConfigError
from retriever.graph import Port, Stage
from retriever.noise import joint_significance
from retriever.optional_stages.joined import common_time
from retriever.ragged import rows_of
from retriever.schema import Column, Columns, Table, Tables
from retriever.scores import with_scores

__all__ = ["COMBINE", "EVENTS", "Combination"]


@dataclass(frozen=True, kw_only=True)
class Combination:
    """Which detections are one event.

    Detections of one sign whose times overlap are one event; so are those of periodic signals whose periods agree. Of
    the detections of one light curve, the most significant one counts: finders that see the same epochs are not
    independent. Those of different light curves are joined by Fisher's method (Fisher 1925, Statistical Methods for
    Research Workers, 21.1). A light curve that has usable epochs within the event, but no detection, counts against it
    with a probability of 1.

    Parameters
    ----------
    slack
        Days by which detections may lie apart. In surveys that visit a field in one band after the other, the time
        between their visits.
    period_tolerance
        Relative difference up to which periods agree.
    """

    slack: float = 0.02
    period_tolerance: float = 0.01

    def __post_init__(self) -> None:
        if not self.slack >= 0 or not 0 <= self.period_tolerance < 1:
            raise ConfigError(
                "combine's slack must not be below 0, and its period_tolerance must be from 0 to less than 1"
            )


Epochs = dict[tuple[str, int], Floats]
"""Times of usable epochs of a source by survey and number of the light curve."""

EVENTS = Table(
    name="events",
    columns=(
        Column(name="time_first", kind=float, unit="d", description="begin of the first detection, BJD_TDB as MJD"),
        Column(name="time_peak", kind=float, unit="d", description="peak of the most significant one, BJD_TDB as MJD"),
        Column(name="time_last", kind=float, unit="d", description="end of the last detection, BJD_TDB as MJD"),
        Column(name="snr", kind=float, description="joint significance in standard deviations; negative for a dip"),
        Column(name="fap", kind=float, description="probability that noise gives such an event at any time"),
        Column(name="period", kind=float, unit="d", description="period of the most significant detection, or NaN"),
        Column(name="n_detections", kind=int, description="detections that belong to the event"),
        Column(name="n_lightcurves", kind=int, description="light curves in which it was detected"),
        Column(name="n_observed", kind=int, description="light curves with usable epochs during the event"),
        Column(name="surveys", kind=str, description="surveys in which it was detected"),
        Column(name="bands", kind=str, description="bands in which it was detected"),
        Column(name="finders", kind=str, description="finders that detected it, where there are several"),
    ),
    order=("time_first", "time_peak", "snr"),
)


def run(components: Components, batch: Batch) -> Made:
    """Join the detections of each source of a batch into events."""
    combination = components["combine"]
    with_any = np.unique(
        np.concatenate([ports["detections"]["detections"]["source"] for ports in batch.joined.values()])
    )
    surveys = [_found_in(name, ports, with_any) for name, ports in sorted(batch.joined.items())]
    found = {name: np.concatenate([columns[name] for columns, _ in surveys]) for name in surveys[0][0]}
    order = np.argsort(found["source"], kind="stable")
    found = {name: column[order] for name, column in found.items()}
    first, count = rows_of(found["source"], np.arange(len(batch)))
    events = []
    for k, (a, n) in enumerate(zip(first.tolist(), count.tolist(), strict=True)):
        own = {name: column[a : a + n] for name, column in found.items()}
        epochs: Epochs = {key: times for _, of_survey in surveys for key, times in of_survey.get(k, {}).items()}
        events.append(attempt(f"combining {batch.items[k]}", _events, combination, own, epochs))
    return Made.from_rows(EVENTS, events)


def _found_in(survey: str, ports: Mapping[str, Tables], with_any: Rows) -> tuple[Columns, dict[int, Epochs]]:
    """The detections of a survey, with times in BJD_TDB where it is known; and times of all its light curves of sources
    that have a detection in any survey."""
    table = ports["detections"]["detections"]
    processed = with_scores(ports["lightcurves"], ports["scores"])[1]
    lightcurves = processed.take(np.isin(processed.source, with_any))
    epochs: dict[int, Epochs] = {}
    bands: dict[tuple[int, int], str] = {}
    for part in lightcurves.batches:
        for k, source in enumerate(part.source.tolist()):
            lightcurve = part.lightcurve(k)
            epochs.setdefault(source, {})[survey, lightcurve.number] = common_time(lightcurve)[lightcurve.usable]
            bands[source, lightcurve.number] = lightcurve.band
    shift = table["bjd_peak"] - table["time_peak"]
    shift = np.where(np.isfinite(shift), shift, 0.0)
    half = 0.5 * np.where(np.isfinite(table["width"]), table["width"], 0.0)
    keys = zip(table["source"].tolist(), table["lightcurve"].tolist(), strict=True)
    found: Columns = {
        "begin": np.minimum(table["time_first"], table["time_peak"] - half) + shift,
        "peak": table["time_peak"] + shift,
        "end": np.maximum(table["time_last"], table["time_peak"] + half) + shift,
        "survey": np.full(table["source"].size, survey),
        "band": np.array([bands[key] for key in keys], np.str_),
        **{name: table[name] for name in ("source", "lightcurve", "snr", "fap", "period", "finder")},
    }
    return found, epochs


def _events(combination: Combination, found: Columns, epochs: Epochs) -> list[dict[str, object]]:
    """The events of one source."""
    groups = _by_time(found, combination.slack) + _by_period(found, combination.period_tolerance)
    events = [_event({name: column[rows] for name, column in found.items()}, epochs) for rows in groups]
    begin = np.array([event["time_first"] for event in events])
    return [events[k] for k in np.argsort(begin, kind="stable").tolist()]


def _by_time(values: Columns, slack: float) -> list[Rows]:
    """Detections of one sign that overlap in time, or touch others that do."""
    groups = []
    for sign in (-1, 1):
        mine = np.flatnonzero(np.isnan(values["period"]) & (np.sign(values["snr"]) == sign))
        mine = mine[np.argsort(values["begin"][mine], kind="stable")]
        until = np.maximum.accumulate(values["end"][mine])
        is_apart = values["begin"][mine][1:] > until[:-1] + slack
        groups += _split(mine, is_apart)
    return groups


def _by_period(values: Columns, tolerance: float) -> list[Rows]:
    """Detections of periodic signals whose periods agree with that before them in order."""
    mine = np.flatnonzero(np.isfinite(values["period"]))
    mine = mine[np.argsort(values["period"][mine], kind="stable")]
    period = values["period"][mine]
    return _split(mine, period[1:] > period[:-1] * (1.0 + tolerance))


def _split(rows: Rows, is_apart: NDArray[np.bool_]) -> list[Rows]:
    return np.split(rows, np.flatnonzero(is_apart) + 1) if rows.size else []


def _event(found: Columns, epochs: Epochs) -> dict[str, object]:
    """One event, of the detections that belong to it."""
    begin, end, strength = float(found["begin"].min()), float(found["end"].max()), np.abs(found["snr"])
    keys = list(zip(*(found[name].tolist() for name in ("survey", "lightcurve")), strict=True))
    # the most significant detection of each light curve
    best = {keys[k]: k for k in np.argsort(strength, kind="stable").tolist()}
    chosen = np.array(list(best.values()))
    top = int(chosen[np.argmax(strength[chosen])])
    observed = {key for key, time in epochs.items() if ((time >= begin) & (time <= end)).any()} | set(best)
    snr, fap = joint_significance(found["snr"][chosen], float(found["fap"][top]), len(observed))
    return {
        "time_first": begin,
        "time_peak": float(found["peak"][top]),
        "time_last": end,
        "snr": float(np.copysign(snr, found["snr"][top])),
        "fap": fap,
        "period": float(found["period"][top]),
        "n_detections": len(keys),
        "n_lightcurves": len(best),
        "n_observed": len(observed),
        "surveys": _listed(found["survey"]),
        "bands": _listed(found["band"]),
        "finders": _listed(found["finder"]),
    }


def _listed(words: Array) -> str:
    return ", ".join(word for word in np.unique(words).tolist() if word)


COMBINE = Stage(
    name="combine",
    run=run,
    unit=("source",),
    inputs=("lightcurves", "scores", "detections"),
    outputs=(Port(name="events", tables=("events",)),),
    tables=(EVENTS,),
    groups=("combine",),
)
"""Joins what was found in all light curves of a source."""

"""Events of a source: detections of bands, surveys and finders that overlap in time, with a joint significance."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from numpy.typing import NDArray

from retriever.arrays import Floats, Rows
from retriever.attempt import attempt
from retriever.batch import Batch, Components, Made
from retriever.errors import ConfigError
from retriever.graph import Port, Stage
from retriever.lightcurve import Lightcurve
from retriever.noise import joint_significance
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


@dataclass(frozen=True, kw_only=True, eq=False)
class _Survey:
    """The detections of a survey, and its light curves by source; times are in BJD_TDB where it is known."""

    name: str
    detections: Columns
    lightcurves: Mapping[int, Sequence[Lightcurve]]


@dataclass(kw_only=True, eq=False)
class _Found:
    """Detections of one source: a value each."""

    begin: list[float] = field(default_factory=list)
    peak: list[float] = field(default_factory=list)
    end: list[float] = field(default_factory=list)
    snr: list[float] = field(default_factory=list)
    fap: list[float] = field(default_factory=list)
    period: list[float] = field(default_factory=list)
    lightcurve: list[tuple[str, int]] = field(default_factory=list)
    band: list[str] = field(default_factory=list)
    finder: list[str] = field(default_factory=list)


def run(components: Components, batch: Batch) -> Made:
    """Join the detections of each source of a batch into events."""
    combination = components["combine"]
    surveys = [_survey(name, ports) for name, ports in sorted(batch.joined.items())]
    of_one = partial(_events, combination, surveys)
    return Made.from_rows(EVENTS, [attempt(f"combining {name}", of_one, k) for k, name in enumerate(batch.items)])


def _survey(name: str, ports: Mapping[str, Tables]) -> _Survey:
    detections = ports["detections"]["detections"]
    processed = with_scores(ports["lightcurves"], ports["scores"])[1]
    processed = processed.take(np.isin(processed.source, detections["source"]))
    n_sources = int(processed.source[-1]) + 1 if len(processed) else 0
    return _Survey(name=name, detections=detections, lightcurves=dict(enumerate(processed.objects(n_sources))))


def _events(combination: Combination, surveys: Sequence[_Survey], source: int) -> list[dict[str, object]]:
    found, epochs = _Found(), dict[tuple[str, int], Floats]()
    for survey in surveys:
        rows = np.flatnonzero(survey.detections["source"] == source)
        lightcurves = survey.lightcurves.get(source, ())
        if rows.size:
            _add(found, survey, rows, lightcurves)
        epochs |= {(survey.name, lc.number): _times(lc) for lc in lightcurves}
    if not found.snr:
        return []
    values = {name: np.array(getattr(found, name)) for name in ("begin", "peak", "end", "snr", "fap", "period")}
    groups = _by_time(values, combination.slack) + _by_period(values, combination.period_tolerance)
    return sorted((_event(values, found, rows, epochs) for rows in groups), key=lambda event: event["time_first"])  # type: ignore[arg-type,return-value]


def _times(lightcurve: Lightcurve) -> Floats:
    """Times of usable epochs in BJD_TDB, or in the survey's own time where that is not known."""
    bjd = lightcurve.bjd
    return np.where(np.isfinite(bjd), bjd, lightcurve.time)[lightcurve.usable]


def _add(found: _Found, survey: _Survey, rows: Rows, lightcurves: Sequence[Lightcurve]) -> None:
    table = {name: column[rows] for name, column in survey.detections.items()}
    shift = table["bjd_peak"] - table["time_peak"]
    shift = np.where(np.isfinite(shift), shift, 0.0)
    half = 0.5 * np.where(np.isfinite(table["width"]), table["width"], 0.0)
    found.begin += (np.minimum(table["time_first"], table["time_peak"] - half) + shift).tolist()
    found.end += (np.maximum(table["time_last"], table["time_peak"] + half) + shift).tolist()
    found.peak += (table["time_peak"] + shift).tolist()
    for name in ("snr", "fap", "period", "finder"):
        getattr(found, name).extend(table[name].tolist())
    numbers = table["lightcurve"].tolist()
    bands = {lc.number: lc.band for lc in lightcurves}
    found.lightcurve += [(survey.name, number) for number in numbers]
    found.band += [bands[number] for number in numbers]


def _by_time(values: Mapping[str, Floats], slack: float) -> list[Rows]:
    """Detections of one sign that overlap in time, or touch others that do."""
    groups = []
    for sign in (-1, 1):
        mine = np.flatnonzero(np.isnan(values["period"]) & (np.sign(values["snr"]) == sign))
        mine = mine[np.argsort(values["begin"][mine], kind="stable")]
        until = np.maximum.accumulate(values["end"][mine])
        is_apart = values["begin"][mine][1:] > until[:-1] + slack
        groups += _split(mine, is_apart)
    return groups


def _by_period(values: Mapping[str, Floats], tolerance: float) -> list[Rows]:
    """Detections of periodic signals whose periods agree with that before them in order."""
    mine = np.flatnonzero(np.isfinite(values["period"]))
    mine = mine[np.argsort(values["period"][mine], kind="stable")]
    period = values["period"][mine]
    return _split(mine, period[1:] > period[:-1] * (1.0 + tolerance))


def _split(rows: Rows, is_apart: NDArray[np.bool_]) -> list[Rows]:
    return np.split(rows, np.flatnonzero(is_apart) + 1) if rows.size else []


def _event(
    values: Mapping[str, Floats], found: _Found, rows: Rows, epochs: Mapping[tuple[str, int], Floats]
) -> dict[str, object]:
    begin, end = float(values["begin"][rows].min()), float(values["end"][rows].max())
    best: dict[tuple[str, int], int] = {}
    for row in rows.tolist():
        key = found.lightcurve[row]
        if key not in best or abs(found.snr[row]) > abs(found.snr[best[key]]):
            best[key] = row
    is_observed = {key for key, time in epochs.items() if ((time >= begin) & (time <= end)).any()} | set(best)
    chosen = np.array(list(best.values()))
    top = int(chosen[np.argmax(np.abs(values["snr"][chosen]))])
    snr, fap = joint_significance(values["snr"][chosen], float(values["fap"][top]), len(is_observed))
    return {
        "time_first": begin,
        "time_peak": found.peak[top],
        "time_last": end,
        "snr": snr * (1.0 if found.snr[top] > 0 else -1.0),
        "fap": fap,
        "period": found.period[top],
        "n_detections": rows.size,
        "n_lightcurves": len(best),
        "n_observed": len(is_observed),
        "surveys": _listed(survey for survey, _ in best),
        "bands": _listed(found.band[row] for row in rows.tolist()),
        "finders": _listed(found.finder[row] for row in rows.tolist()),
    }


def _listed(words: object) -> str:
    return ", ".join(sorted({str(word) for word in words if word}))  # type: ignore[attr-defined]


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

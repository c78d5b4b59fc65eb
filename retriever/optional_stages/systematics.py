"""What many sources have in common: bad exposures, and a trend of the instrument or the sky.

Three stages: the first says in which groups (nights or sectors, by band) a source was seen, the second measures each
exposure of a group on all sources in it, and the third marks and corrects the light curves of each source.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retriever.arrays import Floats, Rows
from retriever.attempt import attempt
from retriever.barycenter import bjd_offset
from retriever.batch import Batch, Components, Made
from retriever.errors import ConfigError
from retriever.graph import LIGHTCURVE_PORT, Port, Stage
from retriever.lightcurves import LightcurveBatch, LightcurveSet
from retriever.noise import epoch_noise
from retriever.photometry import flux_to_mag
from retriever.schema import Column, Columns, Table
from retriever.source import SourceTable

__all__ = [
    "CORRECT_SYSTEMATICS", "EXPOSURES", "EXPOSURE_GROUPS", "GROUPS", "SYSTEMATICS", "Grouping", "Systematics",
    "common_trend",
]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Grouping:
    """Which epochs of different sources are looked at together; those of different bands never are.

    Parameters
    ----------
    by
        "night", or "series", which is what the survey calls a light curve, such as "sector 1, 120 s" of TESS.
    night_begins
        Part of the day, in UTC, at which a night begins: 0.0 for California, 0.7 for Chile.
    """

    by: str = "night"
    night_begins: float = 0.0

    def __post_init__(self) -> None:
        if self.by not in ("night", "series") or not 0 <= self.night_begins < 1:
            raise ConfigError("exposure_groups' by is night or series, and its night_begins is from 0 to less than 1")


@dataclass(frozen=True, kw_only=True)
class Systematics:
    """What is judged of each exposure.

    Parameters
    ----------
    min_sources
        Light curves that an exposure must have to be judged.
    threshold, bad_share
        An exposure is bad if a larger share of its light curves deviates by so many sigmas of its noise.
    trend
        Whether the trend that light curves have in common is removed, each in its own proportion (SysRem: Tamuz, Mazeh
        & Zucker 2005, MNRAS 356, 1466).
    min_epochs
        Epochs that a light curve must have in a group for its proportion to be known; others keep the trend.
    clip
        Epochs that deviate by more sigmas, such as events, do not take part in the trend.
    same_exposure
        Seconds within which times are of one exposure.
    """

    min_sources: int = 20
    threshold: float = 3.0
    bad_share: float = 0.2
    trend: bool = True
    min_epochs: int = 20
    clip: float = 4.0
    same_exposure: float = 5.0

    def __post_init__(self) -> None:
        if (
            min(self.min_sources, self.min_epochs) < 3
            or not 0 < self.bad_share <= 1
            or not min(self.threshold, self.clip) > 0
        ):
            raise ConfigError(
                "systematics' min_sources and min_epochs must be 3 or more, bad_share above 0 and up to 1, "
                "threshold and clip above 0"
            )
        if not 0 < self.same_exposure < 86400:
            raise ConfigError("systematics' same_exposure is in seconds and above zero")


GROUPS = Table(
    name="exposure_groups",
    columns=(
        Column(name="group", kind=str, description="band, and night or series"),
        Column(name="n_epochs", kind=int, description="usable epochs of the source in it"),
    ),
    order=("group",),
)

EXPOSURES = Table(
    name="exposures",
    columns=(
        Column(name="time", kind=float, unit="d", description="time of the exposure at the observer, MJD"),
        Column(name="n_lightcurves", kind=int, description="light curves with a usable epoch in it"),
        Column(name="deviating", kind=float, description="share of them that deviate by more than the threshold"),
        Column(name="is_bad", kind=bool, description="whether this is too large a share"),
        Column(name="trend", kind=float, description="common trend, in units of its scatter; NaN where not known"),
    ),
    order=("time",),
)


def list_groups(components: Components, batch: Batch) -> Made:
    """Say in which groups each source of a batch has usable epochs."""
    grouping = components["exposure_groups"]
    sources, groups = [np.zeros(0, np.int64)], [np.zeros(0, "U1")]
    for part in LightcurveSet.read(batch.inputs["lightcurves"]).batches:
        sources.append(part.spread(part.source)[part.usable])
        groups.append(_group_of(grouping, part)[part.usable])
    names, code = np.unique(np.concatenate(groups), return_inverse=True)
    pairs, counts = np.unique(np.concatenate(sources) * max(names.size, 1) + code, return_counts=True)
    rows: list[list[dict[str, object]]] = [[] for _ in range(len(batch))]
    for pair, n in zip(pairs.tolist(), counts.tolist(), strict=True):
        rows[pair // names.size].append({"group": str(names[pair % names.size]), "n_epochs": n})
    return Made.from_rows(GROUPS, rows)


def _group_of(grouping: Grouping, part: LightcurveBatch) -> NDArray[np.str_]:
    """Name of the group of each epoch."""
    if grouping.by == "series":
        words = np.char.add(np.char.add(part.words["band"].astype(str), " "), part.words["series"].astype(str))
        return np.asarray(part.spread(words))
    night, code = np.unique(np.floor(part.columns["time"] - grouping.night_begins), return_inverse=True)
    bands = np.char.add(part.words["band"].astype(str), " ")
    return np.char.add(part.spread(bands), night.astype(np.int64).astype(str)[code])


def observer_times(part: LightcurveBatch, sources: SourceTable) -> Floats:
    """MJD of each epoch at the observer, so that sources seen in one exposure have one time."""
    times = part.columns["time"].copy()
    is_moved = part.words["time_reference"] == "barycenter"
    if is_moved.any():
        moved = part.take(np.flatnonzero(is_moved))
        light_time = bjd_offset(
            moved.columns["time"], np.zeros(moved.columns["time"].size), sources.ra[moved.source],
            sources.dec[moved.source], moved.lengths, scale="tdb", reference="observer", point="middle",
        )  # fmt: skip
        times[part.spread(is_moved)] -= np.where(np.isfinite(light_time), light_time, 0.0) / 86400.0
    return times


def measure(components: Components, batch: Batch) -> Made:
    """Measure the exposures of groups."""
    grouping, systematics = components["exposure_groups"], components["systematics"]
    epochs = _epochs_by_group(grouping, batch)
    rows = [attempt(name, _exposures, systematics, epochs.get(name)) for name in batch.items.tolist()]
    return Made.from_rows(EXPOSURES, rows)


def _epochs_by_group(grouping: Grouping, batch: Batch) -> dict[str, Columns]:
    """Usable epochs of all sources of a batch: light curve, time, relative deviation from the median and its noise."""
    parts: dict[str, list[Columns]] = {}
    first = 0
    for part in LightcurveSet.read(batch.inputs["lightcurves"]).batches:
        median = part.spread(part.flux_moments[0])
        noise = epoch_noise(part.columns["flux"], part.columns["flux_err"], part.usable, part.offsets, "rescaled")
        use = np.flatnonzero(part.usable & (noise > 0) & (median > 0))
        columns = {
            "lightcurve": first + part.member[use],
            "time": observer_times(part, batch.sources)[use],
            "deviation": (part.columns["flux"] / median - 1.0)[use],
            "noise": (noise / median)[use],
        }
        first += len(part)
        for name, rows in _rows_by_word(_group_of(grouping, part)[use]):
            parts.setdefault(name, []).append({key: column[rows] for key, column in columns.items()})
    return {
        name: {key: np.concatenate([p[key] for p in of_group]) for key in of_group[0]}
        for name, of_group in parts.items()
    }


def _rows_by_word(words: NDArray[np.str_]) -> Iterator[tuple[str, Rows]]:
    names, code = np.unique(words, return_inverse=True)
    order = np.argsort(code, kind="stable")
    ends = np.cumsum(np.bincount(code, minlength=names.size))
    for name, (first, last) in zip(names.tolist(), itertools.pairwise([0, *ends.tolist()]), strict=True):
        yield name, order[first:last]


def _exposures(systematics: Systematics, epochs: Columns | None) -> list[dict[str, object]]:
    if epochs is None:
        return []
    order = np.lexsort((epochs["lightcurve"], epochs["time"]))
    columns = {name: column[order] for name, column in epochs.items()}
    time = columns["time"]
    exposure = np.concatenate([[0], np.cumsum(np.diff(time) > systematics.same_exposure / 86400.0)])
    n = np.bincount(exposure)
    score = np.abs(columns["deviation"]) / columns["noise"]
    share = np.bincount(exposure, weights=score > systematics.threshold) / n
    is_bad = (n >= systematics.min_sources) & (share > systematics.bad_share)
    trend = np.full(n.size, np.nan)
    if systematics.trend:
        use = (score < systematics.clip) & ~is_bad[exposure] & (n >= systematics.min_sources)[exposure]
        _, lightcurve = np.unique(columns["lightcurve"][use], return_inverse=True)
        trend = common_trend(lightcurve, exposure[use], columns["deviation"][use], columns["noise"][use], n.size)
    return [
        {"time": at, "n_lightcurves": k, "deviating": part, "is_bad": bad, "trend": value}
        for at, k, part, bad, value in zip(
            (np.bincount(exposure, weights=time) / n).tolist(), n.tolist(), share.tolist(), is_bad.tolist(),
            trend.tolist(), strict=True,
        )
    ]  # fmt: skip


def common_trend(lightcurve: Rows, exposure: Rows, deviation: Floats, noise: Floats, n_exposures: int) -> Floats:
    """The a of the products c a that fit the deviations best, where c is a number for each light curve.

    Alternating least squares (Tamuz et al. 2005, equations 2 to 5).

    Parameters
    ----------
    lightcurve, exposure
        Number of the light curve and of the exposure of each epoch.
    deviation, noise
        Of each epoch, in one unit.
    n_exposures
        Number of exposures.

    Returns
    -------
    numpy.ndarray
        One value an exposure, with a root mean square of 1; NaN where there is no epoch.

    Examples
    --------
    >>> common_trend(np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1]), np.array([1.0, -1.0, 3.0, -3.0]), np.ones(4), 2)
    array([ 1., -1.])
    """
    if not deviation.size:
        return np.full(n_exposures, np.nan)
    weight = noise**-2.0
    n_lightcurves = int(lightcurve.max()) + 1
    # it begins with the exposures' weighted means, of which it would not know the sign either
    trend = _ratio(exposure, weight * deviation, weight, n_exposures)
    for _ in range(_ITERATIONS):
        along = trend[exposure]
        share = _ratio(lightcurve, weight * deviation * along, weight * along**2, n_lightcurves)[lightcurve]
        trend = _ratio(exposure, weight * deviation * share, weight * share**2, n_exposures)
    is_known = np.bincount(exposure, minlength=n_exposures) > 0
    size = float(np.sqrt(np.mean(trend[is_known] ** 2)))
    return np.where(is_known, trend / size if size > 0 else trend, np.nan)


_ITERATIONS = 20
"""Alternations, after which the trend of simulated sectors changes by less than a thousandth of its scatter."""


def _ratio(group: Rows, above: Floats, below: Floats, n: int) -> Floats:
    total = np.bincount(group, weights=below, minlength=n)
    return np.bincount(group, weights=above, minlength=n) / np.where(total > 0, total, 1.0)


def correct(components: Components, batch: Batch) -> Made:
    """Mark bad exposures in the light curves of each source, and remove the common trend."""
    grouping, systematics = components["exposure_groups"], components["systematics"]
    lightcurves = LightcurveSet.read(batch.inputs["lightcurves"])
    table = batch.inputs["exposures"]["exposures"]
    names = batch.groups["exposures"][table["source"]]
    of_group = {name: rows[np.argsort(table["time"][rows], kind="stable")] for name, rows in _rows_by_word(names)}
    changed = []
    for part in lightcurves.batches:
        group = _group_of(grouping, part)
        within = systematics.same_exposure / 86400.0
        row = _exposure_of(group, observer_times(part, batch.sources), table, of_group, within)
        is_seen, is_bad, trend = row >= 0, np.zeros(row.size, np.bool_), np.full(row.size, np.nan)
        is_bad[is_seen], trend[is_seen] = table["is_bad"][row[is_seen]], table["trend"][row[is_seen]]
        marked = part.replace(qflag=part.columns["qflag"] | is_bad)
        changed.append(_without_trend(marked, group, trend, systematics) if systematics.trend else marked)
    return Made.from_lightcurves(lightcurves.with_batches(changed), len(batch))


def _exposure_of(
    group: NDArray[np.str_], time: Floats, table: Columns, of_group: dict[str, Rows], within: float
) -> Rows:
    """Row in the table of the exposure at the time of each epoch; −1 where none is within so many days."""
    row = np.full(time.size, -1)
    for name, epochs in _rows_by_word(group):
        if name in of_group:
            rows = of_group[name]
            times = table["time"][rows]
            after = np.clip(np.searchsorted(times, time[epochs]), 1, max(times.size - 1, 1))
            before = after - 1
            after = np.minimum(after, times.size - 1)
            nearer = np.where(
                np.abs(times[before] - time[epochs]) <= np.abs(times[after] - time[epochs]), before, after
            )
            is_near = np.abs(times[nearer] - time[epochs]) <= within
            row[epochs] = np.where(is_near, rows[nearer], -1)
    return row


def _without_trend(
    part: LightcurveBatch, group: NDArray[np.str_], trend: Floats, systematics: Systematics
) -> LightcurveBatch:
    """Light curves less the trend, each in the proportion that fits it best, with events left out of the fit."""
    flux, median = part.columns["flux"], part.spread(part.flux_moments[0])
    noise = epoch_noise(flux, part.columns["flux_err"], part.usable, part.offsets, "rescaled")
    deviation = flux - median
    use = np.flatnonzero(
        part.usable & (noise > 0) & (median > 0) & np.isfinite(trend) & (np.abs(deviation) < systematics.clip * noise)
    )
    names, code = np.unique(group, return_inverse=True)
    pair = part.member * names.size + code
    n = len(part) * names.size
    weight = noise[use] ** -2.0
    share = _ratio(pair[use], weight * deviation[use] * trend[use], weight * trend[use] ** 2, n)
    share[np.bincount(pair[use], minlength=n) < systematics.min_epochs] = 0.0
    flux = flux - np.where(np.isfinite(trend), share[pair] * trend, 0.0)
    mag, mag_err = flux_to_mag(flux, part.columns["flux_err"], part.spread(part.words["zero_point"]))
    return part.replace(flux=flux, mag=mag, mag_err=mag_err)


EXPOSURE_GROUPS = Stage(
    name="exposure_groups",
    run=list_groups,
    inputs=("lightcurves",),
    outputs=(Port(name="exposure_groups", tables=("exposure_groups",)),),
    tables=(GROUPS,),
    groups=("exposure_groups",),
)
"""Says in which groups a source was seen."""

SYSTEMATICS = Stage(
    name="systematics",
    run=measure,
    unit=("survey", "exposure_group"),
    inputs=("exposure_groups", "lightcurves"),
    members="exposure_groups",
    outputs=(Port(name="exposures", tables=("exposures",)),),
    tables=(EXPOSURES,),
    groups=("exposure_groups", "systematics"),
)
"""Measures the exposures of a group."""

CORRECT_SYSTEMATICS = Stage(
    name="correct_systematics",
    run=correct,
    inputs=("lightcurves", "exposures"),
    outputs=(LIGHTCURVE_PORT,),
    groups=("exposure_groups", "systematics"),
)
"""Marks bad epochs and removes the trend."""

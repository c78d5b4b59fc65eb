"""How much a search misses, how much of what it finds is real, and how often events happen.

Completeness is the share of injected events that were recovered, of those that fell on a usable epoch and were not
blended with a detection that was there before. Efficiency is the share of searched time in which an event would have
been recovered: that of all events that were not blended, each of which counts by the searched time of its source.
Purity is one less the share of detections that scrambled light curves have too. A rate is the number of events that
were found over efficiency and searched time. Detections of one source that overlap in time, or have one period, are one
event, whatever light curves and finders they are of.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np

from retriever.arrays import Array, Floats, Rows
from retriever.errors import ConfigError, nearest
from retriever.report.parquet import write_parquet
from retriever.report.versions import VersionFolder
from retriever.schema import Columns
from retriever.store.files import temporary_path

__all__ = [
    "QUANTITIES", "SearchResults", "completeness_by", "even_edges", "is_observed", "judged_injections",
    "poisson_interval", "rates_by", "searched_days", "thresholds_of", "wilson_interval", "write_completeness",
]  # fmt: skip

LEVEL = 0.6827
"""Probability that intervals hold: that of one standard deviation."""

LIMIT = 0.95
"""Probability that upper limits of rates hold."""

_SAME_PERIOD = 0.01
"""Largest difference of the periods of detections of one event, as a share."""

_SLACK = 0.02
"""Days by which detections of an event in different light curves may miss one another."""

_BINS = 6
_STEP = 0.5
_MOST_THRESHOLDS = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantity:
    """What completeness may be given by: a column of injections, its unit, and what detections have of it."""

    unit: str
    meaning: str
    injected: str
    detected: str


QUANTITIES = {
    "snr": Quantity(unit="", meaning="height over the noise of an epoch", injected="snr", detected="height"),
    "amplitude": Quantity(
        unit="1", meaning="change of flux as a share of the flux", injected="relative", detected="relative"
    ),
    "width": Quantity(unit="d", meaning="full width at half maximum", injected="width", detected="width"),
    "period": Quantity(unit="d", meaning="period", injected="period", detected="period"),
    "total_snr": Quantity(unit="", meaning="S/N of all epochs together", injected="total_snr", detected=""),
}
"""Names of the quantities, as in ``--by amplitude,width``."""


def wilson_interval(successes: Array, n: Array, level: float = LEVEL) -> tuple[Floats, Floats]:
    """Interval of a share from a number of successes (Wilson 1927, J. Am. Stat. Assoc. 22, 209).

    Examples
    --------
    >>> low, high = wilson_interval(np.array([0, 5, 10]), np.array([10, 10, 10]), 0.95)
    >>> low.round(3).tolist(), high.round(3).tolist()
    ([0.0, 0.237, 0.722], [0.278, 0.763, 1.0])
    """
    z = NormalDist().inv_cdf(0.5 + 0.5 * level)
    n = np.asarray(n, np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = successes / n
        middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
        half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return np.clip(middle - half, 0.0, 1.0), np.clip(middle + half, 0.0, 1.0)


def poisson_interval(n: Array, level: float = LEVEL) -> tuple[Floats, Floats]:
    """Interval of the mean of a Poisson number (Gehrels 1986, ApJ 303, 336), from the chi-square distribution.

    Examples
    --------
    >>> low, high = poisson_interval(np.array([0, 4]))
    >>> low.round(2).tolist(), high.round(2).tolist()
    ([0.0, 2.09], [1.84, 7.16])
    """
    n = np.asarray(n, np.float64)
    tail = 0.5 * (1.0 - level)
    if not np.nan_to_num(n).any():  # without scipy, which takes 0.15 s to import
        return np.asarray(0.0 * n), np.asarray(0.0 * n - np.log(tail))
    from scipy.special import chdtri

    low = np.where(n > 0, 0.5 * chdtri(2.0 * np.maximum(n, 1), 1.0 - tail), 0.0)
    return low, np.asarray(0.5 * chdtri(2.0 * (n + 1.0), tail))


def searched_days(version: VersionFolder) -> float:
    """Time that was searched, in days, summed over sources and surveys; see `days_of_sources`."""
    return float(days_of_sources(version)[1].sum())


def days_of_sources(version: VersionFolder) -> tuple[Array, Floats]:
    """Time that was searched of each source in each survey, in days: that which their light curves span.

    Time within a light curve counts whether or not it was observed, as events are injected into it evenly; that between
    light curves, such as sectors, does not.

    Returns
    -------
    key, days
        Source and survey as one text, sorted; and the time.
    """
    table = version.table("lightcurves", ["source", "observatory", "time_first", "time_last"])
    if not table["source"].size:
        return np.zeros(0, np.str_), np.zeros(0)
    key, owner = np.unique(_joined(table["source"], table["observatory"]), return_inverse=True)
    order = np.lexsort((table["time_first"], owner))
    first, last, owner = table["time_first"][order], table["time_last"][order], owner[order]
    before = _ends_before(owner, last)
    days = np.maximum(last - np.maximum(first, before), 0.0)
    return key, np.bincount(owner, days, minlength=key.size).astype(np.float64)


def _ends_before(owner: Rows, last: Floats) -> Floats:
    """The latest end of the rows before each one that are of the same owner; -inf for the first. Owners are sorted."""
    # owners are kept apart by an offset larger than all times
    apart = owner * (last.max() - last.min() + 1.0)
    reached = np.maximum.accumulate(last + apart) - apart
    before = np.concatenate([[-np.inf], reached[:-1]])
    before[1:][owner[1:] != owner[:-1]] = -np.inf
    return before


def _joined(source: Array, survey: Array) -> Array:
    return source.astype(np.str_) + "\0" + survey.astype(np.str_)


@dataclass(frozen=True, kw_only=True, eq=False)
class SearchResults:
    """What completeness and rates are made of.

    Attributes
    ----------
    name
        Of the version.
    injections
        Injected events that count: those that are not blended. `weight` is the searched time that each stands for.
    detections
        Events that were found, with the quantities of the strongest detection of each.
    source_days
        Time that was searched: that of the light curves, or where events are the same in all surveys, the span in which
        they fall.
    """

    name: str
    injections: Columns
    detections: Columns
    source_days: float

    @classmethod
    def read(cls, version: VersionFolder) -> "SearchResults":
        """Read the tables of a version."""
        injections, is_joint = judged_injections(version)
        if not is_joint:
            key, days = days_of_sources(version)
            owner = np.searchsorted(key, _joined(injections["source"], injections["observatory"]))
            number = np.bincount(owner, minlength=key.size)
            weight = days[owner] / np.maximum(number[owner], 1)
            return cls(
                name=version.name, injections={**injections, "weight": weight}, detections=_detected(version),
                source_days=float(days.sum()),
            )  # fmt: skip
        span = version.manifest["inputs"]["simulator"]["fields"]["span"]
        n_sources = np.unique(version.table("injections", ["source"])["source"].astype(np.str_)).size
        return cls(
            name=version.name, injections={**injections, "weight": np.ones(injections["snr"].size)},
            detections=_detected(version, span), source_days=(span[1] - span[0]) * n_sources,
        )  # fmt: skip


def judged_injections(version: VersionFolder) -> tuple[Columns, bool]:
    """Injected events that count, which are those that are not blended; and whether a row stands for all surveys."""
    quantities = [quantity.injected for quantity in QUANTITIES.values()]
    wanted = ["recovered", "blended", "n_epochs", "found_snr", "source", "observatory", "trial", "bjd_peak"]
    table = version.table("injections", [*wanted, *quantities])
    is_joint = _is_joint(table)
    if is_joint:
        table = _over_surveys(table)
    kept = ~table["blended"].astype(bool)
    return {name: values[kept] for name, values in table.items()}, is_joint


def _is_joint(injections: Columns) -> bool:
    """Whether events are the same in all surveys of a source."""
    return "bjd_peak" in injections and bool(np.isfinite(injections["bjd_peak"].astype(np.float64)).any())


def _over_surveys(table: Columns) -> Columns:
    """A row for each event that was put into several surveys: recovered if it was in any of them."""
    keys = table["source"].astype(np.str_) + "\0" + table["trial"].astype(np.int64).astype(np.str_)
    _, event = np.unique(keys, return_inverse=True)
    order = np.argsort(event, kind="stable")
    start = np.flatnonzero(np.diff(event[order], prepend=-1))

    def largest(name: str) -> Floats:
        size = np.abs(table[name].astype(np.float64))[order]
        found = np.maximum.reduceat(np.where(np.isfinite(size), size, -1.0), start)
        return np.where(found >= 0, found, np.nan)

    return {
        **{name: values[order][start] for name, values in table.items()},
        **{name: np.logical_or.reduceat(table[name].astype(bool)[order], start) for name in ("recovered", "blended")},
        **{name: largest(name) for name in ("found_snr", "snr")},
        "n_epochs": np.add.reduceat(table["n_epochs"][order], start),
        "total_snr": np.sqrt(np.add.reduceat(np.nan_to_num(table["total_snr"][order]) ** 2, start)),
    }


def _detected(version: VersionFolder, span: Sequence[float] = ()) -> Columns:
    """Events that were found, with what completeness is given by; within a span of time, where one is given."""
    found = _one_for_each_event(_with_heights(version))
    if not span:
        return found
    inside = ((found["time"] >= span[0]) & (found["time"] <= span[1])) | np.isfinite(found["period"])
    return {name: values[inside] for name, values in found.items()}


def _one_for_each_event(found: Columns) -> Columns:
    """The strongest of all detections of an event: those of a source and sign that overlap, or have one period."""
    n = found["snr"].size
    if not n:
        return found
    _, source = np.unique(found["source"].astype(np.str_), return_inverse=True)
    is_periodic = np.isfinite(found["period"])
    group = 2 * source + (found["snr"] > 0)
    event = np.zeros(n, np.int64)
    for rows, owner, begin, end in (
        (np.flatnonzero(~is_periodic), group, found["begin"], found["end"]),
        (np.flatnonzero(is_periodic), group, found["period"], found["period"] * (1.0 + _SAME_PERIOD)),
    ):
        if not rows.size:
            continue
        rows = rows[np.lexsort((begin[rows], owner[rows]))]
        # light curves of other bands are exposed a little earlier or later
        is_other = np.diff(found["curve"][rows], prepend=-1) != 0
        slack = np.where(is_other & ~is_periodic[rows], _SLACK, 0.0)
        is_new = begin[rows] > _ends_before(owner[rows], end[rows]) + slack
        event[rows] = np.cumsum(is_new) + event.max()
    order = np.lexsort((-np.abs(np.nan_to_num(found["snr"])), event))
    strongest = np.sort(order[np.flatnonzero(np.diff(event[order], prepend=-1))])
    return {name: values[strongest] for name, values in found.items()}


def _with_heights(version: VersionFolder) -> Columns:
    """Detections, with their height over the noise of an epoch, their change of flux as a share of it, and times."""
    columns = ["source", "observatory", "lightcurve", "snr", "amplitude", "width", "period", "noise", "time_first",
               "time_peak", "time_last", "bjd_peak"]  # fmt: skip
    table = version.table("detections", columns)
    curves = version.table("lightcurves", ["source", "observatory", "number", "flux_median"])
    known = _keys(curves["source"], curves["observatory"], curves["number"])
    order = np.argsort(known)
    wanted = _keys(table["source"], table["observatory"], table["lightcurve"])
    number = {name: table[name].astype(np.float64) for name in columns[3:]}
    shift = np.nan_to_num(number["bjd_peak"] - number["time_peak"])
    half = 0.5 * np.nan_to_num(number["width"])
    with np.errstate(invalid="ignore", divide="ignore"):
        height = np.where(np.isfinite(number["amplitude"] / number["noise"]), number["amplitude"] / number["noise"],
                          number["snr"])  # fmt: skip
        at = np.minimum(np.searchsorted(known[order], wanted), max(order.size - 1, 0))
        flux = curves["flux_median"][order].astype(np.float64)[at] if order.size else np.zeros(0)
        relative = np.where(flux > 0, number["amplitude"] / flux, np.nan)
    return {
        **{name: table[name] for name in ("source", "observatory")},
        **{name: number[name] for name in ("snr", "amplitude", "width", "period")},
        "height": height, "relative": relative, "time": number["time_peak"] + shift,
        "begin": np.minimum(number["time_first"], number["time_peak"] - half) + shift,
        "end": np.maximum(number["time_last"], number["time_peak"] + half) + shift,
        "curve": np.unique(wanted, return_inverse=True)[1],
    }  # fmt: skip


def _keys(source: Array, observatory: Array, number: Array) -> Array:
    parts = (source.astype(np.str_), observatory.astype(np.str_), number.astype(np.int64).astype(np.str_))
    return parts[0] + "\0" + parts[1] + "\0" + parts[2]


def even_edges(values: Floats, bins: int = _BINS) -> Floats:
    """Edges of bins that are even in the logarithm and hold all values; none where there are no values.

    Values below a thousandth of the largest, such as the S/N of events of which next to nothing was exposed, are all in
    the first bin.
    """
    values = np.abs(values[np.isfinite(values)])
    values = values[values > 0]
    if not values.size:
        return np.zeros(0)
    low, high = values.min(), values.max()
    if low == high:
        return np.array([low, np.nextafter(high, np.inf)])
    edges = np.geomspace(max(low, high / 1000), high, bins + 1)
    edges[0], edges[-1] = low, np.nextafter(high, np.inf)
    return edges


def completeness_by(
    results: SearchResults, by: Sequence[str], bins: int = _BINS, threshold: float = 0.0,
    edges: Sequence[Floats] | None = None,
) -> list[dict[str, float]]:  # fmt: skip
    """Completeness in bins of one or more quantities.

    Parameters
    ----------
    by
        Names of `QUANTITIES`.
    bins
        Number of bins of each.
    threshold
        Least |S/N| of a detection that counts as recovery.
    edges
        Edges of the bins of each quantity; None for even ones.

    Returns
    -------
    list of dict
        For each bin that has events: the limits of each quantity; the numbers of events `injected`, `observed` (on a
        usable epoch) and of these `recovered`; `completeness`, the share of the observed ones that were recovered, with
        its interval `low` to `high`; `efficiency`, the share of searched time in which such an event would have been
        recovered; and `detections`, the number of events that were found with the same quantities.

    Raises
    ------
    ConfigError
        For a quantity that does not exist, or that no injected event has.
    """
    for name in by:
        if name not in QUANTITIES:
            raise ConfigError(f"there is no quantity {name!r}{nearest(name, QUANTITIES)}")
    injections, detections = results.injections, results.detections
    if edges is None:
        edges = [even_edges(injections[QUANTITIES[name].injected].astype(np.float64), bins) for name in by]
    for name, own in zip(by, edges, strict=True):
        if own.size < 2:
            raise ConfigError(f"the injected events of {results.name} have no {name}; choose another quantity")
    hits = injections["recovered"].astype(bool) & ~(np.abs(injections["found_snr"].astype(np.float64)) < threshold)
    cells = _cells([injections[QUANTITIES[name].injected] for name in by], edges)
    n_cells = int(np.prod([own.size - 1 for own in edges]))
    injected = np.bincount(cells[cells >= 0], minlength=n_cells)
    inside, seen = cells >= 0, is_observed(injections)
    observed = np.bincount(cells[inside & seen], minlength=n_cells)
    recovered = np.bincount(cells[inside & seen & hits], minlength=n_cells)
    weight = injections["weight"]
    days, found_days = (
        np.bincount(cells[chosen], weight[chosen], minlength=n_cells) for chosen in (inside, inside & hits)
    )
    strong = np.abs(detections["snr"].astype(np.float64)) >= threshold
    found = np.full(n_cells, np.nan)
    measured = [detections.get(QUANTITIES[name].detected) for name in by]
    if all(values is not None and _is_measured(values) for values in measured):
        of_detections = _cells([values[strong] for values in measured if values is not None], edges)
        found = np.bincount(of_detections[of_detections >= 0], minlength=n_cells).astype(np.float64)
    low, high = wilson_interval(recovered, observed)
    rows = []
    for cell in np.flatnonzero(injected).tolist():
        places = np.unravel_index(cell, [own.size - 1 for own in edges])
        limits: dict[str, float] = {}
        for name, own, place in zip(by, edges, places, strict=True):
            limits |= {f"{name}_from": float(own[place]), f"{name}_to": float(own[place + 1])}
        rows.append({
            **limits,
            "injected": int(injected[cell]), "observed": int(observed[cell]), "recovered": int(recovered[cell]),
            "completeness": float(recovered[cell] / observed[cell]) if observed[cell] else float("nan"),
            "low": float(low[cell]), "high": float(high[cell]),
            "efficiency": float(found_days[cell] / days[cell]) if days[cell] > 0 else float("nan"),
            "detections": float(found[cell]),
        })  # fmt: skip
    return rows


def is_observed(injections: Columns) -> Array:
    """Which events fell on a usable epoch: had one within one full width at half maximum."""
    return np.asarray(injections["n_epochs"] > 0)


def _is_measured(values: Array) -> bool:
    """Whether detections have a quantity: some of them, or there are none."""
    return not values.size or bool(np.isfinite(values.astype(np.float64)).any())


def _cells(values: Sequence[Array], edges: Sequence[Floats]) -> Rows:
    """Number of the cell that each event is in; -1 for none."""
    cell = np.zeros(values[0].size, np.int64)
    outside = np.zeros(values[0].size, np.bool_)
    for column, own in zip(values, edges, strict=True):
        size = np.abs(column.astype(np.float64))
        place = np.searchsorted(own, size, side="right") - 1
        outside |= ~((size >= own[0]) & (size < own[-1]))
        cell = cell * (own.size - 1) + np.clip(place, 0, own.size - 2)
    return np.where(outside, -1, cell)


def rates_by(
    results: SearchResults, by: Sequence[str], bins: int = _BINS, threshold: float = 0.0,
    edges: Sequence[Floats] | None = None,
) -> list[dict[str, float]]:  # fmt: skip
    """Rates of events in bins of one or more quantities.

    Returns
    -------
    list of dict
        The bins of `completeness_by` with `rate` per source and day, its interval `rate_low` to `rate_high` from the
        Poisson interval of the number, and `limit`, which 95 % of searches with that rate would have exceeded in
        number. NaN where nothing was recovered, or detections do not have a quantity.
    """
    rows: list[dict[str, float]] = []
    for row in completeness_by(results, by, bins, threshold, edges):
        number, seen = np.array(row["detections"]), row["efficiency"] * results.source_days
        (low, high), (_, limit) = poisson_interval(number), poisson_interval(number, 2.0 * LIMIT - 1.0)
        scale = 1.0 / seen if seen > 0 else float("nan")
        rows.append({
            **row, "rate": float(number * scale), "rate_low": float(low * scale), "rate_high": float(high * scale),
            "limit": float(limit * scale),
        })  # fmt: skip
    return rows


def thresholds_of(version: VersionFolder, results: SearchResults) -> list[dict[str, float]]:
    """What a least |S/N| would leave: detections, false alarms, purity and completeness.

    Returns
    -------
    list of dict
        A row a threshold, from the least |S/N| that was found: `threshold`; `detections`; false alarms expected
        from `flipped` and `shuffled` light curves, scaled to all sources; `purity_flipped` and `purity_shuffled`; and
        `completeness` with its interval `low` to `high`. NaN where nothing was scrambled so, or injected, and for
        flipped light curves where the finder searches both signs: it finds the same in them.
    """
    detections = np.abs(results.detections["snr"].astype(np.float64))
    injections = results.injections
    n = int(np.count_nonzero(is_observed(injections)))
    counted = injections["recovered"].astype(bool) & is_observed(injections)
    found = np.abs(injections["found_snr"].astype(np.float64))[counted]
    known = np.concatenate([detections, found])
    known = known[np.isfinite(known)]
    if not known.size:
        return []
    scale, alarms = _false_alarms(version)
    start = np.floor(known.min() / _STEP) * _STEP
    steps = min(int((np.quantile(known, 0.98) - start) / _STEP) + 2, _MOST_THRESHOLDS)
    rows = []
    for threshold in (start + _STEP * np.arange(steps)).tolist():
        number = int(np.count_nonzero(detections >= threshold))
        recovered = int(np.count_nonzero(found >= threshold))
        low, high = wilson_interval(np.array(recovered), np.array(n))
        row: dict[str, float] = {"threshold": threshold, "detections": number}
        for kind, heights in alarms.items():
            row[kind] = float("nan") if heights is None else float(np.count_nonzero(heights >= threshold) * scale)
        for kind in alarms:
            row[f"purity_{kind}"] = float(np.maximum(0.0, 1.0 - row[kind] / number)) if number else float("nan")
        row |= {"completeness": recovered / n if n else float("nan"), "low": float(low), "high": float(high)}
        rows.append(row)
    return rows


def _false_alarms(version: VersionFolder) -> tuple[float, dict[str, Floats | None]]:
    """By how much numbers of false alarms are to be multiplied, and their |S/N| by kind; None where it is not known."""
    kinds = ("flipped", "shuffled")
    scrambled = _parameters(version, "scrambler").get("kinds", kinds)
    if not (version.folder / "false_alarms.parquet").exists():
        return float("nan"), dict.fromkeys(kinds)
    products = version.table("products", ["stage", "outcome"])
    done = products["outcome"] == "done"
    searched, n_scrambled = (np.count_nonzero(done & (products["stage"] == stage)) for stage in ("analyze", "scramble"))
    table = version.table("false_alarms", ["kind", "snr"])
    heights = np.abs(table["snr"].astype(np.float64))
    scale = searched / n_scrambled if n_scrambled else float("nan")
    alarms: dict[str, Floats | None] = {kind: heights[table["kind"] == kind] for kind in kinds if kind in scrambled}
    if not searches_one_sign(version.manifest["inputs"].get("finder", {})):
        alarms["flipped"] = None
    return scale, {kind: alarms.get(kind) for kind in kinds}


def _parameters(version: VersionFolder, group: str) -> Mapping[str, Any]:
    fields = version.manifest["inputs"].get(group, {}).get("fields", {})
    return fields if isinstance(fields, Mapping) else {}


def searches_one_sign(finder: Mapping[str, Any]) -> bool:
    """Whether a finder, as a version's manifest has it, finds nothing real in light curves that are upside down.

    Examples
    --------
    >>> searches_one_sign({"class": "m.Finder", "fields": {"direction": "both"}})
    False
    """
    fields = finder.get("fields", {})
    inside = fields.get("finders")
    if isinstance(inside, Mapping):
        return all(searches_one_sign(node) for node in inside.values())
    if str(finder.get("class", "")).endswith(".LombScargleFinder"):
        return False
    return bool(fields.get("direction", "") != "both")


def write_completeness(folder: Path) -> None:
    """Write `completeness.parquet`, `thresholds.parquet` and `completeness.nc` of a version from its tables."""
    version = VersionFolder(folder)
    results = SearchResults.read(version)
    rows: list[dict[str, object]] = []
    for name, quantity in QUANTITIES.items():
        try:
            bins = rates_by(results, [name])
        except ConfigError:
            continue
        for row in bins:
            own = {key: value for key, value in row.items() if not key.startswith(f"{name}_")}
            limits = {"from": row[f"{name}_from"], "to": row[f"{name}_to"]}
            rows.append({"quantity": name, "unit": quantity.unit, **limits, **own, "source_days": results.source_days})
    names = ["quantity", "unit", "from", "to", "injected", "observed", "recovered", "completeness", "low", "high",
             "efficiency", "detections",
             "rate", "rate_low", "rate_high", "limit", "source_days"]  # fmt: skip
    table = _columns(rows, names, texts=("quantity", "unit"))
    units = {"rate": "1/d", "rate_low": "1/d", "rate_high": "1/d", "limit": "1/d", "source_days": "d"}
    write_parquet(folder / "completeness.parquet", iter([table]), units)
    names = ["threshold", "detections", "flipped", "shuffled", "purity_flipped", "purity_shuffled", "completeness",
             "low", "high"]  # fmt: skip
    thresholds = _columns(thresholds_of(version, results), names)
    write_parquet(folder / "thresholds.parquet", iter([thresholds]), {})
    _write_netcdf(folder / "completeness.nc", table, thresholds)


def _columns(rows: Sequence[dict[str, object]] | Sequence[dict[str, float]], names: Sequence[str],
             texts: Sequence[str] = ()) -> Columns:  # fmt: skip
    return {name: np.array([row[name] for row in rows], np.str_ if name in texts else np.float64) for name in names}


def _write_netcdf(path: Path, table: Columns, thresholds: Columns) -> None:
    """The same as a file that `xarray.open_dataset` opens: a variable for each column, by quantity and bin.

    Quantities with fewer bins than others have NaN in the rest.
    """
    import h5netcdf

    names = list(dict.fromkeys(table["quantity"].tolist()))
    row = np.array([names.index(name) for name in table["quantity"].tolist()], np.int64)
    place = np.arange(row.size) - np.searchsorted(row, row)  # rows of a quantity follow one another
    temporary = temporary_path(path.parents[1])
    try:
        with h5netcdf.File(temporary, "w") as file:
            file.attrs["title"] = "Completeness, purity and rates of a search"
            if names:
                shape = len(names), int(place.max()) + 1
                file.dimensions = {"quantity": shape[0], "bin": shape[1]}
                text = h5netcdf.core.h5py.string_dtype()
                words = [QUANTITIES[name] for name in names]
                columns = {"quantity": names, "unit": [word.unit or "1" for word in words],
                           "meaning": [word.meaning for word in words]}  # fmt: skip
                for name, texts in columns.items():
                    file.create_variable(name, ("quantity",), data=np.array(texts, dtype=object), dtype=text)
                for name in (name for name in table if name not in ("quantity", "unit", "source_days")):
                    cells = np.full(shape, np.nan)
                    cells[row, place] = table[name]
                    file.create_variable(name, ("quantity", "bin"), data=cells)
                file.attrs["source_days"] = float(table["source_days"][0])
            if thresholds["threshold"].size:
                file.dimensions["threshold"] = int(thresholds["threshold"].size)
                for name, values in thresholds.items():
                    of_threshold = name if name == "threshold" else f"threshold_{name}"
                    file.create_variable(of_threshold, ("threshold",), data=values)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise

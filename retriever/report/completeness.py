"""How much a search misses, how much of what it finds is real, and how often events happen.

Completeness is the share of injected events that were recovered, of those that fell on a usable epoch and were not
blended with a detection that was there before; efficiency is the share of all that were not blended. Purity is one less
the share of detections that scrambled light curves have too. A rate is the number of detections over efficiency and
searched time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist

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
    "snr": Quantity(unit="", meaning="height over the noise of an epoch", injected="snr", detected="snr"),
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
    """Time that was searched, in days, summed over sources and surveys: that which their light curves span.

    Time within a light curve counts whether or not it was observed, as events are injected into it evenly; that between
    light curves, such as sectors, does not.
    """
    table = version.table("lightcurves", ["source", "observatory", "time_first", "time_last"])
    if not table["source"].size:
        return 0.0
    _, owner = np.unique(
        table["source"].astype(np.str_) + "\0" + table["observatory"].astype(np.str_), return_inverse=True
    )
    order = np.lexsort((table["time_first"], owner))
    first, last, owner = table["time_first"][order], table["time_last"][order], owner[order]
    # the latest end so far within an owner, who are kept apart by an offset larger than all times
    apart = owner * (last.max() - first.min() + 1.0)
    reached = np.maximum.accumulate(last + apart) - apart
    before = np.concatenate([[-np.inf], reached[:-1]])
    before[1:][owner[1:] != owner[:-1]] = -np.inf
    return float(np.sum(np.maximum(last - np.maximum(first, before), 0.0)))


@dataclass(frozen=True, kw_only=True, eq=False)
class SearchResults:
    """What completeness and rates are made of.

    Attributes
    ----------
    name
        Of the version.
    injections
        Injected events that count: those that are not blended.
    detections
        Detections, with their change of flux as a share of the flux.
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
        injections = judged_injections(version)
        if not _is_joint(injections):
            return cls(
                name=version.name, injections=injections, detections=_detected(version),
                source_days=searched_days(version),
            )  # fmt: skip
        span = version.manifest["inputs"]["simulator"]["fields"]["span"]
        days = (span[1] - span[0]) * np.unique(injections["source"]).size
        return cls(name=version.name, injections=injections, detections=_detected(version, span), source_days=days)


def judged_injections(version: VersionFolder) -> Columns:
    """Injected events that count: those that are not blended, and of those in several surveys a row each."""
    quantities = [quantity.injected for quantity in QUANTITIES.values()]
    wanted = ["recovered", "blended", "n_epochs", "found_snr", "source", "trial", "bjd_peak", *quantities]
    table = version.table("injections", wanted)
    if _is_joint(table):
        table = _over_surveys(table)
    kept = ~table["blended"].astype(bool)
    return {name: values[kept] for name, values in table.items()}


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
    """Detections with what completeness is given by; within a span of time events of all surveys, where they are."""
    if span and (version.folder / "events.parquet").exists():
        events = version.table("events", ["source", "snr", "period", "time_peak"])
        unknown = np.full(events["snr"].size, np.nan)
        found = {**events, "amplitude": unknown, "width": unknown, "relative": unknown}
    else:
        found = _with_shares(version)
    if not span:
        return found
    time = found["time_peak"]
    if "bjd_peak" in found:
        time = np.where(np.isfinite(found["bjd_peak"]), found["bjd_peak"], time)
    inside = _within(time, found["period"], span)
    return {name: values[inside] for name, values in found.items()}


def _within(time: Array, period: Array, span: Sequence[float]) -> Array:
    """Which detections are within a span; those of periodic signals are."""
    return np.asarray(((time >= span[0]) & (time <= span[1])) | np.isfinite(period.astype(np.float64)))


def _with_shares(version: VersionFolder) -> Columns:
    """Detections, with their change of flux as a share of the flux."""
    columns = ["source", "observatory", "lightcurve", "snr", "amplitude", "width", "period", "time_peak", "bjd_peak"]
    table = version.table("detections", columns)
    curves = version.table("lightcurves", ["source", "observatory", "number", "flux_median"])
    known = _keys(curves["source"], curves["observatory"], curves["number"])
    order = np.argsort(known)
    wanted = _keys(table["source"], table["observatory"], table["lightcurve"])
    if not order.size:
        return {**table, "relative": np.zeros(0)}
    at = order[np.minimum(np.searchsorted(known, wanted, sorter=order), order.size - 1)]
    with np.errstate(invalid="ignore", divide="ignore"):
        flux = curves["flux_median"][at].astype(np.float64)
        return {**table, "relative": np.where(flux > 0, table["amplitude"] / flux, np.nan)}


def _keys(source: Array, observatory: Array, number: Array) -> Array:
    parts = (source.astype(np.str_), observatory.astype(np.str_), number.astype(np.int64).astype(np.str_))
    return parts[0] + "\0" + parts[1] + "\0" + parts[2]


def even_edges(values: Floats, bins: int = _BINS) -> Floats:
    """Edges of bins that are even in the logarithm and hold all values; none where there are no values."""
    values = np.abs(values[np.isfinite(values)])
    values = values[values > 0]
    if not values.size:
        return np.zeros(0)
    low, high = values.min(), values.max()
    if low == high:
        return np.array([low, np.nextafter(high, np.inf)])
    edges = np.geomspace(low, high, bins + 1)
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
        usable epoch) and `recovered`; `completeness`, the share of the observed ones that were recovered, with its
        interval `low` to `high`; `efficiency`, the share of all; and `detections` with the same quantities.

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
    observed = np.bincount(cells[(cells >= 0) & is_observed(injections)], minlength=n_cells)
    recovered = np.bincount(cells[(cells >= 0) & hits], minlength=n_cells)
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
            "low": float(low[cell]), "high": float(high[cell]), "efficiency": float(recovered[cell] / injected[cell]),
            "detections": float(found[cell]),
        })  # fmt: skip
    return rows


def is_observed(injections: Columns) -> Array:
    """Which events fell on a usable epoch; one that was found did."""
    return np.asarray((injections["n_epochs"] > 0) | injections["recovered"].astype(bool))


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
        `completeness` with its interval `low` to `high`. NaN where nothing was scrambled or injected.
    """
    detections = np.abs(results.detections["snr"].astype(np.float64))
    injections = results.injections
    n = int(np.count_nonzero(is_observed(injections)))
    found = np.abs(injections["found_snr"].astype(np.float64))[injections["recovered"].astype(bool)]
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
            row[kind] = float(np.count_nonzero(heights >= threshold) * scale)
        for kind in alarms:
            row[f"purity_{kind}"] = float(np.maximum(0.0, 1.0 - row[kind] / number)) if number else float("nan")
        row |= {"completeness": recovered / n if n else float("nan"), "low": float(low), "high": float(high)}
        rows.append(row)
    return rows


def _false_alarms(version: VersionFolder) -> tuple[float, dict[str, Floats]]:
    """By how much numbers of false alarms are to be multiplied, and their |S/N| by kind of scrambling."""
    kinds = ("flipped", "shuffled")
    if not (version.folder / "false_alarms.parquet").exists():
        return float("nan"), {kind: np.zeros(0) for kind in kinds}
    products = version.table("products", ["stage", "outcome"])
    done = products["outcome"] == "done"
    searched, scrambled = (np.count_nonzero(done & (products["stage"] == stage)) for stage in ("analyze", "scramble"))
    table = version.table("false_alarms", ["kind", "snr"])
    heights = np.abs(table["snr"].astype(np.float64))
    scale = searched / scrambled if scrambled else float("nan")
    return scale, {kind: heights[table["kind"] == kind] for kind in kinds}


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

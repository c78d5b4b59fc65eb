"""What differs between two searches: completeness and rates in the same bins, purity at the same thresholds."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from retriever.errors import StoreError
from retriever.report.completeness import (
    QUANTITIES,
    SearchResults,
    even_edges,
    is_observed,
    judged_injections,
    rates_by,
    thresholds_of,
)  # fmt: skip
from retriever.report.versions import VersionFolder

__all__ = ["compare_searches", "overall_completeness", "searches_text"]

_IN_BINS = ("observed", "recovered", "completeness", "low", "high", "detections", "rate", "rate_low", "rate_high")
_AT_THRESHOLDS = ("detections", "purity_flipped", "purity_shuffled", "completeness", "low", "high")


def compare_searches(versions: Sequence[VersionFolder]) -> dict[str, Any]:
    """Completeness, rates, purity and searched time of versions side by side.

    Returns
    -------
    dict
        `source_days`, of each; `completeness`: for each quantity bins with the limits `from` and `to`, and what
        `retriever.report.completeness.rates_by` gives for each version; `thresholds`: rows with `threshold`, and what
        `thresholds_of` gives for each. Numbers that are not defined are None. Empty for versions that were made before
        completeness was.
    """
    try:
        results = [SearchResults.read(version) for version in versions]
        tables = [
            {row["threshold"]: row for row in thresholds_of(version, own)}
            for version, own in zip(versions, results, strict=True)
        ]
    except (StoreError, KeyError):  # tables, or columns of tables, that earlier versions do not have
        return {"source_days": [None] * len(versions), "completeness": {}, "thresholds": []}
    return {
        "source_days": [own.source_days for own in results],
        "completeness": {
            name: bins for name, bins in ((name, _bins(results, name)) for name in QUANTITIES) if bins
        },
        "thresholds": [
            {"threshold": threshold, **_side_by_side(_AT_THRESHOLDS, [table[threshold] for table in tables])}
            for threshold in sorted(set.intersection(*(set(table) for table in tables)))
        ],
    }  # fmt: skip


def _bins(results: Sequence[SearchResults], name: str) -> list[dict[str, Any]]:
    """Completeness and rates of all versions in common bins of a quantity."""
    column = QUANTITIES[name].injected
    edges = even_edges(np.concatenate([own.injections[column].astype(np.float64) for own in results]))
    if edges.size < 2:
        return []
    rows = [{row[f"{name}_from"]: row for row in rates_by(own, [name], edges=[edges])} for own in results]
    return [
        {"from": low, "to": high, **_side_by_side(_IN_BINS, [own.get(low, {}) for own in rows])}
        for low, high in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)
        if any(low in own for own in rows)
    ]


def _side_by_side(names: Sequence[str], rows: Sequence[Mapping[str, float]]) -> dict[str, list[float | None]]:
    return {name: [_number(row.get(name)) for row in rows] for name in names}


def _number(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else value


def overall_completeness(version: VersionFolder) -> float | None:
    """Share of the injected events, on usable epochs and not blended, that were recovered; None without events."""
    try:
        table, _ = judged_injections(version)
        recovered = table["recovered"].astype(bool)[is_observed(table)]
    except KeyError:  # columns that earlier versions do not have
        return None
    return float(np.mean(recovered)) if recovered.size else None


def searches_text(comparison: Mapping[str, Any]) -> list[str]:
    """The comparison of two searches for people: what differs, a line each."""
    lines = []
    days = comparison["source_days"]
    if days[0] != days[1]:
        lines.append(f"searched: {' → '.join(_shown(value, '.6g') for value in days)} source-days")
    for name, bins in comparison["completeness"].items():
        if all(row["observed"][0] == row["observed"][1] and row["recovered"][0] == row["recovered"][1] for row in bins):
            continue
        unit = f" ({QUANTITIES[name].unit})" if QUANTITIES[name].unit == "d" else ""
        lines.append(f"completeness by {name}{unit}, with 68 % intervals, and rate:")
        for row in bins:
            shares = " → ".join(_share(row, k) for k in (0, 1))
            rates = " → ".join(_shown(value, ".3g") for value in row["rate"])
            rate = f"; rate {rates} a day" if any(value is not None for value in row["rate"]) else ""
            lines.append(f"  {row['from']:.4g} to {row['to']:.4g}: {shares}{rate}")
    rows = [row for row in comparison["thresholds"] if float(row["threshold"]).is_integer()]
    if any(row[name][0] != row[name][1] for row in rows for name in _AT_THRESHOLDS):
        lines.append("by threshold of |S/N|: detections; purity (flipped, shuffled); completeness")
        for row in rows:
            pairs = [" → ".join(_shown(value, ".3g") for value in row[name]) for name in _AT_THRESHOLDS[:4]]
            lines.append(f"  {row['threshold']:g}: {pairs[0]}; {pairs[1]}, {pairs[2]}; {pairs[3]}")
    return lines


def _share(row: Mapping[str, Any], k: int) -> str:
    if not row["observed"][k]:
        return "none"
    share, low, high = (100 * row[name][k] for name in ("completeness", "low", "high"))
    return f"{share:.1f} % ({low:.1f} to {high:.1f})"


def _shown(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)

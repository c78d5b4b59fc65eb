"""Plots of what a search found and missed: scores, completeness, purity, sweeps."""

from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np

from retriever.arrays import Array
from retriever.errors import DataError
from retriever.plots.style import ACCENT, BAD, MUTED, axes_or_new, legend, middles, plain_log

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "QUANTITY_NAMES",
    "plot_completeness",
    "plot_completeness_map",
    "plot_scores",
    "plot_sweep",
    "plot_thresholds",
]

Columns = Mapping[str, Any]
"""Columns by name, such as a DataFrame."""

_BLUE = "#1d4ed8"


def plot_scores(
    edges: Array, counts: Array, ax: "Axes | None" = None, *, thresholds: Sequence[float] = (), name: str = "S/N"
) -> "Axes":
    """Draw a histogram of scores of epochs, beside the unit normal of as many epochs.

    Parameters
    ----------
    edges
        Edges of the bins, n + 1.
    counts
        Number of epochs in each, n.
    thresholds
        Scores at which lines are drawn.
    name
        Of the score.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> plot_scores(np.array([-1.0, 0.0, 1.0]), np.array([5, 5]), Figure().subplots()).get_xlabel()
    'S/N'
    """
    edges, counts = np.asarray(edges, np.float64), np.asarray(counts, np.float64)
    ax = axes_or_new(ax, figsize=(6, 3.5))
    ax.stairs(counts, edges, fill=True, color=MUTED, alpha=0.5, label="epochs")
    normal = NormalDist()
    expected = counts.sum() * np.diff([normal.cdf(edge) for edge in edges.tolist()])
    ax.stairs(expected, edges, color=_BLUE, lw=1.2, label="unit normal")
    for threshold in thresholds:
        ax.axvline(threshold, color=ACCENT, ls="--", lw=1, label="threshold")
    if counts.any():
        ax.set_yscale("log")
        ax.set_ylim(0.5, 2.0 * counts.max())
    ax.set_xlabel(name)
    ax.set_ylabel("epochs")
    legend(ax)
    return ax


def plot_completeness(table: Columns, ax: "Axes | None" = None, *, quantity: str = "snr") -> "Axes":
    """Draw completeness against an injected quantity, with its intervals of 68 %.

    Parameters
    ----------
    table
        Rows of `completeness.parquet`.
    quantity
        One of its quantities.

    Raises
    ------
    DataError
        When no event was injected that has the quantity.
    """
    rows = _rows(table, quantity)
    ax = axes_or_new(ax, figsize=(6, 3.5))
    middle = middles(rows["from"], rows["to"])
    edges = np.append(np.maximum(rows["from"], rows["to"] / 30), rows["to"][-1])
    known = np.isfinite(rows["completeness"])
    for key, color, label in (("completeness", _BLUE, "of observed events"), ("efficiency", MUTED, "of all events")):
        ax.stairs(np.nan_to_num(rows[key]), edges, color=color, label=label, baseline=None, lw=1.2)
    value = rows["completeness"][known]
    errors = np.clip([value - rows["low"][known], rows["high"][known] - value], 0.0, None)
    ax.errorbar(middle[known], value, errors, fmt="o", ms=4, color=_BLUE, capsize=2)
    plain_log(ax, "x")
    ax.set_ylim(-0.03, 1.03)
    ax.set_xlabel(QUANTITY_NAMES.get(quantity, quantity))
    ax.set_ylabel("completeness")
    legend(ax, loc="lower right")
    return ax


QUANTITY_NAMES = {
    "snr": "S/N of an epoch",
    "total_snr": "S/N of all epochs together",
    "amplitude": "relative amplitude",
    "width": "width (d)",
    "period": "period (d)",
}


def plot_completeness_map(bins: Sequence[Mapping[str, float]], by: Sequence[str], ax: "Axes | None" = None) -> "Axes":
    """Draw completeness over two quantities.

    Parameters
    ----------
    bins
        As `retriever.report.completeness.completeness_by` gives them.
    by
        Names of the two quantities.

    Raises
    ------
    DataError
        When there are no bins, or not two quantities.
    """
    if len(by) != 2 or not bins:
        raise DataError("a map of completeness needs two quantities that injected events have")
    ax = axes_or_new(ax, figsize=(6, 4.5))
    edges = [np.unique([row[f"{name}_{end}"] for row in bins for end in ("from", "to")]) for name in by]
    cells = np.full((edges[1].size - 1, edges[0].size - 1), np.nan)
    for row in bins:
        x, y = (int(np.searchsorted(own, row[f"{name}_from"])) for name, own in zip(by, edges, strict=True))
        cells[y, x] = row["completeness"]
        if np.isfinite(row["completeness"]):
            middle_x, middle_y = (float(np.sqrt(row[f"{name}_from"] * row[f"{name}_to"])) for name in by)
            ax.text(middle_x, middle_y, f"{row['completeness']:.2f}", ha="center", va="center", fontsize="x-small",
                    color="white" if row["completeness"] < 0.55 else "black")  # fmt: skip
    mesh = ax.pcolormesh(*edges, cells, vmin=0.0, vmax=1.0, cmap="viridis")
    ax.figure.colorbar(mesh, ax=ax, label="completeness")
    plain_log(ax, "x", "y")
    ax.set_xlabel(QUANTITY_NAMES.get(by[0], by[0]))
    ax.set_ylabel(QUANTITY_NAMES.get(by[1], by[1]))
    return ax


def plot_thresholds(table: Columns, ax: "Axes | None" = None) -> "Axes":
    """Draw purity and completeness against the least S/N of a detection.

    Parameters
    ----------
    table
        Rows of `thresholds.parquet`.
    """
    ax = axes_or_new(ax, figsize=(6, 3.5))
    at = np.asarray(table["threshold"], np.float64)
    complete = np.asarray(table["completeness"], np.float64)
    if np.isfinite(complete).any():
        ax.plot(at, complete, color=_BLUE, label="completeness")
        low, high = (np.asarray(table[name], np.float64) for name in ("low", "high"))
        ax.fill_between(at, low, high, color=_BLUE, alpha=0.2, lw=0)
    for kind, color in (("flipped", ACCENT), ("shuffled", BAD)):
        purity = np.asarray(table[f"purity_{kind}"], np.float64)
        if np.isfinite(purity).any():
            ax.plot(at, purity, color=color, ls="--", label=f"purity, from {kind} light curves")
    ax.set_ylim(-0.03, 1.03)
    ax.set_xlabel("least S/N")
    ax.set_ylabel("share")
    legend(ax)
    return ax


def plot_sweep(table: Columns, key: str, value: str, ax: "Axes | None" = None) -> "Axes":
    """Draw a result of each job of a sweep against a parameter that was swept.

    Parameters
    ----------
    table
        Rows of a sweep's `summary.parquet`.
    key
        Column of the parameter.
    value
        Column of the result, such as "detections" or "completeness".

    Raises
    ------
    DataError
        When the table has no such column.
    """
    for name in (key, value):
        if name not in table:
            raise DataError(f"the table of the sweep has no column {name!r} (known: {', '.join(map(str, table))})")
    ax = axes_or_new(ax, figsize=(6, 3.5))
    x, y = np.asarray(table[key]), np.asarray(table[value], np.float64)
    if x.dtype.kind in "biuf":
        order = np.argsort(x, kind="stable")
        ax.plot(x[order], y[order], "o-", color=_BLUE)
    else:
        ax.bar([str(word) for word in x.tolist()], y, color=_BLUE)
    ax.set_xlabel(key)
    ax.set_ylabel(value)
    return ax


def _rows(table: Columns, quantity: str) -> dict[str, Array]:
    chosen = np.asarray(table["quantity"]).astype(str) == quantity
    if not chosen.any():
        known = sorted(set(np.asarray(table["quantity"]).astype(str).tolist()))
        raise DataError(f"no injected event has a {quantity} (known: {', '.join(known) or 'none'})")
    names = ("from", "to", "completeness", "low", "high", "efficiency")
    return {name: np.asarray(table[name])[chosen] for name in names}

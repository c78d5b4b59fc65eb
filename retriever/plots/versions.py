"""Plots of several versions on the same axes."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from retriever.arrays import Array, Floats
from retriever.plots.results import QUANTITY_NAMES
from retriever.plots.style import ACCENT, axes_or_new, legend, middles, plain_log

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_completeness_of_versions", "plot_scores_of_versions", "plot_thresholds_of_versions"]

_TWO = ("#1d4ed8", ACCENT)


def plot_completeness_of_versions(
    bins: Sequence[Mapping[str, Any]], names: Sequence[str], ax: "Axes | None" = None, *, quantity: str = "snr"
) -> "Axes":
    """Draw completeness of several versions against an injected quantity, with intervals of 68 %.

    Parameters
    ----------
    bins
        Of the quantity, as `retriever.report.compare_search.compare_searches` gives them.
    names
        Of the versions, in the order of the numbers in `bins`.
    quantity
        Which it is.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> bins = [{"from": 1.0, "to": 4.0, "completeness": [0.5, 0.7], "low": [0.4, 0.6], "high": [0.6, 0.8]}]
    >>> ax = plot_completeness_of_versions(bins, ["A", "B"], Figure().subplots())
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['A', 'B']
    """
    ax = axes_or_new(ax, figsize=(6, 3.5))
    middle = middles(np.array([row["from"] for row in bins]), np.array([row["to"] for row in bins]))
    for k, (name, color) in enumerate(zip(names, _colors(len(names)), strict=True)):
        value, low, high = (_of_version(bins, key, k) for key in ("completeness", "low", "high"))
        # a little apart, so that intervals are seen
        at = middle * (1.0 + 0.02 * (k - (len(names) - 1) / 2))
        errors = np.clip([value - low, high - value], 0.0, None)
        ax.errorbar(at, value, errors, fmt="o-", ms=4, lw=1, capsize=2, color=color, label=name)
    plain_log(ax, "x")
    ax.set_ylim(-0.03, 1.03)
    ax.set_xlabel(QUANTITY_NAMES.get(quantity, quantity))
    ax.set_ylabel("completeness")
    legend(ax, loc="lower right")
    return ax


def plot_thresholds_of_versions(
    rows: Sequence[Mapping[str, Any]], names: Sequence[str], ax: "Axes | None" = None
) -> "Axes":
    """Draw completeness (lines) and purity (dashed) of several versions against the least S/N of a detection.

    Parameters
    ----------
    rows
        `thresholds` of `retriever.report.compare_search.compare_searches`.
    names
        Of the versions.
    """
    ax = axes_or_new(ax, figsize=(6, 3.5))
    at = np.array([row["threshold"] for row in rows], np.float64)
    for k, (name, color) in enumerate(zip(names, _colors(len(names)), strict=True)):
        ax.plot(at, _of_version(rows, "completeness", k), color=color, label=name)
        for key in ("purity_flipped", "purity_shuffled"):
            purity = _of_version(rows, key, k)
            if np.isfinite(purity).any():
                ax.plot(at, purity, color=color, ls="--" if key.endswith("flipped") else ":")
    ax.set_ylim(-0.03, 1.03)
    ax.set_xlabel("least S/N (line: completeness; dashed: purity)")
    ax.set_ylabel("share")
    legend(ax)
    return ax


def plot_scores_of_versions(
    counted: Sequence[tuple[Array, Array]], names: Sequence[str], ax: "Axes | None" = None, *, name: str = "S/N"
) -> "Axes":
    """Draw how scores of good epochs are distributed in several versions: the share of epochs in each bin.

    Parameters
    ----------
    counted
        For each version the counts of n bins and their lower edges, as
        `retriever.report.histograms.good_epochs_by_score` gives them.
    names
        Of the versions.
    name
        Of the score.
    """
    ax = axes_or_new(ax, figsize=(6, 3.5))
    for (counts, low), word, color in zip(counted, names, _colors(len(names)), strict=True):
        inside = np.flatnonzero(np.isfinite(low))[:-1]
        edges, chosen = low[np.append(inside, inside[-1] + 1)], counts[inside].astype(np.float64)
        if chosen.any():
            ax.stairs(chosen / chosen.sum(), edges, color=color, label=word, lw=1.2)
            ax.set_yscale("log")
    ax.set_xlabel(name)
    ax.set_ylabel("share of epochs")
    legend(ax)
    return ax


def _colors(n: int) -> Sequence[Any]:
    """A colour for each version: two that differ most, or those of a scale."""
    if n <= 2:
        return _TWO[:n]
    from matplotlib import colormaps

    return list(colormaps["viridis"](np.linspace(0.0, 0.85, n)))


def _of_version(rows: Sequence[Mapping[str, Any]], key: str, version: int) -> Floats:
    values = [row[key][version] for row in rows]
    return np.array([np.nan if value is None else value for value in values], np.float64)

"""The page that shows versions side by side: two, or the jobs of a sweep."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from retriever.arrays import Array
from retriever.pages.figures import image
from retriever.pages.writing import write_page
from retriever.plots import (
    plot_completeness_of_versions,
    plot_scores_of_versions,
    plot_sweep,
    plot_thresholds_of_versions,
)
from retriever.report.compare import compare_many, compare_two, detections_of_one
from retriever.report.compare_search import compare_searches
from retriever.report.histograms import good_epochs_by_score
from retriever.report.parameters import differing
from retriever.report.versions import VersionFolder
from retriever.schema import Columns

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["write_comparison"]

_TOGETHER = 12
"""Versions whose curves are drawn on the same axes; more could not be told apart."""

_RESULTS = ("sources", "detections", "injections", "recovered", "completeness")


def write_comparison(versions: Sequence[VersionFolder], path: Path, *, best: int = 10) -> Path:
    """Write a page that shows versions side by side.

    Parameters
    ----------
    versions
        Two or more.
    path
        The file.
    best
        Number of detections that are listed of those that only one of two versions has.

    Raises
    ------
    StoreError
        When a folder lacks its manifest or its tables, or the file cannot be written.
    """
    names = [version.name for version in versions]
    rows = compare_many(versions)
    keys = differing([version.parameters for version in versions])
    two = compare_two(*versions) if len(versions) == 2 else None
    content = {
        "names": names,
        "keys": keys,
        "rows": rows,
        "results": _RESULTS,
        "two": two,
        "alone": _alone(versions, best) if two else [],
        "sweep": _sweep(rows, keys) if len(versions) > 2 else [],
        "search": _search(versions, names) if len(versions) <= _TOGETHER else [],
        "scores": _scores(versions, names) if len(versions) <= _TOGETHER else [],
        "command": f"retriever compare {' '.join(names[:2])}" if two else f"retriever compare {' '.join(names)}",
    }
    return write_page("comparison.html", content, path)


def _alone(versions: Sequence[VersionFolder], best: int) -> list[dict[str, object]]:
    """The strongest detections that only one of two versions has, with their addresses."""
    shown = []
    for version, table in zip(versions, detections_of_one(*versions), strict=True):
        n = min(best, len(table["snr"]))
        shown.append(
            {"name": version.name, "total": len(table["snr"]), "rows": [_detection(table, k) for k in range(n)]}
        )
    return shown


def _detection(table: Columns, k: int) -> dict[str, Any]:
    row = {name: values[k : k + 1].tolist()[0] for name, values in table.items()}
    return {**row, "address": "/".join(str(row[name]) for name in ("source", "observatory", "lightcurve", "peak"))}


def _sweep(rows: Sequence[Mapping[str, object]], keys: Sequence[str]) -> list[str]:
    """Detections and completeness against each parameter that differs and is one number or word."""
    images = []
    for key in keys:
        values = [row.get(key) for row in rows]
        if any(value is None or isinstance(value, (list, dict)) for value in values):
            continue
        for result in ("detections", "completeness"):
            numbers = [row[result] for row in rows]
            if all(number is not None for number in numbers):
                images.append(image(_draw_sweep({key: values, result: numbers}, key, result), width=5, height=3))
    return images


def _draw_sweep(table: Mapping[str, Any], key: str, result: str) -> Callable[["Axes"], object]:
    return lambda ax: plot_sweep(table, key, result, ax)


def _search(versions: Sequence[VersionFolder], names: Sequence[str]) -> list[str]:
    compared = compare_searches(versions)
    images = [
        image(_draw_completeness(bins, names, quantity))
        for quantity, bins in compared["completeness"].items()
        if len(bins) > 1
    ]
    if compared["thresholds"]:
        images.append(image(lambda ax: plot_thresholds_of_versions(compared["thresholds"], names, ax)))
    return images


def _draw_completeness(
    bins: Sequence[Mapping[str, Any]], names: Sequence[str], quantity: str
) -> Callable[["Axes"], object]:
    return lambda ax: plot_completeness_of_versions(bins, names, ax, quantity=quantity)


def _scores(versions: Sequence[VersionFolder], names: Sequence[str]) -> list[str]:
    """Distributions of the scores that all versions have."""
    counted = [good_epochs_by_score(version.folder) for version in versions]
    images = []
    for score in counted[0]:
        if all(score in own and np.isfinite(own[score][1]).sum() > 2 for own in counted):
            images.append(image(_draw_scores([own[score] for own in counted], names, score)))
    return images


def _draw_scores(
    counted: Sequence[tuple[Array, Array]], names: Sequence[str], score: str
) -> Callable[["Axes"], object]:
    return lambda ax: plot_scores_of_versions(counted, names, ax, name="S/N" if score == "snr" else score)

"""Plots of a catalog and of what became of its sources and epochs."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from retriever.arrays import Array
from retriever.plots.style import ACCENT, MUTED, axes_or_new

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_funnel", "plot_sky"]


def plot_sky(ra: Array, dec: Array, ax: "Axes | None" = None, *, marked: Array | None = None) -> "Axes":
    """Draw places on the sky in Aitoff's projection, right ascension growing to the left.

    Parameters
    ----------
    ra, dec
        In degrees.
    ax
        Axes with the projection "aitoff"; new ones where none are given.
    marked
        Which of them to mark, such as those with detections.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> ax = Figure().add_subplot(projection="aitoff")
    >>> plot_sky(np.array([10.0]), np.array([-3.0]), ax).get_title()
    '1 source'
    """
    ra, dec = np.asarray(ra, np.float64), np.asarray(dec, np.float64)
    ax = axes_or_new(ax, figsize=(7, 4), subplot_kw={"projection": "aitoff"})
    x, y = -np.radians((ra + 180.0) % 360.0 - 180.0), np.radians(dec)
    size = 8.0 if ra.size < 1000 else 2.0
    ax.scatter(x, y, size, color=MUTED, lw=0, rasterized=True)
    if marked is not None and np.any(marked):
        ax.scatter(x[marked], y[marked], 14.0, color=ACCENT, lw=0, rasterized=True)
    hours = np.arange(-150, 180, 30)
    ax.set_xticks(np.radians(hours), [f"{-degrees % 360}°" for degrees in hours.tolist()], fontsize="x-small")
    ax.tick_params(axis="y", labelsize="x-small")
    ax.grid(lw=0.3)
    ax.set_title(f"{ra.size} source{'s' * (ra.size != 1)}", fontsize="medium")
    return ax


def plot_funnel(steps: Mapping[str, int], ax: "Axes | None" = None) -> "Axes":
    """Draw how many are left after each step.

    Parameters
    ----------
    steps
        Names of the steps, first to last, with numbers.
    """
    from matplotlib.ticker import MaxNLocator

    ax = axes_or_new(ax, figsize=(6, 0.4 * len(steps) + 0.6))
    names = list(steps)[::-1]
    numbers = [steps[name] for name in names]
    ax.barh(names, numbers, color=MUTED, alpha=0.6)
    for place, number in enumerate(numbers):
        ax.annotate(f" {number:,}", (number, place), va="center", fontsize="small")
    ax.margins(x=0.2)
    ax.spines[["top", "right"]].set_visible(False)
    ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    return ax

"""Plots of a catalog and of what became of its sources and epochs."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from retriever.arrays import Array
from retriever.errors import ConfigError
from retriever.plots.style import ACCENT, MUTED, axes_or_new

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from mocpy import MOC

__all__ = ["plot_funnel", "plot_sky"]


def plot_sky(
    ra: Array, dec: Array, ax: "Axes | None" = None, *, marked: Array | None = None, moc: "MOC | None" = None
) -> "Axes":
    """Draw places on the sky in Aitoff's projection, right ascension growing to the left.

    Parameters
    ----------
    ra, dec
        In degrees.
    ax
        Axes with the projection "aitoff"; new ones where none are given.
    marked
        Which of them to mark, such as those with detections.
    moc
        A `mocpy.MOC` whose cells are shaded; cells smaller than about a degree are drawn as such.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> ax = Figure().add_subplot(projection="aitoff")
    >>> plot_sky(np.array([10.0]), np.array([-3.0]), ax).get_title()
    '1 source'
    """
    ra, dec = np.asarray(ra, np.float64), np.asarray(dec, np.float64)
    ax = axes_or_new(ax, figsize=(7, 4), subplot_kw={"projection": "aitoff"})
    if moc is not None:
        _shade(moc, ax)
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


_DRAWN_ORDER = 6


def _shade(moc: "MOC", ax: "Axes") -> None:
    """Shade the cells of a MOC; those at the edge of the map twice, for one half each."""
    try:
        from cdshealpix import vertices
    except ImportError as error:
        raise ConfigError("cells of a MOC are drawn with cdshealpix: pip install 'retriever[moc]'") from error
    from matplotlib.collections import PolyCollection

    drawn = moc.degrade_to_order(_DRAWN_ORDER) if moc.max_order > _DRAWN_ORDER else moc
    lon, lat = vertices(drawn.flatten(), drawn.max_order)
    x, y = -((lon.rad + np.pi) % (2 * np.pi) - np.pi), lat.rad
    at_edge = np.ptp(x, axis=1) > np.pi
    right = np.where(at_edge[:, None] & (x < 0), x + 2 * np.pi, x)
    cells = [np.stack([right, y], axis=2), np.stack([right - 2 * np.pi, y], axis=2)[at_edge]]
    ax.add_collection(PolyCollection(list(np.concatenate(cells)), facecolor=ACCENT, alpha=0.25, lw=0))


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

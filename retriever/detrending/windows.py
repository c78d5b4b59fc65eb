"""Windows in time: the epochs around some nodes, as the rows of a block."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from retriever.arrays import Floats

__all__ = ["median_of_windows", "nodes_of", "over_windows"]

_NODES_A_WINDOW = 10
"""A trend is derived at so many nodes a window, and interpolated: it changes little over a tenth of a window."""

_SHORT = 100
"""Epochs of a window up to which the trend is derived at every epoch."""

_CELLS = 2_000_000
"""Most cells of a block."""


def nodes_of(time: Floats, window: float) -> Floats:
    """Times at which a trend is derived: a tenth of a window apart, or the epochs where windows have few.

    Examples
    --------
    >>> nodes_of(np.array([0.0, 5.0]), 1.0).tolist(), nodes_of(np.linspace(0, 1, 1000), 0.5).size
    ([0.0, 5.0], 21)
    """
    span = time[-1] - time[0]
    if time.size * min(window, span) <= _SHORT * span:
        return time
    return np.linspace(time[0], time[-1], int(np.ceil(_NODES_A_WINDOW * span / window)) + 1)


def over_windows(
    time: Floats,
    flux: Floats,
    use: NDArray[np.bool_],
    window: float,
    estimate: Callable[[Floats, Floats, NDArray[np.int64]], Floats],
    *,
    needs_time: bool = True,
) -> Floats:
    """Trend at all epochs from an estimate in a window around each node.

    Parameters
    ----------
    window
        Its length in days; epochs at most half of it away belong to it.
    estimate
        Takes times from the node and fluxes, a row a window, both padded with NaN, and the number of epochs of each;
        gives a value a window, NaN where it cannot.
    needs_time
        Whether the estimate looks at times; if not, it gets fluxes in their place.

    Returns
    -------
    numpy.ndarray
        Interpolated between nodes; nodes without a value take that between their neighbours'.
    """
    t, f = time[use], flux[use]
    nodes = nodes_of(time, window)
    first = np.searchsorted(t, nodes - 0.5 * window, "left")
    count = np.searchsorted(t, nodes + 0.5 * window, "right") - first
    values = np.full(nodes.size, np.nan)
    widest = max(int(count.max()), 1)
    at_once = max(_CELLS // widest, 1)
    for begin in range(0, nodes.size, at_once):
        rows = slice(begin, begin + at_once)
        place = first[rows, None] + np.arange(widest)
        inside = place < (first + count)[rows, None]
        np.minimum(place, t.size - 1, out=place)
        near = f[place]
        near[~inside] = np.nan
        near_t = np.where(inside, t[place] - nodes[rows, None], np.nan) if needs_time else near
        values[rows] = estimate(near_t, near, count[rows])
    known = np.isfinite(values)
    if not known.any():
        return np.full(time.size, np.median(f))
    return np.asarray(np.interp(time, nodes[known], values[known]))


def median_of_windows(_: Floats, flux: Floats, count: NDArray[np.int64]) -> Floats:
    """Median of each row, of which the first epochs count."""
    ordered = np.sort(flux, axis=1)  # NaN last
    row, half = np.arange(count.size), count // 2
    upper, lower = ordered[row, np.minimum(half, flux.shape[1] - 1)], ordered[row, np.maximum(half - 1, 0)]
    values = np.where(count % 2 == 1, upper, 0.5 * (lower + upper))
    return np.where(count > 0, values, np.nan)

"""Windows in time: the epochs around some nodes, as the rows of a block."""

from collections.abc import Callable

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from retriever.arrays import Floats

__all__ = ["Windows", "median_of_windows", "nodes_of"]

Estimate = Callable[[Floats, Floats, NDArray[np.int64]], Floats]

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


class Windows:
    """The trend of a piece of a light curve, from an estimate in a window around each node.

    When the trend is derived again, with other fluxes or other epochs to use, the estimate is made only for windows in
    which something changed.

    Parameters
    ----------
    time
        Times of all epochs of the piece, in days and in order.
    window
        Length of the window in days; epochs at most half of it away belong to it.
    estimate
        Takes times from the node and fluxes, a row a window, both padded with NaN, and the number of epochs of each;
        gives a value a window, NaN where it cannot.
    needs_time
        Whether the estimate looks at times; if not, it gets fluxes in their place.
    """

    def __init__(self, time: Floats, window: float, estimate: Estimate, *, needs_time: bool = True) -> None:
        self._time, self._estimate, self._needs_time = time, estimate, needs_time
        self._nodes = nodes_of(time, window)
        self._begin, self._end = self._nodes - 0.5 * window, self._nodes + 0.5 * window
        self._flux: Floats | None = None
        self._values = np.full(self._nodes.size, np.nan)

    def trend(self, flux: Floats, use: NDArray[np.bool_]) -> Floats:
        """Trend at all epochs, of the fluxes to use.

        It is interpolated between nodes; nodes without a value take that between their neighbours'.
        """
        changed = self._changed(np.where(use, flux, np.nan))
        time, flux = self._time[use], flux[use]
        first = np.searchsorted(time, self._begin, "left")
        count = np.searchsorted(time, self._end, "right") - first
        widest = max(int(count.max()), 1)
        fluxes, times = _rows(flux, widest), _rows(time, widest)
        at_once = max(_CELLS // widest, 1)
        for begin in range(0, changed.size, at_once):
            some = changed[begin : begin + at_once]
            outside = np.arange(widest) >= count[some, None]
            near = fluxes[first[some]]
            near[outside] = np.nan
            near_time = times[first[some]] - self._nodes[some, None] if self._needs_time else near
            near_time[outside] = np.nan
            self._values[some] = self._estimate(near_time, near, count[some])
        known = np.isfinite(self._values)
        if not known.any():
            return np.full(self._time.size, np.median(flux))
        return np.asarray(np.interp(self._time, self._nodes[known], self._values[known]))

    def _changed(self, flux: Floats) -> NDArray[np.int64]:
        """Windows in which a flux, NaN where it is not used, is not what it was the last time."""
        before, self._flux = self._flux, flux
        if before is None:
            return np.arange(self._nodes.size)
        epochs = self._time[(flux != before) & ~(np.isnan(flux) & np.isnan(before))]
        is_changed = np.searchsorted(epochs, self._end, "right") > np.searchsorted(epochs, self._begin, "left")
        return np.flatnonzero(is_changed)


def _rows(values: Floats, widest: int) -> Floats:
    """For each epoch its value and those after it, padded with NaN; a view."""
    return sliding_window_view(np.concatenate([values, np.full(widest, np.nan)]), widest)


def median_of_windows(_: Floats, flux: Floats, count: NDArray[np.int64]) -> Floats:
    """Median of each row, of which the first epochs count."""
    ordered = np.sort(flux, axis=1)  # NaN last
    row, half = np.arange(count.size), count // 2
    upper, lower = ordered[row, np.minimum(half, flux.shape[1] - 1)], ordered[row, np.maximum(half - 1, 0)]
    values = np.where(count % 2 == 1, upper, 0.5 * (lower + upper))
    return np.where(count > 0, values, np.nan)

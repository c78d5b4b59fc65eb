"""Histograms with fixed edges, under- and overflow: sums that can be added in any order."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retriever.arrays import Floats

__all__ = [
    "CONTEXT_AXES",
    "SCORE_AXES",
    "SELECTIONS",
    "Axis",
    "ScoreHistogram",
    "SparseCounts",
    "merged_counts",
    "sparse_counts",
]


@dataclass(frozen=True, kw_only=True, eq=False)
class Axis:
    """One axis: bin 0 is underflow, the last but one overflow, the last for unknown (NaN) values.

    Examples
    --------
    >>> Axis(name="x", unit="", edges=np.array([0.0, 1.0, 2.0])).bins(np.array([-1.0, 0.0, 1.5, 2.0, np.nan])).tolist()
    [0, 1, 2, 3, 4]
    """

    name: str
    unit: str
    edges: NDArray[np.floating[Any]]

    @property
    def size(self) -> int:
        """Number of bins with under-, overflow and unknown."""
        return int(self.edges.size) + 2

    def bins(self, values: Floats) -> NDArray[np.int64]:
        """Bin of each value; a value on an edge belongs to the bin above it."""
        bins = np.searchsorted(self.edges, values, side="right")
        return np.where(np.isnan(values), self.edges.size + 1, bins)

    def limits(self) -> tuple[Floats, Floats]:
        """Lower and upper limit of each bin; NaN for the unknown."""
        low = np.concatenate([[-np.inf], self.edges, [np.nan]])
        high = np.concatenate([self.edges, [np.inf], [np.nan]])
        return low, high


SCORE_AXES = (
    Axis(name="snr", unit="1", edges=np.arange(-80.0, 81.0) * 0.25),
    Axis(name="dmag", unit="mag", edges=np.arange(-60.0, 61.0) * 0.05),
    Axis(name="offset", unit="sigma", edges=np.arange(81.0) * 0.25),
)
"""Scores that are histogrammed, where an analysis gives them."""

CONTEXT_AXES = (
    Axis(name="magnitude", unit="mag", edges=np.arange(16.0, 47.0) * 0.5),
    Axis(
        name="exposure_time",
        unit="s",
        edges=np.array([0.0, 5, 15, 25, 35, 65, 125, 250, 500, 1000, 2000, 4000]),
    ),
)
"""What scores are seen against, beside the filter."""

SELECTIONS = ("all", "good", "quality")
"""All epochs with a score; the good ones; those that quality marked as bad."""


SparseCounts = Mapping[tuple[str, str], tuple[NDArray[np.int64], NDArray[np.int64]]]
"""Cells and their counts, by score and band."""


def _axis(score: str) -> Axis:
    return next(axis for axis in SCORE_AXES if axis.name == score)


def sparse_counts(
    band: str, mag: Floats, exptime: Floats, qflag: NDArray[np.bool_], scores: Mapping[str, Floats]
) -> SparseCounts:
    """Count the epochs of one band; scores that are NaN are not counted."""
    context = np.zeros(mag.size, np.int64)
    for axis, values in zip(CONTEXT_AXES, (mag, exptime), strict=True):
        context = context * axis.size + axis.bins(values)
    inner = int(np.prod([axis.size for axis in CONTEXT_AXES]))
    counts = {}
    for axis in SCORE_AXES:
        if axis.name not in scores:
            continue
        score = scores[axis.name]
        cell = axis.bins(score) * inner + context + np.where(qflag, axis.size * inner, 0)
        cells, numbers = np.unique(cell[~np.isnan(score)], return_counts=True)
        counts[axis.name, band] = cells, numbers
    return counts


def merged_counts(parts: Sequence[SparseCounts]) -> SparseCounts:
    """The sum of several counts."""
    if len(parts) == 1:
        return parts[0]
    total = ScoreHistogram()
    for part in parts:
        total.add_sparse(part)
    return total.sparse()


@dataclass(kw_only=True)
class ScoreHistogram:
    """Counts of epochs: score × magnitude × exposure time × filter, for each score and selection.

    Examples
    --------
    >>> histogram = ScoreHistogram()
    >>> one = np.array([1.0])
    >>> histogram.add("r", one * 17, one * 30, np.array([False]), {"snr": one})
    >>> histogram.counts("snr", ["r"]).sum(axis=(1, 2, 3, 4)).tolist()
    [1, 1, 0]
    """

    _sums: dict[tuple[str, str], NDArray[np.int64]] = field(default_factory=dict)

    def add(
        self, band: str, mag: Floats, exptime: Floats, qflag: NDArray[np.bool_], scores: Mapping[str, Floats]
    ) -> None:
        """Count the epochs of one band; scores that are NaN are not counted."""
        self.add_sparse(sparse_counts(band, mag, exptime, qflag, scores))

    def _add_cells(self, score: str, band: str, cells: NDArray[np.int64] | slice, counts: NDArray[np.int64]) -> None:
        size = 2 * int(np.prod([axis.size for axis in CONTEXT_AXES])) * _axis(score).size
        total = self._sums.setdefault((score, band), np.zeros(size, np.int64))
        total[cells] += counts

    def sparse(self) -> SparseCounts:
        """The cells that are not zero, by score and band: small enough to be sent between processes."""
        return {key: (cells, total[cells]) for key, total in self._sums.items() for cells in (np.flatnonzero(total),)}

    def add_sparse(self, counts: SparseCounts) -> None:
        """Add what another histogram counted."""
        for (score, band), (cells, numbers) in counts.items():
            self._add_cells(score, band, cells, numbers)

    @property
    def bands(self) -> list[str]:
        """Filters that were counted, in order."""
        return sorted({band for _, band in self._sums})

    def counts(self, score: str, bands: Sequence[str]) -> NDArray[np.int64]:
        """Counts of a score, of shape (selection, score, magnitude, exposure time, filter)."""
        axis = _axis(score)
        shape = (axis.size, *(context.size for context in CONTEXT_AXES))
        stacked = np.zeros((len(SELECTIONS), *shape, len(bands)), np.int64)
        for k, band in enumerate(bands):
            if (score, band) in self._sums:
                good, bad = self._sums[score, band].reshape(2, *shape)
                stacked[0, ..., k], stacked[1, ..., k], stacked[2, ..., k] = good + bad, good, bad
        return stacked

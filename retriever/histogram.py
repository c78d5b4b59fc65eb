"""Histograms with fixed edges, under- and overflow: sums that can be added in any order."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retriever.arrays import Array, Floats
from retriever.errors import ConfigError

__all__ = [
    "SELECTIONS", "Axis", "Bins", "ContextBins", "Histograms", "ScoreHistogram", "SparseCounts", "merged_counts",
    "sparse_counts",
]  # fmt: skip


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


@dataclass(frozen=True, kw_only=True)
class Bins:
    """Bins of an axis, as a config gives them.

    Parameters
    ----------
    low, high, bins
        Limits of even bins, and their number.
    edges
        Edges of bins that are not even, instead.
    unit
        Of the values.
    """

    low: float = 0.0
    high: float = 0.0
    bins: int = 0
    edges: list[float] = field(default_factory=list)
    unit: str = "1"

    def __post_init__(self) -> None:
        is_even = not self.edges and self.bins >= 1 and self.low < self.high
        if not is_even and not (len(self.edges) >= 2 and all(np.diff(self.edges) > 0)):
            raise ConfigError(
                "an axis of histograms needs bins=NUMBER with low below high, or two or more edges that increase"
            )

    def axis(self, name: str) -> Axis:
        """The axis with these bins."""
        # whole multiples of the width, so that edges are the same numbers wherever an axis begins
        width = (self.high - self.low) / max(self.bins, 1)
        steps = np.arange(self.bins + 1.0)
        edges = np.array(self.edges) if self.edges else (round(self.low / width, 9) + steps) * width
        return Axis(name=name, unit=self.unit, edges=edges)


@dataclass(frozen=True, kw_only=True)
class ContextBins(Bins):
    """Bins of what scores are seen against.

    Parameters
    ----------
    column
        Column of the epochs that is binned.
    """

    column: str


def _scores() -> dict[str, Bins]:
    return {
        "snr": Bins(low=-20.0, high=20.0, bins=160),
        "dmag": Bins(low=-3.0, high=3.0, bins=120, unit="mag"),
        "offset": Bins(low=0.0, high=20.0, bins=80, unit="sigma"),
    }


def _context() -> dict[str, ContextBins]:
    exposures = [0.0, 5, 15, 25, 35, 65, 125, 250, 500, 1000, 2000, 4000]
    return {
        "magnitude": ContextBins(column="mag", low=8.0, high=23.0, bins=30, unit="mag"),
        "exposure_time": ContextBins(column="exptime", edges=exposures, unit="s"),
    }


_MOST_CELLS = 20_000_000
"""Cells of one score and band: 320 MB while they are counted."""


@dataclass(frozen=True, kw_only=True)
class Histograms:
    """Axes of the histograms of a version: epochs are counted by score, context and band.

    Parameters
    ----------
    scores
        Axis of each score. That of a composite's further finders, such as ``snr_flare``, has the axis of the score
        without the finder's name, unless it has one of its own.
    context
        Axes that scores are seen against, by the name that they have in the file.

    Examples
    --------
    >>> Histograms().axis_of("snr_flare").size
    163
    """

    scores: dict[str, Bins] = field(default_factory=_scores)
    context: dict[str, ContextBins] = field(default_factory=_context)

    def __post_init__(self) -> None:
        for name in {*self.scores, *self.context}:
            if not name.isidentifier() or name in ("selection", "filter"):
                raise ConfigError(f"histograms have an axis {name!r}; a name has letters, digits and '_'")
        if both := sorted(self.scores.keys() & self.context.keys()):
            raise ConfigError(f"histograms have {both[0]!r} as a score and as context; name it once")
        largest = max((axis.size for axis in self.score_axes.values()), default=0) * self.n_contexts
        if largest > _MOST_CELLS:
            raise ConfigError(f"histograms have {largest:.3g} bins for each score; give at most {_MOST_CELLS:.3g}")

    @cached_property
    def score_axes(self) -> dict[str, Axis]:
        """Axes of the scores that have one of their own."""
        return {name: bins.axis(name) for name, bins in self.scores.items()}

    @cached_property
    def context_axes(self) -> dict[str, Axis]:
        """Axes that scores are seen against."""
        return {name: bins.axis(name) for name, bins in self.context.items()}

    @cached_property
    def n_contexts(self) -> int:
        """Number of bins of all context axes together."""
        return int(np.prod([axis.size for axis in self.context_axes.values()], dtype=np.int64))

    def axis_of(self, score: str) -> Axis | None:
        """The axis of a score; None for one that is not counted."""
        if score in self.score_axes:
            return self.score_axes[score]
        bases = [name for name in self.score_axes if score.startswith(f"{name}_")]
        return self.score_axes[max(bases, key=len)] if bases else None


SELECTIONS = ("all", "good", "quality")
"""All epochs with a score; the good ones; those that quality marked as bad."""


SparseCounts = Mapping[tuple[str, str], tuple[NDArray[np.int64], NDArray[np.int64]]]
"""Cells and their counts, by score and band."""


def sparse_counts(
    histograms: Histograms, band: str, columns: Mapping[str, Array], scores: Sequence[str]
) -> SparseCounts:
    """Count the epochs of one band; scores that are NaN are not counted.

    Parameters
    ----------
    columns
        Columns of the epochs.
    scores
        Names of those columns that are scores. One without an axis is not counted.
    """
    qflag = columns["qflag"]
    context = np.zeros(qflag.size, np.int64)
    for name, axis in histograms.context_axes.items():
        values = columns.get(histograms.context[name].column, np.full(qflag.size, np.nan))
        context = context * axis.size + axis.bins(values.astype(np.float64, copy=False))
    inner = histograms.n_contexts
    counts = {}
    for name in scores:
        axis_of_score = histograms.axis_of(name)
        if axis_of_score is None:
            continue
        score = columns[name].astype(np.float64, copy=False)
        cell = axis_of_score.bins(score) * inner + context + np.where(qflag, axis_of_score.size * inner, 0)
        cells, numbers = np.unique(cell[~np.isnan(score)], return_counts=True)
        counts[name, band] = cells, numbers
    return counts


def merged_counts(parts: Sequence[SparseCounts]) -> SparseCounts:
    """The sum of several counts.

    Examples
    --------
    >>> one = {("snr", "r"): (np.array([2, 5]), np.array([1, 1]))}
    >>> {key: [values.tolist() for values in pair] for key, pair in merged_counts([one, one]).items()}
    {('snr', 'r'): [[2, 5], [2, 2]]}
    """
    if len(parts) == 1:
        return parts[0]
    total = {}
    for key in dict.fromkeys(key for part in parts for key in part):
        pairs = [part[key] for part in parts if key in part]
        cells, place = np.unique(np.concatenate([cells for cells, _ in pairs]), return_inverse=True)
        numbers = np.zeros(cells.size, np.int64)
        np.add.at(numbers, place, np.concatenate([counts for _, counts in pairs]))
        total[key] = cells, numbers
    return total


@dataclass(kw_only=True)
class ScoreHistogram:
    """Counts of epochs: score × context × filter, for each score and selection.

    Examples
    --------
    >>> histogram = ScoreHistogram()
    >>> one = np.array([1.0])
    >>> columns = {"mag": one * 17, "exptime": one * 30, "qflag": np.array([False]), "snr": one}
    >>> histogram.add_sparse(sparse_counts(histogram.histograms, "r", columns, ["snr"]))
    >>> histogram.counts("snr", ["r"]).sum(axis=(1, 2, 3, 4)).tolist()
    [1, 1, 0]
    """

    histograms: Histograms = field(default_factory=Histograms)
    _sums: dict[tuple[str, str], NDArray[np.int64]] = field(default_factory=dict)

    def sparse(self) -> SparseCounts:
        """The cells that are not zero, by score and band: small enough to be sent between processes."""
        return {key: (cells, total[cells]) for key, total in self._sums.items() for cells in (np.flatnonzero(total),)}

    def add_sparse(self, counts: SparseCounts) -> None:
        """Add what was counted with the same axes."""
        for (score, band), (cells, numbers) in counts.items():
            size = 2 * self.histograms.n_contexts * self.axis_of(score).size
            total = self._sums.setdefault((score, band), np.zeros(size, np.int64))
            total[cells] += numbers

    def axis_of(self, score: str) -> Axis:
        """The axis of a score that was counted."""
        axis = self.histograms.axis_of(score)
        assert axis is not None, score
        return axis

    @property
    def scores(self) -> list[str]:
        """Scores with an axis of their own, and those that were counted beside them."""
        own = list(self.histograms.scores)
        return own + sorted({score for score, _ in self._sums} - set(own))

    @property
    def bands(self) -> list[str]:
        """Filters that were counted, in order."""
        return sorted({band for _, band in self._sums})

    def counts(self, score: str, bands: Sequence[str]) -> NDArray[np.int64]:
        """Counts of a score, of shape (selection, score, each context axis, filter)."""
        shape = (self.axis_of(score).size, *(axis.size for axis in self.histograms.context_axes.values()))
        stacked = np.zeros((len(SELECTIONS), *shape, len(bands)), np.int64)
        for k, band in enumerate(bands):
            if (score, band) in self._sums:
                good, bad = self._sums[score, band].reshape(2, *shape)
                stacked[0, ..., k], stacked[1, ..., k], stacked[2, ..., k] = good + bad, good, bad
        return stacked

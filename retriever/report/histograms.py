"""Histograms of a version: counts of epochs by score, context and filter."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from retriever.arrays import Floats
from retriever.histogram import SELECTIONS, Histograms, ScoreHistogram, SparseCounts
from retriever.outcome import Outcome
from retriever.ragged import select_items
from retriever.schema import Tables
from retriever.scores import count_epochs, with_scores
from retriever.store.files import temporary_path

if TYPE_CHECKING:
    from retriever.pipeline.plan import StageState, States

__all__ = ["FreshCounts", "good_epochs_by_score", "write_histograms"]

ReadSegment = Callable[[int, list[str]], Tables]
SegmentRows = Mapping[int, tuple[str, str, int, str]]


@dataclass(kw_only=True)
class FreshCounts:
    """Counts of epochs that came with segments just made, so that these need not be read again.

    Attributes
    ----------
    total
        Sum over those segments.
    sources
        Path of the segment to the number of sources that were counted in it.
    """

    total: ScoreHistogram
    sources: dict[str, int] = field(default_factory=dict)

    def add(self, path: str, sources: int, counts: SparseCounts) -> None:
        """Add the counts of one segment of scores."""
        self.total.add_sparse(counts)
        self.sources[path] = sources

    def segment_ids(self, segments: SegmentRows) -> set[int]:
        """Ids of the segments that were counted."""
        return {number for number, segment in segments.items() if segment[1] in self.sources}

    def add_to(
        self,
        histogram: ScoreHistogram,
        states: "States",
        segments: SegmentRows,
    ) -> bool:
        """Add the sum to a histogram if all that was counted counts; else say that it does not."""
        valid: dict[str, int] = {}
        for scored in _scored(states):
            numbers, sources = np.unique(scored.segment[scored.outcome == Outcome.DONE], return_counts=True)
            valid |= {segments[k][1]: int(n) for k, n in zip(numbers.tolist(), sources.tolist(), strict=True)}
        if any(valid.get(path) != sources for path, sources in self.sources.items()):
            return False
        histogram.add_sparse(self.total.sparse())
        return True


def _scored(states: "States") -> Iterator["StageState"]:
    """States of the search in each survey."""
    for of_stages in states.values():
        if "analyze" in of_stages:
            yield of_stages["analyze"]


def write_histograms(
    path: Path,
    states: "States",
    lightcurve_stages: Mapping[str, str],
    segments: SegmentRows,
    read_segment: ReadSegment,
    fresh: FreshCounts,
    axes: Histograms,
) -> None:
    """Write a version's histograms; epochs that came with segments just made are not counted again.

    Parameters
    ----------
    lightcurve_stages
        Observatory to the stage whose light curves were searched.
    """
    histogram = ScoreHistogram(histograms=axes)
    if fresh.add_to(histogram, states, segments):
        counted = fresh.segment_ids(segments)
    else:
        histogram, counted = ScoreHistogram(histograms=axes), set()
    for name, of_stages in states.items():
        if "analyze" in of_stages:
            pairs = of_stages[lightcurve_stages[name]], of_stages["analyze"]
            _add_survey(histogram, *pairs, counted, read_segment)
    temporary = temporary_path(path.parents[1])
    try:
        _write_netcdf(temporary, histogram)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _write_netcdf(path: Path, histogram: ScoreHistogram) -> None:
    """Write what `xarray.open_dataset` opens, without importing xarray and pandas at the end of each run (1 s)."""
    import h5netcdf

    bands = histogram.bands or [""]
    score_axes, context_axes = histogram.histograms.score_axes, histogram.histograms.context_axes
    axes = (*score_axes.values(), *context_axes.values())
    with h5netcdf.File(path, "w") as file:
        file.attrs["title"] = "Counts of epochs by score, " + ", ".join(context_axes) + " and filter"
        file.dimensions = {
            "selection": len(SELECTIONS),
            **{f"{axis.name}_bin": axis.size for axis in axes},
            "filter": len(bands),
        }
        for name, words in (("selection", SELECTIONS), ("filter", bands)):
            file.create_variable(
                name, (name,), data=np.array(words, dtype=object), dtype=h5netcdf.core.h5py.string_dtype()
            )
        for axis in axes:
            for word, limits in zip(("low", "high"), axis.limits(), strict=True):
                edge = file.create_variable(f"{axis.name}_{word}", (f"{axis.name}_bin",), data=limits)
                edge.attrs.update({"units": axis.unit, "long_name": f"{word} edge of the bin; NaN: unknown"})
        for score in histogram.scores:
            of_axes = (histogram.axis_of(score).name, *context_axes)
            dims = ("selection", *(f"{name}_bin" for name in of_axes), "filter")
            counts = histogram.counts(score, bands)
            variable = file.create_variable(score, dims, data=counts, compression="gzip", compression_opts=1)
            edges = [f"{name}_{word}" for name in of_axes for word in ("low", "high")]
            variable.attrs.update({"units": "1", "long_name": "epochs", "coordinates": " ".join(edges)})


def _add_survey(
    histogram: ScoreHistogram, reduced: "StageState", scored: "StageState", counted: set[int], read_segment: ReadSegment
) -> None:
    """Count the epochs of one observatory, a pair of segments (light curves, scores) at a time."""
    both = np.flatnonzero((reduced.segment >= 0) & (scored.segment >= 0) & (scored.outcome == Outcome.DONE))
    both = both[~np.isin(scored.segment[both], list(counted))]
    order = both[np.lexsort((scored.row[both], scored.segment[both], reduced.segment[both]))]
    pairs = np.column_stack([reduced.segment[order], scored.segment[order]])
    edges = np.flatnonzero((pairs[1:] != pairs[:-1]).any(axis=1)) + 1
    for group in np.split(order, edges):
        if group.size:
            lightcurves = read_segment(int(reduced.segment[group[0]]), ["lightcurves", "epochs*"])
            scores = read_segment(int(scored.segment[group[0]]), ["scored", "scores*"])
            chosen = select_items(lightcurves, reduced.row[group]), select_items(scores, scored.row[group])
            histogram.add_sparse(count_epochs(*with_scores(*chosen), histogram.histograms))


def good_epochs_by_score(folder: Path) -> dict[str, tuple[NDArray[np.int64], Floats]]:
    """Counts of good epochs of a version by each score, and the lower edges of their bins; none without histograms."""
    import h5netcdf

    distributions = {}
    try:
        with h5netcdf.File(folder / "histograms.nc", "r") as file:
            for score, variable in file.variables.items():
                if variable.dimensions[0] != "selection" or variable.ndim < 2:
                    continue
                numbers = np.asarray(variable[1])
                axis = variable.dimensions[1].removesuffix("_bin")
                counts = numbers.sum(axis=tuple(range(1, numbers.ndim)))
                distributions[score] = counts, np.asarray(file[f"{axis}_low"][...])
    except (OSError, KeyError):
        return {}
    return distributions

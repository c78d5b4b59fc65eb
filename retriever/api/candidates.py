"""Detections worth a look: each with its light curve and its plot."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from retriever.api.lightcurve import VersionLightcurve
from retriever.api.source import SourceInVersion
from retriever.errors import ConfigError, StoreError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = ["Candidate", "Candidates", "threshold_of_purity"]


class Candidate(Mapping[str, Any]):
    """A detection: a mapping of the columns of its row.

    Parameters
    ----------
    row
        Its row in the table of detections.
    find_source
        Gives a source of the version by name.
    """

    def __init__(self, row: Mapping[str, Any], find_source: Callable[[str], SourceInVersion]) -> None:
        self._row, self._find_source = dict(row), find_source

    def __getitem__(self, column: str) -> Any:
        return self._row[column]

    def __iter__(self) -> Iterator[str]:
        return iter(self._row)

    def __len__(self) -> int:
        return len(self._row)

    @property
    def address(self) -> str:
        """Its address in the version, as ``retriever show`` takes it: SOURCE/OBSERVATORY/LIGHTCURVE/PEAK."""
        return f"{self['source']}/{self['observatory']}/{self['lightcurve']}/{self['peak']}"

    @property
    def source(self) -> SourceInVersion:
        """The source."""
        return self._find_source(self["source"])

    @property
    def lightcurve(self) -> VersionLightcurve:
        """The light curve that it was found in, with the flags and scores of the search.

        Raises
        ------
        StoreError
            When its file is missing.
        """
        for lightcurve in self.source.lightcurves("processed", observatory=self["observatory"]):
            if lightcurve.number == self["lightcurve"]:
                return lightcurve
        raise StoreError(f"the light curve of {self.address} is not there; run the version again")

    def plot(self, ax: "Axes | None" = None, *, values: str = "auto", reach: float = 5.0) -> "Axes":
        """Draw its light curve around it; see `retriever.plots.plot_event`."""
        from retriever.plots import plot_event

        ax = plot_event(self.lightcurve, self._row, ax, values=values, reach=reach)
        ax.set_title(f"{self['source']}, S/N {self['snr']:.1f}", fontsize="medium")
        return ax

    def __repr__(self) -> str:
        return f"<Candidate {self.address}: S/N {self['snr']:.1f} at MJD {self['time_peak']:.5f}>"


class Candidates(Sequence[Candidate]):
    """Detections of a version, the strongest first.

    Parameters
    ----------
    frame
        Their rows.
    find_source
        Gives a source of the version by name.
    """

    def __init__(self, frame: "pd.DataFrame", find_source: Callable[[str], SourceInVersion]) -> None:
        order = frame["snr"].abs().sort_values(ascending=False, kind="stable", na_position="last").index
        self._frame, self._find_source = frame.loc[order].reset_index(drop=True), find_source

    def to_pandas(self) -> "pd.DataFrame":
        """The rows as a DataFrame."""
        return self._frame.copy()

    @overload
    def __getitem__(self, place: int) -> Candidate: ...
    @overload
    def __getitem__(self, place: slice) -> "Candidates": ...
    def __getitem__(self, place: int | slice) -> "Candidate | Candidates":
        if isinstance(place, slice):
            return Candidates(self._frame.iloc[place], self._find_source)
        return Candidate(self._frame.iloc[place].to_dict(), self._find_source)

    def __len__(self) -> int:
        return len(self._frame)

    def __repr__(self) -> str:
        return f"<{len(self)} candidates{': ' * bool(len(self))}{', '.join(repr(each) for each in self[:3])}>"

    def _repr_html_(self) -> str:
        return self._frame._repr_html_()  # type: ignore[no-any-return]


def threshold_of_purity(rows: Sequence[Mapping[str, float]], purity: float) -> float:
    """The least S/N from which on detections are so pure, by each kind of scrambling that was done.

    Parameters
    ----------
    rows
        As `retriever.report.completeness.thresholds_of` gives them.
    purity
        From 0 to 1.

    Raises
    ------
    ConfigError
        When nothing was scrambled, or no threshold is so pure.

    Examples
    --------
    >>> nan = float("nan")
    >>> rows = [{"threshold": 5.0, "detections": 9, "purity_flipped": 0.5, "purity_shuffled": nan},
    ...         {"threshold": 6.0, "detections": 4, "purity_flipped": 1.0, "purity_shuffled": nan}]
    >>> threshold_of_purity(rows, 0.9)
    6.0
    """
    if not 0.0 <= purity <= 1.0:
        raise ConfigError(f"purity is {purity:g}; give a share from 0 to 1")
    least = [np.nanmin([row["purity_flipped"], row["purity_shuffled"], np.inf]) for row in rows]
    known = [(row["threshold"], share) for row, share in zip(rows, least, strict=True) if np.isfinite(share)]
    if not known:
        raise ConfigError("purity is not known, for nothing was scrambled; run with scrambler=standard, or give snr")
    best: float | None = None
    for threshold, share in reversed(known):
        if share < purity:
            break
        best = threshold
    if best is None:
        raise ConfigError(f"no threshold has a purity of {purity:g}; see version.thresholds")
    return best

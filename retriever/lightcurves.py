"""Light curves of many sources in columns: what batch methods of components take and give.

A `LightcurveBatch` holds light curves that have the same columns, their epochs one after the other; one light curve of
it is a view (`LightcurveBatch.lightcurve`). A `LightcurveSet` holds all light curves of a batch of sources, in the
order of sources and numbers, in as many batches as there are kinds of columns.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retriever.arrays import Array, Floats, Rows
from retriever.lightcurve import EPOCH_COLUMNS, Lightcurve, TimeSystem
from retriever.ragged import layout_name, pack_ragged, ranges, rows_of
from retriever.schema import Column, Columns, Table, Tables
from retriever.statistics import ragged_cadence, ragged_moments

__all__ = ["LIGHTCURVES", "LightcurveBatch", "LightcurveSet", "lightcurve_tables", "objects_of", "tables_of_objects"]


_TEXTS = ("band", "series", "flux_unit", "time_scale", "time_reference", "time_point")

LIGHTCURVES = Table(
    name="lightcurves",
    columns=(
        Column(name="band", kind=str, description="name of the filter"),
        Column(name="series", kind=str, description="what distinguishes light curves of one band"),
        Column(name="number", kind=int, description="from 1, by start, within source and survey"),
        Column(name="of", kind=int, description="number of light curves of the source"),
        Column(name="n_epochs", kind=int, description="number of epochs"),
        Column(name="n_good", kind=int, description="epochs without a bad quality flag of the survey"),
        Column(name="time_first", kind=float, unit="d", description="time of the first epoch, MJD"),
        Column(name="time_last", kind=float, unit="d", description="time of the last epoch, MJD"),
        Column(name="time_scale", kind=str, description="time scale"),
        Column(name="time_reference", kind=str, description="observer, heliocenter or barycenter"),
        Column(name="time_point", kind=str, description="start, middle or end of the exposure"),
        Column(name="cadence", kind=float, unit="d", description="median time between neighbouring epochs"),
        Column(name="exptime_median", kind=float, unit="s", description="exposure time of the middle epoch"),
        Column(name="zero_point", kind=float, unit="mag", description="magnitude of one unit of flux"),
        Column(name="flux_unit", kind=str, description="unit of the flux"),
        Column(name="flux_median", kind=float, description="median flux of usable epochs, in flux_unit"),
        Column(name="flux_scatter", kind=float, description="robust scatter of the flux, in flux_unit"),
        Column(name="mag_median", kind=float, unit="mag", description="median magnitude of usable epochs"),
        Column(name="mag_scatter", kind=float, unit="mag", description="robust scatter of the magnitude"),
    ),
    order=("number",),
)
"""What is said of each light curve, beside where its epochs lie."""

WORDS = ("band", "series", "number", "of", "zero_point", "flux_unit", "time_scale", "time_reference", "time_point")
"""Columns of the index that a light curve cannot do without; the others are derived from its epochs."""


@dataclass(frozen=True, kw_only=True, eq=False)
class LightcurveBatch:
    """Light curves with the same columns, one after the other.

    Attributes
    ----------
    source
        Row of each light curve's source in the batch of sources.
    words
        One value a light curve: band, series, number, of, zero_point, flux_unit, time_scale, time_reference,
        time_point.
    offsets
        Where each begins among the epochs, and at the end their number.
    columns
        Columns of the epochs; see `retriever.lightcurve.Lightcurve`.

    Examples
    --------
    >>> lc = Lightcurve.from_columns(band="r", time=[1.0, 2.0], flux=[5.0, 6.0], flux_err=[1.0, 1.0],
    ...                              mag=[22.1, 21.9], mag_err=[0.2, 0.2])
    >>> (batch,) = LightcurveSet.of([(lc,), (lc,)]).batches
    >>> len(batch), batch.lengths.tolist(), batch.lightcurve(1).flux.tolist()
    (2, [2, 2], [5.0, 6.0])
    """

    source: Rows
    words: Columns
    offsets: Rows
    columns: Columns

    def __len__(self) -> int:
        return int(self.source.size)

    @cached_property
    def lengths(self) -> Rows:
        """Number of epochs of each light curve."""
        return np.diff(self.offsets)

    @cached_property
    def member(self) -> Rows:
        """Light curve that each epoch belongs to."""
        return np.repeat(np.arange(len(self)), self.lengths)

    @cached_property
    def extra(self) -> Columns:
        """Columns beside those that every light curve has."""
        return {name: column for name, column in self.columns.items() if name not in EPOCH_COLUMNS}

    @cached_property
    def usable(self) -> NDArray[np.bool_]:
        """Epochs that are good and have a finite flux."""
        return np.isfinite(self.columns["flux"]) & ~self.columns["qflag"]

    @cached_property
    def n_usable(self) -> Rows:
        """Usable epochs of each light curve."""
        return self.count(self.usable)

    @cached_property
    def flux_moments(self) -> tuple[Floats, Floats]:
        """Median and robust scatter of the flux of usable epochs, for each light curve."""
        return ragged_moments(self.columns["flux"], self.offsets, self.usable)

    @cached_property
    def mag_moments(self) -> tuple[Floats, Floats]:
        """Median and robust scatter of the magnitude of usable epochs that have one, for each light curve."""
        mag = self.columns["mag"]
        return ragged_moments(mag, self.offsets, self.usable & np.isfinite(mag))

    @cached_property
    def usable_bounds(self) -> tuple[Rows, Rows]:
        """First and last usable epoch of each light curve; −1 where it has none."""
        place = np.flatnonzero(self.usable)
        first, last = np.full(len(self), -1), np.full(len(self), -1)
        some = self.n_usable > 0
        ends = np.cumsum(self.n_usable)[some]
        first[some], last[some] = place[ends - self.n_usable[some]], place[ends - 1]
        return first, last

    def spread(self, values: Array) -> Array:
        """One value a light curve as one value an epoch."""
        return np.repeat(values, self.lengths)

    def count(self, mask: NDArray[np.bool_]) -> Rows:
        """Epochs of each light curve for which a mask is true."""
        sums = np.concatenate([[0], np.cumsum(mask, dtype=np.int64)])
        return np.asarray(sums[self.offsets[1:]] - sums[self.offsets[:-1]])

    def replace(self, **columns: Array) -> "LightcurveBatch":
        """A copy in which some columns differ or are new; what is derived of the others is kept."""
        new = LightcurveBatch(
            source=self.source, words=self.words, offsets=self.offsets, columns={**self.columns, **columns}
        )
        derived: tuple[str, ...] = ("lengths", "member")
        if columns.keys().isdisjoint(("flux", "mag", "qflag")):
            derived = (*derived, "usable", "n_usable", "flux_moments", "mag_moments")
        vars(new).update({name: value for name, value in vars(self).items() if name in derived})
        return new

    def only(self, columns: Sequence[str]) -> "LightcurveBatch":
        """A copy that has just some of the columns."""
        kept = {name: column for name, column in self.columns.items() if name in columns}
        return LightcurveBatch(source=self.source, words=self.words, offsets=self.offsets, columns=kept)

    def take(self, members: Rows) -> "LightcurveBatch":
        """Some of the light curves, in this order."""
        lengths = self.lengths[members]
        epochs = ranges(self.offsets[members], lengths)
        return LightcurveBatch(
            source=self.source[members],
            words={name: values[members] for name, values in self.words.items()},
            offsets=np.concatenate([[0], np.cumsum(lengths)]),
            columns={name: column[epochs] for name, column in self.columns.items()},
        )

    def lightcurve(self, k: int) -> Lightcurve:
        """One light curve, as a view."""
        first, last = int(self.offsets[k]), int(self.offsets[k + 1])
        words = {name: values[k] for name, values in self._lists.items()}
        system = TimeSystem(
            scale=words.pop("time_scale"), reference=words.pop("time_reference"), point=words.pop("time_point")
        )
        cut = {name: column[first:last] for name, column in self.columns.items()}
        own = {name: cut.pop(name) for name in EPOCH_COLUMNS if name in cut}
        return Lightcurve.trusted(**own, extra=cut, time_system=system, **words)

    @cached_property
    def _lists(self) -> dict[str, list[Any]]:
        return {name: self.words[name].tolist() for name in WORDS}


@dataclass(frozen=True, kw_only=True, eq=False)
class LightcurveSet:
    """All light curves of a batch of sources.

    Attributes
    ----------
    source
        Row of each light curve's source, in order.
    batches
        The light curves by kind of columns.
    members
        For each batch, which of the light curves it holds.
    """

    source: Rows
    batches: tuple[LightcurveBatch, ...]
    members: tuple[Rows, ...]

    def __len__(self) -> int:
        return int(self.source.size)

    @classmethod
    def of(cls, of_sources: Sequence[Sequence[Lightcurve]]) -> "LightcurveSet":
        """Columns of light curves given as objects, for sources in their order."""
        return cls.read(tables_of_objects(of_sources))

    @classmethod
    def read(cls, tables: Tables, index: str = "lightcurves", epochs: str = "epochs") -> "LightcurveSet":
        """Light curves as they lie in the tables of a segment."""
        summary = tables[index]
        alike = _alike(tables, summary, epochs)
        members = tuple(np.flatnonzero(np.isin(summary["layout"], layouts)) for layouts in alike)
        batches = []
        for layouts, rows in zip(alike, members, strict=True):
            table, first = _joined(tables, epochs, layouts, summary, rows)
            lengths = summary["n_rows"][rows]
            offsets = np.concatenate([[0], np.cumsum(lengths)])
            in_order = np.array_equal(first, offsets[:-1])
            if not in_order or any(column.size != offsets[-1] for column in table.values()):
                epoch_rows = ranges(first, lengths)
                table = {name: column[epoch_rows] for name, column in table.items()}
            batches.append(
                LightcurveBatch(
                    source=summary["source"][rows],
                    words={name: summary[name][rows] for name in WORDS},
                    offsets=offsets,
                    columns=dict(table),
                )
            )
        return cls(source=summary["source"], batches=tuple(batches), members=members)

    def take(self, chosen: NDArray[np.bool_]) -> "LightcurveSet":
        """Those light curves for which a mask is true."""
        renumbered = np.cumsum(chosen) - 1
        parts = [
            (renumbered[rows[chosen[rows]]], batch.take(np.flatnonzero(chosen[rows])))
            for rows, batch in zip(self.members, self.batches, strict=True)
            if chosen[rows].any()
        ]
        return LightcurveSet(
            source=self.source[chosen],
            batches=tuple(batch for _, batch in parts),
            members=tuple(rows for rows, _ in parts),
        )

    def with_batches(self, batches: Sequence[LightcurveBatch]) -> "LightcurveSet":
        """The same light curves with other columns."""
        return LightcurveSet(source=self.source, batches=tuple(batches), members=self.members)

    def gather(self, of_batches: Sequence[Array]) -> Array:
        """Values given for the light curves of each batch, in the order of all light curves."""
        if len(of_batches) == 1:
            return of_batches[0]
        kind = np.result_type(*of_batches) if of_batches else np.float64
        values = np.empty(len(self), kind)
        for rows, part in zip(self.members, of_batches, strict=True):
            values[rows] = part
        return values

    def objects(self, n_sources: int) -> list[tuple[Lightcurve, ...]]:
        """The light curves of each source, as views."""
        views: list[Lightcurve | None] = [None] * len(self)
        for rows, batch in zip(self.members, self.batches, strict=True):
            for k, row in enumerate(rows.tolist()):
                views[row] = batch.lightcurve(k)
        first, count = rows_of(self.source, np.arange(n_sources))
        return [
            tuple(view for view in views[a : a + n] if view is not None)
            for a, n in zip(first.tolist(), count.tolist(), strict=True)
        ]


def _alike(tables: Tables, index: Columns, epochs: str) -> list[list[int]]:
    """Layouts with the same columns, which tables of several segments have."""
    alike: dict[object, list[int]] = {}
    for layout in np.unique(index["layout"]).tolist():
        kind = tuple((name, column.dtype) for name, column in tables[layout_name(epochs, layout)].items())
        alike.setdefault(kind, []).append(layout)
    return list(alike.values())


def _joined(tables: Tables, epochs: str, layouts: list[int], index: Columns, rows: Rows) -> tuple[Columns, Rows]:
    """Epochs of some layouts in one table, and where in it each light curve begins."""
    parts = [tables[layout_name(epochs, layout)] for layout in layouts]
    if len(parts) == 1:
        return parts[0], index["first"][rows]
    sizes = np.array([next(iter(part.values())).size for part in parts])
    base = np.cumsum(sizes) - sizes
    first = index["first"][rows] + base[np.searchsorted(layouts, index["layout"][rows])]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}, first


def lightcurve_tables(lightcurves: LightcurveSet, index: str = "lightcurves", epochs: str = "epochs") -> Tables:
    """Tables of light curves as segments have them: an index with robust moments, and the epochs."""
    n = len(lightcurves)
    summary: Columns = {
        "layout": np.zeros(n, np.int32),
        "first": np.zeros(n, np.int64),
        "n_rows": lightcurves.gather([batch.lengths for batch in lightcurves.batches]) if n else np.zeros(0, np.int64),
        "source": lightcurves.source,
    }
    tables: Tables = {index: summary}
    for layout, (rows, batch) in enumerate(zip(lightcurves.members, lightcurves.batches, strict=True)):
        summary["layout"][rows] = layout
        summary["first"][rows] = batch.offsets[:-1]
        tables[layout_name(epochs, layout)] = batch.columns
    if not n:
        return {index: summary | _no_lightcurves()}
    summaries = [_summary(batch) for batch in lightcurves.batches]
    summary |= {name: lightcurves.gather([part[name] for part in summaries]) for name in summaries[0]}
    return tables


def _summary(batch: LightcurveBatch) -> Columns:
    time, exptime = batch.columns["time"], batch.columns["exptime"]
    first, last = batch.offsets[:-1], batch.offsets[1:] - 1
    return {
        **batch.words,
        "n_epochs": batch.lengths,
        "n_good": batch.lengths - batch.count(batch.columns["qflag"]),
        "time_first": time[first],
        "time_last": time[last],
        "cadence": ragged_cadence(time, batch.offsets),
        "exptime_median": exptime[first + batch.lengths // 2],
        "flux_median": batch.flux_moments[0],
        "flux_scatter": batch.flux_moments[1],
        "mag_median": batch.mag_moments[0],
        "mag_scatter": batch.mag_moments[1],
    }


def _no_lightcurves() -> Columns:
    kinds: Mapping[type, Any] = {int: np.int64, float: np.float64, str: np.str_}
    of_name = {spec.name: np.array([], kinds[spec.kind]) for spec in LIGHTCURVES.columns}
    return {name: of_name[name] for name in dict.fromkeys((*WORDS, *of_name))}


def tables_of_objects(
    of_sources: Sequence[Sequence[Lightcurve]], index: str = "lightcurves", epochs: str = "epochs"
) -> Tables:
    """Tables of light curves given as objects, for sources in their order."""
    flat = [(row, lc) for row, lightcurves in enumerate(of_sources) for lc in lightcurves]
    tables, summary = pack_ragged(epochs, [lc.columns() for _, lc in flat])
    summary["source"] = np.array([row for row, _ in flat], np.int64)
    systems = [(lc.time_system.scale, lc.time_system.reference, lc.time_system.point) for _, lc in flat]
    for k, name in enumerate(("time_scale", "time_reference", "time_point")):
        summary[name] = np.array([system[k] for system in systems], np.str_)
    for name in WORDS[:6]:
        summary[name] = np.array([getattr(lc, name) for _, lc in flat], np.str_ if name in _TEXTS else None)
    for name in ("number", "of"):
        summary[name] = summary[name].astype(np.int64)
    summary["zero_point"] = summary["zero_point"].astype(np.float64)
    return lightcurve_tables(LightcurveSet.read({index: summary, **tables}, index, epochs), index, epochs)


def objects_of(tables: Tables, n_sources: int, epochs: str = "epochs") -> list[tuple[Lightcurve, ...]]:
    """Light curves of a segment's sources as objects, views of its columns."""
    return LightcurveSet.read(tables, epochs=epochs).objects(n_sources)

"""The tables of a version folder: Parquet and netCDF that anybody can open."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retriever.errors import StoreError
from retriever.histogram import CONTEXT_AXES, SCORE_AXES, SELECTIONS, ScoreHistogram, SparseCounts
from retriever.identity import canonical_hash
from retriever.lightcurve import Lightcurve
from retriever.outcome import STAGES, Outcome
from retriever.report.arrow import arrow_array, arrow_table
from retriever.source import SourceTable
from retriever.store.files import temporary_path
from retriever.store.layout import count_epochs

__all__ = ["TABLES", "Counted", "FreshCounts", "all_aliases", "write_lightcurves", "write_tables"]

TABLES = (
    "products.parquet",
    "sources.parquet",
    "lightcurves.parquet",
    "detections.parquet",
    "injections.parquet",
    "properties.parquet",
    "histograms.nc",
)
"""The files of a version folder that runs make anew; the first says which state they are of."""

ROWS_A_GROUP = 1 << 16
"""Rows that must be read to get at one."""

UNITS = {
    "ra": "deg", "dec": "deg", "pmra": "mas/yr", "pmdec": "mas/yr", "parallax": "mas", "epoch": "yr",
    "time_first": "d", "time_peak": "d", "time_last": "d", "width": "d", "cadence": "d", "exptime_median": "s",
    "mag": "mag", "mag_err": "mag", "dmag": "mag", "mag_median": "mag", "mag_scatter": "mag",
}  # fmt: skip
"""Units of the columns; times are MJD."""


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

    total: ScoreHistogram = field(default_factory=ScoreHistogram)
    sources: dict[str, int] = field(default_factory=dict)

    def add(self, path: str, sources: int, counts: SparseCounts) -> None:
        """Add the counts of one segment of scores."""
        self.total.add_sparse(counts)
        self.sources[path] = sources

    def segment_ids(self, segments: Mapping[int, tuple[str, str, int, str]]) -> set[int]:
        """Ids of the segments that were counted."""
        return {number for number, one in segments.items() if one[1] in self.sources}

    def add_to(
        self,
        histogram: ScoreHistogram,
        states: Mapping[str, Any],
        segments: Mapping[int, tuple[str, str, int, str]],
    ) -> bool:
        """Add the sum to a histogram if all that was counted counts; else say that it does not."""
        valid: dict[str, int] = {}
        for state in states.values():
            scored = state.stages["analyze"]
            numbers, sources = np.unique(scored.segment[scored.outcome == Outcome.DONE], return_counts=True)
            valid |= {segments[k][1]: int(n) for k, n in zip(numbers.tolist(), sources.tolist(), strict=True)}
        if any(valid.get(path) != sources for path, sources in self.sources.items()):
            return False
        histogram.add_sparse(self.total.sparse())
        return True


@dataclass(frozen=True, kw_only=True)
class Counted:
    """What a version's tables are made of.

    Attributes
    ----------
    sources
        The catalog.
    states
        Observatory to its `retriever.pipeline.plan.SurveyState`.
    segments
        Segment id to root, path, size, digest.
    read_segment
        Reads tables of a segment by id.
    rows
        Reads indexed rows of segments: (table, segment ids) to chunks of columns.
    columns
        Columns of an indexed table with their types.
    fresh
        Counts of epochs that this run's workers made.
    aliases
        Other names that archives told, by the source's row in the catalog.
    """

    sources: SourceTable
    states: Mapping[str, Any]
    segments: Mapping[int, tuple[str, str, int, str]]
    read_segment: Callable[[int, list[str]], dict[str, dict[str, Any]]]
    rows: Callable[[str, list[int]], Iterator[dict[str, Any]]]
    columns: Callable[[str], dict[str, type]]
    fresh: FreshCounts
    aliases: Mapping[int, tuple[str, ...]] = field(default_factory=dict)


def write_tables(folder: Path, counted: Counted) -> bool:
    """Write a version's tables, unless they are those of this state already; says whether it did.

    Each is written beside its place and renamed into it, `products.parquet` last: it carries the state they are of.
    """
    state = _state_digest(counted)
    if _state_written(folder) == state:
        return False
    try:
        (folder / "products.parquet").unlink(missing_ok=True)
        _write_parquet(folder / "sources.parquet", iter([_source_columns(counted.sources, counted.aliases)]))
        for table, stage in (
            ("lightcurves", "reduce"),
            ("detections", "analyze"),
            ("injections", "simulate"),
            ("properties", "analyze"),
        ):
            _write_parquet(folder / f"{table}.parquet", _indexed(counted, table, stage))
        _write_histograms(folder / "histograms.nc", counted)
        _write_parquet(folder / "products.parquet", _products(counted), {"retriever.state": state})
    except OSError as error:
        raise StoreError(
            f"cannot write the tables in {folder}: {error.strerror or error}; free some space and run again"
        ) from error
    return True


def write_lightcurves(path: Path, of_observatories: Mapping[str, tuple[Lightcurve, ...]]) -> int:
    """Write light curves into one Parquet file, a row an epoch; gives the number of rows.

    Raises
    ------
    StoreError
        When the file cannot be written.
    """
    import pyarrow.parquet as pq

    chunks = [
        {
            "observatory": np.full(lc.n_epochs, name),
            "number": np.full(lc.n_epochs, lc.number),
            "band": np.full(lc.n_epochs, lc.band),
            "series": np.full(lc.n_epochs, lc.series),
            **{
                key: getattr(lc, key)
                for key in ("time", "exptime", "flux", "flux_err", "mag", "mag_err", "flag", "qflag")
            },
        }
        for name, lightcurves in of_observatories.items()
        for lc in lightcurves
    ]
    columns = {key: np.concatenate([chunk[key] for chunk in chunks]) for key in chunks[0]} if chunks else {}
    try:
        pq.write_table(arrow_table(columns), path)
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror or error}; choose another file") from error
    return sum(lc.n_epochs for lightcurves in of_observatories.values() for lc in lightcurves)


def _state_digest(counted: Counted) -> str:
    story = {
        name: {
            stage: [
                one.outcome.tobytes(), one.row.tobytes(), one.input.tobytes(),
                *_places_of(one.segment, counted.segments),
            ]
            for stage, one in state.stages.items()
        }
        for name, state in counted.states.items()
    }  # fmt: skip
    return canonical_hash([counted.sources.digest, story])


def _places_of(segment: NDArray[np.int64], segments: Mapping[int, tuple[str, str, int, str]]) -> tuple[Any, bytes]:
    """Paths of segments in their order, and which is whose: the same whatever ids a database gave them."""
    ids, which = np.unique(segment, return_inverse=True)
    paths = [segments[k][1] if k >= 0 else "" for k in ids.tolist()]
    rank = np.argsort(np.argsort(np.array(paths, np.str_)))
    return sorted(paths), rank[which].tobytes()


def _state_written(folder: Path) -> str:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not all((folder / name).exists() for name in TABLES):
        return ""
    try:
        footers = [pq.read_metadata(folder / name) for name in TABLES if name.endswith(".parquet")]
        metadata = footers[0].metadata or {}
    except (OSError, pa.ArrowInvalid):
        return ""
    return str(metadata.get(b"retriever.state", b"").decode())


def _write_parquet(path: Path, chunks: Iterator[dict[str, Any]], metadata: Mapping[str, str] | None = None) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    temporary = temporary_path(path.parents[1])
    writer = None
    try:
        for columns in chunks:
            units = columns.pop("_units", UNITS)
            arrays = {name: arrow_array(values) for name, values in columns.items()}
            schema = pa.schema(
                [
                    pa.field(name, array.type, metadata={"unit": units[name]} if units.get(name) else None)
                    for name, array in arrays.items()
                ],
                metadata=metadata,
            )
            if writer is None:
                writer = pq.ParquetWriter(temporary, schema)
            writer.write_table(pa.Table.from_arrays(list(arrays.values()), schema=schema), row_group_size=ROWS_A_GROUP)
        if writer is None:
            raise StoreError(f"there is nothing to write into {path}")
        writer.close()
        temporary.replace(path)
    except BaseException:
        if writer is not None:
            writer.close()
        temporary.unlink(missing_ok=True)
        raise


def all_aliases(sources: SourceTable, told: Mapping[int, tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Other names of each source: the catalog's, then those that archives told."""
    known = sources.aliases or ((),) * len(sources)
    return [tuple(dict.fromkeys((*names, *told.get(row, ())))) for row, names in enumerate(known)]


def _source_columns(sources: SourceTable, told: Mapping[int, tuple[str, ...]]) -> dict[str, Any]:
    names = ("name", "ra", "dec", "pmra", "pmdec", "parallax", "epoch", "mag", "mag_err", "band")
    columns = {name: getattr(sources, name) for name in names}
    columns["aliases"] = np.array([" ".join(map(json.dumps, names)) for names in all_aliases(sources, told)])
    columns |= sources.extra
    return {**columns, "digest": sources.digests.astype(np.str_)}


def _products(counted: Counted) -> Iterator[dict[str, Any]]:
    words = np.array([outcome.name.lower() for outcome in Outcome])
    for name, state in counted.states.items():
        for stage in STAGES:
            one = state.stages[stage]
            paths = {k: "/".join(counted.segments[k][:2]) for k in np.unique(one.segment).tolist() if k >= 0}
            yield {
                "source": counted.sources.name,
                "observatory": np.full(len(counted.sources), name),
                "stage": np.full(len(counted.sources), stage),
                "outcome": words[one.outcome],
                "segment": [paths.get(k, "") for k in one.segment.tolist()],
                "source_row": one.row,
                "rows": one.n_rows,
                "digest": np.where(one.segment >= 0, one.digest, b"").astype(np.str_),
                "message": [one.message.get(k, "") for k in range(len(counted.sources))],
            }


def _indexed(counted: Counted, table: str, stage: str) -> Iterator[dict[str, Any]]:
    """Rows of a table that belong to products that count, with the names of source and observatory."""
    first: dict[str, Any] | None = None
    for name, state in counted.states.items():
        one = state.stages[stage]
        places = _Places(one.segment, one.row)
        ids = np.unique(one.segment[one.segment >= 0]).tolist()
        for chunk in counted.rows(table, ids):
            which = places.find(chunk.pop("segment_id"), chunk.pop("source_row"))
            chunk.pop("row")
            kept = which >= 0
            columns = {
                "source": counted.sources.name[which[kept]],
                "observatory": np.full(int(kept.sum()), name),
            }
            if table == "properties":
                columns |= _spread([json.loads(text) for text in chunk["values"][kept]], _property_units(counted, ids))
            else:
                columns |= {key: values[kept] for key, values in chunk.items()}
            columns = _same_columns(columns, first)
            first = first or columns
            yield dict(columns)
    if first is None:
        yield _empty(counted.columns(table) if table != "properties" else {})


def _same_columns(columns: dict[str, Any], first: dict[str, Any] | None) -> dict[str, Any]:
    """Text as text even where no rows are left, and the columns that the first chunk had."""
    typed = {
        name: np.array(values, np.str_) if isinstance(values, np.ndarray) and values.dtype.kind == "O" else values
        for name, values in columns.items()
    }
    if first is None:
        return typed
    n = len(typed["source"])
    return {name: values if name == "_units" else typed.get(name, _blank(values, n)) for name, values in first.items()}


def _blank(like: NDArray[Any], n: int) -> NDArray[Any]:
    return np.full(n, "" if like.dtype.kind == "U" else np.nan, dtype=like.dtype if like.dtype.kind in "Uf" else float)


def _empty(columns: Mapping[str, type]) -> dict[str, Any]:
    kinds = {"source": str, "observatory": str, **columns}
    return {name: np.array([], np.str_ if kind is str else kind) for name, kind in kinds.items()}


def _spread(rows: list[dict[str, Any]], units: Mapping[str, str]) -> dict[str, Any]:
    names: dict[str, None] = {}
    for row in rows:
        names |= dict.fromkeys(row)
    columns: dict[str, Any] = {"_units": units}
    for name in names:
        values = [row.get(name) for row in rows]
        if any(isinstance(value, str) for value in values):
            columns[name] = np.array(["" if value is None else value for value in values], np.str_)
        else:
            columns[name] = np.array(values) if None not in values else np.array(values, float)
    return columns


def _property_units(counted: Counted, ids: list[int]) -> dict[str, str]:
    if not ids:
        return {}
    units = counted.read_segment(ids[0], ["properties.units"])["properties.units"]
    return dict(zip(units["name"].tolist(), units["unit"].tolist(), strict=True))


class _Places:
    """Looks up which source a product's place (segment, row) belongs to."""

    def __init__(self, segment: NDArray[np.int64], row: NDArray[np.int64]) -> None:
        valid = np.flatnonzero(segment >= 0)
        keys = (segment[valid] << 24) + row[valid]
        order = np.argsort(keys)
        self._keys, self._sources = keys[order], valid[order]

    def find(self, segment: NDArray[np.int64], row: NDArray[np.int64]) -> NDArray[np.int64]:
        """Row of the catalog for each place; −1 for a product that does not count."""
        if self._keys.size == 0:
            return np.full(segment.size, -1)
        wanted = (segment << 24) + row
        at = np.minimum(np.searchsorted(self._keys, wanted), self._keys.size - 1)
        return np.where(self._keys[at] == wanted, self._sources[at], -1)


def _write_histograms(path: Path, counted: Counted) -> None:
    histogram = ScoreHistogram()
    if not counted.fresh.add_to(histogram, counted.states, counted.segments):
        histogram = ScoreHistogram()
        counted = replace(counted, fresh=FreshCounts())
    for state in counted.states.values():
        _add_survey(histogram, counted, state)
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
    with h5netcdf.File(path, "w") as file:
        file.attrs["title"] = "Counts of epochs by score, magnitude, exposure time and filter"
        axes = (*SCORE_AXES, *CONTEXT_AXES)
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
        context = [f"{axis.name}_bin" for axis in CONTEXT_AXES]
        for axis in SCORE_AXES:
            dims = ("selection", f"{axis.name}_bin", *context, "filter")
            counts = histogram.counts(axis.name, bands)
            variable = file.create_variable(axis.name, dims, data=counts, compression="gzip", compression_opts=1)
            edges = [
                f"{name}_{word}" for name in (axis.name, *(a.name for a in CONTEXT_AXES)) for word in ("low", "high")
            ]
            variable.attrs.update({"units": "1", "long_name": "epochs", "coordinates": " ".join(edges)})


def _add_survey(histogram: ScoreHistogram, counted: Counted, state: Any) -> None:
    """Count the epochs of one observatory, a pair of segments (light curves, scores) at a time."""
    reduced, scored = state.stages["reduce"], state.stages["analyze"]
    both = np.flatnonzero((reduced.segment >= 0) & (scored.segment >= 0) & (scored.outcome == Outcome.DONE))
    both = both[~np.isin(scored.segment[both], list(counted.fresh.segment_ids(counted.segments)))]
    order = both[np.lexsort((scored.row[both], scored.segment[both], reduced.segment[both]))]
    pairs = np.column_stack([reduced.segment[order], scored.segment[order]])
    edges = np.flatnonzero((pairs[1:] != pairs[:-1]).any(axis=1)) + 1
    for group in np.split(order, edges):
        if group.size:
            lightcurves = counted.read_segment(int(reduced.segment[group[0]]), ["lightcurves", "epochs*"])
            scores = counted.read_segment(int(scored.segment[group[0]]), ["scored", "scores*"])
            count_epochs(histogram, lightcurves, reduced.row[group], scores, scored.row[group])

"""The tables of a version folder: Parquet and netCDF that anybody can open.

The tables of results do not depend on how the work was cut into batches, and their rows are in the order of the
catalog, so the same version always has the same bytes in them. The files of products are in `segments.parquet`.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from retriever.arrays import Array
from retriever.errors import StoreError
from retriever.histogram import Histograms
from retriever.identity import canonical_hash
from retriever.lightcurves import LightcurveSet
from retriever.outcome import Outcome
from retriever.report.arrow import arrow_array, arrow_table
from retriever.report.completeness import write_completeness
from retriever.report.histograms import FreshCounts, write_histograms
from retriever.report.parquet import write_parquet
from retriever.schema import NUMPY_KINDS, Columns, Table
from retriever.source import SourceTable

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "Counted", "FreshCounts", "all_aliases", "is_table", "result_digest", "write_lightcurves", "write_tables",
]  # fmt: skip

PLACES = "segments.parquet"
"""The table with the files of products. It records the state of all tables, so it is removed first and written last."""

SOURCE_UNITS = {
    "ra": "deg", "dec": "deg", "pmra": "mas/yr", "pmdec": "mas/yr", "parallax": "mas", "epoch": "yr",
    "mag": "mag", "mag_err": "mag",
}  # fmt: skip
"""Units of a catalog's columns."""


@dataclass(frozen=True, kw_only=True)
class Counted:
    """What a version's tables are made of.

    Attributes
    ----------
    recipe_tables
        Stages with their declared tables.
    sources
        The catalog.
    states
        Observatory and stage to its `retriever.pipeline.plan.StageState`.
    segments
        Segment id to root, path, size, digest.
    lightcurve_stages
        Observatory to the stage whose light curves were searched.
    read_segment
        Reads tables of a segment by id.
    rows
        Reads indexed rows of segments: (table, segment ids) to chunks of columns.
    fresh
        Counts of epochs that this run's workers made.
    axes
        Axes of the histograms.
    aliases
        Other names that archives gave, by the source's row in the catalog.
    """

    recipe_tables: Sequence[tuple[str, tuple[Table, ...]]]
    sources: SourceTable
    states: Mapping[str, Mapping[str, Any]]
    segments: Mapping[int, tuple[str, str, int, str]]
    lightcurve_stages: Mapping[str, str]
    read_segment: Callable[[int, list[str]], dict[str, dict[str, Any]]]
    rows: Callable[[Table, list[int]], Iterator[Columns]]
    fresh: FreshCounts
    axes: Histograms
    aliases: Mapping[int, tuple[str, ...]] = field(default_factory=dict)

    @property
    def exported(self) -> list[tuple[str, Table]]:
        """Declared tables that become files, with the stage that makes each."""
        return [(stage, table) for stage, tables in self.recipe_tables for table in tables if table.exported]


def is_table(name: str) -> bool:
    """Whether a file of a version folder is one of its tables, which each run makes anew."""
    return name in ("histograms.nc", "completeness.nc") or name.endswith(".parquet")


def result_digest(folder: Path) -> str:
    """Digest of all tables of results of a version; equal digests mean equal bytes.

    Raises
    ------
    StoreError
        When a table cannot be read.
    """
    hasher = hashlib.sha256()
    try:
        for path in sorted(path for path in folder.iterdir() if is_table(path.name) and path.name != PLACES):
            hasher.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    except OSError as error:
        raise StoreError(f"cannot read the tables in {folder}: {error.strerror or error}") from error
    return hasher.hexdigest()[:32]


def write_tables(folder: Path, counted: Counted) -> bool:
    """Write a version's tables, unless they are already those of this state; gives whether it wrote them.

    Each is written to a temporary file and renamed. The table with the files of products, which records the state,
    comes last.
    """
    state = _state_digest(counted)
    names = ["sources", "products", *(table.name for _, table in counted.exported)]
    injects = any(table.name == "injections" for _, table in counted.exported)
    derived = ["completeness.parquet", "thresholds.parquet", "completeness.nc"] if injects else []
    files = [*(f"{name}.parquet" for name in names), "histograms.nc", *derived, PLACES]
    if _state_written(folder, files) == state:
        return False
    try:
        (folder / PLACES).unlink(missing_ok=True)
        sources = _source_columns(counted.sources, counted.aliases)
        write_parquet(folder / "sources.parquet", iter([sources]), SOURCE_UNITS)
        for stage, table in counted.exported:
            columns, units = _rows(counted, stage, table)
            write_parquet(folder / f"{table.name}.parquet", iter([columns]), units)
        write_histograms(
            folder / "histograms.nc", counted.states, counted.lightcurve_stages, counted.segments,
            counted.read_segment, counted.fresh, counted.axes,
        )  # fmt: skip
        write_parquet(folder / "products.parquet", _products(counted), {})
        if derived:
            write_completeness(folder)
        write_parquet(folder / PLACES, _places(counted), {}, {"retriever.state": state})
    except OSError as error:
        raise StoreError(
            f"cannot write the tables in {folder}: {error.strerror or error}; free some space and run again"
        ) from error
    return True


def write_lightcurves(path: Path, of_observatories: Mapping[str, LightcurveSet]) -> int:
    """Write light curves into one Parquet file, a row an epoch; gives the number of rows.

    Raises
    ------
    StoreError
        When the file cannot be written.
    """
    import pyarrow.parquet as pq

    own = ("time", "exptime", "flux", "flux_err", "mag", "mag_err", "flag", "qflag")
    chunks = [
        {
            "observatory": np.full(int(batch.offsets[-1]), name),
            **{word: batch.spread(batch.words[word]) for word in ("number", "band", "series")},
            **{key: batch.columns[key] for key in own},
        }
        for name, lightcurves in of_observatories.items()
        for batch in lightcurves.batches
    ]
    columns = {key: np.concatenate([chunk[key] for chunk in chunks]) for key in chunks[0]} if chunks else {}
    try:
        pq.write_table(arrow_table(columns), path)
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror or error}; choose another file") from error
    return len(columns["time"]) if columns else 0


def _state_digest(counted: Counted) -> str:
    content = {
        name: {
            stage: [
                state.outcome.tobytes(), state.row.tobytes(), state.input.tobytes(),
                *_places_of(state.segment, counted.segments),
            ]
            for stage, state in of_stages.items()
        }
        for name, of_stages in counted.states.items()
    }  # fmt: skip
    return canonical_hash([counted.sources.digest, content])


def _places_of(segment: NDArray[np.int64], segments: Mapping[int, tuple[str, str, int, str]]) -> tuple[Any, bytes]:
    """Paths of segments in their order, and which is whose: the same whatever ids a database gave them."""
    ids, which = np.unique(segment, return_inverse=True)
    paths = [segments[k][1] if k >= 0 else "" for k in ids.tolist()]
    rank = np.argsort(np.argsort(np.array(paths, np.str_)))
    return sorted(paths), rank[which].tobytes()


def _state_written(folder: Path, files: Sequence[str]) -> str:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not all((folder / name).exists() for name in files):
        return ""
    try:
        footers = [pq.read_metadata(folder / name) for name in files if name.endswith(".parquet")]
        metadata = footers[-1].metadata or {}
    except (OSError, pa.ArrowInvalid):
        return ""
    return str(metadata.get(b"retriever.state", b"").decode())


def all_aliases(sources: SourceTable, names_of: Mapping[int, tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Other names of each source: the catalog's, then those that archives gave."""
    known = sources.aliases or ((),) * len(sources)
    return [tuple(dict.fromkeys((*names, *names_of.get(row, ())))) for row, names in enumerate(known)]


def _source_columns(sources: SourceTable, names_of: Mapping[int, tuple[str, ...]]) -> dict[str, Any]:
    names = ("name", "ra", "dec", "pmra", "pmdec", "parallax", "epoch", "mag", "mag_err", "band")
    columns = {name: getattr(sources, name) for name in names}
    columns["aliases"] = np.array([" ".join(map(json.dumps, names)) for names in all_aliases(sources, names_of)])
    columns |= sources.extra
    return {**columns, "digest": sources.digests.astype(np.str_)}


def _nodes(counted: Counted) -> Iterator[tuple[str, str, Any, Any]]:
    """Observatory, stage, state and names of its items: those of sources first, then those of groups."""
    nodes = [(name, stage, state) for name, of_stages in counted.states.items() for stage, state in of_stages.items()]
    for name, stage, state in sorted(nodes, key=lambda node: node[2].groups is not None):
        yield name, stage, state, counted.sources.name if state.groups is None else state.groups.names


def _products(counted: Counted) -> Iterator[dict[str, Any]]:
    words = np.array([outcome.name.lower() for outcome in Outcome])
    for name, stage, state, items in _nodes(counted):
        n = len(items)
        yield {
            "source": items,
            "observatory": np.full(n, name),
            "stage": np.full(n, stage),
            "outcome": words[state.outcome],
            "rows": state.n_rows,
            "digest": np.where(state.segment >= 0, state.digest, b"").astype(np.str_),
            "message": [state.message.get(k, "") for k in range(n)],
        }


def _places(counted: Counted) -> Iterator[dict[str, Any]]:
    """Files of the products, in the rows of `products.parquet`."""
    for _, _, state, _ in _nodes(counted):
        paths = {k: "/".join(counted.segments[k][:2]) for k in np.unique(state.segment).tolist() if k >= 0}
        yield {"segment": [paths.get(k, "") for k in state.segment.tolist()], "source_row": state.row}


def _rows(counted: Counted, stage: str, table: Table) -> tuple[dict[str, "pa.Array"], dict[str, str]]:
    """Rows of a declared table that belong to products that count, in the order of the catalog; and their units."""
    kinds = {spec.name: spec.kind for spec in table.columns}
    parts: list[dict[str, Any]] = []
    units = dict(table.units)
    for name, of_stages in counted.states.items():
        if stage not in of_stages:
            continue
        state = of_stages[stage]
        items = counted.sources.name if state.groups is None else state.groups.names
        places = _Places(state.segment, state.row)
        ids = np.unique(state.segment[state.segment >= 0]).tolist()
        for chunk in counted.rows(table, ids):
            which = places.find(chunk["segment_id"], chunk["source_row"])
            kept = which >= 0
            part: dict[str, Any] = {"item": which[kept], "row": chunk["row"][kept], "source": items[which[kept]]}
            part["observatory"] = np.full(part["item"].size, name)
            part |= {key: _typed(chunk[key][kept], kind) for key, kind in kinds.items()}
            if table.extensible:
                part |= _spread(json.loads(f"[{','.join(chunk['values'][kept])}]"))
            parts.append(part)
        if table.extensible and ids:
            units |= _units(counted, table, ids)
    return _sorted_columns(table, parts), units


def _sorted_columns(table: Table, parts: Sequence[dict[str, Any]]) -> dict[str, "pa.Array"]:
    """Columns of all parts in the order of the catalog; each is removed from the parts, so that none is held twice."""
    own = {spec.name: spec.kind for spec in table.columns}
    kinds = {"item": int, "row": int, "source": str, "observatory": str, **own}
    keys = [_joined(parts, key, kinds[key]) for key in ("row", *reversed(table.order), "observatory", "item")]
    order = np.lexsort(keys)
    del keys
    columns = {}
    for name in dict.fromkeys([*kinds, *(name for part in parts for name in part)]):
        if name not in ("item", "row"):
            columns[name] = arrow_array(_joined(parts, name, kinds.get(name, float))[order])
            for part in parts:
                part.pop(name, None)
    return columns


def _typed(values: Array, kind: type) -> Array:
    return values.astype(np.str_) if kind is str else values


def _joined(parts: Sequence[Mapping[str, Any]], name: str, kind: type) -> Array:
    """A column of all parts, concatenated; a part that lacks it gives unknown values."""
    known = [part[name] for part in parts if name in part]
    if not known:
        return np.array([], NUMPY_KINDS[kind])
    blank = "" if known[0].dtype.kind == "U" else np.nan
    return np.concatenate([part[name] if name in part else np.full(part["item"].size, blank) for part in parts])


def _spread(rows: list[dict[str, object]]) -> dict[str, object]:
    """Columns from rows that may have different ones."""
    names: dict[str, None] = {}
    for row in rows:
        names |= dict.fromkeys(row)
    columns: dict[str, Any] = {}
    for name in names:
        values = [row.get(name) for row in rows]
        if any(isinstance(value, str) for value in values):
            columns[name] = np.array(["" if value is None else value for value in values], np.str_)
        else:
            columns[name] = np.array(values) if None not in values else np.array(values, float)
    return columns


def _units(counted: Counted, table: Table, ids: list[int]) -> dict[str, str]:
    """Units of the columns that rows brought along."""
    units = counted.read_segment(ids[0], [f"{table.name}.units"]).get(f"{table.name}.units")
    if units is None:
        return {}
    return {name: unit for name, unit in zip(units["name"].tolist(), units["unit"].tolist(), strict=True) if unit}


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

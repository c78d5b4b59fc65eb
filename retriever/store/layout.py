"""How products lie in the tables of a segment: objects to columns, and back to the same objects.

Epochs of many light curves (rows of many raw tables) lie one after the other in contiguous ragged columns (the CF
conventions' discrete sampling geometries); an index table says where each begins. Those that differ in their columns
or types lie in groups of their own, so that nothing is ever cast.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retriever.detection import Detection, Injection, Properties
from retriever.histogram import SCORE_AXES, ScoreHistogram
from retriever.identity import digest_bytes
from retriever.lightcurve import EPOCH_COLUMNS, Lightcurve, TimeSystem
from retriever.rawtable import Column, RawPhotometry, RawTable
from retriever.statistics import cadence

__all__ = [
    "RECORDS",
    "columns_of_records",
    "count_epochs",
    "lightcurve_index",
    "pack_lightcurves",
    "pack_properties",
    "pack_ragged",
    "pack_raw",
    "pack_scores",
    "product_digest",
    "records_of_columns",
    "unpack_lightcurves",
    "unpack_ragged",
    "unpack_raw",
    "with_scores",
]

RECORDS = frozenset(
    [
        *("sources", "raw_index", "raw", "lightcurves", "dropped", "scored", "detections", "injections", "properties"),
        *("properties.units", "simulated_lightcurves"),
    ]
)
"""Tables with a row a source, a light curve or an event; the others have one an epoch or a raw row."""

Columns = dict[str, Any]
Tables = dict[str, Columns]


def pack_ragged(name: str, items: Sequence[Mapping[str, Column]]) -> tuple[Tables, Columns]:
    """Lay items of equally long columns one after the other.

    Returns
    -------
    tables
        ``name`` for items of the first kind of columns, ``name_1`` for the second, and so on. Masks of masked columns
        stand beside them in ``<table>.masks``.
    index
        For each item: `layout` (which table), `first` (its first row there) and `n_rows`.
    """
    kinds: dict[Any, int] = {}
    members: list[list[int]] = []
    layout = np.zeros(len(items), np.int32)
    for k, item in enumerate(items):
        kind = tuple(
            (key, column.dtype, column.shape[1:], isinstance(column, np.ma.MaskedArray)) for key, column in item.items()
        )
        layout[k] = kinds.setdefault(kind, len(kinds))
        if layout[k] == len(members):
            members.append([])
        members[layout[k]].append(k)
    n_rows = np.array([len(next(iter(item.values()), ())) for item in items], np.int64)
    first = np.zeros(len(items), np.int64)
    tables: Tables = {}
    for number, inside in enumerate(members):
        first[inside] = np.cumsum(n_rows[inside]) - n_rows[inside]
        table = _table(name, number)
        tables[table], masks = {}, {}
        for key in items[inside[0]]:
            pieces = [items[k][key] for k in inside]
            if isinstance(pieces[0], np.ma.MaskedArray):
                masks[key] = np.concatenate([np.ma.getmaskarray(piece) for piece in pieces])
                pieces = [np.ma.getdata(piece) for piece in pieces]
            tables[table][key] = np.concatenate(pieces)
        if masks:
            tables[f"{table}.masks"] = masks
    return tables, {"layout": layout, "first": first, "n_rows": n_rows}


def unpack_ragged(name: str, tables: Tables, index: Columns, rows: Sequence[int]) -> list[Columns]:
    """The items of some rows of the index, as views."""
    items = []
    for row in rows:
        number, first, n = int(index["layout"][row]), int(index["first"][row]), int(index["n_rows"][row])
        table = _table(name, number)
        masks = tables.get(f"{table}.masks", {})
        items.append(
            {
                key: np.ma.MaskedArray(column[first : first + n], mask=masks[key][first : first + n])
                if key in masks
                else column[first : first + n]
                for key, column in tables[table].items()
            }
        )
    return items


def pack_raw(answers: Sequence[RawPhotometry | None]) -> Tables:
    """Tables `raw` (one row a raw table), `rows*` (the rows themselves) and `headers` (their text)."""
    flat = [(row, table) for row, answer in enumerate(answers) if answer for table in answer.tables]
    tables, index = pack_ragged("rows", [table.columns for _, table in flat])
    texts = [json.dumps([table.schema(), table.origin, *table.headers]).encode() for _, table in flat]
    sizes = np.array([len(text) for text in texts], np.int64)
    index["source"] = np.array([row for row, _ in flat], np.int64)
    index["text_first"], index["text_bytes"] = np.cumsum(sizes) - sizes, sizes
    return {"raw": index, "headers": {"text": np.frombuffer(b"".join(texts), np.uint8)}, **tables}


def unpack_raw(tables: Tables, sources: Sequence[int]) -> list[RawPhotometry]:
    """Raw photometry of some of a segment's sources, just as it was packed."""
    index, text = tables["raw"], tables["headers"]["text"]
    answers = []
    for source in sources:
        rows = np.flatnonzero(index["source"] == source).tolist()
        found = []
        for row, columns in zip(rows, unpack_ragged("rows", tables, index, rows), strict=True):
            first, size = int(index["text_first"][row]), int(index["text_bytes"][row])
            schema, origin, *headers = json.loads(text[first : first + size].tobytes())
            kinds = json.loads(schema)
            found.append(
                RawTable(
                    columns={name: columns[name].astype(kind, copy=False) for name, kind, *_ in kinds},
                    units={name: unit for name, _, _, _, unit in kinds if unit},
                    headers=tuple(headers),
                    origin=origin,
                )
            )
        answers.append(RawPhotometry(tables=tuple(found)))
    return answers


_LIGHTCURVE_WORDS = ("band", "series", "number", "of", "zero_point", "flux_unit")


def lightcurve_index(lightcurves: Sequence[Lightcurve]) -> Columns:
    """What is said of each light curve: its words, and robust moments over its usable epochs."""
    index: Columns = {
        word: _array(
            [getattr(lc, word) for lc in lightcurves],
            str if word in ("band", "series", "flux_unit") else None,
        )
        for word in _LIGHTCURVE_WORDS
    }
    for word in ("scale", "reference", "point"):
        index[f"time_{word}"] = _array([getattr(lc.time_system, word) for lc in lightcurves], str)
    moments = np.empty((len(lightcurves), 4))
    for k, lc in enumerate(lightcurves):
        moments[k] = (*lc.flux_moments, *lc.mag_moments)
    index |= {
        "n_epochs": _array([lc.n_epochs for lc in lightcurves], np.int64),
        "n_good": _array([lc.n_good for lc in lightcurves], np.int64),
        "time_first": _array([lc.time[0] for lc in lightcurves], float),
        "time_last": _array([lc.time[-1] for lc in lightcurves], float),
        "cadence": _array([cadence(lc.time) for lc in lightcurves], float),
        "exptime_median": _array([lc.exptime[lc.n_epochs // 2] for lc in lightcurves], float),
    }
    names = ("flux_median", "flux_scatter", "mag_median", "mag_scatter")
    return index | {name: moments[:, k].copy() for k, name in enumerate(names)}


def _array(values: list[Any], kind: Any) -> Any:
    return np.array(values, dtype=np.str_ if kind is str else kind)


def pack_lightcurves(of_sources: Sequence[Sequence[Lightcurve]], table: str = "epochs") -> Tables:
    """Tables `lightcurves` (the index) and `epochs*`, for sources in their order."""
    flat = [(row, lc) for row, lightcurves in enumerate(of_sources) for lc in lightcurves]
    tables, index = pack_ragged(table, [lc.columns() for _, lc in flat])
    index["source"] = np.array([row for row, _ in flat], np.int64)
    return {"lightcurves": {**index, **lightcurve_index([lc for _, lc in flat])}, **tables}


def unpack_lightcurves(tables: Tables, sources: Sequence[int]) -> list[tuple[Lightcurve, ...]]:
    """Light curves of some of a segment's sources."""
    index = tables["lightcurves"]
    found = []
    words = {key: index[key].tolist() for key in (*_LIGHTCURVE_WORDS, "time_scale", "time_reference", "time_point")}
    for rows in _rows_of(index["source"], sources):
        lightcurves = []
        for row, columns in zip(rows, unpack_ragged("epochs", tables, index, rows), strict=True):
            own = {name: columns.pop(name) for name in EPOCH_COLUMNS if name in columns}
            system = TimeSystem(
                scale=words["time_scale"][row],
                reference=words["time_reference"][row],
                point=words["time_point"][row],
            )
            told = {word: words[word][row] for word in _LIGHTCURVE_WORDS}
            lightcurves.append(Lightcurve(**own, extra=columns, time_system=system, **told))
        found.append(tuple(lightcurves))
    return found


def _rows_of(column: Any, sources: Sequence[int]) -> list[list[int]]:
    """Rows of an index table that belong to each source; the column is sorted."""
    first = np.searchsorted(column, sources, side="left").tolist()
    last = np.searchsorted(column, sources, side="right").tolist()
    return [list(range(a, b)) for a, b in zip(first, last, strict=True)]


def pack_scores(before: Sequence[Sequence[Lightcurve]], after: Sequence[Sequence[Lightcurve]]) -> Tables:
    """Tables `scored` and `scores*`: only what the analysis added to light curves already stored."""
    flat, added = [], []
    for row, (old, new) in enumerate(zip(before, after, strict=True)):
        for lc_old, lc_new in zip(old, new, strict=True):
            known = lc_old.extra
            fresh = {key: col for key, col in lc_new.extra.items() if key not in known or known[key] is not col}
            added.append({"qflag": lc_new.qflag, **fresh})
            flat.append((row, lc_new.number, lc_new.n_good))
    tables, index = pack_ragged("scores", added)
    for k, name in enumerate(("source", "number", "n_good")):
        index[name] = np.array([entry[k] for entry in flat], np.int64)
    return {"scored": index, **tables}


def with_scores(
    tables: Tables, sources: Sequence[int], reduced: Sequence[tuple[Lightcurve, ...]]
) -> list[tuple[Lightcurve, ...]]:
    """Processed light curves: reduced ones with the columns that an analysis segment adds."""
    index = tables["scored"]
    found = []
    for rows, lightcurves in zip(_rows_of(index["source"], sources), reduced, strict=True):
        added = unpack_ragged("scores", tables, index, rows)
        found.append(
            tuple(
                lc.replace(qflag=columns.pop("qflag"), extra={**lc.extra, **columns})
                for lc, columns in zip(lightcurves, added, strict=True)
            )
        )
    return found


def columns_of_records(kind: type, of_sources: Sequence[Sequence[Any]]) -> Columns:
    """One row for each `Detection` or `Injection`, with the row of its source."""
    flat = [(row, record) for row, records in enumerate(of_sources) for record in records]
    types = {"int": np.int64, "float": np.float64, "bool": np.bool_, "str": np.str_, int: np.int64}
    types |= {float: np.float64, bool: np.bool_, str: np.str_}
    columns: Columns = {"source": np.array([row for row, _ in flat], np.int64)}
    for spec in fields(kind):
        columns[spec.name] = np.array([getattr(record, spec.name) for _, record in flat], types[spec.type])
    return columns


def records_of_columns(kind: type[Detection] | type[Injection], columns: Columns, source: int) -> tuple[Any, ...]:
    """The `Detection`s or `Injection`s of one source."""
    rows = np.flatnonzero(columns["source"] == source)
    names = [spec.name for spec in fields(kind)]
    values = [columns[name][rows].tolist() for name in names]
    return tuple(kind(**dict(zip(names, row, strict=True))) for row in zip(*values, strict=True))


def pack_properties(of_sources: Sequence[Properties]) -> Tables:
    """Table `properties` (one row a source that has any) and `properties.units`."""
    flat = [(row, properties) for row, properties in enumerate(of_sources) if properties]
    names: dict[str, str] = {}
    for _, properties in flat:
        for name, (_, unit) in properties.items():
            names.setdefault(name, unit)
    columns: Columns = {"source": np.array([row for row, _ in flat], np.int64)}
    for name in names:
        values = [properties.get(name, (None, ""))[0] for _, properties in flat]
        columns[f"p.{name}"] = _property_column(values)
    units = {"name": _array(list(names), str), "unit": _array(list(names.values()), str)}
    return {"properties": columns, "properties.units": units}


def _property_column(values: list[Any]) -> Any:
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {bool, np.bool_} and None not in values:
        return np.array(values, np.bool_)
    if kinds <= {int, np.int64, bool} and None not in values:
        return np.array(values, np.int64)
    if str in kinds:
        return np.array(["" if value is None else str(value) for value in values])
    return np.array([np.nan if value is None else float(value) for value in values])


def product_digest(columns: Sequence[Mapping[str, Column]], others: object = "") -> str:
    """Digest of what a stage made for one source: every column, and the rest by its representation."""
    parts: list[Any] = [repr(others).encode()]
    for item in columns:
        parts.append("|".join(item).encode())
        parts += item.values()
    return digest_bytes(*parts)


def count_epochs(
    histogram: ScoreHistogram,
    reduced: Mapping[str, Any],
    rows: Any,
    scored: Mapping[str, Any],
    score_rows: Any,
) -> None:
    """Count epochs of sources whose light curves lie in one segment's tables, and whose scores in another's."""
    index, score_index = reduced["lightcurves"], scored["scored"]
    # the light curves of a source come in the same order in both, so that sorting by source lines them up
    mine, its = _lightcurves_of(index["source"], rows), _lightcurves_of(score_index["source"], score_rows)
    kinds = np.column_stack([index["layout"][mine], score_index["layout"][its]])
    names, band = np.unique(index["band"][mine], return_inverse=True)
    for kind in np.unique(np.column_stack([kinds, band]), axis=0).tolist():
        same = (kinds == kind[:2]).all(axis=1) & (band == kind[2])
        epochs = reduced[_table("epochs", kind[0])]
        added = scored[_table("scores", kind[1])]
        a = _epochs_of(index, mine[same])
        b = _epochs_of(score_index, its[same])
        scores = {
            axis.name: added[axis.name][b] if axis.name in added else epochs[axis.name][a]
            for axis in SCORE_AXES
            if axis.name in added or axis.name in epochs
        }
        histogram.add(str(names[kind[2]]), epochs["mag"][a], epochs["exptime"][a], added["qflag"][b], scores)


def _table(name: str, layout: int) -> str:
    return f"{name}_{layout}" if layout else name


def _lightcurves_of(source: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.int64]:
    first, last = np.searchsorted(source, rows, "left"), np.searchsorted(source, rows, "right")
    return _ranges(first, last - first)


def _epochs_of(index: Mapping[str, Any], lightcurves: NDArray[np.int64]) -> NDArray[np.int64]:
    return _ranges(index["first"][lightcurves], index["n_rows"][lightcurves])


def _ranges(first: NDArray[np.int64], count: NDArray[np.int64]) -> NDArray[np.int64]:
    """The numbers first, first + 1, ... of each range, one range after the other."""
    ends = np.cumsum(count)
    return np.asarray(np.arange(ends[-1] if ends.size else 0) + np.repeat(first - (ends - count), count))

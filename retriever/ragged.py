"""Many short arrays as one long one: items of different lengths lie one after the other in contiguous columns.

This is how segments store them (the contiguous ragged arrays of the CF conventions' discrete sampling geometries): an
index table says for each item in which table it lies (`layout`), at which row it begins (`first`) and how long it is
(`n_rows`). Items that differ in their columns or types lie in tables of their own, so that nothing is ever cast.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from retriever.arrays import Array, Rows
from retriever.schema import Columns, Tables

__all__ = [
    "cut_items",
    "is_long",
    "layout_name",
    "merge_tables",
    "pack_ragged",
    "ranges",
    "rows_of",
    "select_items",
    "unpack_ragged",
]


_INDEX = {"rows": "raw", "epochs": "lightcurves", "scores": "scored", "simulated_epochs": "simulated_lightcurves"}
"""Long tables, and the index table of each."""

_LONG = (*_INDEX, "headers")


def is_long(name: str) -> bool:
    """Whether a table has a row an epoch or a raw row, whose place an index table gives; its columns may have any name.

    Examples
    --------
    >>> is_long("epochs_2"), is_long("rows.masks"), is_long("lightcurves")
    (True, True, False)
    """
    return name.endswith((".masks", ".units")) or _split_layout(name)[0] in _LONG


def layout_name(name: str, layout: int) -> str:
    """Name of the table that holds the items of a layout."""
    return f"{name}_{layout}" if layout else name


def pack_ragged(name: str, items: Sequence[Mapping[str, Array]]) -> tuple[Tables, Columns]:
    """Lay items of equally long columns one after the other.

    Returns
    -------
    tables
        ``name`` for items of the first kind of columns, ``name_1`` for the second, and so on. Masks of masked columns
        stand beside them in ``<table>.masks``.
    index
        For each item: `layout`, `first` and `n_rows`.
    """
    kinds: dict[object, int] = {}
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
        table = layout_name(name, number)
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
        table = layout_name(name, number)
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


def ranges(first: Rows, count: Rows) -> Rows:
    """The numbers first, first + 1, ... of each range, one range after the other.

    Examples
    --------
    >>> ranges(np.array([5, 0]), np.array([2, 3])).tolist()
    [5, 6, 0, 1, 2]
    """
    ends = np.cumsum(count)
    return np.asarray(np.arange(ends[-1] if ends.size else 0) + np.repeat(first - (ends - count), count))


def rows_of(column: Rows, items: Sequence[int] | Rows) -> tuple[Rows, Rows]:
    """Rows of a sorted column of item numbers that belong to each of some items: first row, and number of rows."""
    first = np.searchsorted(column, items, side="left")
    return first, np.searchsorted(column, items, side="right") - first


def select_items(tables: Tables, items: Sequence[int] | Rows) -> Tables:
    """Tables as if they held just some items (sources), in this order.

    Rows of short tables, whose column `source` is sorted, are chosen and numbered anew; long tables of epochs stay
    whole, since the chosen rows of their index say where in them to look.

    Examples
    --------
    >>> select_items({"t": {"source": np.array([0, 1, 1]), "x": np.array([5, 6, 7])}}, [1])["t"]["x"].tolist()
    [6, 7]
    """
    chosen: Tables = {}
    for name, columns in tables.items():
        if is_long(name):
            chosen[name] = columns
            continue
        first, count = rows_of(columns["source"], items)
        rows = ranges(first, count)
        if rows.size == columns["source"].size and (np.diff(rows) == 1).all() and len(items) == rows.size:
            same_numbers = np.array_equal(columns["source"], np.arange(rows.size))
            if same_numbers:
                chosen[name] = columns
                continue
        chosen[name] = {key: values[rows] for key, values in columns.items()}
        chosen[name]["source"] = np.repeat(np.arange(len(items)), count)
    return chosen


def cut_items(tables: Tables, first: int, last: int) -> Tables:
    """Tables of consecutive items, from `first` to before `last`, that hold nothing else.

    Unlike those of `select_items`, long tables hold only the rows of these items: the tables are those that would have
    been made of these items alone.

    Examples
    --------
    >>> tables = {"lightcurves": {"source": np.array([0, 1]), "layout": np.array([0, 1]), "first": np.array([0, 0]),
    ...                           "n_rows": np.array([1, 2])},
    ...           "epochs": {"time": np.array([5.0])}, "epochs_1": {"time": np.array([6.0, 7.0]), "x": np.zeros(2)}}
    >>> cut = cut_items(tables, 0, 1)
    >>> list(cut), cut["epochs"]["time"].tolist()
    (['lightcurves', 'epochs'], [5.0])
    """
    short: Tables = {}
    for name, columns in tables.items():
        if not is_long(name):
            a, b = np.searchsorted(columns["source"], (first, last)).tolist()
            short[name] = {key: values[a:b] for key, values in columns.items()}
            short[name]["source"] = columns["source"][a:b] - first
    cut: Tables = {}
    done: set[str] = set()
    for name, columns in tables.items():
        stem = _split_layout(name)[0]
        if name in short:
            cut[name] = short[name]
        elif name.endswith(".units"):
            cut[name] = columns
        elif name == "headers":
            cut[name] = _cut_text(columns, short["raw"])
        elif stem not in done:
            done.add(stem)
            cut |= _cut_rows(tables, stem, short[_INDEX[stem]])
    return cut


def _cut_rows(tables: Tables, stem: str, index: Columns) -> Tables:
    """Rows of the long tables that an index of some items names; the index then names them by their new places."""
    cut: Tables = {}
    layout, place = np.zeros_like(index["layout"]), np.zeros_like(index["first"])
    for number, old in enumerate(dict.fromkeys(index["layout"].tolist())):
        items = np.flatnonzero(index["layout"] == old)
        begin, count = index["first"][items], index["n_rows"][items]
        layout[items], place[items] = number, np.cumsum(count) - count
        in_order = np.array_equal(begin, begin[0] + place[items])
        rows = slice(begin[0], begin[0] + count.sum()) if in_order else ranges(begin, count)
        for ending in ("", ".masks"):
            if layout_name(stem, old) + ending in tables:
                columns = tables[layout_name(stem, old) + ending]
                cut[layout_name(stem, number) + ending] = {key: column[rows] for key, column in columns.items()}
    index["layout"], index["first"] = layout, place
    return cut


def _cut_text(headers: Columns, index: Columns) -> Columns:
    if not index["text_first"].size:
        return {"text": headers["text"][:0]}
    begin = index["text_first"].min()
    text = headers["text"][begin : (index["text_first"] + index["text_bytes"]).max()]
    index["text_first"] = index["text_first"] - begin
    return {"text": text}


def merge_tables(parts: Sequence[tuple[Tables, Rows]]) -> Tables:
    """Tables of several segments as one.

    Parameters
    ----------
    parts
        Tables of items numbered from 0, and what these are among all items.

    Examples
    --------
    >>> parts = [({"t": {"source": np.array([0]), "x": np.array([5])}}, np.array([1])),
    ...          ({"t": {"source": np.array([0]), "x": np.array([7])}}, np.array([0]))]
    >>> merge_tables(parts)["t"]["x"].tolist()
    [7, 5]
    """
    merged: Tables = {}
    rows: dict[str, list[Columns]] = {}
    base = text = 0
    for tables, items in parts:
        highest = 0
        for name, columns in tables.items():
            if not is_long(name):
                moved = {**columns, "source": np.asarray(items)[columns["source"]]}
                if "layout" in moved:
                    moved["layout"] = moved["layout"] + base
                if "text_first" in moved:
                    moved["text_first"] = moved["text_first"] + text
                rows.setdefault(name, []).append(moved)
            elif name.endswith(".units"):
                merged.setdefault(name, columns)
            elif name == "headers":
                text += columns["text"].size
                known = merged.get(name, {"text": columns["text"][:0]})["text"]
                merged[name] = {"text": np.concatenate([known, columns["text"]])}
            else:
                stem, number, mask = _split_layout(name)
                highest = max(highest, number + 1)
                merged[layout_name(stem, number + base) + mask] = columns
        base += highest
    for name, pieces in rows.items():
        whole = {key: np.concatenate([piece[key] for piece in pieces]) for key in pieces[0]}
        order = np.argsort(whole["source"], kind="stable")
        merged[name] = {key: values[order] for key, values in whole.items()}
    return merged


def _split_layout(name: str) -> tuple[str, int, str]:
    """Name of a table of epochs, the number of its layout, and its ending where it holds masks."""
    stem, mask = (name.removesuffix(".masks"), ".masks") if name.endswith(".masks") else (name, "")
    before, underscore, number = stem.rpartition("_")
    return (before, int(number), mask) if underscore and number.isdigit() else (stem, 0, mask)

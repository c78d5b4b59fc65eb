"""Cutting one source's rows into light curves; shared by all reducers."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retriever.arrays import Array, Rows
from retriever.errors import DataError
from retriever.lightcurve import Lightcurve, Reduction
from retriever.lightcurves import LightcurveBatch
from retriever.photometry import MAX_MAGNITUDE
from retriever.ragged import ranges
from retriever.rawbatch import RawBatch
from retriever.schema import Columns

__all__ = [
    "cut",
    "cut_many",
    "floats",
    "group_rows",
    "integers",
    "joined",
    "numbered",
    "reduction_of",
    "without_sentinels",
    "words_of",
]

_SENTINELS = (-99.0, -999.0, -9999.0)
"""Fluxes that stand for a missing one where their error is no error either."""


def floats(column: Array, name: str) -> NDArray[np.float64]:
    """A column as floats, with NaN where the survey gave nothing."""
    if column.dtype.kind not in "biuf":
        raise DataError(f"column {name!r} holds {column.dtype}, not numbers; map another column")
    values = np.ma.getdata(column).astype(np.float64)
    if np.ma.isMaskedArray(column):
        values[np.ma.getmaskarray(column)] = np.nan
    return values


def integers(column: Array, name: str) -> NDArray[np.int64]:
    """A column of quality bits as integers, with all 63 bits set where the survey gave nothing."""
    data = np.ma.getdata(column)
    if data.dtype.kind == "f":
        missing = ~np.isfinite(data)
        data = np.where(missing, 0, data)
    elif data.dtype.kind in "biu":
        missing = np.zeros(data.shape, np.bool_)
    else:
        raise DataError(f"column {name!r} holds {data.dtype}, not quality bits; map another column")
    bits = data.astype(np.int64)
    return np.where(missing | np.ma.getmaskarray(column), np.iinfo(np.int64).max, bits)


def without_sentinels(
    values: NDArray[np.float64], errors: NDArray[np.float64], *, is_mag: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64], dict[str, NDArray[np.bool_]]]:
    """Fluxes or magnitudes and their errors, with NaN for numbers that stand for a missing one.

    These are magnitudes beyond `MAX_MAGNITUDE`, fluxes of -99, -999 or -9999 whose error is zero or less, and errors of
    zero or less.

    Returns
    -------
    values, errors
        Copies.
    noted
        Which rows had such a number, by what it was.

    Examples
    --------
    >>> mag, error, noted = without_sentinels(np.array([17.0, 99.9, 18.0]), np.array([0.1, 0.1, 0.0]), is_mag=True)
    >>> mag.tolist(), error.tolist(), {reason: int(rows.sum()) for reason, rows in noted.items()}
    ([17.0, nan, 18.0], [0.1, 0.1, nan], {'magnitude such as 99, counted as missing': 1, 'error of 0 or less': 1})
    """
    if is_mag:
        reason, is_missing = "magnitude such as 99, counted as missing", np.abs(values) > MAX_MAGNITUDE
    else:
        reason, is_missing = "flux such as -999, counted as missing", np.isin(values, _SENTINELS) & (errors <= 0)
    no_error = (errors <= 0) & ~is_missing
    noted = {reason: is_missing, "error of 0 or less": no_error}
    return np.where(is_missing, np.nan, values), np.where(errors > 0, errors, np.nan), noted


def group_rows(n: int, *keys: Array | None) -> list[tuple[tuple[str, ...], Rows]]:
    """Rows that share their keys, in order of keys; a key that is not there is "" for all of the n rows.

    Examples
    --------
    >>> [(key, rows.tolist()) for key, rows in group_rows(3, np.array(["r", "g", "r"]), None)]
    [(('g', ''), [1]), (('r', ''), [0, 2])]
    """
    if n == 0:
        return []
    data = [
        None if key is None else np.ma.filled(key, "") if key.dtype.kind in "US" else np.ma.getdata(key) for key in keys
    ]

    def words(row: int) -> tuple[str, ...]:
        return tuple("" if key is None else _word(key[row]) for key in data)

    if all(key is None or (key == key[0]).all() for key in data):
        return [(words(0), np.arange(n))]
    codes = np.zeros(n, np.int64)
    for key in data:
        if key is not None:
            values, code = np.unique(key, return_inverse=True)
            codes = codes * len(values) + code
    _, first, code = np.unique(codes, return_index=True, return_inverse=True)
    return [(words(row), np.flatnonzero(code == k)) for k, row in enumerate(first.tolist())]


def _word(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def cut(
    groups: Sequence[tuple[tuple[str, ...], Rows]],
    columns: Mapping[str, Array],
    *,
    gap: float,
    noted: Mapping[str, NDArray[np.bool_]] | None = None,
    **common: Any,
) -> Reduction:
    """Cut rows into light curves: sorted in time, each time once, split where nothing was seen for long.

    Parameters
    ----------
    groups
        (band, series) and the rows of each.
    columns
        All rows' columns by the names of `Lightcurve`; others become `extra`.
    gap
        Start a new light curve after so many days without an epoch; 0 for never.
    noted
        Rows to be counted beside those that are dropped, by reason; see `without_sentinels`.
    common
        Further fields of every light curve.

    Returns
    -------
    Reduction
        Rows without a time, and all but the first of each time, are dropped and counted.
    """
    dropped = {reason: [np.flatnonzero(rows)] for reason, rows in (noted or {}).items()}
    pieces: list[Lightcurve] = []
    for (band, series), members in groups:
        time = columns["time"][members]
        timed = np.isfinite(time)
        if not timed.all():
            dropped.setdefault("no time", []).append(members[~timed])
            members, time = members[timed], time[timed]
        rows = members
        if (time[1:] <= time[:-1]).any():
            order = np.argsort(time, kind="stable")
            rows, time = members[order], time[order]
            new = np.ones(time.size, np.bool_)
            new[1:] = time[1:] > time[:-1]
            dropped.setdefault("duplicate time", []).append(rows[~new])
            rows, time = rows[new], time[new]
        edges = [0, *(np.flatnonzero(np.diff(time) > gap) + 1).tolist(), time.size] if gap > 0 else [0, time.size]
        for first, last in itertools.pairwise(edges):
            if last > first:
                pieces.append(_piece(band, series, rows[first:last], columns, common))
    return reduction_of(pieces, dropped)


def reduction_of(lightcurves: list[Lightcurve], dropped: Mapping[str, Sequence[Rows]]) -> Reduction:
    """Light curves, numbered, with the rows of the raw tables that were dropped, by reason."""
    rows = {reason: np.concatenate(parts) for reason, parts in dropped.items() if parts}
    rows = {reason: of_reason for reason, of_reason in rows.items() if of_reason.size}
    counts = {reason: of_reason.size for reason, of_reason in rows.items()}
    return Reduction(lightcurves=numbered(lightcurves), dropped=counts, dropped_rows=rows)


def joined(parts: Sequence[Reduction], first_rows: Sequence[int]) -> Reduction:
    """One reduction of those of several raw tables.

    Parameters
    ----------
    parts
        What each table was reduced to.
    first_rows
        Number of the first row of each table.
    """
    if len(parts) == 1 and first_rows[0] == 0:
        return parts[0]
    dropped: dict[str, list[Rows]] = {}
    for part, first in zip(parts, first_rows, strict=True):
        for reason, rows in part.dropped_rows.items():
            dropped.setdefault(reason, []).append(rows + first)
    return reduction_of([lc for part in parts for lc in part.lightcurves], dropped)


def numbered(lightcurves: list[Lightcurve]) -> tuple[Lightcurve, ...]:
    """Light curves in order of start, band and series, each told its number."""
    ordered = sorted(lightcurves, key=lambda lc: (lc.time[0], lc.band, lc.series))
    if len(ordered) == 1:
        return tuple(ordered)
    return tuple(lc.replace(number=k, of=len(ordered)) for k, lc in enumerate(ordered, 1))


_OWN = ("time", "exptime", "flux", "flux_err", "mag", "mag_err", "flag", "qflag", "ra", "dec")


def _piece(band: str, series: str, rows: Rows, columns: Mapping[str, Array], common: Mapping[str, Any]) -> Lightcurve:
    whole = rows.size == columns["time"].size and rows[0] == 0 and (np.diff(rows) == 1).all()
    taken = {name: column if whole else column[rows] for name, column in columns.items()}
    own: dict[str, Any] = {name: taken.pop(name) for name in _OWN if name in taken}
    return Lightcurve(band=band, series=series, extra=taken, **own, **common)


def words_of(key: Array | None, n: int) -> tuple[NDArray[np.str_], NDArray[np.int64]]:
    """Words of a column and the word of each row, by number; "" for all rows where there is no column.

    Examples
    --------
    >>> words, code = words_of(np.array([3, 5, 3]), 3)
    >>> words.tolist(), code.tolist()
    (['3', '5'], [0, 1, 0])
    """
    if key is None:
        return np.array([""]), np.zeros(n, np.int64)
    data = np.ma.filled(key, "") if key.dtype.kind in "US" else np.ma.getdata(key)
    if n and (data == data[0]).all():
        return np.array([_word(data[0])]), np.zeros(n, np.int64)
    values, code = np.unique(data, return_inverse=True)
    return np.array([_word(value) for value in values], np.str_), code.astype(np.int64)


def cut_many(
    raw: RawBatch,
    band: tuple[NDArray[np.str_], NDArray[np.int64]],
    series: tuple[NDArray[np.str_], NDArray[np.int64]],
    columns: Mapping[str, Array],
    *,
    gap: float,
    words: Mapping[str, object],
    noted: Mapping[str, NDArray[np.bool_]] | None = None,
) -> tuple[LightcurveBatch, Columns]:
    """The same as `cut` and `numbered`, for the raw tables of many sources at once.

    Parameters
    ----------
    band, series
        Words, and the word of each row by number; see `words_of`.
    columns
        All rows' columns by the names of `Lightcurve`.
    words
        Further fields of every light curve.
    noted
        As for `cut`.
    """
    table = np.repeat(np.arange(raw.source.size), np.diff(raw.offsets))
    group = (table * band[0].size + band[1]) * series[0].size + series[1]
    time = columns["time"]
    rows = np.flatnonzero(np.isfinite(time))
    untimed = np.bincount(raw.source_of_row[~np.isfinite(time)], minlength=raw.n_sources)
    step, same = np.diff(time[rows]), group[rows][1:] == group[rows][:-1]
    if (group[rows][1:] < group[rows][:-1]).any() or (same & (step <= 0)).any():
        rows = rows[np.lexsort((time[rows], group[rows]))]
        step, same = np.diff(time[rows]), group[rows][1:] == group[rows][:-1]
        new = np.concatenate([np.ones(min(rows.size, 1), np.bool_), ~same | (step > 0)])
        repeated = np.bincount(raw.source_of_row[rows[~new]], minlength=raw.n_sources)
        rows = rows[new]
        step, same = np.diff(time[rows]), group[rows][1:] == group[rows][:-1]
    else:
        repeated = np.zeros(raw.n_sources, np.int64)
    starts = ~same | (step > gap) if gap > 0 else ~same
    first = np.concatenate([np.zeros(min(rows.size, 1), np.int64), np.flatnonzero(starts) + 1])
    lengths = np.diff(first, append=rows.size)
    head = rows[first]
    source = raw.source_of_row[head]
    names = [_ranked(*key, head) for key in (band, series)]
    order = np.lexsort((table[head], names[1][1], names[0][1], time[head], source))
    if not np.array_equal(order, np.arange(order.size)):
        rows = rows[ranges(first[order], lengths[order])]
    source, lengths = source[order], lengths[order]
    count = np.bincount(source, minlength=raw.n_sources)
    whole = rows.size == time.size and np.array_equal(rows, np.arange(rows.size))
    counted = {
        reason: np.bincount(raw.source_of_row[mask], minlength=raw.n_sources)
        for reason, mask in (noted or {}).items()
        if mask.any()
    }
    n = source.size
    return LightcurveBatch(
        source=source,
        words={
            "band": names[0][0][order], "series": names[1][0][order],
            "number": np.arange(n) - np.repeat(np.cumsum(count) - count, count) + 1, "of": count[source],
            **{name: np.full(n, value) for name, value in words.items()},
        },
        offsets=np.concatenate([[0], np.cumsum(lengths)]),
        columns={name: column if whole else column[rows] for name, column in columns.items()},
    ), _dropped({"duplicate time": repeated, "no time": untimed, **counted})  # fmt: skip


def _ranked(names: NDArray[np.str_], code: NDArray[np.int64], head: Rows) -> tuple[NDArray[np.str_], NDArray[np.int64]]:
    """The name at some rows, and its rank among all names."""
    return names[code[head]], np.unique(names, return_inverse=True)[1].reshape(-1)[code[head]]


def _dropped(of_reasons: Mapping[str, NDArray[np.int64]]) -> Columns:
    """Rows that were dropped or noted, by source and reason, in this order."""
    parts = [(np.flatnonzero(count), reason, count) for reason, count in sorted(of_reasons.items())]
    source = np.concatenate([rows for rows, _, _ in parts])
    order = np.argsort(source, kind="stable")
    return {
        "source": source[order],
        "reason": np.concatenate([np.full(rows.size, reason) for rows, reason, _ in parts])[order],
        "n_rows": np.concatenate([count[rows] for rows, _, count in parts])[order].astype(np.int64),
    }

"""Cutting one source's rows into light curves; shared by all reducers."""

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retriever.errors import DataError
from retriever.lightcurve import Lightcurve, Reduction
from retriever.rawtable import Column

__all__ = ["cut", "floats", "group_rows", "integers", "numbered"]

Rows = NDArray[np.int64]


def floats(column: Column, name: str) -> NDArray[np.float64]:
    """A column as floats, with NaN where the survey gave nothing."""
    if column.dtype.kind not in "biuf":
        raise DataError(f"column {name!r} holds {column.dtype}, not numbers; map another column")
    values = np.ma.getdata(column).astype(np.float64)
    if np.ma.isMaskedArray(column):
        values[np.ma.getmaskarray(column)] = np.nan
    return values


def integers(column: Column, name: str) -> NDArray[np.int64]:
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


def group_rows(n: int, *keys: Column | None) -> list[tuple[tuple[str, ...], Rows]]:
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


def _word(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def cut(
    groups: Sequence[tuple[tuple[str, ...], Rows]],
    columns: Mapping[str, NDArray[Any]],
    *,
    gap: float,
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
    common
        Further fields of every light curve.

    Returns
    -------
    Reduction
        Rows without a time, and all but the first of each time, are dropped and counted.
    """
    dropped: Counter[str] = Counter()
    pieces: list[Lightcurve] = []
    for (band, series), members in groups:
        time = columns["time"][members]
        timed = np.isfinite(time)
        if not timed.all():
            dropped["no time"] += int(np.count_nonzero(~timed))
            members, time = members[timed], time[timed]
        rows = members
        if (time[1:] <= time[:-1]).any():
            order = np.argsort(time, kind="stable")
            rows, time = members[order], time[order]
            new = np.ones(time.size, np.bool_)
            new[1:] = time[1:] > time[:-1]
            dropped["duplicate time"] += int(np.count_nonzero(~new))
            rows, time = rows[new], time[new]
        edges = [0, *(np.flatnonzero(np.diff(time) > gap) + 1).tolist(), time.size] if gap > 0 else [0, time.size]
        for first, last in itertools.pairwise(edges):
            if last > first:
                pieces.append(_piece(band, series, rows[first:last], columns, common))
    return Reduction(lightcurves=numbered(pieces), dropped=+dropped)


def numbered(lightcurves: list[Lightcurve]) -> tuple[Lightcurve, ...]:
    """Light curves in order of start, band and series, each told its number."""
    ordered = sorted(lightcurves, key=lambda lc: (lc.time[0], lc.band, lc.series))
    if len(ordered) == 1:
        return tuple(ordered)
    return tuple(lc.replace(number=k, of=len(ordered)) for k, lc in enumerate(ordered, 1))


_OWN = ("time", "exptime", "flux", "flux_err", "mag", "mag_err", "flag", "qflag", "ra", "dec")


def _piece(
    band: str, series: str, rows: Rows, columns: Mapping[str, NDArray[Any]], common: Mapping[str, Any]
) -> Lightcurve:
    whole = rows.size == columns["time"].size and rows[0] == 0 and (np.diff(rows) == 1).all()
    taken = {name: column if whole else column[rows] for name, column in columns.items()}
    own: dict[str, Any] = {name: taken.pop(name) for name in _OWN if name in taken}
    return Lightcurve(band=band, series=series, extra=taken, **own, **common)

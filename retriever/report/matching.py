"""Rows of two tables that belong together, and whether they agree, in columns."""

from collections.abc import Mapping, Sequence
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from retriever.arrays import Array, Rows

__all__ = ["TOLERANCE", "Agreement", "agreement", "all_pairs", "counts", "pairs", "row_ids", "split_by_value"]

TOLERANCE = 1e-12
"""Relative difference up to which two numbers are the same but for rounding, on another processor for instance.

For values near 0 it is absolute: `TOLERANCE` times the largest value of the column, or times 1 where that is less.
"""


Columns = Mapping[str, Array]


class Agreement(IntEnum):
    """How two rows agree: bit for bit, within `TOLERANCE`, or not."""

    SAME = 0
    WITHIN = 1
    OTHER = 2


def row_ids(tables: Sequence[Columns], columns: Sequence[str]) -> list[Rows]:
    """Number the rows of some tables: rows have the same number where they have the same values in some columns.

    Examples
    --------
    >>> a, b = {"x": np.array(["p", "q"])}, {"x": np.array(["q", "r", "q"])}
    >>> [ids.tolist() for ids in row_ids([a, b], ["x"])]
    [[0, 1], [1, 2, 1]]
    """
    sizes = [len(table[columns[0]]) for table in tables]
    ids = np.zeros(sum(sizes), np.int64)
    for column in columns:
        values = np.concatenate([_plain(table[column]) for table in tables])
        distinct, codes = np.unique(values, return_inverse=True)
        _, ids = np.unique(ids * max(len(distinct), 1) + codes.reshape(-1), return_inverse=True)
        ids = ids.reshape(-1).astype(np.int64)
    return np.split(ids, np.cumsum(sizes)[:-1])


def _plain(values: Array) -> Array:
    return values.astype(np.str_) if values.dtype.kind == "O" else values


def split_by_value(ids: Sequence[Rows], values: Sequence[NDArray[np.float64]]) -> list[Rows]:
    """Number the rows of some tables anew, so that those of one number also lie within `TOLERANCE` in a value.

    Examples
    --------
    >>> ids = [np.array([0, 0]), np.array([0, 1])]
    >>> [new.tolist() for new in split_by_value(ids, [np.array([1.0, 2.0]), np.array([1.0 + 1e-13, 1.0])])]
    [[0, 1], [0, 2]]
    """
    joined, value = np.concatenate(ids), np.concatenate(values)
    order = np.lexsort((value, joined))
    near = _near(value[order][1:], value[order][:-1], TOLERANCE)
    begins = np.ones(order.size, np.bool_)
    begins[1:] = (np.diff(joined[order]) != 0) | ~near
    new = np.empty(order.size, np.int64)
    new[order] = np.cumsum(begins) - 1
    return np.split(new, np.cumsum([len(part) for part in ids])[:-1])


def pairs(before: Rows, after: Rows) -> tuple[Rows, Rows]:
    """Rows of the same number in two tables; the k-th of a number in one belongs to the k-th in the other.

    Examples
    --------
    >>> [rows.tolist() for rows in pairs(np.array([7, 3, 7]), np.array([7, 7, 7, 5]))]
    [[0, 2], [0, 1]]
    """
    ranks = [_ranks(ids) for ids in (before, after)]
    width = max(int(rank.max(initial=0)) for rank in ranks) + 1
    keys = before * width + ranks[0], after * width + ranks[1]
    _, first, second = np.intersect1d(keys[0], keys[1], assume_unique=True, return_indices=True)
    return first.astype(np.int64), second.astype(np.int64)


def _ranks(ids: Rows) -> Rows:
    """How many rows before each have its number."""
    order = np.argsort(ids, kind="stable")
    sorted_ids = ids[order]
    ranks = np.empty(ids.size, np.int64)
    ranks[order] = np.arange(ids.size) - np.searchsorted(sorted_ids, sorted_ids)
    return ranks


def all_pairs(before: Rows, after: Rows) -> tuple[Rows, Rows]:
    """Every row of one table with every row of the other that has its number.

    Examples
    --------
    >>> [rows.tolist() for rows in all_pairs(np.array([7, 3]), np.array([7, 5, 7]))]
    [[0, 0], [0, 2]]
    """
    order = np.argsort(after, kind="stable")
    low, high = (np.searchsorted(after[order], before, side) for side in ("left", "right"))
    count = high - low
    first = np.repeat(np.arange(before.size), count)
    offset = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    return first, order[np.repeat(low, count) + offset]


def agreement(before: Columns, after: Columns, first: Rows, second: Rows) -> NDArray[np.int8]:
    """How pairs of rows agree in the columns that both tables have; codes of `Agreement`.

    NaN agrees with NaN, and -0.0 with 0.0.

    Examples
    --------
    >>> rows = np.arange(3)
    >>> agreement({"x": np.array([1.0, 2.0, 3.0])}, {"x": np.array([1.0, 2.0 + 1e-14, 4.0])}, rows, rows).tolist()
    [0, 1, 2]
    """
    worst = np.zeros(first.size, np.int8)
    for name in [name for name in before if name in after]:
        a, b = before[name][first], after[name][second]
        if a.dtype.kind == "f" and b.dtype.kind == "f":
            same = (a == b) | (np.isnan(a) & np.isnan(b))
            near = same | _near(a, b, TOLERANCE * min(1.0, _largest(before[name]), _largest(after[name])))
        else:
            same = near = np.asarray(a == b, np.bool_)
        worst = np.maximum(worst, np.where(same, Agreement.SAME, np.where(near, Agreement.WITHIN, Agreement.OTHER)))
    return worst.astype(np.int8)


def _near(a: NDArray[np.float64], b: NDArray[np.float64], absolute: float) -> NDArray[np.bool_]:
    with np.errstate(invalid="ignore"):
        return np.asarray(np.abs(a - b) <= np.maximum(TOLERANCE * np.maximum(np.abs(a), np.abs(b)), absolute)) & (
            np.isfinite(a) & np.isfinite(b)
        )


def _largest(values: NDArray[np.float64]) -> float:
    return float(np.max(np.abs(values[np.isfinite(values)]), initial=0.0))


def counts(codes: NDArray[np.int8]) -> dict[str, int]:
    """How many pairs agree, and how.

    Examples
    --------
    >>> counts(np.array([0, 2, 0], np.int8))
    {'same': 2, 'within_1e-12': 0, 'other': 1}
    """
    numbers = np.bincount(codes, minlength=len(Agreement)).tolist()
    return dict(zip(("same", "within_1e-12", "other"), numbers, strict=True))

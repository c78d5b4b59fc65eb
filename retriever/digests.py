"""Digests of what stages make of each source, independent of the batch it was in."""

import hashlib
from collections.abc import Sequence

import numpy as np

from retriever.arrays import Array
from retriever.identity import DIGEST_CHARS, Digests, digest_each
from retriever.lightcurves import WORDS
from retriever.ragged import layout_name, rows_of
from retriever.schema import Columns, Tables

__all__ = ["digest_epochs", "digest_rows", "lightcurve_words"]


def lightcurve_words(index: Columns, n_sources: int) -> list[bytes]:
    """What is said of the light curves of each source, and how long they are, as text."""
    rows = list(zip(*(index[name].tolist() for name in (*WORDS, "n_rows")), strict=True))
    first, count = rows_of(index["source"], np.arange(n_sources))
    return [repr(rows[a : a + n]).encode() for a, n in zip(first.tolist(), count.tolist(), strict=True)]


def digest_epochs(tables: Tables, index: str, epochs: str, headers: Sequence[bytes]) -> Digests:
    """Digest of a header and of all columns of the epochs of each source.

    Neighbouring light curves of a source that have the same columns are digested together, column after column.

    Parameters
    ----------
    index, epochs
        Names of the table of light curves and of the tables of their epochs.
    headers
        What comes before the epochs of each source.
    """
    hashers = [hashlib.sha256(header) for header in headers]
    lightcurves = tables[index]
    views = {
        layout: [_bytes(column) for column in table.values()] for layout, table in _layouts(tables, lightcurves, epochs)
    }
    facts = {layout: _facts(tables[layout_name(epochs, layout)]) for layout in views}
    changed = (np.diff(lightcurves["source"]) != 0) | (np.diff(lightcurves["layout"]) != 0)
    starts = np.flatnonzero(
        np.concatenate([np.ones(min(changed.size + 1, lightcurves["source"].size), np.bool_)[:1], changed])
    )
    ends = np.append(starts[1:], lightcurves["source"].size)[: starts.size] - 1
    first, last = lightcurves["first"][starts], lightcurves["first"][ends] + lightcurves["n_rows"][ends]
    facts_of_runs = (lightcurves["source"][starts], lightcurves["layout"][starts], first, last)
    runs = zip(*(values.tolist() for values in facts_of_runs), strict=True)
    for source, layout, a, b in runs:
        names, widths = facts[layout]
        update = hashers[source].update
        update(names)
        for view, width in zip(views[layout], widths, strict=True):
            update(view[a * width : b * width])
    return np.array([hasher.hexdigest()[:DIGEST_CHARS].encode() for hasher in hashers], f"S{DIGEST_CHARS}")


def _bytes(column: Array) -> memoryview:
    return np.ascontiguousarray(column).view(np.uint8).reshape(-1).data if column.size else memoryview(b"")


def _layouts(tables: Tables, index: Columns, epochs: str) -> list[tuple[int, Columns]]:
    return [(layout, tables[layout_name(epochs, layout)]) for layout in np.unique(index["layout"]).tolist()]


def _facts(table: Columns) -> tuple[bytes, list[int]]:
    """Names and types of columns, and bytes of a row in each."""
    names = "|".join(f"{name}:{column.dtype.str}{column.shape[1:]}" for name, column in table.items()).encode()
    return names, [column.dtype.itemsize * int(np.prod(column.shape[1:], dtype=int)) for column in table.values()]


def digest_rows(n: int, columns: Columns, header: Sequence[bytes] = ()) -> Digests:
    """Digest of the rows of each item, with something before them; rows are sorted by `source`."""
    first, count = rows_of(columns["source"], np.arange(n))
    values = [column.tolist() for name, column in columns.items() if name != "source"]
    rows = list(zip(*values, strict=True)) if values else [()] * columns["source"].size
    heads = header or [b""] * n
    return digest_each(
        head + repr(rows[a : a + k]).encode() for head, a, k in zip(heads, first.tolist(), count.tolist(), strict=True)
    )

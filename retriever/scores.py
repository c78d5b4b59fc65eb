"""Scores: the columns that an analysis adds to light curves, stored beside them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from retriever.histogram import Histograms, SparseCounts, merged_counts, sparse_counts
from retriever.lightcurve import Lightcurve
from retriever.lightcurves import WORDS, LightcurveBatch, LightcurveSet
from retriever.ragged import layout_name, pack_ragged, ranges
from retriever.schema import Columns, Tables

__all__ = ["count_epochs", "score_tables", "score_tables_of_objects", "with_scores"]


def score_tables(reduced: LightcurveSet, processed: LightcurveSet) -> Tables:
    """Tables `scored` (an index) and `scores*`: only what an analysis added to light curves."""
    n = len(reduced)
    index: Columns = {
        "layout": np.zeros(n, np.int32),
        "first": np.zeros(n, np.int64),
        "n_rows": np.zeros(n, np.int64),
        "source": reduced.source,
        "number": np.zeros(n, np.int64),
        "n_good": np.zeros(n, np.int64),
    }
    tables: Tables = {"scored": index}
    for layout, (rows, old, new) in enumerate(zip(reduced.members, reduced.batches, processed.batches, strict=True)):
        added = {"qflag": new.columns["qflag"]}
        added |= {name: col for name, col in new.extra.items() if old.columns.get(name) is not col}
        tables[layout_name("scores", layout)] = added
        index["layout"][rows] = layout
        index["first"][rows] = new.offsets[:-1]
        index["n_rows"][rows] = new.lengths
        index["number"][rows] = new.words["number"]
        index["n_good"][rows] = new.lengths - new.count(new.columns["qflag"])
    return tables


def score_tables_of_objects(before: Sequence[Sequence[Lightcurve]], after: Sequence[Sequence[Lightcurve]]) -> Tables:
    """The same for light curves given as objects, for sources in their order."""
    rows, added = [], []
    for source, (old, new) in enumerate(zip(before, after, strict=True)):
        for lc_old, lc_new in zip(old, new, strict=True):
            known = lc_old.extra
            fresh = {key: col for key, col in lc_new.extra.items() if key not in known or known[key] is not col}
            added.append({"qflag": lc_new.qflag, **fresh})
            rows.append((source, lc_new.number, lc_new.n_good))
    tables, index = pack_ragged("scores", added)
    facts = np.array(rows, np.int64).reshape(-1, 3)
    index |= {name: facts[:, k].copy() for k, name in enumerate(("source", "number", "n_good"))}
    return {"scored": index, **tables}


def with_scores(lightcurves: Tables, scores: Tables) -> tuple[LightcurveSet, LightcurveSet]:
    """Light curves as they were reduced, and the same with their scores; both in the same batches."""
    index, scored = lightcurves["lightcurves"], scores["scored"]
    kinds = np.column_stack([index["layout"], scored["layout"]])
    members, reduced, processed = [], [], []
    for layout, score_layout in np.unique(kinds, axis=0).tolist():
        rows = np.flatnonzero((kinds == (layout, score_layout)).all(axis=1))
        epochs, added = lightcurves[layout_name("epochs", layout)], scores[layout_name("scores", score_layout)]
        batch = LightcurveBatch(
            source=index["source"][rows],
            words={name: index[name][rows] for name in WORDS},
            offsets=np.concatenate([[0], np.cumsum(index["n_rows"][rows])]),
            columns=_epochs(index, rows, epochs),
        )
        members.append(rows)
        reduced.append(batch)
        processed.append(batch.replace(**_epochs(scored, rows, added)))
    before = LightcurveSet(source=index["source"], batches=tuple(reduced), members=tuple(members))
    return before, before.with_batches(processed)


def _epochs(index: Columns, rows: NDArray[np.int64], table: Columns) -> Columns:
    """Columns of a table at the epochs of some light curves; the table itself where these are all of it."""
    epochs = ranges(index["first"][rows], index["n_rows"][rows])
    whole = np.array_equal(epochs, np.arange(len(next(iter(table.values()), ()))))
    return dict(table) if whole else {name: column[epochs] for name, column in table.items()}


def count_epochs(reduced: LightcurveSet, processed: LightcurveSet, histograms: Histograms) -> SparseCounts:
    """Count the epochs of light curves for the histograms: by the scores that have an axis, and new ones like them."""
    parts = []
    for before, batch in zip(reduced.batches, processed.batches, strict=True):
        scores = [name for name in batch.columns if name in histograms.scores or name not in before.columns]
        bands = batch.words["band"]
        for band in np.unique(bands).tolist():
            mine = bands == band
            epochs = slice(None) if mine.all() else batch.spread(mine)
            columns = {name: column[epochs] for name, column in batch.columns.items()}
            parts.append(sparse_counts(histograms, band, columns, scores))
    return merged_counts(parts)

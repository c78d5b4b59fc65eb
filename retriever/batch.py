"""What a stage takes and gives: a batch of items in columns, and what was made of each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retriever.attempt import Failure
from retriever.digests import digest_epochs, digest_rows, lightcurve_words
from retriever.histogram import SparseCounts
from retriever.identity import DIGEST_CHARS, Digests
from retriever.lightcurves import LightcurveSet, lightcurve_tables
from retriever.outcome import Outcome
from retriever.ragged import cut_items, rows_of, select_items
from retriever.schema import NUMPY_KINDS, Columns, Table, Tables
from retriever.source import SourceTable

__all__ = ["Batch", "Components", "Made", "select_batch"]

Components = Mapping[str, Any]
"""The components of a run for one survey by their group: observatory, reducer, quality, finder, analysis, simulator,
and the component of each stage that the project adds, by the name of the stage."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """Items that a stage works on, all of whose inputs are there.

    Attributes
    ----------
    observatory
        Name of the survey in the config; "" for a stage that joins surveys.
    seed
        ``project.seed``.
    items
        Names of the items: of sources, or of groups such as nights.
    sources
        For stages of sources the items; for stages of groups all sources that are in any of them.
    inputs
        Tables by port. Their column `source` counts the rows of `sources`; of ports that a stage of groups gives, it
        counts `groups`.
    joined
        For stages that join surveys: observatory to port to tables. Sources without data in a survey have no rows
        there.
    members
        For stages of groups: rows of `sources` that are in each item.
    groups
        For ports that a stage of groups made: port to the names of the groups that its tables count.
    """

    observatory: str
    seed: int
    items: NDArray[np.str_]
    sources: SourceTable
    inputs: Mapping[str, Tables] = field(default_factory=dict)
    joined: Mapping[str, Mapping[str, Tables]] = field(default_factory=dict)
    members: tuple[NDArray[np.int64], ...] = ()
    groups: Mapping[str, NDArray[np.str_]] = field(default_factory=dict)

    def __len__(self) -> int:
        return int(self.items.size)


@dataclass(kw_only=True, eq=False)
class Made:
    """What a stage made of a batch.

    Attributes
    ----------
    tables
        The products; their column `source`, which must be sorted, counts the items of the batch.
    outcome, n_rows, digest, message
        One value an item: code of `Outcome`, rows of its product, digest of its product, and why it failed.
    counts
        Epochs counted into histograms.
    """

    tables: Tables
    outcome: NDArray[np.int8]
    n_rows: NDArray[np.int64]
    digest: Digests
    message: list[str]
    counts: SparseCounts = field(default_factory=dict)

    @classmethod
    def none(cls, n: int) -> "Made":
        """Nothing made of n items yet; all of them done."""
        return cls(
            tables={},
            outcome=np.full(n, Outcome.DONE, np.int8),
            n_rows=np.zeros(n, np.int64),
            digest=np.zeros(n, f"S{DIGEST_CHARS}"),
            message=[""] * n,
        )

    @classmethod
    def from_rows(cls, table: Table, of_items: Sequence[Sequence[Mapping[str, object]] | Failure]) -> "Made":
        """Rows that a stage made of each item, as a table; for stages that are written one item at a time.

        Examples
        --------
        >>> from retriever.schema import Column
        >>> nights = Table(name="nights", columns=(Column(name="night", kind=int, unit="d"),))
        >>> made = Made.from_rows(nights, [[{"night": 58000}], [], Failure(ValueError("no"))])
        >>> made.outcome.tolist(), made.tables["nights"]["night"].tolist()
        ([0, 1, 2], [58000])
        """
        made = cls.none(len(of_items))
        source: list[int] = []
        rows: list[Mapping[str, object]] = []
        for k, rows_of_item in enumerate(of_items):
            if isinstance(rows_of_item, Failure):
                made.fail(k, rows_of_item)
                continue
            source += [k] * len(rows_of_item)
            rows += rows_of_item
            made.n_rows[k] = len(rows_of_item)
            made.outcome[k] = Outcome.DONE if rows_of_item else Outcome.EMPTY
        columns: Columns = {"source": np.array(source, np.int64)}
        for spec in table.columns:
            columns[spec.name] = np.array([row[spec.name] for row in rows], NUMPY_KINDS[spec.kind])
        made.tables = {table.name: columns}
        made.digest = digest_rows(len(of_items), columns)
        return made

    @classmethod
    def from_lightcurves(cls, lightcurves: LightcurveSet, n: int, headers: Sequence[bytes] = ()) -> "Made":
        """Light curves of n sources, as the port `lightcurves`; a source without any is empty.

        Parameters
        ----------
        headers
            What else the digest of each source covers.
        """
        made = cls.none(n)
        made.tables = lightcurve_tables(lightcurves)
        index = made.tables["lightcurves"]
        first, count = rows_of(lightcurves.source, np.arange(n))
        made.outcome[count == 0] = Outcome.EMPTY
        ends = np.concatenate([[0], np.cumsum(index["n_rows"])])
        made.n_rows[:] = ends[first + count] - ends[first]
        words = lightcurve_words(index, n)
        texts = [word + header for word, header in zip(words, headers, strict=True)] if headers else words
        made.digest = digest_epochs(made.tables, "lightcurves", "epochs", texts)
        return made

    def part(self, first: int, last: int) -> "Made":
        """What was made of consecutive items, without the counts, which are of all items."""
        return Made(
            tables=cut_items(self.tables, first, last), outcome=self.outcome[first:last],
            n_rows=self.n_rows[first:last], digest=self.digest[first:last], message=self.message[first:last],
        )  # fmt: skip

    def fail(self, item: int, failure: Failure) -> None:
        """Write down that one item failed."""
        self.outcome[item], self.message[item], self.digest[item] = Outcome.FAILED, failure.message, b""


def select_batch(batch: Batch, items: NDArray[np.int64]) -> Batch:
    """Some items of a batch of sources, as a batch of their own."""
    if items.size == len(batch):
        return batch
    return Batch(
        observatory=batch.observatory,
        seed=batch.seed,
        items=batch.items[items],
        sources=batch.sources.take(items) if not batch.members else batch.sources,
        inputs={
            port: tables if port in batch.groups or batch.members else select_items(tables, items)
            for port, tables in batch.inputs.items()
        },
        joined={
            name: {port: select_items(tables, items) for port, tables in of_survey.items()}
            for name, of_survey in batch.joined.items()
        },
        members=tuple(batch.members[k] for k in items.tolist()) if batch.members else (),
        groups=batch.groups,
    )

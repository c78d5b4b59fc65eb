"""What is there, what is missing, and how to cut the work: pure, and in columns.

A product counts while its stage key and its input are what the plan derives now and its file is there. The input of
the raw photometry is the name with the request to the archive (and the state of the source's files, where it is read
from files); the input of all later stages is the digest of the raw photometry with that of the catalog's row.
"""

import itertools
from collections.abc import Mapping, Set
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retriever.identity import Digests, join_digests
from retriever.outcome import STAGES, Outcome
from retriever.source import SourceTable
from retriever.store.products import NOWHERE, InputIndex, Products

__all__ = ["Choice", "StageState", "SurveyState", "Task", "cut_tasks", "derive", "needs"]

Flags = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, eq=False)
class StageState:
    """State of one stage for every source of the catalog, in columns.

    Attributes
    ----------
    outcome
        Codes of `Outcome`.
    segment, row
        Where the product lies; −1 where it lies nowhere.
    n_rows
        Rows of the product: raw rows, epochs, detections, injections.
    digest, input
        Digests; empty where there is none.
    message
        Sentences, by source.
    stood
        True where there is a product of some input, be it the present one or not.
    """

    outcome: NDArray[np.int8]
    segment: NDArray[np.int64]
    row: NDArray[np.int64]
    n_rows: NDArray[np.int64]
    digest: Digests
    input: Digests
    stood: NDArray[np.bool_]
    message: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, eq=False)
class SurveyState:
    """State of all stages of one observatory."""

    stages: Mapping[str, StageState]

    def outcome(self, stage: str) -> NDArray[np.int8]:
        """Outcome codes of a stage."""
        return self.stages[stage].outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which part of the work a run is asked to do.

    Attributes
    ----------
    stages
        Names of the stages.
    sources
        True for the sources of the catalog that are asked for.
    retry
        Whether to try failed ones again.
    not_asked
        Observatories that are not asked for anything.
    """

    stages: tuple[str, ...]
    sources: Flags
    retry: bool = True
    not_asked: frozenset[str] = frozenset()

    def of(self, observatory: str) -> "Choice":
        """What is asked for of one observatory."""
        if observatory not in self.not_asked:
            return self
        return replace(self, stages=tuple(stage for stage in self.stages if stage != "download"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One batch: some sources of one observatory that lack the same stages and have their inputs in one place.

    Attributes
    ----------
    observatory, stages
        What to do.
    rows
        Rows of the catalog.
    segments
        Stage to segment id, for inputs that are already there.
    """

    observatory: str
    stages: tuple[str, ...]
    rows: NDArray[np.int64]
    segments: Mapping[str, int]


def derive(
    catalog: SourceTable,
    asked: Digests,
    products: Mapping[str, Products],
    present: Mapping[int, Any] | set[int],
    stale: Set[int] = frozenset(),
) -> SurveyState:
    """Derive what counts of one observatory's products.

    Parameters
    ----------
    catalog
        The sources.
    asked
        Inputs of their raw products.
    products
        Stage to its products; a stage without any may be left out.
    present
        Ids of the segments whose files are there.
    stale
        Ids of segments of raw data that are to be fetched again, though they are there.
    """
    none = Products.unpack([])
    raw = _matched(catalog, asked, InputIndex(asked), products.get("download", none), set(present) - stale)
    inputs = join_digests(raw.digest, catalog.digests)
    stages, index = {"download": raw}, InputIndex(inputs)
    asking = set(catalog.name[(raw.outcome != Outcome.DONE) & (raw.outcome != Outcome.EMPTY)].tolist())
    for stage in STAGES[1:]:
        stages[stage] = _matched(catalog, inputs, index, products.get(stage, none), present, asking)
    _inherit(stages)
    return SurveyState(stages=stages)


def _matched(
    catalog: SourceTable,
    inputs: Digests,
    index: InputIndex,
    products: Products,
    present: Mapping[int, Any] | set[int],
    asking: Set[str] = frozenset(),
) -> StageState:
    """Find each source's product; of those that ask for raw data, also whether they ever had one of any input."""
    n = len(catalog)
    entry = index.latest(products)
    there = entry >= 0
    found = entry[there]
    ids = np.fromiter(present, np.int64, len(present))
    outcome, segment = products.outcome[found], products.segment[found]
    counts = (outcome == Outcome.FAILED) | np.isin(segment, ids)

    def spread(values: Any, fill: Any) -> Any:
        column = np.full(n, fill, values.dtype)
        column[np.flatnonzero(there)[counts]] = values[counts]
        return column

    digest = np.zeros(n, inputs.dtype)
    digest[there] = products.digest_of(found)
    known = products.among(asking) if asking and len(products) else set()
    return StageState(
        outcome=spread(outcome, Outcome.PENDING),
        segment=spread(segment, NOWHERE),
        row=spread(products.row[found], -1),
        n_rows=spread(products.n_rows[found], 0),
        digest=digest,
        input=inputs,
        stood=there | np.fromiter((name in known for name in catalog.name.tolist()), np.bool_, n) if known else there,
        message={
            int(k): products.message[e]
            for k, e in zip(np.flatnonzero(there)[counts], found[counts].tolist(), strict=True)
            if e in products.message
        }
        if products.message
        else {},
    )


def _inherit(stages: Mapping[str, StageState]) -> None:
    """Where a stage upstream is empty or failed, so is what would stand on it: empty, or blocked."""
    for above, below in itertools.pairwise(STAGES):
        upstream, state = stages[above].outcome, stages[below].outcome
        state[upstream == Outcome.EMPTY] = Outcome.EMPTY
        state[(upstream == Outcome.FAILED) | (upstream == Outcome.BLOCKED)] = Outcome.BLOCKED


def cut_tasks(
    observatory: str,
    state: SurveyState,
    choice: Choice,
    ra: NDArray[np.float64],
    batch_size: int,
    tried: Mapping[str, Flags],
) -> list[Task]:
    """Cut what is to do into tasks.

    Parameters
    ----------
    ra
        Right ascension of the sources; batches follow it, so that segments hold neighbours.
    tried
        Stage to the sources that this run has already tried and that failed: not again.
    """
    need, _ = needs(state, choice, tried)
    code = np.zeros(ra.size, np.int64)
    for k, stage in enumerate(STAGES):
        code += need[stage].astype(np.int64) << k
    sources = {
        "download": need["reduce"] & ~need["download"],
        "reduce": (need["analyze"] | need["simulate"]) & ~need["reduce"],
        "analyze": need["simulate"] & ~need["analyze"],
    }
    keys = [code] + [np.where(used, state.stages[stage].segment, -1) for stage, used in sources.items()]
    busy = np.flatnonzero(code)
    if busy.size == 0:
        return []
    order = busy[np.lexsort((ra[busy], *(key[busy] for key in reversed(keys))))]
    table = np.column_stack([key[order] for key in keys])
    edges = np.flatnonzero((table[1:] != table[:-1]).any(axis=1)) + 1
    tasks = []
    for group in np.split(np.arange(order.size), edges):
        mask, *inputs = table[group[0]].tolist()
        for start in range(0, group.size, batch_size):
            tasks.append(
                Task(
                    observatory=observatory,
                    stages=tuple(stage for k, stage in enumerate(STAGES) if mask >> k & 1),
                    rows=order[group[start : start + batch_size]],
                    segments={stage: number for stage, number in zip(sources, inputs, strict=True) if number >= 0},
                )
            )
    return tasks


def needs(state: SurveyState, choice: Choice, tried: Mapping[str, Flags]) -> tuple[dict[str, Flags], dict[str, Flags]]:
    """Find what is to do: stage to the sources that need it now, and to those of which it depends on their raw data."""
    need: dict[str, Flags] = {}
    upstream_done = np.ones(choice.sources.size, np.bool_)
    for stage in STAGES:
        outcome = state.outcome(stage)
        lacking = ((outcome == Outcome.PENDING) & ~tried[stage]) | (outcome == Outcome.BLOCKED)
        if choice.retry:
            lacking |= (outcome == Outcome.FAILED) & ~tried[stage]
        need[stage] = lacking & upstream_done & choice.sources & (stage in choice.stages)
        upstream_done = need[stage] | (outcome == Outcome.DONE)
    # what comes from the survey now may be what it was: whether products there still count is judged afterwards
    changed = need["download"] & np.logical_or.reduce([state.stages[stage].stood for stage in STAGES[1:]])
    undecided = {stage: need[stage] & changed & (stage != "download") for stage in STAGES}
    for stage in STAGES[1:]:
        need[stage] &= ~changed
    return need, undecided

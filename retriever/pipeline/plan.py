"""What is there, what is missing, and how to cut the work: pure, and in columns.

A product counts while its stage key and its input are what the plan derives now and its file is there. The input of
the raw photometry is the name and place asked for (and the observatory's stamp of the data, where it has one); the
input of all later stages is the digest of the raw photometry with that of the catalog's row.
"""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retriever.identity import digest_bytes
from retriever.outcome import STAGES, Outcome
from retriever.source import SourceTable

__all__ = ["Choice", "StageState", "SurveyState", "Task", "cut_tasks", "derive"]

ProductRow = tuple[str, str, int, int | None, int | None, int, str, str]
"""Source, input, outcome, segment, source row, rows, digest, message: as the database gives them."""

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
    digest, input, message
        Text by source; "" where there is none.
    stood
        True where there is a product of some input, be it the present one or not.
    """

    outcome: NDArray[np.int8]
    segment: NDArray[np.int64]
    row: NDArray[np.int64]
    n_rows: NDArray[np.int64]
    digest: list[str]
    input: list[str]
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
    """

    stages: tuple[str, ...]
    sources: Flags
    retry: bool = True


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
    products: Mapping[str, Iterable[ProductRow]],
    present: Mapping[int, Any] | set[int],
    stamps: Sequence[str] | None = None,
) -> SurveyState:
    """Derive what counts of one observatory's products.

    Parameters
    ----------
    catalog
        The sources.
    products
        Stage to the rows of the database.
    present
        Ids of the segments whose files are there.
    stamps
        The observatory's stamps of its data, where it has them.
    """
    asked = catalog.places
    if stamps is not None:
        asked = [digest_bytes(place.encode(), stamp.encode()) for place, stamp in zip(asked, stamps, strict=True)]
    raw = _matched(catalog, asked, products.get("download", ()), present)
    inputs = [
        digest_bytes(digest.encode(), row.encode()) if digest else ""
        for digest, row in zip(raw.digest, catalog.digests, strict=True)
    ]
    stages = {"download": raw}
    for stage in STAGES[1:]:
        stages[stage] = _matched(catalog, inputs, products.get(stage, ()), present)
    _inherit(stages)
    return SurveyState(stages=stages)


def _matched(
    catalog: SourceTable, inputs: list[str], rows: Iterable[ProductRow], present: Mapping[int, Any] | set[int]
) -> StageState:
    n = len(catalog)
    state = StageState(
        outcome=np.full(n, Outcome.PENDING, np.int8),
        segment=np.full(n, -1, np.int64),
        row=np.full(n, -1, np.int64),
        n_rows=np.zeros(n, np.int64),
        digest=[""] * n,
        input=inputs,
        stood=np.zeros(n, np.bool_),
    )
    index = catalog._row_of
    for name, digest_in, outcome, segment, source_row, n_rows, digest, message in rows:
        k = index.get(name, -1)
        if k < 0:
            continue
        state.stood[k] = True
        if inputs[k] != digest_in:
            continue
        state.digest[k] = digest
        if outcome == Outcome.FAILED:
            state.outcome[k] = outcome
            state.message[k] = message
        elif segment in present and segment is not None and source_row is not None:
            state.outcome[k] = outcome
            state.segment[k], state.row[k], state.n_rows[k] = segment, source_row, n_rows
            if message:
                state.message[k] = message
    return state


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
    need = _needs(state, choice, tried)
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


def _needs(state: SurveyState, choice: Choice, tried: Mapping[str, Flags]) -> dict[str, Flags]:
    """Stage to the sources that need it now."""
    need: dict[str, Flags] = {}
    upstream_done = np.ones(choice.sources.size, np.bool_)
    for stage in STAGES:
        outcome = state.outcome(stage)
        lacking = (outcome == Outcome.PENDING) | (outcome == Outcome.BLOCKED)
        if choice.retry:
            lacking |= (outcome == Outcome.FAILED) & ~tried[stage]
        need[stage] = lacking & upstream_done & choice.sources & (stage in choice.stages)
        upstream_done = need[stage] | (outcome == Outcome.DONE)
    # what comes from the survey now may be what it was: whether products there still count is judged afterwards
    changed = need["download"] & np.logical_or.reduce([state.stages[stage].stood for stage in STAGES[1:]])
    for stage in STAGES[1:]:
        need[stage] &= ~changed
    return need

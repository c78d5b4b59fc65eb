"""The one walk through the stages: used by the tasks of a run, by `retriever try` and by `retriever simulated`."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

import numpy as np

from retriever.attempt import Failure
from retriever.batch import Batch, Components, Made, select_batch
from retriever.errors import ConfigError, DataError, StoreError
from retriever.graph import Graph, Stage
from retriever.identity import DIGEST_CHARS
from retriever.outcome import Outcome
from retriever.ragged import is_long
from retriever.schema import Tables

__all__ = ["Inputs", "tables_of_port", "walk"]

log = logging.getLogger("retriever")


@dataclass(frozen=True, kw_only=True, eq=False)
class Inputs:
    """Products that exist before a walk.

    Attributes
    ----------
    load
        Gives the tables of a stage's port for all items of the batch.
    load_joined
        The same for all surveys, for a stage that joins them.
    """

    load: Callable[[Stage, str], Tables]
    load_joined: Callable[[Stage, str], Mapping[str, Tables]]


def walk(
    graph: Graph,
    stages: Sequence[str],
    components: Components,
    batch: Batch,
    inputs: Inputs,
    write: Callable[[Stage, Made], None],
    *,
    contain: bool = True,
) -> None:
    """Take a batch through some stages; what one makes is what the next takes.

    Parameters
    ----------
    graph
        All stages.
    stages
        Those to go through, of one unit, upstream first.
    batch
        The items, without inputs.
    inputs
        Where products come from that no stage of the walk makes.
    write
        Is given what each stage made, for all items of the batch: those that are empty or failed before are in it too.
    contain
        Whether a stage that breaks fails all items of the batch; else what it raised is raised.
    """
    made_now: dict[tuple[str, str], Tables] = {}
    outcomes: dict[str, np.ndarray] = {}
    for name in stages:
        stage = graph[name]
        given = _inputs(graph, stage, batch, inputs, made_now)
        blocked, empty = _stopped(graph, stage, outcomes, len(batch))
        going = np.flatnonzero(~(blocked | empty))
        made = _run(stage, components, select_batch(given, going), contain) if going.size else Made.none(0)
        whole = _spread(made, going, len(batch), blocked, empty)
        for port in stage.outputs:
            made_now[name, port.name] = tables_of_port(whole.tables, stage, port.name)
        outcomes[name] = whole.outcome
        write(stage, whole)


def _run(stage: Stage, components: Components, batch: Batch, contain: bool) -> Made:
    """Run a stage; one that breaks fails the items of this batch, and no others."""
    try:
        made = stage.run(components, batch)
        _refuse_unsorted(stage, made, len(batch))
        return made
    except (ConfigError, StoreError):
        raise
    except Exception as error:
        if not contain:
            raise
        log.debug("stage %s failed", stage.name, exc_info=True)
        made = Made.none(len(batch))
        for item in range(len(batch)):
            made.fail(item, Failure(error))
        return made


def _refuse_unsorted(stage: Stage, made: Made, n: int) -> None:
    for name, columns in made.tables.items():
        source = columns.get("source", np.zeros(0, np.int64))
        if is_long(name) or not source.size:
            continue
        if source[0] < 0 or source[-1] >= n or (source[1:] < source[:-1]).any():
            raise DataError(
                f"stage {stage.name!r} gave rows of table {name!r} that are not in the order of the items; "
                "sort them by the column 'source'"
            )


def tables_of_port(tables: Tables, stage: Stage, port: str) -> Tables:
    """Those tables of a stage that hold one of its ports."""
    patterns = stage.port(port).tables
    return {
        name: columns for name, columns in tables.items() if any(fnmatchcase(name, pattern) for pattern in patterns)
    }


def _inputs(
    graph: Graph, stage: Stage, batch: Batch, inputs: Inputs, made_now: Mapping[tuple[str, str], Tables]
) -> Batch:
    producers = graph.producers(stage)
    if stage.joins_surveys:
        joined: dict[str, dict[str, Tables]] = {}
        for port, producer in producers.items():
            for observatory, tables in inputs.load_joined(producer, port).items():
                joined.setdefault(observatory, {})[port] = tables
        return replace(batch, joined=joined)
    given = {
        port: made_now[producer.name, port] if (producer.name, port) in made_now else inputs.load(producer, port)
        for port, producer in producers.items()
    }
    return replace(batch, inputs=given)


def _stopped(graph: Graph, stage: Stage, outcomes: Mapping[str, np.ndarray], n: int) -> tuple[np.ndarray, np.ndarray]:
    """Items for which a stage before failed, and those for which one had nothing."""
    blocked, empty = np.zeros(n, np.bool_), np.zeros(n, np.bool_)
    for other in graph.upstream(stage):
        if other.name in outcomes:
            outcome = outcomes[other.name]
            blocked |= (outcome == Outcome.FAILED) | (outcome == Outcome.BLOCKED)
            empty |= outcome == Outcome.EMPTY
    return blocked, empty & ~blocked


def _spread(made: Made, going: np.ndarray, n: int, blocked: np.ndarray, empty: np.ndarray) -> Made:
    """What was made of some items, for all of them."""
    if going.size == n:
        return made
    whole = Made.none(n)
    whole.digest = np.zeros(n, f"S{DIGEST_CHARS}")
    whole.outcome[blocked], whole.outcome[empty] = Outcome.BLOCKED, Outcome.EMPTY
    whole.outcome[going], whole.n_rows[going], whole.digest[going] = made.outcome, made.n_rows, made.digest
    for k, message in zip(going.tolist(), made.message, strict=True):
        whole.message[k] = message
    whole.tables = {
        name: columns if is_long(name) else {**columns, "source": going[columns["source"]]}
        for name, columns in made.tables.items()
    }
    whole.counts = made.counts
    return whole

"""The walk through the stages, and what it refuses of a stage."""

from dataclasses import replace

import numpy as np
import pytest

from retriever.batch import Batch, Components, Made
from retriever.graph import GRAPH, Graph
from retriever.outcome import Outcome
from retriever.source import SourceTable
from retriever.walk import Inputs, walk

SOURCES = SourceTable.from_columns(name=["a", "b", "c"], ra=[1.0, 2.0, 3.0], dec=[0.0, 0.0, 0.0])


def give(components: Components, batch: Batch) -> Made:
    """A stage that gives a table with the numbers of items that are its component."""
    made = Made.none(len(batch))
    made.tables = {"raw_index": {"source": np.array(components["numbers"], np.int64)}}
    return made


def walked(source: list[int], **how: bool) -> Made:
    """What a walk makes of a stage that gives a table with these numbers of items."""
    results = []
    walk(
        Graph(stages=(replace(GRAPH["download"], run=give),)), ("download",), {"numbers": source},
        Batch(observatory="demo", seed=0, items=SOURCES.name, sources=SOURCES),
        Inputs(load=lambda stage, port: {}, load_joined=lambda stage, port: {}),
        lambda stage, made: results.append(made), **how,
    )  # fmt: skip
    (made,) = results
    return made


@pytest.mark.parametrize("source", [[], [0, 1, 2], [0, 0, 2], [2]])
def test_rows_in_the_order_of_the_items_are_taken(source: list[int]) -> None:
    made = walked(source)
    assert made.outcome.tolist() == [Outcome.DONE] * 3 and made.tables["raw_index"]["source"].tolist() == source


@pytest.mark.parametrize("source", [[1, 0], [0, 3], [-1, 0], [0, 2, 1, 2]])
def test_rows_of_other_items_or_in_another_order_fail_the_batch(source: list[int]) -> None:
    made = walked(source)
    assert made.outcome.tolist() == [Outcome.FAILED] * 3 and made.tables == {}
    assert all("'raw_index' that are not in the order of the items" in text for text in made.message)


def test_what_a_stage_raises_is_raised_where_it_is_not_contained() -> None:
    with pytest.raises(Exception, match="not in the order"):
        walked([1, 0], contain=False)

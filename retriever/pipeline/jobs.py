"""From a task of the plan to a job for a worker: what it works on, and where its inputs lie."""

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from retriever.arrays import Rows
from retriever.graph import Stage
from retriever.outcome import Outcome
from retriever.pipeline.cutting import Task
from retriever.pipeline.inventory import SegmentRow
from retriever.pipeline.plan import Groups, StageState, States
from retriever.pipeline.recipe import JOINT, Recipe
from retriever.pipeline.task import Job, Load
from retriever.source import SourceTable

__all__ = ["make_job", "make_loads"]


Segments = Mapping[int, SegmentRow]


def make_job(recipe: Recipe, task: Task, states: States, segments: Segments, sources: SourceTable) -> Job:
    """A task with all that a worker needs for it."""
    name, first = task.observatory, recipe.stages[task.stages[0]]
    own = states[name]
    keys = {stage: spec.key for stage, spec in recipe.specs[name].items()}
    inputs = {stage: own[stage].input[task.rows] for stage in task.stages}
    if first.is_of_groups:
        groups = own[first.name].groups
        assert groups is not None
        rows, members = _members(groups, task.rows)
        return Job(
            observatory=name, stages=task.stages, items=groups.names[task.rows], sources=sources.take(rows),
            inputs=inputs, loads=tuple(make_loads(recipe, name, first, rows, states, segments)), keys=keys,
            members=members,
        )  # fmt: skip
    chosen = sources.take(task.rows)
    loads: list[Load] = []
    used: dict[str, NDArray[np.str_]] = {}
    for stage in map(recipe.stages.__getitem__, task.stages):
        loads += _own_loads(recipe, task, stage, own, segments, loads)
        for _, other in recipe.upstream(name, stage):
            if other.is_of_groups and other.name not in used:
                used[other.name], of_groups = _group_loads(recipe, name, other, task.rows, own[other.name], segments)
                loads += of_groups
        if stage.joins_surveys:
            loads += make_loads(recipe, JOINT, stage, task.rows, states, segments)
        elif any(other.joins_surveys for _, other in recipe.upstream(name, stage)):
            loads += [
                load
                for joint_name, other in recipe.upstream(name, stage)
                if other.joins_surveys
                for load in _loads(joint_name, other, states[joint_name][other.name], task.rows, segments)
            ]
    return Job(
        observatory=name, stages=task.stages, items=chosen.name, sources=chosen, inputs=inputs,
        loads=tuple(loads), keys=keys, groups=used,
    )  # fmt: skip


def _own_loads(
    recipe: Recipe, task: Task, stage: Stage, own: Mapping[str, StageState], segments: Segments, known: list[Load]
) -> list[Load]:
    """Products of the same unit, which lie in one segment for each batch."""
    if stage.joins_surveys:
        return []
    have = {load.stage for load in known}
    return [
        load
        for _, other in recipe.upstream(task.observatory, stage)
        if other.name in task.segments and other.name not in have and not other.joins_surveys and not other.is_of_groups
        for load in _loads(task.observatory, other, own[other.name], task.rows, segments)
    ]


def make_loads(
    recipe: Recipe, observatory: str, stage: Stage, rows: Rows, states: States, segments: Segments
) -> list[Load]:
    """Products of some sources that a stage takes, from all segments in which they lie."""
    return [
        load
        for name, other in recipe.upstream(observatory, stage)
        if not other.is_of_groups
        for load in _loads(name, other, states[name][other.name], rows, segments)
    ]


def _loads(name: str, stage: Stage, state: StageState, items: Rows, segments: Segments) -> Iterator[Load]:
    """One load for each segment that holds a product of some items."""
    segment = state.segment[items]
    done = np.flatnonzero((state.outcome[items] == Outcome.DONE) & (segment >= 0))
    for number in np.unique(segment[done]).tolist():
        here = done[segment[done] == number]
        yield Load(
            observatory=name, stage=stage.name, path=segments[number][1], rows=state.row[items[here]], items=here
        )


def _members(groups: Groups, numbers: Rows) -> tuple[Rows, tuple[Rows, ...]]:
    """Sources that are in any of some groups, and for each group which of these."""
    of_groups = [groups.members(number) for number in numbers.tolist()]
    rows = np.unique(np.concatenate(of_groups))
    return rows, tuple(np.searchsorted(rows, members) for members in of_groups)


def _group_loads(
    recipe: Recipe, name: str, stage: Stage, rows: Rows, state: StageState, segments: Segments
) -> tuple[NDArray[np.str_], list[Load]]:
    """Names of the groups that some sources are in, and where the products of these lie."""
    groups = state.groups
    assert groups is not None
    numbers = np.unique(groups.group[np.isin(groups.source, rows)])
    return groups.names[numbers], list(_loads(name, stage, state, numbers, segments))

"""Which items need which stages now, and how to cut that into tasks."""

from collections.abc import Mapping, Set
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retriever.graph import Stage
from retriever.outcome import Outcome
from retriever.pipeline.plan import Choice, Flags, Key, States
from retriever.pipeline.recipe import Recipe

__all__ = ["Needs", "Task", "Tried", "cut_tasks", "needs"]

Tried = Mapping[Key, Set[bytes]]
"""Inputs that this run has already tried and that failed, by observatory and stage."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One batch: items of one unit that lack the same stages and have their inputs in one place.

    Attributes
    ----------
    observatory, stages
        What to do.
    rows
        Rows of the catalog, or numbers of groups.
    segments
        Stage to the id of the segment that holds its products, for stages of the same unit that need not be made.
    """

    observatory: str
    stages: tuple[str, ...]
    rows: NDArray[np.int64]
    segments: Mapping[str, int]


@dataclass(frozen=True, kw_only=True, eq=False)
class Needs:
    """What is to be made.

    Attributes
    ----------
    now
        Observatory and stage to the items that need it now.
    undecided
        The same for items of which it depends on raw data that is fetched first.
    later
        The same for items that wait for stages of other units in the same run.
    """

    now: Mapping[Key, Flags]
    undecided: Mapping[Key, Flags]
    later: Mapping[Key, Flags]


def needs(recipe: Recipe, states: States, choice: Choice, tried: Tried) -> Needs:
    """Find what is to be made."""
    now: dict[Key, Flags] = {}
    undecided: dict[Key, Flags] = {}
    later: dict[Key, Flags] = {}
    for name, stage in recipe.nodes():
        state = states[name][stage.name]
        chosen = stage.name in choice.of(name).stages
        lacking = (state.outcome == Outcome.PENDING) | (state.outcome == Outcome.BLOCKED)
        if choice.retry:
            lacking |= state.outcome == Outcome.FAILED
        failed_now = tried.get((name, stage.name))
        if failed_now:
            own = state.outcome != Outcome.BLOCKED
            lacking &= ~(own & np.isin(state.input, np.array(sorted(failed_now), state.input.dtype)))
        if not stage.is_of_groups:
            lacking &= choice.sources
        lacking &= chosen
        now[name, stage.name] = lacking & _ready(recipe, name, stage, states, now)
        later[name, stage.name] = lacking & ~now[name, stage.name] & _to_come(recipe, name, stage, states, now, later)
        undecided[name, stage.name] = np.zeros(lacking.size, np.bool_)
    for name in recipe.surveys:
        _wait_for_raw_data(recipe, name, states, now, undecided)
    return Needs(now=now, undecided=undecided, later=later)


def _ready(recipe: Recipe, observatory: str, stage: Stage, states: States, now: Mapping[Key, Flags]) -> Flags:
    """Items whose inputs exist, or are made in the same task."""
    state = states[observatory][stage.name]
    ready = np.ones(state.outcome.size, np.bool_)
    if stage.is_of_groups:
        assert state.groups is not None
        in_work = any(now[key].any() for key in _keys(recipe, observatory, stage))
        return ready & state.groups.is_whole & (not in_work)
    has_any = np.zeros(ready.size, np.bool_)
    for name, other in recipe.upstream(observatory, stage):
        above, made_now = states[name][other.name], now[name, other.name]
        if stage.joins_surveys:
            ready &= (above.outcome != Outcome.PENDING) & ~made_now
            has_any |= above.outcome == Outcome.DONE
        elif other.is_of_groups:
            assert above.groups is not None
            waiting = (above.outcome != Outcome.DONE) & (above.outcome != Outcome.EMPTY) | made_now
            ready &= above.groups.is_whole
            ready[above.groups.source[waiting[above.groups.group]]] = False
        elif other.joins_surveys:
            ready &= ((above.outcome == Outcome.DONE) | (above.outcome == Outcome.EMPTY)) & ~made_now
        else:
            ready &= made_now | (above.outcome == Outcome.DONE)
    return ready & has_any if stage.joins_surveys else ready


def _to_come(
    recipe: Recipe, observatory: str, stage: Stage, states: States, now: Mapping[Key, Flags], later: Mapping[Key, Flags]
) -> Flags:
    """Items whose inputs exist, or are made by this run, be it in other tasks."""
    size = states[observatory][stage.name].outcome.size
    if stage.is_of_groups:
        return np.ones(size, np.bool_)
    coming = []
    for name, other in recipe.upstream(observatory, stage):
        if not other.is_of_groups:
            made = now[name, other.name] | later[name, other.name]
            coming.append(made | (states[name][other.name].outcome == Outcome.DONE))
    whole: Flags = np.logical_or.reduce(coming) if stage.joins_surveys else np.logical_and.reduce(coming)
    return whole


def _keys(recipe: Recipe, observatory: str, stage: Stage) -> list[Key]:
    return [(name, other.name) for name, other in recipe.upstream(observatory, stage)]


def _wait_for_raw_data(
    recipe: Recipe, observatory: str, states: States, now: dict[Key, Flags], undecided: dict[Key, Flags]
) -> None:
    """Raw data fetched now may be what it was: whether later products still count is decided when it is there."""
    later = [stage for stage in recipe.stages if stage.inputs and stage.unit == ("source", "survey")]
    for source in (stage for stage in recipe.stages if not stage.inputs):
        fetched = now[observatory, source.name]
        if not later or not fetched.any():
            continue
        existed = np.logical_or.reduce([states[observatory][stage.name].existed for stage in later])
        for stage in later:
            key = observatory, stage.name
            undecided[key] = now[key] & fetched & existed
            now[key] = now[key] & ~(fetched & existed)


def cut_tasks(
    recipe: Recipe, states: States, choice: Choice, ra: NDArray[np.float64], batch_size: int, tried: Tried
) -> list[Task]:
    """Cut what is to be made into tasks.

    Parameters
    ----------
    ra
        Right ascension of the sources; batches follow it, so that segments hold neighbours.
    """
    wanted = needs(recipe, states, choice, tried).now
    tasks: list[Task] = []
    lanes: dict[tuple[str, str], list[Stage]] = {}
    for name, stage in recipe.nodes():
        # stages of sources of one survey share a task; groups of each stage are other items
        lanes.setdefault((name, stage.name if stage.is_of_groups else ""), []).append(stage)
    for (name, of_groups), stages in lanes.items():
        order = np.arange(wanted[name, of_groups].size, dtype=np.float64) if of_groups else ra
        tasks += _cut(recipe, name, stages, states, wanted, order, batch_size)
    return tasks


def _cut(
    recipe: Recipe, name: str, stages: list[Stage], states: States, wanted: Mapping[Key, Flags],
    order_by: NDArray[np.float64], batch_size: int,
) -> list[Task]:  # fmt: skip
    code = np.zeros(order_by.size, np.int64)
    for k, stage in enumerate(stages):
        code += wanted[name, stage.name].astype(np.int64) << k
    busy = np.flatnonzero(code)
    if busy.size == 0:
        return []
    loaded = _loaded(recipe, name, stages, wanted)
    keys = [code] + [np.where(used, states[name][stage].segment, -1) for stage, used in loaded.items()]
    order = busy[np.lexsort((order_by[busy], *(key[busy] for key in reversed(keys))))]
    table = np.column_stack([key[order] for key in keys])
    edges = np.flatnonzero((table[1:] != table[:-1]).any(axis=1)) + 1
    tasks = []
    for group in np.split(np.arange(order.size), edges):
        mask, *inputs = table[group[0]].tolist()
        for start in range(0, group.size, batch_size):
            tasks.append(
                Task(
                    observatory=name,
                    stages=tuple(stage.name for k, stage in enumerate(stages) if mask >> k & 1),
                    rows=order[group[start : start + batch_size]],
                    segments={stage: number for stage, number in zip(loaded, inputs, strict=True) if number >= 0},
                )
            )
    return tasks


def _loaded(recipe: Recipe, name: str, stages: list[Stage], wanted: Mapping[Key, Flags]) -> dict[str, Flags]:
    """Stages of the same unit whose products are read: stage to the items for which they are."""
    used: dict[str, Flags] = {}
    for stage in stages:
        for other_name, other in recipe.upstream(name, stage):
            if other_name == name and other in stages and not other.is_of_groups:
                before = used.get(other.name, np.zeros(wanted[name, stage.name].size, np.bool_))
                used[other.name] = before | (wanted[name, stage.name] & ~wanted[name, other.name])
    return {stage.name: used[stage.name] for stage in stages if stage.name in used}

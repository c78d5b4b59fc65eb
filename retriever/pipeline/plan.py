"""What exists, what is missing, and how to cut the work into tasks: pure, and in columns.

A product counts while its stage key and its input are what the plan derives now and its file exists. The input of raw
photometry is what is asked of the survey (and the state of its data, where the observatory can tell). The input of
later stages is the digest of the raw photometry joined with that of the catalog's row; of stages that join surveys,
nights or sectors, the joined inputs of all that they take from.
"""

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from retriever.arrays import Array
from retriever.graph import Stage
from retriever.identity import Digests, digest_each, join_digests
from retriever.outcome import Outcome
from retriever.pipeline.recipe import JOINT, Recipe
from retriever.ragged import rows_of
from retriever.source import SourceTable
from retriever.store.products import NOWHERE, InputIndex, Products

__all__ = ["Choice", "Groups", "Key", "StageState", "States", "derive"]

Flags = NDArray[np.bool_]
Key = tuple[str, str]
"""Observatory and stage."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Groups:
    """Groups of sources, such as nights: pairs of a group and a source, sorted by both.

    Attributes
    ----------
    names
        Names of the groups, sorted.
    group, source
        For each pair the number of the group and the row of the source.
    is_whole
        Whether it is known of all sources to which groups they belong.
    """

    names: NDArray[np.str_]
    group: NDArray[np.int64]
    source: NDArray[np.int64]
    is_whole: bool

    def members(self, group: int) -> NDArray[np.int64]:
        """Rows of the sources in a group."""
        first, count = rows_of(self.group, np.array([group]))
        return self.source[first[0] : first[0] + count[0]]


@dataclass(frozen=True, kw_only=True, eq=False)
class StageState:
    """State of one stage for every item (the sources of the catalog, or groups of them), in columns.

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
    existed
        True where there is a product of some input, be it the present one or not.
    message
        Sentences, by item.
    groups
        For stages of groups, what the items are.
    """

    outcome: NDArray[np.int8]
    segment: NDArray[np.int64]
    row: NDArray[np.int64]
    n_rows: NDArray[np.int64]
    digest: Digests
    input: Digests
    existed: NDArray[np.bool_]
    message: dict[int, str] = field(default_factory=dict)
    groups: Groups | None = None


States = Mapping[str, Mapping[str, StageState]]
"""Observatory to stage to its state."""


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


def derive(
    recipe: Recipe,
    catalog: SourceTable,
    asked: Mapping[str, Digests],
    products: Mapping[str, Mapping[str, Products]],
    present: Mapping[int, object] | set[int],
    stale: Set[int] = frozenset(),
    memberships: Callable[[Stage, StageState], tuple[NDArray[np.int64], NDArray[np.str_]]] | None = None,
) -> States:
    """Derive what counts of the products of all stages.

    Parameters
    ----------
    asked
        Input digests of what each observatory is asked.
    products
        Observatory and stage to all products there are; one without any may be left out.
    present
        Ids of the segments whose files exist.
    stale
        Ids of segments of raw data that are to be fetched again, though they exist.
    memberships
        For a stage that tells the groups of sources: rows of sources and names of groups, in pairs.
    """
    states: dict[str, dict[str, StageState]] = {}
    plan = _Derivation(recipe, catalog, states)
    ids = np.fromiter(present, np.int64, len(present))
    usable = {False: ids, True: ids[~np.isin(ids, list(stale))] if stale else ids}
    for name, stage in recipe.nodes():
        own = products.get(name, {}).get(stage.name) or Products.unpack([])
        groups = None
        if not stage.inputs:
            inputs = asked[name]
        elif stage.is_of_groups:
            teller = recipe.stages.producers(stage)[stage.members]
            assert memberships is not None
            groups = plan.groups(name, stage, *memberships(teller, states[name][teller.name]))
            inputs = plan.input_of_groups(name, stage, groups)
        else:
            inputs = plan.input_of_sources(name, stage)
        names = catalog.name if groups is None else groups.names
        state = _matched(names, inputs, plan.index(inputs), own, usable[stage.root == "data"], plan.fetched_anew(name))
        states.setdefault(name, {})[stage.name] = state = replace(state, groups=groups)
        plan.inherit(name, stage, state.outcome)
    return states


class _Derivation:
    """Inputs and outcomes that follow from the stages upstream."""

    def __init__(self, recipe: Recipe, catalog: SourceTable, states: Mapping[str, Mapping[str, StageState]]) -> None:
        self.recipe, self.catalog, self.states = recipe, catalog, states
        self._raw: dict[str, Digests] = {}
        self._index: tuple[Digests, InputIndex] | None = None

    def index(self, inputs: Digests) -> InputIndex:
        """The index of inputs, which stages in a row share."""
        if self._index is None or self._index[0] is not inputs:
            self._index = inputs, InputIndex(inputs)
        return self._index[1]

    def fetched_anew(self, observatory: str) -> Set[str]:
        """Sources whose raw data is to be fetched; what exists of them may still count afterwards."""
        raw = self.states.get(observatory, {}).get("download")
        if raw is None:
            return frozenset()
        lacking = (raw.outcome != Outcome.DONE) & (raw.outcome != Outcome.EMPTY)
        return set(self.catalog.name[lacking].tolist()) if lacking.any() else frozenset()

    def _base(self, observatory: str, stage: Stage) -> Digests:
        """What products of a stage add to the input of those that take from it."""
        state = self.states[observatory][stage.name]
        if stage.inputs:
            return state.input
        key = f"{observatory} {stage.name}"
        if key not in self._raw:
            self._raw[key] = join_digests(state.digest, self.catalog.digests)
        return self._raw[key]

    def input_of_sources(self, observatory: str, stage: Stage) -> Digests:
        """Inputs of a stage of sources; empty where one is not known yet."""
        if stage.joins_surveys:
            return self._joined(stage)
        parts: dict[int, Digests] = {}
        for name, other in self.recipe.upstream(observatory, stage):
            part = self._of_groups(name, other) if other.is_of_groups else self._base(name, other)
            parts[id(part)] = part
        whole, *others = parts.values()
        for part in others:
            unknown = part == b""
            whole = join_digests(whole, part)
            whole[unknown] = b""
        return whole

    def _joined(self, stage: Stage) -> Digests:
        """Inputs of a stage that joins surveys: those of the surveys that have data; none while any is pending."""
        names: list[bytes] = []
        parts: list[list[bytes]] = []
        pending = np.zeros(len(self.catalog), np.bool_)
        for name, other in self.recipe.upstream(JOINT, stage):
            state = self.states[name][other.name]
            pending |= state.outcome == Outcome.PENDING
            names.append(name.encode())
            parts.append(np.where(state.outcome == Outcome.DONE, self._base(name, other), b"").tolist())
        digests = digest_each(
            b"".join(name + b"=" + part + b";" for name, part in zip(names, row, strict=True))
            for row in zip(*parts, strict=True)
        ).copy()
        digests[pending] = b""
        return digests

    def groups(self, observatory: str, stage: Stage, source: NDArray[np.int64], label: NDArray[np.str_]) -> Groups:
        """Groups of the sources that have all that the stage takes."""
        settled = np.ones(len(self.catalog), np.bool_)
        done = np.ones(len(self.catalog), np.bool_)
        for name, other in self.recipe.upstream(observatory, stage):
            if not other.is_of_groups:
                outcome = self.states[name][other.name].outcome
                settled &= outcome != Outcome.PENDING
                done &= outcome == Outcome.DONE
        kept = done[source]
        names, group = np.unique(label[kept], return_inverse=True)
        group, source = group.reshape(-1).astype(np.int64), source[kept]
        order = np.lexsort((source, group))
        return Groups(names=names, group=group[order], source=source[order], is_whole=bool(settled.all()))

    def input_of_groups(self, observatory: str, stage: Stage, groups: Groups) -> Digests:
        """Inputs of a stage of groups: the joined inputs of the sources in each; none while any source is pending."""
        n = groups.names.size
        if not groups.is_whole or n == 0:
            return np.zeros(n, self.catalog.digests.dtype)
        own = [
            self._base(name, other)
            for name, other in self.recipe.upstream(observatory, stage)
            if not other.is_of_groups
        ]
        texts = [b"".join(map(bytes, row)) for row in zip(*(part.tolist() for part in own), strict=True)]
        names = self.catalog.name.tolist()
        first, count = rows_of(groups.group, np.arange(n))
        members = groups.source.tolist()
        return digest_each(
            label.encode() + b"\0" + b"".join(sorted(names[k].encode() + b"\0" + texts[k] for k in members[a : a + m]))
            for label, a, m in zip(groups.names.tolist(), first.tolist(), count.tolist(), strict=True)
        )

    def _of_groups(self, observatory: str, stage: Stage) -> Digests:
        """For each source the joined inputs of the groups that it is in; none while they are not known."""
        state = self.states[observatory][stage.name]
        groups = state.groups
        assert groups is not None
        n = len(self.catalog)
        if not groups.is_whole:
            return np.zeros(n, self.catalog.digests.dtype)
        order = np.lexsort((groups.group, groups.source))
        first, count = rows_of(groups.source[order], np.arange(n))
        inputs = state.input[groups.group[order]].tolist()
        return digest_each(b"".join(inputs[a : a + m]) for a, m in zip(first.tolist(), count.tolist(), strict=True))

    def inherit(self, observatory: str, stage: Stage, outcome: NDArray[np.int8]) -> None:
        """Where a stage upstream is empty or failed, so are those that take from it: empty, or blocked."""
        upstream = self.recipe.upstream(observatory, stage)
        if stage.is_of_groups or not upstream:
            return
        if stage.joins_surveys:
            codes = np.stack([self.states[name][other.name].outcome for name, other in upstream])
            nothing = (codes != Outcome.DONE).all(axis=0) & (codes != Outcome.PENDING).all(axis=0)
            outcome[nothing] = Outcome.BLOCKED
            outcome[(codes == Outcome.EMPTY).all(axis=0)] = Outcome.EMPTY
            return
        blocked = np.zeros(outcome.size, np.bool_)
        for name, other in upstream:
            above = self.states[name][other.name].outcome
            if other.is_of_groups:
                groups = self.states[name][other.name].groups
                assert groups is not None
                bad = (above == Outcome.FAILED) | (above == Outcome.BLOCKED)
                blocked[groups.source[bad[groups.group]]] = True
                continue
            if not other.joins_surveys:
                outcome[above == Outcome.EMPTY] = Outcome.EMPTY
            blocked |= (above == Outcome.FAILED) | (above == Outcome.BLOCKED)
        outcome[blocked] = Outcome.BLOCKED


def _matched(
    names: NDArray[np.str_],
    inputs: Digests,
    index: InputIndex,
    products: Products,
    ids: NDArray[np.int64],
    fetched_anew: Set[str],
) -> StageState:
    """Find each item's product; of those whose raw data is fetched anew, also whether they had one of any input."""
    n = names.size
    entry = index.latest(products)
    known = entry >= 0
    entries = entry[known]
    outcome, segment = products.outcome[entries], products.segment[entries]
    counts = (outcome == Outcome.FAILED) | np.isin(segment, ids)

    def spread(values: Array, fill: int) -> Array:
        column = np.full(n, fill, values.dtype)
        column[np.flatnonzero(known)[counts]] = values[counts]
        return column

    digest = np.zeros(n, inputs.dtype)
    digest[known] = products.digest_of(entries)
    had = products.among(fetched_anew) if fetched_anew and len(products) else set()
    of_any = np.fromiter((name in had for name in names.tolist()), np.bool_, n) if had else np.zeros(n, np.bool_)
    return StageState(
        outcome=spread(outcome, Outcome.PENDING),
        segment=spread(segment, NOWHERE),
        row=spread(products.row[entries], -1),
        n_rows=spread(products.n_rows[entries], 0),
        digest=digest,
        input=inputs,
        existed=known | of_any,
        message={
            int(k): products.message[e]
            for k, e in zip(np.flatnonzero(known)[counts], entries[counts].tolist(), strict=True)
            if e in products.message
        }
        if products.message
        else {},
    )

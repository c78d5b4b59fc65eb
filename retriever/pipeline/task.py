"""One batch in a worker: read what exists, walk through the stages, write a segment for each."""

import time
import traceback
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retriever.batch import Batch as Items
from retriever.batch import Made
from retriever.errors import StoreError
from retriever.graph import GRAPH, Stage
from retriever.histogram import SparseCounts
from retriever.identity import Digests, join_digests
from retriever.interfaces import AsksArchive
from retriever.outcome import Outcome
from retriever.pipeline.recipe import Recipe
from retriever.ragged import is_long, merge_tables, select_items
from retriever.schema import Columns, Tables
from retriever.source import SourceTable
from retriever.store.batch import Batch, declared_as_json
from retriever.store.files import safe_name
from retriever.store.packing import pack
from retriever.store.segments import SegmentFile, read, start_writing
from retriever.walk import Inputs, walk

__all__ = ["Job", "JobResult", "Load", "read_loads", "run_job", "run_together"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Products that are to be read.

    Attributes
    ----------
    observatory, stage
        Whose they are.
    path
        Of the segment, relative to the root of the stage.
    rows
        Items of the segment.
    items
        What they are in the batch: numbers of its sources, or of its groups.
    """

    observatory: str
    stage: str
    path: str
    rows: NDArray[np.int64]
    items: NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A task with all that a worker needs for it.

    Attributes
    ----------
    observatory, stages
        What to do.
    items
        Names of the items: of the sources, or of groups.
    sources
        The sources; see `retriever.batch.Batch`.
    inputs
        Stage to the input digests of the items; of stages that follow a download in the same task they are derived.
    loads
        What is to be read.
    keys
        Stage to the key that the coordinator expects.
    members, groups
        See `retriever.batch.Batch`; `groups` by stage.
    """

    observatory: str
    stages: tuple[str, ...]
    items: NDArray[np.str_]
    sources: SourceTable
    inputs: Mapping[str, Digests]
    loads: tuple[Load, ...]
    keys: Mapping[str, str]
    members: tuple[NDArray[np.int64], ...] = ()
    groups: Mapping[str, NDArray[np.str_]] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class JobResult:
    """What a job made, or why it could not."""

    batches: list[Batch] = field(default_factory=list)
    outcomes: dict[str, NDArray[np.int8]] = field(default_factory=dict)
    counts: SparseCounts = field(default_factory=dict)
    seconds: float = 0.0
    error: str = ""
    error_trace: str = ""


def run_job(recipe: Recipe, job: Job) -> JobResult:
    """Do one job. A trouble with the store ends the job; what it wrote before stays for the next run."""
    (result,) = run_together(recipe, job, [len(job.items)])
    return result


def run_together(recipe: Recipe, job: Job, sizes: Sequence[int]) -> list[JobResult]:
    """Do several jobs as one, since a walk through the stages takes as long for a few sources as for some dozens.

    Parameters
    ----------
    job
        All of them, one after the other.
    sizes
        Number of items of each, whose products go into segments of their own.
    """
    ends = np.cumsum(sizes).tolist()
    bounds = list(zip([0, *ends[:-1]], ends, strict=True))
    parts = [_part(job, first, last) for first, last in bounds] if len(sizes) > 1 else [job]
    results, started = [JobResult() for _ in parts], time.monotonic()
    try:
        _refuse_other_keys(recipe, job)
        # a thread of its own waits for the disk while the next stage computes
        with ThreadPoolExecutor(1) as thread:
            writers = [_SegmentWriter(recipe, part, thread) for part in parts]

            def write(stage: Stage, made: Made) -> None:
                counts = made.counts
                for writer, (first, last) in zip(writers, bounds, strict=True):
                    part = made.part(first, last) if len(writers) > 1 else made
                    # they are of all parts, and are counted with the first that has something to count
                    part.counts, counts = (counts, {}) if (part.outcome == Outcome.DONE).any() else ({}, counts)
                    writer.write(stage, part)

            try:
                walk(
                    recipe.stages, job.stages, recipe.components(job.observatory), _items(recipe, job),
                    read_loads(recipe, job.observatory, job.loads), write, contain=len(parts) == 1,
                )  # fmt: skip
            finally:
                for writer, result in zip(writers, results, strict=True):
                    writer.collect(result)
    except StoreError as error:
        for result in results:
            result.error, result.error_trace = str(error), traceback.format_exc()
    except Exception:
        if len(parts) == 1:
            raise
        return [run_job(recipe, part) for part in parts]  # so that what broke a stage fails its own batch only
    for result in results:
        result.seconds = (time.monotonic() - started) / len(results)
    return results


def _part(job: Job, first: int, last: int) -> Job:
    """Consecutive sources of a job as a job of their own."""
    inputs = {stage: digests[first:last] for stage, digests in job.inputs.items()}
    return replace(
        job, items=job.items[first:last], sources=job.sources.take(np.arange(first, last)), inputs=inputs,
        loads=tuple(load if load.stage in job.groups else _part_of_load(load, first, last) for load in job.loads),
    )  # fmt: skip


def _part_of_load(load: Load, first: int, last: int) -> Load:
    inside = (load.items >= first) & (load.items < last)
    return replace(load, rows=load.rows[inside], items=load.items[inside] - first)


def _refuse_other_keys(recipe: Recipe, job: Job) -> None:
    specs = recipe.specs[job.observatory]
    for stage in job.stages:
        if specs[stage].key != job.keys[stage]:
            raise StoreError(
                f"a worker has other code or parameters for stage {stage!r} than the run that sent it work; "
                "start the run again so that all of it uses the same code"
            )


def _items(recipe: Recipe, job: Job) -> Items:
    groups = {port: names for stage, names in job.groups.items() for port in recipe.stages[stage].gives}
    return Items(
        observatory=job.observatory, seed=recipe.seed, items=job.items, sources=job.sources,
        members=job.members, groups=groups,
    )  # fmt: skip


def read_loads(recipe: Recipe, observatory: str, loads: Sequence[Load]) -> Inputs:
    """How a walk gets products that exist, from segments."""
    graph = recipe.stages

    def load(stage: Stage, port: str) -> Tables:
        own = [each for each in loads if each.stage == stage.name and each.observatory in (observatory, "")]
        return _read(recipe, stage, port, own)

    def load_joined(stage: Stage, port: str) -> dict[str, Tables]:
        names = dict.fromkeys(each.observatory for each in loads if each.stage == stage.name)
        return {
            name: _read(
                recipe, graph[stage.name], port,
                [each for each in loads if each.stage == stage.name and each.observatory == name],
            )
            for name in names
        }  # fmt: skip

    return Inputs(load=load, load_joined=load_joined)


def _read(recipe: Recipe, stage: Stage, port: str, loads: Sequence[Load]) -> Tables:
    """A port's tables from one segment or several, their rows numbered as the items of the batch."""
    root = recipe.root(stage.name)
    parts = [(read(root / each.path, stage.port(port).tables)[1], each) for each in loads]
    if len(parts) == 1 and np.array_equal(parts[0][1].items, np.arange(parts[0][1].items.size)):
        tables, each = parts[0]
        return select_items(tables, each.rows)
    return merge_tables([(select_items(tables, each.rows), each.items) for tables, each in parts])


class _SegmentWriter:
    """Writes a segment for each stage of a job, and keeps what the coordinator must know of it."""

    def __init__(self, recipe: Recipe, job: Job, thread: ThreadPoolExecutor) -> None:
        self._recipe, self._job, self._thread = recipe, job, thread
        self._written: list[tuple[Stage, Future[SegmentFile] | None, dict[str, Columns]]] = []
        self._raw_digests: Digests | None = None
        self._counts: SparseCounts = {}

    def write(self, stage: Stage, made: Made) -> None:
        """Write what a stage made, unless it is nothing."""
        job = self._job
        sources: Columns = {
            "name": job.items,
            "input": self._input(stage),
            "outcome": made.outcome,
            "n_rows": made.n_rows,
            "digest": made.digest,
            "message": np.array(made.message, np.str_),
            **self._positions(),
        }
        if not stage.inputs:
            self._raw_digests = made.digest
        tables: Tables = {"sources": sources, **({} if _is_nothing(made) else made.tables)}
        file: Future[SegmentFile] | None = None
        if ((made.outcome == Outcome.DONE) | (made.outcome == Outcome.EMPTY)).any():
            spec = self._recipe.specs[job.observatory][stage.name]
            folder, stem = self._place(stage)
            root, place = self._recipe.root(stage.name), f"{self._recipe.folder(spec)}/{folder}"
            image = pack(self._manifest(stage), tables)
            file = self._thread.submit(start_writing(root, place, stem, image).finish)
        indexed = ("sources", *(table.name for table in stage.tables))
        self._written.append((stage, file, {name: tables[name] for name in indexed if name in tables}))
        self._counts = {**self._counts, **made.counts}

    def _input(self, stage: Stage) -> Digests:
        if self._raw_digests is None:
            return self._job.inputs[stage.name]
        return join_digests(self._raw_digests, self._job.sources.digests)

    def _positions(self) -> Columns:
        """Where on the sky the items are; groups of sources are nowhere."""
        if self._job.members:
            return {"ra": np.full(self._job.items.size, np.nan), "dec": np.full(self._job.items.size, np.nan)}
        return {"ra": self._job.sources.ra, "dec": self._job.sources.dec}

    def _place(self, stage: Stage) -> tuple[str, str]:
        """Folder and beginning of the name of a segment, such as RA012 and RA012.34-015.02."""
        if self._job.members:
            return stage.unit[-1], safe_name(str(self._job.items[0]))[:60]
        name = f"RA{self._job.sources.ra[0]:06.2f}{self._job.sources.dec[0]:+07.2f}"
        return name[:5], name

    def _manifest(self, stage: Stage) -> dict[str, Any]:
        spec = self._recipe.specs[self._job.observatory][stage.name]
        manifest = {
            "what": "a segment of retriever",
            "stage": stage.name,
            "stage_key": spec.key,
            "observatory": spec.observatory,
            "survey": spec.survey,
            "data_type": spec.data_type,
            "made_from": self._recipe.manifests[spec.observatory][stage.name],
        }
        return manifest if _is_built_in(stage) else {**manifest, "tables": declared_as_json(stage.tables)}

    def collect(self, result: JobResult) -> None:
        """Wait for the files, and put what they hold into the result."""
        for stage, file, tables in self._written:
            segment = file.result() if file else None
            if not stage.inputs and segment is not None:
                self._release(tables["sources"]["outcome"])
            result.batches.append(
                Batch(
                    stage_key=self._recipe.specs[self._job.observatory][stage.name].key,
                    root=stage.root,
                    file=segment,
                    tables=tables,
                    declared=stage.tables,
                )
            )
            result.outcomes[stage.name] = tables["sources"]["outcome"]
        result.counts = self._counts

    def _release(self, outcome: NDArray[np.int8]) -> None:
        """Let the observatory's client drop the answers that are safe on disk now."""
        observatory = self._recipe.surveys[self._job.observatory].observatory
        if isinstance(observatory, AsksArchive):
            done = np.flatnonzero(outcome != Outcome.FAILED).tolist()
            observatory.client.release(observatory.survey, (self._job.sources.source(row) for row in done))


def _is_nothing(made: Made) -> bool:
    """Whether a stage made nothing of any item, be it that it was not run for them or that it found nothing."""
    has_rows = any(columns["source"].size for name, columns in made.tables.items() if not is_long(name))
    return not has_rows and not (made.outcome == Outcome.DONE).any()


def _is_built_in(stage: Stage) -> bool:
    return stage.name in GRAPH.names

"""The coordinator: plans, hands out work, publishes what comes back. It alone writes the database."""

import contextlib
import json
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retriever.errors import AbortedRun, StoreError
from retriever.identity import Digests
from retriever.interfaces import AsksArchive
from retriever.outcome import Outcome
from retriever.pipeline.cutting import Task, cut_tasks
from retriever.pipeline.executors import Engine, recipe_blob, work
from retriever.pipeline.inventory import Inventory, segment_sizes, take_inventory
from retriever.pipeline.jobs import make_job
from retriever.pipeline.legacy import recomputed_text
from retriever.pipeline.plan import Choice, Key, States
from retriever.pipeline.progress import Progress
from retriever.pipeline.recipe import Recipe
from retriever.pipeline.run_summary import RunSummary, count_outcomes, count_rows, differences
from retriever.pipeline.settings import RunSettings
from retriever.pipeline.task import JobResult
from retriever.pipeline.version import Version
from retriever.report.tables import Counted, FreshCounts, all_aliases, write_tables
from retriever.report.versions import VersionFolder
from retriever.source import SourceTable
from retriever.store import history, queries
from retriever.store.database import Database
from retriever.store.files import remove_leftovers, write_text
from retriever.store.leases import LeaseHolder
from retriever.store.publishing import add_sources, publish, stage_ids
from retriever.store.segments import read
from retriever.store.upkeep import register_orphans, unknown_segments

__all__ = ["Run"]

log = logging.getLogger("retriever")

PUBLISH_SECONDS = 0.3
"""What came back within this time goes into one transaction; after a crash before it, the next run finds the files."""


class Run:
    """One run of one version.

    Parameters
    ----------
    recipe, sources, file_states, choice, version, settings, engine
        What to do and how; see `choose` and `retriever.pipeline.inventory.file_states_of`.
    database
        The opened database.
    name
        Name of the run.
    """

    def __init__(
        self, *, recipe: Recipe, sources: SourceTable, file_states: Mapping[str, list[str]], choice: Choice,
        version: Version, settings: RunSettings, engine: Engine, database: Database, name: str,
    ) -> None:  # fmt: skip
        self.recipe, self.sources, self.version, self.name = recipe, sources, version, name
        self.settings, self.engine, self.database = settings, engine, database
        self.summary = RunSummary(
            version=version.name, folder=str(version.folder), run=name, sources=len(sources),
            reference=sources.reference, selected=int(np.count_nonzero(choice.sources)),
            computed=dict.fromkeys(recipe.stages.names, 0),
        )  # fmt: skip
        self._choice, self._file_states = choice, file_states
        self._ids = stage_ids(database, [spec for specs in recipe.specs.values() for spec in specs.values()])
        self._fetched_after = settings.fetched_after
        self._results = _Results(self)
        self._inventory: Inventory

    def run(self) -> RunSummary:
        """Run to the end, to an interruption, or until it is aborted; the tables are rewritten in any case."""
        started = time.monotonic()
        version_id = history.record_version(
            self.database, self.version.name, self.version.hash, str(self.version.inputs["project"]["name"]),
            dict(self.version.inputs), self._ids.values(), VersionFolder(self.version.folder).created,
        )  # fmt: skip
        history.start_run(
            self.database, self.name, version_id, socket.gethostname(), os.getpid(),
            {"environment": self.summary.environment},
        )  # fmt: skip
        try:
            for root in self.recipe.roots.values():
                remove_leftovers(root)
            for survey in self.recipe.surveys.values():
                if isinstance(survey.observatory, AsksArchive):
                    survey.observatory.client.sweep()
            self._register_orphans()
            self._inventory = self._take_inventory()
            self._warn_of_other_requests()
            self._work()
        except KeyboardInterrupt:
            self.summary.state = "interrupted"
        except AbortedRun as error:
            self.summary.state, self.summary.message = "aborted", str(error)
        except BaseException as error:
            self.summary.state, self.summary.message = "error", str(error)
            self._end(started)
            raise
        finish_tables(self)
        self._end(started)
        return self.summary

    def _end(self, started: float) -> None:
        self.summary.seconds = round(time.monotonic() - started, 3)
        record = self.summary.as_dict()
        with contextlib.suppress(StoreError):
            history.end_run(self.database, self.name, self.summary.state, record)
        with contextlib.suppress(OSError):
            write_text(
                self.recipe.outputs,
                self.version.folder / "runs" / self.name / "summary.json",
                json.dumps(record, indent=2) + "\n",
            )

    # ---- planning -----------------------------------------------------------------------------------------------

    def _register_orphans(self) -> None:
        """Make segments count that lie on disk and that the database does not know, as after a crash."""
        roots = self.recipe.roots
        unknown = unknown_segments(self.database, segment_sizes(self.recipe), roots)
        register_orphans(self.database, unknown, roots, run=self.name)

    def _take_inventory(self) -> Inventory:
        return take_inventory(
            self.recipe, self.sources, self._file_states, self.database, fetched_after=self._fetched_after
        )

    def _warn_of_other_requests(self) -> None:
        """Say where a source has the name of raw data on disk, but the survey is asked for something else."""
        for name in self.recipe.surveys:
            raw = self._inventory.states[name]["download"]
            lacking = np.flatnonzero((raw.outcome == Outcome.PENDING) & ~raw.existed)
            if name in self._file_states or not lacking.size:
                continue
            known = self._inventory.products[name]["download"].among(set(self.sources.name[lacking].tolist()))
            if known:
                log.warning(
                    "%d source(s) have the name of raw data of %s on disk but another request, the first is %r: "
                    "they get raw data of their own", len(known), name, min(known),
                )  # fmt: skip

    def _tasks(self) -> list[Task]:
        return cut_tasks(
            self.recipe, self._inventory.states, self._choice, self.sources.ra, self.engine.batch_size,
            self._results.tried,
        )  # fmt: skip

    # ---- working ------------------------------------------------------------------------------------------------

    def _work(self) -> None:
        before: object = None
        tasks = self._tasks()
        if not tasks:
            return
        if text := recomputed_text(self.recipe, tasks, self.database, self.version.inputs["project"]["name"]):
            log.warning("%s", text)
        order = self.recipe.stages.names
        with (
            LeaseHolder(self.database, self.name) as leases,
            Progress() as progress,
            self.engine.start() as executor,
            interruptible() as stopping,
        ):
            while tasks:
                keys = sorted(
                    {
                        (order.index(stage), self.recipe.specs[task.observatory][stage].key)
                        for task in tasks
                        for stage in task.stages
                    }
                )
                waited = leases.take([key for _, key in keys], on_wait=progress.waiting)
                if waited:
                    self._register_orphans()
                else:
                    now = [(task.observatory, task.stages, task.rows.tolist()) for task in tasks]
                    if now == before:
                        raise StoreError("what was just made is gone again; see who else removes files of this run")
                    before = now
                    progress.expect(sum(task.rows.size for task in tasks))
                    self._do(tasks, executor, leases, progress, stopping)
                self._inventory = self._take_inventory()
                tasks = self._tasks()

    def _do(
        self, tasks: Sequence[Task], executor: Executor, leases: LeaseHolder, progress: Progress,
        stopping: threading.Event,
    ) -> None:  # fmt: skip
        """Work through tasks, a bounded number of them in flight."""
        blob = recipe_blob(self.recipe)
        waiting = iter(tasks)
        flying: dict[Future[JobResult], Task] = {}
        finished: list[tuple[Task, JobResult]] = []
        published = time.monotonic()
        try:
            while True:
                while len(flying) < self.engine.in_flight and not stopping.is_set():
                    task = next(waiting, None)
                    if task is None:
                        break
                    job = make_job(self.recipe, task, self._inventory.states, self._inventory.segments, self.sources)
                    flying[executor.submit(work, blob, job)] = task
                if not flying:
                    break
                done, _ = wait(flying, timeout=0.5, return_when=FIRST_COMPLETED)
                finished += [(flying.pop(future), future.result()) for future in list(flying) if future in done]
                if time.monotonic() - published > PUBLISH_SECONDS or any(result.error for _, result in finished):
                    ready, finished, published = finished, [], time.monotonic()
                    self._results.take(ready, leases, progress)
        except BrokenProcessPool as error:
            raise StoreError("a worker process died, perhaps for lack of memory; run again to go on") from error
        finally:
            for future in flying:
                future.cancel()
            self._results.take(finished, leases, progress)
        if stopping.is_set():
            raise KeyboardInterrupt


class _Results:
    """Publishes what jobs made, counts, and stops a run that will not get anywhere."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._failed = self._failed_in_a_row = 0
        self.tried: dict[Key, set[bytes]] = {}
        self.not_refreshed: list[str] = []
        self.fresh = FreshCounts()

    def take(self, finished: Sequence[tuple[Task, JobResult]], leases: LeaseHolder, progress: Progress) -> None:
        """Publish what jobs made, and count."""
        run = self._run
        for task, result in finished:
            self._keep_earlier_answers(task, result)
        batches = [batch for _, result in finished for batch in result.batches]
        if batches:
            publish(run.database, batches, run=run.name, tokens=leases.tokens)
        for task, result in finished:
            self._add_counts(result)
            failed_here = np.zeros(task.rows.size, np.bool_)
            for stage, outcome in result.outcomes.items():
                failed = outcome == Outcome.FAILED
                if failed.any():
                    inputs = self._inputs(task.observatory, stage, result)
                    self.tried.setdefault((task.observatory, stage), set()).update(inputs[failed].tolist())
                failed_here |= failed
                fetched = run.recipe.stages[stage].root == "data"
                run.summary.computed[stage] += int(
                    np.count_nonzero((outcome == Outcome.DONE) | (outcome == Outcome.EMPTY) & fetched)
                )
            progress.advance(task.rows.size, int(failed_here.sum()))
            self._judge(failed_here)
            if result.error:
                log.debug("%s", result.error_trace)
                raise StoreError(result.error)

    def _inputs(self, observatory: str, stage: str, result: JobResult) -> Digests:
        key = self._run.recipe.specs[observatory][stage].key
        inputs: Digests = next(batch.tables["sources"]["input"] for batch in result.batches if batch.stage_key == key)
        return inputs

    def _keep_earlier_answers(self, task: Task, result: JobResult) -> None:
        """Where a source could not be fetched again, what it had stays, and the next run asks again."""
        run = self._run
        if run.settings.refresh is None or "download" not in task.stages:
            return
        raw = run._inventory.states[task.observatory]["download"].digest[task.rows]
        key = run.recipe.specs[task.observatory]["download"].key
        for batch in result.batches:
            rows = batch.tables["sources"]
            kept = (rows["outcome"] == Outcome.FAILED) & (raw != b"") & (batch.stage_key == key)
            if kept.any():
                rows["outcome"][kept], rows["digest"][kept] = Outcome.PENDING, raw[kept]
                result.outcomes["download"] = np.where(kept, Outcome.FAILED, rows["outcome"]).astype(np.int8)
                self.not_refreshed += [
                    f"{rows['name'][k]} ({task.observatory}, download): {rows['message'][k]}; its earlier answer stays"
                    for k in np.flatnonzero(kept).tolist()
                ]

    def _add_counts(self, result: JobResult) -> None:
        for batch in result.batches:
            if "detections" in batch.tables and batch.file is not None:
                done = np.count_nonzero(batch.tables["sources"]["outcome"] == Outcome.DONE)
                self.fresh.add(batch.file.path, int(done), result.counts)

    def _judge(self, failed: NDArray[np.bool_]) -> None:
        """Stop a run that will not get anywhere."""
        self._failed += int(failed.sum())
        for has_failed in failed.tolist():
            self._failed_in_a_row = self._failed_in_a_row + 1 if has_failed else 0
        total, in_a_row = self._run.settings.max_failures, self._run.settings.max_failures_in_a_row
        if total is not None and self._failed > total:
            raise AbortedRun(f"more than {total} sources failed (run.max_failures); remove the cause and run again")
        if in_a_row is not None and self._failed_in_a_row > in_a_row:
            raise AbortedRun(
                f"{self._failed_in_a_row} sources failed one after the other (run.max_failures_in_a_row); "
                "remove the cause and run again"
            )


@contextlib.contextmanager
def interruptible() -> Iterator[threading.Event]:
    """The first Ctrl-C lets the batches in work end, and sets the event; the second ends the run at once."""
    stopping = threading.Event()

    def stop(number: int, frame: object) -> None:
        # what a handler raises may be swallowed, as within a weakref's callback: the flag alone is sure to be seen
        if stopping.is_set():
            raise KeyboardInterrupt
        stopping.set()
        os.write(2, b"retriever: finishing the batches in work; once more to stop at once\n")

    if threading.current_thread() is not threading.main_thread():
        yield stopping
        return
    previous = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopping
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


# ---- finishing ---------------------------------------------------------------------------------------------------


def finish_tables(run: Run) -> None:
    """Write the version's tables, and count what it has now."""
    inventory = run._take_inventory() if run.summary.state != "complete" else run._inventory
    states, segments = inventory.states, inventory.segments
    run.summary.failures = count_outcomes(run.summary, states, run.sources) + run._results.not_refreshed
    _say_what_is_not_on_disk(run, states)
    aliases = _aliases(run, states)
    roots = run.recipe.roots
    counted = Counted(
        recipe_tables=tuple((stage.name, stage.tables) for stage in run.recipe.stages),
        sources=run.sources,
        states=states,
        segments=segments,
        lightcurve_stages=_searched(run.recipe),
        read_segment=lambda number, tables: read(roots[segments[number][0]] / segments[number][1], tables)[1],
        rows=lambda table, ids: queries.rows(run.database, table, ids),
        fresh=run._results.fresh,
        aliases=aliases,
    )
    if write_tables(run.version.folder, counted):
        add_sources(run.database, _source_rows(run.sources, aliases))
    vars(run.summary).update(count_rows(run.version.folder))
    run.summary.mixed = differences(queries.environments_of(run.database, run._ids.values()))
    if run.summary.state == "complete":
        run.summary.state = _state(run, states)


def _searched(recipe: Recipe) -> dict[str, str]:
    """Observatory to the stage whose light curves are searched."""
    producer = recipe.stages.producers(recipe.stages["analyze"])["lightcurves"].name
    return dict.fromkeys(recipe.surveys, producer)


def _say_what_is_not_on_disk(run: Run, states: States) -> None:
    for name in sorted(run._choice.not_asked):
        missing = np.flatnonzero((states[name]["download"].outcome == Outcome.PENDING) & run._choice.sources)
        if missing.size:
            log.warning(
                "%d source(s) have no raw data of %s on disk, the first is %s, and run.offline=true",
                missing.size, name, run.sources.name[missing[0]],
            )  # fmt: skip


def _aliases(run: Run, states: States) -> dict[int, tuple[str, ...]]:
    """Other names that archives gave, by the source's row in the catalog."""
    found: dict[int, tuple[str, ...]] = {}
    for name in run.recipe.surveys:
        raw = states[name]["download"]
        names_at = list(queries.found_aliases(run.database, np.unique(raw.segment[raw.segment >= 0]).tolist()))
        places = zip(raw.segment.tolist(), raw.row.tolist(), strict=True) if names_at else ()
        row_at = {place: k for k, place in enumerate(places)}
        for segment, row, names in names_at:
            if (segment, row) in row_at:
                k = row_at[segment, row]
                found[k] = (*found.get(k, ()), *names)
    return found


def _state(run: Run, states: States) -> str:
    codes = np.concatenate([state.outcome for of_stages in states.values() for state in of_stages.values()])
    if (codes == Outcome.FAILED).any() or run._results.not_refreshed:
        return "failures"
    return "partial" if (codes == Outcome.PENDING).any() else "complete"


def _source_rows(sources: SourceTable, names_of: Mapping[int, tuple[str, ...]]) -> list[dict[str, Any]]:
    columns: list[Any] = [
        sources.name,
        sources.digests.astype(np.str_),
        sources.ra,
        sources.dec,
        sources.epoch,
        sources.mag,
        sources.band,
    ]
    keys = ("name", "digest", "ra", "dec", "epoch", "mag", "band")
    lists = [column if isinstance(column, list) else column.tolist() for column in columns]
    return [
        {**dict(zip(keys, row, strict=True)), "aliases": list(names)}
        for row, names in zip(zip(*lists, strict=True), all_aliases(sources, names_of), strict=True)
    ]

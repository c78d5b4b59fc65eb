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

import numpy as np

from retriever.errors import AbortedRun, StoreError
from retriever.interfaces import AsksArchive
from retriever.outcome import Outcome
from retriever.pipeline.bundles import Bundles, joined
from retriever.pipeline.cutting import Task, cut_tasks
from retriever.pipeline.executors import Engine, recipe_blob, work
from retriever.pipeline.finishing import finish, import_formats
from retriever.pipeline.inventory import Inventory, segment_sizes, take_inventory
from retriever.pipeline.jobs import make_job
from retriever.pipeline.legacy import recomputed_text
from retriever.pipeline.plan import Choice
from retriever.pipeline.progress import Progress
from retriever.pipeline.recipe import Recipe
from retriever.pipeline.results import Results
from retriever.pipeline.run_summary import RunSummary
from retriever.pipeline.settings import RunSettings
from retriever.pipeline.task import JobResult
from retriever.pipeline.version import Version
from retriever.report.versions import VersionFolder
from retriever.source import SourceTable
from retriever.store import history, queries
from retriever.store.database import Database
from retriever.store.files import remove_leftovers, write_text
from retriever.store.leases import LeaseHolder
from retriever.store.publishing import stage_ids
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
            computed=dict.fromkeys(recipe.stages.names, 0), wants_report=settings.report,
        )  # fmt: skip
        self._choice, self._file_states = choice, file_states
        self._ids = stage_ids(database, [spec for specs in recipe.specs.values() for spec in specs.values()])
        self._fetched_after = settings.fetched_after
        self._results = Results(recipe, database, settings, self.summary)
        self._inventory: Inventory
        self._newest: dict[int, int]

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
        inventory = self._inventory if self.summary.state == "complete" else self._take_inventory()
        finish(
            self.recipe, self.sources, self._choice, inventory, self.database, self.version.folder, self.summary,
            self._results, self._ids.values(),
        )  # fmt: skip
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
        self._newest = queries.newest_products(self.database, list(self._ids.values()))
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
        workers = self.engine.start()
        if text := recomputed_text(self.recipe, tasks, self.database, self.version.inputs["project"]["name"]):
            log.warning("%s", text)
        with (
            LeaseHolder(self.database, self.name) as leases,
            Progress() as progress,
            workers as executor,
            interruptible() as stopping,
        ):
            import_formats()  # while the workers start
            while tasks:
                keys = self._stage_keys(tasks)
                waited = leases.take(keys, on_wait=progress.waiting)
                if waited or self._others_published(keys):
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

    def _stage_keys(self, tasks: Sequence[Task]) -> list[str]:
        """Keys of the stages of some tasks, upstream first."""
        stages = {(task.observatory, stage) for task in tasks for stage in task.stages}
        order = self.recipe.stages.names
        numbered = {(order.index(stage), self.recipe.specs[observatory][stage].key) for observatory, stage in stages}
        return [key for _, key in sorted(numbered)]

    def _others_published(self, keys: Sequence[str]) -> bool:
        """Whether another run published products of some stages between the inventory and the leases on them."""
        ids = [self._ids[key] for key in keys]
        newest = queries.newest_products(self.database, ids)
        return any(newest.get(number) != self._newest.get(number) for number in ids)

    def _do(
        self, tasks: Sequence[Task], executor: Executor, leases: LeaseHolder, progress: Progress,
        stopping: threading.Event,
    ) -> None:  # fmt: skip
        """Work through tasks, a bounded number of them in flight."""
        blob, states = recipe_blob(self.recipe), self._inventory.states
        of_groups = {stage.name for stage in self.recipe.stages if stage.is_of_groups}
        bundles = Bundles(tasks, self.engine.in_flight, of_groups)
        flying: dict[Future[list[JobResult]], list[Task]] = {}
        finished: list[tuple[Task, JobResult]] = []
        published = time.monotonic()
        try:
            while True:
                while len(flying) < self.engine.in_flight and not stopping.is_set() and (bundle := bundles.take()):
                    job = make_job(self.recipe, joined(bundle), states, self._inventory.segments, self.sources)
                    flying[executor.submit(work, blob, job, [task.rows.size for task in bundle])] = bundle
                if not flying:
                    break
                done, _ = wait(flying, timeout=0.5, return_when=FIRST_COMPLETED)
                for future in [future for future in flying if future in done]:
                    bundles.learn(future.result())
                    finished += zip(flying.pop(future), future.result(), strict=True)
                if time.monotonic() - published > PUBLISH_SECONDS or any(result.error for _, result in finished):
                    ready, finished, published = finished, [], time.monotonic()
                    self._results.take(ready, states, leases, progress)
        except BrokenProcessPool as error:
            raise StoreError("a worker process died, perhaps for lack of memory; run again to go on") from error
        finally:
            for future in flying:
                future.cancel()
            self._results.take(finished, states, leases, progress)
        if stopping.is_set():
            raise KeyboardInterrupt


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

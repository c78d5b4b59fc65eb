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

from retriever.errors import HopelessRun, StoreError
from retriever.outcome import STAGES, Outcome
from retriever.pipeline.executors import Engine, recipe_blob, work
from retriever.pipeline.plan import Choice, SurveyState, Task, cut_tasks
from retriever.pipeline.progress import Progress
from retriever.pipeline.recipe import Recipe
from retriever.pipeline.run_summary import RunSummary, count_outcomes, count_rows, differences
from retriever.pipeline.settings import RunSettings
from retriever.pipeline.standing import SegmentRow, segment_sizes, stand
from retriever.pipeline.task import Job, JobResult
from retriever.pipeline.version import Version
from retriever.report.tables import Counted, FreshCounts, all_aliases, write_tables
from retriever.report.versions import VersionFolder
from retriever.source import SourceTable
from retriever.store import asking
from retriever.store.database import Database
from retriever.store.files import remove_leftovers, write_text
from retriever.store.leases import LeaseHolder
from retriever.store.segments import read
from retriever.store.upkeep import adopt, unknown_segments

__all__ = ["Run"]

log = logging.getLogger("retriever")

PUBLISH_SECONDS = 0.3
"""What came back in so long goes into one transaction. A crash before it leaves segments that the next run adopts."""


class Run:
    """One run of one version.

    Parameters
    ----------
    recipe, sources, stamps, choice, version, settings, engine
        What to do and how; see `choose` and `retriever.pipeline.standing.file_states_of`.
    database
        The opened database.
    name
        Name of the run.
    """

    def __init__(
        self, *, recipe: Recipe, sources: SourceTable, stamps: Mapping[str, list[str]], choice: Choice,
        version: Version, settings: RunSettings, engine: Engine, database: Database, name: str,
    ) -> None:  # fmt: skip
        self.recipe, self.sources, self.version = recipe, sources, version
        self.settings, self.engine, self.database, self.name = settings, engine, database, name
        self.summary = RunSummary(
            version=version.name, folder=str(version.folder), run=name, sources=len(sources),
            reference=sources.reference,
        )  # fmt: skip
        self._choice = choice
        self.summary.selected = int(np.count_nonzero(self._choice.sources))
        self._specs = [spec for specs in recipe.specs.values() for spec in specs.values()]
        self._ids = database.stage_ids(self._specs)
        self._stamps = stamps
        self._stopping = threading.Event()
        self._failed = self._failed_in_a_row = 0
        self._is_current = True
        self._fetched_after = settings.fetched_after
        self._not_refreshed: list[str] = []
        self._fresh = FreshCounts()
        self._state_now: tuple[Mapping[str, SurveyState], Mapping[int, SegmentRow]]

    def run(self) -> RunSummary:
        """Run to the end, to an interruption, or until it is hopeless; the tables are written anew in any case."""
        started = time.monotonic()
        version_id = self.database.record_version(
            self.version.name, self.version.hash, str(self.version.inputs["project"]["name"]),
            dict(self.version.inputs), self._ids.values(), VersionFolder(self.version.folder).created,
        )  # fmt: skip
        self.database.start_run(
            self.name, version_id, socket.gethostname(), os.getpid(),
            {"environment": self.summary.environment},
        )  # fmt: skip
        try:
            for root in self.recipe.roots.values():
                remove_leftovers(root)
            for survey in self.recipe.surveys.values():
                if hasattr(survey.observatory, "client"):
                    survey.observatory.client.sweep()
            self._adopt()
            self._state_now = self._states()
            self._warn_of_other_places()
            self._work()
        except KeyboardInterrupt:
            self.summary.state = "interrupted"
        except HopelessRun as error:
            self.summary.state, self.summary.message = "hopeless", str(error)
        except BaseException as error:
            self.summary.state, self.summary.message = "error", str(error)
            self._end(started)
            raise
        self._finish()
        self._end(started)
        return self.summary

    def _end(self, started: float) -> None:
        self.summary.seconds = round(time.monotonic() - started, 3)
        story = self.summary.as_dict()
        with contextlib.suppress(StoreError):
            self.database.end_run(self.name, self.summary.state, story)
        with contextlib.suppress(OSError):
            write_text(
                self.recipe.outputs,
                self.version.folder / "runs" / self.name / "summary.json",
                json.dumps(story, indent=2) + "\n",
            )

    # ---- planning -----------------------------------------------------------------------------------------------

    def _adopt(self) -> None:
        """Make segments count that lie on disk and that the database does not know, as after a crash."""
        roots = self.recipe.roots
        adopt(self.database, unknown_segments(self.database, segment_sizes(self.recipe), roots), roots, run=self.name)

    def _states(self) -> tuple[Mapping[str, SurveyState], Mapping[int, SegmentRow]]:
        standing = stand(self.recipe, self.sources, self._stamps, self.database, fetched_after=self._fetched_after)
        return standing.states, standing.segments

    def _warn_of_other_places(self) -> None:
        """Say where a source has the name of raw data on disk, but is asked for otherwise."""
        for name, state in self._state_now[0].items():
            raw = state.stages["download"]
            lacking = np.flatnonzero((raw.outcome == Outcome.PENDING) & ~raw.stood)
            key = self.recipe.specs[name]["download"].key
            if name in self._stamps or not lacking.size:
                continue
            known = self.database.products(self._ids[key]).among(set(self.sources.name[lacking].tolist()))
            if known:
                log.warning(
                    "%d source(s) have the name of raw data of %s on disk but another request, the first is %r: "
                    "they get raw data of their own", len(known), name, min(known),
                )  # fmt: skip

    def _tasks(self, states: Mapping[str, SurveyState], tried: Mapping[str, Any]) -> list[Task]:
        return [
            task
            for name, state in states.items()
            for task in cut_tasks(
                name, state, self._choice.of(name), self.sources.ra, self.engine.batch_size, tried[name]
            )
        ]

    # ---- working ------------------------------------------------------------------------------------------------

    def _work(self) -> None:
        n = len(self.sources)
        tried = {name: {stage: np.zeros(n, np.bool_) for stage in STAGES} for name in self.recipe.surveys}
        before: object = None
        states, segments = self._state_now
        tasks = self._tasks(states, tried)
        if not tasks:
            return
        self._is_current = False
        with (
            LeaseHolder(self.database, self.name) as leases,
            Progress() as progress,
            self.engine.start() as executor,
            self._interruptible(),
        ):
            while tasks:
                keys = sorted(
                    {
                        (STAGES.index(stage), self.recipe.specs[task.observatory][stage].key)
                        for task in tasks
                        for stage in task.stages
                    }
                )
                waited = leases.take([key for _, key in keys], on_wait=progress.waiting)
                if waited:
                    self._adopt()
                else:
                    now = [(task.observatory, task.stages, task.rows.tolist()) for task in tasks]
                    if now == before:
                        raise StoreError("what was just made is gone again; see who else removes files of this run")
                    before = now
                    progress.expect(sum(task.rows.size for task in tasks))
                    self._do(tasks, states, segments, executor, leases, progress, tried)
                states, segments = self._state_now = self._states()
                tasks = self._tasks(states, tried)
            self._is_current = True

    def _do(
        self, tasks: Sequence[Task], states: Mapping[str, SurveyState], segments: Mapping[int, Any],
        executor: Executor, leases: LeaseHolder, progress: Progress, tried: Mapping[str, Any],
    ) -> None:  # fmt: skip
        """Work through tasks, a bounded number of them in flight."""
        blob = recipe_blob(self.recipe)
        waiting = iter(tasks)
        flying: dict[Future[JobResult], Task] = {}
        finished: list[tuple[Task, JobResult]] = []
        published = time.monotonic()
        try:
            while True:
                while len(flying) < self.engine.in_flight and not self._stopping.is_set():
                    task = next(waiting, None)
                    if task is None:
                        break
                    job = self._job(task, states[task.observatory], segments)
                    flying[executor.submit(work, blob, job)] = task
                if not flying:
                    break
                done, _ = wait(flying, timeout=0.5, return_when=FIRST_COMPLETED)
                finished += [(flying.pop(future), future.result()) for future in list(flying) if future in done]
                if time.monotonic() - published > PUBLISH_SECONDS or any(result.error for _, result in finished):
                    ready, finished, published = finished, [], time.monotonic()
                    self._take_back(ready, leases, progress, tried)
        except BrokenProcessPool as error:
            raise StoreError("a worker process died, perhaps for want of memory; run again to go on") from error
        finally:
            for future in flying:
                future.cancel()
            self._take_back(finished, leases, progress, tried)
        if self._stopping.is_set():
            raise KeyboardInterrupt

    def _job(self, task: Task, state: SurveyState, segments: Mapping[int, Any]) -> Job:
        raw = state.stages["download"]
        return Job(
            observatory=task.observatory,
            stages=task.stages,
            sources=self.sources.take(task.rows),
            asked=raw.input[task.rows],
            raw_digests=np.zeros_like(raw.digest[task.rows]) if "download" in task.stages else raw.digest[task.rows],
            inputs={
                stage: (segments[number][1], state.stages[stage].row[task.rows].tolist())
                for stage, number in task.segments.items()
            },
            keys={stage: spec.key for stage, spec in self.recipe.specs[task.observatory].items()},
        )

    def _take_back(
        self,
        finished: Sequence[tuple[Task, JobResult]],
        leases: LeaseHolder,
        progress: Progress,
        tried: Mapping[str, Any],
    ) -> None:
        """Publish what jobs made, and count."""
        for task, result in finished:
            self._keep_earlier_answers(task, result)
        batches = [batch for _, result in finished for batch in result.batches]
        if batches:
            self.database.publish(batches, run=self.name, tokens=leases.tokens)
        for task, result in finished:
            self._add_counts(result)
            failed_here = np.zeros(task.rows.size, np.bool_)
            for stage, codes in result.outcomes.items():
                outcome = np.array(codes)
                failed = outcome == Outcome.FAILED
                tried[task.observatory][stage][task.rows[failed]] = True
                failed_here |= failed
                self.summary.computed[stage] += int(
                    np.count_nonzero((outcome == Outcome.DONE) | (outcome == Outcome.EMPTY) & (stage == "download"))
                )
            progress.advance(task.rows.size, int(failed_here.sum()))
            self._judge(failed_here)
            if result.error:
                log.debug("%s", result.error_trace)
                raise StoreError(result.error)

    def _keep_earlier_answers(self, task: Task, result: JobResult) -> None:
        """Where a source could not be fetched again, what it had stays, and the next run asks again."""
        if self._fetched_after is None:
            return
        raw = self._state_now[0][task.observatory].stages["download"].digest[task.rows]
        key = self.recipe.specs[task.observatory]["download"].key
        for batch in result.batches:
            told = batch.tables["sources"]
            kept = (told["outcome"] == Outcome.FAILED) & (raw != b"") & (batch.stage_key == key)
            if kept.any():
                told["outcome"][kept], told["digest"][kept] = Outcome.PENDING, raw[kept]
                self._not_refreshed += [
                    f"{told['name'][k]} ({task.observatory}, download): {told['message'][k]}; its earlier answer stays"
                    for k in np.flatnonzero(kept).tolist()
                ]

    def _add_counts(self, result: JobResult) -> None:
        for batch in result.batches:
            if "detections" in batch.tables and batch.file is not None:
                done = np.count_nonzero(batch.tables["sources"]["outcome"] == Outcome.DONE)
                self._fresh.add(batch.file.path, int(done), result.counts)

    def _judge(self, failed: Any) -> None:
        """Stop a run that will not get anywhere."""
        self._failed += int(failed.sum())
        for one in failed.tolist():
            self._failed_in_a_row = self._failed_in_a_row + 1 if one else 0
        total, in_a_row = self.settings.max_failures, self.settings.max_failures_in_a_row
        if total is not None and self._failed > total:
            raise HopelessRun(f"more than {total} sources failed (run.max_failures); mend the cause and run again")
        if in_a_row is not None and self._failed_in_a_row > in_a_row:
            raise HopelessRun(
                f"{self._failed_in_a_row} sources failed one after the other (run.max_failures_in_a_row); "
                "mend the cause and run again"
            )

    @contextlib.contextmanager
    def _interruptible(self) -> Iterator[None]:
        """The first Ctrl-C lets the batches in work come to their end, the second ends the run at once."""

        def stop(number: int, frame: Any) -> None:
            # what a handler raises may be swallowed, as within a weakref's callback: the flag alone is sure to be seen
            if self._stopping.is_set():
                raise KeyboardInterrupt
            self._stopping.set()
            os.write(2, b"retriever: finishing the batches in work; once more to stop at once\n")

        if threading.current_thread() is not threading.main_thread():
            yield
            return
        previous = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    # ---- finishing ----------------------------------------------------------------------------------------------

    def _finish(self) -> None:
        """Write the version's tables, and count where it stands."""
        states, segments = self._state_now if self._is_current else self._states()
        self.summary.failures = count_outcomes(self.summary, states, self.sources) + self._not_refreshed
        self._say_what_is_not_on_disk(states)
        aliases = self._aliases(states)
        counted = Counted(
            sources=self.sources,
            states=states,
            segments=segments,
            read_segment=lambda number, tables: read(
                self.recipe.roots[segments[number][0]] / segments[number][1], tables
            )[1],
            rows=self.database.rows,
            columns=self.database.columns,
            fresh=self._fresh,
            aliases=aliases,
        )
        if write_tables(self.version.folder, counted):
            self.database.add_sources(_source_rows(self.sources, aliases))
        vars(self.summary).update(count_rows(self.version.folder))
        self.summary.mixed = differences(asking.environments_of(self.database, self._ids.values()))
        if self.summary.state == "complete":
            self.summary.state = self._state(states)

    def _say_what_is_not_on_disk(self, states: Mapping[str, SurveyState]) -> None:
        for name in sorted(self._choice.not_asked):
            missing = np.flatnonzero((states[name].outcome("download") == Outcome.PENDING) & self._choice.sources)
            if missing.size:
                log.warning(
                    "%d source(s) have no raw data of %s on disk, the first is %s, and run.offline=true",
                    missing.size, name, self.sources.name[missing[0]],
                )  # fmt: skip

    def _aliases(self, states: Mapping[str, SurveyState]) -> dict[int, tuple[str, ...]]:
        """Other names that archives told, by the source's row in the catalog."""
        found: dict[int, tuple[str, ...]] = {}
        for state in states.values():
            raw = state.stages["download"]
            told = list(self.database.found_aliases(np.unique(raw.segment[raw.segment >= 0]).tolist()))
            places = zip(raw.segment.tolist(), raw.row.tolist(), strict=True) if told else ()
            row_at = {place: k for k, place in enumerate(places)}
            for segment, row, names in told:
                if (segment, row) in row_at:
                    k = row_at[segment, row]
                    found[k] = (*found.get(k, ()), *names)
        return found

    def _state(self, states: Mapping[str, SurveyState]) -> str:
        codes = np.concatenate([state.outcome(stage) for state in states.values() for stage in STAGES])
        if (codes == Outcome.FAILED).any() or self._not_refreshed:
            return "failures"
        return "partial" if (codes == Outcome.PENDING).any() else "complete"


def _source_rows(sources: SourceTable, told: Mapping[int, tuple[str, ...]]) -> list[dict[str, Any]]:
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
        for row, names in zip(zip(*lists, strict=True), all_aliases(sources, told), strict=True)
    ]

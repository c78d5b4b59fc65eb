"""What comes back from jobs: published, counted, and judged whether a run gets anywhere."""

import logging
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from retriever.errors import AbortedRun, StoreError
from retriever.histogram import ScoreHistogram
from retriever.identity import Digests
from retriever.outcome import Outcome
from retriever.pipeline.cutting import Task
from retriever.pipeline.plan import Key, States
from retriever.pipeline.progress import Progress
from retriever.pipeline.recipe import Recipe
from retriever.pipeline.run_summary import RunSummary
from retriever.pipeline.settings import RunSettings
from retriever.pipeline.task import JobResult
from retriever.report.tables import FreshCounts
from retriever.store.database import Database
from retriever.store.leases import LeaseHolder
from retriever.store.publishing import publish

__all__ = ["Results"]

log = logging.getLogger("retriever")


class Results:
    """Publishes what jobs made, counts it into the summary, and stops a run that will not get anywhere.

    Attributes
    ----------
    tried
        Observatory and stage to the inputs that failed in this run, which are not tried again.
    not_refreshed
        Sentences on sources that could not be fetched again.
    fresh
        Histograms and digests of what this run made, for its tables.
    """

    def __init__(self, recipe: Recipe, database: Database, settings: RunSettings, summary: RunSummary) -> None:
        self._recipe, self._database, self._settings, self._summary = recipe, database, settings, summary
        self._failed = self._failed_in_a_row = 0
        self.tried: dict[Key, set[bytes]] = {}
        self.not_refreshed: list[str] = []
        self.fresh = FreshCounts(total=ScoreHistogram(histograms=recipe.histograms))

    def take(
        self, finished: Sequence[tuple[Task, JobResult]], states: States, leases: LeaseHolder, progress: Progress
    ) -> None:
        """Publish what jobs made from the states that they were given, and count."""
        for task, result in finished:
            self._keep_earlier_answers(task, result, states)
        batches = [batch for _, result in finished for batch in result.batches]
        if batches:
            publish(self._database, batches, run=self._summary.run, tokens=leases.tokens)
        for task, result in finished:
            self._add_counts(result)
            failed_here = np.zeros(task.rows.size, np.bool_)
            for stage, outcome in result.outcomes.items():
                failed = outcome == Outcome.FAILED
                if failed.any():
                    inputs = self._inputs(task.observatory, stage, result)
                    self.tried.setdefault((task.observatory, stage), set()).update(inputs[failed].tolist())
                failed_here |= failed
                fetched = self._recipe.stages[stage].root == "data"
                self._summary.computed[stage] += int(
                    np.count_nonzero((outcome == Outcome.DONE) | (outcome == Outcome.EMPTY) & fetched)
                )
            progress.advance(task.rows.size, int(failed_here.sum()))
            self._judge(failed_here)
            if result.error:
                log.debug("%s", result.error_trace)
                raise StoreError(result.error)

    def _inputs(self, observatory: str, stage: str, result: JobResult) -> Digests:
        key = self._recipe.specs[observatory][stage].key
        inputs: Digests = next(batch.tables["sources"]["input"] for batch in result.batches if batch.stage_key == key)
        return inputs

    def _keep_earlier_answers(self, task: Task, result: JobResult, states: States) -> None:
        """Where a source could not be fetched again, what it had stays, and the next run asks again."""
        if self._settings.refresh is None or "download" not in task.stages:
            return
        raw = states[task.observatory]["download"].digest[task.rows]
        key = self._recipe.specs[task.observatory]["download"].key
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
        total, in_a_row = self._settings.max_failures, self._settings.max_failures_in_a_row
        if total is not None and self._failed > total:
            raise AbortedRun(f"more than {total} sources failed (run.max_failures); remove the cause and run again")
        if in_a_row is not None and self._failed_in_a_row > in_a_row:
            raise AbortedRun(
                f"{self._failed_in_a_row} sources failed one after the other (run.max_failures_in_a_row); "
                "remove the cause and run again"
            )

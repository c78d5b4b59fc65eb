"""Which tasks go to a worker together."""

from collections import deque
from collections.abc import Sequence, Set
from dataclasses import replace

import numpy as np

from retriever.pipeline.cutting import Task
from retriever.pipeline.task import JobResult

__all__ = ["Bundles", "joined"]

SECONDS_AT_ONCE = 0.2
"""A bundle is to take no longer, so that progress is seen, workers end together and Ctrl-C need not wait."""

SOURCES_AT_ONCE = 100
"""More together are hardly faster."""


class Bundles:
    """Hands out tasks: one at a time, or several where they turn out to be short.

    A walk through the stages takes some milliseconds for however few sources, so small batches are worked on together.
    Long light curves and answers of an archive take time, and so go alone: memory holds one batch of them.

    Parameters
    ----------
    tasks
        In their order.
    in_flight
        Most bundles out at once; enough tasks are left for each.
    of_groups
        Stages of groups of sources, whose tasks go alone.
    """

    def __init__(self, tasks: Sequence[Task], in_flight: int, of_groups: Set[str] = frozenset()) -> None:
        self._waiting, self._in_flight, self._of_groups = deque(tasks), in_flight, of_groups
        self._seconds = SECONDS_AT_ONCE

    def take(self) -> list[Task]:
        """Tasks for a worker; none when all were handed out."""
        bundle: list[Task] = []
        most = int(min(SECONDS_AT_ONCE / self._seconds, 1 + len(self._waiting) / self._in_flight))
        while self._waiting and (not bundle or (len(bundle) < most and self._fits(bundle, self._waiting[0]))):
            bundle.append(self._waiting.popleft())
        return bundle

    def _fits(self, bundle: Sequence[Task], task: Task) -> bool:
        """Whether a task is of the same stages, reads products of the same ones, and leaves the bundle small enough."""
        first = bundle[0]
        if (first.observatory, first.stages, first.segments.keys()) != (
            task.observatory, task.stages, task.segments.keys()
        ):  # fmt: skip
            return False
        n_sources = sum(each.rows.size for each in (*bundle, task))
        return n_sources <= SOURCES_AT_ONCE and self._of_groups.isdisjoint(task.stages)

    def learn(self, results: Sequence[JobResult]) -> None:
        """Take note of how long tasks took."""
        self._seconds = max(result.seconds for result in results) or self._seconds


def joined(tasks: Sequence[Task]) -> Task:
    """Tasks of a bundle as one."""
    return replace(tasks[0], rows=np.concatenate([task.rows for task in tasks]))

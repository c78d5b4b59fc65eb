"""Where batches are worked on: in this process, or in several on this machine.

An executor of the config has a `batch_size` and the verb `start`, which gives a `concurrent.futures.Executor`.
"""

import contextlib
import functools
import multiprocessing
import os
import pickle
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from retriever.errors import ConfigError
from retriever.pipeline.recipe import Recipe
from retriever.pipeline.task import Job, JobResult, run_job

__all__ = ["Engine", "ProcessesExecutor", "SerialExecutor", "recipe_blob", "work"]


class Engine(Protocol):
    """What a class must have to be the `executor` of the config."""

    batch_size: int

    @property
    def in_flight(self) -> int:
        """Most batches to have submitted at once."""
        ...

    def start(self) -> contextlib.AbstractContextManager[Executor]:
        """Start workers; leaving the context ends them."""
        ...


def recipe_blob(recipe: Recipe) -> bytes:
    """A recipe as bytes for workers, who keep what they derive from it between jobs."""
    return pickle.dumps(recipe)


def work(blob: bytes, job: Job) -> JobResult:
    """Do one job in a worker."""
    return run_job(_recipe(blob), job)


@functools.lru_cache(maxsize=4)
def _recipe(blob: bytes) -> Recipe:
    # the bytes come from the coordinator that started this worker, through its own pipe
    recipe: Recipe = pickle.loads(blob)
    return recipe


class _InThisThread(Executor):
    """Does each call at once."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


@dataclass(frozen=True, kw_only=True)
class SerialExecutor:
    """Work in this process, one batch after the other.

    Parameters
    ----------
    batch_size
        Sources a batch, and so a segment.
    """

    batch_size: int = 100

    def __post_init__(self) -> None:
        _check(self.batch_size, 1)

    @property
    def in_flight(self) -> int:
        """Most batches to have submitted at once."""
        return 1

    @contextmanager
    def start(self) -> Iterator[Executor]:
        """Nothing to start."""
        yield _InThisThread()


@dataclass(frozen=True, kw_only=True)
class ProcessesExecutor:
    """Work in several processes on this machine.

    Parameters
    ----------
    batch_size
        Sources a batch, and so a segment.
    workers
        Number of processes; null for one a core.
    """

    batch_size: int = 100
    workers: int | None = None

    def __post_init__(self) -> None:
        _check(self.batch_size, self.n_workers)

    @property
    def n_workers(self) -> int:
        """Number of processes."""
        return len(os.sched_getaffinity(0)) if self.workers is None else self.workers

    @property
    def in_flight(self) -> int:
        """Most batches to have submitted at once: one in work and one waiting for each worker."""
        return 2 * self.n_workers

    @contextmanager
    def start(self) -> Iterator[Executor]:
        """Start the workers, and end them with the run."""
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["retriever.pipeline.task"])
        pool = ProcessPoolExecutor(self.n_workers, mp_context=context, initializer=_start_worker)
        try:
            yield pool
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _check(batch_size: int, workers: int) -> None:
    if batch_size < 1 or workers < 1:
        raise ConfigError(f"executor has batch_size={batch_size} and workers={workers}; both must be at least 1")


def _start_worker() -> None:
    """Leave Ctrl-C to the coordinator, and end with it however it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    from multiprocessing.connection import wait

    wait([sentinel])
    os._exit(1)

"""Where batches are worked on: in this process, in several, or on a cluster.

An executor of the config has a `batch_size` and the verb `start`, which gives a `concurrent.futures.Executor`.
"""

import contextlib
import dataclasses
import functools
import gc
import importlib
import logging
import multiprocessing
import os
import pickle
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import forkserver
from multiprocessing.context import BaseContext
from typing import Any, Protocol

from retriever.errors import ConfigError, StoreError
from retriever.fingerprint.code_hashes import files_of, refuse_changed
from retriever.pipeline.recipe import Recipe
from retriever.pipeline.task import Job, JobResult, run_together

__all__ = ["AnyExecutor", "DaskExecutor", "Engine", "ProcessesExecutor", "SerialExecutor", "recipe_blob", "work"]


log = logging.getLogger("retriever")


class Engine(Protocol):
    """What a class must have to be the `executor` of the config."""

    batch_size: int

    @property
    def in_flight(self) -> int:
        """Most batches to have submitted at once."""
        ...

    def start(self) -> contextlib.AbstractContextManager[Executor]:
        """Start workers; leaving the context ends them. The call itself may begin what takes time."""
        ...


def recipe_blob(recipe: Recipe) -> bytes:
    """A recipe as bytes for workers, who keep what they derive from it between jobs.

    The keys go along with the files they were derived from: a worker whose files are others derives its own.
    """
    reached = {name for stages in recipe.code.values() for hashes in stages.values() for name in hashes}
    files = files_of({name.partition(":")[0] for name in reached})
    refuse_changed(files)
    return pickle.dumps((dataclasses.replace(recipe), recipe.manifests, files))


def work(blob: bytes, job: Job, sizes: Sequence[int]) -> list[JobResult]:
    """Do a job in a worker; see `run_together`."""
    try:
        recipe = _recipe(blob)
    except Exception as error:  # whatever the worker lacks, its host and the reason must reach the user
        reason = f"{type(error).__name__}: {error}"
        text = f"a worker on {socket.gethostname()} cannot load this run's classes ({reason}); give it the same code"
        return [JobResult(error=text) for _ in sizes]
    return run_together(recipe, job, sizes)


@functools.lru_cache(maxsize=4)
def _recipe(blob: bytes) -> Recipe:
    # the bytes come from the coordinator that started this worker, through its own pipe
    recipe: Recipe
    recipe, manifests, files = pickle.loads(blob)
    own = files_of(files)
    refuse_changed(own)
    if own == files:
        recipe.__dict__["manifests"] = manifests
    return recipe


class _InThisThread(Executor):
    """Does each call at once."""

    def submit(self, fn: Callable[..., object], /, *args: object, **kwargs: object) -> Future[Any]:
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
        return _cores() if self.workers is None else self.workers

    @property
    def in_flight(self) -> int:
        """Most batches to have submitted at once: one in work and one waiting for each worker."""
        return 2 * self.n_workers

    def start(self) -> contextlib.AbstractContextManager[Executor]:
        """Start the workers, and end them with the run; what they import is imported from this call on."""
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["retriever.pipeline.task"])
        forkserver.ensure_running()
        return self._workers(context)

    @contextmanager
    def _workers(self, context: BaseContext) -> Iterator[Executor]:
        pool = ProcessPoolExecutor(self.n_workers, mp_context=context, initializer=_start_worker)
        try:
            yield pool
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


@dataclass(frozen=True, kw_only=True)
class DaskExecutor:
    """Work on a Dask cluster: one started on this machine, or one that runs already.

    Workers must see the same data and outputs folders, and have the same code: one that has not refuses.

    Parameters
    ----------
    batch_size
        Sources a batch, and so a segment.
    workers
        Worker processes of a cluster started here; null for one a core.
    address
        Address of a running scheduler, as in ``tcp://host:8786``; null to start a cluster here.
    """

    batch_size: int = 100
    workers: int | None = None
    address: str | None = None

    def __post_init__(self) -> None:
        _check(self.batch_size, self.n_workers)

    @property
    def n_workers(self) -> int:
        """Number of processes of a cluster started here."""
        return _cores() if self.workers is None else self.workers

    @property
    def in_flight(self) -> int:
        """Most batches to have submitted at once; of a running cluster the size is not known beforehand."""
        return 2 * self.n_workers if self.address is None else 64

    @contextmanager
    def start(self) -> Iterator[Executor]:
        """Start or join a cluster; one that was joined is left running."""
        try:
            from distributed import Client, LocalCluster
        except ImportError as error:
            raise ConfigError("executor=dask needs Dask; install it with: pip install 'retriever[dask]'") from error
        with contextlib.ExitStack() as stack:
            try:
                if self.address is None:
                    cluster = LocalCluster(n_workers=self.n_workers, threads_per_worker=1, dashboard_address=":0")
                    stack.enter_context(cluster)
                    client = stack.enter_context(Client(cluster))
                else:
                    client = stack.enter_context(Client(self.address, timeout=10))
            except OSError as error:
                raise StoreError(
                    f"cannot reach a Dask scheduler at {self.address}: {error}; see that it runs"
                ) from error
            log.warning("Dask's dashboard: %s", client.dashboard_link)
            yield stack.enter_context(client.get_executor(pure=False, retries=3))


@dataclass(frozen=True, kw_only=True)
class AnyExecutor:
    """Work on any `concurrent.futures.Executor`, named by its class, such as that of a batch system.

    Parameters
    ----------
    batch_size
        Sources a batch, and so a segment.
    executor
        The class, with its module.
    arguments
        What it is made with.
    in_flight
        Most batches to have submitted at once.
    """

    batch_size: int = 100
    executor: str = "concurrent.futures.ThreadPoolExecutor"
    arguments: dict[str, Any] = field(default_factory=dict)
    in_flight: int = 8

    def __post_init__(self) -> None:
        _check(self.batch_size, self.in_flight)
        kind = self._class()
        if not (isinstance(kind, type) and callable(getattr(kind, "submit", None)) and hasattr(kind, "shutdown")):
            raise ConfigError(f"executor.executor is {self.executor!r}, which is no concurrent.futures.Executor")

    def _class(self) -> Any:
        module_name, _, name = self.executor.rpartition(".")
        try:
            return getattr(importlib.import_module(module_name), name)
        except (ImportError, AttributeError, ValueError) as error:
            raise ConfigError(f"executor.executor is {self.executor!r}, which cannot be imported: {error}") from error

    @contextmanager
    def start(self) -> Iterator[Executor]:
        """Make the executor, and shut it down with the run."""
        with self._class()(**self.arguments) as executor:
            yield executor


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _check(batch_size: int, workers: int) -> None:
    if batch_size < 1 or workers < 1:
        raise ConfigError(f"executor has batch_size={batch_size} and workers={workers}; both must be at least 1")


def _start_worker() -> None:
    """Leave Ctrl-C to the coordinator, and end with it however it ends."""
    gc.freeze()  # what was imported stays: to look through it for garbage takes a tenth of a second each time
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    from multiprocessing.connection import wait

    wait([sentinel])
    os._exit(1)

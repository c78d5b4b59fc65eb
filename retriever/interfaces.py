"""Interfaces of components: what a class must be able to do to serve in a group of the config.

A component is a frozen, keyword-only dataclass. Its fields are its parameters. It has the one method of its group,
takes and returns plain data, and touches no file, session or config; only catalogs and observatories meet the
outside. A field that cannot change a result says so with ``field(default=..., metadata=NO_RESULT)`` and stays out of
every key.

The method for one source or light curve is the definition. Beside it a component may have a method for a batch
(`BatchReducer`, `BatchQuality`, ...), which must give the same numbers whatever the batch.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from retriever.detection import Analyzed, Detection, Simulated
from retriever.errors import DataError
from retriever.lightcurve import Lightcurve, Reduction
from retriever.lightcurves import LightcurveBatch, LightcurveSet
from retriever.rawbatch import RawBatch
from retriever.rawtable import RawPhotometry
from retriever.schema import Columns
from retriever.source import Source, SourceTable

if TYPE_CHECKING:
    from retriever.lifting import AnalyzedBatch
    from retriever.simulators.injection import Injected

__all__ = [
    "NO_RESULT",
    "VERBS",
    "Analysis",
    "BatchAnalysis",
    "BatchFinder",
    "BatchQuality",
    "BatchReducer",
    "BatchSimulator",
    "Catalog",
    "Finder",
    "Observatory",
    "Quality",
    "Reducer",
    "Simulator",
    "each",
]

NO_RESULT: Mapping[str, Any] = {"result": False}
"""Field metadata of a parameter that cannot change a result, such as the folder that files lie in."""

VERBS = {
    "catalog": "load",
    "observatories": "fetch",
    "reducers": "reduce",
    "quality": "assess",
    "finder": "find",
    "analysis": "analyze",
    "simulator": "inject",
}
"""Group of the config to the verb that its classes must have."""


class Catalog(Protocol):
    """Where sources come from."""

    def load(self) -> SourceTable:
        """Read or make the table of sources."""
        ...


class Observatory(Protocol):
    """Where raw photometry comes from.

    An observatory may also have ``stamps(sources) -> list[str]``: what it can tell cheaply, without fetching, of the
    state of each source's data (such as names, sizes and times of files). A changed stamp makes a source pending.

    One that asks an archive has a field `client` (`retriever.client.http.Client`), and is left alone when
    ``run.offline=true``. Answers that it asks for with ``about=...`` are kept until they are safe on disk.
    """

    @property
    def survey(self) -> str:
        """Name of the survey; raw data is kept by it."""
        ...

    def fetch(self, sources: Sequence[Source]) -> Iterable[RawPhotometry | Exception]:
        """Give an answer for each source, in their order; an exception in place of the answer that failed."""
        ...


class Reducer(Protocol):
    """Raw photometry to light curves."""

    def reduce(self, source: Source, raw: RawPhotometry) -> Reduction:
        """Reduce one source."""
        ...


class Quality(Protocol):
    """Marks bad epochs."""

    def assess(self, source: Source, lightcurve: Lightcurve) -> Lightcurve:
        """Give the light curve with `qflag` set for bad epochs, and perhaps further columns."""
        ...


class Finder(Protocol):
    """Searches one light curve."""

    def find(self, lightcurve: Lightcurve) -> tuple[Mapping[str, Any], tuple[Detection, ...]]:
        """Give columns of scores, one value an epoch, and the detections."""
        ...


class Analysis(Protocol):
    """The whole search of one source, used alike on observed and on simulated light curves."""

    def analyze(
        self, source: Source, lightcurves: tuple[Lightcurve, ...], quality: Quality, finder: Finder
    ) -> Analyzed:
        """Search all light curves of one source from one survey."""
        ...


class Simulator(Protocol):
    """Puts simulated events into light curves."""

    @property
    def keep_lightcurves(self) -> bool:
        """Whether the simulated light curves are stored; if not, they can be regenerated from the seed."""
        ...

    def inject(self, lightcurves: tuple[Lightcurve, ...], rng: np.random.Generator) -> Simulated:
        """Give those light curves that received events, changed, and the truth."""
        ...


@runtime_checkable
class BatchReducer(Protocol):
    """A reducer that also takes a batch."""

    def reduce_many(self, raw: RawBatch) -> tuple[LightcurveBatch, Columns] | None:
        """Light curves of all sources in the order of sources and numbers, and what was dropped.

        The latter has the columns `source`, `reason` and `n_rows`. None where this batch must go one by one.
        """
        ...


@runtime_checkable
class BatchQuality(Protocol):
    """A quality that also takes a batch."""

    def assess_many(self, batch: LightcurveBatch) -> LightcurveBatch:
        """Give the batch with `qflag` set for bad epochs, and perhaps further columns."""
        ...


@runtime_checkable
class BatchFinder(Protocol):
    """A finder that also takes a batch."""

    def find_many(self, batch: LightcurveBatch) -> tuple[Columns, Columns]:
        """Give columns of scores, and events: the columns of `Detection`, and `member`, the light curve's position."""
        ...


@runtime_checkable
class BatchAnalysis(Protocol):
    """An analysis that also takes a batch."""

    def analyze_many(
        self, sources: SourceTable, lightcurves: LightcurveSet, quality: Quality, finder: Finder
    ) -> "AnalyzedBatch":
        """Search all light curves of a batch of sources."""
        ...


@runtime_checkable
class BatchSimulator(Protocol):
    """A simulator that also takes a batch."""

    def inject_many(self, lightcurves: LightcurveSet, streams: Iterable[np.random.Generator]) -> "Injected":
        """Put events into light curves, with a random stream for each source of the batch."""
        ...


def each(fetch_one: Any, sources: Sequence[Source]) -> Iterator[RawPhotometry | Exception]:
    """Fetch sources one at a time, so that what goes wrong with one stays with it.

    Examples
    --------
    >>> def fetch_one(source):
    ...     raise DataError("no such star")
    >>> [str(answer) for answer in each(fetch_one, [Source(name="X", ra=0.0, dec=0.0)])]
    ['no such star']
    """
    for source in sources:
        try:
            yield fetch_one(source)
        except (DataError, OSError) as error:
            yield error

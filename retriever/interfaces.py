"""Interfaces of components: what a class must be able to do to serve in a group of the config.

A component is a frozen, keyword-only dataclass. Its fields are its parameters. It has the one method of its group,
takes and returns plain data, and touches no file, session or config; only catalogs and observatories meet the
outside. A field that cannot change a result says so with ``field(default=..., metadata=NO_RESULT)`` and stays out of
every key.

The method for one source or light curve is the definition. Beside it a component may have a method for a batch
(`BatchReducer`, `BatchQuality`, ...), which must give the same numbers whatever the batch.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from retriever.arrays import Array
from retriever.detection import Analyzed, Detection, Simulated
from retriever.errors import DataError
from retriever.lightcurve import Lightcurve, Reduction
from retriever.lightcurves import LightcurveBatch, LightcurveSet
from retriever.rawbatch import RawAnswers, RawBatch
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
    "AsksArchive",
    "BatchAnalysis",
    "BatchFinder",
    "BatchObservatory",
    "BatchQuality",
    "BatchReducer",
    "BatchSimulator",
    "Catalog",
    "Detrend",
    "Finder",
    "HasFileStates",
    "HasSpan",
    "HasTrials",
    "Observatory",
    "Quality",
    "Reducer",
    "RequestsInColumns",
    "ResolvesNames",
    "Simulator",
    "StatesRequest",
    "describe",
    "each",
    "no_result_with",
]

NO_RESULT: Mapping[str, object] = {"result": False}
"""Field metadata of a parameter that cannot change a result, such as the folder that files lie in."""


def no_result_with(name: str) -> Mapping[str, object]:
    """Field metadata of a parameter that changes no result where another field is given.

    Examples
    --------
    The address of a service, where the release of its data is stated: ``field(default="",
    metadata=no_result_with("release"))``.

    >>> dict(no_result_with("release"))
    {'no_result_with': 'release'}
    """
    return {"no_result_with": name}


VERBS = {
    "catalog": "load",
    "observatories": "fetch",
    "reducers": "reduce",
    "detrend": "detrend",
    "quality": "assess",
    "finder": "find",
    "analysis": "analyze",
    "simulator": "inject",
    "scrambler": "scramble",
}
"""Group of the config to the verb that its classes must have."""


class Catalog(Protocol):
    """Where sources come from."""

    def load(self) -> SourceTable:
        """Read or make the table of sources."""
        ...


class Observatory(Protocol):
    """Where raw photometry comes from.

    Beyond this an observatory may have one or several of `StatesRequest`, `RequestsInColumns`, `HasFileStates`,
    `AsksArchive` and `ResolvesNames`.
    """

    @property
    def survey(self) -> str:
        """Name of the survey; raw data is kept by it."""
        ...

    def fetch(self, sources: Sequence[Source]) -> Iterable[RawPhotometry | Exception]:
        """Give an answer for each source, in their order; an exception in place of the answer that failed."""
        ...


@runtime_checkable
class StatesRequest(Protocol):
    """An observatory that says what it asks for a source.

    Raw data is kept by this request: a changed one is asked again, and nothing else is. `fetch` builds what it sends
    from the same mapping. An observatory without it is taken to ask by all of its fields and the place to 0.1 arcsec.
    """

    def request(self, source: Source) -> Mapping[str, object]:
        """Give all that shapes the answer, as JSON values: place, radius, ids, cuts, bands, release.

        A source that the archive is not asked for has ``{"not asked": reason}``.
        """
        ...


@runtime_checkable
class RequestsInColumns(Protocol):
    """An observatory that gives the requests of a whole table at once, for catalogs of a million sources."""

    def request_columns(self, sources: SourceTable) -> Mapping[str, Array]:
        """Give a column for each key of the requests; row k is `request` of source k.

        A masked entry, or None in a column of objects, means that the request does not have the key. Where the column
        "not asked" has an entry, it is the only key of that request.
        """
        ...


@runtime_checkable
class HasFileStates(Protocol):
    """An observatory that reads files, and tells without reading them in which state they are."""

    def states(self, sources: SourceTable) -> list[str]:
        """Give names, sizes and times of each source's files. A changed state makes a source pending."""
        ...


@runtime_checkable
class AsksArchive(Protocol):
    """An observatory that asks an archive, and that is left alone when ``run.offline=true``.

    Answers that it asks for with ``about=...`` are kept until they are safe on disk.
    """

    @property
    def client(self) -> Any:
        """How the archive is asked: a `retriever.client.http.Client`, of which this module knows nothing."""
        ...


@runtime_checkable
class ResolvesNames(Protocol):
    """An observatory whose archive knows the places of stars by their numbers."""

    def find_place(self, number: str) -> Source:
        """Give the star of a number, as a source."""
        ...


class Reducer(Protocol):
    """Raw photometry to light curves."""

    def reduce(self, source: Source, raw: RawPhotometry) -> Reduction:
        """Reduce one source."""
        ...


class Detrend(Protocol):
    """Removes slow changes of the star and of the instrument."""

    def detrend(self, lightcurve: Lightcurve) -> Lightcurve:
        """Give the same epochs with another `flux`, `flux_err`, `mag`, `mag_err` and perhaps `qflag`."""
        ...


class Quality(Protocol):
    """Marks bad epochs."""

    def assess(self, source: Source, lightcurve: Lightcurve) -> Lightcurve:
        """Give the light curve with `qflag` set for bad epochs, and perhaps further columns."""
        ...


class Finder(Protocol):
    """Searches one light curve."""

    def find(self, lightcurve: Lightcurve) -> tuple[Mapping[str, Array], tuple[Detection, ...]]:
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
class BatchObservatory(Protocol):
    """An observatory that also answers for a batch."""

    def fetch_many(self, sources: SourceTable) -> RawAnswers:
        """Give the answers for all sources, in columns."""
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

    def inject_many(
        self, processed: LightcurveSet, base: LightcurveSet, streams: Iterable[np.random.Generator]
    ) -> "Injected":
        """Put events into the base, with a random stream for each source; noise is judged on the processed."""
        ...


@runtime_checkable
class HasTrials(Protocol):
    """A simulator that makes several independent trials of each source, or that injects before detrending."""

    @property
    def trials(self) -> int:
        """How often each source is simulated and searched."""
        ...

    @property
    def level(self) -> str:
        """Which light curves the events are put into: "processed", or "reduced", before detrending."""
        ...


@runtime_checkable
class HasSpan(Protocol):
    """A simulator whose events are the same in all surveys of a source, if it has a span of time for them."""

    @property
    def span(self) -> tuple[float, ...]:
        """First and last time of events, BJD_TDB as MJD; empty for events of its own for each survey."""
        ...


def each(
    fetch_one: Callable[[Source], RawPhotometry], sources: Sequence[Source]
) -> Iterator[RawPhotometry | Exception]:
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


def describe(component: Any) -> dict[str, Any]:
    """A component as plain data: its class, and the fields that can change a result.

    Examples
    --------
    >>> from retriever.quality.standard import StandardQuality
    >>> describe(StandardQuality(max_offset=5.0))
    {'class': 'retriever.quality.standard.StandardQuality', 'fields': {'use_flags': True, 'max_offset': 5.0}}
    """
    kind = type(component)
    return {
        "class": f"{kind.__module__}.{kind.__qualname__}",
        "fields": {
            spec.name: _plain(getattr(component, spec.name))
            for spec in fields(component)
            if spec.metadata.get("result", True)
            and not ("no_result_with" in spec.metadata and getattr(component, spec.metadata["no_result_with"]))
        },
    }


def _plain(value: object) -> object:
    if is_dataclass(value) and not isinstance(value, type):
        return describe(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    return value

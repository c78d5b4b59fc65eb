"""A survey that makes up its answers, to try retriever out without a network."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retriever.arrays import Array
from retriever.errors import DataError
from retriever.identity import random_stream
from retriever.interfaces import NO_RESULT, each
from retriever.observatories.requests import constant, place, places, request_text
from retriever.rawbatch import RawAnswers, pack_columns, unpack_raw
from retriever.rawtable import RawPhotometry
from retriever.schema import Tables
from retriever.source import Source, SourceTable

__all__ = ["DemoObservatory"]


@dataclass(frozen=True, kw_only=True)
class DemoObservatory:
    """Seeded noise at the magnitude of each source, with a flare in a few.

    Parameters
    ----------
    survey
        Name that the raw data is kept by.
    seed
        Seed of the answers.
    epochs
        Epochs per filter.
    filters
        Names of the filters.
    start, days
        First MJD, and the length of the survey in days.
    exptime
        Exposure time in seconds.
    flares
        Share of sources with one flare of about 15 sigma.
    empty
        Share of sources of which the survey has no data.
    failures
        Share of sources whose download fails, while this stands above zero.
    wait
        Seconds to wait for each answer, as for an archive.

    Examples
    --------
    >>> answer, = DemoObservatory(epochs=5).fetch([Source(name="X", ra=10.0, dec=20.0, mag=16.0)])
    >>> answer.n_rows
    5
    """

    survey: str = "DEMO"
    seed: int = 0
    epochs: int = 100
    filters: list[str] = field(default_factory=lambda: ["r"])
    start: float = 58000.0
    days: float = 1000.0
    exptime: float = 30.0
    flares: float = 0.02
    empty: float = 0.0
    failures: float = field(default=0.0, metadata=NO_RESULT)
    wait: float = field(default=0.0, metadata=NO_RESULT)

    def fetch(self, sources: Sequence[Source]) -> Iterator[RawPhotometry | Exception]:
        """Answer for each source."""
        return each(lambda source: self._observe(self.request(source)), sources)

    def fetch_many(self, sources: SourceTable) -> RawAnswers:
        """The same as `fetch`, for a table of sources at once."""
        columns = self.request_columns(sources)
        mags = np.ma.filled(columns["mag"], np.nan).tolist()
        facts = zip(sources.name.tolist(), columns["ra"].tolist(), columns["dec"].tolist(), mags, strict=True)
        shared, failures, provenance = self._parameters(), {}, []
        noise, requests, rows = [], [], []
        for row, (name, ra, dec, mag) in enumerate(facts):
            request = {"name": name, "ra": ra, "dec": dec, **({"mag": mag} if mag == mag else {}), **shared}
            provenance.append(_provenance(request))
            drawn = self._draw(request)
            if isinstance(drawn, DataError):
                failures[row] = drawn
            elif drawn is not None:
                rows.append(row)
                requests.append(request)
                noise.append(drawn)
        return RawAnswers(
            tables=_tables(np.array(rows, np.int64), requests, noise), provenance=provenance, failures=failures
        )

    def request(self, source: Source) -> dict[str, Any]:
        """What the answer is made from: name, place, magnitude, and the parameters of the survey."""
        ra, dec = place(source, None)
        mag = {"mag": float(np.round(source.mag, 6))} if np.isfinite(source.mag) else {}
        return {"name": source.name, "ra": ra, "dec": dec, **mag, **self._parameters()}

    def request_columns(self, sources: SourceTable) -> dict[str, Array]:
        """The requests of a table."""
        ra, dec = places(sources, None)
        mag = np.ma.masked_invalid(np.round(sources.mag, 6))
        shared = {key: constant(value, len(sources)) for key, value in self._parameters().items()}
        return {"name": sources.name, "ra": ra, "dec": dec, "mag": mag, **shared}

    def _parameters(self) -> dict[str, object]:
        return {
            "seed": self.seed, "epochs": self.epochs, "filters": list(self.filters), "start": self.start,
            "days": self.days, "exptime": self.exptime, "flares": self.flares, "empty": self.empty,
        }  # fmt: skip

    def _observe(self, request: Mapping[str, Any]) -> RawPhotometry:
        drawn = self._draw(request)
        if isinstance(drawn, DataError):
            raise drawn
        if drawn is None:
            return RawPhotometry(tables=(), provenance=_provenance(request))
        (answer,) = unpack_raw(_tables(np.zeros(1, np.int64), [request], [drawn]), [0])
        return RawPhotometry(tables=answer.tables, provenance=_provenance(request))

    def _draw(self, request: Mapping[str, Any]) -> "_Noise | DataError | None":
        """The random numbers of an answer, None where the survey has no data."""
        if self.wait:
            time.sleep(self.wait)
        name = str(request["name"])
        rng = random_stream(request["seed"], "demo", name)
        luck = rng.random(3)
        if luck[0] < self.failures:
            return DataError(f"the demo survey was told to fail for {name!r} (observatories.demo.failures)")
        if luck[1] < request["empty"]:
            return None
        n = request["epochs"] * len(request["filters"])
        time_share, normal = rng.random(n), rng.standard_normal((3, n))
        return _Noise(time=time_share, normal=normal, flag=rng.random(n), flares=bool(luck[2] < request["flares"]))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Noise:
    """Random numbers of one answer: uniform for times and flags, normal for magnitudes and places."""

    time: NDArray[np.float64]
    normal: NDArray[np.float64]
    flag: NDArray[np.float64]
    flares: bool


def _provenance(request: Mapping[str, Any]) -> dict[str, str]:
    return {"address": "demo:", "request": str(request["name"]), "asked": request_text(request)}


def _tables(source: NDArray[np.int64], requests: Sequence[Mapping[str, Any]], noise: Sequence[_Noise]) -> Tables:
    """Answers as raw tables, one a source; all are of one survey, and so of one length."""
    if not requests:
        return pack_columns(source, np.zeros(0, np.int64), {}, "demo")
    survey = requests[0]
    n = survey["epochs"] * len(survey["filters"])
    ra, dec = (np.array([[request[key]] for request in requests]) for key in ("ra", "dec"))
    brightness = np.array([[request.get("mag", 17.0)] for request in requests])
    mjd = np.sort(survey["start"] + survey["days"] * np.stack([drawn.time for drawn in noise]), axis=1)
    normal = np.stack([drawn.normal for drawn in noise], axis=1)
    scatter = np.hypot(0.01, 0.05 * 10 ** (0.4 * (brightness - 19.0)))
    mag = brightness + scatter * normal[0]
    for k in np.flatnonzero([drawn.flares for drawn in noise]).tolist():
        since = (mjd[k] - mjd[k, n // 2]) / (2 * survey["days"] / n)
        mag[k] -= 15 * scatter[k] * np.exp(-0.5 * since**2)
    shrink = np.maximum(np.cos(np.radians(dec)), 1e-3)
    # rounded, so that the answer does not depend on the processor's last bit
    rows = {
        "mjd": mjd,
        "filter": np.tile(np.array(survey["filters"], dtype=np.str_), (len(requests), survey["epochs"])),
        "mag": np.round(mag, 9),
        "magerr": np.broadcast_to(np.round(scatter, 9), mjd.shape),
        "exptime": np.full(mjd.shape, survey["exptime"]),
        "flag": (np.stack([drawn.flag for drawn in noise]) < 0.01).astype(np.int16),
        "ra": np.round(ra + normal[1] * 2e-5 / shrink, 9) % 360.0,
        "dec": np.round(np.clip(dec + normal[2] * 2e-5, -90.0, 90.0), 9),
    }
    lengths = np.full(source.size, n)
    return pack_columns(source, lengths, {name: np.ravel(column) for name, column in rows.items()}, "demo")

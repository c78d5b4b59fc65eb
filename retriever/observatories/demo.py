"""A survey that makes up its answers, to try retriever out without a network."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retriever.errors import DataError
from retriever.identity import random_stream
from retriever.interfaces import NO_RESULT, each
from retriever.observatories.requests import constant, place, places, request_text
from retriever.rawtable import RawPhotometry, RawTable
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

    def request(self, source: Source) -> dict[str, Any]:
        """What the answer is made from: name, place, magnitude, and the parameters of the survey."""
        ra, dec = place(source, None)
        mag = {"mag": float(np.round(source.mag, 6))} if np.isfinite(source.mag) else {}
        return {"name": source.name, "ra": ra, "dec": dec, **mag, **self._parameters()}

    def request_columns(self, sources: SourceTable) -> dict[str, NDArray[Any]]:
        """The requests of a table."""
        ra, dec = places(sources, None)
        mag = np.ma.masked_invalid(np.round(sources.mag, 6))
        shared = {key: constant(value, len(sources)) for key, value in self._parameters().items()}
        return {"name": sources.name, "ra": ra, "dec": dec, "mag": mag, **shared}

    def _parameters(self) -> dict[str, Any]:
        return {
            "seed": self.seed, "epochs": self.epochs, "filters": list(self.filters), "start": self.start,
            "days": self.days, "exptime": self.exptime, "flares": self.flares, "empty": self.empty,
        }  # fmt: skip

    def _observe(self, request: Mapping[str, Any]) -> RawPhotometry:
        if self.wait:
            time.sleep(self.wait)
        name = str(request["name"])
        rng = random_stream(request["seed"], "demo", name)
        luck = rng.random(3)
        if luck[0] < self.failures:
            raise DataError(f"the demo survey was told to fail for {name!r} (observatories.demo.failures)")
        provenance = {"address": "demo:", "request": name, "asked": request_text(request)}
        if luck[1] < request["empty"]:
            return RawPhotometry(tables=(), provenance=provenance)
        table = RawTable(columns=_table(request, rng, flares=bool(luck[2] < request["flares"])), origin="demo")
        return RawPhotometry(tables=(table,), provenance=provenance)


def _table(request: Mapping[str, Any], rng: np.random.Generator, *, flares: bool) -> dict[str, NDArray[Any]]:
    n = request["epochs"] * len(request["filters"])
    mjd = np.sort(request["start"] + request["days"] * rng.random(n))
    brightness = request.get("mag", 17.0)
    scatter = np.hypot(0.01, 0.05 * 10 ** (0.4 * (brightness - 19.0)))
    noise = rng.standard_normal((3, n))
    mag = brightness + scatter * noise[0]
    if flares:
        mag -= 15 * scatter * np.exp(-0.5 * ((mjd - mjd[n // 2]) / (2 * request["days"] / n)) ** 2)
    shrink = max(np.cos(np.radians(request["dec"])), 1e-3)
    # rounded, so that the answer does not depend on the processor's last bit
    return {
        "mjd": mjd,
        "filter": np.tile(np.array(request["filters"], dtype=np.str_), request["epochs"]),
        "mag": np.round(mag, 9),
        "magerr": np.full(n, np.round(scatter, 9)),
        "exptime": np.full(n, request["exptime"]),
        "flag": (rng.random(n) < 0.01).astype(np.int16),
        "ra": np.round(request["ra"] + noise[1] * 2e-5 / shrink, 9) % 360.0,
        "dec": np.round(np.clip(request["dec"] + noise[2] * 2e-5, -90.0, 90.0), 9),
    }

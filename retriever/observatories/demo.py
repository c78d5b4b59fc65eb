"""A survey that makes up its answers, to try retriever out without a network."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from retriever.errors import DataError
from retriever.identity import random_stream
from retriever.interfaces import NO_RESULT, each
from retriever.rawtable import RawPhotometry, RawTable
from retriever.source import Source

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
        return each(self._observe, sources)

    def _observe(self, source: Source) -> RawPhotometry:
        if self.wait:
            time.sleep(self.wait)
        rng = random_stream(self.seed, "demo", source.name)
        luck = rng.random(3)
        if luck[0] < self.failures:
            raise DataError(f"the demo survey was told to fail for {source.name!r} (observatories.demo.failures)")
        provenance = {"address": "demo:", "request": source.name}
        if luck[1] < self.empty:
            return RawPhotometry(tables=(), provenance=provenance)
        table = RawTable(columns=self._table(source, rng, flares=bool(luck[2] < self.flares)), origin="demo")
        return RawPhotometry(tables=(table,), provenance=provenance)

    def _table(self, source: Source, rng: np.random.Generator, *, flares: bool) -> dict[str, np.ndarray]:
        n = self.epochs * len(self.filters)
        mjd = np.sort(self.start + self.days * rng.random(n))
        brightness = source.mag if source.mag == source.mag else 17.0
        scatter = np.hypot(0.01, 0.05 * 10 ** (0.4 * (brightness - 19.0)))
        noise = rng.standard_normal((3, n))
        mag = brightness + scatter * noise[0]
        if flares:
            mag -= 15 * scatter * np.exp(-0.5 * ((mjd - mjd[n // 2]) / (2 * self.days / n)) ** 2)
        return {
            "mjd": mjd,
            "filter": np.tile(np.array(self.filters, dtype=np.str_), self.epochs),
            "mag": mag,
            "magerr": np.full(n, scatter),
            "exptime": np.full(n, self.exptime),
            "flag": (rng.random(n) < 0.01).astype(np.int16),
            "ra": (source.ra + noise[1] * 2e-5 / max(np.cos(np.radians(source.dec)), 1e-3)) % 360.0,
            "dec": np.clip(source.dec + noise[2] * 2e-5, -90.0, 90.0),
        }

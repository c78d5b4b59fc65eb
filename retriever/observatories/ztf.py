"""Light curves of the Zwicky Transient Facility, from IRSA's light-curve service."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from retriever.client.answers import refuse_web_page
from retriever.client.credentials import login_for
from retriever.client.http import Client, about
from retriever.client.inbox import Answer
from retriever.errors import ConfigError, FetchError
from retriever.formats import read_bytes
from retriever.interfaces import NO_RESULT
from retriever.observatories.bounds import nothing, reason_not_to_ask
from retriever.rawtable import RawPhotometry
from retriever.source import Source

__all__ = ["ZTFObservatory"]

MIDDLE_YEAR, HALF_SPAN_YEARS = 2022.0, 4.5
"""The survey began in 2018 and its releases reach to 2026: where in it a star is looked for."""


@dataclass(frozen=True, kw_only=True)
class ZTFObservatory:
    """One question a source: https://irsa.ipac.caltech.edu/docs/program_interface/ztf_lightcurve_api.html

    By place; or, where names or aliases of a source read ``ZTF oid 604103100006917``, by these object ids.

    Parameters
    ----------
    survey
        Name that the raw data is kept by.
    release
        The collection, as in ``ztf_dr24``.
    radius
        Radius of the search in arcsec, beyond what the source moves within the survey.
    bands
        Of g, r, i; all, where none are given.
    min_dec
        Degrees; sources south of it, where the survey does not look, are not asked for and have no data.
    max_mag
        Sources fainter in the catalog are not asked for and have no data; null for no bound.
    start, stop
        First and last MJD; null for all.
    bad_catflags_mask
        Epochs with any of these bits in `catflags` are left out by the archive; 0 to get all and let the reducer flag
        them.
    login
        Whether to log in (service IRSA, host irsa.ipac.caltech.edu), for data that is not public yet.
    url
        Address of the service.
    client
        How it is asked.
    """

    survey: str = "ZTF"
    release: str = "ztf_dr24"
    radius: float = 2.0
    bands: list[str] = field(default_factory=list)
    min_dec: float = -30.0
    max_mag: float | None = 22.0
    start: float | None = None
    stop: float | None = None
    bad_catflags_mask: int = 0
    login: bool = False
    url: str = field(default="https://irsa.ipac.caltech.edu/cgi-bin/ZTF/nph_light_curves", metadata=NO_RESULT)
    client: Client = field(default_factory=Client, metadata=NO_RESULT)

    def __post_init__(self) -> None:
        if not set(self.bands) <= {"g", "r", "i"}:
            raise ConfigError(f"observatories.ztf.bands is {self.bands}; the survey has g, r and i")

    def fetch(self, sources: Sequence[Source]) -> Iterator[RawPhotometry | Exception]:
        """Ask for each source."""
        yield from self.client.each(self._ask, sources)

    def request(self, source: Source) -> dict[str, Any]:
        """What the service is asked for a source."""
        found = (re.fullmatch(r"ZTF oid (\d+)", name) for name in (source.name, *source.aliases))
        oids = [one[1] for one in found if one]
        asked: dict[str, Any] = {
            **({"ID": ",".join(oids)} if oids else {"POS": self._circle(source)}),
            "BAD_CATFLAGS_MASK": self.bad_catflags_mask,
            "COLLECTION": self.release,
            "FORMAT": "CSV",
        }
        if self.bands:
            asked["BANDNAME"] = ",".join(self.bands)
        if self.start is not None or self.stop is not None:
            first, last = self.start if self.start is not None else 0.0, self.stop if self.stop is not None else 1e6
            asked["TIME"] = f"{first} {last}"
        return asked

    def _circle(self, source: Source) -> str:
        """Where a source is looked for: a circle around its place in the middle of the survey, with room to move."""
        ra, dec = source.position(MIDDLE_YEAR)
        moves = float(np.hypot(*np.nan_to_num([source.pmra, source.pmdec]))) / 1000.0
        return f"CIRCLE {ra:.6f} {dec:.6f} {(self.radius + moves * HALF_SPAN_YEARS) / 3600:.7f}"

    def _ask(self, source: Source) -> RawPhotometry:
        reason = reason_not_to_ask(source, min_dec=self.min_dec, max_mag=self.max_mag)
        if reason:
            return nothing(reason)
        request = self.request(source)
        login = login_for("IRSA", "irsa.ipac.caltech.edu") if self.login else None
        answer = self.client.get(self.url, request, login=login, check=_check, about=about(self.survey, source))
        table = read_bytes(answer.body, "ztf.csv")
        return RawPhotometry(
            tables=(table,) if table.n_rows else (),
            provenance={
                "address": answer.address,
                "request": " ".join(f"{key}={value}" for key, value in request.items()),
                "release": self.release,
                "status": str(answer.status),
                "fetched": answer.fetched,
            },
        )


def _check(answer: Answer) -> None:
    """Refuse what is no table of light curves, or one that was cut short."""
    refuse_web_page(answer.body, answer.address)
    header, _, _ = answer.body.partition(b"\n")
    if b"oid" not in header.split(b",") and b'"oid"' not in header.split(b","):
        raise FetchError(
            f"{answer.address} answered with no table of light curves: {answer.text[:120]!r}", passing=True
        )
    if not answer.body.endswith(b"\n"):
        raise FetchError(f"{answer.address} sent a table that was cut short", passing=True)

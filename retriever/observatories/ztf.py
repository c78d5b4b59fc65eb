"""Light curves of the Zwicky Transient Facility, from IRSA's light-curve service."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retriever.arrays import Array
from retriever.client.answers import refuse_web_page
from retriever.client.credentials import login_for
from retriever.client.http import Client, about
from retriever.client.response_cache import Answer
from retriever.errors import ConfigError, FetchError
from retriever.formats import read_bytes
from retriever.interfaces import NO_RESULT
from retriever.observatories.bounds import not_asked, reason_not_to_ask, reasons_not_to_ask
from retriever.observatories.requests import NOT_ASKED, constant, place, places, radii, request_text
from retriever.rawtable import RawPhotometry
from retriever.source import Source, SourceTable

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
        """What the service is asked for a source: object ids, or a place (degrees) and radius (arcsec)."""
        reason = reason_not_to_ask(source, min_dec=self.min_dec, max_mag=self.max_mag)
        if reason:
            return {NOT_ASKED: reason}
        oids = _oids((source.name, *source.aliases))
        if oids:
            return {"oids": oids, **self._selection()}
        ra, dec = place(source, MIDDLE_YEAR)
        return {"ra": ra, "dec": dec, "radius": float(self._radii(source)[0]), **self._selection()}

    def request_columns(self, sources: SourceTable) -> dict[str, Array]:
        """The requests of a table."""
        n = len(sources)
        oids = np.full(n, None, object)
        for row, names in enumerate(zip(sources.name.tolist(), sources.aliases or ((),) * n, strict=True)):
            if names[0].startswith("ZTF oid ") or names[1]:
                oids[row] = _oids((names[0], *names[1])) or None
        by_id = np.array([cell is not None for cell in oids.tolist()], np.bool_)
        ra, dec = places(sources, MIDDLE_YEAR)
        place_columns = {"ra": ra, "dec": dec, "radius": self._radii(sources)}
        return {
            NOT_ASKED: reasons_not_to_ask(sources, min_dec=self.min_dec, max_mag=self.max_mag),
            "oids": oids,
            **{key: np.ma.MaskedArray(column, mask=by_id) for key, column in place_columns.items()},
            **{key: constant(value, n) for key, value in self._selection().items()},
        }

    def _selection(self) -> dict[str, object]:
        """The part of a request that is the same for all sources."""
        asked: dict[str, object] = {"release": self.release, "bad_catflags_mask": self.bad_catflags_mask}
        if self.bands:
            asked["bands"] = list(self.bands)
        if self.start is not None or self.stop is not None:
            asked["mjd"] = [
                self.start if self.start is not None else 0.0,
                self.stop if self.stop is not None else 1e6,
            ]
        return {**asked, "login": True} if self.login else asked

    def _radii(self, sources: Source | SourceTable) -> NDArray[np.float64]:
        """Radii of the circles in arcsec, with room for the motion within the survey."""
        return radii(sources, self.radius, HALF_SPAN_YEARS)

    def _ask(self, source: Source) -> RawPhotometry:
        request = self.request(source)
        nothing = not_asked(request)
        if nothing is not None:
            return nothing
        params = _params(request)
        login = login_for("IRSA", "irsa.ipac.caltech.edu") if request.get("login") else None
        answer = self.client.get(self.url, params, login=login, check=_check, about=about(self.survey, source))
        table = read_bytes(answer.body, "ztf.csv")
        return RawPhotometry(
            tables=(table,) if table.n_rows else (),
            provenance={
                "address": answer.address,
                "request": " ".join(f"{key}={value}" for key, value in params.items()),
                "asked": request_text(request),
                "release": request["release"],
                "status": str(answer.status),
                "fetched": answer.fetched,
            },
        )


def _oids(names: Iterable[str]) -> list[str]:
    """Object ids that names of a source give."""
    matches = (re.fullmatch(r"ZTF oid (\d+)", name) for name in names)
    return [match[1] for match in matches if match]


def _params(request: Mapping[str, Any]) -> dict[str, object]:
    """A request in the words of the service.

    Examples
    --------
    >>> star = Source(name="X", ra=30.0, dec=20.0)
    >>> _params(ZTFObservatory(radius=3.6).request(star))["POS"]
    'CIRCLE 30.000000 20.000000 0.0010000'
    """
    if "oids" in request:
        where = {"ID": ",".join(request["oids"])}
    else:
        where = {"POS": f"CIRCLE {request['ra']:.6f} {request['dec']:.6f} {request['radius'] / 3600:.7f}"}
    params = {
        **where,
        "BAD_CATFLAGS_MASK": request["bad_catflags_mask"],
        "COLLECTION": request["release"],
        "FORMAT": "CSV",
    }
    if "bands" in request:
        params["BANDNAME"] = ",".join(request["bands"])
    if "mjd" in request:
        params["TIME"] = "{} {}".format(*request["mjd"])
    return params


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

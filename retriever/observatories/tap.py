"""Light curves from any archive that speaks TAP: all of it is in the config."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from retriever.arrays import Array, Floats
from retriever.client.http import Client, about
from retriever.client.response_cache import Answer
from retriever.client.tap import ask_tap, quoted
from retriever.errors import AnswerCut, ConfigError, DataError, FetchError, nearest
from retriever.formats import read_bytes
from retriever.interfaces import NO_RESULT, no_result_with
from retriever.observatories.bounds import not_asked, reason_not_to_ask, reasons_not_to_ask
from retriever.observatories.requests import NOT_ASKED, constant, place, places, radii, request_text
from retriever.rawtable import RawPhotometry, RawTable
from retriever.source import Source, SourceTable

__all__ = ["TAPObservatory"]

ROW = "retriever_row"
"""Column of the uploaded table, and of the answer, that says whose row it is."""

_WORDS = ("name", "id", "ra", "dec", "radius")


@dataclass(frozen=True, kw_only=True)
class TAPObservatory:
    """One question a source, or one for many sources with an uploaded table.

    Parameters
    ----------
    survey
        Name that the raw data is kept by.
    query
        In ADQL. Without `upload`, ``{ra}``, ``{dec}`` and ``{radius}`` (degrees) stand for the place, ``{name}`` for
        the name (between quotes) and ``{id}`` for the number that `id_pattern` finds. With `upload`, the same are
        columns of the table ``TAP_UPLOAD.sources``, and the answer must have its column ``retriever_row``.
    radius
        Radius of the search in arcsec.
    half_span
        Years before and after `epoch` in which the survey observed; the radius has room for the star's motion in them.
    epoch
        Julian year that places are moved to; null to leave them at the catalog's.
    id_pattern
        Regular expression, applied to the name and aliases of a source; its first group is ``{id}``. Sources without
        one are not asked for and have no data; "" where the query needs none.
    release
        Of the data; where it is given, the same data may come from any address.
    min_dec, max_dec, max_mag
        Sources beyond are not asked for and have no data; null for no bound.
    upload
        Whether to ask for many sources at once.
    asynchronous
        Whether to ask by a job that may take long.
    url
        Address of the service; it says what the data is where no release does.
    client
        How it is asked.
    """

    survey: str = "TAP"
    query: str = ""
    radius: float = 2.0
    half_span: float = 0.0
    epoch: float | None = None
    id_pattern: str = ""
    release: str = ""
    min_dec: float | None = None
    max_dec: float | None = None
    max_mag: float | None = None
    upload: bool = field(default=False, metadata=NO_RESULT)
    asynchronous: bool = field(default=False, metadata=NO_RESULT)
    url: str = field(default="", metadata=no_result_with("release"))
    client: Client = field(default_factory=Client, metadata=NO_RESULT)

    def __post_init__(self) -> None:
        where = f"the query of survey {self.survey}"
        for word in re.findall(r"\{(\w*)\}", self.query):
            if word not in _WORDS:
                raise ConfigError(f"{where} has {{{word}}}{nearest(word, _WORDS)}")
        if self.upload and "TAP_UPLOAD.sources" not in self.query:
            raise ConfigError(f"{where} does not use TAP_UPLOAD.sources, though upload=true")
        try:
            groups = re.compile(self.id_pattern).groups if self.id_pattern else 1
        except re.error as error:
            raise ConfigError(f"the id_pattern of survey {self.survey} cannot be read: {error}") from error
        if groups < 1:
            raise ConfigError(f"the id_pattern of survey {self.survey} needs a group, as in Gaia DR3 (\\d+)")

    def fetch(self, sources: Sequence[Source]) -> Iterator[RawPhotometry | Exception]:
        """Ask for each source, or for all at once."""
        if not self.query.strip() or not self.url:
            raise ConfigError(f"survey {self.survey} has no query or no url; give both")
        if self.upload:
            yield from self._ask_for_all(sources)
        else:
            yield from self.client.each(self._ask, sources)

    # ---- requests -----------------------------------------------------------------------------------------------

    def request(self, source: Source) -> dict[str, Any]:
        """What the service is asked for a source: the query, and of name, id, place and radius what the query uses."""
        number = self._id((source.name, *source.aliases))
        if self.id_pattern and not number:
            return {NOT_ASKED: self._no_id}
        reason = reason_not_to_ask(source, min_dec=self.min_dec, max_dec=self.max_dec, max_mag=self.max_mag)
        if reason:
            return {NOT_ASKED: reason}
        ra, dec = place(source, self.epoch)
        facts = {
            "name": source.name, "id": number, "ra": ra, "dec": dec, "radius": float(self._radii_degrees(source)[0]),
        }  # fmt: skip
        return {**{key: value for key, value in facts.items() if key in self._used}, **self._shared}

    def request_columns(self, sources: SourceTable) -> dict[str, Array]:
        """The requests of a table."""
        n, used = len(sources), self._used
        ra, dec = places(sources, self.epoch)
        columns: dict[str, Array] = {
            "name": sources.name, "ra": ra, "dec": dec, "radius": self._radii_degrees(sources),
        }  # fmt: skip
        reasons = reasons_not_to_ask(sources, min_dec=self.min_dec, max_dec=self.max_dec, max_mag=self.max_mag)
        if self.id_pattern:
            names = zip(sources.name.tolist(), sources.aliases or ((),) * n, strict=True)
            columns["id"] = np.array([self._id((name, *aliases)) for name, aliases in names], np.str_)
            reasons[columns["id"] == ""] = self._no_id
        return {
            NOT_ASKED: reasons,
            **{key: column for key, column in columns.items() if key in used},
            **{key: constant(value, n) for key, value in self._shared.items()},
        }

    @cached_property
    def _used(self) -> frozenset[str]:
        """Which facts on a source the query uses; all, where it takes all columns of the uploaded table."""
        known = [word for word in _WORDS if word != "id" or self.id_pattern]
        if self.upload:
            return frozenset(word for word in known if "*" in self.query or re.search(rf"\b{word}\b", self.query, re.I))
        return frozenset(word for word in known if f"{{{word}}}" in self.query)

    @property
    def _shared(self) -> dict[str, object]:
        """The part of a request that is the same for all sources."""
        return {"query": self.query.strip(), **({"release": self.release} if self.release else {"url": self.url})}

    def _radii_degrees(self, sources: Source | SourceTable) -> Floats:
        return np.asarray(np.round(radii(sources, self.radius, self.half_span) / 3600, 9))

    @property
    def _no_id(self) -> str:
        return f"no name like {self.id_pattern}"

    def _id(self, names: Iterable[str]) -> str:
        """The number that a name of a source has; "" where none does, or none is needed."""
        if not self.id_pattern:
            return ""
        matches = (re.search(self.id_pattern, name) for name in names)
        return next((str(match[1]) for match in matches if match), "")

    # ---- one at a time ------------------------------------------------------------------------------------------

    def _ask(self, source: Source) -> RawPhotometry:
        request = self.request(source)
        nothing = not_asked(request)
        if nothing is not None:
            return nothing
        words = {key: quoted(value) if isinstance(value, str) else repr(value) for key, value in request.items()}
        query = re.sub(r"\{(\w+)\}", lambda match: words[match[1]], request["query"])
        answer = ask_tap(self.client, self.url, query, asynchronous=self.asynchronous, about=about(self.survey, source))
        return self._photometry(read_bytes(answer.body, "tap.vot"), answer, query, request)

    # ---- all at once --------------------------------------------------------------------------------------------

    def _ask_for_all(self, sources: Sequence[Source]) -> list[RawPhotometry | Exception]:
        requests = [self.request(source) for source in sources]
        answers: dict[int, RawPhotometry | Exception] = {}
        for k, request in enumerate(requests):
            nothing = not_asked(request)
            if nothing is not None:
                answers[k] = nothing
        asked = [k for k in range(len(sources)) if k not in answers]
        parts = self._upload([sources[k] for k in asked], [requests[k] for k in asked])
        answers |= dict(zip(asked, parts, strict=True))
        return [answers[k] for k in range(len(sources))]

    def _upload(
        self, sources: Sequence[Source], requests: Sequence[Mapping[str, Any]]
    ) -> list[RawPhotometry | Exception]:
        """Ask for some sources by one table; where the answer is too long for the service, by two."""
        if not sources:
            return []
        keys = [key for key in _WORDS if key in self._used]
        upload = {
            "sources": {ROW: list(range(len(sources))), **{key: [request[key] for request in requests] for key in keys}}
        }
        if "id" in keys and all(request["id"].isdigit() for request in requests):
            upload["sources"]["id"] = [int(request["id"]) for request in requests]
        try:
            answer = ask_tap(
                self.client, self.url, requests[0]["query"], upload=upload, asynchronous=self.asynchronous,
                about=about(self.survey, sources[0]),
            )  # fmt: skip
            return self._parts(read_bytes(answer.body, "tap.vot"), answer, requests)
        except AnswerCut as error:
            if len(sources) == 1:
                return [error]
            middle = len(sources) // 2
            first = self._upload(sources[:middle], requests[:middle])
            return [*first, *self._upload(sources[middle:], requests[middle:])]
        except (FetchError, DataError) as error:
            return [error] * len(sources)

    def _parts(
        self, table: RawTable, answer: Answer, requests: Sequence[Mapping[str, Any]]
    ) -> list[RawPhotometry | Exception]:
        name = next((name for name in table.columns if name.lower() == ROW), "")
        if not name:
            raise ConfigError(f"the answer for survey {self.survey} has no column {ROW}; select it in the query")
        rows = np.ma.getdata(table.columns[name]).astype(np.int64)
        order = np.argsort(rows, kind="stable")
        edges = np.searchsorted(rows[order], np.arange(len(requests) + 1))
        parts: list[RawPhotometry | Exception] = []
        for k, request in enumerate(requests):
            mine = order[edges[k] : edges[k + 1]]
            columns = {key: column[mine] for key, column in table.columns.items() if key != name}
            units = {key: unit for key, unit in table.units.items() if key != name}
            part = RawTable(columns=columns, units=units, headers=table.headers, origin=table.origin)
            parts.append(self._photometry(part, answer, request["query"], request))
        return parts

    def _photometry(self, table: RawTable, answer: Answer, query: str, request: Mapping[str, object]) -> RawPhotometry:
        return RawPhotometry(
            tables=(table,) if table.n_rows else (),
            provenance={
                "address": answer.address,
                "request": " ".join(query.split()),
                "asked": request_text(request),
                "release": self.release,
                "status": str(answer.status),
                "fetched": answer.fetched,
            },
        )

"""Light curves from any archive that speaks TAP: all of it is in the config."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from retriever.client.http import Client, about
from retriever.client.inbox import Answer
from retriever.client.tap import ask_tap, quoted
from retriever.errors import AnswerCut, ConfigError, DataError, FetchError, nearest
from retriever.formats import read_bytes
from retriever.interfaces import NO_RESULT
from retriever.observatories.bounds import nothing, reason_not_to_ask
from retriever.rawtable import RawPhotometry, RawTable
from retriever.source import Source

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
    epoch
        Julian year that places are moved to; null to leave them at the catalog's.
    id_pattern
        Regular expression, applied to the name and aliases of a source; its first group is ``{id}``. Sources without
        one are not asked for and have no data; "" where the query needs none.
    release
        Written down with the data.
    min_dec, max_dec, max_mag
        Sources beyond are not asked for and have no data; null for no bound.
    upload
        Whether to ask for many sources at once.
    asynchronous
        Whether to ask by a job that may take long.
    url
        Address of the service.
    client
        How it is asked.
    """

    survey: str = "TAP"
    query: str = ""
    radius: float = 2.0
    epoch: float | None = None
    id_pattern: str = ""
    release: str = ""
    min_dec: float | None = None
    max_dec: float | None = None
    max_mag: float | None = None
    upload: bool = field(default=False, metadata=NO_RESULT)
    asynchronous: bool = field(default=False, metadata=NO_RESULT)
    url: str = field(default="", metadata=NO_RESULT)
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

    # ---- one at a time ------------------------------------------------------------------------------------------

    def _ask(self, source: Source) -> RawPhotometry:
        reason = self._reason_against(source)
        if reason:
            return nothing(reason)
        words = {
            key: quoted(value) if isinstance(value, str) else repr(value) for key, value in self._facts(source).items()
        }
        query = re.sub(r"\{(\w+)\}", lambda found: words[found[1]], self.query)
        answer = ask_tap(self.client, self.url, query, asynchronous=self.asynchronous, about=about(self.survey, source))
        return self._photometry(read_bytes(answer.body, "tap.vot"), answer, query)

    def _facts(self, source: Source) -> dict[str, Any]:
        """What a query may ask by."""
        ra, dec = source.position(self.epoch) if self.epoch is not None else (source.ra, source.dec)
        facts = {"name": source.name, "ra": round(ra, 7), "dec": round(dec, 7), "radius": round(self.radius / 3600, 9)}
        return {**facts, "id": self._id(source)} if self.id_pattern else facts

    def _id(self, source: Source) -> str:
        found = (re.search(self.id_pattern, name) for name in (source.name, *source.aliases))
        return next((one[1] for one in found if one), "")

    def _reason_against(self, source: Source) -> str:
        """Why a source is not asked for, or ""."""
        if self.id_pattern and not self._id(source):
            return f"not asked: no name like {self.id_pattern}"
        return reason_not_to_ask(source, min_dec=self.min_dec, max_dec=self.max_dec, max_mag=self.max_mag)

    # ---- all at once --------------------------------------------------------------------------------------------

    def _ask_for_all(self, sources: Sequence[Source]) -> list[RawPhotometry | Exception]:
        reasons = [self._reason_against(source) for source in sources]
        answers: list[RawPhotometry | Exception] = [nothing(reason) for reason in reasons]
        asked = [k for k, reason in enumerate(reasons) if not reason]
        for k, answer in zip(asked, self._upload([sources[k] for k in asked]), strict=True):
            answers[k] = answer
        return answers

    def _upload(self, sources: Sequence[Source]) -> list[RawPhotometry | Exception]:
        """Ask for some sources by one table; where the answer is too long for the service, by two."""
        if not sources:
            return []
        facts = [self._facts(source) for source in sources]
        table = {ROW: np.arange(len(sources)), **{key: np.array([one[key] for one in facts]) for key in facts[0]}}
        if "id" in table and all(one["id"].isdigit() for one in facts):
            table["id"] = np.array([int(one["id"]) for one in facts])
        upload = {"sources": {key: values.tolist() for key, values in table.items()}}
        try:
            answer = ask_tap(
                self.client, self.url, self.query, upload=upload, asynchronous=self.asynchronous,
                about=about(self.survey, sources[0]),
            )  # fmt: skip
            return self._parts(read_bytes(answer.body, "tap.vot"), answer, len(sources))
        except AnswerCut as error:
            if len(sources) == 1:
                return [error]
            middle = len(sources) // 2
            return [*self._upload(sources[:middle]), *self._upload(sources[middle:])]
        except (FetchError, DataError) as error:
            return [error] * len(sources)

    def _parts(self, table: RawTable, answer: Answer, n: int) -> list[RawPhotometry | Exception]:
        name = next((name for name in table.columns if name.lower() == ROW), "")
        if not name:
            raise ConfigError(f"the answer for survey {self.survey} has no column {ROW}; select it in the query")
        rows = np.ma.getdata(table.columns[name]).astype(np.int64)
        order = np.argsort(rows, kind="stable")
        edges = np.searchsorted(rows[order], np.arange(n + 1))
        parts = []
        for k in range(n):
            mine = order[edges[k] : edges[k + 1]]
            columns = {key: column[mine] for key, column in table.columns.items() if key != name}
            units = {key: unit for key, unit in table.units.items() if key != name}
            part = RawTable(columns=columns, units=units, headers=table.headers, origin=table.origin)
            parts.append(self._photometry(part, answer, self.query))
        return list(parts)

    def _photometry(self, table: RawTable, answer: Answer, query: str) -> RawPhotometry:
        return RawPhotometry(
            tables=(table,) if table.n_rows else (),
            provenance={
                "address": answer.address,
                "request": " ".join(query.split()),
                "release": self.release,
                "status": str(answer.status),
                "fetched": answer.fetched,
            },
        )

"""Forced photometry by ATLAS (https://fallingstar-data.com/forcedphot/apiguide/): a model for services with queues."""

import json
import math
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from retriever.arrays import Array
from retriever.client.answers import refuse_web_page
from retriever.client.credentials import login_for, token_for
from retriever.client.http import Client, about
from retriever.client.response_cache import Answer
from retriever.errors import ConfigError, DataError, FetchError
from retriever.formats import read_bytes
from retriever.interfaces import NO_RESULT
from retriever.observatories.bounds import not_asked, reason_not_to_ask, reasons_not_to_ask
from retriever.observatories.requests import NOT_ASKED, constant, place, places, request_text
from retriever.rawtable import RawPhotometry
from retriever.source import Source, SourceTable

__all__ = ["ATLASObservatory"]


@dataclass(frozen=True, kw_only=True)
class ATLASObservatory:
    """Submit one task for each source of a batch, wait, fetch the results and delete the tasks.

    The service needs a token (RETRIEVER_ATLAS_TOKEN) or a login (service ATLAS, host fallingstar-data.com).

    Parameters
    ----------
    survey
        Name that the raw data is kept by.
    start, stop
        First and last MJD; null for all.
    reduced
        Whether to measure on images from which nothing was subtracted (rather than on differences).
    min_dec, max_mag
        Sources south of it (degrees), or fainter, are not asked for and have no data; null for no bound.
    poll_seconds
        Seconds between two polls of the queue.
    wait_seconds
        Longest time to wait for a task. After that it stays in the queue, and the next run waits for it again.
    url
        Address of the service.
    client
        How it is asked.
    """

    survey: str = "ATLAS"
    start: float | None = 57000.0
    stop: float | None = None
    reduced: bool = False
    min_dec: float | None = None
    max_mag: float | None = 20.0
    poll_seconds: float = field(default=10.0, metadata=NO_RESULT)
    wait_seconds: float = field(default=7200.0, metadata=NO_RESULT)
    url: str = field(default="https://fallingstar-data.com/forcedphot", metadata=NO_RESULT)
    client: Client = field(default_factory=Client, metadata=NO_RESULT)

    def fetch(self, sources: Sequence[Source]) -> Iterator[RawPhotometry | Exception]:
        """Ask for all sources; gives the answers in the order of the sources."""
        headers = {"Authorization": f"Token {self._token()}", "Accept": "application/json"}
        answers: dict[int, RawPhotometry | Exception] = {}
        tasks: dict[int, str] = {}
        submitted = self.client.each(lambda source: self._submit(source, headers), sources)
        for k, task in enumerate(submitted):
            if isinstance(task, str):
                tasks[k] = task
            else:
                answers[k] = task
        end = time.monotonic() + self.wait_seconds
        while tasks and time.monotonic() < end:
            waiting = sorted(tasks)
            looks = self.client.each(lambda k: self._look(sources[k], tasks[k], headers), waiting)
            for k, outcome in zip(waiting, list(looks), strict=True):
                if isinstance(outcome, str):
                    tasks[k] = outcome
                else:
                    answers[k] = outcome
                    del tasks[k]
            if tasks:
                time.sleep(self.poll_seconds)
        late = FetchError(f"{self.url} was not done in {self.wait_seconds:g} s; the next run continues to wait for it")
        yield from (answers.get(k, late) for k in range(len(sources)))

    # ---- one task -----------------------------------------------------------------------------------------------

    def request(self, source: Source) -> dict[str, object]:
        """The request for a source; the service applies the proper motion itself."""
        reason = reason_not_to_ask(source, min_dec=self.min_dec, max_mag=self.max_mag)
        if reason:
            return {NOT_ASKED: reason}
        ra, dec = place(source, None)
        asked: dict[str, object] = {"ra": ra, "dec": dec}
        known = all(map(math.isfinite, (source.pmra, source.pmdec, source.epoch)))
        if known and (source.pmra or source.pmdec):
            asked |= {
                "propermotion_ra": float(np.round(source.pmra, 4)),
                "propermotion_dec": float(np.round(source.pmdec, 4)),
                "radec_epoch_year": float(np.round(source.epoch, 4)),
            }
        return {**asked, **self._selection}

    def request_columns(self, sources: SourceTable) -> dict[str, Array]:
        """The requests of a table."""
        n = len(sources)
        ra, dec = places(sources, None)
        motion = {"propermotion_ra": sources.pmra, "propermotion_dec": sources.pmdec, "radec_epoch_year": sources.epoch}
        known = np.logical_and.reduce([np.isfinite(column) for column in motion.values()])
        still = ~known | ((sources.pmra == 0) & (sources.pmdec == 0))
        return {
            NOT_ASKED: reasons_not_to_ask(sources, min_dec=self.min_dec, max_mag=self.max_mag),
            "ra": ra,
            "dec": dec,
            **{key: np.ma.MaskedArray(np.round(column, 4), mask=still) for key, column in motion.items()},
            **{key: constant(value, n) for key, value in self._selection.items()},
        }

    @property
    def _selection(self) -> dict[str, object]:
        """The part of a request that is the same for all sources."""
        start = {"mjd_min": self.start} if self.start is not None else {}
        stop = {"mjd_max": self.stop} if self.stop is not None else {}
        return {**start, **stop, "use_reduced": self.reduced}

    def _submit(self, source: Source, headers: dict[str, str]) -> str | RawPhotometry:
        """Submit the task of a source, unless an earlier run did; gives its address."""
        request = self.request(source)
        nothing = not_asked(request)
        if nothing is not None:
            return nothing
        answer = self.client.post(
            f"{self.url}/queue/", _form(request), headers=headers, check=_check_task, about=about(self.survey, source)
        )
        return str(json.loads(answer.body)["url"])

    def _look(self, source: Source, task: str, headers: dict[str, str]) -> RawPhotometry | str:
        """The data of a finished task, or the address of a task that is still in the queue."""
        try:
            state = json.loads(self.client.get(task, headers=headers, check=_check_task).body)
        except FetchError as error:
            if error.status == 404:  # cached by an earlier run, and deleted by the service since
                self.client.release(self.survey, [source])
                return self._submit(source, headers)
            raise
        if state.get("error_msg"):
            self._delete_task(source, task, headers)
            if "no data" in str(state["error_msg"]).lower():
                return self._photometry(source, None)
            raise DataError(f"ATLAS could not measure {source.name!r}: {state['error_msg']}")
        if not state.get("finishtimestamp"):
            return task
        answer = self.client.get(
            state["result_url"], headers=headers, check=_check_table, about=about(self.survey, source)
        )
        self._delete_task(source, task, headers)
        return self._photometry(source, answer)

    def _delete_task(self, source: Source, task: str, headers: dict[str, str]) -> None:
        """Delete a finished task from the service."""
        try:
            self.client.ask("DELETE", task, headers=headers)
        except FetchError as error:
            if error.status != 404:
                raise

    def _photometry(self, source: Source, answer: Answer | None) -> RawPhotometry:
        request = self.request(source)
        provenance = {
            "address": f"{self.url}/queue/", "request": json.dumps(_form(request)), "asked": request_text(request),
            "status": "200",
        }  # fmt: skip
        if answer is None:
            return RawPhotometry(tables=(), provenance=provenance)
        table = read_bytes(answer.body.lstrip(b"#"), "atlas.txt")
        return RawPhotometry(
            tables=(table,) if table.n_rows else (), provenance={**provenance, "fetched": answer.fetched}
        )

    def _token(self) -> str:
        """The user's token, from the environment or from a login."""
        token = token_for("ATLAS")
        if token:
            return token
        login = login_for("ATLAS", "fallingstar-data.com")
        if login is None:
            raise ConfigError(
                "ATLAS needs an account; set RETRIEVER_ATLAS_TOKEN, or put fallingstar-data.com into ~/.netrc"
            )
        words = {"username": login.user, "password": login.password}
        answer = self.client.post(f"{self.url}/api-token-auth/", words)
        try:
            return str(json.loads(answer.body)["token"])
        except (ValueError, KeyError, TypeError):
            raise ConfigError("ATLAS gave no token for this login; check it") from None


def _form(request: Mapping[str, object]) -> dict[str, object]:
    """A request as the service's form."""
    return {**request, "send_email": False}


def _check_task(answer: Answer) -> None:
    refuse_web_page(answer.body, answer.address)
    try:
        payload = json.loads(answer.body)
    except ValueError:
        raise FetchError(f"{answer.address} answered with no JSON: {answer.text[:120]!r}", passing=True) from None
    if not isinstance(payload, dict) or not re.match(r"https?://", str(payload.get("url", ""))):
        raise FetchError(f"{answer.address} answered with no task: {answer.text[:120]!r}", passing=True)


def _check_table(answer: Answer) -> None:
    refuse_web_page(answer.body, answer.address)
    if not answer.body.startswith(b"###MJD") or not answer.body.endswith(b"\n"):
        raise FetchError(f"{answer.address} answered with no whole table: {answer.text[:80]!r}", passing=True)

"""Asking TAP services by pyvo, under the rules of the client: synchronous, asynchronous (UWS), with uploaded tables."""

import contextlib
import io
import time
import warnings
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from retriever.client.addresses import place_of
from retriever.client.answers import refusal, refuse_error_table, refuse_web_page
from retriever.client.http import Client, user_agent
from retriever.client.response_cache import Answer, now
from retriever.errors import FetchError

if TYPE_CHECKING:
    import requests
    from pyvo.dal.tap import AsyncTAPJob

__all__ = ["ask_tap", "quoted"]


def ask_tap(
    client: Client,
    url: str,
    query: str,
    *,
    upload: Mapping[str, object] | None = None,
    asynchronous: bool = False,
    max_rows: int | None = None,
    about: str = "",
) -> Answer:
    """Send a query in ADQL to a TAP service.

    Parameters
    ----------
    client
        How to ask.
    url
        Address of the service, as in ``https://irsa.ipac.caltech.edu/TAP``.
    query
        In ADQL.
    upload
        Name to columns (name to values) of tables that the query may call TAP_UPLOAD.name.
    asynchronous
        Whether to submit a job and wait for it, for queries that take long.
    max_rows
        Limit of rows to ask the service for; null for the service's own.
    about
        Key under which the answer is cached until `Client.release`; "" to cache nothing.

    Returns
    -------
    Answer
        Its body is a complete VOTable without errors.

    Raises
    ------
    FetchError
        When there is no such answer.
    """

    def fetch() -> Answer:
        if asynchronous:
            body = _by_job(client, url, query, upload, max_rows)
            _check(body, place_of(url))
        else:
            for attempt in client.attempts_at(url):
                with attempt:
                    body = _at_once(client, url, query, upload, max_rows)
                    _check(body, place_of(url))
        return Answer(address=place_of(url), body=body, status=200, fetched=now())

    return client.once(about, [url, query, upload, max_rows], fetch)


def quoted(text: str) -> str:
    """A text as it is written between quotes in ADQL.

    Examples
    --------
    >>> quoted("Barnard's star")
    "Barnard''s star"
    """
    return "".join(character for character in text if character.isprintable()).replace("'", "''")


def _check(body: bytes, where: str) -> None:
    refuse_web_page(body, where)
    refuse_error_table(body, where)
    if b"<TABLE" not in body.upper() and b":TABLE" not in body.upper():
        raise FetchError(f"{where} answered with no table: {body[:120]!r}", passing=True)
    if b"VOTABLE>" not in body[-200:].upper():
        raise FetchError(f"{where} sent a table that was cut short", passing=True)


def _at_once(client: Client, url: str, query: str, upload: Mapping[str, object] | None, max_rows: int | None) -> bytes:
    from pyvo.dal.tap import TAPQuery

    session = _session(client, attempts=1)
    asked = TAPQuery(url, query, maxrec=max_rows, uploads=_uploads(upload), session=session)
    with _as_fetch_error(url):
        body: bytes = asked.execute_raw()
    return body


def _by_job(client: Client, url: str, query: str, upload: Mapping[str, object] | None, max_rows: int | None) -> bytes:
    """Submit a job, wait for its end and fetch the result. The job is always deleted."""
    from pyvo.dal.tap import AsyncTAPJob

    session = _session(client)
    with _as_fetch_error(url):
        job = AsyncTAPJob.create(url, query, maxrec=max_rows, uploads=_uploads(upload), session=session)
    try:
        with _as_fetch_error(url):
            job.run()
            _wait(job, client.total_timeout, url)
            job.raise_if_error()
            body: bytes = session.get(job.result_uri).content
            return body
    finally:
        with contextlib.suppress(Exception):  # a job that is not deleted expires at the service
            job.delete()


def _wait(job: "AsyncTAPJob", seconds: float, url: str) -> None:
    """Poll a job until it ends, with growing pauses and a time limit, which pyvo's own `wait` lacks."""
    end, pause = time.monotonic() + seconds, 0.1
    while job.phase not in ("COMPLETED", "ERROR", "ABORTED"):
        if time.monotonic() > end:
            raise FetchError(f"{place_of(url)}: the job was not done in {seconds:g} s; raise client.total_timeout")
        time.sleep(pause)
        pause = min(pause * 1.5, 20.0)


def _uploads(upload: Mapping[str, object] | None) -> dict[str, object] | None:
    from astropy.table import Table

    return {name: Table(columns) for name, columns in upload.items()} if upload else None


def _session(client: Client, attempts: int | None = None) -> "requests.Session":
    """A session of requests, which pyvo speaks through, that asks as the client does."""
    import requests

    class Session(requests.Session):  # type: ignore[misc]
        def request(self, method: str, url: str, **how: object) -> requests.Response:
            how |= {"timeout": (client.connect_timeout, client.read_timeout), "stream": False}
            for attempt in client.attempts_at(url, attempts):
                with attempt, client.limits_of(url).slot():
                    response = self._whole(method, url, how)
            return response

        def _whole(self, method: str, url: str, how: Mapping[str, object]) -> requests.Response:
            try:
                response = super().request(method, url, **how)
                body = response.content
            except requests.RequestException as error:
                kind = type(error).__name__
                raise FetchError(f"{place_of(url)} broke off ({kind}); see whether it is up", passing=True) from None
            if response.status_code >= 400:
                refuse_error_table(
                    body, place_of(url)
                )  # services send the error table of an invalid query with status 400
                raise refusal(place_of(url), response.status_code, response.reason, body, response.headers)
            refuse_web_page(body, place_of(url))
            response.raw = _Body(body)
            return response

    session = Session()
    session.headers["User-Agent"] = user_agent()
    return session


class _Body(io.BytesIO):
    """The body of an answer as a stream, which pyvo reads."""

    def read(self, size: int | None = -1, decode_content: bool = False) -> bytes:
        return super().read(size)


@contextlib.contextmanager
def _as_fetch_error(url: str) -> Iterator[None]:
    """Turn errors of pyvo into `FetchError`, without the whole address."""
    from pyvo.dal import DALAccessError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except DALAccessError as error:
        text = " ".join(str(error.reason if hasattr(error, "reason") else error).split())[:200]
        raise FetchError(f"{place_of(url)} answered with an error: {text}") from None

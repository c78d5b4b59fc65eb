"""The HTTP client of all archives: limits, time-outs and retries. An answer is complete or an error."""

import atexit
import base64
import hashlib
import json
import logging
import os
import random
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

from retriever.client.addresses import host_of, place_of
from retriever.client.answers import refusal
from retriever.client.credentials import Login
from retriever.client.duration import seconds_of
from retriever.client.limits import HostLimit
from retriever.client.response_cache import LONGEST_SECONDS, Answer, ResponseCache, now
from retriever.errors import ConfigError, DataError, FetchError, StoreError
from retriever.source import Source

if TYPE_CHECKING:
    import httpx
    import stamina

__all__ = ["Client", "about", "user_agent"]

log = logging.getLogger("retriever")

Thing = TypeVar("Thing")
Reply = TypeVar("Reply")

_CHUNK = 1 << 16


@dataclass(frozen=True, kw_only=True)
class Client:
    """How archives are asked. The limits hold for all threads and processes of a user on this machine, by host.

    Parameters
    ----------
    connections
        Calls to one host at once.
    per_second
        Calls to one host a second; 0 for any number.
    connect_timeout, read_timeout
        Seconds to wait for a connection, and for each next piece of an answer.
    total_timeout
        Seconds for one answer with all attempts at it.
    attempts
        How often to ask before giving up. After a permanent error (such as "not found") nothing is asked again.
    wait, wait_max
        Seconds before the second attempt, doubled (with random jitter) for each further one, and their bound. If a
        host sends Retry-After, that is obeyed instead.
    offline
        Open no connection; every request is an error.
    refresh
        Largest age of cached answers that are used, as in ``30d``; null for any.
    cache
        Folder where answers are cached until they are in a segment; null to cache none.

    Examples
    --------
    >>> Client(offline=True).get("https://example.org/table")
    Traceback (most recent call last):
    ...
    retriever.errors.FetchError: https://example.org/table is not asked, since run.offline=true
    """

    connections: int = 8
    per_second: float = 30.0
    connect_timeout: float = 10.0
    read_timeout: float = 60.0
    total_timeout: float = 900.0
    attempts: int = 6
    wait: float = 1.0
    wait_max: float = 60.0
    offline: bool = False
    refresh: str | None = None
    cache: str | None = None

    def __post_init__(self) -> None:
        if self.connections < 1 or self.attempts < 1 or self.per_second < 0:
            raise ConfigError(
                f"client has connections={self.connections}, attempts={self.attempts}, per_second={self.per_second}; "
                "the first two are at least 1, the last is not negative"
            )
        if self.refresh is not None:
            seconds_of(self.refresh, "run.refresh")
        if self.cache is not None:  # workers may run in another folder
            object.__setattr__(self, "cache", str(Path(self.cache).expanduser().absolute()))

    # ---- asking -------------------------------------------------------------------------------------------------

    def each(self, ask: Callable[[Thing], Reply], things: Sequence[Thing]) -> Iterator[Reply | Exception]:
        """Ask for many things at once, as many as there are connections; gives answers in the things' order.

        If asking for one thing fails, the exception is its answer.
        """

        def attempt(thing: Thing) -> Reply | Exception:
            try:
                return ask(thing)
            except (DataError, OSError) as error:
                return error

        with ThreadPoolExecutor(min(self.connections, max(len(things), 1))) as threads:
            yield from threads.map(attempt, things)

    def get(self, url: str, params: Mapping[str, object] | None = None, **how: Any) -> Answer:
        """Ask by GET; see `ask`."""
        return self.ask("GET", url, params=params, **how)

    def post(self, url: str, data: Mapping[str, object] | None = None, **how: Any) -> Answer:
        """Ask by POST; see `ask`."""
        return self.ask("POST", url, data=data, **how)

    def ask(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, object] | None = None,
        data: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
        login: Login | None = None,
        check: Callable[[Answer], None] | None = None,
        size: int | None = None,
        about: str = "",
    ) -> Answer:
        """Ask until a whole answer comes.

        Parameters
        ----------
        method, url, params, data, headers
            As in HTTP. Headers and login stay out of everything written.
        login
            For HTTP's basic authentication.
        check
            Raises `FetchError` for an invalid answer; if the error is temporary, the host is asked again.
        size
            Bytes that the answer must have, where that is known.
        about
            Key under which the answer is cached until `release`; "" to cache nothing.

        Raises
        ------
        FetchError
            When there is no answer, or the answer is an error.
        """

        def fetch() -> Answer:
            for attempt in self.attempts_at(url):
                with attempt:
                    pieces: list[bytes] = []
                    status = self._once(method, url, pieces.append, params, data, headers, login, size)
                    answer = Answer(address=place_of(url), body=b"".join(pieces), status=status, fetched=now())
                    if check is not None:
                        check(answer)
            return answer

        return self.once(about, [method, url, params, data], fetch)

    def once(self, about: str, request: object, fetch: Callable[[], Answer]) -> Answer:
        """The cached answer to a request, or a new one, which is then cached.

        Parameters
        ----------
        about
            Key under which it is cached until `release`; "" to cache nothing.
        request
            What is asked, as plain data.
        fetch
            Sends the request.
        """
        cache = self._response_cache() if about else None
        if cache is None:
            return fetch()
        question = json.dumps(request, sort_keys=True, default=str).encode()
        answer = cache.get(about, question)
        if answer is None:
            answer = fetch()
            cache.put(about, question, answer)
        return answer

    def download(self, url: str, path: Path, *, what: str) -> str:
        """Fetch a large file to disk, through a temporary file; gives the address it came from, without its query.

        Parameters
        ----------
        url
            Address.
        path
            The file to write; its folder must exist.
        what
            What it is, for the progress shown.

        Raises
        ------
        FetchError
            When the file is not received completely.
        StoreError
            When the file cannot be written.
        """
        beside = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            for attempt in self.attempts_at(url):
                with attempt, beside.open("wb") as file, _shown(what) as advance:

                    def sink(piece: bytes, file: BinaryIO = file, advance: Callable[[int], None] = advance) -> None:
                        file.write(piece)
                        advance(len(piece))

                    self._once("GET", url, sink)
            beside.replace(path)
        except OSError as error:
            raise StoreError(f"cannot write {path}: {error.strerror or error}; free some space") from error
        finally:
            beside.unlink(missing_ok=True)
        return place_of(url)

    def release(self, survey: str, sources: Iterable[Source]) -> None:
        """Delete a survey's cached answers about sources, now that they are safe in a segment."""
        cache = self._response_cache()
        if cache:
            for source in sources:
                cache.delete(about(survey, source))

    def sweep(self) -> None:
        """Delete cached answers that are too old."""
        cache = self._response_cache()
        if cache:
            cache.sweep()

    def limits_of(self, url: str) -> HostLimit:
        """The limit of an address's host."""
        return HostLimit(host=host_of(url), connections=self.connections, per_second=self.per_second)

    # ---- one attempt --------------------------------------------------------------------------------------------

    def attempts_at(self, url: str, number: int | None = None) -> "Iterable[stamina.Attempt]":
        """Attempts at one answer, with waiting between them; `number` of them, or as many as the client has set.

        Raises
        ------
        FetchError
            When the client is offline.
        """
        import stamina
        from stamina.instrumentation import set_on_retry_hooks

        if self.offline:
            raise FetchError(f"{place_of(url)} is not asked, since run.offline=true")
        set_on_retry_hooks([])  # the default hook prints to the terminal
        wait = max(self.wait, 1e-3)
        return stamina.retry_context(
            on=lambda error: self._again_in(error, url),
            attempts=self.attempts if number is None else number,
            timeout=self.total_timeout,
            wait_initial=wait,
            wait_max=self.wait_max,
            wait_jitter=wait,
        )

    def _again_in(self, error: Exception, url: str) -> bool | float:
        """Whether to ask again, or in how many seconds, if the host asked for a pause."""
        if not isinstance(error, FetchError) or not error.passing:
            return False
        log.info("%s; asking again", error)
        if error.after_seconds is None:
            return True
        if error.after_seconds > self.total_timeout:
            return False
        self.limits_of(url).pause(error.after_seconds)
        return error.after_seconds + random.uniform(0, self.wait)

    def _once(
        self, method: str, url: str, sink: Callable[[bytes], object], params: Any = None, data: Any = None,
        headers: Mapping[str, str] | None = None, login: Login | None = None, size: int | None = None,
    ) -> int:  # fmt: skip
        """Ask once, and pass the answer on piece by piece; gives the HTTP status."""
        import httpx

        place = place_of(url)
        auth = httpx.BasicAuth(login.user, login.password) if login else None
        http = _http(self.connect_timeout, self.read_timeout)
        try:
            with (
                self.limits_of(url).slot(),
                http.stream(method, url, params=params, data=data, headers=headers, auth=auth) as response,
            ):
                if response.status_code >= 400:
                    raise refusal(
                        place, response.status_code, response.reason_phrase, _beginning(response), response.headers
                    )
                received, md5 = 0, hashlib.md5(usedforsecurity=False)
                started = time.monotonic()
                for piece in response.iter_bytes(_CHUNK):
                    received += len(piece)
                    md5.update(piece)
                    sink(piece)
                    if time.monotonic() - started > self.total_timeout:
                        raise FetchError(f"{place} did not send all of its answer in {self.total_timeout:g} s")
        except (httpx.TransportError, httpx.DecodingError) as error:
            # httpx's own message may quote the whole address
            raise FetchError(f"{place} broke off ({_kind(error)}); see whether it is up", passing=True) from None
        except httpx.InvalidURL:
            raise ConfigError(f"{place} is no address; check the url in the config") from None
        except httpx.HTTPError as error:
            raise FetchError(f"{place} did not answer ({_kind(error)})") from None
        checksum = response.headers.get("content-md5", "")
        if (size is not None and received != size) or (
            checksum and checksum != base64.b64encode(md5.digest()).decode()
        ):
            raise FetchError(f"{place} sent {received} bytes that are not those it announced", passing=True)
        return int(response.status_code)

    def _response_cache(self) -> ResponseCache | None:
        """The cache of answers, if there is one."""
        if self.cache is None:
            return None
        oldest = LONGEST_SECONDS if self.refresh is None else seconds_of(self.refresh, "run.refresh")
        since_start = time.time() - _STARTED
        return ResponseCache(folder=Path(self.cache), max_age_seconds=max(oldest, since_start))


_STARTED = time.time()
"""When this process began; answers that came later belong to the present run, however old."""


def about(survey: str, source: Source) -> str:
    """Cache key of answers on one source of a survey: its name and place."""
    return f"{survey}\n{source.name}\n{source.ra:.5f}\n{source.dec:.5f}"


def _beginning(response: "httpx.Response") -> bytes:
    body = b""
    for piece in response.iter_bytes(_CHUNK):
        body += piece
        if len(body) > 2000:
            break
    return body


def _kind(error: Exception) -> str:
    words = re.sub(r"([a-z])([A-Z])", r"\1 \2", type(error).__name__)
    return words.removesuffix(" Error").lower()


def user_agent() -> str:
    """The User-Agent header that archives see."""
    try:
        number = version("retriever")
    except PackageNotFoundError:
        number = "0"
    return f"retriever/{number} (searches light curves)"


@lru_cache(maxsize=4)
def _http(connect: float, read: float) -> "httpx.Client":
    """The connections of this process, kept open between calls."""
    import httpx

    client = httpx.Client(
        timeout=httpx.Timeout(read, connect=connect),
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=32),
        headers={"User-Agent": user_agent()},
        follow_redirects=True,
        trust_env=True,
    )
    atexit.register(client.close)
    return client


@contextmanager
def _shown(what: str) -> Iterator[Callable[[int], None]]:
    """Progress of a large file, with rate, on a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    console = Console(stderr=True)
    if not console.is_terminal or threading.current_thread() is not threading.main_thread():
        yield lambda size: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(what, total=None)
        yield lambda size: progress.advance(task, size)

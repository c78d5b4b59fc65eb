"""Answers that are errors: by their HTTP status, or with status 200 (web pages, messages in tables, cut tables)."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from retriever.errors import AnswerCut, FetchError

__all__ = ["refusal", "refuse_error_table", "refuse_web_page"]

_PASSING = {408, 425, 429, 500, 502, 503, 504}
"""HTTP statuses of temporary failures."""

_TAG = re.compile(r"<[^>]*>")
_INFO = re.compile(rb"<(?:\w+:)?INFO\b([^>]*?)(?:/>|>(.*?)</(?:\w+:)?INFO>)", re.DOTALL | re.IGNORECASE)
_ATTRIBUTE = re.compile(rb"""(\w+)\s*=\s*(?:"([^"]*)"|'([^']*)')""")


def refusal(place: str, status: int, reason: str, body: bytes, headers: Mapping[str, str]) -> FetchError:
    """The error for an HTTP status of 400 or more."""
    text = " ".join(re.sub(r"<[^>]*>", " ", body[:2000].decode("utf-8", "replace")).split())[:160]
    hint = {401: "; check the login", 403: "; check the login", 404: "; check the url"}.get(status, "")
    return FetchError(
        f"{place} answered {status} {reason}{f' ({text})' if text else ''}{hint}",
        passing=status in _PASSING,
        after_seconds=_retry_after(headers.get("retry-after", "") or _wait_stated_in(text)),
        status=status,
    )


def refuse_web_page(body: bytes, where: str) -> None:
    """Refuse a web page where a table should be.

    Raises
    ------
    FetchError
        With the page's title. The failure is temporary: archives under maintenance answer this way.

    Examples
    --------
    >>> refuse_web_page(b"<html><title>Down for repairs</title></html>", "example.org")
    Traceback (most recent call last):
    ...
    retriever.errors.FetchError: example.org answered with a web page ('Down for repairs') instead of a table
    """
    start = body[:2000].lstrip().lower()
    if start.startswith((b"<!doctype html", b"<html")):
        match = re.search(rb"<title[^>]*>(.*?)</title>", body[:20_000], re.DOTALL | re.IGNORECASE)
        title = _plain(match[1]) if match else _plain(body[:500])
        raise FetchError(f"{where} answered with a web page ({title!r}) instead of a table", passing=True)


def refuse_error_table(body: bytes, where: str) -> None:
    """Refuse a VOTable that reports an error, or that was cut at the service's limit of rows.

    Raises
    ------
    FetchError
        Temporary for a problem of the service; permanent for a query that it does not understand or that is too large.

    Examples
    --------
    >>> refuse_error_table(b'<INFO name="QUERY_STATUS" value="OVERFLOW"/>', "example.org")
    Traceback (most recent call last):
    ...
    retriever.errors.AnswerCut: example.org cut its answer at its limit of rows (OVERFLOW); ask for less at once
    """
    for attributes, content in _INFO.findall(body):
        words = {key.lower(): first or second for key, first, second in _ATTRIBUTE.findall(attributes)}
        name, value = words.get(b"name", b"").upper(), words.get(b"value", b"")
        if name == b"QUERY_STATUS" and value.upper() == b"ERROR":
            raise FetchError(f"{where} answered with an error: {_plain(content) or 'no reason given'}")
        if name == b"QUERY_STATUS" and value.upper() == b"OVERFLOW":
            raise AnswerCut(f"{where} cut its answer at its limit of rows (OVERFLOW); ask for less at once")
        if name == b"ERROR":  # as VizieR reports errors
            raise FetchError(f"{where} answered with an error: {_plain(value)}", passing=True)


def _plain(text: bytes) -> str:
    return " ".join(_TAG.sub(" ", text.decode("utf-8", "replace")).split())[:200]


def _wait_stated_in(text: str) -> str:
    """Seconds to wait, as some services state them in the text of an answer.

    Examples
    --------
    >>> _wait_stated_in("Request was throttled. Expected available in 7 seconds.")
    '7'
    """
    match = re.search(r"available in (\d+) second", text)
    return match[1] if match else ""


def _retry_after(text: str) -> float | None:
    """Seconds that a host asks us to wait, given as a number or a date.

    Examples
    --------
    >>> _retry_after("120"), _retry_after("soon")
    (120.0, None)
    """
    if re.fullmatch(r"\d+(\.\d+)?", text.strip()):
        return float(text)
    try:
        return max((parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds(), 0.0)
    except (TypeError, ValueError):
        return None

"""Errors that archives send with HTTP status 200: web pages, error messages in tables, tables cut short."""

import re

from retriever.errors import AnswerCut, FetchError

__all__ = ["refuse_error_table", "refuse_web_page"]

_TAG = re.compile(r"<[^>]*>")
_INFO = re.compile(rb"<(?:\w+:)?INFO\b([^>]*?)(?:/>|>(.*?)</(?:\w+:)?INFO>)", re.DOTALL | re.IGNORECASE)
_ATTRIBUTE = re.compile(rb"""(\w+)\s*=\s*(?:"([^"]*)"|'([^']*)')""")


def refuse_web_page(body: bytes, where: str) -> None:
    """Refuse a web page where a table should be.

    Raises
    ------
    FetchError
        With the page's title. It may pass: so do archives say that they are being mended.

    Examples
    --------
    >>> refuse_web_page(b"<html><title>Down for repairs</title></html>", "example.org")
    Traceback (most recent call last):
    ...
    retriever.errors.FetchError: example.org answered with a web page ('Down for repairs') instead of a table
    """
    start = body[:2000].lstrip().lower()
    if start.startswith((b"<!doctype html", b"<html")):
        found = re.search(rb"<title[^>]*>(.*?)</title>", body[:20_000], re.DOTALL | re.IGNORECASE)
        title = _plain(found[1]) if found else _plain(body[:500])
        raise FetchError(f"{where} answered with a web page ({title!r}) instead of a table", passing=True)


def refuse_error_table(body: bytes, where: str) -> None:
    """Refuse a VOTable that tells of an error, or that was cut at the service's limit of rows.

    Raises
    ------
    FetchError
        A service's trouble may pass, a query that it does not understand or that is too large will not.

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
        if name == b"ERROR":  # VizieR's way
            raise FetchError(f"{where} answered with an error: {_plain(value)}", passing=True)


def _plain(text: bytes) -> str:
    return " ".join(_TAG.sub(" ", text.decode("utf-8", "replace")).split())[:200]

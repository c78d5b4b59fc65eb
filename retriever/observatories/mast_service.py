"""The protocol of MAST (https://mast.stsci.edu/api/v0/): paged queries to its services, and files."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from retriever.client.answers import refuse_web_page
from retriever.client.http import Client
from retriever.client.response_cache import Answer
from retriever.errors import DataError, FetchError
from retriever.formats import read_aperture, read_bytes
from retriever.observatories.requests import request_text
from retriever.rawtable import RawPhotometry, RawTable

__all__ = ["File", "invoke", "photometry_of", "products"]

PAGE = 5000
"""Rows of one page of an answer."""


@dataclass(frozen=True, kw_only=True)
class File:
    """One light-curve file: `kind` is the pipeline (with its cadence), `part` the sector, quarter or campaign."""

    kind: str
    part: str
    name: str
    uri: str
    size: int | None


def invoke(client: Client, url: str, service: str, params: Mapping[str, object], keep: str) -> list[dict[str, Any]]:
    """All rows of a service's answer, from all pages."""
    rows: list[dict[str, Any]] = []
    page = 1
    while True:
        request = {"service": service, "params": params, "format": "json", "pagesize": PAGE, "page": page}
        answer = client.post(
            f"{url}/api/v0/invoke", {"request": json.dumps(request, sort_keys=True)}, check=_check_json, about=keep
        )
        reply = json.loads(answer.body)
        rows += reply.get("data", [])
        if page >= int(reply.get("paging", {}).get("pagesFiltered", 1) or 1):
            return rows
        page += 1


def _check_json(answer: Answer) -> None:
    refuse_web_page(answer.body, answer.address)
    try:
        reply = json.loads(answer.body)
        status = reply["status"]
    except (ValueError, KeyError, TypeError):
        raise FetchError(f"{answer.address} answered with no JSON: {answer.text[:120]!r}", passing=True) from None
    if status == "EXECUTING":
        raise FetchError(f"{answer.address} is still at work on the question", passing=True)
    if status != "COMPLETE":
        raise FetchError(f"{answer.address} answered with an error: {reply.get('msg') or status}")


def products(client: Client, url: str, rows: Sequence[Mapping[str, object]], keep: str) -> list[dict[str, Any]]:
    """Files of observations, each once."""
    if not rows:
        return []
    numbers = ",".join(sorted({str(row["obsid"]) for row in rows}))
    rows_of_files = invoke(client, url, "Mast.Caom.Products", {"obsid": numbers}, keep)
    return list({product["dataURI"]: product for product in rows_of_files}.values())


def photometry_of(
    client: Client, url: str, files: Sequence[File], keep: str, alias: str, request: Mapping[str, object]
) -> RawPhotometry:
    """Download files and read them."""
    tables: list[RawTable] = []
    fetched = ""
    for file in files:
        read: list[RawTable] = []

        def check(answer: Answer, name: str = file.name, read: list[RawTable] = read) -> None:
            refuse_web_page(answer.body, answer.address)
            try:
                read[:] = _tables(answer.body, name)
            except DataError as error:
                raise FetchError(f"{answer.address} sent a broken file: {error}", passing=True) from error

        answer = client.get(f"{url}/api/v0.1/Download/file", {"uri": file.uri}, check=check, size=file.size, about=keep)
        tables += read or _tables(answer.body, file.name)  # a cached one was checked before
        fetched = max(fetched, answer.fetched)
    when = {"fetched": fetched} if fetched else {}
    return RawPhotometry(
        tables=tuple(tables),
        provenance={
            "address": f"{url}/api/v0.1/Download/file",
            "request": " ".join(file.uri for file in files) or alias,
            "asked": request_text(request),
            "release": ", ".join(sorted({file.kind for file in files})),
            "status": "200",
            **when,
        },
        aliases=(alias,),
    )


def _tables(image: bytes, name: str) -> list[RawTable]:
    """The light curve in a file, and the aperture."""
    return [read_bytes(image, name), *read_aperture(image, name)]

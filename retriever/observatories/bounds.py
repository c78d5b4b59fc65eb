"""Sources that a survey cannot have seen, and that it is therefore not asked for.

Reasons name the bound and not its value: a changed bound changes the requests of those sources alone that it affects.
"""

from collections.abc import Mapping

import numpy as np

from retriever.arrays import Array
from retriever.observatories.requests import NOT_ASKED, request_text
from retriever.rawtable import RawPhotometry
from retriever.source import Source, SourceTable

__all__ = ["not_asked", "nothing", "reason_not_to_ask", "reasons_not_to_ask"]

SOUTH, NORTH, FAINT = "south of min_dec", "north of max_dec", "fainter than max_mag"


def reason_not_to_ask(
    source: Source, *, min_dec: float | None = None, max_dec: float | None = None, max_mag: float | None = None
) -> str:
    """Why a source lies beyond a survey's bounds (degrees, magnitudes; None for no bound), or "".

    Examples
    --------
    >>> reason_not_to_ask(Source(name="X", ra=0.0, dec=-40.0), min_dec=-30.0)
    'south of min_dec'
    """
    if min_dec is not None and source.dec < min_dec:
        return SOUTH
    if max_dec is not None and source.dec > max_dec:
        return NORTH
    if max_mag is not None and source.mag > max_mag:
        return FAINT
    return ""


def reasons_not_to_ask(
    sources: SourceTable, *, min_dec: float | None = None, max_dec: float | None = None, max_mag: float | None = None
) -> Array:
    """The same for a table, as a column of requests: None where the survey is asked.

    Examples
    --------
    >>> table = SourceTable.from_columns(name=["A", "B"], ra=[0.0, 0.0], dec=[-40.0, 0.0])
    >>> reasons_not_to_ask(table, min_dec=-30.0).tolist()
    ['south of min_dec', None]
    """
    reasons = np.full(len(sources), None, object)
    with np.errstate(invalid="ignore"):
        if max_mag is not None:
            reasons[sources.mag > max_mag] = FAINT
        if max_dec is not None:
            reasons[sources.dec > max_dec] = NORTH
        if min_dec is not None:
            reasons[sources.dec < min_dec] = SOUTH
    return reasons


def nothing(reason: str, request: Mapping[str, object], address: str = "") -> RawPhotometry:
    """The answer that a survey has nothing, and why."""
    provenance = {"address": address, "request": "", "asked": request_text(request), "status": reason}
    return RawPhotometry(tables=(), provenance=provenance)


def not_asked(request: Mapping[str, object]) -> RawPhotometry | None:
    """The answer for a source that the survey is not asked for; None for all others."""
    return nothing(f"not asked: {request[NOT_ASKED]}", request) if NOT_ASKED in request else None

"""Sources that a survey cannot have seen, and that it is therefore not asked for."""

from retriever.rawtable import RawPhotometry
from retriever.source import Source

__all__ = ["nothing", "reason_not_to_ask"]


def reason_not_to_ask(
    source: Source, *, min_dec: float | None = None, max_dec: float | None = None, max_mag: float | None = None
) -> str:
    """Why a source lies beyond a survey's bounds (degrees, magnitudes; None for no bound), or "".

    Examples
    --------
    >>> reason_not_to_ask(Source(name="X", ra=0.0, dec=-40.0), min_dec=-30.0)
    'not asked: south of -30 degrees'
    """
    if min_dec is not None and source.dec < min_dec:
        return f"not asked: south of {min_dec:g} degrees"
    if max_dec is not None and source.dec > max_dec:
        return f"not asked: north of {max_dec:g} degrees"
    if max_mag is not None and source.mag > max_mag:
        return f"not asked: fainter than {max_mag:g}"
    return ""


def nothing(reason: str, address: str = "") -> RawPhotometry:
    """The answer that a survey has nothing, and why."""
    return RawPhotometry(tables=(), provenance={"address": address, "request": "", "status": reason})

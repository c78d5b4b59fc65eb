"""Texts about a catalog: a summary, rows, and matches with another catalog."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from retriever.arrays import Floats
from retriever.astrometry import place_in
from retriever.catalogs.file import FileCatalog
from retriever.catalogs.match import cone, match
from retriever.config import build_setup
from retriever.errors import CatalogError
from retriever.source import SourceTable

if TYPE_CHECKING:
    from omegaconf import DictConfig


__all__ = ["info", "info_text", "load", "matches", "query", "rows_text"]


def load(config: "DictConfig") -> SourceTable:
    """The catalog of a composed config."""
    sources: SourceTable = build_setup(config).components["catalog"].load()
    return sources


def info(sources: SourceTable) -> dict[str, object]:
    """What a catalog is."""

    def span(values: Floats) -> list[float] | None:
        known = values[np.isfinite(values)]
        return [float(known.min()), float(known.max())] if known.size else None

    return {
        "sources": len(sources),
        "first": sources.name[:3].tolist(),
        "ra": span(sources.ra),
        "dec": span(sources.dec),
        "epoch": span(sources.epoch),
        "mag": span(sources.mag),
        "bands": sorted(set(sources.band.tolist()) - {""}),
        "with_proper_motion": int(np.count_nonzero(np.isfinite(sources.pmra) & np.isfinite(sources.pmdec))),
        "with_aliases": sum(bool(names) for names in sources.aliases),
        "further_columns": sorted(sources.extra),
        "left_out": dict(sources.skipped),
        "reference": sources.reference,
        "notes": list(sources.notes),
        "digest": sources.digest,
    }


def info_text(info: Mapping[str, object]) -> str:
    """Text of a catalog's summary."""
    return "\n".join(f"{key.replace('_', ' '):>18}  {_text(value)}" for key, value in info.items() if value)


def query(sources: SourceTable, what: str, radius_arcsec: float, year: float) -> list[dict[str, object]]:
    """Rows by name or alias, or within a circle around "RA DEC" in degrees, the nearest first.

    Raises
    ------
    CatalogError
        When there is no such source.
    """
    place = place_in(what)
    if place:
        rows, distances = cone(sources, *place, radius_arcsec, year)
        return [
            {"distance_arcsec": round(distance, 3), **_row(sources, row)}
            for row, distance in zip(rows.tolist(), distances.tolist(), strict=True)
        ]
    row = sources.row_of(what)
    if row < 0:
        raise CatalogError(f"the catalog has no source {what!r}{sources.hint(what)}")
    return [_row(sources, row)]


def matches(
    sources: SourceTable, path: str, radius_arcsec: float, year: float, *, mutual: bool
) -> tuple[list[dict[str, object]], str]:
    """For each source of the catalog the nearest row of a table (columns name, ra, dec), where one is near enough.

    Returns
    -------
    rows, note
        The pairs, and a sentence on sources that share a partner; "" where none do.
    """
    if not Path(path).exists():
        raise CatalogError(f"there is no file {path}; give a table with the columns name, ra and dec")
    other = FileCatalog(path=path).load()
    matched = match(sources, other, radius_arcsec, year, mutual=mutual)
    rows = [
        {"name": str(sources.name[a]), "other": str(other.name[b]), "distance_arcsec": round(d, 3)}
        for a, b, d in zip(matched.first.tolist(), matched.second.tolist(), matched.distance.tolist(), strict=True)
    ]
    if not matched.n_shared:
        return rows, ""
    rest = "only the nearest of them is given; --all gives the others" if mutual else "all of them are given"
    return rows, f"{matched.n_shared} sources share a row of the table with another source; {rest}"


def rows_text(rows: list[dict[str, object]]) -> str:
    """Text of rows."""
    if not rows:
        return "none"
    return "\n".join(
        "  ".join(f"{key} {_text(value)}" for key, value in row.items() if value not in ("", [], {})) for row in rows
    )


def _row(sources: SourceTable, row: int) -> dict[str, object]:
    source = sources.source(row)
    numbers = {key: getattr(source, key) for key in ("ra", "dec", "pmra", "pmdec", "parallax", "epoch", "mag")}
    known = {key: value for key, value in numbers.items() if value == value}
    return {"name": source.name, **known, "band": source.band, "aliases": list(source.aliases), **source.extra}


def _text(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.8g}"
    if isinstance(value, list):
        return ", ".join(_text(item) for item in value)
    return str(value)

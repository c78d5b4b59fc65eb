"""What the database knows of a segment, of a source over all versions, and of the sources near a place."""

from pathlib import Path

import numpy as np

from retriever.astrometry import separation_arcsec
from retriever.errors import StoreError
from retriever.outcome import Outcome
from retriever.store import queries
from retriever.store.database import Database
from retriever.store.segments import digest_in, read

__all__ = ["near", "show_known"]


def show_known(thing: str, outputs: Path, data: Path, database: Database) -> dict[str, object]:
    """Describe a segment by the name of its file, or a source by its name or an alias.

    Raises
    ------
    StoreError
        When nothing is called so.
    """
    return _segment(thing, outputs, data, database) if thing.endswith(".h5") else _source(thing, database)


def _segment(word: str, outputs: Path, data: Path, database: Database) -> dict[str, object]:
    """A segment by the end of its path."""
    rows = queries.segments_named(database, Path(word).name)
    if not rows:
        raise StoreError(
            f"the database knows no segment {Path(word).name!r}; retriever verify names files it does not know"
        )
    row = rows[0]
    path = (data if row["root"] == "data" else outputs) / row["path"]
    manifest, tables = read(path, ["sources"])
    return {
        "what": "segment",
        "file": str(path),
        "digest": digest_in(path.name),
        "bytes": row["size"],
        "run": row["run"],
        "manifest": manifest,
        "sources": [str(name) for name in tables["sources"]["name"]],
    }


def _source(name: str, database: Database) -> dict[str, object]:
    """A source by its name or an alias, over all versions."""
    rows = queries.source_rows(database, name)
    names = sorted({row["name"] for row in rows} | {name})
    products = [{"source": own, **product} for own in names for product in queries.products_of(database, own)]
    if not products and not rows:
        raise StoreError(f"there is no version, segment or source {name!r}; see retriever status and sources.parquet")
    return {
        "what": "source",
        "name": name,
        "catalog_rows": rows,
        "products": [
            {
                **{
                    key: product[key]
                    for key in ("source", "stage", "observatory", "survey", "n_rows", "digest", "versions")
                },
                "outcome": Outcome(product["outcome"]).name.lower(),
                "segment": product["path"],
            }
            for product in products
        ],
    }


def near(ra: float, dec: float, database: Database, radius_arcsec: float = 60.0) -> list[dict[str, object]]:
    """Sources near a place, the nearest first, with their distance in arcsec.

    Parameters
    ----------
    ra, dec
        In degrees.
    radius_arcsec
        Largest distance.
    """
    rows = queries.sources_in_strip(database, dec - radius_arcsec / 3600, dec + radius_arcsec / 3600)
    ras, decs = (np.array([row[key] for row in rows]) for key in ("ra", "dec"))
    distances = separation_arcsec(ras, decs, ra, dec)
    nearest_first = np.argsort(distances, kind="stable").tolist()
    return [
        {"distance_arcsec": round(float(distances[k]), 3), **rows[k]}
        for k in nearest_first
        if distances[k] <= radius_arcsec
    ]

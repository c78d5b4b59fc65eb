"""One thing and where it came from: a version, a source, a light curve, a detection or a segment.

Addresses are words with slashes: ``VERSION``, ``VERSION/SOURCE``, ``VERSION/SOURCE/OBSERVATORY/NUMBER`` for a light
curve, with ``/PEAK`` after it for the detection that peaks at that epoch.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from retriever.astrometry import separation_arcsec
from retriever.errors import StoreError, nearest
from retriever.outcome import Outcome
from retriever.report.arrow import arrow_array, arrow_text
from retriever.report.versions import VersionFolder, find_version, names_beginning, version_names
from retriever.store import asking
from retriever.store.database import Database
from retriever.store.segments import digest_in, read

__all__ = ["near", "show", "show_text"]


def show(thing: str, outputs: Path, data: Path, database: Database) -> dict[str, Any]:
    """Describe a thing by its address.

    Raises
    ------
    StoreError
        When nothing is called so.
    """
    if thing.endswith(".h5"):
        return _segment(thing, outputs, data, database)
    version = _version_of(thing, outputs)
    if version is not None:
        return _version(version)
    head, _, rest = thing.partition("/")
    owner = _version_of(head, outputs)
    if owner is not None and rest:
        return _in_version(owner, rest, outputs, data, database)
    return _source(thing, database)


def _version_of(word: str, outputs: Path) -> VersionFolder | None:
    """The version that a word means, unless it means nothing."""
    path = Path(word).expanduser()
    if not (path / "version.json").exists() and ("/" in word or not names_beginning(word, version_names(outputs))):
        return None
    return find_version(word, outputs)


def _version(version: VersionFolder) -> dict[str, Any]:
    story = version.story
    return {
        "what": "version",
        "version": version.name,
        "folder": str(version.folder),
        "hash": story["hash"],
        "hash_holds": version.hash_holds,
        "pinned": version.is_pinned,
        "created": story.get("created"),
        "commits": story["inputs"]["commits"],
        "environment": story.get("environment"),
        "parameters": version.parameters,
    }


def _segment(word: str, outputs: Path, data: Path, database: Database) -> dict[str, Any]:
    """A segment by the end of its path."""
    found = asking.segments_named(database, Path(word).name)
    if not found:
        raise StoreError(
            f"the database knows no segment {Path(word).name!r}; retriever verify names files it does not know"
        )
    row = found[0]
    path = (data if row["root"] == "data" else outputs) / row["path"]
    story, tables = read(path, ["sources"])
    return {
        "what": "segment",
        "file": str(path),
        "digest": digest_in(path.name),
        "bytes": row["size"],
        "run": row["run"],
        "story": story,
        "sources": [str(name) for name in tables["sources"]["name"]],
    }


def _source(name: str, database: Database) -> dict[str, Any]:
    """A source by its name or an alias, over all versions."""
    rows = asking.source_rows(database, name)
    names = sorted({row["name"] for row in rows} | {name})
    products = [{"source": one, **product} for one in names for product in asking.products_of(database, one)]
    if not products and not rows:
        raise StoreError(f"there is no version, segment or source {name!r}; see retriever status and sources.parquet")
    return {
        "what": "source",
        "name": name,
        "catalog_rows": rows,
        "products": [
            {
                **{
                    key: one[key]
                    for key in ("source", "stage", "observatory", "survey", "n_rows", "digest", "versions")
                },
                "outcome": Outcome(one["outcome"]).name.lower(),
                "segment": one["path"],
            }
            for one in products
        ],
    }


def near(ra: float, dec: float, database: Database, radius_arcsec: float = 60.0) -> list[dict[str, Any]]:
    """Sources near a place, the nearest first, with their distance in arcsec.

    Parameters
    ----------
    ra, dec
        In degrees.
    radius_arcsec
        Largest distance.
    """
    rows = asking.sources_in_strip(database, dec - radius_arcsec / 3600, dec + radius_arcsec / 3600)
    distances = separation_arcsec([row["ra"] for row in rows], [row["dec"] for row in rows], ra, dec)
    nearest_first = np.argsort(distances, kind="stable").tolist()
    return [
        {"distance_arcsec": round(float(distances[k]), 3), **rows[k]}
        for k in nearest_first
        if distances[k] <= radius_arcsec
    ]


# ---- inside a version --------------------------------------------------------------------------------------------


def _in_version(version: VersionFolder, rest: str, outputs: Path, data: Path, database: Database) -> dict[str, Any]:
    name, observatory, number, peak = _split(rest)
    if not name:
        raise StoreError(f"{rest!r} is no address in a version; write SOURCE, or SOURCE/OBSERVATORY/NUMBER[/PEAK]")
    lineage = _lineage(version, name, observatory, outputs, data, database)
    base = {"version": version.name, "source": name, "lineage": lineage}
    detections = _rows(version, "detections", name, observatory)
    if number is None:
        return {
            "what": "source",
            **base,
            "lightcurves": _rows(version, "lightcurves", name, None),
            "detections": detections,
            "injections": _rows(version, "injections", name, None),
            "properties": _rows(version, "properties", name, None),
        }
    lightcurves = [row for row in _rows(version, "lightcurves", name, observatory) if row["number"] == number]
    if not lightcurves:
        raise StoreError(f"{name!r} has no light curve {number} from {observatory!r} in {version.name}")
    mine = [row for row in detections if row["lightcurve"] == number]
    if peak is None:
        return {"what": "light curve", **base, "lightcurve": lightcurves[0], "detections": mine}
    here = [row for row in mine if row["peak"] == peak]
    if not here:
        known = ", ".join(str(row["peak"]) for row in mine)
        raise StoreError(
            f"light curve {number} of {name!r} has no detection that peaks at epoch {peak} (known: {known})"
        )
    return {"what": "detection", **base, "detection": here[0], "lightcurve": lightcurves[0]}


def _split(rest: str) -> tuple[str, str | None, int | None, int | None]:
    """Source, observatory, light curve, peak; a source's own name may have slashes in it."""
    parts = rest.split("/")
    numbers: list[int] = []
    while len(parts) > 2 and parts[-1].isdigit() and len(numbers) < 2:
        numbers.insert(0, int(parts.pop()))
    if not numbers:
        return rest, None, None, None
    observatory = parts.pop()
    return "/".join(parts), observatory, numbers[0], numbers[1] if len(numbers) > 1 else None


def _rows(version: VersionFolder, table: str, source: str, observatory: str | None) -> list[dict[str, Any]]:
    """Rows of a source in a table, found in the file itself: only row groups that may hold it are read."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    found: list[dict[str, Any]] = []
    name = arrow_text(source)
    try:
        with pq.ParquetFile(version.folder / f"{table}.parquet") as file:
            for group in range(file.num_row_groups):
                column = file.read_row_group(group, columns=["source"])["source"]
                same = pc.equal(column, name)
                if pc.any(same).as_py():
                    rows = file.read_row_group(group).filter(same)
                    found += rows.to_pylist()
    except OSError as error:
        raise StoreError(f"cannot read {table}.parquet of {version.name} ({error}); run the version again") from error
    return [row for row in found if observatory is None or row["observatory"] == observatory]


def _place_in_catalog(version: VersionFolder, name: str) -> tuple[int, int]:
    """Row of a source in its version's catalog, -1 where it is not, and the catalog's length."""
    import pyarrow.compute as pc

    names = version.arrow("sources", ["name"])["name"]
    rows = pc.indices_nonzero(pc.equal(names, arrow_text(name)))
    return rows[0].as_py() if len(rows) else -1, len(names)


def _product_rows(version: VersionFolder, at: int, n: int, observatory: str | None) -> list[dict[str, Any]]:
    """Rows of one source in the table of products, which has all sources, in the catalog's order, stage after stage."""
    import pyarrow.parquet as pq

    found: list[dict[str, Any]] = []
    with pq.ParquetFile(version.folder / "products.parquet") as file:
        first = 0
        for group in range(file.num_row_groups):
            size = file.metadata.row_group(group).num_rows
            inside = np.arange(first, first + size)[np.arange(first, first + size) % n == at] - first
            if inside.size:
                found += file.read_row_group(group).take(arrow_array(inside)).to_pylist()
            first += size
    return [row for row in found if observatory is None or row["observatory"] == observatory]


def _lineage(
    version: VersionFolder, name: str, observatory: str | None, outputs: Path, data: Path, database: Database
) -> list[dict[str, Any]]:
    """Each product of a source in a version, and what it was made from and by, from raw data upward."""
    at, n = _place_in_catalog(version, name)
    rows = _product_rows(version, at, n, observatory) if at >= 0 else []
    if not rows:
        names = version.table("sources", ["name"])["name"].tolist() if n < 5000 else []
        raise StoreError(f"{version.name} has no source {name!r}{nearest(name, names)}")
    keys = version.story["inputs"]["stage_keys"]
    found = []
    for row in rows:
        one: dict[str, Any] = {
            "observatory": row["observatory"],
            "stage": row["stage"],
            "outcome": row["outcome"],
            "digest": row["digest"],
            "stage_key": keys[row["observatory"]][row["stage"]],
            "segment": row["segment"],
            "row": row["source_row"],
        }
        if row["message"]:
            one["message"] = row["message"]
        if row["segment"]:
            root, _, path = row["segment"].partition("/")
            one["file"] = str((data if root == "data" else outputs) / path)
            known = asking.segments_named(database, Path(path).name)
            one["made_by_run"] = known[0]["run"] if known else None
            if row["stage"] == "download":
                one["provenance"] = _provenance(Path(one["file"]), row["source_row"])
        found.append(one)
    return found


def _provenance(path: Path, source_row: int) -> Mapping[str, Any] | None:
    """Address, request and time of a download, as the survey's answer was stored with."""
    try:
        _, tables = read(path, ["raw_index"])
    except StoreError:
        return None
    index = tables["raw_index"]
    at = np.flatnonzero(index["source"] == source_row)
    return dict(json.loads(str(index["provenance"][at[0]]))) if at.size else None


def show_text(found: Mapping[str, Any], where: str = "") -> str:
    """A thing for people: nested values, indented."""
    lines: list[str] = []
    for key, value in found.items():
        if isinstance(value, Mapping):
            lines.append(f"{where}{key}:")
            lines.append(show_text(value, f"{where}  ") if value else f"{where}  (none)")
        elif isinstance(value, Sequence) and not isinstance(value, str):
            lines.append(f"{where}{key}: {'' if value else '(none)'}".rstrip())
            for item in value:
                if isinstance(item, Mapping):
                    told = ", ".join(f"{name} {_shown(one)}" for name, one in item.items() if one not in ("", None))
                    lines.append(f"{where}  - {told}")
                else:
                    lines.append(f"{where}  - {item}")
        else:
            lines.append(f"{where}{key}: {_shown(value)}")
    return "\n".join(lines)


def _shown(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)

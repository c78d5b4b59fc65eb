"""Versions and what is in them, with its provenance, from the version's folder alone: no database is queried.

Addresses are words with slashes: ``VERSION``, ``VERSION/SOURCE``, ``VERSION/SOURCE/OBSERVATORY/NUMBER`` for a light
curve, with ``/PEAK`` after it for the detection that peaks at that epoch.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from retriever.errors import StoreError, nearest
from retriever.report.source_rows import place_in_catalog, product_rows, rows_of_source
from retriever.report.versions import VersionFolder, find_version, names_beginning, version_names
from retriever.store.segments import read

__all__ = ["lineage_of", "show_in_version", "show_text"]


def show_in_version(thing: str, outputs: Path, data: Path) -> dict[str, object] | None:
    """Describe a version, or what is in it, by its address; None where the address names no version.

    Raises
    ------
    StoreError
        When the version has no such thing.
    """
    version = _version_of(thing, outputs)
    if version is not None:
        return _version(version)
    # a version may be named by its folder, as in outputs/DEMO_79ed/random_000003: the longest beginning that is one
    cuts = [at for at, letter in enumerate(thing) if letter == "/"]
    folders = [at for at in reversed(cuts) if _is_version_folder(thing[:at])]
    for at in (*folders, *cuts[:1]):
        owner, rest = _version_of(thing[:at], outputs), thing[at + 1 :].strip("/")
        if owner is not None and rest:
            return _in_version(owner, rest, outputs, data)
    return None


def _is_version_folder(word: str) -> bool:
    return bool(word) and (Path(word).expanduser() / "version.json").exists()


def _version_of(word: str, outputs: Path) -> VersionFolder | None:
    """The version that a word means, unless it means nothing."""
    if not _is_version_folder(word) and ("/" in word or not names_beginning(word, version_names(outputs))):
        return None
    return find_version(word, outputs)


def _version(version: VersionFolder) -> dict[str, object]:
    manifest = version.manifest
    return {
        "what": "version",
        "version": version.name,
        "folder": str(version.folder),
        "hash": manifest["hash"],
        "hash_holds": version.hash_holds,
        "pinned": version.is_pinned,
        "created": manifest.get("created"),
        "commits": manifest["inputs"]["commits"],
        "environment": manifest.get("environment"),
        "parameters": version.parameters,
    }


# ---- inside a version --------------------------------------------------------------------------------------------


def _in_version(version: VersionFolder, rest: str, outputs: Path, data: Path) -> dict[str, object]:
    name, observatory, number, peak = _split(rest)
    if not name:
        raise StoreError(f"{rest!r} is no address in a version; write SOURCE, or SOURCE/OBSERVATORY/NUMBER[/PEAK]")
    lineage = lineage_of(version, name, observatory, outputs, data)
    base = {
        "version": version.name,
        "configuration": str(version.folder / "config.yaml"),
        "commits": version.manifest["inputs"]["commits"],
        "source": name,
        "lineage": lineage,
    }
    detections = _table_rows(version, "detections", name, observatory)
    if number is None:
        return {
            "what": "source",
            **base,
            "lightcurves": _table_rows(version, "lightcurves", name, None),
            "detections": detections,
            "injections": _table_rows(version, "injections", name, None),
            "properties": _table_rows(version, "properties", name, None),
        }
    lightcurves = [row for row in _table_rows(version, "lightcurves", name, observatory) if row["number"] == number]
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


def _table_rows(version: VersionFolder, table: str, source: str, observatory: str | None) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = rows_of_source(version, table, source).to_pylist()
    return [row for row in rows if observatory is None or row["observatory"] == observatory]


def lineage_of(
    version: VersionFolder, name: str, observatory: str | None, outputs: Path, data: Path
) -> list[dict[str, object]]:
    """Each product of a source in a version, and what it was made from and by, from raw data upward."""
    at, n = place_in_catalog(version, name)
    rows = product_rows(version, at, n, observatory) if at >= 0 else []
    if not rows:
        names = version.table("sources", ["name"])["name"].tolist() if n < 5000 else []
        raise StoreError(f"{version.name} has no source {name!r}{nearest(name, names)}")
    keys = version.manifest["inputs"]["stage_keys"]
    lineage = []
    for row in rows:
        product: dict[str, Any] = {
            "observatory": row["observatory"],
            "stage": row["stage"],
            "outcome": row["outcome"],
            "digest": row["digest"],
            "stage_key": keys[row["observatory"]][row["stage"]],
            "segment": row["segment"],
            "row": row["source_row"],
        }
        if row["message"]:
            product["message"] = row["message"]
        if row["segment"]:
            root, _, path = row["segment"].partition("/")
            product["file"] = str((data if root == "data" else outputs) / path)
            if row["stage"] == "download":
                product["provenance"] = _provenance(Path(product["file"]), row["source_row"])
        lineage.append(product)
    return lineage


def _provenance(path: Path, source_row: int) -> Mapping[str, object] | None:
    """Address, request and time of a download, as the survey's answer was stored with."""
    try:
        _, tables = read(path, ["raw_index"])
    except StoreError:
        return None
    index = tables["raw_index"]
    at = np.flatnonzero(index["source"] == source_row)
    return dict(json.loads(str(index["provenance"][at[0]]))) if at.size else None


def show_text(shown: Mapping[str, object], where: str = "") -> str:
    """What was found, for people: nested values, indented."""
    lines: list[str] = []
    for key, value in shown.items():
        if isinstance(value, Mapping):
            lines.append(f"{where}{key}:")
            lines.append(show_text(value, f"{where}  ") if value else f"{where}  (none)")
        elif isinstance(value, Sequence) and not isinstance(value, str):
            lines.append(f"{where}{key}: {'' if value else '(none)'}".rstrip())
            for item in value:
                if isinstance(item, Mapping):
                    line = ", ".join(
                        f"{name} {_shown(field)}" for name, field in item.items() if field not in ("", None)
                    )
                    lines.append(f"{where}  - {line}")
                else:
                    lines.append(f"{where}  - {item}")
        else:
            lines.append(f"{where}{key}: {_shown(value)}")
    return "\n".join(lines)


def _shown(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)

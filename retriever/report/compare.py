"""What differs between versions, told from their folders alone."""

import difflib
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retriever.errors import StoreError
from retriever.report.parameters import changed_modules, code_of_version, differing
from retriever.report.versions import VersionFolder

__all__ = ["AMPLITUDES", "compare_many", "compare_text", "compare_two", "many_text", "recovered_by_amplitude"]

AMPLITUDES = np.array([0.0, 3.0, 5.0, 7.0, 10.0, 15.0, 20.0, np.inf])
"""Edges of the bins of injected amplitude, in S/N."""

_SCORES = ("snr", "dmag", "offset")


def compare_two(one: VersionFolder, other: VersionFolder) -> dict[str, Any]:
    """Compare two versions.

    Returns
    -------
    dict
        `parameters` (address to both values), `code`, `environment`, `data`, `sources`, `detections`, `injections`,
        `histograms`; plain data.

    Raises
    ------
    StoreError
        When a folder lacks its record or its tables.
    """
    a, b = one.manifest, other.manifest
    new, old = other.parameters, one.parameters
    return {
        "versions": [one.name, other.name],
        "parameters": {key: [old.get(key), new.get(key)] for key in differing([old, new])},
        "code": _code(one, other),
        "environment": _pairs(a.get("environment", {}), b.get("environment", {})),
        **_products(one, other),
        "detections": _detections(one, other),
        "injections": _injections([one, other]),
        "histograms": _histograms(one, other),
    }


def compare_many(versions: Sequence[VersionFolder]) -> list[dict[str, Any]]:
    """A row a version: parameters that differ, and what came out."""
    parameters = [version.parameters for version in versions]
    keys = differing(parameters)
    rows = []
    for version, own in zip(versions, parameters, strict=True):
        row: dict[str, Any] = {"version": version.name, **{key: own.get(key) for key in keys}}
        try:
            row |= _counts(version)
        except StoreError:
            row |= {"sources": None, "detections": None, "injections": None, "recovered": None}
        rows.append(row)
    return rows


def _counts(version: VersionFolder) -> dict[str, Any]:
    injections = version.table("injections", ["recovered"])["recovered"]
    return {
        "sources": len(version.table("sources", ["name"])["name"]),
        "detections": len(version.table("detections", ["snr"])["snr"]),
        "injections": len(injections),
        "recovered": float(np.mean(injections)) if len(injections) else None,
    }


def _pairs(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, list[Any]]:
    return {key: [one.get(key), other.get(key)] for key in differing([one, other])}


# ---- code --------------------------------------------------------------------------------------------------------


def _code(one: VersionFolder, other: VersionFolder) -> dict[str, Any]:
    commits = _pairs(one.manifest["inputs"]["commits"], other.manifest["inputs"]["commits"])
    patches = [_lines(version.folder / "uncommitted.patch") for version in (one, other)]
    diff = difflib.unified_diff(patches[0], patches[1], one.name, other.name, lineterm="", n=1)
    return {
        "commits": commits,
        "between": {name: _log(*pair) for name, pair in commits.items() if all(pair)},
        "modules": changed_modules(code_of_version(one.manifest), code_of_version(other.manifest)),
        "patch": list(diff),
    }


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []


def _log(old: str, new: str) -> list[str] | None:
    """Subjects of the commits from one to the other; None where no repository here knows both."""
    if not (re.fullmatch("[0-9a-f]{40}", old) and re.fullmatch("[0-9a-f]{40}", new)):
        return None  # a record from elsewhere may say anything, and git would take a dash for an option
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    import git

    import retriever

    for folder in (Path(retriever.__file__).parent, Path.cwd()):
        try:
            with git.Repo(folder, search_parent_directories=True) as repo:
                forward = repo.git.log("--format=%h %s", f"{old}..{new}", "--").splitlines()
                backward = repo.git.log("--format=%h %s", f"{new}..{old}", "--").splitlines()
                return [f"+ {line}" for line in forward] + [f"- {line}" for line in backward]
        except (git.exc.GitError, ValueError, OSError):
            continue
    return None


# ---- products ----------------------------------------------------------------------------------------------------


def _products(one: VersionFolder, other: VersionFolder) -> dict[str, Any]:
    """What differs in input data and in outcomes."""
    columns = ["source", "observatory", "stage", "outcome", "digest"]
    a, b = (version.table("products", columns) for version in (one, other))
    first, second = _matched(_keys(a, "source", "observatory", "stage"), _keys(b, "source", "observatory", "stage"))
    stage, observatory = a["stage"][first], a["observatory"][first]
    was, now = a["outcome"][first], b["outcome"][second]
    moved: dict[str, int] = {}
    for index in np.flatnonzero(was != now).tolist():
        word = f"{observatory[index]} {stage[index]}: {was[index]} → {now[index]}"
        moved[word] = moved.get(word, 0) + 1
    raw = stage == "download"
    other_data = raw & (a["digest"][first] != b["digest"][second])
    names = [set(version.table("sources", ["name"])["name"].tolist()) for version in (one, other)]
    return {
        "data": {"same": int((raw & ~other_data).sum()), "other": int(other_data.sum())},
        "sources": {
            "both": len(names[0] & names[1]),
            "only": [sorted(names[0] - names[1]), sorted(names[1] - names[0])],
            "outcomes_changed": moved,
        },
    }


def _keys(table: Mapping[str, Any], *columns: str) -> NDArray[np.object_]:
    """One text for each row, of some columns."""
    joined = table[columns[0]].astype(object)
    for column in columns[1:]:
        joined = joined + "\0" + table[column].astype(str).astype(object)
    return np.asarray(joined, object)


def _matched(one: NDArray[np.object_], other: NDArray[np.object_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows with the same unique key in both."""
    index = {key: row for row, key in enumerate(other.tolist())}
    pairs = [(row, index[key]) for row, key in enumerate(one.tolist()) if key in index]
    rows = np.array(pairs, np.int64).reshape(-1, 2)
    return rows[:, 0], rows[:, 1]


def _detections(one: VersionFolder, other: VersionFolder) -> dict[str, Any]:
    """Detections of the same source that overlap in time, and those that only one version has."""
    columns = ["source", "observatory", "time_first", "time_last", "snr"]
    a, b = (version.table("detections", columns) for version in (one, other))
    keys = [_keys(table, "source", "observatory") for table in (a, b)]
    places: dict[str, list[int]] = {}
    for row, key in enumerate(keys[1].tolist()):
        places.setdefault(key, []).append(row)
    pairs = np.array(
        [(row, match) for row, key in enumerate(keys[0].tolist()) for match in places.get(key, ())], np.int64
    ).reshape(-1, 2)
    first, second = pairs[:, 0], pairs[:, 1]
    overlap = (a["time_first"][first] <= b["time_last"][second]) & (b["time_first"][second] <= a["time_last"][first])
    first, second = first[overlap], second[overlap]
    change = np.abs(b["snr"][second]) - np.abs(a["snr"][first])
    change = change[np.isfinite(change)]
    return {
        "both": len(np.unique(first)),
        "only": [len(a["snr"]) - len(np.unique(first)), len(b["snr"]) - len(np.unique(second))],
        "snr_change": {
            "median": float(np.median(change)) if change.size else None,
            "largest": float(change[np.argmax(np.abs(change))]) if change.size else None,
        },
    }


def recovered_by_amplitude(version: VersionFolder, edges: Any = AMPLITUDES) -> tuple[Any, Any]:
    """Injected and recovered events by |S/N| that was put in, blended ones left out.

    Returns
    -------
    injected, recovered
        Counts, one a bin of `edges`.
    """
    table = version.table("injections", ["snr", "recovered", "blended"])
    clean = ~table["blended"].astype(bool) & np.isfinite(table["snr"])
    height, found = np.abs(table["snr"][clean]), table["recovered"][clean].astype(bool)
    return np.histogram(height, edges)[0], np.histogram(height[found], edges)[0]


def _injections(versions: Sequence[VersionFolder]) -> list[dict[str, Any]]:
    counts = [recovered_by_amplitude(version) for version in versions]
    return [
        {
            "snr": [float(AMPLITUDES[k]), float(AMPLITUDES[k + 1]) if np.isfinite(AMPLITUDES[k + 1]) else None],
            "injected": [int(injected[k]) for injected, _ in counts],
            "recovered": [float(found[k] / injected[k]) if injected[k] else None for injected, found in counts],
        }
        for k in range(AMPLITUDES.size - 1)
        if any(injected[k] for injected, _ in counts)
    ]


def _histograms(one: VersionFolder, other: VersionFolder) -> dict[str, float | None]:
    """Largest distance between the cumulative distributions of each score (Kolmogorov–Smirnov), good epochs."""
    found: dict[str, float | None] = {}
    for score in _SCORES:
        distributions = [_distribution(version, score) for version in (one, other)]
        if any(counts is None or counts.sum() == 0 for counts in distributions):
            found[score] = None
            continue
        cumulative = [np.cumsum(counts) / counts.sum() for counts in distributions if counts is not None]
        found[score] = float(np.max(np.abs(cumulative[0] - cumulative[1])))
    return found


def _distribution(version: VersionFolder, score: str) -> NDArray[np.int64] | None:
    import h5netcdf

    try:
        with h5netcdf.File(version.folder / "histograms.nc", "r") as file:
            counts = np.asarray(file[score][1])
    except (OSError, KeyError):
        return None
    return np.asarray(counts.sum(axis=tuple(range(1, counts.ndim))))


# ---- for people --------------------------------------------------------------------------------------------------


def compare_text(found: Mapping[str, Any]) -> str:
    """A comparison of two versions for people."""
    lines = [f"{found['versions'][0]} → {found['versions'][1]}"]
    lines += [f"  {key}: {_shown(a)} → {_shown(b)}" for key, (a, b) in found["parameters"].items()]
    code = found["code"]
    for name, (a, b) in code["commits"].items():
        lines.append(f"commit of {name}: {a[:12] or 'none'} → {b[:12] or 'none'}")
        between = code["between"].get(name)
        lines += [f"  {line}" for line in between or []]
        if between is None:
            lines.append("  (no repository here knows both commits)")
    lines += [f"code of {module} differs" for module in code["modules"]]
    if code["patch"]:
        lines.append(f"uncommitted changes differ in {len(code['patch'])} lines")
    lines += [f"environment: {key} {_shown(a)} → {_shown(b)}" for key, (a, b) in found["environment"].items()]
    data, sources = found["data"], found["sources"]
    lines.append(f"raw data: {data['same']} the same, {data['other']} another")
    only = [len(names) for names in sources["only"]]
    lines.append(f"sources: {sources['both']} in both, {only[0]} only in the first, {only[1]} only in the second")
    lines += [f"  {word}: {count}" for word, count in sources["outcomes_changed"].items()]
    detections = found["detections"]
    lines.append(
        f"detections: {detections['both']} in both, {detections['only'][0]} only in the first, "
        f"{detections['only'][1]} only in the second"
    )
    if detections["snr_change"]["median"] is not None:
        change = detections["snr_change"]
        lines.append(f"  change of |S/N|: median {change['median']:+.3g}, largest {change['largest']:+.3g}")
    if found["injections"]:
        lines.append("recovered injections by amplitude (S/N):")
    for row in found["injections"]:
        high = "" if row["snr"][1] is None else f"{row['snr'][1]:g}"
        shares = " → ".join("none" if share is None else f"{100 * share:.1f} %" for share in row["recovered"])
        lines.append(f"  {row['snr'][0]:g} to {high or 'above'}: {shares} of {' → '.join(map(str, row['injected']))}")
    for score, distance in found["histograms"].items():
        if distance is not None:
            lines.append(f"distribution of {score}: distance {distance:.4f}")
    return "\n".join(lines)


def many_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """Versions as a table: a row each."""
    if not rows:
        return "no versions"
    names = list(rows[0])
    cells = [names, *([_shown(row[name]) for name in names] for row in rows)]
    widths = [max(len(line[k]) for line in cells) for k in range(len(names))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in cells)


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)

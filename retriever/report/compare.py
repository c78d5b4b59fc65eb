"""What differs between versions, from their folders alone."""

import difflib
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from retriever.arrays import Array, Floats, Rows
from retriever.errors import StoreError
from retriever.report.compare_search import compare_searches, overall_completeness, searches_text
from retriever.report.histograms import good_epochs_by_score
from retriever.report.matching import Agreement, agreement, all_pairs, counts, pairs, row_ids, split_by_value
from retriever.report.parameters import NOT_COMPARABLE, changed_modules, code_of_version, differing, is_comparable
from retriever.report.tables import result_digest
from retriever.report.verdicts import counts_of_verdicts, read_verdicts, verdict_words
from retriever.report.versions import VersionFolder
from retriever.schema import Columns

__all__ = [
    "AMPLITUDES",
    "compare_many",
    "compare_text",
    "compare_two",
    "detections_of_one",
    "many_text",
    "recovered_by_amplitude",
]

AMPLITUDES = np.array([0.0, 3.0, 5.0, 7.0, 10.0, 15.0, 20.0, np.inf])
"""Edges of the bins of injected amplitude, in S/N."""


def compare_two(first: VersionFolder, second: VersionFolder) -> dict[str, object]:
    """Compare two versions.

    Numbers that differ by no more than `retriever.report.matching.TOLERANCE` are counted apart from those that differ
    by more.

    Returns
    -------
    dict
        `identical` and `digests` (of all tables of results), `parameters` (address to both values), `code`,
        `environment`, `data`, `sources`, `rows` (of detections and of injections), `detections`, `injections`,
        `search` (see `retriever.report.compare_search`), `histograms`; plain data.

    Raises
    ------
    StoreError
        When a folder lacks its manifest or its tables.
    """
    a, b = first.manifest, second.manifest
    digests = [result_digest(version.folder) for version in (first, second)]
    return {
        "versions": [first.name, second.name],
        "identical": digests[0] == digests[1],
        "digests": digests,
        "parameters": _pairs(first.parameters, second.parameters),
        "code": _code(first, second),
        "environment": _pairs(a.get("environment", {}), b.get("environment", {})),
        **_products(first, second),
        "rows": {
            "detections": _events(first, second, "detections"),
            "injections": _events(first, second, "injections"),
        },
        "detections": _detections(first, second),
        "injections": _injections([first, second]),
        "search": compare_searches([first, second]),
        "histograms": _histograms(first, second),
    }


def compare_many(versions: Sequence[VersionFolder]) -> list[dict[str, object]]:
    """A row a version: parameters that differ, and what came out."""
    parameters = [version.parameters for version in versions]
    keys = differing(parameters)
    rows = []
    for version, own in zip(versions, parameters, strict=True):
        row: dict[str, object] = {"version": version.name, **{key: own.get(key) for key in keys}}
        try:
            row |= _counts(version)
        except StoreError:
            row |= {"sources": None, "detections": None, "injections": None, "recovered": None, "completeness": None}
        rows.append(row)
    return rows


def _counts(version: VersionFolder) -> dict[str, object]:
    injections = version.table("injections", ["recovered"])["recovered"]
    return {
        "sources": len(version.table("sources", ["name"])["name"]),
        "detections": len(version.table("detections", ["snr"])["snr"]),
        "injections": len(injections),
        "recovered": float(np.mean(injections)) if len(injections) else None,
        "completeness": overall_completeness(version),
    }


def _pairs(before: Mapping[str, object], after: Mapping[str, object]) -> dict[str, list[Any]]:
    return {key: [before.get(key), after.get(key)] for key in differing([before, after])}


# ---- code --------------------------------------------------------------------------------------------------------


def _code(first: VersionFolder, second: VersionFolder) -> dict[str, object]:
    commits = _pairs(first.manifest["inputs"]["commits"], second.manifest["inputs"]["commits"])
    patches = [_lines(version.folder / "uncommitted.patch") for version in (first, second)]
    diff = difflib.unified_diff(patches[0], patches[1], first.name, second.name, lineterm="", n=1)
    hashes = [code_of_version(version.manifest) for version in (first, second)]
    return {
        "commits": commits,
        "between": {name: _log(*pair) for name, pair in commits.items() if all(pair)},
        "comparable": is_comparable(*hashes),
        "modules": changed_modules(*hashes),
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


def _products(first: VersionFolder, second: VersionFolder) -> dict[str, object]:
    """What differs in input data and in outcomes."""
    columns = ["source", "observatory", "stage", "outcome", "digest"]
    a, b = (version.table("products", columns) for version in (first, second))
    of_a, of_b = pairs(*row_ids([a, b], ["source", "observatory", "stage"]))
    stage, observatory = a["stage"][of_a], a["observatory"][of_a]
    was, now = a["outcome"][of_a], b["outcome"][of_b]
    moved: dict[str, int] = {}
    for index in np.flatnonzero(was != now).tolist():
        word = f"{observatory[index]} {stage[index]}: {was[index]} → {now[index]}"
        moved[word] = moved.get(word, 0) + 1
    digests = a["digest"][of_a], b["digest"][of_b]
    fetched = (stage == "download") & ((digests[0] != "") | (digests[1] != ""))
    changed = fetched & (digests[0] != digests[1])
    within = _within(first, second, {key: a[key][of_a[changed]] for key in ("source", "observatory")})
    names = [set(version.table("sources", ["name"])["name"].tolist()) for version in (first, second)]
    return {
        "data": {
            "same": int(np.count_nonzero(fetched & ~changed)),
            "within_1e-12": within,
            "other": int(np.count_nonzero(changed)) - within,
        },
        "sources": {
            "both": len(names[0] & names[1]),
            "only": [sorted(names[0] - names[1]), sorted(names[1] - names[0])],
            "outcomes_changed": moved,
        },
    }


def _within(first: VersionFolder, second: VersionFolder, changed: Mapping[str, Array]) -> int:
    """How many sources with other raw data have light curves whose rows agree within the tolerance."""
    n = len(changed["source"])
    if n == 0:
        return 0
    a, b = (version.table("lightcurves") for version in (first, second))
    of_a, of_b = pairs(*row_ids([a, b], ["source", "observatory", "number"]))
    ids = row_ids([changed, a, b], ["source", "observatory"])
    size = max(int(own.max(initial=0)) for own in ids) + 1
    n_a, n_b, matched = (np.bincount(own, minlength=size) for own in (ids[1], ids[2], ids[1][of_a]))
    worst = np.zeros(size, np.int8)
    np.maximum.at(worst, ids[1][of_a], agreement(a, b, of_a, of_b))
    agrees = (n_a > 0) & (n_a == n_b) & (n_a == matched) & (worst <= Agreement.WITHIN)
    return int(np.count_nonzero(agrees[ids[0]]))


def _events(first: VersionFolder, second: VersionFolder, table: str) -> dict[str, object]:
    """Events of the same light curve and time of the peak: how their rows agree, and how many only one version has."""
    a, b = (version.table(table) for version in (first, second))
    ids = row_ids([a, b], ["source", "observatory", "lightcurve"])
    of_a, of_b = pairs(*split_by_value(ids, [a["time_peak"], b["time_peak"]]))
    only = [len(a["source"]) - of_a.size, len(b["source"]) - of_b.size]
    return {**counts(agreement(a, b, of_a, of_b)), "only": only}


def _detections(first: VersionFolder, second: VersionFolder) -> dict[str, object]:
    """Detections of the same source that overlap in time, and those that only one version has."""
    a, b = (version.table("detections", _OF_DETECTIONS) for version in (first, second))
    of_a, of_b = _overlapping(a, b)
    alone_a, alone_b = (np.setdiff1d(np.arange(len(t["snr"])), of_t) for t, of_t in ((a, of_a), (b, of_b)))
    change = np.abs(b["snr"][of_b]) - np.abs(a["snr"][of_a])
    change = change[np.isfinite(change)]
    return {
        "both": len(np.unique(of_a)),
        "only": [len(alone_a), len(alone_b)],
        "verdicts": {
            "both": _verdicts(second, b, np.unique(of_b)),
            "only": [_verdicts(first, a, alone_a), _verdicts(second, b, alone_b)],
        },
        "snr_change": {
            "median": float(np.median(change)) if change.size else None,
            "largest": float(change[np.argmax(np.abs(change))]) if change.size else None,
        },
    }


_OF_DETECTIONS = (
    "source",
    "observatory",
    "lightcurve",
    "peak",
    "time_first",
    "time_peak",
    "time_last",
    "period",
    "snr",
)


def _overlapping(a: Columns, b: Columns) -> tuple[Rows, Rows]:
    """Pairs of rows of detections of one source that overlap in time."""
    of_a, of_b = all_pairs(*row_ids([a, b], ["source", "observatory"]))
    overlap = (a["time_first"][of_a] <= b["time_last"][of_b]) & (b["time_first"][of_b] <= a["time_last"][of_a])
    return of_a[overlap], of_b[overlap]


def detections_of_one(first: VersionFolder, second: VersionFolder) -> tuple[Columns, Columns]:
    """Detections that only the first version has, and those that only the second has, strongest first."""
    tables = [version.table("detections", _OF_DETECTIONS) for version in (first, second)]
    alone = []
    for table, matched in zip(tables, _overlapping(*tables), strict=True):
        rows = np.setdiff1d(np.arange(len(table["snr"])), matched)
        rows = rows[np.argsort(-np.nan_to_num(np.abs(table["snr"][rows])), kind="stable")]
        alone.append({name: values[rows] for name, values in table.items()})
    return alone[0], alone[1]


def _verdicts(version: VersionFolder, detections: Columns, rows: Rows) -> dict[str, int]:
    """What people said of some detections of a version."""
    some = {name: values[rows] for name, values in detections.items()}
    return counts_of_verdicts(verdict_words(some, read_verdicts(version.folder.parent)))


def recovered_by_amplitude(version: VersionFolder, edges: Floats = AMPLITUDES) -> tuple[Rows, Rows]:
    """Injected and recovered events by |S/N| that was put in, blended ones left out.

    Returns
    -------
    injected, recovered
        Counts, one a bin of `edges`.
    """
    table = version.table("injections", ["snr", "recovered", "blended"])
    clean = ~table["blended"].astype(bool) & np.isfinite(table["snr"])
    height, recovered = np.abs(table["snr"][clean]), table["recovered"][clean].astype(bool)
    return np.histogram(height, edges)[0], np.histogram(height[recovered], edges)[0]


def _injections(versions: Sequence[VersionFolder]) -> list[dict[str, object]]:
    binned = [recovered_by_amplitude(version) for version in versions]
    return [
        {
            "snr": [float(AMPLITUDES[k]), float(AMPLITUDES[k + 1]) if np.isfinite(AMPLITUDES[k + 1]) else None],
            "injected": [int(injected[k]) for injected, _ in binned],
            "recovered": [float(hits[k] / injected[k]) if injected[k] else None for injected, hits in binned],
        }
        for k in range(AMPLITUDES.size - 1)
        if any(injected[k] for injected, _ in binned)
    ]


def _histograms(first: VersionFolder, second: VersionFolder) -> dict[str, float | None]:
    """Largest distance between the cumulative distributions of each score (Kolmogorov–Smirnov), good epochs.

    None for a score that one of them lacks, or has with other bins.
    """
    one, other = (good_epochs_by_score(version.folder) for version in (first, second))
    distances: dict[str, float | None] = {}
    for score in dict.fromkeys([*one, *other]):
        distances[score] = None
        if score not in one or score not in other:
            continue
        (counts, edges), (other_counts, other_edges) = one[score], other[score]
        if counts.sum() and other_counts.sum() and np.array_equal(edges, other_edges, equal_nan=True):
            cumulative = np.cumsum(counts) / counts.sum(), np.cumsum(other_counts) / other_counts.sum()
            distances[score] = float(np.max(np.abs(cumulative[0] - cumulative[1])))
    return distances


# ---- for people --------------------------------------------------------------------------------------------------


def compare_text(comparison: Mapping[str, Any]) -> str:
    """A comparison of two versions for people."""
    lines = [f"{comparison['versions'][0]} → {comparison['versions'][1]}"]
    if comparison["identical"]:
        lines.append(f"identical: all tables have the digest {comparison['digests'][0]}")
    lines += [f"  {key}: {_shown(a)} → {_shown(b)}" for key, (a, b) in comparison["parameters"].items()]
    code = comparison["code"]
    for name, (a, b) in code["commits"].items():
        lines.append(f"commit of {name}: {a[:12] or 'none'} → {b[:12] or 'none'}")
        between = code["between"].get(name)
        lines += [f"  {line}" for line in between or []]
        if between is None:
            lines.append("  (no repository here knows both commits)")
    lines += [f"code of {module} differs" for module in code["modules"]]
    if not code["comparable"]:
        lines.append(NOT_COMPARABLE)
    if code["patch"]:
        lines.append(f"uncommitted changes differ in {len(code['patch'])} lines")
    lines += [f"environment: {key} {_shown(a)} → {_shown(b)}" for key, (a, b) in comparison["environment"].items()]
    data, sources = comparison["data"], comparison["sources"]
    lines.append(_data_text(data))
    only = [len(names) for names in sources["only"]]
    lines.append(f"sources: {sources['both']} in both, {only[0]} only in the first, {only[1]} only in the second")
    lines += [f"  {word}: {count}" for word, count in sources["outcomes_changed"].items()]
    detections = comparison["detections"]
    lines.append(
        f"detections that overlap in time: {detections['both']} in both, {detections['only'][0]} only in the first, "
        f"{detections['only'][1]} only in the second"
    )
    if detections["snr_change"]["median"] is not None:
        change = detections["snr_change"]
        lines.append(f"  change of |S/N|: median {change['median']:+.3g}, largest {change['largest']:+.3g}")
    verdicts = detections["verdicts"]
    named = {
        "in both": verdicts["both"],
        "only in the first": verdicts["only"][0],
        "only in the second": verdicts["only"][1],
    }
    lines += [
        f"  judged {where}: {', '.join(f'{number} {word}' for word, number in counted.items())}"
        for where, counted in named.items()
        if counted
    ]
    lines += [_rows_text(name, counted) for name, counted in comparison["rows"].items()]
    if comparison["injections"]:
        lines.append("recovered injections by amplitude (S/N):")
    for row in comparison["injections"]:
        high = "" if row["snr"][1] is None else f"{row['snr'][1]:g}"
        shares = " → ".join("none" if share is None else f"{100 * share:.1f} %" for share in row["recovered"])
        lines.append(f"  {row['snr'][0]:g} to {high or 'above'}: {shares} of {' → '.join(map(str, row['injected']))}")
    lines += searches_text(comparison["search"])
    for score, distance in comparison["histograms"].items():
        if distance is not None:
            lines.append(f"distribution of {score}: distance {distance:.4f}")
    return "\n".join(lines)


def _data_text(data: Mapping[str, int]) -> str:
    text = f"raw data: the same for {data['same']} sources, different for {data['within_1e-12'] + data['other']}"
    if data["within_1e-12"]:
        text += f" (of these {data['within_1e-12']} have light curves that agree within 1e-12)"
    return text


def _rows_text(name: str, counted: Mapping[str, Any]) -> str:
    only = counted["only"]
    return (
        f"{name} of the same peak: {counted['same']} equal bit for bit, {counted['within_1e-12']} equal within 1e-12, "
        f"{counted['other']} different; {only[0]} only in the first, {only[1]} only in the second"
    )


def many_text(rows: Sequence[Mapping[str, object]]) -> str:
    """Versions as a table: a row each."""
    if not rows:
        return "no versions"
    names = list(rows[0])
    cells = [names, *([_shown(row[name]) for name in names] for row in rows)]
    widths = [max(len(line[k]) for line in cells) for k in range(len(names))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in cells)


def _shown(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)

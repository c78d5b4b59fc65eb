"""Pinning, removing and cleaning up after versions, and the database made anew from what lies on disk."""

import json
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from retriever.errors import StoreError
from retriever.report.verdicts import read_verdicts
from retriever.report.versions import VersionFolder, version_names
from retriever.schema import Columns
from retriever.store import history
from retriever.store.batch import StageSpec
from retriever.store.database import Database
from retriever.store.files import write_text
from retriever.store.garbage import Garbage, find_garbage
from retriever.store.publishing import add_sources, stage_ids
from retriever.store.upkeep import (
    OnProgress,
    no_progress,
    refuse_while_running,
    register_orphans,
    segments_on_disk,
    unknown_segments,
)
from retriever.store.verdicts import index_verdicts

__all__ = ["index_versions", "pin", "rebuild", "register_all", "remove", "renew", "unneeded", "unpin"]


def pin(version: VersionFolder, why: str) -> None:
    """Pin a version: it cannot be removed until it is unpinned."""
    record = {"why": why, "pinned": datetime.now(UTC).isoformat(timespec="seconds")}
    try:
        write_text(version.folder.parent, version.folder / "pinned.json", json.dumps(record, indent=2) + "\n")
    except OSError as error:
        raise StoreError(f"cannot write into {version.folder}: {error.strerror}; may you write there?") from error


def unpin(version: VersionFolder) -> None:
    """Take a pin away."""
    (version.folder / "pinned.json").unlink(missing_ok=True)


def remove(version: VersionFolder, database: Database) -> None:
    """Remove a version: its folder and what the database says of it. Its products stay until they are collected.

    Raises
    ------
    StoreError
        When it is pinned, or a run is at work.
    """
    if version.is_pinned:
        raise StoreError(f"{version.name} is pinned; unpin it first with: retriever pin {version.name} --off")
    refuse_while_running(database, "remove a version")
    try:
        # the manifest goes last: a folder without one is no version, and a crash before leaves one to remove again
        for path in sorted(version.folder.iterdir(), key=lambda path: path.name == "version.json"):
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        version.folder.rmdir()
    except OSError as error:
        raise StoreError(f"cannot remove {version.folder}: {error.strerror or error}") from error
    history.remove_version(database, version.name)


def unneeded(outputs: Path, data: Path, database: Database, raw: bool) -> list[Garbage]:
    """Files that no version needs: products of removed versions, superseded ones, and orphans.

    A version needs the stages of its manifest, and the segments that its tables name.
    """
    folders = [VersionFolder(outputs / name) for name in version_names(outputs)]
    used, mentioned = set[str](), set[str]()
    for version in folders:
        used |= {key for stages in version.manifest["inputs"]["stage_keys"].values() for key in stages.values()}
        if version.has_tables:
            mentioned |= set(version.segments["segment"].tolist())
    roots = {"data": data, "outputs": outputs}
    return find_garbage(database, roots, used_keys=used, mentioned=mentioned, raw=raw)


def renew(outputs: Path, data: Path, database: Database) -> None:
    """Fill a database that an older retriever had made, from files."""
    if database.outdated:
        rebuild(outputs, data, database)
        database.outdated = False


def rebuild(outputs: Path, data: Path, database: Database, *, on_progress: OnProgress = no_progress) -> dict[str, int]:
    """Make the database anew from segments, version folders and verdicts; gives the number of each.

    Raises
    ------
    StoreError
        When a run is at work.
    """
    refuse_while_running(database, "rebuild the database")
    database.clear()
    database.keep_folders(outputs, data)
    segments = register_all(outputs, data, database, run="rebuild", on_progress=on_progress)
    versions = index_versions(outputs, database, version_names(outputs))
    verdicts = index_verdicts(database, map(asdict, read_verdicts(outputs)))
    return {"segments": segments, "versions": versions, "verdicts": verdicts}


def register_all(
    outputs: Path, data: Path, database: Database, run: str, *, on_progress: OnProgress = no_progress
) -> int:
    """Make all segments on disk count that the database does not know; gives their number."""
    roots = {"data": data, "outputs": outputs}
    unknown = unknown_segments(database, segments_on_disk(roots), roots)
    return register_orphans(database, unknown, roots, run, on_progress=on_progress)


def index_versions(outputs: Path, database: Database, names: Iterable[str]) -> int:
    """Write versions down in the database as their folders say: stages, runs, sources. Gives their number."""
    count = 0
    for version in sorted((VersionFolder(outputs / name) for name in names), key=lambda version: version.created):
        name, inputs = version.name, version.manifest["inputs"]
        ids = stage_ids(database, _specs(version))
        number = history.record_version(
            database,
            name,
            version.manifest["hash"],
            str(inputs["project"]["name"]),
            dict(inputs),
            ids.values(),
            version.created,
        )
        history.record_runs(database, number, _runs(version.folder))
        if (version.folder / "sources.parquet").exists():
            add_sources(database, _sources(version))
        count += 1
    return count


def _specs(version: VersionFolder) -> list[StageSpec]:
    surveys = version.manifest.get("surveys", {})
    return [
        StageSpec(key=key, stage=stage, observatory=name, survey=surveys.get(name, ""))
        for name, stages in version.manifest["inputs"]["stage_keys"].items()
        for stage, key in stages.items()
    ]


def _runs(folder: Path) -> list[dict[str, object]]:
    runs = []
    for path in sorted(folder.glob("runs/*/summary.json")):
        try:
            summary = json.loads(path.read_text(encoding="utf-8"))
            name = path.parent.name
            started = datetime.strptime(name.partition("-")[0], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
            state = summary["state"]
        except (OSError, ValueError, KeyError, TypeError):
            continue
        ended = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        runs.append({"name": name, "started": started, "ended": ended, "state": state, "summary": summary})
    return runs


def _sources(version: VersionFolder) -> Iterator[dict[str, object]]:
    names = ("name", "digest", "ra", "dec", "epoch", "mag", "band", "aliases")
    columns: Columns = version.table("sources", names)
    rows = zip(*(np.asarray(columns[name]).tolist() for name in names), strict=True)
    decoder = json.JSONDecoder()
    for row in rows:
        yield {**dict(zip(names, row, strict=True)), "aliases": _words(row[-1], decoder)}


def _words(text: str, decoder: json.JSONDecoder) -> list[str]:
    """Texts from JSON strings that follow one another."""
    words, at = [], 0
    while at < len(text):
        word, end = decoder.raw_decode(text, at)
        words.append(word)
        at = end + 1
    return words

"""Exports of a version: which files a format has, each written whole or not at all."""

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from retriever.api.source import LEVELS
from retriever.errors import ConfigError, NotMade, StoreError, nearest
from retriever.exports.nested import warn_of_missing
from retriever.exports.skyportal import SkyPortal
from retriever.exports.tables import FORMATS, write_table

if TYPE_CHECKING:
    from retriever.api.lightcurve import VersionLightcurve
    from retriever.api.source import SourceInVersion
    from retriever.api.version import Version

__all__ = ["ALL_FORMATS", "export"]

_PRIVATE = ("segments", "products")
"""Tables that say where things lie, and are of no use elsewhere unless they are asked for."""


@dataclass(frozen=True, kw_only=True)
class _Job:
    """What is to be written."""

    version: "Version"
    kind: str
    tables: Sequence[str]
    names: Sequence[str] | None
    level: str
    skyportal: SkyPortal
    progress: Callable[[int, int], None]
    missing: Callable[[NotMade], object] | None

    def sources(self, *, by_place: bool = False) -> Iterator["SourceInVersion"]:
        """The sources in the order of the catalog, or of right ascension."""
        table = self.version.table("sources", ["name", "ra"])
        every = range(len(table))
        rows = list(every) if self.names is None else [self.version.source(name).row for name in self.names]
        if by_place:
            degrees = np.floor(table["ra"].to_numpy()[rows] % 360)
            rows = [rows[k] for k in np.argsort(degrees, kind="stable").tolist()]
        for done, source in enumerate(self.version.each_source(rows), 1):
            yield source
            self.progress(done, len(rows))

    def lightcurves(self) -> "Iterator[tuple[SourceInVersion, VersionLightcurve]]":
        """The light curves of all sources, each with its source."""
        for source in self.sources():
            for lightcurve in source.lightcurves(self.level, missing=self.missing):
                yield source, cast("VersionLightcurve", lightcurve)


def export(
    version: "Version", target: Path, kind: str, *, tables: Sequence[str] = (), sources: Sequence[str] | None = None,
    level: str = "processed", skyportal: SkyPortal | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Path]:  # fmt: skip
    """Write a version, or parts of it, in a format of other tools; gives the files.

    Light curves of all sources are those that there are: a warning tells how many sources lack some because a stage
    failed or was not run yet. Of sources that are named, this is an error.

    Parameters
    ----------
    target
        The file or folder, which must not exist.
    kind
        One of `ALL_FORMATS`.
    tables
        Names of tables, for formats of tables; all results where none are named.
    sources
        Names of sources, for light curves; all where none are named.
    level
        Level of light curves; "raw" for the format "hdf5" alone.
    skyportal
        What SkyPortal knows of instruments, filters and groups.
    progress
        Is told how much of how much is done.

    Raises
    ------
    ConfigError
        When the format does not exist, or the target does, or a package is missing.
    NotMade
        When a source that is named has no light curves because a stage failed or was not run yet.
    StoreError
        When the version lacks a table or file, or the target cannot be written.
    """
    if kind not in ALL_FORMATS:
        raise ConfigError(f"there is no format {kind!r}{nearest(kind, ALL_FORMATS)}")
    if level not in LEVELS or (level == "raw" and kind != "hdf5"):
        raise ConfigError(f"light curves of level {level!r} cannot be exported; choose {', '.join(LEVELS[1:])}")
    if target.exists():
        raise ConfigError(f"{target} is there already; choose another name")
    chosen = list(tables) or [name for name in version.tables if name not in _PRIVATE]
    missing: list[NotMade] = []
    job = _Job(
        version=version, kind=kind, tables=chosen, names=sources, level=level, skyportal=skyportal or SkyPortal(),
        progress=progress, missing=missing.append if sources is None else None,
    )  # fmt: skip
    temporary = target.with_name(f".{target.name}.tmp")
    try:
        _clear(temporary)
        temporary.parent.mkdir(parents=True, exist_ok=True)
        _WRITERS[kind](job, temporary)
        temporary.replace(target)
    except OSError as error:
        raise StoreError(f"cannot write {target}: {error.strerror or error}; choose another place") from error
    finally:
        _clear(temporary)
    warn_of_missing(missing)
    return sorted(path for path in target.rglob("*") if path.is_file()) if target.is_dir() else [target]


def _tables(job: _Job, path: Path) -> None:
    if len(job.tables) == 1:
        write_table(job.tables[0], job.version.table(job.tables[0]), path, job.kind)
        return
    path.mkdir()
    for done, name in enumerate(job.tables, 1):
        write_table(name, job.version.table(name), path / f"{name}{FORMATS[job.kind]}", job.kind)
        job.progress(done, len(job.tables))


def _nested(job: _Job, path: Path) -> None:
    from retriever.exports.nested import write_nested

    write_nested(
        job.version, path, level=job.level, names=job.names, progress=job.progress, missing=job.missing
    )  # fmt: skip


def _hats(job: _Job, path: Path) -> None:
    from retriever.exports.hats import write_hats

    nested = path.with_name(f"{path.name}.parquet")
    try:
        _nested(job, nested)
        write_hats(nested, path, job.version.name)
    finally:
        _clear(nested)


def _provenance(job: _Job, path: Path) -> None:
    from retriever.exports.provenance import provenance

    path.write_text(json.dumps(provenance(job.version), indent=1) + "\n", encoding="utf-8")


def _moc(job: _Job, path: Path) -> None:
    from retriever.exports.moc import write_moc

    write_moc(job.version, path)


def _hdf5(job: _Job, path: Path) -> None:
    from retriever.exports.hdf5 import write_per_source

    path.mkdir()
    write_per_source(job.sources(by_place=True), job.version.surveys, path, job.level, job.missing)


def _lightkurve(job: _Job, path: Path) -> None:
    from retriever.exports.lightkurve import write_lightcurves

    path.mkdir()
    write_lightcurves(job.lightcurves(), path)


def _skyportal(job: _Job, path: Path) -> None:
    from retriever.exports.skyportal import write_requests

    write_requests(job.lightcurves(), job.version.surveys, path, job.skyportal)


def _skyportal_hdf5(job: _Job, path: Path) -> None:
    from retriever.exports.skyportal import write_series

    path.mkdir()
    write_series(job.lightcurves(), job.version.surveys, path, job.skyportal)


_WRITERS: dict[str, Callable[[_Job, Path], None]] = {
    **dict.fromkeys(FORMATS, _tables),
    "parquet": _nested,
    "hats": _hats,
    "lightkurve": _lightkurve,
    "hdf5": _hdf5,
    "skyportal": _skyportal,
    "skyportal-hdf5": _skyportal_hdf5,
    "moc": _moc,
    "prov": _provenance,
}

ALL_FORMATS = tuple(_WRITERS)
"""Formats: of tables; of light curves; of the sky that is covered; and of provenance."""


def _clear(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    elif path.exists():
        path.unlink()

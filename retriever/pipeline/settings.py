"""Settings of a run that cannot change its results."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from retriever.client.duration import seconds_of
from retriever.errors import ConfigError

__all__ = ["Paths", "RunSettings", "StoreSettings"]


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """Which part of the work to do now, and when to give up.

    Parameters
    ----------
    stages
        Stages to run; null for all.
    start, stop
        First row of the catalog to work on, and the first not to; null for the end.
    sources
        Names of sources to work on; null for all.
    retry
        Whether to try again what failed in an earlier run.
    max_failures, max_failures_in_a_row
        Stop when more sources failed in this run, in all or one after the other; null for never.
    offline
        Ask no archive: sources without raw data on disk stay pending, and are said to.
    refresh
        Ask archives again for raw data (and catalogs) older than this, as in ``30d``; null for never.
    verbose
        Whether to show tracebacks and the log.
    report
        Whether a run that computed something writes the report of its version; jobs of a sweep never do.
    """

    stages: list[str] | None = None
    start: int = 0
    stop: int | None = None
    sources: list[str] | None = None
    retry: bool = True
    max_failures: int | None = None
    max_failures_in_a_row: int | None = 200
    offline: bool = False
    refresh: str | None = None
    verbose: bool = False
    report: bool = True

    def __post_init__(self) -> None:
        if self.refresh is not None:
            seconds_of(self.refresh, "run.refresh")
        if self.start < 0 or (self.stop is not None and self.stop < self.start):
            raise ConfigError(f"run.start={self.start} and run.stop={self.stop}; give 0 <= start <= stop")

    @property
    def fetched_after(self) -> datetime | None:
        """Raw data that was fetched before this moment is fetched again; None where all counts."""
        if self.refresh is None:
            return None
        return datetime.now(UTC) - timedelta(seconds=seconds_of(self.refresh, "run.refresh"))


@dataclass(frozen=True, kw_only=True)
class StoreSettings:
    """Where the database is.

    Parameters
    ----------
    kind
        "sqlite" or "postgres".
    url
        SQLAlchemy's address of the database, without a password; null for that in the environment variable
        RETRIEVER_DATABASE, and SQLite in the outputs folder where there is none.
    """

    kind: str = "sqlite"
    url: str | None = None

    def __post_init__(self) -> None:
        if self.kind not in ("sqlite", "postgres"):
            raise ConfigError(f"store.kind is {self.kind!r}; choose store=sqlite or store=postgres")

    def address(self, in_environment: str) -> str:
        """The address to open: "" for SQLite in the outputs folder.

        Raises
        ------
        ConfigError
            When PostgreSQL is wanted and nothing says where it is.
        """
        url = self.url or in_environment
        if self.kind == "postgres" and not url.startswith("postgresql"):
            raise ConfigError(
                "store=postgres needs an address; set RETRIEVER_DATABASE=postgresql://user:password@host/name, "
                "or give store.url without a password"
            )
        return url


@dataclass(frozen=True, kw_only=True)
class Paths:
    """Folders.

    Parameters
    ----------
    data
        Raw photometry, shared by all projects.
    outputs
        Everything else that runs make.
    catalogs
        Where downloaded catalogs are kept.
    lightcurves
        Light curves of your own that folder observatories read.
    """

    data: str = "data"
    outputs: str = "outputs"
    catalogs: str = "catalogs"
    lightcurves: str | None = None

    @property
    def data_root(self) -> Path:
        """The data folder, absolute.

        Raises
        ------
        ConfigError
            When it, or a folder above it, is a file.
        """
        return _folder(self.data, "paths.data")

    @property
    def outputs_root(self) -> Path:
        """The outputs folder, absolute.

        Raises
        ------
        ConfigError
            When it, or a folder above it, is a file.
        """
        return _folder(self.outputs, "paths.outputs")


def _folder(text: str, key: str) -> Path:
    path = Path(text).expanduser().absolute()
    for place in (path, *path.parents):
        if place.is_dir():
            break
        if place.exists():
            raise ConfigError(f"{key} is {text}, but {place} is a file; name a folder")
    return path

"""Version folders as they lie on disk: found by name, read with nothing but their files."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from retriever.errors import ConfigError, StoreError
from retriever.graph import GRAPH
from retriever.identity import canonical_hash
from retriever.report.arrow import numpy_array
from retriever.report.parameters import flat_parameters
from retriever.schema import REQUIRED, Columns

if TYPE_CHECKING:
    import pyarrow.parquet as pq

__all__ = ["VersionFolder", "declared_defaults", "find_version", "find_versions", "names_beginning", "version_names"]


@dataclass(frozen=True)
class VersionFolder:
    """A version folder; two copied ones can be compared without any database."""

    folder: Path

    @property
    def name(self) -> str:
        """Name of the folder."""
        return self.folder.name

    @cached_property
    def manifest(self) -> Mapping[str, Any]:
        """What `version.json` says.

        Raises
        ------
        StoreError
            When it is missing or broken.
        """
        path = self.folder / "version.json"
        try:
            manifest = json.loads(path.read_text(encoding="utf-8"))
            if isinstance(manifest["inputs"], dict) and isinstance(manifest["hash"], str):
                return dict(manifest)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StoreError(f"cannot read {path} ({error}); name a version's folder") from error
        raise StoreError(f"{path} is no manifest of a version; name a version's folder")

    @property
    def created(self) -> datetime:
        """When it was made, in UTC; the beginning of time where nothing says so."""
        try:
            return datetime.fromisoformat(self.manifest["created"]).astimezone(UTC)
        except (KeyError, TypeError, ValueError):
            return datetime.fromtimestamp(0, UTC)

    @property
    def surveys(self) -> dict[str, str]:
        """Name of the survey of each observatory of the config."""
        observatories = self.manifest["inputs"]["observatories"]
        return {name: str(node.get("fields", {}).get("survey", name)) for name, node in observatories.items()}

    @property
    def parameters(self) -> dict[str, object]:
        """Parameters by their addresses in the config."""
        return flat_parameters(self.manifest["inputs"])

    @property
    def hash_holds(self) -> bool:
        """Whether the hash is that of the inputs, and the folder's name that of the hash."""
        inputs, digest = self.manifest["inputs"], self.manifest["hash"]
        named = inputs["project"]["name"].upper()
        return canonical_hash(inputs) == digest and self.name in (named, f"{named}_{digest[:12]}")

    @property
    def is_pinned(self) -> bool:
        """Whether somebody pinned it."""
        return (self.folder / "pinned.json").exists()

    @contextmanager
    def open_table(self, name: str) -> Iterator["pq.ParquetFile"]:
        """A table of the version as an open Parquet file.

        Raises
        ------
        StoreError
            When the table is missing or broken, also where that shows on reading.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        path = self.folder / f"{name}.parquet"
        try:
            with pq.ParquetFile(path) as file:
                yield file
        except (OSError, pa.ArrowInvalid) as error:
            raise StoreError(f"cannot read {path} ({error}); run the version again to make its tables anew") from error

    def table(self, name: str, columns: Sequence[str] | None = None) -> Columns:
        """Columns of a table of the version as arrays; text as arrays of objects.

        Raises
        ------
        StoreError
            When the table is missing or broken.
        """
        with self.open_table(name) as file:
            known = set(file.schema_arrow.names)
            wanted = [column for column in columns if column in known] if columns is not None else None
            table = file.read(columns=wanted)
            n = file.metadata.num_rows
        arrays = {key: numpy_array(table[key]) for key in table.column_names}
        return {**arrays, **declared_defaults(name, columns, arrays, n)}

    @property
    def segments(self) -> Columns:
        """Where products lie (`segment` and `source_row`), row for row as in the table of products."""
        name = "segments" if (self.folder / "segments.parquet").exists() else "products"
        return self.table(name, ["segment", "source_row"])

    @property
    def has_tables(self) -> bool:
        """Whether a run has written all tables."""
        return any((self.folder / f"{name}.parquet").exists() for name in ("segments", "products"))


def declared_defaults(name: str, wanted: Sequence[str] | None, known: Mapping[str, object], n: int) -> Columns:
    """Declared columns that a version written before does not have."""
    declared = next((table for table in GRAPH.tables if table.name == name), None)
    if declared is None:
        return {}
    missing = [
        spec
        for spec in declared.columns
        if spec.name not in known and spec.default is not REQUIRED and (wanted is None or spec.name in wanted)
    ]
    return {spec.name: np.full(n, spec.default, dtype=object if spec.kind is str else spec.kind) for spec in missing}


def version_names(outputs: Path) -> list[str]:
    """Names of the version folders in an outputs folder."""
    if not outputs.is_dir():
        return []
    return sorted(path.parent.name for path in outputs.glob("*/version.json") if not path.parent.name.startswith("."))


def names_beginning(word: str, names: Sequence[str]) -> list[str]:
    """Names, and names whose hash, begins with a word."""
    return [name for name in names if word and (name.startswith(word) or name.rpartition("_")[2].startswith(word))]


def find_version(word: str, outputs: Path) -> VersionFolder:
    """The version that a word means: a folder, a name, or the unique beginning of a name or a hash.

    Raises
    ------
    ConfigError
        When there is none, or more than one.
    """
    path = Path(word).expanduser()
    if (path / "version.json").exists():
        return VersionFolder(path.absolute())
    names = version_names(outputs)
    if word in names:
        return VersionFolder(outputs / word)
    possible = names_beginning(word, names)
    if len(possible) == 1:
        return VersionFolder(outputs / possible[0])
    if not possible:
        raise ConfigError(f"there is no version {word!r} in {outputs}; see retriever status")
    raise ConfigError(f"{word!r} may mean {', '.join(possible[:5])}; give more letters")


def find_versions(words: Sequence[str], outputs: Path) -> list[VersionFolder]:
    """The versions that words mean; a word with ``*`` stands for all names that match."""
    by_folder: dict[Path, VersionFolder] = {}
    for word in words:
        if "*" in word:
            matching = [name for name in version_names(outputs) if Path(name).match(word)]
            if not matching:
                raise ConfigError(f"no version in {outputs} matches {word!r}; see retriever status")
            versions = [VersionFolder(outputs / name) for name in matching]
        else:
            versions = [find_version(word, outputs)]
        by_folder |= {version.folder: version for version in versions}
    return list(by_folder.values())

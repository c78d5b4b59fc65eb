"""An outputs folder, opened for reading."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING

from retriever.api.version import Version
from retriever.errors import ConfigError, StoreError, nearest
from retriever.report.versions import VersionFolder, names_beginning, version_names

if TYPE_CHECKING:
    import pandas as pd
    from sqlalchemy.orm import Session

__all__ = ["Archive", "Versions", "open_archive"]


def open_archive(
    outputs: str | os.PathLike[str] | None = None, *, data: str | os.PathLike[str] | None = None
) -> "Archive":
    """Open an outputs folder for reading.

    Nothing is written, locked or asked of a database; a version is read when something of it is asked for.

    Parameters
    ----------
    outputs
        The outputs folder, or the address of a database such as ``postgresql://HOST/NAME``, which says where the
        latest run put its versions; ``$RETRIEVER_OUTPUTS`` where none is given, else ``outputs``.
    data
        The data folder, which holds the raw tables; ``$RETRIEVER_DATA`` where none is given, else ``data``, or what
        the database says.

    Returns
    -------
    Archive
        The folder.

    Raises
    ------
    ConfigError
        When there is no such folder.
    StoreError
        When the database cannot be read, or does not say where versions lie.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     len(open_archive(folder).versions)
    0
    """
    if isinstance(outputs, str) and "://" in outputs:
        from retriever.store.session import folders_of

        known = folders_of(outputs)
        archive = open_archive(known["outputs"], data=data or known["data"])
        return Archive(archive.outputs, archive.data, outputs)
    folder = Path(outputs if outputs is not None else os.environ.get("RETRIEVER_OUTPUTS", "outputs")).expanduser()
    data_folder = Path(data if data is not None else os.environ.get("RETRIEVER_DATA", "data")).expanduser()
    if not folder.is_dir():
        raise ConfigError(f"{folder} is no folder; name the outputs folder of a run")
    if (folder / "version.json").exists():
        raise ConfigError(
            f"{folder} is the folder of a version; open {folder.absolute().parent} and take versions[{folder.name!r}]"
        )
    return Archive(folder.absolute(), data_folder.absolute())


class Archive:
    """An outputs folder and the data folder that belongs to it; `open_archive` makes it.

    Parameters
    ----------
    outputs, data
        The folders.
    database
        Address of the database, where it was opened by that.
    """

    def __init__(self, outputs: Path, data: Path, database: str = "") -> None:
        self.outputs = outputs
        self.data = data
        self._database = database  # may hold a password

    @property
    def versions(self) -> "Versions":
        """The versions in the folder by name, as they are now."""
        return Versions(self.outputs, self.data)

    def session(self, database: str = "") -> "AbstractContextManager[Session]":
        """A session of SQLAlchemy on the database of the folder, which can be read and not changed.

        The mapped classes are in `retriever.store.models`: `Source`, `Version`, `Run`, `Segment` and others.

        Parameters
        ----------
        database
            Its address; where none is given, that by which the archive was opened, or of ``$RETRIEVER_DATABASE``, else
            SQLite in the outputs folder.

        Raises
        ------
        StoreError
            When there is no database, or something is to be written.
        """
        from retriever.store.connection import url_from_environment
        from retriever.store.session import read_session

        return read_session(database or self._database or url_from_environment(), self.outputs)

    @property
    def verdicts(self) -> "pd.DataFrame":
        """What people said of detections, in the order in which they did; see `retriever.report.verdicts.Verdict`.

        Raises
        ------
        StoreError
            When their file cannot be read.
        """
        import pandas as pd

        from retriever.report.verdicts import Verdict, read_verdicts

        columns = [spec.name for spec in fields(Verdict)]
        return pd.DataFrame([asdict(each) for each in read_verdicts(self.outputs)], columns=columns)

    def __repr__(self) -> str:
        return f"<Archive {self.outputs}: {len(self.versions)} versions>"


class Versions:
    """The versions of an outputs folder, as a mapping by name; nothing of them is read before it is asked for.

    A key is a name, or the unique beginning of a name or of a hash.

    Parameters
    ----------
    outputs, data
        The folders.

    Examples
    --------
    >>> versions = Versions(Path("no_such_folder"), Path("data"))
    >>> list(versions), "DEMO_1f3a" in versions
    ([], False)
    """

    def __init__(self, outputs: Path, data: Path) -> None:
        self._outputs, self._data = outputs, data
        self._names = version_names(outputs)

    def __getitem__(self, word: str) -> Version:
        """The version of a name, or of the unique beginning of a name or a hash.

        Raises
        ------
        StoreError
            When there is none, or more than one.
        """
        names = [word] if word in self._names else names_beginning(word, self._names)
        if not names:
            raise StoreError(f"{self._outputs} has no version {word!r}{nearest(word, self._names)}")
        if len(names) > 1:
            raise StoreError(f"{word!r} may mean {', '.join(names[:5])}; give more letters")
        return Version(VersionFolder(self._outputs / names[0]), self._data)

    def __contains__(self, word: object) -> bool:
        return isinstance(word, str) and (word in self._names or len(names_beginning(word, self._names)) == 1)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def keys(self) -> tuple[str, ...]:
        """Names of the versions, sorted."""
        return tuple(self._names)

    def values(self) -> tuple[Version, ...]:
        """The versions, in the order of their names."""
        return tuple(self[name] for name in self._names)

    def items(self) -> tuple[tuple[str, Version], ...]:
        """Names and versions."""
        return tuple((name, self[name]) for name in self._names)

    def __repr__(self) -> str:
        shown = ", ".join(self._names[:5]) + (", ..." if len(self._names) > 5 else "")
        return f"<{len(self._names)} versions in {self._outputs}{': ' * bool(self._names)}{shown}>"

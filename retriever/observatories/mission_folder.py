"""Light curves of TESS or Kepler that lie in a folder, found by the stars that their headers name."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from retriever.arrays import Array
from retriever.fits_folder import archive_files, existing_folder
from retriever.interfaces import NO_RESULT, each
from retriever.observatories.folder import alias_column, other_names, read_files, states_of
from retriever.observatories.requests import constant
from retriever.rawtable import RawPhotometry
from retriever.source import Source, SourceTable

__all__ = ["MissionFolderObservatory"]


@dataclass(frozen=True, kw_only=True)
class MissionFolderObservatory:
    """All files of a star, whatever their names, with all columns and headers.

    Parameters
    ----------
    survey
        Name that the raw data is kept by.
    telescope
        "TESS" or "Kepler", as in the headers.
    folder
        Where the files are; folders below it count too. A file that is new, or changed in size or time, makes its
        source pending.
    """

    survey: str = "TESS"
    telescope: str = "TESS"
    folder: str | None = field(default=None, metadata=NO_RESULT)

    def fetch(self, sources: Sequence[Source]) -> Iterator[RawPhotometry | Exception]:
        """Read each star's files; a star without any has no data."""
        return each(lambda source: self._read(self.request(source)), sources)

    def request(self, source: Source) -> dict[str, object]:
        """Which files are looked for: those whose headers name the star."""
        return {"name": source.name, **other_names(source), "telescope": self.telescope}

    def request_columns(self, sources: SourceTable) -> dict[str, Array]:
        """The requests of a table."""
        telescope = constant(self.telescope, len(sources))
        return {"name": sources.name, **alias_column(sources), "telescope": telescope}

    def states(self, sources: SourceTable) -> list[str]:
        """Names, sizes and times of each star's files."""
        return states_of(sources, self._of, f"{self.folder} has no file of {self.telescope}")

    def _read(self, request: Mapping[str, Any]) -> RawPhotometry:
        return read_files(self._of(request["name"], request.get("aliases", ())), request)

    def _of(self, name: str, aliases: Sequence[str]) -> list[Path]:
        return sorted({path for word in (name, *aliases) for path in self._files.get(word, ())})

    @cached_property
    def _files(self) -> dict[str, list[Path]]:
        folder = existing_folder(self.folder, f"the folder of survey {self.survey}")
        files: dict[str, list[Path]] = {}
        for file in archive_files(folder, self.telescope)[0]:
            files.setdefault(file.name, []).append(file.path)
            files.setdefault(file.number, []).append(file.path)
        return files

"""Light curves that lie in a folder, in files named by their source."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from retriever.errors import ConfigError
from retriever.fits_folder import existing_folder
from retriever.formats import read_table
from retriever.rawtable import RawPhotometry
from retriever.source import Source, SourceTable
from retriever.verbs import NO_RESULT, each

__all__ = ["FolderObservatory", "file_stamp", "read_files"]


@dataclass(frozen=True, kw_only=True)
class FolderObservatory:
    """One file or several a source, of any format that `retriever.formats` reads.

    Parameters
    ----------
    survey
        Name that the raw data is kept by.
    pattern
        Names of the files, with ``{name}`` in the place of the source's name or alias (blanks may be underscores) and
        ``*`` for anything: ``"{name}.csv"``, ``"{name}_*.fits"``.
    folder
        Where the files are. A file that is new, or changed in size or time, makes its source pending.
    """

    survey: str = "FOLDER"
    pattern: str = "{name}.csv"
    folder: str | None = field(default=None, metadata=NO_RESULT)

    def __post_init__(self) -> None:
        if self.pattern.count("{name}") != 1:
            raise ConfigError(
                f"the pattern of survey {self.survey} is {self.pattern!r}; it must have {{name}} in it once"
            )

    def fetch(self, sources: Sequence[Source]) -> Iterator[RawPhotometry | Exception]:
        """Read each source's files; a source without any has no data."""
        return each(self._read, sources)

    def stamps(self, sources: SourceTable) -> list[str]:
        """Names, sizes and times of each source's files."""
        aliases = sources.aliases or ((),) * len(sources)
        files = [self._of(name, other) for name, other in zip(sources.name.tolist(), aliases, strict=True)]
        if not any(files):
            raise ConfigError(
                f"{self.folder} has no file like {self.pattern!r} for any source of the catalog; "
                "check paths.lightcurves and the observatory's pattern"
            )
        return [" ".join(map(file_stamp, paths)) for paths in files]

    def _read(self, source: Source) -> RawPhotometry:
        return read_files(self._of(source.name, source.aliases))

    def _of(self, name: str, aliases: Sequence[str]) -> list[Path]:
        words = {word for one in (name, *aliases) for word in (one, one.replace(" ", "_"))}
        return sorted(path for word in words for path in self._files.get(word, ()))

    @cached_property
    def _files(self) -> dict[str, list[Path]]:
        # the folder is listed and the names are compared: no name of a source ever becomes a path
        folder = existing_folder(self.folder, f"the folder of survey {self.survey}")
        before, after = (re.escape(part).replace(r"\*", ".*") for part in self.pattern.split("{name}"))
        files: dict[str, list[Path]] = {}
        for path in sorted(folder.iterdir()):
            if path.is_file():
                for name in names_in(path.name, re.compile(before), re.compile(after)):
                    files.setdefault(name, []).append(path)
        return files


def names_in(file_name: str, before: re.Pattern[str], after: re.Pattern[str]) -> list[str]:
    """Names of sources that a file may be of: whole words of it between what `before` and `after` match.

    Examples
    --------
    >>> names_in("irsa_X_1.csv", re.compile(".*"), re.compile("[.]csv"))
    ['irsa_X_1', 'X_1', '1']
    """
    n = len(file_name)

    def is_edge(k: int) -> bool:
        return k in (0, n) or not (file_name[k - 1].isalnum() and file_name[k].isalnum())

    starts = [k for k in range(n) if before.fullmatch(file_name, 0, k) and is_edge(k)]
    ends = [k for k in range(1, n + 1) if after.fullmatch(file_name, k) and is_edge(k)]
    words = [file_name[start:end] for start in starts for end in ends if end > start]
    return [word for word in words if word[0].isalnum() or len(starts) == 1]


def read_files(paths: Sequence[Path]) -> RawPhotometry:
    """All tables of a source's files; none when there are no files."""
    return RawPhotometry(
        tables=tuple(read_table(path) for path in paths),
        provenance={"address": "file:", "request": ", ".join(path.name for path in paths)},
    )


def file_stamp(path: Path) -> str:
    """Name, size and time of a file: what changes when its content does."""
    facts = path.stat()
    return f"{path.name}:{facts.st_size}:{facts.st_mtime_ns}"

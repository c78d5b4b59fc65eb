"""Segments of an archive, found by the words that versions name them with."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from retriever.ragged import select_items
from retriever.schema import Tables

__all__ = ["Segments"]

_KEPT = 6
"""Segments that are kept in memory: neighbours in the catalog often lie in the same ones."""


class Segments:
    """Reads products from segments; the last few segments stay in memory.

    Parameters
    ----------
    outputs, data
        The folders in which segments lie.

    Examples
    --------
    >>> Segments(Path("outputs"), Path("data")).path("data/ZTF/photometry/RA000/x.h5").as_posix()
    'data/ZTF/photometry/RA000/x.h5'
    """

    def __init__(self, outputs: Path, data: Path) -> None:
        self.outputs, self.data = outputs, data
        self._read = lru_cache(_KEPT)(_read)

    def path(self, segment: str) -> Path:
        """Path of a segment that a version names."""
        root, _, path = segment.partition("/")
        return (self.data if root == "data" else self.outputs) / path

    def product(self, segment: str, row: int, tables: Sequence[str]) -> Tables:
        """Tables of one source's product, its rows numbered 0; those that the segment has.

        Raises
        ------
        SegmentError
            When the segment is missing, altered or of another format.
        """
        return select_items(self._read(self.path(segment), tuple(tables)), [row])


def _read(path: Path, tables: tuple[str, ...]) -> Tables:
    from retriever.store.segments import read

    contents = read(path, tables)[1]
    for columns in contents.values():
        for column in columns.values():
            column.flags.writeable = False  # what is handed out may be views of what is kept
    return contents

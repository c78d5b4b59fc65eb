"""A catalog from a table of any common format."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from retriever.catalogs.tabular import Loaded, TableCatalog
from retriever.errors import CatalogError
from retriever.formats import read_table
from retriever.interfaces import NO_RESULT

__all__ = ["FileCatalog", "find_catalog"]


@dataclass(frozen=True, kw_only=True)
class FileCatalog(TableCatalog):
    """Sources from a file; see `retriever.formats.read_table` for the formats.

    Parameters
    ----------
    path
        The file: searched in the working directory, then in ``catalogs/``, then among retriever's samples.
    """

    path: str | None = field(default=None, metadata=NO_RESULT)

    def read(self, wanted: Sequence[str]) -> Loaded:
        """Read the wanted columns of the file."""
        path = find_catalog(self.path)
        return Loaded(table=read_table(path, wanted), where=str(path))


def find_catalog(path: str | None) -> Path:
    """A catalog's file: in the working directory, in ``catalogs/``, or among retriever's samples.

    Raises
    ------
    CatalogError
        When there is no such file.
    """
    if not path:
        raise CatalogError("catalog.path is not given; name the catalog's file")
    package = Path(__file__).parents[1]
    places = [Path(), Path("catalogs"), package.parent / "catalogs", package / "sample_catalogs"]
    for place in places:
        file = place / Path(path).expanduser()
        if file.is_file():
            return file
    raise CatalogError(f"there is no catalog {path} in {Path.cwd()} nor in catalogs/; check catalog.path")

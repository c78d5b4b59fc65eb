"""A catalog written into the config."""

from dataclasses import dataclass, field
from typing import Any

from retriever.errors import CatalogError, nearest
from retriever.source import SourceTable

__all__ = ["InlineCatalog"]

_KEYS = ("name", "ra", "dec", "pmra", "pmdec", "parallax", "epoch", "mag", "mag_err", "band", "aliases")


@dataclass(frozen=True, kw_only=True)
class InlineCatalog:
    """A few sources, each given by its name and position.

    Parameters
    ----------
    sources
        Mappings with `name`, `ra` and `dec` (degrees, ICRS), and whatever else a `retriever.source.Source` has.

    Examples
    --------
    >>> len(InlineCatalog(sources=[{"name": "X", "ra": 1, "dec": 2}]).load())
    1
    """

    sources: list[dict[str, Any]] = field(default_factory=list)

    def load(self) -> SourceTable:
        """Make the table of sources."""
        for number, row in enumerate(self.sources):
            for key in row:
                if key not in _KEYS:
                    raise CatalogError(f"catalog.sources[{number}] has an unknown key {key!r}{nearest(key, _KEYS)}")
            for key in ("name", "ra", "dec"):
                if row.get(key) is None:
                    raise CatalogError(f"catalog.sources[{number}] has no {key!r}; give each source a name, ra and dec")
        try:
            return SourceTable.from_columns(
                name=[str(row["name"]) for row in self.sources],
                band=[str(row.get("band") or "") for row in self.sources],
                aliases=[tuple(map(str, row.get("aliases") or ())) for row in self.sources],
                **{
                    key: [
                        float(row[key]) if row.get(key) is not None else _UNKNOWN.get(key, float("nan"))
                        for row in self.sources
                    ]
                    for key in _KEYS[1:-2]
                },
            )
        except (TypeError, ValueError) as error:
            raise CatalogError(f"catalog.sources: {error}; positions and magnitudes are numbers") from None


_UNKNOWN = {"epoch": 2000.0}

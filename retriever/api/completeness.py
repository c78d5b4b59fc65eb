"""How complete and pure a version is, in Python."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from retriever.report.completeness import QUANTITIES, SearchResults, rates_by
from retriever.report.versions import VersionFolder

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = ["Completeness", "completeness_of"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Completeness:
    """Completeness and rates in bins of one quantity or more.

    Attributes
    ----------
    version
        Name of the version.
    by
        The quantities.
    table
        A row a bin; see `retriever.report.completeness.rates_by`.
    """

    version: str
    by: tuple[str, ...]
    table: "pd.DataFrame"

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draw it: a curve with intervals of 68 % for one quantity, a map for two."""
        from retriever.plots import plot_completeness, plot_completeness_map

        if len(self.by) == 1:
            (name,) = self.by
            columns = {key.removeprefix(f"{name}_"): self.table[key].to_numpy() for key in self.table}
            n = len(self.table)
            words = {"quantity": [name] * n, "unit": [QUANTITIES[name].unit] * n}
            return plot_completeness({**columns, **words}, ax, quantity=name)
        return plot_completeness_map(self.table.to_dict("records"), self.by, ax)

    def _repr_html_(self) -> str:
        return self.table._repr_html_()  # type: ignore[no-any-return]


def completeness_of(version: VersionFolder, by: Sequence[str], bins: int, threshold: float) -> Completeness:
    """Completeness and rates of a version.

    Raises
    ------
    ConfigError
        For a quantity that does not exist, or that no injected event has.
    """
    import pandas as pd

    rows = rates_by(SearchResults.read(version), by, bins, threshold)
    return Completeness(version=version.name, by=tuple(by), table=pd.DataFrame(rows))

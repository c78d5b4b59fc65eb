"""Several finders at once."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from retriever.detection import DETECTIONS, Detection
from retriever.errors import ConfigError
from retriever.finders.events import find_in_one
from retriever.interfaces import Finder
from retriever.lifting import find_in_batch
from retriever.lightcurve import Lightcurve
from retriever.lightcurves import LightcurveBatch
from retriever.schema import Columns

__all__ = ["CompositeFinder"]


@dataclass(frozen=True, kw_only=True)
class CompositeFinder:
    """Named finders, each of which searches every light curve; detections say in `finder` whose they are.

    Scores of the first finder keep their names; those of the others end with the name of theirs, as in ``snr_flare``.

    Parameters
    ----------
    finders
        Name to finder.

    Examples
    --------
    >>> from retriever.finders.peak import PeakFinder
    >>> both = CompositeFinder(finders={way: PeakFinder(direction=way) for way in ("brightening", "dip")})
    >>> flux = np.where(np.arange(50) == 20, 900.0, 100.0 + np.sin(7.0 * np.arange(50)))
    >>> lc = Lightcurve.from_columns(band="r", time=np.arange(50.0), flux=flux, flux_err=None, mag=None, mag_err=None)
    >>> scores, (event,) = both.find(lc)
    >>> list(scores), event.finder
    (['snr', 'dmag', 'snr_dip', 'dmag_dip'], 'brightening')
    """

    finders: dict[str, Finder] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.finders:
            raise ConfigError("finder.finders is empty; name one finder or more, as in finder/peak@finder.finders.peak")
        for name in {"low", "high"} & self.finders.keys():
            raise ConfigError(f"finder.finders names {name!r}, as edges of bins are called; choose another name")

    def find(self, lightcurve: Lightcurve) -> tuple[Mapping[str, Any], tuple[Detection, ...]]:
        """Give the scores of all finders, and all detections in order of time."""
        return find_in_one(self, lightcurve)

    def find_many(self, batch: LightcurveBatch) -> tuple[Columns, Columns]:
        """The same as `find`, for all light curves of a batch at once."""
        scores: Columns = {}
        parts: list[Columns] = []
        for name, finder in self.finders.items():
            own, events = find_in_batch(finder, batch)
            scores |= {f"{key}_{name}" if parts else key: column for key, column in own.items()}
            parts.append({**events, "finder": np.full(events["member"].size, name)})
        names = ("member", *(spec.name for spec in DETECTIONS.columns))
        table = {name: np.concatenate([part[name] for part in parts]) for name in names}
        order = np.lexsort((table["finder"], table["peak"], table["member"]))
        return scores, {name: column[order] for name, column in table.items()}

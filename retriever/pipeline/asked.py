"""What was asked for a source before, and how that differs from what is asked now."""

import json
from collections.abc import Mapping

import numpy as np

from retriever.errors import StoreError
from retriever.observatories.requests import request_of
from retriever.pipeline.inventory import Inventory
from retriever.pipeline.recipe import Recipe
from retriever.report.parameters import differing
from retriever.source import SourceTable
from retriever.store.products import NOWHERE
from retriever.store.segments import read

__all__ = ["RequestChanges", "changes_between"]


class RequestChanges:
    """Says of a source what changed in its request since its raw data was fetched.

    Parameters
    ----------
    recipe, sources, inventory
        What is asked now, and what exists.
    """

    def __init__(self, recipe: Recipe, sources: SourceTable, inventory: Inventory) -> None:
        self._recipe, self._sources, self._inventory = recipe, sources, inventory

    def of(self, observatory: str, row: int) -> str:
        """The keys that changed, from what to what; "" where the request of before is not known."""
        source = self._sources.source(row)
        before = self._before(observatory, source.name)
        if before is None:
            return ""
        return changes_between(before, request_of(self._recipe.surveys[observatory].observatory, source))

    def _before(self, observatory: str, name: str) -> Mapping[str, object] | None:
        """The request of the last raw data of a name whose file is there."""
        products = self._inventory.products[observatory]["download"]
        entries = np.flatnonzero((np.array(products.names()) == name) & (products.segment != NOWHERE))
        for entry in entries[::-1].tolist():
            segment = self._inventory.segments.get(int(products.segment[entry]))
            if segment is None:
                continue
            root, path, _, _ = segment
            try:
                index = read(self._recipe.roots[root] / path, ["raw_index"])[1]["raw_index"]
                at = index["source"].tolist().index(int(products.row[entry]))
                asked = json.loads(json.loads(index["provenance"][at])["asked"])
            except (StoreError, KeyError, ValueError):
                return None
            return asked if isinstance(asked, dict) else None
        return None


def changes_between(before: Mapping[str, object], now: Mapping[str, object]) -> str:
    """Keys of two requests that differ, with both values.

    Examples
    --------
    >>> changes_between({"ra": 1.0, "radius": 2.0}, {"ra": 1.5, "radius": 2.0, "bands": ["g"]})
    'bands (absent) → ["g"], ra 1.0 → 1.5'
    """
    return ", ".join(f"{key} {_word(before, key)} → {_word(now, key)}" for key in differing([dict(before), dict(now)]))


def _word(request: Mapping[str, object], key: str) -> str:
    if key not in request:
        return "(absent)"
    value = request[key]
    return value if isinstance(value, str) else json.dumps(value)

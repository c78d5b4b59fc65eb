"""Outputs of the format before: what is used of them, and what is made again.

Raw data was kept by all fields of its observatory and by name and place. What an archive answered then is not asked for
again; later products are made again. Nothing else in the package knows of that format, so that this module can be
deleted when no such data is left.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np

from retriever.identity import Digests, canonical_hash, digest_each, join_digests, pack_digests
from retriever.interfaces import Observatory, describe
from retriever.outcome import Outcome
from retriever.pipeline.cutting import Task
from retriever.pipeline.recipe import DATA_TYPE, Recipe
from retriever.source import SourceTable
from retriever.store import queries
from retriever.store.database import Database
from retriever.store.packing import FORMAT
from retriever.store.products import Packed, Products, latest
from retriever.store.segments import format_of

__all__ = ["WithLegacy", "legacy_inputs", "legacy_key", "recomputed_text"]


def legacy_key(observatory: Observatory) -> str:
    """Key of the download stage in the format before.

    Examples
    --------
    >>> from retriever.observatories.demo import DemoObservatory
    >>> legacy_key(DemoObservatory(epochs=5)) == legacy_key(DemoObservatory(epochs=6))
    False
    """
    described = describe(observatory)["fields"]
    known: Any = observatory
    request = {
        spec.name: described[spec.name]
        for spec in fields(known)
        if spec.name in described and "no_result_with" not in spec.metadata  # addresses did not count
    }
    return canonical_hash({"data_type": DATA_TYPE, "survey": observatory.survey, "request": request})


def legacy_inputs(sources: SourceTable, file_states: Sequence[str] | None) -> Digests:
    """Inputs of raw products in the format before: name and place to 0.1 arcsec, and the state of files."""
    if file_states is None:
        return sources.places
    return join_digests(sources.places, digest_each(state.encode() for state in file_states))


class WithLegacy(Mapping[str, Products]):
    """Products by stage, with answers of the format before ahead of the downloads.

    Parameters
    ----------
    stored
        Products of the present format.
    packed
        Downloads of the format before.
    inputs_before, inputs
        Inputs of the sources' raw products in the format before, and now. An answer with rows counts as one to the
        present request; no rows, or a failure, counts as nothing, and the archive is asked again.
    """

    def __init__(
        self, stored: Mapping[str, Products], packed: Sequence[Packed], inputs_before: Digests, inputs: Digests
    ) -> None:
        self._stored, self._packed, self._before, self._inputs = stored, packed, inputs_before, inputs

    def __getitem__(self, stage: str) -> Products:
        if stage != "download":
            return self._stored[stage]
        return _joined(self._answers(Products.unpack(self._packed)), self._stored[stage])

    def __iter__(self) -> Iterator[str]:
        return iter(self._stored)

    def __len__(self) -> int:
        return len(self._stored)

    def _answers(self, products: Products) -> Products:
        """The products of before under the present inputs; those that do not count are as if never made."""
        entry = latest(self._before, products)
        rows = np.flatnonzero((entry >= 0) & (products.outcome[np.maximum(entry, 0)] == Outcome.DONE))
        inputs = np.zeros(products.inputs.shape, np.uint64)
        outcome = np.full(len(products), Outcome.BLOCKED, np.int8)
        inputs[entry[rows]] = np.frombuffer(pack_digests(self._inputs[rows]), ">u8").reshape(-1, 2)
        outcome[entry[rows]] = Outcome.DONE
        return Products(
            inputs=inputs, digests=products.digests, outcome=outcome, segment=products.segment, row=products.row,
            n_rows=products.n_rows, message=products.message, packed_names=products.packed_names,
        )  # fmt: skip


def _joined(first: Products, second: Products) -> Products:
    """Products of two formats, the later ones last."""
    columns = {
        name: np.concatenate([getattr(first, name), getattr(second, name)])
        for name in ("inputs", "digests", "outcome", "segment", "row", "n_rows")
    }
    message = {**first.message, **{len(first) + entry: text for entry, text in second.message.items()}}
    return Products(message=message, packed_names=[*first.packed_names, *second.packed_names], **columns)


def recomputed_text(recipe: Recipe, tasks: Sequence[Task], database: Database, project: str) -> str:
    """Say in one sentence what a run makes again because a project's last products are of an earlier format.

    Parameters
    ----------
    tasks
        What the run is about to do.
    project
        Name of the project.

    Returns
    -------
    str
        The sentence; "" where nothing is made again for that reason.
    """
    formats = {
        key: format_of(recipe.roots[root] / path)
        for key, (root, path) in queries.last_segments(database, project).items()
        if key[1] in recipe.stages.names and root == "outputs"
    }
    of_before = {key: number for key, number in formats.items() if 0 < number < FORMAT}
    repeated = {(task.observatory, stage) for task in tasks for stage in task.stages} & of_before.keys()
    if not repeated:
        return ""
    concerned = [task for task in tasks if any((task.observatory, stage) in repeated for stage in task.stages)]
    n = np.unique(np.concatenate([task.rows for task in concerned])).size
    stages = [stage for stage in recipe.stages.names if stage in {name for _, name in repeated}]
    numbers = " and ".join(map(str, sorted({of_before[key] for key in repeated})))
    return (
        f"recomputing {', '.join(stages)} of {n} sources: this retriever's keys are those of format {FORMAT}, "
        f"the products on disk of format {numbers}; raw data that holds rows is used as it is"
    )

"""The inventory of a version: its products, which of them count, and the files they lie in."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from retriever.graph import Stage
from retriever.identity import Digests, digest_each, join_digests
from retriever.interfaces import HasFileStates, Observatory
from retriever.observatories.requests import request_digests
from retriever.outcome import Outcome
from retriever.pipeline.legacy import WithLegacy, legacy_inputs, legacy_key
from retriever.pipeline.plan import StageState, States, derive
from retriever.pipeline.recipe import Recipe
from retriever.schema import Columns
from retriever.source import SourceTable
from retriever.store import queries
from retriever.store.batch import Batch
from retriever.store.database import Database
from retriever.store.products import Packed, Products, Stored, made, pack_products, without_made
from retriever.store.publishing import known_stage_ids
from retriever.store.segments import sizes_below

__all__ = ["Inventory", "SegmentRow", "file_states_of", "raw_inputs", "segment_sizes", "take_inventory"]

SegmentRow = tuple[str, str, int, str]
"""Root, path, size, digest of a segment."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Inventory:
    """What counts of a version now.

    Attributes
    ----------
    states
        Observatory and stage to the state of each item.
    products
        Observatory and stage to all products there are of it, superseded ones too.
    segments
        Id to the segments whose files exist.
    stale
        Ids of segments of raw data that are to be fetched again.
    """

    states: States
    products: Mapping[str, Mapping[str, Products]]
    segments: Mapping[int, SegmentRow]
    stale: frozenset[int] = frozenset()


def take_inventory(
    recipe: Recipe,
    sources: SourceTable,
    file_states: Mapping[str, Sequence[str]],
    database: Database | None,
    unknown: Iterable[Batch] = (),
    fetched_after: datetime | None = None,
) -> Inventory:
    """Find out what counts of a version now.

    Parameters
    ----------
    file_states
        States of the sources' files, of those observatories that read files.
    database
        None where there is no database yet.
    unknown
        Segments on disk that the database does not know, to be counted as if it did.
    fetched_after
        Raw data that was fetched before is to be fetched again; None where all counts.
    """
    on_disk = segment_sizes(recipe)
    before = {name: legacy_key(survey.observatory) for name, survey in recipe.surveys.items()}
    keys = [*(spec.key for specs in recipe.specs.values() for spec in specs.values()), *before.values()]
    ids = known_stage_ids(database, keys) if database else {}
    segments: dict[int, SegmentRow] = queries.segments(database, ids.values()) if database and ids else {}
    packed = {key: queries.packed_products(database, ids[key]) if database and key in ids else [] for key in keys}
    orphans = _add_unknown(packed, segments, unknown)
    present = {number: row for number, row in segments.items() if on_disk.get((row[0], row[1])) == row[2]}
    asked = {
        name: raw_inputs(survey.observatory, sources, file_states.get(name)) for name, survey in recipe.surveys.items()
    }
    stored: dict[str, Mapping[str, Products]] = {
        name: Stored({stage: packed[spec.key] for stage, spec in of_stages.items()})
        for name, of_stages in recipe.specs.items()
    }
    for name in (name for name, key in before.items() if packed[key]):
        inputs_before = legacy_inputs(sources, file_states.get(name))
        stored[name] = WithLegacy(stored[name], packed[before[name]], inputs_before, asked[name])
    stale: frozenset[int] = frozenset()
    if fetched_after is not None and database:
        raw = [
            ids[key]
            for name in recipe.surveys
            for key in (recipe.specs[name]["download"].key, before[name])
            if key in ids and name not in file_states
        ]
        stale = frozenset(queries.segments_before(database, raw, fetched_after))

    def memberships(stage: Stage, state: StageState) -> tuple[NDArray[np.int64], NDArray[np.str_]]:
        return _memberships(stage, state, database, orphans)

    return Inventory(
        states=derive(recipe, sources, asked, stored, present, stale, memberships),
        products=stored,
        segments=present,
        stale=stale,
    )


def _add_unknown(
    packed: Mapping[str, list[Packed]], segments: dict[int, SegmentRow], unknown: Iterable[Batch]
) -> dict[int, Batch]:
    """Count segments that the database does not know as if it did; gives them by a number for each."""
    already: dict[str, set[bytes]] = {}
    numbered: dict[int, Batch] = {}
    for number, batch in enumerate(unknown, max(segments, default=0) + 1):
        if batch.stage_key not in packed or batch.file is None:
            continue
        segments[number] = (batch.root, batch.file.path, batch.file.size, batch.file.digest)
        products = packed[batch.stage_key]
        if batch.stage_key not in already:
            already[batch.stage_key] = made(Products.unpack(products))
        products.append(pack_products(without_made(batch.tables["sources"], already[batch.stage_key]), number))
        numbered[number] = batch
    return numbered


def _memberships(
    stage: Stage, state: StageState, database: Database | None, orphans: Mapping[int, Batch]
) -> tuple[NDArray[np.int64], NDArray[np.str_]]:
    """Pairs of a source and a group that it belongs to, as the products of a stage that count say."""
    (table,) = (table for table in stage.tables if any(spec.name == "group" for spec in table.columns))
    done = np.flatnonzero(state.outcome == Outcome.DONE)
    places = zip(state.segment[done].tolist(), state.row[done].tolist(), strict=True)
    place_of = dict(zip(places, done.tolist(), strict=True))
    ids = np.unique(state.segment[done]).tolist()
    chunks: list[tuple[Columns, list[int]]] = []
    if database:
        for chunk in queries.rows(database, table, [number for number in ids if number not in orphans]):
            chunks.append((chunk, chunk["segment_id"].tolist()))
    for number in ids:
        if number in orphans:
            rows = orphans[number].tables[table.name]
            chunks.append(({**rows, "source_row": rows["source"]}, [number] * rows["source"].size))
    source: list[int] = []
    label: list[str] = []
    for chunk, numbers in chunks:
        for number, row, group in zip(numbers, chunk["source_row"].tolist(), chunk["group"].tolist(), strict=True):
            if (number, row) in place_of:
                source.append(place_of[number, row])
                label.append(str(group))
    return np.array(source, np.int64), np.array(label, np.str_)


def segment_sizes(recipe: Recipe) -> dict[tuple[str, str], int]:
    """Sizes in bytes of the segments on disk of a recipe's stages, by root ("data" or "outputs") and path."""
    segments: dict[tuple[str, str], int] = {}
    for specs in recipe.specs.values():
        for spec in specs.values():
            sizes = sizes_below(recipe.root(spec.stage), recipe.folder(spec))
            segments |= {(recipe.stages[spec.stage].root, path): size for path, size in sizes.items()}
    return segments


def file_states_of(recipe: Recipe, sources: SourceTable) -> dict[str, list[str]]:
    """States of the sources' files, of those observatories that read files, by name."""
    return {
        name: list(survey.observatory.states(sources))
        for name, survey in recipe.surveys.items()
        if isinstance(survey.observatory, HasFileStates)
    }


def raw_inputs(observatory: Observatory, sources: SourceTable, file_states: Sequence[str] | None) -> Digests:
    """Inputs of raw products: name and request, and the state of the files where they are read from files."""
    asked = request_digests(observatory, sources)
    return asked if file_states is None else join_digests(asked, digest_each(state.encode() for state in file_states))

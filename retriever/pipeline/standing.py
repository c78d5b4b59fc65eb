"""Where a version stands: its products, what counts of them, and the files they lie in."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from retriever.identity import Digests, digest_each, join_digests
from retriever.observatories.requests import request_digests
from retriever.pipeline.legacy import WithLegacy, legacy_inputs, legacy_key
from retriever.pipeline.plan import SurveyState, derive
from retriever.pipeline.recipe import Recipe
from retriever.source import SourceTable
from retriever.store.batch import Batch
from retriever.store.database import Database
from retriever.store.products import Packed, Products, Stored, made, pack_products, without_made
from retriever.store.segments import sizes_below
from retriever.verbs import HasFileStates, Observatory

__all__ = ["SegmentRow", "Standing", "file_states_of", "raw_inputs", "segment_sizes", "stand"]

SegmentRow = tuple[str, str, int, str]
"""Root, path, size, digest of a segment."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Standing:
    """What counts of a version now.

    Attributes
    ----------
    states
        Observatory to the state of its stages.
    products
        Observatory and stage to all products there are of it, superseded ones too.
    segments
        Id to the segments whose files are there.
    stale
        Ids of segments of raw data that are to be fetched again.
    """

    states: Mapping[str, SurveyState]
    products: Mapping[str, Mapping[str, Products]]
    segments: Mapping[int, SegmentRow]
    stale: frozenset[int] = frozenset()


def stand(
    recipe: Recipe,
    sources: SourceTable,
    file_states: Mapping[str, Sequence[str]],
    database: Database | None,
    unknown: Iterable[Batch] = (),
    fetched_after: datetime | None = None,
) -> Standing:
    """See where a version stands.

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
    ids = database.known_stage_ids(keys) if database else {}
    segments: dict[int, SegmentRow] = database.segments(ids.values()) if database and ids else {}
    packed = {key: database.packed_products(ids[key]) if database and key in ids else [] for key in keys}
    already: dict[str, set[bytes]] = {}
    for number, batch in enumerate(unknown, max(segments, default=0) + 1):
        if batch.stage_key in packed and batch.file is not None:
            segments[number] = (batch.root, batch.file.path, batch.file.size, batch.file.digest)
            products = packed[batch.stage_key]
            known = _known(already, batch.stage_key, products)
            products.append(pack_products(without_made(batch.tables["sources"], known), number))
    present = {number: one for number, one in segments.items() if on_disk.get((one[0], one[1])) == one[2]}
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
            for name, of in recipe.specs.items()
            for key in (of["download"].key, before[name])
            if key in ids and name not in file_states
        ]
        stale = frozenset(database.segments_before(raw, fetched_after))
    return Standing(
        states={name: derive(sources, asked[name], stored[name], present, stale) for name in recipe.specs},
        products=stored,
        segments=present,
        stale=stale,
    )


def _known(already: dict[str, set[bytes]], key: str, products: Sequence[Packed]) -> set[bytes]:
    if key not in already:
        already[key] = made(Products.unpack(products))
    return already[key]


def segment_sizes(recipe: Recipe) -> dict[tuple[str, str], int]:
    """Sizes in bytes of the segments on disk of a recipe's stages, by root ("data" or "outputs") and path."""
    found: dict[tuple[str, str], int] = {}
    for specs in recipe.specs.values():
        for spec in specs.values():
            sizes = sizes_below(recipe.root(spec.stage), recipe.folder(spec))
            found |= {(recipe.root_word(spec.stage), path): size for path, size in sizes.items()}
    return found


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

"""Where a version stands: its products, what counts of them, and the files they lie in."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from retriever.pipeline.plan import SurveyState, derive
from retriever.pipeline.recipe import Recipe
from retriever.source import SourceTable
from retriever.store.batch import Batch
from retriever.store.database import Database
from retriever.store.products import Packed, Products, Stored, made, pack_products, without_made
from retriever.store.segments import sizes_below

__all__ = ["SegmentRow", "Standing", "segment_sizes", "stamps_of", "stand"]

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
    stamps: Mapping[str, Sequence[str]],
    database: Database | None,
    unknown: Iterable[Batch] = (),
    fetched_after: datetime | None = None,
) -> Standing:
    """See where a version stands.

    Parameters
    ----------
    database
        None where there is no database yet.
    unknown
        Segments on disk that the database does not know, to be counted as if it did.
    fetched_after
        Raw data that was fetched before is to be fetched again; None where all counts.
    """
    on_disk = segment_sizes(recipe)
    keys = [spec.key for specs in recipe.specs.values() for spec in specs.values()]
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
    stored = {
        name: Stored({stage: packed[spec.key] for stage, spec in of_stages.items()})
        for name, of_stages in recipe.specs.items()
    }
    stale: frozenset[int] = frozenset()
    if fetched_after is not None and database:
        raw = [
            ids[of["download"].key]
            for name, of in recipe.specs.items()
            if of["download"].key in ids and name not in stamps
        ]
        stale = frozenset(database.segments_before(raw, fetched_after))
    return Standing(
        states={name: derive(sources, stored[name], present, stamps.get(name), stale) for name in recipe.specs},
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


def stamps_of(recipe: Recipe, sources: SourceTable) -> dict[str, list[str]]:
    """What observatories can tell cheaply of the state of their data, by name."""
    found = {}
    for name, survey in recipe.surveys.items():
        stamps = getattr(survey.observatory, "stamps", None)
        if stamps is not None:
            found[name] = list(stamps(sources))
    return found

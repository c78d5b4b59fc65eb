"""Where a version stands: its products, what counts of them, and the files they lie in."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from retriever.errors import StoreError
from retriever.pipeline.plan import SurveyState, derive
from retriever.pipeline.recipe import Recipe
from retriever.source import SourceTable
from retriever.store.batch import Batch, StageSpec, segment_batch
from retriever.store.database import Database
from retriever.store.products import Products, Stored
from retriever.store.segments import sizes_below

__all__ = ["SegmentRow", "Standing", "read_batches", "stamps_of", "stand", "unknown_segments"]

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
    """

    states: Mapping[str, SurveyState]
    products: Mapping[str, Mapping[str, Products]]
    segments: Mapping[int, SegmentRow]


def stand(
    recipe: Recipe,
    sources: SourceTable,
    stamps: Mapping[str, Sequence[str]],
    database: Database | None,
    unknown: Iterable[Batch] = (),
) -> Standing:
    """See where a version stands.

    Parameters
    ----------
    database
        None where there is no database yet.
    unknown
        Segments on disk that the database does not know, to be counted as if it did.
    """
    specs = [spec for of_stages in recipe.specs.values() for spec in of_stages.values()]
    on_disk: dict[tuple[str, str], int] = {}
    for spec in specs:
        sizes = sizes_below(recipe.root(spec.stage), recipe.folder(spec))
        on_disk.update({(word(spec.stage), path): size for path, size in sizes.items()})
    keys = [spec.key for spec in specs]
    ids = database.known_stage_ids(keys) if database else {}
    segments: dict[int, SegmentRow] = database.segments(ids.values()) if database and ids else {}
    packed = {key: database.packed_products(ids[key]) if database and key in ids else [] for key in keys}
    first = max(segments, default=0) + 1
    for number, batch in enumerate(unknown, first):
        if batch.stage_key in packed and batch.file is not None:
            segments[number] = (batch.root, batch.file.path, batch.file.size, batch.file.digest)
            packed[batch.stage_key].append(Products.gaps(batch.tables["sources"], number, packed[batch.stage_key]))
    present = {number: one for number, one in segments.items() if on_disk.get((one[0], one[1])) == one[2]}
    products = {
        name: Stored({stage: packed[spec.key] for stage, spec in of_stages.items()})
        for name, of_stages in recipe.specs.items()
    }
    return Standing(
        states={name: derive(sources, products[name], present, stamps.get(name)) for name in recipe.specs},
        products=products,
        segments=present,
    )


def word(stage: str) -> str:
    """What the root of a stage's segments is called in the database."""
    return "data" if stage == "download" else "outputs"


def unknown_segments(recipe: Recipe, database: Database | None) -> list[tuple[str, Path, str]]:
    """Segments of a recipe's stages on disk that the database does not know, oldest first: root's word, root, path."""
    found: list[tuple[str, Path, str]] = []
    places = {
        (word(spec.stage), recipe.root(spec.stage), recipe.folder(spec))
        for of_stages in recipe.specs.values()
        for spec in of_stages.values()
    }
    for root_word, root, folder in sorted(places):
        known = database.known_paths(root_word) if database else set()
        fresh = set(sizes_below(root, folder)) - known
        in_order = sorted(fresh, key=lambda path: ((root / path).stat().st_mtime_ns, path))
        found += [(root_word, root, path) for path in in_order]
    return found


def read_batches(
    segments: Iterable[tuple[str, Path, str]],
) -> tuple[list[tuple[StageSpec, Batch]], list[str]]:
    """Segments as what their publication would have been, and what is wrong with those that cannot be read."""
    found, troubles = [], []
    for root_word, root, path in segments:
        try:
            found.append(segment_batch(root_word, root, path))
        except StoreError as error:
            troubles.append(str(error))
    return found, troubles


def stamps_of(recipe: Recipe, sources: SourceTable) -> dict[str, list[str]]:
    """What observatories can tell cheaply of the state of their data, by name."""
    found = {}
    for name, survey in recipe.surveys.items():
        stamps = getattr(survey.observatory, "stamps", None)
        if stamps is not None:
            found[name] = list(stamps(sources))
    return found

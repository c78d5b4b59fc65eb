"""What passes between workers and the database. Workers do not import the database."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retriever.store.segments import SegmentFile, digest_in, read

__all__ = ["INDEXED", "Batch", "StageSpec", "segment_batch"]

INDEXED = ("sources", "raw_index", "lightcurves", "detections", "injections", "properties")
"""Tables of a segment that the database indexes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageSpec:
    """A stage of a plan as the database knows it."""

    key: str
    stage: str
    observatory: str
    survey: str
    data_type: str = "photometry"


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What one batch of one stage made: its file (none when every source failed) and the tables to index."""

    stage_key: str
    root: str
    file: SegmentFile | None
    tables: Mapping[str, Mapping[str, Any]]


def segment_batch(root: str, folder: Path, path: str) -> tuple[StageSpec, Batch]:
    """A segment on disk as the batch that its publication would have been, with its stage.

    Raises
    ------
    SegmentError
        When the file is missing or altered.
    """
    story, tables = read(folder / path, INDEXED)
    file = SegmentFile(path=path, digest=digest_in(path), size=(folder / path).stat().st_size)
    words = ("stage", "observatory", "survey", "data_type")
    spec = StageSpec(key=story["stage_key"], **{key: story[key] for key in words})
    return spec, Batch(stage_key=spec.key, root=root, file=file, tables=tables)

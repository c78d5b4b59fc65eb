"""What passes between workers and the database. Workers do not import the database."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from retriever.store.segments import SegmentFile

__all__ = ["Batch", "StageSpec"]


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

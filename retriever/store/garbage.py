"""Files that nothing needs: finding them, and removing them with what the database says of them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from sqlalchemy import select

from retriever.identity import join_digests
from retriever.outcome import Outcome
from retriever.stages.download import RAW_INDEX
from retriever.store import models, queries
from retriever.store.compaction import compact
from retriever.store.database import Database
from retriever.store.products import NOWHERE, Products
from retriever.store.upkeep import OnProgress, Roots, delete_segments, no_progress, segments_on_disk

__all__ = ["Garbage", "collect", "find_garbage"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Garbage:
    """A file that nothing needs: "unused" by any version, "superseded" or an "orphan"."""

    kind: str
    root: str
    path: str
    size: int
    segment_id: int | None = None


def find_garbage(
    database: Database, roots: Roots, *, used_keys: set[str], mentioned: set[str], raw: bool
) -> list[Garbage]:
    """Find files that no version needs.

    Raw data is superseded by later raw data of the same source and the same request. Another product is superseded by
    a later one of the same source, unless it was made from raw data that is not superseded.

    Parameters
    ----------
    used_keys
        Stage keys of all versions there are.
    mentioned
        Segments that versions' tables name, as "root/path".
    raw
        Whether raw data may go too.
    """
    with database.reading() as connection:
        segments = connection.execute(select(models.Segment.__table__)).all()
        stages = {row.id: row.key for row in connection.execute(select(models.Stage.__table__))}
    garbage = []
    on_disk = segments_on_disk(roots)
    current = _Current(database, {row.stage_id for row in segments if row.root == "data"})
    for row in segments:
        if row.root == "data" and not raw:
            continue
        if f"{row.root}/{row.path}" in mentioned:
            continue
        if stages.get(row.stage_id) not in used_keys:
            kind = "unused"
        elif row.id in current.segments(row.stage_id):
            continue
        else:
            kind = "superseded"
        size = on_disk.get((row.root, row.path), 0)
        garbage.append(Garbage(kind=kind, root=row.root, path=row.path, size=size, segment_id=row.id))
    known = {(row.root, row.path) for row in segments}
    for (root, path), size in sorted(on_disk.items()):
        if (root, path) not in known and f"{root}/{path}" not in mentioned and (raw or root != "data"):
            garbage.append(Garbage(kind="orphan", root=root, path=path, size=size))
    return garbage


class _Current:
    """Segments that hold a product which is not superseded, worked out for a stage when it is asked for.

    Parameters
    ----------
    raw_stages
        Ids of the stages of raw data.
    """

    def __init__(self, database: Database, raw_stages: set[int]) -> None:
        self._database, self._raw_stages = database, raw_stages
        self._segments: dict[int, set[int]] = {}

    def segments(self, stage_id: int) -> set[int]:
        """Ids of a stage's segments that hold a product which is not superseded."""
        if stage_id not in self._segments:
            products = queries.products(self._database, stage_id)
            is_raw = stage_id in self._raw_stages
            entries = self._raw_entries(stage_id, products) if is_raw else self._derived_entries(products)
            self._segments[stage_id] = set(products.segment[entries].tolist())
        return self._segments[stage_id]

    def _raw_entries(self, stage_id: int, products: Products) -> list[int]:
        """The last raw product of each source and request."""
        request_at = _requests(self._database, stage_id)
        names, inputs = products.names(), products.input.tolist()
        places = list(zip(products.segment.tolist(), products.row.tolist(), strict=True))
        # earlier formats do not record the request; the input stands for it
        last = {(names[k], request_at.get(places[k], inputs[k])): k for k in _with_file(products)}
        return list(last.values())

    def _derived_entries(self, products: Products) -> list[int]:
        """The last product of each source, and the last of each input that raw data gives."""
        names, inputs = products.names(), products.input.tolist()
        made = _with_file(products)
        last = {names[k]: k for k in made}
        last_of_input = {inputs[k]: k for k in made if inputs[k] in self._inputs}
        return sorted({*last.values(), *last_of_input.values()})

    @cached_property
    def _inputs(self) -> set[bytes]:
        """Inputs of stages of single sources: each current raw product joined with each catalog's row of its source."""
        with self._database.reading() as connection:
            rows_of: dict[str, list[bytes]] = {}
            for name, digest in connection.execute(select(models.Source.name, models.Source.digest)):
                rows_of.setdefault(name, []).append(digest.encode())
        pairs: list[tuple[bytes, bytes]] = []
        for stage_id in self._raw_stages:
            products = queries.products(self._database, stage_id)
            names, digests = products.names(), products.digest.tolist()
            for k in self._raw_entries(stage_id, products):
                pairs += [(digests[k], row) for row in rows_of.get(names[k], ())]
        if not pairs:
            return set()
        raw, rows = (np.array(column, np.bytes_) for column in zip(*pairs, strict=True))
        return set(join_digests(raw, rows).tolist())


def _with_file(products: Products) -> list[int]:
    """Entries of products that lie in a segment."""
    made = (products.outcome == Outcome.DONE) | (products.outcome == Outcome.EMPTY)
    entries: list[int] = np.flatnonzero(made & (products.segment != NOWHERE)).tolist()
    return entries


def _requests(database: Database, stage_id: int) -> Mapping[tuple[int, int], str]:
    """What was asked for each raw product whose record says so, by segment and row."""
    ids = list(queries.segments(database, [stage_id]))
    requests: dict[tuple[int, int], str] = {}
    for chunk in queries.rows(database, RAW_INDEX, ids):
        places = zip(chunk["segment_id"].tolist(), chunk["source_row"].tolist(), strict=True)
        for place, text in zip(places, chunk["provenance"].tolist(), strict=True):
            asked = json.loads(text).get("asked") if text else None
            if asked is not None:
                requests[place] = str(asked)
    return requests


def collect(
    database: Database, roots: Roots, garbage: Sequence[Garbage], *, on_progress: OnProgress = no_progress
) -> None:
    """Remove garbage, and compact the table of products.

    Rows go before files, so that after a crash in between nothing counts whose file is gone.
    """
    ids = [item.segment_id for item in garbage if item.segment_id is not None]
    row_tables = database.row_tables()
    with database.writing() as connection:
        delete_segments(connection, row_tables, ids)
        compact(connection)
    for done, item in enumerate(garbage, 1):
        on_progress(done, len(garbage))
        path = roots[item.root] / item.path
        path.unlink(missing_ok=True)
        for folder in list(path.parents)[:3]:
            if folder == roots[item.root] or not _is_empty(folder):
                break
            folder.rmdir()


def _is_empty(folder: Path) -> bool:
    return folder.is_dir() and not any(folder.iterdir())

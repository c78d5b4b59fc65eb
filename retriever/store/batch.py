"""What passes between workers and the database. Workers do not import the database."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retriever.errors import SegmentError
from retriever.graph import GRAPH, NAME
from retriever.schema import REQUIRED, Column, Columns, Table
from retriever.store.segments import SegmentFile, digest_in, read

__all__ = ["Batch", "StageSpec", "declared_as_json", "segment_batch"]

_KINDS = {kind.__name__: kind for kind in (int, float, bool, str)}


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
    """What one batch of one stage made: its file (none when every item failed) and the tables to index."""

    stage_key: str
    root: str
    file: SegmentFile | None
    tables: Mapping[str, Columns]
    declared: tuple[Table, ...] = ()


def segment_batch(root: str, folder: Path, path: str) -> tuple[StageSpec, Batch]:
    """A segment on disk as the batch that its publication would have been, with its stage.

    Raises
    ------
    SegmentError
        When the file is missing or altered, or says what no segment says.
    """
    manifest, tables = read(
        folder / path, lambda payload: ("sources", *(table.name for table in _declared(payload, path)))
    )
    declared = _declared(manifest, path)
    file = SegmentFile(path=path, digest=digest_in(path), size=(folder / path).stat().st_size)
    words = ("stage", "observatory", "survey", "data_type")
    spec = StageSpec(key=manifest["stage_key"], **{key: manifest[key] for key in words})
    return spec, Batch(stage_key=spec.key, root=root, file=file, tables=tables, declared=declared)


def _declared(manifest: Mapping[str, Any], path: str) -> tuple[Table, ...]:
    """The tables of a segment's stage: as retriever declares them, or as the project's stage did."""
    if "tables" not in manifest and manifest["stage"] in GRAPH.names:
        return GRAPH[manifest["stage"]].tables
    try:
        return tuple(_table(payload) for payload in manifest.get("tables", ()))
    except (KeyError, TypeError, ValueError) as error:
        raise SegmentError(f"segment {path} declares tables that cannot be read; delete it and run again") from error


def declared_as_json(tables: Sequence[Table]) -> list[dict[str, object]]:
    """Tables as plain data, so that a segment can be indexed where its stage is not known."""
    return [
        {
            "name": table.name,
            "columns": [
                [spec.name, spec.kind.__name__, spec.unit, spec.description]
                + ([] if spec.default is REQUIRED else [spec.default])
                for spec in table.columns
            ],
            "order": list(table.order),
            "extensible": table.extensible,
            "exported": table.exported,
        }
        for table in tables
    ]


def _table(payload: Mapping[str, Any]) -> Table:
    names = [payload["name"], *(column[0] for column in payload["columns"])]
    if not all(isinstance(name, str) and NAME.fullmatch(name) for name in names):
        raise ValueError("names of tables and columns are words of a-z, 0-9 and '_'")
    columns = tuple(
        Column(name=name, kind=_KINDS[kind], unit=unit, description=text, default=default[0] if default else REQUIRED)
        for name, kind, unit, text, *default in payload["columns"]
    )
    flags = {key: bool(payload[key]) for key in ("extensible", "exported")}
    return Table(name=payload["name"], columns=columns, order=tuple(payload["order"]), **flags)

"""The list of versions, and the files of a source's products."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from retriever.errors import StoreError
from retriever.outcome import Outcome
from retriever.report.parameters import differing, flat_parameters
from retriever.store import queries
from retriever.store.database import Database

__all__ = ["versions", "versions_text", "where", "where_text"]


def versions(database: Database, outputs: Path) -> list[dict[str, Any]]:
    """All versions of an outputs folder with counts, state, and the parameters that differ within their project."""
    records = queries.versions(database)
    flat = {version["name"]: flat_parameters(version["inputs"]) for version in records}
    differ = {
        project: differing([flat[version["name"]] for version in records if version["project"] == project])
        for project in {version["project"] for version in records}
    }
    return [_version_row(version, flat[version["name"]], differ[version["project"]], outputs) for version in records]


def _version_row(
    version: Mapping[str, Any], flat: Mapping[str, object], keys: list[str], outputs: Path
) -> dict[str, Any]:
    run = version["last_run"] or {}
    summary = run.get("summary") or {}
    return {
        "version": version["name"],
        "project": version["project"],
        "hash": version["hash"],
        "folder": str(outputs / version["name"]),
        "created": _utc(version["created"]).isoformat(timespec="seconds"),
        "state": run.get("state", "never run"),
        "last_run": run.get("name", ""),
        "differs_in": {key: flat.get(key) for key in keys},
        "counts": {
            key: summary.get(key, 0) for key in ("sources", "lightcurves", "detections", "injections", "recovered")
        },
        "outcomes": summary.get("outcomes", {}),
    }


def _utc(moment: datetime) -> datetime:
    """A moment in UTC: SQLite gives it without a time zone, PostgreSQL in that of the session."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def versions_text(rows: list[dict[str, Any]]) -> str:
    """Text of the list of versions."""
    if not rows:
        return "no versions yet; make one with: retriever run"
    lines = []
    for row in rows:
        counts = ", ".join(f"{count} {name}" for name, count in row["counts"].items())
        lines.append(f"{row['version']}  {row['state']}  {row['created']}")
        lines.append(f"    {counts}")
        lines += [f"    {key}={value}" for key, value in row["differs_in"].items()]
    return "\n".join(lines)


def where(database: Database, outputs: Path, data: Path, name: str) -> dict[str, object]:
    """Files and rows of a source's products.

    Raises
    ------
    StoreError
        When nothing is known of such a source.
    """
    names = queries.source_names(database, name) or [name]
    products = [{"source": source, **product} for source in names for product in queries.products_of(database, source)]
    if not products:
        raise StoreError(f"nothing is known of a source {name!r} in {outputs}; see sources.parquet in a version folder")
    rows = []
    for product in products:
        root = data if product["root"] == "data" else outputs
        path = str(root / product["path"]) if product["path"] else ""
        rows.append(
            {
                "source": product["source"],
                "stage": product["stage"],
                "observatory": product["observatory"],
                "outcome": Outcome(product["outcome"]).name.lower(),
                "file": path,
                "there": bool(path) and Path(path).exists(),
                "row": product["source_row"],
                "rows": product["n_rows"],
                "digest": product["digest"],
                "message": product["message"],
                "versions": product["versions"],
            }
        )
    return {"name": name, "products": rows}


def where_text(result: Mapping[str, Any]) -> str:
    """Text of a source's products."""
    lines = []
    for row in result["products"]:
        lines.append(f"{row['source']}  {row['observatory']}  {row['stage']}  {row['outcome']}  {row['rows']} rows")
        if row["file"]:
            lines.append(
                f"    {row['file']}, row {row['row']} of table 'sources'{'' if row['there'] else ' (missing)'}"
            )
        if row["message"]:
            lines.append(f"    {row['message']}")
        lines.append(f"    in {', '.join(row['versions']) or 'no version'}")
    return "\n".join(lines)

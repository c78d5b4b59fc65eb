"""Versions and runs in the database."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from sqlalchemy import delete, insert, select, update

from retriever.store import models
from retriever.store.database import Database

__all__ = ["end_run", "record_runs", "record_version", "remove_version", "start_run"]


def record_version(
    database: Database,
    name: str,
    version_hash: str,
    project: str,
    inputs: dict[str, object],
    stages: Iterable[int],
    created: datetime | None = None,
) -> int:
    """Record a version, created now or at a past time, and the stages it uses; gives its id."""
    with database.writing() as connection:
        row = connection.execute(
            select(models.Version.id, models.Version.hash).where(models.Version.name == name)
        ).first()
        values: dict[str, object] = {"name": name, "hash": version_hash, "project": project, "inputs": inputs}
        if row is None:
            values["created"] = created or datetime.now(UTC)
            number = connection.execute(insert(models.Version).returning(models.Version.id), values).scalar_one()
        else:
            number = row.id
            connection.execute(update(models.Version).where(models.Version.id == number).values(**values))
            connection.execute(delete(models.VersionStage).where(models.VersionStage.version_id == number))
        connection.execute(
            insert(models.VersionStage),
            [{"version_id": number, "stage_id": stage} for stage in sorted(set(stages))],
        )
        return int(number)


def record_runs(database: Database, version_id: int, runs: Sequence[Mapping[str, object]]) -> None:
    """Record past runs that are not in the database: name, started, ended, state, summary."""
    with database.writing() as connection:
        known = set(connection.scalars(select(models.Run.name).where(models.Run.version_id == version_id)))
        rows = [{**run, "version_id": version_id, "host": "", "pid": 0} for run in runs if run["name"] not in known]
        if rows:
            connection.execute(insert(models.Run), rows)


def start_run(database: Database, name: str, version_id: int, host: str, pid: int, summary: dict[str, object]) -> None:
    """Record the start of a run, with the summary so far."""
    row = {
        "name": name,
        "version_id": version_id,
        "started": datetime.now(UTC),
        "ended": None,
        "state": "running",
        "host": host,
        "pid": pid,
        "summary": summary,
    }
    with database.writing() as connection:
        connection.execute(insert(models.Run), row)


def end_run(database: Database, name: str, state: str, summary: dict[str, object]) -> None:
    """Record how a run ended."""
    with database.writing() as connection:
        connection.execute(
            update(models.Run)
            .where(models.Run.name == name)
            .values(ended=datetime.now(UTC), state=state, summary=summary)
        )


def remove_version(database: Database, name: str) -> None:
    """Delete a version and its runs from the database; its products stay until `retriever gc`."""
    with database.writing() as connection:
        number = connection.scalar(select(models.Version.id).where(models.Version.name == name))
        for model in (models.VersionStage, models.Run):
            connection.execute(delete(model).where(model.__table__.c.version_id == number))
        connection.execute(delete(models.Version).where(models.Version.id == number))

"""Verdicts in the database, where they can be asked for with SQL; the file in the outputs folder is what counts."""

from collections.abc import Iterable, Mapping

from sqlalchemy import insert, select

from retriever.store import models
from retriever.store.database import Database

__all__ = ["index_verdicts"]


def index_verdicts(database: Database, verdicts: Iterable[Mapping[str, object]]) -> int:
    """Enter verdicts that the database does not know; gives their number.

    Parameters
    ----------
    verdicts
        Their columns, as `retriever.store.models.Verdict` has them.

    Raises
    ------
    StoreError
        When the database cannot be written.
    """
    given = {each["id"]: {key: None if value != value else value for key, value in each.items()} for each in verdicts}
    if not given:
        return 0
    with database.writing() as connection:
        known = set(connection.scalars(select(models.Verdict.id)))
        rows = [row for number, row in given.items() if number not in known]
        if rows:
            connection.execute(insert(models.Verdict), rows)
    return len(rows)

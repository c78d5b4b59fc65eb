"""Sessions that read the database with SQLAlchemy's mapped classes."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from retriever.errors import StoreError
from retriever.store.connection import open_engine, reason_of
from retriever.store.database import Database

__all__ = ["read_session"]


@contextmanager
def read_session(url: str, outputs: Path) -> Iterator[Session]:
    """A session in which the database can be read and not changed.

    Parameters
    ----------
    url
        Address of the database; "" for SQLite in the outputs folder.
    outputs
        The outputs folder.

    Raises
    ------
    StoreError
        When there is no database, it cannot be read, or something is to be written.
    """
    if not Database.exists(url, outputs):
        raise StoreError(f"{outputs} has no database; make it anew from the files with: retriever rebuild")
    engine = open_engine(url, outputs)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _refuse_writing)
    try:
        with Session(engine.execution_options(reading=True), autoflush=False) as session:
            yield session
    except SQLAlchemyError as error:
        raise StoreError(f"the database of {outputs} can only be read here: {reason_of(error)}") from error
    finally:
        engine.dispose()


def _refuse_writing(connection: DBAPIConnection, _: object) -> None:
    connection.execute("PRAGMA query_only = ON")

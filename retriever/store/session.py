"""Sessions that read the database with SQLAlchemy's mapped classes."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.orm import Session

from retriever.errors import StoreError
from retriever.store.connection import SQLITE_FILE, open_engine, reason_of
from retriever.store.database import Database, folders_in

__all__ = ["folders_of", "read_session"]


def folders_of(url: str) -> dict[str, str]:
    """The folders "outputs" and "data" that a database says its versions and raw data lie in.

    Raises
    ------
    StoreError
        When the database cannot be read, or does not say.
    """
    try:
        engine = open_engine(url, Path())
    except (ArgumentError, ModuleNotFoundError) as error:
        # the address may hold a password
        raise StoreError("the address of the database cannot be read; write it as postgresql://HOST/NAME") from error
    path = engine.url.database or ""
    try:
        if engine.dialect.name == "sqlite" and not Path(path).is_file():
            raise StoreError(f"there is no database {path!r}; name that of a run, or an outputs folder")
        with engine.connect().execution_options(reading=True) as connection:
            found = folders_in(connection)
    except SQLAlchemyError as error:
        raise StoreError(f"cannot read the database {engine.url!r}: {reason_of(error)}") from error
    finally:
        engine.dispose()
    if not found:
        raise StoreError(f"the database {engine.url!r} does not say where its versions lie; open the outputs folder")
    if Path(path).name == SQLITE_FILE:  # which lies in its outputs folder, also where that is a copy
        found["outputs"] = str(Path(path).parent)
    return found


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

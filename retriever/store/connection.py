"""How the database is reached: its address, and how each kind of it begins a transaction."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from sqlalchemy import Connection, Engine, MetaData, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import SQLAlchemyError

__all__ = [
    "SQLITE_FILE",
    "URL_VARIABLE",
    "drop_everything",
    "open_engine",
    "reason_of",
    "set_aside_if_broken",
    "url_from_environment",
]

SQLITE_FILE = "retriever.db"
"""The database in an outputs folder, where no other is named."""

LOCKED_SECONDS = 60.0
"""How long to wait for an SQLite database that another process writes."""

STALLED_SECONDS = 60.0
"""How long PostgreSQL lets a writer do nothing before it ends the transaction: its process may be stopped."""

URL_VARIABLE = "RETRIEVER_DATABASE"
"""Environment variable with the address of the database, which may hold a password."""


def url_from_environment() -> str:
    """Address of the database where the environment names one, else ""."""
    return os.environ.get(URL_VARIABLE, "")


def open_engine(url: str, outputs: Path) -> Engine:
    """Make the engine of a database; "" is SQLite in the outputs folder."""
    address = _address(url, outputs)
    if address.drivername == "postgresql":  # which driver that means changes with SQLAlchemy
        address = address.set(drivername="postgresql+psycopg2")
    is_sqlite = address.get_backend_name() == "sqlite"
    engine = create_engine(address, pool_pre_ping=not is_sqlite)
    if is_sqlite:
        event.listen(engine, "connect", _configure_sqlite)
    event.listen(engine, "begin", _begin_sqlite if is_sqlite else _begin_elsewhere)
    return engine


def _address(url: str, outputs: Path) -> URL:
    return make_url(url) if url else URL.create("sqlite", database=str(outputs / SQLITE_FILE))


def set_aside_if_broken(url: str, outputs: Path) -> Path | None:
    """Rename the file of an SQLite database that cannot be read, so that a new one can be made in its place.

    Returns
    -------
    Path or None
        The broken file's new name; None when the database can be read, there is none, or it is not SQLite.

    Raises
    ------
    OSError
        When the file cannot be renamed.
    """
    address = _address(url, outputs)
    path = Path(address.database or "")
    if address.get_backend_name() != "sqlite" or not path.is_file() or _is_whole(path):
        return None
    number = next(k for k in range(1, 1_000_000) if not path.with_name(f"{path.name}.broken-{k}").exists())
    aside = path.with_name(f"{path.name}.broken-{number}")
    path.rename(aside)
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    return aside


def _is_whole(path: Path) -> bool:
    """Whether SQLite can read a file, and sees nothing wrong with its pages."""
    try:
        with closing(sqlite3.connect(path, timeout=LOCKED_SECONDS)) as connection:
            return bool(connection.execute("PRAGMA quick_check(1)").fetchone() == ("ok",))
    except sqlite3.DatabaseError as error:
        if _is_broken(error):
            return False
        raise


def _is_broken(error: BaseException | None) -> bool:
    """Whether SQLite says that a file is no database, or a damaged one; not that it is locked or cannot be opened."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT)


def drop_everything(connection: Connection) -> None:
    """Drop all tables, also those of other schemas of retriever."""
    tables = MetaData()
    tables.reflect(connection)
    tables.drop_all(connection)


def reason_of(error: SQLAlchemyError) -> str:
    """What the driver said, in one line; and what to do where the file of an SQLite database is broken."""
    cause = getattr(error, "orig", None)
    text = " ".join(str(cause or error).split())
    return f"{text}; make it anew from data and outputs with: retriever rebuild" if _is_broken(cause) else text


def _configure_sqlite(connection: DBAPIConnection, _: object) -> None:
    # transactions are begun by _begin_sqlite, not by the driver, so that writers wait at their start and never deadlock
    connection.isolation_level = None
    connection.execute(f"PRAGMA busy_timeout = {LOCKED_SECONDS * 1000:.0f}")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA wal_autocheckpoint = 8000")


def _begin_sqlite(connection: Connection) -> None:
    reading = connection.get_execution_options().get("reading", False)
    connection.execute(text("BEGIN" if reading else "BEGIN IMMEDIATE"))


_WRITERS = 0x72657472  # "retr": the number of the lock that writers of a database take turns with


def _begin_elsewhere(connection: Connection) -> None:
    """Let writers of PostgreSQL wait for each other at their start, as those of SQLite do."""
    if connection.get_execution_options().get("reading", False):
        connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"))
    else:
        timeout = round(STALLED_SECONDS * 1000)
        connection.execute(text(f"SET LOCAL idle_in_transaction_session_timeout = {timeout}"))
        connection.execute(text(f"SELECT pg_advisory_xact_lock({_WRITERS})"))

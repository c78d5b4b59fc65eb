"""How the database is reached: its address, and how each kind of it begins a transaction."""

import os
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, MetaData, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import SQLAlchemyError

__all__ = ["URL_VARIABLE", "drop_everything", "open_engine", "reason_of", "url_from_environment"]

URL_VARIABLE = "RETRIEVER_DATABASE"
"""Environment variable with the address of the database, which may hold a password."""


def url_from_environment() -> str:
    """Address of the database where the environment names one, else ""."""
    return os.environ.get(URL_VARIABLE, "")


def open_engine(url: str, outputs: Path) -> Engine:
    """Make the engine of a database; "" is SQLite in the outputs folder."""
    address = make_url(url) if url else URL.create("sqlite", database=str(outputs / "retriever.db"))
    if address.drivername == "postgresql":  # which driver that means changes with SQLAlchemy
        address = address.set(drivername="postgresql+psycopg2")
    is_sqlite = address.get_backend_name() == "sqlite"
    engine = create_engine(address, pool_pre_ping=not is_sqlite)
    if is_sqlite:
        event.listen(engine, "connect", _configure_sqlite)
    event.listen(engine, "begin", _begin_sqlite if is_sqlite else _begin_elsewhere)
    return engine


def drop_everything(connection: Connection) -> None:
    """Drop all tables of retriever's, also those that this one does not know any more."""
    found = MetaData()
    found.reflect(connection)
    found.drop_all(connection)


def reason_of(error: SQLAlchemyError) -> str:
    """What the driver said, in one line."""
    return " ".join(str(getattr(error, "orig", None) or error).split())


def _configure_sqlite(connection: Any, _: Any) -> None:
    # transactions are begun by _begin_sqlite, not by the driver, so that writers wait at their start and never deadlock
    connection.isolation_level = None
    connection.execute("PRAGMA busy_timeout = 60000")
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
        connection.execute(text(f"SELECT pg_advisory_xact_lock({_WRITERS})"))

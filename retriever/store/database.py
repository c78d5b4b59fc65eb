"""The database that indexes segments: opening it, reading and writing transactions."""

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, MetaData, Table, delete, insert, inspect, select, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.schema import CreateColumn

from retriever.errors import SchemaError, StoreError
from retriever.graph import GRAPH
from retriever.store import models
from retriever.store.connection import SQLITE_FILE, drop_everything, open_engine, reason_of
from retriever.store.host import NETWORK_FILE_SYSTEMS, file_system_of

__all__ = ["Database", "folders_in"]


def folders_in(connection: Connection) -> dict[str, str]:
    """Folders that a database says its versions and raw data lie in."""
    wanted = select(models.Meta.key, models.Meta.value).where(models.Meta.key.in_(["outputs", "data"]))
    return {row.key: row.value for row in connection.execute(wanted)}


class Database:
    """The database of one outputs folder, opened and with its tables there.

    Parameters
    ----------
    url
        Of SQLAlchemy's form; "" for SQLite in `outputs`.
    outputs
        The outputs folder.

    Raises
    ------
    StoreError
        When the database cannot be opened.
    SchemaError
        When a newer retriever made it.
    """

    def __init__(self, url: str, outputs: Path) -> None:
        self.engine = open_engine(url, outputs)
        self.close = weakref.finalize(self, self.engine.dispose)
        """Close all connections, at the latest when nobody holds this object any more."""
        self.outdated = False
        """Whether an older retriever had made it, so that it is empty now and must be made anew from files."""
        try:
            outputs.mkdir(parents=True, exist_ok=True)
            self._refuse_network(outputs)
            self._open(outputs)
        except OSError as error:
            raise StoreError(
                f"cannot use the outputs folder {outputs}: {error.strerror}; choose another with paths.outputs"
            ) from error
        except SQLAlchemyError as error:
            raise StoreError(f"cannot open the database {self.engine.url!r}: {reason_of(error)}") from error

    @staticmethod
    def exists(url: str, outputs: Path) -> bool:
        """Whether there is a database to open, as far as can be told without making one."""
        return bool(url) or (outputs / SQLITE_FILE).exists()

    def __enter__(self) -> "Database":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self, outputs: Path) -> None:
        with self.writing() as connection:
            if inspect(connection).has_table("meta"):
                number = int(connection.scalar(select(models.Meta.value).where(models.Meta.key == "schema")) or 0)
                if number > models.SCHEMA:
                    raise SchemaError(
                        f"the database {self.engine.url!r} has schema {number}, known up to {models.SCHEMA}; "
                        "update retriever, or choose other outputs with paths.outputs"
                    )
                if number == models.SCHEMA and self._has_all_columns(connection):
                    models.table_of(models.Verdict).create(connection, checkfirst=True)  # came after the schema
                    return
                self.outdated = True
                drop_everything(connection)
            self._create(connection)

    @staticmethod
    def _has_all_columns(connection: Connection) -> bool:
        """Add declared columns that have a default and are not in the database yet; whether none is missing then."""
        for table in map(models.row_table, GRAPH.tables):
            known = {column["name"] for column in inspect(connection).get_columns(table.name)}
            for column in table.columns:
                if column.name in known:
                    continue
                if column.server_default is None and not column.nullable:
                    return False
                definition = CreateColumn(column).compile(dialect=connection.dialect)
                connection.execute(text(f"ALTER TABLE {table.name} ADD COLUMN {definition}"))
        return True

    def _refuse_network(self, outputs: Path) -> None:
        """SQLite's locks do not hold on network file systems."""
        kind = file_system_of(outputs) if self.engine.dialect.name == "sqlite" else ""
        if kind in NETWORK_FILE_SYSTEMS:
            raise StoreError(
                f"{outputs} lies on a network file system ({kind}), where SQLite cannot be trusted; use store=postgres "
                "or a folder on a local disk"
            )

    @staticmethod
    def _create(connection: Connection) -> None:
        for table in GRAPH.tables:
            models.row_table(table)
        models.Base.metadata.create_all(connection)
        connection.execute(insert(models.Meta), [{"key": "schema", "value": str(models.SCHEMA)}])

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection that sees one state of the database."""
        try:
            with self.engine.connect().execution_options(reading=True) as connection:
                yield connection
        except SQLAlchemyError as error:
            raise StoreError(
                f"cannot read the database {self.engine.url!r}: {reason_of(error)}; see that it is there"
            ) from error

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that nobody else writes in, committed at the end."""
        try:
            with self.engine.begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise StoreError(
                f"cannot write the database {self.engine.url!r}: {reason_of(error)}; nothing was changed"
            ) from error

    def keep_folders(self, outputs: Path, data: Path) -> None:
        """Write down where versions and raw data lie, for those who have the address of the database alone."""
        folders = {"outputs": str(outputs.absolute()), "data": str(data.absolute())}
        if self.folders() == folders:
            return
        with self.writing() as connection:
            connection.execute(delete(models.Meta).where(models.Meta.key.in_(folders)))
            connection.execute(insert(models.Meta), [{"key": key, "value": path} for key, path in folders.items()])

    def folders(self) -> dict[str, str]:
        """The folders "outputs" and "data" of the latest run; empty where none was written down."""
        with self.reading() as connection:
            return folders_in(connection)

    def row_tables(self) -> list[Table]:
        """Tables with rows of products: those of retriever's stages, and those of projects' own."""
        fixed = {mapper.local_table for mapper in models.Base.registry.mappers}
        own = {table.name for table in fixed if isinstance(table, Table)}
        with self.reading() as connection:
            names = sorted(set(inspect(connection).get_table_names()) - own)
            metadata = MetaData()
            metadata.reflect(connection, only=names)
        tables = [metadata.tables[name] for name in names]
        return [table for table in tables if {"segment_id", "row"} <= set(table.c.keys())]

    def clear(self) -> None:
        """Remove all that is in the database; segments and version folders have it all."""
        with self.writing() as connection:
            drop_everything(connection)
            self._create(connection)

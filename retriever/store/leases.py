"""Leases: at most one run at a time makes the products of a stage, and a dead one never blocks the next."""

import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Sequence

from sqlalchemy import delete, insert, select, update

from retriever.errors import StoreError
from retriever.store.database import Database
from retriever.store.host import boot_id, pid_started
from retriever.store.models import Lease

__all__ = ["LeaseHolder", "live_holders"]

HEARTBEAT_SECONDS = 5.0
"""How often a running run counts up its leases."""

DEAD_AFTER_SECONDS = 45.0
"""A run whose counter has not changed for this long, by the waiter's clock, is treated as dead."""


class LeaseHolder:
    """The leases of one run.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with LeaseHolder(Database("", Path(folder)), run="run-1") as leases:
    ...         waited = leases.take(["some key"], on_wait=print)
    >>> waited
    False
    """

    def __init__(self, database: Database, run: str) -> None:
        self._database = database
        self._run = run
        self._stop = threading.Event()
        self._beating: threading.Thread | None = None
        self.tokens: dict[str, str] = {}

    def __enter__(self) -> "LeaseHolder":
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._beating is not None:
            self._beating.join()
        if self.tokens:
            with self._database.writing() as connection:
                connection.execute(delete(Lease).where(Lease.token.in_(list(self.tokens.values()))))
            self.tokens.clear()

    def take(self, keys: Sequence[str], on_wait: Callable[[str], None]) -> bool:
        """Take leases on stages, in their order, waiting while other runs hold them.

        Parameters
        ----------
        keys
            Stage keys, upstream first, so that two runs never wait for each other.
        on_wait
            Told once per wait whom it waits for.

        Returns
        -------
        bool
            Whether it had to wait, so that what was planned before may have been done by somebody else.
        """
        waited = False
        for key in keys:
            if key in self.tokens:
                continue
            seen: tuple[str, int] | None = None
            since = time.monotonic()
            while (holder := self._try(key, dead=time.monotonic() - since > DEAD_AFTER_SECONDS, seen=seen)) is not None:
                token, counter, who = holder
                if (token, counter) != seen:
                    if seen is None or token != seen[0]:
                        on_wait(who)
                    seen, since, waited = (token, counter), time.monotonic(), True
                time.sleep(0.25)
        if self.tokens and self._beating is None:
            self._beating = threading.Thread(target=self._beat, name="lease heartbeat", daemon=True)
            self._beating.start()
        return waited

    def _try(self, key: str, *, dead: bool, seen: tuple[str, int] | None) -> tuple[str, int, str] | None:
        """Take a lease if it is free or its holder is dead; else say who holds it."""
        me = _identity()
        with self._database.writing() as connection:
            row = connection.execute(select(Lease.__table__).where(Lease.key == key).with_for_update()).first()
            if row is not None:
                still = dead and seen == (row.token, row.counter)
                here = row.host == me["host"]
                # one here that is alive and does not count is stopped; if it wakes, its token is not valid any more
                if not still and not (here and not _alive(row.boot, row.pid, row.pid_started)):
                    return row.token, row.counter, f"run {row.run} (process {row.pid} on {row.host})"
                connection.execute(delete(Lease).where(Lease.key == key))
            token = secrets.token_hex(16)
            connection.execute(insert(Lease), {"key": key, "token": token, "run": self._run, "counter": 0, **me})
            self.tokens[key] = token
        return None

    def _beat(self) -> None:
        while not self._stop.wait(HEARTBEAT_SECONDS):
            try:
                with self._database.writing() as connection:
                    mine = Lease.token.in_(list(self.tokens.values()))
                    connection.execute(update(Lease).where(mine).values(counter=Lease.counter + 1))
            except StoreError:
                continue  # the database is away for a while; publishing will say so if it stays away


def live_holders(database: Database) -> list[str]:
    """Runs that are making something now: on this host those that are alive, elsewhere those that hold a lease."""
    with database.reading() as connection:
        rows = connection.execute(select(Lease.__table__)).all()
    here = socket.gethostname()
    return sorted(
        {
            f"run {row.run} (process {row.pid} on {row.host})"
            for row in rows
            if row.host != here or _alive(row.boot, row.pid, row.pid_started)
        }
    )


def _identity() -> dict[str, str | int]:
    return {
        "host": socket.gethostname(),
        "boot": boot_id(),
        "pid": os.getpid(),
        "pid_started": pid_started(os.getpid()),
    }


def _alive(boot: str, pid: int, started: int) -> bool:
    return boot == boot_id() and pid_started(pid) == started

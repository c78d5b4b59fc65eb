"""How often and how much at once a host is asked: one limit for all threads and processes of a user on this machine."""

import os
import random
import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from retriever.errors import StoreError

__all__ = ["HostLimit"]

LONGEST_PAUSE_SECONDS = 3600.0
"""What a file says beyond that is of an earlier boot of this machine, whose clock began anew."""


@dataclass(frozen=True, kw_only=True)
class HostLimit:
    """Slots for calls at once, and a least time between their starts.

    Both are kept in small locked files, since the workers of a run are processes.

    Attributes
    ----------
    host
        Whom the limit is for.
    connections
        Calls at once.
    per_second
        Calls a second; 0 for any number.
    """

    host: str
    connections: int
    per_second: float

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Wait for a slot and for the time to come, and hold the slot."""
        lock = self._free_slot()
        try:
            self._wait_for_turn()
            yield
        finally:
            lock.release()

    def pause(self, seconds: float) -> None:
        """Let nobody ask this host for some time, as it wished."""
        self._reserve(min(seconds, LONGEST_PAUSE_SECONDS))

    def _free_slot(self) -> FileLock:
        folder, first = self._folder(), random.randrange(self.connections)
        while True:
            for k in range(self.connections):
                lock = FileLock(folder / f"slot{(first + k) % self.connections}")
                try:
                    lock.acquire(timeout=0)
                except Timeout:
                    continue
                return lock
            time.sleep(random.uniform(0.005, 0.02))

    def _wait_for_turn(self) -> None:
        wait = self._reserve(0.0)
        if wait > 0:
            time.sleep(wait)

    def _reserve(self, pause: float) -> float:
        """Take the next moment at which a call may start; gives the seconds until then."""
        folder = self._folder()
        with FileLock(folder / "turn.lock"):
            now, path = time.monotonic(), folder / "turn"
            try:
                stored = float(path.read_text())
            except (OSError, ValueError):
                stored = 0.0
            turn = stored if now <= stored <= now + LONGEST_PAUSE_SECONDS else now
            if pause:
                turn, after = now, max(turn, now + pause)
            else:
                after = turn + (1.0 / self.per_second if self.per_second else 0.0)
            path.write_text(repr(after))
        return turn - now

    def _folder(self) -> Path:
        base = Path(tempfile.gettempdir()) / f"retriever-{os.getuid()}"
        folder = base / re.sub(r"[^A-Za-z0-9.-]", "_", self.host)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if base.is_symlink() or base.stat().st_uid != os.getuid():
            raise StoreError(f"{base} belongs to somebody else; remove it, or set TMPDIR to a folder of your own")
        return folder

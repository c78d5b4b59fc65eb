"""Answers that are not yet in a segment, cached on disk: after a kill, the next run does not ask for them again."""

import hashlib
import json
import os
import shutil
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from retriever.errors import StoreError

__all__ = ["Answer", "ResponseCache", "now"]

LONGEST_SECONDS = 7 * 86400.0
"""Answers are cached no longer than that; what is needed of them is in a segment long before."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a host sent, complete.

    Attributes
    ----------
    address
        Scheme, host and path asked, without the query.
    body
        The bytes.
    status
        HTTP status.
    fetched
        UTC, ISO 8601.
    """

    address: str
    body: bytes
    status: int
    fetched: str

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode("utf-8", "replace")


@dataclass(frozen=True, kw_only=True)
class ResponseCache:
    """A folder of answers, with a folder below it for each key.

    Attributes
    ----------
    folder
        The folder; it need not exist.
    max_age_seconds
        Older answers are ignored.
    """

    folder: Path
    max_age_seconds: float

    def get(self, about: str, request: bytes) -> Answer | None:
        """The cached answer to a request; None where there is none."""
        path = self._path(about, request)
        try:
            if time.time() - path.stat().st_mtime > min(self.max_age_seconds, LONGEST_SECONDS):
                path.unlink(missing_ok=True)
                return None
            head, _, body = path.read_bytes().partition(b"\n")
            return Answer(body=body, **json.loads(head))
        except (OSError, ValueError, TypeError):
            return None

    def put(self, about: str, request: bytes, answer: Answer) -> None:
        """Cache an answer. It is written to a temporary file and renamed, so no partial answer is ever read."""
        path = self._path(about, request)
        head = {key: getattr(answer, key) for key in ("address", "status", "fetched")}
        beside = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            beside.write_bytes(json.dumps(head).encode() + b"\n" + answer.body)
            beside.replace(path)
        except OSError as error:
            beside.unlink(missing_ok=True)
            raise StoreError(
                f"cannot write {path}: {error.strerror or error}; free some space and run again"
            ) from error

    def delete(self, about: str) -> None:
        """Delete all answers under one key."""
        shutil.rmtree(self._of(about), ignore_errors=True)

    def sweep(self) -> None:
        """Delete answers that are too old, such as those of a run that was never resumed."""
        for folder in self.folder.glob("*"):
            try:
                if time.time() - folder.stat().st_mtime > LONGEST_SECONDS:
                    shutil.rmtree(folder, ignore_errors=True)
            except OSError:  # another run deleted it just now
                continue

    def _of(self, about: str) -> Path:
        return self.folder / hashlib.sha256(about.encode()).hexdigest()[:32]

    def _path(self, about: str, request: bytes) -> Path:
        return self._of(about) / hashlib.sha256(request).hexdigest()[:32]


def now() -> str:
    """The present moment in UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")

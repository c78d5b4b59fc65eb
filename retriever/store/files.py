"""Files put in place whole or not at all: written beside the place, then renamed into it."""

import secrets
import socket
from os import getpid
from pathlib import Path
from urllib.parse import quote

from retriever.errors import StoreError
from retriever.store.host import pid_started

__all__ = ["remove_leftovers", "safe_name", "temporary_path", "write_text"]


def safe_name(text: str) -> str:
    """Escape a name from outside so that it can be one part of a path, and nothing more.

    Examples
    --------
    >>> safe_name("../../etc/x"), safe_name("ZTF"), safe_name("")
    ('%2E%2E%2F%2E%2E%2Fetc%2Fx', 'ZTF', '%')
    """
    return quote(text, safe=" +-_").replace(".", "%2E").replace("~", "%7E") or "%"


def temporary_path(root: Path) -> Path:
    """A new name for a file that is not whole yet; what a killed process leaves there, a later run removes.

    Raises
    ------
    StoreError
        When the folder for such files cannot be made.
    """
    folder = root / ".tmp"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"cannot write into {root}: {error.strerror or error}; choose another folder") from error
    return folder / f"{socket.gethostname()}.{getpid()}.{secrets.token_hex(8)}"


def remove_leftovers(root: Path) -> None:
    """Remove temporary files of processes on this host that are no more."""
    for path in (root / ".tmp").glob(f"{socket.gethostname()}.*.*"):
        pid = path.name.removeprefix(f"{socket.gethostname()}.").split(".")[0]
        if pid.isdigit() and pid_started(int(pid)) < 0:
            path.unlink(missing_ok=True)


def write_text(root: Path, path: Path, text: str) -> None:
    """Write a small file below the folder `root`, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_path(root)
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise

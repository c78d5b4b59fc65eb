"""Facts about this host: which processes live, and what a folder lies on."""

import os
from pathlib import Path

__all__ = ["NETWORK_FILE_SYSTEMS", "boot_id", "file_system_of", "pid_started"]

NETWORK_FILE_SYSTEMS = frozenset(("nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "lustre", "gpfs", "beegfs", "ceph"))
"""Kinds of file systems, as the kernel names them, that several machines may write at once."""


def boot_id() -> str:
    """Name of this boot of the machine; "" where it has none."""
    path = Path("/proc/sys/kernel/random/boot_id")
    return path.read_text().strip() if path.exists() else ""


def pid_started(pid: int) -> int:
    """Start of a process in clock ticks since boot, which tells it from a later one of the same pid; −1 if gone.

    A zombie is gone: it waits to be buried and does nothing more.
    """
    if not Path("/proc/self/stat").exists():
        return 0 if _answers(pid) else -1
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return -1
    return -1 if fields[0] in "ZX" else int(fields[19])


def _answers(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def file_system_of(folder: Path, mounts: str = "/proc/self/mounts") -> str:
    """Kind of the file system that a folder lies on; "" where it cannot be told.

    Examples
    --------
    >>> file_system_of(Path("/proc"))
    'proc'
    """
    try:
        lines = Path(mounts).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    place, best, kind = folder.resolve(), Path("/"), ""
    for line in lines:
        _, where, what, *_ = line.split()
        point = Path(where.replace("\\040", " "))
        if place.is_relative_to(point) and point.is_relative_to(best):
            best, kind = point, what
    return kind

import os
import socket
import subprocess
import sys
from pathlib import Path

from retriever.store.files import remove_leftovers


def test_leftovers_of_dead_processes_are_removed_and_others_kept(tmp_path: Path) -> None:
    (tmp_path / ".tmp").mkdir()
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    child.wait()
    zombie = subprocess.Popen([sys.executable, "-c", "pass"])
    os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
    unburied = tmp_path / ".tmp" / f"{socket.gethostname()}.{zombie.pid}.aa"
    dead = tmp_path / ".tmp" / f"{socket.gethostname()}.{child.pid}.aa"
    alive = tmp_path / ".tmp" / f"{socket.gethostname()}.{os.getpid()}.aa"
    elsewhere = tmp_path / ".tmp" / f"another-host.{child.pid}.aa"
    for path in (dead, unburied, alive, elsewhere):
        path.write_text("")
    remove_leftovers(tmp_path)
    assert [path.exists() for path in (dead, unburied, alive, elsewhere)] == [False, False, True, True]
    zombie.wait()

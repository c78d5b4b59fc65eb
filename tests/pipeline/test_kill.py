"""Killed at any moment, a run goes on as if nothing had happened.

The coordinator alone is killed (-9); workers have to notice. Each case kills one run after the other in one folder,
each going on from where the last was killed, and compares the tables with those of an undisturbed run.
Kills are timed by the segment files that a run has made, not by the clock, and a run that is to be killed waits before
it writes its tables: so each kill strikes a run at work, on any machine.
"""

import math
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from retriever.store import queries
from retriever.store.database import Database
from tests.helpers import assert_same_tables, last_summary, version_folder

CASES = [("serial", 7), ("serial", 100), ("processes", 7), ("processes", 100)]
KILLS_PER_CASE = 5
STAGES = 4
SEAMS = ("after the temporary file", "after the rename", "before the commit", "during the tables")

# laid on the path of the run, so that it is imported by the coordinator and by its workers when they start
SEAM = '''
import multiprocessing, os, signal, sys
SEAM, MARK, HELD = os.environ.get("TEST_SEAM"), os.environ.get("TEST_MARK"), os.environ.get("TEST_HELD")

def kill_coordinator():
    """Once: the coordinator dies here, or what asked for this in a worker does."""
    try:
        os.close(os.open(MARK, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return
    parent = multiprocessing.parent_process()
    os.kill(parent.pid if parent else os.getpid(), 9)
    if parent:
        import time
        time.sleep(60)

def wait_to_be_killed():
    """The run goes no further, as the file says; it ends where the test ended without killing it."""
    import time
    os.close(os.open(HELD, os.O_CREAT))
    parent = os.getppid()
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)

if SEAM or HELD:
    import pathlib
    replace = pathlib.Path.replace
    def patched(self, target):
        segment, table = ".tmp" in self.parts, str(target).endswith("injections.parquet")
        if table and HELD:
            wait_to_be_killed()
        if segment and SEAM == "after the temporary file" or table and SEAM == "during the tables":
            kill_coordinator()
        result = replace(self, target)
        if segment and SEAM == "after the rename":
            kill_coordinator()
        return result
    pathlib.Path.replace = patched
    if SEAM == "before the commit":
        import sqlite3
        class Connection(sqlite3.Connection):
            def commit(self):
                if self.in_transaction and self.execute("SELECT count(*) FROM segments").fetchone()[0] > 3:
                    kill_coordinator()
                super().commit()
        connect = sqlite3.connect
        sqlite3.dbapi2.connect = sqlite3.connect = lambda *a, **k: connect(*a, **{**k, "factory": Connection})
'''


SOURCES = 250


def command(executor: str, batch: int, sources: int = SOURCES) -> list[str]:
    return [
        sys.executable, "-m", "retriever.cli", "run", f"catalog.size={sources}", "observatories.demo.epochs=30",
        "observatories.demo.wait=0.004", f"executor={executor}", f"executor.batch_size={batch}",
    ]  # fmt: skip


def start(folder: Path, executor: str, batch: int, **environment: str) -> subprocess.Popen[str]:
    env = {**os.environ, "PYTHONPATH": str(folder / "path"), **environment}
    return subprocess.Popen(
        command(executor, batch),
        cwd=folder,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def descendants(pid: int) -> set[int]:
    found: set[int] = set()
    try:
        children = [
            int(child) for task in Path(f"/proc/{pid}/task").glob("*/children") for child in task.read_text().split()
        ]
    except OSError:
        return found  # it ended while it was looked at
    for child in children:
        found |= {child} | descendants(child)
    return found


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def assert_gone_in_5_seconds(pids: set[int]) -> None:
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and any(map(alive, pids)):
        time.sleep(0.05)
    assert not [pid for pid in pids if alive(pid)], "workers outlived their coordinator"


def segments(folder: Path) -> int:
    return len(list(folder.glob("data/*/*/*/*.h5"))) + len(list(folder.glob("outputs/.stages/*/*/*/*.h5")))


Finish = Callable[[Path, str, int], None]


@pytest.fixture
def finish(retriever: Callable[..., Any], undisturbed: Path, monkeypatch: pytest.MonkeyPatch) -> Finish:
    """Goes on with a run to its end, and compares its tables with those of an undisturbed run."""

    def finish(folder: Path, executor: str, batch: int) -> None:
        monkeypatch.chdir(folder)
        ended = retriever(*command(executor, batch)[3:])
        assert ended.code == 0, ended
        check_finished(folder, undisturbed)

    return finish


def check_finished(folder: Path, undisturbed: Path) -> None:
    assert_same_tables(version_folder(folder / "outputs"), version_folder(undisturbed / "outputs"))
    assert not list(folder.glob("**/.tmp/*"))
    assert not list(folder.glob("outputs/DEMO_*/.*"))
    known = Database("", folder / "outputs")
    on_disk = {str(path.relative_to(folder / "data")) for path in folder.glob("data/*/*/*/*.h5")}
    assert on_disk <= queries.known_paths(known, "data")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    subprocess.run(command("serial", 100), cwd=folder, check=True, capture_output=True)
    return folder


def kill_when(folder: Path, executor: str, batch: int, n_segments: int, delay: float) -> bool:
    """Kill a run `delay` seconds after it has this many segment files, at the latest before it writes its tables.

    Gives whether it was killed while it made segments.
    """
    held = folder / "held"
    held.unlink(missing_ok=True)
    process = start(folder, executor, batch, TEST_HELD=str(held))
    while process.poll() is None and segments(folder) < n_segments and not held.exists():
        time.sleep(0.01)
    time.sleep(delay)
    children = descendants(process.pid)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, process.communicate()[0]
    assert_gone_in_5_seconds(children)
    process.communicate()
    return not held.exists()


@pytest.mark.slow
@pytest.mark.parametrize(("executor", "batch"), CASES)
def test_killed_at_random_moments(
    tmp_path: Path, finish: Finish, executor: str, batch: int, fault_counts: Callable[[str, bool], None]
) -> None:
    """Small batches: one kill after the other in one folder. Large ones: each in a folder of its own, and gone on with."""
    dice = random.Random(f"{executor} {batch}")
    n_all = STAGES * math.ceil(SOURCES / batch)
    for number in range(KILLS_PER_CASE):
        folder = tmp_path / ("chain" if batch == 7 else str(number))
        (folder / "path").mkdir(parents=True, exist_ok=True)
        (folder / "path" / "sitecustomize.py").write_text(SEAM)
        before = segments(folder)
        share = 1 if batch != 7 else KILLS_PER_CASE - number  # so that work is left for the kills that follow
        n_segments = before + dice.randint(1, max(1, (n_all - before - 1) // share))
        fault_counts("kill", kill_when(folder, executor, batch, n_segments, dice.uniform(0, 0.05)))
        if batch != 7:
            finish(folder, executor, batch)
    if batch == 7:
        finish(folder, executor, batch)
        computed = last_summary(version_folder(folder / "outputs"))["computed"]
        assert computed["download"] < SOURCES, "nothing of what was done was kept"


@pytest.mark.slow
@pytest.mark.parametrize("executor", ["serial", "processes"])
@pytest.mark.parametrize("seam", SEAMS)
def test_killed_at_each_seam(tmp_path: Path, finish: Finish, executor: str, seam: str) -> None:
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / "sitecustomize.py").write_text(SEAM)
    process = start(tmp_path, executor, 7, TEST_SEAM=seam, TEST_MARK=str(tmp_path / "killed"))
    children: set[int] = set()
    while process.poll() is None:
        children |= descendants(process.pid)
        time.sleep(0.02)
    out, _ = process.communicate()
    assert process.returncode == -signal.SIGKILL, out
    assert (tmp_path / "killed").exists()
    assert_gone_in_5_seconds(children)
    finish(tmp_path, executor, 7)


@pytest.mark.slow
def test_interrupted_by_the_keyboard(tmp_path: Path, finish: Finish) -> None:
    for executor in ("serial", "processes"):
        before = segments(tmp_path)
        process = start(tmp_path, executor, 7)
        while segments(tmp_path) < before + 2 and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate()
        assert process.returncode == 130, out
        assert "interrupted" in out
        assert "Traceback" not in out
        folder = version_folder(tmp_path / "outputs")
        assert last_summary(folder)["state"] == "interrupted"
        assert (folder / "products.parquet").exists()
    finish(tmp_path, "serial", 7)


@pytest.mark.slow
def test_two_runs_of_one_version_at_once(tmp_path: Path, finish: Finish) -> None:
    processes = [start(tmp_path, "serial", 7), start(tmp_path, "serial", 7)]
    for process in processes:
        out, _ = process.communicate()
        assert process.returncode == 0, out
    folder = version_folder(tmp_path / "outputs")
    from tests.helpers import summaries

    assert sum(summary["computed"]["download"] for summary in summaries(folder)) == SOURCES
    finish(tmp_path, "serial", 7)

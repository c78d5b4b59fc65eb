"""Faults at seeded moments: after each, the run goes on, `verify` is clean and the tables are those of an undisturbed run.

A fault is a function of a folder and a random stream; it starts a run, strikes, and says whether it really struck. Few
seeds run by default, many with ``pytest -m faults --seeds 20``; the numbers tried and struck are printed at the end.
"""

import os
import random
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.helpers import assert_same_tables, version_folder

SIZE = ["catalog.size=150", "observatories.demo.epochs=30", "executor.batch_size=10"]
SLOW = [*SIZE, "observatories.demo.wait=0.004"]

# leases and transactions that are taken over after seconds, and time that can be shifted, for runs of these tests alone
QUICK = """
import datetime, os, sys
from retriever.store import connection, leases
leases.DEAD_AFTER_SECONDS, leases.HEARTBEAT_SECONDS, connection.STALLED_SECONDS = 2.0, 0.2, 5.0
shift = float(os.environ.get("TEST_SHIFT", "0"))
if shift:
    real = datetime.datetime
    class Shifted(real):
        @classmethod
        def now(cls, tz=None):
            return real.now(tz) + datetime.timedelta(seconds=shift)
    from retriever.pipeline import task, version
    from retriever.store import database
    for module in (task, version, database):
        module.datetime = Shifted
from retriever.cli import main
sys.exit(main(sys.argv[1:]))
"""


def start(folder: Path, words: list[str], *, limit: int = 0, shift: float = 0.0) -> subprocess.Popen[str]:
    def limited() -> None:
        if limit:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    return subprocess.Popen(
        [sys.executable, "-c", QUICK, *words], cwd=folder, preexec_fn=limited, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={**os.environ, "TEST_SHIFT": str(shift)},
    )  # fmt: skip


def finished(process: subprocess.Popen[str]) -> tuple[int, str]:
    out, _ = process.communicate(timeout=120)
    return process.returncode, out


def segments(folder: Path) -> list[Path]:
    return sorted([*folder.glob("data/*/*/*/*.h5"), *folder.glob("outputs/.stages/*/*/*/*.h5")])


def wait_for_segments(folder: Path, process: subprocess.Popen[str], number: int) -> bool:
    """Wait until a run has written so many segments; says whether it still runs."""
    while len(segments(folder)) < number and process.poll() is None:
        time.sleep(0.01)
    return process.poll() is None


def children(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            found += [int(child), *children(int(child))]
    return found


def stop(process: subprocess.Popen[str], sqlite: Path) -> None:
    """Stop a process where it does not hold SQLite's lock, which nobody can take from it."""
    process.send_signal(signal.SIGSTOP)
    while sqlite.exists() and is_locked(sqlite):
        process.send_signal(signal.SIGCONT)
        time.sleep(0.01)
        process.send_signal(signal.SIGSTOP)


def is_locked(sqlite: Path) -> bool:
    with closing(sqlite3.connect(sqlite, timeout=0, isolation_level=None)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return True
        connection.execute("ROLLBACK")
        return False


# ---- the faults --------------------------------------------------------------------------------------------------


def worker_killed(folder: Path, rng: random.Random) -> bool:
    process = start(folder, ["run", *SLOW, "executor=processes"])
    struck = wait_for_segments(folder, process, rng.randrange(1, 50))
    if struck:
        words = {pid: Path(f"/proc/{pid}/cmdline").read_text() for pid in children(process.pid)}
        workers = [pid for pid, line in words.items() if "forkserver" in line]
        os.kill(workers[-1], signal.SIGKILL)
    code, out = finished(process)
    assert code in (0, 1) and "Traceback" not in out, out
    return struck and code == 1


def coordinator_killed(folder: Path, rng: random.Random) -> bool:
    process = start(folder, ["run", *SLOW, rng.choice(["executor=serial", "executor=processes"])])
    struck = wait_for_segments(folder, process, rng.randrange(1, 58))
    process.kill()
    finished(process)
    return struck


def file_limit(folder: Path, rng: random.Random) -> bool:
    """A disk that is full for files beyond some size: segments first, the database when it has grown."""
    code, out = finished(start(folder, ["run", *SIZE], limit=rng.choice([5_000, 20_000, 60_000, 150_000, 300_000])))
    assert code in (0, 1) and out.count("Traceback") == 0, out
    assert not list(folder.glob("**/.tmp/*")), "a temporary file stayed"
    return code == 1


def stopped_and_woken(folder: Path, rng: random.Random) -> bool:
    """A run stops still, another takes its leases over and ends, then it is woken: it must not publish any more."""
    first = start(folder, ["run", *SLOW])
    struck = wait_for_segments(folder, first, rng.randrange(1, 50))
    if struck:
        stop(first, folder / "outputs" / "retriever.db")
    code, out = finished(start(folder, ["run", *SIZE]))
    assert code == 0, out
    if struck:
        first.send_signal(signal.SIGCONT)
    code, out = finished(first)
    assert code in (0, 1) and "Traceback" not in out, out
    return struck


def owner_killed_while_another_waits(folder: Path, rng: random.Random) -> bool:
    first = start(folder, ["run", *SLOW])
    struck = wait_for_segments(folder, first, rng.randrange(1, 40))
    second = start(folder, ["run", *SLOW])
    time.sleep(rng.random())
    first.kill()
    finished(first)
    code, out = finished(second)
    assert code == 0, out
    return struck


def two_at_once(folder: Path, rng: random.Random, number: int = 2) -> bool:
    runs = [start(folder, ["run", *SLOW]) for _ in range(number)]
    ends = [finished(run) for run in runs]
    assert all(code == 0 for code, _ in ends), ends
    told = "\n".join(out for _, out in ends)
    assert told.count("download 150, ") == 1, told  # nothing was made twice
    return True


def eight_at_once(folder: Path, rng: random.Random) -> bool:
    return two_at_once(folder, rng, 8)


def bit_flipped(folder: Path, rng: random.Random) -> bool:
    """What is altered is never read into a result: a new search of it refuses."""
    assert finished(start(folder, ["run", *SIZE]))[0] == 0
    path = rng.choice(sorted(folder.glob("outputs/.stages/reduce/*/*/*.h5")))
    image = bytearray(path.read_bytes())
    image[rng.randrange(len(image))] ^= 1 << rng.randrange(8)
    path.write_bytes(image)
    code, out = finished(start(folder, ["run", *SIZE, "finder.snr_threshold=4", "project.name=other"]))
    assert code == 1 and "altered" in out, out
    assert finished(start(folder, ["verify"]))[0] == 4
    return True


def truncated(folder: Path, rng: random.Random) -> bool:
    assert finished(start(folder, ["run", *SIZE]))[0] == 0
    for path in rng.sample(segments(folder), 3):
        os.truncate(path, rng.randrange(path.stat().st_size))
    code, out = finished(start(folder, ["run", *SIZE]))
    assert code == 0 and "nothing to do" not in out, out
    return True


def clock_set_back(folder: Path, rng: random.Random) -> bool:
    process = start(folder, ["run", *SLOW], shift=rng.uniform(3600, 1e7))
    struck = wait_for_segments(folder, process, rng.randrange(1, 50))
    process.kill()
    finished(process)
    assert finished(start(folder, ["run", *SIZE]))[0] == 0
    for path in segments(folder):
        moment = rng.uniform(1e9, 2e9)
        os.utime(path, (moment, moment))
    (folder / "outputs" / "retriever.db").unlink(missing_ok=True)
    assert finished(start(folder, ["rebuild"]))[0] == 0
    return struck


def database_locked(folder: Path, rng: random.Random) -> bool:
    """Somebody else keeps the database for some seconds; the run waits."""
    process = start(folder, ["run", *SLOW])
    struck = wait_for_segments(folder, process, rng.randrange(1, 40))
    with closing(sqlite3.connect(folder / "outputs" / "retriever.db", timeout=30, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        time.sleep(rng.uniform(2, 4))
        connection.execute("ROLLBACK")
    code, out = finished(process)
    assert code == 0, out
    return struck


FAULTS: list[Callable[[Path, random.Random], bool]] = [
    worker_killed, coordinator_killed, file_limit, stopped_and_woken, owner_killed_while_another_waits, two_at_once,
    eight_at_once, bit_flipped, truncated, clock_set_back,
]  # fmt: skip
CASES = [
    *(
        pytest.param(fault, store, id=f"{fault.__name__}-{store}")
        for fault in FAULTS
        for store in ("sqlite", "postgres")
    ),
    pytest.param(database_locked, "sqlite", id="database_locked-sqlite"),  # PostgreSQL's: tests/store/test_postgres.py
]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    assert finished(start(folder, ["run", *SIZE]))[0] == 0
    return version_folder(folder / "outputs")


@pytest.mark.faults
@pytest.mark.parametrize(("fault", "store"), CASES)
def test_after_a_fault_all_is_as_if_it_had_not_been(
    retriever, tmp_path, undisturbed, fault, store, fault_seed, fault_counts, request, monkeypatch
) -> None:
    if store == "postgres":
        monkeypatch.setenv("RETRIEVER_DATABASE", request.getfixturevalue("postgres"))
    struck = fault(tmp_path, random.Random(f"{fault.__name__} {fault_seed}"))
    fault_counts(fault.__name__, struck)
    for words in (["verify", "--repair"], ["run", *SIZE], ["verify"]):
        ended = retriever(*words)
        assert ended.code == 0, ended
    assert_same_tables(version_folder(tmp_path / "outputs", "DEMO"), undisturbed)
    assert not list(tmp_path.glob("**/.tmp/*"))
    assert (tmp_path / "outputs" / "retriever.db").exists() == (store == "sqlite")

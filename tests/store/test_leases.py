import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from sqlalchemy import update

from retriever.store import leases as module
from retriever.store.database import Database
from retriever.store.leases import LeaseHolder
from retriever.store.models import Lease

HOLD = (
    "import sys, time; from pathlib import Path\n"
    "from retriever.store.database import Database\n"
    "from retriever.store.leases import LeaseHolder\n"
    "with LeaseHolder(Database(sys.argv[3], Path(sys.argv[1])), 'other') as leases:\n"
    "    leases.take(['k'], print); print('taken', flush=True); time.sleep(float(sys.argv[2]))\n"
)


def holder(folder: Path, address: str, seconds: float) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder), str(seconds), address], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "taken\n"
    return process


def take(folder: Path, address: str) -> tuple[bool, list[str], float]:
    told: list[str] = []
    started = time.monotonic()
    with LeaseHolder(Database(address, folder), "mine") as leases:
        waited = leases.take(["k"], told.append)
    return waited, told, time.monotonic() - started


def test_who_comes_second_waits_and_is_told_for_whom(tmp_path: Path, address: str) -> None:
    Database(address, tmp_path)
    with holder(tmp_path, address, 1.5) as process:
        waited, told, seconds = take(tmp_path, address)
    assert waited
    assert told == [f"run other (process {process.pid} on {module.socket.gethostname()})"]
    assert seconds > 0.5


def test_a_dead_holder_is_replaced_at_once(tmp_path: Path, address: str) -> None:
    Database(address, tmp_path)
    with holder(tmp_path, address, 60) as process:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        waited, _, seconds = take(tmp_path, address)
    assert not waited
    assert seconds < 5


def test_a_holder_elsewhere_is_replaced_when_its_count_stands_still(tmp_path: Path, address: str, monkeypatch) -> None:
    monkeypatch.setattr(module, "DEAD_AFTER_SECONDS", 1.0)
    database = Database(address, tmp_path)
    with LeaseHolder(database, "other") as other:
        other.take(["k"], print)
        with database.writing() as connection:
            connection.execute(update(Lease).values(host="elsewhere"))
        stop = threading.Event()

        def beat() -> None:
            while not stop.wait(0.2):
                with database.writing() as connection:
                    connection.execute(
                        update(Lease)
                        .where(Lease.token.in_(list(other.tokens.values())))
                        .values(counter=Lease.counter + 1)
                    )

        beating = threading.Thread(target=beat)
        beating.start()
        threading.Timer(2.0, stop.set).start()
        waited, _, seconds = take(tmp_path, address)
        beating.join()
    assert waited
    assert seconds > 2.5  # as long as it beat, and a second more


def test_eight_take_turns(tmp_path: Path, address: str) -> None:
    Database(address, tmp_path)
    context = multiprocessing.get_context("forkserver")
    processes = [context.Process(target=_turn, args=(tmp_path, address, k)) for k in range(8)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    lines = (tmp_path / "turns").read_text().split()
    assert sorted(lines[::2]) == sorted(f"in{k}" for k in range(8))
    assert [line[2:] for line in lines[::2]] == [line[3:] for line in lines[1::2]]


def _turn(folder: Path, address: str, number: int) -> None:
    with LeaseHolder(Database(address, folder), f"run{number}") as leases:
        leases.take(["a", "b"], lambda _: None)
        with (folder / "turns").open("a") as file:
            print(f"in{number}", file=file, flush=True)
            time.sleep(0.05)
            print(f"out{number}", file=file, flush=True)

"""Runs on a real Dask scheduler with two worker processes on this machine."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers import assert_same_tables, last_summary, version_folder

SMALL = ("catalog.size=120", "executor.batch_size=10")

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore:.*:UserWarning:distributed.*"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def start(words: list[str], folder: Path, said: str, **environment: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "distributed.cli.dask_" + words[0], *words[1:]],
        cwd=folder, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env={**os.environ, **environment},
    )  # fmt: skip
    assert process.stderr is not None
    for line in process.stderr:
        if said in line:
            break
    else:
        raise AssertionError(f"{words} ended")
    return process


def drain(process: subprocess.Popen[str]) -> None:
    import threading

    assert process.stderr is not None
    threading.Thread(target=process.stderr.read, daemon=True).start()


@pytest.fixture
def scheduler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, list[subprocess.Popen[str]]]]:
    folder = tmp_path_factory.mktemp("dask")
    file = folder / "scheduler.json"
    processes = [
        start(
            [
                "scheduler",
                "--host",
                "127.0.0.1",
                "--port",
                "0",
                "--dashboard-address",
                ":0",
                "--scheduler-file",
                str(file),
            ],
            folder,
            "Scheduler at",
        )
    ]
    drain(processes[0])
    while not (file.exists() and file.read_text().endswith("}")):
        time.sleep(0.05)
    address = json.loads(file.read_text())["address"]
    workers = []
    for _ in range(2):
        worker = start(
            ["worker", address, "--nthreads", "1", "--no-nanny", "--no-dashboard", "--local-directory", str(folder)],
            folder,
            "Registered to",
        )
        drain(worker)
        workers.append(worker)
    try:
        yield address, workers
    finally:
        for process in [*workers, *processes]:
            process.kill()
            process.wait()
            assert process.stderr is not None
            process.stderr.close()


@pytest.fixture
def serial(retriever, stand, tmp_path_factory, monkeypatch) -> Path:
    place = tmp_path_factory.mktemp("serial")
    monkeypatch.chdir(place)
    assert retriever("run", *SMALL).code == 0
    monkeypatch.chdir(stand)
    return version_folder(place / "outputs")


def test_a_local_cluster_gives_the_tables_of_serial_and_tells_its_dashboard(retriever, stand, serial) -> None:
    ended = retriever("run", *SMALL, "executor=dask", "executor.workers=2")
    assert ended.code == 0, ended
    assert "Dask's dashboard: http" in ended.err
    assert_same_tables(version_folder(stand / "outputs"), serial)


def test_a_running_scheduler_is_joined_and_left_running(retriever, stand, serial, scheduler) -> None:
    address, workers = scheduler
    for words in ((), ("finder.snr_threshold=4",)):
        ended = retriever("run", *SMALL, "executor=dask", f"executor.address={address}", *words)
        assert ended.code == 0, ended
    assert all(worker.poll() is None for worker in workers)
    (folder,) = [path for path in (stand / "outputs").glob("DEMO_*") if path.name == serial.name]
    assert_same_tables(folder, serial)


@pytest.mark.slow
def test_a_killed_worker_costs_a_retry_and_nothing_else(retriever, stand, serial, scheduler) -> None:
    address, workers = scheduler
    words = ["run", *SMALL, "executor=dask", f"executor.address={address}", "observatories.demo.wait=0.02"]
    process = subprocess.Popen(
        [sys.executable, "-m", "retriever.cli", *words],
        cwd=stand,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    while not list(stand.glob("data/*/*/*/*.h5")):
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.02)
    os.kill(workers[0].pid, signal.SIGKILL)
    out, _ = process.communicate()
    assert process.returncode == 0, out
    folder = version_folder(stand / "outputs")
    assert_same_tables(folder, serial)
    assert last_summary(folder)["computed"]["download"] == 120
    assert retriever("verify").code in (0, 4)
    assert retriever("verify", "--repair").code == 0
    assert retriever("verify").code == 0


def test_a_worker_with_other_code_refuses(retriever, stand, scheduler) -> None:
    """The workers stand elsewhere, where the user's module is another one, then where there is none."""
    address, _ = scheduler
    (stand / "conf" / "finder").mkdir(parents=True)
    (stand / "conf" / "finder" / "mine.yaml").write_text("_target_: mine_dask.PeakFinder\nsnr_threshold: 5.0\n")
    finder = Path(__file__).parents[2] / "retriever" / "finders" / "peak.py"
    (stand / "mine_dask.py").write_text(finder.read_text())
    words = ["run", *SMALL, "--config-dir", "conf", "finder=mine", "executor=dask", f"executor.address={address}"]
    ended = retriever(*words)
    assert ended.code == 1 and "cannot load this run's classes" in ended.err and ended.err.count("Traceback") == 0, (
        ended
    )
    from distributed import Client

    (stand / "other").mkdir()
    (stand / "other" / "mine_dask.py").write_text(finder.read_text() + "PeakFinder.touched = 1\n")
    with Client(address) as client:
        client.run(_stand_in, str(stand / "other"))
    ended = retriever(*words)
    assert ended.code == 1 and "other code" in ended.err, ended
    sys.modules.pop("mine_dask", None)


def _stand_in(folder: str) -> None:
    import sys

    sys.path.insert(0, folder)


@pytest.mark.slow
def test_no_scheduler_there(retriever, stand) -> None:
    ended = retriever("run", *SMALL, "executor=dask", "executor.address=tcp://127.0.0.1:1")
    assert ended.code == 1 and "cannot reach a Dask scheduler" in ended.err, ended


def test_any_executor_by_its_class(retriever, stand, serial) -> None:
    assert retriever("run", *SMALL, "executor=any", "executor.in_flight=3").code == 0
    assert_same_tables(version_folder(stand / "outputs"), serial)
    for wrong in ("nowhere.Executor", "pathlib.Path", "x"):
        ended = retriever("run", "executor=any", f"executor.executor={wrong}")
        assert ended.code == 2 and ended.err.count("\n") == 1, ended

"""Speed, disk and memory of the demo: one command that prints a table.

    python benchmarks/demo.py                 # every case (some minutes)
    python benchmarks/demo.py --size 2000 --repeat 1
    python benchmarks/demo.py --case serial --case processes

Each case is a whole run of its own in an empty folder. Seconds are those of the run itself, from plan to final tables,
as its summary says; memory is summed over the run's processes, sampled four times a second (PSS: a shared page counts
once; asking more often slows the run). The last columns are for a finished run asked for once more, start-up included,
and for a run with another threshold of the finder, which searches again and downloads and reduces nothing.

The long light curves are also given in MB a second: of the raw rows, beside what plain numpy needs in the same process
for the same arithmetic on the same arrays (flux, robust moments, S/N).
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Case:
    """Overrides of a run, and its size: sources, and epochs each."""

    overrides: tuple[str, ...]
    size: int = 10_000
    epochs: int = 100


ONE_BY_ONE = """
from dataclasses import dataclass

from retriever.finders.peak import PeakFinder
from retriever.lightcurve import Lightcurve


@dataclass(frozen=True, kw_only=True)
class OneByOne:
    \"\"\"The peak finder, for one light curve at a time, as a user writes finders.\"\"\"

    def find(self, lightcurve: Lightcurve):
        return PeakFinder().find(lightcurve)
"""

CASES = {
    "processes": Case(("executor=processes",)),
    "serial": Case(("executor=serial",)),
    "processes, two filters": Case(("executor=processes", "observatories.demo.filters=[g,r]")),
    "serial, two filters": Case(("executor=serial", "observatories.demo.filters=[g,r]")),
    "processes, batches of 7": Case(("executor=processes", "executor.batch_size=7")),
    "serial, batches of 7": Case(("executor=serial", "executor.batch_size=7")),
    "serial, own finder": Case(("executor=serial", "--config-dir", "conf", "finder=one_by_one")),
    "serial, 1,000 epochs": Case(("executor=serial",), size=1_000, epochs=1_000),
    "serial, 20,000 epochs": Case(("executor=serial", "executor.batch_size=10"), size=100, epochs=20_000),
    "processes, 100,000 sources": Case(("executor=processes",), size=100_000),
}


def children(pid: int) -> list[int]:
    """A process and all that it started."""
    found = [pid]
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                found += children(int(child))
    except OSError:
        pass
    return found


def memory_mb(pid: int) -> float:
    """Proportional set size of a process and its children, in MB."""
    total = 0
    for one in children(pid):
        try:
            for line in Path(f"/proc/{one}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1])
        except OSError:
            continue
    return total / 1000


def run(arguments: list[str], folder: Path) -> tuple[float, float, dict]:
    """One run of the command; gives wall seconds, peak memory in MB and the run's summary."""
    command = [sys.executable, "-m", "retriever.cli", "run", *arguments]
    started = time.monotonic()
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
    peak = 0.0
    while process.poll() is None:
        peak = max(peak, memory_mb(process.pid))
        time.sleep(0.25)
    wall = time.monotonic() - started
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with exit code {process.returncode}")
    last = max(folder.glob("outputs/DEMO_*/runs/*/summary.json"), key=lambda path: path.stat().st_mtime_ns)
    return wall, peak, json.loads(last.read_text())


def disk_kb(folder: Path) -> float:
    """Size of all files, in kB."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1000


def plain_numpy_seconds(size: int, epochs: int) -> float:
    """What the arithmetic of reduction and search takes in numpy alone, on arrays of the same size."""
    rng = np.random.default_rng(0)
    mag, err = 17 + 0.1 * rng.standard_normal((size, epochs)), np.full((size, epochs), 0.1)
    started = time.perf_counter()
    flux = 10 ** (0.4 * (23.9 - mag))
    flux_err = flux * err / 1.0857
    center = np.median(flux, axis=1, keepdims=True)
    scatter = 1.4826 * np.median(np.abs(flux - center), axis=1, keepdims=True)
    snr = (flux - center) / np.fmax(flux_err, scatter)
    (np.abs(snr) >= 5).nonzero()
    return time.perf_counter() - started


RAW_BYTES = 51
"""Bytes of a raw row of the demo."""


def main() -> None:
    os.environ["RETRIEVER_REPORT"] = "false"  # the page about a version is timed by itself
    """Run the cases and print a row for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--size", type=int, default=0, help="sources of every case (default: 10,000, or the case's own)"
    )
    parser.add_argument("--repeat", type=int, default=3, help="runs of each case (default 3)")
    parser.add_argument("--case", action="append", choices=list(CASES), help="only this case")
    chosen = parser.parse_args()
    print(
        f"{'case':<27} {'sources/s: median':>18} {'min':>7} {'max':>7} {'kB/source':>10} {'MB':>6} "
        f"{'again, s':>9} {'threshold, s':>13}"
    )
    # all are deleted at the end: ext4 makes new files slowly for some seconds after many were deleted
    with tempfile.TemporaryDirectory(prefix="retriever-benchmark-") as parent:
        for name in chosen.case or CASES:
            measure(name, CASES[name], chosen.size or CASES[name].size, chosen.repeat, Path(parent))


def measure(name: str, case: Case, size: int, repeat: int, parent: Path) -> None:
    """Run one case and print its row."""
    rates, peaks, again, threshold, disk = [], [], [], [], 0.0
    for _ in range(repeat):
        folder = Path(tempfile.mkdtemp(dir=parent))
        (folder / "conf" / "finder").mkdir(parents=True)
        (folder / "one_by_one.py").write_text(ONE_BY_ONE)
        (folder / "conf" / "finder" / "one_by_one.yaml").write_text("_target_: one_by_one.OneByOne\n")
        arguments = [f"catalog.size={size}", f"observatories.demo.epochs={case.epochs}", *case.overrides]
        _, peak, summary = run(arguments, folder)
        disk = disk_kb(folder) / size
        again.append(run(arguments, folder)[0])
        if "own finder" not in name:
            threshold.append(run([*arguments, "finder.snr_threshold=6"], folder)[2]["seconds"])
        rates.append(size / summary["seconds"])
        peaks.append(peak)
    print(
        f"{name:<27} {statistics.median(rates):>18.0f} {min(rates):>7.0f} {max(rates):>7.0f} {disk:>10.1f} "
        f"{max(peaks):>6.0f} {statistics.median(again):>9.2f} {statistics.median(threshold or [0.0]):>13.2f}",
        flush=True,
    )
    if case.epochs > 100:
        megabytes = size * case.epochs * RAW_BYTES / 1e6
        plain = statistics.median(plain_numpy_seconds(size, case.epochs) for _ in range(3))
        rate = megabytes * statistics.median(rates) / size
        print(f"{'':<27} {rate:.0f} MB/s of raw rows; plain numpy alone: {megabytes / plain:.0f} MB/s", flush=True)


if __name__ == "__main__":
    main()

"""Speed, disk and memory of the demo: one command that prints a table.

    python benchmarks/demo.py                 # 10,000 sources, every case (some minutes)
    python benchmarks/demo.py --size 2000 --repeat 1

Each case is a whole run of its own in an empty folder. Seconds are those of the run itself, from plan to final tables,
as its summary says; memory is summed over the run's processes, sampled four times a second (PSS: a shared page counts
once; asking more often slows the run).
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CASES = {
    "processes": ["executor=processes"],
    "serial": ["executor=serial"],
    "processes, two filters": ["executor=processes", "observatories.demo.filters=[g,r]"],
    "serial, two filters": ["executor=serial", "observatories.demo.filters=[g,r]"],
    "processes, batches of 7": ["executor=processes", "executor.batch_size=7"],
    "serial, batches of 7": ["executor=serial", "executor.batch_size=7"],
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


def main() -> None:
    """Run the cases and print a row for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=10_000, help="sources (default 10,000)")
    parser.add_argument("--repeat", type=int, default=3, help="runs of each case (default 3)")
    parser.add_argument("--case", action="append", choices=list(CASES), help="only this case")
    chosen = parser.parse_args()
    print(f"{'case':<26} {'sources/s: median':>18} {'min':>7} {'max':>7} {'kB/source':>10} {'MB':>6} {'again, s':>9}")
    for name in chosen.case or CASES:
        rates, peaks, again, disk = [], [], [], 0.0
        for _ in range(chosen.repeat):
            folder = Path(tempfile.mkdtemp(prefix="retriever-benchmark-"))
            try:
                arguments = [f"catalog.size={chosen.size}", *CASES[name]]
                _, peak, summary = run(arguments, folder)
                disk = disk_kb(folder) / chosen.size
                again.append(run(arguments, folder)[0])
            finally:
                shutil.rmtree(folder)
            rates.append(chosen.size / summary["seconds"])
            peaks.append(peak)
        print(
            f"{name:<26} {statistics.median(rates):>18.0f} {min(rates):>7.0f} {max(rates):>7.0f} {disk:>10.1f} "
            f"{max(peaks):>6.0f} {statistics.median(again):>9.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()

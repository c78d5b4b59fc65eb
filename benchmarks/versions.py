"""What the commands on versions take with 10,000 sources, and what a sweep costs.

    python benchmarks/versions.py
    python benchmarks/versions.py --size 500

Each command is a process of its own, start-up included. The last line compares a sweep of eight thresholds with one
whole run and seven times analyze and simulate alone.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RUN = ["run", "executor=processes"]


def timed(folder: Path, *words: str) -> float:
    """Seconds that a command takes."""
    started = time.monotonic()
    done = subprocess.run([sys.executable, "-m", "retriever.cli", *words], cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(words)} ended with {done.returncode}: {done.stderr}")
    return time.monotonic() - started


def versions(folder: Path) -> list[str]:
    """Names of the version folders, oldest first."""
    found = (folder / "outputs").glob("DEMO_*")
    return [path.name for path in sorted(found, key=lambda path: (path / "version.json").stat().st_mtime_ns)]


def main() -> None:
    os.environ["RETRIEVER_REPORT"] = "false"  # the page about a version is timed by itself
    """Time each command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=10_000, help="sources (default 10,000)")
    parser.add_argument("--steps", type=int, default=8, help="thresholds of the sweep (default 8)")
    chosen = parser.parse_args()
    size = f"catalog.size={chosen.size}"
    with tempfile.TemporaryDirectory(prefix="retriever-versions-") as name:
        folder, elsewhere = Path(name) / "here", Path(name) / "there"
        folder.mkdir()
        elsewhere.mkdir()
        whole = timed(folder, *RUN, size)
        again = timed(folder, *RUN, size, "finder.snr_threshold=4")
        one, other = versions(folder)
        packed = str(Path(name) / "version.zip")
        for words in (
            ["plan", size],
            ["status"],
            ["compare", one, other],
            ["show", one],
            ["show", f"{one}/random_000003/demo/1"],
            ["where", "random_000003"],
            ["verify"],
            ["gc", "--dry-run"],
            ["pack", one, packed],
            ["rebuild"],
        ):
            label = " ".join(words[:1])
            print(f"{label:<10} {timed(folder, *words):>7.2f} s", flush=True)
        megabytes = Path(packed).stat().st_size / 1e6
        print(f"{'unpack':<10} {timed(elsewhere, 'unpack', packed):>7.2f} s   ({megabytes:.0f} MB)")
        thresholds = "finder.snr_threshold=" + ",".join(str(5 + k / 4) for k in range(chosen.steps))
        alone = Path(name) / "sweep"
        alone.mkdir()
        sweep = timed(alone, *RUN, "-m", size, thresholds)
        ratio = sweep / (whole + (chosen.steps - 1) * again)
        parts = f"(a whole run, {whole:.2f} s, + {chosen.steps - 1} x {again:.2f} s)"
        print(f"{'sweep':<10} {sweep:>7.2f} s   = {ratio:.2f} x {parts}")


if __name__ == "__main__":
    main()

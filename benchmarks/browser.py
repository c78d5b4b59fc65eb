"""How fast the browser shows a version with many detections, each page the first time and again.

    python benchmarks/browser.py
    python benchmarks/browser.py --size 1000 --sources 100

A run of the demo is made, and its detections and sources are repeated until there are so many. The server is a process
of its own, and nothing of the version has been read before the first page is asked for.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from retriever.report.parquet import ROWS_A_GROUP

SOURCES = 200
"""Sources of the run whose rows are repeated."""


def repeated(path: Path, n: int, name: str) -> None:
    """Repeat the rows of a table, each source under a name of its own."""
    table = pq.read_table(path)
    rows = np.arange(n) % len(table)
    taken = table.take(pa.array(rows))
    place = taken.column_names.index(name)
    texts = pa.array([f"source_{k:07d}" for k in range(n)])
    taken = taken.set_column(place, table.schema.field(name), texts.cast(table.schema.field(name).type))
    place = taken.column_names.index("snr") if "snr" in taken.column_names else -1
    if place >= 0:
        noise = np.random.default_rng(0).normal(0.0, 1.0, n)
        taken = taken.set_column(place, table.schema.field("snr"), pa.array(taken["snr"].to_numpy() + noise))
    pq.write_table(taken, path, compression="zstd", row_group_size=ROWS_A_GROUP)


def repeated_products(path: Path, n: int) -> None:
    """Repeat the products of the sources, stage after stage."""
    table = pq.read_table(path)
    stages = np.arange(len(table) // SOURCES)[:, np.newaxis]
    taken = table.take(pa.array((stages * SOURCES + np.arange(n) % SOURCES).ravel()))
    pq.write_table(taken, path, compression="zstd", row_group_size=ROWS_A_GROUP)


def main() -> None:
    """Time each page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=1_000_000, help="detections (default a million)")
    parser.add_argument("--sources", type=int, default=1_000_000, help="sources (default a million)")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="retriever-browser-") as name:
        folder = Path(name)
        run = [sys.executable, "-m", "retriever.cli", "run", f"catalog.size={SOURCES}", "run.report=false"]
        subprocess.run(run, cwd=folder, check=True, capture_output=True)
        (version,) = (path.name for path in (folder / "outputs").glob("DEMO_*"))
        repeated(folder / "outputs" / version / "detections.parquet", chosen.size, "source")
        repeated(folder / "outputs" / version / "sources.parquet", chosen.sources, "name")
        for table in ("products", "segments"):
            repeated_products(folder / "outputs" / version / f"{table}.parquet", chosen.sources)
        server = subprocess.Popen(
            [sys.executable, "-m", "retriever.cli", "browse", "--port", "0"], cwd=folder, stdout=subprocess.PIPE,
            text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )  # fmt: skip
        try:
            home = server.stdout.readline().strip()
            client, address = httpx.Client(timeout=60), f"{home}versions/{version}"
            client.get(f"{home}static/icon.svg")
            for page in (
                "", "?page=100", "?sort=time_peak&up=1", "?snr=8", "?sort=source", "?source=00042", "?verdict=none",
                "/sources", "/sources?sort=ra", "/detections/12345?snr=8" if chosen.size > 12345 else "/detections/7",
            ):  # fmt: skip
                seconds = []
                for _ in range(2):
                    started = time.perf_counter()
                    answer = client.get(address + page)
                    seconds.append(time.perf_counter() - started)
                print(
                    f"{page or 'first page':<26} {seconds[0]:>7.3f} s   again {seconds[1]:.3f} s   {answer.status_code}"
                )
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    main()

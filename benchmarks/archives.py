"""Downloads from an archive on loopback, and a catalog of 1,300,000 rows.

    python benchmarks/archives.py --case rate                     # sources a second, memory (5 minutes)
    python benchmarks/archives.py --case faults                  # failures and kills: is anything lost, or asked twice?
    python benchmarks/archives.py --case catalog                  # load the white dwarfs, find one by name
    python benchmarks/archives.py --case rate --size 200          # a small one

The archive answers after 0.25 s, 8 connections are open to it: at most 32 sources a second.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.archive import Archive, Reply, by_chance
from tests.surveys import ZTF_PATH, white_dwarfs_fits, ztf_answer

LATENCY = 0.25


def archive_of_copies(**how) -> Archive:
    """An archive whose answers are one made-up table, moved to the place asked for."""
    pattern = ztf_answer(111.0, 11.0, epochs=100)

    def answer(request):
        _, ra, dec, _ = request.params["POS"].split()
        return Reply(
            pattern.replace(b"111.0", f"{float(ra):.4f}".encode()).replace(b"11.0", f"{float(dec):.4f}".encode())
        )

    return Archive(routes={ZTF_PATH: answer}, **how)


def stars(folder: Path, size: int) -> None:
    """A catalog of places."""
    rows = [f"S{k:05d},{(k * 0.0359) % 360:.5f},{(k * 0.0071) % 80 - 5:.5f}" for k in range(size)]
    (folder / "stars.csv").write_text("\n".join(["name,ra,dec", *rows]) + "\n")


def command(archive: Archive, executor: str) -> list[str]:
    """A run of ZTF against an archive."""
    at = "observatories.ztf"
    return [
        sys.executable, "-m", "retriever.cli", "run", "catalog=file", "catalog.path=stars.csv", "observatory=ztf",
        f"{at}.url={archive.url}{ZTF_PATH}", f"{at}.client.per_second=0", f"{at}.client.wait=0.1",
        "reducers.ztf.max_separation=1e9", "reducers.ztf.max_mag_difference=0", f"executor={executor}",
    ]  # fmt: skip


def memory_of(pid: int) -> float:
    """Resident memory of a process and its children, in MB."""
    total = 0.0
    for task in [pid, *children(pid)]:
        try:
            status = Path(f"/proc/{task}/status").read_text()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) / 1000
    return total


def children(pid: int) -> list[int]:
    """Processes below a process."""
    try:
        below = [
            int(word) for path in Path(f"/proc/{pid}/task").glob("*/children") for word in path.read_text().split()
        ]
    except OSError:
        return []
    return below + [child for one in below for child in children(one)]


def rate(size: int) -> None:
    """Sources a second, and memory after a tenth and at the end."""
    for executor in ("serial", "processes"):
        with (
            tempfile.TemporaryDirectory(prefix="retriever-archives-") as name,
            archive_of_copies(latency=LATENCY).serving() as archive,
        ):
            folder, seen = Path(name), []
            stars(folder, size)
            started = time.monotonic()
            process = subprocess.Popen(
                command(archive, executor), cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
            )
            while process.poll() is None:
                seen.append((len(archive.seen), memory_of(process.pid)))
                time.sleep(0.5)
            seconds = time.monotonic() - started
            if process.returncode:
                raise SystemExit(process.stderr.read().decode())
            early = max(memory for count, memory in seen if count <= max(size / 10, 100))
            late = max(memory for count, memory in seen if count > size / 2)
            print(
                f"{executor:<10} {size / seconds:>6.1f} sources/s, {archive.most_at_once} at once; "
                f"memory {early:.0f} MB in the first tenth, {late:.0f} MB in the second half",
                flush=True,
            )


def faults(size: int) -> None:
    """A tenth of the answers fail at random, and the run is killed three times."""
    kinds = ("503", "429", "reset", "half", "html", "cut")
    with (
        tempfile.TemporaryDirectory(prefix="retriever-archives-") as name,
        archive_of_copies(fault=by_chance(0.1, kinds)).serving() as archive,
    ):
        folder = Path(name)
        stars(folder, size)
        whole, struck = command(archive, "processes"), 0
        for share in (0.2, 0.5, 0.8):
            process = subprocess.Popen(
                whole, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
            )
            while sum(archive.answered.values()) < share * size and process.poll() is None:
                time.sleep(0.002)
            struck += process.poll() is None
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        while subprocess.run(whole, cwd=folder, capture_output=True).returncode == 3:
            print("some sources failed; run again", flush=True)
        twice = sum(count - 1 for count in archive.answered.values())
        import pyarrow.parquet as pq

        (version,) = (folder / "outputs").glob("ZTF_*")
        done = pq.read_metadata(version / "sources.parquet").num_rows
        print(
            f"{size} sources, 10 % of answers failing, {struck} of 3 kills struck: {len(archive.answered)} answered, "
            f"{done} in the version; answers sent twice: {twice} (on their way at a kill: at most 24)"
        )


def catalog(size: int) -> None:
    """Load the white dwarfs with their native columns, and look one up."""
    code = f"""
import time
from retriever.catalogs.white_dwarfs import WhiteDwarfFile
started = time.perf_counter()
table = WhiteDwarfFile(url="{{url}}", folder="{{folder}}", min_pwd=0.0).load()
loaded = time.perf_counter()
table.row_of(str(table.name[0]))
first = time.perf_counter()
for k in range(1000):
    assert table.row_of("WDJ%06d.00+000000.00" % (k * {size} // 1000)) == k * {size} // 1000
found = time.perf_counter()
status = open("/proc/self/status").read().splitlines()
peak = [int(line.split()[1]) / 1000 for line in status if line.startswith("VmHWM")][0]
print(f"{{{{len(table)}}}} rows in {{{{loaded - started:.2f}}}} s, at most {{{{peak:.0f}}}} MB; "
      f"index of names {{{{first - loaded:.2f}}}} s, then {{{{(found - first):.4f}}}} ms a row")
"""
    import gzip

    body = gzip.compress(gzip.decompress(white_dwarfs_fits(size)), 1)
    route = {"/wd.fits.gz": lambda request: Reply(body)}
    with tempfile.TemporaryDirectory(prefix="retriever-archives-") as name, Archive(routes=route).serving() as archive:
        for label in ("downloaded and frozen", "from disk"):
            script = code.format(url=f"{archive.url}/wd.fits.gz", folder=name)
            print(f"{label}: ", end="", flush=True)
            subprocess.run([sys.executable, "-c", script], check=True)


def main() -> None:
    """Measure the chosen case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", choices=["rate", "faults", "catalog"], required=True)
    parser.add_argument("--size", type=int, help="sources (default 10,000; 1,000; 1,300,000)")
    chosen = parser.parse_args()
    work, size = {"rate": (rate, 10_000), "faults": (faults, 1_000), "catalog": (catalog, 1_300_000)}[chosen.case]
    work(chosen.size or size)


if __name__ == "__main__":
    main()

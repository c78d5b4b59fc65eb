"""Planning and asking with a catalog of 1,300,000 sources: time, memory, size of the database.

    python benchmarks/scale.py                                        # SQLite, 0, 50 and 100 % done (some minutes)
    python benchmarks/scale.py --database postgresql://user@host/name # an empty database
    python benchmarks/scale.py --size 20000 --done 100

The products are made up: rows of the database as runs would publish them, and files of one byte in place of segments,
since planning looks at sizes only. Each command is a process of its own, start-up included.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

BATCH = 100


def words_for(folder: Path) -> list[str]:
    """Overrides of the version in question."""
    return ["project.name=scale", "catalog=file", f"catalog.path={folder / 'catalog.parquet'}"]


def make_catalog(path: Path, size: int) -> None:
    """A catalog with names, places and magnitudes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = np.random.default_rng(1)
    columns = {
        "name": pa.array([f"WDJ{k:07d}" for k in range(size)]),
        "ra": pa.array(rng.uniform(0, 360, size)),
        "dec": pa.array(np.rad2deg(np.arcsin(rng.uniform(-1, 1, size)))),
    }
    pq.write_table(pa.table(columns), path)


def fill(folder: Path, address: str, done: int) -> None:
    """Publish made-up products of the first sources, and write the version down."""
    from hydra import compose, initialize_config_dir

    from retriever.config import CONFIG_FOLDER, frozen_yaml
    from retriever.graph import GRAPH
    from retriever.identity import digest_each, join_digests
    from retriever.observatories.requests import request_digests
    from retriever.pipeline.session import open_session
    from retriever.store import history
    from retriever.store.batch import Batch
    from retriever.store.database import Database
    from retriever.store.publishing import add_sources, stage_ids
    from retriever.store.segments import SegmentFile

    with initialize_config_dir(str(CONFIG_FOLDER), version_base="1.3"):
        config = compose("config", overrides=words_for(folder))
    session = open_session(config)
    sources, recipe = session.sources, session.recipe
    raw = digest_each(name.encode() for name in sources.name.tolist())
    inputs = {
        "download": request_digests(recipe.surveys["demo"].observatory, sources),
        **dict.fromkeys(GRAPH.names[1:], join_digests(raw, sources.digests)),
    }
    specs = recipe.specs["demo"]
    order = np.argsort(sources.ra[:done])
    rng = np.random.default_rng(2)
    with Database(address, session.paths.outputs_root) as database:
        ids = stage_ids(database, specs.values())
        session.version.open_folder(frozen_yaml(config), session.repositories, recipe)
        number = history.record_version(
            database, session.version.name, session.version.hash, "scale", dict(session.version.inputs), ids.values()
        )
        history.start_run(database, "20260101T000000Z-000000", number, "here", 1, {})
        for stage in specs:
            spec, root = specs[stage], recipe.root(stage)
            batches = []
            for first in range(0, done, BATCH):
                rows = order[first : first + BATCH]
                path = f"{recipe.folder(spec)}/RA{first // BATCH % 360:03d}/x_{stage}_{first:032x}.h5"
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                (root / path).write_bytes(b"x")
                tables = {
                    "sources": {
                        "name": sources.name[rows], "input": inputs[stage][rows], "digest": raw[rows],
                        "outcome": np.zeros(rows.size, np.int8), "n_rows": np.full(rows.size, 100),
                        "message": np.full(rows.size, ""),
                    },
                    **made_up(stage, rows.size, rng),
                }  # fmt: skip
                file = SegmentFile(path=path, digest=f"{first:032x}", size=1)
                declared, root_name = GRAPH[stage].tables, GRAPH[stage].root
                batches.append(Batch(stage_key=spec.key, root=root_name, file=file, tables=tables, declared=declared))
                if len(batches) == 50 or first + BATCH >= done:
                    publish(database, batches)
                    batches = []
        unknown = {"epoch": 2000.0, "mag": None, "band": "", "aliases": []}
        columns = (sources.name, sources.digests.astype(str), sources.ra, sources.dec)
        rows = [
            {**dict(zip(("name", "digest", "ra", "dec"), row, strict=True)), **unknown}
            for row in zip(*(column[:done].tolist() for column in columns), strict=True)
        ]
        for first in range(0, done, 100_000):
            add_sources(database, rows[first : first + 100_000])


def publish(database, batches) -> None:
    """Publish under leases, as a run does."""
    from retriever.store.leases import LeaseHolder
    from retriever.store.publishing import publish as publish_batches

    with LeaseHolder(database, "20260101T000000Z-000000") as leases:
        leases.take(sorted({batch.stage_key for batch in batches}), print)
        publish_batches(database, batches, run="20260101T000000Z-000000", tokens=leases.tokens)


def made_up(stage: str, n: int, rng: np.random.Generator) -> dict:
    """Index tables of a segment: one raw answer, light curve, detection, injection and row of properties a source."""
    from retriever.graph import GRAPH

    tables = {"download": "raw_index", "reduce": "lightcurves", "analyze": "detections", "simulate": "injections"}
    filled = {
        int: lambda: rng.integers(0, 100, n),
        float: lambda: rng.normal(size=n),
        str: lambda: np.full(n, "r"),
        bool: lambda: rng.random(n) < 0.5,
    }
    (table,) = (table for table in GRAPH[stage].tables if table.name == tables[stage])
    columns = {spec.name: filled[spec.kind]() for spec in table.columns}
    made = {tables[stage]: {"source": np.arange(n), **columns}}
    if stage == "download":
        made[tables[stage]] |= {"provenance": np.full(n, "{}"), "aliases": np.full(n, "[]")}
    if stage == "analyze":
        names = ("best_snr", "mag_mean", "mag_scatter", "n_epochs", "n_good")
        made["properties"] = {"source": np.arange(n), **{f"p.{name}": rng.normal(size=n) for name in names}}
    return made


def timed(words: list[str], folder: Path, environment: dict[str, str]) -> tuple[float, float, str]:
    """Run a command; gives seconds, peak memory in MB and what it printed."""
    started = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "retriever.cli", *words], cwd=folder, env=environment, stdout=subprocess.PIPE, text=True
    )
    told = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status):
        raise SystemExit(f"{' '.join(words)} ended with {os.waitstatus_to_exitcode(status)}")
    return time.monotonic() - started, usage.ru_maxrss / 1000, told


def main() -> None:
    os.environ["RETRIEVER_REPORT"] = "false"  # the page about a version is timed by itself
    """Fill, then time each command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=1_300_000, help="sources (default 1,300,000)")
    parser.add_argument("--done", type=int, nargs="+", default=[0, 50, 100], help="percent done (default 0 50 100)")
    parser.add_argument("--database", default="", help="address of an empty database (default: SQLite)")
    chosen = parser.parse_args()
    environment = {**os.environ, **({"RETRIEVER_DATABASE": chosen.database} if chosen.database else {})}
    print(f"{'done':>5} {'command':<32} {'s':>7} {'MB':>6}")
    for percent in chosen.done:
        folder = Path(tempfile.mkdtemp(prefix="retriever-scale-"))
        try:
            subprocess.run([sys.executable, __file__, "--catalog", str(folder), str(chosen.size)], check=True)
            done = chosen.size * percent // 100
            os.chdir(folder)
            started = time.monotonic()
            if done:
                # in a process of its own: peak memory of a child begins with that of its parent
                subprocess.run(
                    [sys.executable, __file__, "--fill", str(folder), str(done), chosen.database], check=True
                )
                print(f"{percent:>4}% {'(made up and published)':<32} {time.monotonic() - started:>7.1f}", flush=True)
            name = f"WDJ{max(done - 7, 0):07d}"
            commands = [["plan", *words_for(folder), "--json"]]
            if done:
                commands += [
                    ["status"],
                    ["where", name],
                    ["show", name],
                    ["show", "--near", "120.5", "-33.1"],
                    ["gc", "--dry-run"],
                ]
            for words in commands:
                seconds, memory, told = timed(words, folder, environment)
                label = " ".join(words[:2]) if words[0] != "plan" else "plan"
                print(f"{percent:>4}% {label:<32} {seconds:>7.2f} {memory:>6.0f}", flush=True)
                if words[0] == "plan":
                    reused = sum(map(int, re.findall(r'"reused": (\d+)', told)))
                    if reused != 4 * done:
                        raise SystemExit(f"the plan reuses {reused} products where {4 * done} are there")
            if done and not chosen.database:
                print(
                    f"{percent:>4}% database: {(folder / 'outputs' / 'retriever.db').stat().st_size / 1e6:.0f} MB",
                    flush=True,
                )
        finally:
            os.chdir("/")
            shutil.rmtree(folder)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--catalog"]:
        make_catalog(Path(sys.argv[2]) / "catalog.parquet", int(sys.argv[3]))
    elif sys.argv[1:2] == ["--fill"]:
        fill(Path(sys.argv[2]), sys.argv[4], int(sys.argv[3]))
    else:
        main()

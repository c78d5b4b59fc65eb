"""Version folders made by hand, for tests that need no run."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from retriever.identity import canonical_hash
from retriever.report.parquet import write_parquet
from retriever.report.versions import VersionFolder

KEYS = {"download": "d" * 64, "reduce": "e" * 64}


def inputs_of(threshold: float, project: str = "hand", keys: Mapping[str, str] = KEYS) -> dict[str, Any]:
    """What the hash of a version is of."""
    return {
        "project": {"name": project, "seed": 0},
        "catalog": {"class": "m.Catalog", "fields": {"path": "t.csv"}, "digest": "c" * 32},
        "observatories": {"demo": {"class": "m.Demo", "fields": {"epochs": 3}}},
        "reducers": {"demo": {"class": "m.Reducer", "fields": {}}},
        "finder": {"class": "m.Finder", "fields": {"snr_threshold": threshold}},
        "stage_keys": {"demo": dict(keys)},
        "commits": {"retriever": "0.1", "working folder": ""},
    }


def make_version(outputs: Path, threshold: float = 5.0, *, created: str = "2026-01-02T03:04:05+00:00", **more: Any):
    """A version folder with a manifest and no tables; `more` goes to `inputs_of`."""
    inputs = inputs_of(threshold, **more)
    digest = canonical_hash(inputs)
    folder = outputs / f"{inputs['project']['name'].upper()}_{digest[:12]}"
    folder.mkdir(parents=True)
    manifest = {"hash": digest, "inputs": inputs, "created": created, "surveys": {"demo": "DEMO"}, "code": {}}
    (folder / "version.json").write_text(json.dumps(manifest))
    return VersionFolder(folder)


def add_tables(version: VersionFolder, n: int = 2, **changes: Mapping[str, Any]) -> None:
    """Tables of `n` sources, each with one light curve, one detection and one injection; `changes` replace columns."""
    names = np.array([f"s{k}" for k in range(n)])
    here = np.full(n, "demo")
    stages = np.repeat(np.array(["download", "reduce"]), n)
    both = {"source": np.tile(names, 2), "observatory": np.tile(here, 2), "stage": stages}
    event = {"source": names, "observatory": here, "lightcurve": np.ones(n, np.int64)}
    times = 58000.0 + np.arange(n)
    tables: dict[str, dict[str, Any]] = {
        "sources": {
            "name": names, "digest": np.full(n, "c" * 32), "ra": 10.0 + np.arange(n), "dec": np.zeros(n),
            "epoch": np.full(n, 2000.0), "mag": np.full(n, 17.0), "band": np.full(n, "r"), "aliases": np.full(n, '"x" "y"'),
        },
        "products": {
            **both, "outcome": np.full(2 * n, "done"), "rows": np.ones(2 * n, np.int64),
            "digest": np.array([f"{k:032x}" for k in range(1, 2 * n + 1)]), "message": np.full(2 * n, ""),
        },
        "segments": {"segment": np.full(2 * n, ""), "source_row": np.zeros(2 * n, np.int64)},
        "lightcurves": {**event, "number": np.ones(n, np.int64), "flux_median": 100.0 + np.arange(n)},
        "detections": {
            **event, "peak": np.arange(n), "time_first": times - 1.0, "time_peak": times, "time_last": times + 1.0,
            "snr": np.full(n, 6.0),
        },
        "injections": {
            **event, "time_peak": times, "snr": np.full(n, 4.0), "recovered": np.arange(n) % 2 == 0,
            "blended": np.zeros(n, np.bool_),
        },
        "properties": {"source": names, "observatory": here},
    }  # fmt: skip
    for name, columns in tables.items():
        write_parquet(version.folder / f"{name}.parquet", iter([{**columns, **changes.get(name, {})}]), {})

"""Reading what runs leave, for tests."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from retriever.lightcurve import Lightcurve
from retriever.report.tables import PLACES, is_table, result_digest

TABLES = {
    "sources": ["name"],
    "products": ["observatory", "stage", "source"],
    "lightcurves": ["observatory", "source", "number"],
    "detections": ["observatory", "source", "lightcurve", "peak"],
    "injections": ["observatory", "source", "trial", "lightcurve", "time_peak"],
    "properties": ["observatory", "source"],
}


def version_folder(outputs: Path, project: str = "") -> Path:
    """The only version folder of a project; of all projects where none is named."""
    (folder,) = [path.parent for path in outputs.glob(f"{project}*/version.json") if path.parent.name[0] != "."]
    return folder


def tables(folder: Path) -> dict[str, pd.DataFrame]:
    """All tables of results of a version, sorted by key."""
    return {
        name: pd.read_parquet(folder / f"{name}.parquet").sort_values(keys).reset_index(drop=True)
        for name, keys in TABLES.items()
    }


def assert_same_tables(one: Path, other: Path) -> None:
    """Two version folders have the same results, byte for byte; the frames are compared first, to say what differs."""
    import xarray as xr

    first, second = tables(one), tables(other)
    for name in TABLES:
        pd.testing.assert_frame_equal(first[name], second[name], check_exact=True)
    with xr.open_dataset(one / "histograms.nc") as a, xr.open_dataset(other / "histograms.nc") as b:
        xr.testing.assert_identical(a.load(), b.load())
    names = [path.name for path in sorted(one.iterdir()) if is_table(path.name) and path.name != PLACES]
    differing = [name for name in names if (one / name).read_bytes() != (other / name).read_bytes()]
    assert not differing, f"the values are equal, the bytes of {', '.join(differing)} are not"
    assert result_digest(one) == result_digest(other)


def summaries(folder: Path) -> list[dict[str, Any]]:
    """Summaries of a version's runs, oldest first."""
    paths = sorted(folder.glob("runs/*/summary.json"), key=lambda path: path.stat().st_mtime_ns)
    return [json.loads(path.read_text()) for path in paths]


def last_summary(folder: Path) -> dict[str, Any]:
    """Summary of the last run."""
    return summaries(folder)[-1]


def flat_lightcurve(n: int = 50, **changes: Any) -> Lightcurve:
    """A light curve of seeded noise around 100 with errors of 1."""
    rng = np.random.default_rng(7)
    columns: dict[str, Any] = {
        "band": "r",
        "time": 58000.0 + np.arange(float(n)),
        "flux": 100.0 + rng.standard_normal(n),
        "flux_err": np.ones(n),
        "exptime": np.full(n, 30.0),
    }
    columns |= changes
    columns.setdefault("mag", 23.9 - 2.5 * np.log10(np.maximum(columns["flux"], 1e-9)))
    columns.setdefault("mag_err", np.full(len(columns["time"]), 0.01))
    return Lightcurve.from_columns(**columns)

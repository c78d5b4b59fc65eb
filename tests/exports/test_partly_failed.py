"""A version of which some sources failed is exported without them, and says so."""

import json
import logging
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import retriever as package
from retriever.api.version import Version
from retriever.errors import NotMade, StoreError
from retriever.exports.skyportal import SkyPortal

SMALL = ("catalog.size=12", "observatories.demo.epochs=40", "observatories.demo.failures=0.3")


@pytest.fixture
def version(made_once, stand: Path) -> Version:
    made_once(SMALL, exit_code=3)
    version = package.open().versions["DEMO"]
    assert 0 < len(failed(version)) < 12
    return version


def failed(version: Version) -> set[str]:
    products = version.table("products")
    return set(products.loc[products["outcome"] == "failed", "source"])


def in_parquet(path: Path) -> set[str]:
    rows = pq.read_table(path).to_pylist()
    assert len(rows) == 12
    return {row["name"] for row in rows if row["lightcurve"]["time"]}


def in_lightkurve(folder: Path) -> set[str]:
    from astropy.io import fits

    return {fits.getheader(path)["OBJECT"] for path in folder.glob("*.fits")}


def in_hdf5(folder: Path) -> set[str]:
    import pandas as pd

    found = set()
    for path in folder.glob("*.h5"):
        with pd.HDFStore(path, "r") as store:
            found |= {store.get_storer(key).attrs.metadata["source_name"] for key in store}
    return found


def in_requests(path: Path) -> set[str]:
    return {json.loads(line)["obj_id"] for line in path.read_text().splitlines()}


@pytest.mark.parametrize(
    "kind, read",
    [("parquet", in_parquet), ("lightkurve", in_lightkurve), ("hdf5", in_hdf5), ("skyportal", in_requests)],
)
def test_the_others_are_written(
    version: Version, tmp_path: Path, caplog, kind: str, read: Callable[[Path], set[str]]
) -> None:
    if kind == "hdf5":
        pytest.importorskip("tables", reason="the package tables is not installed")
    version.export(tmp_path / "out", kind, level="reduced", skyportal=SkyPortal(instruments={"demo": 1}))
    assert read(tmp_path / "out") == set(version.sources["name"]) - failed(version)
    (record,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert f"left out for {len(failed(version))} pair(s)" in record.getMessage() and "failed" in record.getMessage()


def test_a_source_that_is_named_must_be_there(version: Version, tmp_path: Path) -> None:
    for name in sorted(failed(version)):
        with pytest.raises(NotMade, match=name):
            version.export(tmp_path / "out", "parquet", sources=[name])
        with pytest.raises(NotMade, match=name):
            version.source(name).lightcurves()
    assert not (tmp_path / "out").exists()


def test_light_curves_of_a_source_say_what_is_missing(version: Version) -> None:
    for source in version.each_source():
        for level in ("raw", "reduced", "detrended", "processed"):
            missing: list[NotMade] = []
            found = source.lightcurves(level, missing=missing.append)
            assert bool(missing) == (source.name in failed(version)) != bool(found)


def test_damage_is_no_failure(version: Version, tmp_path: Path) -> None:
    for path in Path("outputs/.stages").rglob("*"):
        if path.is_file():
            path.unlink()
    with pytest.raises(StoreError, match="missing"):
        package.open().versions[version.name].export(tmp_path / "out", "parquet")


def test_nested_frames_have_empty_light_curves(version: Version, caplog) -> None:
    pytest.importorskip("nested_pandas", reason="nested-pandas is not installed")
    frame = version.to_nested(sources_per_partition=12).compute()
    empty = {name for name, lc in zip(frame["name"], frame["lightcurve"], strict=True) if lc is None or not len(lc)}
    assert len(frame) == 12 and empty == failed(version)
    assert any("left out" in record.getMessage() for record in caplog.records)


def test_the_command_says_it(version: Version) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "retriever.cli", "export", version.name, "lc.parquet", "--format", "parquet"],
        capture_output=True, text=True,
    )  # fmt: skip
    assert ended.returncode == 0 and ended.stderr.startswith("light curves are left out for")
    assert in_parquet(Path("lc.parquet")) == set(version.sources["name"]) - failed(version)

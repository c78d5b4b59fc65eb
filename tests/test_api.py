"""The public Python interface, checked against the files that a run leaves."""

import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import h5py
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

import retriever as package
from retriever.api.archive import Archive
from retriever.api.version import Version
from retriever.errors import ConfigError, RetrieverError, SegmentError, StoreError
from retriever.lightcurve import Lightcurve
from retriever.report.parquet import write_parquet
from retriever.report.versions import VersionFolder
from retriever.source import decoded_aliases
from tests.conftest import ROOT
from tests.helpers import flat_lightcurve, version_folder
from tests.pipeline.test_own_stages import WORDS, write_project

SMALL = ("catalog.size=30", "observatories.demo.epochs=60", "observatories.demo.empty=0.2", "executor.batch_size=8")


@pytest.fixture
def version(made_once, stand: Path) -> Version:
    made_once(SMALL)
    return package.open("outputs").versions["DEMO"]


def stored_epochs(version: Version, name: str, stage: str, index: str, table: str) -> dict[str, np.ndarray]:
    """Epochs of the one light curve of a source, read with h5py from the place that the Parquet files tell."""
    products = pd.read_parquet(version.folder / "products.parquet")
    places = pd.read_parquet(version.folder / "segments.parquet")
    (at,) = np.flatnonzero((products.source == name) & (products.stage == stage))
    root, _, path = places.segment[at].partition("/")
    with h5py.File(version.folder.parents[1] / root / path) as file:
        rows = file[index][()] if isinstance(file[index], h5py.Dataset) else None
        source = rows["source"] if rows is not None else file[index]["source"][()]
        (k,) = np.flatnonzero(source == places.source_row[at])
        first, n = (int((rows if rows is not None else file[index])[key][k]) for key in ("first", "n_rows"))
        epochs = file[table]  # a record an epoch, or a dataset a column
        names = epochs.dtype.names if isinstance(epochs, h5py.Dataset) else list(epochs)
        return {key: epochs[key][first : first + n] for key in names}


# ---- the package -----------------------------------------------------------------------------------------------------


def test_the_public_names_are_these() -> None:
    names = [
        "Analyzed",
        "Detection",
        "Injection",
        "Lightcurve",
        "Reduction",
        "Simulated",
        "Source",
        "SourceTable",
        "open",
        "run",
    ]
    assert package.__all__ == names
    assert sorted(dir(package)) == sorted([*names, "__version__"])
    assert package.Lightcurve is Lightcurve
    assert all(getattr(package, name).__doc__ for name in names)
    with pytest.raises(AttributeError, match="no attribute 'Lightcurves'"):
        package.Lightcurves  # noqa: B018


def test_importing_the_package_loads_nothing_heavy() -> None:
    text = "import retriever, sys; print([name for name in sys.modules if name.split('.')[0] in sys.argv[1:]])"
    heavy = ("numpy", "pandas", "hydra", "omegaconf", "pyarrow", "h5py", "sqlalchemy", "astropy")
    assert subprocess.check_output([sys.executable, "-c", text, *heavy], text=True).strip() == "[]"


def test_opening_a_version_loads_neither_pandas_nor_hydra(version: Version) -> None:
    text = (
        "import retriever, sys; v = retriever.open('outputs').versions['DEMO']; repr(v); "
        "v.source('random_000003').lightcurves('raw'); "
        "print([name for name in ('pandas', 'hydra', 'sqlalchemy', 'xarray') if name in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", text], text=True).strip() == "[]"


# ---- versions ----------------------------------------------------------------------------------------------------------


def make_versions(outputs: Path, *names: str) -> Archive:
    for name in names:
        (outputs / name).mkdir(parents=True)
        (outputs / name / "version.json").write_text(json.dumps({"hash": "x", "inputs": {}}))
    return package.open(outputs)


def test_versions_are_a_mapping_with_beginnings_of_names_and_hashes(tmp_path: Path) -> None:
    archive = make_versions(tmp_path / "o", "DEMO_1f3a", "DEMO_2b00", "ZTF_2b01", "DEMO")
    versions = archive.versions
    assert list(versions) == list(versions.keys()) == ["DEMO", "DEMO_1f3a", "DEMO_2b00", "ZTF_2b01"]
    assert len(versions) == 4 and [each.name for each in versions.values()] == list(versions)
    assert dict(versions.items())["ZTF_2b01"].folder == tmp_path / "o" / "ZTF_2b01"
    # a whole name counts before beginnings
    for word, name in {
        "DEMO_1": "DEMO_1f3a",
        "1f": "DEMO_1f3a",
        "DEMO": "DEMO",
        "Z": "ZTF_2b01",
        "2b01": "ZTF_2b01",
    }.items():
        assert versions[word].name == name and word in versions
    assert "2b" not in versions and "X" not in versions and "" not in versions and 3 not in versions
    with pytest.raises(StoreError, match="may mean DEMO_2b00, ZTF_2b01; give more letters"):
        versions["2b"]
    with pytest.raises(StoreError, match=r"no version 'DEMO_1f3b'; did you mean 'DEMO_1f3a'\?"):
        versions["DEMO_1f3b"]
    assert "\n" not in repr(archive) + repr(versions) + repr(versions["DEMO"])
    assert (
        "DEMO_1f3a" in repr(versions) and "4 versions" in repr(archive) and "without tables" in repr(versions["DEMO"])
    )


def test_folders_come_from_words_the_environment_or_their_usual_names(stand: Path, monkeypatch) -> None:
    with pytest.raises(ConfigError, match="outputs is no folder"):
        package.open()
    make_versions(stand / "outputs", "A_1")
    make_versions(stand / "elsewhere", "B_1")
    assert package.open().outputs == stand / "outputs" and package.open().data == stand / "data"
    monkeypatch.setenv("RETRIEVER_OUTPUTS", "elsewhere")
    monkeypatch.setenv("RETRIEVER_DATA", "raw")
    assert list(package.open().versions) == ["B_1"] and package.open().data == stand / "raw"
    assert package.open("outputs", data="mine").data == stand / "mine"
    with pytest.raises(ConfigError, match=r"is the folder of a version; open .*elsewhere and take versions\['B_1'\]"):
        package.open("elsewhere/B_1")


# ---- tables ------------------------------------------------------------------------------------------------------------


def test_tables_are_those_of_the_files_and_have_units(version: Version) -> None:
    for name in ("sources", "lightcurves", "detections", "injections", "properties", "products"):
        pd.testing.assert_frame_equal(getattr(version, name), pd.read_parquet(version.folder / f"{name}.parquet"))
    assert version.sources.attrs["units"]["pmra"] == "mas/yr" and "name" not in version.sources.attrs["units"]
    assert version.detections.attrs["units"] == dict.fromkeys(("time_first", "time_peak", "time_last"), "d") | {
        "dmag": "mag",
        "bjd_peak": "d",
        "width": "d",
        "period": "d",
        "equivalent_duration": "s",
    }
    assert version.properties.attrs["units"]["mag_mean"] == "mag"
    few = version.table("lightcurves", ["n_epochs", "source"])
    assert few.columns.tolist() == ["n_epochs", "source"] and (few.n_epochs == 60).all() and few.attrs["units"] == {}
    with xr.open_dataset(version.folder / "histograms.nc") as stored:
        xr.testing.assert_identical(version.histograms, stored.load())
    assert version.config.finder.snr_threshold == 5.0 and version.config["catalog"]["size"] == 30
    assert version.manifest == json.loads((version.folder / "version.json").read_text())
    assert version.tables == tuple(sorted(path.stem for path in version.folder.glob("*.parquet")))
    assert "30 sources" in repr(version) and version.name in repr(version)


def test_columns_that_an_older_version_does_not_have_get_their_defaults(version: Version) -> None:
    path = version.folder / "detections.parquet"
    pd.read_parquet(path).drop(columns="finder").to_parquet(path)
    assert (version.detections.finder == "").all()
    assert version.table("detections", ["finder", "snr"]).columns.tolist() == ["finder", "snr"]


def test_what_does_not_exist_is_told_with_what_does(version: Version) -> None:
    source = version.source("random_000003")
    for asked, text in {
        lambda: version.table("detection"): r"no table 'detection'; did you mean 'detections'\?",
        lambda: version.table("../x"): "no table '../x' .*sources",
        lambda: version.table("detections", ["snrr"]): r"no column 'snrr'; did you mean 'snr'\?",
        lambda: version.source("random_00003"): r"no source 'random_00003'; did you mean 'random_0000\d\d'\?",
        lambda: version.source("?"): "no source '\\?'; see version.sources",
        lambda: source.lightcurves("reducd"): r"no level 'reducd'; did you mean 'reduced'\?",
        lambda: source.lightcurves(observatory="ztf"): r"no observatory 'ztf' \(known: demo\)",
    }.items():
        with pytest.raises(RetrieverError, match=text):
            asked()


def test_nothing_is_written_and_no_database_is_needed(version: Version) -> None:
    for path in version.folder.parent.glob("retriever.db*"):
        path.unlink()
    shutil.copytree(version.folder.parents[1], version.folder.parents[2] / "copy")
    before = {path: path.stat().st_mtime_ns for path in Path("outputs").rglob("*")}
    for level in ("raw", "reduced", "detrended", "processed", "simulated"):
        version.source("random_000003").lightcurves(level=level)
    _ = version.detections, version.histograms
    assert {path: path.stat().st_mtime_ns for path in Path("outputs").rglob("*")} == before


# ---- sources and light curves ------------------------------------------------------------------------------------------


def test_light_curves_of_each_level_are_those_of_the_segments(version: Version) -> None:
    known = set(version.lightcurves.source)
    assert 0 < len(known) < 30
    for name in version.sources.name:
        source = version.source(name)
        raw, reduced, processed = (source.lightcurves(level=level) for level in ("raw", "reduced", "processed"))
        assert len(reduced) == len(processed) == (name in known)
        if name not in known:
            assert sum(table.n_rows for table in raw) == 0 and source.lightcurves("simulated") == ()
            continue
        ((raw_table,), (before,), (after,)) = raw, reduced, processed
        for column, values in stored_epochs(version, name, "download", "raw", "rows").items():
            stored = values.astype("U") if values.dtype.kind == "S" else values
            np.testing.assert_array_equal(raw_table.columns[column], stored)
        epochs = stored_epochs(version, name, "reduce", "lightcurves", "epochs")
        assert set(before.columns()) == set(epochs)
        for column, values in epochs.items():
            np.testing.assert_array_equal(before.columns()[column], values)
        scores = stored_epochs(version, name, "analyze", "scored", "scores")
        assert "snr" in scores
        for column, values in {**epochs, **scores}.items():
            np.testing.assert_array_equal(after.columns()[column], values)
        assert after.n_good == version.lightcurves.set_index("source").n_good[name] - int(
            after.qflag.sum() - before.qflag.sum()
        )
        assert source.lightcurves(observatory="demo")[0].flux is not None and source.observatories == ("demo",)


def test_rows_of_a_source_are_those_of_the_tables(version: Version) -> None:
    for name in ("random_000003", "random_000017"):
        source = version.source(name)
        for table in ("detections", "injections", "properties", "lightcurves"):
            whole = version.table(table)
            wanted = whole[whole.source == name].reset_index(drop=True)
            pd.testing.assert_frame_equal(source.table(table), wanted, check_dtype=len(wanted) > 0)
            assert source.table(table).attrs["units"] == whole.attrs["units"]
        row = version.sources.set_index("name").loc[name]
        assert (source.catalog.ra, source.catalog.dec, source.catalog.mag) == (row.ra, row.dec, row.mag)
        products = version.products.query("source == @name")
        assert [(product.stage, product.outcome) for product in source.history] == list(
            zip(products.stage, products.outcome, strict=True)
        )
        assert "\n" not in repr(source) and name in repr(source)


def test_simulated_light_curves_hold_the_injected_events(version: Version) -> None:
    injected = version.injections.source.unique()
    assert len(injected)
    for name in injected[:3]:
        source = version.source(name)
        reduced = {lc.number: lc for lc in source.lightcurves("reduced")}
        simulated = {lc.number: lc for lc in source.lightcurves("simulated")}
        assert set(simulated) == set(source.injections.lightcurve)
        for event in source.injections.itertuples():
            before, after = reduced[event.lightcurve], simulated[event.lightcurve]
            np.testing.assert_array_equal(before.time, after.time)
            near = np.abs(before.time - event.time_peak) <= event.width / 2
            assert near.sum() >= event.n_epochs
            change = (after.flux - before.flux)[near] / event.amplitude
            assert np.all((change > 0.4) & (change < 1.001))
            if event.recovered:
                assert np.any(np.isclose(after.extra["snr"], event.found_snr, rtol=1e-12))


def test_simulated_light_curves_of_other_code_are_refused(version: Version) -> None:
    path = version.folder / "version.json"
    manifest = json.loads(path.read_text())
    manifest["inputs"]["stage_keys"]["demo"]["simulate"] = "0" * 64
    path.write_text(json.dumps(manifest))
    name = version.injections.source[0]
    with pytest.raises(StoreError, match="was made by other code than the present; check out the commit"):
        package.open().versions["DEMO"].source(name).lightcurves("simulated")


def test_a_missing_or_altered_segment_is_named(version: Version) -> None:
    name = version.lightcurves.source[0]
    (place,) = [product.segment for product in version.source(name).history if product.stage == "reduce"]
    path = Path(place)
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(SegmentError, match=f"{path.name} was altered"):
        version.source(name).lightcurves()
    path.unlink()
    with pytest.raises(SegmentError, match=f"{path.name} is missing"):
        version.source(name).lightcurves()
    assert version.source(name).lightcurves("raw")
    shutil.move("data", "raw")
    with pytest.raises(SegmentError, match="is missing"):
        package.open().versions["DEMO"].source(name).lightcurves("raw")
    assert package.open(data="raw").versions["DEMO"].source(name).lightcurves("raw")


def test_stages_that_failed_or_were_not_run_are_errors(retriever, stand: Path) -> None:
    assert retriever("run", *SMALL, "run.stages=[download,reduce]").code == 0
    version = package.open().versions["DEMO"]
    source = version.source(version.lightcurves.source[0])
    assert source.lightcurves("reduced")[0].n_epochs == 60
    with pytest.raises(StoreError, match="no product of stage 'analyze' of demo: it is pending; run the version again"):
        source.lightcurves("processed")
    broken = (
        "project.name=broken",
        "observatory=folder",
        "paths.lightcurves=own",
        "catalog=file",
        "catalog.path=t.csv",
    )
    (stand / "own").mkdir()
    (stand / "own" / "X.csv").write_text("mjd,mag\n1,x\n")
    (stand / "t.csv").write_text("name,ra,dec\nX,1,2\n")
    retriever("run", *broken)
    source = package.open().versions["BROKEN"].source("X")
    failed = next(product for product in source.history if product.outcome == "failed")
    assert failed.message
    with pytest.raises(StoreError, match=re.escape(failed.message)):
        source.lightcurves("raw" if failed.stage == "download" else "reduced")
    with pytest.raises(StoreError, match="has no product of stage"):
        source.lightcurves("reduced")


@pytest.mark.slow
def test_light_curves_that_stages_of_the_project_refined_are_those_that_were_searched(retriever, stand: Path) -> None:
    write_project(stand)
    assert retriever("run", *WORDS).code == 0
    version = package.open().versions["OWN"]
    known = version.lightcurves.groupby("source").observatory.unique()
    both = next(name for name, surveys in known.items() if len(surveys) == 2)
    source = version.source(both)
    assert source.observatories == ("demo", "other")
    assert len(source.lightcurves()) == len(source.lightcurves("detrended")) == 2
    for observatory in source.observatories:
        (lc,) = source.lightcurves("detrended", observatory=observatory)
        stored = stored_epochs_of(version, both, observatory, "trend")
        np.testing.assert_array_equal(lc.flux, stored)
        (reduced,) = source.lightcurves("reduced", observatory=observatory)
        np.testing.assert_array_equal(reduced.flux, stored_epochs_of(version, both, observatory, "reduce"))
        assert not np.array_equal(lc.flux, reduced.flux)
    joint = version.table("joint_events").set_index("source")
    assert joint.surveys[both] == "demo other" and source.table("joint_events").surveys.tolist() == ["demo other"]
    injected = version.source(version.injections.source[0])
    assert len(injected.lightcurves("simulated")) == len(injected.injections.groupby(["observatory", "lightcurve"]))
    for name in [key for key in sys.modules if key == "own_stages"]:
        sys.modules.pop(name)


def stored_epochs_of(version: Version, name: str, observatory: str, stage: str) -> np.ndarray:
    products = pd.concat(
        [pd.read_parquet(version.folder / f"{table}.parquet") for table in ("products", "segments")], axis=1
    )
    (row,) = products.query("source == @name and observatory == @observatory and stage == @stage").itertuples()
    with h5py.File(version.folder.parents[1] / row.segment) as file:
        index = file["lightcurves"][()]
        (k,) = np.flatnonzero(index["source"] == row.source_row)
        return file["epochs"]["flux"][index["first"][k] : index["first"][k] + index["n_rows"][k]]


def test_a_source_is_found_by_an_alias(retriever, stand: Path) -> None:
    (stand / "t.csv").write_text("name,ra,dec\nA,1,2\nB,2,3\n")
    assert retriever("run", "catalog=file", "catalog.path=t.csv", "observatories.demo.epochs=30").code == 0
    folder = version_folder(stand / "outputs")
    frame = pd.read_parquet(folder / "sources.parquet")
    frame["aliases"] = ['"TIC 10"', '"say \\"hi\\"" "TIC 1"']
    frame.to_parquet(folder / "sources.parquet")
    version = package.open().versions["DEMO"]
    assert version.source("TIC 1").name == "B" and version.source("TIC 10").name == "A"
    assert version.source('say "hi"').catalog.aliases == ('say "hi"', "TIC 1")
    with pytest.raises(StoreError, match="no source 'TIC'"):
        version.source("TIC")


@given(st.lists(st.text(max_size=8), max_size=4))
def test_aliases_come_back_whatever_is_in_them(names: list[str]) -> None:
    assert decoded_aliases(" ".join(map(json.dumps, names))) == tuple(names)


# ---- light curves as tables --------------------------------------------------------------------------------------------


def test_a_light_curve_becomes_a_table() -> None:
    lc = flat_lightcurve(5, series="s1", ra=np.full(5, 1.0), dec=np.full(5, 2.0)).replace(extra={"x": np.arange(5)})
    frame = lc.to_pandas()
    assert frame.columns.tolist() == list(lc.columns()) and frame.index.tolist() == [0, 1, 2, 3, 4]
    for name, values in lc.columns().items():
        np.testing.assert_array_equal(frame[name], values)
        assert frame[name].dtype == values.dtype
    assert frame.attrs["units"]["flux_err"] == "uJy" and frame.attrs["units"]["dec"] == "deg"
    assert (frame.attrs["band"], frame.attrs["series"], frame.attrs["number"]) == ("r", "s1", 1)
    frame.loc[0, "flux"] = -1.0
    assert lc.flux[0] > 0
    assert repr(lc) == "<Lightcurve 1 of 1: r s1, 5 epochs, MJD 58000.00 to 58004.00>"
    assert repr(flat_lightcurve(0)) == "<Lightcurve 1 of 1: r, 0 epochs>"
    assert "ra" not in flat_lightcurve(2).to_pandas().attrs["units"]


def test_what_is_handed_out_cannot_change_what_is_kept(version: Version) -> None:
    source = version.source("random_000003")
    (raw,) = source.lightcurves("raw")
    (lc,) = source.lightcurves("reduced")
    for column in (raw.columns["mjd"], lc.flux):
        with pytest.raises(ValueError, match="read-only"):
            column[0] = 0.0
    frame = version.sources
    frame["ra"] = 0.0
    assert version.sources.ra.max() > 0


# ---- many sources ------------------------------------------------------------------------------------------------------


def test_a_version_of_many_sources_opens_at_once(tmp_path: Path) -> None:
    n, stages = 100_000, ("download", "reduce", "analyze", "simulate")
    folder = tmp_path / "outputs" / "BIG_1"
    (folder.parent / ".tmp").mkdir(parents=True)
    folder.mkdir()
    keys = {"big": dict.fromkeys(stages, "0")}
    (folder / "version.json").write_text(json.dumps({"hash": "1", "inputs": {"stage_keys": keys}}))
    names = np.array([f"s{k:06d}" for k in range(n)])
    write_parquet(folder / "sources.parquet", iter([{"name": names, "ra": np.arange(n) / n, "dec": np.zeros(n)}]), {})
    columns = [
        {"source": names, "observatory": np.full(n, "big"), "stage": np.full(n, stage), "outcome": np.full(n, "done")}
        | {"message": np.full(n, ""), "segment": np.full(n, stage), "source_row": np.arange(n)}
        for stage in stages
    ]
    write_parquet(folder / "products.parquet", iter(columns), {})
    package.open(tmp_path / "outputs").versions["BIG"].source("s000000")  # imports what is needed
    times = []
    for _ in range(3):
        start = time.perf_counter()
        version = package.open(tmp_path / "outputs").versions["BIG"]
        assert "100000 sources" in repr(version)
        times.append(time.perf_counter() - start)
    assert min(times) < 0.2
    source = version.source("s070001")
    assert [(product.stage, product.segment, product.row) for product in source.history] == [
        (stage, stage, 70_001) for stage in stages
    ]
    assert source.catalog.ra == 0.70001
    with pytest.raises(StoreError, match=r"no source 's7'; see version\.sources"):
        version.source("s7")


def test_opening_reads_no_table(tmp_path: Path) -> None:
    archive = make_versions(tmp_path / "outputs", "A_1")
    for name in ("sources", "detections"):
        (tmp_path / "outputs" / "A_1" / f"{name}.parquet").write_bytes(b"broken")
    version = archive.versions["A"]
    assert version.name == "A_1" and "detections" in version.tables
    with pytest.raises(StoreError, match="run the version again to make its tables anew"):
        _ = version.detections


# ---- the page ----------------------------------------------------------------------------------------------------------


def test_every_block_of_the_page_on_python_runs(retriever, stand: Path) -> None:
    page = (ROOT / "docs" / "python.md").read_text()
    assert retriever("run", "catalog.size=20", "observatories.demo.epochs=30").code == 0
    known: dict[str, object] = {}
    blocks = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    assert len(blocks) >= 7
    try:
        for block in blocks:
            exec(block, known)
    finally:
        plt.close("all")
    assert isinstance(known["version"], Version) and isinstance(known["lc"], Lightcurve)
    assert VersionFolder(known["version"].folder).name.startswith("DEMO_")
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", page):
        assert (ROOT / "docs" / target).exists()

"""Whole runs: what is done, what is not done again, and what is left behind."""

import importlib.metadata
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from retriever.identity import canonical_hash
from tests.helpers import assert_same_tables, last_summary, summaries, tables, version_folder

SMALL = ("catalog.size=30", "observatories.demo.epochs=40", "executor.batch_size=7")


def computed(folder: Path) -> dict[str, int]:
    return last_summary(folder)["computed"]


def nothing() -> dict[str, int]:
    return {"download": 0, "reduce": 0, "analyze": 0, "simulate": 0}


def test_the_demo_leaves_what_anybody_can_open(retriever, stand) -> None:
    ended = retriever("run", *SMALL, "observatories.demo.empty=0.2")
    assert ended.code == 0, ended
    folder = version_folder(stand / "outputs")
    assert f"complete: {folder}" in ended.out
    found = tables(folder)
    assert len(found["sources"]) == 30
    assert len(found["products"]) == 30 * 4
    outcomes = found["products"].groupby(["stage", "outcome"]).size()
    empty = outcomes["download", "empty"]
    assert 0 < empty < 30
    assert outcomes["simulate", "done"] == 30 - empty
    assert len(found["lightcurves"]) == len(found["properties"]) == 30 - empty
    assert (found["lightcurves"]["n_epochs"] == 40).all()
    with xr.open_dataset(folder / "histograms.nc") as histograms:
        assert histograms["snr"].dims == (
            "selection",
            "snr_bin",
            "magnitude_bin",
            "exposure_time_bin",
            "filter",
        )
        counts = histograms["snr"].sum(["snr_bin", "magnitude_bin", "exposure_time_bin", "filter"])
        assert int(counts.sel(selection="all")) == 40 * (30 - empty)
        assert int(counts.sel(selection="good")) == found["lightcurves"]["n_good"].sum() - int(
            counts.sel(selection="quality") - (40 * (30 - empty) - found["lightcurves"]["n_good"].sum())
        )
        assert histograms["snr"].attrs["units"] == "1"
        assert histograms["magnitude_low"].attrs["units"] == "mag"
    version = json.loads((folder / "version.json").read_text())
    assert canonical_hash(version["inputs"]) == version["hash"]
    assert folder.name == f"DEMO_{version['hash'][:12]}"
    assert version["inputs"]["finder"]["fields"]["snr_threshold"] == 5.0
    assert (folder / "config.yaml").read_text().startswith("catalog:") or "snr_threshold: 5.0" in (
        folder / "config.yaml"
    ).read_text()


def test_axes_of_histograms_are_in_the_config_and_recompute_nothing(retriever, stand) -> None:
    composite = ("finder=composite", "+finder@finder.finders.faint=dips")
    assert retriever("run", *SMALL, *composite).code == 0
    first = version_folder(stand / "outputs")
    axes = ("histograms.scores.snr.bins=4", "~histograms.context.exposure_time", "histograms.context.magnitude.low=9.5")
    assert retriever("run", *SMALL, *composite, *axes).code == 0
    (second,) = {path.parent for path in (stand / "outputs").glob("*/version.json")} - {first}
    assert computed(second) == nothing()
    with xr.open_dataset(first / "histograms.nc") as fine, xr.open_dataset(second / "histograms.nc") as coarse:
        assert coarse["snr_low"].dims == fine["snr_low"].dims
        assert coarse["snr"].dims == ("selection", "snr_bin", "magnitude_bin", "filter")
        assert coarse["snr_low"].values[1:5].tolist() == [-20.0, -10.0, 0.0, 10.0]
        names = {name for name in fine.data_vars if name.startswith("snr")} - {"snr_low", "snr_high"}
        assert len(names) == 3  # of each finder
        for name in names:
            expected = fine[name].sum(["magnitude_bin", "exposure_time_bin", "filter"]).values
            found = coarse[name].sum(["magnitude_bin", "filter"]).values
            # 160 bins become 4 of 40, under-, overflow and unknown stay
            inner = expected[:, 1:-2].reshape(3, 4, 40).sum(axis=2)
            assert (found == np.column_stack([expected[:, 0], inner, expected[:, -2:]])).all(), name
    wrong = retriever("run", *SMALL, "histograms.scores.snr.bins=0")
    assert wrong.code == 2 and "histograms" in wrong.err


def test_units_are_in_the_tables(retriever, stand) -> None:
    import pyarrow.parquet as pq

    retriever("run", *SMALL)
    folder = version_folder(stand / "outputs")
    units = {
        name: {
            field.name: field.metadata[b"unit"].decode()
            for field in pq.read_schema(folder / f"{name}.parquet")
            if field.metadata
        }
        for name in ("detections", "properties", "sources")
    }
    assert units["detections"]["time_peak"] == "d"
    assert units["properties"]["mag_mean"] == "mag"
    assert units["sources"]["ra"] == "deg"


def test_nothing_is_done_twice(made_once, retriever, stand) -> None:
    made_once(SMALL)
    folder = version_folder(stand / "outputs")
    files = {path: path.stat().st_mtime_ns for path in stand.rglob("*") if path.suffix in (".h5", ".parquet", ".nc")}
    ended = retriever("run", *SMALL)
    assert "nothing to do" in ended.out
    assert computed(folder) == nothing()
    assert {path: path.stat().st_mtime_ns for path in files} == files


def test_a_threshold_recomputes_the_search_alone_and_turning_it_back_nothing(made_once, retriever, stand) -> None:
    made_once(SMALL)
    first = version_folder(stand / "outputs")
    before = tables(first)
    retriever("run", *SMALL, "finder.snr_threshold=7")
    (second,) = set(stand.glob("outputs/DEMO_*")) - {first}
    assert computed(second) == {"download": 0, "reduce": 0, "analyze": 30, "simulate": 30}
    retriever("run", *SMALL)
    assert computed(first) == nothing()
    for name, frame in tables(first).items():
        pd.testing.assert_frame_equal(frame, before[name])


@pytest.mark.slow
def test_batches_executors_and_parts_give_the_same_tables(retriever, stand) -> None:
    common = ("catalog.size=30", "observatories.demo.filters=[g,r]", "observatories.demo.epochs=30")
    for outputs, steps in (
        ("a", [["executor.batch_size=100"]]),
        ("b", [["executor=processes", "executor.batch_size=7", "executor.workers=2"]]),
        (
            "c",
            [
                ["run.stages=[download,reduce]", "run.stop=11"],
                ["run.start=20"],
                ["run.sources=[random_000003]"],
                ["executor.batch_size=4"],
            ],
        ),
    ):
        for step in steps:
            assert retriever("run", *common, *step, f"paths.outputs={outputs}", f"paths.data={outputs}/data").code == 0
    one, two, three = (version_folder(stand / name) for name in "abc")
    assert one.name == two.name == three.name
    assert_same_tables(one, two)
    assert_same_tables(one, three)
    assert [s["state"] for s in summaries(three)] == ["partial", "partial", "partial", "complete"]
    assert sum(s["computed"]["download"] for s in summaries(three)) == 30


def test_a_deleted_file_is_made_again_and_nothing_else(made_once, retriever, stand) -> None:
    made_once(SMALL)
    folder = version_folder(stand / "outputs")
    before = tables(folder)
    for pattern, stage in (
        ("data/**/*.h5", "download"),
        ("outputs/.stages/reduce/**/*.h5", "reduce"),
        ("outputs/.stages/analyze/**/*.h5", "analyze"),
    ):
        victim = sorted(stand.glob(pattern))[0]
        victim.unlink()
        assert retriever("run", *SMALL).code == 0
        assert computed(folder) == {**nothing(), stage: 7}
        # the same bytes again; a raw file says when it was fetched, so that it may be another one
        assert victim.exists() or stage == "download"
        for name, frame in tables(folder).items():
            pd.testing.assert_frame_equal(frame, before[name])


def test_a_truncated_file_is_made_again(made_once, retriever, stand) -> None:
    made_once(SMALL)
    victim = sorted(stand.glob("data/**/*.h5"))[0]
    whole = victim.read_bytes()
    victim.write_bytes(whole[:1000])
    assert retriever("run", *SMALL).code == 0
    # the raw file says when it was fetched, so that it is another one; what it holds is the same
    assert computed(version_folder(stand / "outputs"))["download"] == 7
    assert computed(version_folder(stand / "outputs"))["reduce"] == 0


def test_an_altered_file_is_never_read_in_silence(retriever, stand) -> None:
    retriever("run", *SMALL, "run.stages=[download]")
    victim = sorted(stand.glob("data/**/*.h5"))[0]
    image = bytearray(victim.read_bytes())
    image[len(image) // 2] ^= 1
    victim.write_bytes(bytes(image))
    ended = retriever("run", *SMALL)
    assert ended.code == 1
    assert "was altered" in ended.err
    assert str(victim) in ended.err
    victim.unlink()
    assert retriever("run", *SMALL).code == 0


@pytest.mark.parametrize("name", ["version.json", "products.parquet", "config.yaml", "detections.parquet"])
def test_a_damaged_or_missing_file_of_a_version_folder_is_made_again(made_once, retriever, stand, name: str) -> None:
    made_once(SMALL)
    folder = version_folder(stand / "outputs")
    before = tables(folder)
    for damage in ("{junk", None):
        (folder / name).unlink()
        if damage:
            (folder / name).write_text(damage)
        ended = retriever("run", *SMALL)
        assert ended.code == 0, ended
        assert computed(folder) == nothing()
        if damage is None or name in ("version.json", "products.parquet"):
            assert (folder / name).read_bytes()[:5] != b"{junk"
            for table, frame in tables(folder).items():
                pd.testing.assert_frame_equal(frame, before[table])


def test_the_database_can_be_lost(made_once, retriever, stand) -> None:
    made_once(SMALL)
    folder = version_folder(stand / "outputs")
    before = tables(folder)
    for path in stand.glob("outputs/retriever.db*"):
        path.unlink()
    assert retriever("run", *SMALL).code == 0
    assert computed(folder) == nothing()
    for name, frame in tables(folder).items():
        pd.testing.assert_frame_equal(frame, before[name])


def test_raw_data_is_shared_by_projects_and_outputs(made_once, retriever, stand) -> None:
    made_once(SMALL)
    retriever("run", *SMALL, "project.name=other", "paths.outputs=elsewhere")
    assert computed(version_folder(stand / "elsewhere", "OTHER")) == {
        "download": 0,
        "reduce": 30,
        "analyze": 30,
        "simulate": 30,
    }


def test_new_sources_alone_are_done(made_once, retriever, stand) -> None:
    made_once(SMALL)
    retriever("run", *SMALL, "catalog.size=40")
    (second,) = [path for path in stand.glob("outputs/DEMO_*") if len(tables(path)["sources"]) == 40]
    assert computed(second) == dict.fromkeys(nothing(), 10)


def test_adding_a_survey_recomputes_nothing(made_once, retriever, stand) -> None:
    made_once(SMALL)
    first = version_folder(stand / "outputs")
    (stand / "lcs").mkdir()
    (stand / "lcs" / "random_000001.csv").write_text("mjd,mag,magerr,filter\n1,17,0.1,r\n2,17.1,0.1,r\n")
    ended = retriever("run", *SMALL, "observatory=[demo,folder]", "paths.lightcurves=lcs")
    assert ended.code == 0, ended
    (second,) = set(stand.glob("outputs/DEMO_*")) - {first}
    assert computed(second) == {"download": 30, "reduce": 1, "analyze": 1, "simulate": 1}
    assert set(tables(second)["lightcurves"]["observatory"]) == {"demo", "folder"}


def test_failures_are_kept_apart_told_and_tried_again(retriever, stand) -> None:
    ended = retriever("run", *SMALL, "observatories.demo.failures=0.3")
    assert ended.code == 3
    assert "told to fail" in ended.out
    folder = version_folder(stand / "outputs")
    failed = last_summary(folder)["outcomes"]["demo"]["download"]["failed"]
    assert 0 < failed < 30
    products = tables(folder)["products"]
    assert (products.outcome == "blocked").sum() == 3 * failed
    assert products[products.outcome == "failed"].message.str.contains("told to fail").all()
    assert retriever("run", *SMALL, "observatories.demo.failures=0.3", "run.retry=false").code == 3
    assert computed(folder) == nothing()
    assert retriever("run", *SMALL).code == 0
    assert computed(folder)["download"] == failed


def test_a_hopeless_run_is_given_up_and_can_be_gone_on_with(retriever, stand) -> None:
    ended = retriever("run", *SMALL, "observatories.demo.failures=1.0", "run.max_failures_in_a_row=10")
    assert ended.code == 3
    assert "one after the other" in ended.out
    ended = retriever("run", *SMALL, "observatories.demo.failures=1.0", "run.max_failures=5")
    assert "more than 5" in ended.out
    assert retriever("run", *SMALL).code == 0


def test_a_changed_local_file_makes_its_source_pending(retriever, stand) -> None:
    (stand / "lcs").mkdir()
    for name in ("a", "b", "c"):
        (stand / "lcs" / f"{name}.csv").write_text("mjd,mag,magerr,filter\n1,17,0.1,r\n2,17.1,0.1,r\n")
    words = (
        "run", "catalog=inline", "catalog.sources=[{name: a, ra: 1, dec: 2}, {name: b, ra: 1, dec: 2}, {name: c, ra: 3, dec: 4}]",
        "observatory=folder", "paths.lightcurves=lcs",
    )  # fmt: skip
    assert retriever(*words).code == 0
    folder = version_folder(stand / "outputs")
    os.utime(stand / "lcs" / "a.csv", ns=(1, 1))
    retriever(*words)
    assert computed(folder) == {**nothing(), "download": 1}  # read again, the same: nothing else is computed again
    (stand / "lcs" / "b.csv").write_text("mjd,mag,magerr,filter\n1,17,0.1,r\n3,17.1,0.1,r\n4,17.1,0.1,r\n")
    retriever(*words)
    assert computed(folder) == {"download": 1, "reduce": 1, "analyze": 1, "simulate": 1}
    assert tables(folder)["lightcurves"]["n_epochs"].tolist() == [2, 3, 2]


def test_what_was_left_out_of_raw_data_is_said(retriever, stand) -> None:
    (stand / "lcs").mkdir()
    header = "mjd,mag,magerr,filter\n"
    (stand / "lcs" / "a.csv").write_text(header + "1,17,0.1,r\n1,17.2,0.1,r\n2,99.9,0.1,r\n3,17,0,r\n4,99,99,r\n")
    (stand / "lcs" / "b.csv").write_text(header + "1,17,0.1,r\n2,99.9,0.1,r\n")
    (stand / "lcs" / "c.csv").write_text(header + "1,17,0.1,r\n")
    ended = retriever(
        "run", "catalog=inline", "catalog.sources=[{name: a, ra: 1, dec: 2}, {name: b, ra: 1, dec: 2}, {name: c, ra: 3, dec: 4}]",
        "observatory=folder", "paths.lightcurves=lcs",
    )  # fmt: skip
    expected = {"duplicate time": 1, "error of 0 or less": 1, "magnitude such as 99, counted as missing": 3}
    folder = version_folder(stand / "outputs")
    assert last_summary(folder)["dropped"] == expected
    assert "duplicate time 1, error of 0 or less 1, magnitude such as 99, counted as missing 3" in ended.out
    dropped = pd.read_parquet(folder / "dropped.parquet")
    assert dropped.groupby("reason").n_rows.sum().to_dict() == expected
    assert set(dropped["source"]) == {"a", "b"}
    assert tables(folder)["lightcurves"]["n_epochs"].tolist() == [4, 2, 1]


def test_products_made_in_more_than_one_environment_are_said_to_be_so(retriever, stand, monkeypatch) -> None:
    ended = retriever("run", "catalog.size=10", "run.stop=5")
    assert "more than one environment" not in ended.out
    known = importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "0.1" if name == "h5py" else known(name))
    ended = retriever("run", "catalog.size=10")
    assert f"made in more than one environment: h5py 0.1 and {known('h5py')}" in ended.out
    assert last_summary(version_folder(stand / "outputs"))["environment"]["h5py"] == "0.1"


def test_without_version_control_the_folder_is_always_the_latest(retriever, stand) -> None:
    words = ("run", *SMALL, "project.version_control=false")
    retriever(*words)
    folder = stand / "outputs" / "DEMO"
    assert len(tables(folder)["sources"]) == 30
    retriever(*words, "catalog.size=10", "finder.snr_threshold=8")
    assert len(tables(folder)["sources"]) == 10
    assert json.loads((folder / "version.json").read_text())["inputs"]["finder"]["fields"]["snr_threshold"] == 8.0
    retriever(*words, "catalog.size=20", "run.stages=[download]")
    assert len(tables(folder)["lightcurves"]) == 20


def test_a_seed_of_the_project_changes_the_injections_alone_where_the_sky_is_fixed(retriever, stand) -> None:
    fixed = ("catalog.seed=0", "observatories.demo.seed=0")
    retriever("run", *SMALL, *fixed)
    first = version_folder(stand / "outputs")
    retriever("run", *SMALL, *fixed, "project.seed=1")
    (second,) = set(stand.glob("outputs/DEMO_*")) - {first}
    assert computed(second) == {**nothing(), "simulate": 30}
    assert not tables(first)["injections"].equals(tables(second)["injections"])


def test_kept_simulated_light_curves_are_those_made_again(retriever, stand) -> None:
    from retriever.store.segments import read

    retriever("run", *SMALL, "simulator.keep_lightcurves=true")
    _, stored = read(
        sorted(stand.glob("outputs/.stages/simulate/**/*.h5"))[0], ["sources", "simulated_*", "injections"]
    )
    assert len(stored["simulated_lightcurves"]["source"]) == len(set(stored["injections"]["source"].tolist())) > 0
    index, epochs = stored["simulated_lightcurves"], stored["simulated_epochs"]
    folder = version_folder(stand / "outputs")
    for k, row in enumerate(index["source"].tolist()):
        name = str(stored["sources"]["name"][row])
        ended = retriever("simulated", str(folder), name, "again.parquet")
        assert ended.code == 0, ended
        again = pd.read_parquet("again.parquet")
        first, n = int(index["first"][k]), int(index["n_rows"][k])
        for column in ("time", "flux", "mag"):
            assert again[column].to_numpy().tobytes() == epochs[column][first : first + n].tobytes()
    assert retriever("simulated", str(folder), "nobody", "x.parquet").code == 1
    assert retriever("simulated", "nowhere", name, "x.parquet").code == 2


@pytest.mark.slow
def test_twenty_processes_one_hash(retriever, stand) -> None:
    import random
    import subprocess
    import sys

    code = (
        "import sys; from tests.test_config import recipe\n"
        "from retriever.identity import canonical_hash\n"
        "r = recipe('observatory=[demo,ztf_folder]' if int(sys.argv[1]) % 2 else 'observatory=[ztf_folder,demo]')\n"
        "print(canonical_hash([{s: k.key for s, k in v.items()} for _, v in sorted(r.specs.items())]))\n"
    )
    root = Path(__file__).parents[2]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(k)], cwd=root, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONHASHSEED": str(random.Random(k).randrange(2**32)), "PYTHONPATH": str(root)},
        )
        for k in range(20)
    ]  # fmt: skip
    told = {process.communicate()[0] for process in processes}
    assert len(told) == 1
    assert len(told.pop()) == 65


@pytest.mark.parametrize("name", ["../../etc/x", "a b", "ñandú", "..", "it's"])
def test_strange_names_stay_inside(retriever, stand, name) -> None:
    before = set(stand.parent.iterdir())
    ended = retriever(
        "run",
        "catalog=inline",
        f"catalog.sources=[{{name: {json.dumps(name, ensure_ascii=False)}, ra: 1, dec: 2}}]",
    )
    assert ended.code == 0, ended
    assert set(stand.parent.iterdir()) == before
    assert {path.name for path in stand.iterdir()} == {"data", "outputs"}
    assert tables(version_folder(stand / "outputs"))["sources"]["name"].tolist() == [name]
    assert json.loads(retriever("where", name, "--json").out)["products"][0]["source"] == name
    shutil.rmtree(stand / "outputs")


def test_what_another_run_published_just_before_the_leases_is_not_computed_again(retriever, stand, monkeypatch) -> None:
    from retriever.store.leases import LeaseHolder

    words = ("run", "catalog.size=40", "executor=serial", "executor.batch_size=10")
    take = LeaseHolder.take

    def after_another_run(leases, keys, on_wait):
        monkeypatch.setattr(LeaseHolder, "take", take)
        assert retriever(*words).code == 0
        waited = take(leases, keys, on_wait)
        assert not waited
        return waited

    monkeypatch.setattr(LeaseHolder, "take", after_another_run)
    assert retriever(*words).code == 0
    computed = [summary["computed"] for summary in summaries(version_folder(stand / "outputs"))]
    assert sorted(sum(of_stages.values()) for of_stages in computed) == [0, 160]

"""Stages that a project adds: of a source in a survey, of a source in all surveys, and of all sources of a night.

All of them are in one file of the project's, below, and survive what retriever's own survive.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from retriever.report.tables import result_digest
from tests.helpers import last_summary, version_folder

STAGES = '''
import os
import signal
from dataclasses import dataclass

import numpy as np

from retriever.attempt import attempt
from retriever.batch import Made
from retriever.graph import LIGHTCURVE_PORT, Port, Stage
from retriever.lightcurves import LightcurveSet
from retriever.photometry import flux_to_mag
from retriever.schema import Column, Table


def changed(batch, change):
    """Light curves with another flux."""
    lightcurves = LightcurveSet.read(batch.inputs["lightcurves"])
    new = []
    for part in lightcurves.batches:
        flux = change(part)
        mag, mag_err = flux_to_mag(flux, part.columns["flux_err"], part.spread(part.words["zero_point"]))
        new.append(part.replace(flux=flux, mag=mag, mag_err=mag_err))
    return Made.from_lightcurves(lightcurves.with_batches(new), len(batch))


# ---- a source in a survey: detrended by a multiple of its median ----------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Subtract:
    """Subtracts a share of the median."""

    share: float = 0.5


def subtract(components, batch):
    share = components["trend"].share
    return changed(batch, lambda part: part.columns["flux"] - share * part.spread(part.flux_moments[0]))


TREND = Stage(
    name="trend", run=subtract, inputs=("lightcurves",), outputs=(LIGHTCURVE_PORT,), groups=("trend",),
    is_identity=lambda components: components["trend"].share == 0,
)


# ---- all sources of a night: the median offset of all epochs in it ----------------------------------------------------

LENGTH = 100.0


def name_of(time):
    return np.char.add("night ", np.floor(time / LENGTH).astype(int).astype(str))


def find_nights(components, batch):
    lightcurves = LightcurveSet.read(batch.inputs["lightcurves"])
    rows = [[] for _ in range(len(batch))]
    for part in lightcurves.batches:
        source, night = part.spread(part.source), name_of(part.columns["time"])
        for name, number in sorted(set(zip(night.tolist(), source.tolist()))):
            rows[number].append({"group": name, "n_epochs": int(((source == number) & (night == name)).sum())})
    return Made.from_rows(NIGHT_TABLE, rows)


NIGHT_TABLE = Table(
    name="nights", order=("group",),
    columns=(Column(name="group", kind=str), Column(name="n_epochs", kind=int, description="epochs in the night")),
)
NIGHTS = Stage(
    name="find_nights", run=find_nights, inputs=("lightcurves",), outputs=(Port(name="nights", tables=("nights",)),),
    tables=(NIGHT_TABLE,),
)


@dataclass(frozen=True, kw_only=True)
class Quantile:
    """Which quantile of the offsets counts."""

    quantile: float = 0.5


def find_offsets(components, batch):
    part, = LightcurveSet.read(batch.inputs["lightcurves"]).batches
    offset = part.columns["flux"] / part.spread(part.flux_moments[0])
    night = name_of(part.columns["time"])
    source = part.spread(part.source)

    def one(name, members):
        if name == os.environ.get("TEST_KILL") and not os.path.exists("killed"):
            os.mkdir("killed")
            os.kill(os.getpid(), signal.SIGKILL)
        inside = (night == name) & part.usable
        assert set(source[night == name].tolist()) == set(members.tolist())
        value = float(np.quantile(offset[inside], components["nightly"].quantile))
        return [{"offset": value, "n_epochs": int(inside.sum()), "n_sources": len(members)}]

    rows = [attempt(name, one, name, members) for name, members in zip(batch.items.tolist(), batch.members)]
    return Made.from_rows(OFFSET_TABLE, rows)


OFFSET_TABLE = Table(
    name="night_offsets",
    columns=(
        Column(name="offset", kind=float, unit="1", description="median flux over the median of the light curve"),
        Column(name="n_epochs", kind=int),
        Column(name="n_sources", kind=int),
    ),
)
NIGHTLY = Stage(
    name="nightly", run=find_offsets, unit=("survey", "night"), inputs=("nights", "lightcurves"), members="nights",
    outputs=(Port(name="offsets", tables=("night_offsets",)),), tables=(OFFSET_TABLE,), groups=("nightly",),
)


def correct(components, batch):
    rows = batch.inputs["offsets"]["night_offsets"]
    offset = dict(zip(batch.groups["offsets"][rows["source"]].tolist(), rows["offset"].tolist()))
    return changed(
        batch,
        lambda part: part.columns["flux"] / np.array([offset[name] for name in name_of(part.columns["time"]).tolist()]),
    )


CORRECT = Stage(
    name="correct", run=correct, inputs=("lightcurves", "offsets"), outputs=(LIGHTCURVE_PORT,),
)


# ---- a source in all surveys -------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Count:
    """Counts detections above a S/N."""

    snr: float = 5.0


def join(components, batch):
    rows = []
    for k in range(len(batch)):
        tables = {name: ports["detections"]["detections"] for name, ports in batch.joined.items()}
        high = {name: int(((t["source"] == k) & (abs(t["snr"]) >= components["joint"].snr)).sum()) for name, t in tables.items()}
        curves = {name: ports["lightcurves"]["lightcurves"]["source"] == k for name, ports in batch.joined.items()}
        seen = sorted(name for name, mine in curves.items() if mine.any())
        rows.append([{"surveys": " ".join(seen), "n_detections": sum(high.values()), "name": str(batch.items[k])}])
    return Made.from_rows(JOINT_TABLE, rows)


JOINT_TABLE = Table(
    name="joint_events",
    columns=(Column(name="surveys", kind=str), Column(name="n_detections", kind=int), Column(name="name", kind=str)),
)
JOINT = Stage(
    name="joint", run=join, unit=("source",), inputs=("lightcurves", "detections"),
    outputs=(Port(name="joint", tables=("joint_events",)),), tables=(JOINT_TABLE,), groups=("joint",),
)
'''

CONFIG = """
# @package _global_
observatories:
  other:
    _target_: retriever.observatories.demo.DemoObservatory
    survey: OTHER
    seed: 5
    epochs: 30
    empty: 0.4
reducers:
  other: ${reducers.demo}
stages:
  find_nights: {stage: own_stages.NIGHTS, after: reduce}
  nightly: {stage: own_stages.NIGHTLY, after: find_nights, component: {_target_: own_stages.Quantile, quantile: 0.5}}
  correct: {stage: own_stages.CORRECT, after: nightly}
  trend: {stage: own_stages.TREND, after: correct, component: {_target_: own_stages.Subtract, share: 0.5}}
  joint: {stage: own_stages.JOINT, after: simulate, component: {_target_: own_stages.Count, snr: 5.0}}
project: {name: own}
"""

WORDS = (
    "--config-dir",
    "conf",
    "+own=stages",
    "catalog.size=20",
    "observatories.demo.epochs=40",
    "executor.batch_size=6",
)
ALL = ("download", "reduce", "find_nights", "nightly", "correct", "trend", "analyze", "simulate", "joint")


def write_project(folder: Path) -> None:
    (folder / "conf" / "own").mkdir(parents=True)
    (folder / "conf" / "own" / "stages.yaml").write_text(CONFIG)
    (folder / "own_stages.py").write_text(STAGES)


@pytest.fixture
def project(stand: Path) -> Path:
    write_project(stand)
    return stand


def killed_run(folder: Path, *words: str, **environment: str) -> None:
    """A run in a process of its own, which kills itself."""
    ended = subprocess.run(
        [sys.executable, "-m", "retriever.cli", "run", *words], cwd=folder, capture_output=True, text=True,
        env={**os.environ, **environment},
    )  # fmt: skip
    assert ended.returncode == -signal.SIGKILL, ended.stdout + ended.stderr


Run = Callable[..., str]


@pytest.fixture
def run(retriever: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Does a command in a folder, with its modules as they are there now; gives what it printed."""

    def run(folder: Path, *words: str, command: str = "run", code: int = 0) -> str:
        monkeypatch.chdir(folder)
        monkeypatch.delitem(sys.modules, "own_stages", raising=False)
        ended = retriever(command, *words)
        assert ended.code == code, ended
        return str(ended.out)

    return run


def computed(folder: Path) -> dict[str, int]:
    return {stage: count for stage, count in last_summary(folder)["computed"].items() if count}


def planned(run: Run, folder: Path, *words: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for stage in json.loads(run(folder, *words, "--json", command="plan"))["stages"]:
        if stage["to_make"]:
            found[stage["stage"]] = found.get(stage["stage"], 0) + stage["to_make"]
    return found


@pytest.mark.slow
def test_stages_of_each_unit_feed_each_other_and_are_what_a_plain_calculation_gives(run: Run, project: Path) -> None:
    run(project, *WORDS)
    folder = version_folder(project / "outputs", "OWN")
    products = pd.read_parquet(folder / "products.parquet")
    lightcurves = pd.read_parquet(folder / "lightcurves.parquet")
    n_with_data = int((products.query("stage == 'download'").outcome == "done").sum())
    assert 20 < n_with_data < 40
    assert computed(folder) | {"nightly": 0} == {
        "download": 40, "nightly": 0, "joint": 20,
        **dict.fromkeys(("reduce", "find_nights", "correct", "trend", "analyze", "simulate"), n_with_data),
    }  # fmt: skip
    nights, offsets = (pd.read_parquet(folder / f"{name}.parquet") for name in ("nights", "night_offsets"))
    assert len(offsets) == computed(folder)["nightly"] == len(nights.groupby(["observatory", "group"]))
    assert nights.n_epochs.sum() == lightcurves.n_epochs.sum()
    counts = nights.groupby(["observatory", "group"]).size()
    for row in offsets.itertuples():
        assert counts[row.observatory, row.source] == row.n_sources
    # the median of each light curve was halved, after each epoch was divided by the offset of its night
    (path, *_) = sorted(project.glob("outputs/.stages/reduce/*/*/*.h5"))
    import h5py

    with h5py.File(path) as segment:
        index, epochs = (
            segment["lightcurves"][()],
            {key: segment["epochs"][key][()] for key in ("time", "flux", "qflag")},
        )
        name = segment["sources"]["name"][index["source"][0]].decode()  # the first source may have no light curve
        manifest = json.loads(segment.attrs["manifest"])
    of = offsets.query(f"observatory == '{manifest['observatory']}'").set_index("source").offset
    first, n = int(index["first"][0]), int(index["n_rows"][0])
    time, flux, bad = (epochs[key][first : first + n] for key in ("time", "flux", "qflag"))
    flux = flux / of[[f"night {int(t // 100)}" for t in time]].to_numpy()
    flux = flux - 0.5 * np.median(flux[~bad])
    for made in sorted(project.glob("outputs/.stages/trend/*/*/*.h5")):
        with h5py.File(made) as segment:
            told = json.loads(segment.attrs["manifest"])
            labels = [name.decode() for name in segment["sources"]["name"]]
            if told["observatory"] == manifest["observatory"] and name in labels:
                rows = segment["lightcurves"][()]
                row = rows[rows["source"] == labels.index(name)][0]
                found = segment["epochs"]["flux"][int(row["first"]) : int(row["first"]) + n]
                break
    np.testing.assert_allclose(found, flux, rtol=1e-12)
    joint = pd.read_parquet(folder / "joint_events.parquet")
    assert joint.source.tolist() == joint.name.tolist() == [f"random_{k:06d}" for k in range(20)]
    detections = pd.read_parquet(folder / "detections.parquet").query("abs(snr) >= 5").groupby("source").size()
    assert joint.set_index("source").n_detections.to_dict() == detections.reindex(joint.source, fill_value=0).to_dict()
    seen = lightcurves.groupby("source").observatory.unique()
    assert all(row.surveys.split() == sorted(seen[row.source]) for row in joint.itertuples())


@pytest.mark.slow
def test_same_tables_whatever_made_them_and_after_a_kill(run: Run, project: Path) -> None:
    run(project, *WORDS)
    folder = version_folder(project / "outputs", "OWN")
    wanted = result_digest(folder)
    for number, words in enumerate((["executor.batch_size=100"], ["executor=processes", "executor.batch_size=3"])):
        elsewhere = (f"paths.outputs=o{number}", f"paths.data=d{number}")
        run(project, *WORDS, *words, *elsewhere)
        assert result_digest(version_folder(project / f"o{number}", "OWN")) == wanted
    night = pd.read_parquet(folder / "night_offsets.parquet").source.iloc[2]
    elsewhere = ("paths.outputs=killed_o", "paths.data=killed_d")
    killed_run(project, *WORDS, *elsewhere, TEST_KILL=night)
    assert (project / "killed").exists()
    run(project, *WORDS, *elsewhere, "run.stages=[reduce,find_nights,nightly]")
    run(project, *WORDS, *elsewhere)
    assert result_digest(version_folder(project / "killed_o", "OWN")) == wanted


@pytest.mark.slow
def test_plan_is_what_a_run_does(run: Run, project: Path) -> None:
    run(project, *WORDS)
    first = version_folder(project / "outputs", "OWN")
    n_nights = computed(first)["nightly"]
    assert planned(run, project, *WORDS) == {}
    after_search = {"analyze", "simulate", "joint"}
    for words, stages in (
        (["finder.snr_threshold=4"], after_search),
        (["stages.joint.component.snr=7"], {"joint"}),
        (["stages.trend.component.share=0.1"], {"trend", *after_search}),
        (["stages.nightly.component.quantile=0.6"], {"nightly", "correct", "trend", *after_search}),
        (["reducers.demo.gap=60"], {"reduce", "find_nights", "nightly", "correct", "trend", *after_search}),
    ):
        plan = planned(run, project, *WORDS, *words)
        assert set(plan) | ({"nightly"} & stages) == stages
        run(project, *WORDS, *words)
        newest = max(project.glob("outputs/OWN_*"), key=lambda path: path.stat().st_mtime_ns)
        done = computed(newest)
        assert set(done) == stages
        if "find_nights" not in stages:  # else the nights are known only after it
            assert plan == done
        else:
            assert {**plan, "nightly": 0} == {**done, "nightly": 0}
    plan = planned(run, project, *WORDS, "catalog.size=21")
    run(project, *WORDS, "catalog.size=21")
    newest = max(project.glob("outputs/OWN_*"), key=lambda path: path.stat().st_mtime_ns)
    done = computed(newest)
    assert plan["download"] == done["download"] == 2
    assert done["nightly"] <= n_nights and done["correct"] >= done["reduce"]  # other sources share the new one's nights
    is_nightly = (pd.read_parquet(first / "products.parquet").stage == "nightly").to_numpy()
    (project / pd.read_parquet(first / "segments.parquet").segment[is_nightly].iloc[0]).unlink()
    assert set(planned(run, project, *WORDS)) == {"nightly"}
    run(project, *WORDS)
    assert set(computed(first)) == {"nightly"}


@pytest.mark.slow
def test_an_identity_vanishes_and_simulated_light_curves_are_detrended(run: Run, project: Path) -> None:
    run(project, *WORDS, "stages.trend.component.share=0")
    folder = version_folder(project / "outputs", "OWN")
    assert "trend" not in computed(folder)
    assert not list(project.glob("outputs/.stages/trend"))
    without = [word for word in WORDS if word != "+own=stages"]
    config = (project / "conf" / "own" / "stages.yaml").read_text()
    text = "".join(line for line in config.splitlines(keepends=True) if "own_stages.TREND" not in line)
    (project / "conf" / "own" / "less.yaml").write_text(text)
    assert "nothing to do" in run(project, *without, "+own=less")
    run(project, *WORDS, "stages.trend.component.share=0.5")
    (other,) = set(project.glob("outputs/OWN_*")) - {folder} - {
        path for path in project.glob("outputs/OWN_*") if "trend" not in json.dumps(json.loads((path / "version.json").read_text())["inputs"]["stage_keys"])
    }  # fmt: skip
    injections = pd.read_parquet(other / "injections.parquet").query("observatory == 'demo'")
    name = injections.source.iloc[0]
    plain, detrended = project / "plain.parquet", project / "detrended.parquet"
    run(project, folder.name, name, str(plain), command="simulated")
    out = run(project, other.name, name, str(detrended), "--json", command="simulated")
    assert json.loads(out)["truth"] == "identical"
    medians = [pd.read_parquet(path).query("observatory == 'demo'").flux.median() for path in (plain, detrended)]
    assert medians[1] == pytest.approx(0.5 * medians[0], rel=0.2)


@pytest.mark.slow
def test_gc_rebuild_pack_and_verify_know_stages_whose_code_they_do_not_have(run: Run, project: Path) -> None:
    run(project, *WORDS)
    folder = version_folder(project / "outputs", "OWN")
    wanted = result_digest(folder)
    run(project, *WORDS, "stages.nightly.component.quantile=0.7")
    (other,) = set(project.glob("outputs/OWN_*")) - {folder}
    (project / "own_stages.py").rename(project / "hidden.txt")
    run(project, command="verify")
    run(project, other.name, command="remove")
    assert json.loads(run(project, "--json", command="gc"))["files"] > 0
    assert json.loads(run(project, "--json", command="gc"))["files"] == 0
    assert json.loads(run(project, "--json", command="rebuild"))["versions"] == 1
    run(project, command="verify")
    shown = json.loads(run(project, f"{folder.name}/random_000003", "--json", command="show"))
    assert {"correct", "joint"} <= {row["stage"] for row in shown["lineage"]}
    run(project, folder.name, "own.zip", command="pack")
    elsewhere = project / "elsewhere"
    elsewhere.mkdir()
    run(elsewhere, "../own.zip", command="unpack")
    assert result_digest(elsewhere / "outputs" / folder.name) == wanted
    run(elsewhere, command="verify")
    write_project(elsewhere)
    assert "nothing to do" in run(elsewhere, *WORDS)
    shutil.copy(project / "hidden.txt", project / "own_stages.py")
    assert "nothing to do" in run(project, *WORDS)
    assert result_digest(folder) == wanted


def test_a_night_fails_alone_and_blocks_its_sources(run: Run, project: Path) -> None:
    text = STAGES.replace(
        "        inside = (night == name)",
        '        if name == "night 583":\n            raise ValueError("no")\n        inside = (night == name)',
    )
    (project / "own_stages.py").write_text(text)
    run(project, *WORDS, code=3)
    folder = version_folder(project / "outputs", "OWN")
    products = pd.read_parquet(folder / "products.parquet")
    failed = products.query("stage == 'nightly' and outcome == 'failed'")
    assert set(failed.source) == {"night 583"}
    nights = pd.read_parquet(folder / "nights.parquet").query("group == 'night 583'")
    blocked = products.query("stage == 'correct' and outcome == 'blocked'")
    assert set(zip(blocked.observatory, blocked.source, strict=True)) == set(
        zip(nights.observatory, nights.source, strict=True)
    )


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["+stages.x={stage: os.path.join, after: reduce}"], "not a retriever.graph.Stage"),
        (["+stages.x={after: reduce}"], "needs stage="),
        (["+stages.trend={stage: own_stages.TREND, after: nowhere}"], "there is no stage 'nowhere'"),
        (["+stages.reduce={stage: own_stages.TREND, after: reduce}"], "calls itself 'trend'"),
        (["+stages.correct={stage: own_stages.CORRECT, after: reduce}"], "which no stage before it gives"),
    ],
)  # fmt: skip
def test_stages_that_do_not_fit_are_refused_in_one_sentence(project: Path, words: list[str], sentence: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "retriever.cli", "run", "catalog.size=5", *words],
        cwd=project,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 2 and sentence in ended.stderr, ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.slow
def test_a_table_that_gains_a_column_is_computed_again_beside_the_rows_of_earlier_versions(
    run: Run, project: Path
) -> None:
    run(project, *WORDS)
    folder = version_folder(project / "outputs", "OWN")
    wanted = result_digest(folder)
    source = (project / "own_stages.py").read_text()
    gained = source.replace(
        'Column(name="name", kind=str)),', 'Column(name="name", kind=str), Column(name="n", kind=int)),'
    )
    gained = gained.replace('"name": str(batch.items[k])}', '"name": str(batch.items[k]), "n": len(seen)}')
    (project / "own_stages.py").write_text(gained)
    run(project, *WORDS)
    (other,) = set(project.glob("outputs/OWN_*")) - {folder}
    assert set(computed(other)) == {"joint"}
    events = pd.read_parquet(other / "joint_events.parquet")
    assert events.pop("n").tolist() == events.surveys.str.split().str.len().tolist()
    pd.testing.assert_frame_equal(events, pd.read_parquet(folder / "joint_events.parquet"))
    run(project, command="verify")
    run(project, command="rebuild")
    run(project, command="verify")
    assert result_digest(folder) == wanted
    (project / "own_stages.py").write_text(source)
    assert "nothing to do" in run(project, *WORDS)
    assert result_digest(folder) == wanted

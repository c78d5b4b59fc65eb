"""Sweeps: shared work, the table, the cube, failures, launchers."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from tests.helpers import assert_same_tables, summaries

SMALL = ("catalog.size=40", "executor.batch_size=10", "simulator.trials=3")
SWEEP = ("run", "-m", *SMALL, "finder.snr_threshold=4,5,8", "simulator=gaussian,box")


def folder(outputs: str = "outputs") -> Path:
    (found,) = Path(outputs).glob("SWEEP_*")
    return found


def versions() -> dict[tuple[float, str], Path]:
    found = {}
    for path in Path("outputs").glob("DEMO_*"):
        inputs = json.loads((path / "version.json").read_text())["inputs"]
        shape = "box" if "Box" in inputs["simulator"]["class"] else "gaussian"
        found[inputs["finder"]["fields"]["snr_threshold"], shape] = path
    return found


def computed() -> dict[str, int]:
    total = dict.fromkeys(("download", "reduce", "analyze", "simulate"), 0)
    for path in versions().values():
        for summary in summaries(path):
            for stage, count in summary["computed"].items():
                total[stage] += count
    return total


def assert_cube_is_right() -> None:
    with xr.open_zarr(folder() / "completeness.zarr", consolidated=False) as cube:
        assert cube.completeness.dims == ("finder.snr_threshold", "simulator", "amplitude")
        assert cube.completeness.shape[:2] == (3, 2)
        for (threshold, shape), path in versions().items():
            here = cube.sel({"finder.snr_threshold": threshold, "simulator": shape}).load()
            frame = pd.read_parquet(path / "injections.parquet").query("not blended")
            for low, high, injected, share in zip(
                here.amplitude.values,
                here.amplitude_high.values,
                here.injected.values,
                here.completeness.values,
                strict=True,
            ):
                inside = frame[(frame.snr.abs() >= low) & (frame.snr.abs() < high)]
                assert injected == len(inside)
                assert share == pytest.approx(inside.recovered.mean(), nan_ok=True)


@pytest.mark.slow
def test_a_sweep_shares_its_work_and_ends_with_table_and_cube(retriever, stand) -> None:
    ended = retriever(*SWEEP)
    assert ended.code == 0, ended
    assert len(versions()) == 6
    assert computed() == {"download": 40, "reduce": 40, "analyze": 120, "simulate": 240}
    table = ended.out.splitlines()
    (head,) = [line for line in table if line.startswith("version")]
    assert "finder.snr_threshold" in head and "simulator._target_" in head and "recovered" in head
    assert_cube_is_right()
    before = computed()
    assert retriever(*SWEEP).code == 0
    assert computed() == before
    assert_cube_is_right()


@pytest.mark.slow
def test_jobs_at_once_share_and_wait(retriever, stand, tmp_path_factory, monkeypatch) -> None:
    ended = retriever(*SWEEP, "hydra/launcher=joblib", "hydra.launcher.n_jobs=3")
    assert ended.code == 0, ended
    assert computed() == {"download": 40, "reduce": 40, "analyze": 120, "simulate": 240}
    assert_cube_is_right()
    found = {key: path.absolute() for key, path in versions().items()}
    monkeypatch.chdir(tmp_path_factory.mktemp("alone"))
    assert retriever("run", *SMALL, "finder.snr_threshold=8", "simulator=box").code == 0
    assert_same_tables(versions()[8.0, "box"], found[8.0, "box"])
    assert (
        retriever(
            "verify", "--outputs", str(found[8.0, "box"].parent), "--data", str(found[8.0, "box"].parents[1] / "data")
        ).code
        == 0
    )


def test_a_failed_job_hides_none_of_the_others(retriever, stand) -> None:
    ended = retriever("run", "-m", *SMALL, "finder.snr_threshold=5,-1,7")
    assert ended.code == 2
    assert "job 1 ended with exit code 2" in ended.out
    with xr.open_zarr(folder() / "completeness.zarr", consolidated=False) as cube:
        missing = np.isnan(cube.completeness.values).all(axis=1)
        assert missing.tolist() == [False, True, False]
        assert (cube.injected.values[1] == -1).all()


def test_a_sweep_of_wrong_words_leaves_nothing(retriever, stand) -> None:
    for words in (["finder.snr_treshold=5,6"], ["finder.snr_threshold=5,6", "nonsense=1"], ["finder.snr_threshold=["]):
        ended = retriever("run", "-m", *words)
        assert ended.code == 2 and ended.err.count("\n") == 1, ended
        assert not list(stand.glob("outputs/SWEEP_*"))


def test_a_plan_of_a_sweep_makes_no_folder(retriever, stand) -> None:
    ended = retriever("plan", "-m", *SMALL, "finder.snr_threshold=5,6")
    assert ended.code == 0 and ended.out.count("40 to make") == 8
    assert not list(stand.glob("outputs/SWEEP_*"))


def test_a_job_that_fails_now_leaves_nothing_of_an_earlier_sweep(retriever, stand, monkeypatch) -> None:
    words = ("run", "-m", *SMALL, "finder.snr_threshold=4,5")
    assert retriever(*words).code == 0
    from retriever.errors import DataError
    from retriever.pipeline import session

    real = session.run_config

    def fails_at_5(config, verbose):
        if config.finder.snr_threshold == 5:
            raise DataError("no more")
        return real(config, verbose)

    monkeypatch.setattr(session, "run_config", fails_at_5)
    assert retriever(*words).code == 1
    with xr.open_zarr(folder() / "completeness.zarr", consolidated=False) as cube:
        assert (cube.injected.values[:, 0] >= 0).tolist() == [True, False]


def test_a_sweep_lies_beside_its_versions_wherever_the_config_puts_them(retriever, stand) -> None:
    (stand / "conf" / "experiment").mkdir(parents=True)
    (stand / "conf" / "experiment" / "mine.yaml").write_text("# @package _global_\npaths:\n  outputs: elsewhere\n")
    ended = retriever("run", "-m", "--config-dir", "conf", "experiment=mine", *SMALL, "finder.snr_threshold=4,5")
    assert ended.code == 0, ended
    assert len(list(stand.glob("elsewhere/DEMO_*"))) == 2
    assert not (stand / "outputs").exists()
    with xr.open_zarr(folder("elsewhere") / "completeness.zarr", consolidated=False) as cube:
        assert (cube.injected.values >= 0).all()


def test_choices_of_a_config_dir_are_swept_in_other_processes_too(retriever, stand) -> None:
    (stand / "conf" / "finder").mkdir(parents=True)
    (stand / "conf" / "finder" / "high.yaml").write_text("defaults: [peak, _self_]\nsnr_threshold: 9.0\n")
    ended = retriever(
        "run",
        "-m",
        "--config-dir",
        "conf",
        *SMALL,
        "finder=peak,high",
        "hydra/launcher=joblib",
        "hydra.launcher.n_jobs=2",
    )
    assert ended.code == 0, ended
    assert {threshold for threshold, _ in versions()} == {5.0, 9.0}
    assert json.loads((folder() / "sweep.json").read_text())["axes"] == {"finder": ["peak", "high"]}

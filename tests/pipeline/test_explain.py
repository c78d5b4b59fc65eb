"""What `retriever plan` predicts is what `retriever run` does."""

import itertools
import json
import os
import random
import sys
from pathlib import Path

import numpy as np
import pytest

from retriever.graph import GRAPH
from tests.helpers import last_summary

NUMBERS = itertools.count()
FINDER = Path(__file__).parents[2] / "retriever" / "finders" / "peak.py"


STAGES = tuple(name for name in GRAPH.names if name not in ("detrend", "scramble"))  # neither is done here


class Playground:
    """A folder with a catalog, light curves in files, and a finder of the user's own."""

    def __init__(self, folder: Path, retriever, seed: int) -> None:
        self.folder, self.retriever, self.rng = folder, retriever, random.Random(seed)
        self.module = f"mine_{next(NUMBERS)}"  # tests of one process share its imports
        self.rows = {f"s{k}": [10.0 + 3 * k, -5.0 + k, 15.0] for k in range(8)}
        self.next = 8
        self.overrides = {"finder.snr_threshold": "5", "simulator.trials": "1", "reducers.folder.gap": "0"}
        self.clock = 1_700_000_000
        (folder / "raw").mkdir()
        (folder / "conf" / "finder").mkdir(parents=True)
        (folder / "conf" / "finder" / "mine.yaml").write_text(
            f"_target_: {self.module}.PeakFinder\nsnr_threshold: 5.0\n"
        )
        self.code = folder / f"{self.module}.py"
        self.code.write_text(FINDER.read_text())
        for name in self.rows:
            self.write_lightcurve(name)
        self.write_catalog()

    def write_lightcurve(self, name: str) -> None:
        rng = np.random.default_rng(self.rng.randrange(1 << 30))
        rows = [f"{58000 + k},{18 + 0.1 * rng.standard_normal():.4f},0.1,r" for k in range(30)]
        path = self.folder / "raw" / f"{name}.csv"
        path.write_text("\n".join(["mjd,mag,magerr,filter", *rows]) + "\n")
        self.touch(path)

    def touch(self, path: Path) -> None:
        self.clock += 10
        os.utime(path, (self.clock, self.clock))

    def write_catalog(self) -> None:
        lines = [f"{name},{ra},{dec},{mag}" for name, (ra, dec, mag) in self.rows.items()]
        (self.folder / "catalog.csv").write_text("\n".join(["name,ra,dec,mag", *lines]) + "\n")

    def words(self) -> list[str]:
        return [
            "--config-dir", "conf", "observatory=folder", "paths.lightcurves=raw", "catalog=file", "catalog.path=catalog.csv", "catalog.columns.extra=[mag]",
            "finder=mine", "executor.batch_size=3", *(f"{key}={value}" for key, value in self.overrides.items()),
        ]  # fmt: skip

    # ---- edits --------------------------------------------------------------------------------------------------

    def edit(self) -> str:
        what = self.rng.choice(
            ["config", "config", "module", "comment", "mag", "place", "add", "remove", "touch", "content", "delete"]
        )
        name = self.rng.choice(list(self.rows))
        if what == "config":
            key = self.rng.choice(list(self.overrides))
            self.overrides[key] = self.rng.choice({"reducers.folder.gap": ["0", "20"]}.get(key, ["1", "5", "7"]))
        elif what in ("module", "comment"):
            line = "PeakFinder.touched = 1\n" if what == "module" else "# a remark\n\nunreached = 1\n"
            self.code.write_text(self.code.read_text() + line)
        elif what == "mag":
            self.rows[name][2] += 0.5
        elif what == "place":
            self.rows[name][0] += 0.01
        elif what == "add":
            name = f"s{self.next}"
            self.next += 1
            self.rows[name] = [200.0 + self.next, 0.0, 15.0]
            self.write_lightcurve(name)
        elif what == "remove" and len(self.rows) > 4:
            del self.rows[name]
        elif what == "touch":
            self.touch(self.folder / "raw" / f"{name}.csv")
        elif what == "content":
            self.write_lightcurve(name)
        elif what == "delete":
            files = sorted([*self.folder.glob("data/*/*/*/*.h5"), *self.folder.glob("outputs/.stages/*/*/*/*.h5")])
            if files:
                self.rng.choice(files).unlink()
        self.write_catalog()
        sys.modules.pop(self.module, None)  # a process of its own would load it anew
        return what

    def predicted(self, *more: str) -> dict[str, dict]:
        told = self.retriever("plan", *self.words(), *more, "--json")
        assert told.code == 0, told
        return {stage["stage"]: stage for stage in json.loads(told.out)["stages"]}

    def executed(self, *more: str) -> dict[str, int]:
        ended = self.retriever("run", *self.words(), *more)
        assert ended.code == 0, ended
        folder = max(self.folder.glob("outputs/*_*/runs/*"), key=lambda path: path.stat().st_mtime_ns)
        return json.loads((folder / "summary.json").read_text())["computed"]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_what_is_predicted_is_what_is_done(retriever, stand, seed) -> None:
    """Fifty random edits, ten in each of five folders."""
    playground = Playground(stand, retriever, seed)
    assert all(stage["to_make"] == 8 for stage in playground.predicted().values())
    part: tuple[str, ...] = ("run.stages=[download,reduce]", "run.stop=5")
    for edit in range(11):
        what = playground.edit() if edit else "nothing yet"
        asked = part if playground.rng.random() < 0.2 else ()
        predicted = playground.predicted(*asked)
        done = playground.executed(*asked)
        for stage in STAGES:
            told = predicted[stage]
            least, most = told["to_make"], told["to_make"] + told["undecided"]
            assert least <= done[stage] <= most, (what, stage, told, done)
            assert bool(told["reasons"]) == bool(most + told["not_asked"]), (what, told)
        if what == "comment" and asked == ():
            assert sum(done.values()) == sum(one["to_make"] for one in predicted.values())
    after = playground.predicted()
    assert playground.executed() == {stage: after[stage]["to_make"] for stage in STAGES} or any(
        one["undecided"] for one in after.values()
    )
    assert not any(one["to_make"] for one in playground.predicted().values())


def reasons(playground: Playground) -> dict[str, list[str]]:
    return {stage: told["reasons"] for stage, told in playground.predicted().items()}


@pytest.mark.slow
def test_reasons_are_told(retriever, stand) -> None:
    playground = Playground(stand, retriever, 0)
    playground.executed()
    playground.overrides["finder.snr_threshold"] = "7"
    assert reasons(playground)["analyze"] == ["finder.snr_threshold 5.0 → 7.0"]
    assert reasons(playground)["simulate"] == ["finder.snr_threshold 5.0 → 7.0"]
    playground.overrides["finder.snr_threshold"] = "5"
    playground.rows["s1"][2] += 1
    playground.write_catalog()
    assert reasons(playground)["reduce"] == ["catalog row changed: 1 source"]
    playground.rows["s1"][2] -= 1
    playground.write_catalog()
    playground.write_lightcurve("s2")
    told = reasons(playground)
    assert told["download"] == ["local file or request changed: 1 source"]
    assert told["reduce"][-1] == "raw data fetched again first, and then compared: 1 source"
    assert playground.executed("run.stages=[download]")["download"] == 1
    assert reasons(playground)["reduce"] == ["raw data changed: 1 source"]
    playground.executed()
    sorted(stand.glob("outputs/.stages/analyze/*/*/*.h5"))[0].unlink()
    (sentence,) = reasons(playground)["analyze"]
    assert sentence.startswith("file missing: ")
    playground.executed()
    code = playground.code.read_text()
    playground.code.write_text(code + "unreached = 2\n")
    assert reasons(playground)["analyze"] == []
    playground.code.write_text(code.replace("max_events: int = 10", "max_events: int = 9"))
    assert reasons(playground)["analyze"] == [f"code of {playground.module}:PeakFinder changed"]
    playground.code.write_text(code + "PeakFinder.max_events = 9\n")
    assert reasons(playground)["analyze"] == [f"code of {playground.module} changed"]


def test_a_plan_writes_nothing_and_counts_files_of_an_interrupted_run(retriever, stand) -> None:
    assert retriever("plan", "catalog.size=5").code == 0
    assert list(stand.iterdir()) == []
    assert retriever("run", "catalog.size=5").code == 0
    (stand / "outputs" / "retriever.db").unlink()
    before = sorted(stand.rglob("*"))
    told = json.loads(retriever("plan", "catalog.size=5", "--json").out)
    assert told["interrupted"] == 4
    assert [stage["reused"] for stage in told["stages"]] == [5] * 4
    assert sorted(stand.rglob("*")) == before
    assert last_summary(next(stand.glob("outputs/DEMO_*")))["computed"]["download"] == 5

"""What a corrected catalog and a changed config ask an archive for: what they change, and nothing else."""

import dataclasses
import json
import re
from pathlib import Path

import pandas as pd
import pytest

from retriever.identity import canonical_hash
from retriever.interfaces import NO_RESULT, describe
from retriever.observatories.tap import TAPObservatory
from retriever.observatories.ztf import ZTFObservatory
from retriever.pipeline import inventory
from retriever.pipeline.legacy import legacy_inputs, legacy_key
from retriever.pipeline.recipe import Recipe
from tests.archive import Archive
from tests.helpers import tables
from tests.surveys import ZTF_PATH, ztf_archive

N = 6


class Sky:
    """A catalog file, and runs with it."""

    def __init__(self, stand: Path, retriever, archive: Archive) -> None:
        self.stand, self.retriever, self.archive = stand, retriever, archive
        self.table = pd.DataFrame({
            "name": [f"S{k}" for k in range(N)], "ra": [10.0 + k for k in range(N)], "dec": 20.0, "mag": 17.0,
            "pmra": 100.0, "pmdec": -50.0, "epoch": 2016.0, "other": [f"other {k}" for k in range(N)],
        })  # fmt: skip

    def words(self, *more: str) -> list[str]:
        path = self.stand / "stars.csv"
        self.table.to_csv(path, index=False)
        return [
            "catalog=file", f"catalog.path={path}", "observatory=ztf", "reducers.ztf.max_mag_difference=0",
            f"observatories.ztf.url={self.archive.url}{ZTF_PATH}", "observatories.ztf.client.per_second=0",
            "observatories.ztf.client.wait=0.01", "executor.batch_size=4",
            "catalog.columns={name: name, ra: ra, dec: dec, pmra: pmra, pmdec: pmdec, epoch: epoch, aliases: [other]}",
            "+catalog.magnitudes.G={mag: mag, band: G}", *more,
        ]  # fmt: skip

    def run(self, *more: str) -> int:
        """Run; how many questions the archive got."""
        before = len(self.archive.seen)
        ended = self.retriever("run", *self.words(*more))
        assert ended.code == 0, ended
        return len(self.archive.seen) - before

    def plan(self, *more: str) -> dict:
        told = self.retriever("plan", *self.words(*more), "--json")
        assert told.code == 0, told
        download: dict = json.loads(told.out)["stages"][0]
        return download


@pytest.fixture
def sky(stand, retriever):
    with ztf_archive(epochs=20).serving() as archive:
        yield Sky(stand, retriever, archive)


@pytest.mark.parametrize(
    ("column", "value", "asks"),
    [
        ("mag", 18.0, 0),  # is in no request, as long as the source is bright enough
        ("mag", 23.0, 0),  # too faint to be asked for
        ("pmra", -900.0, 1),
        ("epoch", 1991.25, 1),
        ("ra", 12.01, 1),
        ("dec", 20.0000001, 0),  # below what is sent
        ("other", "another name", 0),
        ("other", "ZTF oid 604103100006917", 1),
    ],
)
def test_a_corrected_row_is_asked_again_alone_and_only_if_the_question_changes(sky, column, value, asks) -> None:
    body = ztf_archive(epochs=20).routes[ZTF_PATH]
    sky.archive.routes[ZTF_PATH] = lambda request: body(
        dataclasses.replace(request, params={"POS": "CIRCLE 12.0 20.0 0.001", **request.params})
    )
    assert sky.run() == N
    sky.table.loc[2, column] = value
    assert sky.run() == asks
    assert sky.run() == 0


def test_a_source_that_a_wrong_magnitude_cut_is_asked_for_when_it_is_right(sky) -> None:
    sky.table.loc[3, "mag"] = 30.0
    assert sky.run() == N - 1
    assert sky.run() == 0
    sky.table.loc[3, "mag"] = 17.5
    told = sky.plan()
    assert told["to_make"] == 1
    assert told["reasons"][0].startswith("request changed (S3: ") and told["reasons"][0].endswith(": 1 source")
    assert "not asked fainter than max_mag → (absent)" in told["reasons"][0]
    assert sky.run() == 1
    folder = max((sky.stand / "outputs").glob("ZTF_*"), key=lambda path: path.stat().st_mtime_ns)
    assert set(tables(folder)["lightcurves"].source) == set(sky.table.name)


def test_a_changed_bound_asks_only_for_the_sources_it_affects(sky) -> None:
    sky.table["mag"] = [15.0, 16.0, 19.5, 20.5, 21.0, 25.0]
    assert sky.run("observatories.ztf.max_mag=20") == 3
    assert sky.run("observatories.ztf.max_mag=22") == 2
    assert sky.run("observatories.ztf.max_mag=18") == 0
    assert sky.run("observatories.ztf.max_mag=null") == 1
    assert sky.run("observatories.ztf.max_mag=20") == 0  # what was there before counts again


def test_the_plan_says_which_part_of_the_request_changed(sky) -> None:
    assert sky.run() == N
    told = sky.plan("observatories.ztf.release=ztf_dr25")
    assert told["to_make"] == N
    assert told["reasons"] == ["request changed (S0: release ztf_dr24 → ztf_dr25): 6 sources"]
    sky.table.loc[4, "ra"] += 0.5
    (sentence,) = sky.plan()["reasons"]
    assert re.fullmatch(r"request changed \(S4: ra 14\.\d+ → 14\.\d+\): 1 source", sentence)


# ---- raw data of the format before -----------------------------------------------------------------------------------


@pytest.fixture
def as_before(monkeypatch):
    """Makes runs keep raw data in the format before, until it is undone."""
    usual = Recipe._manifest

    def manifest(self, name, stage, upstream):
        if stage.root != "data":
            return usual(self, name, stage, upstream)
        observatory = self.surveys[name].observatory
        return {"data_type": "photometry", "survey": observatory.survey, "request": describe(observatory)["fields"]}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Recipe, "_manifest", manifest)
        patch.setattr(inventory, "raw_inputs", lambda observatory, sources, states: legacy_inputs(sources, states))
        yield patch


@pytest.mark.slow
def test_answers_of_the_format_before_are_not_asked_for_again(sky, as_before) -> None:
    sky.table.loc[3, "mag"] = 30.0  # was cut, so that its answer is empty
    assert sky.run() == N - 1
    as_before.undo()
    told = sky.plan()
    assert (told["reused"], told["to_make"]) == (N - 1, 1)
    assert sky.run() == 0  # it is still too faint
    sky.table.loc[3, "mag"] = 17.0
    sky.table.loc[1, "ra"] += 0.1  # another place was never asked for
    assert sky.run() == 2
    assert sky.run() == 0
    assert sky.retriever("verify").code == 0
    assert sky.run("run.refresh=0d") == N  # old answers age as others do
    assert sky.run() == 0


def test_an_answer_of_before_whose_file_is_gone_is_asked_for_again(sky, as_before) -> None:
    assert sky.run() == N
    as_before.undo()
    for path in sky.stand.glob("data/ZTF/**/*.h5"):
        path.unlink()
    assert sky.run() == N


def test_files_of_the_format_before_count_without_a_database(sky, as_before) -> None:
    assert sky.run() == N
    as_before.undo()
    (sky.stand / "outputs" / "retriever.db").unlink()
    assert sky.plan()["reused"] == N
    assert sky.run() == 0


def test_keys_of_the_format_before() -> None:
    expected = {
        "survey": "ZTF", "release": "ztf_dr24", "radius": 3.0, "bands": ["g"], "min_dec": -30.0, "max_mag": 22.0,
        "start": None, "stop": None, "bad_catflags_mask": 0, "login": False,
    }  # fmt: skip
    manifest = {"data_type": "photometry", "survey": "ZTF", "request": expected}
    assert legacy_key(ZTFObservatory(radius=3.0, bands=["g"])) == canonical_hash(manifest)
    here, there = (TAPObservatory(query="{ra}", url=url) for url in ("http://a", "http://b"))
    assert legacy_key(here) == legacy_key(there)  # addresses did not count
    assert NO_RESULT not in [spec.metadata for spec in dataclasses.fields(here) if spec.name == "url"]

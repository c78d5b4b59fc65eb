"""The commands that take the words of a run: try, adopt, catalog."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.helpers import last_summary, tables, version_folder
from tests.mast_server import MASTServer
from tests.surveys import ZTF_PATH, ztf_answer, ztf_archive


@pytest.fixture
def archive():
    with ztf_archive(epochs=20).serving() as one:
        yield one


def left(stand: Path) -> list[Path]:
    return [path for path in stand.rglob("*") if path.is_file()]


def test_try_shows_every_stage_and_writes_nothing(retriever, stand) -> None:
    ended = retriever("try", "random_000003", "simulator.trials=3", "--json")
    assert ended.code == 0
    told = json.loads(ended.out)["observatories"]["demo"]
    assert told["raw"]["rows"] == 100 and told["lightcurves"][0]["n_epochs"] == 100 and told["injections"]
    assert not left(stand)
    # what it shows is what a run stores
    assert retriever("run", "simulator.trials=3", "catalog.size=5").code == 0
    stored = tables(version_folder(stand / "outputs"))["injections"].query("source == 'random_000003'")
    shown = json.loads(retriever("try", "random_000003", "simulator.trials=3", "catalog.size=5", "--json").out)
    assert [one["snr"] for one in shown["observatories"]["demo"]["injections"]] == stored.snr.tolist()


def test_try_by_place_by_number_and_of_some_stages(retriever, stand, archive) -> None:
    at = [f"observatories.ztf.url={archive.url}{ZTF_PATH}", "observatories.ztf.client.wait=0.01"]
    ended = retriever("try", "30.0 20.0", "observatory=ztf", "--stages", "download", *at, "--json")
    told = json.loads(ended.out)
    assert told["source"]["name"] == "J30.00000+20.00000" and list(told["observatories"]["ztf"]) == ["raw"]
    server = MASTServer(archive)
    server.add_star(77, 40.0, -3.0, gaia=12.0)
    ended = retriever("try", "TIC 77", "observatory=tess", f"observatories.tess.url={archive.url}", "--json")
    told = json.loads(ended.out)
    assert told["source"]["ra"] == 40.0 and told["observatories"]["tess"]["lightcurves"][0]["band"] == "TESS"
    archive.fault = lambda request, n: "404"
    ended = retriever("try", "30.0 20.0", "observatory=ztf", *at)
    assert ended.code == 3 and "404" in ended.out
    assert not left(stand)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["try", "random_00000"], "did you mean"), (["try", "400 10"], "RA and DEC in degrees"), (["try", "x", "--stages", "fetch"], "known: analyze"),
        (["try", "x", "finder.snr_treshold=3"], "snr_threshold"), (["catalog", "query"], "needs a name"),
        (["catalog", "query", "nobody"], "no source"), (["catalog", "match", "absent.csv"], "no file"),
        (["adopt", "absent", "observatory=ztf"], "not a folder"), (["adopt", "."], "no file like"),
    ],
)  # fmt: skip
def test_wrong_words_are_told_in_one_sentence(retriever, stand, words, sentence) -> None:
    ended = retriever(*words)
    assert ended.code == 2 and sentence in ended.err and ended.err.count("\n") == 1


def test_catalog_info_query_and_match(retriever, stand) -> None:
    words = ["catalog=white_dwarfs_sample", "--json"]
    told = json.loads(retriever("catalog", "info", *words).out)
    assert told["sources"] == 50 and told["bands"] == ["G"] and told["epoch"] == [2016.0, 2016.0]
    (row,) = json.loads(retriever("catalog", "query", told["first"][0], *words).out)
    at = f"{row['ra']} {row['dec']}"
    (near,) = json.loads(retriever("catalog", "query", at, "--epoch", "2016", "--radius", "1", *words).out)
    assert near["name"] == row["name"] and near["distance_arcsec"] == 0.0
    pd.DataFrame({"name": ["mine"], "ra": [row["ra"]], "dec": [row["dec"]]}).to_csv("mine.csv", index=False)
    pairs = json.loads(retriever("catalog", "match", "mine.csv", "--epoch", "2016", "--radius", "1", *words).out)
    assert pairs == [{"name": row["name"], "other": "mine", "distance_arcsec": 0.0}]
    assert "sources  50" in retriever("catalog", "info", "catalog=white_dwarfs_sample").out


def stars(path: Path, n: int = 6) -> list[tuple[str, float, float]]:
    rows = [(f"S{k}", 10.0 * k, 5.0) for k in range(n)]
    pd.DataFrame(rows, columns=["name", "ra", "dec"]).to_csv(path, index=False)
    return rows


def test_what_lies_on_disk_is_not_downloaded(retriever, stand, archive) -> None:
    rows = stars(stand / "stars.csv")
    folder = stand / "mine"
    folder.mkdir()
    for name, ra, dec in rows[:4]:
        (folder / f"irsa_{name}.csv").write_bytes(ztf_answer(ra, dec, epochs=20))
    words = [
        "catalog=file",
        "catalog.path=stars.csv",
        "observatory=ztf",
        f"observatories.ztf.url={archive.url}{ZTF_PATH}",
    ]
    ended = retriever("adopt", "mine", *words, "--json")
    assert ended.code == 0, ended
    assert {key: json.loads(ended.out)[key] for key in ("taken", "there", "without_file")} == {
        "taken": 4,
        "there": 0,
        "without_file": 2,
    }
    assert retriever("run", *words, "reducers.ztf.max_mag_difference=0").code == 0
    assert len(archive.seen) == 2
    folder_of = version_folder(stand / "outputs")
    assert last_summary(folder_of)["computed"]["download"] == 2
    adopted = tables(folder_of)["lightcurves"].set_index("source").n_epochs
    assert adopted.tolist() == [20] * 12  # as good as downloaded
    assert json.loads(retriever("adopt", "mine", *words, "--json").out)["there"] == 6
    lineage = json.loads(retriever("show", f"{folder_of.name}/S0", "--json").out)["lineage"][0]
    assert lineage["provenance"]["request"] == "irsa_S0.csv"
    assert retriever("verify").code == 0


def test_tables_of_many_sources_are_adopted_by_a_column(retriever, stand, archive) -> None:
    rows = stars(stand / "stars.csv", 3)
    (stand / "mine").mkdir()
    parts = []
    for name, ra, dec in rows[:2]:
        header, *lines = ztf_answer(ra, dec, epochs=20).decode().splitlines()
        parts += [f"{line},{name}" for line in lines]
    (stand / "mine" / "all.csv").write_text("\n".join([f"{header},star", *parts]) + "\n")
    words = [
        "catalog=file",
        "catalog.path=stars.csv",
        "observatory=ztf",
        f"observatories.ztf.url={archive.url}{ZTF_PATH}",
    ]
    ended = retriever("adopt", "mine", *words, "--pattern", "*.csv", "--key", "star", "--json")
    assert json.loads(ended.out)["taken"] == 2
    assert retriever("run", *words, "reducers.ztf.max_mag_difference=0").code == 0 and len(archive.seen) == 1
    assert len(tables(version_folder(stand / "outputs"))["lightcurves"]) == 6


def test_a_broken_file_is_told_and_downloaded(retriever, stand, archive) -> None:
    rows = stars(stand / "stars.csv", 2)
    (stand / "mine").mkdir()
    (stand / "mine" / "S0.csv").write_bytes(b"")
    (stand / "mine" / "S1.csv").write_bytes(ztf_answer(rows[1][1], 5.0, epochs=20))
    words = [
        "catalog=file",
        "catalog.path=stars.csv",
        "observatory=ztf",
        f"observatories.ztf.url={archive.url}{ZTF_PATH}",
    ]
    ended = retriever("adopt", "mine", *words)
    assert ended.code == 3 and "failed: S0" in ended.out
    assert retriever("run", *words).code == 0 and len(archive.seen) == 1


def test_files_of_tess_are_adopted_by_their_headers(retriever, stand, archive, real_data) -> None:
    shutil.copytree(real_data / "tess", stand / "mine")
    pd.DataFrame({"name": ["AU Mic"], "ra": [311.29], "dec": [-31.34], "tic": ["TIC 441420236"]}).to_csv(
        "stars.csv", index=False
    )
    words = ["catalog=file", "catalog.path=stars.csv", "catalog.columns.aliases=[tic]", "observatory=tess"]
    words.append(f"observatories.tess.url={archive.url}")
    assert json.loads(retriever("adopt", "mine", *words, "--headers", "TESS", "--json").out)["taken"] == 1
    assert retriever("run", *words, "run.offline=true").code == 0
    assert tables(version_folder(stand / "outputs"))["lightcurves"].n_epochs.tolist() and not archive.seen


def test_real_ztf_files_are_adopted_and_searched_offline(retriever, stand, real_data) -> None:
    words = [
        "experiment=ztf_folder", "paths.lightcurves=unused", "observatory=ztf", "run.offline=true",
        f"catalog.path={real_data / 'catalogs' / 'ztf_white_dwarfs.csv'}",
    ]  # fmt: skip
    ended = retriever("adopt", str(real_data / "ztf"), *words, "--json")
    with (real_data / "catalogs" / "ztf_white_dwarfs.csv").open() as file:
        known = len(list(csv.DictReader(file)))
    assert json.loads(ended.out)["taken"] == known
    assert retriever("run", *words).code == 0
    assert np.isfinite(tables(version_folder(stand / "outputs", "ZTF_FOLDER"))["lightcurves"].mag_median).all()

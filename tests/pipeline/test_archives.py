"""Whole runs against archives on loopback: what is asked, what is not asked again, and what becomes of changed answers."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import retriever as package
from tests.archive import Archive, by_chance
from tests.helpers import assert_same_tables, last_summary, tables, version_folder
from tests.mast_server import MASTServer
from tests.surveys import WHITE_DWARFS_PATH, ZTF_PATH, white_dwarfs_route, ztf_answer, ztf_archive

QUICK = [
    "observatories.ztf.client.wait=0.01",
    "observatories.ztf.client.wait_max=0.05",
    "observatories.ztf.client.per_second=0",
]


def stars(folder: Path, n: int) -> Path:
    path = folder / "stars.csv"
    k = np.arange(n)
    pd.DataFrame({"name": [f"S{i:04d}" for i in k], "ra": (k * 0.31) % 360, "dec": (k * 0.17) % 60 - 10}).to_csv(
        path, index=False
    )
    return path


def words(archive: Archive, catalog: Path) -> list[str]:
    return [
        "catalog=file", f"catalog.path={catalog}", "observatory=ztf", f"observatories.ztf.url={archive.url}{ZTF_PATH}",
        "reducers.ztf.max_mag_difference=0", "executor.batch_size=10", *QUICK,
    ]  # fmt: skip


@pytest.fixture
def archive():
    with ztf_archive(epochs=20).serving() as one:
        one.routes[WHITE_DWARFS_PATH] = white_dwarfs_route()
        yield one


def test_the_experiment_runs_end_to_end_and_asks_nothing_twice(retriever, stand, archive) -> None:
    run = [
        "run", "experiment=wd_ztf", "catalog.limit=10", f"observatories.ztf.url={archive.url}{ZTF_PATH}",
        f"catalog.url={archive.url}{WHITE_DWARFS_PATH}",
    ]  # fmt: skip
    ended = retriever(*run)
    assert ended.code == 0, ended
    assert "Gentile Fusillo et al. 2021" in ended.out  # what to cite
    folder = version_folder(stand / "outputs", "WD_ZTF")
    found = tables(folder)
    assert len(found["sources"]) == 10
    alike = found["sources"].mag.sub(17).abs() < 2.0  # the survey's stars have 17 mag
    assert len(found["lightcurves"]) == 2 * alike.sum() > 0
    assert (found["sources"].mag <= 20).all() and (found["sources"].dec > -29).all()
    assert found["sources"].aliases[0].startswith('"Gaia EDR3')
    (path,) = stand.glob("catalogs/white_dwarfs_*.json")
    provenance = json.loads(path.read_text())
    assert provenance["rows"] == 200 and provenance["address"].endswith(WHITE_DWARFS_PATH) and provenance["fetched"]
    assert len(archive.seen) == 11
    raw = json.loads(retriever("show", f"{folder.name}/{found['sources'].name[0]}", "--json").out)["lineage"][0]
    assert raw["provenance"]["release"] == "ztf_dr24" and raw["provenance"]["fetched"]
    assert not list((stand / "data" / ".answers").rglob("*.*"))

    assert "nothing to do" in retriever(*run).out and len(archive.seen) == 11
    version = folder.name
    with Archive(routes=archive.routes).serving() as mirror:  # another address is the same version, and asks nothing
        run[-2] = f"observatories.ztf.url={mirror.url}{ZTF_PATH}"
        assert "nothing to do" in retriever(*run).out and not mirror.seen
    assert version_folder(stand / "outputs", "WD_ZTF").name == version


def test_tess_end_to_end_and_found_by_its_number(retriever, stand, archive) -> None:
    server = MASTServer(archive)
    run = [
        "run", "experiment=wd_tess", "catalog.limit=10", f"observatories.tess.url={archive.url}",
        f"catalog.url={archive.url}{WHITE_DWARFS_PATH}", "observatories.tess.client.per_second=0",
    ]  # fmt: skip
    assert retriever(*run, "run.stages=[]").code == 0
    stars = tables(version_folder(stand / "outputs", "WD_TESS"))["sources"]
    for k in range(8):
        ra, dec = stars.ra[k], stars.dec[k]
        server.add_star(500 + k, ra, dec, gaia=float(stars.mag[k]), sectors=(1,) if k else (1, 2))
    ended = retriever(*run)
    assert ended.code == 0, ended
    found = tables(version_folder(stand / "outputs", "WD_TESS"))
    assert len(found["lightcurves"]) == 9 and set(found["lightcurves"].band) == {"TESS"}
    assert '"TIC 500"' in found["sources"].aliases[0] and "TIC" not in found["sources"].aliases[9]
    by_number = json.loads(retriever("show", "TIC 500", "--json").out)
    assert by_number["catalog_rows"][0]["name"] == found["sources"].name[0]
    count = len(archive.seen)
    assert "nothing to do" in retriever(*run).out and len(archive.seen) == count
    assert retriever("verify").code == 0
    assert retriever("rebuild").code == 0
    assert "nothing to do" in retriever(*run).out


def test_a_version_frozen_with_a_former_name_of_a_parameter_is_used_as_before(retriever, stand, archive) -> None:
    assert retriever("run", *words(archive, stars(stand, 3))).code == 0
    folder = version_folder(stand / "outputs", "ZTF")
    frozen = folder / "config.yaml"
    assert frozen.read_text().count("cache:") == 1
    frozen.write_text(frozen.read_text().replace("cache:", "inbox:"))  # as retriever 0.2.0 wrote it
    count = len(archive.seen)
    ended = retriever("run", "--from", folder.name)
    assert ended.code == 0 and "nothing to do" in ended.out and len(archive.seen) == count, ended
    assert f"code, environment and data are those of {folder.name}" in ended.out
    assert version_folder(stand / "outputs", "ZTF") == folder
    name = tables(folder)["injections"].source[0]
    assert retriever("simulated", folder.name, name, "events.parquet").code == 0
    version = package.open("outputs").versions[folder.name]
    assert version.config.observatories.ztf.client.cache
    simulated = version.source(name).lightcurves(level="simulated")
    assert sum(lightcurve.n_epochs for lightcurve in simulated) == len(pd.read_parquet("events.parquet"))


def test_offline_nothing_is_asked_and_what_is_missing_is_said(retriever, stand, archive) -> None:
    catalog = stars(stand, 12)
    assert retriever("run", *words(archive, catalog), "run.stop=5").code == 0
    before = len(archive.seen)
    ended = retriever("run", *words(archive, catalog), "run.offline=true")
    assert ended.code == 0 and len(archive.seen) == before
    assert "7 source(s) have no raw data of ztf on disk" in ended.err
    found = tables(version_folder(stand / "outputs"))["products"]
    assert (found[found.stage == "analyze"].outcome == "done").sum() == 5
    plan = json.loads(retriever("plan", *words(archive, catalog), "run.offline=true", "--json").out)
    assert plan["stages"][0]["to_make"] == 0 and plan["stages"][0]["not_asked"] == 7
    ended = retriever("run", "experiment=wd_ztf", "run.offline=true", f"catalog.url={archive.url}{WHITE_DWARFS_PATH}")
    assert ended.code == 2 and "not on disk" in ended.err and "run.offline" in ended.err
    assert len(archive.seen) == before


def test_refresh_asks_again_and_reduces_what_changed_alone(retriever, stand, archive) -> None:
    catalog = stars(stand, 12)
    assert retriever("run", *words(archive, catalog)).code == 0
    assert retriever("run", *words(archive, catalog), "run.refresh=1d").code == 0
    assert len(archive.seen) == 12  # all are younger
    usual = archive.routes[ZTF_PATH]

    def with_one_more_epoch(request):
        _, ra, dec, _ = request.params["POS"].split()
        return usual(request) if float(ra) > 1.0 else type(usual(request))(ztf_answer(float(ra), float(dec), epochs=21))

    archive.routes[ZTF_PATH] = with_one_more_epoch
    plan = json.loads(retriever("plan", *words(archive, catalog), "run.refresh=0d", "--json").out)
    assert plan["stages"][0]["to_make"] == 12 and "older than run.refresh" in plan["stages"][0]["reasons"][0]
    files = set(stand.glob("data/ZTF/**/*.h5"))
    assert retriever("run", *words(archive, catalog), "run.refresh=0d").code == 0
    assert len(archive.seen) == 24
    summary = last_summary(version_folder(stand / "outputs"))
    assert summary["computed"] == {"download": 12, "reduce": 4, "analyze": 4, "simulate": 4}  # ra 0, 0.31, 0.62, 0.93
    assert files < set(stand.glob("data/ZTF/**/*.h5"))  # the earlier answers stay
    assert "nothing to do" in retriever("run", *words(archive, catalog)).out and len(archive.seen) == 24


def test_what_cannot_be_refreshed_keeps_its_earlier_answer(retriever, stand, archive) -> None:
    catalog = stars(stand, 6)
    assert retriever("run", *words(archive, catalog)).code == 0
    before = tables(version_folder(stand / "outputs"))["lightcurves"]
    archive.fault = lambda request, n: "404"
    ended = retriever("run", *words(archive, catalog), "run.refresh=0d")
    assert ended.code == 3 and "its earlier answer stays" in ended.out
    after = tables(version_folder(stand / "outputs"))["lightcurves"]
    pd.testing.assert_frame_equal(before, after)
    archive.fault = lambda request, n: ""
    assert retriever("run", *words(archive, catalog)).code == 0
    assert last_summary(version_folder(stand / "outputs"))["computed"]["reduce"] == 0


def test_failures_fail_alone_and_are_asked_again_by_the_next_run(retriever, stand, archive) -> None:
    catalog = stars(stand, 20)
    archive.fault = lambda request, n: (
        "404" if " 0.1700000 " in request.params["POS"] or "-9.83" in request.params["POS"] else ""
    )
    ended = retriever("run", *words(archive, catalog))
    assert ended.code == 3 and "404" in ended.out
    archive.fault = lambda request, n: ""
    assert retriever("run", *words(archive, catalog)).code == 0
    assert sorted(archive.answered.values()) == [1] * 20


def test_the_same_name_at_another_place_gets_raw_data_of_its_own(retriever, stand, archive) -> None:
    catalog = stars(stand, 3)
    assert retriever("run", *words(archive, catalog)).code == 0
    table = pd.read_csv(catalog)
    table.loc[1, "ra"] += 1.0
    table.to_csv(catalog, index=False)
    ended = retriever("run", *words(archive, catalog))
    assert ended.code == 0 and "'S0001'" in ended.err and "another request" in ended.err
    assert len(archive.seen) == 4


@pytest.mark.slow
def test_nothing_that_came_is_asked_again_after_kills_and_faults(stand, archive) -> None:
    """A tenth of the answers fail, the run is killed three times; each answer is asked for until it came, and not after."""
    catalog = stars(stand, 120)
    archive.latency = 0.02
    archive.fault = by_chance(0.1, ("503", "reset", "half", "html"))
    command = [sys.executable, "-m", "retriever.cli", "run", *words(archive, catalog), "executor=processes"]
    struck = 0
    for n in (15, 50, 90):
        process = subprocess.Popen(
            command, cwd=stand, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
        )
        while sum(archive.answered.values()) < n and process.poll() is None:
            time.sleep(0.002)
        struck += process.poll() is None
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=60)
    assert struck == 3
    last = subprocess.run(command, cwd=stand, capture_output=True, text=True, timeout=120)
    assert last.returncode == 0, last.stdout + last.stderr
    # an answer that is on its way at the very moment of a kill is lost with the connection: at most one a connection
    assert sum(archive.answered.values()) <= 120 + 3 * 8 and len(archive.answered) == 120
    undisturbed = stand / "undisturbed"
    archive.fault = lambda request, n: ""
    archive.most_at_once = 0
    alone = [*command, f"paths.outputs={undisturbed}/outputs", f"paths.data={undisturbed}/data"]
    assert subprocess.run(alone, cwd=stand, capture_output=True, timeout=120).returncode == 0
    assert 1 < archive.most_at_once <= 8  # all workers together
    assert_same_tables(version_folder(stand / "outputs"), version_folder(undisturbed / "outputs"))


def test_a_secret_is_written_nowhere(retriever, stand, archive, monkeypatch) -> None:
    secret = "-".join(("really", "not", "to", "be", "written"))
    monkeypatch.setenv("RETRIEVER_IRSA_USER", "somebody")
    monkeypatch.setenv("RETRIEVER_IRSA_PASSWORD", secret)
    archive.fault = lambda request, n: "503" if n < 1 else "404" if "-9.83" in request.params["POS"] else ""
    ended = retriever("run", *words(archive, stars(stand, 5)), "observatories.ztf.login=true", "run.verbose=true")
    assert ended.code == 3 and secret not in ended.out + ended.err
    assert any("authorization" in request.headers for request in archive.seen)
    for path in stand.rglob("*"):
        if path.is_file():
            assert secret.encode() not in path.read_bytes(), path
    ended = retriever("run", *words(archive, stars(stand, 5)), f"observatories.ztf.url=http://me:{secret}@localhost/x")
    assert ended.code == 2 and secret not in ended.out + ended.err

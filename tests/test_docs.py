"""Every command of the documentation is run, every Python example executed, every link followed."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.archive import Archive, Reply
from tests.conftest import ROOT
from tests.helpers import tables, version_folder
from tests.mast_server import MASTServer
from tests.surveys import WHITE_DWARFS_PATH, ZTF_PATH, white_dwarfs_route, ztf_answer, ztf_archive
from tests.tap_server import TAPServer

PAGES = [
    ROOT / "README.md",
    ROOT / "benchmarks" / "README.md",
    ROOT / "catalogs" / "README.md",
    ROOT / "ARCHITECTURE.md",
    ROOT / "docs" / "clusters.md",
    ROOT / "docs" / "archives.md",
    ROOT / "docs" / "add-a-survey.md",
    ROOT / "docs" / "python.md",
]
SMALLER = ["catalog.size=20", "observatories.demo.epochs=30"]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(), flags=re.DOTALL)


def commands(page: Path) -> list[str]:
    lines = [line for block in blocks(page, "bash") for line in block.strip().splitlines()]
    return [line for line in lines if line.startswith("retriever")]


README_COMMANDS = commands(ROOT / "README.md")
CLUSTER_COMMANDS = commands(ROOT / "docs" / "clusters.md")
ARCHIVE_COMMANDS = commands(ROOT / "docs" / "archives.md")
SURVEY_COMMANDS = commands(ROOT / "docs" / "add-a-survey.md")


def test_the_two_lines_that_do_everything_are_there() -> None:
    lines = [line for block in blocks(ROOT / "README.md", "bash") for line in block.strip().splitlines()]
    assert "python3 -m venv .venv && .venv/bin/pip install -e . && .venv/bin/retriever run" in lines
    assert 'python3 -m venv .venv && .venv/bin/pip install -e ".[test]" && .venv/bin/pytest' in lines


@pytest.fixture
def archives():
    """The archives that the pages speak of, on loopback."""
    with ztf_archive(epochs=20).serving() as archive:
        archive.routes[WHITE_DWARFS_PATH] = white_dwarfs_route()
        MASTServer(archive)
        yield archive


def on_loopback(words: list[str], archive: Archive) -> list[str]:
    """Words of a command with the archives' addresses on loopback, and nothing else changed."""
    at = f"observatories.ztf.url={archive.url}{ZTF_PATH}"
    told = " ".join(words)
    added = [at] if "experiment=wd_ztf" in told or "observatory=ztf" in told else []
    added += [f"observatories.tess.url={archive.url}"] if "experiment=wd_tess" in told else []
    return words + added + ([f"catalog.url={archive.url}{WHITE_DWARFS_PATH}"] if "experiment=wd_" in told else [])


@pytest.fixture
def dressed(stand: Path) -> Path:
    """A folder with the README's own class, and light curves of a survey of one's own."""
    page = ROOT / "README.md"
    (stand / "my_finder.py").write_text(blocks(page, "python")[0])
    (stand / "conf" / "finder").mkdir(parents=True)
    (stand / "conf" / "finder" / "mine.yaml").write_text(blocks(page, "yaml")[0])
    (stand / "own").mkdir()
    for name in ("random_000003", "lc_random_000003"):
        (stand / "own" / f"{name}.csv").write_text(
            "jd,mjd,mag,magerr,filter\n2458000.5,58000,15,0.1,r\n2458001.5,58001,15.1,0.1,r\n"
        )
    (stand / "own" / "table.csv").write_text("name,ra,dec\nrandom_000003,1,2\n")
    return stand


@pytest.mark.parametrize("command", README_COMMANDS)
def test_every_command_of_the_readme_runs(retriever, dressed, request, archives, command: str) -> None:
    folder, table = dressed / "own", dressed / "own" / "table.csv"
    if "_folder" in command:
        real_data = request.getfixturevalue("real_data")
    if "ztf_folder" in command:
        folder, table = real_data / "ztf", real_data / "catalogs" / "ztf_white_dwarfs.csv"
    if "tess_folder" in command:
        folder = dressed / "tess"
        folder.mkdir()
        name = "test-lc-tess-pimen-100-cadences.fits"
        (folder / name).write_bytes((real_data / "tess" / name).read_bytes())
    words = shlex.split(command.replace("FOLDER", str(folder)).replace("TABLE", str(table)))[1:]
    words = on_loopback(words, archives)
    if words[0] in ("try", "catalog"):
        pass
    elif words[0] not in ("run", "plan") or "--from" in words:
        assert retriever("run", *SMALLER).code == 0
        (version,) = (path.name for path in (dressed / "outputs").glob("DEMO_*"))
        assert retriever("run", *SMALLER, "finder.snr_threshold=4").code == 0
        (other,) = {path.name for path in (dressed / "outputs").glob("DEMO_*")} - {version}
        words = [word.replace("VERSION", version).replace("OTHER", other) for word in words]
        if words[0] == "unpack":
            assert retriever("pack", version, "version.zip").code == 0
    elif not any(word.startswith(("experiment", "catalog=")) for word in words):
        words += SMALLER
    ended = retriever(*words)
    assert ended.code == 0, ended
    sys.modules.pop("my_finder", None)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("command", CLUSTER_COMMANDS)
def test_every_command_of_the_page_on_clusters_runs(retriever, stand, postgres, monkeypatch, command: str) -> None:
    words = shlex.split(command)[1:]
    if "postgres" in command or words[0] not in ("run", "plan"):
        monkeypatch.setenv("RETRIEVER_DATABASE", postgres)
    ended = retriever(*words, *(SMALLER if words[0] in ("run", "plan") else []))
    assert ended.code == 0, ended
    assert (stand / "outputs" / "retriever.db").exists() is (
        "RETRIEVER_DATABASE" not in os.environ and words[0] == "run"
    )


@pytest.mark.parametrize("command", ARCHIVE_COMMANDS)
def test_every_command_of_the_page_on_archives_runs(retriever, stand, archives, command: str) -> None:
    (stand / "own").mkdir()
    (stand / "own" / "irsa_S0.csv").write_bytes(ztf_answer(1.0, 2.0))
    (stand / "table.csv").write_text("name,ra,dec\nS0,1,2\n")
    words = shlex.split(command.replace("FOLDER", "own").replace("TABLE", "table.csv"))[1:]
    if "run.offline=true" in words:
        assert retriever(*on_loopback(words[:-1], archives)).code == 0
    ended = retriever(*on_loopback(words, archives))
    assert ended.code == 0, ended


@pytest.mark.parametrize("command", SURVEY_COMMANDS)
def test_the_examples_of_add_a_survey_run(retriever, stand, command: str) -> None:
    page = ROOT / "docs" / "add-a-survey.md"
    one, upload, mine = blocks(page, "yaml")
    sky = retriever("try", "random_000003", "--stages", "download", "--json").out
    place = json.loads(sky)["source"]
    epochs = [(2455000.5 + k, 12.0 + 0.01 * k, 0.02, "c1", 0, place["ra"], place["dec"]) for k in range(30)]
    columns = dict(
        zip(
            ("hjd", "mag", "mag_err", "camera", "grade", "ra", "dec"), map(list, zip(*epochs, strict=True)), strict=True
        )
    )
    csv = "mjd,mag,magerr,filter\n" + "".join(f"{58000 + k},15.{k:02d},0.1,r\n" for k in range(30))
    with Archive(routes={"/lightcurve": lambda request: Reply(csv.encode())}).serving() as archive:
        TAPServer(archive, {"asas.photometry": columns})
        folder = stand / "conf" / "observatory"
        folder.mkdir(parents=True)
        (stand / "my_survey.py").write_text(blocks(page, "python")[0])
        here = [text.replace("https://archive.example.org", archive.url) for text in (one, upload, mine)]
        (folder / "asas.yaml").write_text(here[0])
        (folder / "mine.yaml").write_text(here[2])
        before, _, after = here[0].partition("    query:")
        _, _, rest = after.partition("    radius:")
        (folder / "asas_upload.yaml").write_text(
            before + "".join(f"    {line}\n" for line in here[1].splitlines()) + "    radius:" + rest
        )
        ended = retriever(*shlex.split(command)[1:])
        assert ended.code == 0, ended
        asked = len(archive.seen)
    if "try" in command:
        return
    found = tables(version_folder(stand / "outputs"))
    if "mine" in command:
        assert len(found["lightcurves"]) == 20 and asked == 20
    else:
        (row,) = found["lightcurves"].to_dict("records")
        assert (row["source"], row["band"], row["series"], row["n_epochs"]) == ("random_000003", "V", "c1", 30)
        assert row["time_first"] == 55000.0 and asked == (1 if "upload" in command else 20)
    sys.modules.pop("my_survey", None)


def test_links_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\((?!http)([^)#]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_benchmark_runs() -> None:
    words = [sys.executable, str(ROOT / "benchmarks" / "demo.py"), "--size", "30", "--repeat", "1", "--case", "serial"]
    told = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert told.splitlines()[1].startswith("serial")


def test_the_other_benchmarks_run() -> None:
    for words in (
        ["scale.py", "--size", "300", "--done", "0", "50"],
        ["versions.py", "--size", "40"],
        ["archives.py", "--case", "faults", "--size", "30"],
    ):
        command = [sys.executable, str(ROOT / "benchmarks" / words[0]), *words[1:]]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        assert "plan" in told or "30 answered" in told


def test_pages_speak_of_no_machine() -> None:
    for page in PAGES:
        assert not re.search(r"/(root|home|work|tmp)/", page.read_text()), page

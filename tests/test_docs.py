"""Every command of the documentation is run, every Python example executed, every link followed."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

PAGES = [
    ROOT / "README.md",
    ROOT / "benchmarks" / "README.md",
    ROOT / "catalogs" / "README.md",
    ROOT / "ARCHITECTURE.md",
    ROOT / "docs" / "clusters.md",
]
SMALLER = ["catalog.size=20", "observatories.demo.epochs=30"]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(), flags=re.DOTALL)


def commands(page: Path) -> list[str]:
    lines = [line for block in blocks(page, "bash") for line in block.strip().splitlines()]
    return [line for line in lines if line.startswith("retriever")]


README_COMMANDS = commands(ROOT / "README.md")
CLUSTER_COMMANDS = commands(ROOT / "docs" / "clusters.md")


def test_the_two_lines_that_do_everything_are_there() -> None:
    lines = [line for block in blocks(ROOT / "README.md", "bash") for line in block.strip().splitlines()]
    assert "python3 -m venv .venv && .venv/bin/pip install -e . && .venv/bin/retriever run" in lines
    assert 'python3 -m venv .venv && .venv/bin/pip install -e ".[test]" && .venv/bin/pytest' in lines


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
def test_every_command_of_the_readme_runs(retriever, dressed, request, command: str) -> None:
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
    if words[0] not in ("run", "plan") or "--from" in words:
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


def test_links_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\((?!http)([^)#]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_benchmark_runs() -> None:
    words = [sys.executable, str(ROOT / "benchmarks" / "demo.py"), "--size", "30", "--repeat", "1", "--case", "serial"]
    told = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert told.splitlines()[1].startswith("serial")


def test_the_other_benchmarks_run() -> None:
    for words in (["scale.py", "--size", "300", "--done", "0", "50"], ["versions.py", "--size", "40"]):
        command = [sys.executable, str(ROOT / "benchmarks" / words[0]), *words[1:]]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        assert "plan" in told


def test_pages_speak_of_no_machine() -> None:
    for page in PAGES:
        assert not re.search(r"/(root|home|work|tmp)/", page.read_text()), page

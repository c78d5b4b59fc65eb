"""A working folder that ``retriever init`` makes is a whole search: it runs, and its commit is recorded."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from retriever.detection import Detection
from tests.helpers import flat_lightcurve
from tests.test_docs import commands

WHO = {f"GIT_{role}_{what}": "somebody@example.org" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}


@pytest.fixture
def known_to_git(monkeypatch: pytest.MonkeyPatch) -> None:
    for key, value in WHO.items():
        monkeypatch.setenv(key, value)


def ran(*words: str, cwd: Path) -> str:
    """What a command printed that was run in a process of its own, as a user's is."""
    ended = subprocess.run([sys.executable, "-m", "retriever.cli", *words], cwd=cwd, capture_output=True, text=True)
    assert ended.returncode == 0, (words, ended.stdout, ended.stderr)
    return ended.stdout


@pytest.mark.slow
def test_every_command_of_its_readme_runs_in_it(stand, known_to_git) -> None:
    told = ran("init", "my_search", cwd=stand)
    assert told.splitlines()[-1] == "go on with: cd my_search && retriever run"
    folder = stand / "my_search"
    commit = subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=folder, text=True).strip()
    assert subprocess.check_output(["git", "status", "--porcelain"], cwd=folder, text=True) == ""
    lines = commands(folder / "README.md")
    assert [line.split()[1] for line in lines] == ["run", "browse", "run", "compare", "run", "options"]
    for line in lines:
        words = shlex.split(line)[1:]
        if words[0] == "browse":
            continue  # serves until it is interrupted; tests/browser tries it
        out = ran(*words, *(("--cfg", "job") if "observatory=ztf" in words else ()), cwd=folder)
        if words[0] == "compare":
            assert "finder.threshold" in out
        elif words[0] == "options":
            assert "mine" in out
        elif "observatory=ztf" in words:
            assert "catalog.csv" not in out and "path: targets.csv" in out
    first, second = (path.parent for path in sorted(folder.glob("outputs/MY_SEARCH_*/version.json"), key=made))
    record = json.loads((first / "version.json").read_text())
    assert record["inputs"]["commits"]["working folder"] == commit
    assert subprocess.check_output(["git", "status", "--porcelain"], cwd=folder, text=True) == ""
    for version in (first, second):
        injections = pd.read_parquet(version / "injections.parquet")
        assert len(injections) == 50 and 0.2 < injections.recovered.mean() < 1.0
    assert len(pd.read_parquet(first / "detections.parquet")) > len(pd.read_parquet(second / "detections.parquet"))


def made(path: Path) -> str:
    return str(json.loads(path.read_text())["created"])


def test_its_config_is_used_where_it_is_and_gives_way_to_what_is_asked(
    retriever, stand, known_to_git, monkeypatch
) -> None:
    assert retriever("init", "deep/er/search-2").code == 0
    monkeypatch.chdir(stand / "deep" / "er" / "search-2")
    assert "name: search-2" in retriever("run", "--cfg", "job").out
    plain = retriever("run", "--cfg", "job", "--config-name", "config", "finder=peak").out
    assert "random.RandomCatalog" in plain and "search-2" not in plain
    other = stand / "other"
    other.mkdir()
    (other / "project.yaml").write_text("defaults: [config, _self_]\nproject: {name: mine}\n")
    assert "name: mine" in retriever("run", "--cfg", "job", "--config-dir", str(other)).out
    monkeypatch.chdir(stand)
    assert retriever("run", "--cfg", "job", "finder=peak").out == plain


def test_a_folder_with_something_in_it_is_left_alone(retriever, stand) -> None:
    (stand / "full").mkdir()
    (stand / "full" / "thesis.tex").write_text("...")
    (stand / "file").write_text("")
    (stand / "empty").mkdir()
    for name in ("full", "file"):
        ended = retriever("init", name)
        assert ended.code == 2 and "exists" in ended.err and ended.err.count("\n") == 1
    assert retriever("init", "empty").code == 0
    assert [path.name for path in (stand / "full").iterdir()] == ["thesis.tex"]
    assert sorted(path.name for path in stand.iterdir()) == ["empty", "file", "full"]


@pytest.mark.parametrize("name", ["", ".", "..", "a b", "ñ", "-x", "a" * 65, "x/..", "$(x)", "<script>"])
def test_a_name_that_names_no_project_is_refused(retriever, stand, name) -> None:
    ended = retriever("init", "--", name)
    assert ended.code == 2 and ended.err.count("\n") == 1, ended
    assert not list(stand.iterdir())


def test_inside_a_repository_none_is_made(retriever, stand) -> None:
    subprocess.run(["git", "init", "--quiet", str(stand)], check=True)
    ended = retriever("init", "inner")
    assert ended.code == 0 and "commit it there" in ended.out
    assert not (stand / "inner" / ".git").exists() and (stand / "inner" / ".gitignore").exists()


def test_without_a_name_for_git_the_folder_is_made_and_the_rest_is_said(stand) -> None:
    words = [sys.executable, "-m", "retriever.cli", "init", "nameless"]
    keep = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    nobody = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null", "HOME": str(stand), "EMAIL": ""}
    config = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "user.useConfigOnly", "GIT_CONFIG_VALUE_0": "true"}
    ended = subprocess.run(words, cwd=stand, env={**keep, **nobody, **config}, capture_output=True, text=True)
    assert ended.returncode == 0 and "but no commit" in ended.stdout and "commit before a run" in ended.stdout
    assert ended.stderr == ""


def test_without_git_there_is_no_repository(stand, tmp_path_factory) -> None:
    words = [sys.executable, "-m", "retriever.cli", "init", "gitless"]
    env = {**os.environ, "PATH": str(tmp_path_factory.mktemp("bin"))}
    ended = subprocess.run(words, cwd=stand, env=env, capture_output=True, text=True)
    assert ended.returncode == 0 and "git is not installed" in ended.stdout, ended
    assert (stand / "gitless" / "conf" / "project.yaml").exists() and not (stand / "gitless" / ".git").exists()


@pytest.mark.parametrize("at", ["README.md", "project.yaml", "targets.csv"])
def test_a_full_disk_leaves_nothing_half_made(retriever, stand, monkeypatch, at) -> None:
    write = Path.write_text

    def full(self: Path, *words, **options):
        if self.name == at:
            raise OSError(28, "No space left on device")
        return write(self, *words, **options)

    monkeypatch.setattr(Path, "write_text", full)
    ended = retriever("init", "search")
    assert ended.code == 2 and "No space left" in ended.err and ended.err.count("\n") == 1
    assert not list(stand.iterdir())


def test_what_follows_from_the_epochs_of_a_detection() -> None:
    """Worked by hand: median 10; epoch 3 is not usable."""
    flux = np.array([10.0, 10, 10, 14, 16, 13, 10, 10])
    mag = np.array([20.0, 20, 20, 19.5, 19, 19.7, 20, 20])
    lc = flat_lightcurve(8, flux=flux, mag=mag, qflag=np.arange(8) == 3, number=7)
    found = Detection.of(lc, first=3, peak=4, last=5, snr=np.float32(6.5), width=0.25)
    assert (found.lightcurve, found.first, found.peak, found.last) == (7, 3, 4, 5)
    assert (found.amplitude, found.dmag, found.n_epochs) == (6.0, -1.0, 2)
    assert (found.time_first, found.time_peak, found.time_last) == tuple(lc.time[3:6])
    assert (found.snr, found.width) == (6.5, 0.25) and type(found.snr) is float
    assert Detection.of(lc, first=4, peak=4, last=4, snr=1.0, n_epochs=9).n_epochs == 9

"""What a change of retriever's own code makes pending: run from a copy of the checkout, a repository of its own."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the package in a git repository, with a finished run in it."""
    for name in ("retriever", "conf"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", ".gitignore"):
        shutil.copy(ROOT / name, tmp_path / name)
    git(tmp_path, "init", "-q")
    commit(tmp_path)
    assert "complete" in run(tmp_path)
    return tmp_path


def git(folder: Path, *words: str) -> None:
    who = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True)


def commit(folder: Path) -> None:
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "x")


def run(folder: Path) -> str:
    env = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    words = [sys.executable, "-m", "retriever.cli", "run", "catalog.size=10", "observatories.demo.epochs=20"]
    ended = subprocess.run(words, cwd=folder, env=env, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def versions(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("outputs/DEMO_*")}


def test_words_recompute_nothing_and_lines_what_stands_on_them(copy: Path) -> None:
    before = versions(copy)
    for path in sorted((copy / "retriever").rglob("*.py")):
        path.write_text(path.read_text() + "\n# a comment more\n")
    change(copy / "retriever" / "statistics.py", "Median of finite values", "The median of finite values")
    assert "nothing to do" in run(copy)
    assert versions(copy) == before  # uncommitted, and no product differs: the same version

    (copy / "README.md").write_text("other words\n")
    commit(copy)
    assert "nothing to do" in run(copy)
    assert len(versions(copy)) == 2  # another commit is another version, of the same products

    change(copy / "retriever" / "statistics.py", "half = n // 2", "half = n // 2 + 0")
    assert "computed now: reduce 10, analyze 10, simulate 10" in run(copy)
    (changed,) = [path for path in copy.glob("outputs/DEMO_*/uncommitted.patch") if path.read_text()]
    assert "+    half = n // 2 + 0" in changed.read_text()
    assert json.loads(changed.with_name("version.json").read_text())["uncommitted"]["retriever"]["dirty"] is True

    change(copy / "retriever" / "finders" / "peak.py", "free = np.ones(", "free = 1 == np.ones(")
    assert "computed now: analyze 10, simulate 10" in run(copy)
    change(copy / "retriever" / "simulators" / "gaussian.py", "-4.0 * np.log(2.0)", "-np.log(2.0) * 4.0")
    assert "computed now: simulate 10 " in run(copy)
    change(copy / "retriever" / "pipeline" / "runner.py", "max_failures", "max_failures")
    change(
        copy / "retriever" / "observatories" / "demo.py", "brightness = source.mag if", "brightness = 0 + source.mag if"
    )
    assert "nothing to do" in run(copy)  # raw data has no code in its key

"""What a change of retriever's own code makes pending: run from a copy of the checkout, a repository of its own."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

UNREACHED = {
    "errors.py": "\n\nclass NewError(DataError):\n    exit_code = 7\n",
    "interfaces.py": "\n\nclass Judge(Protocol):\n    def judge(self, lightcurve: Lightcurve) -> float: ...\n",
    "photometry.py": "\n\ndef unused(x: float) -> float:\n    return x\n",
}
REWORDED = [
    ("lightcurve.py", "are not finite and in order; sort them", "are out of order; sort them first"),
    (
        "reducers/standard.py",
        "unknown time_format {self.time_format!r}",
        "there is no time_format {self.time_format!r}",
    ),
    ("reducers/series.py", "not numbers; map another column", "no numbers; choose another column"),
    ("finders/peak.py", "it must be above zero", "give more than zero"),
]


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
    path.write_text(text.replace(old, new, 1) if old else text + new)


def versions(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("outputs/DEMO_*")}


@pytest.mark.slow
def test_words_recompute_nothing_and_code_only_what_depends_on_it(copy: Path) -> None:
    before = versions(copy)
    for path in sorted((copy / "retriever").rglob("*.py")):
        path.write_text(path.read_text() + "\n# a comment more\n")
    change(copy / "retriever" / "statistics.py", "Median of finite values", "The median of finite values")
    for name, text in UNREACHED.items():
        path = copy / "retriever" / name
        path.write_text(path.read_text() + text)
    for name, old, new in REWORDED:
        change(copy / "retriever" / name, old, new)
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
    change(copy / "retriever" / "profiles.py", "-4.0 * np.log(2.0)", "-np.log(2.0) * 4.0")
    assert "computed now: simulate 10 " in run(copy)
    change(copy / "retriever" / "pipeline" / "results.py", "self._failed > total", "total < self._failed")
    change(copy / "retriever" / "observatories" / "demo.py", "luck = rng.random(3)", "luck = 0 + rng.random(3)")
    assert "nothing to do" in run(copy)  # raw data has no code in its key


KEYS = """
import json
from retriever.fingerprint.code_hashes import fingerprint
parts = {
    "reduce": ["reducers.standard:StandardReducer"],
    "analyze": ["analysis.standard:StandardAnalysis", "quality.standard:StandardQuality", "finders.peak:PeakFinder"],
    "simulate": ["simulators.gaussian:GaussianSimulator", "simulators.distribution:Distribution"],
}
print(json.dumps({s: fingerprint(f"retriever.stages.{s}:run", *(f"retriever.{p}" for p in ps)) for s, ps in parts.items()}))
"""


def keys(folder: Path) -> dict[str, str]:
    env = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    words = [sys.executable, "-c", KEYS]
    ended = subprocess.run(words, cwd=folder, env=env, capture_output=True, text=True, check=True)
    return dict(json.loads(ended.stdout))


ALL = ("analyze", "reduce", "simulate")


@pytest.mark.parametrize(
    ("name", "old", "new", "stages"),
    [
        *((name, old, new, ()) for name, old, new in REWORDED),
        *((name, "", text, ()) for name, text in UNREACHED.items()),
        ("errors.py", "class LeaseLost", "class LeaseGone", ()),
        ("interfaces.py", "def find(self, lightcurve", "def found(self, lightcurve", ()),
        ("interfaces.py", '"finder": "find"', '"finder": "found"', ()),
        ("statistics.py", "half = n // 2", "half = (n + 0) // 2", ALL),
        ("statistics.py", "GAUSSIAN_MAD = 1.48", "GAUSSIAN_MAD = 1.49", ALL),
        ("noise.py", "core = 1.0 /", "core = 1.01 /", ("analyze",)),
        ("statistics.py", "return median(time[1:] - time[:-1])", "return -median(time[1:] - time[:-1])", ()),
        ("finders/peak.py", "snr_threshold: float = 5.0", "snr_threshold: float = 6.0", ("analyze",)),
        ("finders/peak.py", "frozen=True", "frozen=False", ("analyze",)),
        ("photometry.py", "AB_ZERO_POINT_UJY = 23.9", "AB_ZERO_POINT_UJY = 23.8", ("reduce",)),
        ("photometry.py", "TESS_ZERO_POINT = 20.44", "TESS_ZERO_POINT = 20.45", ()),
        (
            "photometry.py",
            "_POGSON = 2.5",
            "_POGSON = 2.6",
            (
                "reduce",
                "simulate",
            ),
        ),
        ("lightcurve.py", "frozen=True, kw_only=True, eq=False", "frozen=True, kw_only=True", ALL),
        ("lightcurve.py", "    @property\n    def usable", "    def usable", ALL),
        ("astrometry.py", "def moved(", "@np.errstate(all='ignore')\ndef moved(", ALL),
        ("identity.py", "repr((seed, *words))", "repr((*words, seed))", ("simulate",)),
        ("errors.py", "class DataError(RetrieverError)", "class DataError(ConfigError)", ALL),
    ],
    ids=str,
)
def test_an_edit_changes_the_keys_of_the_stages_that_reach_it(
    tmp_path: Path, name: str, old: str, new: str, stages: tuple[str, ...]
) -> None:
    shutil.copytree(ROOT / "retriever", tmp_path / "retriever", ignore=shutil.ignore_patterns("__pycache__"))
    before = keys(tmp_path)
    change(tmp_path / "retriever" / name, old, new)
    after = keys(tmp_path)
    assert tuple(sorted(stage for stage in before if before[stage] != after[stage])) == stages

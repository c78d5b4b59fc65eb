"""Outputs of the format before, and of tables with fewer columns, open in the present code.

A wheel is built of a commit of the former format, from this repository's history. It is installed in a folder of its
own and run from there, beside the packages of this environment, so that nothing is downloaded.
"""

import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from retriever.store.segments import format_of, read
from tests.conftest import ROOT

COMMIT = "1ec22af"
"""The commit before the rebuild; it writes segment format 1 and database schema 3."""

SIZE = (
    "catalog.size=30", "observatories.demo.filters=[g,r]", "observatories.demo.empty=0.1",
    "observatories.demo.failures=0.1", "executor.batch_size=7",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Former:
    """Outputs of the format before: who made them, their folder, and the versions with the thresholds 5 and 4.5."""

    site: Path
    folder: Path
    strict: str
    loose: str


def printed(*command: str | Path, code: int = 0, **options) -> str:
    """What a command prints that ends with this code."""
    ended = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    assert ended.returncode == code, ended.stdout + ended.stderr
    return ended.stdout


def former_python(site: Path, folder: Path, *words: str, code: int = 0) -> str:
    """What Python prints in a folder, with the installed wheel before all other packages."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("RETRIEVER_")}
    environment["PYTHONPATH"] = str(site)
    return printed(sys.executable, *words, code=code, cwd=folder, env=environment)


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder in which a wheel of the commit is installed."""
    archive = subprocess.run(["git", "archive", COMMIT], cwd=ROOT, capture_output=True, check=False)
    if archive.returncode != 0:
        pytest.skip(f"this checkout's history does not have commit {COMMIT}; fetch all of it to test compatibility")
    source, built, site = (tmp_path_factory.mktemp(name) for name in ("source", "built", "site"))
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tar:
        # early releases of Python 3.11 have no filters
        tar.extractall(source, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
    printed(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", built, source)
    (wheel,) = built.glob("*.whl")
    install = (sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index")
    printed(*install, "--target", site, wheel)
    return site


@pytest.fixture(scope="session")
def former(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Former:
    """Outputs of the format before, made by the installed wheel; some sources fail, so that a run ends with 3."""
    folder = tmp_path_factory.mktemp("former")
    former_python(site, folder, "-m", "retriever.cli", "run", *SIZE, code=3)
    (strict,) = (path.parent.name for path in folder.glob("outputs/DEMO_*/version.json"))
    former_python(site, folder, "-m", "retriever.cli", "run", *SIZE, "finder.snr_threshold=4.5", code=3)
    (loose,) = {path.parent.name for path in folder.glob("outputs/DEMO_*/version.json")} - {strict}
    return Former(site=site, folder=folder, strict=strict, loose=loose)


@pytest.fixture
def copied(former: Former, stand: Path) -> Former:
    """A copy of the outputs of before, in the folder that the test stands in."""
    for name in ("outputs", "data"):
        shutil.copytree(former.folder / name, stand / name)
    assert {format_of(path) for path in Path().rglob("*.h5")} == {1}
    return former


def answer(retriever, *words: str):
    """What a command prints as JSON."""
    ended = retriever(*words, "--json")
    assert ended.code == 0, ended
    return json.loads(ended.out)


def products_of(version: str) -> pd.DataFrame:
    return pd.read_parquet(Path("outputs") / version / "products.parquet")


def rows_of(version: str, table: str, source: str) -> list[dict]:
    frame = pd.read_parquet(Path("outputs") / version / f"{table}.parquet")
    return frame[frame.source == source].to_dict("records")


@pytest.mark.slow
def test_outputs_of_before_are_made_by_the_installed_wheel(former) -> None:
    ask = (
        "import retriever, retriever.config, retriever.pipeline.version as version\n"
        "print(retriever.__file__, retriever.config.CONFIG_FOLDER, version._installed_identity(), sep='\\n')"
    )
    file, conf, identity = former_python(former.site, former.folder, "-c", ask).splitlines()
    assert Path(file) == former.site / "retriever" / "__init__.py"
    assert Path(conf) == former.site / "retriever" / "conf"
    assert (former.site / "retriever-0.1.0.dist-info" / "WHEEL").is_file()
    # without a checkout, a version names the release and the digest of all its files instead of a commit
    assert identity.startswith("0.1.0+")
    for name in (former.strict, former.loose):
        record = json.loads((former.folder / "outputs" / name / "version.json").read_text())
        assert record["inputs"]["commits"] == {"retriever": identity, "working folder": ""}


def test_versions_and_what_is_in_them_are_shown(retriever, copied) -> None:
    status = retriever("status")
    assert status.code == 0 and copied.strict in status.out and "finder.snr_threshold=4.5" in status.out, status
    version = answer(retriever, "show", copied.strict)
    assert version["hash_holds"] is True and version["parameters"]["finder.snr_threshold"] == 5.0
    source = answer(retriever, "show", f"{copied.loose}/random_000003")
    stored = products_of(copied.loose).query("source == 'random_000003'")
    assert [row["digest"] for row in source["lineage"]] == stored.digest.tolist()
    assert [row["segment"] for row in source["lineage"]] == stored.segment.tolist()
    assert source["lineage"][0]["provenance"]["request"] == "random_000003"
    assert [row["band"] for row in source["lightcurves"]] == ["g", "r"]
    first = answer(retriever, "show", f"{copied.loose}/random_000003/demo/1")
    expected = rows_of(copied.loose, "lightcurves", "random_000003")[0]
    assert first["lightcurve"]["flux_median"] == expected["flux_median"]
    segment = Path(stored.segment.iloc[1]).name
    assert "random_000003" in answer(retriever, "show", segment)["sources"]


def test_a_failed_and_an_empty_source_are_shown_as_such(retriever, copied) -> None:
    raw = products_of(copied.strict).query("stage == 'download'").set_index("source").outcome
    for outcome in ("empty", "failed"):
        name = raw[raw == outcome].index[0]
        lineage = answer(retriever, "show", f"{copied.strict}/{name}")["lineage"]
        assert lineage[0]["outcome"] == outcome


def test_files_of_a_source_are_where_the_command_says(retriever, copied) -> None:
    place = answer(retriever, "where", "random_000003")["products"]
    assert {row["stage"] for row in place} == {"download", "reduce", "analyze", "simulate"}
    for row in place:
        _, tables = read(Path(row["file"]), ["sources"])
        assert tables["sources"]["name"][row["row"]] == "random_000003"
        assert tables["sources"]["digest"][row["row"]].decode() == row["digest"]


def test_two_versions_of_before_compare(retriever, copied) -> None:
    comparison = answer(retriever, "compare", copied.strict, copied.loose)
    assert comparison["parameters"] == {"finder.snr_threshold": [5.0, 4.5]}
    assert comparison["code"]["modules"] == [] and comparison["code"]["comparable"] is True
    done = products_of(copied.strict).query("stage == 'download' and outcome != 'failed'")
    assert comparison["data"] == {"same": len(done), "within_1e-12": 0, "other": 0}
    again = answer(retriever, "compare", copied.strict, str(shutil.copytree(f"outputs/{copied.strict}", "again")))
    assert again["identical"] is True


def test_upkeep_sees_no_damage_and_removes_what_is_to_be_removed(retriever, copied) -> None:
    assert retriever("verify").code == 0
    assert answer(retriever, "gc", "--dry-run")["files"] == 0
    assert answer(retriever, "gc", "--dry-run", "--raw")["files"] == 0
    segments = len(list(Path().rglob("*.h5")))
    assert answer(retriever, "rebuild") == {"segments": segments, "versions": 2, "verdicts": 0}
    assert retriever("verify").code == 0
    assert retriever("pin", copied.loose, "--why", "in the paper").code == 0
    assert "pinned" in retriever("remove", copied.loose).err
    assert retriever("pin", copied.loose, "--off").code == 0
    assert retriever("remove", copied.loose).code == 0
    assert answer(retriever, "gc")["kinds"].keys() == {"unused"}
    assert retriever("verify").code == 0
    kept = [place for place in products_of(copied.strict).segment if place]
    assert all(Path(place.replace("data/", "data/", 1)).exists() for place in kept)


def test_a_version_of_before_is_packed_and_unpacked(retriever, copied, stand, monkeypatch) -> None:
    assert retriever("pack", copied.strict, "former.zip").code == 0
    (stand / "elsewhere").mkdir()
    monkeypatch.chdir(stand / "elsewhere")
    assert answer(retriever, "unpack", "../former.zip") == {"version": copied.strict}
    assert retriever("verify").code == 0
    assert answer(retriever, "show", copied.strict)["hash_holds"] is True
    row = answer(retriever, "where", "random_000003")["products"][0]
    assert Path(row["file"]).exists()


def test_simulated_light_curves_of_other_code_are_refused_in_a_sentence(retriever, copied) -> None:
    ended = retriever("simulated", copied.strict, "random_000003", "x.parquet")
    assert ended.code == 1 and ended.err.count("\n") == 1 and "present code and format" in ended.err, ended


def test_a_run_uses_raw_data_of_before_and_computes_the_rest_once(retriever, copied) -> None:
    ended = retriever("run", *SIZE)
    assert ended.code == 3, ended
    sentence = "recomputing reduce, analyze, simulate of 30 sources: this retriever's keys are those of format 2"
    assert ended.err.count(sentence) == 1, ended
    (new,) = {path.parent.name for path in Path("outputs").glob("DEMO_*/version.json")} - {copied.strict, copied.loose}
    now, before = (products_of(name).query("stage == 'download'").set_index("source") for name in (new, copied.strict))
    done = before.index[before.outcome == "done"]
    assert done.size > 20
    assert now.digest[done].tolist() == before.digest[done].tolist()
    segments = pd.read_parquet(Path("outputs") / new / "segments.parquet").segment.iloc[: len(now)]
    assert set(segments.set_axis(now.index)[done]) == set(before.segment[done])
    comparison = answer(retriever, "compare", copied.strict, new)
    assert comparison["code"]["comparable"] is False and comparison["code"]["modules"] == []
    # an empty answer of before is asked for again, under a digest that covers the request
    assert comparison["data"]["same"] >= done.size
    assert comparison["sources"]["outcomes_changed"] == {}
    assert "code cannot be compared" in retriever("compare", copied.strict, new).out

    again = retriever("run", *SIZE)
    assert "recomputing" not in again.err and "computed now" not in again.out, again
    other = retriever("run", *SIZE, "finder.snr_threshold=4")
    assert other.code == 3 and "recomputing" not in other.err, other
    saved = retriever("run", "--from", copied.strict)
    assert saved.code == 3 and "code cannot be compared" in saved.out + saved.err, saved
    assert retriever("verify").code == 0
    assert retriever("remove", copied.strict).code == retriever("remove", copied.loose).code == 0
    assert answer(retriever, "gc", "--raw")["files"] > 0
    kept = retriever("run", *SIZE)
    assert "computed now" not in kept.out, kept


def test_nothing_is_said_of_formats_where_there_is_no_former_one(retriever, stand) -> None:
    assert retriever("run", "catalog.size=3").code == 0
    ended = retriever("run", "catalog.size=3", "reducers.demo.gap=20")
    assert ended.code == 0 and "recomputing" not in ended.err, ended


# ---- a column more ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_column_with_a_default_leaves_earlier_outputs_usable(retriever, stand) -> None:
    assert retriever("run", "catalog.size=200", "executor.batch_size=50").code == 0
    (version,) = (path.parent.name for path in Path("outputs").glob("DEMO_*/version.json"))
    package = stand / "edited"
    shutil.copytree(ROOT / "retriever", package / "retriever", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "conf", package / "conf")
    path = package / "retriever" / "detection.py"
    line = '    finder: str = column("", "which finder found it, where there are several", default="")\n'
    text = path.read_text()
    assert text.count(line) == 1
    path.write_text(text.replace(line, f'{line}    quality: float = column("", "how sure it is", default=0.5)\n'))

    def edited(*words: str) -> str:
        environment = {**os.environ, "PYTHONPATH": str(package)}
        return printed(sys.executable, "-m", "retriever.cli", *words, env=environment)

    before = pd.read_parquet(f"outputs/{version}/detections.parquet")
    name = before.source.iloc[0]
    shutil.copytree("outputs", "kept")
    rebuilt = json.loads(edited("rebuild", "--json"))
    assert rebuilt["versions"] == 1
    edited("verify")
    shown = json.loads(edited("show", f"{version}/{name}", "--json"))
    assert len(shown["detections"]) == int((before.source == name).sum())
    edited("run", "catalog.size=200", "executor.batch_size=50")
    (new,) = {path.parent.name for path in Path("outputs").glob("DEMO_*/version.json")} - {version}
    assert set(pd.read_parquet(f"outputs/{new}/detections.parquet").quality) == {0.5}
    comparison = json.loads(edited("compare", version, new, "--json"))
    assert comparison["identical"] is False
    assert comparison["rows"]["detections"] == {
        "same": len(before), "within_1e-12": 0, "other": 0, "only": [0, 0]
    }  # fmt: skip
    # a database of before, whose table lacks the column, too
    shutil.rmtree("outputs")
    shutil.copytree("kept", "outputs")
    edited("status")
    edited("verify")
    edited("run", "catalog.size=200", "executor.batch_size=50")
    assert np.all(pd.read_parquet(f"outputs/{new}/detections.parquet").quality == 0.5)

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.helpers import version_folder

SMALL = ("catalog.size=20", "observatories.demo.epochs=30")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "finder.snr_treshold=5"], "did you mean 'finder.snr_threshold'"),
        (["run", "finder=pek"], "did you mean 'peak'"),
        (["run", "+finder.x=1"], "no parameter 'x'"),
        (["run", "finder.snr_threshold=abc"], "abc"),
        (["run", "run.stages=[analyse]"], "did you mean 'analyze'"),
        (["run", "run.sources=[nobody]"], "nobody"),
        (["run", "project.name=../x"], "project.name"),
        (["run", "catalog=file", "catalog.path=nowhere.csv"], "nowhere.csv"),
        (["run", "catalog=inline"], "no sources"),
        (["run", "observatory=folder"], "paths.lightcurves"),
        (["run", "observatory=folder", "paths.lightcurves=nowhere"], "nowhere"),
        (["run", "--config-dir", "nowhere"], "nowhere"),
        (["run", "a=b=c=[", "x"], "retriever run --help"),
        (["run", "experiment=nothing"], "nothing"),
    ],
)
def test_wrong_words_get_a_sentence_and_code_2_and_leave_nothing(retriever, stand, words, said) -> None:
    ended = retriever(*words)
    assert ended.code == 2, ended
    assert said in ended.err
    assert ended.err.count("\n") == 1
    assert "Traceback" not in ended.err
    assert not list(stand.glob("outputs/*_*"))


def test_tracebacks_are_there_for_who_asks(stand) -> None:
    words = [sys.executable, "-m", "retriever.cli", "run", "+finder.x=1"]
    assert "Traceback" not in subprocess.run(words, capture_output=True, text=True).stderr
    assert "Traceback" in subprocess.run([*words, "-v"], capture_output=True, text=True).stderr


def test_a_catalog_without_the_column(retriever, stand) -> None:
    (stand / "c.csv").write_text("id,ra,dec\na,1,2\n")
    ended = retriever("run", "catalog=file", "catalog.path=c.csv")
    assert (ended.code, "no column 'name'" in ended.err) == (2, True)


@pytest.mark.parametrize("what", ["outputs", "data", "outputs/retriever.db/x"])
def test_a_file_where_a_folder_must_go(retriever, stand, what) -> None:
    path = stand / what
    if what.endswith("x"):
        path.mkdir(parents=True)
    else:
        path.write_text("")
    ended = retriever("run", *SMALL)
    assert ended.code == 1
    assert ended.err.count("\n") == 1, ended
    assert what.split("/")[0] in ended.err


def test_a_broken_file_among_good_ones(retriever, stand, real_data) -> None:
    lcs = stand / "lcs"
    lcs.mkdir()
    for path in [
        real_data / "tess" / "hlsp_tess-spoc_tess_phot_0000000188589164-s0024_tess_v1_lc.fits",
        *(real_data / "broken").iterdir(),
    ]:
        (lcs / path.name).write_bytes(path.read_bytes())
    ended = retriever("run", "experiment=tess_folder", "paths.lightcurves=lcs")
    assert ended.code == 3, ended
    assert "1 done, 1 failed" in ended.out
    assert "TIC 261136679" in ended.out
    assert "Traceback" not in ended.out + ended.err


def test_sweeps_run_every_job_and_end_with_the_worst_code(retriever, stand) -> None:
    ended = retriever("run", "-m", *SMALL, "finder.snr_threshold=5,-1,7")
    assert ended.code == 2, ended
    assert ended.err.count("above zero") == 1
    assert len(list(stand.glob("outputs/DEMO_*"))) == 2
    assert {path.name for path in stand.iterdir()} == {"data", "outputs"}


def test_cfg_and_help(retriever, stand) -> None:
    ended = retriever("run", "--cfg", "job", "finder.snr_threshold=7.5")
    assert "snr_threshold: 7.5" in ended.out
    assert "simulator: box, gaussian" in retriever("run", "--help").out
    ended = retriever("--help")
    assert ended.code == 0
    assert "retriever status" in ended.out
    assert retriever("--version").out.startswith("retriever 0.")
    assert retriever("what").code == 2
    assert not list(stand.iterdir())


def test_own_classes_lie_where_one_stands(retriever, stand) -> None:
    write_own_finder(stand, "return {'snr': lightcurve.flux * 0 + 3.0}, ()")
    ended = retriever("run", *SMALL, "--config-dir", "conf", "finder=mine", "finder.level=2")
    assert ended.code == 0, ended
    folder = version_folder(stand / "outputs")
    version = json.loads((folder / "version.json").read_text())
    assert version["inputs"]["finder"] == {"class": "my_finder.MyFinder", "fields": {"level": 2.0}}
    assert "class MyFinder" in (folder / "modules" / "my_finder.py").read_text()
    sys.modules.pop("my_finder")


def write_own_finder(stand: Path, body: str) -> None:
    (stand / "conf" / "finder").mkdir(parents=True, exist_ok=True)
    (stand / "conf" / "finder" / "mine.yaml").write_text("_target_: my_finder.MyFinder\nlevel: 1.0\n")
    (stand / "my_finder.py").write_text(
        "from dataclasses import dataclass\n\n@dataclass(frozen=True, kw_only=True)\nclass MyFinder:\n"
        f"    level: float = 1.0\n\n    def find(self, lightcurve):\n        {body}\n"
    )


def test_a_component_that_breaks_fails_its_sources_and_no_more(retriever, stand) -> None:
    write_own_finder(stand, "return 1 / 0")
    ended = retriever("run", *SMALL, "--config-dir", "conf", "finder=mine")
    assert ended.code == 3
    assert "ZeroDivisionError" in ended.out
    assert "reduce    20 done" in ended.out
    sys.modules.pop("my_finder")


def test_a_comment_in_an_own_class_recomputes_nothing_and_a_line_does(stand) -> None:
    command = [sys.executable, "-m", "retriever.cli", "run", *SMALL, "--config-dir", "conf", "finder=mine"]
    write_own_finder(stand, "return {}, ()")
    subprocess.run(command, check=True, capture_output=True)
    path = stand / "my_finder.py"
    path.write_text("# why\n" + path.read_text())
    assert "nothing to do" in subprocess.run(command, check=True, capture_output=True, text=True).stdout
    path.write_text(path.read_text().replace("return {}, ()", "return {'x': lightcurve.flux}, ()"))
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert "computed now: analyze 20, simulate 20" in told


def test_shadowed_files_are_told(retriever, stand) -> None:
    (stand / "conf" / "finder").mkdir(parents=True)
    (stand / "conf" / "finder" / "peak.yaml").write_text("_target_: x.Y\n")
    ended = retriever("run", *SMALL, "--config-dir", "conf")
    assert ended.code == 0
    assert "peak.yaml is not used" in ended.err


def test_where_and_status(retriever, stand) -> None:
    assert retriever("status").code == 1
    retriever("run", *SMALL)
    retriever("run", *SMALL, "finder.snr_threshold=7", "run.stop=5")
    found = json.loads(retriever("status", "--json").out)
    assert [row["state"] for row in found] == ["complete", "partial"]
    assert [row["differs_in"] for row in found] == [
        {"finder.snr_threshold": 5.0},
        {"finder.snr_threshold": 7.0},
    ]
    assert found[0]["counts"]["lightcurves"] == 20
    text = retriever("status").out
    assert "finder.snr_threshold=7.0" in text
    where = json.loads(retriever("where", "random_000001", "--json").out)
    assert [row["stage"] for row in where["products"]][:4] == ["download", "reduce", "analyze", "simulate"]
    for row in where["products"]:
        import h5py

        with h5py.File(row["file"]) as segment:
            assert segment["sources"]["name"][row["row"]].decode() == "random_000001"
    assert "download  done" in retriever("where", "random_000001").out
    ended = retriever("where", "nobody")
    assert (ended.code, "nothing is known" in ended.err) == (1, True)


def test_start_up_is_light() -> None:
    code = (
        "import sys\nfrom retriever.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
        "heavy = {'numpy', 'hydra', 'sqlalchemy', 'pandas', 'astropy', 'xarray', 'h5py', 'pyarrow', 'rich'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert told.endswith("[]\n")


def test_a_run_with_nothing_to_do_imports_nothing_heavy(stand) -> None:
    code = (
        "import sys\nfrom retriever.cli import main\nassert main(['run', 'catalog.size=5']) == 0\n"
        "print(sorted({'pandas', 'astropy.coordinates', 'astropy.table', 'xarray'} & set(sys.modules)))"
    )
    for _ in range(2):
        told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        assert told.endswith("[]\n")
        time.sleep(0.01)

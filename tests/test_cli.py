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
        (["run", "finder=null"], "choose one of bls, "),
        (["run", "finder.snr_threshold=5,6"], "add -m"),
        (["run", "+finder.snr_threshold=5"], "already"),
        (["run", "~finder.nothing"], "no 'finder.nothing'"),
        (["run", "hydra/launcher=jobli"], "did you mean 'joblib'"),
        (["run", "--config-name", "confi"], "did you mean 'config'"),
        (["run", "--cfg", "job", "--package", "findr"], "did you mean 'finder'"),
        (["run", "--package", "finder"], "add --cfg"),
        (["run", "store.url=postgresql://me:secret@host/db"], "holds a password"),
        (["run", "paths.outputs=" + __file__], "paths.outputs"),
        (["run", "-m", "paths.outputs=" + __file__, "finder.snr_threshold=5,6"], "paths.outputs"),
        (["run", "paths.outputs=" + __file__ + "/deeper"], "paths.outputs"),
        (["run", "paths.data=" + __file__], "paths.data"),
        (["status", "--outputs", __file__], "--outputs"),
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


def test_a_folder_where_the_database_must_go(retriever, stand) -> None:
    (stand / "outputs" / "retriever.db").mkdir(parents=True)
    ended = retriever("run", *SMALL)
    assert ended.code == 1
    assert ended.err.count("\n") == 1, ended
    assert "outputs" in ended.err


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
    assert retriever("run", "--cfg", "job", "--package", "store").out == "# @package store\nkind: sqlite\nurl: null\n"
    text = retriever("run", "--help").out
    (line,) = [line for line in text.splitlines() if line.strip().startswith("simulator:") and "," in line]
    assert {"box", "gaussian"} <= set(line.split(":")[1].replace(" ", "").split(","))
    assert "--config-dir" in text and "retriever run --from" in text
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


@pytest.mark.slow
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


def test_help_and_info_know_the_folder_of_one_s_own(retriever, stand) -> None:
    write_own_finder(stand, "return {}, ()")
    (stand / "conf" / "mine.yaml").write_text("defaults: [config, _self_]\nrun: {stop: 3}\n")
    assert ", mine, peak, transit_least_squares\n" in retriever("run", "--help", "--config-dir", "conf").out
    assert "did you mean 'mine'" in retriever("run", "--config-dir", "conf", "finder=min").err
    lines = retriever("run", "--info", "searchpath", "--config-dir", "conf").out.splitlines()
    own = [k for k, line in enumerate(lines) if f"file://{stand / 'conf'}" in line]
    main = [k for k, line in enumerate(lines) if line.startswith("| main")]
    assert len(own) == len(main) == 1 and main[0] < own[0]
    ended = retriever("run", "--config-dir=conf", "--config-name=mine", "--cfg", "job", "--package", "run.stop")
    assert ended.out.strip() == "3", ended


def test_words_of_the_process_stay_as_they_are(retriever, stand, monkeypatch) -> None:
    seen = []
    words = ["pytest", "--nonsense"]
    monkeypatch.setattr(sys, "argv", words)
    from retriever.pipeline import session

    monkeypatch.setattr(session, "run_config", lambda config, verbose: seen.append(list(sys.argv)) or 1 / 0)
    assert retriever("run", *SMALL).code == 1
    assert retriever("run", "-m", *SMALL, "finder.snr_threshold=5,6").code == 1
    assert seen == [["pytest", "--nonsense"]] * 3 and sys.argv is words


def test_a_project_without_a_name_is_called_by_its_observatories(retriever, stand) -> None:
    (stand / "lcs").mkdir()
    (stand / "lcs" / "random_000003.csv").write_text("mjd,mag,magerr,filter\n58000,15,0.1,r\n")
    words = ("run", *SMALL, "paths.lightcurves=lcs", "run.stages=[reduce]")
    for observatory, added, name in (
        ("demo", (), "DEMO"),
        ("[folder,demo]", (), "DEMO_FOLDER"),
        ("folder", (), "FOLDER"),
        ("folder", ("project.name=mine",), "MINE"),
    ):
        before = set(stand.glob("outputs/*_*"))
        chosen = [word for word in words if "demo" in observatory or "demo" not in word]
        ended = retriever(*chosen, f"observatory={observatory}", *added)
        assert ended.code == 0, ended
        (made,) = set(stand.glob("outputs/*_*")) - before
        assert made.name.rpartition("_")[0] == name


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

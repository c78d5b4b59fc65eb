"""Every command of the documentation is run, every Python example executed, every link followed."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.archive import Archive, Reply
from tests.conftest import ROOT
from tests.helpers import flat_lightcurve, tables, version_folder
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
    ROOT / "docs" / "add-a-stage.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    ROOT / "outputs" / "README.md",
    ROOT / "docs" / "python.md",
    ROOT / "docs" / "search.md",
    ROOT / "docs" / "export.md",
    ROOT / "docs" / "browse.md",
    ROOT / "docs" / "options.md",
    ROOT / "docs" / "coming-from-astroretriever.md",
    ROOT / "docs" / "first-search.md",
    ROOT / "docs" / "concepts.md",
    ROOT / "docs" / "index.md",
    ROOT / "docs" / "reference.md",
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
STAGE_PAGE = ROOT / "docs" / "add-a-stage.md"
TREND, COINCIDENCES, NIGHTS, KNOWN = range(4)
"""Sections of the page on stages that have commands."""


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


@pytest.fixture
def put_versions(two_versions: Path, retriever) -> Callable[[Path], list[str]]:
    """Puts the same two versions of the demo into a folder; gives their names, the older first."""

    def put(folder: Path) -> list[str]:
        if not any(two_versions.iterdir()):
            assert retriever("run", *SMALLER).code == retriever("run", *SMALLER, "finder.snr_threshold=4").code == 0
            for name in ("outputs", "data"):
                shutil.copytree(folder / name, two_versions / name)
        else:
            shutil.copytree(two_versions, folder, dirs_exist_ok=True)
        folders = (folder / "outputs").glob("DEMO_*")
        return [path.name for path in sorted(folders, key=lambda path: (path / "version.json").stat().st_mtime_ns)]

    return put


@pytest.fixture(scope="module")
def two_versions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("versions")


@pytest.mark.parametrize("command", README_COMMANDS)
def test_every_command_of_the_readme_runs(retriever, dressed, request, archives, put_versions, command: str) -> None:
    folder, table = dressed / "own", dressed / "own" / "table.csv"
    if "_folder" in command or "flares_tess" in command:
        real_data = request.getfixturevalue("real_data")
    if "ztf_folder" in command:
        folder, table = real_data / "ztf", real_data / "catalogs" / "ztf_white_dwarfs.csv"
    if "tess_folder" in command or "flares_tess" in command:
        folder = dressed / "tess"
        folder.mkdir()
        name = "test-lc-tess-pimen-100-cadences.fits"
        (folder / name).write_bytes((real_data / "tess" / name).read_bytes())
    words = shlex.split(command.replace("FOLDER", str(folder)).replace("TABLE", str(table)))[1:]
    words = on_loopback(words, archives)
    if words[0] in ("try", "catalog", "init"):
        pass
    elif words[0] not in ("run", "plan") or "--from" in words:
        version, other = put_versions(dressed)
        words = [word.replace("VERSION", version).replace("OTHER", other) for word in words]
        if words[0] == "unpack":
            assert retriever("pack", version, "version.zip").code == 0
    elif not any(word.startswith(("experiment", "catalog=")) for word in words):
        words += SMALLER
    if words[0] == "browse":
        assert_serves_until_interrupted(words)
        return
    ended = retriever(*words)
    assert ended.code == 0, ended
    sys.modules.pop("my_finder", None)


def assert_serves_until_interrupted(words: list[str]) -> None:
    server = subprocess.Popen(
        [sys.executable, "-m", "retriever.cli", *words, "--port", "0"], stdout=subprocess.PIPE, text=True
    )
    assert server.stdout.readline().startswith("http://127.0.0.1:")
    server.send_signal(signal.SIGINT)
    server.communicate(timeout=20)
    assert server.returncode == 0


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


@pytest.fixture
def with_stages(stand: Path) -> Iterator[Path]:
    """A folder with all stages of the page on stages."""
    (stand / "conf" / "stages").mkdir(parents=True)
    names = ("trend", "coincidences", "nights")
    for name, code, config in zip(names, blocks(STAGE_PAGE, "python"), blocks(STAGE_PAGE, "yaml"), strict=True):
        (stand / f"{name}.py").write_text(code)
        (stand / "conf" / "stages" / f"{name}.yaml").write_text(config)
    yield stand
    for name in names:
        sys.modules.pop(name, None)


def run_stage_commands(retriever, section: int, *further: str, **names: str) -> list[str]:
    """Run the commands of one block of the page on stages, in order; gives what each printed."""
    printed = []
    for line in blocks(STAGE_PAGE, "bash")[section].strip().splitlines():
        for name, value in names.items():
            line = line.replace(name, value)
        words = shlex.split(line)[1:]
        ended = retriever(*words, *(further if words[0] in ("run", "plan", "try") else ()))
        assert ended.code == 0, (line, ended)
        printed.append(ended.out)
    return printed


def computed_by(printed: str) -> dict[str, int]:
    """Stage to the number of items that a run computed."""
    (line,) = re.findall(r"computed now: (.*) \(", printed)
    return {stage: int(count) for stage, count in (part.split() for part in line.split(", "))}


def test_the_stage_that_removes_a_trend(retriever, with_stages) -> None:
    first, second, plan, tried = run_stage_commands(retriever, TREND, *SMALLER)
    assert computed_by(first)["trend"] == 20
    assert computed_by(second).keys() == {"trend", "analyze", "simulate"}
    assert "trend" not in plan and "random_000003" in tried
    from trend import remove_trend

    time = np.arange(10.0)
    line = flat_lightcurve(10, time=time, flux=100 + 2 * time)
    np.testing.assert_allclose(remove_trend(line, 1), np.full(10, 109.0))
    np.testing.assert_allclose(remove_trend(line.replace(qflag=time > 0), 1), line.flux)  # one epoch has no trend


def test_the_stage_that_compares_surveys(retriever, with_stages) -> None:
    times = 58000.25 + np.arange(1000.0)  # as long as the demo's survey, with an event at its end
    rows = "".join(f"{time},{14 if time > 58998 else 15 + 0.01 * (time % 2)},0.1,r\n" for time in times)
    (with_stages / "own").mkdir()
    for number in range(40):
        (with_stages / "own" / f"random_{number:06d}.csv").write_text("mjd,mag,magerr,filter\n" + rows)
    sizes = (
        "catalog.size=40",
        "observatories.demo.flares=0.5",
        "stages.coincidences.component.days=1000",
    )
    run_stage_commands(retriever, COINCIDENCES, *sizes, FOLDER="own")
    folder = version_folder(with_stages / "outputs")
    detections = pd.read_parquet(folder / "detections.parquet")
    demo, own = (
        detections[detections.observatory == name].groupby("source").time_peak.max() for name in ("demo", "folder")
    )
    pairs = pd.read_parquet(folder / "coincidences.parquet").set_index("source")
    assert 0 < len(pairs) < 40 and set(pairs.index) == set(demo.index) and set(pairs.surveys) == {"demo folder"}
    np.testing.assert_allclose(pairs.time, demo[pairs.index])
    np.testing.assert_allclose(pairs.time + pairs.lag, own[pairs.index])


def test_the_stages_of_nights(retriever, with_stages) -> None:
    alone, both = run_stage_commands(retriever, NIGHTS, *SMALLER)
    assert list(computed_by(alone)) == [
        "download",
        "reduce",
        "list_nights",
        "night_offsets",
        "divide_offsets",
        "analyze",
        "simulate",
    ]
    assert next(iter(computed_by(both))) == "trend"
    folder = min((with_stages / "outputs").glob("DEMO_*"), key=lambda path: path.stat().st_mtime_ns)
    nights = pd.read_parquet(folder / "nights.parquet")
    offsets = pd.read_parquet(folder / "night_offsets.parquet").set_index("source")
    members = nights.groupby("group").source.nunique()
    assert offsets.n_sources.to_dict() == members.to_dict() and members.max() > 1
    single = nights.groupby("group").n_epochs.sum() < 2
    assert (offsets.offset[single[single].index] == 1).all()
    assert nights.n_epochs.sum() == pd.read_parquet(folder / "lightcurves.parquet").n_epochs.sum()


def test_what_works_for_own_stages_as_for_others(retriever, with_stages) -> None:
    assert retriever("run", "--config-dir", "conf", "+stages=trend", *SMALLER).code == 0
    version = version_folder(with_stages / "outputs").name
    part, *_ = run_stage_commands(retriever, KNOWN, *SMALLER, VERSION=version)
    assert "nothing to do" in part
    assert (with_stages / "version.zip").stat().st_size > 0


SEARCH_PAGE = ROOT / "docs" / "search.md"


@pytest.mark.parametrize("command", [line for line in commands(SEARCH_PAGE) if "FOLDER" in line])
def test_the_searches_of_the_page_run_on_real_data(retriever, stand, real_data, command: str) -> None:
    folder = stand / "files"
    folder.mkdir()
    of_ztf = "ztf" in command
    for path in sorted(
        (real_data / ("ztf" if of_ztf else "tess")).glob("irsa_1[0-9]*.csv" if of_ztf else "hlsp_*s*.fits")
    ):
        (folder / path.name).symlink_to(path)
    table = real_data / "catalogs" / "ztf_white_dwarfs.csv"
    words = shlex.split(command.replace("FOLDER", str(folder)).replace("TABLE", str(table)))[1:]
    ended = retriever(*words)
    assert ended.code == 0, ended
    version = version_folder(stand / "outputs")
    assert len(pd.read_parquet(version / "injections.parquet")) > 0
    completeness = pd.read_parquet(version / "completeness.parquet")
    assert len(completeness) > 0 and (completeness.injected >= completeness.observed).all()
    for command in ("thresholds", "rates"):
        assert retriever(command, version.name).code == 0


def test_the_other_commands_of_the_page_on_searching_run(retriever, stand) -> None:
    python, yaml = blocks(SEARCH_PAGE, "python"), blocks(SEARCH_PAGE, "yaml")
    (stand / "steps.py").write_text(python[1] + python[2])
    for group, text in zip(("finder", "simulator"), yaml, strict=True):
        (stand / "conf" / group).mkdir(parents=True)
        (stand / "conf" / group / "step.yaml").write_text(text)
    version = ""
    for line in commands(SEARCH_PAGE):
        if "FOLDER" in line:
            continue
        ended = retriever(*shlex.split(line.replace("VERSION", version))[1:])
        assert ended.code == 0, (line, ended)
        if line.startswith("retriever run"):
            folder = max((stand / "outputs").glob("DEMO_*"), key=lambda path: path.stat().st_mtime_ns)
            version = folder.name
    sys.modules.pop("steps", None)
    injections = pd.read_parquet(folder / "injections.parquet")
    assert set(injections["shape"]) == {"step"} and 0.2 < injections.recovered.mean() < 1.0
    exec(python[0], {"folder": folder})


def test_every_command_of_the_page_on_other_tools_runs(retriever, stand) -> None:
    assert retriever("run", *SMALLER).code == 0
    for line in commands(ROOT / "docs" / "export.md"):
        ended = retriever(*shlex.split(line.replace("VERSION", "DEMO"))[1:])
        assert ended.code == 0, (line, ended)
        assert all(Path(file).stat().st_size > 0 for file in ended.out.split())


def test_what_users_of_astroretriever_look_for_is_there(retriever, stand) -> None:
    page = ROOT / "docs" / "coming-from-astroretriever.md"
    pytest.importorskip("tables", reason="tables is not installed (pip install 'retriever[hdf5]')")
    names: dict[str, object] = {}
    for block in blocks(page, "python"):
        exec(block, names)
    assert len(names["version"].sources) == 5 and len(names["version"].candidates()) > 0
    shutil.rmtree(stand / "outputs")
    for line in commands(page):
        ended = retriever(*shlex.split(line)[1:])
        assert ended.code == 0, (line, ended)
    words = set(re.findall(r"`([^`]+)`", page.read_text().split("## A script")[0]))
    assert {"Project", "RawPhotometry", "VO_DATA", "version_control: true"} <= words


def test_the_first_search_is_as_the_page_says(retriever, stand, monkeypatch) -> None:
    import matplotlib.pyplot as plt

    page = ROOT / "docs" / "first-search.md"
    begin, *lines = commands(page)
    assert retriever(*shlex.split(begin)[1:]).code == 0
    monkeypatch.chdir(stand / "my_search")
    for line in lines:
        if line.endswith("browse"):
            continue  # tests/browser
        ended = retriever(*shlex.split(line)[1:])
        assert ended.code == 0, (line, ended)
        sys.modules.pop("bursts", None)
    assert (stand / "my_search" / "compare.html").exists()
    for block in blocks(page, "python"):
        exec(block, {})
    plt.close("all")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["first-search", "completeness"])
def test_the_notebooks_run(stand, name) -> None:
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed (pip install 'retriever[docs]')")
    import nbformat

    notebook = nbformat.read(ROOT / "docs" / "notebooks" / f"{name}.ipynb", as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "outputs are made when the documentation is built"
    nbclient.NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(stand)}}).execute()
    pictures = [out for cell in notebook.cells for out in cell.get("outputs", []) if "image/png" in out.get("data", {})]
    assert len(pictures) >= 2


@pytest.mark.slow
def test_the_documentation_is_built_without_a_warning(tmp_path) -> None:
    pytest.importorskip("sphinx", reason="Sphinx is not installed (pip install 'retriever[docs]')")
    site = tmp_path / "site"
    words = [
        "-q",
        "-W",
        "--keep-going",
        "-D",
        "nb_execution_mode=off",
        "-d",
        str(tmp_path / "trees"),
        "docs",
        str(site),
    ]
    built = subprocess.run([sys.executable, "-m", "sphinx", *words], cwd=ROOT, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    pages = {path.stem for path in (ROOT / "docs").glob("*.md")} - {"search"}
    assert all((site / f"{page}.html").exists() for page in pages)
    index = (site / "index.html").read_text()
    assert all(f'href="{page}.html"' in index for page in pages - {"index"})
    assert "Choose a finder" in (site / "searching.html").read_text()
    assert 'href="searching.html' in (site / "python.html").read_text()


def test_every_command_of_the_page_on_browsing_runs(retriever, stand) -> None:
    assert retriever("run", *SMALLER).code == 0
    for line in commands(ROOT / "docs" / "browse.md"):
        if line.endswith("browse"):
            assert_serves_until_interrupted(shlex.split(line)[1:])
        else:
            assert retriever(*shlex.split(line)[1:]).code == 0


def test_the_table_of_layers_is_that_of_the_linter() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    section = (ROOT / "ARCHITECTURE.md").read_text().split("## Layers")[1].split("##")[0]
    rows = re.findall(r"^\| (`.*?) \|", section, flags=re.MULTILINE)
    listed = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    assert sorted(listed) == sorted(name for layer in layers for name in re.findall(r"\w+", layer))


def test_files_that_the_architecture_names_exist() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    folders = (ROOT, ROOT / "retriever", ROOT / "retriever" / "pipeline", ROOT / "tests" / "observatories")
    for name in re.findall(r"`([\w/]+(?:\.py|/))`", text):
        if Path(name).stem != "x":
            assert any((folder / name).exists() for folder in folders), name


def test_links_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\((?!http)([^)#]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_benchmark_runs() -> None:
    words = [sys.executable, str(ROOT / "benchmarks" / "demo.py"), "--size", "30", "--repeat", "1", "--case", "serial"]
    told = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert told.splitlines()[1].startswith("serial")


@pytest.mark.parametrize(
    ("words", "last"),
    [
        ("scale.py --size 100 --done 50", "plan"),
        ("versions.py --size 10 --steps 2", "plan"),
        ("archives.py --case faults --size 20", "20 answered"),
        ("search.py --quick", "flare alone"),
        ("browser.py --size 300 --sources 200", "/detections/7"),
    ],
)
def test_the_other_benchmarks_run(words: str, last: str) -> None:
    script, *others = words.split()
    command = [sys.executable, str(ROOT / "benchmarks" / script), *others]
    plain = {**os.environ, "NUMBA_DISABLE_JIT": "1"}  # to compile wotan takes longer than what it does here
    assert last in subprocess.run(command, env=plain, capture_output=True, text=True, check=True).stdout


def test_pages_speak_of_no_machine() -> None:
    for page in PAGES:
        assert not re.search(r"/(root|home|work|tmp)/", page.read_text()), page

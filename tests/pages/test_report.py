"""The report of a version: it shows the numbers of the tables, stands alone, and survives whatever a version holds."""

import json
import re
import shutil
from pathlib import Path

import pytest

import retriever as package
from retriever.api.version import Version
from retriever.errors import StoreError
from retriever.pages.references import REFERENCES, reference_of
from tests.helpers import version_folder
from tests.pages.page import Page

SMALL = ("catalog.size=30", "observatories.demo.epochs=60", "observatories.demo.flares=0.6")


@pytest.fixture
def version(made_once, stand: Path) -> Version:
    made_once((*SMALL, "scrambler=standard"))
    return package.open().versions["DEMO"]


def test_the_report_shows_the_numbers_of_the_tables(version: Version) -> None:
    path = version.report()
    assert path == version.folder / "report.html" and path.stat().st_size < 5e6
    page = Page(path)
    for count, word in (
        (30, "sources"),
        (len(version.detections), "detections"),
        (len(version.injections), "injected events"),
    ):
        assert re.search(rf"\b{count}\s*{word}", page.text)
    strongest = version.candidates()[:8]
    assert len(strongest) == 8
    places = [page.text.index(f"/{each.address}'") for each in strongest]
    assert places == sorted(places)
    assert version.name in page.text and str(version.manifest["hash"]) in page.text
    assert f"retriever run --from {version.name}" in page.text and "snr_threshold = 5.0" in page.text
    for row in version.completeness().table.itertuples():
        assert f"{row.injected}" in page.text
    pictures = page.images()
    assert len(pictures) >= 2 * len(strongest) + 6 and all(picture.startswith(b"\x89PNG") for picture in pictures)


def test_the_report_asks_nothing_of_the_network_and_runs_no_code(version: Version) -> None:
    Page(version.report()).assert_alone()


def test_names_are_never_trusted(stand: Path) -> None:
    names = ["<script>alert(1)</script>", "../../x", "=HYPERLINK()", "é\u202eñ", "n" * 10_000, "{{ 7 * 7 }}", "a'b\"c"]
    catalog = {"name": names, "ra": [10.0 * k for k in range(7)], "dec": [0.0] * 7}
    version = package.run("observatories.demo.flares=1", catalog=catalog, quiet=True)
    assert len(version.detections["source"].unique()) > 3
    page = Page(version.report(best=50))
    assert not [tag for tag, _ in page.tags if tag == "script"]
    assert "{{ 7 * 7 }}" in page.text  # no part of the template
    assert "<script>alert(1)</script>" in page.text  # as text


def test_what_is_missing_is_told(version: Version, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="choose another file"):
        version.report(tmp_path / "no folder" / "x.html")
    shutil.rmtree("outputs/.stages")
    for name in ("thresholds.parquet", "completeness.parquet", "histograms.nc"):
        (version.folder / name).unlink()
    page = Page(package.open().versions[version.name].report())
    assert "is missing" in page.text and "There are no histograms" in page.text and "Nothing was injected" in page.text
    assert len(page.images()) >= 3
    for path in version.folder.glob("*.parquet"):
        path.unlink()
    with pytest.raises(StoreError, match="has no tables yet"):
        version.report()


def test_failures_are_counted_by_cause(stand: Path) -> None:
    (stand / "own").mkdir()
    for name, text in (("A", "mjd,mag\n1,x\n"), ("B", "mjd,mag\n1,y\n"), ("C", "mjd\n1\n")):
        (stand / "own" / f"{name}.csv").write_text(text)
    catalog = {"name": ["A", "B", "C"], "ra": [1.0, 2.0, 3.0], "dec": [1.0, 2.0, 3.0]}
    version = package.run("paths.lightcurves=own", observatory="folder", catalog=catalog, quiet=True)
    failed = version.products.query("outcome == 'failed'")
    assert len(failed) == 3
    page = Page(version.report())
    assert "Failures by cause" in page.text and "Nothing was detected." in page.text
    table = page.text[page.text.index("Failures by cause") :]
    assert re.search(r"\b2\b", table) and re.search(r"\b1\b", table)


def test_a_run_ends_with_a_report_unless_nothing_was_done(retriever, stand: Path, monkeypatch) -> None:
    assert retriever("run", *SMALL).code == 0
    folder = version_folder(stand / "outputs")
    assert not (folder / "report.html").exists()  # the tests leave it out
    monkeypatch.setenv("RETRIEVER_REPORT", "true")
    ended = retriever("run", *SMALL, "finder.snr_threshold=7")
    (path,) = stand.glob("outputs/*/report.html")
    assert f"report: {path}" in ended.out and ended.code == 0
    written = path.stat().st_mtime_ns
    ended = retriever("run", *SMALL, "finder.snr_threshold=7")
    assert "report:" not in ended.out and path.stat().st_mtime_ns == written
    assert "report:" not in retriever("run", *SMALL, "finder.snr_threshold=8", "run.report=false").out
    assert "report:" not in retriever("run", "-m", *SMALL, "finder.snr_threshold=8,9").out


def test_the_report_is_no_part_of_the_results(version: Version, retriever) -> None:
    before = retriever("verify", version.name, "--json")
    version.report()
    assert json.loads(retriever("verify", version.name, "--json").out) == json.loads(before.out)


def test_the_command_writes_where_it_is_told(retriever, version: Version, tmp_path: Path) -> None:
    ended = retriever("report", version.name[:9], "--file", str(tmp_path / "mine.html"), "--best", "1", "--json")
    assert ended.code == 0 and json.loads(ended.out)["file"] == str(tmp_path / "mine.html")
    assert "The strongest 1 of" in Page(tmp_path / "mine.html").text
    assert retriever("report", version.name, "--best", "-1").code == 2
    assert retriever("report", "NONE").code == 2
    assert list(tmp_path.glob(".*.tmp")) == []


def test_every_survey_of_the_config_has_a_reference() -> None:
    folder = Path(__file__).parents[2] / "conf" / "observatory"
    surveys = {
        match.group(1)
        for path in folder.glob("*.yaml")
        if (match := re.search(r"^survey: (\w+)", path.read_text(), re.M))
    }
    assert surveys - {"DEMO", "FOLDER", "TAP"} <= REFERENCES.keys()
    assert reference_of("ztf") == REFERENCES["ZTF"] and reference_of("mine") == ""

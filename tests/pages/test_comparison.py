"""The page that shows versions side by side has the numbers of the comparison, and stands alone."""

import json
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest

import retriever as package
from tests.pages.page import Page

SMALL = ("catalog.size=30", "observatories.demo.epochs=60", "observatories.demo.flares=0.6", "executor.batch_size=10")
FAINT = "simulator.amplitude={kind: uniform, low: 3.0, high: 9.0}"


@pytest.fixture
def versions(made_once, stand: Path) -> list[str]:
    """Thresholds 9, 3.5 and 6, oldest first."""
    runs = [(*SMALL, FAINT, "scrambler=standard", f"finder.snr_threshold={value}") for value in (9, 3.5, 6)]
    made_once(*runs)
    folders = stand.glob("outputs/DEMO_*/version.json")
    return [path.parent.name for path in sorted(folders, key=lambda path: json.loads(path.read_text())["created"])]


def test_two_versions_side_by_side(retriever, stand, versions) -> None:
    ended = retriever("compare", *versions[:2], "--html", "two.html")
    assert ended.code == 0 and ended.out.strip() == str(stand / "two.html")
    page = Page(stand / "two.html")
    page.assert_alone()
    text = re.sub(r"\s+", "", page.text)
    told = json.loads(retriever("compare", *versions[:2], "--json").out)
    assert f"{versions[0]}→{versions[1]}" in text and "finder.snr_threshold" in text
    only = told["detections"]["only"]
    assert only[1] > 0 and f"onlyin{versions[1]}{only[1]}" in text
    assert f"inboth{told['detections']['both']}" in text
    frames = [pd.read_parquet(stand / "outputs" / name / "detections.parquet") for name in versions[:2]]
    alone = frames[1][~frames[1].peak.isin(frames[0].peak) | ~frames[1].source.isin(frames[0].source)]
    strongest = alone.loc[alone.snr.abs().idxmax()]
    address = f"{versions[1]}/{strongest.source}/demo/{strongest.lightcurve}/{strongest.peak}"
    assert f"retriever show '{address}'" in page.text
    assert retriever("show", address).code == 0
    for row in told["injections"]:
        assert f"{row['recovered'][1]:.4g}" in page.text
    # completeness by three quantities, thresholds, and one score
    assert len(page.images()) >= 5


def test_a_sweep_side_by_side(retriever, stand, versions) -> None:
    ended = retriever("compare", "DEMO_*", "--html", "sweep.html", "--json")
    assert ended.code == 0 and json.loads(ended.out)["file"] == str(stand / "sweep.html")
    page = Page(stand / "sweep.html")
    page.assert_alone()
    assert "3 versions" in page.text and "finder.snr_threshold" in page.text
    for row in json.loads(retriever("compare", "DEMO_*", "--json").out):
        assert row["version"] in page.text and f"{row['completeness']:.4g}" in page.text
    assert len(page.images()) >= 7  # the same, and detections and completeness against the threshold
    assert "Code and environment" not in page.text


def test_a_version_and_its_copy_are_identical(retriever, stand, versions) -> None:
    copied = shutil.copytree(stand / "outputs" / versions[0], stand / "copy" / versions[0])
    assert retriever("compare", versions[0], str(copied), "--html", "same.html").code == 0
    text = Page(stand / "same.html").text
    assert "The results are identical" in text and "No parameters differ." in text
    assert "Neither code nor environment differs." in text and "Only in" not in text


def test_what_a_version_lacks_is_left_out_and_what_cannot_be_written_is_told(retriever, stand, versions) -> None:
    for name in versions[:2]:
        for file in ("histograms.nc", "lightcurves.parquet"):
            (stand / "outputs" / name / file).unlink()
    ended = retriever("compare", *versions[:2], "--html", "less.html")
    assert ended.code == 0, ended
    assert "There are no common histograms to draw." in Page(stand / "less.html").text
    ended = retriever("compare", *versions[:2], "--html", "no/folder.html")
    assert ended.code == 1 and "choose another file" in ended.err and ended.err.count("\n") == 1
    assert not list(stand.glob("**/.*.html.*"))


def test_names_are_never_trusted(retriever, stand) -> None:
    names = ["<script>alert(1)</script>", "=HYPERLINK()", "n" * 10_000, "{{ 7 * 7 }}", "a'b\"c"]
    catalog = {"name": names, "ra": [10.0 * k for k in range(5)], "dec": [0.0] * 5}
    for threshold in (5, 90):
        package.run("observatories.demo.flares=1", f"finder.snr_threshold={threshold}", catalog=catalog, quiet=True)
    assert retriever("compare", "DEMO_*", "--html", "x.html").code == 0
    page = Page(stand / "x.html")
    page.assert_alone()
    assert "{{ 7 * 7 }}" in page.text and "<script>alert(1)</script>" in page.text
    assert "n" * 200 not in page.text

"""Comparing two folders made by hand."""

import shutil

import numpy as np
import pytest

from retriever.errors import StoreError
from retriever.report.compare import compare_many, compare_text, compare_two, many_text, recovered_by_amplitude
from retriever.report.versions import VersionFolder
from tests.folders import add_tables, make_version


def test_a_copy_is_identical(tmp_path) -> None:
    version = make_version(tmp_path)
    add_tables(version)
    copied = VersionFolder(shutil.copytree(version.folder, tmp_path / "copy" / version.name))
    comparison = compare_two(version, copied)
    assert comparison["identical"] is True and comparison["digests"][0] == comparison["digests"][1]
    text = compare_text(comparison)
    assert f"identical: all tables have the digest {comparison['digests'][0]}" in text
    assert "raw data: the same for 2 sources, different for 0" in text


def test_rounding_is_counted_apart_from_differences(tmp_path) -> None:
    n = 4
    first, second = make_version(tmp_path), make_version(tmp_path, 4.0)
    add_tables(first, n)
    digest = np.array([f"{k:032x}" for k in (1, 90, 91, 92, 5, 6, 7, 8)])  # raw data of s1, s2 and s3 differs
    times = 58000.0 + np.arange(n)
    add_tables(
        second,
        n,
        products={"digest": digest},
        lightcurves={"flux_median": np.array([100.0, 101.0 * (1 + 1e-13), 102.1, 103.0])},
        detections={
            "snr": np.array([6.0, 6.0 * (1 + 1e-13), 7.0, 6.0]),
            "time_peak": times + np.array([0.0, 1e-8, 0.0, 0.5]),
        },
        injections={"snr": np.array([4.0, 4.0, 4.0, 4.0 + 1e-13])},
    )
    comparison = compare_two(first, second)
    assert comparison["identical"] is False
    assert comparison["data"] == {"same": 1, "within_1e-12": 2, "other": 1}
    assert comparison["rows"]["detections"] == {"same": 1, "within_1e-12": 1, "other": 1, "only": [1, 1]}
    assert comparison["rows"]["injections"] == {"same": 3, "within_1e-12": 1, "other": 0, "only": [0, 0]}
    assert comparison["detections"]["both"] == 4  # the moved one still overlaps
    assert comparison["detections"]["snr_change"]["largest"] == pytest.approx(1.0)
    text = compare_text(comparison)
    assert "different for 3 (of these 2 have light curves that agree within 1e-12)" in text
    assert "detections of the same peak: 1 equal bit for bit, 1 equal within 1e-12, 1 different" in text


def test_raw_data_that_both_lack_is_not_the_same_data(tmp_path) -> None:
    first, second = make_version(tmp_path), make_version(tmp_path, 4.0)
    columns = {"outcome": np.array(["failed", "done", "blocked", "done"]), "digest": np.array(["", "a", "", "b"])}
    for version in (first, second):
        add_tables(version, products=columns)
    assert compare_two(first, second)["data"] == {"same": 1, "within_1e-12": 0, "other": 0}


def test_a_source_without_light_curves_in_both_is_other_data(tmp_path) -> None:
    first, second = make_version(tmp_path), make_version(tmp_path, 4.0)
    add_tables(first, products={"digest": np.array(["a", "b", "c", "d"])})
    gone = {
        key: np.array([], kind)
        for key, kind in {
            "source": "U1", "observatory": "U1", "lightcurve": int, "number": int, "flux_median": float,
        }.items()
    }  # fmt: skip
    add_tables(second, products={"digest": np.array(["a", "x", "c", "d"])}, lightcurves=gone)
    assert compare_two(first, second)["data"] == {"same": 1, "within_1e-12": 0, "other": 1}


def test_sources_and_outcomes_that_changed_are_named(tmp_path) -> None:
    first, second = make_version(tmp_path), make_version(tmp_path, 4.0)
    add_tables(first, 3)
    add_tables(second, 2, products={"outcome": np.array(["done", "empty", "done", "empty"])})
    sources = compare_two(first, second)["sources"]
    assert sources == {
        "both": 2,
        "only": [["s2"], []],
        "outcomes_changed": {"demo download: done → empty": 1, "demo reduce: done → empty": 1},
    }


def test_recovered_events_are_binned_by_hand(tmp_path) -> None:
    version = make_version(tmp_path)
    snr = np.array([-4.0, 4.0, 8.0, np.nan, 30.0])
    blended = np.array([False, False, False, False, True])
    add_tables(version, 5, injections={"snr": snr, "recovered": np.array([1, 0, 1, 1, 1], bool), "blended": blended})
    injected, recovered = recovered_by_amplitude(version, [0.0, 5.0, 10.0, np.inf])
    assert (injected.tolist(), recovered.tolist()) == ([2, 1, 0], [1, 1, 0])


def test_many_versions_are_a_row_each_also_without_tables(tmp_path) -> None:
    whole, bare = make_version(tmp_path), make_version(tmp_path, 4.0)
    add_tables(whole)
    rows = compare_many([whole, bare])
    assert [row["finder.snr_threshold"] for row in rows] == [5.0, 4.0]
    assert (rows[0]["detections"], rows[0]["recovered"], rows[1]["detections"]) == (2, 0.5, None)
    assert many_text(rows).splitlines()[2].split()[-1] == "-"
    assert many_text([]) == "no versions"


def test_a_version_without_tables_cannot_be_compared_row_by_row(tmp_path) -> None:
    whole, bare = make_version(tmp_path), make_version(tmp_path, 4.0)
    add_tables(whole)
    with pytest.raises(StoreError, match=r"cannot read .*parquet"):
        compare_two(whole, bare)

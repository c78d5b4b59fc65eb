"""Raw tables of surveys as light curves to look at, with the rows that were dropped."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

import retriever as package
from retriever.api import regenerated
from retriever.api.raw import raw_curves
from retriever.api.version import Version
from retriever.errors import ConfigError, DataError
from retriever.formats import read_table
from retriever.rawtable import RawPhotometry, RawTable
from retriever.reducers.tess import TESSReducer
from retriever.reducers.ztf import ZTFReducer
from retriever.source import Source


def test_each_band_is_a_light_curve_in_the_order_of_time() -> None:
    table = RawTable(columns={
        "HJD": np.array([2458002.5, 2458001.5, 2458003.5, np.nan]), "mag": np.array([17.2, 17.1, 18.0, 17.0]),
        "magerr": np.array([0.1, 0.2, 0.3, 0.4]), "filtercode": np.array(["zr", "zr", "zg", "zr"]),
    })  # fmt: skip
    green, red = raw_curves([table])
    assert (green.band, red.band) == ("zg", "zr") and not red.qflag.any()
    np.testing.assert_array_equal(red.extra["row"], [1, 0])
    np.testing.assert_array_equal(red.time, [58001.0, 58002.0])
    np.testing.assert_array_equal(red.mag, [17.1, 17.2])
    np.testing.assert_array_equal(red.mag_err, [0.2, 0.1])


def test_missing_values_texts_and_unknown_columns_are_no_epochs() -> None:
    masked = np.ma.MaskedArray([1.0, 2.0, 3.0], mask=[False, True, False])
    (lc,) = raw_curves([RawTable(columns={"mjd": np.array(["58000", "58001", "58002"]), "flux": masked})])
    np.testing.assert_array_equal(lc.time, [58000.0, 58002.0])
    sentinels = {"mjd": 58000.0 + np.arange(4.0), "mag": np.array([99.99, 17.0, -999.0, 18.0])}
    np.testing.assert_array_equal(raw_curves([RawTable(columns=sentinels)])[0].mag, [17.0, 18.0])
    assert raw_curves([]) == []
    for columns in (
        {"when": np.array([1.0]), "mag": np.array([2.0])},
        {"mjd": np.array(["x"]), "mag": np.array([2.0])},
    ):
        with pytest.raises(DataError, match="no time and brightness"):
            raw_curves([RawTable(columns=columns)])


def test_times_of_tess_count_from_what_the_header_says(real_data) -> None:
    path = next(iter(sorted((real_data / "tess").glob("*s0001*441420236*.fits"))))
    tables = [read_table(path)]
    (lc,) = raw_curves(tables)
    assert lc.n_epochs > 10_000 and lc.flux_unit
    assert 58324.0 < lc.time[0] < 58326.0 and 58352.0 < lc.time[-1] < 58354.0  # sector 1: 25 July to 22 August 2018


def test_rows_that_were_dropped_are_told_by_their_numbers_through_all_tables() -> None:
    def table(*mjd: float) -> RawTable:
        return RawTable(columns={"mjd": np.array(mjd), "mag": np.full(len(mjd), 17.0)})

    early, late = raw_curves([table(3.0, 2.0), table(5.0, 5.0, 4.0)], {"duplicate time": np.array([3, 0])})
    np.testing.assert_array_equal(early.extra["row"], [1, 0])
    np.testing.assert_array_equal(late.extra["row"], [4, 2, 3])
    np.testing.assert_array_equal(early.extra["dropped"], ["", "duplicate time"])
    np.testing.assert_array_equal(late.extra["dropped"], ["", "", "duplicate time"])
    np.testing.assert_array_equal(late.qflag, [False, False, True])


@pytest.fixture
def version(retriever, stand: Path) -> Version:
    (stand / "lcs").mkdir()
    rows = ["1,17,0.1", "1,17.2,0.1", "2,99.9,0.1", "3,17,0", "4,17.1,0.1", "5,17.3,0.1"]
    (stand / "lcs" / "a.csv").write_text("mjd,mag,magerr\n" + "\n".join(rows) + "\n")
    sources = "catalog.sources=[{name: a, ra: 1, dec: 2}]"
    words = (
        "run",
        "catalog=inline",
        sources,
        "observatory=folder",
        "paths.lightcurves=lcs",
        "reducers.folder.columns.band=''",
    )
    assert retriever(*words).code == 0
    (name,) = package.open().versions
    return package.open().versions[name]


def test_raw_light_curves_of_a_version_are_drawn_with_their_dropped_rows_crossed(version: Version, monkeypatch) -> None:
    source = version.source("a")
    (lc,) = source.raw_curves()
    assert (lc.source, lc.level, lc.version) == ("a", "raw", version.name)
    np.testing.assert_array_equal(lc.extra["row"], [0, 1, 3, 4, 5])
    dropped = ["", "duplicate time", "error of 0 or less", "", ""]
    np.testing.assert_array_equal(lc.extra["dropped"], dropped)
    ax = source.plot(Figure().subplots(), level="raw")
    crossed = {line.get_label(): line.get_xydata().tolist() for line in ax.lines if line.get_marker() == "x"}
    assert crossed == {"duplicate time": [[1.0, 17.2]], "error of 0 or less": [[3.0, 17.0]]}
    texts = [text.get_text() for text in ax.get_legend().get_texts()]
    assert "raw rows: 1 magnitude such as 99, counted as missing" in texts
    assert not any("1 duplicate time" in text for text in texts)

    # by other code than the version's it cannot be told which rows they were; their number is known
    monkeypatch.setattr(regenerated, "_recipe", fails)
    (lc,) = source.raw_curves()
    assert not lc.qflag.any()
    texts = [text.get_text() for text in source.plot(Figure().subplots(), level="raw").get_legend().get_texts()]
    assert "raw rows: 1 duplicate time" in texts


def fails(*_: object) -> None:
    raise ConfigError("no module named 'gone'")


def test_reducers_tell_rows_that_they_drop(real_data: Path) -> None:
    moved = {"oid": 3, "ra": 10.0, "dec": 20.1}
    good = {"oid": 1, "ra": 10.0, "dec": 20.0, "mjd": 58000.0, "mag": 17.0, "magerr": 0.1, "catflags": 0,
            "filtercode": "zr", "exptime": 30.0}  # fmt: skip
    rows = [good | {"mjd": 58001.0}, good | moved, good, good]
    tables = [
        RawTable(columns={name: np.array([row[name] for row in part]) for name in good})
        for part in (rows[:2], [], rows[2:])
    ]
    source = Source(name="X", ra=10.0, dec=20.0)
    found = ZTFReducer().reduce(source, RawPhotometry(tables=tuple(tables[::2]))).dropped_rows
    assert {reason: of_reason.tolist() for reason, of_reason in found.items()} == {
        "too far from the source": [1], "duplicate time": [3],
    }  # fmt: skip
    # of TESS a second file's rows come after those of the first, and of images of the aperture between them
    path = next(iter(sorted((real_data / "tess").glob("*s0001*441420236*.fits"))))
    file, image = read_table(path), RawTable(columns={"x": np.zeros(7)}, origin="x[APERTURE]")
    found = TESSReducer().reduce(source, RawPhotometry(tables=(file, image, file))).dropped_rows["no time"]
    untimed = np.flatnonzero(~np.isfinite(file.columns["TIME"]))
    np.testing.assert_array_equal(np.sort(found), np.concatenate([untimed, untimed + file.n_rows + 7]))

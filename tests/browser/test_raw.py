"""Raw tables of surveys as light curves to look at."""

import numpy as np
import pytest

from retriever.browser.raw import raw_curves
from retriever.errors import DataError
from retriever.formats import read_table
from retriever.rawtable import RawTable


def test_each_band_is_a_light_curve_in_the_order_of_time() -> None:
    table = RawTable(columns={
        "HJD": np.array([2458002.5, 2458001.5, 2458003.5, np.nan]), "mag": np.array([17.2, 17.1, -999.0, 17.0]),
        "magerr": np.array([0.1, 0.2, 0.3, 0.4]), "filtercode": np.array(["zr", "zr", "zg", "zr"]),
    })  # fmt: skip
    green, red = raw_curves([table], "X", "ztf")
    assert (green.band, red.band, red.level, red.observatory) == ("zg", "zr", "raw", "ztf")
    np.testing.assert_array_equal(red.time, [58001.0, 58002.0])
    np.testing.assert_array_equal(red.mag, [17.1, 17.2])
    np.testing.assert_array_equal(red.mag_err, [0.2, 0.1])


def test_missing_values_texts_and_unknown_columns_are_no_epochs() -> None:
    masked = np.ma.MaskedArray([1.0, 2.0, 3.0], mask=[False, True, False])
    (lc,) = raw_curves([RawTable(columns={"mjd": np.array(["58000", "58001", "58002"]), "flux": masked})], "X", "own")
    np.testing.assert_array_equal(lc.time, [58000.0, 58002.0])
    assert raw_curves([], "X", "own") == []
    for columns in (
        {"when": np.array([1.0]), "mag": np.array([2.0])},
        {"mjd": np.array(["x"]), "mag": np.array([2.0])},
    ):
        with pytest.raises(DataError, match="no time and brightness"):
            raw_curves([RawTable(columns=columns)], "X", "own")


def test_times_of_tess_count_from_what_the_header_says(real_data) -> None:
    path = next(iter(sorted((real_data / "tess").glob("*s0001*441420236*.fits"))))
    tables = [read_table(path)]
    (lc,) = raw_curves(tables, "AU Mic", "tess")
    assert lc.n_epochs > 10_000 and lc.flux_unit
    assert 58324.0 < lc.time[0] < 58326.0 and 58352.0 < lc.time[-1] < 58354.0  # sector 1: 25 July to 22 August 2018

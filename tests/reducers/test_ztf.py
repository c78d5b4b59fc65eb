import csv
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from retriever.errors import DataError
from retriever.formats import read_table
from retriever.rawtable import RawPhotometry, RawTable
from retriever.reducers.ztf import ZTFReducer
from retriever.source import Source


def rows(n: int, **changes: object) -> dict[str, np.ndarray]:
    columns: dict[str, object] = {
        "oid": np.full(n, 2**60 + 1), "mjd": 58000.0 + np.arange(n), "mag": np.full(n, 17.0), "magerr": np.full(n, 0.02),
        "catflags": np.zeros(n, int), "filtercode": np.full(n, "zr"), "ra": np.full(n, 0.0), "dec": np.full(n, 10.0), "exptime": np.full(n, 30.0),
    }  # fmt: skip
    return {key: np.asarray(value) for key, value in {**columns, **changes}.items()}


def reduce(source: Source, *tables: dict[str, np.ndarray], **parameters: float) -> object:
    return ZTFReducer(**parameters).reduce(source, RawPhotometry(tables=tuple(RawTable(columns=one) for one in tables)))


def test_light_curves_of_a_real_answer_are_those_counted_with_the_csv_module_alone(real_data: Path) -> None:
    path = real_data / "ztf" / "irsa_five_oids_three_filters.csv"
    with path.open() as file:
        lines = list(csv.DictReader(file))
    expected = Counter((line["filtercode"][1:], line["oid"]) for line in lines)
    source = Source(name="X", ra=359.9996, dec=51.3937)
    result = ZTFReducer(max_separation=5.0).reduce(source, RawPhotometry(tables=(read_table(path),)))
    found = {(lc.band, lc.series): lc.n_epochs for lc in result.lightcurves}
    assert found == expected
    assert sum(int(lc.qflag.sum()) for lc in result.lightcurves) == 42
    first = min(lines, key=lambda line: float(line["mjd"]))
    assert result.lightcurves[0].time[0] == float(first["mjd"])
    assert result.lightcurves[0].mag[0] == float(first["mag"])


def test_a_condition_on_columns_marks_bad_epochs() -> None:
    source = Source(name="X", ra=0.0, dec=10.0)
    table = rows(4, chi=[1.0, 9.0, 1.0, np.nan], sharp=[0.1, 0.1, -0.9, 0.1], catflags=[0, 0, 0, 0])
    (lc,) = reduce(source, table, good="chi < 4 and abs(sharp) < 0.5").lightcurves
    assert lc.qflag.tolist() == [False, True, True, True]
    (lc,) = reduce(source, table).lightcurves
    assert not lc.qflag.any()
    with pytest.raises(DataError, match="limitmag"):
        reduce(source, table, good="mag < limitmag")


def test_other_stars_are_left_out_and_counted_across_ra_0() -> None:
    source = Source(name="X", ra=359.99995, dec=10.0, mag=17.5)
    step = 1 / 3600
    result = reduce(
        source,
        rows(4, ra=[0.0001, 359.9999, 0.0, 359.9998]),
        rows(3, oid=np.full(3, 2), dec=np.full(3, 10.0 + 5 * step)),
        rows(2, oid=np.full(2, 3), mag=np.full(2, 20.0)),
    )
    assert [(lc.series, lc.n_epochs) for lc in result.lightcurves] == [(str(2**60 + 1), 4)]
    assert result.dropped == {"too far from the source": 3, "another magnitude than the source": 2}


def test_proper_motion_is_followed_to_the_epochs() -> None:
    # 58000 is 2017.68: a star of 10 arcsec a year has moved 17 arcsec since 2016
    moving = Source(name="X", ra=0.0, dec=10.0 - 16.8 / 3600, pmra=0.0, pmdec=10_000.0, epoch=2016.0)
    assert len(reduce(moving, rows(4)).lightcurves) == 1
    assert len(reduce(Source(name="X", ra=0.0, dec=moving.dec), rows(4)).lightcurves) == 0


def test_gaps_split_and_duplicates_go() -> None:
    time = [1.0, 2.0, 2.0, 300.0]
    result = reduce(Source(name="X", ra=0.0, dec=10.0), rows(4, mjd=time), gap=100.0)
    assert [lc.n_epochs for lc in result.lightcurves] == [2, 1]
    assert result.dropped == {"duplicate time": 1}


def test_other_tables_are_refused_and_none_is_none() -> None:
    with pytest.raises(DataError, match="is it of ZTF"):
        reduce(Source(name="X", ra=0.0, dec=0.0), {"x": np.ones(1)})
    assert reduce(Source(name="X", ra=0.0, dec=0.0)).lightcurves == ()

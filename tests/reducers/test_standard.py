import numpy as np
import pytest

from retriever.errors import ConfigError, DataError
from retriever.rawtable import RawPhotometry, RawTable
from retriever.reducers.standard import Columns, StandardReducer
from retriever.source import Source

SOURCE = Source(name="X", ra=0.0, dec=0.0)


def raw(**columns: object) -> RawPhotometry:
    return RawPhotometry(
        tables=(
            RawTable(
                columns={
                    key: np.ma.asanyarray(value) if np.ma.isMaskedArray(value) else np.asarray(value)
                    for key, value in columns.items()
                }
            ),
        )
    )


def test_magnitudes_become_fluxes_and_bands_light_curves() -> None:
    answer = raw(
        mjd=[2.0, 1.0, 3.0],
        mag=[23.9, 21.4, 18.9],
        magerr=[0.1, 0.1, 0.1],
        filter=["g", "r", "g"],
        f=[0, 4, 1],
    )
    result = StandardReducer(columns=Columns(flag="f"), flag_mask=1).reduce(SOURCE, answer)
    red, green = result.lightcurves
    assert (red.band, green.band) == ("r", "g")
    np.testing.assert_allclose(green.flux, [1.0, 100.0])
    np.testing.assert_allclose(red.flux, [10.0])
    assert green.flag.tolist() == [0, 1]
    assert green.qflag.tolist() == [False, True]
    assert red.qflag.tolist() == [False]


def test_fluxes_become_magnitudes_and_times_mjd() -> None:
    answer = raw(jd=[2458000.5], f=[100.0], e=[1.0])
    columns = Columns(time="jd", mag="", mag_err="", flux="f", flux_err="e", band="")
    reducer = StandardReducer(
        columns=columns,
        time_format="jd",
        time_scale="tdb",
        exposure_point="middle",
        band="V",
        zero_point=25.0,
        exptime=60.0,
    )
    (lc,) = reducer.reduce(SOURCE, answer).lightcurves
    assert (lc.band, lc.time[0], lc.mag[0], lc.exptime[0]) == ("V", 58000.0, 20.0, 60.0)
    assert lc.mag_err[0] == pytest.approx(0.010857362)
    assert (lc.time_system.scale, lc.time_system.point) == ("tdb", "middle")


def test_missing_values_are_nan_and_missing_flags_bad() -> None:
    answer = raw(
        mjd=[1.0, 2.0],
        mag=np.ma.MaskedArray([1.0, 2.0], mask=[True, False]),
        magerr=[0.1, 0.1],
        filter=["r", "r"],
        q=np.ma.MaskedArray([0, 0], mask=[False, True]),
    )
    (lc,) = StandardReducer(columns=Columns(flag="q"), flag_mask=2).reduce(SOURCE, answer).lightcurves
    assert np.isnan(lc.flux).tolist() == [True, False]
    assert lc.qflag.tolist() == [False, True]


def test_several_tables_are_numbered_together() -> None:
    one = raw(mjd=[5.0], mag=[1.0], magerr=[0.1], filter=["r"]).tables[0]
    two = raw(mjd=[1.0], mag=[1.0], magerr=[0.1], filter=["r"]).tables[0]
    result = StandardReducer().reduce(SOURCE, RawPhotometry(tables=(one, two)))
    assert [(lc.number, lc.of, lc.time[0]) for lc in result.lightcurves] == [(1, 2, 1.0), (2, 2, 5.0)]


def test_wrong_columns_get_a_clear_answer() -> None:
    with pytest.raises(DataError, match="did you mean 'mjd'"):
        StandardReducer(columns=Columns(time="mdj")).reduce(SOURCE, raw(mjd=[1.0], mag=[1.0]))
    with pytest.raises(DataError, match="not numbers"):
        StandardReducer(columns=Columns(time="filter")).reduce(SOURCE, raw(filter=["r"]))
    with pytest.raises(ConfigError, match="time_format"):
        StandardReducer(time_format="mdj")
    with pytest.raises(ConfigError, match="exposure_point"):
        StandardReducer(exposure_point="mid")

"""The epochs that the shipped reducers of surveys call good, one bad epoch for each reason."""

import numpy as np
import pytest
from hydra import compose, initialize_config_dir

from retriever.config import CONFIG_FOLDER, build_setup
from retriever.errors import ConfigError, DataError
from retriever.lightcurve import Reduction
from retriever.rawtable import RawPhotometry, RawTable
from retriever.reducers.standard import Columns, StandardReducer
from retriever.source import Source

HERE = Source(name="X", ra=10.0, dec=20.0, pmra=1000.0, pmdec=0.0, epoch=2000.0)


def reduce(reducer: str, columns: dict[str, object]) -> Reduction:
    with initialize_config_dir(str(CONFIG_FOLDER), version_base="1.3"):
        config = compose("config", [f"reducer@reducers.demo={reducer}"])
    raw = RawPhotometry(tables=(RawTable(columns={name: np.array(values) for name, values in columns.items()}),))
    return build_setup(config).reducers["demo"].reduce(HERE, raw)


def with_faults(good: dict[str, object], faults: list[dict[str, object]]) -> dict[str, list[object]]:
    """A good epoch, then one for each fault."""
    rows = [good, *({**good, **fault} for fault in faults)]
    return {name: [row[name] for row in rows] for name in good}


def test_neowise() -> None:
    good = {
        "w1mpro": 12.0, "w1sigmpro": 0.03, "w2mpro": 12.1, "w2sigmpro": 0.05, "qi_fact": 1.0, "saa_sep": 40.0,
        "moon_masked": "00", "cc_flags": "0000", "nb": 1, "na": 0,
    }  # fmt: skip
    of_both = [{"qi_fact": 0.5}, {"saa_sep": 2.0}, {"nb": 2}, {"na": 1}]
    of_one = [{"moon_masked": "10"}, {"moon_masked": "01"}, {"cc_flags": "D000"}, {"cc_flags": "0p00"}]
    columns = with_faults(good, [*of_both, *of_one])
    n = len(columns["nb"])
    columns |= {"mjd": 57000.0 + np.arange(n), "ra": np.full(n, HERE.ra), "dec": np.full(n, HERE.dec)}
    w1, w2 = sorted(reduce("neowise", columns).lightcurves, key=lambda lc: lc.band)
    assert np.flatnonzero(~w1.qflag).tolist() == [0, 6, 8] and np.flatnonzero(~w2.qflag).tolist() == [0, 5, 7]


def test_of_two_objects_in_a_frame_the_nearest_to_the_moving_source_counts() -> None:
    # in 2014 the source is 14.9 arcsec east of its place in the catalog
    moved = HERE.ra + 14.9 / 3600 / np.cos(np.radians(HERE.dec))
    good = {
        "w1mpro": 12.0, "w1sigmpro": 0.03, "w2mpro": 12.1, "w2sigmpro": 0.05, "qi_fact": 1.0, "saa_sep": 40.0,
        "moon_masked": "00", "cc_flags": "0000", "nb": 1, "na": 0,
    }  # fmt: skip
    columns = with_faults(good, [{"w1mpro": 15.0}, {"w1mpro": 12.2}, {"w1mpro": 15.0}])
    columns |= {
        "mjd": [57000.0, 57000.0, 57001.0, 57001.0], "ra": [moved, HERE.ra, moved, moved + 1e-3], "dec": [20.0] * 4,
    }  # fmt: skip
    for order in ([0, 1, 2, 3], [1, 0, 3, 2]):
        reduction = reduce("neowise", {name: [values[k] for k in order] for name, values in columns.items()})
        w1 = next(lc for lc in reduction.lightcurves if lc.band == "W1")
        assert w1.mag.tolist() == [12.0, 12.2] and reduction.dropped == {"duplicate time": 4}


def test_pan_starrs_sentinels_and_flags() -> None:
    good = {
        "filterID": 2,
        "psfFlux": 1e-4,
        "psfFluxErr": 1e-6,
        "expTime": 40.0,
        "infoFlag": 102760448,
        "ra": 10.0,
        "dec": 20.0,
    }
    faults = [
        {"psfFlux": -999.0},
        {"psfFluxErr": -999.0},
        *({"infoFlag": bit} for bit in (8, 1024, 2048, 4096, 8192, 65536)),
    ]
    columns = with_faults(good, faults)
    columns["obsTime"] = 56000.0 + np.arange(len(faults) + 1)
    (lc,) = reduce("panstarrs", columns).lightcurves
    assert np.flatnonzero(~lc.qflag).tolist() == [0] and lc.band == "r"
    # moments are of good epochs, so that a sentinel makes no S/N of a billion
    assert lc.flux_moments[0] == 1e-4


def test_atlas_as_its_users_cut() -> None:
    good = {"uJy": 500, "duJy": 20, "F": "o", "err": 0, "chi/N": 1.5, "RA": 10.0, "Dec": 20.0}
    columns = with_faults(good, [{"err": 1}, {"duJy": 0}, {"duJy": 161}, {"chi/N": 10.5}, {"uJy": -200}])
    columns["MJD"] = 58000.0 + np.arange(6)
    (lc,) = reduce("atlas", columns).lightcurves
    assert np.flatnonzero(~lc.qflag).tolist() == [0, 5]  # a dip is no fault


def test_magnitudes_of_99_and_errors_of_zero_are_missing() -> None:
    columns = {
        "mjd": np.arange(5.0),
        "mag": [17.0, 99.99, -999.0, 17.0, 17.0],
        "magerr": [0.1, 99.99, 0.1, 0.0, -999.0],
    }
    raw = RawPhotometry(tables=(RawTable(columns={name: np.array(values) for name, values in columns.items()}),))
    reduction = StandardReducer(columns=Columns(band="")).reduce(HERE, raw)
    (lc,) = reduction.lightcurves
    assert reduction.dropped == {"magnitude such as 99, counted as missing": 2, "error of 0 or less": 2}
    assert np.flatnonzero(np.isfinite(lc.flux)).tolist() == [0, 3, 4]
    assert np.flatnonzero(np.isfinite(lc.flux_err)).tolist() == [0]
    assert np.isnan(lc.mag[1:3]).all()


def test_a_flux_of_999_below_zero_is_missing_where_its_error_is_no_error() -> None:
    columns = {"mjd": np.arange(4.0), "flux": [5.0, -999.0, -999.0, 7.0], "err": [1.0, -999.0, 2.0, 0.0]}
    raw = RawPhotometry(tables=(RawTable(columns={name: np.array(values) for name, values in columns.items()}),))
    names = Columns(band="", mag="", mag_err="", flux="flux", flux_err="err")
    reduction = StandardReducer(columns=names).reduce(HERE, raw)
    np.testing.assert_array_equal(reduction.lightcurves[0].flux, [5.0, np.nan, -999.0, 7.0])
    np.testing.assert_array_equal(reduction.lightcurves[0].flux_err, [1.0, np.nan, 2.0, np.nan])
    assert reduction.dropped == {"flux such as -999, counted as missing": 1, "error of 0 or less": 1}


def test_a_condition_on_a_column_that_is_missing_or_no_condition_is_refused() -> None:
    raw = RawPhotometry(tables=(RawTable(columns={"mjd": np.ones(1), "mag": np.ones(1), "magerr": np.ones(1)}),))
    for good, error, words in (
        ("chi < 3", DataError, "no column 'chi'"),
        ("mag", ConfigError, "columns.good is 'mag'"),
    ):
        with pytest.raises(error, match=words):
            StandardReducer(columns=Columns(band="", good=good)).reduce(HERE, raw)

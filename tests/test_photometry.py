import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retriever.photometry import TIME_OFFSETS, flux_to_mag, mag_to_flux, to_mjd


def test_hand_worked_values() -> None:
    # 5 magnitudes are a factor 100; a flux error of 1 % is 0.010857 mag (1.0857 = 2.5 / ln 10)
    flux, err = mag_to_flux([18.9, 23.9], [0.010857362, 0.0], 23.9)
    np.testing.assert_allclose(flux, [100.0, 1.0], rtol=1e-14)
    np.testing.assert_allclose(err, [1.0, 0.0], rtol=1e-8)


@given(st.floats(-5, 30), st.floats(0, 1), st.floats(10, 30))
def test_there_and_back(mag: float, mag_err: float, zero_point: float) -> None:
    back, err = flux_to_mag(*mag_to_flux([mag], [mag_err], zero_point), zero_point)
    assert back[0] == pytest.approx(mag, abs=1e-9)
    assert err[0] == pytest.approx(mag_err, abs=1e-12)


def test_no_magnitude_without_flux() -> None:
    mag, err = flux_to_mag([0.0, -1.0, np.nan], [1.0, 1.0, 1.0], 25.0)
    assert np.isnan(mag).all()
    assert np.isnan(err).all()


def test_times_agree_with_astropy() -> None:
    from astropy.time import Time

    jd = 2459000.25
    assert to_mjd(np.array([jd]), "jd")[0] == Time(jd, format="jd").mjd
    assert to_mjd(np.array([1325.29]), "btjd")[0] == pytest.approx(Time(2457000, 1325.29, format="jd").mjd, abs=1e-9)
    assert to_mjd(np.array([131.5]), "bkjd")[0] == pytest.approx(Time(2454833, 131.5, format="jd").mjd, abs=1e-9)
    assert TIME_OFFSETS["mjd"] == 0

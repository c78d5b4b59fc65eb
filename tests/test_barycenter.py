"""Barycentric times against astropy's."""

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import EarthLocation, SkyCoord
from astropy.time import Time

from retriever.barycenter import bjd_offset, seconds_to_tdb

GEOCENTER = EarthLocation.from_geocentric(0, 0, 0, unit=u.m)


def offset(time: np.ndarray, ra: float, dec: float, **words: str) -> np.ndarray:
    words = {"scale": "utc", "reference": "observer", "point": "middle", **words}
    n = time.size
    return bjd_offset(time, np.full(n, 30.0), np.array([ra]), np.array([dec]), np.array([n]), **words)


@pytest.mark.parametrize(("ra", "dec"), [(83.2, -20.0), (270.0, 66.5), (359.9, 0.1), (10.0, -89.0)])
@pytest.mark.parametrize("scale", ["utc", "tai", "tt", "tdb", "tcb"])
def test_times_at_the_observer_are_astropys(ra: float, dec: float, scale: str) -> None:
    mjd = np.sort(np.random.default_rng(int(ra)).uniform(45000, 60500, 40))
    time = Time(mjd, format="mjd", scale=scale, location=GEOCENTER)
    light = time.light_travel_time(SkyCoord(ra * u.deg, dec * u.deg), "barycentric", ephemeris="builtin")
    expected = (time.tdb + light - Time(mjd, format="mjd", scale="tdb")).sec
    np.testing.assert_allclose(offset(mjd, ra, dec, scale=scale), expected, atol=2e-4)


def test_heliocentric_times_are_astropys() -> None:
    mjd = np.linspace(50000, 60000, 50)
    time = Time(mjd, format="mjd", scale="tdb", location=GEOCENTER)
    star = SkyCoord(45 * u.deg, 10 * u.deg)
    light = [time.light_travel_time(star, kind, ephemeris="builtin").sec for kind in ("barycentric", "heliocentric")]
    np.testing.assert_allclose(
        offset(mjd, 45.0, 10.0, scale="tdb", reference="heliocenter"), light[0] - light[1], atol=1e-4
    )


def test_the_middle_of_the_exposure_is_taken() -> None:
    mjd = np.array([58000.0])
    middle = offset(mjd, 10.0, 10.0)
    np.testing.assert_allclose(offset(mjd, 10.0, 10.0, point="start") - middle, 15.0, atol=1e-2)
    np.testing.assert_allclose(offset(mjd, 10.0, 10.0, point="end") - middle, -15.0, atol=1e-2)
    barycentric = offset(mjd, 10.0, 10.0, scale="tdb", reference="barycenter")
    assert barycentric.tolist() == [0.0]


def test_what_is_not_known_has_no_time() -> None:
    assert np.isnan(offset(np.array([58000.0]), float("nan"), 0.0)).all()
    assert np.isnan(offset(np.array([0.0, 99999.0, np.nan]), 1.0, 0.0)).all()
    assert np.isnan(offset(np.array([58000.0]), 1.0, 0.0, scale="moon")).all()
    assert np.isnan(offset(np.array([58000.0]), 1.0, 0.0, reference="mars")).all()
    assert offset(np.zeros(0), 1.0, 0.0).size == 0


def test_leap_seconds() -> None:
    # 2017-01-01 is MJD 57754 (IERS Bulletin C 52): 36 s before, 37 s after
    before, after = seconds_to_tdb(np.array([57753.99, 57754.0]), "utc")
    assert (before, after) == pytest.approx((68.184, 69.184), abs=2e-3)

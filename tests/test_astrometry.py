import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retriever.astrometry import julian_year, moved, offsets_arcsec, separation_arcsec

RA, DEC = st.floats(0, 359.999), st.floats(-90, 90)


@given(RA, DEC, RA, DEC)
def test_separation_is_astropys(ra: float, dec: float, ra0: float, dec0: float) -> None:
    from astropy.coordinates import angular_separation

    expected = np.degrees(angular_separation(*np.radians([ra, dec, ra0, dec0]))) * 3600
    assert separation_arcsec(ra, dec, ra0, dec0) == pytest.approx(expected, rel=1e-9, abs=1e-5)


@given(RA, st.floats(-89.99, 89.99), st.floats(-3, 3), st.floats(-3, 3))
def test_offsets_are_astropys(ra: float, dec: float, east: float, north: float) -> None:
    from astropy import units
    from astropy.coordinates import SkyCoord

    center = SkyCoord(ra, dec, unit="deg")
    point = center.spherical_offsets_by(east * units.arcsec, north * units.arcsec)
    x, y = offsets_arcsec(point.ra.deg, point.dec.deg, ra, dec)
    assert (x, y) == pytest.approx((east, north), abs=1e-5)


@pytest.mark.parametrize("dec", [0.0, 45.0, 89.9, -89.99])
@pytest.mark.parametrize("ra", [0.0, 123.0, 359.9999])
def test_proper_motion_is_astropys(ra: float, dec: float) -> None:
    from astropy import units
    from astropy.coordinates import SkyCoord
    from astropy.time import Time

    mas = units.mas / units.yr
    star = SkyCoord(
        ra * units.deg, dec * units.deg, distance=10 * units.pc, pm_ra_cosdec=3000 * mas, pm_dec=-4000 * mas,
        radial_velocity=0 * units.km / units.s, obstime=Time(2016.0, format="jyear", scale="tdb"),
    )  # fmt: skip
    later = star.apply_space_motion(Time(2026.0, format="jyear", scale="tdb"))
    x, y = moved(ra, dec, 3000.0, -4000.0, 10.0)
    assert separation_arcsec(x, y, later.ra.deg, later.dec.deg) < 0.001
    assert separation_arcsec(x, y, ra, dec) == pytest.approx(50.0, abs=0.01)


def test_unknown_motion_is_none() -> None:
    assert moved(10.0, 20.0, np.nan, np.nan, 10.0) == pytest.approx((10.0, 20.0))


def test_julian_years() -> None:
    assert julian_year(57388.5) == pytest.approx(2016.0, abs=0.002)

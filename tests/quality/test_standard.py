import numpy as np
import pytest
from astropy import units
from astropy.coordinates import SkyCoord
from hypothesis import given
from hypothesis import strategies as st

from retriever.quality.standard import StandardQuality
from retriever.source import Source
from tests.helpers import flat_lightcurve

SOURCE = Source(name="X", ra=0.0, dec=0.0)


def at(ra: float, dec: float, n: int = 40, off: float = 0.0) -> dict[str, np.ndarray]:
    """Positions that scatter by 0.05 arcsec around a place, the last one `off` arcsec to the east."""
    rng = np.random.default_rng(3)
    east, north = 0.05 * rng.standard_normal((2, n))
    east[-1] = off
    place = SkyCoord(ra, dec, unit="deg").spherical_offsets_by(east * units.arcsec, north * units.arcsec)
    return {"ra": place.ra.deg, "dec": place.dec.deg}


@pytest.mark.parametrize("dec", [0.0, 60.0, -89.9])
@pytest.mark.parametrize("ra", [0.0, 180.0, 359.99999])
def test_offsets_are_the_same_everywhere_on_the_sky(ra: float, dec: float) -> None:
    here = StandardQuality().assess(SOURCE, flat_lightcurve(40, **at(ra, dec, off=3.0)))
    there = StandardQuality().assess(SOURCE, flat_lightcurve(40, **at(100.0, 10.0, off=3.0)))
    np.testing.assert_allclose(here.extra["offset"], there.extra["offset"], rtol=1e-3, atol=1e-3)
    assert here.qflag.tolist() == [False] * 39 + [True]
    assert here.extra["offset"][-1] == pytest.approx(60, rel=0.3)


def test_hand_worked_offset() -> None:
    # x: median 0, deviations 0 1 1 2 10, scatter 1.4826; y likewise: the last is 10/1.4826 in both
    x = np.array([0.0, 1.0, -1.0, 2.0, 10.0])
    lc = flat_lightcurve(5).replace(extra={"x": x - 1.0, "y": x - 1.0})
    offset = StandardQuality().assess(SOURCE, lc).extra["offset"]
    assert offset[-1] == pytest.approx(np.hypot(9, 9) / 1.482602218505602)


def test_flags_and_what_is_not_finite_are_bad_and_input_is_left_alone() -> None:
    lc = flat_lightcurve(
        4, flux=[1.0, np.nan, 1.0, 1.0], flux_err=[1.0, 1.0, np.inf, 1.0], qflag=[False, False, False, True]
    )
    before = {key: column.copy() for key, column in lc.columns().items()}
    assert StandardQuality().assess(SOURCE, lc).qflag.tolist() == [False, True, True, True]
    assert StandardQuality(use_flags=False).assess(SOURCE, lc).qflag.tolist() == [False, True, True, False]
    for key, column in lc.columns().items():
        np.testing.assert_array_equal(column, before[key])


@given(st.lists(st.sampled_from([0.0, 1.0, np.nan, 50.0]), min_size=1, max_size=8))
def test_any_positions_give_an_answer(x: list[float]) -> None:
    lc = flat_lightcurve(len(x)).replace(extra={"x": np.array(x), "y": np.array(x)})
    offset = StandardQuality().assess(SOURCE, lc).extra["offset"]
    assert np.isnan(offset).tolist() == np.isnan(x).tolist()
    assert (offset[np.isfinite(offset)] >= 0).all()


def test_no_positions_no_offset() -> None:
    assert "offset" not in StandardQuality().assess(SOURCE, flat_lightcurve()).extra
    wide = flat_lightcurve(40, **at(10.0, 20.0, off=3.0))
    assert not StandardQuality(max_offset=0.0).assess(SOURCE, wide).qflag.any()

"""Places in catalogs, against plain spherical trigonometry in plain loops."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retriever.catalogs.match import cone, match, nearest_row, places_at
from retriever.source import SourceTable


def distance(ra1: float, dec1: float, ra2: float, dec2: float) -> float:
    a, b, c, d = map(math.radians, (ra1, dec1, ra2, dec2))
    x = math.sin(b) * math.sin(d) + math.cos(b) * math.cos(d) * math.cos(a - c)
    return math.degrees(math.acos(max(-1.0, min(1.0, x)))) * 3600


def table(rows: list[tuple[float, float]], **others) -> SourceTable:
    ra, dec = zip(*rows, strict=True)
    return SourceTable.from_columns(name=[f"S{k}" for k in range(len(rows))], ra=ra, dec=dec, **others)


places = st.tuples(st.floats(0, 359.999), st.floats(-90, 90))


@given(st.lists(places, min_size=1, max_size=20), places, st.floats(1, 100_000))
def test_a_cone_holds_what_is_near_and_nothing_else(rows, centre, radius) -> None:
    found, distances = cone(table(rows), *centre, radius)
    expected = {k for k, row in enumerate(rows) if distance(*row, *centre) <= radius}
    sure = {k for k, row in enumerate(rows) if abs(distance(*row, *centre) - radius) > 0.01}
    assert set(found.tolist()) & sure == expected & sure
    assert (np.diff(distances) >= 0).all()


@given(st.lists(places, min_size=1, max_size=15), st.lists(places, min_size=1, max_size=15))
def test_a_match_is_the_nearest(one, other) -> None:
    found = match(table(one), table(other), 3600 * 180.0, mutual=False)
    assert found.first.tolist() == list(range(len(one)))
    for a, b in zip(found.first.tolist(), found.second.tolist(), strict=True):
        assert distance(*one[a], *other[b]) <= min(distance(*one[a], *row) for row in other) + 0.01


@given(st.lists(places, min_size=1, max_size=15), st.lists(places, min_size=1, max_size=15))
def test_a_mutual_match_is_the_nearest_both_ways(one, other) -> None:
    every, found = (
        match(table(one), table(other), 3600 * 180.0, mutual=False),
        match(table(one), table(other), 3600 * 180.0),
    )
    assert np.unique(found.second).size == found.second.size
    for a, b in zip(found.first.tolist(), found.second.tolist(), strict=True):
        assert distance(*one[a], *other[b]) <= min(distance(*row, *other[b]) for row in one) + 0.01
    partners = every.second.tolist()
    assert every.n_shared == found.n_shared == sum(partners.count(b) > 1 for b in partners)
    assert set(found.first.tolist()) <= set(every.first.tolist())


def test_across_ra_zero_and_at_the_poles() -> None:
    sky = table([(359.9999, 0.0), (0.0001, 0.0), (0.0, 89.9999), (180.0, 89.9999)])
    assert set(cone(sky, 0.0, 0.0, 1.0)[0].tolist()) == {0, 1}
    assert set(cone(sky, 90.0, 89.99995, 1.0)[0].tolist()) == {2, 3}
    assert nearest_row(sky, 359.99999, 0.0)[0] in (0, 1)


def test_proper_motion_is_applied_from_each_epoch() -> None:
    # Barnard's star moves 10.4 arcsec a year: 160 arcsec between the two catalogs
    barnard = {"pmra": [-801.6], "pmdec": [10362.4]}
    gaia = table([(269.4485, 4.7394)], epoch=[2016.0], **barnard)
    old_ra, old_dec = places_at(gaia, 2000.0)
    old = table([(float(old_ra[0]), float(old_dec[0]))], epoch=[2000.0], **barnard)
    assert distance(269.4485, 4.7394, float(old_ra[0]), float(old_dec[0])) == pytest.approx(
        16 * math.hypot(0.8016, 10.3624), rel=1e-4
    )
    assert match(gaia, old, 0.1, 2000.0).distance.size == 1 and match(gaia, old, 0.1, 2030.0).distance.size == 1
    still = table([(269.4485, 4.7394)], epoch=[2000.0])
    assert match(gaia, still, 100.0, 2000.0).distance.size == 0

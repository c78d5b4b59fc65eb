import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retriever.catalogs.random import RandomCatalog
from retriever.errors import CatalogError


@given(st.integers(1, 200), st.integers(1, 200), st.integers(0, 5))
def test_the_first_sources_are_the_same_for_every_size(a: int, b: int, seed: int) -> None:
    one, other = RandomCatalog(size=a, seed=seed).load(), RandomCatalog(size=b, seed=seed).load()
    n = min(a, b)
    assert one.digests[:n].tolist() == other.digests[:n].tolist()


def test_the_sky_is_evenly_covered_and_seeded() -> None:
    table = RandomCatalog(size=20_000).load()
    assert np.mean(np.sin(np.radians(table.dec))) == pytest.approx(0, abs=0.02)
    assert np.mean(table.ra) == pytest.approx(180, abs=3)
    assert RandomCatalog(seed=1).load().digest != RandomCatalog(seed=2).load().digest


def test_no_sources_are_refused() -> None:
    with pytest.raises(CatalogError, match="at least one"):
        RandomCatalog(size=0).load()

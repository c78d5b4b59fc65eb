import numpy as np
import pytest

from retriever.errors import DataError
from retriever.lightcurve import Lightcurve
from tests.helpers import flat_lightcurve


def test_arrays_are_read_only() -> None:
    lc = flat_lightcurve()
    with pytest.raises(ValueError, match="read-only"):
        lc.flux[0] = 1


def test_times_must_be_in_order_and_columns_of_one_length() -> None:
    with pytest.raises(DataError, match="in order"):
        flat_lightcurve(3, time=[1.0, 3.0, 2.0])
    with pytest.raises(DataError, match="in order"):
        flat_lightcurve(3, time=[1.0, 2.0, np.nan])
    with pytest.raises(DataError, match="'flux_err'"):
        flat_lightcurve(3, flux_err=np.ones(4))
    with pytest.raises(DataError, match="'x'"):
        flat_lightcurve(3).replace(extra={"x": np.ones(2)})


def test_what_is_derived_follows_what_changes() -> None:
    lc = flat_lightcurve(5, flux=[1.0, 2.0, 3.0, np.nan, 100.0])
    assert lc.usable.tolist() == [True, True, True, False, True]
    assert lc.flux_moments[0] == 2.5
    flagged = lc.replace(qflag=np.array([False, False, False, False, True]))
    assert flagged.usable.tolist() == [True, True, True, False, False]
    assert flagged.flux_moments[0] == 2.0
    assert lc.flux_moments[0] == 2.5
    assert flagged.replace(flux=np.full(5, 7.0)).flux_moments == (7.0, 0.0)


def test_replace_knows_the_fields() -> None:
    with pytest.raises(TypeError, match="fluxx"):
        flat_lightcurve().replace(fluxx=1)
    assert isinstance(flat_lightcurve().replace(number=2, of=2), Lightcurve)

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from retriever.statistics import GAUSSIAN_MAD, cadence, median, robust_moments

VALUES = arrays(np.float64, st.integers(1, 30), elements=st.floats(-1e6, 1e6))


@given(VALUES)
def test_median_is_numpys(values: np.ndarray) -> None:
    assert median(values) == pytest.approx(float(np.median(values)), rel=1e-15, abs=1e-300)


@given(VALUES)
def test_robust_moments_are_their_definition(values: np.ndarray) -> None:
    center, scatter = robust_moments(values)
    assert scatter == pytest.approx(GAUSSIAN_MAD * np.median(np.abs(values - np.median(values))), rel=1e-12, abs=1e-9)
    assert np.min(values) <= center <= np.max(values)


def test_input_is_left_alone() -> None:
    values = np.array([3.0, 1.0, 2.0])
    robust_moments(values)
    assert values.tolist() == [3.0, 1.0, 2.0]


def test_nothing_gives_nan() -> None:
    assert np.isnan(robust_moments(np.empty(0))).all()
    assert np.isnan(cadence(np.array([1.0])))


def test_scatter_of_a_gaussian_is_its_sigma() -> None:
    values = np.random.default_rng(1).normal(5.0, 3.0, 200_001)
    assert robust_moments(values) == pytest.approx((5.0, 3.0), rel=0.01)

"""Measures of variability against hand-worked values, other implementations and what noise should give."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import skew

from retriever.variability import MEASURES, Photometry, measures, stetson_j


def curve(flux: object, errors: object = 1.0, time: object = None) -> Photometry:
    flux = np.asarray(flux, float)
    time = np.arange(flux.size, dtype=float) if time is None else np.asarray(time, float)
    return Photometry(time=time, flux=flux, flux_err=np.broadcast_to(np.asarray(errors, float), flux.shape).copy())


def noise(n: int, seed: int, sigma: float = 1.0, mean: float = 100.0) -> Photometry:
    return curve(mean + sigma * np.random.default_rng(seed).standard_normal(n), sigma, 0.001 * np.arange(n))


def test_hand_worked_values() -> None:
    # flux 1, 3, 5, 7, 9 with errors of 2: mean 5, squares 16 + 4 + 0 + 4 + 16 = 40
    found = measures([curve([1, 3, 5, 7, 9], 2.0)], within=1.0)
    assert found["chi2"] == pytest.approx(40 / 4 / 4)
    assert found["von_neumann"] == pytest.approx(4 * 4 / 40)
    # deviations -2, -1, 0, 1, 2 times sqrt(5/4)
    assert found["stetson_k"] == pytest.approx((6 / 5) / np.sqrt(10 / 5))
    assert (found["skewness"], found["asymmetry"]) == pytest.approx((0, 0), abs=1e-12)
    # pairs 2.5 and 0, the last alone with 5 - 1 and half the weight
    assert found["stetson_j"] == pytest.approx((np.sqrt(2.5) + 0.5 * 2.0) / 2.5)
    # percentiles 1.4 and 8.6 of a median of 5; median absolute deviation 2
    assert found["amplitude"] == pytest.approx(0.5 * 7.2 / 5)
    assert found["excess_scatter"] == pytest.approx(np.sqrt((2 * 1.4826022185) ** 2 - 4) / 5)


@given(st.lists(st.floats(1, 1000), min_size=5, max_size=60, unique=True), st.floats(0.1, 10))
def test_skewness_is_scipys(flux: list[float], error: float) -> None:
    found = measures([curve(flux, error)])
    assert found["skewness"] == pytest.approx(skew(flux, bias=False), rel=1e-6, abs=1e-6)


def test_measures_are_those_of_light_curve() -> None:
    light_curve = pytest.importorskip("light_curve", reason="needs the extra 'features'")
    extractor = light_curve.Extractor(
        light_curve.ReducedChi2(), light_curve.Eta(), light_curve.StetsonK(), light_curve.Skew()
    )
    rng = np.random.default_rng(1)
    time, errors = np.sort(rng.uniform(0, 100, 300)), rng.uniform(0.5, 2, 300)
    flux = 100 + 3 * np.sin(time) + errors * rng.standard_normal(300)
    found = measures([Photometry(time=time, flux=flux, flux_err=errors)])
    ours = [found[name] for name in ("chi2", "von_neumann", "stetson_k", "skewness")]
    np.testing.assert_allclose(ours, extractor(time, flux, errors), rtol=1e-9)


def test_noise_gives_what_noise_should() -> None:
    of_noise = [measures([noise(500, seed)], within=0.002) for seed in range(40)]
    mean = {name: np.mean([one[name] for one in of_noise]) for name in MEASURES}
    scatter = {name: np.std([one[name] for one in of_noise]) / np.sqrt(40) for name in MEASURES}
    expected = {"chi2": 1.0, "von_neumann": 2.0, "stetson_k": np.sqrt(2 / np.pi), "skewness": 0.0, "asymmetry": 0.0,
                "stetson_j": 0.0, "amplitude": 0.01 * 1.645}  # fmt: skip
    for name, value in expected.items():
        assert abs(mean[name] - value) < 4 * scatter[name] + 0.002, name
    assert abs(mean["excess_scatter"]) < 0.003


def test_bands_together_are_compared_with_their_own_means() -> None:
    faint, bright = noise(400, 1, mean=50.0), noise(400, 2, sigma=20.0, mean=5000.0)
    together = measures([faint, bright])
    assert together["chi2"] == pytest.approx(1.0, abs=0.15)
    assert together["von_neumann"] == pytest.approx(2.0, abs=0.2)
    alone = [measures([one])["chi2"] for one in (faint, bright)]
    assert together["chi2"] == pytest.approx(np.mean(alone))


def test_a_change_that_bands_share_raises_j_and_noise_that_they_do_not_does_not() -> None:
    rng = np.random.default_rng(3)
    time, shared = np.arange(200.0), 3 * rng.standard_normal(200)
    one, other = (curve(100 + shared + rng.standard_normal(200), 1.0, time + shift) for shift in (0.0, 0.01))
    independent = curve(100 + 3 * rng.standard_normal(200), 1.0, time + 0.01)
    assert measures([one, other])["stetson_j"] > 1.5
    assert abs(measures([one, independent])["stetson_j"]) < 0.5


def test_dips_and_flares_have_signs() -> None:
    flux = noise(500, 1).flux.copy()
    flux[100:120] -= 20.0
    for sign in (1, -1):
        found = measures([curve(100 + sign * (flux - 100))])
        assert np.sign(found["skewness"]) == np.sign(found["asymmetry"]) == -sign


def test_pairs_are_made_of_neighbours_only() -> None:
    # 0 and 0.01 are a pair, 0.02 is alone, 5 and 5.02 are too far apart
    time, deviation = np.array([5.0, 0.02, 0.0, 0.01, 5.02]), np.array([1.0, 3.0, 2.0, -2.0, 1.0])
    singles = 0.5 * np.sqrt(8.0)
    assert stetson_j(time, deviation, 0.015) == pytest.approx((-2.0 + singles) / 2.5)


def test_a_light_curve_most_of_whose_fluxes_are_equal_is_measured() -> None:
    flux = np.full(40, 100.0)
    flux[::5] += np.arange(8.0)
    found = measures([curve(flux, np.nan)])
    assert all(np.isfinite(found[name]) for name in ("von_neumann", "stetson_j", "stetson_k", "skewness", "asymmetry"))
    together = measures([curve(flux, np.nan), noise(50, 1)])
    assert np.isfinite(together["stetson_j"])


def test_what_is_not_known_is_nan() -> None:
    everything = measures([curve([1.0, 2.0, 3.0, 4.0])])
    assert all(np.isnan(value) for value in everything.values())
    constant = measures([curve([5.0] * 10)])
    assert constant["chi2"] == 0 and np.isnan(constant["von_neumann"])
    without_errors = measures([curve(100 + np.random.default_rng(1).standard_normal(50), np.nan)])
    assert np.isnan(without_errors["chi2"]) and np.isnan(without_errors["excess_scatter"])
    assert without_errors["stetson_k"] == pytest.approx(0.8, abs=0.15)
    difference = measures([curve(np.random.default_rng(1).standard_normal(50) - 1.0)])
    assert np.isnan(difference["amplitude"]) and difference["chi2"] == pytest.approx(1.0, abs=0.4)
    assert set(everything) == set(MEASURES)

"""Scores against plain loops, exact probabilities, and simulated noise."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special, stats

from retriever.errors import ConfigError
from retriever.noise import (
    NOISE_MODELS,
    check_noise_model,
    epoch_noise,
    false_alarm_probability,
    normal_equivalent,
    scores_of_epochs,
)


def plain_score(flux: list[float], err: list[float], k: int) -> float:
    """S/N of epoch k of usable epochs with errors, by loops over lists."""
    n = len(flux)
    others = [f for j, f in enumerate(flux) if j != k]
    center, whole = float(np.median(others)), float(np.median(flux))
    squares = sorted(((f - whole) / e) ** 2 for j, (f, e) in enumerate(zip(flux, err, strict=True)) if j != k)
    share = 0.8 * (n - 1)
    kept = sum(squares[: int(share)]) + (share - int(share)) * squares[int(share)]
    q = stats.norm.ppf(0.9)
    scale = (kept / share) ** 0.5 / (1 - 2 * q * stats.norm.pdf(q) / 0.8) ** 0.5
    m = n - 1
    spread = np.pi / 2 / (m + (0.571 if m % 2 else 1.3))
    noise = (err[k] ** 2 + spread * (n / sum(1 / e for e in err)) ** 2) ** 0.5
    ratio = (flux[k] - center) / noise
    return float(normal_equivalent(np.array(ratio / scale if scale > 0 else ratio), m))


@given(
    st.lists(
        st.lists(
            st.tuples(
                st.sampled_from([0.0, 1.0, -3.0, 7.5, 100.0]) | st.integers(-9999, 9999).map(lambda k: k / 1000),
                st.floats(0.1, 5.0),
            ),
            min_size=5,
            max_size=20,
        ),
        min_size=1,
        max_size=4,
    )
)
def test_scores_are_those_of_a_plain_loop(curves: list[list[tuple[float, float]]]) -> None:
    offsets = np.cumsum([0, *(len(curve) for curve in curves)])
    flux, err = np.array([epoch for curve in curves for epoch in curve]).T
    usable = np.ones(flux.size, bool)
    scores = scores_of_epochs(flux, err, usable, offsets)
    expected = [
        plain_score([f for f, _ in curve], [e for _, e in curve], k) for curve in curves for k in range(len(curve))
    ]
    np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=1e-6)
    # whatever the batch, the same bits
    alone = [
        scores_of_epochs(flux[a:b], err[a:b], usable[a:b], np.array([0, b - a])) for a, b in itertools.pairwise(offsets)
    ]
    np.testing.assert_array_equal(scores, np.concatenate(alone))


@pytest.mark.parametrize("n", [5, 6, 10, 24, 25, 26, 60])
def test_the_normal_equivalent_is_that_of_exact_probabilities(n: int) -> None:
    # an epoch far above n - 1 others exceeds T with the normal probability of T times their scatter, averaged over it
    rng = np.random.default_rng(n)
    m = n - 1
    others = np.sort(rng.standard_normal((150_000 if n < 20 else 50_000, m)), axis=1)
    center = np.median(others, axis=1)
    whole = np.median(np.column_stack([others, np.full(len(others), np.inf)]), axis=1)
    squares = np.sort((others - whole[:, None]) ** 2, axis=1)
    share = 0.8 * m
    kept = squares[:, : int(share)].sum(axis=1) + (share - int(share)) * squares[:, int(share)]
    scale = np.sqrt(kept / share) / 0.6616002 * np.sqrt(1 + np.pi / 2 / (m + (0.571 if m % 2 else 1.3)))
    for wanted in (1.0, 3.0, 4.0):
        low, high = 0.0, 500.0
        for _ in range(25):
            middle = 0.5 * (low + high)
            exact = special.ndtr(-(middle * scale + center)).mean()
            low, high = (middle, high) if exact > special.ndtr(-wanted) else (low, middle)
        assert normal_equivalent(np.array(low), m) == pytest.approx(wanted, abs=0.035)


@pytest.mark.parametrize("n", [5, 6, 9, 20, 100, 1000])
@pytest.mark.parametrize("model", ["rescaled", "scatter", "errors"])
def test_scores_of_noise_are_standard_normal(n: int, model: str) -> None:
    rng = np.random.default_rng(n)
    n_curves = 3000 if n < 1000 else 1000
    errors = np.exp(0.3 * rng.standard_normal((n_curves, n))) if model != "scatter" else np.ones((n_curves, n))
    stated = errors * np.exp(rng.standard_normal((n_curves, 1))) if model == "rescaled" else errors
    flux = 50.0 + errors * rng.standard_normal((n_curves, n))
    offsets = np.arange(n_curves + 1) * n
    scores = scores_of_epochs(flux.ravel(), stated.ravel(), np.ones(flux.size, bool), offsets, model)
    # epochs of one light curve are not independent of one another
    assert stats.kstest(scores.reshape(-1, n)[:, n // 2], "norm").pvalue > 1e-3


@pytest.mark.parametrize("n", [6, 20, 100])
@pytest.mark.parametrize("knows_errors", [True, False])
def test_false_alarms_are_as_many_as_predicted(n: int, knows_errors: bool) -> None:
    n_curves = 1_000_000 // n
    flux = np.random.default_rng(n).standard_normal(n_curves * n)
    errors = np.ones(flux.size) if knows_errors else np.full(flux.size, np.nan)
    offsets = np.arange(n_curves + 1) * n
    scores = scores_of_epochs(flux, errors, np.ones(flux.size, bool), offsets, "errors" if knows_errors else "rescaled")
    for threshold in (3.0, 4.0, 5.0):
        expected = 2 * special.ndtr(-threshold) * flux.size
        low, high = stats.poisson.interval(0.9999, expected)
        assert low * 0.95 <= np.count_nonzero(np.abs(scores) >= threshold) <= high * 1.05


def test_epochs_that_are_not_usable_do_not_count_and_have_scores() -> None:
    rng = np.random.default_rng(2)
    flux = rng.standard_normal(30)
    flux[4] = 1000.0
    usable = np.ones(30, bool)
    usable[4] = False
    scores = scores_of_epochs(flux, np.ones(30), usable, np.array([0, 30]))
    without = scores_of_epochs(flux[usable], np.ones(29), np.ones(29, bool), np.array([0, 29]))
    np.testing.assert_array_equal(scores[usable], without)
    assert scores[4] > 25


def test_light_curves_that_say_nothing_of_their_noise_have_no_scores() -> None:
    three, constant = np.array([1.0, 2.0, 300.0]), np.ones(9)
    assert np.isnan(scores_of_epochs(three, np.ones(3), np.ones(3, bool), np.array([0, 3]))).all()
    assert np.isfinite(scores_of_epochs(three, np.ones(3), np.ones(3, bool), np.array([0, 3]), "errors")).all()
    assert np.isnan(scores_of_epochs(three, np.full(3, np.nan), np.ones(3, bool), np.array([0, 3]), "errors")).all()
    assert (scores_of_epochs(constant, np.ones(9), np.ones(9, bool), np.array([0, 9])) == 0).all()
    assert scores_of_epochs(np.zeros(0), np.zeros(0), np.zeros(0, bool), np.array([0])).size == 0


@pytest.mark.parametrize(("model", "expected"), [("rescaled", 6.0), ("scatter", 6.0), ("jitter", 6.0), ("errors", 2.0)])
def test_noise_of_understated_errors(model: str, expected: float) -> None:
    rng = np.random.default_rng(4)
    flux = 6.0 * rng.standard_normal(20_000)
    usable, offsets = np.ones(flux.size, bool), np.array([0, flux.size])
    noise = epoch_noise(flux, np.full(flux.size, 2.0), usable, offsets, model)
    np.testing.assert_allclose(noise, expected, rtol=0.03)
    flux[:1000] += 1000.0  # a twentieth of the epochs
    np.testing.assert_allclose(epoch_noise(flux, np.full(flux.size, 2.0), usable, offsets, model), expected, rtol=0.15)


@pytest.mark.parametrize("model", ["scatter", "errors", "rescaled", "jitter"])
def test_the_noise_of_a_light_curve_does_not_depend_on_others(model: str) -> None:
    rng = np.random.default_rng(4)
    parts = [
        (3.0 * rng.standard_normal(50), np.ones(50)),
        (rng.standard_normal(40), np.full(40, np.nan)),
        (np.zeros(0), np.zeros(0)),
    ]
    for order in ((0, 1, 2), (2, 1, 0), (1, 2, 0)):
        chosen = [parts[k] for k in order]
        offsets = np.concatenate([[0], np.cumsum([flux.size for flux, _ in chosen])])
        flux, errors = (np.concatenate([part[k] for part in chosen]) for k in (0, 1))
        together = epoch_noise(flux, errors, np.ones(flux.size, bool), offsets, model)
        for (f, e), first, last in zip(chosen, offsets, offsets[1:], strict=False):
            alone = epoch_noise(f, e, np.ones(f.size, bool), np.array([0, f.size]), model)
            np.testing.assert_array_equal(together[first:last], alone)
    if model == "errors":
        assert (together[:40] != 1.0).all() and (together[40:] == 1.0).all()


def test_jitter_adds_nothing_to_errors_that_are_too_large() -> None:
    flux = np.random.default_rng(5).standard_normal(1000)
    noise = epoch_noise(flux, np.full(1000, 3.0), np.ones(1000, bool), np.array([0, 1000]), "jitter")
    np.testing.assert_array_equal(noise, 3.0)


def test_false_alarm_probabilities() -> None:
    p = stats.norm.sf(4.0)
    assert false_alarm_probability(np.array(4.0), 1, two_sided=False) == pytest.approx(p)
    assert false_alarm_probability(np.array(-4.0), 1000) == pytest.approx(1 - (1 - 2 * p) ** 1000)
    assert false_alarm_probability(np.array(0.0), 10**6) == 1.0
    assert np.isnan(false_alarm_probability(np.array(np.nan), 10))


def test_models_are_named() -> None:
    for model in NOISE_MODELS:
        check_noise_model(model, "finder.noise")
    with pytest.raises(ConfigError, match=r"finder\.noise is 'guess'"):
        check_noise_model("guess", "finder.noise")

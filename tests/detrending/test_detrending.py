"""Trends against wotan's, against plain loops, and against what they must not touch."""

import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from retriever.detrending.biweight import Biweight
from retriever.detrending.harmonic import Harmonic
from retriever.detrending.running_median import RunningMedian
from retriever.detrending.savitzky_golay import SavitzkyGolay
from retriever.detrending.spline import Spline
from retriever.detrending.trend import Detrender, pieces_between_gaps
from retriever.detrending.with_wotan import Wotan
from retriever.errors import ConfigError
from retriever.lightcurve import Lightcurve
from tests.helpers import flat_lightcurve

ALL: list[Detrender] = [
    RunningMedian(window=0.6), Biweight(window=0.8), SavitzkyGolay(window=0.8), Spline(knots=0.5),
    Harmonic(harmonics=4, longest=6.0),
]  # fmt: skip


def star(n: int = 4000, noise: float = 0.3, amplitude: float = 5.0, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Eleven days of a star that rotates in 4.3 days; times in days and fluxes around 1000."""
    rng = np.random.default_rng(seed)
    time = np.linspace(0.0, 11.0, n)
    trend = 1000.0 + amplitude * np.sin(2 * np.pi * time / 4.3) + 0.3 * amplitude * np.sin(4 * np.pi * time / 4.3 + 1)
    return time, trend + noise * rng.standard_normal(n)


def curve(time: np.ndarray, flux: np.ndarray, **others: Any) -> Lightcurve:
    n = time.size
    return flat_lightcurve(n, time=time, flux=flux, flux_err=np.full(n, 0.3), **others)


@pytest.mark.parametrize("detrender", ALL, ids=lambda detrender: type(detrender).__name__)
def test_a_rotation_is_removed_and_a_flare_and_a_dip_are_kept(detrender: Detrender) -> None:
    time, flux = star()
    quiet = detrender.detrend(curve(time, flux))
    inner = (time > 0.5) & (time < 10.5)
    assert np.std(quiet.flux[inner]) < 0.4 < np.std(flux) / 8
    flare = 30.0 * np.exp(-np.maximum(time - 3.1, 0) / 0.03) * (time >= 3.1)
    dip = -10.0 * (np.abs(time - 7.2) < 0.06)
    loud = detrender.detrend(curve(time, flux + flare + dip))
    for event in (flare, dip):
        inside = np.abs(event) > 5
        kept = (loud.flux - quiet.flux)[inside].sum() / event[inside].sum()
        assert kept == pytest.approx(1.0, abs=0.08)


@pytest.fixture(scope="module")
def wotan() -> Iterator[ModuleType]:
    """wotan as plain Python: to compile it takes a hundred times longer than what it does here."""
    numba = pytest.importorskip("numba", reason="wotan is not installed (pip install 'retriever[wotan]')")
    before, numba.config.DISABLE_JIT = numba.config.DISABLE_JIT, True
    forget_wotan()
    yield pytest.importorskip("wotan", reason="wotan is not installed (pip install 'retriever[wotan]')")
    numba.config.DISABLE_JIT = before
    forget_wotan()


def forget_wotan() -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "wotan"]:
        del sys.modules[name]


@pytest.mark.parametrize(
    ("ours", "method", "options"),
    [
        (Biweight(window=0.5, mask=0.0), "biweight", {"cval": 5.0}),
        (RunningMedian(window=0.5, mask=0.0, passes=1), "median", {}),
    ],
)
def test_trends_are_wotans_to_a_tenth_of_the_noise(
    wotan: ModuleType, ours: Detrender, method: str, options: dict[str, float]
) -> None:
    time, flux = star(amplitude=1.0)
    gap = (time > 5.0) & (time < 5.8)
    time, flux = time[~gap], flux[~gap]
    _, theirs = wotan.flatten(
        time, flux, method=method, window_length=0.5, break_tolerance=0.5, return_trend=True, **options
    )
    mine = ours.trend(curve(time, flux))
    # at edges theirs has NaN, or a window of another length
    inner = np.isfinite(theirs) & (np.abs(time - 5.4) > 0.7) & (time > 0.3) & (time < 10.7)
    assert inner.sum() > 3000
    difference = np.abs(mine - theirs)[inner] / 0.3
    # a median jumps from epoch to epoch, which interpolation between nodes does not follow everywhere
    assert np.percentile(difference, 99 if method == "median" else 100) < 0.1
    assert difference.max() < 0.2


@pytest.mark.parametrize("method", ["biweight", "welsch", "rspline"])
def test_trends_of_wotan_are_taken_between_gaps(wotan: ModuleType, method: str) -> None:
    time, flux = star(1500, amplitude=1.0)
    gap = (time > 5.0) & (time < 5.8)
    time, flux = time[~gap], flux[~gap]
    ours = Wotan(method=method, window=0.8, mask=0.0).trend(curve(time, flux))
    for piece in (time < 5.4, time > 5.4):
        level = np.median(flux[piece])
        _, theirs = wotan.flatten(
            time[piece], flux[piece] / level, method=method, window_length=0.8, break_tolerance=0,
            return_trend=True,
        )  # fmt: skip
        known = np.isfinite(theirs)
        assert known.mean() > 0.9
        np.testing.assert_allclose(ours[piece][known], theirs[known] * level, rtol=1e-9)
    # difference photometry, around zero
    around_zero = Wotan(method=method, window=0.8).detrend(curve(time, flux - 1000.0))
    assert np.std(around_zero.flux) < 0.45


def test_methods_that_wotan_lacks_are_refused() -> None:
    pytest.importorskip("wotan", reason="wotan is not installed (pip install 'retriever[wotan]')")
    with pytest.raises(ConfigError, match="one of andrewsinewave, biweight"):
        Wotan(method="gp")
    with pytest.raises(ConfigError, match="above zero"):
        Wotan(window=0.0)


def test_a_savitzky_golay_trend_is_scipys_on_even_sampling() -> None:
    from scipy.signal import savgol_filter

    time, flux = star(1101)  # every hundredth of a day
    ours = SavitzkyGolay(window=0.2999, degree=2, mask=0.0).trend(curve(time, flux))
    theirs = savgol_filter(flux, 29, 2)
    assert np.abs(ours - theirs)[30:-30].max() < 0.1 * 0.3


@pytest.mark.parametrize("passes", [1, 2])
def test_medians_on_uneven_sampling_are_those_of_a_plain_loop(passes: int) -> None:
    rng = np.random.default_rng(3)
    time = np.sort(rng.uniform(0, 30, 80))
    flux = rng.standard_normal(80) + 50
    use = rng.random(80) > 0.1

    def medians(values: np.ndarray) -> np.ndarray:
        # nodes are the epochs here, since there are fewer of these than tenths of a window
        return np.array([np.median(values[use & (np.abs(time - at) <= 1.5)]) if (use & (np.abs(time - at) <= 1.5)).any()
                         else np.nan for at in time])  # fmt: skip

    expected = medians(flux)
    if passes == 2:
        expected = expected + medians(flux - expected)
    known = np.isfinite(expected)
    ours = RunningMedian(window=3.0, passes=passes, mask=0.0, gap=0.0)
    trend = ours.trend_of_piece(time, flux, use)
    if known.all():
        np.testing.assert_allclose(trend, expected)
    else:
        np.testing.assert_allclose(trend[known], expected[known], atol=1.0)


@pytest.mark.parametrize("detrender", [RunningMedian(window=0.5), Biweight(window=0.7), SavitzkyGolay(window=0.4)],
                         ids=lambda detrender: type(detrender).__name__)  # fmt: skip
def test_a_trend_that_is_fitted_again_is_that_of_a_new_fit(detrender: Detrender) -> None:
    rng = np.random.default_rng(9)
    time, flux = star(1101)
    fit = detrender.fitter(time, flux)
    for share in (0.0, 0.02, 0.3, 0.02):
        use = rng.random(time.size) >= share
        use[400:480] = share != 0.3
        np.testing.assert_array_equal(fit(use), detrender.trend_of_piece(time, flux, use))


def test_gaps_are_not_bridged() -> None:
    time, flux = star(amplitude=0.0)
    flux = flux + np.where(time > 5.5, 50.0, 0.0)
    kept = (time < 5.2) | (time > 5.9)
    flat = RunningMedian(window=0.6).detrend(curve(time[kept], flux[kept]))
    assert np.std(flat.flux) < 0.35


def test_dividing_keeps_relative_depths_and_subtracting_absolute_ones() -> None:
    time = np.linspace(0, 10, 2000)
    trend = 1000.0 + 80.0 * time
    dip = np.abs(time - 8.0) < 0.05
    lc = curve(time, np.where(dip, 0.9, 1.0) * trend + 0.3 * np.random.default_rng(2).standard_normal(2000))
    level = np.median(lc.flux)
    divided, subtracted = (SavitzkyGolay(remove=how).detrend(lc) for how in ("divide", "subtract"))
    np.testing.assert_allclose(divided.flux[dip] / level, 0.9, rtol=2e-3)
    np.testing.assert_allclose(subtracted.flux[dip] - level, -0.1 * trend[dip], rtol=2e-2)
    np.testing.assert_allclose(divided.flux_err, 0.3 * level / trend, rtol=1e-3)
    np.testing.assert_array_equal(subtracted.flux_err, 0.3)
    negative = curve(time, lc.flux - 1200.0)
    np.testing.assert_allclose(
        SavitzkyGolay().detrend(negative).flux, SavitzkyGolay(remove="subtract").detrend(negative).flux
    )


def test_edges_are_marked() -> None:
    time, flux = star(1101)
    marked = RunningMedian(edge=0.2).detrend(curve(time, flux)).qflag
    np.testing.assert_array_equal(marked, (time < 0.2) | (time > 10.8))
    assert not RunningMedian().detrend(curve(time, flux)).qflag.any()


def test_bad_epochs_do_not_bend_a_trend() -> None:
    time, flux = star(amplitude=0.0)
    bad = (time > 4.0) & (time < 4.2)
    for detrender in ALL:
        trend = detrender.trend(curve(time, np.where(bad, 5000.0, flux), qflag=bad))
        assert np.abs(trend - 1000.0).max() < 1.5, type(detrender).__name__


@pytest.mark.parametrize("detrender", ALL, ids=lambda detrender: type(detrender).__name__)
def test_light_curves_that_offer_nothing_come_back(detrender: Detrender) -> None:
    few = curve(np.array([1.0, 2.0]), np.array([5.0, 7.0]))
    assert (
        detrender.detrend(few).flux.tolist() == [6.0 - 1 + (d - 6.0) + 1 for d in (5.0, 7.0)]
        or np.isfinite(detrender.detrend(few).flux).all()
    )
    nothing = curve(np.arange(6.0), np.full(6, np.nan), mag=np.full(6, np.nan))
    assert np.isnan(detrender.detrend(nothing).flux).all()
    constant = curve(np.arange(0.0, 2.0, 0.05), np.full(40, 9.0))
    np.testing.assert_allclose(detrender.detrend(constant).flux, 9.0)
    at_once = curve(np.full(9, 3.0), np.arange(9.0) + 100)
    assert np.isfinite(detrender.detrend(at_once).flux).all()


def test_pieces() -> None:
    time = np.array([0.0, 1.0, 5.0, 6.0])
    usable = np.array([True, True, True, True])
    assert [(p.start, p.stop) for p in pieces_between_gaps(time, usable, 0.0)] == [(0, 4)]
    assert [(p.start, p.stop) for p in pieces_between_gaps(time, usable, 2.0)] == [(0, 2), (2, 4)]


def test_the_period_of_a_rotation_is_found() -> None:
    time, flux = star()
    assert Harmonic(longest=6.0)._period(time, flux) == pytest.approx(4.3, rel=2e-3)


def test_parameters_that_make_no_sense_are_refused() -> None:
    for wrong in (
        lambda: RunningMedian(remove="add"), lambda: RunningMedian(gap=-1.0), lambda: RunningMedian(passes=3),
        lambda: Biweight(window=0.0), lambda: SavitzkyGolay(degree=9), lambda: Spline(knots=0.0),
        lambda: Harmonic(harmonics=0),
    ):  # fmt: skip
        with pytest.raises(ConfigError, match="detrend"):
            wrong()

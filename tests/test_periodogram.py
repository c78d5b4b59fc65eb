"""Periodograms against least squares by numpy, and their false alarms against noise."""

import numpy as np
import pytest

from retriever.periodogram import Series, highest_peak, log_false_alarm_probability


def bands(seed: int, heights: list[float], period: float = 1.7, sizes: tuple[int, ...] = (40, 60, 30)) -> list[Series]:
    rng = np.random.default_rng(seed)
    series = []
    for k, height in enumerate(heights):
        time = np.sort(rng.uniform(58000.0, 58100.0, sizes[k]))
        noise = rng.uniform(0.5, 2.0, time.size)
        flux = 100.0 * (k + 1) + height * np.sin(2 * np.pi * time / period + k) + noise * rng.standard_normal(time.size)
        series.append(Series(time=time, flux=flux, noise=noise))
    return series


def least_squares_power(curves: list[Series], frequency: float) -> float:
    """Share of the chi-square that a sinusoid in each light curve explains."""
    without = with_it = 0.0
    for curve in curves:
        phase = 2 * np.pi * frequency * (curve.time - curve.time[0])
        design = np.column_stack([np.ones_like(phase), np.sin(phase), np.cos(phase)]) / curve.noise[:, None]
        y = curve.flux / curve.noise
        for columns in (1, 3):
            solution = np.linalg.lstsq(design[:, :columns], y, rcond=None)[0]
            chi2 = np.sum((y - design[:, :columns] @ solution) ** 2)
            without, with_it = (without + chi2, with_it) if columns == 1 else (without, with_it + chi2)
    return 1.0 - with_it / without


@pytest.mark.parametrize("heights", [[3.0], [1.5, 1.0, 2.0]])
def test_the_power_is_that_of_least_squares_at_its_highest(heights: list[float]) -> None:
    curves = bands(1, heights)
    peak = highest_peak(curves, shortest=0.5)
    assert peak is not None
    assert 1.0 / peak.frequency == pytest.approx(1.7, rel=3e-3)
    assert peak.power == pytest.approx(least_squares_power(curves, peak.frequency), rel=1e-6)
    grid = np.arange(0.01, 2.0, 0.002)
    assert max(least_squares_power(curves, frequency) for frequency in grid.tolist()) < peak.power * 1.01


def test_bands_that_are_too_faint_alone_are_found_together() -> None:
    curves = bands(5, [0.9, 0.9, 0.9], sizes=(60, 60, 60))
    alone = [highest_peak([curve], shortest=0.5) for curve in curves]
    together = highest_peak(curves, shortest=0.5)
    assert together is not None and together.log_fap < min(peak.log_fap for peak in alone if peak) - 1.0
    assert 1.0 / together.frequency == pytest.approx(1.7, rel=3e-3)


@pytest.mark.parametrize("n_bands", [1, 3])
def test_false_alarms_are_as_rare_as_they_say(n_bands: int) -> None:
    peaks = [highest_peak(bands(seed, [0.0] * n_bands), shortest=0.5) for seed in range(200)]
    fap = np.exp([peak.log_fap for peak in peaks if peak])
    # an upper limit, and close to it where it is small: 0.2 gives 40 of 200, whose Poisson scatter is 6
    assert 18 <= np.count_nonzero(fap < 0.2) <= 58
    assert np.count_nonzero(fap < 0.02) <= 12


def test_the_probability_falls_with_power_and_rises_with_the_range() -> None:
    curves = bands(1, [0.0, 0.0])
    powers = [log_false_alarm_probability(power, curves, 2.0) for power in (0.2, 0.4, 0.8, 1.0 - 1e-12)]
    assert powers == sorted(powers, reverse=True) and powers[-1] < -500
    assert log_false_alarm_probability(0.4, curves, 4.0) > log_false_alarm_probability(0.4, curves, 2.0)


@pytest.mark.parametrize("longest", [0.0, 5.0, 20.0])
@pytest.mark.parametrize("oversampling", [1.0, 5.0])
def test_periods_of_a_trend_stay_within_their_limits(longest: float, oversampling: float) -> None:
    for seed in range(5):
        rng = np.random.default_rng(seed)
        time = np.sort(rng.uniform(0.0, 1.0, 200))
        slope = Series(time=time, flux=100.0 + 8.0 * time + rng.standard_normal(200), noise=np.ones(200))
        peak = highest_peak([slope], shortest=0.1, longest=longest, oversampling=oversampling)
        assert peak is not None and 0.1 * (1 - 1e-9) <= 1.0 / peak.frequency <= (longest or 1.0) * (1 + 1e-9)


def test_a_light_curve_that_does_not_vary_changes_nothing() -> None:
    (curve,) = bands(3, [2.0], sizes=(60,))
    constant = Series(time=curve.time, flux=np.full(60, 7.0), noise=np.ones(60))
    assert highest_peak([curve, constant], shortest=0.1) == highest_peak([curve], shortest=0.1)
    assert highest_peak([constant], shortest=0.1) is None


def test_what_cannot_be_searched_has_no_peak() -> None:
    (curve,) = bands(1, [0.0])
    few = Series(time=curve.time[:9], flux=curve.flux[:9], noise=curve.noise[:9])
    constant = Series(time=curve.time, flux=np.full(curve.time.size, 5.0), noise=curve.noise)
    assert highest_peak([], shortest=0.5) is None
    assert highest_peak([few, few], shortest=0.5) is None
    assert highest_peak([constant], shortest=0.5) is None
    assert highest_peak([curve], shortest=200.0) is None
    assert highest_peak([curve, few], shortest=0.5) == highest_peak([curve], shortest=0.5)

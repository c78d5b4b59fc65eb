"""Matched filters against plain sums over templates, and against the events that were put in."""

import numpy as np
import pytest
from scipy.stats import norm

from retriever.errors import ConfigError
from retriever.finders.matched_filter import MatchedFilter, template_widths
from retriever.profiles import PROFILES
from tests.helpers import flat_lightcurve

SHAPES = sorted(PROFILES)


def even(n: int = 600, gap: bool = True) -> np.ndarray:
    time = np.arange(n) * 0.02
    return time[(time < 4.0) | (time > 4.7)] if gap else time


def uneven(n: int = 300) -> np.ndarray:
    return np.sort(np.random.default_rng(3).uniform(0, 40, n))


def plain_snr(time: np.ndarray, flux: np.ndarray, error: np.ndarray, at: float, shape: str, width: float) -> float:
    """Least squares for one template at one time, by the textbook: A / σ(A)."""
    profile, begin, end = PROFILES[shape]
    height = profile(time - at, np.array(width))
    height[(time - at < begin * width - 1e-9) | (time - at > end * width + 1e-9)] = 0.0
    deviation = flux - np.median(flux)
    covariance = 1.0 / np.sum((height / error) ** 2)
    return float(covariance * np.sum(height * deviation / error**2) / np.sqrt(covariance))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("time", [even(), uneven()], ids=["even", "uneven"])
def test_scores_are_those_of_plain_sums(shape: str, time: np.ndarray) -> None:
    rng = np.random.default_rng(5)
    error = rng.uniform(0.5, 2.0, time.size)
    flux = 100.0 + error * rng.standard_normal(time.size)
    lc = flat_lightcurve(time.size, time=time, flux=flux, flux_err=error)
    # templates are centered on epochs where a template is narrower than five steps, elsewhere near them
    width = 0.061 if np.ptp(np.diff(time)) < 1 and time.size > 300 else 0.5 * float(np.min(np.diff(time)))
    finder = MatchedFilter(shape=shape, shortest=width, longest=width, noise="errors", correlated=False)
    scores, _ = finder.find(lc)
    expected = [plain_snr(time, flux, error, at, shape, width) for at in time]
    np.testing.assert_allclose(scores["snr"], expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(
    "time", [even(), np.sort(np.random.default_rng(3).uniform(0, 12, 600))], ids=["even", "uneven"]
)
def test_time_width_and_amplitude_are_without_bias(shape: str, sign: int, time: np.ndarray) -> None:
    found = []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        at, width = 8.0 + rng.uniform(-0.5, 0.5), 0.2
        flux = 100.0 + sign * 8.0 * PROFILES[shape][0](time - at, np.array(width)) + rng.standard_normal(time.size)
        lc = flat_lightcurve(time.size, time=time, flux=flux, flux_err=np.ones(time.size))
        _, events = MatchedFilter(shape=shape, shortest=0.05, longest=0.8).find(lc)
        (event,) = (event for event in events if abs(event.time_peak - at) < 0.6)
        assert np.sign(event.snr) == sign and event.fap < 1e-6
        found.append((event.time_peak - at, event.width / width, event.amplitude * sign / 8.0, event.chi2))
    time_off, width_ratio, amplitude_ratio, chi2 = np.array(found).T
    assert np.mean(chi2) == pytest.approx(1.0, abs=0.25)
    assert abs(np.mean(time_off)) < 0.04
    assert np.mean(width_ratio) == pytest.approx(1.0, abs=0.15)
    assert np.mean(amplitude_ratio) == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize("shape", SHAPES)
def test_no_width_between_two_templates_loses_more_than_the_overlap_allows(shape: str) -> None:
    widths = np.array(template_widths(shape, 1.0, 30.0, 0.95))
    profile, begin, end = PROFILES[shape]
    time = np.linspace(60.0 * begin, 60.0 * end, 60_001)
    for event in np.geomspace(1.0, 30.0, 11):
        own = profile(time, np.array(event))
        overlaps = []
        for width in widths:
            template = profile(time, np.array(width))
            overlaps.append(own @ template / np.sqrt((own @ own) * (template @ template)))
        assert max(overlaps) > 0.949
    assert widths[0] == 1.0 and widths[-1] == pytest.approx(30.0)


def test_noise_has_as_many_false_alarms_as_predicted() -> None:
    time, found = even(1000, gap=False), 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        lc = flat_lightcurve(
            time.size, time=time, flux=100 + rng.standard_normal(time.size), flux_err=np.ones(time.size)
        )
        _, events = MatchedFilter(shortest=0.05, longest=0.2, snr_threshold=3.5, max_events=1).find(lc)
        found += len(events)
    # templates overlap, so that their number is an upper limit of the independent trials
    n_trials = 1000 * len(template_widths("gaussian", 0.05, 0.2, 0.95))
    upper = 60 * -np.expm1(n_trials * np.log1p(-2 * norm.sf(3.5)))
    lower = 60 * -np.expm1(1000 * 0.02 / 0.2 * np.log1p(-2 * norm.sf(3.5)))
    assert lower - 3 * np.sqrt(lower) < found < upper + 3 * np.sqrt(upper)


def test_correlated_noise_does_not_count_as_signal() -> None:
    rng, time = np.random.default_rng(1), even(3000, gap=False)
    slow = np.convolve(rng.standard_normal(time.size + 49), np.ones(50) / np.sqrt(50), "valid")
    lc = flat_lightcurve(time.size, time=time, flux=100 + slow, flux_err=np.ones(time.size))
    assert MatchedFilter(shortest=0.2, longest=2.0, correlated=False).find(lc)[1]
    assert not MatchedFilter(shortest=0.2, longest=2.0).find(lc)[1]


def test_a_dip_is_described_by_itself_and_not_by_a_brightening_beside_it() -> None:
    time = even(gap=False)
    flux = 100.0 + 0.5 * np.random.default_rng(6).standard_normal(time.size)
    flux[np.abs(time - 5.0) < 0.2] -= 4.0
    flux[np.abs(time - 5.5) < 0.2] += 40.0
    finder = MatchedFilter(shape="box", shortest=0.1, longest=1.0, direction="dip", correlated=False)
    events = finder.find(flat_lightcurve(time.size, time=time, flux=flux, flux_err=np.full(time.size, 0.5)))[1]
    strongest = min(events, key=lambda event: event.snr)
    assert all(event.amplitude < 0 for event in events if abs(event.snr) > 6)
    assert strongest.amplitude < 0 and abs(strongest.time_peak - 5.0) < 0.15


def test_two_events_are_two_and_a_direction_leaves_out_the_other() -> None:
    time, rng = even(gap=False), np.random.default_rng(2)
    profile = PROFILES["box"][0]
    flux = 100 + 8 * profile(time - 3.0, np.array(0.3)) - 8 * profile(time - 9.0, np.array(0.6))
    lc = flat_lightcurve(time.size, time=time, flux=flux + rng.standard_normal(time.size), flux_err=np.ones(time.size))
    found = {
        word: MatchedFilter(shape="box", shortest=0.1, longest=1.0, direction=word).find(lc)[1]
        for word in ("both", "brightening", "dip")
    }
    assert [round(event.time_peak) for event in found["both"]] == [3, 9]
    assert [round(event.time_peak) for event in found["brightening"]] == [3]
    assert [round(event.time_peak) for event in found["dip"]] == [9]
    assert found["both"][0].time_first < found["both"][0].time_peak < found["both"][0].time_last


@pytest.mark.parametrize(
    "wrong", [{"shape": "cone"}, {"shortest": 0.0}, {"shortest": 3.0, "longest": 2.0}, {"overlap": 1.0}, {"noise": "x"}]
)
def test_wrong_parameters_are_refused(wrong: dict) -> None:
    with pytest.raises(ConfigError, match="finder"):
        MatchedFilter(**wrong)

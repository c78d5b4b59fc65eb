"""Periods against those put in, and periodograms against astropy's own."""

import numpy as np
import pytest
from astropy.timeseries import LombScargle
from scipy.stats import norm

from retriever.errors import ConfigError
from retriever.finders.bls import BLSFinder, period_grid
from retriever.finders.composite import CompositeFinder
from retriever.finders.lomb_scargle import LombScargleFinder
from retriever.finders.peak import PeakFinder
from retriever.lightcurve import Lightcurve
from retriever.lightcurves import LightcurveSet
from retriever.periodogram import Series, log_false_alarm_probability
from tests.helpers import flat_lightcurve


def sector(depth: float, period: float, duration: float, seed: int, **others: float) -> Lightcurve:
    """A sector of half-hour images with a gap, and with transits."""
    rng = np.random.default_rng(seed)
    time = np.arange(0.0, 27.0, 1 / 48)
    time = time[(time < 13.0) | (time > 14.0)]
    phase = (time - 1.3 + period / 2) % period - period / 2
    flux = 1000.0 - depth * (np.abs(phase) < duration / 2) + rng.standard_normal(time.size)
    if others:
        half = (time - 1.3) % period - period / 2
        flux -= others["secondary"] * (np.abs(half) < duration / 2)
    return flat_lightcurve(time.size, time=58000 + time, flux=flux, flux_err=np.ones(time.size))


@pytest.mark.parametrize(("period", "duration", "depth"), [(1.1, 0.1, 3.0), (3.7, 0.15, 4.0), (9.3, 0.25, 5.0)])
def test_transits_are_found(period: float, duration: float, depth: float) -> None:
    depths, widths = [], []
    for seed in range(6):
        _, (event,) = BLSFinder().find(sector(depth, period, duration, seed))
        assert event.period == pytest.approx(period, rel=2e-3)
        phase = (event.time_peak - 58001.3 + period / 2) % period - period / 2
        assert abs(phase) < duration
        assert event.snr < -7 and event.sde > 6 and event.odd_even < 4 and event.fap < 1e-4
        depths.append(-event.amplitude)
        widths.append(event.width)
    assert np.mean(depths) == pytest.approx(depth, rel=0.12)
    assert np.mean(widths) == pytest.approx(duration, rel=0.2)


def test_noise_brightenings_and_single_dips_are_no_planets() -> None:
    for seed in range(6):
        assert BLSFinder().find(sector(0.0, 3.0, 0.1, seed))[1] == ()
    assert BLSFinder().find(sector(-20.0, 3.0, 0.1, 1))[1] == ()
    assert BLSFinder().find(sector(20.0, 40.0, 0.1, 1))[1] == ()


def test_an_eclipsing_binary_shows_its_secondary() -> None:
    _, (event,) = BLSFinder().find(sector(20.0, 2.9, 0.15, 1, secondary=8.0))
    assert event.period == pytest.approx(2.9, rel=2e-3)
    assert event.secondary > 10
    _, (event,) = BLSFinder().find(sector(20.0, 2.9, 0.15, 1))
    assert abs(event.secondary) < 4


def test_periods_are_as_dense_as_a_transit_needs() -> None:
    # from one period of the grid to the next a transit shifts over the span by a third of its duration at most
    span, oversampling = 27.0, 3.0
    grid = period_grid(span, 0.5, 13.5, 1.0, oversampling)
    assert (grid[0], grid[-1]) == pytest.approx((13.5, 0.5))
    shift = np.abs(np.diff(1 / grid)) * span * grid[1:]
    radius_over_orbit = 1 / 4.2065 * grid[1:] ** (-2 / 3)  # Kepler's third law for the Sun: a = 4.2065 R at 1 d
    duration = grid[1:] * radius_over_orbit / np.pi
    assert (shift / duration).max() == pytest.approx(1 / oversampling, rel=0.05)


@pytest.mark.parametrize("period", [0.21, 0.62, 7.7])
def test_a_sinusoid_is_found(period: float) -> None:
    rng = np.random.default_rng(1)
    time = np.sort(rng.uniform(58000.0, 58200.0, 300))
    flux = 500.0 + 2.0 * np.sin(2 * np.pi * time / period) + rng.standard_normal(300)
    lc = flat_lightcurve(300, time=time, flux=flux)
    _, (event,) = LombScargleFinder(noise="errors").find(lc)
    assert event.period == pytest.approx(period, rel=1e-3)
    assert event.amplitude == pytest.approx(2.0, abs=0.3)
    assert event.chi2 == pytest.approx(1.0, abs=0.3)
    assert np.sin(2 * np.pi * event.time_peak / period) > 0.9


def test_the_false_alarm_probability_is_astropys() -> None:
    rng = np.random.default_rng(2)
    time = np.sort(rng.uniform(0.0, 100.0, 80))
    noise = rng.uniform(0.5, 2.0, 80)
    flux = rng.standard_normal(80) * noise
    model = LombScargle(time, flux, noise)
    for power in (0.1, 0.2, 0.4):
        theirs = float(model.false_alarm_probability(power, method="baluev", maximum_frequency=5.0))
        ours = log_false_alarm_probability(power, [Series(time=time, flux=flux, noise=noise)], 5.0)
        assert np.exp(ours) == pytest.approx(theirs, rel=0.03, abs=1e-12)


def test_noise_has_as_few_periods_as_its_probability_says() -> None:
    rng = np.random.default_rng(3)
    time = np.sort(rng.uniform(0, 50, 100))
    lightcurves = [(flat_lightcurve(100, time=time, flux=100 + rng.standard_normal(100)),) for _ in range(150)]
    (batch,) = LightcurveSet.of(lightcurves).batches
    found = LombScargleFinder(fap_threshold=0.1, shortest=0.5).find_many(batch)[1]["member"].size
    assert found <= 25  # Baluev's probability is an upper limit; a Poisson number of 15 is above 25 in 1 % of cases


def test_what_is_more_probable_than_not_has_no_signal_to_noise() -> None:
    fap, snr = [], []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        lc = flat_lightcurve(60, time=np.sort(rng.uniform(0, 50, 60)), flux=100 + rng.standard_normal(60))
        _, (event,) = LombScargleFinder(fap_threshold=1.0).find(lc)
        fap.append(event.fap)
        snr.append(event.snr)
    likely = np.array(fap) > 0.5
    assert likely.any() and not likely.all()
    assert np.all(np.array(snr)[likely] == 0.0)
    np.testing.assert_allclose(np.array(snr)[~likely], norm.isf(np.array(fap)[~likely]), rtol=1e-6)


def test_transit_least_squares_finds_what_box_least_squares_finds() -> None:
    pytest.importorskip("transitleastsquares", reason="needs the extra 'tls'")
    from retriever.finders.transit_least_squares import TransitLeastSquaresFinder

    with pytest.raises(ConfigError, match="stellar_radius"):
        TransitLeastSquaresFinder(stellar_radius=0.0)
    finder, dip = TransitLeastSquaresFinder(), sector(4.0, 3.7, 0.15, 1)
    _, (event,) = finder.find(dip)
    _, (by_box,) = BLSFinder().find(dip)
    assert event.period == pytest.approx(3.7, rel=2e-3)
    assert event.width == pytest.approx(0.15, rel=0.25) and event.sde > 10 and event.odd_even < 4
    assert event.snr == pytest.approx(by_box.snr, rel=0.2)
    assert event.amplitude == pytest.approx(-4.0, rel=0.25)
    # difference photometry, whose median is zero
    _, (same,) = finder.find(dip.replace(flux=dip.flux - 1000.0))
    assert (same.period, same.snr) == pytest.approx((event.period, event.snr), rel=1e-6)
    assert finder.find(sector(0.0, 3.0, 0.1, 1))[1] == ()
    assert finder.find(flat_lightcurve(9))[1] == ()
    assert finder.find(flat_lightcurve(50, flux=np.full(50, 5.0)))[1] == ()


def test_transit_least_squares_finds_nothing_where_no_transit_has_an_epoch() -> None:
    pytest.importorskip("transitleastsquares", reason="needs pip install 'retriever[tls]'")
    from retriever.finders.transit_least_squares import TransitLeastSquaresFinder

    rng = np.random.default_rng(2)
    sparse = np.sort(rng.uniform(0.0, 200.0, 60))
    for time, finder in (
        (sparse, TransitLeastSquaresFinder()),
        (np.linspace(0.0, 1.1, 60), TransitLeastSquaresFinder()),
        (np.full(60, 3.0), TransitLeastSquaresFinder(longest=5.0)),
    ):
        flux = 100.0 + rng.standard_normal(60)
        assert finder.find(flat_lightcurve(60, time=58000.0 + time, flux=flux))[1] == ()


def test_few_epochs_have_no_periods() -> None:
    for finder in (BLSFinder(), LombScargleFinder()):
        for n in (1, 5, 9):
            assert finder.find(flat_lightcurve(n))[1] == ()
        assert finder.find(flat_lightcurve(20, time=np.full(20, 5.0)))[1] == ()
        nothing = flat_lightcurve(20, flux=np.full(20, np.nan), mag=np.full(20, np.nan))
        assert finder.find(nothing)[1] == ()


def test_a_composite_joins_what_its_finders_find() -> None:
    lc = sector(30.0, 3.7, 0.15, 1)
    parts = {"bls": BLSFinder(), "peak": PeakFinder(max_events=3)}
    scores, events = CompositeFinder(finders=parts).find(lc)
    assert {event.finder for event in events} == {"bls", "peak"}
    assert [event.peak for event in events] == sorted(event.peak for event in events)
    alone = {name: finder.find(lc) for name, finder in parts.items()}
    assert len(events) == sum(len(found) for _, found in alone.values())
    np.testing.assert_array_equal(scores["snr_peak"], alone["peak"][0]["snr"])


def test_parameters_that_make_no_sense_are_refused() -> None:
    for wrong in (
        lambda: BLSFinder(durations=()), lambda: BLSFinder(durations=(0.6,)), lambda: BLSFinder(transits=1),
        lambda: LombScargleFinder(fap_threshold=0.0), lambda: LombScargleFinder(shortest=0.0),
        lambda: CompositeFinder(finders={}),
        lambda: CompositeFinder(finders={"low": PeakFinder()}),
    ):  # fmt: skip
        with pytest.raises(ConfigError, match="finder"):
            wrong()

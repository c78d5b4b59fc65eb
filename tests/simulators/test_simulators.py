import numpy as np
import pytest

from retriever.errors import ConfigError
from retriever.identity import random_stream
from retriever.simulators.box import BoxSimulator, box_profile
from retriever.simulators.distribution import Distribution
from retriever.simulators.gaussian import GaussianSimulator, gaussian_profile
from tests.helpers import flat_lightcurve


def fixed(value: float) -> Distribution:
    return Distribution(kind="fixed", low=value)


@pytest.mark.parametrize(("profile", "area"), [(gaussian_profile, 1.0644670194312262), (box_profile, 1.0)])
def test_profiles_have_their_height_width_and_area(profile: object, area: float) -> None:
    time = np.linspace(-10, 10, 200_001)
    height = profile(time, 2.0)
    assert height.max() == 1.0
    above = time[height >= 0.5 - 1e-9]
    assert above[-1] - above[0] == pytest.approx(2.0, abs=1e-3)
    assert height.sum() * 1e-4 == pytest.approx(2.0 * area, rel=1e-3)


@pytest.mark.parametrize("kind", [GaussianSimulator, BoxSimulator])
def test_what_is_added_is_the_truth(kind: type) -> None:
    lc = flat_lightcurve(200)
    simulator = kind(events=5.0, width=fixed(20.0), amplitude=fixed(8.0))
    result = simulator.inject((lc,), random_stream(1, "x"))
    (changed,) = result.lightcurves
    profile = gaussian_profile if kind is GaussianSimulator else box_profile
    expected = lc.flux + sum(
        truth.amplitude * profile(lc.time - truth.time_peak, truth.width) for truth in result.injections
    )
    np.testing.assert_allclose(changed.flux, expected, rtol=1e-12)
    np.testing.assert_allclose(changed.mag[changed.flux > 0], (23.9 - 2.5 * np.log10(changed.flux[changed.flux > 0])))
    assert [abs(truth.snr) for truth in result.injections] == pytest.approx([8.0] * len(result.injections))
    assert {np.sign(truth.amplitude) for truth in result.injections} == {-1.0, 1.0}
    np.testing.assert_array_equal(lc.flux, flat_lightcurve(200).flux)


def test_amplitude_in_magnitudes() -> None:
    lc = flat_lightcurve(200)
    for direction, dmag in (("brightening", -1.0), ("dip", 1.0)):
        simulator = BoxSimulator(events=3.0, amplitude=fixed(1.0), amplitude_in="mag", direction=direction)
        for truth in simulator.inject((lc,), random_stream(2, "x")).injections:
            assert truth.dmag == pytest.approx(dmag)
            assert np.sign(truth.amplitude) == -dmag


def test_numbers_are_poisson_and_places_follow_the_usable_epochs() -> None:
    bad = np.zeros(100, bool)
    bad[10:] = True
    short, long = flat_lightcurve(100, qflag=bad, number=1, of=2), flat_lightcurve(90, number=2, of=2)
    simulator = GaussianSimulator(events=2.0)
    counts, places = [], []
    for k in range(2000):
        truths = simulator.inject((short, long), random_stream(0, k)).injections
        counts.append(len(truths))
        places += [truth.lightcurve for truth in truths]
        assert all(58000 <= truth.time_peak <= 58009 for truth in truths if truth.lightcurve == 1)
    assert np.mean(counts) == pytest.approx(2.0, abs=0.1)
    assert np.var(counts) == pytest.approx(2.0, abs=0.2)
    assert np.mean(np.array(places) == 1) == pytest.approx(0.1, abs=0.02)


def test_the_same_stream_gives_the_same_and_nothing_usable_gives_nothing() -> None:
    lc = flat_lightcurve(50)
    one, other = (GaussianSimulator(events=3.0).inject((lc,), random_stream(5, "a")) for _ in range(2))
    assert repr(one.injections) == repr(other.injections)  # NaN differs from itself
    dead = flat_lightcurve(50, qflag=np.ones(50, bool))
    assert GaussianSimulator(events=9.0).inject((dead,), random_stream(5, "a")).injections == ()


def test_distributions() -> None:
    rng = random_stream(0, "d")
    uniform = [Distribution(low=2.0, high=4.0).draw(rng) for _ in range(2000)]
    loguniform = [Distribution(kind="loguniform", low=1.0, high=100.0).draw(rng) for _ in range(2000)]
    assert np.mean(uniform) == pytest.approx(3.0, abs=0.05)
    assert np.mean(np.log10(loguniform)) == pytest.approx(1.0, abs=0.05)
    for bad in ({"kind": "normal"}, {"low": 2.0, "high": 1.0}, {"kind": "loguniform", "low": 0.0}):
        with pytest.raises(ConfigError):
            Distribution(**bad)


@pytest.mark.parametrize("bad", [{"events": -1.0}, {"direction": "up"}, {"amplitude_in": "flux"}])
def test_parameters_that_make_no_sense_are_refused(bad: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="simulator"):
        BoxSimulator(**bad)

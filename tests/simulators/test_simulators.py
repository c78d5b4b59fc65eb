"""What is put into light curves: shapes, noise and exposures against formulas worked out by hand or by brute force."""

import numpy as np
import pytest

from retriever.errors import ConfigError
from retriever.identity import random_stream
from retriever.lightcurve import Lightcurve, TimeSystem
from retriever.profiles import box, gaussian
from retriever.simulators.box import BoxSimulator
from retriever.simulators.distribution import Distribution
from retriever.simulators.flare import FlareSimulator
from retriever.simulators.gaussian import GaussianSimulator
from retriever.simulators.injection import EventSimulator, Shape
from retriever.simulators.microlensing import MicrolensingSimulator
from retriever.simulators.occultation import OccultationSimulator
from retriever.simulators.sinusoid import SinusoidSimulator
from retriever.simulators.template import TemplateSimulator
from retriever.simulators.transit import TransitSimulator
from tests.helpers import flat_lightcurve


def fixed(value: float) -> Distribution:
    return Distribution(kind="fixed", low=value)


def shape(n: int, width: float, relative: float = 0.1, period: float = float("nan")) -> Shape:
    return Shape(width=np.full(n, width), relative=np.full(n, relative), period=np.full(n, period))


@pytest.mark.parametrize(("profile", "area"), [(gaussian, 1.0644670194312262), (box, 1.0)])
def test_profiles_have_their_height_width_and_area(profile: object, area: float) -> None:
    time = np.linspace(-10, 10, 200_001)
    height = profile(time, 2.0)
    assert height.max() == 1.0
    above = time[height >= 0.5 - 1e-9]
    assert above[-1] - above[0] == pytest.approx(2.0, abs=1e-3)
    assert height.sum() * 1e-4 == pytest.approx(2.0 * area, rel=1e-3)


SINGLE = [
    GaussianSimulator(), BoxSimulator(), FlareSimulator(), MicrolensingSimulator(), OccultationSimulator(),
    TemplateSimulator(), TransitSimulator(), TransitSimulator(limb_darkening=(0.3, 0.2)),
]  # fmt: skip


@pytest.mark.parametrize("simulator", SINGLE, ids=lambda simulator: type(simulator).__name__)
def test_every_shape_is_one_at_its_peak_and_half_at_its_width(simulator: EventSimulator) -> None:
    if getattr(simulator, "limb_darkening", ()):
        pytest.importorskip("batman", reason="batman is not installed (pip install 'retriever[batman]')")
    # Davenport's flare is 0.92 wide, and a planet's light at half depth depends on its size
    is_rough = isinstance(simulator, FlareSimulator) or bool(getattr(simulator, "limb_darkening", ()))
    time = np.linspace(-3.0, 3.0, 60_001)
    height = simulator.profile(time, shape(time.size, 2.0, period=10.0))
    assert height[30_000] == pytest.approx(1.0)
    assert height.min() >= 0.0 and height.max() == pytest.approx(1.0)
    above = time[height >= 0.5]
    assert above[-1] - above[0] == pytest.approx(2.0, rel=0.1 if is_rough else 0.02)


@pytest.mark.parametrize("simulator", SINGLE[:-1], ids=lambda simulator: type(simulator).__name__)
def test_exposures_average_a_shape(simulator: EventSimulator) -> None:
    time = np.linspace(-3.0, 3.0, 41)
    exposure = np.full(41, 0.7)
    mean = simulator.mean_profile(time, exposure, shape(41, 1.0, period=10.0))
    # brute force: ten thousand moments of each exposure
    moments = time[:, None] + (np.arange(10_000) / 10_000 + 0.5e-4 - 0.5) * 0.7
    brute = (
        simulator.profile(moments.ravel(), shape(moments.size, 1.0, period=10.0)).reshape(moments.shape).mean(axis=1)
    )
    np.testing.assert_allclose(mean, brute, atol=0.03 if isinstance(simulator, FlareSimulator) else 0.02)


def test_the_flare_is_davenports() -> None:
    simulator = FlareSimulator()
    at = np.array([-1.0, -0.5, 0.0, 0.5, 1.0, 10.0])
    heights = simulator.profile(at, shape(6, 1.0))
    # by hand from table 1 and equation 4 of the paper, the decay scaled to 1 at the peak
    rise = [1 + 1.941 * t - 0.175 * t**2 - 2.246 * t**3 - 1.125 * t**4 for t in (-1.0, -0.5)]
    decay = [(0.6890 * np.exp(-1.6 * t) + 0.3030 * np.exp(-0.2783 * t)) / 0.992 for t in (0.0, 0.5, 1.0, 10.0)]
    np.testing.assert_allclose(heights, [max(rise[0], 0.0), rise[1], *decay], atol=1e-12)


def test_a_lens_magnifies_as_paczynski_says() -> None:
    closest, einstein_time = 0.4, 12.0
    time = np.linspace(-40.0, 40.0, 801)
    u = np.hypot(closest, time / einstein_time)
    magnification = (u**2 + 2) / (u * np.sqrt(u**2 + 4))
    height = magnification.max() - 1
    width = np.ptp(time[magnification - 1 >= 0.5 * height])
    ours = MicrolensingSimulator().profile(time, shape(801, width, height))
    np.testing.assert_allclose(ours, (magnification - 1) / height, atol=1e-2)


def test_what_repeats_repeats() -> None:
    time = np.linspace(-50.0, 50.0, 10_001)
    for simulator in (TransitSimulator(), SinusoidSimulator()):
        heights = simulator.profile(time, shape(time.size, 0.5, period=7.0))
        later = simulator.profile(time + 21.0, shape(time.size, 0.5, period=7.0))
        np.testing.assert_allclose(heights, later, atol=1e-9)
    transits = TransitSimulator().profile(time, shape(time.size, 0.5, period=7.0))
    assert np.mean(transits[:700]) == pytest.approx(0.5 / 7.0, rel=0.03)


@pytest.mark.parametrize("kind", [GaussianSimulator, BoxSimulator])
def test_what_is_added_is_the_truth(kind: type) -> None:
    lc = flat_lightcurve(200)
    signs = set()
    for k in range(10):
        simulator = kind(width=fixed(20.0), amplitude=fixed(8.0), photon_share=0.0)
        result = simulator.inject((lc,), random_stream(1, k))
        (changed,), (truth,) = result.lightcurves, result.injections
        profile = gaussian if kind is GaussianSimulator else box
        middle = lc.time + 15.0 / 86400.0  # times are those of the start of exposures
        expected = lc.flux + truth.amplitude * profile(middle - truth.time_peak, truth.width)
        np.testing.assert_allclose(changed.flux, expected, rtol=1e-12)
        np.testing.assert_allclose(changed.mag, 23.9 - 2.5 * np.log10(changed.flux))
        assert abs(truth.snr) == pytest.approx(8.0)
        inside = np.abs(middle - truth.time_peak) <= 10.0
        assert truth.n_epochs == np.count_nonzero(inside)
        noise = truth.amplitude / truth.snr
        assert truth.total_snr == pytest.approx(np.sqrt((((changed.flux - lc.flux) / noise) ** 2).sum()))
        signs.add(np.sign(truth.amplitude))
    assert signs == {-1.0, 1.0}
    np.testing.assert_array_equal(lc.flux, flat_lightcurve(200).flux)


def test_amplitudes() -> None:
    lc = flat_lightcurve(200)
    for direction, dmag in (("brightening", -1.0), ("dip", 1.0)):
        simulator = BoxSimulator(amplitude=fixed(1.0), amplitude_in="mag", direction=direction)
        (truth,) = simulator.inject((lc,), random_stream(2, "x")).injections
        assert truth.dmag == pytest.approx(dmag)
        assert np.sign(truth.amplitude) == -dmag
    simulator = BoxSimulator(amplitude=fixed(0.3), amplitude_in="relative", direction="dip")
    (truth,) = simulator.inject((lc,), random_stream(2, "x")).injections
    assert truth.relative == pytest.approx(-0.3)
    assert truth.amplitude == pytest.approx(-0.3 * np.median(lc.flux))


def test_a_dip_takes_at_most_all_the_light() -> None:
    lc = flat_lightcurve(200, flux=np.full(200, 3.0) + np.tile([1.0, -1.0], 100))
    simulator = BoxSimulator(amplitude=fixed(50.0), direction="dip", width=fixed(30.0))
    result = simulator.inject((lc,), random_stream(2, "x"))
    (changed,), (truth,) = result.lightcurves, result.injections
    assert truth.relative == -1.0 and truth.amplitude == pytest.approx(-np.median(lc.flux))
    inside = np.abs(lc.time - truth.time_peak) < 14
    assert np.abs(changed.flux[inside].mean()) < 0.2


def test_more_light_has_more_noise_and_less_light_less() -> None:
    n = 20_000
    lc = flat_lightcurve(n, exptime=np.zeros(n), flux=100 + np.random.default_rng(3).standard_normal(n))
    for direction, growth in (("brightening", 1 + 0.5 * 3.0), ("dip", 1 - 0.5 * 0.9)):
        height = 3.0 if direction == "brightening" else 0.9
        simulator = BoxSimulator(
            amplitude=fixed(height),
            amplitude_in="relative",
            direction=direction,
            width=fixed(2.0 * n),
            photon_share=0.5,
        )
        (changed,) = simulator.inject((lc,), random_stream(2, "x")).lightcurves
        assert np.std(changed.flux) ** 2 == pytest.approx(growth, rel=0.05)
        np.testing.assert_allclose(changed.flux_err**2, growth, rtol=1e-2)


def test_electrons_count_their_own_photons() -> None:
    # 100 electrons a second for 25 s: 2500 electrons, so the photons' part of the variance is 100 / 25 = 4 of 16
    n = 20_000
    rng = np.random.default_rng(3)
    lc = flat_lightcurve(
        n, exptime=np.full(n, 25.0), flux=100 + 4 * rng.standard_normal(n), flux_err=np.full(n, 4.0), flux_unit="e-/s"
    )
    simulator = BoxSimulator(
        amplitude=fixed(2.0), amplitude_in="relative", direction="brightening", width=fixed(2.0 * n)
    )
    (changed,) = simulator.inject((lc,), random_stream(2, "x")).lightcurves
    np.testing.assert_allclose(changed.flux_err**2, 16 + 2.0 * 4.0, rtol=1e-2)


def test_short_events_are_diluted_by_long_exposures() -> None:
    # half an hour of exposure, an event of three minutes: a tenth of its height is left where it falls
    n = 400
    time = 58000 + np.arange(n) / 48
    lc = flat_lightcurve(
        n, time=time, exptime=np.full(n, 1800.0), flux=np.full(n, 1000.0),
        time_system=TimeSystem(scale="tdb", reference="barycenter", point="middle"),
    )  # fmt: skip
    simulator = BoxSimulator(width=fixed(3 / 1440), amplitude=fixed(0.5), amplitude_in="relative", direction="dip")
    for k in range(5):
        result = simulator.inject((lc,), random_stream(4, k))
        lost = (lc.flux - result.lightcurves[0].flux).sum()
        assert lost == pytest.approx(0.1 * 500.0, rel=0.02)


def test_difference_photometry_gets_the_same_flux_in_all_bands() -> None:
    rng = np.random.default_rng(1)
    red = flat_lightcurve(100, flux=rng.standard_normal(100) - 0.5, number=1, of=2, mag=np.full(100, np.nan))
    green = flat_lightcurve(100, band="g", flux=10 * (rng.standard_normal(100) - 0.5), number=2, of=2,
                            zero_point=26.4, mag=np.full(100, np.nan))  # fmt: skip
    simulator = BoxSimulator(amplitude=fixed(9.0), width=fixed(20.0), direction="brightening")
    result = simulator.inject((red, green), random_stream(2, "x"))
    (truth,) = result.injections
    assert np.isnan(truth.relative)
    added = [lc.flux - before.flux for lc, before in zip(result.lightcurves, (red, green), strict=True)]
    np.testing.assert_allclose(added[1], 10 * added[0], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("simulator", "width", "mean"),
    [
        (OccultationSimulator(), 3.0, 0.1), (TransitSimulator(), 6.0, 0.2), (BoxSimulator(), 1.0, 1 / 30),
        (GaussianSimulator(), 3.0, 0.1 * 1.0644670194312262),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_the_mean_over_an_exposure_does_not_depend_on_where_a_short_event_falls(
    simulator: EventSimulator, width: float, mean: float
) -> None:
    # in minutes, exposures of 30: the whole event lies in each of them
    time = np.linspace(-8.0, 8.0, 101) / 1440
    heights = simulator.mean_profile(time, np.full(101, 30 / 1440), shape(101, width / 1440, period=5.0))
    np.testing.assert_allclose(heights, mean, rtol=0.02)


def test_a_sinusoid_is_in_all_epochs_and_has_no_width() -> None:
    lc = flat_lightcurve(100)
    simulator = SinusoidSimulator(amplitude_in="relative", amplitude=fixed(0.1), period=fixed(6.0))
    for k in range(5):
        (truth,) = simulator.inject((lc,), random_stream(8, k)).injections
        assert np.isnan(truth.width) and 25 <= truth.n_epochs <= 45  # a third of the epochs are above half


def test_epochs_of_all_transits_count() -> None:
    time = 58000 + np.concatenate([np.arange(0, 10, 0.02), np.arange(14, 24, 0.02)])  # a gap in the middle
    lc = flat_lightcurve(time.size, time=time, exptime=np.zeros(time.size))
    simulator = TransitSimulator(amplitude_in="relative", amplitude=fixed(0.01), period=fixed(2.5), width=fixed(0.2))
    for k in range(10):
        (truth,) = simulator.inject((lc,), random_stream(9, k)).injections
        phase = (time - truth.time_peak) / 2.5
        inside = np.abs(phase - np.round(phase)) * 2.5 <= 0.1
        assert truth.n_epochs == np.count_nonzero(inside) > 50


@pytest.mark.parametrize("amplitude_in", ["relative", "mag"])
def test_heights_relative_to_the_flux_need_a_flux(amplitude_in: str) -> None:
    negative = flat_lightcurve(60, flux=np.random.default_rng(1).standard_normal(60) - 20.0, number=1, of=2)
    positive = flat_lightcurve(60, number=2, of=2)
    simulator = BoxSimulator(amplitude_in=amplitude_in, amplitude=fixed(0.5), direction="brightening")
    assert simulator.inject((negative,), random_stream(1, "a")).injections == ()
    for k in range(8):
        (truth,) = simulator.inject((negative, positive), random_stream(1, k)).injections
        assert truth.lightcurve == 2 and truth.amplitude > 0


@pytest.mark.parametrize(("amplitude_in", "height"), [("relative", 0.5), ("mag", 2.0)])
def test_with_a_span_colors_do_not_depend_on_the_light_curve_that_is_drawn(amplitude_in: str, height: float) -> None:
    simulator = BoxSimulator(
        span=(58020.0, 58080.0), amplitude_in=amplitude_in, amplitude=fixed(height), direction="brightening",
        colors={"g": 0.0, "i": 0.5}, width=fixed(8.0), photon_share=0.0,
    )  # fmt: skip
    expected = height if amplitude_in == "relative" else 10 ** (0.4 * height) - 1
    drawn = set()
    for seed in range(12):
        curves = [in_survey(band, 0.0, 0.5, k).replace(number=k + 1, of=3) for k, band in enumerate("gri")]
        made = simulator.inject(tuple(curves), random_stream(seed, "simulate", "", "X"))
        (truth,) = made.injections
        drawn.add(truth.lightcurve)
        change = {lc.band: float(np.max(lc.flux - curves[lc.number - 1].flux)) for lc in made.lightcurves}
        assert change.get("g", 0.0) == pytest.approx(0.0, abs=1e-9)
        assert change["r"] == pytest.approx(expected * 1000.0, rel=0.01)
        assert change["i"] == pytest.approx(0.5 * expected * 1000.0, rel=0.01)
    assert drawn == {1, 2, 3}


def test_places_follow_the_length_of_light_curves() -> None:
    bad = np.zeros(100, bool)
    bad[10:] = True
    short, long = flat_lightcurve(100, qflag=bad, number=1, of=2), flat_lightcurve(90, number=2, of=2)
    truths = [GaussianSimulator().inject((short, long), random_stream(0, k)).injections[0] for k in range(600)]
    assert all(58000 <= truth.time_peak <= 58009 for truth in truths if truth.lightcurve == 1)
    assert np.mean([truth.lightcurve == 1 for truth in truths]) == pytest.approx(0.1, abs=0.04)


def test_the_same_stream_gives_the_same_and_nothing_usable_gives_nothing() -> None:
    lc = flat_lightcurve(50)
    one, other = (GaussianSimulator().inject((lc,), random_stream(5, "a")) for _ in range(2))
    assert repr(one.injections) == repr(other.injections)  # NaN differs from itself
    np.testing.assert_array_equal(one.lightcurves[0].flux, other.lightcurves[0].flux)
    dead = flat_lightcurve(50, qflag=np.ones(50, bool))
    assert GaussianSimulator().inject((dead,), random_stream(5, "a")).injections == ()


def test_distributions() -> None:
    rng = random_stream(0, "d")

    def drawn(**parameters: object) -> np.ndarray:
        return np.array([Distribution(**parameters).draw(rng) for _ in range(4000)])

    assert np.mean(drawn(low=2.0, high=4.0)) == pytest.approx(3.0, abs=0.05)
    assert np.mean(np.log10(drawn(kind="loguniform", low=1.0, high=100.0))) == pytest.approx(1.0, abs=0.05)
    normal = drawn(kind="normal", mean=5.0, sigma=2.0, low=-100.0, high=100.0)
    assert (normal.mean(), normal.std()) == pytest.approx((5.0, 2.0), abs=0.12)
    cut = drawn(kind="normal", mean=0.0, sigma=1.0, low=0.0, high=3.0)
    assert cut.min() >= 0 and cut.mean() == pytest.approx(0.79, abs=0.03)  # half a normal: sqrt(2 / pi), cut at 3
    steep = drawn(kind="powerlaw", low=1.0, high=10.0, index=-2.0)
    # its distribution is (1 - 1/x) / 0.9, so half of it is below 1 / 0.55
    assert np.median(steep) == pytest.approx(1 / 0.55, abs=0.06)
    assert np.median(drawn(kind="powerlaw", low=1.0, high=100.0, index=-1.0)) == pytest.approx(10.0, rel=0.12)
    assert set(drawn(kind="grid", values=(1.0, 2.0, 5.0))) == {1.0, 2.0, 5.0}
    for bad in (
        {"kind": "cauchy"}, {"low": 2.0, "high": 1.0}, {"kind": "loguniform", "low": 0.0}, {"kind": "grid"},
        {"kind": "powerlaw", "low": 0.0}, {"kind": "normal", "sigma": 0.0}, {"kind": "normal", "mean": 50.0},
    ):  # fmt: skip
        with pytest.raises(ConfigError):
            Distribution(**bad)


@pytest.mark.parametrize(
    "bad", [{"trials": -1}, {"direction": "up"}, {"amplitude_in": "flux"}, {"level": "raw"}, {"photon_share": 2.0}]
)
def test_parameters_that_make_no_sense_are_refused(bad: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="simulator"):
        BoxSimulator(**bad)
    for wrong in (
        lambda: OccultationSimulator(ingress=0.0), lambda: TransitSimulator(limb_darkening=(0.1,)),
        lambda: TemplateSimulator(times=(1.0, 0.0, 2.0)),
    ):  # fmt: skip
        with pytest.raises(ConfigError, match="simulator"):
            wrong()


def in_survey(band: str, offset: float, cadence: float, seed: int, photons: float = 0.0) -> Lightcurve:
    """A light curve whose clock is `offset` seconds behind BJD_TDB."""
    time = 58000.0 - offset / 86400.0 + np.arange(0.0, 100.0, cadence)
    flux = 1000.0 + np.random.default_rng(seed).standard_normal(time.size)
    lc = flat_lightcurve(time.size, time=time, flux=flux, flux_err=np.ones(time.size), exptime=np.zeros(time.size))
    return lc.replace(band=band, bjd_offset=np.full(time.size, offset, np.float32))


def test_with_a_span_the_event_is_the_same_in_all_surveys() -> None:
    simulator = GaussianSimulator(
        span=(58020.0, 58080.0), amplitude_in="relative", amplitude=Distribution(low=0.05, high=0.5), colors={"r": 0.5},
        width=Distribution(kind="fixed", low=2.0), photon_share=0.0,
    )  # fmt: skip
    for seed in range(5):
        surveys = [in_survey("g", 400.0, 0.05, 1), in_survey("r", -300.0, 0.1, 2)]
        made = [simulator.inject((lc,), random_stream(seed, "simulate", "", "X")) for lc in surveys]
        truths = [one.injections[0] for one in made]
        assert truths[0].bjd_peak == truths[1].bjd_peak and 58020 <= truths[0].bjd_peak <= 58080
        assert truths[0].width == truths[1].width
        # half the height in the second band
        assert truths[1].relative == pytest.approx(0.5 * truths[0].relative)
        for lc, one, truth, offset in zip(surveys, made, truths, (400.0, -300.0), strict=True):
            # in each survey's own clock the event is as late as the clock says
            assert truth.time_peak == pytest.approx(truth.bjd_peak - offset / 86400.0, abs=1e-6)
            change = one.lightcurves[0].flux - lc.flux
            center = np.sum(lc.bjd * change) / np.sum(change)
            assert center == pytest.approx(truth.bjd_peak, abs=0.002)
            assert np.abs(change).max() == pytest.approx(abs(truth.relative) * 1000.0, rel=0.01)


def test_surveys_have_photon_noise_of_their_own() -> None:
    simulator = BoxSimulator(
        span=(58020.0, 58080.0), amplitude_in="relative", amplitude=Distribution(kind="fixed", low=3.0),
        direction="brightening", width=Distribution(kind="fixed", low=10.0), photon_share=1.0,
    )  # fmt: skip
    residuals = []
    for offset in (400.0, -300.0):
        lc = in_survey("g", offset, 0.05, 1)
        (fresh,) = simulator.inject((lc,), random_stream(1, "simulate", "", "X")).lightcurves
        inside = (fresh.flux - lc.flux) > 1500.0
        residuals.append((fresh.flux - lc.flux)[inside][:150] - 3000.0)
    assert abs(np.corrcoef(*residuals)[0, 1]) < 0.3 and residuals[0].std() > 1.0


def test_a_span_needs_heights_that_do_not_depend_on_the_survey() -> None:
    for wrong in ({"span": (58000.0, 59000.0)}, {"span": (2.0, 1.0), "amplitude_in": "mag"},
                  {"span": (1.0,), "amplitude_in": "mag"}):  # fmt: skip
        with pytest.raises(ConfigError, match=r"simulator\.span"):
            GaussianSimulator(**wrong)

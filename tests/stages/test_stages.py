import dataclasses
from dataclasses import dataclass

import numpy as np
import pytest

from retriever.analysis.standard import StandardAnalysis
from retriever.attempt import Failure, attempt
from retriever.barycenter import bjd_offset
from retriever.batch import Batch, select_batch
from retriever.detection import DETECTIONS, INJECTIONS, Analyzed, Detection, Injection, columns_of_records
from retriever.detrending.none import NoDetrending
from retriever.detrending.running_median import RunningMedian
from retriever.errors import ConfigError, DataError
from retriever.finders.peak import PeakFinder
from retriever.lightcurve import Lightcurve, Reduction, TimeSystem
from retriever.lightcurves import LightcurveSet, lightcurve_tables
from retriever.quality.standard import StandardQuality
from retriever.rawtable import RawPhotometry
from retriever.simulators.box import BoxSimulator
from retriever.simulators.distribution import Distribution
from retriever.simulators.gaussian import GaussianSimulator
from retriever.source import Source, SourceTable
from retriever.stages.analyze import analyze, barycentric_peaks, noise_around
from retriever.stages.analyze import run as run_analysis
from retriever.stages.download import download
from retriever.stages.reduce import reduce, with_barycentric_times
from retriever.stages.simulate import judge, simulate
from tests.helpers import flat_lightcurve

SOURCE = Source(name="X", ra=0.0, dec=0.0)
RAW = RawPhotometry(tables=())


@dataclass(frozen=True, kw_only=True)
class Survey:
    """Gives what it is told to, then breaks if it is told to."""

    answers: tuple[object, ...]
    breaks: Exception | None = None
    survey: str = "S"

    def fetch(self, sources: object) -> object:
        yield from self.answers
        if self.breaks:
            raise self.breaks


def test_every_source_has_an_answer_or_a_failure() -> None:
    for survey, kinds in (
        (Survey(answers=(RAW, RAW)), "RR"),
        (Survey(answers=(RAW, DataError("no"))), "RF"),
        (Survey(answers=(RAW,), breaks=RuntimeError("boom")), "RF"),
        (Survey(answers=(RAW,)), "RF"),
        (Survey(answers=(RAW, "what")), "RF"),
        (Survey(answers=(RAW, RAW, RAW)), "RR"),
    ):
        answers = download(survey, [SOURCE, SOURCE])
        assert "".join(type(answer).__name__[0] for answer in answers) == kinds


def test_a_wrong_config_stops_the_run_and_not_the_source() -> None:
    with pytest.raises(ConfigError):
        download(Survey(answers=(), breaks=ConfigError("no folder")), [SOURCE])
    with pytest.raises(ConfigError):
        attempt("x", download, Survey(answers=(), breaks=ConfigError("x")), [SOURCE])


def test_failures_are_one_sentence() -> None:
    assert Failure(DataError("two\nlines")).message == "two lines"
    assert Failure(KeyError("x")).message == "KeyError: 'x'"


def test_reducers_must_keep_their_word() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Gives:
        what: object

        def reduce(self, source: Source, raw: RawPhotometry) -> object:
            return self.what

    good = flat_lightcurve(3)
    assert reduce(Gives(what=Reduction(lightcurves=(good,))), SOURCE, RAW).lightcurves == (good,)
    for bad in (
        None,
        Reduction(lightcurves=(1,)),
        Reduction(lightcurves=(good, good)),
        Reduction(lightcurves=(flat_lightcurve(0),)),
    ):
        with pytest.raises(DataError):
            reduce(Gives(what=bad), SOURCE, RAW)


def test_analyses_must_keep_their_word() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Gives:
        what: object

        def analyze(self, *_: object) -> object:
            return self.what

    lc = flat_lightcurve(3)
    assert analyze(Gives(what=Analyzed(lightcurves=(lc,))), None, None, SOURCE, (lc,)).lightcurves == (lc,)
    for bad in (None, Analyzed(lightcurves=()), Analyzed(lightcurves=(flat_lightcurve(4),))):
        with pytest.raises(DataError):
            analyze(Gives(what=bad), None, None, SOURCE, (lc,))


PARTS = {
    "analysis": StandardAnalysis(),
    "quality": StandardQuality(),
    "finder": PeakFinder(),
    "detrend": NoDetrending(),
}


def batch_of(
    *of_sources: tuple[Lightcurve, ...], quality: StandardQuality = PARTS["quality"], **parts: object
) -> Batch:
    """A batch of sources that were searched already, as simulation gets it."""
    sources = SourceTable.from_columns(
        name=[f"s{k}" for k in range(len(of_sources))], ra=np.arange(len(of_sources)), dec=np.zeros(len(of_sources))
    )
    inputs = lightcurve_tables(LightcurveSet.of(of_sources))
    batch = Batch(observatory="demo", seed=0, items=sources.name, sources=sources, inputs={"lightcurves": inputs})
    searched = run_analysis({**PARTS, "quality": quality, **parts}, batch)
    ports = {"lightcurves": inputs, "reduced": inputs, "scores": searched.tables, "detections": searched.tables}
    return dataclasses.replace(batch, inputs=ports)


def simulated(simulator: object, *of_sources: tuple[Lightcurve, ...], **parts: object) -> tuple[LightcurveSet, dict]:
    return simulate({**PARTS, **parts, "simulator": simulator}, batch_of(*of_sources, **parts))


def boxes(amplitude: float, **others: object) -> BoxSimulator:
    fixed = {name: Distribution(kind="fixed", low=value) for name, value in (("width", 4.0), ("amplitude", amplitude))}
    return BoxSimulator(**fixed, **others)


def test_strong_events_are_recovered_and_weak_ones_are_not() -> None:
    sources = [(flat_lightcurve(300),)] * 5
    strong = simulated(boxes(30.0, trials=4), *sources)[1]
    weak = simulated(boxes(0.1, trials=4), *sources)[1]
    assert strong["source"].tolist() == sorted([*range(5)] * 4)
    assert strong["trial"].tolist() == [0, 1, 2, 3] * 5
    assert strong["recovered"].all() and (np.abs(strong["found_snr"]) > 5).all()
    assert not weak["recovered"].any() and np.isnan(weak["found_snr"]).all()


def test_every_trial_is_searched_by_itself() -> None:
    # many events in one light curve would hide one another and be its scatter
    truths = simulated(boxes(15.0, trials=30), (flat_lightcurve(200),))[1]
    assert truths["source"].size == 30
    assert np.unique(truths["time_peak"]).size == 30
    assert truths["recovered"][truths["n_epochs"] >= 3].all()


def test_a_source_has_the_same_events_whatever_the_batch() -> None:
    lcs = [(flat_lightcurve(100),), (flat_lightcurve(80),), (flat_lightcurve(60, number=1, of=1),)]
    _, together = simulated(boxes(8.0, trials=2), *lcs)
    for k in range(3):
        components = {**PARTS, "simulator": boxes(8.0, trials=2)}
        _, alone = simulate(components, select_batch(batch_of(*lcs), np.array([k])))
        mine = together["source"] == k
        for name in ("time_peak", "amplitude", "found_snr", "trial"):
            np.testing.assert_array_equal(alone[name], together[name][mine])


def test_the_search_of_injected_light_curves_starts_from_the_reduced_flags() -> None:
    late = flat_lightcurve(
        100,
        ra=np.where(np.arange(100) < 30, 5.0, 10.0) + np.random.default_rng(1).normal(0, 1e-5, 100),
        dec=np.zeros(100),
    )
    quality = StandardQuality(max_offset=3.0)
    lightcurves, truths = simulated(boxes(9.0), (late,), quality=quality)
    assert (truths["time_peak"] >= 58030).all()  # the others are off the median place
    (batch,) = lightcurves.batches
    assert batch.columns["qflag"][:30].all() and not batch.columns["qflag"][30:].any()


def test_an_event_is_in_all_bands_by_its_colors() -> None:
    red, green = (
        flat_lightcurve(100, number=1, of=2),
        flat_lightcurve(100, band="g", number=2, of=2, flux=np.full(100, 50.0)),
    )
    lightcurves, truths = simulated(boxes(20.0, colors={"g": 0.5}, photon_share=0.0, direction="dip"), (red, green))
    one, other = lightcurves.objects(1)[0]
    inside = np.abs(red.time + 15 / 86400 - truths["time_peak"][0]) < 2
    in_red, in_green = (one.flux - red.flux) / np.median(red.flux), (other.flux - green.flux) / 50.0
    np.testing.assert_allclose(
        in_red[inside], truths["relative"][0] if truths["lightcurve"][0] == 1 else 2 * truths["relative"][0], rtol=1e-6
    )
    np.testing.assert_allclose(in_green[inside], 0.5 * in_red[inside], rtol=1e-6)


def test_events_that_detrending_removes_are_missed_at_the_level_before_it() -> None:
    lc = flat_lightcurve(3000, time=58000 + np.arange(3000) * 0.01)
    slow = GaussianSimulator(
        width=Distribution(kind="fixed", low=6.0),
        amplitude=Distribution(kind="fixed", low=15.0),
        trials=5,
        direction="both",
    )
    detrender = RunningMedian(window=0.5, mask=0.0)
    after = simulated(slow, (lc,), detrend=detrender)[1]
    before = simulated(dataclasses.replace(slow, level="reduced"), (lc,), detrend=detrender)[1]
    assert after["recovered"].all()
    assert not before["recovered"].any()


def truth(**changes: float) -> dict[str, np.ndarray]:
    record = Injection(
        lightcurve=1, shape="box", time_peak=100.0, width=10.0, amplitude=-1.0, snr=-9.0, dmag=0.0, n_epochs=3
    )
    return columns_of_records(INJECTIONS, [(dataclasses.replace(record, **changes),)])


def event(first: float, last: float, **changes: float) -> dict[str, np.ndarray]:
    record = Detection(
        lightcurve=1, first=0, peak=0, last=0, time_first=first, time_peak=first, time_last=last,
        snr=-9.0, dmag=0.0, n_epochs=1,
    )  # fmt: skip
    return columns_of_records(DETECTIONS, [(dataclasses.replace(record, **changes),)])


NOTHING = columns_of_records(DETECTIONS, [()])


@pytest.mark.parametrize(
    ("injected", "found", "expected"),
    [
        (truth(), event(90, 95), True),
        (truth(), event(90, 94.9), False),
        (truth(), event(105, 200), True),
        (truth(), event(99, 101, lightcurve=2), True),  # in another band
        (truth(), event(99, 101, snr=9.0), False),  # a brightening
        (truth(), event(99, 101, width=29.0), True),
        (truth(), event(99, 101, width=31.0), False),
        (truth(), event(99, 101, width=3.0), False),
        (truth(), event(0, 200, period=7.0), False),  # a periodic signal is no single event
        (truth(period=7.0, width=1.0), event(0, 200, period=7.05), True),
        (truth(period=7.0, width=1.0), event(0, 200, period=3.5), True),
        (truth(period=7.0, width=1.0), event(0, 200, period=7.2), False),
        (truth(period=7.0, width=1.0), event(113.8, 114.2), True),  # one of its transits
        (truth(period=7.0, width=1.0), event(110.8, 111.2), False),
        (truth(width=0.2), event(100.4, 100.4), False),
        (truth(width=0.2, exptime=86400.0), event(100.4, 100.4), True),  # the exposure began before the end
        (truth(width=0.2, exptime=86400.0), event(100.7, 100.7), False),
        (truth(period=7.0, width=float("nan")), event(100.0, 100.0), False),  # a single epoch is no sinusoid
        (truth(period=7.0, width=float("nan")), event(0, 200, period=7.0), True),
    ],
)  # fmt: skip
def test_recovery_is_agreement_in_sign_time_and_width_or_period(injected: dict, found: dict, expected: bool) -> None:
    judged = judge(injected, found, NOTHING)
    assert judged["recovered"].tolist() == [expected]
    assert (judged["found_snr"] == found["snr"]).tolist() == [expected]
    assert judge(injected, NOTHING, found)["blended"].tolist() == [expected]


def test_reduced_light_curves_and_detections_have_barycentric_times() -> None:
    sources = SourceTable.from_columns(name=["a", "b"], ra=[10.0, 190.0], dec=[0.0, 5.0])
    flux = np.random.default_rng(1).standard_normal(50) + 100
    flux[20] = 150.0
    space = TimeSystem(scale="tdb", reference="barycenter", point="middle")
    first = flat_lightcurve(flux=flux, number=1, of=2), flat_lightcurve(number=2, of=2, time_system=space)
    second = flat_lightcurve(flux=flux)
    lightcurves = with_barycentric_times(LightcurveSet.of([first, (second,)]), sources)
    (ground, above), (other,) = lightcurves.objects(2)
    expected = bjd_offset(
        ground.time, ground.exptime, np.array([10.0]), np.array([0.0]), np.array([50]),
        scale="utc", reference="observer", point="start",
    )  # fmt: skip
    np.testing.assert_allclose(ground.bjd, ground.time + expected / 86400, rtol=0, atol=1e-9)
    np.testing.assert_array_equal(above.bjd, above.time)
    assert np.abs(other.bjd - ground.bjd).max() * 86400 > 100
    detections = {"source": np.array([0, 1]), "lightcurve": np.array([1, 1]), "peak": np.array([20, 20])}
    np.testing.assert_array_equal(barycentric_peaks(lightcurves, detections), [ground.bjd[20], other.bjd[20]])
    np.testing.assert_allclose(
        noise_around(lightcurves, detections), [np.fmax(lc.flux_moments[1], 1.0) for lc in (ground, other)]
    )
    assert np.isnan(flat_lightcurve().bjd).all()

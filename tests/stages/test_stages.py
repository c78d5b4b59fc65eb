from dataclasses import dataclass

import numpy as np
import pytest

from retriever.analysis.standard import StandardAnalysis
from retriever.attempt import Failure, attempt
from retriever.barycenter import bjd_offset
from retriever.detection import Analyzed, Detection, Injection
from retriever.errors import ConfigError, DataError
from retriever.finders.peak import PeakFinder
from retriever.lightcurve import Reduction, TimeSystem
from retriever.lightcurves import LightcurveSet
from retriever.quality.standard import StandardQuality
from retriever.rawtable import RawPhotometry
from retriever.simulators.box import BoxSimulator
from retriever.simulators.distribution import Distribution
from retriever.source import Source, SourceTable
from retriever.stages.analyze import analyze, barycentric_peaks
from retriever.stages.download import download
from retriever.stages.reduce import reduce, with_barycentric_times
from retriever.stages.simulate import _judged, inject, simulate
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


def search(amplitude: float, seed: int = 0) -> tuple[Injection, ...]:
    simulator = BoxSimulator(
        events=3.0,
        width=Distribution(kind="fixed", low=4.0),
        amplitude=Distribution(kind="fixed", low=amplitude),
    )
    lc = flat_lightcurve(300)
    parts = (StandardAnalysis(), StandardQuality(), PeakFinder())
    found = analyze(*parts, SOURCE, (lc,))
    return simulate(simulator, *parts, SOURCE, "demo", seed, (lc,), found).injections


def test_strong_events_are_recovered_and_weak_ones_are_not() -> None:
    strong = [truth for seed in range(10) for truth in search(30.0, seed)]
    weak = [truth for seed in range(10) for truth in search(0.1, seed)]
    assert strong
    assert all(truth.recovered and abs(truth.found_snr) > 5 for truth in strong)
    assert not any(truth.recovered or not np.isnan(truth.found_snr) for truth in weak)


def test_injection_is_the_same_each_time_it_is_asked_for() -> None:
    lc = flat_lightcurve(100)
    one, other = (inject(BoxSimulator(events=4.0), SOURCE, "demo", 3, (lc,), (lc,)) for _ in range(2))
    assert repr(one.injections) == repr(other.injections)  # NaN differs from itself
    np.testing.assert_array_equal(one.lightcurves[0].flux, other.lightcurves[0].flux)
    assert inject(BoxSimulator(events=4.0), SOURCE, "other", 3, (lc,), (lc,)).injections != one.injections


def test_the_search_of_injected_light_curves_starts_from_the_reduced_flags() -> None:
    lc = flat_lightcurve(100)
    processed = lc.replace(qflag=np.arange(100) < 50, extra={"snr": np.zeros(100)})
    result = inject(BoxSimulator(events=9.0), SOURCE, "demo", 0, (lc,), (processed,))
    assert not result.lightcurves[0].qflag.any()
    assert result.lightcurves[0].extra == {}
    assert all(truth.time_peak >= 58050 for truth in result.injections)


def event(first: float, last: float, lightcurve: int = 1) -> Detection:
    return Detection(
        lightcurve=lightcurve,
        first=0,
        peak=0,
        last=0,
        time_first=first,
        time_peak=first,
        time_last=last,
        snr=-9.0,
        dmag=0.0,
        n_epochs=1,
    )


def test_recovery_is_overlap_in_the_same_light_curve() -> None:
    truth = Injection(
        lightcurve=1, shape="box", time_peak=100.0, width=10.0, amplitude=1.0, snr=1.0, dmag=0.0, n_epochs=3
    )
    for detection, expected in (
        (event(90, 95), True),
        (event(90, 94.9), False),
        (event(105, 200), True),
        (event(99, 101, 2), False),
    ):
        judged = _judged(truth, (detection,), ())
        assert judged.recovered is expected
        assert (judged.found_snr == -9.0) is expected
        assert _judged(truth, (), (detection,)).blended is expected


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
    assert np.isnan(flat_lightcurve().bjd).all()

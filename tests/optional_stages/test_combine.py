"""Events joined from detections, against linking by hand and Fisher's method as scipy has it."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import combine_pvalues, norm

from retriever.analysis.standard import StandardAnalysis
from retriever.batch import Batch
from retriever.errors import ConfigError
from retriever.finders.composite import CompositeFinder
from retriever.finders.lomb_scargle import LombScargleFinder
from retriever.finders.peak import PeakFinder
from retriever.lightcurve import Lightcurve
from retriever.lightcurves import LightcurveSet, lightcurve_tables
from retriever.noise import joint_significance
from retriever.optional_stages.combine import COMBINE, Combination
from retriever.quality.standard import StandardQuality
from retriever.source import SourceTable
from retriever.stages.analyze import run as analyze
from tests.helpers import flat_lightcurve

TIME = 58000 + np.arange(100) / 10


def curve(band: str, number: int, bumps: dict[float, float], *, shift: float = 0.0, seed: int = 0) -> Lightcurve:
    flux = 100 + np.random.default_rng(seed + number).standard_normal(TIME.size)
    for at, height in bumps.items():
        flux[np.abs(TIME - 58000 - at) < 0.15] += height
    lc = flat_lightcurve(TIME.size, time=TIME + shift, flux=flux, flux_err=np.ones(TIME.size))
    return lc.replace(band=band, number=number, of=4, bjd_offset=np.full(TIME.size, -86400.0 * shift))


def events(of_surveys: dict[str, list[list[Lightcurve]]], finder: object = None, **parameters: float) -> pd.DataFrame:
    n = len(next(iter(of_surveys.values())))
    sources = SourceTable.from_columns(name=[f"s{k}" for k in range(n)], ra=np.zeros(n), dec=np.zeros(n))
    finder = finder or PeakFinder(snr_threshold=5.0, sideband=2.5, max_events=5)
    components = {"analysis": StandardAnalysis(), "quality": StandardQuality(), "finder": finder}
    joined = {}
    for survey, lightcurves in of_surveys.items():
        inputs = {"lightcurves": lightcurve_tables(LightcurveSet.of(lightcurves))}
        batch = Batch(observatory=survey, seed=0, items=sources.name, sources=sources, inputs=inputs)
        tables = analyze(components, batch).tables
        joined[survey] = {**inputs, "scores": tables, "detections": tables}
    batch = Batch(observatory="", seed=0, items=sources.name, sources=sources, joined=joined)
    made = COMBINE.run({"combine": Combination(**parameters)}, batch)
    assert not any(made.message), made.message
    return pd.DataFrame(made.tables["events"])


def test_detections_of_bands_and_surveys_at_one_time_are_one_event() -> None:
    # the second survey's clock is half a day late, and its BJD_TDB says so
    found = events(
        {
            "A": [[curve("g", 1, {3.0: 9.0, 7.0: -9.0}), curve("r", 2, {3.0: 8.0})], []],
            "B": [[curve("i", 1, {3.0: 10.0}, shift=0.5, seed=50)], [curve("i", 1, {5.0: 12.0}, seed=60)]],
        }
    )
    assert found["source"].tolist() == [0, 0, 1]
    assert found["n_lightcurves"].tolist() == [3, 1, 1] and found["n_observed"].tolist() == [3, 3, 1]
    assert found["surveys"].tolist() == ["A, B", "A", "B"] and found["bands"].tolist() == ["g, i, r", "g", "i"]
    assert (np.sign(found["snr"]) == [1, -1, 1]).all()
    np.testing.assert_allclose(found["time_peak"], [58003.0, 58007.0, 58005.0], atol=0.15)
    assert (found["time_first"] <= found["time_peak"]).all() and (found["time_peak"] <= found["time_last"]).all()
    assert (found["fap"] < 1e-4).all() and found["period"].isna().all()


def test_a_survey_that_saw_nothing_there_makes_an_event_less_likely() -> None:
    seen, quiet = curve("g", 1, {3.0: 6.0}), curve("r", 1, {}, seed=9)
    alone = events({"A": [[seen]]})
    same, other = events({"A": [[seen, quiet.replace(number=2)]]}), events({"A": [[seen]], "B": [[quiet]]})
    assert alone["n_observed"].tolist() == [1] and other["n_observed"].tolist() == same["n_observed"].tolist() == [2]
    assert other["snr"][0] == pytest.approx(same["snr"][0]) and other["snr"][0] < alone["snr"][0]


def test_the_probability_of_a_single_detection_is_its_own() -> None:
    assert joint_significance(np.array([7.0]), 3.3e-12, 1) == (pytest.approx(7.0), 3.3e-12)


def test_slack_links_bands_that_were_seen_one_after_the_other() -> None:
    pair = {"A": [[curve("g", 1, {3.0: 9.0}), curve("r", 2, {3.6: 9.0})]]}
    assert len(events(pair, slack=0.0)) == 2
    assert len(events(pair, slack=0.5)) == 1


def test_finders_of_one_light_curve_are_not_independent() -> None:
    one = {"A": [[curve("g", 1, {3.0: 9.0})]]}
    twice = CompositeFinder(finders={"one": PeakFinder(sideband=2.5), "two": PeakFinder(sideband=2.5)})
    alone, double = events(one), events(one, twice)
    assert double["finders"].tolist() == ["one, two"] and double["n_detections"].tolist() == [2]
    assert double["snr"].tolist() == alone["snr"].tolist() and double["fap"].tolist() == alone["fap"].tolist()


def test_periods_that_agree_are_one_signal_whenever_they_were_seen() -> None:
    def wave(number: int, period: float) -> Lightcurve:
        lc = curve("g", number, {}, shift=1000.0 * number)
        return lc.replace(flux=lc.flux + 5 * np.sin(2 * np.pi * lc.time / period))

    found = events({"A": [[wave(1, 1.3), wave(2, 1.3), wave(3, 2.1)]]}, LombScargleFinder(shortest=0.5))
    assert np.sort(found["n_lightcurves"].to_numpy()).tolist() == [1, 2]
    np.testing.assert_allclose(np.sort(found["period"].to_numpy()), [1.3, 2.1], rtol=0.02)


@pytest.mark.parametrize(("snr", "n_observed"), [([4.0, -3.0], 2), ([5.0], 3), ([3.2, 4.1, 6.0], 3), ([3.0], 1)])
def test_joint_significance_is_fisher_s(snr: list[float], n_observed: int) -> None:
    p = [*(2 * norm.sf(np.abs(snr))), *[1.0] * (n_observed - len(snr))]
    expected = combine_pvalues(p, method="fisher").pvalue
    found, fap = joint_significance(np.array(snr), 100 * min(p), n_observed)
    assert 2 * norm.sf(found) == pytest.approx(expected, rel=1e-9)
    assert fap == pytest.approx(100 * expected, rel=0.2)


def test_joint_significance_of_noise_is_as_rare_as_it_says() -> None:
    rng = np.random.default_rng(4)
    found = np.array([joint_significance(row, 1.0, 3)[0] for row in rng.standard_normal((4000, 3))])
    for threshold in (1.0, 2.0):
        expected = 4000 * 2 * norm.sf(threshold)
        assert abs(np.count_nonzero(found > threshold) - expected) < 3.3 * np.sqrt(expected)


def test_joint_significance_stands_strong_signals() -> None:
    snr, fap = joint_significance(np.array([60.0, 80.0]), 0.0, 2)
    assert 99.0 < snr < 101.0 and fap == 0.0


def test_wrong_parameters_are_refused() -> None:
    for wrong in ({"slack": -1.0}, {"period_tolerance": 1.0}):
        with pytest.raises(ConfigError, match="combine"):
            Combination(**wrong)

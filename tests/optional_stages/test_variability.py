"""The table of variability against the measures and periodograms of its light curves."""

import warnings

import numpy as np
import pandas as pd
import pytest

from retriever.analysis.standard import StandardAnalysis
from retriever.batch import Batch, Components, Made
from retriever.errors import ConfigError
from retriever.finders.peak import PeakFinder
from retriever.graph import Stage
from retriever.lightcurve import Lightcurve
from retriever.lightcurves import LightcurveSet, lightcurve_tables
from retriever.optional_stages.features import FEATURES, Features
from retriever.optional_stages.variability import VARIABILITY, Variability
from retriever.quality.standard import StandardQuality
from retriever.source import SourceTable
from retriever.stages.analyze import run as analyze
from retriever.variability import Photometry, measures
from tests.helpers import flat_lightcurve


def curve(band: str, number: int, *, height: float, seed: int, n: int = 80, late: float = 0.0) -> Lightcurve:
    rng = np.random.default_rng(seed)
    time = np.sort(58000 + rng.uniform(0, 50, n))
    flux = 100 + height * np.sin(2 * np.pi * time / 1.3) + rng.standard_normal(n)
    flux[3] = np.nan
    lc = flat_lightcurve(n, time=time + late, flux=flux, flux_err=np.ones(n))
    return lc.replace(band=band, number=number, of=2, bjd_offset=np.full(n, -86400.0 * late, np.float32))


def made(stage: Stage, components: Components, of_surveys: dict[str, list[list[Lightcurve]]]) -> Made:
    n = len(next(iter(of_surveys.values())))
    sources = SourceTable.from_columns(name=[f"s{k}" for k in range(n)], ra=np.zeros(n), dec=np.zeros(n))
    search = {"analysis": StandardAnalysis(), "quality": StandardQuality(), "finder": PeakFinder()}
    joined = {}
    for survey, lightcurves in of_surveys.items():
        inputs = {"lightcurves": lightcurve_tables(LightcurveSet.of(lightcurves))}
        batch = Batch(observatory=survey, seed=0, items=sources.name, sources=sources, inputs=inputs)
        joined[survey] = {**inputs, "scores": analyze(search, batch).tables}
    inputs = {} if stage.joins_surveys else next(iter(joined.values()))
    return stage.run(components, Batch(observatory="", seed=0, items=sources.name, sources=sources, joined=joined,
                                       inputs=inputs))  # fmt: skip


def test_each_light_curve_has_a_row_and_all_have_one_together() -> None:
    survey_a = [[curve("g", 1, height=0.9, seed=1), curve("r", 2, height=0.9, seed=2)], []]
    # the clock of the second survey is 0.4 d late, and its BJD_TDB says so
    survey_b = [[curve("i", 1, height=0.9, seed=3, late=0.4)], [curve("i", 1, height=0.0, seed=4, n=7)]]
    result = made(VARIABILITY, {"variability": Variability(shortest=0.5)}, {"A": survey_a, "B": survey_b})
    assert not any(result.message), result.message
    table = pd.DataFrame(result.tables["variability"])
    assert table[["source", "survey", "lightcurve", "band"]].values.tolist() == [
        [0, "A", 1, "g"], [0, "A", 2, "r"], [0, "B", 1, "i"], [0, "all", 0, "g, i, r"],
        [1, "B", 1, "i"], [1, "all", 0, "i"],
    ]  # fmt: skip
    assert table["n_epochs"].tolist() == [79, 79, 79, 237, 6, 6]
    together = table.iloc[3]
    assert together["period"] == pytest.approx(1.3, rel=3e-3)
    assert together["period_fap"] < 0.1 * table["period_fap"][:3].min()
    lc = survey_a[0][0]
    expected = measures([Photometry(time=lc.time[lc.usable], flux=lc.flux[lc.usable], flux_err=np.ones(79))])
    for name, value in expected.items():
        assert table[name][0] == pytest.approx(value, nan_ok=True), name
    assert table["period"][4:].isna().all() and table["chi2"][4:].notna().all()


def test_a_source_without_light_curves_has_no_row() -> None:
    result = made(VARIABILITY, {"variability": Variability()}, {"A": [[]]})
    assert result.tables["variability"]["source"].size == 0 and result.n_rows.tolist() == [0]


def test_features_are_those_of_light_curve() -> None:
    light_curve = pytest.importorskip("light_curve", reason="needs the extra 'features'")
    lc, short = curve("g", 1, height=3.0, seed=1), curve("g", 1, height=3.0, seed=1, n=5)
    result = made(FEATURES, {"features": Features(names=["Cusum", "Kurtosis"])}, {"A": [[lc], [short]]})
    table = pd.DataFrame(result.tables["features"])
    use = lc.usable
    for feature, kind in (("cusum", light_curve.Cusum), ("kurtosis", light_curve.Kurtosis)):
        (value,) = table[(table.source == 0) & (table.feature == feature)]["value"]
        assert value == kind()(lc.time[use], lc.flux[use], lc.flux_err[use])[0]
    assert len(table) == 4


def test_features_of_epochs_of_one_time_are_those_of_the_first() -> None:
    pytest.importorskip("light_curve", reason="light-curve is not installed (pip install 'retriever[features]')")
    features = {"features": Features(names=["Cusum", "LinearTrend"])}
    lc = curve("g", 1, height=3.0, seed=1)
    twice = np.sort(np.append(np.arange(lc.n_epochs), 7))
    doubled = lc.replace(**{name: values[twice] for name, values in lc.columns().items()}, extra={})
    one, other = (pd.DataFrame(made(FEATURES, features, {"A": [[each]]}).tables["features"]) for each in (lc, doubled))
    np.testing.assert_allclose(one["value"], other["value"])
    with warnings.catch_warnings(), pytest.raises(ConfigError, match="cannot be computed together"):
        warnings.simplefilter("ignore")  # that it is experimental
        Features(names=["PeakToPeakVar"])


def test_wrong_parameters_are_refused() -> None:
    for wrong in ({"within": -1.0}, {"shortest": 0.0}, {"oversampling": 0.5}, {"noise": "none"}):
        with pytest.raises(ConfigError, match="variability"):
            Variability(**wrong)
    with pytest.raises(ConfigError, match="flux or mag"):
        Features(names=["Cusum"], quantity="counts")
    with pytest.raises(ConfigError, match="at least one"):
        Features(names=[])


def test_features_that_light_curve_does_not_have_are_named() -> None:
    pytest.importorskip("light_curve", reason="needs the extra 'features'")
    with pytest.raises(ConfigError, match="'Cusums'; did you mean 'Cusum'"):
        Features(names=["Cusums"])
    with pytest.raises(ConfigError, match="parameters of its own"):
        Features(names=["ColorSpread"])

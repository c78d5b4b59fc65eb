"""Bad exposures and common trends that were put in, and SysRem against a singular value decomposition."""

import numpy as np
import pytest

from retriever.barycenter import bjd_offset
from retriever.batch import Batch
from retriever.errors import ConfigError
from retriever.lightcurve import Lightcurve, TimeSystem
from retriever.lightcurves import LightcurveSet, lightcurve_tables
from retriever.optional_stages.systematics import (
    CORRECT_SYSTEMATICS,
    EXPOSURE_GROUPS,
    SYSTEMATICS,
    Grouping,
    Systematics,
    common_trend,
    observer_times,
)
from retriever.source import SourceTable
from tests.helpers import flat_lightcurve

N_SOURCES, N_EPOCHS = 30, 200
TIME = 58000.1 + np.arange(N_EPOCHS) / 480.0


def sky(seed: int = 0, trend: float = 0.0, bad: tuple[int, ...] = ()) -> tuple[list[list[Lightcurve]], np.ndarray]:
    """Sources of one night; the trend is of 1 % times its share."""
    rng = np.random.default_rng(seed)
    shape = np.sin(np.arange(N_EPOCHS) / 17.0)
    of_sources = []
    for _ in range(N_SOURCES):
        level, share = rng.uniform(100, 1000), rng.uniform(0.5, 1.5)
        flux = level * (1 + 0.01 * trend * share * shape + 0.005 * rng.standard_normal(N_EPOCHS))
        flux[list(bad)] *= 1.05
        lc = flat_lightcurve(N_EPOCHS, time=TIME, flux=flux, flux_err=np.full(N_EPOCHS, 0.005 * level))
        of_sources.append([lc.replace(number=1, of=1)])
    return of_sources, shape


def corrected(of_sources: list[list[Lightcurve]], by: str = "night", **parameters: object) -> tuple[list, dict]:
    """The three stages, one after the other."""
    n = len(of_sources)
    sources = SourceTable.from_columns(name=[f"s{k}" for k in range(n)], ra=np.arange(n), dec=np.zeros(n))
    components = {"exposure_groups": Grouping(by=by), "systematics": Systematics(**parameters)}
    tables = lightcurve_tables(LightcurveSet.of(of_sources))
    batch = Batch(observatory="S", seed=0, items=sources.name, sources=sources, inputs={"lightcurves": tables})
    groups = EXPOSURE_GROUPS.run(components, batch).tables["exposure_groups"]
    names = np.unique(groups["group"])
    members = tuple(groups["source"][groups["group"] == name] for name in names.tolist())
    of_groups = Batch(
        observatory="S", seed=0, items=names, sources=sources, inputs={"lightcurves": tables}, members=members
    )
    exposures = SYSTEMATICS.run(components, of_groups).tables["exposures"]
    inputs = {"lightcurves": tables, "exposures": {"exposures": exposures}}
    last = Batch(
        observatory="S", seed=0, items=sources.name, sources=sources, inputs=inputs, groups={"exposures": names}
    )
    made = CORRECT_SYSTEMATICS.run(components, last)
    after = [lc for of_source in LightcurveSet.read(made.tables).objects(n) for lc in of_source]
    return after, exposures


def test_exposures_that_are_bad_for_many_sources_are_marked_and_no_others() -> None:
    after, exposures = corrected(sky(bad=(40, 41, 120))[0], trend=False)
    assert np.flatnonzero(exposures["is_bad"]).tolist() == [40, 41, 120]
    assert all(np.flatnonzero(lc.qflag).tolist() == [40, 41, 120] for lc in after)
    assert not corrected(sky()[0], trend=False)[1]["is_bad"].any()


def test_an_epoch_between_the_exposures_of_the_others_is_left_as_it_is() -> None:
    of_sources, _ = sky(trend=3.0, bad=(40,))
    # a star of negative flux is in no exposure of its own, and none of the others' is within a minute of its epochs
    lc = of_sources[3][0]
    of_sources[3] = [lc.replace(flux=-lc.flux, time=lc.time + 80 / 86400)]
    after, exposures = corrected(of_sources)
    assert np.flatnonzero(exposures["is_bad"]).tolist() == [40]
    assert not after[3].qflag.any() and (after[3].flux == -lc.flux).all()


def test_an_event_of_one_source_marks_no_exposure_and_stays() -> None:
    of_sources, _ = sky(trend=1.0)
    lc = of_sources[3][0]
    flux = lc.flux.copy()
    flux[100:103] *= 1.2
    of_sources[3] = [lc.replace(flux=flux)]
    after, exposures = corrected(of_sources)
    assert not exposures["is_bad"].any() and not after[3].qflag.any()
    height = after[3].flux[101] / np.median(after[3].flux) - 1
    assert height == pytest.approx(0.2, abs=0.03)


def test_the_common_trend_is_removed_in_each_one_s_proportion() -> None:
    before, shape = sky(trend=3.0)
    after, exposures = corrected(before)
    assert abs(np.corrcoef(exposures["trend"], shape)[0, 1]) > 0.99
    for (old,), new in zip(before, after, strict=True):
        level = np.median(new.flux)
        assert np.std(old.flux) / level > 0.011
        assert np.std(new.flux) / level == pytest.approx(0.005, rel=0.2)
        assert abs(np.corrcoef(new.flux, shape)[0, 1]) < 0.2
        np.testing.assert_allclose(new.mag, old.mag - 2.5 * np.log10(new.flux / old.flux), atol=1e-6)


def test_noise_alone_is_left_nearly_as_it_is() -> None:
    before, _ = sky()
    after, _ = corrected(before)
    ratio = [np.std(new.flux) / np.std(old.flux) for (old,), new in zip(before, after, strict=True)]
    assert 0.95 < np.mean(ratio) <= 1.0


def test_short_light_curves_keep_their_trend_and_few_sources_judge_nothing() -> None:
    before, _ = sky(trend=3.0, bad=(40,))
    after, _ = corrected(before, min_epochs=N_EPOCHS + 1)
    assert all((new.flux == old.flux).all() for (old,), new in zip(before, after, strict=True))
    after, exposures = corrected(before[:10])
    assert not exposures["is_bad"].any() and np.isnan(exposures["trend"]).all()
    assert all((new.flux == old[0].flux).all() for old, new in zip(before[:10], after, strict=True))


def test_the_trend_is_the_first_component_of_a_singular_value_decomposition() -> None:
    rng = np.random.default_rng(3)
    deviation = np.outer(rng.uniform(0.5, 1.5, 12), rng.standard_normal(40)) + 0.1 * rng.standard_normal((12, 40))
    lightcurve, exposure = np.indices(deviation.shape).reshape(2, -1)
    found = common_trend(lightcurve, exposure, deviation.ravel(), np.ones(deviation.size), 40)
    first = np.linalg.svd(deviation)[2][0]
    np.testing.assert_allclose(np.abs(found), np.abs(first) * np.sqrt(40), rtol=1e-6)


def test_groups_are_nights_or_series_of_a_band() -> None:
    lc = flat_lightcurve(4, time=[58000.2, 58000.3, 58001.2, 58002.9])
    sources = SourceTable.from_columns(name=["s"], ra=[0.0], dec=[0.0])
    tables = lightcurve_tables(LightcurveSet.of([[lc.replace(number=1, of=1, series="sector 3", band="TESS")]]))
    batch = Batch(observatory="S", seed=0, items=sources.name, sources=sources, inputs={"lightcurves": tables})

    def groups(**parameters: object) -> list[str]:
        components = {"exposure_groups": Grouping(**parameters)}
        return EXPOSURE_GROUPS.run(components, batch).tables["exposure_groups"]["group"].tolist()

    assert groups() == ["TESS 58000", "TESS 58001", "TESS 58002"]
    assert groups(night_begins=0.5) == ["TESS 57999", "TESS 58000", "TESS 58002"]
    assert groups(by="series") == ["TESS sector 3"]


def test_exposures_in_barycentric_time_are_the_same_for_all_sources() -> None:
    at_observer = np.linspace(58354.2, 58380.0, 50)
    ra, dec = np.array([80.0, 95.0]), np.array([-60.0, -20.0])
    systems = {"scale": "tdb", "reference": "observer", "point": "middle"}
    of_sources = []
    for k in range(2):
        place = {"ra": ra[[k]], "dec": dec[[k]], "lengths": np.array([50])}
        time = at_observer + bjd_offset(at_observer, np.zeros(50), **place, **systems) / 86400.0
        lc = flat_lightcurve(50, time=time).replace(
            number=1, of=1, time_system=TimeSystem(scale="tdb", reference="barycenter", point="middle")
        )
        of_sources.append([lc])
    (part,) = LightcurveSet.of(of_sources).batches
    times = observer_times(part, SourceTable.from_columns(name=["a", "b"], ra=ra, dec=dec))
    assert np.ptp(part.columns["time"].reshape(2, -1), axis=0).max() > 60 / 86400
    np.testing.assert_allclose(times.reshape(2, -1) * 86400, np.tile(at_observer * 86400, (2, 1)), atol=0.1)


def test_wrong_parameters_are_refused() -> None:
    for kind, wrong in (
        (Grouping, {"by": "moon"}), (Grouping, {"night_begins": 1.0}), (Systematics, {"min_sources": 2}),
        (Systematics, {"bad_share": 0.0}), (Systematics, {"same_exposure": 0.0}), (Systematics, {"clip": 0.0}),
    ):  # fmt: skip
        with pytest.raises(ConfigError):
            kind(**wrong)

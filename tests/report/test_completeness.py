"""Completeness, purity and rates against numbers worked out by hand, tables of the literature, and theory."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import stats

from retriever.errors import ConfigError
from retriever.report.completeness import (
    SearchResults,
    completeness_by,
    even_edges,
    poisson_interval,
    rates_by,
    searched_days,
    thresholds_of,
    wilson_interval,
    write_completeness,
)
from retriever.report.versions import VersionFolder
from tests.helpers import version_folder


def test_poisson_intervals_are_those_of_gehrels() -> None:
    # Gehrels 1986, tables 1 and 2, 0.8413 one-sided
    low, high = poisson_interval(np.array([0, 1, 2, 5, 10, 50]))
    np.testing.assert_allclose(high, [1.841, 3.300, 4.638, 8.382, 14.27, 58.12], rtol=1e-3)
    np.testing.assert_allclose(low[1:], [0.1727, 0.7079, 2.840, 6.891, 42.95], rtol=1e-3)
    assert low[0] == 0
    low, high = poisson_interval(np.array([0.0, np.nan]))
    assert low[0] == 0 and high[0] == pytest.approx(1.841, rel=1e-3) and np.isnan([low[1], high[1]]).all()


def test_wilson_intervals_solve_their_equation() -> None:
    low, high = wilson_interval(np.array([3, 0, 40]), np.array([10, 7, 40]), 0.9)
    z = stats.norm.ppf(0.95)
    for k, n, ends in zip((3, 0, 40), (10, 7, 40), zip(low, high, strict=True), strict=True):
        for p in ends:
            assert abs(k / n - p) == pytest.approx(z * np.sqrt(p * (1 - p) / n), abs=1e-9)
    assert (low[1], high[2]) == (0.0, 1.0)
    assert np.isnan(wilson_interval(np.array(0), np.array(0))[0])


@pytest.fixture
def small(tmp_path: Path) -> VersionFolder:
    """A version of two sources, whose numbers can be worked out by hand."""
    folder = tmp_path / "outputs" / "X_1"
    folder.mkdir(parents=True)
    curves = [("a", 1, 0.0, 10.0), ("a", 2, 5.0, 20.0), ("a", 3, 100.0, 110.0), ("b", 1, 0.0, 4.0), ("b", 2, 1.0, 2.0)]
    pd.DataFrame({
        "source": [c[0] for c in curves], "observatory": "o", "number": [c[1] for c in curves],
        "time_first": [c[2] for c in curves], "time_last": [c[3] for c in curves], "flux_median": 200.0,
    }).to_parquet(folder / "lightcurves.parquet")  # fmt: skip
    # the second is that of the first in another light curve, a little later
    pd.DataFrame({
        "source": ["a", "a", "a", "b"], "observatory": "o", "lightcurve": [1, 2, 3, 2], "snr": [9.0, 5.7, -9.0, 7.2],
        "amplitude": [20.0, 19.0, -100.0, 40.0], "width": [1.0, np.nan, 2.0, np.nan], "period": np.nan,
        "noise": [20.0 / 6.0, 5.0, 100.0 / 9.0, np.nan], "time_first": [6.0, 6.51, 105.0, 1.5],
        "time_peak": [6.0, 6.51, 105.0, 1.5], "time_last": [6.1, 6.6, 106.0, 1.5], "bjd_peak": np.nan,
    }).to_parquet(folder / "detections.parquet")  # fmt: skip
    n = 12
    pd.DataFrame({
        "source": ["a", "b"] * 6, "observatory": "o", "trial": np.arange(12) // 2,
        "recovered": [True] * 6 + [False] * 6, "blended": [False] * 11 + [True], "n_epochs": [3] * 10 + [0, 3],
        "found_snr": [5.5, 6.5, 7.5, 8.5, 9.5, -10.5] + [np.nan] * 6, "snr": [4.0] * 5 + [8.0] * 7,
        "relative": np.linspace(0.1, 0.5, n), "width": 1.0, "period": np.nan, "total_snr": 10.0,
    }).to_parquet(folder / "injections.parquet")  # fmt: skip
    pd.DataFrame({"stage": ["analyze"] * 20 + ["scramble"] * 10, "outcome": "done"}).to_parquet(
        folder / "products.parquet"
    )
    pd.DataFrame({"kind": ["flipped", "shuffled", "shuffled"], "snr": [-6.4, 5.1, 6.2]}).to_parquet(
        folder / "false_alarms.parquet"
    )
    (folder / "version.json").write_text('{"hash": "x", "inputs": {}}')
    return VersionFolder(folder)


def test_searched_time_is_that_which_light_curves_span(small: VersionFolder) -> None:
    assert searched_days(small) == pytest.approx(20 + 10 + 4)


def test_completeness_and_rates_by_hand(small: VersionFolder) -> None:
    results = SearchResults.read(small)
    low, high = completeness_by(results, ["snr"], bins=2)
    assert (low["injected"], low["observed"], low["recovered"]) == (5, 5, 5)
    assert (high["injected"], high["observed"], high["recovered"]) == (6, 5, 1)  # one on no epoch; one was blended
    # the 30 days of one source are shared by six events, the 4 of the other by five; one of the latter was recovered
    efficiency = 0.8 / (3 * 5.0 + 3 * 0.8)
    assert (high["completeness"], high["efficiency"]) == (0.2, pytest.approx(efficiency))
    assert low["efficiency"] == 1.0
    assert (low["snr_from"], low["snr_to"], high["snr_from"]) == pytest.approx((4.0, 32**0.5, 32**0.5))
    # two of heights 6 and 7.2; that of 9 is above the last bin, and the fourth detection is of the first event
    assert (low["detections"], high["detections"]) == (0, 2)
    (rate_low, rate_high) = rates_by(results, ["snr"], bins=2)
    assert rate_high["rate"] == pytest.approx(2 / (34 * efficiency))
    assert rate_low["rate"] == 0 and rate_low["rate_high"] == pytest.approx(1.841 / 34, rel=1e-3)
    assert rate_low["limit"] == pytest.approx(2.996 / 34, rel=1e-3)
    # with a threshold of 7, three of the five faint ones are left
    assert completeness_by(results, ["snr"], bins=2, threshold=7.0)[0]["completeness"] == pytest.approx(0.6)
    # changes of flux by 0.1, 0.5 and 0.2 of the flux
    assert [row["detections"] for row in completeness_by(results, ["amplitude"], bins=1)] == [2]
    two = completeness_by(results, ["snr", "amplitude"], bins=2)
    assert sum(row["injected"] for row in two) == 11
    assert np.isnan(completeness_by(results, ["total_snr"], bins=1)[0]["detections"])


def test_thresholds_by_hand(small: VersionFolder) -> None:
    rows = {row["threshold"]: row for row in thresholds_of(small, SearchResults.read(small))}
    assert min(rows) == 5.5 and rows[5.5]["detections"] == 3
    six = rows[6.0]
    # ten of the twenty sources were scrambled
    assert (six["detections"], six["flipped"], six["shuffled"]) == (3, 2.0, 2.0)
    assert six["purity_flipped"] == pytest.approx(1 / 3)
    assert six["completeness"] == pytest.approx(5 / 10)
    assert rows[6.5]["purity_shuffled"] == 1.0 and rows[7.5]["detections"] == 2


@pytest.mark.parametrize(
    "inputs, kind",
    [
        ({"scrambler": {"fields": {"kinds": ["flipped"]}}}, "shuffled"),
        ({"finder": {"class": "m.PeakFinder", "fields": {"direction": "both"}}}, "flipped"),
        ({"finder": {"class": "x.LombScargleFinder", "fields": {}}}, "flipped"),
        ({"finder": {"fields": {"finders": {"a": {"fields": {"direction": "both"}}, "b": {"fields": {}}}}}}, "flipped"),
    ],
)
def test_purity_that_says_nothing_is_not_given(small: VersionFolder, inputs: dict[str, object], kind: str) -> None:
    (small.folder / "version.json").write_text(json.dumps({"hash": "x", "inputs": inputs}))
    rows = thresholds_of(small, SearchResults.read(small))
    other = {"shuffled": "flipped", "flipped": "shuffled"}[kind]
    assert all(np.isnan(row[f"purity_{kind}"]) and np.isnan(row[kind]) for row in rows)
    assert not np.isnan(rows[0][f"purity_{other}"])


def test_detections_of_one_event_count_once_and_neighbours_in_a_light_curve_do_not() -> None:
    from retriever.report.completeness import _one_for_each_event

    nan = np.nan
    rows = [  # source, curve, sign and S/N, begin, end, period
        ("a", 0, 6.0, 1.00, 1.10, nan), ("a", 1, 7.0, 1.11, 1.12, nan),  # two bands, ten minutes apart: one event
        ("a", 0, 5.0, 2.00, 2.10, nan), ("a", 0, 5.5, 2.11, 2.20, nan),  # neighbours in one light curve: two
        ("a", 0, -5.0, 2.00, 2.10, nan),  # of the other sign
        ("b", 2, 8.0, 1.00, 1.10, nan),  # another source
        ("b", 2, 4.0, 0.00, 9.00, 3.001), ("b", 3, 4.5, 0.00, 9.00, 3.002), ("b", 3, 4.2, 0.00, 9.00, 6.003),
    ]  # fmt: skip
    names = ("source", "curve", "snr", "begin", "end", "period")
    found = {name: np.array(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}
    kept = _one_for_each_event(found)
    assert sorted(kept["snr"].tolist()) == [-5.0, 4.2, 4.5, 5.0, 5.5, 7.0, 8.0]
    order = np.random.default_rng(3).permutation(len(rows))
    mixed = _one_for_each_event({name: column[order] for name, column in found.items()})
    assert sorted(mixed["snr"].tolist()) == sorted(kept["snr"].tolist())


def test_files_hold_the_same_numbers(small: VersionFolder) -> None:
    write_completeness(small.folder)
    table = pd.read_parquet(small.folder / "completeness.parquet")
    assert set(table.quantity) == {"snr", "amplitude", "width", "total_snr"}
    assert table.source_days.unique().tolist() == [34.0]
    with xr.open_dataset(small.folder / "completeness.nc") as data:
        snr = table[table.quantity == "snr"]
        found = data.sel(quantity="snr")
        for name in ("from", "to", "completeness", "rate", "limit"):
            np.testing.assert_array_equal(found[name][: len(snr)], snr[name])
            assert np.isnan(found[name][len(snr) :]).all()
        assert data.sel(quantity="width").unit == "d" and data.attrs["source_days"] == 34.0
        thresholds = pd.read_parquet(small.folder / "thresholds.parquet")
        np.testing.assert_array_equal(data.threshold_completeness, thresholds.completeness)


def test_quantities_that_are_not_there_are_named(small: VersionFolder) -> None:
    results = SearchResults.read(small)
    with pytest.raises(ConfigError, match="there is no quantity 'ampliude'; did you mean 'amplitude'"):
        completeness_by(results, ["ampliude"])
    with pytest.raises(ConfigError, match="have no period"):
        completeness_by(results, ["period"])


def test_completeness_of_white_noise_is_that_of_theory(retriever, stand: Path) -> None:
    # boxes with one epoch in them: the S/N is that put in plus a normal deviate
    words = (
        "catalog.size=60", "observatories.demo.epochs=1000", "simulator=box", "simulator.trials=25",
        "simulator.width={kind: fixed, low: 0.7}", "simulator.photon_share=0", "simulator.amplitude={kind: uniform, low: 3, high: 7}",
        "simulator.direction=brightening", "finder.direction=brightening", "observatories.demo.flares=0",
    )  # fmt: skip
    assert retriever("run", *words).code == 0
    injections = pd.read_parquet(version_folder(stand / "outputs") / "injections.parquet")
    one = injections[(injections.n_epochs == 1) & ~injections.blended]
    assert len(one) > 300
    for low in (3.0, 4.0, 5.0, 6.0):
        some = one[(one.snr >= low) & (one.snr < low + 1)]
        expected = stats.norm.sf(5.03 - some.snr).sum()  # S/N of 5 is 5.03 times a scatter from 1000 epochs
        spread = np.sqrt((stats.norm.sf(5.03 - some.snr) * stats.norm.cdf(5.03 - some.snr)).sum())
        assert abs(some.recovered.sum() - expected) < 4 * spread + 1


def test_the_same_events_in_two_surveys_count_once(retriever, stand: Path) -> None:
    (stand / "conf" / "two").mkdir(parents=True)
    (stand / "conf" / "two" / "surveys.yaml").write_text(
        "# @package _global_\n"
        "observatories:\n  other: {_target_: retriever.observatories.demo.DemoObservatory, survey: OTHER, seed: 5, epochs: 60,"
        " start: 58300.0, filters: [g]}\n"
        "reducers: {other: '${reducers.demo}'}\n"
        "project: {name: two}\n"
    )
    words = (
        "--config-dir", "conf", "+two=surveys", "+stages=combine", "catalog.size=25", "simulator.trials=4",
        "simulator.span=[58200, 59200]", "simulator.amplitude_in=relative",
        "simulator.amplitude={kind: uniform, low: 0.1, high: 0.8}", "simulator.direction=brightening",
        "simulator.width={kind: fixed, low: 40}", "observatories.demo.flares=0.5",
    )  # fmt: skip
    assert retriever("run", *words).code == 0
    folder = version_folder(stand / "outputs")
    injections = pd.read_parquet(folder / "injections.parquet")
    events = injections.groupby(["source", "trial"])
    assert set(injections.observatory) == {"demo", "other"} and len(injections) == 200 and len(events) == 100
    for name in ("bjd_peak", "width"):
        assert (events[name].nunique() == 1).all()
    np.testing.assert_allclose(events["relative"].min(), events["relative"].max(), rtol=1e-12)
    together = events.agg({"recovered": "any", "blended": "any", "n_epochs": "sum"})
    alone = injections[injections.observatory == "demo"].set_index(["source", "trial"]).recovered
    assert together.recovered.sum() > alone.sum()
    counts = together[~together.blended & (together.n_epochs > 0)]
    (row,) = completeness_by(SearchResults.read(VersionFolder(folder)), ["width"], bins=1)
    assert (row["injected"], row["observed"], row["recovered"]) == (
        (~together.blended).sum(), len(counts), counts.recovered.sum(),
    )  # fmt: skip
    results = SearchResults.read(VersionFolder(folder))
    assert results.source_days == 25 * 1000
    joined = pd.read_parquet(folder / "events.parquet")
    inside = joined[(joined.time_peak >= 58200) & (joined.time_peak <= 59200)]
    assert len(results.detections["snr"]) == len(inside) > 0


def test_bins_are_even_and_next_to_nothing_is_in_the_first() -> None:
    edges = even_edges(np.array([-1.0, 64.0, 8.0, np.nan, 0.0]), 2)
    np.testing.assert_allclose(edges, [1.0, 8.0, 64.0])
    edges = even_edges(np.array([1e-18, 3.0, 1000.0]), 3)
    np.testing.assert_allclose(edges, [1e-18, 10.0, 100.0, 1000.0])
    assert edges[-1] > 1000.0 and edges[0] == 1e-18

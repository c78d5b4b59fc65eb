"""The contract of batch methods: the same numbers, bit for bit, as the method for one, whatever the batch."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retriever.analysis.standard import StandardAnalysis
from retriever.detection import DETECTIONS, INJECTIONS, columns_of_records, pack_properties
from retriever.finders.bls import BLSFinder
from retriever.finders.composite import CompositeFinder
from retriever.finders.flare import FlareFinder
from retriever.finders.lomb_scargle import LombScargleFinder
from retriever.finders.matched_filter import MatchedFilter
from retriever.finders.peak import PeakFinder
from retriever.identity import random_stream
from retriever.interfaces import Finder
from retriever.lifting import find_in_batch
from retriever.lightcurve import Lightcurve
from retriever.lightcurves import LIGHTCURVES, LightcurveSet, lightcurve_tables, tables_of_objects
from retriever.observatories.demo import DemoObservatory
from retriever.quality.standard import StandardQuality
from retriever.rawbatch import RawBatch, digest_raw, pack_raw, unpack_raw
from retriever.rawtable import RawPhotometry, RawTable
from retriever.reducers.standard import Columns, StandardReducer
from retriever.simulators.box import BoxSimulator
from retriever.simulators.distribution import Distribution
from retriever.simulators.flare import FlareSimulator
from retriever.simulators.gaussian import GaussianSimulator
from retriever.simulators.microlensing import MicrolensingSimulator
from retriever.simulators.occultation import OccultationSimulator
from retriever.simulators.sinusoid import SinusoidSimulator
from retriever.simulators.template import TemplateSimulator
from retriever.simulators.transit import TransitSimulator
from retriever.source import Source, SourceTable
from retriever.statistics import median, ragged_medians, robust_moments

SIZES = st.lists(st.lists(st.integers(1, 40), max_size=3), min_size=1, max_size=5)
SEEDS = st.integers(0, 2**32 - 1)


SIMULATORS = [
    GaussianSimulator, BoxSimulator, FlareSimulator, TransitSimulator, MicrolensingSimulator, OccultationSimulator,
    SinusoidSimulator, TemplateSimulator,
]  # fmt: skip


def table(n_sources: int) -> SourceTable:
    return SourceTable.from_columns(
        name=[f"s{k}" for k in range(n_sources)], ra=np.arange(n_sources), dec=np.zeros(n_sources)
    )


def random_lightcurves(sizes: list[list[int]], seed: int) -> list[tuple[Lightcurve, ...]]:
    """Light curves with everything that may stand in their way: NaN, flags, constant flux, no positions, ties."""
    rng = np.random.default_rng(seed)

    def one(n: int, number: int, of: int) -> Lightcurve:
        flux = np.round(100 + rng.standard_normal(n) * rng.choice([0.0, 1.0, 5.0]), rng.integers(0, 6))
        flux[rng.random(n) < rng.choice([0.0, 0.05])] += 50 * rng.choice([-1, 1])
        flux[rng.random(n) < rng.choice([0.0, 0.1, 1.0], p=[0.5, 0.4, 0.1])] = np.nan
        errors = np.where(rng.random(n) < rng.choice([0.0, 0.2]), np.nan, rng.choice([0.0, 1.0]))
        with np.errstate(invalid="ignore", divide="ignore"):
            mag = 23.9 - 2.5 * np.log10(np.where(flux > 0, flux, np.nan))
        columns = {"exptime": np.full(n, 30.0), "qflag": rng.random(n) < rng.choice([0.0, 0.2, 1.0], p=[0.5, 0.4, 0.1])}
        if rng.random() < 0.7:
            scatter = rng.choice([0.0, 1e-5])
            columns |= {
                "ra": (359.99999 + rng.standard_normal(n) * scatter) % 360,
                "dec": rng.standard_normal(n) * scatter,
            }
        return Lightcurve.from_columns(
            band=str(rng.choice(["g", "r"])), time=58000 + np.sort(np.round(rng.random(n) * 100, 2)), flux=flux,
            flux_err=errors, mag=mag, mag_err=errors, number=number, of=of, zero_point=float(rng.choice([23.9, 20.44])),
            **columns,
        )  # fmt: skip

    return [tuple(one(n, k, len(of_source)) for k, n in enumerate(of_source, 1)) for of_source in sizes]


def assert_same_columns(one: dict, other: dict) -> None:
    assert list(one) == list(other)
    for name, values in one.items():
        np.testing.assert_array_equal(values, other[name], err_msg=name)
        assert values.dtype.kind == other[name].dtype.kind, name


def assert_same_lightcurves(one: Lightcurve, other: Lightcurve) -> None:
    for name in ("band", "series", "number", "of", "zero_point", "flux_unit", "time_system"):
        assert getattr(one, name) == getattr(other, name)
    assert_same_columns(one.columns(), other.columns())


@given(st.lists(st.lists(st.integers(-5, 5), max_size=9), max_size=6), st.integers(0, 3))
def test_ragged_medians_are_medians(items: list[list[int]], seed: int) -> None:
    values = np.array([value for item in items for value in item], float)
    keep = np.random.default_rng(seed).random(values.size) < 0.7
    offsets = np.concatenate([[0], np.cumsum([len(item) for item in items])]).astype(np.int64)
    expected = [median(values[a:b][keep[a:b]]) for a, b in itertools.pairwise(offsets)]
    np.testing.assert_array_equal(ragged_medians(values, offsets, keep), np.array(expected, float))


@given(SIZES, SEEDS)
def test_batches_hold_the_same_light_curves(sizes: list[list[int]], seed: int) -> None:
    of_sources = random_lightcurves(sizes, seed)
    tables = tables_of_objects(of_sources)
    lightcurves = LightcurveSet.read(tables)
    for before, after in zip(of_sources, lightcurves.objects(len(of_sources)), strict=True):
        for one, other in zip(before, after, strict=True):
            assert_same_lightcurves(one, other)
    index = lightcurve_tables(lightcurves)["lightcurves"]
    flat = [lc for lcs in of_sources for lc in lcs]
    assert {spec.name for spec in LIGHTCURVES.columns} <= set(index)
    for k, lc in enumerate(flat):
        assert (index["flux_median"][k], index["flux_scatter"][k]) == pytest.approx(
            lc.flux_moments, rel=0, abs=0, nan_ok=True
        )
        assert (index["mag_median"][k], index["mag_scatter"][k]) == pytest.approx(
            robust_moments(lc.mag[lc.usable & np.isfinite(lc.mag)]), rel=0, abs=0, nan_ok=True
        )
        assert index["n_good"][k] == lc.n_good
        np.testing.assert_array_equal(index["cadence"][k], median(np.diff(lc.time)))


@given(SIZES, SEEDS, st.sampled_from([0.0, 3.0, 10.0]), st.booleans())
def test_quality(sizes: list[list[int]], seed: int, max_offset: float, use_flags: bool) -> None:
    quality = StandardQuality(max_offset=max_offset, use_flags=use_flags)
    of_sources = random_lightcurves(sizes, seed)
    lightcurves = LightcurveSet.of(of_sources)
    many = lightcurves.with_batches([quality.assess_many(batch) for batch in lightcurves.batches])
    for source, after in zip(of_sources, many.objects(len(of_sources)), strict=True):
        for lc, other in zip(source, after, strict=True):
            assert_same_lightcurves(quality.assess(Source(name="X", ra=0.0, dec=0.0), lc), other)


@given(
    SIZES, SEEDS, st.sampled_from(["both", "brightening", "dip"]), st.integers(1, 4), st.sampled_from([0.0, 1.0, 3.0])
)
def test_peak_finder(sizes: list[list[int]], seed: int, direction: str, most: int, sideband: float) -> None:
    finder = PeakFinder(direction=direction, max_events=most, snr_threshold=2.5, sideband=sideband)
    for batch in LightcurveSet.of(random_lightcurves(sizes, seed)).batches:
        scores, events = finder.find_many(batch)
        found = [finder.find(batch.lightcurve(k)) for k in range(len(batch))]
        records = columns_of_records(DETECTIONS, [events for _, events in found])
        assert_same_columns({"member": records.pop("source"), **records}, events)
        assert_same_columns({name: np.concatenate([s[name] for s, _ in found]) for name in ("snr", "dmag")}, scores)


class OneByOne:
    """A finder without a batch method."""

    def __init__(self, finder: PeakFinder) -> None:
        self.finder = finder

    def find(self, lightcurve: Lightcurve) -> object:
        return self.finder.find(lightcurve)


@given(SIZES, SEEDS, st.booleans())
def test_analysis(sizes: list[list[int]], seed: int, lifted: bool) -> None:
    of_sources = [lcs for lcs in random_lightcurves(sizes, seed) if lcs]
    if not of_sources:
        return
    quality, finder = StandardQuality(), PeakFinder(snr_threshold=2.5)
    lightcurves = LightcurveSet.of(of_sources)
    many = StandardAnalysis().analyze_many(
        table(len(of_sources)), lightcurves, quality, OneByOne(finder) if lifted else finder
    )
    found = [StandardAnalysis().analyze(Source(name="X", ra=0.0, dec=0.0), lcs, quality, finder) for lcs in of_sources]
    for one, other in zip(found, many.lightcurves.objects(len(of_sources)), strict=True):
        for a, b in zip(one.lightcurves, other, strict=True):
            assert_same_lightcurves(a, b)
    assert_same_columns(columns_of_records(DETECTIONS, [one.detections for one in found]), many.detections)
    packed = pack_properties([one.properties for one in found])
    values = {name.removeprefix("p."): column for name, column in packed["properties"].items()}
    assert_same_columns(values, many.properties)
    units = dict(
        zip(packed["properties.units"]["name"].tolist(), packed["properties.units"]["unit"].tolist(), strict=True)
    )
    assert {name: unit for name, unit in units.items() if unit} == many.units


@given(
    SIZES, SEEDS, st.sampled_from(SIMULATORS), st.sampled_from(["snr", "mag", "relative"]),
    st.sampled_from(["both", "brightening", "dip"]),
)  # fmt: skip
def test_injection(sizes: list[list[int]], seed: int, kind: type, amplitude_in: str, direction: str) -> None:
    of_sources = random_lightcurves(sizes, seed)
    simulator = kind(
        amplitude_in=amplitude_in, direction=direction, colors={"g": 0.5},
        amplitude=Distribution(low=0.1, high=0.5), width=Distribution(kind="loguniform", low=1e-4, high=50.0),
    )  # fmt: skip
    lightcurves = LightcurveSet.of(of_sources)
    streams = [random_stream(seed, "x", k) for k in range(len(of_sources))]
    many = simulator.inject_many(lightcurves, lightcurves, streams)
    found = [simulator.inject(lcs, random_stream(seed, "x", k)) for k, lcs in enumerate(of_sources)]
    assert_same_columns(columns_of_records(INJECTIONS, [one.injections for one in found]), many.injections)
    changed = lightcurves.take(many.changed)
    changed = changed.with_batches(
        [batch.replace(**new) for batch, new in zip(changed.batches, many.photometry, strict=True)]
    )
    for one, other in zip(found, changed.objects(len(of_sources)), strict=True):
        for a, b in zip(one.lightcurves, other, strict=True):
            assert_same_lightcurves(a, b)


FINDERS = [
    FlareFinder(consecutive=2, gap=5.0), LombScargleFinder(fap_threshold=1.0, shortest=2.0),
    BLSFinder(sde_threshold=0.1, snr_threshold=0.1, shortest=3.0, durations=(1.0, 2.0)),
    MatchedFilter(shortest=1.0, longest=10.0, snr_threshold=1.0),
    MatchedFilter(shape="flare", shortest=0.5, longest=5.0, snr_threshold=1.0, direction="dip"),
    CompositeFinder(finders={"peak": PeakFinder(snr_threshold=3.0), "flare": FlareFinder(consecutive=1, gap=5.0)}),
]  # fmt: skip


@settings(max_examples=20)
@given(SIZES, SEEDS, st.sampled_from(FINDERS))
def test_finders(sizes: list[list[int]], seed: int, finder: Finder) -> None:
    of_sources = random_lightcurves(sizes, seed)
    lightcurves = LightcurveSet.of(of_sources)
    many = [find_in_batch(finder, batch) for batch in lightcurves.batches]
    for rows, batch, (scores, events) in zip(lightcurves.members, lightcurves.batches, many, strict=True):
        for k, row in enumerate(rows.tolist()):
            lc = [lc for of_source in of_sources for lc in of_source][row]
            own, detections = finder.find(lc)
            inside = slice(batch.offsets[k], batch.offsets[k + 1])
            assert_same_columns(dict(own), {name: column[inside] for name, column in scores.items()})
            mine = {name: column[events["member"] == k] for name, column in events.items() if name != "member"}
            alone = columns_of_records(DETECTIONS, [detections])
            del alone["source"]
            assert_same_columns(alone, mine)


@given(st.integers(1, 6), SEEDS, st.sampled_from([["r"], ["g", "r"]]), st.sampled_from([0.0, 0.5]), st.integers(1, 30))
def test_demo_observatory(n: int, seed: int, filters: list[str], share: float, epochs: int) -> None:
    demo = DemoObservatory(seed=seed, filters=filters, empty=share, failures=share, flares=0.5, epochs=epochs)
    rng = np.random.default_rng(seed)
    sources = SourceTable.from_columns(
        name=[f"s{k}" for k in range(n)], ra=rng.random(n) * 360, dec=rng.random(n) * 180 - 90,
        mag=np.where(rng.random(n) < 0.3, np.nan, 17.0),
    )  # fmt: skip
    many, answers = demo.fetch_many(sources), list(demo.fetch([sources.source(k) for k in range(n)]))
    assert set(many.failures) == {k for k, answer in enumerate(answers) if isinstance(answer, Exception)}
    known = [answer if isinstance(answer, RawPhotometry) else None for answer in answers]
    digests = digest_raw(many.tables, n)
    for k, (answer, other) in enumerate(zip(known, unpack_raw(many.tables, range(n)), strict=True)):
        if answer is not None:
            assert answer.digest() == other.digest() == digests[k].decode()
            assert answer.provenance == many.provenance[k]


@given(st.lists(st.lists(st.integers(0, 4), max_size=3), min_size=1, max_size=4), SEEDS)
def test_digests_of_raw_photometry(sizes: list[list[int]], seed: int) -> None:
    rng = np.random.default_rng(seed)

    def raw_table(n: int) -> RawTable:
        columns: dict[str, np.ndarray] = {"mjd": rng.random(n), "band": rng.choice(["r", "gg"], n).astype("U2")}
        if rng.random() < 0.5:
            columns["mag"] = np.ma.MaskedArray(rng.random((n, 2)), mask=rng.random((n, 2)) < 0.5)
        return RawTable(columns=columns, headers=("a",) * int(rng.integers(0, 2)), origin=str(rng.integers(0, 2)))

    answers = [RawPhotometry(tables=tuple(raw_table(n) for n in of_source)) for of_source in sizes]
    found = digest_raw(pack_raw(answers), len(answers)).tolist()
    assert found == [answer.digest().encode() for answer in answers]


REDUCERS = [
    StandardReducer(columns=Columns(exptime="exptime", flag="flag", series="oid", extra=["x"])),
    StandardReducer(columns=Columns(mag="", mag_err="", flux="mag", flux_err="magerr"), gap=5.0, time_format="jd"),
    StandardReducer(columns=Columns(band=""), band="V", band_names={"g": "r"}, exptime=30.0, flag_mask=1, gap=3.0),
    StandardReducer(band_names={"g": "z"}, gap=20.0),
]


@given(st.lists(st.lists(st.integers(0, 30), max_size=2), min_size=1, max_size=5), SEEDS, st.sampled_from(REDUCERS))
@settings(max_examples=100)
def test_reducer(sizes: list[list[int]], seed: int, reducer: StandardReducer) -> None:
    rng = np.random.default_rng(seed)

    def raw_table(n: int) -> RawTable:
        mjd = np.round(rng.random(n) * 50, 1)
        mjd[rng.random(n) < 0.1] = np.nan
        return RawTable(
            columns={
                "mjd": np.sort(mjd) if rng.random() < 0.5 else mjd,
                "filter": rng.choice(["r", "g"], n).astype("U1"),
                "oid": rng.choice([7, 10], n),
                "mag": np.ma.MaskedArray(
                    np.where(rng.random(n) < 0.1, 99.0, np.round(17 + rng.standard_normal(n), 2)),
                    mask=rng.random(n) < 0.1,
                ),
                "magerr": np.where(rng.random(n) < 0.1, 0.0, rng.random(n)),
                "exptime": np.full(n, 30.0),
                "flag": rng.integers(0, 3, n).astype(np.int16),
                "x": rng.random(n).astype("f4"),
            }
        )

    answers = [RawPhotometry(tables=tuple(raw_table(n) for n in of_source)) for of_source in sizes]
    raw = RawBatch.read(pack_raw(answers), len(answers))
    reductions = [reducer.reduce(Source(name="X", ra=0.0, dec=0.0), answer) for answer in answers]
    if raw is None:
        assert not any(sizes)
        return
    batch, dropped = reducer.reduce_many(raw)
    of_sources = [one.lightcurves for one in reductions]
    whole = LightcurveSet(source=batch.source, batches=(batch,), members=(np.arange(len(batch)),))
    for one, other in zip(of_sources, whole.objects(len(answers)), strict=True):
        for a, b in zip(one, other, strict=True):
            assert_same_lightcurves(a, b)
    expected = [(k, reason, n) for k, one in enumerate(reductions) for reason, n in sorted(one.dropped.items()) if n]
    assert list(zip(*(dropped[name].tolist() for name in ("source", "reason", "n_rows")), strict=True)) == expected


def test_events_of_a_lifted_finder_are_those_of_its_method() -> None:
    (batch,) = LightcurveSet.of(random_lightcurves([[30, 20], [25]], 3)).batches[:1]
    finder = PeakFinder(snr_threshold=2.0)
    (one, events), (other, same) = find_in_batch(finder, batch), find_in_batch(OneByOne(finder), batch)
    assert_same_columns(one, other)
    assert_same_columns(events, same)

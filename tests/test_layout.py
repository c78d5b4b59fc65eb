import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retriever.detection import DETECTIONS, Detection, columns_of_records, pack_properties, records_of_columns
from retriever.histogram import ScoreHistogram, sparse_counts
from retriever.lightcurve import Lightcurve, TimeSystem
from retriever.lightcurves import LightcurveSet, tables_of_objects
from retriever.ragged import select_items
from retriever.rawbatch import pack_raw, unpack_raw
from retriever.rawtable import RawPhotometry, RawTable
from retriever.scores import count_epochs, score_tables_of_objects, with_scores
from retriever.store.packing import pack
from retriever.store.segments import read, write
from tests.helpers import flat_lightcurve


def through_disk(tmp: object, tables: dict[str, dict[str, np.ndarray]]) -> dict[str, dict[str, np.ndarray]]:
    return read(tmp / write(tmp, "f/RA000", "x", pack({}, tables)).path)[1]


COLUMN_KINDS = st.sampled_from(["f8", "f4", "i8", "U3", "S2", "masked", "wide"])


def column(kind: str, n: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    if kind == "masked":
        return np.ma.MaskedArray(rng.integers(0, 2**60, n), mask=rng.random(n) < 0.5)
    if kind == "wide":
        return rng.random((n, 3))
    if kind in ("U3", "S2"):
        return rng.choice(["a", "bc", ""], n).astype(kind)
    return (rng.random(n) * 100).astype(kind)


@given(
    st.lists(
        st.lists(st.tuples(st.lists(COLUMN_KINDS, min_size=1, max_size=3), st.integers(0, 4)), max_size=3),
        min_size=1,
        max_size=4,
    ),
    st.integers(0, 9),
)
def test_raw_tables_come_back_exactly(tmp_path_factory: pytest.TempPathFactory, shape: list, seed: int) -> None:
    answers = [
        RawPhotometry(
            tables=tuple(
                RawTable(
                    columns={f"c{j}/{kind}": column(kind, n, seed + j) for j, kind in enumerate(kinds)},
                    units={"c0/f8": "mag"}, headers=("SIMPLE  = T", f"# {seed} é"), origin=f"file {seed}",
                )
                for kinds, n in tables
            )
        )
        for tables in shape
    ]  # fmt: skip
    stored = through_disk(tmp_path_factory.mktemp("s"), pack_raw([*answers, None]))
    order = list(range(len(answers)))[::-1]
    for before, after in zip(answers[::-1], unpack_raw(stored, order), strict=True):
        assert after.digest() == before.digest()
        for one, other in zip(before.tables, after.tables, strict=True):
            assert (one.headers, one.origin) == (other.headers, other.origin)
            for name, values in one.columns.items():
                assert other.columns[name].dtype == values.dtype
                assert np.ma.isMaskedArray(other.columns[name]) == np.ma.isMaskedArray(values)
                np.testing.assert_array_equal(np.ma.getmaskarray(other.columns[name]), np.ma.getmaskarray(values))
                np.testing.assert_array_equal(other.columns[name], values)


def curve(n: int, number: int = 1, of: int = 1, **changes: object) -> Lightcurve:
    return flat_lightcurve(n, number=number, of=of, series=f"s{number}", **changes)


def same(one: Lightcurve, other: Lightcurve) -> None:
    for name in ("band", "series", "number", "of", "zero_point", "flux_unit", "time_system"):
        assert getattr(one, name) == getattr(other, name)
    assert set(one.columns()) == set(other.columns())
    for name, values in one.columns().items():
        assert other.columns()[name].dtype == values.dtype
        np.testing.assert_array_equal(other.columns()[name], values)


def test_light_curves_and_scores_come_back_exactly(tmp_path: object) -> None:
    system = TimeSystem(scale="tdb", reference="barycenter", point="middle")
    sources = [
        (curve(5, 1, 2), curve(3, 2, 2, band="g", ra=np.full(3, 1.0), dec=np.full(3, 2.0))),
        (),
        (curve(4, flux=[1.0, np.nan, 3.0, -1.0]).replace(extra={"x": np.arange(4, dtype="f4")}, time_system=system),),
    ]
    scored = [
        tuple(lc.replace(qflag=lc.flux > 2, extra={**lc.extra, "snr": lc.flux * 2}) for lc in lightcurves)
        for lightcurves in sources
    ]
    stored = through_disk(tmp_path, tables_of_objects(sources))
    scores = through_disk(tmp_path, score_tables_of_objects(sources, scored))
    assert not any("flux" in table for name, table in scores.items())
    assert not any("x" in table for name, table in scores.items())
    rows = [2, 0, 1]
    before, after = with_scores(select_items(stored, rows), select_items(scores, rows))
    assert LightcurveSet.read(select_items(stored, rows)).objects(3)[1][0].n_epochs == 5
    reduced, processed = before.objects(3), after.objects(3)
    for row, before, after in zip(rows, reduced, processed, strict=True):
        for one, other in zip(sources[row], before, strict=True):
            same(one, other)
        for one, other in zip(scored[row], after, strict=True):
            same(one, other)


def test_records_come_back_exactly(tmp_path: object) -> None:
    event = Detection(
        lightcurve=2,
        first=1,
        peak=2,
        last=3,
        time_first=1.0,
        time_peak=2.0,
        time_last=3.0,
        snr=-7.5,
        dmag=float("inf"),
        n_epochs=3,
    )
    stored = through_disk(tmp_path, {"d": columns_of_records(DETECTIONS, [(), (event, event), ()])})["d"]
    # as text, for NaN is not equal to itself
    assert str(records_of_columns(Detection, stored, 1)) == str((event, event))
    assert records_of_columns(Detection, stored, 0) == ()


def test_properties_become_columns_of_their_type() -> None:
    tables = pack_properties(
        [
            {"n": (1, ""), "x": (2.5, "mag"), "w": ("a", "")},
            {},
            {"n": (3, ""), "x": (1, "mag"), "b": (True, "")},
        ]
    )
    columns = tables["properties"]
    assert columns["source"].tolist() == [0, 2]
    assert columns["p.n"].dtype == np.int64
    assert columns["p.x"].tolist() == [2.5, 1.0]
    assert columns["p.w"].tolist() == ["a", ""]
    assert (
        dict(
            zip(
                tables["properties.units"]["name"].tolist(),
                tables["properties.units"]["unit"].tolist(),
                strict=True,
            )
        )["x"]
        == "mag"
    )


def test_epochs_are_counted_as_by_one_light_curve_after_the_other() -> None:
    sources = [
        (curve(5, 1, 2), curve(6, 2, 2, band="g")),
        (curve(7, ra=np.zeros(7), dec=np.zeros(7)),),
        (curve(4),),
    ]
    scored = [tuple(lc.replace(qflag=lc.flux > 100, extra={"snr": lc.flux - 100}) for lc in lcs) for lcs in sources]
    together, apart = ScoreHistogram(), ScoreHistogram()
    reduced, processed = with_scores(tables_of_objects(sources), score_tables_of_objects(sources, scored))
    together.add_sparse(count_epochs(reduced, processed, together.histograms))
    for lcs in scored:
        for lc in lcs:
            apart.add_sparse(sparse_counts(apart.histograms, lc.band, lc.columns(), ["snr"]))
    np.testing.assert_array_equal(together.counts("snr", ["g", "r"]), apart.counts("snr", ["g", "r"]))

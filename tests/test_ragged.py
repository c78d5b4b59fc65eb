"""Tables of items that were cut out of many are those of these items alone."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from retriever.lightcurves import tables_of_objects
from retriever.ragged import cut_items, select_items
from retriever.rawbatch import pack_raw, unpack_raw
from retriever.rawtable import RawPhotometry, RawTable
from retriever.schema import Tables
from tests.test_batches import SEEDS, SIZES, random_lightcurves


def assert_same(first: Tables, second: Tables) -> None:
    assert list(first) == list(second)
    for name, columns in first.items():
        assert list(columns) == list(second[name])
        for key, values in columns.items():
            other = second[name][key]
            assert values.dtype.kind == other.dtype.kind and values.shape == other.shape
            if values.dtype.kind == "U":
                assert values.tolist() == other.tolist()
            else:
                assert values.dtype == other.dtype and values.tobytes() == other.tobytes(), (name, key)


@given(SIZES, SEEDS, st.data())
def test_light_curves(sizes: list[list[int]], seed: int, data: st.DataObject) -> None:
    of_sources = random_lightcurves(sizes, seed)
    first = data.draw(st.integers(0, len(sizes) - 1))
    last = data.draw(st.integers(first + 1, len(sizes)))
    cut = cut_items(tables_of_objects(of_sources), first, last)
    assert_same(tables_of_objects(of_sources[first:last]), cut)


def raw(rng: np.random.Generator) -> RawPhotometry | None:
    """Nothing, or tables of some columns, some of them masked, with headers."""
    if rng.random() < 0.3:
        return None
    tables = []
    for _ in range(rng.integers(0, 3)):
        n = int(rng.integers(0, 5))
        columns = {"mjd": rng.random(n), "band": rng.choice(["g", "clear"], n)}
        if rng.random() < 0.5:
            columns["flag"] = np.ma.MaskedArray(rng.integers(0, 9, n), mask=rng.random(n) < 0.5)
        tables.append(RawTable(columns=columns, headers=("x" * int(rng.integers(0, 9)),)))
    return RawPhotometry(tables=tuple(tables))


@given(st.integers(1, 6), SEEDS, st.data())
def test_raw_photometry(n: int, seed: int, data: st.DataObject) -> None:
    rng = np.random.default_rng(seed)
    answers = [raw(rng) for _ in range(n)]
    first = data.draw(st.integers(0, n - 1))
    last = data.draw(st.integers(first + 1, n))
    cut = cut_items(pack_raw(answers), first, last)
    for answer, other in zip(answers[first:last], unpack_raw(cut, range(last - first)), strict=True):
        assert (answer or RawPhotometry(tables=())).digest() == other.digest()


@given(SIZES, SEEDS)
def test_cut_out_of_chosen_items(sizes: list[list[int]], seed: int) -> None:
    of_sources = random_lightcurves(sizes, seed)
    backwards = np.arange(len(sizes))[::-1]
    chosen = select_items(tables_of_objects(of_sources), backwards)
    for k in range(len(sizes)):
        assert_same(tables_of_objects([of_sources[backwards[k]]]), cut_items(chosen, k, k + 1))

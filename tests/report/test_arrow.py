"""Arrow's arrays made from buffers are those that Arrow itself makes."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retriever.report.arrow import arrow_array, arrow_table, arrow_text, numpy_array


@given(st.lists(st.text() | st.text("ab\x00")))
def test_text_comes_back(texts: list[str]) -> None:
    assert arrow_array(texts).to_pylist() == texts
    assert arrow_array(np.array(texts, object)).to_pylist() == texts
    arrow_array(texts).validate(full=True)
    in_columns = np.array(texts, np.str_)
    assert arrow_array(in_columns).to_pylist() == in_columns.tolist()
    assert arrow_array(in_columns[::2]).to_pylist() == in_columns[::2].tolist()
    arrow_array(in_columns).validate(full=True)


@pytest.mark.parametrize("n", [0, 7, 30_000])
def test_columns_become_the_arrays_that_arrow_makes_of_them(n: int) -> None:
    rng = np.random.default_rng(n)
    has = rng.random(n) < 0.9
    values = {
        "float": pa.array(rng.standard_normal(n), mask=~has),
        "integer": pa.array(rng.integers(0, 9, n), pa.int64()),
        "truth": pa.array(rng.random(n) < 0.5),
        "few": pa.array(rng.choice(["g", "r"], n).tolist(), pa.string()),
        "many": pa.array([f"s{k}" if known else None for k, known in enumerate(has.tolist())], pa.large_string()),
    }
    for name, array in values.items():
        for column in (pa.chunked_array([array]), pa.chunked_array([array[: n // 3], array[n // 3 :]])):
            for part in (column, column.slice(n // 4, n // 2)):
                np.testing.assert_array_equal(numpy_array(part), part.to_numpy(), err_msg=name)
    words = pa.chunked_array([values["few"].dictionary_encode()])
    np.testing.assert_array_equal(numpy_array(words), values["few"].to_numpy(zero_copy_only=False))


@pytest.mark.parametrize("kind", [np.int8, np.int64, np.uint32, np.float32, np.float64, np.bool_])
@pytest.mark.parametrize("n", [0, 1, 8, 9, 17])
def test_numbers_and_truth_values_come_back(kind, n) -> None:
    values = (np.arange(n) % 3).astype(kind)
    array = arrow_array(values)
    assert array.equals(pa.array(values.tolist(), pa.from_numpy_dtype(values.dtype)))
    every_second = np.arange(2 * n).astype(kind)[::2]  # not contiguous
    assert arrow_array(every_second).to_pylist() == every_second.tolist()


def test_nan_stays_nan_and_is_not_null() -> None:
    array = arrow_array(np.array([np.nan, 1.0]))
    assert array.null_count == 0 and np.isnan(array[0].as_py())


def test_a_table_keeps_the_order_of_its_columns() -> None:
    table = arrow_table({"b": np.arange(2), "a": np.array(["x", "é"])})
    assert table.column_names == ["b", "a"] and table["a"].to_pylist() == ["x", "é"]
    assert arrow_text("é").as_py() == "é"

"""Arrow's arrays made from buffers are those that Arrow itself makes."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retriever.report.arrow import arrow_array, arrow_table, arrow_text


@given(st.lists(st.text() | st.text("ab\x00")))
def test_text_comes_back(texts: list[str]) -> None:
    assert arrow_array(texts).to_pylist() == texts
    assert arrow_array(np.array(texts, object)).to_pylist() == texts
    arrow_array(texts).validate(full=True)
    in_columns = np.array(texts, np.str_)
    assert arrow_array(in_columns).to_pylist() == in_columns.tolist()
    assert arrow_array(in_columns[::2]).to_pylist() == in_columns[::2].tolist()
    arrow_array(in_columns).validate(full=True)


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

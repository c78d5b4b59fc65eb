"""Matching rows in columns agrees with plain loops."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retriever.report.matching import Agreement, agreement, all_pairs, pairs, row_ids, split_by_value

IDS = st.lists(st.integers(0, 4), max_size=12).map(lambda ids: np.array(ids, np.int64))


@given(IDS, IDS)
def test_all_pairs_are_those_of_two_loops(before, after) -> None:
    expected = {(i, j) for i, a in enumerate(before) for j, b in enumerate(after) if a == b}
    assert set(zip(*(rows.tolist() for rows in all_pairs(before, after)), strict=True)) == expected


@given(IDS, IDS)
def test_the_kth_row_of_a_number_belongs_to_the_kth_in_the_other_table(before, after) -> None:
    expected = set()
    for number in range(5):
        expected |= set(zip(np.flatnonzero(before == number), np.flatnonzero(after == number), strict=False))
    assert set(zip(*(rows.tolist() for rows in pairs(before, after)), strict=True)) == expected


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3)), min_size=1), st.integers(0, 20))
def test_rows_have_one_number_exactly_when_their_values_agree(rows, cut) -> None:
    columns = {"x": np.array([row[0] for row in rows], object), "k": np.array([row[1] for row in rows])}
    parts = [{key: own[:cut] for key, own in columns.items()}, {key: own[cut:] for key, own in columns.items()}]
    ids = np.concatenate(row_ids(parts, ["x", "k"]))
    for i, a in enumerate(rows):
        for j, b in enumerate(rows):
            assert (ids[i] == ids[j]) == (a == b)


def test_columns_that_run_together_are_told_apart() -> None:
    ids = row_ids([{"x": np.array(["ab", "a"]), "y": np.array(["c", "bc"])}], ["x", "y"])[0]
    assert ids[0] != ids[1]


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        (1.0, 1.0, Agreement.SAME),
        (np.nan, np.nan, Agreement.SAME),
        (np.inf, np.inf, Agreement.SAME),
        (0.0, -0.0, Agreement.SAME),
        (58000.0, 58000.0 * (1 + 5e-13), Agreement.WITHIN),
        (58000.0, 58000.0 * (1 + 2e-12), Agreement.OTHER),
        (0.0, 5e-13, Agreement.WITHIN),
        (0.0, 2e-12, Agreement.OTHER),
        (np.nan, 1.0, Agreement.OTHER),
        (np.inf, 1.0, Agreement.OTHER),
        (np.inf, -np.inf, Agreement.OTHER),
    ],
)
def test_numbers_within_the_tolerance(a: float, b: float, expected: Agreement) -> None:
    rows = np.arange(2)  # the second row gives the column a scale of 1e5
    columns = [{"x": np.array([value, 1e5])} for value in (a, b)]
    assert agreement(*columns, rows, rows).tolist() == [expected, Agreement.SAME]


def test_small_numbers_are_compared_at_the_scale_of_their_column() -> None:
    rows = np.arange(2)
    flux = {"flux": np.array([3e-26, 4e-26])}
    assert agreement(flux, {"flux": np.array([3e-26, 5e-26])}, rows, rows).tolist() == [0, 2]


def test_words_and_whole_numbers_have_no_tolerance_and_the_worst_column_decides() -> None:
    rows = np.arange(4)
    a = {"n": np.array([1, 1, 1, 1]), "word": np.array(["a", "a", "a", "a"], object), "x": np.ones(4)}
    b = {
        "n": np.array([1, 2, 1, 1]),
        "word": np.array(["a", "a", "b", "a"], object),
        "x": np.array([1.0, 1.0, 1.0, 1.0 + 1e-14]),
        "only here": np.arange(4),
    }
    assert agreement(a, b, rows, rows).tolist() == [0, 2, 2, 1]


def test_times_that_rounding_moved_stay_together_and_others_are_split() -> None:
    ids = [np.array([0, 0, 1]), np.array([0, 0, 1])]
    times = [np.array([58000.0, 58001.0, 58000.0]), np.array([58001.0 + 1e-8, 58000.0 - 1e-8, 58000.5])]
    before, after = split_by_value(ids, times)
    assert before[0] == after[1] and before[1] == after[0]
    assert len({*before.tolist(), *after.tolist()}) == 4

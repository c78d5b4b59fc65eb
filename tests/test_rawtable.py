import numpy as np
import pytest

from retriever.errors import DataError
from retriever.rawtable import RawPhotometry, RawTable


def answer(**columns: np.ndarray) -> RawPhotometry:
    return RawPhotometry(tables=(RawTable(columns=columns, headers=("A = 1",), origin="f"),))


def test_every_difference_shows_in_the_digest() -> None:
    x = np.array([1.0, 2.0])
    variants = [
        answer(x=x), answer(y=x), answer(x=x.astype(np.float32)), answer(x=np.array([1.0, 2.5])), answer(x=x[:1]),
        answer(x=np.ma.MaskedArray(x, mask=[False, False])), answer(x=np.ma.MaskedArray(x, mask=[False, True])),
        RawPhotometry(tables=(RawTable(columns={"x": x}, headers=("A = 2",), origin="f"),)),
        RawPhotometry(tables=(RawTable(columns={"x": x}, headers=("A = 1",), origin="f", units={"x": "mag"}),)),
        RawPhotometry(tables=()),
    ]  # fmt: skip
    assert len({one.digest() for one in variants}) == len(variants)
    assert answer(x=x).digest() == answer(x=x.copy()).digest()


def test_how_rows_are_split_into_tables_shows_in_the_digest() -> None:
    def tables(*parts: list[float]) -> RawPhotometry:
        return RawPhotometry(tables=tuple(RawTable(columns={"x": np.array(part)}) for part in parts))

    variants = [tables([1.0, 1.0]), tables([1.0], [1.0]), tables([1.0, 1.0], []), tables([], [1.0, 1.0])]
    assert len({one.digest() for one in variants}) == len(variants)
    square, flat = np.ones((2, 2)), np.ones((1, 4))
    assert answer(x=square).digest() != answer(x=flat).digest()


def test_a_value_moved_between_columns_or_headers_shows_in_the_digest() -> None:
    x, y = np.array([1, 2], np.int16), np.array([3, 4], np.int16)
    assert answer(x=x, y=y).digest() != answer(x=y, y=x).digest()
    one, other = (
        RawPhotometry(tables=(RawTable(columns={}, headers=headers, origin=origin),))
        for headers, origin in ((("a", "b"), "c"), (("a",), "b"))
    )
    assert one.digest() != other.digest()


@pytest.mark.parametrize("values", [[1.0, 2.0, 3.0], ["a", "bb", ""], [1, 2, 3], [True, False, True]])
def test_values_under_a_mask_do_not_count(values: list) -> None:
    mask = [False, True, False]
    column, other = np.ma.MaskedArray(values, mask=mask), np.ma.MaskedArray(values, mask=mask)
    other.data[1] = values[0]
    assert answer(x=column).digest() == answer(x=other).digest()
    other.data[2] = values[1]
    assert answer(x=column).digest() != answer(x=other).digest()


def test_provenance_is_no_part_of_the_digest() -> None:
    tables = answer(x=np.ones(2)).tables
    assert RawPhotometry(tables=tables, provenance={"fetched": "now"}).digest() == RawPhotometry(tables=tables).digest()


def test_bytes_are_native_and_values_the_same() -> None:
    table = RawTable(columns={"x": np.array([1, 2], ">i4")})
    assert table.columns["x"].dtype == np.dtype("=i4")
    assert table.columns["x"].tolist() == [1, 2]


@pytest.mark.parametrize("bad", [{"x": np.array([object()])}, {"x": np.ones(2), "y": np.ones(3)}, {"x": np.float64(1)}])
def test_what_cannot_be_kept_is_refused(bad: dict[str, np.ndarray]) -> None:
    with pytest.raises(DataError):
        RawTable(columns=bad)


def test_header_cards() -> None:
    header = "SIMPLE  =                    T\nSECTOR  =                   24 / the sector\nOBJECT  = 'A/B''s  '"
    table = RawTable(columns={}, headers=(header,))
    assert (table.card("SECTOR"), table.card("NONE", "?")) == ("24", "?")

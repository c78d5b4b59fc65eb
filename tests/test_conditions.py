import numpy as np
import pytest

from retriever.conditions import columns_in, rows_where
from retriever.errors import ConfigError

COLUMNS = {
    "G": np.array([14.0, 16.0, 18.0, np.nan]), "Pwd": np.array([0.9, 0.5, 0.99, 0.8]), "band": np.array(["g", "r", "g", "i"]),
    "n": np.ma.MaskedArray([1, 2, 3, 4], mask=[False, True, False, False]), "name": np.array(["a", "", "c", "d"]),
    "m": np.ma.MaskedArray(np.array(["a", "x", "c", "d"]), mask=[False, True, False, False]),
    "flags": np.array(["00", "0D", "0", ""]), "code": np.array([b"a", b"b", b"", b"a"]), "x": np.array([1.0, np.nan, 3.0, 4.0]), "y": np.ma.MaskedArray([1.0, 2.0, 3.0, 4.0], mask=[0, 1, 0, 0]),
}  # fmt: skip


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("G < 17", [1, 1, 0, 0]),
        ("G < 17 and Pwd > 0.75", [1, 0, 0, 0]),
        ("G < 15 or G > 17", [1, 0, 1, 0]),
        ("not G < 17", [0, 0, 1, 0]),
        ("15 < G <= 18", [0, 1, 1, 0]),
        ("band == 'g'", [1, 0, 1, 0]),
        ("band in ['r', 'i']", [0, 1, 0, 1]),
        ("band not in ['r', 'i']", [1, 0, 1, 0]),
        ("isnan(G)", [0, 0, 0, 1]),
        ("abs(G - 16) <= 2", [1, 1, 1, 0]),
        ("n > 0", [1, 0, 1, 1]),  # what is missing fulfils nothing
        ("2 * n == 6", [0, 0, 1, 0]),
        ("Pwd > 0.5 and -G > -17", [1, 0, 0, 0]),
        ("True", [1, 1, 1, 1]),
        # what is missing is missing in every kind of column alike
        *(
            (f"{name} {test}", expected)
            for name in "nxy"
            for test, expected in (
                ("!= 1", [0, 0, 1, 1]),
                ("in [1, 2]", [1, 0, 0, 0]),
                ("not in [1, 2]", [0, 0, 1, 1]),
                ("> 3 or G < 17", [1, 1, 0, 1]),
                ("> 0 and G < 17", [1, 0, 0, 0]),
            )
        ),
        *((f"not ({name} > 3)", [1, 0, 1, 0]) for name in "nxy"),
        *((f"not ({name} > 3 and G < 15)", [1, 1, 1, 0]) for name in "nxy"),
        *((f"isnan({name})", [0, 1, 0, 0]) for name in "nxy"),
        *((f"not isnull({name})", [1, 0, 1, 1]) for name in ("n", "x", "y", "name", "m")),
        *((f"{name} != 'a'", [0, 0, 1, 1]) for name in ("name", "m")),
        ("band[0] == 'g'", [1, 0, 1, 0]),
        ("flags[1] == '0'", [1, 0, 0, 0]),
        ("not flags[1] == '0'", [0, 1, 0, 0]),
        ("column('band') == 'r' or column('G') < 15", [1, 1, 0, 0]),
        ("code == 'a'", [1, 0, 0, 1]),
        ("code != 'a'", [0, 1, 0, 0]),
        ("sqrt(n - 3) > 0.5", [0, 0, 0, 1]),
        ("not sqrt(n - 3) > 0.5", [0, 0, 1, 0]),
    ],
)
def test_conditions(expression: str, expected: list[int]) -> None:
    assert rows_where(expression, COLUMNS, 4).astype(int).tolist() == expected


@pytest.mark.parametrize(
    "expression",
    [
        "G", "G <", "G = 17", "__import__('os').system('true')", "G.real > 1", "[x for x in G]", "open('x')", "lambda: 1",
        "G < band", "G[0] > 1", "absent_function(G) > 1", "band in G", "band == ''",
    ],
)  # fmt: skip
def test_what_is_no_condition_is_refused_in_one_sentence(expression: str) -> None:
    with pytest.raises(ConfigError) as caught:
        rows_where(expression, COLUMNS, 4)
    assert "\n" not in str(caught.value)


def test_names_of_columns_are_found_once() -> None:
    assert (
        columns_in("G < 17 and sqrt(G) > Pwd") == ["G", "Pwd"]
        and columns_in("column('chi/N') < 10 * duJy") == ["chi/N", "duJy"]
        and columns_in("  ") == []
    )

import numpy as np
import pytest

from retriever.errors import CatalogError
from retriever.source import SourceTable


def table(**changes: object) -> SourceTable:
    columns: dict[str, object] = {
        "name": ["A", "B", "C"],
        "ra": [0.0, 10.0, 359.9],
        "dec": [-90.0, 0.0, 45.0],
    }
    return SourceTable.from_columns(**{**columns, **changes})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": ["A", "A", "C"]}, "'A'"),
        ({"name": ["A", "", "C"]}, "row 1"),
        ({"name": ["A", "B\0b", "C"]}, "NUL"),
        ({"ra": [0.0, 360.0, 1.0]}, "'B' has ra=360"),
        ({"ra": [0.0, np.nan, 1.0]}, "'B' has ra=nan"),
        ({"dec": [0.0, 0.0, 90.1]}, "'C'"),
        ({"name": [], "ra": [], "dec": []}, "no sources"),
        ({"ra": [0.0, 1.0]}, "2 values for 3 names"),
    ],
)
def test_bad_tables_get_a_clear_answer(changes: dict[str, object], words: str) -> None:
    with pytest.raises(CatalogError, match=words):
        table(**changes)


def test_a_changed_field_changes_its_sources_digest_alone() -> None:
    before = table(mag=[1.0, 2.0, np.nan])
    for changes in (
        {"mag": [1.0, 2.5, np.nan]},
        {"band": ["", "r", ""]},
        {"aliases": [(), ("x",), ()]},
        {"pmra": [np.nan, 1, np.nan]},
    ):
        after = table(**{"mag": [1.0, 2.0, np.nan], **changes})
        same = [a == b for a, b in zip(before.digests, after.digests, strict=True)]
        assert same in ([True, False, True], [False, False, False])
        assert not same[1]
    assert table(mag=[1.0, 2.0, np.nan]).digests.tolist() == before.digests.tolist()


def test_places_are_those_of_a_tenth_of_an_arcsec() -> None:
    step = 0.1 / 3600
    near, far = table(ra=[0.0, 10.0 + 0.2 * step, 359.9]), table(ra=[0.0, 10.0 + 2 * step, 359.9])
    assert near.places.tolist() == table().places.tolist()
    assert [a == b for a, b in zip(far.places, table().places, strict=True)] == [True, False, True]
    assert near.digests[1] != table().digests[1]


def test_digest_of_the_table_does_not_depend_on_order() -> None:
    assert table().take(np.array([2, 0, 1])).digest == table().digest
    assert table().take(np.array([0, 1])).digest != table().digest


def test_sources_and_aliases() -> None:
    named = table(aliases=[(), ("b", "beta"), ()], extra={"teff": np.array([1, 2, 3])})
    assert named.row_of("beta") == 1
    assert named.row_of("B") == 1
    assert named.row_of("nobody") == -1
    assert named.source(1).extra == {"teff": 2}
    assert named.source(1).aliases == ("b", "beta")


def test_positions_are_rounded_so_that_the_last_bits_do_not_count() -> None:
    rough = table(ra=[0.0, np.nextafter(10.0, 11), 359.9], dec=[-90.0, 1e-12, np.nextafter(45.0, 46)])
    assert rough.digests.tolist() == table().digests.tolist()
    assert rough.ra.tolist() == [0.0, 10.0, 359.9] and rough.dec.tolist() == [-90.0, 0.0, 45.0]
    assert table(ra=[0.0, 10.000000002, 359.9]).digests[1] != table().digests[1]
    around = table(ra=[0.0, 10.0, np.nextafter(360.0, 0)])
    assert around.ra[2] == 0.0
    again = rough.take(np.arange(3))
    assert again.digests.tolist() == rough.digests.tolist()

import pytest

from retriever.catalogs.inline import InlineCatalog
from retriever.errors import CatalogError


def test_given_sources() -> None:
    table = InlineCatalog(
        sources=[
            {"name": 7, "ra": 1, "dec": 2, "mag": 15, "aliases": ["x"]},
            {"name": "B", "ra": 3, "dec": 4},
        ]
    ).load()
    assert table.name.tolist() == ["7", "B"]
    assert table.source(0).mag == 15.0
    assert table.source(1).aliases == ()


@pytest.mark.parametrize(
    ("sources", "words"),
    [
        ([], "no sources"),
        ([{"name": "A", "ra": 1}], "no 'dec'"),
        ([{"name": "A", "ra": 1, "dec": 2, "magg": 3}], "did you mean 'mag'"),
        ([{"name": "A", "ra": "one", "dec": 2}], "numbers"),
        ([{"name": "A", "ra": 360, "dec": 2}], "ra=360"),
    ],
)
def test_bad_rows_get_a_clear_answer(sources: list[dict[str, object]], words: str) -> None:
    with pytest.raises(CatalogError, match=words):
        InlineCatalog(sources=sources).load()

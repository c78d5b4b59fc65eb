"""What every observatory owes: a request that says all that shapes its answers, alike for one source and for many."""

import dataclasses
import inspect
import pkgutil
from importlib import import_module
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import retriever.observatories
from retriever.client.http import Client
from retriever.errors import ConfigError
from retriever.interfaces import NO_RESULT, AsksArchive, HasFileStates, RequestsInColumns, ResolvesNames, StatesRequest
from retriever.observatories.atlas import ATLASObservatory
from retriever.observatories.demo import DemoObservatory
from retriever.observatories.folder import FolderObservatory
from retriever.observatories.mast import KeplerObservatory, TESSObservatory
from retriever.observatories.mission_folder import MissionFolderObservatory
from retriever.observatories.requests import (
    NOT_ASKED,
    constant,
    places,
    request_digest,
    request_digests,
    request_of,
    request_text,
)
from retriever.observatories.tap import TAPObservatory
from retriever.observatories.ztf import ZTFObservatory
from retriever.source import Source, SourceTable

BY_PLACE = "SELECT mjd FROM epochs WHERE 1 = CONTAINS(POINT('ICRS', ra, dec), CIRCLE('ICRS', {ra}, {dec}, {radius}))"
BY_UPLOAD = "SELECT s.retriever_row, e.mjd FROM TAP_UPLOAD.sources AS s, epochs AS e WHERE e.id = s.id AND e.ra < s.ra"
TAP = TAPObservatory(query=BY_PLACE, url="http://here")
NAMED = TAPObservatory(query="SELECT {id} WHERE x = '{name}%'", id_pattern=r"^Gaia DR3 (\d+)$", url="http://here")

OBSERVATORIES: list[Any] = [
    DemoObservatory(), FolderObservatory(), FolderObservatory(key="star", pattern="*.csv"), MissionFolderObservatory(),
    ZTFObservatory(), ZTFObservatory(bands=["g"], stop=59000.0, login=True, max_mag=None), ATLASObservatory(min_dec=-50.0),
    TESSObservatory(), KeplerObservatory(), TAP, NAMED,
    TAPObservatory(query=BY_UPLOAD, upload=True, epoch=2010.0, release="DR1", id_pattern=r"(\d+)", max_dec=80.0),
]  # fmt: skip

SOURCES = [
    Source(name="A", ra=10.0, dec=20.0, mag=15.0), Source(name="B", ra=0.0, dec=-60.0, mag=21.0),
    Source(name="unknown", ra=359.9999999, dec=89.0), Source(name="C", ra=30.0, dec=85.0, mag=19.0),
    Source(name="M", ra=100.0, dec=5.0, pmra=-800.0, pmdec=10362.0, epoch=2016.0, mag=9.5),
    Source(name="TIC 12", ra=1.0, dec=2.0), Source(name="x", ra=1.0, dec=2.0, aliases=("KIC 757076", "Gaia DR3 123")),
    Source(name="ZTF oid 123", ra=1.0, dec=2.0, aliases=("ZTF oid 456", "EPIC 9")),
]  # fmt: skip


def changed(value: Any, name: str) -> list[Any]:
    """Other values that a field may have."""
    special: dict[str, list[Any]] = {
        "pipelines": [["QLP"]], "missions": [["K2"]], "cadence": ["short"], "bands": [["r"]], "telescope": ["Kepler"],
        "pattern": ["{name}_*.fits"], "query": [f"{value} AND mag < 15"], "id_pattern": [r"(1)"], "min_dec": [12.0],
        "max_dec": [12.0], "max_mag": [17.0], "start": [58500.0], "stop": [58500.0], "epoch": [2005.0], "sectors": [[3]],
        "filters": [["g"]],
    }  # fmt: skip
    if name in special:
        return special[name]
    if isinstance(value, bool):
        return [not value]
    return [value + "x" if isinstance(value, str) else value + 1]


NOT_IN_REQUESTS = {"survey": "it is in the key of the stage"}

RESULT_FIELDS = sorted(
    {
        (type(observatory).__name__, spec.name)
        for observatory in OBSERVATORIES
        for spec in dataclasses.fields(observatory)
        if spec.metadata.get("result", True) and spec.name not in NOT_IN_REQUESTS
    }
)


@pytest.mark.parametrize(("kind", "name"), RESULT_FIELDS)
def test_each_field_that_changes_a_result_changes_a_request(kind: str, name: str) -> None:
    """Of some source, in some of the observatories above: a query need not use all that there is."""
    pairs = [
        (observatory, dataclasses.replace(observatory, **{name: value}))
        for observatory in OBSERVATORIES
        if type(observatory).__name__ == kind
        for value in changed(getattr(observatory, name), name)
        if not (name == "key" and not observatory.key)
    ]
    assert any(one.request(source) != other.request(source) for one, other in pairs for source in SOURCES)


@pytest.mark.parametrize("observatory", OBSERVATORIES, ids=lambda one: type(one).__name__)
def test_fields_that_change_no_result_change_no_request(observatory: Any) -> None:
    for spec in dataclasses.fields(observatory):
        if spec.metadata.get("result", True) or "no_result_with" in spec.metadata or spec.name in ("upload", "client"):
            continue
        value = getattr(observatory, spec.name)
        new = "elsewhere" if value is None or isinstance(value, str) else not value if value in (True, False) else value
        other = dataclasses.replace(observatory, **{spec.name: new})
        assert [other.request(source) for source in SOURCES] == [observatory.request(source) for source in SOURCES]


def test_all_observatories_state_their_requests_and_are_tested_here() -> None:
    known = {type(one) for one in OBSERVATORIES}
    modules = pkgutil.iter_modules(retriever.observatories.__path__, "retriever.observatories.")
    for module in (import_module(info.name) for info in modules):
        for kind in vars(module).values():
            if inspect.isclass(kind) and kind.__module__ == module.__name__ and hasattr(kind, "fetch"):
                assert kind in known
    assert all(isinstance(one, StatesRequest) for one in OBSERVATORIES)


def test_what_observatories_can_do_is_declared() -> None:
    kinds = {type(one): one for one in OBSERVATORIES}
    by_protocol = {
        AsksArchive: {ZTFObservatory, ATLASObservatory, TESSObservatory, KeplerObservatory, TAPObservatory},
        HasFileStates: {FolderObservatory, MissionFolderObservatory},
        ResolvesNames: {TESSObservatory},
    }
    for protocol, expected in by_protocol.items():
        assert {kind for kind, one in kinds.items() if isinstance(one, protocol)} == expected


words = st.sampled_from(
    ["A", '50% %s "x" ’é', "TIC 12", "KIC 7", "EPIC 8", "Gaia DR3 99", "ZTF oid 1", "ZTF oid 22", "ZTF oid x", "007"]
)
degrees = st.one_of(st.floats(0, 359.99), st.integers(0, 3_599_999_999).map(lambda k: k / 1e7), st.just(359.99999999))
numbers = st.one_of(st.just(float("nan")), st.floats(-1000, 1000), st.sampled_from([0.0, -0.0, 0.1, float("inf")]))


@st.composite
def tables(draw: st.DrawFn) -> SourceTable:
    n = draw(st.integers(1, 6))

    def column(values: st.SearchStrategy[Any]) -> list[Any]:
        return draw(st.lists(values, min_size=n, max_size=n))

    names = [f"{word} {k}" if word in ("A", "007") else word for k, word in enumerate(column(words))]
    names = [name if name not in names[:k] else f"copy {k}" for k, name in enumerate(names)]
    return SourceTable.from_columns(
        name=names, ra=column(degrees), dec=column(st.floats(-90, 90)), pmra=column(numbers), pmdec=column(numbers),
        mag=column(numbers), epoch=column(st.sampled_from([2000.0, 2016.0, 2019.0])),
        aliases=column(st.lists(words, max_size=3).map(tuple)) if draw(st.booleans()) else (),
    )  # fmt: skip


@pytest.mark.parametrize("observatory", OBSERVATORIES, ids=lambda one: type(one).__name__)
@given(table=tables())
@example(table=SourceTable.from_columns(name=["-0"], ra=[0.0], dec=[-0.0], pmra=[-0.0], pmdec=[0.0], mag=[-0.0]))
def test_requests_in_columns_are_those_of_each_source(observatory: Any, table: SourceTable) -> None:
    requests = [observatory.request(source) for source in map(table.source, range(len(table)))]
    digests = [request_digest(str(name), one) for name, one in zip(table.name, requests, strict=True)]
    assert request_digests(observatory, table).tolist() == digests
    for request in requests:
        request_text(request)  # finite JSON
        assert NOT_ASKED not in request or len(request) == 1
    if isinstance(observatory, RequestsInColumns):
        columns = observatory.request_columns(table)
        rows = [{key: cell(column, k) for key, column in columns.items()} for k in range(len(table))]
        rows = [{key: value for key, value in row.items() if value is not None} for row in rows]
        assert [{NOT_ASKED: row[NOT_ASKED]} if NOT_ASKED in row else row for row in rows] == requests


def cell(column: Any, row: int) -> Any:
    value = column[row]
    if value is np.ma.masked:
        return None
    return value.item() if isinstance(value, np.generic) else value


def test_many_rows_are_encoded_as_few_are() -> None:
    n = 70_000  # more than are encoded together
    table = SourceTable.from_columns(
        name=[f"S{k}" for k in range(n)],
        ra=np.linspace(0, 359, n),
        dec=np.linspace(-50, 80, n),
        mag=np.linspace(10, 23, n),
    )
    digests = request_digests(ZTFObservatory(), table)
    assert len(set(digests.tolist())) == n
    for row in (0, 65_535, 65_536, n - 1):
        source = table.source(row)
        assert digests[row] == request_digest(source.name, ZTFObservatory().request(source))


def test_places_are_moved_rounded_and_wrapped() -> None:
    still = Source(name="X", ra=1.2345675, dec=-5.0000005)  # halves are rounded to even, and not as a sine comes out
    assert [float(angle[0]) for angle in places(still, 2030.0)] == [float(np.round(1.2345675, 6)), -5.0]
    assert places(Source(name="X", ra=359.9999999, dec=0.0), None)[0].tolist() == [0.0]
    north = Source(name="X", ra=10.0, dec=0.0, pmra=0.0, pmdec=3600.0, epoch=2000.0)
    assert [float(angle[0]) for angle in places(north, 2010.0)] == [10.0, 0.01]
    assert [float(angle[0]) for angle in places(north, None)] == [10.0, 0.0]


def test_wrong_columns_are_refused() -> None:
    class Wrong:
        survey = "W"

        def __init__(self, column: Any) -> None:
            self.column = column

        def fetch(self, sources: Any) -> Any:
            return ()

        def request(self, source: Source) -> dict[str, Any]:
            return {}

        def request_columns(self, sources: SourceTable) -> dict[str, Any]:
            return {"x": self.column}

    table = SourceTable.from_columns(name=["A", "B"], ra=[0.0, 1.0], dec=[0.0, 0.0])
    with pytest.raises(ConfigError, match=r"survey W .* not finite"):
        request_digests(Wrong(np.array([1.0, np.nan])), table)
    with pytest.raises(ConfigError, match="array of floats"):
        request_digests(Wrong(np.array([1.0, "a"], object)), table)
    with pytest.raises(ValueError, match="not finite"):
        request_digest("X", {"x": float("inf")})
    assert len(request_digests(Wrong(constant(2.5, 2)), table)) == 2


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plain:
    """An observatory that does not say what it asks."""

    survey: str = "PLAIN"
    depth: int = 1
    url: str = dataclasses.field(default="", metadata=NO_RESULT)

    def fetch(self, sources: Any) -> Any:
        return ()


def test_without_requests_all_fields_and_the_place_to_a_tenth_of_an_arcsec_count() -> None:
    step = 0.1 / 3600
    table = SourceTable.from_columns(name=["A", "B", "C"], ra=[10.0, 10.0 + 0.2 * step, 10.0 + 2 * step], dec=[5.0] * 3)
    first, near, far = (request_of(Plain(), table.source(row)) for row in range(3))
    assert first == near != far
    assert request_of(Plain(url="x"), table.source(0)) == first != request_of(Plain(depth=2), table.source(0))
    digests = [request_digest(str(table.name[row]), request_of(Plain(), table.source(row))) for row in range(3)]
    assert request_digests(Plain(), table).tolist() == digests


# ---- what changes, and what does not ---------------------------------------------------------------------------------


def test_a_bound_changes_the_requests_of_those_it_affects_alone() -> None:
    bright, between, faint = (Source(name="X", ra=0.0, dec=0.0, mag=mag) for mag in (15.0, 20.5, 23.0))
    before, after = ZTFObservatory(max_mag=22.0), ZTFObservatory(max_mag=20.0)
    same = [before.request(source) == after.request(source) for source in (bright, between, faint)]
    assert same == [True, False, True]


def test_the_address_of_a_service_counts_where_no_release_does() -> None:
    star = SOURCES[0]
    there = dataclasses.replace(TAP, url="http://there")
    assert there.request(star) != TAP.request(star)
    one, other = (dataclasses.replace(each, release="DR2") for each in (TAP, there))
    assert one.request(star) == other.request(star)


def test_what_a_query_does_not_use_is_not_in_its_request() -> None:
    star = Source(name="Gaia DR3 7", ra=1.0, dec=2.0)
    assert set(NAMED.request(star)) == {"query", "name", "id", "url"}
    moved = dataclasses.replace(star, ra=9.0)
    assert NAMED.request(moved) == NAMED.request(star)


def test_a_known_number_makes_place_and_magnitude_irrelevant_to_mast() -> None:
    star = Source(name="TIC 12", ra=1.0, dec=2.0, mag=12.0)
    other = dataclasses.replace(star, ra=9.0, mag=15.0)
    assert TESSObservatory().request(star) == TESSObservatory().request(other)
    unnamed = dataclasses.replace(star, name="X")
    assert TESSObservatory().request(unnamed) != TESSObservatory().request(dataclasses.replace(unnamed, mag=12.5))
    any_mag = TESSObservatory(max_mag_difference=0.0)
    assert any_mag.request(unnamed) == any_mag.request(dataclasses.replace(unnamed, mag=12.5))


def test_the_demo_answers_alike_for_equal_requests() -> None:
    star = Source(name="X", ra=10.0, dec=20.0, mag=16.0)
    rough = dataclasses.replace(star, ra=10.0000001, dec=19.9999999, mag=16.0000001)
    demo = DemoObservatory()
    one, other = demo.fetch([star, rough])
    assert demo.request(star) == demo.request(rough) and one.digest() == other.digest()


def test_what_is_asked_is_in_the_provenance() -> None:
    (answer,) = DemoObservatory().fetch(SOURCES[:1])
    assert answer.provenance["asked"] == request_text(DemoObservatory().request(SOURCES[0]))
    (nothing,) = ZTFObservatory(client=Client(offline=True)).fetch([SOURCES[1]])
    assert nothing.provenance["asked"] == '{"not asked": "south of min_dec"}'

"""Compacting products without a file: fewer rows, and nothing that counts changes."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select

from retriever.identity import digest_each
from retriever.outcome import Outcome
from retriever.pipeline.cutting import cut_tasks
from retriever.pipeline.inventory import raw_inputs, take_inventory
from retriever.pipeline.plan import Choice
from retriever.store import models, queries
from retriever.store.batch import Batch, StageSpec
from retriever.store.compaction import compacted
from retriever.store.database import Database
from retriever.store.garbage import collect, find_garbage
from retriever.store.packing import pack
from retriever.store.products import Products, latest, made, pack_products
from retriever.store.publishing import publish, stage_ids
from retriever.store.segments import write
from tests.pipeline.test_plan import CATALOG, RECIPE, N

CODES = st.sampled_from(list(Outcome))
INPUTS = digest_each(f"input {k}".encode() for k in range(8))


def table(entries: list[tuple[int, Outcome]], mark: int = 0) -> dict[str, np.ndarray]:
    """A segment's table of sources: of two inputs one name each."""
    return {
        "name": np.array([f"s{k // 2}" for k, _ in entries], np.str_),
        "input": np.array([INPUTS[k] for k, _ in entries]),
        "digest": digest_each(f"{k} {mark}".encode() for k, _ in entries),
        "outcome": np.array([int(code) for _, code in entries], np.int8),
        "n_rows": np.full(len(entries), mark),
        "message": np.array([f"no {mark}" if code == Outcome.FAILED else "" for _, code in entries]),
    }


BATCHES = st.lists(
    st.tuples(
        st.booleans(), st.lists(st.tuples(st.integers(0, 7), CODES), min_size=1, unique_by=lambda entry: entry[0])
    ),
    max_size=8,
)


@given(BATCHES)
def test_what_counts_of_each_input_is_the_same_after_compaction(batches) -> None:
    loose = (Outcome.FAILED, Outcome.PENDING, Outcome.BLOCKED)  # what a batch without a file can say
    parts = [
        pack_products(
            table([(k, code if has_file else loose[code % 3]) for k, code in entries], mark),
            mark + 1 if has_file else None,
        )
        for mark, (has_file, entries) in enumerate(batches)
    ]
    has_file = [flag for flag, _ in batches]
    new = compacted(parts, has_file)
    kept = [part for part, flag in zip(parts, has_file, strict=True) if flag]
    before, after = Products.unpack(parts), Products.unpack([*kept, *new])
    assert len(new) <= 1 and len(after) <= len(before)
    assert made(after) == made(before)
    assert set(after.names()) == set(before.names())
    for old, now in zip(latest(INPUTS, before).tolist(), latest(INPUTS, after).tolist(), strict=True):
        assert (old < 0) == (now < 0)
        if old >= 0:
            for column in ("outcome", "segment", "digest", "input", "n_rows"):
                assert getattr(before, column)[old] == getattr(after, column)[now]
            assert before.message.get(old) == after.message.get(now)
            assert before.row[old] == after.row[now] or after.segment[now] < 0
    assert compacted([*kept, *new], [True] * len(kept) + [False] * len(new)) == new


def test_products_of_a_lost_segment_are_pending_if_nothing_came_later() -> None:
    parts = [
        pack_products(table([(0, Outcome.DONE), (1, Outcome.DONE), (2, Outcome.FAILED)]), 1),
        pack_products(table([(1, Outcome.EMPTY)]), 2),
    ]
    (new,) = compacted(parts, [False, True])
    products = Products.unpack([new])
    assert products.input.tolist() == [INPUTS[0], INPUTS[2]]
    assert products.outcome.tolist() == [Outcome.PENDING, Outcome.FAILED]
    assert products.digest[0] == digest_each([b"0 0"])[0]


# ---- in a database ---------------------------------------------------------------------------------------------------

RAW = RECIPE.specs["demo"]["download"]
REDUCE = RECIPE.specs["demo"]["reduce"]


@pytest.fixture
def database(tmp_path: Path, address: str) -> Iterator[Database]:
    with Database(address, tmp_path / "outputs") as opened:
        stage_ids(opened, list(RECIPE.specs["demo"].values()))
        yield opened


def publish_raw(
    database: Database, root: Path, rows: list[int], outcome: Outcome, mark: str, inputs=None, asked: str = ""
) -> str:
    """Publish raw products of some sources of the catalog; gives the segment's path."""
    inputs = raw_inputs(RECIPE.surveys["demo"].observatory, CATALOG, None)[rows] if inputs is None else inputs
    n = len(rows)
    sources = {
        "name": CATALOG.name[rows],
        "input": inputs,
        "digest": digest_each(f"{mark} {row}".encode() for row in rows),
        "outcome": np.full(n, int(outcome), np.int8),
        "n_rows": np.ones(n, np.int64),
        "message": np.full(n, "no" if outcome == Outcome.FAILED else ""),
    }
    made_here = outcome == Outcome.DONE
    provenance = f'{{"asked": "{asked}"}}' if asked else "{}"
    index = {
        "source": np.arange(n), "n_tables": np.ones(n, np.int64), "n_rows": np.ones(n, np.int64),
        "provenance": np.full(n, provenance), "aliases": np.full(n, "[]"),
    }  # fmt: skip
    words = {"stage": "download", "observatory": "demo", "survey": "DEMO", "data_type": "photometry"}
    image = pack({"stage_key": RAW.key, **words}, {"sources": sources, "raw_index": index})
    file = write(root, "DEMO/photometry/RA000", f"RA000.00+000.00 {mark}", image) if made_here else None
    batch = Batch(
        stage_key=RAW.key, root="data", file=file, tables={"sources": sources, "raw_index": index},
        declared=RECIPE.stages["download"].tables,
    )  # fmt: skip
    publish(database, [batch], run="r", tokens=None)
    return file.path if file else ""


def rows_of_products(database: Database) -> int:
    with database.reading() as connection:
        return int(connection.scalar(select(func.count()).select_from(models.Product)) or 0)


def counting(database: Database, root: Path):
    """States and tasks of the plan, in plain data."""
    import dataclasses

    recipe = dataclasses.replace(RECIPE, data=root, outputs=root / "outputs")
    inventory = take_inventory(recipe, CATALOG, {}, database)
    choice = Choice(stages=recipe.stages.names, sources=np.ones(N, np.bool_))
    tasks = cut_tasks(recipe, inventory.states, choice, CATALOG.ra, 4, {})
    states = {
        stage: {
            name: getattr(state, name).tolist() for name in ("outcome", "segment", "digest", "input", "existed")
        } | {"message": state.message}
        for stage, state in inventory.states["demo"].items()
    }  # fmt: skip
    return states, [(task.stages, task.rows.tolist(), dict(task.segments)) for task in tasks]


def test_gc_compacts_and_neither_inventory_nor_plan_changes(database: Database, tmp_path: Path) -> None:
    for k in range(6):
        publish_raw(database, tmp_path, [0, 1, 2], Outcome.FAILED, f"f{k}")
    publish_raw(database, tmp_path, [2, 3], Outcome.DONE, "d")
    for k in range(3):
        publish_raw(database, tmp_path, [4 + k], Outcome.PENDING, f"p{k}")
    before, n = counting(database, tmp_path), rows_of_products(database)
    outcomes = before[0]["download"]["outcome"]
    assert outcomes[:4] == [Outcome.FAILED, Outcome.FAILED, Outcome.DONE, Outcome.DONE]
    collect(database, {"data": tmp_path, "outputs": tmp_path / "outputs"}, [])
    assert counting(database, tmp_path) == before
    assert (n, rows_of_products(database)) == (10, 2)
    collect(database, {"data": tmp_path, "outputs": tmp_path / "outputs"}, [])
    assert rows_of_products(database) == 2 and counting(database, tmp_path) == before


def garbage(database: Database, root: Path) -> dict[str, str]:
    """Garbage among raw data while a version needs its stage: path to kind."""
    roots = {"data": root, "outputs": root / "outputs"}
    files = find_garbage(database, roots, used_keys={RAW.key, REDUCE.key}, mentioned=set(), raw=True)
    return {file.path: file.kind for file in files}


def test_raw_data_of_another_request_supersedes_nothing(database: Database, tmp_path: Path) -> None:
    narrow = digest_each([b"radius 1, first", b"radius 1, second"])
    wide = digest_each([b"radius 2, first", b"radius 2, second"])
    publish_raw(database, tmp_path, [0, 1], Outcome.DONE, "narrow", narrow, asked="radius 1")
    publish_raw(database, tmp_path, [0, 1], Outcome.DONE, "wide", wide, asked="radius 2")
    assert garbage(database, tmp_path) == {}
    # without a recorded request the input stands for it
    other = digest_each([b"radius 3, first"])
    publish_raw(database, tmp_path, [0], Outcome.DONE, "unrecorded", other)
    assert garbage(database, tmp_path) == {}


def test_raw_data_is_superseded_by_a_later_answer_to_the_same_request(database: Database, tmp_path: Path) -> None:
    states = digest_each([b"radius 1, file of Monday"]), digest_each([b"radius 1, file of Tuesday"])
    old = publish_raw(database, tmp_path, [0], Outcome.DONE, "monday", states[0], asked="radius 1")
    publish_raw(database, tmp_path, [0], Outcome.DONE, "tuesday", states[1], asked="radius 1")
    assert garbage(database, tmp_path) == {old: "superseded"}


def test_products_of_raw_data_that_is_kept_are_kept(database: Database, tmp_path: Path) -> None:
    from retriever.identity import join_digests
    from retriever.store.publishing import add_sources

    raw = {"narrow": digest_each([b"1"]), "wide": digest_each([b"2"])}
    catalog = CATALOG.digests[:1]
    row = {"name": str(CATALOG.name[0]), "digest": catalog[0].decode(), "ra": 1.0, "dec": 2.0, "epoch": 2000.0}
    add_sources(database, [{**row, "mag": 1.0, "band": "r", "aliases": []}])
    paths = {}
    for mark, inputs in raw.items():
        publish_raw(database, tmp_path, [0], Outcome.DONE, mark, inputs, asked=mark)
        derived = join_digests(digest_each([f"{mark} 0".encode()]), catalog)
        paths[mark] = publish_reduced(database, tmp_path / "outputs", derived, mark)
    assert garbage(database, tmp_path) == {}
    publish_raw(database, tmp_path, [0], Outcome.DONE, "again", digest_each([b"1 again"]), asked="narrow")
    assert garbage(database, tmp_path)[paths["narrow"]] == "superseded"


def publish_reduced(database: Database, root: Path, inputs, mark: str) -> str:
    sources = {
        "name": CATALOG.name[:1], "input": inputs, "digest": digest_each([mark.encode()]),
        "outcome": np.zeros(1, np.int8), "n_rows": np.ones(1, np.int64), "message": np.full(1, ""),
    }  # fmt: skip
    spec: StageSpec = REDUCE
    words = {"stage": "reduce", "observatory": "demo", "survey": "DEMO", "data_type": "photometry"}
    image = pack({"stage_key": spec.key, **words}, {"sources": sources})
    file = write(root, f".stages/reduce/{spec.key[:12]}/RA000", f"RA000.00+000.00 {mark}", image)
    publish(
        database, [Batch(stage_key=spec.key, root="outputs", file=file, tables={"sources": sources})],
        run="r", tokens=None,
    )  # fmt: skip
    return file.path


def test_gc_leaves_rows_of_segments_as_their_files_have_them(database: Database, tmp_path: Path) -> None:
    publish_raw(database, tmp_path, [0, 1], Outcome.DONE, "d")
    publish_raw(database, tmp_path, [2], Outcome.FAILED, "f")
    collect(database, {"data": tmp_path, "outputs": tmp_path / "outputs"}, [])
    (number,) = queries.segments(database, stage_ids(database, [RAW]).values())
    (part,) = queries.packed_of_segment(database, number)
    assert part.names == b"\0random_000000\0random_000001\0"

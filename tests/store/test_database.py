from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import insert, text

from retriever.detection import INJECTIONS
from retriever.errors import LeaseLost, SchemaError, StoreError
from retriever.identity import digest_each
from retriever.outcome import Outcome
from retriever.stages.download import RAW_INDEX
from retriever.store import models, queries
from retriever.store.batch import Batch, StageSpec
from retriever.store.database import Database
from retriever.store.leases import LeaseHolder
from retriever.store.products import NOWHERE, latest
from retriever.store.publishing import add_sources, publish, stage_ids
from retriever.store.segments import SegmentFile

SPEC = StageSpec(key="k" * 64, stage="download", observatory="demo", survey="DEMO")


def batch(path: str | None, **outcomes: Outcome) -> Batch:
    n = len(outcomes)
    sources = {
        "name": np.array(list(outcomes)),
        "input": digest_each(name.encode() for name in outcomes),
        "outcome": np.array([int(outcome) for outcome in outcomes.values()]),
        "n_rows": np.arange(n),
        "digest": digest_each([b"d"] * n),
        "message": np.array(["no"] * n),
    }
    file = SegmentFile(path=path, digest="x", size=3) if path else None
    return Batch(stage_key=SPEC.key, root="data", file=file, tables={"sources": sources})


@pytest.fixture
def database(tmp_path: Path, address: str) -> Iterator[Database]:
    opened = Database(address, tmp_path)
    stage_ids(opened, [SPEC])
    yield opened
    opened.close()


def outcomes(database: Database) -> dict[str, tuple[int, int | None]]:
    (number,) = stage_ids(database, [SPEC]).values()
    found = queries.products(database, number)
    names = np.array(found.names())
    last = {}
    for name in set(names.tolist()):
        (entry,) = latest(digest_each([name.encode()]), found)
        if entry >= 0:
            last[name] = int(found.outcome[entry]), int(found.segment[entry])
    return last


def test_publishing_twice_is_harmless_and_failures_give_way(database: Database) -> None:
    with LeaseHolder(database, "run") as leases:
        leases.take([SPEC.key], print)
        first = batch("p1", A=Outcome.DONE, B=Outcome.FAILED, C=Outcome.BLOCKED)
        for _ in range(2):
            publish(database, [first], run="r", tokens=leases.tokens)
        assert outcomes(database) == {"A": (0, 1), "B": (2, NOWHERE)}
        publish(database, [batch("p2", B=Outcome.EMPTY)], run="r", tokens=leases.tokens)
    assert outcomes(database) == {"A": (0, 1), "B": (1, 2)}


def test_segments_found_on_disk_fill_gaps_and_replace_nothing(database: Database) -> None:
    publish(database, [batch("p1", A=Outcome.DONE), batch(None, B=Outcome.FAILED)], run="r", tokens=None)
    publish(database, [batch("p2", A=Outcome.EMPTY, B=Outcome.DONE, C=Outcome.DONE)], run="r", tokens=None)
    assert outcomes(database) == {"A": (0, 1), "B": (0, 2), "C": (0, 2)}


def test_a_transaction_is_whole_or_nothing(database: Database) -> None:
    bad = batch("p2", B=Outcome.DONE)
    wrong = {
        "source": np.array([0, 0]),
        **{word: np.array([None, None]) for word in ("n_tables", "n_rows", "provenance")},
    }
    bad = Batch(
        stage_key=SPEC.key, root="data", file=bad.file, tables={**bad.tables, "raw_index": wrong}, declared=(RAW_INDEX,)
    )
    with pytest.raises(StoreError, match="nothing was changed"):
        publish(database, [batch("p1", A=Outcome.DONE), bad], run="r", tokens=None)
    assert outcomes(database) == {}
    assert queries.known_paths(database, "data") == set()


def test_who_lost_its_lease_cannot_publish(database: Database) -> None:
    with LeaseHolder(database, "run") as leases:
        leases.take([SPEC.key], print)
        with pytest.raises(LeaseLost):
            publish(database, [batch("p1", A=Outcome.DONE)], run="r", tokens={SPEC.key: "stolen"})
    with pytest.raises(LeaseLost):
        publish(database, [batch("p1", A=Outcome.DONE)], run="r", tokens={SPEC.key: "gone"})
    assert outcomes(database) == {}


def test_newer_schemas_are_refused_and_broken_files_too(tmp_path: Path) -> None:
    import sqlite3
    from contextlib import closing

    Database("", tmp_path)
    with closing(sqlite3.connect(tmp_path / "retriever.db")) as connection, connection:
        connection.execute("UPDATE meta SET value = '99'")
    with pytest.raises(SchemaError, match="schema 99"):
        Database("", tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    (other / "retriever.db").write_bytes(b"junk" * 1000)
    with pytest.raises(StoreError, match="not a database"):
        Database("", other)


def test_names_find_sources_and_aliases(database: Database) -> None:
    row = {"digest": "d", "ra": 1.0, "dec": 2.0, "epoch": 2000.0, "mag": float("nan"), "band": ""}
    add_sources(database, [{**row, "name": "A%", "aliases": ["TIC 1", 'a"b_']}, {**row, "name": "B", "aliases": []}])
    assert (
        queries.source_names(database, "A%")
        == queries.source_names(database, "TIC 1")
        == queries.source_names(database, 'a"b_')
        == ["A%"]
    )
    assert queries.source_names(database, "%") == queries.source_names(database, "TIC") == []


def test_products_of_a_source_are_found_by_its_whole_name_and_the_latest_counts(database: Database) -> None:
    publish(
        database, [batch("p1", A=Outcome.DONE, AB=Outcome.DONE), batch(None, B=Outcome.FAILED)], run="r", tokens=None
    )
    publish(database, [batch("p2", B=Outcome.DONE, A=Outcome.BLOCKED)], run="r", tokens=None)
    for name, path, row in (("A", "p1", 0), ("AB", "p1", 1), ("B", "p2", 0)):
        (one,) = queries.products_of(database, name)
        assert (one["path"], one["source_row"], one["outcome"], one["stage"]) == (path, row, 0, "download")
    assert queries.products_of(database, "") == queries.products_of(database, "C") == []


def test_sqlite_on_a_network_file_system_is_refused_and_told_by_the_nearest_mount(tmp_path, monkeypatch) -> None:
    from retriever.store import database as module
    from retriever.store.host import file_system_of

    mounts = tmp_path / "mounts"
    mounts.write_text(
        "disk / ext4 rw 0 0\n"
        f"server:/x {tmp_path}/far nfs4 rw 0 0\n"
        f"disk2 {tmp_path}/far/near ext4 rw 0 0\n"
        f"server:/y {tmp_path}/with\\040space cifs rw 0 0\n"
    )
    kinds = {
        name: file_system_of(tmp_path / name, str(mounts))
        for name in ("far/x", "far/near/y", "farther", "with space/z")
    }
    assert kinds == {"far/x": "nfs4", "far/near/y": "ext4", "farther": "ext4", "with space/z": "cifs"}
    monkeypatch.setattr(module, "file_system_of", lambda folder: "nfs4")
    with pytest.raises(StoreError, match=r"network file system \(nfs4\).*store=postgres"):
        Database("", tmp_path / "outputs")
    assert not (tmp_path / "outputs" / "retriever.db").exists()


def test_a_declared_column_that_the_database_lacks_is_added_with_its_default(tmp_path: Path, address: str) -> None:
    row = {
        "segment_id": 1, "row": 0, "source_row": 0, "lightcurve": 1, "shape": "box", "time_peak": 1.0, "width": 2.0,
        "amplitude": 3.0, "snr": 4.0, "dmag": 5.0, "n_epochs": 6,
    }  # fmt: skip
    injections = models.row_table(INJECTIONS)
    with Database(address, tmp_path) as database, database.writing() as connection:
        for name in ("found_snr", "blended"):
            connection.execute(text(f"ALTER TABLE injections DROP COLUMN {name}"))
        connection.execute(insert(injections).values({**row, "recovered": True}))
    with Database(address, tmp_path) as database:
        assert not database.outdated
        (chunk,) = queries.rows(database, INJECTIONS, [1])
    assert chunk["amplitude"].tolist() == [3.0] and chunk["recovered"].tolist() == [True]
    assert np.isnan(chunk["found_snr"]).all() and chunk["blended"].tolist() == [False]


def test_a_database_that_lacks_a_column_without_default_is_made_anew(tmp_path: Path, address: str) -> None:
    with Database(address, tmp_path) as database, database.writing() as connection:
        connection.execute(text("ALTER TABLE injections DROP COLUMN n_epochs"))
    with Database(address, tmp_path) as database:
        assert database.outdated
        assert list(queries.rows(database, INJECTIONS, [1])) == []

"""Pinning, removing, and the database made anew, with folders and segments made by hand."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from retriever.errors import StoreError
from retriever.identity import digest_each
from retriever.report.versions import VersionFolder
from retriever.retention.versions import index_versions, pin, rebuild, remove, renew, unneeded, unpin
from retriever.store import queries
from retriever.store.database import Database
from retriever.store.leases import LeaseHolder
from retriever.store.packing import pack
from retriever.store.segments import write
from tests.folders import KEYS, add_tables, make_version


@pytest.fixture
def outputs(tmp_path: Path) -> Path:
    folder = tmp_path / "outputs"
    folder.mkdir()
    return folder


@pytest.fixture
def database(outputs: Path, address: str) -> Iterator[Database]:
    with Database(address, outputs) as opened:
        yield opened


def make_segment(root: Path, stage: str, key: str, *, names: tuple[str, ...] = ("s0", "s1")) -> str:
    """A segment on disk that no database knows; gives its path with the root, as tables of versions have it."""
    n = len(names)
    sources = {
        "name": np.array(names), "input": digest_each(f"{name} {key}".encode() for name in names),
        "digest": digest_each(name.encode() for name in names), "outcome": np.zeros(n, np.int8),
        "n_rows": np.ones(n, np.int64), "message": np.full(n, ""),
    }  # fmt: skip
    words = {"stage": stage, "observatory": "demo", "survey": "DEMO", "data_type": "photometry"}
    is_raw = stage == "download"
    folder = "DEMO/photometry/RA000" if is_raw else f".stages/{stage}/{key[:12]}/RA000"
    file = write(root, folder, "RA000.00+000.00", pack({"stage_key": key, **words}, {"sources": sources}))
    return f"{'data' if is_raw else 'outputs'}/{file.path}"


# ---- pin and remove --------------------------------------------------------------------------------------------------


def test_a_pinned_version_is_removed_only_after_it_is_unpinned(outputs, database) -> None:
    version = make_version(outputs)
    add_tables(version)
    index_versions(outputs, database, [version.name])
    pin(version, "in the paper")
    assert json.loads((version.folder / "pinned.json").read_text())["why"] == "in the paper"
    with pytest.raises(StoreError, match=f"retriever pin {version.name} --off"):
        remove(version, database)
    assert version.has_tables
    unpin(version)
    unpin(version)
    remove(version, database)
    assert not version.folder.exists() and queries.versions(database) == []


def test_removing_deletes_the_manifest_last(outputs, database, monkeypatch) -> None:
    version = make_version(outputs)
    add_tables(version)
    real, deleted = Path.unlink, []

    def unlink(path: Path, *words, **more) -> None:
        if path.parent == version.folder:
            deleted.append(path.name)
        real(path, *words, **more)

    monkeypatch.setattr(Path, "unlink", unlink)
    remove(version, database)
    assert deleted[-1] == "version.json" and len(deleted) == 8


def test_a_link_in_a_version_folder_is_removed_and_what_it_leads_to_stays(outputs, database, tmp_path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes").write_text("x")
    version = make_version(outputs)
    (version.folder / "link").symlink_to(tmp_path / "mine")
    (version.folder / "runs").mkdir()
    remove(version, database)
    assert (tmp_path / "mine" / "notes").exists() and not version.folder.exists()


def test_nothing_is_removed_or_rebuilt_while_a_run_is_at_work(outputs, database, tmp_path) -> None:
    version = make_version(outputs)
    index_versions(outputs, database, [version.name])
    with LeaseHolder(database, "a run") as leases:
        leases.take(["k" * 64], print)
        with pytest.raises(StoreError, match="cannot remove a version while"):
            remove(version, database)
        with pytest.raises(StoreError, match="cannot rebuild the database while"):
            rebuild(outputs, tmp_path / "data", database)
    assert version.folder.exists() and [row["name"] for row in queries.versions(database)] == [version.name]


def test_a_pin_that_cannot_be_written_is_refused_in_a_sentence(tmp_path) -> None:
    (tmp_path / "a file").write_text("x")
    with pytest.raises(StoreError, match=r"cannot write into|a file"):
        pin(VersionFolder(tmp_path / "a file" / "V"), "")


# ---- what is not needed ----------------------------------------------------------------------------------------------


def test_only_what_no_version_needs_is_garbage(outputs, database, tmp_path) -> None:
    data = tmp_path / "data"
    needed = make_segment(outputs, "reduce", KEYS["reduce"])
    mentioned = make_segment(outputs, "reduce", "a" * 64)  # of other code, but in the version's tables
    unused = make_segment(outputs, "reduce", "b" * 64)
    raw = make_segment(data, "download", "f" * 64)
    version = make_version(outputs)
    add_tables(version, segments={"segment": np.array(["", "", mentioned, mentioned])})
    assert rebuild(outputs, data, database) == {"segments": 4, "versions": 1, "verdicts": 0}
    orphan = make_segment(outputs, "reduce", KEYS["reduce"], names=("s9",))

    def files(raw: bool) -> dict[str, str]:
        return {f"{file.root}/{file.path}": file.kind for file in unneeded(outputs, data, database, raw)}

    assert files(raw=False) == {unused: "unused", orphan: "orphan"}
    assert files(raw=True) == {unused: "unused", orphan: "orphan", raw: "unused"}
    remove(version, database)
    assert files(raw=False) == {needed: "unused", mentioned: "unused", unused: "unused", orphan: "orphan"}


# ---- rebuild ---------------------------------------------------------------------------------------------------------


def test_the_database_is_made_anew_from_files(outputs, database, tmp_path) -> None:
    data = tmp_path / "data"
    make_segment(data, "download", KEYS["download"])
    make_segment(outputs, "reduce", KEYS["reduce"])
    first = make_version(outputs, created="2026-02-01T00:00:00+00:00")
    second = make_version(outputs, 4.0, created="2026-01-01T00:00:00+00:00")
    add_tables(first)
    run = first.folder / "runs" / "20260201T000000Z-abcdef"
    run.mkdir(parents=True)
    (run / "summary.json").write_text('{"state": "complete"}')
    broken = first.folder / "runs" / "no time"
    broken.mkdir()
    (broken / "summary.json").write_text("{")
    steps = []
    for _ in range(2):
        counts = rebuild(outputs, data, database, on_progress=lambda done, total: steps.append((done, total)))
        assert counts == {"segments": 2, "versions": 2, "verdicts": 0}
        versions = queries.versions(database)
        assert [row["name"] for row in versions] == [second.name, first.name]
        assert versions[1]["last_run"]["name"] == run.name and versions[0]["last_run"] is None
        (row,) = queries.source_rows(database, "s0")
        assert (row["ra"], row["aliases"]) == (10.0, ["x", "y"])
        products = queries.products_of(database, "s0")
        assert {product["stage"] for product in products} == {"download", "reduce"}
        assert all(product["versions"] == sorted([first.name, second.name]) for product in products)
    assert steps[-1] == (2, 2)


def test_only_an_outdated_database_is_renewed(outputs, database, tmp_path) -> None:
    make_segment(outputs, "reduce", KEYS["reduce"])
    renew(outputs, tmp_path / "data", database)
    assert queries.known_paths(database, "outputs") == set()
    database.outdated = True
    renew(outputs, tmp_path / "data", database)
    assert len(queries.known_paths(database, "outputs")) == 1 and not database.outdated


def test_a_damaged_segment_is_left_out(outputs, database, tmp_path) -> None:
    good = make_segment(outputs, "reduce", KEYS["reduce"])
    bad = outputs / make_segment(outputs, "reduce", "b" * 64).partition("/")[2]
    bad.write_bytes(bad.read_bytes()[:-1])
    assert rebuild(outputs, tmp_path / "data", database)["segments"] == 1
    assert queries.known_paths(database, "outputs") == {good.partition("/")[2]}

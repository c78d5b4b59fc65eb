"""Whole runs on PostgreSQL give what they give on SQLite."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sqlalchemy import insert, select

from retriever.errors import StoreError
from retriever.store import connection, models
from retriever.store.database import Database
from tests.helpers import assert_same_tables, last_summary, version_folder

SECRET = "-".join(("a", "secret", "word"))  # in pieces: versions keep a patch of what is not committed, this file in it
SMALL = ("catalog.size=40", "executor.batch_size=10", "observatories.demo.empty=0.1", "observatories.demo.failures=0.1")


@pytest.fixture
def on_postgres(postgres: str, stand: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    address = re.sub(r"//([^:@/]+)(:[^@]*)?@", rf"//\1:{SECRET}@", postgres)
    monkeypatch.setenv("RETRIEVER_DATABASE", address)
    return address


@pytest.mark.slow
def test_tables_are_those_of_sqlite_and_all_commands_work(retriever, stand, on_postgres, monkeypatch) -> None:
    assert retriever("run", "store=postgres", *SMALL).code == 3
    folder = version_folder(stand / "outputs")
    assert not (stand / "outputs" / "retriever.db").exists()
    monkeypatch.delenv("RETRIEVER_DATABASE")
    there = ("paths.outputs=elsewhere/outputs", "paths.data=elsewhere/data")
    assert retriever("run", *SMALL, *there).code == 3
    assert_same_tables(folder, version_folder(stand / "elsewhere" / "outputs"))
    monkeypatch.setenv("RETRIEVER_DATABASE", on_postgres)

    name = folder.name
    assert retriever("run", "store=postgres", *SMALL, "finder.snr_threshold=4").code == 3
    (other,) = {path.name for path in (stand / "outputs").glob("DEMO_*")} - {name}
    assert (
        json.loads(retriever("plan", *SMALL, "--json").out)["stages"][1]["reused"]
        == last_summary(folder)["outcomes"]["demo"]["reduce"]["done"]
    )
    for words in (
        ["status"], ["where", "random_000003"], ["show", name], ["show", "random_000003"], ["compare", name, other],
        ["show", f"{name}/random_000003/demo/1"], ["show", "--near", "344.777", "-1.692"], ["verify"],
        ["redo", name, "--sources", "random_000003", "--stage", "reduce"],
    ):  # fmt: skip
        ended = retriever(*words, "--json")
        assert ended.code == 0, ended
    ended = retriever("simulated", name, "random_000003", "x.parquet")
    assert ended.code == 1 and "run it again first" in ended.err
    assert retriever("run", *SMALL).code == 3
    assert retriever("simulated", name, "random_000003", "x.parquet").code == 0
    assert not (stand / "outputs" / "retriever.db").exists()
    assert last_summary(folder)["computed"]["reduce"] == 1
    assert retriever("pack", other, "other.zip").code == 0
    assert retriever("remove", other).code == 0
    assert json.loads(retriever("gc", "--json").out)["files"] == 8
    assert retriever("verify").code == 0
    assert retriever("unpack", "other.zip").code == 0
    assert retriever("rebuild").code == 0
    assert retriever("verify").code == 0
    assert retriever("run", *SMALL, "run.retry=false").code == 3
    assert last_summary(folder)["computed"]["reduce"] == 0


def test_a_writer_that_stands_still_gives_way_and_writes_nothing(stand, postgres, monkeypatch) -> None:
    """A stopped process would hold the lock of all writers for as long as it is stopped."""
    monkeypatch.setattr(connection, "STALLED_SECONDS", 0.5)
    with Database(postgres, stand) as stopped, Database(postgres, stand) as other:
        with pytest.raises(StoreError, match="nothing was changed"), stopped.writing() as standing:
            standing.execute(insert(models.Meta), {"key": "mine", "value": "1"})
            with other.writing() as going:
                going.execute(insert(models.Meta), {"key": "theirs", "value": "2"})
        with other.reading() as reader:
            assert reader.scalars(select(models.Meta.key)).all() == ["schema", "theirs"]
        with stopped.writing() as woken:
            woken.execute(insert(models.Meta), {"key": "mine", "value": "1"})


@pytest.mark.slow
def test_a_password_is_written_nowhere_and_refused_as_an_override(retriever, stand, on_postgres) -> None:
    assert retriever("run", "store=postgres", *SMALL).code == 3
    assert retriever("run", "-m", "store=postgres", *SMALL, "finder.snr_threshold=4,5").code == 3
    ended = retriever("run", "store=postgres", f"store.url={on_postgres}", "-m")
    assert ended.code == 2 and "environment" in ended.err and SECRET not in ended.err + ended.out
    ended = retriever("status", "--database", on_postgres)
    assert ended.code == 2 and SECRET not in ended.err
    for path in stand.rglob("*"):
        if path.is_file():
            assert SECRET.encode() not in path.read_bytes(), path


def test_no_address_and_a_server_that_is_not_there(retriever, stand, monkeypatch) -> None:
    ended = retriever("run", "store=postgres")
    assert ended.code == 2 and "RETRIEVER_DATABASE" in ended.err and ended.err.count("\n") == 1
    monkeypatch.setenv("RETRIEVER_DATABASE", f"postgresql://somebody:{SECRET}@127.0.0.1:1/x")
    ended = retriever("run", "store=postgres", *SMALL)
    assert ended.code == 1 and ended.err.count("\n") == 1 and SECRET not in ended.err


@pytest.mark.slow
def test_a_database_that_is_away_for_some_seconds_is_waited_for(
    stand, postgres_server, postgres, tmp_path_factory
) -> None:
    """Every connection is cut and no new one let in, then they are again."""
    from sqlalchemy import create_engine, text
    from sqlalchemy.engine import make_url

    name = make_url(postgres).database
    words = [sys.executable, "-m", "retriever.cli", "run", "catalog.size=150", "executor.batch_size=10"]
    environment = {**os.environ, "RETRIEVER_DATABASE": postgres}
    slow = [*words, "store=postgres", "observatories.demo.wait=0.01"]
    process = subprocess.Popen(
        slow, cwd=stand, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    while len(list(stand.glob("data/*/*/*/*.h5"))) < 3:
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.01)
    engine = create_engine(postgres_server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false"))
        cut = text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name")
        assert connection.execute(cut, {"name": name}).all()
        time.sleep(10)
        connection.execute(text(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true"))
    engine.dispose()
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 0, out
    assert "trying again" in out
    alone = tmp_path_factory.mktemp("alone")
    subprocess.run(words, cwd=alone, check=True, capture_output=True)
    assert_same_tables(version_folder(stand / "outputs"), version_folder(alone / "outputs"))
    verify = [sys.executable, "-m", "retriever.cli", "verify"]
    assert subprocess.run(verify, cwd=stand, env=environment, capture_output=True).returncode == 0

"""The commands that look at versions and look after them, on versions of the demo."""

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.helpers import assert_same_tables, last_summary, tables

SIZE = ("catalog.size=40", "executor.batch_size=10")


def versions(outputs: Path = Path("outputs"), project: str = "DEMO") -> list[Path]:
    """Version folders, oldest first."""
    return sorted(
        outputs.glob(f"{project}_*"), key=lambda path: json.loads((path / "version.json").read_text())["created"]
    )


def segments(where: str = "*") -> list[Path]:
    raw = Path("data").glob("*/*/*/*.h5") if where == "*" else []
    return sorted([*Path("outputs/.stages").glob(f"{where}/*/*/*.h5"), *raw])


def told(retriever, *words: str):
    ended = retriever(*words, "--json")
    assert ended.code in (0, 4), ended
    return json.loads(ended.out)


@pytest.fixture
def two(made_once, stand) -> list[Path]:
    """Two versions: thresholds 5 and 3.5."""
    return two_thresholds(made_once)


@pytest.fixture
def two_faint(made_once, stand) -> list[Path]:
    """The same with fainter events, some of which the lower threshold alone finds."""
    return two_thresholds(made_once, "simulator.amplitude={kind: uniform, low: 3.0, high: 9.0}")


def two_thresholds(made_once, *words: str) -> list[Path]:
    made_once((*SIZE, *words), (*SIZE, *words, "finder.snr_threshold=3.5"))
    return versions()


# ---- compare and show --------------------------------------------------------------------------------------------


def test_compare_counts_as_a_plain_loop_does_and_needs_no_database(retriever, stand, two_faint) -> None:
    copies = [shutil.copytree(folder, stand / "copies" / folder.name) for folder in two_faint]
    shutil.rmtree("outputs")
    found = told(retriever, "compare", *map(str, copies))
    assert found["parameters"] == {"finder.snr_threshold": [5.0, 3.5]}
    assert found["data"] == {"same": 40, "within_1e-12": 0, "other": 0}
    assert found["sources"] == {"both": 40, "only": [[], []], "outcomes_changed": {}}
    a, b = (tables(folder)["detections"] for folder in copies)
    overlaps = [
        (i, j)
        for i, one in a.iterrows()
        for j, two in b.iterrows()
        if one.source == two.source and one.time_first <= two.time_last and two.time_first <= one.time_last
    ]
    both = len({i for i, _ in overlaps})
    assert found["detections"]["both"] == both
    assert found["detections"]["only"] == [len(a) - both, len(b) - len({j for _, j in overlaps})]
    injections = [tables(folder)["injections"] for folder in copies]
    for row in found["injections"]:
        low, high = row["snr"][0], row["snr"][1] or np.inf
        for k, frame in enumerate(injections):
            here = frame[(frame.snr.abs() >= low) & (frame.snr.abs() < high) & ~frame.blended]
            assert row["injected"][k] == len(here)
            assert row["recovered"][k] == pytest.approx(here.recovered.mean())
    for row in found["search"]["completeness"]["width"]:
        for k, frame in enumerate(injections):
            here = frame[(frame.width >= row["from"]) & (frame.width < row["to"]) & ~frame.blended]
            seen = here[here.n_epochs > 0]
            assert (row["observed"][k], row["recovered"][k]) == (len(seen), seen.recovered.sum())
    (at_six,) = [row for row in found["search"]["thresholds"] if row["threshold"] == 6.0]
    assert at_six["detections"] == [int((tables(folder)["detections"].snr.abs() >= 6).sum()) for folder in copies]
    assert found["search"]["source_days"][0] == found["search"]["source_days"][1] > 0
    text = retriever("compare", *map(str, copies)).out
    assert "completeness by snr, with 68 % intervals, and rate:" in text
    assert found["histograms"]["snr"] == 0.0
    same = told(retriever, "compare", str(copies[0]), str(shutil.copytree(copies[0], stand / "again" / copies[0].name)))
    assert same["parameters"] == {} and same["detections"]["only"] == [0, 0]


def test_compare_tells_other_data_sources_and_outcomes(made_once, retriever, stand) -> None:
    made_once(SIZE)
    words = ("observatories.demo.empty=0.3", "catalog.size=30")
    assert retriever("run", *SIZE[1:], *words).code in (0, 3)
    first, second = (str(folder) for folder in versions())
    found = told(retriever, "compare", first, second)
    assert found["sources"]["both"] == 30 and len(found["sources"]["only"][0]) == 10
    changed = found["sources"]["outcomes_changed"]
    empty = tables(Path(second))["products"].query("stage == 'download' and outcome == 'empty'")
    assert changed["demo download: done → empty"] == len(empty)


def test_commits_of_a_record_from_elsewhere_never_become_options_of_git(retriever, stand, two) -> None:
    record = two[0] / "version.json"
    manifest = json.loads(record.read_text())
    manifest["inputs"]["commits"]["retriever"] = f"--output={stand}/evil"
    record.write_text(json.dumps(manifest))
    found = told(retriever, "compare", two[0].name, two[1].name)
    assert found["code"]["between"]["retriever"] is None
    assert not list(stand.glob("evil*"))


def test_compare_of_many_is_a_row_a_version(retriever, stand, two) -> None:
    assert retriever("run", *SIZE, "simulator.trials=2").code == 0
    rows = told(retriever, "compare", "DEMO_*")
    assert len(rows) == 3
    assert {row["finder.snr_threshold"] for row in rows} == {5.0, 3.5}
    assert {row["simulator.trials"] for row in rows} == {1.0, 2.0}
    frame = tables(two[0])["injections"]
    (row,) = [row for row in rows if row["version"] == two[0].name]
    assert row["recovered"] == pytest.approx(frame.recovered.mean())
    seen = frame[~frame.blended & ((frame.n_epochs > 0) | frame.recovered)]
    assert row["completeness"] == pytest.approx(seen.recovered.mean())


def test_names_that_mean_nothing_or_too_much_get_a_sentence(retriever, stand, two) -> None:
    for words in (("compare", "DEMO", "x"), ("show", "nothing"), ("compare", two[0].name), ("remove", "DEMO_")):
        ended = retriever(*words)
        assert ended.code in (1, 2) and ended.err.startswith("retriever: ") and ended.err.count("\n") == 1, ended


def test_show_leads_from_a_detection_to_the_raw_table(retriever, stand, two) -> None:
    detections = tables(two[1])["detections"]
    one = detections.iloc[0]
    found = told(retriever, "show", f"{two[1].name}/{one.source}/{one.observatory}/{one.lightcurve}/{one.peak}")
    assert found["what"] == "detection"
    assert found["detection"]["snr"] == one.snr
    download, reduce, analyze, _ = found["lineage"]
    products = tables(two[1])["products"].query("source == @one.source").set_index("stage")
    assert download["digest"] == products.digest["download"]
    assert download["provenance"]["request"] == one.source and download["provenance"]["fetched"]
    assert found["commits"] == json.loads((two[1] / "version.json").read_text())["inputs"]["commits"]
    assert "snr_threshold" in Path(found["configuration"]).read_text()
    (stand / "outputs" / "retriever.db").rename(stand / "away.db")  # a version's folder tells it all
    assert found == told(retriever, "show", f"{two[1].name}/{one.source}/{one.observatory}/{one.lightcurve}/{one.peak}")
    (stand / "away.db").rename(stand / "outputs" / "retriever.db")
    import h5py

    for product in (download, reduce, analyze):
        with h5py.File(product["file"]) as segment:
            assert segment["sources"]["name"][product["row"]].decode() == one.source
            assert json.loads(segment.attrs["manifest"])["stage_key"] == product["stage_key"]
    assert told(retriever, "show", one.source)["what"] == "source"
    assert told(retriever, "show", str(segments("reduce")[0]))["manifest"]["stage"] == "reduce"
    near = told(
        retriever,
        "show",
        "--near",
        str(pd.read_parquet(two[1] / "sources.parquet").ra[0]),
        str(pd.read_parquet(two[1] / "sources.parquet").dec[0]),
    )
    assert near["sources"][0]["distance_arcsec"] == 0.0


def test_show_takes_the_path_of_a_version_too(retriever, stand, two) -> None:
    detection = tables(two[1])["detections"].iloc[0]
    address = f"{detection.source}/demo/{detection.lightcurve}"
    for inside in ("random_000003", address, f"{address}/{detection.peak}"):
        by_name = told(retriever, "show", f"{two[1].name}/{inside}")
        assert told(retriever, "show", f"outputs/{two[1].name}/{inside}") == by_name
        assert told(retriever, "show", f"{stand}/outputs/{two[1].name}/{inside}") == by_name
    assert told(retriever, "show", f"outputs/{two[1].name}/")["what"] == "version"
    ended = retriever("show", f"outputs/{two[1].name}/nobody")
    assert ended.code == 1 and "nobody" in ended.err and ended.err.count("\n") == 1


def test_show_recomputes_the_hash_of_a_version(retriever, stand, two) -> None:
    assert told(retriever, "show", two[0].name)["hash_holds"] is True
    record = two[0] / "version.json"
    record.write_text(record.read_text().replace('"snr_threshold": 5.0', '"snr_threshold": 6.0'))
    assert told(retriever, "show", two[0].name)["hash_holds"] is False
    assert retriever("show", two[0].name).code == 4


# ---- verify, repair, redo ----------------------------------------------------------------------------------------


def flip(path: Path, rng: np.random.Generator) -> None:
    image = bytearray(path.read_bytes())
    at = int(rng.integers(len(image)))
    image[at] ^= 1 << int(rng.integers(8))
    path.write_bytes(image)


@pytest.mark.parametrize("seed", range(6))
def test_a_flipped_bit_anywhere_is_found_and_mended(made_once, retriever, stand, seed) -> None:
    made_once(SIZE)
    (folder,) = versions()
    before = shutil.copytree(folder, stand / "before")
    assert retriever("verify").code == 0
    rng = np.random.default_rng(seed)
    path = segments()[int(rng.integers(len(segments())))]
    flip(path, rng)
    (found,) = told(retriever, "verify")
    assert (found["kind"], found["path"].endswith(path.name)) == ("altered", True)
    assert retriever("verify").code == 4
    assert retriever("verify", "--repair").code == 0
    assert retriever("verify").code == 0
    assert retriever("run", *SIZE).code == 0
    assert (
        sum(last_summary(folder)["computed"].values()) == 10
    )  # the batch in that segment, and nothing that depends on it
    assert_same_tables(folder, before)
    assert retriever("verify").code == 0


def test_verify_names_what_is_missing_unknown_or_differs(retriever, stand, two) -> None:
    segments("analyze")[0].unlink()
    moved = segments("reduce")[0]
    with closing(sqlite3.connect("outputs/retriever.db")) as connection, connection:
        connection.execute("DELETE FROM segments WHERE path LIKE ?", (f"%{moved.name}",))
        connection.execute(
            "UPDATE lightcurves SET flux_median = 1 WHERE row = 0 AND segment_id = (SELECT max(segment_id) FROM lightcurves)"
        )
    kinds = sorted(one["kind"] for one in told(retriever, "verify"))
    assert {"missing", "orphan", "rows differ", "lost rows"} == set(kinds)
    assert retriever("verify", "--repair").code == 0
    for words in ((), ("finder.snr_threshold=3.5",)):
        assert retriever("run", *SIZE, *words).code == 0
    assert told(retriever, "verify") == []


def test_redo_moves_nothing_else(retriever, stand, two) -> None:
    before = shutil.copytree(two[0], stand / "before")
    name = two[0].name
    words = ("redo", name, "--sources", "random_000003", "random_000007", "--stage", "reduce")
    assert told(retriever, *words) == {"pending": 2}
    plan = {stage["stage"]: stage for stage in told(retriever, "plan", *SIZE)["stages"]}
    assert [plan[stage]["to_make"] for stage in plan] == [0, 2, 0, 0]
    assert plan["reduce"]["reasons"] == ["invalidated by redo or verify: 2 sources"]
    assert retriever("run", *SIZE).code == 0
    assert last_summary(two[0])["computed"] == {"download": 0, "reduce": 2, "analyze": 0, "simulate": 0}
    assert_same_tables(two[0], before)
    assert retriever("redo", name, "--sources", "random_000003", "--stage", "download").code == 2
    assert told(retriever, "redo", name, "--sources", "random_000003", "--stage", "download", "--raw") == {"pending": 1}
    assert retriever("run", *SIZE).code == 0
    assert last_summary(two[0])["computed"] == {"download": 1, "reduce": 0, "analyze": 0, "simulate": 0}
    assert retriever("redo", name, "--sources", "nobody", "--stage", "reduce").code == 1
    assert retriever("verify").code == 0


# ---- remove, pin, gc ---------------------------------------------------------------------------------------------


def test_gc_frees_what_a_removed_version_alone_stood_on(retriever, stand, two) -> None:
    before = shutil.copytree(two[0], stand / "before")
    assert told(retriever, "gc")["files"] == 0
    assert retriever("pin", two[1].name, "--why", "in the paper").code == 0
    assert "pinned" in retriever("remove", two[1].name).err
    assert retriever("pin", two[1].name, "--off").code == 0
    assert retriever("remove", two[1].name).code == 0
    assert not two[1].exists()
    n = len(segments())
    would = told(retriever, "gc", "--dry-run")
    assert (would["files"], len(segments())) == (8, n)  # four batches, analyze and simulate
    sizes = sum(path.stat().st_size for path in segments())
    assert told(retriever, "gc")["bytes"] == would["bytes"] == sizes - sum(path.stat().st_size for path in segments())
    assert retriever("verify").code == 0
    assert retriever("run", *SIZE).code == 0
    assert sum(last_summary(two[0])["computed"].values()) == 0
    assert_same_tables(two[0], before)
    assert two[1].name not in retriever("status").out


def test_gc_frees_superseded_products_and_orphans_but_raw_data_only_when_told(retriever, stand) -> None:
    (stand / "raw").mkdir()
    rng = np.random.default_rng(1)

    def write(name: str) -> None:
        rows = [f"{58000 + k},{18 + 0.1 * rng.standard_normal():.4f},0.1,r" for k in range(30)]
        (stand / "raw" / f"{name}.csv").write_text("\n".join(["mjd,mag,magerr,filter", *rows]) + "\n")

    for name in ("a", "b"):
        write(name)
    (stand / "t.csv").write_text("name,ra,dec\na,1,2\nb,200,4\n")
    words = (
        "run",
        "observatory=folder",
        "paths.lightcurves=raw",
        "catalog=file",
        "catalog.path=t.csv",
        "executor.batch_size=1",
    )
    assert retriever(*words).code == 0
    write("a")
    assert retriever(*words).code == 0
    (folder,) = versions(project="FOLDER")
    before = shutil.copytree(folder, stand / "before")
    orphan = shutil.copy(segments("reduce")[0], segments("reduce")[0].with_name(f"x_{'0' * 32}.h5"))
    found = told(retriever, "gc")
    assert set(found["kinds"]) == {"orphan", "superseded"} and not orphan.exists()
    assert len(list(Path("data").rglob("*.h5"))) == 3
    assert told(retriever, "gc", "--raw")["kinds"].keys() == {"superseded"}
    assert len(list(Path("data").rglob("*.h5"))) == 2
    assert retriever(*words).code == 0
    assert sum(last_summary(folder)["computed"].values()) == 0
    assert_same_tables(folder, before)
    assert retriever("verify").code == 0


# ---- rebuild ---------------------------------------------------------------------------------------


def test_rebuild_gives_the_same_answers(retriever, stand, two) -> None:
    before = [shutil.copytree(folder, stand / "before" / folder.name) for folder in two]
    status, where = retriever("status").out, told(retriever, "where", "random_000003")
    (stand / "outputs" / "retriever.db").unlink()
    assert told(retriever, "rebuild") == {"segments": 4 + 4 + 8 + 8, "versions": 2, "verdicts": 0}
    assert retriever("status").out == status

    def strip(found):
        return sorted(
            (one["stage"], one["file"], one["row"], one["digest"], *one["versions"]) for one in found["products"]
        )

    assert strip(told(retriever, "where", "random_000003")) == strip(where)
    assert retriever("verify").code == 0
    for folder, old, words in zip(two, before, ((), ("finder.snr_threshold=3.5",)), strict=True):
        assert retriever("run", *SIZE, *words).code == 0
        assert sum(last_summary(folder)["computed"].values()) == 0
        assert_same_tables(folder, old)


def truncated(image: bytes) -> bytes:
    return image[: len(image) // 2]


def without_a_page(image: bytes) -> bytes:
    return image[:8192] + bytes(4096) + image[12288:]


@pytest.mark.parametrize("damage", [lambda image: b"no database at all\n" * 50, truncated, without_a_page])
def test_rebuild_replaces_a_broken_database(retriever, stand, two, damage) -> None:
    status = retriever("status").out
    path = stand / "outputs" / "retriever.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    broken = damage(path.read_bytes())
    path.write_bytes(broken)
    for words in (("status",), ("run", *SIZE)):
        ended = retriever(*words)
        assert ended.code == 1 and "retriever rebuild" in ended.err and ended.err.count("\n") == 1, ended
    ended = retriever("rebuild")
    assert ended.code == 0 and "retriever.db.broken-1" in ended.err, ended
    assert (stand / "outputs" / "retriever.db.broken-1").read_bytes() == broken
    assert retriever("status").out == status
    assert retriever("verify").code == 0
    assert retriever("rebuild").err == "" and len(list(stand.glob("outputs/*broken*"))) == 1


@pytest.mark.slow
def test_a_locked_or_unreadable_database_is_never_set_aside(stand, monkeypatch) -> None:
    from retriever.store import connection as store_connection
    from retriever.store.connection import set_aside_if_broken

    monkeypatch.setattr(store_connection, "LOCKED_SECONDS", 0.2)
    assert set_aside_if_broken("", stand) is None
    assert set_aside_if_broken("postgresql://host/name", stand) is None
    with closing(sqlite3.connect(stand / "retriever.db")) as connection:
        connection.execute("CREATE TABLE t (x)")
        connection.execute("BEGIN EXCLUSIVE")
        try:
            assert set_aside_if_broken("", stand) is None
        except sqlite3.OperationalError as error:
            assert "locked" in str(error)
    assert [path.name for path in stand.glob("retriever.db*")] == ["retriever.db"]


@pytest.mark.parametrize("words", [("verify",), ("rebuild",), ("pack", "VERSION", "v.zip"), ("gc", "--raw")])
def test_long_commands_count_to_the_end(retriever, stand, two, monkeypatch, words) -> None:
    from contextlib import contextmanager

    from retriever.commands import maintenance

    counts = []

    @contextmanager
    def counting(label, unit="segments"):
        yield lambda done, total: counts.append((done, total))

    monkeypatch.setattr(maintenance, "progress", counting)
    if words[0] == "gc":
        assert retriever("remove", two[1].name).code == 0
    assert retriever(*(two[0].name if word == "VERSION" else word for word in words)).code == 0
    totals = {total for _, total in counts}
    assert len(totals) == 1 and [done for done, _ in counts] == sorted({done for done, _ in counts})
    assert counts[-1][0] == counts[-1][1] > 0


def test_a_bar_is_drawn_on_a_terminal_only(monkeypatch, capsys) -> None:
    import sys

    from retriever.commands.progress import progress

    for is_terminal in (False, True):
        monkeypatch.setattr(sys.stderr, "isatty", lambda is_terminal=is_terminal: is_terminal, raising=False)
        with progress("verifying") as report:
            for done in range(1, 4):
                report(done, 3)
        printed = capsys.readouterr()
        assert printed.out == "" and ("verifying" in printed.err) is is_terminal


def test_every_command_has_help_with_an_example_and_json(retriever, stand) -> None:
    from retriever.commands.listing import COMMANDS

    for name in COMMANDS.keys() - {"run"}:
        text = retriever(name, "--help").out
        assert "examples:" in text and f"retriever {name}" in text and "--json" in text


def test_a_saved_version_runs_again_and_tells_what_differs(retriever, stand, two) -> None:
    ended = retriever("run", "--from", two[1].name)
    assert ended.code == 0 and "nothing to do" in ended.out
    assert f"code, environment and data are those of {two[1].name}" in ended.out
    record = two[0] / "version.json"
    manifest = json.loads(record.read_text())
    manifest["environment"]["numpy"] = "1.0"
    record.write_text(json.dumps(manifest))
    ended = retriever("run", "--from", two[0].name, "finder.snr_threshold=6")
    assert ended.code == 0 and "environment: numpy 1.0 → " in ended.out
    assert len(versions()) == 3
    for words in (["finder.snr_treshold=6"], ["simulator"], ["finder.snr_threshold=x"], ["nonsense=1"]):
        ended = retriever("run", "--from", two[0].name, *words)
        assert ended.code == 2 and ended.err.count("\n") == 1, ended
    assert retriever("run", "--from").code == 2


@pytest.mark.slow
def test_a_saved_version_takes_choices_of_groups(retriever, stand) -> None:
    (stand / "conf" / "finder").mkdir(parents=True)
    (stand / "conf" / "finder" / "mine.yaml").write_text("defaults: [peak, _self_]\nmax_events: 3\n")
    assert retriever("run", *SIZE, "finder.snr_threshold=7", "simulator.trials=2", "project.seed=5").code == 0
    (saved,) = versions()
    own = ("--config-dir", "conf", "finder=mine")
    # a choice replaces what the saved version had in its group, and nothing else; keys count after choices
    for changes, whole in (
        ((*own, "simulator=box"), (*own, "simulator=box")),
        (("finder.sideband=3", *own), (*own, "finder.sideband=3", "simulator.trials=2")),
        (
            ("simulator=box_hours", "simulator.width.high=0.4"),
            ("finder.snr_threshold=7", "simulator=box_hours", "simulator.width.high=0.4"),
        ),
        (
            ("reducers.demo.exptime=20", "reducers.demo.gap=60"),
            ("finder.snr_threshold=7", "simulator.trials=2", "reducers.demo.exptime=20", "reducers.demo.gap=60"),
        ),
        (
            ("reducer@reducers.demo=standard",),
            ("finder.snr_threshold=7", "simulator.trials=2", "reducer@reducers.demo=standard"),
        ),
    ):
        ended = retriever("run", "--from", saved.name, *changes)
        assert ended.code == 0, ended
        before = set(versions())
        ended = retriever("run", *SIZE, "project.seed=5", *whole)
        assert ended.code == 0 and "nothing to do" in ended.out, (changes, ended)
        assert set(versions()) == before
    (stand / "random_000003.csv").write_text("mjd,mag,magerr,filter\n58000,15,0.1,r\n")
    folder = ("observatory=folder", "paths.lightcurves=.", "run.stages=[reduce]")
    ended = retriever("run", "--from", saved.name, *folder)
    assert ended.code == 0 and len(versions(project="FOLDER")) == 1, ended
    inputs = json.loads((versions(project="FOLDER")[0] / "version.json").read_text())["inputs"]
    assert list(inputs["observatories"]) == list(inputs["reducers"]) == ["folder"]
    assert inputs["finder"]["fields"]["snr_threshold"] == 7.0
    for words, sentence in (
        (["finder=min", "--config-dir", "conf"], "did you mean 'mine'"),
        (["experiment=wd_ztf"], "experiment=wd_ztf"),
        (["finder.snr_threshold=5,6"], "one value"),
        (["finder.snr_treshold=5"], "did you mean 'finder.snr_threshold'"),
        (["store.url=postgresql://me:secret@host/db"], "password"),
        (["-m", "finder.snr_threshold=5,6"], "-m"),
        (["--cfg", "job"], "--cfg"),
    ):
        ended = retriever("run", "--from", saved.name, *words)
        assert ended.code == 2 and sentence in ended.err and ended.err.count("\n") == 1, ended


def test_a_database_of_an_older_schema_is_made_anew_from_files(retriever, stand, two) -> None:
    status = retriever("status").out
    with closing(sqlite3.connect("outputs/retriever.db")) as connection, connection:
        connection.execute("UPDATE meta SET value = '1'")
        connection.execute("DROP TABLE products")
        connection.execute("CREATE TABLE products (stage_id INTEGER, source TEXT)")
    assert retriever("status").out == status
    assert retriever("verify").code == 0
    assert retriever("run", *SIZE).code == 0
    assert sum(last_summary(two[0])["computed"].values()) == 0

"""Small batches are worked on together, and nobody can tell from what was made."""

from pathlib import Path

import numpy as np
import pytest

from retriever.pipeline import bundles
from retriever.pipeline.bundles import Bundles, joined
from retriever.pipeline.cutting import Task
from retriever.pipeline.task import JobResult
from retriever.stages import analyze
from tests.helpers import assert_same_tables, last_summary, tables, version_folder

SMALL = ("catalog.size=60", "observatories.demo.epochs=40", "executor.batch_size=4", "observatories.demo.filters=[g,r]")


def tasks(n: int, size: int, stages: tuple[str, ...] = ("download", "reduce"), **segments: int) -> list[Task]:
    return [
        Task(observatory="demo", stages=stages, rows=np.arange(k * size, (k + 1) * size), segments=segments)
        for k in range(n)
    ]


def lengths(of: Bundles, seconds: float) -> list[int]:
    """Sizes of all bundles, where each task takes some time."""
    found = []
    while bundle := of.take():
        found.append(len(bundle))
        of.learn([JobResult(seconds=seconds) for _ in bundle])
    return found


@pytest.mark.parametrize(
    ("size", "seconds", "second"),
    [
        (7, 0.001, 14),  # at most 100 sources
        (1, 0.001, 100),
        (7, 0.05, 4),  # at most a fifth of a second
        (7, 0.15, 1),
        (100, 0.001, 1),
        (7, 1000.0, 1),
    ],
)
def test_short_tasks_go_together_once_it_is_known_that_they_are_short(size: int, seconds: float, second: int) -> None:
    found = lengths(Bundles(tasks(1000, size), in_flight=1), seconds)
    assert found[:2] == [1, second] and sum(found) == 1000


def test_enough_tasks_are_left_for_every_worker() -> None:
    of = Bundles(tasks(16, 1), in_flight=4)
    of.learn([JobResult(seconds=0.001)])
    assert lengths(of, 0.001) == [5, 3, 3, 2, 1, 1, 1]


def test_tasks_of_other_stages_and_groups_stay_apart() -> None:
    read = [*tasks(1, 1, ("reduce",), download=3), *tasks(1, 1, ("reduce",), download=4)]
    mixed = [*tasks(2, 1), *tasks(2, 1, ("reduce",)), *read, *tasks(2, 1, ("night",))]
    of = Bundles(mixed, in_flight=1, of_groups={"night"})
    of.learn([JobResult(seconds=0.001)])
    assert lengths(of, 0.001) == [2, 2, 2, 1, 1]


def test_a_bundle_is_one_task() -> None:
    whole = joined(tasks(3, 2))
    assert whole.rows.tolist() == [0, 1, 2, 3, 4, 5] and whole.stages == ("download", "reduce")


def made(stand, retriever, monkeypatch, seconds: float, *words: str) -> tuple[Path, set[str]]:
    """Folder of a run's version, and its segments but for those of raw data, in which it says when it was fetched."""
    monkeypatch.setattr(bundles, "SECONDS_AT_ONCE", seconds)
    name = f"run-{seconds:g}"
    ended = retriever("run", *SMALL, *words, f"paths.outputs={name}", f"paths.data={name}-data")
    assert ended.code in (0, 3), ended
    folder = version_folder(stand / name, "AGAIN" if "project.name=AGAIN" in words else "DEMO")
    assert last_summary(folder)["computed"]["simulate"] > 0
    segments = {path.relative_to(stand / name).as_posix() for path in (stand / name / ".stages").rglob("*.h5")}
    return folder, segments


@pytest.mark.slow
@pytest.mark.parametrize(("size", "empty"), [(4, 0.2), (1, 0.2), (1, 0.8)])
def test_segments_and_tables_are_those_of_batches_worked_on_alone(stand, retriever, monkeypatch, size, empty) -> None:
    words = (
        f"executor.batch_size={size}", f"observatories.demo.empty={empty}", "observatories.demo.failures=0.1",
        "simulator.keep_lightcurves=true",
    )  # fmt: skip
    alone, one_by_one = made(stand, retriever, monkeypatch, 1e-9, *words)
    together, at_once = made(stand, retriever, monkeypatch, 1e9, *words)
    assert len(one_by_one) == 3 * 15 if size == 4 else len(one_by_one) > 3 * 30
    assert at_once == one_by_one
    assert_same_tables(alone, together)


@pytest.mark.slow
def test_products_of_several_segments_are_read_as_if_they_lay_in_one(stand, retriever, monkeypatch) -> None:
    words = ("observatories.demo.empty=0.2", "observatories.demo.failures=0.1")
    for seconds in (1e-9, 1e9):
        made(stand, retriever, monkeypatch, seconds, *words)
    search_again = (*words, "finder.snr_threshold=4", "project.name=AGAIN")
    alone, one_by_one = made(stand, retriever, monkeypatch, 1e-9, *search_again)
    together, at_once = made(stand, retriever, monkeypatch, 1e9, *search_again)
    assert last_summary(together)["computed"]["reduce"] == 0
    assert len(one_by_one) == (3 + 2) * 15
    assert at_once == one_by_one
    assert_same_tables(alone, together)


def test_a_stage_that_breaks_fails_its_own_batch_only(stand, retriever, monkeypatch) -> None:
    search = analyze.search

    def breaks(components, sources, lightcurves):
        if "random_000007" in sources.name.tolist():
            raise MemoryError("too much")
        return search(components, sources, lightcurves)

    monkeypatch.setattr(analyze, "search", breaks)
    monkeypatch.setattr(bundles, "SECONDS_AT_ONCE", 1e9)
    assert retriever("run", *SMALL).code == 3
    products = tables(version_folder(stand / "outputs"))["products"]
    failed = products[(products.stage == "analyze") & (products.outcome == "failed")]
    assert len(failed) == 4 and "random_000007" in set(failed.source)
    assert failed.message.str.contains("too much").all()

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retriever.analysis.standard import StandardAnalysis
from retriever.catalogs.random import RandomCatalog
from retriever.detrending.none import NoDetrending
from retriever.finders.peak import PeakFinder
from retriever.graph import GRAPH
from retriever.identity import digest_bytes, digest_each, join_digests, pack_digests
from retriever.observatories.demo import DemoObservatory
from retriever.outcome import Outcome
from retriever.pipeline.cutting import cut_tasks
from retriever.pipeline.plan import Choice
from retriever.pipeline.plan import derive as derive_all
from retriever.pipeline.recipe import Recipe, Survey
from retriever.quality.standard import StandardQuality
from retriever.reducers.standard import StandardReducer
from retriever.scramblers.standard import Scrambler
from retriever.simulators.gaussian import GaussianSimulator
from retriever.source import SourceTable
from retriever.store.products import Products

N = 12
STAGES = tuple(name for name in GRAPH.names if name not in ("detrend", "scramble"))  # neither is done here
RECIPE = Recipe(
    surveys={"demo": Survey(observatory=DemoObservatory(), reducer=StandardReducer())},
    search={
        "detrend": NoDetrending(), "quality": StandardQuality(), "finder": PeakFinder(),
        "analysis": StandardAnalysis(), "simulator": GaussianSimulator(), "scrambler": Scrambler(share=0.0),
    },
    seed=0, data=Path("data"), outputs=Path("outputs"),
)  # fmt: skip
CATALOG = RandomCatalog(size=N).load()


RAW = b"0123456789abcdef" * 2


def packed(digests) -> np.ndarray:
    return np.frombuffer(pack_digests(np.array(list(digests), "S32")), ">u8").reshape(-1, 2)


def products(entries) -> Products:
    """Products from (input, outcome, segment, row, digest), each a batch of its own."""
    n = len(entries)
    return Products(
        inputs=packed(entry[0] for entry in entries),
        outcome=np.array([entry[1] for entry in entries], np.int8),
        segment=np.array([entry[2] for entry in entries], np.int64),
        row=np.array([entry[3] for entry in entries], np.int64),
        digests=packed(entry[4] for entry in entries),
        n_rows=np.ones(n, np.int64),
        message={},
        packed_names=[b"\0" + str(entry[5]).encode() + b"\0" for entry in entries],
    )


def entries(stage_outcomes: dict[str, list[Outcome | None]], catalog: SourceTable = CATALOG, raw_digest: bytes = RAW):
    """Entries of each stage: segment k // 3 of a stage holds source k."""
    found = {}
    for number, stage in enumerate(STAGES):
        found[stage] = []
        for k, outcome in enumerate(stage_outcomes.get(stage, [])):
            if outcome is None:
                continue
            asked = CATALOG.places[k] if stage == "download" else digest_bytes(raw_digest, catalog.digests[k]).encode()
            failed = outcome == Outcome.FAILED
            segment = -1 if failed else number * 100 + k // 3
            found[stage].append((asked, int(outcome), segment, k % 3, b"" if failed else raw_digest, catalog.name[k]))
    return found


def rows(*arguments, **others) -> dict[str, Products]:
    return {stage: products(found) for stage, found in entries(*arguments, **others).items()}


def derive(catalog, told, present, stamps=None):
    """State of the only survey."""
    asked = catalog.places
    if stamps is not None:
        asked = join_digests(asked, digest_each(stamp.encode() for stamp in stamps))
    return derive_all(RECIPE, catalog, {"demo": asked}, {"demo": told}, present)["demo"]


EVERYTHING = set(range(400))
ALL = Choice(stages=STAGES, sources=np.ones(N, bool))
DONE = [Outcome.DONE] * N


def tasks(state, choice=ALL, size=5, tried=None):
    return cut_tasks(RECIPE, {"demo": state}, choice, CATALOG.ra, size, tried or {})


def test_nothing_there_everything_to_do_in_order_of_right_ascension() -> None:
    found = tasks(derive(CATALOG, {}, EVERYTHING))
    assert [task.stages for task in found] == [STAGES] * 3
    assert [task.rows.size for task in found] == [5, 5, 2]
    ra = CATALOG.ra[np.concatenate([task.rows for task in found])]
    assert (np.diff(ra) > 0).all()


def test_everything_there_nothing_to_do() -> None:
    state = derive(CATALOG, rows(dict.fromkeys(STAGES, DONE)), EVERYTHING)
    assert tasks(state) == []
    assert all((state[stage].outcome == Outcome.DONE).all() for stage in STAGES)


def test_work_is_grouped_by_the_segment_that_holds_the_input() -> None:
    found = tasks(derive(CATALOG, rows({"download": DONE, "reduce": DONE}), EVERYTHING), size=100)
    assert [task.stages for task in found] == [("analyze", "simulate")] * 4
    assert sorted((task.segments["reduce"], sorted(task.rows.tolist())) for task in found) == [
        (100 + k, [3 * k, 3 * k + 1, 3 * k + 2]) for k in range(4)
    ]


def test_a_missing_file_makes_its_products_again_and_nothing_else() -> None:
    told = rows(dict.fromkeys(STAGES, DONE))
    for number, stage in enumerate(STAGES):
        found = tasks(derive(CATALOG, told, EVERYTHING - {number * 100}))
        assert [(task.stages, sorted(task.rows.tolist())) for task in found] == [((stage,), [0, 1, 2])]


def test_a_changed_answer_makes_its_source_pending() -> None:
    told = entries(dict.fromkeys(STAGES, DONE))
    asked, outcome, segment, row, _, name = told["download"][4]
    told["download"].append((asked, outcome, segment, row, RAW[::-1], name))
    state = derive(CATALOG, {stage: products(found) for stage, found in told.items()}, EVERYTHING)
    for stage in STAGES[1:]:
        assert np.flatnonzero(state[stage].outcome == Outcome.PENDING).tolist() == [4]
    assert (state["download"].outcome == Outcome.DONE).all()


def test_a_changed_catalog_row_makes_its_source_pending_and_a_moved_one_is_asked_for_again() -> None:
    told = rows(dict.fromkeys(STAGES, DONE))
    columns = {
        "name": CATALOG.name,
        "ra": CATALOG.ra.copy(),
        "dec": CATALOG.dec,
        "mag": CATALOG.mag.copy(),
        "band": CATALOG.band,
    }
    columns["mag"][2] += 1
    columns["ra"][7] += 0.01
    state = derive(SourceTable.from_columns(**columns), told, EVERYTHING)
    assert np.flatnonzero(state["download"].outcome == Outcome.PENDING).tolist() == [7]
    assert np.flatnonzero(state["analyze"].outcome == Outcome.PENDING).tolist() == [2, 7]


def test_a_changed_stamp_is_asked_for_again() -> None:
    stamps = ["x"] * N
    asked = join_digests(CATALOG.places, digest_each([b"x"] * N))
    told = {"download": products([(asked[k], 0, 0, k, RAW, CATALOG.name[k]) for k in range(N)])}
    assert (derive(CATALOG, told, EVERYTHING, stamps)["download"].outcome == Outcome.DONE).all()
    stamps[3] = "y"
    state = derive(CATALOG, told, EVERYTHING, stamps)
    assert np.flatnonzero(state["download"].outcome == Outcome.PENDING).tolist() == [3]


def test_failures_block_what_stands_on_them_and_empty_is_empty() -> None:
    download = [Outcome.FAILED, Outcome.EMPTY, *[Outcome.DONE] * (N - 2)]
    reduce = [None, None, Outcome.FAILED, Outcome.EMPTY, *[Outcome.DONE] * (N - 4)]
    state = derive(
        CATALOG,
        rows(
            {
                "download": download,
                "reduce": reduce,
                "analyze": [None] * 4 + DONE[4:],
                "simulate": [None] * 4 + DONE[4:],
            }
        ),
        EVERYTHING,
    )
    codes = [[Outcome(int(state[stage].outcome[k])).name for stage in STAGES] for k in range(4)]
    assert codes == [
        ["FAILED", "BLOCKED", "BLOCKED", "BLOCKED"],
        ["EMPTY"] * 4,
        ["DONE", "FAILED", "BLOCKED", "BLOCKED"],
        ["DONE", "EMPTY", "EMPTY", "EMPTY"],
    ]
    again = {tuple(task.rows.tolist()): task.stages for task in tasks(state)}
    assert again == {(0,): STAGES, (2,): STAGES[1:]}
    tried = {("demo", "download"): {bytes(state["download"].input[0])}}
    assert [task.rows.tolist() for task in tasks(state, tried=tried)] == [[2]]
    assert tasks(state, choice=Choice(stages=STAGES, sources=ALL.sources, retry=False)) == []


def test_part_of_the_work() -> None:
    state = derive(CATALOG, {}, EVERYTHING)
    some = Choice(stages=("download", "reduce"), sources=np.arange(N) < 4)
    (task,) = tasks(state, choice=some)
    assert (task.stages, sorted(task.rows.tolist())) == (("download", "reduce"), [0, 1, 2, 3])
    assert tasks(state, choice=Choice(stages=("analyze",), sources=ALL.sources)) == []
    half = derive(CATALOG, rows({"download": DONE}), EVERYTHING)
    assert {task.stages for task in tasks(half, choice=Choice(stages=("reduce", "simulate"), sources=ALL.sources))} == {
        ("reduce",)
    }


def test_raw_data_that_is_fetched_again_is_judged_before_what_stands_on_it() -> None:
    told = rows({"download": DONE, "reduce": DONE})
    state = derive(CATALOG, told, EVERYTHING - {0})
    found = {task.stages: sorted(task.rows.tolist()) for task in tasks(state, size=100) if "download" in task.stages}
    assert found == {("download",): [0, 1, 2]}


OUTCOME = st.sampled_from([Outcome.DONE, Outcome.EMPTY, Outcome.FAILED, None])


@given(
    st.fixed_dictionaries({stage: st.lists(OUTCOME, min_size=N, max_size=N) for stage in STAGES}),
    st.integers(1, N),
    st.sets(st.integers(0, 400)),
)
def test_each_pending_source_is_in_one_task_with_all_its_inputs(outcomes, size, gone) -> None:
    state = derive(CATALOG, rows(outcomes), EVERYTHING - gone)
    found = tasks(state, size=size)
    seen: set[int] = set()
    for task in found:
        assert 0 < task.rows.size <= size
        assert not seen & set(task.rows.tolist())
        seen |= set(task.rows.tolist())
        first = STAGES.index(task.stages[0])
        if first > 0:
            assert STAGES[first - 1] in task.segments
        if "simulate" in task.stages and "analyze" not in task.stages:
            assert "analyze" in task.segments
        for stage, segment in task.segments.items():
            assert (state[stage].segment[task.rows] == segment).all()
            assert (state[stage].row[task.rows] >= 0).all()
    pending = np.zeros(N, bool)
    for stage in STAGES:
        upstream = True if stage == "download" else state[STAGES[STAGES.index(stage) - 1]].outcome == Outcome.DONE
        pending |= upstream & np.isin(state[stage].outcome, (Outcome.PENDING, Outcome.FAILED))
    assert seen == set(np.flatnonzero(pending).tolist())


def test_names_of_tasks_stages() -> None:
    assert STAGES == ("download", "reduce", "analyze", "simulate")
    with pytest.raises(KeyError):
        derive(CATALOG, {}, EVERYTHING)["process"]

import numpy as np
import pytest

from retriever.observatories.demo import DemoObservatory
from retriever.rawtable import RawPhotometry
from retriever.source import Source

SOURCES = [Source(name=f"s{k}", ra=float(k), dec=float(k % 90), mag=16.0) for k in range(400)]


def digests(observatory: DemoObservatory, sources: list[Source]) -> list[str]:
    return [
        answer.digest() if isinstance(answer, RawPhotometry) else str(answer) for answer in observatory.fetch(sources)
    ]


def test_answers_depend_on_seed_and_source_alone() -> None:
    observatory = DemoObservatory()
    assert digests(observatory, SOURCES[:5]) == digests(observatory, SOURCES[:5][::-1])[::-1]
    assert len(set(digests(observatory, SOURCES[:5]))) == 5
    assert digests(DemoObservatory(seed=1), SOURCES[:1]) != digests(observatory, SOURCES[:1])


def test_shares_are_those_asked_for_and_failures_change_no_answer() -> None:
    troubled = list(DemoObservatory(failures=0.3, empty=0.2).fetch(SOURCES))
    failed = [isinstance(answer, Exception) for answer in troubled]
    empty = [isinstance(answer, RawPhotometry) and answer.is_empty for answer in troubled]
    assert np.mean(failed) == pytest.approx(0.3, abs=0.07)
    assert np.mean(empty) == pytest.approx(0.2 * 0.7, abs=0.06)
    calm = list(DemoObservatory(empty=0.2).fetch(SOURCES))
    for before, after in zip(troubled, calm, strict=True):
        if isinstance(before, RawPhotometry):
            assert before.digest() == after.digest()


def test_the_table_is_what_was_asked_for() -> None:
    (answer,) = DemoObservatory(epochs=7, filters=["g", "r"], start=100.0, days=10.0).fetch(SOURCES[:1])
    columns = answer.tables[0].columns
    assert answer.n_rows == 14
    assert sorted(columns["filter"].tolist()) == ["g"] * 7 + ["r"] * 7
    assert ((columns["mjd"] >= 100) & (columns["mjd"] < 110)).all()

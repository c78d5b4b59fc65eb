"""Verdicts are kept whole, and belong to the detections that they were made of."""

import json
from pathlib import Path

import numpy as np
import pytest

from retriever.errors import ConfigError, StoreError
from retriever.report.verdicts import (
    EVENT_COLUMNS,
    VERDICT_FILE,
    add_verdict,
    latest_verdicts,
    read_verdicts,
    verdict_on,
    verdict_words,
)

NAN = float("nan")


def event(source: str = "A", first: float = 10.0, last: float = 11.0, period: float = NAN, survey: str = "ztf") -> dict:
    values = {"source": source, "observatory": survey, "time_first": first, "time_last": last, "period": period}
    return dict.fromkeys(EVENT_COLUMNS, 1) | {"finder": "", "time_peak": first, "snr": 7.5} | values


def detections(*events: dict) -> dict[str, np.ndarray]:
    return {name: np.array([each[name] for each in events]) for name in EVENT_COLUMNS}


def said(verdict: str, **words: object):
    return verdict_on(event(**words), verdict=verdict, who="me")


def test_a_verdict_belongs_to_what_overlaps_in_time() -> None:
    table = detections(
        event(), event(first=11.0, last=12.0), event(first=11.01, last=12.0), event(first=5.0, last=9.0),
        event("B"), event(survey="tess"), event(first=10.5, last=10.5),
    )  # fmt: skip
    assert verdict_words(table, [said("real")]) == ["real", "real", "", "", "", "", "real"]


def test_periodic_detections_are_told_by_their_periods() -> None:
    table = detections(
        event(period=2.0), event(period=2.015), event(period=2.1), event(), event(first=90.0, last=99.0, period=2.0)
    )
    assert verdict_words(table, [said("bogus", period=2.0)]) == ["bogus", "bogus", "", "", "bogus"]
    assert verdict_words(table, [said("real")]) == ["", "", "", "real", ""]


def test_the_last_verdict_counts() -> None:
    table = detections(event())
    assert verdict_words(table, [said("real"), said("bogus")]) == ["bogus"]
    assert verdict_words(table, [said("real"), said("")]) == [""]
    assert latest_verdicts(table, [said("real"), said("bogus"), said("real", source="B")]).tolist() == [1]
    assert latest_verdicts({name: np.zeros(0) for name in EVENT_COLUMNS}, [said("real")]).tolist() == []


def test_what_is_written_is_read(tmp_path: Path) -> None:
    verdicts = [
        verdict_on(event("naïve ☆\n"), verdict="real", who="me", note='"x"\u2028', version="V"),
        said("", period=3.0),
    ]
    assert read_verdicts(tmp_path) == []
    for each in verdicts:
        add_verdict(tmp_path, each)
    found = read_verdicts(tmp_path)
    assert found[1] == verdicts[1] and found[0].source == "naïve ☆\n" and np.isnan(found[0].period)
    assert found[0].note == '"x"\u2028'
    lines = (tmp_path / VERDICT_FILE).read_bytes().split(b"\n")
    assert len(lines) == 3 and all(json.loads(line) for line in lines[:2])


@pytest.mark.parametrize("cut", [1, 30, 200])
def test_a_line_that_a_crash_cut_short_costs_none_but_itself(tmp_path: Path, cut: int) -> None:
    first, second, third = said("real"), said("bogus"), said("unsure")
    add_verdict(tmp_path, first)
    add_verdict(tmp_path, second)
    path = tmp_path / VERDICT_FILE
    path.write_bytes(path.read_bytes()[:-cut])
    add_verdict(tmp_path, third)
    whole = [each.id for each in read_verdicts(tmp_path)]
    assert whole == ([first.id, second.id, third.id] if cut == 1 else [first.id, third.id])


def test_lines_that_are_none_are_passed_over(tmp_path: Path) -> None:
    add_verdict(tmp_path, said("real"))
    record = json.loads((tmp_path / VERDICT_FILE).read_text())
    others = [
        b"\xff",
        b"[]",
        b"3",
        b"{}",
        json.dumps({**record, "who": 3}).encode(),
        json.dumps({**record, "snr": "x"}).encode(),
    ]
    with (tmp_path / VERDICT_FILE).open("ab") as file:
        file.write(b"\n".join(others) + b"\n")
    assert len(read_verdicts(tmp_path)) == 1


def test_what_cannot_be_said_or_kept_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'real'"):
        said("reel")
    with pytest.raises(ConfigError, match="3000 characters"):
        verdict_on(event(), verdict="real", who="me", note="x" * 3000)
    with pytest.raises(StoreError, match="is not kept"):
        add_verdict(tmp_path / "nowhere", said("real"))
    (tmp_path / VERDICT_FILE).mkdir()
    with pytest.raises(StoreError, match="cannot read"):
        read_verdicts(tmp_path)

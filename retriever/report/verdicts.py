"""What people said of detections: one line of JSON each in the outputs folder, matched to detections of any version.

A verdict belongs to an event on the sky, not to a row of a table: it counts for every detection of the same source that
it overlaps with in time, in whichever version, and survives when versions are made anew or removed.
"""

import fcntl
import json
import os
import secrets
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from retriever.arrays import Array, Floats, Rows
from retriever.errors import ConfigError, DataError, StoreError, nearest
from retriever.report.matching import all_pairs, row_ids
from retriever.schema import Columns

__all__ = [
    "EVENT_COLUMNS",
    "VERDICTS",
    "VERDICT_FILE",
    "WITHDRAWN",
    "Verdict",
    "add_verdict",
    "counts_of_verdicts",
    "latest_verdicts",
    "read_verdicts",
    "verdict_on",
    "verdict_words",
]

VERDICTS = ("real", "bogus", "unsure")
"""What may be said of a detection."""

WITHDRAWN = ""
"""What takes an earlier verdict back."""

VERDICT_FILE = "verdicts.jsonl"
"""Name of the file in the outputs folder. Lines are only ever added."""

EVENT_COLUMNS = (
    "source", "observatory", "lightcurve", "finder", "time_first", "time_peak", "time_last", "period", "snr",
)  # fmt: skip
"""Columns of a detection that a verdict keeps."""

_NUMBERS = ("time_first", "time_peak", "time_last", "period", "snr")

LONGEST_NOTE, LONGEST_WHO = 2000, 80
"""Characters that a note and a name may have."""

SAME_TIME_DAYS = 1e-3
"""Events that are so near are the same: surveys refine times of epochs by less."""

SAME_PERIOD = 0.01
"""Relative difference up to which periods are the same."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What somebody said of a detection.

    Attributes
    ----------
    id
        Its own, random.
    at
        When, in UTC, as ISO 8601.
    who
        Who.
    verdict
        One of `VERDICTS`, or `WITHDRAWN`.
    note
        What else there was to say.
    version
        Name of the version that was looked at.
    source, observatory, lightcurve, finder, snr
        The detection.
    time_first, time_peak, time_last
        MJD in the survey's time system.
    period
        In days; NaN where the detection has none.
    """

    id: str
    at: str
    who: str
    verdict: str
    note: str
    version: str
    source: str
    observatory: str
    lightcurve: int
    finder: str
    time_first: float
    time_peak: float
    time_last: float
    period: float
    snr: float


def verdict_on(event: Mapping[str, object], *, verdict: str, who: str, note: str = "", version: str = "") -> Verdict:
    """A verdict on a detection, made now.

    Parameters
    ----------
    event
        The columns `EVENT_COLUMNS` of the detection.

    Raises
    ------
    ConfigError
        When the verdict is another word, or the note or name is too long.

    Examples
    --------
    >>> event = dict.fromkeys(EVENT_COLUMNS, 1.0) | {"source": "A", "observatory": "ztf", "finder": ""}
    >>> verdict_on(event, verdict="real", who="me").source
    'A'
    """
    if verdict not in (*VERDICTS, WITHDRAWN):
        raise ConfigError(f"there is no verdict {verdict!r}{nearest(verdict, VERDICTS)}")
    for word, text, longest in (("note", note, LONGEST_NOTE), ("name", who, LONGEST_WHO)):
        if len(text) > longest:
            raise ConfigError(f"the {word} has {len(text)} characters; write no more than {longest}")
    texts: dict[str, Any] = {name: str(event[name]) for name in ("source", "observatory", "finder")}
    numbers: dict[str, Any] = {name: _number(event[name]) for name in _NUMBERS}
    return Verdict(
        id=secrets.token_hex(8), at=datetime.now(UTC).isoformat(timespec="milliseconds"), who=who, verdict=verdict,
        note=note, version=version, lightcurve=int(_number(event["lightcurve"])), **texts, **numbers,
    )  # fmt: skip


def _number(value: object) -> float:
    return float("nan") if value is None else float(value)  # type: ignore[arg-type]


def add_verdict(outputs: Path, verdict: Verdict) -> None:
    """Write a verdict down; it is on disk when this returns.

    Raises
    ------
    StoreError
        When it cannot be written.
    """
    record = {key: None if value != value else value for key, value in asdict(verdict).items()}
    path = outputs / VERDICT_FILE
    try:
        with path.open("a+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            # a line that a crash cut short is ended, so that it costs none but itself
            cut = file.tell() > 0 and _last_byte(file.fileno(), file.tell()) != b"\n"
            file.write(b"\n" * cut + json.dumps(record, ensure_ascii=False).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror or error}; the verdict is not kept") from error


def _last_byte(descriptor: int, size: int) -> bytes:
    return os.pread(descriptor, 1, size - 1)


def read_verdicts(outputs: Path) -> list[Verdict]:
    """All verdicts of an outputs folder in the order in which they were given; broken lines are passed over.

    Raises
    ------
    StoreError
        When there is a file that cannot be read.
    """
    path = outputs / VERDICT_FILE
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror or error}; may you read it?") from error
    found = []
    for line in lines:
        try:
            found.append(_parsed(json.loads(line)))
        except (ValueError, KeyError, TypeError, DataError):
            continue
    return found


def _parsed(record: Mapping[str, object]) -> Verdict:
    values: dict[str, object] = {}
    for spec in fields(Verdict):
        value = record[spec.name]
        if spec.type is float:
            value = _number(value)
        elif not isinstance(value, spec.type):  # type: ignore[arg-type]
            raise DataError(f"{spec.name} is no {spec.type}")
        values[spec.name] = value
    return Verdict(**values)  # type: ignore[arg-type]


# ---- matched to detections ----------------------------------------------------------------------------------------


def latest_verdicts(detections: Columns, verdicts: Sequence[Verdict]) -> Rows:
    """The place of the last verdict on each detection; -1 where there is none.

    Detections and verdicts belong together where source and observatory are the same, and their times overlap or, where
    both have periods, their periods agree.

    Parameters
    ----------
    detections
        Columns `source`, `observatory`, `time_first`, `time_last` and `period`.
    verdicts
        As `read_verdicts` gives them.
    """
    found = np.full(len(detections["source"]), -1, np.int64)
    if not verdicts:
        return found
    # few verdicts are on few of many sources
    own = np.flatnonzero(_is_in(detections["source"], {each.source for each in verdicts}))
    judged: Columns = {
        name: np.array([getattr(each, name) for each in verdicts])
        for name in ("source", "observatory", "time_first", "time_last", "period")
    }
    some = {name: detections[name][own] for name in judged}
    of_detections, of_verdicts = all_pairs(*row_ids([some, judged], ["source", "observatory"]))
    a, b = ({name: table[name][at] for name in ("time_first", "time_last", "period")}
            for table, at in ((some, of_detections), (judged, of_verdicts)))  # fmt: skip
    same = _same_event(a, b)
    np.maximum.at(found, own[of_detections[same]], of_verdicts[same])
    return found


def _is_in(values: Array, words: set[str]) -> Array:
    return np.fromiter((value in words for value in values.tolist()), np.bool_, len(values))


def _same_event(a: Mapping[str, Floats], b: Mapping[str, Floats]) -> Array:
    overlap = (a["time_first"] <= b["time_last"] + SAME_TIME_DAYS) & (
        b["time_first"] <= a["time_last"] + SAME_TIME_DAYS
    )
    periodic = np.isfinite(a["period"]), np.isfinite(b["period"])
    with np.errstate(invalid="ignore", divide="ignore"):
        one_period = np.abs(a["period"] / b["period"] - 1.0) <= SAME_PERIOD
    return np.where(periodic[0] | periodic[1], periodic[0] & periodic[1] & one_period, overlap)


def verdict_words(detections: Columns, verdicts: Sequence[Verdict]) -> list[str]:
    """The last verdict on each detection as a word; "" where there is none, or it was withdrawn."""
    words = [*(each.verdict for each in verdicts), WITHDRAWN]
    return [words[at] for at in latest_verdicts(detections, verdicts)]


def counts_of_verdicts(words: Sequence[str]) -> dict[str, int]:
    """How many detections have each verdict; those without one are left out.

    Examples
    --------
    >>> counts_of_verdicts(["real", "", "bogus", "real"])
    {'real': 2, 'bogus': 1}
    """
    counted = Counter(words)
    return {word: counted[word] for word in VERDICTS if counted[word]}

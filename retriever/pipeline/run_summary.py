"""The summary of a run and of the state of its version: printed, stored, and how it is counted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from retriever.outcome import Outcome
from retriever.pipeline.plan import States
from retriever.pipeline.version import environment
from retriever.report.parameters import differing
from retriever.source import SourceTable

__all__ = ["RunSummary", "count_outcomes", "count_rows", "differences"]


@dataclass(kw_only=True)
class RunSummary:
    """What a run did, and the state of its version now.

    Attributes
    ----------
    version, folder
        The version's name and folder.
    state
        "complete", "partial" (asked for part of the work), "failures", "interrupted", "aborted" or "error".
    computed
        Stage to the number of sources worked on by this run.
    outcomes
        Observatory and stage to counts of outcomes, over the whole catalog.
    seconds
        From plan to final tables.
    environment
        Versions of Python and packages that this run used.
    reference
        What to cite for the catalog.
    mixed
        What differs between the environments in which the version's products were made.
    dropped
        Numbers of raw rows that were left out, or have a number that counts as missing, by reason.
    wants_report
        Whether the report of the version is to be written.
    """

    version: str
    folder: str
    run: str
    state: str = "complete"
    sources: int = 0
    selected: int = 0
    computed: dict[str, int] = field(default_factory=dict)
    outcomes: dict[str, dict[str, dict[str, int]]] = field(default_factory=dict)
    lightcurves: int = 0
    detections: int = 0
    injections: int = 0
    recovered: int = 0
    failures: list[str] = field(default_factory=list)
    seconds: float = 0.0
    message: str = ""
    environment: dict[str, str] = field(default_factory=environment)
    mixed: list[str] = field(default_factory=list)
    reference: str = ""
    dropped: dict[str, int] = field(default_factory=dict)
    wants_report: bool = False

    @property
    def exit_code(self) -> int:
        """Exit code of the command."""
        return {"complete": 0, "partial": 0, "failures": 3, "aborted": 3, "interrupted": 130}.get(self.state, 1)

    def as_dict(self) -> dict[str, object]:
        """As plain data."""
        return dict(vars(self))


def count_outcomes(summary: RunSummary, states: States, sources: SourceTable) -> list[str]:
    """Count outcomes into the summary; gives the sentences of the failures."""
    failures = []
    for name, of_stages in states.items():
        summary.outcomes[name] = {
            stage: {
                outcome.name.lower(): int(np.count_nonzero(state.outcome == outcome))
                for outcome in Outcome
                if (state.outcome == outcome).any()
            }
            for stage, state in of_stages.items()
        }
        for stage, state in of_stages.items():
            names = sources.name if state.groups is None else state.groups.names
            for k in np.flatnonzero(state.outcome == Outcome.FAILED).tolist():
                failures.append(f"{names[k]} ({name}, {stage}): {state.message.get(k, '')}")
    return failures


def count_rows(folder: Path) -> dict[str, Any]:
    """Rows of a version's tables, how many injections were recovered, and what was dropped of raw data."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    rows = {
        name: pq.read_metadata(folder / f"{name}.parquet").num_rows
        for name in ("lightcurves", "detections", "injections")
    }
    with pq.ParquetFile(folder / "injections.parquet") as injections:  # pq.read_table would import pandas
        column = injections.read(columns=["recovered"])["recovered"]
    recovered = int(pc.sum(column).as_py() or 0)
    return {**rows, "recovered": recovered, "dropped": _count_dropped(folder / "dropped.parquet")}


def _count_dropped(path: Path) -> dict[str, int]:
    import pyarrow.parquet as pq

    if not pq.read_metadata(path).num_rows:
        return {}
    with pq.ParquetFile(path) as file:
        table = file.read(columns=["reason", "n_rows"])
    reasons, place = np.unique(np.array(table["reason"].to_pylist()), return_inverse=True)
    total = np.bincount(place, weights=np.array(table["n_rows"].to_pylist()))
    return {reason: int(count) for reason, count in zip(reasons.tolist(), total.tolist(), strict=True)}


def differences(environments: Sequence[Mapping[str, str]]) -> list[str]:
    """What differs between environments, a sentence each."""
    return [
        f"{key} {' and '.join(sorted({str(environment.get(key)) for environment in environments}))}"
        for key in differing(environments)
    ]

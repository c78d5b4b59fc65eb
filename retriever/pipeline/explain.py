"""What a run would do, and why: predicted from the same state and by the same rules as the run itself."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retriever.identity import join_digests
from retriever.outcome import STAGES, Outcome
from retriever.pipeline.plan import Choice, needs
from retriever.pipeline.standing import Standing
from retriever.report.parameters import changed_modules, differing, flat_parameters
from retriever.source import SourceTable
from retriever.store.products import Products, latest

__all__ = ["Preview", "StagePreview", "explain", "preview_text", "reference_version"]

_GROUPS = {
    "download": ("observatories",),
    "reduce": ("reducers",),
    "analyze": ("analysis", "quality", "finder"),
    "simulate": ("simulator", "project"),
}
"""Groups of the config that a stage depends on, beside those of the stages above it."""


@dataclass(kw_only=True)
class StagePreview:
    """What a run would do in one stage of one observatory.

    Attributes
    ----------
    reused, empty
        Sources whose product counts and stays, and those that have nothing there.
    to_make
        Sources that the run works on in this stage.
    undecided
        Sources whose raw data is fetched again first: only if it differs is there something to do here.
    blocked, failed
        Sources that wait for a failure above, or that failed here, and are not tried again.
    not_asked
        Pending sources that the run is not asked for.
    reasons
        Why, in sentences.
    """

    observatory: str
    stage: str
    reused: int = 0
    empty: int = 0
    to_make: int = 0
    undecided: int = 0
    blocked: int = 0
    failed: int = 0
    not_asked: int = 0
    reasons: list[str] = field(default_factory=list)


@dataclass(kw_only=True)
class Preview:
    """What a run would do."""

    version: str
    folder: str
    compared_with: str
    stages: list[StagePreview]
    interrupted: int = 0

    def as_dict(self) -> dict[str, Any]:
        """As plain data."""
        return {**vars(self), "stages": [dict(vars(stage)) for stage in self.stages]}


def explain(
    sources: SourceTable,
    standing: Standing,
    choice: Choice,
    now: Mapping[str, Any],
    before: Mapping[str, Any] | None,
    reads_files: Sequence[str],
    request_changes: Callable[[str, int], str],
) -> list[StagePreview]:
    """Say what a run would do in each stage, and why.

    Parameters
    ----------
    now, before
        Stories (`version.json`) of the version in question and of the one to compare it with.
    reads_files
        Observatories that tell the state of their files.
    request_changes
        Says of an observatory and a source's row what changed in its request; see `retriever.pipeline.asked`.
    """
    none_tried = {stage: np.zeros(len(sources), np.bool_) for stage in STAGES}
    found = []
    for name, state in standing.states.items():
        need, undecided = needs(state, choice.of(name), none_tried)
        changed_above: list[str] = []
        for stage in STAGES:
            outcome = state.outcome(stage)
            waiting = need[stage] | undecided[stage]
            idle = ~waiting
            here = StagePreview(
                observatory=name,
                stage=stage,
                reused=_count(idle & (outcome == Outcome.DONE)),
                empty=_count(idle & (outcome == Outcome.EMPTY)),
                to_make=_count(need[stage]),
                undecided=_count(undecided[stage]),
                blocked=_count(idle & (outcome == Outcome.BLOCKED)),
                failed=_count(idle & (outcome == Outcome.FAILED)),
                not_asked=_count(idle & (outcome == Outcome.PENDING)),
            )
            products = standing.products[name][stage]
            if before is not None:
                changed_above += _changed(stage, name, now, before)
            if waiting.any() or here.not_asked:
                pending = waiting | (idle & (outcome == Outcome.PENDING))
                if len(products) == 0 and before is not None and changed_above:
                    here.reasons = list(changed_above)
                elif len(products) == 0:
                    here.reasons = ["nothing was made yet"]
                else:
                    here.reasons = _reasons(
                        sources, standing, name, stage, pending, name in reads_files, request_changes
                    )
            if here.undecided:
                here.reasons.append(f"raw data fetched again first, and then compared: {_sources(here.undecided)}")
            found.append(here)
    return found


def _changed(stage: str, observatory: str, now: Mapping[str, Any], before: Mapping[str, Any]) -> list[str]:
    """Parameters and code of one stage that differ between two versions."""
    prefixes = []
    for group in _GROUPS[stage]:
        named = group in ("observatories", "reducers")
        prefixes.append(f"{group}.{observatory}." if named else f"{group}.")
    new, old = flat_parameters(now["inputs"]), flat_parameters(before["inputs"])
    sentences = [
        f"{key} {_word(old.get(key))} → {_word(new.get(key))}"
        for key in differing([old, new])
        if any(key.startswith(prefix) for prefix in prefixes) and key != "project.name"
    ]
    new_code = now.get("code", {}).get(observatory, {}).get(stage, {})
    old_code = before.get("code", {}).get(observatory, {}).get(stage, {})
    return sentences + [f"code of {module} changed" for module in changed_modules(old_code, new_code)]


def _word(value: Any) -> str:
    return "(absent)" if value is None else json.dumps(value) if not isinstance(value, str) else value


def _reasons(
    sources: SourceTable, standing: Standing, observatory: str, stage: str, pending: NDArray[np.bool_],
    reads_files: bool, request_changes: Callable[[str, int], str],
) -> list[str]:  # fmt: skip
    """Why sources are pending in a stage that has products of the present code and parameters."""
    state, products = standing.states[observatory], standing.products[observatory][stage]
    one = state.stages[stage]
    rest = pending.copy()
    counts: dict[str, int] = {}

    def told(sentence: str, which: NDArray[np.bool_]) -> None:
        which = which & rest
        rest[which] = False
        if which.any():
            counts[sentence] = _count(which)

    entries = latest(one.input, products)
    there = entries >= 0
    codes = np.where(there, products.outcome[np.maximum(entries, 0)], -1)
    told("sent back by redo or verify", codes == Outcome.PENDING)
    told("failed before, tried again", one.outcome == Outcome.FAILED)
    told("blocked by a failure before", one.outcome == Outcome.BLOCKED)
    if stage == "download":
        told("older than run.refresh", there & np.isin(products.segment[np.maximum(entries, 0)], list(standing.stale)))
    told("file missing", there)
    names = sources.name[rest].tolist()
    of_any = products.among(set(names))
    new = np.zeros(len(sources), np.bool_)
    new[rest] = [name not in of_any for name in names]
    told("new", new)
    if stage == "download":
        first = int(np.argmax(rest))
        changes = request_changes(observatory, first) if rest.any() else ""
        example = f" ({sources.name[first]}: {changes})" if changes else ""
        told(("local file or request changed" if reads_files else "request changed") + example, rest)
    else:
        raw = standing.products[observatory]["download"]
        told("raw data changed", _made_from_other_raw(sources, raw, products, rest))
        told("waiting for raw data", state.stages["download"].digest == b"")
        told("catalog row changed", rest)
    return [f"{sentence}: {_sources(count)}" for sentence, count in counts.items()]


def _sources(count: int) -> str:
    return f"{count} source{'s' if count > 1 else ''}"


def _made_from_other_raw(
    sources: SourceTable, raw: Products, products: Products, asked: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Sources that have a product of an earlier answer of the survey and of the present catalog row."""
    found = np.zeros(len(sources), np.bool_)
    if not asked.any():
        return found
    row_of = {str(sources.name[row]): row for row in np.flatnonzero(asked).tolist()}
    pairs = [(row_of[name], entry) for entry, name in enumerate(raw.names()) if name in row_of]
    if not pairs:
        return found
    rows = np.array([row for row, _ in pairs])
    inputs = join_digests(raw.digest_of(np.array([entry for _, entry in pairs])), sources.digests[rows])
    found[rows[np.isin(inputs, products.input)]] = True
    return found


def _count(flags: NDArray[np.bool_]) -> int:
    return int(np.count_nonzero(flags))


def reference_version(outputs: Path, candidates: Sequence[str], present: str) -> tuple[str, Mapping[str, Any] | None]:
    """The version to compare with, and its story: the last one that was run, but for the present one."""
    for name in (name for name in candidates if name != present):
        try:
            story: dict[str, Any] = json.loads((outputs / name / "version.json").read_text(encoding="utf-8"))
            if "inputs" in story:
                return name, story
        except (OSError, ValueError):
            continue
    return "", None


def preview_text(preview: Preview) -> str:
    """A preview for people."""
    lines = [f"version {preview.version}"]
    if preview.compared_with and preview.compared_with != preview.version:
        lines[0] += f", compared with {preview.compared_with}"
    if preview.interrupted:
        lines.append(f"{preview.interrupted} files of an interrupted run will be taken over")
    words = ("reused", "empty", "to_make", "undecided", "blocked", "failed", "not_asked")
    for stage in preview.stages:
        counts = ", ".join(f"{getattr(stage, word)} {word.replace('_', ' ')}" for word in words if getattr(stage, word))
        lines.append(f"{stage.observatory:>12} {stage.stage:<9} {counts or 'nothing'}")
        lines += [f"{'':>22} because: {reason}" for reason in stage.reasons]
    if not any(stage.to_make for stage in preview.stages):
        lines.append("a run would do nothing")
    return "\n".join(lines)

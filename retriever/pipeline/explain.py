"""What a run would do, and why: predicted from the same state and by the same rules as the run itself."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retriever.graph import Stage
from retriever.identity import join_digests
from retriever.outcome import Outcome
from retriever.pipeline.cutting import needs
from retriever.pipeline.inventory import Inventory
from retriever.pipeline.plan import Choice, Key
from retriever.pipeline.recipe import JOINT, Recipe
from retriever.report.parameters import NOT_COMPARABLE, changed_modules, differing, flat_parameters, is_comparable
from retriever.source import SourceTable
from retriever.store.products import Products, latest

__all__ = ["Preview", "StagePreview", "explain", "preview_text", "reference_version"]


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

    def as_dict(self) -> dict[str, object]:
        """As plain data."""
        return {**vars(self), "stages": [dict(vars(stage)) for stage in self.stages]}


def explain(
    recipe: Recipe,
    sources: SourceTable,
    inventory: Inventory,
    choice: Choice,
    now: Mapping[str, object],
    before: Mapping[str, object] | None,
    reads_files: Sequence[str],
    request_changes: Callable[[str, int], str],
) -> list[StagePreview]:
    """Say what a run would do in each stage, and why.

    Parameters
    ----------
    now, before
        Records (`version.json`) of the version in question and of the one to compare it with.
    reads_files
        Observatories that tell the state of their files.
    request_changes
        Says of an observatory and a source's row what changed in its request; see `retriever.pipeline.asked`.
    """
    wanted = needs(recipe, inventory.states, choice, {})
    previews = []
    changed: dict[Key, list[str]] = {}
    for name, stage in recipe.nodes():
        key = name, stage.name
        state = inventory.states[name][stage.name]
        outcome, undecided = state.outcome, wanted.undecided[key]
        need = wanted.now[key] | (wanted.later[key] & ~undecided)
        waiting = need | undecided
        idle = ~waiting
        preview = StagePreview(
            observatory=name,
            stage=stage.name,
            reused=_count(idle & (outcome == Outcome.DONE)),
            empty=_count(idle & (outcome == Outcome.EMPTY)),
            to_make=_count(need),
            undecided=_count(undecided),
            blocked=_count(idle & (outcome == Outcome.BLOCKED)),
            failed=_count(idle & (outcome == Outcome.FAILED)),
            not_asked=_count(idle & (outcome == Outcome.PENDING)),
        )
        if before is not None:
            above = [sentence for up, other in recipe.upstream(name, stage) for sentence in changed[up, other.name]]
            changed[key] = list(dict.fromkeys([*above, *_changed(stage, name, now, before)]))
        if waiting.any() or preview.not_asked:
            pending = waiting | (idle & (outcome == Outcome.PENDING))
            if len(inventory.products[name][stage.name]):
                preview.reasons = _reasons(
                    sources, inventory, name, stage, pending, name in reads_files, request_changes
                )
            else:
                preview.reasons = changed.get(key) or ["nothing was made yet"]
        if preview.undecided:
            preview.reasons.append(f"raw data fetched again first, and then compared: {_sources(preview.undecided)}")
        previews.append(preview)
    order = [*recipe.surveys, JOINT]
    return sorted(previews, key=lambda preview: order.index(preview.observatory))


_NAMED = {"observatory": "observatories", "reducer": "reducers"}
"""Groups of the config that have a choice for each survey."""


def _changed(stage: Stage, observatory: str, now: Mapping[str, Any], before: Mapping[str, Any]) -> list[str]:
    """Parameters and code of one stage that differ between two versions."""
    prefixes = [f"{_NAMED[group]}.{observatory}." if group in _NAMED else f"{group}." for group in stage.groups]
    prefixes += [f"stages.{group}." for group in stage.groups]
    prefixes += ["project.seed"] if stage.seeded else []
    new, old = flat_parameters(now["inputs"]), flat_parameters(before["inputs"])
    sentences = [
        f"{key} {_word(old.get(key))} → {_word(new.get(key))}"
        for key in differing([old, new])
        if any(key.startswith(prefix) for prefix in prefixes)
    ]
    new_code = now.get("code", {}).get(observatory, {}).get(stage.name, {})
    old_code = before.get("code", {}).get(observatory, {}).get(stage.name, {})
    sentences += [f"code of {name} changed" for name in changed_modules(old_code, new_code)]
    return sentences if is_comparable(old_code, new_code) else [*sentences, NOT_COMPARABLE]


def _word(value: object) -> str:
    return "(absent)" if value is None else json.dumps(value) if not isinstance(value, str) else value


def _reasons(
    sources: SourceTable,
    inventory: Inventory,
    observatory: str,
    stage: Stage,
    pending: NDArray[np.bool_],
    reads_files: bool,
    request_changes: Callable[[str, int], str],
) -> list[str]:
    """Why items are pending in a stage that has products of the present code and parameters."""
    states, products = inventory.states[observatory], inventory.products[observatory][stage.name]
    state = states[stage.name]
    rest = pending.copy()
    counts: dict[str, int] = {}

    def because(sentence: str, which: NDArray[np.bool_]) -> None:
        which = which & rest
        rest[which] = False
        if which.any():
            counts[sentence] = _count(which)

    entries = latest(state.input, products)
    known = entries >= 0
    codes = np.where(known, products.outcome[np.maximum(entries, 0)], -1)
    because("invalidated by redo or verify", codes == Outcome.PENDING)
    because("failed before, tried again", state.outcome == Outcome.FAILED)
    because("blocked by a failure before", state.outcome == Outcome.BLOCKED)
    if not stage.inputs:
        stale = list(inventory.stale)
        because("older than run.refresh", known & np.isin(products.segment[np.maximum(entries, 0)], stale))
    because("file missing", known)
    items = sources.name if state.groups is None else state.groups.names
    names = items[rest].tolist()
    of_any = products.among(set(names))
    new = np.zeros(items.size, np.bool_)
    new[rest] = [name not in of_any for name in names]
    because("new", new)
    if not stage.inputs:
        first = int(np.argmax(rest))
        changes = request_changes(observatory, first) if rest.any() else ""
        example = f" ({sources.name[first]}: {changes})" if changes else ""
        because(("local file or request changed" if reads_files else "request changed") + example, rest)
    elif stage.unit == ("source", "survey"):
        raw = inventory.products[observatory]["download"]
        because("raw data changed", _made_from_other_raw(sources, raw, products, rest))
        because("waiting for raw data", states["download"].digest == b"")
        because("catalog row changed", rest)
    because("what it is made from changed", rest)
    return [f"{sentence}: {_sources(count)}" for sentence, count in counts.items()]


def _sources(count: int) -> str:
    return f"{count} source{'s' if count > 1 else ''}"


def _made_from_other_raw(
    sources: SourceTable, raw: Products, products: Products, asked: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Sources that have a product of an earlier answer of the survey and of the present catalog row."""
    is_made = np.zeros(len(sources), np.bool_)
    if not asked.any():
        return is_made
    row_of = {str(sources.name[row]): row for row in np.flatnonzero(asked).tolist()}
    pairs = [(row_of[name], entry) for entry, name in enumerate(raw.names()) if name in row_of]
    if not pairs:
        return is_made
    rows = np.array([row for row, _ in pairs])
    inputs = join_digests(raw.digest_of(np.array([entry for _, entry in pairs])), sources.digests[rows])
    is_made[rows[np.isin(inputs, products.input)]] = True
    return is_made


def _count(flags: NDArray[np.bool_]) -> int:
    return int(np.count_nonzero(flags))


def reference_version(
    outputs: Path, candidates: Sequence[str], present: str
) -> tuple[str, Mapping[str, object] | None]:
    """The version to compare with, and its record: the last one that was run, but for the present one."""
    for name in (name for name in candidates if name != present):
        try:
            record: dict[str, object] = json.loads((outputs / name / "version.json").read_text(encoding="utf-8"))
            if "inputs" in record:
                return name, record
        except (OSError, ValueError):
            continue
    return "", None


def preview_text(preview: Preview) -> str:
    """A preview for people."""
    lines = [f"version {preview.version}"]
    if preview.compared_with and preview.compared_with != preview.version:
        lines[0] += f", compared with {preview.compared_with}"
    if preview.interrupted:
        lines.append(f"{preview.interrupted} files of an interrupted run will be registered")
    words = ("reused", "empty", "to_make", "undecided", "blocked", "failed", "not_asked")
    for stage in preview.stages:
        counts = ", ".join(f"{getattr(stage, word)} {word.replace('_', ' ')}" for word in words if getattr(stage, word))
        lines.append(f"{stage.observatory:>12} {stage.stage:<9} {counts or 'nothing'}")
        lines += [f"{'':>22} because: {reason}" for reason in stage.reasons]
    if not any(stage.to_make for stage in preview.stages):
        lines.append("a run would do nothing")
    return "\n".join(lines)

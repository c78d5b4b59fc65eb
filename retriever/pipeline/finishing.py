"""The end of a run: the version's tables, its counts, and the state that it is in."""

import logging
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

from retriever.outcome import Outcome
from retriever.pipeline.inventory import Inventory
from retriever.pipeline.plan import Choice, States
from retriever.pipeline.recipe import Recipe
from retriever.pipeline.results import Results
from retriever.pipeline.run_summary import RunSummary, count_outcomes, count_rows, differences
from retriever.report.tables import Counted, all_aliases, write_tables
from retriever.source import SourceTable
from retriever.store import queries
from retriever.store.database import Database
from retriever.store.publishing import ROWS_AT_ONCE, add_sources
from retriever.store.segments import read

__all__ = ["finish", "import_formats"]

log = logging.getLogger("retriever")


def import_formats() -> None:
    """Import what writes tables: a fifth of a second, for when there is something to wait for."""
    import h5netcdf  # noqa: F401
    import pyarrow.compute
    import pyarrow.parquet  # noqa: F401


def finish(
    recipe: Recipe, sources: SourceTable, choice: Choice, inventory: Inventory, database: Database, folder: Path,
    summary: RunSummary, results: Results, stage_ids: Iterable[int],
) -> None:  # fmt: skip
    """Write the version's tables, and count into the summary what the version has now.

    Parameters
    ----------
    folder
        Folder of the version.
    results
        What this run made; its histograms and digests are not read from segments again.
    stage_ids
        Of the version's stages in the database.
    """
    states, segments = inventory.states, inventory.segments
    summary.failures = [*count_outcomes(summary, states, sources), *results.not_refreshed]
    _warn_of_missing_raw_data(choice, states, sources)
    aliases = _aliases(recipe, states, database)
    roots = recipe.roots
    counted = Counted(
        recipe_tables=tuple((stage.name, stage.tables) for stage in recipe.stages),
        sources=sources,
        states=states,
        segments=segments,
        lightcurve_stages=_searched(recipe),
        read_segment=lambda number, tables: read(roots[segments[number][0]] / segments[number][1], tables)[1],
        rows=lambda table, ids: queries.rows(database, table, ids),
        fresh=results.fresh,
        axes=recipe.histograms,
        aliases=aliases,
    )
    if write_tables(folder, counted):
        add_sources(database, _source_rows(sources, aliases))
    vars(summary).update(count_rows(folder))
    summary.mixed = differences(queries.environments_of(database, stage_ids))
    if summary.state == "complete":
        summary.state = "failures" if results.not_refreshed else _state(states)


def _searched(recipe: Recipe) -> dict[str, str]:
    """Observatory to the stage whose light curves are searched."""
    producer = recipe.stages.producers(recipe.stages["analyze"])["lightcurves"].name
    return dict.fromkeys(recipe.surveys, producer)


def _warn_of_missing_raw_data(choice: Choice, states: States, sources: SourceTable) -> None:
    for name in sorted(choice.not_asked):
        missing = np.flatnonzero((states[name]["download"].outcome == Outcome.PENDING) & choice.sources)
        if missing.size:
            log.warning(
                "%d source(s) have no raw data of %s on disk, the first is %s, and run.offline=true",
                missing.size, name, sources.name[missing[0]],
            )  # fmt: skip


def _aliases(recipe: Recipe, states: States, database: Database) -> dict[int, tuple[str, ...]]:
    """Other names that archives gave, by the source's row in the catalog."""
    aliases: dict[int, tuple[str, ...]] = {}
    for name in recipe.surveys:
        raw = states[name]["download"]
        names_at = list(queries.found_aliases(database, np.unique(raw.segment[raw.segment >= 0]).tolist()))
        places = zip(raw.segment.tolist(), raw.row.tolist(), strict=True) if names_at else ()
        row_at = {place: k for k, place in enumerate(places)}
        for segment, row, names in names_at:
            if (segment, row) in row_at:
                k = row_at[segment, row]
                aliases[k] = (*aliases.get(k, ()), *names)
    return aliases


def _state(states: States) -> str:
    codes = np.concatenate([state.outcome for of_stages in states.values() for state in of_stages.values()])
    if (codes == Outcome.FAILED).any():
        return "failures"
    return "partial" if (codes == Outcome.PENDING).any() else "complete"


def _source_rows(sources: SourceTable, names_of: Mapping[int, tuple[str, ...]]) -> Iterator[dict[str, object]]:
    aliases = all_aliases(sources, names_of)
    names = ("name", "ra", "dec", "epoch", "mag", "band")
    for start in range(0, len(sources), ROWS_AT_ONCE):
        some = slice(start, start + ROWS_AT_ONCE)
        columns: dict[str, list[object]] = {name: getattr(sources, name)[some].tolist() for name in names}
        columns["digest"] = sources.digests[some].astype(np.str_).tolist()
        columns["aliases"] = [list(others) for others in aliases[some]]
        yield from (dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True))

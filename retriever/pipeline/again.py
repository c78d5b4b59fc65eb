"""Simulated light curves of a version, made again from the truth and the seed."""

from pathlib import Path

from retriever.config import build_setup, load_frozen, typed
from retriever.detection import Analyzed, Simulated
from retriever.errors import StoreError
from retriever.outcome import Outcome
from retriever.pipeline.session import make_recipe
from retriever.pipeline.settings import Paths
from retriever.pipeline.standing import file_states_of, stand
from retriever.pipeline.version import Project
from retriever.stages.simulate import inject
from retriever.store import layout
from retriever.store.database import Database
from retriever.store.segments import read

__all__ = ["simulated_lightcurves"]


def simulated_lightcurves(version: Path, name: str, data: Path, database: Database) -> dict[str, Simulated]:
    """Make the simulated light curves of a source again, just as they were searched.

    Parameters
    ----------
    version
        The version's folder.
    name
        Name of the source.
    data
        The data folder.
    database
        The database that knows the version's products.

    Returns
    -------
    dict
        By observatory: the light curves that received events, and the truth (without recovery, which is in
        ``injections.parquet``).

    Raises
    ------
    StoreError
        When the version's folder, its products or the source are not there, or its code is another by now.
    """
    config = load_frozen(version / "config.yaml")
    setup = build_setup(config)
    project = typed(Project, setup.plain["project"], "project")
    recipe = make_recipe(setup, project.seed, Paths(data=str(data), outputs=str(version.parent)))
    sources = setup.components["catalog"].load()
    row = sources.row_of(name)
    if row < 0:
        raise StoreError(f"the catalog of {version.name} has no source {name!r}; see its sources.parquet")
    source = sources.source(row)
    standing = stand(recipe, sources, file_states_of(recipe, sources), database)
    found: dict[str, Simulated] = {}
    for observatory, state in standing.states.items():
        outcome = int(state.outcome("simulate")[row])
        if outcome == Outcome.EMPTY:
            continue
        stands = [int(state.outcome(stage)[row]) == Outcome.DONE for stage in ("reduce", "analyze")]
        if outcome != Outcome.DONE or not all(stands):
            raise StoreError(
                f"{version.name} has no finished simulation of {name!r} by the present code; run it again first"
            )
        places = {}
        for stage, tables in (("reduce", ["lightcurves", "epochs*"]), ("analyze", ["scored", "scores*"])):
            number = int(state.stages[stage].segment[row])
            stored = read(version.parent / standing.segments[number][1], tables)[1]
            places[stage] = stored, [int(state.stages[stage].row[row])]
        reduced = layout.unpack_lightcurves(*places["reduce"])
        processed = Analyzed(lightcurves=layout.with_scores(*places["analyze"], reduced)[0])
        found[observatory] = inject(
            recipe.simulator, source, observatory, recipe.seed, reduced[0], processed.lightcurves
        )
    return found

"""Simulated light curves of a version, regenerated from its products and the seed."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from retriever.batch import Batch, Made
from retriever.config import build_setup, load_frozen, typed
from retriever.errors import StoreError
from retriever.outcome import Outcome
from retriever.pipeline.inventory import file_states_of, take_inventory
from retriever.pipeline.jobs import make_loads
from retriever.pipeline.recipe import Recipe
from retriever.pipeline.session import make_recipe
from retriever.pipeline.settings import Paths
from retriever.pipeline.task import Load, read_loads
from retriever.pipeline.version import Project
from retriever.report.versions import VersionFolder
from retriever.schema import Tables
from retriever.source import SourceTable
from retriever.store.database import Database
from retriever.walk import walk

__all__ = ["simulate_again", "simulated_lightcurves", "truth_agrees"]


def simulated_lightcurves(version: Path, name: str, data: Path, database: Database) -> dict[str, Tables]:
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
        By observatory the tables of the simulation, with the light curves that received events.

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
    inventory = take_inventory(recipe, sources, file_states_of(recipe, sources), database)
    simulated: dict[str, Tables] = {}
    for observatory in recipe.surveys:
        outcome = int(inventory.states[observatory]["simulate"].outcome[row])
        if outcome == Outcome.EMPTY:
            continue
        if outcome != Outcome.DONE:
            raise StoreError(
                f"{version.name} has no finished simulation of {name!r} under the keys of the present code and format; "
                "run its config.yaml again, and name the version that gives"
            )
        rows = np.array([row])
        stage = recipe.stages["simulate"]
        loads = make_loads(recipe, observatory, stage, rows, inventory.states, inventory.segments)
        simulated[observatory] = simulate_again(recipe, sources.take(rows), observatory, loads)
    return simulated


def simulate_again(recipe: Recipe, chosen: SourceTable, observatory: str, loads: Sequence[Load]) -> Tables:
    """Simulate one source in one survey again from products that are there, and keep the light curves.

    Parameters
    ----------
    recipe
        What the version was made by.
    chosen
        The catalog's row of the source.
    observatory
        Name of the survey in the config.
    loads
        The product of each stage that the simulation takes from; items of the batch are numbered from 0.

    Raises
    ------
    StoreError
        When a product is not there, or the simulation fails.
    """
    stage = recipe.stages["simulate"]
    if {load.stage for load in loads} != {other.name for _, other in recipe.upstream(observatory, stage)}:
        name = str(chosen.name[0])
        raise StoreError(f"the inputs of the simulation of {name!r} are not there; run it again first")
    components = dict(recipe.components(observatory))
    components["simulator"] = replace(components["simulator"], keep_lightcurves=True)
    kept: list[Made] = []
    walk(
        recipe.stages, ("simulate",), components,
        Batch(observatory=observatory, seed=recipe.seed, items=chosen.name, sources=chosen),
        read_loads(recipe, observatory, loads), lambda _, made: kept.append(made),
    )  # fmt: skip
    (made,) = kept
    if made.outcome[0] == Outcome.FAILED:
        raise StoreError(f"cannot simulate {chosen.name[0]!r} again: {made.message[0]}")
    return made.tables


def truth_agrees(version: VersionFolder, name: str, simulated: Mapping[str, Tables]) -> str:
    """How regenerated events compare with those of the version: "identical", "equal" within 1e-12, or "different"."""
    table = version.table("injections")
    verdict = "identical"
    for observatory, tables in simulated.items():
        mine = tables["injections"]
        rows = np.flatnonzero((table["source"] == name) & (table["observatory"] == observatory))
        if rows.size != mine["source"].size:
            return "different"
        for key in ("time_peak", "width", "amplitude", "snr", "found_snr"):
            stored = table[key][rows].astype(float)
            if not np.array_equal(stored, mine[key], equal_nan=True):
                verdict = "equal"
                if not np.allclose(stored, mine[key], rtol=1e-12, atol=0, equal_nan=True):
                    return "different"
    return verdict

"""Takes one source through the stages in memory and shows the results; nothing is written."""

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NoReturn

from retriever.astrometry import place_in
from retriever.batch import Batch, Made
from retriever.config import build_setup, typed
from retriever.errors import CatalogError, StoreError
from retriever.graph import Stage
from retriever.interfaces import AsksArchive, Catalog, ResolvesNames
from retriever.outcome import Outcome
from retriever.pipeline.recipe import Recipe
from retriever.pipeline.session import make_recipe
from retriever.pipeline.settings import Paths
from retriever.pipeline.version import Project
from retriever.rawbatch import unpack_raw
from retriever.schema import Tables
from retriever.source import Source, SourceTable
from retriever.walk import Inputs, walk

if TYPE_CHECKING:
    from omegaconf import DictConfig


__all__ = ["find_source", "try_config", "try_source"]


def try_config(config: "DictConfig", what: str, stages: tuple[str, ...]) -> dict[str, Any]:
    """Try one source with a composed config.

    Parameters
    ----------
    config
        As Hydra composed it.
    what
        A name or alias of the catalog, "RA DEC" in degrees, or a TIC number, as in ``TIC 441420236``.
    stages
        Stages to go through, all if none are named; those after the first that is missing are left out.

    Raises
    ------
    RetrieverError
        When there is no such source, or the config is wrong.
    """
    setup = build_setup(config)
    project = typed(Project, setup.plain["project"], "project")
    recipe = make_recipe(setup, project.seed, typed(Paths, setup.plain["paths"], "paths"))
    for stage in stages:
        recipe.graph[stage]
    stages = stages or recipe.graph.names
    return try_source(recipe, find_source(what, setup.components["catalog"], recipe), stages)


def find_source(what: str, catalog: Catalog, recipe: Recipe) -> Source:
    """The source named by a word; see `try_config`."""
    place = place_in(what)
    if place:
        ra, dec = place
        return Source(name=f"J{ra:.5f}{dec:+.5f}", ra=ra, dec=dec)
    number = re.fullmatch(r"TIC\s*(\d+)", what.strip(), re.IGNORECASE)
    finders = [
        survey.observatory for survey in recipe.surveys.values() if isinstance(survey.observatory, ResolvesNames)
    ]
    if number and finders:
        return finders[0].find_place(number[1])
    sources = catalog.load()
    row = sources.row_of(what)
    if row < 0:
        raise CatalogError(
            f"the catalog has no source {what!r}{sources.hint(what)}; give a name of it, or RA and DEC in degrees"
        )
    return sources.source(row)


def try_source(recipe: Recipe, source: Source, stages: tuple[str, ...]) -> dict[str, object]:
    """Take one source through the stages; gives what they made, as plain data."""
    return {
        "source": {
            "name": source.name,
            "ra": source.ra,
            "dec": source.dec,
            "mag": source.mag,
            "aliases": source.aliases,
        },
        "observatories": {name: _try_survey(recipe, name, source, stages) for name in recipe.surveys},
    }


def _try_survey(recipe: Recipe, name: str, source: Source, stages: tuple[str, ...]) -> dict[str, object]:
    """What each stage made of a source in one survey; stages that join surveys or sources need a run."""
    components = dict(recipe.components(name))
    observatory: object = components["observatory"]
    if isinstance(observatory, AsksArchive):
        asking: Any = observatory
        components["observatory"] = replace(asking, client=replace(asking.client, cache=None))
    names = _possible(recipe, stages)
    sources = SourceTable.of([source])
    made: dict[str, Made] = {}
    walk(
        recipe.stages, names, components,
        Batch(observatory=name, seed=recipe.seed, items=sources.name, sources=sources),
        Inputs(load=_nothing_to_load, load_joined=_nothing_to_load),
        lambda stage, what: made.update({stage.name: what}),
    )  # fmt: skip
    results: dict[str, object] = {}
    for stage in map(recipe.stages.__getitem__, names):
        what = made[stage.name]
        if what.message[0]:
            return {**results, "failed": what.message[0]}
        if what.outcome[0] not in (Outcome.DONE, Outcome.EMPTY) or (what.outcome[0] == Outcome.EMPTY and stage.inputs):
            break
        results |= _shown(stage, what.tables)
    return results


def _possible(recipe: Recipe, stages: tuple[str, ...]) -> tuple[str, ...]:
    """Those of some stages whose inputs a single source has, up to the first that is missing."""
    names: list[str] = []
    for stage in recipe.stages:
        has_inputs = all(other.name in names for other in recipe.stages.upstream(stage))
        if stage.unit == ("source", "survey") and stage.name in stages and has_inputs:
            names.append(stage.name)
    return tuple(names)


def _nothing_to_load(stage: Stage, port: str) -> NoReturn:
    raise StoreError(f"stage {stage.name!r} has nothing in memory for {port!r}")


def _shown(stage: Stage, tables: Tables) -> dict[str, object]:
    """Declared tables of a stage as rows; what came from an archive with its provenance."""
    content: dict[str, object] = {}
    for table in stage.tables:
        columns = {name: column for name, column in tables[table.name].items() if name != "source"}
        shown = [spec.name for spec in table.columns] if table.columns else list(columns)
        rows = [
            dict(zip(shown, row, strict=True)) for row in zip(*(columns[name].tolist() for name in shown), strict=True)
        ]
        if table.name == "raw_index":
            content["raw"] = _raw(rows, tables)
        elif table.extensible:
            units = tables[f"{table.name}.units"]
            unit_of = dict(zip(units["name"].tolist(), units["unit"].tolist(), strict=True))
            values = {name.removeprefix("p."): value for row in rows for name, value in row.items()}
            content[table.name] = {name: f"{value} {unit_of.get(name, '')}".strip() for name, value in values.items()}
        else:
            content[table.name] = rows
    if "dropped" in tables:
        dropped = tables["dropped"]
        content["dropped"] = dict(zip(dropped["reason"].tolist(), dropped["n_rows"].tolist(), strict=True))
    return content


def _raw(rows: list[dict[str, Any]], tables: Tables) -> dict[str, object]:
    if not rows:
        return {"rows": 0}
    (answer,) = unpack_raw(tables, [0])
    return {
        "rows": rows[0]["n_rows"],
        "tables": [table.origin for table in answer.tables],
        "aliases": json.loads(rows[0]["aliases"]),
        **json.loads(rows[0]["provenance"]),
    }

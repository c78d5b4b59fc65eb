"""One source through the stages in memory: shown, and nothing of it written."""

import re
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from retriever.astrometry import place_in
from retriever.config import build_setup, typed
from retriever.errors import CatalogError
from retriever.outcome import STAGES
from retriever.pipeline.recipe import Recipe
from retriever.pipeline.session import make_recipe
from retriever.pipeline.settings import Paths
from retriever.pipeline.version import Project
from retriever.source import Source
from retriever.stages.analyze import analyze
from retriever.stages.attempt import Failure, attempt
from retriever.stages.download import download
from retriever.stages.reduce import reduce
from retriever.stages.simulate import simulate
from retriever.verbs import AsksArchive, ResolvesNames

__all__ = ["find_source", "try_config", "try_source"]


def try_config(config: Any, what: str, stages: tuple[str, ...]) -> dict[str, Any]:
    """Try one source with a composed config.

    Parameters
    ----------
    config
        As Hydra composed it.
    what
        A name or alias of the catalog, "RA DEC" in degrees, or a TIC number, as in ``TIC 441420236``.
    stages
        Stages to go through; those after the first that is missing are left out.

    Raises
    ------
    RetrieverError
        When there is no such source, or the config is wrong.
    """
    setup = build_setup(config)
    project = typed(Project, setup.plain["project"], "project")
    recipe = make_recipe(setup, project.seed, typed(Paths, setup.plain["paths"], "paths"))
    return try_source(recipe, find_source(what, setup.components["catalog"], recipe), stages)


def find_source(what: str, catalog: Any, recipe: Recipe) -> Source:
    """The source that a word means; see `try_config`."""
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
    one: Source = sources.source(row)
    return one


def try_source(recipe: Recipe, source: Source, stages: tuple[str, ...] = STAGES) -> dict[str, Any]:
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


def _try_survey(recipe: Recipe, name: str, source: Source, stages: tuple[str, ...]) -> dict[str, Any]:
    survey = recipe.surveys[name]
    observatory: Any = survey.observatory
    if isinstance(survey.observatory, AsksArchive):
        observatory = replace(observatory, client=replace(survey.observatory.client, inbox=None))
    (raw,) = download(observatory, [source])
    if isinstance(raw, Failure):
        return {"failed": raw.message}
    found: dict[str, Any] = {
        "raw": {
            "rows": raw.n_rows,
            "tables": [table.origin for table in raw.tables],
            "aliases": raw.aliases,
            **raw.provenance,
        }
    }
    if "reduce" not in stages or raw.is_empty:
        return found
    reduction = attempt(f"reducing {source.name}", reduce, survey.reducer, source, raw)
    if isinstance(reduction, Failure):
        return {**found, "failed": reduction.message}
    found["dropped"] = dict(reduction.dropped)
    found["lightcurves"] = [
        {
            "number": lc.number, "band": lc.band, "series": lc.series, "epochs": lc.n_epochs,
            "first_mjd": float(lc.time[0]), "last_mjd": float(lc.time[-1]),
            "median_mag": float(np.nanmedian(lc.mag)) if np.isfinite(lc.mag).any() else None,
        }
        for lc in reduction.lightcurves
    ]  # fmt: skip
    if "analyze" not in stages or not reduction.lightcurves:
        return found
    parts = (recipe.analysis, recipe.quality, recipe.finder)
    analyzed = attempt(f"analyzing {source.name}", analyze, *parts, source, reduction.lightcurves)
    if isinstance(analyzed, Failure):
        return {**found, "failed": analyzed.message}
    found["detections"] = [asdict(one) for one in analyzed.detections]
    found["properties"] = {key: f"{value} {unit}".strip() for key, (value, unit) in analyzed.properties.items()}
    if "simulate" not in stages:
        return found
    simulated = attempt(
        f"simulating {source.name}", simulate, recipe.simulator, *parts, source, name, recipe.seed,
        reduction.lightcurves, analyzed,
    )  # fmt: skip
    if isinstance(simulated, Failure):
        return {**found, "failed": simulated.message}
    return {**found, "injections": [asdict(one) for one in simulated.injections]}

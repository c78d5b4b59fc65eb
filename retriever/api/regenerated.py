"""What a version does not keep, made again from its folder and its segments, without a database."""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np

from retriever.api.segments import Segments
from retriever.arrays import Rows
from retriever.attempt import Failure, attempt
from retriever.config import build_setup, load_frozen, typed
from retriever.errors import RetrieverError, StoreError
from retriever.lightcurve import Lightcurve
from retriever.lightcurves import LightcurveSet
from retriever.pipeline.recipe import Recipe
from retriever.pipeline.regenerate import simulate_again
from retriever.pipeline.session import make_recipe
from retriever.pipeline.settings import Paths
from retriever.pipeline.task import Load
from retriever.pipeline.version import Project
from retriever.rawtable import RawPhotometry
from retriever.report.versions import VersionFolder
from retriever.source import Source, SourceTable
from retriever.stages.reduce import reduce

__all__ = ["dropped_rows", "simulated_again"]


def simulated_again(
    version: VersionFolder, segments: Segments, observatory: str, source: Source, places: Mapping[str, tuple[str, int]]
) -> tuple[Lightcurve, ...]:
    """Make the simulated light curves of a source again, just as they were searched.

    Parameters
    ----------
    version, segments
        The version's folder, and the segments of the archive.
    observatory
        Name of the survey in the config.
    source
        The source as the version's catalog has it.
    places
        Stage to the segment, and the row in it, of the products that the simulation was made from.

    Raises
    ------
    StoreError
        When the present code is not that of the version's simulation, or a product is not there.
    """
    recipe = _recipe(version.folder, segments.outputs, segments.data)
    made_by = version.manifest["inputs"]["stage_keys"][observatory]["simulate"]
    if recipe.specs[observatory]["simulate"].key != made_by:
        raise StoreError(
            f"the simulation of {version.name} was made by other code than the present; "
            "check out the commit in version.manifest, or run the version again"
        )
    loads = [
        Load(
            observatory=observatory, stage=stage, path=segment.partition("/")[2],
            rows=np.array([row]), items=np.array([0]),
        )
        for stage, (segment, row) in places.items()
    ]  # fmt: skip
    tables = simulate_again(recipe, SourceTable.of([source]), observatory, loads)
    return LightcurveSet.read(tables, "simulated_lightcurves", "simulated_epochs").objects(1)[0]


def dropped_rows(
    version: VersionFolder, segments: Segments, observatory: str, source: Source, raw: RawPhotometry
) -> Mapping[str, Rows] | None:
    """Which rows of the raw tables of a source were dropped, by reason.

    Parameters
    ----------
    version, segments, observatory, source
        As for `simulated_again`.
    raw
        What the survey gave.

    Returns
    -------
    dict or None
        See `retriever.lightcurve.Reduction`; None where the present code reduces otherwise than that of the version, or
        cannot reduce the source.
    """
    try:
        recipe = _recipe(version.folder, segments.outputs, segments.data)
        if recipe.specs[observatory]["reduce"].key != version.manifest["inputs"]["stage_keys"][observatory]["reduce"]:
            return None
        reduction = attempt(f"reducing {source.name}", reduce, recipe.components(observatory)["reducer"], source, raw)
    except (RetrieverError, KeyError):
        return None
    return None if isinstance(reduction, Failure) else reduction.dropped_rows


@lru_cache(4)
def _recipe(folder: Path, outputs: Path, data: Path) -> Recipe:
    setup = build_setup(load_frozen(folder / "config.yaml"))
    project = typed(Project, setup.plain["project"], "project")
    return make_recipe(setup, project.seed, Paths(data=str(data), outputs=str(outputs)))

"""Takes over raw files on disk as if they had just been downloaded, so that nothing is downloaded twice."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from retriever.errors import ConfigError, StoreError
from retriever.interfaces import Observatory
from retriever.observatories.folder import FolderObservatory
from retriever.observatories.mission_folder import MissionFolderObservatory
from retriever.outcome import Outcome
from retriever.pipeline.inventory import take_inventory
from retriever.pipeline.recipe import Recipe, Survey
from retriever.pipeline.session import open_session
from retriever.pipeline.task import Job, run_job
from retriever.pipeline.version import new_run_name
from retriever.store.database import Database
from retriever.store.leases import LeaseHolder
from retriever.store.publishing import publish, stage_ids

if TYPE_CHECKING:
    from omegaconf import DictConfig


__all__ = ["Adopted", "adopt_folder", "adopted_text"]


@dataclass(frozen=True, kw_only=True)
class Adopted:
    """Result of taking over a folder: numbers of sources taken over, known before and without a file, and failures."""

    observatory: str
    taken: int
    there: int
    without_file: int
    failed: tuple[str, ...]


def adopt_folder(
    config: "DictConfig",
    folder: str,
    *,
    observatory: str = "",
    pattern: str = "*{name}.*",
    key: str = "",
    headers: str = "",
) -> Adopted:
    """Take over a folder's files as raw data of an observatory of the config.

    Parameters
    ----------
    config
        As Hydra composed it.
    folder
        Where the files are.
    observatory
        Whose raw data they are; may be left out where the config has one.
    pattern
        Names of the files, with ``{name}`` for the source's name or alias.
    key
        Column in which files name their sources; "" where the files' names do.
    headers
        "TESS" or "Kepler": find the star by the FITS headers instead.

    Raises
    ------
    RetrieverError
        When the config is wrong or nothing can be written.
    """
    session = open_session(config)
    recipe = session.recipe
    name = observatory or (next(iter(recipe.surveys)) if len(recipe.surveys) == 1 else "")
    if name not in recipe.surveys:
        raise ConfigError(f"adopt needs --observatory with one of {', '.join(recipe.surveys)}")
    if name in session.file_states:
        raise ConfigError(f"{name} reads files where they lie; there is nothing to take over")
    survey = recipe.surveys[name].observatory.survey
    reader: FolderObservatory | MissionFolderObservatory
    if headers:
        reader = MissionFolderObservatory(survey=survey, telescope=headers, folder=folder)
    else:
        reader = FolderObservatory(survey=survey, pattern=pattern, key=key, folder=folder)
    has_file = np.array([bool(state) for state in reader.states(session.sources)])
    reading = _with_observatory(recipe, name, reader)
    spec = recipe.specs[name]["download"]
    run = new_run_name()
    with Database(session.address, session.paths.outputs_root) as database, LeaseHolder(database, run) as leases:
        stage_ids(database, [spec])
        leases.take([spec.key], on_wait=print)
        raw = take_inventory(recipe, session.sources, session.file_states, database).states[name]["download"]
        lacking = (raw.outcome != Outcome.DONE) & (raw.outcome != Outcome.EMPTY)
        rows = np.flatnonzero(lacking & has_file)
        rows = rows[np.argsort(session.sources.ra[rows], kind="stable")]
        failed: list[str] = []
        size = session.executor.batch_size
        for first in range(0, rows.size, size):
            some = rows[first : first + size]
            sources = session.sources.take(some)
            job = Job(
                observatory=name, stages=("download",), items=sources.name, sources=sources,
                inputs={"download": raw.input[some]}, loads=(), keys={"download": spec.key},
            )  # fmt: skip
            result = run_job(reading, job)
            if result.error:
                raise StoreError(result.error)
            for batch in result.batches:
                rows_made = batch.tables["sources"]
                failed += [
                    f"{rows_made['name'][k]}: {rows_made['message'][k]}"
                    for k in np.flatnonzero(rows_made["outcome"] == Outcome.FAILED)
                ]
            publish(database, result.batches, run=run, tokens=leases.tokens)
    return Adopted(
        observatory=name,
        taken=int(rows.size) - len(failed),
        there=int(np.count_nonzero(~lacking)),
        without_file=int(np.count_nonzero(lacking & ~has_file)),
        failed=tuple(failed),
    )


def _with_observatory(recipe: Recipe, name: str, reader: Observatory) -> Recipe:
    """The recipe with files instead of the archive; its keys are those of the archive."""
    surveys = {**recipe.surveys, name: Survey(observatory=reader, reducer=recipe.surveys[name].reducer)}
    changed = replace(recipe, surveys=surveys)
    changed.__dict__["manifests"] = recipe.manifests
    return changed


def adopted_text(adopted: Adopted) -> str:
    """Text of the result."""
    line = (
        f"{adopted.observatory}: {adopted.taken} source(s) taken over, {adopted.there} were there before, "
        f"{adopted.without_file} have no file"
    )
    return "\n".join([line, *(f"failed: {sentence}" for sentence in adopted.failed[:10])])

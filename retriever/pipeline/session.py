"""From a built config to a run: loads the catalog, derives the version, opens its folder and log."""

import contextlib
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from retriever.config import SEARCH_GROUPS, Setup, build_setup, frozen_yaml, typed
from retriever.errors import CatalogError, ConfigError, nearest
from retriever.histogram import Histograms
from retriever.interfaces import AsksArchive
from retriever.pipeline.asked import RequestChanges
from retriever.pipeline.executors import Engine
from retriever.pipeline.explain import Preview, explain, reference_version
from retriever.pipeline.inventory import file_states_of, segment_sizes, take_inventory
from retriever.pipeline.own_stages import build_stages
from retriever.pipeline.plan import Choice
from retriever.pipeline.recipe import Recipe, Survey
from retriever.pipeline.run_summary import RunSummary
from retriever.pipeline.runner import Run
from retriever.pipeline.settings import Paths, RunSettings, StoreSettings
from retriever.pipeline.version import Project, Repository, Version, make_version, new_run_name, repositories
from retriever.retention.versions import renew
from retriever.source import SourceTable
from retriever.store import queries
from retriever.store.connection import url_from_environment
from retriever.store.database import Database
from retriever.store.upkeep import read_batches, unknown_segments

if TYPE_CHECKING:
    from omegaconf import DictConfig


__all__ = ["Session", "make_recipe", "open_session", "plan_config", "run_config"]

log = logging.getLogger("retriever")


@dataclass(frozen=True, kw_only=True)
class Session:
    """A config, built: what a run and a plan both start from.

    Attributes
    ----------
    recipe, sources, choice, version
        What to do; see `retriever.pipeline.runner.Run`.
    file_states
        See `retriever.pipeline.inventory.file_states_of`.
    settings, address, paths, executor
        How to do it; `address` is that of the database.
    repositories
        State of the code's repositories.
    """

    recipe: Recipe
    sources: SourceTable
    file_states: Mapping[str, list[str]]
    choice: Choice
    version: Version
    settings: RunSettings
    address: str
    paths: Paths
    executor: Engine
    repositories: Mapping[str, Repository]


def open_session(config: "DictConfig") -> Session:
    """Build a composed config, load its catalog and derive its version; writes nothing.

    Raises
    ------
    RetrieverError
        For whatever keeps a run from starting.
    """
    setup = build_setup(config)
    project = typed(Project, setup.plain["project"], "project")
    settings = typed(RunSettings, setup.plain["run"], "run")
    paths = typed(Paths, setup.plain["paths"], "paths")
    recipe = make_recipe(setup, project.seed, paths)
    sources = setup.components["catalog"].load()
    state = repositories(Path.cwd(), (paths.data_root, paths.outputs_root))
    return Session(
        recipe=recipe,
        sources=sources,
        file_states=file_states_of(recipe, sources),
        choice=choose(sources, settings, recipe),
        version=make_version(project, setup.components["catalog"], sources, recipe, state),
        settings=settings,
        address=typed(StoreSettings, setup.plain["store"], "store").address(url_from_environment()),
        paths=paths,
        executor=setup.components["executor"],
        repositories=state,
    )


def run_config(config: "DictConfig", verbose: bool = False) -> RunSummary:
    """Run a composed config.

    Parameters
    ----------
    config
        As Hydra composed it.
    verbose
        Whether to show the log on the terminal.

    Raises
    ------
    RetrieverError
        For whatever keeps the run from starting, or stops all of it.
    """
    session = open_session(config)
    version, settings = session.version, session.settings
    with Database(session.address, session.paths.outputs_root) as database:
        renew(session.paths.outputs_root, session.paths.data_root, database)
        database.keep_folders(session.paths.outputs_root, session.paths.data_root)
        version.open_folder(frozen_yaml(config), session.repositories, session.recipe)
        name = new_run_name()
        run = Run(
            recipe=session.recipe, sources=session.sources, file_states=session.file_states, choice=session.choice,
            version=version, settings=settings, engine=session.executor, database=database, name=name,
        )  # fmt: skip
        with _logged(version.folder / "runs" / name, verbose or settings.verbose):
            for reason, count in session.sources.skipped.items():
                log.warning("the catalog has %d row(s) that were left out: %s", count, reason)
            for note in session.sources.notes:
                log.warning("%s", note)
            log.info("run %s of version %s, commits %s", name, version.name, version.inputs["commits"])
            return run.run()


def plan_config(config: "DictConfig") -> Preview:
    """Say what a run of a composed config would do; makes nothing, but for the tables of a new or outdated database.

    Raises
    ------
    RetrieverError
        For whatever would keep the run from starting.
    """
    session = open_session(config)
    version, recipe = session.version, session.recipe
    with contextlib.ExitStack() as stack:
        exists = Database.exists(session.address, session.paths.outputs_root)
        database = stack.enter_context(Database(session.address, session.paths.outputs_root)) if exists else None
        if database is not None:
            renew(session.paths.outputs_root, session.paths.data_root, database)
        unknown, _ = read_batches(unknown_segments(database, segment_sizes(recipe), recipe.roots), recipe.roots)
        inventory = take_inventory(
            recipe,
            session.sources,
            session.file_states,
            database,
            [batch for _, batch in unknown],
            session.settings.fetched_after,
        )
        candidates = queries.versions_by_run(database, version.inputs["project"]["name"]) if database else []
    changes = RequestChanges(recipe, session.sources, inventory)
    name, before = reference_version(session.paths.outputs_root, candidates, version.name)
    now = {"inputs": version.inputs, "code": recipe.code}
    return Preview(
        version=version.name,
        folder=str(version.folder),
        compared_with=name,
        stages=explain(
            recipe, session.sources, inventory, session.choice, now, before, list(session.file_states), changes.of
        ),
        interrupted=len(unknown),
    )


def choose(sources: SourceTable, settings: RunSettings, recipe: Recipe) -> Choice:
    """Which part of the work the settings ask for.

    Raises
    ------
    CatalogError
        When they name a source that the catalog does not have.
    """
    asking = {name for name, survey in recipe.surveys.items() if isinstance(survey.observatory, AsksArchive)}
    return Choice(
        stages=_stages(settings, recipe),
        sources=_selected(sources, settings),
        retry=settings.retry,
        not_asked=frozenset(asking) if settings.offline else frozenset(),
    )


def _stages(settings: RunSettings, recipe: Recipe) -> tuple[str, ...]:
    names = recipe.graph.names
    for stage in settings.stages or ():
        if stage not in names:
            raise ConfigError(f"run.stages has {stage!r}{nearest(stage, names)}")
    return names if settings.stages is None else tuple(settings.stages)


def _selected(sources: SourceTable, settings: RunSettings) -> NDArray[np.bool_]:
    chosen = np.zeros(len(sources), np.bool_)
    chosen[settings.start : settings.stop] = True
    if settings.sources is None:
        return chosen
    rows = []
    for name in settings.sources:
        row = sources.row_of(name)
        if row < 0:
            raise CatalogError(f"run.sources names {name!r}, which the catalog does not have{sources.hint(name)}")
        rows.append(row)
    named = np.zeros(len(sources), np.bool_)
    named[rows] = True
    return chosen & named


def make_recipe(setup: Setup, seed: int, paths: Paths) -> Recipe:
    """The recipe of a built config."""
    graph, own = build_stages(setup.plain["stages"])
    return Recipe(
        graph=graph,
        own=own,
        surveys={
            name: Survey(observatory=observatory, reducer=setup.reducers[name])
            for name, observatory in setup.observatories.items()
        },
        search={group: setup.components[group] for group in SEARCH_GROUPS},
        histograms=typed(Histograms, setup.plain["histograms"], "histograms"),
        seed=seed,
        data=paths.data_root,
        outputs=paths.outputs_root,
    )


@contextlib.contextmanager
def _logged(folder: Path, verbose: bool) -> Iterator[None]:
    """Write the run's log, and warnings (with -v everything) to the terminal."""
    folder.mkdir(parents=True, exist_ok=True)
    to_file = logging.FileHandler(folder / "log.txt", encoding="utf-8", delay=True)
    to_file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    to_terminal = logging.StreamHandler()
    to_terminal.setFormatter(logging.Formatter("retriever: %(message)s"))
    to_terminal.setLevel(logging.DEBUG if verbose else logging.WARNING)
    log.setLevel(logging.DEBUG if verbose else logging.INFO)
    log.propagate = False
    for handler in (to_file, to_terminal):
        log.addHandler(handler)
    try:
        yield
    finally:
        for handler in (to_file, to_terminal):
            log.removeHandler(handler)
            handler.close()

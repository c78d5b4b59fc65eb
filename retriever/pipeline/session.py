"""From a built config to a run: loads the catalog, derives the version, opens its folder and log."""

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from retriever.config import Setup, build_setup, frozen_yaml, typed
from retriever.pipeline.recipe import Recipe, Survey
from retriever.pipeline.runner import Run, RunSummary, choose, stamps_of
from retriever.pipeline.settings import Paths, RunSettings, StoreSettings
from retriever.pipeline.version import Project, make_version, new_run_name, repositories
from retriever.store.database import Database

__all__ = ["make_recipe", "run_config"]

log = logging.getLogger("retriever")


def run_config(config: Any, verbose: bool = False) -> RunSummary:
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
    setup = build_setup(config)
    project = typed(Project, setup.plain["project"], "project")
    settings = typed(RunSettings, setup.plain["run"], "run")
    store = typed(StoreSettings, setup.plain["store"], "store")
    paths = typed(Paths, setup.plain["paths"], "paths")
    recipe = make_recipe(setup, project.seed, paths)
    sources = setup.components["catalog"].load()
    choice, stamps = choose(sources, settings), stamps_of(recipe, sources)
    state = repositories(Path.cwd(), (paths.data_root, paths.outputs_root))
    version = make_version(project, setup.components["catalog"], sources, recipe, state)
    with Database(store.url or "", paths.outputs_root) as database:
        version.open_folder(frozen_yaml(config), state, recipe)
        name = new_run_name()
        run = Run(
            recipe=recipe, sources=sources, stamps=stamps, choice=choice, version=version, settings=settings,
            engine=setup.components["executor"], database=database, name=name,
        )  # fmt: skip
        with _logged(version.folder / "runs" / name, verbose or settings.verbose):
            for reason, count in sources.skipped.items():
                log.warning("the catalog has %d row(s) that were left out: %s", count, reason)
            log.info("run %s of version %s, commits %s", name, version.name, version.inputs["commits"])
            return run.run()


def make_recipe(setup: Setup, seed: int, paths: Paths) -> Recipe:
    """The recipe of a built config."""
    return Recipe(
        surveys={
            name: Survey(observatory=observatory, reducer=setup.reducers[name])
            for name, observatory in setup.observatories.items()
        },
        quality=setup.components["quality"],
        finder=setup.components["finder"],
        analysis=setup.components["analysis"],
        simulator=setup.components["simulator"],
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

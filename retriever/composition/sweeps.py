"""Sweeps: one config for each combination of values, and the work on each by Hydra's sweeper and launcher."""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from retriever.composition.compose import compose, hydra_object, hydra_on, refuse_odd_choices
from retriever.composition.request import ConfigRequest, choices, parse_overrides

__all__ = ["axes", "outputs_of_sweep", "run_jobs"]


def axes(request: ConfigRequest) -> dict[str, list[str]]:
    """Swept parameters and their values as words, in the order in which the jobs count through them.

    Examples
    --------
    >>> axes(ConfigRequest(overrides=("finder.snr_threshold=5,6", "simulator=box,gaussian", "catalog.size=9")))
    {'finder.snr_threshold': ['5', '6'], 'simulator': ['box', 'gaussian']}
    """
    with hydra_on(request, sweeps=True):
        return {
            override.key_or_group.replace("/", "."): [word.strip("'\"") for word in override.sweep_string_iterator()]
            for override in parse_overrides(request.overrides, hydra_object().config_loader)
            if override.is_sweep_override()
        }


def outputs_of_sweep(request: ConfigRequest) -> str:
    """The outputs folder of a sweep: that of its first job.

    Examples
    --------
    >>> outputs_of_sweep(ConfigRequest(overrides=("finder.snr_threshold=5,6", "paths.outputs=elsewhere")))
    'elsewhere'
    """
    with hydra_on(request, sweeps=True):
        parsed = parse_overrides(request.overrides, hydra_object().config_loader)
        words = [
            f"{override.get_key_element()}={next(iter(override.sweep_string_iterator()))}"
            if override.is_sweep_override()
            else str(override.input_line)
            for override in parsed
        ]
    return str(OmegaConf.select(compose(replace(request, overrides=tuple(words))), "paths.outputs", default="outputs"))


@dataclass(frozen=True)
class _Job:
    """One job of a sweep; it may start in a process that a launcher made, in whatever folder."""

    work: Callable[[DictConfig, int], None]
    folder: str

    def __call__(self, config: DictConfig) -> None:
        if Path.cwd() != Path(self.folder):
            os.chdir(self.folder)
        if self.folder not in sys.path:
            sys.path.insert(0, self.folder)
        self.work(config, int(HydraConfig.get().job.num))


def run_jobs(request: ConfigRequest, work: Callable[[DictConfig, int], None]) -> None:
    """Do some work for each combination of a sweep, by the sweeper and the launcher that the config names.

    Parameters
    ----------
    work
        Takes the config of a job and its number. It may be called in other processes, so that it leaves results on
        disk only.

    Raises
    ------
    ConfigError
        When a config cannot be composed.
    """
    refuse_odd_choices(parse_overrides(request.overrides), choices(request.folders))
    with hydra_on(request, sweeps=True):
        hydra_object().multirun(
            config_name=request.config_name,
            task_function=_Job(work, str(Path.cwd())),
            overrides=[*request.overrides, "hydra.mode=MULTIRUN"],
        )

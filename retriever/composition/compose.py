"""Configs composed through Hydra's compose API, and sentences on what is wrong with a request.

Sweeps and ``--info`` need more than that API has: they take the object that Hydra itself keeps in
`hydra.core.global_hydra`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from pathlib import Path
from typing import Any

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.errors import HydraException, MissingConfigException
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from retriever.composition.request import ConfigRequest, choices, keys_of, listed, parse_overrides
from retriever.config import CONFIG_FOLDER
from retriever.errors import ConfigError, nearest

__all__ = [
    "compose",
    "compose_with_hydra",
    "hydra_object",
    "hydra_on",
    "refuse_odd_choices",
]


def compose(request: ConfigRequest) -> DictConfig:
    """Compose a config, without Hydra's own part of it.

    Raises
    ------
    ConfigError
        When an override cannot be read, or names a key or choice that the config tree does not have.

    Examples
    --------
    >>> compose(ConfigRequest(overrides=("finder.snr_threshold=7",))).finder.snr_threshold
    7
    """
    config = compose_with_hydra(request)
    del config["hydra"]
    return config


def compose_with_hydra(request: ConfigRequest) -> DictConfig:
    """Compose a config with Hydra's own part of it below ``hydra``; see `compose`."""
    parsed = parse_overrides(request.overrides)
    refuse_odd_choices(parsed, choices(request.folders))
    with hydra_on(request):
        config: DictConfig = hydra_compose(request.config_name, list(request.overrides), return_hydra_config=True)
        HydraConfig.instance().set_config(config)  # for interpolations such as ${hydra:runtime.choices.finder}
    OmegaConf.set_struct(config, False)
    return config


@contextmanager
def hydra_on(request: ConfigRequest, *, sweeps: bool = False) -> Iterator[None]:
    """Hydra, set up on retriever's config tree; its errors are raised as `ConfigError`."""
    Plugins.instance().register(_OwnFolders)
    token = _own_folders.set(request.folders[1:])
    try:
        with initialize_config_dir(str(CONFIG_FOLDER), job_name="retriever", version_base="1.3"):
            yield
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(_reason(request, error, sweeps)) from error
    finally:
        _own_folders.reset(token)


_own_folders: ContextVar[tuple[Path, ...]] = ContextVar("_own_folders", default=())


class _OwnFolders(SearchPathPlugin):  # type: ignore[misc]  # Hydra has no types here
    """Lets Hydra search the folder of --config-dir after retriever's own config tree."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        for folder in _own_folders.get():
            search_path.append(provider="command-line", path=f"file://{folder}")


def hydra_object() -> Any:
    """Hydra's main object, which `hydra.compose` uses too."""
    return GlobalHydra.instance().hydra


# ---- what is wrong with a request ----------------------------------------------------------------------------------


def refuse_odd_choices(parsed: Sequence[Override], groups: Mapping[str, Sequence[str]]) -> None:
    """Refuse choices that are no names, and names that the group does not have."""
    if any(override.key_or_group == "hydra.searchpath" for override in parsed):
        return  # the groups may have further choices, which Hydra knows
    for override in parsed:
        group = override.key_or_group
        if group not in groups or override.is_sweep_override() or override.is_delete():
            continue
        for choice in listed(override.value()):
            if not isinstance(choice, str) or not choice:
                raise ConfigError(f"{group} is a group of configs; choose one of {', '.join(groups[group])}")
            folder, _, name = f"{group}/{choice}".rpartition("/")  # a choice may lie in a group below the group
            if name not in groups.get(folder, ()) and not override.is_hydra_override():
                raise ConfigError(_no_choice(choice, group, groups[group]))


def _no_choice(choice: str, group: str, known: Sequence[str]) -> str:
    return f"there is no {choice!r} among the choices of {group!r}{nearest(choice, known)}"


def _reason(request: ConfigRequest, error: Exception, sweeps: bool) -> str:
    """Why a config cannot be composed, in one sentence.

    What is wrong with an override is looked up in the config tree; Hydra's own text is the last resort.
    """
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, choice = error.missing_cfg_file.rpartition("/")
        if group:
            return _no_choice(choice, group, error.options or choices(request.folders).get(group, ()))
        names = [path.stem for folder in request.folders for path in folder.glob("*.yaml")]
        return f"there is no config file {choice!r} in the config folders{nearest(choice, names)}"
    parsed = parse_overrides(request.overrides)
    swept = [override for override in parsed if override.is_sweep_override()]
    if swept and not sweeps:
        word = swept[0].input_line
        return f"{word} has several values; add -m to sweep over them, or write the value in [] or quotes"
    wrong = _wrong_override(parsed, request)
    if wrong:
        return wrong
    texts = [str(cause).strip().splitlines() for cause in (error, error.__cause__) if cause is not None]
    lines = [text[0].strip().rstrip(".") for text in texts if text]
    return f"{': '.join(lines) or type(error).__name__}; see retriever run --help"


def _wrong_override(parsed: Sequence[Override], request: ConfigRequest) -> str:
    """What is wrong with the first override whose key does not fit the config; "" when all keys fit."""
    groups = choices(request.folders)
    values = [word for word in parsed if word.key_or_group not in groups and not word.is_hydra_override()]
    if not values:
        return ""
    chosen = [word for word in parsed if word.key_or_group in groups and not word.is_sweep_override()]
    keys = keys_of(compose(replace(request, overrides=tuple(str(word.input_line) for word in chosen))))
    for override in values:
        key = override.key_or_group
        if override.is_add() and key in keys:
            return f"the config has {key!r} already; leave the '+' of {override.input_line} away"
        if key not in keys and not (override.is_add() or override.is_force_add()):
            return f"the config has no {key!r}{nearest(key, keys | set(groups))}"
    return ""

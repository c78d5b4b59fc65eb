"""Saved configs with overrides on top."""

from __future__ import annotations

import copy
from typing import Any

from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from retriever.composition.compose import compose, refuse_odd_choices
from retriever.composition.request import ConfigRequest, choices, keys_of, listed, parse_overrides
from retriever.errors import ConfigError, nearest

__all__ = ["changed"]


def changed(saved: DictConfig, request: ConfigRequest) -> DictConfig:
    """A saved config with the overrides of a request on top.

    A choice of a group replaces the saved part of that group by the choice's file in the config tree. Keys are then
    overridden in the order of the words.

    Raises
    ------
    ConfigError
        When an override cannot be read, sweeps, or names a key or choice that does not exist.

    Examples
    --------
    >>> saved = compose(ConfigRequest(overrides=("finder.snr_threshold=7",)))
    >>> changed(saved, ConfigRequest(overrides=("simulator=box", "finder.max_events=3"))).finder.snr_threshold
    7
    """
    parsed = parse_overrides(request.overrides)
    groups = choices(request.folders)
    refuse_odd_choices(parsed, groups)
    config = copy.deepcopy(saved)
    OmegaConf.set_struct(config, False)
    for override in parsed:
        if override.is_sweep_override():
            raise ConfigError(f"run --from runs one version; give one value in {override.input_line}")
        if override.is_hydra_override() or override.key_or_group == "experiment":
            raise ConfigError(
                f"run --from cannot use {override.input_line}; it takes choices of the groups of a saved config, "
                "and its keys"
            )
    for override in parsed:
        if override.key_or_group in groups:
            _replace_group(config, override, request)
    for override in parsed:
        if override.key_or_group not in groups:
            _replace_value(config, override)
    return config


def _replace_group(config: DictConfig, override: Override, request: ConfigRequest) -> None:
    group = override.key_or_group
    if override.is_delete():
        raise ConfigError(f"run --from cannot use {override.input_line}; choose another of {group!r} instead")
    parts = [
        compose(ConfigRequest(config_dir=request.config_dir, config_name=f"{group}/{choice}"))
        for choice in listed(override.value())
    ]
    if override.package is not None:
        node = OmegaConf.select(parts[-1], group.replace("/", "."))
        OmegaConf.update(config, override.package, _plain(node), merge=False)
        return
    merged: dict[str, object] = _plain(OmegaConf.merge(*parts))
    for key, node in merged.items():
        OmegaConf.update(config, key, node, merge=False)


def _plain(node: object) -> Any:
    """A node as plain data with its interpolations, which then refer to the config that it is put into."""
    return OmegaConf.to_container(node, resolve=False)


def _replace_value(config: DictConfig, override: Override) -> None:
    key, keys = override.key_or_group, keys_of(config)
    if key not in keys and not (override.is_add() or override.is_force_add()):
        raise ConfigError(f"the saved config has no {key!r}{nearest(key, keys)}")
    try:
        if override.is_delete():
            parent, _, last = key.rpartition(".")
            del (OmegaConf.select(config, parent) if parent else config)[last]
        else:
            OmegaConf.update(config, key, override.value(), merge=True)
    except OmegaConfBaseException as error:
        raise ConfigError(f"cannot use {override.input_line}: {str(error).splitlines()[0]}") from error

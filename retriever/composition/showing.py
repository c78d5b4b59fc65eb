"""Configs and the config tree as text."""

import logging
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from retriever.composition.compose import compose_with_hydra, hydra_object, hydra_on
from retriever.composition.request import ConfigRequest, choices, keys_of
from retriever.errors import ConfigError, nearest

__all__ = ["config_text", "help_text", "print_info"]


def config_text(request: ConfigRequest, part: str = "job", package: str | None = None, resolve: bool = False) -> str:
    """A composed config as YAML.

    Parameters
    ----------
    part
        "job" for retriever's config, "hydra" for Hydra's, "all" for both.
    package
        Address of the node to show; None for the whole.
    resolve
        Whether to replace interpolations by their values.

    Raises
    ------
    ConfigError
        When the config cannot be composed, or has no such node.

    Examples
    --------
    >>> print(config_text(ConfigRequest(), package="store"))
    # @package store
    kind: sqlite
    url: null
    <BLANKLINE>
    """
    config = compose_with_hydra(request)
    keys = [str(key) for key in config]
    whole = {"job": [key for key in keys if key != "hydra"], "hydra": ["hydra"], "all": keys}[part]
    node: Any = OmegaConf.masked_copy(config, whole)
    title = ""
    if package not in (None, "_global_"):
        node, title = OmegaConf.select(node, str(package)), f"# @package {package}\n"
        if node is None:
            raise ConfigError(f"the config has no {package!r}{nearest(str(package), keys_of(config))}")
    if not OmegaConf.is_config(node):
        return str(node)
    try:
        return title + OmegaConf.to_yaml(node, resolve=resolve)
    except OmegaConfBaseException as error:
        raise ConfigError(f"cannot resolve the config: {str(error).splitlines()[0]}; leave --resolve away") from error


def help_text(request: ConfigRequest) -> str:
    """Groups of the config tree with their choices, and the composed config."""
    groups = "\n".join(f"  {group}: {', '.join(names)}" for group, names in choices(request.folders).items())
    return (
        f"config groups (choose with GROUP=CHOICE):\n{groups}\n\n"
        f"the composed config (override with KEY=VALUE, as in finder.snr_threshold=7):\n\n{config_text(request)}"
    )


def print_info(request: ConfigRequest, what: str) -> None:
    """Print what Hydra knows of itself: "all", "config", "defaults", "defaults-tree", "plugins" or "searchpath"."""
    handlers, level = list(logging.root.handlers), logging.root.level
    try:
        with hydra_on(request):
            hydra_object().show_info(what, config_name=request.config_name, overrides=list(request.overrides))
    finally:  # Hydra prints by the root logger, which it sets up for that
        logging.root.handlers[:] = handlers
        logging.root.setLevel(level)

"""Configs from Python: choices, values and components as keyword parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from retriever.composition.compose import compose
from retriever.composition.request import ConfigRequest, choices
from retriever.errors import ConfigError, nearest
from retriever.source import decoded_aliases

__all__ = ["compose_from_python"]


def compose_from_python(
    overrides: Sequence[str], groups: Mapping[str, object], config_dir: str | None = None
) -> DictConfig:
    """Compose a config from overrides, and from what is given for its groups.

    Parameters
    ----------
    overrides
        Words as on the command line.
    groups
        By the name of a group: a choice ("ztf_folder", or a list of choices), a mapping of parameters to change, or a
        component. For `catalog` also a mapping of columns with `name`, `ra` and `dec`, or the path of a table.
    config_dir
        Folder with config groups of your own.

    Raises
    ------
    ConfigError
        When a group or choice does not exist, or a component cannot be written into a config.

    Examples
    --------
    >>> from retriever.finders.peak import PeakFinder
    >>> compose_from_python((), {"finder": {"snr_threshold": 8.5}}).finder.snr_threshold
    8.5
    >>> compose_from_python((), {"finder": PeakFinder(snr_threshold=8.5)}).finder._target_
    'retriever.finders.peak.PeakFinder'
    """
    words, values = list(overrides), {}
    known = choices(ConfigRequest.here(config_dir=config_dir).folders)
    for group, given in groups.items():
        if group == "catalog":
            chosen, given = _catalog(given, known["catalog"])
            words += chosen
        if isinstance(given, str):
            words.append(f"{group}={given}")
        elif isinstance(given, (list, tuple)) and all(isinstance(item, str) for item in given):
            words.append(f"{group}=[{','.join(given)}]")
        elif given is not None:
            values[group] = given
    config = compose(ConfigRequest.here(words, config_dir))
    for group, given in values.items():
        if group not in config:
            raise ConfigError(f"the config has no {group!r}{nearest(group, [str(key) for key in config])}")
        if isinstance(given, Mapping):
            OmegaConf.update(config, group, _plain(given, group), merge=True, force_add=True)
        else:
            config[group] = _node(given, group)
    return config


def _catalog(given: object, known: Sequence[str]) -> tuple[list[str], object]:
    """Words that choose a catalog, and what is left to be merged into it."""
    if isinstance(given, (str, Path)) and str(given) not in known and Path(given).suffix:
        return ["catalog=file"], {"path": str(given)}
    if not isinstance(given, str) and hasattr(given, "keys") and {"ra", "dec"} <= set(given.keys()):
        # a version's table of sources has the digest of each, which follows from the rest
        names = [str(key) for key in given.keys() if key != "digest"]  # noqa: SIM118
        columns = {name: _listed(given[name]) for name in names}  # type: ignore[index]
        if "aliases" in columns:
            columns["aliases"] = [_aliases(value) for value in columns["aliases"]]
        lengths = {key: len(column) for key, column in columns.items()}
        if len(set(lengths.values())) > 1:
            raise ConfigError(f"columns of the catalog differ in length: {lengths}")
        # a number that is NaN is not known
        rows = [
            {key: value for key, value in zip(columns, row, strict=True) if value == value}
            for row in zip(*columns.values(), strict=True)
        ]
        return ["catalog=inline"], {"sources": rows}
    return [], given


def _aliases(value: object) -> object:
    """Other names of a source: several, or a text as a version's table has them."""
    if not isinstance(value, str):
        return value
    try:
        return list(decoded_aliases(value))
    except ValueError:
        return [value]


def _listed(column: Any) -> list[Any]:
    values = column.tolist() if hasattr(column, "tolist") else column
    return list(values) if isinstance(values, (list, tuple)) else [values]


def _node(component: object, where: str) -> dict[str, object]:
    """A component as its part of a config."""
    kind = type(component)
    if not is_dataclass(component):
        raise ConfigError(
            f"{where} is a {kind.__name__}; give the name of a choice, a mapping of parameters, or a component"
        )
    if kind.__module__ == "__main__" or "<locals>" in kind.__qualname__:
        raise ConfigError(
            f"{where} is a {kind.__name__}, whose code is in no file; put the class into a module in the current "
            "folder, so that its code can be recorded"
        )
    values = {spec.name: _plain(getattr(component, spec.name), where) for spec in fields(component) if spec.init}
    return {"_target_": f"{kind.__module__}.{kind.__qualname__}", **values}


def _plain(value: Any, where: str) -> Any:
    """A parameter as a config writes it; a dataclass inside as a mapping, with its class if it is a component."""
    if is_dataclass(value) and not isinstance(value, type):
        node = _node(value, where)
        if not any(callable(getattr(value, verb, None)) for verb in ("find", "detrend")):
            del node["_target_"]
        return node
    if isinstance(value, Mapping):
        return {str(key): _plain(item, where) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item, where) for item in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist(), where)
    return str(value) if isinstance(value, Path) else value

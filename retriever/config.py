"""From a composed config to built components: every type checked, every unknown key refused."""

import importlib
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass, make_dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, get_args, get_origin, get_type_hints

from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from retriever.errors import ConfigError, nearest
from retriever.interfaces import VERBS, Finder, Observatory, Reducer

__all__ = [
    "CONFIG_FOLDER",
    "SEARCH_GROUPS",
    "Setup",
    "build",
    "build_setup",
    "frozen_yaml",
    "holds_password",
    "load_frozen",
    "typed",
]

_PACKAGE = Path(__file__).parent

CONFIG_FOLDER = _PACKAGE / "conf" if (_PACKAGE / "conf").exists() else _PACKAGE.parent / "conf"
"""The config tree: inside an installed package, or beside it in a checkout."""

Config = DictConfig
"""A composed config; modules that only pass it on need not import OmegaConf."""

_PLAIN = ("project", "run", "store", "paths", "stages", "histograms")
SEARCH_GROUPS = ("detrend", "quality", "finder", "analysis", "simulator", "scrambler")
"""Groups whose components all surveys of a run share."""

_COMPONENTS = ("catalog", *SEARCH_GROUPS, "executor")
_NEW_GROUPS: Mapping[str, Any] = {
    "stages": {},
    "detrend": {"_target_": "retriever.detrending.none.NoDetrending"},
    "scrambler": {"_target_": "retriever.scramblers.standard.Scrambler", "share": 0.0},
    "histograms": {},
}
"""Groups that configs of earlier versions do not have, as they were then."""

_NAMED = ("observatories", "reducers")
_NAME_CHARS = 64
_SECRET = re.compile(r"(^|_)(password|passwd|secret|token|api_?key|credentials?)($|_)", re.IGNORECASE)

_RENAMED = {("client", "inbox"): "cache"}
"""Present names of renamed parameters, by the group that holds them and the name in configs of earlier versions."""

_DROPPED = {("simulator", "events")}
"""Parameters of earlier versions that are no longer there, by the group that holds them."""


@dataclass(frozen=True, kw_only=True)
class Setup:
    """A built config: components, and plain settings as mappings for their dataclasses."""

    components: Mapping[str, Any]
    observatories: Mapping[str, Observatory]
    reducers: Mapping[str, Reducer]
    plain: Mapping[str, Mapping[str, object]]


def build_setup(config: DictConfig) -> Setup:
    """Build all components of a composed config.

    Raises
    ------
    ConfigError
        For unknown groups and keys, wrong types, secrets, and classes without the verb of their group.
    """
    tree = {**_NEW_GROUPS, **_resolved(config)}
    known = {*_PLAIN, *_COMPONENTS, *_NAMED}
    for key in tree:
        if key not in known:
            raise ConfigError(f"the config has an unknown group {key!r}{nearest(key, known)}")
    for key in sorted(known - set(tree)):
        raise ConfigError(f"the config has no {key!r}; compose it from retriever's own config tree")
    _refuse_secrets(tree, "")
    observatories = {
        name: build(node, VERBS["observatories"], f"observatories.{name}")
        for name, node in tree["observatories"].items()
    }
    reducers = {name: build(node, VERBS["reducers"], f"reducers.{name}") for name, node in tree["reducers"].items()}
    if not observatories:
        raise ConfigError("the config has no observatory; choose one with observatory=NAME")
    for name in set(observatories) ^ set(reducers):
        side = "a reducer but no observatory" if name in reducers else "an observatory but no reducer"
        raise ConfigError(f"{name!r} has {side}; both need the same name")
    verbs = {**VERBS, "executor": "start"}
    return Setup(
        components={group: build(tree[group], verbs[group], group) for group in _COMPONENTS},
        observatories=dict(sorted(observatories.items())),
        reducers=reducers,
        plain={**{group: tree[group] for group in _PLAIN}, "project": _named(tree["project"], observatories)},
    )


def _named(project: object, observatories: Mapping[str, object]) -> Mapping[str, object]:
    """The project's settings; a project without a name is named after its observatories."""
    settings = _mapping(project, "project")
    if settings.get("name") is not None:
        return settings
    joined = "_".join(re.sub(r"[^A-Za-z0-9_-]", "-", name) for name in sorted(observatories))
    return {**settings, "name": joined[:_NAME_CHARS]}


def build(node: object, verb: str, where: str) -> Any:
    """Build one component from its part of the config.

    Parameters
    ----------
    node
        Mapping with ``_target_`` and the parameters.
    verb
        Name of the method that the class must have; "" for any class.
    where
        Address of the node, for messages.

    Examples
    --------
    >>> build({"_target_": "retriever.finders.peak.PeakFinder", "snr_threshold": 7}, "find", "finder").snr_threshold
    7.0
    >>> build({"_target_": "retriever.finders.peak.PeakFinder", "snr_treshold": 7}, "find", "finder")
    Traceback (most recent call last):
    ...
    retriever.errors.ConfigError: finder has no parameter 'snr_treshold'; did you mean 'snr_threshold'?
    """
    if not isinstance(node, Mapping) or not isinstance(node.get("_target_"), str):
        raise ConfigError(f"{where} needs a _target_ that names a class with the verb {verb!r}")
    values = {str(key): value for key, value in node.items() if key != "_target_"}
    return typed(_class(node["_target_"], verb, where), values, where)


def typed(kind: type, values: Mapping[str, object], where: str) -> Any:
    """Make a dataclass from plain values, each checked against the type of its field, also in dataclasses inside."""
    hints = get_type_hints(kind)
    known = {spec.name for spec in fields(kind) if spec.init}
    for key in values:
        if key not in known:
            raise ConfigError(f"{where} has no parameter {str(key)!r}{nearest(str(key), known)}")
    inside: dict[str, object] = {}
    for key, value in values.items():
        if hints[key] == dict[str, Finder]:
            address = f"{where}.{key}"
            nodes = _mapping(value, address)
            inside[key] = {str(name): build(node, VERBS["finder"], f"{address}.{name}") for name, node in nodes.items()}
            continue
        inner = _dataclass_inside(hints[key])
        if inner is not None and isinstance(value, Mapping):
            address = f"{where}.{key}"
            is_single = inner is hints[key]
            inside[key] = (
                typed(inner, value, address)
                if is_single
                else {
                    name: typed(inner, _mapping(item, f"{address}.{name}"), f"{address}.{name}")
                    for name, item in value.items()
                }
            )
    plain = {key: value for key, value in values.items() if key not in inside}
    return kind(**_checked({key: hints[key] for key in plain}, plain, where), **inside)


def _mapping(value: object, where: str) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        raise ConfigError(f"{where} is {value!r}; it takes parameters, as in {where}={{key: value}}")
    return value


def _dataclass_inside(hint: object) -> type | None:
    """The dataclass that a field holds, by itself or as the values of a mapping."""
    if get_origin(hint) is dict:
        hint = get_args(hint)[1]
    return hint if isinstance(hint, type) and is_dataclass(hint) else None


def _checked(hints: Mapping[str, object], values: Mapping[str, object], where: str) -> dict[str, object]:
    """Values of the types that fields have; OmegaConf decides which conversions it allows (5 to 5.0, not 5.5 to 5)."""
    schema = make_dataclass("Parameters", [(key, hint, field(default=MISSING)) for key, hint in hints.items()])
    try:
        checked: Any = OmegaConf.to_container(OmegaConf.merge(OmegaConf.structured(schema), dict(values)))
    except OmegaConfBaseException as error:
        key = getattr(error, "full_key", None)
        text = str(error).split("\n")[0]
        raise ConfigError(f"{where}{f'.{key}' if key else ''}: {text}; see --cfg job for the whole config") from None
    return {key: tuple(value) if get_origin(hints[key]) is tuple else value for key, value in checked.items()}


def _class(target: str, verb: str, where: str) -> type:
    module_name, _, name = target.rpartition(".")
    if not module_name:
        raise ConfigError(
            f"{where}._target_ is {target!r}; it must name a class with its module, as in my_module.MyClass"
        )
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # a user's module may raise anything
        reason = f"{type(error).__name__}: {error}"
        raise ConfigError(
            f"{where}._target_: cannot import {module_name!r} ({reason}); put it into the current folder or install it"
        ) from error
    kind = getattr(module, name, None)
    if not isinstance(kind, type) or (verb and not callable(getattr(kind, verb, None))):
        reason = (
            f"{target} has no method {verb!r}, which every {where.split('.')[0]} needs"
            if isinstance(kind, type)
            else f"{module_name!r} has no class {name!r}"
        )
        advice = nearest(name, _components(module, verb)) or f"; name a class with the method {verb!r}"
        raise ConfigError(f"{where}._target_: {reason}{advice}")
    if not is_dataclass(kind) or not kind.__dataclass_params__.frozen:  # type: ignore[attr-defined]
        raise ConfigError(
            f"{where}._target_: {target} is not a frozen dataclass; write @dataclass(frozen=True, kw_only=True)"
        )
    return kind


def _components(module: ModuleType, verb: str) -> list[str]:
    """Classes of a module that have a verb; none for a module of the standard library or of an installed package."""
    root, path = module.__name__.partition(".")[0], getattr(module, "__file__", None)
    is_library = (
        path is None or root in sys.stdlib_module_names or {"site-packages", "dist-packages"} & set(Path(path).parts)
    )
    if root != "retriever" and is_library:
        return []
    return [
        key
        for key, value in vars(module).items()
        if isinstance(value, type) and not key.startswith("_") and callable(getattr(value, verb, None))
    ]


def frozen_yaml(config: DictConfig) -> str:
    """The composed config, interpolations resolved, as YAML."""
    return OmegaConf.to_yaml(OmegaConf.create(_resolved(config)))


def load_frozen(path: Path) -> DictConfig:
    """The config that a version was made with, with the present names of parameters and without those that are gone.

    Raises
    ------
    ConfigError
        When the file is missing or is no config.
    """
    try:
        config = OmegaConf.load(path)
    except (OSError, ValueError, OmegaConfBaseException) as error:
        raise ConfigError(f"cannot read {path} ({' '.join(str(error).split())}); name a version's folder") from error
    if not isinstance(config, DictConfig):
        raise ConfigError(f"{path} is no config of a version; name a version's folder")
    present: DictConfig = OmegaConf.create(_renamed(OmegaConf.to_container(config, resolve=False)))
    return present


def _renamed(node: Any, group: str = "") -> Any:
    """A part of a config, below a key, with the present names of its parameters.

    Examples
    --------
    >>> _renamed({"catalog": {"client": {"attempts": 6, "inbox": "data/.answers"}}})
    {'catalog': {'client': {'attempts': 6, 'cache': 'data/.answers'}}}
    """
    if not isinstance(node, dict):
        return node
    kept = {key: value for key, value in node.items() if (group, key) not in _DROPPED}
    return {_RENAMED.get((group, key), key): _renamed(value, key) for key, value in kept.items()}


def _resolved(config: DictConfig) -> dict[str, Any]:
    try:
        tree: Any = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        key = getattr(error, "full_key", None) or "the config"
        text = str(error).split("\n")[0]
        raise ConfigError(f"{key}: {text}; give it as an override, as in {key}=VALUE") from None
    return {str(key): value for key, value in tree.items()}


def holds_password(text: str) -> bool:
    """Whether a text contains an address with a password.

    Examples
    --------
    >>> holds_password("postgresql://me:secret@host/db"), holds_password("postgresql://me@host/db")
    (True, False)
    """
    return re.search(r"://[^/\s:@]*:[^/\s@]+@", text) is not None


def _refuse_secrets(node: object, where: str) -> None:
    if isinstance(node, Mapping):
        for key, value in node.items():
            address = f"{where}.{key}" if where else str(key)
            if _SECRET.search(str(key)) and value:
                raise ConfigError(
                    f"{address} looks like a secret, and configs are written down; use the environment instead"
                )
            _refuse_secrets(value, address)
    elif isinstance(node, list):
        for item in node:
            _refuse_secrets(item, where)
    elif isinstance(node, str) and holds_password(node):
        raise ConfigError(
            f"{where} holds a password, and configs are written down; leave it out and use the environment"
        )

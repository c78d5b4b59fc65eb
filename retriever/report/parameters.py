"""Parameters of versions by the addresses they have in the config, and where versions differ."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["changed_modules", "code_of_version", "differing", "flat_parameters"]


def flat_parameters(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters among the inputs of a version's hash, by address.

    Examples
    --------
    >>> finder = {"class": "m.Finder", "fields": {"snr_threshold": 5.0}}
    >>> flat_parameters({"finder": finder, "catalog": {"class": "m.C", "fields": {}, "digest": "d"}})["finder._target_"]
    'm.Finder'
    """

    def of(node: Any) -> Any:
        if isinstance(node, Mapping) and set(node) >= {"class", "fields"}:
            return {"_target_": node["class"], **{key: of(value) for key, value in node["fields"].items()}}
        return node

    named = ("observatories", "reducers", "stages")
    tree = {key: of(value) for key, value in inputs.items() if key not in ("stage_keys", *named)}
    for group in named:
        tree[group] = {name: of(node) for name, node in inputs.get(group, {}).items()}
    tree["catalog"]["digest"] = inputs["catalog"]["digest"]
    return _flat(tree)


def _flat(tree: Mapping[str, Any], where: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{where}{key}.")
        else:
            flat[f"{where}{key}"] = value
    return flat


def differing(of_versions: Sequence[Mapping[str, Any]]) -> list[str]:
    """Addresses at which versions differ, in order.

    Examples
    --------
    >>> differing([{"a": 1, "b": 2}, {"a": 1, "b": 3, "c": None}])
    ['b']
    """
    keys = {key for tree in of_versions for key in tree}
    return sorted(key for key in keys if len({json.dumps(tree.get(key)) for tree in of_versions}) > 1)


def changed_modules(one: Mapping[str, str], other: Mapping[str, str]) -> list[str]:
    """Modules that both know and whose code differs.

    Examples
    --------
    >>> changed_modules({"a": "1", "b": "1"}, {"a": "2", "b": "1", "c": "1"})
    ['a']
    """
    return sorted(name for name in one.keys() & other.keys() if one[name] != other[name])


def code_of_version(manifest: Mapping[str, Any]) -> dict[str, str]:
    """Hash of every module that a version's stages stand on, from its record."""
    return {
        module: told
        for stages in manifest.get("code", {}).values()
        for hashes in stages.values()
        for module, told in hashes.items()
    }

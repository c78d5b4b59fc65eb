"""Parameters of versions by the addresses they have in the config, and where versions differ."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["NOT_COMPARABLE", "changed_modules", "code_of_version", "differing", "flat_parameters", "is_comparable"]


def flat_parameters(inputs: Mapping[str, Any]) -> dict[str, object]:
    """Parameters among the inputs of a version's hash, by address.

    Examples
    --------
    >>> finder = {"class": "m.Finder", "fields": {"snr_threshold": 5.0}}
    >>> flat_parameters({"finder": finder, "catalog": {"class": "m.C", "fields": {}, "digest": "d"}})["finder._target_"]
    'm.Finder'
    """

    def of(node: object) -> Any:
        if isinstance(node, Mapping) and set(node) >= {"class", "fields"}:
            return {"_target_": node["class"], **{key: of(value) for key, value in node["fields"].items()}}
        return node

    named = ("observatories", "reducers", "stages")
    tree = {key: of(value) for key, value in inputs.items() if key not in ("stage_keys", *named)}
    for group in named:
        tree[group] = {name: of(node) for name, node in inputs.get(group, {}).items()}
    tree["catalog"]["digest"] = inputs["catalog"]["digest"]
    return _flat(tree)


def _flat(tree: Mapping[str, object], where: str = "") -> dict[str, object]:
    flat: dict[str, object] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{where}{key}.")
        else:
            flat[f"{where}{key}"] = value
    return flat


def differing(of_versions: Sequence[Mapping[str, object]]) -> list[str]:
    """Addresses at which versions differ, in order.

    Examples
    --------
    >>> differing([{"a": 1, "b": 2}, {"a": 1, "b": 3, "c": None}])
    ['b']
    """
    keys = {key for tree in of_versions for key in tree}
    return sorted(key for key in keys if len({json.dumps(tree.get(key)) for tree in of_versions}) > 1)


def changed_modules(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """Definitions that both know and whose code differs; a module for what runs when it is loaded.

    Hashes of whole modules, as retriever recorded them at first, say nothing of single definitions; see
    `is_comparable`.

    Examples
    --------
    >>> changed_modules({"a:f": "1", "b:g": "1"}, {"a:f": "2", "a:": "1", "b:g": "1", "c:h": "1"})
    ['a', 'a:f']
    >>> changed_modules({"a": "1"}, {"a:f": "2", "a:": "1"})
    []
    """
    loaded = {name for name in before.keys() ^ after.keys() if name.endswith(":")}
    common = _modules(before) & _modules(after)
    changed = [name for name in before.keys() & after.keys() if before[name] != after[name]]
    return sorted(name.rstrip(":") for name in [*changed, *(name for name in loaded if name[:-1] in common)])


def is_comparable(before: Mapping[str, str], after: Mapping[str, str]) -> bool:
    """Whether two records hash the same kind of thing: both definitions, or both whole modules.

    Examples
    --------
    >>> is_comparable({"a": "1"}, {"a:f": "1"}), is_comparable({"a:f": "1"}, {"a:f": "2"}), is_comparable({}, {})
    (False, True, True)
    """
    return not before or not after or bool(_modules(before)) == bool(_modules(after))


NOT_COMPARABLE = "code cannot be compared: one version has hashes of whole modules, the other of definitions"
"""What is said where `is_comparable` is false."""


def _modules(code: Mapping[str, str]) -> set[str]:
    """Modules whose definitions are hashed."""
    return {name.partition(":")[0] for name in code if ":" in name}


def code_of_version(manifest: Mapping[str, Any]) -> dict[str, str]:
    """Hash of every definition that a version's stages reach, from its manifest."""
    return {
        definition: digest
        for stages in manifest.get("code", {}).values()
        for hashes in stages.values()
        for definition, digest in hashes.items()
    }

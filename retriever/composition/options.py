"""What every choice of a config group offers: parameters with defaults, types and meanings."""

import inspect
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Any, get_type_hints

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from retriever.composition.request import choices
from retriever.config import CONFIG_FOLDER
from retriever.errors import ConfigError, nearest

__all__ = ["Choice", "Component", "Parameter", "choice_of", "choice_text", "groups_text", "options_page"]

Settings = Mapping[str, type]
"""Parts of the config that are no group, such as "run", and the class of each."""

_NO_SETTINGS: Settings = MappingProxyType({})


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """A parameter of a component.

    Attributes
    ----------
    key
        What to write on the command line.
    default, type
        As the config and the class have them.
    meaning
        What the docstring says of it, with its unit.
    """

    key: str
    default: str
    type: str
    meaning: str


@dataclass(frozen=True, kw_only=True)
class Component:
    """A class that a choice names, and what it takes."""

    name: str
    summary: str
    parameters: tuple[Parameter, ...]


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A choice of a group: what its file says at the top, the choices that it makes in turn, and its components."""

    name: str
    remark: str
    also: tuple[str, ...]
    components: tuple[Component, ...]
    values: tuple[Parameter, ...]


def choice_of(
    group: str, name: str, folders: Sequence[Path] = (CONFIG_FOLDER,), settings: Settings = _NO_SETTINGS
) -> Choice:
    """What a choice of a group offers.

    Parameters
    ----------
    group
        A config group, or one of `settings`, which have no choices.
    name
        A choice of it.
    folders
        Config trees, the first that has the choice counts.
    settings
        Parts of the config that are no group.

    Raises
    ------
    ConfigError
        When there is no such choice, or its file or class cannot be read.

    Examples
    --------
    >>> choice_of("detrend", "running_median").components[0].parameters[0].key
    'detrend.gap'
    """
    if group in settings:
        kind = settings[group]
        values = {spec.name: spec.default for spec in fields(kind)}
        return Choice(name=group, remark="", also=(), components=(_component(group, kind, values),), values=())
    known = choices(folders)
    if group not in known:
        raise ConfigError(f"there is no config group {group!r}{nearest(group, [*known, *settings])}")
    if name not in known[group]:
        raise ConfigError(f"{group} has no choice {name!r}{nearest(name, known[group])}")
    path = next(path for folder in folders if (path := folder / group / f"{name}.yaml").exists())
    try:
        text = path.read_text(encoding="utf-8")
        node = OmegaConf.to_container(OmegaConf.create(text), resolve=False) or {}
    except (OSError, YAMLError, OmegaConfBaseException) as error:
        raise ConfigError(f"cannot read {path}: {str(error).splitlines()[0]}") from error
    if not isinstance(node, dict):
        raise ConfigError(f"{path} is no mapping of parameters")
    package = re.search(r"^# @package (\S+)", text, flags=re.MULTILINE)
    prefix = group.replace("/", ".") if package is None else package[1].replace("_global_", "")
    also = [_also(each) for each in node.pop("defaults", [])]
    targets = list(_targets(prefix, {str(key): value for key, value in node.items()}))
    return Choice(
        name=name, remark=_remark(text), also=tuple(each for each in also if each),
        components=tuple(_component(address, _class(own["_target_"]), own) for address, own in targets),
        values=tuple(
            Parameter(key=key, default=_shown(value), type="", meaning="") for key, value in _others(prefix, node)
        ),
    )  # fmt: skip


def _remark(text: str) -> str:
    """Comments at the top of a file."""
    lines = []
    for line in text.splitlines():
        if line.startswith("# @package"):
            continue
        if not line.startswith("#"):
            break
        lines.append(line.removeprefix("#").strip())
    return "\n".join(lines)


def _also(default: object) -> str:
    """A choice that a file makes, as the command line has it."""
    if not isinstance(default, Mapping):
        return ""
    ((key, value),) = default.items()
    return f"{str(key).removeprefix('override ').removeprefix('/').partition('@')[0]}={value}"


def _joined(prefix: str, key: object) -> str:
    return f"{prefix}.{key}" if prefix else str(key)


def _targets(prefix: str, node: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Components in a part of a config, each with its address."""
    if "_target_" in node:
        yield prefix, node
    for key, value in node.items():
        if isinstance(value, Mapping):
            yield from _targets(_joined(prefix, key), value)


def _others(prefix: str, node: Mapping[Any, Any]) -> Iterator[tuple[str, object]]:
    """Values that belong to no component."""
    if "_target_" in node:
        return
    for key, value in node.items():
        if isinstance(value, Mapping):
            yield from _others(_joined(prefix, key), value)
        else:
            yield _joined(prefix, key), value


def _class(target: str) -> Any:
    module, _, name = str(target).rpartition(".")
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"cannot find the class {target}: {error}") from error


def _component(address: str, kind: Any, values: Mapping[str, Any]) -> Component:
    doc = inspect.getdoc(kind) or ""
    return Component(
        name=f"{kind.__module__}.{kind.__qualname__}",
        summary=" ".join(doc.partition("\n\n")[0].split()),
        parameters=tuple(_parameters(address, kind, {key: values[key] for key in values if key != "_target_"})),
    )


def _parameters(address: str, kind: Any, values: Mapping[str, Any]) -> Iterator[Parameter]:
    """Parameters of a class; those of a class that one of them is, each by itself."""
    meanings: dict[str, str] = {}
    for base in reversed(inspect.getmro(kind)):
        meanings |= _meanings(inspect.cleandoc(base.__doc__ or ""))
    types = {spec.name: _type(spec.type) for spec in fields(kind)} if is_dataclass(kind) else {}
    hints = get_type_hints(kind) if types else {}
    for key, value in values.items():
        inner = hints.get(key)
        if isinstance(value, Mapping) and inner is not None and is_dataclass(inner) and "_target_" not in value:
            yield from _parameters(_joined(address, key), inner, value)
        elif not (isinstance(value, Mapping) and "_target_" in value):
            yield Parameter(
                key=_joined(address, key), default=_shown(value), type=types.get(key, ""), meaning=meanings.get(key, "")
            )


def _type(kind: object) -> str:
    text = kind if isinstance(kind, str) else getattr(kind, "__name__", str(kind))
    return re.sub(r"\b(?:\w+\.)+", "", str(text))


def _meanings(doc: str) -> dict[str, str]:
    """Parameter to what a numpydoc docstring says of it.

    Examples
    --------
    >>> _meanings("It.\\n\\nParameters\\n---\\na, b\\n    Both,\\n    in days.\\n\\nRaises\\n------\\nX\\n    No.")
    {'a': 'Both, in days.', 'b': 'Both, in days.'}
    """
    section = re.search(r"^Parameters\n-+\n(.*?)(?=^\S[^\n]*\n-{3,}$|\Z)", doc, flags=re.MULTILINE | re.DOTALL)
    found: dict[str, list[str]] = {}
    names: list[str] = []
    for line in section[1].splitlines() if section else []:
        if line and not line.startswith(" "):
            names = [name.strip() for name in line.partition(":")[0].split(",")]
            found |= {name: [] for name in names}
        elif line.strip():
            for name in names:
                found[name].append(line.strip())
    return {name: " ".join(lines) for name, lines in found.items()}


def _shown(value: object) -> str:
    """A value as the command line has it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_shown(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_shown, value)) + "]"
    return str(value) if value != "" else '""'


# ---- for people ----------------------------------------------------------------------------------------------------


def groups_text(group: str = "", folders: Sequence[Path] = (CONFIG_FOLDER,), settings: Settings = _NO_SETTINGS) -> str:
    """Groups with their choices; for one group, its choices with what they are.

    Raises
    ------
    ConfigError
        When there is no such group.
    """
    known = choices(folders)
    if not group:
        lines = [f"{name}: {', '.join(words)}" for name, words in known.items()]
        return "\n".join([*lines, "", "and without choices: " + ", ".join(settings)])
    if group in settings:
        return choice_text(choice_of(group, "", folders, settings))
    if group not in known:
        raise ConfigError(f"there is no config group {group!r}{nearest(group, [*known, *settings])}")
    return "\n".join(f"{group}={name}  {_line(choice_of(group, name, folders))}".rstrip() for name in known[group])


def _line(choice: Choice) -> str:
    summaries = [component.summary for component in choice.components]
    return (choice.remark.partition("\n")[0] if choice.remark and len(summaries) != 1 else "") or "".join(summaries[:1])


def choice_text(choice: Choice) -> str:
    """A choice with all of its parameters."""
    lines = [choice.remark] if choice.remark else []
    if choice.also:
        lines.append("chooses " + ", ".join(choice.also))
    for component in choice.components:
        lines += ["", component.name, f"  {component.summary}", ""]
        for parameter in component.parameters:
            kind = f"  ({parameter.type})" if parameter.type else ""
            lines.append(f"  {parameter.key}={parameter.default}{kind}")
            lines += textwrap.wrap(parameter.meaning, width=100, initial_indent=" " * 6, subsequent_indent=" " * 6)
    lines += [f"  {parameter.key}={parameter.default}" for parameter in choice.values]
    return "\n".join(lines).strip()


def options_page(folders: Sequence[Path] = (CONFIG_FOLDER,), settings: Settings = _NO_SETTINGS) -> str:
    """All groups with all choices and parameters, as Markdown."""
    parts = [_PREFACE]
    for group, names in choices(folders).items():
        parts.append(f"## {group}\n")
        parts += [_markdown(f"{group}={name}", choice_of(group, name, folders)) for name in names]
    for group in settings:
        parts.append(f"## {group}\n")
        parts.append(_markdown("", choice_of(group, "", folders, settings)))
    return "\n".join(parts).rstrip() + "\n"


_PREFACE = """\
# Options

Every group of the config with its choices, their parameters, defaults and meanings. `retriever options finder=bls`
prints the same for one choice. This page is made from the YAML files and docstrings by

```text
retriever options --markdown > docs/options.md
```
"""


def _markdown(title: str, choice: Choice) -> str:
    lines = [f"### {title}\n"] if title else []
    lines += [f"{_cell(choice.remark)}\n"] if choice.remark else []
    lines += [f"Chooses {', '.join(f'`{each}`' for each in choice.also)}.\n"] if choice.also else []
    for component in choice.components:
        lines.append(f"`{component.name}`: {_cell(component.summary)}\n")
        if component.parameters:
            lines += ["| parameter | default | type | meaning |", "|---|---|---|---|"]
            lines += [
                f"| `{each.key}` | `{_cell(each.default)}` | {_cell(each.type)} | {_cell(each.meaning)} |"
                for each in component.parameters
            ]
            lines.append("")
    if choice.values:
        lines += ["| key | default |", "|---|---|"]
        lines += [f"| `{each.key}` | `{_cell(each.default)}` |" for each in choice.values]
        lines.append("")
    return "\n".join(lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")

"""Completion of commands, keys, choices and versions in a shell, by argcomplete."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retriever.commands.command import Command, Parser, Words

if TYPE_CHECKING:
    from retriever.composition.request import ConfigRequest

__all__ = ["COMPLETING", "complete", "is_asked"]


def is_asked() -> bool:
    """Whether a shell has started this process to learn how a line may go on."""
    return "_ARGCOMPLETE" in os.environ


def complete(parser: Parser) -> None:
    """Answer the shell, and exit."""
    import argcomplete

    sys.path.insert(0, str(Path.cwd()))
    completer: Any = _candidates  # argcomplete takes functions, its types do not
    argcomplete.autocomplete(parser, always_complete_options=False, default_completer=completer)


def _candidates(prefix: str, action: argparse.Action, parsed_args: Words, **others: object) -> Collection[str]:
    """What may stand where argparse knows no choices."""
    if action.dest == "overrides":
        return _overrides(prefix, parsed_args)
    if action.dest == "choice":
        return _choices(prefix, parsed_args)
    if action.dest in ("version", "versions", "saved", "thing"):
        return _versions(parsed_args)
    return _files(prefix)


def _files(prefix: str) -> list[str]:
    from argcomplete.completers import FilesCompleter

    return list(FilesCompleter()(prefix))


def _versions(words: Words) -> list[str]:
    from retriever.report.versions import version_names

    outputs = getattr(words, "outputs", None) or os.environ.get("RETRIEVER_OUTPUTS", "outputs")
    return version_names(Path(outputs))


def _request(words: Words) -> ConfigRequest:
    from retriever.composition.request import ConfigRequest

    return ConfigRequest.here((), getattr(words, "config_dir", None), getattr(words, "config_name", None))


def _choices(prefix: str, words: Words) -> list[str]:
    from retriever.composition.request import choices

    known = choices(_request(words).folders)
    group, sign, _ = prefix.partition("=")
    return [f"{group}={name}" for name in known.get(group, ())] if sign else [*known, *(f"{name}=" for name in known)]


def _overrides(prefix: str, words: Words) -> list[str]:
    """Keys with "=", and values, of the config that the other words of the line make."""
    from retriever.composition.request import choices

    request = _request(words)
    groups = choices(request.folders)
    sign = prefix[:1] if prefix[:1] in ("+", "~") else ""
    key, is_value, value = prefix.removeprefix(sign).partition("=")
    if is_value and key in groups:
        head = value[: max(value.rfind("["), value.rfind(",")) + 1]  # lists and sweeps have several
        return [f"{sign}{key}={head}{name}" for name in groups[key]]
    values = _values(request, words.overrides or ())
    if is_value:
        if isinstance(values.get(key), bool):
            return [f"{sign}{key}=true", f"{sign}{key}=false"]
        return [f"{sign}{key}={path}" for path in _files(value)] if "path" in key else []
    return [f"{sign}{one}" for one in _next_keys(key, groups, values)]


def _values(request: ConfigRequest, overrides: Iterable[str]) -> dict[str, object]:
    """Values of the config by their keys; that of no overrides where these cannot be composed yet."""
    from dataclasses import replace

    from retriever.composition.compose import compose
    from retriever.composition.request import values_of
    from retriever.errors import ConfigError

    try:
        return values_of(compose(replace(request, overrides=tuple(overrides))))
    except ConfigError:
        return values_of(compose(request))


def _next_keys(prefix: str, groups: Iterable[str], values: Iterable[str]) -> list[str]:
    """Keys that begin with a prefix: only their first parts, as long as several differ in these.

    Examples
    --------
    >>> _next_keys("f", ["finder"], ["finder.a", "finder.b", "run.stop"])
    ['finder.', 'finder=']
    >>> _next_keys("r", ["finder"], ["finder.a", "run.stop"])
    ['run.stop=']
    """
    begun = [key for key in values if key.startswith(prefix) and not key.endswith("_target_")]
    end = len(prefix)
    parts = {key[: key.index(".", end) + 1] if "." in key[end:] else f"{key}=" for key in begun}
    parts |= {f"{group}=" for group in groups if group.startswith(prefix)}
    if len(parts) == 1:
        parts = {f"{key}=" for key in begun} or parts
    return sorted(parts)


def _script_words(parser: Parser) -> None:
    parser.add_argument("shell", choices=["bash", "zsh", "fish"], help="the shell")


def _script(words: Words) -> int:
    from argcomplete.shell_integration import shellcode

    print(shellcode(["retriever"], shell=words.shell))
    return 0


COMPLETING = (
    Command(
        name="completion",
        help="print the script by which a shell completes commands, keys, choices and versions",
        example="completion bash",
        work=_script,
        declare=_script_words,
    ),
)
